//! Time: of a connection, of an exchange, of the request that it is made for.

use std::time::Duration;

use batchlingua_core::{BackendName, ErrorKind, SubmitError};
use batchlingua_testkit::{Origin, Reply};
use batchlingua_wire::{Call, Failure, UpstreamError};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{always, client, client_at, context, due_in, get, post, run_out, soon};

const SHORT: Duration = Duration::from_millis(150);
/// Enough for a request to get out on any machine; nobody waits for it.
const LONG: Duration = Duration::from_secs(40);

fn is_timeout(error: &UpstreamError) -> bool {
    matches!(error, UpstreamError::Lost(Failure::Timeout(_)))
}

#[tokio::test]
async fn a_stall_in_head_or_body_ends_with_the_attempt() {
    for reply in [
        Reply::nothing().stall(),
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-le").stall(),
        Reply::raw("HTTP/1.1 100 Continue\r\n\r\n").stall(),
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").stall(),
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n").stall(),
    ] {
        let shown = format!("{reply:?}");
        let origin = Origin::start(move |_| reply.clone()).await;
        let client = client_at(&origin.url(), json!({"attempt_timeout": "40s"}));
        // Later than any of these rounds takes by the clock that is turned on.
        let ctx = due_in(LONG * 60);
        let asking = client.exchange(&ctx, Call::post_json("/x", "{}"));
        let error = run_out(&origin, 1, asking).await.expect_err("no whole answer");
        assert!(is_timeout(&error), "{shown}: {error:?}");
        soon(origin.closed(1)).await;
        let SubmitError::Unknown(error) = error.into_submit_error(&BackendName::from("x")) else { panic!("{shown}") };
        assert_eq!(error.kind, ErrorKind::BackendTimeout);
        assert!(error.message.starts_with("backend 'x' did not answer within 40s"), "{error}");
    }
}

#[tokio::test]
async fn a_read_that_stalls_is_not_asked_again() {
    let (origin, client) = always(Reply::nothing().stall()).await;
    let ctx = context();
    let asking = client.exchange(&ctx, Call::get("/x").with_limit(LONG));
    let error = run_out(&origin, 1, asking).await.expect_err("no answer");
    assert!(is_timeout(&error), "{error:?}");
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn the_earlier_of_the_limits_holds() {
    let origin = Origin::start(|_| Reply::nothing().stall()).await;
    let client = client_at(&origin.url(), json!({"attempt_timeout": "1h"}));
    let begun = Instant::now();
    let ctx = due_in(LONG);
    let asking = client.exchange(&ctx, Call::post_json("/x", "{}"));
    let error = run_out(&origin, 1, asking).await.expect_err("no answer");
    assert!(is_timeout(&error), "{error:?}");
    let call = Call::post_json("/x", "{}").with_limit(LONG);
    let ctx = due_in(LONG * 60);
    let asking = client.exchange(&ctx, call);
    let error = run_out(&origin, 2, asking).await.expect_err("no answer");
    assert!(is_timeout(&error), "{error:?}");
    assert!(begun.elapsed() < LONG * 10, "neither waited for the hour of an attempt: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_call_may_take_longer_than_others() {
    let origin = Origin::start_async(|_| async {
        // Longer than an attempt may take here, whatever the machine is doing meanwhile.
        tokio::time::sleep(SHORT * 2).await;
        Reply::json(200, "{}")
    })
    .await;
    let client = client_at(&origin.url(), json!({"attempt_timeout": "150ms"}));
    let call = Call::post_json("/x", "{}").with_limit(Duration::from_secs(20));
    client.exchange(&context(), call).await.expect("within its own limit");
}

#[tokio::test]
async fn past_its_deadline_nothing_is_sent() {
    let (origin, client) = always(Reply::json(200, "{}")).await;
    get(&client).await.expect("a connection is there");
    let error = client.exchange(&due_in(Duration::ZERO), Call::post_json("/x", "{}")).await.expect_err("too late");
    assert!(matches!(error, UpstreamError::NotSent(Failure::Timeout(_))), "{error:?}");
    let error = error.into_error(&BackendName::from("x"));
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    // Takes the connection and never answers TLS's first words.
    let origin = Origin::start(|_| Reply::nothing()).await;
    let url = origin.url().replace("http:", "https:");
    let dir = tempfile::tempdir().expect("a directory");
    let ca = batchlingua_testkit::origin::Authority::new().ca_file(dir.path());
    let client = client_at(&url, json!({"connect_timeout": "150ms", "tls": {"ca": ca}}));
    let error = soon(post(&client)).await.expect_err("no TLS");
    let UpstreamError::NotSent(Failure::Unreachable(why)) = &error else { panic!("{error:?}") };
    assert_eq!(why, "no connection within 150ms");
    soon(origin.closed(1)).await;

    let client = client_at(&url, json!({"tls": {"ca": ca}}));
    let error = soon(client.exchange(&due_in(SHORT), Call::post_json("/x", "{}"))).await.expect_err("no TLS");
    assert!(matches!(error, UpstreamError::NotSent(Failure::Timeout(_))), "still connecting: {error:?}");
}

#[tokio::test]
async fn a_slow_exchange_does_not_hold_up_another() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/slow" => Reply::nothing().stall(),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let client = client(&origin);
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.exchange(&context(), Call::get("/slow")).await }
    });
    soon(origin.wait_for(1)).await;
    get(&client).await.expect("by a connection of its own");
    slow.abort();
}
