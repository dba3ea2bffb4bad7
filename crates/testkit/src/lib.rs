//! What the house is tested with; a dev-dependency only.
//!
//! Behaviour is tested once, over everybody: [`conformance`] holds what every backend must do, and [`MemoryBackend`], which does it at the
//! test's word, is the other side for dialects, ledger and router. [`golden`] pins the wire of a dialect to files, [`recorded`]
//! reads exchanges with real servers, [`postgres`] starts a real database, [`mutate`] makes the requests that no client should send, [`origin`] is a backend over HTTP that answers as
//! no server should, [`faults`] a platform that fails by a seed and keeps the truth. Nothing here waits for time: a test moves the [`ManualClock`] and awaits events.

pub mod conformance;
pub mod faults;
pub mod golden;
pub mod mutate;
pub mod origin;
pub mod postgres;
pub mod recorded;

mod clock;
mod make;
mod memory_backend;
mod port;

pub use clock::ManualClock;
pub use make::{context, fates, intent, marker, sought};
pub use memory_backend::{MemoryBackend, Numbering, OnCancel, Point, SubmitFault};
pub use origin::{Asked, Origin, Reply};
pub use port::lasting_port;
pub use postgres::Postgres;
