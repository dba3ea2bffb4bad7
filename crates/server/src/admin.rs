//! The admin listener: is it alive, is it ready, what has it counted. For operators and their tools, never for clients.
//!
//! It changes nothing, but it tells what runs here; so a web page is kept out by the same rules as on the other listeners. A probe or a
//! scraper names a pod by its IP address, which no file can know before: where the listener is bound to all addresses, any IP address is a
//! good `Host`. A page can make a name of its own resolve to ours, but not an address.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use batchlingua_core::{Health, Ledger};
use batchlingua_router::{Access, Gateway};
use batchlingua_wire::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    listener::Stage,
    metrics::{self, Metrics},
};

/// A probe that gets no answer in time counts as a bad one; so a bad answer comes before that.
const PATIENCE: Duration = Duration::from_secs(2);

/// The service of the admin listener.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    gateway: Arc<Gateway>,
    ledger: Arc<dyn Ledger>,
    metrics: Arc<Metrics>,
    access: Access,
    any_ip: bool,
    /// Of the listeners that clients use.
    stage: watch::Receiver<Stage>,
}

impl Admin {
    /// For a listener at this address.
    pub fn new(
        gateway: Arc<Gateway>,
        ledger: Arc<dyn Ledger>,
        metrics: Arc<Metrics>,
        address: IpAddr,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        let access = Access { authenticated: false, hosts: vec![address.to_string()] };
        Self(Arc::new(Inner { gateway, ledger, metrics, access, any_ip: address.is_unspecified(), stage }))
    }
}

impl<B: Send + 'static> tower::Service<Request<B>> for Admin {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let admin = self.0.clone();
        Box::pin(async move {
            let (parts, _) = request.into_parts();
            let authority = parts.uri.authority().map(|authority| authority.as_str());
            Ok(match admin.check(&parts.headers, authority) {
                Ok(()) => admin.answer(&parts.method, parts.uri.path()).await,
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
        let checked = if self.any_ip && host.is_some_and(is_ip) {
            let mut headers = headers.clone();
            headers.remove(header::HOST);
            self.access.check(&headers, authority)
        } else {
            self.access.check(headers, authority)
        };
        checked.map_err(|error| error.message)
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        let known = ["/health/live", "/health/ready", "/metrics"];
        if !known.contains(&path) {
            return message_answer(StatusCode::NOT_FOUND, &format!("there is: {}", known.join(", ")));
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = message_answer(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/health/live" => json_answer(StatusCode::OK, &json!({ "status": "live" })),
            "/health/ready" => match self.ready().await {
                Ok(()) => json_answer(StatusCode::OK, &json!({ "status": "ready" })),
                Err(reason) => {
                    json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "reason": reason }))
                }
            },
            _ => self.metrics().await,
        }
    }

    async fn ready(&self) -> Result<(), String> {
        if *self.stage.borrow() != Stage::Serving {
            return Err("draining: the process is about to end".into());
        }
        tokio::time::timeout(PATIENCE, self.gateway.ready())
            .await
            .unwrap_or_else(|_| Err("ledger or backends did not answer in time".into()))
    }

    async fn metrics(&self) -> Response<Body> {
        let health = tokio::time::timeout(PATIENCE, self.ledger.health()).await;
        let page = self.metrics.render(matches!(health, Ok(Health::Good)));
        let mut response = Response::new(Body::full(page));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
        response
    }
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
