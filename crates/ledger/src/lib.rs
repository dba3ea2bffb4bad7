//! The ledger: the only durable state of the proxy, behind [`batchlingua_core::Ledger`].
//!
//! Three engines, one behaviour. What a submit may become, when a batch may be shown and why a state never goes backwards is written once, in
//! `rules` and `view`, over the few things that an engine can do inside one transaction (`table`); what memory answers and what a store is asked,
//! and the threads that read and write (`reader`, `writer`), once for those that have a store (`port`). [`open`] picks the engine by the URL:
//! SQLite for one process, PostgreSQL for several, memory for tests. One suite runs over all (`tests/suite`).
//!
//! Secrets are masked before an engine sees them (`masked`), so no engine can forget it.
//!
//! Absent on purpose: waiting. The ledger never sleeps, retries or polls; whoever asks decides when to ask again.

mod archive;
mod cache;
mod error;
mod kept;
mod masked;
mod memory;
mod port;
mod postgres;
mod reader;
mod row;
mod rules;
mod sqlite;
mod stored;
mod table;
mod view;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use batchlingua_core::{Clock, Ledger, SystemClock};

pub use archive::Archive;
pub use error::LedgerError;

/// How many rows [`Options::cache_entries`] keeps in memory unless it is told otherwise. A row takes a few KiB.
pub const CACHE_ENTRIES: usize = 10_000;

/// How many rows [`Options::list_rows`] keeps in lists unless it is told otherwise. Most of them are rows of the cache as well.
pub const LIST_ROWS: usize = 10_000;

/// How long [`Options::claim_lease`] lasts unless it is told otherwise.
pub const CLAIM_LEASE: Duration = Duration::from_secs(60);

/// How many writes [`Options::group`] puts into one transaction unless it is told otherwise.
pub const GROUP: usize = 256;

/// How long [`Options::timeout`] is unless it is told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How many [`Options::readers`] there are unless it is told otherwise.
pub const READERS: usize = 4;

/// What an operator or a test may choose about a ledger.
#[derive(Clone)]
pub struct Options {
    /// The first made ordinal; one that was given out already is never given out again, however this changes.
    pub first_ordinal: u32,
    /// What leases and times are told by.
    pub clock: Arc<dyn Clock>,
    /// How many rows are kept in memory, so that a poll of one of them does not reach the database; fewer if they are large (64 MiB).
    pub cache_entries: usize,
    /// How many rows of lists are kept, so that a list that is asked for again does not reach the database; fewer if they are large (16 MiB).
    pub list_rows: usize,
    /// How long a claimed intent belongs to its new holder.
    pub claim_lease: Duration,
    /// Whether a ledger in memory stands for one that several processes share, as a test of replicas wants it.
    pub shared: bool,
    /// Whether a ledger that several processes share tells time by its own clock rather than by each process's.
    pub database_clock: bool,
    /// How long a database server may take for one answer, before it is taken for lost.
    pub timeout: Duration,
    /// How many connections to a database server read single rows side by side.
    pub readers: usize,
    /// At most so many writes that wait together are made durable together; 1 makes each durable by itself.
    pub group: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_ordinal: 1,
            clock: Arc::new(SystemClock),
            cache_entries: CACHE_ENTRIES,
            list_rows: LIST_ROWS,
            claim_lease: CLAIM_LEASE,
            shared: false,
            database_clock: true,
            timeout: TIMEOUT,
            readers: READERS,
            group: GROUP,
        }
    }
}

/// Whether [`open`] would know what to do with the URL. Nothing is opened or asked.
pub fn check_url(url: &str) -> Result<(), LedgerError> {
    if is_postgres(url) {
        return postgres::check_url(url);
    }
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(()),
        _ if url == "memory:" => Ok(()),
        _ => Err(LedgerError::UnsupportedUrl { url: batchlingua_core::redact::line(url) }),
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Opens the ledger that the URL names, and makes it where there is none: `sqlite://PATH` (relative to the working directory, or
/// absolute with a third slash), `postgres://USER:PASSWORD@HOST/DATABASE` or `memory:`. Reads and writes before it returns.
pub fn open(url: &str, options: Options) -> Result<Arc<dyn Ledger>, LedgerError> {
    if url == "memory:" {
        return Ok(Arc::new(memory::MemoryLedger::new(&options)));
    }
    if is_postgres(url) {
        return Ok(Arc::new(postgres::PostgresLedger::open(url, &options)?));
    }
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() => Ok(Arc::new(sqlite::SqliteLedger::open(Path::new(path), &options)?)),
        _ => Err(LedgerError::UnsupportedUrl { url: batchlingua_core::redact::line(url) }),
    }
}
