//! An operator says what became of a submit that nobody else can tell about, while the proxy goes on.
//!
//! What he says is written under a new fence, so that whoever is looking for the submit at that moment can write nothing any more. Then all who
//! wait are told: the look-up ends, the client that still has its connection gets its answer, a retry with the same key goes on.

use std::sync::Arc;

use batchlingua_core::{
    BackendName, BatchRef, ByHand, Context, DialectName, Entry, Error, ListenerName, Overruled, Phase, Principal,
    Result, RowId, Uuid,
};

use crate::{AuditRecord, Gateway, follow::BACKGROUND_CALL, settle};

/// Why a submit was not settled.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// No batch has the id.
    #[error("no submit has this id, or it did not go through and that is known")]
    Unknown,
    /// There is nothing to be settled.
    #[error("the submit is {}, not ambiguous: {}", .0.as_str(), advice(*.0))]
    NotAmbiguous(Phase),
    /// One job would be two batches.
    #[error("its backend's id belongs to batch {0} already: nothing was settled")]
    Taken(Uuid),
    /// The ledger cannot be asked, or the proxy is stopping.
    #[error("{}", .0.message)]
    Refused(#[source] Error),
}

fn advice(phase: Phase) -> &'static str {
    match phase {
        Phase::Intended | Phase::Sending => "it is being sent, and its outcome may come yet",
        Phase::Ambiguous => "it has become so just now; try again",
        Phase::Accepted | Phase::Refused | Phase::Failed => "its outcome is known",
    }
}

impl NotSettled {
    /// Its word in the audit.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::NotAmbiguous(_) | Self::Taken(_) => "conflict",
            Self::Refused(error) => error.kind.as_str(),
        }
    }
}

impl From<Error> for NotSettled {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Gateway {
    /// Writes down what `by` has found out about an ambiguous submit, and tells all who wait for it; the row as it now stands. A name of the one
    /// who says it is taken as it comes.
    pub async fn settle_by_hand(
        self: &Arc<Self>,
        wanted: &BatchRef,
        said: &ByHand,
        by: &str,
    ) -> Result<Entry, NotSettled> {
        let token = self.come_in()?;
        let (gateway, wanted, said, by) = (self.clone(), wanted.clone(), said.clone(), by.to_owned());
        // Whoever asks may be gone before the ledger has answered: what is written is told all the same.
        let work = self.tasks.spawn(async move { gateway.overrule(&wanted, &said, &by).await });
        drop(token);
        work.await.map_err(Error::internal)?
    }

    async fn overrule(self: &Arc<Self>, wanted: &BatchRef, said: &ByHand, by: &str) -> Result<Entry, NotSettled> {
        let known = self.ledger.find(wanted, &self.own_scope(None)).await?;
        let done = match &known {
            Some(entry) => self.written(entry, said).await,
            None => Err(NotSettled::Unknown),
        };
        self.audit_by_hand(known.as_ref(), said, by, done.as_ref().map_or_else(NotSettled::as_str, |_| "ok"));
        done
    }

    async fn written(self: &Arc<Self>, entry: &Entry, said: &ByHand) -> Result<Entry, NotSettled> {
        let now = match self.ledger.overrule(entry.row, said).await? {
            Overruled::Done(now) => now,
            Overruled::NotAmbiguous(phase) => return Err(NotSettled::NotAmbiguous(phase)),
            Overruled::Taken(holder) => return Err(self.taken(holder).await),
            Overruled::Gone => return Err(NotSettled::Unknown),
        };
        let native = now.batch.id.native.as_ref().map(tracing::field::display);
        tracing::info!(batch.id = %now.batch.id.uuid, backend = %now.backend, phase = now.phase.as_str(), native, "a submit was settled by hand");
        // No claim can have it any more, so nobody takes it up again.
        self.open.is_settled(now.row);
        self.observer.phase(&now.backend, now.phase);
        self.tell(entry, &now);
        if now.phase == Phase::Accepted
            && let Ok(stack) = self.stack(&now.backend)
        {
            let (gateway, stack, row) = (self.clone(), stack.clone(), now.clone());
            tokio::spawn(async move { settle::catch_up(&gateway, &stack, &row).await });
        }
        Ok(now)
    }

    async fn taken(&self, holder: RowId) -> NotSettled {
        match self.row(holder).await {
            Ok(Some(holder)) => NotSettled::Taken(holder.batch.id.uuid),
            // It was there a moment ago: nothing stands in the way of saying it again.
            Ok(None) => NotSettled::NotAmbiguous(Phase::Ambiguous),
            Err(error) => error.into(),
        }
    }

    /// A row, whatever became of it: one that did not go through is found by no id.
    pub(crate) async fn row(&self, row: RowId) -> Result<Option<Entry>> {
        let rows = self.ledger.dump(Some(RowId(row.0 - 1)), 1).await?;
        Ok(rows.into_iter().find(|entry| entry.row == row))
    }

    fn audit_by_hand(&self, entry: Option<&Entry>, said: &ByHand, by: &str, outcome: &'static str) {
        let ctx = Context {
            listener: ListenerName::from("admin"),
            dialect: DialectName::from("none"),
            principal: Principal::unverified(by),
            ..self.own_context(BACKGROUND_CALL)
        };
        self.observer.audit(&AuditRecord {
            ctx: &ctx,
            action: match said {
                ByHand::Accepted(_) => "settle as accepted",
                ByHand::Failed => "settle as failed",
            },
            batch: entry.map(|entry| entry.batch.id.uuid),
            backend: entry.map(|entry| -> &BackendName { &entry.backend }),
            name: entry.and_then(|entry| entry.batch.spec.name.as_deref()),
            outcome,
            unmapped: &[],
        });
    }
}
