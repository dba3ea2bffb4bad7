//! How a group of writes becomes one transaction of the file: see [`crate::writer`].
//!
//! A write that fails leaves the others alone: rules look before they write, so nearly all that fail have left nothing behind, and where one has,
//! the group is done over with a savepoint for each (which every group would pay dearly for: SQLite copies each page that a savepoint could want
//! back). No cached row is renewed before the commit.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;

use super::{
    file::Lock,
    tx::{Done, Ordinals, Tx},
};
use crate::{
    cache::Cache,
    kept::Lists,
    writer::{self, Condition, LastWord, Queue, Store, Writer},
};

/// SQLite, to the writer.
pub(super) struct Sqlite;

impl Store for Sqlite {
    type Tx<'t> = Tx<'t>;
}

type Job = Box<dyn writer::Job<Sqlite>>;

/// Held from a commit until it is published.
pub(super) type Gate = Mutex<()>;

/// The lock goes with the thread: it is free again when the last write is done.
pub(super) fn start(
    connection: Connection,
    lock: Lock,
    (cache, lists, gate): (Arc<Cache>, Arc<Lists>, Arc<Gate>),
    group: usize,
) -> io::Result<Writer<Sqlite>> {
    Writer::start(move |queue, condition| {
        let work = Work { connection, cache, ordinals: Ordinals::default(), lists, gate, condition };
        work.run(queue, group);
        work.end();
        drop(work);
        drop(lock);
    })
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
    condition: Arc<Condition>,
}

impl Work {
    fn run(&self, queue: &Queue<Sqlite>, most: usize) {
        while let Ok(first) = queue.recv() {
            let mut group = writer::group(first, queue, most);
            let _last_word = LastWord(&self.condition);
            let mut fault = None;
            let lost: Option<Arc<str>> = match self.write(&mut group, &mut fault) {
                Ok(wrote) => {
                    self.condition.tell(fault, wrote);
                    None
                }
                Err(cause) => {
                    self.condition.tell(Some(cause.clone()), false);
                    Some(cause.into())
                }
            };
            for job in group {
                job.answer(lost.clone());
            }
        }
    }

    /// Runs the group and makes what went well of it durable; `fault` is what the store said to those that did not.
    fn write(&self, group: &mut [Job], fault: &mut Option<String>) -> Result<bool, String> {
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
    fn attempt(&self, group: &mut [Job], apart: bool, fault: &mut Option<String>) -> Result<Attempt, String> {
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
}
