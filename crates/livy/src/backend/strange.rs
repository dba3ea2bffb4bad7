//! Answers that no Livy gives, and those by which a Livy says no: a clear fault, and of a submit never that it did not run where it may have.

use std::sync::Arc;

use batchlingua_core::{Action, BatchState, Detail, ErrorKind, Lines, LogQuery, LogSource, NativeId, SubmitError};
use batchlingua_testkit::{ManualClock, Reply, context};
use serde_json::json;

use crate::fake::{self, is_version, named, object, over, posts, submit, version};

type Strange = (&'static str, fn() -> Reply);

/// What no Livy answers, whatever it is asked.
const STRANGE: &[Strange] = &[
    ("truncated JSON", || Reply::json(200, &object("")[..40])),
    ("an HTML page", || Reply::whole(200, "text/html", "<html><head><title>Login</title></head></html>")),
    ("an error inside", || Reply::json(200, r#"{"msg":"something went wrong"}"#)),
    ("wrong types", || Reply::json(200, r#"{"id":"5","state":[],"total":"1","sessions":{},"log":{}}"#)),
    ("an empty body", || Reply::json(200, "")),
    ("null", || Reply::json(200, "null")),
    ("an answer that is cut off", || {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":5")
            .then_close()
    }),
    ("no answer", || Reply::nothing().then_close()),
    ("a reset", || Reply::nothing().then_reset()),
    ("no HTTP", || Reply::raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").then_close()),
    ("another protocol", || {
        Reply::raw("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").then_close()
    }),
    ("broken gzip", || Reply::raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope")),
    ("a gateway's 502", || Reply::whole(502, "text/html", "<html><title>502 Bad Gateway</title></html>")),
    ("a gateway's 503", || Reply::whole(503, "text/plain", "no server is available")),
    ("a gateway's 504", || Reply::json(504, r#"{"message":"upstream timed out"}"#)),
    ("a page of an exception", || {
        Reply::whole(500, "text/html", "<html><pre>java.lang.Error\n\tat a.b(C.java:1)</pre></html>")
    }),
];

#[tokio::test]
async fn strange_answers_to_reads_are_faults_that_say_who_and_invent_nothing() {
    let id = NativeId::from("5");
    let log = LogQuery { lines: Lines::Tail(10), source: LogSource::Default };
    for (what, answer) in STRANGE {
        let (_origin, backend) = over(move |_| answer()).await;
        let ctx = context();
        let errors = [
            ("get", backend.get(&ctx, &id, Detail::State).await.map(|_| ()).expect_err(what)),
            ("scan", backend.scan(&ctx, None).await.map(|_| ()).expect_err(what)),
            ("log", backend.log(&ctx, &id, &log).await.map(|_| ()).expect_err(what)),
            ("control", backend.control(&ctx, &id, Action::Cancel).await.map(|_| ()).expect_err(what)),
        ];
        for (call, error) in errors {
            assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{what}, {call}: {error:?}");
            assert!(error.message.contains("'old-livy'"), "{what}, {call}: {error}");
            assert!(!error.message.contains("C.java"), "{what}, {call}: {error}");
        }
    }
}

#[tokio::test]
async fn a_cancel_ends_nothing_that_it_was_not_told_of() {
    for (what, answer) in STRANGE {
        let (_origin, backend) = over(move |asked| match asked.method.as_str() {
            "GET" => Reply::json(200, object("")),
            _ => answer(),
        })
        .await;
        let effect = backend.control(&context(), &"5".into(), Action::Cancel).await;
        let error = effect.expect_err(what);
        assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn a_submit_that_may_have_run_is_neither_refused_nor_unsent_and_sent_once() {
    for (what, answer) in STRANGE {
        for name in [None, Some("nightly")] {
            let (origin, backend) = over(move |asked| match asked.method.as_str() {
                "POST" => answer(),
                _ if is_version(asked) => version(),
                _ => Reply::json(404, r#"{"msg":"Session 'x' not found."}"#),
            })
            .await;
            let result = submit(&*backend, named("kyuubi", name)).await;
            assert!(matches!(result, Err(SubmitError::Unknown(_))), "{what}, {name:?}: {result:?}");
            assert_eq!(posts(&origin).len(), 1, "{what}, {name:?}: sent once");
        }
    }
}

#[tokio::test]
async fn a_submit_of_which_nothing_was_sent_says_so() {
    for (what, answer) in STRANGE {
        for knows_version in [false, true] {
            let (origin, backend) = over(move |asked| match knows_version && is_version(asked) {
                true => version(),
                false => answer(),
            })
            .await;
            let result = submit(&*backend, named("kyuubi", Some("nightly"))).await;
            assert!(matches!(result, Err(SubmitError::NotSent(_))), "{what}: {result:?}");
            assert!(posts(&origin).is_empty(), "{what}");
        }
    }
    let url = {
        let (origin, _) = over(|_| version()).await;
        origin.url()
    };
    let settings = fake::settings(&url, json!({}));
    let http = batchlingua_wire::Client::new("old-livy".into(), &settings.client, None).expect("a client");
    let backend = super::LivyBackend::new(http, &settings, Arc::new(ManualClock::default()));
    let result = submit(&backend, named("kyuubi", None)).await;
    assert!(matches!(result, Err(SubmitError::NotSent(_))), "nobody listens: {result:?}");
}

#[tokio::test]
async fn a_body_that_is_read_as_gzip_though_nobody_asked_is_read() {
    let (_origin, backend) = over(|_| {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(object("").as_bytes()).expect("memory");
        let mut headers = http::HeaderMap::new();
        headers.insert("content-encoding", http::HeaderValue::from_static("gzip"));
        Reply::with_headers(200, &headers, gzip.finish().expect("memory"))
    })
    .await;
    let batch = backend.get(&context(), &"5".into(), Detail::State).await.expect("a batch");
    assert_eq!(batch.state, BatchState::Running);
}

#[tokio::test]
async fn refusals_are_read_by_their_words_and_kept_for_livys_clients() {
    type Fits = fn(&ErrorKind) -> bool;
    let cases: [(u16, &str, Fits, bool); 12] = [
        (
            400,
            r#"{"msg":"Rejected, too many sessions are being created!"}"#,
            |kind| matches!(kind, ErrorKind::Throttled { .. }),
            true,
        ),
        (
            400,
            r#""Rejected, too many sessions are being created!""#,
            |kind| matches!(kind, ErrorKind::Throttled { .. }),
            true,
        ),
        (
            400,
            r#"{"msg":"Rejected, Reason: requirement failed: Path 'x' is not absolute."}"#,
            |kind| *kind == ErrorKind::BackendRejected,
            true,
        ),
        (400, r#""Unrecognized field \"x\"""#, |kind| *kind == ErrorKind::BackendRejected, true),
        (
            400,
            r#"{"msg":"Rejected, Reason: requirement failed: Local path /x cannot be added to user sessions."}"#,
            |kind| matches!(kind, ErrorKind::InvalidRequest { .. }),
            true,
        ),
        (
            403,
            r#"{"msg":"User 'x' not allowed to impersonate 'Some(bo)'."}"#,
            |kind| matches!(kind, ErrorKind::Forbidden(_)),
            true,
        ),
        (403, "{}", |kind| *kind == ErrorKind::BackendRejected, true),
        (
            401,
            r#"{"servlet":"s","message":"Authentication required","url":"/batches","status":"401"}"#,
            |kind| *kind == ErrorKind::BackendRejected,
            false,
        ),
        (413, "<html>too large</html>", |kind| *kind == ErrorKind::BackendRejected, false),
        (429, "slow down", |kind| matches!(kind, ErrorKind::Throttled { .. }), false),
        (302, "", |kind| *kind == ErrorKind::BackendRejected, false),
        (
            500,
            r#""java.io.IOException: Cannot run program""#,
            |kind| matches!(kind, ErrorKind::BackendUnavailable { .. }),
            true,
        ),
    ];
    for (status, body, fits, is_livys) in cases {
        let (origin, backend) = over(move |asked| match asked.method.as_str() {
            "POST" => Reply::json(status, body),
            _ if is_version(asked) => version(),
            _ => Reply::json(404, r#"{"msg":"Session 'x' not found."}"#),
        })
        .await;
        let result = submit(&*backend, named("livy", None)).await;
        let Err(SubmitError::Refused(error)) = result else { panic!("{status} {body}: {result:?}") };
        assert!(fits(&error.kind), "{status} {body}: {error:?}");
        assert_eq!(
            error.native.as_ref().map(|own| (own.status, &*own.body)),
            is_livys.then_some((status, body.as_bytes()))
        );
        assert_eq!(posts(&origin).len(), 1);
    }
}
