//! A small Kyuubi for tests of the backend: batches that move on each time they are asked for, a log, and the versions' differences. For
//! faults and speed only: what a real server says is in the recordings.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use batchlingua_core::{Backend, NativeId};
use batchlingua_testkit::{Asked, Origin, Reply};
use serde_json::{Value, json};

use crate::{backend::KyuubiBackend, settings::BackendSettings};

/// What the fake knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) version: String,
    /// In the order of their making.
    pub(crate) batches: Vec<Fake>,
    clock: i64,
    /// Answered in place of a call, once for each entry: the call's first words, and what it says.
    pub(crate) faults: Vec<(&'static str, Reply)>,
}

/// A batch of the fake.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) kind: String,
    pub(crate) name: Value,
    pub(crate) state: &'static str,
    pub(crate) created: i64,
    pub(crate) started: i64,
    pub(crate) ended: i64,
    /// What it becomes each time somebody looks.
    pub(crate) ahead: Vec<&'static str>,
    pub(crate) log: Vec<String>,
    pub(crate) request: Value,
}

impl Fake {
    fn object(&self, is_old: bool) -> Value {
        let app = matches!(self.state, "RUNNING" | "FINISHED").then_some("RUNNING");
        let mut object = json!({
            "id": self.id, "user": self.user, "batchType": self.kind, "name": self.name, "appStartTime": self.started,
            "appId": (self.started > 0).then(|| format!("app-{}", self.created)), "appUrl": null, "appState": app,
            "appDiagnostic": null, "kyuubiInstance": "kyuubi-0:10099", "state": self.state, "createTime": self.created,
            "endTime": self.ended, "batchInfo": {},
        });
        if is_old {
            let members = object.as_object_mut().expect("an object");
            members.remove("appStartTime");
            members.remove("batchInfo");
        }
        object
    }
}

impl World {
    pub(crate) fn new(version: &str) -> Self {
        Self { version: version.to_owned(), batches: Vec::new(), clock: 1_795_300_000_000, faults: Vec::new() }
    }

    fn is_old(&self) -> bool {
        self.version.starts_with("1.6")
    }

    fn tick(&mut self) -> i64 {
        self.clock += 10;
        self.clock
    }

    pub(crate) fn find(&mut self, id: &str) -> Option<&mut Fake> {
        self.batches.iter_mut().find(|batch| batch.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn become_state(&mut self, id: &str, state: &'static str) {
        let now = self.tick();
        let Some(batch) = self.find(id) else { return };
        if ["FINISHED", "ERROR", "CANCELED"].contains(&batch.state) {
            return;
        }
        batch.state = state;
        match state {
            "RUNNING" => batch.started = now,
            "FINISHED" | "ERROR" | "CANCELED" => batch.ended = now,
            _ => {}
        }
    }

    fn submit(&mut self, request: Value, user: String) -> Reply {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let known = text(&request["conf"]["kyuubi.batch.id"]).filter(|_| !self.is_old());
        if let Some(known) = known.as_deref().and_then(|id| self.find(id)) {
            let mut object = known.object(false);
            object["batchInfo"] = json!({"kyuubi.batch.duplicated": "true"});
            return Reply::json(200, object.to_string());
        }
        let made = format!("00000000-0000-4000-8000-{:012}", self.batches.len() + 1);
        let created = self.tick();
        let proxied = text(&request["conf"]["hive.server2.proxy.user"]);
        self.batches.push(Fake {
            id: known.unwrap_or(made),
            user: proxied.unwrap_or(user),
            kind: text(&request["batchType"]).unwrap_or_default(),
            name: request["name"].clone(),
            state: "PENDING",
            created,
            started: 0,
            ended: 0,
            ahead: Vec::new(),
            log: Vec::new(),
            request,
        });
        let is_old = self.is_old();
        Reply::json(200, self.batches.last().expect("just made").object(is_old).to_string())
    }

    fn get(&mut self, id: &str) -> Reply {
        let Some(batch) = self.find(id) else { return no_batch(id) };
        if let Some(next) = (!batch.ahead.is_empty()).then(|| batch.ahead.remove(0)) {
            self.become_state(id, next);
        }
        let is_old = self.is_old();
        self.find(id).map_or_else(|| no_batch(id), |batch| Reply::json(200, batch.object(is_old).to_string()))
    }

    fn list(&self, query: &BTreeMap<String, String>) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let since = i64::try_from(number("createTime")).unwrap_or(0);
        let all = self.batches.iter().filter(|batch| batch.created >= since);
        let rows: Vec<_> =
            all.skip(number("from")).take(number("size")).map(|batch| batch.object(self.is_old())).collect();
        Reply::json(200, json!({"from": number("from"), "total": rows.len(), "batches": rows}).to_string())
    }

    fn log(&mut self, id: &str, query: &BTreeMap<String, String>) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
        let Some(batch) = self.find(id) else { return no_batch(id) };
        let rows: Vec<_> = batch.log.iter().skip(number("from")).take(number("size")).collect();
        Reply::json(200, json!({"logRowSet": rows, "rowCount": rows.len()}).to_string())
    }

    fn delete(&mut self, id: &str) -> Reply {
        let Some(state) = self.find(id).map(|batch| batch.state) else { return no_batch(id) };
        let is_over = ["FINISHED", "ERROR", "CANCELED"].contains(&state);
        self.become_state(id, "CANCELED");
        let message = if is_over { "is already terminal" } else { "Succeeded to terminate" };
        Reply::json(200, json!({"success": !is_over, "msg": message}).to_string())
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        let line = format!("{} {}", asked.method, asked.target);
        if let Some(at) = self.faults.iter().position(|(start, _)| line.starts_with(start)) {
            return self.faults.remove(at).1;
        }
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), &segments[..]) {
            ("GET", ["api", "v1", "version"]) => Reply::json(200, json!({"version": self.version}).to_string()),
            ("POST", ["api", "v1", "batches"]) => {
                let is_form = asked.header("content-type").starts_with("multipart/");
                let request = if is_form { form_json(&asked.body) } else { asked.json() };
                self.submit(request, "anonymous".to_owned())
            }
            ("GET", ["api", "v1", "batches"]) => self.list(&query),
            ("GET", ["api", "v1", "batches", id]) => self.get(id),
            ("GET", ["api", "v1", "batches", id, "localLog"]) => self.log(id, &query),
            ("DELETE", ["api", "v1", "batches", id]) => self.delete(id),
            _ => Reply::json(404, json!({"message": "HTTP 404 Not Found"}).to_string()),
        }
    }
}

fn no_batch(id: &str) -> Reply {
    Reply::json(404, json!({"message": format!("Invalid batchId: {id}")}).to_string())
}

/// The JSON of a form whose first part it is.
fn form_json(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let start = text.find("\r\n\r\n").expect("a head") + 4;
    let end = start + text[start..].find("\r\n--").expect("a boundary");
    serde_json::from_str(&text[start..end]).expect("JSON")
}

/// A fake with a backend in front of it.
pub(crate) struct Scene {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) origin: Origin,
    pub(crate) backend: Arc<KyuubiBackend>,
}

/// A backend with these settings beside its address.
pub(crate) fn backend(url: &str, others: Value) -> KyuubiBackend {
    let mut table = json!({"url": url});
    let table_mut = table.as_object_mut().expect("a table");
    table_mut.extend(others.as_object().expect("a table").clone());
    let settings = batchlingua_wire::Settings::new("backend.k", table);
    KyuubiBackend::new("k".into(), BackendSettings::read(settings).expect("settings")).expect("a backend")
}

impl Scene {
    pub(crate) async fn of(version: &str, settings: Value) -> Self {
        let world = Arc::new(Mutex::new(World::new(version)));
        let origin = {
            let world = world.clone();
            Origin::start(move |asked| world.lock().expect("nobody panics inside").answer(&asked)).await
        };
        let backend = Arc::new(backend(&origin.url(), settings));
        Self { world, origin, backend }
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics inside")
    }

    pub(crate) fn port(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    pub(crate) fn finish(&self, id: &NativeId, state: &'static str) {
        let mut world = self.world();
        if let Some(batch) = world.find(id.as_str()) {
            batch.ahead.clear();
        }
        world.become_state(id.as_str(), "RUNNING");
        world.become_state(id.as_str(), state);
    }
}
