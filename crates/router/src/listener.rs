//! The service of one listener: from a request's head to an answer in its client's words.
//!
//! Order matters, and this is it: a request id and the clock begin first, so that whatever happens is measured and can be found in the log;
//! the dialect is picked next, from the path alone, and from there on every failure is rendered by that dialect; what a browser was told to
//! send is refused before anything is read; then, in a bounded number of places, it is asked who sends it, the body is read, and the call is
//! decoded and run (`door`). Where
//! everybody has to prove who he is, even "there is no such path" is not said to a stranger.

use std::{
    convert::Infallible,
    fmt::Display,
    net::IpAddr,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use batchlingua_core::{
    Authenticator, BatchId, BatchRef, Context, DialectName, Error, ErrorKind, Notes, Operation, Reply, Result,
};
use batchlingua_wire::{
    Body, BodyError, BodyKind, Decoded, Dialect, Face, Match, Miss, RelayRequest, Relayed, RequestBody, RequestHead,
    encode_reply, find,
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use tokio::time::{error::Elapsed, timeout_at};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

use crate::{
    Access, Gateway, RequestRecord,
    answer::{self, plain},
    body, control,
    door::{Beside, Door, Received, context, covers_body, receive},
    fingerprint::Fingerprint,
    logs,
    observer::dialect_word,
    request_id::{REQUEST_ID, RequestIds},
    shed::{Full, Held, Shed},
    spool::Spool,
    submit, view,
};

const SHED_RETRY: Duration = Duration::from_secs(1);

/// What a listener is made of.
#[derive(Clone)]
pub struct ListenerParts {
    /// What dialects know of it.
    pub face: Face,
    /// The dialects that it serves.
    pub dialects: Vec<DialectName>,
    /// Under which names.
    pub access: Access,
    /// For whom.
    pub auth: Arc<dyn Authenticator>,
    /// Whether a client's `X-Real-IP` is believed: something in front of this listener sets it.
    pub trust_real_ip: bool,
}

/// Where a request comes from: the connection puts it among the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The service of one listener.
#[derive(Clone)]
pub struct ListenerService(pub(crate) Arc<Listener>);

pub(crate) struct Listener {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) face: Arc<Face>,
    dialects: Vec<Arc<dyn Dialect>>,
    access: Access,
    pub(crate) auth: Arc<dyn Authenticator>,
    trust_real_ip: bool,
    calls: Shed<Calls>,
    pub(crate) ids: RequestIds,
}

/// A request that comes no further than its head.
pub(crate) enum Turned {
    /// This is the answer.
    Answer(Response<Body>),
    /// It is refused.
    Refused(Box<RequestHead>, Error),
}

/// A request that has come in, before it is known whose it is.
pub(crate) struct Entrance {
    pub(crate) head: RequestHead,
    /// What is read of its body.
    pub(crate) kind: BodyKind,
    /// No route fits, which only who is known is told.
    pub(crate) miss: Option<Miss>,
    /// It is passed on as it is.
    pub(crate) is_relayed: bool,
}

/// A request whose dialect and route are known.
struct Call {
    head: Arc<RequestHead>,
    dialect: Arc<dyn Dialect>,
    auth: Arc<dyn Authenticator>,
    /// What is read of its body.
    kind: BodyKind,
    body: Body,
    /// No route fits, which only who is known is told.
    miss: Option<Miss>,
    /// It is passed on as it is.
    is_relayed: bool,
    /// Where it comes from.
    peer: Option<IpAddr>,
    operation: Arc<std::sync::OnceLock<&'static str>>,
}

impl ListenerService {
    pub(crate) fn new(gateway: Arc<Gateway>, parts: ListenerParts) -> Self {
        let dialects =
            gateway.dialects.iter().filter(|dialect| parts.dialects.contains(dialect.name())).cloned().collect();
        let limits = &gateway.limits;
        let calls = ServiceBuilder::new()
            // Outermost: a full proxy answers at once, in the client's words, instead of queueing without bound.
            .layer_fn(|calls| Shed::new(calls, limits.max_in_flight))
            .service(Calls(gateway.clone()));
        let face = Arc::new(parts.face);
        Self(Arc::new(Listener {
            gateway,
            face,
            dialects,
            access: parts.access,
            auth: parts.auth,
            trust_real_ip: parts.trust_real_ip,
            calls,
            ids: RequestIds::new(),
        }))
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
            // Before anything is looked at: the client waits for a word about its body.
            Some(head) if has_other_expectation(&head) => self.bad_expectation(),
            Some(head) => {
                let peer = parts.extensions.get::<Peer>().copied();
                let authority = parts.uri.authority().map(|authority| authority.as_str());
                listener.route(head, authority, peer, body, &mut trace).await
            }
            None => self.bad_target(),
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

impl ListenerService {
    pub(crate) fn bad_expectation(&self) -> Response<Body> {
        self.bad_message(StatusCode::EXPECTATION_FAILED, None)
            .unwrap_or_else(|| plain(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected"))
    }

    pub(crate) fn bad_target(&self) -> Response<Body> {
        let words = "the path has an escape that cannot be read, or lacks the listener's path_prefix";
        self.bad_message(StatusCode::BAD_REQUEST, None).unwrap_or_else(|| plain(StatusCode::BAD_REQUEST, words))
    }

    /// What is said of a head that cannot be taken, if only one product can have been meant and it has words for it. Without a reason of
    /// its own it is the status's.
    pub fn bad_message(&self, status: StatusCode, reason: Option<&str>) -> Option<Response<Body>> {
        match self.0.dialects.as_slice() {
            [only] if self.0.face.single => {
                only.bad_message(status, reason.or(status.canonical_reason()).unwrap_or_default())
            }
            _ => None,
        }
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
        head: RequestHead,
        authority: Option<&str>,
        peer: Option<Peer>,
        body: B,
        trace: &mut Trace,
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Display,
    {
        let Some(dialect) = self.pick(&head) else { return self.strange(&head, authority) };
        trace.dialect = Some(dialect.name().clone());
        let Entrance { head, kind, miss, is_relayed } = match self.enter(&dialect, head, authority) {
            Ok(entrance) => entrance,
            Err(turned) => match *turned {
                Turned::Answer(response) => return response,
                Turned::Refused(head, error) => return self.fail(&dialect, &head, error, trace),
            },
        };
        let body = match kind {
            BodyKind::None => Body::empty(),
            BodyKind::Stream | BodyKind::Bytes | BodyKind::FormOrBytes => {
                Body::wrap(body.map_err(|error| BodyError(error.to_string())))
            }
        };
        let peer = match head.header("x-real-ip").and_then(|address| address.trim().parse().ok()) {
            Some(told) if self.trust_real_ip => Some(told),
            _ => peer.map(|Peer(address)| address),
        };
        let head = Arc::new(head);
        let (auth, operation) = (self.auth.clone(), trace.operation.clone());
        let call =
            Call { head: head.clone(), dialect: dialect.clone(), auth, kind, body, miss, is_relayed, peer, operation };
        let word = head.route.map_or("unmatched", |route| route.name);
        match self.calls.clone().oneshot(call).await {
            Ok(Held { answer, place }) => {
                let _ = trace.operation.set(word);
                match answer.streamed {
                    // A stream is a request in flight until it has been read or left.
                    true => answer.response.map(|body| Body::wrap(body.map_frame(move |frame| (frame, &place).0))),
                    false => answer.response,
                }
            }
            Err(error) => {
                let _ = trace.operation.set(word);
                self.fail(&dialect, &head, as_error(error), trace)
            }
        }
    }

    /// What is done before anything is read of a request but its head.
    pub(crate) fn enter(
        &self,
        dialect: &Arc<dyn Dialect>,
        mut head: RequestHead,
        authority: Option<&str>,
    ) -> Result<Entrance, Box<Turned>> {
        if dialect.folds_methods() {
            head.fold_method();
        }
        if let Err(error) = self.access.check(&head.headers, authority) {
            return Err(Box::new(Turned::Refused(Box::new(head), error)));
        }
        if let Err(response) = dialect.admit(&head) {
            return Err(Box::new(Turned::Answer(*response)));
        }
        let is_relayed = dialect.is_relayed(&head) && self.gateway.relays.contains_key(dialect.name());
        let (kind, miss) = match find(dialect.routes(), &head) {
            // The path is its backend's own to know.
            _ if is_relayed => (BodyKind::Stream, None),
            Match::Route(route, params) => {
                // Overwritten by the operation's own name, once it is decoded.
                head.route = Some(route);
                head.params = params;
                (route.body, None)
            }
            Match::Miss(miss) if !self.auth.is_required() => {
                return Err(Box::new(Turned::Answer(dialect.encode_miss(&head, &miss))));
            }
            // A signature covers the body, whatever the path.
            Match::Miss(miss) => (BodyKind::Bytes, Some(miss)),
        };
        Ok(Entrance { head, kind, miss, is_relayed })
    }

    pub(crate) fn pick(&self, head: &RequestHead) -> Option<Arc<dyn Dialect>> {
        match self.dialects.as_slice() {
            [only] if self.face.single => Some(only.clone()),
            several => several.iter().find(|dialect| dialect.claims(head)).cloned(),
        }
    }

    fn fail(&self, dialect: &Arc<dyn Dialect>, head: &RequestHead, error: Error, trace: &mut Trace) -> Response<Body> {
        let mut response = dialect.encode_error(head, &error);
        answer::write_error(&mut response, &error);
        trace.error = Some(error);
        response
    }

    /// What no dialect has.
    pub(crate) fn strange(&self, head: &RequestHead, authority: Option<&str>) -> Response<Body> {
        match self.access.check(&head.headers, authority) {
            Ok(()) => self.no_dialect(head),
            Err(error) => plain(StatusCode::FORBIDDEN, &error.message),
        }
    }

    /// A path that no dialect has.
    fn no_dialect(&self, head: &RequestHead) -> Response<Body> {
        let is_root = head.target.segments.is_empty();
        match (is_root, &head.method) {
            (true, &Method::GET | &Method::HEAD) => {
                answer::root_page(self.dialects.iter().map(|dialect| dialect.name()))
            }
            (true, _) => plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here"),
            (false, _) => plain(StatusCode::NOT_FOUND, "no dialect that this listener serves has this path"),
        }
    }
}

/// RFC 9110, 10.1.1: what else is expected cannot be met.
pub(crate) fn has_other_expectation(head: &RequestHead) -> bool {
    let met = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    head.version >= Version::HTTP_11 && !head.headers.get_all(header::EXPECT).iter().all(met)
}

fn as_error(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if error.is::<Full>() => Error::new(
            ErrorKind::Throttled { retry_after: SHED_RETRY },
            "the proxy has too many requests in flight (max_in_flight); try again soon",
        ),
        Err(error) => Error::internal(error),
    }
}

/// Inside the stack: reads, decodes and runs.
#[derive(Clone)]
struct Calls(Arc<Gateway>);

struct Answer {
    response: Response<Body>,
    streamed: bool,
}

impl Service<Call> for Calls {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let gateway = self.0.clone();
        async move { serve(&gateway, call).await.map_err(BoxError::from) }.boxed()
    }
}

async fn serve(gateway: &Arc<Gateway>, call: Call) -> Result<Answer> {
    let Call { head, dialect, auth, kind, body, miss, is_relayed, peer, operation } = call;
    let door = Door { gateway, auth: &*auth, dialect: &*dialect, head: &head };
    let shown = dialect.credentials(&head, &RequestBody::Empty);
    if is_relayed {
        let caller = gateway.caller(&shown);
        let identity = door.identify(shown).await?;
        let ctx = context(gateway, &dialect, &head, identity, Beside { caller, peer });
        return relay(gateway, &ctx, &*dialect, head, body).await;
    }
    let kind = if miss.is_some() && !covers_body(kind, &head, &shown) { BodyKind::None } else { kind };
    let Received { caller, identity, body, spool } = receive(&door, shown, kind, body).await?;
    if let Some(miss) = miss {
        return Ok(Answer { response: dialect.encode_miss(&head, &miss), streamed: false });
    }
    let ctx = context(gateway, &dialect, &head, identity, Beside { caller, peer });
    let deadline = tokio::time::Instant::from_std(ctx.deadline);
    gateway.check_project(&ctx, ctx.project.as_ref())?;
    let fingerprint = Fingerprint::of(&head, &body);
    let reply = match dialect.decode(&head, body)? {
        Decoded::Answer(response) | Decoded::Relay(response) => return Ok(Answer { response, streamed: false }),
        Decoded::Operation(asked) => {
            let _ = operation.set(asked.name());
            timeout_at(deadline, run(gateway, &ctx, &head, asked, fingerprint, spool)).await.map_err(late)??
        }
    };
    let (notes, streamed) = (reply.notes.clone(), answer::is_stream(&reply.outcome));
    let mut response = encode_reply(&*dialect, &head, reply);
    answer::write_notes(&mut response, &notes);
    Ok(Answer { response, streamed })
}

/// Passes a call on to the one backend that is there for that.
async fn relay(
    gateway: &Gateway,
    ctx: &Context,
    dialect: &dyn Dialect,
    head: Arc<RequestHead>,
    body: Body,
) -> Result<Answer> {
    let (backend, relay) = gateway.relays.get(dialect.name()).expect("only calls that have a relay come here");
    let body = permitted(gateway, ctx, dialect, &head, body).await?;
    let until = tokio::time::Instant::from_std(ctx.deadline);
    let mut response = timeout_at(until, relay.relay(ctx, RelayRequest { head, body })).await.map_err(late)??;
    answer::write_notes(&mut response, &Notes { backend: Some(backend.clone()), ..Notes::default() });
    Ok(Answer { response, streamed: true })
}

/// The body of a call that its sender may have passed on. It goes through unread where there is nothing that he may not ask for.
pub(crate) async fn permitted(
    gateway: &Gateway,
    ctx: &Context,
    dialect: &dyn Dialect,
    head: &RequestHead,
    body: Body,
) -> Result<Body> {
    let limits = &gateway.limits;
    let asks = match limits.scoping.is_open_to(ctx) {
        true => Relayed::Nothing,
        false => dialect.relayed(head, None)?,
    };
    let (asks, body) = match asks {
        Relayed::InBody => {
            let (read, _) = body::read(BodyKind::Bytes, &head.headers, body, limits).await?;
            let bytes = match &read {
                RequestBody::Bytes(bytes) => bytes.clone(),
                RequestBody::Empty | RequestBody::Form(_) => Bytes::new(),
            };
            (dialect.relayed(head, Some(read))?, Body::full(bytes))
        }
        asks => (asks, body::paced(body, limits)),
    };
    match asks {
        Relayed::Asks(spec) => limits.scoping.check_submit(ctx, None, &spec)?,
        Relayed::Nothing | Relayed::InBody => {}
    }
    Ok(body)
}

pub(crate) fn late(elapsed: Elapsed) -> Error {
    Error::new(ErrorKind::BackendTimeout, "the request was not answered in time (request_timeout)").caused_by(elapsed)
}

/// A poll is what there is most of, so only its future lies within the request's own; what the others need would be moved about with it.
async fn run(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    head: &RequestHead,
    operation: Operation<BatchRef>,
    fingerprint: Fingerprint,
    spool: Spool,
) -> Result<Reply<BatchId>> {
    match operation {
        Operation::Submit(submission) => {
            // Made only where somebody will compare it.
            let fingerprint = if submission.key.is_some() { fingerprint.digest(ctx).await? } else { [0; 32] };
            submit::submit(gateway, ctx, &head.headers, *submission, fingerprint, spool).boxed().await
        }
        Operation::Get(wanted, detail) => view::get(gateway, ctx, &wanted, detail).await,
        Operation::List(query) => view::list(gateway, ctx, &query).boxed().await,
        Operation::Log(wanted, query) => logs::log(gateway, ctx, &wanted, &query).boxed().await,
        Operation::Control(selection, action) => control::control(gateway, ctx, selection, action).boxed().await,
    }
}
