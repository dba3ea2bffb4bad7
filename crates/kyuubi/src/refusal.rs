//! What a Kyuubi means by an answer that is no success.
//!
//! Its status tells little: a client's mistake, a limit and a fault of the server are all a 500, and what may not be done is a 403, a 405 or a
//! 500 by its version. So the text is read first. Up to 1.7.1 that is the body as it is, later the `message` of an object; what is neither
//! comes from something that stands before the Kyuubi.

use std::time::Duration;

use batchlingua_core::{BackendName, Denial, DialectName, Error, ErrorKind, Fault, Missing, NativeError, Unproven};
use batchlingua_wire::Answer;
use http::{StatusCode, Uri, header};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::NAME;

/// When a Kyuubi that is out of reach, or answers nonsense, is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// When a limit may have room again: sessions of ended batches count until they have been idle for long.
const LIMIT_AFTER: Duration = Duration::from_secs(30);
/// Most characters of a Kyuubi's words in a message of ours.
const EXCERPT: usize = 300;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Version,
    Submit,
    Batch(&'a str),
    List,
    Log(&'a str),
    Delete(&'a str),
}

/// What a Kyuubi's text means, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    /// There is no such batch.
    NoBatch,
    /// Its log is gone.
    NoLog,
    /// Who asks may not act for this user.
    NotFor(String),
    /// Who asks may not do this.
    NotAllowed,
    /// There are too many batches.
    Limit,
    /// A key of the conf is not taken.
    RestrictedKey,
    /// A path that no batch may name.
    Outside(String),
    /// Another instance, which the batch belongs to, does not answer.
    PeerSilent,
    /// Something that the request must have.
    Unmet,
    /// Something else.
    Other,
}

impl Sense {
    fn of(text: &str) -> Self {
        let between = |start: &str, end: &str| {
            let rest = &text[text.find(start)? + start.len()..];
            Some(rest[..rest.find(end)?].to_owned())
        };
        let has = |part: &str| text.contains(part);
        if text.starts_with("Invalid batchId: ") {
            Self::NoBatch
        } else if text.starts_with("No local log found for batch")
            || text.starts_with("Error getting operation log for")
        {
            Self::NoLog
        } else if let Some((_, user)) = text.split_once("Failed to validate proxy privilege of ") {
            Self::NotFor(user.split_once(" for ").map_or(user, |(_, user)| user).trim().to_owned())
        } else if text.starts_with("Api request failed for ") {
            Self::PeerSilent
        } else if has("Connection limit per ") || has("request rejected") {
            Self::Limit
        } else if has("Connection denied because") || has(" is not allowed to ") {
            Self::NotAllowed
        } else if has(" is a restrict key ") {
            Self::RestrictedKey
        } else if let Some(path) = between("The file ", " to access is not in the local dir allow list") {
            Self::Outside(path)
        } else if let Some(path) = between("Relative path ", " is not allowed") {
            Self::Outside(path)
        } else if text.starts_with("requirement failed: ") {
            Self::Unmet
        } else {
            Self::Other
        }
    }
}

/// An answer that is no success, read.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    answer: &'a Answer,
    /// Its text, where it is the Kyuubi's own.
    said: Option<String>,
    pub(crate) sense: Sense,
}

/// The one shape of Kyuubi's errors. A page of the web server that it runs in says more: its servlet where it has one, and always what was asked
/// for.
#[derive(Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "there")]
    message: Option<Option<String>>,
    servlet: Option<IgnoredAny>,
    url: Option<IgnoredAny>,
}

/// A null is told from what is not there.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl<'a> Refusal<'a> {
    pub(crate) fn read(answer: &'a Answer) -> Self {
        let said = said(answer);
        let sense = said.as_deref().map_or(Sense::Other, Sense::of);
        Self { answer, said, sense }
    }

    /// Whether the Kyuubi itself has spoken, and not something before it.
    pub(crate) fn is_kyuubis(&self) -> bool {
        self.said.is_some()
    }

    /// Whether it says so little that only what was asked tells what it means.
    fn is_mute(&self) -> bool {
        self.said.as_deref() == Some("")
    }

    /// For a client.
    pub(crate) fn error(&self, asked: Asked<'_>, backend: &BackendName, is_callers: bool) -> Error {
        let status = self.answer.status;
        let kind = self.kind(asked, is_callers);
        let words = self.answer.text_excerpt(EXCERPT);
        let message = match &kind {
            ErrorKind::NotFound(Missing::Batch(_)) => return Error::new(kind, no_batch(asked)),
            ErrorKind::NotFound(_) => "the log of this batch is gone there".to_owned(),
            ErrorKind::Unauthenticated(_) => format!("backend '{backend}' does not take the caller's credentials"),
            _ if self.is_about_credentials() => format!("backend '{backend}' refused the proxy's credentials"),
            _ if status.is_redirection() => {
                let host = self.redirected_to();
                format!("backend '{backend}' sends to {host} instead of answering; check its `url`")
            }
            ErrorKind::BackendUnavailable { .. } if self.sense == Sense::PeerSilent => {
                format!("backend '{backend}' cannot reach the instance that the batch belongs to")
            }
            ErrorKind::BackendUnavailable { .. } if status == StatusCode::NOT_FOUND => {
                format!(
                    "backend '{backend}' does not serve this call: it is starting, or its `url` is another server's"
                )
            }
            ErrorKind::BackendRejected if status == StatusCode::NOT_FOUND => {
                format!("backend '{backend}' does not know this call; check its `url`")
            }
            _ => format!("backend '{backend}' answered {}: {words}", status.as_u16()),
        };
        Error { native: self.native(&kind).map(Box::new), ..Error::new(kind, message) }
    }

    fn kind(&self, asked: Asked<'_>, is_callers: bool) -> ErrorKind {
        let unavailable = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
        let is_submit = asked == Asked::Submit;
        if self.is_about_credentials() {
            return if is_callers { ErrorKind::Unauthenticated(Unproven::Wrong) } else { ErrorKind::BackendRejected };
        }
        let of_sense = match (&self.sense, asked) {
            (Sense::NoBatch, Asked::Batch(id) | Asked::Log(id) | Asked::Delete(id)) => {
                Some(ErrorKind::NotFound(Missing::Batch(id.to_owned())))
            }
            (Sense::NoLog, Asked::Log(_)) => Some(ErrorKind::NotFound(Missing::Log)),
            (Sense::NotFor(user), _) => Some(ErrorKind::Forbidden(Denial::RunAs { wanted: user.clone() })),
            (Sense::NotAllowed, _) => Some(ErrorKind::Forbidden(Denial::Backend)),
            (Sense::Limit, Asked::Submit) => Some(ErrorKind::Throttled { retry_after: LIMIT_AFTER }),
            (Sense::RestrictedKey, Asked::Submit) => {
                Some(ErrorKind::InvalidRequest { field: "conf".to_owned(), fault: Fault::NotAllowed })
            }
            (Sense::Outside(path), Asked::Submit) => {
                Some(ErrorKind::InvalidRequest { field: "file".to_owned(), fault: Fault::PathOutside(path.clone()) })
            }
            (Sense::PeerSilent, _) => Some(unavailable.clone()),
            _ => None,
        };
        match (of_sense, self.answer.status) {
            (Some(kind), _) => kind,
            (None, StatusCode::FORBIDDEN) => ErrorKind::Forbidden(Denial::Backend),
            // All that 1.6 says of somebody else's batch.
            (None, StatusCode::METHOD_NOT_ALLOWED) if matches!(asked, Asked::Delete(_)) && self.is_kyuubis() => {
                ErrorKind::Forbidden(Denial::Backend)
            }
            (None, StatusCode::TOO_MANY_REQUESTS) => ErrorKind::Throttled { retry_after: self.retry_after() },
            // Cancelled before it was picked: it never had a log, and all that is said is null.
            (None, StatusCode::INTERNAL_SERVER_ERROR) if matches!(asked, Asked::Log(_)) && self.is_mute() => {
                ErrorKind::NotFound(Missing::Log)
            }
            (None, StatusCode::INTERNAL_SERVER_ERROR) if is_submit => ErrorKind::BackendRejected,
            (None, status) if status.is_server_error() => unavailable,
            // No word of a Kyuubi's own: something before it answers in its place, or the web server that it runs in, which listens some
            // seconds before it has anything to show.
            (None, StatusCode::NOT_FOUND) if !self.is_kyuubis() => unavailable,
            (None, _) => ErrorKind::BackendRejected,
        }
    }

    /// A 401, and a 403 of the filter in front of everything: a page, or an object that names its servlet.
    fn is_about_credentials(&self) -> bool {
        match self.answer.status {
            StatusCode::UNAUTHORIZED => true,
            StatusCode::FORBIDDEN => !self.is_kyuubis(),
            _ => false,
        }
    }

    fn retry_after(&self) -> Duration {
        let told = self.answer.header(&header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
        told.map_or(RETRY_AFTER, Duration::from_secs).min(Duration::from_secs(3_600))
    }

    fn redirected_to(&self) -> String {
        let uri = self.answer.header(&header::LOCATION).and_then(|location| location.parse::<Uri>().ok());
        match uri.as_ref().and_then(Uri::host) {
            Some(host) => format!("'{host}'"),
            None => "another path".to_owned(),
        }
    }

    /// Its own words for clients that speak Kyuubi. An id that is not there is told as the client has written it.
    fn native(&self, kind: &ErrorKind) -> Option<NativeError> {
        let is_ours = matches!(kind, ErrorKind::NotFound(Missing::Batch(_)));
        let is_told = self.is_kyuubis() && !is_ours && !self.answer.status.is_redirection();
        is_told.then(|| self.answer.native(&DialectName::from(NAME)))
    }
}

fn no_batch(asked: Asked<'_>) -> String {
    match asked {
        Asked::Batch(id) | Asked::Log(id) | Asked::Delete(id) => format!("no batch '{id}' is known here"),
        Asked::Version | Asked::Submit | Asked::List => "no such batch is known here".to_owned(),
    }
}

/// The text of an error of Kyuubi's own; empty where it says `null`.
fn said(answer: &Answer) -> Option<String> {
    if answer.is_html() {
        return None;
    }
    let kind = answer.content_type().map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if let Ok(object) = serde_json::from_slice::<Message>(&answer.body) {
        return object
            .message
            .filter(|_| object.servlet.is_none() && object.url.is_none())
            .map(Option::unwrap_or_default);
    }
    // A text, though it says that it is JSON: 1.7.1 and before. Jackson's complaints are texts to this day.
    let is_json = matches!(answer.body.first(), None | Some(b'{' | b'[' | b'"'));
    match kind.as_deref() {
        None | Some("application/json" | "text/plain") if !is_json => {
            Some(String::from_utf8_lossy(&answer.body).into_owned())
        }
        _ => None,
    }
}

/// A success that is none.
pub(crate) fn unreadable(answer: &Answer, wanted: &str, backend: &BackendName, why: &str) -> Error {
    let kind = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
    let what = if answer.is_html() { "an HTML page" } else { why };
    let message = format!("backend '{backend}' answered {} with what is not {wanted}: {what}", answer.status.as_u16());
    Error::new(kind, message)
}

#[cfg(test)]
#[path = "refusal/tests.rs"]
mod tests;
