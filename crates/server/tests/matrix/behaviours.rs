//! What holds for every pair of a front and a backend, and for every two fronts over one.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Action, BatchId, BatchState, NativeId, StateSet, SystemClock};
use batchlingua_testkit::{MemoryBackend, conformance::Job};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    chains::{Chain, Platform},
    house::{Ask, House},
    rigs,
    voices::{Kylin, VOICES, Voice},
};

/// For what is sure to come.
const PATIENCE: Duration = Duration::from_secs(20);

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
            a_name_goes_along(house, submitter, front).await;
        }
    }
    for submitter in VOICES {
        a_platform_without_submits_says_so(house, submitter).await;
        a_batch_without_a_name_shows_none(house, submitter).await;
        jobs_are_held_where_the_platform_can(house, submitter).await;
    }
    every_front_lists_every_batch(house).await;
}

/// A batch that the submitter's client has begun, here or, where the platform behind cannot be told to run anything, there. None: its
/// dialect cannot submit, or is not the one by which the platform's batches begin.
pub(crate) async fn begun(house: &House, submitter: &dyn Voice, job: Job) -> Option<NativeId> {
    begun_as(house, submitter, job, submitter.submit(&house.rig.spec(job))?).await
}

/// The same by this request.
pub(crate) async fn begun_as(house: &House, submitter: &dyn Voice, job: Job, ask: Ask) -> Option<NativeId> {
    let native = taken(house, submitter, &ask).await?;
    house.rig.submitted(&native, job).await;
    Some(native)
}

/// The same where the test moves the job itself.
pub(crate) async fn taken(house: &House, submitter: &dyn Voice, ask: &Ask) -> Option<NativeId> {
    let past = house.chain.as_ref().and_then(|chain| Some((chain, chain.platform.begun_by?)));
    Some(match past {
        Some((_, by)) if by.dialect() != submitter.dialect() => return None,
        Some((chain, by)) => {
            let native = chain.begun_past(by, ask).await;
            // Whoever holds its id may ask for it here before anybody has seen it.
            house.ask(&chain.platform.voice.get(native.as_str())).await.json();
            native
        }
        None => {
            let answer = house.ask(ask).await;
            assert!([200, 201].contains(&answer.status), "{}: {answer:?}", submitter.dialect());
            house.native(submitter.wanted(&submitter.submitted(&answer.json()))).await
        }
    })
}

/// What a front shows of a batch in this state: its own dialect's platform shows it as it is, another one what it has a word for.
pub(crate) fn word(house: &House, front: &dyn Voice, state: BatchState) -> &'static str {
    match &house.chain {
        Some(chain) if chain.platform.voice.dialect() != front.dialect() => front.word((chain.platform.seen)(state)),
        Some(_) | None => front.word(state),
    }
}

pub(crate) async fn reached(house: &House, native: &NativeId, state: BatchState) {
    house.rig.reached(native, StateSet::from_iter([state])).await;
}

/// What a front shows of a batch.
pub(crate) async fn shown(house: &House, front: &dyn Voice, id: &BatchId) -> String {
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
    assert_eq!(shown(house, front, &id).await, word(house, front, BatchState::Running), "{pair}");
    house.rig.finish(&native).await;
    reached(house, &native, BatchState::Succeeded).await;
    assert_eq!(shown(house, front, &id).await, word(house, front, BatchState::Succeeded), "{pair}");
}

async fn a_failure_reads_as_failed(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Fails).await else { return };
    let id = house.ids(&native).await;
    reached(house, &native, BatchState::Failed).await;
    let word = word(house, front, BatchState::Failed);
    assert_eq!(shown(house, front, &id).await, word, "{} shown by {}", submitter.dialect(), front.dialect());
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

/// Whoever names a batch, everybody knows it by that name.
async fn a_name_goes_along(house: &House, submitter: &dyn Voice, front: &dyn Voice) {
    let Some(ask) = submitter.submit(&house.rig.spec(Job::Succeeds)) else { return };
    let name = format!("nightly {} {}", submitter.dialect(), front.dialect());
    let Some(native) = begun_as(house, submitter, Job::Succeeds, ask.with("name", json!(name))).await else { return };
    let id = front.called(&house.ids(&native).await);
    let answer = house.ask(&front.get(&id)).await.json();
    assert_eq!(front.name(&answer).as_deref(), Some(&*name), "{} shown by {}", submitter.dialect(), front.dialect());
}

/// What is sent along so that a submit can be found again is nobody's name.
async fn a_batch_without_a_name_shows_none(house: &House, submitter: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Succeeds).await else { return };
    let id = house.ids(&native).await;
    for front in VOICES {
        let answer = house.ask(&front.get(&front.called(&id))).await.json();
        let name = front.name(&answer).unwrap_or_default();
        // Some call it by its file then.
        let file = house.rig.spec(Job::Succeeds).file.unwrap_or_default();
        assert!(file.ends_with(&name), "{} shown by {}: {name}", submitter.dialect(), front.dialect());
    }
}

/// Refused before anything is sent, and in the client's words.
async fn a_platform_without_submits_says_so(house: &House, submitter: &dyn Voice) {
    let Some(ask) = submitter.submit(&house.rig.spec(Job::Succeeds)) else { return };
    if house.rig.backend().capabilities().submit {
        return;
    }
    let chain = house.chain.as_ref().expect("only platforms cannot");
    let jobs = chain.upstream.life().memory.jobs_created();
    let answer = house.ask(&ask).await;
    assert_eq!(answer.status, submitter.refused(), "{}: {answer:?}", submitter.dialect());
    assert!(answer.text().contains("backend 'here' does not offer submitting batches"), "{}", answer.text());
    assert_eq!(chain.upstream.life().memory.jobs_created(), jobs);
}

/// Held, gone on with and begun again, or refused where the platform cannot: only Kylin's clients have words for it.
async fn jobs_are_held_where_the_platform_can(house: &House, submitter: &dyn Voice) {
    let Some(native) = begun(house, submitter, Job::Runs).await else { return };
    reached(house, &native, BatchState::Running).await;
    let id = house.ids(&native).await;
    let can = house.rig.backend().capabilities().actions;
    for (action, word_of, comes_to) in [
        (Action::Pause, "PAUSE", BatchState::Paused),
        (Action::Resume, "RESUME", BatchState::Queued),
        (Action::Restart, "RESTART", BatchState::Queued),
    ] {
        let before = shown(house, &Kylin, &id).await;
        let answer = house.ask(&Kylin.act(&Kylin.called(&id), word_of)).await;
        if !can.contains(action) {
            assert_eq!(answer.status, 500, "{word_of}: {answer:?}");
            assert_eq!(shown(house, &Kylin, &id).await, before, "{word_of} has changed something");
            continue;
        }
        assert_eq!(answer.status, 200, "{word_of}: {answer:?}");
        reached(house, &native, comes_to).await;
        // Begun again, it waits. A change of the attempt before that is told late looks as if it ran on, or as if it were still held; where
        // nobody tells changes, who goes on with what is held does not begin anew.
        let states: &[BatchState] = match action {
            Action::Pause => &[BatchState::Paused],
            Action::Restart if house.rig.backend().changes().is_none() => &[BatchState::Queued],
            _ if house.rig.backend().changes().is_some() => {
                &[BatchState::Queued, BatchState::Running, BatchState::Paused]
            }
            _ => &[BatchState::Queued, BatchState::Running],
        };
        for front in VOICES {
            let word = shown(house, front, &id).await;
            let is_one = states.iter().any(|state| front.word(*state) == word);
            assert!(is_one, "{word_of} shown by {}: {word}", front.dialect());
        }
        if comes_to == BatchState::Queued {
            house.rig.submitted(&native, Job::Runs).await;
            reached(house, &native, BatchState::Running).await;
            // What is told late is overtaken by what is asked for.
            let told = async { while shown(house, &Kylin, &id).await != "RUNNING" {} };
            assert!(timeout(PATIENCE, told).await.is_ok(), "{word_of}");
        }
    }
    house.rig.finish(&native).await;
    reached(house, &native, BatchState::Succeeded).await;
}

/// The table of the design, whatever a real backend can be brought to.
pub(crate) async fn every_state_has_its_word() {
    let backend = Arc::new(MemoryBackend::new("here", Arc::new(SystemClock)));
    let house = House::over(rigs::still(backend.clone()));
    every_state_has_its_word_over(&house, |id, state| {
        let backend = backend.clone();
        async move { backend.advance(&id, state) }
    })
    .await;
}

/// The same through a platform.
pub(crate) async fn every_state_has_its_word_through(platform: &'static Platform) {
    let house = Chain::house(platform).await;
    let chain = house.chain.clone().expect("a chain");
    every_state_has_its_word_over(&house, |id, state| {
        let chain = chain.clone();
        async move { chain.advance(&id, state).await }
    })
    .await;
}

async fn every_state_has_its_word_over<F>(house: &House, advance: impl Fn(NativeId, BatchState) -> F)
where
    F: Future<Output = ()>,
{
    let mut seen = 0;
    for submitter in VOICES {
        for state in BatchState::ALL {
            let Some(ask) = submitter.submit(&house.rig.spec(Job::Runs)) else { continue };
            let Some(native) = taken(house, submitter, &ask).await else { continue };
            let id = house.ids(&native).await;
            if state == BatchState::Paused {
                // A dialect without a word for it keeps the one that it showed last.
                advance(native.clone(), BatchState::Running).await;
                shown(house, submitter, &id).await;
            }
            advance(native, state).await;
            for front in VOICES {
                let word = word(house, front, state);
                assert_eq!(shown(house, front, &id).await, word, "{state} by {}", front.dialect());
                seen += 1;
            }
        }
    }
    assert!(seen >= BatchState::ALL.len() * VOICES.len(), "some dialect begins batches here");
}
