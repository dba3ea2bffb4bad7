//! The local backend with real processes. Nothing here sleeps: jobs wait at FIFOs, tests wait for changes.

mod cancel;
mod conformance;
mod intents;
mod lifecycle;
mod logs;
#[path = "../../stand_in/path.rs"]
mod path;
mod restart;
mod spark;
mod support;
