//! The submits that tasks of this process work on, from the first byte of their intent to their outcome.
//!
//! A lease may run out while its task still works: a slow backend, a machine that slept. This process then claims the intent from itself,
//! and the new lease is handed to the task that is at work; a second one would look for a job that is just being sent,
//! not find it, and declare it failed.
//!
//! What is open here is what an operator wants to see: above all what no look can tell and a person has to settle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Entry, Lease, RowId};
use tokio::sync::watch;

/// Where a submit stands that has no outcome yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whereabouts {
    /// It is being sent, or will be.
    Sent,
    /// Nobody knows whether it went through; its backend is asked.
    LookedFor,
    /// Its backend cannot tell. A person has to look there and to say what became of it.
    LeftToPeople,
}

impl Whereabouts {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sent, Self::LookedFor, Self::LeftToPeople];

    /// Its word in metrics and in what operators are shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::LookedFor => "looked_for",
            Self::LeftToPeople => "left_to_people",
        }
    }
}

/// A submit without an outcome.
#[derive(Clone, Debug)]
pub struct OpenSubmit {
    /// Its row, as it was when the work on it began.
    pub entry: Entry,
    /// Where it stands.
    pub whereabouts: Whereabouts,
}

/// The intents that tasks of this process work on, each with its lease.
#[derive(Default)]
pub(crate) struct OpenIntents {
    known: Mutex<HashMap<RowId, Open>>,
    /// Held from a claim until its leases are handed out.
    claiming: tokio::sync::Mutex<()>,
    /// Whether what past lives have left has been claimed once.
    is_whole: watch::Sender<bool>,
}

struct Open {
    lease: Arc<Mutex<Lease>>,
    submit: OpenSubmit,
}

impl Open {
    fn new(entry: Entry, lease: Lease) -> Self {
        Self { lease: Arc::new(Mutex::new(lease)), submit: OpenSubmit { entry, whereabouts: Whereabouts::Sent } }
    }
}

/// One of them. Its lease may be renewed meanwhile.
pub(crate) struct Held<'a> {
    intents: &'a OpenIntents,
    row: RowId,
    lease: Arc<Mutex<Lease>>,
}

/// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenIntents {
    /// For the task that works on it, which [has it](Self::has) already or not.
    pub(crate) fn hold(&self, entry: Entry, lease: Lease) -> Held<'_> {
        let row = lease.row;
        let lease = locked(&self.known).entry(row).or_insert_with(|| Open::new(entry, lease)).lease.clone();
        Held { intents: self, row, lease }
    }

    /// One that was claimed, and whose task is about to begin: it is seen from here on.
    pub(crate) fn has(&self, entry: &Entry, lease: &Lease) {
        locked(&self.known).insert(lease.row, Open::new(entry.clone(), lease.clone()));
    }

    /// Nobody is told that a lease was lost while new ones are handed out.
    pub(crate) async fn claim(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.claiming.lock().await
    }

    /// Hands a claimed lease to the task that is at work on the intent, if there is one.
    pub(crate) fn renew(&self, lease: &Lease) -> bool {
        let known = locked(&self.known);
        known.get(&lease.row).map(|open| *locked(&open.lease) = lease.clone()).is_some()
    }

    /// A person has settled it: whoever works on it will see that, and is no longer waited for.
    pub(crate) fn is_settled(&self, row: RowId) {
        locked(&self.known).remove(&row);
    }

    /// There is no more to be claimed for now.
    pub(crate) fn all_claimed(&self) {
        self.is_whole.send_if_modified(|is_whole| !std::mem::replace(is_whole, true));
    }

    /// Until what past lives have left is among them: before that, none would mean nothing.
    pub(crate) async fn whole(&self) {
        // It cannot be closed: it is ours.
        let _ = self.is_whole.subscribe().wait_for(|is_whole| *is_whole).await;
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<OpenSubmit> {
        let mut all: Vec<_> = locked(&self.known).values().map(|open| open.submit.clone()).collect();
        all.sort_unstable_by_key(|open| open.entry.row);
        all
    }
}

impl Held<'_> {
    pub(crate) fn lease(&self) -> Lease {
        locked(&self.lease).clone()
    }

    pub(crate) fn is_now(&self, whereabouts: Whereabouts) {
        if let Some(open) = locked(&self.intents.known).get_mut(&self.row) {
            open.submit.whereabouts = whereabouts;
        }
    }

    /// Whether a refused lease has been replaced by now.
    pub(crate) async fn is_renewed(&self, refused: &Lease) -> bool {
        // A claim that has just taken it from us may not have handed it out yet.
        drop(self.intents.claim().await);
        self.lease() != *refused
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut known = locked(&self.intents.known);
        if known.get(&self.row).is_some_and(|open| Arc::ptr_eq(&open.lease, &self.lease)) {
            known.remove(&self.row);
        }
    }
}
