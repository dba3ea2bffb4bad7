//! The rules' [`Table`] over one PostgreSQL transaction.
//!
//! A write is not sent at once but with the next question, or when its rule is done: the way there is what costs. The two counters are read
//! when the transaction begins and written when it ends, which nobody else can do meanwhile (`writer`).

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use batchlingua_core::{BackendName, DialectName, Holder, KeptLog, Millis, RowId};

use super::{
    columns,
    connection::{Connection, Order},
    value::{Value, escaped},
};
use crate::{
    LedgerError,
    cache::Changes,
    kept::Moved,
    row::{Id, Row},
    table::Table,
};

/// What is asked of single rows. Each is answered by an index; a test looks at the plans.
pub(super) mod search {
    pub(in super::super) const BY_KEY: &str =
        "md5(principal) = md5(?) AND dialect = ? AND md5(key) = md5(?) AND principal = ? AND key = ?
        AND key IS NOT NULL";
    pub(in super::super) const BY_NATIVE: &str =
        r#""row" IN (SELECT "row" FROM ids WHERE kind = 'native' AND text = ?) ORDER BY "row" DESC"#;
    pub(in super::super) const LIVE_NAMED: &str = r#"md5(name) = md5(?) AND name = ? AND principal = ? AND phase NOT IN ('refused', 'failed')
        AND ended IS NULL AND NOT cancel_asked ORDER BY "row" DESC LIMIT 1"#;
    pub(in super::super) const NAME_HELD: &str =
        "md5(name) = md5(?) AND name = ? AND phase NOT IN ('refused', 'failed')
        AND (dialect IS NULL OR dialect = ?) AND strpos(hidden, ?) = 0 AND (ended IS NULL OR ended >= ?)";
    pub(in super::super) const MARKED: &str =
        "phase IN ('intended', 'sending', 'ambiguous') AND backend = ? AND marker_name = ?";
    pub(in super::super) const CLAIMABLE: &str = r#"phase IN ('intended', 'sending', 'ambiguous')
        AND (coalesce(lease_until, 0) <= ? OR holder <> ?) ORDER BY "row" LIMIT ?"#;
    pub(in super::super) const OPEN: &str = r#"phase IN ('intended', 'sending', 'ambiguous') ORDER BY "row""#;
    pub(in super::super) const NONDESCRIPT: &str = "backend = ? AND native ~ '^[0-9]*$'
        AND coalesce(marker_name, name, '') = '' AND coalesce(app_id, '') = ''";
    pub(in super::super) const ENDED_BEFORE: &str = "ended < ? ORDER BY ended LIMIT ?";
    pub(in super::super) const UNENDED_CANCELS: &str =
        r#"cancel_asked AND phase = 'accepted' AND ended IS NULL ORDER BY "row" LIMIT ?"#;
    pub(in super::super) const ID: &str = "kind = ? AND text = ? AND space = ?";
}

const PUT_ID: &str = r#"INSERT INTO ids (kind, text, space, "row") VALUES (?, ?, ?, ?)"#;
/// `1`, `2`, … for the first, the second of what is looked for.
const WHOSE_ALL: &str = r#"SELECT wanted.place, ids."row"
    FROM unnest(?::text[], ?::text[], ?::text[]) WITH ORDINALITY AS wanted (kind, text, space, place)
    JOIN ids ON ids.kind = wanted.kind AND ids.text = wanted.text AND ids.space = wanted.space"#;
const FREE_ID: &str = "DELETE FROM ids WHERE kind = ? AND text = ? AND space = ?";
const MOVE_IDS: &str = r#"UPDATE ids SET "row" = ? WHERE "row" = ?"#;
const KEEP_LOG: &str = r#"INSERT INTO kept_logs ("row", first_line, total, text) VALUES (?, ?, ?, ?)
    ON CONFLICT ("row") DO UPDATE SET first_line = EXCLUDED.first_line, total = EXCLUDED.total, text = EXCLUDED.text"#;
pub(super) const COUNT: &str =
    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
const REMOVE: [&str; 3] = [
    r#"DELETE FROM ids WHERE "row" = ?"#,
    r#"DELETE FROM kept_logs WHERE "row" = ?"#,
    r#"DELETE FROM batches WHERE "row" = ?"#,
];

/// The last number and the next ordinal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) row: i64,
    pub(super) ordinal: i64,
}

impl Counters {
    pub(super) fn write(&self) -> [Order; 2] {
        [("row", self.row), ("ordinal", self.ordinal)]
            .map(|(name, value)| Order::Prepared(COUNT, vec![name.into(), value.into()]))
    }
}

/// One job's part of a transaction.
pub(super) struct Tx<'c> {
    connection: &'c Connection,
    pub(super) counters: Counters,
    pub(super) changes: Changes,
    /// Whether anything but rows was written, such as a log.
    pub(super) wrote: bool,
    pending: Vec<Order>,
    /// Whether anything has gone out, with what was to go before it.
    pub(super) sent: bool,
    /// Rows that this job has written.
    own: HashMap<RowId, Arc<Row>>,
    /// Rows that it has read: what they were before it writes them.
    read: HashMap<RowId, Arc<Row>>,
    /// What lists are to be told.
    pub(super) moved: Vec<Moved>,
}

impl<'c> Tx<'c> {
    /// `before` goes out in front of the first question.
    pub(super) fn new(connection: &'c Connection, counters: Counters, before: Vec<Order>) -> Self {
        Self {
            connection,
            counters,
            changes: Changes::default(),
            wrote: false,
            pending: before,
            sent: false,
            own: HashMap::new(),
            read: HashMap::new(),
            moved: Vec::new(),
        }
    }

    /// Sends what has not been sent, and finds out whether all of it went well.
    pub(super) fn flush(&mut self) -> Result<(), LedgerError> {
        self.sent = true;
        let pending = std::mem::take(&mut self.pending);
        self.connection.all(&pending, None).map(drop).map_err(|fault| fault.unwritable())
    }

    fn ask(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<tokio_postgres::Row>, LedgerError> {
        self.sent = true;
        let pending = std::mem::take(&mut self.pending);
        self.connection.all(&pending, Some((sql, values))).map_err(|fault| fault.unwritable())
    }

    fn rows(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Arc<Row>>, LedgerError> {
        let rows: Vec<Arc<Row>> = self.ask(sql, values)?.iter().map(columns::read).collect::<Result<_, _>>()?;
        self.read.extend(rows.iter().map(|row| (row.id(), row.clone())));
        Ok(rows)
    }

    fn exists(&mut self, sql: &'static str, values: &[Value]) -> Result<bool, LedgerError> {
        Ok(!self.ask(sql, values)?.is_empty())
    }

    pub(super) fn write(&mut self, sql: &'static str, values: Vec<Value>) {
        self.wrote = true;
        self.pending.push(Order::Prepared(sql, values));
    }

    /// The row as it was before it is written now, if this job has seen it.
    fn was(&self, row: RowId) -> Option<Arc<Row>> {
        self.own.get(&row).or_else(|| self.read.get(&row)).cloned()
    }

    /// For lists, of a row that was there. If this job has not looked at it, nobody knows here what it was.
    fn move_row(&mut self, row: RowId, is: Option<Arc<Row>>) {
        match self.was(row) {
            Some(was) => self.moved.extend(Moved::of(Some(was), is)),
            None => self.moved.push(Moved::told(row, is)),
        }
    }

    fn note(&mut self, row: Arc<Row>) {
        self.changes.rows.push(row.clone());
        self.own.insert(row.id(), row);
    }
}

/// The text of a search, made once.
macro_rules! select {
    ($what:expr, $condition:expr) => {{
        static SQL: LazyLock<String> = LazyLock::new(|| format!("SELECT {} FROM batches WHERE {}", $what, $condition));
        SQL.as_str()
    }};
}

impl Table for Tx<'_> {
    fn get(&mut self, row: RowId) -> Result<Option<Arc<Row>>, LedgerError> {
        if let Some(own) = self.own.get(&row) {
            return Ok(Some(own.clone()));
        }
        Ok(self.rows(by_row(), &[row.0.into()])?.pop())
    }

    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError> {
        static SQL: LazyLock<String> = LazyLock::new(|| format!(r#"SELECT "row" FROM ids WHERE {}"#, search::ID));
        row_number(&self.ask(&SQL, &id_cells(id))?)
    }

    fn by_key(&mut self, principal: &str, dialect: &DialectName, key: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        let sql = select!(*columns::ALL, search::BY_KEY);
        let values = [principal, dialect.as_str(), key, principal, key].map(Value::from);
        Ok(self.rows(sql, &values)?.pop())
    }

    fn live_named(&mut self, name: &str, principal: &str) -> Result<Option<Arc<Row>>, LedgerError> {
        Ok(self.rows(select!(*columns::ALL, search::LIVE_NAMED), &[name, name, principal].map(Value::from))?.pop())
    }

    fn name_held(&mut self, name: &str, dialect: &DialectName, ended_from: Millis) -> Result<bool, LedgerError> {
        let [name, dialect, hidden] = [name, dialect.as_str(), &columns::hidden_mark(dialect)].map(Value::from);
        let values = [name.clone(), name, dialect, hidden, ended_from.0.into()];
        self.exists(select!("1", format!("{} LIMIT 1", search::NAME_HELD)), &values)
    }

    fn marks_open_intent(&mut self, backend: &BackendName, name: &str) -> Result<bool, LedgerError> {
        let sql = select!("1", format!("{} LIMIT 1", search::MARKED));
        self.exists(sql, &[backend.as_str(), name].map(Value::from))
    }

    fn claimable(&mut self, now: Millis, others: Option<&Holder>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
        let values = [now.0.into(), others.map(|holder| &*holder.0).into(), window(limit)];
        self.rows(select!(*columns::ALL, search::CLAIMABLE), &values)
    }

    fn nondescript(&mut self, backend: &BackendName) -> Result<Vec<Arc<Row>>, LedgerError> {
        self.rows(select!(*columns::ALL, search::NONDESCRIPT), &[backend.as_str().into()])
    }

    fn epoch(&mut self, backend: &BackendName) -> Result<RowId, LedgerError> {
        let sql = r#"SELECT value AS "row" FROM counters WHERE name = ?"#;
        Ok(row_number(&self.ask(sql, &[epoch_of(backend)])?)?.unwrap_or(RowId(0)))
    }

    fn begin_epoch(&mut self, backend: &BackendName) -> Result<(), LedgerError> {
        self.write(COUNT, vec![epoch_of(backend), self.counters.row.into()]);
        Ok(())
    }

    fn ended_before(&mut self, end: Millis, limit: usize) -> Result<Vec<RowId>, LedgerError> {
        let found = self.ask(select!(r#""row""#, search::ENDED_BEFORE), &[end.0.into(), window(limit)])?;
        found.iter().map(number).collect()
    }

    fn next_ordinal(&mut self) -> Result<u32, LedgerError> {
        u32::try_from(self.counters.ordinal)
            .map_err(|_| LedgerError::Corrupt(format!("{} as an ordinal", self.counters.ordinal)))
    }

    fn set_next_ordinal(&mut self, ordinal: u32) -> Result<(), LedgerError> {
        self.counters.ordinal = ordinal.into();
        Ok(())
    }

    fn insert(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        self.counters.row += 1;
        row.entry.row = RowId(self.counters.row);
        let mut values = columns::fixed(&row)?;
        values.extend(columns::moving(&row));
        self.write(&columns::INSERT, values);
        let row = Arc::new(row);
        self.moved.extend(Moved::of(None, Some(row.clone())));
        self.note(row.clone());
        Ok(row)
    }

    fn update(&mut self, mut row: Row) -> Result<Arc<Row>, LedgerError> {
        row.revision += 1;
        let mut values = columns::moving(&row);
        values.push(row.id().0.into());
        self.write(&columns::UPDATE, values);
        let row = Arc::new(row);
        self.move_row(row.id(), Some(row.clone()));
        self.note(row.clone());
        Ok(row)
    }

    fn put_id(&mut self, id: Id, row: RowId) -> Result<(), LedgerError> {
        let [kind, text, space] = id_cells(&id);
        self.write(PUT_ID, vec![kind, text, space, row.0.into()]);
        self.changes.ids.push((id, Some(row)));
        Ok(())
    }

    fn free_id(&mut self, id: &Id) -> Result<(), LedgerError> {
        self.write(FREE_ID, id_cells(id).to_vec());
        self.changes.ids.push((id.clone(), None));
        Ok(())
    }

    fn move_ids(&mut self, from: RowId, to: RowId) -> Result<(), LedgerError> {
        self.write(MOVE_IDS, vec![to.0.into(), from.0.into()]);
        Ok(())
    }

    fn remove(&mut self, row: RowId) -> Result<(), LedgerError> {
        for sql in REMOVE {
            self.write(sql, vec![row.0.into()]);
        }
        self.move_row(row, None);
        self.own.remove(&row);
        self.changes.removed.push(row);
        Ok(())
    }

    fn keep_log(&mut self, row: RowId, log: &KeptLog) -> Result<(), LedgerError> {
        let text: String = log.lines.iter().flat_map(|line| [line, "\n"]).collect();
        let (from, total) = (log.from.cast_signed(), log.total.cast_signed());
        self.write(KEEP_LOG, vec![row.0.into(), from.into(), total.into(), text.as_str().into()]);
        Ok(())
    }
}

pub(super) fn by_row() -> &'static str {
    select!(*columns::ALL, r#""row" = ?"#)
}

pub(super) fn get(connection: &Connection, row: RowId) -> Result<Option<Arc<Row>>, LedgerError> {
    Ok(read(connection, by_row(), &[row.0.into()])?.pop())
}

/// The rows with these numbers, in one statement.
pub(super) fn get_all(connection: &Connection, rows: &[RowId]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
    let wanted = Value::Integers(rows.iter().map(|row| row.0).collect());
    let read = read(connection, select!(*columns::ALL, r#""row" = ANY(?)"#), &[wanted])?;
    let read: HashMap<RowId, Arc<Row>> = read.into_iter().map(|row| (row.id(), row)).collect();
    Ok(rows.iter().map(|row| read.get(row).cloned()).collect())
}

/// The rows that have these ids, in two statements however many they are.
pub(super) fn whose_rows(connection: &Connection, ids: &[Id]) -> Result<Vec<Option<Arc<Row>>>, LedgerError> {
    if let [id] = ids {
        return Ok(vec![whose_row(connection, id)?]);
    }
    let mut cells: [Vec<String>; 3] = Default::default();
    for id in ids {
        for (cells, cell) in cells.iter_mut().zip(id_texts(id)) {
            cells.push(escaped(&cell).into_owned());
        }
    }
    let found = connection.query(WHOSE_ALL, &cells.map(Value::Texts)).map_err(|fault| fault.unreadable())?;
    let place = |sql: &tokio_postgres::Row| Ok((sql.try_get::<_, i64>(0)?, RowId(sql.try_get(1)?)));
    let places: Result<HashMap<i64, RowId>, tokio_postgres::Error> = found.iter().map(place).collect();
    let places = places.map_err(|error| LedgerError::Corrupt(error.to_string()))?;
    let numbers: Vec<RowId> = places.values().copied().collect();
    let rows: HashMap<RowId, Arc<Row>> = numbers
        .iter()
        .copied()
        .zip(get_all(connection, &numbers)?)
        .filter_map(|(row, read)| Some((row, read?)))
        .collect();
    Ok((1..=ids.len() as i64).map(|place| rows.get(places.get(&place)?).cloned()).collect())
}

/// The row that has the id.
pub(super) fn whose_row(connection: &Connection, id: &Id) -> Result<Option<Arc<Row>>, LedgerError> {
    let sql = select!(*columns::ALL, format!(r#""row" = (SELECT "row" FROM ids WHERE {})"#, search::ID));
    Ok(read(connection, sql, &id_cells(id))?.pop())
}

/// Rows with a native id on any backend, newest first.
pub(super) fn with_native(connection: &Connection, text: &str) -> Result<Vec<Arc<Row>>, LedgerError> {
    read(connection, select!(*columns::ALL, search::BY_NATIVE), &[id_text(text).as_str().into()])
}

pub(super) fn unended_cancels(connection: &Connection, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
    read(connection, select!(*columns::ALL, search::UNENDED_CANCELS), &[window(limit)])
}

pub(super) fn after(connection: &Connection, row: Option<RowId>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError> {
    let from = row.map_or(i64::MIN, |row| row.0);
    read(connection, select!(*columns::ALL, r#""row" > ? ORDER BY "row" LIMIT ?"#), &[from.into(), window(limit)])
}

/// Whole rows.
pub(super) fn read(connection: &Connection, sql: &str, values: &[Value]) -> Result<Vec<Arc<Row>>, LedgerError> {
    connection.query(sql, values).map_err(|fault| fault.unreadable())?.iter().map(columns::read).collect()
}

pub(super) fn number(sql: &tokio_postgres::Row) -> Result<RowId, LedgerError> {
    sql.try_get(0).map(RowId).map_err(|error| LedgerError::Corrupt(error.to_string()))
}

fn row_number(found: &[tokio_postgres::Row]) -> Result<Option<RowId>, LedgerError> {
    found.first().map(number).transpose()
}

pub(super) fn window(size: usize) -> Value {
    i64::try_from(size).unwrap_or(i64::MAX).into()
}

/// Submits without an outcome, in their order.
pub(super) fn open_intents(connection: &Connection) -> Result<Vec<Arc<Row>>, LedgerError> {
    read(connection, select!(*columns::ALL, search::OPEN), &[])
}

fn epoch_of(backend: &BackendName) -> Value {
    format!("epoch of {backend}").as_str().into()
}

/// An id is looked for and never read back, so one that no index has room for is told by its uuid.
pub(super) fn id_text(text: &str) -> String {
    const LONGEST: usize = 512;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    format!("~{}", batchlingua_core::Uuid::new_v5(&batchlingua_core::Uuid::NAMESPACE_OID, text.as_bytes()))
}

fn id_texts(id: &Id) -> [String; 3] {
    let (kind, text, space) = match id {
        Id::Uuid(uuid) => ("uuid", uuid.to_string(), ""),
        Id::Ordinal(ordinal) => ("ordinal", ordinal.to_string(), ""),
        Id::Native(backend, native) => ("native", id_text(native.as_str()), backend.as_str()),
    };
    [kind.to_owned(), text, space.to_owned()]
}

pub(super) fn id_cells(id: &Id) -> [Value; 3] {
    id_texts(id).map(|text| text.as_str().into())
}

/// How many rows there are, and when the one ended that ended first.
pub(super) fn extent(connection: &Connection) -> Result<(u64, Option<Millis>), LedgerError> {
    let found =
        connection.query("SELECT count(*), min(ended) FROM batches", &[]).map_err(|fault| fault.unreadable())?;
    let read = |sql: &tokio_postgres::Row| Ok((sql.try_get::<_, i64>(0)?, sql.try_get::<_, Option<i64>>(1)?));
    let read = found.first().map(read).transpose();
    let read = read.map_err(|error: tokio_postgres::Error| LedgerError::Corrupt(error.to_string()))?;
    let (count, oldest) = read.unwrap_or_default();
    Ok((count.cast_unsigned(), oldest.map(Millis)))
}

pub(super) fn kept_log(connection: &Connection, row: RowId) -> Result<Option<KeptLog>, LedgerError> {
    let sql = r#"SELECT first_line, total, text FROM kept_logs WHERE "row" = ?"#;
    let found = connection.query(sql, &[row.0.into()]).map_err(|fault| fault.unreadable())?;
    let read = |sql: &tokio_postgres::Row| {
        let (from, total): (i64, i64) = (sql.try_get(0)?, sql.try_get(1)?);
        let text = super::value::unescaped(sql.try_get(2)?);
        let lines = text.split_terminator('\n').map(str::to_owned).collect();
        Ok(KeptLog { from: from.cast_unsigned(), total: total.cast_unsigned(), lines })
    };
    found.first().map(read).transpose().map_err(|error: tokio_postgres::Error| LedgerError::Corrupt(error.to_string()))
}
