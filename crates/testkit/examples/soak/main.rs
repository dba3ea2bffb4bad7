//! A soak: many clients of all dialects, platforms that fail in every way, a proxy that is killed every few seconds; and at its end an audit of
//! what clients were told against what really ran.
//!
//! ```sh
//! cargo build --release && cargo run --release -p batchlingua-testkit --example soak -- --seed 1 --submits 2000
//! ```
//!
//! `--front nginx` and `--front nginx-retrying` put nginx in the proxy's place, each dialect in front of its own platform. `--markdown` prints the
//! table as it stands in `docs/reliability.md`. The exit code says whether there was any violation by the proxy; then all that is known of the
//! batches concerned is printed, from both sides.

mod audit;
mod client;
mod front;
mod http;
mod report;
mod voice;

use std::{
    collections::HashMap,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use batchlingua_testkit::faults::{Pace, Platform, Rates, Speech, mix};
use futures_util::{StreamExt, stream};
use tokio::{sync::watch, time::sleep};

use audit::{Shown, Sight, Told, Truth, Verdict, audit};
use client::{Client, Counts, Done, Door};
use front::{Front, What};
use report::Report;

/// Whatever goes wrong with the soak itself ends it with its message.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PACE: Pace = Pace {
    queued: Duration::from_millis(600),
    running: Duration::from_millis(2_500),
    stall: Duration::from_millis(2_500),
    hidden: Duration::from_secs(3),
    away: Duration::from_millis(1_500),
    drip: Duration::from_millis(400),
    // Beyond all that is looked for at the end: of a platform that shows nothing any more no absence is believed.
    retain: Duration::from_secs(240),
};
const RATES: Rates = Rates { unread: 3, away: 1, submit: 200, delete: 150, read: 15 };
/// After the last submit: longer than `settle` and all that is around it.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);
const NONE_FOR: Duration = Duration::from_secs(5);
const KYLIN_PAUSE: Duration = Duration::from_millis(500);

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
        match arg.as_str() {
            "--markdown" => options.markdown = true,
            "--keep" => options.keep = true,
            _ => {}
        }
        if matches!(arg.as_str(), "--markdown" | "--keep") {
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--seed" => options.seed = value.parse()?,
            "--submits" => options.submits = value.parse()?,
            "--clients" => options.clients = value.parse()?,
            "--binary" => options.binary = value.into(),
            "--kill-every" => options.kill_every = value.parse()?,
            "--front" => {
                options.what = match value.as_str() {
                    "proxy" => What::Proxy,
                    "nginx" => What::Nginx,
                    "nginx-retrying" => What::NginxRetrying,
                    other => return Err(format!("there is no front '{other}'").into()),
                }
            }
            other => return Err(format!("there is no option '{other}'").into()),
        }
    }
    if options.what == What::Proxy {
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
    let platforms = [start(Speech::Livy).await?, start(Speech::Kyuubi).await?, start(Speech::Dli).await?];
    let dir = tempfile::tempdir()?;
    let addresses = [0, 1, 2].map(|at: usize| platforms[at].address());
    let front = Front::start(options.what, &options.binary, dir.path(), addresses).await?;
    let door =
        Door { addresses: front.addresses, life: Arc::new(AtomicU64::new(0)), keeps_ids: options.what == What::Proxy };
    let (counts, admin) = (Counts::default(), front.admin);
    let (done, is_done) = watch::channel(false);
    let killing = tokio::spawn(kill(front, door.life.clone(), options.seed, options.kill_every, is_done.clone()));
    let watching = tokio::spawn(watch_by_kylin(door.addresses[0], door.life.clone(), options.what, is_done));
    let intents = stream::iter(0..options.submits)
        .map(|number| Client::new(&door, &counts, options.seed, number, options.what != What::Proxy).run());
    let mut all: Vec<Done> = intents.buffer_unordered(options.clients).collect().await;
    done.send(true)?;
    let (front, kills, terms) = killing.await??;
    let seen_by_kylin = watching.await?;
    platforms.iter().for_each(Platform::calm_down);
    if options.what == What::Proxy {
        until_resolved(admin).await;
        look_again(&door, &mut all, options.clients).await;
    }
    let mut truths: HashMap<String, Vec<Truth>> = HashMap::new();
    for (platform, on) in platforms.iter().zip([Speech::Livy, Speech::Kyuubi, Speech::Dli]) {
        for job in platform.jobs() {
            let (ended, end) = job.end();
            let truth = Truth { on, ended, end, dropped: job.dropped.is_some() };
            truths.entry(job.label).or_default().push(truth);
        }
    }
    let mut histories: HashMap<String, Vec<(Instant, String)>> = HashMap::new();
    let mut told: Vec<Told> = Vec::new();
    for mut done in all {
        if let Some(seen) = seen_by_kylin.get(&done.told.label) {
            done.told.sights.push(seen.clone());
        }
        histories.insert(done.told.label.clone(), done.history);
        told.push(done.told);
    }
    let violations = audit(&told, &truths);
    let report = Report {
        what: options.what,
        seed: options.seed,
        kills,
        terms,
        took: began.elapsed(),
        told: &told,
        truths: &truths,
        counts: &counts,
        violations: &violations,
        platforms: &platforms,
        open: open_submits(admin, options.what).await,
    };
    report.print(options.markdown);
    let is_good = options.what != What::Proxy || violations.is_empty();
    if options.what == What::Proxy {
        report::histories(&violations, &histories, &platforms, began);
    }
    drop(front);
    if is_good && !options.keep {
        return Ok(ExitCode::SUCCESS);
    }
    let kept = dir.keep();
    eprintln!("the proxy's files are in {}; again with --seed {}", kept.display(), options.seed);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Kills it every few seconds, every third time gently, until all is done. Gives it back with how often it was either.
async fn kill(
    mut front: Front,
    life: Arc<AtomicU64>,
    seed: u64,
    every: u64,
    mut is_done: watch::Receiver<bool>,
) -> Result<(Front, u64, u64)> {
    let (mut kills, mut terms) = (0, 0);
    for round in 0_u64.. {
        let pause = Duration::from_millis(every * 500 + mix(seed ^ round) % (every * 1_000).max(1));
        tokio::select! {
            _ = is_done.wait_for(|done| *done) => break,
            () = sleep(pause), if every > 0 => {}
        }
        let gently = round % 3 == 2;
        // From here on nobody knows which life answers.
        life.fetch_add(1, Ordering::SeqCst);
        front.restart(gently).await?;
        life.fetch_add(1, Ordering::SeqCst);
        if gently { terms += 1 } else { kills += 1 }
    }
    Ok((front, kills, terms))
}

/// A client of Kylin's dialect lists and follows what all the others run.
async fn watch_by_kylin(
    to: std::net::SocketAddr,
    life: Arc<AtomicU64>,
    what: What,
    mut is_done: watch::Receiver<bool>,
) -> HashMap<String, Vec<Sight>> {
    let mut seen: HashMap<String, Vec<Sight>> = HashMap::new();
    let accept = [("Accept", "application/vnd.apache.kylin-v2+json".to_owned())];
    while what == What::Proxy && !*is_done.borrow() {
        let before = life.load(Ordering::SeqCst);
        let reply = http::call(to, "GET /kylin/api/jobs?timeFilter=4&pageSize=200", &accept, None).await;
        if let Ok(reply) = reply
            && before == life.load(Ordering::SeqCst)
        {
            for (name, shown) in voice::kylin_rows(&reply.body) {
                seen.entry(name).or_default().push(Sight { at: Instant::now(), life: before, shown });
            }
        }
        tokio::select! {
            _ = is_done.wait_for(|done| *done) => {}
            () = sleep(KYLIN_PAUSE) => {}
        }
    }
    seen
}

/// How many submits the proxy itself says to be open.
async fn open_submits(admin: std::net::SocketAddr, what: What) -> Option<usize> {
    if what != What::Proxy {
        return None;
    }
    let reply = http::call(admin, "GET /api/submits/open", &[], None).await.ok()?;
    let rows = reply.body.as_array().or_else(|| reply.body.as_object()?.values().find_map(|value| value.as_array()));
    rows.map(Vec::len)
}

/// Until there is none for longer than one is looked for: what a past life has left may not be counted at once.
async fn until_resolved(admin: std::net::SocketAddr) {
    let until = Instant::now() + RESOLVED_WITHIN;
    let mut none_since = None;
    while Instant::now() < until {
        match open_submits(admin, What::Proxy).await {
            Some(0) if none_since.is_some_and(|since: Instant| since.elapsed() > NONE_FOR) => return,
            Some(0) => _ = none_since.get_or_insert_with(Instant::now),
            Some(_) | None => none_since = None,
        }
        sleep(KYLIN_PAUSE).await;
    }
}

/// Every id that was acknowledged, once more, by a client of its dialect; and whoever was told that nobody knows looks again.
async fn look_again(door: &Door, all: &mut [Done], clients: usize) {
    let life = door.life.load(Ordering::SeqCst);
    let looks = all.iter_mut().filter(|done| done.told.verdict == Verdict::Accepted).map(|done| async move {
        let Some(id) = &done.id else { return };
        let at = match done.platform {
            Speech::Livy => 0,
            Speech::Kyuubi => 1,
            Speech::Dli => 2,
        };
        let line = format!("GET {}", voice::path(done.voice, id));
        for _ in 0..10 {
            let Ok(reply) = http::call(door.addresses[at], &line, &[], None).await else { continue };
            done.history.push((Instant::now(), format!("at the end: {line}: {}", reply.short())));
            let shown = match reply.status {
                200 => voice::shown(done.voice, &reply.body),
                404 => Some(Shown::Absent),
                _ => None,
            };
            match shown {
                Some(shown) => {
                    done.told.sights[0].push(Sight { at: Instant::now(), life, shown });
                    return;
                }
                None => sleep(KYLIN_PAUSE).await,
            }
        }
        // It was asked long enough, and has not answered for what it had acknowledged.
        done.told.sights[0].push(Sight { at: Instant::now(), life, shown: Shown::Absent });
    });
    stream::iter(looks).buffer_unordered(clients).collect::<Vec<()>>().await;
}
