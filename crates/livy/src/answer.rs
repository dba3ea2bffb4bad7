//! Answers, with what every one of Livy's has: its content types, its security headers, its compression.
//!
//! Livy has two voices. Its servlets answer JSON whatever `Accept` says, and compress it when asked; the container
//! around them (Jetty) answers for the filters in front, in HTML, plain text or JSON by `Accept`, and for some
//! methods with nothing at all. Which servlet a path belongs to is the container's view, in which escapes are decoded
//! and dots resolved, not the route table's.

use batchlingua_wire::{
    Body, Coding, RequestHead, encode_body,
    java::{Page, to_vec},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

/// What the servlets say that they send.
pub(crate) const JSON: &str = "application/json;charset=utf-8";
/// What is outside of them.
pub(crate) const HTML: &str = "text/html;charset=utf-8";

const SECURITY: [(HeaderName, &str); 4] = [
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (header::X_XSS_PROTECTION, "1; mode=block"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self' 'unsafe-inline'; img-src 'self'; frame-src 'self';",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Who answers in Livy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servlet {
    /// `/batches`
    Batches,
    /// `/sessions`
    Sessions,
    /// `/version`
    Version,
    /// Everything else.
    Other,
}

impl Servlet {
    /// Whose path it is.
    pub(crate) fn of(head: &RequestHead) -> Self {
        let path = head.target.segments.join("/");
        let mut segments: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment {
                "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        let first = match segments[..] {
            ["livy", second, ..] => second,
            [first, ..] => first,
            [] => "",
        };
        match first {
            "batches" => Self::Batches,
            "sessions" => Self::Sessions,
            "version" => Self::Version,
            _ => Self::Other,
        }
    }

    /// Whether it negotiates API versions and compresses.
    pub(crate) fn is_for_sessions(self) -> bool {
        match self {
            Self::Batches | Self::Sessions => true,
            Self::Version | Self::Other => false,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Batches => "org.apache.livy.server.batch.BatchSessionServlet",
            Self::Sessions => "org.apache.livy.server.interactive.InteractiveSessionServlet",
            Self::Version => "org.apache.livy.server.LivyServer$$anon$2",
            Self::Other => "org.apache.livy.server.LivyServer$$anon$4",
        }
    }
}

#[derive(Serialize)]
struct Msg<'a> {
    msg: &'a str,
}

/// The body `{"msg": …}`.
pub(crate) fn msg_body(text: &str) -> Vec<u8> {
    to_vec(&Msg { msg: text })
}

/// A servlet's answer with `{"msg": …}`.
pub(crate) fn msg(head: &RequestHead, status: u16, text: &str) -> Response<Body> {
    servlet(head, status, JSON, msg_body(text))
}

/// A servlet's answer in JSON.
pub(crate) fn object(head: &RequestHead, status: u16, value: &impl Serialize) -> Response<Body> {
    servlet(head, status, JSON, to_vec(value))
}

/// A servlet's answer, compressed if the client asks for it. An empty one has nothing to compress.
pub(crate) fn servlet(head: &RequestHead, status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut body = body.into();
    let coding = (head.header("accept-encoding").filter(|_| Servlet::of(head).is_for_sessions() && !body.is_empty()))
        .and_then(Coding::accepted);
    if let Some(coding) = coding {
        body = encode_body(coding, &body);
    }
    let mut response = plain(status, Some(content_type), body);
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    }
    response
}

/// An answer as it stands.
pub(crate) fn plain(status: u16, content_type: Option<&str>, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    secure(headers);
    if let Some(content_type) = content_type {
        put(headers, header::CONTENT_TYPE, content_type);
    }
    response
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// An answer without a body. To a HEAD its length is told, as it is to a GET: the HTTP library would leave it out.
pub(crate) fn empty(head: &RequestHead, status: u16, content_type: &str) -> Response<Body> {
    let mut response = plain(status, Some(content_type), "");
    if head.method == Method::HEAD {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// Sets a header; a text that can be no header's value is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The container's page, with what Livy's filters put on it.
pub(crate) fn page(head: &RequestHead, status: u16, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Page { status, message, servlet: Some(Servlet::of(head).class()) }.answer(head);
    secure(response.headers_mut());
    response
}
