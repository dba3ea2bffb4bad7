//! What is shown of batches, logs and cancels.

use std::sync::Arc;

use batchlingua_core::{
    BatchSpec, BatchState, Controlled, Effect, Error, ErrorKind, Extension, Log, LogBody, Millis, Missing, Notes,
    Outcome, Page, Principal, Reply, Size,
};
use batchlingua_testkit::ManualClock;
use batchlingua_wire::Dialect;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_batch_has_the_types_that_clients_can_read() {
    let mut one = batch(BatchState::Running, spec(r#"{"file": "a.py", "queue": "q", "args": ["ü"], "feature": "ai"}"#));
    one.owner = Some(Principal::unverified("ana"));
    one.times.created = Millis(1_767_225_600_123);
    one.times.modified = Millis(1_767_225_601_123);
    one.times.started = Some(Millis(1_767_225_601_000));
    one.log_tail = (0..12).map(|n| n.to_string()).collect();
    let one = Arc::new(one);
    let created = encoded("POST /v2.0/p1/batches", Outcome::Submitted { batch: one.clone(), replayed: false });
    let shown = encoded(&call("GET"), Outcome::Batch(one.clone()));
    let clock = Arc::new(ManualClock::new(Millis(1_767_225_661_000)));
    let dialect = crate::support::dialect_at(clock);
    let (head, _) = asks(&dialect, &typed("GET /v2.0/p1/batches?from=3", &[], b""));
    let page = Outcome::Page(Page { rows: vec![one], total: Some(4), next: None });
    let list = Answer::of(dialect.encode(&head, &Reply { outcome: page, notes: Notes::default() })).json();
    assert_eq!(
        (&list["from"], &list["total"], list["sessions"].as_array().map(Vec::len)),
        (&json!(3), &json!(4), Some(1))
    );
    let (created, shown, listed) = (created.json(), shown.json(), list["sessions"][0].clone());
    for object in [&created, &shown, &listed] {
        assert_eq!(
            (&object["id"], &object["state"], &object["kind"]),
            (&json!(ID), &json!("running"), &json!("spark"))
        );
        assert_eq!(
            (&object["queue"], &object["cluster_name"], &object["owner"]),
            (&json!("q"), &json!("q"), &json!("ana"))
        );
        assert_eq!(
            (&object["create_time"], &object["update_time"]),
            (&json!(1_767_225_600_123_i64), &json!(1_767_225_601_123_i64))
        );
        assert_eq!(object["log"].as_array().map(|lines| (lines.len(), lines[0].clone())), Some((10, json!("2"))));
        assert_eq!((&object["name"], &object["proxyUser"], &object["image"]), (&json!(""), &json!(""), &json!("")));
    }
    assert_eq!((&created["appId"], &shown["appId"], &listed["appId"]), (&json!(""), &json!(""), &Value::Null));
    assert_eq!((created.get("req_body"), created.get("duration"), shown.get("duration")), (None, None, None));
    assert_eq!((&listed["duration"], listed.get("feature")), (&json!(60_000), None));
    assert_eq!((&shown["feature"], &shown["spark_version"]), (&json!("ai"), &json!("")));
    assert_eq!(shown["req_body"], listed["req_body"]);
    let echo = r#"{"file":"a.py","className":"","args":["ü"],"jars":[],"pyFiles":[],"files":[],"modelFiles":[],"resources":[],"modules":[],"groups":[],"archives":[],"queue":"q","name":"","conf":{},"feature":"ai"}"#;
    assert_eq!(shown["req_body"], echo);
}

#[test]
fn a_request_is_echoed_so_that_it_can_be_sent_again() {
    for body in [
        r#"{"file": "a.jar", "class_name": "C", "cluster_name": "Q", "sc_type": "B", "auto_recovery": true, "max_retry_times": 3,
            "resources": [{"name": "r", "type": "jar"}], "conf": {"k": 1}, "x": {"y": [1.50]}, "catalog_name": "dli"}"#,
        r#"{"file": "a.jar", "sc_type": "B", "driver_cores": 3, "num_executors": 5, "args": ["--a", "b"]}"#,
        r#"{"file": "a.py", "name": "n", "spark_version": "3.3.1", "modules": ["sys.datasource.rds"], "archives": ["z"]}"#,
    ] {
        let first = spec(body);
        let shown = encoded(&call("GET"), Outcome::Batch(Arc::new(batch(BatchState::Running, first.clone())))).json();
        let echo = shown["req_body"].as_str().expect("a text");
        assert_eq!(spec(echo), first, "{echo}");
        assert!(!echo.contains("auto_recovery") && !echo.contains("class_name"), "{echo}");
    }
}

#[test]
fn a_batch_of_another_dialect_is_shown_as_one_of_this() {
    let spec = BatchSpec {
        file: Some("/a.py".into()),
        queue: Some("Root.ETL".into()),
        run_as: Some("bo".into()),
        driver: Size { memory: None, cores: Some(1) },
        extensions: vec![Extension { dialect: "kylin".into(), name: "image".into(), value: "\"x\"".into() }],
        ..BatchSpec::default()
    };
    let mut ended = batch(BatchState::Cancelled, spec);
    (ended.times.created, ended.times.modified, ended.times.ended) = (Millis(5), Millis(90), Some(Millis(40)));
    ended.app.id = Some("application_1".into());
    let shown = encoded(&call("GET"), Outcome::Batch(Arc::new(ended))).json();
    let texts =
        ["queue", "proxyUser", "sc_type", "image", "state", "appId"].map(|key| shown[key].as_str().unwrap_or("none"));
    assert_eq!(texts, ["root.etl", "bo", "CUSTOMIZED", "", "dead", "application_1"]);
    assert_eq!(shown["update_time"], 40, "the end");
    assert_eq!(shown["owner"], "");
}

#[test]
fn a_state_is_its_id_and_word_alone() {
    for state in BatchState::ALL {
        let answer =
            encoded(&format!("{}/state", call("GET")), Outcome::Batch(Arc::new(batch(state, BatchSpec::default()))));
        assert_eq!(answer.json(), json!({"id": ID, "state": crate::state::word(state)}));
    }
}

#[test]
fn cancelling_tells_what_came_of_it() {
    let id = || batch(BatchState::Running, BatchSpec::default()).id;
    let cancelled = |result| {
        let controlled = Controlled { id: id(), before: BatchState::Running, result, after: None };
        encoded(&call("DELETE"), Outcome::Controlled(vec![controlled]))
    };
    for effect in [Effect::Accepted, Effect::Ended(BatchState::Cancelled), Effect::NothingToDo] {
        let answer = cancelled(Ok(effect));
        assert_eq!((answer.status, answer.json()), (200, json!({"msg": "deleted"})), "{effect:?}");
    }
    let late = cancelled(Ok(Effect::AlreadyEnded(BatchState::Succeeded)));
    assert_eq!(late.failure(), (400, "DLI.0007".to_owned()));
    assert!(late.message().contains("(success)"), "{}", late.message());
    assert_eq!(cancelled(Err(Error::no_batch(ID))).failure(), (400, "DLI.0002".to_owned()));
    assert_eq!(encoded(&call("DELETE"), Outcome::Controlled(Vec::new())).failure(), (400, "DLI.0002".to_owned()));
}

#[test]
fn a_log_is_numbers_and_lines() {
    let log = |from, total, lines: &[&str]| {
        let body = LogBody::Lines(lines.iter().map(|line| (*line).to_owned()).collect());
        let id = batch(BatchState::Running, BatchSpec::default()).id;
        encoded(&format!("{}/log", call("GET")), Outcome::Log(id, Log { from, total, body, native: None })).json()
    };
    assert_eq!(log(3, Some(9), &["a", ""]), json!({"id": ID, "from": 3, "total": 9, "log": ["a", ""]}));
    assert_eq!(log(3, None, &["a"])["total"], 4);
    let dialect = dialect(json!({}));
    let missing = |query: &str| {
        let (head, _) = asks(&dialect, &typed(&format!("{}/log{query}", call("GET")), &[], b""));
        let error = Error::new(ErrorKind::NotFound(Missing::Log), "there is none");
        Answer::of(dialect.encode_error(&head, &error))
    };
    assert_eq!(missing("?size=5").json(), json!({"id": ID, "from": 0, "total": 0, "log": []}));
    assert_eq!(missing("?index=3").failure(), (400, "DLI.0002".to_owned()));
}
