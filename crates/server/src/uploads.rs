//! The folder where uploaded files wait for their job: what a killed process has left there is removed at the start.
//!
//! Several processes may share the folder, and the files of one that lives must not go. So each holds a lock on the folder while it runs,
//! together with the others; only who gets it for himself alone, at his start, removes anything, and then only folders with names as the
//! router gives them.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use batchlingua_core::Uuid;
use tracing::{info, warn};

/// A process that uses the folder, until it is dropped or the process ends.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "the open folder is the lock")] File);

/// Makes the folder if it is missing, and empties it if nobody else uses it.
pub fn enter(dir: &Path) -> io::Result<InUse> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let folder = File::open(dir)?;
    match folder.try_lock() {
        Ok(()) => {
            let removed = empty(dir)?;
            if removed > 0 {
                info!(dir = %dir.display(), removed, "uploads that a former process has left were removed");
            }
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // From here on together with the others; who empties it at this moment does not take long.
    folder.lock_shared()?;
    Ok(InUse(folder))
}

fn empty(dir: &Path) -> io::Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| Uuid::try_parse(name).is_ok_and(|id| id.to_string() == name));
        // A link is not followed: it is no folder to this question.
        if !is_ours || !entry.file_type()?.is_dir() {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) => warn!(%error, dir = %entry.path().display(), "uploads of a former process cannot be removed"),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_goes_unless_somebody_uses_the_folder() {
        let dir = tempfile::tempdir().expect("a directory");
        let uploads = dir.path().join("made/uploads");
        let first = enter(&uploads).expect("made");
        let left = |name: &str| {
            let folder = uploads.join(name);
            fs::create_dir(&folder).expect("made");
            fs::write(folder.join("file"), "x").expect("written");
            folder
        };
        let upload = left(&Uuid::from_u128(7).to_string());
        let (short, other) = (left("00000000000000000000000000000008"), left("mine"));
        fs::write(uploads.join(Uuid::from_u128(9).to_string()), "a file").expect("written");

        let second = enter(&uploads).expect("shared");
        assert!(upload.exists(), "the first process may still need it");
        drop(first);
        let third = enter(&uploads).expect("shared");
        assert!(upload.exists(), "the second, too");
        drop((second, third));
        let _alone = enter(&uploads).expect("alone");
        assert!(!upload.exists() && short.exists() && other.exists());
        assert_eq!(fs::read_dir(&uploads).expect("there").count(), 3, "what is not ours stays");
    }
}
