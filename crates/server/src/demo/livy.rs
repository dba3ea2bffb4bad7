//! The demo's job as a Livy client submits and follows it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Job, Seen, client::send};

/// How often a client asks. Livy's own clients ask every few seconds; a demo is watched by a person.
const POLL: Duration = Duration::from_millis(100);

/// Most lines of one page.
const PAGE: u64 = 1_000;

pub(super) async fn run(job: &Job<'_>) -> Result<Seen, String> {
    let request = json!({ "file": job.program, "args": [job.text], "name": job.name("livy") });
    let batch = expect(201, send(job.server, Method::POST, "/batches", Some(&request)).await?)?;
    let id = batch["id"].as_u64().ok_or_else(|| format!("an id was expected in {batch}"))?;
    job.say("livy", format_args!("POST /batches            201, batch {id}"));

    let mut states: Vec<String> = Vec::new();
    loop {
        let answer = expect(200, send(job.server, Method::GET, &format!("/batches/{id}/state"), None).await?)?;
        let state = answer["state"].as_str().unwrap_or_default();
        if states.last().is_none_or(|last| last != state) {
            job.say("livy", format_args!("GET  /batches/{id}/state    {state}"));
            states.push(state.to_owned());
        }
        match state {
            "starting" | "running" => tokio::time::sleep(POLL).await,
            _ => break,
        }
    }
    let lines = log(job, id).await?;
    job.say("livy", format_args!("GET  /batches/{id}/log      {} lines", lines.len()));
    let well = in_order(&states) && states.last().is_some_and(|last| last == "success");
    Ok(Seen { id: id.to_string(), states, lines, well })
}

/// What a client has seen is never taken back.
fn in_order(states: &[String]) -> bool {
    let ranks: Option<Vec<usize>> =
        states.iter().map(|state| ["starting", "running", "success"].iter().position(|known| known == state)).collect();
    ranks.is_some_and(|ranks| ranks.is_sorted())
}

async fn log(job: &Job<'_>, id: u64) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    loop {
        let path = format!("/batches/{id}/log?from={}&size={PAGE}", lines.len());
        let answer = expect(200, send(job.server, Method::GET, &path, None).await?)?;
        let page = answer["log"].as_array().cloned().unwrap_or_default();
        let total = answer["total"].as_u64().unwrap_or_default();
        let ended = page.is_empty();
        lines.extend(page.iter().filter_map(Value::as_str).map(str::to_owned));
        if ended || lines.len() as u64 >= total {
            return Ok(lines);
        }
    }
}

fn expect(wanted: u16, (status, answer): (u16, Value)) -> Result<Value, String> {
    if status == wanted { Ok(answer) } else { Err(format!("{wanted} was expected, not {status}: {answer}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_in_order_or_unknown() {
        let check = |states: &[&str]| in_order(&states.iter().map(|state| (*state).to_owned()).collect::<Vec<_>>());
        assert!(check(&["starting", "running", "success"]) && check(&["success"]));
        assert!(!check(&["running", "starting"]) && !check(&["starting", "dead"]));
    }
}
