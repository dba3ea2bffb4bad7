use batchlingua_core::BatchState;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;

fn answer(status: u16, kind: &str, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).expect("a type"));
    }
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn told(answer: &Answer, asked: Asked<'_>) -> Error {
    Refusal::read(answer).error(asked, &"k".into(), false)
}

const JSON: &str = "application/json";
const STARTING: &str = "{\n\"message\":\"Not Found\",\n\"url\":\"/api/v1/batches\",\n\"status\":\"404\"\n}";
const HTML: &str = "text/html;charset=iso-8859-1";

/// Texts are those of the recordings and of the reference's table; for each the kind, and whether Kyuubi clients get the answer itself.
#[test]
fn answers_are_read_by_their_text_before_their_status() {
    let get = Asked::Batch("7");
    let log = Asked::Log("7");
    let delete = Asked::Delete("7");
    for (status, kind, body, asked, wanted, is_native) in [
        (404, JSON, r#"{"message":"Invalid batchId: 7"}"#, get, "not_found", false),
        (404, JSON, "Invalid batchId: 7", get, "not_found", false),
        (404, "", "Invalid batchId: 7", delete, "not_found", false),
        (404, JSON, r#"{"message":"No local log found for batch: 7"}"#, log, "not_found", true),
        (404, JSON, "Error getting operation log for batchId: 7", log, "not_found", true),
        // The text is another call's, so it says nothing about this one.
        (404, JSON, r#"{"message":"No local log found for batch: 7"}"#, get, "backend_rejected", true),
        (404, JSON, r#"{"message":"HTTP 404 Not Found"}"#, get, "backend_rejected", true),
        (404, JSON, r#"{"message":"HTTP 404 Not Found"}"#, Asked::List, "backend_rejected", true),
        (404, HTML, "<html><title>404</title></html>", get, "backend_unavailable", false),
        // A Kyuubi 1.10.3 that is starting, word for word: its web server listens already.
        (404, JSON, STARTING, get, "backend_unavailable", false),
        (404, JSON, STARTING, Asked::Submit, "backend_unavailable", false),
        (404, "", "", delete, "backend_unavailable", false),
        (
            500,
            JSON,
            r#"{"message":"Api request failed for http://10.0.0.9:10099/api/v1/batches/7"}"#,
            log,
            "backend_unavailable",
            true,
        ),
        (500, JSON, r#"{"message":null}"#, log, "not_found", true),
        (500, JSON, r#"{"message":null}"#, get, "backend_unavailable", true),
        (500, JSON, r#"{"message":"org.sqlite.SQLiteException: locked"}"#, Asked::List, "backend_unavailable", true),
        (
            500,
            JSON,
            r#"{"message":"Failed to validate proxy privilege of etl for bob"}"#,
            Asked::Submit,
            "forbidden",
            true,
        ),
        (403, JSON, r#"{"message":"Failed to validate proxy privilege of etl for bob"}"#, delete, "forbidden", true),
        (405, JSON, "HTTP 405 Method Not Allowed", delete, "forbidden", true),
        (405, JSON, r#"{"message":"HTTP 405 Method Not Allowed"}"#, get, "backend_rejected", true),
        (
            403,
            JSON,
            r#"{"message":"Connection denied because the user is in the deny user list."}"#,
            Asked::Submit,
            "forbidden",
            true,
        ),
        (401, HTML, "<html><title>401</title></html>", get, "backend_rejected", false),
        (403, HTML, "<html><title>403</title></html>", get, "backend_rejected", false),
        (
            403,
            JSON,
            r#"{"servlet":"x","message":"Error validating LDAP user","url":"/","status":"403"}"#,
            get,
            "backend_rejected",
            false,
        ),
        (400, "text/plain", "Unrecognized field", Asked::Submit, "backend_rejected", true),
        (429, JSON, r#"{"message":"slow down"}"#, get, "throttled", true),
        (302, "", "", get, "backend_rejected", false),
        (502, HTML, "<html><title>Bad Gateway</title></html>", get, "backend_unavailable", false),
        (503, JSON, r#"{"error":"no healthy upstream"}"#, get, "backend_unavailable", false),
        (500, JSON, r#"{"message":"requirement failed: x"}"#, Asked::Submit, "backend_rejected", true),
    ] {
        let error = told(&answer(status, kind, body), asked);
        assert_eq!((error.kind.as_str(), error.native.is_some()), (wanted, is_native), "{status} {body} to {asked:?}");
        assert!(!error.message.contains(['\n', '\t', '<']), "{}", error.message);
        if let Some(native) = error.native {
            assert_eq!((native.status, &native.content_type[..], &native.body[..]), (status, kind, body.as_bytes()));
        }
    }
}

#[test]
fn a_redirect_tells_where_to_and_no_more() {
    let mut redirect = answer(302, "", "");
    let location = HeaderValue::from_static("https://sso.example.com/login?token=hunter2");
    redirect.headers.insert(header::LOCATION, location);
    let error = told(&redirect, Asked::List);
    assert!(error.message.contains("'sso.example.com'") && !error.message.contains("hunter2"), "{}", error.message);
    redirect.headers.insert(header::LOCATION, HeaderValue::from_static("/ui"));
    assert!(told(&redirect, Asked::List).message.contains("another path"));
}

#[test]
fn what_is_told_has_neither_secrets_nor_traces() {
    let text =
        r#"{"message":"java.lang.X: spark.hadoop.password=hunter2 is bad\n\tat org.apache.X.y(X.java:1)\n\tat z"}"#;
    let error = told(&answer(500, JSON, text), Asked::Submit);
    assert!(!error.message.contains("hunter2") && !error.message.contains("X.java"), "{}", error.message);
}

#[test]
fn a_limit_tells_when_to_come_back() {
    let mut slow = answer(429, JSON, "{}");
    assert_eq!(told(&slow, Asked::List).kind.retry_after(), Some(RETRY_AFTER));
    slow.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("17"));
    assert_eq!(told(&slow, Asked::List).kind.retry_after(), Some(Duration::from_secs(17)));
    slow.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("99999999999"));
    assert_eq!(told(&slow, Asked::List).kind.retry_after(), Some(Duration::from_secs(3_600)));
}

#[test]
fn no_failure_is_a_state() {
    // The kinds that a table above names are all there are for a read: none of them carries a state of a batch.
    for status in 300..600 {
        let error = told(&answer(status, JSON, "{}"), Asked::Batch("7"));
        assert!(!matches!(
            error.kind,
            ErrorKind::IllegalState { state: BatchState::Unknown, .. } | ErrorKind::NotFound(_)
        ));
    }
}
