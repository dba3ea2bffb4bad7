//! As much of an HTTP client as the demo needs: one request, one connection, a JSON answer.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Sends a request; the status and the answer's JSON, `null` if it is none.
pub(super) async fn send(
    server: SocketAddr,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{method} {path}: {error}");
    let socket = TcpStream::connect(server).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder()
        .method(&method)
        .uri(path)
        .header(header::HOST, server.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header("X-Requested-By", "batchlingua-demo")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| failed(&error))?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    // The connection moves the bytes of the answer, so both have to be driven.
    let (answer, _) = tokio::join!(answer, connection);
    let (status, bytes) = answer.map_err(|error: hyper::Error| failed(&error))?;
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}
