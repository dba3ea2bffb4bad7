//! Every front over every backend: what a client of each dialect must be able to rely on, whoever runs the batch and whoever submitted it.
//!
//! A dialect joins by a voice (`voices`), a backend by a rig (`rigs`), a platform that is reached by HTTP by a chain (`chains`); the pairs
//! follow. An adapter that has a dialect but no voice, or a platform but no chain, fails the first tests, so that none is forgotten. What
//! clients say is said in process: what goes through a client's socket is tested elsewhere.

mod away;
mod behaviours;
mod chains;
mod dli;
mod first_day;
mod gateway;
mod house;
mod kept;
mod lost;
mod restarted;
mod rigs;
mod unmapped;
mod uploads;
mod upstream;
mod voices;

use batchlingua::adapters::ADAPTERS;

use crate::{
    chains::{Chain, PLATFORMS},
    house::House,
    voices::VOICES,
};

#[test]
fn every_dialect_has_a_voice() {
    let dialects: Vec<&str> = ADAPTERS.iter().filter(|adapter| adapter.dialect.is_some()).map(|a| a.name).collect();
    let voices: Vec<&str> = VOICES.iter().map(|voice| voice.dialect()).collect();
    assert_eq!(voices, dialects);
}

#[test]
fn every_platform_is_reached() {
    let platforms: Vec<&str> = ADAPTERS.iter().filter(|adapter| adapter.platform.is_some()).map(|a| a.name).collect();
    let chains = PLATFORMS.iter().map(|platform| platform.voice.dialect());
    assert_eq!(platforms, chains.chain(["local"]).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_the_backend_in_memory() {
    behaviours::all(&House::over(rigs::memory())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_this_machine() {
    behaviours::all(&House::over(rigs::local().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_kyuubi() {
    behaviours::all(&Chain::house(&PLATFORMS[0]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_livy() {
    behaviours::all(&Chain::house(&PLATFORMS[1]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_dli() {
    behaviours::all(&Chain::house(&PLATFORMS[2]).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_kylin() {
    behaviours::all(&Chain::house(&PLATFORMS[3]).await).await;
}

#[tokio::test]
async fn every_state_has_its_word() {
    behaviours::every_state_has_its_word().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_has_its_word_through_every_platform() {
    for platform in &PLATFORMS {
        let house = Chain::house(platform).await;
        let chain = house.chain.clone().expect("a chain");
        behaviours::every_state_has_its_word_over(&house, |id, state| {
            let chain = chain.clone();
            async move { chain.upstream.life().memory.advance(&chain.innermost(&id).await, state) }
        })
        .await;
    }
}
