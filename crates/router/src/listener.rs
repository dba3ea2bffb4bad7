//! The service of one listener: from a request's head to an answer in its client's words.
//!
//! Order matters, and this is it: a request id and the clock begin first, so that whatever happens is measured and can be found in the log;
//! the dialect is picked next, from the path alone, and from there on every failure is rendered by that dialect; what a browser was told to
//! send is refused before anything is read; then the bounded stack (shed load, limit concurrency, one deadline for all) reads, decodes and
//! runs the call.

use std::{
    convert::Infallible,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use batchlingua_core::{
    BatchId, BatchRef, Context, Credentials, DialectName, Error, ErrorKind, Notes, Operation, Principal, Reply,
    RequestId, Result,
};
use batchlingua_wire::{
    Body, BodyError, BodyKind, Decoded, Dialect, Face, Match, RequestBody, RequestHead, encode_reply, find,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, timeout::error::Elapsed,
    util::BoxCloneSyncService,
};

use crate::{Access, Gateway, RequestRecord, body, control, observer::dialect_word, submit, view};

const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID: usize = 128;
const SHED_RETRY: Duration = Duration::from_secs(1);

/// What a listener is made of.
#[derive(Clone, Debug)]
pub struct ListenerParts {
    /// What dialects know of it.
    pub face: Face,
    /// The dialects that it serves.
    pub dialects: Vec<DialectName>,
    /// Under which names, for whom.
    pub access: Access,
}

/// The service of one listener.
#[derive(Clone)]
pub struct ListenerService(Arc<Listener>);

struct Listener {
    gateway: Arc<Gateway>,
    face: Arc<Face>,
    dialects: Vec<Arc<dyn Dialect>>,
    access: Access,
    calls: BoxCloneSyncService<Call, Response<Body>, BoxError>,
    ids: RequestIds,
}

/// A request whose dialect and route are known.
struct Call {
    head: Arc<RequestHead>,
    dialect: Arc<dyn Dialect>,
    body: Body,
    operation: Arc<std::sync::OnceLock<&'static str>>,
}

impl ListenerService {
    pub(crate) fn new(gateway: Arc<Gateway>, parts: ListenerParts) -> Self {
        let dialects =
            gateway.dialects.iter().filter(|dialect| parts.dialects.contains(dialect.name())).cloned().collect();
        let limits = &gateway.limits;
        let calls = ServiceBuilder::new()
            // Outside the concurrency limit: a full proxy answers at once, in the client's words, instead of queueing without bound.
            .load_shed()
            .concurrency_limit(limits.max_in_flight)
            // One deadline for all that follows. What must not be cancelled by it runs in a task of its own.
            .timeout(limits.request_timeout)
            .service(Calls(gateway.clone()));
        let face = Arc::new(parts.face);
        let calls = BoxCloneSyncService::new(calls);
        Self(Arc::new(Listener { gateway, face, dialects, access: parts.access, calls, ids: RequestIds::new() }))
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let began = Instant::now();
        let listener = &self.0;
        let (parts, body) = request.into_parts();
        let id = listener.ids.of(&parts.headers);
        let mut trace = Trace { dialect: None, operation: Arc::default(), error: None };
        let mut response = match RequestHead::new(id.clone(), &parts, listener.face.clone()) {
            Some(head) => {
                listener.route(head, parts.uri.authority().map(|authority| authority.as_str()), body, &mut trace).await
            }
            None => plain(
                StatusCode::BAD_REQUEST,
                "the path has an escape that cannot be read, or lacks the listener's path_prefix",
            ),
        };
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        listener.gateway.observer.request(&RequestRecord {
            id: id.as_str(),
            listener: listener.face.listener.as_str(),
            dialect: dialect_word(trace.dialect.as_ref()),
            operation: trace.operation.get().copied().unwrap_or("unmatched"),
            status: response.status().as_u16(),
            duration: began.elapsed(),
            error: trace.error.as_ref(),
        });
        response
    }
}

impl<B> Service<Request<B>> for ListenerService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        async move { Ok(service.answer(request).await) }.boxed()
    }
}

/// What is known of a request when it has been answered.
struct Trace {
    dialect: Option<DialectName>,
    operation: Arc<std::sync::OnceLock<&'static str>>,
    error: Option<Error>,
}

impl Listener {
    async fn route<B>(
        &self,
        mut head: RequestHead,
        authority: Option<&str>,
        body: B,
        trace: &mut Trace,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let access = self.access.check(&head.headers, authority);
        let Some(dialect) = self.pick(&head) else {
            return match access {
                Ok(()) => self.no_dialect(&head),
                Err(error) => plain(StatusCode::FORBIDDEN, &error.message),
            };
        };
        trace.dialect = Some(dialect.name().clone());
        if let Err(error) = access {
            return self.fail(&dialect, &head, error, trace);
        }
        if let Err(response) = dialect.admit(&head) {
            return *response;
        }
        let kind = match find(dialect.routes(), &head) {
            Match::Route(route, params) => {
                // Overwritten by the operation's own name, once it is decoded.
                head.route = Some(route);
                head.params = params;
                route.body
            }
            Match::Miss(miss) => return dialect.encode_miss(&head, &miss),
        };
        let body = match kind {
            BodyKind::None => Body::empty(),
            BodyKind::Stream | BodyKind::Bytes | BodyKind::FormOrBytes => {
                Body::wrap(body.map_err(|error| BodyError(error.to_string())))
            }
        };
        let head = Arc::new(head);
        let call = Call { head: head.clone(), dialect: dialect.clone(), body, operation: trace.operation.clone() };
        match self.calls.clone().oneshot(call).await {
            Ok(response) => {
                let _ = trace.operation.set(head.route_name());
                response
            }
            Err(error) => {
                let _ = trace.operation.set(head.route_name());
                self.fail(&dialect, &head, as_error(error), trace)
            }
        }
    }

    fn pick(&self, head: &RequestHead) -> Option<Arc<dyn Dialect>> {
        match self.dialects.as_slice() {
            [only] if self.face.single => Some(only.clone()),
            several => several.iter().find(|dialect| dialect.claims(head)).cloned(),
        }
    }

    fn fail(&self, dialect: &Arc<dyn Dialect>, head: &RequestHead, error: Error, trace: &mut Trace) -> Response<Body> {
        let mut response = dialect.encode_error(head, &error);
        let headers = response.headers_mut();
        if let Some(after) = error.kind.retry_after() {
            headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(after.as_secs().max(1)));
        }
        if let ErrorKind::Ambiguous { id } = &error.kind {
            headers.insert("batchlingua-outcome", HeaderValue::from_static("unknown"));
            let id = HeaderValue::from_str(&id.uuid.to_string()).expect("a uuid is a header value");
            headers.entry("batchlingua-id").or_insert(id);
        }
        trace.error = Some(error);
        response
    }

    /// A path that no dialect has.
    fn no_dialect(&self, head: &RequestHead) -> Response<Body> {
        let is_root = head.target.segments.is_empty();
        match (is_root, &head.method) {
            (true, &Method::GET | &Method::HEAD) => self.root_page(),
            (true, _) => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here"),
            (false, _) => plain(StatusCode::NOT_FOUND, "no dialect that this listener serves has this path"),
        }
    }

    fn root_page(&self) -> Response<Body> {
        let names: Vec<_> = self.dialects.iter().map(|dialect| format!("<li>{}</li>", dialect.name())).collect();
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Batchlingua</title></head>\
             <body><h1>Batchlingua</h1><p>Batch jobs in several dialects. This listener serves:</p><ul>{}</ul></body></html>\n",
            names.concat()
        );
        let mut response = Response::new(Body::full(page));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8"));
        response
    }
}

fn as_error(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if error.is::<Overloaded>() => Error::new(
            ErrorKind::Throttled { retry_after: SHED_RETRY },
            "the proxy has too many requests in flight (max_in_flight); try again soon",
        ),
        Err(error) if error.is::<Elapsed>() => {
            Error::new(ErrorKind::BackendTimeout, "the request was not answered in time (request_timeout)")
                .caused_by(error)
        }
        Err(error) => Error::internal(error),
    }
}

/// An answer outside all dialects.
fn plain(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(format!("{{\"message\":\"{message}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Inside the stack: reads, decodes and runs.
#[derive(Clone)]
struct Calls(Arc<Gateway>);

impl Service<Call> for Calls {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let gateway = self.0.clone();
        async move { serve(&gateway, call).await.map_err(BoxError::from) }.boxed()
    }
}

async fn serve(gateway: &Arc<Gateway>, call: Call) -> Result<Response<Body>> {
    let Call { head, dialect, body, operation } = call;
    let kind = head.route.map_or(BodyKind::None, |route| route.body);
    let body = body::read(kind, &head.headers, body, &gateway.limits).await?;
    let credentials = dialect.credentials(&head, &body)?;
    let ctx = Context {
        request: head.id.clone(),
        dialect: dialect.name().clone(),
        listener: head.face.listener.clone(),
        principal: principal(credentials.as_ref()),
        caller: None,
        deadline: Instant::now() + gateway.limits.request_timeout,
    };
    let reread = body_bytes(&body);
    let reply = match dialect.decode(&head, body)? {
        Decoded::Answer(response) | Decoded::Relay(response) => return Ok(response),
        Decoded::Operation(asked) => {
            let _ = operation.set(asked.name());
            run(gateway, &ctx, asked, &reread).await?
        }
    };
    let notes = reply.notes.clone();
    let mut response = encode_reply(&*dialect, &head, reply);
    write_notes(&mut response, &notes);
    Ok(response)
}

async fn run(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    operation: Operation<BatchRef>,
    body: &Bytes,
) -> Result<Reply<BatchId>> {
    match operation {
        Operation::Submit(submission) => {
            // Hashed only where somebody will compare it.
            let fingerprint = if submission.key.is_some() { Sha256::digest(body).into() } else { [0; 32] };
            submit::submit(gateway, ctx, *submission, fingerprint).await
        }
        Operation::Get(wanted, detail) => view::get(gateway, ctx, &wanted, detail).await,
        Operation::List(query) => view::list(gateway, ctx, &query).await,
        Operation::Log(wanted, query) => view::log(gateway, ctx, &wanted, &query).await,
        Operation::Control(selection, action) => control::control(gateway, ctx, selection, action).await,
    }
}

/// Without authentication a Basic name is taken as the client gives it.
fn principal(credentials: Option<&Credentials>) -> Principal {
    match credentials {
        Some(Credentials::Basic { user, .. }) if !user.is_empty() => Principal::unverified(user.as_str()),
        Some(
            Credentials::Basic { .. } | Credentials::Bearer(_) | Credentials::Token(_) | Credentials::Signature { .. },
        )
        | None => Principal::anonymous(),
    }
}

fn body_bytes(body: &RequestBody) -> Bytes {
    match body {
        RequestBody::Bytes(bytes) => bytes.clone(),
        RequestBody::Empty | RequestBody::Form(_) => Bytes::new(),
    }
}

/// What a client is told beside the answer, once for all dialects.
fn write_notes(response: &mut Response<Body>, notes: &Notes) {
    let headers = response.headers_mut();
    if let Some(Ok(name)) = notes.backend.as_ref().map(|name| HeaderValue::from_str(name.as_str())) {
        headers.insert("batchlingua-backend", name);
    }
    if !notes.unmapped.is_empty() {
        let fields: Vec<_> = notes.unmapped.iter().map(ToString::to_string).collect();
        if let Ok(fields) = HeaderValue::from_str(&fields.join(", ")) {
            headers.insert("batchlingua-unmapped", fields);
        }
    }
    if let Some(seconds) = notes.stale_seconds {
        headers.insert(header::AGE, HeaderValue::from(seconds));
        headers.insert("batchlingua-stale", HeaderValue::from(seconds));
    }
}

/// Ids of requests: the client's own where it is fit to be shown, else one of ours.
struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let (prefix, ..) = batchlingua_core::Uuid::new_v4().as_fields();
        Self { prefix, next: AtomicU64::new(1) }
    }

    fn of(&self, headers: &http::HeaderMap) -> RequestId {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given
            .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic()))
        {
            Some(id) => RequestId::from(id),
            None => RequestId::from(format!("{:08x}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))),
        }
    }
}
