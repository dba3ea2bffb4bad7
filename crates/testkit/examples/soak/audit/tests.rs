use super::*;

const LATER: Duration = Duration::from_secs(1);

/// A sight at one replica, a while from now.
fn sight(replica: usize, shown: Shown) -> Sight {
    let at = Instant::now() + LATER;
    Sight { asked: at, at, replica, shown, stale: Duration::ZERO, app: None }
}

fn told(verdict: Verdict, shown: &[Shown]) -> Told {
    let seen = shown.iter().map(|shown| sight(0, *shown)).collect();
    Told { label: "a".to_owned(), verdict, decided: Instant::now() + LATER, cancel_asked: true, sights: vec![seen] }
}

fn truth(end: End, ended: Instant) -> Truth {
    Truth {
        on: Speech::Kyuubi,
        made: Instant::now(),
        ended,
        end,
        dropped: false,
        forgotten: None,
        app: "application_1_1".to_owned(),
    }
}

fn audited(told: Told, ran: Vec<Truth>) -> Audit {
    audit(&[told], &HashMap::from([("a".to_owned(), ran)]))
}

fn kinds(told: Told, ran: Vec<Truth>) -> Vec<Kind> {
    audited(told, ran).violations.into_iter().map(|violation| violation.kind).collect()
}

const WELL: [Shown; 3] = [Shown::Waiting, Shown::Running, Shown::Ended(End::Succeeded)];

#[test]
fn a_good_run_has_no_violation() {
    let now = Instant::now();
    assert!(kinds(told(Verdict::Accepted, &WELL), vec![truth(End::Succeeded, now)]).is_empty());
    assert!(kinds(told(Verdict::Refused, &[]), vec![]).is_empty());
    assert!(kinds(told(Verdict::Open, &[]), vec![truth(End::Failed, now)]).is_empty());
    assert!(kinds(told(Verdict::Accepted, &[Shown::Dead]), vec![truth(End::Cancelled, now)]).is_empty());
    assert!(kinds(told(Verdict::Accepted, &[Shown::Error]), vec![truth(End::Failed, now)]).is_empty());
}

#[test]
fn two_jobs_are_a_duplicate() {
    let now = Instant::now();
    let twice = vec![truth(End::Succeeded, now), truth(End::Succeeded, now)];
    assert_eq!(kinds(told(Verdict::Open, &[]), twice), [Kind::Duplicate]);
}

#[test]
fn a_job_of_a_refused_submit_is_found() {
    let ran = || vec![truth(End::Succeeded, Instant::now())];
    assert_eq!(kinds(told(Verdict::Refused, &[]), ran()), [Kind::RanThoughRefused]);
    assert_eq!(kinds(told(Verdict::RefusedLater, &[]), ran()), [Kind::RanThoughRefused]);
}

#[test]
fn an_id_that_leads_nowhere_is_found() {
    let ran = vec![truth(End::Succeeded, Instant::now())];
    assert_eq!(kinds(told(Verdict::Accepted, &[Shown::Running, Shown::Absent]), ran), [Kind::LostId]);
    assert_eq!(kinds(told(Verdict::Accepted, &[]), vec![]), [Kind::LostId]);
}

#[test]
fn an_end_of_a_live_job_or_another_end_is_found() {
    let long_after = Instant::now() + LATER * 100;
    let wrong = told(Verdict::Accepted, &[Shown::Ended(End::Failed)]);
    assert_eq!(kinds(wrong.clone(), vec![truth(End::Failed, long_after)]), [Kind::InventedEnd]);
    assert_eq!(kinds(wrong, vec![truth(End::Succeeded, Instant::now())]), [Kind::InventedEnd]);
    let unknown = told(Verdict::Accepted, &[Shown::Unknown]);
    assert_eq!(kinds(unknown, vec![truth(End::Failed, long_after)]), [Kind::InventedEnd], "its platform shows it");
    let error = told(Verdict::Accepted, &[Shown::Error]);
    assert_eq!(kinds(error, vec![truth(End::Failed, long_after)]), [Kind::InventedEnd]);
}

#[test]
fn a_state_that_falls_at_one_replica_is_found() {
    let now = Instant::now();
    for fallen in [[Shown::Running, Shown::Waiting], [Shown::Ended(End::Succeeded), Shown::Running]] {
        assert_eq!(kinds(told(Verdict::Accepted, &fallen), vec![truth(End::Succeeded, now)]), [Kind::Backwards]);
    }
}

#[test]
fn another_replica_may_be_older_by_so_much_and_no_more() {
    let run = |late: Duration, stale: Duration| {
        let (first, second) = (sight(0, Shown::Ended(End::Succeeded)), sight(1, Shown::Running));
        let second = Sight { asked: first.at + late, at: first.at + late, stale, ..second };
        let told = Told { sights: vec![vec![first, second]], ..told(Verdict::Accepted, &[]) };
        audited(told, vec![truth(End::Succeeded, Instant::now())])
    };
    let (within, beyond) = (FRESHNESS, FRESHNESS + NOTIFICATION + LATER);
    let fine = run(within, Duration::ZERO);
    assert!(fine.violations.is_empty(), "{:?}", fine.violations);
    assert_eq!(fine.older, [within]);
    assert_eq!(run(beyond, Duration::ZERO).violations[0].kind, Kind::TooOld);
    assert!(run(beyond, LATER).violations.is_empty(), "it said itself how old it is");
}

#[test]
fn of_what_a_platform_has_forgotten_no_end_is_known_unless_it_came_before() {
    let now = Instant::now();
    let forgotten = |ended: Instant| Truth { forgotten: Some(now + LATER / 2), ..truth(End::Succeeded, ended) };
    let (before, after) = (now, now + LATER);
    let shown = |shown: Shown| told(Verdict::Accepted, &[shown]);
    assert!(kinds(shown(Shown::Ended(End::Succeeded)), vec![forgotten(before)]).is_empty());
    assert!(kinds(shown(Shown::Unknown), vec![forgotten(after)]).is_empty());
    assert!(kinds(shown(Shown::Error), vec![forgotten(after)]).is_empty());
    assert!(kinds(shown(Shown::Dead), vec![forgotten(after)]).is_empty());
    assert_eq!(kinds(shown(Shown::Ended(End::Succeeded)), vec![forgotten(after)]), [Kind::InventedEnd], "by chance");
    assert_eq!(kinds(shown(Shown::Absent), vec![forgotten(after)]), [Kind::LostId], "its id stays");
}

#[test]
fn what_was_forgotten_before_its_outcome_was_known_may_be_made_again_and_nothing_else() {
    let now = Instant::now();
    let first = Truth { forgotten: Some(now + LATER), ..truth(End::Succeeded, now) };
    let second = |made: Instant| Truth { made, ..truth(End::Succeeded, now) };
    let excused = audited(told(Verdict::Accepted, &[]), vec![first.clone(), second(now + LATER)]);
    assert!(excused.violations.is_empty() && excused.again_after_amnesia == 1, "{excused:?}");
    assert_eq!(kinds(told(Verdict::Accepted, &[]), vec![first.clone(), second(now)]), [Kind::Duplicate]);
    let told_at = |decided: Instant| Told { decided, ..told(Verdict::Refused, &[]) };
    let excused = audited(told_at(now + LATER), vec![first.clone()]);
    assert!(excused.violations.is_empty() && excused.refused_after_amnesia == 1, "{excused:?}");
    assert_eq!(kinds(told_at(now), vec![first]), [Kind::RanThoughRefused]);
}

#[test]
fn another_jobs_application_under_an_id_is_found() {
    let shows = |app: &str| {
        let sight = Sight { app: Some(app.to_owned()), ..sight(0, Shown::Running) };
        Told { sights: vec![vec![sight]], ..told(Verdict::Accepted, &[]) }
    };
    let ran = || vec![truth(End::Succeeded, Instant::now())];
    assert!(kinds(shows("application_1_1"), ran()).is_empty());
    assert_eq!(kinds(shows("application_1_2"), ran()), [Kind::Anothers]);
}

#[test]
fn an_end_that_nobody_asked_for_is_found() {
    let told = Told { cancel_asked: false, ..told(Verdict::Accepted, &[Shown::Ended(End::Cancelled)]) };
    assert_eq!(kinds(told, vec![truth(End::Cancelled, Instant::now())]), [Kind::EndedUnasked]);
}
