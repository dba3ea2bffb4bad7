//! The recordings of a product as they lie under `fixtures/recordings`: the exchanges in the order of their flows, and the steps between them
//! that were not recorded and had to be reconstructed. Everything is read here once and nothing is judged.
//!
//! Flows of one run met the same server, one after the other: what an earlier one left behind, a later one sees. A flow that
//! names no run is one by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::product::text;
use crate::wire::{self, Answer, Request};

/// One exchange with a real server.
#[derive(Debug)]
pub(super) struct Case {
    /// `<operation>/<what it is about>`, the name of its files.
    pub(super) name: String,
    pub(super) flow: String,
    pub(super) step: u32,
    pub(super) request: Vec<u8>,
    /// More than one where requests were pipelined or an interim answer came first; none where the server said nothing.
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
    pub(super) wait: Vec<Id>,
    /// Ended in order, and started again.
    #[serde(default)]
    pub(super) restart: bool,
    /// Killed, and started again.
    #[serde(default)]
    pub(super) kill: bool,
    /// A case that is sent now; its answer is read at its own place in the flow.
    #[serde(default)]
    pub(super) start: Option<String>,
    /// Cases of earlier flows of the run that are left out at their own place and come now.
    #[serde(default)]
    pub(super) late: Vec<String>,
}

/// An id, which some products write as a number.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Id(pub(super) String);

impl TryFrom<Value> for Id {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        text(&value).map(Self).ok_or_else(|| format!("{value} is no id"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submit {
    /// The id that the recorded server gave it.
    pub(super) id: Id,
    pub(super) body: Value,
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) name: String,
    pub(super) cases: Vec<Case>,
    pub(super) steps: Vec<Step>,
}

/// Flows that met one server, in their order.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) flows: Vec<Flow>,
}

impl Run {
    pub(super) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.flows.iter().flat_map(|flow| &flow.cases)
    }

    /// Whether a case comes later than at its place.
    pub(super) fn is_late(&self, case: &Case) -> bool {
        self.flows.iter().flat_map(|flow| &flow.steps).any(|step| step.late.contains(&case.name))
    }
}

#[derive(Deserialize)]
struct Line {
    case: String,
    flow: String,
    step: u32,
    run: Option<String>,
}

/// The folder of a product's recordings; the stub that stands in for Spark and the applications lie in it too.
pub(super) fn folder(product: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the workspace")
        .join("fixtures/recordings")
        .join(product)
}

/// All runs, each with its flows in the order in which the index first names them, each of those in the order of its steps.
pub(super) fn runs(product: &str) -> Vec<Run> {
    let folder = folder(product);
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{product} {name}: {e}"));
    let mut steps: Vec<Step> = serde_json::from_str(&text("steps.json")).expect("steps.json is a list of steps");
    let mut runs: Vec<Run> = Vec::new();
    for line in text("index.jsonl").lines() {
        let line: Line = serde_json::from_str(line).expect("a line of index.jsonl is an exchange");
        let name = line.run.clone().unwrap_or_else(|| line.flow.clone());
        let case = case(&folder, line);
        let at = runs.iter().position(|run| run.name == name).unwrap_or_else(|| {
            runs.push(Run { name, flows: Vec::new() });
            runs.len() - 1
        });
        let flows = &mut runs[at].flows;
        match flows.iter_mut().find(|flow| flow.name == case.flow) {
            Some(flow) => flow.cases.push(case),
            None => flows.push(Flow { name: case.flow.clone(), cases: vec![case], steps: Vec::new() }),
        }
    }
    for flow in runs.iter_mut().flat_map(|run| &mut run.flows) {
        flow.cases.sort_by_key(|case| case.step);
        let known: BTreeSet<u32> = flow.cases.iter().map(|case| case.step).collect();
        (flow.steps, steps) = steps.into_iter().partition(|step| step.flow == flow.name);
        for step in &flow.steps {
            assert!(known.contains(&step.before), "steps.json: {} has no exchange {}", flow.name, step.before);
        }
    }
    assert!(steps.is_empty(), "steps.json names flows that the index does not: {steps:?}");
    runs
}

fn case(folder: &Path, line: Line) -> Case {
    let bytes = |kind: &str| {
        let path = folder.join(format!("{}.{kind}.http", line.case));
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let (request, answers) = (bytes("request"), bytes("response"));
    let recorded = wire::recorded(&answers, Request(&request)).unwrap_or_else(|e| panic!("{}: {e}", line.case));
    Case { name: line.case, flow: line.flow, step: line.step, request, recorded }
}
