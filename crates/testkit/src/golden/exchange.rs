//! HTTP messages as files hold them: the bytes of the wire, or the same typed by hand with bare line feeds.

use batchlingua_wire::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;

/// Headers of a response that no client acts on, or that the server writes and not the dialect.
const NOT_COMPARED: [&str; 6] = ["date", "server", "connection", "keep-alive", "content-length", "transfer-encoding"];

/// A response as far as it is compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    /// Lower-case name and value, sorted.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Reads a request: recorded bytes, or typed ones with bare line feeds in the head. Chunks are put together.
pub fn parse_request(bytes: &[u8]) -> Result<Request<Bytes>, String> {
    let (head, body) = split(bytes)?;
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(&head).map_err(|error| format!("the request's head cannot be read: {error}"))?;
    if status.is_partial() {
        return Err("the request's head does not end".to_owned());
    }
    let mut request = Request::builder().method(parsed.method.unwrap_or("")).uri(parsed.path.unwrap_or(""));
    request = request.version(if parsed.version == Some(0) { http::Version::HTTP_10 } else { http::Version::HTTP_11 });
    for header in parsed.headers.iter() {
        let name = HeaderName::try_from(header.name).map_err(|error| error.to_string())?;
        request = request.header(name, HeaderValue::from_bytes(header.value).map_err(|error| error.to_string())?);
    }
    let length = request.headers_ref().and_then(|headers| headers.get("content-length")?.to_str().ok()?.parse().ok());
    let chunked = request.headers_ref().is_some_and(|headers| is_chunked(headers.get("transfer-encoding")));
    let body = unframe(&body, length, chunked)?;
    request.body(body.into()).map_err(|error| error.to_string())
}

/// Reads a response. An interim `100 Continue` in front of it is left out.
pub(super) fn parse_answer(bytes: &[u8]) -> Result<Answer, String> {
    let (head, body) = split(bytes)?;
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = parsed.parse(&head).map_err(|error| format!("the response's head cannot be read: {error}"))?;
    if status.is_partial() {
        return Err("the response's head does not end".to_owned());
    }
    if parsed.code == Some(100) {
        return parse_answer(&body);
    }
    let status = parsed.code.unwrap_or_default();
    let all = parsed.headers.iter();
    let headers: Vec<_> =
        all.map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned())).collect();
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let length = value("content-length").and_then(|value| value.parse().ok());
    let chunked = value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let body = unframe(&body, length, chunked)?;
    Ok(Answer { status, headers: compared(headers), body })
}

/// Takes a response apart, its body read to the end.
pub(super) async fn answer_of(response: Response<Body>) -> Result<Answer, String> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("the body breaks off: {error}"))?.to_bytes().to_vec();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    Ok(Answer { status: parts.status.as_u16(), headers: compared(headers.collect()), body })
}

impl Answer {
    /// The bytes of a file. The length is left out: a body that is edited by hand keeps none right.
    pub(super) fn render(&self) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

fn compared(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.retain(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
    headers.sort();
    headers
}

/// Head and body. The head of a file that was typed gets the line ends of the wire.
fn split(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let find = |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    match (find(b"\r\n\r\n"), find(b"\n\n")) {
        (Some(wire), typed) if typed.is_none_or(|typed| wire < typed) => {
            Ok((bytes[..wire].to_vec(), bytes[wire..].to_vec()))
        }
        (_, Some(typed)) => {
            let head = String::from_utf8_lossy(&bytes[..typed]).lines().collect::<Vec<_>>().join("\r\n");
            Ok((format!("{head}\r\n\r\n").into_bytes(), bytes[typed..].to_vec()))
        }
        _ => {
            let head = String::from_utf8_lossy(bytes);
            match head.trim_end() {
                "" => Err("the file is empty".to_owned()),
                head => Ok((format!("{}\r\n\r\n", head.lines().collect::<Vec<_>>().join("\r\n")).into(), Vec::new())),
            }
        }
    }
}

fn is_chunked(value: Option<&HeaderValue>) -> bool {
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn unframe(rest: &[u8], length: Option<usize>, chunked: bool) -> Result<Vec<u8>, String> {
    if chunked {
        return unchunk(rest).ok_or_else(|| "the chunks cannot be read to their end".to_owned());
    }
    Ok(length.and_then(|length| rest.get(..length)).unwrap_or(rest).to_vec())
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((begin, size))) = httparse::parse_chunk_size(rest) else { return None };
        let size = usize::try_from(size).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(rest.get(begin..begin.checked_add(size)?)?);
        rest = rest.get(begin + size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_and_recorded_messages_read_alike() {
        let wire = b"POST /batches?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}trailing";
        let typed = b"POST /batches?x=1 HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}\n";
        for bytes in [wire.as_slice(), typed] {
            let request = parse_request(bytes).expect("a request");
            assert_eq!(
                (request.uri().to_string().as_str(), request.body().as_ref()),
                ("/batches?x=1", b"{}".as_slice())
            );
        }
        let get = parse_request(b"GET / HTTP/1.0\nHost: h\n").expect("a request without a body");
        assert_eq!(get.version(), http::Version::HTTP_10);
    }

    #[test]
    fn framing_and_dates_make_no_difference() {
        let whole = b"HTTP/1.1 200 OK\r\nDate: x\r\nB: 2\r\nContent-Length: 5\r\nA: 1\r\n\r\nhello";
        let chunks =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Fine\r\na: 1\r\nTransfer-Encoding: chunked\r\nb: 2\r\n\r\n\
            2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n";
        let answer = parse_answer(whole).expect("a response");
        assert_eq!(answer, parse_answer(chunks).expect("a response"));
        assert_eq!(parse_answer(&answer.render()).expect("what was written"), answer);
        assert!(parse_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").is_err());
    }
}
