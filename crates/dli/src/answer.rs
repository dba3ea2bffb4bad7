//! Answers: all of them are JSON objects, and none sends a client elsewhere.

use batchlingua_core::NativeError;
use batchlingua_wire::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::dto::ErrorObject;

/// What a failure is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
}

/// An object.
pub(crate) fn object(status: u16, value: &impl Serialize) -> Response<Body> {
    json(status, serde_json::to_vec(value).expect("the shapes have text keys only"))
}

/// Bytes that are JSON.
pub(crate) fn json(status: u16, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A DLI's own failure, as it is.
pub(crate) fn native(own: &NativeError) -> Response<Body> {
    let mut response = json(own.status, own.body.clone());
    if let Ok(content_type) = HeaderValue::from_str(&own.content_type)
        && !content_type.is_empty()
    {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

/// A failure. What stands in front of the service tells the request's id in the body as well.
pub(crate) fn error(code: Code, message: &str, request_id: Option<&str>) -> Response<Body> {
    let Code { status, code } = code;
    let said = if message.is_empty() { code } else { message };
    let request_id = request_id.filter(|_| code.starts_with("APIGW"));
    object(status, &ErrorObject { error_code: code, error_msg: said, request_id })
}
