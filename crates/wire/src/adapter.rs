//! What an adapter offers, and its one row in the server's table.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{
    Backend, BackendName, BatchId, BatchRef, BatchSpec, Clock, Context, Credentials, DialectName, Error, Field,
    FieldClass, Log, LogBody, Mapping, Operation, Outcome, Project, Reply, Result,
};
use futures_util::{TryStreamExt, future::BoxFuture};
use http::{Response, StatusCode};

use crate::{Body, BodyError, ConfigError, Miss, RequestBody, RequestHead, Route, Settings};

/// A dialect as a server speaks it: sync, over bytes already read, so that a golden file can test it without a socket.
pub trait Dialect: Send + Sync + 'static {
    /// Its name, the same as its adapter's.
    fn name(&self) -> &DialectName;

    /// Every call that it serves.
    fn routes(&self) -> &'static [Route];

    /// Whether a path is this dialect's on a listener that serves several, even if no route fits it.
    fn claims(&self, head: &RequestHead) -> bool;

    /// Whether a method is the same in any case, as to some servlets; HTTP's own rule is that it is another one.
    fn folds_methods(&self) -> bool {
        false
    }

    /// The name of whoever shows none, where nobody has to.
    fn nobody(&self) -> &'static str {
        "anonymous"
    }

    /// What somebody else's batch is to a principal who is no administrator, as the product has it, once principals are authenticated.
    fn ownership(&self) -> Ownership;

    /// Whether clients that have proven who they are get a session that they may show instead: `RequestHead::session`.
    fn has_sessions(&self) -> bool {
        false
    }

    /// What the client shows to prove who it is. A signature covers the body.
    fn credentials(&self, head: &RequestHead, body: &RequestBody) -> Result<Option<Credentials>>;

    /// What must hold before the body is read, such as Livy's rule about `X-Requested-By`.
    fn admit(&self, head: &RequestHead) -> Result<(), Box<Response<Body>>> {
        let _ = head;
        Ok(())
    }

    /// The project that the request is about, by its path or query; whatever it names is looked for there.
    fn project(&self, head: &RequestHead) -> Option<Project> {
        let _ = head;
        None
    }

    /// The project that it shows for batches that have none, where a batch without one has no place in its shapes. Clients send it back, and
    /// find those batches by it whoever they are and whichever projects there are.
    fn unscoped_project(&self) -> Option<&str> {
        None
    }

    /// Every field of a submit in this dialect, and what it means in the model.
    fn fields(&self) -> &'static [WireField] {
        &[]
    }

    /// Whether this call is not answered here but passed on untouched to a backend of this dialect, where there is one for that
    /// (`[dialect.NAME] relay`): its body is then neither read nor decoded.
    fn is_relayed(&self, head: &RequestHead) -> bool {
        let _ = head;
        false
    }

    /// What a call that is passed on asks for, as far as rights are about it: a user, a queue. Asked again with the body where it is said there.
    fn relayed(&self, head: &RequestHead, body: Option<RequestBody>) -> Result<Relayed> {
        let _ = (head, body);
        Ok(Relayed::Nothing)
    }

    /// What it means that a backend of another dialect does not get this extension of a submit. `None`: nothing, since fields of the model
    /// say the same, or it says what holds anyway.
    fn loss_of(&self, extension: &str, spec: &BatchSpec) -> Option<FieldClass> {
        let _ = (extension, spec);
        Some(Field::Extension.class())
    }

    /// What the client asks. A fault that the product would report in words of its own carries them as `native`.
    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded>;

    /// The outcome in the client's words. Of a log that comes as a stream only the head is made: see [`encode_reply`].
    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body>;

    /// A failure in the client's words.
    fn encode_error(&self, head: &RequestHead, error: &Error) -> Response<Body>;

    /// No route fits.
    fn encode_miss(&self, head: &RequestHead, miss: &Miss) -> Response<Body>;

    /// What the product's container says of a head that it cannot take, for this reason in HTTP's words. `None`: nothing of its own.
    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        let _ = (status, reason);
        None
    }
}

/// The whole answer to a reply. A stream can be read once and a dialect only borrows it, so it becomes the body here: its bytes go to the
/// client as they are.
pub fn encode_reply(dialect: &dyn Dialect, head: &RequestHead, reply: Reply<BatchId>) -> Response<Body> {
    let answer = dialect.encode(head, &reply);
    match reply.outcome {
        Outcome::Log(_, Log { body: LogBody::Stream(stream), .. }) => {
            let (parts, _) = answer.into_parts();
            Response::from_parts(parts, Body::stream(stream.map_err(|error| BodyError(error.message))))
        }
        Outcome::Log(..) | Outcome::Submitted { .. } | Outcome::Batch(_) | Outcome::Page(_) => answer,
        Outcome::Controlled(_) => answer,
    }
}

/// What a principal who is no administrator may do with somebody else's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// See it and act on it: projects and queues are what keeps principals apart.
    Shared,
    /// See it; only who submitted it, or may run batches as its user, acts on it.
    ReadOnly,
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Decoded {
    /// An operation on batches.
    Operation(Operation<BatchRef>),
    /// A call that needs neither ledger nor backend, such as a version.
    Answer(Response<Body>),
    /// To be passed on untouched to a backend of this dialect; where there is none, this is the answer.
    Relay(Response<Body>),
}

/// What a call that is passed on asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// Nothing that rights are about.
    Nothing,
    /// Its body says it.
    InBody,
    /// This user, this queue, this conf.
    Asks(Box<BatchSpec>),
}

/// A field of a submit, as its dialect calls it.
#[derive(Clone, Copy, Debug)]
pub struct WireField {
    /// Its name there: of a member as it is, of others with what they are, such as `(query) doAs`, `(header) X`, `(form) part` and
    /// `conf: key`; `(other members)` are those that nobody knows.
    pub name: &'static str,
    /// What it is in the model.
    pub meaning: Meaning,
    /// What a reader of the documentation should know beside that; may be empty.
    pub note: &'static str,
}

/// What a field of a submit is in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// This field.
    Field(Field),
    /// Only its dialect knows it; a backend of another one does not get it, which means this. `None`: nothing is lost by that.
    Own(Option<FieldClass>),
    /// It says how the submit is to be taken, and is answered by the proxy itself.
    Proxy,
}

/// What a platform offers.
pub struct Platform {
    /// Batches.
    pub backend: Arc<dyn Backend>,
    /// Calls that are passed on untouched.
    pub relay: Option<Arc<dyn Relay>>,
}

impl Platform {
    /// One that passes nothing on.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, relay: None }
    }
}

/// Passes calls of its own dialect on, streamed both ways.
#[async_trait]
pub trait Relay: Send + Sync + 'static {
    /// The platform's answer. The response's headers are those that a client may see: hop headers are gone, its own addresses are the proxy's.
    async fn relay(&self, ctx: &Context, request: RelayRequest) -> Result<Response<Body>>;
}

/// A call that is passed on.
#[derive(Debug)]
pub struct RelayRequest {
    /// Its head, with everything that the client sent.
    pub head: Arc<RequestHead>,
    /// Its body as it comes.
    pub body: Body,
}

/// What a platform is opened with.
#[derive(Clone)]
pub struct OpenContext {
    /// Its name in the configuration.
    pub name: BackendName,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Opens a platform whose settings have been checked. Checking is apart from opening, so that `check` touches nothing.
pub type Opener = Box<dyn FnOnce(OpenContext) -> BoxFuture<'static, Result<Platform>> + Send>;

/// Makes a dialect from its settings.
pub type DialectMaker = fn(Settings) -> Result<Arc<dyn Dialect>, Vec<ConfigError>>;

/// Checks the settings of a platform.
pub type PlatformMaker = fn(Settings) -> Result<Opener, Vec<ConfigError>>;

/// One row of the server's table. A half that does not exist is `None`, never a stub.
pub struct Adapter {
    /// Its name: the `kind` of a backend, an entry of a listener's `dialects`.
    pub name: &'static str,
    /// Makes the dialect from `[dialect.<name>]`.
    pub dialect: Option<DialectMaker>,
    /// Checks `[backend.<any>]` of this kind.
    pub platform: Option<PlatformMaker>,
    /// What its platform makes of each field of a submit; of several, one for each way of running.
    pub mappings: &'static [&'static Mapping],
    /// Whether its platform's ids are integers that are counted anew at times, and that its clients hold ([`batchlingua_core::NativeIds`]).
    pub counts_ids: bool,
    /// Whether its platform takes calls that are passed on ([`Platform::relay`]).
    pub relays: bool,
    /// The least that `[backend.<any>]` of this kind needs beside `kind`, as TOML: the documentation and the tests open one by it.
    pub example: &'static str,
}
