//! A proxy in memory: real listener service, real ledger rules, a scripted backend, and time that only runs when nobody works.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use batchlingua_core::{
    Authenticator, Backend, Batch, BatchSpec, BatchState, Capabilities, Clock, Ledger, Millis, NativeId,
    NativeIdentity, NativeIds, Times,
};
use batchlingua_ledger::Options;
use batchlingua_router::{
    Access, Anyone, AuditRecord, BackendSlot, CallLimits, CallRecord, Gateway, GatewayParts, Limits, ListenerParts,
    ListenerService, Observer, RefusedLogin, RequestRecord, RouteRule, Routing, Stage,
};
use batchlingua_testkit::MemoryBackend;
use batchlingua_wire::{Body, Face, FormLimits, Ownership, Relay};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::Instant;

use crate::{plain::Plain, watched::Watched};

/// Wall time that follows the runtime's paused time.
pub(crate) struct VirtualClock(Mutex<(Millis, Instant)>);

impl VirtualClock {
    /// It now goes on with the time of the runtime that it is called on: each has its own.
    pub(crate) fn go_on_here(&self, from: Millis) {
        *self.0.lock().expect("unpoisoned") = (from, Instant::now());
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self(Mutex::new((batchlingua_testkit::ManualClock::START, Instant::now())))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Millis {
        let (base, since) = *self.0.lock().expect("unpoisoned");
        base.plus(since.elapsed())
    }
}

/// Notes what the outside is told.
#[derive(Default)]
pub(crate) struct Notebook(Mutex<Vec<String>>);

impl Notebook {
    fn note(&self, line: String) {
        self.0.lock().expect("unpoisoned").push(line);
    }

    pub(crate) fn lines(&self, prefix: &str) -> Vec<String> {
        let lines = self.0.lock().expect("unpoisoned");
        lines.iter().filter(|line| line.starts_with(prefix)).cloned().collect()
    }
}

impl Observer for Notebook {
    fn request(&self, record: &RequestRecord<'_>) {
        self.note(format!("request {} {} {}", record.dialect, record.operation, record.status));
    }
    fn refused(&self, login: &RefusedLogin<'_>) {
        self.note(format!("refused {} {:?}", login.claimed.unwrap_or("nobody"), login.why));
    }
    fn call(&self, record: &CallRecord<'_>) {
        self.note(format!("call {} {}", record.call, record.outcome));
    }
    fn audit(&self, record: &AuditRecord<'_>) {
        let batch = if record.batch.is_some() { "known" } else { "unknown" };
        self.note(format!("audit {} {} {batch}", record.action, record.outcome));
    }
    fn phase(&self, _: &batchlingua_core::BackendName, phase: batchlingua_core::Phase) {
        self.note(format!("phase {}", phase.as_str()));
    }
    fn state(&self, _: &batchlingua_core::BackendName, state: batchlingua_core::BatchState) {
        self.note(format!("state {state}"));
    }
}

/// What a test may choose about its house.
pub(crate) struct Plans {
    pub(crate) limits: Limits,
    pub(crate) calls: CallLimits,
    pub(crate) rules: Vec<RouteRule>,
    pub(crate) backends: Vec<(&'static str, Arc<dyn Backend>)>,
    pub(crate) stage: Option<Stage>,
    pub(crate) foreign: bool,
    pub(crate) relay: Option<Arc<dyn Relay>>,
    pub(crate) access: Access,
    pub(crate) auth: Arc<dyn Authenticator>,
    pub(crate) ownership: Ownership,
    pub(crate) single: bool,
    pub(crate) started: bool,
    pub(crate) _upload_dir: tempfile::TempDir,
}

/// A proxy and the world around it.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) backend: Arc<MemoryBackend>,
    pub(crate) ledger: Arc<Watched>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) service: ListenerService,
    pub(crate) notebook: Arc<Notebook>,
    plans: Arc<Plans>,
}

/// A backend named `here`, and the clock that it shares with the rest.
pub(crate) fn backend() -> (Arc<VirtualClock>, MemoryBackend) {
    let clock = Arc::new(VirtualClock::default());
    (clock.clone(), MemoryBackend::new("here", clock))
}

impl House {
    /// With one backend that has to be asked.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Plans)) -> Self {
        let (clock, backend) = backend();
        Self::over(clock, Arc::new(backend), change)
    }

    /// With one backend that has to be asked, of other abilities.
    pub(crate) fn over_able(change: impl FnOnce(&mut Capabilities)) -> Self {
        let (clock, backend) = backend();
        Self::over(clock, Arc::new(backend.able(change)), |_| {})
    }

    pub(crate) fn over(clock: Arc<VirtualClock>, backend: Arc<MemoryBackend>, change: impl FnOnce(&mut Plans)) -> Self {
        let options = Options { clock: clock.clone(), ..Options::default() };
        let ledger = batchlingua_ledger::open("memory:", options).expect("a ledger");
        Self::of(clock, backend, ledger, change)
    }

    /// Over a ledger that may be another's too.
    pub(crate) fn of(
        clock: Arc<VirtualClock>,
        backend: Arc<MemoryBackend>,
        ledger: Arc<dyn Ledger>,
        change: impl FnOnce(&mut Plans),
    ) -> Self {
        let upload_dir = tempfile::tempdir().expect("a directory");
        let upload = FormLimits {
            dir: upload_dir.path().join("uploads"),
            max_parts: 10,
            max_values: 1 << 16,
            max_files: 1 << 16,
        };
        let limits = Limits { max_body: 1 << 16, upload, ..Limits::default() };
        let mut plans = Plans {
            limits,
            // What most tests are about is what the backend shows at this moment.
            calls: CallLimits { freshness: Duration::ZERO, ..CallLimits::default() },
            rules: vec![rule("here")],
            backends: vec![("here", backend.clone() as Arc<dyn Backend>)],
            stage: None,
            foreign: true,
            relay: None,
            access: Access::default(),
            auth: Arc::new(Anyone),
            ownership: Ownership::Shared,
            single: false,
            started: true,
            _upload_dir: upload_dir,
        };
        change(&mut plans);
        Self::build(clock, backend, Watched::over(ledger), Arc::new(plans))
    }

    fn build(clock: Arc<VirtualClock>, backend: Arc<MemoryBackend>, ledger: Arc<Watched>, plans: Arc<Plans>) -> Self {
        let notebook = Arc::new(Notebook::default());
        let gateway = Gateway::new(GatewayParts {
            dialects: vec![Arc::new(Plain { ownership: plans.ownership, ..Plain::new("plain") })],
            backends: plans
                .backends
                .iter()
                .map(|(name, backend)| BackendSlot {
                    name: (*name).into(),
                    backend: backend.clone(),
                    relay: plans.relay.clone().map(|relay| ("plain".into(), relay)),
                    limits: plans.calls,
                    stage: plans.stage.clone(),
                    foreign: plans.foreign,
                })
                .collect(),
            routing: Routing { rules: plans.rules.clone() },
            ledger: ledger.clone() as Arc<dyn Ledger>,
            clock: clock.clone(),
            observer: notebook.clone(),
            limits: plans.limits.clone(),
        });
        if plans.started {
            gateway.start();
        }
        let face = Face {
            listener: "main".into(),
            public_url: "http://127.0.0.1:8998".into(),
            path_prefix: String::new(),
            csrf: false,
            single: plans.single,
            authenticated: plans.auth.is_required(),
        };
        let (access, auth) = (plans.access.clone(), plans.auth.clone());
        let service = gateway.listener(ListenerParts {
            face,
            dialects: vec!["plain".into()],
            access,
            auth,
            trust_real_ip: false,
        });
        Self { clock, backend, ledger, gateway, service, notebook, plans }
    }

    /// Another process on the same ledger and backend. The old one must be stopped or gone.
    pub(crate) fn next_life(&self) -> Self {
        Self::build(self.clock.clone(), self.backend.clone(), self.ledger.clone(), self.plans.clone())
    }

    /// The same with other plans.
    pub(crate) fn next_life_with(&self, change: impl FnOnce(&mut Plans)) -> Self {
        let old = &self.plans;
        let mut plans = Plans {
            limits: old.limits.clone(),
            calls: old.calls,
            rules: old.rules.clone(),
            backends: old.backends.clone(),
            stage: old.stage.clone(),
            foreign: old.foreign,
            relay: old.relay.clone(),
            auth: old.auth.clone(),
            ownership: old.ownership,
            access: old.access.clone(),
            single: old.single,
            started: old.started,
            _upload_dir: tempfile::tempdir().expect("a directory"),
        };
        change(&mut plans);
        Self::build(self.clock.clone(), self.backend.clone(), self.ledger.clone(), Arc::new(plans))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.service.answer(request).await.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, json, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str, json: Value) -> Answer {
        self.post_with(path, &[], json).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], json: Value) -> Answer {
        self.send(request(Method::POST, path, headers, Body::full(json.to_string()))).await
    }

    /// A client of its own, that can be waited for or go away.
    pub(crate) fn posting(&self, path: &str, headers: &[(&str, &str)], json: Value) -> tokio::task::JoinHandle<Answer> {
        let house = self.clone();
        let request = request(Method::POST, path, headers, Body::full(json.to_string()));
        tokio::spawn(async move { house.send(request).await })
    }

    /// A job that runs, by its uuid and the backend's own id.
    pub(crate) async fn running(&self, name: &str) -> (String, NativeId) {
        let submitted = self.post("/jobs", serde_json::json!({ "file": "a.py", "name": name })).await;
        assert_eq!(submitted.status, 201, "{submitted:?}");
        let native = NativeId::from(submitted.text_of("native"));
        self.backend.advance(&native, batchlingua_core::BatchState::Running);
        (submitted.text_of("uuid"), native)
    }

    /// Batches that came by nobody, have ended and were seen on the backend once.
    pub(crate) async fn sights(&self, numbers: std::ops::Range<usize>) {
        let seen: Vec<_> = numbers.map(|number| self.sight(number)).collect();
        self.ledger.bind(&"here".into(), &seen).await.expect("rows");
    }

    fn sight(&self, number: usize) -> NativeIdentity {
        let native = NativeId::new(format!("seen-{number}"));
        let now = self.clock.now();
        let times = Times { created: now, started: Some(now), ended: Some(now), modified: now };
        let batch = Batch { times, ..Batch::new(native.clone(), BatchState::Succeeded, Arc::default()) };
        NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique }
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        let answer = self.get(&format!("/jobs/{id}/state")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text_of("state")
    }

    /// Shown neither as a batch, which it may never become, nor as absent.
    pub(crate) async fn assert_not_known_yet(&self, id: &str) {
        for path in ["", "/state", "/log"] {
            let told = self.get(&format!("/jobs/{id}{path}")).await;
            assert_eq!((told.status.as_u16(), told.header("retry-after")), (503, Some("1")), "{path}: {told:?}");
        }
    }

    pub(crate) async fn act(&self, action: &str, id: &str) -> String {
        let answer = self.post(&format!("/actions/{action}"), serde_json::json!({ "ids": [id] })).await;
        answer.json[0]["result"].as_str().map_or(format!("{answer:?}"), str::to_owned)
    }

    /// Until the state is shown; time runs meanwhile.
    pub(crate) async fn until_state(&self, id: &str, state: &str) {
        while self.state(id).await != state {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub(crate) fn uploads_left(&self) -> usize {
        fn count(dir: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
            entries.flatten().map(|entry| if entry.path().is_dir() { 1 + count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.plans.limits.upload.dir)
    }

    /// Lets everything that can work do so.
    pub(crate) async fn settle_down(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn text_of(&self, member: &str) -> String {
        self.json[member].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:8998");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a request")
}

/// Everything goes there.
pub(crate) fn rule(to: &str) -> RouteRule {
    RouteRule::all_to(to.into())
}

pub(crate) fn spec(name: &str) -> BatchSpec {
    BatchSpec { file: Some("a.py".into()), name: Some(name.into()), ..BatchSpec::default() }
}
