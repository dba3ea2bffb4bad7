//! Every front over every backend: what a client of each dialect must be able to rely on, whoever runs the batch and whoever submitted it.
//!
//! A dialect joins by a voice (`voices`), a backend by a rig (`rigs`), a platform that is reached by HTTP by a chain (`chains`); the pairs
//! follow. An adapter that has a dialect but no voice, or a platform but no chain, fails the first tests, so that none is forgotten. What
//! clients say is said in process: what goes through a client's socket is tested elsewhere.

mod away;
mod behaviours;
mod chains;
mod dli_lists;
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
    chains::{Chain, PLATFORMS, Platform},
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

#[tokio::test]
async fn every_state_has_its_word() {
    behaviours::every_state_has_its_word().await;
}

/// Every front over one platform, each behaviour a test of its own.
macro_rules! over {
    ($name:ident) => {
        mod $name {
            use super::*;

            pub(crate) fn platform() -> &'static Platform {
                PLATFORMS.iter().find(|platform| platform.voice.dialect() == stringify!($name)).expect("it is there")
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn every_front() {
                behaviours::all(&Chain::house(platform()).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn every_state_has_its_word() {
                behaviours::every_state_has_its_word_through(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_away_is_shown_as_last_seen_and_then_not_at_all() {
                away::what_is_away_is_shown_as_last_seen_and_then_not_at_all(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn an_old_id_is_not_a_new_batch() {
                restarted::an_old_id_is_not_a_new_batch(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn ids_that_clients_hold_mean_what_they_meant() {
                first_day::ids_that_clients_hold_mean_what_they_meant(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn members_and_words_of_later_versions_stay_as_they_are() {
                kept::members_and_words_of_later_versions_stay_as_they_are(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_platforms_refusal_is_told_as_it_is() {
                kept::a_platforms_refusal_is_told_as_it_is(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_submit_whose_answer_is_lost_is_one_job() {
                lost::a_submit_whose_answer_is_lost_is_one_job(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_lost_is_told() {
                unmapped::what_is_lost_is_told(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_goes_along_has_come() {
                unmapped::what_goes_along_has_come(platform()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn files_go_along_to_a_kyuubi_and_are_refused_elsewhere() {
                uploads::files_go_along_to_a_kyuubi_and_are_refused_elsewhere(platform()).await;
            }
        }
    };
}

over!(kyuubi);
over!(livy);
over!(dli);
over!(kylin);

/// Livy's clients may ask by a name where others ask by an id.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_livys_clients_hold_means_what_it_meant() {
    first_day::a_name_that_livys_clients_hold_means_what_it_meant(livy::platform()).await;
}
