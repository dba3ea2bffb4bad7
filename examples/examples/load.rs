//! Load on a running proxy's Livy front: what polls cost in memory, and whether many submits at once run once each.
//!
//! It starts the binary that it is given on free ports with a ledger and jobs of its own, so that nothing else is measured:
//!
//! ```sh
//! cargo build --release && cargo run --release -p batchlingua-examples --example load -- target/release/batchlingua
//! ```
//!
//! Memory is compared within one run, after the first and after the last polls, so that the machine does not matter; the exit code says
//! whether the growth is within its bound and every job ran once. Rates are printed to be set beside others of the same run.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use batchlingua_examples::{
    Result,
    client::{Client, number_after},
    process::Proxy,
};

const FIRST: usize = 10_000;
const ALL: usize = 100_000;
const CLIENTS: usize = 8;
const SUBMITS: usize = 60;
const GROWTH_KIB: u64 = 2 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let binary = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/release/batchlingua"), PathBuf::from);
    let dir = tempfile::tempdir()?;
    let proxy = Proxy::start(&binary, dir.path(), &config(dir.path()))?;

    let once = submits(&proxy, dir.path())?;
    println!(
        "{SUBMITS} submits at once: {} ran, {} of them once",
        once.len(),
        once.values().filter(|runs| **runs == 1).count()
    );

    let began = Instant::now();
    polls(&proxy, FIRST)?;
    let first = proxy.process.resident_kib()?;
    polls(&proxy, ALL - FIRST)?;
    let last = proxy.process.resident_kib()?;
    let rate = ALL as f64 / began.elapsed().as_secs_f64();
    let growth = last.saturating_sub(first);
    println!(
        "{ALL} polls by {CLIENTS} clients: {rate:.0} a second; resident {first} KiB after {FIRST}, {last} KiB after all: +{growth} KiB"
    );

    let ran_once = once.len() == SUBMITS && once.values().all(|runs| *runs == 1);
    if !ran_once {
        return Err("some submit did not run exactly once".into());
    }
    if growth > GROWTH_KIB {
        return Err(format!("memory grew by {growth} KiB, more than {GROWTH_KIB} KiB").into());
    }
    Ok(())
}

/// A ledger and jobs in this folder.
fn config(dir: &Path) -> String {
    format!(
        "[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\ndialects = [\"livy\"]\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [ledger]\nurl = \"sqlite://{dir}/ledger.db\"\n[backend.here]\nkind = \"local\"\ndir = \"{dir}/jobs\"\nallow_dirs = [\"{dir}\"]\n\
         spark = false\nconcurrency = 4\n[log]\nlevel = \"warn\"\n",
        dir = dir.display()
    )
}

/// Many clients submit at once, each a job that writes its own line; how often each ran.
fn submits(proxy: &Proxy, dir: &Path) -> Result<HashMap<String, usize>> {
    let script = dir.join("line.sh");
    fs::write(&script, "#!/bin/sh\necho \"$1\" >> \"$2\"\n")?;
    let mut mode = fs::metadata(&script)?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    fs::set_permissions(&script, mode)?;
    let lines = dir.join("lines");
    let began = Instant::now();
    let workers: Vec<_> = (0..SUBMITS)
        .map(|n| {
            let body = format!("{{\"file\":{:?},\"args\":[\"job-{n}\",{:?}],\"name\":\"load {n}\"}}", script, lines);
            let address = proxy.address.clone();
            thread::spawn(move || -> Result<u64> {
                let (status, answer) = Client::connect(&address)?.call("POST", "/batches", &body)?;
                if status != 201 {
                    return Err(format!("a submit was answered {status}: {answer}").into());
                }
                number_after(&answer, "\"id\":").ok_or_else(|| format!("no id in {answer}").into())
            })
        })
        .collect();
    let ids = workers
        .into_iter()
        .map(|worker| worker.join().expect("a client does not panic"))
        .collect::<Result<Vec<_>>>()?;
    println!("{SUBMITS} submits at once: answered in {} ms", began.elapsed().as_millis());
    let mut client = Client::connect(&proxy.address)?;
    for id in ids {
        let deadline = Instant::now() + PATIENCE;
        while !client.call("GET", &format!("/batches/{id}/state"), "")?.1.contains("success") {
            if Instant::now() > deadline {
                return Err(format!("batch {id} did not end in time").into());
            }
            thread::yield_now();
        }
    }
    let mut runs = HashMap::new();
    for line in fs::read_to_string(&lines)?.lines() {
        *runs.entry(line.to_owned()).or_default() += 1;
    }
    Ok(runs)
}

/// State, batch, list and log in turn, by several clients on connections that are kept.
fn polls(proxy: &Proxy, count: usize) -> Result<()> {
    let paths = ["/batches/1/state", "/batches/2", "/batches?size=20", "/batches/3/log?size=10"];
    let workers: Vec<_> = (0..CLIENTS)
        .map(|worker| {
            let address = proxy.address.clone();
            thread::spawn(move || -> Result<()> {
                let mut client = Client::connect(&address)?;
                for n in (worker..count).step_by(CLIENTS) {
                    let (status, answer) = client.call("GET", paths[(n / CLIENTS) % paths.len()], "")?;
                    if status != 200 {
                        return Err(format!("a poll was answered {status}: {answer}").into());
                    }
                }
                Ok(())
            })
        })
        .collect();
    workers.into_iter().try_for_each(|worker| worker.join().expect("a client does not panic"))
}
