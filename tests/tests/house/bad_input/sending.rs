//! Sends bad requests, several at a time, and reads what comes back as a strict client does.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::calls::Bad;
use crate::recordings::decode;
use crate::wire::{self, Answer, Request};

/// What a client may be kept waiting for. The proxy is told to give up on a silent one after two seconds.
const BOUND: Duration = Duration::from_secs(20);
const AT_ONCE: usize = 32;
/// What only a program's own people can read. None of it is in what is sent.
const OF_PROGRAMS: [&str; 16] = [
    "panicked",
    "unwrap",
    "serde",
    "src/",
    ".rs:",
    "RUST_BACKTRACE",
    "stack backtrace",
    "called `",
    "hyper",
    "tokio",
    "multer",
    "httparse",
    "rusqlite",
    "batchlingua_",
    "Os {",
    "Custom {",
];

/// What came back.
#[derive(Default)]
pub(super) struct Seen {
    /// How often which; `None` is no answer.
    pub(super) statuses: BTreeMap<Option<u16>, usize>,
    /// How many batches were taken after all: damage may leave a request whole.
    pub(super) taken: usize,
    pub(super) faults: Vec<String>,
}

impl Seen {
    /// How many were refused in words.
    pub(super) fn refused(&self) -> usize {
        self.statuses.iter().filter(|(status, _)| status.is_some_and(|s| s >= 400)).map(|(_, count)| count).sum()
    }
}

/// What came of one request.
struct Answered {
    status: Option<u16>,
    /// How many batches were made: the bytes may hold several requests.
    took: usize,
}

/// An answer, taken apart.
pub(super) struct Told<'a> {
    pub(super) answer: &'a Answer,
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) json: Option<Value>,
    pub(super) is_head: bool,
    closes: bool,
}

impl<'a> Told<'a> {
    fn of(answer: &'a Answer, request: Request<'_>) -> Result<Self, String> {
        let body = decode(answer.header("content-encoding").as_deref(), &answer.body)?;
        let text = String::from_utf8(body).map_err(|_| "the body is no UTF-8".to_owned())?;
        let kind = answer.header("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default();
        let is_json = media == "application/json" || media.ends_with("+json");
        let json = is_json.then(|| serde_json::from_str(&text).ok()).flatten();
        let is_head = request.method().eq_ignore_ascii_case(b"HEAD");
        let closes = !answer.persists(&request);
        Ok(Self { answer, status: answer.status, kind, text, json, is_head, closes })
    }

    /// A member of the body.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.json.as_ref()?.get(name)
    }

    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// What the HTTP library says by itself of a head that it cannot take.
    pub(super) fn is_bare(&self) -> bool {
        self.text.is_empty() && self.kind.is_empty() && self.closes()
    }

    /// What Jetty says of a head that it cannot take.
    pub(super) fn is_bad_message(&self) -> bool {
        let page = self.text.starts_with("<h1>Bad Message ");
        page && self.kind == "text/html;charset=iso-8859-1" && self.closes()
    }

    /// An object with exactly these members, all of them texts.
    pub(super) fn is_of(&self, names: &[&str]) -> bool {
        let object = self.json.as_ref().and_then(Value::as_object);
        object.is_some_and(|object| {
            object.len() == names.len() && names.iter().all(|name| object.get(*name).is_some_and(Value::is_string))
        })
    }
}

/// How a proxy is spoken to.
pub(super) struct Party {
    pub(super) server: SocketAddr,
    /// A request that must be answered so whatever came before it.
    pub(super) good: String,
    pub(super) good_status: u16,
    /// Whether a client of the product can read the answer.
    pub(super) is_readable: Box<dyn Fn(&Told<'_>) -> bool + Sync>,
}

impl Party {
    /// All cases, several at a time.
    pub(super) fn send_all(&self, cases: &[Bad]) -> Seen {
        let (next, seen) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(bad) = cases.get(number) else { return };
                        // Half of them leave the connection open, as a client does that has more to say.
                        let outcome = self.send(bad, number % 2 == 0);
                        let outcome = outcome.and_then(|answered| self.good().map(|()| answered));
                        let mut seen = seen.lock().expect("nothing panics with it");
                        match outcome {
                            Ok(answered) => {
                                seen.taken += answered.took;
                                *seen.statuses.entry(answered.status).or_default() += 1;
                            }
                            Err(fault) => {
                                let bytes = String::from_utf8_lossy(&bad.case.writes.concat()).into_owned();
                                let shown: String = bytes.chars().take(300).collect();
                                seen.faults.push(format!("{}: {fault}\n{shown:?}\n", bad.case.name));
                            }
                        }
                    }
                });
            }
        });
        seen.into_inner().expect("all threads have ended")
    }

    pub(super) fn good(&self) -> Result<(), String> {
        match wire::exchange(self.server, Request(self.good.as_bytes()), 1)?.last() {
            Some(answer) if answer.status == self.good_status => Ok(()),
            other => Err(format!("the next good request: {other:?}")),
        }
    }

    fn send(&self, bad: &Bad, is_all: bool) -> Result<Answered, String> {
        let began = Instant::now();
        let mut stream = TcpStream::connect_timeout(&self.server, BOUND).map_err(|e| format!("no connection: {e}"))?;
        let limits = stream.set_read_timeout(Some(BOUND)).and_then(|()| stream.set_write_timeout(Some(BOUND)));
        limits.and_then(|()| stream.set_nodelay(true)).map_err(|e| e.to_string())?;
        for part in &bad.case.writes {
            // A server that has answered already may have stopped to listen.
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let sent = bad.case.writes.concat();
        let request = Request(&sent);
        // Of several requests, all have to be known that made a batch.
        let is_all = is_all || String::from_utf8_lossy(&sent).matches(" HTTP/1.").count() > 1;
        if is_all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let answers = answers(&mut stream, request, is_all)?;
        let waited = began.elapsed();
        if waited > BOUND {
            return Err(format!("it took {waited:?}"));
        }
        let Some(first) = answers.first() else {
            let silent = Answered { status: None, took: 0 };
            return if is_due(&sent) { Err("an answer was due and none came".to_owned()) } else { Ok(silent) };
        };
        self.judge(&Told::of(first, request)?, bad.told.as_deref())?;
        let took = |answer: &&Answer| {
            let batch: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            answer.status / 100 == 2 && batch.get("id").is_some()
        };
        Ok(Answered { status: Some(first.status), took: answers.iter().filter(took).count() })
    }

    fn judge(&self, told: &Told<'_>, named: Option<&str>) -> Result<(), String> {
        let shown = || format!("{} {:?} {:?}", told.status, told.kind, told.text);
        if !(self.is_readable)(told) {
            return Err(format!("no client can read this: {}", shown()));
        }
        if let Some(word) = OF_PROGRAMS.into_iter().find(|word| told.text.contains(word)) {
            return Err(format!("{word:?} is no word for a client: {}", shown()));
        }
        match named {
            Some(_) if told.status < 400 => Err(format!("it was taken: {}", shown())),
            Some(name) if !told.text.contains(name) => Err(format!("{name} is not named: {}", shown())),
            Some(_) | None => Ok(()),
        }
    }
}

/// The first answer, if there is one. If nothing more was to come, the others too, as far as they can be read, and what follows to its
/// end: they may belong to requests that only a server sees in these bytes.
fn answers(stream: &mut TcpStream, request: Request<'_>, is_all: bool) -> Result<Vec<Answer>, String> {
    let mut reader = wire::Reader::new(&*stream);
    let mut answers = Vec::new();
    loop {
        match reader.answer(request) {
            Ok(Some(answer)) if answer.status < 200 => {}
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return Ok(answers),
            Err(fault) if answers.is_empty() => return Err(fault),
            Err(_) => break,
        }
        if !is_all && !answers.is_empty() {
            return Ok(answers);
        }
    }
    drop(reader);
    match std::io::copy(stream, &mut std::io::sink()) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => Err(format!("after the answer: {e}")),
        Ok(_) | Err(_) => Ok(answers),
    }
}

/// Whether the bytes hold a whole request, or one that is wrong already in its head: a server that says nothing to it leaves its client
/// guessing.
fn is_due(bytes: &[u8]) -> bool {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    // Who begins so does not read HTTP/1.
    if bytes.starts_with(b"PRI * HTTP/2.0") {
        return false;
    }
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut head = httparse::Request::new(&mut fields);
    let rest = match head.parse(bytes) {
        Ok(httparse::Status::Partial) => return false,
        Ok(httparse::Status::Complete(length)) => &bytes[length..],
        Err(_) => return bytes.windows(4).any(|window| window == b"\r\n\r\n"),
    };
    let values = |wanted: &str| -> Vec<&[u8]> {
        head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(wanted)).map(|h| h.value).collect()
    };
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    match (&codings[..], &lengths[..]) {
        ([], []) => true,
        ([], [length]) => {
            let length = std::str::from_utf8(length).ok().and_then(|text| text.trim().parse::<usize>().ok());
            length.is_none_or(|length| rest.len() >= length)
        }
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => {
            rest.ends_with(b"\r\n0\r\n\r\n") || rest.starts_with(b"0\r\n\r\n")
        }
        _ => true,
    }
}
