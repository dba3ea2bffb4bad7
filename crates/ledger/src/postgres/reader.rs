//! The threads that read, each on a connection of its own, from one queue. A read that loses its connection is tried once more on a new one.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{connection::Connection, slot::Slot, url::Place};
use crate::LedgerError;

/// From now on several statements see one moment, which is now, until they are ended by ROLLBACK.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot()";

type Job = Box<dyn FnOnce(&mut Slot) + Send>;

/// The readers' threads and the way to them.
pub(super) struct Reader {
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(name: &str, place: &Place, within: Duration, threads: usize) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |_| {
            let (jobs, mut slot) = (jobs.clone(), Slot::new(place.clone(), within));
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&jobs) {
                    job(&mut slot);
                }
            })
        };
        let threads = (0..threads.max(1)).map(start).collect::<Result<_, _>>()?;
        Ok(Self { queue: Some(queue), threads })
    }

    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |slot| {
            // Whoever asked may have gone away while this waited.
            if !reply.is_closed() {
                let _ = reply.send(twice(slot, &read));
            }
        });
        let queue = self.queue.as_ref().ok_or(LedgerError::Stopped)?;
        queue.send(job).map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }
}

/// The lock is held by whoever waits, and by nobody who works.
fn next(jobs: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn twice<T>(slot: &mut Slot, read: &impl Fn(&Connection) -> Result<T, LedgerError>) -> Result<T, LedgerError> {
    let mut once = || {
        let (connection, is_new) = slot.get().map_err(|fault| fault.unreadable())?;
        Ok((read(connection), is_new || !connection.is_lost()))
    };
    match once()? {
        (Err(_), false) => once()?.0,
        (result, _) => result,
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.queue.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the ledger had panicked");
            }
        }
    }
}
