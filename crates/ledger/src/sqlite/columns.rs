//! A row as columns, and back.
//!
//! The lists of names here are the only ones: each statement is made of them, and values are given and read in their order. What a row
//! keeps for life comes first, what may change after it, so that an update writes only the latter.

use std::sync::{Arc, LazyLock};

use batchlingua_core::{
    App, Batch, BatchId, BatchState, DialectName, Entry, Holder, KeyClaim, Marker, Millis, Phase, Principal, Replay,
    RowId, Times, Uuid,
};
use rusqlite::{
    Row as Sql,
    types::{FromSql, Value},
};

use super::{
    from_json,
    stored::{kind_of, kind_word, spec_of, spec_text},
    unreadable,
};
use crate::{LedgerError, row::Row};

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
    "hidden",
];

/// All columns, the number first.
pub(super) static ALL: LazyLock<String> = LazyLock::new(|| format!("row, {}, {}", FIXED.join(", "), MOVING.join(", ")));

pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let places = vec!["?"; FIXED.len() + MOVING.len()].join(", ");
    format!("INSERT INTO batches ({}, {}) VALUES ({places})", FIXED.join(", "), MOVING.join(", "))
});

/// The row's number is the last value.
pub(super) static UPDATE: LazyLock<String> =
    LazyLock::new(|| format!("UPDATE batches SET {} = ? WHERE row = ?", MOVING.join(" = ?, ")));

pub(super) static BY_ROW: LazyLock<String> = LazyLock::new(|| format!("SELECT {} FROM batches WHERE row = ?", *ALL));

/// The values of [`FIXED`].
pub(super) fn fixed(row: &Row) -> Result<Vec<Value>, LedgerError> {
    let (entry, batch) = (&row.entry, row.batch());
    let principal = row.principal.as_ref().or(batch.owner.as_ref());
    Ok(vec![
        text(entry.backend.as_str()),
        optional(entry.dialect.as_ref().map(DialectName::as_str)),
        optional(row.listener.as_ref().map(|listener| listener.as_str())),
        optional(row.principal.as_ref().map(|principal| &*principal.name)),
        Value::Integer(principal.is_some_and(|principal| principal.verified).into()),
        optional(batch.owner.as_ref().map(|owner| &*owner.name)),
        optional(batch.project.as_ref().map(|project| project.as_str())),
        optional(batch.spec.queue.as_deref()),
        optional(batch.spec.name.as_deref()),
        text(kind_word(batch.spec.kind)),
        optional(entry.marker.name.as_deref()),
        text(serde_json::to_string(&*entry.unmapped).map_err(from_json)?),
        text(spec_text(&batch.spec).map_err(from_json)?),
        text(batch.spec.title()),
        text(batch.spec.program()),
        optional(batch.user()),
    ])
}

/// The values of [`MOVING`].
pub(super) fn moving(row: &Row) -> Vec<Value> {
    let (entry, batch) = (&row.entry, row.batch());
    vec![
        text(batch.id.uuid.to_string()),
        time(batch.times.created),
        Value::Integer(row.revision.cast_signed()),
        Value::Integer(batch.id.ordinal.into()),
        optional(batch.id.native.as_ref().map(|native| native.as_str())),
        optional(row.key.as_ref().map(|key| key.value.as_str())),
        row.key.as_ref().map_or(Value::Null, |key| Value::Blob(key.fingerprint.to_vec())),
        text(entry.phase.as_str()),
        optional(row.holder.as_ref().map(|holder| &*holder.0)),
        Value::Integer(row.fence.cast_signed()),
        row.lease_until.map_or(Value::Null, time),
        text(batch.state.as_str()),
        Value::Integer(batch.attempt.into()),
        Value::Integer(batch.cancel_asked.into()),
        batch.times.started.map_or(Value::Null, time),
        batch.times.ended.map_or(Value::Null, time),
        time(batch.times.modified),
        optional(batch.app.id.as_deref()),
        optional(batch.app.url.as_deref()),
        optional(batch.app.driver_log_url.as_deref()),
        optional(batch.diagnostic.as_deref()),
        optional(entry.refusal.as_deref()),
        text(hidden_text(&row.hidden)),
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
    let kind = cells.word("kind", kind_of)?;
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

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn optional(given: Option<&str>) -> Value {
    given.map_or(Value::Null, text)
}

fn time(time: Millis) -> Value {
    Value::Integer(time.0)
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
