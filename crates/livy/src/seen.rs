//! A Livy's batch object as it came, and what it says in the model.
//!
//! The object itself goes along for Livy's own clients. A name is kept as the Livy has it, made ones too: it is how a batch is told from
//! another that has its number after a restart. Livy knows no times.
//!
//! Its log has lines of Livy's own around the job's: one in front, and one before each part that follows, each of which begins with a line
//! break, as no line of a job can.

use std::sync::Arc;

use batchlingua_core::{App, Batch, BatchSpec, BatchState, DialectName, Native, NativeId, Principal};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{NAME, state, window::HEADER};

/// Longest line that is told of why a batch ended.
const LONGEST_REASON: usize = 1_000;

/// A batch, and whether it is the mere record of a refused submit.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) batch: Batch<NativeId>,
    pub(crate) is_ghost: bool,
    pub(crate) is_known_word: bool,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct SeenPage {
    pub(crate) total: u64,
    pub(crate) rows: Vec<Seen>,
}

/// A whole log.
#[derive(Debug)]
pub(crate) struct SeenLog {
    /// What the job wrote.
    pub(crate) lines: Vec<String>,
    pub(crate) native: Native,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    id: u32,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    proxy_user: Option<String>,
    state: String,
    #[serde(default)]
    app_id: Option<String>,
    #[serde(default)]
    app_info: Option<Info>,
    #[serde(default)]
    log: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    #[serde(default)]
    driver_log_url: Option<String>,
    #[serde(default)]
    spark_ui_url: Option<String>,
}

#[derive(Deserialize)]
struct List<'a> {
    total: u64,
    #[serde(borrow)]
    sessions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Lines {
    log: Vec<String>,
}

/// Reads a batch object.
pub(crate) fn batch(object: &[u8]) -> serde_json::Result<Seen> {
    let seen: Object = serde_json::from_slice(object)?;
    if i32::try_from(seen.id).is_err() {
        return Err(serde::de::Error::custom(format_args!("the id {} is no 32-bit integer", seen.id)));
    }
    let known = state::of_word(&seen.state);
    let state = known.unwrap_or(BatchState::Running);
    let is_ghost = seen.state == "starting" && seen.app_id.is_none() && seen.log.is_empty();
    let spec = BatchSpec { name: seen.name, run_as: seen.proxy_user, ..BatchSpec::default() };
    let mut batch = Batch::new(NativeId::from(seen.id.to_string()), state, Arc::new(spec));
    batch.owner = seen.owner.map(|name| Principal { name: name.into(), verified: true });
    let info = seen.app_info.unwrap_or_default();
    batch.app = App { id: seen.app_id, url: info.spark_ui_url, driver_log_url: info.driver_log_url };
    batch.diagnostic = if state.is_end() { reason(&seen.log) } else { None };
    batch.log_tail = job_lines(seen.log);
    batch.native = Some(native(seen.state, object));
    Ok(Seen { batch, is_ghost, is_known_word: known.is_some() })
}

/// Reads a page of a list.
pub(crate) fn page(body: &[u8]) -> serde_json::Result<SeenPage> {
    let list: List<'_> = serde_json::from_slice(body)?;
    let rows = list.sessions.into_iter().map(|object| batch(object.get().as_bytes())).collect::<Result<_, _>>()?;
    Ok(SeenPage { total: list.total, rows })
}

/// Reads a log that was asked for as a whole.
pub(crate) fn log(body: &[u8]) -> serde_json::Result<SeenLog> {
    let Lines { log } = serde_json::from_slice(body)?;
    Ok(SeenLog { lines: job_lines(log), native: native(String::new(), body) })
}

fn native(word: String, object: &[u8]) -> Native {
    Native { dialect: DialectName::from(NAME), word, object: Bytes::copy_from_slice(object), status: None }
}

/// Whether a line is one of Livy's own between the parts of a log.
fn is_between(line: &str) -> bool {
    line.starts_with('\n')
}

/// The lines of a log, or of the end of one, without Livy's own.
fn job_lines(mut log: Vec<String>) -> Vec<String> {
    if log.first().is_some_and(|first| first == HEADER) {
        log.remove(0);
    }
    log.retain(|line| !is_between(line));
    // What a cluster says of a job may be one text of several lines.
    if log.iter().any(|line| line.contains('\n')) {
        let parts = |line: &String| line.trim_end_matches('\n').split('\n').map(str::to_owned).collect::<Vec<_>>();
        log = log.iter().flat_map(parts).collect();
    }
    log
}

/// What the cluster says of the end.
fn reason(log: &[String]) -> Option<String> {
    let from = log.iter().position(|line| is_between(line) && line.contains("Diagnostics"))?;
    let said = log[from + 1..].iter().flat_map(|line| line.lines()).map(str::trim).find(|line| !line.is_empty())?;
    Some(said.chars().take(LONGEST_REASON).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        lines.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn lines_of_livys_own_are_no_lines_of_the_job() {
        let whole = texts(&["stdout: ", "a", "stdout: ", "", "\nstderr: ", "\nYARN Diagnostics: ", "one\ntwo"]);
        assert_eq!(job_lines(whole), ["a", "stdout: ", "", "one", "two"]);
        assert!(job_lines(Vec::new()).is_empty());
    }

    #[test]
    fn an_end_has_the_reason_that_the_cluster_gives() {
        let object = |state: &str| {
            let log = r#"["x","\nstderr: ","\nYARN Diagnostics: ","  ","killed by ana\nat once"]"#;
            batch(format!(r#"{{"id":1,"state":"{state}","log":{log}}}"#).as_bytes()).expect("a batch").batch
        };
        assert_eq!(object("killed").diagnostic.as_deref(), Some("killed by ana"));
        assert_eq!(object("running").diagnostic, None, "a live one says other things there");
    }

    #[test]
    fn only_an_empty_record_that_starts_is_a_ghost() {
        let is_ghost = |rest: &str| batch(format!(r#"{{"id":3,{rest}}}"#).as_bytes()).expect("a batch").is_ghost;
        assert!(is_ghost(r#""state":"starting","appId":null,"log":[]"#));
        assert!(!is_ghost(r#""state":"starting","appId":null,"log":["stdout: ","\nstderr: "]"#));
        assert!(!is_ghost(r#""state":"starting","appId":"application_1","log":[]"#));
        assert!(!is_ghost(r#""state":"running","appId":null,"log":[]"#));
    }

    #[test]
    fn what_livy_cannot_have_meant_is_a_fault() {
        for wrong in [
            r#"{"id":"7","state":"running"}"#,
            r#"{"id":-1,"state":"running"}"#,
            r#"{"id":2147483648,"state":"running"}"#,
            r#"{"id":1}"#,
            r#"{"id":1,"state":5}"#,
            r#"{"id":1,"state":"running","log":"x"}"#,
            r#"{"id":1,"state":"running","appInfo":"none"}"#,
            r#"{"msg":"no"}"#,
            "[]",
            "",
        ] {
            assert!(batch(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(page(br#"{"from":0,"total":1,"sessions":[{"id":1}]}"#).is_err());
        assert!(page(br#"{"from":0,"total":"1","sessions":[]}"#).is_err());
    }
}
