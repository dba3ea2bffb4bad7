//! What a running proxy is made of, apart from its sockets.
//!
//! A `Gateway` is built as a whole from checked parts and never changed: a reload builds another one. Calls in flight keep theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use batchlingua_core::{
    Backend, BackendName, Batch, BatchId, Claim, Clock, Context, DialectName, Entry, Error, ErrorKind, Health, Holder,
    Ledger, ListenerName, Millis, Principal, RequestId, Result, RowId, Scope, Uuid,
};
use batchlingua_wire::{Dialect, FormLimits};
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ListenerParts, ListenerService, Observer, Routing, follow, settle,
    stack::{CallLimits, Stack},
};

/// A backend and its place in the configuration.
pub struct BackendSlot {
    /// Its name.
    pub name: BackendName,
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// The bounds of calls to it.
    pub limits: CallLimits,
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
    /// How long a body may take to come.
    pub body_read_timeout: Duration,
    /// How long a request may take in all.
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
}

impl Default for Limits {
    fn default() -> Self {
        let list_for = [("livy", Duration::from_secs(600)), ("kyuubi", Duration::from_secs(3 * 86_400))];
        Self {
            max_body: 16 << 20,
            body_read_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            submit_wait: Duration::from_secs(60),
            cancel_wait: Duration::from_secs(10),
            lease: Duration::from_secs(60),
            max_in_flight: 1024,
            list_for: list_for.map(|(name, span)| (name.into(), span)).into(),
            keep_for: Duration::from_secs(30 * 86_400),
            stale_for: Duration::from_secs(600),
            unknown_after: Duration::from_secs(120),
            sweep: Duration::from_secs(10),
            list_freshness: Duration::from_secs(2),
            upload: FormLimits {
                dir: "batchlingua-data/uploads".into(),
                max_parts: 100,
                max_value: 16 << 20,
                max_files: 1 << 30,
            },
        }
    }
}

/// A running proxy, apart from its sockets.
pub struct Gateway {
    pub(crate) dialects: Vec<Arc<dyn Dialect>>,
    pub(crate) stacks: HashMap<BackendName, Arc<Stack>>,
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
    /// Batches that their backend did not show when last asked, since when.
    pub(crate) missing: Mutex<HashMap<RowId, Millis>>,
    /// Backends that did not answer when last asked, since when.
    pub(crate) walked: Mutex<HashMap<BackendName, Instant>>,
}

impl Gateway {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: GatewayParts) -> Arc<Self> {
        let stacks = parts.backends.into_iter().map(|slot| {
            let stack = Stack::new(slot.name.clone(), slot.backend, slot.limits, parts.observer.clone());
            (slot.name, Arc::new(stack))
        });
        Arc::new(Self {
            dialects: parts.dialects,
            stacks: stacks.collect(),
            routing: parts.routing,
            ledger: parts.ledger,
            clock: parts.clock,
            observer: parts.observer,
            limits: parts.limits,
            holder: Holder(Uuid::new_v4().to_string().into()),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            changed: broadcast::channel(1024).0,
            missing: Mutex::default(),
            walked: Mutex::default(),
        })
    }

    /// Begins the background work on the current runtime: open intents are resolved, changes followed, cancels repeated, old rows dropped.
    /// Requests are served meanwhile.
    pub fn start(self: &Arc<Self>) {
        tokio::spawn(settle::resolve_open_intents(self.clone()));
        for stack in self.stacks.values() {
            tokio::spawn(follow::follow(self.clone(), stack.clone()));
        }
        tokio::spawn(follow::repeat_cancels(self.clone()));
        tokio::spawn(follow::expire(self.clone()));
    }

    /// The service of one listener.
    pub fn listener(self: &Arc<Self>, parts: ListenerParts) -> ListenerService {
        ListenerService::new(self.clone(), parts)
    }

    /// Ends the background work and waits for every submit and control that is on its way.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether submits can be taken: the ledger takes writes and some backend answers. The error says what is missing.
    pub async fn ready(&self) -> Result<(), String> {
        if let Health::Bad(reason) = self.ledger.health().await {
            return Err(format!("ledger: {reason}"));
        }
        let ctx = self.own_context(Duration::from_secs(5));
        let mut last = String::from("no backend is configured");
        for stack in self.stacks.values() {
            match stack.probe(&ctx).await {
                Ok(_) => return Ok(()),
                Err(error) => last = format!("backend '{}': {}", stack.name(), error.message),
            }
        }
        Err(last)
    }

    /// The circumstances of work that no client asked for.
    pub(crate) fn own_context(&self, within: Duration) -> Context {
        Context {
            request: RequestId::from("background"),
            dialect: DialectName::from("none"),
            listener: ListenerName::from("none"),
            principal: Principal::anonymous(),
            caller: None,
            deadline: Instant::now() + within,
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
        let backends = if self.routing.rules.is_empty() {
            None
        } else {
            Some(self.routing.reachable(&ctx.listener, &ctx.dialect))
        };
        let ended_from = self.limits.list_for.get(&ctx.dialect).map(|span| self.clock.now().minus(*span));
        Scope { dialect: ctx.dialect.clone(), backends, projects: None, unscoped: true, ended_from }
    }

    /// Tells whoever waits that a row has changed.
    pub(crate) fn tell(&self, before: &Entry, now: &Entry) {
        if before.batch.state != now.batch.state
            || before.batch.attempt != now.batch.attempt
            || before.phase != now.phase
        {
            self.observer.state(&now.backend, now.batch.state);
            // Nobody waiting is no fault.
            let _ = self.changed.send(now.row);
        }
    }
}

/// The row's batch, with what only the backend's own answer has.
pub(crate) fn merge<N>(entry: &Entry, seen: Batch<N>) -> Batch<BatchId> {
    let row = &entry.batch;
    Batch { log_tail: seen.log_tail, steps: seen.steps, native: seen.native, ..Batch::clone(row) }
}
