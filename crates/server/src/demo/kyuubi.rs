//! The demo's job as a Kyuubi client submits and follows it.

use serde_json::json;

use super::{
    Job, PAGE, Seen,
    follow::{Words, judged, states},
};
use crate::caller::{self, Caller};

const WORDS: Words = Words { dialect: "kyuubi", before: &["PENDING", "RUNNING"], well: "FINISHED" };
const BATCHES: &str = "/api/v1/batches";

pub(super) async fn run(job: &Job<'_>) -> Result<Seen, String> {
    let caller = Caller::json(job.server);
    let name = job.name(WORDS.dialect);
    let request = json!({ "batchType": "PYSPARK", "resource": job.program, "args": [job.text], "name": name });
    let batch = caller.post(200, BATCHES, &request).await?;
    let id = caller::text(&batch, "/id")?;
    job.say(WORDS.dialect, &format!("POST {BATCHES}"), format_args!("200, batch {id}"));
    let path = format!("{BATCHES}/{id}");
    let state = async || Ok(caller::text(&caller.get(&path).await?, "/state")?.to_owned());
    let seen = states(job, &WORDS, &format!("GET  {BATCHES}/…"), state).await?;
    let mut lines = Vec::new();
    loop {
        let answer = caller.get(&format!("{path}/localLog?from={}&size={PAGE}", lines.len())).await?;
        let page = caller::lines(&answer["logRowSet"]);
        if page.is_empty() {
            break;
        }
        lines.extend(page);
    }
    job.say(WORDS.dialect, &format!("GET  {BATCHES}/…/localLog"), format_args!("{} lines", lines.len()));
    Ok(judged(&WORDS, id, seen, lines))
}
