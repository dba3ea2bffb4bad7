//! What clients were told, held against what really ran.
//!
//! What a platform has forgotten nobody can know: of such a job no end may be told but one that had come before, and a submit whose outcome was still
//! open may be told to have failed, or be made again. That is counted by itself, so that it hides nothing.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use batchlingua_testkit::faults::{End, Job, Speech};

/// Across replicas: the time for which a poll is reused, and the time of a notification, where a connection has died in silence included.
const FRESHNESS: Duration = Duration::from_secs(1);
const NOTIFICATION: Duration = Duration::from_secs(1);

/// What a client was shown of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Waiting,
    Running,
    Ended(End),
    /// DLI has one word for failed and cancelled, and for an end that nobody knows.
    Dead,
    /// Kylin has one word for failed and for an end that nobody knows.
    Error,
    /// An end that says that nobody knows it.
    Unknown,
    /// It is said not to be there.
    Absent,
}

/// Something that one client was shown.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) asked: Instant,
    pub(crate) at: Instant,
    pub(crate) replica: usize,
    pub(crate) shown: Shown,
    /// How old the answer said that it is.
    pub(crate) stale: Duration,
    /// Whose application it showed.
    pub(crate) app: Option<String>,
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
    pub(crate) decided: Instant,
    pub(crate) cancel_asked: bool,
    /// By whom it was watched, and what each saw, in order.
    pub(crate) sights: Vec<Vec<Sight>>,
}

/// A job that ran.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) on: Speech,
    pub(crate) made: Instant,
    pub(crate) ended: Instant,
    pub(crate) end: End,
    /// Its record was dropped by a DELETE, whose sender cannot know whether it came before the end.
    pub(crate) dropped: bool,
    /// When its platform has lost its memory.
    pub(crate) forgotten: Option<Instant>,
    pub(crate) app: String,
}

impl Truth {
    pub(crate) fn of(on: Speech, job: &Job) -> Self {
        let (ended, end) = job.end();
        let Job { made, dropped, forgotten, app, .. } = job;
        Self { on, made: *made, ended, end, dropped: dropped.is_some(), forgotten: *forgotten, app: app.clone() }
    }

    fn is_forgotten_by(&self, when: Instant) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten <= when)
    }

    /// Whether its end is one that nobody could see any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten < self.ended)
    }
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Duplicate,
    RanThoughRefused,
    LostId,
    InventedEnd,
    Backwards,
    TooOld,
    Anothers,
    EndedUnasked,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Duplicate,
        Self::RanThoughRefused,
        Self::LostId,
        Self::InventedEnd,
        Self::Backwards,
        Self::TooOld,
        Self::Anothers,
        Self::EndedUnasked,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicates: an intent with more than one job",
            Self::RanThoughRefused => "told as refused, and the job ran",
            Self::LostId => "lost ids",
            Self::InventedEnd => "invented ends",
            Self::Backwards => "states backwards at one replica",
            Self::TooOld => "older at another replica than it may be",
            Self::Anothers => "ids that show another's batch",
            Self::EndedUnasked => "jobs ended that nobody asked to end",
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

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) violations: Vec<Violation>,
    /// Intents that were made again after the platform had forgotten their first job, before its outcome was known.
    pub(crate) again_after_amnesia: u64,
    /// Intents that were told as refused after the platform had forgotten their job, before its outcome was known.
    pub(crate) refused_after_amnesia: u64,
    /// How old each answer was, at least, that was older than what another replica had shown before.
    pub(crate) older: Vec<Duration>,
}

/// Every violation there is.
pub(crate) fn audit(told: &[Told], truths: &HashMap<String, Vec<Truth>>) -> Audit {
    let mut audit = Audit::default();
    for told in told {
        audit.intent(told, truths.get(&told.label).map_or(&[][..], Vec::as_slice));
    }
    audit
}

impl Audit {
    fn intent(&mut self, told: &Told, ran: &[Truth]) {
        let mut found: Vec<(Kind, String)> = Vec::new();
        let jobs = || format!("{} jobs", ran.len());
        if ran.len() > 1 {
            // In the order of their making.
            match ran.windows(2).all(|two| two[0].is_forgotten_by(two[1].made)) {
                true => self.again_after_amnesia += 1,
                false => found.push((Kind::Duplicate, jobs())),
            }
        }
        match told.verdict {
            Verdict::Refused | Verdict::RefusedLater if !ran.is_empty() => {
                match ran.iter().all(|truth| truth.is_forgotten_by(told.decided)) {
                    true => self.refused_after_amnesia += 1,
                    false => found.push((Kind::RanThoughRefused, jobs())),
                }
            }
            Verdict::Accepted if ran.is_empty() => found.push((Kind::LostId, "accepted, and there is no job".into())),
            Verdict::Accepted | Verdict::Refused | Verdict::RefusedLater | Verdict::Open => {}
        }
        if !told.cancel_asked && ran.iter().any(|truth| truth.end == End::Cancelled) {
            found.push((Kind::EndedUnasked, "its client did not".into()));
        }
        for seen in &told.sights {
            let seen: Vec<Sight> = seen.iter().map(|sight| read(sight, ran)).collect();
            if let Some(sight) = seen.iter().find(|sight| sight.shown == Shown::Absent) {
                found.push((Kind::LostId, format!("said not to be there by replica {}", sight.replica)));
            }
            found.extend(seen.iter().find_map(|sight| invented(told, ran, sight)).map(|why| (Kind::InventedEnd, why)));
            found.extend(anothers(&seen, ran).map(|why| (Kind::Anothers, why)));
            found.extend(backwards(&seen).map(|why| (Kind::Backwards, why)));
            for (age, sight) in older(&seen) {
                self.older.push(age);
                if age > FRESHNESS + NOTIFICATION + sight.stale {
                    let why = format!("{:?} at replica {}, {age:?} after another's", sight.shown, sight.replica);
                    found.push((Kind::TooOld, why));
                }
            }
        }
        let violation = |(kind, why)| Violation { kind, label: told.label.clone(), why };
        self.violations.extend(found.into_iter().map(violation));
    }
}

/// Kylin's word for two things, by which of them can be meant.
fn read(sight: &Sight, ran: &[Truth]) -> Sight {
    let shown = match sight.shown {
        Shown::Error if ran.iter().any(can_be_unknown) => Shown::Unknown,
        Shown::Error => Shown::Ended(End::Failed),
        shown => shown,
    };
    Sight { shown, ..sight.clone() }
}

/// Whether its platform does not show it any more, though it has not been there for long enough.
fn can_be_unknown(truth: &Truth) -> bool {
    truth.dropped || truth.forgotten.is_some()
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
        (Shown::Waiting | Shown::Running | Shown::Error | Shown::Unknown | Shown::Absent, _) => true,
    };
    // An end that came after the platform had lost its memory was seen by nobody, so it is invented even if it is right.
    let can_be_known = |truth: &Truth| truth.ended <= sight.at && !truth.is_lost();
    let is_true = match sight.shown {
        Shown::Waiting | Shown::Running | Shown::Error | Shown::Absent => true,
        Shown::Unknown => ran.iter().any(can_be_unknown),
        Shown::Dead if ran.iter().any(can_be_unknown) => true,
        Shown::Ended(_) | Shown::Dead => ran.iter().any(|truth| is_it(truth) && can_be_known(truth)),
    };
    let truth = ran.iter().map(|truth| match sight.at.checked_duration_since(truth.ended) {
        Some(_) if truth.is_lost() => "its platform had forgotten it before it ended".to_owned(),
        Some(since) => format!("it was {:?} for {since:?}", truth.end),
        None => "it was alive".to_owned(),
    });
    (!is_true).then(|| format!("shown {:?}: {}", sight.shown, truth.collect::<Vec<_>>().join(", ")))
}

/// An application is one job's alone.
fn anothers(seen: &[Sight], ran: &[Truth]) -> Option<String> {
    let is_another = |app: &&String| !app.is_empty() && ran.iter().all(|truth| truth.app != **app);
    let app = seen.iter().filter_map(|sight| sight.app.as_ref()).find(is_another)?;
    Some(format!("it shows {app}"))
}

/// An end that nobody knows may be followed by anything.
fn rank(shown: Shown) -> Option<u32> {
    match shown {
        Shown::Unknown | Shown::Error | Shown::Absent => None,
        Shown::Waiting => Some(0),
        Shown::Running => Some(1),
        Shown::Ended(_) | Shown::Dead => Some(2),
    }
}

fn fell(before: &Sight, after: &Sight) -> bool {
    match (rank(before.shown), rank(after.shown)) {
        (Some(low), Some(high)) => high < low || (low == 2 && before.shown != after.shown),
        (None, _) | (_, None) => false,
    }
}

/// At each replica by itself, over all its lives.
fn backwards(seen: &[Sight]) -> Option<String> {
    seen.iter().enumerate().find_map(|(at, after)| {
        let before = seen[..at].iter().rev().find(|before| before.replica == after.replica)?;
        fell(before, after).then(|| format!("{:?}, then {:?} at replica {}", before.shown, after.shown, after.replica))
    })
}

/// The answers that were older than what another replica had shown before they were asked for, and by how much at least.
fn older(seen: &[Sight]) -> impl Iterator<Item = (Duration, &Sight)> {
    seen.iter().enumerate().filter_map(|(at, after)| {
        let before = seen[..at].iter().find(|before| before.replica != after.replica && fell(before, after))?;
        Some((after.asked.saturating_duration_since(before.at), after))
    })
}

#[cfg(test)]
mod tests;
