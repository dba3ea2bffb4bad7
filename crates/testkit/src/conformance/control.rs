//! What is done to jobs, and what is answered when it cannot be done.

use batchlingua_core::{Action, BatchState, Detail, Effect, ErrorKind, Missing, NativeId, Result, Revival};

use super::{Job, Rig, ended, get, running, states, submit};
use crate::context;

pub(super) async fn all(rig: &dyn Rig) {
    a_cancel_of_a_running_job_ends_it(rig).await;
    a_cancel_of_a_queued_job_ends_it(rig).await;
    a_cancel_of_an_ended_job_changes_nothing(rig).await;
    nothing_can_be_done_to_an_unknown_id(rig).await;
    a_paused_job_goes_on_when_resumed(rig).await;
    a_restarted_job_begins_anew(rig).await;
}

/// At once or later, but as cancelled; a second cancel is no error.
pub async fn a_cancel_of_a_running_job_ends_it(rig: &dyn Rig) {
    if !can(rig, Action::Cancel) {
        return;
    }
    let job = submit(rig, Job::Runs).await;
    running(rig, job.id()).await;
    let effect = act(rig, job.id(), Action::Cancel).await.expect("a running job can be cancelled");
    if !rig.keeps_cancelled() {
        assert_eq!(effect, Effect::Ended(BatchState::Cancelled), "nothing else will tell that it has ended");
        let error = get(rig, job.id(), Detail::State).await.expect_err("it is forgotten");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{:?}", error.kind);
        return;
    }
    assert!(effect == Effect::Accepted || effect == Effect::Ended(cancelled(rig)), "{effect:?}");
    let end = ended(rig, job.id()).await;
    assert_eq!(end.state, cancelled(rig));
    assert!(end.times.ended.is_some() || !rig.tells_times(), "an ended job says when it ended");
    let again = act(rig, job.id(), Action::Cancel).await.expect("a second cancel");
    assert_eq!(again, Effect::AlreadyEnded(cancelled(rig)));
}

/// A job that has not begun never begins.
pub async fn a_cancel_of_a_queued_job_ends_it(rig: &dyn Rig) {
    if !can(rig, Action::Cancel) {
        return;
    }
    let holders = rig.fill().await;
    if holders.is_empty() {
        return;
    }
    let job = submit(rig, Job::Runs).await;
    rig.reached(job.id(), states(|state| state == BatchState::Queued)).await;
    act(rig, job.id(), Action::Cancel).await.expect("a queued job can be cancelled");
    let end = ended(rig, job.id()).await;
    assert_eq!((end.state, end.times.started), (cancelled(rig), None));
    for holder in &holders {
        rig.finish(holder).await;
        ended(rig, holder).await;
    }
    let later = get(rig, job.id(), Detail::State).await.expect("an ended job is still there");
    assert_eq!(later.state, cancelled(rig), "free slots do not bring it back");
}

/// The answer says which end it was; the end stays. A failure that its platform does not take for the end is no end to it either.
pub async fn a_cancel_of_an_ended_job_changes_nothing(rig: &dyn Rig) {
    if !can(rig, Action::Cancel) {
        return;
    }
    for (kind, state) in [(Job::Succeeds, BatchState::Succeeded), (Job::Fails, BatchState::Failed)] {
        let job = submit(rig, kind).await;
        ended(rig, job.id()).await;
        let effect = act(rig, job.id(), Action::Cancel).await.expect("a cancel of an ended job is no error");
        if kind == Job::Fails && rig.backend().capabilities().revival == Revival::AfterFailure {
            assert!(effect == Effect::Accepted || effect == Effect::Ended(BatchState::Cancelled), "{effect:?}");
            rig.reached(job.id(), states(|state| state == BatchState::Cancelled)).await;
            continue;
        }
        assert_eq!(effect, Effect::AlreadyEnded(state));
        let later = get(rig, job.id(), Detail::State).await.expect("it is still there");
        assert_eq!(later.state, state);
    }
}

/// Not found, whatever is to be done.
pub async fn nothing_can_be_done_to_an_unknown_id(rig: &dyn Rig) {
    let all = [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget, Action::CancelAndForget];
    for action in all.into_iter().filter(|action| can(rig, *action)) {
        let error = act(rig, &rig.unknown_id(), action).await.expect_err("there is no such job");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{action:?}: {:?}", error.kind);
    }
}

/// Held is no end, and going on begins an attempt.
pub async fn a_paused_job_goes_on_when_resumed(rig: &dyn Rig) {
    if !can(rig, Action::Pause) || !can(rig, Action::Resume) {
        return;
    }
    let job = submit(rig, Job::Runs).await;
    running(rig, job.id()).await;
    act(rig, job.id(), Action::Pause).await.expect("a running job can be paused");
    let paused = rig.reached(job.id(), states(|state| state == BatchState::Paused)).await;
    assert_eq!(paused.times.ended, None, "a pause is no end");
    act(rig, job.id(), Action::Resume).await.expect("a paused job can be resumed");
    rig.submitted(job.id(), Job::Runs).await;
    running(rig, job.id()).await;
    rig.finish(job.id()).await;
    assert_eq!(ended(rig, job.id()).await.state, BatchState::Succeeded);
}

/// Under the same id.
pub async fn a_restarted_job_begins_anew(rig: &dyn Rig) {
    if !can(rig, Action::Restart) {
        return;
    }
    let job = submit(rig, Job::Runs).await;
    running(rig, job.id()).await;
    act(rig, job.id(), Action::Restart).await.expect("a running job can be restarted");
    rig.submitted(job.id(), Job::Runs).await;
    running(rig, job.id()).await;
    rig.finish(job.id()).await;
    assert_eq!(ended(rig, job.id()).await.state, BatchState::Succeeded);
}

/// What a cancelled job reads as.
fn cancelled(rig: &dyn Rig) -> BatchState {
    if rig.backend().capabilities().tells_cancelled { BatchState::Cancelled } else { BatchState::Failed }
}

fn can(rig: &dyn Rig, action: Action) -> bool {
    rig.backend().capabilities().actions.contains(action)
}

async fn act(rig: &dyn Rig, id: &NativeId, action: Action) -> Result<Effect> {
    rig.backend().control(&context(), id, action).await
}
