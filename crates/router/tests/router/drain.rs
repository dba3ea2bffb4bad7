//! The end of a process: what is on its way is finished, and nothing new begins.

use std::time::Duration;

use batchlingua_core::{Ledger, Phase};
use batchlingua_testkit::{OnCancel, Point, SubmitFault};
use serde_json::json;

use crate::house::House;

const SECOND: Duration = Duration::from_secs(1);

async fn phases(house: &House) -> Vec<Phase> {
    house.ledger.dump(None, 100).await.expect("rows").iter().map(|row| row.phase).collect()
}

#[tokio::test(start_paused = true)]
async fn submits_on_their_way_are_finished_and_new_ones_are_not_begun() {
    let house = House::new();
    house.backend.hold(Point::Submit);
    let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
    house.backend.until_held(Point::Submit, 1).await;
    let drain = tokio::spawn({
        let gateway = house.gateway.clone();
        async move { gateway.drain().await }
    });
    house.settle_down().await;
    let late = house.post("/jobs", json!({ "file": "b.py" })).await;
    assert_eq!((late.status.as_u16(), late.header("retry-after").is_some()), (503, true), "{late:?}");
    assert_eq!(house.post("/actions/cancel", json!({ "ids": ["1"] })).await.status, 503);
    house.assert_not_known_yet("1").await;
    assert!(!drain.is_finished());
    house.backend.release(Point::Submit);
    drain.await.expect("drained");
    assert_eq!(client.await.expect("an answer").status, 201);
    assert_eq!((phases(&house).await, house.backend.jobs_created()), (vec![Phase::Accepted], 1));
}

#[tokio::test(start_paused = true)]
async fn what_has_been_sent_is_written_down_before_the_end() {
    let house = House::new();
    house.backend.hold(Point::Submit);
    let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
    house.backend.until_held(Point::Submit, 1).await;
    house.ledger.fail("settle", 6);
    house.backend.release(Point::Submit);
    house.gateway.drain().await;
    assert_eq!(phases(&house).await, [Phase::Accepted]);
    assert_eq!(client.await.expect("an answer").status, 201);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_who_could_wait_for_ever() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    house.backend.on_cancel(OnCancel::Lose);
    let (uuid, _) = {
        let late = house.posting("/jobs", &[("idempotency-key", "k")], json!({ "file": "a.py" }));
        tokio::time::sleep(SECOND).await;
        let second = house.posting("/jobs", &[("idempotency-key", "k")], json!({ "file": "a.py" }));
        let running = house.running("b").await;
        // Forgotten by this test, not by the proxy.
        drop((late, second));
        running
    };
    let cancel = house.posting("/actions/cancel", &[], json!({ "ids": [uuid] }));
    tokio::time::sleep(SECOND).await;
    let began = tokio::time::Instant::now();
    house.gateway.drain().await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(cancel.await.expect("an answer").json[0]["result"], "accepted");
    assert_eq!(phases(&house).await, [Phase::Ambiguous, Phase::Accepted]);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_hangs_does_not_hold_the_end() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownButCreated]);
    house.backend.hold(Point::LookUp);
    let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
    house.backend.until_held(Point::LookUp, 1).await;
    let began = tokio::time::Instant::now();
    house.gateway.drain().await;
    assert!(began.elapsed() < SECOND);
    let told = client.await.expect("an answer");
    assert_eq!(told.header("batchlingua-outcome"), Some("unknown"));
    house.backend.release(Point::LookUp);
    let heir = house.next_life();
    tokio::time::sleep(SECOND).await;
    assert_eq!(phases(&heir).await, [Phase::Accepted]);
}

#[tokio::test(start_paused = true)]
async fn a_list_at_the_end_waits_for_no_walk() {
    let house = House::new();
    house.running("a").await;
    house.gateway.drain().await;
    tokio::time::sleep(60 * SECOND).await;
    let began = tokio::time::Instant::now();
    assert_eq!(house.get("/jobs").await.json["total"], 1);
    assert!(began.elapsed() < SECOND);
}
