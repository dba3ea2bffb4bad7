//! `batchlingua ledger` as an operator runs it, beside a ledger that is in use and on one that is not.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use batchlingua_core::{BatchSpec, Claim, Holder, Intended, Ledger, Marker, NewIntent, Principal, Uuid, Verdict};
use batchlingua_testkit::postgres::Postgres;
use tempfile::TempDir;

fn ledger(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_batchlingua"));
    command.args(["ledger", "--url", url]).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A ledger in use, with submits of unknown outcome.
fn in_use(url: &str, submits: u128) -> Arc<dyn Ledger> {
    let ledger = batchlingua_ledger::open(url, Default::default()).expect("a new ledger opens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        for number in 1..=submits {
            let mut spec = BatchSpec { name: Some(format!("nightly {number}")), ..BatchSpec::default() };
            spec.conf.set("spark.some.password", "hunter2");
            let new = NewIntent {
                marker: Marker { uuid: Uuid::from_u128(number), name: None },
                backend: "old-livy".into(),
                dialect: "livy".into(),
                listener: "main".into(),
                principal: Principal::anonymous(),
                project: None,
                spec: Arc::new(spec),
                unmapped: Vec::new(),
                key: None,
                unique_name: None,
                claim: Claim { holder: Holder("one".into()), lease: Duration::from_secs(60) },
                at_once: false,
            };
            let Ok(Intended::Fresh(_, lease)) = ledger.intend(new).await else { panic!("it is new") };
            ledger.settle(&lease, Verdict::Ambiguous).await.expect("nobody knows");
        }
    });
    ledger
}

fn file_in(dir: &Path) -> String {
    format!("sqlite://{}/ledger.db", dir.display())
}

#[test]
fn an_open_submit_is_seen_and_settled() {
    let dir = TempDir::new().expect("a folder can be made");
    let url = file_in(dir.path());
    let running = in_use(&url, 2);
    let open = said(&ledger(&url, &["list", "--open", "--backend", "old-livy"]));
    assert!(open.lines().count() == 2 && open.contains("ambiguous") && open.contains("nightly 1"), "{open}");
    assert_eq!(said(&ledger(&url, &["list", "--backend", "another"])), "");
    let shown = said(&ledger(&url, &["show", "2"]));
    assert!(shown.contains("\"phase\": \"ambiguous\"") && !shown.contains("hunter2"), "{shown}");
    let config = dir.path().join("x.toml");
    std::fs::write(&config, "[admin]\naddress = \"\"\n[backend.here]\nkind = \"local\"\n").expect("written");
    let config = config.to_str().expect("a path");
    let why = refused(&ledger(&url, &["settle", "1", "--as", "failed", "--config", config]));
    assert!(why.contains(&format!("process {}", std::process::id())) && why.contains("no [admin]"), "{why}");
    assert!(refused(&ledger(&url, &["compact"])).contains("stopped"));
    drop(running);
    let done = ledger(&url, &["settle", "1", "--as", "accepted=17"]);
    assert!(said(&done).contains("accepted"));
    let audit = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(audit.contains("\"audit\":\"ledger settle\"") && audit.contains("\"native\":\"17\""), "{audit}");
    assert!(refused(&ledger(&url, &["settle", "1", "--as", "failed"])).contains("accepted"));
    assert!(refused(&ledger(&url, &["settle", "2", "--as", "accepted"])).contains("accepted=ID"));
    assert!(refused(&ledger(&url, &["show", "nowhere"])).contains("'nowhere'"));
    assert_eq!(said(&ledger(&url, &["list", "--open", "--json"])).lines().count(), 1);
    assert!(said(&ledger(&url, &["compact"])).starts_with("0 rows"));
}

#[test]
fn a_ledger_moves_from_a_file_to_a_database() {
    let dir = TempDir::new().expect("a folder can be made");
    let (url, lines) = (file_in(dir.path()), dir.path().join("ledger.jsonl").display().to_string());
    drop(in_use(&url, 3));
    assert!(said(&ledger(&url, &["export", &lines])).contains("3 rows"));
    assert!(refused(&ledger(&url, &["export", &lines])).contains("exists"), "nothing is written over");
    let database = Postgres::shared().database();
    assert!(refused(&ledger(&database.url(), &["list"])).contains("no ledger"));
    assert!(said(&ledger(&database.url(), &["import", &lines])).starts_with("3 rows"));
    assert_eq!(said(&ledger(&database.url(), &["export"])), said(&ledger(&url, &["export"])));
    assert!(refused(&ledger(&database.url(), &["import", &lines])).contains("empty"));
    assert!(refused(&ledger("sqlite:///proc/nowhere.db", &["list"])).contains("no such file"));
}

#[test]
fn whoever_has_read_enough_ends_it_quietly() {
    let dir = TempDir::new().expect("a folder can be made");
    let url = file_in(dir.path());
    drop(in_use(&url, 3));
    for arguments in [&["list"][..], &["list", "--json"], &["export"], &["show", "1"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchlingua"));
        let mut running = command
            .args(["ledger", "--url", &url])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(running.stdout.take());
        let ended = running.wait_with_output().expect("it ends");
        assert!(ended.status.success(), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}
