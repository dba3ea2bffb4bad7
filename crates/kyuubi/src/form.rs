//! A submit with its files, as the form that Kyuubi's own clients send: the JSON first, then the file that runs, then the others.
//!
//! The files go from the spool to the socket piece by piece, so memory stays flat whatever is uploaded; the length is known beforehand. A
//! file's name stands in a header, in the JSON, and in a list with commas: characters that mean something in one of these become `_` in all
//! of them, which is no loss, since a Kyuubi stores each file under a name of its own making.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    io,
    path::PathBuf,
    sync::Arc,
};

use batchlingua_core::{Payload, Purpose, Uuid};
use batchlingua_wire::{Body, BodyError, Outgoing};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::HeaderValue;
use tokio::{fs::File, io::AsyncReadExt};

use crate::plan::keys_of;

const BATCH_REQUEST: &str = "batchRequest";
/// The part with the file that runs.
pub(crate) const RESOURCE_FILE: &str = "resourceFile";
/// How much of a file is in memory at once.
const PIECE: usize = 64 << 10;

/// A file of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// What it is called in the form.
    pub(crate) name: String,
    /// Whether it is what runs.
    pub(crate) is_application: bool,
    /// The conf keys whose lists it is added to.
    pub(crate) keys: Vec<String>,
    path: PathBuf,
    bytes: u64,
}

impl Upload {
    /// The files that are for something.
    pub(crate) fn of(files: &[Payload]) -> Vec<Self> {
        let mut taken = HashSet::from([BATCH_REQUEST.to_owned(), RESOURCE_FILE.to_owned()]);
        let mut uploads: Vec<Self> = Vec::new();
        for file in files {
            let is_application = file.purpose == Purpose::Application;
            let keys = keys_of(&file.purpose).to_vec();
            if !is_application && keys.is_empty() {
                continue;
            }
            let safe = safe_name(&file.file_name);
            let name = match is_application {
                true => safe,
                false => free_name(safe, &mut taken),
            };
            uploads.push(Self { name, is_application, keys, path: file.path.clone(), bytes: file.bytes });
        }
        uploads
    }

    fn part(&self) -> &str {
        if self.is_application { RESOURCE_FILE } else { &self.name }
    }
}

fn safe_name(name: &str) -> String {
    let safe = |c: char| if c.is_control() || matches!(c, '"' | '\\' | '/' | ',') { '_' } else { c };
    let name: String = name.trim().chars().map(safe).collect();
    // A Kyuubi skips names that are blank.
    if name.is_empty() { "file".to_owned() } else { name }
}

/// Parts are told apart by their names.
fn free_name(name: String, taken: &mut HashSet<String>) -> String {
    let free = (1_u32..).map(|n| if n == 1 { name.clone() } else { format!("{n}-{name}") });
    let free = free.into_iter().find(|name| !taken.contains(name)).expect("there are more numbers than files");
    taken.insert(free.clone());
    free
}

/// Makes boundaries: the same for a submit each time, and known to nobody outside this process, so that no uploaded file can have it inside.
#[derive(Debug, Default)]
pub(crate) struct Boundaries(RandomState);

impl Boundaries {
    fn of(&self, uuid: Uuid) -> String {
        let half = |which: u8| self.0.hash_one((uuid.as_u128(), which));
        format!("batchlingua-{:016x}{:016x}", half(0), half(1))
    }

    /// The form of a submit.
    pub(crate) fn form(&self, uuid: Uuid, request: &Bytes, uploads: &[Upload]) -> Form {
        let boundary = self.of(uuid);
        let head = |disposition: String, kind: &str| {
            format!("--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {kind}\r\n\r\n")
        };
        let json = head(format!("name=\"{BATCH_REQUEST}\""), "application/json; charset=UTF-8");
        let mut pieces = vec![Piece::Text(json.into()), Piece::Text(request.clone())];
        for upload in uploads {
            let disposition = format!("name=\"{}\"; filename=\"{}\"", upload.part(), upload.name);
            let head = format!("\r\n{}", head(disposition, "application/octet-stream"));
            pieces.push(Piece::Text(head.into()));
            pieces.push(Piece::File { path: upload.path.clone(), bytes: upload.bytes });
        }
        pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        Form { boundary, pieces: pieces.into() }
    }
}

/// A form that can be sent.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    boundary: String,
    pieces: Arc<[Piece]>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Bytes),
    File { path: PathBuf, bytes: u64 },
}

impl Form {
    pub(crate) fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/form-data; boundary={}; charset=UTF-8", self.boundary);
        HeaderValue::try_from(text).expect("a boundary is a header's text")
    }

    /// How long it is.
    pub(crate) fn length(&self) -> u64 {
        let of = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::File { bytes, .. } => *bytes,
        };
        self.pieces.iter().map(of).sum()
    }

    /// The same as a body, which can be made again as long as nothing of it was sent.
    pub(crate) fn outgoing(&self) -> Outgoing {
        let pieces = self.pieces.clone();
        Outgoing::Stream { make: Arc::new(move || body(pieces.clone())), length: Some(self.length()) }
    }

    /// Whether the files are still there as they were spooled. Looked at before the first byte goes out: an error in the middle of a body
    /// leaves an outcome that nobody knows.
    pub(crate) async fn check(&self) -> io::Result<()> {
        for piece in self.pieces.iter() {
            if let Piece::File { path, bytes } = piece {
                let length = tokio::fs::metadata(path).await?.len();
                if length != *bytes {
                    return Err(io::Error::other(format!("a spooled file has {length} bytes, not {bytes}")));
                }
            }
        }
        Ok(())
    }
}

/// Where the sending of a form stands.
struct Sending {
    pieces: Arc<[Piece]>,
    next: usize,
    file: Option<(File, u64)>,
}

fn body(pieces: Arc<[Piece]>) -> Body {
    let sending = Sending { pieces, next: 0, file: None };
    Body::stream(stream::try_unfold(sending, |mut sending| async move {
        let piece = sending.piece().await.map_err(|error| BodyError(format!("an uploaded file: {error}")))?;
        Ok(piece.map(|piece| (piece, sending)))
    }))
}

impl Sending {
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some((file, left)) = &mut self.file {
                if *left > 0 {
                    return read(file, left).await.map(Some);
                }
                self.file = None;
            }
            let Some(piece) = self.pieces.get(self.next) else { return Ok(None) };
            self.next += 1;
            match piece {
                Piece::Text(text) => return Ok(Some(text.clone())),
                Piece::File { path, bytes } => self.file = Some((File::open(path).await?, *bytes)),
            }
        }
    }
}

/// The next piece of a file, and never more than was announced.
async fn read(file: &mut File, left: &mut u64) -> io::Result<Bytes> {
    let size = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
    let mut piece = BytesMut::with_capacity(size);
    file.take(size as u64).read_buf(&mut piece).await?;
    if piece.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *left -= piece.len() as u64;
    Ok(piece.freeze())
}
