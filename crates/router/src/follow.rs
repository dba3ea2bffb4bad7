//! How the ledger keeps up with the backends: by their own word where they can tell, else by walking them.
//!
//! A walk shows what is there and says nothing of what is not. So the batches that should be there are looked at one by one now and then,
//! whether a client asks for them or not: that is how a live one that its backend has lost is noticed. It is called unknown only after
//! `unknown_after`, and only if the backend shows other batches that are known here meanwhile; one that shows none may have lost its memory
//! and get it back, and is treated like one that gives no answer for as long as such a one is answered for.
//!
//! Since when it is missed is kept with its row, so that a proxy that is restarted often comes to an end as well. But what a past life has missed
//! is no reason by itself: the backend, or this proxy, may have been away since. So each life looks again, over a part of that time, and the
//! others must have been shown to it meanwhile.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use batchlingua_core::{
    App, BatchState, Context, Detail, Entry, Error, ErrorKind, Filter, ListQuery, Millis, Observation, Order, Result,
    Window,
};
use futures_util::{StreamExt, future, stream};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Gateway,
    sightings::span,
    stack::Stack,
    view,
    walk::{self, Extent, take_in},
};

pub(crate) const BACKGROUND_CALL: Duration = Duration::from_secs(30);
/// The part of `unknown_after` over which each life looks by itself.
const OWN_LOOKS: u32 = 10;
/// How often live batches that no walk has shown are looked at one by one.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// How long a list waits for a walk before it shows what is known.
const FRESHEN_WAIT: Duration = Duration::from_secs(5);
/// Changes that come together are written together.
const CHANGES_AT_ONCE: usize = 64;
pub(crate) const READS_AT_ONCE: usize = 16;
const ROWS_AT_ONCE: u64 = 1000;
const MISSED: &str = "the backend does not show this batch any more; its end was not seen";

/// The walks over one backend, for who waits for one.
pub(crate) struct Walks {
    asked: Notify,
    last: watch::Sender<Walked>,
    failing: Mutex<Option<Failing>>,
}

/// Walks that fail one after the other.
struct Failing {
    since: Instant,
    /// As it was last said in the log.
    cause: String,
}

#[derive(Clone, Copy)]
enum Walked {
    Never,
    /// At this time a walk ended, well or not.
    At(Instant),
    /// It tells its changes by itself.
    Told,
}

impl Default for Walks {
    fn default() -> Self {
        Self { asked: Notify::new(), last: watch::Sender::new(Walked::Never), failing: Mutex::default() }
    }
}

impl Walks {
    fn is_old(&self, freshness: Duration) -> bool {
        match *self.last.borrow() {
            Walked::Never => true,
            Walked::At(at) => at.elapsed() > freshness,
            Walked::Told => false,
        }
    }

    /// A walk that nobody here has begun has ended.
    pub(crate) fn walked(&self, to_the_end: bool) {
        self.last.send_if_modified(|last| {
            let counts = to_the_end && !matches!(last, Walked::Told);
            if counts {
                *last = Walked::At(Instant::now());
            }
            counts
        });
    }

    /// Until a walk ends; one for all who wait.
    async fn next(&self) {
        let mut last = self.last.subscribe();
        self.asked.notify_one();
        let _ = last.changed().await;
    }

    /// Until a list asks for a walk that is not done yet.
    async fn asked(&self, freshness: Duration) {
        loop {
            self.asked.notified().await;
            if self.is_old(freshness) {
                return;
            }
        }
    }
}

/// Follows one backend.
pub(crate) async fn follow(gateway: Arc<Gateway>, stack: Arc<Stack>) {
    let freshness = gateway.limits.list_freshness;
    let mut check = Instant::now() + CHECK_EVERY;
    while !gateway.stop.is_cancelled() {
        if let Some(changes) = stack.changes() {
            listen(&gateway, &stack, changes).await;
            // Stopped, or the backend cannot tell any more: it is walked until it can.
        }
        let from = gateway.clock.now();
        let walked = walk(&gateway, &stack).await;
        stack.walks.last.send_replace(Walked::At(Instant::now()));
        if walked && Instant::now() >= check {
            look_for_unseen(&gateway, &stack, from).await;
            check = Instant::now() + CHECK_EVERY;
        }
        tokio::select! {
            () = gateway.pause(gateway.limits.sweep) => {}
            () = stack.walks.asked(freshness) => {}
        }
    }
}

/// Finds out whether a backend that has stopped answering answers again.
pub(crate) async fn probe(gateway: Arc<Gateway>, stack: Arc<Stack>) {
    loop {
        tokio::select! {
            () = gateway.stop.cancelled() => return,
            () = stack.probe_due() => {}
        }
        let ctx = gateway.own_context(BACKGROUND_CALL);
        if let Err(error) = stack.probe(&ctx).await {
            tracing::debug!(backend = %stack.name(), cause = error.detail(), "a probe had no good answer");
        }
    }
}

async fn listen(gateway: &Arc<Gateway>, stack: &Arc<Stack>, changes: batchlingua_core::Changes) {
    let mut changes = changes.ready_chunks(CHANGES_AT_ONCE);
    // What changed before we listened.
    let mut walked = walk(gateway, stack).await;
    stack.walks.last.send_replace(Walked::Told);
    let mut next = Instant::now();
    loop {
        next += if walked { CHECK_EVERY } else { gateway.limits.sweep };
        let tick = sleep_until(next);
        tokio::pin!(tick);
        loop {
            tokio::select! {
                () = gateway.stop.cancelled() => return,
                seen = changes.next() => match seen {
                    Some(seen) => take_in(gateway, stack, seen).await,
                    None => return,
                },
                () = &mut tick => break,
            }
        }
        match walked {
            // A change may have been missed: written to a full disk, or one of too many at once.
            true => look_for_unseen(gateway, stack, Millis(i64::MAX)).await,
            false => walked = walk(gateway, stack).await,
        }
        next = Instant::now();
    }
}

/// Waits, not for ever, until the backends that cannot tell by themselves have been walked not too long ago.
pub(crate) async fn freshen(gateway: &Arc<Gateway>, ctx: &Context) {
    let reachable = gateway.scope(ctx).backends;
    let old = gateway.stacks.values().filter(|stack| {
        let asked = reachable.as_ref().is_none_or(|names| names.contains(stack.name()));
        asked && !stack.can().cheap_reads && stack.walks.is_old(gateway.limits.list_freshness)
    });
    let walks = future::join_all(old.map(|stack| stack.walks.next()));
    tokio::select! {
        // Nobody walks any more.
        () = gateway.stop.cancelled() => {}
        // Too long: the page is older then.
        _ = timeout(FRESHEN_WAIT, walks) => {}
    }
}

/// Whether it came to its end. Why it did not is said once, and not with every sweep.
async fn walk(gateway: &Arc<Gateway>, stack: &Arc<Stack>) -> bool {
    let walked = walk::walk(gateway, stack, Extent::All).await;
    let mut failing = stack.walks.failing.lock().unwrap_or_else(PoisonError::into_inner);
    match walked {
        Ok(to_the_end) => {
            if let Some(Failing { since, .. }) = failing.take() {
                tracing::info!(backend = %stack.name(), after_s = since.elapsed().as_secs(), "the backend can be walked again");
            }
            to_the_end
        }
        Err(error) => {
            let cause = error.detail();
            if failing.as_ref().is_none_or(|failing| failing.cause != cause) {
                tracing::warn!(backend = %stack.name(), cause, "the backend cannot be walked");
                let since = failing.take().map_or_else(Instant::now, |failing| failing.since);
                *failing = Some(Failing { since, cause });
            }
            false
        }
    }
}

/// Looks at live batches that were not seen since then, one by one.
async fn look_for_unseen(gateway: &Arc<Gateway>, stack: &Arc<Stack>, since: Millis) {
    let live = [BatchState::Queued, BatchState::Starting, BatchState::Running, BatchState::Paused];
    let filter = Filter { states: Some(live.into_iter().collect()), ..Filter::default() };
    let scope = gateway.own_scope(Some(vec![stack.name().clone()]));
    let mut window = Window { from: 0, size: ROWS_AT_ONCE };
    loop {
        let query = ListQuery { filter: filter.clone(), order: Order::default(), window, tails: false };
        let rows = match gateway.ledger.page(&query, &scope).await {
            Ok(page) => page.rows,
            Err(error) => return tracing::warn!(cause = error.detail(), "live batches cannot be read"),
        };
        let full = rows.len() as u64 == ROWS_AT_ONCE;
        let unseen = rows.into_iter().filter(|entry| gateway.sightings.last(entry.row).is_none_or(|at| at < since));
        stream::iter(unseen).for_each_concurrent(READS_AT_ONCE, |entry| look(gateway, entry)).await;
        if !full || gateway.stop.is_cancelled() {
            return;
        }
        // What ended meanwhile makes some rows slip through; they are looked at the next time.
        window.from += ROWS_AT_ONCE;
    }
}

async fn look(gateway: &Arc<Gateway>, entry: Entry) {
    let ctx = gateway.own_context(BACKGROUND_CALL);
    if let Err(error) = view::show_now(gateway, &ctx, &entry, Detail::State).await {
        tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a batch cannot be looked at");
    }
}

/// The backend does not show a batch, or gives no answer: the row as it may be shown nevertheless, and how old it is.
pub(crate) async fn not_seen(gateway: &Arc<Gateway>, entry: &Entry, error: Error) -> Result<(Entry, Option<u32>)> {
    let now = gateway.clock.now();
    let limits = &gateway.limits;
    let seen = gateway.sightings.last(entry.row).unwrap_or(entry.batch.times.modified);
    let age = u32::try_from(span(seen, now).as_secs()).unwrap_or(u32::MAX);
    let stack = match gateway.stack(&entry.backend) {
        Ok(stack) if matches!(error.kind, ErrorKind::NotFound(_)) => stack,
        // What was seen before this proxy began it cannot have seen itself; it has a time of its own to see something.
        _ if span(seen.max(gateway.began), now) <= limits.stale_for => return Ok((entry.clone(), Some(age))),
        _ => return Err(error),
    };
    if entry.batch.state == BatchState::Unknown {
        return Ok((entry.clone(), None));
    }
    let since = gateway.sightings.missing(entry.row, now);
    let here = span(since, now);
    let missing = span(missing_since(gateway, entry).await.unwrap_or(since), now);
    let beside_others = here >= limits.unknown_after / OWN_LOOKS && stack.shows_since(since);
    if missing < limits.unknown_after || !(beside_others || here >= limits.stale_for) {
        return Ok((entry.clone(), Some(age)));
    }
    tracing::warn!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, "the backend does not show a batch whose end was not seen");
    let unknown = Observation {
        row: entry.row,
        state: BatchState::Unknown,
        attempt: None,
        revival: stack.can().revival,
        times: entry.batch.times,
        app: App::default(),
        diagnostic: Some(MISSED.to_owned()),
        log: None,
    };
    let unknown = view::write(gateway, entry, unknown).await?;
    gateway.sightings.forget(entry.row);
    Ok((unknown, None))
}

/// Since when the ledger has it that the batch is missed; from now on, if it had not. `None`: it cannot say, or the batch is none that is waited for.
async fn missing_since(gateway: &Gateway, entry: &Entry) -> Option<Millis> {
    // A failure that may come back to life is waited for by this process alone.
    if entry.missing.is_some() || entry.batch.state.is_end() {
        return entry.missing;
    }
    match gateway.ledger.miss(entry.row).await {
        Ok(row) => row?.missing,
        Err(error) => {
            tracing::debug!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "that a batch is missed cannot be written");
            None
        }
    }
}
