//! What a ledger costs on this machine's disk: the durable writes of a submit, polls, and lists; of an empty ledger and of a full one.
//!
//! ```sh
//! cargo bench -p batchlingua-ledger                             # memory and SQLite in the temporary folder
//! cargo bench -p batchlingua-ledger -- sqlite:///srv/x.db …     # these engines; the ledgers must be new, and are left behind
//! cargo bench -p batchlingua-ledger -- 1000000                  # how many rows the full ledger has
//! ```
//!
//! Plain wall time, since the figures that matter here are waits for the disk, and this process's own processor time beside it. Memory
//! stands for no ledger at all.

use std::{
    env, fs,
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{
    App, Batch, BatchRef, BatchSpec, BatchState, Claim, Clock, Filter, Holder, Intended, Lease, Ledger, ListQuery,
    Marker, Millis, NativeId, NativeIdentity, NativeIds, NewIntent, Observation, Order, Principal, Revival, RowId,
    Scope, SortKey, SystemClock, Times, Uuid, Verdict, Window,
};
use batchlingua_ledger::{Options, open};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SPAN: Duration = Duration::from_secs(3);
/// How many rows the full ledger has unless it is told otherwise.
const ROWS: usize = 100_000;
const FEW: usize = 1_000;
const CHUNK: usize = 1_000;
/// In this time what another process writes has been heard many times over.
const HEARD: Duration = Duration::from_millis(300);
/// Ticks of the processor's clock in a second, as Linux counts them for programs.
const TICKS: f64 = 100.0;

#[tokio::main]
async fn main() {
    // Cargo puts a `--bench` of its own among the arguments.
    let words: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let rows = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROWS);
    let dir = TempDir::new().expect("a folder can be made");
    let mut urls: Vec<String> = words.into_iter().filter(|word| word.contains(':')).collect();
    if urls.is_empty() {
        urls = vec!["memory:".to_owned(), format!("sqlite://{}", dir.path().join("ledger.db").display())];
    }
    for url in urls {
        println!("{}", url.split('@').next_back().unwrap_or_default());
        let ledger = opened(&url);
        for clients in [1, 32] {
            submits(&ledger, clients).await;
        }
        polls(&ledger).await;
        drop(ledger);
        // A ledger in memory begins anew each time, and its lists are scans.
        if url != "memory:" {
            for many in [FEW, rows] {
                full(&url, many).await;
            }
        }
    }
}

fn opened(url: &str) -> Arc<dyn Ledger> {
    open(url, Options::default()).expect("the ledger opens")
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
        at_once: true,
    }
}

async fn intended(ledger: &dyn Ledger, name: Option<String>) -> (Lease, Uuid) {
    match ledger.intend(intent(name)).await.expect("the ledger takes intents") {
        Intended::Fresh(entry, lease) => (lease, entry.batch.id.uuid),
        other => panic!("not fresh but {other:?}"),
    }
}

/// All durable writes of a submit.
async fn submit(ledger: &dyn Ledger) {
    let (lease, uuid) = intended(ledger, Some("nightly".to_owned())).await;
    let native = NativeId::from(format!("native-{uuid}"));
    let mut batch = Batch::new(native.clone(), BatchState::Starting, Arc::default());
    batch.times.created = SystemClock.now();
    let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: false, ids: NativeIds::Unique };
    ledger.settle(&lease, Verdict::Accepted(Box::new(seen))).await.expect("the verdict is taken");
}

fn scope() -> Scope {
    Scope { dialect: "livy".into(), backends: None, projects: None, unscoped: true, ended_from: None }
}

fn sight_of(row: RowId, state: BatchState) -> Observation {
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

fn rate(done: usize, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64()
}

/// This process's, user and system.
fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("this is Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
    Duration::from_secs_f64(ticks / TICKS)
}

fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") >> 10
}

async fn submits(ledger: &Arc<dyn Ledger>, clients: usize) {
    let mut tasks = JoinSet::new();
    let (begin, used) = (Instant::now(), processor());
    for _ in 0..clients {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut spans = Vec::new();
            while begin.elapsed() < SPAN {
                let begin = Instant::now();
                submit(&*ledger).await;
                spans.push(begin.elapsed());
            }
            spans
        });
    }
    let mut spans: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    let (done, used) = (spans.len(), processor() - used);
    let rate = rate(done, begin);
    spans.sort();
    let (p50, p99) = (spans[done / 2], spans[done * 99 / 100]);
    println!(
        "  submits, {clients:>2} at once  {rate:>9.0} /s   p50 {:>8.2} ms   p99 {:>8.2} ms   {:>6.1} µs of processor each",
        p50.as_secs_f64() * 1e3,
        p99.as_secs_f64() * 1e3,
        used.as_secs_f64() * 1e6 / done as f64,
    );
}

async fn polls(ledger: &Arc<dyn Ledger>) {
    let (lease, uuid) = intended(&**ledger, None).await;
    let (wanted, scope) = (BatchRef::Uuid(uuid), scope());
    let rounds = 200_000;
    let begin = Instant::now();
    for _ in 0..rounds {
        ledger.find(&wanted, &scope).await.expect("rows are read").expect("it is there");
    }
    println!("  polls of a hot row    {:>9.0} /s", rate(rounds, begin));
    let begin = Instant::now();
    for _ in 0..rounds {
        ledger.observe(&[sight_of(lease.row, BatchState::Queued)]).await.expect("the ledger observes");
    }
    println!("  sights of no news     {:>9.0} /s", rate(rounds, begin));
}

/// A month's rows, nearly all of them over.
async fn full(url: &str, rows: usize) {
    let ledger = opened(url);
    let now = SystemClock.now();
    let there = ledger.page(&ListQuery::default(), &scope()).await.expect("lists are read").total.unwrap_or(0);
    let there = usize::try_from(there).expect("few");
    let begin = Instant::now();
    for chunk in (there..rows).step_by(CHUNK) {
        let seen: Vec<_> = (chunk..rows.min(chunk + CHUNK)).map(|number| seen(number, rows, now)).collect();
        ledger.bind(&"here".into(), &seen).await.expect("the ledger binds");
    }
    println!("  {} rows ({:.0} s to make the missing ones)", rows.max(there), begin.elapsed().as_secs_f64());
    drop(ledger);
    let begin = Instant::now();
    let ledger = opened(url);
    println!("    {:<40} {:>9.2} ms", "start", begin.elapsed().as_secs_f64() * 1e3);
    // Another process on the same database.
    let other = url.starts_with("postgres").then(|| opened(url));
    lists(&*ledger, other.as_deref(), now).await;
    drop(other);
    cold(&*ledger, rows.max(there)).await;
    submits(&ledger, 1).await;
    submits(&ledger, 32).await;
    println!("    {:<40} {:>9} MiB", "memory of this process", memory());
}

async fn lists(ledger: &dyn Ledger, other: Option<&dyn Ledger>, now: Millis) {
    let newest = Order { key: SortKey::Created, descending: true };
    let changed = Order { key: SortKey::Modified, descending: true };
    let recent = |span| Scope { ended_from: Some(now.minus(Duration::from_secs(span))), ..scope() };
    let list = |filter: Filter, order| ListQuery { filter, order, ..ListQuery::default() };
    let named = Filter { name: Some("job 77".into()), ..Filter::default() };
    let day = Filter { modified_from: Some(now.minus(Duration::from_secs(86_400))), ..Filter::default() };
    for (what, query, scope) in [
        ("Livy's: alive or over for 10 min", list(Filter::default(), Order::default()), recent(600)),
        ("Kyuubi's: alive or over for 3 days", list(Filter::default(), Order::default()), recent(259_200)),
        ("DLI's: all, newest first", list(Filter::default(), newest), scope()),
        ("Kylin's: changed within a day, last first", list(day, changed), scope()),
        ("Kylin's: all, last changed first", list(Filter::default(), changed), scope()),
        ("of one name", list(named, Order::default()), scope()),
    ] {
        let begin = Instant::now();
        let page = ledger.page(&query, &scope).await.expect("lists are read");
        let first = begin.elapsed();
        let again = 1_000;
        let begin = Instant::now();
        for _ in 0..again {
            ledger.page(&query, &scope).await.expect("lists are read");
        }
        let row = page.rows.last().map_or(RowId(1), |entry| entry.row);
        let rest = begin.elapsed() / again;
        // A change of one of its rows, which is to cost a list nothing.
        ledger.hide(&[row], &"nobody".into()).await.expect("rows can be hidden");
        let begin = Instant::now();
        ledger.page(&query, &scope).await.expect("lists are read");
        let changed = begin.elapsed();
        let told = longest_after(other, ledger, &query, &scope, row).await;
        // An hour later, by when some may have left it for their age.
        let hour = Duration::from_secs(3_600);
        let modified_from = query.filter.modified_from.map(|from| from.plus(hour));
        let filter = Filter { modified_from, ..query.filter.clone() };
        let (query, scope) = (
            ListQuery { filter, ..query },
            Scope { ended_from: scope.ended_from.map(|from| from.plus(hour)), ..scope },
        );
        let begin = Instant::now();
        let page = ledger.page(&query, &scope).await.expect("lists are read");
        let left = begin.elapsed();
        let deep = Window { from: page.total.unwrap_or(0) / 2, ..query.window };
        let begin = Instant::now();
        ledger.page(&ListQuery { window: deep, ..query }, &scope).await.expect("lists are read");
        let millis = |span: Duration| span.as_secs_f64() * 1e3;
        println!(
            "    {what:<40} {:>7.2} ms first   {:>7.4} again   {:>7.4} after a change{told}   {:>7.2} an hour later   {:>7.2} in its middle   {} of {}",
            millis(first),
            millis(rest),
            millis(changed),
            millis(left),
            millis(begin.elapsed()),
            page.rows.len(),
            page.total.unwrap_or(0)
        );
    }
}

/// The longest answer in the time in which what another process writes is heard.
async fn longest_after(
    other: Option<&dyn Ledger>,
    ledger: &dyn Ledger,
    query: &ListQuery,
    scope: &Scope,
    row: RowId,
) -> String {
    let Some(other) = other else { return String::new() };
    other.hide(&[row], &"nobody else".into()).await.expect("rows can be hidden");
    let (since, mut longest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < HEARD {
        let begin = Instant::now();
        ledger.page(query, scope).await.expect("lists are read");
        longest = longest.max(begin.elapsed());
    }
    format!("   {:>7.2} at most after another's", longest.as_secs_f64() * 1e3)
}

async fn cold(ledger: &dyn Ledger, rows: usize) {
    let begin = Instant::now();
    let done = 2_000;
    for number in 0..done {
        let ordinal = u32::try_from(number * 7_919 % rows + 1).expect("ordinals are few");
        ledger.find(&BatchRef::Ordinal(ordinal), &scope()).await.expect("rows are read").expect("it is there");
    }
    println!("    {:<40} {:>9.0} /s", "polls of rows that are not in memory", rate(done, begin));
}

fn seen(number: usize, rows: usize, now: Millis) -> NativeIdentity {
    let state = if number.is_multiple_of(500) { BatchState::Running } else { BatchState::Succeeded };
    let native = NativeId::from(format!("native-{number}"));
    let mut batch = Batch::new(native.clone(), state, intent(Some(format!("job {}", number % 1000))).spec);
    // A month from the first to the last.
    let age = 30.0 * 86_400.0 * (rows - number) as f64 / rows as f64;
    let ended = now.minus(Duration::from_secs_f64(age));
    batch.times = Times { created: ended, started: Some(ended), ended: Some(ended), modified: ended };
    NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique }
}
