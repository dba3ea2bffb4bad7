//! What a client asks, whatever its dialect.

use std::{path::PathBuf, time::Duration};

use crate::{BatchKind, BatchSpec, DialectName, Millis, Project, StateSet};

/// One operation. `I` is [`crate::BatchRef`] as decoded and [`crate::BatchId`] once the ledger has resolved it.
#[derive(Clone, Debug)]
pub enum Operation<I> {
    /// Run a batch.
    Submit(Box<Submission>),
    /// Show one batch.
    Get(I, Detail),
    /// Show many.
    List(Box<ListQuery>),
    /// Show lines of a log.
    Log(I, LogQuery),
    /// Act on batches.
    Control(Selection<I>, Action),
}

impl<I> Operation<I> {
    /// The operation's name in metrics, logs and the audit.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submit(_) => "submit",
            Self::Get(_, Detail::State) => "state",
            Self::Get(_, Detail::Summary) => "get",
            Self::Get(_, Detail::Steps) => "steps",
            Self::List(_) => "list",
            Self::Log(..) => "log",
            Self::Control(_, action) => action.as_str(),
        }
    }
}

/// How much of a batch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Its state alone.
    State,
    /// All of it but its steps.
    Summary,
    /// All of it.
    Steps,
}

/// What is to be done to batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// End it.
    Cancel,
    /// Hold it (Kylin).
    Pause,
    /// Go on with it (Kylin).
    Resume,
    /// Begin it again (Kylin).
    Restart,
    /// Show it no longer to clients of this dialect.
    Forget,
    /// End it if it lives, and show it no longer to clients of this dialect: Livy's DELETE.
    CancelAndForget,
}

impl Action {
    /// The action's name in metrics, logs and the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Restart => "restart",
            Self::Forget => "forget",
            Self::CancelAndForget => "cancel_and_forget",
        }
    }
}

/// Ids, or all of a project's batches in some states, as Kylin's status call can name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<I> {
    /// These batches.
    pub ids: Vec<I>,
    /// All batches of this project; with `ids`, those of them that are in it.
    pub project: Option<Project>,
    /// Of the batches so named, those in these states.
    pub states: Option<StateSet>,
    /// The states in which the action is legal: if one of the batches stands in another, nothing is done to any. `None`: what has ended
    /// already is no mistake.
    pub legal: Option<StateSet>,
    /// Whether an id that nobody has is left out, and not refused.
    pub skip_unknown: bool,
}

impl<I> Selection<I> {
    /// One batch.
    pub fn one(id: I) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }
}

impl<I> Default for Selection<I> {
    fn default() -> Self {
        Self { ids: Vec::new(), project: None, states: None, legal: None, skip_unknown: false }
    }
}

/// A batch to run.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// What to run.
    pub spec: BatchSpec,
    /// Uploaded files, spooled.
    pub files: Vec<Payload>,
    /// The project that the client named.
    pub project: Option<Project>,
    /// The client's own key, on which a repeated submit is the same submit.
    pub key: Option<IdempotencyKey>,
    /// Whether its name must be free among the batches that its dialect lists.
    pub unique_name: bool,
}

/// A client's own key for one submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key.
    pub value: String,
    /// What a repeated submit is answered.
    pub replay: Replay,
}

/// What a repeated submit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The first definite answer again (`Idempotency-Key`).
    FirstAnswer,
    /// The stored batch as it is now (`kyuubi.batch.id`; the key is the batch's uuid then).
    StoredBatch,
    /// The batch of that name that lives, if the same user has submitted it and nobody has asked for its end: for clients that cannot send
    /// a key (`dedupe = "name"`; the key is the name then).
    LiveName,
}

/// An uploaded file, spooled to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The part's name in the form.
    pub part: String,
    /// The file's name as the client gave it, without any directory.
    pub file_name: String,
    /// Its length.
    pub bytes: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// What it is for.
    pub purpose: Purpose,
}

impl Payload {
    /// Bytes a second that a line to a backend has at least; a slower one is given up.
    pub const SLOWEST: u64 = 1 << 20;

    /// How much longer a submit may take that has these files with it.
    pub fn time_to_send(files: &[Self]) -> Duration {
        Duration::from_secs(files.iter().map(|file| file.bytes).sum::<u64>().div_ceil(Self::SLOWEST))
    }
}

/// What an uploaded file is for: no backend has to know the names that another dialect gives to the parts of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing that the request says; so it is as long as no dialect has read the whole form.
    #[default]
    Unsaid,
    /// It is the application file, whatever `file` says.
    Application,
    /// Its place is appended to the lists that these conf keys hold, in the order of the files.
    Conf(Vec<String>),
}

/// Which batches to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Which.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// Which of those.
    pub window: Window,
    /// Whether the rows show the last lines of their logs.
    pub tails: bool,
}

/// Conditions; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states.
    pub states: Option<StateSet>,
    /// Of one of these kinds.
    pub kinds: Option<Vec<BatchKind>>,
    /// This one, by any id of it that is text.
    pub id: Option<String>,
    /// Submitted by this principal.
    pub owner: Option<String>,
    /// To be run as this user; where the submit named nobody, its principal.
    pub user: Option<String>,
    /// With exactly this name.
    pub name: Option<String>,
    /// Whose program ([`BatchSpec::program`]) is exactly this.
    pub program: Option<String>,
    /// With this text, whatever its capitals, in its title ([`BatchSpec::title`]) or in an id of it that is text.
    pub contains: Option<String>,
    /// In this queue, whatever its capitals.
    pub queue: Option<String>,
    /// With one of these values in a field that only a dialect knows.
    pub extension: Option<ExtensionFilter>,
    /// Created at or after.
    pub created_from: Option<Millis>,
    /// Created before.
    pub created_before: Option<Millis>,
    /// Last changed at or after.
    pub modified_from: Option<Millis>,
    /// Ended, and at or before.
    pub ended_to: Option<Millis>,
}

/// Values of a field that only a dialect knows ([`crate::Extension`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionFilter {
    /// Whose field it is.
    pub dialect: DialectName,
    /// Its name there.
    pub name: String,
    /// What it may be, as JSON texts.
    pub values: Vec<String>,
    /// Whether it may be missing.
    pub or_none: bool,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what. Rows that are equal there are in the order of their creation.
    pub key: SortKey,
    /// Greatest first.
    pub descending: bool,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// When it was created.
    #[default]
    Created,
    /// When it last changed.
    Modified,
    /// Its name.
    Name,
    /// Its project.
    Project,
    /// Its queue.
    Queue,
    /// What people know it by ([`BatchSpec::title`]).
    Title,
    /// Its uuid.
    Id,
    /// How long it ran, or has run.
    Duration,
    /// How long it was from its creation to its end, or is until now.
    Lifetime,
}

/// A window of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many rows to leave out.
    pub from: u64,
    /// How many to show.
    pub size: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { from: 0, size: 100 }
    }
}

/// Which lines of which log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    /// Which lines.
    pub lines: Lines,
    /// Of which log.
    pub source: LogSource,
}

/// Which lines. Numbers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// The last so many.
    Tail(u32),
    /// So many from this one on.
    From(u64, u32),
    /// The first and the last so many, as Kylin's step output shows.
    HeadAndTail(u32),
    /// All, as a stream.
    All,
}

/// Which log of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// What its platform shows as its log.
    Default,
    /// The driver's, of one attempt.
    Driver {
        /// Counted from 1.
        attempt: u32,
    },
    /// One step's.
    Step(String),
}
