//! What a client sends in confidence is written nowhere: not to the log at its most talkative, not to an answer, not to the ledger's files, not to
//! a metric, and to no file that is left when its job has ended. While the job runs it is in the job's own folder, which only the job and the
//! proxy's user can read, since the job needs it.

mod dialects;
mod proofs;
mod signing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{Client, id_of};
use crate::jobs::Jobs;
use crate::proxy::Proxy;
use crate::wire::{self, Answer, Request};

/// Nothing else has these letters in a row, so it is found wherever it is, whole or encoded.
const MARK: &str = "xQ7zJwK9vMark";

/// `MARK` as it would stand in a file if somebody had put it there in one of these codes.
fn spellings() -> Vec<Vec<u8>> {
    let utf16 = MARK.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    // In Base64 it depends on where it begins; its first and last letters are mixed with what stands around it.
    let based = (0..3).map(|shift| {
        let coded = STANDARD.encode([&b"aaa"[..shift], MARK.as_bytes(), b"aaa"].concat());
        let start = if shift == 0 { 0 } else { 4 };
        coded.as_bytes()[start..start + 12].to_vec()
    });
    [MARK.as_bytes().to_vec(), utf16, hex.into_bytes()].into_iter().chain(based).collect()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[track_caller]
fn assert_without(what: &str, bytes: &[u8]) {
    for spelling in spellings() {
        if let Some(at) = bytes.windows(spelling.len()).position(|window| window == spelling) {
            let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 100)];
            panic!("{what} has the secret: {}", String::from_utf8_lossy(around));
        }
    }
}

#[test]
fn the_mark_is_found_in_every_spelling() {
    for shift in 0..3 {
        let coded = STANDARD.encode([&b"any"[..shift], MARK.as_bytes(), b" thing"].concat());
        let found = spellings().iter().any(|spelling| coded.as_bytes().windows(spelling.len()).any(|w| w == spelling));
        assert!(found, "{coded}");
    }
}

/// A submit with a secret wherever one is usual.
fn telling(jobs: &Jobs, name: &str) -> Value {
    with_secrets(jobs.quick(name))
}

fn with_secrets(mut body: Value) -> Value {
    let args = body["args"].as_array_mut().expect("a job has arguments");
    let own = ["--password", MARK, &format!("--token={MARK}"), &format!("jdbc:db://u:{MARK}@h/d"), "--day", "1"];
    args.extend(own.map(Value::from));
    body["conf"] = json!({
        "spark.hadoop.fs.s3a.secret.key": MARK,
        "spark.hadoop.fs.azure.account.key.lake": MARK,
        "spark.executorEnv.API_TOKEN": MARK,
        "spark.ssl.keyPassword": MARK,
        "spark.driver.extraJavaOptions": format!("-Dx=1 -Djavax.net.ssl.trustStorePassword={MARK}"),
    });
    body
}

/// The same for Kyuubi and for DLI.
fn telling_kyuubi(jobs: &Jobs, name: &str) -> Value {
    let mut body = telling(jobs, name);
    let file = body["file"].take();
    body.as_object_mut().expect("an object").remove("file");
    body["batchType"] = json!("PYSPARK");
    body["resource"] = file;
    body
}

fn telling_dli(jobs: &Jobs, name: &str) -> Value {
    let mut body = telling(jobs, name);
    body["queue"] = json!("q");
    body
}

/// Who is asked, and must not tell.
#[derive(Clone, Copy)]
struct Confidant(Client);

impl Confidant {
    #[track_caller]
    fn ask(self, line: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let answer = self.0.exchange(line, headers, body).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_silent(line, &answer);
        answer
    }

    /// A body as it stands, JSON or not.
    #[track_caller]
    fn send(self, line: &str, headers: &[(&str, &str)], content_type: &str, body: &[u8]) -> Answer {
        let mut head = format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.0.0);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len()));
        let request = [head.as_bytes(), body].concat();
        let mut answers = wire::exchange(self.0.0, Request(&request), 1).unwrap_or_else(|e| panic!("{line}: {e}"));
        answers.pop().expect("an answer")
    }
}

#[track_caller]
fn assert_silent(line: &str, answer: &Answer) {
    assert_without(&format!("the head of the answer to {line}"), format!("{:?}", answer.headers).as_bytes());
    assert_without(&format!("the answer to {line}"), &answer.body);
}

fn post(client: Client, headers: &[(&str, &str)], body: &Value) -> Answer {
    Confidant(client).ask("POST /batches", headers, Some(body))
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// Every file below, by its bytes. The configuration is the operator's own.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() && !path.ends_with("batchlingua.toml") {
            all.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
    all
}

/// Nothing on the disk has it: not the ledger or its journal, not the log, not what is left of jobs and uploads.
fn assert_disk_without(dir: &Path) {
    for (path, bytes) in files(dir) {
        assert_without(&path.display().to_string(), &bytes);
    }
}

/// Asks for metrics, ends the proxy, and looks at all that it leaves behind.
fn assert_kept(mut proxy: Proxy, dir: &Path, others: &[&str]) {
    let metrics = Client(proxy.admin()).exchange("GET /metrics", &[], None).expect("an answer");
    assert_eq!(metrics.status, 200);
    assert_without("a metric", &metrics.body);
    assert_disk_without(dir);
    assert!(proxy.terminate().success());
    assert_disk_without(dir);
    let log = proxy.stderr();
    assert!(log.contains("DEBUG") && log.contains("ana"), "the log is talkative");
    for other in others {
        for (path, bytes) in files(dir) {
            let found = bytes.windows(other.len()).any(|window| window == other.as_bytes());
            assert!(!found, "{} has {other:?}", path.display());
        }
    }
    assert_private(&dir.join("jobs"));
}

#[test]
fn a_secret_is_in_no_log_no_answer_no_ledger_and_no_metric() {
    let jobs = Jobs::new();
    let mut config = jobs.config(4);
    config.more.push_str("[log]\nlevel = \"trace\"\n");
    let dir = config.dir.clone();
    let mut proxy = Proxy::start(config);
    let client = proxy.client();
    let (basic, bearer) = (basic("ana", MARK), format!("Bearer {MARK}"));

    // Taken, run, looked at, and ended.
    let mut ids = Vec::new();
    for (name, headers) in [
        ("plain", vec![]),
        ("basic", vec![("Authorization", basic.as_str())]),
        ("bearer", vec![("Authorization", bearer.as_str()), ("Cookie", MARK)]),
        ("keyed", vec![("Authorization", basic.as_str()), ("Idempotency-Key", "k")]),
    ] {
        let answer = post(client, &headers, &telling(&jobs, name));
        ids.push(id_of(&(answer.status, json_of(&answer))).unwrap_or_else(|| panic!("{name}: {answer:?}")));
    }
    for id in &ids {
        client.until_state(*id, &["success"]);
        for line in [format!("GET /batches/{id}"), format!("GET /batches/{id}/log"), "GET /batches".to_owned()] {
            Confidant(client).ask(&line, &[("Authorization", &basic)], None);
        }
    }
    // Refused at each place that looks at a submit: the shape, the front's checks, the key, the name, the backend.
    let changed = |change: fn(&mut Value)| {
        let mut body = telling(&jobs, "refused");
        change(&mut body);
        body
    };
    for body in [
        changed(|body| body["args"] = json!({"password": MARK})),
        changed(|body| body["conf"]["spark.ssl.keyPassword"] = json!([MARK])),
        changed(|body| body["conf"]["spark.submit.deployMode"] = json!("cluster")),
        changed(|body| body["conf"]["a.password=b"] = json!(MARK)),
        changed(|body| body["name"] = json!("plain")),
        changed(|body| body["file"] = json!(format!("s3a://key:{MARK}@bucket/job.py"))),
        changed(|body| body["file"] = json!("/etc/hosts")),
        changed(|body| body["numExecutors"] = json!(MARK.len() as f64 + 0.5)),
    ] {
        let answer = post(client, &[("Authorization", &basic)], &body);
        assert!(answer.status >= 400, "{body} gave {answer:?}");
    }
    // A key belongs to who has used it.
    let answer = post(client, &[("Authorization", &basic), ("Idempotency-Key", "k")], &telling(&jobs, "another"));
    assert_eq!(answer.status, 409);

    // What a restart reads and writes, too.
    proxy.kill();
    proxy.start_again();
    assert_eq!(proxy.client().list().len(), ids.len());
    assert_redacted(&dir);
    assert_kept(proxy, &dir, &[]);
}

/// The ledger has something in the secrets' place.
fn assert_redacted(dir: &Path) {
    let mut ledgers = files(dir).into_iter().filter(|(path, _)| path.to_string_lossy().contains("ledger.db"));
    let redacted = |(_, bytes): (PathBuf, Vec<u8>)| bytes.windows(8).any(|window| window == b"redacted");
    assert!(ledgers.any(redacted), "the ledger says what it does not say");
}

/// Nobody else may look into the folder.
fn assert_private(folder: &Path) {
    let mode = fs::metadata(folder).expect("the jobs have a folder").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} is {mode:o}", folder.display());
}
