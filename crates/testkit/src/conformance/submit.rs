//! What is submitted is there, under its id and its marker, once.

use std::collections::HashSet;

use batchlingua_core::{Detail, Marking, Sighting, SubmitError};

use super::{Job, Rig, get, submit, submit_as, walk};
use crate::{context, intent, marker, sought};

pub(super) async fn all(rig: &dyn Rig) {
    a_submit_is_seen_by_its_id(rig).await;
    a_submit_is_seen_by_its_marker(rig).await;
    a_submit_is_seen_by_a_walk(rig).await;
    a_walk_shows_each_job_once(rig).await;
    a_marker_never_sent_is_not_found(rig).await;
    a_second_submit_of_a_marker_makes_no_second_job(rig).await;
    a_plan_changes_nothing_and_is_the_same_each_time(rig).await;
}

/// The answer's id is the job's: state and spec come back by it.
pub async fn a_submit_is_seen_by_its_id(rig: &dyn Rig) {
    let job = submit(rig, Job::Runs).await;
    for detail in [Detail::State, Detail::Summary, Detail::Steps] {
        let batch = get(rig, job.id(), detail).await.expect("the job is there");
        assert_eq!(batch.id, *job.id());
        assert_eq!(batch.attempt, 1, "nobody has begun it again");
    }
    let batch = get(rig, job.id(), Detail::Summary).await.expect("the job is there");
    if rig.tells_what_runs() {
        assert_eq!(batch.spec.file, rig.spec(Job::Runs).file, "it runs what was asked for");
    }
    assert!(!batch.cancel_asked, "nobody has asked for its end");
    assert!(batch.times.created.0 > 0 || !rig.tells_times(), "it says when it was made");
    rig.finish(job.id()).await;
}

/// A submit of unknown outcome is settled by its marker.
pub async fn a_submit_is_seen_by_its_marker(rig: &dyn Rig) {
    let job = submit(rig, Job::Runs).await;
    let sighting = rig.backend().look_up(&context(), &sought(&job.marker)).await.expect("a look");
    match (rig.backend().capabilities().marking, sighting) {
        (Marking::None, Sighting::CannotTell) => {}
        (Marking::Idempotent | Marking::Findable, Sighting::Found(batch)) => assert_eq!(batch.id, *job.id()),
        (marking, sighting) => panic!("a backend with marking {marking:?} gave {sighting:?} for a job that is there"),
    }
    rig.finish(job.id()).await;
}

/// The walk shows it.
pub async fn a_submit_is_seen_by_a_walk(rig: &dyn Rig) {
    let job = submit(rig, Job::Runs).await;
    let seen = walk(rig).await.into_iter().filter(|batch| batch.id == *job.id()).count();
    assert_eq!(seen, 1, "the walk shows the job once");
    rig.finish(job.id()).await;
}

/// However many pages the walk has.
pub async fn a_walk_shows_each_job_once(rig: &dyn Rig) {
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(submit(rig, Job::Succeeds).await);
    }
    let seen = walk(rig).await;
    let ids: HashSet<_> = seen.iter().map(|batch| &batch.id).collect();
    assert_eq!(ids.len(), seen.len(), "no id twice");
    assert!(jobs.iter().all(|job| ids.contains(job.id())), "none is left out");
}

/// Absence is told as such, and whether the look saw anything at all.
pub async fn a_marker_never_sent_is_not_found(rig: &dyn Rig) {
    let other = submit(rig, Job::Runs).await;
    let sighting = rig.backend().look_up(&context(), &sought(&marker())).await.expect("a look");
    match (rig.backend().capabilities().marking, sighting) {
        (Marking::None, Sighting::CannotTell) => {}
        (Marking::Idempotent | Marking::Findable, Sighting::Absent { others_seen }) => {
            assert!(others_seen, "the look saw the other job");
        }
        (marking, sighting) => panic!("a backend with marking {marking:?} gave {sighting:?} for no job"),
    }
    rig.finish(other.id()).await;
}

/// Where the marker is the id, the same intent may be sent again: it is the same job then, and no other.
pub async fn a_second_submit_of_a_marker_makes_no_second_job(rig: &dyn Rig) {
    if rig.backend().capabilities().marking != Marking::Idempotent {
        return;
    }
    let first = submit(rig, Job::Runs).await;
    let before = walk(rig).await.len();
    match submit_as(rig, Job::Runs, &first.marker).await {
        Ok(second) => assert_eq!(second.id, *first.id(), "the same job again"),
        Err(SubmitError::Refused(_)) => {}
        Err(other) => panic!("a second submit was answered {other:?}"),
    }
    assert_eq!(walk(rig).await.len(), before, "no second job");
    rig.finish(first.id()).await;
}

/// `explain` shows what `submit` sends, and sends nothing.
pub async fn a_plan_changes_nothing_and_is_the_same_each_time(rig: &dyn Rig) {
    if !rig.backend().capabilities().submit {
        return;
    }
    let before = walk(rig).await.len();
    let intent = intent(marker(), rig.spec(Job::Runs));
    let plans = [(); 2].map(|()| rig.backend().plan(intent.clone()).expect("the rig's specs can be planned"));
    assert_eq!(plans[0].request, plans[1].request);
    assert_eq!(plans[0].fates, plans[1].fates);
    assert!(!plans[0].fates.is_empty(), "every field that was given has a fate");
    assert_eq!(walk(rig).await.len(), before, "nothing was sent");
}
