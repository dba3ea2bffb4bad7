//! A platform that comes back and has forgotten everything: what it counts it counts from 0 again. The ids that clients hold from before
//! are not the new batches: nobody is shown one for the other, and who ends an old one ends no new one.

use batchlingua_core::{BatchId, BatchState};
use batchlingua_testkit::conformance::Job;
use serde_json::json;

use crate::{
    behaviours::{begun_as, reached},
    chains::{Chain, Platform},
    house::{House, Wishes},
    voices::{VOICES, Voice},
};

async fn named(house: &House, submitter: &dyn Voice, name: Option<&str>) -> Option<BatchId> {
    let ask = submitter.submit(&house.rig.spec(Job::Runs))?;
    let ask = name.map_or(ask.clone(), |name| ask.with("name", json!(name)));
    let native = begun_as(house, submitter, Job::Runs, ask).await?;
    reached(house, &native, BatchState::Running).await;
    Some(house.ids(&native).await)
}

pub(crate) async fn an_old_id_is_not_a_new_batch(platform: &'static Platform) {
    for submitter in VOICES {
        for names in [["before", "after"].map(Some), [None, None]] {
            let house = Chain::house_without_kept_connections(platform, Wishes::default()).await;
            an_old_id_is_not_a_new_batch_of(&house, submitter, names).await;
        }
    }
}

async fn an_old_id_is_not_a_new_batch_of(house: &House, submitter: &dyn Voice, names: [Option<&str>; 2]) {
    let Some(old) = named(house, submitter, names[0]).await else { return };
    let chain = house.chain.as_ref().expect("a chain");
    let pair = format!("{} on {}, {names:?}", submitter.dialect(), chain.platform.voice.dialect());
    house.ask(&submitter.get(&submitter.called(&old))).await.json();
    chain.upstream.restart().await;
    let new = named(house, submitter, names[1]).await.expect("as before");
    assert_ne!((old.uuid, old.ordinal), (new.uuid, new.ordinal), "{pair}");
    if chain.platform.voice.dialect() == "livy" {
        assert_eq!(new.native, old.native, "{pair}: it counts anew, or this test shows nothing");
    }

    for front in VOICES {
        let answer = house.ask(&front.get(&front.called(&new))).await;
        assert_eq!(front.object(&answer.json()).0, front.called(&new), "{pair} by {}", front.dialect());
        assert_eq!(answer.header("batchlingua-stale"), None, "{pair} by {}", front.dialect());
        let answer = house.ask(&front.get(&front.called(&old))).await;
        // Lost, for all that anybody can say; not yet given up.
        assert_eq!(front.object(&answer.json()).0, front.called(&old), "{pair} by {}", front.dialect());
        assert!(answer.header("batchlingua-stale").is_some(), "{pair} by {}: {answer:?}", front.dialect());
        if let [Some(before), Some(after)] = names {
            let name = front.name(&answer.json());
            assert_ne!(name.as_deref(), Some(after), "{pair} by {}", front.dialect());
            assert_eq!(name.as_deref(), Some(before), "{pair} by {}", front.dialect());
        }
    }

    // Whatever is said of the end of the old one, the new one goes on.
    house.ask(&submitter.cancel(&submitter.called(&old))).await;
    for front in VOICES {
        let (_, state) = front.object(&house.ask(&front.get(&front.called(&new))).await.json());
        assert_eq!(state, front.word(BatchState::Running), "{pair} by {}", front.dialect());
        let listed = front.objects(&house.ask(&front.list()).await.json());
        let count = listed.iter().filter(|(id, _)| *id == front.called(&new)).count();
        assert_eq!(count, 1, "{pair} by {}: {listed:?}", front.dialect());
    }
    let native = new.native.clone().expect("it was accepted");
    house.rig.finish(&native).await;
    reached(house, &native, BatchState::Succeeded).await;
    for front in VOICES {
        let (_, state) = front.object(&house.ask(&front.get(&front.called(&new))).await.json());
        assert_eq!(state, front.word(BatchState::Succeeded), "{pair} by {}", front.dialect());
    }
}
