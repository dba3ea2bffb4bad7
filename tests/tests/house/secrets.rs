//! What a client sends in confidence is written nowhere: not to the log at its most talkative, not to an answer, not to the ledger's files, not to
//! a metric, and to no file that is left when its job has ended. While the job runs it is in the job's own folder, which only the job and the
//! proxy's user can read, since the job needs it.

mod signing;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use batchlingua_testkit::mutate::{Form, Part};
use serde_json::{Value, json};

use crate::client::{Client, id_of, until};
use crate::jobs::Jobs;
use crate::proxy::{self, Proxy};
use crate::wire::{self, Answer, Request};
use signing::Key;

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
    let ledgers = files(dir).into_iter().filter(|(path, _)| path.to_string_lossy().contains("ledger.db"));
    let redacted = |(_, bytes): (PathBuf, Vec<u8>)| bytes.windows(8).any(|window| window == b"redacted");
    assert!(ledgers.map(redacted).fold(false, |any, one| any || one), "the ledger says what it does not say");
}

/// Nobody else may look into the folder.
fn assert_private(folder: &Path) {
    let mode = fs::metadata(folder).expect("the jobs have a folder").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} is {mode:o}", folder.display());
}

/// A proxy that speaks everything, logs everything, and runs uploaded programs by the shell.
fn talkative(jobs: &Jobs, more: &str) -> (Proxy, PathBuf) {
    let mut config = jobs.config(4);
    config.dialects = vec!["livy", "kyuubi", "dli", "kylin"];
    let dir = config.dir.clone();
    let uploads = dir.join("uploads").display().to_string();
    config.more.push_str(&format!(
        "python = \"/bin/sh\"\n[limits]\nupload_dir = {uploads:?}\n[log]\nlevel = \"trace\"\n{more}"
    ));
    (Proxy::start(config), dir)
}

/// An upload with a secret in its JSON, in its program, in a part that nobody asked for and in names.
fn telling_upload(jobs: &Jobs, name: &str) -> Form {
    let program = format!("exit 0 # password={MARK}\n");
    let mut request = telling_kyuubi(jobs, name);
    request["resource"] = json!("placeholder");
    Form::new([
        Part::value("password", MARK),
        Part::file("resourceFile", "a.py", program),
        Part::file("token", "secret.txt", MARK),
        Part::value("batchRequest", request.to_string()).with("Content-Type: application/json"),
    ])
}

/// Submits in every dialect that can; the uuids of what was taken.
fn submit_all(jobs: &Jobs, to: Confidant, auth: &dyn Fn(&str, &str, &[u8]) -> Vec<(String, String)>) -> Vec<String> {
    let mut ids = Vec::new();
    let query = format!("?password={MARK}&token={MARK}&x=:{MARK}@");
    for (line, body) in
        [("POST /api/v1/batches", telling_kyuubi(jobs, "kyuubi")), ("POST /v2.0/p/batches", telling_dli(jobs, "dli"))]
    {
        let line = format!("{line}{query}");
        let bytes = body.to_string().into_bytes();
        let headers = auth(&line, "application/json", &bytes);
        let answer = to.send(&line, &borrowed(&headers), "application/json", &bytes);
        assert_silent(&line, &answer);
        let id = json_of(&answer)["id"].as_str().map(str::to_owned);
        ids.push(id.unwrap_or_else(|| panic!("{line}: {} {}", answer.status, String::from_utf8_lossy(&answer.body))));
    }
    let form = telling_upload(jobs, "upload");
    let content_type = String::from_utf8(form.content_type()).expect("a type is text");
    let line = "POST /api/v1/batches";
    let headers = auth(line, &content_type, &form.body());
    let answer = to.send(line, &borrowed(&headers), &content_type, &form.body());
    assert_silent(line, &answer);
    ids.push(json_of(&answer)["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
    ids
}

fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Every way to look at a batch, and at all of them.
fn views(id: &str) -> Vec<String> {
    let query = format!("password={MARK}");
    vec![
        format!("GET /batches?{query}"),
        format!("GET /api/v1/batches?{query}"),
        format!("GET /api/v1/batches/{id}?{query}"),
        format!("GET /api/v1/batches/{id}/localLog?from=0&{query}"),
        format!("GET /v2.0/p/batches?{query}"),
        format!("GET /v2.0/p/batches/{id}?{query}"),
        format!("GET /v2.0/p/batches/{id}/state?{query}"),
        format!("GET /v2.0/p/batches/{id}/log?{query}"),
        format!("GET /kylin/api/jobs?time_filter=4&{query}"),
        format!("GET /kylin/api/jobs?timeFilter=4&pageSize=20&{query}"),
        format!("GET /kylin/api/jobs?limit=15&offset=0&{query}"),
        format!("GET /kylin/api/jobs/{id}/detail?project=p&{query}"),
        format!("GET /kylin/api/jobs/{id}/steps/{id}_00/output?project=p&{query}"),
        format!("GET /kylin/api/jobs/{id}/steps/{id}_00/log?project=p&{query}"),
    ]
}

/// Waits for the end of these; then looks at them in every way.
fn follow(to: Confidant, ids: &[String], auth: &dyn Fn(&str, &str, &[u8]) -> Vec<(String, String)>) {
    for id in ids {
        until(&format!("batch {id} to end"), || {
            let line = format!("GET /api/v1/batches/{id}");
            let batch = json_of(&to.ask(&line, &borrowed(&auth(&line, "", b"")), None));
            assert_ne!(batch["state"], "ERROR", "{batch}");
            batch["state"] == "FINISHED"
        });
        for line in views(id) {
            let answer = to.ask(&line, &borrowed(&auth(&line, "", b"")), None);
            assert_eq!(answer.status, 200, "{line}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// Bodies that are refused because of what stands right where the secret is.
fn refused(jobs: &Jobs) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for (line, body) in [
        ("POST /batches", telling(jobs, "refused")),
        ("POST /api/v1/batches", telling_kyuubi(jobs, "refused")),
        ("POST /v2.0/p/batches", telling_dli(jobs, "refused")),
        ("PUT /kylin/api/jobs/status", json!({"password": MARK, "args": [MARK], "conf": {"token": MARK}})),
    ] {
        let with = |member: &str, value: Value| {
            let mut body = body.clone();
            body[member] = value;
            body.to_string().into_bytes()
        };
        let text = body.to_string();
        let file = if body.get("resource").is_some() { "resource" } else { "file" };
        all.extend([
            (line, with("args", json!({"password": MARK}))),
            (line, with("conf", json!({"password": [MARK]}))),
            (line, with("conf", json!({"password": {"x": MARK}}))),
            (line, with(file, json!(format!("s3a://key:{MARK}@bucket/job.py")))),
            (line, with(file, json!("/etc/hosts"))),
            (line, with("args", json!([{"password": MARK}]))),
            (line, text.as_bytes()[..text.len() - 1].to_vec()),
            (line, text.replacen(&format!("\"{MARK}\""), &format!("\"{MARK}\\x\""), 1).into_bytes()),
        ]);
        // Livy reads the object and leaves the rest.
        if line != "POST /batches" {
            all.push((line, [text.as_bytes(), b"x"].concat()));
        }
    }
    all
}

/// The same, where the product's own words repeat the text that they cannot read: its sender may see that, and nobody else.
fn echoed(jobs: &Jobs) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for (line, body) in [
        ("POST /batches", telling(jobs, "refused")),
        ("POST /api/v1/batches", telling_kyuubi(jobs, "refused")),
        ("POST /v2.0/p/batches", telling_dli(jobs, "refused")),
        ("PUT /kylin/api/jobs/status", json!({"password": MARK, "args": [], "conf": {}})),
    ] {
        let text = body.to_string();
        let mut with_text = body.clone();
        with_text["conf"] = json!(format!("password={MARK}"));
        let mut with_list = body.clone();
        with_list["args"] = json!(format!("--password={MARK}"));
        let bare = text.replacen(&format!("\"{MARK}\""), MARK, 1);
        all.extend([(line, bare.into_bytes()), (line, with_text.to_string().into_bytes())]);
        all.push((line, with_list.to_string().into_bytes()));
    }
    all
}

#[test]
fn a_secret_stays_secret_in_every_dialect() {
    let jobs = Jobs::new();
    let (mut proxy, dir) = talkative(&jobs, "");
    let to = Confidant(proxy.client());
    let nobody = |_: &str, _: &str, _: &[u8]| {
        vec![
            ("Authorization".to_owned(), basic("ana", MARK)),
            ("X-Auth-Token".to_owned(), format!("{MARK}-token")),
            ("X-Security-Token".to_owned(), MARK.to_owned()),
            ("Cookie".to_owned(), format!("JSESSIONID={MARK}; a={MARK}")),
        ]
    };
    let ids = submit_all(&jobs, to, &nobody);
    follow(to, &ids, &nobody);
    for (line, body) in refused(&jobs) {
        let answer = to.send(line, &borrowed(&nobody(line, "", b"")), "application/json", &body);
        assert!(answer.status >= 400, "{line}: {answer:?}");
        assert_silent(&format!("{line} {}", String::from_utf8_lossy(&body)), &answer);
    }
    for (line, body) in echoed(&jobs) {
        let answer = to.send(line, &borrowed(&nobody(line, "", b"")), "application/json", &body);
        assert!(answer.status >= 400, "{line}: {answer:?}");
    }
    // Uploads that come to nothing.
    let form = telling_upload(&jobs, "refused");
    let content_type = String::from_utf8(form.content_type()).expect("a type is text");
    for body in [form.without_end(), form.body()[..200].to_vec()] {
        let answer = to.send("POST /api/v1/batches", &[], &content_type, &body);
        assert_eq!(answer.status, 400);
        assert_silent("an upload", &answer);
    }
    proxy.kill();
    proxy.start_again();
    follow(Confidant(proxy.client()), &ids, &nobody);
    assert_redacted(&dir);
    assert_kept(proxy, &dir, &[]);
}

/// `batchlingua passwd` with one line of standard input.
fn set_password(file: &Path, user: &str, password: &str) {
    let mut child = Command::new(proxy::binary())
        .args(["passwd".as_ref(), "--file".as_ref(), file.as_os_str(), user.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("it has a standard input");
    writeln!(stdin, "{password}").expect("it reads");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    assert_without("what passwd says", &[ended.stdout, ended.stderr].concat());
}

#[test]
fn who_proves_himself_leaves_no_trace_of_how() {
    let jobs = Jobs::new();
    let folder = tempfile::tempdir().expect("a folder for passwords");
    let (file, password) = (folder.path().join("passwords"), format!("{MARK}-password"));
    set_password(&file, "ana", &password);
    assert_without("the password file", &fs::read(&file).expect("it was written"));
    let token = format!("{MARK}-token");
    let key = Key { access_key: "AKEXAMPLE", secret_key: format!("{MARK}-secret-key") };
    let auth = format!(
        "[auth]\npassword_file = {:?}\n[auth.user.ana]\nadministrator = true\n[[auth.token]]\ntoken = {token:?}\nuser = \"ana\"\n\
         [[auth.key]]\naccess_key = {:?}\nsecret_key = {:?}\nuser = \"ana\"\n",
        file.display().to_string(),
        key.access_key,
        key.secret_key,
    );
    let (mut proxy, dir) = talkative(&jobs, &auth);
    let to = Confidant(proxy.client());

    // Each by what its own clients show; DLI once by its token and once by a signature.
    let authorization = basic("ana", &password);
    let by_token = |line: &str, _: &str, _: &[u8]| match line.contains("/v2.0/") {
        true => vec![("X-Auth-Token".to_owned(), token.clone())],
        false => vec![("Authorization".to_owned(), authorization.clone())],
    };
    let signatures = std::cell::RefCell::new(Vec::new());
    let by_signature = |line: &str, content_type: &str, body: &[u8]| match line.contains("/v2.0/") {
        true => {
            let signed = key.sign(line, content_type, body);
            signatures.borrow_mut().push(signed[1].1.rsplit('=').next().expect("a signature").to_owned());
            signed
        }
        false => vec![("Authorization".to_owned(), authorization.clone())],
    };
    let mut ids = submit_all(&jobs, to, &by_token);
    ids.extend(submit_all(&jobs, to, &by_signature));
    follow(to, &ids, &by_signature);

    // Kylin's cookie.
    let login = to.ask("POST /kylin/api/user/authentication", &[("Authorization", &authorization)], None);
    let cookie = login.header("set-cookie").and_then(|set| set.split(';').next().map(str::to_owned)).expect("a cookie");
    let session = cookie.split_once('=').expect("a name and a value").1.to_owned();
    let list = to.ask("GET /kylin/api/jobs?time_filter=4", &[("Cookie", &cookie)], None);
    assert_eq!(list.status, 200);

    // What is wrong proves nothing, and is nobody's business either.
    let forged = Key { access_key: "AKEXAMPLE", secret_key: format!("{MARK}-another") };
    let forged = forged.sign("GET /v2.0/p/batches", "", b"");
    let wrong: Vec<Vec<(String, String)>> = vec![
        vec![("Authorization".into(), basic("ana", MARK))],
        vec![("Authorization".into(), format!("Basic {MARK}"))],
        vec![("Authorization".into(), format!("Bearer {MARK}"))],
        vec![("Authorization".into(), format!("Digest username=\"ana\", response=\"{MARK}\""))],
        vec![(
            "Authorization".into(),
            format!("SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host, Signature={MARK}"),
        )],
        vec![("X-Auth-Token".into(), format!("{MARK}-tokem"))],
        vec![("Cookie".into(), format!("{}x", cookie.replace(&session, MARK)))],
        forged,
    ];
    for line in views("0f6c1b1e-0000-4000-8000-000000000000") {
        // Not all of them get a line in the log; each kind does, since these come first for one view.
        for headers in &wrong {
            let answer = to.0.exchange(&line, &borrowed(headers), None).expect("an answer");
            assert!(matches!(answer.status, 400 | 401 | 403 | 500), "{line} {headers:?}: {}", answer.status);
            let is_login_page = answer.status == 401;
            // A Kyuubi repeats a scheme that it does not know, and a name, to whoever has sent it.
            if !(line.contains("/api/v1/") || is_login_page && line.contains("/batches")) {
                assert_silent(&format!("{line} {headers:?}"), &answer);
            }
        }
    }
    let known: Value = json_of(&to.ask("GET /api/v1/batches", &[("Authorization", &authorization)], None));
    assert_eq!(known["batches"].as_array().map(Vec::len), Some(ids.len()), "{known}");

    proxy.kill();
    proxy.start_again();
    follow(Confidant(proxy.client()), &ids[..1], &by_token);
    let signatures = signatures.into_inner();
    let others: Vec<&str> = signatures.iter().map(String::as_str).chain([session.as_str()]).collect();
    assert_redacted(&dir);
    assert_kept(proxy, &dir, &others);
}
