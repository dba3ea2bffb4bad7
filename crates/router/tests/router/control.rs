//! Acting on batches.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use batchlingua_core::{Action, ActionSet, BatchState, Revival};
use batchlingua_testkit::{OnCancel, Point, SubmitFault};
use serde_json::json;

use crate::{
    house::{House, backend, rule},
    odd::Odd,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_batch_that_runs_or_waits_is_ended() {
    let house = House::new();
    let (running, _) = house.running("a").await;
    assert_eq!(house.act("cancel", &running).await, "ended:cancelled");
    assert_eq!(house.state(&running).await, "cancelled");
    let queued = house.post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    assert_eq!(house.act("cancel", &queued).await, "ended:cancelled");
    assert_eq!(house.notebook.lines("audit cancel"), ["audit cancel ok known", "audit cancel ok known"]);
}

#[tokio::test(start_paused = true)]
async fn where_a_platform_has_one_word_for_both_ends_it_counts_who_asked() {
    let (clock, backend) = backend();
    let backend = backend.able(|can| can.tells_cancelled = false);
    let house = House::over(clock, Arc::new(backend), |_| {});
    house.backend.on_cancel(OnCancel::Accept);
    let (asked, native) = house.running("a").await;
    assert_eq!(house.act("cancel", &asked).await, "accepted");
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.state(&asked).await, "cancelled");
    let (failed, native) = house.running("b").await;
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.state(&failed).await, "failed");
    assert_eq!(house.act("cancel", &failed).await, "already:failed");

    // It ends by itself before the platform has heard of the wish.
    let (late, native) = house.running("c").await;
    house.backend.hold(Point::Control);
    let controls = house.backend.calls(Point::Control);
    let client = house.posting("/actions/cancel", &[], json!({ "ids": [late] }));
    while house.backend.calls(Point::Control) == controls {
        tokio::task::yield_now().await;
    }
    house.backend.advance(&native, BatchState::Failed);
    house.backend.release(Point::Control);
    assert_eq!(client.await.expect("an answer").json[0]["result"], "already:failed");
    assert_eq!(house.state(&late).await, "failed");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_asked_to_end() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.act("cancel", &uuid).await, "already:succeeded");
    assert_eq!(house.backend.calls(Point::Control), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_later_is_shown_when_it_is_seen() {
    for telling in [false, true] {
        let (clock, backend) = backend();
        let backend = if telling { backend.telling_changes() } else { backend };
        let house = House::over(clock, Arc::new(backend), |_| {});
        house.backend.on_cancel(OnCancel::Accept);
        let (uuid, native) = house.running("a").await;
        let began = tokio::time::Instant::now();
        assert_eq!(house.act("cancel", &uuid).await, "accepted");
        assert_eq!(began.elapsed().as_secs(), 10, "cancel_wait");
        let still = house.get(&format!("/jobs/{uuid}")).await;
        assert_eq!((still.text_of("state").as_str(), still.json["cancel_asked"].as_bool()), ("running", Some(true)));
        house.backend.advance(&native, BatchState::Cancelled);
        assert_eq!(house.state(&uuid).await, "cancelled");

        // Within the wait it is answered soon after it was seen.
        let (uuid, native) = house.running("b").await;
        let controls = house.backend.calls(Point::Control);
        let began = tokio::time::Instant::now();
        let client = house.posting("/actions/cancel", &[], json!({ "ids": [uuid] }));
        while house.backend.calls(Point::Control) == controls {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(2 * SECOND).await;
        house.backend.advance(&native, BatchState::Cancelled);
        assert_eq!(client.await.expect("an answer").json[0]["result"], "ended:cancelled");
        assert!(began.elapsed() <= 3 * SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_was_lost_is_said_again_also_by_the_next_life() {
    let house = House::new();
    house.backend.on_cancel(OnCancel::Lose);
    let (uuid, _) = house.running("a").await;
    let (other, _) = house.running("b").await;
    assert_eq!(house.act("cancel", &uuid).await, "accepted");
    house.backend.on_cancel(OnCancel::EndAtOnce);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(house.get("/jobs?state=cancelled").await.json["total"], 1);

    house.backend.on_cancel(OnCancel::Lose);
    assert_eq!(house.act("cancel", &other).await, "accepted");
    house.gateway.drain().await;
    house.backend.on_cancel(OnCancel::EndAtOnce);
    let heir = house.next_life();
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(heir.state(&other).await, "cancelled");
    let controls = house.backend.calls(Point::Control);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(house.backend.calls(Point::Control), controls, "an end is the end of it");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_is_told_when_it_is_back() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.set_reachable(false);
    assert_eq!(house.act("cancel", &uuid).await, "accepted");
    tokio::time::sleep(60 * SECOND).await;
    house.backend.set_reachable(true);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_has_wished_nevertheless() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    house.backend.hold(Point::Control);
    let client = house.posting("/actions/cancel_and_forget", &[], json!({ "ids": [uuid] }));
    house.backend.until_held(Point::Control, 1).await;
    client.abort();
    assert!(client.await.is_err());
    house.backend.release(Point::Control);
    house.gateway.drain().await;
    assert_eq!(house.get(&format!("/jobs/{uuid}")).await.status, 404, "forgotten");
    let rows = batchlingua_core::Ledger::dump(&*house.ledger, None, 10).await.expect("rows");
    assert_eq!(rows[0].batch.state, BatchState::Cancelled);
    assert_eq!(house.notebook.lines("audit cancel"), ["audit cancel_and_forget ok known"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_still_being_submitted_is_ended_when_it_has_come_through() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    let id = house.post("/jobs", json!({ "file": "a.py" })).await.header("batchlingua-id").expect("an id").to_owned();
    assert_eq!(house.act("cancel", &id).await, "accepted");
    assert_eq!(house.backend.calls(Point::Control), 0);
    house.backend.deliver_late();
    tokio::time::sleep(25 * SECOND).await;
    assert_eq!(house.state(&id).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_batch_is_gone_for_its_clients_and_ended_on_its_backend() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.act("cancel_and_forget", &uuid).await, "ended:cancelled");
    for id in [uuid.as_str(), "1", native.as_str()] {
        assert_eq!(house.get(&format!("/jobs/{id}")).await.status, 404, "{id}");
    }
    assert_eq!(house.get("/jobs").await.json["total"], 0);
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(house.get("/jobs").await.json["total"], 0, "a walk does not bring it back");
}

#[tokio::test(start_paused = true)]
async fn only_what_has_ended_can_be_forgotten_alone() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    assert_eq!(house.act("forget", &uuid).await, "error:illegal_state");
    assert_eq!(house.state(&uuid).await, "running");
    house.backend.advance(&native, BatchState::Succeeded);
    assert_eq!(house.act("forget", &uuid).await, "nothing");
    assert_eq!(house.get(&format!("/jobs/{uuid}")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_batch_can_be_cancelled_and_forgotten() {
    let house = House::new();
    let (uuid, native) = house.running("a").await;
    house.running("other").await;
    house.backend.forget(&native);
    tokio::time::sleep(300 * SECOND).await;
    assert_eq!(house.state(&uuid).await, "unknown");
    assert_eq!(house.act("cancel_and_forget", &uuid).await, "already:unknown");
    assert_eq!(house.get(&format!("/jobs/{uuid}")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_a_backend_cannot_take_is_not_kept() {
    let house = House::new();
    house.backend.set_capabilities(|can| can.actions = ActionSet::default());
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.act("cancel", &uuid).await, "error:unsupported");
    assert_eq!(house.get(&format!("/jobs/{uuid}")).await.json["cancel_asked"], false);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_a_backend_tells_and_then_forgets_is_kept_with_its_log() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend);
    let odd = Odd::over(backend.clone());
    odd.drops_on_cancel.store(true, Ordering::SeqCst);
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
    let (uuid, native) = house.running("a").await;
    house.backend.write_log(&native, ["one", "two"]);
    assert_eq!(house.act("cancel", &uuid).await, "ended:cancelled");
    assert_eq!(house.state(&uuid).await, "cancelled");
    assert_eq!(house.get(&format!("/jobs/{uuid}/log")).await.json["lines"], json!(["one", "two"]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_come_back_to_life_can_be_ended() {
    let (clock, backend) = backend();
    let house = House::over(clock, Arc::new(backend.able(|can| can.revival = Revival::AfterFailure)), |_| {});
    let (uuid, native) = house.running("a").await;
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(house.act("cancel", &uuid).await, "ended:cancelled");
    assert_eq!(house.state(&uuid).await, "cancelled");
}

#[tokio::test(start_paused = true)]
async fn other_actions_are_the_backends_business() {
    let house = House::new();
    let (uuid, _) = house.running("a").await;
    assert_eq!(house.act("pause", &uuid).await, "accepted");
    assert_eq!(house.state(&uuid).await, "paused");
    assert_eq!(house.act("resume", &uuid).await, "accepted");
    let resumed = house.get(&format!("/jobs/{uuid}")).await;
    assert_eq!((resumed.text_of("state").as_str(), resumed.json["attempt"].as_u64()), ("queued", Some(2)));
    house.backend.set_capabilities(|can| can.actions = [Action::Cancel].into_iter().collect());
    assert_eq!(house.act("pause", &uuid).await, "error:unsupported");
}

/// Where the platform does not say so by itself.
#[tokio::test(start_paused = true)]
async fn what_is_begun_anew_is_in_its_next_attempt() {
    let (clock, backend) = backend();
    let backend = Arc::new(backend.able(|can| can.revival = Revival::AfterFailure));
    let odd = Odd::over(backend.clone());
    odd.counts_none.store(true, Ordering::SeqCst);
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
    let (uuid, native) = house.running("a").await;
    let standing = async || {
        let shown = house.get(&format!("/jobs/{uuid}")).await;
        (shown.text_of("state"), shown.json["attempt"].as_u64())
    };
    let at = |state: &str, attempt| (state.to_owned(), Some(attempt));
    assert_eq!(standing().await, at("running", 1));
    assert_eq!(house.act("restart", &uuid).await, "accepted");
    assert_eq!(standing().await, at("queued", 2));
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(standing().await, at("queued", 2), "nor does a walk make more of it");
    house.backend.advance(&native, BatchState::Running);
    assert_eq!(standing().await, at("running", 2));
    house.backend.advance(&native, BatchState::Failed);
    assert_eq!(standing().await, at("failed", 2));
    assert_eq!(house.act("restart", &uuid).await, "accepted");
    assert_eq!(standing().await, at("queued", 3));
    assert_eq!(house.act("pause", &uuid).await, "accepted");
    assert_eq!(house.act("restart", &uuid).await, "accepted");
    assert_eq!(standing().await, at("queued", 4), "one action, one attempt");
}

#[tokio::test(start_paused = true)]
async fn many_at_once_are_all_acted_on_and_one_is_acted_on_once() {
    let house = House::with(|plans| plans.calls.concurrency = 40);
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(house.running(&format!("n{n}")).await.0);
    }
    ids.extend(["1".to_owned(), "mem-1".to_owned()]);
    let done = house.post("/actions/cancel", json!({ "ids": ids })).await;
    let results: Vec<_> = done.json.as_array().expect("rows").iter().map(|row| row["result"].as_str()).collect();
    assert_eq!(results.len(), 300);
    assert!(results.iter().all(|result| *result == Some("ended:cancelled")), "{results:?}");
    assert_eq!(house.backend.calls(Point::Control), 300);
}

#[tokio::test(start_paused = true)]
async fn a_selection_is_of_a_project_and_of_states() {
    let house = House::new();
    for (name, project) in [("a", "p"), ("b", "p"), ("c", "q")] {
        let submitted = house.post("/jobs", json!({ "file": "a.py", "name": name, "project": project })).await;
        assert_eq!(submitted.status, 201);
    }
    house.backend.advance(&"mem-0".into(), BatchState::Running);
    house.backend.advance(&"mem-2".into(), BatchState::Running);
    tokio::time::sleep(20 * SECOND).await;
    let done = house.post("/actions/cancel", json!({ "project": "p", "states": "running" })).await;
    assert_eq!(done.json.as_array().map(Vec::len), Some(1), "{done:?}");
    assert_eq!((house.state("1").await, house.state("2").await), ("cancelled".into(), "queued".into()));
    let none = house.post("/actions/cancel?project=p", json!({})).await;
    assert_eq!(none.json, json!([]), "a request that names nothing is about nothing");
    assert_eq!(house.post("/actions/cancel", json!({ "ids": ["3", "4711"] })).await.status, 404);
    assert_eq!(house.state("3").await, "running", "nothing is done if one is not found");
}

const LIVE: &str = "queued,starting,running,paused";

#[tokio::test(start_paused = true)]
async fn what_is_not_legal_for_one_is_done_to_none() {
    let house = House::new();
    let (running, _) = house.running("a").await;
    let (ended, native) = house.running("b").await;
    // It has ended, and nobody has looked since.
    house.backend.advance(&native, BatchState::Succeeded);
    let asked = json!({ "ids": [running, ended], "legal": LIVE });
    let refused = house.post("/actions/cancel", asked).await;
    assert_eq!(refused.json.as_array().map(Vec::len), Some(1), "{refused:?}");
    assert_eq!((&refused.json[0]["uuid"], &refused.json[0]["result"]), (&json!(ended), &json!("error:illegal_state")));
    assert_eq!((house.state(&running).await, house.backend.calls(Point::Control)), ("running".into(), 0));
    assert_eq!(house.notebook.lines("audit cancel"), ["audit cancel illegal_state known"]);
    assert_eq!(house.get(&format!("/jobs/{running}")).await.json["cancel_asked"], false);

    let done = house.post("/actions/cancel", json!({ "ids": [running], "legal": LIVE })).await;
    assert_eq!((&done.json[0]["result"], &done.json[0]["after"]), (&json!("ended:cancelled"), &json!("cancelled")));
}

#[tokio::test(start_paused = true)]
async fn what_one_backend_cannot_do_is_done_on_none() {
    let (_, other) = backend();
    let other = Arc::new(other.able(|can| can.actions = [Action::Cancel].into_iter().collect()));
    let house = House::with(|plans| plans.backends.push(("other", other.clone())));
    let (able, _) = house.running("a").await;
    let house = house.next_life_with(|plans| plans.rules = vec![rule("other")]);
    let unable = house.post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    let house = house.next_life_with(|plans| plans.rules = vec![rule("here"), rule("other")]);
    for (legal, told) in [(None, "error:unsupported"), (Some(LIVE), "error:illegal_state")] {
        let asked = json!({ "ids": [able, unable], "legal": legal });
        let refused = house.post("/actions/pause", asked).await;
        assert_eq!(refused.json.as_array().map(Vec::len), Some(1), "{refused:?}");
        assert_eq!((&refused.json[0]["uuid"], &refused.json[0]["result"]), (&json!(unable), &json!(told)));
        assert_eq!(house.state(&able).await, "running");
    }
}

#[tokio::test(start_paused = true)]
async fn of_batches_to_be_forgotten_one_that_lives_keeps_the_others_in_sight() {
    let house = House::new();
    let (running, _) = house.running("a").await;
    let (ended, native) = house.running("b").await;
    house.backend.advance(&native, BatchState::Failed);
    let refused = house.post("/actions/forget", json!({ "ids": [ended, running] })).await;
    assert_eq!((refused.json.as_array().map(Vec::len), &refused.json[0]["uuid"]), (Some(1), &json!(running)));
    assert_eq!(house.state(&ended).await, "failed");
    let unknown = json!({ "ids": ["4711", ended], "skip_unknown": true });
    let done = house.post("/actions/forget", unknown).await;
    assert_eq!((done.json.as_array().map(Vec::len), &done.json[0]["result"]), (Some(1), &json!("nothing")));
    assert_eq!(house.get(&format!("/jobs/{ended}")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn what_has_left_the_states_that_were_asked_for_is_passed_over() {
    let house = House::new();
    let (running, _) = house.running("a").await;
    let (ended, native) = house.running("b").await;
    for id in [&running, &ended] {
        assert_eq!(house.state(id).await, "running");
    }
    // The ledger takes it for running until somebody looks again.
    house.backend.advance(&native, BatchState::Succeeded);
    let asked = json!({ "project": "p", "states": "running", "legal": LIVE });
    let done = house.post("/actions/cancel", asked).await;
    assert_eq!(done.json.as_array().map(Vec::len), Some(1), "{done:?}");
    assert_eq!((&done.json[0]["uuid"], &done.json[0]["result"]), (&json!(running), &json!("ended:cancelled")));
    assert_eq!(house.state(&ended).await, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_project_is_in_none_where_it_is_not_shown_there() {
    for show_unscoped in [true, false] {
        let house = House::with(|plans| plans.limits.scoping.show_unscoped = show_unscoped);
        let (id, _) = house.running("a").await;
        for asked in [json!({ "project": "p", "ids": [id] }), json!({ "project": "p" })] {
            let done = house.post("/actions/pause", asked).await;
            assert_eq!(done.json.as_array().map(Vec::len), Some(usize::from(show_unscoped)), "{done:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_project_however_large_is_acted_on_as_a_whole_or_not_at_all() {
    let house = House::with(|plans| plans.started = false);
    let total = async || house.get("/jobs?size=0").await.json["total"].as_u64();
    house.sights(0..10_001).await;
    let done = house.post("/actions/forget", json!({ "project": "p" })).await;
    assert_eq!(done.json.as_array().map(Vec::len), Some(10_001));
    assert_eq!(total().await, Some(0));

    house.sights(10_001..110_002).await;
    let refused = house.post("/actions/forget", json!({ "project": "p" })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.text.contains("100001 batches") && refused.text.contains("nothing was done"), "{refused:?}");
    assert_eq!(total().await, Some(100_001));
}
