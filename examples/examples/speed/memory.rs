//! What is large goes through without being held: an upload of a gigabyte that is spooled and sent on, a log of a gigabyte that streams.

use std::path::Path;

use batchlingua_examples::{
    Result,
    client::{Client, text_after},
    process::Proxy,
};

use crate::{
    config,
    origin::{Kind, LINE, Origin, ROWS},
};

/// As much as an upload may have by default.
const UPLOAD: u64 = 1_000_000_000;
const PIECE: usize = 64 << 10;
const LOG: u64 = 1_000_000_000;
/// What buffers may take, whatever goes through them.
const GROWTH_KIB: u64 = 16 * 1024;

const BOUNDARY: &str = "a-line-that-is-in-no-file";
const REQUEST: &str =
    r#"{"batchType":"PYSPARK","resource":"job.py","className":"","name":"large","args":[],"conf":{}}"#;
const SUBMIT: &str =
    r#"{"batchType":"PYSPARK","resource":"hdfs:///srv/job.py","className":"","name":"hello","args":[],"conf":{}}"#;

/// Both over a Kyuubi, the platform that takes files and has logs of any length.
pub(crate) fn measure(binary: &Path, faults: &mut Vec<String>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lines = LOG / LINE.len() as u64;
    let origin = Origin::start(Kind::Kyuubi, lines, ROWS)?;
    let config = config(dir.path(), "kyuubi", &origin.address, "timeout = \"10m\"\nattempt_timeout = \"10m\"\n");
    let proxy = Proxy::start(binary, dir.path(), &config)?;
    let mut client = Client::connect(&proxy.address)?;
    let (status, answer) = client.call("POST", "/api/v1/batches", SUBMIT)?;
    let id = text_after(&answer, "\"id\":\"").ok_or_else(|| format!("a submit was answered {status}: {answer}"))?;

    let mut tell = |what: &str, before: u64, most: u64| {
        let growth = most.saturating_sub(before);
        println!("{what}: resident {before} KiB before, at most {most} KiB while it went through: +{growth} KiB");
        if growth > GROWTH_KIB {
            faults.push(format!("{what}: memory grew by {growth} KiB, more than {GROWTH_KIB} KiB"));
        }
    };

    let before = proxy.process.resident_kib()?;
    let watch = proxy.process.watch();
    upload(&mut client)?;
    tell("an upload of 1 GB", before, watch.most_kib());

    let before = proxy.process.resident_kib()?;
    let watch = proxy.process.watch();
    let path = format!("/kylin/api/jobs/{id}/steps/{id}_00/log?project=p1");
    client.send(
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/vnd.apache.kylin-v4-public+json\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let mut came = 0;
    let status = client.answer(|piece| came += piece.len() as u64)?;
    tell("a log of 1 GB", before, watch.most_kib());
    if status != 200 || came != lines * LINE.len() as u64 {
        return Err(
            format!("a log of {} bytes was answered {status} with {came} bytes", lines * LINE.len() as u64).into()
        );
    }
    Ok(())
}

fn upload(client: &mut Client) -> Result<()> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"batchRequest\"\r\nContent-Type: application/json\r\n\r\n{REQUEST}\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"resourceFile\"; filename=\"job.py\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let length = head.len() as u64 + UPLOAD + tail.len() as u64;
    client.send(
        format!(
            "POST /api/v1/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
             Content-Length: {length}\r\n\r\n{head}"
        )
        .as_bytes(),
    )?;
    let piece: Vec<u8> = (0..PIECE).map(|at| (at * 7 % 251) as u8).collect();
    let mut left = UPLOAD;
    while left > 0 {
        let now = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        client.send(&piece[..now])?;
        left -= now as u64;
    }
    client.send(tail.as_bytes())?;
    let mut answer = Vec::new();
    match client.answer(|piece| answer.extend_from_slice(piece))? {
        200 => Ok(()),
        status => Err(format!("an upload was answered {status}: {}", String::from_utf8_lossy(&answer)).into()),
    }
}
