//! Two tables of errors: what Kyuubi itself says to a request that it refuses, and what a Kyuubi client is told of every failure in the
//! middle.
//!
//! Kyuubi has one shape for what its own code refuses, `{"message": …}`, mostly with a 500: its clients repeat no request because of a
//! status, and people read the text. Beside it stand Jackson's words as plain text, and the container's pages for who has not proven who he
//! is.

use batchlingua_core::{Clash, Denial, DialectName, Error, ErrorKind, Fault, Missing, NativeError};
use batchlingua_wire::{
    Body, RequestHead,
    java::{Page, to_vec},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    NAME,
    answer::{self, JSON, TEXT},
    credentials::Shown,
    dto::Message,
};

/// In front of what Kyuubi requires of a request.
const UNMET: &str = "requirement failed: ";
/// Whose paths are behind Kyuubi's filter.
const SERVLET: &str = "org.glassfish.jersey.servlet.ServletContainer";

/// Jackson's words.
pub(crate) fn spoken(field: impl Into<String>, message: impl Into<String>, words: String) -> Error {
    native(field, message, StatusCode::BAD_REQUEST, TEXT, words)
}

/// What Kyuubi requires is not so.
pub(crate) fn unmet(field: impl Into<String>, requirement: &str) -> Error {
    thrown(field, requirement, &format!("{UNMET}{requirement}"))
}

/// An exception in Kyuubi's code.
pub(crate) fn thrown(field: impl Into<String>, message: impl Into<String>, words: &str) -> Error {
    native(field, message, StatusCode::INTERNAL_SERVER_ERROR, JSON, message_body(words))
}

/// A state that no filter knows.
pub(crate) fn bad_state() -> Error {
    let known = crate::state::FILTERS.join(",");
    unmet("batchState", &format!("The valid batch state can be one of the following: {known}"))
}

/// A number in a query that is none, or is out of its bits: to Jersey the path is not there then.
pub(crate) fn bad_number(name: &str) -> Error {
    of_status(name, format!("{name:?} must be a whole number"), StatusCode::NOT_FOUND)
}

/// What Jersey says by its status alone.
pub(crate) fn of_status(field: &str, message: impl Into<String>, status: StatusCode) -> Error {
    native(field, message, status, JSON, message_body(&status_words(status)))
}

/// Jersey's words of a status.
pub(crate) fn status_words(status: StatusCode) -> String {
    format!("HTTP {} {}", status.as_str(), status.canonical_reason().unwrap_or_default())
}

fn message_body(message: &str) -> Vec<u8> {
    to_vec(&Message { message })
}

fn native(
    field: impl Into<String>,
    message: impl Into<String>,
    status: StatusCode,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Error {
    let kind = ErrorKind::InvalidRequest { field: field.into(), fault: Fault::Malformed };
    let own = NativeError {
        dialect: DialectName::from(NAME),
        status: status.as_u16(),
        content_type: content_type.to_owned(),
        body: body.into(),
    };
    Error { native: Some(Box::new(own)), ..Error::new(kind, message.into()) }
}

/// A failure in Kyuubi's words. Kyuubi's own answer, where there is one, goes out as it is.
pub(crate) fn encode(head: &RequestHead, error: &Error) -> Response<Body> {
    if let Some(own) = error.native.as_ref().filter(|own| own.dialect.as_str() == NAME) {
        let status = StatusCode::from_u16(own.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return answer::plain(status, &own.content_type, own.body.clone());
    }
    let mut response = encode_kind(head, error);
    if let Some(seconds) = error.kind.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn encode_kind(head: &RequestHead, error: &Error) -> Response<Body> {
    let message = error.message.as_str();
    let told = |status: StatusCode, text: &str| answer::object(head, status, &Message { message: text });
    let refused = |text: &str| told(StatusCode::INTERNAL_SERVER_ERROR, text);
    match &error.kind {
        ErrorKind::InvalidRequest { fault: Fault::PathOutside(path), .. } => {
            refused(&format!("{UNMET}The file {path} to access is not in the local dir allow list."))
        }
        ErrorKind::InvalidRequest { fault: Fault::Malformed | Fault::NotAllowed, field } => match field.as_str() {
            // What the house's reader says of a form is Jersey's business: it does not say more than that.
            "body" | "Content-Type" if answer::is_form(head) => {
                told(StatusCode::BAD_REQUEST, &status_words(StatusCode::BAD_REQUEST))
            }
            "body" | "Content-Type" => told(StatusCode::BAD_REQUEST, message),
            _ => refused(&format!("{UNMET}{message}")),
        },
        ErrorKind::Unauthenticated(_) => unproven(head),
        ErrorKind::Forbidden(Denial::RunAs { wanted: user } | Denial::Owner { owner: user }) => {
            let real = &head.asker().identity.principal.name;
            told(StatusCode::FORBIDDEN, &format!("Failed to validate proxy privilege of {real} for {user}"))
        }
        ErrorKind::Forbidden(Denial::Origin | Denial::Project(_) | Denial::Queue(_) | Denial::Backend) => {
            told(StatusCode::FORBIDDEN, message)
        }
        ErrorKind::NotFound(Missing::Batch(wanted)) => {
            // As the client wrote it.
            let written = Some(head.param(0)).filter(|written| !written.is_empty()).unwrap_or(wanted);
            told(StatusCode::NOT_FOUND, &no_batch(written))
        }
        ErrorKind::NotFound(Missing::Log) => {
            let batch = crate::ids::parse(head.param(0)).unwrap_or_default();
            told(StatusCode::NOT_FOUND, &format!("No local log found for batch: {batch}"))
        }
        ErrorKind::NotFound(Missing::Step(_)) => told(StatusCode::NOT_FOUND, message),
        ErrorKind::NotFound(Missing::Project(_) | Missing::Queue(_)) => refused(&format!("{UNMET}{message}")),
        ErrorKind::Conflict(Clash::Name { .. } | Clash::KeyReused | Clash::KeyInFlight { .. } | Clash::NotYours) => {
            told(StatusCode::CONFLICT, message)
        }
        ErrorKind::IllegalState { .. } => told(StatusCode::CONFLICT, message),
        // As a Kyuubi words a submit that asks for what it has been told not to do, such as an upload; of other calls there is no such word.
        ErrorKind::Unsupported { .. } if head.route_name() == "submit" => refused(&format!("{UNMET}{message}")),
        ErrorKind::Unsupported { .. } => refused(message),
        ErrorKind::TooLarge { .. } => told(StatusCode::PAYLOAD_TOO_LARGE, message),
        ErrorKind::Throttled { .. } | ErrorKind::BackendUnavailable { .. } => {
            told(StatusCode::SERVICE_UNAVAILABLE, message)
        }
        ErrorKind::BackendRejected if head.route_name() == "submit" => refused(message),
        ErrorKind::BackendRejected => told(StatusCode::BAD_GATEWAY, message),
        ErrorKind::BackendTimeout | ErrorKind::Ambiguous { .. } => told(StatusCode::GATEWAY_TIMEOUT, message),
        ErrorKind::Internal => refused(message),
    }
}

/// The text about an id that nobody has.
pub(crate) fn no_batch(written: &str) -> String {
    format!("Invalid batchId: {written}")
}

/// What the filter in front says of who has not proven who he is. Which of its answers it is the header tells; a header that can be read
/// names nobody who is known, or not with this password.
fn unproven(head: &RequestHead) -> Response<Body> {
    let page = |status, message: &str| Page { status, message, servlet: Some(SERVLET) }.answer(head);
    let no_scheme = |shown: &str| page(StatusCode::UNAUTHORIZED, &format!("No auth scheme matched for {shown}"));
    match Shown::of(head) {
        Shown::Nothing => no_scheme("null"),
        Shown::Other(scheme) => no_scheme(&scheme),
        Shown::NoData => {
            page(StatusCode::FORBIDDEN, "Authorization header received from the client does not contain any data.")
        }
        Shown::NotBase64(why) => {
            page(StatusCode::INTERNAL_SERVER_ERROR, &format!("java.lang.IllegalArgumentException: {why}"))
        }
        shown @ Shown::Basic { .. } if !shown.is_whole() => {
            let mut response = answer::empty(head, StatusCode::UNAUTHORIZED);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("BASIC"));
            response
        }
        Shown::Basic { user, .. } => {
            page(StatusCode::FORBIDDEN, &format!("Password does not match or no such user. user: {user}"))
        }
    }
}

/// Jersey's page for what is no media type.
pub(crate) fn bad_media_type(head: &RequestHead) -> Response<Body> {
    let status = StatusCode::BAD_REQUEST;
    Page { status, message: "Bad Request", servlet: Some(SERVLET) }.answer(head)
}
