//! What no client should send, as bytes on a socket: every recorded request that Livy refused, and many more made from these by damage.
//!
//! Whatever comes, the answer is one that Livy's clients know how to read (`envelope`), or none if there was nothing whole to answer; the proxy
//! does not panic, does not let the client wait, holds no more memory than before, runs nothing, and serves the next good request. The
//! damage is seeded: the seed is printed, and `BATCHLINGUA_SEED` repeats a run.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use batchlingua_testkit::mutate::{self, Case};
use serde_json::Value;

use crate::proxy::{Config, Proxy};
use crate::recordings::{self, decode};
use crate::wire::{self, Answer, Request};

/// Always the same, so that a fault that it once found stays found.
const FIXED_SEED: u64 = 1;
const OF_FIXED_SEED: usize = 600;
const OF_FRESH_SEED: usize = 400;
/// What a client may be kept waiting for. The proxy is told to give up on a silent one after a second.
const BOUND: Duration = Duration::from_secs(10);
/// What the proxy may hold afterwards beyond what it held before, in kilobytes.
const GROWTH: u64 = 64 << 10;
const AT_ONCE: usize = 16;

#[test]
fn whatever_comes_is_answered_as_by_livy_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(folder.path());
    // No folder is allowed and nothing is fetched without Spark: no batch can be taken.
    config.more =
        "spark = false\n[limits]\nheader_read_timeout = \"1s\"\nbody_read_timeout = \"1s\"\nidle_timeout = \"1s\"\n"
            .into();
    let proxy = Proxy::start(config);

    let recorded = recordings::refused();
    let requests: Vec<Vec<u8>> = recorded.iter().map(|(_, request)| request.clone()).collect();
    assert!(requests.len() > 150, "{} recorded requests were refused", requests.len());
    let fresh_seed = fresh_seed();
    println!("bad input: BATCHLINGUA_SEED={fresh_seed}");
    let as_recorded = recorded.into_iter().map(|(name, request)| Case { name, writes: vec![request] });
    let made = |seed: u64, n: usize| {
        let named = move |case: Case| Case { name: format!("seed {seed}, {}", case.name), ..case };
        mutate::cases(seed, &requests, n).into_iter().map(named)
    };
    let cases: Vec<Case> =
        as_recorded.chain(made(FIXED_SEED, OF_FIXED_SEED)).chain(made(fresh_seed, OF_FRESH_SEED)).collect();

    // Once round first, so that what is made once is there.
    good(proxy.address()).expect("the proxy serves");
    let before = proxy.resident();
    let Seen { statuses, faults } = send_all(proxy.address(), &cases);
    let after = proxy.resident();
    println!("bad input: {} cases, answered {statuses:?}; {before} kB before, {after} kB after", cases.len());
    assert!(faults.is_empty(), "{} of {} cases\n{}", faults.len(), cases.len(), faults.join("\n"));
    let unanswered = statuses.get(&None).copied().unwrap_or_default();
    assert!(unanswered * 4 < cases.len(), "most of them are whole enough to be answered");
    assert!(after < before + GROWTH, "{before} kB before, {after} kB after");
    let said = proxy.stderr();
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
    assert_eq!(proxy.client().list(), Vec::<Value>::new(), "nothing was run");
}

fn fresh_seed() -> u64 {
    let given = std::env::var("BATCHLINGUA_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    })
}

/// What came back.
#[derive(Default)]
struct Seen {
    /// How often which; `None` is no answer.
    statuses: BTreeMap<Option<u16>, usize>,
    faults: Vec<String>,
}

/// All cases, several at a time.
fn send_all(server: SocketAddr, cases: &[Case]) -> Seen {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { return };
                    // Half of them leave the connection open, as a client does that has more to say.
                    let outcome = send(server, case, number % 2 == 0);
                    let outcome = outcome.and_then(|status| good(server).map(|()| status));
                    let mut seen = seen.lock().expect("nothing panics with it");
                    match outcome {
                        Ok(status) => *seen.statuses.entry(status).or_default() += 1,
                        Err(fault) => {
                            let bytes = String::from_utf8_lossy(&case.writes.concat()).into_owned();
                            let shown: String = bytes.chars().take(600).collect();
                            seen.faults.push(format!("{}: {fault}\n{shown:?}\n", case.name));
                        }
                    }
                }
            });
        }
    });
    seen.into_inner().expect("all threads have ended")
}

/// A request that must be served whatever came before it.
fn good(server: SocketAddr) -> Result<(), String> {
    let request = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    match wire::exchange(server, Request(request), 1)?.last() {
        Some(answer) if answer.status == 200 => Ok(()),
        other => Err(format!("the next good request: {other:?}")),
    }
}

/// The status of the answer, if there was one.
fn send(server: SocketAddr, case: &Case, is_all: bool) -> Result<Option<u16>, String> {
    let began = Instant::now();
    let mut stream = TcpStream::connect_timeout(&server, BOUND).map_err(|e| format!("no connection: {e}"))?;
    let limits = stream.set_read_timeout(Some(BOUND)).and_then(|()| stream.set_write_timeout(Some(BOUND)));
    limits.and_then(|()| stream.set_nodelay(true)).map_err(|e| e.to_string())?;
    for part in &case.writes {
        // A server that has answered already may have stopped to listen.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    if is_all {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let sent = case.writes.concat();
    let request = Request(&sent);
    let answer = first_answer(&mut stream, request, is_all)?;
    let waited = began.elapsed();
    if waited > BOUND {
        return Err(format!("it took {waited:?}"));
    }
    answer.as_ref().map_or(Ok(()), |answer| envelope(answer, request))?;
    Ok(answer.map(|answer| answer.status))
}

/// The first answer, if there is one: what follows may belong to requests that only a server sees in these bytes. If nothing more was to
/// come, the rest is read to its end.
fn first_answer(stream: &mut TcpStream, request: Request<'_>, is_all: bool) -> Result<Option<Answer>, String> {
    let mut reader = wire::Reader::new(&*stream);
    loop {
        match reader.answer(request)? {
            Some(answer) if answer.status < 200 => {}
            None => return Ok(None),
            Some(answer) if is_all => {
                drop(reader);
                return match std::io::copy(stream, &mut std::io::sink()) {
                    Err(e) if e.kind() != ErrorKind::ConnectionReset => Err(format!("after the answer: {e}")),
                    Ok(_) | Err(_) => Ok(Some(answer)),
                };
            }
            Some(answer) => return Ok(Some(answer)),
        }
    }
}

/// Whether a client of Livy can read the answer: the reference's table of errors, and ours that it does not have (403, 413).
fn envelope(answer: &Answer, request: Request<'_>) -> Result<(), String> {
    let body = decode(answer.header("content-encoding").as_deref(), &answer.body)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let kind = answer.header("content-type").unwrap_or_default();
    let json: Option<Value> =
        (kind == "application/json;charset=utf-8").then(|| serde_json::from_str(&text).ok()).flatten();
    let is_head = request.method().eq_ignore_ascii_case(b"HEAD");
    let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let empty = text.is_empty();
    let msg =
        json.as_ref().is_some_and(|json| json["msg"].is_string() && json.as_object().is_some_and(|o| o.len() == 1));
    let words = json.as_ref().is_some_and(Value::is_string);
    let page = kind == "text/html;charset=iso-8859-1" && text.starts_with("<h1>Bad Message ") && closes;
    // What the HTTP library says by itself.
    let bare = empty && kind.is_empty() && closes;
    let exception = |text: &str| text.starts_with("java.") || text.starts_with("org.");
    let fits = match answer.status {
        200 => is_head || json.is_some_and(|json| json.is_object()) || kind == "text/html;charset=utf-8",
        302 => answer.header("location").is_some() && empty,
        _ if is_head => true,
        400 => msg || words || page || bare,
        403 | 406 | 413 => msg,
        404 => msg || empty || text == "File not found",
        405 => empty && answer.header("allow").is_some(),
        417 => page,
        414 | 431 => bare,
        500 => json.as_ref().and_then(Value::as_str).is_some_and(exception) || exception(&text),
        _ => false,
    };
    if fits { Ok(()) } else { Err(format!("{} {kind:?} {text:?}", answer.status)) }
}
