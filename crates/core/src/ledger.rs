//! The port to the only durable state: who asked for what, under which ids, where it runs and how far it got.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    App, BackendName, Batch, BatchId, BatchRef, BatchSpec, BatchState, DialectName, Error, Fate, KeptLog, ListQuery,
    ListenerName, Marker, Millis, NativeId, Page, Principal, Project, Replay, Result, Revival, RowId, Times, redact,
};

/// The ledger. Every method that changes something is durable when it returns.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Key check, name check, ids and insert in one transaction.
    async fn intend(&self, new: NewIntent) -> Result<Intended>;

    /// Marks the intent as being sent; refuses a lost lease. Asked immediately before the first byte, unless it was written
    /// [at once](NewIntent::at_once).
    async fn may_send(&self, lease: &Lease) -> Result<()>;

    /// Compare and set under the lease. Settling again with the same verdict changes nothing.
    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<Entry>;

    /// What a person has found out about a submit that nobody else can tell about. Whoever may be at it at this moment has lost the right to speak for it.
    async fn overrule(&self, row: RowId, said: &ByHand) -> Result<Overruled>;

    /// Open intents whose lease has run out or whose holder is this one's past life: at start, and take-over.
    async fn claim(&self, holder: &Holder, limit: usize) -> Result<Vec<(Entry, Lease)>>;

    /// The batch that a client names. A name finds the newest batch that the scope's dialect lists under it.
    async fn find(&self, wanted: &BatchRef, scope: &Scope) -> Result<Option<Entry>>;

    /// The rows of batches that were seen on a backend; made where there is none and `foreign` is asked for.
    async fn bind(&self, backend: &BackendName, seen: &[NativeIdentity]) -> Result<Vec<Bound>>;

    /// Whether what a look-up found by the name of this open intent may be its batch: not if that is another submit's, or was seen on the
    /// backend before the intent was written.
    async fn may_be_ours(&self, row: RowId, seen: &NativeIdentity) -> Result<bool>;

    /// The backend has shown another batch under the native id of this row ([`Entry::is_another`]): the row gives the id up, so that it is
    /// asked for no more under it. A row that has done so, or is gone, is left as it is.
    async fn retire(&self, row: RowId) -> Result<()>;

    /// Never backwards; the rows as they now stand, in the order given.
    async fn observe(&self, seen: &[Observation]) -> Result<Vec<Entry>>;

    /// The backend has not shown this live batch: since when that is so is kept with the row, from the first time until it is observed again; the row
    /// as it now stands, if it is there still.
    async fn miss(&self, row: RowId) -> Result<Option<Entry>>;

    /// Marks that somebody asked for the end of these batches; the rows as they now stand.
    async fn ask_cancel(&self, rows: &[RowId]) -> Result<Vec<Entry>>;

    /// Batches whose end was asked for and is not seen yet.
    async fn unended_cancels(&self, limit: usize) -> Result<Vec<Entry>>;

    /// Filter, order, window and total over what the scope shows.
    async fn page(&self, query: &ListQuery, scope: &Scope) -> Result<Page<Entry>>;

    /// The last page of a log that was kept with an observation.
    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>>;

    /// Shows the rows no longer to clients of this dialect.
    async fn hide(&self, rows: &[RowId], from: &DialectName) -> Result<()>;

    /// Drops rows of what has ended, that of what ended first before others, until no more is kept than shall be.
    async fn expire(&self, keep: &Retention) -> Result<Expired>;

    /// Rows in their order, for export.
    async fn dump(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Entry>>;

    /// How the store is doing.
    async fn health(&self) -> Health;
}

/// An intent to be written.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// Our id and what the submit is found by.
    pub marker: Marker,
    /// Where it will go.
    pub backend: BackendName,
    /// The dialect it came by.
    pub dialect: DialectName,
    /// The listener it came by.
    pub listener: ListenerName,
    /// Who asks.
    pub principal: Principal,
    /// The project it came with.
    pub project: Option<Project>,
    /// What to run. The ledger masks secrets before it stores anything.
    pub spec: Arc<BatchSpec>,
    /// What the backend will not get.
    pub unmapped: Vec<Fate>,
    /// The client's own key.
    pub key: Option<KeyClaim>,
    /// Refuse it if a batch that the dialect lists has its name; such a batch is alive or ended at or after this.
    pub unique_name: Option<Millis>,
    /// Who will send it, and until when nobody else may.
    pub claim: Claim,
    /// Nothing stands between this write and the first byte, so the row begins as [`Phase::Sending`] and [`Ledger::may_send`] is not asked:
    /// one durable write in the place of two. The sender looks at its lease by itself.
    pub at_once: bool,
}

/// A hold on an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub holder: Holder,
    /// For how long.
    pub lease: Duration,
}

/// A process that sends intents; another after each start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder(pub Arc<str>);

/// A client's own key for one submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// The key.
    pub value: String,
    /// What a repeated submit is answered.
    pub replay: Replay,
    /// Of the request, to tell a repeated one from another one.
    pub fingerprint: [u8; 32],
}

/// What came of writing an intent.
#[derive(Debug)]
pub enum Intended {
    /// It is written and may be sent under this lease.
    Fresh(Entry, Lease),
    /// The first submit with this key is still on its way.
    InFlight(Entry),
    /// A submit with this key has had its definite answer.
    Answered(Entry),
    /// The key was used for another request.
    KeyReused,
    /// The id is that of another principal's batch.
    NotYours,
    /// Another listed batch has the name; the integer was taken and is lost, as Livy's is.
    NameTaken {
        /// That integer.
        ordinal: u32,
    },
}

/// The right to send and settle one intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which.
    pub row: RowId,
    /// Counts the holders; an older fence is refused.
    pub fence: u64,
    /// When it ends.
    pub until: Millis,
}

/// How a submit ended.
#[derive(Debug)]
pub enum Verdict {
    /// The backend has it.
    Accepted(Box<NativeIdentity>),
    /// The backend said no; the row is kept for its key, and shown to nobody.
    Refused(Error),
    /// Nobody knows yet.
    Ambiguous,
    /// It never went through, for this reason.
    Failed(String),
}

/// What a person says of a submit of unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// Its backend has it, under this id.
    Accepted(NativeId),
    /// It never went through.
    Failed,
}

/// What came of what a person said.
#[derive(Clone, Debug)]
pub enum Overruled {
    /// It is written: the row as it now stands.
    Done(Entry),
    /// It was not for a person to say: the outcome is known, or may come yet from who sends it.
    NotAmbiguous(Phase),
    /// Another row has the backend's id: one job would have two.
    Taken(RowId),
    /// There is no such row any more.
    Gone,
}

/// How far a submit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Written, nothing sent.
    Intended,
    /// The first byte may have been sent.
    Sending,
    /// Nobody knows whether it went through.
    Ambiguous,
    /// The backend has it.
    Accepted,
    /// The backend said no.
    Refused,
    /// It never went through.
    Failed,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] =
        [Self::Intended, Self::Sending, Self::Ambiguous, Self::Accepted, Self::Refused, Self::Failed];

    /// Whether the outcome is not known yet.
    pub fn is_open(self) -> bool {
        match self {
            Self::Intended | Self::Sending | Self::Ambiguous => true,
            Self::Accepted | Self::Refused | Self::Failed => false,
        }
    }

    /// The word of the store and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Sending => "sending",
            Self::Ambiguous => "ambiguous",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A batch as its backend knows it, for its row.
#[derive(Clone, Debug)]
pub struct NativeIdentity {
    /// The backend's id.
    pub native: NativeId,
    /// What was seen.
    pub batch: Arc<Batch<NativeId>>,
    /// Make a row where there is none.
    pub foreign: bool,
    /// What the backend's ids are worth.
    pub ids: NativeIds,
}

/// What a backend's own ids are worth as names of its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeIds {
    /// An id is never another batch's.
    #[default]
    Unique,
    /// Integers that a server may count anew when it is restarted, so that an id can become another batch's.
    Reused {
        /// Clients of this backend hold them: they are ordinals here too, where they are free.
        adopt: bool,
    },
}

/// What became of one [`NativeIdentity`].
#[derive(Clone, Debug)]
pub enum Bound {
    /// Its row.
    Row(Entry),
    /// There is none, and none was to be made.
    None,
}

/// What a client of a dialect can see.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Whose clients: rows hidden from them are not there.
    pub dialect: DialectName,
    /// On these backends; `None`: on any.
    pub backends: Option<Vec<BackendName>>,
    /// In these projects or in none; `None`: in any.
    pub projects: Option<Vec<Project>>,
    /// Whether batches without a project are shown beside those of `projects`.
    pub unscoped: bool,
    /// Lists and names show ended batches that ended at or after this; by id all are shown.
    pub ended_from: Option<Millis>,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub row: RowId,
    /// Where the batch runs.
    pub backend: BackendName,
    /// The dialect it came by; `None` for one first seen on its backend.
    pub dialect: Option<DialectName>,
    /// How far its submit is.
    pub phase: Phase,
    /// What its submit is found by.
    pub marker: Marker,
    /// The batch as last seen, secrets masked.
    pub batch: Arc<Batch<BatchId>>,
    /// What the backend did not get, by name.
    pub unmapped: Arc<Vec<String>>,
    /// When the submit was refused or failed: why.
    pub refusal: Option<String>,
    /// While its backend does not show the batch: since when.
    pub missing: Option<Millis>,
}

impl Entry {
    /// The name that the backend knows the batch by.
    pub fn wire_name(&self) -> Option<&str> {
        given(self.marker.name.as_deref().or(self.batch.spec.name.as_deref()))
    }

    /// Whether what the backend shows under this row's native id is another batch: both have names or applications, and they differ. To be
    /// asked only where ids are [`NativeIds::Reused`].
    pub fn is_another(&self, seen: &Batch<NativeId>) -> bool {
        let names = given(seen.spec.name.as_deref()).zip(self.wire_name());
        let apps = given(seen.app.id.as_deref()).zip(given(self.batch.app.id.as_deref()));
        // The row's application was masked, as all free text is.
        names.is_some_and(|(seen, known)| seen != known && self.marker.second_name().as_deref() != Some(seen))
            || apps.is_some_and(|(seen, known)| seen != known && redact::line(seen) != known)
    }
}

/// A backend may write what it has not as an empty text.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// What was seen of a batch.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Which.
    pub row: RowId,
    /// Its state.
    pub state: BatchState,
    /// Its attempt, where the backend counts them.
    pub attempt: Option<u32>,
    /// Whether it may have come back to life.
    pub revival: Revival,
    /// Its times.
    pub times: Times,
    /// Its application.
    pub app: App,
    /// Why it ended.
    pub diagnostic: Option<String>,
    /// The end of its log, to be kept.
    pub log: Option<KeptLog>,
}

/// How long rows are kept. One of a submit without an outcome, or of a batch that lives, always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Rows that ended before this are dropped.
    pub ended_before: Millis,
    /// How much room there is, if that is bounded.
    pub room: Option<Room>,
    /// How many at once.
    pub limit: usize,
}

impl Retention {
    /// What has ended is there at least so long in a ledger that is full, so that no client that polls it misses its end.
    pub const AT_LEAST: Duration = Duration::from_secs(3_600);

    /// As it stands at this time: for how long an end is kept, how many rows at most if that is bounded, how many are dropped at once.
    pub fn at(now: Millis, keep_for: Duration, max_rows: Option<u64>, limit: usize) -> Self {
        let room = max_rows.map(|rows| Room { rows, ended_before: now.minus(Self::AT_LEAST) });
        Self { ended_before: now.minus(keep_for), room, limit }
    }
}

/// Where there are more rows than this, those that ended first are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many rows.
    pub rows: u64,
    /// One that ended later stays for all that: whoever polls it has yet to learn of its end.
    pub ended_before: Millis,
}

impl Room {
    /// From when on what has ended is kept, in a ledger that is full: since the first end of those that are in it.
    pub fn kept_from(&self, first_end: Option<Millis>) -> Millis {
        first_end.map_or(self.ended_before, |end| end.min(self.ended_before))
    }
}

/// What [`Ledger::expire`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// How many rows it dropped.
    pub dropped: u64,
    /// Where there are as many rows as may be: what ended before this has no room, and is not to be taken up again.
    pub kept_from: Option<Millis>,
}

/// How the store is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes writes.
    Good,
    /// It does not, for this reason.
    Bad(String),
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn entry(marked: Option<&str>, named: Option<&str>) -> Entry {
        let uuid = Uuid::from_u128(0xaaaa_bbbb << 96 | 1);
        let spec = BatchSpec { name: named.map(str::to_owned), ..BatchSpec::default() };
        let id = BatchId { uuid, ordinal: 1, native: Some("5".into()) };
        Entry {
            row: RowId(1),
            backend: "b".into(),
            dialect: None,
            phase: Phase::Accepted,
            marker: Marker { uuid, name: marked.map(str::to_owned) },
            batch: Arc::new(Batch::new(id, BatchState::Running, Arc::new(spec))),
            unmapped: Arc::default(),
            refusal: None,
            missing: None,
        }
    }

    #[test]
    fn a_batch_is_told_from_another_by_the_names_that_it_may_have_there() {
        let seen = |name: &str| {
            let spec = BatchSpec { name: Some(name.to_owned()), ..BatchSpec::default() };
            Batch::new(NativeId::from("5"), BatchState::Running, Arc::new(spec))
        };
        let marked = entry(Some("nightly"), Some("nightly"));
        for (name, is_another) in
            [("nightly", false), ("nightly-aaaabbbb", false), ("nightly-aaaabbbc", true), ("daily", true), ("", false)]
        {
            assert_eq!(marked.is_another(&seen(name)), is_another, "{name}");
        }
        // One that came by no submit of ours has no second name.
        assert!(entry(None, Some("nightly")).is_another(&seen("nightly-aaaabbbb")));
        assert!(!entry(None, None).is_another(&seen("daily")), "nothing is known of it");
    }
}
