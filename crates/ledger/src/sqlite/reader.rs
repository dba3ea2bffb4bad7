//! A thread that reads, on a connection of its own: in WAL mode it neither waits for the writer nor holds it up.

use std::{
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::unreadable;
use crate::LedgerError;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The reader's thread and the way to it.
pub(super) struct Reader {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(name: &str, connection: Connection) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in jobs {
                job(&connection);
            }
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs it on one snapshot, so that a count and its rows are of the same moment.
    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever asked may have gone away while this waited.
            if !reply.is_closed() {
                let _ = reply.send(on_snapshot(connection, read));
            }
        });
        let queue = self.queue.as_ref().ok_or(LedgerError::Stopped)?;
        queue.send(job).map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a reader of the ledger had panicked");
        }
    }
}

fn on_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let snapshot = connection.unchecked_transaction().map_err(unreadable)?;
    let result = read(&snapshot);
    snapshot.commit().map_err(unreadable)?;
    result
}

/// A connection that cannot write.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(super::STATEMENTS);
    Ok(connection)
}
