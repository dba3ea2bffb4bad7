use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    dice::{Call, Dice},
    *,
};

const SHORT: Duration = Duration::from_millis(100);
const PACE: Pace = Pace {
    queued: Duration::ZERO,
    running: Duration::from_secs(600),
    stall: SHORT,
    hidden: SHORT,
    away: SHORT,
    drip: SHORT,
    retain: Duration::from_secs(600),
};

async fn platform(speech: Speech, rates: Rates) -> Platform {
    Platform::start(speech, 7, rates, PACE).await.expect("a free port")
}

/// All bytes that come back, and whether the connection ended in peace.
async fn ask(platform: &Platform, line: &str, body: &Value) -> (String, bool) {
    let Ok(mut stream) = TcpStream::connect(platform.address()).await else { return (String::new(), false) };
    let body = body.to_string();
    let request = format!("{line} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await.is_ok();
    (String::from_utf8_lossy(&bytes).into_owned(), ended)
}

fn wish(label: &str) -> Value {
    json!({"args": [label], "name": label, "conf": {"kyuubi.batch.id": "7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10"}})
}

#[tokio::test]
async fn each_product_has_its_own_word_for_the_same_submit_again() {
    for (speech, line, word, jobs) in [
        (Speech::Livy, "POST /batches", "Duplicate session name", 1),
        (Speech::Kyuubi, "POST /api/v1/batches", "kyuubi.batch.duplicated", 1),
        (Speech::Dli, "POST /v2.0/p/batches", "starting", 2),
    ] {
        let platform = platform(speech, Rates::NONE).await;
        ask(&platform, line, &wish("a")).await;
        let (again, _) = ask(&platform, line, &wish("a")).await;
        let is_said = again.contains(word) || (speech == Speech::Dli && again.contains("running"));
        assert!(is_said, "{speech:?}: {again}");
        assert_eq!(platform.jobs().len(), jobs, "{speech:?}");
        assert_eq!(platform.history("a").iter().filter(|(_, what)| what.starts_with('←')).count(), 2);
    }
}

#[tokio::test]
async fn a_livy_drops_what_it_deletes_and_counts_from_nothing_when_it_has_forgotten() {
    let platform = platform(Speech::Livy, Rates::NONE).await;
    assert!(ask(&platform, "POST /batches", &wish("a")).await.0.contains("\"id\":0"));
    assert!(ask(&platform, "DELETE /batches/0", &Value::Null).await.0.contains("deleted"));
    assert!(ask(&platform, "GET /batches/0", &Value::Null).await.0.contains("404"));
    let job = &platform.jobs()[0];
    assert_eq!((job.end().1, job.dropped.is_some()), (End::Cancelled, true), "the truth is kept");
    assert!(ask(&platform, "POST /batches", &wish("b")).await.0.contains("\"id\":1"));
    platform.shared.world().forget();
    assert!(ask(&platform, "GET /batches/1", &Value::Null).await.0.contains("404"));
    assert!(ask(&platform, "POST /batches", &wish("b")).await.0.contains("\"id\":0"));
    assert_eq!(platform.jobs().len(), 3);
    platform.add_foreign();
    assert!(ask(&platform, "GET /batches/foreign", &Value::Null).await.0.contains("\"id\":1"), "it counts like others");
}

/// Submits until each fault has come; what comes back and whether a job was made is as the fault says.
#[tokio::test]
async fn every_fault_does_what_it_says() {
    let rates = Rates { submit: 1_000, ..Rates::NONE };
    let platform = platform(Speech::Livy, rates).await;
    for number in 0..200 {
        let fault = platform.shared.dice.fault(Call::Submit, number).expect("each submit meets one");
        let label = format!("job-{number}");
        let (said, in_peace) = ask(&platform, "POST /batches", &wish(&label)).await;
        let is_made = platform.jobs().iter().any(|job| job.label == label);
        let is_whole = said.contains(&format!("\"name\":\"{label}\"")) && said.ends_with('}');
        let (wanted_made, wanted_whole) = match fault {
            Fault::ResetUnacted | Fault::StallUnacted | Fault::FailsUnacted(_) => (false, false),
            Fault::ResetActed | Fault::HiddenActed | Fault::ResetWithin | Fault::StallActed => (true, false),
            Fault::Truncated | Fault::Garbage | Fault::Html | Fault::FailsActed(_) => (true, false),
            Fault::ActsLate | Fault::Hidden | Fault::Drip | Fault::LengthAbove | Fault::LengthBelow => (true, true),
            Fault::ResetUnread | Fault::Away | Fault::Amnesia => unreachable!("these come before a submit is one"),
        };
        assert_eq!((is_made, is_whole), (wanted_made, wanted_whole), "{fault}: {said}");
        let resets = matches!(fault, Fault::ResetUnacted | Fault::ResetActed | Fault::HiddenActed | Fault::ResetWithin);
        assert_eq!(in_peace, !resets, "{fault}: {said}");
    }
    let met: Vec<Fault> = platform.faults().into_keys().collect();
    assert_eq!(met.len(), Fault::OF_SUBMITS.len(), "{met:?}");
}

#[tokio::test]
async fn a_platform_that_goes_away_comes_back_with_its_jobs() {
    let platform = platform(Speech::Livy, Rates { away: 1_000, ..Rates::NONE }).await;
    platform.calm_down();
    ask(&platform, "POST /batches", &wish("a")).await;
    // Its going away is seen by who was connected: whoever looks at its port only now and then may miss it.
    let mut connected = TcpStream::connect(platform.address()).await.expect("it listens");
    platform.shared.goes_away.notify_one();
    let cut = connected.read(&mut [0]).await;
    assert!(!matches!(cut, Ok(1..)), "it said {cut:?}");
    while TcpStream::connect(platform.address()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(ask(&platform, "GET /batches/a", &Value::Null).await.0.contains("\"id\":0"));
}

#[tokio::test]
async fn a_platform_that_loses_its_memory_counts_anew_and_its_jobs_run_on() {
    let platform = platform(Speech::Livy, Rates { away: 1_000, amnesia: 1_000, ..Rates::NONE }).await;
    platform.shared.is_calm.store(true, Ordering::SeqCst);
    ask(&platform, "POST /batches", &wish("a")).await;
    platform.shared.is_calm.store(false, Ordering::SeqCst);
    ask(&platform, "GET /batches/a", &Value::Null).await;
    platform.calm_down();
    while platform.jobs()[0].forgotten.is_none() {
        tokio::task::yield_now().await;
    }
    while TcpStream::connect(platform.address()).await.is_err() {
        tokio::task::yield_now().await;
    }
    for called in ["a", "0"] {
        let (said, _) = ask(&platform, &format!("GET /batches/{called}"), &Value::Null).await;
        assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    }
    // Nothing has ended it, and its name and its number are free.
    assert!(platform.jobs()[0].cancelled.is_none() && platform.jobs()[0].dropped.is_none());
    assert!(ask(&platform, "POST /batches", &wish("a")).await.0.contains("\"id\":0"));
    let jobs = platform.jobs();
    assert_eq!((jobs.len(), jobs[1].forgotten), (2, None));
    assert_ne!(jobs[0].app, jobs[1].app, "an application's id is never given again");
}

#[test]
fn the_same_seed_throws_the_same_and_each_kind_is_counted_by_itself() {
    let rates = Rates { unread: 100, away: 100, amnesia: 500, submit: 500, delete: 500, read: 500 };
    let thrown = |seed: u64, call: Call| {
        let dice = Dice { seed, rates };
        (0..500).map(|number| dice.fault(call, number)).collect::<Vec<_>>()
    };
    for call in [Call::Arrival, Call::Submit, Call::Delete, Call::Read] {
        assert_eq!(thrown(1, call), thrown(1, call));
        assert_ne!(thrown(1, call), thrown(2, call));
        let faults = thrown(1, call).iter().flatten().count();
        let wanted = if call == Call::Arrival { 100 } else { 250 };
        assert!(faults.abs_diff(wanted) < wanted / 3, "{call:?}: {faults}");
    }
    assert_ne!(thrown(1, Call::Delete), thrown(1, Call::Read));
}
