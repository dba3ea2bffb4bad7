//! Polls: what is shown of a batch, whatever its backend shows.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Backend, BatchState, DialectName, Intent, Marker, Marking, Native, NativeId, Revival};
use batchlingua_router::CallLimits;
use batchlingua_testkit::{Point, context};
use serde_json::json;

use crate::{
    house::{House, backend, spec},
    odd::Odd,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_poll_of_what_has_not_changed_writes_nothing() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    let before = house.ledger.calls("observe");
    for _ in 0..10 {
        assert_eq!(house.state(&uuid).await, "running");
        assert_eq!(house.get(&format!("/jobs/{uuid}")).await.status, 200);
    }
    assert_eq!(house.ledger.calls("observe"), before);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_shown_and_what_was_written_is() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.advance(&native, BatchState::Succeeded);
    house.ledger.fail("observe", 1);
    let old = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((old.status.as_u16(), old.text_of("state").as_str()), (200, "running"));
    assert!(old.header("batchlingua-stale").is_some());
    assert_eq!(house.state(&uuid).await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_not_asked_for_again() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
    let before = house.backend.calls(Point::Get);
    assert_eq!(house.state(&uuid).await, "succeeded");
    assert_eq!(house.backend.calls(Point::Get), before);
    house.backend.set_reachable(false);
    let whole = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((whole.status.as_u16(), whole.header("batchlingua-stale")), (200, None));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_has_run_for_long_is_answered_for_while_its_backend_is_away() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    // Nobody asks, and nothing changes, for two hours.
    tokio::time::sleep(7_200 * SECOND).await;
    house.backend.set_reachable(false);
    tokio::time::sleep(30 * SECOND).await;
    let stale = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((stale.status.as_u16(), stale.text_of("state").as_str()), (200, "running"));
    let age: u64 = stale.header("batchlingua-stale").and_then(|age| age.parse().ok()).expect("an age");
    assert!((30..=40).contains(&age), "{age}");
    assert_eq!(stale.header("age"), stale.header("batchlingua-stale"));

    tokio::time::sleep(600 * SECOND).await;
    let silent = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((silent.status.as_u16(), silent.text_of("kind").as_str()), (503, "backend_unavailable"));
    house.backend.set_reachable(true);
    // A probe finds that out.
    tokio::time::sleep(6 * SECOND).await;
    let back = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((back.status.as_u16(), back.header("batchlingua-stale")), (200, None));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_starts_while_the_backend_is_away_answers_for_it_too() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(7_200 * SECOND).await;
    house.gateway.drain().await;
    house.backend.set_reachable(false);
    let heir = house.next_life();
    let stale = heir.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((stale.status.as_u16(), stale.text_of("state").as_str()), (200, "running"));
    assert_eq!(stale.header("age"), Some("7200"), "older than it is, never younger");
    tokio::time::sleep(601 * SECOND).await;
    assert_eq!(heir.get(&format!("/jobs/{uuid}/state")).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_busy_is_answered_for() {
    let house = House::with(|plans| plans.calls = CallLimits { concurrency: 1, ..plans.calls });
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Scan);
    house.backend.until_held(Point::Scan, 1).await;
    let stale = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((stale.status.as_u16(), stale.header("batchlingua-stale").is_some()), (200, true));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_its_backend_has_lost_becomes_unknown_only_after_a_while() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.running("other").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.forget(&native);
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(30 * SECOND).await;
    let unknown = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((unknown.status.as_u16(), unknown.text_of("state").as_str()), (200, "unknown"));
    assert!(unknown.text_of("diagnostic").contains("not seen"), "{unknown:?}");
    assert_eq!(house.state("2").await, "running");
}

/// Of a proxy that is restarted more often than that, clients would else never see an end.
#[tokio::test(start_paused = true)]
async fn the_wait_for_a_missing_batch_goes_on_in_the_next_life() {
    let mut house = House::new();
    let (uuid, native) = house.running("a").await;
    house.running("other").await;
    assert_eq!((house.state(&uuid).await, house.state("2").await), ("running".into(), "running".into()));
    house.backend.forget(&native);
    for _ in 0..3 {
        assert_eq!(house.state(&uuid).await, "running");
        tokio::time::sleep(45 * SECOND).await;
        house.gateway.drain().await;
        house = house.next_life();
    }
    assert_eq!(house.state(&uuid).await, "running", "each life looks for itself");
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn that_a_batch_is_missed_is_written_once_and_of_none_that_has_ended() {
    for (state, writes) in [(BatchState::Running, 1), (BatchState::Failed, 0)] {
        let house = House::over_able(|can| can.revival = Revival::AfterFailure);
        let (uuid, native) = house.running("a").await;
        house.backend.advance(&native, state);
        assert_eq!(house.state(&uuid).await, state.as_str());
        house.backend.forget(&native);
        for _ in 0..5 {
            assert_eq!(house.state(&uuid).await, state.as_str());
        }
        assert_eq!(house.ledger.calls("miss"), writes, "{state}");
    }
}

/// A walk and a look may be under way for long: what they have read is of before the failure that the other has seen since.
#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_failure_is_no_return_to_life() {
    for slow in [Point::ScanAnswer, Point::GetAnswer] {
        let house = House::over_able(|can| can.revival = Revival::AfterFailure);
        let (uuid, native) = house.running("a").await;
        if slow == Point::ScanAnswer {
            assert_eq!(house.state(&uuid).await, "running");
        }
        house.backend.hold(slow);
        tokio::time::sleep(2 * SECOND).await;
        // It finds out that the job runs, which nobody knows yet.
        let poll = (slow == Point::GetAnswer).then(|| {
            let (house, uuid) = (house.clone(), uuid.clone());
            tokio::spawn(async move { house.state(&uuid).await })
        });
        house.backend.until_held(slow, 1).await;
        house.backend.advance(&native, BatchState::Failed);
        match poll {
            Some(poll) => {
                // The last walk is too old for a list by then.
                tokio::time::sleep(3 * SECOND).await;
                let list = house.get("/jobs").await;
                assert_eq!(
                    list.json.pointer("/rows/0/state").and_then(|state| state.as_str()),
                    Some("failed"),
                    "{list:?}"
                );
                house.backend.release(slow);
                poll.await.expect("it is answered");
            }
            None => {
                assert_eq!(house.state(&uuid).await, "failed");
                house.backend.release(slow);
            }
        }
        tokio::time::sleep(2 * SECOND).await;
        let shown = house.get(&format!("/jobs/{uuid}")).await;
        assert_eq!((shown.text_of("state").as_str(), shown.json["attempt"].as_u64()), ("failed", Some(1)), "{slow:?}");
    }
}

/// The backend may have been away as long as the proxy was, and not be whole yet.
#[tokio::test(start_paused = true)]
async fn what_a_past_life_has_missed_is_no_end_by_itself() {
    for was_missed in [true, false] {
        let house = House::new();
        let (uuid, native) = house.running("a").await;
        house.running("other").await;
        assert_eq!((house.state(&uuid).await, house.state("2").await), ("running".into(), "running".into()));
        house.backend.forget(&native);
        if was_missed {
            assert_eq!(house.state(&uuid).await, "running");
        }
        house.gateway.drain().await;
        tokio::time::sleep(3_600 * SECOND).await;
        let house = house.next_life();
        house.backend.until_called(Point::Scan, 1).await;
        house.settle_down().await;
        assert_eq!(house.state(&uuid).await, "running", "the first look after an hour, missed before: {was_missed}");
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(house.state(&uuid).await, "running");
        tokio::time::sleep(20 * SECOND).await;
        assert_eq!(house.state(&uuid).await, if was_missed { "unknown" } else { "running" });
        tokio::time::sleep(100 * SECOND).await;
        assert_eq!(house.state(&uuid).await, "unknown");
    }
}

/// An hour in which nobody looked does not make a server that shows nothing at all one that has lost its batches.
#[tokio::test(start_paused = true)]
async fn a_lost_memory_is_waited_for_by_each_life_anew() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.forget_all();
    assert_eq!(house.state(&uuid).await, "running");
    house.gateway.drain().await;
    tokio::time::sleep(3_600 * SECOND).await;
    let house = house.next_life();
    for _ in 0..9 {
        assert_eq!(house.state(&uuid).await, "running");
        tokio::time::sleep(60 * SECOND).await;
    }
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "unknown");
}

/// A batch called `a` that was forgotten is shown by its backend again, which takes the marker for its id.
async fn comes_back(house: &House, uuid: &str, native: &NativeId) {
    let intent = Intent {
        marker: Marker { uuid: uuid.parse().expect("a uuid"), name: None },
        backend: "here".into(),
        spec: Arc::new(spec("a")),
        files: Arc::default(),
        principal: context().principal,
        dialect: context().dialect,
        project: None,
    };
    house.backend.submit(&context(), house.backend.plan(intent).expect("a plan")).await.expect("back");
    house.backend.advance(native, BatchState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_shown_again_is_waited_for_as_long_as_the_first_time() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.able(|can| can.marking = Marking::Idempotent)), |_| {});
    let (uuid, native) = house.running("a").await;
    house.running("other").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.forget(&native);
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "running");
    comes_back(&house, &uuid, &native).await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.forget(&native);
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "running");
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_is_noticed_though_nobody_asks_for_it() {
    for telling in [false, true] {
        let (clock, backend) = backend();
        let backend = if telling { backend.telling_changes() } else { backend };
        let house = House::over(clock, Arc::new(backend), |_| {});
        let (_, native) = house.running("a").await;
        house.running("other").await;
        tokio::time::sleep(20 * SECOND).await;
        house.backend.forget(&native);
        tokio::time::sleep(300 * SECOND).await;
        let listed = house.get("/jobs?state=unknown").await;
        assert_eq!(listed.json["total"], 1, "telling: {telling}, {listed:?}");
    }
}

/// A server that restarts without its store comes back with it, or not; for a while nobody is told that all his jobs are lost.
#[tokio::test(start_paused = true)]
async fn a_backend_that_has_lost_its_memory_is_treated_as_silent_first() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    house.running("other").await;
    assert_eq!((house.state(&uuid).await, house.state("2").await), ("running".into(), "running".into()));
    house.backend.forget_all();
    for _ in 0..9 {
        tokio::time::sleep(60 * SECOND).await;
        let stale = house.get(&format!("/jobs/{uuid}/state")).await;
        assert_eq!((stale.status.as_u16(), stale.text_of("state").as_str()), (200, "running"));
        assert!(stale.header("batchlingua-stale").is_some());
    }
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_seen_again_leaves_unknown() {
    for polled in [true, false] {
        let (clock, backend) = backend();
        let house = House::over(clock, Arc::new(backend.able(|can| can.marking = Marking::Idempotent)), |_| {});
        let (uuid, native) = house.running("a").await;
        house.running("other").await;
        house.backend.forget(&native);
        tokio::time::sleep(300 * SECOND).await;
        assert_eq!(house.state(&uuid).await, "unknown");
        // Its store is mounted again.
        comes_back(&house, &uuid, &native).await;
        if polled {
            assert_eq!(house.state(&uuid).await, "running");
        } else {
            tokio::time::sleep(20 * SECOND).await;
            assert_eq!(house.get("/jobs?state=running").await.json["total"], 2);
        }
        house.backend.advance(&native, BatchState::Succeeded);
        assert_eq!(house.state(&uuid).await, "succeeded");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_does_not_go_backwards_nor_does_the_backends_own_word() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    let word = |word: &str| Native {
        dialect: DialectName::from("plain"),
        word: word.into(),
        object: Default::default(),
        status: None,
    };
    house.backend.edit(&native, |batch| batch.native = Some(word("RUN")));
    let now = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((now.text_of("state").as_str(), now.text_of("word").as_str()), ("running", "RUN"));
    house.backend.edit(&native, |batch| (batch.state, batch.native) = (BatchState::Starting, Some(word("START"))));
    let then = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((then.text_of("state").as_str(), then.text_of("word").as_str()), ("running", ""));
}

/// One poll hangs; another request has shown the end before the first one gives up on its backend.
#[tokio::test(start_paused = true)]
async fn a_poll_that_has_waited_long_shows_what_others_have_seen_meanwhile() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.telling_changes()), |_| {});
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.hold(Point::Get);
    let poll = tokio::spawn({
        let (house, path) = (house.clone(), format!("/jobs/{uuid}/state"));
        async move { house.get(&path).await }
    });
    house.backend.until_held(Point::Get, 1).await;
    house.backend.advance(&native, BatchState::Succeeded);
    house.settle_down().await;
    assert_eq!(house.get("/jobs?state=succeeded").await.json["total"], 1);
    assert_eq!(poll.await.expect("an answer").text_of("state"), "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_come_back_to_life_is_asked_for_again() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.able(|can| can.revival = Revival::AfterFailure)), |_| {});
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.state(&uuid).await, "failed");
    house.backend.edit(&native, |batch| (batch.state, batch.attempt) = (BatchState::Running, 2));
    let alive = house.get(&format!("/jobs/{uuid}/state")).await;
    assert_eq!((alive.text_of("state").as_str(), alive.json["attempt"].as_u64()), ("running", Some(2)));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_counts_attempts_is_believed_and_one_that_does_not_is_not_misread() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.able(|can| can.revival = Revival::AfterFailure)), |_| {});
    let (uuid, native) = house.running("a").await;
    house.backend.edit(&native, |batch| (batch.state, batch.attempt) = (BatchState::Running, 3));
    assert_eq!(house.get(&format!("/jobs/{uuid}/state")).await.json["attempt"], 3);
    // This one shows the first attempt for ever.
    let (uuid, native) = house.running("b").await;
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.state(&uuid).await, "failed");
    house.backend.advance(&native, BatchState::Running);
    assert_eq!(house.get(&format!("/jobs/{uuid}/state")).await.json["attempt"], 2);
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.state(&uuid).await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_ended_on_a_backend_that_is_configured_no_more_is_still_shown() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.backend.write_log(&native, ["last words"]);
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.state(&uuid).await, "failed");
    let (live, _) = house.running("b").await;
    house.gateway.drain().await;
    let heir = house.next_life_with(|plans| plans.backends = Vec::new());
    let shown = heir.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((shown.status.as_u16(), &shown.json["tail"][0]), (200, &json!("last words")), "{shown:?}");
    assert_eq!(heir.get(&format!("/jobs/{uuid}/log")).await.json["lines"][0], "last words");
    let live = heir.get(&format!("/jobs/{live}/state")).await;
    assert!(live.status == 200 && live.header("batchlingua-stale").is_some(), "{live:?}");
}

/// Where nothing tells whose it is, a walk sees the job before its submit is answered and gives it a row of its own, which the submit's row takes
/// over while a client looks.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_taken_over_while_it_is_shown_is_shown_by_its_heir() {
    let house = House::new();
    house.backend.set_capabilities(|can| can.marking = Marking::None);
    house.backend.hold(Point::SubmitAnswer);
    let client = house.posting("/jobs", &[], json!({ "file": "a.py" }));
    house.backend.until_held(Point::SubmitAnswer, 1).await;
    tokio::time::sleep(11 * SECOND).await;
    let sighted = house.get("/jobs").await.json["rows"][0]["uuid"].as_str().expect("a row").to_owned();
    house.backend.advance(&"mem-0".into(), BatchState::Running);
    house.ledger.hold("find");
    let finds = house.ledger.calls("find");
    let poll = tokio::spawn({
        let (house, path) = (house.clone(), format!("/jobs/{sighted}/state"));
        async move { house.get(&path).await }
    });
    house.ledger.until_called("find", finds + 1).await;
    house.settle_down().await;
    house.backend.release(Point::SubmitAnswer);
    let submitted = client.await.expect("an answer");
    house.ledger.release("find");
    let polled = poll.await.expect("an answer");
    assert_eq!((polled.status.as_u16(), polled.text_of("state").as_str()), (200, "running"), "{polled:?}");
    assert_eq!(polled.text_of("uuid"), submitted.text_of("uuid"));
    assert_eq!(house.get("/jobs").await.json["total"], 1);
    assert_eq!(house.state(&sighted).await, "running", "an id that was shown once resolves for ever");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_not_found_only_if_every_backend_has_been_asked() {
    let house = House::new();
    let id = "6f1d8e0c-1b9e-4b55-8c62-0242ac130003";
    assert_eq!(house.get(&format!("/jobs/{id}")).await.status, 404);
    house.backend.set_reachable(false);
    assert_eq!(house.get(&format!("/jobs/{id}")).await.status, 503, "it may be there");
    assert_eq!(house.get("/jobs/4711").await.status, 404, "integers are ours alone");
    assert_eq!(house.get("/jobs/name:x").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_backend_without_steps_is_shown_without_them() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    house.backend.set_capabilities(|can| can.steps = false);
    let shown = house.get(&format!("/jobs/{uuid}/steps")).await;
    assert_eq!((shown.status.as_u16(), shown.text_of("state").as_str()), (200, "running"));
    assert!(house.notebook.lines("call get unsupported").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_adapter_does_not_end_the_background_work() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend);
    let odd = Odd::over(backend.clone());
    odd.scan_panics.store(1, std::sync::atomic::Ordering::SeqCst);
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
    house.settle_down().await;
    house.backend.add_foreign(spec("foreign"));
    tokio::time::sleep(21 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_proxy_is_ready_as_soon_as_one_backend_answers() {
    let (clock, first) = backend();
    let first = Arc::new(first);
    let hanging = Arc::new(batchlingua_testkit::MemoryBackend::new("hangs", clock.clone()));
    hanging.hold(Point::Probe);
    let house = House::over(clock, first.clone(), |plans| plans.backends.push(("hangs", hanging)));
    let began = tokio::time::Instant::now();
    assert_eq!(house.gateway.ready().await, Ok(()));
    assert!(began.elapsed() < SECOND);
    first.set_reachable(false);
    let why = house.gateway.ready().await.expect_err("not ready");
    assert!(why.contains("backend '"), "{why}");
}
