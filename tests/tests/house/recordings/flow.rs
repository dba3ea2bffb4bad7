//! One run against one proxy of its own: the exchanges in their order, the reconstructed steps between them, and a look before each read.
//!
//! The recorder waited between exchanges until jobs had come to where it wanted them. Here the recorded answer itself tells what to
//! wait for: before a read is sent, the product's `Play` brings every batch that the recorded answer shows as far.

use std::collections::BTreeMap;
use std::thread;

use super::cases::{Case, Flow, Run, Step};
use super::judge::{Outcome, Verdict, judge};
use super::product::{House, Play, Product};
use super::rewrite::{self, Apps, Ids};
use super::rules::Rule;
use crate::proxy::{Config, Proxy};
use crate::wire::{self, Request};

pub(super) struct Judged {
    pub(super) flow: String,
    pub(super) case: String,
    pub(super) verdict: Verdict,
}

/// What a run came to: one verdict for each exchange, and what went wrong between them.
#[derive(Default)]
pub(super) struct Report {
    pub(super) judged: Vec<Judged>,
    pub(super) troubles: Vec<String>,
}

struct Runner<'a> {
    run: &'a Run,
    chain: Chain,
    house: House<'a>,
    play: Box<dyn Play + 'a>,
    /// Exchanges that were sent ahead of their place.
    started: BTreeMap<&'a str, thread::JoinHandle<Outcome>>,
    report: Report,
}

/// Who answers the recorded requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// The front over the local backend.
    Front,
    /// A proxy whose platform is that one, by the same dialect: what goes in and out of it must be what comes from there.
    Through,
}

impl Chain {
    /// What may be different, those between first.
    pub(super) fn rules(self, product: &dyn Product) -> Vec<&'static [Rule]> {
        match self {
            Self::Front => vec![product.rules()],
            Self::Through => vec![product.rules_between(), product.rules()],
        }
    }
}

pub(super) fn run(product: &dyn Product, chain: Chain, run: &Run, apps: &Apps) -> Report {
    let dir = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(dir.path());
    config.dialects = vec![product.name()];
    config.allow_dirs = vec![apps.path().to_path_buf()];
    config.spark_home = Some(apps.spark().to_path_buf());
    // The recorded servers started each job at once.
    config.concurrency = 64;
    product.configure(&mut config);
    if chain == Chain::Through {
        config.dir = dir.path().join("platform");
        std::fs::create_dir(&config.dir).expect("a folder can be made");
    }
    let play = product.play(run, &config);
    let (proxy, platform) = match chain {
        Chain::Front => (Proxy::start(config), None),
        Chain::Through => {
            // Its address has to be the same after a restart.
            config.port = batchlingua_testkit::lasting_port();
            let platform = Proxy::start(config.clone());
            let mut before = Config { port: 0, dir: dir.path().join("before"), ..config };
            before.upstream = Some((product.name(), platform.address()));
            // Far above all ids that stand for nobody's.
            before.first_ordinal = Some(500_000_000);
            // The recorded server's lists were of the moment.
            before.more.push_str("\n[limits]\nlist_freshness = \"0s\"\n");
            (Proxy::start(before), Some(platform))
        }
    };
    let house = House { product, apps, proxy, platform, ids: Ids::default() };
    let mut runner = Runner { run, chain, house, play, started: BTreeMap::new(), report: Report::default() };
    for flow in &run.flows {
        for case in flow.cases.iter().filter(|case| !run.is_late(case)) {
            runner.case(flow, case);
        }
    }
    runner.play.clean_up(&runner.house);
    if !runner.report.troubles.is_empty() {
        let said = runner.house.proxy.stderr();
        let platform = runner.house.platform.as_ref().map(Proxy::stderr);
        runner.report.troubles.extend(platform.into_iter().chain([said]));
    }
    runner.report
}

impl<'a> Runner<'a> {
    fn case(&mut self, flow: &'a Flow, case: &'a Case) {
        let steps = || flow.steps.iter().filter(|step| step.before == case.step);
        for step in steps() {
            self.step(step);
            for name in &step.late {
                match self.run.cases().find(|other| other.name == *name) {
                    Some(late) => {
                        self.play.settle(&self.house, late);
                        self.exchange(late);
                    }
                    None => self.trouble(&flow.name, case.step, format!("no exchange {name} that could be late")),
                }
            }
        }
        self.play.settle(&self.house, case);
        for name in steps().filter_map(|step| step.start.as_deref()) {
            match flow.cases.iter().find(|other| other.name == name) {
                Some(ahead) => self.start(ahead),
                None => self.trouble(&flow.name, case.step, format!("no exchange {name} to start")),
            }
        }
        self.exchange(case);
    }

    fn exchange(&mut self, case: &'a Case) {
        let outcome = match self.started.remove(case.name.as_str()) {
            Some(thread) => thread.join().unwrap_or_else(|_| Err("the exchange panicked".into())),
            None => wire::exchange(self.house.address(), Request(&self.house.request(case)), case.recorded.len()),
        };
        let (address, recorded) = (self.house.address(), self.house.product.recorded_server());
        let outcome = outcome.map(|answers| rewrite::as_recorded_server(answers, address, recorded));
        self.bind(case, &outcome);
        self.play.look(&mut self.house, case, &outcome);
        let verdict = judge(
            self.house.product,
            &self.chain.rules(self.house.product),
            case,
            &outcome,
            self.house.apps,
            &self.house.ids,
        );
        self.report.judged.push(Judged { flow: case.flow.clone(), case: case.name.clone(), verdict });
    }

    fn start(&mut self, case: &'a Case) {
        let (address, request, answers) = (self.house.address(), self.house.request(case), case.recorded.len());
        let thread = thread::spawn(move || wire::exchange(address, Request(&request), answers));
        self.started.insert(&case.name, thread);
    }

    /// What was not recorded. None of it may fail, or what follows would be compared with something else.
    fn step(&mut self, step: &Step) {
        // The recorded server is the one that runs the jobs.
        let server = self.house.platform.as_mut().unwrap_or(&mut self.house.proxy);
        if step.restart {
            server.terminate();
        }
        if step.kill {
            server.kill();
        }
        if step.restart || step.kill {
            server.start_again();
        }
        for submit in &step.submit {
            match self.house.submit(&submit.body) {
                Ok(ours) => self.made(&submit.id.0, &ours),
                Err(why) => self.trouble(&step.flow, step.before, why),
            }
        }
        for id in &step.wait {
            let ours = self.house.ids.known(&id.0).unwrap_or(&id.0).to_owned();
            self.play.await_end(&self.house, &ours);
        }
        for name in &step.delete {
            let ours = self.house.ids.known(name).unwrap_or(name);
            let answer = self.house.delete(ours);
            if answer.as_ref().is_none_or(|(status, _)| *status != 200) {
                self.trouble(&step.flow, step.before, format!("DELETE of {name} gave {answer:?}"));
            }
        }
    }

    fn trouble(&mut self, flow: &str, step: u32, what: String) {
        self.report.troubles.push(format!("{flow} before step {step}: {what}"));
    }

    /// A submit that both servers took names one batch by two ids. One that only ours took names a batch that the recording does not know.
    fn bind(&mut self, case: &Case, outcome: &Outcome) {
        let product = self.house.product;
        let id = |answer: Option<&wire::Answer>| {
            let posted = case.request().method().eq_ignore_ascii_case(b"POST");
            answer.filter(|_| posted).and_then(|answer| product.submitted(answer))
        };
        let ours = outcome.as_ref().ok().and_then(|answers| id(answers.last()));
        match (id(case.recorded.last()), ours) {
            (Some(recorded), Some(ours)) => self.made(&recorded, &ours),
            (None, Some(ours)) => {
                self.house.ids.keep_apart(&ours);
                self.play.made_alone(&self.house, &ours);
            }
            (Some(_) | None, None) => {}
        }
    }

    fn made(&mut self, recorded: &str, ours: &str) {
        self.house.ids.bind(recorded, ours);
        self.play.made(&self.house, recorded, ours);
    }
}
