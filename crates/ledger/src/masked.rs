//! The only way from what a client or a backend said to what a row says: secrets are masked here, before any engine sees them.
//!
//! Names, queues, projects and users are kept as they are, since batches are found by them. Everything else that can hold free text goes
//! through [`redact`]. Masking is idempotent, so a row that is exported and loaded again stays the same.

use std::{borrow::Cow, sync::Arc};

use batchlingua_core::{BatchSpec, Extension, KeptLog, redact};
use serde_json::Value;

/// A spec without secrets: what a row is made from.
#[derive(Clone, Debug)]
pub(crate) struct MaskedSpec(pub(crate) Arc<BatchSpec>);

impl MaskedSpec {
    pub(crate) fn of(spec: &BatchSpec) -> Self {
        // Every member by its name, so that one that is new has to be thought about.
        Self(Arc::new(BatchSpec {
            kind: spec.kind,
            class_name: spec.class_name.clone(),
            driver: spec.driver.clone(),
            executor: spec.executor.clone(),
            executors: spec.executors,
            queue: spec.queue.clone(),
            name: spec.name.clone(),
            run_as: spec.run_as.clone(),
            file: spec.file.as_deref().map(redact::line),
            args: redact::args(&spec.args),
            jars: lines(&spec.jars),
            py_files: lines(&spec.py_files),
            files: lines(&spec.files),
            archives: lines(&spec.archives),
            conf: spec.conf.map_values(value_of),
            extensions: spec.extensions.iter().map(extension).collect(),
        }))
    }
}

/// Text to be stored in the place of what is there. `None`: nothing new. The usual poll says what is known, and costs one comparison.
pub(crate) fn news(kept: Option<&str>, seen: Option<&str>) -> Option<String> {
    let seen = seen.filter(|seen| kept != Some(*seen))?;
    let masked = redact::line(seen);
    (kept != Some(masked.as_str())).then_some(masked)
}

/// A log is masked where it is cut to what is kept; once more costs little, and its fields are open to all.
pub(crate) fn log(log: &KeptLog) -> KeptLog {
    KeptLog { lines: lines(&log.lines), ..*log }
}

fn lines(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| redact::line(text)).collect()
}

/// A value may itself be a connection string or a command line, so it is masked inside too.
fn value_of(key: &str, value: &str) -> String {
    redact::line(redact::conf_value(key, value))
}

fn extension(given: &Extension) -> Extension {
    let value = match serde_json::from_str::<Value>(&given.value) {
        Ok(mut json) => {
            // Only what was masked is written anew: else numbers and spacing stay as the client wrote them.
            if mask(&given.name, &mut json) {
                Cow::Owned(json.to_string())
            } else {
                Cow::Borrowed(given.value.as_str())
            }
        }
        Err(_) => Cow::Owned(value_of(&given.name, &given.value)),
    };
    Extension { value: value.into_owned(), ..given.clone() }
}

/// Masks below a key; whether anything was masked. What stands under a secret's key is a secret, whatever its type.
fn mask(key: &str, json: &mut Value) -> bool {
    match json {
        Value::Object(members) => members.iter_mut().fold(false, |any, (inner, value)| {
            let key = if redact::is_secret_key(key) { key } else { inner };
            mask(key, value) | any
        }),
        Value::Array(items) => items.iter_mut().fold(false, |any, item| mask(key, item) | any),
        Value::String(text) => {
            let masked = value_of(key, text);
            let changed = masked != *text;
            *text = masked;
            changed
        }
        Value::Number(_) if redact::is_secret_key(key) => {
            *json = Value::from(redact::MASK);
            true
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(name: &str, value: &str) -> String {
        extension(&Extension { dialect: "kylin".into(), name: name.into(), value: value.into() }).value
    }

    #[test]
    fn an_extension_is_masked_at_any_depth_and_else_untouched() {
        let plain = r#"{"a" : 1.50, "b": ["x"]}"#;
        assert_eq!(masked("tags", plain), plain);
        let shown = masked("options", r#"{"db":[{"password":"hunter\"2","user":"ana"}],"token":4711}"#);
        assert!(!shown.contains("hunter") && !shown.contains("4711") && shown.contains("ana"), "{shown}");
        assert!(!masked("access_token", r#"{"value":"hunter2"}"#).contains("hunter2"));
        assert!(!masked("free", r#""--password=hunter2""#).contains("hunter2"));
        assert!(!masked("free", "no JSON, token=hunter2").contains("hunter2"));
    }

    #[test]
    fn a_value_with_a_password_in_a_url_is_masked() {
        let mut spec = BatchSpec { file: Some("ftp://ana:hunter2@host/a.jar".into()), ..BatchSpec::default() };
        spec.conf.set("spark.mongodb.input.uri", "mongodb://ana:hunter2@host/db");
        let masked = MaskedSpec::of(&spec).0;
        let conf = masked.conf.get("spark.mongodb.input.uri").unwrap_or_default();
        assert!(!conf.contains("hunter2") && conf.contains("@host/db"), "{conf}");
        assert!(!masked.file.as_deref().unwrap_or_default().contains("hunter2"));
    }

    #[test]
    fn masking_again_changes_nothing() {
        let mut spec =
            BatchSpec { args: vec!["--password=hunter2".into(), "-Dtoken=x".into()], ..BatchSpec::default() };
        spec.conf.set("spark.secret", "hunter2");
        let once = MaskedSpec::of(&spec);
        assert_eq!(MaskedSpec::of(&once.0).0, once.0);
    }

    #[test]
    fn what_is_known_is_no_news_even_where_it_was_masked() {
        assert_eq!(news(Some("a"), None), None);
        assert_eq!(news(Some("a"), Some("a")), None);
        assert_eq!(news(None, Some("a")), Some("a".to_owned()));
        let stored = redact::line("failed: password=hunter2");
        assert_eq!(news(Some(&stored), Some("failed: password=hunter2")), None);
    }
}
