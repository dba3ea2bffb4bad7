//! The ledger of one process: one SQLite file.
//!
//! One thread writes, two read (one for single rows, one for lists, so that a long list keeps no poll waiting), and async callers reach
//! them by channels. Hot rows are answered from memory and reach no thread at all; so are sights that show nothing new, and lists that are
//! asked for again.

mod columns;
mod file;
mod files;
mod list;
mod reader;
mod schema;
mod tx;
mod writer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{
    BackendName, BatchRef, Bound, DialectName, Entry, Health, Holder, Intended, KeptLog, Lease, Ledger, ListQuery,
    NativeIdentity, NewIntent, Observation, Page, Result, Retention, RowId, Scope, Uuid, Verdict,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

pub(crate) use self::files::Files;
use self::{
    reader::Reader,
    tx::Tx,
    writer::{Gate, Writer},
};
use crate::{
    LedgerError, Options,
    cache::Cache,
    kept::{Answer, Count, Lists},
    row::{Id, Row},
    rules::{Draft, Rules, advanced, is_reused, needs_asking},
    view,
};

/// How many prepared statements a connection keeps: all that there are but the rarer lists.
const STATEMENTS: usize = 128;

/// How long a write waits for another program that has locked the file: a person with a shell, or a copy that is made.
const LOCKED: Duration = Duration::from_secs(2);

/// KiB of pages that the writer keeps: new ids go to pages all over a large file, which are else read again for each.
const PAGES_KIB: i64 = 16 << 10;

/// Pages in the write-ahead log before they are brought home. A page that many commits change is then brought home once for all of them, and what
/// a crash leaves to be read at start is still small (16 MiB).
const CHECKPOINT: i64 = 4_000;

/// The readers are dropped before the writer, whose connection tidies the files up when it is the last.
pub(crate) struct SqliteLedger {
    points: Reader,
    lists: Reader,
    writer: Writer,
    cache: Arc<Cache>,
    kept: Arc<Lists>,
    gate: Arc<Gate>,
    rules: Arc<Rules>,
}

impl SqliteLedger {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, LedgerError> {
        Self::open_with(path, options, schema::MIGRATIONS)
    }

    fn open_with(path: &Path, options: &Options, migrations: &[&str]) -> Result<Self, LedgerError> {
        let lock = file::take(path)?;
        file::check(path, migrations.len())?;
        file::create(path)?;
        let connection = connect(path, migrations)?;
        let reader = |name| {
            let connection = reader::connect(path).map_err(|cause| LedgerError::open(path, cause))?;
            Reader::start(name, connection).map_err(LedgerError::io(path))
        };
        let cache = Arc::new(Cache::new(options.cache_entries));
        let (kept, gate) = (Arc::new(Lists::new(options.list_rows)), Arc::new(Gate::default()));
        Ok(Self {
            points: reader("ledger-rows")?,
            lists: reader("ledger-lists")?,
            writer: Writer::start(connection, lock, (cache.clone(), kept.clone(), gate.clone()), options.group)
                .map_err(LedgerError::io(path))?,
            cache,
            kept,
            gate,
            rules: Arc::new(Rules::of_one_process(options)),
        })
    }

    async fn write<T, F>(&self, mut rule: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Rules, &mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let rules = self.rules.clone();
        Ok(self.writer.run(move |tx| rule(&rules, tx)).await?)
    }

    /// The rows as they stand; `None` for those that are gone.
    async fn known(&self, wanted: impl Iterator<Item = RowId>) -> Result<Vec<Option<Arc<Row>>>> {
        let mark = self.cache.mark();
        let mut rows: Vec<_> = wanted.map(|row| (row, self.cache.get(row))).collect();
        let missing: Vec<RowId> = rows.iter().filter(|(_, known)| known.is_none()).map(|(row, _)| *row).collect();
        if !missing.is_empty() {
            let read = self
                .points
                .run(move |connection| {
                    missing.into_iter().map(|row| tx::get(connection, row)).collect::<Result<Vec<_>, _>>()
                })
                .await?;
            for ((_, place), read) in rows.iter_mut().filter(|(_, known)| known.is_none()).zip(read) {
                *place = read.map(|read| self.cache.learn(mark, read));
            }
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    async fn by_id(&self, id: Id) -> Result<Option<Arc<Row>>> {
        match self.cache.by_id(&id) {
            Some(row) => Ok(Some(row)),
            None => Ok(self.by_ids(vec![id]).await?.pop().flatten()),
        }
    }

    async fn by_ids(&self, ids: Vec<Id>) -> Result<Vec<Option<Arc<Row>>>> {
        let mark = self.cache.mark();
        let mut rows: Vec<_> = ids.iter().map(|id| self.cache.by_id(id)).collect();
        let missing = |row: &Option<Arc<Row>>| row.is_none();
        let wanted: Vec<Id> = ids.into_iter().zip(&rows).filter(|(_, row)| missing(row)).map(|(id, _)| id).collect();
        if wanted.is_empty() {
            return Ok(rows);
        }
        let read = self
            .points
            .run(move |connection| {
                let read = |id: Id| Ok(whose_row(connection, &id)?.map(|row| (id, row)));
                wanted.into_iter().map(read).collect::<Result<Vec<_>, LedgerError>>()
            })
            .await?;
        for (place, read) in rows.iter_mut().filter(|row| missing(row)).zip(read) {
            *place = read.map(|(id, row)| {
                self.cache.learn_id(mark, id, row.id());
                self.cache.learn(mark, row)
            });
        }
        Ok(rows)
    }

    async fn by_text(&self, text: &str) -> Result<Vec<Arc<Row>>> {
        if let Some(rows) = self.cache.by_text(text) {
            return Ok(rows);
        }
        let mark = self.cache.mark();
        let wanted = text.to_owned();
        let read = self.points.run(move |connection| tx::with_native(connection, &wanted)).await?;
        if !read.is_empty() {
            self.cache.learn_text(mark, text, read.iter().map(|row| row.id()).collect());
        }
        Ok(read.into_iter().map(|row| self.cache.learn(mark, row)).collect())
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn intend(&self, new: NewIntent) -> Result<Intended> {
        let draft = Draft::of(new);
        self.write(move |rules, tx| rules.intend(tx, &draft)).await
    }

    async fn may_send(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.write(move |rules, tx| rules.may_send(tx, &lease)).await
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<Entry> {
        let lease = lease.clone();
        self.write(move |rules, tx| rules.settle(tx, &lease, &verdict)).await
    }

    async fn claim(&self, holder: &Holder, limit: usize) -> Result<Vec<(Entry, Lease)>> {
        let holder = holder.clone();
        self.write(move |rules, tx| rules.claim(tx, &holder, limit)).await
    }

    async fn find(&self, wanted: &BatchRef, scope: &Scope) -> Result<Option<Entry>> {
        let shown = |row: &Arc<Row>| view::shows(scope, row).then(|| row.entry.clone());
        match wanted {
            BatchRef::Uuid(uuid) => Ok(self.by_id(Id::Uuid(*uuid)).await?.as_ref().and_then(shown)),
            BatchRef::Ordinal(ordinal) => Ok(self.by_id(Id::Ordinal(*ordinal)).await?.as_ref().and_then(shown)),
            BatchRef::Text(text) => {
                let found = self.by_text(text).await?.iter().find_map(shown);
                match Uuid::try_parse(text) {
                    Ok(uuid) if found.is_none() => Ok(self.by_id(Id::Uuid(uuid)).await?.as_ref().and_then(shown)),
                    _ => Ok(found),
                }
            }
            BatchRef::Name(name) => {
                let (name, scope) = (name.clone(), scope.clone());
                let read = self.points.run(move |connection| list::newest_named(connection, &name, &scope)).await?;
                Ok(read.map(|row| self.cache.refresh(row).entry.clone()))
            }
        }
    }

    async fn bind(&self, backend: &BackendName, seen: &[NativeIdentity]) -> Result<Vec<Bound>> {
        let ids = seen.iter().map(|seen| Id::Native(backend.clone(), seen.native.clone())).collect();
        let known = self.by_ids(ids).await?;
        // One that shows that the backend counts anew changes what the others are.
        let anew =
            known.iter().zip(seen).any(|(row, seen)| row.as_ref().is_some_and(|row| is_reused(&row.entry, seen)));
        let row = |row: Arc<Row>| if anew { Bound::None } else { Bound::Row(row.entry.clone()) };
        let mut bound: Vec<Bound> = known.into_iter().map(|known| known.map_or(Bound::None, row)).collect();
        let is_new = |(bound, _): &(&mut Bound, &NativeIdentity)| matches!(bound, Bound::None);
        let new: Vec<NativeIdentity> =
            bound.iter_mut().zip(seen).filter(is_new).map(|(_, seen)| seen.clone()).collect();
        if !new.is_empty() {
            let backend = backend.clone();
            let made = self.write(move |rules, tx| rules.bind(tx, &backend, &new)).await?;
            for ((place, _), made) in bound.iter_mut().zip(seen).filter(is_new).zip(made) {
                *place = made;
            }
        }
        Ok(bound)
    }

    async fn may_be_ours(&self, row: RowId, seen: &NativeIdentity) -> Result<bool> {
        let seen = seen.clone();
        self.write(move |rules, tx| rules.may_be_ours(tx, row, &seen)).await
    }

    async fn retire(&self, row: RowId) -> Result<()> {
        self.write(move |rules, tx| rules.retire(tx, row)).await
    }

    async fn observe(&self, seen: &[Observation]) -> Result<Vec<Entry>> {
        let known = self.known(seen.iter().map(|seen| seen.row)).await?;
        let now = self.rules.clock.now();
        let is_news = |(seen, row): &(&Observation, &Option<Arc<Row>>)| {
            row.as_ref().is_some_and(|row| seen.log.is_some() || advanced(row, seen, now).is_some())
        };
        // Of a row that moves, the writer is told all: what is no news now may be news after that.
        let moving: HashSet<RowId> = seen.iter().zip(&known).filter(is_news).map(|(seen, _)| seen.row).collect();
        if moving.is_empty() {
            return Ok(known.into_iter().flatten().map(|row| row.entry.clone()).collect());
        }
        let news: Vec<Observation> = seen.iter().filter(|seen| moving.contains(&seen.row)).cloned().collect();
        self.write(move |rules, tx| rules.observe(tx, &news)).await?;
        self.entries(seen.iter().map(|seen| seen.row)).await
    }

    async fn ask_cancel(&self, rows: &[RowId]) -> Result<Vec<Entry>> {
        let known = self.known(rows.iter().copied()).await?;
        let news: Vec<RowId> = known.iter().flatten().filter(|row| needs_asking(row)).map(|row| row.id()).collect();
        if !news.is_empty() {
            self.write(move |rules, tx| rules.ask_cancel(tx, &news)).await?;
        }
        self.entries(rows.iter().copied()).await
    }

    async fn unended_cancels(&self, limit: usize) -> Result<Vec<Entry>> {
        let read = self.lists.run(move |connection| tx::unended_cancels(connection, limit)).await?;
        Ok(self.newest(read))
    }

    async fn page(&self, query: &ListQuery, scope: &Scope) -> Result<Page<Entry>> {
        let answer = match self.kept.get(query, scope) {
            Some(answer) => answer,
            None => self.read_page(query.clone(), scope.clone()).await?,
        };
        Ok(Page { rows: self.cache.newest(&answer.rows), total: Some(answer.total), next: None })
    }

    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>> {
        Ok(self.points.run(move |connection| kept_log(connection, row)).await?)
    }

    async fn hide(&self, rows: &[RowId], from: &DialectName) -> Result<()> {
        let (rows, from) = (rows.to_vec(), from.clone());
        self.write(move |rules, tx| rules.hide(tx, &rows, &from)).await
    }

    async fn expire(&self, keep: &Retention) -> Result<u64> {
        let (end, limit) = (keep.ended_before, keep.limit.max(1));
        let mut dropped = 0;
        // A transaction for each chunk: others write in between.
        loop {
            match self.write(move |rules, tx| rules.expire(tx, end, limit)).await? {
                0 => return Ok(dropped),
                some => dropped += some as u64,
            }
        }
    }

    async fn dump(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Entry>> {
        let values = [after.map_or(i64::MIN, |row| row.0), tx::window(limit)];
        let condition = "row > ? ORDER BY row LIMIT ?";
        let read = self.lists.run(move |connection| tx::rows(connection, condition, values)).await?;
        Ok(self.newest(read))
    }

    /// A store that did not take writes is tried anew: while nobody submits, nobody else would notice that it does again.
    async fn health(&self) -> Health {
        if self.writer.health() != Health::Good {
            for remove in [false, true] {
                if self.write(move |_, tx| tx.probe(remove)).await.is_err() {
                    break;
                }
            }
        }
        self.writer.health()
    }
}

impl SqliteLedger {
    /// A list that is not kept yet, or not any more.
    async fn read_page(&self, query: ListQuery, scope: Scope) -> Result<Answer, LedgerError> {
        let (cache, kept, gate) = (self.cache.clone(), self.kept.clone(), self.gate.clone());
        let now = self.rules.clock.now();
        let read = move |connection: &Connection| {
            // Whoever waited before this one may have asked the same.
            if let Some(answer) = kept.get(&query, &scope) {
                return Ok(answer);
            }
            let reading = {
                let _gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
                // The snapshot begins with the first look.
                tx::one::<i64>(connection, "SELECT value FROM counters WHERE name = 'ordinal'", [])?;
                kept.begin()
            };
            let rows = list::page(connection, &cache, &query, &scope, now)?;
            let is_whole = query.window.from == 0 && (rows.len() as u64) < query.window.size;
            let mut count = is_whole.then(|| Count::of(&rows));
            if count.is_none() && !kept.counts(&query, &scope) {
                count = Some(list::count(connection, &query, &scope)?);
            }
            match kept.learn(&reading, (&query, &scope), &rows, count) {
                Some(answer) => Ok(answer),
                None => {
                    let total = list::count(connection, &query, &scope)?.total;
                    Ok(Answer { rows, total })
                }
            }
        };
        self.lists.run(read).await
    }

    async fn entries(&self, rows: impl Iterator<Item = RowId>) -> Result<Vec<Entry>> {
        Ok(self.known(rows).await?.into_iter().flatten().map(|row| row.entry.clone()).collect())
    }

    fn newest(&self, read: Vec<Arc<Row>>) -> Vec<Entry> {
        read.into_iter().map(|row| self.cache.refresh(row).entry.clone()).collect()
    }
}

/// The connection that writes. FULL: a commit is on the disk when it returns, even if the power fails.
fn connect(path: &Path, migrations: &[&str]) -> Result<Connection, LedgerError> {
    let failed = |cause| LedgerError::open(path, cause);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // SQLite is content to read what it may not write.
    if connection.is_readonly("main").map_err(failed)? {
        return Err(LedgerError::open(path, "it may not be written"));
    }
    let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |mode| mode.get::<_, String>(0));
    if mode.map_err(failed)? != "wal" {
        return Err(LedgerError::open(path, "its file system has no shared memory, which SQLite's WAL mode needs"));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -PAGES_KIB).map_err(failed)?;
    // What a savepoint could have to undo is small: no file for it.
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    connection.busy_timeout(LOCKED).map_err(failed)?;
    let from = schema::migrate(&mut connection, migrations).map_err(failed)?;
    if from > 0 && from < migrations.len() {
        tracing::info!(from, to = migrations.len(), "the ledger was brought to a newer schema version");
    }
    Ok(connection)
}

fn whose_row(connection: &Connection, id: &Id) -> Result<Option<Arc<Row>>, LedgerError> {
    tx::whose(connection, id)?.map_or(Ok(None), |row| tx::get(connection, row))
}

fn kept_log(connection: &Connection, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
    let mut statement =
        connection.prepare_cached("SELECT first_line, total, text FROM kept_logs WHERE row = ?").map_err(unreadable)?;
    let found = statement.query_row([row.0], |sql| {
        let (from, total): (i64, i64) = (sql.get(0)?, sql.get(1)?);
        let text: String = sql.get(2)?;
        let lines = text.split_terminator('\n').map(str::to_owned).collect();
        Ok(KeptLog { from: from.cast_unsigned(), total: total.cast_unsigned(), lines })
    });
    found.optional().map_err(unreadable)
}

fn unreadable(error: rusqlite::Error) -> LedgerError {
    fault(&error).unwrap_or_else(|| LedgerError::Unreadable(error.to_string().into()))
}

fn unwritable(error: rusqlite::Error) -> LedgerError {
    fault(&error).unwrap_or_else(|| LedgerError::Unwritable(error.to_string().into()))
}

fn from_json(error: serde_json::Error) -> LedgerError {
    LedgerError::Corrupt(error.to_string())
}

/// What no waiting will mend: a file that is damaged, or a bug that the schema caught.
fn fault(error: &rusqlite::Error) -> Option<LedgerError> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Some(LedgerError::Corrupt(error.to_string())),
        Some(ErrorCode::ConstraintViolation | ErrorCode::Unknown | ErrorCode::ApiMisuse) => {
            Some(LedgerError::Forbidden(error.to_string()))
        }
        Some(_) => None,
        // No word of SQLite's but of the reading of a cell.
        None => Some(LedgerError::Corrupt(error.to_string())),
    }
}
