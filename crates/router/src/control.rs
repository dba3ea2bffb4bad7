//! Acting on batches.
//!
//! Before a cancel the router reads state and last log page, since some products drop the record with it: a batch that has ended already
//! gets its dialect's own word for that, and nothing is sent. The wish is durable before it is sent, and repeated in the background until
//! an end is seen; an end is shown only once it was seen.

use std::sync::Arc;

use batchlingua_core::{
    Action, BatchId, BatchRef, BatchState, Context, Controlled, Detail, Effect, Entry, Error, ErrorKind, Filter,
    ListQuery, Notes, Outcome, Phase, Reply, Result, Selection, Window,
};
use tokio::time::Instant;

use crate::{AuditRecord, Gateway, observer::outcome_word, view};

/// Most batches of a project that one call acts on.
const SELECTED: u64 = 10_000;

/// Acts on the batches of a selection.
pub(crate) async fn control(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    selection: Selection<BatchRef>,
    action: Action,
) -> Result<Reply<BatchId>> {
    let entries = select(gateway, ctx, selection).await?;
    let mut tasks = Vec::with_capacity(entries.len());
    for entry in entries {
        let (gateway, ctx) = (gateway.clone(), ctx.clone());
        // Of its own: the client may leave, the wish stays.
        let task = gateway.tasks.spawn({
            let gateway = gateway.clone();
            async move { act(&gateway, &ctx, &entry, action).await }
        });
        tasks.push(task);
    }
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(task.await.map_err(Error::internal)?);
    }
    Ok(Reply { outcome: Outcome::Controlled(done), notes: Notes::default() })
}

async fn select(gateway: &Arc<Gateway>, ctx: &Context, selection: Selection<BatchRef>) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(selection.ids.len());
    for id in &selection.ids {
        entries.push(view::resolve(gateway, ctx, id).await?);
    }
    if let Some(project) = &selection.project {
        if selection.ids.is_empty() {
            let filter = Filter { states: selection.states, ..Filter::default() };
            let query = ListQuery { filter, window: Window { from: 0, size: SELECTED }, ..ListQuery::default() };
            let scope = batchlingua_core::Scope { projects: Some(vec![project.clone()]), ..gateway.scope(ctx) };
            entries = gateway.ledger.page(&query, &scope).await?.rows;
        } else {
            entries.retain(|entry| entry.batch.project.as_ref().is_none_or(|of| of == project));
        }
    }
    if let Some(states) = selection.states {
        entries.retain(|entry| states.contains(entry.batch.state));
    }
    Ok(entries)
}

async fn act(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry, action: Action) -> Controlled<BatchId> {
    let before = entry.batch.state;
    let result = match action {
        Action::Cancel => cancel(gateway, ctx, entry).await,
        Action::Forget => Ok(Effect::NothingToDo),
        Action::CancelAndForget => cancel(gateway, ctx, entry).await,
        Action::Pause | Action::Resume | Action::Restart => pass_on(gateway, ctx, entry, action).await,
    };
    let result = match (action, result) {
        // Hidden only now: while the job is being ended it is still shown as it is.
        (Action::Forget | Action::CancelAndForget, Ok(effect)) => {
            gateway.ledger.hide(&[entry.row], &ctx.dialect).await.map(|()| effect)
        }
        (_, result) => result,
    };
    gateway.observer.audit(&AuditRecord {
        ctx,
        action: action.as_str(),
        batch: Some(entry.batch.id.uuid),
        backend: Some(&entry.backend),
        name: entry.batch.spec.name.as_deref(),
        outcome: outcome_word(&result),
        unmapped: &[],
    });
    Controlled { id: entry.batch.id.clone(), before, result }
}

async fn cancel(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) -> Result<Effect> {
    let (batch, _) = view::show(gateway, ctx, entry, Detail::State).await?;
    if batch.state.is_end() && batch.state != BatchState::Unknown {
        return Ok(Effect::AlreadyEnded(batch.state));
    }
    // Listened to before anything is asked, so that no end slips through between.
    let mut changed = gateway.changed.subscribe();
    let deadline = Instant::now() + gateway.limits.cancel_wait;
    gateway.ledger.ask_cancel(&[entry.row]).await?;
    if entry.phase != Phase::Accepted {
        // It is still being submitted: the background repeats the wish as soon as it can be said.
        return Ok(Effect::Accepted);
    }
    let native = entry.batch.id.native.as_ref().ok_or_else(|| Error::internal("an accepted batch has no native id"))?;
    let stack = gateway.stack(&entry.backend)?;
    match stack.control(ctx, native, Action::Cancel).await {
        Ok(Effect::AlreadyEnded(_) | Effect::Ended(_) | Effect::Accepted | Effect::NothingToDo) => {}
        // Nobody knows whether it was taken: the background repeats it.
        Err(error) if matches!(error.kind, ErrorKind::BackendTimeout | ErrorKind::BackendUnavailable { .. }) => {
            return Ok(Effect::Accepted);
        }
        Err(error) => return Err(error),
    }
    loop {
        let (batch, _) = view::show(gateway, ctx, entry, Detail::State).await?;
        if batch.state.is_end() {
            return Ok(Effect::Ended(batch.state));
        }
        loop {
            match tokio::time::timeout_at(deadline, changed.recv()).await {
                Err(_) => return Ok(Effect::Accepted),
                Ok(Ok(row)) if row != entry.row => {}
                // Ours, or so many that some were missed: look.
                Ok(_) => break,
            }
        }
    }
}

async fn pass_on(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry, action: Action) -> Result<Effect> {
    let native = entry.batch.id.native.as_ref().filter(|_| entry.phase == Phase::Accepted);
    let native = native.ok_or_else(|| {
        let kind = ErrorKind::IllegalState { state: entry.batch.state, allowed: vec![Action::Cancel] };
        Error::new(kind, "the batch has not reached its backend yet")
    })?;
    let effect = gateway.stack(&entry.backend)?.control(ctx, native, action).await?;
    view::show(gateway, ctx, entry, Detail::State).await?;
    Ok(effect)
}
