//! Livy 0.9.0. Its jobs act by their last argument and run to their own end; a replay only waits for them. Ids are numbers that count from 0
//! at each start, so a recorded id that we have no batch for may be one of ours: then it goes out far above all real ones and comes back as
//! itself.

mod levels;
mod nature;
mod rules;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::proxy::{Config, GLANCE};
use crate::recordings::cases::{Case, Run};
use crate::recordings::compare::{Body, View};
use crate::recordings::product::{House, Nature, Play, Product};
use crate::recordings::rewrite::Ids;
use crate::recordings::rules::Rule;
use crate::wire::{Answer, Request};

/// Longest wait for a batch to come to where the recording has it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Added to a recorded id that must not be taken for one of ours.
const NOBODY: u64 = 1_000_000;

pub(super) struct Livy;

impl Product for Livy {
    fn name(&self) -> &'static str {
        "livy"
    }

    fn total(&self) -> usize {
        491
    }

    fn recorded_paths(&self) -> [&'static str; 2] {
        ["/srv/apps", "/srv/spark-stub"]
    }

    fn recorded_server(&self) -> &'static str {
        "127.0.0.1:8998"
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

    fn configure(&self, config: &mut Config) {
        // It counted from 0 and kept 200 lines.
        config.first_ordinal = Some(0);
        config.log_lines = Some(200);
    }

    fn collection(&self) -> &'static str {
        "/batches"
    }

    fn submitted(&self, answer: &Answer) -> Option<String> {
        let location = (answer.status == 201).then(|| answer.header("location")).flatten()?;
        let id: u64 = location.strip_prefix("/batches/")?.parse().ok()?;
        Some(id.to_string())
    }

    fn send(&self, request: Vec<u8>, ids: &Ids) -> Vec<u8> {
        // A target that is no UTF-8 is sent as recorded; it has no id.
        let Ok(line) = std::str::from_utf8(Request(&request).line()) else { return request };
        let ours = in_path(line, |id| to_ours(ids, id));
        if ours == line {
            return request;
        }
        [ours.as_bytes(), &request[line.len()..]].concat()
    }

    fn receive(&self, view: &mut View, ids: &Ids) {
        if let Some(location) = view.headers.get_mut("location") {
            *location = in_path(location, |id| to_recorded(ids, id));
        }
        if let Some(value) = view.body.json_mut() {
            in_body(value, ids);
        }
    }

    fn play<'a>(&'a self, _: &'a Run, _: &Config) -> Box<dyn Play + 'a> {
        Box::new(Waiting)
    }
}

fn to_ours(ids: &Ids, recorded: u64) -> u64 {
    let text = recorded.to_string();
    match ids.known(&text) {
        Some(ours) => ours.parse().expect("ids of Livy's are numbers"),
        None if ids.is_another(&text) => NOBODY + recorded,
        None => recorded,
    }
}

fn to_recorded(ids: &Ids, ours: u64) -> u64 {
    match ids.recorded(&ours.to_string()) {
        Some(recorded) => recorded.parse().expect("ids of Livy's are numbers"),
        None if (NOBODY..2 * NOBODY).contains(&ours) => ours - NOBODY,
        None => ours,
    }
}

/// The path of a recorded request, or a Location of ours: its id is the segment after `/batches/`.
fn in_path(path: &str, map: impl Fn(u64) -> u64) -> String {
    let Some((before, rest)) = path.split_once("/batches/") else { return path.to_owned() };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    // `/batches/007` and `/batches/1.5` are about their spelling, and are sent as spelled.
    let plain = after.is_empty() || after.starts_with(['/', '?', ' ']);
    match digits.parse::<u64>() {
        Ok(id) if plain && digits == id.to_string() => format!("{before}/batches/{}{after}", map(id)),
        _ => path.to_owned(),
    }
}

/// The ids of an answer of ours, members and texts, made the recorded ones.
fn in_body(body: &mut Value, ids: &Ids) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(|item| in_body(item, ids)),
        Value::Object(members) => {
            if let Some(id) = members.get_mut("id")
                && let Some(ours) = id.as_u64()
            {
                *id = to_recorded(ids, ours).into();
            }
            members.values_mut().for_each(|member| in_body(member, ids));
        }
        Value::String(text) => {
            if let Some(id) = text.strip_prefix("Session '").and_then(|t| t.strip_suffix("' not found."))
                && let Ok(ours) = id.parse::<u64>()
                && ours.to_string() == id
            {
                *text = format!("Session '{}' not found.", to_recorded(ids, ours));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A replay that asks for a batch until it has come as far as recorded (state, lines of log). A batch of ours that has ended otherwise is not
/// waited for, since no end is ever left again; the comparison then says so.
struct Waiting;

impl Play for Waiting {
    fn settle(&mut self, house: &House<'_>, case: &Case) {
        if !matches!(case.request().method(), b"GET" | b"HEAD" | b"get") {
            return;
        }
        for answer in &case.recorded {
            let Ok(View { body: Body::Json(body), .. }) = View::recorded(answer, case.request()) else { continue };
            let listed = body["sessions"].as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
            for shown in listed {
                let known = shown["id"].as_u64().and_then(|id| house.ids.known(&id.to_string()));
                if let Some(ours) = known {
                    settle_one(house, ours, shown);
                }
            }
        }
    }

    fn await_end(&mut self, house: &House<'_>, ours: &str) {
        let deadline = Instant::now() + PATIENCE;
        while let Some((200, state)) = house.batch(&format!("{ours}/state"))
            && is_live(&state)
            && Instant::now() < deadline
        {
            thread::sleep(GLANCE);
        }
    }

    fn clean_up(&mut self, house: &House<'_>) {
        let Some((200, list)) = house.ask("GET", "/batches?size=1000", "") else { return };
        for batch in list["sessions"].as_array().into_iter().flatten() {
            if is_live(batch) {
                house.delete(&batch["id"].to_string());
            }
        }
    }
}

fn is_live(batch: &Value) -> bool {
    matches!(batch["state"].as_str(), Some("starting" | "running"))
}

fn settle_one(house: &House<'_>, ours: &str, shown: &Value) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let Some((200, batch)) = house.batch(ours) else { return };
        let there = shown["state"].is_null() || shown["state"] == batch["state"];
        let lines = |value: &Value| value["log"].as_array().map_or(0, Vec::len);
        let told = match shown["total"].as_u64() {
            None => lines(&batch) >= lines(shown),
            Some(total) => {
                let log = house.batch(&format!("{ours}/log?size=0"));
                log.is_some_and(|(_, log)| log["total"].as_u64() >= Some(total))
            }
        };
        if !is_live(&batch) || (there && told) {
            return;
        }
        thread::sleep(GLANCE);
    }
}
