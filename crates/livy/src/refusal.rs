//! What a Livy's answer means that is no success: the way in of the table of errors, as [`crate::error`] is the way out.
//!
//! Livy says no in several shapes: `{"msg": …}`, a JSON string, the container's page (which is JSON with a `message`, since that is what we
//! accept), `{}`, or nothing. Anything else is somebody's in between: a gateway, a load balancer, another server at that address. Its words
//! are read before its status, since "too many" is a 400 there, and only a Livy can say that a batch is not there.

use std::time::Duration;

use batchlingua_core::{BackendName, Clash, Context, Denial, DialectName, Error, ErrorKind, Fault, Unproven};
use batchlingua_wire::Answer;
use http::{StatusCode, header};
use serde_json::Value;

use crate::NAME;

/// When a Livy that has too many sessions, or a gateway that cannot reach it, is worth another try.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const EXCERPT: usize = 300;

/// Who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// Livy, in these words; it has none where it only shakes its head.
    Livy(Option<String>),
    /// Somebody in between.
    Other,
}

impl Speaker {
    /// Of an answer that is no success.
    pub(crate) fn of(answer: &Answer) -> Self {
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        match serde_json::from_slice(&answer.body) {
            Ok(Value::String(text)) => Self::Livy(Some(text)),
            Ok(Value::Object(object)) if object.is_empty() => Self::Livy(None),
            Ok(Value::Object(mut object)) if object.contains_key("msg") => Self::Livy(text(object.remove("msg"))),
            Ok(Value::Object(mut object)) if object.contains_key("servlet") => {
                Self::Livy(text(object.remove("message")))
            }
            Ok(_) | Err(_) => Self::Other,
        }
    }

    pub(crate) fn words(&self) -> Option<&str> {
        match self {
            Self::Livy(words) => words.as_deref(),
            Self::Other => None,
        }
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About<'a> {
    /// A batch, by what it was called.
    Batch(&'a str),
    /// Something else.
    Others,
}

/// For whom a backend's answers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) backend: &'a BackendName,
    /// Whether it was asked with the caller's own credentials.
    pub(crate) as_caller: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(backend: &'a BackendName, takes_callers: bool, ctx: &Context) -> Self {
        Self { backend, as_caller: takes_callers && ctx.caller.is_some() }
    }

    /// A success that is none.
    pub(crate) fn unreadable(&self, answer: &Answer, fault: &dyn std::fmt::Display) -> Error {
        let name = self.backend;
        let status = answer.status.as_u16();
        let what = match (answer.is_html(), Speaker::of(answer).words()) {
            (true, _) => format!("an HTML page (\"{}\")", answer.text_excerpt(EXCERPT)),
            (false, Some(_)) => format!("\"{}\"", answer.text_excerpt(EXCERPT)),
            (false, None) => "something that cannot be read".to_owned(),
        };
        let message = format!("backend '{name}' answered {status} with {what} where a Livy answers an object");
        Error::new(ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, message).caused_by(fault.to_string())
    }

    /// What is told of an answer that is no success. Livy's own words go along for Livy's clients.
    pub(crate) fn refusal(&self, answer: &Answer, about: About<'_>) -> Error {
        let speaker = Speaker::of(answer);
        let name = self.backend;
        let said = answer.text_excerpt(EXCERPT);
        let told = |kind: ErrorKind| {
            let status = answer.status.as_u16();
            let text = match &speaker {
                Speaker::Livy(Some(_)) if answer.status.is_client_error() => reason(&said).to_owned(),
                // An empty object, or nothing.
                Speaker::Livy(None) => format!("backend '{name}' answered {status} without a reason"),
                Speaker::Other if said.is_empty() => format!("backend '{name}' answered {status} without a reason"),
                Speaker::Livy(Some(_)) | Speaker::Other => format!("backend '{name}' answered {status}: {said}"),
            };
            Error::new(kind, text)
        };
        let later = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
        let error = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED if !self.as_caller => {
                let message =
                    format!("backend '{name}' refused the proxy's credentials; have its operator look at `auth`");
                // Livy's own words would ask the client for a password that is not its to give.
                return Error::new(ErrorKind::BackendRejected, message).caused_by(said);
            }
            StatusCode::UNAUTHORIZED => told(ErrorKind::Unauthenticated(Unproven::Wrong)),
            StatusCode::FORBIDDEN if self.as_caller => told(ErrorKind::Forbidden(Denial::Backend)),
            StatusCode::NOT_FOUND => return self.not_found(answer, &speaker, about),
            StatusCode::TOO_MANY_REQUESTS => told(ErrorKind::Throttled { retry_after: RETRY_AFTER }),
            status if status.is_redirection() => return self.redirected(answer),
            status if status.is_server_error() => told(later),
            _ => told(refused(speaker.words())),
        };
        match speaker {
            Speaker::Livy(_) => Error { native: Some(Box::new(answer.native(&DialectName::from(NAME)))), ..error },
            Speaker::Other => error,
        }
    }

    /// Only a Livy knows that a batch is not there; a page of somebody else's says that this is no Livy's address.
    fn not_found(&self, answer: &Answer, speaker: &Speaker, about: About<'_>) -> Error {
        match (speaker, about) {
            (Speaker::Livy(Some(_)), About::Batch(wanted)) => Error::no_batch(wanted),
            (Speaker::Livy(_) | Speaker::Other, About::Batch(_) | About::Others) => {
                let message = format!(
                    "backend '{}' answered 404, and not as a Livy does; have its operator look at `url`",
                    self.backend
                );
                Error::new(ErrorKind::BackendRejected, message).caused_by(answer.text_excerpt(EXCERPT))
            }
        }
    }

    fn redirected(&self, answer: &Answer) -> Error {
        let location = answer.header(&header::LOCATION).and_then(|location| location.parse::<http::Uri>().ok());
        let host = location.as_ref().and_then(|location| location.host()).unwrap_or("another place of its own");
        let message = format!(
            "backend '{}' sent the proxy on to {host}, where it does not go; have its operator look at `url` and `auth`",
            self.backend
        );
        Error::new(ErrorKind::BackendRejected, message)
    }
}

/// Whether nothing was made because there are too many already.
fn is_throttled(words: &str) -> bool {
    words.contains("too many sessions")
}

/// Whether another batch has the name.
pub(crate) fn is_duplicate(words: &str) -> bool {
    words.contains("Duplicate session name")
}

/// Of a refusal in these words.
fn refused(words: Option<&str>) -> ErrorKind {
    match words {
        Some(words) if is_throttled(words) => ErrorKind::Throttled { retry_after: RETRY_AFTER },
        Some(words) if is_duplicate(words) => duplicate(words).unwrap_or(ErrorKind::BackendRejected),
        Some(words) => {
            match (between(words, "Local path ", " cannot be added"), between(words, "impersonate 'Some(", ")")) {
                (Some(path), _) => {
                    let fault = Fault::PathOutside(path.to_owned());
                    ErrorKind::InvalidRequest { field: "file".to_owned(), fault }
                }
                (None, Some(wanted)) => ErrorKind::Forbidden(Denial::RunAs { wanted: wanted.to_owned() }),
                (None, None) => ErrorKind::BackendRejected,
            }
        }
        None => ErrorKind::BackendRejected,
    }
}

fn duplicate(words: &str) -> Option<ErrorKind> {
    let (before, ordinal) = words.rsplit_once(" for session ")?;
    let name = before.split_once("Duplicate session name: Some(")?.1.strip_suffix(')')?.to_owned();
    Some(ErrorKind::Conflict(Clash::Name { name, ordinal: ordinal.trim().parse().ok()? }))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = text.split_once(before)?.1;
    Some(rest.split_once(after)?.0)
}

/// Livy's words without what stands before them all.
fn reason(words: &str) -> &str {
    ["Rejected, Reason: ", "requirement failed: "]
        .iter()
        .fold(words, |text, start| text.strip_prefix(start).unwrap_or(text))
}
