//! DLI's wire shapes: what a create may say, and what is answered.
//!
//! A create has two live spellings, camelCase and snake_case. Each member is taken in both, and camelCase wins; null is absence, and so are
//! an empty text and a size of 0, which Terraform's encoder cannot tell apart.
//!
//! | shape | takes |
//! |---|---|
//! | text | strings |
//! | list | arrays of strings |
//! | count | whole numbers from 0, below 2³¹ or a bound of its own |
//! | flag | `true`, `false` |
//! | pairs | an object of strings, numbers and booleans, the latter two by their spelling |
//! | packages | arrays of objects with a `name` and a `type`, or, for groups, with a `name` and `resources` |
//!
//! Anything else is refused. Members that nobody knows are kept for a backend of this dialect.

use std::borrow::Cow;

use batchlingua_core::Conf;
use serde::Serialize;

/// The body of a create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreateBatch {
    pub(crate) file: Option<String>,
    pub(crate) class_name: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) sc_type: Option<String>,
    pub(crate) jars: Vec<String>,
    pub(crate) py_files: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) archives: Vec<String>,
    pub(crate) conf: Conf,
    pub(crate) name: Option<String>,
    pub(crate) driver_memory: Option<String>,
    pub(crate) driver_cores: Option<i64>,
    pub(crate) executor_memory: Option<String>,
    pub(crate) executor_cores: Option<i64>,
    pub(crate) num_executors: Option<i64>,
    /// `basic`, `ai` or `custom`.
    pub(crate) feature: Option<String>,
    pub(crate) image: Option<String>,
    /// What the model has no place for: name and JSON text, the known ones under their names in snake_case.
    pub(crate) kept: Vec<(String, String)>,
}

/// A batch.
#[derive(Debug, Serialize)]
pub(crate) struct BatchObject<'a> {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    #[serde(rename = "appId")]
    pub(crate) app_id: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) owner: &'a str,
    #[serde(rename = "proxyUser")]
    pub(crate) proxy_user: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) log: &'a [String],
    pub(crate) sc_type: &'a str,
    pub(crate) cluster_name: Cow<'a, str>,
    pub(crate) queue: Cow<'a, str>,
    pub(crate) image: String,
    pub(crate) create_time: i64,
    pub(crate) update_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) feature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spark_version: Option<String>,
    /// JSON in a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) req_body: Option<String>,
}

/// A batch's state alone.
#[derive(Debug, Serialize)]
pub(crate) struct StateObject<'a> {
    pub(crate) id: String,
    pub(crate) state: &'a str,
}

/// A page of a log.
#[derive(Debug, Serialize)]
pub(crate) struct LogObject<'a> {
    pub(crate) id: String,
    pub(crate) from: u64,
    pub(crate) total: u64,
    pub(crate) log: &'a [String],
}

/// What a cancel is answered.
#[derive(Debug, Serialize)]
pub(crate) struct Msg {
    pub(crate) msg: &'static str,
}

/// A failure. Clients fall back to the status and the raw body where a key is missing or empty.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject<'a> {
    pub(crate) error_code: &'a str,
    pub(crate) error_msg: &'a str,
    /// Told by what stands in front of the service only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
}
