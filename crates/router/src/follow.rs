//! The background work: changes are followed, backends walked, asked-for ends brought about, old rows dropped.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Action, Batch, BatchState, Bound, Context, Entry, Error, ErrorKind, NativeId, NativeIdentity, Observation, Result,
    Retention, RowId,
};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::{Gateway, stack::Stack, view};

/// How often asked-for ends that are not seen yet are asked for again.
const REPEAT_CANCEL: Duration = Duration::from_secs(5);
/// How often rows that are kept no longer are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
const EXPIRE_AT_ONCE: usize = 1000;
const BACKGROUND_CALL: Duration = Duration::from_secs(30);
const MISSED: &str = "the backend does not show this batch any more; its end was not seen";

/// Follows one backend: by its own word where it can tell, else by walking it.
pub(crate) async fn follow(gateway: Arc<Gateway>, stack: Arc<Stack>) {
    match stack.changes() {
        Some(mut changes) => {
            // What changed before we listened.
            walk(&gateway, &stack).await;
            loop {
                tokio::select! {
                    () = gateway.stop.cancelled() => return,
                    seen = changes.next() => match seen {
                        Some(batch) => take_in(&gateway, &stack, vec![batch]).await,
                        None => return,
                    },
                }
            }
        }
        None => {
            while !gateway.stop.is_cancelled() {
                walk(&gateway, &stack).await;
                let _ = tokio::time::timeout(gateway.limits.sweep, gateway.stop.cancelled()).await;
            }
        }
    }
}

/// Walks the backends that cannot tell by themselves and were walked too long ago for a list.
pub(crate) async fn freshen(gateway: &Arc<Gateway>, ctx: &Context) {
    let reachable = gateway.scope(ctx).backends;
    for (name, stack) in &gateway.stacks {
        let asked = reachable.as_ref().is_none_or(|names| names.contains(name));
        if asked && !stack.can().cheap_reads && is_old(gateway, stack) {
            walk(gateway, stack).await;
        }
    }
}

fn is_old(gateway: &Gateway, stack: &Stack) -> bool {
    let walked = gateway.walked.lock().expect("no panic while it is held");
    walked.get(stack.name()).is_none_or(|at| at.elapsed() > gateway.limits.list_freshness)
}

async fn walk(gateway: &Arc<Gateway>, stack: &Arc<Stack>) {
    let ctx = gateway.own_context(BACKGROUND_CALL);
    let mut after = None;
    loop {
        let page = match stack.scan(&ctx, after).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(backend = %stack.name(), cause = error.detail(), "the backend cannot be walked");
                return;
            }
        };
        take_in(gateway, stack, page.rows).await;
        after = page.next;
        if after.is_none() {
            let now = std::time::Instant::now();
            gateway.walked.lock().expect("no panic while it is held").insert(stack.name().clone(), now);
            return;
        }
    }
}

/// Binds and observes what was seen. Batches submitted elsewhere get a row here.
async fn take_in(gateway: &Arc<Gateway>, stack: &Arc<Stack>, seen: Vec<Batch<NativeId>>) {
    let ctx = gateway.own_context(BACKGROUND_CALL);
    // One of our own submits may be seen before it is settled: its row is bound by the settling, not here.
    let foreign = !stack.can().cheap_reads;
    let identities: Vec<_> = seen
        .into_iter()
        .map(|batch| NativeIdentity { native: batch.id.clone(), batch: Arc::new(batch), foreign })
        .collect();
    let bound = match gateway.ledger.bind(stack.name(), &identities).await {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(backend = %stack.name(), cause = error.detail(), "what a backend shows cannot be written");
            return;
        }
    };
    for (bound, identity) in bound.into_iter().zip(&identities) {
        let Bound::Row(entry) = bound else { continue };
        if let Err(error) = view::observe(gateway, &ctx, stack, &entry, &identity.batch).await {
            tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a change cannot be written");
        }
    }
}

/// The batch was shown: it is not missing.
pub(crate) fn shown_again(gateway: &Gateway, row: RowId) {
    let mut missing = gateway.missing.lock().expect("no panic while it is held");
    if !missing.is_empty() {
        missing.remove(&row);
    }
}

/// The backend does not show a live batch. Only after `unknown_after` of that is it called unknown; the row as it now stands.
pub(crate) async fn not_shown(gateway: &Arc<Gateway>, stack: &Stack, entry: &Entry, error: &Error) -> Result<Entry> {
    if !matches!(error.kind, ErrorKind::NotFound(_)) || entry.batch.state.is_end() {
        return Ok(entry.clone());
    }
    let now = gateway.clock.now();
    let since = *gateway.missing.lock().expect("no panic while it is held").entry(entry.row).or_insert(now);
    if now < since.plus(gateway.limits.unknown_after) {
        return Ok(entry.clone());
    }
    tracing::warn!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, "the backend does not show a batch whose end was not seen");
    let observation = Observation {
        row: entry.row,
        state: BatchState::Unknown,
        attempt: None,
        revival: stack.can().revival,
        times: entry.batch.times,
        app: entry.batch.app.clone(),
        diagnostic: Some(MISSED.to_owned()),
        log: None,
    };
    let unknown = gateway
        .ledger
        .observe(&[observation])
        .await?
        .pop()
        .ok_or_else(|| Error::internal("an observation gave no row"))?;
    gateway.tell(entry, &unknown);
    Ok(unknown)
}

/// Ends that were asked for and are not seen are asked for again: the proxy that was asked may have died in between.
pub(crate) async fn repeat_cancels(gateway: Arc<Gateway>) {
    let mut next = Instant::now();
    while !gateway.stop.is_cancelled() {
        match gateway.ledger.unended_cancels(EXPIRE_AT_ONCE).await {
            Ok(entries) => {
                for entry in entries {
                    repeat_cancel(&gateway, &entry).await;
                }
            }
            Err(error) => tracing::warn!(cause = error.detail(), "asked-for ends cannot be read"),
        }
        next += REPEAT_CANCEL;
        let _ = tokio::time::timeout_at(next, gateway.stop.cancelled()).await;
    }
}

async fn repeat_cancel(gateway: &Arc<Gateway>, entry: &Entry) {
    let (Some(native), Ok(stack)) = (&entry.batch.id.native, gateway.stack(&entry.backend)) else { return };
    let ctx = gateway.own_context(BACKGROUND_CALL);
    if let Err(error) = stack.control(&ctx, native, Action::Cancel).await {
        tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a cancel could not be repeated");
        return;
    }
    if let Ok(seen) = stack.get(&ctx, native, batchlingua_core::Detail::State).await {
        let _ = view::observe(gateway, &ctx, stack, entry, &seen).await;
    }
}

/// Drops rows that are kept no longer.
pub(crate) async fn expire(gateway: Arc<Gateway>) {
    while !gateway.stop.is_cancelled() {
        let keep =
            Retention { ended_before: gateway.clock.now().minus(gateway.limits.keep_for), limit: EXPIRE_AT_ONCE };
        match gateway.ledger.expire(&keep).await {
            Ok(dropped) if dropped == EXPIRE_AT_ONCE as u64 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(cause = error.detail(), "old rows cannot be dropped"),
        }
        let _ = tokio::time::timeout(EXPIRE_EVERY, gateway.stop.cancelled()).await;
    }
}
