//! What becomes of submits whose outcome nobody knows: they are looked up by their marker until it is known.
//!
//! Absence is believed only after the backend's `settle` and several looks, one of which still saw another known job (else the backend may
//! have lost its memory). A submit is never sent again from here: what it was to run is not in the ledger, and a job that runs twice is the
//! one thing that cannot be taken back.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Batch, BatchId, BatchRef, Capabilities, Detail, Entry, Error, ErrorKind, Lease, NativeId, Phase, Result, RowId,
    Sighting, Sought, Verdict,
};
use tokio::{
    sync::broadcast::Receiver,
    time::{Instant, sleep},
};

use crate::{
    Gateway,
    gateway::merge,
    logs,
    open::{Held, Whereabouts},
    refusal::{self, recalled},
    sightings::span,
    stack::Stack,
    submit::identity,
    view,
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const NEGATIVE_LOOKS: u32 = 3;
const CLAIMED_AT_ONCE: usize = 64;
/// How often within a lease it is looked for leases that have run out.
const LOOKS_IN_A_LEASE: u32 = 4;
const LOOK: Duration = Duration::from_secs(30);
/// When a client may submit again what never reached its backend.
const SUBMIT_AGAIN: Duration = Duration::from_secs(1);

/// How an open intent was resolved.
pub(crate) enum Resolution {
    /// The backend has it: its row, and what is to be shown of it.
    Accepted(Entry, Arc<Batch<BatchId>>),
    /// It did not go through, for this reason.
    Not(Error),
    /// It cannot be told now: the proxy is stopping, or the ledger cannot be written.
    Open,
    /// Its backend will never tell: a person has to look.
    CannotTell,
}

/// Settles, once. A lease that was renewed under it is no failure.
pub(crate) async fn settle(
    gateway: &Gateway,
    entry: &Entry,
    held: &Held<'_>,
    verdict: &(impl Fn() -> Verdict + Sync),
) -> Result<Entry> {
    loop {
        let lease = held.lease();
        match gateway.ledger.settle(&lease, verdict()).await {
            Ok(now) => {
                gateway.observer.phase(&now.backend, now.phase);
                gateway.tell(entry, &now);
                return Ok(now);
            }
            Err(_) if held.is_renewed(&lease).await => {}
            Err(error) if settled_meanwhile(gateway, entry).await.is_some() => return Err(error),
            Err(error) => {
                tracing::error!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "the outcome of a submit cannot be written");
                return Err(error);
            }
        }
    }
}

/// The same again and again while the ledger cannot be written, a shutdown included: the outcome must not be lost while this process lives.
pub(crate) async fn settle_for_sure(
    gateway: &Gateway,
    entry: &Entry,
    held: &Held<'_>,
    verdict: impl Fn() -> Verdict + Sync,
) -> Result<Entry> {
    let mut pause = FIRST_PAUSE;
    loop {
        match settle(gateway, entry, held, &verdict).await {
            Err(error) if error.kind.retry_after().is_some() => {
                sleep(pause).await;
                pause = longer(pause);
            }
            settled => return settled,
        }
    }
}

/// The verdict on a submit that was refused; on one that was only refused for now, the key is free for the retry.
pub(crate) fn refused(error: &Error) -> Verdict {
    match error.kind.retry_after() {
        Some(_) => Verdict::Failed(error.message.clone()),
        None => Verdict::Refused(refusal::stored(error)),
    }
}

/// Looks for a submit of unknown outcome until it is known.
pub(crate) async fn resolve(gateway: &Arc<Gateway>, stack: &Stack, entry: &Entry, held: &Held<'_>) -> Resolution {
    let can = stack.can();
    let sought = sought(entry);
    held.is_now(Whereabouts::LookedFor);
    let (began, mut pause, mut negative, mut others) = (Instant::now(), FIRST_PAUSE, 0, false);
    // A life that is shorter than `settle` must not begin to count anew: since when nobody sends it is written down.
    let before = match entry.phase {
        Phase::Ambiguous => span(entry.batch.times.modified, gateway.clock.now()),
        Phase::Intended | Phase::Sending | Phase::Accepted | Phase::Refused | Phase::Failed => Duration::ZERO,
    };
    let waited = || before + began.elapsed();
    // Before the first look at the row, so that what a person says is not missed.
    let mut changed = gateway.changed.subscribe();
    loop {
        let ctx = gateway.own_context(LOOK);
        let look = tokio::select! {
            () = gateway.stop.cancelled() => return Resolution::Open,
            Some(told) = settled_within(gateway, &mut changed, entry, LOOK) => return told,
            look = stack.look_up(&ctx, &sought) => look,
        };
        let not = match look {
            Ok(Sighting::Found(batch)) => match gateway.ledger.may_be_ours(entry.row, &identity(stack, &batch)).await {
                Ok(true) => return found(gateway, stack, entry, held, *batch).await,
                // Somebody else's batch has the name. It was seen, so the backend has its memory.
                Ok(false) => {
                    negative += 1;
                    others = true;
                    absence(&can, waited(), negative, others)
                }
                // Not knowing whose it is is no look at all.
                Err(error) => {
                    tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "it cannot be told whose a batch is; trying again");
                    None
                }
            },
            Ok(Sighting::Ghost(native)) => {
                tracing::info!(batch.id = %entry.batch.id.uuid, native = %native, "the backend kept a record of a submit that it refused");
                Some(Error::new(ErrorKind::BackendRejected, "the backend refused the batch"))
            }
            Ok(Sighting::Absent { others_seen }) => {
                negative += 1;
                others |= others_seen;
                absence(&can, waited(), negative, others)
            }
            Ok(Sighting::CannotTell) => {
                tracing::error!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, "nobody can tell whether this submit went through");
                return Resolution::CannotTell;
            }
            Err(error) => {
                tracing::warn!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, cause = error.detail(), "a look-up failed; trying again");
                None
            }
        };
        if let Some(error) = not {
            return match settle_for_sure(gateway, entry, held, || refused(&error)).await {
                Ok(_) => Resolution::Not(error),
                Err(_) => settled_meanwhile(gateway, entry).await.unwrap_or(Resolution::Open),
            };
        }
        if let Some(told) = settled_within(gateway, &mut changed, entry, pause).await {
            return told;
        }
        pause = longer(pause);
    }
}

/// Whether absence is believed by now.
fn absence(can: &Capabilities, waited: Duration, looks: u32, others_seen: bool) -> Option<Error> {
    let settled = can.settle.is_zero() || (looks >= NEGATIVE_LOOKS && waited >= can.settle);
    (settled && others_seen).then(never_reached)
}

fn never_reached() -> Error {
    let kind = ErrorKind::BackendUnavailable { retry_after: SUBMIT_AGAIN };
    Error::new(kind, "the batch never reached its backend; it may be submitted again")
}

/// The backend has it.
async fn found(gateway: &Gateway, stack: &Stack, entry: &Entry, held: &Held<'_>, batch: Batch<NativeId>) -> Resolution {
    let accepted = || Verdict::Accepted(Box::new(identity(stack, &batch)));
    match settle_for_sure(gateway, entry, held, accepted).await {
        Ok(row) => {
            let shown = merge(&row, batch);
            Resolution::Accepted(row, shown)
        }
        Err(_) => settled_meanwhile(gateway, entry).await.unwrap_or(Resolution::Open),
    }
}

/// What a person makes of it within this time, here or by another process on the same ledger, which tells nobody here. `None`: nothing.
async fn settled_within(
    gateway: &Gateway,
    changed: &mut Receiver<RowId>,
    entry: &Entry,
    span: Duration,
) -> Option<Resolution> {
    let until = Instant::now() + span;
    while gateway.until_changed(changed, entry.row, until).await {
        if let Some(told) = settled_meanwhile(gateway, entry).await {
            return Some(told);
        }
    }
    settled_meanwhile(gateway, entry).await
}

/// What a person has made of it meanwhile. `None`: it is open still, or the ledger cannot say.
async fn settled_meanwhile(gateway: &Gateway, entry: &Entry) -> Option<Resolution> {
    let known = gateway.ledger.find(&BatchRef::Uuid(entry.marker.uuid), &gateway.own_scope(None)).await.ok()?;
    match known {
        Some(row) if row.row == entry.row => (!row.phase.is_open()).then(|| {
            let shown = row.batch.clone();
            Resolution::Accepted(row, shown)
        }),
        // One that did not go through is found by nobody any more.
        Some(_) | None => {
            let row = gateway.row(entry.row).await.ok()?.filter(|row| !row.phase.is_open())?;
            Some(Resolution::Not(match row.phase {
                Phase::Failed => never_reached(),
                Phase::Intended | Phase::Sending | Phase::Ambiguous | Phase::Accepted | Phase::Refused => {
                    refusal_of(&row)
                }
            }))
        }
    }
}

fn sought(entry: &Entry) -> Sought {
    let batch = &entry.batch;
    Sought {
        marker: entry.marker.clone(),
        since: batch.times.created,
        project: batch.project.clone(),
        spec: batch.spec.clone(),
    }
}

/// Brings the row of an accepted submit up to date: a backend that tells changes may have told some before the row had its id, and a job
/// that was over with its answer has a log to be kept.
pub(crate) async fn catch_up(gateway: &Arc<Gateway>, stack: &Arc<Stack>, row: &Entry) {
    let ctx = gateway.own_context(stack.timeout());
    let look = async {
        match &row.batch.id.native {
            Some(native) if row.batch.state.is_end() => logs::keep(gateway, &ctx, stack, row, native).await,
            // What cannot be seen now is seen at the next look.
            _ if stack.changes().is_some() => _ = view::show_now(gateway, &ctx, row, Detail::State).await,
            // It tells nothing by itself, so nothing was missed: it is asked when somebody wants to know.
            _ => {}
        }
    };
    tokio::select! {
        () = gateway.stop.cancelled() => {}
        () = look => {}
    }
}

/// Takes over what a past life, or a dead replica, has left open, and renews what tasks of this one still work on.
pub(crate) async fn resolve_open_intents(gateway: Arc<Gateway>) {
    let mut pause = FIRST_PAUSE;
    while !gateway.stop.is_cancelled() {
        let claiming = gateway.open.claim().await;
        let claimed = match gateway.ledger.claim(&gateway.holder, CLAIMED_AT_ONCE).await {
            Ok(open) => {
                let claimed = open.len();
                for (entry, lease) in open {
                    if !gateway.open.renew(&lease) {
                        gateway.open.has(&entry, &lease);
                        tokio::spawn(take_over(gateway.clone(), entry, lease));
                    }
                }
                if claimed < CLAIMED_AT_ONCE {
                    gateway.open.all_claimed();
                }
                claimed
            }
            Err(error) => {
                tracing::warn!(cause = error.detail(), "open submits cannot be claimed yet");
                0
            }
        };
        drop(claiming);
        // A full hand means that there may be more; else leases run out in their own time, and this is how often somebody looks.
        if claimed < CLAIMED_AT_ONCE {
            gateway.pause(pause).await;
            // What a dead replica has left does not wait for much longer than its lease.
            pause = longer(pause).min((gateway.limits.lease / LOOKS_IN_A_LEASE).max(FIRST_PAUSE));
        }
    }
}

async fn take_over(gateway: Arc<Gateway>, entry: Entry, lease: Lease) {
    tracing::info!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, phase = entry.phase.as_str(), "resolving a submit that was left open");
    let held = gateway.open.hold(entry.clone(), lease);
    if entry.phase == Phase::Intended {
        // `may_send` was never written, so not one byte was sent.
        let unsent = || Verdict::Failed("the proxy stopped before it was sent".to_owned());
        let _ = settle_for_sure(&gateway, &entry, &held, unsent).await;
        return;
    }
    // Its sender is gone: written down before the first look, so that the next life knows since when.
    let entry = match entry.phase {
        Phase::Sending => settle_for_sure(&gateway, &entry, &held, || Verdict::Ambiguous).await.unwrap_or(entry),
        Phase::Intended | Phase::Ambiguous | Phase::Accepted | Phase::Refused | Phase::Failed => entry,
    };
    match gateway.stack(&entry.backend) {
        Ok(stack) => match resolve(&gateway, stack, &entry, &held).await {
            Resolution::Accepted(row, _) => return catch_up(&gateway, stack, &row).await,
            Resolution::Not(_) => return,
            Resolution::Open | Resolution::CannotTell => {}
        },
        Err(error) => {
            tracing::error!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "an open submit has no backend")
        }
    }
    left_to_people(&gateway, &entry, &held).await;
}

/// It stays open until a person settles it. Held, so that it is not claimed and told anew with every lease.
async fn left_to_people(gateway: &Gateway, entry: &Entry, held: &Held<'_>) {
    held.is_now(Whereabouts::LeftToPeople);
    until_settled(gateway, entry).await;
}

/// The same of a submit whose client has its answer; a proxy that stops does not wait for it.
pub(crate) fn leave_to_people(gateway: &Arc<Gateway>, entry: &Entry, held: Held<'_>) {
    let lease = held.lease();
    drop(held);
    gateway.open.has(entry, &lease);
    let (gateway, entry) = (gateway.clone(), entry.clone());
    tokio::spawn(async move {
        let held = gateway.open.hold(entry.clone(), lease);
        left_to_people(&gateway, &entry, &held).await;
    });
}

/// Until a person has settled it, here or by another process on the same ledger, which tells nobody here; or until the proxy stops.
async fn until_settled(gateway: &Gateway, entry: &Entry) {
    let mut changed = gateway.changed.subscribe();
    while !gateway.stop.is_cancelled() {
        let known = gateway.ledger.find(&BatchRef::Uuid(entry.marker.uuid), &gateway.own_scope(None)).await;
        // One that did not go through is found by nobody any more.
        if known.is_ok_and(|known| known.is_none_or(|known| !known.phase.is_open())) {
            return;
        }
        gateway.until_changed(&mut changed, entry.row, Instant::now() + gateway.limits.lease).await;
    }
}

/// The refusal of a settled submit, as its first client got it.
pub(crate) fn refusal_of(entry: &Entry) -> Error {
    recalled(entry.refusal.as_deref().unwrap_or("the batch was refused"))
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}
