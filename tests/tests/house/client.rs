//! A client of the batches API for tests that care for what is answered and not for its bytes. Whatever a real client would call a broken server
//! (no answer, no JSON) fails the test, unless it asks by `try_ask` because it has just killed that server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::proxy::GLANCE;
use crate::wire::{self, Answer, Request};

/// For whatever a test waits for. Far above what it takes, even while a whole workspace is being built beside the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) SocketAddr);

/// A status and the JSON that came with it.
pub(crate) type Reply = (u16, Value);

impl Client {
    /// One exchange on a connection of its own.
    pub(crate) fn exchange(self, line: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Answer, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.0);
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "Content-Length: {}\r\n\r\n{body}", body.len());
        let answers = wire::exchange(self.0, Request(request.as_bytes()), 1)?;
        answers.into_iter().next_back().ok_or_else(|| "no answer".to_owned())
    }

    pub(crate) fn try_ask(self, line: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Result<Reply, String> {
        let answer = self.exchange(line, headers, body)?;
        let text = String::from_utf8_lossy(&answer.body);
        let json = serde_json::from_str(&text).map_err(|e| format!("{line}: {} {text:?}: {e}", answer.status))?;
        Ok((answer.status, json))
    }

    pub(crate) fn ask(self, line: &str) -> Reply {
        self.try_ask(line, &[], None).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// Submits what has to be taken; its id.
    pub(crate) fn submit(self, body: &Value) -> u64 {
        let reply = self.try_ask("POST /batches", &[], Some(body)).unwrap_or_else(|e| panic!("{body}: {e}"));
        id_of(&reply).unwrap_or_else(|| panic!("{body} gave {reply:?}"))
    }

    /// The batch's state, or why it has none.
    pub(crate) fn state(self, id: u64) -> String {
        match self.ask(&format!("GET /batches/{id}/state")) {
            (200, body) => body["state"].as_str().unwrap_or_default().to_owned(),
            (status, body) => format!("{status} {body}"),
        }
    }

    /// Waits for one of these states; panics if another end is come to.
    pub(crate) fn until_state(self, id: u64, wanted: &[&str]) -> String {
        let mut last = String::new();
        until(&format!("batch {id} to be {wanted:?}"), || {
            last = self.state(id);
            let live = matches!(last.as_str(), "starting" | "running");
            assert!(live || wanted.contains(&last.as_str()), "batch {id} is {last:?} and not {wanted:?}");
            wanted.contains(&last.as_str())
        });
        last
    }

    /// All batches that are listed.
    pub(crate) fn list(self) -> Vec<Value> {
        let (status, list) = self.ask("GET /batches?size=10000");
        assert_eq!(status, 200, "{list}");
        list["sessions"].as_array().expect("a list has sessions").clone()
    }
}

/// The id of a batch that was taken.
pub(crate) fn id_of(reply: &Reply) -> Option<u64> {
    let (status, batch) = reply;
    (*status == 201).then(|| batch["id"].as_u64()).flatten()
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(GLANCE);
    }
}
