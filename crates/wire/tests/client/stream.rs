//! Answers that come as they are made.

use batchlingua_testkit::{Origin, Reply};
use batchlingua_wire::{Body, Call, Failure, UpstreamError};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::support::{always, client_at, context, run_out, soon};

async fn piece(response: &mut Response<Body>) -> Option<Result<Bytes, String>> {
    let frame = response.body_mut().frame().await?;
    Some(frame.map(|frame| frame.into_data().expect("data")).map_err(|error| error.to_string()))
}

#[tokio::test]
async fn the_head_and_each_piece_are_there_as_they_come() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    let origin = Origin::start(move |_| Reply::raw(head).stall()).await;
    let client = client_at(&origin.url(), json!({"attempt_timeout": "40s"}));
    let mut response = client.stream(&context(), Call::get("/log")).await.expect("a head");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(soon(piece(&mut response)).await, Some(Ok(Bytes::from("one"))));
    let error = run_out(&origin, 1, piece(&mut response)).await.expect("an end").expect_err("it stalls");
    assert_eq!(error, "nothing came for 40s");
    drop(response);
    soon(origin.closed(1)).await;
}

#[tokio::test]
async fn a_reader_that_takes_its_time_is_no_stall() {
    let large = "x".repeat(100_000);
    let origin = Origin::start(move |_| Reply::whole(200, "text/plain", &large)).await;
    let client = client_at(&origin.url(), json!({"attempt_timeout": "40s"}));
    let mut response = client.stream(&context(), Call::get("/log")).await.expect("a head");
    let mut length = piece(&mut response).await.expect("a piece").expect("good").len();
    // Longer than a piece may take to come; what is measured is the waiting, and nobody waits now.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(100)).await;
    tokio::time::resume();
    while let Some(piece) = soon(piece(&mut response)).await {
        length += piece.expect("it was there all the time").len();
    }
    assert_eq!(length, 100_000);
}

#[tokio::test]
async fn a_stream_may_be_longer_than_an_answer() {
    let chunk = vec![b'x'; 4_000];
    let origin = Origin::start(move |_| Reply::chunked(200, &[chunk.as_slice(); 20], "x-trailer: 1\r\n")).await;
    let client = client_at(&origin.url(), json!({"max_answer": "1KiB"}));
    let response = client.stream(&context(), Call::get("/log")).await.expect("a head");
    let whole = response.into_body().collect().await.expect("whole");
    assert!(whole.trailers().is_none());
    assert_eq!(whole.to_bytes().len(), 80_000);
    let error = client.exchange(&context(), Call::get("/log")).await.expect_err("read as one it is too large");
    assert!(matches!(error, UpstreamError::TooLarge { max: 1024 }), "{error:?}");
}

#[tokio::test]
async fn what_breaks_off_is_told_at_its_end() {
    let (_origin, client) = always(Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none").then_close()).await;
    let mut response = client.stream(&context(), Call::get("/log")).await.expect("a head");
    assert_eq!(piece(&mut response).await, Some(Ok(Bytes::from("one"))));
    let error = piece(&mut response).await.expect("an end").expect_err("cut off");
    assert!(error.starts_with("it ends before its end"), "{error}");
}

#[tokio::test]
async fn headers_about_the_connection_stay_with_it_and_others_pass() {
    let head = "HTTP/1.1 201 Created\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=1\r\ntransfer-encoding: chunked\r\n\
                location: /sessions/1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let (origin, client) = always(Reply::raw(head)).await;
    let response = client.stream(&context(), Call::post_json("/sessions", "{}")).await.expect("a head");
    let names: Vec<String> = response.headers().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["location", "set-cookie", "set-cookie", "content-encoding"]);
    let bytes = response.into_body().collect().await.expect("whole").to_bytes();
    assert_eq!(bytes, "{}", "as it came: who passes it on passes its coding on");
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_stream_without_a_head_is_an_error_like_any() {
    let (_origin, client) = always(Reply::nothing().then_close()).await;
    let error = client.stream(&context(), Call::get("/log")).await.expect_err("no head");
    assert!(matches!(error, UpstreamError::Lost(Failure::Closed(_))), "{error:?}");
}
