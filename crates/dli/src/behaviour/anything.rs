//! Whatever comes, it is taken or refused in words, and what is taken can be shown.

use std::sync::Arc;

use batchlingua_core::{BatchSpec, BatchState, Millis, Operation, Outcome, Page};
use batchlingua_wire::RequestHead;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::support::{Made, face, make};

/// Values of every kind under every name, most of them wrong.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..9_i32).prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        "([0-9]{1,3}[GMgm]?|[a-cA-C]|[a-z_0-9]{0,8})".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("(name|type|resources|[a-z]{0,3})", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let names = vec![
        "className",
        "class_name",
        "queue",
        "cluster_name",
        "args",
        "sc_type",
        "jars",
        "pyFiles",
        "python_files",
        "conf",
        "modules",
        "resources",
        "groups",
        "name",
        "driverMemory",
        "driver_cores",
        "executorMemory",
        "numExecutors",
        "auto_recovery",
        "maxRetryTimes",
        "feature",
        "image",
        "minRecoveryDelayTime",
        "archives",
        "ttl",
        "",
    ];
    let members = proptest::collection::vec((proptest::sample::select(names), value), 0..5);
    let object = members.prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{\"file\":\"a.py\"{}}}", members.concat()).into_bytes()
    });
    prop_oneof![4 => object, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_body_is_taken_or_refused_in_words(body in bodies(), cut in 0..60_usize) {
        let dialect = dialect(json!({}));
        let body = if cut < 40 { &body[..] } else { &body[..body.len().min(cut)] };
        match make(&dialect, &typed("POST /v2.0/p1/batches", &[], body)) {
            Made::Answer(answer) => prop_assert_eq!(answer.failure(), (400, "DLI.0001".to_owned())),
            Made::Asks(_, Operation::Submit(submission)) => {
                // What is taken can be shown, and the echo of it taken again for the same.
                let shown = encoded(&call("GET"), Outcome::Batch(Arc::new(batch(BatchState::Queued, submission.spec.clone()))));
                let echo = shown.json()["req_body"].as_str().expect("a text").to_owned();
                prop_assert_eq!(spec(&echo), submission.spec, "{}", echo);
            }
            Made::Asks(_, other) => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_path_and_query_is_answered_or_asks(
        path in "(/v2.0/p[a-z%{}]{0,3}/batches|/v2.0/[a-z/]{0,9})(/[0-9a-f-]{0,36}(/state|/log)?)?",
        query in "((from|size|state|order|job-id|queue_name|type|index|start)=(-?[0-9]{0,20}|[a-zA-Z_%&=]{0,9})&){0,3}",
    ) {
        let dialect = dialect(json!({}));
        let line = format!("GET {path}?{query}");
        let readable = http::Request::get(format!("{path}?{query}")).body(()).ok().map(|request| request.into_parts().0);
        let readable = readable.and_then(|parts| RequestHead::new("r".into(), &parts, face(false).into())).is_some();
        if readable && let Made::Answer(answer) = make(&dialect, &typed(&line, &[], b"")) {
            prop_assert!(matches!(answer.failure().0, 400 | 404), "{:?}", answer);
        }
    }

    #[test]
    fn any_batch_is_shown_with_the_types_that_clients_can_read(
        texts in proptest::collection::vec(proptest::option::of(any::<String>()), 6),
        tail in proptest::collection::vec(any::<String>(), 0..14),
        times in proptest::collection::vec(any::<i64>(), 4),
        state in proptest::sample::select(BatchState::ALL.to_vec()),
        raw in "[\"{}\\[\\]a-z0-9:,]{0,12}",
    ) {
        let spec = BatchSpec {
            file: texts[0].clone(),
            name: texts[1].clone(),
            queue: texts[2].clone(),
            run_as: texts[3].clone(),
            class_name: texts[4].clone(),
            extensions: vec![extension("image", &raw), extension(&raw, &raw)],
            ..BatchSpec::default()
        };
        let mut one = batch(state, spec);
        one.app.id = texts[5].clone();
        one.log_tail = tail.clone();
        (one.times.created, one.times.modified) = (Millis(times[0]), Millis(times[1]));
        (one.times.started, one.times.ended) = (Some(Millis(times[2])), Some(Millis(times[3])));
        let page = Page { rows: vec![Arc::new(one)], total: None, next: None };
        let json = encoded("GET /v2.0/p1/batches", Outcome::Page(page)).json();
        let shown = &json["sessions"][0];
        for key in ["id", "state", "name", "owner", "proxyUser", "kind", "sc_type", "cluster_name", "queue", "image"] {
            prop_assert!(shown[key].is_string(), "{} {}", key, shown);
        }
        for key in ["create_time", "update_time", "duration"] {
            prop_assert!(shown[key].is_i64(), "{} {}", key, shown);
        }
        prop_assert!(shown["appId"].is_string() || shown["appId"].is_null());
        prop_assert!(shown["duration"].as_i64() >= Some(0));
        let lines: Vec<&str> = tail.iter().skip(tail.len().saturating_sub(10)).map(String::as_str).collect();
        prop_assert_eq!(&shown["log"], &json!(lines));
        let echo: Value = serde_json::from_str(shown["req_body"].as_str().expect("a text")).expect("JSON");
        prop_assert_eq!(&echo["file"], &json!(texts[0].clone().unwrap_or_default()));
    }
}
