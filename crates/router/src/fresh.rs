//! The shared view of one backend: what was seen of a batch a moment ago serves all who ask within `freshness`, and while somebody asks, all
//! who come wait for that one answer. Polls are the load, and a platform falls over under it long before this process does.
//!
//! A look is asked for in a task of its own, so that neither a client that leaves nor one whose time is over takes it from the others. It is
//! used only as long as the row is the very one that it was merged with: whatever is written of a batch, by a control, a walk, the backend's own
//! word or another replica, makes a new row, and a poll after that asks anew. An action that is sent drops what is known before and after,
//! since it may change what no row shows. Errors are shared with who waits and never kept.
//!
//! A walk that shows the whole of a batch refreshes what was seen of it, and answers looks that wait for it (`rounds`). What it tells is as old as
//! the moment at which its page was asked for ([`Moment`]): it takes the place of what was seen before that, and of nothing else.
//!
//! What a dialect's clients are shown may differ (a Kyuubi's own clients get no log with an object), and what a caller sees with credentials
//! of its own is its own: so looks are kept by batch, dialect, detail and caller. Memory only, and bounded by bytes; what is dropped is asked
//! for again.

use std::{
    collections::HashSet,
    mem::size_of,
    num::NonZeroUsize,
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
/// Of so many batches it is known when something was last done to them.
const ACTED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
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
    /// Those that were asked for last come first.
    batches: LruCache<NativeId, Watched>,
    bytes: usize,
    /// How often something was forgotten, and of what it was forgotten last: at the count that is kept with it.
    forgotten: u64,
    acted: LruCache<NativeId, u64>,
    /// The greatest count that had to make place.
    gone: u64,
}

/// What was seen of a batch, and when somebody last wanted to see it.
struct Watched {
    asked: Instant,
    views: Vec<View>,
}

impl Watched {
    /// Whether somebody has asked for it since then, and it may still change.
    fn is_live(&self, since: Instant) -> bool {
        let may_change = |view: &View| !matches!(view.what, What::Seen { for_good: true, .. });
        self.asked >= since && self.views.iter().any(may_change)
    }

    fn bytes(&self) -> usize {
        self.views.iter().map(|view| view.what.bytes()).sum()
    }
}

/// When something was asked for of which nobody knows yet whom it will answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: Instant,
    /// How often something had been forgotten by then.
    forgotten: u64,
}

/// Who sees what of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Angle {
    pub(crate) detail: Detail,
    pub(crate) dialect: DialectName,
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
    pub(crate) fn native(&self) -> &NativeId {
        &self.native
    }

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
            kept: Mutex::new(Kept {
                batches: LruCache::unbounded(),
                bytes: 0,
                forgotten: 0,
                acted: LruCache::sparse(ACTED),
                gone: 0,
            }),
        }
    }

    /// Whether anything is shared at all; else each poll asks.
    pub(crate) fn are_shared(&self) -> bool {
        !self.freshness.is_zero()
    }

    pub(crate) fn freshness(&self) -> Duration {
        self.freshness
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
        let now = Instant::now();
        let mut kept = self.kept();
        let watched = kept.batches.get_or_insert_mut_ref(native, || Watched { asked: now, views: Vec::new() });
        watched.asked = now;
        let views = &mut watched.views;
        let known = views.iter().position(|view| view.angle == angle);
        if let Some(view) = known.map(|at| &views[at]).filter(|view| Arc::ptr_eq(&view.row, row)) {
            match &view.what {
                What::Flying(_, landed) => return Way::Wait(Waiting(landed.clone())),
                What::Seen { batch, at, for_good }
                    if *for_good || now.saturating_duration_since(*at) <= self.freshness =>
                {
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
        kept.forgotten += 1;
        let count = kept.forgotten;
        if let Some((other, gone)) = kept.acted.push(native.clone(), count)
            && other != *native
        {
            kept.gone = gone;
        }
        if let Some(watched) = kept.batches.pop(native) {
            kept.bytes -= watched.bytes();
        }
    }

    /// The moment before something is asked for.
    pub(crate) fn moment(&self) -> Moment {
        let kept = self.kept();
        Moment { at: Instant::now(), forgotten: kept.forgotten }
    }

    /// Whether what was asked for at this moment says nothing of this batch any more: something has been done to it since.
    pub(crate) fn is_spoiled(&self, native: &NativeId, moment: Moment) -> bool {
        let kept = self.kept();
        moment.forgotten < kept.gone || kept.acted.peek(native).is_some_and(|at| *at > moment.forgotten)
    }

    /// Whether at least so many batches that may still change were asked for within `freshness`.
    pub(crate) fn are_watched(&self, count: usize) -> bool {
        let Some(since) = Instant::now().checked_sub(self.freshness) else { return false };
        let kept = self.kept();
        // What has ended may be among them, but is not looked through without bound.
        let recent =
            kept.batches.iter().take(count.saturating_mul(4)).take_while(|(_, watched)| watched.asked >= since);
        recent.filter(|(_, watched)| watched.is_live(since)).nth(count.saturating_sub(1)).is_some()
    }

    /// The batches that may still change and were asked for within `freshness`.
    pub(crate) fn watched(&self) -> HashSet<NativeId> {
        let Some(since) = Instant::now().checked_sub(self.freshness) else { return HashSet::new() };
        let kept = self.kept();
        let recent = kept.batches.iter().take_while(|(_, watched)| watched.asked >= since);
        recent.filter(|(_, watched)| watched.is_live(since)).map(|(native, _)| native.clone()).collect()
    }

    /// Whether anything that was seen of the batch is older than this.
    pub(crate) fn is_older(&self, native: &NativeId, moment: Moment) -> bool {
        self.kept().batches.peek(native).is_some_and(|watched| watched.views.iter().any(|view| view.is_older(moment)))
    }

    /// What was asked for at this moment takes the place of what had been seen before, from these angles.
    pub(crate) fn refresh(&self, native: &NativeId, moment: Moment, shown: &Shown, may: impl Fn(&Angle) -> bool) {
        let Some(Keep { row, for_good }) = &shown.keep else { return };
        let now = Instant::now();
        let mut kept = self.kept();
        let Kept { batches, bytes, .. } = &mut *kept;
        let Some(watched) = batches.peek_mut(native) else { return };
        for view in watched.views.iter_mut().filter(|view| view.is_older(moment) && may(&view.angle)) {
            *bytes -= view.what.bytes();
            view.row = row.clone();
            view.what = What::Seen { batch: shown.batch.clone(), at: now, for_good: *for_good };
            *bytes += view.what.bytes();
        }
        kept.shrink(self.max_bytes);
    }

    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what was seen in the place of the flight that saw it, if it still has one.
    fn replace(&self, native: &NativeId, number: u64, seen: Option<(Row, What)>) {
        let mut kept = self.kept();
        let Kept { batches, bytes, .. } = &mut *kept;
        let Some(Watched { views, .. }) = batches.peek_mut(native) else { return };
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

impl View {
    /// A look that is on its way, and what nobody else may see, are not.
    fn is_older(&self, moment: Moment) -> bool {
        match &self.what {
            What::Seen { at, for_good, .. } => !for_good && *at < moment.at && self.angle.caller.is_none(),
            What::Flying(..) => false,
        }
    }
}

impl Kept {
    /// Those that nobody has asked for longest go first.
    fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes
            && let Some((_, watched)) = self.batches.pop_lru()
        {
            self.bytes -= watched.bytes();
        }
    }
}

#[cfg(test)]
mod tests;
