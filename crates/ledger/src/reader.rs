//! The threads of an engine that read, and the way to them: one queue for all, so that none is idle while another's work waits.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;

use crate::LedgerError;

type Job<C> = Box<dyn FnOnce(&mut C) + Send>;

/// Threads that each read by a `C` of their own.
pub(crate) struct Reader<C> {
    queue: Option<mpsc::Sender<Job<C>>>,
    threads: Vec<JoinHandle<()>>,
}

impl<C: Send + 'static> Reader<C> {
    /// One thread for each.
    pub(crate) fn start(name: &str, each: impl IntoIterator<Item = C>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job<C>>();
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |mut by: C| {
            let jobs = jobs.clone();
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&jobs) {
                    job(&mut by);
                }
            })
        };
        let threads = each.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Self { queue: Some(queue), threads })
    }

    /// Reads as soon as a thread is free, unless nobody waits for it any more by then.
    pub(crate) async fn run<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut C) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job<C> = Box::new(move |by| {
            if !reply.is_closed() {
                let _ = reply.send(read(by));
            }
        });
        let queue = self.queue.as_ref().ok_or(LedgerError::Stopped)?;
        queue.send(job).map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }
}

/// The lock is held by whoever waits, and by nobody who works.
fn next<C>(jobs: &Mutex<mpsc::Receiver<Job<C>>>) -> Option<Job<C>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl<C> Drop for Reader<C> {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the ledger had panicked");
            }
        }
    }
}
