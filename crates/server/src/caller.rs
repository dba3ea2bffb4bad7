//! As much of an HTTP client as commands need that speak to a proxy: one request, one connection, a JSON answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Whoever else may listen there has nothing to say that is longer.
const MOST_BYTES: usize = 16 << 20;

/// A server as one client talks to it.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) server: SocketAddr,
    /// What the client takes, where its dialect chooses by that.
    pub(crate) accept: &'static str,
}

impl Caller {
    pub(crate) fn json(server: SocketAddr) -> Self {
        Self { server, accept: "application/json" }
    }

    /// The JSON of an answer that has this status.
    pub(crate) async fn get(self, path: &str) -> Result<Value, String> {
        self.expect(200, Method::GET, path, None).await
    }

    /// The same of a submit.
    pub(crate) async fn post(self, wanted: u16, path: &str, body: &Value) -> Result<Value, String> {
        self.expect(wanted, Method::POST, path, Some(body)).await
    }

    async fn expect(self, wanted: u16, method: Method, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let (status, answer) = self.send(&method, path, body).await?;
        match status == wanted {
            true => Ok(answer),
            false => Err(format!("{method} {path}: {wanted} was expected, not {status}: {answer}")),
        }
    }

    /// Status and JSON, `null` if it is none.
    pub(crate) async fn send(self, method: &Method, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{method} {path}: {error}");
        let socket = TcpStream::connect(self.server).await.map_err(|error| failed(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.server.to_string())
            .header(header::ACCEPT, self.accept)
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-Requested-By", "batchlingua")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(&error))?;
        let answer = async move {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MOST_BYTES).collect().await?;
            Ok::<_, tower::BoxError>((status, body.to_bytes()))
        };
        // The connection moves the bytes of the answer, so both have to be driven.
        let (answer, _) = tokio::join!(answer, connection);
        let (status, bytes) = answer.map_err(|error| failed(&error))?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}

/// A text that an answer has to hold.
pub(crate) fn text<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str, String> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("a text was expected at {pointer} of {answer}"))
}

/// The lines of an array.
pub(crate) fn lines(array: &Value) -> Vec<String> {
    array.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
