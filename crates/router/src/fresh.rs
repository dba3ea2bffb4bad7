//! The shared view of one backend: what was seen of a batch a moment ago serves all who ask within `freshness`, and while somebody asks, all
//! who come wait for that one answer. Polls are the load, and a platform falls over under it long before this process does.
//!
//! A look is asked for in a task of its own, so that neither a client that leaves nor one whose time is over takes it from the others. It is
//! used only as long as the row is the very one that it was merged with: whatever is written of a batch, by a control, a walk, the backend's own
//! word or another replica, makes a new row, and a poll after that asks anew. An action that is sent drops what is known before and after,
//! since it may change what no row shows. Errors are shared with who waits and never kept.
//!
//! What a dialect's clients are shown may differ (a Kyuubi's own clients get no log with an object), and what a caller sees with credentials
//! of its own is its own: so looks are kept by batch, dialect, detail and caller. Memory only, and bounded by bytes; what is dropped is asked
//! for again.

use std::{
    mem::size_of,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use batchlingua_core::{Batch, BatchId, Context, Credentials, Detail, DialectName, Error, NativeId, Result};
use lru::LruCache;
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::Instant};

/// Of one batch so many views are kept: of every dialect and detail, and of some callers.
const VIEWS: usize = 16;
/// What a look takes beside the text in it.
const LOOK_BYTES: usize = 2 * size_of::<Batch<BatchId>>();

type Row = Arc<Batch<BatchId>>;

/// What was seen of the batches of one backend.
pub(crate) struct Looks {
    freshness: Duration,
    max_bytes: usize,
    flights: AtomicU64,
    /// So that what is kept of credentials is worth nothing anywhere else.
    salt: [u8; 32],
    kept: Mutex<Kept>,
}

struct Kept {
    batches: LruCache<NativeId, Vec<View>>,
    bytes: usize,
}

/// Who sees what of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Angle {
    detail: Detail,
    dialect: DialectName,
    /// A digest of the caller's own credentials, where the backend is asked with them.
    caller: Option<[u8; 32]>,
}

struct View {
    angle: Angle,
    /// The row as it stood when the look began, or as it stands with what was seen.
    row: Row,
    what: What,
}

enum What {
    /// It is being asked for.
    Flying(u64, watch::Receiver<Option<Landed>>),
    Seen {
        batch: Row,
        at: Instant,
        /// It has ended, and long enough ago: nothing of it changes any more.
        for_good: bool,
    },
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            Self::Flying(..) => LOOK_BYTES,
            Self::Seen { batch, .. } => {
                let lines: usize = batch.log_tail.iter().map(|line| line.len() + size_of::<String>()).sum();
                let native = batch.native.as_ref().map_or(0, |native| native.object.len());
                let steps: usize = batch.steps.iter().map(|step| step.id.len() + step.name.len() + 128).sum();
                LOOK_BYTES + lines + native + steps
            }
        }
    }
}

/// What came of a look, for all who wait for it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What is shown.
    pub(crate) batch: Row,
    /// How old it is, where the backend could not be asked.
    pub(crate) stale_seconds: Option<u32>,
    /// The row that this is to be kept with; `None`: it is not to be shown again.
    pub(crate) keep: Option<Keep>,
}

/// How long a look may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Keep {
    pub(crate) row: Row,
    pub(crate) for_good: bool,
}

type Landed = Result<Shown, Arc<Error>>;

/// How a poll gets its answer.
pub(crate) enum Way {
    /// Somebody has asked a moment ago.
    Known(Row),
    /// Somebody is asking.
    Wait(Waiting),
    /// Nobody is: this one does, for all who come meanwhile.
    Ask(Flight, Waiting),
}

/// Waits for a look that somebody has begun.
pub(crate) struct Waiting(watch::Receiver<Option<Landed>>);

impl Waiting {
    /// What was seen. An error is everybody's: its cause is told by who asked.
    pub(crate) async fn shown(mut self) -> Result<Shown> {
        match self.0.wait_for(Option::is_some).await.map(|landed| landed.clone()) {
            Ok(Some(landed)) => landed.map_err(|error| copy(&error)),
            Ok(None) | Err(_) => Err(Error::internal("the task that asked a backend has panicked")),
        }
    }
}

/// The same for another reader; its cause stays with the first.
pub(crate) fn copy(error: &Error) -> Error {
    Error { native: error.native.clone(), ..Error::new(error.kind.clone(), &error.message) }
}

/// A look that is being asked for.
#[must_use = "others wait until it lands"]
pub(crate) struct Flight {
    looks: Arc<Looks>,
    native: NativeId,
    number: u64,
    tell: watch::Sender<Option<Landed>>,
}

impl Flight {
    /// It is over: who waits is told, and who comes within `freshness` is shown the same.
    pub(crate) fn land(self, result: Result<Shown>) {
        let seen = match &result {
            Ok(Shown { batch, keep: Some(Keep { row, for_good }), .. }) => {
                Some((row.clone(), What::Seen { batch: batch.clone(), at: Instant::now(), for_good: *for_good }))
            }
            Ok(_) | Err(_) => None,
        };
        // Before it is told: who comes after that must not be told an error that is over.
        self.looks.replace(&self.native, self.number, seen);
        self.tell.send_replace(Some(result.map_err(Arc::new)));
    }
}

/// Whatever ends it, a panic of an adapter included: nobody is to wait for a look that nobody asks for.
impl Drop for Flight {
    fn drop(&mut self) {
        self.looks.replace(&self.native, self.number, None);
    }
}

impl Looks {
    pub(crate) fn new(freshness: Duration, max_bytes: usize) -> Self {
        let salt = [batchlingua_core::Uuid::new_v4(), batchlingua_core::Uuid::new_v4()].map(|uuid| uuid.into_bytes());
        let mut both = [0; 32];
        both[..16].copy_from_slice(&salt[0]);
        both[16..].copy_from_slice(&salt[1]);
        Self {
            freshness,
            max_bytes,
            flights: AtomicU64::new(0),
            salt: both,
            kept: Mutex::new(Kept { batches: LruCache::unbounded(), bytes: 0 }),
        }
    }

    /// Whether anything is shared at all; else each poll asks.
    pub(crate) fn are_shared(&self) -> bool {
        !self.freshness.is_zero()
    }

    /// From where this request sees a batch. `own`: the backend is asked with what the caller has shown.
    pub(crate) fn angle(&self, ctx: &Context, detail: Detail, own: bool) -> Angle {
        let caller = ctx.caller.as_deref().filter(|_| own).map(|shown| self.digest(ctx, shown));
        Angle { detail, dialect: ctx.dialect.clone(), caller }
    }

    fn digest(&self, ctx: &Context, shown: &Credentials) -> [u8; 32] {
        let name = ctx.principal.name.as_bytes();
        let parts: [&[u8]; 3] = match shown {
            Credentials::Basic { user, password } => [b"basic", user.as_bytes(), password.as_bytes()],
            Credentials::Bearer(token) => [b"bearer", token.as_bytes(), b""],
            Credentials::Token(token) => [b"token", token.as_bytes(), b""],
            Credentials::Session(text) => [b"session", text.as_bytes(), b""],
            Credentials::Signature { access_key, signature, .. } => {
                [b"signature", access_key.as_bytes(), signature.as_bytes()]
            }
        };
        let mut digest = Sha256::new_with_prefix(self.salt);
        for part in [name].into_iter().chain(parts) {
            // With its length, so that no two lists of parts are one text.
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }

    /// How a poll of this batch, whose row now stands so, gets its answer.
    pub(crate) fn way(self: &Arc<Self>, native: &NativeId, angle: Angle, row: &Row) -> Way {
        let mut kept = self.kept();
        let views = kept.batches.get_or_insert_mut_ref(native, Vec::new);
        let known = views.iter().position(|view| view.angle == angle);
        if let Some(view) = known.map(|at| &views[at]).filter(|view| Arc::ptr_eq(&view.row, row)) {
            match &view.what {
                What::Flying(_, landed) => return Way::Wait(Waiting(landed.clone())),
                What::Seen { batch, at, for_good } if *for_good || at.elapsed() <= self.freshness => {
                    return Way::Known(batch.clone());
                }
                What::Seen { .. } => {}
            }
        }
        let number = self.flights.fetch_add(1, Ordering::Relaxed);
        let (tell, landed) = watch::channel(None);
        let waiting = Waiting(landed.clone());
        let view = View { angle, row: row.clone(), what: What::Flying(number, landed) };
        let bytes = view.what.bytes();
        let old = match known {
            Some(at) => Some(std::mem::replace(&mut views[at], view)),
            None => {
                views.push(view);
                (views.len() > VIEWS).then(|| views.remove(0))
            }
        };
        kept.bytes += bytes;
        kept.bytes -= old.map_or(0, |old| old.what.bytes());
        kept.shrink(self.max_bytes);
        drop(kept);
        Way::Ask(Flight { looks: self.clone(), native: native.clone(), number, tell }, waiting)
    }

    /// Nothing that was seen of the batch up to now is shown any more.
    pub(crate) fn forget(&self, native: &NativeId) {
        let mut kept = self.kept();
        if let Some(views) = kept.batches.pop(native) {
            kept.bytes -= bytes(&views);
        }
    }

    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what was seen in the place of the flight that saw it, if it still has one.
    fn replace(&self, native: &NativeId, number: u64, seen: Option<(Row, What)>) {
        let mut kept = self.kept();
        let Kept { batches, bytes } = &mut *kept;
        let Some(views) = batches.peek_mut(native) else { return };
        let is_it = |view: &View| matches!(view.what, What::Flying(flying, _) if flying == number);
        let Some(at) = views.iter().position(is_it) else { return };
        *bytes -= views[at].what.bytes();
        match seen {
            Some((row, what)) => {
                *bytes += what.bytes();
                (views[at].row, views[at].what) = (row, what);
            }
            None => {
                views.swap_remove(at);
                if views.is_empty() {
                    batches.pop(native);
                }
            }
        }
        kept.shrink(self.max_bytes);
    }
}

fn bytes(views: &[View]) -> usize {
    views.iter().map(|view| view.what.bytes()).sum()
}

impl Kept {
    /// Those that nobody has asked for longest go first.
    fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes
            && let Some((_, views)) = self.batches.pop_lru()
        {
            self.bytes -= bytes(&views);
        }
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{BatchState, Uuid};

    use super::*;

    fn row() -> Row {
        let id = BatchId { uuid: Uuid::from_u128(1), ordinal: 1, native: Some("n".into()) };
        Arc::new(Batch::new(id, BatchState::Running, Arc::default()))
    }

    fn looks() -> Arc<Looks> {
        Arc::new(Looks::new(Duration::from_secs(1), 1 << 20))
    }

    fn angle(dialect: &str) -> Angle {
        Angle { detail: Detail::State, dialect: dialect.into(), caller: None }
    }

    fn ask(looks: &Arc<Looks>, row: &Row) -> Flight {
        match looks.way(&"n".into(), angle("d"), row) {
            Way::Ask(flight, _) => flight,
            Way::Known(_) | Way::Wait(_) => panic!("somebody has asked already"),
        }
    }

    fn is_known(looks: &Arc<Looks>, row: &Row) -> bool {
        matches!(looks.way(&"n".into(), angle("d"), row), Way::Known(_))
    }

    fn seen(row: &Row) -> Result<Shown> {
        let keep = Some(Keep { row: row.clone(), for_good: false });
        Ok(Shown { batch: row.clone(), stale_seconds: None, keep })
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_an_action_is_not_shown_after_it() {
        let (looks, row) = (looks(), row());
        let flight = ask(&looks, &row);
        looks.forget(&"n".into());
        flight.land(seen(&row));
        assert!(!is_known(&looks, &row));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_has_changed_is_asked_for_anew() {
        let (looks, row) = (looks(), row());
        ask(&looks, &row).land(seen(&row));
        assert!(is_known(&looks, &row));
        let changed = Arc::new(Batch::clone(&row));
        assert!(matches!(looks.way(&"n".into(), angle("d"), &changed), Way::Ask(..)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_changes_a_row_waits_for_no_look_that_began_before() {
        let (looks, row) = (looks(), row());
        let old = ask(&looks, &row);
        assert!(matches!(looks.way(&"n".into(), angle("d"), &row), Way::Wait(_)));
        let changed = Arc::new(Batch::clone(&row));
        let new = ask(&looks, &changed);
        old.land(seen(&row));
        assert!(matches!(looks.way(&"n".into(), angle("d"), &changed), Way::Wait(_)), "the new one is under way");
        new.land(seen(&changed));
        assert!(is_known(&looks, &changed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_is_given_up_keeps_nobody_waiting() {
        let (looks, row) = (looks(), row());
        let Way::Ask(flight, waiting) = looks.way(&"n".into(), angle("d"), &row) else { panic!("nobody has asked") };
        drop(flight);
        assert!(waiting.shown().await.is_err());
        drop(ask(&looks, &row));
        assert_eq!(looks.kept().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn other_dialects_have_views_of_their_own_and_all_of_them_are_counted() {
        let (looks, row) = (looks(), row());
        for number in 0..2 * VIEWS {
            let dialect = format!("d{number}");
            let Way::Ask(flight, _) = looks.way(&"n".into(), angle(&dialect), &row) else { panic!("{dialect}") };
            flight.land(seen(&row));
        }
        assert_eq!(looks.kept().bytes, VIEWS * LOOK_BYTES);
        looks.forget(&"n".into());
        assert_eq!(looks.kept().bytes, 0);
    }
}
