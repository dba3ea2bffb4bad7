//! A backend that errs in ways of its own, over the one in memory.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchState, Capabilities, Changes, Context, Cursor, Detail, Effect, Intent, Log, LogQuery,
    NativeId, Page, Plan, Result, Sighting, Sought, SubmitError,
};
use batchlingua_testkit::MemoryBackend;

pub(crate) struct Odd {
    inner: Arc<MemoryBackend>,
    /// What the next submits fail with.
    pub(crate) submits: Mutex<VecDeque<SubmitError>>,
    /// The next submit panics once its job is made.
    pub(crate) submit_panics: AtomicBool,
    /// So many walks panic.
    pub(crate) scan_panics: AtomicUsize,
    /// It drops a batch with its cancel, as some products do.
    pub(crate) drops_on_cancel: AtomicBool,
    /// It counts no attempts: a job that is begun anew looks as it did at first.
    pub(crate) counts_none: AtomicBool,
    /// A record keeps its name until it is dropped.
    pub(crate) holds_names: AtomicBool,
}

impl Odd {
    pub(crate) fn over(inner: Arc<MemoryBackend>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            submits: Mutex::default(),
            submit_panics: AtomicBool::new(false),
            scan_panics: AtomicUsize::new(0),
            drops_on_cancel: AtomicBool::new(false),
            counts_none: AtomicBool::new(false),
            holds_names: AtomicBool::new(false),
        })
    }
}

impl Odd {
    fn uncounted(&self, batch: Batch<NativeId>) -> Batch<NativeId> {
        match self.counts_none.load(Ordering::SeqCst) {
            true => Batch { attempt: 1, ..batch },
            false => batch,
        }
    }
}

#[async_trait]
impl Backend for Odd {
    fn capabilities(&self) -> Arc<Capabilities> {
        self.inner.capabilities()
    }

    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        self.inner.probe(ctx).await
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        self.inner.plan(intent)
    }

    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        let fault = self.submits.lock().expect("unpoisoned").pop_front();
        match fault {
            Some(error) => Err(error),
            None => {
                let made = self.inner.submit(ctx, plan).await;
                assert!(!self.submit_panics.swap(false, Ordering::SeqCst), "an adapter's broken invariant");
                made
            }
        }
    }

    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        self.inner.look_up(ctx, sought).await
    }

    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        self.inner.get(ctx, id, detail).await.map(|batch| self.uncounted(batch))
    }

    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let left = self.scan_panics.load(Ordering::SeqCst);
        if left > 0 {
            self.scan_panics.store(left - 1, Ordering::SeqCst);
            panic!("an adapter's broken invariant");
        }
        let page = self.inner.scan(ctx, after).await?;
        Ok(Page { rows: page.rows.into_iter().map(|batch| self.uncounted(batch)).collect(), ..page })
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        self.inner.log(ctx, id, query).await
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        if action == Action::Cancel && self.drops_on_cancel.load(Ordering::SeqCst) {
            self.inner.get(ctx, id, Detail::State).await?;
            self.inner.forget(id);
            return Ok(Effect::Ended(BatchState::Cancelled));
        }
        self.inner.control(ctx, id, action).await
    }

    fn holds_names(&self) -> bool {
        self.holds_names.load(Ordering::SeqCst)
    }

    fn changes(&self) -> Option<Changes> {
        self.inner.changes()
    }
}
