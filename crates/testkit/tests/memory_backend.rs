//! The backend in memory does what every backend must do, and what a test tells it to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, BatchSpec, BatchState, Detail, Effect, ErrorKind, Field, Lines, LogBody, LogQuery, LogSource,
    Marker, Marking, Missing, NativeId, Revival, Sighting, StateSet, Step, SubmitError,
};
use batchlingua_testkit::{
    ManualClock, MemoryBackend, Numbering, OnCancel, Point, SubmitFault,
    conformance::{self, Job, Rig},
    context, intent, marker, sought,
};
use futures_util::StreamExt;

fn backend() -> MemoryBackend {
    MemoryBackend::new("memory", Arc::new(ManualClock::default()))
}

fn spec(name: &str) -> BatchSpec {
    BatchSpec { file: Some("/jobs/a.py".into()), name: Some(name.into()), ..BatchSpec::default() }
}

async fn submit(backend: &MemoryBackend, name: &str) -> Result<NativeId, SubmitError> {
    let plan = backend.plan(intent(marker(), spec(name))).expect("it plans everything");
    backend.submit(&context(), plan).await.map(|batch| batch.id)
}

/// A world with as many slots as there are jobs, until it is filled.
struct MemoryRig {
    backend: Arc<MemoryBackend>,
    full: AtomicBool,
}

impl MemoryRig {
    fn over(backend: MemoryBackend) -> Self {
        Self { backend: Arc::new(backend.telling_changes()), full: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Rig for MemoryRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        spec(&format!("{job:?}"))
    }

    async fn submitted(&self, id: &NativeId, job: Job) {
        if self.full.load(Ordering::SeqCst) {
            return;
        }
        self.backend.advance(id, BatchState::Starting);
        self.backend.advance(id, BatchState::Running);
        match job {
            Job::Runs => {}
            Job::Succeeds => self.backend.advance(id, BatchState::Succeeded),
            Job::Fails => self.backend.advance(id, BatchState::Failed),
            Job::Prints(lines) => {
                self.backend.write_log(id, ["launched".to_owned()]);
                self.backend.write_log(id, (0..lines).map(|at| format!("line {at}")));
                self.backend.advance(id, BatchState::Succeeded);
            }
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.full.store(false, Ordering::SeqCst);
        self.backend.advance(id, BatchState::Succeeded);
    }

    async fn fill(&self) -> Vec<NativeId> {
        let holder = submit(&self.backend, "holder").await.expect("accepted");
        self.submitted(&holder, Job::Runs).await;
        self.full.store(true, Ordering::SeqCst);
        vec![holder]
    }
}

#[tokio::test]
async fn it_conforms_with_every_way_of_marking() {
    for marking in [Marking::Idempotent, Marking::Findable, Marking::None] {
        let backend = backend().able(|able| able.marking = marking).paged(2);
        conformance::all(&MemoryRig::over(backend)).await;
    }
    let poor = backend().numbered(Numbering::Integers).able(|able| {
        able.actions = [Action::Cancel].into_iter().collect();
        (able.log, able.steps) = (false, false);
    });
    conformance::all(&MemoryRig::over(poor)).await;
}

#[tokio::test]
async fn a_submit_fails_in_every_way_that_there_is() {
    use SubmitFault::{NotSent, Refused, RefusedLeavingGhost, UnknownAndLate, UnknownAndNotCreated, UnknownButCreated};
    let faults = [NotSent, Refused, RefusedLeavingGhost, UnknownButCreated, UnknownAndNotCreated, UnknownAndLate];
    for fault in faults {
        let backend = backend();
        backend.next_submits([fault]);
        let marker = marker();
        let plan = backend.plan(intent(marker.clone(), spec("a"))).expect("a plan");
        let error = backend.submit(&context(), plan).await.expect_err("it fails");
        let sighting = backend.look_up(&context(), &sought(&marker)).await.expect("a look");
        match (fault, error, sighting) {
            (NotSent, SubmitError::NotSent(_), Sighting::Absent { others_seen: false }) => {}
            (Refused, SubmitError::Refused(_), Sighting::Absent { others_seen: false }) => {}
            (RefusedLeavingGhost, SubmitError::Refused(_), Sighting::Ghost(_)) => {}
            (UnknownButCreated, SubmitError::Unknown(_), Sighting::Found(_)) => {}
            (UnknownAndNotCreated, SubmitError::Unknown(_), Sighting::Absent { .. }) => {}
            (UnknownAndLate, SubmitError::Unknown(_), Sighting::Absent { .. }) => {
                assert_eq!(backend.jobs_created(), 0);
                assert_eq!(backend.deliver_late().len(), 1);
                let later = backend.look_up(&context(), &sought(&marker)).await.expect("a look");
                assert!(matches!(later, Sighting::Found(_)), "{later:?}");
            }
            (fault, error, sighting) => panic!("{fault:?} gave {error:?} and {sighting:?}"),
        }
        assert_eq!(backend.jobs_created(), u64::from(matches!(fault, UnknownButCreated | UnknownAndLate)), "{fault:?}");
        submit(&backend, "b").await.expect("a fault is for one submit");
    }
}

#[tokio::test]
async fn the_same_intent_makes_another_job_unless_the_marker_is_the_id() {
    for (marking, jobs) in [(Marking::Idempotent, 1), (Marking::Findable, 2)] {
        let backend = backend().able(|able| able.marking = marking);
        let plan = backend.plan(intent(marker(), spec("a"))).expect("a plan");
        for _ in 0..2 {
            backend.submit(&context(), plan.clone()).await.expect("accepted");
        }
        assert_eq!(backend.jobs_created(), jobs, "{marking:?}");
    }
}

#[tokio::test]
async fn a_job_is_found_by_the_name_that_was_sent_for_it() {
    let backend = backend();
    let named = |name: &str| Marker { name: Some(name.into()), ..marker() };
    let plan = backend.plan(intent(named("bl-1"), spec("mine"))).expect("a plan");
    let batch = backend.submit(&context(), plan).await.expect("accepted");
    assert_eq!(batch.spec.name.as_deref(), Some("bl-1"), "the wire's name");
    let sighting = backend.look_up(&context(), &sought(&named("bl-1"))).await.expect("a look");
    assert!(matches!(sighting, Sighting::Found(found) if found.id == batch.id));
}

#[tokio::test]
async fn a_held_call_waits_for_its_release_and_is_counted_once() {
    let backend = Arc::new(backend());
    backend.hold(Point::SubmitAnswer);
    let held = tokio::spawn({
        let backend = backend.clone();
        async move { submit(&backend, "a").await }
    });
    backend.until_held(Point::SubmitAnswer, 1).await;
    assert_eq!((backend.jobs_created(), backend.calls(Point::Submit)), (1, 1), "made before it is answered");
    held.abort();
    assert!(held.await.expect_err("its caller has gone").is_cancelled());
    backend.release(Point::SubmitAnswer);
    submit(&backend, "b").await.expect("not held any more");
    assert_eq!(backend.ids().len(), 2, "a caller that goes does not take its job with it");
}

#[tokio::test]
async fn out_of_reach_nothing_is_sent_and_after_amnesia_nothing_is_there() {
    let backend = backend().numbered(Numbering::Integers);
    let id = submit(&backend, "a").await.expect("accepted");
    backend.set_reachable(false);
    let error = backend.get(&context(), &id, Detail::State).await.expect_err("out of reach");
    assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }));
    assert!(matches!(submit(&backend, "b").await, Err(SubmitError::NotSent(_))));
    assert!(backend.probe(&context()).await.is_err() && backend.scan(&context(), None).await.is_err());
    backend.set_reachable(true);
    backend.forget_all();
    let error = backend.get(&context(), &id, Detail::State).await.expect_err("forgotten");
    assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))));
    assert_eq!(submit(&backend, "c").await.expect("accepted"), id, "it counts from 0 again, as Livy does");
    assert_eq!(backend.jobs_created(), 2);
}

#[tokio::test]
async fn a_cancel_does_what_the_test_says() {
    for (mode, effect, state) in [
        (OnCancel::EndAtOnce, Effect::Ended(BatchState::Cancelled), BatchState::Cancelled),
        (OnCancel::Accept, Effect::Accepted, BatchState::Queued),
        (OnCancel::Lose, Effect::Accepted, BatchState::Queued),
    ] {
        let backend = backend();
        backend.on_cancel(mode);
        let id = submit(&backend, "a").await.expect("accepted");
        assert_eq!(backend.control(&context(), &id, Action::Cancel).await.expect("possible"), effect);
        let batch = backend.get(&context(), &id, Detail::State).await.expect("there");
        assert_eq!((batch.state, batch.cancel_asked), (state, mode != OnCancel::Lose), "{mode:?}");
        backend.control(&context(), &id, Action::CancelAndForget).await.expect("possible");
        assert!(backend.ids().is_empty(), "{mode:?}");
    }
}

#[tokio::test]
async fn what_its_state_or_its_abilities_forbid_is_refused() {
    let backend = backend().able(|able| able.revival = Revival::AfterFailure);
    let id = submit(&backend, "a").await.expect("accepted");
    let error = backend.control(&context(), &id, Action::Resume).await.expect_err("it is queued");
    let allowed = vec![Action::Cancel, Action::Pause];
    assert_eq!(error.kind, ErrorKind::IllegalState { state: BatchState::Queued, allowed });
    backend.advance(&id, BatchState::Failed);
    assert_eq!(backend.control(&context(), &id, Action::Resume).await.expect("not its end"), Effect::Accepted);
    let batch = backend.get(&context(), &id, Detail::State).await.expect("there");
    assert_eq!((batch.state, batch.attempt, batch.times.ended), (BatchState::Queued, 1, None));
    backend.set_capabilities(|able| able.actions = [Action::Cancel].into_iter().collect());
    let error = backend.control(&context(), &id, Action::Pause).await.expect_err("it cannot");
    assert!(matches!(error.kind, ErrorKind::Unsupported { .. }));
}

#[tokio::test]
async fn steps_and_their_logs_are_what_the_test_wrote() {
    let backend = backend();
    let id = submit(&backend, "a").await.expect("accepted");
    let state = BatchState::Running;
    let step = Step { id: "s0".into(), name: "Build".into(), state, times: Default::default() };
    backend.edit(&id, |batch| batch.steps = vec![step.clone()]);
    backend.write_log_of(&id, &LogSource::Step("s0".into()), ["one", "two"]);
    backend.write_log(&id, (0..12).map(|at| at.to_string()));
    let seen = backend.get(&context(), &id, Detail::Steps).await.expect("there");
    assert_eq!((seen.steps, seen.log_tail.len()), (vec![step], 10));
    assert!(backend.get(&context(), &id, Detail::Summary).await.expect("there").steps.is_empty());
    let query = |step: &str| LogQuery { lines: Lines::Tail(1), source: LogSource::Step(step.into()) };
    let log = backend.log(&context(), &id, &query("s0")).await.expect("a log");
    assert!(matches!(log.body, LogBody::Lines(lines) if lines == ["two"]));
    let error = backend.log(&context(), &id, &query("s1")).await.expect_err("no such step");
    assert_eq!(error.kind, ErrorKind::NotFound(Missing::Step("s1".into())));
}

#[tokio::test]
async fn changes_are_told_and_foreign_jobs_are_no_submits_of_ours() {
    assert!(backend().changes().is_none());
    let backend = backend().telling_changes().losing(&[Field::Name]);
    let mut changes = backend.changes().expect("it tells");
    let id = backend.add_foreign(spec("theirs"));
    backend.advance(&id, BatchState::Running);
    let wanted: StateSet = [BatchState::Queued, BatchState::Running].into_iter().collect();
    for state in wanted.iter() {
        let batch = changes.next().await.expect("a change");
        assert_eq!((batch.id, batch.state), (id.clone(), state));
    }
    assert_eq!((backend.jobs_created(), backend.ids()), (0, vec![id]));
    let plan = backend.plan(intent(marker(), spec("ours"))).expect("a plan");
    assert_eq!(plan.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect::<Vec<_>>(), ["name"]);
}
