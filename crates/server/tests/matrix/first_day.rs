//! The first day of a proxy that was put in front of a running platform: every id that the platform's clients hold goes on to mean what it
//! meant, before the proxy has seen any of the batches.

use batchlingua_core::BatchState;
use batchlingua_testkit::conformance::{Job, Rig};
use serde_json::json;

use crate::{
    behaviours::reached,
    chains::{Chain, Platform},
    house::{Ask, Wishes},
    voices::VOICES,
};

pub(crate) async fn ids_that_clients_hold_mean_what_they_meant(platform: &'static Platform) {
    let chain = Chain::begin(platform).await;
    let voice = platform.voice;
    let kind = voice.dialect();
    let mut held = Vec::new();
    for submitter in
        VOICES.into_iter().filter(|submitter| platform.begun_by.is_none_or(|by| by.dialect() == submitter.dialect()))
    {
        let spec = chain.spec(Job::Runs);
        let Some(ask) = submitter.submit(&spec) else { continue };
        let ask = ask.with("name", json!(format!("of {}", submitter.dialect())));
        held.push(chain.begun_past(submitter, &ask).await);
    }
    assert!(!held.is_empty());
    for native in &held {
        chain.submitted(native, Job::Runs).await;
    }

    let house = chain.clone().near(Wishes::default());
    let mut listed = voice.objects(&house.ask(&voice.list()).await.json());
    listed.retain(|(id, _)| held.iter().any(|native| native.as_str() == id));
    assert_eq!(listed.len(), held.len(), "{kind}: {listed:?}");

    // Another, which nobody has seen in a list.
    let house = chain.clone().near(Wishes::default());
    for native in &held {
        let shown = house.ask(&voice.get(native.as_str())).await.json();
        assert_eq!(voice.object(&shown), (native.to_string(), voice.word(BatchState::Running).to_owned()), "{kind}");
        assert!(voice.name(&shown).is_some_and(|name| name.starts_with("of ")), "{kind}: {shown}");
        let id = house.ids(native).await;
        assert_eq!(voice.called(&id), native.as_str(), "{kind}: its clients' id is its id");
        for front in VOICES {
            let (own, _) = front.object(&house.ask(&front.get(&front.called(&id))).await.json());
            assert_eq!(own, front.called(&id), "{kind} by {}", front.dialect());
        }
    }
    let first = &held[0];
    assert_eq!(house.ask(&voice.log(first.as_str())).await.status, 200, "{kind}");
    assert_eq!(house.ask(&voice.cancel(first.as_str())).await.status, 200, "{kind}");
    reached(&house, first, BatchState::Cancelled).await;
}

/// Livy's clients may ask by a name where others ask by an id.
pub(crate) async fn a_name_that_livys_clients_hold_means_what_it_meant(livy: &'static Platform) {
    let chain = Chain::begin(livy).await;
    let spec = chain.spec(Job::Runs);
    let ask = livy.voice.submit(&spec).expect("Livy submits").with("name", json!("nightly"));
    let native = chain.begun_past(livy.voice, &ask).await;
    let house = chain.near(Wishes::default());
    let shown = house.ask(&Ask::get("/batches/nightly")).await.json();
    assert_eq!(livy.voice.object(&shown).0, native.as_str());
    assert_eq!(shown["name"], "nightly");
}
