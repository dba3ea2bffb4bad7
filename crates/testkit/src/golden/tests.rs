use std::{fs, path::PathBuf};

use batchlingua_core::{
    BatchId, BatchRef, BatchSpec, Credentials, Detail, DialectName, Error, Lines, LogQuery, LogSource, Operation,
    Outcome, Payload, Purpose, Reply, Result, Submission,
};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, Miss, Part, RequestBody, RequestHead, Route, basic_credentials,
};
use http::{Method, Response};

use super::{Mode, run};

/// The smallest dialect that takes every way through the runner.
struct Toy(DialectName);

static ROUTES: [Route; 5] = [
    Route { name: "submit", method: Method::POST, path: "/jobs", body: BodyKind::FormOrBytes },
    Route { name: "get", method: Method::GET, path: "/jobs/{id}", body: BodyKind::None },
    Route { name: "log", method: Method::GET, path: "/jobs/{id}/log", body: BodyKind::None },
    Route { name: "version", method: Method::GET, path: "/version", body: BodyKind::None },
    Route { name: "session", method: Method::POST, path: "/sessions", body: BodyKind::Stream },
];

fn answer(status: u16, text: impl Into<String>) -> Response<Body> {
    let answer = Response::builder().status(status).header("X-Toy", "1");
    answer.body(Body::full(text.into())).expect("a response")
}

impl Dialect for Toy {
    fn name(&self) -> &DialectName {
        &self.0
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn claims(&self, _: &RequestHead) -> bool {
        true
    }

    fn ownership(&self) -> batchlingua_wire::Ownership {
        batchlingua_wire::Ownership::Shared
    }

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        Ok(basic_credentials(&head.headers))
    }

    fn admit(&self, head: &RequestHead) -> Result<(), Box<Response<Body>>> {
        if head.face.csrf && head.method == Method::POST { Err(Box::new(answer(400, "csrf"))) } else { Ok(()) }
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let id = || head.param(0).parse().map(BatchRef::Ordinal).map_err(|_| Error::invalid("id", "no number"));
        let log = LogQuery { lines: Lines::All, source: LogSource::Default };
        Ok(match (head.route_name(), body) {
            ("get", _) => Decoded::Operation(Operation::Get(id()?, Detail::Summary)),
            ("log", _) => Decoded::Operation(Operation::Log(id()?, log)),
            ("version", _) => Decoded::Answer(answer(200, "1")),
            ("session", _) => Decoded::Relay(answer(501, "no sessions")),
            (_, RequestBody::Form(parts)) => {
                let mut files: Vec<_> = parts.into_values().filter_map(uploaded).collect();
                files.iter_mut().for_each(|file| file.purpose = Purpose::Application);
                Decoded::Operation(Operation::Submit(Box::new(Submission { files, ..Submission::default() })))
            }
            (_, RequestBody::Bytes(bytes)) => {
                let file = Some(String::from_utf8_lossy(&bytes).into_owned());
                let spec = BatchSpec { file, ..BatchSpec::default() };
                Decoded::Operation(Operation::Submit(Box::new(Submission { spec, ..Submission::default() })))
            }
            (_, RequestBody::Empty) => return Err(Error::invalid("body", "a body is needed")),
        })
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        match &reply.outcome {
            Outcome::Batch(batch) => {
                answer(200, format!("{} {} {}", head.asker().identity.principal.name, batch.id.ordinal, batch.state))
            }
            _ => answer(200, ""),
        }
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        answer(400, error.message.clone())
    }

    fn encode_miss(&self, _: &RequestHead, miss: &Miss) -> Response<Body> {
        answer(404, format!("{miss:?}"))
    }
}

fn uploaded(part: Part) -> Option<Payload> {
    match part {
        Part::File(file) => Some(file),
        Part::Small { .. } => None,
    }
}

/// Runs one case made of these files.
async fn case(mode: Mode, files: &[(&str, &str)]) -> Ran {
    let root = tempfile::tempdir().expect("a directory");
    let mut ran = Ran { faults: Vec::new(), root };
    fs::create_dir(ran.root.path().join("operation")).expect("a folder");
    for (suffix, text) in files {
        fs::write(ran.path(suffix), text).expect("a file");
    }
    let report = run(&Toy("toy".into()), ran.root.path(), mode).await;
    assert_eq!(report.cases, 1);
    ran.faults = report.faults;
    ran
}

struct Ran {
    faults: Vec<String>,
    root: tempfile::TempDir,
}

impl Ran {
    fn path(&self, suffix: &str) -> PathBuf {
        self.root.path().join(format!("operation/case.{suffix}"))
    }

    fn assert_clean(&self) {
        assert_eq!(self.faults, Vec::<String>::new());
    }

    /// What a file holds afterwards.
    fn file(&self, suffix: &str) -> String {
        fs::read_to_string(self.path(suffix)).unwrap_or_default()
    }
}

const SOURCE: (&str, &str) = ("source.txt", "invented\n");

#[tokio::test]
async fn a_blessed_request_is_clean_and_a_changed_one_is_not() {
    let request = ("request.http", "GET /jobs/7 HTTP/1.1\nHost: h\nAuthorization: Basic YW5hOnNlY3JldA==\n\n");
    let outcome = ("outcome.txt", "batch ordinal=7 state=running");
    let operation = "credentials Basic \"ana\"\nget Ordinal(7) Summary\n";
    let ran = case(Mode::Compare, &[SOURCE, request, ("operation.txt", operation)]).await;
    ran.assert_clean();
    let ran = case(Mode::Bless, &[SOURCE, request, outcome, ("operation.txt", "old")]).await;
    ran.assert_clean();
    assert_eq!(ran.file("operation.txt"), operation);
    assert_eq!(ran.file("response.http"), "HTTP/1.1 200 OK\r\nx-toy: 1\r\n\r\nana 7 running");
    let recorded = "HTTP/1.1 200 Fine\nDate: now\nX-Toy: 1\nContent-Length: 13\n\nana 7 running";
    let ran = case(Mode::Compare, &[SOURCE, request, outcome, ("response.http", recorded)]).await;
    ran.assert_clean();
    for other in [recorded.replace("200", "201"), recorded.replace("X-Toy", "X-Toys"), recorded.replace("ana", "bob")] {
        let ran = case(Mode::Compare, &[SOURCE, request, outcome, ("response.http", &other)]).await;
        assert!(ran.faults[0].contains("response.http differs"), "{:?}", ran.faults);
    }
}

#[tokio::test]
async fn what_needs_no_backend_answers_by_itself() {
    for (request, operation, response) in [
        ("GET /version HTTP/1.1", "answer\n", "HTTP/1.1 200 OK\r\nx-toy: 1\r\n\r\n1"),
        ("POST /sessions HTTP/1.1", "relay\n", "HTTP/1.1 501 Not Implemented\r\nx-toy: 1\r\n\r\nno sessions"),
        ("GET /nowhere HTTP/1.1", "miss path\n", "HTTP/1.1 404 Not Found\r\nx-toy: 1\r\n\r\nPath"),
        (
            "GET /jobs/x HTTP/1.1",
            "error InvalidRequest { field: \"id\", fault: Malformed }\n  message = \"no number\"\n",
            "HTTP/1.1 400 Bad Request\r\nx-toy: 1\r\n\r\nno number",
        ),
    ] {
        let ran = case(Mode::Bless, &[SOURCE, ("request.http", request)]).await;
        ran.assert_clean();
        assert_eq!(ran.file("operation.txt"), operation, "{request}");
        assert_eq!(ran.file("response.http"), response, "{request}");
    }
    let files = [SOURCE, ("request.http", "POST /jobs HTTP/1.1\n\nx"), ("face.txt", "face csrf=true")];
    let ran = case(Mode::Bless, &files).await;
    assert_eq!(ran.file("operation.txt"), "refused before its body is read\n");
}

#[tokio::test]
async fn uploads_are_told_without_the_place_where_they_lie() {
    let form = "--x\r\nContent-Disposition: form-data; name=\"main\"; filename=\"a.py\"\r\n\r\nprint(1)\r\n--x--\r\n";
    let request = format!("POST /jobs HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n{form}");
    let ran = case(Mode::Bless, &[SOURCE, ("request.http", &request)]).await;
    let wanted = "submit\n  kind = Jar\n  upload = \"main\" \"a.py\" 8 bytes, the application\n";
    assert_eq!(ran.file("operation.txt"), wanted);
}

#[tokio::test]
async fn an_outcome_may_name_its_request_and_a_stream_is_read_to_its_end() {
    let outcome = ("outcome.txt", "request GET /jobs/7/log\nlog ordinal=7 stream=true\n| a\n| b");
    let ran = case(Mode::Compare, &[SOURCE, outcome, ("response.http", "HTTP/1.1 200 OK\nX-Toy: 1\n\na\nb\n")]).await;
    ran.assert_clean();
    let outcome = ("outcome.txt", "request GET /jobs/7\nerror kind=internal message=\"not now\"");
    let ran = case(Mode::Bless, &[SOURCE, outcome]).await;
    assert!(ran.file("response.http").ends_with("\r\n\r\nnot now"), "{}", ran.file("response.http"));
}

#[tokio::test]
async fn cases_that_compare_nothing_are_faults() {
    let request = ("request.http", "GET /jobs/7 HTTP/1.1\n\n");
    let version = ("request.http", "GET /version HTTP/1.1\n\n");
    for (files, told) in [
        (vec![request], "no source.txt"),
        (vec![SOURCE, request], "nothing is compared"),
        (vec![SOURCE, ("operation.txt", "x")], "neither a request.http nor a request line"),
        (vec![SOURCE, request, ("response.http", "HTTP/1.1 200 OK\n\n")], "response.http needs an outcome.txt"),
        (vec![SOURCE, request, ("outcome.txt", "batch")], "outcome.txt: line 1"),
        (
            vec![SOURCE, version, ("operation.txt", "answer\n"), ("outcome.txt", "batch ordinal=1 state=running")],
            "no backend is asked",
        ),
    ] {
        let ran = case(Mode::Compare, &files).await;
        assert!(ran.faults[0].contains(told), "{:?} does not say {told:?}", ran.faults);
    }
}
