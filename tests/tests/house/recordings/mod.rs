//! The recorded exchanges of real servers, run again against our fronts over the local backend, with stand-ins for Spark: same status,
//! same headers that a client acts on, equal JSON up to what varies by nature.
//!
//! One engine serves all products. Each run is replayed against a proxy of its own (`flow`), raw over a socket (`crate::wire`), with ids and
//! paths exchanged (`rewrite`). An exchange is the same (`compare`), or differs by a rule that gives its reason (`rules`), or is a
//! fault (`judge`). What differs from product to product is behind `product`: where ids and times stand, how batches are brought to where the recorded
//! ones were, what varies by nature and which rules there are (`livy`, `kyuubi`). A replay fails on any fault, on a rule whose count
//! is not what was last measured, and below nine exchanges in ten the same. It prints a table, and a last line `replay: {…}` for
//! programs. `BATCHLINGUA_FLOW=<name>` replays the run of one flow and checks no counts.
//!
//! Before a proxy is asked at all, `mirror` shows that the harness itself adds nothing: a server that answers with the recorded bytes
//! has to come out as the same in every exchange.

mod cases;
mod compare;
mod flow;
mod judge;
mod kyuubi;
mod livy;
mod mirror;
mod product;
mod rewrite;
mod rules;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub(crate) use rewrite::decode;

use cases::Run;
use flow::{Chain, Report};
use judge::Verdict;
use kyuubi::Kyuubi;
use livy::Livy;
use product::Product;
use rewrite::Apps;
use rules::Rule;
use serde_json::json;

use crate::scoreboard::{self, Verdicts};

/// Runs at once: most of a run is waiting for jobs.
const AT_ONCE: usize = 4;
/// Of a hundred exchanges, how many have to be the same.
const SAME_OF_HUNDRED: usize = 90;

#[test]
fn recorded_livy_exchanges_come_out_the_same() {
    come_out_the_same(&Livy, Chain::Front);
}

#[test]
fn recorded_kyuubi_exchanges_come_out_the_same() {
    come_out_the_same(&Kyuubi, Chain::Front);
}

#[test]
fn recorded_livy_exchanges_come_out_the_same_through_a_livy_backend() {
    come_out_the_same(&Livy, Chain::Through);
}

#[test]
fn recorded_kyuubi_exchanges_come_out_the_same_through_a_kyuubi_backend() {
    come_out_the_same(&Kyuubi, Chain::Through);
}

fn come_out_the_same(product: &dyn Product, chain: Chain) {
    let only = std::env::var("BATCHLINGUA_FLOW").ok();
    let wanted = |run: &Run| only.as_ref().is_none_or(|name| run.flows.iter().any(|flow| *name == flow.name));
    let runs: Vec<Run> = cases::runs(product.name()).into_iter().filter(wanted).collect();
    let total: usize = runs.iter().map(|run| run.cases().count()).sum();
    let reports = replay(product, chain, &runs);

    let mut tally = Tally::default();
    println!("{:<20} {:>5} {:>5} {:>5}", "run", "same", "rule", "fault");
    for (run, report) in runs.iter().zip(&reports) {
        let before = tally.counts();
        report.judged.iter().for_each(|judged| tally.add(judged));
        let [same, by_rule, faults] = tally.counts();
        println!("{:<20} {:>5} {:>5} {:>5}", run.name, same - before[0], by_rule - before[1], faults - before[2]);
    }
    let [same, by_rule, faults] = tally.counts();
    println!("{:<20} {same:>5} {by_rule:>5} {faults:>5}   ({} of the same vary by nature)\n", "all", tally.varied);
    tally.nature(product);
    let miscounted = tally.rules(&chain.rules(product));
    // What a front alone differs in is counted there; a proxy between may need less of it.
    let between = product.rules_between().iter().filter(|rule| !rule.count.is_met(tally.needed_of(rule)));
    let miscounted: Vec<String> = match chain {
        Chain::Front => miscounted,
        Chain::Through => between
            .map(|rule| format!("rule {} was needed for {} exchanges", rule.name, tally.needed_of(rule)))
            .collect(),
    };
    let summary = json!({
        "product": product.name(), "total": total, "same": same, "varied": tally.varied, "by_rule": by_rule,
        "faults": faults, "rules": tally.needed, "nature": tally.by_nature,
    });
    println!("replay: {summary}");

    let troubles: Vec<&String> = reports.iter().flat_map(|report| &report.troubles).collect();
    let mut failures: Vec<String> = troubles.into_iter().cloned().chain(std::mem::take(&mut tally.faults)).collect();
    if only.is_none() {
        failures.extend(miscounted);
        if chain == Chain::Front {
            failures.extend(scoreboard::told(product.name(), &tally.verdicts, by_chance(product)));
        }
        if (same + tally.between(product)) * 100 < total * SAME_OF_HUNDRED {
            failures.push(format!("{same} of {total} are the same, which is less than {SAME_OF_HUNDRED} of a hundred"));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

/// What all verdicts of a replay came to.
#[derive(Default)]
struct Tally {
    same: usize,
    varied: usize,
    by_rule: usize,
    /// Exchanges that each rule, and each entry of `NATURE`, was needed for.
    needed: BTreeMap<&'static str, usize>,
    by_nature: BTreeMap<&'static str, usize>,
    faults: Vec<String>,
    /// By operation, for the page that users read.
    verdicts: Verdicts,
}

/// How many exchanges may come out one way or the other.
fn by_chance(product: &dyn Product) -> usize {
    product.rules().iter().map(|rule| rule.count.by_chance()).sum()
}

impl Tally {
    fn needed_of(&self, rule: &Rule) -> usize {
        self.needed.get(rule.name).copied().unwrap_or_default()
    }

    /// Exchanges that only what is between makes different.
    fn between(&self, product: &dyn Product) -> usize {
        product.rules_between().iter().map(|rule| self.needed_of(rule)).sum()
    }

    /// Prints what varies.
    fn nature(&self, product: &dyn Product) {
        for nature in product.nature() {
            let count = self.by_nature.get(nature.name).copied().unwrap_or_default();
            println!("by nature: {:<17} {count:>3}  {}", nature.name, nature.reason);
        }
        println!();
    }

    fn counts(&self) -> [usize; 3] {
        [self.same, self.by_rule, self.faults.len()]
    }

    fn add(&mut self, judged: &flow::Judged) {
        let operation = judged.case.split('/').next().unwrap_or_default().to_owned();
        let verdict = self.verdicts.entry(operation).or_default();
        match judged.verdict {
            Verdict::Same(_) => verdict.0 += 1,
            Verdict::ByRule(_) => verdict.1 += 1,
            Verdict::Fault(_) => {}
        }
        match &judged.verdict {
            Verdict::Same(by_nature) => {
                self.same += 1;
                self.varied += usize::from(!by_nature.is_empty());
                by_nature.iter().for_each(|name| *self.by_nature.entry(name).or_default() += 1);
            }
            Verdict::ByRule(rules) => {
                self.by_rule += 1;
                rules.iter().for_each(|rule| *self.needed.entry(rule).or_default() += 1);
            }
            Verdict::Fault(differences) => {
                let differences: Vec<String> = differences.iter().take(8).map(|d| format!("\n    {d}")).collect();
                self.faults.push(format!("{} {}{}", judged.flow, judged.case, differences.concat()));
            }
        }
    }

    /// Prints the rules; those of them whose count is not what was measured.
    fn rules(&self, rules: &[&[Rule]]) -> Vec<String> {
        let mut miscounted = Vec::new();
        for rule in rules.iter().copied().flatten() {
            let count = self.needed.get(rule.name).copied().unwrap_or_default();
            println!("{:<28} {count:>3}  {}", rule.name, rule.reason);
            if !rule.count.is_met(count) {
                let (name, measured) = (rule.name, rule.count);
                miscounted.push(format!("rule {name} was needed for {count} exchanges, {measured:?} were measured"));
            }
        }
        miscounted
    }
}

/// The recorded requests that a product refused, or failed at, by the names of their cases.
pub(crate) fn refused(product: &str) -> Vec<(String, Vec<u8>)> {
    let cases = cases::runs(product).into_iter().flat_map(|run| run.flows).flat_map(|flow| flow.cases);
    let refused = cases.filter(|case| case.recorded.last().is_some_and(|answer| answer.status >= 400));
    refused.map(|case| (case.name, case.request)).collect()
}

/// The reports of all runs, in their order.
fn replay(product: &dyn Product, chain: Chain, runs: &[Run]) -> Vec<Report> {
    let apps = Apps::new(product);
    let next = AtomicUsize::new(0);
    let reports: Vec<Mutex<Report>> = runs.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(runs.len()) {
            scope.spawn(|| {
                while let Some((run, report)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    runs.get(index).zip(reports.get(index))
                } {
                    // A run that panics (its proxy does not start, say) is one failure and does not take the others' reports with it.
                    let ended = catch_unwind(AssertUnwindSafe(|| flow::run(product, chain, run, &apps)));
                    *report.lock().expect("no other thread has this report") = ended.unwrap_or_else(|_| Report {
                        judged: Vec::new(),
                        troubles: vec![format!("{}: the run panicked, see above", run.name)],
                    });
                }
            });
        }
    });
    reports.into_iter().map(|report| report.into_inner().expect("all threads have ended")).collect()
}
