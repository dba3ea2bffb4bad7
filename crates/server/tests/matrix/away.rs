//! A platform that is away: its batches are shown as they were last seen, for a while, and the client is told how old that is; then it is
//! told that nobody can say, in its own words. Nothing is made up and nothing made meanwhile.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{BatchState, Clock, SystemClock};
use batchlingua_router::Limits;
use batchlingua_testkit::{ManualClock, conformance::Job};

use crate::{
    behaviours::{begun, reached, shown, word},
    chains::{Chain, Platform},
    house::Wishes,
    voices::VOICES,
};

pub(crate) async fn what_is_away_is_shown_as_last_seen_and_then_not_at_all(platform: &'static Platform) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let limits = Limits::default();
    let stale_for = limits.stale_for;
    let house =
        Chain::house_without_kept_connections(platform, Wishes { clock: clock.clone(), limits, ..Wishes::default() })
            .await;
    let chain = house.chain.as_ref().expect("a chain");
    let kind = platform.voice.dialect();
    let mut batches = Vec::new();
    for submitter in VOICES {
        let Some(native) = begun(&house, submitter, Job::Runs).await else { continue };
        reached(&house, &native, BatchState::Running).await;
        let id = house.ids(&native).await;
        shown(&house, submitter, &id).await;
        batches.push((native, id));
    }
    let jobs = chain.upstream.life().memory.jobs_created();
    chain.upstream.go_away().await;

    clock.advance(Duration::from_secs(30));
    for front in VOICES {
        for (_, id) in &batches {
            let answer = house.ask(&front.get(&front.called(id))).await;
            let pair = format!("{kind} shown by {}", front.dialect());
            assert_eq!(front.object(&answer.json()).1, word(&house, front, BatchState::Running), "{pair}");
            let stale: u64 = answer.header("batchlingua-stale").expect(&pair).parse().expect("seconds");
            assert!((30..60).contains(&stale), "{pair}: {stale}");
        }
        // A page is older then, and no error.
        let listed = front.objects(&house.ask(&front.list()).await.json());
        for (_, id) in &batches {
            assert!(listed.iter().any(|(own, _)| *own == front.called(id)), "{kind} listed by {}", front.dialect());
        }
        if let Some(ask) = front.submit(&house.rig.spec(Job::Succeeds))
            && house.rig.backend().capabilities().submit
        {
            let answer = house.ask(&ask).await;
            assert_eq!(answer.status, front.unavailable(), "{kind} by {}: {answer:?}", front.dialect());
        }
    }

    clock.advance(stale_for);
    for front in VOICES {
        for (_, id) in &batches {
            let answer = house.ask(&front.get(&front.called(id))).await;
            let pair = format!("{kind} asked by {}", front.dialect());
            assert_eq!(answer.status, front.unavailable(), "{pair}: {answer:?}");
            assert!(answer.text().contains("here"), "the backend is named: {pair}: {answer:?}");
        }
    }

    chain.upstream.come_back().await;
    for (native, id) in &batches {
        house.rig.finish(native).await;
        reached(&house, native, BatchState::Succeeded).await;
        for front in VOICES {
            let answer = house.ask(&front.get(&front.called(id))).await;
            let pair = format!("{kind} shown by {}", front.dialect());
            assert_eq!(front.object(&answer.json()).1, word(&house, front, BatchState::Succeeded), "{pair}");
            assert_eq!(answer.header("batchlingua-stale"), None, "{pair}");
        }
    }
    assert_eq!(chain.upstream.life().memory.jobs_created(), jobs, "{kind}: a refused submit has made a job");
}
