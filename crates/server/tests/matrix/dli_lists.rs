//! What only the whole house shows of the DLI front: which batches a list holds, and whose they are.

use std::{collections::HashSet, sync::Arc};

use batchlingua_core::{BatchRef, BatchState, Field, NativeId, SystemClock};
use batchlingua_testkit::MemoryBackend;
use http::Method;
use serde_json::{Value, json};

use crate::{
    house::{Ask, Heard, House},
    rigs,
};

struct Dli {
    house: House,
    backend: Arc<MemoryBackend>,
}

impl Dli {
    fn new() -> Self {
        Self::over(MemoryBackend::new("here", Arc::new(SystemClock)))
    }

    fn over(backend: MemoryBackend) -> Self {
        let backend = Arc::new(backend.telling_changes());
        Self { house: House::over(rigs::still(backend.clone())), backend }
    }

    /// Asks, and looks at what holds for every answer.
    async fn ask(&self, ask: Ask) -> Heard {
        let answer = self.house.ask(&ask).await;
        assert!(matches!(answer.status, 200 | 400..), "{ask:?}: {answer:?}");
        assert!(answer.headers.contains_key("x-request-id"), "{ask:?}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json", "{ask:?}");
        answer
    }

    async fn create(&self, project: &str, body: Value) -> String {
        let answer = self.ask(Ask::send(Method::POST, format!("/v2.0/{project}/batches"), body)).await;
        answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    async fn native(&self, id: &str) -> NativeId {
        self.house.native(BatchRef::Uuid(id.parse().expect("a uuid"))).await
    }

    /// The ids of a list, in order, and its total.
    async fn list(&self, project: &str, query: &str) -> (Vec<String>, u64) {
        let list = self.ask(Ask::get(format!("/v2.0/{project}/batches?{query}"))).await.json();
        let sessions = list["sessions"].as_array().expect("sessions").iter();
        let ids = sessions.map(|session| session["id"].as_str().expect("an id").to_owned()).collect();
        (ids, list["total"].as_u64().expect("a total"))
    }

    /// Status and code of a failure.
    async fn failure(&self, ask: Ask) -> (u16, String) {
        let answer = self.ask(ask).await;
        let body: Value = serde_json::from_slice(&answer.bytes).expect("JSON");
        assert!(!body["error_msg"].as_str().unwrap_or_default().is_empty(), "{body}");
        (answer.status, body["error_code"].as_str().expect("a code").to_owned())
    }
}

fn at(project: &str, id: &str, rest: &str) -> String {
    format!("/v2.0/{project}/batches/{id}{rest}")
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Terraform goes on until a page is not full.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_full_until_the_last_one() {
    let dli = Dli::new();
    for n in 0..100 {
        dli.create("p1", json!({"file": "a.py", "name": format!("n{n}")})).await;
    }
    assert_eq!(dli.list("p1", "size=100&from=100").await, (Vec::new(), 100));
    for n in 100..150 {
        dli.create("p1", json!({"file": "a.py", "name": format!("n{n}")})).await;
    }
    let (first, second) = (dli.list("p1", "size=100").await, dli.list("p1", "size=100&from=100").await);
    assert_eq!((first.0.len(), first.1, second.0.len(), second.1), (100, 150, 50, 150));
    let all: HashSet<_> = first.0.iter().chain(&second.0).collect();
    assert_eq!(all.len(), 150);
    let (oldest_first, _) = dli.list("p1", "size=1000&order=CREATE_TIME_ASC").await;
    let newest_first: Vec<_> = first.0.into_iter().chain(second.0).rev().collect();
    assert_eq!(oldest_first, newest_first);
    assert_eq!(dli.list("p1", "size=0").await, (Vec::new(), 150));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_narrows_and_all_must_hold() {
    let dli = Dli::new();
    let one = dli.create("p1", json!({"file": "a.py", "name": "one", "queue": "ETL_q"})).await;
    let two = dli.create("p1", json!({"file": "a.py", "name": "two", "cluster_name": "etl_q"})).await;
    let three = dli.create("p1", json!({"file": "a.py", "name": "two", "queue": "other"})).await;
    dli.backend.advance(&dli.native(&one).await, BatchState::Running);
    dli.backend.advance(&dli.native(&three).await, BatchState::Failed);
    // A change is seen by whoever looks.
    for id in [&one, &three] {
        dli.ask(Ask::get(at("p1", id, "/state"))).await;
    }
    let upper = one.to_uppercase();
    for (query, wanted) in [
        ("", vec![&three, &two, &one]),
        ("job_name=one", vec![&one]),
        ("job-name=two", vec![&three, &two]),
        ("job_name=tw", vec![]),
        (&format!("job-id={upper}"), vec![&one]),
        ("job-id=00000000-0000-4000-8000-000000000000", vec![]),
        ("queue_name=ETL_Q", vec![&two, &one]),
        ("cluster_name=OTHER", vec![&three]),
        ("cluster_name=other&queue_name=etl_q", vec![]),
        ("state=RUNNING", vec![&one]),
        ("state=dead", vec![&three]),
        ("state=recovering", vec![]),
        ("owner=anonymous", vec![&three, &two, &one]),
        ("owner=ana", vec![]),
        ("end=1000", vec![]),
        ("start=1000", vec![&three, &two, &one]),
        (
            &format!("job_name=one&job-id={one}&cluster_name=etl_q&queue_name=etl_q&state=running&owner=anonymous"),
            vec![&one],
        ),
        (&format!("job_name=two&job-id={one}"), vec![]),
    ] {
        let (ids, total) = dli.list("p1", query).await;
        assert_eq!((ids.iter().collect::<Vec<_>>(), total), (wanted.clone(), wanted.len() as u64), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_shows_its_own_batches_and_those_of_none() {
    let dli = Dli::new();
    let own = dli.create("p1", json!({"file": "a.py"})).await;
    let livys = dli.house.ask(&Ask::send(Method::POST, "/batches", json!({"file": "/srv/a.py"}))).await.json();
    let ordinal = u32::try_from(livys["id"].as_u64().expect("an integer")).expect("a small one");
    let unscoped = dli.house.native(BatchRef::Ordinal(ordinal)).await;
    let unscoped = dli.house.ids(&unscoped).await.uuid.to_string();
    assert_eq!(dli.list("p1", "").await.0, [unscoped.clone(), own.clone()]);
    assert_eq!(dli.list("p2", "").await.0, std::slice::from_ref(&unscoped));
    dli.ask(Ask::get(at("p2", &unscoped, ""))).await.json();
    assert_eq!(dli.failure(Ask::get(at("p2", &own, ""))).await, code(404, "DLI.0023"));
    for ask in [Ask::get(at("p2", &own, "/state")), Ask::get(at("p2", &own, "/log")), Ask::delete(at("p2", &own, ""))] {
        assert_eq!(dli.failure(ask).await, code(400, "DLI.0002"));
    }
    assert_eq!(
        dli.ask(Ask::get(at("p1", &own, "/state"))).await.json()["state"],
        "starting",
        "nobody has cancelled it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_batch_is_dead_and_stays_readable() {
    let dli = Dli::new();
    let id = dli.create("p1", json!({"file": "a.py", "sc_type": "B"})).await;
    assert_eq!(dli.ask(Ask::delete(at("p1", &id, ""))).await.json(), json!({"msg": "deleted"}));
    assert_eq!(dli.ask(Ask::get(at("p1", &id, "/state"))).await.json(), json!({"id": id, "state": "dead"}));
    assert_eq!(dli.failure(Ask::delete(at("p1", &id, ""))).await, code(400, "DLI.0007"));
    let shown = dli.ask(Ask::get(at("p1", &id, ""))).await.json();
    assert_eq!(
        (&shown["state"], &shown["sc_type"], &shown["owner"]),
        (&json!("dead"), &json!("B"), &json!("anonymous"))
    );
    for key in ["create_time", "update_time"] {
        assert_eq!(shown[key].as_i64().map(|at| at.to_string().len()), Some(13), "{key} of {shown}");
    }
    assert_eq!(dli.list("p1", "state=dead").await, (vec![id], 1));
}

/// A letter's sizes went along, and packages by another name are packages.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_dli_has_a_word_for_is_lost_where_it_said_something() {
    let dli = Dli::over(MemoryBackend::new("here", Arc::new(SystemClock)).losing(&[Field::Extension]));
    let create = |member: &str, value: Value| {
        let body = json!({"file": "a.py", member: value});
        Ask::send(Method::POST, "/v2.0/p1/batches".to_owned(), body)
    };
    for (member, value) in [("sc_type", json!("B")), ("feature", json!("basic")), ("max_retry_times", json!(3))] {
        let answer = dli.ask(create(member, value)).await;
        assert_eq!((answer.status, answer.headers.get("batchlingua-unmapped")), (200, None), "{member}");
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        let shown = dli.ask(Ask::get(at("p1", &id, ""))).await.json();
        let echoed = if member == "max_retry_times" { "maxRetryTimes" } else { member };
        assert!(shown["req_body"].as_str().is_some_and(|body| body.contains(echoed)), "{shown}");
    }
    for (member, value) in
        [("spark_version", json!("3.3.1")), ("modules", json!(["sys.datasource.css"])), ("x", json!(1))]
    {
        let answer = dli.ask(create(member, value)).await;
        assert_eq!(answer.headers["batchlingua-unmapped"], format!("extension:{member}"), "{answer:?}");
    }
    for (member, value) in [
        ("resources", json!([{"name": "g/lib.jar", "type": "jar"}])),
        ("groups", json!([{"name": "g", "resources": [{"name": "lib.jar", "type": "jar"}]}])),
    ] {
        let answer = dli.ask(create(member, value)).await;
        let told = String::from_utf8_lossy(&answer.bytes);
        assert!(answer.status == 400 && told.contains("DLI.0007"), "{told}");
        assert!(told.contains(&format!("'extension:{member}'")), "{told}");
    }
    assert_eq!(dli.list("p1", "size=0").await.1, 6, "nothing of what was refused is left");
}

/// What is kept is masked, and only that is shown again.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_echoed_without_its_secrets() {
    let dli = Dli::new();
    let body = json!({
        "file": "a.py", "args": ["--password", "hunter2"], "conf": {"spark.x.secret.key": "hunter2"}, "my_token": "hunter2",
    });
    let id = dli.create("p1", body).await;
    for ask in [Ask::get(at("p1", &id, "")), Ask::get("/v2.0/p1/batches")] {
        let answer = dli.ask(ask).await;
        assert!(!answer.text().contains("hunter2") && answer.text().contains("my_token"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_in_its_own_words() {
    let dli = Dli::new();
    for (ask, told) in [
        (Ask::get("/v2.0/p1/batches/"), code(404, "APIGW.0101")),
        (Ask::send(Method::PUT, "/v2.0/p1/batches", json!({})), code(404, "APIGW.0101")),
        (Ask::get("/v2.0/%7Bproject_id%7D/batches"), code(400, "DLI.0001")),
        (Ask::get(at("p1", "7", "")), code(400, "DLI.0001")),
        (Ask::send(Method::POST, "/v2.0/p1/batches", json!([])), code(400, "DLI.0001")),
    ] {
        assert_eq!(dli.failure(ask.clone()).await, told, "{ask:?}");
    }
}
