//! Between Kyuubi's shapes and the model.
//!
//! A submit is checked in Kyuubi's order, and the first fault is told: the type, the resource, the class, the id, nulls. Which local files a
//! batch may name, and whether its principal may act for another user, are not the front's to say and come after these.
//!
//! Keys of the conf become what a Spark job of a real Kyuubi sees: `spark.…` as it is, `hadoop.…` as `spark.hadoop.hadoop.…`, others with
//! `spark.` in front; one that is written out beats one that is made. Keys of Kyuubi's own mean nothing elsewhere: what the model has a
//! place for goes there, what only says who speaks goes nowhere, the others are kept for a Kyuubi.

use std::{borrow::Cow, collections::HashSet};

use batchlingua_core::{
    Batch, BatchId, BatchKind, BatchSpec, BatchState, Conf, DialectName, Extension, IdempotencyKey, Replay, Result,
    Submission, Uuid,
};

use crate::{
    NAME,
    dto::{BatchInfo, BatchObject, BatchRequest, Pairs},
    error::{thrown, unmet},
    ids, state,
    upload::Files,
};

/// The client's own id of the batch.
const BATCH_ID: &str = "kyuubi.batch.id";
/// Whom it is to run as; the first that is there counts.
const PROXY_USER: [&str; 2] = ["kyuubi.session.proxy.user", "hive.server2.proxy.user"];
/// What a client's library says of itself, and what a Kyuubi writes over whatever a client has said: nothing is lost with these.
const SAID_BY_MACHINES: [&str; 6] = [
    "kyuubi.client.version",
    "kyuubi.client.ipAddress",
    "kyuubi.server.ipAddress",
    "kyuubi.session.connection.url",
    "kyuubi.session.real.user",
    "kyuubi.batch.resource.uploaded",
];
const SESSION_NAME: &str = "kyuubi.session.name";
const QUEUE: &str = "spark.yarn.queue";
/// Every key of a conf that becomes something else than a pair of the conf.
#[cfg(test)]
pub(crate) const TAKEN_KEYS: [&[&str]; 3] = [&[BATCH_ID, SESSION_NAME, QUEUE], &PROXY_USER, &SAID_BY_MACHINES];
/// In front of the names of Kyuubi's own keys.
const OWN_KEY: &str = "kyuubi.";
/// The extension that lists the keys of the conf as their client wrote them, where something was put in front of them: a Kyuubi gets them so.
pub(crate) const AS_WRITTEN: &str = "conf";
/// In front of the names that are made for batches without one, on platforms where that is what they are found by.
const MADE_NAME: &str = "batchlingua-";

/// The batch that a submit asks for. `None`: its body was empty or `null`.
pub(crate) fn submission(
    request: Option<BatchRequest>,
    files: Option<Files>,
    header_key: Option<&str>,
) -> Result<Submission> {
    let Some(request) = request else {
        let words = "Cannot invoke \"org.apache.kyuubi.client.api.v1.dto.BatchRequest.getBatchType()\" because \"request\" is null";
        return Err(thrown("body", "the body must be a JSON object, not empty or null", words));
    };
    let batch_type = BatchType::read(request.batch_type.as_deref())?;
    let resource = request.resource.ok_or_else(|| unmet("resource", "resource is a required parameter"))?;
    let class_name = match (batch_type, request.class_name) {
        (BatchType::Spark, None) => {
            return Err(unmet("className", "classname is a required parameter for SPARK"));
        }
        // What an archive says of itself is then its class.
        (BatchType::Spark, class_name) => class_name.filter(|class| !class.is_empty()),
        (BatchType::PySpark, _) => None,
    };
    let mut conf = TakenConf(request.conf.unwrap_or_default());
    let run_as = PROXY_USER.map(|key| conf.take(key)).into_iter().flatten().find(|user| !is_blank(user));
    let key = key(conf.take(BATCH_ID), header_key)?;
    let session_name = conf.take(SESSION_NAME);
    let (conf, mut extensions) = conf.rest()?;
    extensions.extend(others(request.others));
    let mut spec = BatchSpec {
        class_name,
        args: args(request.args)?,
        name: [request.name, session_name].into_iter().flatten().find(|name| !is_blank(name)),
        conf,
        run_as,
        extensions,
        ..BatchSpec::default()
    };
    spec.queue = spec.conf.remove(QUEUE).filter(|queue| !queue.is_empty());
    let files = files.map_or(Ok(Vec::new()), |files| files.payloads(spark_key))?;
    let file = files.first().map_or(resource, |application| application.file_name.clone());
    spec.kind = batch_type.kind(&file);
    spec.file = Some(file);
    Ok(Submission { spec, files, project: None, key, unique_name: false })
}

/// Whether a key of the conf, or the extension that it has become, is Kyuubi's own.
pub(crate) fn is_own_key(key: &str) -> bool {
    key.starts_with(OWN_KEY)
}

/// Members that no Kyuubi knows yet. One that is called as a key of Kyuubi's own would be taken for that key.
fn others(others: Vec<(String, String)>) -> impl Iterator<Item = Extension> {
    let others = others.into_iter().filter(|(name, _)| !is_own_key(name));
    others.map(|(name, value)| Extension { dialect: DialectName::from(NAME), name, value })
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BatchType {
    Spark,
    PySpark,
}

impl BatchType {
    fn read(text: Option<&str>) -> Result<Self> {
        match text.map(str::to_uppercase).as_deref() {
            Some("SPARK") => Ok(Self::Spark),
            Some("PYSPARK") => Ok(Self::PySpark),
            // The brace too many is Kyuubi's.
            _ => {
                let given = text.unwrap_or("null");
                Err(unmet("batchType", &format!("{given} is not in the supported list: Set(SPARK, PYSPARK)}}")))
            }
        }
    }

    /// The client's word for what a Spark batch runs counts, not the name of the file; only R has no type of its own.
    fn kind(self, file: &str) -> BatchKind {
        match (self, BatchKind::of_file(file)) {
            (Self::PySpark, _) => BatchKind::Python,
            (Self::Spark, BatchKind::R) => BatchKind::R,
            (Self::Spark, BatchKind::Jar | BatchKind::Python | BatchKind::Sql | BatchKind::Other) => BatchKind::Jar,
        }
    }
}

fn args(args: Vec<Option<String>>) -> Result<Vec<String>> {
    let all = args.into_iter().enumerate();
    all.map(|(at, arg)| arg.ok_or_else(|| unmet("args", &format!("value cannot be null for args[{at}]")))).collect()
}

fn key(batch_id: Option<String>, header: Option<&str>) -> Result<Option<IdempotencyKey>> {
    let Some(text) = batch_id else {
        return Ok(header.map(|key| IdempotencyKey { value: key.to_owned(), replay: Replay::FirstAnswer }));
    };
    let id = ids::parse(&text).ok_or_else(|| {
        let words = format!("{BATCH_ID}={text} must be an UUID");
        thrown(BATCH_ID, words.clone(), &words)
    })?;
    Ok(Some(IdempotencyKey { value: id.to_string(), replay: Replay::StoredBatch }))
}

/// What a Spark job of a Kyuubi sees in place of a key.
pub(crate) fn spark_key(key: &str) -> Cow<'_, str> {
    match key {
        key if key.starts_with("spark.") => Cow::Borrowed(key),
        key if key.starts_with("hadoop.") => Cow::Owned(format!("spark.hadoop.{key}")),
        key => Cow::Owned(format!("spark.{key}")),
    }
}

/// A conf from which the keys that have a place of their own are taken first.
struct TakenConf(Pairs);

impl TakenConf {
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == key)?;
        self.0.remove(at).1
    }

    /// The others: those of Spark, and those of Kyuubi.
    fn rest(self) -> Result<(Conf, Vec<Extension>)> {
        if let Some((key, _)) = self.0.iter().find(|(_, value)| value.is_none()) {
            let words =
                format!("java.lang.IllegalArgumentException: requirement failed: value cannot be null for key: {key}");
            return Err(thrown("conf", format!("the value of '{key}' must not be null: leave the key out"), &words));
        }
        let written: HashSet<String> = self.0.iter().map(|(key, _)| key.clone()).collect();
        let (mut spark, mut extensions, mut as_written) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in self.0 {
            let value = value.unwrap_or_default();
            if SAID_BY_MACHINES.contains(&key.as_str()) {
                continue;
            }
            if is_own_key(&key) {
                let value = serde_json::Value::from(value).to_string();
                extensions.push(Extension { dialect: DialectName::from(NAME), name: key, value });
                continue;
            }
            match spark_key(&key) {
                Cow::Borrowed(_) => spark.push((key, value)),
                Cow::Owned(made) if written.contains(&made) => {}
                Cow::Owned(made) => {
                    as_written.push(key);
                    spark.push((made, value));
                }
            }
        }
        if !as_written.is_empty() {
            let value = serde_json::Value::from(as_written).to_string();
            extensions.push(Extension { dialect: DialectName::from(NAME), name: AS_WRITTEN.to_owned(), value });
        }
        Ok((spark.into_iter().collect(), extensions))
    }
}

/// What an answer says beside the batch.
#[derive(Clone, Debug)]
pub(crate) struct Shown<'a> {
    /// Where the client is to ask for its log.
    pub(crate) instance: Option<Cow<'a, str>>,
    /// Whether the client fails on members that were added later.
    pub(crate) is_strict: bool,
    pub(crate) info: BatchInfo,
}

/// A batch as clients are shown it.
pub(crate) fn object<'a>(batch: &'a Batch<BatchId>, shown: Shown<'a>) -> BatchObject<'a> {
    let ended = batch.times.ended.filter(|_| batch.state.is_end());
    let started = batch.times.started.map_or(0, |at| at.0);
    let has_application = batch.app.id.is_some();
    // What is told is the application's diagnostics; where there is none the log tells. That nobody saw the end is told in any case.
    let diagnostic = batch.diagnostic.as_deref().filter(|_| has_application || batch.state == BatchState::Unknown);
    BatchObject {
        id: batch.id.uuid,
        user: batch.user().unwrap_or("anonymous"),
        batch_type: match batch.spec.kind {
            BatchKind::Python => "PYSPARK",
            BatchKind::Jar | BatchKind::R | BatchKind::Sql | BatchKind::Other => "SPARK",
        },
        name: batch.spec.name.as_deref().filter(|name| !is_made(name, batch.id.uuid)),
        app_start_time: (!shown.is_strict).then_some(started),
        app_id: batch.app.id.as_deref(),
        app_url: batch.app.url.as_deref(),
        app_state: state::app_word(batch.state, has_application),
        app_diagnostic: diagnostic,
        kyuubi_instance: shown.instance,
        state: state::word(batch.state),
        create_time: batch.times.created.0,
        end_time: ended.map_or(0, |at| at.0),
        batch_info: (!shown.is_strict).then_some(shown.info),
    }
}

fn is_made(name: &str, uuid: Uuid) -> bool {
    name.strip_prefix(MADE_NAME).and_then(ids::parse) == Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<BatchSpec> {
        let request = crate::bind::read(body.as_bytes(), 64).expect("JSON");
        submission(request, None, None).map(|submission| submission.spec)
    }

    fn with_conf(conf: &str) -> BatchSpec {
        of(&format!(r#"{{"batchType":"PYSPARK","resource":"/a.py","conf":{conf}}}"#)).expect("a submit")
    }

    #[test]
    fn keys_become_what_a_spark_job_of_a_kyuubi_sees() {
        let spec = with_conf(r#"{"spark.a":"1","foo":2,"hadoop.bar":"3","":"4","b":"made","spark.b":"written"}"#);
        let conf: Vec<_> = spec.conf.iter().collect();
        assert_eq!(
            conf,
            [
                ("spark.a", "1"),
                ("spark.foo", "2"),
                ("spark.hadoop.hadoop.bar", "3"),
                ("spark.", "4"),
                ("spark.b", "written")
            ]
        );
    }

    #[test]
    fn kyuubis_own_keys_go_where_they_belong_and_none_to_spark() {
        let spec = with_conf(
            r#"{"kyuubi.session.proxy.user":"carl","hive.server2.proxy.user":"bob","kyuubi.session.name":"s",
                "spark.yarn.queue":"etl","kyuubi.client.version":"1.12.0","kyuubi.batch.priority":20}"#,
        );
        assert_eq!(
            (spec.run_as.as_deref(), spec.name.as_deref(), spec.queue.as_deref()),
            (Some("carl"), Some("s"), Some("etl"))
        );
        assert!(spec.conf.is_empty(), "{:?}", spec.conf);
        let kept: Vec<_> = spec.extensions.iter().map(|kept| (kept.name.as_str(), kept.value.as_str())).collect();
        assert_eq!(
            kept,
            [("kyuubi.batch.priority", "\"20\"")],
            "a version of the client's is nothing that could be lost"
        );
    }

    #[test]
    fn what_no_kyuubi_knows_is_kept_and_cannot_pass_for_what_it_knows() {
        let spec = of(
            r#"{"batchType":"PYSPARK","resource":"/a.py","proxyUser":"root","kyuubi.session.proxy.user":"root","x":[1.50, {}],
            "conf":{"foo":"1","spark.a":"2","hadoop.b":"3"}}"#,
        );
        let spec = spec.expect("a submit");
        let kept: Vec<_> = spec.extensions.iter().map(|kept| (kept.name.as_str(), kept.value.as_str())).collect();
        assert_eq!(kept, [("conf", r#"["foo","hadoop.b"]"#), ("proxyUser", "\"root\""), ("x", "[1.50, {}]")]);
        assert_eq!(spec.run_as, None);
    }

    #[test]
    fn a_blank_user_is_nobody_and_a_realm_stays() {
        assert_eq!(with_conf(r#"{"hive.server2.proxy.user":""}"#).run_as, None);
        assert_eq!(
            with_conf(r#"{"kyuubi.session.proxy.user":" ","hive.server2.proxy.user":"bob"}"#).run_as.as_deref(),
            Some("bob")
        );
        let realm = with_conf(r#"{"hive.server2.proxy.user":"bob/host@EXAMPLE.ORG"}"#);
        assert_eq!(realm.run_as.as_deref(), Some("bob/host@EXAMPLE.ORG"));
    }

    #[test]
    fn the_type_says_what_runs_and_only_r_is_told_by_its_name() {
        let kind = |batch_type: &str, file: &str| {
            let spec =
                of(&format!(r#"{{"batchType":"{batch_type}","resource":"{file}","className":""}}"#)).expect("a submit");
            assert_eq!(spec.class_name, None);
            spec.kind
        };
        assert_eq!(kind("spark", "/a.jar"), BatchKind::Jar);
        assert_eq!(kind("SPARK", "/a.py"), BatchKind::Jar);
        assert_eq!(kind("SPARK", "/a.R"), BatchKind::R);
        assert_eq!(kind("PySpark", "/a.zip"), BatchKind::Python);
    }

    #[test]
    fn nulls_are_refused_where_they_would_reach_spark() {
        let told = |body: &str| of(body).expect_err("a null").message;
        let base = r#""batchType":"PYSPARK","resource":"/a.py""#;
        assert!(told(&format!(r#"{{{base},"conf":{{"spark.x":null}}}}"#)).contains("'spark.x'"));
        assert!(told(&format!(r#"{{{base},"args":["a",null]}}"#)).contains("args[1]"));
        let harmless = r#""conf":{"kyuubi.batch.id":null,"hive.server2.proxy.user":null}"#;
        assert!(of(&format!("{{{base},{harmless}}}")).is_ok());
    }

    #[test]
    fn a_header_is_a_key_only_where_the_conf_has_none() {
        let key = |conf: &str| {
            let body = format!(r#"{{"batchType":"PYSPARK","resource":"/a.py","conf":{conf}}}"#);
            let request = crate::bind::read(body.as_bytes(), 64).expect("JSON");
            submission(request, None, Some("k")).expect("a submit").key.expect("a key")
        };
        assert_eq!(key("{}"), IdempotencyKey { value: "k".to_owned(), replay: Replay::FirstAnswer });
        let stored =
            IdempotencyKey { value: "00000001-0002-0003-0004-000000000005".to_owned(), replay: Replay::StoredBatch };
        assert_eq!(key(r#"{"kyuubi.batch.id":"1-2-3-4-5"}"#), stored);
    }

    #[test]
    fn a_made_name_is_no_name() {
        let uuid = Uuid::from_u128(7);
        assert!(is_made(&format!("batchlingua-{uuid}"), uuid));
        assert!(!is_made(&format!("batchlingua-{uuid}"), Uuid::from_u128(8)) && !is_made("batchlingua-nightly", uuid));
    }
}
