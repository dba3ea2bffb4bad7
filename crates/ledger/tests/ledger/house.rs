//! What each test stands on: a ledger of its own, a clock that the test moves, and short words for what would else fill it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use batchlingua_core::{
    App, BackendName, Batch, BatchRef, BatchSpec, BatchState, Bound, Claim, Clock, Entry, ErrorKind, Filter, Holder,
    Intended, KeyClaim, Lease, Ledger, ListQuery, Marker, Millis, NativeId, NativeIdentity, NativeIds, NewIntent,
    Observation, Order, Page, Principal, Replay, Revival, RowId, Scope, Times, Uuid, Verdict, Window,
};
use batchlingua_ledger::{Options, open};
use batchlingua_testkit::postgres::{Database, Postgres};
use tempfile::TempDir;

/// When all tests begin.
pub(crate) const START: Millis = Millis(1_000_000);

/// Stands still until it is told otherwise.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn go(&self, span: Duration) {
        let span = i64::try_from(span.as_millis()).expect("a test's time is short");
        self.0.fetch_add(span, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Sqlite,
    /// With a cache of one row and no lists kept, so that nearly all is read from the file.
    SqliteUncached,
    Postgres,
    /// With a memory of one row, so that nearly all is read from the database.
    PostgresUncached,
}

/// Where a ledger lies that outlives its process.
pub(crate) enum Lies {
    Nowhere,
    In(TempDir),
    At(Database),
}

/// Dropped from above: the ledger before what it lies in.
pub(crate) struct House {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<HandClock>,
    options: Options,
    lies: Lies,
}

impl House {
    pub(crate) fn new(engine: Engine) -> Self {
        Self::with(engine, |_| {})
    }

    pub(crate) fn with(engine: Engine, set: impl FnOnce(&mut Options)) -> Self {
        let clock = Arc::new(HandClock(AtomicI64::new(START.0)));
        let mut options = Options { clock: clock.clone(), ..Options::default() };
        if matches!(engine, Engine::SqliteUncached | Engine::PostgresUncached) {
            (options.cache_entries, options.list_rows) = (1, 0);
        }
        // The hand's clock is the one that counts.
        options.database_clock = false;
        set(&mut options);
        let lies = match engine {
            Engine::Memory => Lies::Nowhere,
            Engine::Sqlite | Engine::SqliteUncached => Lies::In(TempDir::new().expect("a folder can be made")),
            Engine::Postgres | Engine::PostgresUncached => Lies::At(Postgres::shared().database()),
        };
        let ledger = open(&lies.url(), options.clone()).expect("a new ledger opens");
        Self { ledger, clock, options, lies }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        match &self.lies {
            Lies::In(dir) => dir.path().join("data"),
            Lies::Nowhere | Lies::At(_) => panic!("the engine has no files"),
        }
    }

    /// Another process on the same ledger.
    pub(crate) fn replica(&self, set: impl FnOnce(&mut Options)) -> Arc<dyn Ledger> {
        let mut options = self.options.clone();
        set(&mut options);
        open(&self.lies.url(), options).expect("several may open it")
    }

    pub(crate) fn url(&self) -> String {
        self.lies.url()
    }

    /// The same after something was done to it while it was closed.
    pub(crate) fn closed(self, work: impl FnOnce(&str) + Send) -> Self {
        let Self { ledger, clock, options, lies } = self;
        drop(ledger);
        // The commands are no tasks.
        std::thread::scope(|scope| scope.spawn(|| work(&lies.url())).join()).expect("the work is done");
        let ledger = open(&lies.url(), options.clone()).expect("what is durable opens again");
        Self { ledger, clock, options, lies }
    }

    pub(crate) fn database(&self) -> &Database {
        match &self.lies {
            Lies::At(database) => database,
            Lies::Nowhere | Lies::In(_) => panic!("the engine has no server"),
        }
    }

    /// Until whoever may be sending has lost the right to. Where only one process can be alive, that is so as soon as another asks.
    pub(crate) fn lose_senders(&self) {
        if matches!(self.lies, Lies::At(_)) {
            self.clock.go(Duration::from_secs(60));
        }
    }

    /// Ends this life and begins the next on the same files.
    pub(crate) fn restart(self, set: impl FnOnce(&mut Options)) -> Self {
        let Self { ledger, clock, mut options, lies } = self;
        drop(ledger);
        set(&mut options);
        let ledger = open(&lies.url(), options.clone()).expect("what is durable opens again");
        Self { ledger, clock, options, lies }
    }

    /// The intent as it was written; panics if it was not.
    pub(crate) async fn intend(&self, new: NewIntent) -> (Entry, Lease) {
        match self.ledger.intend(new).await.expect("the ledger takes intents") {
            Intended::Fresh(entry, lease) => (entry, lease),
            other => panic!("not fresh but {other:?}"),
        }
    }

    /// A batch that came through the proxy and runs under this native id.
    pub(crate) async fn accepted(&self, new: NewIntent, native: &str) -> Entry {
        let (_, lease) = self.intend(new).await;
        self.settle(&lease, accepted(native, BatchState::Queued)).await
    }

    pub(crate) async fn settle(&self, lease: &Lease, verdict: Verdict) -> Entry {
        self.ledger.settle(lease, verdict).await.expect("the verdict is taken")
    }

    pub(crate) async fn observe(&self, seen: Observation) -> Entry {
        let mut rows = self.ledger.observe(&[seen]).await.expect("the ledger observes");
        rows.pop().expect("the row is there")
    }

    pub(crate) async fn bind(&self, backend: &str, seen: NativeIdentity) -> Option<Entry> {
        let mut bound = self.ledger.bind(&backend.into(), &[seen]).await.expect("the ledger binds");
        match bound.pop() {
            Some(Bound::Row(entry)) => Some(entry),
            Some(Bound::None) => None,
            None => panic!("one sight, one answer"),
        }
    }

    pub(crate) async fn find(&self, wanted: impl Into<BatchRef>) -> Option<Entry> {
        self.find_in(wanted, &scope("livy")).await
    }

    pub(crate) async fn find_in(&self, wanted: impl Into<BatchRef>, scope: &Scope) -> Option<Entry> {
        self.ledger.find(&wanted.into(), scope).await.expect("the ledger finds")
    }

    pub(crate) async fn page(&self, query: &ListQuery, scope: &Scope) -> Page<Entry> {
        self.ledger.page(query, scope).await.expect("the ledger lists")
    }

    /// The rows that a filter lists, by their numbers.
    pub(crate) async fn listed(&self, filter: Filter) -> Vec<RowId> {
        self.listed_in(filter, &scope("livy")).await
    }

    pub(crate) async fn listed_in(&self, filter: Filter, scope: &Scope) -> Vec<RowId> {
        let query = ListQuery { filter, ..ListQuery::default() };
        self.page(&query, scope).await.rows.iter().map(|entry| entry.row).collect()
    }

    pub(crate) async fn ordered(&self, order: Order, window: Window) -> Vec<RowId> {
        let query = ListQuery { order, window, ..ListQuery::default() };
        self.page(&query, &scope("livy")).await.rows.iter().map(|entry| entry.row).collect()
    }
}

impl Lies {
    fn url(&self) -> String {
        match self {
            Self::Nowhere => "memory:".to_owned(),
            Self::In(dir) => format!("sqlite://{}", dir.path().join("data/ledger.db").display()),
            Self::At(database) => database.url(),
        }
    }
}

/// As many uuids as a test needs, each of them new.
pub(crate) fn fresh_uuid() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(0x4000_8000_0000_0000_0000 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn holder(name: &str) -> Holder {
    Holder(name.into())
}

/// By `ana`, through Livy's face, to the backend `here`, under a lease of a minute for `one`.
pub(crate) fn intent() -> NewIntent {
    NewIntent {
        marker: Marker { uuid: fresh_uuid(), name: None },
        backend: "here".into(),
        dialect: "livy".into(),
        listener: "main".into(),
        principal: Principal { name: "ana".into(), verified: true },
        project: None,
        spec: Arc::new(BatchSpec { file: Some("a.jar".into()), ..BatchSpec::default() }),
        unmapped: Vec::new(),
        key: None,
        unique_name: None,
        claim: Claim { holder: holder("one"), lease: Duration::from_secs(60) },
        at_once: false,
    }
}

pub(crate) fn named(name: &str) -> NewIntent {
    with_spec(|spec| spec.name = Some(name.into()))
}

pub(crate) fn with_spec(set: impl FnOnce(&mut BatchSpec)) -> NewIntent {
    let mut spec = BatchSpec { file: Some("a.jar".into()), ..BatchSpec::default() };
    set(&mut spec);
    NewIntent { spec: Arc::new(spec), ..intent() }
}

/// With an `Idempotency-Key`; the fingerprint stands for the request.
pub(crate) fn keyed(key: &str, fingerprint: u8) -> NewIntent {
    let key = KeyClaim { value: key.into(), replay: Replay::FirstAnswer, fingerprint: [fingerprint; 32] };
    NewIntent { key: Some(key), ..intent() }
}

/// With a `kyuubi.batch.id`.
pub(crate) fn stored_batch(uuid: Uuid, fingerprint: u8) -> NewIntent {
    let key = KeyClaim { value: uuid.to_string(), replay: Replay::StoredBatch, fingerprint: [fingerprint; 32] };
    NewIntent { key: Some(key), marker: Marker { uuid, name: None }, dialect: "kyuubi".into(), ..intent() }
}

pub(crate) fn seen(native: &str, state: BatchState) -> NativeIdentity {
    let native = NativeId::from(native);
    let batch = Batch::new(native.clone(), state, Arc::default());
    NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique }
}

pub(crate) fn seen_batch(native: &str, set: impl FnOnce(&mut Batch<NativeId>)) -> NativeIdentity {
    let mut batch = Batch::new(NativeId::from(native), BatchState::Running, Arc::default());
    set(&mut batch);
    NativeIdentity { native: native.into(), batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique }
}

pub(crate) fn accepted(native: &str, state: BatchState) -> Verdict {
    Verdict::Accepted(Box::new(seen(native, state)))
}

pub(crate) fn observation(row: RowId, state: BatchState) -> Observation {
    Observation {
        row,
        state,
        attempt: None,
        revival: Revival::Never,
        times: Times::default(),
        app: App::default(),
        diagnostic: None,
        log: None,
    }
}

/// All that clients of a dialect can see.
pub(crate) fn scope(dialect: &str) -> Scope {
    Scope { dialect: dialect.into(), backends: None, projects: None, unscoped: true, ended_from: None }
}

pub(crate) fn text(text: &str) -> BatchRef {
    BatchRef::Text(text.into())
}

pub(crate) fn called(name: &str) -> BatchRef {
    BatchRef::Name(name.into())
}

pub(crate) fn backend(name: &str) -> BackendName {
    name.into()
}

/// The cause of a refusal that is a fault of the caller.
pub(crate) fn internal<T: std::fmt::Debug>(result: batchlingua_core::Result<T>) -> String {
    let error = result.expect_err("the ledger refuses it");
    assert_eq!(error.kind, ErrorKind::Internal, "{error:?}");
    error.detail()
}
