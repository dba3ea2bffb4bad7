//! The stack in front of one backend: capability check · circuit · retry (budget) · record of the call · bounded places · attempt timeout · adapter.
//!
//! A submit and a control run in a task of their own that no client can cancel, so only the attempt's own timeout ends them; for a submit
//! it is told apart from a refusal, since after a timeout nobody knows. Where a platform answers an action only when it is done, it has
//! longer ([`Capabilities::slow_actions`]). The call is a value, so that one tower stack serves all seven.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use batchlingua_core::{
    Action, Backend, BackendName, Batch, Capabilities, Changes, Context, Cursor, Detail, DialectName, Effect, Error,
    ErrorKind, Intent, Log, LogBody, LogQuery, Millis, NativeId, Page, Payload, Plan, Result, Sighting, Sought,
    SubmitError,
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use tokio::time::{error::Elapsed, timeout};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    retry::budget::{Budget, TpsBudget},
};

use crate::{
    BackendSlot, CallRecord, CircuitLimits, CircuitState, Observer,
    circuit::{Circuit, Leave, Sign},
    follow::Walks,
    fresh::Looks,
    rounds::Rounds,
    shed::{Full, Held, Shed},
    stage::Stage,
};

/// The bounds of calls to one backend.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Most calls at once; more are refused.
    pub concurrency: usize,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long what was seen of a batch serves all who ask for it; none: each poll asks.
    pub freshness: Duration,
    /// Most bytes of what was seen.
    pub max_looks: usize,
    /// When it is left alone.
    pub circuit: CircuitLimits,
    /// Of a hundred polls, so many may be sent a second time because the first had no answer.
    pub retry_budget: u32,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            concurrency: 256,
            timeout: Duration::from_secs(30),
            freshness: Duration::from_secs(1),
            max_looks: 32 << 20,
            circuit: CircuitLimits::default(),
            retry_budget: 10,
        }
    }
}

/// The budget of retries is what was sent in this time, and a few.
const BUDGETED: Duration = Duration::from_secs(10);
const FEW_RETRIES: u32 = 1;

/// One call of a backend.
#[derive(Clone, Debug)]
enum Call {
    Probe,
    Submit(Box<Plan>),
    LookUp(Sought),
    Get(NativeId, Detail),
    Scan(Option<Cursor>),
    Log(NativeId, LogQuery),
    Control(NativeId, Action),
}

/// What it answers.
enum Answer {
    Capabilities(Arc<Capabilities>),
    Submit(Result<Box<Batch<NativeId>>, SubmitError>),
    Sighting(Sighting),
    Batch(Box<Batch<NativeId>>),
    Page(Page<Batch<NativeId>>),
    Log(Log),
    Effect(Effect),
}

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Submit(_) => "submit",
            Self::LookUp(_) => "look_up",
            Self::Get(..) => "get",
            Self::Scan(_) => "scan",
            Self::Log(..) => "log",
            Self::Control(..) => "control",
        }
    }

    /// Whether it is a read for whoever watches: it changes nothing, and may as well be made later.
    fn is_poll(&self) -> bool {
        match self {
            Self::Get(..) | Self::Scan(_) | Self::Log(..) => true,
            Self::Probe | Self::Submit(_) | Self::LookUp(_) | Self::Control(..) => false,
        }
    }

    /// What of it the backend cannot do at all.
    fn beyond(&self, can: &Capabilities) -> Option<String> {
        match self {
            Self::Submit(plan) => beyond_submit(can, plan),
            Self::Get(_, Detail::Steps) if !can.steps => Some("steps".into()),
            Self::Log(..) if !can.log => Some("logs".into()),
            Self::Control(_, action) if !can.actions.contains(*action) => Some(action_words(*action)),
            Self::Probe | Self::LookUp(_) | Self::Get(..) | Self::Scan(_) | Self::Log(..) | Self::Control(..) => None,
        }
    }
}

const UPLOADS: &str = "uploaded files";

fn beyond_submit(can: &Capabilities, plan: &Plan) -> Option<String> {
    match plan {
        _ if !can.submit => Some("submitting batches".into()),
        plan if !plan.intent.files.is_empty() && !can.upload => Some(UPLOADS.to_owned()),
        _ => None,
    }
}

fn action_words(action: Action) -> String {
    format!("the action '{}'", action.as_str())
}

/// The adapter as a tower service: each call has its time.
#[derive(Clone)]
struct BackendService {
    backend: Arc<dyn Backend>,
    timeout: Duration,
}

impl Service<(Context, Call)> for BackendService {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (ctx, call): (Context, Call)) -> Self::Future {
        let (backend, within) = (self.backend.clone(), self.time_for(&call));
        async move {
            let answering = async {
                Ok(match call {
                    Call::Probe => Answer::Capabilities(backend.probe(&ctx).await?),
                    Call::Submit(plan) => Answer::Submit(backend.submit(&ctx, *plan).await.map(Box::new)),
                    Call::LookUp(sought) => Answer::Sighting(backend.look_up(&ctx, &sought).await?),
                    Call::Get(id, detail) => Answer::Batch(Box::new(backend.get(&ctx, &id, detail).await?)),
                    Call::Scan(after) => Answer::Page(backend.scan(&ctx, after).await?),
                    Call::Log(id, query) => Answer::Log(backend.log(&ctx, &id, &query).await?),
                    Call::Control(id, action) => Answer::Effect(backend.control(&ctx, &id, action).await?),
                })
            };
            timeout(within, answering).await?
        }
        .boxed()
    }
}

impl BackendService {
    fn time_for(&self, call: &Call) -> Duration {
        match call {
            Call::Control(..) => self.backend.capabilities().slow_actions.unwrap_or_default().max(self.timeout),
            Call::Submit(plan) => time_to_submit(self.timeout, plan),
            Call::Probe | Call::LookUp(_) | Call::Get(..) | Call::Scan(_) | Call::Log(..) => self.timeout,
        }
    }
}

/// Files that go with a submit need their time.
fn time_to_submit(timeout: Duration, plan: &Plan) -> Duration {
    timeout + Payload::time_to_send(&plan.intent.files)
}

/// One backend with its layers.
pub(crate) struct Stack {
    name: BackendName,
    backend: Arc<dyn Backend>,
    observer: Arc<dyn Observer>,
    limits: CallLimits,
    service: Shed<BackendService>,
    stage: Option<Stage>,
    foreign: bool,
    /// When it last showed a batch that is known here.
    shown: AtomicI64,
    pub(crate) walks: Walks,
    pub(crate) looks: Arc<Looks>,
    pub(crate) rounds: Rounds,
    circuit: Circuit,
    retries: TpsBudget,
}

impl Stack {
    pub(crate) fn new(slot: BackendSlot, observer: Arc<dyn Observer>) -> Self {
        let BackendSlot { name, backend, relay: _, limits, stage, foreign } = slot;
        let service = ServiceBuilder::new()
            // Outermost: a full backend answers at once instead of queueing callers without bound.
            .layer_fn(|service| Shed::new(service, limits.concurrency))
            // Inside it: a call that hangs gives its place back when its time is over.
            .service(BackendService { backend: backend.clone(), timeout: limits.timeout });
        let shown = AtomicI64::new(i64::MIN);
        // What is read from this process's own memory is never older than it is.
        let freshness = if backend.capabilities().cheap_reads { Duration::ZERO } else { limits.freshness };
        Self {
            looks: Arc::new(Looks::new(freshness, limits.max_looks)),
            circuit: Circuit::new(name.clone(), limits.circuit),
            retries: TpsBudget::new(BUDGETED, FEW_RETRIES, limits.retry_budget as f32 / 100.0),
            name,
            backend,
            observer,
            limits,
            service,
            stage,
            foreign,
            shown,
            walks: Walks::default(),
            rounds: Rounds::default(),
        }
    }

    pub(crate) fn name(&self) -> &BackendName {
        &self.name
    }

    /// How long a call may take: the deadline of work that no client waits for.
    pub(crate) fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// How long a submit may take.
    pub(crate) fn submit_timeout(&self, plan: &Plan) -> Duration {
        time_to_submit(self.limits.timeout, plan)
    }

    /// How long an action may take.
    pub(crate) fn action_timeout(&self) -> Duration {
        self.can().slow_actions.unwrap_or_default().max(self.limits.timeout)
    }

    /// Where uploaded files are put for it, if it takes none itself.
    pub(crate) fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// Whether batches that were submitted past this proxy are shown.
    pub(crate) fn shows_foreign(&self) -> bool {
        self.foreign
    }

    pub(crate) fn can(&self) -> Arc<Capabilities> {
        self.backend.capabilities()
    }

    pub(crate) fn changes(&self) -> Option<Changes> {
        self.backend.changes()
    }

    pub(crate) fn holds_names(&self) -> bool {
        self.backend.holds_names()
    }

    /// Whether a row of a walk tells as much as a look with this detail, for clients of this dialect.
    pub(crate) fn rows_tell(&self, dialect: &DialectName, detail: Detail) -> bool {
        self.backend.rows_tell(dialect, detail)
    }

    pub(crate) fn head(&self, plan: &Plan) -> String {
        self.backend.head(plan)
    }

    pub(crate) fn plan(&self, intent: Intent) -> Result<Plan> {
        self.backend.plan(intent)
    }

    /// It has shown a batch that is known here.
    pub(crate) fn has_shown(&self, now: Millis) {
        self.shown.fetch_max(now.0, Ordering::Relaxed);
    }

    /// Whether it has shown any batch that is known here after this.
    pub(crate) fn shows_since(&self, since: Millis) -> bool {
        self.shown.load(Ordering::Relaxed) > since.0
    }

    /// Refuses a submit that the backend cannot take, before anything is written down for it.
    pub(crate) fn admit(&self, plan: &Plan) -> Result<()> {
        match beyond_submit(&self.can(), plan) {
            Some(what) if what == UPLOADS => Err(self.no_uploads()),
            Some(what) => Err(self.unsupported(what)),
            None => Ok(()),
        }
    }

    /// Refuses an action that the backend cannot do, before anything is written down for it.
    pub(crate) fn offers(&self, action: Action) -> Result<()> {
        if self.can().actions.contains(action) {
            return Ok(());
        }
        Err(self.unsupported(action_words(action)))
    }

    async fn run(&self, ctx: &Context, call: Call) -> Result<Held<Answer>> {
        // Before any permit or socket is used.
        if let Some(what) = call.beyond(&self.can()) {
            let refused = self.unsupported(what);
            self.record(call.name(), refused.kind.as_str(), Duration::ZERO);
            return Err(refused);
        }
        if !call.is_poll() || self.limits.retry_budget == 0 {
            return self.attempt(ctx, call).await;
        }
        self.retries.deposit();
        match self.attempt(ctx, call.clone()).await {
            // A poll changes nothing. Once: what is away for longer is for the circuit.
            Err(error) if is_worth_another(&error) && self.may_repeat() => self.attempt(ctx, call).await,
            answered => answered,
        }
    }

    fn may_repeat(&self) -> bool {
        self.circuit.state().0 == CircuitState::Closed && self.retries.withdraw()
    }

    /// One call, if the circuit lets it through.
    async fn attempt(&self, ctx: &Context, call: Call) -> Result<Held<Answer>> {
        let (name, is_poll) = (call.name(), call.is_poll());
        let leave = self.leave(&call)?;
        let began = Instant::now();
        let result = self.service.clone().oneshot((ctx.clone(), call)).await;
        let is_full = result.as_ref().is_err_and(|error| error.is::<Full>());
        let result = result.map_err(|error| self.error(error));
        let error = match &result {
            Ok(Held { answer: Answer::Submit(Err(error)), .. }) => match error {
                SubmitError::NotSent(error) | SubmitError::Refused(error) | SubmitError::Unknown(error) => Some(error),
            },
            Ok(_) => None,
            Err(error) => Some(error),
        };
        // That there is no place is our own word, and none of the backend's.
        leave.done(match error {
            _ if is_full => Sign::None,
            Some(error) => Sign::of(&error.kind),
            None => Sign::Answer,
        });
        if let Some(ErrorKind::Throttled { retry_after }) =
            error.map(|error| &error.kind).filter(|_| is_poll && !is_full)
        {
            self.circuit.hold(*retry_after);
        }
        self.record(name, error.map_or("ok", |error| error.kind.as_str()), began.elapsed());
        result
    }

    fn leave(&self, call: &Call) -> Result<Leave<'_>> {
        match call {
            Call::Probe => Ok(self.circuit.enter_probe()),
            Call::LookUp(_) => Ok(self.circuit.enter_anyway()),
            Call::Get(..) | Call::Scan(_) | Call::Log(..) => self.circuit.enter_poll(),
            Call::Submit(_) | Call::Control(..) => self.circuit.enter(),
        }
    }

    fn record(&self, call: &'static str, outcome: &'static str, duration: Duration) {
        self.observer.call(&CallRecord { backend: &self.name, call, outcome, duration });
    }

    /// Where its circuit stands, and for how long it has been open.
    pub(crate) fn circuit(&self) -> (CircuitState, Option<Duration>) {
        self.circuit.state()
    }

    /// Refuses what is not sent to a backend that does not answer, before anything is written down for it.
    pub(crate) fn answers(&self) -> Result<()> {
        self.circuit.check()
    }

    /// Until it is to be found out whether it answers again.
    pub(crate) async fn probe_due(&self) {
        self.circuit.probe_due().await;
    }

    fn unsupported(&self, what: String) -> Error {
        let message = format!("backend '{}' does not offer {what}", self.name);
        Error::new(ErrorKind::Unsupported { backend: self.name.clone(), what }, message)
    }

    fn no_uploads(&self) -> Error {
        let kind = ErrorKind::Unsupported { backend: self.name.clone(), what: UPLOADS.to_owned() };
        let message = format!(
            "backend '{}' does not take uploaded files: put them where it can read them and name them, or have its operator set \
             `stage` (a shared folder and its URL) for this backend",
            self.name
        );
        Error::new(kind, message)
    }

    fn error(&self, error: BoxError) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) if error.is::<Full>() => {
                let message = format!("backend '{}' has too many calls in flight; try again soon", self.name);
                Error::new(ErrorKind::Throttled { retry_after: Duration::from_secs(1) }, message)
            }
            Err(error) if error.is::<Elapsed>() => {
                Error::new(ErrorKind::BackendTimeout, format!("backend '{}' did not answer in time", self.name))
                    .caused_by(error)
            }
            Err(error) => Error::internal(error),
        }
    }

    pub(crate) async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        match self.run(ctx, Call::Probe).await?.answer {
            Answer::Capabilities(can) => Ok(can),
            _ => unreachable!("a probe answers capabilities"),
        }
    }

    /// What never reached the backend is told apart from what may have.
    pub(crate) async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        let submitted = self.send(ctx, plan).await;
        if let Ok(batch) = &submitted {
            // It may have the number of an old one.
            self.looks.forget(&batch.id);
        }
        submitted
    }

    async fn send(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        match self.run(ctx, Call::Submit(Box::new(plan))).await.map(|held| held.answer) {
            Ok(Answer::Submit(result)) => result.map(|batch| *batch),
            Ok(_) => unreachable!("a submit answers a submit"),
            Err(error) => Err(match error.kind {
                // There is no place, or the circuit is open.
                ErrorKind::Throttled { .. } | ErrorKind::BackendUnavailable { .. } => SubmitError::NotSent(error),
                ErrorKind::Unsupported { .. } => SubmitError::NotSent(error),
                _ => SubmitError::Unknown(error),
            }),
        }
    }

    pub(crate) async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        match self.run(ctx, Call::LookUp(sought.clone())).await?.answer {
            Answer::Sighting(sighting) => Ok(sighting),
            _ => unreachable!("a look-up answers a sighting"),
        }
    }

    pub(crate) async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        match self.run(ctx, Call::Get(id.clone(), detail)).await?.answer {
            Answer::Batch(batch) => Ok(*batch),
            _ => unreachable!("a get answers a batch"),
        }
    }

    pub(crate) async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        match self.run(ctx, Call::Scan(after)).await?.answer {
            Answer::Page(page) => Ok(page),
            _ => unreachable!("a scan answers a page"),
        }
    }

    pub(crate) async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        let Held { answer, place } = self.run(ctx, Call::Log(id.clone(), query.clone())).await?;
        match answer {
            // A stream is still a call of the backend: its place is free again when it has been read or left.
            Answer::Log(Log { body: LogBody::Stream(stream), from, total, native }) => {
                let held = stream.inspect(move |_| _ = &place);
                Ok(Log { body: LogBody::Stream(Box::pin(held)), from, total, native })
            }
            Answer::Log(log) => Ok(log),
            _ => unreachable!("a log call answers a log"),
        }
    }

    pub(crate) async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        // What was seen before may not be so any more, however this ends; nor what is seen while it is on its way.
        let _stale = Stale { looks: &self.looks, id };
        match self.run(ctx, Call::Control(id.clone(), action)).await?.answer {
            Answer::Effect(effect) => Ok(effect),
            _ => unreachable!("a control answers an effect"),
        }
    }
}

/// What was seen of a batch is forgotten at the end of this.
struct Stale<'a> {
    looks: &'a Looks,
    id: &'a NativeId,
}

impl Drop for Stale<'_> {
    fn drop(&mut self) {
        self.looks.forget(self.id);
    }
}

/// Whether a poll that had no answer may have one at once: the connection failed, and no word came with it, such as when to try again.
fn is_worth_another(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::BackendUnavailable { .. }) && error.native.is_none()
}
