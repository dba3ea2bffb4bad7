//! What only a ledger on a server can do: serve several processes at once, and lose its connection.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use batchlingua_core::{
    BatchRef, BatchState, ErrorKind, Health, Intended, Ledger, ListQuery, NewIntent, Phase, RowId, Verdict,
};
use batchlingua_ledger::{Options, open};
use batchlingua_testkit::postgres::Postgres;

use crate::house::{
    Engine, House, accepted, fresh_uuid, holder, intent, internal, keyed, named, observation, scope, seen, text,
    with_spec,
};

const MINUTE: Duration = Duration::from_secs(60);
/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again until it is so: what another process does is heard and not waited for.
pub(crate) async fn soon<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn state_of(ledger: &Arc<dyn Ledger>, wanted: &BatchRef) -> Option<BatchState> {
    ledger.find(wanted, &scope("livy")).await.expect("the ledger finds").map(|entry| entry.batch.state)
}

#[tokio::test]
async fn ids_given_by_one_resolve_on_the_others_at_once() {
    let house = House::new(Engine::Postgres);
    let other = house.replica(|_| {});
    let (entry, lease) = house.intend(named("n")).await;
    for wanted in [BatchRef::Uuid(entry.batch.id.uuid), BatchRef::Ordinal(entry.batch.id.ordinal)] {
        assert_eq!(state_of(&other, &wanted).await, Some(BatchState::Queued), "{wanted}");
    }
    assert_eq!(state_of(&other, &text("17")).await, None);
    house.settle(&lease, accepted("17", BatchState::Running)).await;
    assert_eq!(state_of(&other, &text("17")).await, Some(BatchState::Running));
    let again = other.settle(&lease, accepted("17", BatchState::Running)).await.expect("the same verdict");
    assert_eq!(again.row, entry.row);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ordinals_and_names_are_given_once_whoever_gives_them() {
    let house = House::new(Engine::Postgres);
    let replicas = [house.ledger.clone(), house.replica(|_| {}), house.replica(|options| options.group = 1)];
    let submits: Vec<_> = (0..150)
        .map(|n| {
            let ledger = replicas[n % 3].clone();
            let new = NewIntent { unique_name: Some(crate::house::START), ..named(&format!("n{}", n / 3)) };
            tokio::spawn(async move { ledger.intend(new).await })
        })
        .collect();
    let (mut ordinals, mut rows, mut refused) = (HashSet::new(), HashSet::new(), 0);
    for submit in submits {
        let ordinal = match submit.await.expect("no task panics").expect("the ledger takes intents") {
            Intended::Fresh(entry, _) => {
                rows.insert(entry.row);
                entry.batch.id.ordinal
            }
            Intended::NameTaken { ordinal } => {
                refused += 1;
                ordinal
            }
            other => panic!("neither fresh nor taken but {other:?}"),
        };
        assert!(ordinals.insert(ordinal), "{ordinal} was given twice");
    }
    assert_eq!((rows.len(), refused, ordinals.len()), (50, 100, 150));
}

#[tokio::test]
async fn a_dead_replicas_intent_is_taken_over_after_its_lease_and_never_before() {
    let house = House::new(Engine::Postgres);
    let other = house.replica(|_| {});
    let (entry, lease) = house.intend(intent()).await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    let claim = async || other.claim(&holder("two"), 10).await.expect("claims are answered");
    house.clock.go(MINUTE - Duration::from_millis(1));
    assert!(claim().await.is_empty(), "its sender may live");
    house.clock.go(Duration::from_millis(1));
    let claimed = claim().await;
    assert_eq!(claimed.iter().map(|(entry, lease)| (entry.row, lease.fence)).collect::<Vec<_>>(), [(entry.row, 2)]);
    assert!(internal(house.ledger.settle(&lease, accepted("j", BatchState::Queued)).await).contains("another holder"));
    other.settle(&claimed[0].1, accepted("j", BatchState::Queued)).await.expect("the new lease counts");
}

/// Two that claim at once do not both get it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_intent_is_claimed_by_one() {
    let house = House::new(Engine::Postgres);
    let mut open = HashSet::new();
    for _ in 0..20 {
        open.insert(house.intend(intent()).await.0.row);
    }
    house.clock.go(MINUTE);
    let claims: Vec<_> = ["one", "two", "three", "four"]
        .map(|name| {
            let ledger = house.replica(|_| {});
            tokio::spawn(async move { ledger.claim(&holder(name), 20).await })
        })
        .into();
    for claim in claims {
        for (entry, _) in claim.await.expect("no task panics").expect("claims are answered") {
            assert!(open.remove(&entry.row), "row {} was claimed twice", entry.row.0);
        }
    }
    assert!(open.is_empty());
}

/// A replica whose clock is wrong by an hour: leases are told by the database.
#[tokio::test]
async fn leases_are_told_by_one_clock() {
    let house = House::with(Engine::Postgres, |options| options.database_clock = true);
    let (_, lease) = house.intend(intent()).await;
    house.clock.go(60 * MINUTE);
    assert!(
        house.ledger.claim(&holder("two"), 9).await.expect("claims are answered").is_empty(),
        "no time has passed there"
    );
    house.ledger.may_send(&lease).await.expect("nor for the sender");
}

#[tokio::test]
async fn what_one_writes_renews_what_the_other_remembers() {
    let house = House::new(Engine::Postgres);
    let entry = house.accepted(intent(), "j").await;
    // It begins to listen only now, so nothing that it hears drives out what it reads.
    let other = house.replica(|_| {});
    let wanted = BatchRef::Uuid(entry.batch.id.uuid);
    assert_eq!(state_of(&other, &wanted).await, Some(BatchState::Queued));
    // Nobody tells of this one, so it shows that the row is in memory.
    house.database().sql("UPDATE batchlingua.batches SET diagnostic = 'read from the database'");
    let known = async || other.find(&wanted, &scope("livy")).await.expect("it is found").expect("it is there");
    assert_eq!(known().await.batch.diagnostic, None);
    house.observe(observation(entry.row, BatchState::Running)).await;
    soon("the other hears of it", async || (known().await.batch.state == BatchState::Running).then_some(())).await;
    assert_eq!(known().await.batch.diagnostic.as_deref(), Some("read from the database"));
    house.ledger.hide(&[entry.row], &"livy".into()).await.expect("rows can be hidden");
    soon("the other forgets it", async || state_of(&other, &wanted).await.is_none().then_some(())).await;
}

/// A list that is asked for again reaches no database, whoever has written: of the others' changes each row is read that they have changed, and no other.
#[tokio::test]
async fn a_list_follows_what_other_replicas_write() {
    let house = House::new(Engine::Postgres);
    let first = house.accepted(named("one"), "1").await;
    let scope = scope("livy");
    // The batches in the list, and how many of them were read while that mark was on them.
    let listed = async |ledger: &Arc<dyn Ledger>| {
        let page = ledger.page(&ListQuery::default(), &scope).await.expect("lists are read");
        let marked = page.rows.iter().filter(|entry| entry.batch.diagnostic.as_deref() == Some("read anew")).count();
        assert_eq!(page.total, Some(page.rows.len() as u64));
        (page.rows.len(), marked)
    };
    let other = house.replica(|_| {});
    assert_eq!((listed(&house.ledger).await, listed(&other).await), ((1, 0), (1, 0)));
    // Nobody tells of this, so it shows what is read.
    house.database().sql("UPDATE batchlingua.batches SET diagnostic = 'read anew', revision = revision + 9");
    assert_eq!((listed(&house.ledger).await, listed(&other).await), ((1, 0), (1, 0)), "kept");
    let second = house.accepted(named("two"), "2").await;
    assert_eq!(listed(&house.ledger).await, (2, 0), "an own change is put in its place");
    soon("the other hears of it", async || (listed(&other).await == (2, 0)).then_some(())).await;
    house.ledger.hide(&[second.row], &"livy".into()).await.expect("rows can be hidden");
    assert_eq!(listed(&house.ledger).await, (1, 0), "and goes");
    soon("the other hears of that too", async || (listed(&other).await == (1, 0)).then_some(())).await;
    other.hide(&[first.row], &"livy".into()).await.expect("rows can be hidden");
    assert_eq!(listed(&other).await, (0, 0));
    soon("and so does this one", async || (listed(&house.ledger).await == (0, 0)).then_some(())).await;
}

#[tokio::test]
async fn an_id_that_changes_hands_is_forgotten_everywhere() {
    let house = House::new(Engine::Postgres);
    let other = house.replica(|_| {});
    let old = house.accepted(intent(), "17").await;
    assert!(state_of(&other, &text("17")).await.is_some());
    house.ledger.retire(old.row).await.expect("it gives its id up");
    let new = house.accepted(intent(), "17").await;
    let found = async || other.find(&text("17"), &scope("livy")).await.expect("it is found").map(|entry| entry.row);
    soon("the other finds the new one", async || (found().await == Some(new.row)).then_some(())).await;
    // What it knows of the old row must not bring the old meaning back.
    assert!(state_of(&other, &BatchRef::Uuid(old.batch.id.uuid)).await.is_some());
    assert_eq!(found().await, Some(new.row));
}

#[test]
fn replicas_that_start_together_make_one_ledger() {
    let database = Postgres::shared().database();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url();
            thread::spawn(move || open(&url, Options::default()).map(drop))
        })
        .collect();
    for start in starts {
        start.join().expect("no start panics").expect("each of them starts");
    }
    assert_eq!(database.sql("SELECT count(*) FROM batchlingua.counters"), "2");
    database.sql("INSERT INTO batchlingua.migrations (version) VALUES (4711)");
    let refused = open(&database.url(), Options::default()).err().expect("it is of a newer program").to_string();
    assert!(refused.contains("version 4711") && refused.contains("newer"), "{refused}");
}

#[tokio::test]
async fn a_restart_finds_everything_and_counts_on() {
    let house = House::new(Engine::Postgres);
    let nul = with_spec(|spec| {
        spec.name = Some("a\0b\u{ffff}".into());
        spec.args = vec!["\0".into()];
    });
    let entry = house.accepted(nul, "a").await;
    house.ledger.hide(&[entry.row], &"kylin".into()).await.expect("rows can be hidden");
    let long = format!("p/{}", "x".repeat(100_000));
    let foreign = house.bind("there", seen(&long, BatchState::Running)).await.expect("however long its id");
    let (refused, lease) = house.intend(keyed(&"k".repeat(50_000), 1)).await;
    house.settle(&lease, Verdict::Refused(batchlingua_core::Error::new(ErrorKind::BackendRejected, "no"))).await;
    let before = house.ledger.dump(None, 9).await.expect("rows are read");
    let house = house.restart(|_| {});
    let after = house.ledger.dump(None, 9).await.expect("rows are read");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!(after[0].batch.spec.name.as_deref(), Some("a\0b\u{ffff}"));
    assert_eq!(house.find(text(&long)).await.map(|entry| entry.row), Some(foreign.row));
    assert!(house.find_in(text("a"), &scope("kylin")).await.is_none());
    let again = house.ledger.intend(keyed(&"k".repeat(50_000), 1)).await.expect("the ledger answers");
    assert!(matches!(again, Intended::Answered(found) if found.row == refused.row));
    assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, 4);
}

#[tokio::test]
async fn no_table_ever_holds_a_secret() {
    let house = House::new(Engine::Postgres);
    let new = with_spec(|spec| {
        spec.args = vec!["--password".into(), "hunter2".into()];
        spec.conf.set("spark.hadoop.fs.s3a.secret.key", "hunter2");
    });
    house.accepted(new, "findable").await;
    let holding = |word: &str| {
        house.database().sql(&format!("SELECT count(*) FROM batchlingua.batches b WHERE b::text LIKE '%{word}%'"))
    };
    assert_eq!((holding("hunter2").as_str(), holding("findable").as_str()), ("0", "1"));
}

/// A server that ends and comes back, as in an upgrade: what was acknowledged is there, what was not is refused, and all goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_goes_and_comes_is_found_again() {
    let server = Postgres::start(false);
    let ledger = open(&server.url("postgres"), Options::default()).expect("a new ledger opens");
    let Intended::Fresh(entry, lease) = ledger.intend(intent()).await.expect("it takes intents") else {
        panic!("it is fresh")
    };
    ledger.settle(&lease, accepted("j", BatchState::Running)).await.expect("it takes verdicts");
    let wanted = BatchRef::Uuid(entry.batch.id.uuid);
    assert!(state_of(&ledger, &wanted).await.is_some());
    server.crash();
    let refused = ledger.intend(intent()).await.expect_err("nobody can write");
    assert!(
        matches!(refused.kind, ErrorKind::BackendUnavailable { .. }) && refused.message.contains("refused"),
        "{refused:?}"
    );
    assert!(matches!(ledger.health().await, Health::Bad(_)));
    for _ in 0..50 {
        assert_eq!(state_of(&ledger, &wanted).await, Some(BatchState::Running), "polls go on from memory");
    }
    assert!(
        ledger.find(&BatchRef::Ordinal(4711), &scope("livy")).await.is_err(),
        "what is not known may still be there"
    );
    server.start_again();
    soon("it is well again by itself", async || (ledger.health().await == Health::Good).then_some(())).await;
    assert!(matches!(ledger.intend(intent()).await, Ok(Intended::Fresh(next, _)) if next.batch.id.ordinal == 2));
    assert_eq!(state_of(&ledger, &wanted).await, Some(BatchState::Running));
}

/// A way to the server that can lose answers and fall silent.
struct Relay {
    port: u16,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// The next COMMIT goes through, and its answer does not.
    lose_commit: AtomicBool,
    lost: AtomicUsize,
    /// Nobody gets through any more.
    is_shut: AtomicBool,
    streams: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl Relay {
    fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let faults = Arc::new(Faults::default());
        let shared = faults.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !shared.is_shut.load(Ordering::SeqCst) {
                    let server = UnixStream::connect(&socket).expect("the server is there");
                    shared.carry(client, server);
                }
            }
        });
        Self { port, faults }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://test@127.0.0.1:{}/{database}", self.port)
    }

    fn shut(&self) {
        self.faults.is_shut.store(true, Ordering::SeqCst);
        for (client, server) in self.faults.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = (client.shutdown(std::net::Shutdown::Both), server.shutdown(std::net::Shutdown::Both));
        }
    }

    fn open_again(&self) {
        self.faults.is_shut.store(false, Ordering::SeqCst);
    }
}

impl Faults {
    fn carry(self: &Arc<Self>, client: TcpStream, server: UnixStream) {
        let both = |client: &TcpStream, server: &UnixStream| {
            (client.try_clone().expect("a socket is shared"), server.try_clone().expect("a socket is shared"))
        };
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(both(&client, &server));
        let loses = Arc::new(AtomicBool::new(false));
        let (mut from, mut to) = both(&client, &server);
        let (faults, commits) = (self.clone(), loses.clone());
        thread::spawn(move || {
            pipe(&mut from, &mut to, |bytes| {
                if bytes.windows(7).any(|word| word == b"COMMIT\0") && faults.lose_commit.swap(false, Ordering::SeqCst)
                {
                    commits.store(true, Ordering::SeqCst);
                }
                true
            });
        });
        let (mut to, mut from) = (client, server);
        let faults = self.clone();
        thread::spawn(move || {
            pipe(&mut from, &mut to, |_| {
                let is_lost = loses.load(Ordering::SeqCst);
                if is_lost {
                    faults.lost.fetch_add(1, Ordering::SeqCst);
                }
                !is_lost
            });
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}

fn pipe(from: &mut impl Read, to: &mut impl Write, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if !passes(&bytes[..n]) || to.write_all(&bytes[..n]).is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_whose_answer_is_lost_is_asked_about() {
    let database = Postgres::shared().database();
    let relay = Relay::to(Postgres::shared().socket());
    let ledger = open(&relay.url(database.name()), Options::default()).expect("a new ledger opens");
    relay.faults.lose_commit.store(true, Ordering::SeqCst);
    let Ok(Intended::Fresh(entry, lease)) = ledger.intend(intent()).await else { panic!("it was written after all") };
    assert_eq!(relay.faults.lost.load(Ordering::SeqCst), 1, "the answer was lost");
    assert_eq!(state_of(&ledger, &BatchRef::Uuid(entry.batch.id.uuid)).await, Some(BatchState::Queued));
    relay.faults.lose_commit.store(true, Ordering::SeqCst);
    ledger.settle(&lease, accepted("j", BatchState::Running)).await.expect("it was written after all");
    assert_eq!(relay.faults.lost.load(Ordering::SeqCst), 2);
    drop(ledger);
}

/// Neither sent nor left open: nobody will look for it, and its name and key are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_intent_that_was_written_unknown_to_its_writer_is_closed() {
    let database = Postgres::shared().database();
    let relay = Arc::new(Relay::to(Postgres::shared().socket()));
    let options = Options { timeout: Duration::from_secs(1), ..Options::default() };
    let ledger = open(&relay.url(database.name()), options).expect("a new ledger opens");
    let wanted = BatchRef::Uuid(fresh_uuid());
    let BatchRef::Uuid(uuid) = wanted else { unreachable!("it is one") };
    let new = NewIntent { at_once: true, ..keyed("k", 1) };
    let new = NewIntent { marker: batchlingua_core::Marker { uuid, name: None }, ..new };
    relay.faults.lose_commit.store(true, Ordering::SeqCst);
    let watcher = relay.clone();
    // As soon as the answer is lost nobody gets through any more.
    let cut = thread::spawn(move || {
        let until = Instant::now() + PATIENCE;
        while watcher.faults.lost.load(Ordering::SeqCst) == 0 && Instant::now() < until {
            thread::yield_now();
        }
        watcher.shut();
    });
    let refused = ledger.intend(new).await.expect_err("nobody knows");
    assert!(matches!(refused.kind, ErrorKind::BackendUnavailable { .. }), "{refused:?}");
    cut.join().expect("it was cut");
    assert_eq!(database.sql("SELECT phase FROM batchlingua.batches"), "sending", "it was written");
    relay.open_again();
    soon("it is closed", async || (database.sql("SELECT phase FROM batchlingua.batches") == "failed").then_some(()))
        .await;
    let again = ledger.intend(keyed("k", 1)).await.expect("the ledger is back");
    assert!(matches!(again, Intended::Fresh(entry, _) if entry.row == RowId(2) && entry.phase == Phase::Intended));
    assert!(ledger.find(&wanted, &scope("livy")).await.expect("it can be asked").is_none());
    drop(ledger);
}

/// What is missed while nobody listens is not shown afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_is_not_trusted_while_nothing_is_heard() {
    let house = House::new(Engine::Postgres);
    let relay = Relay::to(Postgres::shared().socket());
    let options = Options { timeout: Duration::from_secs(2), ..Options::default() };
    let entry = house.accepted(intent(), "j").await;
    let far = open(&relay.url(house.database().name()), options).expect("several may open it");
    let wanted = BatchRef::Uuid(entry.batch.id.uuid);
    assert_eq!(state_of(&far, &wanted).await, Some(BatchState::Queued));
    relay.shut();
    house.observe(observation(entry.row, BatchState::Running)).await;
    soon("it is away", async || matches!(far.health().await, Health::Bad(_)).then_some(())).await;
    assert_eq!(state_of(&far, &wanted).await, Some(BatchState::Queued), "as last seen");
    relay.open_again();
    soon("what was missed is seen", async || {
        (state_of(&far, &wanted).await == Some(BatchState::Running)).then_some(())
    })
    .await;
    drop(far);
}
