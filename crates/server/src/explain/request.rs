//! A request as it lies in a file: the head with CRLF or LF, then the body as it is.

use batchlingua_wire::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue, Request, header};

/// As many as a listener takes.
const MAX_HEADERS: usize = 100;

/// Why this is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestFault(String);

fn fault(message: impl Into<String>) -> RequestFault {
    RequestFault(message.into())
}

/// Reads the head; the body is read when somebody needs it. `max_head`: most bytes of the head.
pub(super) async fn read<S>(mut bytes: S, max_head: usize) -> Result<Request<Body>, RequestFault>
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static,
{
    let mut gathered = BytesMut::new();
    let (mut request, length) = loop {
        if let Some(head) = parse(&gathered)? {
            break head;
        }
        if gathered.len() > max_head {
            return Err(fault(format!("its head has more than {max_head} bytes (max_header)")));
        }
        match bytes.next().await {
            Some(Ok(more)) => gathered.extend_from_slice(&more),
            Some(Err(error)) => return Err(fault(format!("cannot be read: {error}"))),
            // Without a body nobody misses the blank line.
            None if !gathered.is_empty() => {
                gathered.extend_from_slice(b"\r\n\r\n");
                match parse(&gathered)? {
                    Some(head) => break head,
                    None => return Err(fault("its head is not whole")),
                }
            }
            None => return Err(fault(format!("is empty; {FORM}"))),
        }
    };
    if length > max_head {
        return Err(fault(format!("its head has more than {max_head} bytes (max_header)")));
    }
    if request.headers().contains_key(header::TRANSFER_ENCODING) {
        return Err(fault("has a Transfer-Encoding: put the body there as it is, and leave that header out"));
    }
    let rest = gathered.split_off(length).freeze();
    let body = stream::once(async { Ok(rest) }).chain(bytes);
    *request.body_mut() = match content_length(request.headers())? {
        Some(length) => Body::stream(exactly(body, length)),
        None => Body::stream(body),
    };
    Ok(request)
}

const FORM: &str = "it must begin like 'POST /batches HTTP/1.1', then headers, a blank line and the body";

/// The head and its length. `None`: it is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<(Request<Body>, usize)>, RequestFault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(fault(format!("has more than {MAX_HEADERS} headers"))),
        Err(error) => return Err(fault(format!("is no HTTP/1 request ({error}); {FORM}"))),
    };
    let version = if parsed.version == Some(0) { http::Version::HTTP_10 } else { http::Version::HTTP_11 };
    let target = parsed.path.unwrap_or_default();
    let mut request = Request::builder().version(version).method(parsed.method.unwrap_or_default()).uri(target);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(fault(format!("has a header that cannot be read: {}", header.name)));
        };
        request = request.header(name, value);
    }
    let request =
        request.body(Body::empty()).map_err(|error| fault(format!("its first line is none: {error}; {FORM}")))?;
    Ok(Some((request, length)))
}

/// What editors put behind the body is none of it.
fn content_length(headers: &http::HeaderMap) -> Result<Option<u64>, RequestFault> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(fault("has two values of Content-Length"));
    }
    let length = first.to_str().ok().and_then(|text| text.trim().parse().ok());
    length.map(Some).ok_or_else(|| fault("has a Content-Length that is no number"))
}

/// So many bytes, and a fault if there are fewer.
fn exactly<S>(body: S, length: u64) -> impl Stream<Item = Result<Bytes, BodyError>> + Send
where
    S: Stream<Item = Result<Bytes, BodyError>> + Send,
{
    stream::unfold((Box::pin(body), length), move |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let piece = match body.next().await {
            Some(Ok(piece)) => {
                let take = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
                Ok(piece.slice(..take))
            }
            Some(Err(error)) => Err(error),
            None => Err(BodyError(format!("Content-Length says {length} bytes, and {left} of them are not there"))),
        };
        let left = piece.as_ref().map_or(0, |piece| left - piece.len() as u64);
        Some((piece, (body, left)))
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn pieces(text: &str, size: usize) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + use<> {
        let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces)
    }

    async fn told(text: &str, size: usize) -> Result<(Request<()>, Result<String, String>), RequestFault> {
        let (parts, body) = read(pieces(text, size), 200).await?.into_parts();
        let body = body.collect().await.map(|body| String::from_utf8(body.to_bytes().to_vec()).expect("text"));
        Ok((Request::from_parts(parts, ()), body.map_err(|error| error.0)))
    }

    #[tokio::test]
    async fn either_line_end_will_do_and_the_length_may_be_left_out() {
        for end in ["\n", "\r\n"] {
            for length in ["", "Content-Length: 5"] {
                for size in [1, 7, 1000] {
                    let separator = if length.is_empty() { "" } else { end };
                    let text = format!("POST /b?x=1 HTTP/1.1{end}Host: h{end}{length}{separator}{end}a\r\nbc");
                    let (request, body) = told(&text, size).await.expect("a request");
                    assert_eq!(
                        (request.uri().path(), &request.headers()["host"]),
                        ("/b", &HeaderValue::from_static("h"))
                    );
                    assert_eq!(body.as_deref(), Ok("a\r\nbc"), "{text:?}");
                }
            }
        }
        let (_, body) = told("POST / HTTP/1.1\nContent-Length: 1\n\na\n", 9).await.expect("a request");
        assert_eq!(body.as_deref(), Ok("a"), "what an editor adds");
        let (request, body) =
            told("GET /b HTTP/1.1\nHost: h", 9).await.expect("no blank line is needed without a body");
        assert_eq!((request.method().as_str(), body.as_deref()), ("GET", Ok("")));
    }

    #[tokio::test]
    async fn what_is_no_request_is_told() {
        let long = format!("GET / HTTP/1.1\nX: {}\n\n", "x".repeat(300));
        for (text, says) in [
            ("", "is empty"),
            ("hello\n\n", "is no HTTP/1 request"),
            ("GET / HTTP/2\n\n", "must begin like"),
            ("GET / HTTP/1.1\nno colon\n\n", "is no HTTP/1 request"),
            ("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n0\n", "leave that header out"),
            ("POST / HTTP/1.1\nContent-Length: 1\nContent-Length: 2\n\nab", "two values"),
            ("POST / HTTP/1.1\nContent-Length: x\n\nab", "no number"),
            (&long, "max_header"),
        ] {
            let told = told(text, 64).await.expect_err(text);
            assert!(told.to_string().contains(says), "{text:?}: {told}");
        }
        let (_, body) = told("POST / HTTP/1.1\nContent-Length: 5\n\nab", 64).await.expect("a head");
        assert!(body.expect_err("too short").contains("3 of them are not there"));
    }
}
