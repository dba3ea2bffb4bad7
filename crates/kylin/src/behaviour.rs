//! What the golden files do not show at a glance: the vectors of the reference as a table, what each failure in the middle becomes, cookies,
//! faces.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Action, BatchRef, BatchState, Clash, Credentials, Denial, Detail, Effect, Error, ErrorKind, Fault, Lines,
    LogSource, Missing, Operation, Outcome, Page, Selection, Unproven,
};
use batchlingua_testkit::golden::parse_request;
use batchlingua_wire::{Asker, Dialect, Face, Match, RequestBody, RequestHead, find};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::{
    dialect::KylinDialect,
    support::{
        ANY, AS_JSON, Answer, ID, Made, PUBLIC, V2, V4, answer, asker, asks, batch, controlled, dialect, encoded, face,
        failed, lenient, make, make_for, strict, typed,
    },
};

/// Section 14: what the golden files `kylin-jobs.md, 14, vector N` must say, told once more without looking at them.
#[test]
fn requests_that_no_backend_has_to_see_are_refused_as_the_vectors_say() {
    let jobs = "GET /kylin/api/jobs";
    let status = "PUT /kylin/api/jobs/status";
    let (lenient, strict) = (lenient(), dialect(json!({"strict": true})));
    for (number, line, body, wanted, named) in [
        (2, jobs, "", (400, Some("KE-010043201")), "time_filter"),
        (3, &format!("{jobs}?time_filter=x"), "", (400, Some("KE-010000003")), "time_filter"),
        (4, &format!("{jobs}?time_filter=9"), "", (500, None), "time_filter"),
        (5, &format!("{jobs}?time_filter=4&statuses=running"), "", (500, Some("KE-010032212")), "running"),
        (7, &format!("{jobs}?time_filter=4&sort_by=nope"), "", (500, Some("KE-010000003")), "nope"),
        (16, status, "", (500, None), "body"),
        (17, status, r#"{"project":"p","job_ids":["a"]}"#, (500, Some("KE-010043201")), "action"),
        (18, status, r#"{"action":"PAUSE"}"#, (500, Some("KE-010032213")), "job_ids"),
        (19, status, r#"{"action":"STOP","job_ids":["a"]}"#, (500, Some("KE-010043207")), "STOP"),
        (
            25,
            status,
            r#"{"action":"RESUME","project":"p","statuses":["RUNNING"]}"#,
            (500, Some("KE-010032217")),
            "RUNNING",
        ),
        (30, "DELETE /kylin/api/jobs", "", (500, Some("KE-010032213")), "delete"),
        (31, &format!("{jobs}/{ID}/detail"), "", (400, Some("KE-010043201")), "project"),
    ] {
        for dialect in [&lenient, &strict] {
            let answer = answer(dialect, line, &[PUBLIC, "Content-Type: application/json"], body);
            let (status, code) = answer.refused();
            assert_eq!((status, code.as_deref()), wanted, "vector {number}");
            assert!(
                answer.json()["msg"].as_str().is_some_and(|msg| msg.contains(named)),
                "vector {number}: {answer:?}"
            );
        }
    }
    let v12 = answer(&strict, &format!("{jobs}?time_filter=4"), &[ANY], "");
    assert_eq!(v12.refused(), (400, Some("KE-010043201".to_owned())));
    assert!(v12.json()["msg"].as_str().is_some_and(|msg| msg.contains("timeFilter")));
    assert_eq!(answer(&strict, &format!("{jobs}?time_filter=4"), &[AS_JSON], "").status, 406);
    assert_eq!(answer(&strict, &format!("{jobs}/{ID}"), &[PUBLIC], "").status, 406);
    for dialect in [&lenient, &strict] {
        let posted = answer(dialect, "POST /kylin/api/jobs", &[PUBLIC], "{}");
        assert_eq!((posted.status, posted.header("allow")), (405, "GET, DELETE"));
        for call in ["PUT /kylin/api/jobs/spark", "PUT /kylin/api/jobs/stage/status", "PUT /kylin/api/jobs/error"] {
            assert_eq!(answer(dialect, call, &[], "{}").status, 404, "vector 33: {call}");
        }
    }
}

#[test]
fn what_the_backends_say_is_told_as_the_vectors_say() {
    let dialect = lenient();
    let list = "GET /kylin/api/jobs?time_filter=4&page_offset=1&page_size=2";
    let (head, operation) = asks(&dialect, list, &[PUBLIC], "");
    assert!(matches!(operation, Operation::List(query) if (query.window.from, query.window.size) == (2, 2)));
    let rows = vec![Arc::new(batch(BatchState::Running)), Arc::new(batch(BatchState::Queued))];
    let page = encoded(&dialect, &head, Outcome::Page(Page { rows, total: Some(5), next: None })).json();
    let data = &page["data"];
    assert_eq!(
        (&page["code"], &data["offset"], &data["limit"], &data["total_size"]),
        (&json!("000"), &json!(1), &json!(2), &json!(5))
    );
    assert_eq!(data["value"].as_array().map(Vec::len), Some(2));
    let unknown = failed(&dialect, list, &[PUBLIC], ErrorKind::NotFound(Missing::Project("ghost".into())));
    assert_eq!(unknown.refused(), (500, Some("KE-010001201".to_owned())), "vector 10");

    let body = json!({"action": "RESUME", "job_ids": [ID]}).to_string();
    let (head, _) = asks(&dialect, "PUT /kylin/api/jobs/status", &[PUBLIC], &body);
    let illegal = |state, allowed: &[Action]| {
        let kind = ErrorKind::IllegalState { state, allowed: allowed.to_vec() };
        let answer = encoded(&dialect, &head, controlled(state, Err(Error::new(kind, "no"))));
        assert_eq!(answer.refused(), (500, Some("KE-010032217".to_owned())));
        let (msg, exception) = (answer.json()["msg"].clone(), answer.json()["exception"].clone());
        assert_eq!(msg, exception);
        msg.as_str().unwrap_or_default().to_owned()
    };
    assert!(
        illegal(BatchState::Succeeded, &[]).contains("a job in status FINISHED takes these actions: []"),
        "vector 21"
    );
    let kylins = [Action::Cancel, Action::Pause, Action::Restart];
    assert!(illegal(BatchState::Running, &kylins).contains("[DISCARD, PAUSE, RESTART]"), "vector 22");
    assert!(illegal(BatchState::Running, &[Action::Cancel]).contains("[DISCARD]"), "vector 22");
    for done in [controlled(BatchState::Running, Ok(Effect::Ended(BatchState::Cancelled))), Outcome::Controlled(vec![])]
    {
        let answer = encoded(&dialect, &head, done);
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, &br#"{"code":"000","data":"","msg":""}"#[..]),
            "vectors 23 to 26"
        );
    }
    let ghost = Error::no_batch("ghost");
    assert_eq!(Answer::of(dialect.encode_error(&head, &ghost)).refused(), (500, Some("KE-010032219".to_owned())));

    let (head, operation) = asks(&dialect, &format!("DELETE /kylin/api/jobs?project=p&job_ids={ID}"), &[PUBLIC], "");
    assert!(matches!(operation, Operation::Control(Selection { skip_unknown: true, .. }, Action::Forget)));
    let kind = ErrorKind::IllegalState { state: BatchState::Running, allowed: vec![Action::Cancel] };
    let answer = encoded(&dialect, &head, controlled(BatchState::Running, Err(Error::new(kind, "no"))));
    assert_eq!(answer.refused(), (500, None), "vector 29");
}

#[test]
fn who_has_not_proven_who_he_is_is_told_so_without_a_challenge() {
    let dialect = lenient();
    let list = "GET /kylin/api/jobs?time_filter=4&key=a%20%26%C3%BC";
    let basic = "Authorization: Basic QURNSU46d3Jvbmc=";
    for (line, headers, unproven, code) in [
        (list, vec![PUBLIC], Unproven::Nothing, "KE-010003207"),
        (list, vec![PUBLIC, basic], Unproven::Wrong, "KE-010003208"),
        (list, vec![PUBLIC, "Cookie: x=y"], Unproven::Wrong, "KE-010003207"),
        (list, vec![ANY, basic], Unproven::Unusable, "KE-010003207"),
        ("POST /kylin/api/user/authentication", vec![V4, basic], Unproven::Wrong, "KE-010003208"),
    ] {
        let (parts, _) = parse_request(&typed(line, &headers, b"")).expect("a request").into_parts();
        let mut head = RequestHead::new("r".into(), &parts, face().into()).expect("a target");
        if let Match::Route(route, params) = find(dialect.routes(), &head) {
            (head.route, head.params) = (Some(route), params);
        }
        let error = Error::new(ErrorKind::Unauthenticated(unproven), "who are you");
        let answer = Answer::of(dialect.encode_error(&head, &error));
        assert_eq!(answer.refused(), (401, Some(code.to_owned())), "{line} {headers:?}");
        assert!(
            !answer.headers.contains_key("www-authenticate")
                && answer.header("content-type").starts_with("application/json")
        );
        assert!(answer.body.contains(&b'\n'), "with line ends");
        assert_eq!(answer.json()["url"], format!("http://127.0.0.1:8998{}", line.split(' ').nth(1).expect("a path")));
    }
}

/// One table, so that a new kind is thought about: status, code, and whether the client is told when to come again.
#[test]
fn every_kind_of_failure_has_its_words_in_every_face() {
    let soon = Duration::from_millis(1_500);
    let invalid = |fault| ErrorKind::InvalidRequest { field: "body".into(), fault };
    let id = batch(BatchState::Running).id;
    let kinds = [
        (invalid(Fault::Malformed), 400, Some("KE-010000003")),
        (invalid(Fault::NotAllowed), 400, Some("KE-010000003")),
        (ErrorKind::Forbidden(Denial::Origin), 400, Some("KE-010024001")),
        (ErrorKind::Forbidden(Denial::Project("p".into())), 400, Some("KE-010024001")),
        (ErrorKind::NotFound(Missing::Batch("b".into())), 500, Some("KE-010032219")),
        (ErrorKind::NotFound(Missing::Project("p".into())), 500, Some("KE-010001201")),
        (ErrorKind::Conflict(Clash::NotYours), 500, Some("KE-010032206")),
        (ErrorKind::IllegalState { state: BatchState::Running, allowed: vec![] }, 500, Some("KE-010032217")),
        (ErrorKind::Unsupported { backend: "b".into(), what: "w".into() }, 500, Some("KE-010032211")),
        (ErrorKind::TooLarge { limit: "max_body", max: 1 }, 413, Some("KE-010000003")),
        (ErrorKind::Throttled { retry_after: soon }, 503, None),
        (ErrorKind::BackendRejected, 500, None),
        (ErrorKind::BackendUnavailable { retry_after: soon }, 503, None),
        (ErrorKind::BackendTimeout, 504, None),
        (ErrorKind::Ambiguous { id }, 504, None),
        (ErrorKind::Internal, 500, None),
    ];
    let dialect = lenient();
    for (kind, status, code) in kinds {
        for (line, accept) in [
            ("GET /kylin/api/jobs?time_filter=4", PUBLIC),
            ("GET /kylin/api/jobs?timeFilter=4", V2),
            ("GET /kylin/api/jobs?limit=15", ANY),
        ] {
            let again = if kind.retry_after().is_some() { "2" } else { "" };
            let answer = failed(&dialect, line, &[accept], kind.clone());
            // The legacy face has no such member.
            let code = code.filter(|_| accept != ANY).map(str::to_owned);
            assert_eq!(answer.refused(), (status, code), "{kind:?} {accept}");
            assert_eq!(answer.header("retry-after"), again, "{kind:?}");
            assert_eq!(answer.json().get("suggestion").is_some(), accept != ANY);
        }
    }
}

/// Section 4's table.
#[test]
fn strict_negotiation_is_that_of_the_framework() {
    let strict = dialect(json!({"strict": true}));
    let put = |what: &str| format!("PUT /kylin/api/jobs/{ID}/{what}");
    let get = |what: &str| format!("GET /kylin/api/jobs/{ID}{what}?project=p&time_filter=4&timeFilter=4");
    let step = format!("/steps/{ID}_00");
    let rows = [
        ("GET /kylin/api/jobs?time_filter=4&timeFilter=4".to_owned(), ["v4", "v2", "v2", "406"]),
        (get(""), ["406", "v2", "v2", "406"]),
        (get("/detail"), ["v4", "406", "v4", "406"]),
        (get(&format!("{step}/output")), ["v4", "v2", "v2", "406"]),
        (get(&format!("{step}/log")), ["v4", "406", "v4", "406"]),
        ("PUT /kylin/api/jobs/status".to_owned(), ["v4", "406", "v4", "406"]),
        (put("resume"), ["406", "v2", "v2", "406"]),
        ("DELETE /kylin/api/jobs?project=p".to_owned(), ["v4", "406", "v4", "406"]),
        (put("cancel"), ["404", "404", "404", "404"]),
        (put("pause"), ["404", "404", "404", "404"]),
        (format!("DELETE /kylin/api/jobs/{ID}/drop"), ["404", "404", "404", "404"]),
        ("POST /kylin/api/jobs".to_owned(), ["405", "405", "405", "405"]),
    ];
    for (line, wanted) in rows {
        for (accepts, wanted) in [vec![PUBLIC, V4], vec![V2], vec![ANY, "X: none"], vec![AS_JSON]].iter().zip(wanted) {
            for accept in accepts {
                let headers = [accept, "Content-Type: application/json"];
                let got = match make(&strict, &line, &headers, r#"{"action":"PAUSE","project":"p"}"#) {
                    Made::Answer(answer) => answer.status.to_string(),
                    Made::Asks(head, _) => {
                        let error = Error::new(ErrorKind::Internal, "a word");
                        let answer = Answer::of(strict.encode_error(&head, &error));
                        let said = answer.header("content-type").to_owned();
                        if said.contains("kylin-v4") { "v4".to_owned() } else { "v2".to_owned() }
                    }
                };
                assert_eq!(got, wanted, "{line} {accept}");
            }
        }
    }
    for any in ["Accept: application/*+json", "Accept: application/json, */*"] {
        let (head, _) = asks(&strict, "GET /kylin/api/jobs?timeFilter=4", &[any], "");
        let page = encoded(&strict, &head, Outcome::Page(Page { rows: vec![], total: Some(0), next: None }));
        assert_eq!(page.json()["data"], json!({"jobs": [], "size": 0}), "{any}");
    }
}

#[test]
fn who_names_no_type_is_answered_by_what_he_asks() {
    let dialect = lenient();
    let page = |line: &str, accept: &str| {
        let (head, _) = asks(&dialect, line, &[accept], "");
        let answer = encoded(&dialect, &head, Outcome::Page(Page { rows: vec![], total: Some(0), next: None }));
        let json = answer.json();
        let face = match &json {
            Value::Array(_) => "legacy",
            _ if json["data"].get("value").is_some() => "v4",
            _ => "v2",
        };
        (face, answer.header("content-type").split(';').next().unwrap_or_default().to_owned())
    };
    let public = "application/vnd.apache.kylin-v4-public+json".to_owned();
    assert_eq!(page("GET /kylin/api/jobs?time_filter=4", ANY), ("v4", public));
    assert_eq!(page("GET /kylin/api/jobs?time_filter=4&limit=3", AS_JSON), ("v4", "application/json".to_owned()));
    assert_eq!(page("GET /kylin/api/jobs?timeFilter=4&pageSize=3", ANY).0, "v2");
    assert_eq!(page("GET /kylin/api/jobs?timeFilter=4&limit=3", ANY).0, "legacy");
    assert_eq!(page("GET /kylin/api/jobs", "Accept: text/html, */*;q=0.8"), ("legacy", "application/json".to_owned()));
    assert_eq!(
        page("GET /kylin/api/jobs?time_filter=4", "Accept: application/vnd.apache.kylin-v4+json;q=0, */*").0,
        "v4"
    );
    // A type that is named holds, whatever is asked beside it.
    assert_eq!(answer(&dialect, "GET /kylin/api/jobs?timeFilter=4", &[PUBLIC], "").status, 400);
}

#[test]
fn the_status_call_says_in_its_query_what_it_does_not_say_in_a_body() {
    let dialect = lenient();
    let line =
        format!("PUT /kylin/api/jobs/status?action=DISCARD&job_ids={ID}&job_ids=b&statuses=RUNNING,ERROR&project=p");
    let (_, by_query) = asks(&dialect, &line, &[PUBLIC], "");
    let body = json!({"action": "DISCARD", "job_ids": [ID, "b"], "statuses": ["RUNNING", "ERROR"], "project": "p"});
    let (_, by_body) = asks(&dialect, "PUT /kylin/api/jobs/status?action=PAUSE", &[PUBLIC], &body.to_string());
    let (Operation::Control(by_query, cancel), Operation::Control(by_body, also)) = (by_query, by_body) else {
        panic!("two controls")
    };
    assert_eq!((&by_query, cancel), (&by_body, also), "what the query says beside a body is ignored");
    assert_eq!(by_query.ids.len(), 2);
    let dialect = strict();
    assert_eq!(answer(&dialect, &line, &[PUBLIC, "Content-Type: application/json"], "").refused(), (500, None));
}

#[test]
fn bodies_are_bounded() {
    let dialect = dialect(json!({"max_body": 40, "json_depth": 3}));
    let put = |body: &str| answer(&dialect, "PUT /kylin/api/jobs/status", &[PUBLIC], body).refused();
    assert_eq!(put(&format!("{{\"x\":\"{}\"}}", "y".repeat(40))).0, 413);
    assert_eq!(put(r#"{"x":[[[1]]]}"#), (500, None));
}

#[test]
fn only_administrators_drop_jobs_of_any_project() {
    let dialect = lenient();
    for (administrator, project, taken) in [(true, "", true), (false, "", false), (false, "project=p&", true)] {
        let request = typed(&format!("DELETE /kylin/api/jobs?{project}job_ids=a"), &[PUBLIC], b"");
        match make_for(&dialect, &request, face(), Some(asker("ana", administrator))) {
            Made::Asks(..) => assert!(taken),
            Made::Answer(answer) => {
                assert!(!taken);
                assert_eq!(answer.refused(), (400, Some("KE-010024001".to_owned())));
            }
        }
    }
}

#[test]
fn a_session_goes_out_as_a_cookie_and_comes_back() {
    let dialect = lenient();
    let token = "tok=en; ü\"";
    let asker = Asker { session: Some(token.to_owned()), ..asker("ana", true) };
    let request = typed("GET /kylin/api/user/authentication", &[V4], b"");
    for (public_url, prefix, secure) in [("http://h", "", false), ("https://h", "", true), ("HTTPS://h", "/gw", true)] {
        let face = Face { public_url: public_url.to_owned(), path_prefix: prefix.to_owned(), ..face() };
        let request = String::from_utf8(request.clone()).expect("text").replace("GET ", &format!("GET {prefix}"));
        let Made::Answer(answer) = make_for(&dialect, request.as_bytes(), face, Some(asker.clone())) else {
            panic!("an answer")
        };
        let cookie = answer.header("set-cookie");
        let (pair, attributes) = cookie.split_once("; ").expect("attributes");
        let wanted = format!("Path={prefix}/kylin; HttpOnly; SameSite=Lax{}", if secure { "; Secure" } else { "" });
        assert_eq!(attributes, wanted);
        let cookies = format!("Cookie: a=b; {pair}; c=d");
        assert_eq!(shown(&dialect, &[&cookies]), Some(Credentials::Session(token.to_owned())));
        let basic = Credentials::Basic { user: "ADMIN".into(), password: "KYLIN".into() };
        assert_eq!(shown(&dialect, &[&cookies, "Authorization: Basic QURNSU46S1lMSU4="]), Some(basic));
    }
    assert_eq!(shown(&dialect, &["Cookie: JSESSIONID=616e61"]), None);
}

fn shown(dialect: &KylinDialect, headers: &[&str]) -> Option<Credentials> {
    let (parts, _) = parse_request(&typed("GET /kylin/api/jobs", headers, b"")).expect("a request").into_parts();
    let head = RequestHead::new("r".into(), &parts, face().into()).expect("a target");
    dialect.credentials(&head, &RequestBody::Empty).expect("readable")
}

#[test]
fn a_logout_takes_the_session_back_and_gives_no_other() {
    let dialect = lenient();
    let asker = Asker { session: Some("s".to_owned()), ..asker("ana", true) };
    let request = typed("GET /kylin/api/j_spring_security_logout", &["Accept: text/html"], b"");
    let Made::Answer(answer) = make_for(&dialect, &request, face(), Some(asker)) else { panic!("an answer") };
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);
    assert!(answer.status == 200 && answer.header("set-cookie").contains("=; Max-Age=0; Path=/kylin"), "{answer:?}");
}

#[test]
fn the_project_is_where_each_face_has_it() {
    assert_eq!(dialect(json!({"default_project": "own"})).unscoped_project(), Some("own"), "shown, and sent back");
    let dialect = lenient();
    let project = |line: &str, accept: &str| {
        let (head, _) = asks(&dialect, line, &[accept], r#"{"action":"PAUSE","project":"b"}"#);
        dialect.project(&head).map(|project| project.to_string())
    };
    let p = Some("p".to_owned());
    assert_eq!(project("GET /kylin/api/jobs?time_filter=4&project=p&projectName=x", PUBLIC), p);
    assert_eq!(project("GET /kylin/api/jobs?timeFilter=4&project=x&projectName=p", V2), p);
    assert_eq!(project("GET /kylin/api/jobs?projectName=p", ANY), p);
    assert_eq!(project(&format!("GET /kylin/api/jobs/{ID}/detail?project=p"), PUBLIC), p);
    assert_eq!(project("DELETE /kylin/api/jobs?project=p", PUBLIC), p);
    assert_eq!(project("GET /kylin/api/jobs?time_filter=4&project=%20", PUBLIC), None);
    // It chooses jobs there and does not hide those of others: an id of another project is no unknown one.
    assert_eq!(project("PUT /kylin/api/jobs/status?project=p", PUBLIC), None);
    assert_eq!(project(&format!("GET /kylin/api/jobs/{ID}"), ANY), None);
}

#[test]
fn a_step_is_asked_for_by_kylin_5s_id() {
    let dialect = lenient();
    for (step, accept) in [(format!("{ID}_00"), PUBLIC), (format!("{ID}-00"), ANY)] {
        let line = format!("GET /kylin/api/jobs/{ID}/steps/{step}/output?project=p");
        let (_, operation) = asks(&dialect, &line, &[accept], "");
        let Operation::Log(_, query) = operation else { panic!("a log") };
        assert_eq!((query.lines, query.source), (Lines::HeadAndTail(100), LogSource::Step(format!("{ID}_00"))));
    }
    let (_, operation) = asks(&dialect, &format!("GET /kylin/api/jobs/{ID}"), &[V2], "");
    assert!(matches!(operation, Operation::Get(BatchRef::Uuid(_), Detail::Steps)));
}

#[test]
fn large_answers_are_compressed_under_the_types_that_kylin_compresses() {
    let dialect = lenient();
    let coding = |accept: &str, coding: &str, rows: usize| {
        let line = "GET /kylin/api/jobs?time_filter=4&timeFilter=4&page_size=1000";
        let (head, _) = asks(&dialect, line, &[accept, coding], "");
        let rows = (0..rows).map(|_| Arc::new(batch(BatchState::Running))).collect();
        let answer = encoded(&dialect, &head, Outcome::Page(Page { rows, total: None, next: None }));
        let is_packed = answer.header("content-encoding") == "gzip";
        let json: Value = match is_packed {
            true => serde_json::from_reader(GzDecoder::new(&answer.body[..])).expect("JSON"),
            false => answer.json(),
        };
        assert_eq!(json["code"], "000");
        is_packed
    };
    let gzip = "Accept-Encoding: gzip, deflate";
    assert!(coding(V4, gzip, 200) && coding(V2, gzip, 200));
    assert!(!coding(V4, gzip, 2) && !coding(PUBLIC, gzip, 200) && !coding(V4, "Accept-Encoding: identity", 200));
    assert!(!coding(V4, "Accept-Encoding: deflate", 200));
}

#[test]
fn only_kylins_paths_are_claimed() {
    let dialect = lenient();
    let claims = |path: &str| {
        let (parts, ()) = http::Request::get(path).body(()).expect("a request").into_parts();
        dialect.claims(&RequestHead::new("r".into(), &parts, face().into()).expect("a target"))
    };
    assert!(claims("/kylin/api/jobs") && claims("/kylin/api/models") && claims("/kylin"));
    assert!(!claims("/") && !claims("/batches") && !claims("/kylinx/api/jobs"));
}

#[test]
fn a_head_that_cannot_be_taken_gets_an_envelope_too() {
    let page = lenient().bad_message(http::StatusCode::EXPECTATION_FAILED, "Expectation Failed");
    let page = Answer::of(page.expect("words of its own"));
    assert_eq!((page.refused(), page.header("connection")), ((417, None), "close"));
    assert_eq!(page.json()["exception"], "Expectation Failed");
}
