//! What is asked: bodies, projects, ids, paths.

use batchlingua_core::{
    Action, BatchRef, BatchSpec, BatchState, Detail, FieldClass, Operation, Outcome, Project, Replay, Size,
};
use batchlingua_wire::{Coding, Dialect, RequestHead, encode_body};
use serde_json::{Value, json};

use super::*;
use crate::support::{enter, face, refused};

#[test]
fn both_spellings_are_the_same_batch() {
    let camel = spec(
        r#"{"file": "obs://b/a.py", "className": "C", "queue": "Q1", "args": ["1"], "jars": ["j"], "pyFiles": ["p"],
        "files": ["f"], "archives": ["z"], "conf": {"k": "v"}, "name": "n", "driverMemory": "2G", "driverCores": 1,
        "executorMemory": "3G", "executorCores": 2, "numExecutors": 4, "autoRecovery": true, "maxRetryTimes": 3}"#,
    );
    let snake = spec(
        r#"{"args": ["1"], "archives": ["z"], "auto_recovery": true, "class_name": "C", "cluster_name": "q1",
        "conf": {"k": "v"}, "driver_cores": 1, "driver_memory": "2G", "executor_cores": 2, "executor_memory": "3G",
        "file": "obs://b/a.py", "files": ["f"], "jars": ["j"], "max_retry_times": 3, "name": "n", "num_executors": 4,
        "python_files": ["p"]}"#,
    );
    assert_eq!(camel, snake);
    assert_eq!((camel.queue.as_deref(), camel.executors), (Some("q1"), Some(4)));
    assert_eq!(camel.extensions, [extension("auto_recovery", "true"), extension("max_retry_times", "3")]);
    let both =
        spec(r#"{"file": "a.jar", "class_name": "Old", "className": "New", "pyFiles": null, "python_files": ["p"]}"#);
    assert_eq!((both.class_name.as_deref(), both.py_files.join(",")), (Some("New"), "p".to_owned()));
    let doubled = spec(r#"{"file": "a.jar", "name": "one", "name": "two"}"#);
    assert_eq!(doubled.name.as_deref(), Some("two"), "the last of a doubled member");
}

#[test]
fn what_says_nothing_is_left_out() {
    let bare = spec(r#"{"file": "a.jar"}"#);
    let said = spec(
        r#"{"file": "a.jar", "class_name": "", "queue": "", "cluster_name": null, "name": "", "driverMemory": "",
        "driver_cores": 0, "numExecutors": 0, "sc_type": "", "modules": [], "resources": [], "groups": [],
        "auto_recovery": false, "feature": "", "image": "", "x": null, "args": null, "conf": null}"#,
    );
    assert_eq!(said, bare);
    assert_eq!(bare, BatchSpec { file: Some("a.jar".into()), ..BatchSpec::default() });
}

#[test]
fn what_the_model_has_no_place_for_is_kept_as_it_is_written() {
    let body = r#"{"zeta": [1.50, {"a": null}], "file": "a.jar", "feature": "custom", "image": "o/i:1", "alpha": "ü",
        "groups": [{"name": "g", "resources": [{"name": "r", "type": "jar"}]}], "sc_type": "B", "zeta": 1e2}"#;
    let wanted = [
        extension("sc_type", "\"B\""),
        extension("groups", r#"[{"name": "g", "resources": [{"name": "r", "type": "jar"}]}]"#),
        extension("feature", "\"custom\""),
        extension("image", "\"o/i:1\""),
        extension("alpha", "\"ü\""),
        extension("zeta", "1e2"),
    ];
    assert_eq!(spec(body).extensions, wanted);
}

#[test]
fn what_is_lost_elsewhere_is_what_was_said() {
    let (placement, essential) = (Some(FieldClass::Placement), Some(FieldClass::Essential));
    let packages = r#"[{"name": "r", "type": "jar"}]"#;
    for (members, name, lost) in [
        (r#""sc_type": "B""#.to_owned(), "sc_type", None),
        (r#""feature": "basic""#.to_owned(), "feature", None),
        (r#""feature": "ai""#.to_owned(), "feature", placement),
        (r#""maxRetryTimes": 3"#.to_owned(), "max_retry_times", None),
        (r#""minRecoveryDelayTime": 3"#.to_owned(), "minRecoveryDelayTime", None),
        (r#""maxRetryTimes": 3, "autoRecovery": true"#.to_owned(), "max_retry_times", placement),
        (r#""maxRetryTimes": 3, "autoRecovery": true"#.to_owned(), "auto_recovery", placement),
        (r#""modules": ["sys.datasource.css"]"#.to_owned(), "modules", placement),
        (format!(r#""resources": {packages}"#), "resources", essential),
        (format!(r#""groups": [{{"name": "g", "resources": {packages}}}]"#), "groups", essential),
        (r#""modelFiles": ["m"]"#.to_owned(), "modelFiles", essential),
        (r#""unheard_of": 1"#.to_owned(), "unheard_of", placement),
    ] {
        let spec = spec(&format!(r#"{{"file": "a.jar", {members}}}"#));
        assert!(spec.extensions.iter().any(|extension| extension.name == name), "{members}");
        assert_eq!(dialect(json!({})).loss_of(name, &spec), lost, "{members}: {name}");
    }
}

#[test]
fn conf_takes_scalars_as_they_are_spelled() {
    let conf = spec(r#"{"file": "a.jar", "conf": {"a": 16, "b": true, "c": 1.50, "d": "x", "a": "17"}}"#).conf;
    assert_eq!(conf.iter().collect::<Vec<_>>(), [("a", "17"), ("b", "true"), ("c", "1.50"), ("d", "x")]);
}

#[test]
fn a_letter_becomes_sizes_and_sizes_of_its_own_are_customized() {
    let sizes = |spec: &BatchSpec| (spec.driver.clone(), spec.executor.clone(), spec.executors);
    let size = |memory: &str, cores| Size { memory: Some(memory.to_owned()), cores: Some(cores) };
    let lettered = spec(r#"{"file": "a.jar", "sc_type": "C"}"#);
    assert_eq!(sizes(&lettered), (size("15G", 4), size("8G", 2), Some(14)));
    let mixed = spec(r#"{"file": "a.jar", "sc_type": "A", "executorMemory": "9G"}"#);
    assert_eq!(sizes(&mixed), (size("7G", 2), size("9G", 1), Some(6)));
    assert_eq!(mixed.extensions, [], "the letter has said all that it can say");
    let matching = r#"{"file": "a.jar", "sc_type": "A", "driverCores": 2, "driverMemory": "7G", "executorCores": 1,
        "executorMemory": "4G", "numExecutors": 6}"#;
    let plain = spec(r#"{"file": "a.jar"}"#);
    assert_eq!(sizes(&plain), (Size::default(), Size::default(), None));
    for (spec, word) in [(lettered, "C"), (mixed, "CUSTOMIZED"), (spec(matching), "CUSTOMIZED"), (plain, "A")] {
        let shown = encoded(&call("GET"), Outcome::Batch(Arc::new(batch(BatchState::Running, spec)))).json();
        assert_eq!(shown["sc_type"], word);
    }
}

#[test]
fn queue_is_stronger_than_cluster_name_and_the_default_than_none() {
    let queue = |settings: Value, body: &str| submission(settings, &create(body)).spec.queue;
    let none = || json!({});
    assert_eq!(queue(none(), r#"{"file": "a", "queue": "Q", "cluster_name": "_"}"#).as_deref(), Some("q"));
    assert_eq!(queue(none(), r#"{"file": "a"}"#), None);
    let default = json!({"default_queue": "Main"});
    assert_eq!(queue(default.clone(), r#"{"file": "a"}"#).as_deref(), Some("main"));
    assert_eq!(queue(default, r#"{"file": "a", "cluster_name": "c"}"#).as_deref(), Some("c"));
}

#[test]
fn a_create_has_the_paths_project_and_the_clients_key() {
    let headers =
        [("Idempotency-Key", "k1"), ("X-Project-Id", "p1"), ("Content-Type", "application/json; charset=utf-8")];
    let made = submission(json!({}), &typed("POST /v2.0/p1/batches", &headers, b"\xef\xbb\xbf{\"file\": \"a\"}\n"));
    assert_eq!((made.project, made.unique_name), (Some(Project::from("p1")), false));
    let key = made.key.expect("a key");
    assert_eq!((key.value.as_str(), key.replay), ("k1", Replay::FirstAnswer));
}

/// The body, and words of what its client is told.
const WRONG_BODIES: &[(&str, &str)] = &[
    ("", "the body is empty"),
    ("[]", "not a list"),
    ("null", "not null"),
    ("\"secret\"", "not a text"),
    ("{\"file\": \"a\"", "must be a JSON object"),
    ("{\"file\": \"a\"} {}", "something follows it"),
    ("{}", "'file' is missing"),
    (r#"{"file": ""}"#, "'file' is missing"),
    (r#"{"file": null}"#, "'file' is missing"),
    (r#"{"file": 1}"#, "'file' must be a text, not 1"),
    (r#"{"file": "a\ud800"}"#, "'file' cannot be read"),
    (r#"{"file": "a", "class_name": []}"#, "'class_name' must be a text, not a list"),
    (r#"{"file": "a", "args": "x"}"#, "'args' must be a list of texts, not a text"),
    (r#"{"file": "a", "args": ["x", 1]}"#, "'args[1]' must be a text, not 1"),
    (r#"{"file": "a", "python_files": [null]}"#, "'python_files[0]' must be a text, not null"),
    (r#"{"file": "a", "archives": {}}"#, "'archives' must be a list of texts, not an object"),
    (r#"{"file": "a", "conf": []}"#, "'conf' must be an object of texts, not a list"),
    (r#"{"file": "a", "conf": {"k": {}}}"#, "'conf.k' must be a text, not an object"),
    (r#"{"file": "a", "conf": {"k": null}}"#, "'conf.k' must be a text, not null"),
    (r#"{"file": "a", "driverCores": "2"}"#, "'driverCores' must be a whole number from 0 to 2147483647, not a text"),
    (r#"{"file": "a", "driver_cores": -1}"#, "'driver_cores' must be a whole number"),
    (r#"{"file": "a", "executorCores": 1.0}"#, "'executorCores' must be a whole number"),
    (r#"{"file": "a", "numExecutors": 2147483648}"#, "'numExecutors' must be a whole number"),
    (r#"{"file": "a", "numExecutors": 99999999999999999999999999}"#, "not a number of so many digits"),
    (r#"{"file": "a", "driverMemory": "2"}"#, "'driverMemory' must be a number with a unit"),
    (r#"{"file": "a", "executor_memory": "much"}"#, "'executorMemory' must be a number with a unit"),
    (r#"{"file": "a", "sc_type": "D"}"#, "'sc_type' must be"),
    (r#"{"file": "a", "sc_type": 1}"#, "'sc_type' must be a text"),
    (r#"{"file": "a", "queue": "_q"}"#, "'queue' must be 1 to 128"),
    (r#"{"file": "a", "cluster_name": "12"}"#, "'cluster_name' must be 1 to 128"),
    (r#"{"file": "a", "modules": "x"}"#, "'modules' must be a list of texts"),
    (r#"{"file": "a", "resources": {}}"#, "'resources' must be a list of objects"),
    (r#"{"file": "a", "resources": ["x"]}"#, "'resources[0]' must be an object"),
    (r#"{"file": "a", "resources": [{"name": 1}]}"#, "'resources[0].name' must be a text"),
    (
        r#"{"file": "a", "groups": [{"name": "g", "resources": [{"type": 1}]}]}"#,
        "'groups[0].resources[0].type' must be",
    ),
    (r#"{"file": "a", "auto_recovery": "true"}"#, "'auto_recovery' must be true or false"),
    (r#"{"file": "a", "maxRetryTimes": 101}"#, "'maxRetryTimes' must be a whole number from 0 to 100"),
    (r#"{"file": "a", "minRecoveryDelayTime": -1}"#, "'minRecoveryDelayTime' must be a whole number"),
    (r#"{"file": "a", "feature": "gold"}"#, "'feature' must be"),
    (r#"{"file": "a", "feature": "custom"}"#, "'image' is missing"),
    (r#"{"file": "a", "spark_version": 3}"#, "'spark_version' must be a text, not 3"),
    (r#"{"file": "a", "obs_bucket": true}"#, "'obs_bucket' must be a text, not true"),
];

#[test]
fn what_is_wrong_with_a_body_is_told_by_the_clients_own_name_for_it() {
    let dialect = dialect(json!({}));
    for (body, told) in WRONG_BODIES {
        let answer = refused(&dialect, &create(body));
        assert_eq!(answer.failure(), (400, "DLI.0001".to_owned()), "{body}");
        let message = answer.message();
        assert!(message.contains(told), "{body}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let name = |length: usize| create(&json!({"file": "a", "name": "ü".repeat(length)}).to_string());
    asks(&dialect, &name(128));
    assert!(refused(&dialect, &name(129)).message().contains("'name' must have at most 128"));
    let deep = create(&format!("{{\"file\": \"a\", \"x\": {}{}}}", "[".repeat(64), "]".repeat(64)));
    assert!(refused(&dialect, &deep).message().contains("deeper than 64"));
}

#[test]
fn bodies_are_unpacked_up_to_the_limit() {
    let dialect = dialect(json!({"max_body": "1KiB"}));
    let body = |filler: usize| format!("{{\"file\":\"/a.py\",\"args\":[\"{}\"]}}", "x".repeat(filler)).into_bytes();
    let post = |coding: &str, body: &[u8]| typed("POST /v2.0/p/batches", &[("Content-Encoding", coding)], body);
    asks(&dialect, &post("gzip", &encode_body(Coding::Gzip, &body(900))));
    for request in [post("gzip", &encode_body(Coding::Gzip, &body(2_000))), post("identity", &body(2_000))] {
        assert_eq!(refused(&dialect, &request).failure(), (413, "APIGW.0201".to_owned()));
    }
    let broken = refused(&dialect, &post("gzip", b"plain"));
    assert_eq!(broken.failure(), (400, "DLI.0001".to_owned()));
    assert!(broken.message().contains("Content-Encoding"), "{}", broken.message());
}

#[test]
fn a_project_is_well_formed_and_the_same_everywhere() {
    let dialect = dialect(json!({}));
    for path in ["%7Bproject_id%7D", "a-b", "a%2Fb", "x".repeat(65).as_str()] {
        let answer = refused(&dialect, &typed(&format!("GET /v2.0/{path}/batches"), &[], b""));
        assert_eq!(answer.failure(), (400, "DLI.0001".to_owned()), "{path}");
    }
    let with = |project: &str| typed("GET /v2.0/p1/batches", &[("X-Project-Id", project)], b"");
    let other = refused(&dialect, &with("p2"));
    assert_eq!(other.failure(), (403, "APIGW.0302".to_owned()));
    assert_eq!(other.json()["request_id"], "r-1");
    asks(&dialect, &with("p1"));
    asks(&dialect, &with(""));
    let (head, _) = enter(&dialect, face(false), &with("p1")).expect("a call");
    assert_eq!(dialect.project(&head), Some(Project::from("p1")));
}

#[test]
fn ids_are_uuids_of_36_characters() {
    let dialect = dialect(json!({}));
    for (line, rest) in [("GET", ""), ("DELETE", ""), ("GET", "/state"), ("GET", "/log")] {
        let at = |id: &str| typed(&format!("{line} /v2.0/p1/batches/{id}{rest}"), &[], b"");
        let (_, operation) = asks(&dialect, &at(&ID.to_uppercase()));
        let wanted = BatchRef::Uuid(ID.parse().expect("a uuid"));
        match operation {
            Operation::Get(id, detail) => {
                assert_eq!((id, detail == Detail::State), (wanted, rest == "/state"));
            }
            Operation::Log(id, _) => assert_eq!(id, wanted),
            Operation::Control(selection, action) => {
                assert_eq!((selection.ids, action), (vec![wanted], Action::Cancel))
            }
            other => panic!("{other:?}"),
        }
        for id in ["7", "5f0e7a521c3b4d779a102b6f4c8d9e01", "mem-0", "..%2F.."] {
            assert_eq!(refused(&dialect, &at(id)).failure(), (400, "DLI.0001".to_owned()), "{line} {id}{rest}");
        }
    }
}

#[test]
fn there_are_six_calls_and_no_others() {
    let dialect = dialect(json!({}));
    for line in [
        "GET /v2.0/p1/batches/",
        "GET /v2.0/p1",
        "GET /v2.0",
        "POST /v2.0//batches",
        &format!("GET /v2.0/p1/batches/{ID}/"),
        &format!("GET /v2.0/p1/batches/{ID}/nosuch"),
        "GET /v2.0/p1/jobs",
    ] {
        let answer = refused(&dialect, &typed(line, &[], b""));
        assert_eq!(answer.failure(), (404, "APIGW.0101".to_owned()), "{line}");
    }
    for (line, allowed) in [("PUT /v2.0/p1/batches", "POST, GET"), (&call("POST"), "GET, DELETE")] {
        let answer = refused(&dialect, &typed(line, &[], b""));
        assert_eq!(
            (answer.failure(), &answer.headers["allow"]),
            ((404, "APIGW.0101".to_owned()), &allowed.parse().expect("a value"))
        );
    }
}

#[test]
fn only_its_own_paths_are_claimed() {
    let dialect = dialect(json!({}));
    let claims = |path: &str| {
        let (parts, ()) = http::Request::get(path).body(()).expect("a request").into_parts();
        dialect.claims(&RequestHead::new("r".into(), &parts, face(false).into()).expect("a target"))
    };
    for path in ["/v2.0/p/batches", "/v2.0/p/batches/7/state", "/v2.0", "/v2.0/p/jobs"] {
        assert!(claims(path), "{path}");
    }
    for path in ["/", "/batches", "/v2.01/p/batches", "/v2/p/batches", "/x/v2.0/p/batches", "/kylin/api/jobs"] {
        assert!(!claims(path), "{path}");
    }
}
