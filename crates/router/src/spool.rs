//! A folder of its own for the files of one request, gone with whoever needed them.
//!
//! A form may be refused, cut, overtaken by its deadline, or carry files that its dialect does not take; its client may leave at any byte.
//! All of that is one rule here: whoever holds the spool needs the files, and when the last holder is done the folder goes with all
//! that is in it.

use std::{fs, io, path::PathBuf, sync::Arc};

use batchlingua_core::{Error, Result, Uuid};
use batchlingua_wire::FormLimits;

/// The files of one request. Without any it is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spool {
    _dir: Option<Arc<Dir>>,
}

#[derive(Debug)]
struct Dir(PathBuf);

impl Spool {
    /// A new folder, and the bounds with it for `dir`.
    pub(crate) fn new(limits: &FormLimits) -> Result<(Self, FormLimits)> {
        let dir = limits.dir.join(Uuid::new_v4().to_string());
        make(&dir).map_err(|error| Error::internal(format!("upload_dir: {error}")))?;
        Ok((Self { _dir: Some(Arc::new(Dir(dir.clone()))) }, FormLimits { dir, ..limits.clone() }))
    }
}

fn make(dir: &PathBuf) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A file that was just being made when its request was broken off can come in between; there is no second one.
        let removed = fs::remove_dir_all(&self.0).or_else(|_| fs::remove_dir_all(&self.0));
        if let Err(error) = removed {
            tracing::warn!(%error, dir = %self.0.display(), "uploaded files cannot be removed");
        }
    }
}
