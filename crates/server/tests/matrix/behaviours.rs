//! What holds for every pair of a front and a backend, and for every two fronts over one.

use std::sync::Arc;

use batchlingua_core::{BatchId, BatchState, NativeId, StateSet, SystemClock};
use batchlingua_testkit::{MemoryBackend, conformance::Job};

use crate::{
    house::House,
    rigs,
    voices::{VOICES, Voice},
};

const LINES: u32 = 25;

/// Everything, front by front.
pub(crate) async fn all(house: &House) {
    for front in VOICES {
        an_unknown_id_is_not_found(house, front).await;
        for submitter in VOICES {
            a_batch_is_followed_to_its_end(house, submitter, front).await;
            a_failure_reads_as_failed(house, submitter, front).await;
            a_log_is_whole_and_in_order(house, submitter, front).await;
            a_cancelled_batch_reads_as_cancelled(house, submitter, front).await;
        }
    }
    every_front_lists_every_batch(house).await;
}

/// A batch that the submitter's client has begun. None: its dialect cannot submit.
async fn begun(house: &House, submitter: &dyn Voice, job: Job) -> Option<NativeId> {
    let ask = submitter.submit(&house.rig.spec(job))?;
    let answer = house.ask(&ask).await;
    assert!([200, 201].contains(&answer.status), "{}: {answer:?}", submitter.dialect());
    let id = submitter.submitted(&answer.json());
    let native = house.native(submitter.wanted(&id)).await;
    house.rig.submitted(&native, job).await;
    Some(native)
}

async fn reached(house: &House, native: &NativeId, state: BatchState) {
    house.rig.reached(native, StateSet::from_iter([state])).await;
}

/// What a front shows of a batch.
async fn shown(house: &House, front: &dyn Voice, id: &BatchId) -> String {
    let id = front.called(id);
    let (own, state) = front.object(&house.ask(&front.get(&id)).await.json());
    assert_eq!(own, id, "{}", front.dialect());
    state
}

async fn an_unknown_id_is_not_found(house: &House, front: &dyn Voice) {
    let (ask, status) = front.unknown();
    let answer = house.ask(&ask).await;
    assert_eq!(answer.status, status, "{}: {answer:?}", front.dialect());
    assert!(answer.headers.contains_key("x-request-id"), "{}: {answer:?}", front.dialect());
}

async fn a_batch_is_followed_to_its_end(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Runs).await else { return };
    let pair = format!("{} shown by {}", submitter.dialect(), front.dialect());
    let id = house.ids(&native).await;
    reached(house, &native, BatchState::Running).await;
    assert_eq!(shown(house, front, &id).await, front.word(BatchState::Running), "{pair}");
    house.rig.finish(&native).await;
    reached(house, &native, BatchState::Succeeded).await;
    assert_eq!(shown(house, front, &id).await, front.word(BatchState::Succeeded), "{pair}");
}

async fn a_failure_reads_as_failed(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Fails).await else { return };
    let id = house.ids(&native).await;
    reached(house, &native, BatchState::Failed).await;
    assert_eq!(shown(house, front, &id).await, front.word(BatchState::Failed), "{}", front.dialect());
}

async fn a_log_is_whole_and_in_order(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Prints(LINES)).await else { return };
    let id = front.called(&house.ids(&native).await);
    reached(house, &native, BatchState::Succeeded).await;
    let lines = front.lines(&house.ask(&front.log(&id)).await);
    // Some products write lines of their own around the job's.
    let of_the_job: Vec<&String> = lines.iter().filter(|line| line.starts_with("line ")).collect();
    let wanted: Vec<String> = (0..LINES).map(|at| format!("line {at}")).collect();
    assert_eq!(of_the_job, wanted.iter().collect::<Vec<_>>(), "{} by {}", submitter.dialect(), front.dialect());
}

async fn a_cancelled_batch_reads_as_cancelled(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Runs).await else { return };
    let id = house.ids(&native).await;
    reached(house, &native, BatchState::Running).await;
    let answer = house.ask(&front.cancel(&front.called(&id))).await;
    let pair = format!("{} cancelled by {}", submitter.dialect(), front.dialect());
    assert_eq!(answer.status, 200, "{pair}: {answer:?}");
    reached(house, &native, BatchState::Cancelled).await;
    for other in VOICES {
        if other.dialect() == front.dialect() && front.cancel_forgets() {
            let again = house.ask(&front.get(&front.called(&id))).await;
            assert_eq!(again.status, front.unknown().1, "{pair}: {again:?}");
        } else {
            let word = other.word(BatchState::Cancelled);
            assert_eq!(shown(house, other, &id).await, word, "{pair}, shown by {}", other.dialect());
        }
    }
}

/// Whoever submitted them; a front that forgets what it has cancelled has been tried above.
async fn every_front_lists_every_batch(house: &House) {
    let mut begun_by_each = Vec::new();
    for submitter in VOICES {
        if let Some(native) = begun(house, submitter, Job::Succeeds).await {
            reached(house, &native, BatchState::Succeeded).await;
            // A list may be as old as the last walk; whoever asks for the one batch is shown it as it is, and so are all after him.
            shown(house, submitter, &house.ids(&native).await).await;
            begun_by_each.push(native);
        }
    }
    for front in VOICES {
        let listed = front.objects(&house.ask(&front.list()).await.json());
        for native in &begun_by_each {
            let row = (front.called(&house.ids(native).await), front.word(BatchState::Succeeded).to_owned());
            assert!(listed.contains(&row), "{}: {row:?} is not in {listed:?}", front.dialect());
        }
    }
}

/// The table of the design, whatever a real backend can be brought to.
pub(crate) async fn every_state_has_its_word() {
    let backend = Arc::new(MemoryBackend::new("here", Arc::new(SystemClock)));
    let house = House::over(rigs::still(backend.clone()));
    for state in BatchState::ALL {
        let native = begun(&house, VOICES[0], Job::Runs).await.expect("Kyuubi submits");
        let id = house.ids(&native).await;
        if state == BatchState::Paused {
            // Kyuubi has no word for it and keeps the one that it showed last.
            backend.advance(&native, BatchState::Running);
            shown(&house, VOICES[0], &id).await;
        }
        backend.advance(&native, state);
        for front in VOICES {
            assert_eq!(shown(&house, front, &id).await, front.word(state), "{state} by {}", front.dialect());
        }
    }
}
