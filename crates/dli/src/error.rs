//! Two tables of failures: what a DLI client is told of every one in the middle, and what a DLI's own mean.
//!
//! Nearly all that the service itself refuses is a 400 with a code of its own; what stands in front of it has codes and statuses of its own,
//! and those are the ones that clients repeat. Terraform takes a 400 to the question for a state as the batch's end and goes on, and a 404
//! to the question for a batch as a sign to forget it: so a batch that nobody has is a 404 there and a 400 elsewhere, and what may pass is
//! never a 400 to a poll.
//!
//! Of a DLI the code is read before the status: nearly all that the service refuses is a 400, and among those are failures of its own. Codes
//! of what stands in front of it are the same list under two names (`APIG.…`, `APIGW.…`). Of a create it is told beside whether it is sure
//! that there is no batch; where it is not, nobody knows.

use std::{fmt, time::Duration};

use batchlingua_core::{BackendName, Clash, Denial, DialectName, Error, ErrorKind, Missing, Unproven, redact};
use batchlingua_wire::{Answer, Body, RequestHead};
use http::{Response, StatusCode, Uri, header};
use serde_json::Value;

use crate::{
    NAME,
    answer::{self, Code},
};

const fn code(status: u16, code: &'static str) -> Code {
    Code { status, code }
}

pub(crate) const PARAMETER: Code = code(400, "DLI.0001");
const NO_OBJECT: Code = code(400, "DLI.0002");
const PERMISSION: Code = code(400, "DLI.0003");
const EXISTS: Code = code(400, "DLI.0006");
pub(crate) const NOT_SUPPORTED: Code = code(400, "DLI.0007");
const NOTHING_RELATED: Code = code(404, "DLI.0023");
const SERVER: Code = code(500, "DLI.0999");
pub(crate) const NO_API: Code = code(404, "APIGW.0101");
pub(crate) const MALFORMED: Code = code(400, "APIGW.0106");
const UNAUTHENTICATED: Code = code(401, "APIGW.0301");
const NOT_ALLOWED: Code = code(403, "APIGW.0302");
const ACCESS_DENIED: Code = code(403, "APIGW.0306");
const THROTTLED: Code = code(429, "APIGW.0308");
const UNAVAILABLE: Code = code(502, "APIGW.0201");
const TIMED_OUT: Code = code(504, "APIGW.0201");
const TOO_LARGE: Code = code(413, "APIGW.0201");

/// What the gateway says of a request that is too long for it, at this status.
pub(crate) const fn too_long(status: u16) -> Code {
    code(status, "APIGW.0201")
}

/// A failure in DLI's words. A DLI's own answer, where there is one, goes out as it is.
pub(crate) fn encode(head: &RequestHead, error: &Error) -> Response<Body> {
    match &error.native {
        Some(own) if own.dialect.as_str() == NAME => answer::native(own),
        _ => {
            let message = match &error.kind {
                ErrorKind::NotFound(Missing::Queue(queue)) => format!("There is no queue named {queue}"),
                _ => error.message.clone(),
            };
            answer::error(code_of(head.route_name(), &error.kind), &message, Some(head.id.as_str()))
        }
    }
}

fn code_of(route: &str, kind: &ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidRequest { .. } => PARAMETER,
        ErrorKind::Unauthenticated(_) => UNAUTHENTICATED,
        ErrorKind::Forbidden(Denial::Project(_)) => NOT_ALLOWED,
        ErrorKind::Forbidden(Denial::Origin) => ACCESS_DENIED,
        ErrorKind::Forbidden(Denial::Queue(_) | Denial::RunAs { .. } | Denial::Owner { .. } | Denial::Backend) => {
            PERMISSION
        }
        ErrorKind::NotFound(Missing::Batch(_)) if route == "get" => NOTHING_RELATED,
        ErrorKind::NotFound(Missing::Batch(_) | Missing::Log | Missing::Step(_) | Missing::Queue(_)) => NO_OBJECT,
        // Whether a project is there at all is nobody's business who may not use it.
        ErrorKind::NotFound(Missing::Project(_)) => NOT_ALLOWED,
        ErrorKind::Conflict(Clash::Name { .. } | Clash::KeyReused | Clash::NotYours) => EXISTS,
        // There is no 409 here, and any 400 is for good.
        ErrorKind::Conflict(Clash::KeyInFlight { .. }) => THROTTLED,
        ErrorKind::IllegalState { .. } | ErrorKind::Unsupported { .. } => NOT_SUPPORTED,
        ErrorKind::TooLarge { .. } => TOO_LARGE,
        ErrorKind::Throttled { .. } => THROTTLED,
        ErrorKind::BackendRejected if route == "create" => PARAMETER,
        ErrorKind::BackendRejected | ErrorKind::BackendUnavailable { .. } => UNAVAILABLE,
        ErrorKind::BackendTimeout | ErrorKind::Ambiguous { .. } => TIMED_OUT,
        ErrorKind::Internal => SERVER,
    }
}

/// What a call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About<'a> {
    Create,
    /// A project's batches.
    Project,
    Batch(&'a str),
    Log(&'a str),
}

/// What a DLI refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// Whether nothing was done, for sure.
    pub(crate) is_sure: bool,
}

/// What a failure says, in any of the forms that Huawei's services have for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    code: String,
    message: String,
}

const LONGEST_MESSAGE: usize = 500;
/// When to try again, where nobody says it; and the most that is believed.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

impl Told {
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let members = body.as_object()?;
        Self::of(&body).or_else(|| members.values().filter(|inner| inner.is_object()).find_map(Self::of))
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| match value.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        [("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message")].into_iter().find_map(
            |(code, said)| {
                let message = text(said);
                // `code` and `message` are names of other things as well, where one of them stands alone.
                let code = text(code).or_else(|| message.as_ref().filter(|_| code != "code").map(|_| String::new()))?;
                (code != "0").then(|| Self { code, message: message.unwrap_or_default() })
            },
        )
    }

    /// The digits of a gateway's code.
    fn gateway(&self) -> Option<&str> {
        self.code.strip_prefix("APIGW.").or_else(|| self.code.strip_prefix("APIG."))
    }

    /// The queue that there is none of.
    fn queue(&self) -> Option<&str> {
        let rest = self.message.split_once("queue named ")?.1;
        let name = rest.split_whitespace().next()?.trim_matches(['.', ',', '\'', '"', '[', ']']);
        (!name.is_empty()).then_some(name)
    }
}

/// For a person: one line, without secrets.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.message.lines().next().unwrap_or_default();
        let said: String = redact::line(line).chars().take(LONGEST_MESSAGE).collect();
        match (said.is_empty(), self.code.is_empty()) {
            (false, false) => write!(f, "{said} ({})", self.code),
            (false, true) => f.write_str(&said),
            (true, _) => f.write_str(&self.code),
        }
    }
}

/// What it means.
enum Meaning {
    /// Who asks is not known there, or may not do this.
    Stranger,
    Denied,
    /// It may not use a queue, a package or a file.
    NotAllowed,
    NoBatch,
    NoLog,
    NoQueue(String),
    /// It is wrong, and will be each time.
    Wrong,
    /// Too much at once; nothing was done.
    Throttled,
    /// It may have been begun.
    Failing,
    Late,
    /// It never got as far as the service.
    Closed,
}

/// What a DLI's answer with a bad status is. `is_callers`: it was asked with the caller's own credentials.
pub(crate) fn refusal(
    answer: &Answer,
    about: About<'_>,
    backend: &BackendName,
    dialect: &DialectName,
    is_callers: bool,
) -> Refusal {
    let told = Told::read(&answer.body);
    let meaning = meaning(answer, told.as_ref(), about);
    let said = told.as_ref().map_or_else(|| unspoken(answer), Told::to_string);
    // Another call may have another code for the same, and what is said of the proxy's own credentials is not for its clients: they would
    // change theirs.
    let is_theirs = match meaning {
        Meaning::NoBatch | Meaning::NoLog => false,
        Meaning::Stranger | Meaning::Denied => is_callers,
        Meaning::NotAllowed | Meaning::NoQueue(_) | Meaning::Wrong | Meaning::Throttled => true,
        Meaning::Failing | Meaning::Late | Meaning::Closed => true,
    };
    let native = (told.is_some() && is_theirs).then(|| Box::new(answer.native(dialect)));
    let is_sure = !matches!(meaning, Meaning::Failing | Meaning::Late);
    let retry_after = retry_after(answer);
    let (kind, words) = match meaning {
        Meaning::NoBatch => return Refusal { error: Error::no_batch(about.batch()).caused_by(said), is_sure },
        Meaning::NoLog => (ErrorKind::NotFound(Missing::Log), "has no such log"),
        Meaning::Stranger if is_callers => {
            (ErrorKind::Unauthenticated(Unproven::Wrong), "refused the credentials that it was shown")
        }
        Meaning::Denied | Meaning::NotAllowed if is_callers => {
            (ErrorKind::Forbidden(Denial::Backend), "does not allow it")
        }
        Meaning::Stranger | Meaning::Denied => (ErrorKind::BackendRejected, "refused the proxy's credentials"),
        Meaning::NoQueue(queue) => (ErrorKind::NotFound(Missing::Queue(queue)), "refused it"),
        Meaning::Wrong | Meaning::NotAllowed => (ErrorKind::BackendRejected, "refused it"),
        Meaning::Throttled => (ErrorKind::Throttled { retry_after }, "has too much to do"),
        Meaning::Failing => (ErrorKind::BackendUnavailable { retry_after }, "failed"),
        Meaning::Late => (ErrorKind::BackendTimeout, "took too long"),
        Meaning::Closed => (ErrorKind::BackendUnavailable { retry_after }, "is not available"),
    };
    let error = Error::new(kind, format!("backend '{backend}' {words}: {said}"));
    Refusal { error: Error { native, ..error }, is_sure }
}

fn meaning(answer: &Answer, told: Option<&Told>, about: About<'_>) -> Meaning {
    let Some(told) = told else { return of_status(answer.status, about, !answer.is_html()) };
    match told.code.as_str() {
        "DLI.0002" | "DLI.0023" if about.is_batch() => Meaning::NoBatch,
        "DLI.0001" if about.is_batch() && says_absent(&told.message) => Meaning::NoBatch,
        "DLI.0002" | "DLI.0008" => told.queue().map_or(Meaning::Wrong, |queue| Meaning::NoQueue(queue.to_owned())),
        "DLI.0003" | "DLI.0011" | "DLI.0016" => Meaning::NotAllowed,
        "DLI.0013" | "DLI.0014" | "DLI.0015" => Meaning::Stranger,
        "DLI.0019" => Meaning::Late,
        "DLI.0100" if matches!(about, About::Log(_)) => Meaning::NoLog,
        "DLI.0999" | "DLI.10001" => Meaning::Failing,
        code if code.starts_with("DLI.") => match of_status(answer.status, about, false) {
            // A code of the service is its answer, whatever the status.
            Meaning::NoBatch | Meaning::Stranger | Meaning::Denied => Meaning::Wrong,
            meaning => meaning,
        },
        _ => match told.gateway() {
            Some("0101") => Meaning::Wrong,
            Some("0301" | "0305" | "0307") => Meaning::Stranger,
            Some("0302" | "0306" | "0310" | "0402" | "0801" | "0802") => Meaning::Denied,
            Some("0308") => Meaning::Throttled,
            Some("0613") => Meaning::Closed,
            Some(_) => of_status(answer.status, about, false),
            None => of_status(answer.status, about, true),
        },
    }
}

/// `may_be_dli`: nothing says that a 404 is somebody else's.
fn of_status(status: StatusCode, about: About<'_>, may_be_dli: bool) -> Meaning {
    match status.as_u16() {
        401 => Meaning::Stranger,
        403 => Meaning::Denied,
        404 if may_be_dli && about.is_batch() => Meaning::NoBatch,
        408 | 504 => Meaning::Late,
        429 => Meaning::Throttled,
        300..=499 => Meaning::Wrong,
        _ => Meaning::Failing,
    }
}

fn says_absent(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["not exist", "not found", "no such"].iter().any(|words| message.contains(words))
}

/// What is told of an answer that is none of DLI's.
fn unspoken(answer: &Answer) -> String {
    let status = answer.status;
    if status.is_redirection() {
        // Of the address no more than its host: a path may hold what is nobody's business.
        let host = answer.header(&header::LOCATION).and_then(|location| location.parse::<Uri>().ok());
        let host = host.as_ref().and_then(Uri::host).unwrap_or("another address");
        return format!(
            "it redirects to {host} ({status}), which is not followed; `url` must be the address of DLI itself"
        );
    }
    match answer.text_excerpt(LONGEST_MESSAGE) {
        said if said.is_empty() => format!("{status}"),
        said => format!("{said} ({status})"),
    }
}

/// In seconds, as gateways say it.
fn retry_after(answer: &Answer) -> Duration {
    let told = answer.header(&header::RETRY_AFTER).and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    told.map_or(RETRY_AFTER, |told| told.min(LONGEST_RETRY))
}

impl About<'_> {
    fn is_batch(self) -> bool {
        match self {
            Self::Batch(_) | Self::Log(_) => true,
            Self::Create | Self::Project => false,
        }
    }

    fn batch(&self) -> &str {
        match self {
            Self::Batch(id) | Self::Log(id) => id,
            Self::Create | Self::Project => "",
        }
    }
}

#[cfg(test)]
mod tests;
