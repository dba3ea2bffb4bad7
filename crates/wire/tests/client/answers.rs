//! Answers that break parsers: right all the same, or refused in clear words.

use batchlingua_core::{BackendName, ErrorKind};
use batchlingua_testkit::{Origin, Reply};
use batchlingua_wire::{Answer, Call, Coding, Failure, UpstreamError, encode_body};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::json;

use crate::support::{always, body, client, client_at, context, get, post, soon, unreadable};

#[tokio::test]
async fn an_answer_that_ends_before_its_end_is_none() {
    for cut in [
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"id\": 1").then_close(),
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"id\": 1").then_reset(),
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n").then_close(),
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a").then_close(),
        Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    ] {
        let (origin, client) = always(cut.clone()).await;
        let why = unreadable(get(&client).await);
        assert!(why.starts_with("it ends before its end") || why.starts_with("it is no HTTP"), "{cut:?}: {why}");
        assert_eq!(origin.asked().len(), 1, "an answer had begun, so nothing is asked again");
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_in_clear_words() {
    let many: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    for (bytes, says) in [
        ("hello\r\n\r\n".to_owned(), "it is no HTTP"),
        ("\u{1}\u{2}\u{3}\u{4}\r\n\r\n".to_owned(), "it is no HTTP"),
        ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), "it is no HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_owned(), "it is no HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello".to_owned(), "it is no HTTP"),
        ("HTTP/1.1 200 OK\r\nbad header\r\n\r\n".to_owned(), "it is no HTTP"),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), "its head is too large"),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(80_000)), "its head is too large"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
            "another protocol",
        ),
    ] {
        let (_origin, client) = always(Reply::raw(bytes.clone())).await;
        let why = unreadable(post(&client).await);
        assert!(why.contains(says), "{bytes:.60}: {why}");
    }
}

#[tokio::test]
async fn a_client_is_told_that_the_answer_cannot_be_read() {
    let (_origin, client) = always(Reply::raw("hello\r\n\r\n")).await;
    let error = post(&client).await.expect_err("no HTTP").into_error(&BackendName::from("x"));
    assert!(error.message.starts_with("backend 'x' sent an answer that cannot be read: it is no HTTP"), "{error}");
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{:?}", error.kind);
}

#[tokio::test]
async fn a_page_of_a_load_balancer_is_told_by_its_title() {
    let page = "<html><head><title>502 Bad\n Gateway</title></head><body>secret=abc</body></html>";
    let (_origin, client) = always(Reply::whole(502, "text/html", page)).await;
    let answer = get(&client).await.expect("an answer like any");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.is_html());
    assert_eq!(answer.text_excerpt(200), "502 Bad Gateway");
}

#[test]
fn what_an_answer_says_is_one_line_without_secrets() {
    let answer = |kind: &str, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().expect("a type"));
        Answer { status: StatusCode::BAD_REQUEST, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    };
    let json = "application/json";
    for (kind, body, says) in [
        (json, r#"{"message": "no such\nbatch"}"#, "no such batch"),
        (json, r#"{"msg": "Rejected", "x": 1}"#, "Rejected"),
        (json, r#"{"message": " ", "msg": "the other"}"#, "the other"),
        (json, r#"{"error_code": "DLI.0001", "error_msg": "bad queue"}"#, "bad queue"),
        (json, r#""just a text""#, "just a text"),
        (json, r#"{"id": 1"#, r#"{"id": 1"#),
        (json, "[1, 2]", "[1, 2]"),
        ("text/plain", "a\u{1b}[31mb\r\n\tc", "a [31mb c"),
        ("text/plain", "java.lang.Boom: no\n\tat org.x.Y.z(Y.java:1)\n\tat a.b", "java.lang.Boom: no"),
        ("text/plain", "no: password=hunter2, sorry", "no: password=*********(redacted), sorry"),
        ("text/html; charset=utf-8", "<TITLE>Error 404</TITLE>", "Error 404"),
        ("text/plain", "\u{feff} <!DOCTYPE html><p>x", "an HTML page"),
        ("text/html", "<title>no end", "an HTML page"),
        ("text/plain", "", ""),
    ] {
        assert_eq!(answer(kind, body).text_excerpt(100), says, "{body}");
    }
    assert_eq!(answer("text/plain", "äöüß and on").text_excerpt(4), "äöü…");
    assert_eq!(answer("text/plain", "äöüß").text_excerpt(4), "äöüß");
    assert!(!answer(json, "{}").is_html() && !answer("text/plain", "<htm").is_html());
}

#[tokio::test]
async fn packed_answers_are_unpacked_though_nobody_asked_for_them() {
    for (name, coding) in [
        ("gzip", Coding::Gzip),
        ("X-GZIP", Coding::Gzip),
        ("identity, gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
    ] {
        let packed = encode_body(coding, br#"{"id": 7}"#);
        let (origin, client) = always(Reply::with_headers(200, &coded(name), &packed)).await;
        let answer = get(&client).await.expect("readable");
        assert_eq!(answer.body, r#"{"id": 7}"#, "{name}");
        assert!(!answer.headers.contains_key(header::CONTENT_ENCODING), "what is told is what is there");
        assert!(!answer.headers.contains_key(header::CONTENT_LENGTH));
        assert_eq!(origin.asked()[0].header("accept-encoding"), "");
    }
}

#[tokio::test]
async fn codings_that_are_none_are_refused() {
    let packed = encode_body(Coding::Gzip, b"{}");
    for (name, body, says) in [
        ("br", &b"{}"[..], "a coding that nobody asked for (br)"),
        ("gzip, gzip", &packed[..], "a coding that nobody asked for"),
        ("gzip", b"{}", "does not unpack (gzip)"),
        ("gzip", &packed[..packed.len() - 4], "does not unpack (gzip)"),
        ("deflate", &packed[..], "does not unpack (deflate)"),
    ] {
        let (_origin, client) = always(Reply::with_headers(200, &coded(name), body)).await;
        let why = unreadable(get(&client).await);
        assert!(why.contains(says), "{name}: {why}");
    }
    let (_origin, client) = always(Reply::with_headers(200, &coded("gzip"), b"")).await;
    assert_eq!(body(get(&client).await), "", "nothing is nothing in any coding");
}

#[tokio::test]
async fn an_answer_is_bounded_packed_and_unpacked() {
    let bomb = encode_body(Coding::Gzip, &vec![b' '; 10_000_000]);
    assert!(bomb.len() < 50_000);
    let fits = encode_body(Coding::Gzip, &vec![b' '; 65_536]);
    let large = "x".repeat(65_537);
    let max = json!({"max_answer": "64KiB"});
    for (reply, is_refused) in [
        (Reply::with_headers(200, &coded("gzip"), &bomb), true),
        (Reply::with_headers(200, &coded("gzip"), &fits), false),
        (Reply::json(200, &large), true),
        (Reply::json(200, &large[1..]), false),
        (Reply::chunked(200, &[&large.as_bytes()[..40_000], &large.as_bytes()[40_000..]], ""), true),
        (Reply::raw(format!("HTTP/1.1 200 OK\r\n\r\n{large}")).then_close(), true),
        // Announced, and so refused before any of it comes.
        (Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n").stall(), true),
        (Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n").stall(), true),
    ] {
        let is_stalled = format!("{reply:?}").contains("Stall");
        let origin = Origin::start(move |_| reply.clone()).await;
        let client = client_at(&origin.url(), max.clone());
        match soon(get(&client)).await {
            Err(UpstreamError::TooLarge { max: 65_536 }) => assert!(is_refused),
            Err(UpstreamError::Lost(Failure::Unreadable(why))) => {
                assert!(is_refused && why.contains("no HTTP"), "{why}")
            }
            Ok(answer) => assert!(!is_refused && answer.body.len() == 65_536),
            Err(other) => panic!("{other:?}"),
        }
        // What still had to come is not waited for.
        if is_stalled {
            soon(origin.closed(1)).await;
        }
    }
    let told = UpstreamError::TooLarge { max: 65_536 }.into_error(&BackendName::from("x")).message;
    assert_eq!(told, "backend 'x' sent an answer of more than 65536 bytes (`max_answer`)");
}

#[tokio::test]
async fn chunks_are_put_together_and_trailers_ignored() {
    let chunks: [&[u8]; 3] = [b"{\"id\"", b": ", b"7}"];
    let (origin, client) = always(Reply::chunked(200, &chunks, "x-trailer: 1\r\ncontent-length: 3\r\n")).await;
    for _ in 0..2 {
        let answer = get(&client).await.expect("readable");
        assert_eq!(answer.body, r#"{"id": 7}"#);
        assert!(!answer.headers.contains_key("x-trailer"));
    }
    assert_eq!(origin.connections(), 1, "the connection is good for another request");
}

#[tokio::test]
async fn chunks_win_over_a_length() {
    let both =
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"id\": 7}\r\n0\r\n\r\n";
    let (_origin, client) = always(Reply::raw(both)).await;
    match get(&client).await {
        Ok(answer) => assert_eq!(answer.body, r#"{"id": 7}"#),
        other => assert!(unreadable(other).contains("no HTTP")),
    }
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let interim =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let reply = Reply::raw(interim).and("HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}");
    let (origin, client) = always(reply).await;
    let answer = post(&client).await.expect("the answer itself");
    assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"{}"[..]));
    assert!(!answer.headers.contains_key("link"));
    post(&client).await.expect("another on the same connection");
    assert_eq!(origin.connections(), 1);
    let (_origin, client) = always(Reply::raw("HTTP/1.1 100 Continue\r\n\r\n").then_close()).await;
    assert!(post(&client).await.expect_err("only an interim one").was_sent());
}

#[tokio::test]
async fn what_is_beyond_its_length_is_no_part_of_it_nor_of_the_next() {
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let first = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{{}}{forged}");
    let origin = Origin::start(move |asked| match asked.connection {
        0 => Reply::raw(first.clone()),
        _ => Reply::json(200, "[]"),
    })
    .await;
    let client = client(&origin);
    assert_eq!(body(get(&client).await), "{}");
    assert_eq!(body(get(&client).await), "[]");
    assert_eq!(origin.connections(), 2, "a connection with something left on it is not used again");
}

#[tokio::test]
async fn answers_without_a_body_end_with_their_head() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/head" => Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"),
        "/204" => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => Reply::raw("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
        other => panic!("{other}"),
    })
    .await;
    let client = client(&origin);
    for (method, target, status) in
        [(Method::HEAD, "/head", 200), (Method::GET, "/204", 204), (Method::GET, "/304", 304)]
    {
        let answer = soon(client.exchange(&context(), Call::new(method, target))).await.expect("whole");
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0), "{target}");
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any() {
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n";
    let (origin, client) = always(Reply::raw(elsewhere)).await;
    let answer = get(&client).await.expect("an answer");
    assert_eq!((answer.status, answer.header(&header::LOCATION)), (StatusCode::FOUND, Some("/login")));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn a_native_error_is_what_came() {
    let (_origin, client) = always(Reply::whole(400, "application/json;charset=utf-8", r#"{"msg":"x"}"#)).await;
    let native = get(&client).await.expect("an answer").native(&"livy".into());
    assert_eq!((native.status, native.content_type.as_str()), (400, "application/json;charset=utf-8"));
    assert_eq!(native.body, r#"{"msg":"x"}"#);
}

fn coded(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("a type"));
    headers.insert(header::CONTENT_ENCODING, name.parse().expect("a coding"));
    headers
}
