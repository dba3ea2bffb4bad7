//! Forms that never come to their end, in any place where a form may be long.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use batchlingua_testkit::mutate::Form;
use serde_json::Value;

use super::{BOUND, Stage, head, program, request};
use crate::proxy::Proxy;
use crate::wire::{self, Request};

/// What the proxy may hold beyond what it held before, in kilobytes, while it is sent hundreds of times its limits.
const GROWTH: u64 = 16 << 10;

/// What has no end, in each place where it may stand: it is refused long before it has been read.
#[test]
fn an_upload_without_end_is_not_held_in_memory() {
    let stage = Stage::new();
    let form = Form::new([]);
    let boundary = [b"--", &form.boundary[..]].concat();
    let file =
        [&boundary[..], b"\r\nContent-Disposition: form-data; name=\"resourceFile\"; filename=\"canary\"\r\n"].concat();
    let line = b"0123456789012345678901234567890123456789012345678901234567890123\r\n".as_slice();
    let places: [(&str, Vec<u8>, &[u8]); 9] = [
        ("in front", Vec::new(), line),
        ("in front, without a line", Vec::new(), b"x"),
        ("a part's header", [&file[..], b"X-Long: "].concat(), b"y"),
        ("a part's headers", file.clone(), b"X-More: y\r\n"),
        ("a part's name", [&boundary[..], b"\r\nContent-Disposition: form-data; name=\""].concat(), b"n"),
        ("a file", [&file[..], b"\r\n"].concat(), line),
        ("a value", [&boundary[..], b"\r\nContent-Disposition: form-data; name=\"v\"\r\n\r\n"].concat(), line),
        ("a part twice", [&file[..], b"\r\n\r\n", &file[..], b"\r\n"].concat(), line),
        ("a boundary", boundary.clone(), b" "),
    ];
    // Once round first, so that what is made once is there.
    stage.told(&request(&Form::new([program("a.py")])));
    let mut faults = Vec::new();
    for (place, start, again) in places {
        let before = stage.proxy.resident();
        let endless = Endless { start, again, most: 64 << 20 };
        match endless.send(&stage.proxy, &form.content_type()) {
            Ok((status, peak)) if (status == 400 || status == 413) && peak < before + GROWTH => {}
            Ok((status, peak)) => faults.push(format!("{place}: {status}; {before} kB before, {peak} kB at most")),
            Err(fault) => faults.push(format!("{place}: {fault}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    stage.assert_clean();
    assert_eq!(stage.list(), Vec::<Value>::new(), "nothing is listed");
}

struct Endless<'a> {
    start: Vec<u8>,
    again: &'a [u8],
    most: usize,
}

impl Endless<'_> {
    /// The status of the answer, and the most memory that the proxy was seen to hold.
    fn send(&self, proxy: &Proxy, content_type: &[u8]) -> Result<(u16, u64), String> {
        let mut stream = TcpStream::connect(proxy.address()).map_err(|e| e.to_string())?;
        stream
            .set_read_timeout(Some(BOUND))
            .and_then(|()| stream.set_write_timeout(Some(BOUND)))
            .map_err(|e| e.to_string())?;
        let head = head(content_type, self.most);
        let piece = self.again.repeat((64 << 10) / self.again.len());
        let mut sent = self.start.len();
        let mut peak = proxy.resident();
        let mut open = stream.write_all(&[&head[..], &self.start].concat()).is_ok();
        let began = Instant::now();
        while open && sent + piece.len() < self.most {
            if began.elapsed() > BOUND {
                return Err(format!("it is still read after {sent} bytes and {BOUND:?}"));
            }
            // A proxy that has had enough says so and stops to listen.
            open = stream.write_all(&piece).is_ok();
            sent += piece.len();
            peak = peak.max(proxy.resident());
        }
        let _ = stream.shutdown(Shutdown::Write);
        let answer = wire::Reader::new(&stream).answer(Request(&head))?.ok_or_else(|| wire::SILENCE.to_owned())?;
        Ok((answer.status, peak.max(proxy.resident())))
    }
}
