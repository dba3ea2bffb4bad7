//! Kyuubi's calls: which there are, what they ask, and how they are answered.
//!
//! What Jersey agrees on before Kyuubi's code comes first in each: the type of the body, the types that the client takes, the numbers of the
//! query. Outside `/api` a Kyuubi sends everybody to its web page; here that is a short one, and only where nothing else is served.

use std::sync::Arc;

use batchlingua_core::{
    Action, Batch, BatchId, BatchRef, BatchSpec, BatchState, Controlled, Credentials, Detail, DialectName, Effect,
    Error, ErrorKind, FieldClass, Lines, Log, LogBody, LogQuery, LogSource, Operation, Outcome, Page, Reply, Result,
    Selection, Submission, Uuid,
};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, EncodedRows, Miss, Ownership, RequestBody, RequestHead, Route, WireField,
    java::{bad_message, to_vec},
};
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::{
    FrontSettings, NAME,
    answer::{self, HTML, JSON, MediaType, TEXT},
    bind,
    convert::{self, Shown},
    credentials,
    cursors::Cursors,
    dto::{BatchInfo, CloseBatchResponse, Message, OperationLog, VersionInfo, WebUiConfig},
    error, fields, ids, instance, native, upload,
    window::{self, LogWindow},
};

/// Kyuubi as a server speaks it.
#[derive(Debug)]
pub(crate) struct KyuubiDialect {
    name: DialectName,
    settings: FrontSettings,
    /// Whether it is asked by clients that fail on members that they do not know.
    is_strict: bool,
    cursors: Cursors,
    /// By the instance that they name.
    rows: EncodedRows<Option<Arc<str>>>,
}

static ROUTES: [Route; 8] = [
    Route::new("list", Method::GET, "/api/v1/batches[/]", BodyKind::None),
    Route::new("submit", Method::POST, "/api/v1/batches[/]", BodyKind::FormOrBytes),
    Route::new("get", Method::GET, "/api/v1/batches/{id}[/]", BodyKind::None),
    Route::new("delete", Method::DELETE, "/api/v1/batches/{id}[/]", BodyKind::None),
    Route::new("log", Method::GET, "/api/v1/batches/{id}/localLog[/]", BodyKind::None),
    Route::new("ping", Method::GET, "/api/v1/ping[/]", BodyKind::None),
    Route::new("version", Method::GET, "/api/v1/version[/]", BodyKind::None),
    Route::new("webui_config", Method::GET, "/api/v1/webui/config[/]", BodyKind::None),
];

const UI: &str = "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>Batchlingua</title></head>\n<body>\n\
    <h1>Batchlingua</h1>\n<p>This address speaks Kyuubi's batch API: <code>/api/v1/batches</code>, <code>/api/v1/version</code>.</p>\n\
    <p>It is not a Kyuubi: what is submitted here runs where its operator decides.</p>\n</body>\n</html>\n";

impl KyuubiDialect {
    pub(crate) fn new(settings: FrontSettings) -> Self {
        let is_strict = settings.is_strict();
        Self {
            name: DialectName::from(NAME),
            settings,
            is_strict,
            cursors: Cursors::new(),
            rows: EncodedRows::default(),
        }
    }

    fn submit(&self, head: &RequestHead, body: RequestBody) -> Result<Submission> {
        let (request, files) = match body {
            RequestBody::Form(parts) => {
                let (request, files) = upload::read(parts, &self.settings)?;
                (Some(request), Some(files))
            }
            RequestBody::Bytes(bytes) => (bind::read(&bytes, self.settings.json_depth)?, None),
            RequestBody::Empty => (None, None),
        };
        let key = head.header("idempotency-key").filter(|key| !key.is_empty());
        convert::submission(request, files, key)
    }

    fn log(&self, head: &RequestHead) -> Result<Operation<BatchRef>> {
        let window = LogWindow::read(&head.target.query)?;
        let batch = batch_id(head)?;
        let from = window.from.unwrap_or_else(|| self.cursors.next(batch));
        let query = LogQuery { lines: Lines::From(from, window.size), source: LogSource::Default };
        Ok(Operation::Log(BatchRef::Uuid(batch), query))
    }

    /// A batch: in its Kyuubi's own words, where it runs on one.
    fn object(&self, head: &RequestHead, batch: &Batch<BatchId>, info: BatchInfo) -> Vec<u8> {
        let shown = Shown { instance: instance::of(&head.face), is_strict: self.is_strict, info };
        native::object(batch, &shown).unwrap_or_else(|| to_vec(&convert::object(batch, shown)))
    }

    fn encode_list(&self, head: &RequestHead, page: &Page<Arc<Batch<BatchId>>>) -> Response<Body> {
        // It was decoded from the same query, so it can be read.
        let from = window::list_from(&head.target.query).unwrap_or(0);
        // How many there are in all a Kyuubi does not say: the total is that of the page.
        let mut text = format!("{{\"from\":{from},\"total\":{},\"batches\":[", page.rows.len()).into_bytes();
        let instance: Option<Arc<str>> = instance::of(&head.face).map(Arc::from);
        for (at, batch) in page.rows.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            let row = || self.object(head, batch, BatchInfo::Nothing).into();
            text.extend_from_slice(&self.rows.text(batch, &instance, row));
        }
        text.extend_from_slice(b"]}");
        answer::json(head, StatusCode::OK, text)
    }

    fn encode_log(&self, head: &RequestHead, id: &BatchId, log: &Log) -> Response<Body> {
        // A stream is never asked for.
        let lines: &[String] = match &log.body {
            LogBody::Lines(lines) => lines,
            LogBody::Stream(_) => &[],
        };
        // A reader that looked past the end goes on at the end.
        let first = log.total.map_or(log.from, |total| log.from.min(total));
        self.cursors.moved(ids::parse(head.param(0)).unwrap_or(id.uuid), first + lines.len() as u64);
        answer::object(head, StatusCode::OK, &OperationLog { log_row_set: lines, row_count: lines.len() })
    }
}

impl Dialect for KyuubiDialect {
    fn name(&self) -> &DialectName {
        &self.name
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn claims(&self, head: &RequestHead) -> bool {
        is_api(head)
    }

    fn fields(&self) -> &'static [WireField] {
        &fields::FIELDS
    }

    fn loss_of(&self, extension: &str, _: &BatchSpec) -> Option<FieldClass> {
        fields::loss_of(extension)
    }

    fn ownership(&self) -> Ownership {
        Ownership::ReadOnly
    }

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        credentials::read(head)
    }

    fn admit(&self, head: &RequestHead) -> Result<(), Box<Response<Body>>> {
        match head.target.segments.iter().any(|segment| segment.contains('\0')) {
            true => Err(Box::new(bad_message(StatusCode::BAD_REQUEST, "Bad Request"))),
            false => Ok(()),
        }
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        if let Some(refused) = disagreement(head) {
            return Ok(Decoded::Answer(refused));
        }
        let operation = match head.route_name() {
            "submit" => Operation::Submit(Box::new(self.submit(head, body)?)),
            "list" => Operation::List(Box::new(window::list(&head.target.query)?)),
            "get" => Operation::Get(BatchRef::Uuid(batch_id(head)?), Detail::Summary),
            "log" => self.log(head)?,
            "delete" => Operation::Control(Selection::one(BatchRef::Uuid(batch_id(head)?)), Action::Cancel),
            "ping" => return Ok(Decoded::Answer(answer::plain(StatusCode::OK, TEXT, "pong"))),
            "version" => {
                let version = VersionInfo { version: &self.settings.version };
                return Ok(Decoded::Answer(answer::object(head, StatusCode::OK, &version)));
            }
            "webui_config" => {
                let config = WebUiConfig { engine_ui_proxy_enabled: false };
                return Ok(Decoded::Answer(answer::object(head, StatusCode::OK, &config)));
            }
            other => return Err(Error::internal(format!("no call is named {other:?}"))),
        };
        Ok(Decoded::Operation(operation))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        let batch = |batch, info| answer::json(head, StatusCode::OK, self.object(head, batch, info));
        match &reply.outcome {
            Outcome::Submitted { batch: known, replayed: true } => batch(known, BatchInfo::Duplicated),
            Outcome::Submitted { batch: new, replayed: false } => batch(new, BatchInfo::Nothing),
            Outcome::Batch(shown) => batch(shown, BatchInfo::Nothing),
            Outcome::Page(page) => self.encode_list(head, page),
            Outcome::Log(id, log) => self.encode_log(head, id, log),
            Outcome::Controlled(controlled) => match controlled.first() {
                Some(controlled) => encode_closed(head, controlled),
                None => of_status(head, StatusCode::NOT_FOUND),
            },
        }
    }

    fn encode_error(&self, head: &RequestHead, error: &Error) -> Response<Body> {
        error::encode(head, error)
    }

    fn encode_miss(&self, head: &RequestHead, miss: &Miss) -> Response<Body> {
        match miss {
            // A tunnel leads nowhere.
            _ if head.method == Method::CONNECT => answer::empty(head, StatusCode::NOT_IMPLEMENTED),
            _ if !is_api(head) => elsewhere(head),
            Miss::Path if head.face.single && head.target.segments.len() == 1 => redirect(head, "/api/"),
            Miss::Path => of_status(head, StatusCode::NOT_FOUND),
            Miss::Method(allowed) if head.method == Method::OPTIONS => options(head, allowed),
            // The one call at a place where an id could stand; it is not served here.
            Miss::Method(_) if is_reassign(head) => of_status(head, StatusCode::NOT_FOUND),
            Miss::Method(_) => of_status(head, StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        Some(bad_message(status, reason))
    }
}

/// What Jersey says before anything is read: of the type of the body, and of the types that the client takes.
fn disagreement(head: &RequestHead) -> Option<Response<Body>> {
    let media_type = MediaType::of(head);
    let is_taken = match (head.route_name(), media_type) {
        ("submit" | "list", MediaType::Broken) => return Some(error::bad_media_type(head)),
        ("submit", MediaType::Json | MediaType::Form) | ("list", MediaType::Json | MediaType::Unsaid) => true,
        ("submit" | "list", _) => false,
        _ => true,
    };
    let produced = if head.route_name() == "ping" { TEXT } else { JSON };
    match (is_taken, answer::accepts(head, produced)) {
        (false, _) => Some(of_status(head, StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        (true, false) => Some(of_status(head, StatusCode::NOT_ACCEPTABLE)),
        (true, true) => None,
    }
}

fn of_status(head: &RequestHead, status: StatusCode) -> Response<Body> {
    answer::object(head, status, &Message { message: &error::status_words(status) })
}

/// The id in the path.
fn batch_id(head: &RequestHead) -> Result<Uuid> {
    ids::parse(head.param(0)).ok_or_else(|| Error::no_batch(head.param(0)))
}

/// What became of a batch that was to be ended. Only who may not do it, or names nobody's batch, gets an error: `kyuubi-ctl` looks at the
/// batch when `success` is false.
fn encode_closed(head: &RequestHead, controlled: &Controlled<BatchId>) -> Response<Body> {
    let batch = controlled.id.uuid;
    let told = |success: bool, msg: &str| answer::object(head, StatusCode::OK, &CloseBatchResponse { success, msg });
    let failed = |error: &Error| told(false, &format!("Failed to terminate batch {batch}: {}", error.message));
    let terminal = || told(false, &format!("batch {batch} is already terminal so can not kill it."));
    match &controlled.result {
        Ok(Effect::Ended(BatchState::Cancelled)) => told(true, &killed(controlled)),
        // A Kyuubi tells all that it has stored of it here, conf and arguments included.
        Ok(Effect::AlreadyEnded(BatchState::Cancelled)) => {
            told(false, &format!("The batch[{batch}] has been terminated."))
        }
        // It came to another end before it could be killed.
        Ok(Effect::Ended(_) | Effect::AlreadyEnded(_) | Effect::NothingToDo) => terminal(),
        Ok(Effect::Accepted) => told(true, &format!("{}; its end is awaited", killed(controlled))),
        Err(error) => match &error.kind {
            ErrorKind::Forbidden(_) | ErrorKind::Unauthenticated(_) | ErrorKind::NotFound(_) => {
                error::encode(head, error)
            }
            ErrorKind::InvalidRequest { .. } | ErrorKind::Unsupported { .. } | ErrorKind::IllegalState { .. } => {
                failed(error)
            }
            ErrorKind::Conflict(_) | ErrorKind::TooLarge { .. } | ErrorKind::Throttled { .. } => failed(error),
            ErrorKind::BackendRejected | ErrorKind::BackendUnavailable { .. } | ErrorKind::BackendTimeout => {
                failed(error)
            }
            ErrorKind::Ambiguous { .. } | ErrorKind::Internal => failed(error),
        },
    }
}

/// Kyuubi's words about a kill that worked: the application, as its platform calls it, and the batch.
fn killed(controlled: &Controlled<BatchId>) -> String {
    let batch = controlled.id.uuid;
    match controlled.after.as_ref().and_then(|batch| batch.app.id.as_deref()) {
        Some(application) => format!("Succeeded to terminate: {application} with {batch}"),
        None => format!("Succeeded to terminate: batch {batch}"),
    }
}

fn is_api(head: &RequestHead) -> bool {
    head.target.segments.first().is_some_and(|first| first == "api")
}

fn is_reassign(head: &RequestHead) -> bool {
    head.method == Method::POST && head.target.segments.get(3).is_some_and(|segment| segment == "reassign")
}

/// What can be done with a path.
fn options(head: &RequestHead, methods: &[Method]) -> Response<Body> {
    // Jersey lists GET last, and HEAD with it first.
    let others = methods.iter().filter(|method| **method != Method::GET).map(Method::as_str);
    let get = methods.contains(&Method::GET);
    let names: Vec<&str> = get.then_some("HEAD").into_iter().chain(others).chain(get.then_some("GET")).collect();
    let wadl = "application/vnd.sun.wadl+xml";
    let mut response = match head.header("accept").is_some_and(|accept| accept.contains(wadl)) {
        true => answer::plain(StatusCode::OK, wadl, ""),
        false => answer::plain(StatusCode::OK, TEXT, format!("{}, OPTIONS", names.join(", "))),
    };
    if let Ok(allow) = HeaderValue::try_from(format!("{},OPTIONS", names.join(","))) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Outside the API: everybody is sent to the web page.
fn elsewhere(head: &RequestHead) -> Response<Body> {
    let segments: Vec<&str> = head.target.segments.iter().map(String::as_str).collect();
    match (&segments[..], &head.method) {
        (["ui", ""], &Method::GET | &Method::HEAD) => answer::plain(StatusCode::OK, HTML, UI),
        (["ui"], _) => redirect(head, "/ui/"),
        _ => redirect(head, "/ui"),
    }
}

fn redirect(head: &RequestHead, path: &str) -> Response<Body> {
    let (scheme, own) = head.face.public_url.split_once("://").unwrap_or(("http", ""));
    let host = head.header("host").unwrap_or(own);
    let mut response = answer::empty(head, StatusCode::FOUND);
    if let Ok(location) = HeaderValue::try_from(format!("{scheme}://{host}{}{path}", head.face.path_prefix)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
