//! Kylin's calls in its three faces, and the answers that its clients can read: the envelope, with a text in `exception`.

use serde_json::{Value, json};

use super::calls::Call;
use super::sending::Told;

const V4: &str = "application/vnd.apache.kylin-v4-public+json";
const V2: &str = "application/vnd.apache.kylin-v2+json";

pub(super) fn calls() -> Vec<Call> {
    let status = json!({"action": "PAUSE", "project": "p", "job_ids": ["a"], "statuses": ["RUNNING"]});
    let list = [
        ("time_filter", "4"),
        ("project", "p"),
        ("statuses", "RUNNING"),
        ("job_names", "n"),
        ("subject", "s"),
        ("key", "k"),
        ("page_offset", "0"),
        ("page_size", "10"),
        ("sort_by", "create_time"),
        ("reverse", "true"),
    ];
    let list_v2 = [
        ("timeFilter", "4"),
        ("status", "1"),
        ("projectName", "p"),
        ("pageOffset", "0"),
        ("pageSize", "10"),
        ("sortBy", "create_time"),
    ];
    let list_legacy =
        [("offset", "0"), ("limit", "15"), ("projectName", "p"), ("status", "1"), ("jobSearchMode", "ALL")];
    let project = [("project", "p")];
    vec![
        Call::new("status", "PUT", "/kylin/api/jobs/status").accept(V4).json(status),
        Call::new("list", "GET", "/kylin/api/jobs").accept(V4).query(&list),
        Call::new("list, v2", "GET", "/kylin/api/jobs").accept(V2).query(&list_v2),
        Call::new("list, legacy", "GET", "/kylin/api/jobs").accept("*/*").query(&list_legacy),
        Call::new("forget", "DELETE", "/kylin/api/jobs").accept(V4).query(&[("project", "p"), ("job_ids", "a,b")]),
        Call::new("detail", "GET", "/kylin/api/jobs/{id}/detail").accept(V4).query(&project),
        Call::new("output", "GET", "/kylin/api/jobs/{id}/steps/{id}_00/output").accept(V4).query(&project),
        Call::new("log", "GET", "/kylin/api/jobs/{id}/steps/{id}_00/log").accept(V4).query(&project),
        Call::new("get, v2", "GET", "/kylin/api/jobs/{id}").accept(V2),
        Call::new("resume, v2", "PUT", "/kylin/api/jobs/{id}/resume").accept(V2),
        Call::new("cancel, legacy", "PUT", "/kylin/api/jobs/{id}/cancel").accept("*/*"),
        Call::new("drop, legacy", "DELETE", "/kylin/api/jobs/{id}/drop").accept("*/*"),
        Call::new("log in", "POST", "/kylin/api/user/authentication").accept(V4),
    ]
}

/// The reference, 2.2 to 2.4: nearly all is 500 or 400 in the envelope; what the framework says has its own object, or nothing.
pub(super) fn is_readable(told: &Told<'_>) -> bool {
    let member = |name: &str| told.member(name);
    let text = |name: &str| member(name).is_some_and(Value::is_string);
    let failure = member("code").is_some_and(|code| code == "999") && text("msg") && text("exception") && text("url");
    let success = member("code").is_some_and(|code| code == "000") && member("data").is_some();
    // The legacy face has no envelope around what it shows.
    let bare_value = told.kind == "application/json;charset=UTF-8" && told.json.is_some() && member("code").is_none();
    let file = told.kind == "application/octet-stream" && told.answer.header("content-disposition").is_some();
    let empty = told.text.is_empty();
    let framework = told.kind.starts_with("application/json")
        && member("status").is_some_and(|status| *status == told.status)
        && ["timestamp", "error", "path"].iter().all(|name| text(name));
    match told.status {
        200 => told.is_head || success || bare_value || file || empty,
        400 | 401 | 404 | 405 | 406 | 413 | 414 | 417 | 431 | 500 if told.is_head => true,
        400 => failure || told.is_bare(),
        401 | 413 | 417 | 500 => failure,
        404 | 405 => framework,
        406 => empty,
        414 | 431 => told.is_bare() || failure,
        _ => false,
    }
}
