//! What a backend can do, as data: checked once, before any permit or socket is used.

use std::time::Duration;

use crate::{Action, NativeIds, Revival};

/// What a backend can do, as last probed.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// It takes new batches.
    pub submit: bool,
    /// It takes files with them.
    pub upload: bool,
    /// It shows logs.
    pub log: bool,
    /// It shows steps.
    pub steps: bool,
    /// What it can do to a batch.
    pub actions: ActionSet,
    /// How a submit is found again.
    pub marking: Marking,
    /// What its ids are worth.
    pub ids: NativeIds,
    /// How long after a submit of unknown outcome its absence is not yet believed.
    pub settle: Duration,
    /// Whether a failed batch may come back to life there.
    pub revival: Revival,
    /// Whether it tells a cancelled batch from a failed one. Where it does not (DLI), one that somebody asked to end is read as cancelled.
    pub tells_cancelled: bool,
    /// Whether a read is so cheap (this process's own memory and disk) that lists may ask for every row.
    pub cheap_reads: bool,
    /// Whether it is asked with the credentials of whoever asks the proxy.
    pub caller_credentials: bool,
    /// How long an action may take there, if longer than other calls: Livy's DELETE answers when the job has ended.
    pub slow_actions: Option<Duration>,
}

/// How a submit is found again after an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marking {
    /// The backend takes our uuid as its id and is idempotent on it: the same intent may be sent again.
    Idempotent,
    /// A marker is sent along and can be looked up.
    Findable,
    /// It gives back nothing of ours.
    None,
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionSet(u8);

impl ActionSet {
    /// Whether the action is in the set.
    pub fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }
}

impl FromIterator<Action> for ActionSet {
    fn from_iter<T: IntoIterator<Item = Action>>(actions: T) -> Self {
        Self(actions.into_iter().fold(0, |set, action| set | 1 << action as u8))
    }
}
