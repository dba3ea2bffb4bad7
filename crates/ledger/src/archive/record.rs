//! A row as a line of an export: all that a ledger of any engine needs to answer for it as before.
//!
//! Secrets are not in it, since they are in no row. Members that have nothing to say are left out.

use std::sync::Arc;

use batchlingua_core::{
    App, Batch, BatchId, BatchKind, BatchState, DialectName, Entry, Holder, KeptLog, KeyClaim, Marker, Millis, Phase,
    Principal, Replay, RowId, Times, Uuid,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    LedgerError,
    row::{Id, Row},
    stored::{spec_of, spec_text},
};

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    row: i64,
    uuid: String,
    ordinal: u32,
    native: Option<String>,
    backend: String,
    dialect: Option<String>,
    listener: Option<String>,
    principal: Option<String>,
    verified: bool,
    owner: Option<String>,
    project: Option<String>,
    queue: Option<String>,
    name: Option<String>,
    kind: String,
    marker_name: Option<String>,
    unmapped: Vec<String>,
    revision: u64,
    key: Option<String>,
    fingerprint: Option<[u8; 32]>,
    phase: String,
    holder: Option<String>,
    fence: u64,
    lease_until: Option<i64>,
    state: String,
    attempt: u32,
    cancel_asked: bool,
    created: i64,
    started: Option<i64>,
    ended: Option<i64>,
    modified: i64,
    app_id: Option<String>,
    app_url: Option<String>,
    driver_log_url: Option<String>,
    diagnostic: Option<String>,
    refusal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missing: Option<i64>,
    hidden: Vec<String>,
    spec: Box<RawValue>,
    ids: Vec<(String, String, String)>,
    log: Option<Log>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    from: u64,
    total: u64,
    lines: Vec<String>,
}

/// A row with all that hangs on it.
pub(super) struct Whole {
    pub(super) row: Row,
    pub(super) ids: Vec<Id>,
    pub(super) log: Option<KeptLog>,
}

fn bad(what: impl std::fmt::Display) -> LedgerError {
    LedgerError::Corrupt(format!("{what} in a line of an export"))
}

impl Record {
    pub(super) fn of(whole: &Whole) -> Result<Self, LedgerError> {
        let Whole { row, ids, log } = whole;
        let (entry, batch) = (&row.entry, row.batch());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let principal = row.principal.as_ref().or(batch.owner.as_ref());
        Ok(Self {
            row: row.id().0,
            uuid: batch.id.uuid.to_string(),
            ordinal: batch.id.ordinal,
            native: batch.id.native.as_ref().map(ToString::to_string),
            backend: entry.backend.to_string(),
            dialect: entry.dialect.as_ref().map(ToString::to_string),
            listener: row.listener.as_ref().map(ToString::to_string),
            principal: row.principal.as_ref().map(|principal| principal.name.to_string()),
            verified: principal.is_some_and(|principal| principal.verified),
            owner: batch.owner.as_ref().map(|owner| owner.name.to_string()),
            project: batch.project.as_ref().map(|project| project.as_str().to_owned()),
            queue: batch.spec.queue.clone(),
            name: batch.spec.name.clone(),
            kind: batch.spec.kind.as_str().to_owned(),
            marker_name: entry.marker.name.clone(),
            unmapped: entry.unmapped.to_vec(),
            revision: row.revision,
            key: row.key.as_ref().map(|key| key.value.clone()),
            fingerprint: row.key.as_ref().map(|key| key.fingerprint),
            phase: entry.phase.as_str().to_owned(),
            holder: owned(row.holder.as_ref().map(|holder| &*holder.0)),
            fence: row.fence,
            lease_until: row.lease_until.map(|time| time.0),
            state: batch.state.as_str().to_owned(),
            attempt: batch.attempt,
            cancel_asked: batch.cancel_asked,
            created: batch.times.created.0,
            started: batch.times.started.map(|time| time.0),
            ended: batch.times.ended.map(|time| time.0),
            modified: batch.times.modified.0,
            app_id: batch.app.id.clone(),
            app_url: batch.app.url.clone(),
            driver_log_url: batch.app.driver_log_url.clone(),
            diagnostic: batch.diagnostic.clone(),
            refusal: entry.refusal.clone(),
            missing: entry.missing.map(|time| time.0),
            hidden: row.hidden.iter().map(ToString::to_string).collect(),
            spec: RawValue::from_string(spec_text(&batch.spec).map_err(bad)?).map_err(bad)?,
            ids: ids.iter().map(cells).collect(),
            log: log.as_ref().map(|log| Log { from: log.from, total: log.total, lines: log.lines.clone() }),
        })
    }

    pub(super) fn whole(self) -> Result<Whole, LedgerError> {
        let mut spec = spec_of(self.spec.get()).map_err(bad)?;
        spec.kind = BatchKind::of_word(&self.kind).ok_or_else(|| bad(format!("the kind {}", self.kind)))?;
        (spec.queue, spec.name) = (self.queue, self.name);
        let state = BatchState::from_word(&self.state).ok_or_else(|| bad(format!("the state {}", self.state)))?;
        let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == self.phase);
        let phase = phase.ok_or_else(|| bad(format!("the phase {}", self.phase)))?;
        let uuid: Uuid = self.uuid.parse().map_err(bad)?;
        let id = BatchId { uuid, ordinal: self.ordinal, native: self.native.map(Into::into) };
        let verified = self.verified;
        let person = |name: String| Principal { name: name.into(), verified };
        // Masked again, since anybody may have written the line.
        let mut batch = Batch::new(id, state, crate::masked::MaskedSpec::of(&spec).0);
        (batch.owner, batch.project) = (self.owner.map(person), self.project.map(Into::into));
        (batch.attempt, batch.cancel_asked) = (self.attempt, self.cancel_asked);
        let time = |time: Option<i64>| time.map(Millis);
        batch.times = Times {
            created: Millis(self.created),
            started: time(self.started),
            ended: time(self.ended),
            modified: Millis(self.modified),
        };
        batch.app = App { id: self.app_id, url: self.app_url, driver_log_url: self.driver_log_url };
        batch.diagnostic = self.diagnostic;
        let key = self.key.zip(self.fingerprint);
        let row = Row {
            entry: Entry {
                row: RowId(self.row),
                backend: self.backend.into(),
                dialect: self.dialect.map(Into::into),
                phase,
                marker: Marker { uuid, name: self.marker_name },
                batch: Arc::new(batch),
                unmapped: Arc::new(self.unmapped),
                refusal: self.refusal,
                missing: time(self.missing),
            },
            revision: self.revision,
            listener: self.listener.map(Into::into),
            principal: self.principal.map(person),
            key: key.map(|(value, fingerprint)| KeyClaim { value, replay: Replay::FirstAnswer, fingerprint }),
            holder: self.holder.map(|holder| Holder(holder.into())),
            fence: self.fence,
            lease_until: time(self.lease_until),
            hidden: self.hidden.into_iter().map(DialectName::from).collect(),
        };
        let ids = self.ids.into_iter().map(id_of).collect::<Result<_, _>>()?;
        let log = self.log.map(|log| KeptLog { from: log.from, total: log.total, lines: log.lines });
        Ok(Whole { row, ids, log })
    }
}

fn cells(id: &Id) -> (String, String, String) {
    match id {
        Id::Uuid(uuid) => ("uuid".to_owned(), uuid.to_string(), String::new()),
        Id::Ordinal(ordinal) => ("ordinal".to_owned(), ordinal.to_string(), String::new()),
        Id::Native(backend, native) => ("native".to_owned(), native.to_string(), backend.to_string()),
    }
}

/// An id as the engines keep it.
pub(crate) fn id_of((kind, text, space): (String, String, String)) -> Result<Id, LedgerError> {
    let id = match kind.as_str() {
        "uuid" => text.parse().ok().map(Id::Uuid),
        "ordinal" => text.parse().ok().map(Id::Ordinal),
        "native" => Some(Id::Native(space.into(), text.as_str().into())),
        _ => None,
    };
    id.ok_or_else(|| bad(format!("the {kind} '{text}'")))
}
