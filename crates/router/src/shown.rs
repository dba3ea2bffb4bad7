//! What only a backend's own answer has of a batch, as the last walk saw it: its own object, and the end of its log. Lists show it without
//! asking the backend once more for each row.
//!
//! Memory only, and bounded: of more batches than fit, those that were seen longest ago are shown by their rows alone.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Batch, BatchState, Native, NativeId, RowId};
use lru::LruCache;

/// Most batches that are remembered.
const MOST: usize = 10_000;
/// Most bytes of their objects and logs.
const MOST_BYTES: usize = 32 << 20;

/// What was seen of the batches of all backends.
pub(crate) struct Shown(Mutex<Kept>);

struct Kept {
    batches: LruCache<RowId, Extra>,
    bytes: usize,
}

/// What a row has not.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    /// In which state it was seen.
    pub(crate) state: BatchState,
    pub(crate) native: Option<Native>,
    pub(crate) log_tail: Vec<String>,
}

impl Extra {
    pub(crate) fn of(batch: &Batch<NativeId>) -> Option<Self> {
        let is_worth_it = batch.native.is_some() || !batch.log_tail.is_empty();
        is_worth_it.then(|| Self { state: batch.state, native: batch.native.clone(), log_tail: batch.log_tail.clone() })
    }

    fn bytes(&self) -> usize {
        let lines: usize = self.log_tail.iter().map(|line| line.len() + size_of::<String>()).sum();
        self.native.as_ref().map_or(0, |native| native.object.len()) + lines + size_of::<Self>()
    }
}

impl Default for Shown {
    fn default() -> Self {
        let most = NonZeroUsize::new(MOST).expect("some are remembered");
        Self(Mutex::new(Kept { batches: LruCache::new(most), bytes: 0 }))
    }
}

impl Shown {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keep(&self, row: RowId, extra: Extra) {
        let mut kept = self.kept();
        kept.bytes += extra.bytes();
        if let Some((_, old)) = kept.batches.push(row, extra) {
            kept.bytes -= old.bytes();
        }
        while kept.bytes > MOST_BYTES
            && let Some((_, old)) = kept.batches.pop_lru()
        {
            kept.bytes -= old.bytes();
        }
    }

    pub(crate) fn of(&self, row: RowId) -> Option<Extra> {
        self.kept().batches.peek(&row).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(bytes: usize) -> Extra {
        Extra { state: BatchState::Running, native: None, log_tail: vec!["x".repeat(bytes)] }
    }

    #[test]
    fn it_is_bounded_by_bytes_as_well() {
        let shown = Shown::default();
        for row in 0..100 {
            shown.keep(RowId(row), extra(1 << 20));
        }
        let left = (0..100).filter(|row| shown.of(RowId(*row)).is_some()).count();
        assert!((25..32).contains(&left), "{left}");
        assert!(shown.of(RowId(99)).is_some(), "the last one is kept");
        for _ in 0..100 {
            shown.keep(RowId(99), extra(1 << 20));
        }
        assert_eq!((0..100).filter(|row| shown.of(RowId(*row)).is_some()).count(), left, "one row counts once");
    }
}
