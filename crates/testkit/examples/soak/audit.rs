//! What clients were told, held against what really ran.

use std::{collections::HashMap, fmt, time::Instant};

use batchlingua_testkit::faults::{End, Speech};

/// What a client was shown of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Waiting,
    Running,
    Ended(End),
    /// DLI has one word for failed and cancelled.
    Dead,
    /// An end that says that nobody knows it.
    Unknown,
    /// It is said not to be there.
    Absent,
}

/// Something that one client was shown by one life of the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) at: Instant,
    pub(crate) life: u64,
    pub(crate) shown: Shown,
}

/// What a client made of the answers to its submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// It was told that nothing has come of it, each time.
    Refused,
    /// It was told so under an id that it was given before the outcome was known.
    RefusedLater,
    /// It was told that nobody knows, or nothing at all.
    Open,
}

/// All that the clients of one intent were told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) label: String,
    pub(crate) verdict: Verdict,
    pub(crate) cancel_asked: bool,
    /// By whom it was watched, and what each saw, in order.
    pub(crate) sights: Vec<Vec<Sight>>,
}

/// A job that ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truth {
    pub(crate) on: Speech,
    pub(crate) ended: Instant,
    pub(crate) end: End,
    /// Its record was dropped by a DELETE, whose sender cannot know whether it came before the end.
    pub(crate) dropped: bool,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Duplicate,
    RanThoughRefused,
    LostId,
    InventedEnd,
    Backwards,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Duplicate, Self::RanThoughRefused, Self::LostId, Self::InventedEnd, Self::Backwards];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicates: an intent with more than one job",
            Self::RanThoughRefused => "told as refused, and the job ran",
            Self::LostId => "lost ids",
            Self::InventedEnd => "invented ends",
            Self::Backwards => "states backwards",
        }
    }
}

/// One of them, and where.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    pub(crate) why: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.label, self.kind.word(), self.why)
    }
}

/// Every violation there is.
pub(crate) fn audit(told: &[Told], truths: &HashMap<String, Vec<Truth>>) -> Vec<Violation> {
    let mut found = Vec::new();
    for told in told {
        let ran = truths.get(&told.label).map_or(&[][..], Vec::as_slice);
        let mut add = |kind, why: String| found.push(Violation { kind, label: told.label.clone(), why });
        if ran.len() > 1 {
            add(Kind::Duplicate, format!("{} jobs", ran.len()));
        }
        match told.verdict {
            Verdict::Refused | Verdict::RefusedLater if !ran.is_empty() => {
                add(Kind::RanThoughRefused, format!("{} jobs", ran.len()));
            }
            Verdict::Accepted if ran.is_empty() => add(Kind::LostId, "accepted, and there is no job".to_owned()),
            Verdict::Accepted | Verdict::Refused | Verdict::RefusedLater | Verdict::Open => {}
        }
        for seen in &told.sights {
            if let Some(sight) = seen.iter().find(|sight| sight.shown == Shown::Absent) {
                add(Kind::LostId, format!("said not to be there in life {}", sight.life));
            }
            if let Some(why) = seen.iter().find_map(|sight| invented(told, ran, sight)) {
                add(Kind::InventedEnd, why);
            }
            if let Some(why) = backwards(seen) {
                add(Kind::Backwards, why);
            }
        }
    }
    found
}

fn invented(told: &Told, ran: &[Truth], sight: &Sight) -> Option<String> {
    let is_it = |truth: &Truth| match (sight.shown, truth.end) {
        (Shown::Ended(shown), end) if shown == end => true,
        (Shown::Dead, End::Failed | End::Cancelled) => true,
        // DLI calls both dead, and Livy may show what it kills as dead, so who has asked for the end is told that it came.
        (Shown::Ended(End::Cancelled), End::Failed) => {
            matches!(truth.on, Speech::Dli | Speech::Livy) && told.cancel_asked
        }
        // Livy deletes what has just ended in the same words.
        (Shown::Ended(End::Cancelled) | Shown::Dead, _) => truth.dropped && told.cancel_asked,
        (Shown::Ended(_), _) => false,
        (Shown::Waiting | Shown::Running | Shown::Unknown | Shown::Absent, _) => true,
    };
    match sight.shown {
        Shown::Waiting | Shown::Running | Shown::Unknown | Shown::Absent => None,
        Shown::Ended(_) | Shown::Dead if ran.iter().any(|truth| is_it(truth) && truth.ended <= sight.at) => None,
        Shown::Ended(_) | Shown::Dead => {
            let truth = ran.iter().map(|truth| match sight.at.checked_duration_since(truth.ended) {
                Some(since) => format!("it was {:?} for {since:?}", truth.end),
                None => "it was alive".to_owned(),
            });
            Some(format!("shown {:?}: {}", sight.shown, truth.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Within each life by itself. An end that nobody knew may be followed by anything.
fn backwards(seen: &[Sight]) -> Option<String> {
    let rank = |shown: Shown| match shown {
        Shown::Unknown | Shown::Absent => None,
        Shown::Waiting => Some(0),
        Shown::Running => Some(1),
        Shown::Ended(_) | Shown::Dead => Some(2),
    };
    let known: Vec<_> = seen.iter().filter_map(|sight| Some((sight, rank(sight.shown)?))).collect();
    known.windows(2).find_map(|two| {
        let ((before, low), (after, high)) = (two[0], two[1]);
        let fell = high < low || (low == 2 && before.shown != after.shown);
        (fell && before.life == after.life).then(|| format!("{:?}, then {:?}", before.shown, after.shown))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    fn told(verdict: Verdict, shown: &[(u64, Shown)]) -> Told {
        let at = Instant::now() + LATER;
        let seen = shown.iter().map(|(life, shown)| Sight { at, life: *life, shown: *shown }).collect();
        Told { label: "a".to_owned(), verdict, cancel_asked: false, sights: vec![seen] }
    }

    fn truth(end: End, ended: Instant) -> Truth {
        Truth { on: Speech::Kyuubi, ended, end, dropped: false }
    }

    fn kinds(told: Told, ran: Vec<Truth>) -> Vec<Kind> {
        let truths = HashMap::from([("a".to_owned(), ran)]);
        audit(&[told], &truths).into_iter().map(|violation| violation.kind).collect()
    }

    const WELL: [(u64, Shown); 3] = [(0, Shown::Waiting), (0, Shown::Running), (0, Shown::Ended(End::Succeeded))];

    #[test]
    fn a_good_run_has_no_violation() {
        let now = Instant::now();
        assert!(kinds(told(Verdict::Accepted, &WELL), vec![truth(End::Succeeded, now)]).is_empty());
        assert!(kinds(told(Verdict::Refused, &[]), vec![]).is_empty());
        assert!(kinds(told(Verdict::Open, &[]), vec![truth(End::Failed, now)]).is_empty());
        assert!(kinds(told(Verdict::Accepted, &[(0, Shown::Dead)]), vec![truth(End::Cancelled, now)]).is_empty());
        let other_life = [(0, Shown::Running), (1, Shown::Waiting)];
        assert!(kinds(told(Verdict::Accepted, &other_life), vec![truth(End::Failed, now)]).is_empty());
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
        let shown = [(0, Shown::Running), (0, Shown::Absent)];
        assert_eq!(kinds(told(Verdict::Accepted, &shown), ran), [Kind::LostId]);
        assert_eq!(kinds(told(Verdict::Accepted, &[]), vec![]), [Kind::LostId]);
    }

    #[test]
    fn an_end_of_a_live_job_or_another_end_is_found() {
        let long_after = Instant::now() + LATER * 100;
        let wrong = told(Verdict::Accepted, &[(0, Shown::Ended(End::Failed))]);
        assert_eq!(kinds(wrong.clone(), vec![truth(End::Failed, long_after)]), [Kind::InventedEnd]);
        assert_eq!(kinds(wrong, vec![truth(End::Succeeded, Instant::now())]), [Kind::InventedEnd]);
    }

    #[test]
    fn a_state_that_falls_within_one_life_is_found() {
        let now = Instant::now();
        for fallen in
            [[(0, Shown::Running), (0, Shown::Waiting)], [(0, Shown::Ended(End::Succeeded)), (0, Shown::Running)]]
        {
            assert_eq!(kinds(told(Verdict::Accepted, &fallen), vec![truth(End::Succeeded, now)]), [Kind::Backwards]);
        }
    }
}
