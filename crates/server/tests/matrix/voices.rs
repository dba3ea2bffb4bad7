//! What a client of each dialect says, and where in an answer it finds what it needs: no more than a reader of the product's reference
//! would write.

use batchlingua_core::{BatchId, BatchKind, BatchRef, BatchSpec, BatchState, Uuid};
use http::Method;
use serde_json::{Value, json};

use crate::house::{Ask, Heard};

/// A client of one dialect.
pub(crate) trait Voice: Sync {
    fn dialect(&self) -> &'static str;

    /// Its submit of a file with arguments; a dialect may have none.
    fn submit(&self, spec: &BatchSpec) -> Option<Ask>;

    /// The id that a submit was answered with.
    fn submitted(&self, answer: &Value) -> String {
        text(&answer["id"])
    }

    /// What the proxy knows it by.
    fn wanted(&self, id: &str) -> BatchRef {
        BatchRef::Uuid(id.parse::<Uuid>().unwrap_or_else(|error| panic!("{id}: {error}")))
    }

    /// How a batch that came by another dialect is called.
    fn called(&self, id: &BatchId) -> String {
        id.uuid.to_string()
    }

    /// The path of all batches, and the member of a list's answer that has their objects.
    fn batches(&self) -> (&'static str, &'static str);

    fn get(&self, id: &str) -> Ask {
        Ask::get(format!("{}/{id}", self.batches().0))
    }

    /// Id and state of the object in an answer.
    fn object(&self, answer: &Value) -> (String, String) {
        (text(&answer["id"]), text(&answer["state"]))
    }

    fn list(&self) -> Ask {
        Ask::get(format!("{}?size=1000", self.batches().0))
    }

    /// The objects of a list.
    fn objects(&self, answer: &Value) -> Vec<(String, String)> {
        let rows = self.batches().1;
        answer[rows]
            .as_array()
            .unwrap_or_else(|| panic!("no {rows} in {answer}"))
            .iter()
            .map(|batch| self.object(batch))
            .collect()
    }

    fn log(&self, id: &str) -> Ask;

    fn lines(&self, answer: &Heard) -> Vec<String>;

    fn cancel(&self, id: &str) -> Ask {
        Ask::delete(format!("{}/{id}", self.batches().0))
    }

    /// Whether the client that has cancelled a batch is not shown it any more.
    fn cancel_forgets(&self) -> bool {
        false
    }

    /// A question about a batch that does not exist, and the status of its answer.
    fn unknown(&self) -> (Ask, u16) {
        (self.get(NOBODY), 404)
    }

    /// The status that says: later, somebody behind cannot be asked now.
    fn unavailable(&self) -> u16;

    /// The status of a submit that is refused for what it asks.
    fn refused(&self) -> u16;

    /// The name of the object in an answer.
    fn name(&self, answer: &Value) -> Option<String> {
        answer["name"].as_str().map(str::to_owned)
    }

    /// The word for a state (the table of the design).
    fn word(&self, state: BatchState) -> &'static str;
}

/// In the order of the adapters.
pub(crate) const VOICES: [&dyn Voice; 4] = [&Kyuubi, &Livy, &Dli, &Kylin];

const NOBODY: &str = "11111111-2222-4333-8444-555555555555";

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("{other} is neither text nor number"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no array")).iter().map(text).collect()
}

pub(crate) struct Kyuubi;

impl Voice for Kyuubi {
    fn dialect(&self) -> &'static str {
        "kyuubi"
    }

    fn submit(&self, spec: &BatchSpec) -> Option<Ask> {
        let kind = if spec.kind == BatchKind::Python { "PYSPARK" } else { "SPARK" };
        let body = json!({ "batchType": kind, "className": "", "resource": spec.file, "args": spec.args });
        Some(Ask::send(Method::POST, "/api/v1/batches", body))
    }

    fn batches(&self) -> (&'static str, &'static str) {
        ("/api/v1/batches", "batches")
    }

    fn log(&self, id: &str) -> Ask {
        Ask::get(format!("/api/v1/batches/{id}/localLog?from=0&size=1000"))
    }

    fn lines(&self, answer: &Heard) -> Vec<String> {
        texts(&answer.json()["logRowSet"])
    }

    fn unavailable(&self) -> u16 {
        503
    }

    fn refused(&self) -> u16 {
        500
    }

    fn word(&self, state: BatchState) -> &'static str {
        match state {
            BatchState::Queued | BatchState::Starting => "PENDING",
            BatchState::Running | BatchState::Paused => "RUNNING",
            BatchState::Succeeded => "FINISHED",
            BatchState::Failed | BatchState::Unknown => "ERROR",
            BatchState::Cancelled => "CANCELED",
        }
    }
}

pub(crate) struct Livy;

impl Voice for Livy {
    fn dialect(&self) -> &'static str {
        "livy"
    }

    fn submit(&self, spec: &BatchSpec) -> Option<Ask> {
        Some(Ask::send(Method::POST, "/batches", json!({ "file": spec.file, "args": spec.args })))
    }

    fn wanted(&self, id: &str) -> BatchRef {
        BatchRef::Ordinal(id.parse().unwrap_or_else(|error| panic!("{id}: {error}")))
    }

    fn called(&self, id: &BatchId) -> String {
        id.ordinal.to_string()
    }

    fn batches(&self) -> (&'static str, &'static str) {
        ("/batches", "sessions")
    }

    fn log(&self, id: &str) -> Ask {
        Ask::get(format!("/batches/{id}/log?from=0&size=1000"))
    }

    fn lines(&self, answer: &Heard) -> Vec<String> {
        texts(&answer.json()["log"])
    }

    fn cancel_forgets(&self) -> bool {
        true
    }

    fn unknown(&self) -> (Ask, u16) {
        (self.get("999999"), 404)
    }

    fn unavailable(&self) -> u16 {
        503
    }

    fn refused(&self) -> u16 {
        400
    }

    fn word(&self, state: BatchState) -> &'static str {
        match state {
            BatchState::Queued | BatchState::Starting => "starting",
            BatchState::Running => "running",
            BatchState::Paused => "idle",
            BatchState::Succeeded => "success",
            BatchState::Failed => "dead",
            BatchState::Cancelled => "killed",
            BatchState::Unknown => "error",
        }
    }
}

pub(crate) struct Dli;

impl Voice for Dli {
    fn dialect(&self) -> &'static str {
        "dli"
    }

    fn submit(&self, spec: &BatchSpec) -> Option<Ask> {
        let body = json!({ "file": spec.file, "args": spec.args, "queue": "q1" });
        Some(Ask::send(Method::POST, "/v2.0/p1/batches", body))
    }

    fn batches(&self) -> (&'static str, &'static str) {
        ("/v2.0/p1/batches", "sessions")
    }

    fn log(&self, id: &str) -> Ask {
        Ask::get(format!("/v2.0/p1/batches/{id}/log?from=0&size=1000"))
    }

    fn lines(&self, answer: &Heard) -> Vec<String> {
        texts(&answer.json()["log"])
    }

    fn unavailable(&self) -> u16 {
        502
    }

    fn refused(&self) -> u16 {
        400
    }

    fn word(&self, state: BatchState) -> &'static str {
        match state {
            BatchState::Queued | BatchState::Starting => "starting",
            BatchState::Running => "running",
            BatchState::Paused => "recovering",
            BatchState::Succeeded => "success",
            BatchState::Failed | BatchState::Cancelled | BatchState::Unknown => "dead",
        }
    }
}

pub(crate) struct Kylin;

impl Kylin {
    /// What only its clients can ask for.
    pub(crate) fn act(&self, id: &str, action: &str) -> Ask {
        let body = json!({ "action": action, "job_ids": [id] });
        Ask::send(Method::PUT, "/kylin/api/jobs/status", body).accepting(V4)
    }
}

const V4: &str = "application/vnd.apache.kylin-v4-public+json";
const V2: &str = "application/vnd.apache.kylin-v2+json";

impl Voice for Kylin {
    fn dialect(&self) -> &'static str {
        "kylin"
    }

    fn submit(&self, _: &BatchSpec) -> Option<Ask> {
        None
    }

    fn submitted(&self, answer: &Value) -> String {
        unreachable!("Kylin has no call that is answered {answer}")
    }

    fn batches(&self) -> (&'static str, &'static str) {
        ("/kylin/api/jobs", "value")
    }

    /// The one face of Kylin 5 that has a call for one job.
    fn get(&self, id: &str) -> Ask {
        Ask::get(format!("/kylin/api/jobs/{id}")).accepting(V2)
    }

    fn object(&self, answer: &Value) -> (String, String) {
        let object = answer.get("data").unwrap_or(answer);
        (text(&object["id"]), text(&object["job_status"]))
    }

    fn list(&self) -> Ask {
        Ask::get("/kylin/api/jobs?time_filter=4&page_size=1000").accepting(V4)
    }

    fn objects(&self, answer: &Value) -> Vec<(String, String)> {
        answer["data"]["value"].as_array().expect("jobs").iter().map(|job| self.object(job)).collect()
    }

    fn log(&self, id: &str) -> Ask {
        Ask::get(format!("/kylin/api/jobs/{id}/steps/{id}_00/log?project=p1")).accepting(V4)
    }

    fn lines(&self, answer: &Heard) -> Vec<String> {
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().lines().map(str::to_owned).collect()
    }

    fn cancel(&self, id: &str) -> Ask {
        self.act(id, "DISCARD")
    }

    fn unknown(&self) -> (Ask, u16) {
        (self.get(NOBODY), 500)
    }

    fn unavailable(&self) -> u16 {
        503
    }

    fn refused(&self) -> u16 {
        500
    }

    fn name(&self, answer: &Value) -> Option<String> {
        // A job is called by what it is done to.
        answer.get("data").unwrap_or(answer)["related_cube"].as_str().map(str::to_owned)
    }

    fn word(&self, state: BatchState) -> &'static str {
        match state {
            BatchState::Queued | BatchState::Starting => "PENDING",
            BatchState::Running => "RUNNING",
            BatchState::Paused => "STOPPED",
            BatchState::Succeeded => "FINISHED",
            BatchState::Failed | BatchState::Unknown => "ERROR",
            BatchState::Cancelled => "DISCARDED",
        }
    }
}
