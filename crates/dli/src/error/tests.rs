//! What a DLI's failures mean: by code, by status, in every form.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::*;

fn answered(status: u16, content_type: &'static str, body: &str) -> Answer {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
    let status = StatusCode::from_u16(status).expect("a status");
    Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

fn judged(status: u16, body: &str, about: About<'_>) -> Refusal {
    refusal(&answered(status, "application/json", body), about, &"north".into(), &NAME.into(), false)
}

fn coded(status: u16, code: &str, message: &str, about: About<'_>) -> (&'static str, bool) {
    let refusal = judged(status, &json!({"error_code": code, "error_msg": message}).to_string(), about);
    (refusal.error.kind.as_str(), refusal.is_sure)
}

#[test]
fn codes_come_before_statuses() {
    let (batch, create, log) = (About::Batch("b"), About::Create, About::Log("b"));
    for (status, code, about, wanted) in [
        (400, "DLI.0001", create, ("backend_rejected", true)),
        (400, "DLI.0001", batch, ("backend_rejected", true)),
        (400, "DLI.0002", create, ("backend_rejected", true)),
        (400, "DLI.0002", batch, ("not_found", true)),
        (404, "DLI.0023", log, ("not_found", true)),
        (404, "DLI.0023", create, ("backend_rejected", true)),
        (400, "DLI.0100", log, ("not_found", true)),
        (400, "DLI.0100", batch, ("backend_rejected", true)),
        (401, "DLI.0013", batch, ("backend_rejected", true)),
        (404, "DLI.0012", batch, ("backend_rejected", true)),
        (500, "DLI.0012", batch, ("backend_unavailable", false)),
        (400, "DLI.0019", create, ("backend_timeout", false)),
        (400, "DLI.0999", create, ("backend_unavailable", false)),
        (500, "DLI.10001", create, ("backend_unavailable", false)),
        (404, "APIGW.0101", batch, ("backend_rejected", true)),
        (404, "APIG.0101", batch, ("backend_rejected", true)),
        (413, "APIGW.0201", create, ("backend_rejected", true)),
        (502, "APIGW.0201", create, ("backend_unavailable", false)),
        (504, "APIG.0201", create, ("backend_timeout", false)),
        (500, "APIGW.0601", create, ("backend_unavailable", false)),
        (503, "APIGW.0613", create, ("backend_unavailable", true)),
        (400, "APIG.0308", create, ("throttled", true)),
        (404, "SOME.1", batch, ("not_found", true)),
    ] {
        assert_eq!(coded(status, code, "no", about), wanted, "{status} {code} {about:?}");
    }
    let absent = coded(400, "DLI.0001", "The batch does not exist", batch);
    assert_eq!(absent, ("not_found", true));
}

#[test]
fn a_404_that_is_nobody_knows_whose_is_no_missing_batch() {
    let kind = |content_type, body: &str| {
        let refusal =
            refusal(&answered(404, content_type, body), About::Batch("b"), &"north".into(), &NAME.into(), false);
        (refusal.error.kind.as_str(), refusal.error.native.is_some())
    };
    assert_eq!(kind("text/html", "<html><title>404</title></html>"), ("backend_rejected", false));
    assert_eq!(kind("application/json", "{}"), ("not_found", false));
    assert_eq!(kind("application/json", ""), ("not_found", false));
}

#[test]
fn a_failure_is_read_in_all_its_forms() {
    let told = |body: serde_json::Value| Told::read(body.to_string().as_bytes()).map(|told| told.to_string());
    for (body, wanted) in [
        (json!({"error_code": "DLI.1", "error_msg": "m"}), Some("m (DLI.1)")),
        (json!({"errorCode": "DLI.1", "errorMsg": "m"}), Some("m (DLI.1)")),
        (json!({"code": 401, "message": "m"}), Some("m (401)")),
        (json!({"error": {"code": 401, "message": "m", "title": "t"}}), Some("m (401)")),
        (json!({"error_code": "DLI.1", "error_msg": ""}), Some("DLI.1")),
        (json!({"error_msg": "m"}), Some("m")),
        (json!({"error_code": null, "error_msg": null, "id": "x"}), None),
        (json!({"message": "m"}), None),
        (json!({"code": 0, "message": "ok"}), None),
        (json!([]), None),
    ] {
        assert_eq!(told(body.clone()).as_deref(), wanted, "{body}");
    }
    assert_eq!(Told::read(b"<html>"), None);
    let secret =
        told(json!({"error_code": "c", "error_msg": "bad password=hunter2\n\tat a.b(C.java:1)"})).expect("told");
    assert!(!secret.contains("hunter2") && !secret.contains("java"), "{secret}");
    assert!(told(json!({"error_code": "c", "error_msg": "x".repeat(10_000)})).expect("told").len() < 600);
}

#[test]
fn a_missing_queue_is_named() {
    for message in
        ["There is no queue named etl_q", "There is no queue named [etl_q].", "no queue named 'etl_q', sorry"]
    {
        let refusal = judged(400, &json!({"error_code": "DLI.0002", "error_msg": message}).to_string(), About::Create);
        assert_eq!(refusal.error.kind, ErrorKind::NotFound(Missing::Queue("etl_q".into())), "{message}");
    }
}
