//! Same dialect in and out: what nobody here knows stays as it is, in its place and letter by letter: members, words, texts of errors.

use std::time::Duration;

use batchlingua_core::{BatchState, NativeId};
use batchlingua_router::Limits;
use batchlingua_testkit::{SubmitFault, conformance::Job};
use serde_json::Value;

use crate::{
    behaviours::{begun, reached, shown},
    chains::{Chain, Platform},
    house::{Heard, House, Wishes},
    voices::{VOICES, Voice},
};

/// As a later version may have it: a word and a member that nobody has heard of, with numbers that no float can hold.
const WORD: &str = "HIBERNATING";
const MEMBER: &str = r#""sinceTomorrow":{"b":1.50,"a":[1e3,123456789012345678901234567890,"\u00e9"]}"#;

/// The state of an object that runs.
const STATES: [&str; 3] = [r#""state":"running""#, r#""state":"RUNNING""#, r#""job_status":"RUNNING""#];

/// What is counted up to the moment in which it is asked for.
const CLOCKED: [&str; 4] = ["duration", "total_duration", "wait_time", "exec_wait_time"];

fn strange(state: &str) -> String {
    let (member, _) = state.split_once(':').expect("a member");
    format!("{member}:\"{WORD}\",{MEMBER}")
}

/// One whose lists are never older than the question.
async fn fresh(platform: &'static Platform) -> House {
    let limits = Limits { list_freshness: Duration::ZERO, ..Limits::default() };
    Chain::house_wishing(platform, Wishes { limits, ..Wishes::default() }).await
}

pub(crate) async fn members_and_words_of_later_versions_stay_as_they_are(platform: &'static Platform) {
    let house = fresh(platform).await;
    for submitter in VOICES {
        if let Some(native) = begun(&house, submitter, Job::Runs).await {
            reached(&house, &native, BatchState::Running).await;
            they_stay(&house, platform.voice, &native).await;
        }
    }
}

async fn they_stay(house: &House, voice: &dyn Voice, native: &NativeId) {
    let kind = voice.dialect();
    let upstream = &house.chain.as_ref().expect("a chain").upstream;
    let id = house.ids(native).await;
    upstream.answer_instead(STATES.map(|state| (state.to_owned(), strange(state))));

    let answer = house.ask(&voice.get(&voice.called(&id))).await;
    is_kept(kind, &answer);
    let there = upstream.life().house.ask(&voice.get(native.as_str())).await;
    let there = STATES.iter().fold(there.text().to_owned(), |text, state| text.replace(state, &strange(state)));
    // What was sent along so that a submit can be found again is taken out, where it is told; and its client may have been told another id
    // before the platform had one.
    let there = without_mark(&there);
    let there = match voice.called(&id) {
        own if own == native.as_str() => there,
        own => there.replace(native.as_str(), &own),
    };
    same(kind, &serde_json::from_str(&there).expect("JSON"), &answer.json());

    // The first may have come in the middle of a walk.
    house.ask(&voice.list()).await.json();
    let listed = house.ask(&voice.list()).await;
    is_kept(kind, &listed);
    let rows = voice.objects(&listed.json());
    assert!(rows.contains(&(voice.called(&id), WORD.to_owned())), "{kind}: {rows:?}");

    for front in VOICES.into_iter().filter(|front| front.dialect() != kind) {
        let word = shown(house, front, &id).await;
        assert_eq!(word, front.word(BatchState::Running), "{kind} shown by {}: it lives", front.dialect());
        for ask in [front.get(&front.called(&id)), front.list()] {
            let answer = house.ask(&ask).await;
            let is_strange = answer.text().contains("sinceTomorrow") || answer.text().contains(WORD);
            assert!(!is_strange, "{kind} shown by {}: {}", front.dialect(), answer.text());
        }
    }
    upstream.answer_instead([]);
    house.rig.finish(native).await;
    reached(house, native, BatchState::Succeeded).await;
    assert_eq!(shown(house, voice, &id).await, voice.word(BatchState::Succeeded), "{kind}");
}

fn is_kept(kind: &str, answer: &Heard) {
    let is_kept = STATES.iter().any(|state| answer.text().contains(&strange(state)));
    assert!(is_kept, "{kind}: {}", answer.text());
}

/// What the proxy added so that a DLI's batch is found again stands in its conf, alone here, as JSON in a text.
fn without_mark(there: &str) -> String {
    const MARK: &str = r#"\"spark.batchlingua.id\":\""#;
    match there.split_once(MARK) {
        Some((before, rest)) => format!("{before}{}", rest.split_once(r#"\""#).map_or("", |(_, after)| after)),
        None => there.to_owned(),
    }
}

/// The same members in the same order, with the same values but for what the clock moves.
fn same(at: &str, there: &Value, here: &Value) {
    match (there, here) {
        (Value::Object(there), Value::Object(here)) => {
            assert_eq!(there.keys().collect::<Vec<_>>(), here.keys().collect::<Vec<_>>(), "members of {at}");
            for (name, value) in there.iter().filter(|(name, _)| !CLOCKED.contains(&name.as_str())) {
                same(&format!("{at}.{name}"), value, &here[name]);
            }
        }
        (Value::Array(there), Value::Array(here)) => {
            assert_eq!(there.len(), here.len(), "items of {at}");
            there.iter().zip(here).for_each(|(there, here)| same(at, there, here));
        }
        (there, here) => assert_eq!(there, here, "{at}"),
    }
}

/// A refusal comes in the platform's own bytes to its own clients, and in their words to others.
pub(crate) async fn a_platforms_refusal_is_told_as_it_is(platform: &'static Platform) {
    if platform.begun_by.is_some() {
        // It cannot be told to run anything, which `behaviours` looks at.
        return;
    }
    let house = Chain::house(platform).await;
    let upstream = &house.chain.as_ref().expect("a chain").upstream;
    let memory = upstream.life().memory;
    let kind = platform.voice.dialect();
    for submitter in VOICES {
        let Some(ask) = submitter.submit(&house.rig.spec(Job::Succeeds)) else { continue };
        memory.next_submits([SubmitFault::Refused]);
        let here = house.ask(&ask).await;
        let pair = format!("{} on {kind}", submitter.dialect());
        assert_eq!(here.status, submitter.refused(), "{pair}: {here:?}");
        assert!(here.text().contains("the backend refused it"), "{pair}: {here:?}");
        if submitter.dialect() == kind {
            memory.next_submits([SubmitFault::Refused]);
            let there = upstream.life().house.ask(&ask).await;
            assert_eq!((here.status, here.text()), (there.status, there.text()), "{pair}");
            assert_eq!(here.header("content-type"), there.header("content-type"), "{pair}");
        }
    }
    assert_eq!(memory.jobs_created(), 0, "{kind}");
}
