//! Damage that knows nothing of HTTP, and slowness.

use super::{Damage, Raw, Rng};

pub(super) const KINDS: &[(&str, Damage)] = &[
    ("cut", |request, rng| Some(cut(request, rng))),
    ("flipped bytes", |request, rng| {
        let mut bytes = request.bytes();
        for _ in 0..=rng.below(8) {
            let at = rng.below(bytes.len());
            // Never zero, so that something is flipped.
            bytes[at] ^= 1 << rng.below(8);
        }
        (bytes != request.bytes()).then(|| vec![bytes])
    }),
    ("bytes put in", |request, rng| {
        let mut bytes = request.bytes();
        for _ in 0..=rng.below(8) {
            bytes.insert(rng.below(bytes.len() + 1), rng.byte());
        }
        Some(vec![bytes])
    }),
    ("bytes left out", |request, rng| {
        let mut bytes = request.bytes();
        let from = rng.below(bytes.len());
        let to = (from + 1 + rng.below(16)).min(bytes.len());
        bytes.drain(from..to);
        Some(vec![bytes])
    }),
    ("a piece twice", |request, rng| {
        let bytes = request.bytes();
        let from = rng.below(bytes.len());
        let to = (from + 1 + rng.below(64)).min(bytes.len());
        Some(vec![[&bytes[..to], &bytes[from..]].concat()])
    }),
    ("nothing at all", |_, _| Some(vec![])),
    ("no HTTP", |_, rng| {
        let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
        let http2_preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        let noise = (0..rng.below(2_000) + 1).map(|_| rng.byte()).collect();
        let line_ends = b"\r\n".repeat(1_000);
        Some(vec![rng.pick(&[tls_hello, http2_preface, noise, line_ends])])
    }),
    ("slow, in pieces", |request, rng| {
        let bytes = request.bytes();
        let size = 1 + rng.below(7);
        Some(bytes.chunks(size).map(<[u8]>::to_vec).collect())
    }),
    ("slow, head and body apart", |request, _| {
        (!request.body.is_empty()).then(|| vec![request.head(), request.body.clone()])
    }),
    ("slow, never whole", |request, rng| {
        let bytes = request.bytes();
        let end = rng.below(bytes.len());
        let size = 1 + rng.below(16);
        Some(bytes[..end].chunks(size).map(<[u8]>::to_vec).collect())
    }),
];

/// The request up to some byte of it.
pub(super) fn cut(request: &Raw, rng: &mut Rng) -> Vec<Vec<u8>> {
    let bytes = request.bytes();
    vec![bytes[..rng.below(bytes.len())].to_vec()]
}
