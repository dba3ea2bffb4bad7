//! The backend over a small Kyuubi: the suite that all backends pass, and what is Kyuubi's own.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchSpec, BatchState, Context, Credentials, Cursor, Detail, ErrorKind, Intent, Missing,
    NativeId, StateSet, SubmitError,
};
use batchlingua_testkit::{
    Reply,
    conformance::{self, Job, Rig},
    context, intent, marker,
};
use serde_json::json;

use crate::fake::Scene;

mod cancels;
mod submits;

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
    let wanted = [0, 1_000].map(|from| format!("/api/v1/batches?from={from}&size=1000"));
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

/// As recorded in `get/no-name-running`.
#[tokio::test]
async fn a_command_line_is_no_name() {
    let scene = Scene::of("1.12.0", json!({})).await;
    let batch = submit(&scene, plain()).await.expect("accepted");
    scene.world().batches[0].name =
        " org.apache.spark.launcher.Main --conf spark.hadoop.password=hunter2 /a.jar".into();
    let seen = scene.backend.get(&context(), &batch.id, Detail::State).await.expect("a batch");
    assert_eq!(seen.spec.name, None);
    let native = seen.native.expect("Kyuubi's object");
    assert!(
        String::from_utf8_lossy(&native.object).contains("launcher.Main"),
        "its own clients see what a Kyuubi shows"
    );
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
