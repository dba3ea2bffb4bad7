//! Clients that take their time: heads and bodies that come byte by byte or not to their end, answers that nobody reads. Each is let go
//! within the proxy's own limits, whatever it speaks; who has said what he wants is told, in his dialect's words, that he was too slow.
//!
//! The proxy's closing is the event that is waited for: a client sends its next byte only when a read has found nothing yet.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use batchlingua_testkit::mutate::{Form, Part};

use crate::client::until;
use crate::proxy::{Config, Proxy};
use crate::uploads::spooled;
use crate::wire::{Answer, Reader, Request};

/// What the proxy allows, by its configuration. Within it a client of the test has to have said all that it says at once, on a busy machine too.
const ALLOWED: Duration = Duration::from_secs(2);
/// What a client may hold a connection for at most: several such times, and a busy machine.
const BOUND: Duration = Duration::from_secs(30);
/// Between two bytes of a slow client.
const PAUSE: Duration = Duration::from_millis(20);

/// A slow client.
struct Slow {
    name: String,
    /// Sent at once.
    first: Vec<u8>,
    /// Sent byte by byte, again and again.
    then: Vec<u8>,
    /// Whether it has said enough to be answered.
    told: bool,
}

/// A call with a body, in each dialect.
const CALLS: [(&str, &str); 4] = [
    ("livy", "POST /batches"),
    ("kyuubi", "POST /api/v1/batches"),
    ("dli", "POST /v2.0/p/batches"),
    ("kylin", "PUT /kylin/api/jobs/status"),
];

fn clients() -> Vec<Slow> {
    let slow = |name: &str, first: &[u8], then: &[u8], told: bool| Slow {
        name: name.to_owned(),
        first: first.to_vec(),
        then: then.to_vec(),
        told,
    };
    let mut all = vec![
        slow("says nothing", b"", b"", false),
        slow("sends line ends", b"", b"\r\n", false),
        slow("a first line without end", b"GET /", b"a", false),
        slow("half a head", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"", false),
        slow("a head without end", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n", false),
        slow("a header without end", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"y", false),
    ];
    for (dialect, call) in CALLS {
        let head = |framing: &str| {
            format!("{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n")
                .into_bytes()
        };
        let named = |what: &str| format!("{dialect}: {what}");
        let chunks = "Transfer-Encoding: chunked";
        let length = "Content-Length: 100000";
        all.extend([
            slow(&named("no body"), &head(length), b"", true),
            slow(&named("half a body"), &[&head(length)[..], b"{\"file\":"].concat(), b"", true),
            slow(&named("a body byte by byte"), &head(length), b" ", true),
            slow(&named("no chunk"), &head(chunks), b"", true),
            slow(&named("a chunk's size without end"), &[&head(chunks)[..], b"1"].concat(), b"", true),
            slow(&named("half a chunk"), &[&head(chunks)[..], b"64\r\n{"].concat(), b"", true),
            slow(&named("a chunk byte by byte"), &[&head(chunks)[..], b"ffff\r\n"].concat(), b" ", true),
            slow(&named("chunks of one byte"), &head(chunks), b"1\r\n \r\n", true),
            slow(&named("a chunk's extension without end"), &[&head(chunks)[..], b"1;"].concat(), b"x", true),
            slow(&named("trailers without end"), &[&head(chunks)[..], b"2\r\n{}\r\n0\r\n"].concat(), b"X: y\r\n", true),
            slow(&named("waits to be told to go on"), &head(&format!("{length}\r\nExpect: 100-continue")), b"", true),
            slow(&named("a second head"), &[&head("Content-Length: 2")[..], b"{}GET / HT"].concat(), b"", true),
        ]);
    }
    all.extend(uploads());
    all
}

/// A form that stops or slows down in each of its parts.
fn uploads() -> Vec<Slow> {
    let form = Form::new([
        Part::file("resourceFile", "a.py", "print('a')"),
        Part::value("batchRequest", "{\"batchType\":\"PYSPARK\",\"resource\":\"x\"}")
            .with("Content-Type: application/json"),
    ]);
    let body = form.body();
    let head = [
        b"POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\nContent-Type: ".as_slice(),
        &form.content_type(),
        b"\r\n\r\n",
    ]
    .concat();
    let at = |text: &[u8]| body.windows(text.len()).position(|window| window == text).expect("the form has it") + 1;
    let places: [(&str, usize); 6] = [
        ("no boundary", 0),
        ("half a boundary", 5),
        ("half a part's head", at(b"filename")),
        ("half a file", at(b"print")),
        ("half of its JSON", at(b"PYSPARK")),
        ("no end", form.without_end().len()),
    ];
    let mut all = Vec::new();
    for (what, end) in places {
        for (how, then) in [("silence", b"".as_slice()), ("byte by byte", b"x")] {
            let first = [&head[..], &body[..end]].concat();
            all.push(Slow { name: format!("upload: {what}, then {how}"), first, then: then.to_vec(), told: true });
        }
    }
    all
}

#[test]
fn a_client_that_takes_its_time_is_let_go() {
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    let uploads = folder.path().join("uploads");
    let mut config = Config::local(folder.path());
    config.dialects = vec!["livy", "kyuubi", "dli", "kylin"];
    let ms = ALLOWED.as_millis();
    config.more = format!(
        "spark = false\n[limits]\nheader_read_timeout = \"{ms}ms\"\nbody_read_timeout = \"{ms}ms\"\n\
         idle_timeout = \"{ms}ms\"\nwrite_timeout = \"{ms}ms\"\nupload_dir = {:?}\n",
        uploads.display().to_string()
    );
    let proxy = Proxy::start(config);
    let clients = clients();
    // All at the same time: each is mostly waiting.
    let faults: Vec<String> = thread::scope(|scope| {
        let tried = clients.iter().map(|client| (client, scope.spawn(|| dribble(proxy.address(), client))));
        let tried: Vec<_> = tried.collect();
        let joined = tried.into_iter().map(|(client, thread)| (client, thread.join().expect("no client panics")));
        joined.filter_map(|(client, outcome)| outcome.err().map(|fault| format!("{}: {fault}", client.name))).collect()
    });
    println!("slow: {} clients", clients.len());
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), clients.len(), faults.join("\n"));
    until("uploaded files to go with their clients", || spooled(&uploads) == 0);
    assert_eq!(proxy.client().list().len(), 0, "nothing was run");
    let said = proxy.stderr();
    assert!(!said.contains("panicked") && !said.contains(" ERROR "), "{said}");
}

/// Sends as slowly as the client does, until the proxy has had enough.
fn dribble(server: SocketAddr, client: &Slow) -> Result<(), String> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server).map_err(|e| format!("no connection: {e}"))?;
    stream.set_read_timeout(Some(PAUSE)).and_then(|()| stream.set_nodelay(true)).map_err(|e| e.to_string())?;
    stream.write_all(&client.first).map_err(|e| format!("it does not listen: {e}"))?;
    let (mut received, mut rest) = (Vec::new(), client.then.iter().cycle());
    let mut listens = true;
    loop {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => received.extend_from_slice(&chunk[..n]),
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if let Some(byte) = rest.next().filter(|_| listens) {
                    // A proxy that has answered may have stopped to listen; its end is still to come.
                    listens = stream.write_all(&[*byte]).is_ok();
                }
            }
            Err(e) => return Err(format!("reading failed: {e}")),
        }
        if began.elapsed() > BOUND {
            let said = String::from_utf8_lossy(&received);
            return Err(format!("the connection is still open after {BOUND:?}; it said {said:?}"));
        }
    }
    let answers = answers(&received, &client.first)?;
    match (client.told, &answers[..]) {
        (false, []) => Ok(()),
        (true, [only]) if (400..=500).contains(&only.status) && !only.body.is_empty() => Ok(()),
        _ => Err(format!("it was told {answers:?}")),
    }
}

/// All final answers in these bytes.
fn answers(bytes: &[u8], request: &[u8]) -> Result<Vec<Answer>, String> {
    let mut reader = Reader::new(bytes);
    let mut answers = Vec::new();
    while let Some(answer) = reader.answer(Request(request))? {
        if answer.status >= 200 {
            answers.push(answer);
        }
    }
    Ok(answers)
}

/// Requests without end and no look at their answers, which are large ones: once nothing more fits in between, the connection is closed.
#[test]
fn a_client_that_reads_no_answer_is_let_go() {
    let folder = tempfile::tempdir().expect("a folder for the proxy");
    let mut config = Config::local(folder.path());
    config.dialects = vec!["kyuubi"];
    config.more = format!("spark = false\n[limits]\nwrite_timeout = \"{}ms\"\n", ALLOWED.as_millis());
    let proxy = Proxy::start(config);
    let before = proxy.resident();
    let mut stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
    stream.set_write_timeout(Some(BOUND)).expect("a time is set");
    // The answer repeats the id.
    let request = format!("GET /api/v1/batches/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(60_000));
    let began = Instant::now();
    // What ends this is the proxy's closing: a write into it fails. One that only waits fails by its own time.
    let why = loop {
        if let Err(e) = stream.write_all(request.as_bytes()) {
            break e;
        }
        assert!(began.elapsed() < BOUND, "the proxy reads on and on");
    };
    let closed = matches!(why.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
    assert!(closed, "the proxy has not closed the connection: {why}");
    let after = proxy.resident();
    assert!(after < before + (16 << 10), "{before} kB before, {after} kB after");
    let (status, version) = proxy.client().ask("GET /api/v1/version");
    assert_eq!((status, version["version"].is_string()), (200, true));
}
