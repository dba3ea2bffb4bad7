//! How fast the SQLite ledger is on this machine's disk: polls, intents alone and together, and lists of a full ledger.
//!
//! `cargo bench -p batchlingua-ledger`, or with `-- FOLDER` on another disk. Plain wall time: the figures that matter here are
//! waits for the disk, which no count of instructions shows.

use std::{
    env,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{
    App, Batch, BatchRef, BatchSpec, BatchState, Claim, Clock, Filter, Holder, Intended, Ledger, ListQuery, Marker,
    Millis, NativeIdentity, NativeIds, NewIntent, Observation, Principal, Revival, RowId, Scope, SystemClock, Times,
    Uuid,
};
use batchlingua_ledger::{GROUP, Options, open};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SPAN: Duration = Duration::from_secs(2);
const ROWS: usize = 100_000;

#[tokio::main]
async fn main() {
    // Cargo puts a `--bench` of its own among the arguments.
    let folder = env::args().skip(1).find(|arg| !arg.starts_with('-')).map_or_else(env::temp_dir, Into::into);
    println!("in {}", folder.display());
    polls(&fresh(&folder, GROUP).0).await;
    for waiting in [1, 64] {
        let together = intents(&folder, GROUP, waiting).await;
        let alone = intents(&folder, 1, waiting).await;
        println!(
            "intents, {waiting:>2} at once      {together:>9.0} /s   {alone:>9.0} /s without groups   ratio {:.1}",
            together / alone
        );
    }
    lists(&folder).await;
}

fn fresh(folder: &Path, group: usize) -> (Arc<dyn Ledger>, TempDir) {
    let dir = TempDir::new_in(folder).expect("a folder can be made");
    let url = format!("sqlite://{}", dir.path().join("ledger.db").display());
    (open(&url, Options { group, ..Options::default() }).expect("a new ledger opens"), dir)
}

fn intent(name: Option<String>) -> NewIntent {
    let mut spec = BatchSpec { file: Some("s3a://bucket/jobs/etl.jar".into()), name, ..BatchSpec::default() };
    spec.class_name = Some("org.example.Etl".into());
    spec.args = (0..6).map(|at| format!("--option{at}=value")).collect();
    (0..10).for_each(|at| spec.conf.set(format!("spark.some.setting.number{at}"), "a value of usual length"));
    NewIntent {
        marker: Marker { uuid: Uuid::new_v4(), name: None },
        backend: "here".into(),
        dialect: "livy".into(),
        listener: "main".into(),
        principal: Principal::anonymous(),
        project: None,
        spec: Arc::new(spec),
        unmapped: Vec::new(),
        key: None,
        unique_name: None,
        claim: Claim { holder: Holder("bench".into()), lease: Duration::from_secs(60) },
        at_once: false,
    }
}

async fn intended(ledger: &dyn Ledger, name: Option<String>) -> (RowId, Uuid) {
    match ledger.intend(intent(name)).await.expect("the ledger takes intents") {
        Intended::Fresh(entry, _) => (entry.row, entry.batch.id.uuid),
        other => panic!("not fresh but {other:?}"),
    }
}

fn scope() -> Scope {
    Scope { dialect: "livy".into(), backends: None, projects: None, unscoped: true, ended_from: None }
}

fn running(row: RowId) -> Observation {
    Observation {
        row,
        state: BatchState::Running,
        attempt: None,
        revival: Revival::Never,
        times: Times::default(),
        app: App::default(),
        diagnostic: None,
        log: None,
    }
}

fn rate(done: usize, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64()
}

async fn polls(ledger: &Arc<dyn Ledger>) {
    let (row, uuid) = intended(&**ledger, None).await;
    let (wanted, scope) = (BatchRef::Uuid(uuid), scope());
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < SPAN {
        for _ in 0..1000 {
            ledger.find(&wanted, &scope).await.expect("rows are read").expect("it is there");
        }
        done += 1000;
    }
    println!("polls of a hot row       {:>9.0} /s", rate(done, begin));
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < SPAN {
        for _ in 0..1000 {
            ledger.observe(&[running(row)]).await.expect("the ledger observes");
        }
        done += 1000;
    }
    println!("sights of nothing new    {:>9.0} /s", rate(done, begin));
}

async fn intents(folder: &Path, group: usize, waiting: usize) -> f64 {
    let (ledger, _dir) = fresh(folder, group);
    let mut clients = JoinSet::new();
    let begin = Instant::now();
    for _ in 0..waiting {
        let ledger = ledger.clone();
        clients.spawn(async move {
            let mut done = 0;
            while begin.elapsed() < SPAN {
                intended(&*ledger, None).await;
                done += 1;
            }
            done
        });
    }
    let done = clients.join_all().await.into_iter().sum();
    rate(done, begin)
}

/// A month's rows, nearly all of them over.
async fn lists(folder: &Path) {
    let (ledger, _dir) = fresh(folder, GROUP);
    let now = SystemClock.now();
    for chunk in 0..ROWS / 1000 {
        let seen: Vec<_> = (0..1000).map(|at| sight(chunk * 1000 + at, now)).collect();
        ledger.bind(&"here".into(), &seen).await.expect("the ledger binds");
    }
    let recent = Scope { ended_from: Some(now.minus(Duration::from_secs(600))), ..scope() };
    let named = Filter { name: Some("job 77".into()), ..Filter::default() };
    let contains = Filter { contains: Some("job 7".into()), ..Filter::default() };
    println!("lists of a ledger of {ROWS} rows");
    for (what, filter, scope) in [
        ("all, first page", Filter::default(), scope()),
        ("Livy's: alive or just over", Filter::default(), recent),
        ("of one name", named, scope()),
        ("with a part of a name", contains, scope()),
    ] {
        let query = ListQuery { filter, ..ListQuery::default() };
        let begin = Instant::now();
        let page = ledger.page(&query, &scope).await.expect("lists are read");
        println!("  {what:<28} {:>7.1} ms   {:?} rows", begin.elapsed().as_secs_f64() * 1e3, page.total.unwrap_or(0));
    }
    let begin = Instant::now();
    let done = 2000;
    for number in 0..done {
        let wanted = BatchRef::Ordinal(u32::try_from(number * 37 + 1).expect("few"));
        ledger.find(&wanted, &scope()).await.expect("rows are read").expect("it is there");
    }
    println!("polls of cold rows       {:>9.0} /s", rate(done, begin));
}

fn sight(number: usize, now: Millis) -> NativeIdentity {
    let state = if number.is_multiple_of(500) { BatchState::Running } else { BatchState::Succeeded };
    let native = batchlingua_core::NativeId::from(format!("native-{number}"));
    let mut batch = Batch::new(native.clone(), state, intent(Some(format!("job {}", number % 1000))).spec);
    let ended = now.minus(Duration::from_secs((ROWS - number) as u64 * 20));
    batch.times = Times { created: ended, started: Some(ended), ended: Some(ended), modified: ended };
    NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique }
}
