//! What a past life has left open.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Backend, BatchRef, ByHand, Claim, Entry, Holder, Intended, Intent, Lease, Ledger, Marker, Marking, NewIntent,
    Phase, Principal, Verdict,
};
use batchlingua_router::Whereabouts;
use batchlingua_testkit::{Point, SubmitFault, context};
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

/// From the moment on that its client is told so, and not only once its lease is over.
#[tokio::test(start_paused = true)]
async fn what_nobody_can_tell_is_shown_to_people_at_once() {
    let house = House::over_able(|can| can.marking = Marking::None);
    house.backend.next_submits([SubmitFault::UnknownButCreated]);
    let told = house.post("/jobs", json!({ "file": "a.py" })).await;
    assert_eq!(told.header("batchlingua-outcome"), Some("unknown"));
    for wait in [Duration::ZERO, 600 * SECOND] {
        tokio::time::sleep(wait).await;
        let open: Vec<_> = house.gateway.open_submits().iter().map(|open| open.whereabouts).collect();
        assert_eq!(open, [Whereabouts::LeftToPeople], "after {wait:?}");
    }
    assert_eq!(house.backend.calls(Point::LookUp), 1, "nobody asks again what cannot be told");
    let row = house.gateway.open_submits()[0].entry.row;
    house.ledger.overrule(row, &said(Some("17"))).await.expect("written");
    tokio::time::sleep(60 * SECOND).await;
    assert!(house.gateway.open_submits().is_empty());
    let began = tokio::time::Instant::now();
    house.gateway.drain().await;
    assert!(began.elapsed() < SECOND);
}

fn said(native: Option<&str>) -> ByHand {
    native.map_or(ByHand::Failed, |native| ByHand::Accepted(native.into()))
}

/// Neither is a look-up that is on its way waited for, nor the pause before the next one.
#[tokio::test(start_paused = true)]
async fn a_person_settles_what_is_being_looked_for_and_the_look_ends() {
    for (native, is_looking) in [(Some("mem-0"), true), (Some("mem-0"), false), (None, true), (None, false)] {
        let house = not_started();
        let entry = left_open(&house, Phase::Ambiguous).await;
        let uuid = entry.batch.id.uuid;
        house.backend.add_foreign(spec("left"));
        if is_looking {
            house.backend.hold(Point::LookUp);
        }
        house.gateway.start();
        house.backend.until_called(Point::LookUp, 1).await;
        house.settle_down().await;
        assert_eq!(house.gateway.open_submits()[0].whereabouts, Whereabouts::LookedFor);
        let began = tokio::time::Instant::now();
        let by_uuid = BatchRef::Uuid(uuid);
        let now = house.gateway.settle_by_hand(&by_uuid, &said(native), "ana").await.expect("it is ambiguous");
        assert_eq!(now.phase, if native.is_some() { Phase::Accepted } else { Phase::Failed });
        assert!(house.gateway.open_submits().is_empty(), "at once");
        house.settle_down().await;
        let looks = house.backend.calls(Point::LookUp);
        house.backend.release(Point::LookUp);
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::sleep(600 * SECOND).await;
        assert_eq!(house.backend.calls(Point::LookUp), looks, "nobody looks for it any more");
        assert_eq!(phase_of(&house, &entry).await, now.phase);
        let found = house.get(&format!("/jobs/{uuid}")).await;
        assert_eq!(found.status, if native.is_some() { 200 } else { 404 }, "{found:?}");
        let word = if native.is_some() { "settle as accepted" } else { "settle as failed" };
        assert_eq!(house.notebook.lines("audit"), [format!("audit {word} ok known")]);
        assert!(house.notebook.lines("phase").contains(&format!("phase {}", now.phase.as_str())));
    }
}

/// The client of the submit, whose connection stands, and its retry with the same key.
#[tokio::test(start_paused = true)]
async fn who_waits_for_an_ambiguous_submit_is_told_what_a_person_has_said() {
    let (made, not_made) = (SubmitFault::UnknownButCreated, SubmitFault::UnknownAndNotCreated);
    for (fault, native, status) in [(made, Some("mem-0"), 201), (not_made, None, 503)] {
        let house = House::new();
        house.backend.next_submits([fault]);
        house.backend.hold(Point::LookUp);
        let (key, body) = (&[("idempotency-key", "k")], json!({ "file": "a.py" }));
        let first = house.posting("/jobs", key, body.clone());
        house.backend.until_held(Point::LookUp, 1).await;
        let second = house.posting("/jobs", key, body);
        house.settle_down().await;
        let open = house.gateway.open_submits().remove(0).entry;
        let by_ordinal = BatchRef::Ordinal(open.batch.id.ordinal);
        let began = tokio::time::Instant::now();
        house.gateway.settle_by_hand(&by_ordinal, &said(native), "ana").await.expect("it is ambiguous");
        let first = first.await.expect("answered");
        assert_eq!(began.elapsed(), Duration::ZERO, "the look is not waited for");
        let second = second.await.expect("answered");
        assert_eq!(first.status, status, "{first:?}");
        match native {
            Some(_) => assert_eq!((first.text_of("uuid"), second.status.as_u16()), (second.text_of("uuid"), 201)),
            // It never went through, so the retry is a submit of its own.
            None => assert_eq!((first.header("retry-after"), second.status.as_u16()), (Some("1"), 201)),
        }
        house.backend.release(Point::LookUp);
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_settles_nothing_else() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    let says = async |id: BatchRef, native: Option<&str>| {
        house.gateway.settle_by_hand(&id, &said(native), "ana").await.expect_err("refused").to_string()
    };
    let known = BatchRef::Uuid(uuid.parse().expect("a uuid"));
    assert!(says(known.clone(), None).await.contains("accepted, not ambiguous"));
    assert!(says(BatchRef::Ordinal(99), None).await.contains("no submit has this id"));
    let open = left_open(&house, Phase::Ambiguous).await;
    assert!(says(BatchRef::Uuid(open.batch.id.uuid), Some("mem-0")).await.contains(&uuid), "whose it is");
    assert!(phase_of(&house, &open).await.is_open());
    assert_eq!(house.notebook.lines("audit settle").len(), 3);
    house.gateway.drain().await;
    assert!(says(known, None).await.contains("stopping"));
}

/// On a shared ledger nobody tells this process, and what it has begun to look for it must not go on looking for.
#[tokio::test(start_paused = true)]
async fn what_another_process_has_settled_is_not_looked_for_any_more() {
    let house = not_started();
    let entry = left_open(&house, Phase::Ambiguous).await;
    house.backend.set_reachable(false);
    house.gateway.start();
    tokio::time::sleep(60 * SECOND).await;
    house.ledger.overrule(entry.row, &ByHand::Failed).await.expect("written");
    tokio::time::sleep(15 * SECOND).await;
    let looks = house.backend.calls(Point::LookUp);
    assert!(looks > 1 && house.gateway.open_submits().is_empty());
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(house.backend.calls(Point::LookUp), looks);
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
