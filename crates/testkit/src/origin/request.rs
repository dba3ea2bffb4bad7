//! What an origin is asked: requests taken off a connection by their framing.

use std::io;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its target as it was written: a path with its query, or a whole address where a proxy was asked.
    pub target: String,
    /// Its headers, names in lower case.
    pub headers: HeaderMap,
    /// Its body, unchunked.
    pub body: Bytes,
    /// Which connection it came by, counted from 0.
    pub connection: u64,
}

impl Asked {
    /// A header's text; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// Takes requests off a connection.
pub(crate) struct Reader<T> {
    stream: T,
    connection: u64,
    buffer: BytesMut,
}

impl<T: AsyncRead + Unpin> Reader<T> {
    pub(crate) fn new(stream: T, connection: u64) -> Self {
        Self { stream, connection, buffer: BytesMut::new() }
    }

    pub(crate) fn stream(&mut self) -> &mut T {
        &mut self.stream
    }

    /// The next request. `None`: the client has closed the connection in between two.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Asked>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await? {
                return Ok(None);
            }
        };
        let head = self.buffer.split_to(end).freeze();
        let mut asked = parse(&head).ok_or_else(|| io::Error::other("a head that is none"))?;
        asked.connection = self.connection;
        asked.body = self.body(&asked.headers).await?;
        Ok(Some(asked))
    }

    async fn body(&mut self, headers: &HeaderMap) -> io::Result<Bytes> {
        if headers.contains_key(http::header::TRANSFER_ENCODING) {
            return self.chunks().await;
        }
        let length = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        self.exactly(length.unwrap_or(0)).await
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size =
                usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            body.extend_from_slice(&self.exactly(size).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.must_come().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.must_come().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn must_come(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// Reads on until the client closes the connection.
    pub(super) async fn until_closed(&mut self) -> io::Result<()> {
        while self.more().await? {
            self.buffer.clear();
        }
        Ok(())
    }
}

fn parse(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(head).ok()?;
    let mut map = HeaderMap::new();
    for header in request.headers.iter() {
        map.append(HeaderName::from_bytes(header.name.as_bytes()).ok()?, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(Asked {
        method: request.method?.to_owned(),
        target: request.path?.to_owned(),
        headers: map,
        body: Bytes::new(),
        connection: 0,
    })
}
