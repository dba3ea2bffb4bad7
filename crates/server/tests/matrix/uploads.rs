//! Files that come with a submit: only Kyuubi's clients bring some, and only a Kyuubi takes them.

use std::fmt::Write;

use batchlingua_core::BatchState;
use batchlingua_router::Limits;
use batchlingua_testkit::conformance::Job;
use http::Method;

use crate::{
    behaviours::{reached, shown},
    chains::{Chain, Platform},
    house::{Ask, Wishes},
    voices::{Kyuubi, Voice},
};

const BOUNDARY: &str = "a-line-that-is-in-no-file";

/// A submit with the program and one more file.
fn with_files(program: &[u8], extra: &[u8]) -> Ask {
    let request = r#"{"batchType":"PYSPARK","className":"","resource":"job.py","name":"with files","args":["1"],"conf":{"spark.x":"y"},"extraResourcesMap":{"spark.files":"data.csv"}}"#;
    let mut body = Vec::new();
    let mut part = |disposition: &str, kind: &str, bytes: &[u8]| {
        let mut head = String::new();
        write!(head, "--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n")
            .expect("text");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    part(r#"name="batchRequest""#, "application/json", request.as_bytes());
    part(r#"name="resourceFile"; filename="job.py""#, "application/octet-stream", program);
    part(r#"name="data.csv"; filename="data.csv""#, "application/octet-stream", extra);
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    let ask = Ask::get("/api/v1/batches");
    Ask {
        method: Method::POST,
        content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        body: body.into(),
        ..ask
    }
}

/// Every byte, in no order that packs well.
fn bytes(count: usize, seed: u8) -> Vec<u8> {
    let next = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8 ^ seed;
    (0..count).map(next).collect()
}

pub(crate) async fn files_go_along_to_a_kyuubi_and_are_refused_elsewhere(platform: &'static Platform) {
    let (program, extra) = (bytes(300_000, 1), bytes(1_000_000, 2));
    let spool = tempfile::tempdir().expect("a folder");
    let mut limits = Limits::default();
    limits.upload.dir = spool.path().to_owned();
    let house = Chain::house_wishing(platform, Wishes { limits, ..Wishes::default() }).await;
    let upstream = &house.chain.as_ref().expect("a chain").upstream;
    upstream.came();
    let kind = platform.voice.dialect();
    let answer = house.ask(&with_files(&program, &extra)).await;
    let sent: Vec<_> = upstream.came().into_iter().filter(|came| came.method == Method::POST).collect();
    if !house.rig.backend().capabilities().upload {
        assert_eq!(answer.status, Kyuubi.refused(), "{kind}: {answer:?}");
        assert!(sent.is_empty(), "{kind}");
        // Who cannot be told to run anything has no use for a folder of files.
        let told = if platform.begun_by.is_some() { "does not offer submitting" } else { "`stage`" };
        assert!(answer.text().contains(told), "{kind}: {}", answer.text());
        return;
    }
    assert_eq!(answer.status, 200, "{kind}: {answer:?}");
    let [submit] = &sent[..] else { panic!("{kind}: one submit, not {}", sent.len()) };
    for (name, file) in [("job.py", &program), ("data.csv", &extra)] {
        let at = submit.body.windows(file.len()).position(|window| window == &file[..]);
        let at = at.unwrap_or_else(|| panic!("{name} has not come whole"));
        let before = String::from_utf8_lossy(&submit.body[..at]).into_owned();
        let head = before.rsplit("\r\n\r\n").nth(1).expect("a part's head");
        assert!(head.contains(&format!("filename=\"{name}\"")), "{head}");
    }
    let native = house.native(Kyuubi.wanted(&Kyuubi.submitted(&answer.json()))).await;
    house.rig.submitted(&native, Job::Succeeds).await;
    reached(&house, &native, BatchState::Succeeded).await;
    assert_eq!(shown(&house, &Kyuubi, &house.ids(&native).await).await, "FINISHED");
    let left: Vec<_> = walk(spool.path());
    assert!(left.is_empty(), "nothing is left of files that were sent: {left:?}");
}

/// The files in a folder, at any depth.
fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("readable").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
