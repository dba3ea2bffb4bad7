//! What only the inside shows: that no search is a scan, and that a half migration is not there.

use std::time::Duration;

use batchlingua_testkit::postgres::{Database, Postgres};

use super::{PostgresLedger, connection::Connection, schema, tx::search, url::Place};
use crate::{LedgerError, Options};

fn connected(database: &Database) -> Connection {
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
