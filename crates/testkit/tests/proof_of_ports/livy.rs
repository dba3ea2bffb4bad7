//! A call on an interactive session of Livy, which is nobody's to understand: it is passed on as it came.

use batchlingua_core::{BatchId, Credentials, DialectName, Error, Reply, Result};
use batchlingua_wire::{Body, BodyKind, Decoded, Dialect, RequestBody, RequestHead, Route, basic_credentials};
use http::{Method, Response};
use serde_json::json;

use crate::{enter_below, json_answer, little_dialect, text};

const STATEMENT: &str = "POST /gw/sessions/99/statements?x=%2f+1&x HTTP/1.1\r\nHost: 127.0.0.1:8998\r\nUser-Agent: recorder/1\r\n\
    Accept: */*\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"code\": \"1\"}";

struct Livy(DialectName);

static ROUTES: [Route; 1] =
    [Route { name: "session", method: Method::POST, path: "/sessions/{id}/statements[/]", body: BodyKind::Stream }];

impl Dialect for Livy {
    little_dialect!(ROUTES);

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        Ok(basic_credentials(&head.headers))
    }

    fn decode(&self, head: &RequestHead, _: RequestBody) -> Result<Decoded> {
        let gone = json!({"msg": format!("Session '{}' not found.", head.param(0))});
        Ok(Decoded::Relay(json_answer(404, gone.to_string())))
    }

    fn encode(&self, _: &RequestHead, _: &Reply<BatchId>) -> Response<Body> {
        panic!("a relayed call has no outcome")
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        json_answer(500, json!(error.message).to_string())
    }
}

#[tokio::test]
async fn a_session_call_is_relayed_as_it_came() {
    let livy = Livy("livy".into());
    let entered = enter_below("/gw", &livy, STATEMENT.as_bytes(), "unused".as_ref()).await.expect("a request");
    assert!(matches!(entered.body, RequestBody::Empty), "nobody has read the body");
    let Ok(Decoded::Relay(otherwise)) = livy.decode(&entered.head, entered.body) else { panic!("a relay") };

    // All that the relay sends: the target but for the listener's prefix, headers and body untouched.
    assert_eq!(
        (&entered.parts.method, entered.head.target.raw_path.as_str()),
        (&Method::POST, "/sessions/99/statements")
    );
    assert_eq!(entered.parts.uri.query(), Some("x=%2f+1&x"), "not decoded and encoded again");
    let headers: Vec<_> = entered.parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let wanted: [(&str, &[u8]); 5] = [
        ("host", b"127.0.0.1:8998"),
        ("user-agent", b"recorder/1"),
        ("accept", b"*/*"),
        ("content-type", b"application/json"),
        ("content-length", b"13"),
    ];
    assert_eq!(headers, wanted);
    assert_eq!(entered.unread.as_ref(), b"{\"code\": \"1\"}");

    // What a client is told where no backend has sessions.
    assert_eq!(text(otherwise).await, (404, r#"{"msg":"Session '99' not found."}"#.to_owned()));
}
