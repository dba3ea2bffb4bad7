//! Answers, with what every one of Livy's has: its content types, its security headers, its compression.
//!
//! Livy has two voices. Its servlets answer JSON whatever `Accept` says, and compress it when asked; the container
//! around them (Jetty) answers for the filters in front, in HTML, plain text or JSON by `Accept`, and for some
//! methods with nothing at all. Which servlet a path belongs to is the container's view, in which escapes are decoded
//! and dots resolved, not the route table's.

use batchlingua_wire::{Body, Coding, RequestHead, encode_body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

use crate::json;

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
    json::to_vec(&Msg { msg: text })
}

/// A servlet's answer with `{"msg": …}`.
pub(crate) fn msg(head: &RequestHead, status: u16, text: &str) -> Response<Body> {
    servlet(head, status, JSON, msg_body(text))
}

/// A servlet's answer in JSON.
pub(crate) fn object(head: &RequestHead, status: u16, value: &impl Serialize) -> Response<Body> {
    servlet(head, status, JSON, json::to_vec(value))
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
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(content_type) = content_type {
        put(headers, header::CONTENT_TYPE, content_type);
    }
    response
}

/// An answer without a body. To a HEAD its length is told, as it is to a GET: the HTTP library would leave it out.
pub(crate) fn empty(head: &RequestHead, status: u16, content_type: &str) -> Response<Body> {
    let mut response = plain(status, Some(content_type), "");
    if head.method == Method::HEAD {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// The container's words about a head that never gets to Livy's filters, and so not to the headers that these set.
pub(crate) fn bad_message(status: StatusCode, reason: &str) -> Response<Body> {
    let body = format!("<h1>Bad Message {}</h1><pre>reason: {}</pre>", status.as_u16(), escaped(reason));
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    put(headers, header::CONTENT_TYPE, "text/html;charset=iso-8859-1");
    put(headers, header::CONNECTION, "close");
    response
}

/// Sets a header; a text that can be no header's value is left out.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The container's page: for GET, POST and HEAD only; other methods get its status with nothing.
pub(crate) fn page(head: &RequestHead, status: u16, message: &str) -> Response<Body> {
    if ![Method::GET, Method::POST, Method::HEAD].contains(&head.method) {
        return plain(status, None, "");
    }
    let (class, url) = (Servlet::of(head).class(), head.target.raw_path.as_str());
    let mut response = match PageType::of(head) {
        None => plain(status, None, ""),
        Some(PageType::Html) => {
            let (url, message) = (escaped(url), escaped(message));
            let body = format!(
                "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
                 <title>Error {status} {message}</title>\n</head>\n<body><h2>HTTP ERROR {status} {message}</h2>\n<table>\n\
                 <tr><th>URI:</th><td>{url}</td></tr>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n\
                 <tr><th>MESSAGE:</th><td>{message}</td></tr>\n<tr><th>SERVLET:</th><td>{class}</td></tr>\n</table>\n\n\
                 </body>\n</html>\n"
            );
            plain(status, Some("text/html;charset=iso-8859-1"), body)
        }
        Some(PageType::Text) => {
            let body = format!(
                "HTTP ERROR {status} {message}\nURI: {url}\nSTATUS: {status}\nMESSAGE: {message}\nSERVLET: {class}\n"
            );
            plain(status, Some("text/plain;charset=iso-8859-1"), body)
        }
        Some(PageType::Json(content_type)) => {
            let [class, message, url, status_text] = [class, message, url, &status.to_string()]
                .map(|text| String::from_utf8_lossy(&json::to_vec(&text)).into_owned());
            let body = format!(
                "{{\n\"servlet\":{class},\n\"message\":{message},\n\"url\":{url},\n\"status\":{status_text}\n}}"
            );
            plain(status, Some(content_type), body)
        }
    };
    put(response.headers_mut(), header::CACHE_CONTROL, "must-revalidate,no-cache,no-store");
    response
}

enum PageType {
    Html,
    Text,
    Json(&'static str),
}

impl PageType {
    /// The first type of `Accept`, by weight and then by how much it says, that the container can write.
    fn of(head: &RequestHead) -> Option<Self> {
        let Some(accept) = head.header("accept") else { return Some(Self::Html) };
        let mut wanted: Vec<(f32, u8, &str)> = Vec::new();
        for part in accept.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let name = pieces.next().unwrap_or_default();
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            let detail = match name {
                "*/*" => 0,
                name if name.ends_with("/*") => 1,
                _ => 2,
            };
            if weight > 0.0 {
                wanted.push((weight, detail, name));
            }
        }
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        wanted.iter().find_map(|(_, _, name)| match *name {
            "text/html" | "text/*" | "*/*" => Some(Self::Html),
            "text/plain" => Some(Self::Text),
            "application/json" => Some(Self::Json("application/json")),
            "text/json" => Some(Self::Json("text/json")),
            _ => None,
        })
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}
