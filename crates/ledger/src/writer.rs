//! The one thread of an engine that writes, and the way to it.
//!
//! A commit waits for the disk or for the database, and while it waits others queue. What has queued is then run as one transaction and made
//! durable by one wait: that is group commit, and it needs no timer. How a group is run is each engine's own; that a write is done once it is
//! asked, who learns what came of it, and how the store is doing is the same for both. Nobody is answered before the commit.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use batchlingua_core::Health;
use tokio::sync::oneshot;

use crate::LedgerError;

/// An engine, by what its rules write with.
pub(crate) trait Store: 'static {
    /// One write's part of a transaction.
    type Tx<'t>;
}

/// A write and whoever waits for it.
pub(crate) trait Job<S: Store>: Send {
    /// What came of it is kept for the answer. It may have to be run a second time, when nothing of the first is there.
    fn run(&mut self, tx: &mut S::Tx<'_>) -> Result<(), Failed>;
    /// With why nothing of its group is there, if so.
    fn answer(self: Box<Self>, lost: Option<Arc<str>>);
}

/// A write was refused or failed; its own answer says why.
pub(crate) struct Failed {
    /// What the store said, if it was the store's fault.
    pub(crate) of_the_store: Option<String>,
}

impl From<&LedgerError> for Failed {
    fn from(error: &LedgerError) -> Self {
        Self { of_the_store: error.is_of_the_store().then(|| error.to_string()) }
    }
}

/// Writes as they are queued.
pub(crate) type Queue<S> = mpsc::Receiver<Box<dyn Job<S>>>;

/// The writes of one transaction: the first, and what has queued behind it up to so many in all.
pub(crate) fn group<S: Store>(first: Box<dyn Job<S>>, queue: &Queue<S>, most: usize) -> Vec<Box<dyn Job<S>>> {
    let mut group = vec![first];
    group.extend(queue.try_iter().take(most.max(1) - 1));
    group
}

/// The writer's thread and the way to it.
pub(crate) struct Writer<S: Store> {
    queue: Option<mpsc::Sender<Box<dyn Job<S>>>>,
    thread: Option<JoinHandle<()>>,
    condition: Arc<Condition>,
}

impl<S: Store> Writer<S> {
    /// `work` is the thread, and ends with its queue.
    pub(crate) fn start(work: impl FnOnce(&Queue<S>, Arc<Condition>) + Send + 'static) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let condition = Arc::new(Condition(Mutex::new(Health::Good)));
        let told = condition.clone();
        let thread = thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || work(&jobs, told))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), condition })
    }

    /// Runs it in a transaction and answers when that is durable. Once asked it is done, even if nobody waits for the answer. It may have to be
    /// run a second time, when nothing of the first is there.
    pub(crate) async fn run<T, F>(&self, rule: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnMut(&mut S::Tx<'_>) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Asked { rule, result: None, reply };
        let queue = self.queue.as_ref().ok_or(LedgerError::Stopped)?;
        queue.send(Box::new(job)).map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }

    pub(crate) fn health(&self) -> Health {
        self.condition.is()
    }
}

/// Waits for what is queued, so that whoever opens the store next finds it whole, and a file unlocked.
impl<S: Store> Drop for Writer<S> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's writer had panicked");
        }
    }
}

struct Asked<F, T> {
    rule: F,
    result: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<S, F, T> Job<S> for Asked<F, T>
where
    S: Store,
    T: Send,
    F: FnMut(&mut S::Tx<'_>) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, tx: &mut S::Tx<'_>) -> Result<(), Failed> {
        let result = (self.rule)(tx);
        let failed = result.as_ref().err().map(Failed::from);
        self.result = Some(result);
        failed.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, lost: Option<Arc<str>>) {
        let result = match (self.result, lost) {
            (Some(Err(error)), Some(_)) if error.is_of_the_store() => Err(error),
            // What a rule said of a transaction that was lost may have been about what is not there.
            (_, Some(lost)) => Err(LedgerError::Unwritable(lost)),
            (Some(done), None) => done,
            (None, None) => Err(LedgerError::Stopped),
        };
        // Whoever asked may be gone; what was asked is done all the same.
        let _ = self.reply.send(result);
    }
}

/// How the store is doing, as its last writes went.
pub(crate) struct Condition(Mutex<Health>);

impl Condition {
    pub(crate) fn is(&self) -> Health {
        self.health().clone()
    }

    /// What the store said at last, if anything failed. Where nothing did, it is well again once that `proves` it.
    pub(crate) fn tell(&self, fault: Option<String>, proves: bool) {
        let mut health = self.health();
        match (&*health, fault) {
            (Health::Good, Some(cause)) => {
                tracing::error!(cause, "the ledger cannot be written: submits are refused");
                *health = Health::Bad(cause);
            }
            (Health::Bad(_), Some(cause)) => *health = Health::Bad(cause),
            (Health::Bad(_), None) if proves => {
                tracing::info!("the ledger can be written again");
                *health = Health::Good;
            }
            (Health::Good | Health::Bad(_), None) => {}
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer that panics says so before it is gone. Held behind a group, so that it is known before those in the group learn that nobody will answer.
pub(crate) struct LastWord<'a>(pub(crate) &'a Condition);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            *self.0.health() = Health::Bad(LedgerError::Stopped.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::RowId;

    use super::*;

    struct Nothing;

    impl Store for Nothing {
        type Tx<'t> = ();
    }

    /// What the asker hears when its rule said this and the group went so.
    fn heard(rule: impl Fn() -> Result<u8, LedgerError> + Send, lost: Option<&str>) -> Result<u8, LedgerError> {
        let (reply, mut answer) = oneshot::channel();
        let mut job: Box<dyn Job<Nothing>> = Box::new(Asked { rule: move |(): &mut ()| rule(), result: None, reply });
        let _ = job.run(&mut ());
        job.answer(lost.map(Into::into));
        answer.try_recv().expect("it was answered")
    }

    #[test]
    fn what_a_rule_said_counts_only_where_its_group_is_there() {
        let refused = || Err(LedgerError::NoRow(RowId(7)));
        assert!(matches!(heard(refused, None), Err(LedgerError::NoRow(RowId(7)))));
        assert!(matches!(heard(|| Ok(1), None), Ok(1)));
        for lost in [heard(refused, Some("disk full")), heard(|| Ok(1), Some("disk full"))] {
            assert!(matches!(&lost, Err(LedgerError::Unwritable(why)) if &**why == "disk full"), "{lost:?}");
        }
        let own = heard(|| Err(LedgerError::Unreadable("torn".into())), Some("disk full"));
        assert!(matches!(&own, Err(LedgerError::Unreadable(why)) if &**why == "torn"), "{own:?}");
    }
}
