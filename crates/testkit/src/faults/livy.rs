//! Livy's words: names are unique while they are on record, numbers count from 0, DELETE ends a batch and drops its record.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    speech::{Answer, Request},
    world::{End, Job, State, World},
};

pub(super) fn answer(world: &mut World, asked: &Request<'_>, hidden: Duration) -> Answer {
    match (asked.method, asked.segments.as_slice()) {
        ("GET", ["version"]) => Answer::json(200, json!({"version": "0.9.0-incubating"})),
        ("POST", ["batches"]) => submit(world, asked.json(), hidden),
        ("GET", ["batches"]) => list(world, asked),
        ("GET", ["batches", called]) => shown(world, called, |job| object(job, Instant::now())),
        ("GET", ["batches", called, "state"]) => {
            shown(world, called, |job| json!({"id": number(job), "state": word(job.state(Instant::now()))}))
        }
        ("GET", ["batches", called, "log"]) => shown(world, called, |job| {
            let lines = framed(job.log(Instant::now()));
            json!({"id": number(job), "from": 0, "total": lines.len(), "log": lines})
        }),
        ("DELETE", ["batches", called]) => delete(world, called),
        _ => Answer::new(404, "application/json;charset=utf-8", Vec::new()),
    }
}

/// Of a failure whose words are Livy's own.
pub(super) fn failure() -> Value {
    json!("java.lang.IllegalStateException: it did not go well")
}

fn submit(world: &mut World, body: Value, hidden: Duration) -> Answer {
    let number = world.next_number;
    world.next_number += 1;
    let name = body["name"].as_str().map(str::to_owned);
    if let Some(name) = &name
        && world.on_record(name).is_some()
    {
        let words = format!("Rejected, Reason: Duplicate session name: Some({name}) for session {number}");
        return Answer::json(400, json!({"msg": words}));
    }
    let job = world.make(number.to_string(), name, body, hidden);
    Answer::json(201, object(job, Instant::now()))
}

fn list(world: &World, asked: &Request<'_>) -> Answer {
    let (from, size) = (asked.number("from").unwrap_or(0), asked.number("size").unwrap_or(100));
    let now = Instant::now();
    let rows: Vec<Value> = world.seen().skip(from).take(size).map(|job| object(job, now)).collect();
    Answer::json(200, json!({"from": from, "total": world.seen().count(), "sessions": rows}))
}

fn shown(world: &mut World, called: &str, show: impl Fn(&Job) -> Value) -> Answer {
    match world.find(called) {
        Some(job) => Answer::json(200, show(job)),
        None => not_found(called),
    }
}

fn delete(world: &mut World, called: &str) -> Answer {
    let Some(job) = world.find(called) else { return not_found(called) };
    let now = Instant::now();
    match job.state(now) {
        State::Ended(_) => {}
        State::Queued | State::Running => job.cancelled = Some(now),
    }
    world.drop_record(called);
    Answer::json(200, json!({"msg": "deleted"}))
}

fn not_found(called: &str) -> Answer {
    Answer::json(404, json!({"msg": format!("Session '{called}' not found.")}))
}

fn number(job: &Job) -> u64 {
    job.native.parse().expect("it was made of a number")
}

fn framed(lines: Vec<String>) -> Vec<String> {
    ["stdout: ".to_owned()].into_iter().chain(lines).chain(["\nstderr: ".to_owned()]).collect()
}

fn word(state: State) -> &'static str {
    match state {
        State::Queued => "starting",
        State::Running => "running",
        State::Ended(End::Succeeded) => "success",
        State::Ended(End::Failed) => "dead",
        State::Ended(End::Cancelled) => "killed",
    }
}

fn object(job: &Job, now: Instant) -> Value {
    let info = json!({"driverLogUrl": null, "sparkUiUrl": null, "executorLogUrls": null});
    json!({"id": number(job), "name": job.name, "owner": null, "proxyUser": null, "state": word(job.state(now)),
           "appId": job.app(now), "appInfo": info, "log": framed(job.log(now))})
}
