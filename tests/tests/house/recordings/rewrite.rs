//! What has to be changed on the way to the proxy and back: where the applications lie, the ids, and the server's own address.
//!
//! The recorded requests name files under `/srv/apps` (Livy; Kyuubi: `/srv/jobs`). A test may not write there, so the applications are copied
//! to a folder whose path is **as long and as deep**: `/tmp/` and four characters. So the two can be exchanged within
//! any bytes, in UTF-16 as in UTF-8, and lengths, chunk sizes, `..` and the columns that error texts count stay true. Only compressed bodies
//! have to be packed anew.
//!
//! A recorded id is ours wherever both answers to a submit (or a reconstructed one) named them. Where ids stand in a request or an answer, the
//! product says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use tempfile::TempDir;

use super::cases;
use super::product::Product;
use crate::wire::{Answer, Request};

/// A copy of the applications at a path that is as long as the recorded one.
pub(super) struct Apps {
    folder: TempDir,
    spark: PathBuf,
    recorded: [&'static str; 2],
}

impl Apps {
    pub(super) fn new(product: &dyn Product) -> Self {
        let recorded = product.recorded_paths();
        let folder =
            tempfile::Builder::new().prefix("").rand_bytes(4).tempdir_in("/tmp").expect("a folder in /tmp can be made");
        assert_eq!(
            folder.path().as_os_str().len(),
            recorded[0].len(),
            "{} is as long as {}",
            folder.path().display(),
            recorded[0]
        );
        let recordings = cases::folder(product.name());
        for app in fs::read_dir(recordings.join("apps")).expect("the recordings have applications") {
            let app = app.expect("the folder can be listed");
            fs::copy(app.path(), folder.path().join(app.file_name())).expect("an application can be copied");
        }
        Self { folder, spark: recordings.join("stub"), recorded }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The stub as a Spark home.
    pub(super) fn spark(&self) -> &Path {
        &self.spark
    }

    fn ours(&self) -> &str {
        self.folder.path().to_str().expect("the folder's name is ASCII")
    }

    pub(super) fn as_ours(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for code in CODES {
            bytes = replace(&bytes, &code(self.recorded[0]), &code(self.ours()));
        }
        bytes
    }

    /// A text of the proxy with the recorded paths in it.
    pub(super) fn as_recorded(&self, text: &str) -> String {
        let [apps, recorded_spark] = self.recorded;
        let (_, last) = self.ours().rsplit_once('/').expect("the path is absolute");
        let (_, recorded_last) = apps.rsplit_once('/').expect("the path is absolute");
        let spark = self.spark.to_str().expect("the repository's path is UTF-8");
        // What follows `//srv` in `//srv/apps/job.py`, where the first segment is read as a host.
        let behind_host = [last, recorded_last].map(|name| format!("/{name}/"));
        text.replace(self.ours(), apps).replace(&behind_host[0], &behind_host[1]).replace(spark, recorded_spark)
    }
}

type Code = fn(&str) -> Vec<u8>;

/// The encodings in which the recorded bodies name a path.
const CODES: [Code; 3] = [
    |text| text.as_bytes().to_vec(),
    |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    |text| text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
];

/// Which id of ours is which recorded one, and which time of ours was which.
#[derive(Debug, Default)]
pub(super) struct Ids {
    to_ours: BTreeMap<String, String>,
    to_recorded: BTreeMap<String, String>,
    /// Of batches that only we have.
    apart: BTreeSet<String>,
    moments: BTreeMap<u64, u64>,
}

impl Ids {
    pub(super) fn bind(&mut self, recorded: &str, ours: &str) {
        self.to_ours.insert(recorded.to_owned(), ours.to_owned());
        self.to_recorded.insert(ours.to_owned(), recorded.to_owned());
    }

    /// An id of ours that no recorded id may come to.
    pub(super) fn keep_apart(&mut self, ours: &str) {
        self.apart.insert(ours.to_owned());
    }

    /// Whether a recorded id, taken as ours, would come to a batch that it is not about.
    pub(super) fn is_another(&self, recorded: &str) -> bool {
        self.to_recorded.contains_key(recorded) || self.apart.contains(recorded)
    }

    /// Our id of a recorded batch.
    pub(super) fn known(&self, recorded: &str) -> Option<&str> {
        self.to_ours.get(recorded).map(String::as_str)
    }

    /// The recorded id of a batch of ours.
    pub(super) fn recorded(&self, ours: &str) -> Option<&str> {
        self.to_recorded.get(ours).map(String::as_str)
    }

    /// The same moment on both servers.
    pub(super) fn bind_moment(&mut self, recorded: u64, ours: u64) {
        self.moments.insert(recorded, ours);
    }

    pub(super) fn moment(&self, recorded: u64) -> Option<u64> {
        self.moments.get(&recorded).copied()
    }
}

/// The answers of a server that names its own address, as they would be at the recorded address.
pub(super) fn as_recorded_server(mut answers: Vec<Answer>, server: SocketAddr, recorded: &str) -> Vec<Answer> {
    let own = server.to_string();
    for answer in &mut answers {
        for (name, value) in &mut answer.headers {
            if name == "location" {
                *value = value.replacen(&format!("http://{own}/"), &format!("http://{recorded}/"), 1);
            }
        }
        answer.body = replace(&answer.body, own.as_bytes(), recorded.as_bytes());
    }
    answers
}

/// A recorded request as it is sent to the proxy.
pub(super) fn request(recorded: Request<'_>, product: &dyn Product, apps: &Apps, ids: &Ids) -> Vec<u8> {
    let mut head = recorded.head().to_vec();
    let plain = unpack(recorded.header("content-encoding").as_deref(), recorded.body());
    let body = match plain {
        Some((plain, pack)) => {
            let body = pack(&apps.as_ours(&plain));
            let length = |n: usize| format!("Content-Length: {n}\r\n").into_bytes();
            head = replace(&head, &length(recorded.body().len()), &length(body.len()));
            body
        }
        // A path may begin in one chunk and end in the next.
        None if recorded.header("transfer-encoding").is_some() => {
            within_chunks(recorded.body(), |whole| apps.as_ours(whole))
        }
        None => apps.as_ours(recorded.body()),
    };
    // Lines that end in LF alone have no end of a head that would be seen here.
    let whole = recorded.body().is_empty() && !head.ends_with(b"\r\n\r\n");
    let head = if whole { apps.as_ours(&head) } else { head };
    product.send([head, body].concat(), ids)
}

/// Changes the content of a chunked body into one as long, chunk by chunk. What is not chunked as it should be is left as it is.
fn within_chunks(body: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some(places) = chunks(body) else { return body.to_vec() };
    let whole: Vec<u8> = places.iter().flat_map(|place| body[place.clone()].iter().copied()).collect();
    let changed = change(&whole);
    assert_eq!(changed.len(), whole.len(), "paths are exchanged for ones that are as long");
    let mut out = body.to_vec();
    let mut rest = changed.as_slice();
    for place in places {
        let (part, after) = rest.split_at(place.len());
        out[place].copy_from_slice(part);
        rest = after;
    }
    out
}

/// Where the chunks' contents lie.
fn chunks(body: &[u8]) -> Option<Vec<Range<usize>>> {
    let mut places = Vec::new();
    let mut at = 0;
    loop {
        let line = body[at..].windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&body[at..at + line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            return Some(places);
        }
        body.get(at..at + size)?;
        places.push(at..at + size);
        at += size + 2;
        body.get(at..)?;
    }
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// The content of a compressed body and how to compress it again; `None` if it is not compressed, whatever its header says.
fn unpack(coding: Option<&str>, body: &[u8]) -> Option<(Vec<u8>, Pack)> {
    let pack: Pack = match coding? {
        "gzip" => |plain| {
            let mut out = GzEncoder::new(Vec::new(), Compression::default());
            out.write_all(plain).and_then(|()| out.finish()).expect("writing to memory does not fail")
        },
        "deflate" => |plain| {
            let mut out = ZlibEncoder::new(Vec::new(), Compression::default());
            out.write_all(plain).and_then(|()| out.finish()).expect("writing to memory does not fail")
        },
        _ => return None,
    };
    Some((decode(coding, body).ok()?, pack))
}

/// A body without its content coding.
pub(crate) fn decode(coding: Option<&str>, body: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let read = match coding {
        Some("gzip") => MultiGzDecoder::new(body).read_to_end(&mut plain),
        Some("deflate") => ZlibDecoder::new(body).read_to_end(&mut plain),
        _ => return Ok(body.to_vec()),
    };
    read.map(|_| plain).map_err(|e| format!("the body is not {}: {e}", coding.unwrap_or_default()))
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}
