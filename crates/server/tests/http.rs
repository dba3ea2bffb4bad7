//! HTTP/1.1 over real sockets, down to the bytes: what hyper does with hostile or broken requests is pinned here, since the proxy's safety
//! rests on it and its documentation does not promise it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use batchlingua::{
    config::HttpLimits,
    listener::{ConnectionObserver, Listener, RequestStream, Shared, Stage},
};
use batchlingua_wire::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore, watch},
};
use tokio_util::task::TaskTracker;

struct Nobody;

impl ConnectionObserver for Nobody {
    fn opened(&self) {}
    fn closed(&self) {}
}

struct Running {
    address: SocketAddr,
    stage: watch::Sender<Stage>,
    tasks: TaskTracker,
    /// `/wait` has come this far.
    waiting: Arc<Notify>,
    /// Lets `/wait` go on.
    go_on: Arc<Notify>,
}

/// A listener over a service that answers `/early` without reading, `/wait` when it is told to, and anything else with what it got.
async fn start(limits: HttpLimits) -> Running {
    let listener = Listener::bind("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
    let address = listener.address();
    let (stage, seen) = watch::channel(Stage::Serving);
    let tasks = TaskTracker::new();
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let shared = Shared { limits, permits, stage: seen, tasks: tasks.clone() };
    let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (waiting.clone(), go_on.clone());
    let service = tower::service_fn(move |request: Request<RequestStream>| {
        let (waiting, go_on) = signals.clone();
        async move { Ok::<_, Infallible>(answer(request, &waiting, &go_on).await) }
    });
    tasks.spawn(listener.serve(service, shared, Arc::new(Nobody)));
    Running { address, stage, tasks, waiting, go_on }
}

async fn answer(request: Request<RequestStream>, waiting: &Notify, go_on: &Notify) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/early" {
        let mut response = Response::new(Body::full("too much"));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return response;
    }
    if parts.uri.path() == "/wait" {
        waiting.notify_one();
        go_on.notified().await;
    }
    match body.collect().await {
        Ok(collected) => {
            let text = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
            Response::new(Body::full(format!("[{} {} {text}]", parts.method, parts.uri)))
        }
        Err(error) => {
            let mut response = Response::new(Body::full(format!("[broken: {error}]")));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the listener accepts")
    }

    /// Sends the bytes and reads until the server ends the connection.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes).await.expect("written");
        read_to_end(&mut client).await
    }
}

/// Panics if the server keeps the connection: no limit of these tests is near ten seconds.
async fn read_to_end(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), client.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    read.unwrap_or_else(|_| panic!("the connection is still open after: {text}")).expect("an orderly end");
    text
}

/// Reads until the text has come; the connection may go on.
async fn read_until(client: &mut TcpStream, wanted: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains(wanted) {
            assert!(client.read_buf(&mut answer).await.expect("readable") > 0, "ended before {wanted}");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_connection_serves_one_request_after_another_and_several_at_once() {
    let running = start(HttpLimits::default()).await;
    let mut client = running.connect().await;
    for _ in 0..3 {
        client.write_all(GET).await.expect("written");
        let answer = read_until(&mut client, "[GET /a ]").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    client
        .write_all(&[GET, b"GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat())
        .await
        .expect("written");
    let answer = read_to_end(&mut client).await;
    let (first, second) = (answer.find("[GET /a ]"), answer.find("[GET /b ]"));
    assert!(first.is_some() && first < second, "{answer}");
}

#[tokio::test]
async fn http_1_0_is_served_and_closed_unless_it_asks_to_be_kept() {
    let running = start(HttpLimits::default()).await;
    let answer = running.exchange(b"GET /a HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("[GET /a ]"), "{answer}");
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.write_all(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await.expect("written");
        read_until(&mut client, "[GET /a ]").await;
    }
    // One that is closed all the same is not told that it is kept.
    let two_hosts = b"GET /a HTTP/1.0\r\nHost: a\r\nHost: b\r\nConnection: keep-alive\r\n\r\n";
    let answer = running.exchange(two_hosts).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.0 400") && answer.contains("connection: close\r\n"), "{answer}");
    assert!(!answer.contains("keep-alive"), "{answer}");
}

#[tokio::test]
async fn chunked_bodies_are_read_with_extensions_and_trailers() {
    let running = start(HttpLimits::default()).await;
    let mut client = running.connect().await;
    let request = b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
    client.write_all(&[request.as_slice(), GET].concat()).await.expect("written");
    let answer = read_until(&mut client, "[GET /a ]").await;
    assert!(answer.contains("[POST /a abcde]"), "{answer}");
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on_only_if_its_body_is_read() {
    let running = start(HttpLimits::default()).await;
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut client = running.connect().await;
    client.write_all(head("/a").as_bytes()).await.expect("written");
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.expect("written");
    read_until(&mut client, "[POST /a abc]").await;

    let mut client = running.connect().await;
    client.write_all(head("/early").as_bytes()).await.expect("written");
    let answer = read_to_end_after_fin(&mut client).await;
    assert_eq!(status(&answer), "413", "{answer}");
}

async fn read_to_end_after_fin(client: &mut TcpStream) -> String {
    let answer = read_until(client, "too much").await;
    client.shutdown().await.expect("half-closed");
    read_to_end(client).await;
    answer
}

#[tokio::test]
async fn both_a_length_and_chunks_end_the_connection() {
    let running = start(HttpLimits::default()).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
    ] {
        let request = format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        let answer = running.exchange(request.as_bytes()).await;
        assert!(answer.contains("[POST /a ]") && answer.contains("connection: close"), "{headers}{answer}");
        assert!(!answer.contains("smuggled"), "{headers}{answer}");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let running = start(HttpLimits::default()).await;
    for broken in [
        // Framing.
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        // Headers.
        "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n folded\r\n\r\n",
        "GET /a HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nX-A: \0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nX(A): 1\r\n\r\n",
        // The request line.
        "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "(GET) /a HTTP/1.1\r\nHost: a\r\n\r\n",
        // Our own: RFC 9112, 3.2.
        "GET /a HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ] {
        let answer = running.exchange(broken.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{broken:?} gave {answer:?}");
    }
}

#[tokio::test]
async fn a_broken_body_reaches_the_service_as_a_fault_and_ends_the_connection() {
    let running = start(HttpLimits::default()).await;
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000));
    for chunks in
        ["x\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n", "3\r\nabcd\r\n0\r\n\r\n", "fffffffffffffffff\r\n", &long_extension]
    {
        let request = format!("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = running.exchange(&[request.as_bytes(), GET].concat()).await;
        assert!(status(&answer) == "400" && answer.contains("[broken: "), "{chunks:.20} gave {answer}");
        assert!(!answer.contains("[GET"), "{chunks:.20} gave {answer}");
    }
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_in_headers_and_in_their_path() {
    let running = start(HttpLimits { max_header: 32 << 10, ..HttpLimits::default() }).await;
    let with = |headers: String| format!("GET /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    let fits = with(format!("X-A: {}\r\nConnection: close\r\n", "x".repeat(30 << 10)));
    assert_eq!(status(&running.exchange(fits.as_bytes()).await), "200");
    let large = with(format!("X-A: {}\r\n", "x".repeat(33 << 10)));
    assert_eq!(status(&running.exchange(large.as_bytes()).await), "431");
    let endless = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-A: {}", "x".repeat(300 << 10));
    assert_eq!(status(&running.exchange(endless.as_bytes()).await), "431");
    let many = with("X-A: 1\r\n".repeat(101));
    assert_eq!(status(&running.exchange(many.as_bytes()).await), "431");

    let running = start(HttpLimits { max_header: 256 << 10, ..HttpLimits::default() }).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    assert_eq!(status(&running.exchange(long.as_bytes()).await), "414");
}

#[tokio::test]
async fn an_answer_is_readable_although_the_body_was_not_read() {
    let running = start(HttpLimits::default()).await;
    let mut client = running.connect().await;
    client.write_all(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").await.expect("written");
    // As HTTP libraries do: everything is sent before the answer is looked at. Without lingering this fails, or the answer is lost.
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        client.write_all(&piece).await.expect("the server still takes it");
    }
    client.shutdown().await.expect("half-closed");
    let answer = read_to_end(&mut client).await;
    assert!(status(&answer) == "413" && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_little_body_that_nobody_reads_costs_no_connection() {
    let running = start(HttpLimits::default()).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        client.write_all(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await.expect("written");
        let answer = read_until(&mut client, "too much").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn beyond_the_bound_a_connection_waits_for_another_to_end() {
    let running = start(HttpLimits { max_connections: 1, ..HttpLimits::default() }).await;
    let mut first = running.connect().await;
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    running.waiting.notified().await;
    let mut second = running.connect().await;
    second.write_all(GET).await.expect("written");
    let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "the second connection is not accepted yet");
    running.go_on.notify_one();
    read_until(&mut first, "[GET /wait ]").await;
    drop(first);
    read_until(&mut second, "[GET /a ]").await;
}

#[tokio::test]
async fn draining_finishes_what_is_in_work_and_ends_what_is_idle() {
    let running = start(HttpLimits::default()).await;
    let mut silent = running.connect().await;
    let mut idle = running.connect().await;
    idle.write_all(GET).await.expect("written");
    read_until(&mut idle, "[GET /a ]").await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    running.waiting.notified().await;

    running.stage.send_replace(Stage::Draining);
    running.tasks.close();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert_eq!(read_to_end(&mut silent).await, "");
    running.go_on.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.contains("[GET /wait ]") && answer.contains("connection: close"), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), running.tasks.wait()).await.expect("nothing is left");
    TcpStream::connect(running.address).await.expect_err("nobody listens");
}

#[tokio::test]
async fn the_end_cuts_off_whatever_is_left() {
    let running = start(HttpLimits::default()).await;
    let mut busy = running.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("written");
    running.waiting.notified().await;
    running.stage.send_replace(Stage::Ended);
    running.tasks.close();
    tokio::time::timeout(Duration::from_secs(10), running.tasks.wait()).await.expect("nothing is left");
    assert_eq!(read_to_end(&mut busy).await, "");
}
