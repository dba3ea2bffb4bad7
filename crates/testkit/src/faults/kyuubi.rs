//! Kyuubi's words: a batch has the id that its client chose, a second submit of it is answered with the first one's batch, and DELETE ends a
//! batch without dropping it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    dice::mix_text,
    speech::{Answer, Request},
    world::{End, Job, State, World},
};

pub(super) fn answer(world: &mut World, asked: &Request<'_>, hidden: Duration) -> Answer {
    match (asked.method, asked.segments.as_slice()) {
        ("GET", ["api", "v1", "version"]) => Answer::json(200, json!({"version": "1.12.0"})),
        ("POST", ["api", "v1", "batches"]) => submit(world, asked.json(), hidden),
        ("GET", ["api", "v1", "batches"]) => list(world, asked),
        ("GET", ["api", "v1", "batches", id]) => match world.find(id) {
            Some(job) => Answer::json(200, object(job, Instant::now(), false)),
            None => no_batch(id),
        },
        ("GET", ["api", "v1", "batches", id, "localLog"]) => log(world, id, asked),
        ("DELETE", ["api", "v1", "batches", id]) => delete(world, id),
        _ => Answer::json(404, json!({"message": "HTTP 404 Not Found"})),
    }
}

/// Of a failure whose words are Kyuubi's own.
pub(super) fn failure() -> Value {
    json!({"message": "it did not go well"})
}

fn submit(world: &mut World, body: Value, hidden: Duration) -> Answer {
    let made = uuid(mix_text(world.jobs.len() as u64, "kyuubi"), world.jobs.len() as u64);
    let id = body.pointer("/conf/kyuubi.batch.id").and_then(Value::as_str).map_or(made, str::to_owned);
    let now = Instant::now();
    if let Some(known) = world.on_record(&id) {
        return Answer::json(200, object(known, now, true));
    }
    let name = body["name"].as_str().map(str::to_owned);
    Answer::json(200, object(world.make(id, name, body, hidden), now, false))
}

/// A uuid of the fourth version, made of numbers.
pub(super) fn uuid(high: u64, low: u64) -> String {
    format!("{:08x}-{:04x}-4{:03x}-8000-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xfff, low)
}

fn list(world: &World, asked: &Request<'_>) -> Answer {
    let (from, size) = (asked.number("from").unwrap_or(0), asked.number("size").unwrap_or(100));
    let since = asked.number("createTime").and_then(|since| i64::try_from(since).ok()).unwrap_or(0);
    let now = Instant::now();
    let rows = world.seen().filter(|job| job.created >= since).skip(from).take(size);
    let rows: Vec<Value> = rows.map(|job| object(job, now, false)).collect();
    Answer::json(200, json!({"from": from, "total": rows.len(), "batches": rows}))
}

fn log(world: &mut World, id: &str, asked: &Request<'_>) -> Answer {
    let Some(job) = world.find(id) else { return no_batch(id) };
    let (from, size) = (asked.number("from").unwrap_or(0), asked.number("size").unwrap_or(100));
    let lines: Vec<String> = job.log(Instant::now()).into_iter().skip(from).take(size).collect();
    Answer::json(200, json!({"logRowSet": lines, "rowCount": lines.len()}))
}

fn delete(world: &mut World, id: &str) -> Answer {
    let Some(job) = world.find(id) else { return no_batch(id) };
    let now = Instant::now();
    let (success, msg) = match job.state(now) {
        State::Ended(_) => (false, format!("batch {id} is already terminal so can not kill it.")),
        State::Queued | State::Running => {
            job.cancelled = Some(now);
            (true, format!("Succeeded to terminate: application with {id}"))
        }
    };
    Answer::json(200, json!({"success": success, "msg": msg}))
}

fn no_batch(id: &str) -> Answer {
    Answer::json(404, json!({"message": format!("Invalid batchId: {id}")}))
}

fn words(state: State) -> (&'static str, Value) {
    match state {
        State::Queued => ("PENDING", Value::Null),
        State::Running => ("RUNNING", json!("RUNNING")),
        State::Ended(End::Succeeded) => ("FINISHED", json!("FINISHED")),
        State::Ended(End::Failed) => ("ERROR", json!("FAILED")),
        State::Ended(End::Cancelled) => ("CANCELED", json!("KILLED")),
    }
}

fn object(job: &Job, now: Instant, is_duplicate: bool) -> Value {
    let (state, app_state) = words(job.state(now));
    let ended = match job.state(now) {
        State::Ended(_) => job.millis_of(job.end().0),
        State::Queued | State::Running => 0,
    };
    let info = if is_duplicate { json!({"kyuubi.batch.duplicated": "true"}) } else { json!({}) };
    let kind = job.request["batchType"].as_str().unwrap_or("SPARK");
    json!({"id": job.native, "user": "anonymous", "batchType": kind, "name": job.name,
           "appStartTime": job.begun(now).unwrap_or(0), "appId": job.app(now), "appUrl": null, "appState": app_state,
           "appDiagnostic": null, "kyuubiInstance": "127.0.0.1:10099", "state": state, "createTime": job.created,
           "endTime": ended, "batchInfo": info})
}
