//! A ledger that a test can make fail, hold and count, over the one in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use batchlingua_core::{
    BackendName, BatchRef, Bound, ByHand, DialectName, Entry, Error, ErrorKind, Expired, Health, Holder, Intended,
    KeptLog, Lease, Ledger, ListQuery, NativeIdentity, NewIntent, Observation, Overruled, Page, Result, Retention,
    RowId, Scope, Verdict,
};
use tokio::sync::watch;

#[derive(Default)]
struct Orders {
    failing: HashMap<&'static str, usize>,
    held: Vec<&'static str>,
    calls: HashMap<&'static str, usize>,
    /// The process is dead: nothing of it reaches the ledger any more.
    dead: bool,
    /// It does not write down that it is about to send.
    forgets_sending: bool,
}

/// The ledger. Calls are named as the port names them.
pub(crate) struct Watched {
    inner: Arc<dyn Ledger>,
    orders: Mutex<Orders>,
    moved: watch::Sender<()>,
}

impl Watched {
    pub(crate) fn over(inner: Arc<dyn Ledger>) -> Arc<Self> {
        Arc::new(Self { inner, orders: Mutex::default(), moved: watch::Sender::new(()) })
    }

    /// The next calls fail, as with a full disk.
    pub(crate) fn fail(&self, call: &'static str, times: usize) {
        self.orders.lock().expect("unpoisoned").failing.insert(call, times);
    }

    /// Nothing reaches the ledger any more.
    pub(crate) fn die(&self) {
        self.orders.lock().expect("unpoisoned").dead = true;
    }

    /// A bug: what is sent is not written down before.
    pub(crate) fn forget_sending(&self) {
        self.orders.lock().expect("unpoisoned").forgets_sending = true;
    }

    fn forgets_sending(&self) -> bool {
        self.orders.lock().expect("unpoisoned").forgets_sending
    }

    /// Calls are done but not answered until they are released.
    pub(crate) fn hold(&self, call: &'static str) {
        self.orders.lock().expect("unpoisoned").held.push(call);
    }

    pub(crate) fn release(&self, call: &'static str) {
        self.orders.lock().expect("unpoisoned").held.retain(|held| *held != call);
        self.moved.send_replace(());
    }

    pub(crate) fn calls(&self, call: &'static str) -> usize {
        self.orders.lock().expect("unpoisoned").calls.get(call).copied().unwrap_or(0)
    }

    /// Until so many calls have come.
    pub(crate) async fn until_called(&self, call: &'static str, times: usize) {
        let mut moved = self.moved.subscribe();
        while self.calls(call) < times {
            moved.changed().await.expect("the sender is ours");
        }
    }

    fn begin(&self, call: &'static str) -> Result<()> {
        let mut orders = self.orders.lock().expect("unpoisoned");
        *orders.calls.entry(call).or_default() += 1;
        let failing = orders.failing.entry(call).or_default();
        let fails = *failing > 0;
        *failing = failing.saturating_sub(1);
        let dead = orders.dead;
        drop(orders);
        self.moved.send_replace(());
        if dead {
            return Err(Error::new(ErrorKind::Internal, "the process is dead"));
        }
        if fails {
            let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(5) };
            return Err(Error::new(kind, "the ledger cannot be written: submits are refused"));
        }
        Ok(())
    }

    async fn end(&self, call: &'static str) {
        let mut moved = self.moved.subscribe();
        while self.orders.lock().expect("unpoisoned").held.contains(&call) {
            moved.changed().await.expect("the sender is ours");
        }
    }
}

#[async_trait]
impl Ledger for Watched {
    async fn intend(&self, new: NewIntent) -> Result<Intended> {
        self.begin("intend")?;
        let at_once = new.at_once && !self.forgets_sending();
        let done = self.inner.intend(NewIntent { at_once, ..new }).await;
        self.end("intend").await;
        done
    }

    async fn may_send(&self, lease: &Lease) -> Result<()> {
        self.begin("may_send")?;
        if self.forgets_sending() {
            return Ok(());
        }
        self.inner.may_send(lease).await
    }

    async fn settle(&self, lease: &Lease, verdict: Verdict) -> Result<Entry> {
        self.begin("settle")?;
        let done = self.inner.settle(lease, verdict).await;
        self.end("settle").await;
        done
    }

    async fn overrule(&self, row: RowId, said: &ByHand) -> Result<Overruled> {
        self.begin("overrule")?;
        let done = self.inner.overrule(row, said).await;
        self.end("overrule").await;
        done
    }

    async fn claim(&self, holder: &Holder, limit: usize) -> Result<Vec<(Entry, Lease)>> {
        self.begin("claim")?;
        let claimed = self.inner.claim(holder, limit).await;
        self.end("claim").await;
        claimed
    }

    async fn find(&self, wanted: &BatchRef, scope: &Scope) -> Result<Option<Entry>> {
        self.begin("find")?;
        let found = self.inner.find(wanted, scope).await;
        self.end("find").await;
        found
    }

    async fn bind(&self, backend: &BackendName, seen: &[NativeIdentity]) -> Result<Vec<Bound>> {
        self.begin("bind")?;
        let bound = self.inner.bind(backend, seen).await;
        self.end("bind").await;
        bound
    }

    async fn may_be_ours(&self, row: RowId, seen: &NativeIdentity) -> Result<bool> {
        self.begin("may_be_ours")?;
        self.inner.may_be_ours(row, seen).await
    }

    async fn retire(&self, row: RowId) -> Result<()> {
        self.begin("retire")?;
        self.inner.retire(row).await
    }

    async fn observe(&self, seen: &[Observation]) -> Result<Vec<Entry>> {
        self.begin("observe")?;
        self.inner.observe(seen).await
    }

    async fn miss(&self, row: RowId) -> Result<Option<Entry>> {
        self.begin("miss")?;
        self.inner.miss(row).await
    }

    async fn ask_cancel(&self, rows: &[RowId]) -> Result<Vec<Entry>> {
        self.begin("ask_cancel")?;
        self.inner.ask_cancel(rows).await
    }

    async fn unended_cancels(&self, limit: usize) -> Result<Vec<Entry>> {
        self.begin("unended_cancels")?;
        self.inner.unended_cancels(limit).await
    }

    async fn page(&self, query: &ListQuery, scope: &Scope) -> Result<Page<Entry>> {
        self.begin("page")?;
        self.inner.page(query, scope).await
    }

    async fn kept_log(&self, row: RowId) -> Result<Option<KeptLog>> {
        self.begin("kept_log")?;
        self.inner.kept_log(row).await
    }

    async fn hide(&self, rows: &[RowId], from: &DialectName) -> Result<()> {
        self.begin("hide")?;
        self.inner.hide(rows, from).await
    }

    async fn expire(&self, keep: &Retention) -> Result<Expired> {
        self.begin("expire")?;
        self.inner.expire(keep).await
    }

    async fn dump(&self, after: Option<RowId>, limit: usize) -> Result<Vec<Entry>> {
        self.begin("dump")?;
        self.inner.dump(after, limit).await
    }

    async fn health(&self) -> Health {
        self.inner.health().await
    }
}
