//! How failures are told.

use std::time::Duration;

use batchlingua_core::{Clash, Denial, Error, ErrorKind, Fault, Missing, NativeError, Unproven};
use batchlingua_wire::Dialect;
use http::StatusCode;
use serde_json::json;

use super::*;

#[test]
fn every_failure_has_its_status_and_code() {
    let invalid = |fault| ErrorKind::InvalidRequest { field: "file".into(), fault };
    let second = Duration::from_secs(1);
    let id = batch(BatchState::Running, BatchSpec::default()).id;
    let dialect = dialect(json!({}));
    let told = |line: &str, kind: &ErrorKind| {
        let (head, _) = asks(&dialect, &typed(line, &[], b"{\"file\": \"a\"}"));
        let empty = Answer::of(dialect.encode_error(&head, &Error::new(kind.clone(), "")));
        let answer = Answer::of(dialect.encode_error(&head, &Error::new(kind.clone(), "the reason")));
        assert_eq!(empty.failure(), answer.failure(), "{kind:?}");
        let is_gateways = answer.failure().1.starts_with("APIGW");
        assert_eq!(answer.json().get("request_id").is_some(), is_gateways, "{kind:?}");
        answer
    };
    let (post, get, state) = ("POST /v2.0/p1/batches", call("GET"), format!("{}/state", call("GET")));
    for (line, kind, status, code) in [
        (post, invalid(Fault::Malformed), 400, "DLI.0001"),
        (post, invalid(Fault::PathOutside("/etc".into())), 400, "DLI.0001"),
        (post, invalid(Fault::NotAllowed), 400, "DLI.0001"),
        (post, ErrorKind::Unauthenticated(Unproven::Nothing), 401, "APIGW.0301"),
        (post, ErrorKind::Unauthenticated(Unproven::Unusable), 401, "APIGW.0301"),
        (post, ErrorKind::Unauthenticated(Unproven::Wrong), 401, "APIGW.0301"),
        (post, ErrorKind::Forbidden(Denial::Project("p".into())), 403, "APIGW.0302"),
        (post, ErrorKind::Forbidden(Denial::Origin), 403, "APIGW.0306"),
        (post, ErrorKind::Forbidden(Denial::Queue("q".into())), 400, "DLI.0003"),
        (post, ErrorKind::Forbidden(Denial::RunAs { wanted: "bo".into() }), 400, "DLI.0003"),
        (post, ErrorKind::Forbidden(Denial::Owner { owner: "bo".into() }), 400, "DLI.0003"),
        (post, ErrorKind::Forbidden(Denial::Backend), 400, "DLI.0003"),
        (&get, ErrorKind::NotFound(Missing::Batch(ID.into())), 404, "DLI.0023"),
        (&state, ErrorKind::NotFound(Missing::Batch(ID.into())), 400, "DLI.0002"),
        (post, ErrorKind::NotFound(Missing::Queue("q".into())), 400, "DLI.0002"),
        (post, ErrorKind::NotFound(Missing::Project("p".into())), 403, "APIGW.0302"),
        (&state, ErrorKind::NotFound(Missing::Log), 400, "DLI.0002"),
        (&state, ErrorKind::NotFound(Missing::Step("s".into())), 400, "DLI.0002"),
        (post, ErrorKind::Conflict(Clash::Name { name: "n".into(), ordinal: 1 }), 400, "DLI.0006"),
        (post, ErrorKind::Conflict(Clash::KeyReused), 400, "DLI.0006"),
        (post, ErrorKind::Conflict(Clash::NotYours), 400, "DLI.0006"),
        (post, ErrorKind::Conflict(Clash::KeyInFlight { retry_after: second }), 429, "APIGW.0308"),
        (post, ErrorKind::IllegalState { state: BatchState::Failed, allowed: Vec::new() }, 400, "DLI.0007"),
        (post, ErrorKind::Unsupported { backend: "b".into(), what: "jars".into() }, 400, "DLI.0007"),
        (post, ErrorKind::TooLarge { limit: "max_body", max: 1 }, 413, "APIGW.0201"),
        (&state, ErrorKind::Throttled { retry_after: second }, 429, "APIGW.0308"),
        (post, ErrorKind::BackendRejected, 400, "DLI.0001"),
        (&state, ErrorKind::BackendRejected, 502, "APIGW.0201"),
        (&state, ErrorKind::BackendUnavailable { retry_after: second }, 502, "APIGW.0201"),
        (&state, ErrorKind::BackendTimeout, 504, "APIGW.0201"),
        (post, ErrorKind::Ambiguous { id }, 504, "APIGW.0201"),
        (&state, ErrorKind::Internal, 500, "DLI.0999"),
    ] {
        assert_eq!(told(line, &kind).failure(), (status, code.to_owned()), "{kind:?}");
    }
    let no_queue = told(post, &ErrorKind::NotFound(Missing::Queue("etl_q".into())));
    assert_eq!(no_queue.message(), "There is no queue named etl_q");
}

#[test]
fn a_dlis_own_words_go_out_as_they_are() {
    let dialect = dialect(json!({}));
    let (head, _) = asks(&dialect, &create(r#"{"file": "a"}"#));
    let said = |of: &str| {
        let body = bytes::Bytes::from_static(b"{\"error_code\":\"DLI.1028\",\"error_msg\":\"quota\"}");
        let own = NativeError { dialect: of.into(), status: 400, content_type: "application/json".into(), body };
        let error = Error { native: Some(Box::new(own)), ..Error::new(ErrorKind::BackendRejected, "quota") };
        Answer::of(dialect.encode_error(&head, &error)).failure().1
    };
    assert_eq!((said("dli"), said("livy")), ("DLI.1028".to_owned(), "DLI.0001".to_owned()));
}

#[test]
fn a_head_that_cannot_be_taken_has_a_code_too() {
    let dialect = dialect(json!({}));
    for (status, code) in [
        (StatusCode::BAD_REQUEST, "APIGW.0106"),
        (StatusCode::URI_TOO_LONG, "APIGW.0201"),
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "APIGW.0201"),
        (StatusCode::EXPECTATION_FAILED, "APIGW.0106"),
    ] {
        let answer = Answer::of(dialect.bad_message(status, "a reason").expect("words"));
        assert_eq!((answer.failure(), answer.message()), ((status.as_u16(), code.to_owned()), "a reason".to_owned()));
    }
}
