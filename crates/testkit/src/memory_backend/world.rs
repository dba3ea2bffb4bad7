//! The jobs of a backend in memory and how they move. Sync: whoever calls holds the lock.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use batchlingua_core::{
    Action, ActionSet, BackendName, Batch, BatchState, Capabilities, Cursor, Detail, Effect, Error, ErrorKind, Field,
    Intent, Marker, Marking, Millis, NativeId, NativeIds, Page, Result, Revival, Sighting,
};

use super::{Numbering, OnCancel, SubmitFault, logs::Logs};

/// Where a job comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A submit that went through.
    Submit,
    /// A submit that was refused: no job, a record of one.
    Ghost,
    /// Somebody else.
    Foreign,
}

pub(super) struct Job {
    pub(super) batch: Batch<NativeId>,
    pub(super) logs: Logs,
    marker: Marker,
    ghost: bool,
}

pub(super) struct World {
    pub(super) name: BackendName,
    pub(super) capabilities: Arc<Capabilities>,
    pub(super) numbering: Numbering,
    pub(super) page_size: usize,
    pub(super) on_cancel: OnCancel,
    pub(super) reachable: bool,
    pub(super) walkable: bool,
    pub(super) left_out: Vec<NativeId>,
    pub(super) faults: VecDeque<SubmitFault>,
    pub(super) late: Vec<Intent>,
    pub(super) lost: Vec<Field>,
    pub(super) created: u64,
    jobs: BTreeMap<u64, Job>,
    places: HashMap<NativeId, u64>,
    next_place: u64,
    next_number: u64,
}

impl World {
    pub(super) fn new(name: BackendName) -> Self {
        Self {
            name,
            capabilities: Arc::new(everything()),
            numbering: Numbering::Texts,
            page_size: 100,
            on_cancel: OnCancel::EndAtOnce,
            reachable: true,
            walkable: true,
            left_out: Vec::new(),
            faults: VecDeque::new(),
            late: Vec::new(),
            lost: Vec::new(),
            created: 0,
            jobs: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            next_number: 0,
        }
    }

    pub(super) fn reach(&self) -> Result<()> {
        if self.reachable {
            return Ok(());
        }
        let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(1) };
        Err(Error::new(kind, format!("backend '{}' cannot be reached", self.name)))
    }

    /// Makes the job of an intent; where the marker is the id, only once.
    pub(super) fn create(&mut self, intent: &Intent, origin: Origin, now: Millis) -> Batch<NativeId> {
        let by_marker = self.capabilities.marking == Marking::Idempotent;
        let id = match self.numbering {
            _ if by_marker => intent.marker.uuid.to_string(),
            Numbering::Texts => format!("mem-{}", self.next_number),
            Numbering::Integers => self.next_number.to_string(),
        };
        let id = NativeId::from(id);
        if let Some(job) = self.places.get(&id).and_then(|place| self.jobs.get(place)) {
            return job.batch.clone();
        }
        let mut spec = intent.spec.clone();
        if let Some(name) = &intent.marker.name {
            Arc::make_mut(&mut spec).name = Some(name.clone());
        }
        let ghost = origin == Origin::Ghost;
        let state = if ghost { BatchState::Starting } else { BatchState::Queued };
        let mut batch = Batch::new(id.clone(), state, spec);
        batch.owner = Some(intent.principal.clone());
        batch.project = intent.project.clone();
        batch.mark = (self.capabilities.marking == Marking::Findable).then_some(intent.marker.uuid);
        batch.times.created = now;
        batch.times.modified = now;
        let job = Job { batch: batch.clone(), logs: Logs::default(), marker: intent.marker.clone(), ghost };
        self.places.insert(id, self.next_place);
        self.jobs.insert(self.next_place, job);
        self.next_place += 1;
        self.next_number += 1;
        self.created += u64::from(origin == Origin::Submit);
        batch
    }

    pub(super) fn job(&mut self, id: &NativeId) -> Result<&mut Job> {
        let place = self.places.get(id).ok_or_else(|| Error::no_batch(id))?;
        Ok(self.jobs.get_mut(place).expect("every place has its job"))
    }

    pub(super) fn show(&mut self, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let steps_shown = self.capabilities.steps;
        let job = self.job(id)?;
        let mut batch = job.batch.clone();
        let (tail, steps) = match detail {
            Detail::State => (false, false),
            Detail::Summary => (true, false),
            Detail::Steps => (true, steps_shown),
        };
        if tail {
            batch.log_tail = job.logs.tail(10);
        }
        if !steps {
            batch.steps.clear();
        }
        Ok(batch)
    }

    pub(super) fn ids(&self) -> Vec<NativeId> {
        self.jobs.values().map(|job| job.batch.id.clone()).collect()
    }

    pub(super) fn forget(&mut self, id: &NativeId) {
        if let Some(place) = self.places.remove(id) {
            self.jobs.remove(&place);
        }
    }

    pub(super) fn forget_all(&mut self) {
        self.jobs.clear();
        self.places.clear();
        if self.numbering == Numbering::Integers {
            self.next_number = 0;
        }
    }

    pub(super) fn look_up(&self, marker: &Marker) -> Sighting {
        if self.capabilities.marking == Marking::None {
            return Sighting::CannotTell;
        }
        let is_it = |job: &&Job| {
            job.marker.uuid == marker.uuid || (marker.name.is_some() && job.batch.spec.name == marker.name)
        };
        match self.jobs.values().find(is_it) {
            Some(job) if job.ghost => Sighting::Ghost(job.batch.id.clone()),
            Some(job) => Sighting::Found(Box::new(job.batch.clone())),
            None => Sighting::Absent { others_seen: !self.jobs.is_empty() },
        }
    }

    pub(super) fn scan(&self, after: Option<&Cursor>) -> Result<Page<Batch<NativeId>>> {
        let begin = match after {
            None => 0,
            Some(cursor) => cursor.0.parse().map_err(|_| Error::internal("no cursor of this backend"))?,
        };
        if !self.walkable {
            return Err(Error::new(ErrorKind::BackendRejected, "the backend gives no list"));
        }
        let is_listed = |(_, job): &(&u64, &Job)| !self.left_out.contains(&job.batch.id);
        let mut rows: Vec<_> = self.jobs.range(begin..).filter(is_listed).take(self.page_size + 1).collect();
        let more = rows.len() > self.page_size;
        rows.truncate(self.page_size);
        let next = rows.last().filter(|_| more).map(|(place, _)| Cursor((*place + 1).to_string()));
        let shown = |job: &Job| Batch { steps: Vec::new(), ..job.batch.clone() };
        let rows = rows.into_iter().map(|(_, job)| shown(job)).collect();
        Ok(Page { rows, total: Some(self.jobs.len() as u64), next })
    }

    pub(super) fn act(&mut self, id: &NativeId, action: Action, now: Millis) -> Result<Effect> {
        let capabilities = self.capabilities.clone();
        let on_cancel = self.on_cancel;
        let backend = self.name.clone();
        let job = self.job(id)?;
        if !capabilities.actions.contains(action) {
            let kind = ErrorKind::Unsupported { backend: backend.clone(), what: action.as_str().to_owned() };
            return Err(Error::new(kind, format!("backend '{backend}' cannot {}", action.as_str())));
        }
        let before = job.batch.state;
        let legal = |action: Action| is_legal(before, action, capabilities.revival);
        if !legal(action) {
            let all = [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget];
            let allowed = all.into_iter().filter(|other| legal(*other)).collect();
            let message = format!("batch '{id}' is {before}");
            return Err(Error::new(ErrorKind::IllegalState { state: before, allowed }, message));
        }
        let is_over = before.is_end() && !(before == BatchState::Failed && capabilities.revival != Revival::Never);
        let effect = match action {
            Action::Cancel | Action::CancelAndForget if is_over => Effect::AlreadyEnded(before),
            Action::Cancel | Action::CancelAndForget => match on_cancel {
                OnCancel::EndAtOnce => {
                    job.batch.cancel_asked = true;
                    job.move_to(BatchState::Cancelled, now);
                    Effect::Ended(BatchState::Cancelled)
                }
                OnCancel::Accept => {
                    job.batch.cancel_asked = true;
                    Effect::Accepted
                }
                OnCancel::Lose => Effect::Accepted,
            },
            Action::Forget => Effect::AlreadyEnded(before),
            Action::Pause if before == BatchState::Paused => Effect::NothingToDo,
            Action::Pause => {
                job.move_to(BatchState::Paused, now);
                Effect::Accepted
            }
            // It counts no attempts, as no platform of ours does: a change that is told late is then overtaken by those after it.
            Action::Resume | Action::Restart => {
                job.batch.times.started = None;
                job.move_to(BatchState::Queued, now);
                Effect::Accepted
            }
        };
        if matches!(action, Action::Forget | Action::CancelAndForget) {
            self.forget(id);
        }
        Ok(effect)
    }
}

impl Job {
    /// As told, backwards too: what a backend shows is not always in order.
    pub(super) fn move_to(&mut self, state: BatchState, now: Millis) {
        let times = &mut self.batch.times;
        self.batch.state = state;
        times.modified = now;
        if state == BatchState::Running {
            times.started = times.started.or(Some(now));
        }
        times.ended = state.is_end().then_some(now);
    }
}

/// Whether the action can be asked in this state. A cancel always can: what has ended says so.
fn is_legal(state: BatchState, action: Action, revival: Revival) -> bool {
    use BatchState::{Cancelled, Failed, Paused, Queued, Running, Starting, Succeeded, Unknown};
    match (action, state) {
        (Action::Cancel | Action::CancelAndForget, _) => true,
        (Action::Forget, state) => state.is_end(),
        (Action::Pause, Queued | Starting | Running | Paused) => true,
        (Action::Resume | Action::Restart, Paused) | (Action::Restart, Running) => true,
        (Action::Resume | Action::Restart, Failed) => revival == Revival::AfterFailure,
        (Action::Pause, Succeeded | Failed | Cancelled | Unknown) => false,
        (Action::Resume, Queued | Starting | Running | Succeeded | Cancelled | Unknown) => false,
        (Action::Restart, Queued | Starting | Succeeded | Cancelled | Unknown) => false,
    }
}

/// A backend that can do all that the model knows.
fn everything() -> Capabilities {
    let actions: ActionSet =
        [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget, Action::CancelAndForget]
            .into_iter()
            .collect();
    Capabilities {
        submit: true,
        upload: true,
        log: true,
        steps: true,
        actions,
        marking: Marking::Findable,
        ids: NativeIds::Unique,
        settle: Duration::from_secs(30),
        revival: Revival::Never,
        tells_cancelled: true,
        cheap_reads: false,
        caller_credentials: false,
        slow_actions: None,
    }
}
