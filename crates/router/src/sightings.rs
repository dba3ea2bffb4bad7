//! When each live batch was last seen, and since when it is not shown: in memory, bounded.
//!
//! The ledger says how a batch stands, not when somebody last looked: a job that has run for a day without a change was still seen a moment
//! ago, and only that moment tells how old an answer from the ledger is. Forgetting an entry is harmless: an answer is called older than
//! it is, and a missing batch is looked for a little longer before it is called unknown: since when it has been missing is in the ledger.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchlingua_core::{Millis, RowId};
use lru::LruCache;

/// Rows that are remembered. A live row that is polled takes about a hundred bytes.
const ROWS: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

#[derive(Clone, Copy, Default)]
struct Sight {
    seen: Option<Millis>,
    missing: Option<Millis>,
}

/// What was seen when.
pub(crate) struct Sightings(Mutex<LruCache<RowId, Sight>>);

impl Default for Sightings {
    fn default() -> Self {
        Self(Mutex::new(LruCache::sparse(ROWS)))
    }
}

impl Sightings {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn rows(&self) -> MutexGuard<'_, LruCache<RowId, Sight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The backend has shown the batch.
    pub(crate) fn shown(&self, row: RowId, now: Millis) {
        self.rows().put(row, Sight { seen: Some(now), missing: None });
    }

    /// The backend does not show the batch; since when that is so for this process.
    pub(crate) fn missing(&self, row: RowId, now: Millis) -> Millis {
        let mut rows = self.rows();
        *rows.get_or_insert_mut(row, Sight::default).missing.get_or_insert(now)
    }

    /// Nothing about the batch matters any more.
    pub(crate) fn forget(&self, row: RowId) {
        self.rows().pop(&row);
    }

    /// When the batch was last seen.
    pub(crate) fn last(&self, row: RowId) -> Option<Millis> {
        self.rows().peek(&row).and_then(|sight| sight.seen)
    }
}

/// From one moment to another; a clock that was set back gives none.
pub(crate) fn span(from: Millis, to: Millis) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}
