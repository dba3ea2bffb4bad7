//! Hot rows in memory, so that a poll does not reach the database.
//!
//! Two threads can load and change a row at once, so there are two rules. What is shown never gets older: of two versions the greater
//! revision wins, and who has read an older one is given the newer. And what was read before a change is not remembered after it: a
//! read takes a [`Mark`] before it begins, and its rows are kept only if nothing has been published since. A miss that is not
//! remembered costs one more read and nothing else.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Entry, RowId};
use lru::LruCache;

use crate::row::{Id, Row};

/// A row has a uuid, an ordinal and mostly a native id, which may be a second uuid or ordinal as well.
const IDS_PER_ROW: usize = 4;

/// Most bytes of what batches were to run. Their number bounds the usual ones; a few with conf of many MiB each would fill the memory.
const MAX_BYTES: usize = 64 << 20;

/// What a committed transaction changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) rows: Vec<Arc<Row>>,
    pub(crate) removed: Vec<RowId>,
    /// Whose ids are from now on, in the order of the changes; `None`: nobody's. Those that left with their row are not told: that is a miss.
    pub(crate) ids: Vec<(Id, Option<RowId>)>,
}

/// The moment before a read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

#[derive(Debug)]
pub(crate) struct Cache(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    published: u64,
    rows: LruCache<RowId, Arc<Row>>,
    /// Of all rows together.
    bytes: usize,
    max_bytes: usize,
    ids: LruCache<Id, RowId>,
    /// Rows by a native id of whatever backend, newest first.
    texts: LruCache<Box<str>, Vec<RowId>>,
}

impl Cache {
    pub(crate) fn new(entries: usize) -> Self {
        let size = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(Inner {
            published: 0,
            rows: LruCache::sparse(size(entries)),
            bytes: 0,
            max_bytes: MAX_BYTES,
            ids: LruCache::sparse(size(entries.saturating_mul(IDS_PER_ROW))),
            texts: LruCache::sparse(size(entries)),
        }))
    }

    /// A panic in another thread leaves no half change that a later publish would not mend: each map is whole by itself.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark(self.inner().published)
    }

    pub(crate) fn get(&self, row: RowId) -> Option<Arc<Row>> {
        self.inner().rows.get(&row).cloned()
    }

    pub(crate) fn by_id(&self, id: &Id) -> Option<Arc<Row>> {
        let mut inner = self.inner();
        let row = *inner.ids.get(id)?;
        inner.rows.get(&row).cloned()
    }

    /// All rows with this native id, newest first, if all of them are here.
    pub(crate) fn by_text(&self, text: &str) -> Option<Vec<Arc<Row>>> {
        let mut inner = self.inner();
        let Inner { rows, texts, .. } = &mut *inner;
        texts.get(text)?.iter().map(|row| rows.get(row).cloned()).collect()
    }

    /// Remembers a row that was read, and gives back its newest version.
    pub(crate) fn learn(&self, mark: Mark, read: Arc<Row>) -> Arc<Row> {
        let mut inner = self.inner();
        let fresh = inner.published == mark.0;
        match inner.rows.get_mut(&read.id()) {
            Some(known) => newest(known, read),
            None if fresh => {
                inner.put(read.clone());
                read
            }
            None => read,
        }
    }

    pub(crate) fn learn_id(&self, mark: Mark, id: Id, row: RowId) {
        let mut inner = self.inner();
        if inner.published == mark.0 {
            inner.ids.put(id, row);
        }
    }

    pub(crate) fn learn_text(&self, mark: Mark, text: &str, rows: Vec<RowId>) {
        let mut inner = self.inner();
        if inner.published == mark.0 {
            inner.texts.put(text.into(), rows);
        }
    }

    /// The newest version of a row that was read beside many: known ones are renewed, unknown ones do not drive out the hot.
    pub(crate) fn refresh(&self, read: Arc<Row>) -> Arc<Row> {
        match self.inner().rows.peek_mut(&read.id()) {
            Some(known) => newest(known, read),
            None => read,
        }
    }

    /// The same of many, in their order.
    pub(crate) fn newest(&self, rows: &[Arc<Row>]) -> Vec<Entry> {
        let inner = self.inner();
        let newer = |row: &Arc<Row>| {
            let known = inner.rows.peek(&row.id()).filter(|known| known.revision > row.revision);
            known.unwrap_or(row).entry.clone()
        };
        rows.iter().map(newer).collect()
    }

    /// The row of just that revision, if it is here.
    pub(crate) fn exactly(&self, row: RowId, revision: u64) -> Option<Arc<Row>> {
        self.inner().rows.peek(&row).filter(|known| known.revision == revision).cloned()
    }

    /// Told by the writer after each commit and before it answers.
    pub(crate) fn publish(&self, changes: Changes) {
        let mut inner = self.inner();
        inner.published += 1;
        for row in changes.rows {
            inner.put(row);
        }
        for row in changes.removed {
            if let Some(row) = inner.rows.pop(&row) {
                inner.bytes -= bytes(&row);
            }
        }
        for (id, row) in changes.ids {
            if let Id::Native(_, native) = &id {
                inner.texts.pop(native.as_str());
            }
            match row {
                Some(row) => inner.ids.put(id, row),
                None => inner.ids.pop(&id),
            };
        }
    }

    /// Whether any of these rows is here.
    pub(crate) fn has_any(&self, rows: &[RowId]) -> bool {
        let inner = self.inner();
        rows.iter().any(|row| inner.rows.contains(row))
    }

    /// What another process has changed, as it is now: what is here is renewed, and nothing hot is driven out by what is not.
    pub(crate) fn renew(&self, rows: Vec<(RowId, Option<Arc<Row>>)>, texts: &[String], ids: bool) {
        let mut inner = self.inner();
        let gone: Vec<RowId> = rows
            .into_iter()
            .filter_map(|(number, row)| match (inner.rows.peek_mut(&number), row) {
                (Some(known), Some(row)) => {
                    newest(known, row);
                    None
                }
                (_, row) => row.is_none().then_some(number),
            })
            .collect();
        inner.forget(&gone, texts, ids);
    }

    /// Another process has changed these rows and given these native ids away; `ids`: any id may have changed hands.
    pub(crate) fn forget(&self, rows: &[RowId], texts: &[String], ids: bool) {
        self.inner().forget(rows, texts, ids);
    }

    /// Nothing that is here can be trusted any more.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        inner.published += 1;
        inner.bytes = 0;
        inner.rows.clear();
        inner.ids.clear();
        inner.texts.clear();
    }
}

impl Inner {
    fn forget(&mut self, rows: &[RowId], texts: &[String], ids: bool) {
        self.published += 1;
        for row in rows {
            if let Some(row) = self.rows.pop(row) {
                self.bytes -= bytes(&row);
            }
        }
        for text in texts {
            self.texts.pop(text.as_str());
        }
        if ids {
            self.ids.clear();
            self.texts.clear();
        }
    }

    /// The one that comes is kept however large it is: it is the one that is asked for.
    fn put(&mut self, row: Arc<Row>) {
        self.bytes += bytes(&row);
        // The row's older version, or whatever had to make place for it.
        if let Some((_, gone)) = self.rows.push(row.id(), row) {
            self.bytes -= bytes(&gone);
        }
        while self.bytes > self.max_bytes && self.rows.len() > 1 {
            let Some((_, gone)) = self.rows.pop_lru() else { break };
            self.bytes -= bytes(&gone);
        }
    }
}

/// The texts of a batch that a client may make long. A row's own never change, so what was added is what is taken away.
pub(crate) fn bytes(row: &Row) -> usize {
    let spec = &row.batch().spec;
    let lists = [&spec.args, &spec.jars, &spec.py_files, &spec.files, &spec.archives];
    let listed: usize = lists.into_iter().flatten().map(String::len).sum();
    let conf: usize = spec.conf.iter().map(|(key, value)| key.len() + value.len()).sum();
    let extensions: usize = spec.extensions.iter().map(|extension| extension.name.len() + extension.value.len()).sum();
    listed + conf + extensions
}

fn newest(known: &mut Arc<Row>, read: Arc<Row>) -> Arc<Row> {
    if read.revision > known.revision {
        *known = read;
    }
    known.clone()
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{Batch, BatchSpec, BatchState, Millis, NativeIdentity, NativeIds, Uuid};

    use super::*;
    use crate::masked::MaskedSpec;

    fn row(number: i64, revision: u64) -> Arc<Row> {
        let native = batchlingua_core::NativeId::from("17");
        let batch = Batch::new(native.clone(), BatchState::Running, Arc::default());
        let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique };
        let spec = MaskedSpec::of(&BatchSpec::default());
        let mut row = Row::of_sighting(&"b".into(), &seen, spec, (Uuid::from_u128(1), 1), Millis(1));
        (row.entry.row, row.revision) = (RowId(number), revision);
        Arc::new(row)
    }

    fn changed(rows: Vec<Arc<Row>>) -> Changes {
        Changes { rows, ..Changes::default() }
    }

    #[test]
    fn a_read_that_a_change_overtook_is_given_the_newer_row() {
        let cache = Cache::new(4);
        let mark = cache.mark();
        cache.publish(changed(vec![row(1, 2)]));
        assert_eq!(cache.learn(mark, row(1, 1)).revision, 2);
        assert_eq!(cache.refresh(row(1, 1)).revision, 2);
    }

    #[test]
    fn a_commit_that_is_read_before_it_is_published_stays_seen() {
        let cache = Cache::new(4);
        let mark = cache.mark();
        assert_eq!(cache.learn(mark, row(1, 2)).revision, 2);
        assert_eq!(cache.learn(mark, row(1, 1)).revision, 2, "the second reader had an older snapshot");
        assert_eq!(cache.refresh(row(1, 3)).revision, 3, "a list saw a newer one");
        assert_eq!(cache.get(RowId(1)).map(|row| row.revision), Some(3));
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let cache = Cache::new(1);
        let mark = cache.mark();
        // Published, and driven out again before the read comes back.
        cache.publish(changed(vec![row(1, 2)]));
        cache.publish(changed(vec![row(2, 1)]));
        cache.learn(mark, row(1, 1));
        cache.learn_id(mark, Id::Ordinal(1), RowId(1));
        cache.learn_text(mark, "17", vec![RowId(1)]);
        assert!(cache.get(RowId(1)).is_none() && cache.by_id(&Id::Ordinal(1)).is_none());
        assert!(cache.by_text("17").is_none());
    }

    #[test]
    fn a_few_large_rows_drive_out_others_before_memory_is_full() {
        let cache = Cache::new(100);
        cache.inner().max_bytes = 25;
        let large = |number: i64, bytes: usize| {
            let mut row = Row::clone(&row(number, 1));
            let mut batch = Batch::clone(&row.entry.batch);
            batch.spec = Arc::new(BatchSpec { args: vec!["x".repeat(bytes)], ..BatchSpec::default() });
            row.entry.batch = Arc::new(batch);
            Arc::new(row)
        };
        let kept = |cache: &Cache| (1..=4).filter(|number| cache.get(RowId(*number)).is_some()).collect::<Vec<_>>();
        cache.publish(changed(vec![large(1, 10), large(2, 10)]));
        cache.publish(changed(vec![large(2, 10)]));
        assert_eq!((kept(&cache), cache.inner().bytes), (vec![1, 2], 20), "a new version is no further row");
        cache.publish(changed(vec![large(3, 10)]));
        assert_eq!((kept(&cache), cache.inner().bytes), (vec![2, 3], 20));
        cache.publish(changed(vec![large(4, 100)]));
        assert_eq!((kept(&cache), cache.inner().bytes), (vec![4], 100), "alone, since it is asked for");
        cache.publish(Changes { removed: vec![RowId(4)], ..Changes::default() });
        assert_eq!(cache.inner().bytes, 0);
    }

    #[test]
    fn removed_rows_are_forgotten_and_ids_follow_the_latest() {
        let cache = Cache::new(4);
        cache.publish(Changes {
            rows: vec![row(1, 1), row(2, 1)],
            ids: vec![(Id::Ordinal(1), Some(RowId(1))), (Id::Ordinal(2), Some(RowId(2)))],
            ..Changes::default()
        });
        let mark = cache.mark();
        cache.learn_text(mark, "17", vec![RowId(2)]);
        let native = Id::Native("b".into(), "17".into());
        let ids = vec![(native.clone(), Some(RowId(2)))];
        cache.publish(Changes { removed: vec![RowId(1)], ids, ..Changes::default() });
        assert!(cache.by_id(&Id::Ordinal(1)).is_none() && cache.by_id(&Id::Ordinal(2)).is_some());
        assert!(cache.by_text("17").is_none(), "another row may have that id now");
        let mark = cache.mark();
        cache.learn_text(mark, "17", vec![RowId(2)]);
        assert!(cache.by_id(&native).is_some() && cache.by_text("17").is_some());
        cache.publish(Changes { ids: vec![(native.clone(), None)], ..Changes::default() });
        assert!(cache.by_id(&native).is_none() && cache.by_text("17").is_none(), "its row has given it up");
        let passed_on = vec![(native.clone(), None), (native.clone(), Some(RowId(2)))];
        cache.publish(Changes { ids: passed_on, ..Changes::default() });
        assert!(cache.by_id(&native).is_some(), "the last word counts");
    }
}
