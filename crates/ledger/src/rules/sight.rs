//! What was seen of batches that run, and what clients asked of them.
//!
//! [`advanced`] is pure, so that a poll that shows nothing new is recognised without a transaction: an engine asks it about the row in
//! memory first. The rules here ask it again about the row in the store, which alone decides.

use std::sync::Arc;

use batchlingua_core::{
    BackendName, Batch, BatchState, Bound, DialectName, Entry, Marker, Millis, NativeId, NativeIdentity, Observation,
    Phase, Revival, RowId, Standing, Times, Uuid,
};

use super::{Rules, bind_native, known, reuse};
use crate::{
    LedgerError,
    masked::{self, MaskedSpec, news},
    row::{Id, Row, made_uuid, uuid_of},
    table::Table,
};

impl Rules {
    /// The rows of batches that were seen on a backend, in the order given.
    pub(crate) fn bind(
        &self,
        table: &mut dyn Table,
        backend: &BackendName,
        seen: &[NativeIdentity],
    ) -> Result<Vec<Bound>, LedgerError> {
        // Of all of them first: one may show that the backend counts anew, and then another must not pass for what had its number.
        seen.iter().try_for_each(|seen| reuse::heed(table, backend, seen))?;
        seen.iter().map(|seen| self.bind_one(table, backend, seen)).collect()
    }

    fn bind_one(
        &self,
        table: &mut dyn Table,
        backend: &BackendName,
        seen: &NativeIdentity,
    ) -> Result<Bound, LedgerError> {
        if let Some(row) = table.whose(&Id::Native(backend.clone(), seen.native.clone()))? {
            return Ok(Bound::Row(known(table, row)?.entry));
        }
        for uuid in uuid_of(&seen.native).into_iter().chain(seen.batch.mark) {
            if let Some(own) = own_intent(table, backend, uuid)? {
                return self.bind_own(table, own, seen);
            }
        }
        if bears_open_mark(table, backend, seen)? || !seen.foreign {
            return Ok(Bound::None);
        }
        let now = self.clock.now();
        let ordinal = match reuse::free_ordinal(table, seen)? {
            Some(adopted) => adopted,
            None => self.take_ordinal(table)?,
        };
        let ids = (free_uuid(table, backend, &seen.native, ordinal)?, ordinal);
        let row = table.insert(Row::of_sighting(backend, seen, MaskedSpec::of(&seen.batch.spec), ids, now))?;
        table.put_id(Id::Uuid(ids.0), row.id())?;
        table.put_id(Id::Ordinal(ids.1), row.id())?;
        bind_native(table, backend, &seen.native, row.id())?;
        Ok(Bound::Row(row.entry.clone()))
    }

    /// A backend that takes our uuid as its id, or gives it back beside it, shows a job of ours whose row has no native id.
    fn bind_own(&self, table: &mut dyn Table, row: Row, seen: &NativeIdentity) -> Result<Bound, LedgerError> {
        match row.entry.phase {
            // Its own submit settles it.
            Phase::Intended | Phase::Sending | Phase::Ambiguous => Ok(Bound::None),
            // What a refused submit left behind is no batch.
            Phase::Refused | Phase::Accepted => Ok(Bound::None),
            // Its absence was believed too early. A job that runs and cannot be named is the worst answer.
            Phase::Failed => {
                tracing::warn!(row = row.id().0, backend = %row.entry.backend, "a submit that was given up runs after all");
                self.accept(table, row, seen, self.clock.now()).map(Bound::Row)
            }
        }
    }

    /// In the order given; what is told of rows that are gone is left out.
    pub(crate) fn observe(&self, table: &mut dyn Table, seen: &[Observation]) -> Result<(), LedgerError> {
        let now = self.clock.now();
        for seen in seen {
            let Some(row) = table.get(seen.row)? else { continue };
            if let Some(next) = advanced(&row, seen, now) {
                table.update(next)?;
            }
            if let Some(log) = &seen.log {
                table.keep_log(seen.row, &masked::log(log))?;
            }
        }
        Ok(())
    }

    /// Written once, however often it is missed until it is observed again.
    pub(crate) fn miss(&self, table: &mut dyn Table, row: RowId) -> Result<Option<Entry>, LedgerError> {
        let Some(row) = table.get(row)? else { return Ok(None) };
        if !can_miss(&row) {
            return Ok(Some(row.entry.clone()));
        }
        let mut missed = Arc::unwrap_or_clone(row);
        missed.entry.missing = Some(self.clock.now());
        Ok(Some(table.update(missed)?.entry.clone()))
    }

    /// An ended batch has nothing to be asked.
    pub(crate) fn ask_cancel(&self, table: &mut dyn Table, rows: &[RowId]) -> Result<(), LedgerError> {
        for row in rows {
            let Some(row) = table.get(*row)?.filter(|row| needs_asking(row)) else { continue };
            let mut asked = Arc::unwrap_or_clone(row);
            asked.batch_mut().cancel_asked = true;
            asked.batch_mut().times.modified = self.clock.now();
            table.update(asked)?;
        }
        Ok(())
    }

    pub(crate) fn hide(&self, table: &mut dyn Table, rows: &[RowId], from: &DialectName) -> Result<(), LedgerError> {
        for row in rows {
            let Some(row) = table.get(*row)? else { continue };
            if !row.hidden.contains(from) {
                let mut hidden = Arc::unwrap_or_clone(row);
                hidden.hidden.push(from.clone());
                table.update(hidden)?;
            }
        }
        Ok(())
    }
}

/// Whether a wish to end the batch is news.
pub(crate) fn needs_asking(row: &Row) -> bool {
    !row.batch().cancel_asked && !row.batch().state.is_end()
}

/// Whether it is news that its backend does not show the batch.
fn can_miss(row: &Row) -> bool {
    row.entry.phase == Phase::Accepted && !row.batch().state.is_end() && row.entry.missing.is_none()
}

/// The row after this was seen; `None` if it says nothing new.
pub(crate) fn advanced(row: &Row, seen: &Observation, now: Millis) -> Option<Row> {
    let was = row.standing();
    if row.entry.phase != Phase::Accepted || seen.attempt.is_some_and(|attempt| attempt < was.attempt) {
        return None;
    }
    let is = was.advance(seen.state, seen.attempt, seen.revival);
    let batch = row.batch();
    let times = times_after(&batch.times, was, is, &seen.times, now);
    let app_id = news(batch.app.id.as_deref(), seen.app.id.as_deref());
    let app_url = news(batch.app.url.as_deref(), seen.app.url.as_deref());
    let driver_log_url = news(batch.app.driver_log_url.as_deref(), seen.app.driver_log_url.as_deref());
    // A late sight of an earlier state has no say in why the batch stands where it stands.
    let said = seen.diagnostic.as_deref().filter(|_| is.state == seen.state);
    let afresh = is.attempt != was.attempt || (was.state == BatchState::Unknown && is != was);
    let kept = if afresh { None } else { batch.diagnostic.as_deref() };
    let diagnostic = news(kept, said);
    let same_times = times == batch.times;
    let silent = app_id.is_none() && app_url.is_none() && driver_log_url.is_none() && diagnostic.is_none();
    let same = is == was && same_times && silent;
    if same && row.entry.missing.is_none() {
        return None;
    }
    let mut row = row.clone();
    row.entry.missing = None;
    let batch = row.batch_mut();
    (batch.attempt, batch.state) = (is.attempt, is.state);
    // That it is shown again is no change of the batch.
    batch.times = Times { modified: if same { times.modified } else { now }, ..times };
    batch.app.id = app_id.or(batch.app.id.take());
    batch.app.url = app_url.or(batch.app.url.take());
    batch.app.driver_log_url = driver_log_url.or(batch.app.driver_log_url.take());
    if afresh || diagnostic.is_some() {
        batch.diagnostic = diagnostic;
    }
    // The wish was for the attempt that has ended; the one that somebody began after that must not be ended by it.
    if is.attempt != was.attempt && was.state.is_end() && was.state != BatchState::Unknown {
        batch.cancel_asked = false;
    }
    Some(row)
}

/// A backend's own times fill the gaps. What a client has been shown of an attempt stays, whatever a backend reckons later: it cannot have
/// begun at another time. An end keeps its time while it stands.
fn times_after(kept: &Times, was: Standing, is: Standing, seen: &Times, now: Millis) -> Times {
    let moved = is != was;
    let began = moved && is.state == BatchState::Running;
    let known = kept.started.filter(|_| is.attempt == was.attempt);
    let started = known.or(seen.started).or(began.then_some(now));
    let ended = match kept.ended {
        _ if !is.state.is_end() => None,
        Some(ended) if !moved => Some(ended),
        _ => Some(seen.ended.unwrap_or(now)),
    };
    Times { started, ended, ..*kept }
}

/// A whole batch as an observation.
pub(super) fn of_batch(row: RowId, batch: &Batch<NativeId>, revival: Revival) -> Observation {
    Observation {
        row,
        state: batch.state,
        attempt: Some(batch.attempt.max(1)),
        revival,
        times: batch.times,
        app: batch.app.clone(),
        diagnostic: batch.diagnostic.clone(),
        log: None,
    }
}

/// What clients have seen of the batch and asked of it under the ids of a row that another takes over.
pub(super) fn take_over(row: &mut Row, from: &Row, now: Millis) {
    let (ours, theirs) = (row.batch_mut(), from.batch());
    (ours.attempt, ours.state) = (theirs.attempt, theirs.state);
    ours.cancel_asked |= theirs.cancel_asked;
    ours.times = Times { created: ours.times.created, modified: now, ..theirs.times };
    ours.app = theirs.app.clone();
    ours.diagnostic.clone_from(&theirs.diagnostic);
    for dialect in &from.hidden {
        if !row.hidden.contains(dialect) {
            row.hidden.push(dialect.clone());
        }
    }
}

/// The row of our submit to this backend that went by this uuid, if that row is not bound yet. One that is bound has its job: who has found the
/// mark in that one's request and sent it again has made another.
fn own_intent(table: &mut dyn Table, backend: &BackendName, uuid: Uuid) -> Result<Option<Row>, LedgerError> {
    let Some(row) = table.whose(&Id::Uuid(uuid))? else { return Ok(None) };
    let row = known(table, row)?;
    let ours = row.is_ours() && row.entry.backend == *backend && row.batch().id.native.is_none();
    Ok(ours.then_some(row))
}

/// Whether it has the name that an open intent is marked by, or the one that is sent in place of a name that is taken: its own submit will
/// say whether this is its job. Bound before that it would have an id of its own, which a client would be shown once and not again.
fn bears_open_mark(table: &mut dyn Table, backend: &BackendName, seen: &NativeIdentity) -> Result<bool, LedgerError> {
    let Some(name) = seen.batch.spec.name.as_deref() else { return Ok(false) };
    Ok(table.marks_open_intent(backend, name)?
        || match Marker::first_name(name) {
            Some(first) => table.marks_open_intent(backend, first)?,
            None => false,
        })
}

/// The backend's own uuid, or one that every replica makes alike; where an earlier batch under the same id has that one, the ordinal tells
/// them apart, since no other row has it.
fn free_uuid(
    table: &mut dyn Table,
    backend: &BackendName,
    native: &NativeId,
    ordinal: u32,
) -> Result<Uuid, LedgerError> {
    let made = made_uuid(backend, native);
    let made_again = made_uuid(backend, &format!("{native}~{ordinal}").into());
    for uuid in uuid_of(native).into_iter().chain([made, made_again]) {
        if table.whose(&Id::Uuid(uuid))?.is_none() {
            return Ok(uuid);
        }
    }
    Err(LedgerError::UuidTaken(made_again))
}
