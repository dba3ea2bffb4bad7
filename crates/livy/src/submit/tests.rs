//! Names and ghosts: what is sent under which name, and what is removed.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Backend, Batch, BatchSpec, BatchState, Clash, Clock, Intent, Marker, NativeId, Uuid};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply, context, intent, sought};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::fake::{self, Job, World};

const UUID: Uuid = Uuid::from_u128(0xaaaa_bbbb_0000_0000_0000_0000_0000_0001);

fn named(dialect: &str, name: Option<&str>) -> Intent {
    let spec = BatchSpec {
        file: Some("/a.jar".into()),
        name: name.map(str::to_owned),
        args: vec!["runs".into()],
        ..BatchSpec::default()
    };
    Intent { dialect: dialect.into(), ..intent(Marker { uuid: UUID, name: None }, spec) }
}

async fn submit(backend: &dyn Backend, intent: Intent) -> Result<Batch<NativeId>, SubmitError> {
    backend.submit(&context(), backend.plan(intent).expect("a plan")).await
}

fn calls(origin: &Origin) -> Vec<String> {
    let shown = |asked: Asked| format!("{} {}", asked.method, asked.target);
    origin.asked().into_iter().map(shown).filter(|call| call != "GET /version").collect()
}

#[tokio::test]
async fn a_batch_without_a_name_is_sent_with_a_made_one_and_not_looked_for() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    submit(&*backend, named("dli", None)).await.expect("submitted");
    assert_eq!(calls(&origin), ["POST /batches"]);
    assert_eq!(world.jobs()[0].name.as_deref(), Some(names::made(UUID).as_str()));
}

#[tokio::test]
async fn a_name_that_is_free_is_sent_as_it_is() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    submit(&*backend, named("dli", Some("nightly"))).await.expect("submitted");
    assert_eq!(calls(&origin), ["GET /batches/nightly", "POST /batches"]);
    assert_eq!(world.jobs()[0].name.as_deref(), Some("nightly"));
}

#[tokio::test]
async fn a_taken_name_is_another_one_for_other_dialects_and_found_by_either() {
    let world = World::new();
    let (_origin, backend) = fake::livy(&world).await;
    world.add(Some("nightly"), "running", vec!["stdout: ".into()]);
    let batch = submit(&*backend, named("kyuubi", Some("nightly"))).await.expect("submitted");
    assert_eq!(world.jobs()[1].name.as_deref(), Some("nightly-aaaabbbb"));
    let marker = Marker { uuid: UUID, name: Some("nightly".into()) };
    let sighting = backend.look_up(&context(), &sought(&marker)).await.expect("a look");
    assert!(matches!(&sighting, Sighting::Found(found) if found.id == batch.id), "{sighting:?}");
    world.jobs().pop();
    let sighting = backend.look_up(&context(), &sought(&marker)).await.expect("a look");
    assert!(matches!(&sighting, Sighting::Found(found) if found.id.as_str() == "0"), "{sighting:?}");
}

#[tokio::test]
async fn a_taken_name_is_refused_to_a_livys_client_in_its_own_words_and_its_holder_left_alone() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    // It looks like a ghost, and is somebody else's.
    world.add_ghost("nightly");
    let result = submit(&*backend, named("livy", Some("nightly"))).await;
    let Err(SubmitError::Refused(error)) = result else { panic!("{result:?}") };
    let native = error.native.expect("Livy's own words");
    assert_eq!(native.body, r#"{"msg":"Rejected, Reason: Duplicate session name: Some(nightly) for session 1"}"#);
    assert_eq!(error.kind, ErrorKind::Conflict(Clash::Name { name: "nightly".into(), ordinal: 1 }));
    assert_eq!(calls(&origin), ["GET /batches/nightly", "POST /batches"]);
    assert_eq!(world.jobs().len(), 1);
}

#[tokio::test]
async fn an_answer_about_the_name_that_cannot_be_read_is_no_free_name() {
    let origin = Origin::start(|asked| match asked.target.as_str() {
        "/version" => Reply::json(200, r#"{"version":"0.9.0"}"#),
        _ => Reply::whole(404, "text/html", "<html><title>Not Found</title></html>"),
    })
    .await;
    let backend = fake::backend(&origin, json!({}), Arc::new(ManualClock::default()));
    let result = submit(&backend, named("dli", Some("nightly"))).await;
    assert!(matches!(result, Err(SubmitError::NotSent(_))), "{result:?}");
    assert_eq!(calls(&origin), ["GET /batches/nightly"]);
}

/// A Livy that refuses a submit in this way, after it has made this of it.
async fn refusing(
    status: u16,
    body: &'static str,
    leaves: Option<fn(&World, &str) -> Job>,
) -> (Arc<World>, Origin, Arc<dyn Backend>) {
    let world = World::new();
    let there = world.clone();
    let origin = Origin::start(move |asked| match asked.method.as_str() {
        "POST" => {
            let name = asked.json()["name"].as_str().unwrap_or_default().to_owned();
            leaves.map(|leave| leave(&there, &name));
            Reply::json(status, body)
        }
        _ => there.answer(&asked),
    })
    .await;
    let backend = fake::backend(&origin, json!({}), Arc::new(ManualClock::default()));
    (world, origin, Arc::new(backend))
}

const REJECTED: &str = r#"{"msg":"Rejected, Reason: requirement failed: Path 'x' is not absolute."}"#;
const THROWN: &str = r#""java.lang.ClassCastException: class java.lang.String cannot be cast""#;

fn job(world: &World, name: &str) -> Job {
    world.add(Some(name), "starting", vec!["stdout: ".into(), "\nstderr: ".into()])
}

#[tokio::test]
async fn what_a_refused_submit_leaves_behind_is_removed() {
    for (status, body) in [(400, REJECTED), (500, THROWN)] {
        for name in [None, Some("nightly")] {
            let (world, origin, backend) = refusing(status, body, Some(World::add_ghost)).await;
            let result = submit(&*backend, named("kyuubi", name)).await;
            let Err(SubmitError::Refused(error)) = result else { panic!("{status}: {result:?}") };
            assert_eq!(error.native.map(|native| native.status), Some(status));
            assert!(world.jobs().is_empty(), "{status}, {name:?}: {:?}", calls(&origin));
            assert_eq!(calls(&origin).last().map(String::as_str), Some("DELETE /batches/0"));
        }
    }
}

#[tokio::test]
async fn a_job_is_never_removed_whatever_was_answered() {
    let (world, _origin, backend) = refusing(400, REJECTED, Some(job)).await;
    let result = submit(&*backend, named("kyuubi", Some("nightly"))).await;
    assert!(matches!(result, Err(SubmitError::Refused(_))), "{result:?}");
    assert_eq!(world.jobs().len(), 1, "another's, that came in between");

    let (world, _origin, backend) = refusing(500, THROWN, Some(job)).await;
    let batch = submit(&*backend, named("kyuubi", Some("nightly"))).await.expect("it runs after all");
    assert_eq!((batch.state, world.jobs().len()), (BatchState::Starting, 1));
}

#[tokio::test]
async fn a_submit_that_somebody_in_between_sent_twice_is_the_first_one() {
    const TAKEN: &str = r#"{"msg":"Rejected, Reason: Duplicate session name: Some(x) for session 1"}"#;
    let (world, _origin, backend) = refusing(400, TAKEN, Some(job)).await;
    let batch = submit(&*backend, named("dli", None)).await.expect("nobody else can have the name");
    assert_eq!((batch.id.as_str(), world.jobs().len()), ("0", 1));
}

#[tokio::test]
async fn where_there_is_no_record_nothing_is_removed() {
    for (status, body) in
        [(400, REJECTED), (500, THROWN), (400, r#"{"msg":"Rejected, too many sessions are being created!"}"#)]
    {
        let (_world, origin, backend) = refusing(status, body, None).await;
        let result = submit(&*backend, named("kyuubi", None)).await;
        assert!(matches!(result, Err(SubmitError::Refused(_))), "{result:?}");
        assert!(calls(&origin).iter().all(|call| !call.starts_with("DELETE")), "{:?}", calls(&origin));
    }
}

#[tokio::test]
async fn submits_of_one_name_go_one_at_a_time() {
    let world = World::new();
    let gate = Arc::new(Semaphore::new(0));
    let (there, opened) = (world.clone(), gate.clone());
    let origin = Origin::start_async(move |asked| {
        let (there, opened) = (there.clone(), opened.clone());
        async move {
            if asked.method == "POST" {
                opened.acquire().await.expect("open").forget();
            }
            there.answer(&asked)
        }
    })
    .await;
    let backend = Arc::new(fake::backend(&origin, json!({}), Arc::new(ManualClock::default())));
    let send = |uuid: u128, name: &'static str| {
        let backend = backend.clone();
        tokio::spawn(async move {
            let marker = Marker { uuid: Uuid::from_u128(uuid << 96), name: None };
            submit(&*backend, Intent { marker, ..named("kyuubi", Some(name)) }).await
        })
    };
    let of_nightly = [send(1, "nightly"), send(2, "nightly")];
    // The version, perhaps asked by both, then one look and one submit; the other name overtakes the second.
    let is_post = |asked: &Asked| asked.method == "POST";
    let other = send(3, "daily");
    let mut seen = 0;
    while origin.asked().iter().filter(|asked| is_post(asked)).count() < 2 {
        seen = origin.wait_for(seen + 1).await.len();
    }
    let posted: Vec<_> = origin.asked().into_iter().filter(is_post).map(|asked| asked.json()["name"].clone()).collect();
    assert!(posted.contains(&json!("nightly")) && posted.contains(&json!("daily")), "{posted:?}");
    gate.add_permits(3);
    for sent in of_nightly.into_iter().chain([other]) {
        sent.await.expect("no panic").expect("submitted");
    }
    let mut names: Vec<_> = world.jobs().iter().filter_map(|job| job.name.clone()).collect();
    names.sort_unstable();
    assert_eq!(names.len(), 3);
    assert_eq!(&names[..2], ["daily", "nightly"], "the second one found the name taken: {names:?}");
    assert!(names[2].starts_with("nightly-0000000"), "{names:?}");
}

#[tokio::test]
async fn a_record_is_a_ghost_only_when_it_has_been_one_for_a_while() {
    let world = World::new();
    let answering = world.clone();
    let origin = Origin::start(move |asked| answering.answer(&asked)).await;
    let clock = Arc::new(ManualClock::default());
    let backend = fake::backend(&origin, json!({"ghost_after": "30s"}), clock.clone());
    world.add_ghost(&names::made(UUID));
    let sought = Sought { since: clock.now(), ..sought(&Marker { uuid: UUID, name: Some(names::made(UUID)) }) };
    let early = backend.look_up(&context(), &sought).await;
    assert!(early.is_err(), "it may be in the making: {early:?}");
    assert_eq!(world.jobs().len(), 1);
    clock.advance(Duration::from_secs(30));
    let late = backend.look_up(&context(), &sought).await.expect("a look");
    assert!(matches!(&late, Sighting::Ghost(id) if id.as_str() == "0"), "{late:?}");
    assert!(world.jobs().is_empty());
}

#[tokio::test]
async fn a_look_that_saw_no_other_job_says_so() {
    let world = World::new();
    let (_origin, backend) = fake::livy(&world).await;
    let look = || async {
        let marker = Marker { uuid: UUID, name: Some("nightly".into()) };
        match backend.look_up(&context(), &sought(&marker)).await.expect("a look") {
            Sighting::Absent { others_seen } => others_seen,
            other => panic!("{other:?}"),
        }
    };
    assert!(!look().await);
    world.add(None, "success", Vec::new());
    assert!(look().await);
}
