//! The ledger's tables for an operator's hands, beside the replicas that work on them: what is changed takes its place among their writes, and they
//! are told of it.

use std::{collections::BTreeMap, sync::Arc};

use batchlingua_core::{KeptLog, RowId, Uuid};

use super::{
    connection::{Connection, Fault},
    prepare, tx,
    tx::{Counters, Tx},
    url::Place,
    writer::{begin, finish},
};
use crate::{
    LedgerError, Options,
    archive::{Loader, Shelf, id_of},
    row::{Id, Row},
    table::Table,
};

pub(crate) struct Tables {
    connection: Connection,
}

impl Tables {
    pub(crate) fn open(url: &str, options: &Options, writes: bool) -> Result<Self, LedgerError> {
        let place = Place::of(url, options.timeout)?;
        let failed = |fault: Fault| LedgerError::open(&place.shown, fault.text());
        if writes {
            prepare(&place, options, super::schema::MIGRATIONS)?;
        }
        let connection = Connection::open(&place, options.timeout).map_err(failed)?;
        if connection.words("SELECT to_regclass('batchlingua.batches')").map_err(failed)?.concat().is_empty() {
            return Err(LedgerError::open(&place.shown, "the database has no ledger"));
        }
        // A person waits for an answer, and it may take as long as it takes.
        connection.is_patient().map_err(failed)?;
        Ok(Self { connection })
    }

    fn query(&self, sql: &str, values: &[super::value::Value]) -> Result<Vec<tokio_postgres::Row>, LedgerError> {
        self.connection.query(sql, values).map_err(|fault| fault.unreadable())
    }
}

fn corrupt(error: tokio_postgres::Error) -> LedgerError {
    LedgerError::Corrupt(error.to_string())
}

impl Shelf for Tables {
    fn rows(&mut self, after: Option<RowId>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::after(&self.connection, after, limit)
    }

    fn open_intents(&mut self) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::open_intents(&self.connection)
    }

    fn native(&mut self, id: &str) -> Result<Vec<Arc<Row>>, LedgerError> {
        tx::with_native(&self.connection, id)
    }

    fn ids(&mut self, row: RowId) -> Result<Vec<Id>, LedgerError> {
        let sql = r#"SELECT kind, text, space FROM ids WHERE "row" = ? ORDER BY kind, text, space"#;
        let found = self.query(sql, &[row.0.into()])?;
        // An id that is too long for an index is kept in the row itself.
        let native = tx::get(&self.connection, row)?.and_then(|row| {
            let native = row.batch().id.native.clone()?;
            (tx::id_text(native.as_str()) != native.as_str()).then_some((tx::id_text(native.as_str()), native))
        });
        let read = |sql: &tokio_postgres::Row| {
            let cell = |at: usize| sql.try_get(at).map(super::value::unescaped).map_err(corrupt);
            let (kind, text, space): (String, String, String) = (cell(0)?, cell(1)?, cell(2)?);
            let text = native.as_ref().filter(|(short, _)| *short == text).map_or(text, |(_, whole)| whole.to_string());
            id_of((kind, text, space))
        };
        found.iter().map(read).collect()
    }

    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError> {
        Ok(tx::whose_row(&self.connection, id)?.map(|row| row.id()))
    }

    fn log(&mut self, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
        tx::kept_log(&self.connection, row)
    }

    fn counters(&mut self) -> Result<BTreeMap<String, i64>, LedgerError> {
        let read = |sql: &tokio_postgres::Row| {
            Ok((super::value::unescaped(sql.try_get(0).map_err(corrupt)?), sql.try_get(1).map_err(corrupt)?))
        };
        self.query("SELECT name, value FROM counters", &[])?.iter().map(read).collect()
    }

    fn change(&mut self, work: &mut dyn FnMut(&mut dyn Loader) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let unwritable = |fault: Fault| fault.unwritable();
        let at_first = begin(&self.connection, None).map_err(unwritable)?;
        let mut loading = Loading { table: Tx::new(&self.connection, at_first, Vec::new()) };
        let done = work(&mut loading).and_then(|()| loading.table.flush());
        let Tx { counters, changes, wrote, .. } = loading.table;
        let by = Uuid::new_v4().as_u64_pair().0;
        let done = done.and_then(|()| match wrote || counters != at_first {
            true => finish(&self.connection, (at_first, counters), &changes, by).map(drop).map_err(unwritable),
            false => Ok(()),
        });
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.words(end).map(drop).map_err(unwritable);
        done.and(ended)
    }

    fn count(&mut self) -> Result<u64, LedgerError> {
        Ok(tx::extent(&self.connection)?.0)
    }

    fn compact(&mut self) -> Result<(), LedgerError> {
        for table in ["batches", "ids", "kept_logs", "counters"] {
            self.connection.words(&format!("VACUUM (ANALYZE) {table}")).map_err(|fault| fault.unwritable())?;
        }
        Ok(())
    }
}

struct Loading<'c> {
    table: Tx<'c>,
}

impl Loader for Loading<'_> {
    fn table(&mut self) -> &mut dyn Table {
        &mut self.table
    }

    fn insert(&mut self, row: Row) -> Result<(), LedgerError> {
        self.table.counters.row = row.id().0 - 1;
        self.table.insert(row).map(drop)
    }

    fn set_counter(&mut self, name: &str, value: i64) -> Result<(), LedgerError> {
        let Counters { row, ordinal } = &mut self.table.counters;
        match name {
            "row" => *row = value,
            "ordinal" => *ordinal = value,
            _ => self.table.write(tx::COUNT, vec![name.into(), value.into()]),
        }
        Ok(())
    }
}
