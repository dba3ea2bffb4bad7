//! The embedded backend: a batch runs here and now, as a process of this machine.
//!
//! Spark is used where there is one; otherwise Python programs, archives and executables are run as they are. What makes it more than a
//! `fork` is that the proxy may be killed at any moment: each job has a folder that says all there is to say about it (`folder`), and a
//! runner, this same binary in a hidden mode ([`run_job`]), that outlives the proxy and writes the end down (`runner`). A proxy that
//! comes back reads the folders and goes on (`jobs`).
//!
//! Trust goes by locks on open files, which the kernel takes back however a process dies; never by the number of a process. Linux only.
//!
//! Absent on purpose: limits on what a job uses, and users of its own. A job may do what the proxy's user may do.

mod backend;
mod config;
mod direct;
mod folder;
mod jobs;
mod log;
mod mapping;
mod named;
mod paths;
mod plan;
mod procs;
mod records;
mod runner;
mod spark;
mod table;
mod tools;
mod watch;

use std::sync::Arc;

use batchlingua_wire::{Adapter, ConfigError, Opener, Platform, Settings};

pub use backend::LocalBackend;
pub use config::Config;
pub use runner::{RUN_JOB, run_job};

/// The adapter's row: a platform without a dialect of its own.
pub const ADAPTER: Adapter = Adapter {
    name: "local",
    dialect: None,
    platform: Some(platform),
    mappings: &[&mapping::WITH_SPARK, &mapping::WITHOUT_SPARK],
    counts_ids: false,
    relays: false,
    example: "",
};

fn platform(settings: Settings) -> Result<Opener, Vec<ConfigError>> {
    let config = Config::read(settings)?;
    Ok(Box::new(move |open| {
        Box::pin(async move {
            let backend = LocalBackend::new(open.name, config, open.clock).await?;
            Ok(Platform::new(Arc::new(backend)))
        })
    }))
}
