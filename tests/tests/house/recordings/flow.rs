//! One flow against one proxy of its own: the exchanges in their order, the reconstructed steps between them, and a look before each read.
//!
//! The recorder waited between exchanges until jobs had come to where it wanted them. Here the recorded answer itself tells what to
//! wait for: before a read is sent, every batch that the recorded answer shows is asked for until it has come as far (state, lines of
//! log). A batch of ours that has ended otherwise is not waited for, since no end is ever left again; the comparison then says so.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cases::{Case, Flow, Step};
use super::compare::{Body, View};
use super::judge::{Outcome, Verdict, judge};
use super::rewrite::{self, Apps, Ids};
use crate::proxy::{Config, GLANCE, Proxy};
use crate::wire::{self, Request};

/// Longest wait for a batch to come to where the recording has it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Judged {
    pub(super) case: String,
    pub(super) verdict: Verdict,
}

/// What a flow came to: one verdict for each exchange, and what went wrong between them.
#[derive(Default)]
pub(super) struct Report {
    pub(super) judged: Vec<Judged>,
    pub(super) troubles: Vec<String>,
}

struct Runner<'a> {
    flow: &'a Flow,
    apps: &'a Apps,
    proxy: Proxy,
    ids: Ids,
    /// Exchanges that were sent ahead of their place.
    started: BTreeMap<&'a str, thread::JoinHandle<Outcome>>,
    report: Report,
}

pub(super) fn run(flow: &Flow, apps: &Apps) -> Report {
    let dir = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(dir.path());
    config.allow_dirs = vec![apps.path().to_path_buf()];
    config.spark_home = Some(apps.spark().to_path_buf());
    // The recorded server started each job at once, counted from 0 and kept 200 lines.
    config.concurrency = 64;
    config.first_ordinal = Some(0);
    config.log_lines = Some(200);
    let mut runner = Runner {
        flow,
        apps,
        proxy: Proxy::start(config),
        ids: Ids::default(),
        started: BTreeMap::new(),
        report: Report::default(),
    };
    for case in &flow.cases {
        runner.case(case);
    }
    runner.clean_up();
    if !runner.report.troubles.is_empty() {
        let said = runner.proxy.stderr();
        runner.report.troubles.push(said);
    }
    runner.report
}

impl<'a> Runner<'a> {
    fn case(&mut self, case: &'a Case) {
        let flow = self.flow;
        let steps = || flow.steps.iter().filter(|step| step.before == case.step);
        for step in steps() {
            self.step(step);
        }
        self.settle(case);
        for name in steps().filter_map(|step| step.start.as_deref()) {
            match flow.cases.iter().find(|other| other.name == name) {
                Some(ahead) => self.start(ahead),
                None => self.trouble(case.step, format!("no exchange {name} to start")),
            }
        }
        let outcome = match self.started.remove(case.name.as_str()) {
            Some(thread) => thread.join().unwrap_or_else(|_| Err("the exchange panicked".into())),
            None => wire::exchange(self.proxy.address(), Request(&self.request(case)), case.recorded.len()),
        };
        let outcome = outcome.map(|answers| rewrite::as_recorded_server(answers, self.proxy.address()));
        self.bind(case, &outcome);
        let verdict = judge(case, &outcome, self.apps, &self.ids);
        self.report.judged.push(Judged { case: case.name.clone(), verdict });
    }

    fn request(&self, case: &Case) -> Vec<u8> {
        rewrite::request(case.request(), self.apps, &self.ids)
    }

    fn start(&mut self, case: &'a Case) {
        let (address, request, answers) = (self.proxy.address(), self.request(case), case.recorded.len());
        let thread = thread::spawn(move || wire::exchange(address, Request(&request), answers));
        self.started.insert(&case.name, thread);
    }

    /// What was not recorded. None of it may fail, or what follows would be compared with something else.
    fn step(&mut self, step: &Step) {
        if step.restart {
            self.proxy.terminate();
            self.proxy.start_again();
        }
        for submit in &step.submit {
            let answer = self.ask("POST", "/batches", &submit.body.to_string());
            match answer.as_ref().and_then(|(_, body)| body["id"].as_u64()) {
                Some(ours) => self.ids.bind(submit.id, ours),
                None => self.trouble(step.before, format!("{} gave {answer:?}", submit.body)),
            }
        }
        for &id in &step.wait {
            self.await_end(self.ids.ours(id));
        }
        for name in &step.delete {
            let name = name.parse().map_or_else(|_| name.clone(), |id: u64| self.ids.ours(id).to_string());
            let answer = self.ask("DELETE", &format!("/batches/{name}"), "");
            if answer.as_ref().is_none_or(|(status, _)| *status != 200) {
                self.trouble(step.before, format!("DELETE of {name} gave {answer:?}"));
            }
        }
    }

    fn await_end(&self, ours: u64) {
        let deadline = Instant::now() + PATIENCE;
        while let Some((200, state)) = self.ask("GET", &format!("/batches/{ours}/state"), "")
            && matches!(state["state"].as_str(), Some("starting" | "running"))
            && Instant::now() < deadline
        {
            thread::sleep(GLANCE);
        }
    }

    fn trouble(&mut self, step: u32, what: String) {
        self.report.troubles.push(format!("{} before step {step}: {what}", self.flow.name));
    }

    /// A submit that both servers took names one batch by two ids. One that only ours took names a batch that the recording does not know.
    fn bind(&mut self, case: &Case, outcome: &Outcome) {
        let id = |answer: Option<&wire::Answer>| {
            let answer = answer.filter(|answer| answer.status == 201)?;
            answer.header("location")?.strip_prefix("/batches/")?.parse::<u64>().ok()
        };
        let ours = outcome.as_ref().ok().and_then(|answers| id(answers.last()));
        match (id(case.recorded.last()), ours) {
            (Some(recorded), Some(ours)) => self.ids.bind(recorded, ours),
            (None, Some(ours)) => self.ids.keep_apart(ours),
            (Some(_) | None, None) => {}
        }
    }

    /// Waits until every batch that the recorded answer shows has come as far with us.
    fn settle(&mut self, case: &Case) {
        if !matches!(case.request().method(), b"GET" | b"HEAD" | b"get") {
            return;
        }
        for answer in &case.recorded {
            let Ok(View { body: Body::Json(body), .. }) = View::recorded(answer, case.request()) else { continue };
            let listed = body["sessions"].as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
            for shown in listed {
                let known = shown["id"].as_u64().and_then(|id| self.ids.known(id));
                if let Some(ours) = known {
                    self.settle_one(ours, shown);
                }
            }
        }
    }

    fn settle_one(&self, ours: u64, shown: &Value) {
        let path = format!("/batches/{ours}");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some((200, batch)) = self.ask("GET", &path, "") else { return };
            let over = !matches!(batch["state"].as_str(), Some("starting" | "running"));
            let there = shown["state"].is_null() || shown["state"] == batch["state"];
            let lines = |value: &Value| value["log"].as_array().map_or(0, Vec::len);
            let told = match shown["total"].as_u64() {
                None => lines(&batch) >= lines(shown),
                Some(total) => {
                    let log = self.ask("GET", &format!("{path}/log?size=0"), "");
                    log.is_some_and(|(_, log)| log["total"].as_u64() >= Some(total))
                }
            };
            if over || (there && told) {
                return;
            }
            thread::sleep(GLANCE);
        }
    }

    /// A plain exchange that is not compared: its status and its JSON.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:8998\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let request = rewrite::request(Request(request.as_bytes()), self.apps, &Ids::default());
        let answers = wire::exchange(self.proxy.address(), Request(&request), 1).ok()?;
        let answer = answers.last()?;
        Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// Jobs outlive their proxy, so those that still run are cancelled.
    fn clean_up(&self) {
        let Some((200, list)) = self.ask("GET", "/batches?size=1000", "") else { return };
        for batch in list["sessions"].as_array().into_iter().flatten() {
            if matches!(batch["state"].as_str(), Some("starting" | "running")) {
                self.ask("DELETE", &format!("/batches/{}", batch["id"]), "");
            }
        }
    }
}
