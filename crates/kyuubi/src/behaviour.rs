//! What no recorded file shows: settings, cursors, what outranks what, who has not proven who he is, and that no request whatever gets past
//! both the model and an answer in Kyuubi's shapes.

use std::sync::Arc;

use batchlingua_core::{
    Action, Batch, BatchId, BatchRef, BatchSpec, BatchState, Controlled, Denial, Effect, Error, ErrorKind, Lines, Log,
    LogBody, Missing, Notes, Operation, Outcome, Page, Principal, Purpose, Reply, Submission, Unproven, Uuid,
};
use batchlingua_wire::{Dialect, Face, Miss, RequestHead};
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    dto::MEMBERS,
    recorded::{Answer, Made, dialect, face, head, make, our_answer},
};

const BATCHES: &str = "/api/v1/batches";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=b");
const ID: &str = "00000000-0000-0000-0000-000000000007";

fn typed(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").into_bytes()));
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

fn answer(dialect: &dyn Dialect, request: &[u8]) -> Answer {
    match make(dialect, face(), request) {
        Made::Answer(answer) => answer,
        Made::Asks(_, operation) => panic!("{operation:?}"),
    }
}

fn asks(dialect: &dyn Dialect, request: &[u8]) -> (Box<RequestHead>, Operation<BatchRef>) {
    match make(dialect, face(), request) {
        Made::Asks(head, operation) => (head, operation),
        Made::Answer(answer) => panic!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
    }
}

fn submits(dialect: &dyn Dialect, request: &[u8]) -> Submission {
    match asks(dialect, request) {
        (_, Operation::Submit(submission)) => *submission,
        (_, other) => panic!("{other:?}"),
    }
}

fn encoded(dialect: &dyn Dialect, head: &RequestHead, outcome: Outcome<BatchId>) -> Answer {
    our_answer(dialect.encode(head, &Reply { outcome, notes: Notes::default() }))
}

fn batch(state: BatchState, spec: BatchSpec) -> Batch<BatchId> {
    Batch::new(BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None }, state, Arc::new(spec))
}

fn part(disposition: &str, content_type: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {content_type}\r\n\r\n{content}\r\n")
}

/// A form with this JSON and a script.
fn form(json: &str, others: &str) -> Vec<u8> {
    let request = part("name=\"batchRequest\"", "application/json", json);
    let script = part("name=\"resourceFile\"; filename=\"main.py\"", "text/x-python", "pass");
    format!("{request}{script}{others}--b--\r\n").into_bytes()
}

fn secured() -> Arc<Face> {
    Arc::new(Face { authenticated: true, ..Face::clone(&face()) })
}

#[test]
fn a_log_without_from_goes_on_where_the_last_reader_stopped() {
    let dialect = dialect(json!({}));
    let read = |query: &str, given: usize| {
        let (head, operation) = asks(&*dialect, &typed(&format!("GET {BATCHES}/{ID}/localLog{query}"), &[], b""));
        let Operation::Log(_, asked) = operation else { panic!("a log") };
        let Lines::From(from, size) = asked.lines else { panic!("{asked:?}") };
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let body = LogBody::Lines(vec!["line".to_owned(); given]);
        encoded(&*dialect, &head, Outcome::Log(id, Log { from, total: Some(30), body, native: None }));
        (from, size)
    };
    assert_eq!(read("", 2), (0, 100), "nobody has read yet");
    assert_eq!(read("?from=-1&size=5", 5), (2, 5));
    assert_eq!(read("?from=20&size=3", 3), (20, 3), "this moves the cursor too");
    assert_eq!(read("?size=3", 3), (23, 3));
    assert_eq!(read("?from=1000", 0), (1_000, 100));
    assert_eq!(read("", 0), (30, 100), "at the end, not behind it");
}

/// Each request has all the faults of those after it, so each shows what is looked at first.
#[test]
fn the_first_fault_in_kyuubis_order_is_told() {
    let dialect = dialect(json!({}));
    let members = [
        (r#""extraResourcesMap":[]"#, "Cannot deserialize"),
        (r#""batchType":"FLINK""#, "FLINK is not in the supported list"),
        (r#""resource":null"#, "resource is a required parameter"),
        (r#""className":null"#, "classname is a required parameter for SPARK"),
        (r#""conf":{"kyuubi.batch.id":"x","spark.x":null}"#, "kyuubi.batch.id=x must be an UUID"),
        (r#""conf":{"spark.x":null}"#, "value cannot be null for key: spark.x"),
        (r#""args":[null]"#, "value cannot be null for args[0]"),
    ];
    let good = [r#""batchType":"spark""#, r#""resource":"/a.jar""#, r#""className":"""#];
    for (first, (_, told)) in members.iter().enumerate() {
        // The last of a doubled member counts.
        let bad = members[first..].iter().rev().map(|(member, _)| *member);
        let body: Vec<&str> = good.into_iter().chain(bad).collect();
        let said = answer(
            &*dialect,
            &typed(&format!("POST {BATCHES}"), &[JSON], format!("{{{}}}", body.join(",")).as_bytes()),
        );
        let said = String::from_utf8(said.body).expect("text");
        assert!(said.contains(told), "{told} outranks what follows, but {said}");
    }
}

#[test]
fn types_are_agreed_on_before_anything_is_read() {
    let dialect = dialect(json!({}));
    let status = |line: &str, headers: &[(&str, &str)]| match make(&*dialect, face(), &typed(line, headers, b"")) {
        Made::Answer(answer) => answer.status,
        Made::Asks(..) => 0,
    };
    let text = ("Content-Type", "text/plain");
    let html = ("Accept", "text/html");
    assert_eq!(status(&format!("GET {BATCHES}?size=x"), &[text]), 415);
    assert_eq!(status(&format!("GET {BATCHES}?size=x"), &[JSON, html]), 406);
    assert_eq!(status(&format!("GET {BATCHES}?size=x"), &[("Content-Type", "json")]), 400);
    assert_eq!(status(&format!("GET {BATCHES}/{ID}"), &[text]), 0, "only the list looks at it");
    assert_eq!(status(&format!("DELETE {BATCHES}/{ID}"), &[html]), 406);
    assert_eq!(status("GET /api/v1/ping", &[html]), 406);
}

#[test]
fn a_form_brings_its_files_and_says_what_each_is_for() {
    let dialect = dialect(json!({}));
    let json = r#"{"batchType":"PYSPARK","resource":"x","extraResourcesMap":
        {"spark.files":"a.txt, ,a.txt","foo":"a.txt,b.txt","":"c.txt"}}"#;
    let file = |name: &str| part(&format!("name=\"{name}\"; filename=\"{name}\""), "text/plain", "x");
    let others = file("a.txt") + &file("b.txt") + &file("c.txt") + &file("unasked.txt");
    let submission = submits(&*dialect, &typed(&format!("POST {BATCHES}"), &[FORM], &form(json, &others)));
    let shown: Vec<_> = submission.files.iter().map(|file| (file.file_name.as_str(), file.purpose.clone())).collect();
    let conf = |keys: &[&str]| Purpose::Conf(keys.iter().map(|key| (*key).to_owned()).collect());
    let wanted = [
        ("main.py", Purpose::Application),
        ("a.txt", conf(&["spark.files", "spark.foo"])),
        ("b.txt", conf(&["spark.foo"])),
        ("c.txt", conf(&[])),
    ];
    assert_eq!(shown, wanted);
    assert_eq!(submission.spec.file.as_deref(), Some("main.py"), "whatever the JSON says");
}

#[test]
fn a_form_may_not_have_keys_without_end() {
    let keys: Vec<_> = (0..1_001).map(|key| format!("\"{key}\":\"\"")).collect();
    let json = format!(r#"{{"batchType":"PYSPARK","resource":"x","extraResourcesMap":{{{}}}}}"#, keys.join(","));
    let refused = answer(&*dialect(json!({})), &typed(&format!("POST {BATCHES}"), &[FORM], &form(&json, "")));
    assert_eq!(refused.json(), json!({"message": "requirement failed: extraResourcesMap has more than 1000 keys"}));
}

#[test]
fn a_form_may_bring_its_json_as_a_file() {
    let dialect = dialect(json!({"max_body": 60}));
    let as_file = |json: &str| {
        let request = part("name=\"batchRequest\"; filename=\"request.json\"", "application/json", json);
        let script = part("name=\"resourceFile\"; filename=\"main.py\"", "text/x-python", "pass");
        typed(&format!("POST {BATCHES}"), &[FORM], format!("{script}{request}--b--\r\n").as_bytes())
    };
    let submission = submits(&*dialect, &as_file(r#"{"batchType":"PYSPARK","resource":"","name":"n"}"#));
    assert_eq!(submission.spec.name.as_deref(), Some("n"));
    let long =
        answer(&*dialect, &as_file(&format!(r#"{{"batchType":"PYSPARK","resource":"","name":"{}"}}"#, "n".repeat(60))));
    assert_eq!(long.status, 413);
}

#[test]
fn uploads_can_be_switched_off() {
    let json = r#"{"batchType":"PYSPARK","resource":"x"}"#;
    let request = typed(&format!("POST {BATCHES}"), &[FORM], &form(json, ""));
    let refused = answer(&*dialect(json!({"upload": false})), &request);
    let words = "requirement failed: Batch resource upload function is disabled.";
    assert_eq!((refused.status, refused.json()), (500, json!({"message": words})));
    submits(&*dialect(json!({})), &request);
}

#[test]
fn a_form_without_its_file_is_told_what_is_missing() {
    let request = part("name=\"batchRequest\"", "application/json", r#"{"batchType":"PYSPARK","resource":"x"}"#);
    let request = typed(&format!("POST {BATCHES}"), &[FORM], format!("{request}--b--\r\n").as_bytes());
    let refused = answer(&*dialect(json!({})), &request);
    assert_eq!(refused.status, 500);
    assert!(refused.json()["message"].as_str().is_some_and(|words| words.contains("resourceFile is required")));
}

#[test]
fn clients_of_1_6_get_the_members_that_they_know() {
    let members = |version: &str| {
        let dialect = dialect(json!({"version": version}));
        let (head, _) = asks(&*dialect, &typed(&format!("GET {BATCHES}/{ID}"), &[], b""));
        let shown =
            encoded(&*dialect, &head, Outcome::Batch(Arc::new(batch(BatchState::Running, BatchSpec::default()))));
        shown.json().as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    let (old, new) = (members("1.6.1-incubating"), members("1.12.0"));
    assert_eq!((old.len(), new.len()), (12, 14));
    let added: Vec<_> = new.into_iter().filter(|name| !old.contains(name)).collect();
    assert_eq!(added, ["appStartTime", "batchInfo"]);
}

#[test]
fn what_a_client_is_told_of_its_server_can_be_dialled() {
    let dialect = dialect(json!({}));
    let instance = |public_url: &str| {
        let face = Arc::new(Face { public_url: public_url.to_owned(), ..Face::clone(&face()) });
        let head = head("GET", &format!("{BATCHES}/{ID}"), &[], face);
        let shown =
            encoded(&*dialect, &head, Outcome::Batch(Arc::new(batch(BatchState::Queued, BatchSpec::default()))));
        shown.json()["kyuubiInstance"].clone()
    };
    assert_eq!(instance("http://batch.example"), json!("batch.example:80"));
    assert_eq!(instance("https://batch.example"), Value::Null);
}

#[test]
fn a_delete_fails_only_for_who_may_not_and_for_what_is_not_there() {
    let dialect = dialect(json!({}));
    let (head, operation) =
        asks(&*dialect, &typed(&format!("DELETE {BATCHES}/{ID}?hive.server2.proxy.user=eve"), &[JSON], b""));
    assert!(matches!(operation, Operation::Control(selection, Action::Cancel) if selection.ids.len() == 1));
    let told = |result: Result<Effect, Error>| {
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let mut after = batch(BatchState::Cancelled, BatchSpec::default());
        after.app.id = Some("application_1_2".to_owned());
        let controlled = Controlled { id, before: BatchState::Running, result, after: Some(Arc::new(after)) };
        let answer = encoded(&*dialect, &head, Outcome::Controlled(vec![controlled]));
        (answer.status, answer.json())
    };
    let terminal = format!("batch {ID} is already terminal so can not kill it.");
    assert_eq!(
        told(Ok(Effect::Ended(BatchState::Cancelled))),
        (200, json!({"success": true, "msg": format!("Succeeded to terminate: application_1_2 with {ID}")}))
    );
    assert_eq!(told(Ok(Effect::Accepted)).1["success"], json!(true));
    for over in [Effect::Ended(BatchState::Succeeded), Effect::AlreadyEnded(BatchState::Failed), Effect::NothingToDo] {
        assert_eq!(told(Ok(over)), (200, json!({"success": false, "msg": terminal})), "{over:?}");
    }
    let again = told(Ok(Effect::AlreadyEnded(BatchState::Cancelled)));
    assert_eq!(again, (200, json!({"success": false, "msg": format!("The batch[{ID}] has been terminated.")})));
    let failed = told(Err(Error::new(ErrorKind::BackendRejected, "the platform says no")));
    let words = format!("Failed to terminate batch {ID}: the platform says no");
    assert_eq!(failed, (200, json!({"success": false, "msg": words})));
    let owner = Denial::Owner { owner: "ann".to_owned() };
    assert_eq!(told(Err(Error::new(ErrorKind::Forbidden(owner), ""))).0, 403);
    assert_eq!(told(Err(Error::no_batch(ID))), (404, json!({"message": format!("Invalid batchId: {ID}")})));
}

#[test]
fn who_has_not_proven_who_he_is_gets_the_containers_page() {
    let dialect = dialect(json!({}));
    let told = |headers: &[(&str, &str)], unproven: Unproven| {
        let head = head("GET", BATCHES, headers, secured());
        let answer = our_answer(dialect.encode_error(&head, &Error::new(ErrorKind::Unauthenticated(unproven), "")));
        let body = String::from_utf8(answer.body.clone()).expect("text");
        (answer.status, answer.header("content-type").to_owned(), answer.header("www-authenticate").to_owned(), body)
    };
    let (status, content_type, challenge, body) = told(&[("accept", "text/plain")], Unproven::Nothing);
    assert_eq!((status, content_type.as_str(), challenge.as_str()), (401, "text/plain;charset=iso-8859-1", ""));
    assert!(body.starts_with("HTTP ERROR 401 No auth scheme matched for null\nURI: /api/v1/batches\n"), "{body}");
    assert_eq!(told(&[("accept", "application/xml")], Unproven::Nothing).3, "");
    // The password is neither told nor counted.
    let (status, _, _, body) = told(&[("authorization", "Basic YW5uOm5vcGU=")], Unproven::Wrong);
    assert_eq!(status, 403);
    assert!(body.contains("Password does not match or no such user. user: ann<") && !body.contains("nope"), "{body}");
    let (status, _, challenge, body) = told(&[("authorization", "Basic YW5uOiA=")], Unproven::Unusable);
    assert_eq!((status, challenge.as_str(), body.as_str()), (401, "BASIC", ""));
    let (status, _, _, body) = told(&[("authorization", "Bearer s3cr3t")], Unproven::Unusable);
    assert!(status == 401 && body.contains("for Bearer<") && !body.contains("s3cr3t"), "{body}");
}

#[test]
fn where_names_are_proven_a_blank_one_is_not_even_tried() {
    let dialect = dialect(json!({}));
    let shown = |value: &str| {
        let request = typed("GET /api/v1/ping", &[("Authorization", value)], b"");
        match make(&*dialect, secured(), &request) {
            Made::Answer(answer) => answer.status,
            Made::Asks(..) => 0,
        }
    };
    assert_eq!((shown("Basic YW5uOng="), shown("Basic YW5uOg=="), shown("Basic Ong=")), (200, 401, 401));
    assert_eq!((shown("Basic"), shown("Basicx YW5uOng="), shown("Bearer x"), shown("")), (403, 500, 401, 401));
}

#[test]
fn only_the_api_is_claimed_and_redirects_are_for_who_is_alone() {
    let dialect = dialect(json!({}));
    let several = Arc::new(Face { single: false, ..Face::clone(&face()) });
    let claims = |path: &str| dialect.claims(&head("GET", path, &[], face()));
    for path in ["/api", "/api/v1/batches", "/api/v2/x", "/api/v1/sessions"] {
        assert!(claims(path), "{path}");
    }
    for path in ["/", "/ui", "/batches", "/v2.0/p/batches", "/kylin/api/jobs", "/apix", "/API/v1/batches"] {
        assert!(!claims(path), "{path}");
    }
    let miss = |path: &str, face: Arc<Face>| {
        our_answer(dialect.encode_miss(&head("GET", path, &[("host", "h:1")], face), &Miss::Path))
    };
    assert_eq!((miss("/api", face()).status, miss("/api", several).status), (302, 404));
    assert_eq!(miss("/ui", face()).header("location"), "http://h:1/ui/");
    assert_eq!(miss("/ui/", face()).status, 200);
    let miss_by =
        |method: &str| our_answer(dialect.encode_miss(&head(method, "/", &[("host", "h:1")], face()), &Miss::Path));
    // To a GET the HTTP library tells the length.
    assert_eq!((miss_by("HEAD").header("content-length"), miss_by("GET").header("content-length")), ("0", ""));
    assert_eq!(miss_by("CONNECT").status, 501);
    let prefixed = Arc::new(Face { path_prefix: "/gw".to_owned(), ..Face::clone(&face()) });
    assert_eq!(miss("/gw/x", prefixed).header("location"), "http://h:1/gw/ui");
}

#[test]
fn what_is_out_of_scope_is_not_there() {
    let dialect = dialect(json!({}));
    for (line, status) in [
        ("GET /api/v1/admin/sessions", 404),
        ("POST /api/v1/batches/reassign", 404),
        ("PUT /api/v1/batches/reassign", 405),
        ("GET /api/v1/batches/reassign", 404),
        ("GET /api/openapi.json", 404),
        ("POST /api/v1/sessions", 404),
        ("GET /api/v1/exception", 404),
    ] {
        let answer = answer(&*dialect, &typed(line, &[JSON], b"{}"));
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/json"), "{line}");
        assert!(answer.json()["message"].is_string(), "{line}");
    }
}

#[test]
fn a_head_that_cannot_be_taken_gets_the_containers_bare_page() {
    let page =
        dialect(json!({})).bad_message(StatusCode::URI_TOO_LONG, "URI Too Long").map(our_answer).expect("a page");
    assert_eq!((page.status, page.header("connection")), (414, "close"));
    assert_eq!(page.body, b"<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>");
}

#[test]
fn a_log_that_is_gone_is_told_by_its_whole_id() {
    let dialect = dialect(json!({}));
    let (head, _) = asks(&*dialect, &typed(&format!("GET {BATCHES}/0-0-0-0-7/localLog"), &[], b""));
    let gone = Error::new(ErrorKind::NotFound(Missing::Log), "");
    let answer = our_answer(dialect.encode_error(&head, &gone));
    assert_eq!(
        (answer.status, answer.json()),
        (404, json!({"message": format!("No local log found for batch: {ID}")}))
    );
}

/// Values of every kind under every name, most of them wrong.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        "(PY|)(SPARK|spark)".prop_map(Value::from),
        "[0-9a-f]{0,9}(-[0-9A-F]{0,5}){0,5}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        let key = "(spark\\.(files|yarn\\.queue|x)|hadoop\\.x|kyuubi\\.(batch\\.id|session\\.(proxy\\.user|name)|x)|[a-z]{0,3})";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let mut names = MEMBERS.to_vec();
    names.push("proxyUser");
    let members = proptest::collection::vec((proptest::sample::select(names), value), 0..6);
    let object = members.prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{\"batchType\":\"PYSPARK\",\"resource\":\"/a.py\"{}}}", members.concat()).into_bytes()
    });
    prop_oneof![3 => object, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_body_is_taken_or_refused_in_one_of_kyuubis_shapes(body in bodies(), cut in 0..60_usize, is_form: bool) {
        let dialect = dialect(json!({}));
        let body = if cut < 40 { body.clone() } else { body[..body.len().min(cut)].to_vec() };
        let request = if is_form {
            let body = [
                part("name=\"batchRequest\"", "application/json", "").trim_end().as_bytes(), b"\r\n\r\n", &body,
                b"\r\n--b\r\nContent-Disposition: form-data; name=\"resourceFile\"; filename=\"a.py\"\r\n\r\npass\r\n--b--\r\n",
            ].concat();
            typed(&format!("POST {BATCHES}"), &[FORM], &body)
        } else {
            typed(&format!("POST {BATCHES}"), &[JSON], &body)
        };
        match make(&*dialect, face(), &request) {
            Made::Answer(answer) => {
                prop_assert!([400, 500].contains(&answer.status), "{answer:?}");
                match answer.header("content-type") {
                    "application/json" => prop_assert!(answer.json()["message"].is_string(), "{answer:?}"),
                    content_type => prop_assert!(content_type == "text/plain" && !is_form && answer.status == 400, "{answer:?}"),
                }
            }
            Made::Asks(_, Operation::Submit(submission)) => {
                let spec = submission.spec;
                prop_assert!(spec.file.is_some());
                prop_assert!(spec.conf.iter().all(|(key, _)| key.starts_with("spark.") && key != "spark.yarn.queue"), "{spec:?}");
                prop_assert!(submission.key.is_none_or(|key| key.value.parse::<Uuid>().is_ok_and(|id| id.to_string() == key.value)));
                prop_assert_eq!(submission.files.len(), usize::from(is_form));
            }
            Made::Asks(_, other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_target_and_any_header_is_answered(
        path in "/(api|ui|)(/v1)?(/batches|/ping)?(/[0-9a-f%-]{0,6})?(/localLog|/reassign)?/?",
        query in "(\\?(from|size|createTime|endTime|batchState|batchType|desc)=[-+0-9a-zA-Z%]{0,6}(&(from|size)=[-0-9]{0,12})?)?",
        method in proptest::sample::select(vec!["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "FOO"]),
        shown in "((Basic|Bearer|basic)? ?[ -~]{0,12})?",
        accept in "[a-z*/+;,= 0-9.]{0,24}",
    ) {
        let dialect = dialect(json!({}));
        let headers = [("Authorization", shown.as_str()), ("Accept", accept.as_str())];
        let request = typed(&format!("{method} {path}{query}"), &headers, b"");
        // An escape that is torn is the listener's to refuse.
        let is_whole = batchlingua_wire::Target::parse(&path, None, "").is_some();
        if is_whole && let Made::Answer(answer) = make(&*dialect, face(), &request) {
            prop_assert!((200..=500).contains(&answer.status), "{answer:?}");
            if answer.status >= 400 && answer.header("content-type") == "application/json" {
                prop_assert!(answer.json()["message"].is_string(), "{answer:?}");
            }
        }
    }

    #[test]
    fn any_batch_is_shown_with_its_fourteen_members(
        texts in proptest::collection::vec(proptest::option::of(any::<String>()), 4),
        owner in proptest::option::of("[a-z]{0,4}"),
        run_as in proptest::option::of("[a-z]{1,4}"),
        state in proptest::sample::select(BatchState::ALL.to_vec()),
        ended in proptest::option::of(1..i64::MAX),
    ) {
        let dialect = dialect(json!({}));
        let (head, _) = asks(&*dialect, &typed(&format!("GET {BATCHES}"), &[], b""));
        let mut batch = batch(state, BatchSpec { name: texts[0].clone(), run_as: run_as.clone(), ..BatchSpec::default() });
        batch.owner = owner.clone().map(Principal::unverified);
        batch.app.id = texts[1].clone();
        batch.app.url = texts[2].clone();
        batch.diagnostic = texts[3].clone();
        batch.times.ended = ended.map(batchlingua_core::Millis);
        let page = Page { rows: vec![Arc::new(batch)], total: Some(9), next: None };
        let json = encoded(&*dialect, &head, Outcome::Page(page)).json();
        prop_assert_eq!((&json["total"], &json["from"]), (&json!(1), &json!(0)));
        let shown = json["batches"][0].as_object().expect("a batch");
        let keys: Vec<&String> = shown.keys().collect();
        let members = [
            "id", "user", "batchType", "name", "appStartTime", "appId", "appUrl", "appState", "appDiagnostic",
            "kyuubiInstance", "state", "createTime", "endTime", "batchInfo",
        ];
        prop_assert_eq!(keys, members);
        prop_assert_eq!(&shown["user"], &json!(run_as.or(owner).unwrap_or("anonymous".to_owned())));
        let diagnostic = texts[3].as_ref().filter(|_| texts[1].is_some() || state == BatchState::Unknown);
        prop_assert_eq!((&shown["name"], &shown["appDiagnostic"]), (&json!(texts[0]), &json!(diagnostic)));
        let end = if state.is_end() { ended.unwrap_or(0) } else { 0 };
        prop_assert_eq!(&shown["endTime"], &json!(end));
    }
}
