//! What is sent for clients of each dialect, as whole bodies; and what is refused before anything is sent.

use batchlingua_core::{Extension, Uuid};
use serde_json::{Value, json};

use super::*;
use crate::{behaviour, fake};

const ID: Uuid = Uuid::from_u128(7);

fn intent(dialect: &str, spec: BatchSpec) -> Intent {
    let intent = batchlingua_testkit::intent(Marker { uuid: ID, name: None }, spec);
    Intent { dialect: dialect.into(), ..intent }
}

fn planned(more: Value, intent: &Intent) -> Result<Made> {
    plan(&fake::settings("http://127.0.0.1:1", more), &"north".into(), intent)
}

fn sent(more: Value, dialect: &str, spec: BatchSpec) -> (Value, Vec<String>) {
    let made = planned(more, &intent(dialect, spec)).unwrap_or_else(|error| panic!("{error}"));
    let fates = made.fates.iter().map(|fate| format!("{fate} {:?}", fate.treatment)).collect();
    (serde_json::from_slice(&made.body).expect("JSON"), fates)
}

fn jar(file: &str) -> BatchSpec {
    BatchSpec { file: Some(file.to_owned()), ..BatchSpec::default() }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

fn size(memory: &str, cores: i64) -> Size {
    Size { memory: Some(memory.to_owned()), cores: Some(cores) }
}

const MARKED: &str = "00000000-0000-0000-0000-000000000007";

#[test]
fn a_livy_clients_batch_is_one_of_dlis() {
    let mut spec = BatchSpec {
        class_name: Some("org.example.Etl".into()),
        args: texts(["--day", "1"]),
        jars: texts(["/apps/a.jar", "obs://b/c.jar"]),
        py_files: texts(["pkg.zip"]),
        files: texts(["hdfs:///apps/f.txt"]),
        archives: texts(["/apps/env.zip#env"]),
        driver: size("2g", 1),
        executor: size("2048", 2),
        executors: Some(3),
        queue: Some("root.Etl".into()),
        name: Some("nightly".into()),
        ..jar("/apps/etl.jar")
    };
    for (key, value) in [
        ("spark.master", "yarn"),
        ("spark.archives", "obs://b/more.zip"),
        ("spark.driver.memory", "9g"),
        ("spark.yarn.maxAppAttempts", "4"),
        ("spark.sql.x", "1"),
    ] {
        spec.conf.set(key, value);
    }
    spec.extensions =
        vec![Extension { dialect: "livy".into(), name: "heartbeatTimeoutInSecond".into(), value: "5".into() }];
    let more = json!({"paths": {"/apps/": "obs://b/apps/", "hdfs:///": "obs://b/"}, "queues": {"root.Etl": "etl_2"},
        "defaults": {"feature": "basic", "spark_version": "3.3.1", "sc_type": "B"}});
    let (body, fates) = sent(more, "livy", spec);
    let wanted = json!({
        "file": "obs://b/apps/etl.jar", "className": "org.example.Etl", "args": ["--day", "1"],
        "jars": ["obs://b/apps/a.jar", "obs://b/c.jar"], "pyFiles": ["pkg.zip"], "files": ["obs://b/apps/f.txt"],
        "driverMemory": "2G", "driverCores": 1, "executorMemory": "2048M", "executorCores": 2, "numExecutors": 3,
        "queue": "etl_2", "name": "nightly",
        "conf": {"spark.archives": "obs://b/apps/env.zip#env,obs://b/more.zip", "spark.sql.x": "1", "spark.batchlingua.id": MARKED},
        "feature": "basic", "spark_version": "3.3.1", "auto_recovery": true, "max_retry_times": 3,
    });
    assert_eq!(body, wanted);
    let told = |text: &str| assert!(fates.iter().any(|fate| fate == text), "{text}: {fates:#?}");
    told("class_name Carried");
    told("driver_memory Computed(\"sent as 2G\")");
    told("archives IntoConf(\"spark.archives\")");
    told("queue Computed(\"it is 'etl_2' there (queues)\")");
    told("conf:spark.driver.memory Computed(\"the batch's own field is used\")");
    told("extension:heartbeatTimeoutInSecond NotCarried(\"it is for livy only\")");
    told("file Computed(\"its path is another one there (paths)\")");
}

#[test]
fn a_kyuubi_clients_python_program_takes_the_backends_queue_and_size() {
    let spec = BatchSpec { kind: BatchKind::Python, name: Some("n".into()), ..jar("obs://b/job.py") };
    let (body, fates) = sent(json!({"defaults": {"sc_type": "B"}}), "kyuubi", spec);
    let conf = json!({"spark.batchlingua.id": MARKED});
    let wanted =
        json!({"file": "obs://b/job.py", "className": "", "queue": "etl_q", "name": "n", "conf": conf, "sc_type": "B"});
    assert_eq!(body, wanted);
    assert_eq!(fates, ["file Carried", "name Carried"]);
}

#[test]
fn a_dli_clients_create_goes_on_as_it_came() {
    let body = r#"{"zeta": {"b": 1.50}, "file": "group/pkg.jar", "class_name": "C", "cluster_name": "Q1", "sc_type": "B",
        "args": ["1"], "python_files": ["p"], "archives": ["z"], "modules": ["sys.datasource.css"], "modelFiles": ["m"],
        "resources": [{"name": "r", "type": "jar"}], "groups": [{"name": "g"}], "autoRecovery": true, "max_retry_times": 3,
        "feature": "custom", "image": "o/i:1", "conf": {"spark.master": "x", "spark.yarn.queue": "y", "n": 1.50}}"#;
    let (sent_body, fates) = sent(json!({"defaults": {"spark_version": "3.3.1"}}), "dli", behaviour::spec(body));
    let wanted = json!({"file": "group/pkg.jar", "className": "C", "args": ["1"], "pyFiles": ["p"], "queue": "q1", "archives": ["z"],
        "conf": {"spark.master": "x", "spark.yarn.queue": "y", "n": "1.50", "spark.batchlingua.id": MARKED},
        "sc_type": "B", "modules": ["sys.datasource.css"], "resources": [{"name": "r", "type": "jar"}], "groups": [{"name": "g"}],
        "modelFiles": ["m"], "auto_recovery": true, "max_retry_times": 3, "feature": "custom", "image": "o/i:1", "zeta": {"b": 1.5}});
    assert_eq!(sent_body, wanted);
    assert!(fates.iter().all(|fate| !fate.contains("NotCarried")), "{fates:?}");
    let made = planned(json!({}), &intent("dli", behaviour::spec(body))).expect("a plan");
    assert!(String::from_utf8_lossy(&made.body).contains(r#""zeta":{"b": 1.50}"#), "numbers keep their text");
    let sized = r#"{"file": "a.jar", "sc_type": "A", "driverMemory": "1g", "queue": "q"}"#;
    let (sized, _) = sent(json!({}), "dli", behaviour::spec(sized));
    assert_eq!((&sized["driverMemory"], &sized["numExecutors"], sized.get("sc_type")), (&json!("1g"), &json!(6), None));
    let bare = behaviour::spec(r#"{"file": "/any/path", "conf": {"spark.batchlingua.id": "copied"}}"#);
    let (bare, _) = sent(json!({}), "dli", bare);
    assert_eq!((&bare["queue"], &bare["conf"]["spark.batchlingua.id"]), (&json!("etl_q"), &json!(MARKED)));
}

#[test]
fn a_queue_is_found_or_told() {
    let of = |more: Value, queue: Option<&str>, yarn: Option<&str>| {
        let mut spec = BatchSpec { queue: queue.map(str::to_owned), ..jar("obs://b/a.jar") };
        yarn.iter().for_each(|queue| spec.conf.set("spark.yarn.queue", *queue));
        let (body, fates) = sent(more, "livy", spec);
        let told = fates.into_iter().find(|fate| fate.starts_with("queue")).unwrap_or_default();
        (body["queue"].as_str().unwrap_or_default().to_owned(), told)
    };
    let none = || json!({});
    let (carried, nothing) = ("queue Carried".to_owned(), String::new());
    assert_eq!(of(none(), Some("nightly"), None), ("nightly".into(), carried));
    assert_eq!(of(none(), Some("Nightly"), None), ("nightly".into(), "queue Computed(\"in small letters\")".into()));
    assert_eq!(of(none(), None, None), ("etl_q".into(), nothing.clone()));
    assert_eq!(of(none(), None, Some("yarnq")), ("yarnq".into(), nothing));
    assert_eq!(of(json!({"queues": {"nightly": "n2"}}), Some("NIGHTLY"), None).0, "n2");
    let (queue, told) = of(none(), Some("root.a"), None);
    assert!(queue == "etl_q" && told.starts_with("queue NotCarried"), "{queue} {told}");
    for (dialect, queue, says) in
        [("livy", None, "set `queue`"), ("kyuubi", Some("root.a"), "`queues` of backend 'north'")]
    {
        let spec = BatchSpec { queue: queue.map(str::to_owned), ..jar("obs://b/a.jar") };
        let mut settings = fake::settings("http://127.0.0.1:1", json!({}));
        settings.queues.default = None;
        let error = plan(&settings, &"north".into(), &intent(dialect, spec)).expect_err("no queue");
        assert!(error.message.contains(says), "{error}");
        let own = plan(&settings, &"north".into(), &intent("dli", jar("a.jar"))).expect("DLI may do without");
        assert!(!String::from_utf8_lossy(&own.body).contains("queue"));
    }
}

#[test]
fn what_dli_cannot_read_or_run_is_refused() {
    let refused = |more: Value, spec: BatchSpec| planned(more, &intent("livy", spec)).map(drop);
    for file in ["/a.jar", "hdfs:///a.jar", "s3a://b/a.jar", "local:/a.jar", "file:/a.jar", "https://h/a.jar"] {
        let error = refused(json!({}), jar(file)).expect_err(file);
        assert!(error.message.contains("'file'") && error.message.contains("`paths` of backend 'north'"), "{error}");
        refused(json!({"paths": {file: file}}), jar(file)).expect("its operator says that it can be read");
        let listed = BatchSpec { py_files: texts([file]), ..jar("OBS://b/a.jar") };
        assert!(refused(json!({}), listed).expect_err(file).message.contains("'py_files'"));
    }
    for file in ["obs://b/a:b.jar", "group/pkg.jar", "pkg.jar"] {
        refused(json!({}), jar(file)).expect(file);
    }
    for (kind, file, says) in [
        (BatchKind::R, "obs://a.R", "programs in R"),
        (BatchKind::Sql, "obs://a.sql", "SQL"),
        (BatchKind::Other, "obs://a", "neither"),
        (BatchKind::Python, "obs://a.zip", ".py"),
    ] {
        let error = refused(json!({}), BatchSpec { kind, ..jar(file) }).expect_err(file);
        assert!(error.message.contains(says), "{error}");
    }
    assert!(refused(json!({}), BatchSpec::default()).expect_err("no file").message.contains("application file"));
    let run_as = BatchSpec { run_as: Some("bo".into()), ..jar("obs://b/a.jar") };
    let fates = planned(json!({}), &intent("livy", run_as)).expect("a plan").fates;
    assert!(fates.iter().any(|fate| fate.field == Field::RunAs && fate.is_lost()), "{fates:?}");
}

#[test]
fn names_fit_and_marks_are_taken_off_again() {
    let marker = Marker { uuid: ID, name: None };
    let long = "ü".repeat(200);
    for (name, conf, own) in [
        (Some("a"), Some("a"), Some("a")),
        (None, None, Some("")),
        (Some(""), None, Some("")),
        (Some("a-bl-"), Some("a-bl-"), Some("a-bl-")),
    ] {
        assert_eq!(wire_name(name, &marker, Echo::Conf).as_deref(), conf);
        let marked = wire_name(name, &marker, Echo::Name).expect("there is always one");
        assert_eq!(own_name(&marked), own, "{marked}");
    }
    for echo in [Echo::Conf, Echo::Name] {
        let wire = wire_name(Some(&long), &marker, echo).expect("a name");
        assert_eq!(wire.chars().count(), 128);
    }
    let foreign = format!("job-{ID}");
    for name in ["", "a", foreign.as_str(), "xbl-00000000-0000-0000-0000-000000000007", long.as_str()] {
        assert_eq!(own_name(name), None, "{name}");
    }
}
