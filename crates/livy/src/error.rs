//! Two tables of errors: what Livy itself says to a request that it refuses, and what a Livy client is told of every
//! failure in the middle.
//!
//! Livy has five ways to say no: `{"msg": …}`, a JSON string in Jackson's or an exception's words, an exception on an
//! HTML page, the container's page, nothing. The first four stand here. A refusal keeps Livy's own bytes and status,
//! 500 for many a client's fault, while its kind says whose fault it is.

use batchlingua_core::{Clash, Denial, DialectName, Error, ErrorKind, Fault, Missing, NativeError, Unproven};
use batchlingua_wire::{Body, RequestHead, java::to_vec};
use bytes::Bytes;
use http::{Response, header};

use crate::{
    NAME,
    answer::{self, HTML, JSON},
};

/// The shape `{"msg": …}` around a submit's refusal.
const REJECTED: &str = "Rejected, Reason: ";

/// Jackson's words.
pub(crate) fn spoken(field: impl Into<String>, message: impl Into<String>, words: &str) -> Error {
    native(field, Fault::Malformed, message, 400, JSON, to_vec(&words))
}

/// An exception that nobody caught.
pub(crate) fn thrown(field: impl Into<String>, message: impl Into<String>, exception: &str) -> Error {
    native(field, Fault::Malformed, message, 500, JSON, to_vec(&exception))
}

/// An exception that the container caught.
pub(crate) fn thrown_page(field: impl Into<String>, message: impl Into<String>, exception: &str) -> Error {
    native(field, Fault::Malformed, message, 500, HTML, exception.to_owned())
}

/// A submit that is refused with a reason.
pub(crate) fn rejected(field: impl Into<String>, fault: Fault, reason: &str) -> Error {
    let body = answer::msg_body(&format!("{REJECTED}{reason}"));
    let message = reason.strip_prefix("requirement failed: ").unwrap_or(reason);
    native(field, fault, message, 400, JSON, body)
}

/// A number that is none, or that is out of 32 bits.
pub(crate) fn bad_number(field: &str, value: &str) -> Error {
    let body = answer::msg_body(&format!("For input string: \"{value}\""));
    native(field, Fault::Malformed, format!("{field:?} must be a 32-bit integer"), 400, JSON, body)
}

fn native(
    field: impl Into<String>,
    fault: Fault,
    message: impl Into<String>,
    status: u16,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Error {
    let kind = ErrorKind::InvalidRequest { field: field.into(), fault };
    let own = NativeError {
        dialect: DialectName::from(NAME),
        status,
        content_type: content_type.to_owned(),
        body: body.into(),
    };
    Error { native: Some(Box::new(own)), ..Error::new(kind, message.into()) }
}

/// A failure in Livy's words. Livy's own answer, where there is one, goes out as it is.
pub(crate) fn encode(head: &RequestHead, error: &Error) -> Response<Body> {
    let mut response = match &error.native {
        Some(own) if own.dialect.as_str() == NAME => {
            answer::servlet(head, own.status, &own.content_type, own.body.clone())
        }
        _ => encode_kind(head, error),
    };
    if let Some(seconds) = error.kind.retry_after_seconds() {
        answer::put(response.headers_mut(), header::RETRY_AFTER, &seconds.to_string());
    }
    response
}

fn encode_kind(head: &RequestHead, error: &Error) -> Response<Body> {
    let msg = |status: u16, text: &str| answer::msg(head, status, text);
    let rejected = |reason: &str| msg(400, &format!("{REJECTED}{reason}"));
    let message = error.message.as_str();
    let is_submit = head.route_name() == "submit";
    match &error.kind {
        ErrorKind::InvalidRequest { fault: Fault::PathOutside(path), .. } => {
            rejected(&format!("requirement failed: Local path {path} cannot be added to user sessions."))
        }
        ErrorKind::InvalidRequest { fault: Fault::Malformed | Fault::NotAllowed, .. } => rejected(message),
        ErrorKind::Unauthenticated(Unproven::Unusable | Unproven::Wrong) => answer::page(head, 403, message),
        ErrorKind::Unauthenticated(Unproven::Nothing) => {
            let mut response = answer::page(head, 401, "Authentication required");
            answer::put(response.headers_mut(), header::WWW_AUTHENTICATE, "Basic");
            response
        }
        ErrorKind::Forbidden(Denial::RunAs { wanted }) => {
            let user = &head.asker().identity.principal.name;
            msg(403, &format!("User '{user}' not allowed to impersonate 'Some({wanted})'."))
        }
        ErrorKind::Forbidden(
            Denial::Origin | Denial::Owner { .. } | Denial::Project(_) | Denial::Queue(_) | Denial::Backend,
        ) => msg(403, message),
        ErrorKind::NotFound(Missing::Batch(wanted)) => {
            // As the client wrote it: `007` is not `7` in its eyes.
            let written = Some(head.param(0)).filter(|written| !written.is_empty()).unwrap_or(wanted);
            msg(404, &not_found(written))
        }
        ErrorKind::NotFound(Missing::Log | Missing::Step(_)) => msg(404, message),
        ErrorKind::NotFound(Missing::Project(_) | Missing::Queue(_)) => rejected(message),
        ErrorKind::Conflict(Clash::Name { name, ordinal }) => {
            rejected(&format!("Duplicate session name: Some({name}) for session {ordinal}"))
        }
        ErrorKind::Conflict(Clash::KeyReused | Clash::KeyInFlight { .. } | Clash::NotYours) => msg(409, message),
        ErrorKind::IllegalState { .. } => msg(400, message),
        ErrorKind::Unsupported { .. } => rejected(message),
        ErrorKind::TooLarge { .. } => msg(413, message),
        // Livy's own word, which clients take for "later". For a poll it would be the job's end: a 4xx fails
        // Airflow's task at once.
        ErrorKind::Throttled { .. } if is_submit => msg(400, "Rejected, too many sessions are being created!"),
        ErrorKind::Throttled { .. } => msg(503, message),
        ErrorKind::BackendRejected if is_submit => rejected(message),
        ErrorKind::BackendRejected => msg(502, message),
        ErrorKind::BackendUnavailable { .. } => msg(503, message),
        ErrorKind::BackendTimeout | ErrorKind::Ambiguous { .. } => msg(504, message),
        ErrorKind::Internal => answer::object(head, 500, &message),
    }
}

/// The text about an id or name that nobody has.
pub(crate) fn not_found(wanted: &str) -> String {
    format!("Session '{wanted}' not found.")
}
