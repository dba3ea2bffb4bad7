//! Where the last reader of each log stopped: a read without `from` goes on from there, whoever asks.
//!
//! Kyuubi has one such cursor per batch and loses it with the batch's session; here the batches that nobody has asked of for the longest
//! time lose theirs, and begin again at the first line. The lock is held for a look-up only, not while a page is read: two who read at the
//! same moment may get the same lines, but no line is lost, also not with an answer that failed.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::Uuid;
use lru::LruCache;

/// Most batches whose cursors are kept.
const MOST: NonZeroUsize = NonZeroUsize::new(10_000).expect("not nought");

/// One cursor per batch.
#[derive(Debug)]
pub(crate) struct Cursors(Mutex<LruCache<Uuid, u64>>);

impl Cursors {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }

    /// The line at which the next reader goes on.
    pub(crate) fn next(&self, batch: Uuid) -> u64 {
        self.lock().get(&batch).copied().unwrap_or(0)
    }

    /// Every read moves the cursor, one with a `from` of its own too.
    pub(crate) fn moved(&self, batch: Uuid, next: u64) {
        self.lock().put(batch, next);
    }

    /// A thread that panicked elsewhere has left it whole: a look-up and an insertion are all that happens inside.
    fn lock(&self) -> MutexGuard<'_, LruCache<Uuid, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_bounded_and_the_idle_ones_go_first() {
        let cursors = Cursors::new();
        for batch in 0..MOST.get() as u128 {
            cursors.moved(Uuid::from_u128(batch), 7);
        }
        assert_eq!(cursors.next(Uuid::from_u128(0)), 7, "asked of just now");
        cursors.moved(Uuid::max(), 3);
        assert_eq!(
            (cursors.next(Uuid::from_u128(0)), cursors.next(Uuid::from_u128(1)), cursors.next(Uuid::max())),
            (7, 0, 3)
        );
    }
}
