//! Kept connections: used again, closed under a request, and what may be sent a second time then.

use std::sync::Arc;

use batchlingua_core::{BackendName, ErrorKind, SubmitError};
use batchlingua_testkit::{Asked, Origin, Reply};
use batchlingua_wire::{Body, Call, Failure, Outgoing, UpstreamError};
use http::Method;
use serde_json::json;
use tokio::sync::Barrier;

use crate::support::{body, client, client_at, context, get, post, soon};

fn fine(_: Asked) -> Reply {
    Reply::json(200, "{}")
}

/// Answers each connection's first request, and does this to the others of the first connections.
fn once_each(asked: &Asked, seen: &Seen, of_the_first: u64, then: Reply) -> Reply {
    let is_first = seen.is_first(asked.connection);
    if is_first || asked.connection >= of_the_first { Reply::json(200, "{}") } else { then }
}

#[derive(Default)]
struct Seen(std::sync::Mutex<std::collections::HashSet<u64>>);

impl Seen {
    fn is_first(&self, connection: u64) -> bool {
        self.0.lock().expect("no test panics with it").insert(connection)
    }
}

async fn dropping(then: Reply) -> Origin {
    let seen = Seen::default();
    Origin::start(move |asked| once_each(&asked, &seen, 1, then.clone())).await
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let origin = Origin::start(fine).await;
    let client = client(&origin);
    for _ in 0..5 {
        get(&client).await.expect("answered");
        post(&client).await.expect("answered");
    }
    assert_eq!((origin.asked().len(), origin.connections()), (10, 1));
}

#[tokio::test]
async fn no_connection_is_kept_where_the_pool_is_empty() {
    let origin = Origin::start(fine).await;
    let client = client_at(&origin.url(), json!({"pool": 0}));
    for _ in 0..3 {
        get(&client).await.expect("answered");
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn no_more_connections_are_kept_than_the_pool_holds() {
    let together = Arc::new(Barrier::new(3));
    let origin = Origin::start_async(move |_| {
        let together = together.clone();
        async move {
            together.wait().await;
            Reply::json(200, "{}")
        }
    })
    .await;
    let client = client_at(&origin.url(), json!({"pool": 1}));
    let (a, b, c) = tokio::join!(get(&client), get(&client), get(&client));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    soon(origin.closed(2)).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let origin = Origin::start(fine).await;
    let client = client_at(&origin.url(), json!({"pool_idle": "50ms"}));
    get(&client).await.expect("answered");
    soon(origin.closed(1)).await;
}

#[tokio::test]
async fn a_connection_that_says_that_it_ends_is_not_used_again() {
    let origin = Origin::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").then_close()
    })
    .await;
    let client = client(&origin);
    for _ in 0..3 {
        post(&client).await.expect("answered");
    }
    assert_eq!((origin.asked().len(), origin.connections()), (3, 3));
}

#[tokio::test]
async fn a_connection_that_was_closed_in_between_costs_no_request() {
    let origin = Origin::start(|_| Reply::json(200, "{}").then_close()).await;
    let client = client(&origin);
    for round in 1..=20 {
        // Whether the client has seen the end by now or finds out when it is about to write: not a byte is sent there.
        post(&client).await.expect("answered");
        soon(origin.closed(round)).await;
    }
    assert_eq!(origin.asked().len(), 20);
}

#[tokio::test]
async fn a_read_whose_kept_connection_was_dead_is_sent_again() {
    for then in [Reply::nothing().then_close(), Reply::nothing().then_reset()] {
        let origin = dropping(then.clone()).await;
        let client = client(&origin);
        get(&client).await.expect("answered");
        assert_eq!(body(get(&client).await), "{}", "{then:?}");
        let connections: Vec<u64> = origin.asked().iter().map(|asked| asked.connection).collect();
        assert_eq!(connections, [0, 0, 1], "the second request went by the dead connection and then by another");
    }
}

#[tokio::test]
async fn what_may_have_run_is_never_sent_again() {
    let stream = Outgoing::Stream { make: Arc::new(|| Body::full("{}")), length: Some(2) };
    for (call, then) in [
        (Call::post_json("/x", "{}"), Reply::nothing().then_close()),
        (Call::post_json("/x", "{}"), Reply::nothing().then_reset()),
        (Call::put_json("/x", "{}"), Reply::nothing().then_close()),
        (Call::delete("/x"), Reply::nothing().then_reset()),
        (Call::new(Method::POST, "/x").with_body(stream), Reply::nothing().then_close()),
        (Call::new(Method::POST, "/x").with_body(Outgoing::Once(Body::full("{}"))), Reply::nothing().then_close()),
    ] {
        let origin = dropping(then).await;
        let client = client(&origin);
        get(&client).await.expect("answered");
        let shown = format!("{call:?}");
        let error = client.exchange(&context(), call).await.expect_err("no answer came");
        assert!(matches!(error, UpstreamError::Lost(Failure::Closed(_))), "{shown}: {error:?}");
        assert_eq!(origin.asked().len(), 2, "{shown}");
        let SubmitError::Unknown(error) = error.into_submit_error(&BackendName::from("x")) else {
            panic!("{shown}: of unknown outcome")
        };
        assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }));
        assert_eq!(error.message, "backend 'x' closed the connection before it had answered");
    }
}

#[tokio::test]
async fn a_read_is_not_sent_again_once_an_answer_began() {
    let origin = dropping(Reply::raw("HTT").then_close()).await;
    let client = client(&origin);
    get(&client).await.expect("answered");
    get(&client).await.expect_err("cut off");
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn a_new_connection_that_is_dropped_is_the_backend_s_answer() {
    let origin = Origin::start(|_| Reply::nothing().then_close()).await;
    let error = get(&client(&origin)).await.expect_err("no answer");
    assert!(matches!(error, UpstreamError::Lost(Failure::Closed(_))), "{error:?}");
    assert_eq!(origin.asked().len(), 1, "it had nothing to do with the age of the connection");
}

#[tokio::test]
async fn a_read_is_sent_again_once() {
    let (seen, together) = (Arc::new(Seen::default()), Arc::new(Barrier::new(2)));
    let origin = Origin::start_async(move |asked| {
        let (seen, together) = (seen.clone(), together.clone());
        async move {
            if !seen.is_first(asked.connection) {
                return Reply::nothing().then_reset();
            }
            together.wait().await;
            Reply::json(200, "{}")
        }
    })
    .await;
    let client = client(&origin);
    let (first, second) = tokio::join!(get(&client), get(&client));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(origin.connections(), 2);
    let error = get(&client).await.expect_err("both kept connections are dead");
    assert!(matches!(error, UpstreamError::Lost(Failure::Closed(_))), "{error:?}");
    assert_eq!(origin.asked().len(), 4);
}
