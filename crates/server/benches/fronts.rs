//! What a request costs this process through each front, apart from its socket: `cargo bench -p batchlingua --bench fronts`.
//!
//! One thread, one request after the other, through the whole listener service, over the ledger and the backend in memory, so that what
//! differs between the lines is the dialect. Processor time rather than the clock's, since other programs run beside it; read the lines
//! against each other, not as figures of their own.

use std::{hint::black_box, sync::Arc, time::Duration};

use batchlingua_core::{BatchId, BatchState, Clock, ListQuery, Scope, SystemClock};
use batchlingua_ledger::Options;
use batchlingua_router::{Limits, ListenerService};
use batchlingua_testkit::MemoryBackend;
use batchlingua_wire::Body;
use http::{Method, Request};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

#[path = "../tests/matrix/gateway.rs"]
mod gateway;

const BATCHES: u32 = 1_000;
const SPAN: Duration = Duration::from_secs(2);
const V4: &str = "application/vnd.apache.kylin-v4-public+json";

/// The requests of one front.
struct Front {
    dialect: &'static str,
    accept: &'static str,
    get: fn(&BatchId) -> String,
    list: &'static str,
    /// A dialect may have no such call.
    submit: Option<Submit>,
}

/// Path and body.
type Submit = (&'static str, fn() -> String);

const FRONTS: [Front; 4] = [
    Front {
        dialect: "kyuubi",
        accept: "*/*",
        get: |id| format!("/api/v1/batches/{}", id.uuid),
        list: "/api/v1/batches?from=0&size=100",
        submit: Some(("/api/v1/batches", || {
            json!({ "batchType": "PYSPARK", "resource": "/srv/a.py", "args": ["1"], "conf": { "spark.x": "y" } })
                .to_string()
        })),
    },
    Front {
        dialect: "livy",
        accept: "*/*",
        get: |id| format!("/batches/{}", id.ordinal),
        list: "/batches?from=0&size=100",
        submit: Some(("/batches", || {
            json!({ "file": "/srv/a.py", "args": ["1"], "conf": { "spark.x": "y" } }).to_string()
        })),
    },
    Front {
        dialect: "dli",
        accept: "*/*",
        get: |id| format!("/v2.0/p1/batches/{}", id.uuid),
        list: "/v2.0/p1/batches?from=0&size=100",
        submit: Some(("/v2.0/p1/batches", || {
            json!({ "file": "/srv/a.py", "queue": "q", "args": ["1"], "conf": { "spark.x": "y" } }).to_string()
        })),
    },
    Front {
        dialect: "kylin",
        accept: V4,
        get: |id| format!("/kylin/api/jobs?key={}&time_filter=4", id.uuid),
        list: "/kylin/api/jobs?time_filter=4&page_size=100",
        submit: None,
    },
];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("{:<8} {:>14} {:>14} {:>14}", "front", "get", "list of 100", "submit");
    for front in &FRONTS {
        let (service, ids) = house().await;
        let paths: Vec<String> = ids.iter().map(front.get).collect();
        let get = cost(paths.iter().cycle(), |path| send(&service, front, Method::GET, path, Body::empty())).await;
        let list =
            cost(std::iter::repeat(front.list), |path| send(&service, front, Method::GET, path, Body::empty())).await;
        let submit = match front.submit {
            // Last, since it adds rows.
            Some((path, body)) => {
                let bodies = std::iter::repeat_with(body).take(5_000);
                let spent = cost(bodies, |body| send(&service, front, Method::POST, path, Body::full(body))).await;
                format!("{spent:.1?}")
            }
            None => "-".to_owned(),
        };
        println!("{:<8} {:>14} {:>14} {submit:>14}", front.dialect, format!("{get:.1?}"), format!("{list:.1?}"));
    }
}

/// A proxy with so many batches that run: each front has its own, since those that submit add to what later ones list.
async fn house() -> (ListenerService, Vec<BatchId>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let backend = Arc::new(MemoryBackend::new("here", clock.clone()));
    let options = Options { clock: clock.clone(), ..Options::default() };
    let ledger = batchlingua_ledger::open("memory:", options).expect("a ledger");
    let service = gateway::service(backend.clone(), ledger.clone(), clock, Limits::default());
    let livy = &FRONTS[1];
    let (path, body) = livy.submit.expect("Livy submits");
    for _ in 0..BATCHES {
        send(&service, livy, Method::POST, path, Body::full(body())).await;
    }
    backend.ids().iter().for_each(|id| backend.advance(id, BatchState::Running));
    let all = Scope { dialect: "none".into(), backends: None, projects: None, unscoped: true, ended_from: None };
    let query =
        ListQuery { window: batchlingua_core::Window { from: 0, size: BATCHES.into() }, ..ListQuery::default() };
    let rows = ledger.page(&query, &all).await.expect("a page").rows;
    let ids: Vec<BatchId> = rows.iter().map(|entry| entry.batch.id.clone()).collect();
    (service, ids)
}

/// The processor time of one of them.
async fn cost<T, F: Future<Output = ()>>(wants: impl Iterator<Item = T>, act: impl Fn(T) -> F) -> Duration {
    let began = spent();
    let mut count = 0;
    for want in wants {
        act(want).await;
        count += 1;
        if spent() - began > SPAN {
            break;
        }
    }
    (spent() - began) / count
}

fn spent() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("no time before the start")
}

async fn send(service: &ListenerService, front: &Front, method: Method, path: &str, body: Body) {
    let request = Request::builder().method(&method).uri(path).header("host", "127.0.0.1:8998");
    let request = request.header("accept", front.accept).header("content-type", "application/json").body(body);
    let answer = service.answer(request.expect("a request")).await;
    assert!(answer.status().is_success(), "{} {method} {path}: {}", front.dialect, answer.status());
    black_box(http_body_util::BodyExt::collect(answer.into_body()).await.expect("a body"));
}
