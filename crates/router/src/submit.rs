//! A submit: one intent, at most one job.
//!
//! The plan is made first, since it is pure and may refuse. Then a task of its own writes the intent, durable, before the first byte goes
//! upstream, sends, and settles. The client's connection, its deadline and the timeout layers only wait for that task: whatever they do,
//! an intent that is written is sent, and what is sent has its outcome written.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    BackendName, Batch, BatchId, BatchSpec, Clash, Context, Detail, Entry, Error, ErrorKind, Fate, Field, FieldClass,
    IdempotencyKey, Intended, Intent, KeyClaim, Lease, Marker, Marking, NativeId, NativeIdentity, NewIntent, Notes,
    Outcome, Phase, Plan, Project, Replay, Reply, Result, Submission, SubmitError, Uuid, Verdict,
};
use http::HeaderMap;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    AuditRecord, Dedupe, Gateway, RouteRule,
    fresh::copy,
    gateway::merge,
    observer::outcome_word,
    open::Held,
    settle::{self, Resolution, settle_for_sure},
    spool::Spool,
    stack::Stack,
    stage::Staged,
    view,
};

const KEY_RETRY: Duration = Duration::from_secs(5);
/// Of the time that a request has, this much is left for telling a client that its outcome is not known.
const HEADROOM: Duration = Duration::from_millis(500);

/// All that is needed to write the intent and to send it.
struct Wish {
    ctx: Context,
    new: NewIntent,
    stack: Arc<Stack>,
    /// What is sent and what the client is told of lost fields; or why it cannot be sent. With a key that is not yet the answer: an earlier
    /// submit may have had another one, when the file was still there or the backend still took batches.
    plan: Result<(Plan, Vec<Fate>)>,
    /// Uploaded files for a backend that takes none.
    staged: Option<Staged>,
    /// Uploaded files stay until the outcome is definite.
    _spool: Spool,
}

/// The outcome of a send as its client gets it: nobody knows is an outcome too.
type Sent = Result<Arc<Batch<BatchId>>>;

/// A submit whose task has been made.
struct Pending {
    begun: oneshot::Receiver<Result<Begun>>,
    outcome: oneshot::Receiver<Sent>,
}

/// What came of writing the intent.
enum Begun {
    /// It is being sent, and is found under this id.
    Sending(BatchId),
    /// An earlier submit stands in its place, or in its way.
    Not(Intended),
}

/// Runs a batch, or answers what an earlier submit with the same key was answered.
pub(crate) async fn submit(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    headers: &HeaderMap,
    submission: Submission,
    fingerprint: [u8; 32],
    spool: Spool,
) -> Result<Reply<BatchId>> {
    let name = submission.spec.name.clone();
    let planned = plan(gateway, ctx, headers, submission);
    let wish = match planned.and_then(|planned| wish(gateway, ctx, planned, fingerprint, spool)) {
        Ok(wish) => Arc::new(wish),
        Err(error) => {
            audit(gateway, ctx, name.as_deref(), None, None, &[], Err(&error));
            return Err(error);
        }
    };
    let backend = wish.new.backend.clone();
    // Before the first look at the ledger, so that no change slips through between.
    let mut changed = gateway.changed.subscribe();
    let patience = patience(gateway, ctx);
    let mut seen_over = None;
    let result = loop {
        let begun = match gateway.come_in().map(|_token| begin(gateway, wish.clone())) {
            Ok(pending) => pending.come(patience).await,
            Err(error) => Err(error),
        };
        break match begun {
            // The task writes the audit when it knows the outcome, whether this client is still there or not.
            Ok(Come::Sent(sent)) => {
                let notes = Notes { unmapped: wish.told().to_vec(), stale_seconds: None, backend: Some(backend) };
                return Ok(Reply { outcome: Outcome::Submitted { batch: sent?, replayed: false }, notes });
            }
            Ok(Come::Not(Intended::InFlight(entry))) => {
                // The first submit with this key is on its way: its outcome is this one's too, if it comes in time.
                if gateway.until_changed(&mut changed, entry.row, patience).await {
                    continue;
                }
                Err(key_in_flight())
            }
            Ok(Come::Not(Intended::Answered(entry))) => {
                let answer = again(gateway, ctx, &entry).await;
                // It was thought to live, and has been seen to be over just now: this submit is no repetition.
                if wish.is_deduped() && is_over(&answer) && seen_over.replace(entry.row) != Some(entry.row) {
                    continue;
                }
                answer
            }
            Ok(Come::Not(intended)) => Err(refusal(intended, name.as_deref())),
            Err(error) => Err(error),
        };
    };
    let batch = match &result {
        Ok(Reply { outcome: Outcome::Submitted { batch, .. }, .. }) => Some(batch.id.uuid),
        Ok(_) | Err(_) => None,
    };
    audit(gateway, ctx, name.as_deref(), batch, Some(&backend), &[], result.as_ref().map(|_| ()));
    result
}

/// A submit as it would be sent: `explain` shows it, [`submit`] sends it.
pub(crate) struct Planned {
    /// Which rule has taken it.
    pub(crate) rule: RouteRule,
    pub(crate) stack: Arc<Stack>,
    /// What is sent and what the client is told of lost fields; or why it cannot be sent.
    pub(crate) plan: Result<(Plan, Vec<Fate>)>,
    /// What would be sent, if only what the backend takes or what may be lost stands against it.
    pub(crate) withheld: Option<Box<Plan>>,
    staged: Option<Staged>,
    marker: Marker,
    spec: Arc<BatchSpec>,
    project: Option<Project>,
    key: Option<IdempotencyKey>,
    unique_name: bool,
}

/// Rights, routing, plan and policies: nothing is written and nothing sent yet.
pub(crate) fn plan(gateway: &Gateway, ctx: &Context, headers: &HeaderMap, submission: Submission) -> Result<Planned> {
    let submission = Submission { project: submission.project.or_else(|| ctx.project.clone()), ..submission };
    gateway.limits.scoping.check_submit(ctx, submission.project.as_ref(), &submission.spec)?;
    let rule = gateway.routing.choose(ctx, headers, &submission).ok_or_else(no_route)?;
    let stack = gateway.stack(&rule.to)?.clone();
    let marker = Marker { uuid: uuid_of(submission.key.as_ref())?, name: None };
    let spec = Arc::new(submission.spec);
    let stage = stack.stage().filter(|_| !submission.files.is_empty() && !stack.can().upload);
    let staged = stage.map(|stage| stage.plan(marker.uuid, &spec, &submission.files)).transpose()?;
    let (sent, files) = match &staged {
        Some(staged) => (Arc::new(staged.spec.clone()), Vec::new()),
        None => (spec.clone(), submission.files),
    };
    let plan = stack.plan(Intent {
        marker: marker.clone(),
        backend: rule.to.clone(),
        spec: sent,
        files: Arc::new(files),
        principal: ctx.principal.clone(),
        dialect: ctx.dialect.clone(),
        project: submission.project.clone(),
    });
    let (plan, withheld) = match plan {
        Err(error) => (Err(error), None),
        Ok(mut plan) => {
            if let Some(staged) = &staged {
                staged.tell(&mut plan.fates);
            }
            let told = stack.admit(&plan).and_then(|()| {
                rule.policies.apply(&rule.to, &mut plan.fates, |extension| loss_of(gateway, ctx, extension, &spec))
            });
            match told {
                Ok(told) => (Ok((plan, told)), None),
                Err(error) => (Err(error), Some(Box::new(plan))),
            }
        }
    };
    Ok(Planned {
        rule: rule.clone(),
        stack,
        // What it is found by on the wire is the backend's to say.
        marker: plan.as_ref().map_or(marker, |(plan, _)| plan.intent.marker.clone()),
        plan,
        withheld,
        staged,
        spec,
        project: submission.project,
        key: submission.key,
        unique_name: submission.unique_name,
    })
}

/// What it means that a backend does not get a field that only the client's dialect knows.
pub(crate) fn loss_of(gateway: &Gateway, ctx: &Context, extension: &str, spec: &BatchSpec) -> Option<FieldClass> {
    gateway.dialect(ctx).map_or(Some(Field::Extension.class()), |dialect| dialect.loss_of(extension, spec))
}

/// What is to be written and sent of a plan.
fn wish(gateway: &Gateway, ctx: &Context, planned: Planned, fingerprint: [u8; 32], spool: Spool) -> Result<Wish> {
    let Planned { rule, stack, plan, withheld: _, staged, marker, spec, project, key, unique_name } = planned;
    let key = key.or_else(|| match rule.dedupe {
        Dedupe::Never => None,
        Dedupe::Name => spec.name.clone().map(|value| IdempotencyKey { value, replay: Replay::LiveName }),
    });
    // A backend that does not answer is sent nothing; with a key an earlier submit may have had its answer.
    let plan = plan.and_then(|plan| stack.answers().map(|()| plan));
    let plan = if key.is_some() { plan } else { Ok(plan?) };
    let fates = plan.as_ref().map_or(&[][..], |(plan, _)| &plan.fates);
    let listed_from = gateway.scope(ctx).ended_from.unwrap_or_default();
    let new = NewIntent {
        marker,
        backend: rule.to,
        dialect: ctx.dialect.clone(),
        listener: ctx.listener.clone(),
        principal: ctx.principal.clone(),
        project,
        spec,
        unmapped: fates.iter().filter(|fate| fate.is_lost()).cloned().collect(),
        key: key.map(|key| KeyClaim { value: key.value, replay: key.replay, fingerprint }),
        unique_name: unique_name.then_some(listed_from),
        claim: gateway.claim(),
        // Where a file is staged first, the answer may be that nothing is sent, or no look could tell whether it was, a crash before the first byte
        // is to be known as one.
        at_once: plan.is_ok() && staged.is_none() && stack.can().marking != Marking::None,
    };
    Ok(Wish { ctx: ctx.clone(), new, stack, plan, staged, _spool: spool })
}

fn is_over(answer: &Result<Reply<BatchId>>) -> bool {
    matches!(answer, Ok(Reply { outcome: Outcome::Submitted { batch, .. }, .. }) if batch.state.is_end())
}

impl Wish {
    fn is_deduped(&self) -> bool {
        self.new.key.as_ref().is_some_and(|key| key.replay == Replay::LiveName)
    }

    fn told(&self) -> &[Fate] {
        self.plan.as_ref().map_or(&[], |(_, told)| told)
    }
}

fn uuid_of(key: Option<&IdempotencyKey>) -> Result<Uuid> {
    match key {
        Some(IdempotencyKey { value, replay: Replay::StoredBatch }) => {
            value.parse().map_err(|_| Error::invalid("id", format!("the batch id '{value}' is no uuid")))
        }
        Some(IdempotencyKey { replay: Replay::FirstAnswer | Replay::LiveName, .. }) | None => Ok(Uuid::new_v4()),
    }
}

fn no_route() -> Error {
    Error::invalid("route", "no [[route]] of the proxy takes this batch; ask its operator for one")
}

/// Until when a client waits: `submit_wait`, but an answer without the id that the batch will be found by is worse than an early one.
fn patience(gateway: &Gateway, ctx: &Context) -> Instant {
    let due = Instant::from_std(ctx.deadline);
    let due = due.checked_sub(HEADROOM.min(gateway.limits.request_timeout / 10)).unwrap_or(due);
    due.min(Instant::now() + gateway.limits.submit_wait)
}

/// Writes the intent, and sends it if it is the first, in a task that no client can cancel.
fn begin(gateway: &Arc<Gateway>, wish: Arc<Wish>) -> Pending {
    let ((begin, begun), (answer, outcome)) = (oneshot::channel(), oneshot::channel());
    let gateway = gateway.clone();
    gateway.tasks.clone().spawn(async move {
        // A client that is gone, here or below, finds its outcome in the ledger.
        match gateway.ledger.intend(wish.new.clone()).await {
            Ok(Intended::Fresh(entry, lease)) => {
                let _ = begin.send(Ok(Begun::Sending(entry.batch.id.clone())));
                send(&gateway, wish, &entry, lease, answer).await;
            }
            Ok(intended) => _ = begin.send(Ok(Begun::Not(intended))),
            Err(error) => _ = begin.send(Err(error)),
        }
    });
    Pending { begun, outcome }
}

/// What a client is told of a submit.
enum Come {
    Sent(Sent),
    /// An earlier submit stands in its place, or in its way.
    Not(Intended),
}

impl Pending {
    /// Waits for the outcome alone, so that who waits is woken once. That the intent is written has to be known only where there is no outcome:
    /// nothing is sent, it takes too long, or the task is gone with the runtime.
    async fn come(self, patience: Instant) -> Result<Come> {
        if let Ok(Ok(sent)) = tokio::time::timeout_at(patience, self.outcome).await {
            return Ok(Come::Sent(sent));
        }
        Ok(match self.begun.await.map_err(Error::internal)?? {
            Begun::Sending(id) => Come::Sent(Err(ambiguous(id))),
            Begun::Not(intended) => Come::Not(intended),
        })
    }
}

fn ambiguous(id: BatchId) -> Error {
    let message = format!(
        "the outcome of this submit is not known yet; look for batch {} ({}) before submitting it again",
        id.ordinal, id.uuid
    );
    Error::new(ErrorKind::Ambiguous { id }, message)
}

/// Sends, settles, answers.
async fn send(gateway: &Arc<Gateway>, wish: Arc<Wish>, entry: &Entry, lease: Lease, answer: oneshot::Sender<Sent>) {
    let held = gateway.open.hold(entry.clone(), lease);
    gateway.observer.phase(&entry.backend, Phase::Intended);
    let (ctx, stack) = (wish.ctx.clone(), wish.stack.clone());
    let name = wish.new.spec.name.clone();
    let unmapped: Vec<String> = wish.told().iter().map(Fate::to_string).collect();
    let tell = |sent: Sent| {
        // By the id that its client is told.
        let known = Some(sent.as_ref().map_or(entry.batch.id.uuid, |batch| batch.id.uuid));
        let result = sent.as_ref().map(|_| ());
        audit(gateway, &ctx, name.as_deref(), known, Some(&entry.backend), &unmapped, result);
        let _ = answer.send(sent);
    };
    let attempt = attempt(gateway, &wish, entry, &held).await;
    if let (Some(staged), Ok(Attempt::Not(_)) | Err(_)) = (&wish.staged, &attempt) {
        staged.remove().await;
    }
    // From here on nobody needs the uploaded files.
    drop(wish);
    match attempt {
        Ok(Attempt::Accepted(row, batch)) => {
            tell(Ok(batch));
            settle::catch_up(gateway, &stack, &row).await;
        }
        Ok(Attempt::Not(error)) => tell(Err(error)),
        Ok(Attempt::Open) => tell(Err(ambiguous(entry.batch.id.clone()))),
        Ok(Attempt::CannotTell) => {
            tell(Err(ambiguous(entry.batch.id.clone())));
            settle::leave_to_people(gateway, entry, held);
        }
        // It did not go through, and that is sure: the client need not wait until it can be written down.
        Err((error, verdict)) => {
            let written = settle::settle(gateway, entry, &held, &verdict).await;
            tell(Err(error));
            if written.is_err() {
                let _ = settle_for_sure(gateway, entry, &held, verdict).await;
            }
        }
    }
}

/// What came of sending, as far as it is written already.
enum Attempt {
    Accepted(Entry, Arc<Batch<BatchId>>),
    Not(Error),
    /// Nobody knows, or it cannot be written.
    Open,
    /// Nobody will know unless a person looks.
    CannotTell,
}

/// A definite failure, and the verdict that is still to be written of it.
type Unwritten = (Error, Box<dyn Fn() -> Verdict + Send + Sync>);

/// Sends once.
async fn attempt(gateway: &Arc<Gateway>, wish: &Wish, entry: &Entry, held: &Held<'_>) -> Result<Attempt, Unwritten> {
    let id = &entry.batch.id;
    let plan = match &wish.plan {
        Ok((plan, _)) => plan.clone(),
        Err(error) => return Err(unsent(copy(error))),
    };
    if let Some(staged) = &wish.staged
        && let Err(error) = staged.write().await
    {
        return Err(unsent(error));
    }
    if wish.new.at_once {
        if held.lease().until <= gateway.clock.now() {
            return Err(unsent(lease_is_over()));
        }
    } else if let Err(error) = gateway.ledger.may_send(&held.lease()).await {
        return Err(unsent(error));
    }
    gateway.observer.phase(&entry.backend, Phase::Sending);
    // The client's deadline is not the work's: no adapter may cut a submit short by it.
    let deadline = (Instant::now() + wish.stack.submit_timeout(&plan)).into_std();
    let ctx = Context { deadline, ..wish.ctx.clone() };
    match wish.stack.submit(&ctx, plan).await {
        Ok(batch) => {
            let accepted = || Verdict::Accepted(Box::new(identity(&wish.stack, &batch)));
            Ok(match settle_for_sure(gateway, entry, held, accepted).await {
                Ok(row) => {
                    let shown = merge(&row, batch);
                    Attempt::Accepted(row, shown)
                }
                Err(_) => Attempt::Open,
            })
        }
        Err(SubmitError::NotSent(error)) => Err(unsent(error)),
        Err(SubmitError::Refused(error)) => {
            let verdict = copy(&error);
            Err((error, Box::new(move || settle::refused(&verdict))))
        }
        Err(SubmitError::Unknown(error)) => {
            tracing::warn!(batch.id = %id.uuid, backend = %entry.backend, cause = error.detail(), "the outcome of a submit is not known; looking it up");
            // If this cannot be written, the phase says that it is being sent, which is as unknown.
            let _ = settle::settle(gateway, entry, held, &|| Verdict::Ambiguous).await;
            match settle::resolve(gateway, &wish.stack, entry, held).await {
                Resolution::Accepted(row, shown) => Ok(Attempt::Accepted(row, shown)),
                Resolution::Not(error) => Ok(Attempt::Not(error)),
                Resolution::Open => Ok(Attempt::Open),
                Resolution::CannotTell => Ok(Attempt::CannotTell),
            }
        }
    }
}

/// Writing the intent took longer than its lease: it may be another replica's by now.
fn lease_is_over() -> Error {
    let kind = ErrorKind::BackendUnavailable { retry_after: KEY_RETRY };
    Error::new(kind, "the ledger was too slow for this submit: nothing was sent, and it may be sent again")
}

/// Not one byte was sent, so nothing has come of it: a look that had to come before it and was waited for in vain is no submit that was.
fn unsent(error: Error) -> Unwritten {
    let error = if error.kind == ErrorKind::BackendTimeout {
        let message = format!("{}; nothing was sent, try again later", error.message);
        Error { kind: ErrorKind::BackendUnavailable { retry_after: KEY_RETRY }, message, ..error }
    } else {
        error
    };
    let reason = error.message.clone();
    (error, Box::new(move || Verdict::Failed(reason.clone())))
}

pub(crate) fn identity(stack: &Stack, batch: &Batch<NativeId>) -> NativeIdentity {
    NativeIdentity { native: batch.id.clone(), batch: Arc::new(batch.clone()), foreign: false, ids: stack.can().ids }
}

fn key_in_flight() -> Error {
    let clash = Clash::KeyInFlight { retry_after: KEY_RETRY };
    Error::new(
        ErrorKind::Conflict(clash),
        "the first submit with this key or name has no outcome yet; try again with the same",
    )
}

/// What an earlier submit was answered.
async fn again(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) -> Result<Reply<BatchId>> {
    if entry.phase == Phase::Refused {
        return Err(settle::refusal_of(entry));
    }
    let notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    // It was accepted, whether its backend can be asked now or not.
    let shown = view::show(gateway, ctx, entry, Detail::Summary).await;
    let (batch, notes) = shown.unwrap_or_else(|_| (entry.batch.clone(), notes));
    Ok(Reply { outcome: Outcome::Submitted { batch, replayed: true }, notes })
}

/// Why no intent was written.
fn refusal(intended: Intended, name: Option<&str>) -> Error {
    match intended {
        Intended::KeyReused => Error::new(
            ErrorKind::Conflict(Clash::KeyReused),
            "this Idempotency-Key was used for another request; use a new key for a new batch",
        ),
        Intended::NotYours => Error::new(
            ErrorKind::Conflict(Clash::NotYours),
            "the batch id belongs to another user's batch; use another id",
        ),
        Intended::NameTaken { ordinal } => {
            let name = name.unwrap_or_default().to_owned();
            let message = format!("another batch has the name '{name}'; use another name, or delete that batch first");
            Error::new(ErrorKind::Conflict(Clash::Name { name, ordinal }), message)
        }
        Intended::Fresh(..) | Intended::InFlight(_) | Intended::Answered(_) => {
            unreachable!("these are answered where they come from")
        }
    }
}

fn audit(
    gateway: &Gateway,
    ctx: &Context,
    name: Option<&str>,
    batch: Option<Uuid>,
    backend: Option<&BackendName>,
    unmapped: &[String],
    result: Result<(), &Error>,
) {
    let outcome = outcome_word(result);
    gateway.observer.audit(&AuditRecord { ctx, action: "submit", batch, backend, name, outcome, unmapped });
}
