//! The one thread that writes.
//!
//! A commit waits for the disk, and while it waits others queue. What has queued is then run as one transaction and made durable by one
//! wait: that is group commit, and it needs no timer. A write that fails leaves the others alone: rules look before they write, so nearly
//! all that fail have left nothing behind, and where one has, the group is done over with a savepoint for each (which every group would pay
//! dearly for: SQLite copies each page that a savepoint could want back). Nobody is answered, and no cached row is renewed, before the commit.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use batchlingua_core::Health;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    file::Lock,
    tx::{Done, Ordinals, Tx},
};
use crate::{LedgerError, cache::Cache, kept::Lists};

/// Held from a commit until it is published.
pub(super) type Gate = Mutex<()>;

/// The writer's thread and the way to it.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    health: Arc<Mutex<Health>>,
}

impl Writer {
    /// The lock goes with the thread: it is free again when the last write is done.
    pub(super) fn start(
        connection: Connection,
        lock: Lock,
        (cache, lists, gate): (Arc<Cache>, Arc<Lists>, Arc<Gate>),
        group: usize,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let health = Arc::new(Mutex::new(Health::Good));
        let (ordinals, told) = (Ordinals::default(), health.clone());
        let work = Work { connection, cache, ordinals, lists, gate, health: told };
        let thread = thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || {
            work.run(&jobs, group.max(1));
            work.end();
            drop(work);
            drop(lock);
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread), health })
    }

    /// Runs it in a transaction and answers when that is durable. Once asked it is done, even if nobody waits for the answer. It may have to be
    /// run a second time, when nothing of the first is there.
    pub(super) async fn run<T, F>(&self, rule: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Asked { rule, result: None, reply };
        let queue = self.queue.as_ref().ok_or(LedgerError::Stopped)?;
        queue.send(Box::new(job)).map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }

    pub(super) fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits for what is queued, so that whoever opens the file next finds it unlocked and whole.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's writer had panicked");
        }
    }
}

/// A write and whoever waits for it.
trait Job: Send {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed>;
    /// With why nothing of the group is there, if so.
    fn answer(self: Box<Self>, lost: Option<Arc<str>>);
}

/// A write was refused or failed; its own answer says why.
struct Failed {
    of_the_store: Option<String>,
}

struct Asked<F, T> {
    rule: F,
    result: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<F, T> Job for Asked<F, T>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed> {
        let result = (self.rule)(tx);
        let failed = result
            .as_ref()
            .err()
            .map(|error| Failed { of_the_store: error.is_of_the_store().then(|| error.to_string()) });
        self.result = Some(result);
        failed.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, lost: Option<Arc<str>>) {
        let result = match (self.result, lost) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(lost)) => Err(LedgerError::Unwritable(lost)),
            (Some(done), None) => done,
            (None, None) => Err(LedgerError::Stopped),
        };
        // Whoever asked may be gone; what was asked is done all the same.
        let _ = self.reply.send(result);
    }
}

/// A writer that panics says so before it is gone.
struct LastWord<'a>(&'a Mutex<Health>);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Health::Bad(LedgerError::Stopped.to_string());
        }
    }
}

/// What came of running a group.
enum Attempt {
    /// It can be committed.
    Done(Done),
    /// One of it failed behind its first write, so nothing of it is there.
    Spoilt,
}

struct Work {
    connection: Connection,
    cache: Arc<Cache>,
    ordinals: Ordinals,
    lists: Arc<Lists>,
    gate: Arc<Gate>,
    health: Arc<Mutex<Health>>,
}

impl Work {
    fn run(&self, jobs: &mpsc::Receiver<Box<dyn Job>>, most: usize) {
        while let Ok(first) = jobs.recv() {
            let mut group = vec![first];
            group.extend(jobs.try_iter().take(most - 1));
            // Behind the group, so that a panic is known before those in it learn that nobody will answer.
            let _last_word = LastWord(&self.health);
            let mut fault = None;
            let lost: Option<Arc<str>> = match self.write(&mut group, &mut fault) {
                Ok(wrote) => {
                    self.tell(fault, wrote);
                    None
                }
                Err(cause) => {
                    self.tell(Some(cause.clone()), false);
                    Some(cause.into())
                }
            };
            for job in group {
                job.answer(lost.clone());
            }
        }
    }

    /// Runs the group and makes what went well of it durable; `fault` is what the store said to those that did not.
    fn write(&self, group: &mut [Box<dyn Job>], fault: &mut Option<String>) -> Result<bool, String> {
        let done = match self.attempt(group, false, fault)? {
            Attempt::Done(done) => done,
            Attempt::Spoilt => match self.attempt(group, true, fault)? {
                Attempt::Done(done) => done,
                Attempt::Spoilt => return Err("a savepoint did not hold".to_owned()),
            },
        };
        self.commit(done)
    }

    /// Runs the group in a new transaction, with a savepoint for each job or without.
    fn attempt(&self, group: &mut [Box<dyn Job>], apart: bool, fault: &mut Option<String>) -> Result<Attempt, String> {
        self.execute("BEGIN IMMEDIATE")?;
        let mut done = Done::default();
        let at_first = self.ordinals.now();
        for job in group {
            let before = self.ordinals.now();
            if apart {
                self.execute("SAVEPOINT job")?;
            }
            let mut tx = done.begin(&self.connection, &self.cache, &self.ordinals);
            let result = job.run(&mut tx);
            let part = tx.end();
            match result {
                Ok(()) => done.add(part),
                Err(failed) => {
                    *fault = failed.of_the_store.or(fault.take());
                    // On a full disk, among others, SQLite gives up the whole transaction by itself.
                    if self.connection.is_autocommit() {
                        self.ordinals.forget();
                        return Err(fault.take().unwrap_or_else(|| "the transaction was given up".to_owned()));
                    }
                    if apart {
                        self.execute("ROLLBACK TO job")?;
                        self.ordinals.undo(before);
                    } else if part.wrote {
                        self.execute("ROLLBACK")?;
                        self.ordinals.undo(at_first);
                        return Ok(Attempt::Spoilt);
                    }
                }
            }
            if apart {
                self.execute("RELEASE job")?;
            }
        }
        Ok(Attempt::Done(done))
    }

    /// Whether anything was written. Behind the gate, so that who reads a list knows which changes its snapshot has.
    fn commit(&self, done: Done) -> Result<bool, String> {
        let wrote = done.wrote;
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.execute("COMMIT")?;
        self.cache.publish(done.changes);
        self.lists.publish(done.moved);
        Ok(wrote)
    }

    /// A transaction that fails is not left open, else all after it would fail too.
    fn execute(&self, sql: &str) -> Result<(), String> {
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(drop).map_err(|cause| {
            self.ordinals.forget();
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            cause.to_string()
        })
    }

    /// A store that cannot be written keeps what it has: some ordinals stay unused.
    fn end(&self) {
        if let Err(error) = self.ordinals.give_back(&self.connection) {
            tracing::warn!(cause = %error, "the next integers for batches are not written: some of them stay unused");
        }
    }

    fn tell(&self, fault: Option<String>, wrote: bool) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*health, fault) {
            (Health::Good, Some(cause)) => {
                tracing::error!(cause, "the ledger cannot be written: submits are refused");
                *health = Health::Bad(cause);
            }
            (Health::Bad(_), Some(cause)) => *health = Health::Bad(cause),
            (Health::Bad(_), None) if wrote => {
                tracing::info!("the ledger can be written again");
                *health = Health::Good;
            }
            (Health::Good | Health::Bad(_), None) => {}
        }
    }
}
