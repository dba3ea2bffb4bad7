//! Kyuubi's calls, and the answers that its clients can read: JSON with a message, Jackson's words as plain text, the container's pages.

use batchlingua_testkit::mutate::{Form, Part};
use serde_json::{Value, json};

use super::calls::Call;
use super::sending::Told;

pub(super) fn calls() -> Vec<Call> {
    let submit = json!({
        "batchType": "SPARK", "resource": "/a.jar", "className": "A", "name": "n", "args": ["x"],
        "conf": {"spark.a": "b", "kyuubi.session.proxy.user": "ana"}, "extraResourcesMap": {"spark.jars": "a.jar"},
    });
    let list = [
        ("batchType", "SPARK"),
        ("batchState", "RUNNING"),
        ("batchUser", "ana"),
        ("batchName", "n"),
        ("createTime", "1"),
        ("endTime", "2"),
        ("from", "0"),
        ("size", "10"),
        ("desc", "true"),
    ];
    vec![
        Call::new("submit", "POST", "/api/v1/batches").json(submit),
        Call::new("list", "GET", "/api/v1/batches").query(&list),
        Call::new("get", "GET", "/api/v1/batches/{id}"),
        Call::new("log", "GET", "/api/v1/batches/{id}/localLog").query(&[("from", "0"), ("size", "10")]),
        Call::new("delete", "DELETE", "/api/v1/batches/{id}").query(&[("hive.server2.proxy.user", "ana")]),
        Call::new("ping", "GET", "/api/v1/ping").accept("*/*"),
        Call::new("version", "GET", "/api/v1/version"),
    ]
}

/// An upload that would be taken.
pub(super) fn upload() -> Vec<u8> {
    let request = json!({
        "batchType": "PYSPARK", "resource": "x", "name": "n", "conf": {"spark.a": "b"},
        "extraResourcesMap": {"spark.submit.pyFiles": "b.py"},
    });
    let form = Form::new([
        Part::file("resourceFile", "a.py", "print('a')"),
        Part::file("b.py", "b.py", "print('b')"),
        Part::value("batchRequest", request.to_string()).with("Content-Type: application/json"),
    ]);
    let body = form.body();
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let head = b"POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: ".as_slice();
    [head, &form.content_type(), b"\r\n", length.as_bytes(), &body].concat()
}

/// The reference's table of errors, the recorded pages, and ours that it does not have (403 without a principal, 409, 413, 417).
pub(super) fn is_readable(told: &Told<'_>) -> bool {
    let message = told.kind == "application/json" && told.is_of(&["message"]);
    let jackson = told.kind == "text/plain" && !told.text.is_empty();
    let pong = told.kind == "text/plain" && told.text == "pong";
    let object = told.kind.starts_with("application/json") && told.json.as_ref().is_some_and(Value::is_object);
    let options = told.answer.header("allow").is_some();
    let empty = told.text.is_empty();
    match told.status {
        200 => told.is_head || object || pong || options || told.kind == "text/html;charset=utf-8",
        302 => told.answer.header("location").is_some() && empty,
        _ if told.is_head => matches!(told.status, 400 | 401 | 403 | 404 | 405 | 406 | 414 | 415 | 431 | 500 | 503),
        400 => message || jackson || is_page(told) || told.is_bad_message() || told.is_bare(),
        401 | 403 => message || is_page(told),
        404 | 405 | 406 | 409 | 413 | 415 => message,
        414 | 431 => told.is_bare() || told.is_bad_message(),
        417 => told.is_bad_message(),
        // To CONNECT.
        501 => empty,
        500 => message || is_page(told),
        // Of a batch whose submit is on its way at this moment.
        503 => message && told.answer.header("retry-after").is_some(),
        _ => false,
    }
}

/// The container's own page, in the form that the client's Accept chooses; to other methods than GET, POST and HEAD it is empty.
fn is_page(told: &Told<'_>) -> bool {
    let html = told.kind == "text/html;charset=iso-8859-1" && told.text.contains("HTTP ERROR");
    let object =
        told.json.as_ref().is_some_and(|page| ["message", "url", "status"].iter().all(|name| page[*name].is_string()));
    let text = told.kind.starts_with("text/plain") && told.text.starts_with("HTTP ERROR");
    html || object || text || told.text.is_empty()
}
