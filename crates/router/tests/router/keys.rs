//! Clients' own keys: the same submit again is the same batch.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use batchlingua_core::{BatchState, Denial, Error, ErrorKind, Fault, SubmitError};
use batchlingua_router::{Dedupe, RouteRule};
use batchlingua_testkit::{Point, SubmitFault};
use serde_json::json;

use crate::{
    house::{House, backend, rule},
    odd::Odd,
};

const KEY: &[(&str, &str)] = &[("idempotency-key", "k-1")];

fn job() -> serde_json::Value {
    json!({ "file": "a.py", "name": "a" })
}

#[tokio::test(start_paused = true)]
async fn the_same_submit_again_is_the_same_batch_and_another_one_is_refused() {
    let house = House::new();
    let first = house.post_with("/jobs", KEY, job()).await;
    let again = house.post_with("/jobs", KEY, job()).await;
    assert_eq!((again.status, again.text_of("uuid")), (first.status, first.text_of("uuid")));
    assert_eq!((first.json["replayed"].as_bool(), again.json["replayed"].as_bool()), (Some(false), Some(true)));
    for (path, body) in [("/jobs", json!({ "file": "b.py" })), ("/jobs?doAs=bob", job()), ("/jobs?project=p", job())] {
        let other = house.post_with(path, KEY, body).await;
        assert_eq!((other.status.as_u16(), other.text_of("kind").as_str()), (409, "conflict"), "{path}");
    }
    let bob = format!("Basic {}", STANDARD.encode("bob:x"));
    let of_bob = house.post_with("/jobs", &[KEY[0], ("authorization", &bob)], job()).await;
    assert_eq!(of_bob.json["replayed"], false, "another principal's key is another key");
    assert_eq!(house.backend.jobs_created(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_the_first_is_on_its_way_gets_its_answer() {
    let house = House::new();
    house.backend.hold(Point::Submit);
    let clients: Vec<_> = (0..5).map(|_| house.posting("/jobs", KEY, job())).collect();
    house.backend.until_held(Point::Submit, 1).await;
    house.settle_down().await;
    house.backend.release(Point::Submit);
    let mut replayed = 0;
    for client in clients {
        let answer = client.await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.text_of("native").as_str()), (201, "mem-0"));
        replayed += usize::from(answer.json["replayed"] == true);
    }
    assert_eq!((replayed, house.backend.jobs_created()), (4, 1));
}

/// `dedupe = "name"`: for clients that cannot send a key.
#[tokio::test(start_paused = true)]
async fn a_submit_of_a_live_batchs_name_is_that_batch_until_it_is_seen_to_be_over() {
    let house = House::with(|plans| plans.rules = vec![RouteRule { dedupe: Dedupe::Name, ..rule("here") }]);
    house.backend.hold(Point::Submit);
    let clients: Vec<_> = (0..3).map(|_| house.posting("/jobs", &[], job())).collect();
    house.backend.until_held(Point::Submit, 1).await;
    house.settle_down().await;
    house.backend.release(Point::Submit);
    for client in clients {
        assert_eq!(client.await.expect("an answer").text_of("native"), "mem-0");
    }
    let again = house.post("/jobs", json!({ "file": "b.py", "name": "a" })).await;
    assert_eq!((again.text_of("native").as_str(), again.json["replayed"].as_bool()), ("mem-0", Some(true)));
    assert_eq!(house.post("/jobs", json!({ "file": "a.py" })).await.text_of("native"), "mem-1", "no name, no twin");
    assert_eq!(house.post_with("/jobs", KEY, job()).await.text_of("native"), "mem-2", "a key goes first");

    // Nobody has told the ledger yet.
    for native in ["mem-0", "mem-2"] {
        house.backend.advance(&native.into(), BatchState::Failed);
    }
    let next = house.post("/jobs", job()).await;
    assert_eq!((next.status.as_u16(), next.text_of("native").as_str()), (201, "mem-3"), "{next:?}");
    assert_eq!(house.backend.jobs_created(), 4);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_when_to_come_again() {
    let house = House::with(|plans| plans.calls.timeout = Duration::from_secs(600));
    house.backend.hold(Point::Submit);
    let first = house.posting("/jobs", KEY, job());
    house.backend.until_held(Point::Submit, 1).await;
    let second = house.post_with("/jobs", KEY, job()).await;
    assert_eq!((second.status.as_u16(), second.header("retry-after")), (409, Some("5")));
    house.backend.release(Point::Submit);
    first.await.expect("an answer");
    assert_eq!(house.post_with("/jobs", KEY, job()).await.json["replayed"], true);
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_to_all_who_wait_and_after_a_restart() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::Refused]);
    house.backend.hold(Point::Submit);
    let first = house.posting("/jobs", KEY, job());
    house.backend.until_held(Point::Submit, 1).await;
    let second = house.posting("/jobs", KEY, job());
    house.settle_down().await;
    house.backend.release(Point::Submit);
    let (first, second) = (first.await.expect("an answer"), second.await.expect("an answer"));
    house.gateway.drain().await;
    let third = house.next_life().post_with("/jobs", KEY, job()).await;
    for answer in [&second, &third] {
        assert_eq!((answer.status, &answer.json), (first.status, &first.json));
    }
    assert_eq!((first.status.as_u16(), house.backend.jobs_created()), (502, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_its_kind() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend);
    let odd = Odd::over(backend.clone());
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd.clone())]);
    let kinds = [
        ErrorKind::InvalidRequest { field: "file".into(), fault: Fault::PathOutside("/etc/passwd".into()) },
        ErrorKind::Forbidden(Denial::Backend),
        ErrorKind::TooLarge { limit: "max_upload", max: 7 },
        ErrorKind::Unsupported { backend: "here".into(), what: "archives".into() },
    ];
    for (n, kind) in kinds.into_iter().enumerate() {
        let key = format!("k-{n}");
        let refused = SubmitError::Refused(Error::new(kind, "not this one: change it"));
        odd.submits.lock().expect("unpoisoned").push_back(refused);
        let first = house.post_with("/jobs", &[("idempotency-key", &key)], job()).await;
        let again = house.post_with("/jobs", &[("idempotency-key", &key)], job()).await;
        assert_eq!((again.status, &again.json), (first.status, &first.json));
        assert!(first.status != 502, "{first:?}");
    }
    assert_eq!(house.backend.jobs_created(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_only_for_now_lets_the_retry_through() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend);
    let odd = Odd::over(backend.clone());
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd.clone())]);
    let busy = ErrorKind::Throttled { retry_after: Duration::from_secs(2) };
    odd.submits.lock().expect("unpoisoned").push_back(SubmitError::Refused(Error::new(busy, "too many")));
    let first = house.post_with("/jobs", KEY, job()).await;
    assert_eq!((first.status.as_u16(), first.header("retry-after")), (429, Some("2")));
    assert_eq!(house.post_with("/jobs", KEY, job()).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_submit_that_is_not_sent_sends_his_own() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::NotSent]);
    house.backend.hold(Point::Submit);
    let first = house.posting("/jobs", KEY, job());
    house.backend.until_held(Point::Submit, 1).await;
    let second = house.posting("/jobs", KEY, job());
    house.settle_down().await;
    house.backend.release(Point::Submit);
    assert_eq!(first.await.expect("an answer").status, 503);
    let second = second.await.expect("an answer");
    assert_eq!((second.status.as_u16(), second.json["replayed"].as_bool()), (201, Some(false)));
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_never_sent_again_under_its_key() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    assert_eq!(house.post_with("/jobs", KEY, job()).await.status, 504);
    assert_eq!(house.post_with("/jobs", KEY, job()).await.status, 409);
    house.backend.deliver_late();
    let found = house.post_with("/jobs", KEY, job()).await;
    assert_eq!((found.status.as_u16(), found.json["replayed"].as_bool()), (201, Some(true)));
    assert_eq!((house.backend.jobs_created(), house.backend.calls(Point::Submit)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_clients_own_id_answers_the_stored_batch_as_it_is_now() {
    let house = House::new();
    let id = "6F1D8E0C-1B9E-4B55-8C62-0242AC130003";
    let mine = |file: &str| json!({ "file": file, "id": id });
    let first = house.post("/jobs", mine("a.py")).await;
    assert_eq!(first.text_of("uuid"), id.to_lowercase());
    house.backend.advance(&"mem-0".into(), batchlingua_core::BatchState::Running);
    let again = house.post("/jobs", mine("b.py")).await;
    assert_eq!((again.json["replayed"].as_bool(), again.text_of("state").as_str()), (Some(true), "running"));
    let bob = format!("Basic {}", STANDARD.encode("bob:x"));
    assert_eq!(house.post_with("/jobs", &[("authorization", &bob)], mine("a.py")).await.status, 409);
    assert_eq!(house.post("/jobs", json!({ "file": "a.py", "id": "17" })).await.status, 400);
    assert_eq!(house.backend.jobs_created(), 1);
}

/// The file of the first submit may be gone by now, or the backend may take no more batches: the first one was accepted all the same.
#[tokio::test(start_paused = true)]
async fn a_key_is_answered_though_its_submit_could_not_be_sent_now() {
    let house = House::new();
    let first = house.post_with("/jobs", KEY, job()).await;
    house.backend.set_capabilities(|can| can.submit = false);
    house.backend.set_reachable(false);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let again = house.post_with("/jobs", KEY, job()).await;
    assert_eq!((again.status.as_u16(), again.text_of("uuid")), (201, first.text_of("uuid")), "{again:?}");

    let other: &[(&str, &str)] = &[("idempotency-key", "k-2")];
    for _ in 0..2 {
        assert_eq!(house.post_with("/jobs", other, job()).await.status, 501);
    }
    house.backend.set_reachable(true);
    house.backend.set_capabilities(|can| can.submit = true);
    // A probe finds that out.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(house.post_with("/jobs", other, job()).await.json["replayed"], false, "the key was not used up");
    assert_eq!(house.backend.jobs_created(), 2);
}
