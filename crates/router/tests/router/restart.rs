//! What a past life has left open.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Backend, Claim, Entry, Holder, Intended, Intent, Lease, Ledger, Marker, Marking, NewIntent, Phase, Principal,
    Verdict,
};
use batchlingua_router::Whereabouts;
use batchlingua_testkit::{Point, context};
use serde_json::json;

use crate::house::{House, spec};

const SECOND: Duration = Duration::from_secs(1);

/// The intent of a process that is gone, as far as it came.
async fn left_open(house: &House, phase: Phase) -> Entry {
    let new = NewIntent {
        marker: Marker { uuid: batchlingua_core::Uuid::new_v4(), name: None },
        backend: "here".into(),
        dialect: "plain".into(),
        listener: "main".into(),
        principal: Principal::unverified("ana"),
        project: None,
        spec: Arc::new(spec("left")),
        unmapped: Vec::new(),
        key: None,
        unique_name: None,
        claim: Claim { holder: Holder("past life".into()), lease: 60 * SECOND },
        at_once: false,
    };
    let Ok(Intended::Fresh(entry, lease)) = house.ledger.intend(new).await else { panic!("fresh") };
    if phase != Phase::Intended {
        house.ledger.may_send(&lease).await.expect("the lease is fresh");
    }
    if phase == Phase::Ambiguous {
        house.ledger.settle(&lease as &Lease, Verdict::Ambiguous).await.expect("written");
    }
    entry
}

/// Its job, made before the process went.
async fn job_of(house: &House, entry: &Entry) {
    let intent = Intent {
        marker: entry.marker.clone(),
        backend: "here".into(),
        spec: Arc::new(spec("left")),
        files: Arc::default(),
        principal: Principal::unverified("ana"),
        dialect: "livy".into(),
        project: None,
    };
    let plan = house.backend.plan(intent).expect("a plan");
    house.backend.submit(&context(), plan).await.expect("a job");
}

async fn phase_of(house: &House, entry: &Entry) -> Phase {
    let rows = house.ledger.dump(None, 1_000).await.expect("rows");
    rows.iter().find(|row| row.row == entry.row).expect("the row").phase
}

fn not_started() -> House {
    House::with(|plans| plans.started = false)
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_over_at_once() {
    let house = not_started();
    let entry = left_open(&house, Phase::Intended).await;
    house.gateway.start();
    house.settle_down().await;
    assert_eq!(phase_of(&house, &entry).await, Phase::Failed);
    assert_eq!(house.backend.calls(Point::LookUp), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_found_if_it_is_there() {
    for phase in [Phase::Sending, Phase::Ambiguous] {
        let house = not_started();
        let entry = left_open(&house, phase).await;
        job_of(&house, &entry).await;
        house.backend.advance(&"mem-0".into(), batchlingua_core::BatchState::Running);
        house.gateway.start();
        house.settle_down().await;
        assert_eq!(phase_of(&house, &entry).await, Phase::Accepted, "{phase:?}");
        assert_eq!(house.state(&entry.batch.id.uuid.to_string()).await, "running");
        assert_eq!(house.get("/jobs").await.json["total"], 1, "one job, one row");
        assert_eq!(house.backend.jobs_created(), 1);
    }
}

/// It would have an id of its own until its submit is settled, and then another.
#[tokio::test(start_paused = true)]
async fn a_walk_does_not_show_what_was_sent_before_it_is_known_whose_it_is() {
    let house = not_started();
    let entry = left_open(&house, Phase::Sending).await;
    job_of(&house, &entry).await;
    let foreign = house.backend.add_foreign(spec("other"));
    house.backend.hold(Point::LookUp);
    house.gateway.start();
    tokio::time::sleep(30 * SECOND).await;
    let page = house.get("/jobs").await;
    assert_eq!((&page.json["total"], &page.json["rows"][0]["native"]), (&json!(1), &json!(foreign.as_str())));
    assert!(phase_of(&house, &entry).await.is_open());
    house.backend.release(Point::LookUp);
    tokio::time::sleep(30 * SECOND).await;
    let page = house.get("/jobs").await;
    let ids: Vec<_> = page.json["rows"].as_array().into_iter().flatten().map(|row| &row["uuid"]).collect();
    assert_eq!((ids.len(), ids.contains(&&json!(entry.batch.id.uuid.to_string()))), (2, true), "{page:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_is_not_there_is_given_up_after_settle() {
    for phase in [Phase::Sending, Phase::Ambiguous] {
        let house = not_started();
        house.backend.add_foreign(spec("other"));
        let entry = left_open(&house, phase).await;
        house.gateway.start();
        tokio::time::sleep(25 * SECOND).await;
        assert!(phase_of(&house, &entry).await.is_open(), "before settle");
        tokio::time::sleep(40 * SECOND).await;
        assert_eq!(phase_of(&house, &entry).await, Phase::Failed);
        assert_eq!(house.get(&format!("/jobs/{}", entry.batch.id.uuid)).await.status, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_at_the_start_is_asked_when_it_is_back() {
    let house = not_started();
    let entry = left_open(&house, Phase::Sending).await;
    job_of(&house, &entry).await;
    house.backend.set_reachable(false);
    house.gateway.start();
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(phase_of(&house, &entry).await, Phase::Ambiguous);
    assert_eq!(house.gateway.open_submits()[0].whereabouts, Whereabouts::LookedFor);
    house.assert_not_known_yet(&entry.batch.id.uuid.to_string()).await;
    house.backend.set_reachable(true);
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(phase_of(&house, &entry).await, Phase::Accepted);
}

/// An operator's script asks as soon as it is answered.
#[tokio::test(start_paused = true)]
async fn what_is_open_is_told_only_when_the_past_lifes_is_among_it() {
    let house = not_started();
    let entry = left_open(&house, Phase::Ambiguous).await;
    let whole = tokio::time::timeout(60 * SECOND, house.gateway.open_submits_are_whole());
    assert!(whole.await.is_err() && house.gateway.open_submits().is_empty(), "nobody has looked yet");
    house.backend.hold(Point::LookUp);
    house.gateway.start();
    house.gateway.open_submits_are_whole().await;
    assert_eq!(house.gateway.open_submits().iter().map(|open| open.entry.row).collect::<Vec<_>>(), [entry.row]);
}

/// A proxy that is restarted more often than that would else never believe that a batch is absent.
#[tokio::test(start_paused = true)]
async fn the_time_to_settle_goes_on_in_the_next_life() {
    let house = not_started();
    house.backend.set_capabilities(|can| can.settle = 100 * SECOND);
    house.backend.add_foreign(spec("other"));
    let entry = left_open(&house, Phase::Sending).await;
    let mut house = house.next_life_with(|plans| plans.started = true);
    for phase in [Phase::Ambiguous, Phase::Ambiguous, Phase::Failed] {
        tokio::time::sleep(45 * SECOND).await;
        assert_eq!(phase_of(&house, &entry).await, phase);
        house.gateway.drain().await;
        house = house.next_life();
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_tell_it_stays_open_and_is_asked_once() {
    let house = not_started();
    house.backend.set_capabilities(|can| can.marking = Marking::None);
    let entry = left_open(&house, Phase::Sending).await;
    house.gateway.start();
    tokio::time::sleep(3_600 * SECOND).await;
    assert_eq!(phase_of(&house, &entry).await, Phase::Ambiguous);
    assert_eq!(house.backend.calls(Point::LookUp), 1);
    house.assert_not_known_yet("1").await;
    let open = house.gateway.open_submits();
    assert_eq!(
        open.iter().map(|open| (open.entry.row, open.whereabouts)).collect::<Vec<_>>(),
        [(entry.row, Whereabouts::LeftToPeople)]
    );
    // Somebody has looked there, and another process on the same ledger has written down what he found.
    let (_, lease) = house.ledger.claim(&Holder("another".into()), 9).await.expect("written").remove(0);
    house.ledger.settle(&lease, Verdict::Failed("it is not there".into())).await.expect("written");
    tokio::time::sleep(120 * SECOND).await;
    assert!(house.gateway.open_submits().is_empty(), "it is not waited for any more");
}

#[tokio::test(start_paused = true)]
async fn an_intent_whose_backend_is_gone_from_the_configuration_stays_open() {
    let house = not_started();
    let entry = left_open(&house, Phase::Sending).await;
    let house = house.next_life_with(|plans| (plans.backends, plans.started) = (Vec::new(), true));
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(phase_of(&house, &entry).await, Phase::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn many_open_intents_are_resolved_without_a_pause_between_them() {
    let house = not_started();
    let mut left = Vec::new();
    for _ in 0..300 {
        left.push(left_open(&house, Phase::Intended).await);
    }
    house.gateway.start();
    tokio::time::sleep(SECOND).await;
    for entry in &left {
        assert_eq!(phase_of(&house, entry).await, Phase::Failed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_again_with_its_key_gets_the_past_lifes_batch() {
    let house = not_started();
    let key: &[(&str, &str)] = &[("idempotency-key", "k")];
    let body = json!({ "file": "a.py" });
    house.backend.hold(Point::SubmitAnswer);
    let lost = house.posting("/jobs", key, body.clone());
    house.backend.until_held(Point::SubmitAnswer, 1).await;
    // As far as anybody else can see the first process is gone now.
    let heir = house.next_life_with(|plans| plans.started = true);
    let found = heir.post_with("/jobs", key, body).await;
    assert_eq!((found.status.as_u16(), found.json["replayed"].as_bool()), (201, Some(true)));
    lost.abort();
    house.backend.release(Point::SubmitAnswer);
    house.gateway.drain().await;
    assert_eq!(heir.get("/jobs").await.json["total"], 1);
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn batches_outlive_the_process() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.gateway.drain().await;
    let heir = house.next_life();
    for id in [uuid.as_str(), "1", "mem-0"] {
        assert_eq!(heir.state(id).await, "running", "{id}");
    }
}
