//! A job's folder: the one truth about a job, for the proxy and the runner alike.
//!
//! | file | says |
//! |---|---|
//! | `launch.json` | what to run; the job is accepted once this is there, and removed at the end since it may hold secrets |
//! | `meta.json` | what a list needs, without secrets |
//! | `log`, `log.index` | what the job wrote, and where lines begin in it |
//! | `started` | a runner has taken the job on; made with `O_EXCL`, so a job is started at most once |
//! | `lock` | held by the runner while it lives |
//! | `alive` | its locked open file is the job's stdin: held while any process of the job lives, also if the runner was killed |
//! | `cancel` | somebody has asked for the end |
//! | `control` | a FIFO by which the runner is told so |
//! | `exit.json` | how it ended |
//! | `work/`, `uploads/` | where the job runs, and what came with it; the latter is removed at the end |
//!
//! Locks belong to open files, so the kernel takes them back however a process dies, and no number of a process is ever trusted.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use batchlingua_core::{Millis, Uuid};
use rustix::fs::{CWD, Mode};
use serde::{Serialize, de::DeserializeOwned};

use crate::records::{Exit, Launch, Meta, Place};

pub(crate) const LAUNCH: &str = "launch.json";
pub(crate) const META: &str = "meta.json";
pub(crate) const LOG: &str = "log";
pub(crate) const LOG_INDEX: &str = "log.index";
pub(crate) const STARTED: &str = "started";
pub(crate) const LOCK: &str = "lock";
pub(crate) const ALIVE: &str = "alive";
pub(crate) const CANCEL: &str = "cancel";
pub(crate) const CONTROL: &str = "control";
pub(crate) const EXIT: &str = "exit.json";
const NEW_EXIT: &str = "exit.json.new";
pub(crate) const WORK: &str = "work";
pub(crate) const UPLOADS: &str = "uploads";

/// What an end takes on disk. It is taken with the folder: a job that fills the disk with its log still gets its end written.
const EXIT_BYTES: usize = 4096;

/// The folder of one job.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) id: Uuid,
    path: PathBuf,
}

/// How a job stands by its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No runner has taken it on.
    Queued,
    /// Its runner lives.
    Held,
    /// Its runner was killed, but some process of it lives.
    Orphaned,
    /// It ended so.
    Ended(Exit),
    /// It ended and nobody saw how.
    Lost,
}

impl Folder {
    /// The folder of that id, there or not.
    pub(crate) fn of(dir: &Path, id: Uuid) -> Self {
        Self { id, path: dir.join(id.to_string()) }
    }

    /// The folder that the process was started in.
    pub(crate) fn current() -> Self {
        Self { id: Uuid::nil(), path: PathBuf::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder; fails with `AlreadyExists` where there is one.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.path)
    }

    /// Fills it. Once this returns the job is accepted, also if the machine fails right after.
    pub(crate) fn fill(&self, meta: &Meta, launch: &[u8], uploads: &[(PathBuf, &Path)]) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(self.file(WORK))?;
        for name in [LOG, LOCK, ALIVE] {
            self.create_new(name)?;
        }
        rustix::fs::mkfifoat(CWD, self.file(CONTROL), Mode::RUSR | Mode::WUSR)?;
        if !uploads.is_empty() {
            DirBuilder::new().mode(0o700).create(self.file(UPLOADS))?;
        }
        for (place, from) in uploads {
            self.take_upload(&self.file(UPLOADS).join(place), from)?;
        }
        if !uploads.is_empty() {
            sync_directory(&self.file(UPLOADS))?;
        }
        self.write_new(NEW_EXIT, &[b' '; EXIT_BYTES])?;
        self.write_new(META, &json(meta))?;
        sync_directory(self.path.parent().expect("a job's folder lies in the folder of jobs"))?;
        self.write_durably(LAUNCH, launch)
    }

    /// A spooled file is gone when its submit is answered. It is linked if that is possible, since it may be large.
    fn take_upload(&self, to: &Path, from: &Path) -> io::Result<()> {
        let own = to.parent().expect("an upload lies in a folder of its own");
        DirBuilder::new().mode(0o700).create(own)?;
        if fs::hard_link(from, to).is_err() {
            fs::copy(from, to)?;
        }
        File::open(to)?.sync_all()?;
        sync_directory(own)
    }

    /// Whether it was accepted or has ended: else it is the remainder of a submit or of a removal that was cut short.
    pub(crate) fn is_whole(&self) -> bool {
        self.file(META).exists() && (self.file(LAUNCH).exists() || self.file(EXIT).exists())
    }

    /// Removes the folder. What makes it whole goes first, so that a remainder is known for what it is.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_if_there(&self.file(META))?;
        fs::remove_dir_all(&self.path)
    }

    pub(crate) fn meta(&self) -> io::Result<Meta> {
        read_json(&self.file(META))
    }

    pub(crate) fn place(&self) -> io::Result<Place> {
        read_json(&self.file(META))
    }

    pub(crate) fn exit(&self) -> io::Result<Option<Exit>> {
        match read_json(&self.file(EXIT)) {
            Ok(exit) => Ok(Some(exit)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the end down and removes what may hold secrets. Whoever does this holds [`Folder::lock`].
    pub(crate) fn end(&self, exit: &Exit) -> io::Result<()> {
        // First, so that whoever sees the end finds them gone. The end is written all the same: what stays goes with the folder.
        let _ = fs::remove_dir_all(self.file(UPLOADS));
        let mut bytes = json(exit);
        bytes.resize(bytes.len().max(EXIT_BYTES), b' ');
        // Not truncated: its blocks are what was set aside.
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.file(NEW_EXIT))?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        fs::rename(self.file(NEW_EXIT), self.file(EXIT))?;
        self.sync()?;
        self.forget_launch()
    }

    /// An end that was written by one that then died may have left it.
    pub(crate) fn forget_launch(&self) -> io::Result<()> {
        remove_if_there(&self.file(LAUNCH))
    }

    pub(crate) fn launch(&self) -> io::Result<Launch> {
        read_json(&self.file(LAUNCH))
    }

    /// When a runner took the job on.
    pub(crate) fn started(&self) -> Option<Millis> {
        let since = fs::metadata(self.file(STARTED)).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(Millis)
    }

    /// Takes the job on; false if somebody has before. Durable: after a power cut the job must not start once more.
    pub(crate) fn start(&self) -> io::Result<bool> {
        match self.create_new(STARTED) {
            Ok(_) => self.sync().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn cancel_asked(&self) -> bool {
        self.file(CANCEL).exists()
    }

    /// Durable: a cancel that was accepted is not forgotten.
    pub(crate) fn ask_cancel(&self) -> io::Result<()> {
        match self.create_new(CANCEL) {
            Ok(_) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells the runner of a cancel; false if nobody listens. A runner that does not listen yet looks for the cancel itself.
    pub(crate) fn ring(&self) -> io::Result<bool> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        match OpenOptions::new().write(true).custom_flags(flags).open(self.file(CONTROL)) {
            Ok(mut control) => match control.write(b"c") {
                // Full of earlier rings: it will be heard.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
                other => other.map(|_| true),
            },
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until no runner holds the job, and holds it.
    pub(crate) fn lock(&self) -> io::Result<Held> {
        let file = File::open(self.file(LOCK))?;
        file.lock()?;
        Ok(Held(file))
    }

    /// Holds the job unless somebody does.
    pub(crate) fn try_lock(&self) -> io::Result<Option<Held>> {
        try_lock(&self.file(LOCK))
    }

    /// Waits until no process of the job lives.
    pub(crate) fn wait_for_processes(&self) -> io::Result<()> {
        let file = File::open(self.file(ALIVE))?;
        file.lock()?;
        file.unlock()
    }

    /// How the job stands.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        if let Some(exit) = self.exit()? {
            return Ok(Standing::Ended(exit));
        }
        let Some(held) = self.try_lock()? else { return Ok(Standing::Held) };
        let standing = self.standing_without_runner(&held)?;
        held.release()?;
        Ok(standing)
    }

    /// How the job stands, once its runner is known to be gone.
    pub(crate) fn standing_without_runner(&self, _: &Held) -> io::Result<Standing> {
        if let Some(exit) = self.exit()? {
            return Ok(Standing::Ended(exit));
        }
        if self.started().is_none() {
            return Ok(Standing::Queued);
        }
        match try_lock(&self.file(ALIVE))? {
            None => Ok(Standing::Orphaned),
            Some(held) => held.release().map(|()| Standing::Lost),
        }
    }

    fn create_new(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.file(name))
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.create_new(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Whole or not at all, and still there after a power cut.
    fn write_durably(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.new");
        remove_if_there(&self.file(&temporary))?;
        self.write_new(&temporary, bytes)?;
        fs::rename(self.file(&temporary), self.file(name))?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        sync_directory(if self.path.as_os_str().is_empty() { Path::new(".") } else { &self.path })
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A lock, held.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    /// A process that is just being forked has the open file too for a moment: only unlocking lets go at once.
    pub(crate) fn release(self) -> io::Result<()> {
        self.0.unlock()
    }
}

/// Holds the file unless somebody does.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<Held>> {
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Held(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("records have text keys only")
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
