//! Damage to request line and headers.

use super::{Damage, Raw};

pub(super) const KINDS: &[(&str, Damage)] = &[
    ("an odd method", |request, rng| {
        let odd: [&[u8]; 7] = [b"get", b"BREW", b"", b"GET\0", b"P\xc3\x96ST", b"CONNECT", b"OPTIONS"];
        whole(request.clone().with_method(rng.pick(&odd)))
    }),
    ("an odd target", |request, rng| {
        let path = request.target().to_vec();
        let odd: [Vec<u8>; 12] = [
            [&path[..], b"/%zz"].concat(),
            [&path[..], b"/%00"].concat(),
            [&path[..], b"/%c0%ae%c0%ae/"].concat(),
            [&path[..], b"/../../../etc/passwd"].concat(),
            [&path[..], b"/..%2f..%2f"].concat(),
            [b"/", &path[..]].concat(),
            [&path[..], b"?", &b"a=1&".repeat(20_000)[..]].concat(),
            [b"http://elsewhere.example", &path[..]].concat(),
            b"*".to_vec(),
            b"".to_vec(),
            [&path[..], b"/\xff\xfe"].concat(),
            [b"/", &b"a".repeat(100_000)[..]].concat(),
        ];
        whole(request.clone().with_target(&rng.pick(&odd)))
    }),
    ("an odd query", |request, rng| {
        let odd: [&str; 9] = [
            "from=-1&size=-1",
            "from=99999999999999999999&size=1e9",
            "size=2147483648",
            "from=%00&size=%",
            "size=",
            "from=0&from=1&from=x",
            "=&==&&",
            "state=%F0%9F%9A%80&size=\u{0}",
            "from=0x10&size=+5",
        ];
        let path = request.target().split(|byte| *byte == b'?').next().unwrap_or_default();
        whole(request.clone().with_target(&[path, b"?", rng.pick(&odd).as_bytes()].concat()))
    }),
    ("an odd version", |request, rng| {
        let odd: [&[u8]; 7] =
            [b"", b" HTTP/0.9", b" HTTP/1.0", b" HTTP/2.0", b" HTTP/9.9", b" HTTP/1.1 x", b"  HTTP/1.1"];
        let words: Vec<&[u8]> = request.line.split(|byte| *byte == b' ').take(2).collect();
        let line = [&words.join(&b' ')[..], rng.pick(&odd)].concat();
        whole(Raw { line, ..request.clone() })
    }),
    ("a header twice", |request, rng| {
        let mut other = request.clone();
        let again = rng.pick(some(&request.headers)?);
        other.headers.insert(rng.below(other.headers.len() + 1), again);
        whole(other)
    }),
    ("a header twice with another value", |request, rng| {
        let mut other = request.clone();
        let (name, _) = rng.pick(some(&request.headers)?);
        other.headers.push((name, b"other".to_vec()));
        whole(other)
    }),
    ("a header gone", |request, rng| {
        let mut other = request.clone();
        other.headers.remove(rng.below(some(&request.headers)?.len()));
        whole(other)
    }),
    ("a huge header", |request, rng| {
        let size = rng.pick(&[9_000, 70_000, 1_100_000]);
        whole(request.clone().with("X-Huge", vec![b'a'; size]))
    }),
    ("very many headers", |request, rng| {
        let count = rng.pick(&[101, 1_000, 20_000]);
        whole((0..count).fold(request.clone(), |request, at| request.with(&format!("X-{at}"), "1")))
    }),
    ("an odd header", |request, rng| {
        let odd: [(&str, &[u8]); 14] = [
            ("X Y", b"1"),
            ("X-Pad ", b"1"),
            ("", b"1"),
            ("X\0", b"1"),
            ("X-\u{fc}", b"1"),
            ("X-Nul", b"a\0b"),
            ("X-Latin", b"caf\xe9"),
            ("X-Bare", b"a\rb"),
            ("Expect", b"100-continue"),
            ("Expect", b"the-unexpected"),
            ("Upgrade", b"h2c\r\nConnection: Upgrade"),
            ("Authorization", b"Basic ////"),
            ("Authorization", b"Bearer"),
            ("X-HTTP-Method-Override", b"DELETE"),
        ];
        let (name, value) = rng.pick(&odd);
        whole(request.clone().with(name, value))
    }),
    ("an odd host", |request, rng| {
        let odd = ["", "evil.example", "127.0.0.1:99999", "a, b", "[::1", "h\tx", "user@h"];
        let without = request.clone().without("Host");
        let hosts = match rng.below(4) {
            0 => without,
            1 => without.with("Host", "a").with("Host", "b"),
            _ => without.with("Host", rng.pick(&odd)),
        };
        whole(hosts)
    }),
    ("another type or coding", |request, rng| {
        let odd: [(&str, &str); 9] = [
            ("Content-Type", "text/plain"),
            ("Content-Type", "multipart/form-data"),
            ("Content-Type", "multipart/form-data; boundary="),
            ("Content-Type", "multipart/form-data; boundary=x"),
            ("Content-Type", "application/json; charset=utf-7"),
            ("Content-Type", ";"),
            ("Content-Encoding", "gzip"),
            ("Content-Encoding", "deflate, gzip"),
            ("Accept-Encoding", "gzip;q=nan, *;q=0"),
        ];
        let (name, value) = rng.pick(&odd);
        whole(request.clone().without(name).with(name, value))
    }),
    ("a folded header", |request, rng| {
        let mut other = request.clone();
        let at = rng.below(some(&request.headers)?.len());
        other.headers[at].1.extend_from_slice(b"\r\n folded");
        whole(other)
    }),
    ("bare line ends", |request, rng| {
        let head = request.head();
        let text = String::from_utf8_lossy(&head);
        let odd = [text.replace("\r\n", "\n"), text.replace("\r\n", "\r"), text.replacen("\r\n", "\n", 1)];
        Some(vec![[rng.pick(&odd).as_bytes(), &request.body].concat()])
    }),
];

fn whole(request: Raw) -> Option<Vec<Vec<u8>>> {
    Some(vec![request.bytes()])
}

fn some<T>(all: &[T]) -> Option<&[T]> {
    (!all.is_empty()).then_some(all)
}
