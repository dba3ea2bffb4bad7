//! Showing: one batch, and many.
//!
//! What a client sees is the ledger's row, which never goes backwards, with what only the backend's own answer has. A change is durable
//! before it is shown. A backend that cannot be reached is answered for from what was last seen, for a while, and the client is told. Polls of
//! one batch share one look at it (`fresh`).

use std::{collections::HashSet, sync::Arc, time::Duration};

use batchlingua_core::{
    App, BackendName, Batch, BatchId, BatchRef, BatchState, Context, Detail, Entry, Error, ErrorKind, ListQuery,
    NativeId, NativeIdentity, NativeIds, Notes, Observation, Outcome, Page, Phase, Reply, Result, Revival,
};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::{
    Gateway, follow,
    fresh::{Flight, Keep, Shown, Way},
    gateway::merge,
    logs, rounds,
    sightings::span,
    stack::Stack,
};

/// How many rows of a list are asked for at once.
const ROWS_AT_ONCE: usize = 16;
/// When to ask again for a batch whose submit has no outcome yet.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after an end the last lines of a log may still come.
const SETTLED: Duration = Duration::from_secs(10);
/// What a look that others wait for has, beyond a call's own time, to write what it saw and the end of a log.
const AFTER_AN_ANSWER: Duration = Duration::from_secs(30);
/// Lines of a batch object's log.
const TAIL: usize = 10;

/// The row of the batch that a client names.
pub(crate) async fn resolve(gateway: &Arc<Gateway>, ctx: &Context, wanted: &BatchRef) -> Result<Entry> {
    let scope = gateway.scope_by_id(ctx);
    if let Some(entry) = gateway.ledger.find(wanted, &scope).await? {
        return Ok(entry);
    }
    // A proxy that was put in front of a running cluster keeps the ids that its clients hold, on its first day too.
    let native = match wanted {
        BatchRef::Uuid(uuid) => NativeId::new(uuid.to_string()),
        BatchRef::Text(text) => NativeId::new(text.as_str()),
        BatchRef::Name(name) => match name.parse().map(BatchRef::Uuid) {
            // The id of a submit of unknown outcome is a uuid, whatever its client's dialect calls an id.
            Ok(uuid) => return gateway.ledger.find(&uuid, &scope).await?.ok_or_else(|| Error::no_batch(wanted)),
            Err(_) => NativeId::new(name.as_str()),
        },
        BatchRef::Ordinal(number) => NativeId::new(number.to_string()),
    };
    let mut silent = None;
    for (name, stack) in strangers(gateway, ctx, wanted) {
        let ids = stack.can().ids;
        match stack.get(ctx, &native, Detail::Summary).await {
            Ok(batch) => {
                // Found by a name, it has another id.
                let seen = NativeIdentity { native: batch.id.clone(), batch: Arc::new(batch), foreign: true, ids };
                gateway.ledger.bind(name, &[seen]).await?;
                if let Some(entry) = gateway.ledger.find(wanted, &scope).await? {
                    return Ok(entry);
                }
            }
            // A backend that could not be asked may have it: "not found" would tell a client that its job is gone.
            Err(error) if is_silence(&error) => silent = Some(error),
            Err(_) => {}
        }
    }
    Err(silent.unwrap_or_else(|| Error::no_batch(wanted)))
}

/// A row whose submit has an outcome. Until it has one nothing may be said of a batch: one that is shown as waiting, and is not there a moment later, was
/// never there, and whoever saw it took it for accepted.
pub(crate) fn known(entry: Entry) -> Result<Entry> {
    if !entry.phase.is_open() {
        return Ok(entry);
    }
    let kind = ErrorKind::BackendUnavailable { retry_after: ASK_AGAIN };
    let uuid = entry.batch.id.uuid;
    Err(Error::new(kind, format!("it is not known yet whether the submit of batch {uuid} went through; ask again")))
}

/// The backends where an id is looked for that the ledger does not know.
pub(crate) fn strangers<'a>(
    gateway: &'a Gateway,
    ctx: &Context,
    wanted: &BatchRef,
) -> impl Iterator<Item = (&'a BackendName, &'a Arc<Stack>)> + use<'a> {
    // Integers and names are one server's own: only the one whose clients hold them is asked.
    let is_adopted = matches!(wanted, BatchRef::Ordinal(_) | BatchRef::Name(_));
    let reachable = gateway.scope(ctx).backends;
    gateway.stacks.iter().filter(move |(name, stack)| {
        stack.shows_foreign()
            && reachable.as_ref().is_none_or(|reachable| reachable.contains(name))
            && (!is_adopted || stack.can().ids == NativeIds::Reused { adopt: true })
    })
}

/// Whether a read failed because the backend gave no answer, and not because of what was asked.
pub(crate) fn is_silence(error: &Error) -> bool {
    match error.kind {
        ErrorKind::Throttled { .. } | ErrorKind::BackendUnavailable { .. } | ErrorKind::BackendTimeout => true,
        // An answer, though an unfriendly one: a backend may have no better word for an id that it cannot even read.
        ErrorKind::BackendRejected | ErrorKind::Internal => false,
        ErrorKind::Unauthenticated(_) | ErrorKind::Forbidden(_) => false,
        ErrorKind::NotFound(_) | ErrorKind::InvalidRequest { .. } | ErrorKind::Unsupported { .. } => false,
        ErrorKind::Conflict(_) | ErrorKind::IllegalState { .. } => false,
        ErrorKind::TooLarge { .. } | ErrorKind::Ambiguous { .. } => false,
    }
}

/// One batch.
pub(crate) async fn get(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    wanted: &BatchRef,
    detail: Detail,
) -> Result<Reply<BatchId>> {
    let changes = gateway.changes();
    let entry = known(resolve(gateway, ctx, wanted).await?)?;
    let (batch, notes) = show(gateway, ctx, &entry, detail).await?;
    let batch = if gateway.changes() == changes { batch } else { latest(gateway, batch).await };
    Ok(Reply { outcome: Outcome::Batch(batch), notes })
}

/// The batch as it now stands. While its backend was asked, and perhaps for long, another request may have shown more of it already.
async fn latest(gateway: &Gateway, shown: Arc<Batch<BatchId>>) -> Arc<Batch<BatchId>> {
    match gateway.ledger.find(&BatchRef::Uuid(shown.id.uuid), &gateway.own_scope(None)).await {
        Ok(Some(now)) if (now.batch.attempt, now.batch.state) != (shown.attempt, shown.state) => {
            let Batch { log_tail, steps, .. } = Arc::unwrap_or_clone(shown);
            Arc::new(Batch { log_tail, steps, ..Arc::unwrap_or_clone(now.batch) })
        }
        Ok(_) | Err(_) => shown,
    }
}

/// A row as it is to be shown to a poll: what others have seen a moment ago is good enough.
pub(crate) async fn show(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entry: &Entry,
    detail: Detail,
) -> Result<(Arc<Batch<BatchId>>, Notes)> {
    let notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    let (stack, ended) = stack_of(gateway, entry);
    let Some(native) = there(entry, ended, detail) else { return Ok((entry.batch.clone(), notes)) };
    let stack = match stack {
        Ok(stack) if stack.looks.are_shared() => stack,
        Ok(_) | Err(_) => return show_now(gateway, ctx, entry, detail).await,
    };
    let detail = offered(stack, detail);
    let angle = stack.looks.angle(ctx, detail, stack.can().caller_credentials);
    let waiting = match stack.looks.way(native, angle, &entry.batch) {
        Way::Known(batch) => return Ok((batch, notes)),
        Way::Wait(waiting) => waiting,
        Way::Ask(flight, waiting) => {
            let look = Look { ctx: ctx.clone(), entry: entry.clone(), detail, flight };
            if let Some(look) = rounds::join(gateway, stack, look) {
                fly(gateway, stack, look);
            }
            waiting
        }
    };
    let shown = waiting.shown().await?;
    Ok((shown.batch, Notes { stale_seconds: shown.stale_seconds, ..notes }))
}

/// The same as it is at this moment, for what is to be done with it: the backend is asked, whoever has asked before.
pub(crate) async fn show_now(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entry: &Entry,
    detail: Detail,
) -> Result<(Arc<Batch<BatchId>>, Notes)> {
    let notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    let (stack, ended) = stack_of(gateway, entry);
    let Some(native) = there(entry, ended, detail) else { return Ok((entry.batch.clone(), notes)) };
    let shown = ask(gateway, ctx, stack, entry, native, detail).await?;
    Ok((shown.batch, Notes { stale_seconds: shown.stale_seconds, ..notes }))
}

/// Where the batch runs, and whether it has ended for good.
fn stack_of<'a>(gateway: &'a Gateway, entry: &Entry) -> (Result<&'a Arc<Stack>>, bool) {
    let stack = gateway.stack(&entry.backend);
    let ended = is_over(entry.batch.state, stack.as_ref().ok().copied());
    (stack, ended)
}

/// What the backend is asked for; nothing, where the batch is not there yet or all that is asked for is an end that is known.
fn there(entry: &Entry, ended: bool, detail: Detail) -> Option<&NativeId> {
    let is_there = entry.phase == Phase::Accepted && !(ended && detail == Detail::State);
    entry.batch.id.native.as_ref().filter(|_| is_there)
}

/// A look at a batch that the backend is to be asked for.
pub(crate) struct Look {
    pub(crate) ctx: Context,
    pub(crate) entry: Entry,
    pub(crate) detail: Detail,
    pub(crate) flight: Flight,
}

/// Asks for all who wait, in a task of its own: neither the client that came first nor its deadline is theirs.
pub(crate) fn fly(gateway: &Arc<Gateway>, stack: &Arc<Stack>, look: Look) {
    let Look { mut ctx, entry, detail, flight } = look;
    ctx.deadline = (Instant::now() + stack.timeout() + AFTER_AN_ANSWER).into_std();
    let (gateway, stack) = (gateway.clone(), stack.clone());
    tokio::spawn(async move {
        let native = entry.batch.id.native.as_ref().expect("only what has an id there is asked for");
        let shown = ask(&gateway, &ctx, Ok(&stack), &entry, native, detail).await;
        if let Err(error) = &shown {
            tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a look that others wait for has failed");
        }
        flight.land(shown);
    });
}

/// Asks the backend, and writes what is news before it is shown.
async fn ask(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: Result<&Arc<Stack>>,
    entry: &Entry,
    native: &NativeId,
    detail: Detail,
) -> Result<Shown> {
    let asked = match stack {
        Ok(stack) => match stack.get(ctx, native, offered(stack, detail)).await {
            Ok(seen) if is_another(stack, entry, &seen) => Err(retired(gateway, entry).await),
            Ok(seen) => Ok((stack, read_now(gateway, stack, entry, seen).await)),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let old = |batch, stale_seconds| Ok(Shown { batch, stale_seconds, keep: None });
    match asked {
        Ok((stack, seen)) => match observe(gateway, ctx, stack, entry, &seen).await {
            Ok(now) => {
                let keep = Some(Keep { for_good: is_settled(gateway, stack, &now.batch), row: now.batch.clone() });
                Ok(Shown { batch: merge(&now, seen), stale_seconds: None, keep })
            }
            // What cannot be written may not be shown; what was written before may.
            Err(error) if error.kind.retry_after().is_some() => {
                tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a change cannot be written");
                let age = span(entry.batch.times.modified, gateway.clock.now()).as_secs();
                old(entry.batch.clone(), Some(u32::try_from(age).unwrap_or(u32::MAX)))
            }
            Err(error) => Err(error),
        },
        Err(error) if matches!(error.kind, ErrorKind::Unsupported { .. }) => Err(error),
        Err(error) if stack_of(gateway, entry).1 => {
            tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "an ended batch is shown from the ledger alone");
            old(Arc::new(with_kept_tail(gateway, entry).await?), None)
        }
        Err(error) => {
            let (now, stale_seconds) = follow::not_seen(gateway, entry, error).await?;
            old(now.batch, stale_seconds)
        }
    }
}

/// Whether nothing of the batch changes any more, the last lines of its log included.
fn is_settled(gateway: &Gateway, stack: &Arc<Stack>, row: &Batch<BatchId>) -> bool {
    is_over(row.state, Some(stack)) && span(row.times.modified, gateway.clock.now()) >= SETTLED
}

/// What was seen, in the light of what was asked: the end of a batch that somebody asked to end is that, where its platform has one word for
/// it and for a failure.
pub(crate) fn read(stack: &Stack, entry: &Entry, mut seen: Batch<NativeId>) -> Batch<NativeId> {
    if is_cancel(stack, entry, &seen) {
        seen.state = BatchState::Cancelled;
    }
    seen
}

/// The same where the backend took its time: somebody else may have asked for the end meanwhile.
async fn read_now(gateway: &Gateway, stack: &Stack, entry: &Entry, seen: Batch<NativeId>) -> Batch<NativeId> {
    let may_be = seen.state == BatchState::Failed && !entry.batch.cancel_asked && !stack.can().tells_cancelled;
    let now = match may_be {
        true => gateway.ledger.find(&BatchRef::Uuid(entry.batch.id.uuid), &gateway.own_scope(None)).await,
        false => Ok(None),
    };
    read(stack, now.ok().flatten().as_ref().unwrap_or(entry), seen)
}

/// Whether what is seen as a failure is the end that somebody asked for. One that had been seen before it was asked for stays a failure.
pub(crate) fn is_cancel(stack: &Stack, entry: &Entry, seen: &Batch<NativeId>) -> bool {
    let may_be = seen.state == BatchState::Failed && entry.batch.state != BatchState::Failed;
    may_be && entry.batch.cancel_asked && !stack.can().tells_cancelled
}

/// Whether a backend that was restarted shows another batch under a number that it has given again.
fn is_another(stack: &Stack, entry: &Entry, seen: &Batch<NativeId>) -> bool {
    stack.can().ids != NativeIds::Unique && entry.is_another(seen)
}

/// Whether the batch still has its number, so that what is done under it is done to this one and no other.
pub(crate) async fn has_its_number(
    gateway: &Gateway,
    ctx: &Context,
    stack: &Arc<Stack>,
    entry: &Entry,
    native: &NativeId,
) -> Result<bool> {
    if stack.can().ids == NativeIds::Unique {
        return Ok(true);
    }
    let seen = stack.get(ctx, native, Detail::State).await?;
    // What is over stays so: a live one is another, whether it has a name to tell it by or not.
    let has_come_back = is_over(entry.batch.state, Some(stack)) && !seen.state.is_end();
    if !has_come_back && !is_another(stack, entry, &seen) {
        return Ok(true);
    }
    retired(gateway, entry).await;
    Ok(false)
}

/// The row is asked for no more under that number; to its client the batch is not there.
async fn retired(gateway: &Gateway, entry: &Entry) -> Error {
    tracing::warn!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, "the backend has given this batch's number to another one");
    if let Err(error) = gateway.ledger.retire(entry.row).await {
        tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a number cannot be given up");
    }
    Error::no_batch(entry.batch.id.uuid)
}

/// A batch of a backend without steps has all but them: its dialect shows it as one.
fn offered(stack: &Stack, detail: Detail) -> Detail {
    match detail {
        Detail::Steps if !stack.can().steps => Detail::Summary,
        Detail::Steps | Detail::Summary | Detail::State => detail,
    }
}

/// Whether this is an end for good, which is never asked for again; a failure that may come back to life is.
pub(crate) fn is_over(state: BatchState, stack: Option<&Arc<Stack>>) -> bool {
    match state {
        BatchState::Succeeded | BatchState::Cancelled => true,
        BatchState::Failed => stack.is_none_or(|stack| stack.can().revival == Revival::Never),
        BatchState::Queued | BatchState::Starting | BatchState::Running | BatchState::Paused => false,
        BatchState::Unknown => false,
    }
}

async fn with_kept_tail(gateway: &Gateway, entry: &Entry) -> Result<Batch<BatchId>> {
    let mut kept = gateway.ledger.kept_log(entry.row).await?.unwrap_or_default().lines;
    let log_tail = kept.split_off(kept.len().saturating_sub(TAIL));
    Ok(Batch { log_tail, ..Batch::clone(&entry.batch) })
}

/// Writes what was seen, if it is news; the row as it now stands. With the end the last page of the log is kept.
pub(crate) async fn observe(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: &Stack,
    entry: &Entry,
    seen: &Batch<NativeId>,
) -> Result<Entry> {
    saw(gateway, stack, entry);
    if !is_news(entry, seen) {
        return Ok(entry.clone());
    }
    let observation = observation(ctx, stack, entry, seen).await;
    write(gateway, entry, observation).await
}

/// The backend has shown the batch just now.
pub(crate) fn saw(gateway: &Gateway, stack: &Stack, entry: &Entry) {
    let now = gateway.clock.now();
    stack.has_shown(now);
    // Of what has ended nobody asks how long ago it was seen, and there is more of it than of what lives.
    if !entry.batch.state.is_end() {
        gateway.sightings.shown(entry.row, now);
    }
}

/// Whether the ledger may have something to write. It decides by itself; this only spares the usual poll the question.
pub(crate) fn is_news(entry: &Entry, seen: &Batch<NativeId>) -> bool {
    let row = &entry.batch;
    let App { id, url, driver_log_url } = &seen.app;
    let differs = |kept: &Option<String>, seen: &Option<String>| seen.is_some() && seen != kept;
    entry.missing.is_some()
        || seen.state != row.state
        || seen.attempt != row.attempt
        || (row.times.started.is_none() && seen.times.started.is_some())
        || differs(&row.app.id, id)
        || differs(&row.app.url, url)
        || differs(&row.app.driver_log_url, driver_log_url)
        || differs(&row.diagnostic, &seen.diagnostic)
}

/// Whether the batch is seen to have ended, and was not before.
pub(crate) fn is_new_end(entry: &Entry, seen: &Batch<NativeId>) -> bool {
    let was_over = entry.batch.state.is_end() && entry.batch.state != BatchState::Unknown;
    seen.state.is_end() && !was_over
}

/// Whether a batch that had come to a halt, by a failure or by a pause, is seen to live.
pub(crate) fn goes_on(entry: &Entry, seen: &Batch<NativeId>) -> bool {
    matches!(entry.batch.state, BatchState::Failed | BatchState::Paused)
        && !seen.state.is_end()
        && seen.state != BatchState::Paused
}

/// What was seen, and with an end its log.
pub(crate) async fn observation(ctx: &Context, stack: &Stack, entry: &Entry, seen: &Batch<NativeId>) -> Observation {
    let log = if is_new_end(entry, seen) { logs::last_page(ctx, stack, &seen.id).await } else { None };
    Observation {
        row: entry.row,
        state: seen.state,
        // A backend that does not count shows the first one for ever.
        attempt: (seen.attempt > 1).then_some(seen.attempt),
        // Of a failure that others have seen meanwhile it is not known whether this was read after it.
        revival: if entry.batch.state == BatchState::Failed { stack.can().revival } else { Revival::Never },
        times: seen.times,
        app: seen.app.clone(),
        diagnostic: seen.diagnostic.clone(),
        log,
    }
}

/// Writes an observation of a row, or of the one that took it over: a batch that was seen before its submit was answered has a row of its
/// own until then.
pub(crate) async fn write(gateway: &Arc<Gateway>, entry: &Entry, observation: Observation) -> Result<Entry> {
    let now = match gateway.ledger.observe(std::slice::from_ref(&observation)).await?.pop() {
        Some(now) => now,
        None => {
            let heir = gateway.ledger.find(&entry.batch.id.clone().into(), &gateway.own_scope(None)).await?;
            let heir = heir.ok_or_else(|| Error::no_batch(entry.batch.id.uuid))?;
            let observation = Observation { row: heir.row, ..observation };
            gateway.ledger.observe(&[observation]).await?.pop().unwrap_or(heir)
        }
    };
    gateway.tell(entry, &now);
    Ok(now)
}

/// Many batches: the ledger filters, sorts and counts; rows whose backend is at hand are refreshed.
pub(crate) async fn list(gateway: &Arc<Gateway>, ctx: &Context, query: &ListQuery) -> Result<Reply<BatchId>> {
    follow::freshen(gateway, ctx).await;
    let page = gateway.ledger.page(query, &gateway.scope(ctx)).await?;
    let detail = if query.tails { Detail::Summary } else { Detail::State };
    let at_hand: HashSet<&BackendName> =
        gateway.stacks.values().filter(|stack| stack.can().cheap_reads).map(|stack| stack.name()).collect();
    let rows = if page.rows.iter().any(|entry| at_hand.contains(&entry.backend)) {
        let rows = stream::iter(page.rows).map(|entry| async {
            match at_hand.contains(&entry.backend) {
                // One row that cannot be read now is shown as last seen; the others are no worse for it.
                true => show(gateway, ctx, &entry, detail).await.map_or(entry.batch, |(batch, _)| batch),
                false => gateway.shown.with(&entry),
            }
        });
        rows.buffered(ROWS_AT_ONCE).collect().await
    } else {
        // Nothing is waited for: most lists are this one, and a hundred futures are more work than their rows.
        page.rows.iter().map(|entry| gateway.shown.with(entry)).collect()
    };
    Ok(Reply { outcome: Outcome::Page(Page { rows, total: page.total, next: None }), notes: Notes::default() })
}

/// An end that a backend has told in its answer to an action, where it does not show the batch any more.
pub(crate) async fn told_end(gateway: &Arc<Gateway>, stack: &Stack, entry: &Entry, state: BatchState) -> Result<Entry> {
    let observation = Observation {
        row: entry.row,
        state,
        attempt: None,
        revival: stack.can().revival,
        times: entry.batch.times,
        app: App::default(),
        diagnostic: None,
        log: None,
    };
    write(gateway, entry, observation).await
}
