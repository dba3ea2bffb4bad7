//! The socket's side of the tests: requests go out byte for byte, malformed ones too, and answers are read by the rules that every
//! HTTP/1 client has. A client library would mend the requests and hide what is odd in the answers, so there is none here.
//!
//! The reader is strict where a client could be hurt: a body shorter than its Content-Length, a length and chunks at once, bytes
//! after the last answer of a connection that is said to close, or no close at all are errors. One reader serves the recorded files and the
//! sockets, so neither side is read more kindly.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// For one read or write. A server that has nothing to say within it is taken to be stuck.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is said of a server that said nothing.
pub(crate) const SILENCE: &str = "the connection was closed without an answer";

/// One answer, its transfer coding undone, its content coding kept.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) minor: u8,
    /// Names in lower case, in the order of the wire.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// All fields of one name, joined as a client may join them.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Whether the client may send its next request on this connection.
    pub(crate) fn persists(&self, request: &Request<'_>) -> bool {
        let connection = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        let says = |word: &str| connection.split(',').any(|part| part.trim() == word);
        if request.is_http10() || self.minor == 0 { says("keep-alive") } else { !says("close") }
    }
}

/// A request as bytes, with the little that a client has to know of its own request to read the answer.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a>(pub(crate) &'a [u8]);

impl<'a> Request<'a> {
    pub(crate) fn line(&self) -> &'a [u8] {
        let end = self.0.iter().position(|&b| b == b'\r').unwrap_or(self.0.len());
        &self.0[..end]
    }

    pub(crate) fn method(&self) -> &'a [u8] {
        self.line().split(|&b| b == b' ').next().unwrap_or_default()
    }

    /// Up to and with the empty line.
    pub(crate) fn head(&self) -> &'a [u8] {
        let end = self.0.windows(4).position(|w| w == b"\r\n\r\n").map_or(self.0.len(), |at| at + 4);
        &self.0[..end]
    }

    pub(crate) fn body(&self) -> &'a [u8] {
        &self.0[self.head().len()..]
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(self.head());
        let mut lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    fn is_http10(&self) -> bool {
        self.line().ends_with(b"HTTP/1.0")
    }

    fn is_head(&self) -> bool {
        self.method().eq_ignore_ascii_case(b"HEAD")
    }

    /// Whether the client waits for an interim answer before it sends the body.
    fn waits(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }
}

/// Sends the request on a connection of its own and reads as many answers as were recorded, interim ones counted, but at least one.
pub(crate) fn exchange(server: SocketAddr, request: Request<'_>, answers: usize) -> Result<Vec<Answer>, String> {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT).map_err(|e| format!("no connection: {e}"))?;
    stream
        .set_read_timeout(Some(TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
        .map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut reader = Reader::new(&stream);
    let mut read = Vec::new();
    if request.waits() {
        send(&stream, request.head());
        read.push(reader.expected(request)?);
        if read[0].status == 100 {
            send(&stream, request.body());
        }
    } else {
        send(&stream, request.0);
    }
    while read.len() < answers.max(1)
        && read.last().is_none_or(|answer: &Answer| answer.status < 200 || answer.persists(&request))
    {
        read.push(reader.expected(request)?);
    }
    if read.last().is_some_and(|answer| !answer.persists(&request)) {
        reader.end()?;
    }
    let _ = stream.shutdown(Shutdown::Both);
    Ok(read)
}

/// All answers of a recorded file.
pub(crate) fn recorded(file: &[u8], request: Request<'_>) -> Result<Vec<Answer>, String> {
    let mut reader = Reader::new(file);
    let mut read = Vec::new();
    while let Some(answer) = reader.answer(request)? {
        read.push(answer);
    }
    Ok(read)
}

/// A server may answer and close before it has read all: a failed write is no failure as long as an answer can be read.
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

pub(crate) struct Reader<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new() }
    }

    /// `false` at the end of the stream.
    fn more(&mut self) -> Result<bool, String> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.source.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(true);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // To a client that has its answer, a reset is an end like another.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(format!("nothing came for {TIMEOUT:?}"));
                }
                Err(e) => return Err(format!("reading failed: {e}")),
            }
        }
    }

    fn expected(&mut self, request: Request<'_>) -> Result<Answer, String> {
        self.answer(request)?.ok_or_else(|| SILENCE.to_owned())
    }

    /// The next answer, or `None` if the stream ends before its first byte.
    pub(crate) fn answer(&mut self, request: Request<'_>) -> Result<Option<Answer>, String> {
        let (mut answer, head) = loop {
            if let Some(parsed) = parse_head(&self.buffer)? {
                break parsed;
            }
            if !self.more()? {
                return if self.buffer.is_empty() { Ok(None) } else { Err("the answer's head is cut off".into()) };
            }
        };
        self.buffer.drain(..head);
        answer.body = self.body(&answer, request)?;
        Ok(Some(answer))
    }

    fn body(&mut self, answer: &Answer, request: Request<'_>) -> Result<Vec<u8>, String> {
        let (coding, length) = (answer.header("transfer-encoding"), answer.header("content-length"));
        let length =
            length.map(|text| text.parse::<usize>().map_err(|_| format!("Content-Length: {text}"))).transpose()?;
        if request.is_head() || answer.status < 200 || answer.status == 204 || answer.status == 304 {
            return Ok(Vec::new());
        }
        match (coding.as_deref(), length) {
            (Some(_), Some(_)) => Err("both Transfer-Encoding and Content-Length".into()),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => self.chunks(),
            (Some(coding), None) => Err(format!("Transfer-Encoding: {coding}")),
            (None, Some(length)) => self.take(length),
            (None, None) => {
                while self.more()? {}
                Ok(std::mem::take(&mut self.buffer))
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.text_line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| format!("chunk size {line:?}"))?;
            if size == 0 {
                while !self.text_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            if !self.text_line()?.is_empty() {
                return Err("a chunk is longer than its size".into());
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < length {
            if !self.more()? {
                return Err(format!("the body ends after {} of {length} bytes", self.buffer.len()));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn text_line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            if !self.more()? {
                return Err("the chunks are cut off".into());
            }
        }
    }

    /// After an answer that ends the connection: the end, and nothing before it.
    fn end(&mut self) -> Result<(), String> {
        match self.more() {
            Ok(false) if self.buffer.is_empty() => Ok(()),
            Ok(_) => Err(format!("{} bytes after the last answer", self.buffer.len())),
            Err(e) => Err(format!("the connection is said to close and does not: {e}")),
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Answer, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(bytes).map_err(|e| format!("the answer's head: {e}"))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let answer = Answer {
        status: head.code.unwrap_or_default(),
        minor: head.version.unwrap_or_default(),
        headers: head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        body: Vec::new(),
    };
    Ok(Some((answer, length)))
}
