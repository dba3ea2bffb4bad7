//! Ten thousand who poll: how often the platform is asked, and what a poll costs.
//!
//! A thousand batches, each asked for ten times a second by clients of Livy; the platform's list shows all of them. What is counted are calls, which
//! are the same on a slow machine, as long as it keeps up with the polls.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use batchlingua_examples::{Result, client::Client, process::Proxy};

use crate::{DLI_SETTINGS, LIVY, Origin, config, id_of, origin::Kind};

const BATCHES: usize = 1_000;
const CLIENTS: usize = 10;
const ROUND: Duration = Duration::from_millis(100);
/// Before this is over every batch has been asked for, and the first list read.
const WARM_UP: Duration = Duration::from_secs(2);
const SPAN: Duration = Duration::from_secs(10);

/// A platform, its settings, and how many calls its list of all batches takes.
const PLATFORMS: [(Kind, &str, &str, u64); 3] =
    [(Kind::Livy, "livy", "", 1), (Kind::Kyuubi, "kyuubi", "", 1), (Kind::Dli, "dli", DLI_SETTINGS, 10)];

pub(crate) fn measure(binary: &Path, faults: &mut Vec<String>) -> Result<()> {
    for (kind, name, settings, pages) in PLATFORMS {
        let dir = tempfile::tempdir()?;
        let origin = Origin::start(kind, 100, BATCHES)?;
        let proxy = Proxy::start(binary, dir.path(), &config(dir.path(), name, &origin.address, settings))?;
        let (path, body) = LIVY.submit.ok_or("a Livy takes batches")?;
        let mut client = Client::connect(&proxy.address)?;
        let mut paths = Vec::new();
        for _ in 0..BATCHES {
            let (status, answer) = client.call("POST", path, body)?;
            let id = id_of(&answer).ok_or_else(|| format!("a submit was answered {status}: {answer}"))?;
            paths.push(format!("/batches/{id}/state"));
        }
        poll(&proxy.address, &paths, WARM_UP)?;
        let (asked, spent, began) = (origin.asked(), proxy.process.processor_seconds()?, Instant::now());
        let polls = poll(&proxy.address, &paths, SPAN)?;
        let seconds = began.elapsed().as_secs_f64();
        let calls = (origin.asked() - asked) as f64 / seconds;
        let cost = (proxy.process.processor_seconds()? - spent) * 1e6 / polls as f64;
        let each = polls as f64 / seconds;
        println!("{BATCHES} batches over {name}, {each:.0} polls/s: {calls:.1} calls/s there, {cost:.1} µs a poll");
        // A call more in the whole span: where it begins and ends is not where a second does, and every ten seconds all is looked through anyway.
        let bound = pages as f64 * (1.0 + 1.0 / SPAN.as_secs_f64()) + 0.2;
        if calls > bound {
            faults.push(format!("watching over {name}: {calls:.1} calls/s > {bound:.1}"));
        }
    }
    Ok(())
}

/// How many polls there were.
fn poll(address: &str, paths: &[String], span: Duration) -> Result<u64> {
    let end = Instant::now() + span;
    thread::scope(|scope| {
        let client = |paths: &[String]| -> Result<u64> {
            let mut client = Client::connect(address)?;
            let (mut polls, mut next) = (0, Instant::now());
            while next < end {
                for path in paths {
                    let (status, answer) = client.call("GET", path, "")?;
                    if status != 200 {
                        return Err(format!("{path} was answered {status}: {answer}").into());
                    }
                    polls += 1;
                }
                next += ROUND;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(polls)
        };
        let clients: Vec<_> = paths.chunks(BATCHES / CLIENTS).map(|paths| scope.spawn(move || client(paths))).collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum()
    })
}
