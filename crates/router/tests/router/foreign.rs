//! Batches that were submitted elsewhere.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{BatchState, Marking};
use batchlingua_testkit::Point;
use serde_json::json;

use crate::house::{House, backend, spec};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_walk_finds_them_and_their_ids_stay() {
    let house = House::new();
    for n in 0..250 {
        house.backend.add_foreign(spec(&format!("n{n}")));
    }
    let page = house.get("/jobs?size=1000").await;
    assert_eq!(page.json["total"], 250, "over several pages");
    let (first, last) = (&page.json["rows"][0], &page.json["rows"][249]);
    house.gateway.drain().await;
    let heir = house.next_life();
    for row in [first, last] {
        let shown = heir.get(&format!("/jobs/{}", row["ordinal"])).await;
        assert_eq!((&shown.json["uuid"], &shown.json["native"]), (&row["uuid"], &row["native"]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_a_client_holds_is_looked_up_on_the_first_day() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.able(|can| can.marking = Marking::Idempotent)), |plans| {
        plans.started = false;
    });
    let by_uuid = house.backend.add_foreign(spec("a"));
    assert_eq!(house.state(by_uuid.as_str()).await, "queued");
    house.backend.advance(&by_uuid, BatchState::Running);
    assert_eq!(house.state(by_uuid.as_str()).await, "running");
    assert_eq!(house.act("cancel", by_uuid.as_str()).await, "ended:cancelled");

    let house = House::with(|plans| plans.started = false);
    let by_text = house.backend.add_foreign(spec("b"));
    assert_eq!(house.state(by_text.as_str()).await, "queued");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_seen_before_its_answer_is_one_batch() {
    for (telling, marking) in
        [(false, Marking::Findable), (true, Marking::Findable), (false, Marking::None), (true, Marking::None)]
    {
        let (clock, backend) = backend();
        let backend = if telling { backend.telling_changes() } else { backend };
        let backend = backend.able(|can| can.marking = marking);
        let house = House::over(clock, Arc::new(backend), |_| {});
        house.backend.hold(Point::SubmitAnswer);
        let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
        house.backend.until_held(Point::SubmitAnswer, 1).await;
        tokio::time::sleep(15 * SECOND).await;
        house.backend.release(Point::SubmitAnswer);
        let uuid = client.await.expect("an answer").text_of("uuid");
        tokio::time::sleep(15 * SECOND).await;
        let page = house.get("/jobs").await;
        assert_eq!((page.json["total"].as_u64(), &page.json["rows"][0]["uuid"]), (Some(1), &json!(uuid)));
    }
}

/// As when the ledger was lost, and the jobs of the local backend were not.
#[tokio::test(start_paused = true)]
async fn a_backend_at_hand_has_its_jobs_listed_without_a_ledger_that_knows_them() {
    let (clock, backend) = backend();
    let backend = backend.telling_changes().able(|can| {
        can.cheap_reads = true;
        can.marking = Marking::Idempotent;
    });
    let house = House::over(clock, Arc::new(backend), |plans| plans.started = false);
    house.backend.add_foreign(spec("before"));
    house.gateway.start();
    house.settle_down().await;
    house.backend.add_foreign(spec("after"));
    house.settle_down().await;
    assert_eq!(house.get("/jobs").await.json["total"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_for_its_age_does_not_come_again() {
    let house = House::with(|plans| plans.limits.keep_for = Duration::from_secs(3_600));
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    tokio::time::sleep(5_000 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 0);
    assert_eq!(house.get(&format!("/jobs/{uuid}")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn what_was_dropped_for_the_number_of_rows_does_not_come_again() {
    let house = House::with(|plans| plans.limits.max_rows = Some(2));
    for name in ["first", "second", "third"] {
        let (uuid, native) = house.running(name).await;
        house.backend.advance(&native, BatchState::Succeeded);
        assert_eq!(house.state(&uuid).await, "succeeded");
        tokio::time::sleep(SECOND).await;
    }
    tokio::time::sleep(2_400 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 3, "who polls one may yet have to learn of its end");
    tokio::time::sleep(1_800 * SECOND).await;
    // The backend shows all three all the time; walks and looks for old rows come in turn.
    for _ in 0..5 {
        tokio::time::sleep(700 * SECOND).await;
        assert_eq!(house.get("/jobs").await.json["total"], 2);
    }
}
