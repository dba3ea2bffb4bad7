//! The demo's job as a Livy client submits and follows it.

use serde_json::json;

use super::{
    Job, PAGE, Seen,
    follow::{Words, judged, states},
};
use crate::caller::{self, Caller};

const WORDS: Words = Words { dialect: "livy", before: &["starting", "running"], well: "success" };

pub(super) async fn run(job: &Job<'_>) -> Result<Seen, String> {
    let caller = Caller::json(job.server);
    let id = submit(job, WORDS.dialect).await?;
    job.say(WORDS.dialect, "POST /batches", format_args!("201, batch {id}"));
    let state = async || Ok(caller::text(&caller.get(&format!("/batches/{id}/state")).await?, "/state")?.to_owned());
    let seen = states(job, &WORDS, &format!("GET  /batches/{id}/state"), state).await?;
    let mut lines = Vec::new();
    loop {
        let answer = caller.get(&format!("/batches/{id}/log?from={}&size={PAGE}", lines.len())).await?;
        let page = caller::lines(&answer["log"]);
        let ended = page.is_empty();
        lines.extend(page);
        if ended || lines.len() as u64 >= answer["total"].as_u64().unwrap_or_default() {
            break;
        }
    }
    job.say(WORDS.dialect, &format!("GET  /batches/{id}/log"), format_args!("{} lines", lines.len()));
    Ok(judged(&WORDS, &id.to_string(), seen, lines))
}

/// Submits the job for a client of this dialect; its integer.
pub(super) async fn submit(job: &Job<'_>, dialect: &str) -> Result<u64, String> {
    let request = json!({ "file": job.program, "args": [job.text], "name": job.name(dialect) });
    let batch = Caller::json(job.server).post(201, "/batches", &request).await?;
    batch["id"].as_u64().ok_or_else(|| format!("an id was expected in {batch}"))
}
