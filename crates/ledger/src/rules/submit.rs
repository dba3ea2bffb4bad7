//! The life of an intent: written before anything is sent, sent under a lease, settled once.
//!
//! The fence decides who may speak for an intent: every holder gets a greater one, and whoever comes with an older one is refused, however
//! late. The lease only decides when the next holder may come, and that no first byte leaves after that.

use std::sync::Arc;

use batchlingua_core::{
    Batch, ByHand, Entry, Holder, Intended, KeyClaim, Lease, Millis, NativeIdentity, NativeIds, NewIntent, Overruled,
    Phase, Replay, Revival, RowId, Verdict,
};

use super::{Rules, advanced, bind_native, known, reuse, sight};
use crate::{
    LedgerError,
    masked::MaskedSpec,
    row::{Id, Row, uuid_of},
    table::Table,
};

/// An intent whose spec has lost its secrets: the only kind that can be written.
pub(crate) struct Draft {
    new: NewIntent,
    spec: MaskedSpec,
}

impl Draft {
    pub(crate) fn of(new: NewIntent) -> Self {
        let spec = MaskedSpec::of(&new.spec);
        Self { new, spec }
    }
}

impl Rules {
    pub(crate) fn intend(&self, table: &mut dyn Table, draft: &Draft) -> Result<Intended, LedgerError> {
        let Draft { new, spec } = draft;
        if let Some(earlier) = earlier(table, new)? {
            return Ok(earlier);
        }
        if table.whose(&Id::Uuid(new.marker.uuid))?.is_some() {
            return Err(LedgerError::UuidTaken(new.marker.uuid));
        }
        let ordinal = self.take_ordinal(table)?;
        if let (Some(ended_from), Some(name)) = (new.unique_name, &spec.0.name)
            && table.name_held(name, &new.dialect, ended_from)?
        {
            return Ok(Intended::NameTaken { ordinal });
        }
        let row = table.insert(Row::of_intent(new, spec.clone(), ordinal, self.clock.now()))?;
        table.put_id(Id::Uuid(row.entry.marker.uuid), row.id())?;
        table.put_id(Id::Ordinal(ordinal), row.id())?;
        Ok(Intended::Fresh(row.entry.clone(), lease_of(&row)))
    }

    /// Asked immediately before the first byte: durable when it returns, so that a crash behind it is known to be ambiguous.
    pub(crate) fn may_send(&self, table: &mut dyn Table, lease: &Lease) -> Result<(), LedgerError> {
        let mut row = held(table, lease)?;
        if !row.entry.phase.is_open() {
            return Err(LedgerError::Settled { row: row.id(), is: row.entry.phase, asked: Phase::Sending });
        }
        if row.lease_until.is_none_or(|until| until <= self.clock.now()) {
            return Err(LedgerError::LostLease { row: row.id(), fence: lease.fence, why: "its time is over" });
        }
        if row.entry.phase != Phase::Sending {
            row.entry.phase = Phase::Sending;
            table.update(row)?;
        }
        Ok(())
    }

    pub(crate) fn settle(&self, table: &mut dyn Table, lease: &Lease, verdict: &Verdict) -> Result<Entry, LedgerError> {
        let row = held(table, lease)?;
        self.decide(table, row, verdict)
    }

    fn decide(&self, table: &mut dyn Table, mut row: Row, verdict: &Verdict) -> Result<Entry, LedgerError> {
        let asked = phase_of(verdict);
        match (row.entry.phase, asked) {
            (Phase::Accepted, Phase::Accepted) => {}
            (is, asked) if is == asked => return Ok(row.entry),
            (is, _) if !is.is_open() => return Err(LedgerError::Settled { row: row.id(), is, asked }),
            _ => {}
        }
        let now = self.clock.now();
        match verdict {
            Verdict::Accepted(seen) => return self.accept(table, row, seen, now),
            Verdict::Refused(error) => row.give_up(Phase::Refused, &error.message, now),
            Verdict::Failed(why) => row.give_up(Phase::Failed, why, now),
            Verdict::Ambiguous => {
                row.entry.phase = Phase::Ambiguous;
                // Since then nobody sends it any more: what `settle` counts from, in this life and the next.
                row.batch_mut().times.modified = now;
            }
        }
        Ok(table.update(row)?.entry.clone())
    }

    /// Binds the backend's id, after which the batch is listed.
    pub(super) fn accept(
        &self,
        table: &mut dyn Table,
        mut row: Row,
        seen: &NativeIdentity,
        now: Millis,
    ) -> Result<Entry, LedgerError> {
        if let Some(has) = &row.batch().id.native {
            // Given up or not: it is what was said before.
            if *has == seen.native || *has == reuse::given_up(&seen.native, row.id()) {
                return Ok(row.entry);
            }
            let (row, has) = (row.id(), has.clone());
            return Err(LedgerError::TwoJobs { row, has, native: seen.native.clone() });
        }
        let backend = row.entry.backend.clone();
        if let Some(holder) = table.whose(&Id::Native(backend.clone(), seen.native.clone()))? {
            let holder = known(table, holder)?;
            make_way(table, &mut row, holder, seen, now)?;
        }
        bind_native(table, &backend, &seen.native, row.id())?;
        let untold = is_untold(row.entry.phase);
        reuse::adopt(table, &mut row, seen, untold)?;
        if untold {
            show_own_uuid(table, &mut row, seen)?;
        }
        row.entry.phase = Phase::Accepted;
        row.entry.refusal = None;
        row.batch_mut().id.native = Some(seen.native.clone());
        row.batch_mut().times.modified = now;
        // What clients are shown by the platform's own object is what lists are ordered and filtered by.
        if seen.batch.times.created > Millis::default() {
            row.batch_mut().times.created = seen.batch.times.created;
        }
        let row = advanced(&row, &sight::of_batch(row.id(), &seen.batch, Revival::Never), now).unwrap_or(row);
        Ok(table.update(row)?.entry.clone())
    }

    /// What a person has found out. The greater fence takes the right to speak for the intent from whoever may still be at it.
    pub(crate) fn overrule(&self, table: &mut dyn Table, row: RowId, said: &ByHand) -> Result<Entry, LedgerError> {
        let mut row = known(table, row)?;
        let is = row.entry.phase;
        let (asked, verdict) = match said {
            ByHand::Failed => (Phase::Failed, Verdict::Failed("settled by hand: it never went through".to_owned())),
            ByHand::Accepted(native) => {
                // How far it is will be seen; nobody has said that it ended.
                let batch = Batch::new(native.clone(), row.batch().state, row.batch().spec.clone());
                let (native, ids) = (native.clone(), NativeIds::Unique);
                let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: false, ids };
                (Phase::Accepted, Verdict::Accepted(Box::new(seen)))
            }
        };
        if is != Phase::Ambiguous {
            return Err(LedgerError::Settled { row: row.id(), is, asked });
        }
        row.fence += 1;
        (row.holder, row.lease_until) = (None, None);
        self.decide(table, row, &verdict)
    }

    pub(crate) fn claim(
        &self,
        table: &mut dyn Table,
        holder: &Holder,
        limit: usize,
    ) -> Result<Vec<(Entry, Lease)>, LedgerError> {
        let now = self.clock.now();
        let rows = table.claimable(now, self.alone.then_some(holder), limit)?;
        rows.into_iter()
            .map(|row| {
                let mut row = Arc::unwrap_or_clone(row);
                row.fence += 1;
                row.holder = Some(holder.clone());
                row.lease_until = Some(now.plus(self.claim_lease));
                let row = table.update(row)?;
                Ok((row.entry.clone(), lease_of(&row)))
            })
            .collect()
    }
}

/// What a person is told of the rule's answer: what he cannot have is no fault of this program.
pub(crate) fn overruled(done: Result<Entry, LedgerError>) -> batchlingua_core::Result<Overruled> {
    match done {
        Ok(entry) => Ok(Overruled::Done(entry)),
        Err(LedgerError::Settled { is, .. }) => Ok(Overruled::NotAmbiguous(is)),
        Err(LedgerError::TwoRows { holder, .. }) => Ok(Overruled::Taken(holder)),
        Err(LedgerError::NoRow(_)) => Ok(Overruled::Gone),
        Err(error) => Err(error.into()),
    }
}

fn lease_of(row: &Row) -> Lease {
    Lease { row: row.id(), fence: row.fence, until: row.lease_until.unwrap_or_default() }
}

/// The row, if nobody has claimed it since.
fn held(table: &mut dyn Table, lease: &Lease) -> Result<Row, LedgerError> {
    let row = known(table, lease.row)?;
    if row.fence == lease.fence {
        Ok(row)
    } else {
        Err(LedgerError::LostLease { row: row.id(), fence: lease.fence, why: "another holder has it" })
    }
}

fn phase_of(verdict: &Verdict) -> Phase {
    match verdict {
        Verdict::Accepted(_) => Phase::Accepted,
        Verdict::Refused(_) => Phase::Refused,
        Verdict::Ambiguous => Phase::Ambiguous,
        Verdict::Failed(_) => Phase::Failed,
    }
}

/// What an earlier submit with the same key answers. `None`: there is none, or it left the key free.
fn earlier(table: &mut dyn Table, new: &NewIntent) -> Result<Option<Intended>, LedgerError> {
    match &new.key {
        None => Ok(None),
        Some(KeyClaim { replay: Replay::StoredBatch, .. }) => stored_batch(table, new),
        Some(KeyClaim { replay: Replay::FirstAnswer, value, fingerprint }) => {
            match table.by_key(&new.principal.name, &new.dialect, value)? {
                None => Ok(None),
                Some(row) => first_answer(table, row, fingerprint),
            }
        }
        Some(KeyClaim { replay: Replay::LiveName, value, .. }) => {
            let live = table.live_named(value, &new.principal.name)?;
            Ok(live.map(|row| match row.entry.phase.is_open() {
                true => Intended::InFlight(row.entry.clone()),
                false => Intended::Answered(row.entry.clone()),
            }))
        }
    }
}

fn first_answer(table: &mut dyn Table, row: Arc<Row>, fingerprint: &[u8; 32]) -> Result<Option<Intended>, LedgerError> {
    if row.entry.phase == Phase::Failed {
        // Nothing ever ran under the key, so a retry may send anew. The row stays as a record.
        table.update(Row { key: None, ..Arc::unwrap_or_clone(row) })?;
        return Ok(None);
    }
    let same = row.key.as_ref().is_some_and(|key| key.fingerprint == *fingerprint);
    Ok(Some(match row.entry.phase.is_open() {
        _ if !same => Intended::KeyReused,
        true => Intended::InFlight(row.entry.clone()),
        false => Intended::Answered(row.entry.clone()),
    }))
}

/// Follows Kyuubi: the id is the key, and what counts is the batch that is stored under it, not the request. A submit that was refused
/// or failed stored none, so the id goes on to the retry.
fn stored_batch(table: &mut dyn Table, new: &NewIntent) -> Result<Option<Intended>, LedgerError> {
    let id = Id::Uuid(new.marker.uuid);
    let Some(row) = table.whose(&id)? else { return Ok(None) };
    let row = known(table, row)?;
    if !row.is_of(&new.principal) {
        return Ok(Some(Intended::NotYours));
    }
    match row.entry.phase {
        Phase::Intended | Phase::Sending | Phase::Ambiguous => Ok(Some(Intended::InFlight(row.entry))),
        Phase::Accepted => Ok(Some(Intended::Answered(row.entry))),
        Phase::Refused | Phase::Failed => table.free_id(&id).map(|()| None),
    }
}

/// A client of the platform's own dialect is shown the platform's own uuid, so that it may hold on to it with or without a proxy in between.
/// The one that was made with the intent still names the batch; as a mark it has done its work.
fn show_own_uuid(table: &mut dyn Table, row: &mut Row, seen: &NativeIdentity) -> Result<(), LedgerError> {
    let speaks = seen.batch.native.as_ref().map(|native| &native.dialect);
    let Some(uuid) = uuid_of(&seen.native).filter(|_| speaks.is_some() && speaks == row.entry.dialect.as_ref()) else {
        return Ok(());
    };
    if table.whose(&Id::Uuid(uuid))? == Some(row.id()) {
        row.batch_mut().id.uuid = uuid;
        row.entry.marker.uuid = uuid;
    }
    Ok(())
}

/// Whether nobody has been told yet under which id the batch will be found.
fn is_untold(phase: Phase) -> bool {
    match phase {
        Phase::Intended | Phase::Sending => true,
        Phase::Ambiguous | Phase::Accepted | Phase::Refused | Phase::Failed => false,
    }
}

/// The backend's id is another row's. To bind it twice would make one row of two jobs, so that row must be of the same job, or have had the
/// id before the backend counted anew.
fn make_way(
    table: &mut dyn Table,
    row: &mut Row,
    holder: Row,
    seen: &NativeIdentity,
    now: Millis,
) -> Result<(), LedgerError> {
    // The answer to a submit is no batch that was seen before it, nor that of another submit: a server gives a number twice only if it has
    // begun to count anew. What a look-up found may be.
    let is_answer = seen.ids != NativeIds::Unique && is_untold(row.entry.phase);
    if reuse::is_reused(&holder.entry, seen) {
        reuse::give_number_up(table, holder)
    } else if reuse::was_sighted_after(&holder, row) {
        table.move_ids(holder.id(), row.id())?;
        table.remove(holder.id())?;
        sight::take_over(row, &holder, now);
        Ok(())
    } else if is_answer {
        reuse::give_number_up(table, holder)
    } else {
        let (native, holder) = (seen.native.clone(), holder.id());
        Err(LedgerError::TwoRows { backend: row.entry.backend.clone(), native, holder, row: row.id() })
    }
}
