//! The front against the bytes of a real Kyuubi 1.12 with default settings, without a socket or a backend.
//!
//! Each recorded request goes the way of a request up to where a backend is needed. What the front answers by itself must be what Kyuubi
//! answered. Where it asks a backend, what the backend would have said is read back from Kyuubi's answer, and must come out again as the same
//! bytes: so both directions are held to the recording, and a request that Kyuubi refused cannot pass unnoticed. [`EXCEPTIONS`] are all that
//! differs, each with its reason and checked to differ; [`alike`] has the rules for what differs in many.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use batchlingua_core::{
    Allowed, Batch, BatchId, BatchKind, BatchRef, BatchSpec, BatchState, Controlled, Detail, Effect, Error, ErrorKind,
    Identity, Lines, Log, LogBody, Millis, Missing, Notes, Operation, Outcome, Page, Principal, Reply, Rights, Uuid,
};
pub(crate) use batchlingua_testkit::recorded::Answer;
use batchlingua_testkit::recorded::{recorded_answer, recorded_request};
use batchlingua_wire::{
    Asker, Body, BodyError, BodyKind, Decoded, Dialect, Face, FormLimits, Match, RequestBody, RequestHead, Settings,
    find, read_form,
};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};

use crate::{make_dialect, state};

/// What differs, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("submit/name-lone-surrogate", "half a surrogate pair is no text that could be kept"),
    ("submit/id-upper-case-of-known", "an id in capitals is the same id, and cancels nobody's batch"),
    ("submit/id-upper-case-new-again", "an id in capitals is the same id, and cancels nobody's batch"),
    ("submit/conf-priority-bad", "a priority means nothing here, and every request is answered"),
    ("delete/local-star", "no batch is left pending for ever because of its master"),
    ("upload/bare-lf", "lines of a form end with CR and LF"),
    ("errors/openapi-json", "the OpenAPI document is out of scope"),
    ("reassign/empty-object", "reassigning is out of scope"),
    ("reassign/self", "reassigning is out of scope"),
    ("reassign/empty-body", "reassigning is out of scope"),
    ("reassign/no-type", "reassigning is out of scope"),
    ("sessions/list", "interactive sessions are out of scope"),
    ("sessions/count", "interactive sessions are out of scope"),
];

/// What a server's HTTP reader refuses or cannot frame, before any dialect is known.
const NOT_HTTP: &[&str] = &[
    "errors/big-header",
    "errors/blank-line-first",
    "errors/connect",
    "errors/garbage",
    "errors/header-space-before-colon",
    "errors/http-2.0",
    "errors/long-uri",
    "errors/no-host",
    "errors/tls-hello",
    "get/bad-escape",
    "submit/bad-chunk",
    "submit/expect-other",
    "submit/length-and-chunked",
    "submit/no-host",
];

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The dialect with these settings.
pub(crate) fn dialect(settings: Value) -> Arc<dyn Dialect> {
    make_dialect(Settings::new("dialect.kyuubi", settings)).expect("valid settings")
}

/// A listener for Kyuubi alone, at the address of the recorded one.
pub(crate) fn face() -> Arc<Face> {
    Arc::new(Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:10099".to_owned(),
        path_prefix: String::new(),
        csrf: false,
        single: true,
        authenticated: false,
    })
}

/// A head as a client sends it.
pub(crate) fn head(method: &str, target: &str, headers: &[(&str, &str)], face: Arc<Face>) -> RequestHead {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    RequestHead::new("r".into(), &parts, face).expect("a target")
}

pub(crate) fn our_answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.into_full().expect("a body that is there as a whole").to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// What the front makes of a request.
pub(crate) enum Made {
    Answer(Answer),
    Asks(Box<RequestHead>, Operation<BatchRef>),
}

/// The body as its route asks for it; files of a form go to `spool`.
fn read_body(head: &RequestHead, bytes: Bytes, spool: &tempfile::TempDir) -> Result<RequestBody, Error> {
    let kind = head.route.map_or(BodyKind::None, |route| route.body);
    let content_type = head.header("content-type").unwrap_or_default();
    let is_form = content_type.to_ascii_lowercase().starts_with("multipart/form-data");
    match (kind, is_form) {
        (BodyKind::None | BodyKind::Stream, _) => Ok(RequestBody::Empty),
        (BodyKind::Bytes, _) | (BodyKind::FormOrBytes, false) => Ok(RequestBody::Bytes(bytes)),
        (BodyKind::FormOrBytes, true) => {
            let limits =
                FormLimits { dir: spool.path().to_owned(), max_parts: 100, max_values: 1 << 20, max_files: 1 << 26 };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let pieces = futures_util::stream::iter([Ok::<_, BodyError>(bytes)]);
            runtime.block_on(read_form(content_type, pieces, &limits))
        }
    }
}

/// Who may do everything, under the name that was shown.
fn asker(name: &str, verified: bool) -> Asker {
    let rights = Rights { administrator: true, projects: Allowed::Any, queues: Allowed::Any, run_as: Allowed::Any };
    let principal = Principal { name: name.into(), verified };
    Asker { identity: Identity { principal, rights: rights.into() }, session: None }
}

/// The way of a request as a listener has it: admission, route, body, credentials, decoding.
pub(crate) fn make(dialect: &dyn Dialect, face: Arc<Face>, bytes: &[u8]) -> Made {
    make_in(dialect, face, bytes, &tempfile::tempdir().expect("a directory for files"))
}

/// The same with its files in a folder that may stay.
pub(crate) fn make_in(dialect: &dyn Dialect, face: Arc<Face>, bytes: &[u8], spool: &tempfile::TempDir) -> Made {
    let (parts, body) = recorded_request(bytes).expect("a request that an HTTP reader takes");
    let mut head = RequestHead::new("r".into(), &parts, face).expect("a target");
    let answered = |response| Made::Answer(our_answer(response));
    if let Err(response) = dialect.admit(&head) {
        return answered(*response);
    }
    match find(dialect.routes(), &head) {
        Match::Miss(miss) => return answered(dialect.encode_miss(&head, &miss)),
        Match::Route(route, params) => {
            head.route = Some(route);
            head.params = params;
        }
    }
    let decoded = read_body(&head, body, spool).and_then(|body| {
        let shown = dialect.credentials(&head, &body)?;
        let name = match shown {
            Some(batchlingua_core::Credentials::Basic { user, .. }) => user,
            _ => dialect.nobody().to_owned(),
        };
        let _ = head.asker.set(asker(&name, head.face.authenticated));
        dialect.decode(&head, body)
    });
    match decoded {
        Ok(Decoded::Answer(response) | Decoded::Relay(response)) => answered(response),
        Ok(Decoded::Operation(operation)) => Made::Asks(Box::new(head), operation),
        Err(error) => answered(dialect.encode_error(&head, &error)),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A batch as a backend would have given it.
fn batch(object: &Value) -> Arc<Batch<BatchId>> {
    let uuid: Uuid = object["id"].as_str().expect("an id").parse().expect("a uuid");
    let word = object["state"].as_str().expect("a state");
    let of_word = BatchState::ALL.into_iter().find(|of| state::word(*of) == word).expect("a known state");
    let kind = if object["batchType"] == "PYSPARK" { BatchKind::Python } else { BatchKind::Jar };
    let spec = BatchSpec { name: text(&object["name"]), kind, ..BatchSpec::default() };
    let mut batch = Batch::new(BatchId { uuid, ordinal: 1, native: None }, of_word, Arc::new(spec));
    let time = |name: &str| object[name].as_i64().map(Millis).filter(|at| at.0 > 0);
    batch.owner = text(&object["user"]).map(Principal::unverified);
    batch.app.id = text(&object["appId"]);
    batch.app.url = text(&object["appUrl"]);
    batch.diagnostic = text(&object["appDiagnostic"]);
    batch.times.created = time("createTime").expect("a time");
    batch.times.started = time("appStartTime");
    batch.times.ended = time("endTime");
    Arc::new(batch)
}

/// What Kyuubi's answer says that the backend said.
fn said(operation: &Operation<BatchRef>, recorded: &Answer) -> Result<Outcome<BatchId>, Error> {
    let body = recorded.json();
    let message = body["message"].as_str().unwrap_or_default();
    let id = |wanted: &BatchRef| match wanted {
        BatchRef::Uuid(uuid) => BatchId { uuid: *uuid, ordinal: 1, native: None },
        other => panic!("{other:?} is no id of Kyuubi's"),
    };
    match (recorded.status, operation) {
        (404, Operation::Log(..)) if message.starts_with("No local log") => {
            Err(Error::new(ErrorKind::NotFound(Missing::Log), ""))
        }
        (404, Operation::Get(wanted, _) | Operation::Log(wanted, _)) => Err(Error::no_batch(wanted)),
        (404, Operation::Control(selection, _)) => Err(Error::no_batch(&selection.ids[0])),
        (200, Operation::Submit(_)) => {
            let replayed = body["batchInfo"].as_object().is_some_and(|info| !info.is_empty());
            Ok(Outcome::Submitted { batch: batch(&body), replayed })
        }
        (200, Operation::Get(_, Detail::Summary)) => Ok(Outcome::Batch(batch(&body))),
        (200, Operation::List(_)) => {
            let rows = body["batches"].as_array().expect("batches").iter().map(batch).collect();
            Ok(Outcome::Page(Page { rows, total: None, next: None }))
        }
        (200, Operation::Log(wanted, query)) => {
            let lines: Vec<_> = body["logRowSet"].as_array().expect("lines").iter().filter_map(text).collect();
            let Lines::From(from, _) = query.lines else { panic!("{query:?} is never asked") };
            Ok(Outcome::Log(id(wanted), Log { from, total: None, body: LogBody::Lines(lines), native: None }))
        }
        (200, Operation::Control(selection, _)) => {
            let result = Ok(match body["success"] == true {
                true => Effect::Ended(BatchState::Cancelled),
                // Kyuubi says so of every batch that it has closed, whatever its end was.
                false if body["msg"].as_str().is_some_and(|msg| msg.ends_with("has been terminated.")) => {
                    Effect::AlreadyEnded(BatchState::Cancelled)
                }
                false => Effect::AlreadyEnded(BatchState::Succeeded),
            });
            let id = id(&selection.ids[0]);
            Ok(Outcome::Controlled(vec![Controlled { id, before: BatchState::Running, result, after: None }]))
        }
        (status, operation) => Err(Error::internal(format!("Kyuubi answered {status} to {operation:?}"))),
    }
}

fn ours(dialect: &dyn Dialect, request: &[u8], recorded: &Answer) -> Answer {
    match make(dialect, face(), request) {
        Made::Answer(answer) => answer,
        // A HEAD is answered without the body that would tell.
        Made::Asks(head, _) if head.method == http::Method::HEAD => {
            Answer { status: 200, headers: recorded.headers.clone(), body: Vec::new() }
        }
        Made::Asks(head, operation) => our_answer(match said(&operation, recorded) {
            Ok(outcome) => dialect.encode(&head, &Reply { outcome, notes: Notes::default() }),
            Err(error) => dialect.encode_error(&head, &error),
        }),
    }
}

/// Both bodies without what differs by a rule.
fn alike(recorded: &Answer, ours: &Answer) -> (String, String) {
    let show = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    let (was, is) = (show(&recorded.body), show(&ours.body));
    // A Kyuubi on a local master tells that a process is gone before it tells that it ended, and forgets, or keeps, its number.
    if was.contains("\"appState\":\"NOT_FOUND\"") {
        return (without_app_state(&was), without_app_state(&is));
    }
    // The process id and the command line of the killed driver, conf and arguments included, are nobody's business.
    if was.contains("\"msg\":\"Succeeded to terminate: ") {
        let cut = |text: &str| text.split("Succeeded to terminate: ").next().unwrap_or_default().to_owned();
        return (cut(&was), cut(&is));
    }
    // The stored request, likewise: which batch it is tells enough.
    if was.contains("The batch[Metadata(") {
        let cut = |text: &str| {
            let (start, rest) = text.split_once('[').unwrap_or((text, ""));
            format!("{start}[{}", rest.rsplit_once(']').map_or("", |(_, end)| end))
        };
        return (cut(&was), cut(&is));
    }
    // The container's pages do not name the container, nor the address of its servlet.
    if was.contains("Powered by Jetty") {
        let kept = was.lines().filter(|line| !line.contains("Powered by Jetty"));
        let kept: Vec<_> = kept.map(|line| line.split("ServletContainer-").next().unwrap_or(line)).collect();
        let is: Vec<_> = is.lines().map(|line| line.split("ServletContainer<").next().unwrap_or(line)).collect();
        return (kept.concat(), is.concat().replace("ServletContainer", ""));
    }
    (was, is)
}

fn without_app_state(text: &str) -> String {
    let mut pieces = text.split("\"appState\":");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once(',').map_or("", |(_, rest)| rest))
}

/// Where two answers differ in anything that a client acts on.
fn difference(case: &str, recorded: &Answer, ours: &Answer) -> Option<String> {
    if recorded.status != ours.status {
        return Some(format!("{case}: status {} is {}", recorded.status, ours.status));
    }
    for name in ["content-type", "location", "allow", "cache-control", "www-authenticate", "retry-after"] {
        if recorded.header(name) != ours.header(name) {
            return Some(format!("{case}: {name} {:?} is {:?}", recorded.header(name), ours.header(name)));
        }
    }
    let announced = recorded.body.is_empty() && !matches!(recorded.header("content-length"), "" | "0");
    let (was, is) = alike(recorded, ours);
    // An answer to a HEAD announces what it does not send.
    (was != is && !announced).then(|| format!("{case}: body\n  {was}\n  {is}"))
}

/// By its name each exchange: the request and the answer as they came, and the answer read.
pub(crate) fn cases() -> BTreeMap<String, (Vec<u8>, Vec<u8>, Answer)> {
    let root = fixtures().join("recordings/kyuubi");
    let mut cases = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the recordings are there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
            let Some(case) = name.strip_suffix(".request.http") else { continue };
            if !NOT_HTTP.contains(&case) {
                let answer = fs::read(root.join(format!("{case}.response.http"))).expect("a response to every request");
                let read = recorded_answer(&answer);
                cases.insert(case.to_owned(), (fs::read(&path).expect("readable"), answer, read));
            }
        }
    }
    cases
}

#[test]
fn recorded_requests_are_answered_as_kyuubi_answered_them() {
    let dialect = dialect(json!({}));
    let cases = cases();
    assert!(cases.len() > 500, "{} recordings", cases.len());
    let (mut faults, mut same, mut alone) = (Vec::new(), 0, 0);
    for (name, (request, _, recorded)) in &cases {
        let difference = difference(name, recorded, &ours(&*dialect, request, recorded));
        alone += usize::from(matches!(make(&*dialect, face(), request), Made::Answer(_)));
        let is_exception = EXCEPTIONS.iter().any(|(case, _)| case == name);
        match difference {
            None if is_exception => faults.push(format!("{name}: is the same, and no exception")),
            Some(difference) if !is_exception => faults.push(difference),
            None => same += 1,
            Some(_) => {}
        }
    }
    let (all, exceptions) = (cases.len(), EXCEPTIONS.len());
    println!("{same} of {all} recorded exchanges are the same, {exceptions} are exceptions; {alone} need no backend");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
