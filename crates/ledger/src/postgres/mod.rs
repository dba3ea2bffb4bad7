//! The ledger of several processes: one PostgreSQL database.
//!
//! Each replica has one thread that writes (`writer`: one transaction of all replicas at a time, many writes in each), a few that read (`reader`), and
//! one that hears what the others write (`listen`), so that rows and lists can be kept in memory here too (`hot`): a poll of a hot row reaches no
//! database, nor does a list that is asked for again. While the database is away such polls go on from memory, and what has to be written is refused.
//!
//! Leases are told by the database's clock, the only one that all replicas see.

mod columns;
mod connection;
mod hot;
mod list;
mod listen;
mod reader;
mod schema;
mod slot;
mod tables;
mod tx;
mod url;
mod value;
mod writer;

#[cfg(test)]
mod tests;

use std::{iter, sync::Arc};

use batchlingua_core::{Health, KeptLog, ListQuery, Millis, RowId, Scope};

pub(crate) use self::tables::Tables;
use self::{
    connection::Connection,
    hot::{Hot, Trust},
    listen::Listener,
    reader::twice,
    slot::Slot,
    url::Place,
    writer::{DatabaseClock, Postgres, Tools},
};
use crate::{
    LedgerError, Options,
    cache::Cache,
    kept::Answer,
    port::{Engine, Port},
    reader::Reader,
    row::{Id, Row},
    rules::Rules,
    table::Table,
    writer::Writer,
};

/// Threads that read lists, which may take long, beside those that read single rows.
const LIST_READERS: usize = 1;

pub(crate) struct PostgresLedger {
    points: Reader<Slot>,
    lists: Reader<Slot>,
    writer: Writer<Postgres>,
    _listener: Listener,
    hot: Arc<Hot>,
    rules: Arc<Rules>,
}

impl PostgresLedger {
    pub(crate) fn open(url: &str, options: &Options) -> Result<Port<Self>, LedgerError> {
        Self::open_with(url, options, schema::MIGRATIONS)
    }

    fn open_with(url: &str, options: &Options, migrations: &[&str]) -> Result<Port<Self>, LedgerError> {
        let within = options.timeout;
        let place = Place::of(url, within)?;
        prepare(&place, options, migrations)?;
        let mut options = options.clone();
        let clock = options.database_clock.then(|| Arc::new(DatabaseClock::new(options.clock.clone())));
        if let Some(clock) = &clock {
            options.clock = clock.clone();
        }
        let rules = Arc::new(Rules::of_several_processes(&options));
        let hot = Arc::new(Hot::new(options.cache_entries, options.list_rows));
        let slot = || Slot::new(place.clone(), within);
        let reader = |name, threads| Reader::start(name, iter::repeat_with(slot).take(threads));
        let failed = LedgerError::io(&place.shown);
        let start = || {
            Ok(Self {
                points: reader("ledger-rows", options.readers.max(1))?,
                lists: reader("ledger-lists", LIST_READERS)?,
                writer: writer::start(Tools {
                    slot: slot(),
                    hot: hot.clone(),
                    rules: rules.clone(),
                    clock,
                    group: options.group,
                    within,
                })?,
                _listener: Listener::start(slot(), hot.clone())?,
                hot: hot.clone(),
                rules: rules.clone(),
            })
        };
        start().map(Port).map_err(failed)
    }
}

impl Engine for PostgresLedger {
    type Connection = Connection;

    fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    fn cache(&self) -> &Cache {
        &self.hot.cache
    }

    fn is_trusted(&self) -> bool {
        self.hot.trust() != Trust::None
    }

    fn knows_all(&self) -> bool {
        self.hot.trust() == Trust::Full
    }

    async fn change<T, F>(&self, mut rule: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&Rules, &mut dyn Table) -> Result<T, LedgerError> + Send + 'static,
    {
        let rules = self.rules.clone();
        self.writer.run(move |tx| rule(&rules, tx).and_then(|done| tx.flush().map(|()| done))).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.points.run(move |slot| twice(slot, &read)).await
    }

    async fn read_many<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.lists.run(move |slot| twice(slot, &read)).await
    }

    fn rows(connection: &Connection, rows: &[RowId]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
        tx::get_all(connection, rows)
    }

    fn with_ids(connection: &Connection, ids: &[Id]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
        tx::whose_rows(connection, ids)
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
        tx::after(connection, row, limit)
    }

    fn kept_log(connection: &Connection, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
        tx::kept_log(connection, row)
    }

    fn extent(connection: &Connection) -> Result<(u64, Option<Millis>), LedgerError> {
        tx::extent(connection)
    }

    fn kept(&self, query: &ListQuery, scope: &Scope) -> Option<Answer> {
        self.hot.kept(query, scope)
    }

    async fn read_page(&self, query: ListQuery, scope: Scope) -> Result<Answer, LedgerError> {
        let (hot, now) = (self.hot.clone(), self.rules.clock.now());
        let read = move |connection: &Connection| {
            // Whoever waited before this one may have asked the same.
            if let Some(answer) = hot.kept(&query, &scope) {
                return Ok(answer);
            }
            if hot.trust() != Trust::Full {
                // What is known of a list may be of before the changes that are not heard.
                hot.lists.forget();
            }
            let list = list::Read { connection, query: &query, scope: &scope, now };
            let answer = hot.lists.read(&query, &scope, &hot.gate, &list);
            let ended = list.end();
            answer.and_then(|answer| ended.map(|()| answer))
        };
        self.read_many(read).await
    }

    async fn health(&self) -> Health {
        self.writer.health()
    }
}

/// Whether the URL names a database, and the certificates that it names can be read.
pub(crate) fn check_url(url: &str) -> Result<(), LedgerError> {
    Place::of(url, crate::TIMEOUT).map(drop)
}

/// Looks whether it is a database for a ledger, and brings its tables up to date. On a thread of its own, since a connection waits for its
/// answers and whoever opens a ledger may be a task.
fn prepare(place: &Place, options: &Options, migrations: &[&str]) -> Result<(), LedgerError> {
    let failed = |fault: connection::Fault| match fault.may_pass() {
        true => LedgerError::Away { place: place.shown.clone(), cause: fault.text() },
        false => LedgerError::open(&place.shown, fault.text()),
    };
    let look = || {
        let connection = Connection::open(place, options.timeout)?;
        schema::migrate(&connection, migrations)
    };
    let found = std::thread::scope(|scope| scope.spawn(look).join()).map_err(|_| LedgerError::Stopped)?;
    match found.map_err(failed)? {
        schema::Found::Ready => Ok(()),
        schema::Found::Newer(found) => {
            Err(LedgerError::Newer { path: place.shown.clone(), found, known: migrations.len() as i64 })
        }
        schema::Found::Encoding(encoding) => Err(LedgerError::open(
            &place.shown,
            format!("its encoding is {encoding}, which cannot hold every text: CREATE DATABASE … ENCODING 'UTF8'"),
        )),
    }
}
