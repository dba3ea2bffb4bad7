//! A DLI that is none: just enough of one, over HTTP, for tests of faults and of the port. It answers as the reference says; there are no
//! recordings of a real one.

use std::sync::{Arc, Mutex, MutexGuard};

use batchlingua_core::{Backend, Clock, Uuid};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply};
use batchlingua_wire::{OpenContext, Query, Settings};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{backend::DliBackend, settings::BackendSettings};

pub(crate) const PROJECT: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const BEGIN: i64 = 1_767_225_600_000;

/// A batch there.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) state: &'static str,
    pub(crate) log: Vec<String>,
    pub(crate) body: Value,
    pub(crate) created: i64,
    pub(crate) updated: i64,
}

/// How it differs from what the reference recommends, where that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// A create is answered with 201 and no more than an id, as by a client that printed what it got.
    pub(crate) is_terse: bool,
    /// Requests are not shown again.
    pub(crate) hides_requests: bool,
    /// Of conf nothing is shown again.
    pub(crate) hides_conf: bool,
    /// The oldest first, whatever is asked for.
    pub(crate) oldest_first: bool,
    /// A page has so many batches at most.
    pub(crate) page: Option<usize>,
    /// A log's beginning is a text, and its end is always the last hundred lines.
    pub(crate) is_old: bool,
    /// What has ended can be cancelled again.
    pub(crate) forgives: bool,
}

/// Its batches, in the order of their creation.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) manners: Manners,
    jobs: Mutex<Vec<Job>>,
    pub(crate) changed: watch::Sender<u64>,
}

fn fails(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, json!({"error_code": code, "error_msg": message}).to_string())
}

impl World {
    pub(crate) fn new(manners: Manners) -> Arc<Self> {
        Arc::new(Self { manners, ..Self::default() })
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().expect("no panic")
    }

    pub(crate) fn add(&self, project: &str, state: &'static str, body: Value, log: Vec<String>) -> Job {
        let mut jobs = self.jobs();
        let created = BEGIN + jobs.len() as i64 * 1_000;
        let id = Uuid::new_v4().to_string();
        let job = Job { id, project: project.to_owned(), state, log, body, created, updated: created + 500 };
        jobs.push(job.clone());
        job
    }

    pub(crate) fn set(&self, id: &str, state: &'static str) {
        for job in self.jobs().iter_mut().filter(|job| job.id == id) {
            (job.state, job.updated) = (state, job.updated + 500);
        }
        self.changed.send_modify(|count| *count += 1);
    }

    fn object(&self, job: &Job) -> Value {
        let text = |name: &str| job.body.get(name).cloned().unwrap_or(json!(""));
        let tail = &job.log[job.log.len().saturating_sub(10)..];
        let mut object = json!({"id": job.id, "state": job.state, "appId": null, "log": tail, "sc_type": "A", "cluster_name": text("queue"),
            "queue": text("queue"), "name": text("name"), "owner": "lingua", "proxyUser": "", "kind": "spark",
            "create_time": job.created, "update_time": job.updated, "x_new": [1, null]});
        if !self.manners.hides_requests {
            let mut request = job.body.clone();
            if self.manners.hides_conf {
                request["conf"] = json!({});
            }
            object["req_body"] = json!(request.to_string());
        }
        object
    }

    /// Answers as a DLI does.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let query = Query::parse(query);
        let segments: Vec<_> = path.split('/').skip(1).collect();
        assert_eq!(asked.header("content-type"), "application/json", "{asked:?}");
        assert_eq!(asked.header("x-project-id"), segments[1], "{asked:?}");
        match (asked.method.as_str(), segments.as_slice()) {
            ("POST", ["v2.0", project, "batches"]) => self.create(project, asked.json()),
            ("GET", ["v2.0", project, "batches"]) => self.list(project, &query),
            (method, ["v2.0", project, "batches", id, rest @ ..]) => {
                let found = self.jobs().iter().find(|job| job.id == *id && job.project == *project).cloned();
                match (method, rest, found) {
                    ("GET", [], None) => fails(404, "DLI.0023", "no related resource found"),
                    (_, _, None) => fails(400, "DLI.0002", "the batch does not exist"),
                    ("GET", [], Some(job)) => Reply::json(200, self.object(&job).to_string()),
                    ("GET", ["log"], Some(job)) => self.log(&job, &query),
                    ("DELETE", [], Some(job)) => self.cancel(&job),
                    _ => fails(404, "APIGW.0101", "The API does not exist"),
                }
            }
            _ => fails(404, "APIGW.0101", "The API does not exist"),
        }
    }

    fn create(&self, project: &str, body: Value) -> Reply {
        let word = |at: usize| body["args"][at].as_str().unwrap_or_default().to_owned();
        let state = match word(0).as_str() {
            "fails" => "dead",
            "runs" => "running",
            _ => "success",
        };
        let lines: u32 = word(1).parse().unwrap_or(0);
        let log = (0..lines).map(|line| format!("line {line}")).collect();
        let job = self.add(project, state, body, log);
        if self.manners.is_terse {
            let answer = json!({"id": job.id, "state": "starting", "log": [], "statusCode": 0, "success": false,
                "is_success": false, "error_code": null, "error_msg": null});
            return Reply::json(201, answer.to_string());
        }
        Reply::json(200, json!({"state": "starting", "id": job.id, "log": [], "x_new": 1.50}).to_string())
    }

    fn list(&self, project: &str, query: &Query) -> Reply {
        let number =
            |name: &str, default: usize| query.get(name).map_or(default, |text| text.parse().expect("a number"));
        let mut jobs: Vec<_> = self.jobs().iter().filter(|job| job.project == project).cloned().collect();
        if query.get("order") == Some("CREATE_TIME_DESC") && !self.manners.oldest_first {
            jobs.reverse();
        }
        let (from, size) = (number("from", 0), number("size", 100).min(self.manners.page.unwrap_or(usize::MAX)));
        let page: Vec<_> = jobs.iter().skip(from).take(size).map(|job| self.object(job)).collect();
        Reply::json(200, json!({"from": from, "total": jobs.len(), "sessions": page}).to_string())
    }

    fn log(&self, job: &Job, query: &Query) -> Reply {
        let number = |name: &str| query.get(name).map(|text| text.parse::<usize>().expect("a number"));
        let total = job.log.len();
        let size = number("size").unwrap_or(100);
        let tail = if self.manners.is_old { 100 } else { size };
        let from = number("from").unwrap_or(total.saturating_sub(tail));
        let lines: Vec<_> = job.log.iter().skip(from).take(size).collect();
        let from = if self.manners.is_old { json!(from.to_string()) } else { json!(from) };
        Reply::json(200, json!({"id": job.id, "from": from, "total": total, "log": lines}).to_string())
    }

    fn cancel(&self, job: &Job) -> Reply {
        match job.state {
            "dead" | "success" if !self.manners.forgives => fails(400, "DLI.0007", "the batch has ended"),
            "dead" | "success" => Reply::json(200, r#"{"msg":"deleted"}"#),
            _ => {
                self.set(&job.id, "dead");
                Reply::json(200, r#"{"msg":"deleted"}"#)
            }
        }
    }
}

/// The settings of a backend that asks this address, with these more.
pub(crate) fn settings(url: &str, more: Value) -> BackendSettings {
    let mut table = json!({"url": url, "project_id": PROJECT, "queue": "etl_q"});
    for (key, value) in more.as_object().expect("a table") {
        table[key] = value.clone();
    }
    BackendSettings::read(Settings::new("backend.north", table)).expect("valid settings")
}

/// A backend that asks this address.
pub(crate) fn backend(url: &str, more: Value, clock: Arc<dyn Clock>) -> DliBackend {
    DliBackend::new(OpenContext { name: "north".into(), clock }, settings(url, more)).expect("a backend")
}

/// A backend over such a DLI.
pub(crate) async fn dli(world: &Arc<World>, more: Value) -> (Origin, Arc<dyn Backend>) {
    let answering = world.clone();
    let origin = Origin::start(move |asked| answering.answer(&asked)).await;
    let backend = backend(&origin.url(), more, Arc::new(ManualClock::default()));
    (origin, Arc::new(backend))
}
