//! The backend over a small Kyuubi: the suite that all backends pass, and what is Kyuubi's own.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchKind, BatchSpec, BatchState, Capabilities, Clash, Context, Credentials, Cursor,
    Denial, Detail, Effect, ErrorKind, Intent, Marking, Missing, NativeId, Payload, Purpose, Sighting, StateSet,
    SubmitError,
};
use batchlingua_testkit::{
    Reply,
    conformance::{self, Job, Rig},
    context, intent, marker, sought,
};
use serde_json::{Value, json};

use crate::fake::Scene;

struct KyuubiRig(Scene);

fn archive(name: &str) -> BatchSpec {
    BatchSpec {
        file: Some("hdfs:///apps/etl.jar".into()),
        class_name: Some("org.example.Etl".into()),
        name: Some(name.into()),
        ..BatchSpec::default()
    }
}

#[async_trait]
impl Rig for KyuubiRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.0.port()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        archive(&format!("{job:?}"))
    }

    fn tells_what_runs(&self) -> bool {
        false
    }

    async fn submitted(&self, id: &NativeId, job: Job) {
        let mut world = self.0.world();
        let batch = world.find(id.as_str()).expect("just submitted");
        batch.ahead = match job {
            Job::Succeeds | Job::Prints(_) => vec!["PENDING", "RUNNING", "FINISHED"],
            Job::Fails => vec!["RUNNING", "ERROR"],
            Job::Runs => vec!["PENDING", "RUNNING"],
        };
        if let Job::Prints(lines) = job {
            batch.log = ["/opt/spark/bin/spark-submit \\".to_owned()].into();
            batch.log.extend((0..lines).map(|line| format!("line {line}")));
            batch.log.push("BatchJobSubmission: FINISHED".to_owned());
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.0.finish(id, "FINISHED");
    }

    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        // Each look moves the job on.
        for _ in 0..10 {
            let batch = self.0.backend.get(&context(), id, Detail::State).await.expect("the job is there");
            if wanted.contains(batch.state) {
                return batch;
            }
        }
        panic!("job {id} did not reach {:?}", wanted.iter().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn kyuubi_conforms() {
    for version in ["1.12.0", "1.9.1", "1.7.0", "1.6.1-incubating"] {
        let scene = Scene::of(version, json!({})).await;
        scene.backend.probe(&context()).await.expect("a version");
        conformance::all(&KyuubiRig(scene)).await;
    }
}

async fn submit(scene: &Scene, intent: Intent) -> Result<Batch<NativeId>, SubmitError> {
    let plan = scene.backend.plan(intent).expect("a plan");
    scene.backend.submit(&context(), plan).await
}

fn plain() -> Intent {
    intent(marker(), archive("plain"))
}

/// A 500 of Kyuubi's, as recorded in `limits`.
fn failure(message: &str) -> Reply {
    Reply::json(500, json!({ "message": message }).to_string())
}

#[tokio::test]
async fn a_submit_is_one_post_with_our_id_and_its_answer_the_batch() {
    let scene = Scene::of("1.12.0", json!({"auth": {"basic": {"user": "etl", "password": "hunter2"}}})).await;
    let mut ctx = context();
    ctx.client = Some("10.1.2.3".parse().expect("an address"));
    let intent = plain();
    let uuid = intent.marker.uuid.to_string();
    let plan = scene.backend.plan(intent).expect("a plan");
    assert!(
        plan.head.starts_with("POST /api/v1/batches HTTP/1.1\n") && !plan.head.contains("hunter2"),
        "{}",
        plan.head
    );
    let batch = scene.backend.submit(&ctx, plan).await.expect("accepted");
    assert_eq!((batch.id.as_str(), batch.state), (uuid.as_str(), BatchState::Starting));
    assert_eq!(batch.native.as_ref().map(|native| native.word.as_str()), Some("PENDING"));
    let asked = scene.origin.asked();
    let lines: Vec<_> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
    assert_eq!(lines, ["GET /api/v1/version", "POST /api/v1/batches"], "the version first, since nobody had asked yet");
    assert_eq!(asked[1].header("x-real-ip"), "10.1.2.3");
    assert_eq!(
        asked[1].json(),
        json!({
            "batchType": "SPARK", "resource": "hdfs:///apps/etl.jar", "className": "org.example.Etl", "name": "plain",
            "conf": {"kyuubi.batch.id": uuid}, "args": [],
        })
    );
}

#[tokio::test]
async fn a_server_that_has_not_told_its_version_is_asked_before_anything_is_sent_to_it() {
    let scene = Scene::of("1.6.1-incubating", json!({})).await;
    assert_eq!(scene.backend.capabilities().marking, Marking::Idempotent, "until it is known better");
    let plan = scene.backend.plan(plain()).expect("a plan");
    let error = scene.backend.submit(&context(), plan).await.expect_err("planned for another version");
    assert!(matches!(error, SubmitError::NotSent(error) if error.kind.retry_after().is_some()));
    assert_eq!(scene.origin.asked().len(), 1, "nothing but the version");
    let can = scene.backend.capabilities();
    let Capabilities { marking, upload, .. } = *can;
    assert_eq!((marking, upload), (Marking::None, false));
    submit(&scene, plain()).await.expect("planned for 1.6");
    assert_eq!(scene.world().batches[0].request["conf"], json!({}), "it would take the id for a key of Spark's");
    // Twice: a read that a kept connection has swallowed is sent again.
    scene.world().faults.extend([0, 1].map(|_| ("GET /api/v1/version", Reply::nothing().then_close())));
    assert!(scene.backend.probe(&context()).await.is_err());
    assert_eq!(scene.backend.capabilities().marking, Marking::None, "what was told once holds");
}

#[tokio::test]
async fn a_submit_whose_version_cannot_be_asked_is_not_sent() {
    let scene = Scene::of("1.12.0", json!({})).await;
    scene.world().faults.push(("GET /api/v1/version", Reply::whole(502, "text/html", "<html><title>Bad</title>")));
    let error = submit(&scene, plain()).await.expect_err("no version");
    assert!(matches!(error, SubmitError::NotSent(_)), "{error:?}");
}

#[tokio::test]
async fn a_known_id_is_its_batch_unless_it_is_another_users() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let first = plain();
    let batch = submit(&scene, first.clone()).await.expect("accepted");
    let again = submit(&scene, first.clone()).await.expect("the same again");
    assert_eq!(again.id, batch.id);
    assert!(again.native.is_some_and(|native| String::from_utf8_lossy(&native.object).contains("duplicated")));
    scene.world().batches[0].user = "bob".to_owned();
    let error = submit(&scene, first.clone()).await.expect_err("bob's");
    assert!(
        matches!(&error, SubmitError::Refused(error) if error.kind == ErrorKind::Conflict(Clash::NotYours)),
        "{error:?}"
    );
    let mut as_bob = first;
    Arc::make_mut(&mut as_bob.spec).run_as = Some("bob".into());
    submit(&scene, as_bob).await.expect("it runs as bob");
}

/// What each text of a 500 is, and what is left of it. Texts and remnants are those of `limits` and `submit` in the recordings.
#[tokio::test]
async fn a_failure_is_what_is_seen_under_the_id() {
    let outside = "org.apache.kyuubi.KyuubiSQLException: Error opening batch session[SessionHandle [x]] for anonymous client ip \
                   127.0.0.1, due to The file /etc/passwd to access is not in the local dir allow list [/srv/jobs/].";
    let full = "org.apache.kyuubi.KyuubiSQLException: Error opening batch session, due to Error submitting batch job, request rejected \
                BatchJobSubmission: java.util.concurrent.RejectedExecutionException\n\tat java.base/x(Y.java:1)";
    for (text, left, wanted) in [
        ("requirement failed: resource is a required parameter", None, "backend_rejected"),
        (
            "org.apache.kyuubi.KyuubiSQLException: Connection limit per user reached (user: a limit: 2)",
            None,
            "throttled",
        ),
        ("Failed to validate proxy privilege of etl for bob", None, "forbidden"),
        (
            "org.apache.kyuubi.KyuubiSQLException: spark.secret is a restrict key according to the server-side configuration",
            None,
            "invalid_request",
        ),
        (outside, Some("CANCELED"), "invalid_request"),
        (full, Some("ERROR"), "throttled"),
    ] {
        let scene = Scene::of("1.12.0", json!({})).await;
        let intent = plain();
        if let Some(state) = left {
            submit(&scene, intent.clone()).await.expect("accepted");
            scene.world().batches[0].ahead = vec![state];
        }
        scene.world().faults.push(("POST", failure(text)));
        let error = submit(&scene, intent).await.expect_err(text);
        let SubmitError::Refused(error) = error else { panic!("{text}: {error:?}") };
        assert_eq!(error.kind.as_str(), wanted, "{text}");
        assert!(!error.message.contains("\tat") && !error.message.contains('\n'), "{}", error.message);
        let native = error.native.expect("Kyuubi's own answer");
        let body: Value = serde_json::from_slice(&native.body).expect("JSON");
        assert_eq!((native.status, body["message"].as_str()), (500, Some(text)));
    }
}

#[tokio::test]
async fn a_failure_after_which_the_batch_is_there_is_none() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let intent = plain();
    submit(&scene, intent.clone()).await.expect("accepted");
    for state in ["RUNNING", "CANCELED"] {
        scene.world().batches[0].ahead = vec![state];
        scene.world().faults.push(("POST", failure("java.net.SocketException: broken")));
        let batch = submit(&scene, intent.clone()).await.expect("it runs, or has run");
        assert_eq!(batch.native.map(|native| native.word), Some(state.to_owned()));
    }
}

#[tokio::test]
async fn a_failure_that_cannot_be_looked_after_is_of_unknown_outcome() {
    let unreadable = Reply::whole(500, "text/html", "<html><head><title>Oops</title></head></html>");
    for (post, get) in [
        (failure("x"), Some(Reply::whole(503, "text/html", "<html>"))),
        (failure("x"), Some(Reply::nothing().then_close())),
        (failure("x"), Some(Reply::json(200, "{\"id\":"))),
        // Not Kyuubi's words: whoever said that may have given up waiting for a Kyuubi that still works.
        (unreadable, None),
    ] {
        let scene = Scene::of("1.12.0", json!({})).await;
        scene.backend.probe(&context()).await.expect("a version");
        scene.world().faults.push(("POST", post));
        // Twice: a read that a kept connection has swallowed is sent again.
        scene.world().faults.extend(
            get.into_iter().flat_map(|get| [("GET /api/v1/batches/", get.clone()), ("GET /api/v1/batches/", get)]),
        );
        let error = submit(&scene, plain()).await.expect_err("a failure");
        assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
        assert_eq!(scene.origin.asked().iter().filter(|asked| asked.method == "POST").count(), 1, "one POST");
    }
}

#[tokio::test]
async fn without_an_id_only_what_comes_before_anything_is_done_is_a_refusal() {
    for (text, is_refused) in [
        ("requirement failed: classname is a required parameter", true),
        ("Failed to validate proxy privilege of etl for bob", true),
        ("java.lang.IllegalStateException: x", false),
    ] {
        let scene = Scene::of("1.6.1-incubating", json!({})).await;
        scene.backend.probe(&context()).await.expect("a version");
        // 1.6 says that a bare text is JSON.
        scene.world().faults.push(("POST", Reply::json(500, text)));
        let error = submit(&scene, plain()).await.expect_err(text);
        assert_eq!(matches!(error, SubmitError::Refused(_)), is_refused, "{text}: {error:?}");
        assert_eq!(matches!(error, SubmitError::Unknown(_)), !is_refused, "{text}: {error:?}");
        let looked = scene.backend.look_up(&context(), &sought(&marker())).await.expect("a look");
        assert!(matches!(looked, Sighting::CannotTell));
    }
}

#[tokio::test]
async fn files_are_sent_as_a_form_of_known_length() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let ground = tempfile::tempdir().expect("a folder");
    let big: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let file = |name: &str, content: &[u8], purpose| {
        let path = ground.path().join(name.len().to_string());
        std::fs::write(&path, content).expect("written");
        Payload { part: name.into(), file_name: name.into(), bytes: content.len() as u64, path, purpose }
    };
    let keys = |keys: &[&str]| Purpose::Conf(keys.iter().map(|key| (*key).to_owned()).collect());
    let mut intent = intent(marker(), BatchSpec { kind: BatchKind::Python, ..archive("up") });
    intent.files = Arc::new(vec![
        file("ma\"in\r\n.py", b"pass", Purpose::Application),
        file("b.zip", &big, keys(&["spark.submit.pyFiles", "spark.files"])),
        file("naïve,1.txt", b"", keys(&["spark.files"])),
        file("nothing.txt", b"x", keys(&[])),
        file("unnamed.txt", b"x", Purpose::Unsaid),
    ]);
    let plan = scene.backend.plan(intent).expect("a plan");
    scene.backend.submit(&context(), plan.clone()).await.expect("accepted");
    let asked = scene.origin.asked().pop().expect("a form");
    assert_eq!(asked.header("content-length"), asked.body.len().to_string());
    assert_eq!(asked.header("transfer-encoding"), "");
    assert!(plan.head.contains(asked.header("content-type")), "{}", plan.head);
    let boundary = asked.header("content-type").split("boundary=").nth(1).and_then(|rest| rest.split(';').next());
    let boundary = format!("--{}", boundary.expect("a boundary"));
    let parts: Vec<_> = split(&asked.body, boundary.as_bytes());
    let heads: Vec<_> = parts.iter().map(|(head, _)| head.as_str()).collect();
    assert_eq!(
        heads,
        [
            "Content-Disposition: form-data; name=\"batchRequest\"\r\nContent-Type: application/json; charset=UTF-8",
            "Content-Disposition: form-data; name=\"resourceFile\"; filename=\"ma_in__.py\"\r\nContent-Type: application/octet-stream",
            "Content-Disposition: form-data; name=\"b.zip\"; filename=\"b.zip\"\r\nContent-Type: application/octet-stream",
            "Content-Disposition: form-data; name=\"naïve_1.txt\"; filename=\"naïve_1.txt\"\r\nContent-Type: application/octet-stream",
        ]
    );
    assert_eq!((parts[1].1, parts[2].1, parts[3].1), (&b"pass"[..], &big[..], &b""[..]));
    let request: Value = serde_json::from_slice(parts[0].1).expect("JSON");
    assert_eq!(parts[0].1, &plan.request[..]);
    assert_eq!(
        request["extraResourcesMap"],
        json!({"spark.files": "b.zip,naïve_1.txt", "spark.submit.pyFiles": "b.zip"})
    );
    assert!(request["resource"].is_string(), "1.10 wants one, whatever it is");
}

/// The parts of a form: head and content.
fn split<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<(String, &'a [u8])> {
    let find = |from: usize, what: &[u8]| {
        body[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(start) =
        find(at, boundary).map(|found| found + boundary.len()).filter(|start| body[*start..].starts_with(b"\r\n"))
    {
        let head_end = find(start, b"\r\n\r\n").expect("a head");
        let end = find(head_end, &[b"\r\n", boundary].concat()).expect("an end");
        let head = String::from_utf8_lossy(&body[start + 2..head_end]).into_owned();
        parts.push((head, &body[head_end + 4..end]));
        at = end;
    }
    parts
}

#[tokio::test]
async fn a_file_that_is_gone_stops_a_submit_before_its_first_byte() {
    let scene = Scene::of("1.12.0", json!({})).await;
    scene.backend.probe(&context()).await.expect("a version");
    let mut intent = plain();
    let path = "/nonexistent/upload".into();
    let purpose = Purpose::Application;
    intent.files = Arc::new(vec![Payload { part: "f".into(), file_name: "a.jar".into(), bytes: 3, path, purpose }]);
    let error = submit(&scene, intent).await.expect_err("no file");
    assert!(matches!(error, SubmitError::NotSent(_)), "{error:?}");
    assert_eq!(scene.origin.asked().len(), 1);
}

#[tokio::test]
async fn a_delete_is_asked_for_in_the_name_of_the_batchs_user() {
    for (settings, user, target) in [
        (json!({}), "anonymous", ""),
        (json!({}), "ann", "?hive.server2.proxy.user=ann"),
        (json!({"auth": {"basic": {"user": "etl@REALM", "password": "p"}}}), "etl", ""),
        (json!({"auth": {"basic": {"user": "etl", "password": "p"}}}), "a&b/c", "?hive.server2.proxy.user=a%26b%2Fc"),
        (json!({"auth": {"bearer": "t"}}), "ann", "?hive.server2.proxy.user=ann"),
    ] {
        let scene = Scene::of("1.8.0", settings).await;
        let batch = submit(&scene, plain()).await.expect("accepted");
        scene.world().batches[0].user = user.to_owned();
        let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await.expect("ended");
        assert_eq!(effect, Effect::Ended(BatchState::Cancelled));
        let asked = scene.origin.asked();
        let lines: Vec<_> = asked[2..].iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
        let path = format!("/api/v1/batches/{}", batch.id);
        assert_eq!(lines, [format!("GET {path}"), format!("DELETE {path}{target}"), format!("GET {path}")]);
    }
}

/// Texts are those of `delete` and `two` in the recordings.
#[tokio::test]
async fn what_a_delete_did_is_seen_and_not_believed() {
    let closed = |success: bool, msg: &str| Reply::json(200, json!({"success": success, "msg": msg}).to_string());
    let unwatched = "No interface org.apache.kyuubi.engine.ApplicationOperation Service found in ServiceLoader for \
                     ApplicationManagerInfo(Some(local[2]),KubernetesInfo(None,None))";
    let cancelled = Ok(Effect::Ended(BatchState::Cancelled));
    for (word, after, wanted) in [
        (closed(true, "Succeeded to terminate: 1"), "RUNNING", Ok(Effect::Accepted)),
        (closed(false, "APPLICATION_NOT_FOUND"), "CANCELED", cancelled),
        (closed(false, "APPLICATION_NOT_FOUND"), "PENDING", Ok(Effect::Accepted)),
        (closed(false, "org.apache.kyuubi.client.exception.RetryableKyuubiRestException"), "CANCELED", cancelled),
        (closed(false, "batch x is already terminal"), "FINISHED", Ok(Effect::Ended(BatchState::Succeeded))),
        (closed(false, unwatched), "PENDING", Err("backend_rejected")),
        (
            Reply::json(403, r#"{"message":"Failed to validate proxy privilege of bob for ann"}"#),
            "RUNNING",
            Err("forbidden"),
        ),
        (Reply::json(405, "HTTP 405 Method Not Allowed"), "RUNNING", Err("forbidden")),
        (
            Reply::json(405, r#"{"message":"bob is not allowed to close the session belong to ann"}"#),
            "RUNNING",
            Err("forbidden"),
        ),
        (Reply::json(404, r#"{"message":"Invalid batchId: x"}"#), "RUNNING", Err("not_found")),
        (Reply::whole(502, "text/html", "<html>"), "RUNNING", Err("backend_unavailable")),
        (Reply::json(200, r#"{"ok":true}"#), "RUNNING", Err("backend_unavailable")),
        (Reply::nothing().then_close(), "RUNNING", Err("backend_unavailable")),
    ] {
        let scene = Scene::of("1.12.0", json!({})).await;
        let batch = submit(&scene, plain()).await.expect("accepted");
        scene.world().batches[0].ahead = vec!["PENDING", after];
        let shown = format!("{word:?}");
        scene.world().faults.push(("DELETE", word));
        let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await;
        assert_eq!(effect.map_err(|error| error.kind.as_str()), wanted, "{shown}");
    }
}

#[tokio::test]
async fn what_has_ended_is_left_with_its_log() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let batch = submit(&scene, plain()).await.expect("accepted");
    scene.finish(&batch.id, "FINISHED");
    let effect = scene.backend.control(&context(), &batch.id, Action::Cancel).await.expect("no error");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Succeeded));
    assert!(scene.origin.asked().iter().all(|asked| asked.method != "DELETE"));
}

#[tokio::test]
async fn a_walk_goes_on_until_a_page_is_short() {
    let scene = Scene::of("1.12.0", json!({})).await;
    submit(&scene, plain()).await.expect("accepted");
    let one = scene.world().batches[0].clone();
    let many = (0..1_203).map(|n| crate::fake::Fake { id: format!("00000000-0000-4000-8000-{n:012}"), ..one.clone() });
    scene.world().batches = many.collect();
    let (mut rows, mut after, mut targets) = (0, None, Vec::new());
    loop {
        let page = scene.backend.scan(&context(), after).await.expect("a page");
        assert_eq!(page.total, None);
        assert!(page.rows.iter().all(|row| row.native.as_ref().is_some_and(|native| native.object.len() < 1_000)));
        rows += page.rows.len();
        targets.push(scene.origin.asked().pop().expect("asked").target);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let wanted = [0, 500, 1_000].map(|from| format!("/api/v1/batches?from={from}&size=500"));
    assert_eq!((rows, targets), (1_203, wanted.to_vec()));
    assert!(scene.backend.scan(&context(), Some(Cursor("x".into()))).await.is_err());
}

/// As recorded in `two`: the owner is down, its batch was killed, and the one who is asked takes it for finished.
#[tokio::test]
async fn an_end_that_nobody_saw_is_not_believed() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let batch = submit(&scene, plain()).await.expect("accepted");
    let guessed = |app: &str, end: i64| {
        let object = json!({"id": batch.id.as_str(), "user": "anonymous", "batchType": "SPARK", "name": null, "appStartTime": 5,
            "appId": null, "appState": app, "state": "FINISHED", "createTime": 1_795_300_000_010_i64, "endTime": end, "batchInfo": {}});
        ("GET /api/v1/batches/", Reply::json(200, object.to_string()))
    };
    let get = || async { scene.backend.get(&context(), &batch.id, Detail::State).await };
    scene.world().faults.push(guessed("NOT_FOUND", 0));
    assert_eq!(get().await.expect("as stored").state, BatchState::Starting, "it is stored as PENDING");
    assert!(scene.origin.asked().pop().expect("a list").target.contains("createTime=1795300000010"));
    scene.world().batches[0].state = "CANCELED";
    scene.world().faults.push(guessed("NOT_FOUND", 0));
    assert_eq!(get().await.expect("as stored").state, BatchState::Cancelled);
    scene.world().batches.clear();
    scene.world().faults.push(guessed("UNKNOWN", 0));
    let unsettled = get().await.expect("as last seen");
    assert_eq!((unsettled.state, unsettled.native), (BatchState::Running, None));
    for (app, end) in [("FINISHED", 0), ("NOT_FOUND", 1_795_300_000_900)] {
        scene.world().faults.push(guessed(app, end));
        assert_eq!(get().await.expect("seen").state, BatchState::Succeeded, "{app} {end}");
    }
    scene.world().faults.push(guessed("NOT_FOUND", 0));
    scene.world().faults.push(("GET /api/v1/batches?", Reply::whole(503, "text/plain", "no")));
    assert!(matches!(get().await.expect_err("not known").kind, ErrorKind::BackendUnavailable { .. }));
}

#[tokio::test]
async fn an_id_that_can_be_none_is_not_asked_for() {
    let scene = Scene::of("1.12.0", json!({})).await;
    for id in ["7", "nightly/../../admin", "etl job", ""] {
        let id = NativeId::from(id);
        let get = scene.backend.get(&context(), &id, Detail::State).await.map(|batch| batch.state);
        let end = scene.backend.control(&context(), &id, Action::Cancel).await;
        for error in [get.expect_err("no id"), end.expect_err("no id")] {
            assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{error:?}");
        }
    }
    assert!(scene.origin.asked().is_empty());
}

#[tokio::test]
async fn a_batch_object_of_another_dialect_has_the_end_of_the_log() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let batch = submit(&scene, plain()).await.expect("accepted");
    scene.world().batches[0].log = (0..30).map(|line| format!("line {line}")).collect();
    let get = |dialect: &'static str, detail| {
        let ctx = Context { dialect: dialect.into(), ..context() };
        let (backend, id) = (scene.backend.clone(), batch.id.clone());
        async move { backend.get(&ctx, &id, detail).await.expect("a batch").log_tail }
    };
    let tail: Vec<_> = (20..30).map(|line| format!("line {line}")).collect();
    assert_eq!(get("livy", Detail::Summary).await, tail);
    assert_eq!(get("kyuubi", Detail::Summary).await, [""; 0]);
    assert_eq!(get("livy", Detail::State).await, [""; 0]);
    let log = format!("GET /api/v1/batches/{}/localLog", batch.id);
    let log: &'static str = log.leak();
    scene.world().faults.push((log, failure("Api request failed for http://kyuubi-1:10099/x")));
    assert_eq!(get("livy", Detail::Summary).await, [""; 0], "the batch is shown without it");
}

#[tokio::test]
async fn refused_credentials_are_the_clients_only_if_they_were_its_own() {
    let page = || {
        Reply::whole(
            401,
            "application/json",
            r#"{"servlet":"x","message":"No auth scheme matched for null","status":"401"}"#,
        )
    };
    for (settings, is_callers) in [
        (json!({}), false),
        (json!({"auth": {"basic": {"user": "etl", "password": "p"}}}), false),
        (json!({"auth": {"caller": true}}), true),
    ] {
        let scene = Scene::of("1.12.0", settings).await;
        assert_eq!(scene.backend.capabilities().caller_credentials, is_callers);
        scene.world().faults.push(("GET /api/v1/batches", page()));
        let caller = Arc::new(Credentials::Basic { user: "ann".into(), password: "secret".into() });
        let ctx = Context { caller: Some(caller), ..context() };
        let error = scene.backend.scan(&ctx, None).await.expect_err("refused");
        match error.kind {
            ErrorKind::Unauthenticated(_) => assert!(is_callers),
            ErrorKind::BackendRejected => assert!(!is_callers && error.message.contains("the proxy's credentials")),
            other => panic!("{other:?}"),
        }
        assert!(error.native.is_none(), "a page about credentials is nobody's else");
    }
}

#[tokio::test]
async fn who_may_not_act_for_another_is_told_so() {
    let scene = Scene::of("1.12.0", json!({})).await;
    scene.backend.probe(&context()).await.expect("a version");
    scene
        .world()
        .faults
        .push(("POST", Reply::json(403, r#"{"message":"Failed to validate proxy privilege of etl for bob"}"#)));
    let SubmitError::Refused(error) = submit(&scene, plain()).await.expect_err("403") else { panic!("refused") };
    assert_eq!(error.kind, ErrorKind::Forbidden(Denial::RunAs { wanted: "bob".into() }));
}
