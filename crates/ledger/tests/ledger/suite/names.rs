//! Names, unique where a dialect wants it, and found by.

use std::time::Duration;

use batchlingua_core::{BatchState, Error, ErrorKind, Intended, Millis, NewIntent, Scope, Times, Verdict};

use crate::house::{House, START, accepted, called, named, observation, scope, seen_batch};

const MINUTE: Duration = Duration::from_secs(60);

fn unique(name: &str, ended_from: Millis) -> NewIntent {
    NewIntent { unique_name: Some(ended_from), ..named(name) }
}

/// The ordinal that was lost, if the name was taken.
async fn taken(house: &House, new: NewIntent) -> Option<u32> {
    match house.ledger.intend(new).await.expect("the ledger answers") {
        Intended::NameTaken { ordinal } => Some(ordinal),
        Intended::Fresh(..) => None,
        other => panic!("neither taken nor fresh but {other:?}"),
    }
}

pub(crate) async fn a_name_is_taken_while_its_batch_is_listed(house: House) {
    let entry = house.accepted(unique("n", START), "j").await;
    assert_eq!(taken(&house, unique("n", START)).await, Some(2));
    house.clock.go(MINUTE);
    house.observe(observation(entry.row, BatchState::Succeeded)).await;
    let end = START.plus(MINUTE);
    assert_eq!(taken(&house, unique("n", end)).await, Some(3), "it ended just then and is still listed");
    let (next, _) = house.intend(unique("n", end.plus(Duration::from_millis(1)))).await;
    assert_eq!(next.batch.id.ordinal, 4, "the lost integers stay lost");
    house.intend(named("n")).await;
    house.intend(unique("other", START)).await;
}

pub(crate) async fn a_name_is_taken_by_an_open_intent_and_free_after_a_refusal(house: House) {
    let no = || Verdict::Refused(Error::new(ErrorKind::BackendRejected, "no"));
    for verdict in [no(), Verdict::Failed("gone".into())] {
        let (_, lease) = house.intend(unique("n", START)).await;
        assert!(taken(&house, unique("n", START)).await.is_some());
        house.ledger.may_send(&lease).await.expect("the lease is live");
        assert!(taken(&house, unique("n", START)).await.is_some());
        house.settle(&lease, Verdict::Ambiguous).await;
        assert!(taken(&house, unique("n", START)).await.is_some());
        house.settle(&lease, verdict).await;
    }
    house.intend(unique("n", START)).await;
}

pub(crate) async fn a_name_is_free_where_the_dialect_does_not_list_it(house: House) {
    house.accepted(NewIntent { dialect: "kylin".into(), ..named("theirs") }, "a").await;
    house.intend(unique("theirs", START)).await;
    let hidden = house.accepted(named("deleted"), "b").await;
    house.ledger.hide(&[hidden.row], &"kylin".into()).await.expect("rows can be hidden");
    assert!(taken(&house, unique("deleted", START)).await.is_some());
    house.ledger.hide(&[hidden.row], &"livy".into()).await.expect("rows can be hidden");
    house.intend(unique("deleted", START)).await;
}

pub(crate) async fn a_foreign_batch_holds_its_name(house: House) {
    let seen = seen_batch("17", |batch| batch.spec = named("n").spec);
    house.bind("here", seen).await.expect("a row is made");
    assert!(taken(&house, unique("n", START)).await.is_some());
}

pub(crate) async fn of_sixty_submits_of_one_name_one_is_taken(house: House) {
    let submits: Vec<_> = (0..60)
        .map(|_| {
            let ledger = house.ledger.clone();
            tokio::spawn(async move { ledger.intend(unique("n", START)).await })
        })
        .collect();
    let (mut fresh, mut lost) = (Vec::new(), Vec::new());
    for submit in submits {
        match submit.await.expect("no task panics").expect("the ledger answers") {
            Intended::Fresh(entry, _) => fresh.push(entry.batch.id.ordinal),
            Intended::NameTaken { ordinal } => lost.push(ordinal),
            other => panic!("neither taken nor fresh but {other:?}"),
        }
    }
    assert_eq!((fresh.len(), lost.len()), (1, 59));
    lost.extend(fresh);
    lost.sort_unstable();
    assert_eq!(lost, (1..=60).collect::<Vec<_>>());
}

pub(crate) async fn a_name_finds_the_newest_listed_batch(house: House) {
    let first = house.accepted(named("n"), "a").await;
    house.clock.go(MINUTE);
    let second = house.accepted(named("n"), "b").await;
    let (_, open) = house.intend(named("n")).await;
    let found = async |scope: &Scope| house.find_in(called("n"), scope).await.map(|entry| entry.row);
    assert_eq!(found(&scope("livy")).await, Some(second.row));
    let ended = observation(second.row, BatchState::Succeeded);
    house
        .observe(batchlingua_core::Observation { times: Times { ended: Some(START), ..Times::default() }, ..ended })
        .await;
    let recent = Scope { ended_from: Some(START.plus(MINUTE)), ..scope("livy") };
    assert_eq!(found(&recent).await, Some(first.row), "the newer one has left the lists");
    assert_eq!(found(&scope("livy")).await, Some(second.row));
    house.ledger.hide(&[second.row], &"livy".into()).await.expect("rows can be hidden");
    assert_eq!(found(&scope("livy")).await, Some(first.row));
    house.settle(&open, accepted("c", BatchState::Queued)).await;
    assert_eq!(found(&scope("livy")).await, Some(open.row));
    assert_eq!(found(&Scope { backends: Some(vec!["there".into()]), ..scope("livy") }).await, None);
    assert!(house.find(called("m")).await.is_none());
}
