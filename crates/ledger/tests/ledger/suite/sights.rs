//! What is seen on the backends, and what clients ask of batches that run.

use std::time::Duration;

use batchlingua_core::{
    App, BatchRef, BatchState, Entry, Filter, KeptLog, Marker, Millis, NativeIdentity, NewIntent, Observation, Phase,
    Revival, RowId, Scope, Times, Uuid, Verdict, redact::MASK,
};

use crate::house::{
    Engine, House, START, accepted, backend, intent, named, observation, scope, seen, seen_batch, stored_batch, text,
};

const MINUTE: Duration = Duration::from_secs(60);
const FOREIGN: &str = "7d5fca3c-6f3f-4c0b-8a52-0242ac130003";

fn standing(entry: &Entry) -> (u32, BatchState) {
    (entry.batch.attempt, entry.batch.state)
}

pub(crate) async fn an_unknown_batch_is_bound_only_where_asked(house: House) {
    let ours = house.accepted(intent(), "ours").await;
    let told = |native: &str, foreign| NativeIdentity { foreign, ..seen(native, BatchState::Running) };
    assert_eq!(house.bind("here", told("ours", false)).await.map(|entry| entry.row), Some(ours.row));
    assert!(house.bind("here", told("17", false)).await.is_none());
    let made = house.bind("here", told("17", true)).await.expect("a row is made");
    assert_eq!((made.phase, made.dialect.clone(), made.batch.owner.clone()), (Phase::Accepted, None, None));
    assert_eq!(made.batch.times, Times { created: START, modified: START, ..Times::default() });
    let again = [told("18", false), told("17", true), told("ours", true), told("19", true)];
    let bound = house.ledger.bind(&backend("here"), &again).await.expect("the ledger binds");
    let rows: Vec<_> = bound
        .iter()
        .map(|bound| match bound {
            batchlingua_core::Bound::Row(entry) => Some(entry.row.0),
            batchlingua_core::Bound::None => None,
        })
        .collect();
    assert_eq!(rows, [None, Some(made.row.0), Some(ours.row.0), Some(made.row.0 + 1)], "one answer for each, in order");
    assert_eq!(house.listed(Filter::default()).await.len(), 3);
}

pub(crate) async fn a_foreign_batch_keeps_its_uuid_or_gets_one_that_everybody_makes(house: House) {
    let told = seen_batch(FOREIGN, |batch| {
        batch.state = BatchState::Succeeded;
        batch.times =
            Times { created: Millis(5), started: Some(Millis(6)), ended: Some(Millis(7)), modified: Millis(8) };
        batch.diagnostic = Some("token=hunter2".into());
        batch.project = Some("p".into());
        let spec = crate::house::with_spec(|spec| spec.conf.set("some.secret", "hunter2")).spec;
        batch.spec = spec;
    });
    let uuid = house.bind("here", told).await.expect("a row is made");
    assert_eq!(uuid.batch.id.uuid.to_string(), FOREIGN);
    assert_eq!(uuid.batch.spec.conf.get("some.secret"), Some(MASK));
    assert_eq!(uuid.batch.diagnostic, Some(format!("token={MASK}")));
    assert_eq!(uuid.batch.times.created, Millis(5));
    assert_eq!((uuid.batch.times.ended, uuid.batch.project.clone()), (Some(Millis(7)), Some("p".into())));

    let integer = house.bind("here", seen("17", BatchState::Running)).await.expect("a row is made");
    let other = House::new(Engine::Memory);
    let replica = other.bind("here", seen("17", BatchState::Running)).await.expect("a row is made");
    assert_eq!(integer.batch.id.uuid, replica.batch.id.uuid, "replicas agree");
    assert_eq!(integer.batch.id.uuid.get_version_num(), 5);
    let id = &integer.batch.id;
    for wanted in [BatchRef::Uuid(id.uuid), BatchRef::Ordinal(id.ordinal), text("17"), text(&id.uuid.to_string())] {
        assert_eq!(house.find(wanted).await.map(|entry| entry.row), Some(integer.row));
    }
}

pub(crate) async fn the_same_id_on_two_backends_is_two_batches(house: House) {
    for native in ["17", FOREIGN] {
        let here = house.bind("here", seen(native, BatchState::Running)).await.expect("a row is made");
        assert_eq!(house.find(text(native)).await.map(|entry| entry.row), Some(here.row));
        let there = house.bind("there", seen(native, BatchState::Failed)).await.expect("a row is made");
        assert_ne!((here.row, here.batch.id.uuid), (there.row, there.batch.id.uuid));
        assert_eq!(house.find(text(native)).await.map(|entry| entry.row), Some(there.row), "the newer");
        let only = |name: &str| Scope { backends: Some(vec![backend(name)]), ..scope("livy") };
        assert_eq!(house.find_in(text(native), &only("here")).await.map(|entry| entry.row), Some(here.row));
        assert_eq!(house.find_in(text(native), &only("there")).await.map(|entry| entry.row), Some(there.row));
        assert_eq!(house.bind("here", seen(native, BatchState::Running)).await.map(|e| e.row), Some(here.row));
    }
}

pub(crate) async fn since_when_a_batch_is_missed_is_kept_until_it_is_seen(house: House) {
    let row = house.accepted(named("a"), "7").await;
    let miss = async || house.ledger.miss(row.row).await.expect("written").and_then(|row| row.missing);
    let told = house.observe(observation(row.row, BatchState::Running)).await;
    assert_eq!(told.missing, None);
    house.clock.go(MINUTE);
    let since = Some(START.plus(MINUTE));
    assert_eq!(miss().await, since);
    house.clock.go(MINUTE);
    assert_eq!(miss().await, since, "once, however often it is missed");
    assert_eq!(house.find(text("7")).await.and_then(|row| row.missing), since);
    let seen = house.observe(observation(row.row, BatchState::Running)).await;
    assert_eq!((seen.missing, seen.batch.times), (None, told.batch.times), "it has not changed");
    house.clock.go(MINUTE);
    assert_eq!(miss().await, Some(START.plus(3 * MINUTE)), "another time");
    let ended = house.observe(observation(row.row, BatchState::Succeeded)).await;
    assert_eq!((ended.missing, miss().await), (None, None), "what has ended is not waited for");
    let (open, _) = house.intend(intent()).await;
    let unmissed = house.ledger.miss(open.row).await.expect("answered").expect("it is there");
    assert_eq!(unmissed.missing, None, "nobody has seen it yet");
    assert!(house.ledger.miss(RowId(77)).await.expect("answered").is_none());
}

pub(crate) async fn our_own_job_is_not_bound_before_its_submit_is_settled(house: House) {
    let (entry, lease) = house.intend(intent()).await;
    let native = entry.batch.id.uuid.to_string();
    house.ledger.may_send(&lease).await.expect("the lease is live");
    assert!(house.bind("here", seen(&native, BatchState::Running)).await.is_none(), "by its uuid");
    let elsewhere = house.bind("there", seen(&native, BatchState::Running)).await.expect("that is no job of ours");
    assert_ne!(elsewhere.batch.id.uuid, entry.batch.id.uuid);
    let marker = Marker { name: Some("bl-7".into()), ..intent().marker };
    let (_, by_name) = house.intend(NewIntent { marker, ..intent() }).await;
    let named = || seen_batch("17", |batch| batch.spec = crate::house::named("bl-7").spec);
    assert!(house.bind("here", named()).await.is_none(), "by its name");
    house.bind("there", named()).await.expect("that is no job of ours");
    let settled = house.settle(&by_name, accepted("17", BatchState::Running)).await;
    assert_eq!(house.bind("here", named()).await.map(|entry| entry.row), Some(settled.row));
    let settled = house.settle(&lease, accepted(&native, BatchState::Running)).await;
    assert_eq!(settled.row, entry.row);
    assert_eq!(house.bind("here", seen(&native, BatchState::Running)).await.map(|e| e.row), Some(entry.row));
}

pub(crate) async fn our_own_job_is_known_by_its_mark_whatever_its_id(house: House) {
    let (entry, lease) = house.intend(intent()).await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    let marked = |native: &str, by: &Entry| {
        let mark = Some(by.marker.uuid);
        seen_batch(native, |batch| batch.mark = mark)
    };
    assert!(house.bind("here", marked(FOREIGN, &entry)).await.is_none(), "its submit will say whose it is");
    assert!(house.find(text(FOREIGN)).await.is_none(), "so nobody is shown an id that goes again");
    let elsewhere = house.bind("there", marked(FOREIGN, &entry)).await.expect("that is no job of ours");
    assert_ne!(elsewhere.row, entry.row);
    let settled = house.settle(&lease, Verdict::Accepted(Box::new(marked(FOREIGN, &entry)))).await;
    assert_eq!(settled.batch.id.ordinal, entry.batch.id.ordinal);
    assert_eq!(house.bind("here", marked(FOREIGN, &entry)).await.map(|entry| entry.row), Some(entry.row));
    // Somebody has sent its request again as it stands there, mark and all.
    let copy = house.bind("here", marked("copy", &entry)).await.expect("another job");
    assert_ne!((copy.row, copy.batch.id.ordinal), (entry.row, entry.batch.id.ordinal));

    let (given_up, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("never arrived".into())).await;
    let found = house.bind("here", marked("late", &given_up)).await.expect("it runs after all");
    assert_eq!((found.row, found.phase), (given_up.row, Phase::Accepted));
    let (refused, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Refused(batchlingua_core::Error::invalid("file", "no such file"))).await;
    assert!(house.bind("here", marked("ghost", &refused)).await.is_none(), "what a refused submit left is no batch");
}

pub(crate) async fn our_own_job_is_known_by_the_name_that_was_sent_in_place_of_one_that_was_taken(house: House) {
    let marker = Marker { name: Some("nightly".into()), ..intent().marker };
    let (entry, lease) = house.intend(NewIntent { marker, ..intent() }).await;
    let second = entry.marker.second_name().expect("it has a name");
    let called = |native: &str, name: &str| seen_batch(native, |batch| batch.spec = crate::house::named(name).spec);
    assert!(house.bind("here", called("5", &second)).await.is_none());
    for (native, name) in [("6", "nightly-deadbee"), ("7", "nightly-DEADBEEF"), ("8", "daily-deadbeef")] {
        house.bind("here", called(native, name)).await.expect("another's");
    }
    let settled = house.settle(&lease, Verdict::Accepted(Box::new(called("5", &second)))).await;
    assert_eq!(house.bind("here", called("5", &second)).await.map(|entry| entry.row), Some(settled.row));
    house.bind("here", called("9", "nightly-deadbeef")).await.expect("no submit is open now");
}

pub(crate) async fn a_submit_that_was_given_up_and_runs_is_taken_back(house: House) {
    let (entry, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("never arrived".into())).await;
    let native = entry.batch.id.uuid.to_string();
    let found = house.bind("here", seen(&native, BatchState::Running)).await.expect("it runs after all");
    assert_eq!((found.row, found.phase, found.refusal.clone()), (entry.row, Phase::Accepted, None));
    assert_eq!((found.batch.state, found.batch.times.ended), (BatchState::Running, None));
    assert_eq!(house.find(BatchRef::Ordinal(1)).await.map(|entry| entry.row), Some(entry.row));

    let uuid = crate::house::fresh_uuid();
    let (_, lease) = house.intend(stored_batch(uuid, 1)).await;
    let no = batchlingua_core::Error::new(batchlingua_core::ErrorKind::BackendRejected, "no");
    house.settle(&lease, Verdict::Refused(no)).await;
    let ghost = house.bind("here", seen(&uuid.to_string(), BatchState::Failed)).await;
    assert!(ghost.is_none(), "what a refused submit left behind is no batch");
}

pub(crate) async fn a_native_uuid_finds_the_batch_as_well(house: House) {
    let entry = house.accepted(intent(), FOREIGN).await;
    assert_ne!(entry.batch.id.uuid.to_string(), FOREIGN);
    let uuid = Uuid::try_parse(FOREIGN).expect("it is one");
    for wanted in [BatchRef::Uuid(uuid), BatchRef::Uuid(entry.batch.id.uuid), text(FOREIGN)] {
        assert_eq!(house.find(wanted).await.map(|entry| entry.row), Some(entry.row));
    }
}

pub(crate) async fn a_state_never_goes_backwards(house: House) {
    let entry = house.accepted(intent(), "j").await;
    for (told, shown) in [
        (BatchState::Running, BatchState::Running),
        (BatchState::Starting, BatchState::Running),
        (BatchState::Failed, BatchState::Failed),
        (BatchState::Running, BatchState::Failed),
        (BatchState::Succeeded, BatchState::Failed),
        (BatchState::Unknown, BatchState::Failed),
    ] {
        assert_eq!(standing(&house.observe(observation(entry.row, told)).await), (1, shown), "{told} was told");
        let found = house.find(BatchRef::Ordinal(1)).await.expect("it is there");
        assert_eq!(standing(&found), (1, shown));
    }
}

pub(crate) async fn a_sight_that_says_nothing_new_changes_nothing(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let told = Observation {
        app: App { url: Some("http://h/?token=hunter2".into()), ..App::default() },
        diagnostic: Some("password=hunter2".into()),
        ..observation(entry.row, BatchState::Running)
    };
    let first = house.observe(told.clone()).await;
    assert_eq!(first.batch.app.url, Some(format!("http://h/?token={MASK}")));
    assert_eq!(first.batch.times.started, Some(START));
    house.clock.go(MINUTE);
    let times = Times { started: Some(Millis(1)), modified: Millis(2), ..Times::default() };
    for again in [told.clone(), Observation { times, ..told.clone() }, observation(entry.row, BatchState::Queued)] {
        assert_eq!(house.observe(again).await.batch.times, first.batch.times, "not even the time");
    }
    let more = Observation { diagnostic: Some("else".into()), ..told };
    assert_eq!(house.observe(more).await.batch.times.modified, START.plus(MINUTE));
}

pub(crate) async fn unknown_is_left_when_the_batch_is_seen_again(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let gone = Observation { diagnostic: Some("gone".into()), ..observation(entry.row, BatchState::Unknown) };
    let gone = house.observe(gone).await;
    assert_eq!((gone.batch.state, gone.batch.times.ended), (BatchState::Unknown, Some(START)));
    house.clock.go(MINUTE);
    let back = house.observe(observation(entry.row, BatchState::Running)).await;
    assert_eq!((standing(&back), back.batch.times.ended), ((1, BatchState::Running), None));
    assert_eq!(back.batch.diagnostic, None, "it was not gone");
    house.clock.go(MINUTE);
    house.observe(observation(entry.row, BatchState::Unknown)).await;
    house.clock.go(MINUTE);
    let ended = house.observe(observation(entry.row, BatchState::Succeeded)).await;
    assert_eq!(ended.batch.times.ended, Some(START.plus(3 * MINUTE)), "that is when the end was seen");
}

pub(crate) async fn a_new_attempt_starts_over(house: House) {
    let entry = house.accepted(intent(), "j").await;
    house.observe(observation(entry.row, BatchState::Running)).await;
    let failed = Observation { diagnostic: Some("no memory".into()), ..observation(entry.row, BatchState::Failed) };
    house.observe(failed).await;
    house.clock.go(MINUTE);
    let again = Observation { revival: Revival::AfterFailure, ..observation(entry.row, BatchState::Queued) };
    let queued = house.observe(again).await;
    assert_eq!(standing(&queued), (2, BatchState::Queued));
    assert_eq!((queued.batch.times.started, queued.batch.times.ended), (None, None));
    assert_eq!(queued.batch.diagnostic, None);
    let late = Observation {
        attempt: Some(1),
        app: App { id: Some("old".into()), ..App::default() },
        ..observation(entry.row, BatchState::Failed)
    };
    let same = house.observe(late).await;
    assert_eq!(
        (standing(&same), same.batch.app.id.clone()),
        ((2, BatchState::Queued), None),
        "an older attempt is over"
    );
    let counted = Observation { attempt: Some(5), ..observation(entry.row, BatchState::Running) };
    assert_eq!(standing(&house.observe(counted).await), (5, BatchState::Running));
}

pub(crate) async fn times_are_kept_as_they_were_first_told(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let told = |state, started, ended| Observation {
        times: Times { created: Millis(9), started, ended, modified: Millis(9) },
        ..observation(entry.row, state)
    };
    let times = async |told| house.observe(told).await.batch.times;
    let at = |seconds| Some(START.plus(Duration::from_secs(seconds)));
    assert_eq!(
        times(told(BatchState::Starting, None, at(1))).await.ended,
        None,
        "an end is no end before it is the state"
    );
    assert_eq!(times(told(BatchState::Running, at(2), None)).await.started, at(2));
    assert_eq!(times(told(BatchState::Running, at(3), None)).await.started, at(2));
    // A backend may reckon anew with the end, from another clock or another file: what was shown stays.
    let ended = times(told(BatchState::Succeeded, at(3), at(10))).await;
    assert_eq!((ended.created, ended.started, ended.ended, ended.modified), (START, at(2), at(10), START));
    assert_eq!(times(told(BatchState::Succeeded, at(2), at(11))).await.ended, at(10));
    // One that ran before it was first seen began when its backend says, not when it was seen.
    let foreign = house.bind("here", seen("17", BatchState::Running)).await.expect("a row is made");
    house.clock.go(MINUTE);
    assert_eq!(house.observe(observation(foreign.row, BatchState::Running)).await.batch.times, foreign.batch.times);
    let told = Observation { row: foreign.row, ..told(BatchState::Running, at(4), None) };
    let known = house.observe(told).await.batch.times;
    assert_eq!((known.started, known.modified), (at(4), START.plus(MINUTE)));
    // A batch that nobody saw running has no time at which it began.
    let entry = house.accepted(intent(), "k").await;
    assert_eq!(house.observe(observation(entry.row, BatchState::Failed)).await.batch.times.started, None);
}

pub(crate) async fn a_late_sight_has_no_say_in_the_reason(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let told = |state, why: &str| Observation { diagnostic: Some(why.into()), ..observation(entry.row, state) };
    house.observe(told(BatchState::Failed, "no memory")).await;
    let late = house.observe(told(BatchState::Running, "all is well")).await;
    assert_eq!(late.batch.diagnostic.as_deref(), Some("no memory"));
    assert_eq!(house.observe(told(BatchState::Failed, "no heap")).await.batch.diagnostic.as_deref(), Some("no heap"));
    let silent = house.observe(observation(entry.row, BatchState::Failed)).await;
    assert_eq!(silent.batch.diagnostic.as_deref(), Some("no heap"));
}

pub(crate) async fn an_application_is_learned_bit_by_bit(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let app = |id: Option<&str>, url: Option<&str>, driver: Option<&str>| App {
        id: id.map(str::to_owned),
        url: url.map(str::to_owned),
        driver_log_url: driver.map(str::to_owned),
    };
    let mut shown = App::default();
    for told in [
        app(Some("a1"), None, None),
        app(None, Some("u1"), None),
        app(None, None, Some("d1")),
        app(Some("a2"), Some("u1"), None),
    ] {
        shown = house
            .observe(Observation { app: told, ..observation(entry.row, BatchState::Queued) })
            .await
            .batch
            .app
            .clone();
    }
    assert_eq!(shown, app(Some("a2"), Some("u1"), Some("d1")));
}

pub(crate) async fn rows_come_back_in_the_order_given_without_those_that_are_gone(house: House) {
    let mut rows = Vec::new();
    for native in ["a", "b", "c"] {
        rows.push(house.accepted(intent(), native).await.row);
    }
    let told = [
        observation(rows[2], BatchState::Running),
        observation(RowId(99), BatchState::Running),
        observation(rows[0], BatchState::Queued),
        observation(rows[1], BatchState::Failed),
    ];
    let shown = house.ledger.observe(&told).await.expect("the ledger observes");
    let shown: Vec<_> = shown.iter().map(|entry| (entry.row, entry.batch.state)).collect();
    let expected = [(rows[2], BatchState::Running), (rows[0], BatchState::Queued), (rows[1], BatchState::Failed)];
    assert_eq!(shown, expected);
    let asked = house.ledger.ask_cancel(&[rows[2], RowId(99), rows[1]]).await.expect("wishes are taken");
    let asked: Vec<_> = asked.iter().map(|entry| (entry.row, entry.batch.cancel_asked)).collect();
    assert_eq!(asked, [(rows[2], true), (rows[1], false)], "an ended one has nothing to be asked");
    house.ledger.hide(&[RowId(99)], &"livy".into()).await.expect("what is gone is hidden");
}

pub(crate) async fn only_accepted_batches_are_observed(house: House) {
    let (entry, _) = house.intend(intent()).await;
    let shown = house.observe(observation(entry.row, BatchState::Running)).await;
    assert_eq!((shown.phase, shown.batch.state), (Phase::Intended, BatchState::Queued));
}

pub(crate) async fn a_log_is_kept_and_replaced(house: House) {
    let entry = house.accepted(intent(), "j").await;
    let kept = async || house.ledger.kept_log(entry.row).await.expect("logs are read");
    assert_eq!(kept().await, None);
    let log = |from, lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        KeptLog { from, total: from + lines.len() as u64, lines }
    };
    let told = |log| Observation { log: Some(log), ..observation(entry.row, BatchState::Queued) };
    for given in [log(0, &["", "two", ""]), log(7, &[]), log(0, &[""])] {
        house.observe(told(given.clone())).await;
        assert_eq!(kept().await, Some(given));
    }
    house.observe(told(log(3, &["all is well", "password=hunter2"]))).await;
    assert_eq!(kept().await, Some(log(3, &["all is well", &format!("password={MASK}")])));
}

pub(crate) async fn a_cancel_is_remembered_until_the_end_is_seen(house: House) {
    let first = house.accepted(intent(), "a").await;
    let second = house.accepted(intent(), "b").await;
    let (open, lease) = house.intend(intent()).await;
    let unended = async |limit| {
        let rows = house.ledger.unended_cancels(limit).await.expect("they are read");
        rows.iter().map(|entry| entry.row).collect::<Vec<_>>()
    };
    assert!(unended(9).await.is_empty());
    house.clock.go(MINUTE);
    let asked = house.ledger.ask_cancel(&[second.row, first.row, open.row]).await.expect("wishes are taken");
    assert_eq!(asked.iter().map(|entry| entry.row).collect::<Vec<_>>(), [second.row, first.row, open.row]);
    assert!(asked.iter().all(|entry| entry.batch.cancel_asked && entry.batch.times.modified == START.plus(MINUTE)));
    assert_eq!(unended(9).await, [first.row, second.row], "an open intent cannot be cancelled yet");
    assert_eq!(unended(1).await, [first.row]);
    house.clock.go(MINUTE);
    let again = house.ledger.ask_cancel(&[first.row]).await.expect("wishes are taken");
    assert_eq!(again[0].batch.times.modified, START.plus(MINUTE));
    house.observe(observation(first.row, BatchState::Cancelled)).await;
    assert_eq!(unended(9).await, [second.row]);
    house.settle(&lease, accepted("c", BatchState::Running)).await;
    assert_eq!(unended(9).await, [second.row, open.row]);
    house.observe(observation(second.row, BatchState::Unknown)).await;
    assert_eq!(unended(9).await, [open.row]);
    house.observe(observation(second.row, BatchState::Running)).await;
    assert_eq!(unended(9).await, [second.row, open.row], "its end was not seen after all");
}

pub(crate) async fn a_cancel_does_not_reach_a_later_attempt(house: House) {
    let entry = house.accepted(intent(), "j").await;
    house.ledger.ask_cancel(&[entry.row]).await.expect("wishes are taken");
    house.observe(observation(entry.row, BatchState::Paused)).await;
    let resumed = house.observe(observation(entry.row, BatchState::Running)).await;
    assert!(resumed.batch.cancel_asked && resumed.batch.attempt == 2, "its end is still wanted");
    house.observe(observation(entry.row, BatchState::Failed)).await;
    let again = Observation { revival: Revival::AfterFailure, ..observation(entry.row, BatchState::Running) };
    let again = house.observe(again).await;
    assert!(!again.batch.cancel_asked && again.batch.attempt == 3, "somebody began it again");
}
