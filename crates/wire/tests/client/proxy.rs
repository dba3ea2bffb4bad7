//! The egress proxy: addresses in full for http, tunnels for https.

use std::sync::{Arc, Mutex};

use batchlingua_core::BackendName;
use batchlingua_testkit::{Origin, Reply, origin::Authority};
use batchlingua_wire::{Failure, UpstreamError};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{body, client_at, get, post};

/// `me:p@ss`, as a header has it.
const AUTHORIZATION: &str = "Basic bWU6cEBzcw==";

#[tokio::test]
async fn http_goes_to_the_proxy_with_its_whole_address() {
    let proxy = Origin::start(|_| Reply::json(200, "{}")).await;
    let with_password = format!("http://me:p%40ss@{}", proxy.address());
    for (url, authorization) in [(proxy.url(), ""), (with_password, AUTHORIZATION)] {
        let client = client_at("http://livy.internal:8998/base", json!({"proxy": url}));
        get(&client).await.expect("answered");
        let asked = proxy.asked().pop().expect("asked");
        assert_eq!(asked.target, "http://livy.internal:8998/base/x");
        assert_eq!((asked.header("host"), asked.header("proxy-authorization")), ("livy.internal:8998", authorization));
        let shown = client.head_of(&batchlingua_wire::Call::get("/x"));
        assert!(shown.starts_with("GET http://livy.internal:8998/base/x HTTP/1.1\n"), "{shown}");
        assert!(!shown.contains("bWU6"), "{shown}");
    }
}

#[tokio::test]
async fn a_password_that_the_proxy_asks_for_is_no_answer_of_the_backend() {
    let asks = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let proxy = Origin::start(move |_| Reply::raw(asks)).await;
    let relayed = client_at("http://livy.internal", json!({"proxy": proxy.url()}));
    let error = post(&relayed).await.expect_err("refused");
    assert!(matches!(error, UpstreamError::NotSent(Failure::Proxy(_))), "{error:?}");
    let straight = client_at(&proxy.url(), json!({}));
    assert_eq!(post(&straight).await.expect("of the backend itself").status.as_u16(), 407);
}

/// A proxy that says this to `CONNECT`, and passes bytes on to the only backend that there is if that was a yes.
struct Tunnels {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Tunnels {
    async fn start(says: &'static str, backend: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://me:p%40ss@{}", listener.local_addr().expect("an address"));
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let seen = heads.clone();
        tasks.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.expect("a head"));
                }
                seen.lock().expect("whole").push(String::from_utf8(head).expect("text"));
                client.write_all(says.as_bytes()).await.expect("written");
                if says.contains(" 200 ") {
                    let mut backend = TcpStream::connect(backend).await.expect("the backend is there");
                    let _ = copy_bidirectional(&mut client, &mut backend).await;
                }
            }
        });
        Self { url, heads, _tasks: tasks }
    }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_is_private_in_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let backend = Origin::start_tls(authority.server("dli.internal", None), |_| Reply::json(200, "{}")).await;
    let proxy = Tunnels::start("HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n", backend.address()).await;
    let tls = json!({"ca": authority.ca_file(dir.path())});
    let auth = json!({"token": "t0k"});
    let client = client_at("https://dli.internal/v", json!({"proxy": proxy.url, "tls": tls, "auth": auth}));
    assert_eq!(body(get(&client).await), "{}");
    assert_eq!(body(post(&client).await), "{}");
    let heads = proxy.heads.lock().expect("whole").clone();
    assert_eq!(
        heads,
        [format!(
            "CONNECT dli.internal:443 HTTP/1.1\r\nHost: dli.internal:443\r\nProxy-Authorization: {AUTHORIZATION}\r\n\r\n"
        )],
        "one tunnel for both, and nothing of the requests in its head"
    );
    let asked = backend.asked().remove(0);
    assert_eq!((asked.target.as_str(), asked.header("host")), ("/v/x", "dli.internal"));
    assert_eq!((asked.header("x-auth-token"), asked.header("proxy-authorization")), ("t0k", ""));
}

#[tokio::test]
async fn a_proxy_that_refuses_leaves_nothing_sent() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().expect("a directory");
    let backend = Origin::start_tls(authority.server("dli.internal", None), |_| Reply::json(200, "{}")).await;
    for (says, told) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful"),
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy authorization required"),
        ("SSH-2.0-x\r\n\r\n", "unsuccessful"),
        ("", "unexpected end of file"),
    ] {
        let proxy = Tunnels::start(says, backend.address()).await;
        let tls = json!({"ca": authority.ca_file(dir.path())});
        let client = client_at("https://dli.internal", json!({"proxy": proxy.url, "tls": tls}));
        let error = post(&client).await.expect_err("refused");
        assert!(matches!(&error, UpstreamError::NotSent(Failure::Proxy(why)) if why.contains(told)), "{error:?}");
        let message = error.into_error(&BackendName::from("x")).message;
        assert!(message.starts_with("backend 'x' cannot be reached: the egress proxy: "), "{message}");
    }
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_leaves_nothing_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let backend = Origin::start(|_| Reply::json(200, "{}")).await;
    let dir = tempfile::tempdir().expect("a directory");
    let ca = Authority::new().ca_file(dir.path());
    for (url, keys) in [
        (backend.url(), json!({"proxy": proxy})),
        ("https://localhost:1".to_owned(), json!({"proxy": proxy, "tls": {"ca": ca}})),
    ] {
        let error = post(&client_at(&url, keys)).await.expect_err("no proxy");
        assert!(!error.was_sent(), "{error:?}");
    }
    assert_eq!(backend.connections(), 0, "never around the proxy");
}
