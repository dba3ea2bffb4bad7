use std::sync::Arc;

use batchlingua_core::{Clients, ConfFate, DialectName, Extension, Place};
use batchlingua_testkit::{intent as intent_of, marker};
use batchlingua_wire::Settings;
use serde_json::{Value, json};

use super::*;

fn settings() -> BackendSettings {
    let table = json!({"url": "http://h", "paths": {"/apps/": "hdfs:///apps/"}});
    BackendSettings::read(Settings::new("backend.k", table)).expect("settings")
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

fn intent(dialect: &str, spec: BatchSpec) -> Intent {
    let dialect = DialectName::from(dialect);
    Intent { dialect, ..intent_of(marker(), spec) }
}

fn planned(dialect: &str, spec: BatchSpec, server: &str) -> Result<Value> {
    let intent = intent(dialect, spec);
    let planned = plan(&intent, version(server), &settings())?;
    let mut request: Value = serde_json::from_slice(&planned.request).expect("JSON");
    if version(server).takes_ids() {
        let id = request["conf"].as_object_mut().and_then(|conf| conf.remove(BATCH_ID));
        assert_eq!(id, Some(json!(intent.marker.uuid.to_string())));
    }
    Ok(request)
}

fn conf(pairs: &[(&str, &str)]) -> Conf {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// What the Livy front makes of a request with every field.
fn of_livy() -> BatchSpec {
    let mut spec = BatchSpec {
        kind: BatchKind::Jar,
        file: Some("/apps/etl.jar".into()),
        class_name: Some("org.example.Etl".into()),
        args: vec!["2026-11-21".into(), "two words".into()],
        jars: vec!["/apps/a.jar".into(), "s3://b.jar".into()],
        py_files: vec!["p.zip".into()],
        files: vec!["f".into()],
        archives: vec!["e.tgz#env".into()],
        executors: Some(4),
        queue: Some("nightly".into()),
        name: Some("etl".into()),
        run_as: Some("bob".into()),
        conf: conf(&[
            ("spark.jars", "/apps/own.jar"),
            ("spark.driver.memory", "9g"),
            ("spark.x", "1"),
            ("livy.y", "2"),
        ]),
        ..BatchSpec::default()
    };
    spec.driver.memory = Some("2g".into());
    spec.driver.cores = Some(2);
    spec.executor.memory = Some("4g".into());
    spec.executor.cores = Some(3);
    spec
}

#[test]
fn a_livy_submit_becomes_six_members_and_a_conf() {
    let request = planned("livy", of_livy(), "1.12.0").expect("a plan");
    assert_eq!(
        request,
        json!({
            "batchType": "SPARK",
            "resource": "hdfs:///apps/etl.jar",
            "className": "org.example.Etl",
            "name": "etl",
            "conf": {
                "spark.jars": "hdfs:///apps/a.jar,s3://b.jar,hdfs:///apps/own.jar",
                "spark.x": "1",
                "spark.submit.pyFiles": "p.zip",
                "spark.files": "f",
                "spark.archives": "e.tgz#env",
                "hive.server2.proxy.user": "bob",
                "spark.driver.memory": "2g",
                "spark.driver.cores": "2",
                "spark.executor.memory": "4g",
                "spark.executor.cores": "3",
                "spark.executor.instances": "4",
                "spark.yarn.queue": "nightly",
            },
            "args": ["2026-11-21", "two words"],
        })
    );
}

#[test]
fn a_dli_submit_loses_what_is_dlis_own() {
    let spec = BatchSpec {
        kind: BatchKind::Python,
        file: Some("obs://bucket/job.py".into()),
        class_name: Some(String::new()),
        queue: Some("etl".into()),
        conf: conf(&[("spark.dli.metaAccess.enable", "true"), ("spark.a", "1")]),
        extensions: vec![Extension { dialect: "dli".into(), name: "sc_type".into(), value: "\"A\"".into() }],
        ..BatchSpec::default()
    };
    let intent = intent("dli", spec.clone());
    let planned_fates = plan(&intent, version("1.12.0"), &settings()).expect("a plan").fates;
    let lost: Vec<_> = planned_fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
    assert_eq!(lost, ["extension:sc_type"]);
    let class = planned_fates.iter().find(|fate| fate.field == Field::ClassName).expect("its fate");
    assert!(matches!(&class.treatment, Treatment::Computed(how) if how.contains("Python")), "{class:?}");
    assert_eq!(
        planned("dli", spec, "1.12.0").expect("a plan"),
        json!({"batchType": "PYSPARK", "resource": "obs://bucket/job.py", "conf": {"spark.a": "1", "spark.yarn.queue": "etl"}, "args": []})
    );
}

#[test]
fn a_kyuubi_submit_goes_on_as_it_was_written() {
    let extension =
        |name: &str, value: &str| Extension { dialect: NAME.into(), name: name.into(), value: value.into() };
    let spec = BatchSpec {
        file: Some("/srv/etl.jar".into()),
        conf: conf(&[
            ("spark.foo", "1"),
            ("spark.master", "local[2]"),
            ("spark.driver.cores", "7"),
            ("spark.app.name", "x"),
        ]),
        name: Some("n".into()),
        extensions: vec![
            extension("kyuubi.batch.priority", "\"20\""),
            extension("conf", r#"["foo"]"#),
            extension("newMember", r#"{"a":1.50}"#),
        ],
        ..BatchSpec::default()
    };
    let wanted = json!({
        "batchType": "SPARK", "resource": "/srv/etl.jar", "className": "", "name": "n",
        "conf": {"foo": "1", "spark.master": "local[2]", "spark.driver.cores": "7", "spark.app.name": "x", "kyuubi.batch.priority": "20"},
        "args": [], "newMember": {"a": 1.50},
    });
    assert_eq!(planned(NAME, spec.clone(), "1.12.0").expect("a plan"), wanted);
    // Servers that fail on what they do not know get nothing of it.
    let old = planned(NAME, spec.clone(), "1.7.0").expect("a plan");
    assert_eq!((old.get("newMember"), &old["conf"]), (None, &wanted["conf"]));
    assert!(planned(NAME, spec, "1.6.1-incubating").is_ok());
}

#[test]
fn what_cannot_be_run_is_refused_before_it_is_sent() {
    let jar = |class: Option<&str>| BatchSpec {
        file: Some("/a.jar".into()),
        class_name: class.map(str::to_owned),
        ..BatchSpec::default()
    };
    let kind = |kind| BatchSpec { kind, ..jar(Some("A")) };
    let with = |pairs: &[(&str, &str)]| BatchSpec { conf: conf(pairs), ..jar(Some("A")) };
    for (spec, server, wanted, part) in [
        (jar(None), "1.12.0", "invalid_request", "className"),
        (jar(Some("")), "1.12.0", "invalid_request", "className"),
        (kind(BatchKind::R), "1.12.0", "unsupported", "R programs"),
        (kind(BatchKind::Sql), "1.12.0", "unsupported", "SQL"),
        (kind(BatchKind::Other), "1.12.0", "unsupported", "executables"),
        (kind(BatchKind::Python), "1.6.1-incubating", "unsupported", "Kyuubi 1.6.1"),
        (BatchSpec { file: None, ..jar(Some("A")) }, "1.12.0", "invalid_request", "file"),
        (BatchSpec { jars: vec!["a,b.jar".into()], ..jar(Some("A")) }, "1.12.0", "invalid_request", "comma"),
        (with(&[("spark.master", "local[2]")]), "1.12.0", "invalid_request", "spark.master"),
        (with(&[("spark.master", "spark://h:7077")]), "1.12.0", "invalid_request", "spark.master"),
    ] {
        let error = planned("livy", spec, server).expect_err(part);
        assert_eq!(error.kind.as_str(), wanted, "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    }
    for master in ["yarn", "k8s://https://h", "local"] {
        assert!(planned("livy", with(&[("spark.master", master)]), "1.12.0").is_ok(), "{master}");
    }
}

/// A client's conf is no way past its own dialect's word for whom a batch runs as, nor to another batch's id.
#[test]
fn nobody_is_acted_for_and_no_id_taken_by_way_of_the_conf() {
    let keys = ["hive.server2.proxy.user", "kyuubi.session.proxy.user", BATCH_ID, "kyuubi.session.real.user"];
    let spec = BatchSpec {
        file: Some("/a.jar".into()),
        class_name: Some("A".into()),
        conf: keys.iter().map(|key| ((*key).to_owned(), "root".to_owned())).collect(),
        ..BatchSpec::default()
    };
    for dialect in ["livy", "dli", "kylin"] {
        let request = planned(dialect, spec.clone(), "1.12.0").expect("a plan");
        assert_eq!(request["conf"], json!({}), "{dialect}");
        let fates = plan(&intent(dialect, spec.clone()), version("1.12.0"), &settings()).expect("a plan").fates;
        let lost: Vec<_> = fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
        assert_eq!(lost, ["conf:hive.server2.proxy.user", "conf:kyuubi.session.proxy.user"]);
    }
}

#[test]
fn files_go_where_the_version_takes_them() {
    let file = |name: &str, purpose| Payload {
        part: name.into(),
        file_name: name.into(),
        bytes: 1,
        path: "/spool/x".into(),
        purpose,
    };
    let with = |files: Vec<Payload>, server: &str| {
        let spec = BatchSpec { file: Some("a.jar".into()), ..BatchSpec::default() };
        plan(&Intent { files: Arc::new(files), ..intent(NAME, spec) }, version(server), &settings())
    };
    let application = || file("a.jar", Purpose::Application);
    let extra = || file("e.txt", Purpose::Conf(vec!["spark.files".into()]));
    assert!(with(vec![application()], "1.7.0").is_ok());
    let one = with(vec![application(), extra()], "1.10.0").expect("a plan");
    let told: Vec<_> = one.fates.iter().map(|fate| (fate.to_string(), fate.treatment.clone())).collect();
    assert!(told.contains(&("file".into(), Treatment::Renamed("resourceFile".into()))), "{told:?}");
    assert!(told.contains(&("conf:spark.files".into(), Treatment::Renamed("extraResourcesMap".into()))), "{told:?}");
    for (files, server, part) in [
        (vec![application()], "1.6.1-incubating", "1.7.0"),
        (vec![application(), extra()], "1.9.4", "1.10.0"),
        (vec![extra()], "1.12.0", "together with"),
    ] {
        let error = with(files, server).expect_err(part);
        assert!(
            matches!(error.kind, ErrorKind::Unsupported { .. }) && error.message.contains(part),
            "{}",
            error.message
        );
    }
    // A blank key is for nothing, and so is its file.
    let files = vec![application(), file("e.txt", Purpose::Conf(vec![]))];
    assert_eq!(Upload::of(&files).len(), 1);
    with(files, "1.9.4").expect("a plan");
}

#[test]
fn every_field_has_one_line_and_every_rule_a_name_and_a_reason() {
    for field in Field::ALL {
        let lines = MAPPING.lines.iter().filter(|line| line.field == field).count();
        let wanted = usize::from(!matches!(field, Field::Conf | Field::Extension));
        assert_eq!(lines, wanted, "{field:?}");
    }
    assert!(MAPPING.lines.iter().all(|line| !matches!(line.place, Place::Nowhere(_))), "a Kyuubi takes every field");
    for rule in MAPPING.conf {
        assert!(!rule.name.is_empty() && !rule.why.is_empty(), "{rule:?}");
    }
    // What a Kyuubi client writes into its conf is kept, but for what the front or the proxy has its own place for.
    for rule in MAPPING.conf.iter().filter(|rule| rule.from.is(NAME)) {
        assert!(matches!(rule.fate, ConfFate::Keep | ConfFate::Unless(_)) || rule.keys == [BATCH_ID], "{rule:?}");
        assert_ne!(rule.from, Clients::Only(NAME));
    }
}
