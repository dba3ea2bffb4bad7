//! `POST /api/explain` of a running proxy.

use batchlingua::{
    config::{Config, ProcessVault},
    server::Server,
};
use batchlingua_testkit::Origin;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Ground, backend, has_secret, silent};

/// A proxy with two backends, neither of which is ever asked.
struct Running {
    server: Server,
    ground: Ground,
    origin: Origin,
}

impl Running {
    async fn start(more: &str) -> Self {
        let origin = silent().await;
        let ground = Ground::new("");
        let here = ground.0.path().display();
        let config = format!(
            "{more}[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[ledger]\nurl = \"memory:\"\n\
             [limits]\nupload_dir = \"{here}/uploads\"\nmax_body = \"64KiB\"\nmax_header = \"8KiB\"\n{}dir = \"{here}/jobs\"\n",
            backend("local", &origin)
        );
        let config = Config::parse("x.toml", &config, &ProcessVault).unwrap_or_else(|faults| panic!("{faults}"));
        Self { server: Server::start(config).await.expect("it starts"), ground, origin }
    }

    /// Status, head and body.
    async fn post(&self, query: &str, headers: &str, body: &str) -> (u16, String, String) {
        self.ask("POST", query, &format!("{headers}Content-Length: {}\r\n", body.len()), body).await
    }

    async fn ask(&self, method: &str, query: &str, headers: &str, body: &str) -> (u16, String, String) {
        let address = self.server.admin().expect("there is one");
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        let head =
            format!("{method} /api/explain{query} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.expect("written");
        // Too much of a body is refused before it is there as a whole.
        let _ = socket.write_all(body.as_bytes()).await;
        let mut answer = Vec::new();
        // So the end may be a reset.
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head[9..12].parse().expect("a status"), head.to_lowercase(), body.to_owned())
    }
}

const SUBMIT: &str = "POST /batches HTTP/1.1\r\nAuthorization: Basic YW5hOmh1bnRlcjI=\r\n\r\n\
                      {\"file\": \"/srv/apps/a.py\", \"args\": [\"--password\", \"hunter2\"], \"driverMemory\": \"1g\"}";

#[tokio::test]
async fn a_request_is_explained_as_an_object_or_as_text() {
    let running = Running::start("").await;
    let (status, head, body) = running.post("", "", SUBMIT).await;
    assert!(status == 200 && head.contains("content-type: application/json"), "{head}\n{body}");
    let object: Value = serde_json::from_str(&body).expect("an object");
    assert_eq!((&object["outcome"], &object["unmapped"]), (&Value::from("sent"), &Value::from("driver_memory")));
    assert_eq!(object["principal"]["name"], "ana");
    let (status, head, text) = running.post("?user=eve&listener=main", "Accept: text/plain\r\n", SUBMIT).await;
    assert!(status == 200 && head.contains("content-type: text/plain; charset=utf-8"), "{head}\n{text}");
    assert!(text.contains("user      eve") && text.contains("Batchlingua-Unmapped: driver_memory\n"), "{text}");
    let (status, _, refused) = running.post("", "", "GET /nowhere HTTP/1.1\n\n").await;
    assert!(status == 200 && refused.contains("\"outcome\":\"refused\""), "a refusal is explained, too: {refused}");
    for told in [body, text] {
        assert!(!has_secret(&told), "{told}");
    }
    let mut found = Vec::new();
    for folder in ["jobs", "uploads"] {
        let Ok(entries) = std::fs::read_dir(running.ground.0.path().join(folder)) else { continue };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        found.extend(names.filter(|name| name.parse::<batchlingua_core::Uuid>().is_ok()));
    }
    assert!(found.is_empty(), "neither a job nor a spool is left: {found:?}");
    assert_eq!(running.origin.connections(), 0);
    assert!(running.server.stop(std::future::pending()).await);
}

#[tokio::test]
async fn nonsense_is_refused_and_too_much_is_not_read() {
    let running = Running::start("").await;
    for (query, body, says) in [
        ("", "", "the request is empty"),
        ("", "nonsense", "is no HTTP/1 request"),
        ("?listener=x", SUBMIT, "there is no listener 'x'"),
        ("?user=a%3Ab", SUBMIT, "without colons and blanks"),
    ] {
        let (status, _, told) = running.post(query, "", body).await;
        assert!(status == 400 && told.contains(says), "{query} {body}: {status} {told}");
    }
    let (status, _, told) = running.post("", "", &format!("{SUBMIT}{}", " ".repeat(100 << 10))).await;
    assert!(status == 413 && told.contains("max_header + max_body"), "{status} {told}");
    let long = format!("GET / HTTP/1.1\nX: {}\n\n", "x".repeat(9 << 10));
    let (status, _, told) = running.post("", "", &long).await;
    assert!(status == 400 && told.contains("max_header"), "{status} {told}");
    let (status, head, _) = running.ask("GET", "", "", "").await;
    assert!(status == 405 && head.contains("allow: post"), "{head}");
    let (status, ..) = running.post("", "Origin: https://evil.example\r\n", SUBMIT).await;
    assert_eq!(status, 403, "a web page learns nothing");
    assert!(running.server.stop(std::future::pending()).await);
}
