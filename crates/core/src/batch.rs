//! What a client is answered, whatever its dialect.

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use crate::{
    BackendName, BatchId, BatchSpec, BatchState, Cursor, DialectName, Fate, Millis, Principal, Project, Result,
};

/// One batch, as far as it is known. `I` is [`crate::NativeId`] on the backend's side, [`BatchId`] on the client's.
#[derive(Clone, Debug)]
pub struct Batch<I> {
    /// What it is known by.
    pub id: I,
    /// Where it stands.
    pub state: BatchState,
    /// Which attempt that is, counted from 1.
    pub attempt: u32,
    /// Whether somebody has asked for its end.
    pub cancel_asked: bool,
    /// What it runs. From the ledger: with secrets masked.
    pub spec: Arc<BatchSpec>,
    /// Who submitted it, if it came through this proxy or the backend says so.
    pub owner: Option<Principal>,
    /// The project that it came with.
    pub project: Option<Project>,
    /// When it did what.
    pub times: Times,
    /// Its application on the platform.
    pub app: App,
    /// Why it ended as it did, in one line.
    pub diagnostic: Option<String>,
    /// The last lines of its log, where they were asked for.
    pub log_tail: Vec<String>,
    /// Its steps, where they were asked for (Kylin).
    pub steps: Vec<Step>,
    /// The backend's own word and object.
    pub native: Option<Native>,
    /// Our id of the submit that it came by, where the backend gives that back beside its own id (DLI). On the backend's side only.
    pub mark: Option<Uuid>,
}

impl<I> Batch<I> {
    /// A batch of which no more is known yet.
    pub fn new(id: I, state: BatchState, spec: Arc<BatchSpec>) -> Self {
        Self {
            id,
            state,
            attempt: 1,
            cancel_asked: false,
            spec,
            owner: None,
            project: None,
            times: Times::default(),
            app: App::default(),
            diagnostic: None,
            log_tail: Vec::new(),
            steps: Vec::new(),
            native: None,
            mark: None,
        }
    }

    /// The user that it runs as; where the submit named nobody, who submitted it.
    pub fn user(&self) -> Option<&str> {
        self.spec.run_as.as_deref().or(self.owner.as_ref().map(|owner| &*owner.name))
    }
}

/// When a batch did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// It was accepted.
    pub created: Millis,
    /// It began to run.
    pub started: Option<Millis>,
    /// It ended.
    pub ended: Option<Millis>,
    /// It last changed.
    pub modified: Millis,
}

/// A batch's application on its platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// The platform's id of it, such as YARN's.
    pub id: Option<String>,
    /// Where it can be watched.
    pub url: Option<String>,
    /// Where the driver's log is.
    pub driver_log_url: Option<String>,
}

/// One step of a batch (Kylin).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The platform's id of it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: BatchState,
    /// When it did what.
    pub times: Times,
}

/// The backend's own word and object: the same dialect's `encode` starts from it. Memory only, never in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The backend's dialect.
    pub dialect: DialectName,
    /// Its word for the state.
    pub word: String,
    /// Its object as it came.
    pub object: Bytes,
    /// The status that it came with in answer to the submit, where that dialect has several good ones.
    pub status: Option<u16>,
}

/// The outcome of an operation.
#[derive(Debug)]
pub enum Outcome<I> {
    /// The batch runs, or (true) had been submitted before.
    Submitted {
        /// The batch.
        batch: Arc<Batch<I>>,
        /// Whether an earlier submit with the same key made it.
        replayed: bool,
    },
    /// One batch.
    Batch(Arc<Batch<I>>),
    /// Many.
    Page(Page<Arc<Batch<I>>>),
    /// Lines of a log.
    Log(I, Log),
    /// What became of each batch that was to be acted on.
    Controlled(Vec<Controlled<I>>),
}

/// An outcome with what the client is told beside it.
#[derive(Debug)]
pub struct Reply<I> {
    /// The outcome.
    pub outcome: Outcome<I>,
    /// Becomes `Batchlingua-…` headers in one place, for all dialects.
    pub notes: Notes,
}

/// What a client is told beside the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Fields that the backend did not get.
    pub unmapped: Vec<Fate>,
    /// How old the answer is, where the backend could not be asked.
    pub stale_seconds: Option<u32>,
    /// Which backend the batch runs on.
    pub backend: Option<BackendName>,
}

/// What became of one batch that was to be acted on.
#[derive(Debug)]
pub struct Controlled<I> {
    /// The batch.
    pub id: I,
    /// Where it stood before.
    pub before: BatchState,
    /// What came of it.
    pub result: Result<Effect>,
    /// The batch as it stands after that, where it is still there: some dialects answer with it.
    pub after: Option<Arc<Batch<I>>>,
}

/// What an action did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The platform has taken it; the end is not seen yet.
    Accepted,
    /// The batch has ended by it.
    Ended(BatchState),
    /// It had ended before; nothing was sent.
    AlreadyEnded(BatchState),
    /// There was nothing to do.
    NothingToDo,
}

/// One page of a list or of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// How many there are in all, if known.
    pub total: Option<u64>,
    /// Where the walk goes on.
    pub next: Option<Cursor>,
}

/// Lines of a log, beginning at line `from` of `total`.
#[derive(Debug)]
pub struct Log {
    /// The number of the first line, counted from 0.
    pub from: u64,
    /// How many lines there are now, if known.
    pub total: Option<u64>,
    /// The lines.
    pub body: LogBody,
    /// What the backend itself says of the whole log, where that is more than its lines: for clients of its dialect.
    pub native: Option<Native>,
}

impl Log {
    /// A page of lines, of so many.
    pub fn page(from: u64, total: u64, lines: Vec<String>) -> Self {
        Self { from, total: Some(total), body: LogBody::Lines(lines), native: None }
    }
}

/// The lines of a log.
pub enum LogBody {
    /// A page, each line without its end.
    Lines(Vec<String>),
    /// All of it, as bytes.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>),
}

impl fmt::Debug for LogBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(lines) => f.debug_tuple("Lines").field(lines).finish(),
            Self::Stream(_) => f.write_str("Stream(..)"),
        }
    }
}

/// The last page of a log as the ledger keeps it after the backend has forgotten the batch: secrets masked, at most 256 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLog {
    /// The number of the first line kept.
    pub from: u64,
    /// How many lines there were.
    pub total: u64,
    /// The lines.
    pub lines: Vec<String>,
}

impl KeptLog {
    /// Most bytes of text that are kept.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// The end of a log, masked and cut to what is kept.
    pub fn of_tail(log: &Log) -> Option<Self> {
        let LogBody::Lines(lines) = &log.body else { return None };
        let mut kept: Vec<String> = Vec::new();
        let mut bytes = 0;
        for line in lines.iter().rev() {
            let line = crate::redact::line(line);
            bytes += line.len() + 1;
            if bytes > Self::MAX_BYTES {
                break;
            }
            kept.push(line);
        }
        kept.reverse();
        let end = log.from + lines.len() as u64;
        Some(Self { from: end - kept.len() as u64, total: log.total.unwrap_or(end), lines: kept })
    }
}

impl From<BatchId> for crate::BatchRef {
    fn from(id: BatchId) -> Self {
        Self::Uuid(id.uuid)
    }
}
