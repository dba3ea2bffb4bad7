//! How a spec is written into its column: what is absent takes no bytes, and what a later version adds is absent in older rows.
//!
//! Queue, name and kind have columns of their own, since lists ask for them, and are not written twice.

use batchlingua_core::{BatchSpec, Extension, Size};
use serde::{Deserialize, Serialize};

/// A spec as JSON. Written from what is borrowed and read into what is owned.
#[derive(Serialize)]
struct SpecText<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    args: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    jars: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    py_files: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    files: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    archives: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_memory: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_cores: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_memory: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executor_cores: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    executors: Option<i64>,
    /// Pairs, not a map: their order is the client's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conf: Vec<(&'a str, &'a str)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<ExtensionText<'a>>,
}

#[derive(Serialize)]
struct ExtensionText<'a> {
    dialect: &'a str,
    name: &'a str,
    value: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StoredSpec {
    file: Option<String>,
    class_name: Option<String>,
    args: Vec<String>,
    jars: Vec<String>,
    py_files: Vec<String>,
    files: Vec<String>,
    archives: Vec<String>,
    driver_memory: Option<String>,
    driver_cores: Option<i64>,
    executor_memory: Option<String>,
    executor_cores: Option<i64>,
    executors: Option<i64>,
    conf: Vec<(String, String)>,
    run_as: Option<String>,
    extensions: Vec<StoredExtension>,
}

#[derive(Deserialize)]
struct StoredExtension {
    dialect: String,
    name: String,
    value: String,
}

pub(crate) fn spec_text(spec: &BatchSpec) -> serde_json::Result<String> {
    serde_json::to_string(&SpecText {
        file: spec.file.as_deref(),
        class_name: spec.class_name.as_deref(),
        args: &spec.args,
        jars: &spec.jars,
        py_files: &spec.py_files,
        files: &spec.files,
        archives: &spec.archives,
        driver_memory: spec.driver.memory.as_deref(),
        driver_cores: spec.driver.cores,
        executor_memory: spec.executor.memory.as_deref(),
        executor_cores: spec.executor.cores,
        executors: spec.executors,
        conf: spec.conf.iter().collect(),
        run_as: spec.run_as.as_deref(),
        extensions: spec.extensions.iter().map(written).collect(),
    })
}

/// All of a spec but its queue, name and kind.
pub(crate) fn spec_of(text: &str) -> serde_json::Result<BatchSpec> {
    let stored: StoredSpec = serde_json::from_str(text)?;
    Ok(BatchSpec {
        file: stored.file,
        class_name: stored.class_name,
        args: stored.args,
        jars: stored.jars,
        py_files: stored.py_files,
        files: stored.files,
        archives: stored.archives,
        driver: Size { memory: stored.driver_memory, cores: stored.driver_cores },
        executor: Size { memory: stored.executor_memory, cores: stored.executor_cores },
        executors: stored.executors,
        conf: stored.conf.into_iter().collect(),
        run_as: stored.run_as,
        extensions: stored.extensions.into_iter().map(extension).collect(),
        ..BatchSpec::default()
    })
}

fn written(extension: &Extension) -> ExtensionText<'_> {
    let Extension { dialect, name, value } = extension;
    ExtensionText { dialect: dialect.as_str(), name, value }
}

fn extension(stored: StoredExtension) -> Extension {
    let StoredExtension { dialect, name, value } = stored;
    Extension { dialect: dialect.into(), name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> BatchSpec {
        let texts = |n: usize| (0..n).map(|i| format!("t{i}")).collect::<Vec<_>>();
        BatchSpec {
            file: Some("a.jar".into()),
            class_name: Some("A".into()),
            args: texts(3),
            jars: texts(1),
            py_files: texts(2),
            files: texts(1),
            archives: texts(1),
            driver: Size { memory: Some("1g".into()), cores: Some(1) },
            executor: Size { memory: Some("2g".into()), cores: Some(2) },
            executors: Some(3),
            conf: [("z", "1"), ("a", "ü")].map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect(),
            run_as: Some("ana".into()),
            extensions: vec![Extension { dialect: "dli".into(), name: "tags".into(), value: "[1.0]".into() }],
            ..BatchSpec::default()
        }
    }

    #[test]
    fn a_spec_is_read_back_as_it_was_written() {
        for spec in [BatchSpec::default(), full()] {
            let text = spec_text(&spec).expect("a spec is JSON");
            assert_eq!(spec_of(&text).expect("what was written is read"), spec);
        }
        assert_eq!(spec_text(&BatchSpec::default()).expect("a spec is JSON"), "{}");
    }
}
