//! From a client's request to a backend's answer and back, seeing traits only.
//!
//! The stacks, outermost first (style: why a layer stands where it stands is said beside it):
//!
//! ```text
//! HTTP      request id · trace · metrics | pick dialect | RENDER ERRORS | access · bounded places · who asks · body · deadline · decode · rights · resolve
//! backend   record of the attempt · capability check · bounded places · attempt timeout · adapter
//! ```
//!
//! Absent on purpose: the name of any dialect or backend, sockets, configuration files.

mod access;
mod answer;
mod anyone;
mod body;
mod by_hand;
mod chores;
mod circuit;
mod control;
mod door;
mod explain;
mod fingerprint;
mod follow;
mod fresh;
mod gateway;
mod listener;
mod logs;
mod observer;
mod open;
mod refusal;
mod request_id;
mod rights;
mod rounds;
mod routing;
mod settle;
mod shed;
mod shown;
mod sightings;
mod spool;
mod stack;
mod stage;
mod submit;
mod view;
mod walk;

pub use access::Access;
pub use anyone::Anyone;
pub use by_hand::NotSettled;
pub use circuit::{CircuitLimits, CircuitState};
pub use explain::{Asked, Explanation, Row, Taken, Told, Upstream, Verdict};
pub use gateway::{BackendSlot, BackendView, Gateway, GatewayParts, Limits};
pub use listener::{ListenerParts, ListenerService, Peer};
pub use observer::{AuditRecord, CallRecord, Observer, RefusedLogin, RequestRecord, Silent};
pub use open::{OpenSubmit, Whereabouts};
pub use rights::Scoping;
pub use routing::{Dedupe, Policies, Policy, RouteMatch, RouteRule, Routing};
pub use stack::CallLimits;
pub use stage::Stage;
