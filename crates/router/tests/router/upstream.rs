//! What only matters over a platform of its own: integers that it gives again, names that are somebody else's, uploads that it does not take,
//! answers that take minutes, and calls that are passed on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{BatchSpec, BatchState, Context, Native, NativeIds, Result};
use batchlingua_router::Stage;
use batchlingua_testkit::{MemoryBackend, Numbering, OnCancel, Point, SubmitFault};
use batchlingua_wire::{Body, Relay, RelayRequest};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::{
    house::{House, backend, request, rule},
    odd::Odd,
};

const SECOND: Duration = Duration::from_secs(1);

/// As a Livy is: integers from 0, and from 0 again when it is restarted.
fn counting(adopt: bool) -> House {
    let (clock, backend) = backend();
    let backend = backend.numbered(Numbering::Integers).able(|can| can.ids = NativeIds::Reused { adopt });
    House::over(clock, Arc::new(backend), |_| {})
}

fn named(name: &str) -> BatchSpec {
    BatchSpec { file: Some("a.py".into()), name: Some(name.into()), ..BatchSpec::default() }
}

#[tokio::test(start_paused = true)]
async fn an_integer_that_clients_of_the_platform_hold_is_found_on_the_first_day() {
    let house = counting(true);
    house.backend.add_foreign(named("old"));
    let answer = house.get("/jobs/0").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text_of("name"), &answer.json["ordinal"]),
        (200, "old".into(), &json!(0))
    );
    assert_eq!(house.get("/jobs/1").await.status, 404);
    let submitted = house.post("/jobs", json!({ "file": "a.py", "name": "new" })).await;
    assert_eq!(submitted.json["ordinal"], 1, "the platform's own number is shown");
}

#[tokio::test(start_paused = true)]
async fn integers_of_another_platform_are_not_adopted() {
    let house = counting(false);
    house.backend.add_foreign(named("old"));
    assert_eq!(house.get("/jobs/0").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_number_that_was_given_again_is_not_the_old_batch() {
    let house = counting(true);
    let (old, _) = house.running("old").await;
    assert_eq!(house.state(&old).await, "running");
    house.backend.forget_all();
    house.backend.add_foreign(named("other"));
    house.backend.advance(&"0".into(), BatchState::Failed);
    // Before any walk: a poll is shown another batch under its number.
    assert_eq!(house.state(&old).await, "running", "what was last seen, not the other's end");
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(house.state(&old).await, "unknown");
    let other = house.get("/jobs?state=failed").await;
    assert_eq!(other.json["rows"][0]["name"], "other");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_to_a_batch_that_has_anothers_number() {
    let (clock, backend) = backend();
    let backend = backend.numbered(Numbering::Integers).able(|can| can.ids = NativeIds::Reused { adopt: false });
    let backend = Arc::new(backend);
    backend.on_cancel(OnCancel::Lose);
    let odd = Odd::over(backend.clone());
    odd.holds_names.store(true, Ordering::SeqCst);
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
    let (ended, native) = house.running("ended").await;
    house.backend.advance(&native, BatchState::Succeeded);
    house.until_state(&ended, "succeeded").await;
    // Its end is asked for and does not come, so that it is asked for again and again.
    let (asked, _) = house.running("asked").await;
    assert_eq!(house.act("cancel", &asked).await, "accepted");
    let said = house.backend.calls(Point::Control);
    house.backend.forget_all();
    for name in ["other", "another"] {
        house.backend.add_foreign(named(name));
    }
    assert_eq!(house.act("cancel_and_forget", &ended).await, "already:succeeded");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(house.backend.calls(Point::Control), said);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_somebody_elses_before_is_no_sight_of_our_job() {
    let house = counting(true);
    let (other, _) = house.running("nightly").await;
    tokio::time::sleep(20 * SECOND).await;
    house.backend.next_submits([SubmitFault::UnknownAndNotCreated]);
    let lost = house.post("/jobs", json!({ "file": "a.py", "name": "nightly" })).await;
    assert_eq!((lost.status.as_u16(), lost.text_of("kind")), (503, "backend_unavailable".into()), "{lost:?}");
    assert_eq!(house.state(&other).await, "running");
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_found_by_its_id_where_no_rule_leads_any_more() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    let elsewhere = Arc::new(MemoryBackend::new("there", house.clock.clone()));
    let house = house.next_life_with(|plans| {
        plans.backends.push(("there", elsewhere));
        plans.rules = vec![rule("there")];
    });
    assert_eq!(house.state(&uuid).await, "running");
    assert_eq!(house.get("/jobs").await.json["total"], 0, "lists show what the rules reach");
    assert_eq!(house.act("cancel", &uuid).await, "ended:cancelled");
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_list_have_what_the_walk_saw() {
    let house = House::new();
    let (_, native) = house.running("a").await;
    house.backend.edit(&native, |batch| {
        let object = Bytes::from_static(br#"{"odd":1}"#);
        batch.native = Some(Native { dialect: "plain".into(), word: "bustling".into(), object, status: None });
    });
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["rows"][0]["word"], "bustling");
    house.backend.set_reachable(false);
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.get("/jobs").await.json["rows"][0]["word"], "bustling");
}

#[tokio::test(start_paused = true)]
async fn an_end_that_takes_minutes_is_asked_for_once_and_told_when_it_comes() {
    let house = House::over_able(|can| can.slow_actions = Some(300 * SECOND));
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Control);
    let began = tokio::time::Instant::now();
    assert_eq!(house.act("cancel", &uuid).await, "accepted");
    assert!(began.elapsed() <= 11 * SECOND, "{:?}", began.elapsed());
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(house.backend.calls(Point::Control), 1, "it is still being answered");
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.release(Point::Control);
    house.until_state(&uuid, "cancelled").await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_holds_a_name_goes_with_the_client_that_forgets_it() {
    for holds_names in [true, false] {
        let (clock, backend) = backend();
        let backend = Arc::new(backend);
        let odd = Odd::over(backend.clone());
        odd.holds_names.store(holds_names, Ordering::SeqCst);
        let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
        let (uuid, native) = house.running("nightly").await;
        house.backend.advance(&native, BatchState::Succeeded);
        house.until_state(&uuid, "succeeded").await;
        assert_eq!(house.act("cancel", &uuid).await, "already:succeeded");
        assert_eq!(house.backend.calls(Point::Control), 0);
        assert_eq!(house.act("cancel_and_forget", &uuid).await, "already:succeeded");
        assert_eq!(house.backend.calls(Point::Control), u64::from(holds_names));
    }
}

#[tokio::test(start_paused = true)]
async fn batches_of_others_are_not_shown_where_they_are_not_wanted() {
    let (clock, backend) = backend();
    let backend = backend.numbered(Numbering::Integers).able(|can| can.ids = NativeIds::Reused { adopt: true });
    let house = House::over(clock, Arc::new(backend), |plans| plans.foreign = false);
    house.backend.add_foreign(named("theirs"));
    let (uuid, _) = house.running("ours").await;
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 1);
    assert_eq!((house.get("/jobs/0").await.status.as_u16(), house.state(&uuid).await.as_str()), (404, "running"));
}

fn upload(content: &str) -> http::Request<Body> {
    let part = |disposition: &str, content: &str| {
        format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let form = part("name=\"file\"; filename=\"a.jar\"", content) + &part("name=\"job\"", "{}") + "--x--\r\n";
    request(Method::POST, "/jobs", &[("content-type", "multipart/form-data; boundary=x")], Body::full(form))
}

#[tokio::test(start_paused = true)]
async fn uploads_are_staged_for_a_platform_that_takes_none() {
    let ground = tempfile::tempdir().expect("a folder");
    let dir = ground.path().to_owned();
    let staged = || std::fs::read_dir(&dir).expect("a folder").count();
    let (clock, backend) = backend();
    let stage = Stage { dir: dir.clone(), url: "hdfs:///stage".into() };
    let house = House::over(clock, Arc::new(backend.able(|can| can.upload = false)), |plans| plans.stage = Some(stage));
    let submitted = house.send(upload("content")).await;
    assert_eq!(submitted.status, 201, "{submitted:?}");
    let uuid = submitted.text_of("uuid");
    assert_eq!(std::fs::read_to_string(dir.join(&uuid).join("a.jar")).expect("staged"), "content");
    assert_eq!(house.uploads_left(), 0);

    house.backend.next_submits([SubmitFault::Refused]);
    assert_eq!(house.send(upload("content")).await.status, 502);
    assert_eq!(staged(), 1, "what was refused leaves nothing");

    let sent = house.backend.calls(Point::Submit);
    house.ledger.fail("may_send", 1);
    assert_eq!(house.send(upload("content")).await.status, 503);
    assert_eq!((house.backend.calls(Point::Submit), staged()), (sent, 1), "nothing is sent without the ledger");

    house.backend.advance(&submitted.text_of("native").as_str().into(), BatchState::Succeeded);
    house.until_state(&uuid, "succeeded").await;
    tokio::time::sleep(120 * SECOND).await;
    while staged() > 0 {
        // The folder is removed by a thread of its own, which knows no paused time.
        tokio::time::sleep(60 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_stage_the_refusal_names_the_setting() {
    let house = House::over_able(|can| can.upload = false);
    let refused = house.send(upload("content")).await;
    assert_eq!(refused.status, 501);
    assert!(refused.text_of("message").contains("`stage`"), "{refused:?}");
}

/// Answers with what it was sent, backwards.
pub(crate) struct Mirror;

#[async_trait]
impl Relay for Mirror {
    async fn relay(&self, ctx: &Context, request: RelayRequest) -> Result<Response<Body>> {
        let head =
            format!("{} {}?{} ", request.head.method, request.head.target.raw_path, request.head.target.raw_query);
        let who = format!("{} {:?} {:?} ", ctx.principal.name, ctx.client, ctx.trace);
        let body = request.body.collect().await.expect("a body").to_bytes();
        let pieces = [Bytes::from(head), Bytes::from(who), body];
        let mut response = Response::new(Body::stream(stream::iter(pieces).map(Ok)));
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_is_neither_read_nor_decoded() {
    let house = House::with(|plans| plans.relay = Some(Arc::new(Mirror)));
    let pieces = stream::iter(["no ", "JSON"]).map(|piece| Ok(Bytes::from(piece)));
    let headers = [("traceparent", "00-aa-bb-01"), ("x-real-ip", "10.1.2.3")];
    let answer = house.send(request(Method::PUT, "/relay/any%2fpath?x=%zz", &headers, Body::stream(pieces))).await;
    assert_eq!(answer.status, 202);
    // A client's own word for its address counts only where something in front of the listener sets it.
    assert_eq!(answer.text, "PUT /relay/any%2fpath?x=%zz anonymous None Some(\"00-aa-bb-01\") no JSON");
    assert_eq!(answer.header("batchlingua-backend"), Some("here"));
    let without = House::new();
    assert_eq!(without.post("/relay", json!({})).await.json["relayed"], false);
    assert_eq!(without.get("/relay/other").await.status, 404);
}
