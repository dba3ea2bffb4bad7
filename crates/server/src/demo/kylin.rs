//! The demo's job as a Kylin client follows it. Kylin's API has no call that submits a batch, so a Livy client does that for it.

use super::{
    Job, Seen,
    follow::{Words, judged, states},
    livy,
};
use crate::caller::{self, Caller};

const WORDS: Words = Words { dialect: "kylin", before: &["PENDING", "RUNNING"], well: "FINISHED" };
const JOBS: &str = "/kylin/api/jobs";

pub(super) async fn run(job: &Job<'_>) -> Result<Seen, String> {
    let caller = Caller { server: job.server, accept: "application/vnd.apache.kylin-v4-public+json" };
    let ordinal = livy::submit(job, WORDS.dialect).await?;
    job.say(WORDS.dialect, "POST /batches", format_args!("201, batch {ordinal}, by Livy: Kylin cannot submit"));
    // Found as Kylin's own page finds a job: by a part of its name.
    let name = job.name(WORDS.dialect).replace(' ', "%20");
    let query = format!("{JOBS}?key={name}&time_filter=4&page_size=1");
    let found = caller.get(&query).await?;
    let (id, project) = (caller::text(&found, "/data/value/0/id")?, caller::text(&found, "/data/value/0/project")?);
    let state = async || Ok(caller::text(&caller.get(&query).await?, "/data/value/0/job_status")?.to_owned());
    let seen = states(job, &WORDS, &format!("GET  {JOBS}?key=…"), state).await?;
    let answer = caller.get(&format!("{JOBS}/{id}/steps/{id}_00/output?project={project}")).await?;
    let lines: Vec<String> = caller::text(&answer, "/data/cmd_output")?.lines().map(str::to_owned).collect();
    job.say(WORDS.dialect, &format!("GET  {JOBS}/…/output"), format_args!("{} lines", lines.len()));
    Ok(judged(&WORDS, id, seen, lines))
}
