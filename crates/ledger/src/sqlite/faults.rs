//! What befalls the file while the proxy runs, and before it starts again: each fault is really made, and each time nothing is promised that is
//! not on the disk, what is in memory is answered, and nobody has to help when it is over.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use batchlingua_core::{ErrorKind, Health, Ledger, ListQuery, RowId};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    SqliteLedger,
    tests::{database, intent, is_there, opened, rows_in, scope},
};
use crate::{LedgerError, Options, port::Port};

/// A row that is known, a row that is not there; and no word of the fault to who only reads.
async fn reads_go_on(ledger: &Port<SqliteLedger>, known: u128, unknown: u128) {
    assert!(is_there(ledger, known).await && !is_there(ledger, unknown).await);
    assert!(ledger.page(&ListQuery::default(), &scope()).await.is_ok());
}

async fn refused(ledger: &Port<SqliteLedger>, number: u128, word: &str) {
    let error = ledger.intend(intent(number)).await.expect_err("it cannot be written");
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{error:?}");
    assert!(error.message.contains("submits are refused") && error.detail().contains(word), "{}", error.detail());
    match ledger.health().await {
        Health::Bad(why) => assert!(why.contains(word), "{why}"),
        Health::Good => panic!("it cannot be written, and is asked whether it can"),
    }
}

#[tokio::test]
async fn a_file_that_another_program_has_locked_is_written_again_when_it_is_free() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    ledger.intend(intent(1)).await.expect("the ledger takes intents");
    let other = Connection::open(database(&dir)).expect("it is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody writes");
    refused(&ledger, 2, "locked").await;
    reads_go_on(&ledger, 1, 2).await;
    other.execute_batch("ROLLBACK").expect("it is open");
    assert_eq!(ledger.health().await, Health::Good, "nobody has submitted anything since");
    assert_eq!(rows_in(&dir), 1, "a probe is no batch");
    ledger.intend(intent(2)).await.expect("the ledger takes intents");
    reads_go_on(&ledger, 2, 3).await;
}

#[tokio::test]
async fn a_file_that_has_become_read_only_is_told_and_read() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 256);
    ledger.intend(intent(1)).await.expect("the ledger takes intents");
    let set = ledger.write(|_, tx| tx.connection.pragma_update(None, "query_only", true).map_err(super::unreadable));
    set.await.expect("that is no write");
    refused(&ledger, 2, "readonly").await;
    refused(&ledger, 2, "readonly").await;
    reads_go_on(&ledger, 1, 2).await;
    drop(ledger);
    assert!(is_there(&opened(&dir, 1), 1).await);
}

/// Runs the test of that name once more in a process of its own, by way of a shell that changes what the process may do.
fn again(test: &str, dir: &Path, shell: &str, command: &mut Command) {
    let program = dir.join("program");
    fs::copy(env::current_exe().expect("a test is a program"), &program).expect("a program can be copied");
    let output = command
        .args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")])
        .arg(&program)
        .args(["--exact", &format!("sqlite::faults::{test}"), "--nocapture"])
        .env("LEDGER_IN", dir)
        .output()
        .expect("there is a shell");
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn a_file_that_may_not_be_written_is_refused_by_name_at_start() {
    if let Some(dir) = env::var_os("LEDGER_IN") {
        let path = Path::new(&dir).join("ledger.db");
        match SqliteLedger::open(&path, &Options::default()).err() {
            Some(LedgerError::Open { path: told, .. }) => assert!(told.starts_with(&dir), "{}", told.display()),
            other => panic!("a file that may not be written: {other:?}"),
        }
        return;
    }
    let dir = TempDir::new().expect("a folder can be made");
    drop(opened(&dir, 1));
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    allow(dir.path(), 0o777);
    allow(&database(&dir), 0o444);
    allow(&dir.path().join("ledger.db.lock"), 0o666);
    let mut shell = Command::new("sh");
    // Nobody forbids anything to root.
    if fs::metadata(dir.path()).expect("it is there").uid() == 0 {
        std::os::unix::process::CommandExt::uid(&mut shell, 65_534);
    }
    let before = fs::read(database(&dir)).expect("it is there");
    again("a_file_that_may_not_be_written_is_refused_by_name_at_start", dir.path(), "true", &mut shell);
    assert_eq!(before, fs::read(database(&dir)).expect("it is there"));
}

/// The system itself stops the file from growing, in the middle of a write.
#[test]
fn a_disk_that_takes_no_more_is_written_again_when_there_is_room() {
    const NAME: &str = "a_disk_that_takes_no_more_is_written_again_when_there_is_room";
    let Some(dir) = env::var_os("LEDGER_IN") else {
        let dir = TempDir::new().expect("a folder can be made");
        // Half a MiB; the signal that comes with the error is ignored.
        return again(NAME, dir.path(), "trap '' XFSZ; ulimit -S -f 1024", &mut Command::new("sh"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async {
        let path = Path::new(&dir).join("ledger.db");
        let ledger = SqliteLedger::open(&path, &Options::default()).expect("a new ledger opens");
        let mut number = 1;
        while ledger.intend(intent(number)).await.is_ok() {
            number += 1;
            assert!(number < 10_000, "it cannot have grown so far");
        }
        assert!(number > 1);
        refused(&ledger, number, "disk").await;
        reads_go_on(&ledger, number - 1, number).await;
        let mut free = Command::new("prlimit");
        let freed = free.args(["--fsize=unlimited:", "--pid", &std::process::id().to_string()]).status();
        assert!(freed.expect("it is part of any Linux").success());
        assert_eq!(ledger.health().await, Health::Good, "nobody has submitted anything since");
        ledger.intend(intent(number)).await.expect("there is room again");
        drop(ledger);
        let ledger = SqliteLedger::open(&path, &Options::default()).expect("it opens again");
        let rows = ledger.dump(None, usize::MAX).await.expect("rows are read");
        assert_eq!(rows.len() as u128, number, "what was acknowledged, and nothing else");
    });
}

/// What a power loss leaves of the write-ahead log.
#[tokio::test]
async fn a_torn_end_of_the_log_costs_nothing_that_was_acknowledged() {
    let dir = TempDir::new().expect("a folder can be made");
    let ledger = opened(&dir, 1);
    let log = |dir: &TempDir| dir.path().join("ledger.db-wal");
    ledger.intend(intent(1)).await.expect("the ledger takes intents");
    ledger.intend(intent(2)).await.expect("the ledger takes intents");
    let acknowledged = fs::read(log(&dir)).expect("there is a log");
    ledger.intend(intent(3)).await.expect("the ledger takes intents");
    let whole = fs::read(log(&dir)).expect("there is a log");
    let begun = whole.len() - acknowledged.len();
    let garbled = |from: usize| {
        let mut log = whole.clone();
        log[from..].iter_mut().for_each(|byte| *byte ^= 0x5a);
        log
    };
    let torn = [
        whole[..whole.len() - 1].to_vec(),
        whole[..acknowledged.len() + begun / 2].to_vec(),
        whole[..acknowledged.len() + 11].to_vec(),
        garbled(acknowledged.len()),
        garbled(whole.len() - 100),
        [&acknowledged[..], &[0; 9_000]].concat(),
    ];
    for torn in torn {
        let after = TempDir::new().expect("a folder can be made");
        fs::copy(database(&dir), database(&after)).expect("a file can be copied");
        fs::write(log(&after), &torn).expect("a file can be written");
        let ledger = opened(&after, 1);
        let rows: Vec<RowId> = ledger.dump(None, 9).await.expect("rows").iter().map(|entry| entry.row).collect();
        assert_eq!(rows, [RowId(1), RowId(2)], "a log of {} bytes", torn.len());
        assert!(is_there(&ledger, 2).await && !is_there(&ledger, 3).await);
        ledger.intend(intent(4)).await.expect("the ledger takes intents");
        drop(ledger);
        let file = Connection::open(database(&after)).expect("it is a database");
        let sound = file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        assert_eq!(sound.as_deref(), Ok("ok"));
        assert_eq!(rows_in(&after), 3);
    }
}
