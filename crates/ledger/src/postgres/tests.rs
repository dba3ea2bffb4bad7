//! What only the inside shows: that no search is a scan, that a half migration is not there, and what memory may say by itself.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Batch, BatchRef, BatchState, Claim, Holder, Intended, KeyClaim, Ledger, Marker, NativeId, NativeIdentity,
    NativeIds, NewIntent, Principal, Replay, Scope, Uuid, Verdict,
};
use batchlingua_testkit::postgres::{Database, Postgres};

use super::{PostgresLedger, connection::Connection, hot::Trust, schema, tx::search, url::Place};
use crate::{LedgerError, Options, cache::Changes, row::Id};

pub(super) fn connected(database: &Database) -> Connection {
    let within = Duration::from_secs(30);
    let place = Place::of(&database.url(), within).expect("the URL is good");
    Connection::open(&place, within).expect("the server is there")
}

#[test]
fn every_search_has_its_index() {
    let database = Postgres::shared().database();
    drop(PostgresLedger::open(&database.url(), &Options::default()).expect("a new ledger opens"));
    for (condition, index) in [
        (search::BY_KEY, "batches_by_key"),
        (search::BY_NATIVE, "ids_pkey"),
        (search::LIVE_NAMED, "batches_by_name"),
        (search::NAME_HELD, "batches_by_name"),
        (search::MARKED, "open_intents"),
        (search::CLAIMABLE, "open_intents"),
        (search::OPEN, "open_intents"),
        (search::NONDESCRIPT, "nondescript"),
        (search::ENDED_BEFORE, "batches_by_end"),
        (search::UNENDED_CANCELS, "unended_cancels"),
    ] {
        let explain = format!("EXPLAIN SELECT * FROM batchlingua.batches WHERE {}", condition.replace('?', "'1'"));
        // Without rows to count a sort is as good as a walk in order, so those that walk are not to be had.
        let set = "SET search_path = batchlingua; SET enable_seqscan = off;";
        let plan =
            database.sql(&format!("{set} DROP INDEX IF EXISTS batches_by_change, batches_by_created; {explain}"));
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{condition}: {plan}");
    }
}

#[test]
fn a_half_migration_is_not_there() {
    const NEXT: &str = "ALTER TABLE batches ADD COLUMN later text";
    const BROKEN: &str = "UPDATE batches SET later = 'broken'; DROP TABLE nowhere";
    let database = Postgres::shared().database();
    let open = |migrations: &[&str]| PostgresLedger::open_with(&database.url(), &Options::default(), migrations);
    let with = |more: &[&'static str]| [schema::MIGRATIONS, more].concat();
    drop(open(schema::MIGRATIONS).expect("a new ledger opens"));
    assert!(matches!(open(&with(&[NEXT, BROKEN])), Err(LedgerError::Open { .. })));
    let there = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'later'";
    let connection = connected(&database);
    assert_eq!(connection.words(there).expect("it can be asked"), ["0"], "all steps or none");
    drop(open(&with(&[NEXT])).expect("the good step is taken"));
    assert_eq!(connection.words(there).expect("it can be asked"), ["1"]);
    assert!(matches!(open(schema::MIGRATIONS), Err(LedgerError::Newer { .. })));
}

#[test]
fn a_migration_takes_as_long_as_it_takes() {
    let database = Postgres::shared().database();
    let options = Options { timeout: Duration::from_secs(2), ..Options::default() };
    let open = |migrations: &[&str]| PostgresLedger::open_with(&database.url(), &options, migrations);
    drop(open(schema::MIGRATIONS).expect("a new ledger opens"));
    // Of a table so large that the step takes longer than any other statement may.
    drop(open(&[schema::MIGRATIONS, &["SELECT pg_sleep(3)"]].concat()).expect("the step is taken"));
}

fn wish(uuid: Uuid) -> NewIntent {
    NewIntent {
        marker: Marker { uuid, name: None },
        backend: "here".into(),
        dialect: "kyuubi".into(),
        listener: "main".into(),
        principal: Principal::unverified("ana"),
        project: None,
        spec: Arc::default(),
        unmapped: Vec::new(),
        key: Some(KeyClaim { value: uuid.to_string(), replay: Replay::StoredBatch, fingerprint: [0; 32] }),
        unique_name: None,
        claim: Claim { holder: Holder("one".into()), lease: Duration::from_secs(60) },
        at_once: true,
    }
}

/// The first submit has failed, and its client has sent it again under the same id of its own, to another replica.
#[tokio::test]
async fn a_replica_without_a_database_does_not_say_from_memory_that_an_id_is_nobodys() {
    let database = Postgres::shared().database();
    let open = || PostgresLedger::open(&database.url(), &Options::default()).expect("it opens");
    let (away, other, uuid) = (open(), open(), Uuid::new_v4());
    let scope = Scope { dialect: "kyuubi".into(), backends: None, projects: None, unscoped: true, ended_from: None };
    let Ok(Intended::Fresh(_, lease)) = away.intend(wish(uuid)).await else { panic!("fresh") };
    away.settle(&lease, Verdict::Failed("not sent".to_owned())).await.expect("written");
    let failed = away.hot.cache.get(lease.row).expect("it is remembered");
    let Ok(Intended::Fresh(_, lease)) = other.intend(wish(uuid)).await else { panic!("its id is free again") };
    let batch = Arc::new(Batch::new(NativeId::from("7"), BatchState::Running, Arc::default()));
    let ids = NativeIds::Unique;
    let accepted = NativeIdentity { native: batch.id.clone(), batch, foreign: false, ids };
    other.settle(&lease, Verdict::Accepted(Box::new(accepted))).await.expect("written");
    // As if nothing of that had been heard.
    let ids = vec![(Id::Uuid(uuid), Some(failed.id()))];
    away.hot.cache.publish(Changes { rows: vec![failed], ids, ..Changes::default() });
    away.hot.is_now(Trust::Alone);
    for wanted in [BatchRef::Uuid(uuid), BatchRef::Text(uuid.to_string())] {
        let found = away.find(&wanted, &scope).await.expect("the database is there by now");
        assert_eq!(found.map(|entry| entry.row), Some(lease.row), "{wanted:?}");
    }
}
