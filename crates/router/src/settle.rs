//! What becomes of submits whose outcome nobody knows: they are looked up by their marker until it is known.
//!
//! Absence is believed only after the backend's `settle` and several looks, one of which still saw another known job (else the backend may
//! have lost its memory). A submit is never sent again from here: what it was to run is not in the ledger, and a job that runs twice is the
//! one thing that cannot be taken back.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Entry, Lease, Phase, Result, Sighting, Verdict};
use tokio::time::Instant;

use crate::{Gateway, gateway::merge, stack::Stack, submit::identity};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const NEGATIVE_LOOKS: u32 = 3;
const CLAIMED_AT_ONCE: usize = 64;

/// How an open intent was resolved.
pub(crate) enum Resolution {
    /// The backend has it.
    Accepted(Entry),
    /// The backend had refused it.
    Refused(String),
    /// It never went through.
    Failed(String),
    /// It cannot be told, or the proxy is stopping.
    Open,
}

/// Settles, again and again while the ledger cannot be written: the outcome must not be lost while this process lives.
pub(crate) async fn settle_for_sure(
    gateway: &Gateway,
    entry: &Entry,
    lease: &Lease,
    verdict: impl Fn() -> Verdict,
) -> Result<Entry> {
    let mut pause = FIRST_PAUSE;
    loop {
        match gateway.ledger.settle(lease, verdict()).await {
            Ok(now) => {
                gateway.observer.phase(&now.backend, now.phase);
                gateway.tell(entry, &now);
                return Ok(now);
            }
            Err(error) if gateway.stop.is_cancelled() || error.kind.retry_after().is_none() => return Err(error),
            Err(error) => {
                tracing::error!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "the outcome of a submit cannot be written yet");
                rest(gateway, &mut pause).await;
            }
        }
    }
}

/// Looks for a submit of unknown outcome until it is known.
pub(crate) async fn resolve(gateway: &Arc<Gateway>, stack: &Stack, entry: &Entry, lease: &Lease) -> Resolution {
    let can = stack.can();
    let (began, mut pause, mut negative, mut others) = (Instant::now(), FIRST_PAUSE, 0, false);
    loop {
        let ctx = gateway.own_context(Duration::from_secs(30));
        let verdict = match stack.look_up(&ctx, &entry.marker).await {
            Ok(Sighting::Found(batch)) => {
                let accepted = || Verdict::Accepted(Box::new(identity((*batch).clone())));
                return match settle_for_sure(gateway, entry, lease, accepted).await {
                    Ok(row) => {
                        let batch = Arc::new(merge(&row, *batch));
                        Resolution::Accepted(Entry { batch, ..row })
                    }
                    Err(_) => Resolution::Open,
                };
            }
            Ok(Sighting::Ghost(native)) => {
                tracing::info!(batch.id = %entry.batch.id.uuid, native = %native, "the backend kept a record of a submit that it refused");
                Some(Resolution::Refused("the backend refused the batch".to_owned()))
            }
            Ok(Sighting::Absent { others_seen }) => {
                negative += 1;
                others |= others_seen;
                let settled = can.settle.is_zero() || (negative >= NEGATIVE_LOOKS && began.elapsed() >= can.settle);
                (settled && others).then(|| {
                    Resolution::Failed("the batch never reached the backend; it may be submitted again".to_owned())
                })
            }
            Ok(Sighting::CannotTell) => {
                tracing::error!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, "nobody can tell whether this submit went through");
                return Resolution::Open;
            }
            Err(error) => {
                tracing::warn!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, cause = error.detail(), "a look-up failed; trying again");
                None
            }
        };
        if let Some(resolution) = verdict {
            let written = match &resolution {
                Resolution::Refused(reason) => {
                    let refused = || {
                        Verdict::Refused(batchlingua_core::Error::new(
                            batchlingua_core::ErrorKind::BackendRejected,
                            reason,
                        ))
                    };
                    settle_for_sure(gateway, entry, lease, refused).await
                }
                Resolution::Failed(reason) => {
                    settle_for_sure(gateway, entry, lease, || Verdict::Failed(reason.clone())).await
                }
                Resolution::Accepted(_) | Resolution::Open => return resolution,
            };
            return if written.is_ok() { resolution } else { Resolution::Open };
        }
        if gateway.stop.is_cancelled() {
            return Resolution::Open;
        }
        rest(gateway, &mut pause).await;
    }
}

/// Takes over what a past life, or a dead replica, has left open.
pub(crate) async fn resolve_open_intents(gateway: Arc<Gateway>) {
    let mut pause = FIRST_PAUSE;
    while !gateway.stop.is_cancelled() {
        match gateway.ledger.claim(&gateway.holder, CLAIMED_AT_ONCE).await {
            Ok(open) => {
                for (entry, lease) in open {
                    let gateway = gateway.clone();
                    tokio::spawn(async move { take_over(gateway, entry, lease).await });
                }
            }
            Err(error) => tracing::warn!(cause = error.detail(), "open submits cannot be claimed yet"),
        }
        // Leases run out in their own time: this is how often somebody looks.
        rest(&gateway, &mut pause).await;
    }
}

async fn take_over(gateway: Arc<Gateway>, entry: Entry, lease: Lease) {
    tracing::info!(batch.id = %entry.batch.id.uuid, backend = %entry.backend, phase = entry.phase.as_str(), "resolving a submit that was left open");
    if entry.phase == Phase::Intended {
        // `may_send` was never written, so not one byte was sent.
        let _ = settle_for_sure(&gateway, &entry, &lease, || {
            Verdict::Failed("the proxy stopped before it was sent".to_owned())
        })
        .await;
        return;
    }
    match gateway.stack(&entry.backend) {
        Ok(stack) => {
            let stack = stack.clone();
            resolve(&gateway, &stack, &entry, &lease).await;
        }
        Err(error) => {
            tracing::error!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "an open submit has no backend")
        }
    }
}

async fn rest(gateway: &Gateway, pause: &mut Duration) {
    // Being stopped ends the rest early.
    let _ = tokio::time::timeout(*pause, gateway.stop.cancelled()).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}
