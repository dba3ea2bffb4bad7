//! The rules' [`Table`] over one SQLite transaction. What it changes is noted, so that the cache can be told once it is durable.
//!
//! A commit costs by the pages that it changes, so nothing is written that can be known without. An id that stands in its row's own columns is
//! found by them, and only others (`apart`) have a place in the index of ids by rows. What the row gives up is marked as such from then on.

use std::{cell::Cell, collections::HashMap, sync::Arc};

use batchlingua_core::{BackendName, DialectName, Holder, KeptLog, Millis, RowId};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, params, params_from_iter, types::FromSql};

use super::{
    columns::{self, Given},
    unreadable, unwritable,
};
use crate::{
    LedgerError,
    cache::{Cache, Changes},
    kept::Moved,
    row::{Id, MAX_ORDINAL, Row},
    table::Table,
};

/// What is asked of single rows. Each is answered by an index, partial ones being recognised by their own words; a test looks at the plans.
/// `+row` keeps SQLite from walking all rows in their order for the sake of the order.
mod search {
    pub(super) const BY_KEY: &str = "principal = ? AND dialect = ? AND key = ?";
    pub(super) const BY_NATIVE: &str =
        "row IN (SELECT row FROM ids WHERE kind = 'native' AND text = ?) ORDER BY row DESC";
    pub(super) const LIVE_NAMED: &str =
        "name = ? AND principal = ? AND phase NOT IN ('refused', 'failed') AND ended IS NULL
        AND cancel_asked = 0 ORDER BY +row DESC LIMIT 1";
    /// However many batches of the name there were: only those that live or have just ended are looked at.
    pub(super) const NAME_HELD: &str = "row IN (SELECT row FROM batches WHERE name = ?1 AND ended IS NULL
        UNION ALL SELECT row FROM batches WHERE name = ?1 AND ended >= ?4) AND phase NOT IN ('refused', 'failed')
        AND (dialect IS NULL OR dialect = ?2) AND instr(hidden, ?3) = 0";
    pub(super) const MARKED: &str = "phase IN ('intended', 'sending', 'ambiguous') AND backend = ? AND marker_name = ?";
    pub(super) const CLAIMABLE: &str = "phase IN ('intended', 'sending', 'ambiguous')
        AND (coalesce(lease_until, 0) <= ?1 OR (?2 IS NOT NULL AND holder IS NOT ?2)) ORDER BY +row LIMIT ?3";
    pub(super) const OPEN: &str = "phase IN ('intended', 'sending', 'ambiguous') ORDER BY +row";
    pub(super) const NONDESCRIPT: &str = "backend = ? AND native NOT GLOB '*[^0-9]*'
        AND coalesce(marker_name, name, '') = '' AND coalesce(app_id, '') = ''";
    pub(super) const ENDED_BEFORE: &str = "ended < ? ORDER BY ended LIMIT ?";
    pub(super) const UNENDED_CANCELS: &str =
        "cancel_asked = 1 AND phase = 'accepted' AND ended IS NULL ORDER BY +row LIMIT ?";
    pub(super) const WHOSE: &str = "SELECT row FROM ids WHERE kind = ? AND text = ? AND space = ?";
    pub(super) const APART: &str = "row = ? AND apart = 1";
}

/// So many ordinals are written as given at once. A crash leaves those of them that nobody got unused; an end in order does not.
const ORDINALS: u32 = 64;

/// Which ordinals are given, as the writer remembers it.
#[derive(Default)]
pub(super) struct Ordinals(Cell<Numbers>);

/// The next one, and up to which it is written that they are given. Both 0: it has to be read.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbers {
    next: u32,
    written: u32,
}

impl Ordinals {
    pub(super) fn now(&self) -> Numbers {
        self.0.get()
    }

    /// What came after that was undone.
    pub(super) fn undo(&self, to: Numbers) {
        self.0.set(to);
    }

    /// Nobody knows what was undone: what the store says is right, and at most leaves some unused.
    pub(super) fn forget(&self) {
        self.0.take();
    }

    /// The end of the work: those that nobody got are free again.
    pub(super) fn give_back(&self, connection: &Connection) -> Result<(), LedgerError> {
        let Numbers { next, written } = self.0.take();
        if next < written { write(connection, SET_ORDINAL, [next]) } else { Ok(()) }
    }
}

const SET_ORDINAL: &str = "UPDATE counters SET value = ? WHERE name = 'ordinal'";

/// Bytes of a probe.
const PROBE: usize = 64 << 10;

/// Rows as a transaction has left them; `None`: it has removed them.
pub(super) type Left = HashMap<RowId, Option<Arc<Row>>>;

/// One job's part of a transaction. A row that the job or one before it has changed is as they left it. Any other is as the cache has it: nobody
/// else writes here, and each commit is published before the next transaction begins.
pub(super) struct Tx<'c> {
    pub(super) connection: &'c Connection,
    cache: &'c Cache,
    ordinals: &'c Ordinals,
    earlier: &'c Left,
    own: Vec<(RowId, Option<Arc<Row>>)>,
    changes: Changes,
    moved: Vec<Moved>,
    wrote: bool,
}

/// What the jobs of a transaction have changed.
#[derive(Default)]
pub(super) struct Done {
    left: Left,
    pub(super) changes: Changes,
    pub(super) moved: Vec<Moved>,
    /// Whether the store was asked to write anything, which is what its health is told by.
    pub(super) wrote: bool,
}

/// The same of one job.
pub(super) struct Part {
    own: Vec<(RowId, Option<Arc<Row>>)>,
    changes: Changes,
    moved: Vec<Moved>,
    pub(super) wrote: bool,
}

impl Done {
    /// The next job's part, over the same connection.
    pub(super) fn begin<'c>(&'c self, connection: &'c Connection, cache: &'c Cache, ordinals: &'c Ordinals) -> Tx<'c> {
        let (own, changes, moved, wrote) = Default::default();
        Tx { connection, cache, ordinals, earlier: &self.left, own, changes, moved, wrote }
    }

    pub(super) fn add(&mut self, mut part: Part) {
        self.left.extend(part.own);
        self.changes.rows.append(&mut part.changes.rows);
        self.changes.removed.append(&mut part.changes.removed);
        self.changes.ids.append(&mut part.changes.ids);
        self.moved.append(&mut part.moved);
        self.wrote |= part.wrote;
    }
}

impl Tx<'_> {
    pub(super) fn end(self) -> Part {
        let Self { own, changes, moved, wrote, .. } = self;
        Part { own, changes, moved, wrote }
    }

    /// Something of the size of a few submits is written and removed again, to see whether the store takes writes. Row 0 is no batch's.
    pub(super) fn probe(&mut self, remove: bool) -> Result<(), LedgerError> {
        match remove {
            true => self.write("DELETE FROM kept_logs WHERE row = 0", []),
            false => self.keep_log(RowId(0), &KeptLog { from: 0, total: 0, lines: vec![" ".repeat(PROBE)] }),
        }
    }

    fn write(&mut self, sql: &str, values: impl Params) -> Result<(), LedgerError> {
        self.wrote = true;
        write(self.connection, sql, values)
    }

    /// Whether the id has to be found by its row otherwise than by the row's columns. One without an id of its backend's is about to get it.
    fn is_apart(&mut self, id: &Id, row: RowId) -> Result<bool, LedgerError> {
        let Some(row) = self.get(row)? else { return Ok(true) };
        Ok(match id {
            Id::Native(backend, _) if row.batch().id.native.is_none() => *backend != row.entry.backend,
            Id::Uuid(_) | Id::Ordinal(_) | Id::Native(..) => row.own_ids().all(|own| own != *id),
        })
    }

    /// The ids are the row's still, but no longer in its columns.
    fn set_apart(&mut self, was: &Row, row: &Row) -> Result<(), LedgerError> {
        if was.batch().id == row.batch().id {
            return Ok(());
        }
        let sql = "UPDATE ids SET apart = 1 WHERE kind = ? AND text = ? AND space = ? AND row = ?";
        for id in was.own_ids().filter(|id| row.own_ids().all(|own| own != *id)) {
            let (kind, text, space) = id_cells(&id);
            self.write(sql, params![kind, text, space, row.id().0])?;
        }
        Ok(())
    }

    fn note(&mut self, was: Option<Arc<Row>>, row: Row) -> Arc<Row> {
        let row = Arc::new(row);
        self.changes.rows.push(row.clone());
        self.own.push((row.id(), Some(row.clone())));
        self.moved.extend(Moved::of(was, Some(row.clone())));
        row
    }
}

impl Table for Tx<'_> {
    fn get(&mut self, row: RowId) -> Result<Option<Arc<Row>>, LedgerError> {
        if let Some((_, own)) = self.own.iter().rev().find(|(own, _)| *own == row) {
            return Ok(own.clone());
        }
        if let Some(left) = self.earlier.get(&row) {
            return Ok(left.clone());
        }
        match self.cache.get(row) {
            Some(row) => Ok(Some(row)),
            None => get(self.connection, row),
        }
    }

    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError> {
        whose(self.connection, id)
    }

    fn by_key(&mut self, principal: &str, dialect: &DialectName, key: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        let found = rows(self.connection, search::BY_KEY, [principal, dialect.as_str(), key])?;
        Ok(found.into_iter().next())
    }

    fn live_named(&mut self, name: &str, principal: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        Ok(rows(self.connection, search::LIVE_NAMED, [name, principal])?.into_iter().next())
    }

    fn name_held(&mut self, name: &str, dialect: &DialectName, ended_from: Millis) -> Result<bool, LedgerError> {
        let values = params![name, dialect.as_str(), columns::hidden_mark(dialect), ended_from.0];
        exists(self.connection, search::NAME_HELD, values)
    }

    fn marks_open_intent(&mut self, backend: &BackendName, name: &str) -> Result<bool, LedgerError> {
        exists(self.connection, search::MARKED, [backend.as_str(), name])
    }

    fn claimable(&mut self, now: Millis, others: Option<&Holder>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        rows(self.connection, search::CLAIMABLE, params![now.0, others.map(|holder| &*holder.0), window(limit)])
    }

    fn nondescript(&mut self, backend: &BackendName) -> Result<Vec<Arc<Row>>, LedgerError> {
        rows(self.connection, search::NONDESCRIPT, [backend.as_str()])
    }

    fn epoch(&mut self, backend: &BackendName) -> Result<RowId, LedgerError> {
        let row = one(self.connection, "SELECT value FROM counters WHERE name = ?", [epoch_of(backend)])?;
        Ok(RowId(row.unwrap_or_default()))
    }

    fn begin_epoch(&mut self, backend: &BackendName) -> Result<(), LedgerError> {
        let sql = "INSERT OR REPLACE INTO counters SELECT ?, coalesce(max(row), 0) FROM batches";
        self.write(sql, [epoch_of(backend)])
    }

    fn ended_before(&mut self, end: Millis, limit: usize) -> Result<Vec<RowId>, LedgerError> {
        let sql = format!("SELECT row FROM batches WHERE {}", search::ENDED_BEFORE);
        let found: Vec<i64> = all(self.connection, &sql, params![end.0, window(limit)])?;
        Ok(found.into_iter().map(RowId).collect())
    }

    fn next_ordinal(&mut self) -> Result<u32, LedgerError> {
        let mut given = self.ordinals.now();
        if given.next >= given.written {
            let read = one(self.connection, "SELECT value FROM counters WHERE name = 'ordinal'", [])?
                .ok_or_else(|| LedgerError::Corrupt("no counter of ordinals".to_owned()))?;
            given = Numbers { next: read, written: read };
            self.ordinals.0.set(given);
        }
        Ok(given.next)
    }

    fn set_next_ordinal(&mut self, ordinal: u32) -> Result<(), LedgerError> {
        let mut written = self.ordinals.now().written;
        if ordinal > written {
            written = ordinal.saturating_add(ORDINALS).min(MAX_ORDINAL + 1).max(ordinal);
            self.write(SET_ORDINAL, [written])?;
        }
        self.ordinals.0.set(Numbers { next: ordinal, written });
        Ok(())
    }

    fn insert(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        let values = columns::fixed(&row)?.into_iter().chain(columns::moving(&row));
        self.write(&columns::INSERT, params_from_iter(values))?;
        row.entry.row = RowId(self.connection.last_insert_rowid());
        Ok(self.note(None, row))
    }

    fn update(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        let was = self.get(row.id())?.ok_or(LedgerError::NoRow(row.id()))?;
        row.revision += 1;
        let (before, after) = (columns::moving(&was), columns::moving(&row));
        let changed: Vec<usize> = (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
        let number = Given::from(row.id().0);
        let values = changed.iter().map(|at| &after[*at]).chain([&number]);
        self.write(&columns::update(&changed), params_from_iter(values))?;
        self.set_apart(&was, &row)?;
        Ok(self.note(Some(was.clone()), row))
    }

    fn put_id(&mut self, id: Id, row: RowId) -> Result<(), LedgerError> {
        let apart = self.is_apart(&id, row)?;
        let (kind, text, space) = id_cells(&id);
        let sql = "INSERT INTO ids (kind, text, space, row, apart) VALUES (?, ?, ?, ?, ?)";
        self.write(sql, params![kind, text, space, row.0, apart])?;
        self.changes.ids.push((id, Some(row)));
        Ok(())
    }

    fn free_id(&mut self, id: &Id) -> Result<(), LedgerError> {
        self.write("DELETE FROM ids WHERE kind = ? AND text = ? AND space = ?", id_cells(id))?;
        self.changes.ids.push((id.clone(), None));
        Ok(())
    }

    fn move_ids(&mut self, from: RowId, to: RowId) -> Result<(), LedgerError> {
        self.write(&format!("UPDATE ids SET row = ?2 WHERE {}", search::APART.replace('?', "?1")), [from.0, to.0])?;
        let sql = "UPDATE ids SET row = ?5, apart = 1 WHERE kind = ?1 AND text = ?2 AND space = ?3 AND row = ?4";
        for id in self.get(from)?.iter().flat_map(|row| row.own_ids()) {
            let (kind, text, space) = id_cells(&id);
            self.write(sql, params![kind, text, space, from.0, to.0])?;
        }
        Ok(())
    }

    fn remove(&mut self, row: RowId) -> Result<(), LedgerError> {
        let was = self.get(row)?;
        self.write(&format!("DELETE FROM ids WHERE {}", search::APART), [row.0])?;
        let sql = "DELETE FROM ids WHERE kind = ? AND text = ? AND space = ? AND row = ?";
        for id in was.iter().flat_map(|was| was.own_ids()) {
            let (kind, text, space) = id_cells(&id);
            self.write(sql, params![kind, text, space, row.0])?;
        }
        self.write("DELETE FROM kept_logs WHERE row = ?", [row.0])?;
        self.write("DELETE FROM batches WHERE row = ?", [row.0])?;
        self.changes.removed.push(row);
        self.own.push((row, None));
        self.moved.extend(Moved::of(was, None));
        Ok(())
    }

    fn keep_log(&mut self, row: RowId, log: &KeptLog) -> Result<(), LedgerError> {
        let text: String = log.lines.iter().flat_map(|line| [line, "\n"]).collect();
        let sql = "INSERT OR REPLACE INTO kept_logs (row, first_line, total, text) VALUES (?, ?, ?, ?)";
        self.write(sql, params![row.0, log.from.cast_signed(), log.total.cast_signed(), text])
    }
}

pub(super) fn get(connection: &Connection, row: RowId) -> Result<Option<Arc<Row>>, LedgerError> {
    let mut statement = prepared(connection, &columns::BY_ROW).map_err(unreadable)?;
    let mut rows = statement.query([row.0]).map_err(unreadable)?;
    rows.next().map_err(unreadable)?.map(columns::read).transpose()
}

pub(super) fn whose(connection: &Connection, id: &Id) -> Result<Option<RowId>, LedgerError> {
    Ok(one(connection, search::WHOSE, id_cells(id))?.map(RowId))
}

/// All ids of a row, in their order.
pub(super) fn ids_of(connection: &Connection, row: RowId) -> Result<Vec<(String, String, String)>, LedgerError> {
    let sql = format!("SELECT kind, text, space FROM ids WHERE {}", search::APART);
    let mut statement = prepared(connection, &sql).map_err(unreadable)?;
    let found = statement.query_map([row.0], |sql| Ok((sql.get(0)?, sql.get(1)?, sql.get(2)?))).map_err(unreadable)?;
    let mut ids = found.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    for id in get(connection, row)?.iter().flat_map(|row| row.own_ids()) {
        if whose(connection, &id)? == Some(row) {
            let (kind, text, space) = id_cells(&id);
            ids.push((kind.to_owned(), text, space));
        }
    }
    ids.sort();
    // Those of rows of older versions are found both ways.
    ids.dedup();
    Ok(ids)
}

/// Rows with a native id on any backend, newest first.
pub(super) fn with_native(connection: &Connection, text: &str) -> Result<Vec<Arc<Row>>, LedgerError> {
    rows(connection, search::BY_NATIVE, [text])
}

/// Submits without an outcome, in their order.
pub(super) fn open_intents(connection: &Connection) -> Result<Vec<Arc<Row>>, LedgerError> {
    rows(connection, search::OPEN, [])
}

pub(super) fn unended_cancels(connection: &Connection, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
    rows(connection, search::UNENDED_CANCELS, [window(limit)])
}

/// Whole rows under a condition, which may bring its order and limit.
pub(super) fn rows(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> Result<Vec<Arc<Row>>, LedgerError> {
    let sql = format!("SELECT {} FROM batches WHERE {condition}", *columns::ALL);
    let mut statement = prepared(connection, &sql).map_err(unreadable)?;
    let mut found = statement.query(values).map_err(unreadable)?;
    let mut rows = Vec::new();
    while let Some(sql) = found.next().map_err(unreadable)? {
        rows.push(columns::read(sql)?);
    }
    Ok(rows)
}

fn exists(connection: &Connection, condition: &str, values: impl Params) -> Result<bool, LedgerError> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM batches WHERE {condition})");
    one(connection, &sql, values).map(Option::unwrap_or_default)
}

/// How many rows there are.
pub(super) fn count(connection: &Connection) -> Result<u64, LedgerError> {
    Ok(one::<i64>(connection, "SELECT count(*) FROM batches", [])?.unwrap_or_default().cast_unsigned())
}

/// The only cell of the only row, if there is one.
pub(super) fn one<T: FromSql>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
) -> Result<Option<T>, LedgerError> {
    prepared(connection, sql).map_err(unreadable)?.query_row(values, |sql| sql.get(0)).optional().map_err(unreadable)
}

/// The only cell of each row.
pub(super) fn all<T: FromSql>(connection: &Connection, sql: &str, values: impl Params) -> Result<Vec<T>, LedgerError> {
    let mut statement = prepared(connection, sql).map_err(unreadable)?;
    let found = statement.query_map(values, |sql| sql.get(0)).map_err(unreadable)?;
    found.collect::<Result<_, _>>().map_err(unreadable)
}

/// SQLite's integers have a sign.
pub(super) fn window(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn write(connection: &Connection, sql: &str, values: impl Params) -> Result<(), LedgerError> {
    prepared(connection, sql).map_err(unwritable)?.execute(values).map(drop).map_err(unwritable)
}

fn prepared<'c>(connection: &'c Connection, sql: &str) -> rusqlite::Result<CachedStatement<'c>> {
    connection.prepare_cached(sql)
}

fn epoch_of(backend: &BackendName) -> String {
    format!("epoch of {backend}")
}

fn id_cells(id: &Id) -> (&'static str, String, String) {
    match id {
        Id::Uuid(uuid) => ("uuid", uuid.to_string(), String::new()),
        Id::Ordinal(ordinal) => ("ordinal", ordinal.to_string(), String::new()),
        Id::Native(backend, native) => ("native", native.to_string(), backend.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::plan, *};

    #[test]
    fn every_search_has_its_index() {
        for (condition, index) in [
            (search::BY_KEY, "INDEX batches_by_key (principal=? AND dialect=? AND key=?)"),
            (search::BY_NATIVE, "PRIMARY KEY (kind=? AND text=?)"),
            (search::LIVE_NAMED, "INDEX batches_by_name (name=? AND ended=?)"),
            (search::NAME_HELD, "INDEX batches_by_name (name=? AND ended>?)"),
            (search::MARKED, "INDEX open_intents (backend=? AND marker_name=?)"),
            (search::CLAIMABLE, "INDEX open_intents"),
            (search::OPEN, "INDEX open_intents"),
            (search::NONDESCRIPT, "INDEX nondescript (backend=?)"),
            (search::ENDED_BEFORE, "INDEX batches_by_end (ended<?)"),
            (search::UNENDED_CANCELS, "INDEX unended_cancels"),
            ("row > ? ORDER BY row LIMIT ?", "INTEGER PRIMARY KEY (rowid>?)"),
        ] {
            let plan = plan(&format!("SELECT {} FROM batches WHERE {condition}", *columns::ALL));
            assert!(plan.contains(index), "{condition}: {plan}");
        }
        let ids = plan(search::WHOSE);
        assert!(ids.contains("PRIMARY KEY (kind=? AND text=? AND space=?)"), "{ids}");
        for change in ["DELETE FROM ids", "UPDATE ids SET row = 1"] {
            let plan = plan(&format!("{change} WHERE {}", search::APART));
            assert!(plan.contains("INDEX ids_apart (row=?)"), "{plan}");
        }
    }
}
