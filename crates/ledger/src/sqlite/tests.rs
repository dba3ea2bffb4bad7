//! What only the inside shows: how a group commits, what a full disk does, how a schema grows, and that no search is a scan.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use batchlingua_core::{
    Batch, BatchRef, BatchSpec, BatchState, Claim, ErrorKind, Health, Holder, Intended, Ledger, Marker, Millis,
    NativeId, NativeIdentity, NativeIds, NewIntent, Principal, Retention, RowId, Scope, Uuid, Verdict,
};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

use super::{Files, SqliteLedger, schema};
use crate::{LedgerError, Options, archive::Shelf, port::Port, rules::Draft};

pub(super) fn database(dir: &TempDir) -> PathBuf {
    dir.path().join("ledger.db")
}

pub(super) fn opened(dir: &TempDir, group: usize) -> Port<SqliteLedger> {
    SqliteLedger::open(&database(dir), &Options { group, ..Options::default() }).expect("a new ledger opens")
}

pub(super) fn intent(number: u128) -> NewIntent {
    NewIntent {
        marker: Marker { uuid: Uuid::from_u128(number), name: None },
        backend: "here".into(),
        dialect: "livy".into(),
        listener: "main".into(),
        principal: Principal::anonymous(),
        project: None,
        spec: Arc::new(BatchSpec::default()),
        unmapped: Vec::new(),
        key: None,
        unique_name: None,
        claim: Claim { holder: Holder("one".into()), lease: Duration::from_secs(60) },
        at_once: false,
    }
}

pub(super) fn scope() -> Scope {
    Scope { dialect: "livy".into(), backends: None, projects: None, unscoped: true, ended_from: None }
}

pub(super) async fn is_there(ledger: &Port<SqliteLedger>, number: u128) -> bool {
    let wanted = BatchRef::Uuid(Uuid::from_u128(number));
    ledger.find(&wanted, &scope()).await.expect("rows are read").is_some()
}

pub(super) fn rows_in(dir: &TempDir) -> i64 {
    let connection = Connection::open(database(dir)).expect("it is a database");
    connection.query_row("SELECT count(*) FROM batches", [], |row| row.get(0)).expect("there is a count")
}

/// Three writes that wait together, the second of which fails after it has written; how many rows the third sees durable.
async fn three_together(dir: &TempDir, ledger: &Port<SqliteLedger>) -> i64 {
    let (go, gate) = mpsc::channel::<()>();
    let (seen, durable) = mpsc::channel();
    let (at_gate, reached) = tokio::sync::oneshot::channel::<()>();
    let mut at_gate = Some(at_gate);
    let first = ledger.write(move |_, _| {
        let _ = at_gate.take().map(|at_gate| at_gate.send(()));
        gate.recv().expect("the test opens the gate");
        Ok(())
    });
    let queued = async {
        reached.await.expect("the writer reaches the gate");
        let good = ledger.write(|rules, tx| rules.intend(tx, &Draft::of(intent(1))));
        let bad = ledger.write(|rules, tx| {
            rules.intend(tx, &Draft::of(intent(2)))?;
            Err::<Intended, _>(LedgerError::NoRow(batchlingua_core::RowId(7)))
        });
        let path = dir.path().join("ledger.db");
        let last = ledger.write(move |rules, tx| {
            let other = Connection::open(&path).map_err(super::unreadable)?;
            let count = other.query_row("SELECT count(*) FROM batches", [], |row| row.get(0));
            let _ = seen.send(count.map_err(super::unreadable)?);
            rules.intend(tx, &Draft::of(intent(3)))
        });
        // Polled once, each of them stands in the queue.
        let open = async { go.send(()).expect("the writer waits at the gate") };
        tokio::join!(biased; good, bad, last, open)
    };
    let (first, (good, bad, last, ())) = tokio::join!(first, queued);
    first.expect("the gate is no write");
    good.expect("it is good");
    assert!(matches!(bad.expect_err("it is bad"), LedgerError::NoRow(_)));
    last.expect("it is good");
    durable.recv().expect("the third has looked")
}

#[tokio::test]
async fn writes_that_wait_together_commit_together_and_fail_alone() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    assert_eq!(three_together(&dir, &ledger).await, 0, "the first is durable with the third");
    assert!(is_there(&ledger, 1).await && !is_there(&ledger, 2).await && is_there(&ledger, 3).await);
    assert_eq!(rows_in(&dir), 2);
    assert_eq!(ledger.health().await, Health::Good, "a refusal is no fault of the store");
}

#[tokio::test]
async fn a_group_of_one_is_durable_by_itself() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 1);
    assert_eq!(three_together(&dir, &ledger).await, 1);
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_and_makes_a_newer_row() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    ledger.intend(intent(1)).await.expect("the ledger takes intents");
    ledger.hide(&[batchlingua_core::RowId(1)], &"livy".into()).await.expect("rows can be hidden");
    let seen = ledger.write(|_, tx| {
        let word = |pragma: &str| tx.connection.pragma_query_value(None, pragma, |value| value.get::<_, Value>(0));
        let words = (word("synchronous"), word("journal_mode"));
        let row = super::tx::get(tx.connection, batchlingua_core::RowId(1))?;
        Ok((words, row.map(|row| row.revision)))
    });
    let ((synchronous, mode), revision) = seen.await.expect("it can be asked");
    assert_eq!(synchronous, Ok(Value::Integer(2)), "FULL");
    assert_eq!(mode, Ok(Value::Text("wal".to_owned())));
    assert_eq!(revision, Some(2));
}

/// No more pages than there are, or as many as one likes: a disk that is full, and then no longer.
async fn limit_pages(ledger: &Port<SqliteLedger>, pages: u32) {
    let set = ledger.write(move |_, tx| {
        let set = format!("PRAGMA max_page_count = {pages}");
        tx.connection.query_row(&set, [], |row| row.get::<_, i64>(0)).map(drop).map_err(super::unreadable)
    });
    set.await.expect("the limit is set");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    ledger.intend(intent(1)).await.expect("there is room");
    limit_pages(&ledger, 1).await;
    let mut number = 2;
    let full = loop {
        match ledger.intend(intent(number)).await {
            Ok(_) => number += 1,
            Err(full) => break full,
        }
    };
    assert_eq!(full.kind, ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(5) });
    assert!(full.message.contains("submits are refused") && full.detail().contains("full"), "{}", full.detail());
    assert!(matches!(ledger.health().await, Health::Bad(why) if why.contains("full")));
    assert!(is_there(&ledger, 1).await && !is_there(&ledger, number).await);
    ledger.hide(&[], &"livy".into()).await.expect("it writes nothing");
    assert!(matches!(ledger.health().await, Health::Bad(_)), "a write of nothing says nothing");
    limit_pages(&ledger, u32::MAX - 1).await;
    ledger.intend(intent(number)).await.expect("there is room again");
    assert_eq!(ledger.health().await, Health::Good);
    assert!(is_there(&ledger, number).await);
    let count = u128::try_from(rows_in(&dir)).expect("a count is no less than nothing");
    assert_eq!(count, number);
}

#[tokio::test]
async fn a_writer_that_has_died_is_told_and_kills_nobody() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    ledger.intend(intent(1)).await.expect("the ledger takes intents");
    let broken = ledger.write(|_, _| -> Result<(), LedgerError> { panic!("a broken invariant") });
    assert!(matches!(broken.await, Err(LedgerError::Stopped)));
    assert!(ledger.intend(intent(2)).await.is_err());
    assert!(is_there(&ledger, 1).await);
    assert!(matches!(ledger.health().await, Health::Bad(_)));
}

#[tokio::test]
async fn an_older_schema_is_brought_forward_and_a_half_migration_is_not_there() {
    const NEXT: &str = "ALTER TABLE batches ADD COLUMN later TEXT; UPDATE batches SET later = 'moved'";
    const BROKEN: &str = "UPDATE batches SET later = 'broken'; DROP TABLE nowhere";
    let dir = TempDir::new().expect("a folder can be made");
    let open = |migrations: &[&str]| SqliteLedger::open_with(&database(&dir), &Options::default(), migrations);
    let known = schema::MIGRATIONS.len();
    let first = open(schema::MIGRATIONS).expect("a new ledger opens");
    first.intend(intent(1)).await.expect("the ledger takes intents");
    drop(first);
    let with = |more: &[&'static str]| [schema::MIGRATIONS, more].concat();
    assert!(matches!(open(&with(&[NEXT, BROKEN])), Err(LedgerError::Open { .. })));
    let second = open(&with(&[NEXT])).expect("what came before the broken step is there");
    assert!(is_there(&second, 1).await);
    drop(second);
    let later = || -> rusqlite::Result<(String, i64)> {
        let connection = Connection::open(database(&dir))?;
        let later = connection.query_row("SELECT later FROM batches", [], |row| row.get(0))?;
        Ok((later, schema::version(&connection)?))
    };
    assert_eq!(later().expect("the column is there"), ("moved".to_owned(), known as i64 + 1));
    assert!(
        matches!(open(schema::MIGRATIONS), Err(LedgerError::Newer { found, known: own, .. }) if (found, own) == (known as i64 + 1, known as i64))
    );
}

/// Takes back what the sixth version has changed of ids.
const BEFORE_6: &str =
    "DROP INDEX ids_apart; ALTER TABLE ids DROP COLUMN apart; CREATE INDEX ids_by_row ON ids (row); ";

/// Rows of the first version lack what later lists ask for; it is made of what they have.
#[tokio::test]
async fn rows_of_the_first_version_are_found_by_what_it_did_not_know() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 1);
    let specs = [
        (Some("named"), Some("org.A"), "/srv/a.jar", None),
        (None, Some("org.B"), "/srv/b.jar", Some("etl")),
        (None, Some(""), "hdfs:///x/c.py", None),
    ];
    for (n, (name, class_name, file, run_as)) in (1..).zip(specs) {
        let own = |text: &str| Some(text.to_owned());
        let (name, class_name) = (name.and_then(own), class_name.and_then(own));
        let spec =
            BatchSpec { name, class_name, file: own(file), run_as: run_as.and_then(own), ..BatchSpec::default() };
        ledger.intend(NewIntent { spec: Arc::new(spec), ..intent(n) }).await.expect("the ledger takes intents");
    }
    drop(ledger);
    let columns = || -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
        let connection = Connection::open(database(&dir))?;
        let mut rows = connection.prepare("SELECT title, program, user FROM batches ORDER BY row")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let written = columns().expect("they are there");
    let back = "DROP INDEX nondescript; DROP INDEX batches_by_change; ALTER TABLE batches DROP COLUMN title; ALTER TABLE batches DROP COLUMN program; \
                ALTER TABLE batches DROP COLUMN user; ALTER TABLE batches DROP COLUMN missing; PRAGMA user_version = 1";
    let connection = Connection::open(database(&dir)).expect("it is a database");
    connection.execute_batch(&format!("{BEFORE_6}{back}")).expect("that was the first version");
    drop(connection);
    drop(opened(&dir, 1));
    assert_eq!(columns().expect("they are there again"), written);
    assert_eq!(written[2].0, "c.py");
}

#[tokio::test]
async fn rows_of_the_second_version_give_their_numbers_up_like_later_ones() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 1);
    let seen = |native: &str, name: Option<&str>| {
        let spec = BatchSpec { name: name.map(str::to_owned), ..BatchSpec::default() };
        let batch = Batch::new(native.into(), BatchState::Running, Arc::new(spec));
        let ids = NativeIds::Reused { adopt: true };
        NativeIdentity { native: native.into(), batch: Arc::new(batch), foreign: true, ids }
    };
    let old = [seen("1", None), seen("2", Some("a"))];
    ledger.bind(&"here".into(), &old).await.expect("the ledger binds");
    drop(ledger);
    let connection = Connection::open(database(&dir)).expect("it is a database");
    let back = "DROP INDEX nondescript; DROP INDEX batches_by_change; ALTER TABLE batches DROP COLUMN missing; \
                PRAGMA user_version = 2";
    connection.execute_batch(&format!("{BEFORE_6}{back}")).expect("that was the second version");
    drop(connection);
    let ledger = opened(&dir, 1);
    ledger.bind(&"here".into(), &[seen("2", Some("b"))]).await.expect("the ledger binds");
    let rows = ledger.dump(None, 9).await.expect("rows are read");
    let natives: Vec<_> = rows.iter().filter_map(|entry| entry.batch.id.native.clone()).collect();
    assert_eq!(natives, ["1~1", "2~2", "2"].map(NativeId::from));
    assert_eq!(rows.iter().map(|entry| entry.batch.id.ordinal).collect::<Vec<_>>(), [1, 2, 4]);
}

/// A batch seen on a backend of that name, whose integers are ids of their own.
fn seen_on(native: &str, state: BatchState) -> NativeIdentity {
    let batch = Arc::new(Batch::new(native.into(), state, Arc::default()));
    NativeIdentity { native: native.into(), batch, foreign: true, ids: NativeIds::Reused { adopt: true } }
}

/// Ids as they are kept: which, whose, and whether the row's columns lack it.
fn ids_in(dir: &TempDir) -> Vec<(String, i64, bool)> {
    let connection = Connection::open(database(dir)).expect("it is a database");
    let sql = "SELECT kind || ' ' || text, row, apart FROM ids ORDER BY row, 1";
    let mut ids = connection.prepare(sql).expect("the statement is right");
    let ids = ids.query_map([], |id| Ok((id.get(0)?, id.get(1)?, id.get(2)?))).expect("ids are read");
    ids.collect::<Result<_, _>>().expect("ids are read")
}

/// The row of an intent whose backend has answered an id of its own, by which clients of all dialects know it from then on.
async fn accepted(ledger: &Port<SqliteLedger>, number: u128, native: &str) {
    let Ok(Intended::Fresh(_, lease)) = ledger.intend(intent(number)).await else { panic!("it is fresh") };
    let verdict = Verdict::Accepted(Box::new(seen_on(native, BatchState::Succeeded)));
    ledger.settle(&lease, verdict).await.expect("the verdict is taken");
}

#[tokio::test]
async fn ids_that_a_row_has_outgrown_are_found_by_it_and_leave_with_it() {
    for (older, was_made_by) in [(false, "this version"), (true, "the version before")] {
        let dir = TempDir::new().expect("a folder can be made");
        let ledger = opened(&dir, 1);
        // The made integer 1 is followed by the adopted 7; then the number goes to the next batch that the server gives it to.
        accepted(&ledger, 1, "7").await;
        accepted(&ledger, 2, "7").await;
        drop(ledger);
        let apart: Vec<_> =
            ids_in(&dir).into_iter().filter(|(.., apart)| *apart).map(|(id, row, _)| (id, row)).collect();
        let expected = ["native 7~1", "ordinal 1", "ordinal 7"].map(|id| (id.to_owned(), 1));
        assert_eq!(apart, expected, "those that the row had not yet when they came, or has no longer");
        if older {
            let connection = Connection::open(database(&dir)).expect("it is a database");
            let back = format!("{BEFORE_6} PRAGMA user_version = 5");
            connection.execute_batch(&back).expect("that was the fifth version");
        }
        let known: Vec<_> = ["1", "2"].map(|row| ids_in_words(&dir, row)).into();
        let mut file = Files::open(&database(&dir), true).expect("nobody has it");
        for (row, known) in [1, 2].map(RowId).into_iter().zip(known) {
            assert_eq!(file.ids(row).expect("ids are read").len(), known, "{was_made_by}: {row:?}");
        }
        drop(file);
        let ledger = opened(&dir, 1);
        let keep = Retention { ended_before: Millis(i64::MAX), room: None, limit: 9 };
        ledger.expire(&keep).await.expect("rows can be dropped");
        assert_eq!((rows_in(&dir), ids_in(&dir)), (0, Vec::new()), "{was_made_by}");
    }
}

/// How many ids the table has of a row, by whatever version it was written.
fn ids_in_words(dir: &TempDir, row: &str) -> usize {
    let connection = Connection::open(database(dir)).expect("it is a database");
    let count = connection.query_row("SELECT count(*) FROM ids WHERE row = ?", [row], |count| count.get::<_, i64>(0));
    usize::try_from(count.expect("there is a count")).expect("a count is no less than nothing")
}

#[tokio::test]
async fn no_integer_is_given_twice_whatever_the_end_and_none_is_left_out_by_one_in_order() {
    let dir = TempDir::new().expect("a folder can be made");
    let ordinal = async |ledger: &Port<SqliteLedger>, number| match ledger.intend(intent(number)).await {
        Ok(Intended::Fresh(entry, _)) => entry.batch.id.ordinal,
        other => panic!("not fresh but {other:?}"),
    };
    let ledger = opened(&dir, 1);
    assert_eq!((ordinal(&ledger, 1).await, ordinal(&ledger, 2).await), (1, 2));
    // Undone behind its integer, as all that was made of it.
    let undone = ledger.write(|rules, tx| {
        rules.intend(tx, &Draft::of(intent(9)))?;
        Err::<Intended, _>(LedgerError::NoRow(RowId(7)))
    });
    undone.await.expect_err("it is bad");
    assert_eq!(ordinal(&ledger, 3).await, 3);
    // What the disk has if the process dies now.
    let crashed = TempDir::new().expect("a folder can be made");
    for suffix in ["", "-wal"] {
        let name = format!("ledger.db{suffix}");
        std::fs::copy(dir.path().join(&name), crashed.path().join(&name)).expect("files can be copied");
    }
    for number in 4..=200 {
        assert_eq!(u128::from(ordinal(&ledger, number).await), number, "in the row of their making");
    }
    drop(ledger);
    assert_eq!(ordinal(&opened(&dir, 1), 201).await, 201, "an end in order");
    let next = ordinal(&opened(&crashed, 1), 4).await;
    assert!((4..=100).contains(&next), "{next}");
}

#[test]
fn a_damaged_row_is_an_error_and_no_panic() {
    let dir = TempDir::new().expect("a folder can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async {
        let ledger = opened(&dir, 1);
        ledger.intend(intent(1)).await.expect("the ledger takes intents");
        drop(ledger);
        for damage in ["phase = 'lost'", "spec = '['", "uuid = 'x'"] {
            let connection = Connection::open(database(&dir)).expect("it is a database");
            connection.execute_batch(&format!("UPDATE batches SET {damage}")).expect("the statement is right");
            drop(connection);
            let ledger = opened(&dir, 1);
            let wanted = BatchRef::Uuid(Uuid::from_u128(1));
            let error = ledger.find(&wanted, &scope()).await.expect_err("it cannot be read");
            assert_eq!(error.kind, ErrorKind::Internal, "{damage}: {}", error.detail());
        }
    });
}

/// How SQLite would go about a statement.
pub(super) fn plan(sql: &str) -> String {
    let mut connection = Connection::open_in_memory().expect("memory opens");
    schema::migrate(&mut connection, schema::MIGRATIONS).expect("the schema is right");
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("the statement is right");
    let mut rows = statement.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("there is a plan") {
        steps.push(row.get::<_, String>(3).expect("a step is text"));
    }
    steps.join("; ")
}
