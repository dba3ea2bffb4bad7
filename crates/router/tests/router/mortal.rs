//! A backend as one process reaches it: when the process dies, what it has sent goes on its way, and nobody hears the answer.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, Capabilities, Context, Cursor, Detail, Effect, Error, ErrorKind, Intent, Log, LogQuery,
    NativeId, Page, Plan, Result, Sighting, Sought, SubmitError,
};
use batchlingua_testkit::MemoryBackend;
use tokio::sync::Notify;

/// What a process must not do, done all the same: a checker that does not find it checks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    Nothing,
    /// A submit of unknown outcome is sent once more.
    SendsAgain,
    /// A submit of unknown outcome is taken for one that was not sent.
    TakesUnknownForUnsent,
    /// What is not seen at the first look is taken to be absent.
    BelievesAbsence,
    /// What is about to be sent is not written down before.
    ForgetsThatItSends,
}

/// The way of one process to the backend.
pub(crate) struct Mortal {
    inner: Arc<MemoryBackend>,
    planted: Planted,
    dead: AtomicBool,
    dies: Notify,
    sent: AtomicUsize,
}

impl Mortal {
    pub(crate) fn new(inner: Arc<MemoryBackend>, planted: Planted) -> Arc<Self> {
        Arc::new(Self { inner, planted, dead: AtomicBool::new(false), dies: Notify::new(), sent: AtomicUsize::new(0) })
    }

    pub(crate) fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.dies.notify_waiters();
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// How many submits it has sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    async fn ask<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let gone = || Error::new(ErrorKind::Internal, "the process is dead");
        let dies = self.dies.notified();
        if self.is_dead() {
            return Err(gone());
        }
        tokio::select! {
            biased;
            () = dies => Err(gone()),
            answer = tokio::spawn(call) => Ok(answer.expect("the backend does not panic")),
        }
    }

    async fn send(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        let (inner, ctx) = (self.inner.clone(), ctx.clone());
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.ask(async move { inner.submit(&ctx, plan).await }).await.map_err(SubmitError::Unknown)?
    }
}

#[async_trait]
impl Backend for Mortal {
    fn capabilities(&self) -> Arc<Capabilities> {
        let mut can = self.inner.capabilities();
        if self.planted == Planted::BelievesAbsence {
            Arc::make_mut(&mut can).settle = std::time::Duration::ZERO;
        }
        can
    }

    async fn probe(&self, ctx: &Context) -> Result<Arc<Capabilities>> {
        self.inner.probe(ctx).await
    }

    fn plan(&self, intent: Intent) -> Result<Plan> {
        self.inner.plan(intent)
    }

    async fn submit(&self, ctx: &Context, plan: Plan) -> Result<Batch<NativeId>, SubmitError> {
        match (self.send(ctx, plan.clone()).await, self.planted) {
            (Err(SubmitError::Unknown(_)), Planted::SendsAgain) if !self.is_dead() => self.send(ctx, plan).await,
            (Err(SubmitError::Unknown(error)), Planted::TakesUnknownForUnsent) => Err(SubmitError::NotSent(error)),
            (answer, _) => answer,
        }
    }

    async fn look_up(&self, ctx: &Context, sought: &Sought) -> Result<Sighting> {
        let (inner, ctx, sought) = (self.inner.clone(), ctx.clone(), sought.clone());
        self.ask(async move { inner.look_up(&ctx, &sought).await }).await?
    }

    async fn get(&self, ctx: &Context, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
        let (inner, ctx, id) = (self.inner.clone(), ctx.clone(), id.clone());
        self.ask(async move { inner.get(&ctx, &id, detail).await }).await?
    }

    async fn scan(&self, ctx: &Context, after: Option<Cursor>) -> Result<Page<Batch<NativeId>>> {
        let (inner, ctx) = (self.inner.clone(), ctx.clone());
        self.ask(async move { inner.scan(&ctx, after).await }).await?
    }

    async fn log(&self, ctx: &Context, id: &NativeId, query: &LogQuery) -> Result<Log> {
        self.inner.log(ctx, id, query).await
    }

    async fn control(&self, ctx: &Context, id: &NativeId, action: Action) -> Result<Effect> {
        self.inner.control(ctx, id, action).await
    }
}
