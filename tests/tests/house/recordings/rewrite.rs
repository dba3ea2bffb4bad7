//! What has to be changed on the way to the proxy and back: where the applications lie, the ids, and the server's own address.
//!
//! The recorded requests name files under `/srv/apps`. A test may not write there, so the applications are copied to a folder
//! whose path is **as long and as deep**: `/tmp/` and four characters. So the two can be exchanged within
//! any bytes, in UTF-16 as in UTF-8, and lengths, chunk sizes, `..` and the columns that error texts count stay true. Only compressed bodies
//! have to be packed anew.
//!
//! A recorded id is ours wherever both answers to a submit (or a reconstructed one) named them. A recorded id that we have no batch for
//! is sent as it is, unless one of ours happens to have the number: then it goes out far above all real ones and comes back as itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::Value;
use tempfile::TempDir;

use super::cases;
use crate::wire::{Answer, Request};

/// Where the recorded server's applications lay, and its stand-in for Spark.
const RECORDED_APPS: &str = "/srv/apps";
const RECORDED_SPARK: &str = "/srv/spark-stub";
/// Where the recorded server listened, and what its requests name as their host.
const RECORDED_SERVER: &str = "127.0.0.1:8998";
/// Added to a recorded id that must not be taken for one of ours.
const NOBODY: u64 = 1_000_000;

/// A copy of the applications at a path that is as long as the recorded one.
pub(super) struct Apps {
    folder: TempDir,
    spark: PathBuf,
}

impl Apps {
    pub(super) fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("").rand_bytes(4).tempdir_in("/tmp").expect("a folder in /tmp can be made");
        assert_eq!(
            folder.path().as_os_str().len(),
            RECORDED_APPS.len(),
            "{} is as long as {RECORDED_APPS}",
            folder.path().display()
        );
        let recordings = cases::folder();
        for app in fs::read_dir(recordings.join("apps")).expect("the recordings have applications") {
            let app = app.expect("the folder can be listed");
            fs::copy(app.path(), folder.path().join(app.file_name())).expect("an application can be copied");
        }
        Self { folder, spark: recordings.join("stub") }
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

    fn as_ours(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for code in CODES {
            bytes = replace(&bytes, &code(RECORDED_APPS), &code(self.ours()));
        }
        bytes
    }

    /// A text of the proxy with the recorded paths in it.
    pub(super) fn as_recorded(&self, text: &str) -> String {
        let (_, last) = self.ours().rsplit_once('/').expect("the path is absolute");
        let spark = self.spark.to_str().expect("the repository's path is UTF-8");
        // What follows `//srv` in `//srv/apps/job.py`, where the first segment is read as a host.
        let behind_host = format!("/{last}/");
        text.replace(self.ours(), RECORDED_APPS).replace(&behind_host, "/apps/").replace(spark, RECORDED_SPARK)
    }
}

type Code = fn(&str) -> Vec<u8>;

/// The encodings in which the recorded bodies name a path.
const CODES: [Code; 3] = [
    |text| text.as_bytes().to_vec(),
    |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    |text| text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
];

/// Which id of ours is which recorded one.
#[derive(Debug, Default)]
pub(super) struct Ids {
    to_ours: BTreeMap<u64, u64>,
    to_recorded: BTreeMap<u64, u64>,
    /// Of batches that only we have.
    apart: BTreeSet<u64>,
}

impl Ids {
    pub(super) fn bind(&mut self, recorded: u64, ours: u64) {
        self.to_ours.insert(recorded, ours);
        self.to_recorded.insert(ours, recorded);
    }

    /// An id of ours that no recorded id may come to.
    pub(super) fn keep_apart(&mut self, ours: u64) {
        self.apart.insert(ours);
    }

    pub(super) fn known(&self, recorded: u64) -> Option<u64> {
        self.to_ours.get(&recorded).copied()
    }

    pub(super) fn ours(&self, recorded: u64) -> u64 {
        match self.known(recorded) {
            Some(ours) => ours,
            None if self.to_recorded.contains_key(&recorded) || self.apart.contains(&recorded) => NOBODY + recorded,
            None => recorded,
        }
    }

    fn recorded(&self, ours: u64) -> u64 {
        match self.to_recorded.get(&ours) {
            Some(&recorded) => recorded,
            None if (NOBODY..2 * NOBODY).contains(&ours) => ours - NOBODY,
            None => ours,
        }
    }

    /// The path of a recorded request, or a Location of ours: its id is the segment after `/batches/`.
    fn in_path(path: &str, map: impl Fn(u64) -> u64) -> String {
        let Some((before, rest)) = path.split_once("/batches/") else { return path.to_owned() };
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        // `/batches/007` and `/batches/1.5` are about their spelling, and are sent as spelled.
        let plain = after.is_empty() || after.starts_with(['/', '?', ' ']);
        match digits.parse::<u64>() {
            Ok(id) if plain && digits == id.to_string() => format!("{before}/batches/{}{after}", map(id)),
            _ => path.to_owned(),
        }
    }

    pub(super) fn location(&self, ours: &str) -> String {
        Self::in_path(ours, |id| self.recorded(id))
    }

    /// The ids of an answer of ours, members and texts, made the recorded ones.
    pub(super) fn in_body(&self, body: &mut Value) {
        match body {
            Value::Array(items) => items.iter_mut().for_each(|item| self.in_body(item)),
            Value::Object(members) => {
                if let Some(id) = members.get_mut("id")
                    && let Some(ours) = id.as_u64()
                {
                    *id = self.recorded(ours).into();
                }
                members.values_mut().for_each(|member| self.in_body(member));
            }
            Value::String(text) => {
                if let Some(id) = text.strip_prefix("Session '").and_then(|t| t.strip_suffix("' not found."))
                    && let Ok(ours) = id.parse::<u64>()
                    && ours.to_string() == id
                {
                    *text = format!("Session '{}' not found.", self.recorded(ours));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The answers of a server that names its own address in `Location`, as they would be at the recorded address.
pub(super) fn as_recorded_server(mut answers: Vec<Answer>, server: SocketAddr) -> Vec<Answer> {
    let own = format!("http://{server}/");
    for (name, value) in answers.iter_mut().flat_map(|answer| &mut answer.headers) {
        if name == "location"
            && let Some(path) = value.strip_prefix(&own)
        {
            *value = format!("http://{RECORDED_SERVER}/{path}");
        }
    }
    answers
}

/// A recorded request as it is sent to the proxy.
pub(super) fn request(recorded: Request<'_>, apps: &Apps, ids: &Ids) -> Vec<u8> {
    let head = String::from_utf8_lossy(recorded.head());
    let line = String::from_utf8_lossy(recorded.line());
    let ours = Ids::in_path(&line, |id| ids.ours(id));
    // A target that is no UTF-8 is sent as recorded; it has no id.
    let mut head = if ours == line { recorded.head().to_vec() } else { head.replacen(&*line, &ours, 1).into_bytes() };
    let plain = unpack(recorded.header("content-encoding").as_deref(), recorded.body());
    let body = match plain {
        Some((plain, pack)) => {
            let body = pack(&apps.as_ours(&plain));
            let length = |n: usize| format!("Content-Length: {n}\r\n").into_bytes();
            head = replace(&head, &length(recorded.body().len()), &length(body.len()));
            body
        }
        None => apps.as_ours(recorded.body()),
    };
    head.extend(body);
    head
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
