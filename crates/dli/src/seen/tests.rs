//! Objects in every form that the reference knows.

use serde_json::{Value, json};

use super::*;
use crate::settings::Scope;

const ID: &str = "5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01";
const MARKED: &str = "00000000-0000-0000-0000-000000000007";

fn reader(echo: Echo) -> Reader {
    Reader::new(Scope { own: Some("p1".into()), is_clients: false, others: Vec::new() }, echo)
}

fn seen(object: &Value) -> Batch<NativeId> {
    reader(Echo::Conf).batch(&"p1".into(), object.to_string().as_bytes(), Extent::Whole).expect("a batch")
}

#[test]
fn an_object_is_read_whole() {
    let request = json!({"file": "obs://b/a.jar", "className": "C", "args": ["1"], "autoRecovery": true, "queue": "q", "name": "n",
        "conf": {"k": "v", "spark.batchlingua.id": MARKED}});
    let batch = seen(
        &json!({"id": ID, "state": "success", "appId": "application_1", "log": ["a", "b"], "queue": "Q", "name": "n",
        "owner": "ana", "create_time": 1_000, "update_time": 9_000, "duration": 5_000, "req_body": request.to_string()}),
    );
    assert_eq!((batch.id.as_str(), batch.state), (ID, BatchState::Succeeded));
    assert_eq!((batch.spec.file.as_deref(), batch.spec.class_name.as_deref()), (Some("obs://b/a.jar"), Some("C")));
    assert_eq!((batch.spec.queue.as_deref(), batch.spec.name.as_deref()), (Some("q"), Some("n")));
    assert_eq!(batch.spec.conf.iter().collect::<Vec<_>>(), [("k", "v")]);
    assert_eq!((batch.app.id.as_deref(), batch.log_tail.len()), (Some("application_1"), 2));
    assert_eq!(batch.owner.map(|owner| owner.name.to_string()).as_deref(), Some("ana"));
    let times = Times {
        created: Millis(1_000),
        started: Some(Millis(4_000)),
        ended: Some(Millis(9_000)),
        modified: Millis(9_000),
    };
    assert_eq!(batch.times, times);
}

#[test]
fn other_forms_are_read_and_what_is_of_no_form_is_none() {
    for (member, value, check) in [
        (
            "appId",
            json!(["application_1"]),
            (|batch| batch.app.id.as_deref() == Some("application_1")) as fn(&Batch<NativeId>) -> bool,
        ),
        ("appId", json!(""), |batch| batch.app.id.is_none()),
        ("appId", json!(7), |batch| batch.app.id.is_none()),
        ("log", json!("one"), |batch| batch.log_tail == ["one"]),
        ("log", json!({}), |batch| batch.log_tail.is_empty()),
        ("create_time", json!("1000"), |batch| batch.times.created == Millis(1_000)),
        ("create_time", json!("2026-01-01T00:00:00Z"), |batch| batch.times.created == Millis(0)),
        ("duration", json!(-5), |batch| batch.times.started.is_none()),
        ("cluster_name", json!("Etl"), |batch| batch.spec.queue.as_deref() == Some("etl")),
        ("req_body", json!({"file": "a.jar"}), |batch| batch.spec.file.as_deref() == Some("a.jar")),
        ("req_body", json!("no JSON"), |batch| batch.spec.file.is_none()),
        ("req_body", json!(null), |batch| batch.spec.file.is_none()),
        ("owner", json!(""), |batch| batch.owner.is_none()),
        ("state", json!("DEAD"), |batch| batch.state == BatchState::Failed),
        ("state", json!("recovering"), |batch| batch.state == BatchState::Running),
    ] {
        let mut object = json!({"id": ID, "state": "running"});
        object[member] = value;
        assert!(check(&seen(&object)), "{object}");
    }
}

#[test]
fn marks_are_found_in_every_form_of_conf() {
    let marks = |object: Value, echo| {
        let text = object.to_string();
        Object::read(text.as_bytes()).expect("an object").marks(echo)
    };
    let ours = vec![MARKED.parse::<Uuid>().expect("a uuid")];
    let with = |conf: Value| json!({"id": ID, "req_body": json!({"conf": conf}).to_string()});
    let inside = |conf: Value| json!({"id": ID, "req_body": {"conf": conf}});
    for object in [
        with(json!({"spark.batchlingua.id": MARKED})),
        inside(json!({"spark.batchlingua.id": MARKED})),
        with(json!(["a=b", format!("spark.batchlingua.id={MARKED}")])),
    ] {
        assert_eq!(marks(object, Echo::Conf), Some(ours.clone()));
    }
    for object in [with(json!({})), with(json!({"spark.batchlingua.id": "x"})), with(json!([]))] {
        assert_eq!(marks(object, Echo::Conf), Some(Vec::new()));
    }
    for object in [with(json!(null)), with(json!("x")), json!({"id": ID}), json!({"id": ID, "req_body": ""})] {
        assert_eq!(marks(object.clone(), Echo::Conf), None, "{object}: nobody can tell");
        assert_eq!(marks(object, Echo::Name), Some(Vec::new()));
    }
    assert_eq!(marks(json!({"id": ID, "name": format!("n-bl-{MARKED}")}), Echo::Name), Some(ours));
}

#[test]
fn a_batch_bears_the_mark_that_its_spec_has_lost() {
    let request = json!({"file": "a.jar", "conf": {"spark.batchlingua.id": MARKED}}).to_string();
    let named =
        json!({"id": ID, "state": "running", "name": format!("n-bl-{MARKED}"), "req_body": request}).to_string();
    let plain = json!({"id": ID, "state": "running", "name": "n", "req_body": r#"{"file": "a.jar"}"#}).to_string();
    let mark = |text: &str, echo, extent| {
        let batch = reader(echo).batch(&"p1".into(), text.as_bytes(), extent).expect("a batch");
        assert_eq!(batch.spec.conf.get("spark.batchlingua.id"), None);
        batch.mark
    };
    let ours = Some(MARKED.parse::<Uuid>().expect("a uuid"));
    for echo in [Echo::Conf, Echo::Name] {
        assert_eq!((mark(&named, echo, Extent::Whole), mark(&plain, echo, Extent::Whole)), (ours, None));
        assert_eq!(mark(&named, echo, Extent::State), None, "who asks for a state knows whose it is");
    }
}

#[test]
fn only_what_the_proxy_added_is_taken_out_of_an_object() {
    let request = format!(
        r#"{{"file": "a.jar", "n": 1.50, "conf": {{"a": 1e2, "spark.batchlingua.id": "{MARKED}", "b": "ü"}}}}"#
    );
    let object = format!(
        r#"{{ "z": 1.50,"id":"{ID}","state":"running","req_body":{}, "big": 123456789012345678901234567890 }}"#,
        serde_json::to_string(&request).expect("a text")
    );
    let native =
        |text: &str| reader(Echo::Conf).batch(&"p1".into(), text.as_bytes(), Extent::State).expect("a batch").native;
    let shown = String::from_utf8(native(&object).expect("an object").object.to_vec()).expect("text");
    let wanted = r#"{"file":"a.jar","n":1.50,"conf":{"a":1e2,"b":"ü"}}"#;
    let wanted = serde_json::to_string(wanted).expect("a text");
    assert_eq!(
        shown,
        format!(
            r#"{{"z":1.50,"id":"{ID}","state":"running","req_body":{wanted},"big":123456789012345678901234567890}}"#
        )
    );
    let foreign = object.replace("spark.batchlingua.id", "spark.other");
    assert_eq!(native(&foreign).expect("an object").object, foreign.as_bytes(), "not a byte of another's");
}
