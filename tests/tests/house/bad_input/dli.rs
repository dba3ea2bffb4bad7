//! DLI's calls, and the answers that its clients can read: always JSON, and with a failure both its members.

use serde_json::{Value, json};

use super::calls::Call;
use super::sending::Told;

pub(super) fn calls() -> Vec<Call> {
    let create = json!({
        "file": "obs://b/a.jar", "className": "A", "queue": "q", "cluster_name": "q", "args": ["x"], "sc_type": "A",
        "jars": ["b.jar"], "pyFiles": ["c.py"], "files": ["d"], "modules": ["sys.datasource.css"],
        "resources": [{"name": "r", "type": "jar"}], "groups": [{"name": "g", "resources": []}],
        "conf": {"spark.a": "b"}, "name": "n", "driverMemory": "1G", "driverCores": 1, "executorMemory": "1G",
        "executorCores": 1, "numExecutors": 1, "obs_bucket": "b", "auto_recovery": true, "max_retry_times": 1,
        "feature": "basic", "spark_version": "3.3.1", "image": "i", "catalog_name": "dli", "execution_agency_urn": "u",
    });
    let create_in_snake_case = json!({
        "file": "a.py", "class_name": "", "queue": "q", "python_files": ["c.py"], "driver_memory": "1G",
        "driver_cores": 1, "executor_memory": "1G", "executor_cores": 1, "num_executors": 1,
    });
    let list = [
        ("job_name", "n"),
        ("job-id", "0f6c1b1e"),
        ("cluster_name", "q"),
        ("queue_name", "q"),
        ("from", "0"),
        ("size", "10"),
        ("state", "running"),
        ("owner", "ana"),
        ("start", "1"),
        ("end", "2"),
        ("order", "DURATION_ASC"),
    ];
    vec![
        Call::new("create", "POST", "/v2.0/p/batches").json(create),
        Call::new("create in snake_case", "POST", "/v2.0/p/batches").json(create_in_snake_case),
        Call::new("list", "GET", "/v2.0/p/batches").query(&list),
        Call::new("get", "GET", "/v2.0/p/batches/{id}"),
        Call::new("state", "GET", "/v2.0/p/batches/{id}/state"),
        Call::new("log", "GET", "/v2.0/p/batches/{id}/log").query(&[
            ("from", "0"),
            ("size", "10"),
            ("type", "driver"),
            ("index", "0"),
        ]),
        Call::new("cancel", "DELETE", "/v2.0/p/batches/{id}"),
        // In the place of the project.
        Call::new("list of a project", "GET", "/v2.0/{id}/batches"),
    ]
}

/// The reference, 10: no redirect, no failure with a good status, no failure without both members.
pub(super) fn is_readable(told: &Told<'_>) -> bool {
    let text = |name: &str| told.member(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let failure = told.kind == "application/json" && text("error_code") && text("error_msg");
    let is_found = told.answer.header("x-request-id").is_some();
    match told.status {
        200 => is_found && (told.is_head || told.json.as_ref().is_some_and(|json| json.is_object() && !failure)),
        400 | 401 | 403 | 404 | 413 | 414 | 417 | 431 if told.is_head => true,
        400 | 401 | 403 | 404 | 413 | 417 if failure && is_found => true,
        // Of a batch whose submit is on its way at this moment.
        502 | 503 if told.answer.header("retry-after").is_some() => told.is_head || (failure && is_found),
        // What is said of a head that cannot be taken: there is no request yet that could have an id.
        400 | 414 | 431 => (failure || told.is_bare()) && told.closes(),
        _ => false,
    }
}
