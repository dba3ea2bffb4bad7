//! A client's own key: the same submit twice is one submit.

use batchlingua_core::{
    BatchRef, BatchState, Error, ErrorKind, Intended, KeyClaim, Millis, NewIntent, Phase, Principal, Replay, Verdict,
};

use crate::house::{House, accepted, fresh_uuid, keyed, named, stored_batch};

fn refused() -> Verdict {
    Verdict::Refused(Error::new(ErrorKind::BackendRejected, "no such file"))
}

fn by(name: &str, new: NewIntent) -> NewIntent {
    NewIntent { principal: Principal::unverified(name), ..new }
}

async fn again(house: &House, new: NewIntent) -> Intended {
    house.ledger.intend(new).await.expect("the ledger answers")
}

pub(crate) async fn the_same_key_finds_the_first_submit(house: House) {
    let (entry, lease) = house.intend(keyed("k", 1)).await;
    let in_flight = async || match again(&house, keyed("k", 1)).await {
        Intended::InFlight(found) => assert_eq!(found.row, entry.row),
        other => panic!("not in flight but {other:?}"),
    };
    in_flight().await;
    house.ledger.may_send(&lease).await.expect("the lease is live");
    in_flight().await;
    house.settle(&lease, Verdict::Ambiguous).await;
    in_flight().await;
    assert!(matches!(again(&house, keyed("k", 2)).await, Intended::KeyReused));
    let (next, _) = house.intend(keyed("other", 1)).await;
    assert_eq!(next.batch.id.ordinal, 2, "a replay takes no ordinal");
}

pub(crate) async fn a_name_means_the_batch_that_lives_under_it(house: House) {
    let etl = |dialect: &str| NewIntent {
        key: Some(KeyClaim { value: "etl".into(), replay: Replay::LiveName, fingerprint: [0; 32] }),
        dialect: dialect.into(),
        ..named("etl")
    };
    let means = async |new: NewIntent| match again(&house, new).await {
        Intended::InFlight(found) => (false, found.row),
        Intended::Answered(found) => (true, found.row),
        other => panic!("not found but {other:?}"),
    };
    let (first, lease) = house.intend(etl("livy")).await;
    assert_eq!(means(etl("kyuubi")).await, (false, first.row), "whichever dialect it came by");
    house.settle(&lease, accepted("j-1", BatchState::Running)).await;
    let other_words = NewIntent { unique_name: Some(Millis(0)), ..etl("livy") };
    assert_eq!(means(other_words).await, (true, first.row), "before its name is found taken");
    let (bobs, _) = house.intend(by("bob", etl("livy"))).await;
    assert_ne!(bobs.row, first.row, "another user's batch is another");

    house.ledger.ask_cancel(&[first.row]).await.expect("written");
    let (second, lease) = house.intend(etl("livy")).await;
    assert_ne!(second.row, first.row, "one that is to end is not what is asked for");
    house.settle(&lease, accepted("j-2", BatchState::Failed)).await;
    let (third, lease) = house.intend(etl("livy")).await;
    assert_ne!(third.row, second.row, "what has ended is over");
    house.settle(&lease, Verdict::Failed("never arrived".into())).await;
    let (fourth, _) = house.intend(etl("livy")).await;
    assert_ne!(fourth.row, third.row, "nor does one live that never ran");
}

pub(crate) async fn a_key_answers_what_was_answered_first(house: House) {
    let (_, lease) = house.intend(keyed("good", 1)).await;
    house.settle(&lease, accepted("j", BatchState::Running)).await;
    match again(&house, keyed("good", 1)).await {
        Intended::Answered(found) => assert_eq!((found.row, found.batch.state), (lease.row, BatchState::Running)),
        other => panic!("not answered but {other:?}"),
    }
    let (_, lease) = house.intend(keyed("bad", 1)).await;
    house.settle(&lease, refused()).await;
    match again(&house, keyed("bad", 1)).await {
        Intended::Answered(found) => assert_eq!(found.refusal.as_deref(), Some("no such file")),
        other => panic!("not answered but {other:?}"),
    }
    for key in ["good", "bad"] {
        assert!(matches!(again(&house, keyed(key, 2)).await, Intended::KeyReused));
    }
}

pub(crate) async fn a_failed_submit_leaves_its_key_free(house: House) {
    let (first, lease) = house.intend(keyed("k", 1)).await;
    house.settle(&lease, Verdict::Failed("never arrived".into())).await;
    let (second, _) = house.intend(keyed("k", 2)).await;
    assert_ne!(second.row, first.row);
    match again(&house, keyed("k", 2)).await {
        Intended::InFlight(found) => assert_eq!(found.row, second.row, "the key is the new row's"),
        other => panic!("not in flight but {other:?}"),
    }
}

pub(crate) async fn a_key_is_its_principals_and_its_dialects(house: House) {
    let (first, _) = house.intend(keyed("k", 1)).await;
    let (second, _) = house.intend(by("bob", keyed("k", 2))).await;
    let (third, _) = house.intend(NewIntent { dialect: "kylin".into(), ..keyed("k", 3) }).await;
    assert!(first.row < second.row && second.row < third.row);
}

pub(crate) async fn a_stored_batch_is_found_by_its_id_whatever_the_request(house: House) {
    let uuid = fresh_uuid();
    let (entry, lease) = house.intend(stored_batch(uuid, 1)).await;
    assert!(matches!(again(&house, stored_batch(uuid, 2)).await, Intended::InFlight(found) if found.row == entry.row));
    house.settle(&lease, accepted(&uuid.to_string(), BatchState::Running)).await;
    match again(&house, stored_batch(uuid, 3)).await {
        Intended::Answered(found) => assert_eq!((found.row, found.batch.state), (entry.row, BatchState::Running)),
        other => panic!("not answered but {other:?}"),
    }
    let foreign = crate::house::seen_batch("7d5fca3c-6f3f-4c0b-8a52-0242ac130003", |batch| {
        batch.owner = Some(Principal::unverified("ana"));
    });
    let foreign = house.bind("here", foreign).await.expect("a row is made");
    let again = again(&house, stored_batch(foreign.batch.id.uuid, 1)).await;
    assert!(
        matches!(again, Intended::Answered(found) if found.row == foreign.row),
        "submitted past the proxy, by the same user"
    );
}

pub(crate) async fn another_principals_batch_id_is_refused(house: House) {
    let uuid = fresh_uuid();
    let (_, lease) = house.intend(stored_batch(uuid, 1)).await;
    let others = async || assert!(matches!(again(&house, by("bob", stored_batch(uuid, 1))).await, Intended::NotYours));
    others().await;
    house.settle(&lease, accepted(&uuid.to_string(), BatchState::Running)).await;
    others().await;
    let foreign = crate::house::seen("7d5fca3c-6f3f-4c0b-8a52-0242ac130003", BatchState::Running);
    let foreign = house.bind("here", foreign).await.expect("a row is made");
    let nobodys = again(&house, stored_batch(foreign.batch.id.uuid, 1)).await;
    assert!(matches!(nobodys, Intended::NotYours), "nobody knows whose it is");
}

pub(crate) async fn a_refused_batch_leaves_its_id_to_the_retry(house: House) {
    let uuid = fresh_uuid();
    let mut rows = Vec::new();
    for verdict in [refused(), Verdict::Failed("never arrived".into()), accepted("j", BatchState::Running)] {
        let (entry, lease) = house.intend(stored_batch(uuid, 1)).await;
        rows.push(entry.row);
        house.settle(&lease, verdict).await;
    }
    let found = house.find(BatchRef::Uuid(uuid)).await.expect("the last one runs");
    assert_eq!((found.row, found.phase), (rows[2], Phase::Accepted));
    assert!(house.find(BatchRef::Ordinal(1)).await.is_none());
}

pub(crate) async fn a_key_is_looked_at_before_the_name(house: House) {
    let unique = || {
        let mut new = keyed("k", 1);
        new.spec = crate::house::named("n").spec;
        NewIntent { unique_name: Some(crate::house::START), ..new }
    };
    let (entry, _) = house.intend(unique()).await;
    assert!(matches!(again(&house, unique()).await, Intended::InFlight(found) if found.row == entry.row));
}
