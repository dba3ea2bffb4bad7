//! What every backend must do, tested once over all of them.
//!
//! A backend joins by a [`Rig`]: which specs make a job that succeeds, fails, prints or runs until it is told to end, and how a state is
//! awaited. Each behaviour is one function, so that a failure names what is broken; [`all`] runs them one after another, since some count
//! what a walk shows. What a backend says that it cannot do ([`batchlingua_core::Capabilities`]) is not asked of it. Everything is asked
//! through the port: how a platform is spoken to is for golden files.

mod control;
mod life;
mod log;
mod submit;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batchlingua_core::{
    Backend, Batch, BatchSpec, BatchState, Detail, Marker, NativeId, Result, StateSet, SubmitError, Uuid,
};
use futures_util::StreamExt;

use crate::{context, intent, marker};

pub use control::{
    a_cancel_of_a_queued_job_ends_it, a_cancel_of_a_running_job_ends_it, a_cancel_of_an_ended_job_changes_nothing,
    a_paused_job_goes_on_when_resumed, a_restarted_job_begins_anew, nothing_can_be_done_to_an_unknown_id,
};
pub use life::{
    a_failure_reads_as_failed, a_state_never_goes_backwards, a_success_reads_as_succeeded, an_end_stays,
    an_unknown_id_is_not_found,
};
pub use log::{
    a_log_is_whole_and_in_order, a_page_of_a_log_is_cut_from_the_whole, a_stream_of_a_log_is_the_whole,
    a_tail_of_a_log_is_its_end, head_and_tail_leave_out_the_middle, pages_of_a_log_put_together_are_the_whole,
};
pub use submit::{
    a_marker_never_sent_is_not_found, a_plan_changes_nothing_and_is_the_same_each_time,
    a_second_submit_of_a_marker_makes_no_second_job, a_submit_is_seen_by_a_walk, a_submit_is_seen_by_its_id,
    a_submit_is_seen_by_its_marker, a_walk_shows_each_job_once,
};

/// What a job of the suite is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// End well by itself.
    Succeeds,
    /// End badly by itself.
    Fails,
    /// Run until [`Rig::finish`], and end well then.
    Runs,
    /// Write `line 0`, `line 1`, … to its log, so many lines, and end well.
    Prints(u32),
}

/// A backend with what the suite has to know of it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The backend.
    fn backend(&self) -> Arc<dyn Backend>;

    /// What to submit for such a job.
    fn spec(&self, job: Job) -> BatchSpec;

    /// Makes such a job past the backend, which takes none by itself ([`batchlingua_core::Capabilities::submit`]).
    async fn make(&self, job: Job) -> Batch<NativeId> {
        panic!("a rig over a backend that takes no submits makes {job:?} by itself")
    }

    /// Told of each job after its submit: a backend whose jobs do not run by themselves is moved here.
    async fn submitted(&self, id: &NativeId, job: Job) {
        let _ = (id, job);
    }

    /// Tells a [`Job::Runs`] to end.
    async fn finish(&self, id: &NativeId);

    /// Starts [`Job::Runs`] jobs until the next submit has to wait in the queue. None: the backend has no queue of its own.
    async fn fill(&self) -> Vec<NativeId> {
        Vec::new()
    }

    /// Whether the backend says when a job was made and when it ended. Else the ledger goes by when it was told.
    fn tells_times(&self) -> bool {
        true
    }

    /// Whether the backend says what a job runs. Else the ledger has that from the submit.
    fn tells_what_runs(&self) -> bool {
        true
    }

    /// Whether a job that was cancelled is still there. Else the answer to the cancel is its end.
    fn keeps_cancelled(&self) -> bool {
        true
    }

    /// An id that no job has.
    fn unknown_id(&self) -> NativeId {
        Uuid::new_v4().to_string().into()
    }

    /// Awaits one of these states, by event. As it is here, the backend has to tell its changes; another rig waits in its own way.
    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        let backend = self.backend();
        // Listened to before it is asked, so that no change falls between the two.
        let mut changes =
            backend.changes().expect("a rig over a backend that does not tell its changes waits by itself");
        let wait = async {
            loop {
                let batch = backend.get(&context(), id, Detail::Summary).await.expect("the job is there");
                if wanted.contains(batch.state) {
                    return batch;
                }
                while changes.next().await.expect("the stream of changes does not end").id != *id {}
            }
        };
        let wanted: Vec<_> = wanted.iter().collect();
        let waited = tokio::time::timeout(self.patience(), wait).await;
        waited.unwrap_or_else(|_| panic!("job {id} did not reach {wanted:?} within {:?}", self.patience()))
    }

    /// How long [`Rig::reached`] waits before the test fails.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }
}

/// Everything, one after another.
pub async fn all(rig: &dyn Rig) {
    submit::all(rig).await;
    life::all(rig).await;
    control::all(rig).await;
    log::all(rig).await;
}

/// A job as the suite submitted it.
struct Submitted {
    marker: Marker,
    batch: Batch<NativeId>,
}

impl Submitted {
    fn id(&self) -> &NativeId {
        &self.batch.id
    }
}

async fn submit(rig: &dyn Rig, job: Job) -> Submitted {
    let marker = marker();
    let batch = match rig.backend().capabilities().submit {
        true => submit_as(rig, job, &marker).await.expect("the submit is accepted"),
        false => rig.make(job).await,
    };
    rig.submitted(&batch.id, job).await;
    Submitted { marker, batch }
}

async fn submit_as(rig: &dyn Rig, job: Job, marker: &Marker) -> Result<Batch<NativeId>, SubmitError> {
    let backend = rig.backend();
    let plan = backend.plan(intent(marker.clone(), rig.spec(job))).expect("the rig's specs can be planned");
    backend.submit(&context(), plan).await
}

async fn get(rig: &dyn Rig, id: &NativeId, detail: Detail) -> Result<Batch<NativeId>> {
    rig.backend().get(&context(), id, detail).await
}

async fn ended(rig: &dyn Rig, id: &NativeId) -> Batch<NativeId> {
    rig.reached(id, states(BatchState::is_end)).await
}

async fn running(rig: &dyn Rig, id: &NativeId) -> Batch<NativeId> {
    rig.reached(id, states(|state| state == BatchState::Running)).await
}

fn states(wanted: impl Fn(BatchState) -> bool) -> StateSet {
    BatchState::ALL.into_iter().filter(|state| wanted(*state)).collect()
}

/// Every job that the backend shows, by a walk to its end.
async fn walk(rig: &dyn Rig) -> Vec<Batch<NativeId>> {
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = rig.backend().scan(&context(), after).await.expect("the walk goes on");
        seen.extend(page.rows);
        pages += 1;
        assert!(pages < 10_000, "a walk comes to its end");
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}
