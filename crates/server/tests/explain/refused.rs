//! What is not sent: refusals in the client's words, calls that are no submits, and files that are no requests.

use serde_json::Value;

use crate::{Ground, has_secret, house};

const LOCAL: &str = "[backend.here]\nkind = \"local\"\nallow_dirs = [\"/srv/apps\"]\nspark = false\n";

/// A submit of Livy's.
fn submit(headers: &str, body: &str) -> String {
    format!("POST /batches HTTP/1.1\nHost: 127.0.0.1:8998\n{headers}Content-Type: application/json\n\n{body}\n")
}

const PLAIN: &str = r#"{"file": "/srv/apps/a.py", "queue": "q", "conf": {"x.y": "1"}}"#;

#[test]
fn a_refusal_is_the_clients_own_answer_with_its_reason() {
    let with = |text: &str| Ground::new(&format!("{text}{LOCAL}"));
    let routed = "[[route]]\nmatch = { queue = \"nightly*\" }\nto = \"here\"\n";
    let strict = "[[route]]\nto = \"here\"\nunmapped = { placement = \"reject\" }\n";
    for (config, request, status, says) in [
        ("", submit("", "{\"file\": 1"), 400, "JSON"),
        ("", submit("", r#"{"file": "/etc/passwd"}"#), 400, "allow_dirs"),
        ("", submit("", PLAIN), 400, "'conf:x.y'"),
        ("", submit("Origin: https://evil.example\n", PLAIN), 403, "web pages must not start jobs"),
        (routed, submit("", PLAIN), 400, "no [[route]]"),
        (strict, submit("", r#"{"file": "/srv/apps/a.py", "queue": "q"}"#), 400, "'queue'"),
        ("", "GET /nowhere HTTP/1.1\n\n".to_owned(), 404, "no dialect"),
        ("", "PUT /batches HTTP/1.1\n\n".to_owned(), 405, "path and method"),
        ("", "POST /batches HTTP/1.1\nContent-Length: 90\n\n{}".to_owned(), 400, "are not there"),
        ("[scope]\nqueues = [\"etl\"]\n", submit("", PLAIN), 400, "there is no queue 'q'"),
        ("[limits]\nmax_body = 1024\n", submit("", &format!("{PLAIN}{}", " ".repeat(2000))), 413, "max_body"),
    ] {
        let ground = with(config);
        let (done, object) = ground.json(&request, &[]);
        assert!(!done && object["outcome"] == "refused", "{request}: {object}");
        assert_eq!(object["answer"]["status"], status, "{request}: {object}");
        let why = object["why"].as_str().expect("a reason");
        assert!(why.contains(says), "{request}: {why}");
        assert!(ground.is_untouched(), "{request}");
    }
}

/// The reason alone is not enough to change a request by: which of its fields stands in the way, and what would be sent without it.
#[test]
fn a_loss_that_refuses_is_shown_among_all_fields() {
    let ground = Ground::new(LOCAL);
    let (_, object) = ground.json(&submit("", PLAIN), &[]);
    let rows = object["fates"].as_array().expect("rows");
    let policies: Vec<_> = rows.iter().map(|row| (row["client"].as_str(), row["policy"].as_str())).collect();
    let wanted = [(Some("file"), None), (Some("queue"), Some("report")), (Some("conf: x.y"), Some("reject"))];
    assert!(wanted.iter().all(|row| policies.contains(row)), "{policies:?}");
    assert_eq!(object["upstream"]["body"]["program"], "python3");
    assert!(object["unmapped"].is_null(), "{object}");
}

const AUTH: &str = "[[auth.token]]\ntoken = \"hunter2-of-some-length\"\nuser = \"ana\"\n\
                    [auth.user.ana]\nqueues = [\"etl\"]\n[auth.user.eve]\nadministrator = true\n";

#[test]
fn it_is_asked_who_asks_unless_that_is_said() {
    let ground = Ground::new(&format!("{AUTH}{LOCAL}"));
    let body = r#"{"file": "/srv/apps/a.py", "queue": "q"}"#;
    let (done, object) = ground.json(&submit("", body), &[]);
    assert!(!done && object["answer"]["status"] == 401 && object["principal"].is_null(), "{object}");
    let (done, object) = ground.json(&submit("", body), &["--user", "ana"]);
    assert!(!done && object["answer"]["status"] == 403, "{object}");
    assert!(object["why"].as_str().expect("a reason").contains("'ana' may not use the queue 'q'"), "{object}");
    let (done, object) = ground.json(&submit("", body), &["--user", "eve"]);
    assert!(done && object["outcome"] == "sent", "{object}");
    assert_eq!(object["principal"], serde_json::json!({"name": "eve", "verified": true}));
    let dli = "POST /v2.0/p1/batches HTTP/1.1\nX-Auth-Token: hunter2-of-some-length\n\n{\"file\": \"/srv/apps/a.py\", \"queue\": \"etl\"}";
    let (done, object) = ground.json(dli, &[]);
    assert!(done && object["principal"]["name"] == "ana", "{object}");
    assert!(!has_secret(&object.to_string()), "{object}");
    assert!(ground.fault(&submit("", body), &["--user", "a b"]).contains("without colons and blanks"));
}

#[test]
fn what_asks_the_ledger_is_explained_as_far_as_it_goes() {
    let routes = "[[route]]\nmatch = { dialect = \"livy\" }\nto = \"here\"\n[[route]]\nmatch = { dialect = \"kyuubi\" }\nto = \"there\"\n";
    let there = LOCAL.replace(".here]", ".there]");
    let ground = Ground::new(&format!("{routes}{LOCAL}{there}"));
    for (request, name, backends, strangers) in [
        ("GET /batches/7/state HTTP/1.1\n\n", "state", vec!["here", "there"], vec![]),
        ("GET /batches?from=5&size=3 HTTP/1.1\n\n", "list", vec!["here"], vec![]),
        (
            "GET /api/v1/batches/0b39ab44-5d4f-4a3b-a0c7-7d1a4b7e5a10/localLog?from=-1&size=10 HTTP/1.1\n\n",
            "log",
            vec!["here", "there"],
            vec!["there"],
        ),
        ("DELETE /batches/7 HTTP/1.1\nX-Requested-By: a\n\n", "cancel_and_forget", vec!["here", "there"], vec![]),
        (
            "PUT /kylin/api/jobs/0b39ab44-5d4f-4a3b-a0c7-7d1a4b7e5a10/cancel HTTP/1.1\n\n",
            "cancel",
            vec!["here", "there"],
            vec![],
        ),
    ] {
        let (done, object) = ground.json(request, &[]);
        assert!(done && object["outcome"] == "asks", "{request}: {object}");
        assert_eq!(object["operation"]["name"], name, "{request}");
        assert_eq!(object["backends"], serde_json::json!(backends), "{request}");
        assert_eq!(object["unknown_ids_at"], serde_json::json!(strangers), "{request}");
        assert!(object["route"].is_null() && object["upstream"].is_null(), "{request}: {object}");
    }
    let (done, object) = ground.json("GET /api/v1/ping HTTP/1.1\n\n", &[]);
    assert!(done && object["outcome"] == "answered" && object["answer"]["body"] == "pong", "{object}");
    assert!(ground.is_untouched());
}

/// Sessions go to the platform as they are; who may not ask for what their body says is refused here as he would be there.
#[test]
fn what_is_passed_on_is_told_with_who_may() {
    let livy = "[backend.old]\nkind = \"livy\"\nurl = \"http://127.0.0.1:1\"\n";
    let session =
        "POST /sessions HTTP/1.1\nContent-Type: application/json\n\n{\"kind\": \"spark\", \"proxyUser\": \"bob\"}\n";
    let (done, object) = Ground::new(livy).json(session, &[]);
    assert!(done && object["outcome"] == "relayed" && object["backend"] == "old", "{object}");
    let ground = Ground::new(&format!("{AUTH}{livy}"));
    let (done, object) = ground.json(session, &["--user", "eve"]);
    assert!(done && object["outcome"] == "relayed", "an administrator may: {object}");
    let (done, object) = ground.json(session, &["--user", "ana"]);
    assert!(!done && object["answer"]["status"] == 403, "{object}");
    assert!(ground.is_untouched());
}

#[test]
fn the_rule_that_takes_a_submit_is_named() {
    let routes = "[[route]]\nmatch = { queue = \"nightly*\", header = { \"X-Team\" = \"etl\" } }\nto = \"there\"\n[[route]]\nto = \"here\"\n";
    let there = LOCAL.replace(".here]", ".there]");
    let ground = Ground::new(&format!("{routes}{LOCAL}{there}"));
    let body = r#"{"file": "/srv/apps/a.py", "queue": "nightly-1"}"#;
    let (_, object) = ground.json(&submit("X-Team: etl\n", body), &[]);
    let route = serde_json::json!({"number": 1, "of": 2, "only_backend": false, "match": {"header.x-team": "etl", "queue": "nightly*"},
        "backend": "there"});
    assert_eq!(object["route"], route);
    let (_, object) = ground.json(&submit("", body), &[]);
    assert_eq!((&object["route"]["number"], &object["backend"]), (&Value::from(2), &Value::from("here")));
}

#[test]
fn the_listener_is_the_one_that_is_named_or_whose_port_the_host_has() {
    let listeners = "[[listener]]\naddress = \"127.0.0.1:8001\"\n[[listener]]\nname = \"kylin\"\naddress = \"127.0.0.1:8002\"\ndialects = [\"kylin\"]\n";
    let ground = Ground::new(&format!("{listeners}{LOCAL}"));
    let list = |host: &str| {
        format!(
            "GET /kylin/api/jobs?time_filter=4 HTTP/1.1\nHost: {host}\nAccept: application/vnd.apache.kylin-v4-public+json\n\n"
        )
    };
    for (host, more, listener) in [
        ("127.0.0.1:8001", &[][..], "main"),
        ("127.0.0.1:8002", &[], "kylin"),
        ("127.0.0.1:8001", &["--listener", "kylin"], "kylin"),
    ] {
        let (_, object) = ground.json(&list(host), more);
        assert_eq!(object["listener"], listener, "{host}: {object}");
    }
    let fault = ground.fault(&list("localhost"), &[]);
    assert!(fault.contains("--listener") && fault.contains("main, kylin"), "{fault}");
    let fault = ground.fault(&list("localhost"), &["--listener", "x"]);
    assert!(fault.contains("there is no listener 'x'; there are: main, kylin"), "{fault}");
}

#[test]
fn what_is_no_request_is_told() {
    let ground = Ground::new(LOCAL);
    assert!(ground.fault("", &[]).contains("asked.http: the request is empty"));
    assert!(ground.fault("hello\n", &[]).contains("it must begin like 'POST /batches HTTP/1.1'"));
    let missing = ground.explain(&house("fixtures/explain/no-such-file"), &[]);
    let told = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && told.contains("cannot be read") && told.contains("no-such-file"), "{told}");
    let folder = ground.explain(&house("fixtures/explain"), &[]);
    assert!(String::from_utf8_lossy(&folder.stderr).contains("is a folder, not a request"));
    let broken = Ground::new("[backend.here]\nkind = \"locl\"\n").fault("GET / HTTP/1.1\n\n", &[]);
    assert!(broken.contains("x.toml:2:1") && broken.contains("did you mean"), "{broken}");
}

/// A name with the escape that clears a terminal is shown, not obeyed.
#[test]
fn no_control_character_reaches_a_terminal() {
    let ground = Ground::new(LOCAL);
    let file = ground.0.path().join("asked.http");
    let body =
        "{\"file\": \"/srv/apps/a.py\", \"name\": \"a\\u001b[2Jb\", \"conf\": {\"spark.\\u001b[2J\": \"\\u0007\"}}";
    std::fs::write(&file, submit("", body)).expect("written");
    let output = ground.explain(&file, &[]);
    let told = String::from_utf8(output.stdout).expect("text");
    assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
    assert!(told.contains("a\\u{1b}[2Jb"), "{told}");
}
