//! The jobs of a platform: the truth that everybody else's words are held against.
//!
//! A job's life is written when it is made, by the seed and by what it is called: how long it waits, how long it runs, how it ends. Where it
//! stands is read off the clock, so nothing has to happen for it to go on; only a wish to end it changes anything. What a platform has
//! forgotten is still known here.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use super::dice::{Pace, mix, mix_text};

/// What is kept of what happened to one job.
const REMEMBERED: usize = 300;
/// When a cluster was started is in the ids of its applications (ms).
const FIRST_CLUSTER: u64 = 1_600_000_000_000;
const CLUSTERS: u64 = 100_000_000_000;
/// Records whose time has come are looked for no more often.
const RETIRES_EVERY: Duration = Duration::from_secs(1);
/// Of five jobs one fails.
const FAILS: u64 = 5;

/// How a job has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
    /// Because somebody wished it.
    Cancelled,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    Running,
    Ended(End),
}

/// A job that was really made.
#[derive(Clone, Debug)]
pub struct Job {
    /// The platform's id.
    pub native: String,
    /// What its first argument is: by that it is known to whoever had it made.
    pub label: String,
    /// Its name on the platform.
    pub name: Option<String>,
    /// When it was made.
    pub made: Instant,
    begins: Instant,
    /// When it ends by itself, and how.
    ends: (Instant, End),
    /// When somebody's wish to end it has ended it.
    pub cancelled: Option<Instant>,
    /// When its record was dropped by a wish.
    pub dropped: Option<Instant>,
    pub(super) seen_from: Instant,
    pub(super) created: i64,
    pub(super) request: Value,
    /// When its platform has lost its memory; the job ran on.
    pub forgotten: Option<Instant>,
    /// Its application's, which no other job on any platform has.
    pub app: String,
}

impl Job {
    /// When it ends, and how: by a wish, or else by itself.
    pub fn end(&self) -> (Instant, End) {
        match self.cancelled {
            Some(at) => (at, End::Cancelled),
            None => self.ends,
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        let (at, end) = self.end();
        match now {
            now if now >= at => State::Ended(end),
            now if now >= self.begins => State::Running,
            _ => State::Queued,
        }
    }

    pub(super) fn millis_of(&self, at: Instant) -> i64 {
        self.created + i64::try_from(at.saturating_duration_since(self.made).as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn begun(&self, now: Instant) -> Option<i64> {
        (now >= self.begins && self.begins < self.end().0).then(|| self.millis_of(self.begins))
    }

    pub(super) fn app(&self, now: Instant) -> Option<String> {
        self.begun(now).map(|_| self.app.clone())
    }

    pub(super) fn log(&self, now: Instant) -> Vec<String> {
        match self.state(now) {
            State::Queued => Vec::new(),
            State::Running => vec![format!("{} has begun", self.label)],
            State::Ended(_) => vec![format!("{} has begun", self.label), "it is over".to_owned()],
        }
    }
}

/// The jobs, and what happened to each.
#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    pace: Pace,
    /// Whether a job is asked for by its name as well.
    has_names: bool,
    pub(super) jobs: Vec<Job>,
    /// Those that are on record, in the order of their making.
    open: Vec<usize>,
    /// The same by what they are called.
    known: HashMap<String, usize>,
    retired: Instant,
    pub(super) next_number: u64,
    history: HashMap<String, Vec<(Instant, String)>>,
}

impl World {
    pub(super) fn new(seed: u64, pace: Pace, has_names: bool) -> Self {
        Self {
            seed,
            pace,
            has_names,
            jobs: Vec::new(),
            open: Vec::new(),
            known: HashMap::new(),
            retired: Instant::now(),
            next_number: 0,
            history: HashMap::new(),
        }
    }

    /// Makes a job of this request, hidden for a while or not.
    pub(super) fn make(&mut self, native: String, name: Option<String>, request: Value, hidden: Duration) -> &Job {
        let label = label_of(&request).to_owned();
        let (now, thrown) = (Instant::now(), mix_text(self.seed, &label));
        let part = |of: Duration, thrown: u64| of.mul_f64((thrown % 1_000) as f64 / 1_000.0);
        let begins = now + part(self.pace.queued, thrown);
        let end = if mix(thrown).is_multiple_of(FAILS) { End::Failed } else { End::Succeeded };
        let ends = (begins + part(self.pace.running, thrown / 1_000), end);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = self.jobs.len();
        self.open.push(at);
        self.known.insert(native.clone(), at);
        if let Some(name) = name.as_ref().filter(|_| self.has_names) {
            self.known.insert(name.clone(), at);
        }
        self.jobs.push(Job {
            native,
            label,
            name,
            made: now,
            begins,
            ends,
            cancelled: None,
            dropped: None,
            seen_from: now + hidden,
            created: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            request,
            forgotten: None,
            app: format!("application_{}_{:05}", FIRST_CLUSTER + self.seed % CLUSTERS, self.jobs.len()),
        });
        self.jobs.last().expect("just made")
    }

    /// What the platform has on record under this id or name, seen by others or not.
    pub(super) fn on_record(&self, called: &str) -> Option<&Job> {
        self.known.get(called).map(|at| &self.jobs[*at])
    }

    /// What can be seen there now, in the order of its making.
    pub(super) fn seen(&self) -> impl DoubleEndedIterator<Item = &Job> {
        let now = Instant::now();
        self.open.iter().map(|at| &self.jobs[*at]).filter(move |job| job.seen_from <= now)
    }

    /// What can be seen there now under this id or name.
    pub(super) fn find(&mut self, called: &str) -> Option<&mut Job> {
        let job = &mut self.jobs[*self.known.get(called)?];
        (job.seen_from <= Instant::now()).then_some(job)
    }

    /// Records of ended jobs go when their time has come.
    pub(super) fn retire(&mut self) {
        if self.retired.elapsed() >= RETIRES_EVERY {
            self.clean_up();
        }
    }

    /// The record is dropped by a wish.
    pub(super) fn drop_record(&mut self, called: &str) {
        if let Some(job) = self.find(called) {
            job.dropped = Some(Instant::now());
        }
        self.clean_up();
    }

    fn clean_up(&mut self) {
        let (now, jobs, retain) = (Instant::now(), &self.jobs, self.pace.retain);
        let is_kept = |at: &usize| {
            let job = &jobs[*at];
            job.dropped.is_none() && now.saturating_duration_since(job.end().0) < retain
        };
        self.open.retain(is_kept);
        self.known.retain(|_, at| is_kept(at));
        self.retired = now;
    }

    /// All is forgotten, as by a restart without recovery; jobs run on. Counting begins anew.
    pub(super) fn forget(&mut self) {
        for at in std::mem::take(&mut self.open) {
            self.jobs[at].forgotten = Some(Instant::now());
        }
        self.known.clear();
        self.next_number = 0;
    }

    pub(super) fn tell(&mut self, label: &str, what: String) {
        let told = self.history.entry(label.to_owned()).or_default();
        if told.len() < REMEMBERED {
            told.push((Instant::now(), what));
        }
    }

    pub(super) fn history(&self, label: &str) -> Vec<(Instant, String)> {
        self.history.get(label).cloned().unwrap_or_default()
    }
}

/// What a request's job is known by.
pub(super) fn label_of(request: &Value) -> &str {
    request.pointer("/args/0").and_then(Value::as_str).unwrap_or_default()
}
