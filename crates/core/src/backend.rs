//! The port to a platform that runs batches.

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use crate::{
    Action, BackendName, Batch, BatchSpec, Capabilities, Context, Cursor, Detail, DialectName, Effect, Error, Fate,
    Log, LogQuery, Millis, NativeId, Page, Payload, Principal, Project, Result,
};

/// Batches as they change, from a backend that can tell by itself.
pub type Changes = Pin<Box<dyn Stream<Item = Batch<NativeId>> + Send>>;

/// A platform that runs batches.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// As last probed: a Kyuubi 1.6 can do less than a 1.12.
    fn capabilities(&self) -> Arc<Capabilities>;

    /// Asks the platform whether it lives and what it can do.
    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>>;

    /// Pure: the exact upstream request and each field's fate. `submit` sends it, `explain` prints it, so `explain` cannot lie.
    fn plan(&self, intent: Intent) -> Result<Plan>;

    /// The line and headers of the request as they will be sent, for people: credentials are masked. Empty where it is no HTTP. No part of the plan,
    /// since every submit would pay for what `explain` alone shows.
    fn head(&self, _: &Plan) -> String {
        String::new()
    }

    /// Sends the plan. Asked at most once for one intent, unless the backend is idempotent on its marker.
    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError>;

    /// Whether a submit of unknown outcome went through.
    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting>;

    /// One batch as it is now.
    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>>;

    /// One step of a walk over all batches; filtering and order are the ledger's.
    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>>;

    /// Whether a row of a walk tells a client of this dialect all that [`Backend::get`] with this detail would of a batch that lives, so that
    /// one walk serves all who watch.
    fn rows_tell(&self, _: &DialectName, _: Detail) -> bool {
        false
    }

    /// A page of lines, or a stream of all.
    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log>;

    /// Acts on one batch.
    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect>;

    /// Whether an ended batch keeps its name there until its record is dropped (`Action::CancelAndForget`), so that no other can have it.
    fn holds_names(&self) -> bool {
        false
    }

    /// Batches as they change. `None`: the backend cannot tell and has to be asked.
    fn changes(&self) -> Option<Changes> {
        None
    }
}

/// What a submit is found again by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Our id of the intent.
    pub uuid: Uuid,
    /// The name sent along, where the name is the marker.
    pub name: Option<String>,
}

impl Marker {
    /// What is sent in place of the name where another batch has that one already: the same whenever it is asked for, and no other marker's.
    pub fn second_name(&self) -> Option<String> {
        self.name.as_deref().map(|name| format!("{name}-{:08x}", self.uuid.as_fields().0))
    }

    /// The name in whose place this one may have been sent as [`Marker::second_name`] of some submit.
    pub fn first_name(second: &str) -> Option<&str> {
        let (first, part) = second.rsplit_once('-')?;
        let is_made = part.len() == 8 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_made.then_some(first)
    }
}

/// A submit of unknown outcome.
#[derive(Clone, Debug)]
pub struct Sought {
    /// What it was marked by.
    pub marker: Marker,
    /// It was not sent before this.
    pub since: Millis,
    /// The project that it was sent for.
    pub project: Option<Project>,
    /// What it was to run, with secrets masked.
    pub spec: Arc<BatchSpec>,
}

/// A batch that is to be submitted, with the ids that it will have.
#[derive(Clone, Debug)]
pub struct Intent {
    /// What it will be found by.
    pub marker: Marker,
    /// To which backend.
    pub backend: BackendName,
    /// What to run, unmasked: this is what is sent, never what is stored.
    pub spec: Arc<BatchSpec>,
    /// Uploaded files.
    pub files: Arc<Vec<Payload>>,
    /// Who submits it.
    pub principal: Principal,
    /// The client's dialect.
    pub dialect: DialectName,
    /// The project that it came with.
    pub project: Option<Project>,
}

/// The exact upstream request and each field's fate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was made from.
    pub intent: Intent,
    /// The request as it will be sent, in the backend's own terms.
    pub request: Bytes,
    /// What becomes of each field that the client gave.
    pub fates: Vec<Fate>,
}

/// The difference on which "at most one job" rests.
#[derive(Debug)]
pub enum SubmitError {
    /// Not one byte was sent.
    NotSent(Error),
    /// The backend said no.
    Refused(Error),
    /// Nobody knows.
    Unknown(Error),
}

/// What became of a submit of unknown outcome.
#[derive(Debug)]
pub enum Sighting {
    /// It went through.
    Found(Box<Batch<NativeId>>),
    /// It was refused, but left a record behind (Livy).
    Ghost(NativeId),
    /// It is not there.
    Absent {
        /// Whether another known job was seen by the same look; else the backend may have lost its memory.
        others_seen: bool,
    },
    /// The backend gives back nothing to tell it by.
    CannotTell,
}
