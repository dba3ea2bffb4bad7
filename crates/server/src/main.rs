//! The `batchlingua` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The local backend runs each job under a process of its own, which is this program: small, without a runtime, and so before anything.
    if std::env::args_os().nth(1).is_some_and(|first| first == "run-job") {
        return batchlingua_local::run_job();
    }
    batchlingua::cli::main()
}
