//! A client's side of one exchange: a connection each, an answer read to its end, and whether anything can have been sent.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longer than the proxy takes for anything.
const PATIENCE: Duration = Duration::from_secs(15);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// What is worth remembering of it.
    pub(crate) fn short(&self) -> String {
        format!("{} {}", self.status, self.text.chars().take(160).collect::<String>())
    }
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nothing was sent.
    NotConnected,
    /// Something may have been.
    Lost,
}

/// Asks once.
pub(crate) async fn call(
    to: SocketAddr,
    line: &str,
    headers: &[(&str, String)],
    body: Option<&Value>,
) -> Result<Reply, Failed> {
    let mut stream = TcpStream::connect(to).await.map_err(|_| Failed::NotConnected)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.ok()?;
        read(&bytes)
    };
    timeout(PATIENCE, exchange).await.ok().flatten().ok_or(Failed::Lost)
}

/// `None` where it is not whole.
fn read(bytes: &[u8]) -> Option<Reply> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(at) = head.parse(bytes).ok()? else { return None };
    let status = head.code?;
    let headers: Vec<(String, String)> =
        head.headers.iter().map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned())).collect();
    let value = |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let rest = &bytes[at..];
    let body = match (value("content-length"), value("transfer-encoding")) {
        (Some(length), _) => rest.get(..length.parse().ok()?)?.to_vec(),
        (None, Some(_)) => unchunked(rest)?,
        (None, None) => rest.to_vec(),
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    Some(Reply { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null), text })
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
