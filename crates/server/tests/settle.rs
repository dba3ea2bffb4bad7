//! A submit that no look can tell about is settled by a person, beside the proxy that serves: as an operator at night has to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use batchlingua_testkit::{Asked, Origin, Reply, lasting_port};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A Livy from before batches had names: it runs what it is sent, and the answer to that is lost.
#[derive(Default)]
struct OldLivy(Mutex<Vec<&'static str>>);

impl OldLivy {
    fn answer(&self, asked: &Asked) -> Reply {
        let mut jobs = self.0.lock().expect("unpoisoned");
        let path: Vec<_> = asked.target.split(['/', '?']).filter(|part| !part.is_empty()).collect();
        let shown = |number: usize, state: &str| {
            let info = json!({ "driverLogUrl": null, "sparkUiUrl": null });
            json!({ "id": number, "state": state, "appId": format!("application_1_000{number}"), "appInfo": info, "log": ["a line"] })
        };
        let job = path.get(1).and_then(|number| number.parse::<usize>().ok()).filter(|number| *number < jobs.len());
        let body = match (asked.method.as_str(), path.as_slice(), job) {
            ("GET", ["version"], _) => json!({ "version": "0.5.0-incubating" }),
            ("POST", ["batches"], _) => {
                jobs.push("running");
                return Reply::nothing().then_reset();
            }
            ("GET", ["batches", ..], None) if path.len() == 1 || path[1].contains('=') => {
                let all: Vec<_> = jobs.iter().enumerate().map(|(number, state)| shown(number, state)).collect();
                json!({ "from": 0, "total": all.len(), "sessions": all })
            }
            ("GET", ["batches", _], Some(job)) => shown(job, jobs[job]),
            ("GET", ["batches", _, "state"], Some(job)) => json!({ "id": job, "state": jobs[job] }),
            ("GET", ["batches", _, "log", ..], Some(job)) => {
                json!({ "id": job, "from": 0, "total": 1, "log": ["a line"] })
            }
            _ => return Reply::json(404, json!({ "msg": "not found" }).to_string()),
        };
        Reply::json(200, body.to_string())
    }
}

struct Serving {
    child: Child,
    dir: PathBuf,
    main: String,
    admin: String,
}

impl Serving {
    fn start(dir: &Path, livy: &str) -> Self {
        let admin = format!("127.0.0.1:{}", lasting_port());
        let config = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"{admin}\"\n[log]\nformat = \"json\"\n\
             [ledger]\nurl = \"sqlite://{0}/ledger.db\"\n[limits]\nupload_dir = \"{0}/uploads\"\n\
             [backend.old]\nkind = \"livy\"\nurl = \"{livy}\"\nfreshness = \"0s\"\n",
            dir.display()
        );
        for (file, admin_here) in
            [("x.toml", admin.clone()), ("elsewhere.toml", format!("127.0.0.1:{}", lasting_port()))]
        {
            std::fs::write(dir.join(file), config.replace(&admin, &admin_here)).expect("written");
        }
        std::fs::write(dir.join("off.toml"), config.replace(&format!("\"{admin}\""), "\"\"")).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_batchlingua"))
            .current_dir(dir)
            .args(["serve", "--config", "x.toml", "--ready-file", "ready.json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let ready =
            |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("\"message\":\"ready\""));
        assert!(log.any(|line| ready(&line)), "it starts");
        std::thread::spawn(move || log.for_each(drop));
        let ready: Value =
            serde_json::from_slice(&std::fs::read(dir.join("ready.json")).expect("written")).expect("JSON");
        let main = ready["listeners"]["main"].as_str().expect("an address").to_owned();
        Self { child, dir: dir.to_owned(), main, admin }
    }

    /// The whole answer.
    fn ask(&self, address: &str, head: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(address).expect("somebody listens");
        let (first, headers) = head.split_once('\n').unwrap_or((head, ""));
        let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "{first} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("text");
        answer
    }

    fn client(&self, head: &str, body: &str) -> (u16, Value, String) {
        let answer = self.ask(&self.main, head, body);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (status(&answer), serde_json::from_str(body).unwrap_or(Value::Null), head.to_lowercase())
    }

    /// A submit whose answer is lost; the id under which it will be found.
    fn ambiguous(&self) -> String {
        let (status, body, head) =
            self.client("POST /batches\nContent-Type: application/json", r#"{"file": "hdfs:///a.jar"}"#);
        assert!(status >= 500 && head.contains("batchlingua-outcome: unknown"), "{head} {body}");
        let id = head.lines().find_map(|line| line.strip_prefix("batchlingua-id: ")).expect("an id").to_owned();
        assert_eq!(self.client(&format!("GET /batches/{id}"), "").0, 503, "it is not known yet what became of it");
        id
    }

    fn settle(&self, config: &str, id: &str, outcome: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchlingua"));
        command.current_dir(&self.dir).args(["ledger", "settle", id, "--as", outcome, "--config", config]);
        command.env("USER", "ana").env_remove("SUDO_USER").stdin(Stdio::null()).output().expect("the binary runs")
    }

    fn refused(&self, config: &str, id: &str, outcome: &str) -> String {
        let output = self.settle(config, id, outcome);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn settled(&self, id: &str, outcome: &str) -> String {
        let output = self.settle("x.toml", id, outcome);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the admin listener says to such a request for this submit.
    fn posted(&self, headers: &str, id: &str) -> String {
        let body = json!({ "id": id, "as": "failed" }).to_string();
        self.ask(&self.admin, &format!("POST /api/submits/settle\n{headers}"), &body)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_settles_beside_the_proxy_and_the_clients_id_resolves() {
    let livy = Arc::new(OldLivy::default());
    let platform = livy.clone();
    let origin = Origin::start(move |asked| platform.answer(&asked)).await;
    let dir = TempDir::new().expect("a folder can be made");
    let proxy = Serving::start(dir.path(), &origin.url());
    let id = proxy.ambiguous();

    let why = proxy.refused("off.toml", &id, "failed");
    assert!(why.contains(&format!("process {}", proxy.child.id())) && why.contains("no [admin] listener"), "{why}");
    let why = proxy.refused("elsewhere.toml", &id, "failed");
    assert!(why.contains("was asked at 127.0.0.1:") && why.contains("without a clear answer"), "{why}");
    assert!(proxy.refused("x.toml", "77", "failed").contains("no batch has the id '77'"));
    for (headers, refusal) in [
        ("Content-Type: text/plain", 415),
        ("Content-Type: application/json\nOrigin: http://evil.example", 403),
        ("Content-Type: application/json\nSec-Fetch-Site: cross-site", 403),
    ] {
        assert_eq!(status(&proxy.posted(headers, &id)), refusal, "{headers}: no page may settle anything");
    }
    assert_eq!(status(&proxy.ask(&proxy.admin, "GET /api/submits/settle", "")), 405);

    assert!(proxy.settled(&id, "accepted=0").contains(" is accepted"));
    let (status_now, batch, _) = proxy.client(&format!("GET /batches/{id}"), "");
    assert_eq!((status_now, &batch["state"], &batch["appId"]), (200, &json!("running"), &json!("application_1_0000")));
    assert_eq!(
        proxy.client(&format!("GET /batches/{}", batch["id"]), "").1["id"],
        batch["id"],
        "by Livy's own kind of id"
    );
    assert_eq!(proxy.client(&format!("GET /batches/{id}/log"), "").1["log"], json!(["a line"]));
    livy.0.lock().expect("unpoisoned")[0] = "success";
    assert_eq!(proxy.client(&format!("GET /batches/{id}/state"), "").1["state"], "success");
    assert!(proxy.refused("x.toml", &id, "failed").contains("accepted, not ambiguous"));

    let second = proxy.ambiguous();
    let taken = proxy.refused("x.toml", &second, "accepted=0");
    assert!(taken.contains("belongs to batch") && taken.contains("(409)"), "{taken}");
    assert!(proxy.settled(&second, "failed").contains(" is failed"));
    assert_eq!(proxy.client(&format!("GET /batches/{second}"), "").0, 404);
    let open = proxy.ask(&proxy.admin, "GET /api/submits/open", "");
    assert!(open.ends_with(r#"{"submits":[]}"#), "{open}");
    assert!(
        status(&proxy.posted("Content-Type: application/json", &second)) == 404,
        "it is known that it did not go through"
    );
    assert_eq!(livy.0.lock().expect("unpoisoned").len(), 2, "nothing was sent again");
}
