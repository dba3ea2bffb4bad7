//! Between hyper and a listener's own service: what a connection has to know of its requests.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use tower::{Service, ServiceExt};

use super::activity::{Activity, InWork};

/// A service of one connection.
pub(super) struct ConnectionService<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S> ConnectionService<S> {
    pub(super) fn new(service: S, activity: Arc<Activity>) -> Self {
        Self { service, activity }
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

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_work = self.activity.begin();
        let activity = self.activity.clone();
        let service = self.service.clone();
        Box::pin(async move {
            let fault = host_fault(&request);
            let request = request.map(|body| RequestStream { body, activity: activity.clone(), ended: false });
            let mut response = match fault {
                Some(message) => refuse(request, message),
                None => service.oneshot(request).await?,
            };
            if activity.must_close() {
                // The client is told, before it sends its next request into a closed connection.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| AnswerStream { body, _in_work: in_work }))
        })
    }
}

/// RFC 9112, 3.2: exactly one `Host` in HTTP/1.1. Two that say different things are a way around rules that look at one of them.
fn host_fault<B>(request: &Request<B>) -> Option<&'static str> {
    match (request.headers().get_all(header::HOST).iter().count(), request.version()) {
        (1, _) => None,
        (0, Version::HTTP_11) => Some("the request has no Host header"),
        (0, _) => None,
        _ => Some("the request has several Host headers"),
    }
}

/// No dialect is asked: such a request does not come from a client of any.
fn refuse(request: Request<RequestStream>, message: &str) -> Response<Body> {
    drop(request);
    let mut response = Response::new(Body::full(serde_json::json!({ "message": message }).to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
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
