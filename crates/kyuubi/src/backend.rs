//! Kyuubi as a backend.
//!
//! It takes our uuid as a batch's id and is idempotent on it (1.7 and later), so a submit is always found again by one GET. Its own words
//! about a failure are believed only after such a look: a POST that is answered with a 500 may have left a batch behind, running or refused.
//!
//! It tells its version, and what depends on that is decided anew with every probe; a submit before the first one asks for it itself, since
//! what an older server makes of a batch's id decides whether its outcome can be known.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, ActionSet, Backend, BackendName, Batch, BatchState, Capabilities, Clash, Context, Cursor, Detail,
    DialectName, Effect, Error, ErrorKind, Intent, Lines, Log, LogBody, LogQuery, Marking, Missing, NativeId,
    NativeIds, Page, Plan, Result, Revival, Sighting, Sought, SubmitError,
};
use batchlingua_wire::{Answer, Call, PageSize};
use http::StatusCode;

use crate::{
    NAME,
    client::{Api, Closed, ListWindow, is_id},
    form::{Boundaries, Form, Upload},
    lines::{self, Ends},
    mapping::MASTER,
    plan,
    refusal::{Asked, Refusal, Sense},
    seen::{Reader, Seen},
    settings::BackendSettings,
    version::Version,
};

/// Most rows of one step of a walk.
const ROWS: u32 = 1_000;
/// Rows among which one batch is looked for that was created at the same moment.
const SAME_MOMENT: u32 = 50;
/// Lines of a batch's log that are shown with it.
const TAIL: u32 = 10;
/// When a submit that has not been sent since the server's version was not known may be sent again.
const VERSION_AFTER: Duration = Duration::from_secs(1);

/// A Kyuubi.
pub(crate) struct KyuubiBackend {
    api: Api,
    page: PageSize,
    boundaries: Boundaries,
    ends: Ends,
    reader: Reader,
    known: RwLock<Known>,
}

/// What is known of the server.
#[derive(Clone)]
struct Known {
    version: Version,
    /// Whether it has told its version.
    is_told: bool,
    can: Arc<Capabilities>,
}

impl KyuubiBackend {
    pub(crate) fn new(name: BackendName, settings: BackendSettings) -> Result<Self> {
        let version = settings.version;
        let api = Api::new(name, settings)?;
        let known = Known { version, is_told: false, can: capabilities(&api, version).into() };
        Ok(Self {
            api,
            page: PageSize::new(ROWS),
            boundaries: Boundaries::default(),
            ends: Ends::new(),
            reader: Reader::default(),
            known: RwLock::new(known),
        })
    }

    fn known(&self) -> Known {
        // Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn learn(&self, ctx: &Context) -> Result<Known> {
        let version = self.api.version(ctx).await?;
        let known = Known { version, is_told: true, can: capabilities(&self.api, version).into() };
        let old = std::mem::replace(&mut *self.known.write().unwrap_or_else(PoisonError::into_inner), known.clone());
        if !old.is_told || old.version != version {
            tracing::info!(backend = %self.api.backend(), %version, "a Kyuubi has told its version");
        }
        Ok(known)
    }

    /// The call that a plan is, with its form if it has files.
    fn call(&self, plan: &Plan) -> (Call, Option<Form>) {
        let Plan { intent, request, .. } = plan;
        let uploads = Upload::of(&intent.files);
        let form = (!uploads.is_empty()).then(|| self.boundaries.form(intent.marker.uuid, request, &uploads));
        (self.api.submit_call(request, form.as_ref().map(|form| (form, &intent.files[..]))), form)
    }

    /// What a plan is now. Before the server has told its version a plan is made for a newer one, or an older one, than it may be.
    async fn check_version(&self, ctx: &Context, plan: &Plan) -> Result<()> {
        if self.known().is_told {
            return Ok(());
        }
        let version = self.learn(ctx).await?.version;
        let now = plan::plan(&plan.intent, version, &self.api.settings)?;
        if now.request == plan.request {
            return Ok(());
        }
        let kind = ErrorKind::BackendUnavailable { retry_after: VERSION_AFTER };
        Err(Error::new(
            kind,
            format!("backend '{}' has just told that it is a Kyuubi {version}; submit it again", self.api.backend()),
        ))
    }

    /// What a submit's answer means.
    async fn judge(&self, ctx: &Context, plan: &Plan, answer: Answer) -> Result<Batch<NativeId>, SubmitError> {
        let refusal = || self.api.refusal(ctx, Asked::Submit, &answer);
        match answer.status {
            status if status.is_success() => {
                let seen = self.api.batch_of(ctx, Asked::Submit, &answer).map_err(SubmitError::Unknown)?;
                if seen.object.is_duplicated() {
                    self.check_owner(ctx, plan, &seen).map_err(SubmitError::Refused)?;
                }
                Ok(self.reader.batch(seen))
            }
            StatusCode::INTERNAL_SERVER_ERROR => self.after_failure(ctx, plan, &answer).await,
            // It was waited for in vain, or for too long: by whom nobody tells.
            StatusCode::REQUEST_TIMEOUT => Err(SubmitError::Unknown(refusal())),
            status if status.is_client_error() || status.is_redirection() => Err(SubmitError::Refused(refusal())),
            _ => Err(SubmitError::Unknown(refusal())),
        }
    }

    /// A 500: its text is for people. Whether there is a batch is seen under its id.
    async fn after_failure(&self, ctx: &Context, plan: &Plan, answer: &Answer) -> Result<Batch<NativeId>, SubmitError> {
        let refusal = Refusal::read(answer);
        let error = || self.api.refusal(ctx, Asked::Submit, answer);
        if self.known().can.marking == Marking::None {
            // Without an id of ours only the texts that come before anything is done are certain.
            return Err(match refusal.sense {
                Sense::Other | Sense::NoBatch | Sense::NoLog | Sense::PeerSilent => SubmitError::Unknown(error()),
                Sense::NotFor(_) | Sense::NotAllowed | Sense::Limit | Sense::RestrictedKey => {
                    SubmitError::Refused(error())
                }
                Sense::Outside(_) | Sense::Unmet => SubmitError::Refused(error()),
            });
        }
        match self.api.batch(ctx, &plan.intent.marker.uuid.to_string()).await {
            Ok(seen) if seen.object.is_remnant() => Err(SubmitError::Refused(error())),
            Ok(seen) => {
                self.check_owner(ctx, plan, &seen).map_err(SubmitError::Refused)?;
                Ok(self.reader.batch(seen))
            }
            Err(look) if is_no_batch(&look) && refusal.is_kyuubis() => Err(SubmitError::Refused(error())),
            Err(_) => Err(SubmitError::Unknown(error())),
        }
    }

    /// An id that is known is answered with its batch, whoever's that is.
    fn check_owner(&self, ctx: &Context, plan: &Plan, seen: &Seen) -> Result<()> {
        let ours = plan.intent.spec.run_as.as_deref().or(self.api.settings.asker(ctx));
        match (ours, seen.object.user.as_deref()) {
            (Some(ours), Some(user)) if ours != user => {
                let message = "the batch id belongs to another user's batch; use another id";
                Err(Error::new(ErrorKind::Conflict(Clash::NotYours), message))
            }
            _ => Ok(()),
        }
    }

    /// One batch as it is stored, where what is told of it is a guess.
    async fn settled(&self, ctx: &Context, seen: Seen) -> Result<Batch<NativeId>> {
        if !seen.object.is_guessed_end() {
            return Ok(self.reader.batch(seen));
        }
        let window = ListWindow { from: 0, size: SAME_MOMENT, created_from: seen.object.create_time };
        let rows = self.api.list(ctx, window).await?;
        match rows.into_iter().find(|row| row.object.id == seen.object.id) {
            Some(row) => Ok(self.reader.batch(row)),
            None => Ok(self.reader.unsettled(seen)),
        }
    }

    async fn batch(&self, ctx: &Context, id: &NativeId) -> Result<Batch<NativeId>> {
        if !is_id(id) {
            return Err(Error::no_batch(id));
        }
        let seen = self.api.batch(ctx, id.as_str()).await?;
        self.settled(ctx, seen).await
    }

    async fn lines(&self, ctx: &Context, id: &NativeId, wanted: Lines) -> Result<Log> {
        if !is_id(id) {
            return Err(Error::no_batch(id));
        }
        match lines::Reader::new(&self.api, &self.ends, id).read(ctx, wanted).await {
            // Until its first line is there a 1.6 has none.
            Err(error) if is_no_log(&error) && !self.known().version.takes_ids() => {
                self.api.batch(ctx, id.as_str()).await?;
                Ok(Log::page(0, 0, Vec::new()))
            }
            read => read,
        }
    }

    /// The end of a batch's log, for objects that show it. It is a mere addition: without it they are right as well.
    async fn log_tail(&self, ctx: &Context, id: &NativeId) -> Vec<String> {
        match self.lines(ctx, id, Lines::Tail(TAIL)).await {
            Ok(Log { body: LogBody::Lines(lines), .. }) => lines,
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// Ends a batch. What its answer says is for people; where it stands is seen.
    async fn cancel(&self, ctx: &Context, id: &NativeId) -> Result<Effect> {
        let before = self.batch(ctx, id).await?;
        if before.state.is_end() {
            return Ok(Effect::AlreadyEnded(before.state));
        }
        let owner = before.owner.as_ref().map(|owner| &*owner.name);
        // Before 1.8.1 only its own user ends a batch; later servers see for themselves.
        let user = owner.filter(|owner| self.api.settings.asker(ctx) != Some(owner));
        let closed = self.api.delete(ctx, id.as_str(), user).await?;
        let after = self.batch(ctx, id).await?;
        match after.state.is_end() {
            true => Ok(Effect::Ended(after.state)),
            false if is_unwatched(&closed) => Err(Error::new(
                ErrorKind::BackendRejected,
                format!(
                    "backend '{}' cannot end this batch: it does not watch the {MASTER} that it runs on",
                    self.api.backend()
                ),
            )),
            false => Ok(Effect::Accepted),
        }
    }
}

fn is_no_batch(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_)))
}

fn is_no_log(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::NotFound(Missing::Log))
}

/// Whether a Kyuubi has nobody to ask for a batch's end.
fn is_unwatched(closed: &Closed) -> bool {
    let said = closed.msg.as_deref().unwrap_or_default();
    !closed.success && said.starts_with("No interface ") && said.contains("ApplicationOperation")
}

fn capabilities(api: &Api, version: Version) -> Capabilities {
    Capabilities {
        submit: true,
        upload: version.takes_uploads(),
        log: true,
        steps: false,
        actions: ActionSet::from_iter([Action::Cancel]),
        marking: if version.takes_ids() { Marking::Idempotent } else { Marking::None },
        ids: NativeIds::Unique,
        settle: api.settings.settle,
        revival: Revival::Never,
        tells_cancelled: true,
        cheap_reads: false,
        caller_credentials: api.settings.client.takes_callers(),
        // A look before, the DELETE, a look after.
        slow_actions: Some(api.settings.delete_timeout + api.client.attempt_timeout() * 2),
    }
}

#[async_trait]
impl Backend for KyuubiBackend {
    fn capabilities(&self) -> Arc<Capabilities> {
        self.known().can
    }

    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        self.learn(ctx).await.map(|known| known.can)
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        let planned = plan::plan(&intent, self.known().version, &self.api.settings)?;
        Ok(Plan { intent, request: planned.request, fates: planned.fates })
    }

    fn head(&self, plan: &Plan) -> String {
        let (call, _) = self.call(plan);
        self.api.client.head_of(&call)
    }

    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        self.check_version(ctx, &plan).await.map_err(SubmitError::NotSent)?;
        warn_of_master(&plan);
        let (call, form) = self.call(&plan);
        if let Some(form) = form {
            let gone = |error| Error::internal(format!("uploaded files cannot be sent on: {error}"));
            form.check().await.map_err(|error| SubmitError::NotSent(gone(error)))?;
        }
        let answer = self.api.client.exchange(ctx, call).await;
        let answer = answer.map_err(|error| error.into_submit_error(self.api.backend()))?;
        self.judge(ctx, &plan, answer).await
    }

    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        // What a 1.6 does not show says nothing: it may run under an id of its own.
        let known = match self.known() {
            known if known.is_told => known,
            _ => self.learn(ctx).await?,
        };
        if known.can.marking == Marking::None {
            return Ok(Sighting::CannotTell);
        }
        let id = NativeId::from(sought.marker.uuid.to_string());
        match self.batch(ctx, &id).await {
            Ok(batch) => Ok(Sighting::Found(Box::new(batch))),
            Err(error) if is_no_batch(&error) => {
                let rows = self.api.list(ctx, ListWindow { from: 0, size: 1, created_from: 0 }).await?;
                Ok(Sighting::Absent { others_seen: !rows.is_empty() })
            }
            Err(error) => Err(error),
        }
    }

    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let mut batch = self.batch(ctx, id).await?;
        // A Kyuubi's own objects show no log.
        let shows_log = detail == Detail::Summary && ctx.dialect.as_str() != NAME && batch.state != BatchState::Queued;
        if shows_log {
            batch.log_tail = self.log_tail(ctx, id).await;
        }
        Ok(batch)
    }

    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let from: u32 = match &after {
            None => 0,
            Some(Cursor(at)) => at.parse().map_err(|_| Error::internal(format!("'{at}' is no place in a walk")))?,
        };
        let (size, seen) = self.api.walk(ctx, &self.page, from).await?;
        let next = (seen.len() == size as usize).then(|| Cursor(from.saturating_add(size).to_string()));
        // What a page says is its total is its length.
        Ok(Page { rows: seen.into_iter().map(|seen| self.reader.batch(seen)).collect(), total: None, next })
    }

    /// Its rows are the same objects; lines of a log, for clients that see some with an object, are asked for beside it.
    fn rows_tell(&self, dialect: &DialectName, detail: Detail) -> bool {
        match detail {
            Detail::State => true,
            Detail::Summary => dialect.as_str() == NAME,
            Detail::Steps => false,
        }
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        // It has one log.
        self.lines(ctx, id, query.lines).await
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        match action {
            Action::Cancel => self.cancel(ctx, id).await,
            Action::Pause | Action::Resume | Action::Restart | Action::Forget | Action::CancelAndForget => {
                let (backend, what) = (self.api.backend().clone(), format!("the action '{}'", action.as_str()));
                let message = format!("backend '{backend}' does not offer {what}");
                Err(Error::new(ErrorKind::Unsupported { backend, what }, message))
            }
        }
    }
}

/// A batch on a master that a Kyuubi cannot watch stays PENDING there whatever becomes of it.
fn warn_of_master(plan: &Plan) {
    if plan.intent.spec.conf.get(MASTER).is_some_and(|master| !plan::is_watched(master)) {
        tracing::warn!(batch.id = %plan.intent.marker.uuid, backend = %plan.intent.backend, "a Kyuubi cannot watch this batch's {MASTER}: it will not see its end");
    }
}

#[cfg(test)]
mod tests;
