//! One closed kind of error in the middle; each dialect renders all of them.
//!
//! `message` may be shown to the client: one line, says what to change. `source` is for the log. Never an upstream's stack trace, a conf
//! value or a credential in a message.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{Action, BackendName, BatchId, BatchState, DialectName};

/// The result of anything that can fail in the middle.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failure on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// For the client.
    pub message: String,
    /// The same dialect's own answer.
    pub native: Option<Box<NativeError>>,
    /// For the log.
    pub source: Option<Source>,
}

/// The closed set of failures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request says something that cannot be done.
    InvalidRequest {
        /// The field to change, by the client's name for it.
        field: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Nobody has said who asks, or not believably.
    Unauthenticated(Unproven),
    /// Who asks may not do this.
    Forbidden(Denial),
    /// There is no such thing.
    NotFound(Missing),
    /// It stands against something that is there.
    Conflict(Clash),
    /// The batch is not in a state for this.
    IllegalState {
        /// Where it stands.
        state: BatchState,
        /// What could be done to it there.
        allowed: Vec<Action>,
    },
    /// The backend cannot do this at all.
    Unsupported {
        /// Which backend.
        backend: BackendName,
        /// What it cannot do.
        what: String,
    },
    /// The request is larger than a limit.
    TooLarge {
        /// The limit's name in the configuration.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// Too much at once; nothing was done.
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// The backend refused it.
    BackendRejected,
    /// The backend cannot be reached; nothing was done.
    BackendUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The backend did not answer in time.
    BackendTimeout,
    /// The submit may or may not have gone through; it will be found under this id.
    Ambiguous {
        /// The id.
        id: BatchId,
    },
    /// A fault of this program or its disk.
    Internal,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Missing, or of no meaning.
    Malformed,
    /// A path that lies outside the directories that a job may read.
    PathOutside(String),
    /// A value that the configuration does not allow.
    NotAllowed,
}

/// Why nobody knows who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// Nothing was shown.
    Nothing,
    /// What was shown cannot be read, or is of a kind that is not taken here.
    Unusable,
    /// It is not, or no longer, what proves the name: a wrong password, an unknown or old token, a signature that does not fit.
    Wrong,
}

/// Why a principal may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A browser sent it on behalf of another site, or under a name that is not ours.
    Origin,
    /// The principal may not run batches as this user.
    RunAs {
        /// That user.
        wanted: String,
    },
    /// The batch belongs to this user, and only its owner or an administrator may do this.
    Owner {
        /// That user.
        owner: String,
    },
    /// The principal may not use this project.
    Project(String),
    /// The principal may not use this queue.
    Queue(String),
    /// The backend says so.
    Backend,
}

/// What was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A batch, as the client named it.
    Batch(String),
    /// A batch's log.
    Log,
    /// A step of a batch.
    Step(String),
    /// A project.
    Project(String),
    /// A queue.
    Queue(String),
}

/// What a request stands against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// Another batch has the name.
    Name {
        /// The name.
        name: String,
        /// The integer that the refused batch would have had, which Livy's text gives.
        ordinal: u32,
    },
    /// The key was used for another request.
    KeyReused,
    /// The first request with this key is still on its way.
    KeyInFlight {
        /// When to try again.
        retry_after: Duration,
    },
    /// The id belongs to somebody else's batch.
    NotYours,
}

/// A backend's own answer, for clients of its dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeError {
    /// The backend's dialect.
    pub dialect: DialectName,
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

impl ErrorKind {
    /// The kind's name in metrics, logs and the audit.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "invalid_request",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::Conflict(_) => "conflict",
            Self::IllegalState { .. } => "illegal_state",
            Self::Unsupported { .. } => "unsupported",
            Self::TooLarge { .. } => "too_large",
            Self::Throttled { .. } => "throttled",
            Self::BackendRejected => "backend_rejected",
            Self::BackendUnavailable { .. } => "backend_unavailable",
            Self::BackendTimeout => "backend_timeout",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Internal => "internal",
        }
    }

    /// When the client may try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::BackendUnavailable { retry_after } => Some(*retry_after),
            Self::Conflict(Clash::KeyInFlight { retry_after }) => Some(*retry_after),
            _ => None,
        }
    }

    /// The same in whole seconds, rounded up: a client that waits so long does not come too early.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after().map(|after| (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1))
    }
}

impl Error {
    /// A failure with a message for the client.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), native: None, source: None }
    }

    /// The same with its cause, for the log.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Source>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// A fault of a field.
    pub fn invalid(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidRequest { field: field.into(), fault: Fault::Malformed }, message)
    }

    /// There is no such batch.
    pub fn no_batch(wanted: impl fmt::Display) -> Self {
        let wanted = wanted.to_string();
        let message = format!("no batch '{wanted}' is known here");
        Self::new(ErrorKind::NotFound(Missing::Batch(wanted)), message)
    }

    /// A fault of this program or its disk: the client learns no more than that.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Internal, "internal error; the log of the proxy has the cause").caused_by(what.to_string())
    }

    /// Message and cause in one line, for the log.
    pub fn detail(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.message),
            None => self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_waits_as_told_does_not_come_too_early() {
        for (millis, told) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (4_999, 5), (5_000, 5)] {
            let retry_after = Duration::from_millis(millis);
            let kind = ErrorKind::Conflict(Clash::KeyInFlight { retry_after });
            assert_eq!(kind.retry_after_seconds(), Some(told), "{millis} ms");
        }
        assert_eq!(ErrorKind::BackendTimeout.retry_after_seconds(), None);
    }
}
