//! Kyuubi 1.12.0. Its ids are uuids, which are looked for wherever they may stand; ids and times of ours are as long as the recorded ones, so
//! lengths stay true. How its jobs are led is told in `stage`.

mod levels;
mod nature;
mod rules;
mod stage;

use serde_json::Value;

use crate::proxy::Config;
use crate::recordings::cases::Run;
use crate::recordings::compare::{Body, View};
use crate::recordings::product::{Nature, Play, Product, text};
use crate::recordings::rewrite::Ids;
use crate::recordings::rules::Rule;
use crate::wire::{Answer, Request};

/// What the stand-in for Spark puts before a line that Kyuubi itself writes into a job's log, and we do not.
const KYUUBIS_OWN: &str = "of Kyuubi's own: ";

/// Whether a line of a recorded log is Kyuubi's and not the job's: with its kind of time, of the command line that it prints, or of its traces.
fn is_own(line: &str) -> bool {
    let dated = line.get(..5).is_some_and(|year| year.ends_with('-') && year[..4].bytes().all(|b| b.is_ascii_digit()));
    dated
        || line.starts_with("\t--")
        || line.starts_with("/opt/spark/bin/spark-submit")
        || line == "BatchJobSubmission"
        || line.contains("org.apache.kyuubi.")
}

pub(super) struct Kyuubi;

impl Product for Kyuubi {
    fn name(&self) -> &'static str {
        "kyuubi"
    }

    fn total(&self) -> usize {
        566
    }

    fn recorded_paths(&self) -> [&'static str; 2] {
        ["/srv/jobs", "/opt/spark"]
    }

    fn recorded_server(&self) -> &'static str {
        "127.0.0.1:10099"
    }

    fn nature(&self) -> &'static [Nature] {
        nature::NATURE
    }

    fn rules(&self) -> &'static [Rule] {
        rules::RULES
    }

    fn rules_between(&self) -> &'static [Rule] {
        rules::BETWEEN
    }

    fn configure(&self, _: &mut Config) {}

    fn collection(&self) -> &'static str {
        "/api/v1/batches"
    }

    fn submitted(&self, answer: &Answer) -> Option<String> {
        let batch: Value = serde_json::from_slice(&answer.body).ok().filter(|_| answer.status == 200)?;
        batch["createTime"].is_u64().then(|| text(&batch["id"])).flatten()
    }

    fn send(&self, request: Vec<u8>, ids: &Ids) -> Vec<u8> {
        let ours = |recorded: &str| ids.known(recorded).map(str::to_owned);
        let request = exchange_uuids(&exchange_uuids(&request, "-", ours), "%2D", ours);
        let line = Request(&request).line();
        match std::str::from_utf8(line) {
            Ok(text) => [in_query(text, ids).as_bytes(), &request[line.len()..]].concat(),
            // It names no time.
            Err(_) => request,
        }
    }

    fn receive(&self, view: &mut View, ids: &Ids) {
        let recorded = |text: &str| {
            let recorded = |ours: &str| ids.recorded(ours).map(str::to_owned);
            let bytes = exchange_uuids(text.as_bytes(), "-", recorded);
            String::from_utf8(bytes).expect("uuids are ASCII")
        };
        match &mut view.body {
            Body::Json(value) => texts(value, &recorded),
            Body::Text(text) => *text = recorded(text),
            Body::Empty => {}
        }
    }

    fn play<'a>(&'a self, run: &'a Run, config: &Config) -> Box<dyn Play + 'a> {
        Box::new(stage::Stage::new(run, &config.dir))
    }
}

fn texts(value: &mut Value, map: &impl Fn(&str) -> String) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, map)),
        Value::Object(members) => members.values_mut().for_each(|member| texts(member, map)),
        Value::String(text) => *text = map(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every uuid that `map` knows in lower case, in the spelling that it has: upper case where it is not lower, and with these dashes.
fn exchange_uuids(bytes: &[u8], dash: &str, map: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let found = uuid(rest, dash).and_then(|(id, length)| Some((map(&id.to_ascii_lowercase())?, id, length)));
        match found {
            Some((other, id, length)) => {
                let upper = id.bytes().any(|b| b.is_ascii_uppercase());
                let other = if upper { other.to_ascii_uppercase() } else { other };
                out.extend_from_slice(other.replace('-', dash).as_bytes());
                rest = &rest[length..];
            }
            None => {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// The uuid that these bytes begin with, with plain dashes, and how long it is as spelled.
fn uuid(bytes: &[u8], dash: &str) -> Option<(String, usize)> {
    let mut id = String::new();
    let mut at = 0;
    for (index, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            at += bytes.get(at..)?.starts_with(dash.as_bytes()).then_some(dash.len())?;
            id.push('-');
        }
        let group = bytes.get(at..at + digits)?;
        if !group.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        id.extend(group.iter().map(|&b| char::from(b)));
        at += digits;
    }
    Some((id, at))
}

/// A request line with the times in its query made ours. One that is beside a known one by a millisecond is beside ours by as much.
fn in_query(line: &str, ids: &Ids) -> String {
    let ours = |time: u64| {
        let beside = [(time, 0), (time.wrapping_sub(1), 1), (time + 1, -1)];
        beside.into_iter().find_map(|(known, by)| ids.moment(known)?.checked_add_signed(by))
    };
    let mut line = line.to_owned();
    for name in ["createTime=", "endTime="] {
        let Some(at) = line.find(name).map(|at| at + name.len()) else { continue };
        let digits = line[at..].bytes().take_while(u8::is_ascii_digit).count();
        // What fits no time is about that, and is sent as spelled.
        if let Ok(time) = line[at..at + digits].parse::<u64>()
            && let Some(ours) = (time < u64::MAX).then(|| ours(time)).flatten()
        {
            line.replace_range(at..at + digits, &ours.to_string());
        }
    }
    line
}
