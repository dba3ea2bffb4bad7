//! What is sent: lengths, headers, bodies in pieces; and what was certainly not.

use std::sync::Arc;

use batchlingua_core::{BackendName, ErrorKind, SubmitError};
use batchlingua_testkit::{Origin, Reply};
use batchlingua_wire::{Body, BodyError, Call, Failure, Outgoing, UpstreamError};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, header};
use serde_json::json;
use tokio::net::TcpListener;

use crate::support::{always, client, client_at, context, get, post, soon};

async fn nobody_there() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let client = client_at(&nobody_there().await, json!({}));
    let error = post(&client).await.expect_err("refused");
    assert!(matches!(&error, UpstreamError::NotSent(Failure::Unreachable(_))), "{error:?}");
    assert!(!error.was_sent());
    let SubmitError::NotSent(error) = error.into_submit_error(&BackendName::from("x")) else { panic!("not sent") };
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { retry_after } if retry_after.as_secs() == 5));
    assert!(error.message.starts_with("backend 'x' cannot be reached: Connection refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_unreachable() {
    let client = client_at("http://no-such-host.invalid:8998", json!({}));
    let error = post(&client).await.expect_err("no such host");
    assert!(matches!(&error, UpstreamError::NotSent(Failure::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn an_answer_lost_after_sending_is_of_unknown_outcome() {
    for reply in [Reply::nothing().then_close(), Reply::nothing().then_reset(), Reply::raw("HTTP/1.1 20").then_close()]
    {
        let (origin, client) = always(reply.clone()).await;
        let error = post(&client).await.expect_err("no answer");
        assert!(error.was_sent(), "{reply:?}: {error:?}");
        assert_eq!(origin.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_request_has_what_it_should_and_no_more() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    get(&client).await.expect("answered");
    post(&client).await.expect("answered");
    client.exchange(&context(), Call::new(Method::POST, "/empty")).await.expect("answered");
    client.exchange(&context(), Call::delete("/x")).await.expect("answered");
    let asked = origin.asked();
    let names: Vec<Vec<&str>> =
        asked.iter().map(|asked| asked.headers.keys().map(http::HeaderName::as_str).collect()).collect();
    assert_eq!(names[0], ["host", "user-agent", "accept"]);
    assert_eq!(names[1], ["host", "user-agent", "accept", "content-type", "content-length"]);
    assert_eq!(names[2], ["host", "user-agent", "accept", "content-length"]);
    assert_eq!(names[3], ["host", "user-agent", "accept"]);
    assert_eq!(asked[0].header("host"), origin.address().to_string());
    assert_eq!(asked[0].header("user-agent"), format!("batchlingua/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(asked[0].header("accept"), "application/json");
    assert_eq!((asked[1].header("content-length"), asked[2].header("content-length")), ("2", "0"));
    assert_eq!((asked[1].method.as_str(), &asked[1].body[..]), ("POST", &b"{}"[..]));
}

#[tokio::test]
async fn paths_are_below_the_address() {
    let origin = Origin::start(|_| Reply::json(200, "{}")).await;
    for (prefix, target, asked) in [
        ("", "/batches?from=0", "/batches?from=0"),
        ("/", "/batches", "/batches"),
        ("/livy/", "/batches/7", "/livy/batches/7"),
        ("/gateway/livy", "", "/gateway/livy/"),
        ("/livy", "?x=%20", "/livy?x=%20"),
        ("", "?x", "/?x"),
        ("", "batches", "/batches"),
    ] {
        let client = client_at(&format!("{}{prefix}", origin.url()), json!({}));
        client.exchange(&context(), Call::get(target)).await.expect("answered");
        assert_eq!(origin.asked().pop().expect("asked").target, asked);
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_written_is_not_sent() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    for target in ["/a b".to_owned(), "/a\r\nx: y".to_owned(), format!("/{}", "a".repeat(70_000))] {
        let error = client.exchange(&context(), Call::get(target)).await.expect_err("no target");
        assert!(matches!(&error, UpstreamError::NotSent(Failure::Request(_))), "{error:?}");
        assert_eq!(error.into_error(&BackendName::from("x")).kind, ErrorKind::Internal);
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn what_a_call_may_not_decide_is_dropped() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    let mut call = Call::post_json("/x", "{}")
        .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("999"))
        .with_header(header::ACCEPT, HeaderValue::from_static("text/plain"));
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=1"),
        ("upgrade", "h2c"),
        ("te", "trailers"),
        ("expect", "100-continue"),
        ("host", "elsewhere"),
        ("authorization", "Basic c2VjcmV0"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("cookie", "session=s3cr3t"),
        ("x-auth-token", "s3cr3t"),
        ("x-real-ip", "6.6.6.6"),
        ("x-requested-by", "me"),
    ] {
        call = call.with_header(name.parse().expect("a name"), HeaderValue::from_static(value));
    }
    call.headers.append("x-twice", HeaderValue::from_static("1"));
    call.headers.append("x-twice", HeaderValue::from_static("2"));
    client.exchange(&context(), call).await.expect("answered");
    let asked = origin.asked().remove(0);
    let names: Vec<&str> = asked.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["host", "user-agent", "accept", "content-type", "x-requested-by", "x-twice", "content-length"]);
    assert_eq!((asked.header("accept"), asked.header("content-length")), ("text/plain", "2"));
    assert_eq!(asked.headers.get_all("x-twice").iter().count(), 2);
    assert_eq!(asked.header("host"), origin.address().to_string());
}

#[tokio::test]
async fn a_body_in_pieces_arrives_whole() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    let pieces = || Body::stream(stream::iter(["one ", "two ", "three"].map(|piece| Ok(Bytes::from(piece)))));
    for (length, framing) in [(Some(13), ("13", "")), (None, ("", "chunked"))] {
        let body = Outgoing::Stream { make: Arc::new(pieces), length };
        client.exchange(&context(), Call::new(Method::POST, "/up").with_body(body)).await.expect("answered");
        let asked = origin.asked().pop().expect("asked");
        assert_eq!(asked.body, "one two three");
        assert_eq!((asked.header("content-length"), asked.header("transfer-encoding")), framing);
    }
    let once = Call::new(Method::POST, "/up").with_body(Outgoing::Once(pieces()));
    client.exchange(&context(), once).await.expect("answered");
    assert_eq!(origin.asked().pop().expect("asked").body, "one two three");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_told_as_whole() {
    let broken = || {
        let pieces = [Ok(Bytes::from("one ")), Err(BodyError("the spool is gone".to_owned()))];
        Body::stream(stream::iter(pieces))
    };
    for length in [Some(13), None] {
        let (origin, client) = always(Reply::json(200, "{}")).await;
        let body = Outgoing::Stream { make: Arc::new(broken), length };
        let call = Call::new(Method::POST, "/up").with_body(body);
        let error = client.exchange(&context(), call).await.expect_err("no whole request");
        // Whether its first piece was on its way by then is the machine's affair.
        let (UpstreamError::NotSent(why) | UpstreamError::Lost(why)) = error else { panic!("{length:?}: {error:?}") };
        assert_eq!(why, Failure::Body("the spool is gone".to_owned()), "{length:?}");
        soon(origin.closed(1)).await;
        assert_eq!(origin.asked().len(), 0, "the backend never had a whole one");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_said_is_not_told_as_whole() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    let body =
        Outgoing::Stream { make: Arc::new(|| Body::stream(stream::iter([Ok(Bytes::from("short"))]))), length: Some(9) };
    let call = Call::new(Method::POST, "/up").with_body(body);
    let error = soon(client.exchange(&context(), call)).await.expect_err("too short");
    let (UpstreamError::NotSent(why) | UpstreamError::Lost(why)) = error else { panic!("{error:?}") };
    assert!(matches!(&why, Failure::Body(why) if why.contains("4 more bytes")), "{why:?}");
    soon(origin.closed(1)).await;
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test]
async fn an_exchange_that_nobody_waits_for_ends_its_connection() {
    let (origin, client) = always(Reply::nothing().stall()).await;
    let waiting = tokio::spawn(async move { post(&client).await });
    soon(origin.wait_for(1)).await;
    waiting.abort();
    soon(origin.closed(1)).await;
}

#[tokio::test]
async fn the_clone_of_a_client_is_the_same_client() {
    let (origin, client) = (Origin::start(|_| Reply::json(200, "{}")).await, client);
    let one = client(&origin);
    let other = one.clone();
    get(&one).await.expect("answered");
    get(&other).await.expect("answered");
    assert_eq!(origin.connections(), 1);
}
