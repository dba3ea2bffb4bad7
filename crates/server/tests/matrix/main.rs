//! Every front over every backend that a test can hold: what a client of each dialect must be able to rely on, whoever runs the batch and
//! whoever submitted it.
//!
//! A dialect joins by a voice (`voices`), a backend by a rig (`rigs`); the pairs follow. An adapter that has a dialect but no voice fails the
//! first test, so that none is forgotten. Everything is said and heard as HTTP, in process: what goes through a socket is tested elsewhere.

mod behaviours;
mod dli;
mod gateway;
mod house;
mod rigs;
mod voices;

use batchlingua::adapters::ADAPTERS;

use crate::{house::House, voices::VOICES};

#[test]
fn every_dialect_has_a_voice() {
    let dialects: Vec<&str> = ADAPTERS.iter().filter(|adapter| adapter.dialect.is_some()).map(|a| a.name).collect();
    let voices: Vec<&str> = VOICES.iter().map(|voice| voice.dialect()).collect();
    assert_eq!(voices, dialects);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_the_backend_in_memory() {
    behaviours::all(&House::over(rigs::memory())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_front_over_this_machine() {
    behaviours::all(&House::over(rigs::local().await)).await;
}

#[tokio::test]
async fn every_state_has_its_word() {
    behaviours::every_state_has_its_word().await;
}
