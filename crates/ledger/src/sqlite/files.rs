//! The ledger's file for an operator's hands: looked at beside the process that works on it, or changed in its place.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use batchlingua_core::{KeptLog, RowId};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{
    connect, file, kept_log, reader, schema, tx,
    tx::{Done, Ordinals},
    unreadable, unwritable,
};
use crate::{
    LedgerError,
    archive::{Loader, Shelf, id_of},
    cache::Cache,
    row::{Id, Row},
    table::Table,
};

/// The file. Where it is to be changed, the lock goes with it.
pub(crate) struct Files {
    connection: Connection,
    _lock: Option<file::Lock>,
}

impl Files {
    pub(crate) fn open(path: &Path, writes: bool) -> Result<Self, LedgerError> {
        if !writes {
            if !path.exists() {
                return Err(LedgerError::open(path, "there is no such file"));
            }
            file::check(path, schema::MIGRATIONS.len())?;
            let connection = reader::connect(path).map_err(|cause| LedgerError::open(path, cause))?;
            let found = schema::version(&connection).map_err(|cause| LedgerError::open(path, cause))?;
            if usize::try_from(found).ok() != Some(schema::MIGRATIONS.len()) {
                let why = format!("it has schema version {found}, which a start of the proxy brings forward");
                return Err(LedgerError::open(path, why));
            }
            return Ok(Self { connection, _lock: None });
        }
        let lock = file::take(path)?;
        file::check(path, schema::MIGRATIONS.len())?;
        file::create(path)?;
        Ok(Self { connection: connect(path, schema::MIGRATIONS)?, _lock: Some(lock) })
    }
}

impl Shelf for Files {
    fn rows(&mut self, after: Option<RowId>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        let values = [after.map_or(i64::MIN, |row| row.0), tx::window(limit)];
        tx::rows(&self.connection, "row > ? ORDER BY row LIMIT ?", values)
    }

    fn open_intents(&mut self) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::open_intents(&self.connection)
    }

    fn native(&mut self, id: &str) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::with_native(&self.connection, id)
    }

    fn ids(&mut self, row: RowId) -> Result<Vec<Id>, LedgerError> {
        tx::ids_of(&self.connection, row)?.into_iter().map(id_of).collect()
    }

    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError> {
        tx::whose(&self.connection, id)
    }

    fn log(&mut self, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
        kept_log(&self.connection, row)
    }

    fn counters(&mut self) -> Result<BTreeMap<String, i64>, LedgerError> {
        let sql =
            "SELECT name, value FROM counters UNION ALL SELECT 'row', seq FROM sqlite_sequence WHERE name = 'batches'";
        let mut statement = self.connection.prepare(sql).map_err(unreadable)?;
        let counters = statement.query_map([], |sql| Ok((sql.get(0)?, sql.get(1)?))).map_err(unreadable)?;
        counters.collect::<Result<_, _>>().map_err(unreadable)
    }

    fn change(&mut self, work: &mut dyn FnMut(&mut dyn Loader) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unwritable)?;
        let (done, cache, ordinals) = (Done::default(), Cache::new(1), Ordinals::default());
        let mut loading = Loading { connection: &transaction, table: done.begin(&transaction, &cache, &ordinals) };
        work(&mut loading)?;
        drop(loading);
        ordinals.give_back(&transaction)?;
        transaction.commit().map_err(unwritable)
    }

    fn count(&mut self) -> Result<u64, LedgerError> {
        tx::count(&self.connection)
    }

    fn compact(&mut self) -> Result<(), LedgerError> {
        self.connection.execute_batch("VACUUM; ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)").map_err(unwritable)
    }
}

struct Loading<'c> {
    connection: &'c Connection,
    table: tx::Tx<'c>,
}

impl Loader for Loading<'_> {
    fn table(&mut self) -> &mut dyn Table {
        &mut self.table
    }

    fn insert(&mut self, row: Row) -> Result<(), LedgerError> {
        let number = row.id().0;
        let made = self.table.insert(row)?.id().0;
        // Rows come in their order, so the made number is never greater.
        let sql = "UPDATE batches SET row = ? WHERE row = ?";
        self.connection.execute(sql, [number, made]).map(drop).map_err(unwritable)
    }

    fn set_counter(&mut self, name: &str, value: i64) -> Result<(), LedgerError> {
        let set = match name {
            "row" => {
                let known = "SELECT count(*) FROM sqlite_sequence WHERE name = 'batches'";
                match tx::one::<i64>(self.connection, known, [])?.unwrap_or_default() {
                    0 => self
                        .connection
                        .execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('batches', ?)", [value]),
                    _ => self.connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'batches'", [value]),
                }
            }
            _ => self.connection.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", params![name, value]),
        };
        set.map(drop).map_err(unwritable)
    }
}
