//! What only a ledger with files can do: survive, refuse and keep silent.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use batchlingua_core::{
    App, BatchRef, BatchState, Error, ErrorKind, Extension, KeptLog, ListQuery, NewIntent, Observation, Phase, RowId,
    Verdict, Window,
};
use batchlingua_ledger::{LedgerError, Options, open};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::house::{
    Engine, House, holder, intent, keyed, named, observation, scope, seen, seen_batch, text, with_spec,
};

fn open_in(dir: &Path) -> Result<(), LedgerError> {
    open(&format!("sqlite://{}", dir.join("ledger.db").display()), Options::default()).map(drop)
}

fn refusal(dir: &Path) -> String {
    open_in(dir).expect_err("the ledger is refused").to_string()
}

/// Every file but the lock, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(dir).expect("the folder is there").map(|file| file.expect("it can be listed").path());
    files
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (path.clone(), fs::read(&path).expect("it can be read")))
        .collect()
}

/// As a process leaves them that is killed: nothing tidied up.
fn copy_files(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        fs::write(to.join(path.file_name().expect("it is a file")), bytes).expect("it can be copied");
    }
}

fn sql(dir: &Path, statements: &str) {
    let connection = Connection::open(dir.join("ledger.db")).expect("it is a database");
    connection.execute_batch(statements).expect("the statements are right");
}

#[tokio::test]
async fn a_restart_finds_everything_and_counts_on() {
    let house = House::new(Engine::Sqlite);
    let entry = house.accepted(NewIntent { project: Some("p".into()), ..named("n") }, "a").await;
    let log = KeptLog { from: 3, total: 5, lines: vec!["x".into(), "y".into()] };
    let end = Observation {
        log: Some(log.clone()),
        app: App { id: Some("app".into()), url: Some("http://h".into()), driver_log_url: None },
        diagnostic: Some("no memory".into()),
        ..observation(entry.row, BatchState::Failed)
    };
    house.ledger.ask_cancel(&[entry.row]).await.expect("wishes are taken");
    house.observe(end).await;
    house.ledger.hide(&[entry.row], &"kylin".into()).await.expect("rows can be hidden");
    let (refused, lease) = house.intend(keyed("k", 1)).await;
    house.settle(&lease, Verdict::Refused(Error::new(ErrorKind::BackendRejected, "no"))).await;
    let (open, _) = house.intend(intent()).await;
    let before = house.ledger.dump(None, 9).await.expect("rows are read");

    let house = house.restart(|_| {});
    let after = house.ledger.dump(None, 9).await.expect("rows are read");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert_eq!(after.len(), 3);
    for wanted in [BatchRef::Uuid(entry.batch.id.uuid), BatchRef::Ordinal(1), text("a")] {
        let found = house.find(wanted.clone()).await.unwrap_or_else(|| panic!("{wanted} is lost"));
        assert_eq!(format!("{found:?}"), format!("{:?}", before[0]));
        assert!(house.find_in(wanted, &scope("kylin")).await.is_none());
    }
    assert_eq!(house.ledger.kept_log(entry.row).await.expect("logs are read"), Some(log));
    assert!(house.find(BatchRef::Uuid(refused.batch.id.uuid)).await.is_none());
    let again = house.ledger.intend(keyed("k", 1)).await.expect("the ledger answers");
    assert!(matches!(again, batchlingua_core::Intended::Answered(found) if found.row == refused.row));
    assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, 4);
    let claimed = house.ledger.claim(&holder("two"), 9).await.expect("claims are answered");
    assert_eq!((claimed[0].0.row, claimed[0].1.fence), (open.row, 2));
}

#[tokio::test]
async fn the_counter_follows_a_raised_start_and_never_goes_back() {
    let house = House::new(Engine::Sqlite);
    let ordinal = async |house: &House| house.intend(intent()).await.0.batch.id.ordinal;
    assert_eq!(ordinal(&house).await, 1);
    let house = house.restart(|options| options.first_ordinal = 1_000_000);
    assert_eq!(ordinal(&house).await, 1_000_000);
    let house = house.restart(|options| options.first_ordinal = 1);
    assert_eq!(ordinal(&house).await, 1_000_001);
}

#[tokio::test]
async fn what_was_answered_outlives_a_kill() {
    let house = House::new(Engine::Sqlite);
    let (entry, lease) = house.intend(intent()).await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    let after = TempDir::new().expect("a folder can be made");
    copy_files(&house.dir(), after.path());
    assert!(fs::metadata(after.path().join("ledger.db-wal")).is_ok_and(|log| log.len() > 0), "nothing was tidied up");
    let url = format!("sqlite://{}", after.path().join("ledger.db").display());
    let ledger = open(&url, Options::default()).expect("what was left opens");
    let claimed = ledger.claim(&holder("next life"), 9).await.expect("claims are answered");
    assert_eq!((claimed[0].0.row, claimed[0].0.phase), (entry.row, Phase::Sending));
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let house = House::new(Engine::Sqlite);
    let refused = refusal(&house.dir());
    assert!(refused.contains(&format!("in use by process {}", process::id())), "{refused}");
    house.intend(intent()).await;
    let dir = house.dir();
    drop(house.ledger);
    open_in(&dir).expect("the lock is free when the ledger is closed");
}

#[test]
fn what_a_lock_says_is_not_what_locks() {
    let dir = TempDir::new().expect("a folder can be made");
    fs::write(dir.path().join("ledger.db.lock"), "1\n").expect("a file can be written");
    open_in(dir.path()).expect("that process is gone");
}

#[tokio::test]
async fn a_newer_ledger_is_refused_and_left_as_it_was() {
    let house = House::new(Engine::Sqlite);
    house.intend(intent()).await;
    let dir = house.dir();
    let killed = TempDir::new().expect("a folder can be made");
    drop(house.ledger);
    sql(&dir, "PRAGMA user_version = 4711");
    // The same, with the new version in the write-ahead log only.
    let writer = Connection::open(dir.join("ledger.db")).expect("it is a database");
    writer.execute_batch("PRAGMA user_version = 4712; CREATE TABLE later (x)").expect("the statements are right");
    copy_files(&dir, killed.path());
    drop(writer);
    for (dir, version) in [(dir.as_path(), 4712), (killed.path(), 4712)] {
        let before = files(dir);
        let refused = refusal(dir);
        assert!(refused.contains(&format!("version {version}")) && refused.contains("up to 7"), "{refused}");
        let after = files(dir);
        assert_eq!(before.get(&dir.join("ledger.db")), after.get(&dir.join("ledger.db")));
        assert_eq!(before.get(&dir.join("ledger.db-wal")), after.get(&dir.join("ledger.db-wal")));
    }
    assert_eq!(files(&dir).len(), 1, "no file came beside it");
}

#[test]
fn what_is_no_ledger_is_refused_and_left_as_it_was() {
    let other = "PRAGMA journal_mode = DELETE; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)";
    let text = "a letter to somebody, longer than a page header is";
    for (made, said) in [("text", "no SQLite database"), ("short", "no SQLite database"), ("sql", "another program")] {
        let dir = TempDir::new().expect("a folder can be made");
        match made {
            "sql" => sql(dir.path(), other),
            "short" => fs::write(dir.path().join("ledger.db"), "SQLite").expect("a file can be written"),
            _ => fs::write(dir.path().join("ledger.db"), text).expect("a file can be written"),
        }
        let before = files(dir.path());
        let refused = refusal(dir.path());
        assert!(refused.contains(said), "{refused}");
        assert_eq!(before, files(dir.path()));
    }
}

#[test]
fn an_empty_file_and_a_start_that_was_cut_short_become_a_ledger() {
    for made in ["", "PRAGMA journal_mode = WAL"] {
        let dir = TempDir::new().expect("a folder can be made");
        fs::write(dir.path().join("ledger.db"), "").expect("a file can be written");
        sql(dir.path(), made);
        open_in(dir.path()).expect("nothing was lost by it");
    }
}

#[test]
fn a_url_of_no_engine_is_refused_with_what_there_is() {
    for url in ["mysql://ana:hunter2@host/db", "sqlite:", "sqlite://", "sqlite::memory:", "memory", "/tmp/x.db", ""] {
        let refused = open(url, Options::default()).err().expect("the URL is refused").to_string();
        assert!(refused.contains("sqlite://PATH") && refused.contains("memory:"), "{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let refused = open("sqlite:///proc/nowhere/ledger.db", Options::default()).err().expect("it cannot be made");
    assert!(refused.to_string().contains("/proc/nowhere"), "{refused}");
}

#[tokio::test]
async fn folder_and_files_are_the_owners_alone() {
    let house = House::new(Engine::Sqlite);
    house.intend(intent()).await;
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&house.dir()), 0o700);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"] {
        assert_eq!(mode(&house.dir().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn no_file_ever_holds_a_secret() {
    const SECRET: &str = "hunter2";
    let house = House::new(Engine::Sqlite);
    let mut new = with_spec(|spec| {
        spec.args = ["--password", SECRET, "--token=hunter2", "x=1 secret=hunter2"].map(str::to_owned).to_vec();
        spec.file = Some("ftp://ana:hunter2@host/a.jar".into());
        spec.jars = vec!["https://host/b.jar?access_token=hunter2".into()];
        spec.conf.set("spark.hadoop.fs.s3a.secret.key", SECRET);
        spec.conf.set("spark.driver.extraJavaOptions", "-Djavax.net.ssl.trustStorePassword=hunter2");
        spec.conf.set("spark.mongodb.input.uri", "mongodb://ana:hunter2@host/db");
        let extension =
            |name: &str, value: &str| Extension { dialect: "dli".into(), name: name.into(), value: value.into() };
        spec.extensions = vec![extension("api_key", "\"hunter2\""), extension("x", r#"{"password":["hunter2"]}"#)];
    });
    new.marker.name = Some("findable".into());
    let entry = house.accepted(new, "a").await;
    let told = Observation {
        diagnostic: Some("cannot log in: password=hunter2".into()),
        app: App {
            id: None,
            url: Some("http://ana:hunter2@host".into()),
            driver_log_url: Some("http://h?token=hunter2".into()),
        },
        log: Some(KeptLog { from: 0, total: 1, lines: vec!["Authorization: Bearer hunter2".into()] }),
        ..observation(entry.row, BatchState::Failed)
    };
    house.observe(told).await;
    let (_, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("token: hunter2".into())).await;
    let foreign = seen_batch("17", |batch| {
        batch.spec = with_spec(|spec| spec.args = vec!["--secret=hunter2".into()]).spec;
        batch.diagnostic = Some("secret=hunter2".into());
    });
    house.bind("here", foreign).await.expect("a row is made");
    let dir = house.dir();
    let holding = |word: &str| {
        let holds = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        files(&dir).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert_eq!(holding(SECRET), Vec::<PathBuf>::new());
    assert!(!holding("findable").is_empty(), "this would find one");
    drop(house.ledger);
    assert_eq!(holding(SECRET), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_hot_row_is_not_read_from_the_file() {
    let house = House::new(Engine::Sqlite);
    let entry = house.accepted(intent(), "a").await;
    assert!(house.find(text("a")).await.is_some());
    // Nobody else may write here. A test may, to see where an answer comes from.
    sql(&house.dir(), "UPDATE batches SET diagnostic = 'read from the file'");
    for wanted in [BatchRef::Uuid(entry.batch.id.uuid), BatchRef::Ordinal(1), text("a")] {
        assert_eq!(house.find(wanted).await.and_then(|entry| entry.batch.diagnostic.clone()), None);
    }
    let bound = house.bind("here", seen("a", BatchState::Running)).await.expect("it is known");
    assert_eq!(bound.batch.diagnostic, None);
    let house = house.restart(|_| {});
    let read = house.find(text("a")).await.expect("it is there");
    assert_eq!(read.batch.diagnostic.as_deref(), Some("read from the file"));
}

#[tokio::test]
async fn a_list_that_is_asked_again_is_not_read_from_the_file_and_never_old() {
    let house = House::new(Engine::Sqlite);
    let query = ListQuery { window: Window { from: 0, size: 3 }, ..ListQuery::default() };
    for native in ["a", "b", "c", "d"] {
        house.accepted(intent(), native).await;
        house.clock.go(Duration::from_secs(1));
    }
    let shown = async || {
        let page = house.page(&query, &scope("livy")).await;
        let rows = page.rows.iter().map(|entry| (entry.row.0, entry.batch.state)).collect::<Vec<_>>();
        (rows, page.total)
    };
    let queued = |row: i64| (row, BatchState::Queued);
    assert_eq!(shown().await, (vec![queued(1), queued(2), queued(3)], Some(4)));
    // Nobody else may write here. A test may, to see where an answer comes from.
    sql(&house.dir(), "UPDATE batches SET hidden = '|livy|'");
    house.observe(observation(RowId(2), BatchState::Running)).await;
    assert_eq!(shown().await, (vec![queued(1), (2, BatchState::Running), queued(3)], Some(4)));
    house.accepted(intent(), "e").await;
    assert_eq!(shown().await.1, Some(5));
    sql(&house.dir(), "UPDATE batches SET hidden = ''");
    house.ledger.hide(&[RowId(1)], &"livy".into()).await.expect("rows can be hidden");
    assert_eq!(shown().await, (vec![(2, BatchState::Running), queued(3), queued(4)], Some(4)), "read anew");
}

#[tokio::test]
async fn a_sight_that_says_nothing_new_is_not_written() {
    let house = House::new(Engine::Sqlite);
    let entry = house.accepted(intent(), "a").await;
    house.observe(observation(entry.row, BatchState::Running)).await;
    house.ledger.ask_cancel(&[entry.row]).await.expect("wishes are taken");
    let before = files(&house.dir());
    house.observe(observation(entry.row, BatchState::Running)).await;
    house.observe(observation(entry.row, BatchState::Queued)).await;
    house.ledger.ask_cancel(&[entry.row]).await.expect("wishes are taken");
    house.bind("here", seen("a", BatchState::Failed)).await.expect("it is known");
    assert_eq!(before, files(&house.dir()));
    house.observe(observation(entry.row, BatchState::Failed)).await;
    assert_ne!(before, files(&house.dir()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_never_see_a_state_go_back_while_it_is_written() {
    let house = House::new(Engine::SqliteUncached);
    let entry = house.accepted(intent(), "a").await;
    let other = house.accepted(intent(), "b").await;
    let id = entry.batch.id.uuid;
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let ledger = house.ledger.clone();
            tokio::spawn(async move {
                let mut last = (0, 0);
                while last.0 < 200 {
                    let found = if reader == 0 {
                        let all = ledger.page(&Default::default(), &scope("livy")).await.expect("lists are read");
                        all.rows.into_iter().find(|found| found.batch.id.uuid == id)
                    } else {
                        ledger.find(&BatchRef::Uuid(id), &scope("livy")).await.expect("rows are read")
                    };
                    let batch = found.expect("it is there").batch;
                    let now = (batch.attempt, batch.state.rank());
                    assert!(now >= last, "{now:?} after {last:?}");
                    last = now;
                }
            })
        })
        .collect();
    for attempt in 1..=200 {
        for state in [BatchState::Starting, BatchState::Running] {
            let told = Observation { attempt: Some(attempt), ..observation(entry.row, state) };
            house.ledger.observe(&[told]).await.expect("the ledger observes");
        }
        // Drives the row out of the small cache.
        house.find(BatchRef::Uuid(other.batch.id.uuid)).await.expect("it is there");
    }
    for reader in readers {
        reader.await.expect("no reader saw it go back");
    }
}

#[test]
fn a_ledger_lies_where_the_url_says_whatever_the_name() {
    let dir = TempDir::new().expect("a folder can be made");
    for name in ["a b?c#d%41.db", "//twice//ledger.db", "ü/b.db"] {
        let path = format!("{}/{name}", dir.path().display());
        for _ in 0..2 {
            open(&format!("sqlite://{path}"), Options::default()).expect("a name is a name");
        }
        assert!(Path::new(&path).exists());
    }
    let here = std::env::current_dir().expect("the test runs somewhere");
    let up = "../".repeat(here.components().count() - 1);
    for path in
        [format!("/{}/c.db", dir.path().display()), format!("{up}{}/d.db", &dir.path().display().to_string()[1..])]
    {
        for _ in 0..2 {
            open(&format!("sqlite://{path}"), Options::default()).expect("any path will do");
        }
        assert!(Path::new(&path).exists());
    }
}
