//! Damage to what says where a body ends: the shapes by which a request is smuggled past a proxy.

use super::{Damage, Raw};

pub(super) const KINDS: &[(&str, Damage)] = &[
    ("a wrong length", |request, rng| {
        let right = request.body.len();
        let odd = [
            (right + 1 + rng.below(100)).to_string(),
            right.saturating_sub(1 + rng.below(100)).to_string(),
            "-1".to_owned(),
            "99999999999999999999".to_owned(),
            "1e2".to_owned(),
            "0x10".to_owned(),
            format!("+{right}"),
            format!("{right}, {right}"),
            format!("{right} x"),
            String::new(),
        ];
        // Less than nothing is nothing, and right where there is no body.
        let value = rng.pick(&odd);
        (value != right.to_string())
            .then(|| vec![request.clone().without("Content-Length").with("Content-Length", value).bytes()])
    }),
    ("two lengths", |request, rng| {
        let right = request.body.len();
        let other = if rng.below(2) == 0 { right + 7 } else { right / 2 };
        let both = request.clone().without("Content-Length");
        Some(vec![both.with("Content-Length", right.to_string()).with("Content-Length", other.to_string()).bytes()])
    }),
    ("length and chunks", |request, rng| {
        let chunked = [chunk(&request.body), b"0\r\n\r\n".to_vec()].concat();
        let length = [chunked.len(), 0, 4][rng.below(3)];
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        let framed = framed.with("Content-Length", length.to_string()).with("Transfer-Encoding", "chunked");
        Some(vec![Raw { body: [chunked, SMUGGLED.to_vec()].concat(), ..framed }.bytes()])
    }),
    ("an odd transfer coding", |request, rng| {
        let odd: [&[u8]; 9] = [
            b"xchunked",
            b"chunked, identity",
            b"chunked, chunked",
            b"identity",
            b"gzip, chunked",
            b"\x0bchunked",
            b"chunked\r\nTransfer-Encoding: x",
            b"\"chunked\"",
            b"",
        ];
        let body = [chunk(&request.body), b"0\r\n\r\n".to_vec(), SMUGGLED.to_vec()].concat();
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        Some(vec![Raw { body, ..framed.with("Transfer-Encoding", rng.pick(&odd)) }.bytes()])
    }),
    ("an odd name of the coding", |request, rng| {
        let odd = ["Transfer-Encoding ", "Transfer_Encoding", "X: y\r\nTransfer-Encoding", "transfer-encoding\t"];
        let body = [chunk(&request.body), b"0\r\n\r\n".to_vec(), SMUGGLED.to_vec()].concat();
        let length = request.body.len().to_string();
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        let framed = framed.with("Content-Length", length).with(rng.pick(&odd), "chunked");
        Some(vec![Raw { body, ..framed }.bytes()])
    }),
    ("bad chunks", |request, rng| {
        let data = chunk(&request.body);
        let odd: [Vec<u8>; 10] = [
            b"zz\r\nabc\r\n0\r\n\r\n".to_vec(),
            b"-1\r\nabc\r\n0\r\n\r\n".to_vec(),
            b"ffffffffffffffff\r\nabc".to_vec(),
            b"10000000000000000\r\nabc\r\n0\r\n\r\n".to_vec(),
            [&data[..], b"5\r\nabc\r\n0\r\n\r\n"].concat(),
            [&data[..], b"1\r\nabcdef\r\n0\r\n\r\n"].concat(),
            data.clone(),
            [&b"0x5\r\nhello\r\n"[..], b"0\r\n\r\n"].concat(),
            [b"1;", &b"e".repeat(100_000)[..], b"\r\na\r\n0\r\n\r\n"].concat(),
            [&data[..], b"0\r\nX-Trailer: ", &b"t".repeat(100_000)[..], b"\r\n\r\n"].concat(),
        ];
        let body = rng.pick(&odd);
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        Some(vec![Raw { body, ..framed.with("Transfer-Encoding", "chunked") }.bytes()])
    }),
    ("one byte in each chunk", |request, _| {
        if request.body.is_empty() {
            return None;
        }
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        let mut writes = vec![framed.with("Transfer-Encoding", "chunked").head()];
        writes.extend(request.body.iter().map(|byte| chunk(&[*byte])));
        writes.push(b"0\r\n\r\n".to_vec());
        Some(writes)
    }),
    ("a body where none belongs", |request, rng| {
        let method: &[u8] = rng.pick(&[&b"GET"[..], b"DELETE", b"HEAD", b"OPTIONS"]);
        Some(vec![request.clone().with_method(method).with_body(&b"{\"file\":\"/evil\"}"[..]).bytes()])
    }),
    ("another request behind it", |request, rng| {
        let first = request.bytes();
        let second = if rng.below(2) == 0 { SMUGGLED.to_vec() } else { first.clone() };
        Some(vec![[first, second].concat()])
    }),
    ("a promise and no body", |request, _| {
        let length = (request.body.len() + 10).to_string();
        let framed = request.clone().without("Content-Length").without("Transfer-Encoding");
        Some(vec![framed.with("Content-Length", length).with("Expect", "100-continue").head()])
    }),
];

/// What must never be taken for a request of its own.
const SMUGGLED: &[u8] = b"DELETE /batches/0 HTTP/1.1\r\nHost: smuggled.example\r\nX-Requested-By: x\r\n\r\n";

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}
