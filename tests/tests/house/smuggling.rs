//! Bytes in which two readers may see different requests: the shapes by which a request is smuggled past a proxy that stands in front.
//!
//! Each shape carries a second request that would cancel a running job, in a place where only a reader that breaks HTTP's rules takes it for
//! a request. Whatever the shape, one request is seen or none (the proxy counts them itself), one answer comes, the job runs on, and where
//! it cannot be known any more where the next request begins, the connection is closed. That the second request would do its harm, and that
//! the count would show it, is shown at the end by sending it openly.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::Client;
use crate::jobs::{Gate, Jobs};
use crate::proxy::Proxy;
use crate::wire::{Answer, Reader, Request};

/// For one answer. The proxy's own times are a second.
const BOUND: Duration = Duration::from_secs(10);

/// A dialect's part in it.
struct Carrier {
    dialect: &'static str,
    /// Method and path of a call that has a body.
    call: &'static str,
    /// What must never be taken for a request.
    hidden: Vec<u8>,
    /// The batch that it would cancel, as Livy's clients know it.
    id: u64,
}

/// What becomes of the connection after the first answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It is closed, since nobody can know what follows.
    Closed,
    /// What follows may be read: it is nothing.
    Either,
}

use After::{Closed, Either};

type Shape = (&'static str, After, fn(&Carrier) -> Vec<u8>);

const SHAPES: &[Shape] = &[
    // Length and chunks at once, in both orders: chunks win, and then it is over.
    ("length, then chunks", Closed, |c| {
        c.with("Content-Length: {all}\r\nTransfer-Encoding: chunked", &c.after_chunks())
    }),
    ("chunks, then length", Closed, |c| {
        c.with("Transfer-Encoding: chunked\r\nContent-Length: {all}", &c.after_chunks())
    }),
    ("chunks and no length", Closed, |c| c.with("Content-Length: 0\r\nTransfer-Encoding: chunked", &c.after_chunks())),
    ("hidden in a chunk", Closed, |c| c.with("Content-Length: 4\r\nTransfer-Encoding: chunked", &c.in_chunk())),
    ("hidden in a chunk, short length last", Closed, |c| {
        c.with("Transfer-Encoding: chunked\r\nContent-Length: 4", &c.in_chunk())
    }),
    ("chunks behind a bare line end", Closed, |c| {
        c.with("Content-Length: {all}\r\nX: y\nTransfer-Encoding: chunked", &c.after_chunks())
    }),
    // Codings that some reader takes for chunks and another does not. Where we take it, there must be no length.
    ("coding xchunked", Closed, |c| c.coded("xchunked")),
    ("coding chunked, identity", Closed, |c| c.coded("chunked, identity")),
    ("coding identity, chunked", Closed, |c| c.coded("identity, chunked")),
    ("coding chunked, chunked", Closed, |c| c.coded("chunked, chunked")),
    ("coding gzip, chunked", Closed, |c| c.coded("gzip, chunked")),
    ("coding in capitals", Closed, |c| c.coded("CHUNKED")),
    ("coding in quotes", Closed, |c| c.coded("\"chunked\"")),
    ("coding with a parameter", Closed, |c| c.coded("chunked;q=1")),
    ("coding with a vertical tab", Closed, |c| c.coded("\x0bchunked")),
    ("coding with a nul", Closed, |c| c.coded("chunked\0")),
    ("coding of two words", Closed, |c| c.coded("chunked chunked")),
    ("coding of nothing", Closed, |c| c.coded("")),
    ("coding identity", Closed, |c| c.coded("identity")),
    ("coding folded", Closed, |c| c.coded("\r\n chunked")),
    ("coding twice, the last unknown", Closed, |c| c.coded("chunked\r\nTransfer-Encoding: x")),
    ("coding twice, the first unknown", Closed, |c| c.coded("x\r\nTransfer-Encoding: chunked")),
    ("coding twice", Closed, |c| c.coded("chunked\r\nTransfer-Encoding: chunked")),
    ("coding's name with a space", Closed, |c| c.named("Transfer-Encoding : chunked")),
    ("coding's name with a tab", Closed, |c| c.named("Transfer-Encoding\t: chunked")),
    ("coding's name behind a space", Closed, |c| c.named("X: y\r\n Transfer-Encoding: chunked")),
    ("coding's name with an underscore", Either, |c| c.named("Transfer_Encoding: chunked")),
    ("coding's name of other letters", Closed, |c| c.named("Tr\u{430}nsfer-Encoding: chunked")),
    ("coding behind a bare return", Closed, |c| c.named("X: y\rTransfer-Encoding: chunked")),
    ("coding behind a nul", Closed, |c| c.named("X: y\0Transfer-Encoding: chunked")),
    ("coding of HTTP/1.0", Closed, |c| {
        let whole = c.with("Transfer-Encoding: chunked", &c.after_chunks());
        replaced(&whole, "HTTP/1.1", "HTTP/1.0")
    }),
    // Lengths of which there are several, or none that is a number.
    ("two lengths, the short one last", Closed, |c| c.with("Content-Length: {all}\r\nContent-Length: 0", &c.hidden)),
    ("two lengths, the short one first", Closed, |c| c.with("Content-Length: 0\r\nContent-Length: {all}", &c.hidden)),
    ("a list of lengths", Closed, |c| c.with("Content-Length: {all}, 0", &c.hidden)),
    ("a list of one length", Closed, |c| c.with("Content-Length: {all}, {all}", &c.hidden)),
    ("the same length twice", Either, |c| c.with("Content-Length: {all}\r\nContent-Length: {all}", &c.hidden)),
    ("a length with a plus", Closed, |c| c.with("Content-Length: +0", &c.hidden)),
    ("a length below nothing", Closed, |c| c.with("Content-Length: -1", &c.hidden)),
    ("a length of nothing", Closed, |c| c.with("Content-Length:", &c.hidden)),
    ("a length in hexadecimal", Closed, |c| c.with("Content-Length: 0x0", &c.hidden)),
    ("a length of two words", Closed, |c| c.with("Content-Length: 0 0", &c.hidden)),
    ("a length with a fraction", Closed, |c| c.with("Content-Length: 0.0", &c.hidden)),
    ("a length beyond 64 bits", Closed, |c| c.with("Content-Length: 18446744073709551616", &c.hidden)),
    ("a length folded", Closed, |c| c.with("Content-Length:\r\n 0", &c.hidden)),
    ("a length's name with a space", Closed, |c| c.with("Content-Length : 0", &c.hidden)),
    ("a length behind a bare return", Closed, |c| c.with("X: y\rContent-Length: 0", &c.hidden)),
    // Chunks that end somewhere else for another reader.
    ("a chunk's extension", Either, |c| c.chunked(&c.one_chunk(";a=b;c=\"d\""))),
    ("a chunk's extension with a line end", Closed, |c| c.chunked(&c.one_chunk(";\n"))),
    ("a chunk's extension with a bare return", Closed, |c| c.chunked(&c.one_chunk(";a\rb"))),
    ("a chunk's size with a prefix", Closed, |c| c.chunked(&[b"0x", &c.in_chunk()[..]].concat())),
    ("a chunk's size with a plus", Closed, |c| c.chunked(&[b"+", &c.in_chunk()[..]].concat())),
    ("a chunk's size below nothing", Closed, |c| c.chunked(&[b"-1\r\n", &c.hidden[..]].concat())),
    ("a chunk's size beyond 64 bits", Closed, |c| c.chunked(&[b"10000000000000000\r\n", &c.hidden[..]].concat())),
    ("a chunk's size of nothing", Closed, |c| c.chunked(&[b"\r\n", &c.hidden[..]].concat())),
    ("a chunk that is longer than its size", Closed, |c| c.chunked(&[b"1\r\nab0\r\n\r\n", &c.hidden[..]].concat())),
    ("chunks with bare line ends", Closed, |c| c.chunked(&[b"1\na\n0\n\n", &c.hidden[..]].concat())),
    ("no empty line behind the last chunk", Closed, |c| c.chunked(&[b"0\r\n", &c.hidden[..]].concat())),
    // A trailer may say what a header may not.
    ("a trailer with a length", Either, |c| {
        c.chunked(&[&c.one_chunk("")[..c.one_chunk("").len() - 2], b"Content-Length: 0\r\n\r\n"].concat())
    }),
    // A body where nobody reads one: it is a body all the same.
    ("a body of a GET", Either, |c| replaced(&c.with("Content-Length: {all}", &c.hidden), c.call, "GET /")),
    ("a body of a HEAD", Either, |c| replaced(&c.with("Content-Length: {all}", &c.hidden), c.call, "HEAD /")),
    ("a body of a path that is not there", Either, |c| {
        replaced(&c.with("Content-Length: {all}", &c.hidden), c.call, "POST /nothing/here")
    }),
    ("a body of a method that is not there", Either, |c| {
        let (_, path) = c.call.split_once(' ').expect("a method and a path");
        replaced(&c.with("Content-Length: {all}", &c.hidden), c.call, &format!("BREW {path}"))
    }),
    ("a body", Either, |c| c.with("Content-Length: {all}", &c.hidden)),
    ("a body that is too large", Closed, |c| {
        let padded = [&c.hidden[..], &b" ".repeat(3 << 20)].concat();
        c.with("Content-Length: {all}", &padded)
    }),
    ("a body of a page of elsewhere", Either, |c| {
        c.with("Content-Length: {all}\r\nOrigin: http://evil.example", &c.hidden)
    }),
    ("a body of an expectation", Either, |c| c.with("Content-Length: {all}\r\nExpect: x", &c.hidden)),
    ("a body of an upgrade", Either, |c| {
        c.with("Content-Length: {all}\r\nConnection: Upgrade\r\nUpgrade: websocket", &c.hidden)
    }),
    // Whose the request is.
    ("another host in the target", Either, |c| replaced(&c.hidden, " /", " http://evil.example/")),
    ("another host behind a name", Either, |c| replaced(&c.hidden, " /", " http://localhost@evil.example/")),
    ("another host beside a good target", Either, |c| {
        replaced(&replaced(&c.hidden, " /", " http://localhost/"), "Host: localhost", "Host: evil.example")
    }),
    ("two hosts", Closed, |c| replaced(&c.hidden, "Host: localhost", "Host: localhost\r\nHost: evil.example")),
    ("a host and a list", Either, |c| replaced(&c.hidden, "Host: localhost", "Host: localhost, evil.example")),
    ("no host", Closed, |c| replaced(&c.hidden, "Host: localhost\r\n", "")),
    // Line ends within the first line.
    ("a bare return in the first line", Closed, |c| replaced(&c.hidden, " HTTP/1.1", "\rX HTTP/1.1")),
    ("a space too many in the first line", Closed, |c| replaced(&c.hidden, " HTTP/1.1", " x HTTP/1.1")),
    ("a nul in front", Closed, |c| [b"\0", &c.hidden[..]].concat()),
];

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("the shape is text");
    assert!(text.contains(from), "{from:?} is in {text:?}");
    text.replacen(from, to, 1).into_bytes()
}

impl Carrier {
    /// The call with these header lines and this body; `{all}` is the body's length.
    fn with(&self, framing: &str, body: &[u8]) -> Vec<u8> {
        let framing = framing.replace("{all}", &body.len().to_string());
        let head =
            format!("{} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n", self.call);
        [head.as_bytes(), body].concat()
    }

    /// With this coding beside a length that covers all.
    fn coded(&self, coding: &str) -> Vec<u8> {
        self.named(&format!("Transfer-Encoding: {coding}"))
    }

    fn named(&self, line: &str) -> Vec<u8> {
        self.with(&format!("Content-Length: {{all}}\r\n{line}"), &self.after_chunks())
    }

    /// With chunks and nothing else.
    fn chunked(&self, body: &[u8]) -> Vec<u8> {
        self.with("Transfer-Encoding: chunked", body)
    }

    fn after_chunks(&self) -> Vec<u8> {
        [b"0\r\n\r\n", &self.hidden[..]].concat()
    }

    fn in_chunk(&self) -> Vec<u8> {
        self.one_chunk("")
    }

    fn one_chunk(&self, extension: &str) -> Vec<u8> {
        let size = format!("{:x}{extension}\r\n", self.hidden.len());
        [size.as_bytes(), &self.hidden, b"\r\n0\r\n\r\n"].concat()
    }
}

#[test]
fn a_request_within_a_request_is_never_seen() {
    let jobs = Jobs::new();
    let mut config = jobs.config(8);
    config.dialects = vec!["livy", "kyuubi", "dli", "kylin"];
    config.more.push_str(
        "cancel_grace = \"100ms\"\n[limits]\nmax_body = \"1MiB\"\nheader_read_timeout = \"1s\"\nbody_read_timeout = \"1s\"\n",
    );
    let proxy = Proxy::start(config);
    let mut gates: Vec<Gate> = Vec::new();
    let carriers: Vec<Carrier> = [
        ("livy", "POST /batches", "DELETE /batches/{ordinal}"),
        ("kyuubi", "POST /api/v1/batches", "DELETE /api/v1/batches/{uuid}"),
        ("dli", "POST /v2.0/p/batches", "DELETE /v2.0/p/batches/{uuid}"),
        ("kylin", "PUT /kylin/api/jobs/status", "PUT /kylin/api/jobs/{uuid}/cancel"),
    ]
    .into_iter()
    .map(|(dialect, call, hidden)| {
        let (body, gate) = jobs.gated(dialect);
        gates.push(gate);
        let id = proxy.client().submit(&body);
        jobs.until_begun(dialect);
        let hidden = hidden.replace("{ordinal}", &id.to_string()).replace("{uuid}", &uuid_of(&proxy, dialect));
        let hidden = format!("{hidden} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").into_bytes();
        Carrier { dialect, call, hidden, id }
    })
    .collect();

    let mut faults = Vec::new();
    for carrier in &carriers {
        for (name, after, shape) in SHAPES {
            if let Err(fault) = send(&proxy, &shape(carrier), *after) {
                faults.push(format!("{}, {name}: {fault}", carrier.dialect));
            }
        }
        if !matches!(proxy.client().state(carrier.id).as_str(), "running" | "starting") {
            faults.push(format!("{}: the job was cancelled", carrier.dialect));
        }
    }
    println!("smuggling: {} shapes in each of {} dialects", SHAPES.len(), carriers.len());
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), SHAPES.len() * carriers.len(), faults.join("\n"));

    for carrier in &carriers {
        let openly = [carrier.with("Content-Length: 2", b"{}"), carrier.hidden.clone()].concat();
        let before = seen(proxy.admin());
        let answers = answers(proxy.address(), &openly, Either).expect("two answers");
        assert_eq!((answers.len(), seen(proxy.admin()) - before), (2, 2), "{}", carrier.dialect);
        assert_eq!(answers[1].status, 200, "{}: {:?}", carrier.dialect, answers[1]);
        // Livy forgets what it deletes.
        let state = proxy.client().state(carrier.id);
        assert!(state == "killed" || state.starts_with("404 "), "{}: {state}", carrier.dialect);
    }
}

/// The id that the other dialects know the batch by.
fn uuid_of(proxy: &Proxy, name: &str) -> String {
    let (_, list) = proxy.client().ask(&format!("GET /api/v1/batches?batchName={name}"));
    list["batches"][0]["id"].as_str().unwrap_or_else(|| panic!("{name} is listed: {list}")).to_owned()
}

fn send(proxy: &Proxy, bytes: &[u8], after: After) -> Result<(), String> {
    let before = seen(proxy.admin());
    let told = answers(proxy.address(), bytes, after)?;
    let seen = seen(proxy.admin()) - before;
    if told.len() != 1 || seen > 1 {
        let statuses: Vec<u16> = told.iter().map(|answer| answer.status).collect();
        return Err(format!("{seen} requests were seen, answered {statuses:?}"));
    }
    let closes = told[0].header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if after == Closed && !closes {
        return Err(format!("the connection is not said to be closed: {:?}", told[0]));
    }
    Ok(())
}

/// All answers until the end of the connection. It comes to one because the proxy closes it, or because nothing more is sent and that is
/// said.
fn answers(server: SocketAddr, bytes: &[u8], after: After) -> Result<Vec<Answer>, String> {
    let mut stream = TcpStream::connect(server).map_err(|e| format!("no connection: {e}"))?;
    stream.set_read_timeout(Some(BOUND)).map_err(|e| e.to_string())?;
    // A server that has answered already may have stopped to listen.
    let _ = stream.write_all(bytes);
    if after == Either {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut reader = Reader::new(&stream);
    let mut answers = Vec::new();
    while let Some(answer) = reader.answer(Request(bytes))? {
        answers.push(answer);
    }
    Ok(answers)
}

/// How many requests the proxy has seen, by its own count.
fn seen(admin: SocketAddr) -> u64 {
    let metrics = Client(admin).exchange("GET /metrics", &[], None).expect("an answer");
    let text = String::from_utf8(metrics.body).expect("metrics are text");
    let counts = text.lines().filter(|line| line.starts_with("batchlingua_requests_total{"));
    counts.map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count")).sum()
}
