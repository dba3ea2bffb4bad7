//! The port over a fake DLI: the suite that every backend has to pass, whatever the DLI's manners; looks for marks; projects; and what becomes
//! of answers that no DLI gives.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchSpec, BatchState, Context, Credentials, Cursor, Denial, Detail, Effect, Error,
    ErrorKind, Intent, Lines, LogBody, LogQuery, LogSource, Millis, Missing, NativeId, Project, Result, Sighting,
    Sought, StateSet, SubmitError, Unproven,
};
use batchlingua_testkit::{
    Asked, ManualClock, Origin, Reply,
    conformance::{self, Job, Rig},
    context, intent, marker, sought,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::fake::{self, BEGIN, Manners, PROJECT, World};

struct DliRig {
    world: Arc<World>,
    backend: Arc<dyn Backend>,
    _origin: Origin,
}

fn spec(args: &[&str]) -> BatchSpec {
    let args = args.iter().copied().map(str::to_owned).collect();
    BatchSpec { file: Some("obs://apps/job.jar".to_owned()), args, ..BatchSpec::default() }
}

#[async_trait]
impl Rig for DliRig {
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
        self.world.set(id.as_str().rsplit('/').next().expect("an id"), "success");
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

async fn conforms(manners: Manners, more: Value) {
    let world = World::new(manners);
    let (origin, backend) = fake::dli(&world, more).await;
    conformance::all(&DliRig { world, backend, _origin: origin }).await;
}

#[tokio::test]
async fn a_dli_conforms() {
    conforms(Manners::default(), json!({})).await;
}

#[tokio::test]
async fn a_dli_of_other_manners_conforms() {
    let manners = Manners { is_terse: true, oldest_first: true, page: Some(2), is_old: true, ..Manners::default() };
    conforms(manners, json!({})).await;
}

#[tokio::test]
async fn a_dli_that_shows_no_conf_conforms_by_names() {
    conforms(Manners { hides_conf: true, ..Manners::default() }, json!({"echo": "name"})).await;
}

#[tokio::test]
async fn a_project_of_the_clients_conforms() {
    let more = json!({"project": "client", "project_id": "p2", "projects": [PROJECT]});
    conforms(Manners::default(), more).await;
}

/// A backend over an origin with these answers; a clock that stands.
async fn over(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Origin, Arc<dyn Backend>) {
    let origin = Origin::start(move |asked| answer(&asked)).await;
    let backend = fake::backend(&origin.url(), json!({}), Arc::new(ManualClock::default()));
    (origin, Arc::new(backend))
}

async fn submit(backend: &dyn Backend, intent: Intent) -> Result<Batch<NativeId>, SubmitError> {
    let plan = backend.plan(intent).expect("a plan");
    backend.submit(&context(), plan).await
}

fn id() -> NativeId {
    "5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01".into()
}

#[tokio::test]
async fn what_is_sent_is_what_was_planned() {
    let world = World::new(Manners::default());
    let (origin, backend) = fake::dli(&world, json!({})).await;
    let intent = intent(marker(), BatchSpec { name: Some("n".into()), ..spec(&["runs"]) });
    let plan = backend.plan(intent.clone()).expect("a plan");
    let batch = backend.submit(&context(), plan.clone()).await.expect("a batch");
    let asked = &origin.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", format!("/v2.0/{PROJECT}/batches").as_str()));
    assert_eq!(asked.body, plan.request);
    let head = backend.head(&plan);
    assert!(head.starts_with(&format!("POST /v2.0/{PROJECT}/batches HTTP/1.1\n")), "{head}");
    assert!(head.contains(&format!("x-project-id: {PROJECT}")), "{head}");
    assert_eq!(asked.json()["conf"]["spark.batchlingua.id"], json!(intent.marker.uuid.to_string()));
    let native = batch.native.expect("its own object");
    assert!(String::from_utf8_lossy(&native.object).contains(r#""x_new":1.5"#), "as it came");
    assert_eq!((batch.state, native.word.as_str()), (BatchState::Starting, "starting"));
}

#[tokio::test]
async fn an_ambiguous_submit_is_found_wherever_it_stands_in_the_list() {
    for manners in [
        Manners::default(),
        Manners { oldest_first: true, ..Manners::default() },
        Manners { page: Some(7), ..Manners::default() },
    ] {
        let world = World::new(manners);
        let (_origin, backend) = fake::dli(&world, json!({})).await;
        let marker = marker();
        let ours = submit(&*backend, intent(marker.clone(), spec(&["runs"]))).await.expect("a batch");
        for _ in 0..230 {
            world.add(PROJECT, "running", json!({"file": "b.jar", "conf": {}}), Vec::new());
        }
        let look = Sought { since: Millis(BEGIN), ..sought(&marker) };
        let Sighting::Found(found) = backend.look_up(&context(), &look).await.expect("a look") else {
            panic!("it is there: {manners:?}")
        };
        assert_eq!(found.id, ours.id, "{manners:?}");
        assert_eq!(found.spec.conf.get("spark.batchlingua.id"), None, "nobody sees the mark");
    }
}

#[tokio::test]
async fn a_look_ends_at_what_is_older_than_the_submit() {
    let world = World::new(Manners::default());
    let (origin, backend) = fake::dli(&world, json!({})).await;
    let look = |since: i64| Sought { since: Millis(since), ..sought(&marker()) };
    let absent = backend.look_up(&context(), &look(BEGIN)).await.expect("a look");
    assert!(matches!(absent, Sighting::Absent { others_seen: false }), "{absent:?}");
    for _ in 0..450 {
        world.add(PROJECT, "dead", json!({"file": "b.jar", "conf": {}}), Vec::new());
    }
    let asked = origin.asked().len();
    // By a quarter of an hour the clocks may differ: that far before the last one there are 100 more of a batch a second.
    let since = BEGIN + 449_000 + 15 * 60 * 1_000 - 100_000;
    let absent = backend.look_up(&context(), &look(since)).await.expect("a look");
    assert!(matches!(absent, Sighting::Absent { others_seen: true }), "{absent:?}");
    assert_eq!(origin.asked().len() - asked, 2, "not the whole list");
}

#[tokio::test]
async fn where_the_mark_is_not_shown_nobody_can_tell() {
    for manners in [Manners { hides_requests: true, ..Manners::default() }] {
        let world = World::new(manners);
        let (_origin, backend) = fake::dli(&world, json!({})).await;
        let named = |name: &str| Arc::new(BatchSpec { name: Some(name.into()), ..spec(&["runs"]) });
        world.add(PROJECT, "running", json!({"file": "b.jar", "name": "mine"}), Vec::new());
        let look = |name: &str, since: i64| Sought { since: Millis(since), spec: named(name), ..sought(&marker()) };
        let seen = backend.look_up(&context(), &look("mine", BEGIN)).await.expect("a look");
        assert!(matches!(seen, Sighting::CannotTell), "{seen:?}");
        let other_name = backend.look_up(&context(), &look("another", BEGIN)).await.expect("a look");
        assert!(matches!(other_name, Sighting::Absent { others_seen: true }), "{other_name:?}");
        let too_old = backend.look_up(&context(), &look("mine", BEGIN + 3_600_000)).await.expect("a look");
        assert!(matches!(too_old, Sighting::Absent { others_seen: true }), "{too_old:?}");
    }
}

#[tokio::test]
async fn a_name_that_marks_is_shown_to_nobody() {
    let world = World::new(Manners { hides_conf: true, ..Manners::default() });
    let (_origin, backend) = fake::dli(&world, json!({"echo": "name"})).await;
    let marker = marker();
    let long = "n".repeat(120);
    for name in [Some("nightly"), None, Some(long.as_str())] {
        let spec = BatchSpec { name: name.map(str::to_owned), ..spec(&["runs"]) };
        let batch = submit(&*backend, intent(marker.clone(), spec)).await.expect("a batch");
        let sent = world.jobs().last().expect("a job").body["name"].as_str().expect("a name").to_owned();
        assert!(sent.ends_with(&format!("bl-{}", marker.uuid)) && sent.chars().count() <= 128, "{sent}");
        let shown = backend.get(&context(), &batch.id, Detail::Summary).await.expect("it is there");
        let object: Value = serde_json::from_slice(&shown.native.expect("an object").object).expect("JSON");
        let request: Value = serde_json::from_str(object["req_body"].as_str().expect("a text")).expect("JSON");
        let wanted = name.map(|name| name[..name.len().min(88)].to_owned());
        assert_eq!(shown.spec.name, wanted);
        let wanted = json!(wanted.unwrap_or_default());
        assert_eq!((&object["name"], &request["name"]), (&wanted, &wanted));
    }
}

#[tokio::test]
async fn every_project_is_walked_and_told_by_its_ids() {
    let world = World::new(Manners::default());
    let (origin, backend) = fake::dli(&world, json!({"projects": ["p2"]})).await;
    let one = world.add(PROJECT, "running", json!({"file": "a.jar"}), Vec::new());
    let two = world.add("p2", "running", json!({"file": "b.jar"}), Vec::new());
    world.add("p3", "running", json!({"file": "c.jar"}), Vec::new());
    let (mut seen, mut cursor) = (Vec::new(), None::<Cursor>);
    loop {
        let page = backend.scan(&context(), cursor).await.expect("a page");
        seen.extend(page.rows.into_iter().map(|row| row.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let elsewhere = NativeId::from(format!("p2/{}", two.id));
    assert_eq!(seen, [NativeId::from(one.id.clone()), elsewhere.clone()]);
    let batch = backend.get(&context(), &elsewhere, Detail::State).await.expect("it is there");
    assert_eq!((batch.id, batch.project), (elsewhere, None), "clients' projects are none of this backend's");
    let bare = backend.get(&context(), &two.id.as_str().into(), Detail::State).await.expect_err("another project's");
    assert!(matches!(bare.kind, ErrorKind::NotFound(Missing::Batch(_))), "{bare:?}");
    for id in ["p2/a/b", "../x", "p 2/1", "", "p-2/1"] {
        let asked = origin.asked().len();
        let error = backend.get(&context(), &id.into(), Detail::State).await.expect_err("no id");
        assert!(matches!(error.kind, ErrorKind::NotFound(_)), "{id}: {error:?}");
        assert_eq!(origin.asked().len(), asked, "{id}: nothing is asked");
    }
}

#[tokio::test]
async fn a_clients_project_is_its_batches() {
    let world = World::new(Manners::default());
    let (_origin, backend) = fake::dli(&world, json!({"project": "client"})).await;
    let of =
        |project: Option<&str>| Intent { project: project.map(Project::from), ..intent(marker(), spec(&["runs"])) };
    let ours = submit(&*backend, of(None)).await.expect("a batch");
    let theirs = submit(&*backend, of(Some("p2"))).await.expect("a batch");
    assert!(!ours.id.as_str().contains('/') && theirs.id.as_str().starts_with("p2/"), "{ours:?} {theirs:?}");
    assert_eq!(theirs.project, Some("p2".into()));
    let uuid = theirs.id.as_str().rsplit('/').next().expect("an id");
    let asks = |project: &str| Context { project: Some(project.into()), ..context() };
    let found = backend.get(&asks("p2"), &uuid.into(), Detail::State).await.expect("in the client's project");
    assert_eq!(found.id, theirs.id);
    backend.get(&asks("p3"), &uuid.into(), Detail::State).await.expect_err("in none of its projects");
    let refused = backend.plan(of(Some("learn_kylin"))).expect_err("no project of DLI");
    assert!(refused.message.contains("'learn_kylin'"), "{refused}");
}

#[tokio::test]
async fn a_walk_ends_where_all_has_ended_long_ago_and_at_a_list_that_does_not_go_on() {
    let world = World::new(Manners::default());
    for _ in 0..350 {
        world.add(PROJECT, "dead", json!({"file": "a.jar"}), Vec::new());
    }
    let answering = world.clone();
    let origin = Origin::start(move |asked| answering.answer(&asked)).await;
    let hour = 3_600_000;
    let at =
        |now: i64| fake::backend(&origin.url(), json!({"walk_back": "1h"}), Arc::new(ManualClock::new(Millis(now))));
    let walked = |backend: crate::backend::DliBackend| async move {
        let (mut rows, mut cursor) = (0, None);
        loop {
            let page = backend.scan(&context(), cursor).await.expect("a page");
            rows += page.rows.len();
            cursor = page.next;
            if cursor.is_none() {
                return rows;
            }
        }
    };
    assert_eq!(walked(at(BEGIN)).await, 350);
    assert_eq!(walked(at(BEGIN + hour + 200_000)).await, 300, "up to the page of which all is too old");

    let page: Vec<_> = (0..100).map(|n| json!({"id": format!("a{n}"), "state": "dead"})).collect();
    let page = json!({"sessions": page}).to_string();
    let (_origin, backend) = over(move |_| Reply::json(200, &page)).await;
    let first = backend.scan(&context(), None).await.expect("a page");
    let again = backend.scan(&context(), first.next).await.expect_err("the same page again");
    assert!(again.message.contains("same page"), "{again}");
}

#[tokio::test]
async fn cancels_are_told_by_what_became_of_the_batch() {
    let answer = |cancel: Reply, get: Reply| {
        move |asked: &Asked| if asked.method == "DELETE" { cancel.clone() } else { get.clone() }
    };
    let state = |word: &str| Reply::json(200, json!({"id": id().as_str(), "state": word}).to_string());
    let fails = |status, code: &str| Reply::json(status, json!({"error_code": code, "error_msg": "no"}).to_string());
    let gone = || fails(404, "DLI.0023");
    for (cancel, get, wanted) in [
        (Reply::json(200, r#"{"msg":"deleted"}"#), state("running"), Ok(Effect::Accepted)),
        (Reply::json(204, ""), state("running"), Ok(Effect::Accepted)),
        (fails(400, "DLI.0007"), state("dead"), Ok(Effect::AlreadyEnded(BatchState::Failed))),
        (fails(400, "DLI.0001"), state("success"), Ok(Effect::AlreadyEnded(BatchState::Succeeded))),
        (fails(400, "DLI.0002"), state("dead"), Ok(Effect::AlreadyEnded(BatchState::Failed))),
        (fails(400, "DLI.0007"), state("running"), Err("backend_rejected")),
        (fails(400, "DLI.0002"), gone(), Err("not_found")),
        (fails(429, "APIGW.0308"), state("dead"), Err("throttled")),
        (fails(500, "DLI.0999"), state("dead"), Err("backend_unavailable")),
        (fails(400, "DLI.0007"), Reply::nothing().then_close(), Err("backend_unavailable")),
    ] {
        let told = format!("{cancel:?} {get:?}");
        let (_origin, backend) = over(answer(cancel, get)).await;
        let effect = backend.control(&context(), &id(), Action::Cancel).await.map_err(|error| error.kind.as_str());
        assert_eq!(effect, wanted, "{told}");
    }
    let (origin, backend) = over(move |_| Reply::json(200, "{}")).await;
    let error = backend.control(&context(), &id(), Action::Pause).await.expect_err("it cannot");
    assert!(matches!(error.kind, ErrorKind::Unsupported { .. }) && origin.asked().is_empty(), "{error:?}");
}

#[tokio::test]
async fn a_log_is_asked_for_as_it_is_wanted() {
    let world = World::new(Manners::default());
    let (origin, backend) = fake::dli(&world, json!({})).await;
    let lines = (0..2_500).map(|n| format!("line {n}")).collect();
    let job = world.add(PROJECT, "success", json!({"file": "a.jar"}), lines);
    let id = NativeId::from(job.id.clone());
    let log = async |lines: Lines, source: LogSource| {
        let before = origin.asked().len();
        let log = backend.log(&context(), &id, &LogQuery { lines, source }).await.expect("a log");
        let asked: Vec<_> = origin.asked()[before..]
            .iter()
            .map(|asked| asked.target.split_once("/log").expect("a log").1.to_owned())
            .collect();
        (log, asked)
    };
    let (tail, asked) = log(Lines::Tail(5), LogSource::Default).await;
    assert_eq!((tail.from, tail.total, asked), (2_495, Some(2_500), vec!["?size=5".to_owned()]));
    assert!(tail.native.is_some(), "what was asked for is what came");
    let (page, asked) = log(Lines::From(10, 1_500), LogSource::Driver { attempt: 3 }).await;
    let LogBody::Lines(lines) = &page.body else { panic!("lines") };
    assert_eq!((page.from, lines.len(), page.native.is_none()), (10, 1_500, true));
    assert_eq!(asked, ["?from=10&index=2&size=1000&type=driver", "?from=1010&index=2&size=500&type=driver"]);
    let (all, asked) = log(Lines::All, LogSource::Default).await;
    assert_eq!(asked, ["?from=0&size=1000"], "the rest as it is read");
    let LogBody::Stream(stream) = all.body else { panic!("a stream") };
    let text: Vec<u8> = stream.map_ok(|piece| piece.to_vec()).try_concat().await.expect("the whole");
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 2_500);
    let LogBody::Stream(stream) = log(Lines::All, LogSource::Default).await.0.body else { panic!("a stream") };
    let mut stream = std::pin::pin!(stream);
    stream.try_next().await.expect("the first page").expect("a page");
    world.jobs().clear();
    assert!(stream.try_next().await.is_err(), "what breaks off is no end");
    world.jobs().push(job.clone());
    let step = LogQuery { lines: Lines::Tail(1), source: LogSource::Step("s".into()) };
    let error = backend.log(&context(), &id, &step).await.expect_err("no steps");
    assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Step(_))), "{error:?}");
}

type Strange = (&'static str, fn() -> Reply);

/// What no DLI answers, whatever it is asked.
const STRANGE: &[Strange] = &[
    ("truncated JSON", || Reply::json(200, r#"{"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","state":"run"#)),
    ("an HTML page", || Reply::whole(200, "text/html", "<html><head><title>Login</title></head></html>")),
    ("an error inside", || Reply::json(200, r#"{"error_code":"DLI.0002","error_msg":"There is no queue named x"}"#)),
    ("no success inside", || Reply::json(200, r#"{"is_success":false,"message":"something went wrong"}"#)),
    ("wrong types", || Reply::json(200, r#"{"id":5,"state":[],"total":"x","from":"y","sessions":{},"log":{}}"#)),
    ("an empty id", || Reply::json(200, r#"{"id":"","state":"","sessions":[7],"log":7}"#)),
    ("an id that is a path", || {
        Reply::json(200, r#"{"id":"../x","state":"running","sessions":[{"id":"../x","state":"running"}]}"#)
    }),
    ("a list", || Reply::json(200, "[]")),
    ("null", || Reply::json(200, "null")),
    ("an empty body", || Reply::json(200, "")),
    ("nothing at all", || Reply::json(204, "")),
    ("an answer that is cut off", || {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":\"5")
            .then_close()
    }),
    ("no answer", || Reply::nothing().then_close()),
    ("a reset", || Reply::nothing().then_reset()),
    ("no HTTP", || Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").then_close()),
    ("broken gzip", || Reply::raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")),
    ("a gateway's 502", || Reply::whole(502, "text/html", "<html><title>502 Bad Gateway</title></html>")),
    ("a gateway's 503", || Reply::whole(503, "text/plain", "no server is available")),
    ("a gateway's 504", || {
        Reply::json(504, r#"{"error_msg":"Backend timeout","error_code":"APIGW.0201","request_id":"1"}"#)
    }),
    ("a failure of its own", || Reply::json(500, r#"{"error_code":"DLI.0999","error_msg":"server-side error"}"#)),
    ("the same as a 400", || Reply::json(400, r#"{"error_code":"DLI.0999","error_msg":"server-side error"}"#)),
    ("a time-out of its own", || Reply::json(400, r#"{"error_code":"DLI.0019","error_msg":"timed out"}"#)),
    ("too large an answer", || Reply::json(200, format!(r#"{{"id":"{}"}}"#, "x".repeat(17 << 20)))),
];

#[tokio::test]
async fn strange_answers_are_errors_and_a_submit_may_have_run() {
    for (what, strange) in STRANGE {
        let (_origin, backend) = over(move |_| strange()).await;
        let is_broken =
            |error: &Error| matches!(error.kind, ErrorKind::BackendUnavailable { .. } | ErrorKind::BackendTimeout);
        let sent = submit(&*backend, intent(marker(), spec(&["runs"]))).await;
        match sent {
            Err(SubmitError::Unknown(error)) => assert!(is_broken(&error), "{what}: {error:?}"),
            other => panic!("{what}: {other:?}"),
        }
        let ctx = context();
        let tail = LogQuery { lines: Lines::Tail(5), source: LogSource::Default };
        let look = sought(&marker());
        let results = [
            ("get", backend.get(&ctx, &id(), Detail::Summary).await.map(drop)),
            ("state", backend.get(&ctx, &id(), Detail::State).await.map(drop)),
            ("scan", backend.scan(&ctx, None).await.map(drop)),
            ("log", backend.log(&ctx, &id(), &tail).await.map(drop)),
            ("look", backend.look_up(&ctx, &look).await.map(drop)),
        ];
        for (call, result) in results {
            let error = result.expect_err(&format!("{what}: {call}"));
            assert!(is_broken(&error), "{what}: {call}: {error:?}");
            assert!(error.message.contains("'north'") && error.message.lines().count() == 1, "{what}: {call}: {error}");
        }
    }
}

#[tokio::test]
async fn interim_chunked_and_packed_answers_are_answers() {
    let object = format!(r#"{{"id":"{}","state":"running"}}"#, id());
    let packed = batchlingua_wire::encode_body(batchlingua_wire::Coding::Gzip, object.as_bytes());
    let mut gzip =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len()).into_bytes();
    gzip.extend(packed);
    let mut interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".to_vec();
    interim.extend(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{object}", object.len()).into_bytes());
    let (first, last) = object.as_bytes().split_at(20);
    for reply in [Reply::raw(gzip), Reply::raw(interim), Reply::chunked(200, &[first, last], "x-trailer: 1\r\n")] {
        let (_origin, backend) = over(move |_| reply.clone()).await;
        let batch = backend.get(&context(), &id(), Detail::Summary).await.expect("a batch");
        assert_eq!((batch.id, batch.state), (id(), BatchState::Running));
    }
}

#[tokio::test]
async fn what_is_refused_for_sure_is_told_so() {
    let fails = |status: u16, code: &str, message: &str| {
        let body = json!({"error_code": code, "error_msg": message}).to_string();
        move |_: &Asked| Reply::json(status, &body)
    };
    for (status, code, kind, has_native) in [
        (400, "DLI.0001", "backend_rejected", true),
        (400, "DLI.0006", "backend_rejected", true),
        (400, "DLI.0007", "backend_rejected", true),
        (400, "DLI.1028", "backend_rejected", true),
        (400, "DLI.0003", "backend_rejected", true),
        (401, "APIGW.0301", "backend_rejected", false),
        (403, "APIG.0302", "backend_rejected", false),
        (404, "APIG.0101", "backend_rejected", true),
        (429, "APIGW.0308", "throttled", true),
        (503, "APIGW.0613", "backend_unavailable", true),
    ] {
        let (_origin, backend) = over(fails(status, code, "no")).await;
        match submit(&*backend, intent(marker(), spec(&["runs"]))).await {
            Err(SubmitError::Refused(error)) => {
                assert_eq!((error.kind.as_str(), error.native.is_some()), (kind, has_native), "{code}: {error:?}");
                assert!(error.message.contains(code), "{error}");
            }
            other => panic!("{code}: {other:?}"),
        }
    }
    let (_origin, backend) = over(fails(400, "DLI.0002", "There is no queue named etl_q")).await;
    let Err(SubmitError::Refused(error)) = submit(&*backend, intent(marker(), spec(&["runs"]))).await else {
        panic!("refused")
    };
    assert_eq!(error.kind, ErrorKind::NotFound(Missing::Queue("etl_q".into())));
    let native = error.native.expect("DLI's own words");
    assert_eq!((native.status, native.content_type.as_str()), (400, "application/json"));
    assert_eq!(&native.body[..], br#"{"error_code":"DLI.0002","error_msg":"There is no queue named etl_q"}"#);
}

#[tokio::test]
async fn a_backend_that_is_not_there_was_sent_nothing() {
    let origin = Origin::start(|_| Reply::nothing()).await;
    let url = origin.url();
    drop(origin);
    let backend = fake::backend(&url, json!({}), Arc::new(ManualClock::default()));
    match submit(&backend, intent(marker(), spec(&["runs"]))).await {
        Err(SubmitError::NotSent(error)) => {
            assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{error:?}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn callers_hear_what_is_said_of_their_own_credentials() {
    let origin =
        Origin::start(|_| Reply::json(401, r#"{"error_code":"APIGW.0301","error_msg":"token expires"}"#)).await;
    let settings = json!({"auth": {"caller": true, "token": "the-proxys-own"}});
    let backend = fake::backend(&origin.url(), settings, Arc::new(ManualClock::default()));
    assert!(backend.capabilities().caller_credentials);
    let theirs = Context { caller: Some(Arc::new(Credentials::Token("theirs".into()))), ..context() };
    let error = backend.get(&theirs, &id(), Detail::State).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unauthenticated(Unproven::Wrong));
    assert!(error.native.is_some());
    let error = backend.get(&context(), &id(), Detail::State).await.expect_err("refused");
    assert_eq!((&error.kind, error.native.is_none()), (&ErrorKind::BackendRejected, true), "{error:?}");
    assert!(error.message.contains("refused the proxy's credentials"), "{error}");
    let shown: Vec<_> = origin.asked().iter().map(|asked| asked.header("x-auth-token").to_owned()).collect();
    assert_eq!(shown, ["theirs", "the-proxys-own"]);

    let denied = Origin::start(|_| Reply::json(403, r#"{"error_code":"APIGW.0302","error_msg":"not allowed"}"#)).await;
    let backend = fake::backend(&denied.url(), json!({"auth": {"caller": true}}), Arc::new(ManualClock::default()));
    let error = backend.get(&theirs, &id(), Detail::State).await.expect_err("denied");
    assert_eq!(error.kind, ErrorKind::Forbidden(Denial::Backend));
}

#[tokio::test]
async fn waits_that_are_told_are_passed_on_and_redirects_are_not_followed() {
    let answer =
        |head: &'static str| move |_: &Asked| Reply::raw(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"));
    for (head, kind) in [
        ("429 Too Many Requests\r\nretry-after: 17", ErrorKind::Throttled { retry_after: Duration::from_secs(17) }),
        ("503 Unavailable\r\nretry-after: 17", ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(17) }),
        ("503 Unavailable", ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(5) }),
        ("429 x\r\nretry-after: 99999999", ErrorKind::Throttled { retry_after: Duration::from_secs(3_600) }),
    ] {
        let (_origin, backend) = over(answer(head)).await;
        assert_eq!(backend.get(&context(), &id(), Detail::State).await.expect_err("refused").kind, kind, "{head}");
    }
    let (origin, backend) = over(answer("302 Found\r\nlocation: https://login.example.com/secret?t=1")).await;
    let error = backend.probe(&context()).await.expect_err("it is no DLI");
    assert_eq!(error.kind, ErrorKind::BackendRejected);
    assert!(error.message.contains("login.example.com") && !error.message.contains("secret"), "{error}");
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn requests_are_signed_over_the_recommended_headers_with_a_new_date_each_time() {
    let origin = Origin::start(|_| Reply::json(200, r#"{"total":0,"sessions":[]}"#)).await;
    let key = json!({"ak": "AK", "sk": "the-secret-key", "security_token": "temporary"});
    let clock = Arc::new(ManualClock::new(Millis(1_767_323_045_000)));
    let backend = fake::backend(&origin.url(), json!({"auth": {"ak_sk": key}}), clock.clone());
    backend.probe(&context()).await.expect("an answer");
    clock.advance(Duration::from_secs(1));
    backend.probe(&context()).await.expect("an answer");
    let asked = origin.asked();
    let dates: Vec<_> = asked.iter().map(|asked| asked.header("x-sdk-date")).collect();
    assert_eq!(dates, ["20260102T030405Z", "20260102T030406Z"]);
    for asked in &asked {
        let signable = crate::signature::Signable {
            method: "GET",
            path: asked.target.split_once('?').expect("a query").0,
            query: asked.target.split_once('?').expect("a query").1,
            headers: &asked.headers,
            signed_headers: "content-type;host;x-project-id;x-sdk-date;x-security-token",
            payload: &crate::signature::payload_hash(b""),
        };
        assert_eq!(asked.header("authorization"), signable.authorization("AK", "the-secret-key").expect("signed"));
        assert_eq!(asked.header("x-security-token"), "temporary");
    }
    let head = backend.head(&backend.plan(intent(marker(), spec(&["runs"]))).expect("a plan"));
    assert!(!head.is_empty() && !head.contains("Signature=") && !head.contains("temporary"), "{head}");
}

#[tokio::test]
async fn a_word_that_is_new_is_a_live_state() {
    let (_origin, backend) = over(|_| Reply::json(200, format!(r#"{{"id":"{}","state":"Cancelling"}}"#, id()))).await;
    let batch = backend.get(&context(), &id(), Detail::State).await.expect("a batch");
    assert_eq!((batch.state, batch.native.expect("an object").word.as_str()), (BatchState::Running, "Cancelling"));
}
