//! A Kylin as the reference tells of it (kylin-jobs.md, 2 to 11), with jobs that move when a test moves them: the new one and the older ones.

use std::sync::{Arc, Mutex, MutexGuard};

use batchlingua_core::{Clock, Uuid};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply};
use batchlingua_wire::{ClientConfig, Query, Settings};
use serde_json::{Value, json};

use crate::{
    backend::KylinBackend,
    log::DIVIDER,
    settings::{BackendSettings, Version},
    state::Status,
};

pub(crate) const PUBLIC_TYPE: &str = "application/vnd.apache.kylin-v4-public+json;charset=UTF-8";
const LOGIN: &str = "Basic QURNSU46S1lMSU4=";

/// A Kylin with its jobs.
pub(crate) struct Fake {
    pub(crate) origin: Origin,
    world: Arc<Mutex<World>>,
}

pub(crate) struct World {
    version: Version,
    pub(crate) jobs: Vec<Job>,
    projects: Vec<&'static str>,
    now: i64,
    /// Said to every call, in place of an answer.
    pub(crate) instead: Option<Reply>,
    /// Said to every action on a job, whatever its state.
    pub(crate) refusal: Option<Reply>,
}

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) project: &'static str,
    pub(crate) word: String,
    created: i64,
    started: i64,
    ended: i64,
    modified: i64,
    pub(crate) log: Vec<String>,
}

impl Fake {
    pub(crate) async fn start(version: Version) -> Self {
        let now = ManualClock::default().now().0;
        let projects = vec!["retail", "risk & co"];
        let world =
            Arc::new(Mutex::new(World { version, jobs: Vec::new(), projects, now, instead: None, refusal: None }));
        let origin = Origin::start({
            let world = world.clone();
            move |asked| world.lock().expect("no test panics here").answer(&asked)
        });
        Self { origin: origin.await, world }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics here")
    }

    /// The backend over it, with more settings.
    pub(crate) fn backend(&self, more: Value) -> KylinBackend {
        let face = match self.world().version {
            Version::Five => "kylin5",
            Version::Four => "kylin4",
            Version::Three => "kylin3",
            Version::Two => "kylin2",
        };
        let mut value = json!({ "face": face, "auth": { "basic": { "user": "ADMIN", "password": "KYLIN" } } });
        more.as_object().into_iter().flatten().for_each(|(key, more)| value[key] = more.clone());
        backend(&self.origin.url(), value)
    }

    /// A new job's id.
    pub(crate) fn add(&self, project: &'static str, word: &str) -> String {
        let mut world = self.world();
        world.now += 1_000;
        let id = Uuid::new_v4().to_string();
        let id = if world.jobs.len() % 2 == 1 { format!("{id}-{}", Uuid::nil()) } else { id };
        let now = world.now;
        let job = Job {
            id: id.clone(),
            project,
            word: "PENDING".into(),
            created: now,
            started: 0,
            ended: 0,
            modified: now,
            log: vec![],
        };
        world.jobs.push(job);
        drop(world);
        self.set(&id, word);
        id
    }

    pub(crate) fn set(&self, id: &str, word: &str) {
        let mut world = self.world();
        world.now += 1_000;
        let now = world.now;
        world.job(id).expect("a test moves jobs that are there").set(word, now);
    }

    pub(crate) fn write(&self, id: &str, lines: usize) {
        let mut world = self.world();
        let job = world.job(id).expect("a test writes logs of jobs that are there");
        job.log = (0..lines).map(|at| format!("line {at}")).collect();
    }
}

/// A backend with these settings.
pub(crate) fn backend(url: &str, mut value: Value) -> KylinBackend {
    value["url"] = json!(url);
    let settings = BackendSettings::read(Settings::new("backend.k", value)).expect("valid settings");
    backend_of(&settings, Arc::new(ManualClock::default()))
}

pub(crate) fn backend_of(settings: &BackendSettings, clock: Arc<dyn Clock>) -> KylinBackend {
    let config: &ClientConfig = &settings.client;
    let http = batchlingua_wire::Client::new("k".into(), config, None).expect("a client");
    KylinBackend::new(http, settings, clock)
}

impl Job {
    fn set(&mut self, word: &str, now: i64) {
        self.modified = now;
        self.word = word.to_owned();
        let has_begun = !matches!(word, "PENDING" | "DISCARDED");
        if has_begun && self.started == 0 {
            self.started = now;
        }
        self.ended = if matches!(word, "FINISHED" | "ERROR" | "DISCARDED") { now } else { 0 };
    }

    fn is_over(&self) -> bool {
        matches!(self.word.as_str(), "FINISHED" | "DISCARDED")
    }

    /// In the order and with the number texts of the reference's example, and with members that no reader knows.
    pub(crate) fn v4(&self) -> String {
        let Self { id, project, word, created, started, ended, modified, .. } = self;
        format!(
            r#"{{"id":"{id}","last_modified":{modified},"duration":41500,"total_duration":43200,"exec_start_time":{started},"steps":[],"job_status":"{word}","job_name":"INC_BUILD","data_range_start":1766966400000,"data_range_end":9223372036854775807,"target_model":"c0ffee00-1111-2222-3333-444455556666","target_segments":["51a7e0b2-9090-4c4c-8d8d-00aa11bb22cc"],"step_ratio":0.50,"create_time":{created},"wait_time":1700,"target_subject":"orders_daily","target_subject_error":false,"project":"{project}","submitter":"ANALYST","exec_end_time":{ended},"discard_safety":true,"tag":{{"run":17,"big":123456789012345678901234567890}},"snapshot_data_range":null,"job_scheduler_mode":"CHAIN","segments":[],"version":null,"related_segment":"51a7e0b2-9090-4c4c-8d8d-00aa11bb22cc","progress":0.0,"scheduler_state":"RUNNING"}}"#
        )
    }

    /// Two steps, of which the second is where the job stands.
    pub(crate) fn v4_steps(&self) -> String {
        let Self { id, word, created, started, ended, .. } = self;
        let failed = if word == "ERROR" { r#""org.example.Broken: no disk\n\tat org.example.Disk""# } else { "null" };
        let step = |number: u32, name: &str, word: &str, info: &str, failed: &str| {
            format!(
                r#"{{"id":"{id}_{number:02}","name":"{name}","sequence_id":{number},"exec_cmd":null,"exec_start_time":{started},"exec_end_time":{ended},"create_time":{created},"duration":1.50e1,"wait_time":70,"index_count":0,"success_index_count":0,"step_status":"{word}","cmd_type":"SHELL_CMD_HADOOP","info":{info},"previous_step":null,"next_steps":[],"failed_msg":{failed},"failed_step_name":null,"sub_stages":null,"segment_sub_stages":null,"new_in_6":1}}"#
            )
        };
        let first = if *started == 0 { "PENDING" } else { "FINISHED" };
        let app = r#"{"node_info":"h:7070","yarn_application_id":"application_1_2","yarn_application_tracking_url":"http://rm:8088/a"}"#;
        format!(
            "[{},{}]",
            step(0, "Detect Resource", first, "{}", "null"),
            step(1, "Load Data To Index", word, app, failed)
        )
    }

    pub(crate) fn instance(&self, version: Version) -> String {
        let Self { id, project, word, started, ended, modified, .. } = self;
        let project = if version == Version::Two { String::new() } else { format!(r#""projectName":"{project}","#) };
        let first = if *started == 0 { "PENDING" } else { "FINISHED" };
        let step = |number: u32, word: &str, info: &str| {
            format!(
                r#"{{"interrupt_cmd":null,"id":"{id}-{number:02}","name":"Step {number}","sequence_id":{number},"exec_cmd":" -conf x","exec_start_time":{started},"exec_end_time":{ended},"exec_wait_time":1,"step_status":"{word}","cmd_type":"SHELL_CMD_HADOOP","info":{info},"run_async":false}}"#
            )
        };
        let app = r#"{"yarn_application_id":"application_3_4"}"#;
        format!(
            r#"{{"uuid":"{id}","last_modified":{modified},"version":"3.0.0.20500","name":"BUILD CUBE - orders_daily - 1_2 - GMT",{project}"type":"BUILD","duration":41,"related_cube":"orders_daily","display_cube_name":"orders_daily","related_segment":"s","exec_start_time":{started},"exec_end_time":{ended},"exec_interrupt_time":0,"mr_waiting":7,"steps":[{},{}],"submitter":"ANALYST","job_status":"{word}","build_instance":"unknown","progress":50.00}}"#,
            step(0, first, "{}"),
            step(1, word, app),
        )
    }

    /// Both ends of its log, with a line between where it has more than one end of them.
    fn ends(&self) -> String {
        match self.log.len() {
            0..=100 => self.log.join("\n"),
            count => {
                let (head, rest) = self.log.split_at(100);
                let gap = if count > 200 { "\n" } else { "" };
                let tail = &rest[rest.len().saturating_sub(100)..];
                format!("{}\n{DIVIDER}\n{gap}{}", head.join("\n"), tail.join("\n"))
            }
        }
    }
}

impl World {
    pub(crate) fn job(&mut self, id: &str) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if let Some(instead) = &self.instead {
            return instead.clone();
        }
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let query = Query::parse(query);
        let parts: Vec<&str> = path.trim_start_matches("/kylin/api/").split('/').collect();
        let is_five = self.version.is_five();
        let accept = if is_five { "application/vnd.apache.kylin-v4-public+json" } else { "application/json" };
        assert_eq!(asked.header("accept"), accept, "{} {}", asked.method, asked.target);
        if asked.header("authorization") != LOGIN {
            return if is_five {
                let body = failure("KE-010003207", "who are you");
                Reply::json(401, body)
            } else {
                Reply::whole(401, "text/html;charset=utf-8", "<html><title>HTTP Status 401</title></html>")
            };
        }
        match (is_five, asked.method.as_str(), &parts[..]) {
            (true, "GET", ["jobs"]) => self.list(&query),
            (true, "PUT", ["jobs", "status"]) => self.status(asked),
            (true, "GET", ["jobs", id, "detail"]) => self.detail(id, &query),
            (true, "GET", ["jobs", id, "steps", step, what]) => self.step(id, step, what, &query),
            (false, "GET", ["jobs"]) => self.older_list(&query),
            (false, "GET", ["jobs", id]) => {
                let version = self.version;
                Reply::json(200, self.job(id).map(|job| job.instance(version)).unwrap_or_default())
            }
            (false, "GET", ["jobs", id, "steps", step, what]) => self.older_step(id, step, what, &query),
            (false, "PUT", ["jobs", id, action]) => {
                assert_eq!((asked.header("content-length"), asked.body.len()), ("0", 0));
                self.older_action(id, action)
            }
            _ => Reply::json(404, format!(r#"{{"timestamp":"t","status":404,"error":"Not Found","path":"{path}"}}"#)),
        }
    }

    fn no_project(&self, query: &Query) -> Option<Reply> {
        let project = query.get("project").filter(|project| !self.projects.contains(project))?;
        Some(Reply::json(500, failure("KE-010001201", &format!("no project {project}"))))
    }

    fn list(&self, query: &Query) -> Reply {
        if let Some(refusal) = self.no_project(query) {
            return refusal;
        }
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let (Some(4), Some(page), Some(size)) = (number("time_filter"), number("page_offset"), number("page_size"))
        else {
            return Reply::json(400, failure("KE-010043201", "time_filter"));
        };
        assert_eq!((query.get("sort_by"), query.get("reverse")), (Some("create_time"), Some("false")));
        let project = |job: &&Job| query.get("project").is_none_or(|project| project == job.project);
        let key = |job: &&Job| query.get("key").is_none_or(|key| job.id.contains(key) || "orders_daily".contains(key));
        let jobs: Vec<&Job> = self.jobs.iter().filter(project).filter(key).collect();
        let rows: Vec<String> = jobs.iter().skip(page * size).take(size).map(|job| job.v4()).collect();
        let (rows, total) = (rows.join(","), jobs.len());
        ok(&format!(r#"{{"value":[{rows}],"total_size":{total},"offset":{page},"limit":{size}}}"#))
    }

    fn detail(&mut self, id: &str, query: &Query) -> Reply {
        let Some(project) = query.get("project") else { return Reply::json(400, failure("KE-010043201", "project")) };
        match self.no_project(query) {
            Some(refusal) => refusal,
            None => match self.job(id).filter(|job| job.project == project) {
                Some(job) => ok(&job.v4_steps()),
                None => Reply::json(500, failure("KE-010032219", id)),
            },
        }
    }

    fn step(&mut self, id: &str, step: &str, what: &str, query: &Query) -> Reply {
        let Some(project) = query.get("project").map(str::to_owned) else {
            return Reply::json(400, failure("KE-010043201", "project"));
        };
        let job =
            self.job(id).filter(|job| job.project == project && step.starts_with(&job.id) && step.ends_with("_01"));
        let nothing = "there is nothing here".to_owned();
        match what {
            "output" => {
                let text = json!(job.map_or(nothing, |job| job.ends()));
                ok(&format!(r#"{{"jobId":"{id}","stepId":"{step}","cmd_output":{text}}}"#))
            }
            _ => whole_log(job.map_or(nothing, |job| job.log.join("\n"))),
        }
    }

    /// Kylin's own order: the jobs, then whether all of them may be acted on, then one after another.
    fn status(&mut self, asked: &Asked) -> Reply {
        let body = asked.json();
        let (action, project) =
            (body["action"].as_str().expect("an action"), body["project"].as_str().unwrap_or_default());
        let ids: Vec<&str> = body["job_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for id in &ids {
            let Some(word) = self.job(id).map(|job| job.word.clone()) else {
                return Reply::json(500, failure("KE-010032219", id));
            };
            let legal = Status::of_name(&word).map(|status| status.legal_actions(|_| true)).unwrap_or_default();
            if !legal.split(", ").any(|legal| legal == action) {
                return Reply::json(500, failure("KE-010032217", &format!("{word}: {legal}")));
            }
        }
        if let Some(refusal) = &self.refusal {
            return refusal.clone();
        }
        self.now += 1_000;
        let now = self.now;
        for job in self.jobs.iter_mut().filter(|job| job.project == project && ids.contains(&job.id.as_str())) {
            match action {
                "RESUME" => job.set("PENDING", now),
                "PAUSE" => job.set("STOPPED", now),
                "DISCARD" => job.set("DISCARDED", now),
                _ => {
                    (job.created, job.started) = (now, 0);
                    job.set("PENDING", now);
                }
            }
        }
        ok("\"\"")
    }

    fn older_list(&self, query: &Query) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let all = if self.version == Version::Two { 4 } else { 5 };
        assert_eq!((number("timeFilter"), query.get("jobSearchMode")), (Some(all), Some("ALL")));
        let (offset, limit) = (number("offset").unwrap_or(0), number("limit").unwrap_or(30));
        let project = |job: &&Job| query.get("projectName").is_none_or(|project| project == job.project);
        let mut jobs: Vec<&Job> = self.jobs.iter().filter(project).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.modified));
        let rows: Vec<String> = jobs.iter().skip(offset).take(limit).map(|job| job.instance(self.version)).collect();
        Reply::json(200, format!("[{}]", rows.join(",")))
    }

    fn older_step(&mut self, id: &str, step: &str, what: &str, query: &Query) -> Reply {
        let version = self.version;
        let Some(job) = self.job(id).filter(|job| step == format!("{}-01", job.id)) else {
            return Reply::json(500, older_failure("there is no such step"));
        };
        match (what, version) {
            ("output", Version::Four | Version::Five) => {
                let text = json!(job.ends());
                Reply::json(200, format!(r#"{{"jobId":"{id}","stepId":"{step}","cmd_output":{text}}}"#))
            }
            ("output", Version::Three | Version::Two) => {
                let text = json!(job.log.join("\n"));
                Reply::json(200, format!(r#"{{"jobId":"{id}","stepId":"{step}","cmd_output":{text}}}"#))
            }
            ("log", Version::Four) if query.get("project") == Some(job.project) => whole_log(job.log.join("\n")),
            _ => Reply::json(404, "{}"),
        }
    }

    /// As the older ones allow it: their resume is not guarded.
    fn older_action(&mut self, id: &str, action: &str) -> Reply {
        self.now += 1_000;
        let (now, version) = (self.now, self.version);
        let Some(job) = self.job(id) else { return Reply::json(500, older_failure("no job")) };
        match (action, job.word.as_str()) {
            ("cancel", "DISCARDED") => {}
            ("cancel", word) if word != "FINISHED" => job.set("DISCARDED", now),
            ("pause", "PENDING" | "RUNNING") => job.set("STOPPED", now),
            ("resume", word) if word != "DISCARDED" => job.set("PENDING", now),
            _ => return Reply::json(500, older_failure("the state does not let it")),
        }
        assert!(!job.is_over() || action == "cancel");
        Reply::json(200, job.instance(version))
    }
}

fn ok(data: &str) -> Reply {
    Reply::whole(200, PUBLIC_TYPE, format!(r#"{{"code":"000","data":{data},"msg":""}}"#))
}

fn whole_log(text: String) -> Reply {
    Reply::whole(200, "application/octet-stream", text)
}

/// A refusal of a Kylin 5.
pub(crate) fn failure(code: &str, text: &str) -> String {
    let text = format!("{code}: {text}");
    json!({
        "code": "999", "data": null, "msg": text, "stacktrace": "org.example.Secret\n\tat x", "exception": text,
        "url": "http://kylin.internal:7070/kylin/api/jobs", "suggestion": "", "error_code": code, "new_in_6": 1.5
    })
    .to_string()
}

/// Of an older one.
pub(crate) fn older_failure(text: &str) -> String {
    json!({
        "code": "999", "data": null, "msg": text, "stacktrace": "org.example.Secret\n\tat x", "exception": text,
        "url": "http://kylin.internal:7070/kylin/api/jobs"
    })
    .to_string()
}
