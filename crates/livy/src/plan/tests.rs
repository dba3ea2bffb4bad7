//! What is sent for a typical submit of each dialect, and the rules that have names.

use std::sync::Arc;

use batchlingua_core::{BatchSpec, Conf, Extension, Size, Uuid};
use serde_json::json;

use super::*;

const UUID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1122_3344_5566_7788);
const MADE: &str = "batchlingua-12345678-9abc-def0-1122-334455667788";

fn intent(dialect: &str, spec: BatchSpec) -> Intent {
    let marker = Marker { uuid: UUID, name: None };
    Intent {
        dialect: dialect.into(),
        spec: Arc::new(spec),
        ..batchlingua_testkit::intent(marker, BatchSpec::default())
    }
}

fn planned(dialect: &str, spec: BatchSpec, has_names: bool) -> Result<Plan> {
    let paths = PathMap::new([("/apps/".to_owned(), "hdfs:///apps/".to_owned())]);
    Planner { backend: &"old-livy".into(), paths: &paths, has_names }.plan(intent(dialect, spec))
}

fn sent(dialect: &str, spec: BatchSpec) -> Value {
    serde_json::from_slice(&planned(dialect, spec, true).expect("a plan").request).expect("JSON")
}

fn conf(pairs: &[(&str, &str)]) -> Conf {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().copied().map(str::to_owned).collect()
}

/// Each field of the model, so that none is left out.
fn whole() -> BatchSpec {
    BatchSpec {
        kind: BatchKind::Jar,
        file: Some("/apps/etl.jar".into()),
        class_name: Some("com.acme.Etl".into()),
        args: texts(&["--day", "2026-01-31"]),
        jars: texts(&["/apps/lib.jar", "s3://b/x.jar"]),
        py_files: texts(&["/apps/util.py"]),
        files: texts(&["/apps/data.csv"]),
        archives: texts(&["/apps/env.zip#env"]),
        driver: Size { memory: Some("2g".into()), cores: Some(1) },
        executor: Size { memory: Some("4g".into()), cores: Some(2) },
        executors: Some(4),
        queue: Some("nightly".into()),
        name: Some("etl".into()),
        conf: conf(&[("spark.sql.shuffle.partitions", "64")]),
        run_as: Some("ana".into()),
        extensions: Vec::new(),
    }
}

#[test]
fn a_livys_own_submit_is_sent_member_by_member() {
    let plan = planned("livy", whole(), true).expect("a plan");
    assert_eq!(
        String::from_utf8_lossy(&plan.request),
        json!({
            "file": "hdfs:///apps/etl.jar", "proxyUser": "ana", "className": "com.acme.Etl",
            "args": ["--day", "2026-01-31"], "jars": ["hdfs:///apps/lib.jar", "s3://b/x.jar"],
            "pyFiles": ["hdfs:///apps/util.py"], "files": ["hdfs:///apps/data.csv"], "driverMemory": "2g",
            "driverCores": 1, "executorMemory": "4g", "executorCores": 2, "numExecutors": 4,
            "archives": ["hdfs:///apps/env.zip#env"], "queue": "nightly", "name": "etl",
            "conf": {"spark.sql.shuffle.partitions": "64"}
        })
        .to_string()
    );
    assert_eq!(plan.intent.marker.name.as_deref(), Some("etl"), "that is what it is found by");
    assert!(plan.fates.iter().all(|fate| !fate.is_lost()), "{:?}", plan.fates);
    assert_eq!(plan.fates.len(), 16);
}

#[test]
fn a_kyuubis_submit_has_keys_that_spark_reads_and_a_name_to_be_found_by() {
    let spec = BatchSpec {
        kind: BatchKind::Python,
        file: Some("s3://b/a.py".into()),
        driver: Size { memory: Some("2g".into()), cores: None },
        conf: conf(&[
            ("spark.master", "yarn"),
            ("spark.submit.deployMode", "cluster"),
            ("spark.driver.memory", "9g"),
            ("spark.executor.instances", "3"),
            ("kyuubi.session.idle.timeout", "PT1H"),
            ("hadoop.tmp.dir", "/t"),
            ("etl.day", "31"),
        ]),
        ..BatchSpec::default()
    };
    assert_eq!(
        sent("kyuubi", spec),
        json!({"file": "s3://b/a.py", "driverMemory": "2g", "name": MADE, "conf": {
            "spark.executor.instances": "3", "spark.hadoop.hadoop.tmp.dir": "/t", "spark.etl.day": "31"
        }})
    );
}

#[test]
fn a_dlis_submit_goes_without_what_only_a_dli_reads() {
    let spec = BatchSpec {
        file: Some("obs://b/a.jar".into()),
        name: Some("42".into()),
        conf: conf(&[("spark.dli.metaAccess.enable", "true"), ("spark.sql.ansi.enabled", "true")]),
        extensions: vec![Extension { dialect: "dli".into(), name: "sc_type".into(), value: "\"A\"".into() }],
        ..BatchSpec::default()
    };
    let plan = planned("dli", spec.clone(), true).expect("a plan");
    assert_eq!(
        sent("dli", spec),
        json!({"file": "obs://b/a.jar", "name": MADE, "conf": {"spark.sql.ansi.enabled": "true"}})
    );
    let of_name = plan.fates.iter().find(|fate| fate.field == Field::Name).expect("a fate");
    assert!(matches!(&of_name.treatment, Treatment::Computed(why) if why.contains(MADE)), "{of_name:?}");
    let lost: Vec<_> = plan.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
    assert_eq!(lost, ["extension:sc_type"]);
}

#[test]
fn a_livys_own_conf_goes_as_it_is() {
    let pairs = [
        ("spark.master", "yarn"),
        ("spark.driver.memory", "9g"),
        ("spark.yarn.queue", "q"),
        ("kyuubi.x", "1"),
        ("plain", "2"),
        ("hadoop.a", "3"),
        ("spark.dli.x", "4"),
    ];
    let spec = BatchSpec { file: Some("/a.jar".into()), name: Some("n".into()), conf: conf(&pairs), ..whole() };
    let sent = sent("livy", spec);
    let kept: Vec<_> =
        sent["conf"].as_object().expect("a conf").iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap_or(""))).collect();
    assert_eq!(kept, pairs);
}

#[test]
fn what_a_livy_refuses_for_a_reason_of_its_own_is_told_as_lost() {
    for key in [
        "spark.submit.proxyUser.allowCustomClasspathInClusterMode",
        "kyuubi.session.proxy.user",
        "hive.server2.proxy.user",
    ] {
        let spec = BatchSpec { file: Some("/a.jar".into()), conf: conf(&[(key, "x")]), ..BatchSpec::default() };
        let plan = planned("dli", spec, true).expect("a plan");
        let lost: Vec<_> = plan.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
        assert_eq!(lost, [format!("conf:{key}")]);
        assert!(!String::from_utf8_lossy(&plan.request).contains(key));
    }
}

#[test]
fn an_old_livy_gets_the_clients_name_and_no_other() {
    let name = |name: Option<&str>| {
        let spec = BatchSpec { file: Some("/a.jar".into()), name: name.map(str::to_owned), ..BatchSpec::default() };
        let plan = planned("dli", spec, false).expect("a plan");
        assert_eq!(plan.intent.marker.name, None, "nothing is found by it");
        serde_json::from_slice::<Value>(&plan.request).expect("JSON")["name"].clone()
    };
    assert_eq!((name(None), name(Some("n")), name(Some("42"))), (Value::Null, json!("n"), json!("42")));
}

#[test]
fn a_name_that_no_livy_takes_is_another_one_there() {
    for name in ["42", "", "٣", ".", ".."] {
        let spec = BatchSpec { file: Some("/a.jar".into()), name: Some(name.into()), ..BatchSpec::default() };
        assert_eq!(sent("kyuubi", spec)["name"], MADE, "{name:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let refused = |spec: BatchSpec| planned("dli", spec, true).expect_err("refused");
    let file = || Some("/a.jar".to_owned());
    let cores = BatchSpec { file: file(), driver: Size { cores: Some(1 << 31), memory: None }, ..BatchSpec::default() };
    assert!(refused(cores).message.contains("driverCores"));
    for file in [None, Some(String::new())] {
        assert!(refused(BatchSpec { file, ..BatchSpec::default() }).message.contains("file"));
    }
    for kind in [BatchKind::Sql, BatchKind::Other] {
        let error = refused(BatchSpec { kind, file: file(), ..BatchSpec::default() });
        assert!(matches!(error.kind, ErrorKind::Unsupported { .. }), "{error:?}");
    }
}

#[test]
fn a_taken_name_is_told_apart_by_the_uuid() {
    let plan = planned("kyuubi", whole(), true).expect("a plan");
    let other = renamed(&plan.request, &plan.intent.marker).expect("an object");
    let text = String::from_utf8_lossy(&other).replace("etl-12345678", "etl");
    assert_eq!(text, String::from_utf8_lossy(&plan.request), "nothing else is another");
}

#[test]
fn every_field_has_one_line_and_every_rule_a_name_of_its_own() {
    let mut fields: Vec<_> = MAPPING.lines.iter().map(|line| line.field.as_str()).collect();
    let mut wanted: Vec<_> = Field::ALL
        .iter()
        .filter(|field| !matches!(field, Field::Conf | Field::Extension))
        .map(|field| field.as_str())
        .collect();
    fields.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(fields, wanted);
    let mut names: Vec<_> = MAPPING.conf.iter().map(|rule| rule.name).collect();
    let rules = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rules);
    assert!(MAPPING.conf.iter().all(|rule| !rule.why.is_empty()));
}
