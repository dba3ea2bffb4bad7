//! What the tests of this dialect share: a request's way up to where a backend is needed.

use std::sync::Arc;

use batchlingua_core::{BatchRef, Clock, Operation};
use batchlingua_testkit::{ManualClock, golden::parse_request};
use batchlingua_wire::{Body, BodyKind, Decoded, Dialect, Face, Match, RequestBody, RequestHead, Settings, find};
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use crate::{FrontSettings, dialect::DliDialect};

/// The dialect with default settings and this clock.
pub(crate) fn dialect_at(clock: Arc<dyn Clock>) -> DliDialect {
    with_settings(json!({}), clock)
}

/// The dialect with these settings.
pub(crate) fn dialect(settings: Value) -> DliDialect {
    with_settings(settings, Arc::new(ManualClock::default()))
}

fn with_settings(settings: Value, clock: Arc<dyn Clock>) -> DliDialect {
    DliDialect::new(FrontSettings::read(Settings::new("dialect.dli", settings)).expect("valid settings"), clock)
}

pub(crate) fn face(authenticated: bool) -> Face {
    Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".to_owned(),
        path_prefix: String::new(),
        csrf: false,
        single: false,
        authenticated,
    }
}

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.into_full().expect("a body that is there as a whole").to_vec();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and code of a failure, which is one in every respect that clients look at.
    pub(crate) fn failure(&self) -> (u16, String) {
        let json = self.json();
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        assert!((400..600).contains(&self.status), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(!text("error_code").is_empty() && !text("error_msg").is_empty(), "{json}");
        (self.status, text("error_code"))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error_msg"].as_str().unwrap_or_default().to_owned()
    }
}

/// A request whose head has a route.
pub(crate) fn enter(
    dialect: &dyn Dialect,
    face: Face,
    request: &[u8],
) -> Result<(RequestHead, RequestBody), Box<Answer>> {
    let (parts, bytes) = parse_request(request).expect("a request").into_parts();
    let mut head = RequestHead::new("r-1".into(), &parts, Arc::new(face)).expect("a target");
    match find(dialect.routes(), &head) {
        Match::Miss(miss) => Err(Box::new(Answer::of(dialect.encode_miss(&head, &miss)))),
        Match::Route(route, params) => {
            head.route = Some(route);
            head.params = params;
            let body = match route.body {
                BodyKind::None => RequestBody::Empty,
                BodyKind::Bytes | BodyKind::FormOrBytes | BodyKind::Stream => RequestBody::Bytes(bytes),
            };
            Ok((head, body))
        }
    }
}

/// What the front makes of a request.
pub(crate) enum Made {
    Answer(Answer),
    Asks(Box<RequestHead>, Operation<BatchRef>),
}

pub(crate) fn make(dialect: &dyn Dialect, request: &[u8]) -> Made {
    let (head, body) = match enter(dialect, face(false), request) {
        Ok(entered) => entered,
        Err(answer) => return Made::Answer(*answer),
    };
    match dialect.decode(&head, body) {
        Ok(Decoded::Operation(operation)) => Made::Asks(Box::new(head), operation),
        Ok(Decoded::Answer(_) | Decoded::Relay(_)) => panic!("every call of this dialect needs a backend"),
        Err(error) => Made::Answer(Answer::of(dialect.encode_error(&head, &error))),
    }
}

/// A request of these parts.
pub(crate) fn typed(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").into_bytes()));
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

pub(crate) fn asks(dialect: &dyn Dialect, request: &[u8]) -> (Box<RequestHead>, Operation<BatchRef>) {
    match make(dialect, request) {
        Made::Asks(head, operation) => (head, operation),
        Made::Answer(answer) => panic!("{}", String::from_utf8_lossy(&answer.body)),
    }
}

pub(crate) fn refused(dialect: &dyn Dialect, request: &[u8]) -> Answer {
    match make(dialect, request) {
        Made::Answer(answer) => answer,
        Made::Asks(_, operation) => panic!("{operation:?}"),
    }
}
