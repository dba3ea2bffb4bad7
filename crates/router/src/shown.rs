//! What only a backend's own answer has of a batch, as the last walk saw it: its own object, and the end of its log. Lists show it without
//! asking the backend once more for each row.
//!
//! A row with what was seen beyond it is put together once, and is the same as long as neither has changed: so what a dialect has made of it holds
//! as well.
//!
//! Memory only, and bounded: of more batches than fit, those that were seen longest ago are shown by their rows alone.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Batch, BatchId, BatchState, Entry, Native, NativeId, RowId};
use lru::LruCache;

type Row = Arc<Batch<BatchId>>;

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
#[derive(Debug)]
pub(crate) struct Extra {
    /// In which state it was seen.
    state: BatchState,
    native: Option<Native>,
    log_tail: Vec<String>,
    /// A row, and the same with all this.
    whole: Option<(Row, Row)>,
}

impl Extra {
    pub(crate) fn of(batch: &Batch<NativeId>) -> Option<Self> {
        let is_worth_it = batch.native.is_some() || !batch.log_tail.is_empty();
        is_worth_it.then(|| Self {
            state: batch.state,
            native: batch.native.clone(),
            log_tail: batch.log_tail.clone(),
            whole: None,
        })
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.state == other.state && self.native == other.native && self.log_tail == other.log_tail
    }

    /// The row with all this.
    fn with(&mut self, row: &Row) -> Row {
        match &self.whole {
            Some((known, whole)) if Arc::ptr_eq(known, row) => whole.clone(),
            Some(_) | None => {
                let native = self.native.clone().filter(|_| self.state == row.state);
                let whole = Arc::new(Batch { native, log_tail: self.log_tail.clone(), ..Batch::clone(row) });
                self.whole = Some((row.clone(), whole.clone()));
                whole
            }
        }
    }

    fn bytes(&self) -> usize {
        let lines: usize = self.log_tail.iter().map(|line| line.len() + size_of::<String>()).sum();
        // The lines once more for the whole, made or not, so that what is added is what is taken away.
        self.native.as_ref().map_or(0, |native| native.object.len())
            + 2 * lines
            + size_of::<Self>()
            + size_of::<Batch<BatchId>>()
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
        if kept.batches.get(&row).is_some_and(|known| known.says_the_same(&extra)) {
            return;
        }
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

    /// The row's batch with what was seen beyond it.
    pub(crate) fn with(&self, entry: &Entry) -> Row {
        let mut kept = self.kept();
        kept.batches.peek_mut(&entry.row).map_or_else(|| entry.batch.clone(), |extra| extra.with(&entry.batch))
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{Marker, Phase, Uuid};

    use super::*;

    fn seen(text: String) -> Extra {
        let lines =
            Batch { log_tail: vec![text], ..Batch::new(NativeId::from("n"), BatchState::Running, Arc::default()) };
        Extra::of(&lines).expect("a line")
    }

    fn entry(row: i64) -> Entry {
        let id = BatchId { uuid: Uuid::from_u128(1), ordinal: 1, native: Some("n".into()) };
        Entry {
            row: RowId(row),
            backend: "b".into(),
            dialect: None,
            phase: Phase::Accepted,
            marker: Marker { uuid: id.uuid, name: None },
            batch: Arc::new(Batch::new(id, BatchState::Running, Arc::default())),
            unmapped: Arc::default(),
            refusal: None,
            missing: None,
        }
    }

    #[test]
    fn it_is_bounded_by_bytes_as_well() {
        let shown = Shown::default();
        for row in 0..100 {
            shown.keep(RowId(row), seen("x".repeat(1 << 20)));
        }
        let count = || (0..100).filter(|row| !shown.with(&entry(*row)).log_tail.is_empty()).count();
        let left = count();
        assert!((12..16).contains(&left), "{left}");
        assert!(!shown.with(&entry(99)).log_tail.is_empty(), "the last one is kept");
        for number in 0..100_u8 {
            shown.keep(RowId(99), seen(char::from(b'a' + number % 26).to_string().repeat(1 << 20)));
        }
        assert_eq!(count(), left, "one row counts once");
    }

    #[test]
    fn a_row_is_put_together_anew_when_it_or_what_was_seen_has_changed() {
        let (shown, entry) = (Shown::default(), entry(1));
        assert!(Arc::ptr_eq(&shown.with(&entry), &entry.batch), "nothing was seen beyond it");
        shown.keep(entry.row, seen("a".to_owned()));
        let whole = shown.with(&entry);
        shown.keep(entry.row, seen("a".to_owned()));
        assert!(Arc::ptr_eq(&shown.with(&entry), &whole));
        shown.keep(entry.row, seen("b".to_owned()));
        assert_eq!(shown.with(&entry).log_tail, ["b"]);
        let asked = Entry { batch: Arc::new(Batch { cancel_asked: true, ..Batch::clone(&entry.batch) }), ..entry };
        let now = shown.with(&asked);
        assert!(now.cancel_asked && now.log_tail == ["b"]);
    }
}
