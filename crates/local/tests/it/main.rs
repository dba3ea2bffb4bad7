//! The local backend with real processes. Nothing here sleeps: jobs wait at FIFOs, tests wait for changes.

mod cancel;
mod intents;
mod lifecycle;
mod logs;
mod restart;
mod spark;
mod support;
