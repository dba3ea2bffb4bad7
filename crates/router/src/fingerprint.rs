//! What tells a repeated submit from another one that has the same `Idempotency-Key`.
//!
//! All that a client says counts: the query and the project beside the body, and of a form every value and the bytes of every file. Not
//! the path: the same call may have several spellings.

use std::{io::Read, sync::Arc};

use batchlingua_core::{Context, Error, Result};
use batchlingua_wire::{Part, RequestBody, RequestHead};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A body of so many bytes is done with before a thread for it would have begun; a larger one, or files, would keep others waiting.
const QUICK: usize = 64 << 10;

/// What a fingerprint is made from; cheap to keep until it is known whether it is needed.
pub(crate) struct Fingerprint {
    query: Vec<(String, String)>,
    body: Said,
}

enum Said {
    Nothing,
    Bytes(Bytes),
    Form(Vec<(String, Piece)>),
}

enum Piece {
    Value(Bytes),
    File(String, Arc<std::path::Path>),
}

impl Fingerprint {
    pub(crate) fn of(head: &RequestHead, body: &RequestBody) -> Self {
        let piece = |part: &Part| match part {
            Part::Small { bytes, .. } => Piece::Value(bytes.clone()),
            Part::File(file) => Piece::File(file.file_name.clone(), file.path.as_path().into()),
        };
        let body = match body {
            RequestBody::Empty => Said::Nothing,
            RequestBody::Bytes(bytes) => Said::Bytes(bytes.clone()),
            RequestBody::Form(parts) => {
                Said::Form(parts.iter().map(|(name, part)| (name.clone(), piece(part))).collect())
            }
        };
        let query = match body {
            Said::Nothing => Vec::new(),
            Said::Bytes(_) | Said::Form(_) => {
                head.target.query.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
        };
        Self { query, body }
    }

    /// Reads the form's files, off the runtime's threads.
    pub(crate) async fn digest(self, ctx: &Context) -> Result<[u8; 32]> {
        let project = ctx.project.clone();
        let is_quick = match &self.body {
            Said::Nothing => true,
            Said::Bytes(bytes) => bytes.len() <= QUICK,
            Said::Form(_) => false,
        };
        let digest = move || -> std::io::Result<[u8; 32]> {
            let mut hash = Sha256::new();
            if let Some(project) = &project {
                put(&mut hash, project.as_str().as_bytes());
            }
            for (name, value) in &self.query {
                put(&mut hash, name.as_bytes());
                put(&mut hash, value.as_bytes());
            }
            match &self.body {
                Said::Nothing => {}
                Said::Bytes(bytes) => put(&mut hash, bytes),
                Said::Form(parts) => {
                    for (name, piece) in parts {
                        put(&mut hash, name.as_bytes());
                        match piece {
                            Piece::Value(bytes) => put(&mut hash, bytes),
                            Piece::File(file_name, path) => {
                                put(&mut hash, file_name.as_bytes());
                                put_file(&mut hash, path)?;
                            }
                        }
                    }
                }
            }
            Ok(hash.finalize().into())
        };
        let done = match is_quick {
            true => digest(),
            false => tokio::task::spawn_blocking(digest).await.map_err(Error::internal)?,
        };
        done.map_err(|error| Error::internal(format!("upload_dir: {error}")))
    }
}

/// With its length, so that no two lists of texts are one.
fn put(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

fn put_file(hash: &mut Sha256, path: &std::path::Path) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            read => hash.update(&chunk[..read]),
        }
    }
}
