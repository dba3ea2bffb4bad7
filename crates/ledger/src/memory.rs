//! The ledger of tests: maps behind one lock, and nothing of it is left when the process ends.
//!
//! It answers as SQLite does, row for row, so that whatever is tested over it holds over the other. It runs under a paused clock, since
//! no thread stands behind it. Lists and names are scans: there are few rows in a test.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use batchlingua_core::{
    BackendName, BatchRef, Bound, ByHand, DialectName, Entry, Expired, Health, Holder, Intended, KeptLog, Lease,
    Ledger, ListQuery, Millis, NativeIdentity, NewIntent, Observation, Overruled, Page, Result, Retention, RowId,
    Scope, Uuid, Verdict,
};

use crate::{
    LedgerError, Options,
    row::{Id, Row},
    rules::{Draft, Rules, overruled},
    table::Table,
    view,
};

pub(crate) struct MemoryLedger {
    rules: Rules,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    rows: BTreeMap<RowId, Arc<Row>>,
    ids: HashMap<Id, RowId>,
    logs: HashMap<RowId, KeptLog>,
    last_row: i64,
    next_ordinal: u32,
    epochs: HashMap<BackendName, RowId>,
}

impl MemoryLedger {
    pub(crate) fn new(options: &Options) -> Self {
        let rules = if options.shared { Rules::of_several_processes(options) } else { Rules::of_one_process(options) };
        Self { rules, store: Mutex::default() }
    }

    /// Held for one rule, never across an await. A rule that panicked is a bug, and its test has failed already.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn intend(&self, new: NewIntent) -> Result<Intended> {
        Ok(self.rules.intend(&mut *self.store(), &Draft::of(new))?)
    }

    async fn may_send(&self, lease: &Lease) -> Result<()> {
        Ok(self.rules.may_send(&mut *self.store(), lease)?)
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<Entry> {
        Ok(self.rules.settle(&mut *self.store(), lease, &verdict)?)
    }

    async fn overrule(&self, row: RowId, said: &ByHand) -> Result<Overruled> {
        overruled(self.rules.overrule(&mut *self.store(), row, said))
    }

    async fn claim(&self, holder: &Holder, limit: usize) -> Result<Vec<(Entry, Lease)>> {
        Ok(self.rules.claim(&mut *self.store(), holder, limit)?)
    }

    async fn find(&self, wanted: &BatchRef, scope: &Scope) -> Result<Option<Entry>> {
        let store = self.store();
        let by_id =
            |id: Id| store.ids.get(&id).and_then(|row| store.rows.get(row)).filter(|row| view::shows(scope, row));
        let found = match wanted {
            BatchRef::Uuid(uuid) => by_id(Id::Uuid(*uuid)),
            BatchRef::Ordinal(ordinal) => by_id(Id::Ordinal(*ordinal)),
            BatchRef::Name(name) => store
                .rows
                .values()
                .filter(|row| row.batch().spec.name.as_ref() == Some(name) && view::lists(scope, row))
                .max_by_key(|row| (row.batch().times.created, row.id())),
            BatchRef::Text(text) => store
                .rows
                .values()
                .rev()
                .find(|row| row.has_native(text) && view::shows(scope, row))
                .or_else(|| by_id(Id::Uuid(Uuid::try_parse(text).ok()?))),
        };
        Ok(found.map(|row| row.entry.clone()))
    }

    async fn bind(&self, backend: &BackendName, seen: &[NativeIdentity]) -> Result<Vec<Bound>> {
        Ok(self.rules.bind(&mut *self.store(), backend, seen)?)
    }

    async fn may_be_ours(&self, row: RowId, seen: &NativeIdentity) -> Result<bool> {
        Ok(self.rules.may_be_ours(&mut *self.store(), row, seen)?)
    }

    async fn retire(&self, row: RowId) -> Result<()> {
        Ok(self.rules.retire(&mut *self.store(), row)?)
    }

    async fn observe(&self, seen: &[Observation]) -> Result<Vec<Entry>> {
        let mut store = self.store();
        self.rules.observe(&mut *store, seen)?;
        Ok(entries(seen.iter().filter_map(|seen| store.rows.get(&seen.row))))
    }

    async fn miss(&self, row: RowId) -> Result<Option<Entry>> {
        Ok(self.rules.miss(&mut *self.store(), row)?)
    }

    async fn ask_cancel(&self, rows: &[RowId]) -> Result<Vec<Entry>> {
        let mut store = self.store();
        self.rules.ask_cancel(&mut *store, rows)?;
        Ok(entries(rows.iter().filter_map(|row| store.rows.get(row))))
    }

    async fn unended_cancels(&self, limit: usize) -> Result<Vec<Entry>> {
        let store = self.store();
        Ok(entries(store.rows.values().filter(|row| view::is_unended_cancel(row)).take(limit)))
    }

    async fn page(&self, query: &ListQuery, scope: &Scope) -> Result<Page<Entry>> {
        let store = self.store();
        let listed = |row: &&Arc<Row>| view::lists(scope, row) && view::matches(&query.filter, row.batch());
        let mut rows: Vec<&Arc<Row>> = store.rows.values().filter(listed).collect();
        let now = self.rules.clock.now();
        rows.sort_by(|a, b| view::order(query.order, a, b, now));
        let window = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let shown = rows.iter().skip(window(query.window.from)).take(window(query.window.size)).copied();
        Ok(Page { rows: entries(shown), total: Some(rows.len() as u64), next: None })
    }

    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>> {
        Ok(self.store().logs.get(&row).cloned())
    }

    async fn hide(&self, rows: &[RowId], from: &DialectName) -> Result<()> {
        Ok(self.rules.hide(&mut *self.store(), rows, from)?)
    }

    async fn expire(&self, keep: &Retention) -> Result<Expired> {
        let mut store = self.store();
        let mut dropped = self.rules.expire(&mut *store, keep.ended_before, usize::MAX)? as u64;
        let full = keep.room.filter(|room| store.rows.len() as u64 >= room.rows);
        let Some(room) = full else { return Ok(Expired { dropped, kept_from: None }) };
        let excess = usize::try_from(store.rows.len() as u64 - room.rows).unwrap_or(usize::MAX);
        dropped += self.rules.expire(&mut *store, room.ended_before, excess)? as u64;
        let first_end = store.rows.values().filter_map(|row| row.batch().times.ended).min();
        Ok(Expired { dropped, kept_from: Some(room.kept_from(first_end)) })
    }

    async fn dump(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Entry>> {
        let first = RowId(after.map_or(0, |row| row.0.saturating_add(1)));
        Ok(entries(self.store().rows.range(first..).map(|(_, row)| row).take(limit)))
    }

    async fn health(&self) -> Health {
        Health::Good
    }
}

fn entries<'a>(rows: impl Iterator<Item = &'a Arc<Row>>) -> Vec<Entry> {
    rows.map(|row| row.entry.clone()).collect()
}

impl Table for Store {
    fn get(&mut self, row: RowId) -> Result<Option<Arc<Row>>, LedgerError> {
        Ok(self.rows.get(&row).cloned())
    }

    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError> {
        Ok(self.ids.get(id).copied())
    }

    fn by_key(&mut self, principal: &str, dialect: &DialectName, key: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        let has = |row: &&Arc<Row>| {
            row.key.as_ref().is_some_and(|claim| claim.value == key)
                && row.entry.dialect.as_ref() == Some(dialect)
                && row.principal.as_ref().is_some_and(|of| &*of.name == principal)
        };
        Ok(self.rows.values().find(has).cloned())
    }

    fn live_named(&mut self, name: &str, principal: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        let newest =
            self.rows.values().filter(|row| view::lives_under(row, name, principal)).max_by_key(|row| row.id());
        Ok(newest.cloned())
    }

    fn name_held(&mut self, name: &str, dialect: &DialectName, ended_from: Millis) -> Result<bool, LedgerError> {
        Ok(self.rows.values().any(|row| view::holds_name(row, name, dialect, ended_from)))
    }

    fn marks_open_intent(&mut self, backend: &BackendName, name: &str) -> Result<bool, LedgerError> {
        let marked = |row: &Arc<Row>| {
            row.entry.phase.is_open() && row.entry.backend == *backend && row.entry.marker.name.as_deref() == Some(name)
        };
        Ok(self.rows.values().any(marked))
    }

    fn claimable(&mut self, now: Millis, others: Option<&Holder>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        let free = |row: &&Arc<Row>| {
            let over = row.lease_until.is_none_or(|until| until <= now);
            row.entry.phase.is_open() && (over || others.is_some_and(|holder| row.holder.as_ref() != Some(holder)))
        };
        Ok(self.rows.values().filter(free).take(limit).cloned().collect())
    }

    fn nondescript(&mut self, backend: &BackendName) -> Result<Vec<Arc<Row>>, LedgerError> {
        let alike = |row: &&Arc<Row>| row.entry.backend == *backend && row.is_nondescript();
        Ok(self.rows.values().filter(alike).cloned().collect())
    }

    fn epoch(&mut self, backend: &BackendName) -> Result<RowId, LedgerError> {
        Ok(self.epochs.get(backend).copied().unwrap_or(RowId(0)))
    }

    fn begin_epoch(&mut self, backend: &BackendName) -> Result<(), LedgerError> {
        self.epochs.insert(backend.clone(), RowId(self.last_row));
        Ok(())
    }

    fn ended_before(&mut self, end: Millis, limit: usize) -> Result<Vec<RowId>, LedgerError> {
        let ended = |row: &Arc<Row>| Some((row.batch().times.ended.filter(|ended| *ended < end)?, row.id()));
        let mut over: Vec<(Millis, RowId)> = self.rows.values().filter_map(ended).collect();
        over.sort_unstable();
        Ok(over.into_iter().take(limit).map(|(_, row)| row).collect())
    }

    fn next_ordinal(&mut self) -> Result<u32, LedgerError> {
        Ok(self.next_ordinal)
    }

    fn set_next_ordinal(&mut self, ordinal: u32) -> Result<(), LedgerError> {
        self.next_ordinal = ordinal;
        Ok(())
    }

    fn insert(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        self.last_row += 1;
        row.entry.row = RowId(self.last_row);
        let row = Arc::new(row);
        self.rows.insert(row.id(), row.clone());
        Ok(row)
    }

    fn update(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        row.revision += 1;
        let row = Arc::new(row);
        self.rows.insert(row.id(), row.clone());
        Ok(row)
    }

    fn put_id(&mut self, id: Id, row: RowId) -> Result<(), LedgerError> {
        self.ids.insert(id, row);
        Ok(())
    }

    fn free_id(&mut self, id: &Id) -> Result<(), LedgerError> {
        self.ids.remove(id);
        Ok(())
    }

    fn move_ids(&mut self, from: RowId, to: RowId) -> Result<(), LedgerError> {
        self.ids.values_mut().filter(|row| **row == from).for_each(|row| *row = to);
        Ok(())
    }

    fn remove(&mut self, row: RowId) -> Result<(), LedgerError> {
        self.rows.remove(&row);
        self.logs.remove(&row);
        self.ids.retain(|_, holder| *holder != row);
        Ok(())
    }

    fn keep_log(&mut self, row: RowId, log: &KeptLog) -> Result<(), LedgerError> {
        self.logs.insert(row, log.clone());
        Ok(())
    }
}
