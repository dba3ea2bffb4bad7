//! A row as the rules see it: the entry that the port shows, and what only the ledger needs.

use std::sync::Arc;

use batchlingua_core::{
    BackendName, Batch, BatchId, BatchState, DialectName, Entry, Holder, KeyClaim, ListenerName, Marker, Millis,
    NativeId, NativeIdentity, NewIntent, Phase, Principal, Replay, RowId, Standing, Times, Uuid, redact,
};

use crate::masked::{self, MaskedSpec};

/// Under this, a backend and its id of a batch make one uuid, the same on every machine and for all time.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_4b1e_6a53_4d0e_9b7a_2f6d_c1b8_e904);

/// Livy's integers are Java's.
pub(crate) const MAX_ORDINAL: u32 = i32::MAX as u32;

/// What a row can be found by. Unique: an id belongs to one row at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Uuid(Uuid),
    Ordinal(u32),
    Native(BackendName, NativeId),
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) entry: Entry,
    /// Counts the changes: of two versions of a row, the one with the greater revision is the newer.
    pub(crate) revision: u64,
    pub(crate) listener: Option<ListenerName>,
    /// Who submitted it through this proxy; the batch's owner may be known where this is not.
    pub(crate) principal: Option<Principal>,
    pub(crate) key: Option<KeyClaim>,
    pub(crate) holder: Option<Holder>,
    pub(crate) fence: u64,
    pub(crate) lease_until: Option<Millis>,
    /// Clients of these dialects do not see it.
    pub(crate) hidden: Vec<DialectName>,
}

impl Row {
    /// The row of an intent: fence 1, queued, and nothing sent yet.
    pub(crate) fn of_intent(new: &NewIntent, spec: MaskedSpec, ordinal: u32, now: Millis) -> Self {
        let id = BatchId { uuid: new.marker.uuid, ordinal, native: None };
        let mut batch = Batch::new(id, BatchState::Queued, spec.0);
        batch.owner = Some(new.principal.clone());
        batch.project.clone_from(&new.project);
        batch.times = Times { created: now, modified: now, ..Times::default() };
        Self {
            entry: Entry {
                row: RowId(0),
                backend: new.backend.clone(),
                dialect: Some(new.dialect.clone()),
                phase: if new.at_once { Phase::Sending } else { Phase::Intended },
                marker: new.marker.clone(),
                batch: Arc::new(batch),
                unmapped: Arc::new(
                    new.unmapped.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect(),
                ),
                refusal: None,
                missing: None,
            },
            revision: 1,
            listener: Some(new.listener.clone()),
            principal: Some(new.principal.clone()),
            // The key of a stored batch is its uuid, which is among the ids already.
            key: new.key.clone().filter(|key| key.replay == Replay::FirstAnswer),
            holder: Some(new.claim.holder.clone()),
            fence: 1,
            lease_until: Some(now.plus(new.claim.lease)),
            hidden: Vec::new(),
        }
    }

    /// The row of a batch that did not come through this proxy.
    pub(crate) fn of_sighting(
        backend: &BackendName,
        seen: &NativeIdentity,
        spec: MaskedSpec,
        (uuid, ordinal): (Uuid, u32),
        now: Millis,
    ) -> Self {
        let id = BatchId { uuid, ordinal, native: Some(seen.native.clone()) };
        let mut batch = Batch::new(id, seen.batch.state, spec.0);
        batch.attempt = seen.batch.attempt.max(1);
        batch.owner = seen.batch.owner.clone();
        batch.project = seen.batch.project.clone();
        batch.times = first_times(&seen.batch.times, seen.batch.state, now);
        batch.app.id = masked::news(None, seen.batch.app.id.as_deref());
        batch.app.url = masked::news(None, seen.batch.app.url.as_deref());
        batch.app.driver_log_url = masked::news(None, seen.batch.app.driver_log_url.as_deref());
        batch.diagnostic = masked::news(None, seen.batch.diagnostic.as_deref());
        Self {
            entry: Entry {
                row: RowId(0),
                backend: backend.clone(),
                dialect: None,
                phase: Phase::Accepted,
                marker: Marker { uuid, name: None },
                batch: Arc::new(batch),
                unmapped: Arc::default(),
                refusal: None,
                missing: None,
            },
            revision: 1,
            listener: None,
            principal: None,
            key: None,
            holder: None,
            fence: 0,
            lease_until: None,
            hidden: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> RowId {
        self.entry.row
    }

    pub(crate) fn batch(&self) -> &Batch<BatchId> {
        &self.entry.batch
    }

    pub(crate) fn batch_mut(&mut self) -> &mut Batch<BatchId> {
        Arc::make_mut(&mut self.entry.batch)
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing { attempt: self.batch().attempt, state: self.batch().state }
    }

    /// The ids that its own columns tell. It may have others, which it was known by before, and may have lost some of these.
    pub(crate) fn own_ids(&self) -> impl Iterator<Item = Id> + use<> {
        let BatchId { uuid, ordinal, native } = &self.batch().id;
        let native = native.as_ref().map(|native| Id::Native(self.entry.backend.clone(), native.clone()));
        [Id::Uuid(*uuid), Id::Ordinal(*ordinal)].into_iter().chain(native)
    }

    pub(crate) fn has_native(&self, text: &str) -> bool {
        self.batch().id.native.as_ref().is_some_and(|native| native.as_str() == text)
    }

    /// Whether its native id is an integer and nothing else tells it from another batch on its backend.
    pub(crate) fn is_nondescript(&self) -> bool {
        let integer =
            self.batch().id.native.as_ref().is_some_and(|native| native.as_str().bytes().all(|b| b.is_ascii_digit()));
        integer && self.entry.wire_name().is_none() && self.batch().app.id.as_deref().is_none_or(str::is_empty)
    }

    /// Whether it was submitted through this proxy.
    pub(crate) fn is_ours(&self) -> bool {
        self.entry.dialect.is_some()
    }

    /// Whether the batch is this principal's, as far as anybody knows.
    pub(crate) fn is_of(&self, principal: &Principal) -> bool {
        self.principal.as_ref().or(self.batch().owner.as_ref()).is_some_and(|owner| owner.name == principal.name)
    }

    /// The submit did not go through; the row ends here, kept for its key and shown to nobody.
    pub(crate) fn give_up(&mut self, phase: Phase, why: &str, now: Millis) {
        self.entry.phase = phase;
        self.entry.refusal = Some(redact::line(why));
        let times = &mut self.batch_mut().times;
        (times.ended, times.modified) = (Some(now), now);
    }
}

/// A backend that tells no times has its batch begin when it is first seen.
fn first_times(seen: &Times, state: BatchState, now: Millis) -> Times {
    let told = |time: Millis| if time.0 > 0 { time } else { now };
    Times {
        created: told(seen.created),
        started: seen.started,
        ended: state.is_end().then(|| seen.ended.unwrap_or_else(|| told(seen.modified))),
        modified: told(seen.modified),
    }
}

/// The backend's id as a uuid, if it is one as everybody writes them. What stands before a slash says where the batch is (a project), and not
/// which it is.
pub(crate) fn uuid_of(native: &NativeId) -> Option<Uuid> {
    let text = native.as_str();
    let text = text.rsplit_once('/').map_or(text, |(_, id)| id);
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// A uuid for a backend's id that is none, or whose uuid is taken.
pub(crate) fn made_uuid(backend: &BackendName, native: &NativeId) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{backend}\n{native}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_uuid_never_changes() {
        let uuid = made_uuid(&"old-livy".into(), &"17".into());
        assert_eq!(uuid.to_string(), "12a30e41-234d-5d48-b1d9-a5edcf8a1f64", "ids that clients hold would be lost");
    }

    #[test]
    fn only_the_usual_form_is_a_uuid() {
        assert!(uuid_of(&"6F1D8E0C-1B9E-4B55-8C62-0242AC130003".into()).is_some());
        assert!(uuid_of(&"6f1d8e0c1b9e4b558c620242ac130003".into()).is_none());
        assert!(uuid_of(&"p1/6f1d8e0c-1b9e-4b55-8c62-0242ac130003".into()).is_some());
        assert!(uuid_of(&"17".into()).is_none() && uuid_of(&"p1/17".into()).is_none());
    }
}
