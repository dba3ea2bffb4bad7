//! Showing: one batch, many, and their logs.
//!
//! What a client sees is the ledger's row, which never goes backwards, with what only the backend's own answer has. A change is durable
//! before it is shown. A backend that cannot be reached is answered for from what was last seen, for a while, and the client is told.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Batch, BatchId, BatchRef, BatchState, Context, Detail, Entry, Error, ErrorKind, KeptLog, Lines, ListQuery, Log,
    LogBody, LogQuery, LogSource, NativeId, NativeIdentity, Notes, Observation, Outcome, Page, Phase, Reply, Result,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{Gateway, follow, gateway::merge, stack::Stack};

/// How many rows of a list are asked for at once.
const ROWS_AT_ONCE: usize = 16;
/// Lines of a batch object's log.
const TAIL: u32 = 10;
/// Most lines that are kept of a log.
const KEPT_LINES: u32 = 10_000;

/// The row of the batch that a client names.
pub(crate) async fn resolve(gateway: &Arc<Gateway>, ctx: &Context, wanted: &BatchRef) -> Result<Entry> {
    let scope = gateway.scope(ctx);
    if let Some(entry) = gateway.ledger.find(wanted, &scope).await? {
        return Ok(entry);
    }
    // A proxy that was put in front of a running cluster keeps the ids that its clients hold, on its first day too.
    let native = match wanted {
        BatchRef::Uuid(uuid) => NativeId::new(uuid.to_string()),
        BatchRef::Text(text) => NativeId::new(text.as_str()),
        // The id of a submit of unknown outcome is a uuid, whatever its client's dialect calls an id.
        BatchRef::Name(name) => match name.parse() {
            Ok(uuid) => {
                return gateway
                    .ledger
                    .find(&BatchRef::Uuid(uuid), &scope)
                    .await?
                    .ok_or_else(|| Error::no_batch(wanted));
            }
            Err(_) => return Err(Error::no_batch(wanted)),
        },
        BatchRef::Ordinal(_) => return Err(Error::no_batch(wanted)),
    };
    for (name, stack) in &gateway.stacks {
        if scope.backends.as_ref().is_some_and(|reachable| !reachable.contains(name)) {
            continue;
        }
        if let Ok(batch) = stack.get(ctx, &native, Detail::Summary).await {
            let seen = NativeIdentity { native: native.clone(), batch: Arc::new(batch), foreign: true };
            gateway.ledger.bind(name, &[seen]).await?;
            if let Some(entry) = gateway.ledger.find(wanted, &scope).await? {
                return Ok(entry);
            }
        }
    }
    Err(Error::no_batch(wanted))
}

/// One batch.
pub(crate) async fn get(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    wanted: &BatchRef,
    detail: Detail,
) -> Result<Reply<BatchId>> {
    let entry = resolve(gateway, ctx, wanted).await?;
    let (batch, notes) = show(gateway, ctx, &entry, detail).await?;
    Ok(Reply { outcome: Outcome::Batch(batch), notes })
}

/// A row as it is to be shown now.
pub(crate) async fn show(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entry: &Entry,
    detail: Detail,
) -> Result<(Arc<Batch<BatchId>>, Notes)> {
    let mut notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    let ended = is_settled_end(entry);
    let native = match &entry.batch.id.native {
        Some(native) if entry.phase == Phase::Accepted && !(ended && detail == Detail::State) => native,
        // Nothing to ask for: it is not there yet, or its end is known.
        _ => return Ok((entry.batch.clone(), notes)),
    };
    let stack = gateway.stack(&entry.backend)?;
    match stack.get(ctx, native, detail).await {
        Ok(seen) => {
            let now = observe(gateway, ctx, stack, entry, &seen).await?;
            Ok((Arc::new(merge(&now, seen)), notes))
        }
        Err(error) if ended => {
            tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "an ended batch is shown from the ledger alone");
            Ok((Arc::new(with_kept_tail(gateway, entry).await?), notes))
        }
        Err(error) => {
            let now = follow::not_shown(gateway, stack, entry, &error).await?;
            notes.stale_seconds = stale(gateway, &now, error)?;
            Ok((now.batch, notes))
        }
    }
}

/// An end that is never asked for again; a failure that may come back to life is.
fn is_settled_end(entry: &Entry) -> bool {
    match entry.batch.state {
        BatchState::Succeeded | BatchState::Failed | BatchState::Cancelled => true,
        BatchState::Queued | BatchState::Starting | BatchState::Running | BatchState::Paused | BatchState::Unknown => {
            false
        }
    }
}

async fn with_kept_tail(gateway: &Gateway, entry: &Entry) -> Result<Batch<BatchId>> {
    let kept = gateway.ledger.kept_log(entry.row).await?.unwrap_or_default();
    let from = kept.lines.len().saturating_sub(TAIL as usize);
    Ok(Batch { log_tail: kept.lines[from..].to_vec(), ..Batch::clone(&entry.batch) })
}

/// How old the row is, if it may still stand for the backend's answer.
fn stale(gateway: &Gateway, entry: &Entry, error: Error) -> Result<Option<u32>> {
    let age = Duration::from_millis(u64::try_from(gateway.clock.now().0 - entry.batch.times.modified.0).unwrap_or(0));
    match error.kind {
        // A backend that does not show one batch answers, so the row is what is known.
        ErrorKind::NotFound(_) => Ok(None),
        _ if age <= gateway.limits.stale_for => Ok(Some(u32::try_from(age.as_secs()).unwrap_or(u32::MAX))),
        _ => Err(error),
    }
}

/// Writes what was seen, if it is news; the row as it now stands. With the end the last page of the log is kept.
pub(crate) async fn observe(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: &Stack,
    entry: &Entry,
    seen: &Batch<NativeId>,
) -> Result<Entry> {
    follow::shown_again(gateway, entry.row);
    let row = &entry.batch;
    let news = seen.state != row.state
        || seen.attempt != row.attempt
        || seen.times != row.times
        || seen.app != row.app
        || seen.diagnostic != row.diagnostic;
    if !news {
        return Ok(entry.clone());
    }
    let can = stack.can();
    let ends = seen.state.is_end() && !row.state.is_end();
    let log = if ends && can.log { last_page(ctx, stack, &seen.id).await } else { None };
    let observation = Observation {
        row: entry.row,
        state: seen.state,
        attempt: None,
        revival: can.revival,
        times: seen.times,
        app: seen.app.clone(),
        diagnostic: seen.diagnostic.clone(),
        log,
    };
    let now = gateway
        .ledger
        .observe(&[observation])
        .await?
        .pop()
        .ok_or_else(|| Error::internal("an observation gave no row"))?;
    gateway.tell(entry, &now);
    Ok(now)
}

async fn last_page(ctx: &Context, stack: &Stack, native: &NativeId) -> Option<KeptLog> {
    let query = LogQuery { lines: Lines::Tail(KEPT_LINES), source: LogSource::Default };
    match stack.log(ctx, native, &query).await {
        Ok(log) => KeptLog::of_tail(&log),
        Err(error) => {
            // The end counts more than its log.
            tracing::warn!(native = %native, cause = error.detail(), "the log of an ended batch cannot be kept");
            None
        }
    }
}

/// Many batches: the ledger filters, sorts and counts; rows whose backend is at hand are refreshed.
pub(crate) async fn list(gateway: &Arc<Gateway>, ctx: &Context, query: &ListQuery) -> Result<Reply<BatchId>> {
    follow::freshen(gateway, ctx).await;
    let page = gateway.ledger.page(query, &gateway.scope(ctx)).await?;
    let rows = stream::iter(page.rows).map(|entry| async move {
        let at_hand = gateway.stack(&entry.backend).is_ok_and(|stack| stack.can().cheap_reads);
        let detail = if query.tails { Detail::Summary } else { Detail::State };
        if at_hand { show(gateway, ctx, &entry, detail).await.map(|(batch, _)| batch) } else { Ok(entry.batch) }
    });
    let rows = rows.buffered(ROWS_AT_ONCE).try_collect().await?;
    Ok(Reply { outcome: Outcome::Page(Page { rows, total: page.total, next: None }), notes: Notes::default() })
}

/// Lines of a batch's log.
pub(crate) async fn log(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    wanted: &BatchRef,
    query: &LogQuery,
) -> Result<Reply<BatchId>> {
    let entry = resolve(gateway, ctx, wanted).await?;
    let notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    let id = entry.batch.id.clone();
    let Some(native) = id.native.as_ref().filter(|_| entry.phase == Phase::Accepted) else {
        let nothing = Log { from: 0, total: Some(0), body: LogBody::Lines(Vec::new()) };
        return Ok(Reply { outcome: Outcome::Log(id, nothing), notes });
    };
    let log = match gateway.stack(&entry.backend) {
        Ok(stack) => stack.log(ctx, native, query).await,
        Err(error) => Err(error),
    };
    let log = match log {
        Ok(log) => log,
        // Forgotten there, or out of reach: what was kept with its end is still an answer.
        Err(error) if is_settled_end(&entry) => match gateway.ledger.kept_log(entry.row).await? {
            Some(kept) => cut(kept, query.lines),
            None => return Err(error),
        },
        Err(error) => return Err(error),
    };
    Ok(Reply { outcome: Outcome::Log(id, log), notes })
}

/// The asked lines, as far as they were kept.
fn cut(kept: KeptLog, lines: Lines) -> Log {
    let (first, end) = (kept.from, kept.from + kept.lines.len() as u64);
    let (from, size) = match lines {
        Lines::Tail(n) | Lines::Next(n) => (end.saturating_sub(u64::from(n)), u64::from(n)),
        Lines::From(from, n) => (from, u64::from(n)),
        Lines::HeadAndTail(n) => (end.saturating_sub(2 * u64::from(n)), 2 * u64::from(n)),
        Lines::All => (first, u64::MAX),
    };
    let start = from.clamp(first, end);
    let stop = from.saturating_add(size).clamp(start, end);
    let index = |line: u64| usize::try_from(line - first).expect("kept lines fit in memory");
    let lines = kept.lines[index(start)..index(stop)].to_vec();
    Log { from: if lines.is_empty() { from } else { start }, total: Some(kept.total), body: LogBody::Lines(lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: Log) -> (u64, Vec<String>) {
        match log.body {
            LogBody::Lines(lines) => (log.from, lines),
            LogBody::Stream(_) => panic!("lines"),
        }
    }

    #[test]
    fn a_kept_page_is_cut_like_the_log_that_it_is_the_end_of() {
        let kept = || KeptLog { from: 5, total: 8, lines: ["l5", "l6", "l7"].map(str::to_owned).into() };
        assert_eq!(lines(cut(kept(), Lines::Tail(2))), (6, vec!["l6".into(), "l7".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(0, 6))), (5, vec!["l5".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(7, 100))), (7, vec!["l7".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(8, 100))), (8, vec![]));
        assert_eq!(lines(cut(kept(), Lines::From(0, 3))), (0, vec![]));
        assert_eq!(lines(cut(kept(), Lines::All)).1.len(), 3);
    }
}
