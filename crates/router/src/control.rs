//! Acting on batches.
//!
//! What cannot be done to one of the batches of a call is done to none of them: everything that is known beforehand is looked at first.
//!
//! Before a cancel the router reads state and last log page, since some products drop the record with it: a batch that has ended already
//! gets its dialect's own word for that, and nothing is sent. The wish is durable before it is sent, and repeated in the background until
//! an end is seen; an end is shown only once it was seen.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchlingua_core::{
    Action, BatchId, BatchRef, BatchState, Capabilities, Context, Controlled, Detail, Effect, Entry, Error, ErrorKind,
    Filter, ListQuery, NativeId, Notes, Outcome, Phase, Project, Reply, Result, Revival, RowId, Selection, StateSet,
    Window,
};
use batchlingua_wire::Ownership;
use futures_util::{StreamExt, stream};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{AuditRecord, Gateway, logs, observer::outcome_word, rights, stack::Stack, view};

/// Most batches of a project that one call acts on: all of them are held and looked at before anything is done. More are refused, never
/// left out.
const SELECTED: u64 = 100_000;
/// Of the batches of one call, so many are acted on at once: a backend has other callers.
const AT_ONCE: usize = 32;
/// How soon, and how often at least, the end that was asked for is looked for where the backend does not tell it.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Acts on the batches of a selection.
pub(crate) async fn control(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    selection: Selection<BatchRef>,
    action: Action,
) -> Result<Reply<BatchId>> {
    let token = gateway.come_in()?;
    let wanted = Wanted { states: selection.states, legal: selection.legal };
    let entries = select(gateway, ctx, selection).await?;
    // The client's deadline is not the work's.
    let deadline = (Instant::now() + gateway.limits.request_timeout).into_std();
    let ctx = Context { deadline, ..ctx.clone() };
    let patience = Instant::now() + gateway.limits.cancel_wait;
    // In a task of its own: the client may leave, the wish stays.
    let task = gateway.tasks.spawn({
        let gateway = gateway.clone();
        async move {
            let meant = match meant(&gateway, &ctx, entries, action, wanted).await {
                Ok(meant) => meant,
                Err(refused) => return refused,
            };
            let acts = stream::iter(meant).map(|entry| act(&gateway, &ctx, entry, action, patience));
            acts.buffered(AT_ONCE).collect::<Vec<_>>().await
        }
    });
    drop(token);
    let done = task.await.map_err(Error::internal)?;
    Ok(Reply { outcome: Outcome::Controlled(done), notes: Notes::default() })
}

async fn select(gateway: &Arc<Gateway>, ctx: &Context, selection: Selection<BatchRef>) -> Result<Vec<Entry>> {
    gateway.check_project(ctx, selection.project.as_ref())?;
    let mut entries = match &selection.project {
        Some(project) if selection.ids.is_empty() => all_of(gateway, ctx, project, selection.states).await?,
        Some(_) | None => named(gateway, ctx, &selection).await?,
    };
    if let Some(project) = &selection.project {
        let unscoped = gateway.scope_of(ctx, project).unscoped;
        entries.retain(|entry| entry.batch.project.as_ref().map_or(unscoped, |of| of == project));
    }
    if let Some(states) = selection.states {
        entries.retain(|entry| states.contains(entry.batch.state));
    }
    // One batch may be named by several of its ids.
    let mut named = HashSet::new();
    entries.retain(|entry| named.insert(entry.row));
    Ok(entries)
}

async fn named(gateway: &Arc<Gateway>, ctx: &Context, selection: &Selection<BatchRef>) -> Result<Vec<Entry>> {
    let mut entries = Vec::with_capacity(selection.ids.len());
    for id in &selection.ids {
        match view::resolve(gateway, ctx, id).await {
            Ok(entry) => entries.push(entry),
            Err(error) if selection.skip_unknown && matches!(error.kind, ErrorKind::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

/// A project's batches, of one moment: page by page, what changes its state meanwhile would be left out.
async fn all_of(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    project: &Project,
    states: Option<StateSet>,
) -> Result<Vec<Entry>> {
    let filter = Filter { states, ..Filter::default() };
    let query = ListQuery { filter, window: Window { from: 0, size: SELECTED }, ..ListQuery::default() };
    let page = gateway.ledger.page(&query, &gateway.scope_of(ctx, project)).await?;
    match page.total {
        Some(total) if total > SELECTED => {
            let message = format!(
                "this would act on {total} batches of project '{project}', and one call acts on {SELECTED} at most; nothing was done: \
                 name fewer states, or the batches by their ids"
            );
            Err(Error::invalid("project", message))
        }
        Some(_) | None => Ok(page.rows),
    }
}

/// Of the batches that a call selects, those that it is about: in these states, if any are given, and all of them in legal ones.
#[derive(Clone, Copy)]
struct Wanted {
    states: Option<StateSet>,
    legal: Option<StateSet>,
}

/// The batches that are meant, as they are now; or those to which it cannot be done, each with the reason.
async fn meant(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entries: Vec<Entry>,
    action: Action,
    wanted: Wanted,
) -> Result<Vec<Entry>, Vec<Controlled<BatchId>>> {
    // By their places: a closure over references is not general enough for a task.
    let looks = stream::iter(0..entries.len());
    let looks = looks.map(|at| may(gateway, ctx, &entries[at], action, wanted)).buffered(AT_ONCE);
    let looks: Vec<Result<bool>> = looks.collect().await;
    let mut refused = Vec::new();
    let mut meant = Vec::with_capacity(entries.len());
    for (entry, look) in entries.into_iter().zip(looks) {
        match look {
            Ok(true) => meant.push(entry),
            Ok(false) => {}
            Err(error) => refused.push(told(gateway, ctx, &entry, action, Err(error)).await),
        }
    }
    if refused.is_empty() { Ok(meant) } else { Err(refused) }
}

/// Whether the batch is still in a state that is meant; it is refused if that is none for the action, or its backend has none such.
async fn may(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry, action: Action, wanted: Wanted) -> Result<bool> {
    match gateway.ownership(ctx) {
        Ownership::Shared => {}
        Ownership::ReadOnly => rights::check_owner(ctx, &entry.batch)?,
    }
    let stack = gateway.stack(&entry.backend);
    let offer = match action {
        Action::Forget => may_forget(gateway, ctx, entry).await,
        Action::Cancel | Action::CancelAndForget if view::is_over(entry.batch.state, stack.as_ref().ok().copied()) => {
            Ok(())
        }
        Action::Cancel | Action::CancelAndForget => stack.and_then(|stack| stack.offers(Action::Cancel)),
        Action::Pause | Action::Resume | Action::Restart => stack.and_then(|stack| stack.offers(action)),
    };
    let Some(legal) = wanted.legal else { return offer.map(|()| true) };
    // Who says where the action is legal wants to be told what else is.
    let state = view::show_now(gateway, ctx, entry, Detail::State).await?.0.state;
    // It was chosen by its state as last seen, and has left it since: then it is not meant, and no reason to refuse the others.
    if wanted.states.is_some_and(|states| !states.contains(state)) {
        return Ok(false);
    }
    let message = match offer {
        Ok(()) if legal.contains(state) => return Ok(true),
        Ok(()) => format!("the action '{}' is not legal for a batch that is {state}", action.as_str()),
        Err(error) if matches!(error.kind, ErrorKind::Unsupported { .. }) => error.message,
        Err(error) => return Err(error),
    };
    let allowed = gateway.stack(&entry.backend).map_or_else(|_| Vec::new(), |stack| possible(state, &stack.can()));
    Err(Error::new(ErrorKind::IllegalState { state, allowed }, message))
}

/// What can be done to a batch there.
fn possible(state: BatchState, can: &Capabilities) -> Vec<Action> {
    const HELD: &[Action] = &[Action::Resume, Action::Cancel, Action::Restart];
    let possible: &[Action] = match state {
        BatchState::Queued | BatchState::Starting => &[Action::Cancel, Action::Pause],
        BatchState::Running => &[Action::Cancel, Action::Pause, Action::Restart],
        BatchState::Paused => HELD,
        BatchState::Failed if can.revival == Revival::AfterFailure => HELD,
        BatchState::Failed | BatchState::Succeeded | BatchState::Cancelled | BatchState::Unknown => &[],
    };
    possible.iter().copied().filter(|action| can.actions.contains(*action)).collect()
}

async fn act(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entry: Entry,
    action: Action,
    patience: Instant,
) -> Controlled<BatchId> {
    let result = match action {
        Action::Cancel | Action::CancelAndForget => cancel(gateway, ctx, &entry, patience).await,
        // It was looked at already, and what has ended needs nothing more.
        Action::Forget => Ok(Effect::NothingToDo),
        Action::Pause | Action::Resume | Action::Restart => pass_on(gateway, ctx, &entry, action).await,
    };
    if let (Action::CancelAndForget, Ok(Effect::AlreadyEnded(_))) = (action, &result) {
        free_name(gateway, ctx, &entry).await;
    }
    let result = match (action, result) {
        // Hidden only now: while the job is being ended it is still shown as it is.
        (Action::Forget | Action::CancelAndForget, Ok(effect)) => {
            gateway.ledger.hide(&[entry.row], &ctx.dialect).await.map(|()| effect)
        }
        (_, result) => result,
    };
    told(gateway, ctx, &entry, action, result).await
}

/// A client that forgets an ended batch may submit under its name again: where the platform holds the name by the batch's record, that goes
/// too. What is not done now the platform does in its own time.
async fn free_name(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) {
    let (Ok(stack), Some(native)) = (gateway.stack(&entry.backend), &entry.batch.id.native) else { return };
    if !stack.holds_names() || entry.phase != Phase::Accepted {
        return;
    }
    match act_under_its_number(gateway, ctx, stack, entry, native, Action::CancelAndForget).await {
        Err(error) if !matches!(error.kind, ErrorKind::NotFound(_)) => {
            tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "the record of an ended batch cannot be dropped");
        }
        Ok(_) | Err(_) => {}
    }
}

/// Acts on a batch that was not looked at just now: a backend that counts anew may have given its number to another.
async fn act_under_its_number(
    gateway: &Gateway,
    ctx: &Context,
    stack: &Arc<Stack>,
    entry: &Entry,
    native: &NativeId,
    action: Action,
) -> Result<Effect> {
    if view::has_its_number(gateway, ctx, stack, entry, native).await? {
        stack.control(ctx, native, action).await
    } else {
        Err(Error::no_batch(entry.batch.id.uuid))
    }
}

/// What became of a batch, for the client and the audit.
async fn told(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    entry: &Entry,
    action: Action,
    result: Result<Effect>,
) -> Controlled<BatchId> {
    gateway.observer.audit(&AuditRecord {
        ctx,
        action: action.as_str(),
        batch: Some(entry.batch.id.uuid),
        backend: Some(&entry.backend),
        name: entry.batch.spec.name.as_deref(),
        outcome: outcome_word(result.as_ref()),
        unmapped: &[],
    });
    let now = gateway.ledger.find(&entry.batch.id.clone().into(), &gateway.own_scope(None)).await;
    let after = now.ok().flatten().map(|now| now.batch);
    Controlled { id: entry.batch.id.clone(), before: entry.batch.state, result, after }
}

/// A batch that lives is not let out of sight.
async fn may_forget(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry) -> Result<()> {
    let (batch, _) = view::show_now(gateway, ctx, entry, Detail::State).await?;
    let state = batch.state;
    if entry.phase == Phase::Accepted && state.is_end() {
        return Ok(());
    }
    let allowed = vec![Action::Cancel, Action::CancelAndForget];
    Err(Error::new(ErrorKind::IllegalState { state, allowed }, "the batch has not ended; cancel it first"))
}

async fn cancel(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry, patience: Instant) -> Result<Effect> {
    let (batch, _) = view::show_now(gateway, ctx, entry, Detail::State).await?;
    let stack = gateway.stack(&entry.backend);
    if view::is_over(batch.state, stack.as_ref().ok().copied()) {
        return Ok(Effect::AlreadyEnded(batch.state));
    }
    let stack = stack?;
    // A wish that cannot be said would be repeated for ever.
    stack.offers(Action::Cancel)?;
    // Listened to before anything is asked, so that no end slips through between.
    let mut changed = gateway.changed.subscribe();
    // As it now stands: a submit may have come through since it was looked up.
    let asked = gateway.ledger.ask_cancel(&[entry.row]).await?.pop();
    let entry = asked.as_ref().unwrap_or(entry);
    let Some(native) = entry.batch.id.native.as_ref().filter(|_| entry.phase == Phase::Accepted) else {
        // It is still being submitted: the background repeats the wish as soon as it can be said.
        return Ok(Effect::Accepted);
    };
    // Some products drop the log with the cancel, before its end can be seen.
    if !stack.can().cheap_reads && entry.batch.state != BatchState::Queued {
        logs::keep(gateway, ctx, stack, entry, native).await;
    }
    let told = match end(gateway, ctx, stack, entry, native, patience).await {
        // A platform that answers when the job has ended: its answer is taken in when it comes.
        None => return Ok(Effect::Accepted),
        // Nobody had asked before, so it ended by itself; where that looks like a cancel the next look could not tell.
        Some(Ok(Effect::AlreadyEnded(state))) if !batch.cancel_asked && !stack.can().tells_cancelled => {
            let now = view::told_end(gateway, stack, entry, state).await?;
            return Ok(Effect::AlreadyEnded(now.batch.state));
        }
        Some(Ok(Effect::Ended(state) | Effect::AlreadyEnded(state))) => Some(state),
        Some(Ok(Effect::Accepted | Effect::NothingToDo)) => None,
        Some(Err(error)) => match error.kind {
            // Nobody knows whether it was taken, or it was not: the background repeats it.
            ErrorKind::BackendTimeout | ErrorKind::BackendUnavailable { .. } | ErrorKind::Throttled { .. } => {
                return Ok(Effect::Accepted);
            }
            // It is gone there: there is nothing to end, or it will be seen again and ended then.
            ErrorKind::NotFound(_) if batch.state == BatchState::Unknown => {
                return Ok(Effect::AlreadyEnded(BatchState::Unknown));
            }
            ErrorKind::NotFound(_) => return Ok(Effect::Accepted),
            _ => return Err(error),
        },
    };
    let mut pause = FIRST_LOOK;
    loop {
        if let Some(state) = look(gateway, ctx, stack, entry, told).await {
            return Ok(Effect::Ended(state));
        }
        let next = patience.min(Instant::now() + pause);
        let told = gateway.until_changed(&mut changed, entry.row, next).await;
        if !told && (Instant::now() >= patience || gateway.stop.is_cancelled()) {
            return Ok(Effect::Accepted);
        }
        pause = (pause * 2).min(LOOK_EVERY);
    }
}

/// Batches whose end is being asked for: a platform that takes minutes to answer is not asked again meanwhile.
#[derive(Default)]
pub(crate) struct Ending(Mutex<HashSet<RowId>>);

/// One of them.
struct Asking {
    gateway: Arc<Gateway>,
    row: RowId,
}

impl Ending {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn rows(&self) -> MutexGuard<'_, HashSet<RowId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// `None`: it is being asked already.
    fn begin(gateway: &Arc<Gateway>, row: RowId) -> Option<Self> {
        gateway.ending.rows().insert(row).then(|| Self { gateway: gateway.clone(), row })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.gateway.ending.rows().remove(&self.row);
    }
}

/// Asks the backend for the batch's end, and waits for its answer for a while; what comes later is taken in nevertheless.
async fn end(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: &Arc<Stack>,
    entry: &Entry,
    native: &NativeId,
    patience: Instant,
) -> Option<Result<Effect>> {
    let asking = Asking::begin(gateway, entry.row)?;
    let (answer, mut answered) = oneshot::channel();
    let task = {
        let (gateway, stack, entry, native) = (gateway.clone(), stack.clone(), entry.clone(), native.clone());
        let ctx = Context { deadline: (Instant::now() + stack.action_timeout()).into_std(), ..ctx.clone() };
        async move {
            let result = stack.control(&ctx, &native, Action::Cancel).await;
            drop(asking);
            if let Err(unheard) = answer.send(result) {
                late(&gateway, &ctx, &stack, &entry, unheard).await;
            }
        }
    };
    gateway.tasks.spawn(task);
    let result = timeout_at(patience, &mut answered).await;
    answered.close();
    match result {
        Ok(answer) => answer.ok(),
        // It may have come just now.
        Err(_) => answered.try_recv().ok(),
    }
}

/// The answer to an action that nobody waits for any more.
async fn late(gateway: &Arc<Gateway>, ctx: &Context, stack: &Arc<Stack>, entry: &Entry, result: Result<Effect>) {
    match result {
        Ok(Effect::Ended(state) | Effect::AlreadyEnded(state)) => {
            let ctx = Context { deadline: (Instant::now() + stack.timeout()).into_std(), ..ctx.clone() };
            look(gateway, &ctx, stack, entry, Some(state)).await;
        }
        Ok(Effect::Accepted | Effect::NothingToDo) => {}
        Err(error) => {
            tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a cancel was not taken; it is repeated");
        }
    }
}

/// The batch's end, if it is seen by now. What the backend has told of it counts where it does not show the batch any more.
async fn look(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: &Arc<Stack>,
    entry: &Entry,
    told: Option<BatchState>,
) -> Option<BatchState> {
    // As it now stands: against an older row the same sight would be news each time, and news wakes whoever waits here.
    let row = gateway.ledger.find(&entry.batch.id.clone().into(), &gateway.own_scope(None)).await.ok().flatten();
    let entry = row.as_ref().unwrap_or(entry);
    let shown = view::show_now(gateway, ctx, entry, Detail::State).await;
    let state = shown.ok().map(|(batch, _)| batch.state);
    match (state, told) {
        (Some(state), _) if view::is_over(state, Some(stack)) => Some(state),
        (_, Some(told)) => view::told_end(gateway, stack, entry, told).await.ok().map(|now| now.batch.state),
        (_, None) => None,
    }
}

/// Says once more that an end is wished, and looks for it.
pub(crate) async fn repeat_cancel(gateway: &Arc<Gateway>, entry: &Entry) -> Result<()> {
    let Some(native) = &entry.batch.id.native else { return Ok(()) };
    let stack = gateway.stack(&entry.backend)?;
    let Some(_asking) = Asking::begin(gateway, entry.row) else { return Ok(()) };
    let ctx = gateway.own_context(stack.action_timeout());
    let told = match act_under_its_number(gateway, &ctx, stack, entry, native, Action::Cancel).await {
        Ok(Effect::Ended(state) | Effect::AlreadyEnded(state)) => Some(state),
        Ok(Effect::Accepted | Effect::NothingToDo) => None,
        // Looked at nevertheless: that is how it becomes unknown.
        Err(error) if matches!(error.kind, ErrorKind::NotFound(_)) => None,
        Err(error) => return Err(error),
    };
    look(gateway, &ctx, stack, entry, told).await;
    Ok(())
}

async fn pass_on(gateway: &Arc<Gateway>, ctx: &Context, entry: &Entry, action: Action) -> Result<Effect> {
    // As it now stands: who has looked whether it may be done has brought the row up to date.
    let row = gateway.ledger.find(&entry.batch.id.clone().into(), &gateway.own_scope(None)).await?;
    let entry = row.as_ref().unwrap_or(entry);
    let native = entry.batch.id.native.as_ref().filter(|_| entry.phase == Phase::Accepted);
    let native = native.ok_or_else(|| {
        let kind = ErrorKind::IllegalState { state: entry.batch.state, allowed: vec![Action::Cancel] };
        Error::new(kind, "the batch has not reached its backend yet")
    })?;
    let stack = gateway.stack(&entry.backend)?;
    let effect = stack.control(ctx, native, action).await?;
    // It is done, whether its effect can be seen now or later.
    let seen = match action {
        Action::Restart => begun_anew(gateway, ctx, stack, entry, native).await,
        Action::Pause | Action::Resume | Action::Cancel | Action::Forget | Action::CancelAndForget => {
            view::show_now(gateway, ctx, entry, Detail::State).await.map(drop)
        }
    };
    if let Err(error) = seen {
        tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "what came of an action cannot be seen yet");
    }
    Ok(effect)
}

/// A restart begins another attempt, which nothing tells where the platform counts none: a job that ran and waits again would be one that is told
/// late. The first sight after it is of the new attempt, if the job lives.
async fn begun_anew(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    stack: &Stack,
    entry: &Entry,
    native: &NativeId,
) -> Result<()> {
    let seen = stack.get(ctx, native, Detail::State).await?;
    let mut sight = view::observation(ctx, stack, entry, &seen).await;
    if !seen.state.is_end() {
        sight.attempt = Some(seen.attempt.max(entry.batch.attempt + 1));
    }
    view::write(gateway, entry, sight).await.map(drop)
}
