//! Between hyper and a listener's own service: what a connection has to know of its requests.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use batchlingua_router::Peer;
use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::{Service, ServiceExt};

use super::activity::{Activity, InWork};

/// What a listener says of a head that breaks HTTP's rules, for this reason, if it has words of its own.
pub type BadMessage = Arc<dyn Fn(StatusCode, &str) -> Option<Response<Body>> + Send + Sync>;

/// A service of one connection.
pub(super) struct ConnectionService<S> {
    speaker: Speaker<S>,
    activity: Arc<Activity>,
}

/// Who answers on a connection, and to whom.
pub(super) struct Speaker<S> {
    pub(super) service: S,
    pub(super) bad_message: BadMessage,
    pub(super) peer: SocketAddr,
}

impl<S> ConnectionService<S> {
    pub(super) fn new(speaker: Speaker<S>, activity: Arc<Activity>) -> Self {
        Self { speaker, activity }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for ConnectionService<S>
where
    S: Service<Request<RequestStream>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<AnswerStream>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_work = self.activity.begin();
        let activity = self.activity.clone();
        let service = self.speaker.service.clone();
        request.extensions_mut().insert(Peer(self.speaker.peer.ip()));
        let version = request.version();
        let refusal = host_fault(&request).map(|fault| {
            (self.speaker.bad_message)(StatusCode::BAD_REQUEST, fault.reason)
                .unwrap_or_else(|| in_neutral_words(fault.message))
        });
        Box::pin(async move {
            let request = request.map(|body| RequestStream { body, activity: activity.clone(), ended: false });
            let mut response = match refusal {
                Some(mut response) => {
                    drop(request);
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    response
                }
                None => service.oneshot(request).await?,
            };
            if activity.must_close() {
                // The client is told, before it sends its next request into a closed connection.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if version == Version::HTTP_10 && response.headers().get(header::CONNECTION).is_some_and(|it| it == "close")
            {
                // Of one that is marked as newer hyper says `keep-alive` beside `close` to who asked for that.
                *response.version_mut() = version;
            }
            Ok(response.map(|body| AnswerStream { body, _in_work: in_work }))
        })
    }
}

/// A head that breaks a rule: in the words of containers, and in ours.
struct HeadFault {
    reason: &'static str,
    message: &'static str,
}

/// RFC 9112, 3.2: exactly one `Host` in HTTP/1.1. Two that say different things are a way around rules that look at one of them.
fn host_fault<B>(request: &Request<B>) -> Option<HeadFault> {
    match (request.headers().get_all(header::HOST).iter().count(), request.version()) {
        (1, _) => None,
        (0, Version::HTTP_11) => Some(HeadFault { reason: "No Host", message: "the request has no Host header" }),
        (0, _) => None,
        _ => Some(HeadFault { reason: "Duplicate Host Header", message: "the request has several Host headers" }),
    }
}

fn in_neutral_words(message: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(serde_json::json!({ "message": message }).to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A request's body, which says so if it was left before its end.
#[derive(Debug)]
pub struct RequestStream {
    body: Incoming,
    activity: Arc<Activity>,
    /// A chunked body has no length that could tell.
    ended: bool,
}

impl hyper::body::Body for RequestStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended |= frame.is_none();
        Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        if !self.ended && !hyper::body::Body::is_end_stream(&self.body) {
            self.activity.leave_unread(hyper::body::Body::size_hint(&self.body).exact());
        }
    }
}

/// An answer's body: while it is there, its request is in work.
#[derive(Debug)]
pub(super) struct AnswerStream {
    body: Body,
    _in_work: InWork,
}

impl hyper::body::Body for AnswerStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
