//! Uploads that are cut, endless, too large, or lie about what they are. Whatever comes, the answer is Kyuubi's, no file appears outside of
//! the folders that are meant for it, nothing stays in `upload_dir`, memory does not grow with what is sent, and the next good upload runs.
//!
//! An uploaded file is a shell program here (`python` is set to the shell), so that what has run can be seen by what it has written.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use batchlingua_testkit::mutate::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::until;
use crate::proxy::{Config, Proxy};
use crate::wire::{self, Answer, Request};

/// Says `ran` to the file that it is told.
const PROGRAM: &str = "echo ran > \"$1\"\n";
/// What the proxy may hold beyond what it held before, in kilobytes, while it is sent hundreds of times its limits.
const GROWTH: u64 = 16 << 10;
const BOUND: Duration = Duration::from_secs(10);

/// How many uploads lie in the folder.
pub(crate) fn spooled(upload_dir: &Path) -> usize {
    fs::read_dir(upload_dir).map_or(0, |entries| entries.flatten().filter(|entry| entry.path().is_dir()).count())
}

struct Stage {
    folder: TempDir,
    proxy: Proxy,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the proxy");
        let mut config = Config::local(&folder.path().join("data"));
        config.dialects = vec!["kyuubi"];
        config.more = format!(
            "spark = false\npython = \"/bin/sh\"\n[limits]\nupload_dir = {:?}\nmax_upload = \"64KiB\"\nmax_body = \"16KiB\"\n\
             body_read_timeout = \"2s\"\n",
            folder.path().join("data/uploads").display().to_string()
        );
        Self { proxy: Proxy::start(config), folder }
    }

    fn upload_dir(&self) -> PathBuf {
        self.folder.path().join("data/uploads")
    }

    /// What a program of this name says that it ran.
    fn trace(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.ran"))
    }

    fn json(&self, name: &str) -> Part {
        self.json_of(name, |_| {})
    }

    fn json_of(&self, name: &str, change: fn(&mut Value)) -> Part {
        let mut request = json!({
            "batchType": "PYSPARK", "resource": "placeholder", "name": name, "args": [self.trace(name)],
        });
        change(&mut request);
        Part::value("batchRequest", request.to_string()).with("Content-Type: application/json")
    }

    fn list(&self) -> Vec<Value> {
        let (status, list) = self.proxy.client().ask("GET /api/v1/batches?size=10000");
        assert_eq!(status, 200, "{list}");
        list["batches"].as_array().expect("a list has batches").clone()
    }

    /// Sends an upload that has to be taken, and waits until its program has run.
    fn runs(&self, name: &str, request: &[u8]) {
        let answer = self.told(request);
        let batch: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert_eq!((answer.status, &batch["name"]), (200, &json!(name)), "{name}: {}", text(&answer));
        let line = format!("GET /api/v1/batches/{}", batch["id"].as_str().expect("a batch has an id"));
        until(&format!("{name} to end"), || {
            let state = self.proxy.client().ask(&line).1["state"].clone();
            assert!(state != "ERROR", "{name} failed: {:?}", self.proxy.client().ask(&format!("{line}/localLog")));
            state == "FINISHED"
        });
        assert_eq!(fs::read_to_string(self.trace(name)).ok().as_deref(), Some("ran\n"), "{name}");
    }

    fn told(&self, request: &[u8]) -> Answer {
        let answers = wire::exchange(self.proxy.address(), Request(request), 1);
        answers.unwrap_or_else(|e| panic!("{e}\n{}", self.proxy.stderr())).pop().expect("an answer")
    }

    /// Nothing is left of any upload, and nothing lies where nobody has put it.
    fn assert_clean(&self) {
        until("uploaded files to go", || spooled(&self.upload_dir()) == 0);
        let named_by_clients: Vec<PathBuf> = files_under(self.folder.path())
            .into_iter()
            .filter(|path| path.to_string_lossy().contains("canary") || path.ends_with("passwd"))
            .collect();
        assert_eq!(named_by_clients, Vec::<PathBuf>::new());
        let said = self.proxy.stderr();
        assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
    }
}

fn text(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files_under(&path));
        }
        all.push(path);
    }
    all
}

fn program(file_name: impl AsRef<[u8]>) -> Part {
    Part::file("resourceFile", file_name, PROGRAM)
}

/// The request with this form, its length right.
fn request(form: &Form) -> Vec<u8> {
    framed(&form.content_type(), &form.body())
}

fn framed(content_type: &[u8], body: &[u8]) -> Vec<u8> {
    [&head(content_type, body.len())[..], body].concat()
}

fn head(content_type: &[u8], length: usize) -> Vec<u8> {
    let start = b"POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: ";
    [&start[..], content_type, format!("\r\nContent-Length: {length}\r\n\r\n").as_bytes()].concat()
}

/// The requests that are refused, with the status and what the message says.
fn refused(stage: &Stage) -> Vec<(String, Vec<u8>, u16, &'static str)> {
    const BAD: &str = "HTTP 400 Bad Request";
    const NO_REQUEST: &str = "batchRequest is required and please check the content type";
    const REQUIRED: &str = "requirement failed: ";
    let json = || stage.json("refused");
    let of = |parts: Vec<Part>| request(&Form::new(parts));
    let good = Form::new([program("a.py"), json()]);
    let many = |count: usize, part: fn(usize) -> Part| {
        let parts = (0..count).map(part).chain([program("a.py"), json()]);
        of(parts.collect())
    };
    let value = |at: usize| Part::value(&format!("v{at}"), "1");
    let file = |at: usize| Part::file(&format!("f{at}"), format!("canary-{at}"), "1");
    let typed = |kind: &str| Part { head: Part::value("batchRequest", "").with(kind).head, content: json().content };
    let large = |name: &str| Part::file(name, "canary", "x".repeat(70 << 10));
    let mut all: Vec<(String, Vec<u8>, u16, &'static str)> = vec![
        ("no end".into(), framed(&good.content_type(), &good.without_end()), 400, BAD),
        ("no parts".into(), of(vec![]), 400, BAD),
        ("no body".into(), framed(&good.content_type(), b""), 400, BAD),
        ("no boundary".into(), framed(b"multipart/form-data", &good.body()), 400, BAD),
        ("an empty boundary".into(), framed(b"multipart/form-data; boundary=", &good.body()), 400, BAD),
        ("another boundary".into(), framed(b"multipart/form-data; boundary=other", &good.body()), 400, BAD),
        (
            "a boundary in other letters".into(),
            {
                let upper = good.content_type().to_ascii_uppercase();
                framed(&upper, &good.body())
            },
            400,
            BAD,
        ),
        ("noise".into(), framed(&good.content_type(), &[0xff; 5_000]), 400, BAD),
        ("10,000 values".into(), many(10_000, value), 413, "max_parts"),
        ("10,000 files".into(), many(10_000, file), 413, "max_parts"),
        ("99 parts too many".into(), many(198, value), 413, "max_parts"),
        ("no JSON".into(), of(vec![program("a.py")]), 500, NO_REQUEST),
        (
            "JSON of no type".into(),
            of(vec![program("a.py"), Part::value("batchRequest", json().content)]),
            500,
            NO_REQUEST,
        ),
        ("JSON as text".into(), of(vec![program("a.py"), typed("Content-Type: text/plain")]), 500, NO_REQUEST),
        (
            "JSON under another name".into(),
            of(vec![program("a.py"), Part::value("request", json().content)]),
            500,
            NO_REQUEST,
        ),
        (
            "no JSON in it".into(),
            {
                let broken = Part { content: b"{\"batchType\":".to_vec(), ..json() };
                of(vec![program("a.py"), broken])
            },
            400,
            BAD,
        ),
        (
            "deep JSON in it".into(),
            {
                let deep = format!("{{\"args\":{}", "[".repeat(10_000));
                of(vec![program("a.py"), Part { content: deep.into_bytes(), ..json() }])
            },
            400,
            BAD,
        ),
        (
            "JSON in bytes".into(),
            { of(vec![program("a.py"), Part { content: b"{\"name\":\"\xff\"}".to_vec(), ..json() }]) },
            400,
            BAD,
        ),
        ("a list in it".into(), of(vec![program("a.py"), Part { content: b"[]".to_vec(), ..json() }]), 400, BAD),
        (
            "two JSON parts, the first wrong".into(),
            { of(vec![program("a.py"), stage.json_of("refused", |json| json["batchType"] = json!("FLINK")), json()]) },
            500,
            "FLINK is not in the supported list",
        ),
        ("no file".into(), of(vec![json()]), 500, REQUIRED),
        ("no file name".into(), of(vec![Part::value("resourceFile", PROGRAM), json()]), 500, "fileName"),
        (
            "no name of the file's part".into(),
            { of(vec![Part::new("form-data; filename=\"canary\"", PROGRAM), json()]) },
            500,
            REQUIRED,
        ),
        (
            "a file that is not there".into(),
            {
                let named =
                    stage.json_of("refused", |json| json["extraResourcesMap"] = json!({"spark.files": "b.txt"}));
                of(vec![program("a.py"), named])
            },
            500,
            "[b.txt] are not uploaded",
        ),
        (
            "two files of one name".into(),
            {
                let named = stage.json_of("refused", |json| json["extraResourcesMap"] = json!({"spark.files": "b"}));
                of(vec![program("canary.py"), Part::file("b", "canary.py", "other"), named])
            },
            500,
            REQUIRED,
        ),
        ("a name of 4 KiB".into(), of(vec![program("canary".repeat(700)), json()]), 500, "file name"),
        // A header has no nul.
        ("a name with a nul".into(), of(vec![program("canary\0.py"), json()]), 400, BAD),
        ("a large file".into(), of(vec![large("resourceFile"), json()]), 413, "max_upload"),
        ("a large file behind a good one".into(), of(vec![program("a.py"), json(), large("more")]), 413, "max_upload"),
        (
            "large files that are nothing".into(),
            of(vec![program("a.py"), large("resourceFile"), json()]),
            413,
            "max_upload",
        ),
        (
            "a large value".into(),
            of(vec![program("a.py"), json(), Part::value("v", "x".repeat(20 << 10))]),
            413,
            "max_body",
        ),
        (
            "large JSON".into(),
            {
                let padded = [&json().content[..], &b" ".repeat(20 << 10)].concat();
                of(vec![program("a.py"), Part { content: padded, ..json() }])
            },
            413,
            "max_body",
        ),
        ("a type that no form has".into(), framed(b"multipart/mixed; boundary=x", &good.body()), 415, "HTTP 415"),
    ];
    // Cut within each part of it, as if that were all.
    let body = good.body();
    let end = body.len() - good.boundary.len() - 6;
    for at in (1..end).step_by(29) {
        all.push((format!("cut at {at}"), framed(&good.content_type(), &body[..at]), 400, BAD));
    }
    all
}

#[test]
fn an_upload_that_is_wrong_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    let mut faults = Vec::new();
    let cases = refused(&stage);
    for (name, request, status, says) in &cases {
        let answer = stage.told(request);
        let message = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["message"].clone();
        let says_so = message.as_str().is_some_and(|message| message.contains(says));
        if answer.status != *status || !says_so {
            faults.push(format!("{name}: {status} and {says:?} were to be told, not {}", text(&answer)));
        }
    }
    println!("uploads: {} refused", cases.len());
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), cases.len(), faults.join("\n"));
    assert_eq!(stage.list(), Vec::<Value>::new(), "nothing is listed");
    stage.assert_clean();
    stage.runs("good", &request(&Form::new([program("a.py"), stage.json("good")])));
    stage.assert_clean();
}

/// What is odd and yet says clearly what is to run is run, as a Kyuubi does.
#[test]
fn an_odd_upload_runs_and_writes_nowhere_else() {
    let stage = Stage::new();
    let absolute = stage.folder.path().join("canary.py").display().to_string();
    let names: [&[u8]; 15] = [
        b"a.py",
        b"",
        b".",
        b"..",
        b"../../canary.py",
        b"../../../../../../../../etc/passwd",
        b"..\\..\\canary.py",
        b"C:\\x\\canary.py",
        b"\\\\host\\share\\canary.py",
        b"%2e%2e%2fcanary.py",
        b"~/canary.py",
        b"-rf",
        b"a b;c$(touch canary).py",
        "\u{202e}\u{1f680}.py".as_bytes(),
        absolute.as_bytes(),
    ];
    let mut count = 0;
    let mut run = |name: &str, request: &[u8]| {
        stage.runs(name, request);
        count += 1;
    };
    for (number, file_name) in names.into_iter().enumerate() {
        let name = format!("name-{number}");
        run(&name, &request(&Form::new([program(file_name), stage.json(&name)])));
    }
    let of = |parts: Vec<Part>| request(&Form::new(parts));
    let json = |name: &str| stage.json(name);
    run("json-first", &of(vec![json("json-first"), program("a.py")]));
    run("json-twice", &of(vec![json("json-twice"), program("a.py"), json("another")]));
    run("file-twice", &of(vec![program("a.py"), Part::file("resourceFile", "canary", "exit 1"), json("file-twice")]));
    let unnamed = Part::new("form-data", "x");
    run("unnamed-part", &of(vec![unnamed, program("a.py"), json("unnamed-part")]));
    run(
        "unnamed-file",
        &of(vec![Part::new("form-data; filename=\"canary\"", "x"), program("a.py"), json("unnamed-file")]),
    );
    let inner = Form { boundary: b"inner".to_vec(), ..Form::new([Part::file("resourceFile", "canary", "exit 1")]) };
    let nested = Part::value("inner", inner.body()).with("Content-Type: multipart/mixed; boundary=inner");
    run("nested", &of(vec![nested, program("a.py"), json("nested")]));
    // What looks like a boundary and is none belongs to the file.
    let form = Form::new([]);
    let like =
        [b"\r\n: \r\n--", &form.boundary[..form.boundary.len() - 1], b"\r\n:\r\n-- ", &form.boundary[..]].concat();
    let odd = Part::file("resourceFile", "a.py", [PROGRAM.as_bytes(), b"exit\n", &like[..]].concat());
    run("like-a-boundary", &of(vec![odd, json("like-a-boundary")]));
    let spaced = Form { boundary: b"a b'()+_,-./:=?".to_vec(), parts: vec![program("a.py"), json("odd-boundary")] };
    run("odd-boundary", &framed(b"multipart/form-data; boundary=\"a b'()+_,-./:=?\"", &spaced.body()));
    let long = Form { boundary: vec![b'b'; 70], parts: vec![program("a.py"), json("long-boundary")] };
    run("long-boundary", &request(&long));
    let around = Form::new([program("a.py"), json("around")]);
    run("around", &framed(&around.content_type(), &[b"before\r\n", &around.body()[..], b"after"].concat()));
    let many: Vec<Part> = (0..98).map(|at| Part::value(&format!("v{at}"), "1")).collect();
    run("hundred-parts", &of([many, vec![program("a.py"), json("hundred-parts")]].concat()));
    let chunked = Form::new([program("a.py"), json("chunked")]);
    run("chunked", &in_chunks_of_one(&chunked));
    println!("uploads: {count} odd ones run");
    stage.assert_clean();
    assert_eq!(stage.list().len(), count);
}

fn in_chunks_of_one(form: &Form) -> Vec<u8> {
    let head = String::from_utf8(head(&form.content_type(), 0)).expect("a head is text");
    let mut out = head.replace("Content-Length: 0", "Transfer-Encoding: chunked").into_bytes();
    for byte in form.body() {
        out.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// The client goes in the middle of it, in order or not, or the proxy does.
#[test]
fn an_upload_that_is_broken_off_leaves_nothing() {
    let mut stage = Stage::new();
    let form = Form::new([program("a.py"), Part::file("more", "canary", "x".repeat(30 << 10)), stage.json("cut")]);
    let body = form.body();
    let mut count = 0;
    for at in [1, 40, 120, 160, 200, 300, 5_000, 20_000, body.len() - 200, body.len() - 60, body.len() - 8] {
        for how in [Leave::Quietly, Leave::Closing, Leave::ByReset] {
            leave(&stage.proxy, &form, at, how);
            count += 1;
        }
    }
    println!("uploads: {count} broken off");
    stage.assert_clean();
    assert_eq!(stage.list(), Vec::<Value>::new(), "nothing is listed");

    // The proxy goes while a file is on its way, and is told by its folder that it does.
    let mut stream = TcpStream::connect(stage.proxy.address()).expect("the proxy listens");
    stream.write_all(&[&head(&form.content_type(), body.len())[..], &body[..20_000]].concat()).expect("it listens");
    until("a file to be on its way", || spooled(&stage.upload_dir()) == 1);
    stage.proxy.kill();
    assert_eq!(spooled(&stage.upload_dir()), 1, "nobody was there to remove it");
    stage.proxy.start_again();
    stage.assert_clean();
    stage.runs("good", &request(&Form::new([program("a.py"), stage.json("good")])));
    stage.assert_clean();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It says that nothing more comes, and waits for what is said to that.
    Quietly,
    /// It is gone.
    Closing,
    /// It is gone without having read what was said to it, which the proxy learns as a reset.
    ByReset,
}

fn leave(proxy: &Proxy, form: &Form, at: usize, how: Leave) {
    let body = form.body();
    let head = String::from_utf8(head(&form.content_type(), body.len())).expect("a head is text");
    let head = if how == Leave::ByReset { head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n") } else { head };
    let mut stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
    stream.set_read_timeout(Some(BOUND)).expect("a time is set");
    stream.write_all(head.as_bytes()).expect("the proxy listens");
    if how == Leave::ByReset {
        // It has come, and stays unread.
        assert!(stream.peek(&mut [0]).expect("the proxy asks for the body") > 0);
    }
    stream.write_all(&body[..at]).expect("the proxy listens");
    if how == Leave::Quietly {
        stream.shutdown(Shutdown::Write).expect("the connection is there");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the proxy ends it");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{at}: {answer}");
    }
}

/// What has no end, in each place where it may stand: it is refused long before it has been read.
#[test]
fn an_upload_without_end_is_not_held_in_memory() {
    let stage = Stage::new();
    let form = Form::new([]);
    let boundary = [b"--", &form.boundary[..]].concat();
    let file =
        [&boundary[..], b"\r\nContent-Disposition: form-data; name=\"resourceFile\"; filename=\"canary\"\r\n"].concat();
    let line = b"0123456789012345678901234567890123456789012345678901234567890123\r\n".as_slice();
    let places: [(&str, Vec<u8>, &[u8]); 9] = [
        ("in front", Vec::new(), line),
        ("in front, without a line", Vec::new(), b"x"),
        ("a part's header", [&file[..], b"X-Long: "].concat(), b"y"),
        ("a part's headers", file.clone(), b"X-More: y\r\n"),
        ("a part's name", [&boundary[..], b"\r\nContent-Disposition: form-data; name=\""].concat(), b"n"),
        ("a file", [&file[..], b"\r\n"].concat(), line),
        ("a value", [&boundary[..], b"\r\nContent-Disposition: form-data; name=\"v\"\r\n\r\n"].concat(), line),
        ("a part twice", [&file[..], b"\r\n\r\n", &file[..], b"\r\n"].concat(), line),
        ("a boundary", boundary.clone(), b" "),
    ];
    // Once round first, so that what is made once is there.
    stage.told(&request(&Form::new([program("a.py")])));
    let mut faults = Vec::new();
    for (place, start, again) in places {
        let before = stage.proxy.resident();
        let endless = Endless { start, again, most: 64 << 20 };
        match endless.send(&stage.proxy, &form.content_type()) {
            Ok((status, peak)) if (status == 400 || status == 413) && peak < before + GROWTH => {}
            Ok((status, peak)) => faults.push(format!("{place}: {status}; {before} kB before, {peak} kB at most")),
            Err(fault) => faults.push(format!("{place}: {fault}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    stage.assert_clean();
    assert_eq!(stage.list(), Vec::<Value>::new(), "nothing is listed");
}

struct Endless<'a> {
    start: Vec<u8>,
    again: &'a [u8],
    most: usize,
}

impl Endless<'_> {
    /// The status of the answer, and the most memory that the proxy was seen to hold.
    fn send(&self, proxy: &Proxy, content_type: &[u8]) -> Result<(u16, u64), String> {
        let mut stream = TcpStream::connect(proxy.address()).map_err(|e| e.to_string())?;
        stream
            .set_read_timeout(Some(BOUND))
            .and_then(|()| stream.set_write_timeout(Some(BOUND)))
            .map_err(|e| e.to_string())?;
        let head = head(content_type, self.most);
        let piece = self.again.repeat((64 << 10) / self.again.len());
        let mut sent = self.start.len();
        let mut peak = proxy.resident();
        let mut open = stream.write_all(&[&head[..], &self.start].concat()).is_ok();
        let began = Instant::now();
        while open && sent + piece.len() < self.most {
            if began.elapsed() > BOUND {
                return Err(format!("it is still read after {sent} bytes and {BOUND:?}"));
            }
            // A proxy that has had enough says so and stops to listen.
            open = stream.write_all(&piece).is_ok();
            sent += piece.len();
            peak = peak.max(proxy.resident());
        }
        let _ = stream.shutdown(Shutdown::Write);
        let answer = wire::Reader::new(&stream).answer(Request(&head))?.ok_or_else(|| wire::SILENCE.to_owned())?;
        Ok((answer.status, peak.max(proxy.resident())))
    }
}
