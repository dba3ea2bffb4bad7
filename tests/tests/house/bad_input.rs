//! What no client should send, as bytes on a socket, to each dialect: every way in which a part of a call can be wrong (`calls`), every
//! recorded request that the product refused, and many more made from all of these by damage.
//!
//! Whatever comes, it is answered if a whole request can be seen in it, in words that the dialect's clients know how to read
//! (`is_readable`) and with a status that the product has for it; the proxy does not panic, does not let the client wait, holds no more
//! memory than before, runs nothing, keeps no file, and serves the next good request. The damage is seeded: the seed is printed, and
//! `BATCHLINGUA_SEED` repeats a run.

mod calls;
mod dli;
mod kylin;
mod kyuubi;
mod livy;
mod sending;
mod tables;

use std::time::{SystemTime, UNIX_EPOCH};

use batchlingua_testkit::mutate::{self, Case};
use serde_json::Value;

use crate::client::until;
use crate::proxy::{Config, Proxy};
use crate::recordings;
use crate::uploads::spooled;
use crate::wire::{self, Request};
use calls::{Bad, Call};
use sending::{Party, Told};

/// Always the same, so that a fault that it once found stays found.
const FIXED_SEED: u64 = 1;
const OF_FIXED_SEED: usize = 600;
const OF_FRESH_SEED: usize = 400;
/// What the proxy may hold afterwards beyond what it held before, in kilobytes.
const GROWTH: u64 = 64 << 10;
/// Who says nothing is given up soon.
const QUICK: &str = "header_read_timeout = \"2s\"\nbody_read_timeout = \"2s\"\nidle_timeout = \"2s\"\n";
/// How many of them have to be refused in words.
const REFUSED: usize = 300;

/// A dialect, and how it is tried.
struct Tried {
    dialect: &'static str,
    calls: Vec<Call>,
    /// Further requests that the product refused, by name.
    recorded: Vec<(String, Vec<u8>)>,
    /// Further requests to make others from.
    seeds: Vec<Vec<u8>>,
    /// Served whatever came before.
    good: &'static str,
    /// A list of all batches, and where it has them.
    list: &'static str,
    listed: &'static str,
    is_readable: fn(&Told<'_>) -> bool,
}

#[test]
fn livy_answers_whatever_comes_in_its_own_words() {
    let recorded = recordings::refused("livy");
    assert!(recorded.len() > 150, "{} recorded requests were refused", recorded.len());
    try_all(Tried {
        dialect: "livy",
        calls: livy::calls(),
        recorded,
        seeds: Vec::new(),
        good: "/version",
        list: "/batches?size=10000",
        listed: "/sessions",
        is_readable: livy::is_readable,
    });
}

#[test]
fn kyuubi_answers_whatever_comes_in_its_own_words() {
    let recorded = recordings::refused("kyuubi");
    assert!(recorded.len() > 150, "{} recorded requests were refused", recorded.len());
    try_all(Tried {
        dialect: "kyuubi",
        calls: kyuubi::calls(),
        recorded,
        // Several times: a form is what most can go wrong with.
        seeds: vec![kyuubi::upload(); 40],
        good: "/api/v1/ping",
        list: "/api/v1/batches?size=10000",
        listed: "/batches",
        is_readable: kyuubi::is_readable,
    });
}

#[test]
fn dli_answers_whatever_comes_in_its_own_words() {
    try_all(Tried {
        dialect: "dli",
        calls: dli::calls(),
        recorded: Vec::new(),
        seeds: Vec::new(),
        good: "/v2.0/p/batches",
        list: "/v2.0/p/batches?size=1000",
        listed: "/sessions",
        is_readable: dli::is_readable,
    });
}

#[test]
fn kylin_answers_whatever_comes_in_its_own_words() {
    try_all(Tried {
        dialect: "kylin",
        calls: kylin::calls(),
        recorded: Vec::new(),
        seeds: Vec::new(),
        good: "/kylin/api/jobs?time_filter=4",
        list: "/kylin/api/jobs?time_filter=4&page_size=1000",
        listed: "/data/value",
        is_readable: kylin::is_readable,
    });
}

fn try_all(tried: Tried) {
    let dialect = tried.dialect;
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(folder.path());
    config.dialects = vec![dialect];
    let uploads = folder.path().join("uploads");
    // No folder is allowed and nothing is fetched without Spark: no batch can be taken but by an upload.
    config.more = format!(
        "spark = false\npython = \"/bin/true\"\n[limits]\nupload_dir = {:?}\n{QUICK}",
        uploads.display().to_string()
    );
    let proxy = Proxy::start(config);
    let good = format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", tried.good);
    let party = Party { server: proxy.address(), good, good_status: 200, is_readable: Box::new(tried.is_readable) };
    let cases = cases(&tried);

    // Once round first, so that what is made once is there.
    party.good().expect("the proxy serves");
    let before = proxy.resident();
    let seen = party.send_all(&cases);
    let after = proxy.resident();
    let (statuses, refused, taken) = (&seen.statuses, seen.refused(), seen.taken);
    println!(
        "bad input, {dialect}: {} cases, {refused} refused, {taken} taken, answered {statuses:?}; {before} kB before, \
         {after} kB after",
        cases.len()
    );
    assert!(seen.faults.is_empty(), "{} of {} cases\n{}", seen.faults.len(), cases.len(), seen.faults.join("\n"));
    assert!(refused >= REFUSED, "{refused} were refused");
    let unanswered = statuses.get(&None).copied().unwrap_or_default();
    assert!(unanswered * 4 < cases.len(), "most of them are whole enough to be answered");
    assert!(after < before + GROWTH, "{before} kB before, {after} kB after");
    let said = proxy.stderr();
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
    let list = list(&proxy, tried.list);
    let listed = list.pointer(tried.listed).and_then(Value::as_array).expect("a list");
    assert_eq!(listed.len(), taken, "what was refused is not there");
    assert!(taken == 0 || !tried.seeds.is_empty(), "without a file nothing can be taken");
    until("uploaded files to go with their jobs", || spooled(&uploads) == 0);
}

/// On a listener that speaks everything, too; only what no dialect's path can be seen in is answered in words that are nobody's.
#[test]
fn side_by_side_each_dialect_keeps_to_its_own_words() {
    type Readable = fn(&Told<'_>) -> bool;
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(folder.path());
    config.dialects = vec!["livy", "kyuubi", "dli", "kylin"];
    config.more = format!("spark = false\n[limits]\n{QUICK}");
    let proxy = Proxy::start(config);
    for (dialect, calls, own) in [
        ("livy", livy::calls(), livy::is_readable as Readable),
        ("kyuubi", kyuubi::calls(), kyuubi::is_readable),
        ("dli", dli::calls(), dli::is_readable),
        ("kylin", kylin::calls(), kylin::is_readable),
    ] {
        let nobodys = |told: &Told<'_>| {
            let message = told.is_head || told.is_of(&["message"]);
            let page = told.status == 200 && told.kind.starts_with("text/html");
            page || message && matches!(told.status, 400 | 403 | 404 | 405 | 417)
        };
        let party = Party {
            server: proxy.address(),
            good: "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(),
            good_status: 200,
            is_readable: Box::new(move |told| own(told) || nobodys(told)),
        };
        let cases: Vec<Bad> = calls.iter().flat_map(Call::wrong).step_by(5).collect();
        let seen = party.send_all(&cases);
        println!("side by side, {dialect}: {} cases, answered {:?}", cases.len(), seen.statuses);
        assert!(seen.faults.is_empty(), "{} of {} cases\n{}", seen.faults.len(), cases.len(), seen.faults.join("\n"));
        assert_eq!(seen.taken, 0, "{dialect}");
    }
    assert_eq!(proxy.client().list(), Vec::<Value>::new(), "nothing was run");
    let said = proxy.stderr();
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
}

/// Where everybody has to prove who he is, nobody is told more than that, whatever is asked and however; nor is any body read.
#[test]
fn a_stranger_learns_nothing() {
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    for (dialect, calls, good) in [
        ("livy", livy::calls(), "/version"),
        ("kyuubi", kyuubi::calls(), "/api/v1/ping"),
        ("dli", dli::calls(), "/v2.0/p/batches"),
        ("kylin", kylin::calls(), "/kylin/api/jobs?time_filter=4"),
    ] {
        let mut config = Config::local(&folder.path().join(dialect));
        config.dialects = vec![dialect];
        let token = "[auth]\n[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"ana\"\n";
        config.more = format!("spark = false\n[limits]\n{QUICK}{token}");
        let proxy = Proxy::start(config);
        let good = format!("GET {good} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let party = Party { server: proxy.address(), good, good_status: 401, is_readable: Box::new(says_nothing) };
        // One in three: who is not known is refused before most of it is looked at.
        let wrong = calls.iter().flat_map(Call::wrong_head).step_by(3);
        let whole = calls
            .iter()
            .map(|call| Bad { case: Case { name: call.name.into(), writes: vec![call.good()] }, told: None });
        let cases: Vec<Bad> = wrong.chain(whole).collect();
        let seen = party.send_all(&cases);
        println!("strangers, {dialect}: {} cases, answered {:?}", cases.len(), seen.statuses);
        assert!(seen.faults.is_empty(), "{} of {} cases\n{}", seen.faults.len(), cases.len(), seen.faults.join("\n"));
        for head in calls.iter().filter_map(Call::head_alone) {
            let answers = wire::exchange(proxy.address(), Request(&head), 1).expect("the body is not waited for");
            assert_eq!(answers[0].status, 401, "{dialect}");
        }
        let said = proxy.stderr();
        assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
    }
}

/// That he is unknown, or that what he has sent is no HTTP.
fn says_nothing(told: &Told<'_>) -> bool {
    match told.status {
        401 | 403 => true,
        400 => told.closes() || ["Bad Request", "APIGW.0106"].iter().any(|said| told.text.contains(said)),
        417 => true,
        414 | 431 => told.closes(),
        // Kyuubi's word for a password that is not even Base64.
        500 => told.is_head || told.text.is_empty() || told.text.contains("Illegal base64 character"),
        _ => false,
    }
}

/// Every wrong call, the recorded ones, and what damage makes of all good and all recorded ones.
fn cases(tried: &Tried) -> Vec<Bad> {
    let mut requests: Vec<Vec<u8>> = tried.recorded.iter().map(|(_, request)| request.clone()).collect();
    requests.extend(tried.calls.iter().map(Call::good));
    requests.extend(tried.seeds.iter().cloned());
    let fresh_seed = fresh_seed();
    println!("bad input, {}: BATCHLINGUA_SEED={fresh_seed}", tried.dialect);
    let plain = |name: String, writes| Bad { case: Case { name, writes }, told: None };
    let recorded = tried.recorded.iter().map(|(name, request)| plain(name.clone(), vec![request.clone()]));
    let made = |seed: u64, n: usize| {
        let named = move |case: Case| plain(format!("seed {seed}, {}", case.name), case.writes);
        mutate::cases(seed, &requests, n).into_iter().map(named)
    };
    let wrong = tried.calls.iter().flat_map(Call::wrong);
    wrong.chain(recorded).chain(made(FIXED_SEED, OF_FIXED_SEED)).chain(made(fresh_seed, OF_FRESH_SEED)).collect()
}

fn fresh_seed() -> u64 {
    let given = std::env::var("BATCHLINGUA_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    })
}

fn list(proxy: &Proxy, path: &str) -> Value {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answers = wire::exchange(proxy.address(), Request(request.as_bytes()), 1).expect("the list is answered");
    serde_json::from_slice(&answers.last().expect("an answer").body).expect("a list is JSON")
}
