//! Clients of an origin, and what is asked of them.

use std::{sync::Arc, time::Duration};

use batchlingua_core::Context;
use batchlingua_testkit::{Origin, Reply};
use batchlingua_wire::{Answer, AuthScheme, Call, Client, ClientConfig, Failure, Settings, Signer, UpstreamError};
use serde_json::{Value, json};

pub(crate) const ALL: [AuthScheme; 5] =
    [AuthScheme::Basic, AuthScheme::Bearer, AuthScheme::Token, AuthScheme::Signature, AuthScheme::Caller];

pub(crate) use batchlingua_testkit::context;

/// The configuration that these keys make.
pub(crate) fn config(url: &str, keys: Value) -> ClientConfig {
    read(url, keys, &ALL).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The same, or every fault in a line.
pub(crate) fn read(url: &str, keys: Value, schemes: &[AuthScheme]) -> Result<ClientConfig, String> {
    let mut table = json!({"url": url});
    table.as_object_mut().expect("a table").extend(keys.as_object().expect("a table").clone());
    let mut settings = Settings::new("backend.x", table);
    let config = ClientConfig::read(&mut settings, schemes);
    let lines = |faults: Vec<_>| faults.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
    settings.finish().map_err(lines)?;
    Ok(config.expect("without a fault there is a configuration"))
}

pub(crate) fn client_at(url: &str, keys: Value) -> Client {
    Client::new("x".into(), &config(url, keys), None).expect("a client")
}

pub(crate) fn signing(origin: &Origin, keys: Value, signer: Arc<dyn Signer>) -> Client {
    Client::new("x".into(), &config(&origin.url(), keys), Some(signer)).expect("a client")
}

pub(crate) fn client(origin: &Origin) -> Client {
    client_at(&origin.url(), json!({}))
}

/// An origin that always says the same, and its client.
pub(crate) async fn always(reply: Reply) -> (Origin, Client) {
    let origin = Origin::start(move |_| reply.clone()).await;
    let client = client(&origin);
    (origin, client)
}

pub(crate) async fn get(client: &Client) -> Result<Answer, UpstreamError> {
    client.exchange(&context(), Call::get("/x")).await
}

pub(crate) async fn post(client: &Client) -> Result<Answer, UpstreamError> {
    client.exchange(&context(), Call::post_json("/x", "{}")).await
}

/// What an answer that must be none was refused for.
#[track_caller]
pub(crate) fn unreadable(answer: Result<Answer, UpstreamError>) -> String {
    match answer {
        Err(UpstreamError::Lost(Failure::Unreadable(why))) => why,
        other => panic!("not unreadable: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn body(answer: Result<Answer, UpstreamError>) -> String {
    let answer = answer.unwrap_or_else(|error| panic!("{error:?}"));
    String::from_utf8(answer.body.to_vec()).expect("text")
}

/// An event that never comes is a failure, not a hang.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), event).await.expect("it does not come")
}

/// An exchange whose request the origin reads, as the last of so many, and for which time then runs out: from there on the clock goes on only
/// while nobody has anything to do. However slow the machine is, the request gets out first.
pub(crate) async fn run_out<T>(origin: &Origin, asked: usize, exchange: impl Future<Output = T>) -> T {
    let (ended, ()) = tokio::join!(exchange, async {
        soon(origin.wait_for(asked)).await;
        settled().await;
        tokio::time::pause();
    });
    tokio::time::resume();
    ended
}

/// What an origin has written is read: on a runtime of one thread, all that can go on goes on with each turn.
async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn due_in(span: Duration) -> Context {
    Context { deadline: std::time::Instant::now() + span, ..context() }
}
