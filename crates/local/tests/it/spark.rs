//! What Spark is told. The truth are command lines that a real Livy gave the same stub, as recorded under `fixtures/`.

use std::path::{Path, PathBuf};

use batchlingua_core::{
    Backend, BatchKind, BatchSpec, BatchState, Conf, ErrorKind, Extension, Fault, Field, Payload, Purpose, Size,
    Treatment,
};
use serde_json::Value;

use crate::support::{Ground, House, intent};

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/recordings/livy");

/// Each has a recorded submit and a recorded log.
const CASES: &[&str] = &[
    "all-fields",
    "args-unicode",
    "conf-nonstring",
    "empty-memory",
    "empty-strings-in-lists",
    "field-beats-conf",
    "field-jars",
    "field-proxy-user",
    "file-fragment",
    "file-uri-file",
    "file-uri-file-short",
    "file-uri-http",
    "scheme-jar-glob",
    "scheme-jars-comma",
];

/// Livy lets these pass; here `local:`, `FILE:` and what follows a comma are files of this machine like any other.
const REFUSED: &[&str] = &["scheme-local-outside", "scheme-upper-outside-whitelist", "scheme-jars-comma-outside"];

fn stub() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stub")
}

fn ground() -> Ground {
    Ground::new()
        .with("spark", true)
        .with("spark_home", stub().to_str().expect("UTF-8"))
        .with("spark_master", "local[1]")
        .with("allow_dirs", vec!["/srv/apps"])
}

fn body(kind: &str, case: &str) -> Value {
    let (operation, message) = (kind, if kind == "submit" { "request" } else { "response" });
    let path = format!("{RECORDINGS}/{operation}/{case}.{message}.http");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A recorded request as the model has it, with Livy's coercions as far as the recordings need them.
fn spec(request: &Value) -> BatchSpec {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let one = |key: &str| request.get(key).map(text);
    let list = |key: &str| request.get(key).and_then(Value::as_array).into_iter().flatten().map(text).collect();
    let number = |key: &str| request.get(key).and_then(Value::as_i64);
    let conf = request.get("conf").and_then(Value::as_object).into_iter().flatten();
    BatchSpec {
        kind: BatchKind::of_file(request["file"].as_str().expect("a file")),
        file: one("file"),
        class_name: one("className"),
        args: list("args"),
        jars: list("jars"),
        py_files: list("pyFiles"),
        files: list("files"),
        archives: list("archives"),
        driver: Size { memory: one("driverMemory"), cores: number("driverCores") },
        executor: Size { memory: one("executorMemory"), cores: number("executorCores") },
        executors: number("numExecutors"),
        queue: one("queue"),
        name: one("name"),
        conf: conf.map(|(key, value)| (key.clone(), text(value))).collect::<Conf>(),
        run_as: one("proxyUser"),
        extensions: Vec::new(),
    }
}

async fn told(house: &mut House, spec: BatchSpec) -> Vec<String> {
    let id = house.submit(intent(spec)).await;
    assert_eq!(house.ended(&id).await.state, BatchState::Succeeded);
    house.log(&id).await
}

#[tokio::test]
async fn spark_is_told_what_livy_tells_it() {
    let mut house = ground().open().await;
    for case in CASES {
        let recorded = body("log", case);
        let lines: Vec<_> = recorded["log"].as_array().expect("a log").iter().filter_map(Value::as_str).collect();
        let expected = &lines[1..lines.len() - 1];
        assert_eq!(told(&mut house, spec(&body("submit", case))).await, expected, "{case}");
    }
}

#[tokio::test]
async fn files_of_this_machine_are_refused_however_they_are_spelled() {
    let house = ground().open().await;
    for case in REFUSED {
        let error = house.backend.plan(intent(spec(&body("submit", case)))).expect_err(case);
        let outside = matches!(&error.kind, ErrorKind::InvalidRequest { fault: Fault::PathOutside(path), .. } if path == "/etc/hosts");
        assert!(outside, "{case}: {error:?}");
    }
    for case in [
        "file-outside-whitelist",
        "file-dot-dot",
        "file-dot-dot-uri",
        "file-jar-outside-whitelist",
        "file-conf-jar-outside-whitelist",
        "file-whitelist-sibling",
        "scheme-encoded-dot-dot",
    ] {
        let error = house.backend.plan(intent(spec(&body("submit", case)))).expect_err(case);
        let ErrorKind::InvalidRequest { fault: Fault::PathOutside(path), .. } = error.kind else {
            panic!("{case}: {error:?}")
        };
        let answer = std::fs::read_to_string(format!("{RECORDINGS}/submit/{case}.response.http")).expect("recorded");
        assert!(answer.contains(&format!("Local path {path} cannot be added")), "{case}: {path} but {answer}");
    }
}

#[tokio::test]
async fn fields_are_read_in_livys_order_and_its_lists_are_merged() {
    let mut house = ground().open().await;
    let mut spec = BatchSpec {
        file: Some("/srv/apps/a.jar".into()),
        archives: vec!["/srv/apps/x.zip#x".into()],
        py_files: vec!["/srv/apps/a.py".into()],
        args: vec!["echo".into()],
        ..BatchSpec::default()
    };
    spec.conf.set("spark.submit.pyFiles", "/srv/apps/b.py hdfs:///c.py,,");
    spec.conf.set("spark.archives", "hdfs:///y.zip");
    spec.conf.set("spark.files", "/srv/apps/f.csv");
    assert_eq!(
        told(&mut house, spec).await,
        [
            "--py-files",
            "file:///srv/apps/a.py,file:///srv/apps/b.py,hdfs:///c.py",
            "--conf",
            "spark.files=file:///srv/apps/f.csv",
            "--conf",
            "spark.archives=file:///srv/apps/x.zip#x,hdfs:///y.zip",
            "--conf",
            "spark.yarn.dist.archives=file:///srv/apps/x.zip#x",
            "--conf",
            "spark.master=local[1]",
            "file:///srv/apps/a.jar",
            "echo",
        ]
    );
}

#[tokio::test]
async fn uploaded_files_are_appended_where_their_purpose_says() {
    let ground = ground();
    let mut house = ground.open().await;
    let mut spec =
        BatchSpec { args: vec!["echo".into()], jars: vec!["/srv/apps/a.jar".into()], ..BatchSpec::default() };
    spec.conf.set("spark.jars", "hdfs:///b.jar");
    let mut intent = intent(spec);
    let upload = |name: &str, purpose| {
        let path = ground.write(name, "").into();
        Payload { part: name.into(), file_name: name.into(), bytes: 0, path, purpose }
    };
    let keys = vec!["spark.jars".to_owned(), "spark.other".to_owned()];
    intent.files = vec![upload("main.jar", Purpose::Application), upload("c.jar", Purpose::Conf(keys))].into();
    let id = house.submit(intent).await;
    assert_eq!(house.ended(&id).await.state, BatchState::Succeeded);
    let uploads = ground.job_file(&id, "uploads");
    let uploads = uploads.display();
    assert_eq!(
        house.log(&id).await,
        [
            "--conf",
            &format!("spark.other={uploads}/1/c.jar"),
            "--conf",
            &format!("spark.jars=file:///srv/apps/a.jar,hdfs:///b.jar,file://{uploads}/1/c.jar"),
            "--conf",
            "spark.master=local[1]",
            &format!("file://{uploads}/0/main.jar"),
            "echo",
        ]
    );
}

#[tokio::test]
async fn a_class_of_sparks_own_needs_no_file() {
    let mut house = ground().open().await;
    let spec = BatchSpec {
        file: Some("spark-internal".into()),
        class_name: Some("org.apache.spark.examples.SparkPi".into()),
        args: vec!["echo".into()],
        ..BatchSpec::default()
    };
    let id = house.submit(intent(spec.clone())).await;
    assert_eq!(house.ended(&id).await.state, BatchState::Succeeded);
    let log = house.log(&id).await;
    assert_eq!(log[log.len() - 2..], ["spark-internal", "echo"], "{log:?}");
    let without = ground().with("spark", false).open().await;
    let error = without.backend.plan(intent(spec)).expect_err("nothing else knows the class");
    assert!(error.message.contains("spark-internal"), "{error}");
}

/// On YARN Livy's option is enough; elsewhere Spark would not unpack anything.
#[tokio::test]
async fn archives_reach_spark_on_every_master() {
    for (master, expected) in [("local[1]", "-Dspark.archives=file:///srv/apps/e.zip#e"), ("yarn", "")] {
        let house = ground().with("spark_master", master).open().await;
        let spec = BatchSpec {
            file: Some("/srv/apps/a.jar".into()),
            archives: vec!["/srv/apps/e.zip#e".into()],
            ..BatchSpec::default()
        };
        let plan = house.backend.plan(intent(spec)).expect("a plan");
        let launch: Value = serde_json::from_slice(&plan.request).expect("JSON");
        assert_eq!(launch["env"]["SPARK_SUBMIT_OPTS"].as_str().unwrap_or_default(), expected);
    }
}

#[tokio::test]
async fn the_user_is_told_only_where_that_is_switched_on() {
    let spec = || BatchSpec {
        file: Some("/srv/apps/a.jar".into()),
        args: vec!["echo".into()],
        run_as: Some("ana".into()),
        queue: Some("q".into()),
        ..BatchSpec::default()
    };
    let mut house = ground().with("impersonation", true).open().await;
    let told = told(&mut house, spec()).await;
    assert_eq!(told[2..], ["--proxy-user", "ana", "--queue", "q", "file:///srv/apps/a.jar", "echo"]);
    let house = ground().open().await;
    let plan = house.backend.plan(intent(spec())).expect("a plan");
    let fate = plan.fates.iter().find(|fate| fate.field == Field::RunAs).expect("a fate");
    assert!(matches!(fate.treatment, Treatment::Computed(_)) && !fate.is_lost());
}

#[tokio::test]
async fn the_fate_of_every_field_is_told() {
    let mut given = spec(&body("submit", "all-fields"));
    given.conf.set("spark.master", "yarn");
    given.conf.set("spark.driver.memory", "9g");
    given.extensions.push(Extension { dialect: "dli".into(), name: "sc_type".into(), value: "\"A\"".into() });
    let house = ground().open().await;
    let plan = house.backend.plan(intent(given.clone())).expect("a plan");
    let lost: Vec<_> = plan.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
    assert_eq!((plan.fates.len(), lost), (19, vec!["extension:sc_type".to_owned()]));

    let bare = ground().with("spark", false).open().await;
    let plan = bare.backend.plan(intent(given.clone())).expect("a plan");
    let lost: Vec<_> = plan.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
    assert_eq!(
        lost,
        [
            "py_files",
            "archives",
            "driver_memory",
            "driver_cores",
            "executor_memory",
            "executor_cores",
            "executors",
            "queue",
            "conf:spark.sql.shuffle.partitions",
            "conf:spark.master",
            "conf:spark.driver.memory",
            "extension:sc_type",
        ]
    );
    let launch: Value = serde_json::from_slice(&plan.request).expect("JSON");
    let args: Vec<_> = launch["args"].as_array().expect("arguments").iter().filter_map(Value::as_str).collect();
    assert_eq!(
        args,
        [
            "-cp",
            "/srv/apps/etl.jar:/srv/apps/lib.jar:/srv/apps/other.jar",
            "com.acme.Etl",
            "--day",
            "2026-01-31",
            "echo"
        ]
    );
}

#[tokio::test]
async fn what_no_command_line_can_hold_is_refused_before_anything_is_made() {
    let ground = ground();
    let house = ground.open().await;
    let file = || BatchSpec { file: Some("/srv/apps/a.jar".into()), ..BatchSpec::default() };
    let mut cluster = file();
    cluster.conf.set("spark.submit.deployMode", "cluster");
    let mut disguised = file();
    disguised.conf.set("spark.submit.deployMode=cluster", "x");
    let upload = Payload {
        part: "p".into(),
        file_name: "../x".into(),
        bytes: 0,
        path: PathBuf::new(),
        purpose: Purpose::Unsaid,
    };
    let mut uploaded = intent(file());
    uploaded.files = vec![upload.clone()].into();
    let listed_in = |key: &str| {
        let purpose = Purpose::Conf(vec![key.to_owned()]);
        let mut listed = intent(file());
        listed.files = vec![Payload { file_name: "x".into(), purpose, ..upload.clone() }].into();
        listed
    };
    for (what, intent) in [
        ("no file", intent(BatchSpec::default())),
        ("an empty file", intent(BatchSpec { file: Some(String::new()), ..file() })),
        ("a NUL", intent(BatchSpec { name: Some("a\0b".into()), ..file() })),
        ("a long name", intent(BatchSpec { name: Some("x".repeat(128 * 1024)), ..file() })),
        ("a long argument", intent(BatchSpec { args: vec!["x".repeat(128 * 1024)], ..file() })),
        ("many arguments", intent(BatchSpec { args: vec!["x".repeat(100_000); 20], ..file() })),
        ("cluster mode", intent(cluster)),
        ("a key with '='", intent(disguised)),
        ("an upload with a path for a name", uploaded),
        ("an upload listed in a key with '='", listed_in("spark.files=/etc/passwd,")),
        ("an upload listed in a key with NUL", listed_in("spark.files\0")),
        ("an upload in the master's place", listed_in("spark.master")),
    ] {
        let error = house.backend.plan(intent).expect_err(what);
        assert!(matches!(error.kind, ErrorKind::InvalidRequest { .. }), "{what}: {error:?}");
    }
    let fits = BatchSpec { args: vec!["x".repeat(128 * 1024 - 1), "echo".into()], ..file() };
    assert!(house.backend.plan(intent(fits)).is_ok());
    assert!(!ground.path("jobs").exists(), "a plan touches nothing");
}

#[tokio::test]
async fn without_spark_what_needs_it_is_refused() {
    let house = ground().with("spark", false).open().await;
    let with = |kind, file: &str| intent(BatchSpec { kind, file: Some(file.into()), ..BatchSpec::default() });
    for (kind, file) in
        [(BatchKind::Jar, "hdfs:///jobs/a.jar"), (BatchKind::Sql, "/srv/apps/a.sql"), (BatchKind::R, "/srv/apps/a.R")]
    {
        let error = house.backend.plan(with(kind, file)).expect_err(file);
        assert!(matches!(error.kind, ErrorKind::Unsupported { .. }), "{file}: {error:?}");
    }
    let gone = ground().with("spark_home", "/nonexistent").open().await;
    let error = gone.backend.plan(with(BatchKind::Jar, "/srv/apps/a.jar")).expect_err("its Spark is not there");
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{error:?}");
}

/// With the real thing: every kind of file arrives, and the settings do.
#[tokio::test]
#[ignore = "takes a Python that has pyspark, named by PYSPARK_TEST_PYTHON"]
async fn a_real_spark_gets_everything() {
    let python = std::env::var("PYSPARK_TEST_PYTHON").expect("PYSPARK_TEST_PYTHON names a Python that has pyspark");
    let ground = Ground::new().with("spark", true).with("python", python.clone()).with("spark_master", "local[2]");
    let file = ground.write(
        "job.py",
        "import os, sys\n\
         from pyspark import SparkFiles\n\
         from pyspark.sql import SparkSession\n\
         import util\n\
         spark = SparkSession.builder.getOrCreate()\n\
         conf = spark.sparkContext.getConf()\n\
         print('RESULT', spark.range(10).count(), conf.get('spark.app.name'), conf.get('spark.master'))\n\
         print('RESULT', conf.get('spark.driver.memory'), conf.get('spark.my.key'), util.NAME, sys.argv[1:])\n\
         print('RESULT', open(SparkFiles.get('data.txt')).read(), os.listdir(SparkFiles.get('unpacked')))\n",
    );
    ground.write("inside.txt", "");
    let pack = format!("cd {}; {python} -m zipfile -c env.zip inside.txt", ground.path("").display());
    assert!(std::process::Command::new("sh").args(["-c", &pack]).status().expect("sh").success());
    let path = |name: &str| ground.path(name).to_str().expect("UTF-8").to_owned();
    let mut spec = BatchSpec {
        kind: BatchKind::Python,
        file: Some(file),
        args: vec!["a b".into(), "日本語".into()],
        py_files: vec![ground.write("util.py", "NAME = 'module'\n")],
        files: vec![ground.write("data.txt", "data")],
        archives: vec![path("env.zip") + "#unpacked"],
        driver: Size { memory: Some("600m".into()), cores: None },
        name: Some("a name".into()),
        ..BatchSpec::default()
    };
    spec.conf.set("spark.my.key", "my value");
    let mut house = ground.open().await;
    let id = house.submit(intent(spec)).await;
    let batch = house.ended(&id).await;
    let log = house.log(&id).await;
    assert_eq!(batch.state, BatchState::Succeeded, "{log:#?}");
    let results: Vec<_> = log.iter().filter_map(|line| line.strip_prefix("RESULT ")).collect();
    assert_eq!(results, ["10 a name local[2]", "600m my value module ['a b', '日本語']", "data ['inside.txt']",]);
}
