//! Backends whose ids are integers that a restarted server counts anew, as Livy does: the same number is another batch's then.
//!
//! A number is its row's until the backend shows another batch under it, by name or application ([`Entry::is_another`]). Then the row gives it
//! up, and keeps all else: its state, and the ids that clients hold. It is asked for under a name that no batch has, so a live one is called
//! unknown in its time, by the router's rules. Rows of the same backend that have neither name nor application could be taken for whatever
//! has their numbers next, so they give them up too: once for each restart, at the first that shows it, since a number that was taken after
//! that is of the new count. In the ledger a restart is the newest row that there was when it was noticed ([`Table::epoch`]).
//!
//! Clients of such a backend hold its integers, so those are ordinals here too, where no other row has them.

use std::sync::Arc;

use batchlingua_core::{BackendName, Entry, NativeId, NativeIdentity, NativeIds, RowId};

use super::{Rules, known};
use crate::{
    LedgerError,
    row::{Id, MAX_ORDINAL, Row},
    table::Table,
};

impl Rules {
    /// The router has got another batch under the row's id.
    pub(crate) fn retire(&self, table: &mut dyn Table, row: RowId) -> Result<(), LedgerError> {
        table.get(row)?.map_or(Ok(()), |row| give_number_up(table, Arc::unwrap_or_clone(row)))
    }

    /// Whether what was found by a name may be this intent's batch, as far as other rows tell.
    pub(crate) fn may_be_ours(
        &self,
        table: &mut dyn Table,
        row: RowId,
        seen: &NativeIdentity,
    ) -> Result<bool, LedgerError> {
        let row = known(table, row)?;
        match table.whose(&Id::Native(row.entry.backend.clone(), seen.native.clone()))? {
            Some(holder) if holder != row.id() => {
                let holder = known(table, holder)?;
                Ok(is_reused(&holder.entry, seen) || was_sighted_after(&holder, &row))
            }
            Some(_) | None => Ok(true),
        }
    }
}

/// Whether the row's number has become another batch's.
pub(crate) fn is_reused(holder: &Entry, seen: &NativeIdentity) -> bool {
    match seen.ids {
        NativeIds::Unique => false,
        NativeIds::Reused { .. } => holder.is_another(&seen.batch),
    }
}

/// A walk over the backend can see a new job before its submit has been answered, and make a row for it. That row is younger than the
/// intent, and came by no dialect. Any other row is of another job.
pub(super) fn was_sighted_after(sighted: &Row, intent: &Row) -> bool {
    !sighted.is_ours() && sighted.id() > intent.id()
}

/// If the number has become another batch's, its row gives it up.
pub(super) fn heed(table: &mut dyn Table, backend: &BackendName, seen: &NativeIdentity) -> Result<(), LedgerError> {
    if seen.ids == NativeIds::Unique {
        return Ok(());
    }
    let Some(holder) = table.whose(&Id::Native(backend.clone(), seen.native.clone()))? else { return Ok(()) };
    let holder = known(table, holder)?;
    if is_reused(&holder.entry, seen) { give_number_up(table, holder) } else { Ok(()) }
}

/// With it, if this is the first sign of a restart, all that nothing tells from what will have their numbers.
pub(super) fn give_number_up(table: &mut dyn Table, row: Row) -> Result<(), LedgerError> {
    let backend = row.entry.backend.clone();
    let is_first_sign = row.id() > table.epoch(&backend)?;
    if !free_native(table, row)? || !is_first_sign {
        return Ok(());
    }
    for row in table.nondescript(&backend)? {
        free_native(table, Arc::unwrap_or_clone(row))?;
    }
    table.begin_epoch(&backend)
}

/// Whether it had an id to give up.
fn free_native(table: &mut dyn Table, mut row: Row) -> Result<bool, LedgerError> {
    let Some(native) = row.batch().id.native.clone() else { return Ok(false) };
    if is_given_up(&native, row.id()) {
        return Ok(false);
    }
    let instead = given_up(&native, row.id());
    tracing::info!(batch.id = %row.batch().id.uuid, backend = %row.entry.backend, native = %native, "the backend counts anew; this id is another batch's");
    table.free_id(&Id::Native(row.entry.backend.clone(), native))?;
    table.put_id(Id::Native(row.entry.backend.clone(), instead.clone()), row.id())?;
    row.batch_mut().id.native = Some(instead);
    table.update(row)?;
    Ok(true)
}

/// What stands in the place of an id that a row has given up: no backend has a batch of that name.
pub(super) fn given_up(native: &NativeId, row: RowId) -> NativeId {
    format!("{native}~{}", row.0).into()
}

fn is_given_up(native: &NativeId, row: RowId) -> bool {
    native.as_str().rsplit_once('~').is_some_and(|(_, by)| by.parse() == Ok(row.0))
}

/// The ordinal that the backend's integer is for its clients.
fn adopted(seen: &NativeIdentity) -> Option<u32> {
    match seen.ids {
        NativeIds::Reused { adopt: true } => {
            let integer = seen.native.as_str().parse().ok().filter(|integer| *integer <= MAX_ORDINAL);
            // As servers write it, which is the only way that a client can have got it.
            integer.filter(|integer: &u32| integer.to_string() == seen.native.as_str())
        }
        NativeIds::Reused { adopt: false } | NativeIds::Unique => None,
    }
}

/// The adopted ordinal of a batch that has no row yet, if it is free.
pub(super) fn free_ordinal(table: &mut dyn Table, seen: &NativeIdentity) -> Result<Option<u32>, LedgerError> {
    match adopted(seen) {
        Some(ordinal) if table.whose(&Id::Ordinal(ordinal))?.is_none() => Ok(Some(ordinal)),
        Some(_) | None => Ok(None),
    }
}

/// A submitted batch can be found by the backend's integer as well, if it is free; `shown`: no client knows it by another one yet.
pub(super) fn adopt(
    table: &mut dyn Table,
    row: &mut Row,
    seen: &NativeIdentity,
    shown: bool,
) -> Result<(), LedgerError> {
    let Some(ordinal) = adopted(seen) else { return Ok(()) };
    match table.whose(&Id::Ordinal(ordinal))? {
        None => table.put_id(Id::Ordinal(ordinal), row.id())?,
        // A walk was first and has adopted it, for a row that this one took over.
        Some(holder) if holder == row.id() => {}
        Some(_) => return Ok(()),
    }
    if shown {
        row.batch_mut().id.ordinal = ordinal;
    }
    Ok(())
}
