//! What an origin sends, and how it ends.

use bytes::Bytes;
use http::HeaderMap;

use super::status_line;

/// Bytes, and what becomes of the connection after them.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) pieces: Vec<Bytes>,
    pub(super) ending: Ending,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    KeepOpen,
    Close,
    Reset,
    Stall,
}

impl Reply {
    /// These bytes as they are; the connection stays open for another request.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { pieces: vec![bytes.into()], ending: Ending::KeepOpen }
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self { pieces: Vec::new(), ending: Ending::KeepOpen }
    }

    /// A JSON document.
    pub fn json(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::whole(status, "application/json", body)
    }

    /// A body of another type.
    pub fn whole(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, content_type.parse().expect("a content type is a header's text"));
        Self::with_headers(status, &headers, body)
    }

    /// A body with these headers and its length.
    pub fn with_headers(status: u16, headers: &HeaderMap, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = head(status, headers);
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Self::raw(bytes)
    }

    /// A JSON document in chunks, each of which is written apart, with trailers (whole lines) after the last.
    pub fn chunked(status: u16, chunks: &[&[u8]], trailers: &str) -> Self {
        let start =
            format!("{}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n", status_line(status));
        let mut reply = Self::raw(start);
        for chunk in chunks {
            let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
            reply.pieces.push(bytes.into());
        }
        reply.pieces.push(format!("0\r\n{trailers}\r\n").into());
        reply
    }

    /// With these bytes more, written apart.
    #[must_use]
    pub fn and(mut self, bytes: impl Into<Bytes>) -> Self {
        self.pieces.push(bytes.into());
        self
    }

    /// Then the connection is closed.
    #[must_use]
    pub fn then_close(self) -> Self {
        Self { ending: Ending::Close, ..self }
    }

    /// Then the connection is reset.
    #[must_use]
    pub fn then_reset(self) -> Self {
        Self { ending: Ending::Reset, ..self }
    }

    /// Then nothing more comes, until the client gives up.
    #[must_use]
    pub fn stall(self) -> Self {
        Self { ending: Ending::Stall, ..self }
    }
}

fn head(status: u16, headers: &HeaderMap) -> Vec<u8> {
    let mut bytes = status_line(status).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
