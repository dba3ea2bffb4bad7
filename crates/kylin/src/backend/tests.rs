//! What is asked of a Kylin, and what is made of answers that are none.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Action, Backend, Batch, BatchSpec, Context, Credentials, Cursor, Detail, Effect, Error, ErrorKind, Lines, LogBody,
    LogQuery, LogSource, Missing, NativeId, SubmitError, Unproven, Uuid,
};
use batchlingua_testkit::{ManualClock, Origin, Reply, context, intent, marker};
use batchlingua_wire::Settings;
use futures_util::TryStreamExt;
use http::HeaderMap;
use serde_json::{Value, json};

use super::fake::{self, Fake, failure};
use crate::{
    backend::KylinBackend,
    settings::{BackendSettings, Version},
};

async fn walk(backend: &KylinBackend) -> Vec<Batch<NativeId>> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = backend.scan(&context(), after).await.expect("the walk goes on");
        seen.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

fn targets(origin: &Origin) -> Vec<String> {
    origin.asked().iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect()
}

#[tokio::test]
async fn nothing_is_submitted_and_it_says_why() {
    let backend = fake::backend("http://127.0.0.1:1", json!({}));
    let intent = intent(marker(), BatchSpec { file: Some("a.jar".into()), ..BatchSpec::default() });
    let error = backend.plan(intent.clone()).expect_err("no plan");
    assert!(matches!(&error.kind, ErrorKind::Unsupported { what, .. } if what == "submitting batches"), "{error:?}");
    assert!(error.message.contains("jobs of its own models"), "{error}");
    let plan = batchlingua_core::Plan { intent, request: "x".into(), fates: Vec::new() };
    assert!(matches!(backend.submit(&context(), plan).await, Err(SubmitError::Refused(_))));
    let can = backend.capabilities();
    assert!(!can.submit && !can.upload && can.log && can.steps && can.tells_cancelled);
}

#[tokio::test]
async fn what_it_can_do_depends_on_its_face() {
    let can = |face: &str| fake::backend("http://127.0.0.1:1", json!({ "face": face })).capabilities();
    for face in ["kylin5", "kylin4", "kylin3", "kylin2"] {
        let can = can(face);
        assert!(
            [Action::Cancel, Action::Pause, Action::Resume].into_iter().all(|action| can.actions.contains(action)),
            "{face}"
        );
        assert_eq!(can.actions.contains(Action::Restart), face == "kylin5");
        assert!(!can.actions.contains(Action::Forget), "to forget a job is the proxy's own affair");
    }
    let backend = fake::backend("http://127.0.0.1:1", json!({ "face": "kylin3" }));
    let error = backend.control(&context(), &"a1234567".into(), Action::Restart).await.expect_err("not there");
    assert!(matches!(error.kind, ErrorKind::Unsupported { .. }), "{error:?}");
}

#[tokio::test]
async fn every_call_names_the_jobs_project_and_it_is_looked_up_once() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    fake.add("retail", "RUNNING");
    let id = NativeId::from(fake.add("risk & co", "RUNNING"));
    backend.get(&context(), &id, Detail::Summary).await.expect("the job");
    backend.control(&context(), &id, Action::Pause).await.expect("legal");
    backend.get(&context(), &id, Detail::State).await.expect("the job");
    let query = "time_filter=4&page_offset=0&page_size=200&sort_by=create_time&reverse=false";
    let jobs = "/kylin/api/jobs";
    let project = "project=risk%20%26%20co";
    assert_eq!(
        targets(&fake.origin),
        [
            format!("GET {jobs}?{query}&key={id}"),
            format!("GET {jobs}/{id}/detail?{project}"),
            format!("PUT {jobs}/status"),
            format!("GET {jobs}?{query}&{project}&key={id}"),
        ]
    );
    assert_eq!(
        fake.origin.asked()[2].json(),
        json!({"action": "PAUSE", "project": "risk & co", "job_ids": [id.as_str()]})
    );
}

/// A model's id is in the ids of all its jobs, and a uuid is in another job's name.
#[tokio::test]
async fn only_the_row_with_the_very_id_counts() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    for _ in 0..420 {
        fake.add("retail", "FINISHED");
    }
    let long = fake.world().jobs[419].id.clone();
    let model = long[37..].to_owned();
    let error = backend.get(&context(), &model.into(), Detail::State).await.expect_err("a model is no job");
    assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{error:?}");
    assert_eq!(fake.origin.asked().len(), 2, "210 jobs have it in their ids, on two pages");
    assert_eq!(backend.get(&context(), &long.clone().into(), Detail::State).await.expect("the job").id.as_str(), long);
    let before = fake.origin.asked().len();
    for no_id in ["", "7", "status", "a/../b1234567", "x?key=12345678"] {
        let error = backend.get(&context(), &no_id.into(), Detail::Summary).await.expect_err("no id");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{no_id}: {error:?}");
    }
    assert_eq!(fake.origin.asked().len(), before, "what can be no id is not asked for");
}

#[tokio::test]
async fn a_walk_goes_page_by_page_through_the_projects_that_are_configured() {
    for version in [Version::Five, Version::Four, Version::Two] {
        let fake = Fake::start(version).await;
        for at in 0..110 {
            fake.add(if at % 2 == 0 { "retail" } else { "risk & co" }, "RUNNING");
        }
        let all = fake.backend(json!({}));
        assert_eq!(walk(&all).await.len(), 110, "{version:?}");
        let some = fake.backend(json!({"projects": ["risk & co"]}));
        let seen = walk(&some).await;
        assert_eq!(seen.len(), 55, "{version:?}");
        assert!(seen.iter().all(|job| job.project == Some("risk & co".into())), "{version:?}");
        let both = fake.backend(json!({"projects": ["retail", "risk & co"]}));
        assert_eq!(walk(&both).await.len(), 110, "{version:?}");
        let error = both.scan(&context(), Some(Cursor("7/0".into()))).await.expect_err("no cursor of its own");
        assert!(matches!(error.kind, ErrorKind::InvalidRequest { .. }));
    }
}

#[tokio::test]
async fn jobs_of_other_projects_are_not_there() {
    for version in [Version::Five, Version::Four, Version::Two] {
        let fake = Fake::start(version).await;
        let backend = fake.backend(json!({"projects": ["retail"]}));
        let ours = NativeId::from(fake.add("retail", "RUNNING"));
        let other = NativeId::from(fake.add("risk & co", "RUNNING"));
        let seen = backend.get(&context(), &ours, Detail::Summary).await.expect("the job");
        assert_eq!(seen.project, Some("retail".into()), "{version:?}");
        for action in [Action::Cancel, Action::Pause] {
            let error = backend.control(&context(), &other, action).await.expect_err("not there");
            assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{version:?}: {error:?}");
        }
        assert!(backend.get(&context(), &other, Detail::Steps).await.is_err(), "{version:?}");
        assert_eq!(
            fake.world().job(other.as_str()).map(|job| job.word.clone()).as_deref(),
            Some("RUNNING"),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_long_log_is_counted_where_it_is_paged_and_not_read_for_its_end() {
    for version in [Version::Five, Version::Four, Version::Three] {
        let fake = Fake::start(version).await;
        let backend = fake.backend(json!({}));
        let id = NativeId::from(fake.add("retail", "RUNNING"));
        fake.write(id.as_str(), 1_234);
        let log = async |lines, source| {
            let log = backend.log(&context(), &id, &LogQuery { lines, source }).await.expect("a log");
            let LogBody::Lines(lines) = log.body else { panic!("lines") };
            (log.from, log.total, lines)
        };
        let (from, total, lines) = log(Lines::From(1_000, 3), LogSource::Default).await;
        assert_eq!(
            (from, total, lines.join(" ").as_str()),
            (1_000, Some(1_234), "line 1000 line 1001 line 1002"),
            "{version:?}"
        );
        let before = fake.origin.asked().len();
        let (_, _, lines) = log(Lines::Tail(2), LogSource::Step(format!("{id}_01"))).await;
        assert_eq!(lines, ["line 1232", "line 1233"], "{version:?}");
        let asked: Vec<_> = targets(&fake.origin).split_off(before);
        assert!(asked.len() == 1 && asked[0].contains("/output"), "{version:?}: {asked:?}");
        let all = backend
            .log(&context(), &id, &LogQuery { lines: Lines::All, source: LogSource::Default })
            .await
            .expect("a log");
        let LogBody::Stream(stream) = all.body else { panic!("a stream") };
        let bytes: Vec<u8> = stream.map_ok(|piece| piece.to_vec()).try_concat().await.expect("it comes to its end");
        assert_eq!(String::from_utf8(bytes).expect("text").lines().count(), 1_234, "{version:?}");
        let driver = LogQuery { lines: Lines::Tail(1), source: LogSource::Driver { attempt: 2 } };
        let error = backend.log(&context(), &id, &driver).await.expect_err("no such log");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Log)));
    }
}

/// Nobody asks for the log of what has not begun: a Kylin has words for that which are no log.
#[tokio::test]
async fn what_has_not_begun_has_an_empty_log() {
    let fake = Fake::start(Version::Five).await;
    let backend = fake.backend(json!({}));
    let id = NativeId::from(fake.add("retail", "PENDING"));
    let log = backend.log(&context(), &id, &LogQuery { lines: Lines::Tail(5), source: LogSource::Default }).await;
    let log = log.expect("a log");
    assert!(matches!(&log.body, LogBody::Lines(lines) if lines.is_empty()) && log.total == Some(0));
    assert!(targets(&fake.origin).iter().all(|target| !target.contains("/steps/")));
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_is_no_mistake_and_another_action_is() {
    for version in [Version::Five, Version::Three] {
        let fake = Fake::start(version).await;
        let backend = fake.backend(json!({}));
        let finished = NativeId::from(fake.add("retail", "FINISHED"));
        let state = batchlingua_core::BatchState::Succeeded;
        assert_eq!(
            backend.control(&context(), &finished, Action::Cancel).await.expect("late"),
            Effect::AlreadyEnded(state)
        );
        let failed = NativeId::from(fake.add("retail", "ERROR"));
        let error = backend.control(&context(), &failed, Action::Pause).await.expect_err("not legal");
        let ErrorKind::IllegalState { state, mut allowed } = error.kind else { panic!("{error:?}") };
        let mut legal = vec![Action::Resume, Action::Cancel];
        legal.extend(version.is_five().then_some(Action::Restart));
        allowed.sort_by_key(|action| action.as_str());
        legal.sort_by_key(|action| action.as_str());
        assert_eq!((state, allowed), (batchlingua_core::BatchState::Failed, legal), "{version:?}");
        fake.world().jobs.clear();
        let error = backend.control(&context(), &failed, Action::Cancel).await.expect_err("gone");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{version:?}: {error:?}");
    }
}

/// A job whose model is gone may not show its steps any more.
#[tokio::test]
async fn a_job_is_there_without_its_steps() {
    let id = Uuid::new_v4().to_string();
    let row = json!({"id": id, "job_status": "DISCARDED", "project": "p", "last_modified": 5});
    let list = json!({"code": "000", "data": {"value": [row], "total_size": 1}, "msg": ""}).to_string();
    let origin = Origin::start(move |asked| match asked.target.contains("/detail") {
        true => {
            Reply::json(500, json!({"code": "999", "msg": "null", "exception": null, "error_code": null}).to_string())
        }
        false => Reply::json(200, &list),
    });
    let origin = origin.await;
    let backend = fake::backend(&origin.url(), json!({}));
    let id = NativeId::from(id);
    let seen = backend.get(&context(), &id, Detail::Summary).await.expect("the job");
    assert_eq!(seen.state, batchlingua_core::BatchState::Cancelled);
    let error = backend.get(&context(), &id, Detail::Steps).await.expect_err("no steps");
    assert_eq!(error.kind, ErrorKind::BackendRejected);
}

#[tokio::test]
async fn refused_credentials_are_not_shown_again_for_a_while() {
    let fake = Fake::start(Version::Five).await;
    let id = NativeId::from(fake.add("retail", "RUNNING"));
    let clock = Arc::new(ManualClock::default());
    let mut value =
        json!({"url": fake.origin.url(), "auth": {"basic": {"user": "ADMIN", "password": "WRONG"}, "caller": true}});
    value["face"] = json!("kylin5");
    let settings = BackendSettings::read(Settings::new("backend.k", value)).expect("valid");
    let backend = fake::backend_of(&settings, clock.clone());
    assert!(backend.capabilities().caller_credentials);
    for _ in 0..5 {
        let error = backend.get(&context(), &id, Detail::State).await.expect_err("refused");
        assert!(
            error.kind == ErrorKind::BackendRejected && error.message.contains("the proxy's credentials"),
            "{error:?}"
        );
    }
    assert_eq!(fake.origin.asked().len(), 1);
    // A caller's own go on being his affair, and what becomes of them is his.
    let basic = |password: &str| Credentials::Basic { user: "ADMIN".into(), password: password.into() };
    let caller = |password: &str| Context { caller: Some(Arc::new(basic(password))), ..context() };
    for _ in 0..3 {
        let error = backend.get(&caller("OTHER"), &id, Detail::State).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unauthenticated(Unproven::Wrong));
        backend.get(&caller("KYLIN"), &id, Detail::State).await.expect("his own are good");
    }
    assert_eq!(fake.origin.asked().len(), 7);
    assert!(backend.get(&context(), &id, Detail::State).await.is_err(), "they do not open the door for the proxy's");
    assert_eq!(fake.origin.asked().len(), 7);
    clock.advance(Duration::from_secs(60));
    assert!(backend.get(&context(), &id, Detail::State).await.is_err());
    assert_eq!(fake.origin.asked().len(), 8);
}

const CALLS: [&str; 9] = ["state", "summary", "scan", "probe", "page", "tail", "all", "pause", "cancel"];

async fn call(backend: &KylinBackend, id: &NativeId, name: &str) -> Option<Error> {
    let (ctx, step) = (context(), LogSource::Step(format!("{id}_01")));
    match name {
        "state" => backend.get(&ctx, id, Detail::State).await.err(),
        "summary" => backend.get(&ctx, id, Detail::Steps).await.err(),
        "scan" => backend.scan(&ctx, None).await.err(),
        "probe" => backend.probe(&ctx).await.err(),
        "pause" => backend.control(&ctx, id, Action::Pause).await.err(),
        "cancel" => backend.control(&ctx, id, Action::Cancel).await.err(),
        log => {
            let lines = match log {
                "page" => Lines::From(0, 10),
                "tail" => Lines::Tail(10),
                _ => Lines::All,
            };
            match backend.log(&ctx, id, &LogQuery { lines, source: step }).await {
                Err(error) => Some(error),
                Ok(log) => match log.body {
                    LogBody::Lines(_) => None,
                    LogBody::Stream(stream) => stream.try_for_each(async |_| Ok(())).await.err(),
                },
            }
        }
    }
}

fn packed(body: &str) -> Reply {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, body.as_bytes()).expect("memory takes it");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    headers.insert("content-encoding", "gzip".parse().expect("a value"));
    Reply::with_headers(200, &headers, packed.finish().expect("memory takes it"))
}

/// Over every call of every face: an error of the right kind, never a state.
#[tokio::test]
async fn answers_that_break_parsers_are_clear_errors() {
    let id = NativeId::from(Uuid::new_v4().to_string());
    let big = format!(r#"{{"code":"000","data":"{}","msg":""}}"#, "x".repeat(70_000));
    let silent = ["unavailable", "timeout"];
    let any = ["unavailable", "rejected"];
    let answers: Vec<(&str, Reply, &[&str])> = vec![
        ("truncated JSON", Reply::json(200, r#"{"code":"000","data":{"value":[{"id":"#), &silent),
        (
            "cut in the middle",
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"code\"").then_close(),
            &silent,
        ),
        ("a page of 200", Reply::whole(200, "text/html", "<html><title>Welcome</title></html>"), &silent),
        ("a page of 502", Reply::whole(502, "text/html", "<html><title>Bad Gateway</title></html>"), &silent),
        ("200 with an error inside", Reply::json(200, failure("KE-999999999", "no")), &["rejected"]),
        ("200 with code 999 alone", Reply::json(200, r#"{"code":"999","data":null,"msg":null}"#), &silent),
        (
            "wrong types",
            Reply::json(200, r#"{"code":"000","data":{"value":[{"id":7,"job_status":{}}],"total_size":"x"},"msg":""}"#),
            &silent,
        ),
        (
            "a list of another thing",
            Reply::json(200, r#"{"code":"000","data":{"value":[["a","RUNNING"]]},"msg":""}"#),
            &silent,
        ),
        ("a number", Reply::json(200, "7"), &silent),
        ("null", Reply::json(200, r#"{"code":"000","data":null,"msg":""}"#), &silent),
        ("an empty body", Reply::json(200, ""), &silent),
        ("no content", Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"), &silent),
        ("closed without a word", Reply::nothing().then_close(), &silent),
        ("reset", Reply::nothing().then_reset(), &silent),
        ("no HTTP", Reply::raw("SSH-2.0-OpenSSH\r\n\r\n").then_close(), &silent),
        ("too large", Reply::json(200, &big), &silent),
        ("packed, though nobody asked", packed(r#"{"code":"000","data":7,"msg":""}"#), &silent),
        ("maintenance", Reply::json(500, failure("KE-040024201", "later")), &["unavailable"]),
        (
            "a fault of its own",
            Reply::json(500, r#"{"code":"999","data":null,"msg":"x","error_code":null}"#),
            &["rejected"],
        ),
        ("the framework's 404", Reply::json(404, r#"{"status":404,"error":"Not Found"}"#), &["rejected"]),
        ("an empty 406", Reply::whole(406, "text/plain", ""), &["rejected"]),
        (
            "a redirect",
            Reply::raw("HTTP/1.1 302 Found\r\nlocation: http://elsewhere/x\r\ncontent-length: 0\r\n\r\n"),
            &["rejected"],
        ),
        ("an empty 503", Reply::whole(503, "text/plain", ""), &any),
    ];
    for (version, face) in [(Version::Five, "kylin5"), (Version::Four, "kylin4")] {
        for (what, reply, kinds) in &answers {
            let origin = Origin::start({
                let reply = reply.clone();
                move |_| reply.clone()
            });
            let origin = origin.await;
            let backend = fake::backend(&origin.url(), json!({"face": face, "max_answer": "64KiB"}));
            let mut known = Batch::new(id.clone(), batchlingua_core::BatchState::Running, Arc::default());
            known.project = Some("retail".into());
            for name in CALLS {
                // The job was seen before, so that every call is the one that is meant.
                backend.known.learn([&known]);
                let error = call(&backend, &id, name).await;
                if is_yes(version, what, name) {
                    assert!(error.is_none(), "{face} {what}: {name}: {error:?}");
                    continue;
                }
                if is_silence_of_an_older_one(version, what, name) {
                    assert!(
                        error.is_none_or(|error| matches!(error.kind, ErrorKind::NotFound(_))),
                        "{face} {what}: {name}"
                    );
                    continue;
                }
                let error = error.unwrap_or_else(|| panic!("{face} {what}: {name} was taken for an answer"));
                let kind = match error.kind {
                    ErrorKind::BackendUnavailable { .. } => "unavailable",
                    ErrorKind::BackendTimeout => "timeout",
                    ErrorKind::BackendRejected => "rejected",
                    kind => panic!("{face} {what}: {name} gave {kind:?}"),
                };
                assert!(kinds.contains(&kind), "{face} {what}: {name} gave {kind}: {}", error.message);
                assert!(error.message.contains("'k'"), "{face} {what}: {name}: {}", error.message);
            }
        }
    }
}

/// To an action a Kylin 5 answers with its code alone, whatever else stands there.
fn is_yes(version: Version, what: &str, call: &str) -> bool {
    let has_code = ["wrong types", "a list of another thing", "null", "packed, though nobody asked"].contains(&what);
    version == Version::Five && has_code && matches!(call, "pause" | "cancel")
}

/// An older one says nothing about a job that it does not have.
fn is_silence_of_an_older_one(version: Version, what: &str, call: &str) -> bool {
    version == Version::Four && what == "an empty body" && matches!(call, "state" | "summary" | "pause" | "cancel")
}

/// An action that may have been taken is told as such, and is not sent twice.
#[tokio::test]
async fn an_action_is_sent_once() {
    let origin = Origin::start(|asked| match asked.method.as_str() {
        "PUT" => Reply::nothing().then_close(),
        _ => Reply::json(200, r#"{"code":"000","data":{"value":[],"total_size":0},"msg":""}"#),
    });
    let origin = origin.await;
    let backend = fake::backend(&origin.url(), json!({}));
    let id = NativeId::from(Uuid::new_v4().to_string());
    let mut known = Batch::new(id.clone(), batchlingua_core::BatchState::Running, Arc::default());
    known.project = Some("retail".into());
    backend.scan(&context(), None).await.expect("a connection that is kept");
    backend.known.learn([&known]);
    let error = backend.control(&context(), &id, Action::Cancel).await.expect_err("nobody knows");
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{error:?}");
    assert_eq!(origin.asked().iter().filter(|asked| asked.method == "PUT").count(), 1);
}

#[test]
fn what_is_logged_of_a_backend_has_no_password() {
    let value: Value = json!({"url": "http://k:7070", "auth": {"basic": {"user": "ADMIN", "password": "hunter2"}}});
    let settings = BackendSettings::read(Settings::new("backend.k", value)).expect("valid");
    assert!(!format!("{settings:?}").contains("hunter2"));
}
