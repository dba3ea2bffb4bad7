//! What no recorded file shows: settings, compression, what outranks what, and that no body whatever gets past both
//! the model and an answer in Livy's shapes.

use std::{io::Read, sync::Arc};

use batchlingua_core::{
    Batch, BatchId, BatchRef, BatchSpec, BatchState, Lines, Log, Notes, Operation, Outcome, Page, Principal, Reply,
    Uuid,
};
use batchlingua_wire::{Coding, Dialect, Face, Miss, RequestHead, encode_body};
use flate2::read::GzDecoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    names,
    recorded::{Answer, Made, dialect, face, fixtures, make, our_answer, recorded_answer},
};

fn typed(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").into_bytes()));
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

fn answer(dialect: &dyn Dialect, face: Arc<Face>, request: &[u8]) -> Answer {
    match make(dialect, face, request) {
        Made::Answer(answer) => answer,
        Made::Asks(_, operation) => panic!("{operation:?}"),
    }
}

fn asks(dialect: &dyn Dialect, request: &[u8]) -> (Box<RequestHead>, Operation<BatchRef>) {
    match make(dialect, face(false), request) {
        Made::Asks(head, operation) => (head, operation),
        Made::Answer(answer) => panic!("{answer:?}"),
    }
}

fn encoded(dialect: &dyn Dialect, head: &RequestHead, outcome: Outcome<BatchId>) -> Answer {
    our_answer(dialect.encode(head, &Reply { outcome, notes: Notes::default() }))
}

fn batch(spec: BatchSpec) -> Batch<BatchId> {
    Batch::new(
        BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: Some("9".into()) },
        BatchState::Running,
        Arc::new(spec),
    )
}

/// The filter looks before any route does: its page names the servlet that the container would have asked.
#[test]
fn the_csrf_rule_outranks_unknown_paths_and_wrong_methods() {
    let dialect = dialect(json!({}));
    let file = fixtures().join("livy/csrf/submit-missing-accept-html.response.http");
    let page = recorded_answer(&std::fs::read(file).expect("the recording is there"));
    let page = String::from_utf8(page.body).expect("text");
    let refused = |line: &str| answer(&*dialect, face(true), &typed(line, &[], b"{}"));
    for (line, path, servlet) in [
        ("POST /batches/1?_method=GET", "/batches/1", "batch.BatchSessionServlet"),
        ("POST /nosuch", "/nosuch", "LivyServer$$anon$4"),
        ("POST /version", "/version", "LivyServer$$anon$2"),
        ("POST /a'%3Cb%3E&c", "/a&apos;%3Cb%3E&amp;c", "LivyServer$$anon$4"),
    ] {
        let answer = refused(line);
        let wanted = page.replace("/batches<", &format!("{path}<")).replace("batch.BatchSessionServlet", servlet);
        assert_eq!((answer.status, String::from_utf8(answer.body).expect("text")), (400, wanted), "{line}");
    }
    let put = refused("PUT /batches/0");
    assert_eq!((put.status, put.header("content-type"), put.body.len()), (400, "", 0));
    let options = refused("OPTIONS /batches/0");
    assert_eq!((options.status, options.header("allow")), (405, "DELETE, GET, HEAD"));
}

#[test]
fn a_version_that_livy_does_not_speak_is_refused_by_its_session_servlets_only() {
    let dialect = dialect(json!({}));
    let status = |path: &str, accept: &str| match make(&*dialect, face(false), &typed(path, &[("Accept", accept)], b""))
    {
        Made::Answer(answer) => answer.status,
        Made::Asks(..) => 0,
    };
    assert_eq!(status("GET /batches", "application/vnd.livy.v0.1"), 0);
    assert_eq!(status("GET /batches", "application/vnd.livy.v0.1+json, */*"), 0);
    assert_eq!(status("GET /livy/batches", "application/vnd.livy.v0.2"), 406);
    assert_eq!(status("PUT /batches", "application/vnd.livy.v0.2"), 406);
    assert_eq!(status("GET /sessions", "application/vnd.livy.v"), 406);
    assert_eq!(status("GET /batches", "*/*, application/vnd.livy.v0.2"), 0);
    assert_eq!(status("GET /version", "application/vnd.livy.v0.2"), 200);
}

#[test]
fn answers_are_compressed_where_livy_compresses() {
    let dialect = dialect(json!({}));
    let coding = |line: &str, accept: &str| {
        answer(&*dialect, face(false), &typed(line, &[("Accept-Encoding", accept)], b""))
            .header("content-encoding")
            .to_owned()
    };
    assert_eq!(coding("GET /sessions", "gzip, deflate"), "gzip");
    assert_eq!(coding("GET /sessions/7", "deflate"), "deflate");
    assert_eq!(coding("GET /batches/2147483648", "gzip"), "gzip");
    for (line, accept) in [
        ("GET /sessions", "gzip;q=0"),
        ("GET /sessions", "br"),
        ("GET /version", "gzip"),
        ("PUT /batches", "gzip"),
        ("GET /batches/0/nosuch", "gzip"),
    ] {
        assert_eq!(coding(line, accept), "", "{line} {accept}");
    }
    let (head, _) = asks(&*dialect, &typed("GET /batches/7", &[("Accept-Encoding", "gzip")], b""));
    let outcome = Outcome::Batch(Arc::new(batch(BatchSpec::default())));
    let response = dialect.encode(&head, &Reply { outcome, notes: Notes::default() });
    let packed = response.into_body().into_full().expect("whole");
    let mut plain = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut plain).expect("gzip");
    assert!(plain.starts_with("{\"id\":7,"), "{plain}");
}

#[test]
fn bodies_are_unpacked_up_to_the_limit() {
    let dialect = dialect(json!({"max_body": "1KiB"}));
    let body = |filler: usize| format!("{{\"file\":\"/a.py\",\"args\":[\"{}\"]}}", "x".repeat(filler)).into_bytes();
    for (coding, name) in [(Coding::Gzip, "GZIP"), (Coding::Deflate, "deflate")] {
        let request = |body: &[u8]| typed("POST /batches", &[("Content-Encoding", name)], body);
        asks(&*dialect, &request(&encode_body(coding, &body(900))));
        let refused = answer(&*dialect, face(false), &request(&encode_body(coding, &body(2_000))));
        assert_eq!(refused.status, 413);
        let whole = encode_body(coding, &body(900));
        let said = |body: &[u8]| answer(&*dialect, face(false), &request(body)).json();
        assert_eq!(said(b""), "java.io.EOFException");
        assert_eq!(said(&whole[..whole.len() / 2]), "java.io.EOFException: Unexpected end of ZLIB input stream");
        assert!(said(b"plain text").as_str().is_some_and(|text| text.starts_with("java.util.zip.ZipException: ")));
    }
    asks(&*dialect, &typed("POST /batches", &[("Content-Encoding", "UTF-8")], &body(0)));
}

#[test]
fn forms_leave_nothing_for_json() {
    let dialect = dialect(json!({}));
    let status = |kind: &str, body: &[u8]| {
        answer(&*dialect, face(false), &typed("POST /batches", &[("Content-Type", kind)], body)).status
    };
    assert_eq!(status("multipart/form-data; boundary=\"x\"", b"preamble\r\n--x\r\n\r\nv\r\n--x--\r\n"), 400);
    assert_eq!(status("multipart/form-data; boundary=x", b"--y\r\n\r\n"), 500);
    assert_eq!(status("Application/X-WWW-Form-Urlencoded; charset=utf-8", b"{\"file\":\"/a\"}"), 400);
}

/// Each body has all the faults of those after it, so each shows what is looked at first.
#[test]
fn the_first_fault_in_livys_order_is_told() {
    let dialect = dialect(json!({}));
    let members = [
        (r#""ttl": 1"#, "Unrecognized field"),
        (r#""archives": null"#, "CreateBatchRequest.archives()"),
        (r#""conf": null"#, "CreateBatchRequest.conf()"),
        (r#""name": "7""#, "Invalid session name: 7"),
        (r#""conf": {"spark.submit.deployMode": "x", "spark.files": "rel"}"#, "Blacklisted"),
        (r#""jars": ["", null]"#, "String.length()"),
        (r#""pyFiles": ["a b"]"#, "Illegal character in path"),
        (r#""conf": {"spark.files": "/ok, ,rel"}"#, "Path 'rel' is not absolute"),
        (r#""file": null"#, "File is required"),
        (r#""executorCores": true"#, "java.lang.Boolean"),
        (r#""file": """#, "IndexOutOfBounds"),
        (r#""args": [null]"#, "NullPointerException"),
        (r#""queue": "\u0000""#, "null character"),
    ];
    for (first, (_, told)) in members.iter().enumerate() {
        // The last of a doubled member counts, so a fault stands behind those that it outranks.
        let mut body: Vec<&str> = members[first..].iter().rev().map(|(member, _)| *member).collect();
        if first > 10 {
            body.push(r#""file": "/a.py""#);
        }
        let said =
            answer(&*dialect, face(false), &typed("POST /batches", &[], format!("{{{}}}", body.join(",")).as_bytes()));
        let said = String::from_utf8(said.body).expect("text");
        assert!(said.contains(told), "{told} outranks what follows, but {said}");
    }
}

#[test]
fn names_need_not_be_free_where_the_settings_say_so() {
    let submit = typed("POST /batches", &[], b"{\"file\":\"/a.py\",\"name\":\"n\"}");
    for unique in [true, false] {
        let (_, operation) = asks(&*dialect(json!({"unique_names": unique})), &submit);
        assert!(matches!(operation, Operation::Submit(submission) if submission.unique_name == unique));
    }
}

#[test]
fn a_log_may_keep_its_last_lines_only() {
    let dialect = dialect(json!({"log_lines": 5}));
    let (head, operation) = asks(&*dialect, &typed("GET /batches/7/log?from=0", &[], b""));
    assert!(matches!(operation, Operation::Log(_, query) if query.lines == Lines::Tail(5)));
    let lines = (15..20).map(|at| format!("L{}", at + 1)).collect();
    let id = BatchId { uuid: Uuid::nil(), ordinal: 0, native: None };
    let log = Log::page(15, 20, lines);
    let json = encoded(&*dialect, &head, Outcome::Log(id, log)).json();
    assert_eq!(
        json,
        json!({"id": 0, "from": 0, "total": 7, "log": ["stdout: ", "L16", "L17", "L18", "L19", "L20", "\nstderr: "]})
    );
}

#[test]
fn who_asked_is_shown_only_if_it_was_proved_and_a_made_name_never() {
    let dialect = dialect(json!({}));
    let (head, _) = asks(&*dialect, &typed("GET /batches/7", &[], b""));
    let shown = |name: Option<String>, owner: Option<Principal>| {
        let mut batch = batch(BatchSpec { name, run_as: Some("bo".to_owned()), ..BatchSpec::default() });
        batch.owner = owner;
        let json = encoded(&*dialect, &head, Outcome::Batch(Arc::new(batch))).json();
        json!([json["id"], json["name"], json["owner"], json["proxyUser"]])
    };
    let ana = |verified| Some(Principal { name: "ana".into(), verified });
    assert_eq!(shown(None, ana(false)), json!([7, null, null, null]));
    assert_eq!(shown(Some("n".to_owned()), ana(true)), json!([7, "n", "ana", "bo"]));
    assert_eq!(shown(Some(names::made(Uuid::from_u128(7))), None), json!([7, null, null, null]));
    // Another proxy's.
    assert_eq!(shown(Some(names::made(Uuid::from_u128(8))), None)[1], json!(null));
}

#[test]
fn only_livys_paths_are_claimed() {
    let dialect = dialect(json!({}));
    let claims = |path: &str| {
        let (parts, ()) = http::Request::get(path).body(()).expect("a request").into_parts();
        dialect.claims(&RequestHead::new("r".into(), &parts, face(false)).expect("a target"))
    };
    for path in ["/batches", "/batches/7/nosuch", "/sessions", "/version", "/livy/batches", "/livy/version/x"] {
        assert!(claims(path), "{path}");
    }
    for path in ["/", "/ui", "/livy", "/livy/ui", "/api/v1/batches", "/v2.0/p/batches", "/kylin/api/jobs", "/batchesx"]
    {
        assert!(!claims(path), "{path}");
    }
}

/// The body is read as a Livy reads it first; then the refusal is a clear one.
#[test]
fn a_session_that_livy_would_start_is_refused_with_the_reason() {
    let dialect = dialect(json!({}));
    for (path, body) in [
        ("/sessions", r#"{"kind": "pyspark", "name": "nb", "ttl": "10m"}"#),
        ("/sessions/", "{}"),
        ("/livy/sessions", r#"{"kind": "spark", "conf": {"spark.ui.enabled": "false"}}"#),
    ] {
        let refused = answer(&*dialect, face(false), &typed(&format!("POST {path}"), &[], body.as_bytes()));
        let msg = refused.json()["msg"].as_str().unwrap_or_default().to_owned();
        assert_eq!((refused.status, refused.header("content-type")), (400, "application/json;charset=utf-8"), "{path}");
        assert!(msg.starts_with("Rejected, Reason: interactive sessions need a Livy backend"), "{path}: {msg}");
    }
}

#[test]
fn a_head_that_cannot_be_taken_gets_the_containers_bare_page() {
    let page = dialect(json!({})).bad_message(http::StatusCode::EXPECTATION_FAILED, "Expectation <Failed>");
    let page = our_answer(page.expect("Livy's container has words for it"));
    assert_eq!((page.status, page.header("content-type")), (417, "text/html;charset=iso-8859-1"));
    assert_eq!((page.header("connection"), page.header("x-frame-options")), ("close", ""));
    assert_eq!(page.body, b"<h1>Bad Message 417</h1><pre>reason: Expectation &lt;Failed&gt;</pre>");
}

#[test]
fn the_length_of_nothing_is_told_to_a_head_too() {
    let dialect = dialect(json!({}));
    let says = |method: http::Method| {
        let (parts, ()) = http::Request::get("/nosuch").method(method).body(()).expect("a request").into_parts();
        let head = RequestHead::new("r".into(), &parts, face(false)).expect("a target");
        dialect.encode_miss(&head, &Miss::Path).headers().get("content-length").cloned()
    };
    // To a GET the HTTP library tells it.
    assert_eq!((says(http::Method::HEAD), says(http::Method::GET)), (Some("0".parse().expect("a value")), None));
}

/// Values of every kind under every name, most of them wrong.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3..9_i32).prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        "(/|file:|s3a://|)[a-z/.#?% 0-9\\\\]{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        let key = "(spark\\.(jars|files|x|submit\\.deployMode)|[a-z]{0,3})";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(key, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let mut names = crate::dto::MEMBERS.to_vec();
    names.push("ttl");
    let members = proptest::collection::vec((proptest::sample::select(names), value), 0..6);
    let object = members.prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{\"file\":\"/a.py\",{}}}", members.join(",")).replace(",}", "}").into_bytes()
    });
    prop_oneof![3 => object, 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_body_is_taken_or_refused_in_one_of_livys_shapes(
        body in bodies(),
        cut in 0..60_usize,
        coding in proptest::sample::select(vec!["identity", "gzip", "deflate"]),
        kind in proptest::sample::select(vec!["application/json", "multipart/form-data; boundary=x", "text/plain"]),
    ) {
        let dialect = dialect(json!({}));
        let body = if cut < 40 { body.clone() } else { body[..body.len().min(cut)].to_vec() };
        let body = match Coding::of(coding) {
            Some(coding) if cut % 2 == 0 => encode_body(coding, &body).to_vec(),
            _ => body,
        };
        let request = typed("POST /batches", &[("Content-Encoding", coding), ("Content-Type", kind)], &body);
        match make(&*dialect, face(false), &request) {
            Made::Answer(answer) => {
                prop_assert!((400..=500).contains(&answer.status), "{answer:?}");
                if answer.header("content-type").starts_with("application/json") {
                    let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
                    prop_assert!(json.is_string() || json["msg"].is_string(), "{json}");
                }
            }
            Made::Asks(_, Operation::Submit(submission)) => {
                let file = submission.spec.file.expect("a file");
                prop_assert!(file.starts_with('/') || file.contains(':'), "{file}");
            }
            Made::Asks(_, other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_batch_is_shown_with_its_eight_keys(
        texts in proptest::collection::vec(proptest::option::of(any::<String>()), 4),
        tail in proptest::collection::vec(any::<String>(), 0..10),
        ordinal in 0..=i32::MAX as u32,
        state in proptest::sample::select(BatchState::ALL.to_vec()),
    ) {
        let dialect = dialect(json!({}));
        let (head, _) = asks(&*dialect, &typed("GET /batches", &[], b""));
        let spec = BatchSpec { name: texts[0].clone(), ..BatchSpec::default() };
        let mut batch = Batch::new(BatchId { uuid: Uuid::nil(), ordinal, native: None }, state, Arc::new(spec));
        batch.app.id = texts[1].clone();
        batch.app.url = texts[2].clone();
        batch.app.driver_log_url = texts[3].clone();
        batch.log_tail = tail.clone();
        let page = Page { rows: vec![Arc::new(batch)], total: Some(9), next: None };
        let json = encoded(&*dialect, &head, Outcome::Page(page)).json();
        let shown = json["sessions"][0].as_object().expect("a batch");
        let keys: Vec<&String> = shown.keys().collect();
        prop_assert_eq!(keys, ["id", "name", "owner", "proxyUser", "state", "appId", "appInfo", "log"]);
        prop_assert_eq!(&shown["name"], &json!(texts[0]));
        let app = json!({"driverLogUrl": texts[3], "sparkUiUrl": texts[2], "executorLogUrls": null});
        prop_assert_eq!(&shown["appInfo"], &app);
        let log = shown["log"].as_array().expect("lines");
        let ends = log.iter().filter_map(Value::as_str).rev().skip(1).zip(tail.iter().rev());
        prop_assert!(log.len() <= 10 && ends.into_iter().all(|(shown, line)| shown == line));
        prop_assert_eq!((json["total"].as_u64(), shown["id"].as_u64()), (Some(9), Some(u64::from(ordinal))));
    }
}
