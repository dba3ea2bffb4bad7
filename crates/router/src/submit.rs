//! A submit: one intent, at most one job.
//!
//! The plan is made first, since it is pure and may refuse. Then the intent is written, durable, before the first byte goes upstream; and
//! from there on the work is a task of its own: the client's connection, its deadline and the timeout layers only wait for it.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    BackendName, Batch, BatchId, Clash, Context, Entry, Error, ErrorKind, Fate, IdempotencyKey, Intended, Intent,
    KeyClaim, Lease, Marker, NativeIdentity, NewIntent, Notes, Outcome, Phase, Plan, Replay, Reply, Result, Submission,
    SubmitError, Uuid, Verdict,
};
use tokio::sync::oneshot;

use crate::{
    AuditRecord, Gateway,
    gateway::merge,
    observer::outcome_word,
    settle::{self, Resolution},
    stack::Stack,
};

const KEY_RETRY: Duration = Duration::from_secs(5);

/// Runs a batch, or answers what an earlier submit with the same key was answered.
pub(crate) async fn submit(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    submission: Submission,
    fingerprint: [u8; 32],
) -> Result<Reply<BatchId>> {
    let name = submission.spec.name.clone();
    let uuid = uuid_of(submission.key.as_ref())?;
    let result = run(gateway, ctx, submission, uuid, fingerprint).await;
    let unmapped: Vec<String> =
        result.as_ref().map(|reply| reply.notes.unmapped.iter().map(Fate::to_string).collect()).unwrap_or_default();
    let (batch, backend) = match &result {
        Ok(Reply { outcome: Outcome::Submitted { batch, .. }, notes }) => (Some(batch.id.uuid), notes.backend.clone()),
        Ok(_) | Err(_) => (None, None),
    };
    gateway.observer.audit(&AuditRecord {
        ctx,
        action: "submit",
        batch,
        backend: backend.as_ref(),
        name: name.as_deref(),
        outcome: outcome_word(&result),
        unmapped: &unmapped,
    });
    result
}

fn uuid_of(key: Option<&IdempotencyKey>) -> Result<Uuid> {
    match key {
        Some(IdempotencyKey { value, replay: Replay::StoredBatch }) => {
            value.parse().map_err(|_| Error::invalid("kyuubi.batch.id", format!("'{value}' is no uuid")))
        }
        Some(IdempotencyKey { replay: Replay::FirstAnswer, .. }) | None => Ok(Uuid::new_v4()),
    }
}

async fn run(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    submission: Submission,
    uuid: Uuid,
    fingerprint: [u8; 32],
) -> Result<Reply<BatchId>> {
    let rule =
        gateway.routing.choose(&ctx.listener, &ctx.dialect, &ctx.principal.name, &submission).ok_or_else(no_route)?;
    let stack = gateway.stack(&rule.to)?.clone();
    let spec = Arc::new(submission.spec);
    let marker = Marker { uuid, name: None };
    let plan = stack.plan(Intent {
        marker: marker.clone(),
        backend: rule.to.clone(),
        spec: spec.clone(),
        files: Arc::new(submission.files),
        principal: ctx.principal.clone(),
        project: submission.project.clone(),
    })?;
    let told = rule.policies.apply(&rule.to, &plan.fates)?;
    let listed_from = gateway.scope(ctx).ended_from.unwrap_or_default();
    let name = spec.name.clone();
    let intended = gateway
        .ledger
        .intend(NewIntent {
            marker,
            backend: rule.to.clone(),
            dialect: ctx.dialect.clone(),
            listener: ctx.listener.clone(),
            principal: ctx.principal.clone(),
            project: submission.project,
            spec,
            unmapped: plan.fates.iter().filter(|fate| fate.is_lost()).cloned().collect(),
            key: submission.key.map(|key| KeyClaim { value: key.value, replay: key.replay, fingerprint }),
            unique_name: submission.unique_name.then_some(listed_from),
            claim: gateway.claim(),
        })
        .await?;
    match intended {
        Intended::Fresh(entry, lease) => {
            gateway.observer.phase(&entry.backend, entry.phase);
            let (id, backend) = (entry.batch.id.clone(), entry.backend.clone());
            let (answer, outcome) = oneshot::channel();
            let (gateway_of_task, ctx_of_task) = (gateway.clone(), ctx.clone());
            gateway
                .tasks
                .spawn(async move { send(gateway_of_task, ctx_of_task, stack, entry, lease, plan, answer).await });
            wait(gateway, id, backend, outcome, told).await
        }
        Intended::InFlight(entry) => in_flight(gateway, ctx, &entry).await,
        Intended::Answered(entry) => again(gateway, ctx, &entry).await,
        Intended::KeyReused => Err(Error::new(
            ErrorKind::Conflict(Clash::KeyReused),
            "this Idempotency-Key was used for another request; use a new key for a new batch",
        )),
        Intended::NotYours => Err(Error::new(
            ErrorKind::Conflict(Clash::NotYours),
            "the batch id belongs to another user's batch; use another id",
        )),
        Intended::NameTaken { ordinal } => {
            let name = name.unwrap_or_default();
            let message = format!("another batch has the name '{name}'; use another name, or delete that batch first");
            Err(Error::new(ErrorKind::Conflict(Clash::Name { name, ordinal }), message))
        }
    }
}

fn no_route() -> Error {
    Error::invalid("route", "no [[route]] of the proxy takes this batch; ask its operator for one")
}

/// The outcome of a send as its client gets it: nobody knows is an outcome too.
type Sent = Result<Arc<Batch<BatchId>>>;

async fn wait(
    gateway: &Arc<Gateway>,
    id: BatchId,
    backend: BackendName,
    outcome: oneshot::Receiver<Sent>,
    unmapped: Vec<Fate>,
) -> Result<Reply<BatchId>> {
    let sent = match tokio::time::timeout(gateway.limits.submit_wait, outcome).await {
        Ok(Ok(sent)) => sent,
        // Too long, or the task is gone with the runtime: it is found under its id.
        Ok(Err(_)) | Err(_) => Err(ambiguous(id)),
    };
    let notes = Notes { unmapped, stale_seconds: None, backend: Some(backend) };
    Ok(Reply { outcome: Outcome::Submitted { batch: sent?, replayed: false }, notes })
}

fn ambiguous(id: BatchId) -> Error {
    let message = format!(
        "the outcome of this submit is not known yet; look for batch {} before submitting it again",
        id.ordinal
    );
    Error::new(ErrorKind::Ambiguous { id }, message)
}

/// The task that sends. From here on no client can cancel anything.
async fn send(
    gateway: Arc<Gateway>,
    ctx: Context,
    stack: Arc<Stack>,
    entry: Entry,
    lease: Lease,
    plan: Plan,
    answer: oneshot::Sender<Sent>,
) {
    let id = entry.batch.id.clone();
    if let Err(error) = gateway.ledger.may_send(&lease).await {
        // Not one byte was sent; whoever claims the intent next finds it so.
        let _ = answer.send(Err(error));
        return;
    }
    gateway.observer.phase(&entry.backend, Phase::Sending);
    let sent = match stack.submit(&ctx, plan).await {
        Ok(batch) => {
            let verdict = || Verdict::Accepted(Box::new(identity(batch.clone())));
            let row = settle::settle_for_sure(&gateway, &entry, &lease, verdict).await;
            let _ = answer.send(row.as_ref().map(|row| Arc::new(merge(row, batch))).map_err(|_| ambiguous(id)));
            if let Ok(row) = row {
                // A change that came before the row was bound is seen here at the latest.
                let _ = crate::view::show(&gateway, &ctx, &row, batchlingua_core::Detail::State).await;
            }
            return;
        }
        Err(SubmitError::NotSent(error)) => {
            let reason = error.message.clone();
            let settled = settle::settle_for_sure(&gateway, &entry, &lease, || Verdict::Failed(reason.clone())).await;
            settled.and(Err(error))
        }
        Err(SubmitError::Refused(error)) => {
            let refused = || Verdict::Refused(Error::new(error.kind.clone(), &error.message));
            let settled = settle::settle_for_sure(&gateway, &entry, &lease, refused).await;
            settled.and(Err(error))
        }
        Err(SubmitError::Unknown(error)) => {
            tracing::warn!(batch.id = %id.uuid, backend = %entry.backend, cause = error.detail(), "the outcome of a submit is not known; looking it up");
            let _ = settle::settle_for_sure(&gateway, &entry, &lease, || Verdict::Ambiguous).await;
            match settle::resolve(&gateway, &stack, &entry, &lease).await {
                Resolution::Accepted(row) => Ok(row.batch.clone()),
                Resolution::Refused(reason) | Resolution::Failed(reason) => Err(Error::new(error.kind, reason)),
                Resolution::Open => Err(ambiguous(id)),
            }
        }
    };
    // A client that is gone has its outcome in the ledger.
    let _ = answer.send(sent);
}

pub(crate) fn identity(batch: Batch<batchlingua_core::NativeId>) -> NativeIdentity {
    NativeIdentity { native: batch.id.clone(), batch: Arc::new(batch), foreign: false }
}

/// The first submit with this key is on its way: its outcome is this one's too, if it comes in time.
async fn in_flight(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) -> Result<Reply<BatchId>> {
    let mut changed = gateway.changed.subscribe();
    let deadline = tokio::time::Instant::now() + gateway.limits.submit_wait;
    loop {
        let scope = gateway.scope(ctx);
        match gateway.ledger.find(&entry.batch.id.clone().into(), &scope).await? {
            Some(now) if !now.phase.is_open() => return again(gateway, ctx, &now).await,
            Some(_) => {}
            // Refused and failed submits are shown to nobody: the client's retry, not its wait, learns why.
            None => return Err(key_in_flight()),
        }
        match tokio::time::timeout_at(deadline, changed.recv()).await {
            Ok(_) => {}
            Err(_) => return Err(key_in_flight()),
        }
    }
}

fn key_in_flight() -> Error {
    let clash = Clash::KeyInFlight { retry_after: KEY_RETRY };
    Error::new(
        ErrorKind::Conflict(clash),
        "the first submit with this key has no outcome yet; try again with the same key",
    )
}

/// What an earlier submit was answered.
async fn again(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) -> Result<Reply<BatchId>> {
    if entry.phase == Phase::Refused {
        let reason = entry.refusal.clone().unwrap_or_else(|| "the batch was refused".to_owned());
        return Err(Error::new(ErrorKind::BackendRejected, reason));
    }
    let (batch, mut notes) = crate::view::show(gateway, ctx, entry, batchlingua_core::Detail::Summary).await?;
    notes.backend = Some(entry.backend.clone());
    Ok(Reply { outcome: Outcome::Submitted { batch, replayed: true }, notes })
}
