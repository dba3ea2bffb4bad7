//! Livy's calls, and the answers that its clients can read.

use serde_json::{Value, json};

use super::calls::Call;
use super::sending::Told;

pub(super) fn calls() -> Vec<Call> {
    let submit = json!({
        "file": "/a.py", "proxyUser": "ana", "className": "A", "args": ["x"], "jars": ["/b.jar"], "pyFiles": ["/c.py"],
        "files": ["/d"], "archives": ["/e.zip"], "driverMemory": "1g", "driverCores": 1, "executorMemory": "1g",
        "executorCores": 1, "numExecutors": 1, "queue": "q", "name": "n", "conf": {"spark.a": "b"},
    });
    vec![
        Call::new("submit", "POST", "/batches").query(&[("doAs", "ana")]).json(submit).unnamed(&[
            // Livy tells these by the class of the value.
            "driverCores",
            "executorCores",
            "numExecutors",
        ]),
        Call::new("list", "GET", "/batches").query(&[("from", "0"), ("size", "10")]),
        Call::new("get", "GET", "/batches/{id}"),
        Call::new("state", "GET", "/batches/{id}/state"),
        Call::new("log", "GET", "/batches/{id}/log").query(&[("from", "0"), ("size", "10")]),
        Call::new("delete", "DELETE", "/batches/{id}"),
        Call::new("version", "GET", "/version"),
    ]
}

/// The reference's table of errors, and ours that it does not have (403, 413).
pub(super) fn is_readable(told: &Told<'_>) -> bool {
    let json = told.json.as_ref().filter(|_| told.kind == "application/json;charset=utf-8");
    let empty = told.text.is_empty();
    let msg = json.is_some() && told.is_of(&["msg"]);
    let words = json.is_some_and(Value::is_string);
    let exception = |text: &str| text.starts_with("java.") || text.starts_with("org.");
    match told.status {
        200 => told.is_head || json.is_some_and(Value::is_object) || told.kind == "text/html;charset=utf-8",
        302 => told.answer.header("location").is_some() && empty,
        _ if told.is_head => true,
        400 => msg || words || told.is_bad_message() || told.is_bare(),
        403 | 406 | 413 => msg,
        404 => msg || empty || told.text == "File not found",
        405 => empty && told.answer.header("allow").is_some(),
        417 => told.is_bad_message(),
        // Of a batch whose submit is on its way at this moment.
        503 => msg && told.answer.header("retry-after").is_some(),
        414 | 431 => told.is_bare(),
        500 => json.and_then(Value::as_str).is_some_and(exception) || exception(&told.text),
        _ => false,
    }
}
