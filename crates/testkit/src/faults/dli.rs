//! DLI's words: ids are its own, names need not be unique, what a submit said is given back in `req_body`, and what was cancelled is `dead`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    dice::mix_text,
    kyuubi::uuid,
    speech::{Answer, Request},
    world::{End, Job, State, World},
};

pub(super) fn answer(world: &mut World, asked: &Request<'_>, hidden: Duration) -> Answer {
    let now = Instant::now();
    match (asked.method, asked.segments.as_slice()) {
        ("POST", ["v2.0", _, "batches"]) => {
            let body = asked.json();
            let made = world.jobs.len() as u64;
            let name = body["name"].as_str().map(str::to_owned);
            Answer::json(200, object(world.make(uuid(mix_text(made, "dli"), made), name, body, hidden), now))
        }
        ("GET", ["v2.0", _, "batches"]) => list(world, asked),
        ("GET", ["v2.0", _, "batches", id]) => match world.find(id) {
            Some(job) => Answer::json(200, object(job, now)),
            None => fails(404, "DLI.0023", "no related resource found"),
        },
        ("GET", ["v2.0", _, "batches", id, "state"]) => match world.find(id) {
            Some(job) => Answer::json(200, json!({"id": job.native, "state": word(job.state(now))})),
            None => fails(400, "DLI.0002", "the batch does not exist"),
        },
        ("GET", ["v2.0", _, "batches", id, "log"]) => match world.find(id) {
            Some(job) => {
                let lines = job.log(now);
                Answer::json(200, json!({"id": job.native, "from": 0, "total": lines.len(), "log": lines}))
            }
            None => fails(400, "DLI.0002", "the batch does not exist"),
        },
        ("DELETE", ["v2.0", _, "batches", id]) => delete(world, id),
        _ => fails(404, "APIGW.0101", "The API does not exist"),
    }
}

/// Of a failure whose words are DLI's own.
pub(super) fn failure() -> Value {
    json!({"error_code": "DLI.0999", "error_msg": "it did not go well"})
}

fn fails(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(status, json!({"error_code": code, "error_msg": message}))
}

fn list(world: &World, asked: &Request<'_>) -> Answer {
    let (from, size) = (asked.number("from").unwrap_or(0), asked.number("size").unwrap_or(100));
    let now = Instant::now();
    let rows: Vec<Value> = match asked.query("order") {
        Some("CREATE_TIME_ASC") => world.seen().skip(from).take(size).map(|job| object(job, now)).collect(),
        _ => world.seen().rev().skip(from).take(size).map(|job| object(job, now)).collect(),
    };
    Answer::json(200, json!({"from": from, "total": world.seen().count(), "sessions": rows}))
}

fn delete(world: &mut World, id: &str) -> Answer {
    let Some(job) = world.find(id) else { return fails(400, "DLI.0002", "the batch does not exist") };
    let now = Instant::now();
    match job.state(now) {
        State::Ended(_) => fails(400, "DLI.0007", "the batch has ended"),
        State::Queued | State::Running => {
            job.cancelled = Some(now);
            Answer::json(200, json!({"msg": "deleted"}))
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Queued => "starting",
        State::Running => "running",
        State::Ended(End::Succeeded) => "success",
        State::Ended(End::Failed | End::Cancelled) => "dead",
    }
}

fn object(job: &Job, now: Instant) -> Value {
    let updated = match job.state(now) {
        State::Ended(_) => job.millis_of(job.end().0),
        State::Queued | State::Running => job.begun(now).unwrap_or(job.created),
    };
    json!({"id": job.native, "appId": job.app(now).unwrap_or_default(), "name": job.name.as_deref().unwrap_or_default(),
           "owner": "soak", "proxyUser": "", "state": word(job.state(now)), "kind": "spark", "log": job.log(now),
           "sc_type": "A", "cluster_name": job.request["queue"], "queue": job.request["queue"],
           "create_time": job.created, "update_time": updated, "duration": updated - job.created,
           "req_body": job.request.to_string()})
}
