//! The recordings as they lie under `fixtures/recordings/livy`: the exchanges in the order of their flows, and the steps between them that
//! were not recorded and had to be reconstructed. Everything is read here once and nothing is judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::wire::{self, Answer, Request};

/// One exchange with a real server.
#[derive(Debug)]
pub(super) struct Case {
    /// `<operation>/<what it is about>`, the name of its files.
    pub(super) name: String,
    pub(super) flow: String,
    pub(super) step: u32,
    pub(super) request: Vec<u8>,
    /// More than one where requests were pipelined or an interim answer came first.
    pub(super) recorded: Vec<Answer>,
}

impl Case {
    pub(super) fn request(&self) -> Request<'_> {
        Request(&self.request)
    }
}

/// What happened on the recorded server between two exchanges, and is done to ours at the same place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) flow: String,
    /// The step of the flow that this comes before.
    pub(super) before: u32,
    /// Kept beside the data for its reader.
    #[serde(rename = "why")]
    _why: String,
    #[serde(default)]
    pub(super) submit: Vec<Submit>,
    /// Ids or names, as recorded.
    #[serde(default)]
    pub(super) delete: Vec<String>,
    /// Ids, as recorded, of batches that are to end first.
    #[serde(default)]
    pub(super) wait: Vec<u64>,
    #[serde(default)]
    pub(super) restart: bool,
    /// A case that is sent now; its answer is read at its own place in the flow.
    #[serde(default)]
    pub(super) start: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit {
    /// The id that the recorded server gave it.
    pub(super) id: u64,
    pub(super) body: Value,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
    pub(super) steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Line {
    case: String,
    flow: String,
    step: u32,
}

/// The folder of the recordings; the stub that stands in for Spark and the applications lie in it too.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
        .join("fixtures/recordings/livy")
}

/// All flows, each in the order of its steps, in the order in which the index first names them.
pub(super) fn flows() -> Vec<Flow> {
    let folder = folder();
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut steps: Vec<Step> = serde_json::from_str(&text("steps.json")).expect("steps.json is a list of steps");
    let mut flows: Vec<Flow> = Vec::new();
    for line in text("index.jsonl").lines() {
        let line: Line = serde_json::from_str(line).expect("a line of index.jsonl is an exchange");
        let case = case(&folder, line);
        match flows.iter_mut().find(|flow| flow.name == case.flow) {
            Some(flow) => flow.cases.push(case),
            None => flows.push(Flow { name: case.flow.clone(), cases: vec![case], steps: Vec::new() }),
        }
    }
    for flow in &mut flows {
        flow.cases.sort_by_key(|case| case.step);
        let known: BTreeSet<u32> = flow.cases.iter().map(|case| case.step).collect();
        (flow.steps, steps) = steps.into_iter().partition(|step| step.flow == flow.name);
        for step in &flow.steps {
            assert!(known.contains(&step.before), "steps.json: {} has no exchange {}", flow.name, step.before);
        }
    }
    assert!(steps.is_empty(), "steps.json names flows that the index does not: {steps:?}");
    flows
}

fn case(folder: &Path, line: Line) -> Case {
    let bytes = |kind: &str| {
        let path = folder.join(format!("{}.{kind}.http", line.case));
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (request, answers) = (bytes("request"), bytes("response"));
    let recorded = wire::recorded(&answers, Request(&request)).unwrap_or_else(|e| panic!("{}: {e}", line.case));
    assert!(!recorded.is_empty(), "{} has no answer", line.case);
    Case { name: line.case, flow: line.flow, step: line.step, request, recorded }
}
