//! A job's states: in order, and an end is an end.

use batchlingua_core::{BatchState, Detail, ErrorKind, Missing};
use futures_util::StreamExt;

use super::{Job, Rig, ended, get, running, submit};

pub(super) async fn all(rig: &dyn Rig) {
    a_success_reads_as_succeeded(rig).await;
    a_failure_reads_as_failed(rig).await;
    an_end_stays(rig).await;
    a_state_never_goes_backwards(rig).await;
    an_unknown_id_is_not_found(rig).await;
}

/// And says when it did what.
pub async fn a_success_reads_as_succeeded(rig: &dyn Rig) {
    let job = submit(rig, Job::Succeeds).await;
    let batch = ended(rig, job.id()).await;
    assert_eq!(batch.state, BatchState::Succeeded);
    let times = batch.times;
    if !rig.tells_times() {
        return;
    }
    let end = times.ended.expect("an ended job says when it ended");
    let start = times.started.unwrap_or(times.created);
    assert!(times.created <= start && start <= end, "the times are in order: {times:?}");
}

/// And not as cancelled or unknown.
pub async fn a_failure_reads_as_failed(rig: &dyn Rig) {
    let job = submit(rig, Job::Fails).await;
    let batch = ended(rig, job.id()).await;
    assert_eq!(batch.state, BatchState::Failed);
    assert!(batch.times.ended.is_some() || !rig.tells_times(), "an ended job says when it ended");
}

/// Whoever asks later sees the same end with the same times.
pub async fn an_end_stays(rig: &dyn Rig) {
    for kind in [Job::Succeeds, Job::Fails] {
        let job = submit(rig, kind).await;
        let end = ended(rig, job.id()).await;
        for detail in [Detail::State, Detail::Summary, Detail::Steps] {
            let again = get(rig, job.id(), detail).await.expect("an ended job is still there");
            assert_eq!((again.state, again.attempt), (end.state, end.attempt));
            assert_eq!(again.times.ended, end.times.ended, "it ends once");
        }
    }
}

/// Neither by asking nor by being told.
pub async fn a_state_never_goes_backwards(rig: &dyn Rig) {
    let changes = rig.backend().changes();
    let job = submit(rig, Job::Runs).await;
    let mut seen = vec![job.batch.state];
    seen.push(running(rig, job.id()).await.state);
    rig.finish(job.id()).await;
    seen.push(ended(rig, job.id()).await.state);
    seen.push(get(rig, job.id(), Detail::State).await.expect("an ended job is still there").state);
    assert_in_order(&seen);

    let Some(mut changes) = changes else { return };
    let mut told = Vec::new();
    let end_is_told = async {
        while told.last() != Some(&BatchState::Succeeded) {
            let batch = changes.next().await.expect("the stream of changes does not end");
            if batch.id == *job.id() {
                told.push(batch.state);
            }
        }
    };
    tokio::time::timeout(rig.patience(), end_is_told).await.expect("the end is told");
    assert_in_order(&told);
}

/// A get of nothing is not an error of another kind: "not found" is how a forgotten job is told from a backend that is down.
pub async fn an_unknown_id_is_not_found(rig: &dyn Rig) {
    let id = rig.unknown_id();
    for detail in [Detail::State, Detail::Summary, Detail::Steps] {
        let error = get(rig, &id, detail).await.expect_err("there is no such job");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{:?}", error.kind);
    }
}

fn assert_in_order(states: &[BatchState]) {
    let in_order = states.windows(2).all(|pair| pair[0].rank() <= pair[1].rank());
    assert!(in_order, "states in this order: {states:?}");
}
