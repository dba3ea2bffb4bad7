//! The port over an engine that keeps its rows in a store: written once for SQLite and PostgreSQL.
//!
//! An engine brings threads that read and one that writes. What is the same for both is here: what memory answers and what is asked of the
//! store, which writes reach the writer at all (a sight of no news does not), and in which chunks rows are dropped.

use std::{collections::HashSet, future::Future, ops::Deref, sync::Arc};

use async_trait::async_trait;
use batchlingua_core::{
    BackendName, BatchRef, Bound, ByHand, DialectName, Entry, Expired, Health, Holder, Intended, KeptLog, Lease,
    Ledger, ListQuery, Millis, NativeIdentity, NewIntent, Observation, Overruled, Page, Result, Retention, RowId,
    Scope, Uuid, Verdict,
};

use crate::{
    LedgerError,
    cache::{Cache, Mark},
    kept::Answer,
    row::{Id, Row},
    rules::{Draft, Rules, advanced, is_reused, needs_asking, overruled},
    table::Table,
    view,
};

/// What rows were read as.
type Found<T> = std::result::Result<T, LedgerError>;

/// A store with its threads. Reads are of one moment each, and may be run a second time where the first was cut off.
pub(crate) trait Engine: Send + Sync + 'static {
    /// What a reading thread reads by.
    type Connection;

    fn rules(&self) -> &Arc<Rules>;
    fn cache(&self) -> &Cache;
    /// Whether what is in memory may be shown without a look into the store.
    fn is_trusted(&self) -> bool;
    /// Whether every change of the store is in memory as well. A memory that may lack some is believed where it shows something, at most.
    fn knows_all(&self) -> bool;

    /// In a transaction, durable when it returns. It may be run a second time, when nothing of the first is there.
    fn change<T, F>(&self, rule: F) -> impl Future<Output = Found<T>> + Send
    where
        T: Send + 'static,
        F: FnMut(&Rules, &mut dyn Table) -> Found<T> + Send + 'static;
    /// Of single rows.
    fn read<T, F>(&self, read: F) -> impl Future<Output = Found<T>> + Send
    where
        T: Send + 'static,
        F: Fn(&Self::Connection) -> Found<T> + Send + 'static;
    /// Of many rows: nobody who wants a single one waits for it.
    fn read_many<T, F>(&self, read: F) -> impl Future<Output = Found<T>> + Send
    where
        T: Send + 'static,
        F: Fn(&Self::Connection) -> Found<T> + Send + 'static;

    /// The rows with these numbers, in their order.
    fn rows(connection: &Self::Connection, rows: &[RowId]) -> Found<Vec<Option<Arc<Row>>>>;
    /// The rows that have these ids, in their order.
    fn with_ids(connection: &Self::Connection, ids: &[Id]) -> Found<Vec<Option<Arc<Row>>>>;
    /// Those with a native id on any backend, newest first.
    fn with_native(connection: &Self::Connection, text: &str) -> Found<Vec<Arc<Row>>>;
    fn newest_named(connection: &Self::Connection, name: &str, scope: &Scope) -> Found<Option<Arc<Row>>>;
    fn unended_cancels(connection: &Self::Connection, limit: usize) -> Found<Vec<Arc<Row>>>;
    fn after(connection: &Self::Connection, row: Option<RowId>, limit: usize) -> Found<Vec<Arc<Row>>>;
    fn kept_log(connection: &Self::Connection, row: RowId) -> Found<Option<KeptLog>>;
    /// How many rows there are, and when the one ended that ended first.
    fn extent(connection: &Self::Connection) -> Found<(u64, Option<Millis>)>;

    /// A list as it stands, if it is in memory and nothing of it can have been missed.
    fn kept(&self, query: &ListQuery, scope: &Scope) -> Option<Answer>;
    /// One that is not there yet, or not any more.
    fn read_page(&self, query: ListQuery, scope: Scope) -> impl Future<Output = Found<Answer>> + Send;
    fn health(&self) -> impl Future<Output = Health> + Send;
}

/// An engine as the proxy knows it.
pub(crate) struct Port<E>(pub(crate) E);

impl<E> Deref for Port<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.0
    }
}

impl<E: Engine> Port<E> {
    /// What is remembered, where memory is to be asked first; what to fall back on, where the store is.
    async fn known_of<W, F>(
        &self,
        wanted: Vec<W>,
        remembered: impl Fn(&W) -> Option<Arc<Row>>,
        learned: impl Fn(Mark, &W, RowId),
        read: F,
    ) -> Found<Vec<Option<Arc<Row>>>>
    where
        W: Clone + Send + Sync + 'static,
        F: Fn(&E::Connection, &[W]) -> Found<Vec<Option<Arc<Row>>>> + Send + 'static,
    {
        let mark = self.cache().mark();
        let is_trusted = self.is_trusted();
        let mut rows: Vec<_> = wanted.iter().map(&remembered).collect();
        let is_asked = |row: &Option<Arc<Row>>| row.is_none() || !is_trusted;
        let missing: Arc<[W]> =
            wanted.into_iter().zip(&rows).filter(|(_, row)| is_asked(row)).map(|(wanted, _)| wanted).collect();
        if missing.is_empty() {
            return Ok(rows);
        }
        let asked = missing.clone();
        match self.read(move |connection| read(connection, &asked)).await {
            Ok(read) => {
                let places = rows.iter_mut().filter(|row| is_asked(row));
                for ((place, wanted), read) in places.zip(&*missing).zip(read) {
                    *place = read.map(|read| {
                        learned(mark, wanted, read.id());
                        self.cache().learn(mark, read)
                    });
                }
                Ok(rows)
            }
            Err(LedgerError::Unreadable(_)) if rows.iter().all(Option::is_some) => Ok(rows),
            Err(error) => Err(error),
        }
    }

    /// The rows as they stand; `None` for those that are gone.
    async fn known(&self, wanted: impl Iterator<Item = RowId>) -> Found<Vec<Option<Arc<Row>>>> {
        self.known_of(wanted.collect(), |row| self.cache().get(*row), |_, _, _| {}, E::rows).await
    }

    async fn by_id(&self, id: Id) -> Found<Option<Arc<Row>>> {
        if self.is_trusted()
            && let Some(row) = self.cache().by_id(&id)
        {
            return Ok(Some(row));
        }
        Ok(self.by_ids(vec![id]).await?.pop().flatten())
    }

    async fn by_ids(&self, ids: Vec<Id>) -> Found<Vec<Option<Arc<Row>>>> {
        let learned = |mark, id: &Id, row| self.cache().learn_id(mark, id.clone(), row);
        self.known_of(ids, |id| self.cache().by_id(id), learned, E::with_ids).await
    }

    async fn by_text(&self, text: &str) -> Found<Vec<Arc<Row>>> {
        let remembered = self.cache().by_text(text);
        if let Some(rows) = &remembered
            && self.is_trusted()
        {
            return Ok(rows.clone());
        }
        let mark = self.cache().mark();
        let wanted = text.to_owned();
        let read = match (self.read(move |connection| E::with_native(connection, &wanted)).await, remembered) {
            (Err(LedgerError::Unreadable(_)), Some(rows)) => return Ok(rows),
            (read, _) => read?,
        };
        if !read.is_empty() {
            self.cache().learn_text(mark, text, read.iter().map(|row| row.id()).collect());
        }
        Ok(read.into_iter().map(|row| self.cache().learn(mark, row)).collect())
    }

    /// The row of an id, if it is shown. That nothing is there is told by the store where memory may lack changes, or not at all: a submit that
    /// failed has given its id back, and another replica may have accepted the next one under it since.
    async fn shown(&self, id: Id, scope: &Scope) -> Result<Option<Entry>> {
        let knows_all = self.knows_all();
        let known = self.by_id(id.clone()).await?;
        let shown = known.as_ref().and_then(|row| shown_to(scope, row));
        if shown.is_some() || known.is_none() || knows_all {
            return Ok(shown);
        }
        let read = self.read(move |connection| E::with_ids(connection, std::slice::from_ref(&id))).await?;
        Ok(read.first().and_then(|row| shown_to(scope, row.as_ref()?)))
    }

    /// The same by a native id.
    async fn shown_by_text(&self, text: &str, scope: &Scope) -> Result<Option<Entry>> {
        let knows_all = self.knows_all();
        let known = self.by_text(text).await?;
        let shown = known.iter().find_map(|row| shown_to(scope, row));
        if shown.is_some() || known.is_empty() || knows_all {
            return Ok(shown);
        }
        let text = text.to_owned();
        let read = self.read(move |connection| E::with_native(connection, &text)).await?;
        Ok(read.iter().find_map(|row| shown_to(scope, row)))
    }

    async fn entries(&self, rows: impl Iterator<Item = RowId>) -> Result<Vec<Entry>> {
        Ok(self.known(rows).await?.into_iter().flatten().map(|row| row.entry.clone()).collect())
    }

    fn newest(&self, read: Vec<Arc<Row>>) -> Vec<Entry> {
        read.into_iter().map(|row| self.cache().refresh(row).entry.clone()).collect()
    }

    /// Drops at most so many rows that ended before. A transaction for each chunk: others write in between.
    async fn drop_ended(&self, before: Millis, most: u64, chunk: usize) -> Found<u64> {
        let mut dropped = 0;
        while dropped < most {
            let some = usize::try_from(most - dropped).unwrap_or(usize::MAX).min(chunk);
            match self.change(move |rules, table| rules.expire(table, before, some)).await? {
                0 => break,
                some => dropped += some as u64,
            }
        }
        Ok(dropped)
    }
}

fn shown_to(scope: &Scope, row: &Arc<Row>) -> Option<Entry> {
    view::shows(scope, row).then(|| row.entry.clone())
}

#[async_trait]
impl<E: Engine> Ledger for Port<E> {
    async fn intend(&self, new: NewIntent) -> Result<Intended> {
        let draft = Draft::of(new);
        Ok(self.change(move |rules, table| rules.intend(table, &draft)).await?)
    }

    async fn may_send(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        Ok(self.change(move |rules, table| rules.may_send(table, &lease)).await?)
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<Entry> {
        let lease = lease.clone();
        Ok(self.change(move |rules, table| rules.settle(table, &lease, &verdict)).await?)
    }

    async fn overrule(&self, row: RowId, said: &ByHand) -> Result<Overruled> {
        let said = said.clone();
        overruled(self.change(move |rules, table| rules.overrule(table, row, &said)).await)
    }

    async fn claim(&self, holder: &Holder, limit: usize) -> Result<Vec<(Entry, Lease)>> {
        let holder = holder.clone();
        Ok(self.change(move |rules, table| rules.claim(table, &holder, limit)).await?)
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
                let read = self.read(move |connection| E::newest_named(connection, &name, &scope)).await?;
                Ok(read.map(|row| self.cache().refresh(row).entry.clone()))
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
            let made = self.change(move |rules, table| rules.bind(table, &backend, &new)).await?;
            for ((place, _), made) in bound.iter_mut().zip(seen).filter(is_new).zip(made) {
                *place = made;
            }
        }
        Ok(bound)
    }

    async fn may_be_ours(&self, row: RowId, seen: &NativeIdentity) -> Result<bool> {
        let seen = seen.clone();
        Ok(self.change(move |rules, table| rules.may_be_ours(table, row, &seen)).await?)
    }

    async fn retire(&self, row: RowId) -> Result<()> {
        Ok(self.change(move |rules, table| rules.retire(table, row)).await?)
    }

    async fn observe(&self, seen: &[Observation]) -> Result<Vec<Entry>> {
        let known = self.known(seen.iter().map(|seen| seen.row)).await?;
        let now = self.rules().clock.now();
        let is_news = |(seen, row): &(&Observation, &Option<Arc<Row>>)| {
            row.as_ref().is_some_and(|row| seen.log.is_some() || advanced(row, seen, now).is_some())
        };
        // Of a row that moves, the writer is told all: what is no news now may be news after that.
        let moving: HashSet<RowId> = seen.iter().zip(&known).filter(is_news).map(|(seen, _)| seen.row).collect();
        if moving.is_empty() {
            return Ok(known.into_iter().flatten().map(|row| row.entry.clone()).collect());
        }
        let news: Vec<Observation> = seen.iter().filter(|seen| moving.contains(&seen.row)).cloned().collect();
        self.change(move |rules, table| rules.observe(table, &news)).await?;
        self.entries(seen.iter().map(|seen| seen.row)).await
    }

    async fn miss(&self, row: RowId) -> Result<Option<Entry>> {
        Ok(self.change(move |rules, table| rules.miss(table, row)).await?)
    }

    async fn ask_cancel(&self, rows: &[RowId]) -> Result<Vec<Entry>> {
        let known = self.known(rows.iter().copied()).await?;
        let news: Vec<RowId> = known.iter().flatten().filter(|row| needs_asking(row)).map(|row| row.id()).collect();
        if !news.is_empty() {
            self.change(move |rules, table| rules.ask_cancel(table, &news)).await?;
        }
        self.entries(rows.iter().copied()).await
    }

    async fn unended_cancels(&self, limit: usize) -> Result<Vec<Entry>> {
        let read = self.read_many(move |connection| E::unended_cancels(connection, limit)).await?;
        Ok(self.newest(read))
    }

    async fn page(&self, query: &ListQuery, scope: &Scope) -> Result<Page<Entry>> {
        let answer = match self.kept(query, scope) {
            Some(answer) => answer,
            None => self.read_page(query.clone(), scope.clone()).await?,
        };
        Ok(Page { rows: self.cache().newest(&answer.rows), total: Some(answer.total), next: None })
    }

    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>> {
        Ok(self.read(move |connection| E::kept_log(connection, row)).await?)
    }

    async fn hide(&self, rows: &[RowId], from: &DialectName) -> Result<()> {
        let (rows, from) = (rows.to_vec(), from.clone());
        Ok(self.change(move |rules, table| rules.hide(table, &rows, &from)).await?)
    }

    async fn expire(&self, keep: &Retention) -> Result<Expired> {
        let chunk = keep.limit.max(1);
        let mut dropped = self.drop_ended(keep.ended_before, u64::MAX, chunk).await?;
        let Some(room) = keep.room else { return Ok(Expired { dropped, kept_from: None }) };
        let (rows, _) = self.read_many(E::extent).await?;
        if rows < room.rows {
            return Ok(Expired { dropped, kept_from: None });
        }
        dropped += self.drop_ended(room.ended_before, rows - room.rows, chunk).await?;
        let (_, first_end) = self.read_many(E::extent).await?;
        Ok(Expired { dropped, kept_from: Some(room.kept_from(first_end)) })
    }

    async fn dump(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Entry>> {
        let read = self.read_many(move |connection| E::after(connection, after, limit)).await?;
        Ok(self.newest(read))
    }

    async fn health(&self) -> Health {
        self.0.health().await
    }
}
