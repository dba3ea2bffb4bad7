//! An answer that is lost on its way: the job is there, and nobody has been told. It is found again, and is one job.

use batchlingua_core::BatchState;
use batchlingua_testkit::conformance::Job;

use crate::{
    behaviours::{reached, shown, word},
    chains::{Chain, Platform},
    voices::VOICES,
};

pub(crate) async fn a_submit_whose_answer_is_lost_is_one_job(platform: &'static Platform) {
    if platform.begun_by.is_some() {
        // It cannot be told to run anything, which `behaviours` looks at.
        return;
    }
    let house = Chain::house(platform).await;
    let upstream = &house.chain.as_ref().expect("a chain").upstream;
    let memory = upstream.life().memory;
    for (jobs, submitter) in VOICES.into_iter().enumerate() {
        let Some(ask) = submitter.submit(&house.rig.spec(Job::Succeeds)) else { continue };
        let pair = format!("{} on {}", submitter.dialect(), platform.voice.dialect());
        upstream.lose_an_answer();
        let answer = house.ask(&ask).await;
        assert!([200, 201].contains(&answer.status), "{pair}: {answer:?}");
        assert_eq!(memory.jobs_created(), jobs as u64 + 1, "{pair}");
        let native = house.native(submitter.wanted(&submitter.submitted(&answer.json()))).await;
        house.rig.submitted(&native, Job::Succeeds).await;
        reached(&house, &native, BatchState::Succeeded).await;
        let id = house.ids(&native).await;
        for front in VOICES {
            let word = word(&house, front, BatchState::Succeeded);
            assert_eq!(shown(&house, front, &id).await, word, "{pair} shown by {}", front.dialect());
        }
    }
}
