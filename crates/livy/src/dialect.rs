//! Livy's calls: which there are, what they ask, and how they are answered.
//!
//! Every call stands at the root, where a submit is answered 201, and under `/livy`, where HDInsight answers 200.
//! Before any call Livy's filters and its servlets' own look at the head: the CSRF rule, then the API version in
//! `Accept`.

use std::sync::Arc;

use batchlingua_core::{
    Action, Batch, BatchId, BatchRef, BatchSpec, Conf, Controlled, Credentials, Detail, DialectName, Error, ErrorKind,
    Log, LogBody, LogQuery, LogSource, Missing, Operation, Outcome, Page, Reply, Result, Selection, Submission,
    Unproven, Uuid,
};
use batchlingua_wire::{
    Body, BodyKind, Coding, Decoded, Dialect, EncodedRows, Miss, Ownership, Relayed, RequestBody, RequestHead, Route,
    WireField, basic_credentials, decode_body,
    java::{bad_message, is_all_digits, parse_int, to_vec},
};
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};

use crate::{
    FrontSettings, NAME,
    answer::{self, HTML, JSON, Servlet},
    bind,
    convert::{self, Beside},
    dto::{FIELDS, LogObject, Nullable, StateObject, VersionObject, session_list},
    error, relay,
    session::{self, CreateSession},
    shown,
    window::{self, LogWindow},
};

/// Livy as a server speaks it.
#[derive(Debug)]
pub(crate) struct LivyDialect {
    name: DialectName,
    settings: FrontSettings,
    rows: EncodedRows<()>,
}

/// Each call at the root and under `/livy`.
macro_rules! routes {
    ($($name:literal $method:ident $path:literal $body:ident;)*) => {
        &[
            Route::new("root", Method::GET, "/", BodyKind::None),
            Route::new("ui", Method::GET, "/ui[/]", BodyKind::None),
            $(
                Route::new($name, Method::$method, $path, BodyKind::$body),
                Route::new($name, Method::$method, concat!("/livy", $path), BodyKind::$body),
            )*
        ]
    };
}

const ROUTES: &[Route] = routes! {
    "version" GET "/version[/]" None;
    "list" GET "/batches[/]" None;
    "submit" POST "/batches[/]" Bytes;
    "get" GET "/batches/{id}" None;
    "delete" DELETE "/batches/{id}" None;
    "state" GET "/batches/{id}/state" None;
    "log" GET "/batches/{id}/log" None;
    "sessions" GET "/sessions[/]" None;
    "session_create" POST "/sessions[/]" Bytes;
    "session_get" GET "/sessions/{id}" None;
    "session_delete" DELETE "/sessions/{id}" None;
    "session_state" GET "/sessions/{id}/state" None;
    "session_log" GET "/sessions/{id}/log" None;
    "session_stop" POST "/sessions/{id}/stop" Bytes;
    "session_interrupt" POST "/sessions/{id}/interrupt" Bytes;
    "session_connect" POST "/sessions/{id}/connect" Bytes;
    "session_complete" POST "/sessions/{id}/completion" Bytes;
    "statements" GET "/sessions/{id}/statements" None;
    "statement_run" POST "/sessions/{id}/statements" Bytes;
    "statement_get" GET "/sessions/{id}/statements/{statement}" None;
    "statement_cancel" POST "/sessions/{id}/statements/{statement}/cancel" Bytes;
    "job_submit" POST "/sessions/{id}/submit-job" Bytes;
    "job_run" POST "/sessions/{id}/run-job" Bytes;
    "job_get" GET "/sessions/{id}/jobs/{job}" None;
    "job_cancel" POST "/sessions/{id}/jobs/{job}/cancel" Bytes;
    "upload_jar" POST "/sessions/{id}/upload-jar" Bytes;
    "upload_pyfile" POST "/sessions/{id}/upload-pyfile" Bytes;
    "upload_file" POST "/sessions/{id}/upload-file" Bytes;
    "add_jar" POST "/sessions/{id}/add-jar" Bytes;
    "add_pyfile" POST "/sessions/{id}/add-pyfile" Bytes;
    "add_file" POST "/sessions/{id}/add-file" Bytes;
};

const NO_SESSIONS: &str = "Rejected, Reason: interactive sessions need a Livy backend, and this proxy has none: \
    submit a batch to /batches instead.";

const UI: &str = "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>Batchlingua</title></head>\n<body>\n\
    <h1>Batchlingua</h1>\n<p>This address speaks Livy's batch API: <code>/batches</code>, <code>/version</code>.</p>\n\
    <p>It is not a Livy: what is submitted here runs where its operator decides.</p>\n</body>\n</html>\n";

impl LivyDialect {
    pub(crate) fn new(settings: FrontSettings) -> Self {
        Self { name: DialectName::from(NAME), settings, rows: EncodedRows::default() }
    }

    fn version(&self, head: &RequestHead) -> Response<Body> {
        const UNKNOWN: &str = "<unknown>";
        let version = VersionObject {
            url: env!("CARGO_PKG_REPOSITORY"),
            branch: UNKNOWN,
            revision: UNKNOWN,
            version: &self.settings.version,
            date: UNKNOWN,
            user: "batchlingua",
        };
        answer::object(head, 200, &version)
    }

    fn submit(&self, head: &RequestHead, body: RequestBody) -> Result<Submission> {
        let body = self.body(head, body)?;
        let key = head.idempotency_key();
        let do_as = head.target.query.get("doAs");
        let beside = Beside { do_as, key, unique_name: self.settings.unique_names };
        convert::submission(bind::read(&body, self.settings.json_depth)?, beside)
    }

    fn check_session(&self, head: &RequestHead, body: RequestBody) -> Result<()> {
        let body = self.body(head, body)?;
        let asked: Option<CreateSession> = bind::read(&body, self.settings.json_depth)?;
        asked.as_ref().map_or(Ok(()), session::check)
    }

    /// The body as the JSON reader of Livy gets it.
    fn body(&self, head: &RequestHead, body: RequestBody) -> Result<Bytes> {
        let bytes = match body {
            RequestBody::Bytes(bytes) => bytes,
            RequestBody::Empty | RequestBody::Form(_) => return Ok(Bytes::new()),
        };
        let bytes = match head.header("content-encoding").and_then(Coding::of) {
            Some(coding) => self.unpacked(coding, bytes)?,
            None => bytes,
        };
        let content_type = head.header("content-type").unwrap_or_default();
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        match kind.trim().to_ascii_lowercase().as_str() {
            // The container reads forms as parameters, and nothing is left for JSON.
            "application/x-www-form-urlencoded" => Ok(Bytes::new()),
            "multipart/form-data" if is_multipart(parameters, &bytes) => Ok(Bytes::new()),
            "multipart/form-data" => Err(error::thrown_page(
                "Content-Type",
                "the body is no form: send JSON as application/json",
                "org.eclipse.jetty.io.RuntimeIOException: java.io.IOException: Missing initial multi part boundary",
            )),
            _ => Ok(bytes),
        }
    }

    fn unpacked(&self, coding: Coding, bytes: Bytes) -> Result<Bytes> {
        let max = self.settings.max_body;
        match decode_body(coding, &bytes, max) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let kind = ErrorKind::TooLarge { limit: "max_body", max: max as u64 };
                Err(Error::new(kind, format!("the unpacked body has more than {max} bytes (max_body)")))
            }
            Err(fault) => {
                let exception = match coding {
                    _ if bytes.is_empty() => "java.io.EOFException".to_owned(),
                    Coding::Gzip if !bytes.starts_with(b"\x1f\x8b") => {
                        "java.util.zip.ZipException: Not in GZIP format".to_owned()
                    }
                    _ if fault.kind() == std::io::ErrorKind::UnexpectedEof => {
                        "java.io.EOFException: Unexpected end of ZLIB input stream".to_owned()
                    }
                    Coding::Gzip => format!("java.util.zip.ZipException: {fault}"),
                    Coding::Deflate => "java.util.zip.ZipException: incorrect header check".to_owned(),
                };
                let message = format!("the body is not what Content-Encoding says: {}", coding.as_str());
                Err(error::thrown("Content-Encoding", message, &exception))
            }
        }
    }

    /// What a Livy says of a batch that runs there goes on as it is.
    fn object(&self, batch: &Batch<BatchId>) -> Bytes {
        shown::object(batch).unwrap_or_else(|| to_vec(&convert::object(batch, self.settings.log_lines)).into())
    }

    fn encode_list(&self, head: &RequestHead, page: &Page<Arc<Batch<BatchId>>>) -> Response<Body> {
        // It was decoded from the same query, so it can be read.
        let from = window::list(&head.target.query).map_or(0, |(from, _)| from);
        let text = |batch: &Arc<Batch<BatchId>>| self.rows.text(batch, &(), || self.object(batch));
        let sessions: Vec<_> = page.rows.iter().map(text).collect();
        let total = page.total.unwrap_or(sessions.len() as u64);
        answer::servlet(head, 200, JSON, session_list(from, total, &sessions))
    }

    fn encode_log(&self, head: &RequestHead, id: &BatchId, log: &Log) -> Response<Body> {
        let window = match LogWindow::read(&head.target.query) {
            Ok(window) => window,
            Err(error) => return error::encode(head, &error),
        };
        if let Some(page) = shown::log(id, log, window) {
            return answer::servlet(head, 200, JSON, page);
        }
        // A stream is never asked for.
        let lines: &[String] = match &log.body {
            LogBody::Lines(lines) => lines,
            LogBody::Stream(_) => &[],
        };
        // A platform may show a log's end without counting it.
        let total = log.total.unwrap_or(log.from + lines.len() as u64);
        let page = window.cut(self.settings.log_lines, log.from, total, lines);
        answer::object(head, 200, &LogObject { id: id.ordinal, from: page.from, total: page.total, log: page.lines })
    }
}

impl Dialect for LivyDialect {
    fn name(&self) -> &DialectName {
        &self.name
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn claims(&self, head: &RequestHead) -> bool {
        let own = |segment: &str| matches!(segment, "batches" | "sessions" | "version");
        match &head.target.segments[..] {
            [livy, second, ..] if livy == "livy" => own(second),
            [first, ..] => own(first),
            [] => false,
        }
    }

    fn folds_methods(&self) -> bool {
        true
    }

    fn ownership(&self) -> Ownership {
        Ownership::Shared
    }

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        let shown = basic_credentials(&head.headers);
        // Livy's filter, where there is one, fails over a Basic header that it cannot read; another scheme is none to it.
        let is_basic = |value: &str| value.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
        if shown.is_none() && head.face.authenticated && head.header("authorization").is_some_and(is_basic) {
            let kind = ErrorKind::Unauthenticated(Unproven::Unusable);
            return Err(Error::new(
                kind,
                "the Authorization header cannot be read: after Basic, user:password in base64",
            ));
        }
        Ok(shown)
    }

    fn admit(&self, head: &RequestHead) -> Result<(), Box<Response<Body>>> {
        let is_harmless = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method);
        if head.face.csrf && !is_harmless && !head.headers.contains_key("x-requested-by") {
            return Err(Box::new(answer::page(head, 400, "Missing Required Header for CSRF protection.")));
        }
        let version = head.header("accept").and_then(|accept| accept.strip_prefix("application/vnd.livy.v"));
        match version.map(|rest| rest.split('+').next().unwrap_or(rest)) {
            Some(version) if version != "0.1" && Servlet::of(head).is_for_sessions() => {
                Err(Box::new(answer::msg(head, 406, &format!("No value found for '{version}'"))))
            }
            _ => Ok(()),
        }
    }

    fn fields(&self) -> &'static [WireField] {
        &FIELDS
    }

    fn is_relayed(&self, head: &RequestHead) -> bool {
        relay::is_session(head)
    }

    fn relayed(&self, head: &RequestHead, body: Option<RequestBody>) -> Result<Relayed> {
        let do_as = head.target.query.get("doAs").map(str::to_owned);
        let asks = |spec: BatchSpec| Relayed::Asks(Box::new(spec));
        match body {
            None if relay::begins_session(head) => Ok(Relayed::InBody),
            None => {
                Ok(do_as
                    .map_or(Relayed::Nothing, |user| asks(BatchSpec { run_as: Some(user), ..BatchSpec::default() })))
            }
            Some(body) => {
                let body = self.body(head, body)?;
                let session: Option<CreateSession> = bind::read(&body, self.settings.json_depth)?;
                let session = session.unwrap_or_default();
                let conf = match session.conf {
                    Nullable::Of(conf) => conf,
                    Nullable::Null => Conf::default(),
                };
                let run_as = do_as.or(session.proxy_user);
                Ok(asks(BatchSpec { run_as, queue: session.queue, conf, ..BatchSpec::default() }))
            }
        }
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        if Servlet::of(head).is_for_sessions() && !head.target.query.is_whole() {
            let exception = "org.eclipse.jetty.http.BadMessageException: 400: Unable to parse URI query";
            return Err(error::thrown_page("query", "an escape in the query cannot be read", exception));
        }
        let operation = match head.route_name() {
            "submit" => Operation::Submit(Box::new(self.submit(head, body)?)),
            "list" => Operation::List(Box::new(window::list(&head.target.query)?.1)),
            "get" => Operation::Get(batch_ref(head)?, Detail::Summary),
            "state" => Operation::Get(batch_ref(head)?, Detail::State),
            "log" => {
                let id = batch_ref(head)?;
                let lines = LogWindow::read(&head.target.query)?.lines(self.settings.log_lines);
                Operation::Log(id, LogQuery { lines, source: LogSource::Default })
            }
            "delete" => Operation::Control(Selection::one(batch_ref(head)?), Action::CancelAndForget),
            "root" => return Ok(Decoded::Answer(to_ui(head))),
            "ui" => return Ok(Decoded::Answer(answer::plain(200, Some(HTML), UI))),
            "version" => return Ok(Decoded::Answer(self.version(head))),
            "sessions" => {
                let (from, _) = window::list(&head.target.query)?;
                return Ok(Decoded::Relay(answer::servlet(head, 200, JSON, session_list(from, 0, &[]))));
            }
            // A Livy behind the proxy would look by itself.
            "session_create" => {
                return Ok(Decoded::Relay(match self.check_session(head, body) {
                    Ok(()) => answer::msg(head, 400, NO_SESSIONS),
                    Err(error) => error::encode(head, &error),
                }));
            }
            _ => {
                batch_ref(head)?;
                return Ok(Decoded::Relay(answer::msg(head, 404, &error::not_found(head.param(0)))));
            }
        };
        Ok(Decoded::Operation(operation))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        match &reply.outcome {
            Outcome::Submitted { batch, .. } => {
                let prefix = if is_under_livy(head) { "/livy" } else { "" };
                let status = if is_under_livy(head) { 200 } else { 201 };
                let mut response = answer::servlet(head, status, JSON, self.object(batch));
                let location = format!("{}{prefix}/batches/{}", head.face.path_prefix, batch.id.ordinal);
                answer::put(response.headers_mut(), header::LOCATION, &location);
                response
            }
            Outcome::Batch(batch) if head.route_name() == "state" => {
                answer::object(head, 200, &StateObject { id: batch.id.ordinal, state: shown::word(batch) })
            }
            Outcome::Batch(batch) => answer::servlet(head, 200, JSON, self.object(batch)),
            Outcome::Page(page) => self.encode_list(head, page),
            Outcome::Log(id, log) => self.encode_log(head, id, log),
            Outcome::Controlled(controlled) => match controlled.first() {
                Some(Controlled { result: Err(error), .. }) => error::encode(head, error),
                Some(Controlled { result: Ok(_), .. }) => answer::msg(head, 200, "deleted"),
                None => answer::msg(head, 404, &error::not_found(head.param(0))),
            },
        }
    }

    fn encode_error(&self, head: &RequestHead, error: &Error) -> Response<Body> {
        match (&error.kind, batch_ref(head)) {
            // Every batch of a Livy has a log, if only its header lines. Airflow reads it once the job has succeeded, and fails the task
            // over a 404.
            (ErrorKind::NotFound(Missing::Log), Ok(BatchRef::Ordinal(ordinal))) if head.route_name() == "log" => {
                let id = BatchId { uuid: Uuid::nil(), ordinal, native: None };
                self.encode_log(head, &id, &Log::page(0, 0, Vec::new()))
            }
            _ => error::encode(head, error),
        }
    }

    fn encode_miss(&self, head: &RequestHead, miss: &Miss) -> Response<Body> {
        let content_type = match Servlet::of(head) {
            Servlet::Batches | Servlet::Sessions | Servlet::Version => JSON,
            Servlet::Other => HTML,
        };
        let is_static = head.target.segments.first().is_some_and(|first| first == "static");
        match miss {
            // Livy's pages have files; there are none here.
            Miss::Path if is_static => answer::plain(404, Some(HTML), "File not found"),
            Miss::Path => answer::empty(head, 404, content_type),
            Miss::Method(allowed) => {
                let mut response = answer::empty(head, 405, content_type);
                answer::put(response.headers_mut(), header::ALLOW, &allow(allowed));
                response
            }
        }
    }

    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        Some(bad_message(status, reason))
    }
}

/// What stands in the path: an integer, or a name.
fn batch_ref(head: &RequestHead) -> Result<BatchRef> {
    let written = head.param(0);
    if !is_all_digits(written) {
        return Ok(BatchRef::Name(written.to_owned()));
    }
    let ordinal = parse_int(written).and_then(|id| u32::try_from(id).ok());
    ordinal.map(BatchRef::Ordinal).ok_or_else(|| error::bad_number("id", written))
}

fn is_under_livy(head: &RequestHead) -> bool {
    head.target.segments.first().is_some_and(|first| first == "livy")
}

/// Livy lists GET last, and HEAD with it.
fn allow(methods: &[Method]) -> String {
    let mut names: Vec<&str> = methods.iter().filter(|method| **method != Method::GET).map(Method::as_str).collect();
    if methods.contains(&Method::GET) {
        names.extend(["GET", "HEAD"]);
    }
    names.join(", ")
}

fn to_ui(head: &RequestHead) -> Response<Body> {
    let scheme = if head.header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let own = head.face.public_url.split_once("://").map_or("", |(_, host)| host);
    let host = head.header("host").unwrap_or(own);
    let mut response = answer::empty(head, 302, HTML);
    let location = format!("{scheme}://{host}{}/ui", head.face.path_prefix);
    answer::put(response.headers_mut(), header::LOCATION, &location);
    response
}

/// Whether a body has the boundary that its type announces, at the beginning of a line.
fn is_multipart(parameters: &str, body: &[u8]) -> bool {
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    let wanted = format!("--{}", boundary.unwrap_or_default());
    body.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_end() == wanted.as_bytes())
}
