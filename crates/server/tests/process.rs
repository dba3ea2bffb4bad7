//! The binary as an operator meets it: started, asked, ended.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use batchlingua_testkit::{Postgres, lasting_port};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_batchlingua");

fn batchlingua(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(dir).args(args).stdin(Stdio::null());
    command
}

fn run(dir: &Path, args: &[&str]) -> Output {
    batchlingua(dir, args).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

const FREE_PORTS: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
                          [log]\nformat = \"json\"\n[backend.here]\nkind = \"local\"\n";

struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    main: String,
    admin: String,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, "")
    }

    /// With further sections of its configuration.
    fn start_with(dir: &Path, sections: &str) -> Self {
        std::fs::write(dir.join("x.toml"), format!("{FREE_PORTS}{sections}")).expect("written");
        let mut command = batchlingua(dir, &["serve", "--config", "x.toml", "--ready-file", "ready.json"]);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        wait_for(&mut log, "\"message\":\"ready\"");
        let ready = std::fs::read(dir.join("ready.json")).expect("written before it says that it is ready");
        let ready: Value = serde_json::from_slice(&ready).expect("JSON");
        let address = |value: &Value| value.as_str().expect("an address").to_owned();
        Self { child, log, main: address(&ready["listeners"]["main"]), admin: address(&ready["admin"]) }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
    }

    fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("ended").success(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only where a test has failed: else it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log's line with the words; panics if the log ends before.
fn wait_for(log: &mut impl BufRead, words: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("text") > 0, "the log ended before {words}: {all}");
        if line.contains(words) {
            return line;
        }
        all.push_str(&line);
    }
}

/// One request with these headers beside `Host`; the whole answer.
fn ask(address: &str, method: &str, path: &str, headers: &str) -> String {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
    let mut socket = TcpStream::connect(address).expect("somebody listens");
    socket.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("text");
    answer
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[test]
fn it_serves_clients_and_operators_and_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let serving = Serving::start(dir.path());

    let batches = ask(&serving.main, "GET", "/batches", "X-Request-Id: mine\r\n");
    assert!(batches.starts_with("HTTP/1.1 200") && batches.contains("x-request-id: mine"), "{batches}");
    for headers in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Host: evil.example\r\n"] {
        assert_eq!(status(&ask(&serving.main, "GET", "/batches", headers)), "403", "{headers}");
        assert_eq!(status(&ask(&serving.admin, "GET", "/metrics", headers)), "403", "{headers}");
    }

    assert_eq!(status(&ask(&serving.admin, "GET", "/health/live", "")), "200");
    let ready = ask(&serving.admin, "GET", "/health/ready", "");
    assert!(status(&ready) == "200" && ready.ends_with("{\"status\":\"ready\"}"), "{ready}");
    assert_eq!(status(&ask(&serving.admin, "GET", "/", "")), "404");
    let refused = ask(&serving.admin, "POST", "/metrics", "");
    assert!(status(&refused) == "405" && refused.contains("allow: GET, HEAD"), "{refused}");
    let metrics = ask(&serving.admin, "GET", "/metrics", "");
    for words in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
        "batchlingua_requests_total{dialect=\"livy\",operation=\"list\",status=\"200\"} 1\n",
        "batchlingua_connections_total{listener=\"main\"} 4\n",
        "batchlingua_ledger_up 1\n",
    ] {
        assert!(metrics.contains(words), "{words}\n{metrics}");
    }

    serving.signal("TERM");
    let (well, log) = serving.end();
    assert!(well && log.contains("what is in flight is finished"), "{log}");
}

/// A proxy whose database is away, once it says so; its clients' address is what its configuration says.
fn waiting(dir: &Path, clients: &str) -> Serving {
    let mut command = batchlingua(dir, &["serve", "--config", "x.toml", "--ready-file", "ready.json"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
    let log = BufReader::new(child.stderr.take().expect("piped"));
    let mut waiting = Serving { child, log, main: clients.to_owned(), admin: String::new() };
    let line = wait_for(&mut waiting.log, "admin listening");
    let address = line.split("\"address\":\"").nth(1).and_then(|rest| rest.split('"').next());
    waiting.admin = address.expect("the line says where").to_owned();
    let line = wait_for(&mut waiting.log, "waiting for the ledger's database");
    assert!(line.contains("cannot be reached") && !line.contains("hunter2"), "{line}");
    waiting
}

/// A node may boot before its database.
#[test]
fn a_proxy_waits_for_the_database_of_its_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Postgres::start(false);
    server.stop();
    let clients = format!("127.0.0.1:{}", lasting_port());
    let configure = |database: &str| {
        let url = server.url(database).replace("&user=test", "&user=test&password=hunter2");
        let listeners = FREE_PORTS.replacen("127.0.0.1:0", &clients, 1);
        std::fs::write(dir.path().join("x.toml"), format!("{listeners}[ledger]\nurl = \"{url}\"\n")).expect("written");
    };
    configure("postgres");

    let mut proxy = waiting(dir.path(), &clients);
    assert_eq!(status(&ask(&proxy.admin, "GET", "/health/live", "")), "200");
    let ready = ask(&proxy.admin, "GET", "/health/ready", "");
    assert!(status(&ready) == "503" && ready.contains("waiting for") && !ready.contains("hunter2"), "{ready}");
    assert_eq!(status(&ask(&proxy.admin, "GET", "/metrics", "")), "503");
    assert!(TcpStream::connect(&clients).is_err(), "a client that waited might be served long after it has gone");
    assert!(!dir.path().join("ready.json").exists());
    server.start_again();
    wait_for(&mut proxy.log, "\"message\":\"ready\"");
    assert_eq!(status(&ask(&proxy.main, "GET", "/batches", "")), "200");
    assert_eq!(status(&ask(&proxy.admin, "GET", "/health/ready", "")), "200");
    proxy.signal("TERM");
    assert!(proxy.end().0);

    server.stop();
    let proxy = waiting(dir.path(), &clients);
    proxy.signal("TERM");
    assert!(proxy.end().0, "told to end while it waits, it ends");

    // What no waiting mends.
    server.start_again();
    configure("nowhere");
    let refused = run(dir.path(), &["serve", "--config", "x.toml"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("\"nowhere\" does not exist"), "{refused:?}");
}

#[test]
fn a_submit_that_is_on_its_way_is_finished_after_sigterm() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut serving = Serving::start(dir.path());
    std::fs::write(dir.path().join("job.py"), "").expect("written");
    let body = format!("{{\"file\":\"{}\"}}", dir.path().join("job.py").display());
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut client = TcpStream::connect(&serving.main).expect("somebody listens");
    client.write_all(head.as_bytes()).expect("written");
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).expect("the body is waited for");

    serving.signal("TERM");
    wait_for(&mut serving.log, "what is in flight is finished");
    let ready = ask(&serving.admin, "GET", "/health/ready", "");
    assert!(status(&ready) == "503" && ready.contains("draining"), "{ready}");
    client.write_all(body.as_bytes()).expect("written");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("text");
    assert!(status(&answer) == "201" && answer.contains("connection: close"), "{answer}");
    assert!(serving.end().0);
}

#[test]
fn clients_are_served_until_whoever_watches_readiness_has_turned_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut serving = Serving::start_with(dir.path(), "[limits]\ndrain_delay = \"1h\"\n");
    let mut kept = TcpStream::connect(&serving.main).expect("somebody listens");
    let mut poll = || {
        kept.write_all(b"GET /batches HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
        let mut answer = [0; 4096];
        let length = kept.read(&mut answer).expect("read");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let before = poll();
    assert!(status(&before) == "200" && !before.contains("connection: close"), "{before}");

    serving.signal("TERM");
    wait_for(&mut serving.log, "not ready any more");
    assert_eq!(status(&ask(&serving.admin, "GET", "/health/ready", "")), "503");
    assert_eq!(status(&ask(&serving.main, "GET", "/batches", "")), "200", "a new connection");
    let last = poll();
    assert!(status(&last) == "200" && last.contains("connection: close"), "a kept one has its last answer: {last}");

    serving.signal("TERM");
    let (finished, log) = serving.end();
    assert!(!finished && log.contains("told again to end"), "{log}");
}

#[test]
fn a_second_process_cannot_take_the_same_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let serving = Serving::start(dir.path());
    let second = run(dir.path(), &["serve", "--config", "x.toml"]);
    let told = text(&second.stderr);
    assert!(!second.status.success() && told.contains("cannot open the ledger"), "{told}");
    assert!(told.contains(&serving.child.id().to_string()), "the holder is named: {told}");
    serving.signal("INT");
    assert!(serving.end().0);
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_is_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    std::fs::write(dir.path().join("x.toml"), FREE_PORTS.replacen("127.0.0.1:0", &address, 1)).expect("written");
    let refused = run(dir.path(), &["--config", "x.toml"]);
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.contains(&format!("cannot listen on {address}")), "{told}");
    assert!(!dir.path().join("batchlingua-data").exists(), "nothing was made");
}

#[test]
fn check_tells_all_faults_and_touches_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("x.toml");
    std::fs::write(&file, FREE_PORTS).expect("written");
    let good = run(dir.path(), &["check", "x.toml"]);
    assert!(good.status.success() && text(&good.stdout).starts_with("x.toml: ok\n"), "{good:?}");

    std::fs::write(&file, "insecur = true\n[limits]\nsweep = 1\n").expect("written");
    let bad = run(dir.path(), &["check", "x.toml"]);
    let told = text(&bad.stderr);
    assert_eq!(bad.status.code(), Some(1));
    assert!(told.contains("x.toml:1:1: insecur: ") && told.contains("x.toml:3:1: limits.sweep: "), "{told}");
    assert!(told.contains("3 faults"), "{told}");

    let missing = run(dir.path(), &["check", "none.toml"]);
    assert!(!missing.status.success() && text(&missing.stderr).starts_with("none.toml: "), "{missing:?}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_demo_is_right() {
    let dir = tempfile::tempdir().expect("a directory");
    let shown = batchlingua(dir.path(), &["demo"]).env("TMPDIR", dir.path()).output().expect("the binary runs");
    let told = text(&shown.stdout);
    assert!(shown.status.success(), "{told}{}", text(&shown.stderr));
    assert!(told.contains("as counted here") && told.contains("  1  the "), "{told}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 0, "nothing is left");
}

#[test]
fn the_version_is_told() {
    let told = text(&run(Path::new("/"), &["--version"]).stdout);
    assert_eq!(told, format!("batchlingua {}\n", env!("CARGO_PKG_VERSION")));
}
