//! Uploaded files: there while they are needed, and not longer, however the request ends.

use std::time::Duration;

use batchlingua_testkit::{Point, SubmitFault};
use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};

use crate::house::{House, request};

const FORM: &str = "multipart/form-data; boundary=x";

fn part(disposition: &str, content: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
}

fn form(job: &str, file: &str) -> String {
    part("name=\"file\"; filename=\"a.jar\"", file) + &part("name=\"job\"", job) + "--x--\r\n"
}

fn posted(body: Body, key: Option<&str>) -> Request<Body> {
    let mut headers = vec![("content-type", FORM)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    request(Method::POST, "/jobs", &headers, body)
}

fn whole(job: &str) -> Request<Body> {
    posted(Body::full(form(job, "jar")), None)
}

#[tokio::test(start_paused = true)]
async fn files_stay_until_the_outcome_is_definite() {
    let house = House::new();
    house.backend.hold(Point::Submit);
    let client = tokio::spawn({
        let house = house.clone();
        async move { house.send(whole(r#"{"name":"a"}"#)).await }
    });
    house.backend.until_held(Point::Submit, 1).await;
    assert_eq!(house.uploads_left(), 2, "a folder and its file");
    // What is done after the answer needs no files.
    house.backend.hold(Point::Get);
    house.backend.release(Point::Submit);
    assert_eq!(client.await.expect("an answer").status, 201);
    assert_eq!(house.uploads_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn files_of_what_comes_to_nothing_do_not_stay() {
    let house = House::new();
    for fault in [SubmitFault::Refused, SubmitFault::NotSent] {
        house.backend.next_submits([fault]);
        assert!(house.send(whole("{}")).await.status.as_u16() >= 500);
        assert_eq!(house.uploads_left(), 0, "{fault:?}");
    }
    assert_eq!(house.send(whole("no JSON")).await.status, 400);
    assert_eq!(house.uploads_left(), 0, "not decoded");

    let taken = r#"{"name":"a","unique":true}"#;
    assert_eq!(house.send(whole(taken)).await.status, 201);
    assert_eq!(house.send(whole(taken)).await.status, 409);
    assert_eq!(house.uploads_left(), 0, "no intent");

    house.backend.set_capabilities(|can| can.upload = false);
    assert_eq!(house.send(whole("{}")).await.status, 501);
    assert_eq!(house.uploads_left(), 0, "not taken");

    let large = posted(Body::full(form("{}", &"y".repeat(70_000))), None);
    assert_eq!(house.send(large).await.status, 413);
    assert_eq!(house.uploads_left(), 0, "too large");
}

/// The first bytes of a form, and then nothing any more.
fn halting() -> Body {
    let begin = part("name=\"file\"; filename=\"a.jar\"", &"y".repeat(5_000));
    let begin = stream::iter([Ok::<_, BodyError>(Bytes::from(begin))]);
    Body::stream(futures_util::StreamExt::chain(begin, stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn files_of_a_form_that_stops_coming_do_not_stay() {
    let house = House::new();
    assert_eq!(house.send(posted(halting(), None)).await.status, 400);
    assert_eq!(house.uploads_left(), 0);
}

#[tokio::test]
async fn files_of_a_client_that_leaves_do_not_stay() {
    let house = House::new();
    let client = tokio::spawn({
        let house = house.clone();
        async move { house.send(posted(halting(), None)).await }
    });
    // The file is written by a thread of its own, which knows no paused time.
    while house.uploads_left() < 2 {
        tokio::task::yield_now().await;
    }
    client.abort();
    assert!(client.await.is_err());
    assert_eq!(house.uploads_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_tells_forms_apart_by_their_files() {
    let house = House::new();
    let send = |job: &'static str, file: &'static str| {
        let house = house.clone();
        async move { house.send(posted(Body::full(form(job, file)), Some("k"))).await }
    };
    assert_eq!(send("{}", "one").await.json["replayed"], false);
    assert_eq!(send("{}", "one").await.json["replayed"], true);
    assert_eq!(send("{}", "two").await.status, 409);
    assert_eq!(send(r#"{"name":"b"}"#, "one").await.status, 409);
    assert_eq!((house.uploads_left(), house.backend.jobs_created()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn files_go_when_an_unknown_outcome_is_known() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    assert_eq!(house.send(whole("{}")).await.status, 504);
    assert_eq!(house.uploads_left(), 2);
    house.backend.deliver_late();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(house.uploads_left(), 0);
}
