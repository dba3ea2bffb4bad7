//! What a Kylin's answer means that is no success: the way in of the table of errors, as [`crate::error`] is the way out.
//!
//! A Kylin 5 says 500 to nearly everything, and 200 at times; what it means stands in `error_code`. The older ones have no codes, and a page for
//! who has not logged in. What is neither is somebody's in between: a gateway, a load balancer, another server at that address.

use std::time::Duration;

use batchlingua_core::{BackendName, BatchState, Denial, DialectName, Error, ErrorKind, Fault, Missing, Unproven};
use batchlingua_wire::{Answer, NativeObject};
use http::{StatusCode, Uri, header};
use serde::Deserialize;

use crate::{NAME, door::Blame};

/// When a Kylin that is in maintenance, or a gateway that cannot reach it, is worth another try.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(10);
/// When a job may go on that waits for another one on its object.
const BUSY: Duration = Duration::from_secs(30);
const EXCERPT: usize = 300;
/// How much of a page is looked through for a form to log in by.
const LOOKED_AT: usize = 64 * 1024;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About<'a> {
    /// A job is read.
    Job(&'a str),
    /// A job is acted on.
    Action(&'a str),
    /// Many jobs, of this project.
    Jobs(Option<&'a str>),
}

/// What a Kylin says no with.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) why: Why,
}

/// Why, as far as something follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The job's state does not let it.
    State,
    /// Kylin itself has refused, for whatever other reason.
    Word,
    /// The proxy's own credentials are not taken.
    Credentials(Blame),
    /// There was no answer that a Kylin gives.
    NoAnswer,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Refusal {
    pub(crate) fn no_answer(error: Error) -> Self {
        Self { error, why: Why::NoAnswer }
    }
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    NoJob,
    NoProject,
    State,
    BadRequest,
    Busy,
    Denied,
    NotLoggedIn(Blame),
    Closed,
    Other,
}

fn meaning(code: &str) -> Meaning {
    match code {
        "KE-010032219" => Meaning::NoJob,
        "KE-010001201" => Meaning::NoProject,
        // The last one: a restart of what has loaded data already.
        "KE-010032211" | "KE-010032215" | "KE-010032217" | "KE-010032220" => Meaning::State,
        "KE-010032212" | "KE-010032213" | "KE-010043201" | "KE-010043207" | "KE-010043208" => Meaning::BadRequest,
        "KE-010000003" | "KE-010001002" => Meaning::BadRequest,
        "KE-010032206" | "KE-010032216" => Meaning::Busy,
        "KE-010024001" => Meaning::Denied,
        // A wrong password, and an account that is locked for it.
        "KE-010003208" | "KE-010003005" => Meaning::NotLoggedIn(Blame::Counted),
        "KE-010003207" | "KE-010003209" | "KE-010003008" => Meaning::NotLoggedIn(Blame::NotCounted),
        "KE-040024201" | "KE-010021002" | "KE-010021003" | "KE-010021004" => Meaning::Closed,
        _ => Meaning::Other,
    }
}

/// A Kylin's own failure.
#[derive(Debug, Deserialize)]
struct Told {
    #[serde(default)]
    msg: Option<String>,
    #[serde(default)]
    exception: Option<String>,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    code: Option<String>,
}

impl Told {
    fn of(answer: &Answer) -> Option<Self> {
        let told: Self = serde_json::from_slice(&answer.body).ok()?;
        // The framework's object has none of these, a good answer has no failure's code.
        let is_failure = told.code.as_deref().is_some_and(|code| code != "000");
        (is_failure && (told.msg.is_some() || told.exception.is_some())).then_some(told)
    }

    /// The code, which begins the text as well.
    fn code(&self) -> &str {
        let begins = self.msg.as_deref().and_then(|msg| msg.get(..12)).filter(|code| code.starts_with("KE-"));
        self.error_code.as_deref().or(begins).unwrap_or_default()
    }
}

/// Whether a Kylin says that it has failed, whatever the status.
pub(crate) fn is_failure(answer: &Answer) -> bool {
    Told::of(answer).is_some()
}

/// For whom a Kylin's answers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) backend: &'a BackendName,
    /// Whether it was asked with the caller's own credentials.
    pub(crate) as_caller: bool,
}

impl Judge<'_> {
    /// What is told of an answer that is no success.
    pub(crate) fn refusal(&self, answer: &Answer, about: About<'_>) -> Refusal {
        if answer.status.is_redirection() {
            return self.redirected(answer);
        }
        if answer.is_html() {
            return self.page(answer);
        }
        if let Some(told) = Told::of(answer) {
            return self.told(answer, meaning(told.code()), about);
        }
        self.by_status(answer, about)
    }

    /// A good status with no answer behind it.
    pub(crate) fn unreadable(&self, answer: &Answer, why: &dyn std::fmt::Display) -> Refusal {
        let said = answer.text_excerpt(EXCERPT);
        let message = format!("backend '{}' sent an answer that cannot be used: {why}", self.backend);
        let error = Error::new(ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, message);
        Refusal::no_answer(error.caused_by(said))
    }

    fn told(&self, answer: &Answer, meaning: Meaning, about: About<'_>) -> Refusal {
        let name = self.backend;
        let said = answer.text_excerpt(EXCERPT);
        let text = format!("backend '{name}': {said}");
        let (kind, why) = match meaning {
            Meaning::NotLoggedIn(blame) => return self.not_logged_in(blame, said),
            Meaning::Denied => return self.denied(said),
            // A 401 is no word about a job, whatever else it says.
            _ if answer.status == StatusCode::UNAUTHORIZED => return self.not_logged_in(Blame::Counted, said),
            Meaning::NoJob => return self.word(answer, missing(about)),
            Meaning::NoProject => return self.word(answer, no_project(about)),
            Meaning::State if matches!(about, About::Action(_)) => (illegal(), Why::State),
            // A fault of ours: to who only looks it says nothing about the job.
            Meaning::BadRequest => (bad_request(about), Why::Word),
            Meaning::Busy => (ErrorKind::Throttled { retry_after: BUSY }, Why::Word),
            Meaning::Closed => (ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, Why::Word),
            Meaning::State | Meaning::Other => (ErrorKind::BackendRejected, Why::Word),
        };
        Refusal { why, ..self.word(answer, Error::new(kind, text)) }
    }

    /// With Kylin's own answer, for its clients.
    fn word(&self, answer: &Answer, error: Error) -> Refusal {
        let native = without_trace(answer, &DialectName::from(NAME));
        Refusal { error: Error { native: Some(Box::new(native)), ..error }, why: Why::Word }
    }

    fn by_status(&self, answer: &Answer, about: About<'_>) -> Refusal {
        let name = self.backend;
        let status = answer.status;
        let said = answer.text_excerpt(EXCERPT);
        let text = match said.is_empty() {
            true => format!("backend '{name}' answered {}", status.as_u16()),
            false => format!("backend '{name}' answered {}: {said}", status.as_u16()),
        };
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                return self.not_logged_in(Blame::Counted, said);
            }
            StatusCode::FORBIDDEN => return self.denied(said),
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled { retry_after: RETRY_AFTER },
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }
            }
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE => {
                let message = format!(
                    "backend '{name}' answered {} and does not have this call; have its operator look at `url` and `face`",
                    status.as_u16()
                );
                return Refusal::no_answer(Error::new(ErrorKind::BackendRejected, message).caused_by(said));
            }
            status if status.is_success() => {
                return self.unreadable(
                    answer,
                    &match about {
                        About::Job(_) | About::Action(_) => "it is not what a Kylin answers about a job",
                        About::Jobs(_) => "it is not what a Kylin answers about its jobs",
                    },
                );
            }
            _ => ErrorKind::BackendRejected,
        };
        Refusal::no_answer(Error::new(kind, text))
    }

    fn not_logged_in(&self, blame: Blame, said: String) -> Refusal {
        let name = self.backend;
        if self.as_caller {
            let message = format!("backend '{name}' refused the caller's credentials");
            let error = Error::new(ErrorKind::Unauthenticated(Unproven::Wrong), message).caused_by(said);
            return Refusal { error, why: Why::Word };
        }
        Refusal { error: refused_credentials(name).caused_by(said), why: Why::Credentials(blame) }
    }

    fn denied(&self, said: String) -> Refusal {
        let name = self.backend;
        let error = match self.as_caller {
            true => Error::new(
                ErrorKind::Forbidden(Denial::Backend),
                format!("backend '{name}' does not let the caller do this"),
            ),
            // Nobody who asks the proxy can do anything about it.
            false => {
                let message = format!(
                    "backend '{name}' does not let the proxy's account do this; have its operator give the account the right to operate the project"
                );
                Error::new(ErrorKind::BackendRejected, message)
            }
        };
        Refusal { error: error.caused_by(said), why: Why::Word }
    }

    /// A page for people: a form to log in by, or somebody in between.
    fn page(&self, answer: &Answer) -> Refusal {
        let title = answer.text_excerpt(EXCERPT);
        let status = answer.status;
        if status == StatusCode::UNAUTHORIZED || is_login(&answer.body) {
            return self.not_logged_in(Blame::Counted, title);
        }
        if status == StatusCode::FORBIDDEN {
            return self.denied(title);
        }
        let message =
            format!("backend '{}' answered {} with an HTML page (\"{title}\")", self.backend, status.as_u16());
        let kind = if status.is_client_error() {
            ErrorKind::BackendRejected
        } else {
            ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }
        };
        Refusal::no_answer(Error::new(kind, message))
    }

    fn redirected(&self, answer: &Answer) -> Refusal {
        let location = answer.header(&header::LOCATION).unwrap_or_default();
        if location.to_ascii_lowercase().contains("login") {
            return self.not_logged_in(Blame::Counted, format!("{} to a page to log in by", answer.status.as_u16()));
        }
        let uri = location.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or("another place of its own");
        let message = format!(
            "backend '{}' sent the proxy on to {host}, where it does not go; have its operator look at `url`",
            self.backend
        );
        Refusal::no_answer(Error::new(ErrorKind::BackendRejected, message))
    }
}

/// The proxy's own credentials are no good there.
pub(crate) fn refused_credentials(backend: &BackendName) -> Error {
    let message = format!("backend '{backend}' refused the proxy's credentials; have its operator look at `auth`");
    Error::new(ErrorKind::BackendRejected, message)
}

fn missing(about: About<'_>) -> Error {
    match about {
        About::Job(id) | About::Action(id) => Error::no_batch(id),
        About::Jobs(_) => {
            Error::new(ErrorKind::BackendRejected, "a list of jobs was answered with a job that is not there")
        }
    }
}

/// A job of a project that is not there is not there.
fn no_project(about: About<'_>) -> Error {
    match about {
        About::Job(id) | About::Action(id) => Error::no_batch(id),
        About::Jobs(project) => {
            let project = project.unwrap_or_default().to_owned();
            let message = format!("there is no project '{project}'");
            Error::new(ErrorKind::NotFound(Missing::Project(project)), message)
        }
    }
}

fn bad_request(about: About<'_>) -> ErrorKind {
    match about {
        About::Action(_) => ErrorKind::InvalidRequest { field: "action".to_owned(), fault: Fault::NotAllowed },
        About::Job(_) | About::Jobs(_) => ErrorKind::BackendRejected,
    }
}

/// Which state it is has to be looked at: a Kylin says it in words only.
fn illegal() -> ErrorKind {
    ErrorKind::IllegalState { state: BatchState::Running, allowed: Vec::new() }
}

fn is_login(page: &[u8]) -> bool {
    let page = String::from_utf8_lossy(&page[..page.len().min(LOOKED_AT)]).to_ascii_lowercase();
    ["type=\"password\"", "type='password'", "j_spring_security_check"].iter().any(|mark| page.contains(mark))
}

/// A stack trace is nobody's business but the Kylin's; all else stays as it came.
fn without_trace(answer: &Answer, dialect: &DialectName) -> batchlingua_core::NativeError {
    let mut native = answer.native(dialect);
    if let Some(object) = NativeObject::read(&answer.body)
        && object.get("stacktrace").is_some_and(|trace| trace != "null")
    {
        native.body = object.with(&[("stacktrace", "null".into())]).into();
    }
    native
}

#[cfg(test)]
mod tests;
