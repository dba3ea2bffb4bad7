//! The port, over the jobs of one folder.
//!
//! Making a backend touches nothing: the folder is taken, and queued jobs go on, with the first call that needs them or the first look at
//! [`Backend::changes`]. So `check` and `explain` can make one beside a running proxy.

use std::{
    collections::HashMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, BackendName, Batch, Capabilities, Changes, Clock, Context, Cursor, Detail, Effect, Error,
    ErrorKind, Intent, Lines, Log, LogBody, LogQuery, LogSource, Marking, Missing, NativeId, NativeIds, Page, Plan,
    Result, Revival, Sighting, Sought, SubmitError, Uuid,
};
use futures_util::stream;
use tokio::{
    sync::{OnceCell, mpsc::UnboundedReceiver},
    task::spawn_blocking,
};

use crate::{
    Config,
    jobs::{Jobs, Listeners},
    log,
    plan::Planner,
    table::Reserved,
    tools::Search,
};

/// How many lines of its log a batch shows by itself.
const TAIL: u32 = 10;
const SCAN_PAGE: usize = 500;
const UPKEEP: Duration = Duration::from_secs(1);
/// A log that has grown by so much is measured in the background, so that who asks for its end does not wait for that.
const GROWTH: u64 = 16 * 1024 * 1024;
const EXPIRE_EVERY: u32 = 3_600;

/// The embedded backend: batches as processes of this machine.
pub struct LocalBackend {
    name: BackendName,
    config: Arc<Config>,
    /// As the configuration means it, resolved against the working directory.
    dir: PathBuf,
    tools: Arc<Search>,
    jobs: Arc<Opening>,
    capabilities: Arc<Capabilities>,
}

/// The jobs, once somebody has asked for them.
struct Opening {
    dir: PathBuf,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    listeners: Arc<Listeners>,
    jobs: OnceCell<Arc<Jobs>>,
}

impl Opening {
    async fn jobs(self: &Arc<Self>) -> Result<&Arc<Jobs>> {
        self.jobs
            .get_or_try_init(|| async {
                let (dir, config, clock) = (self.dir.clone(), Arc::clone(&self.config), Arc::clone(&self.clock));
                let listeners = Arc::clone(&self.listeners);
                let jobs = blocking(move || Jobs::open(&dir, config, clock, &listeners)).await?;
                tokio::spawn(keep_up(Arc::downgrade(self)));
                Ok(jobs)
            })
            .await
    }
}

impl LocalBackend {
    /// Begins to look for Spark; the folder of jobs is not touched yet.
    pub async fn new(name: BackendName, config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let config = Arc::new(config);
        let dir = std::path::absolute(&config.dir).map_err(Error::internal)?;
        let tools = Search::begin(Arc::clone(&config));
        let jobs = Opening {
            dir: dir.clone(),
            config: Arc::clone(&config),
            clock,
            listeners: Arc::default(),
            jobs: OnceCell::new(),
        };
        Ok(Self { name, config, dir, tools, jobs: Arc::new(jobs), capabilities: Arc::new(capabilities()) })
    }

    /// The `spark-submit` that runs batches, if any. Waits until it has been looked for.
    pub fn spark_submit(&self) -> Option<PathBuf> {
        self.tools.tools().spark.as_ref().map(|spark| spark.submit.clone())
    }

    async fn with_jobs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Jobs>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let jobs = Arc::clone(self.jobs.jobs().await?);
        blocking(move || work(&jobs)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::internal)?
}

fn capabilities() -> Capabilities {
    Capabilities {
        submit: true,
        upload: true,
        log: true,
        steps: false,
        actions: [Action::Cancel, Action::Forget, Action::CancelAndForget].into_iter().collect(),
        marking: Marking::Idempotent,
        ids: NativeIds::Unique,
        settle: Duration::ZERO,
        revival: Revival::Never,
        tells_cancelled: true,
        cheap_reads: true,
        caller_credentials: false,
        slow_actions: None,
    }
}

/// What nobody waits for: indexes of growing logs, folders of old jobs, jobs for which there was no thread.
async fn keep_up(opening: Weak<Opening>) {
    let mut ticks = tokio::time::interval(UPKEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut measured = HashMap::new();
    for count in (0..EXPIRE_EVERY).cycle() {
        ticks.tick().await;
        let Some(opening) = opening.upgrade() else { return };
        let Some(jobs) = opening.jobs.get().cloned() else { continue };
        drop(opening);
        let work = spawn_blocking(move || {
            jobs.pump();
            jobs.measure_growing(&mut measured, GROWTH);
            if count == 0 {
                jobs.expire();
            }
            measured
        });
        match work.await {
            Ok(done) => measured = done,
            Err(error) => {
                tracing::error!(%error, "the upkeep of the local backend failed");
                return;
            }
        }
    }
}

fn id_of(native: &NativeId) -> Result<Uuid> {
    Uuid::parse_str(native.as_str()).map_err(|_| Error::no_batch(native))
}

fn with_tail(jobs: &Jobs, id: Uuid, detail: Detail) -> Result<Batch<NativeId>> {
    let mut batch = jobs.batch(id)?;
    match detail {
        Detail::State => {}
        Detail::Summary | Detail::Steps => batch.log_tail = jobs.page(id, Lines::Tail(TAIL))?.lines,
    }
    Ok(batch)
}

#[async_trait]
impl Backend for LocalBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        Arc::clone(&self.capabilities)
    }

    async fn probe(&self, _: &Context) -> Result<Arc<Capabilities>> {
        self.jobs.jobs().await?;
        match self.tools.check().and_then(|tools| tools.fault.clone()) {
            Some(fault) => {
                let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(60) };
                Err(Error::new(kind, "the backend's Spark is not there").caused_by(fault))
            }
            None => Ok(self.capabilities()),
        }
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        let tools = self.tools.tools();
        Planner { config: &self.config, tools: &tools, dir: &self.dir, backend: &self.name }.plan(intent)
    }

    async fn submit(&self, _: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        let jobs = self.jobs.jobs().await.map_err(SubmitError::NotSent)?;
        let id = plan.intent.marker.uuid;
        let place = match jobs.reserve(id) {
            Reserved::Place(place) => place,
            Reserved::Exists => {
                let found = self.with_jobs(move |jobs| jobs.batch(id)).await;
                return found.map_err(SubmitError::Unknown);
            }
            Reserved::BeingMade => {
                let error = Error::new(ErrorKind::BackendTimeout, "the job is still being written to disk");
                return Err(SubmitError::Unknown(error));
            }
            Reserved::Full => {
                let retry_after = Duration::from_secs(5);
                let message = format!("{} jobs are waiting already; try again later", self.config.max_queued);
                return Err(SubmitError::NotSent(Error::new(ErrorKind::Throttled { retry_after }, message)));
            }
        };
        let jobs = Arc::clone(jobs);
        match spawn_blocking(move || jobs.make(place, &plan)).await {
            Ok(made) => made,
            Err(error) => Err(SubmitError::Unknown(Error::internal(error))),
        }
    }

    async fn look_up(&self, _: &Context, sought: &Sought) -> Result<Sighting> {
        let id = sought.marker.uuid;
        self.with_jobs(move |jobs| jobs.look_up(id)).await
    }

    async fn get(&self, _: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let id = id_of(id)?;
        self.with_jobs(move |jobs| with_tail(jobs, id, detail)).await
    }

    async fn scan(&self, _: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let seq = match &after {
            Some(Cursor(text)) => text.parse().map_err(|_| Error::invalid("cursor", "not one of this backend's"))?,
            None => 0,
        };
        self.with_jobs(move |jobs| {
            let (found, total) = jobs.after(seq, SCAN_PAGE);
            let next = found.last().filter(|_| found.len() == SCAN_PAGE).map(|(seq, _)| Cursor(seq.to_string()));
            // One that has just been removed is not there.
            let rows = found.iter().filter_map(|(_, id)| jobs.batch(*id).ok()).collect();
            Ok(Page { rows, total: Some(total), next })
        })
        .await
    }

    async fn log(&self, _: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        let id = id_of(id)?;
        match &query.source {
            LogSource::Default | LogSource::Driver { attempt: 1 } => {}
            LogSource::Driver { .. } => {
                return Err(Error::new(ErrorKind::NotFound(Missing::Log), "the batch has one attempt only"));
            }
            LogSource::Step(step) => {
                let kind = ErrorKind::NotFound(Missing::Step(step.clone()));
                return Err(Error::new(kind, "the batch has no steps"));
            }
        }
        match query.lines {
            Lines::All => {
                let (file, bytes, lines) = self.with_jobs(move |jobs| jobs.whole_log(id)).await?;
                Ok(Log { from: 0, total: Some(lines), body: LogBody::Stream(all(file, bytes)), native: None })
            }
            lines @ (Lines::Tail(_) | Lines::From(..) | Lines::HeadAndTail(_)) => {
                let page = self.with_jobs(move |jobs| jobs.page(id, lines)).await?;
                Ok(Log::page(page.from, page.total, page.lines))
            }
        }
    }

    async fn control(&self, _: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        let id = id_of(id)?;
        match action {
            Action::Cancel | Action::CancelAndForget => self.with_jobs(move |jobs| jobs.cancel(id)).await,
            Action::Forget => self.with_jobs(move |jobs| jobs.batch(id).map(|_| Effect::NothingToDo)).await,
            Action::Pause | Action::Resume | Action::Restart => {
                let kind = ErrorKind::Unsupported { backend: self.name.clone(), what: action.as_str().to_owned() };
                Err(Error::new(kind, format!("backend '{}' cannot {} a batch", self.name, action.as_str())))
            }
        }
    }

    fn changes(&self) -> Option<Changes> {
        let start = Listening { opening: Arc::clone(&self.jobs), heard: self.jobs.listeners.listen() };
        Some(Box::pin(stream::unfold(start, |mut listening| async move {
            let batch = listening.next().await?;
            Some((batch, listening))
        })))
    }
}

/// Somebody who wants to know of changes.
struct Listening {
    opening: Arc<Opening>,
    heard: UnboundedReceiver<Uuid>,
}

impl Listening {
    async fn next(&mut self) -> Option<Batch<NativeId>> {
        loop {
            let jobs = loop {
                match self.opening.jobs().await {
                    Ok(jobs) => break Arc::clone(jobs),
                    Err(error) => {
                        tracing::warn!(error = error.detail(), "the local backend is not open yet");
                        // Another process has the folder; only time will tell when it lets go.
                        tokio::time::sleep(UPKEEP).await;
                    }
                }
            };
            let id = self.heard.recv().await?;
            // One that has just been removed has no changes any more.
            if let Ok(Ok(batch)) = spawn_blocking(move || jobs.batch(id)).await {
                return Some(batch);
            }
        }
    }
}

/// The bytes of a file up to where it ended, one piece at a time.
fn all(file: File, end: u64) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<bytes::Bytes>> + Send>> {
    let file = Arc::new(file);
    Box::pin(stream::unfold(0, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at >= end {
                return None;
            }
            let piece = blocking(move || log::piece(&file, at, end).map_err(Error::internal)).await;
            match piece {
                Ok(piece) if piece.is_empty() => None,
                Ok(piece) => {
                    let next = at + piece.len() as u64;
                    Some((Ok(piece.into()), next))
                }
                Err(error) => Some((Err(error), end)),
            }
        }
    }))
}
