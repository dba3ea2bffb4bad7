//! Answers that break parsers, over all calls: each is an error that says what came, never a state, and a submit's outcome is never thought to
//! be known where it is not.

use std::sync::Arc;

use batchlingua_core::{
    Action, Backend, BatchSpec, Detail, ErrorKind, Lines, LogQuery, LogSource, NativeId, Plan, SubmitError,
};
use batchlingua_testkit::{Origin, Reply, context, intent, marker, sought};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use crate::{backend::KyuubiBackend, fake};

const ID: &str = "00000000-0000-4000-8000-000000000001";

/// What comes, and whether it is an answer to a read at all: what is none is asked for once more.
fn answers() -> Vec<(&'static str, Reply)> {
    let html = "<html><head><title>Welcome</title></head><body>x</body></html>";
    let mut packed = HeaderMap::new();
    packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    packed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    vec![
        ("truncated JSON", Reply::json(200, r#"{"id":"00000000-0000-4000-8000-000000000001","state":"RUN"#)),
        ("an HTML page", Reply::whole(200, "text/html", html)),
        ("an HTML page that says it is JSON", Reply::json(200, html)),
        ("an HTML error", Reply::whole(502, "text/html", html)),
        ("an error in a success", Reply::json(200, r#"{"message":"/ by zero"}"#)),
        ("a list", Reply::json(200, "[]")),
        ("a number", Reply::json(200, "1")),
        ("null", Reply::json(200, "null")),
        ("nothing", Reply::json(200, "")),
        ("no content", Reply::json(204, "")),
        (
            "wrong types",
            Reply::json(
                200,
                r#"{"id":7,"state":["RUNNING"],"batches":{},"logRowSet":"x","rowCount":"1","success":"yes","version":12}"#,
            ),
        ),
        (
            "wrong types below",
            Reply::json(
                200,
                r#"{"id":"00000000-0000-4000-8000-000000000001","state":"FINISHED","createTime":"now","batches":[7],"logRowSet":[1],"success":true,"msg":{},"version":"x"}"#,
            ),
        ),
        ("a gzip that is none", Reply::with_headers(200, &packed, "no gzip")),
        ("a coding that nobody knows", {
            packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
            Reply::with_headers(200, &packed, "x")
        }),
        ("not HTTP", Reply::raw("SSH-2.0-OpenSSH_9.9\r\n").then_close()),
        ("half a body", Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":").then_close()),
        ("a broken chunk", Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").then_close()),
        ("closed", Reply::nothing().then_close()),
        ("reset", Reply::nothing().then_reset()),
        ("a gateway's 503", Reply::whole(503, "text/plain", "no healthy upstream")),
        ("a gateway's 504", Reply::json(504, r#"{"message":"The upstream server is timing out"}"#)),
        ("too large", Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")),
    ]
}

async fn over(reply: &Reply) -> (Origin, Arc<KyuubiBackend>) {
    let reply = reply.clone();
    let origin = Origin::start(move |_| reply.clone()).await;
    let backend = Arc::new(fake::backend(&origin.url(), json!({})));
    (origin, backend)
}

fn plan(backend: &KyuubiBackend) -> Plan {
    let spec = BatchSpec { file: Some("/a.jar".into()), class_name: Some("A".into()), ..BatchSpec::default() };
    backend.plan(intent(marker(), spec)).expect("a plan")
}

/// What is not there is told as not there only by a Kyuubi's own words, so a read of nonsense is silence.
fn is_silence(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::BackendUnavailable { .. } | ErrorKind::BackendTimeout)
}

#[tokio::test]
async fn nonsense_is_no_answer_to_a_read() {
    let id = NativeId::from(ID);
    for (what, reply) in answers() {
        let (_origin, backend) = over(&reply).await;
        let ctx = context();
        let log = |lines| LogQuery { lines, source: LogSource::Default };
        let results = [
            ("get", backend.get(&ctx, &id, Detail::State).await.err()),
            ("scan", backend.scan(&ctx, None).await.err()),
            ("probe", backend.probe(&ctx).await.err()),
            ("look_up", backend.look_up(&ctx, &sought(&marker())).await.err()),
            ("control", backend.control(&ctx, &id, Action::Cancel).await.err()),
        ];
        for (call, error) in results {
            let error = error.unwrap_or_else(|| panic!("{call} of {what} is an answer"));
            assert!(is_silence(&error.kind), "{call} of {what}: {:?} {}", error.kind, error.message);
            assert!(error.message.contains("backend 'k'") && !error.message.contains('<'), "{}", error.message);
        }
        for lines in [Lines::Tail(5), Lines::From(0, 5), Lines::All] {
            match backend.log(&ctx, &id, &log(lines)).await {
                Err(error) => assert!(is_silence(&error.kind), "{lines:?} of {what}: {:?}", error.kind),
                // A line that is larger than any answer may be is told to be left out.
                Ok(_) => assert_eq!(what, "too large"),
            }
        }
    }
}

#[tokio::test]
async fn nonsense_after_a_submit_is_an_unknown_outcome() {
    for (what, reply) in answers() {
        let post = reply.clone();
        let origin = Origin::start(move |asked| match (asked.method.as_str(), asked.target.as_str()) {
            (_, "/api/v1/version") => Reply::json(200, r#"{"version":"1.12.0"}"#),
            ("POST", _) => post.clone(),
            // A look after it finds nothing out either.
            _ => Reply::whole(503, "text/plain", "no"),
        })
        .await;
        let backend = fake::backend(&origin.url(), json!({}));
        let error = backend.submit(&context(), plan(&backend)).await.expect_err(what);
        assert!(matches!(error, SubmitError::Unknown(_)), "{what}: {error:?}");
        let posts = origin.asked().iter().filter(|asked| asked.method == "POST").count();
        assert_eq!(posts, 1, "{what}: never sent again");
    }
}

#[tokio::test]
async fn a_definite_no_of_whatever_stands_before_it_is_a_refusal() {
    for (status, wanted) in [
        (302, "backend_rejected"),
        (400, "backend_rejected"),
        (401, "backend_rejected"),
        (403, "backend_rejected"),
        (404, "backend_unavailable"),
        (413, "backend_rejected"),
        (415, "backend_rejected"),
        (429, "throttled"),
    ] {
        let reply = Reply::whole(status, "text/html", "<html><title>No</title></html>");
        let origin = Origin::start(move |asked| match asked.method.as_str() {
            "GET" => Reply::json(200, r#"{"version":"1.12.0"}"#),
            _ => reply.clone(),
        })
        .await;
        let backend = fake::backend(&origin.url(), json!({}));
        let error = backend.submit(&context(), plan(&backend)).await.expect_err("refused");
        let SubmitError::Refused(error) = error else { panic!("{status}: {error:?}") };
        assert_eq!(error.kind.as_str(), wanted, "{status}: {}", error.message);
        assert!(error.native.is_none(), "a page of a gateway is not Kyuubi's");
    }
}

#[tokio::test]
async fn a_request_timeout_of_a_gateway_is_an_unknown_outcome() {
    let origin = Origin::start(|asked| match asked.method.as_str() {
        "GET" => Reply::json(200, r#"{"version":"1.12.0"}"#),
        _ => Reply::whole(408, "text/plain", "timeout"),
    })
    .await;
    let backend = fake::backend(&origin.url(), json!({}));
    let error = backend.submit(&context(), plan(&backend)).await.expect_err("no answer");
    assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_odd_and_right_is_an_answer() {
    let batch = format!(
        r#"{{"id":"{ID}","user":"a","batchType":"SPARK","name":null,"state":"PAUSED","createTime":5,"endTime":0,"later":[1.50]}}"#
    );
    let half = batch.len() / 2;
    let (first, second) = batch.as_bytes().split_at(half);
    for reply in [
        Reply::chunked(200, &[first, second], "x-checksum: 1\r\n"),
        Reply::raw("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n").and(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{batch}",
            batch.len()
        )),
        Reply::json(200, &batch).then_close(),
        Reply::whole(200, "text/plain", &batch),
    ] {
        let (_origin, backend) = over(&reply).await;
        let seen = backend.get(&context(), &ID.into(), Detail::State).await.expect("an answer");
        assert_eq!(seen.state, batchlingua_core::BatchState::Running, "a word that is not known is no end");
        assert_eq!(seen.native.expect("its object").object, batch.as_bytes());
        let other = backend.get(&context(), &"00000000-0000-4000-8000-000000000002".into(), Detail::State).await;
        assert!(is_silence(&other.expect_err("another batch's").kind));
    }
}
