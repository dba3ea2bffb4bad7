//! A row as columns, and back.
//!
//! The lists of names here are the only ones: each statement is made of them, and values are given and read in their order. What a row
//! keeps for life comes first, what may change after it. An update writes only what has changed: a column that is named costs SQLite every
//! index that it is part of, whether its value is another one or not.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use batchlingua_core::{
    App, Batch, BatchId, BatchKind, BatchState, DialectName, Entry, Holder, KeyClaim, Marker, Millis, Phase, Principal,
    Replay, RowId, Times, Uuid,
};
use rusqlite::{
    Row as Sql,
    types::{FromSql, ToSqlOutput, Value, ValueRef},
};

use super::{from_json, unreadable};
use crate::{
    LedgerError,
    row::Row,
    stored::{spec_of, spec_text},
};

const FIXED: &[&str] = &[
    "backend",
    "dialect",
    "listener",
    "principal",
    "verified",
    "owner",
    "project",
    "queue",
    "name",
    "kind",
    "marker_name",
    "unmapped",
    "spec",
    "title",
    "program",
    "user",
];

const MOVING: &[&str] = &[
    "uuid",
    "created",
    "revision",
    "ordinal",
    "native",
    "key",
    "fingerprint",
    "phase",
    "holder",
    "fence",
    "lease_until",
    "state",
    "attempt",
    "cancel_asked",
    "started",
    "ended",
    "modified",
    "app_id",
    "app_url",
    "driver_log_url",
    "diagnostic",
    "refusal",
    "missing",
    "hidden",
];

/// All columns, the number first.
pub(super) static ALL: LazyLock<String> = LazyLock::new(|| format!("row, {}, {}", FIXED.join(", "), MOVING.join(", ")));

pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let places = vec!["?"; FIXED.len() + MOVING.len()].join(", ");
    format!("INSERT INTO batches ({}, {}) VALUES ({places})", FIXED.join(", "), MOVING.join(", "))
});

/// A value to be written, borrowed from its row where it can be.
pub(super) type Given<'a> = ToSqlOutput<'a>;

/// Writes those of [`MOVING`] that have these places; the row's number is the last value.
pub(super) fn update(places: &[usize]) -> String {
    let mut sql = String::with_capacity(160);
    for (n, place) in places.iter().enumerate() {
        let lead = if n == 0 { "UPDATE batches SET " } else { ", " };
        write!(sql, "{lead}{} = ?", MOVING[*place]).expect("memory takes text");
    }
    sql + " WHERE row = ?"
}

pub(super) static BY_ROW: LazyLock<String> = LazyLock::new(|| format!("SELECT {} FROM batches WHERE row = ?", *ALL));

/// The values of [`FIXED`].
pub(super) fn fixed(row: &Row) -> Result<[Given<'_>; FIXED.len()], LedgerError> {
    let (entry, batch) = (&row.entry, row.batch());
    let principal = row.principal.as_ref().or(batch.owner.as_ref());
    Ok([
        text(entry.backend.as_str()),
        optional(entry.dialect.as_ref().map(DialectName::as_str)),
        optional(row.listener.as_ref().map(|listener| listener.as_str())),
        optional(row.principal.as_ref().map(|principal| &*principal.name)),
        integer(principal.is_some_and(|principal| principal.verified)),
        optional(batch.owner.as_ref().map(|owner| &*owner.name)),
        optional(batch.project.as_ref().map(|project| project.as_str())),
        optional(batch.spec.queue.as_deref()),
        optional(batch.spec.name.as_deref()),
        text(batch.spec.kind.as_str()),
        optional(entry.marker.name.as_deref()),
        made(serde_json::to_string(&*entry.unmapped).map_err(from_json)?),
        made(spec_text(&batch.spec).map_err(from_json)?),
        text(batch.spec.title()),
        text(batch.spec.program()),
        optional(batch.user()),
    ])
}

/// The values of [`MOVING`].
pub(super) fn moving(row: &Row) -> [Given<'_>; MOVING.len()] {
    let (entry, batch) = (&row.entry, row.batch());
    [
        made(batch.id.uuid.to_string()),
        time(batch.times.created),
        integer(row.revision.cast_signed()),
        integer(batch.id.ordinal),
        optional(batch.id.native.as_ref().map(|native| native.as_str())),
        optional(row.key.as_ref().map(|key| key.value.as_str())),
        row.key.as_ref().map_or(NULL, |key| Given::Borrowed(ValueRef::Blob(&key.fingerprint))),
        text(entry.phase.as_str()),
        optional(row.holder.as_ref().map(|holder| &*holder.0)),
        integer(row.fence.cast_signed()),
        row.lease_until.map_or(NULL, time),
        text(batch.state.as_str()),
        integer(batch.attempt),
        integer(batch.cancel_asked),
        batch.times.started.map_or(NULL, time),
        batch.times.ended.map_or(NULL, time),
        time(batch.times.modified),
        optional(batch.app.id.as_deref()),
        optional(batch.app.url.as_deref()),
        optional(batch.app.driver_log_url.as_deref()),
        optional(batch.diagnostic.as_deref()),
        optional(entry.refusal.as_deref()),
        entry.missing.map_or(NULL, time),
        made(hidden_text(&row.hidden)),
    ]
}

/// A row of [`ALL`].
pub(super) fn read(sql: &Sql<'_>) -> Result<Arc<Row>, LedgerError> {
    let mut cells = Cells { sql, at: 0 };
    let row = RowId(cells.next()?);
    let backend = cells.next::<String>()?.into();
    let dialect = cells.next::<Option<String>>()?.map(Into::into);
    let listener = cells.next::<Option<String>>()?.map(Into::into);
    let principal = cells.next::<Option<String>>()?;
    let verified = cells.next()?;
    let owner = cells.next::<Option<String>>()?;
    let project = cells.next::<Option<String>>()?.map(Into::into);
    let queue = cells.next()?;
    let name = cells.next()?;
    let kind = cells.word("kind", BatchKind::of_word)?;
    let marker_name = cells.next()?;
    let unmapped: Vec<String> = serde_json::from_str(&cells.next::<String>()?).map_err(from_json)?;
    let mut spec = spec_of(&cells.next::<String>()?).map_err(from_json)?;
    // Title, program and user are made of the others, for lists.
    cells.at += 3;
    (spec.queue, spec.name, spec.kind) = (queue, name, kind);
    let uuid = cells.uuid()?;
    let marker = Marker { uuid, name: marker_name };
    let created = Millis(cells.next()?);
    let revision = cells.next::<i64>()?.cast_unsigned();
    let ordinal = cells.next()?;
    let native = cells.next::<Option<String>>()?.map(Into::into);
    let key = cells.key()?;
    let phase = cells.word("phase", |word| Phase::ALL.into_iter().find(|phase| phase.as_str() == word))?;
    let holder = cells.next::<Option<String>>()?.map(|holder| Holder(holder.into()));
    let fence = cells.next::<i64>()?.cast_unsigned();
    let lease_until = cells.time()?;
    let mut batch =
        Batch::new(BatchId { uuid, ordinal, native }, cells.word("state", BatchState::from_word)?, Arc::new(spec));
    let principal_named = |name: String| Principal { name: name.into(), verified };
    batch.owner = owner.map(principal_named);
    batch.project = project;
    batch.attempt = cells.next()?;
    batch.cancel_asked = cells.next()?;
    batch.times = Times { created, started: cells.time()?, ended: cells.time()?, modified: Millis(cells.next()?) };
    batch.app = App { id: cells.next()?, url: cells.next()?, driver_log_url: cells.next()? };
    batch.diagnostic = cells.next()?;
    let refusal = cells.next()?;
    let missing = cells.time()?;
    let hidden = hidden_of(&cells.next::<String>()?);
    Ok(Arc::new(Row {
        entry: Entry {
            row,
            backend,
            dialect,
            phase,
            marker,
            batch: Arc::new(batch),
            unmapped: unmapped.into(),
            refusal,
            missing,
        },
        revision,
        listener,
        principal: principal.map(principal_named),
        key,
        holder,
        fence,
        lease_until,
        hidden,
    }))
}

/// The cells of one row, from left to right.
struct Cells<'a> {
    sql: &'a Sql<'a>,
    at: usize,
}

impl Cells<'_> {
    fn next<T: FromSql>(&mut self) -> Result<T, LedgerError> {
        let cell = self.sql.get(self.at).map_err(unreadable)?;
        self.at += 1;
        Ok(cell)
    }

    fn time(&mut self) -> Result<Option<Millis>, LedgerError> {
        Ok(self.next::<Option<i64>>()?.map(Millis))
    }

    fn word<T>(&mut self, what: &str, of: impl Fn(&str) -> Option<T>) -> Result<T, LedgerError> {
        let word: String = self.next()?;
        of(&word).ok_or_else(|| LedgerError::Corrupt(format!("'{word}' as a {what}")))
    }

    fn uuid(&mut self) -> Result<Uuid, LedgerError> {
        self.word("uuid", |text| Uuid::try_parse(text).ok())
    }

    fn key(&mut self) -> Result<Option<KeyClaim>, LedgerError> {
        let key: Option<String> = self.next()?;
        let fingerprint: Option<[u8; 32]> = self.next()?;
        Ok(key.zip(fingerprint).map(|(value, fingerprint)| KeyClaim {
            value,
            replay: Replay::FirstAnswer,
            fingerprint,
        }))
    }
}

const NULL: Given<'static> = Given::Borrowed(ValueRef::Null);

fn text(text: &str) -> Given<'_> {
    Given::Borrowed(ValueRef::Text(text.as_bytes()))
}

fn made(text: String) -> Given<'static> {
    Given::Owned(Value::Text(text))
}

fn optional(given: Option<&str>) -> Given<'_> {
    given.map_or(NULL, text)
}

fn integer(number: impl Into<i64>) -> Given<'static> {
    Given::Borrowed(ValueRef::Integer(number.into()))
}

fn time(time: Millis) -> Given<'static> {
    integer(time.0)
}

/// A dialect in the list of those that do not see a row, as it stands there and as it is looked for: `|livy||kylin|`.
pub(super) fn hidden_mark(dialect: &DialectName) -> String {
    format!("|{dialect}|")
}

fn hidden_text(hidden: &[DialectName]) -> String {
    hidden.iter().map(hidden_mark).collect()
}

fn hidden_of(text: &str) -> Vec<DialectName> {
    text.split('|').filter(|name| !name.is_empty()).map(Into::into).collect()
}
