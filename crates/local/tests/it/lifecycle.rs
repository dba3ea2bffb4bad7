//! From a submit to an end.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use batchlingua_core::{
    Backend, BatchKind, BatchSpec, BatchState, ErrorKind, Marker, Payload, Purpose, Sighting, SubmitError, Treatment,
    Uuid,
};

use batchlingua_testkit::sought;

use crate::support::{Ground, context, executable, intent, shell};

#[tokio::test]
async fn a_job_runs_and_its_end_is_told() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let id = house.submit(shell("echo out; echo err >&2; pwd")).await;
    let batch = house.ended(&id).await;
    assert_eq!((batch.state, batch.diagnostic.clone()), (BatchState::Succeeded, None));
    let times = batch.times;
    assert!(times.created <= times.started.expect("started") && times.started <= times.ended, "{times:?}");
    let work = ground.job_file(&id, "work").canonicalize().expect("a folder to work in");
    assert_eq!(house.log(&id).await, ["out", "err", work.to_str().expect("UTF-8")]);
    assert_eq!(batch.log_tail.len(), 3);
    assert!(!ground.job_file(&id, "launch.json").exists(), "what may hold secrets is gone");
    let mode = |name| fs::metadata(ground.job_file(&id, name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("log"), mode("meta.json")), (0o700, 0o600, 0o600));
}

#[tokio::test]
async fn ends_are_told_apart() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    for (script, state, diagnostic) in [
        ("exit 0", BatchState::Succeeded, None),
        ("exit 3", BatchState::Failed, Some("exit code 3")),
        ("kill -9 $$", BatchState::Failed, Some("killed by signal 9")),
        ("kill -15 $$", BatchState::Failed, Some("killed by signal 15")),
    ] {
        let id = house.submit(shell(script)).await;
        let batch = house.ended(&id).await;
        assert_eq!((batch.state, batch.diagnostic.as_deref()), (state, diagnostic), "{script}");
    }
    let missing = ground.path("missing").to_str().expect("UTF-8").to_owned();
    let id = house.submit(executable(vec![missing])).await;
    let batch = house.ended(&id).await;
    assert_eq!(batch.state, BatchState::Failed);
    let why = batch.diagnostic.expect("a reason");
    assert!(why.contains("cannot start") && why.contains("No such file"), "{why}");
    assert!(house.log(&id).await.join("\n").contains("cannot start"), "the log says so too");
}

#[tokio::test]
async fn jobs_run_in_order_within_the_limit_and_too_many_are_refused() {
    let ground = Ground::new().with("concurrency", 1).with("max_queued", 2);
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    let order = ground.path("order");
    let line = |name: &str| format!("echo {name} >> {}", order.display());
    let first = house.submit(shell(format!("read x < {}; {}", gate.path().display(), line("first")))).await;
    house.until(&first, |batch| batch.state == BatchState::Running).await;
    let second = house.submit(shell(line("second"))).await;
    let third = house.submit(shell(line("third"))).await;
    assert_eq!((house.state(&second).await, house.state(&third).await), (BatchState::Queued, BatchState::Queued));
    let plan = house.backend.plan(shell("true")).expect("a plan");
    let marker = plan.intent.marker.clone();
    match house.backend.submit(&context(), plan).await {
        Err(SubmitError::NotSent(error)) => assert!(matches!(error.kind, ErrorKind::Throttled { .. }), "{error:?}"),
        other => panic!("{other:?}"),
    }
    let sighting = house.backend.look_up(&context(), &sought(&marker)).await.expect("a look");
    assert!(matches!(sighting, Sighting::Absent { others_seen: true }), "{sighting:?}");
    gate.open().await;
    for id in [&first, &second, &third] {
        assert_eq!(house.ended(id).await.state, BatchState::Succeeded);
    }
    assert_eq!(fs::read_to_string(order).expect("written"), "first\nsecond\nthird\n");
}

#[tokio::test]
async fn a_repeated_submit_is_the_same_job() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let once = ground.path("once");
    let intent = shell(format!("echo ran >> {}", once.display()));
    let first = house.submit(intent.clone()).await;
    house.ended(&first).await;
    assert_eq!(house.submit(intent.clone()).await, first);
    assert_eq!(fs::read_to_string(once).expect("written"), "ran\n");
    match house.backend.look_up(&context(), &sought(&intent.marker)).await.expect("a look") {
        Sighting::Found(batch) => assert_eq!((batch.id, batch.state), (first, BatchState::Succeeded)),
        other => panic!("{other:?}"),
    }
    let unknown = Marker { uuid: Uuid::nil(), name: None };
    let sighting = house.backend.look_up(&context(), &sought(&unknown)).await.expect("a look");
    assert!(matches!(sighting, Sighting::Absent { .. }));
}

#[tokio::test]
async fn what_cannot_be_made_leaves_nothing_behind() {
    let ground = Ground::new();
    let house = ground.open().await;
    let mut intent = shell("true");
    let part = Payload {
        part: "resourceFile".into(),
        file_name: "a.py".into(),
        bytes: 1,
        path: ground.path("not-there"),
        purpose: Purpose::Application,
    };
    intent.files = vec![part].into();
    let plan = house.backend.plan(intent).expect("a plan");
    let marker = plan.intent.marker.clone();
    let error = house.backend.submit(&context(), plan).await.expect_err("the upload is gone");
    assert!(matches!(error, SubmitError::NotSent(_)), "{error:?}");
    let sighting = house.backend.look_up(&context(), &sought(&marker)).await.expect("a look");
    assert!(matches!(sighting, Sighting::Absent { .. }));
    let left: Vec<_> = fs::read_dir(ground.path("jobs")).expect("there").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, [".lock"]);
}

#[tokio::test]
async fn python_programs_find_their_modules_and_files() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let file = ground.write("job.py", "import sys, util\nprint(util.NAME, open('renamed').read(), sys.argv[1:])\n");
    fs::create_dir(ground.path("elsewhere")).expect("made");
    let module = ground.write("elsewhere/util.py", "NAME = 'module'\n");
    let data = ground.write("data.txt", "data");
    let spec = BatchSpec {
        kind: BatchKind::Python,
        file: Some(format!("file://{file}")),
        args: vec!["a b".into(), String::new(), "é".into()],
        py_files: vec![module],
        files: vec![format!("{data}#renamed")],
        class_name: Some("ignored".into()),
        ..BatchSpec::default()
    };
    let id = house.submit(intent(spec)).await;
    let batch = house.ended(&id).await;
    assert_eq!(house.log(&id).await, ["module data ['a b', '', 'é']"]);
    assert_eq!(batch.state, BatchState::Succeeded);
    assert_eq!(batch.spec.args, ["a b", "", "é"]);
    assert_eq!(batch.owner.expect("an owner").name.as_ref(), "ana");
}

#[tokio::test]
async fn uploaded_files_are_run_from_the_jobs_own_folder() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let spooled = ground.write("spool-1", "import util\nprint(util.NAME, open('etl.py').read().strip())\n");
    let module = ground.write("spool-2", "NAME = 'uploaded'\n");
    let mut upload =
        intent(BatchSpec { kind: BatchKind::Python, file: Some("placeholder".into()), ..BatchSpec::default() });
    let payload = |name: &str, path: &str, purpose| {
        let (part, file_name) = (name.to_owned(), name.to_owned());
        Payload { part, file_name, bytes: 0, path: path.into(), purpose }
    };
    upload.files = Arc::new(vec![
        payload("etl.py", &spooled, Purpose::Application),
        payload("util.py", &module, Purpose::Conf(vec!["spark.submit.pyFiles".into()])),
        // Named like the program, and another file all the same.
        payload("etl.py", &module, Purpose::Conf(vec!["spark.files".into()])),
    ]);
    let plan = house.backend.plan(upload.clone()).expect("a plan");
    assert_eq!(plan.fates.iter().filter(|fate| matches!(fate.treatment, Treatment::Staged(_))).count(), 3);
    let id = house.submit(upload).await;
    for spooled in [spooled, module] {
        fs::remove_file(spooled).expect("a spooled file is the proxy's to remove");
    }
    assert_eq!(house.ended(&id).await.state, BatchState::Succeeded);
    assert_eq!(house.log(&id).await, ["uploaded NAME = 'uploaded'"]);
    assert!(!ground.job_file(&id, "uploads").exists(), "they are gone with the job's end");
}

/// A job gets the proxy's environment, but for what looks like a secret.
#[tokio::test]
async fn secrets_of_the_environment_stay_with_the_proxy() {
    let ground = Ground::new().with("pass_env", vec!["BATCHLINGUA_PASSED_TOKEN"]);
    let mut command = std::process::Command::new(crate::support::stand_in());
    for name in ["BATCHLINGUA_PLAIN", "BATCHLINGUA_KEPT_TOKEN", "BATCHLINGUA_PASSED_TOKEN"] {
        command.env(name, "value");
    }
    let mut proxy = ground.proxy_with(command);
    let gate = ground.gate("gate");
    let id = proxy.submit(&format!("env | grep ^BATCHLINGUA_ | sort; echo > {}", gate.path().display()));
    gate.read().await;
    // The folder is the proxy's until it ends.
    proxy.kill();
    let mut house = ground.open().await;
    house.ended(&id).await;
    assert_eq!(house.log(&id).await, ["BATCHLINGUA_PASSED_TOKEN=value", "BATCHLINGUA_PLAIN=value"]);
}
