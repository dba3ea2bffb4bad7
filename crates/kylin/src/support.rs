//! What the tests share: a request on its way up to where a backend is needed, and what comes of it.

use std::sync::Arc;

use batchlingua_core::{
    Allowed, Batch, BatchId, BatchRef, BatchSpec, BatchState, Controlled, Effect, Error, ErrorKind, Identity, Notes,
    Operation, Outcome, Principal, Reply, Rights, Uuid,
};
use batchlingua_testkit::{ManualClock, golden::parse_request};
use batchlingua_wire::{
    Asker, Body, BodyKind, Decoded, Dialect, Face, Match, RequestBody, RequestHead, Settings, find,
};
use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::{FrontSettings, dialect::KylinDialect};

pub(crate) const ID: &str = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1";
pub(crate) const PUBLIC: &str = "Accept: application/vnd.apache.kylin-v4-public+json";
pub(crate) const V4: &str = "Accept: application/vnd.apache.kylin-v4+json";
pub(crate) const V2: &str = "Accept: application/vnd.apache.kylin-v2+json";
pub(crate) const ANY: &str = "Accept: */*";
pub(crate) const AS_JSON: &str = "Accept: application/json";

/// The dialect with these settings, at a moment that stands still.
pub(crate) fn dialect(settings: Value) -> KylinDialect {
    let settings = FrontSettings::read(Settings::new("dialect.kylin", settings)).expect("valid settings");
    KylinDialect::new(settings, Arc::new(ManualClock::default()))
}

pub(crate) fn lenient() -> KylinDialect {
    dialect(json!({}))
}

pub(crate) fn face() -> Face {
    Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".to_owned(),
        path_prefix: String::new(),
        csrf: false,
        single: true,
        authenticated: false,
    }
}

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.into_full().expect("no stream");
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Status and code of a refusal, whose envelope is as it must be.
    pub(crate) fn refused(&self) -> (u16, Option<String>) {
        let json = self.json();
        assert_eq!((&json["code"], &json["data"], &json["stacktrace"]), (&json!("999"), &Value::Null, &Value::Null));
        assert!(json["exception"].is_string() && json["msg"].is_string() && json["url"].is_string(), "{json}");
        (self.status, json["error_code"].as_str().map(str::to_owned))
    }
}

pub(crate) fn typed(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let headers: Vec<String> = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("{line} HTTP/1.1\r\nHost: h\r\n{}Content-Length: {}\r\n\r\n", headers.concat(), body.len());
    [head.as_bytes(), body].concat()
}

/// What a request comes to.
pub(crate) enum Made {
    Asks(Box<RequestHead>, Operation<BatchRef>),
    Answer(Answer),
}

pub(crate) fn make_for(dialect: &KylinDialect, request: &[u8], face: Face, asker: Option<Asker>) -> Made {
    let (parts, body) = parse_request(request).expect("a request").into_parts();
    let mut head = RequestHead::new("r".into(), &parts, Arc::new(face)).expect("a target");
    let kind = match find(dialect.routes(), &head) {
        Match::Route(route, params) => {
            (head.route, head.params) = (Some(route), params);
            route.body
        }
        Match::Miss(miss) => return Made::Answer(Answer::of(dialect.encode_miss(&head, &miss))),
    };
    if let Some(asker) = asker {
        head.asker = asker.into();
    }
    let body = if kind == BodyKind::Bytes { RequestBody::Bytes(body) } else { RequestBody::Empty };
    match dialect.decode(&head, body) {
        Ok(Decoded::Operation(operation)) => Made::Asks(Box::new(head), operation),
        Ok(Decoded::Answer(response) | Decoded::Relay(response)) => Made::Answer(Answer::of(response)),
        Err(error) => Made::Answer(Answer::of(dialect.encode_error(&head, &error))),
    }
}

pub(crate) fn make(dialect: &KylinDialect, line: &str, headers: &[&str], body: &str) -> Made {
    make_for(dialect, &typed(line, headers, body.as_bytes()), face(), Some(asker("ADMIN", true)))
}

pub(crate) fn asker(name: &str, administrator: bool) -> Asker {
    let rights = Rights { administrator, projects: Allowed::Any, queues: Allowed::Any, run_as: Allowed::Any };
    Asker { identity: Identity { principal: Principal::unverified(name), rights: rights.into() }, session: None }
}

pub(crate) fn asks(
    dialect: &KylinDialect,
    line: &str,
    headers: &[&str],
    body: &str,
) -> (Box<RequestHead>, Operation<BatchRef>) {
    match make(dialect, line, headers, body) {
        Made::Asks(head, operation) => (head, operation),
        Made::Answer(answer) => panic!("{line}: {answer:?}"),
    }
}

pub(crate) fn answer(dialect: &KylinDialect, line: &str, headers: &[&str], body: &str) -> Answer {
    match make(dialect, line, headers, body) {
        Made::Answer(answer) => answer,
        Made::Asks(_, operation) => panic!("{line}: {operation:?}"),
    }
}

pub(crate) fn failed(dialect: &KylinDialect, line: &str, headers: &[&str], kind: ErrorKind) -> Answer {
    let (head, _) = asks(dialect, line, headers, "");
    Answer::of(dialect.encode_error(&head, &Error::new(kind, "the message")))
}

pub(crate) fn encoded(dialect: &KylinDialect, head: &RequestHead, outcome: Outcome<BatchId>) -> Answer {
    Answer::of(dialect.encode(head, &Reply { outcome, notes: Notes::default() }))
}

pub(crate) fn batch(state: BatchState) -> Batch<BatchId> {
    let id = BatchId { uuid: Uuid::parse_str(ID).expect("a uuid"), ordinal: 7, native: Some("7".into()) };
    Batch::new(id, state, Arc::new(BatchSpec { name: Some("n".into()), ..BatchSpec::default() }))
}

pub(crate) fn controlled(before: BatchState, result: Result<Effect, Error>) -> Outcome<BatchId> {
    let id = batch(before).id;
    Outcome::Controlled(vec![Controlled { id, before, result, after: Some(batch(before).into()) }])
}

pub(crate) fn strict() -> KylinDialect {
    dialect(json!({"strict": true}))
}
