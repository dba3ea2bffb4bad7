//! The front against the bytes of a real Livy 0.9 with default settings, without a socket or a backend.
//!
//! Each recorded request goes the way of a request up to where a backend is needed. What the front answers by itself
//! must be what Livy answered. Where it asks a backend, what the backend would have said is read back from Livy's
//! answer, and must come out again as the same bytes: so both directions are held to the recording, and a request
//! that Livy refused cannot pass unnoticed. [`EXCEPTIONS`] are all that differs, each with its reason and checked to
//! differ.

use std::{collections::BTreeMap, fs, io::Read, path::PathBuf, sync::Arc};

use batchlingua_core::{
    Batch, BatchId, BatchSpec, BatchState, Clash, Controlled, Detail, Effect, Error, ErrorKind, Fault, Lines, Log,
    LogQuery, Notes, Operation, Outcome, Page, Reply, Uuid,
};
pub(crate) use batchlingua_testkit::recorded::Answer;
use batchlingua_testkit::recorded::{self, recorded_request};
use batchlingua_wire::{Body, Decoded, Dialect, Face, Match, RequestBody, RequestHead, Settings, find};
use flate2::read::{GzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};

use crate::{make_dialect, state};

/// What differs, and why.
pub(crate) const EXCEPTIONS: &[(&str, &str)] = &[
    ("submit/type-executor-cores-string", "numbers in strings are taken: Airflow sends them"),
    ("submit/type-num-executors-string", "numbers in strings are taken: Airflow sends them"),
    ("submit/body-lone-surrogate", "half a surrogate pair is no text that could be kept"),
    (
        "submit/file-bad-jar-before-bad-file",
        "which local files may be named is the backend's to say, after the front's checks",
    ),
    ("submit/args-huge-one", "how long a command line may be is the backend's to say"),
    ("list/gzip-q0", "gzip;q=0 says that the client cannot read gzip"),
    ("errors/path-livy-prefix", "the same API is served under /livy"),
    ("errors/override-query", "methods are not overridden"),
    ("errors/override-header", "methods are not overridden"),
    ("root/ui-batch-log", "Livy's pages are out of scope"),
    ("root/metrics", "Livy's metrics are out of scope"),
    ("root/metrics-healthcheck", "Livy's metrics are out of scope"),
    ("root/metrics-metrics", "Livy's metrics are out of scope"),
    ("log/ghost", "a refused submit leaves nothing behind"),
    ("list/after-field-tests", "a refused submit leaves nothing behind"),
];

/// What a server's HTTP reader refuses or cannot frame, before any dialect is known.
const NOT_HTTP: &[&str] = &[
    "errors/asterisk",
    "errors/garbage",
    "errors/header-100k",
    "errors/header-folded",
    "errors/header-space-before-colon",
    "errors/header-too-large",
    "errors/http09",
    "errors/http12-version",
    "errors/http2-version",
    "errors/no-host",
    "errors/non-ascii-target",
    "errors/space-in-target",
    "errors/uri-too-long",
    "get/id-bad-percent",
    "submit/body-chunked-bad",
    "submit/body-expect-other",
    "submit/body-length-bad",
    "submit/body-length-twice",
    "submit/body-length-twice-same",
];

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The dialect with these settings.
pub(crate) fn dialect(settings: Value) -> Arc<dyn Dialect> {
    make_dialect(Settings::new("dialect.livy", settings)).expect("valid settings")
}

/// A listener for Livy alone.
pub(crate) fn face(csrf: bool) -> Arc<Face> {
    Arc::new(Face {
        listener: "main".into(),
        public_url: "http://127.0.0.1:8998".to_owned(),
        path_prefix: String::new(),
        csrf,
        single: true,
        authenticated: false,
    })
}

/// Without its coding.
pub(crate) fn recorded_answer(bytes: &[u8]) -> Answer {
    let answer = recorded::recorded_answer(bytes);
    Answer { body: undone(&answer.headers, answer.body), ..answer }
}

pub(crate) fn undone(headers: &HeaderMap, body: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    match headers.get("content-encoding").map(HeaderValue::as_bytes) {
        Some(b"gzip") => GzDecoder::new(&body[..]).read_to_end(&mut plain).expect("gzip"),
        Some(b"deflate") => ZlibDecoder::new(&body[..]).read_to_end(&mut plain).expect("zlib"),
        _ => return body,
    };
    plain
}

pub(crate) fn our_answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.into_full().expect("a body that is there as a whole");
    let mut headers = parts.headers;
    headers.insert("content-length", body.len().into());
    Answer { status: parts.status.as_u16(), body: undone(&headers, body.to_vec()), headers }
}

/// What the front makes of a request.
pub(crate) enum Made {
    Answer(Answer),
    Asks(Box<RequestHead>, Operation<batchlingua_core::BatchRef>),
}

/// The way of a request as a listener has it: admission, route, decoding.
pub(crate) fn make(dialect: &dyn Dialect, face: Arc<Face>, bytes: &[u8]) -> Made {
    let (parts, body) = recorded_request(bytes).expect("a request that an HTTP reader takes");
    let mut head = RequestHead::new("r".into(), &parts, face).expect("a target");
    head.fold_method();
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
    match dialect.decode(&head, RequestBody::Bytes(body)) {
        Ok(Decoded::Answer(response) | Decoded::Relay(response)) => answered(response),
        Ok(Decoded::Operation(operation)) => Made::Asks(Box::new(head), operation),
        Err(error) => answered(dialect.encode_error(&head, &error)),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}

/// A batch as a backend would have given it.
fn batch(object: &Value) -> Arc<Batch<BatchId>> {
    let ordinal = u32::try_from(object["id"].as_u64().expect("an id")).expect("a small id");
    let word = object["state"].as_str().expect("a state");
    let of_word = BatchState::ALL.into_iter().find(|of| state::word(*of) == word).expect("a known state");
    let spec = BatchSpec { name: text(&object["name"]), ..BatchSpec::default() };
    let mut batch = Batch::new(BatchId { uuid: Uuid::nil(), ordinal, native: None }, of_word, Arc::new(spec));
    batch.app.id = text(&object["appId"]);
    batch.app.url = text(&object["appInfo"]["sparkUiUrl"]);
    batch.app.driver_log_url = text(&object["appInfo"]["driverLogUrl"]);
    batch.log_tail = texts(&object["log"]);
    batch.log_tail.retain(|line| line != "stdout: " && line != "\nstderr: ");
    Arc::new(batch)
}

/// The page of a log that a backend would have given, from one that was served of it.
fn log(served: &Value, query: &LogQuery) -> Log {
    let number = |name: &str| usize::try_from(served[name].as_u64().expect("a number")).expect("a small number");
    let (from, total) = (number("from"), number("total"));
    let mut all = vec!["not served".to_owned(); total];
    texts(&served["log"]).into_iter().enumerate().for_each(|(at, line)| all[from + at] = line);
    let lines = all[1.min(total)..total.saturating_sub(1)].to_vec();
    let (start, end) = match query.lines {
        Lines::Tail(size) => (lines.len().saturating_sub(size as usize), lines.len()),
        Lines::From(from, size) => {
            let from = lines.len().min(from as usize);
            (from, lines.len().min(from + size as usize))
        }
        ref other => panic!("{other:?} is never asked for"),
    };
    Log::page(start as u64, lines.len() as u64, lines[start..end].to_vec())
}

/// What Livy's answer says that the backend said.
fn said(operation: &Operation<batchlingua_core::BatchRef>, recorded: &Answer) -> Result<Outcome<BatchId>, Error> {
    let body = recorded.json();
    let nobody = BatchId { uuid: Uuid::nil(), ordinal: body["id"].as_u64().unwrap_or(0) as u32, native: None };
    let message = body["msg"].as_str().unwrap_or_default();
    let within = |start: &str, end: &str| Some(message.strip_prefix(start)?.strip_suffix(end)?.to_owned());
    match (recorded.status, operation) {
        (404, _) => Err(Error::no_batch("somebody")),
        (400, Operation::Submit(_)) => {
            let local =
                within("Rejected, Reason: requirement failed: Local path ", " cannot be added to user sessions.");
            Err(match (local, message.rsplit_once(" for session ")) {
                (Some(path), _) => {
                    let fault = Fault::PathOutside(path);
                    Error::new(ErrorKind::InvalidRequest { field: "file".into(), fault }, "")
                }
                (None, Some((_, ordinal))) => {
                    let name =
                        within("Rejected, Reason: Duplicate session name: Some(", &format!(") for session {ordinal}"));
                    let name = name.expect("a duplicate name");
                    Error::new(ErrorKind::Conflict(Clash::Name { name, ordinal: ordinal.parse().expect("an id") }), "")
                }
                _ => Error::internal("the front took what Livy refused"),
            })
        }
        (201, Operation::Submit(_)) => Ok(Outcome::Submitted { batch: batch(&body), replayed: false }),
        (200, Operation::Get(_, Detail::Summary | Detail::State)) => Ok(Outcome::Batch(batch(&body))),
        (200, Operation::List(_)) => {
            let rows = body["sessions"].as_array().expect("sessions").iter().map(batch).collect();
            Ok(Outcome::Page(Page { rows, total: body["total"].as_u64(), next: None }))
        }
        (200, Operation::Log(_, query)) => Ok(Outcome::Log(nobody, log(&body, query))),
        (200, Operation::Control(..)) => {
            let result = Ok(Effect::Ended(BatchState::Cancelled));
            Ok(Outcome::Controlled(vec![Controlled { id: nobody, before: BatchState::Running, result, after: None }]))
        }
        (status, operation) => Err(Error::internal(format!("Livy answered {status} to {operation:?}"))),
    }
}

fn ours(dialect: &dyn Dialect, request: &[u8], recorded: &Answer) -> Answer {
    match make(dialect, face(false), request) {
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

/// Where two answers differ in anything that a client acts on.
pub(crate) fn difference(case: &str, recorded: &Answer, ours: &Answer) -> Option<String> {
    if recorded.status != ours.status {
        return Some(format!("{case}: status {} is {}", recorded.status, ours.status));
    }
    let names = [
        "content-type",
        "location",
        "allow",
        "content-encoding",
        "cache-control",
        "x-frame-options",
        "x-xss-protection",
        "content-security-policy",
        "x-content-type-options",
    ];
    for name in names {
        if recorded.header(name) != ours.header(name) {
            return Some(format!("{case}: {name} {:?} is {:?}", recorded.header(name), ours.header(name)));
        }
    }
    let (mut was, mut is) = (recorded.body.clone(), ours.body.clone());
    if is.windows(10).any(|part| part == b"\"revision\"") {
        // Who built it, and when, is another's.
        for body in [&mut was, &mut is] {
            *body = serde_json::from_slice::<Value>(body).unwrap_or_default()["version"].to_string().into();
        }
    }
    let show = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    (was != is && !recorded_without_body(recorded)).then(|| format!("{case}: body\n  {}\n  {}", show(&was), show(&is)))
}

/// An answer to a HEAD announces what it does not send.
fn recorded_without_body(recorded: &Answer) -> bool {
    recorded.body.is_empty() && !matches!(recorded.header("content-length"), "" | "0")
}

pub(crate) fn cases() -> BTreeMap<String, (Vec<u8>, Answer)> {
    let root = fixtures().join("recordings/livy");
    let mut cases = BTreeMap::new();
    for operation in fs::read_dir(&root).expect("the recordings are there").flatten() {
        for file in fs::read_dir(operation.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some(case) = name.strip_suffix(".request.http") else { continue };
            let answer = fs::read(operation.path().join(format!("{case}.response.http")));
            let name = format!("{}/{case}", operation.file_name().to_string_lossy());
            if !NOT_HTTP.contains(&name.as_str())
                && let Ok(answer) = answer
            {
                cases.insert(name, (fs::read(file.path()).expect("readable"), recorded_answer(&answer)));
            }
        }
    }
    cases
}

#[test]
fn recorded_requests_are_answered_as_livy_answered_them() {
    let dialect = dialect(json!({}));
    let cases = cases();
    assert!(cases.len() > 450, "{} recordings", cases.len());
    let (mut faults, mut same, mut alone) = (Vec::new(), 0, 0);
    for (name, (request, recorded)) in &cases {
        let difference = difference(name, recorded, &ours(&*dialect, request, recorded));
        alone += usize::from(matches!(make(&*dialect, face(false), request), Made::Answer(_)));
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
