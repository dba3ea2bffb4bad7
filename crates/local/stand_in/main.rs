//! Stands in for the server's binary: `run-job` runs one job, `proxy SETTINGS` opens a backend, submits a job for each line that it reads
//! (a JSON list: the file, then arguments), prints the job's id, and waits to be killed.

use std::{
    io::{BufRead, Write},
    process::ExitCode,
    sync::Arc,
};

use batchlingua_core::{Backend, SystemClock};
use batchlingua_local::{Config, LocalBackend, RUN_JOB, run_job};
use batchlingua_wire::Settings;

#[path = "../tests/it/intents.rs"]
mod intents;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [RUN_JOB] => run_job(),
        ["proxy", settings] => proxy(settings),
        _ => ExitCode::FAILURE,
    }
}

fn proxy(settings: &str) -> ExitCode {
    let settings = Settings::new("backend.here", serde_json::from_str(settings).expect("settings are JSON"));
    let config = Config::read(settings).expect("settings are right");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let backend = LocalBackend::new("here".into(), config, Arc::new(SystemClock)).await.expect("a backend");
        if let Err(error) = backend.probe(&intents::context()).await {
            println!("refused: {}", error.detail());
            return ExitCode::FAILURE;
        }
        println!("open");
        for line in std::io::stdin().lock().lines() {
            let words: Vec<String> = serde_json::from_str(&line.expect("a line")).expect("a list of texts");
            let intent = intents::executable(words);
            let id = intent.marker.uuid;
            let plan = backend.plan(intent).expect("a plan");
            backend.submit(&intents::context(), plan).await.expect("submitted");
            println!("{id}");
            std::io::stdout().flush().expect("written");
        }
        ExitCode::SUCCESS
    })
}
