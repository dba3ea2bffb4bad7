//! What clients send to the proxy of `gateway` and are answered, and what its ledger knows beside that.

use std::sync::Arc;

use batchlingua_core::{BatchId, BatchRef, Clock, Ledger, NativeId, Scope, SystemClock};
use batchlingua_ledger::Options;
use batchlingua_router::ListenerService;
use batchlingua_testkit::conformance::Rig;
use batchlingua_wire::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::gateway::service;

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) body: Option<Value>,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), accept: "*/*", body: None }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(crate) fn send(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { method, body: Some(body), ..Self::get(path) }
    }

    pub(crate) fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

/// What it is answered.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Heard {
    /// The JSON of a good answer.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status / 100, 2, "{self:?}");
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }
}

/// The proxy.
pub(crate) struct House {
    pub(crate) rig: Arc<dyn Rig>,
    ledger: Arc<dyn Ledger>,
    service: ListenerService,
}

impl House {
    pub(crate) fn over(rig: Arc<dyn Rig>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = Options { clock: clock.clone(), ..Options::default() };
        let ledger = batchlingua_ledger::open("memory:", options).expect("a ledger");
        let service = service(rig.backend(), ledger.clone(), clock);
        Self { rig, ledger, service }
    }

    pub(crate) async fn ask(&self, ask: &Ask) -> Heard {
        let body = ask.body.as_ref().map_or(Body::empty(), |body| Body::full(body.to_string()));
        let request = Request::builder().method(&ask.method).uri(&ask.path).header("host", "127.0.0.1:8998");
        let request = request.header("accept", ask.accept).header("content-type", "application/json");
        let (head, body) = self.service.answer(request.body(body).expect("a request")).await.into_parts();
        let bytes = body.collect().await.expect("the whole body").to_bytes();
        Heard { status: head.status.as_u16(), headers: head.headers, bytes }
    }

    /// All ids of the batch that the backend calls so.
    pub(crate) async fn ids(&self, native: &NativeId) -> BatchId {
        let all = Scope { dialect: "none".into(), backends: None, projects: None, unscoped: true, ended_from: None };
        let wanted = BatchRef::Text(native.as_str().to_owned());
        self.ledger.find(&wanted, &all).await.expect("the ledger answers").expect("the batch is there").batch.id.clone()
    }

    /// What the backend calls the batch of this uuid or integer.
    pub(crate) async fn native(&self, wanted: BatchRef) -> NativeId {
        let all = Scope { dialect: "none".into(), backends: None, projects: None, unscoped: true, ended_from: None };
        let entry = self.ledger.find(&wanted, &all).await.expect("the ledger answers").expect("the batch is there");
        entry.batch.id.native.clone().expect("it was accepted")
    }
}
