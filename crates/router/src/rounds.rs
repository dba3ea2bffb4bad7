//! Rounds: where many batches of one backend are polled, one walk over its list answers them all.
//!
//! A poll that would ask the backend for its batch joins the next round instead, if a round is less work for the backend than looking at each
//! batch that is watched. All that is needed for that is what is known anyway: which batches were asked for within `freshness` (`fresh`), and how
//! far the last walk had to go to see them. Nobody keeps a mode: when fewer are watched, or the list has grown long, looks are single again.
//!
//! A list is believed as far as it shows a batch to live. Who was not seen in the round that he waited for, because the list is short of his batch
//! or shows its end, is given the look of his own that he would have had; so are all where a list cannot be read, and then lists are left alone for
//! a while.
//!
//! The first who joins begins the round, in a task of its own; who joins while it is on its way is answered by it too, unless something was done
//! to his batch meanwhile, of which its page may not know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchlingua_core::{NativeId, RowId};
use tokio::time::{Instant, sleep_until};

use crate::{
    Gateway,
    fresh::Looks,
    stack::Stack,
    view::{self, Look},
    walk::{self, Cost, Extent},
};

/// With fewer batches there is little to spare.
const FEWEST: usize = 16;
/// So many rows of a list are as much work for a platform as one call.
const ROWS_PER_CALL: u64 = 10;
/// Most looks that wait; what comes beyond them is looked at by itself.
const MOST_RIDERS: usize = 10_000;
/// Within `freshness` no more rounds than this are begun.
const MOST_ROUNDS: u32 = 4;
/// How long lists are left alone after one that could not be read.
const AFTER_A_FAILURE: Duration = Duration::from_secs(10);

/// The rounds over one backend.
#[derive(Default)]
pub(crate) struct Rounds(Mutex<State>);

#[derive(Default)]
struct State {
    riders: HashMap<NativeId, Vec<Rider>>,
    waiting: usize,
    /// How many rounds were begun.
    begun: u64,
    is_under_way: bool,
    cost: Cost,
    left_alone_until: Option<Instant>,
}

struct Rider {
    look: Look,
    /// How many rounds had begun when he joined.
    joined: u64,
}

enum Joined {
    /// Nobody else has begun a round.
    First,
    /// Somebody has.
    Others,
    /// There is no place.
    Not(Box<Look>),
}

impl Rounds {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the last walk had to go.
    pub(crate) fn cost_is(&self, cost: Cost) {
        self.state().cost = cost;
    }

    /// Whether a walk is less work than a look at each of the batches that are watched, and about as soon done.
    fn is_worth_it(&self, looks: &Looks) -> bool {
        let Cost { pages, rows, time } = {
            let state = self.state();
            if state.left_alone_until.is_some_and(|until| Instant::now() < until) {
                return false;
            }
            state.cost
        };
        let calls = usize::try_from(pages + rows / ROWS_PER_CALL).unwrap_or(usize::MAX);
        time <= looks.freshness() && looks.are_watched(calls.max(FEWEST))
    }

    fn join(&self, look: Look) -> Joined {
        let mut state = self.state();
        if state.waiting >= MOST_RIDERS {
            return Joined::Not(Box::new(look));
        }
        let rider = Rider { joined: state.begun, look };
        state.waiting += 1;
        state.riders.entry(rider.look.flight.native().clone()).or_default().push(rider);
        match std::mem::replace(&mut state.is_under_way, true) {
            true => Joined::Others,
            false => Joined::First,
        }
    }

    /// The next round's number; `None`: nobody waits for one.
    fn begin(&self) -> Option<u64> {
        let mut state = self.state();
        if state.waiting == 0 {
            state.is_under_way = false;
            return None;
        }
        state.begun += 1;
        Some(state.begun)
    }

    /// Those who wait for this batch, which was seen.
    pub(crate) fn arrived(&self, native: &NativeId, row: RowId) -> Vec<Look> {
        self.state().leave(native, |rider| rider.look.entry.row == row)
    }

    /// Those who were there when the round of this number began.
    fn left_over(&self, round: u64) -> Vec<Look> {
        let mut state = self.state();
        let natives: Vec<NativeId> = state.riders.keys().cloned().collect();
        natives.iter().flat_map(|native| state.leave(native, |rider| rider.joined < round)).collect()
    }

    fn leave_alone(&self) {
        self.state().left_alone_until = Some(Instant::now() + AFTER_A_FAILURE);
    }
}

impl State {
    fn leave(&mut self, native: &NativeId, is_one: impl FnMut(&mut Rider) -> bool) -> Vec<Look> {
        let Some(riders) = self.riders.get_mut(native) else { return Vec::new() };
        let gone: Vec<Look> = riders.extract_if(.., is_one).map(|rider| rider.look).collect();
        self.waiting -= gone.len();
        if riders.is_empty() {
            self.riders.remove(native);
        }
        gone
    }
}

/// Has this look wait for a round, if one is worth it; else gives it back.
pub(crate) fn join(gateway: &Arc<Gateway>, stack: &Arc<Stack>, look: Look) -> Option<Look> {
    let may_be = !stack.can().caller_credentials && stack.rows_tell(&look.ctx.dialect, look.detail);
    if !may_be || !stack.rounds.is_worth_it(&stack.looks) {
        return Some(look);
    }
    match stack.rounds.join(look) {
        Joined::Not(look) => return Some(*look),
        Joined::First => _ = tokio::spawn(run(gateway.clone(), stack.clone())),
        Joined::Others => {}
    }
    None
}

/// Rounds for as long as somebody waits for one.
async fn run(gateway: Arc<Gateway>, stack: Arc<Stack>) {
    let _end = End(&stack.rounds);
    while let Some(round) = stack.rounds.begin() {
        let next = Instant::now() + stack.looks.freshness() / MOST_ROUNDS;
        match walk::walk(&gateway, &stack, Extent::Watched).await {
            Ok(to_the_end) => stack.walks.walked(to_the_end),
            Err(error) => {
                tracing::debug!(backend = %stack.name(), cause = error.detail(), "a list that many polls waited for cannot be read");
                stack.rounds.leave_alone();
            }
        }
        stack.rounds.left_over(round).into_iter().for_each(|look| view::fly(&gateway, &stack, look));
        if stack.rounds.state().waiting > 0 {
            sleep_until(next).await;
        }
    }
}

/// Whatever ends it, a panic of an adapter included: nobody is to wait for a round that nobody makes.
struct End<'a>(&'a Rounds);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if std::thread::panicking() {
            state.is_under_way = false;
            state.waiting = 0;
            // Told after the lock is given back: who lands a look takes others.
            let riders = std::mem::take(&mut state.riders);
            drop(state);
            drop(riders);
        }
    }
}
