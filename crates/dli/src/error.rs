//! What a DLI client is told of every failure in the middle.
//!
//! Nearly all that the service itself refuses is a 400 with a code of its own; what stands in front of it has codes and statuses of its own,
//! and those are the ones that clients repeat. Terraform takes a 400 to the question for a state as the batch's end and goes on, and a 404
//! to the question for a batch as a sign to forget it: so a batch that nobody has is a 404 there and a 400 elsewhere, and what may pass is
//! never a 400 to a poll.

use batchlingua_core::{Clash, Denial, Error, ErrorKind, Missing};
use batchlingua_wire::{Body, RequestHead};
use http::Response;

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
        Some(own) if own.dialect.as_str() == NAME => answer::json(own.status, own.body.clone()),
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
