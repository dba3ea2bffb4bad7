//! What the ledger promises, once for all engines: one intent is at most one job, one job is one row, an id is never given twice, and a
//! state never goes backwards.
//!
//! Each rule runs inside one transaction of an engine ([`Table`]), alone. `submit` is the life of an intent up to its verdict, `sight` is
//! what was seen on the backends and what clients asked of batches that run, `reuse` is about ids that a backend gives out again.

mod reuse;
mod sight;
mod submit;

use std::{sync::Arc, time::Duration};

use batchlingua_core::{BackendName, Clock, Millis, NativeId, RowId};

use crate::{
    LedgerError, Options,
    row::{Id, MAX_ORDINAL, Row, uuid_of},
    table::Table,
};

pub(crate) use reuse::is_reused;
pub(crate) use sight::{advanced, needs_asking};
pub(crate) use submit::{Draft, overruled};

/// The rules and what an operator may set about them.
pub(crate) struct Rules {
    pub(crate) clock: Arc<dyn Clock>,
    first_ordinal: u32,
    claim_lease: Duration,
    /// No other process can be alive on this ledger, so an intent of another holder has lost its sender.
    alone: bool,
}

impl Rules {
    pub(crate) fn of_one_process(options: &Options) -> Self {
        Self {
            clock: options.clock.clone(),
            first_ordinal: options.first_ordinal,
            claim_lease: options.claim_lease,
            alone: true,
        }
    }

    /// Several processes live on the ledger: an intent is its holder's until its lease is over.
    pub(crate) fn of_several_processes(options: &Options) -> Self {
        Self { alone: false, ..Self::of_one_process(options) }
    }

    /// Drops one chunk of rows that ended before; how many.
    pub(crate) fn expire(&self, table: &mut dyn Table, end: Millis, limit: usize) -> Result<usize, LedgerError> {
        let rows = table.ended_before(end, limit)?;
        for row in &rows {
            table.remove(*row)?;
        }
        Ok(rows.len())
    }

    /// A greater integer than all that were made before. It is lost if nothing comes of it, as Livy's are. Adopted ones may stand in the way,
    /// many in a row where their server has counted as far: the steps grow, so that at most 31 are looked at, and may pass over free ones.
    fn take_ordinal(&self, table: &mut dyn Table) -> Result<u32, LedgerError> {
        let mut ordinal = table.next_ordinal()?.max(self.first_ordinal);
        let mut step: u32 = 1;
        while ordinal <= MAX_ORDINAL && table.whose(&Id::Ordinal(ordinal))?.is_some() {
            ordinal += step;
            step = step.saturating_mul(2);
        }
        if ordinal > MAX_ORDINAL {
            return Err(LedgerError::OrdinalsUsedUp);
        }
        table.set_next_ordinal(ordinal + 1)?;
        Ok(ordinal)
    }
}

fn known(table: &mut dyn Table, row: RowId) -> Result<Row, LedgerError> {
    table.get(row)?.map(Arc::unwrap_or_clone).ok_or(LedgerError::NoRow(row))
}

/// The backend's id resolves from now on; if it is a uuid, also where a client gives it as one.
fn bind_native(table: &mut dyn Table, backend: &BackendName, native: &NativeId, row: RowId) -> Result<(), LedgerError> {
    let id = Id::Native(backend.clone(), native.clone());
    if table.whose(&id)?.is_none() {
        table.put_id(id, row)?;
    }
    if let Some(uuid) = uuid_of(native).map(Id::Uuid)
        && table.whose(&uuid)?.is_none()
    {
        table.put_id(uuid, row)?;
    }
    Ok(())
}
