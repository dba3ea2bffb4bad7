//! A walk over all that a backend shows, and what becomes of what it shows.
//!
//! Batches that were submitted elsewhere get a row, changes are written, and what only the backend's own answer has is kept for lists. Where a
//! backend's rows tell all that a look at one batch would ([`Backend::rows_tell`](batchlingua_core::Backend::rows_tell)), a walk is also a look at each
//! of them: it answers those who wait for one (`rounds`), and refreshes what was seen before (`fresh`). An end is left to a look of its own: with it
//! comes what is shown for good, and its log is read, which may take longer than those who are polled can wait. So only a walk that goes to the end
//! for its own sake writes ends.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Batch, BatchState, Bound, Entry, Millis, NativeId, NativeIdentity, Observation, Page, Result};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::{
    Gateway,
    follow::{BACKGROUND_CALL, READS_AT_ONCE},
    fresh::{Keep, Moment, Shown},
    gateway::merge,
    shown::Extra,
    stack::Stack,
    view,
};

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// To the end.
    All,
    /// Until every batch has been seen that somebody watches.
    Watched,
}

/// What it took to see every batch that somebody watches; where one was not seen, the whole walk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) pages: u64,
    pub(crate) rows: u64,
    pub(crate) time: Duration,
}

/// Walks one backend; whether the walk came to the backend's end and all that it saw is written.
pub(crate) async fn walk(gateway: &Arc<Gateway>, stack: &Arc<Stack>, extent: Extent) -> Result<bool> {
    let mut unseen = stack.looks.watched();
    // Where nobody watches, all of it is what a round would take, for all that is known.
    let is_watched = !unseen.is_empty();
    let (began, mut cost, mut is_measured, mut after) = (Instant::now(), Cost::default(), false, None);
    let mut is_all_written = true;
    loop {
        let asked = (stack.looks.moment(), gateway.clock.now());
        let Page { rows, next, .. } = stack.scan(&gateway.own_context(BACKGROUND_CALL), after.clone()).await?;
        rows.iter().for_each(|row| _ = unseen.remove(&row.id));
        if !is_measured {
            cost = Cost { pages: cost.pages + 1, rows: cost.rows + rows.len() as u64, time: began.elapsed() };
            is_measured = is_watched && unseen.is_empty();
        }
        let ends = take_in_but_ends(gateway, stack, rows, Some(asked)).await;
        match extent {
            Extent::All => _ = write(gateway, stack, ends).await,
            Extent::Watched => is_all_written &= ends.is_empty(),
        }
        let is_end = next.is_none();
        if is_end || (extent == Extent::Watched && unseen.is_empty()) {
            stack.rounds.cost_is(cost);
            return Ok(is_end && is_all_written);
        }
        if next == after || gateway.stop.is_cancelled() {
            return Ok(false);
        }
        after = next;
    }
}

/// Binds and observes what the backend has told by itself.
pub(crate) async fn take_in(gateway: &Arc<Gateway>, stack: &Arc<Stack>, seen: Vec<Batch<NativeId>>) {
    let ends = take_in_but_ends(gateway, stack, seen, None).await;
    write(gateway, stack, ends).await;
}

/// Binds what was seen, and observes it but for new ends, which are still to be written. Batches submitted elsewhere get a row here. `asked`: when
/// it was asked for; what the backend tells by itself was asked for by nobody.
async fn take_in_but_ends(
    gateway: &Arc<Gateway>,
    stack: &Arc<Stack>,
    seen: Vec<Batch<NativeId>>,
    asked: Option<(Moment, Millis)>,
) -> Vec<Sight> {
    let identities = identities(gateway, stack, seen);
    let bound = match gateway.ledger.bind(stack.name(), &identities).await {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(backend = %stack.name(), cause = error.detail(), "what a backend shows cannot be written");
            return Vec::new();
        }
    };
    let (mut ends, mut news, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (bound, mut identity) in bound.into_iter().zip(identities) {
        let Bound::Row(entry) = bound else { continue };
        // It was read before somebody acted on the batch: what it says may be over.
        if asked.is_some_and(|(moment, _)| stack.looks.is_spoiled(&identity.native, moment)) {
            continue;
        }
        // It was read before another look saw it come to a halt: it does not go on again.
        if asked.is_some_and(|(_, at)| view::goes_on(&entry, &identity.batch) && entry.batch.times.modified >= at) {
            continue;
        }
        view::saw(gateway, stack, &entry);
        if view::is_cancel(stack, &entry, &identity.batch) {
            Arc::make_mut(&mut identity.batch).state = BatchState::Cancelled;
        }
        if let Some(extra) = Extra::of(&identity.batch).filter(|_| !stack.can().cheap_reads) {
            gateway.shown.keep(entry.row, extra);
        }
        let to = match view::is_news(&entry, &identity.batch) {
            true if view::is_new_end(&entry, &identity.batch) => &mut ends,
            true => &mut news,
            false => &mut known,
        };
        to.push((entry, identity.batch));
    }
    let moment = asked.map(|(moment, _)| moment).filter(|_| stack.looks.are_shared());
    let show_all = |sights: Vec<Sight>| {
        let Some(moment) = moment else { return };
        sights.into_iter().for_each(|(entry, seen)| show(stack, moment, &entry, seen));
    };
    show_all(known);
    show_all(write(gateway, stack, news).await);
    ends
}

fn identities(gateway: &Gateway, stack: &Stack, seen: Vec<Batch<NativeId>>) -> Vec<NativeIdentity> {
    let kept_from = gateway.kept_from();
    let ids = stack.can().ids;
    let identity = |batch: Batch<NativeId>| {
        // A row that was dropped for its age must not come again with every walk.
        let foreign = stack.shows_foreign() && batch.times.ended.is_none_or(|ended| ended >= kept_from);
        NativeIdentity { native: batch.id.clone(), batch: Arc::new(batch), foreign, ids }
    };
    seen.into_iter().map(identity).collect()
}

type Sight = (Entry, Arc<Batch<NativeId>>);

/// Writes changes; the rows as they now stand, as far as they could be written.
async fn write(gateway: &Arc<Gateway>, stack: &Arc<Stack>, news: Vec<Sight>) -> Vec<Sight> {
    if news.is_empty() {
        return news;
    }
    let ctx = gateway.own_context(BACKGROUND_CALL);
    let observations: Vec<_> = news.iter().map(|(entry, batch)| view::observation(&ctx, stack, entry, batch)).collect();
    let observations: Vec<Observation> = stream::iter(observations).buffered(READS_AT_ONCE).collect().await;
    let mut written = match gateway.ledger.observe(&observations).await {
        Ok(written) => written.into_iter().peekable(),
        Err(error) => {
            tracing::warn!(backend = %stack.name(), cause = error.detail(), "changes cannot be written");
            return Vec::new();
        }
    };
    let mut stand = Vec::new();
    for ((entry, seen), observation) in news.into_iter().zip(observations) {
        match written.next_if(|now| now.row == entry.row) {
            Some(now) => {
                gateway.tell(&entry, &now);
                stand.push((now, seen));
            }
            // Its row is gone: most likely another one has taken it over.
            None => {
                if let Err(error) = view::write(gateway, &entry, observation).await {
                    tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a change has no row");
                }
            }
        }
    }
    stand
}

/// Shows what was seen of a live batch to those who wait for it and to those who come.
fn show(stack: &Stack, moment: Moment, entry: &Entry, seen: Arc<Batch<NativeId>>) {
    let native = seen.id.clone();
    if seen.state.is_end() || entry.batch.state.is_end() || stack.looks.is_spoiled(&native, moment) {
        return;
    }
    let riders = stack.rounds.arrived(&native, entry.row);
    if riders.is_empty() && !stack.looks.is_older(&native, moment) {
        return;
    }
    let keep = Some(Keep { row: entry.batch.clone(), for_good: false });
    let shown = Shown { batch: merge(entry, Arc::unwrap_or_clone(seen)), stale_seconds: None, keep };
    stack.looks.refresh(&native, moment, &shown, |angle| stack.rows_tell(&angle.dialect, angle.detail));
    riders.into_iter().for_each(|rider| rider.flight.land(Ok(shown.clone())));
}
