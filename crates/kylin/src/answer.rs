//! Answers, with what every one of Kylin's has: the envelope or the bare value, the content type of its face, compression of large ones.

use batchlingua_wire::{Body, Coding, RequestHead, encode_body, java};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    dto::FrameworkError,
    face::{Face, JSON, Spoken, V2, V4},
};

/// From so many bytes on an answer is compressed for whom asks for it.
const LARGE: usize = 51_200;

/// A value: in an envelope, or bare in the legacy face.
pub(crate) fn data(head: &RequestHead, spoken: Spoken, value: &impl Serialize) -> Response<Body> {
    written(head, spoken, |out| out.extend(java::to_vec(value)))
}

/// The same for a value that `write` writes.
pub(crate) fn written(head: &RequestHead, spoken: Spoken, write: impl FnOnce(&mut Vec<u8>)) -> Response<Body> {
    let (before, behind) = match spoken.face {
        Face::V4 | Face::V2 => (r#"{"code":"000","data":"#, r#","msg":""}"#),
        Face::Legacy => ("", ""),
    };
    let mut body = before.as_bytes().to_vec();
    write(&mut body);
    body.extend_from_slice(behind.as_bytes());
    compressed(head, spoken.content_type, body)
}

/// Kylin compresses what it sends under its own types, but not under its public one.
fn compressed(head: &RequestHead, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let is_compressed = body.len() >= LARGE
        && [V2, V4].contains(&content_type)
        && head.header("accept-encoding").and_then(Coding::accepted) == Some(Coding::Gzip);
    if !is_compressed {
        return plain(200, Some(content_type), body);
    }
    let mut response = plain(200, Some(content_type), encode_body(Coding::Gzip, &body));
    put(response.headers_mut(), header::CONTENT_ENCODING, Coding::Gzip.as_str());
    put(response.headers_mut(), header::VARY, "accept-encoding");
    response
}

/// An answer as it stands.
pub(crate) fn plain(status: u16, content_type: Option<&str>, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(content_type) = content_type {
        put(response.headers_mut(), header::CONTENT_TYPE, content_type);
    }
    response
}

/// What the framework around Kylin says, by its own error object.
pub(crate) fn framework(head: &RequestHead, status: StatusCode, timestamp: String) -> Response<Body> {
    let path = format!("{}{}", head.face.path_prefix, head.target.raw_path);
    let error = status.canonical_reason().unwrap_or_default();
    let body = FrameworkError { timestamp, status: status.as_u16(), error, path: &path };
    plain(status.as_u16(), Some(JSON), java::to_vec(&body))
}

/// Sets a header; a text that can be no header's value is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
