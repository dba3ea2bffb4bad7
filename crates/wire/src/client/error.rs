//! Why there is no answer, and whether the backend may have acted all the same.

use std::time::Duration;

use batchlingua_core::{BackendName, Error, ErrorKind, SubmitError, Unproven};

/// When a backend that cannot be reached is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Not one byte of the request was sent.
    #[error("{0}")]
    NotSent(Failure),
    /// It may have been received.
    #[error("{0}")]
    Lost(Failure),
    /// The answer is larger than `max_answer`.
    #[error("an answer of more than {max} bytes (`max_answer`)")]
    TooLarge {
        /// The limit.
        max: u64,
    },
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// There is no connection.
    #[error("{0}")]
    Unreachable(String),
    /// TLS did not come about, for one because of a certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// The egress proxy does not let it through.
    #[error("the egress proxy: {0}")]
    Proxy(String),
    /// There was no time left, or it took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended before the answer did.
    #[error("the connection was closed: {0}")]
    Closed(String),
    /// The answer breaks the rules of HTTP or of its coding.
    #[error("{0}")]
    Unreadable(String),
    /// The request's own body could not be read to its end.
    #[error("the request's body: {0}")]
    Body(String),
    /// The caller's own credentials are to be used, and are of a kind that cannot.
    #[error("the caller's credentials cannot be used there")]
    Credentials,
    /// The request cannot be written as HTTP, or not be signed.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl UpstreamError {
    /// Whether the backend may have received the request: `false` only where that is certain.
    pub fn was_sent(&self) -> bool {
        match self {
            Self::NotSent(_) => false,
            Self::Lost(_) | Self::TooLarge { .. } => true,
        }
    }

    /// For a client, in words that name the backend.
    pub fn into_error(self, backend: &BackendName) -> Error {
        let unavailable = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
        let cause = self.to_string();
        let (kind, message) = match self {
            Self::TooLarge { .. } => (unavailable, format!("backend '{backend}' sent {cause}")),
            Self::NotSent(Failure::Credentials) => (
                ErrorKind::Unauthenticated(Unproven::Unusable),
                format!("backend '{backend}' is asked with the caller's own credentials, and takes none of this kind"),
            ),
            Self::NotSent(Failure::Request(_)) | Self::Lost(Failure::Request(_)) => {
                return Error::internal(format!("backend '{backend}': {cause}"));
            }
            Self::Lost(Failure::Timeout(within)) => {
                (ErrorKind::BackendTimeout, format!("backend '{backend}' did not answer within {within:?}"))
            }
            Self::Lost(Failure::Unreadable(why)) => {
                (unavailable, format!("backend '{backend}' sent an answer that cannot be read: {why}"))
            }
            Self::Lost(Failure::Closed(_)) => {
                (unavailable, format!("backend '{backend}' closed the connection before it had answered"))
            }
            Self::NotSent(Failure::Body(_)) | Self::Lost(Failure::Body(_)) => {
                (unavailable, format!("the request's body did not reach backend '{backend}' as a whole"))
            }
            Self::NotSent(why) | Self::Lost(why) => {
                (unavailable, format!("backend '{backend}' cannot be reached: {why}"))
            }
        };
        Error::new(kind, message).caused_by(cause)
    }

    /// For a submit: what is not certainly unsent is of unknown outcome.
    pub fn into_submit_error(self, backend: &BackendName) -> SubmitError {
        let was_sent = self.was_sent();
        let error = self.into_error(backend);
        if was_sent { SubmitError::Unknown(error) } else { SubmitError::NotSent(error) }
    }
}
