//! What clients send to the proxy of `gateway` and are answered, and what its ledger knows beside that.

use std::sync::Arc;

use batchlingua_core::{BatchId, BatchRef, BatchSpec, Clock, Entry, Ledger, NativeId, Scope, SystemClock};
use batchlingua_ledger::Options;
use batchlingua_router::{Limits, ListenerService};
use batchlingua_testkit::conformance::Rig;
use batchlingua_wire::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::{chains::Chain, gateway::service};

/// What a client sends.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept: "*/*",
            content_type: "application/json".into(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    pub(crate) fn send(method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { method, body: body.to_string().into(), ..Self::get(path) }
    }

    /// A submit with one more member.
    pub(crate) fn with(self, member: &str, value: Value) -> Self {
        let mut body: Value = serde_json::from_slice(&self.body).expect("a JSON body");
        body[member] = value;
        Self { body: body.to_string().into(), ..self }
    }

    pub(crate) fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

/// What it is answered.
#[derive(Clone, Debug)]
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// The proxy.
pub(crate) struct House {
    pub(crate) rig: Arc<dyn Rig>,
    /// What its backend is the near end of, if that is another proxy.
    pub(crate) chain: Option<Arc<Chain>>,
    ledger: Arc<dyn Ledger>,
    service: ListenerService,
}

/// What a test may want otherwise.
pub(crate) struct Wishes {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) first_ordinal: u32,
    pub(crate) limits: Limits,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), first_ordinal: 1, limits: Limits::default() }
    }
}

impl House {
    pub(crate) fn over(rig: Arc<dyn Rig>) -> Self {
        Self::wishing(rig, Wishes::default())
    }

    pub(crate) fn wishing(rig: Arc<dyn Rig>, wishes: Wishes) -> Self {
        let Wishes { clock, first_ordinal, limits } = wishes;
        let options = Options { clock: clock.clone(), first_ordinal, ..Options::default() };
        let ledger = batchlingua_ledger::open("memory:", options).expect("a ledger");
        let service = service(rig.backend(), ledger.clone(), clock, limits);
        Self { rig, chain: None, ledger, service }
    }

    /// The same with what its backend is the near end of.
    pub(crate) fn behind(self, chain: Arc<Chain>) -> Self {
        Self { chain: Some(chain), ..self }
    }

    /// What it is served by.
    pub(crate) fn service(&self) -> &ListenerService {
        &self.service
    }

    pub(crate) async fn ask(&self, ask: &Ask) -> Heard {
        let request = Request::builder().method(&ask.method).uri(&ask.path).header("host", "127.0.0.1:8998");
        let request = request.header("accept", ask.accept).header("content-type", &ask.content_type);
        let request = request.body(Body::full(ask.body.clone())).expect("a request");
        let (head, body) = self.service.answer(request).await.into_parts();
        let bytes = body.collect().await.expect("the whole body").to_bytes();
        Heard { status: head.status.as_u16(), headers: head.headers, bytes }
    }

    /// All ids of the batch that the backend calls so.
    pub(crate) async fn ids(&self, native: &NativeId) -> BatchId {
        self.known(&BatchRef::Text(native.as_str().to_owned())).await.expect("the batch is there")
    }

    /// What the backend calls the batch of this uuid or integer.
    pub(crate) async fn native(&self, wanted: BatchRef) -> NativeId {
        let id = self.known(&wanted).await.expect("the batch is there");
        id.native.unwrap_or_else(|| panic!("{wanted} was not accepted"))
    }

    /// What it is to run, as its submit was understood.
    pub(crate) async fn spec(&self, wanted: &BatchRef) -> BatchSpec {
        BatchSpec::clone(&self.entry(wanted).await.expect("the batch is there").batch.spec)
    }

    async fn known(&self, wanted: &BatchRef) -> Option<BatchId> {
        self.entry(wanted).await.map(|entry| entry.batch.id.clone())
    }

    /// The row, whatever clients can see of it.
    async fn entry(&self, wanted: &BatchRef) -> Option<Entry> {
        let all = Scope { dialect: "none".into(), backends: None, projects: None, unscoped: true, ended_from: None };
        self.ledger.find(wanted, &all).await.expect("the ledger answers")
    }
}
