//! A submit: what is sent, and what its answer means.

use std::sync::Arc;

use batchlingua_core::{
    Backend, BatchKind, BatchSpec, BatchState, Capabilities, Clash, Denial, ErrorKind, Marking, Payload, Purpose,
    Sighting, SubmitError,
};
use batchlingua_testkit::{Reply, context, intent, marker, sought};
use serde_json::{Value, json};

use super::{archive, failure, plain, submit};
use crate::fake::Scene;

#[tokio::test]
async fn a_submit_is_one_post_with_our_id_and_its_answer_the_batch() {
    let scene = Scene::of("1.12.0", json!({"auth": {"basic": {"user": "etl", "password": "hunter2"}}})).await;
    let mut ctx = context();
    ctx.client = Some("10.1.2.3".parse().expect("an address"));
    let intent = plain();
    let uuid = intent.marker.uuid.to_string();
    let plan = scene.backend.plan(intent).expect("a plan");
    let head = scene.backend.head(&plan);
    assert!(head.starts_with("POST /api/v1/batches HTTP/1.1\n") && !head.contains("hunter2"), "{head}");
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

/// After a restart of the proxy, before anybody has asked for the version.
#[tokio::test]
async fn a_look_for_a_submit_asks_for_the_version_first() {
    let scene = Scene::of("1.6.1-incubating", json!({})).await;
    let looked = scene.backend.look_up(&context(), &sought(&marker())).await.expect("a look");
    assert!(matches!(looked, Sighting::CannotTell), "what 1.6 does not show may run under another id");
    let scene = Scene::of("1.12.0", json!({})).await;
    scene.world().faults.push(("GET /api/v1/version", Reply::whole(503, "text/plain", "no")));
    assert!(scene.backend.look_up(&context(), &sought(&marker())).await.is_err());
    let looked = scene.backend.look_up(&context(), &sought(&marker())).await.expect("a look");
    assert!(matches!(looked, Sighting::Absent { others_seen: false }), "an empty store may be a lost one");
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
    let head = scene.backend.head(&plan);
    assert!(head.contains(asked.header("content-type")), "{head}");
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
