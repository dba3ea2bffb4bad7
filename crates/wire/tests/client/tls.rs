//! TLS: whom the client trusts, and what it shows.

use std::{path::Path, sync::Arc};

use batchlingua_core::BackendName;
use batchlingua_testkit::{Origin, Reply, origin::Authority};
use batchlingua_wire::{Client, Failure, UpstreamError};
use serde_json::{Value, json};

use crate::support::{ALL, body, client_at, get, post, read};

async fn origin(authority: &Authority, name: &str, of_clients: Option<&Authority>) -> Origin {
    Origin::start_tls(authority.server(name, of_clients), |_| Reply::json(200, "{}")).await
}

fn trusting(origin: &Origin, authority: &Authority, dir: &Path) -> Client {
    client_at(&origin.url(), json!({"tls": {"ca": authority.ca_file(dir)}}))
}

#[track_caller]
fn refused_for(error: &UpstreamError, why: &str) {
    assert!(matches!(error, UpstreamError::NotSent(Failure::Tls(told)) if told.contains(why)), "{error:?}");
}

#[tokio::test]
async fn an_authority_that_is_named_is_trusted_and_no_other() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (dir, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let origin = origin(&authority, "localhost", None).await;
    let client = trusting(&origin, &authority, dir.path());
    assert_eq!(body(get(&client).await), "{}");
    assert_eq!(body(post(&client).await), "{}");
    assert_eq!(origin.connections(), 1);
    let error = post(&trusting(&origin, &stranger, other.path())).await.expect_err("a stranger");
    refused_for(&error, "certificate");
    let message = error.into_error(&BackendName::from("x")).message;
    assert!(message.starts_with("backend 'x' cannot be reached: TLS: invalid peer certificate"), "{message}");
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn the_system_s_authorities_do_not_know_it() {
    let origin = origin(&Authority::new(), "localhost", None).await;
    let config = read(&origin.url(), json!({}), &ALL).expect("good");
    match Client::new("x".into(), &config, None) {
        Ok(client) => refused_for(&post(&client).await.expect_err("a stranger"), "UnknownIssuer"),
        // A machine without any authorities: then it is said what to do, and nothing is trusted either.
        Err(error) => assert!(error.detail().contains("tls.ca"), "{}", error.detail()),
    }
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let origin = origin(&authority, "elsewhere.example.com", None).await;
    let error = post(&trusting(&origin, &authority, dir.path())).await.expect_err("another name");
    refused_for(&error, "not valid for name");
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test]
async fn a_client_s_certificate_is_shown_where_it_is_asked_for() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let dir = tempfile::tempdir().expect("a directory");
    let origin = origin(&servers, "localhost", Some(&clients)).await;
    let tls = |who: Option<&Authority>| -> Value {
        let ca = servers.ca_file(dir.path());
        let Some(who) = who else { return json!({"tls": {"ca": ca}}) };
        let (cert, key) = who.files(dir.path(), "etl");
        json!({"tls": {"ca": ca, "cert": cert, "key": key}})
    };
    for who in [None, Some(&strangers)] {
        post(&client_at(&origin.url(), tls(who))).await.expect_err("not let in");
    }
    assert_eq!(origin.asked().len(), 0);
    assert_eq!(body(post(&client_at(&origin.url(), tls(Some(&clients)))).await), "{}");
}

#[tokio::test]
async fn only_http_1_is_spoken() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    for (offers, is_spoken) in [(vec!["h2", "http/1.1"], true), (vec!["h2"], false)] {
        let mut config = (*authority.server("localhost", None)).clone();
        config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        let origin = Origin::start_tls(Arc::new(config), |_| Reply::json(200, "{}")).await;
        let answer = post(&trusting(&origin, &authority, dir.path())).await;
        assert_eq!(answer.is_ok(), is_spoken, "{offers:?}: {answer:?}");
        assert_eq!(origin.asked().len(), usize::from(is_spoken));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_told_as_that() {
    let origin = Origin::start(|_| Reply::json(400, "{}")).await;
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let url = origin.url().replace("http:", "https:");
    // The origin reads on for a head that never comes; what it would say is said by a peer that speaks first.
    drop(origin);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url =
        url.rsplit_once(':').map(|(start, _)| format!("{start}:{}", listener.local_addr().expect("bound").port()));
    let speaking = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        stream
    });
    let tls = json!({"tls": {"ca": authority.ca_file(dir.path())}});
    let error = post(&client_at(&url.expect("a port"), tls)).await.expect_err("no TLS");
    refused_for(&error, "corrupt message");
    drop(speaking.await);
}
