//! Two tables of errors: what Kylin says to a request that it refuses, and what a Kylin client is told of every failure in the middle.
//!
//! Nearly every failure is HTTP 500 here, a client's own fault included, since that is what Kylin's clients take for an answer about a job:
//! to kylinpy any other status is a fault of the connection. So what is no answer about the job keeps HTTP's own status (413, 503 with
//! `Retry-After`, 504), and a job is not called broken because its platform is busy. The useful value is `error_code`; `exception` is always
//! a text, since kylinpy trips over anything else.

use batchlingua_core::{
    Action, BatchId, BatchState, Clash, Controlled, Denial, DialectName, Effect, Error, ErrorKind, Fault, Missing,
    NativeError, Unproven, redact,
};
use batchlingua_wire::{Body, NativeObject, RequestHead, java};
use http::{Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    NAME, answer, convert,
    dto::{ErrorObject, LegacyErrorObject},
    face::{Face, JSON, Spoken},
    state::{self, Status},
};

/// What cannot stand in a query as it is.
const IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'&').add(b'%').add(b'+');

/// One of Kylin's codes, with how its text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Of the newer kind.
    New(&'static str),
    /// Of the older kind, which has a name too.
    Old(&'static str, &'static str),
    /// The body is no JSON of the right shape.
    Unreadable,
    /// A fault that has none.
    None,
}

pub(crate) const PROJECT_BLANK: Code = Code::Old("KE-010001002", "Empty Project Name");
pub(crate) const NO_PROJECT: Code = Code::New("KE-010001201");
pub(crate) const BAD_PARAMETER: Code = Code::Old("KE-010000003", "Invalid Parameter");
pub(crate) const BAD_STATUS: Code = Code::New("KE-010032212");
pub(crate) const NOTHING_NAMED: Code = Code::New("KE-010032213");
pub(crate) const NOT_LEGAL: Code = Code::New("KE-010032217");
pub(crate) const REFUSED_BY_STATE: Code = Code::New("KE-010032211");
pub(crate) const NO_JOB: Code = Code::New("KE-010032219");
pub(crate) const MISSING_VALUE: Code = Code::New("KE-010043201");
pub(crate) const NOT_IN_LIST: Code = Code::New("KE-010043207");
pub(crate) const NEGATIVE: Code = Code::New("KE-010043208");
const JOB_EXISTS: Code = Code::New("KE-010032206");
const DENIED: Code = Code::Old("KE-010024001", "Access Denied");
const NOT_LOGGED_IN: Code = Code::New("KE-010003207");
const WRONG_PASSWORD: Code = Code::New("KE-010003208");
const NOBODY_TO_LOG_IN: Code = Code::New("KE-010003209");

impl Code {
    fn number(self) -> Option<&'static str> {
        match self {
            Self::New(number) | Self::Old(number, _) => Some(number),
            Self::Unreadable | Self::None => None,
        }
    }

    fn msg(self, text: &str) -> String {
        match self {
            Self::New(number) => format!("{number}: {text}"),
            Self::Old(number, name) => format!("{number}({name}):{text}"),
            Self::Unreadable => format!("KE-000030001(Failed Parse Json): {text}"),
            Self::None => format!("KE-000000001(UNKNOWN ERRORCODE): {text}"),
        }
    }
}

/// A request that Kylin refuses, before it is known in which face.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Reason>);

#[derive(Debug)]
struct Reason {
    status: u16,
    code: Code,
    kind: ErrorKind,
    text: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: Code, field: &str, text: impl Into<String>) -> Self {
        let kind = ErrorKind::InvalidRequest { field: field.to_owned(), fault: Fault::Malformed };
        Self(Box::new(Reason { status, code, kind, text: text.into() }))
    }

    /// The same, for a reason that is no fault of a field.
    fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same where another status is usual.
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
    }

    /// A required value is not there.
    pub(crate) fn missing(status: u16, name: &str) -> Self {
        Self::new(status, MISSING_VALUE, name, format!("'{name}' is required and is missing or empty"))
    }

    /// Who asks may not.
    pub(crate) fn denied(text: &str) -> Self {
        Self::new(400, DENIED, "project", text).of_kind(ErrorKind::Forbidden(Denial::Project(String::new())))
    }

    /// With the answer that it gets.
    pub(crate) fn into_error(self, head: &RequestHead, spoken: Spoken) -> Error {
        let Reason { status, code, kind, text } = *self.0;
        let native = NativeError {
            dialect: DialectName::from(NAME),
            status,
            content_type: spoken.content_type.to_owned(),
            body: envelope(head, spoken.face, code, &text).into(),
        };
        Error { native: Some(Box::new(native)), ..Error::new(kind, text) }
    }
}

fn envelope(head: &RequestHead, face: Face, code: Code, text: &str) -> Vec<u8> {
    let url = address(head);
    match face {
        Face::V4 | Face::V2 => java::to_vec(&error_object(code, text, url)),
        Face::Legacy => {
            let [msg, exception] = [text, text].map(str::to_owned);
            java::to_vec(&LegacyErrorObject { code: "999", data: (), msg, stacktrace: (), exception, url })
        }
    }
}

fn address(head: &RequestHead) -> String {
    format!("{}{}{}", head.face.public_url, head.face.path_prefix, head.target.raw_path)
}

fn error_object(code: Code, text: &str, url: String) -> ErrorObject {
    let msg = code.msg(text);
    let exception = if code.number().is_some() { msg.clone() } else { text.to_owned() };
    let suggestion = matches!(code, Code::New(_)).then_some("");
    ErrorObject { code: "999", data: (), msg, stacktrace: (), exception, url, suggestion, error_code: code.number() }
}

/// A failure in Kylin's words. Its own answer, where there is one, goes out as it is.
pub(crate) fn encode(head: &RequestHead, spoken: Spoken, error: &Error) -> Response<Body> {
    let mut response = match &error.native {
        Some(own) if is_of_face(own, spoken.face) => as_told(head, spoken, own),
        _ => encode_kind(head, spoken, error),
    };
    if let Some(seconds) = error.kind.retry_after_seconds() {
        answer::put(response.headers_mut(), header::RETRY_AFTER, &seconds.to_string());
    }
    response
}

/// Whether this is how a Kylin fails in this face: the older ones have no codes.
pub(crate) fn is_of_face(own: &NativeError, face: Face) -> bool {
    let object = NativeObject::read(&own.body).filter(|_| own.dialect.as_str() == NAME);
    let has_code = object.map(|object| object.get("error_code").is_some());
    match face {
        Face::V4 | Face::V2 => has_code == Some(true),
        Face::Legacy => has_code == Some(false),
    }
}

/// As the Kylin says it, but for the address that was asked: its client has asked here.
fn as_told(head: &RequestHead, spoken: Spoken, own: &NativeError) -> Response<Body> {
    let url = serde_json::to_string(&address(head)).expect("a text can be written as JSON");
    let body = NativeObject::read(&own.body).map(|object| object.with(&[("url", url.into())]));
    answer::plain(own.status, Some(spoken.content_type), body.unwrap_or_default())
}

fn encode_kind(head: &RequestHead, spoken: Spoken, error: &Error) -> Response<Body> {
    let message = error.message.as_str();
    let say = |status: u16, code: Code| said(head, spoken, status, code, message);
    match &error.kind {
        ErrorKind::InvalidRequest { .. } => say(400, BAD_PARAMETER),
        ErrorKind::Unauthenticated(unproven) => unauthenticated(head, *unproven, message),
        ErrorKind::Forbidden(_) => say(400, DENIED),
        ErrorKind::NotFound(Missing::Batch(wanted)) => {
            said(head, spoken, 500, NO_JOB, &format!("job '{wanted}' does not exist"))
        }
        ErrorKind::NotFound(Missing::Project(project)) => {
            said(head, spoken, 500, NO_PROJECT, &format!("project '{project}' does not exist"))
        }
        ErrorKind::NotFound(Missing::Log | Missing::Step(_)) => say(500, NO_JOB),
        ErrorKind::NotFound(Missing::Queue(_)) => say(500, BAD_PARAMETER),
        ErrorKind::Conflict(Clash::Name { .. } | Clash::KeyReused | Clash::KeyInFlight { .. } | Clash::NotYours) => {
            say(500, JOB_EXISTS)
        }
        ErrorKind::IllegalState { state, allowed } => {
            let text = kylins_words(error).unwrap_or_else(|| not_legal(*state, allowed, message));
            said(head, spoken, 500, NOT_LEGAL, &text)
        }
        ErrorKind::Unsupported { .. } => say(500, REFUSED_BY_STATE),
        ErrorKind::TooLarge { .. } => say(413, BAD_PARAMETER),
        ErrorKind::BackendRejected => say(500, Code::None),
        ErrorKind::Throttled { .. } | ErrorKind::BackendUnavailable { .. } => say(503, Code::None),
        ErrorKind::BackendTimeout | ErrorKind::Ambiguous { .. } => say(504, Code::None),
        ErrorKind::Internal => say(500, Code::None),
    }
}

/// What a Kylin itself has said, in whatever face it was asked: it knows best what can be done to a job there. A code in front is the face's.
fn kylins_words(error: &Error) -> Option<String> {
    let own = error.native.as_ref().filter(|own| own.dialect.as_str() == NAME)?;
    let object = NativeObject::read(&own.body)?;
    let text: String = serde_json::from_str(object.get("msg")?).ok()?;
    let words = text.strip_prefix("KE-").and_then(|coded| coded.split_once(':')).map_or(&*text, |(_, words)| words);
    Some(words.trim().to_owned()).filter(|words| !words.is_empty())
}

fn said(head: &RequestHead, spoken: Spoken, status: u16, code: Code, text: &str) -> Response<Body> {
    answer::plain(status, Some(spoken.content_type), envelope(head, spoken.face, code, text))
}

/// What is said of a head that never gets to Kylin's filters. The container's own page would do, were it not for kylinpy, which can only
/// read an envelope.
pub(crate) fn bad_message(status: StatusCode, reason: &str) -> Response<Body> {
    let body = java::to_vec(&error_object(Code::None, reason, String::new()));
    let mut response = answer::plain(status.as_u16(), Some(JSON), body);
    answer::put(response.headers_mut(), header::CONNECTION, "close");
    response
}

/// The security layer has words of its own: JSON with line ends whatever is asked for, the whole address, and no challenge, so that a browser
/// shows Kylin's own page and not its own.
fn unauthenticated(head: &RequestHead, unproven: Unproven, message: &str) -> Response<Body> {
    let has_basic = head.headers.contains_key(header::AUTHORIZATION);
    let code = match unproven {
        Unproven::Wrong if has_basic => WRONG_PASSWORD,
        // A session that is over proves nothing, and nothing is what its client has shown.
        Unproven::Wrong | Unproven::Nothing | Unproven::Unusable if head.route_name() == "login" => NOBODY_TO_LOG_IN,
        Unproven::Wrong | Unproven::Nothing | Unproven::Unusable => NOT_LOGGED_IN,
    };
    let written = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    // What is told to one who asks is also what he keeps in his log.
    let shown = |(name, value)| format!("{}={}", written(name), written(redact::conf_value(name, value)));
    let query: Vec<String> = head.target.query.iter().map(shown).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{}{mark}{}", address(head), query.join("&"));
    let body = serde_json::to_vec_pretty(&error_object(code, message, url));
    answer::plain(401, Some(JSON), body.expect("the shape has text keys only"))
}

/// What Kylin lists: the status, and what could be done to a job in it. Where the backend's limits make that less, it is said why.
fn not_legal(state: BatchState, allowed: &[Action], message: &str) -> String {
    let status = Status::of(state);
    let possible = |action| allowed.contains(&action) || (action == Action::Cancel && status == Status::Error);
    let actions = status.legal_actions(possible);
    let text = listed(status, &actions);
    if actions == status.legal_actions(|_| true) { text } else { format!("{text}; {message}") }
}

/// The same for a status alone, without a job.
pub(crate) fn not_legal_for(status: Status, action: &str) -> Refusal {
    let text = format!("{}, and not {action}", listed(status, &status.legal_actions(|_| true)));
    Refusal::new(500, NOT_LEGAL, "statuses", text)
}

fn listed(status: Status, actions: &str) -> String {
    format!("a job in status {} takes these actions: [{actions}]", status.name())
}

/// Why one job of a call could not be acted on. `None`: it could.
pub(crate) fn of_controlled(head: &RequestHead, spoken: Spoken, one: &Controlled<BatchId>) -> Option<Response<Body>> {
    let id = convert::shown_id(&one.id);
    let by_state = |action: &str, state: BatchState, why: &str| {
        let text = format!("action {action} on job {id} is refused by its state {}{why}", state::internal(state));
        said(head, spoken, 500, REFUSED_BY_STATE, &text)
    };
    let error = match &one.result {
        // It came too late: the job has gone well, and stays so.
        Ok(Effect::Ended(BatchState::Succeeded) | Effect::AlreadyEnded(BatchState::Succeeded)) => {
            return Some(by_state("DISCARD", BatchState::Succeeded, ""));
        }
        Ok(Effect::Accepted | Effect::Ended(_) | Effect::AlreadyEnded(_) | Effect::NothingToDo) => return None,
        Err(error) => error,
    };
    let own = error.native.as_ref().filter(|own| is_of_face(own, spoken.face));
    Some(match (&error.kind, head.route_name()) {
        _ if let Some(own) = own => as_told(head, spoken, own),
        (ErrorKind::IllegalState { state, .. }, "forget" | "drop") => {
            let status = Status::of(*state).name();
            let text = format!("job {id} is {status} and cannot be dropped: discard it first");
            said(head, spoken, 500, Code::None, &text)
        }
        // v2 looks at no status beforehand: the state itself refuses.
        (ErrorKind::IllegalState { state, .. }, "resume") if spoken.face == Face::V2 => {
            let why = Status::of(*state).allows(Action::Resume).then(|| format!("; {}", error.message));
            by_state("RESUME", *state, &why.unwrap_or_default())
        }
        (ErrorKind::IllegalState { .. } | ErrorKind::Forbidden(_) | ErrorKind::NotFound(_), _) => {
            encode(head, spoken, error)
        }
        // Some of the call may have been done, so none of it is to be tried again by itself.
        _ => said(head, spoken, 500, REFUSED_BY_STATE, &format!("job {id}: {}", error.message)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_as_kylins_do() {
        assert_eq!(NO_JOB.msg("x"), "KE-010032219: x");
        assert_eq!(BAD_PARAMETER.msg("x"), "KE-010000003(Invalid Parameter):x");
        let unknown = error_object(Code::None, "x", String::new());
        assert_eq!((unknown.exception.as_str(), unknown.error_code, unknown.suggestion), ("x", None, None));
        let old = error_object(DENIED, "x", String::new());
        assert_eq!((old.exception.as_str(), old.suggestion), (old.msg.as_str(), None));
        assert_eq!(error_object(NO_JOB, "x", String::new()).suggestion, Some(""));
    }

    #[test]
    fn the_backends_limits_make_the_list_of_actions_shorter() {
        let all = [Action::Resume, Action::Cancel, Action::Pause, Action::Restart];
        for (state, allowed, listed) in [
            (BatchState::Running, &all[..], "[DISCARD, PAUSE, RESTART]"),
            (BatchState::Running, &[Action::Cancel], "[DISCARD]"),
            (BatchState::Queued, &[Action::Cancel], "[DISCARD]"),
            (BatchState::Failed, &[], "[DISCARD]"),
            (BatchState::Succeeded, &[], "[]"),
            (BatchState::Cancelled, &all[..], "[]"),
        ] {
            let text = not_legal(state, allowed, "why");
            let is_kylins = state.is_end() && state != BatchState::Failed || allowed.len() > 1;
            assert!(text.contains(listed) && text.ends_with("; why") != is_kylins, "{text}");
        }
    }
}
