//! The recorded exchanges of a real Livy, run again against our front over the local backend, with the recorder's own stand-in for Spark:
//! same status, same headers that a client acts on, equal JSON up to what varies by nature.
//!
//! Each flow is replayed against a proxy of its own (`flow`), raw over a socket (`crate::wire`), with ids and paths exchanged (`rewrite`).
//! An exchange is the same (`compare`, `nature`), or differs by a rule that gives its reason (`rules`, `levels`), or is a fault. The replay fails
//! on any fault, on a rule whose count is not what was last measured, and below nine exchanges in ten the same. It
//! prints a table, and a last line `replay: {…}` for programs. `BATCHLINGUA_FLOW=<name>` replays one flow and checks no counts.
//!
//! Before a proxy is asked at all, `mirror` shows that the harness itself adds nothing: a server that answers with the recorded bytes
//! has to come out as the same in every exchange.

mod cases;
mod compare;
mod flow;
mod judge;
mod levels;
mod mirror;
mod nature;
mod rewrite;
mod rules;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(crate) use rewrite::decode;

use cases::Flow;
use flow::Report;
use judge::Verdict;
use rewrite::Apps;
use rules::RULES;
use serde_json::json;

/// Flows at once: most of a flow is waiting for jobs.
const AT_ONCE: usize = 4;
/// Of a hundred exchanges, how many have to be the same.
const SAME_OF_HUNDRED: usize = 90;

#[test]
fn recorded_livy_exchanges_come_out_the_same() {
    let only = std::env::var("BATCHLINGUA_FLOW").ok();
    let flows: Vec<Flow> =
        cases::flows().into_iter().filter(|flow| only.as_ref().is_none_or(|name| *name == flow.name)).collect();
    let total: usize = flows.iter().map(|flow| flow.cases.len()).sum();
    let reports = replay(&flows);

    let (mut same, mut by_rule, mut varied) = (0, 0, 0);
    let mut needed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    println!("{:<20} {:>5} {:>5} {:>5}", "flow", "same", "rule", "fault");
    for (flow, report) in flows.iter().zip(&reports) {
        let (before_same, before_rule, before_fault) = (same, by_rule, faults.len());
        for judged in &report.judged {
            match &judged.verdict {
                Verdict::Same(by_nature) => {
                    same += 1;
                    varied += usize::from(!by_nature.is_empty());
                }
                Verdict::ByRule(rules) => {
                    by_rule += 1;
                    rules.iter().for_each(|rule| *needed.entry(rule).or_default() += 1);
                }
                Verdict::Fault(differences) => {
                    let differences: Vec<String> = differences.iter().take(8).map(|d| format!("\n    {d}")).collect();
                    faults.push(format!("{} {}{}", flow.name, judged.case, differences.concat()));
                }
            }
        }
        println!(
            "{:<20} {:>5} {:>5} {:>5}",
            flow.name,
            same - before_same,
            by_rule - before_rule,
            faults.len() - before_fault
        );
    }
    println!("{:<20} {same:>5} {by_rule:>5} {:>5}   ({varied} of the same vary by nature)\n", "all", faults.len());
    let mut miscounted = Vec::new();
    for rule in RULES {
        let count = needed.get(rule.name).copied().unwrap_or_default();
        println!("{:<28} {count:>3}  {}", rule.name, rule.reason);
        if !rule.count.is_met(count) {
            miscounted
                .push(format!("rule {} was needed for {count} exchanges, {:?} were measured", rule.name, rule.count));
        }
    }
    let summary = json!({
        "total": total, "same": same, "varied": varied, "by_rule": by_rule, "faults": faults.len(), "rules": needed,
    });
    println!("replay: {summary}");

    let troubles: Vec<&String> = reports.iter().flat_map(|report| &report.troubles).collect();
    let mut failures: Vec<String> = troubles.into_iter().cloned().chain(faults).collect();
    if only.is_none() {
        failures.extend(miscounted);
        if same * 100 < total * SAME_OF_HUNDRED {
            failures.push(format!("{same} of {total} are the same, which is less than {SAME_OF_HUNDRED} of a hundred"));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// The recorded requests that Livy refused, or failed at, by the names of their cases.
pub(crate) fn refused() -> Vec<(String, Vec<u8>)> {
    let cases = cases::flows().into_iter().flat_map(|flow| flow.cases);
    let refused = cases.filter(|case| case.recorded.last().is_some_and(|answer| answer.status >= 400));
    refused.map(|case| (case.name, case.request)).collect()
}

/// The reports of all flows, in their order.
fn replay(flows: &[Flow]) -> Vec<Report> {
    let apps = Apps::new();
    let next = AtomicUsize::new(0);
    let reports: Vec<Mutex<Report>> = flows.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(flows.len()) {
            scope.spawn(|| {
                while let Some((flow, report)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    flows.get(index).zip(reports.get(index))
                } {
                    // A flow that panics (its proxy does not start, say) is one failure and does not take the others' reports with it.
                    let ended = catch_unwind(AssertUnwindSafe(|| flow::run(flow, &apps)));
                    *report.lock().expect("no other thread has this report") = ended.unwrap_or_else(|_| Report {
                        judged: Vec::new(),
                        troubles: vec![format!("{}: the flow panicked, see above", flow.name)],
                    });
                }
            });
        }
    });
    reports.into_iter().map(|report| report.into_inner().expect("all threads have ended")).collect()
}
