//! A row as columns, and back. As in SQLite, the lists of names here are the only ones, and what a row keeps for life comes first.

use std::sync::{Arc, LazyLock};

use batchlingua_core::{
    App, Batch, BatchId, BatchKind, BatchState, DialectName, Entry, Holder, KeyClaim, Marker, Millis, Phase, Principal,
    Replay, RowId, Times, Uuid,
};
use tokio_postgres::{Row as Sql, types::FromSqlOwned};

use super::value::{Value, escaped, unescaped};
use crate::{
    LedgerError,
    row::Row,
    stored::{spec_of, spec_text},
};

const FIXED: &[&str] = &[
    "\"row\"",
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
    "runs_as",
    "extensions",
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

/// All columns that a row is read from. Title, program, who it runs as and the extensions by name are made of the others, for lists.
pub(super) static ALL: LazyLock<String> =
    LazyLock::new(|| format!("{}, {}", FIXED[..FIXED.len() - 4].join(", "), MOVING.join(", ")));

pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| {
    let mut places = vec!["?"; FIXED.len() + MOVING.len()];
    places[FIXED.len() - 1] = "?::text::jsonb";
    format!("INSERT INTO batches ({}, {}) VALUES ({})", FIXED.join(", "), MOVING.join(", "), places.join(", "))
});

/// The row's number is the last value.
pub(super) static UPDATE: LazyLock<String> =
    LazyLock::new(|| format!("UPDATE batches SET {} = ? WHERE \"row\" = ?", MOVING.join(" = ?, ")));

/// The values of [`FIXED`].
pub(super) fn fixed(row: &Row) -> Result<Vec<Value>, LedgerError> {
    let (entry, batch) = (&row.entry, row.batch());
    let principal = row.principal.as_ref().or(batch.owner.as_ref());
    Ok(vec![
        Value::Integer(row.id().0),
        entry.backend.as_str().into(),
        entry.dialect.as_ref().map(DialectName::as_str).into(),
        row.listener.as_ref().map(|listener| listener.as_str()).into(),
        row.principal.as_ref().map(|principal| &*principal.name).into(),
        principal.is_some_and(|principal| principal.verified).into(),
        batch.owner.as_ref().map(|owner| &*owner.name).into(),
        batch.project.as_ref().map(|project| project.as_str()).into(),
        batch.spec.queue.as_deref().into(),
        batch.spec.name.as_deref().into(),
        batch.spec.kind.as_str().into(),
        entry.marker.name.as_deref().into(),
        Value::Text(serde_json::to_string(&*entry.unmapped).map_err(from_json)?),
        Value::Text(spec_text(&batch.spec).map_err(from_json)?),
        batch.spec.title().into(),
        batch.spec.program().into(),
        batch.user().into(),
        extensions(row)?,
    ])
}

/// `[[dialect, name, value], …]`.
fn extensions(row: &Row) -> Result<Value, LedgerError> {
    let of = &row.batch().spec.extensions;
    if of.is_empty() {
        return Ok(Value::Null);
    }
    let triples: Vec<_> =
        of.iter().map(|x| [escaped(x.dialect.as_str()), escaped(&x.name), escaped(&x.value)]).collect();
    serde_json::to_string(&triples).map(Value::Text).map_err(from_json)
}

/// The values of [`MOVING`].
pub(super) fn moving(row: &Row) -> Vec<Value> {
    let (entry, batch) = (&row.entry, row.batch());
    let time = |time: Option<Millis>| time.map_or(Value::Null, |time| Value::Integer(time.0));
    vec![
        Value::Text(batch.id.uuid.to_string()),
        batch.times.created.0.into(),
        row.revision.cast_signed().into(),
        i64::from(batch.id.ordinal).into(),
        batch.id.native.as_ref().map(|native| native.as_str()).into(),
        row.key.as_ref().map(|key| key.value.as_str()).into(),
        row.key.as_ref().map_or(Value::Null, |key| Value::Blob(key.fingerprint.to_vec())),
        entry.phase.as_str().into(),
        row.holder.as_ref().map(|holder| &*holder.0).into(),
        row.fence.cast_signed().into(),
        time(row.lease_until),
        batch.state.as_str().into(),
        i64::from(batch.attempt).into(),
        batch.cancel_asked.into(),
        time(batch.times.started),
        time(batch.times.ended),
        batch.times.modified.0.into(),
        batch.app.id.as_deref().into(),
        batch.app.url.as_deref().into(),
        batch.app.driver_log_url.as_deref().into(),
        batch.diagnostic.as_deref().into(),
        entry.refusal.as_deref().into(),
        time(entry.missing),
        Value::from(&*row.hidden.iter().map(hidden_mark).collect::<String>()),
    ]
}

/// A row of [`ALL`].
pub(super) fn read(sql: &Sql) -> Result<Arc<Row>, LedgerError> {
    let mut cells = Cells { sql, at: 0 };
    let row = RowId(cells.next()?);
    let backend = cells.must()?.into();
    let dialect = cells.text()?.map(Into::into);
    let listener = cells.text()?.map(Into::into);
    let principal = cells.text()?;
    let verified = cells.next()?;
    let owner = cells.text()?;
    let project = cells.text()?.map(Into::into);
    let queue = cells.text()?;
    let name = cells.text()?;
    let kind = cells.word("kind", BatchKind::of_word)?;
    let marker_name = cells.text()?;
    let unmapped: Vec<String> = serde_json::from_str(&cells.next::<String>()?).map_err(from_json)?;
    let mut spec = spec_of(&cells.next::<String>()?).map_err(from_json)?;
    (spec.queue, spec.name, spec.kind) = (queue, name, kind);
    let uuid = cells.word("uuid", |text| Uuid::try_parse(text).ok())?;
    let created = Millis(cells.next()?);
    let revision = cells.next::<i64>()?.cast_unsigned();
    let ordinal = cells.small("ordinal")?;
    let native = cells.text()?.map(Into::into);
    let key = cells.key()?;
    let phase = cells.word("phase", |word| Phase::ALL.into_iter().find(|phase| phase.as_str() == word))?;
    let holder = cells.text()?.map(|holder| Holder(holder.into()));
    let fence = cells.next::<i64>()?.cast_unsigned();
    let lease_until = cells.time()?;
    let state = cells.word("state", BatchState::from_word)?;
    let mut batch = Batch::new(BatchId { uuid, ordinal, native }, state, Arc::new(spec));
    let principal_named = |name: String| Principal { name: name.into(), verified };
    batch.owner = owner.map(principal_named);
    batch.project = project;
    batch.attempt = cells.small("attempt")?;
    batch.cancel_asked = cells.next()?;
    batch.times = Times { created, started: cells.time()?, ended: cells.time()?, modified: Millis(cells.next()?) };
    batch.app = App { id: cells.text()?, url: cells.text()?, driver_log_url: cells.text()? };
    batch.diagnostic = cells.text()?;
    let refusal = cells.text()?;
    let missing = cells.time()?;
    let hidden = hidden_of(&cells.must()?);
    let marker = Marker { uuid, name: marker_name };
    let (batch, unmapped) = (Arc::new(batch), unmapped.into());
    Ok(Arc::new(Row {
        entry: Entry { row, backend, dialect, phase, marker, batch, unmapped, refusal, missing },
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
    sql: &'a Sql,
    at: usize,
}

impl Cells<'_> {
    fn next<T: FromSqlOwned>(&mut self) -> Result<T, LedgerError> {
        self.at += 1;
        self.sql.try_get(self.at - 1).map_err(|error| LedgerError::Corrupt(error.to_string()))
    }

    fn text(&mut self) -> Result<Option<String>, LedgerError> {
        Ok(self.next::<Option<String>>()?.map(unescaped))
    }

    fn must(&mut self) -> Result<String, LedgerError> {
        self.next().map(unescaped)
    }

    fn time(&mut self) -> Result<Option<Millis>, LedgerError> {
        Ok(self.next::<Option<i64>>()?.map(Millis))
    }

    fn small(&mut self, what: &str) -> Result<u32, LedgerError> {
        let integer: i64 = self.next()?;
        u32::try_from(integer).map_err(|_| LedgerError::Corrupt(format!("{integer} as an {what}")))
    }

    fn word<T>(&mut self, what: &str, of: impl Fn(&str) -> Option<T>) -> Result<T, LedgerError> {
        let word: String = self.next()?;
        of(&word).ok_or_else(|| LedgerError::Corrupt(format!("'{word}' as a {what}")))
    }

    fn key(&mut self) -> Result<Option<KeyClaim>, LedgerError> {
        let (value, fingerprint) = (self.text()?, self.next::<Option<Vec<u8>>>()?);
        let fingerprint = fingerprint
            .map(|bytes| {
                bytes.try_into().map_err(|_| LedgerError::Corrupt("a fingerprint of another length".to_owned()))
            })
            .transpose()?;
        let key = |(value, fingerprint)| KeyClaim { value, replay: Replay::FirstAnswer, fingerprint };
        Ok(value.zip(fingerprint).map(key))
    }
}

pub(super) fn from_json(error: serde_json::Error) -> LedgerError {
    LedgerError::Corrupt(error.to_string())
}

/// A dialect in the list of those that do not see a row, as it stands there and as it is looked for: `|livy||kylin|`.
pub(super) fn hidden_mark(dialect: &DialectName) -> String {
    format!("|{dialect}|")
}

fn hidden_of(text: &str) -> Vec<DialectName> {
    text.split('|').filter(|name| !name.is_empty()).map(Into::into).collect()
}
