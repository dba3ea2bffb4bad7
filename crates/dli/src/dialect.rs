//! DLI's six calls: what they ask, and how they are answered.
//!
//! The project in the path is what a call is about; a header that names another one is refused. No answer sends a client elsewhere and no
//! failure has a good status, since Huawei's SDK takes both for a success without fields.

use std::sync::Arc;

use batchlingua_core::{
    Action, Batch, BatchId, BatchRef, BatchSpec, Clock, Controlled, Credentials, Denial, Detail, DialectName, Effect,
    Error, ErrorKind, FieldClass, Log, LogBody, LogSource, Missing, Operation, Outcome, Page, Project, Reply, Result,
    Selection, Submission, Uuid,
};
use batchlingua_wire::{
    Body, BodyKind, Coding, Decoded, Dialect, EncodedRows, Miss, Ownership, RequestBody, RequestHead, Route, WireField,
    decode_body,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::{
    FrontSettings, NAME, answer, bind,
    convert::{self, Beside, View},
    credentials,
    dto::{LogObject, Msg, StateObject},
    error,
    fields::{self, FIELDS},
    names, query, row, shown, state,
};

/// DLI as a server speaks it.
pub(crate) struct DliDialect {
    name: DialectName,
    settings: FrontSettings,
    /// How long a batch has run by now is told in lists.
    clock: Arc<dyn Clock>,
    rows: EncodedRows<()>,
}

const ROUTES: &[Route] = &[
    Route::new("create", Method::POST, "/v2.0/{project_id}/batches", BodyKind::Bytes),
    Route::new("list", Method::GET, "/v2.0/{project_id}/batches", BodyKind::None),
    Route::new("get", Method::GET, "/v2.0/{project_id}/batches/{batch_id}", BodyKind::None),
    Route::new("cancel", Method::DELETE, "/v2.0/{project_id}/batches/{batch_id}", BodyKind::None),
    Route::new("state", Method::GET, "/v2.0/{project_id}/batches/{batch_id}/state", BodyKind::None),
    Route::new("log", Method::GET, "/v2.0/{project_id}/batches/{batch_id}/log", BodyKind::None),
];

impl DliDialect {
    pub(crate) fn new(settings: FrontSettings, clock: Arc<dyn Clock>) -> Self {
        Self { name: DialectName::from(NAME), settings, clock, rows: EncodedRows::default() }
    }

    fn create(&self, head: &RequestHead, project: Project, body: RequestBody) -> Result<Submission> {
        let body = self.body(head, body)?;
        let key = head.idempotency_key();
        let default_queue = self.settings.default_queue.as_deref();
        let beside = Beside { project: Some(project), key, default_queue };
        convert::submission(bind::read(&body, self.settings.json_depth)?, beside)
    }

    /// The body, unpacked. What type it says it has makes no difference: it is JSON or nothing.
    fn body(&self, head: &RequestHead, body: RequestBody) -> Result<Bytes> {
        let max = self.settings.max_body;
        let bytes = match body {
            RequestBody::Bytes(bytes) => bytes,
            RequestBody::Empty | RequestBody::Form(_) => Bytes::new(),
        };
        let unpacked = match head.header("content-encoding").and_then(Coding::of) {
            None => Some(bytes).filter(|bytes| bytes.len() <= max),
            Some(coding) => decode_body(coding, &bytes, max).map_err(|fault| {
                let said = coding.as_str();
                let message = format!("the body is not what Content-Encoding says: {said}");
                Error::invalid("Content-Encoding", message).caused_by(fault)
            })?,
        };
        unpacked.ok_or_else(|| {
            let kind = ErrorKind::TooLarge { limit: "max_body", max: max as u64 };
            Error::new(kind, format!("the body has more than {max} bytes (max_body)"))
        })
    }

    fn encode_list(&self, head: &RequestHead, page: &Page<Arc<Batch<BatchId>>>) -> Response<Body> {
        // It was decoded from the same query, so it can be read.
        let from = query::window(&head.target.query).map_or(0, |window| window.from);
        let total = page.total.unwrap_or(from + page.rows.len() as u64);
        let mut text = format!("{{\"from\":{from},\"total\":{total},\"sessions\":[").into_bytes();
        let now = self.clock.now();
        for (at, batch) in page.rows.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            row::write(&mut text, &self.rows.text(batch, &(), || row::encode(batch)), batch, now);
        }
        text.extend_from_slice(b"]}");
        answer::json(200, text)
    }
}

impl Dialect for DliDialect {
    fn name(&self) -> &DialectName {
        &self.name
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn claims(&self, head: &RequestHead) -> bool {
        head.target.segments.first().is_some_and(|first| first == "v2.0")
    }

    /// Projects keep principals apart; within one everybody sees and cancels everything.
    fn ownership(&self) -> Ownership {
        Ownership::Shared
    }

    fn credentials(&self, head: &RequestHead, body: &RequestBody) -> Result<Option<Credentials>> {
        credentials::shown(head, body)
    }

    fn project(&self, head: &RequestHead) -> Option<Project> {
        let written = head.param(0);
        names::is_project(written).then(|| Project::from(written))
    }

    fn fields(&self) -> &'static [WireField] {
        &FIELDS
    }

    fn loss_of(&self, extension: &str, spec: &BatchSpec) -> Option<FieldClass> {
        fields::loss_of(extension, spec)
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let project = self.project(head).ok_or_else(|| {
            let message = "the project in the path must be a project's id: 1 to 64 letters and digits";
            Error::invalid("project_id", message)
        })?;
        check_project_header(head, &project)?;
        let operation = match head.route_name() {
            "create" => Operation::Submit(Box::new(self.create(head, project, body)?)),
            "list" => Operation::List(Box::new(query::list(&head.target.query)?)),
            "state" => Operation::Get(batch_ref(head)?, Detail::State),
            "log" => Operation::Log(batch_ref(head)?, query::log(&head.target.query)?),
            "cancel" => Operation::Control(Selection::one(batch_ref(head)?), Action::Cancel),
            _ => Operation::Get(batch_ref(head)?, Detail::Summary),
        };
        Ok(Decoded::Operation(operation))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        match &reply.outcome {
            Outcome::Submitted { batch, .. } => encode_batch(batch, View::Created),
            Outcome::Batch(batch) if head.route_name() == "state" => {
                answer::object(200, &StateObject { id: batch.id.uuid.to_string(), state: shown::word(batch) })
            }
            Outcome::Batch(batch) => encode_batch(batch, View::Shown),
            Outcome::Page(page) => self.encode_list(head, page),
            Outcome::Log(id, log) => encode_log(id.uuid, log),
            Outcome::Controlled(controlled) => encode_cancel(head, controlled),
        }
    }

    fn encode_error(&self, head: &RequestHead, error: &Error) -> Response<Body> {
        match (&error.kind, names::batch_id(head.param(1))) {
            // Every batch has a log of its submission, if only an empty one.
            (ErrorKind::NotFound(Missing::Log), Some(id)) if asks_for_submission_log(head) => {
                encode_log(id, &Log::page(0, 0, Vec::new()))
            }
            _ => error::encode(head, error),
        }
    }

    fn encode_miss(&self, head: &RequestHead, miss: &Miss) -> Response<Body> {
        let no_api = |message: &str| answer::error(error::NO_API, message, Some(head.id.as_str()));
        match miss {
            Miss::Path => no_api("The API does not exist: no call of DLI's batches has this path"),
            // Of a call with another method the gateway knows as little; what there is can be told all the same.
            Miss::Method(allowed) => {
                let names = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                let mut response = no_api(&format!("The API does not exist: this path is served for {names} only"));
                if let Ok(names) = HeaderValue::from_str(&names) {
                    response.headers_mut().insert(header::ALLOW, names);
                }
                response
            }
        }
    }

    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        let code = match status {
            StatusCode::URI_TOO_LONG | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                error::too_long(status.as_u16())
            }
            _ => answer::Code { status: status.as_u16(), ..error::MALFORMED },
        };
        Some(answer::error(code, reason, None))
    }
}

fn encode_batch(batch: &Batch<BatchId>, view: View) -> Response<Body> {
    match shown::object(batch) {
        Some(native) => answer::json(shown::status(batch, view), native),
        None => answer::object(200, &convert::object(batch, view)),
    }
}

fn encode_log(id: Uuid, log: &Log) -> Response<Body> {
    if let Some(native) = shown::log(id, log) {
        return answer::json(200, native);
    }
    // A stream is never asked for.
    let lines: &[String] = match &log.body {
        LogBody::Lines(lines) => lines,
        LogBody::Stream(_) => &[],
    };
    let total = log.total.unwrap_or(log.from + lines.len() as u64);
    answer::object(200, &LogObject { id: id.to_string(), from: log.from, total, log: lines })
}

fn encode_cancel(head: &RequestHead, controlled: &[Controlled<BatchId>]) -> Response<Body> {
    match controlled.first().map(|controlled| &controlled.result) {
        Some(Ok(Effect::Accepted | Effect::Ended(_) | Effect::NothingToDo)) => {
            answer::object(200, &Msg { msg: "deleted" })
        }
        Some(Ok(Effect::AlreadyEnded(state))) => {
            let message = format!("the batch has ended already ({}) and cannot be cancelled", state::word(*state));
            answer::error(error::NOT_SUPPORTED, &message, Some(head.id.as_str()))
        }
        Some(Err(error)) => error::encode(head, error),
        None => error::encode(head, &Error::no_batch(head.param(1))),
    }
}

/// The path is what counts, and what every signature covers. A header that says otherwise is a mistake that is better told.
fn check_project_header(head: &RequestHead, project: &Project) -> Result<()> {
    let same = |value: &HeaderValue| value.is_empty() || value.as_bytes() == project.as_str().as_bytes();
    if head.headers.get_all("x-project-id").iter().all(same) {
        return Ok(());
    }
    let message = "X-Project-Id names another project than the path: they must be the same";
    Err(Error::new(ErrorKind::Forbidden(Denial::Project(project.as_str().to_owned())), message))
}

fn batch_ref(head: &RequestHead) -> Result<BatchRef> {
    let id = names::batch_id(head.param(1)).map(BatchRef::Uuid);
    id.ok_or_else(|| Error::invalid("batch_id", "the batch's id in the path must be a uuid of 36 characters"))
}

fn asks_for_submission_log(head: &RequestHead) -> bool {
    head.route_name() == "log" && query::log(&head.target.query).is_ok_and(|query| query.source == LogSource::Default)
}
