//! What clients are shown of a batch that runs on a Livy: that Livy's own object, as it came, but for what the proxy knows better.
//!
//! Its id is the proxy's, a name that was made for finding it is no name, and `recovering` is never shown. Of a log the Livy's own lines are
//! cut, in front of the job's and between its parts included, as that Livy would have cut them.

use std::borrow::Cow;

use batchlingua_core::{Batch, BatchId, Log, Marker, Native};
use batchlingua_wire::NativeObject;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{NAME, names, state, window::LogWindow};

fn of_livy(native: Option<&Native>) -> Option<&Native> {
    native.filter(|native| native.dialect.as_str() == NAME)
}

/// The word for a batch's state.
pub(crate) fn word(batch: &Batch<BatchId>) -> &str {
    match of_livy(batch.native.as_ref()) {
        Some(native) if native.word != state::RECOVERING => &native.word,
        Some(_) | None => state::word(batch.state),
    }
}

/// The object of a batch that runs on a Livy.
pub(crate) fn object(batch: &Batch<BatchId>) -> Option<Bytes> {
    let native = of_livy(batch.native.as_ref())?;
    let object = NativeObject::read(&native.object)?;
    let mut changes: Vec<(&str, Cow<'_, str>)> = Vec::new();
    let id = batch.id.ordinal.to_string();
    if object.get("id") != Some(id.as_str()) {
        changes.push(("id", id.into()));
    }
    if let Some(name) = object.get("name").and_then(|name| other_name(batch, name)) {
        changes.push(("name", name.into()));
    }
    if native.word == state::RECOVERING {
        changes.push(("state", format!("\"{}\"", state::word(batch.state)).into()));
    }
    Some(if changes.is_empty() { native.object.clone() } else { object.with(&changes).into() })
}

/// The client's own name, where the Livy has another one.
fn other_name(batch: &Batch<BatchId>, text: &str) -> Option<String> {
    let name: Cow<'_, str> = serde_json::from_str(text).ok()?;
    if names::is_made(&name) {
        return Some("null".to_owned());
    }
    let given = batch.spec.name.clone().filter(|given| *given != name)?;
    let marker = Marker { uuid: batch.id.uuid, name: Some(given) };
    let is_second = marker.second_name().is_some_and(|second| second == name);
    serde_json::to_string(&marker.name.filter(|_| is_second)?).ok()
}

/// The page of a log on a Livy that a client asks for.
pub(crate) fn log(id: &BatchId, log: &Log, window: LogWindow) -> Option<Vec<u8>> {
    let native = of_livy(log.native.as_ref())?;
    let object = NativeObject::read(&native.object)?;
    let lines: Vec<&RawValue> = serde_json::from_str(object.get("log")?).ok()?;
    let total = lines.len();
    let (from, served) = window.of_whole(total);
    let lines: Vec<&str> = lines[served].iter().map(|line| line.get()).collect();
    Some(object.with(&[
        ("id", id.ordinal.to_string().into()),
        ("from", from.to_string().into()),
        ("total", total.to_string().into()),
        ("log", format!("[{}]", lines.join(",")).into()),
    ]))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_core::{BatchSpec, BatchState, DialectName, Uuid};
    use batchlingua_wire::Query;

    use super::*;

    fn native(dialect: &str, word: &str, object: &str) -> Native {
        Native {
            dialect: DialectName::from(dialect),
            word: word.to_owned(),
            object: object.to_owned().into(),
            status: None,
        }
    }

    fn batch(name: Option<&str>, native: Native) -> Batch<BatchId> {
        let spec = BatchSpec { name: name.map(str::to_owned), ..BatchSpec::default() };
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 5, native: Some("9".into()) };
        Batch { native: Some(native), ..Batch::new(id, BatchState::Running, Arc::new(spec)) }
    }

    fn shown(name: Option<&str>, dialect: &str, word: &str, text: &str) -> Option<String> {
        let batch = batch(name, native(dialect, word, text));
        object(&batch).map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[test]
    fn only_what_the_proxy_knows_better_is_another() {
        let cases = [
            (
                None,
                r#"{"id":9,"name":null,"state":"running","new":[1.50]}"#,
                r#"{"id":5,"name":null,"state":"running","new":[1.50]}"#,
            ),
            (Some("n"), r#"{"id": 5, "name":"n"}"#, r#"{"id": 5, "name":"n"}"#),
            (Some("n\u{1f680}"), r#"{"id":5,"name":"n\uD83D\uDE80"}"#, r#"{"id":5,"name":"n\uD83D\uDE80"}"#),
            (None, r#"{"id":9,"name":"batchlingua-00000000-0000-0000-0000-000000000007"}"#, r#"{"id":5,"name":null}"#),
            (Some("n"), r#"{"id":9,"name":"n-00000000"}"#, r#"{"id":5,"name":"n"}"#),
            (Some("n"), r#"{"id":9,"name":"n-00000001"}"#, r#"{"id":5,"name":"n-00000001"}"#),
            (None, r#"{"id":9}"#, r#"{"id":5}"#),
        ];
        for (name, came, goes) in cases {
            assert_eq!(shown(name, "livy", "running", came).as_deref(), Some(goes), "{came}");
        }
        assert_eq!(shown(None, "kyuubi", "RUNNING", r#"{"id":9}"#), None);
        assert_eq!(shown(None, "livy", "running", "[]"), None);
    }

    #[test]
    fn a_livys_word_is_shown_unless_clients_trip_over_it() {
        let of = |dialect: &str, text: &str| word(&batch(None, native(dialect, text, "{}"))).to_owned();
        assert_eq!(
            (of("livy", "busy"), of("livy", "recovering"), of("kyuubi", "PENDING")),
            ("busy".into(), "running".into(), "running".into())
        );
        let recovering = shown(None, "livy", "recovering", r#"{"id":5,"state":"recovering"}"#);
        assert_eq!(recovering.as_deref(), Some(r#"{"id":5,"state":"running"}"#));
    }

    #[test]
    fn a_page_of_a_log_is_cut_from_the_livys_own_lines() {
        let whole = r#"{"id":9,"from":0,"total":5,"log":["stdout: ","a","\nstderr: ","\nYARN Diagnostics: ","\u001Bd"],"more":1}"#;
        let page = |query: &str| {
            let of = Log { native: Some(native("livy", "", whole)), ..Log::page(0, 2, Vec::new()) };
            let window = LogWindow::read(&Query::parse(query)).expect("integers");
            String::from_utf8(log(&batch(None, native("livy", "", "{}")).id, &of, window).expect("a page"))
                .expect("text")
        };
        assert_eq!(page(""), whole.replace("\"id\":9", "\"id\":5"));
        assert_eq!(page("from=3&size=1"), r#"{"id":5,"from":3,"total":5,"log":["\nYARN Diagnostics: "],"more":1}"#);
        assert_eq!(page("size=1"), r#"{"id":5,"from":4,"total":5,"log":["\u001Bd"],"more":1}"#);
    }
}
