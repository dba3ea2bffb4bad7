//! The ledger's files: who may use them, and whether they are a ledger at all.
//!
//! The order matters. The lock comes first, so that nobody looks at a file that another process is changing. Then the file is looked at
//! without being written, so that what is refused is left as it was. Only then is it opened for writing.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process,
};

use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::LedgerError;

const MAGIC: &[u8] = b"SQLite format 3\0";

/// Owner only: a spec is masked, but who runs what is nobody else's business.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The lock on the ledger, free again when this is dropped, however the process ends.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is just being forked has the open file too for a moment: only unlocking lets go at once.
        let _ = self.0.unlock();
    }
}

/// Makes folder and file where they are missing, and takes the lock.
pub(super) fn take(path: &Path) -> Result<Lock, LedgerError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(LedgerError::io(folder))?;
    }
    let beside = with_suffix(path, ".lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&beside)
        .map_err(LedgerError::io(&beside))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(LedgerError::InUse { path: path.to_path_buf(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(cause)) => return Err(LedgerError::open(beside, cause)),
    }
    sign(&mut file).map_err(LedgerError::io(beside))?;
    Ok(Lock(file))
}

/// The lock itself is the system's; the pid is for the person who reads the refusal.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", process::id())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// Refuses what this program cannot use, before anything is written to it. A missing or empty file is a ledger to be.
pub(super) fn check(path: &Path, known: usize) -> Result<(), LedgerError> {
    let not = |what| LedgerError::NotALedger { path: path.to_path_buf(), what };
    let mut head = Vec::new();
    match File::open(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut head)),
    }
    .map_err(LedgerError::io(path))?;
    if head.is_empty() {
        return Ok(());
    }
    if head != MAGIC {
        return Err(not("no SQLite database"));
    }
    let (application, version, tables) = look(path).map_err(|cause| LedgerError::open(path, cause))?;
    if application != schema::APPLICATION_ID && (application, version, tables) != (0, 0, 0) {
        return Err(not("the database of another program"));
    }
    let known = i64::try_from(known).unwrap_or(i64::MAX);
    if version > known {
        return Err(LedgerError::Newer { path: path.to_path_buf(), found: version, known });
    }
    Ok(())
}

/// Application, version and number of tables, read without a trace. What a crash left in the write-ahead log counts; where there is
/// none, the file is taken for immutable, else SQLite would make an empty one.
fn look(path: &Path) -> rusqlite::Result<(i32, i64, i64)> {
    let logged = fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, !logged), flags)?;
    let application = connection.pragma_query_value(None, "application_id", |value| value.get(0))?;
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok((application, schema::version(&connection)?, tables))
}

/// Escaped byte by byte, since a file name need not be text. The two slashes keep a path that begins with two from naming a host.
fn uri(path: &Path, immutable: bool) -> String {
    let mut uri = String::from(if path.is_absolute() { "file://" } else { "file:" });
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + if immutable { "?immutable=1" } else { "" }
}

/// Makes the file before SQLite does, which gives its own files the same mode.
pub(super) fn create(path: &Path) -> Result<(), LedgerError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path);
    match made {
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop).map_err(LedgerError::io(path)),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
