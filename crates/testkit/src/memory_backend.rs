//! A backend in memory that does what the test says, when the test says it.
//!
//! Jobs move by [`MemoryBackend::advance`] only; a call is slow by [`MemoryBackend::hold`] until it is released; faults are switched on.
//! A dialect over it is a fake server of that dialect. It counts the jobs that were really made and the calls that reached it, since "one
//! intent, at most one job" and "polls are the load" are claims about these two numbers.

mod gates;
mod logs;
mod world;

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, BackendName, Batch, BatchSpec, BatchState, Capabilities, Changes, Clock, Context, Cursor, Detail,
    DialectName, Effect, Error, ErrorKind, Field, Intent, Log, LogQuery, LogSource, NativeId, Page, Plan, Result,
    Sighting, Sought, SubmitError,
};
use futures_util::stream;
use tokio::sync::broadcast;

use crate::{fates, golden::describe_spec, intent, marker};
use gates::Gates;
pub use gates::Point;
use world::{Origin, World};

/// What its ids look like, unless it takes the marker for the id ([`batchlingua_core::Marking::Idempotent`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// `mem-0`, `mem-1`, …
    Texts,
    /// `0`, `1`, … and from `0` again after [`MemoryBackend::forget_all`], as Livy counts.
    Integers,
}

/// What becomes of one submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitFault {
    /// Nothing: it is accepted.
    None,
    /// Not one byte was sent.
    NotSent,
    /// It is refused.
    Refused,
    /// It is refused, and a record of it stays behind.
    RefusedLeavingGhost,
    /// The job is made, but nobody is told.
    UnknownButCreated,
    /// The job is not made, and nobody is told.
    UnknownAndNotCreated,
    /// Nobody is told, and the job is made at [`MemoryBackend::deliver_late`]: a submit that is still on its way.
    UnknownAndLate,
}

/// What a cancel does to a job that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// It ends at once.
    EndAtOnce,
    /// It is accepted; the end comes when the test says so.
    Accept,
    /// It is answered like [`OnCancel::Accept`], but the job knows nothing of it.
    Lose,
}

/// The backend. See the module.
pub struct MemoryBackend {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    gates: Gates,
    moves: broadcast::Sender<Batch<NativeId>>,
    tells: bool,
    rows_tell: bool,
}

impl MemoryBackend {
    /// A backend that can do all that the model knows, and has to be asked about changes.
    pub fn new(name: impl Into<BackendName>, clock: Arc<dyn Clock>) -> Self {
        let world = Mutex::new(World::new(name.into()));
        Self { clock, world, gates: Gates::new(), moves: broadcast::channel(1024).0, tells: false, rows_tell: false }
    }

    /// The same, telling changes by itself.
    #[must_use]
    pub fn telling_changes(self) -> Self {
        Self { tells: true, ..self }
    }

    /// The same whose walks show all that a look does.
    #[must_use]
    pub fn telling_by_rows(self) -> Self {
        Self { rows_tell: true, ..self }
    }

    /// The same with ids of this form.
    #[must_use]
    pub fn numbered(self, numbering: Numbering) -> Self {
        self.world().numbering = numbering;
        self
    }

    /// The same with so many rows on a page of a walk.
    #[must_use]
    pub fn paged(self, rows: usize) -> Self {
        self.world().page_size = rows;
        self
    }

    /// The same without these fields: they are not carried.
    #[must_use]
    pub fn losing(self, fields: &[Field]) -> Self {
        self.world().lost = fields.to_vec();
        self
    }

    /// The same with other abilities.
    #[must_use]
    pub fn able(self, change: impl FnOnce(&mut Capabilities)) -> Self {
        self.set_capabilities(change);
        self
    }

    /// Changes what it can do, as an upgrade would.
    pub fn set_capabilities(&self, change: impl FnOnce(&mut Capabilities)) {
        change(Arc::make_mut(&mut self.world().capabilities));
    }

    /// What becomes of the next submits, in order; those after them are accepted.
    pub fn next_submits(&self, faults: impl IntoIterator<Item = SubmitFault>) {
        self.world().faults.extend(faults);
    }

    /// What a cancel does from now on.
    pub fn on_cancel(&self, what: OnCancel) {
        self.world().on_cancel = what;
    }

    /// Whether walks are answered.
    pub fn set_walkable(&self, walkable: bool) {
        self.world().walkable = walkable;
    }

    /// A job that no walk shows, though it is there.
    pub fn leave_out(&self, id: &NativeId) {
        self.world().left_out.push(id.clone());
    }

    /// Whether it can be reached.
    pub fn set_reachable(&self, reachable: bool) {
        self.world().reachable = reachable;
    }

    /// Holds every call at this point until [`MemoryBackend::release`].
    pub fn hold(&self, point: Point) {
        self.gates.hold(point, true);
    }

    /// Lets held calls go on.
    pub fn release(&self, point: Point) {
        self.gates.hold(point, false);
    }

    /// Until so many calls are held at this point.
    pub async fn until_held(&self, point: Point, calls: usize) {
        self.gates.until_waiting(point, calls).await;
    }

    /// Until so many calls have come to this point, held or not.
    pub async fn until_called(&self, point: Point, calls: u64) {
        self.gates.until_arrived(point, calls).await;
    }

    /// How many calls have come to this point.
    pub fn calls(&self, point: Point) -> u64 {
        self.gates.arrived(point)
    }

    /// How many jobs were really made by submits.
    pub fn jobs_created(&self) -> u64 {
        self.world().created
    }

    /// The ids of all jobs, oldest first.
    pub fn ids(&self) -> Vec<NativeId> {
        self.world().ids()
    }

    /// A job that somebody submitted elsewhere.
    pub fn add_foreign(&self, spec: BatchSpec) -> NativeId {
        let now = self.clock.now();
        let batch = self.world().create(&intent(marker(), spec), Origin::Foreign, now);
        self.tell(batch.clone());
        batch.id
    }

    /// Makes the jobs of submits that were [`SubmitFault::UnknownAndLate`]; their ids.
    pub fn deliver_late(&self) -> Vec<NativeId> {
        let now = self.clock.now();
        let mut world = self.world();
        let late = std::mem::take(&mut world.late);
        let made: Vec<_> = late.iter().map(|intent| world.create(intent, Origin::Submit, now)).collect();
        drop(world);
        made.into_iter().map(|batch| (batch.id.clone(), self.tell(batch)).0).collect()
    }

    /// Moves a job, backwards too if told so. Panics if there is no such job: the script is wrong then.
    pub fn advance(&self, id: &NativeId, state: BatchState) {
        let now = self.clock.now();
        let mut world = self.world();
        let job = world.job(id).expect("a test moves jobs that are there");
        job.move_to(state, now);
        let batch = job.batch.clone();
        drop(world);
        self.tell(batch);
    }

    /// Changes anything else of a job, such as its application or its steps.
    pub fn edit(&self, id: &NativeId, change: impl FnOnce(&mut Batch<NativeId>)) {
        let mut world = self.world();
        let job = world.job(id).expect("a test changes jobs that are there");
        change(&mut job.batch);
        let batch = job.batch.clone();
        drop(world);
        self.tell(batch);
    }

    /// Appends lines to a job's log.
    pub fn write_log<L: Into<String>>(&self, id: &NativeId, lines: impl IntoIterator<Item = L>) {
        self.write_log_of(id, &LogSource::Default, lines);
    }

    /// Appends lines to one of a job's logs; the log is there from then on.
    pub fn write_log_of<L: Into<String>>(&self, id: &NativeId, source: &LogSource, lines: impl IntoIterator<Item = L>) {
        let mut world = self.world();
        let job = world.job(id).expect("a test writes logs of jobs that are there");
        job.logs.write(source, lines.into_iter().map(Into::into));
    }

    /// Drops one job, as retention or a lost store would.
    pub fn forget(&self, id: &NativeId) {
        self.world().forget(id);
    }

    /// Amnesia: drops all jobs.
    pub fn forget_all(&self) {
        self.world().forget_all();
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics while it holds the world")
    }

    fn tell(&self, batch: Batch<NativeId>) {
        // Nobody listening is no fault.
        let _ = self.moves.send(batch);
    }

    fn decide(&self, intent: &Intent) -> Result<Batch<NativeId>, SubmitError> {
        let now = self.clock.now();
        let mut world = self.world();
        world.reach().map_err(SubmitError::NotSent)?;
        let fault = world.faults.pop_front().unwrap_or(SubmitFault::None);
        let mut make = |origin| {
            let batch = world.create(intent, origin, now);
            self.tell(batch.clone());
            batch
        };
        let refused = || SubmitError::Refused(Error::new(ErrorKind::BackendRejected, "the backend refused it"));
        let timeout = |message| Error::new(ErrorKind::BackendTimeout, message);
        let unknown = || SubmitError::Unknown(timeout("the backend did not answer in time"));
        match fault {
            SubmitFault::None => Ok(make(Origin::Submit)),
            SubmitFault::NotSent => Err(SubmitError::NotSent(timeout("no connection could be made in time"))),
            SubmitFault::Refused => Err(refused()),
            SubmitFault::RefusedLeavingGhost => {
                make(Origin::Ghost);
                Err(refused())
            }
            SubmitFault::UnknownButCreated => {
                make(Origin::Submit);
                Err(unknown())
            }
            SubmitFault::UnknownAndNotCreated => Err(unknown()),
            SubmitFault::UnknownAndLate => {
                world.late.push(intent.clone());
                Err(unknown())
            }
        }
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        self.world().capabilities.clone()
    }

    async fn probe(&self, _: &Context) -> Result<Arc<Capabilities>> {
        self.gates.pass(Point::Probe).await;
        let world = self.world();
        world.reach().map(|()| world.capabilities.clone())
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        let request = format!("run {}\n{}", intent.marker.uuid, describe_spec(&intent.spec)).into();
        let fates = fates(&intent.spec, &self.world().lost);
        Ok(Plan { intent, request, fates })
    }

    async fn submit(&self, _: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        self.gates.pass(Point::Submit).await;
        let decided = self.decide(&plan.intent);
        self.gates.pass(Point::SubmitAnswer).await;
        decided
    }

    async fn look_up(&self, _: &Context, sought: &Sought) -> Result<Sighting> {
        self.gates.pass(Point::LookUp).await;
        let world = self.world();
        world.reach().map(|()| world.look_up(&sought.marker))
    }

    async fn get(&self, _: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        self.gates.pass(Point::Get).await;
        let shown = {
            let mut world = self.world();
            world.reach().and_then(|()| world.show(id, detail))
        };
        self.gates.pass(Point::GetAnswer).await;
        shown
    }

    async fn scan(&self, _: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        self.gates.pass(Point::Scan).await;
        let page = {
            let world = self.world();
            world.reach()?;
            world.scan(after.as_ref())
        };
        self.gates.pass(Point::ScanAnswer).await;
        page
    }

    fn rows_tell(&self, _: &DialectName, detail: Detail) -> bool {
        self.rows_tell && detail != Detail::Steps
    }

    async fn log(&self, _: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        self.gates.pass(Point::Log).await;
        let mut world = self.world();
        world.reach()?;
        world.job(id)?.logs.read(query)
    }

    async fn control(&self, _: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        self.gates.pass(Point::Control).await;
        let now = self.clock.now();
        let mut world = self.world();
        world.reach()?;
        let effect = world.act(id, action, now)?;
        // A job that was forgotten has no more changes to tell.
        let left = world.job(id).ok().map(|job| job.batch.clone());
        drop(world);
        left.into_iter().for_each(|batch| self.tell(batch));
        Ok(effect)
    }

    fn changes(&self) -> Option<Changes> {
        let moves = self.tells.then(|| self.moves.subscribe())?;
        Some(Box::pin(stream::unfold(moves, |mut moves| async {
            loop {
                match moves.recv().await {
                    Ok(batch) => return Some((batch, moves)),
                    // Whoever reads too slowly sees the later changes, as with a real stream that was cut and taken up again.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })))
    }
}
