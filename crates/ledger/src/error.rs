//! What can go wrong with the ledger, and what the middle is told of it.
//!
//! Three kinds of failure, which call for different answers. The store cannot be written now (disk full, read-only): nothing was done,
//! a client may try again. A caller asks for what the rules forbid (a lost lease, a second row for one job): that is a fault of this
//! program. The folder cannot be used at all: said once, at start, with what the operator has to change.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use batchlingua_core::{BackendName, Error, ErrorKind, NativeId, Phase, RowId, Uuid};

/// When a client may try again after the ledger could not be used. A full disk is not emptied within a second.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A failure of the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The URL names no engine of this build.
    #[error(
        "'{url}' names no ledger that this build has: use sqlite://PATH, postgres://HOST/DATABASE, or memory: for tests"
    )]
    UnsupportedUrl {
        /// The URL, without its password.
        url: String,
    },
    /// Another process works on the same ledger.
    #[error("the ledger {path} is in use by {holder}: stop that process, or give this one a ledger of its own")]
    InUse {
        /// The database file.
        path: PathBuf,
        /// `process 4711`, or less where the lock does not say.
        holder: String,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the ledger {path} has schema version {found}, this program knows versions up to {known}: use the newer program again; it was left as it is"
    )]
    Newer {
        /// The database file, or the database's URL without its password.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest schema version of this program.
        known: i64,
    },
    /// The file is something else.
    #[error("{path} is no ledger but {what}: name another file; this one was left as it is")]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: &'static str,
    },
    /// The folder or a file in it cannot be used.
    #[error("the ledger {path} cannot be opened: {cause}")]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// Nobody answers where the database should be, or it takes nobody in yet. It may come.
    #[error("the ledger {place} cannot be reached: {cause}")]
    Away {
        /// The database's URL without its password.
        place: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A write failed and nothing of it is there.
    #[error("the ledger cannot be written: {0}")]
    Unwritable(Arc<str>),
    /// A read failed.
    #[error("the ledger cannot be read: {0}")]
    Unreadable(Arc<str>),
    /// The store holds what no version of this program wrote.
    #[error("the ledger holds what it cannot hold: {0}")]
    Corrupt(String),
    /// A change against the schema: a bug.
    #[error("the ledger refused a change against its own schema: {0}")]
    Forbidden(String),
    /// What is to be imported cannot be.
    #[error("nothing was imported: {0}")]
    Import(String),
    /// The engine's thread has ended.
    #[error("the ledger has been shut down")]
    Stopped,
    /// Somebody else holds the intent now, or its lease is over.
    #[error("the lease on row {} with fence {fence} is lost: {why}", row.0)]
    LostLease {
        /// The intent.
        row: RowId,
        /// The fence that was shown.
        fence: u64,
        /// What has become of it.
        why: &'static str,
    },
    /// The submit has ended in another way already.
    #[error("row {} is {} and cannot become {}", row.0, is.as_str(), asked.as_str())]
    Settled {
        /// The intent.
        row: RowId,
        /// How it ended.
        is: Phase,
        /// How it was to end.
        asked: Phase,
    },
    /// One job would have two rows.
    #[error("{native} on {backend} belongs to row {}, so it cannot be bound to row {}", holder.0, row.0)]
    TwoRows {
        /// Where the job runs.
        backend: BackendName,
        /// The backend's id of it.
        native: NativeId,
        /// The row that has it.
        holder: RowId,
        /// The row that was to have it.
        row: RowId,
    },
    /// One row would have two jobs.
    #[error("row {} is {has} on its backend, so it cannot be {native} as well", row.0)]
    TwoJobs {
        /// The row.
        row: RowId,
        /// The backend's id that it has.
        has: NativeId,
        /// The one that it was to have.
        native: NativeId,
    },
    /// There is no such row.
    #[error("there is no row {}", .0.0)]
    NoRow(RowId),
    /// A made id is not new.
    #[error("the id {0} was made for a submit, but another row has it")]
    UuidTaken(Uuid),
    /// All integers below 2^31 are given out.
    #[error("all ordinals are used up")]
    OrdinalsUsedUp,
}

impl LedgerError {
    pub(crate) fn open(path: impl Into<PathBuf>, cause: impl std::fmt::Display) -> Self {
        Self::Open { path: path.into(), cause: cause.to_string() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::open(path, cause)
    }

    /// Whether the store failed, as opposed to the caller.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Unwritable(_) | Self::Unreadable(_) | Self::Corrupt(_) | Self::Stopped)
    }
}

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        let unavailable = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
        match &error {
            LedgerError::Unwritable(_) => {
                Self::new(unavailable, "the ledger cannot be written: submits are refused").caused_by(error)
            }
            LedgerError::Unreadable(_) | LedgerError::Stopped => {
                Self::new(unavailable, "the ledger cannot be read").caused_by(error)
            }
            _ => Self::internal(error),
        }
    }
}
