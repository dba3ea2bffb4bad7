//! What the local backend costs: a submit, a start, the last page of a log of a gigabyte, and memory. Prints; asserts nothing.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{Backend, BatchState, Changes, Detail, Lines, LogQuery, LogSource, NativeId, SystemClock};
use batchlingua_local::{Config, LocalBackend};
use futures_util::StreamExt;

#[path = "../tests/it/intents.rs"]
mod intents;
#[path = "../stand_in/path.rs"]
mod path;

const GIGABYTE: u64 = 1 << 30;

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config {
        dir: dir.path().join("jobs"),
        allow_dirs: vec!["/bin".into(), "/usr/bin".into()],
        spark: false,
        runner: vec![path::stand_in().into(), "run-job".into()],
        ..Config::default()
    };
    let backend = LocalBackend::new("here".into(), config, Arc::new(SystemClock)).await.expect("a backend");
    let mut changes = backend.changes().expect("changes");
    let memory = resident();

    let mut spans = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    const ROUNDS: u32 = 50;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let id = submit(&backend, "exit 0").await;
        spans.0 += begin.elapsed();
        until(&mut changes, &id, |state| state == BatchState::Running).await;
        spans.1 += begin.elapsed();
        until(&mut changes, &id, BatchState::is_end).await;
        spans.2 += begin.elapsed();
    }
    println!(
        "submit accepted after {:?}, running after {:?}, end seen after {:?}",
        spans.0 / ROUNDS,
        spans.1 / ROUNDS,
        spans.2 / ROUNDS
    );

    let writer = format!(
        "yes 'a line of a log such as jobs write, of about eighty bytes, or a little more' | head -c {GIGABYTE}"
    );
    let begin = Instant::now();
    let id = submit(&backend, &writer).await;
    until(&mut changes, &id, |state| state == BatchState::Running).await;
    let mut worst = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let batch = backend.get(&intents::context(), &id, Detail::Summary).await.expect("there");
        worst = worst.max(asked.elapsed());
        if batch.state.is_end() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("a gigabyte written in {:?}; a poll meanwhile took at most {worst:?}", begin.elapsed());
    for (what, lines) in [
        ("last 200 lines, at once", Lines::Tail(200)),
        ("last 200 lines, again", Lines::Tail(200)),
        ("last 10,000 lines", Lines::Tail(10_000)),
        ("200 lines from the middle", Lines::From(6_000_000, 200)),
        ("the first 200 lines", Lines::From(0, 200)),
    ] {
        let asked = Instant::now();
        let query = LogQuery { lines, source: LogSource::Default };
        let log = black_box(backend.log(&intents::context(), &id, &query).await.expect("a page"));
        println!("{what}: {:?} of {:?} lines", asked.elapsed(), log.total);
    }
    println!("resident memory: {} KiB before, {} KiB after", memory, resident());
}

async fn submit(backend: &LocalBackend, script: &str) -> NativeId {
    let intent = intents::executable(vec!["/bin/sh".into(), "-c".into(), script.into()]);
    let plan = backend.plan(intent).expect("a plan");
    backend.submit(&intents::context(), plan).await.expect("submitted").id
}

async fn until(changes: &mut Changes, id: &NativeId, wanted: impl Fn(BatchState) -> bool) {
    while let Some(batch) = changes.next().await {
        if batch.id == *id && (wanted(batch.state) || batch.state.is_end()) {
            return;
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}
