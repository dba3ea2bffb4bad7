//! A soak: many clients of all dialects, platforms that fail in every way and lose their memory, a proxy that is killed every few seconds, alone or as
//! one of two replicas on a database that is restarted too; and at its end an audit of what clients were told against what really ran.
//!
//! ```sh
//! cargo build --release && cargo run --release -p batchlingua-testkit --example soak -- --seed 1 --submits 2000
//! ```
//!
//! `--front replicas` has two replicas on a PostgreSQL that is started for it; `--front nginx` and `--front nginx-retrying` put nginx in the proxy's
//! place, each dialect in front of its own platform. `--markdown` prints the table as it stands in `docs/reliability.md`. The exit code says
//! whether there was any violation by the proxy; then all that is known of the batches concerned is printed, from both sides.

mod audit;
mod client;
mod door;
mod fleet;
mod front;
mod http;
mod report;
mod voice;

use std::{
    collections::HashMap,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use batchlingua_testkit::faults::{Pace, Platform, Rates};
use futures_util::{StreamExt, stream};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use audit::{Shown, Sight, Told, Truth, Verdict, audit};
use client::{Client, Counts, Done, SPEECHES, place, sight};
use door::Door;
use fleet::{Fleet, LedgerAt};
use front::What;
use report::Report;

/// Whatever goes wrong with the soak itself ends it with its message.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PACE: Pace = Pace {
    queued: Duration::from_millis(500),
    running: Duration::from_millis(1_500),
    stall: Duration::from_secs(2),
    hidden: Duration::from_millis(1_500),
    away: Duration::from_millis(1_500),
    drip: Duration::from_millis(400),
    // Beyond all that is looked for at the end: of a platform that shows nothing any more no absence is believed.
    retain: Duration::from_secs(90),
};
const RATES: Rates = Rates { unread: 3, away: 1, amnesia: 400, submit: 200, delete: 150, read: 15 };
/// After the last submit: longer than `settle` and all that is around it.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How often it is asked at the end what has become of a batch.
const LAST_LOOKS: u32 = 10;

struct Options {
    seed: u64,
    submits: u64,
    clients: usize,
    what: What,
    binary: PathBuf,
    kill_every: u64,
    markdown: bool,
    keep: bool,
}

fn options() -> Result<Options> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut options = Options {
        seed: u64::from(now.subsec_nanos()),
        submits: 2_000,
        clients: 64,
        what: What::Proxy,
        binary: PathBuf::from("target/release/batchlingua"),
        kill_every: 4,
        markdown: false,
        keep: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--markdown" => options.markdown = true,
            "--keep" => options.keep = true,
            "--seed" => options.seed = value()?.parse()?,
            "--submits" => options.submits = value()?.parse()?,
            "--clients" => options.clients = value()?.parse()?,
            "--binary" => options.binary = value()?.into(),
            "--kill-every" => options.kill_every = value()?.parse()?,
            "--front" => {
                options.what = match value()?.as_str() {
                    "proxy" => What::Proxy,
                    "replicas" => What::Replicas,
                    "nginx" => What::Nginx,
                    "nginx-retrying" => What::NginxRetrying,
                    other => return Err(format!("there is no front '{other}'").into()),
                }
            }
            other => return Err(format!("there is no option '{other}'").into()),
        }
    }
    if options.what.is_ours() {
        let path = options.binary.canonicalize();
        options.binary = path.map_err(|cause| format!("{}: {cause}", options.binary.display()))?;
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = options()?;
    eprintln!("seed {}, {} submits, {:?}", options.seed, options.submits, options.what);
    let began = Instant::now();
    let start = |speech| Platform::start(speech, options.seed, RATES, PACE);
    let platforms = [start(SPEECHES[0]).await?, start(SPEECHES[1]).await?, start(SPEECHES[2]).await?];
    let dir = tempfile::tempdir()?;
    let addresses = [0, 1, 2].map(|at: usize| platforms[at].address());
    let (fleet, ledger) = Fleet::start(options.what, &options.binary, dir.path(), addresses).await?;
    let door = fleet.door(options.what.is_ours());
    let counts = Counts::default();
    let (done, is_done) = watch::channel(false);
    let disturbing = tokio::spawn(fleet.disturb(options.seed, options.kill_every, is_done.clone()));
    let intents = stream::iter(0..options.submits)
        .map(|number| Client::new(&door, &counts, options.seed, number, !options.what.is_ours()).run());
    let clients = async {
        let all: Vec<Done> = intents.buffer_unordered(options.clients).collect().await;
        // Nobody listens where the disturber has failed, which is told below.
        let _ = done.send(true);
        all
    };
    let (mut all, seen_by_kylin) = tokio::join!(clients, watch_by_kylin(&door, options.what, is_done));
    let (fleet, disturbed) = disturbing.await??;
    platforms.iter().for_each(Platform::calm_down);
    let mut open = None;
    if let Some(ledger) = &ledger {
        // Of one that shows nothing, since it has lost all, no absence would be believed.
        platforms.iter().for_each(Platform::add_foreign);
        open = until_resolved(ledger).await;
        look_again(&door, &mut all, options.clients).await;
    }
    let truths = truths(&platforms);
    let mut histories: HashMap<String, Vec<(Instant, String)>> = HashMap::new();
    let mut told: Vec<Told> = Vec::new();
    for mut done in all {
        if let Some(seen) = seen_by_kylin.get(&done.told.label) {
            done.told.sights.push(seen.clone());
        }
        histories.insert(done.told.label.clone(), done.history);
        told.push(done.told);
    }
    let audit = audit(&told, &truths);
    let report = Report {
        what: options.what,
        seed: options.seed,
        disturbed,
        took: began.elapsed(),
        told: &told,
        truths: &truths,
        counts: &counts,
        audit: &audit,
        platforms: &platforms,
        open,
    };
    report.print(options.markdown);
    let is_good = !options.what.is_ours() || audit.violations.is_empty();
    if !is_good {
        report::histories(&audit.violations, &histories, &platforms, began);
    }
    drop(fleet);
    if is_good && !options.keep {
        return Ok(ExitCode::SUCCESS);
    }
    let kept = dir.keep();
    eprintln!("the proxy's files are in {}; again with --seed {}", kept.display(), options.seed);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that really ran, by what it is known by.
fn truths(platforms: &[Platform; 3]) -> HashMap<String, Vec<Truth>> {
    let mut truths: HashMap<String, Vec<Truth>> = HashMap::new();
    for (platform, on) in platforms.iter().zip(SPEECHES) {
        for job in platform.jobs() {
            truths.entry(job.label.clone()).or_default().push(Truth::of(on, &job));
        }
    }
    truths.values_mut().for_each(|jobs| jobs.sort_by_key(|job| job.made));
    truths
}

/// A client of Kylin's dialect lists and follows what all the others run.
async fn watch_by_kylin(door: &Door, what: What, mut is_done: watch::Receiver<bool>) -> HashMap<String, Vec<Sight>> {
    let mut seen: HashMap<String, Vec<Sight>> = HashMap::new();
    let accept = [("Accept", "application/vnd.apache.kylin-v2+json".to_owned())];
    let mut turn = 0;
    while what.is_ours() && !*is_done.borrow() {
        let asked = Instant::now();
        turn += 1;
        let list = "GET /kylin/api/jobs?timeFilter=4&pageSize=200";
        if let (replica, Ok(reply)) = door.ask(turn, 0, list, &accept, None).await {
            for (name, shown) in voice::kylin_rows(&reply.body) {
                let sight = Sight { asked, at: Instant::now(), replica, shown, stale: Duration::ZERO, app: None };
                seen.entry(name).or_default().push(sight);
            }
        }
        tokio::select! {
            _ = is_done.wait_for(|done| *done) => {}
            () = sleep(ASK_AGAIN) => {}
        }
    }
    seen
}

/// Until the ledger has no open submit, but not for ever; how many are left.
async fn until_resolved(ledger: &LedgerAt) -> Option<usize> {
    let until = Instant::now() + RESOLVED_WITHIN;
    loop {
        let at = ledger.clone();
        let open = spawn_blocking(move || at.open()).await.ok().flatten();
        if open == Some(0) || Instant::now() > until {
            return open;
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Every id that was acknowledged, once more, at every replica, by a client of its dialect.
async fn look_again(door: &Door, all: &mut [Done], clients: usize) {
    let looks = all.iter_mut().filter(|done| done.told.verdict == Verdict::Accepted).map(|done| async move {
        let Some(id) = done.id.clone() else { return };
        let line = format!("GET {}", voice::path(done.voice, &id));
        for replica in 0..door.replicas.len() {
            let seen = last_look(door, done, &line, replica).await;
            done.told.sights[0].push(seen);
        }
    });
    stream::iter(looks).buffer_unordered(clients).collect::<Vec<()>>().await;
}

async fn last_look(door: &Door, done: &mut Done, line: &str, replica: usize) -> Sight {
    let began = Instant::now();
    for _ in 0..LAST_LOOKS {
        let asked = Instant::now();
        if let (by, Ok(reply)) = door.ask(replica, place(done.platform), line, &[], None).await {
            done.history.push((Instant::now(), format!("at the end: {line} at {by}: {}", reply.short())));
            if let Some(sight) = sight(done.voice, asked, by, &reply) {
                return sight;
            }
        }
        sleep(ASK_AGAIN).await;
    }
    // It was asked long enough, and has not answered for what it had acknowledged.
    Sight { asked: began, at: Instant::now(), replica, shown: Shown::Absent, stale: Duration::ZERO, app: None }
}
