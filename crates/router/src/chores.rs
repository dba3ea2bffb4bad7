//! What has to be done now and then: asked-for ends brought about, old rows dropped.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Entry, Expired, Retention};
use futures_util::{StreamExt, stream};

use crate::{Gateway, control, view};

/// How often asked-for ends that are not seen yet are asked for again.
const REPEAT_CANCEL: Duration = Duration::from_secs(5);
const CANCELS_AT_ONCE: usize = 16;
/// How often rows that are kept no longer are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
const ROWS_AT_ONCE: usize = 1000;

/// Ends that were asked for and are not seen are asked for again: the proxy that was asked may have died in between.
pub(crate) async fn repeat_cancels(gateway: Arc<Gateway>) {
    while !gateway.stop.is_cancelled() {
        match gateway.ledger.unended_cancels(ROWS_AT_ONCE).await {
            // Several at once: a backend that hangs must not keep the wishes on the others waiting.
            Ok(entries) => {
                stream::iter(entries).for_each_concurrent(CANCELS_AT_ONCE, |entry| repeat(&gateway, entry)).await
            }
            Err(error) => tracing::warn!(cause = error.detail(), "asked-for ends cannot be read"),
        }
        gateway.pause(REPEAT_CANCEL).await;
    }
}

async fn repeat(gateway: &Arc<Gateway>, entry: Entry) {
    match control::repeat_cancel(gateway, &entry).await {
        Ok(()) => {}
        // Said by whoever walks it, once for the backend and not for each wish.
        Err(error) if view::is_silence(&error) => {}
        Err(error) => {
            tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "a cancel could not be repeated");
        }
    }
}

/// Drops rows that are kept no longer.
pub(crate) async fn expire(gateway: Arc<Gateway>) {
    while !gateway.stop.is_cancelled() {
        let limits = &gateway.limits;
        let keep = Retention::at(gateway.clock.now(), limits.keep_for, limits.max_rows, ROWS_AT_ONCE);
        match gateway.ledger.expire(&keep).await {
            Ok(Expired { kept_from, .. }) => gateway.keep_from(kept_from),
            Err(error) => tracing::warn!(cause = error.detail(), "old rows cannot be dropped"),
        }
        gateway.pause(EXPIRE_EVERY).await;
    }
}
