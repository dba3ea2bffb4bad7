//! A Kylin behind a Kylin: what its clients are shown is what they would be shown by it.

use std::sync::Arc;

use batchlingua_core::{
    Action, Backend, Batch, BatchId, BatchState, Controlled, Detail, Effect, ErrorKind, Lines, LogQuery, LogSource,
    NativeId, Operation, Outcome, Page, Uuid,
};
use batchlingua_testkit::context;
use batchlingua_wire::Dialect;
use serde_json::{Value, json};

use super::fake::{Fake, failure, older_failure};
use crate::{
    backend::KylinBackend,
    settings::Version,
    support::{AS_JSON, Answer, PUBLIC, V2, asks, encoded, lenient},
};

const ANY: &str = "Accept: */*";

/// As the router shows what was seen: ids of the ledger's in place of the backend's.
fn shown(batch: Batch<NativeId>) -> Arc<Batch<BatchId>> {
    let uuid =
        batch.id.as_str().parse().unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, batch.id.as_str().as_bytes()));
    let id = BatchId { uuid, ordinal: 1, native: Some(batch.id.clone()) };
    let mut of = Batch::new(id, batch.state, batch.spec.clone());
    (of.owner, of.project, of.times, of.app) = (batch.owner, batch.project, batch.times, batch.app);
    (of.diagnostic, of.steps, of.native) = (batch.diagnostic, batch.steps, batch.native);
    Arc::new(of)
}

/// What a client is answered.
async fn answered(backend: &KylinBackend, line: &str, headers: &[&str], body: &str) -> Answer {
    let dialect = lenient();
    let (head, operation) = asks(&dialect, line, headers, body);
    let named = |id: &batchlingua_core::BatchRef| NativeId::from(id.to_string());
    let outcome = match operation {
        Operation::Get(id, detail) => match backend.get(&context(), &named(&id), detail).await {
            Ok(batch) => Outcome::Batch(shown(batch)),
            Err(error) => return Answer::of(dialect.encode_error(&head, &error)),
        },
        Operation::List(_) => {
            let page = backend.scan(&context(), None).await.expect("a page");
            Outcome::Page(Page { rows: page.rows.into_iter().map(shown).collect(), total: page.total, next: None })
        }
        Operation::Log(id, query) => {
            let log = backend.log(&context(), &named(&id), &query).await;
            match log {
                Ok(log) => Outcome::Log(BatchId { uuid: Uuid::nil(), ordinal: 1, native: Some(named(&id)) }, log),
                Err(error) => return Answer::of(dialect.encode_error(&head, &error)),
            }
        }
        Operation::Control(selection, action) => {
            let id = named(&selection.ids[0]);
            let result = backend.control(&context(), &id, action).await;
            let after = backend.get(&context(), &id, Detail::Steps).await.ok().map(shown);
            let ids = BatchId { uuid: Uuid::nil(), ordinal: 1, native: Some(id) };
            Outcome::Controlled(vec![Controlled { id: ids, before: BatchState::Running, result, after }])
        }
        Operation::Submit(_) => panic!("nobody submits to a Kylin"),
    };
    encoded(&dialect, &head, outcome)
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).expect("text")
}

#[tokio::test]
async fn a_list_is_the_kylins_member_by_member() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    for word in ["RUNNING", "STOPPED", "SUSPENDED", "ERROR", "DISCARDED"] {
        fake.add("retail", word);
    }
    let rows: Vec<String> = fake.world().jobs.iter().map(|job| job.v4()).collect();
    let answer = answered(&backend, "GET /kylin/api/jobs?time_filter=4", &[PUBLIC], "").await;
    let wanted = format!(
        r#"{{"code":"000","data":{{"value":[{}],"total_size":5,"offset":0,"limit":10}},"msg":""}}"#,
        rows.join(",")
    );
    assert_eq!(
        (answer.status, text(&answer)),
        (200, wanted.as_str()),
        "key order, number texts and unknown members too"
    );
    assert_eq!(answer.header("content-type"), super::fake::PUBLIC_TYPE);
}

#[tokio::test]
async fn a_jobs_steps_are_the_kylins_and_a_row_has_none() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "ERROR");
    let job = fake.world().jobs[0].clone();
    let (job, steps) = (job.v4(), job.v4_steps());
    let answer = answered(&backend, &format!("GET /kylin/api/jobs/{id}/detail?project=retail"), &[PUBLIC], "").await;
    assert_eq!(text(&answer), format!(r#"{{"code":"000","data":{steps},"msg":""}}"#));
    let whole = answered(&backend, &format!("GET /kylin/api/jobs/{id}"), &[PUBLIC], "").await;
    let with_steps = job.replace(r#""steps":[]"#, &format!(r#""steps":{steps}"#));
    assert_eq!(text(&whole), format!(r#"{{"code":"000","data":{with_steps},"msg":""}}"#));

    let seen = shown(backend.get(&context(), &id.clone().into(), Detail::Steps).await.expect("the job"));
    let dialect = lenient();
    let (head, _) = asks(&dialect, "GET /kylin/api/jobs?time_filter=4", &[PUBLIC], "");
    let page = Outcome::Page(Page { rows: vec![seen], total: Some(1), next: None });
    let page = encoded(&dialect, &head, page);
    assert!(text(&page).contains(&job), "a list has no steps: {}", text(&page));
}

#[tokio::test]
async fn the_face_for_older_clients_is_made_of_the_new_one() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "RUNNING");
    let answer = answered(&backend, &format!("GET /kylin/api/jobs/{id}"), &[V2], "").await.json();
    let data = &answer["data"];
    let kept = ["scheduler_state", "job_name", "submitter", "target_model"]
        .map(|name| data[name].as_str().unwrap_or("").to_owned());
    assert_eq!(kept, ["RUNNING", "INC_BUILD", "ANALYST", "c0ffee00-1111-2222-3333-444455556666"]);
    assert_eq!(
        (&data["uuid"], &data["project_name"], &data["related_cube"]),
        (&json!(id), &json!("retail"), &json!("orders_daily"))
    );
    assert_eq!(
        (&data["name"], &data["mr_waiting"], &data["version"]),
        (&json!("INC_BUILD"), &json!(1_700), &json!("5.0.0"))
    );
    assert_eq!(data["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!((&data["steps"][1]["exec_wait_time"], &data["steps"][1]["new_in_6"]), (&json!(70), &json!(1)));
}

#[tokio::test]
async fn an_older_kylins_jobs_are_its_own_to_its_own_clients() {
    let fake = Fake::start(Version::Three).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "RUNNING");
    let instance = fake.world().jobs[0].instance(Version::Three);
    let answer = answered(&backend, &format!("GET /kylin/api/jobs/{id}"), &[AS_JSON], "").await;
    assert_eq!(text(&answer), instance);
    let list = answered(&backend, "GET /kylin/api/jobs?limit=15&offset=0", &[ANY], "").await;
    assert_eq!(text(&list), format!("[{instance}]"));
    let unknown = answered(&backend, &format!("GET /kylin/api/jobs/{}", Uuid::new_v4()), &[AS_JSON], "").await;
    assert_eq!((unknown.status, text(&unknown)), (200, ""), "kylinpy takes that for no such job");
    let cancelled = answered(&backend, &format!("PUT /kylin/api/jobs/{id}/cancel"), &[ANY], "").await;
    assert_eq!((cancelled.status, cancelled.json()["job_status"].as_str()), (200, Some("DISCARDED")));
}

/// From one API to the other a job goes through the model.
#[tokio::test]
async fn clients_of_the_one_are_shown_jobs_of_the_other_in_their_own_shapes() {
    let older = Fake::start(Version::Three).await;
    let backend = older.backend(json!({}));
    let id = older.add("retail", "ERROR");
    let answer =
        answered(&backend, &format!("GET /kylin/api/jobs/{id}/detail?project=retail"), &[PUBLIC], "").await.json();
    let steps = answer["data"].as_array().expect("steps");
    let ids: Vec<_> = steps.iter().map(|step| step["id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, [format!("{id}_00"), format!("{id}_01")], "as Kylin 5 writes them");
    assert_eq!(steps[1]["info"]["yarn_application_id"], "application_3_4");
    assert_eq!((&steps[0]["step_status"], &steps[1]["step_status"]), (&json!("FINISHED"), &json!("ERROR")));
    let list = answered(&backend, "GET /kylin/api/jobs?time_filter=4", &[PUBLIC], "").await.json();
    let row = &list["data"]["value"][0];
    assert_eq!(
        (&row["id"], &row["target_subject"], &row["project"]),
        (&json!(id), &json!("orders_daily"), &json!("retail"))
    );
    assert_eq!((&row["wait_time"], &row["steps"]), (&json!(7_000), &json!([])), "seconds are milliseconds here");

    let newer = Fake::start(Version::Five).await;
    let backend = newer.backend(json!({}));
    let id = newer.add("retail", "RUNNING");
    let instance = answered(&backend, &format!("GET /kylin/api/jobs/{id}"), &[AS_JSON], "").await.json();
    assert_eq!((&instance["uuid"], &instance["job_status"]), (&json!(id), &json!("RUNNING")));
    assert_eq!(instance["steps"][1]["id"], json!(format!("{id}-01")));
}

#[tokio::test]
async fn the_short_log_is_the_kylins_text() {
    for (version, headers) in [(Version::Five, PUBLIC), (Version::Four, AS_JSON), (Version::Three, AS_JSON)] {
        let fake = Fake::start(version).await;
        let backend = fake.backend(json!({}));
        let id = fake.add("retail", "RUNNING");
        for lines in [0, 3, 150, 1_000] {
            fake.write(&id, lines);
            let stroke = if version.is_five() { "_" } else { "-" };
            let line = format!("GET /kylin/api/jobs/{id}/steps/{id}{stroke}01/output?project=retail");
            let answer = answered(&backend, &line, &[headers], "").await;
            let json = answer.json();
            let data = if version.is_five() { &json["data"] } else { &json };
            let own = backend
                .kylin
                .output(&context(), &id.clone().into(), &format!("{id}{stroke}01"), Some(&"retail".into()))
                .await;
            assert_eq!(data["cmd_output"].as_str(), Some(own.expect("an output").text.as_str()), "{version:?} {lines}");
            assert_eq!(data["stepId"].as_str(), Some(format!("{id}{stroke}01").as_str()));
        }
    }
}

#[tokio::test]
async fn refusals_are_the_kylins_own_words_in_its_own_face() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "RUNNING");
    let body = json!({"action": "RESUME", "project": "retail", "job_ids": [id]}).to_string();
    let status = "PUT /kylin/api/jobs/status";
    let answer = answered(&backend, status, &[PUBLIC], &body).await;
    let mut wanted: Value =
        serde_json::from_str(&failure("KE-010032217", "RUNNING: DISCARD, PAUSE, RESTART")).expect("JSON");
    wanted["stacktrace"] = Value::Null;
    wanted["url"] = json!("http://127.0.0.1:8998/kylin/api/jobs/status");
    assert_eq!((answer.status, answer.json()), (500, wanted), "vector 22");
    assert!(text(&answer).contains(r#""new_in_6":1.5"#) && !text(&answer).contains("kylin.internal"));
    assert_eq!(answer.header("content-type"), super::fake::PUBLIC_TYPE);

    // A Kylin 5's words are none of an older client's, and the other way round.
    let older = Fake::start(Version::Four).await;
    let older_backend = older.backend(json!({}));
    let id = older.add("retail", "RUNNING");
    older.world().instead = Some(batchlingua_testkit::Reply::json(500, older_failure("the cube is broken")));
    let line = format!("GET /kylin/api/jobs/{id}");
    let own = answered(&older_backend, &line, &[AS_JSON], "").await;
    assert_eq!(
        (own.status, &own.json()["exception"], own.json().get("error_code")),
        (500, &json!("the cube is broken"), None)
    );
    let other = answered(&older_backend, &line, &[PUBLIC], "").await;
    assert_eq!(other.refused(), (500, None));
    assert!(other.json()["msg"].as_str().is_some_and(|msg| msg.contains("the cube is broken")), "{other:?}");
}

/// Vectors 21 to 24 of the reference, over a Kylin.
#[tokio::test]
async fn actions_come_to_what_the_vectors_say() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let call = |action: &str, id: &str| json!({"action": action, "project": "retail", "job_ids": [id]}).to_string();
    let status = "PUT /kylin/api/jobs/status";
    let finished = fake.add("retail", "FINISHED");
    let answer = answered(&backend, status, &[PUBLIC], &call("DISCARD", &finished)).await;
    assert_eq!(answer.status, 500, "vector 21: {answer:?}");
    let running = fake.add("retail", "RUNNING");
    let answer = answered(&backend, status, &[PUBLIC], &call("DISCARD", &running)).await;
    assert_eq!((answer.status, text(&answer)), (200, r#"{"code":"000","data":"","msg":""}"#), "vector 23");
    assert_eq!(fake.world().job(&running).map(|job| job.word.clone()).as_deref(), Some("DISCARDED"));
    for (action, from, to) in [
        ("PAUSE", "RUNNING", "STOPPED"),
        ("RESUME", "STOPPED", "PENDING"),
        ("RESUME", "ERROR", "PENDING"),
        ("RESTART", "ERROR", "PENDING"),
        ("DISCARD", "ERROR", "DISCARDED"),
    ] {
        let id = fake.add("risk & co", from);
        let answer = answered(&backend, status, &[PUBLIC], &call(action, &id)).await;
        assert_eq!(answer.status, 200, "{action} from {from}: {answer:?}");
        assert_eq!(fake.world().job(&id).map(|job| job.word.clone()).as_deref(), Some(to), "{action} from {from}");
    }
}

/// A Kylin may know better than the table what can be done to a job.
#[tokio::test]
async fn what_a_kylin_refuses_is_told_in_its_words_in_every_face() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "RUNNING");
    let refusal = failure("KE-010032217", "not while the model is being moved");
    fake.world().refusal = Some(batchlingua_testkit::Reply::json(500, refusal));
    let call = json!({"action": "PAUSE", "project": "retail", "job_ids": [&id]}).to_string();
    let own = answered(&backend, "PUT /kylin/api/jobs/status", &[PUBLIC], &call).await;
    assert_eq!(own.json()["msg"], "KE-010032217: not while the model is being moved");
    let line = format!("PUT /kylin/api/jobs/{id}/pause");
    let old = answered(&backend, &line, &[AS_JSON], "").await;
    assert_eq!((old.status, &old.json()["msg"]), (500, &json!("not while the model is being moved")));
    let error = backend.control(&context(), &id.into(), Action::Pause).await.expect_err("it refuses");
    let ErrorKind::IllegalState { allowed, .. } = &error.kind else { panic!("{error:?}") };
    assert!(!allowed.contains(&Action::Pause) && allowed.contains(&Action::Cancel), "{allowed:?}");
}

/// A state that the ledger knows to be further on is told in the proxy's words.
#[tokio::test]
async fn what_is_known_better_is_not_the_kylins() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = fake.add("retail", "RUNNING");
    let seen = backend.get(&context(), &id.into(), Detail::State).await.expect("the job");
    let mut known = Batch::clone(&shown(seen));
    known.state = BatchState::Cancelled;
    let dialect = lenient();
    let (head, _) = asks(&dialect, "GET /kylin/api/jobs?time_filter=4", &[PUBLIC], "");
    let page = encoded(&dialect, &head, Outcome::Page(Page { rows: vec![known.into()], total: Some(1), next: None }));
    assert_eq!(page.json()["data"]["value"][0]["job_status"], "DISCARDED");
}

#[tokio::test]
async fn an_older_kylins_resume_is_guarded() {
    let fake = Fake::start(Version::Three).await;
    let backend = fake.backend(json!({}));
    for word in ["FINISHED", "RUNNING", "DISCARDED"] {
        let id = NativeId::from(fake.add("retail", word));
        let error = backend.control(&context(), &id, Action::Resume).await.expect_err("not legal");
        assert!(matches!(error.kind, ErrorKind::IllegalState { .. }), "{error:?}");
        assert_eq!(
            fake.world().job(id.as_str()).map(|job| job.word.clone()).as_deref(),
            Some(word),
            "nothing was sent"
        );
    }
    let id = NativeId::from(fake.add("retail", "ERROR"));
    assert_eq!(backend.control(&context(), &id, Action::Resume).await.expect("legal"), Effect::Accepted);
    let query = LogQuery { lines: Lines::Tail(1), source: LogSource::Step(format!("{id}_07")) };
    assert!(backend.log(&context(), &id, &query).await.is_err(), "there is no such step");
}
