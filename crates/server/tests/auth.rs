//! Ways in, over real sockets: who is taken, who is refused and in which words, and what who is taken may do.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use batchlingua::{
    auth::passwd,
    config::{Config, ProcessVault},
    server::Server,
};
use batchlingua_dli::signature::{Signable, payload_hash};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SALES: &str = "0123456789abcdef0123456789abcdef";
const STOCK: &str = "fedcba9876543210fedcba9876543210";
const TOKEN: &str = "a-token-of-the-sales-project";
const ACCESS_KEY: &str = "LINGUAAKEXAMPLE00001";
const SECRET_KEY: &str = "linguaSkExample0000000000000000000000001";

struct House {
    dir: tempfile::TempDir,
    server: Server,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The header's value, its name in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Ana and Bob have passwords, Root is an administrator; a token and a key belong to `etl`. The second listener asks nobody.
async fn house() -> House {
    let dir = tempfile::tempdir().expect("a directory");
    let passwords = dir.path().join("passwords");
    for (name, password) in [("ana", "right"), ("bob", "other"), ("root", "toor")] {
        passwd::set(&passwords, name, password).expect("written");
    }
    let job = dir.path().join("job");
    fs::write(&job, "#!/bin/sh\nexec sleep 600\n").expect("written");
    fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).expect("changed");
    let text = format!(
        r#"
[[listener]]
address = "127.0.0.1:0"
[[listener]]
name = "open"
address = "127.0.0.1:0"
auth = false
[admin]
enabled = false
[auth]
password_file = "{passwords}"
[auth.user.root]
administrator = true
[auth.user.bob]
projects = ["{STOCK}"]
queues = ["adhoc"]
[[auth.token]]
token = "{TOKEN}"
user = "etl"
projects = ["{SALES}"]
[[auth.token]]
token = "a-token-that-was-for-a-time"
user = "etl"
expires = 2020-01-01T00:00:00Z
[[auth.key]]
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
user = "etl"
[ledger]
url = "sqlite://{dir}/ledger.db"
[limits]
upload_dir = "{dir}/uploads"
[backend.here]
kind = "local"
dir = "{dir}/jobs"
allow_dirs = ["{dir}"]
spark = false
runner = ["{runner}", "run-job"]
"#,
        passwords = passwords.display(),
        dir = dir.path().display(),
        runner = env!("CARGO_BIN_EXE_batchlingua"),
    );
    let config = Config::parse("x.toml", &text, &ProcessVault).unwrap_or_else(|faults| panic!("{faults}"));
    let server = Server::start(config).await.expect("started");
    House { dir, server }
}

impl House {
    fn address(&self, listener: &str) -> SocketAddr {
        self.server.listeners().iter().find(|(name, _)| name.as_str() == listener).expect("configured").1
    }

    async fn ask(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask_at(self.address("main"), line, headers, body).await
    }

    async fn ask_at(&self, address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let mut client = TcpStream::connect(address).await.expect("somebody listens");
        client.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status =
            head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line}: {answer}"));
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// As a user with a password.
    async fn ask_as(&self, user: &str, line: &str, body: Value) -> Answer {
        let password = match user {
            "ana" => "right",
            "bob" => "other",
            _ => "toor",
        };
        let proof = basic(user, password);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(line, &[("Authorization", &proof), ("Content-Type", "application/json")], &body).await
    }

    fn job(&self) -> String {
        self.dir.path().join("job").display().to_string()
    }

    /// Submits as Ana; the batch's integer for Livy.
    async fn submit_livy(&self, job: Value) -> Answer {
        let mut body = json!({ "file": self.job() });
        body.as_object_mut().expect("an object").extend(job.as_object().expect("an object").clone());
        self.ask_as("ana", "POST /batches", body).await
    }

    async fn end(self) {
        assert!(self.server.stop(std::future::pending()).await);
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dialect_takes_what_its_clients_can_show_and_refuses_the_rest_in_its_own_words() {
    let house = house().await;
    let dli = format!("GET /v2.0/{SALES}/batches");
    let (right, wrong, unknown, blank) =
        (basic("ana", "right"), basic("ana", "wrong"), basic("eve", "right"), basic("ana", ""));
    let kylin = ("GET /kylin/api/jobs?time_filter=4", "application/vnd.apache.kylin-v4-public+json");
    let (livy, kyuubi) = ("GET /batches", "GET /api/v1/batches");
    // The call, what is shown, the status, and words of the answer.
    for (line, shown, status, says) in [
        (livy, vec![], 401, "Authentication required"),
        (livy, vec![("Authorization", right.as_str())], 200, "\"sessions\""),
        (livy, vec![("Authorization", wrong.as_str())], 403, "is wrong"),
        (livy, vec![("Authorization", unknown.as_str())], 403, "is wrong"),
        (livy, vec![("Authorization", blank.as_str())], 403, "is empty"),
        (livy, vec![("Authorization", "Basic !!!")], 403, "cannot be read"),
        (livy, vec![("Authorization", "Bearer x")], 401, "Authentication required"),
        (livy, vec![("X-Auth-Token", TOKEN)], 401, ""),
        ("GET /batches/1/2/3", vec![], 401, ""),
        ("GET /batches/1/2/3", vec![("Authorization", right.as_str())], 404, ""),
        ("PUT /batches", vec![("Authorization", wrong.as_str())], 403, ""),
        (kyuubi, vec![], 401, "No auth scheme matched for null"),
        (kyuubi, vec![("Authorization", right.as_str())], 200, "\"batches\""),
        (kyuubi, vec![("Authorization", wrong.as_str())], 403, "ana"),
        (kyuubi, vec![("Authorization", blank.as_str())], 401, ""),
        ("GET /api/v1/version", vec![], 401, ""),
        (kylin.0, vec![("Accept", kylin.1)], 401, "KE-010003207"),
        (kylin.0, vec![("Accept", kylin.1), ("Authorization", right.as_str())], 200, "\"data\""),
        (kylin.0, vec![("Accept", kylin.1), ("Authorization", wrong.as_str())], 401, "KE-010003208"),
        (&dli, vec![], 401, "APIGW.0301"),
        (&dli, vec![("Authorization", right.as_str())], 401, "APIGW.0301"),
        (&dli, vec![("X-Auth-Token", TOKEN)], 200, "\"sessions\""),
        (&dli, vec![("X-Auth-Token", "a-token-of-the-sales-projecT")], 401, "APIGW.0301"),
        (&dli, vec![("X-Auth-Token", "a-token-that-was-for-a-time")], 401, "APIGW.0301"),
    ] {
        let answer = house.ask(line, &shown, "").await;
        assert_eq!(answer.status, status, "{line} {shown:?}: {} {}", answer.head, answer.body);
        assert!(answer.body.contains(says), "{line} {shown:?}: {}", answer.body);
        let challenge = match (status, line) {
            (401, line) if line.contains("/batches") && !line.contains("/v1") && !line.contains("/v2") => Some("Basic"),
            (401, line) if line == kyuubi && !shown.is_empty() => Some("BASIC"),
            _ => None,
        };
        assert_eq!(answer.header("www-authenticate"), challenge, "{line} {shown:?}");
    }
    let open = house.address("open");
    assert_eq!(house.ask_at(open, livy, &[], "").await.status, 200, "nobody is asked there");
    assert_eq!(house.ask_at(open, livy, &[("Origin", "https://evil.example")], "").await.status, 403);
    let from_a_page = [("Origin", "https://evil.example"), ("Authorization", right.as_str())];
    assert_eq!(house.ask(livy, &from_a_page, "").await.status, 200, "a page has no password");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_stands_for_the_password_it_came_with() {
    let house = house().await;
    let accept = ("Accept", "application/vnd.apache.kylin-v4-public+json");
    let log_in = async |password: &str| {
        let proof = basic("ana", password);
        house.ask("POST /kylin/api/user/authentication", &[accept, ("Authorization", &proof)], "").await
    };
    assert_eq!(log_in("wrong").await.status, 401);
    let answer = log_in("right").await;
    assert_eq!((answer.status, answer.json()["data"]["username"].as_str()), (200, Some("ana")), "{}", answer.body);
    let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned();
    let jobs = "GET /kylin/api/jobs?time_filter=4";
    let later = house.ask(jobs, &[accept, ("Cookie", &cookie)], "").await;
    assert_eq!((later.status, later.header("set-cookie")), (200, None), "a young session is not replaced");
    let mut altered = cookie.clone();
    let last = altered.pop().expect("text");
    altered.push(if last == '0' { '1' } else { '0' });
    assert_eq!(house.ask(jobs, &[accept, ("Cookie", &altered)], "").await.status, 401);
    assert_eq!(house.ask("GET /batches", &[("Cookie", &cookie)], "").await.status, 401, "Livy has no sessions");

    passwd::set(&house.dir.path().join("passwords"), "ana", "newer").expect("written");
    assert_eq!(log_in("newer").await.status, 200);
    assert_eq!(
        house.ask(jobs, &[accept, ("Cookie", &cookie)], "").await.status,
        401,
        "the password is another one now"
    );
    assert_eq!(log_in("right").await.status, 401);
    house.end().await;
}

/// A request of a DLI SDK, signed at a time that is so many minutes from now.
fn signed(address: SocketAddr, line: &str, body: &str, secret: &str, minutes: i64) -> Vec<(&'static str, String)> {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", address.to_string()), ("x-sdk-date", date.clone())] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a value"));
    }
    let (method, target) = line.split_once(' ').expect("a line");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let payload = payload_hash(body.as_bytes());
    let signable =
        Signable { method, path, query, headers: &headers, signed_headers: "host;x-sdk-date", payload: &payload };
    let authorization = signable.authorization(ACCESS_KEY, secret).expect("signable");
    vec![("X-Sdk-Date", date), ("Authorization", authorization), ("Content-Type", "application/json".to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_request_is_its_keys_users_as_long_as_it_is_what_was_signed() {
    let house = house().await;
    let address = house.address("main");
    let create = format!("POST /v2.0/{SALES}/batches");
    let job = json!({ "file": house.job(), "className": "a.B", "queue": "adhoc" }).to_string();
    let send = async |line: &str, signature: Vec<(&'static str, String)>, body: &str| {
        let headers: Vec<_> = signature.iter().map(|(name, value)| (*name, value.as_str())).collect();
        house.ask(line, &headers, body).await
    };
    let created = send(&create, signed(address, &create, &job, SECRET_KEY, 0), &job).await;
    assert_eq!(created.status, 200, "{}", created.body);
    let id = created.json()["id"].as_str().expect("an id").to_owned();
    let list = format!("GET /v2.0/{SALES}/batches?job-id={id}");
    let listed = send(&list, signed(address, &list, "", SECRET_KEY, 0), "").await;
    assert_eq!(listed.json()["sessions"][0]["owner"], "etl", "{}", listed.body);
    let again = signed(address, &list, "", SECRET_KEY, -14);
    assert_eq!(send(&list, again.clone(), "").await.status, 200);
    assert_eq!(send(&list, again, "").await.status, 200, "SDKs repeat a signature");
    let nowhere = format!("GET /v2.0/{SALES}/nothing");
    assert_eq!(send(&nowhere, signed(address, &nowhere, "", SECRET_KEY, 0), "").await.status, 404);
    for (what, line, signature, body) in [
        (
            "another key",
            &create,
            signed(address, &create, &job, "linguaSkExample0000000000000000000000002", 0),
            job.as_str(),
        ),
        ("too old", &create, signed(address, &create, &job, SECRET_KEY, -16), &job),
        ("too new", &create, signed(address, &create, &job, SECRET_KEY, 16), &job),
        ("another body", &create, signed(address, &create, &job, SECRET_KEY, 0), "{}"),
        ("another project", &create.replace(SALES, STOCK), signed(address, &create, &job, SECRET_KEY, 0), &job),
        ("another query", &list, signed(address, &format!("GET /v2.0/{SALES}/batches"), "", SECRET_KEY, 0), ""),
        ("an unknown path", &nowhere, signed(address, &nowhere, "", "linguaSkExample0000000000000000000000002", 0), ""),
    ] {
        let answer = send(line, signature, body).await;
        assert_eq!((answer.status, answer.body.contains("APIGW.0301")), (401, true), "{what}: {}", answer.body);
    }
    let cancel = format!("DELETE /v2.0/{SALES}/batches/{id}");
    assert_eq!(send(&cancel, signed(address, &cancel, "", SECRET_KEY, 0), "").await.status, 200);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_hold_whichever_dialect_is_spoken() {
    let house = house().await;
    // Projects: a token's own, and a user's.
    let token = [("X-Auth-Token", TOKEN), ("Content-Type", "application/json")];
    let create = |queue: &str| json!({ "file": house.job(), "className": "a.B", "queue": queue }).to_string();
    let elsewhere = house.ask(&format!("POST /v2.0/{STOCK}/batches"), &token, &create("adhoc")).await;
    assert_eq!((elsewhere.status, elsewhere.body.contains("APIGW.0302")), (403, true), "{}", elsewhere.body);
    let created = house.ask(&format!("POST /v2.0/{SALES}/batches"), &token, &create("adhoc")).await;
    let id = created.json()["id"].as_str().unwrap_or_else(|| panic!("{}", created.body)).to_owned();
    let kyuubi = format!("GET /api/v1/batches/{id}");
    assert_eq!(house.ask_as("ana", &kyuubi, Value::Null).await.status, 200);
    assert_eq!(house.ask_as("bob", &kyuubi, Value::Null).await.status, 404, "it is in another's project");
    assert_eq!(house.ask_as("bob", "GET /batches", Value::Null).await.json()["total"], 0);

    // Queues.
    let queue = |queue: &str| json!({ "file": house.job(), "queue": queue });
    let refused = house.ask_as("bob", "POST /batches", queue("vip")).await;
    assert_eq!((refused.status, refused.body.contains("queue 'vip'")), (403, true), "{}", refused.body);
    assert_eq!(house.ask_as("bob", "POST /batches", queue("adhoc")).await.status, 201);

    // Users.
    let other = house.submit_livy(json!({ "proxyUser": "bob" })).await;
    assert_eq!(other.status, 403);
    assert_eq!(other.json()["msg"], "User 'ana' not allowed to impersonate 'Some(bob)'.");
    assert_eq!(house.submit_livy(json!({ "proxyUser": "ana" })).await.status, 201, "oneself");
    let as_bob = json!({ "file": house.job(), "proxyUser": "bob" });
    let by_root = house.ask_as("root", "POST /batches", as_bob).await;
    assert_eq!(by_root.status, 201, "an administrator: {}", by_root.body);
    let conf = json!({ "batchType": "SPARK", "resource": house.job(), "className": "a.B", "name": "n",
                       "conf": { "hive.server2.proxy.user": "bob" } });
    assert_eq!(house.ask_as("ana", "POST /api/v1/batches", conf).await.status, 403);

    // Ownership: Kyuubi's, where only a batch's own people and administrators end it.
    let mine = json!({ "batchType": "SPARK", "resource": house.job(), "className": "a.B", "name": "n", "conf": {} });
    let mine = house.ask_as("ana", "POST /api/v1/batches", mine).await;
    let id = mine.json()["id"].as_str().unwrap_or_else(|| panic!("{}", mine.body)).to_owned();
    let delete = format!("DELETE /api/v1/batches/{id}");
    let refused = house.ask_as("bob", &delete, Value::Null).await;
    assert_eq!((refused.status, refused.body.contains("bob for ana")), (403, true), "{}", refused.body);
    assert_eq!(house.ask_as("bob", &format!("GET /api/v1/batches/{id}"), Value::Null).await.status, 200, "seen by all");
    assert_eq!(house.ask_as("root", &delete, Value::Null).await.status, 200);
    end_all(&house).await;
    house.end().await;
}

/// Jobs outlive the proxy: what still runs is ended.
async fn end_all(house: &House) {
    let listed = house.ask_as("root", "GET /batches?size=100", Value::Null).await.json();
    for batch in listed["sessions"].as_array().expect("a list") {
        let ended = house.ask_as("root", &format!("DELETE /batches/{}", batch["id"]), Value::Null).await;
        assert_eq!(ended.status, 200, "{}", ended.body);
    }
}

fn passwd(dir: &Path, args: &[&str], typed: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlingua"));
    command.current_dir(dir).arg("passwd").args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // One that is refused at once reads nothing.
    let _ = child.stdin.take().expect("piped").write_all(typed.as_bytes());
    child.wait_with_output().expect("ended")
}

#[test]
fn passwd_sets_and_deletes_and_shows_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let file: PathBuf = dir.path().join("people/passwords");
    let named = ["--file", "people/passwords"];
    for (args, typed, code, says) in [
        (vec!["ana"], "xQ7zJwK9v\n", 0, "'ana' has a new password"),
        (vec!["bob"], "xQ7zJwK9v", 0, "'bob' has a new password"),
        (vec!["ana"], "\n", 1, "an empty password is none"),
        (vec!["a:b"], "xQ7zJwK9v\n", 1, "without colons"),
        (vec!["--delete", "eve"], "", 1, "no user 'eve'"),
        (vec!["--delete", "bob"], "", 0, "'bob' has no password any more"),
    ] {
        let before = fs::read_to_string(&file).unwrap_or_default();
        let done = passwd(dir.path(), &[&named[..], &args[..]].concat(), typed);
        let told = String::from_utf8([done.stdout, done.stderr].concat()).expect("text");
        assert_eq!((done.status.code(), told.contains(says)), (Some(code), true), "{args:?}: {told}");
        let after = fs::read_to_string(&file).expect("there");
        assert!(!told.contains("xQ7z") && !after.contains("xQ7z"), "{told}{after}");
        assert_eq!(before == after, code != 0, "{args:?}");
    }
    let left = fs::read_to_string(&file).expect("there");
    assert!(left.starts_with("ana:$argon2id$") && left.lines().count() == 1, "{left}");
    assert!(passwd(dir.path(), &["ana"], "xQ7zJwK9v\n").status.success());
    assert!(dir.path().join(passwd::DEFAULT_FILE).exists());
}
