//! Logs: from the backend while it has them, then from what was kept.

use batchlingua_core::{BatchState, LogSource};
use batchlingua_testkit::{Point, SubmitFault};
use batchlingua_wire::Body;
use http::Method;
use http_body_util::BodyExt;
use serde_json::json;

use crate::house::{House, request};

#[tokio::test(start_paused = true)]
async fn a_log_outlives_its_backends_memory() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    let path = format!("/jobs/{uuid}/log");
    house.backend.write_log(&native, ["one", "two", "three"]);
    let live = house.get(&format!("{path}?from=1&size=1")).await;
    assert_eq!((&live.json["lines"], &live.json["total"]), (&json!(["two"]), &json!(3)));
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    house.backend.forget(&native);
    assert_eq!(house.get(&path).await.json["lines"], json!(["one", "two", "three"]));
    assert_eq!(house.get(&format!("{path}?from=1&size=1")).await.json["lines"], json!(["two"]));
    let whole = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!(whole.json["tail"], json!(["one", "two", "three"]));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_asked_for_has_its_log_kept_too() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.backend.write_log(&native, ["last words"]);
    house.backend.advance(&native, BatchState::Failed);
    tokio::time::sleep(std::time::Duration::from_secs(15)).await;
    house.backend.forget_all();
    assert_eq!(house.get(&format!("/jobs/{uuid}/log")).await.json["lines"], json!(["last words"]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_over_with_its_answer_has_its_log_kept() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    house.backend.hold(Point::LookUp);
    let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
    house.backend.until_held(Point::LookUp, 1).await;
    let native = house.backend.deliver_late().pop().expect("a job");
    house.backend.write_log(&native, ["quick"]);
    house.backend.advance(&native, BatchState::Succeeded);
    house.backend.release(Point::LookUp);
    let uuid = client.await.expect("an answer").text_of("uuid");
    house.settle_down().await;
    house.backend.forget(&native);
    assert_eq!(house.get(&format!("/jobs/{uuid}/log")).await.json["lines"], json!(["quick"]));
}

#[tokio::test(start_paused = true)]
async fn the_log_that_was_kept_is_not_shown_as_another_one() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.backend.write_log(&native, ["the batch's"]);
    house.backend.write_log_of(&native, &LogSource::Step("s1".into()), ["the step's"]);
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.get(&format!("/jobs/{uuid}/log?step=s1")).await.json["lines"], json!(["the step's"]));
    assert_eq!(house.state(&uuid).await, "succeeded");
    house.backend.forget(&native);
    assert_eq!(house.get(&format!("/jobs/{uuid}/log?step=s1")).await.status, 404);
}

/// A stream is a request in flight, and a call of its backend, until it has been read or left.
#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_places_to_its_end() {
    for backend_is_full in [false, true] {
        let house = House::with(|plans| match backend_is_full {
            true => plans.calls.concurrency = 1,
            false => plans.limits.max_in_flight = 1,
        });
        let (uuid, native) = house.running("a").await;
        house.backend.write_log(&native, ["one", "two"]);
        let path = format!("/jobs/{uuid}/log");
        let all = request(Method::GET, &format!("{path}?all=1"), &[], Body::empty());
        let stream = house.service.answer(all).await;
        assert_eq!(house.get(&path).await.status, 429, "backend: {backend_is_full}");
        let bytes = stream.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(bytes, "one\ntwo\n");
        assert_eq!(house.get(&path).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_step_of_a_batch_without_steps_has_the_batchs_log() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    let path = format!("/jobs/{uuid}/log?step=s0");
    house.backend.write_log(&native, ["one", "two"]);
    assert_eq!(house.get(&path).await.json["lines"], json!(["one", "two"]), "a step that its backend does not know");
    house.backend.set_capabilities(|can| can.steps = false);
    assert_eq!(house.get(&path).await.json["lines"], json!(["one", "two"]));
    for none in ["s1", "s10", "s", ""] {
        assert_eq!(house.get(&format!("/jobs/{uuid}/log?step={none}")).await.status, 404, "{none}: no step of its");
    }
    assert_eq!(house.backend.calls(Point::Log), 3, "who has no steps is not asked for one");
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    house.backend.forget(&native);
    assert_eq!(house.get(&path).await.json["lines"], json!(["one", "two"]), "as it was kept");
}
