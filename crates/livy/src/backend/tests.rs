//! The port over a fake Livy: the suite that every backend has to pass, and what becomes of answers that no Livy gives.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchSpec, BatchState, Detail, Effect, ErrorKind, Intent, Lines, LogQuery, LogSource,
    Marking, Missing, NativeId, Result, StateSet, SubmitError,
};
use batchlingua_testkit::{
    Asked, ManualClock, Origin, Reply,
    conformance::{self, Job, Rig},
    context, intent, marker,
};
use serde_json::json;

use super::Called;
use crate::fake::{self, World};

struct LivyRig {
    world: Arc<World>,
    backend: Arc<dyn Backend>,
    _origin: Origin,
}

fn spec(args: &[&str]) -> BatchSpec {
    let args = args.iter().copied().map(str::to_owned).collect();
    BatchSpec { file: Some("/apps/job.jar".to_owned()), args, ..BatchSpec::default() }
}

#[async_trait]
impl Rig for LivyRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        match job {
            Job::Succeeds => spec(&["succeeds"]),
            Job::Fails => spec(&["fails"]),
            Job::Runs => spec(&["runs"]),
            Job::Prints(lines) => spec(&["prints", &lines.to_string()]),
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.world.set(id.as_str().parse().expect("an id"), "success");
    }

    fn tells_times(&self) -> bool {
        false
    }

    fn tells_what_runs(&self) -> bool {
        false
    }

    fn keeps_cancelled(&self) -> bool {
        false
    }

    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        let mut changed = self.world.changed.subscribe();
        loop {
            let batch = self.backend.get(&context(), id, Detail::Summary).await.expect("the job is there");
            if wanted.contains(batch.state) {
                return batch;
            }
            changed.changed().await.expect("the world stands");
        }
    }
}

#[tokio::test]
async fn a_livy_conforms() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    conformance::all(&LivyRig { world, backend, _origin: origin }).await;
}

/// A backend over an origin with these answers; a clock that stands.
async fn over(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Origin, Arc<dyn Backend>) {
    let origin = Origin::start(move |asked| answer(&asked)).await;
    let backend = fake::backend(&origin, json!({}), Arc::new(ManualClock::default()));
    (origin, Arc::new(backend))
}

fn object(rest: &str) -> String {
    format!(r#"{{"id":5,"name":null,"state":"running","appId":null,"appInfo":{{}},"log":[]{rest}}}"#)
}

fn is_version(asked: &Asked) -> bool {
    asked.target == "/version"
}

fn version() -> Reply {
    Reply::json(200, r#"{"version":"0.9.0-incubating"}"#)
}

/// An intent of this dialect with this name.
fn named(dialect: &str, name: Option<&str>) -> Intent {
    let spec = BatchSpec { name: name.map(str::to_owned), ..spec(&["runs"]) };
    Intent { dialect: dialect.into(), ..intent(marker(), spec) }
}

async fn submit(backend: &dyn Backend, intent: Intent) -> Result<Batch<NativeId>, SubmitError> {
    let plan = backend.plan(intent).expect("a plan");
    backend.submit(&context(), plan).await
}

fn posts(origin: &Origin) -> Vec<Asked> {
    origin.asked().into_iter().filter(|asked| asked.method == "POST").collect()
}

type Strange = (&'static str, fn() -> Reply);

/// What no Livy answers, whatever it is asked.
const STRANGE: &[Strange] = &[
    ("truncated JSON", || Reply::json(200, &object("")[..40])),
    ("an HTML page", || Reply::whole(200, "text/html", "<html><head><title>Login</title></head></html>")),
    ("an error inside", || Reply::json(200, r#"{"msg":"something went wrong"}"#)),
    ("wrong types", || Reply::json(200, r#"{"id":"5","state":[],"total":"1","sessions":{},"log":{}}"#)),
    ("an empty body", || Reply::json(200, "")),
    ("null", || Reply::json(200, "null")),
    ("an answer that is cut off", || {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":5")
            .then_close()
    }),
    ("no answer", || Reply::nothing().then_close()),
    ("a reset", || Reply::nothing().then_reset()),
    ("no HTTP", || Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").then_close()),
    ("another protocol", || {
        Reply::raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").then_close()
    }),
    ("broken gzip", || Reply::raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")),
    ("a gateway's 502", || Reply::whole(502, "text/html", "<html><title>502 Bad Gateway</title></html>")),
    ("a gateway's 503", || Reply::whole(503, "text/plain", "no server is available")),
    ("a gateway's 504", || Reply::json(504, r#"{"message":"upstream timed out"}"#)),
    ("a page of an exception", || {
        Reply::whole(500, "text/html", "<html><pre>java.lang.Error\n\tat a.b(C.java:1)</pre></html>")
    }),
];

#[tokio::test]
async fn strange_answers_to_reads_are_faults_that_say_who_and_invent_nothing() {
    let id = NativeId::from("5");
    let log = LogQuery { lines: Lines::Tail(10), source: LogSource::Default };
    for (what, answer) in STRANGE {
        let (_origin, backend) = over(move |_| answer()).await;
        let ctx = context();
        let errors = [
            ("get", backend.get(&ctx, &id, Detail::State).await.map(|_| ()).expect_err(what)),
            ("scan", backend.scan(&ctx, None).await.map(|_| ()).expect_err(what)),
            ("log", backend.log(&ctx, &id, &log).await.map(|_| ()).expect_err(what)),
            ("control", backend.control(&ctx, &id, Action::Cancel).await.map(|_| ()).expect_err(what)),
        ];
        for (call, error) in errors {
            assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{what}, {call}: {error:?}");
            assert!(error.message.contains("'old-livy'"), "{what}, {call}: {error}");
            assert!(!error.message.contains("C.java"), "{what}, {call}: {error}");
        }
    }
}

#[tokio::test]
async fn a_cancel_ends_nothing_that_it_was_not_told_of() {
    for (what, answer) in STRANGE {
        let (_origin, backend) = over(move |asked| match asked.method.as_str() {
            "GET" => Reply::json(200, object("")),
            _ => answer(),
        })
        .await;
        let effect = backend.control(&context(), &"5".into(), Action::Cancel).await;
        let error = effect.expect_err(what);
        assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_submit_that_may_have_run_is_neither_refused_nor_unsent_and_sent_once() {
    for (what, answer) in STRANGE {
        for name in [None, Some("nightly")] {
            let (origin, backend) = over(move |asked| match asked.method.as_str() {
                "POST" => answer(),
                _ if is_version(asked) => version(),
                _ => Reply::json(404, r#"{"msg":"Session 'x' not found."}"#),
            })
            .await;
            let result = submit(&*backend, named("kyuubi", name)).await;
            assert!(matches!(result, Err(SubmitError::Unknown(_))), "{what}, {name:?}: {result:?}");
            assert_eq!(posts(&origin).len(), 1, "{what}, {name:?}: sent once");
        }
    }
}

#[tokio::test]
async fn a_submit_of_which_nothing_was_sent_says_so() {
    for (what, answer) in STRANGE {
        for knows_version in [false, true] {
            let (origin, backend) = over(move |asked| match knows_version && is_version(asked) {
                true => version(),
                false => answer(),
            })
            .await;
            let result = submit(&*backend, named("kyuubi", Some("nightly"))).await;
            assert!(matches!(result, Err(SubmitError::NotSent(_))), "{what}: {result:?}");
            assert!(posts(&origin).is_empty(), "{what}");
        }
    }
    let url = {
        let (origin, _) = over(|_| version()).await;
        origin.url()
    };
    let settings = fake::settings(&url, json!({}));
    let http = batchlingua_wire::Client::new("old-livy".into(), &settings.client, None).expect("a client");
    let backend = super::LivyBackend::new(http, &settings, Arc::new(ManualClock::default()));
    let result = submit(&backend, named("kyuubi", None)).await;
    assert!(matches!(result, Err(SubmitError::NotSent(_))), "nobody listens: {result:?}");
}

#[tokio::test]
async fn a_body_that_is_read_as_gzip_though_nobody_asked_is_read() {
    let (_origin, backend) = over(|_| {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(object("").as_bytes()).expect("memory");
        let mut headers = http::HeaderMap::new();
        headers.insert("content-encoding", http::HeaderValue::from_static("gzip"));
        Reply::with_headers(200, &headers, gzip.finish().expect("memory"))
    })
    .await;
    let batch = backend.get(&context(), &"5".into(), Detail::State).await.expect("a batch");
    assert_eq!(batch.state, BatchState::Running);
}

#[tokio::test]
async fn an_unknown_word_is_a_live_batch_with_that_word() {
    let (_origin, backend) = over(|_| Reply::json(200, r#"{"id":5,"state":"hibernating"}"#)).await;
    for _ in 0..2 {
        let batch = backend.get(&context(), &"5".into(), Detail::State).await.expect("a batch");
        let native = batch.native.expect("as it came");
        assert_eq!((batch.state, native.word.as_str()), (BatchState::Running, "hibernating"));
    }
}

#[tokio::test]
async fn another_batch_than_the_one_asked_for_is_not_taken_for_it() {
    let (_origin, backend) = over(|_| Reply::json(200, object(""))).await;
    let error = backend.get(&context(), &"6".into(), Detail::State).await.expect_err("batch 5");
    assert!(
        matches!(error.kind, ErrorKind::BackendUnavailable { .. }) && error.message.contains("batch 5"),
        "{error:?}"
    );
}

#[tokio::test]
async fn refusals_are_read_by_their_words_and_kept_for_livys_clients() {
    type Fits = fn(&ErrorKind) -> bool;
    let cases: [(u16, &str, Fits, bool); 12] = [
        (
            400,
            r#"{"msg":"Rejected, too many sessions are being created!"}"#,
            |kind| matches!(kind, ErrorKind::Throttled { .. }),
            true,
        ),
        (
            400,
            r#""Rejected, too many sessions are being created!""#,
            |kind| matches!(kind, ErrorKind::Throttled { .. }),
            true,
        ),
        (
            400,
            r#"{"msg":"Rejected, Reason: requirement failed: Path 'x' is not absolute."}"#,
            |kind| *kind == ErrorKind::BackendRejected,
            true,
        ),
        (400, r#""Unrecognized field \"x\"""#, |kind| *kind == ErrorKind::BackendRejected, true),
        (
            400,
            r#"{"msg":"Rejected, Reason: requirement failed: Local path /x cannot be added to user sessions."}"#,
            |kind| matches!(kind, ErrorKind::InvalidRequest { .. }),
            true,
        ),
        (
            403,
            r#"{"msg":"User 'x' not allowed to impersonate 'Some(bo)'."}"#,
            |kind| matches!(kind, ErrorKind::Forbidden(_)),
            true,
        ),
        (403, "{}", |kind| *kind == ErrorKind::BackendRejected, true),
        (
            401,
            r#"{"servlet":"s","message":"Authentication required","url":"/batches","status":"401"}"#,
            |kind| *kind == ErrorKind::BackendRejected,
            false,
        ),
        (413, "<html>too large</html>", |kind| *kind == ErrorKind::BackendRejected, false),
        (429, "slow down", |kind| matches!(kind, ErrorKind::Throttled { .. }), false),
        (302, "", |kind| *kind == ErrorKind::BackendRejected, false),
        (
            500,
            r#""java.io.IOException: Cannot run program""#,
            |kind| matches!(kind, ErrorKind::BackendUnavailable { .. }),
            true,
        ),
    ];
    for (status, body, fits, is_livys) in cases {
        let (origin, backend) = over(move |asked| match asked.method.as_str() {
            "POST" => Reply::json(status, body),
            _ if is_version(asked) => version(),
            _ => Reply::json(404, r#"{"msg":"Session 'x' not found."}"#),
        })
        .await;
        let result = submit(&*backend, named("livy", None)).await;
        let Err(SubmitError::Refused(error)) = result else { panic!("{status} {body}: {result:?}") };
        assert!(fits(&error.kind), "{status} {body}: {error:?}");
        assert_eq!(
            error.native.as_ref().map(|own| (own.status, &*own.body)),
            is_livys.then_some((status, body.as_bytes()))
        );
        assert_eq!(posts(&origin).len(), 1);
    }
}

#[tokio::test]
async fn an_old_livy_has_no_names_and_nothing_is_asked_by_one() {
    let world = World::new();
    *world.version.lock().expect("no panic") = "0.5.0-incubating";
    let (origin, backend) = fake::livy(&world).await;
    let can = backend.probe(&context()).await.expect("it answers");
    assert_eq!(can.marking, Marking::None);
    let batch = submit(&*backend, named("kyuubi", None)).await.expect("submitted");
    let sighting = backend.look_up(&context(), &batchlingua_testkit::sought(&marker())).await.expect("a look");
    assert!(matches!(sighting, batchlingua_core::Sighting::CannotTell), "{sighting:?}");
    let error = backend.get(&context(), &"nightly".into(), Detail::State).await.expect_err("no such id");
    assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))));
    let asked: Vec<_> = origin.asked().into_iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
    assert_eq!(asked, ["GET /version", "POST /batches"]);
    assert!(posts(&origin)[0].json().get("name").is_none());
    assert_eq!(batch.id, NativeId::from("0"));
}

#[tokio::test]
async fn a_livy_that_hides_its_version_is_told_by_what_it_says_to_a_name() {
    for (status, body, marking) in [
        (404, r#"{"msg":"Session 'no-such-batch' not found."}"#, Marking::Findable),
        (400, r#""For input string: \"no-such-batch\"""#, Marking::None),
    ] {
        let (_origin, backend) = over(move |asked| match is_version(asked) {
            true => Reply::whole(404, "text/html", ""),
            false => Reply::json(status, body),
        })
        .await;
        assert_eq!(backend.probe(&context()).await.expect("it answers").marking, marking);
    }
}

#[test]
fn ids_names_and_what_is_neither_are_told_apart() {
    let id = |text: &str| Called::Id(text.into());
    for (text, called) in [
        ("5", id("5")),
        ("007", id("7")),
        ("2147483647", id("2147483647")),
        ("2147483648", Called::Nothing),
        ("5~12", Called::Nothing),
        ("5~x", Called::Name("5~x".into())),
        ("nightly", Called::Name("nightly".into())),
        ("-1", Called::Name("-1".into())),
        ("..", Called::Nothing),
        ("", Called::Nothing),
    ] {
        assert_eq!(Called::of(&text.into()), called, "{text}");
    }
}

#[tokio::test]
async fn a_number_that_was_given_up_is_not_asked_for() {
    let (origin, backend) = over(|_| Reply::json(200, object(""))).await;
    for call in ["5~12", "99999999999"] {
        let error = backend.get(&context(), &call.into(), Detail::State).await.expect_err("nothing");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{error:?}");
    }
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn what_ended_by_itself_is_not_cancelled_and_not_forgotten() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    let job = world.add(Some("n"), "dead", vec!["stdout: ".into()]);
    let effect = backend.control(&context(), &job.id.to_string().into(), Action::Cancel).await.expect("an effect");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Failed));
    assert!(origin.asked().iter().all(|asked| asked.method == "GET"));
    let effect =
        backend.control(&context(), &job.id.to_string().into(), Action::CancelAndForget).await.expect("an effect");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Failed));
    assert!(backend.holds_names() && world.jobs().is_empty(), "its name is free");
}

#[tokio::test]
async fn every_call_says_who_asks_and_a_name_is_escaped() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    world.add(Some("a b/ç?#%"), "running", vec!["stdout: ".into(), "\nstderr: ".into()]);
    let ctx = context();
    let batch = backend.get(&ctx, &"a b/ç?#%".into(), Detail::Summary).await.expect("found by its name");
    backend.scan(&ctx, None).await.expect("a page");
    backend.control(&ctx, &batch.id, Action::Cancel).await.expect("ended");
    submit(&*backend, named("kyuubi", Some("n"))).await.expect("submitted");
    let asked = origin.asked();
    assert!(asked.iter().all(|asked| asked.header("x-requested-by") == "batchlingua"), "{asked:?}");
    assert!(asked.iter().any(|asked| asked.target == "/batches/a%20b%2F%C3%A7%3F%23%25"), "{asked:?}");
    assert_eq!(posts(&origin)[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn a_walk_goes_by_pages_and_stops_at_a_short_one() {
    let world = World::new();
    for _ in 0..205 {
        world.add(None, "success", Vec::new());
    }
    let (origin, backend) = fake::livy(&world).await;
    let (mut after, mut sizes) = (None, Vec::new());
    loop {
        let page = backend.scan(&context(), after).await.expect("a page");
        assert_eq!(page.total, Some(205));
        sizes.push(page.rows.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [100, 100, 5]);
    let targets: Vec<_> = origin.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/batches?from=0&size=100", "/batches?from=100&size=100", "/batches?from=200&size=100"]);
}

#[test]
fn keys_have_defaults_and_faults_their_places() {
    let default = fake::settings("http://livy:8998/livy", json!({}));
    let seconds = [default.delete_timeout, default.settle, default.ghost_after].map(|span| span.as_secs());
    assert_eq!((seconds, default.adopt_ids), ([300, 300, 30], false));
    let table =
        json!({"url": "livy", "paths": {"/a": 1}, "delete_timeout": "0s", "adopt_id": true, "auth": {"token": "x"}});
    let settings = batchlingua_wire::Settings::new("backend.b", table);
    let faults = crate::settings::BackendSettings::read(settings).expect_err("faults");
    let mut paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "backend.b.adopt_id",
            "backend.b.auth.token",
            "backend.b.delete_timeout",
            "backend.b.paths./a",
            "backend.b.url"
        ]
    );
}
