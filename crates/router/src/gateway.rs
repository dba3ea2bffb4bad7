//! What a running proxy is made of, apart from its sockets.
//!
//! A `Gateway` is built as a whole from checked parts and never changed: a reload builds another one. Calls in flight keep theirs.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use batchlingua_core::{
    Backend, BackendName, Batch, BatchId, Claim, Clock, Context, Credentials, DialectName, Entry, Error, ErrorKind,
    Health, Holder, Ledger, ListenerName, Millis, Principal, Project, RequestId, Result, Rights, RowId, Scope, Uuid,
};
use batchlingua_wire::{Dialect, FormLimits, Ownership, Relay};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::{
    CircuitState, ListenerParts, ListenerService, Observer, Routing, Scoping, Stage, chores,
    control::Ending,
    follow,
    open::{OpenIntents, OpenSubmit},
    settle,
    shown::Shown,
    sightings::Sightings,
    stack::{CallLimits, Stack},
    stage,
};

/// How long backends may take to say that they are ready.
const PROBE: Duration = Duration::from_secs(5);
/// When to ask again for what a stopping proxy has refused.
const NEXT_LIFE: Duration = Duration::from_secs(1);

/// A backend and its place in the configuration.
pub struct BackendSlot {
    /// Its name.
    pub name: BackendName,
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Calls of its dialect that are passed on to it, if it is the one for that.
    pub relay: Option<(DialectName, Arc<dyn Relay>)>,
    /// The bounds of calls to it.
    pub limits: CallLimits,
    /// Where uploaded files are put for it.
    pub stage: Option<Stage>,
    /// Whether batches that were submitted to it past this proxy are shown.
    pub foreign: bool,
}

impl BackendSlot {
    /// A backend with default bounds, to which nothing is passed on.
    pub fn new(name: impl Into<BackendName>, backend: Arc<dyn Backend>) -> Self {
        let limits = CallLimits::default();
        Self { name: name.into(), backend, relay: None, limits, stage: None, foreign: true }
    }
}

/// How a backend stands, for operators.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Its name.
    pub name: BackendName,
    /// Where its circuit stands.
    pub circuit: CircuitState,
    /// For how long it has not answered.
    pub away: Option<Duration>,
}

/// What a gateway is made of.
pub struct GatewayParts {
    /// The dialects that listeners may serve.
    pub dialects: Vec<Arc<dyn Dialect>>,
    /// The backends.
    pub backends: Vec<BackendSlot>,
    /// Which submit goes where.
    pub routing: Routing,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// The bounds.
    pub limits: Limits,
}

/// The bounds of requests and of the background work. Each has a line in the configuration reference.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// How long a body may pause, and how far it may fall behind `min_body_rate`.
    pub body_read_timeout: Duration,
    /// Least bytes a second at which a body comes.
    pub min_body_rate: u64,
    /// How long a request may take once its body has come.
    pub request_timeout: Duration,
    /// How long a client waits for the outcome of its submit.
    pub submit_wait: Duration,
    /// How long a client waits for the end that it asked for.
    pub cancel_wait: Duration,
    /// How long an intent belongs to the process that sends it.
    pub lease: Duration,
    /// Most requests at once; more are refused.
    pub max_in_flight: usize,
    /// How long lists show ended batches, by dialect; for ever where there is none.
    pub list_for: HashMap<DialectName, Duration>,
    /// How long ended batches are kept at all.
    pub keep_for: Duration,
    /// How many batches are kept, where that is bounded: of those that have ended, the ones that ended last.
    pub max_rows: Option<u64>,
    /// How long a backend that cannot be reached is answered for from what was last seen.
    pub stale_for: Duration,
    /// How long a batch that its backend does not show any more is asked for again.
    pub unknown_after: Duration,
    /// How often a backend that cannot tell changes by itself is walked.
    pub sweep: Duration,
    /// How old a walk may be for a list.
    pub list_freshness: Duration,
    /// The bounds of uploads.
    pub upload: FormLimits,
    /// Which projects and queues there are.
    pub scoping: Scoping,
}

impl Default for Limits {
    fn default() -> Self {
        let list_for = [("livy", Duration::from_secs(600)), ("kyuubi", Duration::from_secs(3 * 86_400))];
        Self {
            max_body: 16 << 20,
            body_read_timeout: Duration::from_secs(30),
            min_body_rate: 16 << 10,
            request_timeout: Duration::from_secs(120),
            submit_wait: Duration::from_secs(60),
            cancel_wait: Duration::from_secs(10),
            lease: Duration::from_secs(60),
            max_in_flight: 1024,
            list_for: list_for.map(|(name, span)| (name.into(), span)).into(),
            keep_for: Duration::from_secs(30 * 86_400),
            max_rows: None,
            stale_for: Duration::from_secs(600),
            unknown_after: Duration::from_secs(120),
            sweep: Duration::from_secs(10),
            list_freshness: Duration::from_secs(2),
            upload: FormLimits {
                dir: "batchlingua-data/uploads".into(),
                max_parts: 100,
                max_values: 16 << 20,
                max_files: 1 << 30,
            },
            scoping: Scoping::default(),
        }
    }
}

/// A running proxy, apart from its sockets.
pub struct Gateway {
    pub(crate) dialects: Vec<Arc<dyn Dialect>>,
    pub(crate) stacks: HashMap<BackendName, Arc<Stack>>,
    /// Whether some backend is asked with the credentials of whoever asks.
    passes_callers: bool,
    /// Where calls that are passed on go, by their dialect.
    pub(crate) relays: HashMap<DialectName, (BackendName, Arc<dyn Relay>)>,
    pub(crate) routing: Routing,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) limits: Limits,
    pub(crate) holder: Holder,
    /// Submits and controls: what no client can cancel, and what a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Ends the background work.
    pub(crate) stop: CancellationToken,
    /// Rows as they change.
    pub(crate) changed: broadcast::Sender<RowId>,
    /// How many changes there were.
    changes: AtomicU64,
    /// What ended before this found no room in the ledger when that was last looked at.
    full_from: AtomicI64,
    /// When which batch was last seen.
    pub(crate) sightings: Sightings,
    /// What walks have seen beyond the rows.
    pub(crate) shown: Shown,
    /// Batches whose end is being asked for at this moment.
    pub(crate) ending: Ending,
    /// Submits that a task of this process works on.
    pub(crate) open: OpenIntents,
    /// When this proxy began: before that it has seen nothing.
    pub(crate) began: Millis,
}

impl Gateway {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let mut relays = HashMap::new();
        let stacks: HashMap<_, _> = parts
            .backends
            .into_iter()
            .map(|mut slot| {
                if let Some((dialect, relay)) = slot.relay.take() {
                    relays.insert(dialect, (slot.name.clone(), relay));
                }
                (slot.name.clone(), Arc::new(Stack::new(slot, parts.observer.clone())))
            })
            .collect();
        let began = parts.clock.now();
        Arc::new(Self {
            dialects: parts.dialects,
            relays,
            passes_callers: stacks.values().any(|stack| stack.can().caller_credentials),
            stacks,
            routing: parts.routing,
            ledger: parts.ledger,
            clock: parts.clock,
            observer: parts.observer,
            limits: parts.limits,
            holder: Holder(Uuid::new_v4().to_string().into()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            changed: broadcast::channel(1024).0,
            changes: AtomicU64::new(0),
            full_from: AtomicI64::new(i64::MIN),
            sightings: Sightings::default(),
            shown: Shown::default(),
            ending: Ending::default(),
            open: OpenIntents::default(),
            began,
        })
    }

    /// Begins the background work on the current runtime: open intents are resolved, changes followed, cancels repeated, old rows dropped.
    /// Requests are served meanwhile.
    pub fn start(self: &Arc<Self>) {
        self.work("resolve", settle::resolve_open_intents);
        for stack in self.stacks.values() {
            let stack = stack.clone();
            let probed = stack.clone();
            self.work("follow", move |gateway| follow::follow(gateway, stack.clone()));
            self.work("probe", move |gateway| follow::probe(gateway, probed.clone()));
        }
        self.work("repeat cancels", chores::repeat_cancels);
        self.work("expire", chores::expire);
        if self.stacks.values().any(|stack| stack.stage().is_some()) {
            self.work("sweep stages", stage::sweep);
        }
    }

    /// Background work that goes on until the proxy stops: a panic in one round, of an adapter say, must not end it for good and unseen.
    fn work<F>(self: &Arc<Self>, name: &'static str, work: impl Fn(Arc<Self>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let gateway = self.clone();
        tokio::spawn(async move {
            while tokio::spawn(work(gateway.clone())).await.is_err_and(|error| error.is_panic()) {
                tracing::error!(work = name, "background work has panicked; it begins again");
                gateway.pause(gateway.limits.sweep).await;
            }
        });
    }

    /// The service of one listener.
    pub fn listener(self: &Arc<Self>, parts: ListenerParts) -> ListenerService {
        ListenerService::new(self.clone(), parts)
    }

    /// Ends the background work, refuses further submits and controls, and waits for every one that is on its way.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Lets a submit or control begin. A drain that begins after this waits for it, as long as the token is held or a task was made meanwhile.
    pub(crate) fn come_in(&self) -> Result<TaskTrackerToken> {
        let token = self.tasks.token();
        if self.stop.is_cancelled() {
            let kind = ErrorKind::BackendUnavailable { retry_after: NEXT_LIFE };
            return Err(Error::new(kind, "the proxy is stopping; nothing was done, try again"));
        }
        Ok(token)
    }

    /// The submits without an outcome that this process works on, or waits for people to settle; the oldest first.
    pub fn open_submits(&self) -> Vec<OpenSubmit> {
        self.open.all()
    }

    /// Until the open submits that past lives of this process have left are known as well. Those of a dead replica come when their lease is over.
    pub async fn open_submits_are_whole(&self) {
        self.open.whole().await;
    }

    /// How the backends stand, by their names.
    pub fn backends(&self) -> Vec<BackendView> {
        let mut views: Vec<_> = self
            .stacks
            .values()
            .map(|stack| {
                let (circuit, away) = stack.circuit();
                BackendView { name: stack.name().clone(), circuit, away }
            })
            .collect();
        views.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
        views
    }

    /// Waits, but not past the stop.
    pub(crate) async fn pause(&self, span: Duration) {
        let _ = timeout(span, self.stop.cancelled()).await;
    }

    /// Whether submits can be taken: the ledger takes writes and some backend answers. The error says what is missing.
    pub async fn ready(&self) -> Result<(), String> {
        if let Health::Bad(reason) = self.ledger.health().await {
            return Err(format!("ledger: {reason}"));
        }
        // All at once: one that hangs says nothing about the others.
        let mut probes: FuturesUnordered<_> = self.stacks.values().map(|stack| self.probe(stack)).collect();
        let mut last = String::from("no backend is configured");
        while let Some(probe) = probes.next().await {
            match probe {
                Ok(()) => return Ok(()),
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }

    async fn probe(&self, stack: &Stack) -> Result<(), String> {
        let reason = match timeout(PROBE, stack.probe(&self.own_context(PROBE))).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.message,
            Err(_) => "it does not answer".to_owned(),
        };
        Err(format!("backend '{}': {reason}", stack.name()))
    }

    /// The circumstances of work that no client asked for.
    pub(crate) fn own_context(&self, within: Duration) -> Context {
        Context {
            request: RequestId::from("background"),
            dialect: DialectName::from("none"),
            listener: ListenerName::from("none"),
            principal: Principal::anonymous(),
            rights: Arc::new(Rights::all()),
            project: None,
            caller: None,
            client: None,
            trace: None,
            deadline: (Instant::now() + within).into_std(),
        }
    }

    /// What a client has shown, if some backend is asked with it.
    pub(crate) fn caller(&self, shown: &Result<Option<Credentials>>) -> Option<Arc<Credentials>> {
        match shown {
            Ok(Some(shown)) if self.passes_callers => Some(Arc::new(shown.clone())),
            Ok(_) | Err(_) => None,
        }
    }

    pub(crate) fn claim(&self) -> Claim {
        Claim { holder: self.holder.clone(), lease: self.limits.lease }
    }

    /// The stack of the backend that a batch runs on.
    pub(crate) fn stack(&self, name: &BackendName) -> Result<&Arc<Stack>> {
        let retry_after = Duration::from_secs(60);
        self.stacks.get(name).ok_or_else(|| {
            let message = format!("backend '{name}', where this batch runs, is not configured any more");
            Error::new(ErrorKind::BackendUnavailable { retry_after }, message)
        })
    }

    /// What this request's client can see.
    pub(crate) fn scope(&self, ctx: &Context) -> Scope {
        let rules = &self.routing.rules;
        let backends = (!rules.is_empty()).then(|| self.routing.reachable(&ctx.listener, &ctx.dialect));
        Scope { backends, ..self.scope_by_id(ctx) }
    }

    /// The same of batches that it names by an id: they are found where they run, whatever the rules say now.
    pub(crate) fn scope_by_id(&self, ctx: &Context) -> Scope {
        let ended_from = self.limits.list_for.get(&ctx.dialect).map(|span| self.clock.now().minus(*span));
        let (projects, unscoped) = self.limits.scoping.shown(ctx, ctx.project.as_ref(), self.unscoped_project(ctx));
        Scope { dialect: ctx.dialect.clone(), backends: None, projects, unscoped, ended_from }
    }

    /// What this request's client can see of one project.
    pub(crate) fn scope_of(&self, ctx: &Context, project: &Project) -> Scope {
        let (projects, unscoped) = self.limits.scoping.shown(ctx, Some(project), self.unscoped_project(ctx));
        Scope { projects, unscoped, ..self.scope(ctx) }
    }

    /// Whether this request's client can name this project.
    pub(crate) fn check_project(&self, ctx: &Context, project: Option<&Project>) -> Result<()> {
        match project {
            Some(project) if self.unscoped_project(ctx) == Some(project.as_str()) => Ok(()),
            _ => self.limits.scoping.check_project(ctx, project),
        }
    }

    fn unscoped_project(&self, ctx: &Context) -> Option<&str> {
        self.dialect(ctx).and_then(|dialect| dialect.unscoped_project())
    }

    /// What somebody else's batch is to this request's client, as its dialect has it.
    pub(crate) fn ownership(&self, ctx: &Context) -> Ownership {
        self.dialect(ctx).map_or(Ownership::ReadOnly, |dialect| dialect.ownership())
    }

    /// The dialect of this request's client; work that no client asked for has none.
    pub(crate) fn dialect(&self, ctx: &Context) -> Option<&Arc<dyn Dialect>> {
        self.dialects.iter().find(|dialect| *dialect.name() == ctx.dialect)
    }

    /// What this proxy itself can see: all that runs on these backends.
    pub(crate) fn own_scope(&self, backends: Option<Vec<BackendName>>) -> Scope {
        Scope { dialect: DialectName::from("none"), backends, projects: None, unscoped: true, ended_from: None }
    }

    /// What ended before this is not kept, so no walk takes it up.
    pub(crate) fn kept_from(&self) -> Millis {
        self.clock.now().minus(self.limits.keep_for).max(Millis(self.full_from.load(Ordering::Relaxed)))
    }

    /// Says whether the ledger is full, and what has no room in it then.
    pub(crate) fn keep_from(&self, full_from: Option<Millis>) {
        self.full_from.store(full_from.map_or(i64::MIN, |from| from.0), Ordering::Relaxed);
    }

    /// Tells whoever waits that a row has changed.
    pub(crate) fn tell(&self, before: &Entry, now: &Entry) {
        let moved = before.batch.state != now.batch.state || before.batch.attempt != now.batch.attempt;
        if moved {
            self.observer.state(&now.backend, now.batch.state);
        }
        if moved || before.phase != now.phase {
            self.changes.fetch_add(1, Ordering::SeqCst);
            // Nobody waiting is no fault.
            let _ = self.changed.send(now.row);
        }
    }

    /// How many changes there were: none between two looks means that what was read at the first still holds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Until this row may have changed. `false`: the time is over, or the proxy stops.
    pub(crate) async fn until_changed(
        &self,
        changed: &mut broadcast::Receiver<RowId>,
        row: RowId,
        until: Instant,
    ) -> bool {
        loop {
            let told = tokio::select! {
                () = self.stop.cancelled() => return false,
                told = timeout_at(until, changed.recv()) => told,
            };
            match told {
                Ok(Ok(other)) if other != row => {}
                // This one, or so many at once that some were missed and this may be among them.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => return true,
                Ok(Err(RecvError::Closed)) | Err(_) => return false,
            }
        }
    }
}

/// The row's batch, with what only the backend's own answer has.
pub(crate) fn merge<N>(entry: &Entry, seen: Batch<N>) -> Arc<Batch<BatchId>> {
    let row = &entry.batch;
    // A backend may show an older state than was seen already; its own word for that would go backwards.
    let native = seen.native.filter(|_| seen.state == row.state);
    if native.is_none() && seen.log_tail.is_empty() && seen.steps.is_empty() {
        return row.clone();
    }
    Arc::new(Batch { log_tail: seen.log_tail, steps: seen.steps, native, ..Batch::clone(row) })
}
