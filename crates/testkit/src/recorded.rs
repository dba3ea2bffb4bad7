//! Exchanges with a real server as their bytes were recorded, for a dialect's own test against them.
//!
//! Read more plainly than golden files are: nothing is sorted, no header is left out, and what no HTTP library would take is `None` rather
//! than a fault, since that is what some of them were recorded for.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use serde_json::Value;

/// Status, headers and body without framing.
#[derive(Debug)]
pub struct Answer {
    /// Its number.
    pub status: u16,
    /// Every one, those that come twice too.
    pub headers: HeaderMap,
    /// As sent.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; empty where there is none, or where it is no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

fn read_headers(headers: &[httparse::Header<'_>]) -> HeaderMap {
    let pair = |header: &httparse::Header<'_>| {
        Some((HeaderName::try_from(header.name).ok()?, HeaderValue::from_bytes(header.value).ok()?))
    };
    let mut map = HeaderMap::new();
    headers.iter().filter_map(pair).for_each(|(name, value)| _ = map.append(name, value));
    map
}

fn unframed(headers: &HeaderMap, mut rest: &[u8]) -> Vec<u8> {
    if !headers.contains_key("transfer-encoding") {
        let length = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        return rest[..length.unwrap_or(0).min(rest.len())].to_vec();
    }
    let mut body = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else { panic!("a chunk") };
        let end = start + usize::try_from(size).expect("a small chunk");
        body.extend_from_slice(&rest[start..end]);
        rest = &rest[end + 2..];
        if size == 0 {
            return body;
        }
    }
}

/// The recorded answer; an interim `100 Continue` in front of it is left out. Of a server that said nothing it is status 0.
pub fn recorded_answer(bytes: &[u8]) -> Answer {
    if bytes.is_empty() {
        return Answer { status: 0, headers: HeaderMap::new(), body: Vec::new() };
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(at) = response.parse(bytes).expect("a response") else { panic!("a whole head") };
    if response.code == Some(100) {
        return recorded_answer(&bytes[at..]);
    }
    let headers = read_headers(response.headers);
    let body = unframed(&headers, &bytes[at..]);
    Answer { status: response.code.expect("a status"), headers, body }
}

/// The recorded request, head and body without framing. `None`: no HTTP library would take it.
pub fn recorded_request(bytes: &[u8]) -> Option<(http::request::Parts, Bytes)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(at) = request.parse(bytes).ok()? else { return None };
    let headers = read_headers(request.headers);
    let body = unframed(&headers, &bytes[at..]).into();
    let mut built = Request::builder().method(request.method?).uri(request.path?).body(()).ok()?;
    *built.headers_mut() = headers;
    Some((built.into_parts().0, body))
}
