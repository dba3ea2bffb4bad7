//! Integers that a backend gives out again, and that its clients hold.

use std::{collections::HashSet, time::Duration};

use batchlingua_core::{
    BackendName, BatchRef, BatchState, Entry, Lease, Marker, NativeIdentity, NativeIds, NewIntent, Phase, RowId,
    Verdict,
};

use crate::house::{
    Engine, House, accepted, backend, intent, internal, named, observation, seen_batch, stored_batch, text,
};

const MAX: u32 = i32::MAX as u32;

/// As Livy shows it.
fn livy(number: &str, name: Option<&str>, app: Option<&str>) -> NativeIdentity {
    let seen = seen_batch(number, |batch| {
        batch.spec = match name {
            Some(name) => named(name).spec,
            None => intent().spec,
        };
        batch.app.id = app.map(str::to_owned);
    });
    NativeIdentity { ids: NativeIds::Reused { adopt: true }, ..seen }
}

fn nameless(number: &str) -> NativeIdentity {
    livy(number, None, None)
}

async fn bound(house: &House, seen: NativeIdentity) -> Entry {
    house.bind("here", seen).await.expect("there is a row")
}

/// The row that has this ordinal, whether shown or not.
async fn of(house: &House, ordinal: u32) -> Option<RowId> {
    house.find(BatchRef::Ordinal(ordinal)).await.map(|entry| entry.row)
}

/// The native id of the row as it now stands.
async fn native(house: &House, row: RowId) -> String {
    let all = house.ledger.dump(None, 1000).await.expect("rows are read");
    let entry = all.into_iter().find(|entry| entry.row == row).expect("the row is there");
    entry.batch.id.native.as_ref().map_or_else(String::new, ToString::to_string)
}

async fn answered(house: &House, lease: &Lease, seen: NativeIdentity) -> Entry {
    house.settle(lease, Verdict::Accepted(Box::new(seen))).await
}

/// Being sent, with a name that is its marker.
async fn sending(house: &House, marker: &str) -> (Entry, Lease) {
    let new = intent();
    let marker = Marker { name: Some(marker.into()), ..new.marker.clone() };
    let (entry, lease) = house.intend(NewIntent { marker, ..new }).await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    (entry, lease)
}

async fn ambiguous(house: &House, marker: &str) -> (Entry, Lease) {
    let (entry, lease) = sending(house, marker).await;
    house.settle(&lease, Verdict::Ambiguous).await;
    (entry, lease)
}

pub(crate) async fn an_integer_that_clients_hold_is_an_ordinal_here(house: House) {
    for number in [17, 0, MAX] {
        let entry = bound(&house, nameless(&number.to_string())).await;
        assert_eq!(entry.batch.id.ordinal, number);
        assert_eq!(of(&house, number).await, Some(entry.row));
    }
    let mut made = 0;
    for number in ["007", "+7", "-1", "2147483648", "99999999999", "x", ""] {
        made += 1;
        assert_eq!(bound(&house, nameless(number)).await.batch.id.ordinal, made, "'{number}' is no id of Livy's");
    }
    let others = NativeIdentity { ids: NativeIds::Reused { adopt: false }, ..nameless("18") };
    let unique = NativeIdentity { ids: NativeIds::Unique, ..nameless("19") };
    for seen in [others, unique] {
        made += 1;
        assert_eq!(bound(&house, seen).await.batch.id.ordinal, made, "none that clients hold");
    }
    assert!(of(&house, 18).await.is_none() && of(&house, 19).await.is_none());
}

pub(crate) async fn an_answer_shows_the_integer_unless_another_was_told(house: House) {
    let (sent, lease) = sending(&house, "bl-1").await;
    let settled = answered(&house, &lease, livy("17", Some("bl-1"), None)).await;
    assert_eq!((sent.batch.id.ordinal, settled.batch.id.ordinal), (1, 17));
    assert_eq!(answered(&house, &lease, livy("17", Some("bl-1"), None)).await.batch.id.ordinal, 17);

    let (told, lease) = ambiguous(&house, "bl-2").await;
    let settled = answered(&house, &lease, livy("18", Some("bl-2"), None)).await;
    assert_eq!((told.batch.id.ordinal, settled.batch.id.ordinal), (2, 2), "its client was told this one");

    for (ordinal, row, shown) in [(1, sent.row, 17), (17, sent.row, 17), (2, told.row, 2), (18, told.row, 2)] {
        let found = house.find(BatchRef::Ordinal(ordinal)).await.unwrap_or_else(|| panic!("{ordinal} is lost"));
        assert_eq!((found.row, found.batch.id.ordinal), (row, shown), "by {ordinal}");
    }
    let (_, lease) = sending(&house, "bl-3").await;
    let elsewhere = NativeIdentity { ids: NativeIds::Reused { adopt: false }, ..livy("19", Some("bl-3"), None) };
    assert_eq!(answered(&house, &lease, elsewhere).await.batch.id.ordinal, 3);
    assert!(of(&house, 19).await.is_none());
}

pub(crate) async fn an_integer_that_is_taken_stays_whose_it_is(house: House) {
    let (made, _) = house.intend(intent()).await;
    let seen = bound(&house, nameless("1")).await;
    assert_eq!((made.batch.id.ordinal, seen.batch.id.ordinal), (1, 2));
    let (sent, lease) = sending(&house, "bl-1").await;
    let settled = answered(&house, &lease, livy("2", Some("bl-1"), None)).await;
    assert_eq!(settled.batch.id.ordinal, 3);
    for (ordinal, row) in [(1, made.row), (2, seen.row), (3, sent.row)] {
        assert_eq!(of(&house, ordinal).await, Some(row));
    }
}

pub(crate) async fn made_ordinals_pass_over_adopted_ones(house: House) {
    bound(&house, nameless("1000")).await;
    assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, 1, "adoption does not count");
    let page: Vec<_> = (2..=300).map(|number: u32| nameless(&number.to_string())).collect();
    house.ledger.bind(&backend("here"), &page).await.expect("the ledger binds");
    let mut given = HashSet::new();
    for _ in 0..300 {
        let ordinal = house.intend(intent()).await.0.batch.id.ordinal;
        assert!(given.insert(ordinal) && ordinal > 300 && ordinal != 1000, "{ordinal} was another's");
    }
    assert_eq!(of(&house, 300).await, house.find(text("300")).await.map(|entry| entry.row));
}

pub(crate) async fn the_last_ordinal_may_be_adopted(house: House) {
    drop(house);
    for engine in [Engine::Memory, Engine::Sqlite, Engine::Postgres] {
        let house = House::with(engine, |options| options.first_ordinal = MAX - 1);
        bound(&house, nameless(&MAX.to_string())).await;
        assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, MAX - 1);
        for _ in 0..2 {
            assert!(internal(house.ledger.intend(intent()).await).contains("used up"));
        }
        assert_eq!(bound(&house, nameless("0")).await.batch.id.ordinal, 0, "what is adopted need not be made");
    }
}

pub(crate) async fn another_name_or_application_is_another_batch(house: House) {
    let first = bound(&house, livy("7", Some("a"), Some("app-1"))).await;
    let same =
        [nameless("7"), livy("7", Some("a"), None), livy("7", None, Some("app-1")), livy("7", Some(""), Some(""))];
    for seen in same {
        assert_eq!(bound(&house, seen).await.row, first.row, "nothing says that it is another");
    }
    house.observe(observation(first.row, BatchState::Succeeded)).await;
    let second = bound(&house, livy("7", Some("b"), Some("app-1"))).await;
    let third = bound(&house, livy("7", Some("b"), Some("app-2"))).await;
    assert_eq!(bound(&house, livy("7", Some("b"), Some("app-2"))).await.row, third.row);
    let rows = [&first, &second, &third];
    assert_eq!(rows.iter().map(|entry| entry.row).collect::<HashSet<_>>().len(), 3);
    assert_eq!(rows.map(|entry| entry.batch.id.ordinal), [7, 1, 2], "whoever holds 7 means the first");
    for (entry, shown, state) in [
        (&first, format!("7~{}", first.row.0), BatchState::Succeeded),
        (&second, format!("7~{}", second.row.0), BatchState::Running),
        (&third, "7".to_owned(), BatchState::Running),
    ] {
        let id = &entry.batch.id;
        for wanted in [BatchRef::Uuid(id.uuid), BatchRef::Ordinal(id.ordinal), text(&shown)] {
            let found = house.find(wanted.clone()).await.unwrap_or_else(|| panic!("{wanted} is lost"));
            assert_eq!((found.row, found.batch.state), (entry.row, state), "{wanted}");
            assert_eq!(found.batch.id.native.as_ref().map(|native| native.as_str()), Some(shown.as_str()));
        }
    }
}

pub(crate) async fn what_was_masked_is_no_other_application(house: House) {
    let seen = livy("7", None, Some("app?token=hunter2"));
    let first = bound(&house, seen.clone()).await;
    assert_ne!(first.batch.app.id, seen.batch.app.id);
    assert_eq!(bound(&house, seen).await.row, first.row);
    assert_ne!(bound(&house, livy("7", None, Some("app?id=2"))).await.row, first.row);
}

pub(crate) async fn the_name_on_the_wire_is_the_one_that_counts(house: House) {
    let new = named("nightly");
    let marker = Marker { name: Some("bl-1".into()), ..new.marker.clone() };
    let (ours, lease) = house.intend(NewIntent { marker, ..new }).await;
    answered(&house, &lease, livy("7", Some("bl-1"), None)).await;
    assert_eq!(bound(&house, livy("7", Some("bl-1"), None)).await.row, ours.row);
    assert_ne!(bound(&house, livy("7", Some("nightly"), None)).await.row, ours.row);
    assert_eq!(native(&house, ours.row).await, format!("7~{}", ours.row.0));
}

pub(crate) async fn unique_ids_are_one_batchs_whatever_it_is_called(house: House) {
    let unique = |name, app| NativeIdentity { ids: NativeIds::Unique, ..livy("7", Some(name), Some(app)) };
    let first = bound(&house, unique("a", "app-1")).await;
    assert_eq!(bound(&house, unique("b", "app-2")).await.row, first.row);
    assert_eq!(native(&house, first.row).await, "7");
}

pub(crate) async fn a_restart_takes_the_numbers_of_what_nothing_tells_apart(house: House) {
    let ended = bound(&house, nameless("1")).await;
    house.observe(observation(ended.row, BatchState::Failed)).await;
    let live = bound(&house, nameless("2")).await;
    let kept = [bound(&house, livy("3", Some("c"), None)).await, bound(&house, livy("4", None, Some("app-4"))).await];
    let elsewhere = house.bind("there", nameless("2")).await.expect("a row is made");
    let uuid = house.accepted(stored_batch(crate::house::fresh_uuid(), 1), "0a-1").await;
    let old = bound(&house, livy("5", Some("a"), None)).await;

    // One look shows it, and another batch before that in the same list.
    let page = [nameless("2"), livy("5", Some("b"), None)];
    let seen = house.ledger.bind(&backend("here"), &page).await.expect("the ledger binds");
    let batchlingua_core::Bound::Row(again) = &seen[0] else { panic!("a row is made") };
    assert!(again.row > old.row && native(&house, again.row).await == "2", "it is no batch of before");
    for entry in [&ended, &live, &old] {
        let was = entry.batch.id.native.as_ref().expect("it had one");
        assert_eq!(native(&house, entry.row).await, format!("{was}~{}", entry.row.0));
    }
    let state = house.find(BatchRef::Uuid(ended.batch.id.uuid)).await.map(|entry| entry.batch.state);
    assert_eq!(state, Some(BatchState::Failed), "an end stays");
    let id = &live.batch.id;
    assert_eq!(of(&house, id.ordinal).await, Some(live.row), "and so do the ids that clients hold");
    for (entry, number) in [(&kept[0], "3"), (&kept[1], "4"), (&elsewhere, "2"), (&uuid, "0a-1")] {
        assert_eq!(native(&house, entry.row).await, number);
    }

    // The new count goes on over the old numbers: that is no further restart, and what is of the new count keeps its number.
    let starting = bound(&house, nameless("6")).await;
    assert_ne!(bound(&house, livy("3", Some("d"), None)).await.row, kept[0].row);
    assert_eq!(bound(&house, nameless("6")).await.row, starting.row);
    assert_eq!(bound(&house, nameless("2")).await.row, again.row);

    // A number of the new count is another's: there was one more.
    bound(&house, livy("5", Some("e"), None)).await;
    assert_ne!(bound(&house, nameless("6")).await.row, starting.row);
    assert_eq!(native(&house, again.row).await, format!("2~{}", again.row.0));
}

pub(crate) async fn an_answer_gets_the_number_of_a_batch_that_is_gone(house: House) {
    let (old, lease) = sending(&house, "bl-1").await;
    answered(&house, &lease, livy("7", Some("bl-1"), None)).await;
    let foreign = bound(&house, livy("8", None, Some("app-8"))).await;
    let (by_name, lease) = sending(&house, "bl-2").await;
    let settled = answered(&house, &lease, livy("7", Some("bl-2"), None)).await;
    assert_eq!((settled.row, settled.batch.id.native.clone()), (by_name.row, Some("7".into())));
    assert_eq!(settled.batch.id.ordinal, by_name.batch.id.ordinal, "7 is the old one's");
    assert_eq!(native(&house, old.row).await, format!("7~{}", old.row.0));
    // Nothing but the time tells this one: it was there before the intent, so the answer to that is another.
    let (by_time, lease) = sending(&house, "bl-3").await;
    let settled = answered(&house, &lease, livy("8", Some("bl-3"), None)).await;
    assert_eq!((settled.row, of(&house, 8).await), (by_time.row, Some(foreign.row)));
    assert_eq!(native(&house, foreign.row).await, format!("8~{}", foreign.row.0));
    // Nor does anything tell two submits of a server that gives no names back; each was answered, so they are two.
    let ours = house.accepted(intent(), "9").await;
    let (by_answer, lease) = sending(&house, "bl-4").await;
    let settled = answered(&house, &lease, nameless("9")).await;
    assert_eq!((settled.row, settled.batch.id.native.clone()), (by_answer.row, Some("9".into())));
    assert_eq!(native(&house, ours.row).await, format!("9~{}", ours.row.0));
}

pub(crate) async fn a_number_that_may_be_anothers_is_not_taken_from_it(house: House) {
    let ours = house.accepted(intent(), "7").await;
    let (open, lease) = ambiguous(&house, "bl-1").await;
    let taken = house.ledger.settle(&lease, Verdict::Accepted(Box::new(livy("7", Some("bl-1"), None)))).await;
    assert!(internal(taken).contains(&format!("row {}", ours.row.0)), "it was submitted here, and may run");
    let foreign = bound(&house, livy("8", None, Some("app-8"))).await;
    let (found, looked_up) = ambiguous(&house, "bl-2").await;
    let sighted = bound(&house, nameless("9")).await;
    let taken = house.ledger.settle(&looked_up, Verdict::Accepted(Box::new(livy("8", Some("bl-2"), None)))).await;
    assert!(internal(taken).contains(&format!("row {}", foreign.row.0)), "a look-up may find what was there before");
    for entry in [&open, &found] {
        let still = house.find(BatchRef::Uuid(entry.batch.id.uuid)).await.expect("it is there");
        assert!(still.phase.is_open() && still.batch.id.native.is_none());
    }
    assert_eq!([native(&house, ours.row).await, native(&house, foreign.row).await], ["7", "8"]);
    // What was seen only after the intent is its batch.
    let settled = answered(&house, &looked_up, livy("9", Some("bl-2"), None)).await;
    assert_eq!((settled.row, settled.batch.id.ordinal), (found.row, found.batch.id.ordinal));
    for ordinal in [9, sighted.batch.id.ordinal, found.batch.id.ordinal] {
        assert_eq!(of(&house, ordinal).await, Some(found.row));
    }
}

pub(crate) async fn a_job_seen_before_its_answer_is_shown_by_its_integer(house: House) {
    let (sent, lease) = sending(&house, "bl-1").await;
    let sighted = bound(&house, nameless("7")).await;
    let settled = answered(&house, &lease, livy("7", Some("bl-1"), None)).await;
    assert_eq!((settled.row, settled.batch.id.ordinal, sighted.batch.id.ordinal), (sent.row, 7, 7));
    for wanted in [BatchRef::Ordinal(1), BatchRef::Ordinal(7), BatchRef::Uuid(sighted.batch.id.uuid), text("7")] {
        let found = house.find(wanted.clone()).await.unwrap_or_else(|| panic!("{wanted} is lost"));
        assert_eq!((found.row, found.batch.id.ordinal), (sent.row, 7), "{wanted}");
    }
}

pub(crate) async fn a_name_may_find_what_is_not_ours(house: House) {
    let before = bound(&house, livy("1", Some("nightly"), None)).await;
    let other = house.accepted(named("nightly"), "2").await;
    let (ours, lease) = ambiguous(&house, "nightly").await;
    house.clock.go(Duration::from_secs(1));
    bound(&house, nameless("3")).await;
    let may_be = async |number: &str, app: Option<&str>| {
        let seen = livy(number, Some("nightly"), app);
        house.ledger.may_be_ours(ours.row, &seen).await.expect("the ledger answers")
    };
    assert!(!may_be("1", None).await, "it was there before");
    assert!(!may_be("2", None).await, "it is another submit's");
    assert!(may_be("3", None).await, "a walk saw it first");
    assert!(may_be("4", None).await);
    // The rows that have the numbers are of batches that are gone.
    let app = |row, app: &str| {
        let app = batchlingua_core::App { id: Some(app.into()), ..Default::default() };
        batchlingua_core::Observation { app, ..observation(row, BatchState::Running) }
    };
    house.observe(app(before.row, "app-1")).await;
    house.observe(app(other.row, "app-2")).await;
    assert!(!may_be("1", Some("app-1")).await && !may_be("2", Some("app-2")).await);
    assert!(may_be("1", Some("app-3")).await && may_be("2", Some("app-3")).await);
    let unique = NativeIdentity { ids: NativeIds::Unique, ..livy("2", Some("nightly"), Some("app-3")) };
    assert!(!house.ledger.may_be_ours(ours.row, &unique).await.expect("the ledger answers"));
    answered(&house, &lease, livy("4", Some("nightly"), None)).await;
    assert!(may_be("4", None).await, "it is");
    assert!(internal(house.ledger.may_be_ours(RowId(99), &nameless("1")).await).contains("no row"));
}

pub(crate) async fn a_row_gives_its_number_up_when_told(house: House) {
    let (entry, lease) = sending(&house, "bl-1").await;
    answered(&house, &lease, livy("7", Some("bl-1"), None)).await;
    let alike = bound(&house, nameless("8")).await;
    let (open, _) = house.intend(intent()).await;
    for row in [entry.row, entry.row, open.row, RowId(99)] {
        house.ledger.retire(row).await.expect("what is gone is gone");
    }
    let shown = format!("7~{}", entry.row.0);
    assert_eq!([native(&house, entry.row).await, native(&house, open.row).await], [shown.clone(), String::new()]);
    assert_eq!(native(&house, alike.row).await, format!("8~{}", alike.row.0), "nothing tells it from another");
    assert!(house.find(text("7")).await.is_none() && house.find(text(&shown)).await.is_some());
    let again = answered(&house, &lease, livy("7", Some("bl-1"), None)).await;
    assert_eq!((again.row, again.phase), (entry.row, Phase::Accepted), "the same verdict changes nothing");
    assert_eq!(native(&house, entry.row).await, shown);
    let cause = internal(house.ledger.settle(&lease, accepted("9", BatchState::Running)).await);
    assert!(cause.contains("cannot be 9 as well"), "{cause}");
    let fresh = bound(&house, livy("7", Some("bl-1"), None)).await;
    assert_ne!(fresh.row, entry.row, "whoever gave it up does not get it back");
    let unended = house.observe(observation(entry.row, BatchState::Unknown)).await;
    assert_eq!(unended.batch.state, BatchState::Unknown);
}

pub(crate) async fn a_uuid_that_is_taken_stands_in_nobodys_way(house: House) {
    let seen = nameless("7");
    let twin = House::new(Engine::Memory);
    let uuid = bound(&twin, seen.clone()).await.batch.id.uuid;
    // A client may choose any uuid for a batch of its own.
    let (theirs, _) = house.intend(stored_batch(uuid, 1)).await;
    let entry = bound(&house, seen).await;
    assert_ne!((entry.row, entry.batch.id.uuid), (theirs.row, uuid));
    let here: BackendName = backend("here");
    assert_eq!(entry.backend, here);
}
