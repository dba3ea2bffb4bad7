//! A Livy that is none: just enough of one, over HTTP, for tests of faults and of the port. What a Livy really says is in the recordings.

use std::sync::{Arc, Mutex, MutexGuard};

use batchlingua_core::{Backend, BackendName, Batch, BatchSpec, Clock, Intent, NativeId, Result, SubmitError};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply, context, intent, marker};
use batchlingua_wire::{Client, Settings};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{backend::LivyBackend, settings::BackendSettings};

/// A batch there.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: u32,
    pub(crate) name: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) log: Vec<String>,
}

impl Job {
    pub(crate) fn object(&self) -> Value {
        let info = json!({"driverLogUrl": null, "sparkUiUrl": null, "executorLogUrls": null});
        let tail = &self.log[self.log.len().saturating_sub(10)..];
        json!({"id": self.id, "name": self.name, "owner": null, "proxyUser": null, "state": self.state, "appId": null,
               "appInfo": info, "log": tail})
    }
}

/// Its batches.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) version: Mutex<&'static str>,
    jobs: Mutex<Vec<Job>>,
    next: Mutex<u32>,
    pub(crate) changed: watch::Sender<u64>,
}

fn framed(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let (first, last) = ("stdout: ".to_owned(), "\nstderr: ".to_owned());
    [first].into_iter().chain(lines).chain([last]).collect()
}

fn not_found(called: &str) -> Reply {
    Reply::json(404, json!({"msg": format!("Session '{called}' not found.")}).to_string())
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let world = Self::default();
        *world.version.lock().expect("no panic") = "0.9.0-incubating";
        Arc::new(world)
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().expect("no panic")
    }

    pub(crate) fn add(&self, name: Option<&str>, state: &'static str, log: Vec<String>) -> Job {
        let mut next = self.next.lock().expect("no panic");
        let job = Job { id: *next, name: name.map(str::to_owned), state, log };
        *next += 1;
        self.jobs().push(job.clone());
        job
    }

    /// The record of a refused submit.
    pub(crate) fn add_ghost(&self, name: &str) -> Job {
        self.add(Some(name), "starting", Vec::new())
    }

    pub(crate) fn set(&self, id: u32, state: &'static str) {
        self.jobs().iter_mut().filter(|job| job.id == id).for_each(|job| job.state = state);
        self.changed.send_modify(|count| *count += 1);
    }

    fn is(job: &Job, called: &str) -> bool {
        job.name.as_deref() == Some(called) || called.parse() == Ok(job.id)
    }

    /// Answers as a Livy does.
    pub(crate) fn answer(&self, asked: &Asked) -> Reply {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let segments: Vec<_> =
            path.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        match (asked.method.as_str(), segments.as_slice()) {
            ("GET", ["version"]) => {
                Reply::json(200, json!({"version": *self.version.lock().expect("no panic")}).to_string())
            }
            ("POST", ["batches"]) => self.submit(&asked.json()),
            ("GET", ["batches"]) => self.list(query),
            ("GET", ["batches", called]) => match self.jobs().iter().find(|job| Self::is(job, called)) {
                Some(job) => Reply::json(200, job.object().to_string()),
                None => not_found(called),
            },
            ("GET", ["batches", called, "log"]) => match self.jobs().iter().find(|job| Self::is(job, called)) {
                Some(job) => {
                    let log = json!({"id": job.id, "from": 0, "total": job.log.len(), "log": job.log});
                    Reply::json(200, log.to_string())
                }
                None => not_found(called),
            },
            ("DELETE", ["batches", called]) => {
                let mut jobs = self.jobs();
                match jobs.iter().position(|job| Self::is(job, called)) {
                    Some(at) => {
                        jobs.remove(at);
                        Reply::json(200, r#"{"msg":"deleted"}"#)
                    }
                    None => not_found(called),
                }
            }
            _ => Reply::whole(404, "text/html", ""),
        }
    }

    fn submit(&self, body: &Value) -> Reply {
        let name = body["name"].as_str();
        if let Some(name) = name
            && self.jobs().iter().any(|job| job.name.as_deref() == Some(name))
        {
            let mut next = self.next.lock().expect("no panic");
            let words = format!("Rejected, Reason: Duplicate session name: Some({name}) for session {next}");
            *next += 1;
            return Reply::json(400, json!({"msg": words}).to_string());
        }
        let word = |at: usize| body["args"][at].as_str().unwrap_or_default();
        let lines: u32 = word(1).parse().unwrap_or(0);
        let state = match word(0) {
            "fails" => "dead",
            "runs" => "running",
            _ => "success",
        };
        let job = self.add(name, state, framed((0..lines).map(|line| format!("line {line}"))));
        Reply::json(201, job.object().to_string())
    }

    fn list(&self, query: &str) -> Reply {
        let number = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<usize>().ok());
        let (from, size) = (number("from=").unwrap_or(0), number("size=").unwrap_or(100));
        let jobs = self.jobs();
        let page: Vec<_> = jobs.iter().skip(from).take(size).map(Job::object).collect();
        Reply::json(200, json!({"from": from, "total": jobs.len(), "sessions": page}).to_string())
    }
}

/// A backend that asks this origin, with these settings more.
pub(crate) fn backend(origin: &Origin, more: Value, clock: Arc<dyn Clock>) -> LivyBackend {
    let settings = settings(&origin.url(), more);
    let http = Client::new(BackendName::from("old-livy"), &settings.client, None).expect("a client");
    LivyBackend::new(http, &settings, clock)
}

pub(crate) fn settings(url: &str, more: Value) -> BackendSettings {
    let mut table = more;
    table["url"] = json!(url);
    BackendSettings::read(Settings::new("backend.old-livy", table)).expect("valid settings")
}

/// A backend over such a Livy.
pub(crate) async fn livy(world: &Arc<World>) -> (Origin, Arc<dyn Backend>) {
    let answering = world.clone();
    let origin = Origin::start(move |asked| answering.answer(&asked)).await;
    let backend = backend(&origin, json!({}), Arc::new(ManualClock::default()));
    (origin, Arc::new(backend))
}

/// Of a job that does this.
pub(crate) fn spec(args: &[&str]) -> BatchSpec {
    let args = args.iter().copied().map(str::to_owned).collect();
    BatchSpec { file: Some("/apps/job.jar".to_owned()), args, ..BatchSpec::default() }
}

/// A backend over an origin with these answers; a clock that stands.
pub(crate) async fn over(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Origin, Arc<dyn Backend>) {
    let origin = Origin::start(move |asked| answer(&asked)).await;
    let backend = backend(&origin, json!({}), Arc::new(ManualClock::default()));
    (origin, Arc::new(backend))
}

pub(crate) fn object(rest: &str) -> String {
    format!(r#"{{"id":5,"name":null,"state":"running","appId":null,"appInfo":{{}},"log":[]{rest}}}"#)
}

pub(crate) fn is_version(asked: &Asked) -> bool {
    asked.target == "/version"
}

pub(crate) fn version() -> Reply {
    Reply::json(200, r#"{"version":"0.9.0-incubating"}"#)
}

/// An intent of this dialect with this name.
pub(crate) fn named(dialect: &str, name: Option<&str>) -> Intent {
    let spec = BatchSpec { name: name.map(str::to_owned), ..spec(&["runs"]) };
    Intent { dialect: dialect.into(), ..intent(marker(), spec) }
}

pub(crate) async fn submit(backend: &dyn Backend, intent: Intent) -> Result<Batch<NativeId>, SubmitError> {
    let plan = backend.plan(intent).expect("a plan");
    backend.submit(&context(), plan).await
}

pub(crate) fn posts(origin: &Origin) -> Vec<Asked> {
    origin.asked().into_iter().filter(|asked| asked.method == "POST").collect()
}
