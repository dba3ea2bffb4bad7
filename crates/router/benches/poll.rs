//! What a poll costs this process, apart from its socket: `cargo bench -p batchlingua-router`.
//!
//! One thread, one poll after the other, through the whole listener service, over the ledger and the backend in memory. The tests' own
//! dialect writes the answers, so a real one differs by its encoding.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{BatchState, Clock, NativeId, SystemClock};
use batchlingua_ledger::Options;
use batchlingua_router::{
    Access, Anyone, BackendSlot, CallLimits, Gateway, GatewayParts, Limits, ListenerParts, ListenerService, RouteRule,
    Routing, Silent,
};
use batchlingua_testkit::MemoryBackend;
use batchlingua_wire::{Body, Face};
use http::{Method, Request};

#[path = "../tests/router/plain.rs"]
mod plain;

const BATCHES: u32 = 1_000;
const SPAN: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let backend = Arc::new(MemoryBackend::new("here", clock.clone()));
    let service = service(backend.clone(), clock);
    for _ in 0..BATCHES {
        let submit = request(Method::POST, "/jobs", Body::full(r#"{"file":"a.py","name":"n"}"#));
        assert_eq!(service.answer(submit).await.status(), 201);
    }
    backend.ids().iter().for_each(|id: &NativeId| backend.advance(id, BatchState::Running));
    measure("state of a running batch", &service, "/state").await;
    measure("running batch", &service, "").await;
    backend.ids().iter().for_each(|id| backend.advance(id, BatchState::Succeeded));
    measure("state of an ended batch", &service, "/state").await;
}

async fn measure(what: &str, service: &ListenerService, path: &str) {
    let paths: Vec<_> = (1..=BATCHES).map(|id| format!("/jobs/{id}{path}")).collect();
    // Whatever is new to the ledger is written before the clock starts.
    for path in &paths {
        assert_eq!(service.answer(request(Method::GET, path, Body::empty())).await.status(), 200);
    }
    let (began, mut polls) = (Instant::now(), 0_u32);
    while began.elapsed() < SPAN {
        for path in &paths {
            black_box(service.answer(request(Method::GET, path, Body::empty())).await);
        }
        polls += BATCHES;
    }
    let each = began.elapsed() / polls;
    println!("{what:<26} {:>9.0} polls/s {each:>10.2?} each", 1.0 / each.as_secs_f64());
}

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8998");
    request.header("user-agent", "bench").header("accept", "*/*").body(body).expect("a request")
}

fn service(backend: Arc<MemoryBackend>, clock: Arc<dyn Clock>) -> ListenerService {
    let options = Options { clock: clock.clone(), ..Options::default() };
    let calls = CallLimits { freshness: Duration::ZERO, ..CallLimits::default() };
    let gateway = Gateway::new(GatewayParts {
        dialects: vec![Arc::new(plain::Plain::new("plain"))],
        // Each poll asks the backend, as the first of all who share an answer does.
        backends: vec![BackendSlot { limits: calls, ..BackendSlot::new("here", backend) }],
        routing: Routing { rules: vec![RouteRule::all_to("here".into())] },
        ledger: batchlingua_ledger::open("memory:", options).expect("a ledger"),
        clock,
        observer: Arc::new(Silent),
        limits: Limits::default(),
    });
    let face = Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".into(),
        path_prefix: String::new(),
        csrf: false,
        single: false,
        authenticated: false,
    };
    gateway.listener(ListenerParts {
        face,
        dialects: vec!["plain".into()],
        access: Access::default(),
        auth: Arc::new(Anyone),
        trust_real_ip: false,
    })
}
