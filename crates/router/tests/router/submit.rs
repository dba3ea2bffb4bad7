//! A submit and all that can become of it.

use std::time::Duration;

use batchlingua_core::{BatchState, Field, Ledger, Marking, Scope};
use batchlingua_router::{CallLimits, Policies, Policy};
use batchlingua_testkit::{Point, SubmitFault};
use serde_json::json;

use crate::{
    house::{Answer, House, backend, rule, spec},
    odd::Odd,
    watched::Watched,
};

const SECOND: Duration = Duration::from_secs(1);

fn job(name: &str) -> serde_json::Value {
    json!({ "file": "a.py", "name": name })
}

/// All rows with their phases and states.
async fn rows(ledger: &Watched) -> Vec<(String, String)> {
    let rows = ledger.dump(None, 1_000).await.expect("rows");
    rows.iter().map(|row| (row.phase.as_str().to_owned(), row.batch.state.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_accepted_and_known_by_all_its_ids() {
    let house = House::new();
    let submitted = house.post("/jobs", job("a")).await;
    assert_eq!(submitted.status, 201);
    assert_eq!(submitted.header("batchlingua-backend"), Some("here"));
    assert_eq!(submitted.json["replayed"], false);
    for id in [submitted.text_of("uuid"), "1".into(), "mem-0".into(), "name:a".into()] {
        assert_eq!(house.state(&id).await, "queued", "{id}");
    }
    assert_eq!(house.backend.jobs_created(), 1);
    assert_eq!(house.notebook.lines("audit"), ["audit submit ok known"]);
    assert_eq!(house.notebook.lines("phase"), ["phase intended", "phase sending", "phase accepted"]);
}

/// A crash before the first byte is looked up where a look can tell; where none can, it is written down apart that something is sent.
#[tokio::test(start_paused = true)]
async fn only_where_nobody_could_tell_sending_is_a_write_of_its_own() {
    for (marking, writes) in [(Marking::Findable, 0), (Marking::None, 1)] {
        let house = House::over_able(|can| can.marking = marking);
        assert_eq!(house.post("/jobs", job("a")).await.status, 201);
        assert_eq!(house.ledger.calls("may_send"), writes, "{marking:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_nobodys() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::Refused]);
    let refused = house.post("/jobs", job("a")).await;
    assert_eq!((refused.status.as_u16(), refused.text_of("kind").as_str()), (502, "backend_rejected"));
    assert_eq!(rows(&house.ledger).await, [("refused".to_owned(), "queued".to_owned())]);
    assert_eq!(house.get("/jobs").await.json["total"], 0);
    assert_eq!(house.get("/jobs/1").await.status, 404);
    assert_eq!(house.notebook.lines("audit"), ["audit submit backend_rejected known"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_may_be_submitted_again_at_once_under_its_name() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::NotSent]);
    let unique = json!({ "file": "a.py", "name": "a", "unique": true });
    // Whatever was waited for in vain, it was not the submit: a client must not take it for one of unknown outcome.
    let unsent = house.post("/jobs", unique.clone()).await;
    assert_eq!((unsent.status.as_u16(), unsent.text_of("kind").as_str()), (503, "backend_unavailable"));
    assert!(unsent.header("retry-after").is_some() && unsent.header("batchlingua-outcome").is_none(), "{unsent:?}");
    assert_eq!(house.post("/jobs", unique).await.status, 201);
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_submit_of_unknown_outcome_is_looked_up_and_found() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownButCreated]);
    let submitted = house.post("/jobs", job("a")).await;
    assert_eq!(submitted.status, 201, "{submitted:?}");
    assert_eq!(submitted.text_of("native"), "mem-0");
    assert_eq!(house.backend.jobs_created(), 1, "it was never sent again");
    assert_eq!(house.state("1").await, "queued");
}

#[tokio::test(start_paused = true)]
async fn absence_is_believed_after_settle_and_only_beside_another_known_job() {
    let house = House::new();
    house.backend.add_foreign(spec("other"));
    house.backend.next_submits([SubmitFault::UnknownAndNotCreated]);
    let began = tokio::time::Instant::now();
    let absent = house.post("/jobs", job("a")).await;
    assert_eq!(absent.status, 503, "nothing was done: {absent:?}");
    assert!(absent.header("retry-after").is_some() && absent.header("batchlingua-outcome").is_none());
    assert!(began.elapsed() >= 30 * SECOND, "{:?}", began.elapsed());
    assert!(rows(&house.ledger).await.contains(&("failed".into(), "queued".into())));

    let empty = House::new();
    empty.backend.next_submits([SubmitFault::UnknownAndNotCreated]);
    let unknown = empty.post("/jobs", job("a")).await;
    assert_eq!(unknown.header("batchlingua-outcome"), Some("unknown"), "it may have lost its memory: {unknown:?}");
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(rows(&empty.ledger).await, [("ambiguous".to_owned(), "queued".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_arrives_late_is_found_however_often_it_was_missed() {
    let house = House::new();
    house.backend.add_foreign(spec("other"));
    house.backend.set_capabilities(|can| can.settle = 300 * SECOND);
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    let unknown = house.post("/jobs", job("a")).await;
    assert_eq!(unknown.status, 504);
    let id = unknown.header("batchlingua-id").expect("an id").to_owned();
    house.assert_not_known_yet(&id).await;
    tokio::time::sleep(150 * SECOND).await;
    house.backend.deliver_late();
    tokio::time::sleep(20 * SECOND).await;
    let found = house.get(&format!("/jobs/{id}")).await;
    assert_eq!(found.text_of("native"), "mem-1", "{found:?}");
    assert_eq!(house.backend.jobs_created(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_cancels_nothing() {
    // Wherever its submit is: being written, on the way, or made and not answered yet.
    for point in [None, Some(Point::Submit), Some(Point::SubmitAnswer)] {
        let house = House::new();
        match point {
            None => house.ledger.hold("intend"),
            Some(point) => house.backend.hold(point),
        }
        let client = house.posting("/jobs", &[], job("a"));
        match point {
            None => house.ledger.until_called("intend", 1).await,
            Some(point) => house.backend.until_held(point, 1).await,
        }
        client.abort();
        assert!(client.await.is_err_and(|error| error.is_cancelled()));
        house.settle_down().await;
        match point {
            None => house.ledger.release("intend"),
            Some(point) => house.backend.release(point),
        }
        house.gateway.drain().await;
        assert_eq!(rows(&house.ledger).await, [("accepted".to_owned(), "queued".to_owned())], "{point:?}");
        assert_eq!(house.backend.jobs_created(), 1);
        assert_eq!(house.notebook.lines("audit"), ["audit submit ok known"], "an audit needs no client");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_the_id_when_it_has_waited_long_enough() {
    for change in [
        (|limits: &mut batchlingua_router::Limits| limits.submit_wait = Duration::from_secs(5))
            as fn(&mut batchlingua_router::Limits),
        |limits| limits.request_timeout = Duration::from_secs(5),
    ] {
        let house = House::with(|plans| change(&mut plans.limits));
        house.backend.hold(Point::Submit);
        let told = house.post("/jobs", job("a")).await;
        assert_eq!((told.status.as_u16(), told.text_of("kind").as_str()), (504, "ambiguous"));
        assert_eq!(told.header("batchlingua-outcome"), Some("unknown"));
        let id = told.header("batchlingua-id").expect("an id").to_owned();
        house.assert_not_known_yet(&id).await;
        house.backend.release(Point::Submit);
        house.gateway.drain().await;
        assert_eq!(house.get(&format!("/jobs/{id}")).await.text_of("native"), "mem-0");
        assert_eq!(house.backend.jobs_created(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_must_be_free_is_refused_while_another_batch_has_it() {
    let house = House::new();
    let unique = json!({ "file": "a.py", "name": "a", "unique": true });
    assert_eq!(house.post("/jobs", unique.clone()).await.status, 201);
    let taken = house.post("/jobs", unique).await;
    assert_eq!((taken.status.as_u16(), taken.text_of("kind").as_str()), (409, "conflict"));
    assert_eq!(house.backend.jobs_created(), 1);
    assert_eq!(house.post("/jobs", job("a")).await.status, 201, "whose dialect allows it may repeat a name");
}

#[tokio::test(start_paused = true)]
async fn sixty_at_once_are_sixty_jobs_with_ids_of_their_own() {
    let house = House::new();
    let clients: Vec<_> = (0..60).map(|n| house.posting("/jobs", &[], job(&format!("n{n}")))).collect();
    let mut seen = std::collections::HashSet::new();
    for client in clients {
        let answer = client.await.expect("an answer");
        assert_eq!(answer.status, 201);
        for id in ["uuid", "ordinal", "native"] {
            assert!(seen.insert(answer.json[id].to_string()), "{id} of {answer:?} is another batch's too");
        }
    }
    assert_eq!(house.backend.jobs_created(), 60);
    assert_eq!(house.get("/jobs").await.json["total"], 60);
}

/// The lease runs out, and this process claims from itself what its own task is just sending.
#[tokio::test(start_paused = true)]
async fn a_submit_that_outlasts_its_lease_is_not_declared_failed_meanwhile() {
    let house = House::with(|plans| plans.calls = CallLimits { timeout: 600 * SECOND, ..plans.calls });
    house.backend.set_capabilities(|can| can.settle = Duration::ZERO);
    house.backend.add_foreign(spec("other"));
    house.backend.hold(Point::Submit);
    let told = house.post("/jobs", job("a")).await;
    let id = told.header("batchlingua-id").expect("an id").to_owned();
    tokio::time::sleep(300 * SECOND).await;
    house.backend.release(Point::Submit);
    house.gateway.drain().await;
    assert_eq!(house.get(&format!("/jobs/{id}")).await.text_of("native"), "mem-1");
    assert!(!house.notebook.lines("phase").contains(&"phase failed".to_owned()));
    assert_eq!(house.backend.calls(Point::LookUp), 0, "nobody else works on it");
}

/// The old lease is refused already, and the new one is still on its way to the task that works.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_while_its_lease_is_renewed_is_written() {
    let house = House::with(|plans| plans.calls = CallLimits { timeout: 600 * SECOND, ..plans.calls });
    house.backend.hold(Point::Submit);
    let told = house.post("/jobs", job("a")).await;
    assert_eq!(told.status, 504, "its lease is over now");
    house.ledger.hold("claim");
    house.ledger.until_called("claim", house.ledger.calls("claim") + 1).await;
    house.settle_down().await;
    house.backend.release(Point::Submit);
    house.settle_down().await;
    house.ledger.release("claim");
    house.gateway.drain().await;
    assert_eq!(house.get("/jobs/1").await.text_of("native"), "mem-0");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_outlasts_its_lease_goes_on_alone() {
    let house = House::new();
    house.backend.next_submits([SubmitFault::UnknownAndLate]);
    assert_eq!(house.post("/jobs", job("a")).await.status, 504);
    tokio::time::sleep(300 * SECOND).await;
    let before = house.backend.calls(Point::LookUp);
    tokio::time::sleep(300 * SECOND).await;
    let looks = house.backend.calls(Point::LookUp) - before;
    assert!((19..=21).contains(&looks), "{looks} looks in 300 s with 15 s between them");
    house.assert_not_known_yet("1").await;
    house.backend.deliver_late();
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(rows(&house.ledger).await, [("accepted".to_owned(), "queued".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_submit_whose_adapter_panics_is_of_unknown_outcome_and_found() {
    let (clock, backend) = backend();
    let backend = std::sync::Arc::new(backend);
    let odd = Odd::over(backend.clone());
    odd.submit_panics.store(true, std::sync::atomic::Ordering::SeqCst);
    let house = House::over(clock, backend, |plans| plans.backends = vec![("here", odd)]);
    let told = house.post("/jobs", job("a")).await;
    let id = told.header("batchlingua-id").expect("an id").to_owned();
    tokio::time::sleep(90 * SECOND).await;
    assert_eq!(house.get(&format!("/jobs/{id}")).await.text_of("native"), "mem-0");
    assert_eq!(house.get("/jobs").await.json["total"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_written_yet_is_written_later() {
    let house = House::new();
    house.ledger.fail("settle", 5);
    let submitted = house.post("/jobs", job("a")).await;
    assert_eq!((submitted.status.as_u16(), submitted.text_of("native").as_str()), (201, "mem-0"));

    // A refusal is sure, whether it can be written or not: its client need not wait.
    let began = tokio::time::Instant::now();
    house.backend.next_submits([SubmitFault::Refused]);
    house.ledger.fail("settle", 5);
    assert_eq!(house.post("/jobs", job("b")).await.status, 502);
    assert!(began.elapsed() < Duration::from_millis(50));
    tokio::time::sleep(30 * SECOND).await;
    assert!(rows(&house.ledger).await.contains(&("refused".into(), "queued".into())));
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_sent() {
    let house = House::new();
    let unique = json!({ "file": "a.py", "name": "a", "unique": true });
    house.ledger.fail("intend", 1);
    let refused = house.post("/jobs", unique.clone()).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    house.settle_down().await;
    assert_eq!(house.backend.calls(Point::Submit), 0);
    assert_eq!(house.post("/jobs", unique).await.status, 201, "the name is free again");
    assert_eq!(house.ledger.calls("may_send"), 0, "the intent itself said that it is being sent");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_no_batches_costs_no_intent() {
    let house = House::new();
    house.backend.set_capabilities(|can| can.submit = false);
    assert_eq!(house.post("/jobs", job("a")).await.status, 501);
    assert_eq!(house.ledger.calls("intend"), 0);
    assert_eq!(house.notebook.lines("audit"), ["audit submit unsupported unknown"]);
}

#[tokio::test(start_paused = true)]
async fn lost_fields_are_told_refused_or_dropped_as_the_route_says() {
    let (clock, backend) = backend();
    let backend = std::sync::Arc::new(backend.losing(&[Field::Queue, Field::Jars]));
    let house = House::over(clock, backend, |plans| {
        let quiet = Policies { placement: Policy::Drop, ..Policies::default() };
        let mut silent = rule("here");
        silent.matches.name = Some("quiet*".into());
        silent.policies = quiet;
        plans.rules.insert(0, silent);
    });
    let told = house.post("/jobs", json!({ "file": "a.py", "queue": "q" })).await;
    assert_eq!((told.status.as_u16(), told.header("batchlingua-unmapped")), (201, Some("queue")));
    let quiet = house.post("/jobs", json!({ "file": "a.py", "queue": "q", "name": "quiet-1" })).await;
    assert_eq!((quiet.status.as_u16(), quiet.header("batchlingua-unmapped")), (201, None));
    let refused = house.post("/jobs", json!({ "file": "a.py", "jars": ["b.jar"] })).await;
    assert_eq!(refused.status, 501);
    assert!(refused.text_of("message").contains("'jars'") && refused.text_of("message").contains("'here'"));
    assert_eq!(house.backend.jobs_created(), 2);
}

async fn known_state(house: &House) -> BatchState {
    let scope = Scope { dialect: "none".into(), backends: None, projects: None, unscoped: true, ended_from: None };
    let id = batchlingua_core::BatchRef::Ordinal(1);
    house.ledger.find(&id, &scope).await.expect("readable").expect("a row").batch.state
}

/// A quick job is over before its submit is answered, so the change comes when the row has no id yet to know it by.
#[tokio::test(start_paused = true)]
async fn a_change_that_comes_before_the_answer_is_not_lost() {
    for lost_at_first in [false, true] {
        let (clock, backend) = backend();
        let backend = backend.telling_changes().able(|can| {
            can.marking = batchlingua_core::Marking::Idempotent;
            can.cheap_reads = true;
        });
        let house = House::over(clock, std::sync::Arc::new(backend), |_| {});
        house.backend.hold(Point::SubmitAnswer);
        let client = house.posting("/jobs", &[], job("a"));
        house.backend.until_held(Point::SubmitAnswer, 1).await;
        house.settle_down().await;
        house.backend.advance(&house.backend.ids()[0], BatchState::Succeeded);
        house.settle_down().await;
        house.backend.set_reachable(!lost_at_first);
        house.backend.release(Point::SubmitAnswer);
        let answer: Answer = client.await.expect("an answer");
        assert_eq!(answer.status, 201);
        house.settle_down().await;
        if lost_at_first {
            assert_eq!(known_state(&house).await, BatchState::Queued);
            house.backend.set_reachable(true);
            tokio::time::sleep(130 * SECOND).await;
        }
        assert_eq!(known_state(&house).await, BatchState::Succeeded, "nobody has asked for it");
    }
}
