//! The ledger of several processes: one PostgreSQL database.
//!
//! Each replica has one thread that writes (`writer`: one transaction of all replicas at a time, many writes in each), a few that read (`reader`), and
//! one that hears what the others write (`listen`), so that rows can be kept in memory here too (`hot`): a poll of a hot row reaches no
//! database. While the database is away such polls go on from memory, and what has to be written is refused.
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

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use batchlingua_core::{
    BackendName, BatchRef, Bound, DialectName, Entry, Health, Holder, Intended, KeptLog, Lease, Ledger, ListQuery,
    NativeIdentity, NewIntent, Observation, Page, Result, Retention, RowId, Scope, Uuid, Verdict,
};

pub(crate) use self::tables::Tables;
use self::{
    connection::Connection,
    hot::{Hot, Trust},
    listen::Listener,
    reader::Reader,
    slot::Slot,
    tx::Tx,
    url::Place,
    writer::{DatabaseClock, Tools, Writer},
};
use crate::{
    LedgerError, Options,
    row::{Id, Row},
    rules::{Draft, Rules, advanced, is_reused, needs_asking},
    view,
};

/// Threads that read lists, which may take long, beside those that read single rows.
const LIST_READERS: usize = 1;

pub(crate) struct PostgresLedger {
    points: Reader,
    lists: Reader,
    writer: Writer,
    _listener: Listener,
    hot: Arc<Hot>,
    rules: Arc<Rules>,
}

impl PostgresLedger {
    pub(crate) fn open(url: &str, options: &Options) -> Result<Self, LedgerError> {
        Self::open_with(url, options, schema::MIGRATIONS)
    }

    fn open_with(url: &str, options: &Options, migrations: &[&str]) -> Result<Self, LedgerError> {
        let within = options.timeout;
        let place = Place::of(url, within)?;
        prepare(&place, options, migrations)?;
        let mut options = options.clone();
        let clock = options.database_clock.then(|| Arc::new(DatabaseClock::new(options.clock.clone())));
        if let Some(clock) = &clock {
            options.clock = clock.clone();
        }
        let rules = Arc::new(Rules::of_several_processes(&options));
        let hot = Arc::new(Hot::new(options.cache_entries));
        let slot = || Slot::new(place.clone(), within);
        let failed = LedgerError::io(&place.shown);
        let start = || {
            Ok(Self {
                points: Reader::start("ledger-rows", &place, within, options.readers)?,
                lists: Reader::start("ledger-lists", &place, within, LIST_READERS)?,
                writer: Writer::start(Tools {
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
        start().map_err(failed)
    }

    async fn write<T, F>(&self, rule: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Rules, &mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let rules = self.rules.clone();
        Ok(self.writer.run(move |tx| rule(&rules, tx)).await?)
    }

    /// What is remembered, where memory is to be asked first; what to fall back on, where the database is.
    async fn read<W, F>(
        &self,
        wanted: Vec<W>,
        remembered: impl Fn(&W) -> Option<Arc<Row>>,
        read: F,
    ) -> Result<Vec<Option<Arc<Row>>>>
    where
        W: Clone + Send + Sync + 'static,
        F: Fn(&Connection, &W) -> Result<Option<Arc<Row>>, LedgerError> + Send + 'static,
    {
        let mark = self.hot.cache.mark();
        let is_trusted = self.hot.trust() != Trust::None;
        let mut rows: Vec<_> = wanted.iter().map(&remembered).collect();
        let is_asked = |row: &Option<Arc<Row>>| row.is_none() || !is_trusted;
        let missing: Vec<W> =
            wanted.into_iter().zip(&rows).filter(|(_, row)| is_asked(row)).map(|(wanted, _)| wanted).collect();
        if missing.is_empty() {
            return Ok(rows);
        }
        let all = move |connection: &Connection| {
            missing.iter().map(|wanted| read(connection, wanted)).collect::<Result<Vec<_>, _>>()
        };
        match self.points.run(all).await {
            Ok(read) => {
                for (place, read) in rows.iter_mut().filter(|row| is_asked(row)).zip(read) {
                    *place = read.map(|read| self.hot.cache.learn(mark, read));
                }
                Ok(rows)
            }
            Err(LedgerError::Unreadable(_)) if rows.iter().all(Option::is_some) => Ok(rows),
            Err(error) => Err(error.into()),
        }
    }

    /// The rows as they stand; `None` for those that are gone.
    async fn known(&self, wanted: impl Iterator<Item = RowId>) -> Result<Vec<Option<Arc<Row>>>> {
        self.read(wanted.collect(), |row| self.hot.cache.get(*row), |connection, row| tx::get(connection, *row)).await
    }

    async fn by_id(&self, id: Id) -> Result<Option<Arc<Row>>> {
        Ok(self.by_ids(vec![id]).await?.pop().flatten())
    }

    /// A memory that cannot be trusted is believed where it shows something. That nothing is there is told by the database or not at all: a submit that
    /// failed has given its id back, and another replica may have accepted the next one under it since.
    async fn shown(&self, id: Id, scope: &Scope) -> Result<Option<Entry>> {
        let is_trusted = self.hot.trust() == Trust::Full;
        let known = self.by_id(id.clone()).await?;
        let shown = known.as_ref().and_then(|row| shown_to(scope, row));
        if shown.is_some() || known.is_none() || is_trusted {
            return Ok(shown);
        }
        let read = self.points.run(move |connection| tx::whose_row(connection, &id)).await?;
        Ok(read.and_then(|row| shown_to(scope, &row)))
    }

    /// The same by a native id.
    async fn shown_by_text(&self, text: &str, scope: &Scope) -> Result<Option<Entry>> {
        let is_trusted = self.hot.trust() == Trust::Full;
        let known = self.by_text(text).await?;
        let shown = known.iter().find_map(|row| shown_to(scope, row));
        if shown.is_some() || known.is_empty() || is_trusted {
            return Ok(shown);
        }
        let text = text.to_owned();
        let read = self.points.run(move |connection| tx::with_native(connection, &text)).await?;
        Ok(read.iter().find_map(|row| shown_to(scope, row)))
    }

    async fn by_ids(&self, ids: Vec<Id>) -> Result<Vec<Option<Arc<Row>>>> {
        let mark = self.hot.cache.mark();
        let rows = self.read(ids.clone(), |id| self.hot.cache.by_id(id), tx::whose_row).await?;
        for (id, row) in ids.into_iter().zip(&rows) {
            if let Some(row) = row {
                self.hot.cache.learn_id(mark, id, row.id());
            }
        }
        Ok(rows)
    }

    async fn by_text(&self, text: &str) -> Result<Vec<Arc<Row>>> {
        let remembered = self.hot.cache.by_text(text);
        if let Some(rows) = &remembered
            && self.hot.trust() != Trust::None
        {
            return Ok(rows.clone());
        }
        let mark = self.hot.cache.mark();
        let wanted = text.to_owned();
        let read = match (self.points.run(move |connection| tx::with_native(connection, &wanted)).await, remembered) {
            (Err(LedgerError::Unreadable(_)), Some(rows)) => return Ok(rows),
            (read, _) => read?,
        };
        if !read.is_empty() {
            self.hot.cache.learn_text(mark, text, read.iter().map(|row| row.id()).collect());
        }
        Ok(read.into_iter().map(|row| self.hot.cache.learn(mark, row)).collect())
    }

    async fn entries(&self, rows: impl Iterator<Item = RowId>) -> Result<Vec<Entry>> {
        Ok(self.known(rows).await?.into_iter().flatten().map(|row| row.entry.clone()).collect())
    }

    fn newest(&self, read: Vec<Arc<Row>>) -> Vec<Entry> {
        read.into_iter().map(|row| self.hot.cache.refresh(row).entry.clone()).collect()
    }
}

fn shown_to(scope: &Scope, row: &Arc<Row>) -> Option<Entry> {
    view::shows(scope, row).then(|| row.entry.clone())
}

#[async_trait]
impl Ledger for PostgresLedger {
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
        match wanted {
            BatchRef::Uuid(uuid) => self.shown(Id::Uuid(*uuid), scope).await,
            BatchRef::Ordinal(ordinal) => self.shown(Id::Ordinal(*ordinal), scope).await,
            BatchRef::Text(text) => {
                let found = self.shown_by_text(text, scope).await?;
                match Uuid::try_parse(text) {
                    Ok(uuid) if found.is_none() => self.shown(Id::Uuid(uuid), scope).await,
                    _ => Ok(found),
                }
            }
            BatchRef::Name(name) => {
                let (name, scope) = (name.clone(), scope.clone());
                let read = self.points.run(move |connection| list::newest_named(connection, &name, &scope)).await?;
                Ok(read.map(|row| self.hot.cache.refresh(row).entry.clone()))
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
        let (query, scope, now) = (query.clone(), scope.clone(), self.rules.clock.now());
        let read = self.lists.snapshot(move |connection| list::page(connection, &query, &scope, now)).await?;
        Ok(Page { rows: self.newest(read.rows), total: Some(read.total), next: None })
    }

    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>> {
        Ok(self.points.run(move |connection| tx::kept_log(connection, row)).await?)
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
        let read = self.lists.run(move |connection| tx::after(connection, after, limit)).await?;
        Ok(self.newest(read))
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
    let failed = |fault: connection::Fault| LedgerError::open(&place.shown, fault.text());
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
