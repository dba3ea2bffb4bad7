//! Every job that has a folder, and who may run next: the part of the backend that does no input or output.
//!
//! Of an ended job only a few words stay in memory; the rest is in its folder.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
};

use batchlingua_core::{Batch, BatchSpec, BatchState, Millis, NativeId, Principal, Project, Times, Uuid};

use crate::records::{Exit, Meta, Place};

/// A job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) state: BatchState,
    pub(crate) cancel_asked: bool,
    pub(crate) diagnostic: Option<String>,
    pub(crate) started: Option<Millis>,
    pub(crate) ended: Option<Millis>,
    pub(crate) modified: Millis,
    /// While it lives.
    pub(crate) about: Option<About>,
    /// Held while its log is read: only one at a time may bring the index up.
    pub(crate) log: Arc<Mutex<()>>,
}

/// What does not change about a job.
#[derive(Clone, Debug)]
pub(crate) struct About {
    spec: Arc<BatchSpec>,
    owner: Principal,
    project: Option<Project>,
}

impl From<Meta> for About {
    fn from(meta: Meta) -> Self {
        Self { owner: meta.owner(), project: meta.project(), spec: Arc::new(meta.into_spec()) }
    }
}

impl Job {
    fn new(place: Place, about: Option<About>) -> Self {
        Self {
            place,
            state: BatchState::Queued,
            cancel_asked: false,
            diagnostic: None,
            started: None,
            ended: None,
            modified: Millis(place.created_ms),
            about,
            log: Arc::default(),
        }
    }

    /// One that waits for its turn.
    pub(crate) fn queued(place: Place, about: About) -> Self {
        Self::new(place, Some(about))
    }

    /// One that was found running.
    pub(crate) fn running(place: Place, about: About, started: Option<Millis>, cancel_asked: bool) -> Self {
        let mut job = Self { state: BatchState::Running, cancel_asked, ..Self::queued(place, about) };
        job.began(started);
        job.modified = job.started.unwrap_or(job.modified);
        job
    }

    /// One that was found ended.
    pub(crate) fn ended(place: Place, exit: &Exit, cancel_asked: bool) -> Self {
        let mut job = Self { cancel_asked, ..Self::new(place, None) };
        job.end(exit);
        job
    }

    /// The first time that is told stays. A file's own time may lag by a few milliseconds, but nothing begins before it was accepted.
    fn began(&mut self, at: Option<Millis>) {
        self.started = self.started.or(at.map(|at| at.max(Millis(self.place.created_ms))));
    }

    fn end(&mut self, exit: &Exit) {
        self.state = exit.state();
        self.diagnostic = exit.diagnostic();
        self.began(exit.started_ms.map(Millis));
        self.ended = Some(exit.ended());
        self.modified = exit.ended();
        self.about = None;
    }

    /// The job as the backend shows it.
    pub(crate) fn batch(&self, id: Uuid, about: About) -> Batch<NativeId> {
        let created = Millis(self.place.created_ms);
        let times = Times { created, started: self.started, ended: self.ended, modified: self.modified };
        Batch {
            cancel_asked: self.cancel_asked,
            owner: Some(about.owner),
            project: about.project,
            times,
            diagnostic: self.diagnostic.clone(),
            ..Batch::new(native(id), self.state, about.spec)
        }
    }
}

/// A job's id as the backend's clients know it.
pub(crate) fn native(id: Uuid) -> NativeId {
    NativeId::from(id.to_string())
}

/// What came of asking for a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// It is the caller's to fill or to give back.
    Place(Place),
    /// The job is there.
    Exists,
    /// Somebody is making it.
    BeingMade,
    /// Too many wait.
    Full,
}

/// What a job's cancel has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelling {
    /// It had ended.
    Ended(BatchState),
    /// It waited and is out of the queue now.
    Unqueued,
    /// It runs, or is about to.
    Running,
}

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Table {
    jobs: HashMap<Uuid, Job>,
    order: BTreeMap<u64, Uuid>,
    queue: BTreeSet<u64>,
    making: HashSet<Uuid>,
    running: usize,
    last_seq: u64,
}

impl Table {
    /// A place in the order, if there is room.
    pub(crate) fn reserve(&mut self, id: Uuid, now: Millis, concurrency: usize, max_queued: usize) -> Reserved {
        if self.jobs.contains_key(&id) {
            return Reserved::Exists;
        }
        if self.making.contains(&id) {
            return Reserved::BeingMade;
        }
        let waiting = self.queue.len() + self.making.len();
        if waiting >= max_queued + concurrency.saturating_sub(self.running) {
            return Reserved::Full;
        }
        self.making.insert(id);
        self.last_seq += 1;
        Reserved::Place(Place { seq: self.last_seq, created_ms: now.0 })
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self, id: Uuid) {
        self.making.remove(&id);
    }

    pub(crate) fn is_being_made(&self, id: Uuid) -> bool {
        self.making.contains(&id)
    }

    pub(crate) fn insert(&mut self, id: Uuid, job: Job) {
        self.making.remove(&id);
        self.last_seq = self.last_seq.max(job.place.seq);
        self.order.insert(job.place.seq, id);
        match job.state {
            BatchState::Queued => {
                self.queue.insert(job.place.seq);
            }
            state if !state.is_end() => self.running += 1,
            _ => {}
        }
        self.jobs.insert(id, job);
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Takes the next job out of the queue if one may start.
    pub(crate) fn next_to_start(&mut self, concurrency: usize, now: Millis) -> Option<Uuid> {
        if self.running >= concurrency {
            return None;
        }
        let seq = self.queue.pop_first()?;
        let id = self.order[&seq];
        self.take_on(id, now);
        Some(id)
    }

    /// A job that is out of the queue is being started.
    pub(crate) fn take_on(&mut self, id: Uuid, now: Millis) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.state = BatchState::Starting;
            job.modified = now;
            self.running += 1;
        }
    }

    /// A job that was taken on could not be started.
    pub(crate) fn put_back(&mut self, id: Uuid) {
        if let Some(job) = self.jobs.get_mut(&id).filter(|job| job.state == BatchState::Starting) {
            job.state = BatchState::Queued;
            self.running -= 1;
            self.queue.insert(job.place.seq);
        }
    }

    /// The job's own process runs.
    pub(crate) fn runs(&mut self, id: Uuid, started: Option<Millis>, now: Millis) -> bool {
        match self.jobs.get_mut(&id) {
            Some(job) if job.state == BatchState::Starting => {
                job.state = BatchState::Running;
                job.began(started.or(Some(now)));
                job.modified = now;
                true
            }
            _ => false,
        }
    }

    /// The job is over.
    pub(crate) fn end(&mut self, id: Uuid, exit: &Exit) -> bool {
        match self.jobs.get_mut(&id) {
            Some(job) if !job.state.is_end() => {
                if job.state != BatchState::Queued {
                    self.running -= 1;
                }
                self.queue.remove(&job.place.seq);
                job.end(exit);
                true
            }
            _ => false,
        }
    }

    /// Notes that somebody has asked for the end. `None`: there is no such job.
    pub(crate) fn cancel(&mut self, id: Uuid, now: Millis) -> Option<Cancelling> {
        let job = self.jobs.get_mut(&id)?;
        if job.state.is_end() {
            return Some(Cancelling::Ended(job.state));
        }
        job.cancel_asked = true;
        job.modified = now;
        Some(if self.queue.remove(&job.place.seq) { Cancelling::Unqueued } else { Cancelling::Running })
    }

    /// Puts a job back into the queue whose cancel could not be written down.
    pub(crate) fn requeue(&mut self, id: Uuid) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.cancel_asked = false;
            self.queue.insert(job.place.seq);
        }
    }

    /// Jobs in the order of their acceptance, after a place.
    pub(crate) fn after(&self, seq: u64, count: usize) -> Vec<(u64, Uuid)> {
        self.order.range(seq.saturating_add(1)..).take(count).map(|(seq, id)| (*seq, *id)).collect()
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> Vec<Uuid> {
        let runs = |job: &Job| matches!(job.state, BatchState::Starting | BatchState::Running);
        self.jobs.iter().filter(|(_, job)| runs(job)).map(|(id, _)| *id).collect()
    }

    /// Takes out the jobs that ended before this.
    pub(crate) fn expire(&mut self, before: Millis) -> Vec<Uuid> {
        let old = |job: &Job| job.ended.is_some_and(|ended| ended < before);
        let ids: Vec<_> = self.jobs.iter().filter(|(_, job)| old(job)).map(|(id, _)| *id).collect();
        for id in &ids {
            if let Some(job) = self.jobs.remove(id) {
                self.order.remove(&job.place.seq);
            }
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::How;

    fn about() -> About {
        About { spec: Arc::default(), owner: Principal::anonymous(), project: None }
    }

    fn add(table: &mut Table, id: u128) -> bool {
        match table.reserve(Uuid::from_u128(id), Millis(1), 2, 1) {
            Reserved::Place(place) => {
                table.insert(Uuid::from_u128(id), Job::queued(place, about()));
                true
            }
            Reserved::Full => false,
            other => panic!("{other:?}"),
        }
    }

    fn exit(how: How) -> Exit {
        Exit { how, cancelled: false, started_ms: None, ended_ms: 9 }
    }

    #[test]
    fn jobs_start_in_the_order_of_acceptance_within_the_limit() {
        let mut table = Table::default();
        assert!((0..3).all(|id| add(&mut table, id)), "two may run and one may wait");
        assert!(!add(&mut table, 3), "full");
        let next = |table: &mut Table| table.next_to_start(2, Millis(2)).map(|id| id.as_u128());
        assert_eq!((next(&mut table), next(&mut table), next(&mut table)), (Some(0), Some(1), None));
        assert!(table.end(Uuid::from_u128(1), &exit(How::Code(0))));
        assert!(!table.end(Uuid::from_u128(1), &exit(How::Code(1))), "an end stays");
        assert_eq!((next(&mut table), next(&mut table)), (Some(2), None));
        assert!(add(&mut table, 4));
        table.put_back(Uuid::from_u128(2));
        assert_eq!((next(&mut table), next(&mut table)), (Some(2), None), "it keeps its place");
    }

    #[test]
    fn a_queued_job_that_is_cancelled_never_starts() {
        let mut table = Table::default();
        assert!(add(&mut table, 0));
        let id = Uuid::from_u128(0);
        assert_eq!(table.cancel(id, Millis(2)), Some(Cancelling::Unqueued));
        assert_eq!(table.next_to_start(2, Millis(2)), None);
        assert_eq!(table.cancel(id, Millis(2)), Some(Cancelling::Running), "its end is being written");
        table.requeue(id);
        assert_eq!(table.next_to_start(2, Millis(2)), Some(id));
        assert_eq!(table.cancel(Uuid::from_u128(1), Millis(2)), None);
    }

    #[test]
    fn a_start_that_was_told_stays_and_is_not_before_the_acceptance() {
        let mut table = Table::default();
        assert!(add(&mut table, 0));
        let id = Uuid::from_u128(0);
        let started = |table: &Table| table.get(id).and_then(|job| job.started);
        assert_eq!(table.next_to_start(1, Millis(2)), Some(id));
        assert!(table.runs(id, Some(Millis(0)), Millis(3)));
        assert_eq!(started(&table), Some(Millis(1)), "it was accepted then");
        assert!(table.end(id, &Exit { started_ms: Some(4), ..exit(How::Code(0)) }));
        assert_eq!(started(&table), Some(Millis(1)));
    }

    #[test]
    fn ended_jobs_expire_and_a_place_is_never_given_twice() {
        let mut table = Table::default();
        assert!(add(&mut table, 0));
        assert!(add(&mut table, 1));
        table.end(Uuid::from_u128(1), &exit(How::Code(0)));
        assert!(table.expire(Millis(9)).is_empty());
        assert_eq!(table.expire(Millis(10)), [Uuid::from_u128(1)]);
        assert_eq!((table.len(), table.after(0, 9).len()), (1, 1));
        let Reserved::Place(place) = table.reserve(Uuid::from_u128(1), Millis(1), 9, 9) else { panic!("a place") };
        assert_eq!(place.seq, 3);
        assert_eq!(table.reserve(Uuid::from_u128(1), Millis(1), 9, 9), Reserved::BeingMade);
        assert_eq!(table.reserve(Uuid::from_u128(0), Millis(1), 9, 9), Reserved::Exists);
    }
}
