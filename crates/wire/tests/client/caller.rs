//! Credentials: the configured ones, the caller's own, signatures; and what is shown of them to people.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use batchlingua_core::{BackendName, Context, Credentials, ErrorKind, Millis, Unproven};
use batchlingua_testkit::{Asked, Origin, Reply};
use batchlingua_wire::{AuthScheme, Body, Call, Client, Failure, Outgoing, Signer, UpstreamError};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde_json::{Value, json};

use crate::support::{ALL, client_at, config, context, get, post, read, signing};

const BASIC: &str = "Basic ZXRsOnMzY3IzdA==";

async fn origin() -> Origin {
    Origin::start(|_| Reply::json(200, "{}")).await
}

fn on_behalf_of(caller: Credentials) -> Context {
    Context { caller: Some(Arc::new(caller)), ..context() }
}

fn basic(user: &str) -> Credentials {
    Credentials::Basic { user: user.to_owned(), password: "pw".to_owned() }
}

async fn asked_with(auth: Value, ctx: &Context) -> Asked {
    let origin = origin().await;
    let client = client_at(&origin.url(), json!({"auth": auth}));
    client.exchange(ctx, Call::get("/x")).await.expect("answered");
    origin.asked().remove(0)
}

#[tokio::test]
async fn the_configured_credentials_are_shown() {
    let etl = json!({"basic": {"user": "etl", "password": "s3cr3t"}});
    for (auth, name, value) in [
        (etl.clone(), "authorization", BASIC),
        (json!({"bearer": "t0k"}), "authorization", "Bearer t0k"),
        (json!({"token": "t0k"}), "x-auth-token", "t0k"),
    ] {
        assert_eq!(asked_with(auth, &context()).await.header(name), value);
    }
    let not_asked_for = asked_with(etl, &on_behalf_of(basic("ana"))).await;
    assert_eq!(not_asked_for.header("authorization"), BASIC, "without `caller` a caller's own go nowhere");
}

#[tokio::test]
async fn the_caller_s_own_credentials_replace_the_configured_ones() {
    let auth = json!({"token": "ours", "caller": true});
    for (caller, name, value) in [
        (basic("ana"), "authorization", "Basic YW5hOnB3"),
        (Credentials::Bearer("hers".to_owned()), "authorization", "Bearer hers"),
        (Credentials::Token("hers".to_owned()), "x-auth-token", "hers"),
    ] {
        let asked = asked_with(auth.clone(), &on_behalf_of(caller)).await;
        assert_eq!(asked.header(name), value);
        let other = if name == "authorization" { "x-auth-token" } else { "authorization" };
        assert_eq!(asked.header(other), "", "one or the other, never both");
    }
    assert_eq!(asked_with(auth, &context()).await.header("x-auth-token"), "ours", "of work that no client asked for");
    let asked = asked_with(json!({"caller": true}), &context()).await;
    assert!(asked.header("authorization").is_empty() && asked.header("x-auth-token").is_empty());
}

#[tokio::test]
async fn a_caller_whose_credentials_cannot_be_sent_on_is_refused() {
    let signature = Credentials::Signature {
        access_key: "ak".to_owned(),
        signed: "text".to_owned(),
        signature: "s".to_owned(),
        at: Millis(0),
        security_token: None,
    };
    let origin = origin().await;
    let two = [AuthScheme::Basic, AuthScheme::Caller];
    let auth = json!({"auth": {"basic": {"user": "etl", "password": "s3cr3t"}, "caller": true}});
    let config = read(&origin.url(), auth, &two).expect("good");
    let client = Client::new("x".into(), &config, None).expect("a client");
    for caller in [
        signature,
        Credentials::Session("ours".to_owned()),
        Credentials::Token("of a scheme that the product does not take".to_owned()),
        Credentials::Bearer("the same".to_owned()),
    ] {
        let shown = format!("{caller:?}");
        let error = client.exchange(&on_behalf_of(caller), Call::get("/x")).await.expect_err("never with ours");
        assert!(matches!(error, UpstreamError::NotSent(Failure::Credentials)), "{shown}: {error:?}");
        let error = error.into_error(&BackendName::from("x"));
        assert_eq!(error.kind, ErrorKind::Unauthenticated(Unproven::Unusable), "{shown}");
    }
    let broken = Credentials::Basic { user: "a".to_owned(), password: "line\r\nx-evil: 1".to_owned() };
    client.exchange(&on_behalf_of(broken), Call::get("/x")).await.expect("Basic carries any text");
    assert!(!origin.asked()[0].headers.contains_key("x-evil"));
}

#[tokio::test]
async fn callers_that_share_a_connection_share_nothing_else() {
    let origin = origin().await;
    let client = client_at(&origin.url(), json!({"auth": {"caller": true}}));
    for _ in 0..3 {
        for user in ["ana", "bob"] {
            client.exchange(&on_behalf_of(basic(user)), Call::get(format!("/{user}"))).await.expect("answered");
        }
        get(&client).await.expect("answered");
    }
    assert_eq!(origin.connections(), 1);
    for asked in origin.asked() {
        let expected = match asked.target.as_str() {
            "/ana" => "Basic YW5hOnB3",
            "/bob" => "Basic Ym9iOnB3",
            _ => "",
        };
        assert_eq!(asked.header("authorization"), expected, "{}", asked.target);
    }
}

#[tokio::test]
async fn the_client_s_address_and_trace_are_told() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let address = "2001:db8::7".parse().expect("an address");
    let ctx = Context { client: Some(address), trace: Some(trace.into()), ..context() };
    let asked = asked_with(json!({}), &ctx).await;
    assert_eq!((asked.header("x-real-ip"), asked.header("traceparent")), ("2001:db8::7", trace));
    let odd = Context { trace: Some("a\r\nx-evil: 1".into()), ..context() };
    let asked = asked_with(json!({}), &odd).await;
    assert!(!asked.headers.contains_key("traceparent") && !asked.headers.contains_key("x-evil"));
}

/// Says what it was given, and how often.
struct Recording(AtomicU32);

impl Signer for Recording {
    fn sign(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap, body: &[u8]) {
        let time = self.0.fetch_add(1, Ordering::SeqCst);
        let host = headers[header::HOST].to_str().expect("text").to_owned();
        let text = format!("{time} {method} {uri} {host} {} [{}]", headers.len(), String::from_utf8_lossy(body));
        headers.insert("x-sdk-date", HeaderValue::from_static("20260101T000000Z"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&text).expect("text"));
    }
}

const KEY: &str =
    r#"{"auth": {"ak_sk": {"ak": "AK1", "sk": "s3cr3t", "region": "cn-north-4", "security_token": "t0k"}}}"#;

fn key() -> Value {
    serde_json::from_str(KEY).expect("JSON")
}

#[tokio::test]
async fn each_attempt_is_signed_with_all_that_is_sent() {
    let origin = Origin::start(|asked| match (asked.connection, asked.header("authorization").starts_with('0')) {
        (0, false) => Reply::nothing().then_close(),
        _ => Reply::json(200, "{}"),
    })
    .await;
    let client = signing(&origin, key(), Arc::new(Recording(AtomicU32::new(0))));
    post(&client).await.expect("answered");
    get(&client).await.expect("asked a second time");
    let address = origin.address();
    let signed: Vec<String> = origin.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert_eq!(signed[0], format!("0 POST http://{address}/x {address} 5 [{{}}]"));
    assert_eq!(signed[1], format!("1 GET http://{address}/x {address} 3 []"));
    assert_eq!(signed[2], format!("2 GET http://{address}/x {address} 3 []"), "a signature of its own");
}

#[tokio::test]
async fn what_cannot_be_signed_is_not_sent() {
    let origin = origin().await;
    let error = Client::new("x".into(), &config(&origin.url(), key()), None).expect_err("nothing signs");
    assert_eq!(error.kind, ErrorKind::Internal);
    let client = signing(&origin, key(), Arc::new(Recording(AtomicU32::new(0))));
    let call = Call::new(Method::POST, "/x").with_body(Outgoing::Once(Body::full("{}")));
    let error = client.exchange(&context(), call).await.expect_err("no signature over a stream");
    assert!(matches!(error, UpstreamError::NotSent(Failure::Request(_))), "{error:?}");
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn the_head_that_is_shown_is_the_one_that_is_sent_but_for_its_secrets() {
    let origin = origin().await;
    let client =
        client_at(&format!("{}/livy", origin.url()), json!({"auth": {"basic": {"user": "etl", "password": "s3cr3t"}}}));
    let call = || {
        Call::post_json("/batches?doAs=ana&token=s3cr3t", r#"{"file": "/a.py"}"#)
            .with_header("x-requested-by".parse().expect("a name"), HeaderValue::from_static("batchlingua"))
    };
    let shown = client.head_of(&call());
    client.exchange(&context(), call()).await.expect("answered");
    let asked = origin.asked().remove(0);
    let mut sent = format!("{} {} HTTP/1.1\n", asked.method, asked.target);
    for (name, value) in &asked.headers {
        sent.push_str(&format!("{name}: {}\n", value.to_str().expect("text")));
    }
    const MASK: &str = "*********(redacted)";
    assert_eq!(shown, sent.replace(BASIC, MASK).replace("token=s3cr3t", &format!("token={MASK}")));
    assert!(shown.contains(&format!("authorization: {MASK}")) && !shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn nothing_that_is_printed_has_a_secret() {
    let origin = origin().await;
    for auth in [
        json!({"basic": {"user": "etl", "password": "s3cr3t"}}),
        json!({"bearer": "s3cr3t"}),
        json!({"token": "s3cr3t"}),
        json!({"ak_sk": {"ak": "AK1", "sk": "s3cr3t", "security_token": "s3cr3t"}}),
    ] {
        let keys = json!({"auth": auth, "proxy": "http://me:s3cr3t@127.0.0.1:1"});
        let config = read(&origin.url(), keys, &ALL).expect("good");
        let client = Client::new("x".into(), &config, Some(Arc::new(Shouting))).expect("a client");
        let call = Call::get("/x?password=s3cr3t").with_header("x-api-token".parse().expect("a name"), secret());
        let error = client.exchange(&context(), Call::get("/x")).await.expect_err("no such proxy");
        let printed = format!("{config:?} {client:?} {call:?} {} {error:?} {error}", client.head_of(&call));
        assert!(!printed.contains("s3cr3t") && !printed.contains("czNjcjN0"), "{printed}");
        assert!(!printed.contains("bWU6czNjcjN0") && !printed.contains("ZXRsOnMzY3IzdA"), "{printed}");
    }
}

fn secret() -> HeaderValue {
    HeaderValue::from_static("s3cr3t")
}

/// Puts a secret into each header that a signature may be in.
struct Shouting;

impl Signer for Shouting {
    fn sign(&self, _: &Method, _: &Uri, headers: &mut HeaderMap, _: &[u8]) {
        for name in ["authorization", "x-security-token", "cookie"] {
            headers.insert(name, secret());
        }
    }
}
