//! The far end of a chain: a second proxy on a real socket, over a backend in memory that a test moves.
//!
//! It is the server's own listener, so what goes over it is what goes over any. A test can look at what came, change what is answered, lose
//! an answer on its way, and take the whole away and bring it back at its address, with its memory or as one that has forgotten everything.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use batchlingua::{
    config::HttpLimits,
    listener::{ConnectionObserver, Listener, RequestStream, Shared, Stage},
};
use batchlingua_core::SystemClock;
use batchlingua_router::ListenerService;
use batchlingua_testkit::{MemoryBackend, conformance::Rig};
use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use tokio::{
    net::TcpSocket,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::{
    house::{House, Wishes},
    rigs,
};

/// The far end.
pub(crate) struct Upstream {
    address: SocketAddr,
    way: Arc<Way>,
    now: Mutex<Now>,
    /// Bound and never listening: its port is nobody else's while this one is away.
    _reserved: TcpSocket,
}

/// Who answers there now.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) memory: Arc<MemoryBackend>,
    pub(crate) rig: Arc<dyn Rig>,
    pub(crate) house: Arc<House>,
}

struct Now {
    life: Life,
    serving: Option<Serving>,
}

struct Serving {
    stage: watch::Sender<Stage>,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) method: Method,
    pub(crate) body: Bytes,
}

impl Life {
    /// One that remembers nothing and counts from 0, as a Livy that was restarted.
    fn begin() -> Self {
        let memory = Arc::new(MemoryBackend::new("there", Arc::new(SystemClock)).telling_changes());
        let rig = rigs::moving(memory.clone());
        let house = Arc::new(House::wishing(rig.clone(), Wishes { first_ordinal: 0, ..Wishes::default() }));
        Self { memory, rig, house }
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let (life, way) = (Life::begin(), Arc::<Way>::default());
        let reserved = TcpSocket::new_v4().expect("a socket");
        reserved.set_reuseaddr(true).expect("an option of every socket");
        reserved.bind(([127, 0, 0, 1], 0).into()).expect("a port of the loopback is free");
        let address = reserved.local_addr().expect("it has one");
        let listener = Listener::bind(address).await.expect("its port is its own");
        let serving = Some(Serving::begin(listener, &life, &way));
        Self { address, way, now: Mutex::new(Now { life, serving }), _reserved: reserved }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn life(&self) -> Life {
        self.now().life.clone()
    }

    /// What came so far; the next question is about what came after it.
    pub(crate) fn came(&self) -> Vec<Came> {
        std::mem::take(&mut *self.way.came.lock().expect("nothing panics while it is held"))
    }

    /// From now on every answer has the second text where it would have the first.
    pub(crate) fn answer_instead(&self, texts: impl IntoIterator<Item = (String, String)>) {
        *self.way.instead.lock().expect("nothing panics while it is held") = texts.into_iter().collect();
    }

    /// The next good answer to a submit does not arrive.
    pub(crate) fn lose_an_answer(&self) {
        *self.way.loses.lock().expect("nothing panics while it is held") = true;
    }

    /// It is gone, with its connections, until [`Upstream::come_back`].
    pub(crate) async fn go_away(&self) {
        let serving = self.now().serving.take();
        serving.expect("it is there").end().await;
    }

    pub(crate) async fn come_back(&self) {
        let listener = Listener::bind(self.address).await.expect("its port is its own");
        let mut now = self.now();
        now.serving = Some(Serving::begin(listener, &now.life, &self.way));
    }

    /// It comes back as one that has forgotten everything.
    pub(crate) async fn restart(&self) {
        self.go_away().await;
        self.now().life = Life::begin();
        self.come_back().await;
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().expect("nothing panics while it is held")
    }
}

impl Serving {
    fn begin(listener: Listener, life: &Life, way: &Arc<Way>) -> Self {
        let (stage, seen) = watch::channel(Stage::Serving);
        let connections = TaskTracker::new();
        let limits = HttpLimits::default();
        let permits = Arc::new(Semaphore::new(limits.max_connections));
        let shared = Shared { limits, permits, stage: seen, tasks: connections.clone() };
        let front = Front { service: life.house.service().clone(), way: way.clone() };
        let accepting = tokio::spawn(listener.serve(front, shared, Arc::new(Uncounted)));
        Self { stage, connections, accepting }
    }

    async fn end(self) {
        self.stage.send_replace(Stage::Ended);
        self.accepting.await.expect("accepting does not panic");
        self.connections.close();
        self.connections.wait().await;
    }
}

struct Uncounted;

impl ConnectionObserver for Uncounted {
    fn opened(&self) {}

    fn closed(&self) {}
}

/// What happens on the way.
#[derive(Default)]
struct Way {
    came: Mutex<Vec<Came>>,
    instead: Mutex<Vec<(String, String)>>,
    loses: Mutex<bool>,
}

impl Way {
    async fn pass(&self, service: ListenerService, request: Request<RequestStream>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let is_submit = head.method == Method::POST;
        let came = Came { method: head.method.clone(), body: body.clone() };
        self.came.lock().expect("nothing panics while it is held").push(came);
        let answer = service.answer(Request::from_parts(head, Body::full(body))).await;
        if is_submit && answer.status().is_success() && std::mem::take(&mut *self.loses.lock().expect("as above")) {
            let cut = stream::iter([Err(BodyError("lost on its way".into()))]);
            return Response::new(Body::stream(cut));
        }
        let (mut head, body) = answer.into_parts();
        let instead = self.instead.lock().expect("nothing panics while it is held").clone();
        if instead.is_empty() {
            return Response::from_parts(head, body);
        }
        let bytes = body.collect().await.expect("a proxy's own answer is whole").to_bytes();
        let text = String::from_utf8(bytes.into()).expect("answers of this house are text");
        let text = instead.iter().fold(text, |text, (from, to)| text.replace(from, to));
        head.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(head, Body::full(text))
    }
}

#[derive(Clone)]
struct Front {
    service: ListenerService,
    way: Arc<Way>,
}

impl Service<Request<RequestStream>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestStream>) -> Self::Future {
        let Self { service, way } = self.clone();
        Box::pin(async move { Ok(way.pass(service, request).await) })
    }
}
