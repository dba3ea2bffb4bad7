//! From a client's request to a backend's answer and back, seeing traits only.
//!
//! The stacks, outermost first (style: why a layer stands where it stands is said beside it):
//!
//! ```text
//! HTTP      request id · trace · metrics | pick dialect | RENDER ERRORS | access · load-shed · concurrency · deadline · body · decode · resolve
//! backend   capability check · load-shed · concurrency · attempt timeout · record of the attempt · adapter
//! ```
//!
//! Absent on purpose: the name of any dialect or backend, sockets, configuration files.

mod access;
mod body;
mod control;
mod follow;
mod gateway;
mod listener;
mod observer;
mod routing;
mod settle;
mod stack;
mod submit;
mod view;

pub use access::Access;
pub use gateway::{BackendSlot, Gateway, GatewayParts, Limits};
pub use listener::{ListenerParts, ListenerService};
pub use observer::{AuditRecord, CallRecord, Observer, RequestRecord, Silent};
pub use routing::{Policies, Policy, RouteMatch, RouteRule, Routing};
pub use stack::CallLimits;
