//! From the intent to its verdict.

use std::{collections::HashSet, sync::Arc, time::Duration};

use batchlingua_core::{
    App, BatchKind, BatchRef, BatchSpec, BatchState, ByHand, Claim, Conf, Error, ErrorKind, Extension, Fate, Field,
    Filter, Intended, Lease, Marker, Millis, Native, NewIntent, Overruled, Phase, Principal, RowId, Size, Times,
    Treatment, Uuid, Verdict, redact::MASK,
};

use crate::house::{
    Engine, House, START, accepted, called, fresh_uuid, holder, intent, internal, keyed, named, observation, scope,
    seen_batch, text, with_spec,
};

const MINUTE: Duration = Duration::from_secs(60);

fn refused(message: &str) -> Verdict {
    Verdict::Refused(Error::new(ErrorKind::BackendRejected, message))
}

pub(crate) async fn an_intent_can_be_found_before_it_is_sent_but_is_not_listed(house: House) {
    let marker = Marker { uuid: fresh_uuid(), name: Some("bl-1".into()) };
    let (entry, lease) =
        house.intend(NewIntent { marker: marker.clone(), project: Some("p".into()), ..named("n") }).await;
    assert_eq!((lease.fence, lease.until), (1, START.plus(MINUTE)));
    assert_eq!((entry.row, entry.phase, entry.marker.clone()), (lease.row, Phase::Intended, marker.clone()));
    assert_eq!(entry.batch.owner, Some(Principal { name: "ana".into(), verified: true }));
    assert_eq!(entry.batch.times, Times { created: START, modified: START, ..Times::default() });
    for wanted in [BatchRef::Uuid(marker.uuid), BatchRef::Ordinal(1), text(&marker.uuid.to_string())] {
        let found = house.find(wanted).await.expect("whoever knows the id can ask");
        assert_eq!((found.row, found.batch.state), (entry.row, BatchState::Queued));
        assert_eq!((found.marker, found.batch.project.clone()), (marker.clone(), Some("p".into())));
    }
    assert!(house.listed(Filter::default()).await.is_empty());
    assert!(house.find(called("n")).await.is_none());
}

/// What clients are shown by the platform's own object is what lists are ordered by.
pub(crate) async fn an_accepted_batch_was_created_when_its_platform_says(house: House) {
    let (first, first_lease) = house.intend(named("first")).await;
    let (second, second_lease) = house.intend(named("second")).await;
    let at = |native: &str, seconds: i64| {
        let created = Millis(START.0 + seconds * 1_000);
        Verdict::Accepted(Box::new(seen_batch(native, |batch| batch.times.created = created)))
    };
    house.ledger.settle(&first_lease, at("1", 2)).await.expect("settled");
    let settled = house.ledger.settle(&second_lease, at("2", 1)).await.expect("settled");
    assert_eq!(settled.batch.times.created, Millis(START.0 + 1_000));
    assert_eq!(house.listed(Filter::default()).await, [second.row, first.row]);
    let after = Filter { created_from: Some(Millis(START.0 + 2_000)), ..Filter::default() };
    assert_eq!(house.listed(after).await.len(), 1);
    let (silent, lease) = house.intend(named("silent")).await;
    let settled = house.ledger.settle(&lease, accepted("3", BatchState::Running)).await.expect("settled");
    assert_eq!(settled.batch.times.created, silent.batch.times.created);
}

pub(crate) async fn a_client_of_the_platforms_dialect_is_shown_the_platforms_uuid(house: House) {
    let seen = |number: u128, dialect: &str| {
        let uuid = Uuid::from_u128(number);
        let native = Native { dialect: dialect.into(), word: "running".into(), object: "{}".into(), status: None };
        let seen = seen_batch(&format!("p1/{uuid}"), |batch| batch.native = Some(native));
        (uuid, Verdict::Accepted(Box::new(seen)))
    };
    let same = intent().dialect.to_string();
    let mut known = Vec::new();
    for (number, dialect, is_told, is_shown) in
        [(101, same.as_str(), false, true), (102, "another", false, false), (103, same.as_str(), true, false)]
    {
        let (made, lease) = house.intend(intent()).await;
        house.ledger.may_send(&lease).await.expect("the lease is live");
        if is_told {
            house.settle(&lease, Verdict::Ambiguous).await;
        }
        let (native, accepted) = seen(number, dialect);
        let settled = house.settle(&lease, accepted).await;
        let shown = if is_shown { native } else { made.batch.id.uuid };
        assert_eq!(settled.batch.id.uuid, shown, "{number}");
        known.extend([native, made.batch.id.uuid].map(|uuid| (uuid, made.row, shown)));
    }
    // Each after the others, so that an engine that remembers one row has to read them.
    for (uuid, row, shown) in known {
        let found = house.find(BatchRef::Uuid(uuid)).await.expect("both are known");
        assert_eq!((found.row, found.batch.id.uuid), (row, shown), "{uuid}");
    }
}

pub(crate) async fn ordinals_count_up_and_are_never_given_twice(house: House) {
    for expected in 1..=3 {
        assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, expected);
    }
    assert_eq!(house.bind("there", seen_batch("9", |_| {})).await.map(|entry| entry.batch.id.ordinal), Some(4));
    assert!(house.find(BatchRef::Ordinal(5)).await.is_none());
}

pub(crate) async fn the_first_ordinal_may_be_nought(house: House) {
    drop(house);
    for engine in [Engine::Memory, Engine::Sqlite, Engine::Postgres] {
        let house = House::with(engine, |options| options.first_ordinal = 0);
        for expected in 0..=2 {
            assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, expected);
        }
        assert!(house.find(BatchRef::Ordinal(0)).await.is_some());
    }
}

pub(crate) async fn the_last_ordinal_is_the_last(house: House) {
    drop(house);
    for engine in [Engine::Memory, Engine::Sqlite, Engine::Postgres] {
        let house = House::with(engine, |options| options.first_ordinal = i32::MAX as u32);
        assert_eq!(house.intend(intent()).await.0.batch.id.ordinal, i32::MAX as u32);
        assert!(internal(house.ledger.intend(intent()).await).contains("used up"));
    }
}

pub(crate) async fn only_a_live_lease_may_send(house: House) {
    let (entry, lease) = house.intend(intent()).await;
    let phase = async || house.find(BatchRef::Ordinal(1)).await.map(|entry| entry.phase);
    let stranger = Lease { fence: 2, ..lease.clone() };
    assert!(internal(house.ledger.may_send(&stranger).await).contains("lost"));
    assert_eq!(phase().await, Some(Phase::Intended));
    house.ledger.may_send(&lease).await.expect("the lease is live");
    assert_eq!(phase().await, Some(Phase::Sending));
    house.clock.go(MINUTE - Duration::from_millis(1));
    house.ledger.may_send(&lease).await.expect("an idempotent backend may be sent to again");
    house.clock.go(Duration::from_millis(1));
    assert!(internal(house.ledger.may_send(&lease).await).contains("over"));
    house.settle(&lease, accepted("j", BatchState::Queued)).await;
    assert!(internal(house.ledger.may_send(&lease).await).contains("accepted"));
    let nowhere = Lease { row: RowId(entry.row.0 + 1), ..lease };
    assert!(internal(house.ledger.may_send(&nowhere).await).contains("no row"));
}

pub(crate) async fn an_accepted_submit_is_found_and_listed(house: House) {
    let (entry, lease) = house.intend(named("n")).await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    house.clock.go(MINUTE);
    let settled = house.settle(&lease, accepted("job-7", BatchState::Starting)).await;
    assert_eq!((settled.row, settled.phase), (entry.row, Phase::Accepted));
    assert_eq!(settled.batch.id.native.as_ref().map(|native| native.as_str()), Some("job-7"));
    assert_eq!((settled.batch.state, settled.batch.times.modified), (BatchState::Starting, START.plus(MINUTE)));
    assert_eq!(settled.batch.times.created, START);
    let uuid = entry.batch.id.uuid;
    for wanted in [BatchRef::Uuid(uuid), BatchRef::Ordinal(1), text("job-7"), called("n")] {
        let found = house.find(wanted.clone()).await.unwrap_or_else(|| panic!("{wanted} is not found"));
        assert_eq!((found.row, found.batch.state), (entry.row, BatchState::Starting));
    }
    assert_eq!(house.listed(Filter::default()).await, [entry.row]);
}

pub(crate) async fn a_verdict_given_twice_changes_nothing(house: House) {
    let (_, first) = house.intend(intent()).await;
    let (_, second) = house.intend(intent()).await;
    let (_, third) = house.intend(intent()).await;
    for _ in 0..2 {
        assert_eq!(house.settle(&first, accepted("a", BatchState::Queued)).await.phase, Phase::Accepted);
        assert_eq!(house.settle(&second, refused("no")).await.refusal.as_deref(), Some("no"));
        assert_eq!(house.settle(&third, Verdict::Failed("gone".into())).await.phase, Phase::Failed);
        house.clock.go(MINUTE);
    }
    let kept = house.find(BatchRef::Ordinal(1)).await.expect("the batch is there");
    assert_eq!(kept.batch.times.modified, START);
    let again = house.ledger.settle(&first, accepted("b", BatchState::Queued)).await;
    assert!(internal(again).contains("cannot be b as well"));
}

pub(crate) async fn an_accepted_submit_cannot_become_anything_else(house: House) {
    let (_, lease) = house.intend(intent()).await;
    house.settle(&lease, accepted("a", BatchState::Running)).await;
    for verdict in [refused("no"), Verdict::Ambiguous, Verdict::Failed("gone".into())] {
        assert!(internal(house.ledger.settle(&lease, verdict).await).contains("cannot become"));
    }
    let (_, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("gone".into())).await;
    assert!(internal(house.ledger.settle(&lease, accepted("b", BatchState::Running)).await).contains("cannot become"));
    assert_eq!(house.find(text("a")).await.map(|entry| entry.phase), Some(Phase::Accepted));
    assert!(house.find(text("b")).await.is_none());
}

pub(crate) async fn a_refused_submit_is_shown_to_nobody(house: House) {
    let (entry, lease) = house.intend(named("n")).await;
    house.find(BatchRef::Ordinal(1)).await.expect("it is open");
    house.clock.go(MINUTE);
    let settled = house.settle(&lease, refused("no such file; token=hunter2")).await;
    assert_eq!(settled.refusal, Some(format!("no such file; token={MASK}")));
    assert_eq!(settled.batch.times.ended, Some(START.plus(MINUTE)), "retention counts from here");
    let (failed, lease) = house.intend(intent()).await;
    house.settle(&lease, Verdict::Failed("never arrived".into())).await;
    for ids in [entry.batch.id.clone(), failed.batch.id.clone()] {
        assert!(house.find(BatchRef::Uuid(ids.uuid)).await.is_none());
        assert!(house.find(BatchRef::Ordinal(ids.ordinal)).await.is_none());
    }
    assert!(house.find(called("n")).await.is_none());
    assert!(house.listed(Filter::default()).await.is_empty());
}

pub(crate) async fn an_ambiguous_submit_may_still_end_any_way(house: House) {
    for verdict in [accepted("a", BatchState::Running), refused("a ghost"), Verdict::Failed("gone".into())] {
        let (entry, lease) = house.intend(intent()).await;
        house.ledger.may_send(&lease).await.expect("the lease is live");
        house.clock.go(2 * MINUTE);
        let ambiguous = house.settle(&lease, Verdict::Ambiguous).await;
        assert_eq!((ambiguous.phase, ambiguous.batch.times.ended), (Phase::Ambiguous, None));
        let found = house.find(BatchRef::Uuid(entry.batch.id.uuid)).await.expect("its id was told to the client");
        assert_eq!(found.batch.state, BatchState::Queued);
        assert!(!house.settle(&lease, verdict).await.phase.is_open());
    }
}

pub(crate) async fn a_person_may_say_how_an_ambiguous_submit_ended_and_has_the_last_word(house: House) {
    let says = async |row: RowId, said: ByHand| house.ledger.overrule(row, &said).await.expect("it is answered");
    let native = |id: &str| ByHand::Accepted(id.into());
    let (sent, sender) = house.intend(named("a")).await;
    for (phase, go_on) in [(Phase::Intended, true), (Phase::Sending, false)] {
        assert!(
            matches!(says(sent.row, ByHand::Failed).await, Overruled::NotAmbiguous(is) if is == phase),
            "{phase:?}"
        );
        if go_on {
            house.ledger.may_send(&sender).await.expect("a refusal takes nothing from who sends it");
        }
    }
    house.settle(&sender, Verdict::Ambiguous).await;
    // Another's job is not his to give away, one that a walk has seen since is.
    let other = house.accepted(intent(), "7").await;
    assert!(matches!(says(sent.row, native("7")).await, Overruled::Taken(row) if row == other.row));
    let foreign = house.bind("here", seen_batch("17", |_| {})).await.expect("a row");
    let Overruled::Done(done) = says(sent.row, native("17")).await else { panic!("it was ambiguous") };
    assert_eq!(
        (done.row, done.phase, done.batch.state),
        (sent.row, Phase::Accepted, BatchState::Running),
        "as was seen"
    );
    for id in [BatchRef::Uuid(sent.batch.id.uuid), BatchRef::Uuid(foreign.batch.id.uuid), text("17")] {
        assert_eq!(house.find(id).await.map(|entry| entry.row), Some(sent.row));
    }
    assert!(matches!(says(sent.row, ByHand::Failed).await, Overruled::NotAmbiguous(Phase::Accepted)));

    let (lost, sender) = house.intend(keyed("k", 1)).await;
    house.settle(&sender, Verdict::Ambiguous).await;
    assert!(matches!(says(lost.row, ByHand::Failed).await, Overruled::Done(now) if now.phase == Phase::Failed));
    let late = house.ledger.settle(&sender, accepted("18", BatchState::Running)).await;
    assert!(internal(late).contains("another holder has it"), "who looked for it meanwhile has nothing to say");
    assert!(house.ledger.claim(&holder("heir"), 9).await.expect("claims are answered").is_empty());
    let again = house.ledger.intend(keyed("k", 1)).await.expect("written");
    assert!(matches!(again, Intended::Fresh(..)), "its client may run it again");
    assert!(matches!(says(RowId(77), ByHand::Failed).await, Overruled::Gone));
}

pub(crate) async fn an_open_intent_is_taken_over_when_its_lease_is_over(house: House) {
    let (entry, old) = house.intend(intent()).await;
    house.ledger.may_send(&old).await.expect("the lease is live");
    let claim = async || house.ledger.claim(&holder("one"), 10).await.expect("claims are answered");
    assert!(claim().await.is_empty(), "its own sender is at it");
    house.clock.go(MINUTE);
    let claimed = claim().await;
    let [(taken, new)] = claimed.as_slice() else { panic!("one intent is open, not {}", claimed.len()) };
    assert_eq!((taken.row, taken.phase), (entry.row, Phase::Sending));
    assert_eq!((new.row, new.fence, new.until), (entry.row, 2, START.plus(2 * MINUTE)));
    assert!(claim().await.is_empty(), "the new lease counts");
    assert!(internal(house.ledger.may_send(&old).await).contains("another holder"));
    assert!(internal(house.ledger.settle(&old, refused("late")).await).contains("another holder"));
    house.ledger.may_send(new).await.expect("the new lease is live");
    house.settle(new, accepted("j", BatchState::Queued)).await;
    house.clock.go(2 * MINUTE);
    assert!(claim().await.is_empty(), "what is settled is nobody's");
}

pub(crate) async fn an_open_intent_of_a_past_life_is_taken_over_at_once(house: House) {
    let (_, settled) = house.intend(intent()).await;
    house.settle(&settled, accepted("j", BatchState::Queued)).await;
    let (_, ambiguous) = house.intend(intent()).await;
    house.settle(&ambiguous, Verdict::Ambiguous).await;
    let claim = Claim { holder: holder("two"), lease: 2 * MINUTE };
    house.intend(NewIntent { claim, ..intent() }).await;
    house.lose_senders();
    let claimed = house.ledger.claim(&holder("two"), 10).await.expect("claims are answered");
    let rows: Vec<_> = claimed.iter().map(|(entry, lease)| (entry.row, lease.fence, entry.phase)).collect();
    assert_eq!(rows, [(ambiguous.row, 2, Phase::Ambiguous)]);
}

pub(crate) async fn a_claim_takes_no_more_than_asked_and_the_oldest_first(house: House) {
    let mut rows = Vec::new();
    for _ in 0..5 {
        rows.push(house.intend(intent()).await.0.row);
    }
    house.lose_senders();
    for expected in [&rows[..2], &rows[2..4], &rows[4..]] {
        let claimed = house.ledger.claim(&holder("two"), 2).await.expect("claims are answered");
        assert_eq!(claimed.iter().map(|(entry, _)| entry.row).collect::<Vec<_>>(), expected);
    }
}

pub(crate) async fn an_id_that_was_made_must_be_new(house: House) {
    let first = intent();
    let again = NewIntent { marker: first.marker.clone(), ..intent() };
    house.intend(first).await;
    assert!(internal(house.ledger.intend(again).await).contains("another row"));
}

pub(crate) async fn one_job_cannot_have_two_rows(house: House) {
    let older = house.bind("here", seen_batch("17", |_| {})).await.expect("a row is made");
    let (entry, lease) = house.intend(intent()).await;
    let cause = internal(house.ledger.settle(&lease, accepted("17", BatchState::Queued)).await);
    assert!(
        cause.contains(&format!("row {}", older.row.0)) && cause.contains(&format!("row {}", entry.row.0)),
        "{cause}"
    );
    let ours = house.accepted(intent(), "18").await;
    let cause = internal(house.ledger.settle(&lease, accepted("18", BatchState::Queued)).await);
    assert!(cause.contains(&format!("row {}", ours.row.0)), "{cause}");
    let open = house.find(BatchRef::Uuid(entry.batch.id.uuid)).await.expect("the intent is still open");
    assert!(open.phase.is_open() && open.batch.id.native.is_none());
    // The same id on another backend is another job.
    let elsewhere = house.accepted(NewIntent { backend: "there".into(), ..intent() }, "17").await;
    assert_ne!(elsewhere.row, older.row);
}

pub(crate) async fn a_job_seen_before_its_answer_keeps_all_its_ids(house: House) {
    let (entry, lease) = house.intend(intent()).await;
    let sighted = house.bind("here", seen_batch("17", |batch| batch.state = BatchState::Starting)).await;
    let sighted = sighted.expect("the walk cannot know whose it is");
    house.observe(observation(sighted.row, BatchState::Running)).await;
    house.ledger.ask_cancel(&[sighted.row]).await.expect("the wish is taken");
    house.ledger.hide(&[sighted.row], &"kylin".into()).await.expect("rows can be hidden");
    assert_eq!(house.find(text("17")).await.map(|entry| entry.row), Some(sighted.row));

    let settled = house.settle(&lease, accepted("17", BatchState::Queued)).await;
    assert_eq!(settled.row, entry.row);
    assert_eq!(settled.batch.state, BatchState::Running, "somebody has seen it run");
    assert!(settled.batch.cancel_asked, "and somebody wants its end");
    let ids = [entry.batch.id.uuid, sighted.batch.id.uuid].map(BatchRef::Uuid);
    let ordinals = [entry.batch.id.ordinal, sighted.batch.id.ordinal].map(BatchRef::Ordinal);
    for wanted in ids.into_iter().chain(ordinals).chain([text("17")]) {
        let found = house.find(wanted.clone()).await.unwrap_or_else(|| panic!("{wanted} is lost"));
        assert_eq!(found.row, entry.row, "{wanted}");
        assert!(house.find_in(wanted, &scope("kylin")).await.is_none());
    }
    assert_eq!(house.listed(Filter::default()).await, [entry.row]);
    assert_eq!(
        house.ledger.observe(&[observation(sighted.row, BatchState::Failed)]).await.map(|rows| rows.len()).ok(),
        Some(0)
    );
}

pub(crate) async fn what_the_backend_said_with_its_answer_is_kept(house: House) {
    let (_, lease) = house.intend(intent()).await;
    house.clock.go(MINUTE);
    let told = seen_batch("17", |batch| {
        batch.state = BatchState::Failed;
        batch.diagnostic = Some("no such class".into());
        batch.app = App { id: Some("application_1".into()), ..App::default() };
        batch.times.started = Some(START.plus(Duration::from_secs(1)));
    });
    let settled = house.settle(&lease, Verdict::Accepted(Box::new(told))).await;
    assert_eq!((settled.batch.state, settled.batch.diagnostic.as_deref()), (BatchState::Failed, Some("no such class")));
    assert_eq!(settled.batch.app.id.as_deref(), Some("application_1"));
    assert_eq!(settled.batch.times.started, Some(START.plus(Duration::from_secs(1))));
    assert_eq!(settled.batch.times.ended, Some(START.plus(MINUTE)));
}

pub(crate) async fn a_spec_loses_its_secrets_and_nothing_else(house: House) {
    let texts = |prefix: &str| vec![format!("{prefix}1"), format!("{prefix}2")];
    let pairs = [("z.last", "1"), ("spark.some.password", "hunter2"), ("a.first", "ü")];
    let spec = BatchSpec {
        kind: BatchKind::Python,
        file: Some("a.py".into()),
        class_name: Some("A".into()),
        args: texts("arg"),
        jars: texts("jar"),
        py_files: texts("py"),
        files: texts("file"),
        archives: texts("archive"),
        driver: Size { memory: Some("1g".into()), cores: Some(1) },
        executor: Size { memory: Some("2g".into()), cores: Some(2) },
        executors: Some(3),
        queue: Some("q".into()),
        name: Some("n".into()),
        conf: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Conf>(),
        run_as: Some("bob".into()),
        extensions: vec![Extension { dialect: "dli".into(), name: "tags".into(), value: "[1.0]".into() }],
    };
    let fate = |field, treatment| Fate { field, part: None, treatment };
    let unmapped =
        vec![fate(Field::Queue, Treatment::NotCarried("there are none".into())), fate(Field::File, Treatment::Carried)];
    let (written, _) = house.intend(NewIntent { spec: Arc::new(spec.clone()), unmapped, ..intent() }).await;
    house.intend(intent()).await;
    let mut expected = spec;
    expected.conf.set("spark.some.password", MASK);
    for entry in [written, house.find(BatchRef::Ordinal(1)).await.expect("it is there")] {
        assert_eq!(*entry.batch.spec, expected);
        assert_eq!(*entry.unmapped, ["queue"]);
    }
    let args = with_spec(|spec| spec.args = vec!["--password".into(), "hunter2".into()]);
    assert_eq!(house.intend(args).await.0.batch.spec.args[1], MASK);
}

pub(crate) async fn a_thousand_submits_at_once_are_all_there(house: House) {
    let submits: Vec<_> = (0..1000)
        .map(|_| {
            let ledger = house.ledger.clone();
            tokio::spawn(async move { ledger.intend(intent()).await })
        })
        .collect();
    let (mut ordinals, mut rows) = (HashSet::new(), HashSet::new());
    for submit in submits {
        match submit.await.expect("no task panics").expect("the ledger takes intents") {
            Intended::Fresh(entry, lease) => {
                rows.insert(lease.row);
                let id = &entry.batch.id;
                ordinals.insert(id.ordinal);
                let found = house.find(BatchRef::Uuid(id.uuid)).await.expect("what was answered is there");
                assert_eq!((found.row, found.batch.id.ordinal), (lease.row, id.ordinal));
            }
            other => panic!("not fresh but {other:?}"),
        }
    }
    assert_eq!((rows.len(), ordinals.len()), (1000, 1000));
    assert_eq!(ordinals.into_iter().max(), Some(1000));
}
