//! Polls are the load: how many calls of a backend they cost, and that what is shared is never older, nor anybody else's, than it may be.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use batchlingua_core::BatchState;
use batchlingua_router::CallLimits;
use batchlingua_testkit::Point;
use futures_util::future::join_all;
use http::Method;
use tokio::task::JoinHandle;

use batchlingua_wire::Body;

use crate::house::{Answer, House, backend, request};

const SECOND: Duration = Duration::from_secs(1);

/// With what is shared as long as it is by default.
fn sharing() -> House {
    House::with(|plans| plans.calls.freshness = CallLimits::default().freshness)
}

fn polling(house: &House, path: &str) -> JoinHandle<Answer> {
    let (house, path) = (house.clone(), path.to_owned());
    tokio::spawn(async move { house.get(&path).await })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_at_once_cost_one_call() {
    let house = sharing();
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Get);
    let before = house.backend.calls(Point::Get);
    let polls: Vec<_> = (0..1_000).map(|_| polling(&house, &format!("/jobs/{uuid}/state"))).collect();
    house.backend.until_held(Point::Get, 1).await;
    house.settle_down().await;
    house.backend.release(Point::Get);
    for poll in join_all(polls).await {
        let poll = poll.expect("an answer");
        assert_eq!((poll.text_of("state").as_str(), poll.header("age")), ("running", None));
    }
    assert_eq!(house.backend.calls(Point::Get), before + 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_serves_for_as_long_as_it_is_fresh() {
    let house = sharing();
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    let before = house.backend.calls(Point::Get);
    house.backend.advance(&native, BatchState::Succeeded);
    tokio::time::sleep(SECOND - Duration::from_millis(1)).await;
    assert_eq!(house.state(&uuid).await, "running", "nothing has told of it");
    assert_eq!(house.backend.calls(Point::Get), before);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(house.state(&uuid).await, "succeeded");
    assert_eq!(house.backend.calls(Point::Get), before + 1);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_shared_each_poll_asks() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    let before = house.backend.calls(Point::Get);
    for _ in 0..3 {
        house.state(&uuid).await;
    }
    assert_eq!(house.backend.calls(Point::Get), before + 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_takes_the_answer_from_nobody() {
    let house = sharing();
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Get);
    let first = polling(&house, &format!("/jobs/{uuid}"));
    house.backend.until_held(Point::Get, 1).await;
    let second = polling(&house, &format!("/jobs/{uuid}"));
    house.settle_down().await;
    first.abort();
    house.settle_down().await;
    house.backend.release(Point::Get);
    assert_eq!(second.await.expect("an answer").text_of("state"), "running");
    assert_eq!(house.backend.calls(Point::Get), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_all_who_wait_and_to_nobody_after_them() {
    let house = sharing();
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Get);
    let polls: Vec<_> = (0..10).map(|_| polling(&house, &format!("/jobs/{uuid}/state"))).collect();
    house.backend.until_held(Point::Get, 1).await;
    house.settle_down().await;
    house.backend.set_reachable(false);
    house.backend.release(Point::Get);
    for poll in join_all(polls).await {
        let poll = poll.expect("an answer");
        assert_eq!((poll.status.as_u16(), poll.header("batchlingua-stale")), (200, Some("0")), "{poll:?}");
    }
    // The first, and its one repetition.
    assert_eq!(house.backend.calls(Point::Get), 2);
    house.backend.set_reachable(true);
    let back = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((back.text_of("state").as_str(), back.header("batchlingua-stale")), ("running", None));
}

#[tokio::test(start_paused = true)]
async fn who_has_acted_sees_what_came_of_it() {
    let house = sharing();
    let (uuid, _) = house.running("a").await;
    for (action, state) in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")] {
        house.state(&uuid).await;
        house.act(action, &uuid).await;
        assert_eq!(house.state(&uuid).await, state, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_is_shown_at_once() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.telling_changes()), |plans| plans.calls.freshness = 60 * SECOND);
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.advance(&native, BatchState::Succeeded);
    house.settle_down().await;
    assert_eq!(house.state(&uuid).await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_asked_for_no_more_with_all_its_detail() {
    let house = sharing();
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    let whole = format!("/jobs/{uuid}");
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(house.get(&whole).await.status, 200);
    let before = house.backend.calls(Point::Get);
    tokio::time::sleep(3_600 * SECOND).await;
    assert_eq!(house.get(&whole).await.text_of("state"), "succeeded");
    assert_eq!(house.backend.calls(Point::Get), before);
}

#[tokio::test(start_paused = true)]
async fn a_callers_own_view_is_its_own() {
    let (clock, backend) = backend();
    let backend = backend.able(|can| can.caller_credentials = true);
    let house = House::over(clock, Arc::new(backend), |plans| plans.calls.freshness = 60 * SECOND);
    let (uuid, _) = house.running("a").await;
    let poll = |user: &str| {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(user));
        house.send(request(Method::GET, &format!("/jobs/{uuid}/state"), &[("authorization", &basic)], Body::empty()))
    };
    let before = house.backend.calls(Point::Get);
    for (user, calls) in [("ana:1", 1), ("bob:1", 2), ("ana:1", 2), ("ana:2", 3), ("bob:1", 3)] {
        assert_eq!(poll(user).await.text_of("state"), "running");
        assert_eq!(house.backend.calls(Point::Get), before + calls, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded() {
    let house = House::with(|plans| (plans.calls.freshness, plans.calls.max_looks) = (3_600 * SECOND, 64 << 10));
    let mut uuids = Vec::new();
    for number in 0..200 {
        uuids.push(house.running(&format!("job-{number}")).await.0);
    }
    for uuid in &uuids {
        house.state(uuid).await;
    }
    let before = house.backend.calls(Point::Get);
    house.state(&uuids[199]).await;
    assert_eq!(house.backend.calls(Point::Get), before, "the last one is kept");
    house.state(&uuids[0]).await;
    assert_eq!(house.backend.calls(Point::Get), before + 1, "the first one is not");
}
