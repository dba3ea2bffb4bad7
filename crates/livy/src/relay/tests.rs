//! What a Livy gets of a call for a session, and what its client gets back.

use std::sync::Arc;

use batchlingua_core::{Credentials, ErrorKind};
use batchlingua_testkit::{Asked, Origin, Reply, context};
use batchlingua_wire::{BodyError, Client, Face};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Body as _;
use serde_json::{Value, json};

use super::*;
use crate::{fake, recorded::face};

fn head(line: &str, headers: &[(&str, &str)], face: Arc<Face>) -> RequestHead {
    let (method, target) = line.split_once(' ').expect("a line");
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    RequestHead::new("r".into(), &parts, face).expect("a target")
}

fn relay_to(origin: &Origin, prefix: &str, more: Value) -> SessionRelay {
    let settings = fake::settings(&format!("{}{prefix}", origin.url()), more);
    let takes_callers = settings.client.takes_callers();
    let http = Client::new("old-livy".into(), &settings.client, None).expect("a client");
    SessionRelay { livy: Livy { http, takes_callers, delete_timeout: settings.delete_timeout } }
}

async fn whole(body: Body) -> Bytes {
    let mut body = std::pin::pin!(body);
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        all.extend_from_slice(&frame.expect("it comes to its end").into_data().unwrap_or_default());
    }
    all.into()
}

#[test]
fn only_what_can_be_no_other_path_is_a_sessions() {
    let is = |path: &str| is_session(&head(&format!("GET {path}"), &[], face(false)));
    for path in [
        "/sessions",
        "/sessions/",
        "/sessions/0/statements/1/cancel",
        "/livy/sessions/nb%20x",
        "/sessions;v=1/0",
        "/session%73/0/new-call",
    ] {
        assert!(is(path), "{path}");
    }
    for path in [
        "/batches",
        "/livy",
        "/livy/batches",
        "/",
        "/sessionsx",
        "/ui/sessions",
        "/sessions/../batches",
        "/sessions/%2e%2e/batches",
        "/sessions/..;x=1/batches",
        "/sessions/a%2f..%2f..%2fbatches",
        "/sessions/./0",
        "/sessions//0",
        "/sessions/%5c..%5cbatches",
    ] {
        assert!(!is(path), "{path}");
    }
}

#[tokio::test]
async fn a_call_goes_on_as_it_came_but_for_its_connection_and_its_credentials() {
    let origin = Origin::start(|_| {
        Reply::raw(
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nlocation: /sessions/0\r\nconnection: keep-alive, x-own\r\n\
             x-own: 1\r\nset-cookie: hadoop.auth=secret\r\nx-new: yes\r\ncontent-length: 8\r\n\r\n{\"id\":0}",
        )
    })
    .await;
    let relay = relay_to(&origin, "/gw", json!({"auth": {"basic": {"user": "etl", "password": "pw"}}}));
    let mut listener = Face::clone(&face(false));
    listener.path_prefix = "/gateway".to_owned();
    let headers = [
        ("authorization", "Basic Y2xpZW50OnB3"),
        ("cookie", "hadoop.auth=client"),
        ("content-type", "text/x-odd"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-custom", "kept"),
        ("accept-encoding", "gzip"),
    ];
    let head = head("POST /gateway/livy/sessions?doAs=b%6f&x", &headers, listener.into());
    let pieces = stream::iter([Ok::<_, BodyError>(Bytes::from("{\"a\":")), Ok(Bytes::from(" 1.0}"))]);
    let request = RelayRequest { head: head.into(), body: Body::stream(pieces) };
    let response = relay.relay(&context(), request).await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), response.headers()["location"].as_bytes()),
        (201, &b"/gateway/livy/sessions/0"[..])
    );
    assert_eq!(response.headers()["x-new"], "yes");
    for gone in ["x-own", "connection", "set-cookie"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(whole(response.into_body()).await, "{\"id\":0}");
    let asked = origin.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/gw/sessions?doAs=b%6f&x"));
    assert_eq!(&asked.body[..], b"{\"a\": 1.0}");
    for (name, value) in [
        ("authorization", "Basic ZXRsOnB3"),
        ("cookie", ""),
        ("content-type", "text/x-odd"),
        ("x-hop", ""),
        ("x-custom", "kept"),
        ("accept-encoding", "gzip"),
        ("x-requested-by", "batchlingua"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_callers_own_credentials_go_along_only_where_that_is_configured() {
    let origin = Origin::start(|_: Asked| Reply::json(401, "{}")).await;
    let mut ctx = context();
    ctx.caller = Some(Arc::new(Credentials::Basic { user: "ana".into(), password: "pw".into() }));
    let request = || {
        let head = head("GET /sessions/0", &[("x-requested-by", "ana")], face(false));
        RelayRequest { head: head.into(), body: Body::empty() }
    };
    let own = relay_to(&origin, "", json!({})).relay(&ctx, request()).await.expect_err("the proxy's fault");
    assert_eq!(own.kind, ErrorKind::BackendRejected);
    let callers = relay_to(&origin, "", json!({"auth": {"caller": true}})).relay(&ctx, request()).await;
    assert_eq!(callers.expect("an answer").status(), 401);
    let asked = origin.asked();
    assert_eq!((asked[0].header("authorization"), asked[1].header("authorization")), ("", "Basic YW5hOnB3"));
    assert_eq!(asked[0].header("x-requested-by"), "ana", "the client's own is kept");
    assert!(asked.iter().all(|asked| asked.header("content-length").is_empty()), "a read has no body");
}

#[test]
fn only_a_place_on_the_livy_becomes_one_on_the_proxy() {
    let settings = fake::settings("http://livy:8998/gw", json!({}));
    let http = Client::new("old-livy".into(), &settings.client, None).expect("a client");
    let livy = Livy { http, takes_callers: false, delete_timeout: settings.delete_timeout };
    let relay = SessionRelay { livy };
    for (told, place) in [
        ("/sessions/0", "/livy/sessions/0"),
        ("/gw/sessions/0", "/livy/sessions/0"),
        ("http://livy:8998/gw/sessions/0", "/livy/sessions/0"),
        ("https://elsewhere/sessions/0", "https://elsewhere/sessions/0"),
        ("http://livy:89980/sessions/0", "http://livy:89980/sessions/0"),
        ("//elsewhere/sessions/0", "//elsewhere/sessions/0"),
        ("0", "0"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(told));
        relay.own_places(&mut headers, "/livy");
        assert_eq!(headers[header::LOCATION], place, "{told}");
    }
}

#[test]
fn whom_a_session_runs_as_is_told_to_whoever_asks() {
    use batchlingua_core::BatchSpec;
    use batchlingua_wire::{Relayed, RequestBody};
    let livy = crate::recorded::dialect(json!({}));
    let face = face(false);
    let told = |line: &str, body: Option<&str>| {
        let body = body.map(|body| RequestBody::Bytes(body.to_owned().into()));
        livy.relayed(&head(line, &[], face.clone()), body).expect("readable")
    };
    let asks = |run_as: Option<&str>, queue: Option<&str>| {
        let (run_as, queue) = (run_as.map(str::to_owned), queue.map(str::to_owned));
        Relayed::Asks(Box::new(BatchSpec { run_as, queue, ..BatchSpec::default() }))
    };
    for line in ["POST /sessions", "POST /livy/sessions/", "POST /sessions?doAs=ana"] {
        assert_eq!(told(line, None), Relayed::InBody, "{line}");
    }
    assert_eq!(told("GET /sessions/1", None), Relayed::Nothing);
    assert_eq!(told("POST /sessions/1/statements?doAs=ana", None), asks(Some("ana"), None));
    let body = r#"{"proxyUser": "first", "kind": "spark", "queue": "q", "proxyUser": "etl"}"#;
    assert_eq!(told("POST /sessions", Some(body)), asks(Some("etl"), Some("q")), "the last of a doubled member");
    assert_eq!(told("POST /sessions?doAs=ana", Some(body)), asks(Some("ana"), Some("q")), "stronger than the body's");
    assert!(livy.relayed(&head("POST /sessions", &[], face), Some(RequestBody::Bytes("{".into()))).is_err());
}
