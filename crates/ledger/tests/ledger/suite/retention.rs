//! What leaves, what is walked over, and how the store is doing.

use std::time::Duration;

use batchlingua_core::{
    BatchRef, BatchState, Expired, Filter, Health, Intended, KeptLog, Observation, Retention, Room, RowId, Verdict,
};

use crate::house::{House, START, accepted, intent, keyed, named, observation, seen, stored_batch, text};

const MINUTE: Duration = Duration::from_secs(60);

fn dropped(rows: u64) -> Option<Expired> {
    Some(Expired { dropped: rows, kept_from: None })
}

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

    let keep = |ended_before| Retention { ended_before, room: None, limit: 2 };
    assert_eq!(house.ledger.expire(&keep(START)).await.ok(), dropped(0), "ended just then");
    assert_eq!(house.ledger.expire(&keep(START.plus(MINUTE))).await.ok(), dropped(4), "in more than one chunk");
    assert_eq!(house.ledger.expire(&keep(START.plus(MINUTE))).await.ok(), dropped(0));
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

pub(crate) async fn more_rows_than_shall_be_kept_leave_by_their_ends(house: House) {
    let (_, open) = house.intend(intent()).await;
    let live = house.accepted(intent(), "live").await;
    let mut ended = Vec::new();
    // The one that came last ends first.
    for native in ["a", "b", "c", "d"] {
        ended.insert(0, house.accepted(intent(), native).await);
    }
    for entry in &ended {
        house.clock.go(MINUTE);
        house.observe(observation(entry.row, BatchState::Succeeded)).await;
    }
    let room = |rows, ended_before| Some(Room { rows, ended_before });
    let keep = |most| Retention { ended_before: START, room: room(most, START.plus(MINUTE * 5)), limit: 1 };
    let ends = |minutes| Some(START.plus(MINUTE * minutes));
    for (most, rows, kept_from) in [(7, 0, None), (6, 0, ends(1)), (4, 2, ends(3)), (4, 0, ends(3))] {
        let expected = Expired { dropped: rows, kept_from };
        assert_eq!(house.ledger.expire(&keep(most)).await.ok(), Some(expected), "most {most}");
    }
    assert_eq!(house.listed(Filter::default()).await, [live.row, ended[3].row, ended[2].row]);
    // What has just ended stays, however few there shall be; what has not ended does so always.
    let keep_new = Retention { room: room(1, START.plus(MINUTE * 4)), ..keep(1) };
    assert_eq!(house.ledger.expire(&keep_new).await.ok(), Some(Expired { dropped: 1, kept_from: ends(4) }));
    assert_eq!(house.listed(Filter::default()).await, [live.row, ended[3].row]);
    let expected = Expired { dropped: 1, kept_from: ends(5) };
    assert_eq!(house.ledger.expire(&keep(1)).await.ok(), Some(expected), "nothing that ends has room");
    assert_eq!(house.listed(Filter::default()).await, [live.row]);
    house.settle(&open, accepted("late", BatchState::Running)).await;
}

pub(crate) async fn an_ordinal_is_not_given_again_after_its_row_is_gone(house: House) {
    let uuid = crate::house::fresh_uuid();
    let (entry, lease) = house.intend(stored_batch(uuid, 1)).await;
    house.settle(&lease, accepted("a", BatchState::Succeeded)).await;
    house.clock.go(MINUTE);
    let keep = Retention { ended_before: START.plus(MINUTE), room: None, limit: 0 };
    assert_eq!(house.ledger.expire(&keep).await.ok(), dropped(1), "a limit of nothing would never come to an end");
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
