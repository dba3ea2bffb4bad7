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

use std::{path::Path, sync::Arc, time::Duration};

use batchlingua_core::{Health, KeptLog, ListQuery, Millis, RowId, Scope};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

pub(crate) use self::files::Files;
use self::{
    reader::on_snapshot,
    tx::Tx,
    writer::{Gate, Sqlite},
};
use crate::{
    LedgerError, Options,
    cache::Cache,
    kept::{Answer, Lists},
    port::{Engine, Port},
    reader::Reader,
    row::{Id, Row},
    rules::Rules,
    table::Table,
    writer::Writer,
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
    points: Reader<Connection>,
    lists: Reader<Connection>,
    writer: Writer<Sqlite>,
    cache: Arc<Cache>,
    kept: Arc<Lists>,
    gate: Arc<Gate>,
    rules: Arc<Rules>,
}

impl SqliteLedger {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Port<Self>, LedgerError> {
        Self::open_with(path, options, schema::MIGRATIONS)
    }

    fn open_with(path: &Path, options: &Options, migrations: &[&str]) -> Result<Port<Self>, LedgerError> {
        let lock = file::take(path)?;
        file::check(path, migrations.len())?;
        file::create(path)?;
        let connection = connect(path, migrations)?;
        let reader = |name| {
            let connection = reader::connect(path).map_err(|cause| LedgerError::open(path, cause))?;
            Reader::start(name, [connection]).map_err(LedgerError::io(path))
        };
        let cache = Arc::new(Cache::new(options.cache_entries));
        let (kept, gate) = (Arc::new(Lists::new(options.list_rows)), Arc::new(Gate::default()));
        Ok(Port(Self {
            points: reader("ledger-rows")?,
            lists: reader("ledger-lists")?,
            writer: writer::start(connection, lock, (cache.clone(), kept.clone(), gate.clone()), options.group)
                .map_err(LedgerError::io(path))?,
            cache,
            kept,
            gate,
            rules: Arc::new(Rules::of_one_process(options)),
        }))
    }

    async fn write<T, F>(&self, mut rule: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&Rules, &mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let rules = self.rules.clone();
        self.writer.run(move |tx| rule(&rules, tx)).await
    }
}

impl Engine for SqliteLedger {
    type Connection = Connection;

    fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Nobody else writes here.
    fn is_trusted(&self) -> bool {
        true
    }

    fn knows_all(&self) -> bool {
        true
    }

    async fn change<T, F>(&self, mut rule: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&Rules, &mut dyn Table) -> Result<T, LedgerError> + Send + 'static,
    {
        self.write(move |rules, tx| rule(rules, tx)).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.points.run(move |connection| on_snapshot(connection, read)).await
    }

    async fn read_many<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.lists.run(move |connection| on_snapshot(connection, read)).await
    }

    fn rows(connection: &Connection, rows: &[RowId]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
        rows.iter().map(|row| tx::get(connection, *row)).collect()
    }

    fn with_ids(connection: &Connection, ids: &[Id]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
        let read = |id| tx::whose(connection, id)?.map_or(Ok(None), |row| tx::get(connection, row));
        ids.iter().map(read).collect()
    }

    fn with_native(connection: &Connection, text: &str) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::with_native(connection, text)
    }

    fn newest_named(connection: &Connection, name: &str, scope: &Scope) -> Result<Option<Arc<Row>>, LedgerError> {
        list::newest_named(connection, name, scope)
    }

    fn unended_cancels(connection: &Connection, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::unended_cancels(connection, limit)
    }

    fn after(connection: &Connection, row: Option<RowId>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        let values = [row.map_or(i64::MIN, |row| row.0), tx::window(limit)];
        tx::rows(connection, "row > ? ORDER BY row LIMIT ?", values)
    }

    fn kept_log(connection: &Connection, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
        kept_log(connection, row)
    }

    fn extent(connection: &Connection) -> Result<(u64, Option<Millis>), LedgerError> {
        let oldest: Option<Option<i64>> = tx::one(connection, "SELECT min(ended) FROM batches", [])?;
        Ok((tx::count(connection)?, oldest.flatten().map(Millis)))
    }

    fn kept(&self, query: &ListQuery, scope: &Scope) -> Option<Answer> {
        self.kept.get(query, scope)
    }

    async fn read_page(&self, query: ListQuery, scope: Scope) -> Result<Answer, LedgerError> {
        let (cache, kept, gate) = (self.cache.clone(), self.kept.clone(), self.gate.clone());
        let now = self.rules.clock.now();
        let read = move |connection: &Connection| {
            // Whoever waited before this one may have asked the same.
            if let Some(answer) = kept.get(&query, &scope) {
                return Ok(answer);
            }
            kept.read(
                &query,
                &scope,
                &gate,
                &list::Read { connection, cache: &cache, query: &query, scope: &scope, now },
            )
        };
        self.read_many(read).await
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
