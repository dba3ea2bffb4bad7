//! What a client sends in confidence is written nowhere: not to the log at its most talkative, not to an error, not to the ledger's files, not to
//! a metric. It is in the job's own folder, which only the job and the proxy's user can read, since the job needs it.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::{Client, id_of};
use crate::jobs::Jobs;
use crate::proxy::{Proxy, binary};
use crate::wire::Answer;

/// Nothing else has these letters in a row, so it is found wherever it is, whole or encoded.
const MARK: &str = "xQ7zJwK9vMark";

/// `MARK` as it would stand in a file if somebody had put it there in one of these codes.
fn spellings() -> Vec<Vec<u8>> {
    let utf16 = MARK.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![MARK.as_bytes().to_vec(), utf16, hex.into_bytes(), basic().into_bytes()]
}

/// `ana:<MARK>` as HTTP's Basic scheme has it.
fn basic() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = format!("ana:{MARK}");
    let mut coded = String::new();
    for part in plain.as_bytes().chunks(3) {
        let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]);
            coded.push(if at > part.len() { '=' } else { letter });
        }
    }
    coded
}

#[track_caller]
fn assert_without(what: &str, bytes: &[u8]) {
    for spelling in spellings() {
        if let Some(at) = bytes.windows(spelling.len()).position(|window| window == spelling) {
            let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 100)];
            panic!("{what} has the secret: {}", String::from_utf8_lossy(around));
        }
    }
}

/// A submit with a secret wherever one is usual.
fn telling(jobs: &Jobs, name: &str) -> Value {
    let mut body = jobs.quick(name);
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

fn post(client: Client, headers: &[(&str, &str)], body: &Value) -> Answer {
    let answer = client.exchange("POST /batches", headers, Some(body)).expect("an answer");
    assert_without(&format!("the answer to {body}"), format!("{:?}", answer.headers).as_bytes());
    assert_without(&format!("the answer to {body}"), &answer.body);
    answer
}

#[test]
fn a_secret_is_in_no_log_no_answer_no_ledger_and_no_metric() {
    let jobs = Jobs::new();
    let mut config = jobs.config(4);
    config.more.push_str("[log]\nlevel = \"trace\"\n");
    let dir = config.dir.clone();
    let mut proxy = Proxy::start(config);
    let client = proxy.client();
    let (basic, bearer) = (format!("Basic {}", basic()), format!("Bearer {MARK}"));

    // Taken, run, looked at, and ended.
    let mut ids = Vec::new();
    for (name, headers) in [
        ("plain", vec![]),
        ("basic", vec![("Authorization", basic.as_str())]),
        ("bearer", vec![("Authorization", bearer.as_str()), ("Cookie", MARK)]),
        ("keyed", vec![("Authorization", basic.as_str()), ("Idempotency-Key", "k")]),
    ] {
        let answer = post(client, &headers, &telling(&jobs, name));
        let json = serde_json::from_slice(&answer.body).expect("a batch is JSON");
        ids.push(id_of(&(answer.status, json)).unwrap_or_else(|| panic!("{name}: {answer:?}")));
    }
    for id in &ids {
        client.until_state(*id, &["success"]);
        for line in [format!("GET /batches/{id}"), format!("GET /batches/{id}/log"), "GET /batches".to_owned()] {
            let answer = client.exchange(&line, &[("Authorization", &basic)], None).expect("an answer");
            assert_without(&line, &answer.body);
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
    let client = proxy.client();
    assert_eq!(client.list().len(), ids.len());
    let metrics = Client(proxy.admin()).exchange("GET /metrics", &[], None).expect("an answer");
    assert_eq!(metrics.status, 200);
    assert_without("a metric", &metrics.body);
    assert_without("the ledger", &ledger(&dir));
    assert!(proxy.terminate().success());
    assert_without("the ledger, closed", &ledger(&dir));
    let log = proxy.stderr();
    assert!(log.contains("DEBUG") && log.contains("ana"), "the log is talkative");
    assert_without("the log", log.as_bytes());
    assert_private(&dir.join("jobs"));
}

/// A line of standard input of a child process, and whether it was content.
fn typed(command: &mut Command, line: &str) -> bool {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it can be started");
    child.stdin.take().expect("piped").write_all(line.as_bytes()).expect("it reads");
    child.wait().expect("it ends").success()
}

#[test]
fn what_a_client_shows_to_prove_who_it_is_is_written_nowhere() {
    let jobs = Jobs::new();
    let mut config = jobs.config(4);
    let passwords = config.dir.join("passwords");
    fs::create_dir_all(&config.dir).expect("the data folder can be made");
    let set = typed(Command::new(binary()).args(["passwd", "ana", "--file"]).arg(&passwords), &format!("{MARK}\n"));
    assert!(set, "the password is set");
    config.dialects = vec!["kyuubi", "livy", "dli", "kylin"];
    config.env.extend(["TOKEN", "SECRET_KEY"].map(|name| (name.into(), format!("{MARK}-{name}").into())));
    config.more.push_str("[log]\nlevel = \"trace\"\n[auth.user.ana]\nprojects = [\"p\"]\n");
    config.more.push_str("[[auth.token]]\ntoken = \"${ENV:TOKEN}\"\nuser = \"etl\"\n");
    config.more.push_str("[[auth.key]]\naccess_key = \"AK\"\nsecret_key = \"${ENV:SECRET_KEY}\"\nuser = \"etl\"\n");
    let _ = writeln!(config.more, "[auth]\npassword_file = {:?}", passwords.display().to_string());
    let dir = config.dir.clone();
    let mut proxy = Proxy::start(config);
    let client = proxy.client();
    let (right, bearer) = (format!("Basic {}", basic()), format!("Bearer {MARK}"));
    let token = format!("{MARK}-TOKEN");
    let sign = format!("SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature={MARK}");
    let dli = format!("GET /v2.0/{}/batches", "0".repeat(32));
    let kylin = ("Accept", "application/vnd.apache.kylin-v4-public+json");
    let shown = |name: &'static str, value: &'static str| (name, value.to_owned());
    for (line, headers, status) in [
        ("GET /batches", vec![("Authorization", right.clone())], 200),
        ("GET /batches/7", vec![("Authorization", right.clone())], 404),
        ("GET /batches", vec![("Authorization", bearer.clone())], 401),
        ("GET /batches", vec![("Authorization", format!("Basic {MARK}"))], 403),
        ("GET /api/v1/batches", vec![("Authorization", right.clone())], 200),
        ("GET /api/v1/batches", vec![("Authorization", bearer)], 401),
        ("GET /api/v1/batches", vec![("Authorization", format!("Basic !{MARK}"))], 500),
        ("GET /kylin/api/jobs?time_filter=4", vec![("Authorization", right.clone()), shown(kylin.0, kylin.1)], 200),
        (
            "GET /kylin/api/jobs?time_filter=4&project=q",
            vec![("Authorization", right.clone()), shown(kylin.0, kylin.1)],
            400,
        ),
        (&dli, vec![("X-Auth-Token", token.clone())], 200),
        (&dli, vec![("X-Auth-Token", format!("{token}x"))], 401),
        (&dli, vec![("Authorization", sign), ("X-Sdk-Date", "20260102T030405Z".to_owned())], 401),
        (&dli, vec![("Authorization", right.clone())], 401),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = client.exchange(line, &headers, None).expect("an answer");
        assert_eq!(answer.status, status, "{line} {headers:?}: {answer:?}");
        assert_without(line, format!("{:?}", answer.headers).as_bytes());
        assert_without(line, &answer.body);
    }
    // As the owner of what the ledger keeps.
    let answer = post(client, &[("Authorization", &right), ("Idempotency-Key", "k")], &telling(&jobs, "mine"));
    assert_eq!(answer.status, 201, "{answer:?}");
    let metrics = Client(proxy.admin()).exchange("GET /metrics", &[], None).expect("an answer");
    assert!(String::from_utf8_lossy(&metrics.body).contains("batchlingua_refused_logins_total{"), "counted");
    assert_without("a metric", &metrics.body);
    assert!(proxy.terminate().success());
    assert_without("the ledger", &ledger(&dir));
    assert_without("the password file", &fs::read(&passwords).expect("there"));
    let log = proxy.stderr();
    assert!(log.contains("login") && log.contains("ana"), "refused logins are told: {log}");
    assert_without("the log", log.as_bytes());
}

/// The bytes of all files of the ledger.
fn ledger(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in fs::read_dir(dir).expect("the data folder is there").flatten() {
        if file.file_name().to_string_lossy().starts_with("ledger.db") {
            bytes.extend(fs::read(file.path()).expect("a file of the ledger can be read"));
        }
    }
    assert!(bytes.windows(8).any(|window| window == b"redacted"), "the ledger has something in the secrets' place");
    bytes
}

/// Nobody else may look into the folder.
fn assert_private(folder: &Path) {
    let mode = fs::metadata(folder).expect("the jobs have a folder").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} is {mode:o}", folder.display());
}
