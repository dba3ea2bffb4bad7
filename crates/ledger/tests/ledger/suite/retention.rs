//! What leaves, what is walked over, and how the store is doing.

use std::time::Duration;

use batchlingua_core::{
    BatchRef, BatchState, Filter, Health, Intended, KeptLog, Observation, Retention, RowId, Verdict,
};

use crate::house::{House, START, accepted, intent, keyed, named, observation, seen, stored_batch, text};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn rows_leave_with_their_ids_and_logs_after_their_time(house: House) {
    let log = KeptLog { from: 0, total: 1, lines: vec!["x".into()] };
    let mut gone = Vec::new();
    for native in ["a", "b", "c"] {
        let entry = house.accepted(named("n"), native).await;
        let end = Observation { log: Some(log.clone()), ..observation(entry.row, BatchState::Succeeded) };
        house.observe(end).await;
        gone.push(entry);
    }
    let (refused, lease) = house.intend(keyed("k", 1)).await;
    house.settle(&lease, Verdict::Refused(batchlingua_core::Error::internal("no"))).await;
    let live = house.accepted(intent(), "live").await;
    let (open, _) = house.intend(intent()).await;
    house.clock.go(MINUTE);
    let late = house.accepted(intent(), "late").await;
    house.observe(observation(late.row, BatchState::Failed)).await;
    // In memory now, so that forgetting them is tried as well.
    assert!(house.find(text("a")).await.is_some());

    let keep = |ended_before| Retention { ended_before, limit: 2 };
    assert_eq!(house.ledger.expire(&keep(START)).await.ok(), Some(0), "ended just then");
    assert_eq!(house.ledger.expire(&keep(START.plus(MINUTE))).await.ok(), Some(4), "in more than one chunk");
    assert_eq!(house.ledger.expire(&keep(START.plus(MINUTE))).await.ok(), Some(0));
    for entry in &gone {
        let native = entry.batch.id.native.as_ref().expect("it ran");
        let id = &entry.batch.id;
        for wanted in [BatchRef::Uuid(id.uuid), BatchRef::Ordinal(id.ordinal), text(native.as_str())] {
            assert!(house.find(wanted.clone()).await.is_none(), "{wanted}");
        }
        assert_eq!(house.ledger.kept_log(entry.row).await.expect("logs are read"), None);
    }
    let (again, _) = house.intend(keyed("k", 2)).await;
    assert!(again.row > refused.row, "the key is free again");
    assert_eq!(house.listed(Filter::default()).await, [live.row, late.row]);
    assert!(house.find(BatchRef::Ordinal(open.batch.id.ordinal)).await.is_some());
    let anew = house.bind("here", seen("a", BatchState::Succeeded)).await.expect("the backend still has it");
    assert!(anew.row > again.row);
}

pub(crate) async fn an_ordinal_is_not_given_again_after_its_row_is_gone(house: House) {
    let uuid = crate::house::fresh_uuid();
    let (entry, lease) = house.intend(stored_batch(uuid, 1)).await;
    house.settle(&lease, accepted("a", BatchState::Succeeded)).await;
    house.clock.go(MINUTE);
    let keep = Retention { ended_before: START.plus(MINUTE), limit: 0 };
    assert_eq!(house.ledger.expire(&keep).await.ok(), Some(1), "a limit of nothing would never come to an end");
    match house.ledger.intend(stored_batch(uuid, 1)).await.expect("the ledger answers") {
        Intended::Fresh(next, _) => {
            assert_eq!(next.batch.id.ordinal, entry.batch.id.ordinal + 1);
            assert!(next.row > entry.row);
        }
        other => panic!("not fresh but {other:?}"),
    }
}

pub(crate) async fn a_dump_walks_all_rows(house: House) {
    let mut rows = Vec::new();
    for native in ["a", "b"] {
        rows.push(house.accepted(intent(), native).await.row);
    }
    let (refused, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("gone".into())).await;
    rows.extend([refused.row, house.intend(intent()).await.0.row]);
    let mut walked: Vec<RowId> = Vec::new();
    loop {
        let some = house.ledger.dump(walked.last().copied(), 3).await.expect("rows are read");
        if some.is_empty() {
            break;
        }
        walked.extend(some.iter().map(|entry| entry.row));
    }
    assert_eq!(walked, rows);
}

pub(crate) async fn a_new_ledger_is_in_good_health(house: House) {
    assert_eq!(house.ledger.health().await, Health::Good);
}
