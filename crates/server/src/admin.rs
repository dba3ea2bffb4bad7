//! The admin listener: is it alive, is it ready, what has it counted. For operators and their tools, never for clients.
//!
//! It changes nothing but the outcome of a submit that a person settles (`settle`), and it tells what runs here; so a web page is kept out by
//! the same rules as on the other listeners. A probe or a scraper names a pod by its IP address, which no file can know before: where the
//! listener is bound to all addresses, any IP address is a good `Host`. A page can make a name of its own resolve to ours, but not an address.
//!
//! It is served from the first moment on, so that a probe is told why a proxy that waits for its ledger is alive and not ready.

mod settle;

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use batchlingua_core::{Health, Ledger};
use batchlingua_router::{Access, BackendView, Gateway, OpenSubmit};
use batchlingua_wire::{Body, Query};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    explain::{self, Explainer, Wanted},
    listener::Stage,
    metrics::{self, Metrics},
};

/// A probe that gets no answer in time counts as a bad one; so a bad answer comes before that.
const PATIENCE: Duration = Duration::from_secs(2);
const EXPLAIN: &str = "/api/explain";
const OPEN: &str = "/api/submits/open";
const SETTLE: &str = "/api/submits/settle";
const BACKENDS: &str = "/api/backends";

/// The service of the admin listener.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    metrics: Arc<Metrics>,
    access: Access,
    address: IpAddr,
    /// Of the listeners that clients use.
    stage: watch::Receiver<Stage>,
    /// What the start waits for, and since when.
    waits_for: Mutex<Option<(Instant, String)>>,
    /// Once the proxy has begun.
    running: OnceLock<Running>,
}

/// What there is to be asked once a proxy has begun.
pub struct Running {
    /// The middle.
    pub gateway: Arc<Gateway>,
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// What `POST /api/explain` explains with.
    pub explaining: Explaining,
}

/// What `POST /api/explain` explains with.
pub struct Explaining {
    /// Knows the listeners.
    pub explainer: Explainer,
    /// Most bytes of a request that is explained.
    pub max: usize,
    /// How long it may take to come.
    pub within: Duration,
}

impl Admin {
    /// For a listener at this address, of a proxy that is about to begin.
    pub fn new(metrics: Arc<Metrics>, address: IpAddr, stage: watch::Receiver<Stage>) -> Self {
        let access = Access { authenticated: false, hosts: vec![address.to_string()] };
        let (waits_for, running) = (Mutex::default(), OnceLock::new());
        Self(Arc::new(Inner { metrics, access, address, stage, waits_for, running }))
    }

    /// The start waits for this.
    pub fn waits_for(&self, what: String) {
        let mut waits_for = self.0.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        let since = waits_for.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *waits_for = Some((since, what));
    }

    /// The proxy has begun.
    pub fn begins(&self, running: Running) {
        // A proxy begins once.
        let _ = self.0.running.set(running);
    }
}

impl<B> tower::Service<Request<B>> for Admin
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let admin = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let authority = parts.uri.authority().map(|authority| authority.as_str());
            Ok(match admin.check(&parts.headers, authority) {
                Ok(()) => match admin.running.get() {
                    Some(running) if parts.uri.path() == EXPLAIN => running.explain(&parts, body).await,
                    Some(running) if parts.uri.path() == SETTLE => admin.settle(running, &parts, body).await,
                    running => admin.answer(&parts.method, parts.uri.path(), running).await,
                },
                Err(message) => message_answer(StatusCode::FORBIDDEN, &message),
            })
        })
    }
}

impl Inner {
    fn check(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), String> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let is_ip = |host: &str| {
            host.parse::<http::uri::Authority>()
                .is_ok_and(|host| host.host().trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
        };
        let checked = if self.address.is_unspecified() && host.is_some_and(is_ip) {
            let mut headers = headers.clone();
            headers.remove(header::HOST);
            self.access.check(&headers, authority)
        } else {
            self.access.check(headers, authority)
        };
        checked.map_err(|error| error.message)
    }

    async fn answer(&self, method: &Method, path: &str, running: Option<&Running>) -> Response<Body> {
        let known = ["/health/live", "/health/ready", "/metrics", BACKENDS, OPEN, SETTLE, EXPLAIN];
        if !known.contains(&path) {
            return message_answer(StatusCode::NOT_FOUND, &format!("there is: {}", known.join(", ")));
        }
        if method != Method::GET && method != Method::HEAD {
            return method_not_allowed("only GET is served here", "GET, HEAD");
        }
        match (path, running) {
            ("/health/live", _) => json_answer(StatusCode::OK, &json!({ "status": "live" })),
            ("/health/ready", None) => not_ready(&self.starting()),
            ("/health/ready", Some(running)) => match self.ready(running).await {
                Ok(()) => json_answer(StatusCode::OK, &json!({ "status": "ready" })),
                Err(reason) => not_ready(&reason),
            },
            (_, None) => message_answer(StatusCode::SERVICE_UNAVAILABLE, &self.starting()),
            (BACKENDS, Some(running)) => json_answer(StatusCode::OK, &backends(&running.gateway.backends())),
            (OPEN, Some(running)) => running.open().await,
            (_, Some(running)) => self.metrics(running).await,
        }
    }

    /// Why nothing is served yet.
    fn starting(&self) -> String {
        match &*self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((since, what)) => format!("starting: waiting for {} s, {what}", since.elapsed().as_secs()),
            None => "starting".to_owned(),
        }
    }

    async fn ready(&self, running: &Running) -> Result<(), String> {
        if *self.stage.borrow() != Stage::Serving {
            return Err("draining: the process is about to end".into());
        }
        tokio::time::timeout(PATIENCE, running.gateway.ready())
            .await
            .unwrap_or_else(|_| Err("ledger or backends did not answer in time".into()))
    }

    async fn metrics(&self, running: &Running) -> Response<Body> {
        let health = tokio::time::timeout(PATIENCE, running.ledger.health()).await;
        let page = self.metrics.render(
            matches!(health, Ok(Health::Good)),
            &running.gateway.open_submits(),
            &running.gateway.backends(),
        );
        let mut response = Response::new(Body::full(page));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
        response
    }
}

impl Running {
    /// A request as it lies in a file is the body; `?listener=` and `?user=` as with the command.
    async fn explain<B>(&self, parts: &http::request::Parts, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        if parts.method != Method::POST {
            return method_not_allowed("post the request that is to be explained", "POST");
        }
        let Explaining { explainer, max, within } = &self.explaining;
        let bytes = match read(body, *max, &format!("{max} bytes (max_header + max_body)"), *within).await {
            Ok(bytes) => bytes,
            Err(refusal) => return refusal,
        };
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let given = |name: &str| query.get(name).map(str::to_owned);
        let wanted = Wanted { listener: given("listener"), user: given("user") };
        let pieces = Box::pin(stream::once(async { Ok(bytes) }));
        match explainer.explain(pieces, &wanted).await {
            Err(fault) => message_answer(StatusCode::BAD_REQUEST, &fault.to_string()),
            Ok(explained) if wants_text(&parts.headers) => {
                let mut response = Response::new(Body::full(explain::text(&explained)));
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Ok(explained) => json_answer(StatusCode::OK, &explain::json(&explained)),
        }
    }

    /// None is said only when there is none: what a past life has left counts, so the ledger must have been asked once.
    async fn open(&self) -> Response<Body> {
        match tokio::time::timeout(PATIENCE, self.gateway.open_submits_are_whole()).await {
            Ok(()) => json_answer(StatusCode::OK, &open_submits(&self.gateway.open_submits())),
            Err(_) => {
                let message = "the ledger has not been read yet: there may be open submits of this proxy's past life";
                message_answer(StatusCode::SERVICE_UNAVAILABLE, message)
            }
        }
    }
}

/// What an operator needs to find a submit on its platform, where its job would have the name that is told: times in ms since 1970.
fn open_submits(open: &[OpenSubmit]) -> Value {
    let shown = open.iter().map(|OpenSubmit { entry, whereabouts }| {
        json!({
            "id": entry.batch.id.uuid.to_string(),
            "ordinal": entry.batch.id.ordinal,
            "backend": entry.backend.as_str(),
            "dialect": entry.dialect.as_ref().map(|dialect| dialect.as_str()),
            "name": entry.batch.spec.name,
            "name_there": entry.wire_name(),
            "owner": entry.batch.owner.as_ref().map(|owner| &*owner.name),
            "created": entry.batch.times.created.0,
            "whereabouts": whereabouts.as_str(),
        })
    });
    json!({ "submits": shown.collect::<Vec<_>>() })
}

/// Which backends answer; for how long one has not, in seconds.
fn backends(views: &[BackendView]) -> Value {
    let shown = views.iter().map(|BackendView { name, circuit, away }| {
        json!({ "name": name.as_str(), "circuit": circuit.as_str(), "away_s": away.map(|away| away.as_secs()) })
    });
    json!({ "backends": shown.collect::<Vec<_>>() })
}

/// Who names text before JSON, or alone, is a person.
fn wants_text(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds =
        accepts.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or(kind).trim());
    kinds
        .find(|kind| matches!(*kind, "text/plain" | "text/*" | "application/json"))
        .is_some_and(|kind| kind != "application/json")
}

/// The body as a whole, or why it is not read to its end; `bound`: most of it, in words.
async fn read<B>(body: B, max: usize, bound: &str, within: Duration) -> Result<Bytes, Response<Body>>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    let (status, message) = match tokio::time::timeout(within, Box::pin(Limited::new(body, max).collect())).await {
        Ok(Ok(collected)) => return Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("a body of more than {bound} is not taken here"))
        }
        Ok(Err(_)) => (StatusCode::BAD_REQUEST, "the body cannot be read to its end".to_owned()),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body does not keep coming (body_read_timeout)".to_owned()),
    };
    Err(message_answer(status, &message))
}

fn method_not_allowed(message: &str, allowed: &'static str) -> Response<Body> {
    let mut response = message_answer(StatusCode::METHOD_NOT_ALLOWED, message);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

fn not_ready(reason: &str) -> Response<Body> {
    json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "reason": reason }))
}

fn message_answer(status: StatusCode, message: &str) -> Response<Body> {
    json_answer(status, &json!({ "message": message }))
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
