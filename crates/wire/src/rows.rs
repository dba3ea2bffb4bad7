//! Rows of lists as they were written last: a row that has not changed is not written again.
//!
//! A batch that is shown is never changed in place, so whether it is the very one that a text was made of is a matter of its address; that of a batch
//! which is gone is not given away as long as its text is kept here. What else a text depends on goes into its key.
//!
//! Memory only, and bounded by bytes; those that were asked for longest ago go first.

use std::{
    hash::Hash,
    mem::size_of,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use batchlingua_core::{Batch, BatchId, Uuid};
use bytes::Bytes;
use lru::LruCache;

/// Most bytes of rows that are kept.
const MOST_BYTES: usize = 16 << 20;
/// What a row takes beside its text: what is left of a batch that is gone, and its place here.
const ROW_BYTES: usize = size_of::<Batch<BatchId>>() + 128;

/// The rows of one dialect. `V`: what a text depends on beside its batch.
#[derive(Debug)]
pub struct EncodedRows<V: Hash + Eq>(Mutex<Kept<V>>);

#[derive(Debug)]
struct Kept<V: Hash + Eq> {
    rows: LruCache<(Uuid, V), Row>,
    bytes: usize,
    most: usize,
}

#[derive(Debug)]
struct Row {
    of: Weak<Batch<BatchId>>,
    text: Bytes,
}

impl Row {
    fn bytes(&self) -> usize {
        ROW_BYTES + self.text.len()
    }
}

impl<V: Hash + Eq> Default for EncodedRows<V> {
    fn default() -> Self {
        Self(Mutex::new(Kept { rows: LruCache::unbounded(), bytes: 0, most: MOST_BYTES }))
    }
}

impl<V: Hash + Eq + Clone> EncodedRows<V> {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn kept(&self) -> MutexGuard<'_, Kept<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of a batch: as it was written last, or by `encode`.
    pub fn text(&self, batch: &Arc<Batch<BatchId>>, depends_on: &V, encode: impl FnOnce() -> Bytes) -> Bytes {
        let key = (batch.id.uuid, depends_on.clone());
        let is_same = |row: &&Row| std::ptr::eq(row.of.as_ptr(), Arc::as_ptr(batch));
        if let Some(known) = self.kept().rows.get(&key).filter(is_same) {
            return known.text.clone();
        }
        let text = encode();
        self.kept().put(key, Row { of: Arc::downgrade(batch), text: text.clone() });
        text
    }
}

impl<V: Hash + Eq> Kept<V> {
    fn put(&mut self, key: (Uuid, V), row: Row) {
        self.bytes += row.bytes();
        if let Some((_, old)) = self.rows.push(key, row) {
            self.bytes -= old.bytes();
        }
        while self.bytes > self.most
            && let Some((_, old)) = self.rows.pop_lru()
        {
            self.bytes -= old.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::BatchState;

    use super::*;

    fn batch(number: u128) -> Arc<Batch<BatchId>> {
        let id = BatchId { uuid: Uuid::from_u128(number), ordinal: 1, native: None };
        Arc::new(Batch::new(id, BatchState::Running, Arc::default()))
    }

    #[test]
    fn a_row_is_written_anew_when_it_has_changed_or_is_for_somebody_else() {
        let (rows, row) = (EncodedRows::default(), batch(1));
        let written = |batch: &Arc<Batch<BatchId>>, whom: &'static str, text: &'static str| {
            rows.text(batch, &whom, || Bytes::from_static(text.as_bytes()))
        };
        assert_eq!(written(&row, "a", "1"), "1");
        assert_eq!(written(&row, "a", "2"), "1");
        assert_eq!(written(&row, "b", "3"), "3");
        let changed = Arc::new(Batch::clone(&row));
        assert_eq!(written(&changed, "a", "4"), "4");
        drop(row);
        drop(changed);
        assert_eq!(written(&batch(1), "a", "5"), "5", "what is gone leaves its address to nobody");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let rows = EncodedRows::default();
        rows.kept().most = 10 * (ROW_BYTES + 100);
        let batches: Vec<_> = (0..50).map(batch).collect();
        let write = |batch: &Arc<Batch<BatchId>>| rows.text(batch, &(), || Bytes::from(vec![0; 100]));
        batches.iter().for_each(|batch| _ = write(batch));
        (0..50).for_each(|_| _ = write(&batch(49)));
        let kept = rows.kept();
        assert_eq!((kept.rows.len(), kept.bytes), (10, 10 * (ROW_BYTES + 100)));
    }
}
