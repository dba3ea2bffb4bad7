//! The jobs of one folder: taken in, started in order, ended, forgotten.
//!
//! One process at a time owns a folder, by a lock in it. Within the process one [`Jobs`] does, however many backends are configured upon it:
//! a reload makes a new backend before it lets go of the old one. All methods block on the disk unless they say otherwise.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use batchlingua_core::{
    Batch, BatchState, Clock, Effect, Error, ErrorKind, Lines, Millis, Missing, NativeId, Plan, Result, Sighting,
    SubmitError, Uuid,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    Config,
    folder::{Folder, LOG, LOG_INDEX, Standing},
    log::{JobLog, LogPage},
    named::Uploads,
    records::{Exit, Meta, Place},
    table::{About, Cancelling, Job, Reserved, Table},
    watch::{self, Begin},
};

const DIR_LOCK: &str = ".lock";

/// How long a client waits before it asks again for a place in the queue.
const RETRY_AFTER: Duration = Duration::from_secs(5);

static OPEN: Mutex<Vec<(PathBuf, Weak<Jobs>)>> = Mutex::new(Vec::new());

/// Who wants to know of changes. Each backend has its own, from before it has any jobs, so that nothing is missed.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Vec<UnboundedSender<Uuid>>>);

impl Listeners {
    /// Jobs as they change, from now on.
    pub(crate) fn listen(&self) -> UnboundedReceiver<Uuid> {
        let (sender, receiver) = unbounded_channel();
        locked(&self.0).push(sender);
        receiver
    }

    fn tell(&self, id: Uuid) {
        locked(&self.0).retain(|listener| listener.send(id).is_ok());
    }
}

/// The jobs of one folder.
pub(crate) struct Jobs {
    dir: PathBuf,
    config: Mutex<Arc<Config>>,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    listeners: Mutex<Vec<Weak<Listeners>>>,
    lock: File,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Jobs {
    /// Takes the folder, finds its jobs, and goes on with them.
    pub(crate) fn open(
        dir: &Path,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
        listeners: &Arc<Listeners>,
    ) -> Result<Arc<Self>> {
        let unavailable = |message: String, error: io::Error| {
            let kind = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
            Error::new(kind, message).caused_by(error)
        };
        let failed = |error| unavailable("the local backend's folder cannot be used".to_owned(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let dir = dir.canonicalize().map_err(failed)?;
        let mut open = locked(&OPEN);
        open.retain(|(_, jobs)| jobs.strong_count() > 0);
        if let Some(jobs) = open.iter().find(|(other, _)| *other == dir).and_then(|(_, jobs)| jobs.upgrade()) {
            *locked(&jobs.config) = config;
            locked(&jobs.listeners).push(Arc::downgrade(listeners));
            jobs.pump();
            return Ok(jobs);
        }
        let lock = lock_dir(&dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                unavailable("the local backend's folder is in use by another process".to_owned(), error)
            }
            _ => failed(error),
        })?;
        let jobs = Arc::new(Self {
            config: Mutex::new(config),
            clock,
            table: Mutex::default(),
            listeners: Mutex::new(vec![Arc::downgrade(listeners)]),
            lock,
            dir: dir.clone(),
        });
        jobs.find_all().map_err(failed)?;
        open.push((dir, Arc::downgrade(&jobs)));
        jobs.pump();
        Ok(jobs)
    }

    pub(crate) fn folder(&self, id: Uuid) -> Folder {
        Folder::of(&self.dir, id)
    }

    pub(crate) fn runner(&self, folder: &Folder) -> Command {
        let config = self.config();
        watch::runner(&config.runner, folder, &config.pass_env)
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&locked(&self.config))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    fn tell(&self, id: Uuid) {
        locked(&self.listeners).retain(|listeners| listeners.upgrade().map(|listeners| listeners.tell(id)).is_some());
    }

    fn find_all(self: &Arc<Self>) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| Uuid::parse_str(name).ok());
            let Some(id) = id.filter(|id| *name == *id.to_string()) else { continue };
            let folder = self.folder(id);
            if folder.is_whole() {
                found.push(folder);
            } else if let Err(error) = folder.remove() {
                tracing::warn!(batch.id = %id, %error, "the remainder of a job cannot be removed");
            }
        }
        for folder in found {
            if let Err(error) = self.find(&folder) {
                tracing::error!(batch.id = %folder.id, %error, "a job's folder cannot be read; it is left out");
            }
        }
        // Only now: an end that is seen at once must not start a queued job before an older one is found.
        let running = self.table().running();
        running.into_iter().try_for_each(|id| watch::watch(self, id, Begin::Adopt))
    }

    fn find(&self, folder: &Folder) -> io::Result<()> {
        let cancel_asked = folder.cancel_asked();
        let mut standing = folder.standing()?;
        if standing == Standing::Lost {
            let held = folder.lock()?;
            standing = Standing::Ended(watch::conclude(folder, &held, None)?);
            held.release()?;
        } else if standing == Standing::Queued && cancel_asked {
            standing = watch::cancel_unstarted(folder)?.map_or(Standing::Held, Standing::Ended);
        }
        let job = match standing {
            Standing::Ended(exit) => {
                folder.forget_launch()?;
                Job::ended(folder.place()?, &exit, cancel_asked)
            }
            Standing::Queued => {
                let meta = folder.meta()?;
                Job::queued(meta.place, meta.into())
            }
            Standing::Held | Standing::Orphaned | Standing::Lost => {
                let meta = folder.meta()?;
                Job::running(meta.place, meta.into(), folder.started(), cancel_asked)
            }
        };
        if cancel_asked && job.state == BatchState::Running {
            folder.ring()?;
        }
        self.table().insert(folder.id, job);
        Ok(())
    }

    /// Starts what may start.
    pub(crate) fn pump(self: &Arc<Self>) {
        loop {
            let next = self.table().next_to_start(self.config().concurrency, self.clock.now());
            let Some(id) = next else { return };
            if let Err(error) = watch::watch(self, id, Begin::Start) {
                tracing::warn!(batch.id = %id, %error, "a job cannot be started now; it waits");
                self.table().put_back(id);
                return;
            }
            self.tell(id);
        }
    }

    /// The job's own process has begun.
    pub(crate) fn runs(&self, id: Uuid, started: Option<Millis>) {
        if self.table().runs(id, started, self.clock.now()) {
            self.tell(id);
        }
    }

    /// The job is over, and its folder says how.
    pub(crate) fn ended(self: &Arc<Self>, id: Uuid, exit: &Exit) {
        if self.table().end(id, exit) {
            self.tell(id);
            self.pump();
        }
    }

    /// A place for a job, or what to answer instead. Does not block, so that a job that is being made can be seen from the first moment.
    pub(crate) fn reserve(&self, id: Uuid) -> Reserved {
        let config = self.config();
        self.table().reserve(id, self.clock.now(), config.concurrency, config.max_queued)
    }

    /// Makes the job of a reserved place.
    pub(crate) fn make(self: &Arc<Self>, place: Place, plan: &Plan) -> Result<Batch<NativeId>, SubmitError> {
        let intent = &plan.intent;
        let id = intent.marker.uuid;
        let folder = self.folder(id);
        let meta = Meta::new(place, &intent.principal, intent.project.as_ref(), &intent.spec);
        let filled = match Uploads::new(folder.path(), &intent.files) {
            Ok(uploads) => make_folder(&folder).map(|()| folder.fill(&meta, &plan.request, &uploads.sources())),
            Err(error) => {
                self.table().give_back(id);
                return Err(SubmitError::Refused(error));
            }
        };
        // What was made is taken back. If that fails the place stays taken, so that nobody believes the job to be absent.
        let failed = match filled {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((folder.remove().is_ok(), error)),
            Err(error) => Some((error.kind() != io::ErrorKind::AlreadyExists, error)),
        };
        if let Some((gone, error)) = failed {
            if !gone {
                return Err(SubmitError::Unknown(Error::internal(error)));
            }
            self.table().give_back(id);
            return Err(SubmitError::NotSent(Error::internal(error)));
        }
        let job = Job::queued(place, About::from(meta));
        self.table().insert(id, job);
        self.tell(id);
        self.pump();
        self.batch(id).map_err(SubmitError::Unknown)
    }

    /// The job as it is now. Reads the disk for an ended one.
    pub(crate) fn batch(&self, id: Uuid) -> Result<Batch<NativeId>> {
        let job = self.table().get(id).cloned().ok_or_else(|| Error::no_batch(id))?;
        let about = match job.about.clone() {
            Some(about) => about,
            None => self.folder(id).meta().map_err(Error::internal)?.into(),
        };
        Ok(job.batch(id, about))
    }

    pub(crate) fn look_up(&self, id: Uuid) -> Result<Sighting> {
        if self.table().is_being_made(id) {
            let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(1) };
            return Err(Error::new(kind, "the job is still being written to disk"));
        }
        if self.table().get(id).is_none() {
            if self.folder(id).is_whole() {
                return Err(Error::internal("the job's folder is there, but could not be read at the start"));
            }
            // A folder is its own witness: there is nothing that could have lost its memory.
            return Ok(Sighting::Absent { others_seen: true });
        }
        Ok(Sighting::Found(Box::new(self.batch(id)?)))
    }

    /// Jobs in the order of their acceptance, and how many there are.
    pub(crate) fn after(&self, seq: u64, count: usize) -> (Vec<(u64, Uuid)>, u64) {
        let table = self.table();
        (table.after(seq, count), table.len() as u64)
    }

    /// Asks for a job's end.
    pub(crate) fn cancel(self: &Arc<Self>, id: Uuid) -> Result<Effect> {
        let folder = self.folder(id);
        let cancelling = self.table().cancel(id, self.clock.now()).ok_or_else(|| Error::no_batch(id))?;
        let asked = match cancelling {
            Cancelling::Ended(state) => return Ok(Effect::AlreadyEnded(state)),
            Cancelling::Unqueued | Cancelling::Running => folder.ask_cancel(),
        };
        if cancelling == Cancelling::Unqueued {
            let ended = asked.and_then(|()| watch::cancel_unstarted(&folder));
            return match ended {
                Ok(Some(exit)) => {
                    self.ended(id, &exit);
                    Ok(Effect::Ended(exit.state()))
                }
                Ok(None) => {
                    // A runner that an earlier process started has just got to it.
                    self.table().take_on(id, self.clock.now());
                    watch::watch(self, id, Begin::Adopt).map_err(Error::internal)?;
                    self.ring(&folder).map(|_| Effect::Accepted)
                }
                Err(error) => {
                    self.table().requeue(id);
                    Err(Error::internal(error))
                }
            };
        }
        self.tell(id);
        let heard = self.ring(&folder)?;
        match asked {
            // Not to be found again after a restart, but the runner knows.
            Err(error) if heard => tracing::warn!(batch.id = %id, %error, "a cancel could not be written down"),
            other => other.map_err(Error::internal)?,
        }
        Ok(Effect::Accepted)
    }

    /// Whether the job's runner has heard of its cancel. Where it was killed, the job's processes are ended from here.
    fn ring(&self, folder: &Folder) -> Result<bool> {
        let heard = folder.ring().map_err(Error::internal)?;
        if !heard && folder.started().is_some() {
            // If the runner merely does not listen yet it will look by itself, and no process is found here.
            let folder = folder.clone();
            let thread = std::thread::Builder::new().name("job-end".to_owned());
            thread.spawn(move || watch::end_orphans(&folder)).map_err(Error::internal)?;
        }
        Ok(heard)
    }

    /// Lines of a job's log.
    pub(crate) fn page(&self, id: Uuid, lines: Lines) -> Result<LogPage> {
        self.with_log(id, |log| log.page(lines))
    }

    /// A job's log as a whole, with its length and its number of lines as they are now.
    pub(crate) fn whole_log(&self, id: Uuid) -> Result<(File, u64, u64)> {
        self.with_log(id, |log| log.measure().map(|(bytes, lines)| (log.into_file(), bytes, lines)))
    }

    /// Brings the index of a job's log up.
    pub(crate) fn measure(&self, id: Uuid) {
        if let Err(error) = self.with_log(id, |log| log.measure()) {
            tracing::debug!(batch.id = %id, error = error.detail(), "a job's log cannot be measured");
        }
    }

    fn with_log<T>(&self, id: Uuid, read: impl FnOnce(JobLog) -> io::Result<T>) -> Result<T> {
        let mutex = self.table().get(id).map(|job| Arc::clone(&job.log)).ok_or_else(|| Error::no_batch(id))?;
        let _one = locked(&mutex);
        let folder = self.folder(id);
        let log = JobLog::open(&folder.file(LOG), &folder.file(LOG_INDEX));
        log.and_then(read).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound(Missing::Log), "the batch has no log"),
            _ => Error::internal(error),
        })
    }

    /// Brings up the index of every running job whose log has grown by this much since it was last measured.
    pub(crate) fn measure_growing(&self, measured: &mut HashMap<Uuid, u64>, growth: u64) {
        let running = self.table().running();
        measured.retain(|id, _| running.contains(id));
        for id in running {
            let length = fs::metadata(self.folder(id).file(LOG)).map_or(0, |log| log.len());
            let before = measured.entry(id).or_default();
            if length >= *before + growth {
                *before = length;
                self.measure(id);
            }
        }
    }

    /// Removes the folders of jobs that ended longer ago than they are kept.
    pub(crate) fn expire(&self) {
        let before = self.clock.now().minus(self.config().keep_for);
        let expired = self.table().expire(before);
        for id in expired {
            if let Err(error) = self.folder(id).remove() {
                tracing::warn!(batch.id = %id, %error, "the folder of an old job cannot be removed");
            }
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        // A process that is just being forked has the open file too: only unlocking lets the next owner in at once.
        let _ = self.lock.unlock();
    }
}

/// A remainder that an earlier attempt could not remove is no job: it is not in the table.
fn make_folder(folder: &Folder) -> io::Result<()> {
    match folder.make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !folder.is_whole() => {
            folder.remove()?;
            folder.make()
        }
        other => other,
    }
}

fn lock_dir(dir: &Path) -> io::Result<File> {
    let path = dir.join(DIR_LOCK);
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let text = format!("{} is locked by process {}", dir.display(), holder.trim());
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{BatchSpec, Principal, SystemClock};

    use super::*;
    use crate::records::How;

    fn ended_job(dir: &Path, id: u128, ended_ms: i64) -> Folder {
        let folder = Folder::of(dir, Uuid::from_u128(id));
        let place = Place { seq: id as u64, created_ms: 1 };
        let meta = Meta::new(place, &Principal::anonymous(), None, &BatchSpec::default());
        folder.make().and_then(|()| folder.fill(&meta, b"{}", &[])).expect("made");
        let exit = Exit { how: How::Code(0), cancelled: false, started_ms: Some(1), ended_ms };
        folder.end(&exit).expect("ended");
        folder
    }

    #[test]
    fn folders_of_old_jobs_are_removed_and_no_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let old = ended_job(dir.path(), 1, 2);
        let new = ended_job(dir.path(), 2, SystemClock.now().0);
        let config = Arc::new(Config::default());
        let jobs = Jobs::open(dir.path(), config, Arc::new(SystemClock), &Arc::default()).expect("open");
        assert_eq!(jobs.after(0, 9).1, 2);
        jobs.expire();
        assert!(!old.path().exists() && new.path().exists());
        assert!(matches!(jobs.batch(old.id), Err(error) if matches!(error.kind, ErrorKind::NotFound(_))));
        assert_eq!(jobs.batch(new.id).expect("there").state, BatchState::Succeeded);
    }

    #[test]
    fn a_job_that_is_being_made_is_neither_there_nor_absent() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Arc::new(Config::default());
        let jobs = Jobs::open(dir.path(), config, Arc::new(SystemClock), &Arc::default()).expect("open");
        let id = Uuid::from_u128(1);
        assert!(matches!(jobs.reserve(id), Reserved::Place(_)));
        assert!(matches!(jobs.look_up(id), Err(error) if matches!(error.kind, ErrorKind::BackendUnavailable { .. })));
        assert_eq!(jobs.reserve(id), Reserved::BeingMade);
    }
}
