//! The batch domain of Batchlingua and its two ports.
//!
//! An operation is decoded from any dialect, runs on any backend, and its outcome is encoded back: there is no pair-wise code, so every
//! dialect and every backend meets the others only in the types of this crate. An id changes its type on its way ([`BatchRef`] as a
//! client wrote it, [`BatchId`] as the ledger knows it, [`NativeId`] as the backend calls it), so that a backend's id cannot reach a
//! client unmapped, nor a client's id a backend.
//!
//! Absent on purpose: HTTP, serde derives, a runtime. What a type looks like on a wire or in a table is the business of the crate that
//! owns that wire or table.

mod backend;
mod batch;
mod capabilities;
mod context;
mod error;
mod identity;
mod ledger;
mod mapping;
mod names;
mod operation;
pub mod redact;
mod spec;
mod state;

pub use backend::{Backend, Changes, Intent, Marker, Plan, Sighting, Sought, SubmitError};
pub use batch::{
    App, Batch, Controlled, Effect, KeptLog, Log, LogBody, Native, Notes, Outcome, Page, Reply, Step, Times,
};
pub use capabilities::{ActionSet, Capabilities, Marking};
pub use context::{Clock, Context, SystemClock};
pub use error::{Clash, Denial, Error, ErrorKind, Fault, Missing, NativeError, Result, Unproven};
pub use identity::{Allowed, Authenticator, Credentials, Identity, Principal, Rights};
pub use ledger::{
    Bound, ByHand, Claim, Entry, Expired, Health, Holder, Intended, KeyClaim, Lease, Ledger, NativeIdentity, NativeIds,
    NewIntent, Observation, Overruled, Phase, Retention, Room, Scope, Verdict,
};
pub use mapping::{
    Clients, ConfFate, ConfRule, FILE_LISTS, FieldValue, Line, Load, Mapping, PathMap, Place, RUN_AS_CONF,
};
pub use names::{
    BackendName, BatchId, BatchRef, Cursor, DialectName, ListenerName, Millis, NativeId, Project, RequestId, RowId,
};
pub use operation::{
    Action, Detail, ExtensionFilter, Filter, IdempotencyKey, Lines, ListQuery, LogQuery, LogSource, Operation, Order,
    Payload, Purpose, Replay, Selection, SortKey, Submission, Window,
};
pub use spec::{BatchKind, BatchSpec, Conf, Extension, Fate, Field, FieldClass, Size, Treatment};
pub use state::{BatchState, Revival, Standing, StateSet};
pub use uuid::Uuid;
