//! The demo's job as a DLI client submits and follows it, in a project of its own.

use serde_json::json;

use super::{
    Job, PAGE, Seen,
    follow::{Words, judged, states},
};
use crate::caller::{self, Caller};

const WORDS: Words = Words { dialect: "dli", before: &["starting", "running"], well: "success" };
const BATCHES: &str = "/v2.0/demo/batches";

pub(super) async fn run(job: &Job<'_>) -> Result<Seen, String> {
    let caller = Caller::json(job.server);
    let name = job.name(WORDS.dialect);
    let request = json!({ "file": job.program, "args": [job.text], "name": name, "queue": "demo" });
    let batch = caller.post(200, BATCHES, &request).await?;
    let id = caller::text(&batch, "/id")?;
    job.say(WORDS.dialect, &format!("POST {BATCHES}"), format_args!("200, batch {id}"));
    let path = format!("{BATCHES}/{id}");
    let state = async || Ok(caller::text(&caller.get(&format!("{path}/state")).await?, "/state")?.to_owned());
    let seen = states(job, &WORDS, &format!("GET  {BATCHES}/…/state"), state).await?;
    let mut lines = Vec::new();
    loop {
        let answer = caller.get(&format!("{path}/log?from={}&size={PAGE}", lines.len())).await?;
        let page = caller::lines(&answer["log"]);
        let ended = page.is_empty();
        lines.extend(page);
        if ended || lines.len() as u64 >= answer["total"].as_u64().unwrap_or_default() {
            break;
        }
    }
    job.say(WORDS.dialect, &format!("GET  {BATCHES}/…/log"), format_args!("{} lines", lines.len()));
    Ok(judged(&WORDS, id, seen, lines))
}
