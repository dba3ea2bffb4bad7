//! File descriptors: each connection takes one, and many systems give a process 1024 unless it asks for more.
//!
//! Running out would show as refused connections under load, at the worst time to find out. So the limit is raised at the start as far as
//! the configured connections need it, and an operator whose hard limit is below that is told then.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// The ledger, the log, the runtime, jobs' files and the connections to backends.
const BESIDE: u64 = 512;

/// Makes room for so many connections.
pub fn make_room(connections: usize) {
    let wanted = connections as u64 + BESIDE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` is no limit.
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum });
    if possible < wanted || raised.is_err() {
        warn!(
            wanted,
            limit = maximum,
            "the limit on open files (ulimit -n) is below what limits.max_connections may need; connections may be refused"
        );
    }
}
