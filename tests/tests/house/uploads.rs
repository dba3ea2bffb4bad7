//! Uploads that are cut, endless, too large, or lie about what they are. Whatever comes, the answer is Kyuubi's, no file appears outside of
//! the folders that are meant for it, nothing stays in `upload_dir`, memory does not grow with what is sent, and the next good upload runs.
//!
//! An uploaded file is a shell program here (`python` is set to the shell), so that what has run can be seen by what it has written.

mod endless;
mod refused;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use batchlingua_testkit::mutate::{Form, Part};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::until;
use crate::proxy::{Config, Proxy};
use crate::wire::{self, Answer, Request};

/// Says `ran` to the file that it is told.
const PROGRAM: &str = "echo ran > \"$1\"\n";
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

#[test]
fn an_upload_that_is_wrong_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    let mut faults = Vec::new();
    let cases = refused::cases(&stage);
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
