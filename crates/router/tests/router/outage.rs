//! A backend that does not answer is left alone until it does: what clients are told meanwhile, and how it is met when it is back.

use std::time::Duration;

use batchlingua_router::CircuitState;
use batchlingua_testkit::Point;
use futures_util::future::join_all;
use serde_json::json;

use crate::house::House;

const SECOND: Duration = Duration::from_secs(1);

fn circuit(house: &House) -> CircuitState {
    house.gateway.backends()[0].circuit
}

/// A house whose backend has stopped answering, and two jobs on it.
async fn away() -> (House, Vec<String>) {
    let house = House::new();
    let mut uuids = Vec::new();
    for name in ["a", "b"] {
        let (uuid, _) = house.running(name).await;
        assert_eq!(house.state(&uuid).await, "running");
        uuids.push(uuid);
    }
    house.backend.set_reachable(false);
    while circuit(&house) != CircuitState::Open {
        house.state(&uuids[0]).await;
    }
    (house, uuids)
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_only_probed() {
    let (house, uuids) = away().await;
    let calls = || [Point::Get, Point::Scan, Point::Log, Point::Submit].map(|point| house.backend.calls(point));
    let (before, probes) = (calls(), house.backend.calls(Point::Probe));
    for _ in 0..60 {
        let poll = house.get(&format!("/jobs/{}/state", uuids[0])).await;
        assert_eq!((poll.status.as_u16(), poll.text_of("state").as_str()), (200, "running"));
        assert!(poll.header("batchlingua-stale").is_some(), "{poll:?}");
        assert_eq!(house.get(&format!("/jobs/{}/log", uuids[0])).await.status, 503);
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(calls(), before, "nothing else reaches it");
    let probed = house.backend.calls(Point::Probe) - probes;
    assert!((11..=13).contains(&probed), "one in five seconds, not {probed}");
}

#[tokio::test(start_paused = true)]
async fn a_submit_is_refused_before_anything_is_written() {
    let (house, _) = away().await;
    let before = house.ledger.calls("intend");
    let refused = house.post("/jobs", json!({ "file": "a.py" })).await;
    assert_eq!((refused.status.as_u16(), refused.text_of("kind").as_str()), (503, "backend_unavailable"));
    let after: u64 = refused.header("retry-after").and_then(|after| after.parse().ok()).expect("a time");
    assert!((1..=5).contains(&after), "{after}");
    assert_eq!(house.ledger.calls("intend"), before);
    // With a key it is looked up whether it was sent before; it was not, and the key is free for the next try.
    let key: &[(&str, &str)] = &[("idempotency-key", "k")];
    assert_eq!(house.post_with("/jobs", key, json!({ "file": "a.py" })).await.status, 503);
    assert!(house.gateway.open_submits().is_empty());
    house.backend.set_reachable(true);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(house.post_with("/jobs", key, json!({ "file": "a.py" })).await.status, 201);
    assert_eq!(house.backend.jobs_created(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_end_a_batch_waits_until_it_is_back() {
    let (house, uuids) = away().await;
    assert_eq!(house.act("cancel", &uuids[0]).await, "accepted");
    house.backend.set_reachable(true);
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(house.state(&uuids[0]).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn its_return_is_no_stampede() {
    let (house, uuids) = away().await;
    house.backend.hold(Point::Get);
    house.backend.hold(Point::Scan);
    house.backend.set_reachable(true);
    let probes = house.backend.calls(Point::Probe);
    house.backend.until_called(Point::Probe, probes + 1).await;
    house.settle_down().await;
    assert_eq!(circuit(&house), CircuitState::HalfOpen);
    let before = house.backend.calls(Point::Get) + house.backend.calls(Point::Scan);
    let polls = (0..100).map(|number| {
        let (house, path) = (house.clone(), format!("/jobs/{}/state", uuids[number % 2]));
        tokio::spawn(async move { house.get(&path).await })
    });
    let polls: Vec<_> = polls.collect();
    house.settle_down().await;
    assert_eq!(house.backend.calls(Point::Get) + house.backend.calls(Point::Scan), before + 1, "one at first");
    house.backend.release(Point::Get);
    house.backend.release(Point::Scan);
    for poll in join_all(polls).await {
        assert_eq!(poll.expect("an answer").text_of("state"), "running");
    }
    while circuit(&house) != CircuitState::Closed {
        house.state(&uuids[0]).await;
    }
    assert_eq!(house.get(&format!("/jobs/{}/state", uuids[0])).await.header("batchlingua-stale"), None);
}

/// It opens by silence alone: who refuses lives.
#[tokio::test(start_paused = true)]
async fn an_error_that_is_an_answer_opens_nothing() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.forget(&native);
    let before = house.backend.calls(Point::Get);
    for _ in 0..50 {
        assert_eq!(house.state(&uuid).await, "running");
    }
    assert_eq!(house.backend.calls(Point::Get), before + 50);
    assert_eq!(circuit(&house), CircuitState::Closed);
}
