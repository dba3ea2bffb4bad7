//! Requests as such: limits, access, paths, headers.

use std::time::Duration;

use batchlingua_router::Access;
use batchlingua_testkit::Point;
use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use serde_json::json;

use crate::house::{House, request};

#[tokio::test(start_paused = true)]
async fn a_full_proxy_answers_at_once_and_says_when_to_come_again() {
    let house = House::with(|plans| plans.limits.max_in_flight = 2);
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Get);
    let path = format!("/jobs/{uuid}/state");
    let polls: Vec<_> = (0..2)
        .map(|_| {
            let (house, path) = (house.clone(), path.clone());
            tokio::spawn(async move { house.get(&path).await })
        })
        .collect();
    house.backend.until_held(Point::Get, 2).await;
    let shed = house.get(&path).await;
    assert_eq!((shed.status.as_u16(), shed.header("retry-after")), (429, Some("1")));
    assert_eq!(shed.text_of("kind"), "throttled", "in the client's own words");
    house.backend.release(Point::Get);
    for poll in polls {
        assert_eq!(poll.await.expect("an answer").status, 200);
    }
    assert_eq!(house.get(&path).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_an_end() {
    let house = House::with(|plans| plans.limits.request_timeout = Duration::from_secs(3));
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Get);
    let late = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((late.status.as_u16(), late.text_of("kind").as_str()), (504, "backend_timeout"));
    assert_eq!(house.notebook.lines("request plain state"), ["request plain state 504"]);
}

fn posted(body: Body) -> Request<Body> {
    request(Method::POST, "/jobs", &[], body)
}

#[tokio::test(start_paused = true)]
async fn a_body_is_bounded_in_length_and_in_time() {
    let house = House::new();
    let large = vec![b' '; (1 << 16) + 1];
    let said = house.send(posted(Body::full(large.clone()))).await;
    assert_eq!((said.status.as_u16(), said.text_of("kind").as_str()), (413, "too_large"));
    let pieces: Vec<_> = large.chunks(1_000).map(|piece| Ok::<_, BodyError>(Bytes::copy_from_slice(piece))).collect();
    let unsaid = house.send(posted(Body::stream(stream::iter(pieces)))).await;
    assert_eq!((unsaid.status.as_u16(), unsaid.text_of("kind").as_str()), (413, "too_large"));
    let began = tokio::time::Instant::now();
    let slow = stream::iter([Ok::<_, BodyError>(Bytes::from("{"))]).chain(stream::pending());
    assert_eq!(house.send(posted(Body::stream(slow))).await.status, 400);
    assert_eq!(began.elapsed().as_secs(), 30);
    let torn = stream::iter([Ok(Bytes::from("{")), Err(BodyError("reset".into()))]);
    assert_eq!(house.send(posted(Body::stream(torn))).await.status, 400);
    assert_eq!(house.ledger.calls("intend"), 0);
}

/// Pieces of a body, each after so many seconds.
fn dripping(seconds: u64, bytes: usize, pieces: usize) -> Body {
    let pieces = stream::iter(0..pieces).then(move |_| async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        Ok::<_, BodyError>(Bytes::from(vec![b' '; bytes]))
    });
    let end = stream::iter([Ok::<_, BodyError>(Bytes::from("{\"file\":\"a.py\"}"))]);
    Body::stream(Box::pin(pieces.chain(end)))
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_long_but_must_keep_coming() {
    let house = House::with(|plans| {
        plans.limits.request_timeout = Duration::from_secs(60);
        plans.limits.min_body_rate = 100;
    });
    // In seconds: how long between two pieces, until when it is given up; in bytes: a piece.
    for (seconds, bytes, pieces, given_up) in [
        (10, 1_000, 30, None),
        (29, 2_900, 9, None),
        (31, 60_000, 1, Some(30)),
        // A second after a second a byte: the first 30 are free, and each byte brings a hundredth.
        (1, 1, 1_000, Some(30)),
        // Five pieces allow for 25 seconds more.
        (10, 500, 100, Some(55)),
    ] {
        let began = tokio::time::Instant::now();
        let answer = house.send(posted(dripping(seconds, bytes, pieces))).await;
        let took = began.elapsed().as_secs();
        match given_up {
            None => assert_eq!((answer.status.as_u16(), took), (201, seconds * pieces as u64), "{seconds} {bytes}"),
            Some(after) => {
                assert_eq!((answer.status.as_u16(), took), (400, after), "{seconds} {bytes}: {answer:?}");
                assert!(answer.text_of("message").contains("(min_body_rate)"), "{answer:?}");
            }
        }
    }
    assert_eq!(house.backend.jobs_created(), 2, "each by a body that took longer than a request may");
}

#[tokio::test(start_paused = true)]
async fn a_web_page_starts_no_job() {
    let house =
        House::with(|plans| plans.access = Access { authenticated: false, hosts: vec!["proxy.example".into()] });
    let job = || json!({ "file": "a.py" }).to_string();
    for (headers, host, allowed) in [
        (vec![], "127.0.0.1:8998", true),
        (vec![], "proxy.example", true),
        (vec![], "evil.example", false),
        (vec![("origin", "http://evil.example")], "127.0.0.1:8998", false),
        (vec![("sec-fetch-site", "cross-site")], "127.0.0.1:8998", false),
    ] {
        let mut asked = request(Method::POST, "/jobs", &headers, Body::full(job()));
        asked.headers_mut().insert("host", host.parse().expect("a value"));
        let answer = house.send(asked).await;
        assert_eq!(answer.status.as_u16(), if allowed { 201 } else { 403 }, "{headers:?} {host}");
        assert_eq!(answer.text_of("kind"), if allowed { "" } else { "forbidden" });
    }
    let page = house.get("/").await;
    assert_eq!(page.status, 200);
    let mut foreign = request(Method::GET, "/", &[], Body::empty());
    foreign.headers_mut().insert("host", "evil.example".parse().expect("a value"));
    assert_eq!(house.send(foreign).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn paths_outside_all_dialects_have_answers_of_their_own() {
    let house = House::new();
    let root = house.get("/").await;
    assert_eq!(root.header("content-type"), Some("text/html;charset=utf-8"));
    assert!(root.text.contains("<li>plain</li>"), "{}", root.text);
    assert_eq!(house.post("/", json!({})).await.status, 405);
    let unknown = house.get("/nothing/here").await;
    assert_eq!((unknown.status.as_u16(), unknown.json["message"].is_string()), (404, true));
    assert_eq!(house.get("/jobs/%zz").await.status, 400);
    assert_eq!(house.get("/jobs/a/b/c").await.json["miss"], "path");
    assert_eq!(house.send(request(Method::PUT, "/jobs", &[], Body::empty())).await.json["miss"], "method");
    assert_eq!(house.get("/version").await.json["version"], 1);
    assert_eq!(house.post("/relay", json!({})).await.json["relayed"], false);
    assert_eq!(
        house.notebook.lines("request none"),
        [
            "request none unmatched 200",
            "request none unmatched 405",
            "request none unmatched 404",
            "request none unmatched 400",
        ]
    );

    let single = House::with(|plans| plans.single = true);
    assert_eq!(single.get("/nothing/here").await.json["miss"], "path", "one dialect answers as its product does");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_cannot_be_taken_is_refused_in_the_only_products_words() {
    let expecting = |expectation: &str| {
        // Its body never comes.
        let body = Body::stream(stream::pending::<Result<Bytes, BodyError>>());
        request(Method::POST, "/jobs", &[("expect", expectation)], body)
    };
    for (single, word) in [(false, "message"), (true, "bad")] {
        let house = House::with(|plans| plans.single = single);
        for (said, status) in [
            (house.send(expecting("a miracle")).await, 417),
            (house.send(expecting("100-continue, a miracle")).await, 417),
            (house.get("/jobs/%zz").await, 400),
        ] {
            assert_eq!((said.status.as_u16(), said.json[word].is_string()), (status, true), "{}", said.text);
            assert!(said.header("x-request-id").is_some());
        }
        assert_eq!(house.ledger.calls("intend"), 0);
        let met = request(Method::POST, "/jobs", &[("expect", "100-Continue")], Body::full("{\"file\":\"a.py\"}"));
        assert_eq!(house.send(met).await.status, 201);
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_a_request_id() {
    let house = House::new();
    let given = house.send(request(Method::GET, "/version", &[("x-request-id", "abc-1")], Body::empty())).await;
    assert_eq!(given.header("x-request-id"), Some("abc-1"));
    let mut made = std::collections::HashSet::new();
    for bad in ["", "two words", &"x".repeat(129)] {
        let answer = house.send(request(Method::GET, "/jobs/9", &[("x-request-id", bad)], Body::empty())).await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_ne!(id, bad);
        assert!(made.insert(id), "each its own");
    }
    assert!(house.get("/").await.header("x-request-id").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_request_is_recorded_with_its_operation() {
    let house = House::new();
    assert_eq!(house.get("/jobs/4711").await.status, 404);
    assert_eq!(house.post("/jobs", json!("no object")).await.status, 201);
    assert_eq!(house.notebook.lines("request"), ["request plain get 404", "request plain submit 201"]);
}
