//! The port over a fake Livy: the suite that every backend has to pass, and what is asked of which Livy.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{
    Action, Backend, Batch, BatchSpec, BatchState, Cursor, Detail, Effect, ErrorKind, Marking, Missing, NativeId,
    StateSet,
};
use batchlingua_testkit::{
    ManualClock, Origin, Reply,
    conformance::{self, Job, Rig},
    context, marker,
};
use serde_json::json;

use super::Called;
use crate::fake::{self, World, is_version, named, object, over, posts, spec, submit};

struct LivyRig {
    world: Arc<World>,
    backend: Arc<dyn Backend>,
    _origin: Origin,
}

#[async_trait]
impl Rig for LivyRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        match job {
            Job::Succeeds => spec(&["succeeds"]),
            Job::Fails => spec(&["fails"]),
            Job::Runs => spec(&["runs"]),
            Job::Prints(lines) => spec(&["prints", &lines.to_string()]),
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.world.set(id.as_str().parse().expect("an id"), "success");
    }

    fn tells_times(&self) -> bool {
        false
    }

    fn tells_what_runs(&self) -> bool {
        false
    }

    fn keeps_cancelled(&self) -> bool {
        false
    }

    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        let mut changed = self.world.changed.subscribe();
        loop {
            let batch = self.backend.get(&context(), id, Detail::Summary).await.expect("the job is there");
            if wanted.contains(batch.state) {
                return batch;
            }
            changed.changed().await.expect("the world stands");
        }
    }
}

#[tokio::test]
async fn a_livy_conforms() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    conformance::all(&LivyRig { world, backend, _origin: origin }).await;
}

#[tokio::test]
async fn an_unknown_word_is_a_live_batch_with_that_word() {
    let (_origin, backend) = over(|_| Reply::json(200, r#"{"id":5,"state":"hibernating"}"#)).await;
    for _ in 0..2 {
        let batch = backend.get(&context(), &"5".into(), Detail::State).await.expect("a batch");
        let native = batch.native.expect("as it came");
        assert_eq!((batch.state, native.word.as_str()), (BatchState::Running, "hibernating"));
    }
}

#[tokio::test]
async fn another_batch_than_the_one_asked_for_is_not_taken_for_it() {
    let (_origin, backend) = over(|_| Reply::json(200, object(""))).await;
    let error = backend.get(&context(), &"6".into(), Detail::State).await.expect_err("batch 5");
    assert!(
        matches!(error.kind, ErrorKind::BackendUnavailable { .. }) && error.message.contains("batch 5"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_old_livy_has_no_names_and_nothing_is_asked_by_one() {
    let world = World::new();
    *world.version.lock().expect("no panic") = "0.5.0-incubating";
    let (origin, backend) = fake::livy(&world).await;
    let can = backend.probe(&context()).await.expect("it answers");
    assert_eq!(can.marking, Marking::None);
    let batch = submit(&*backend, named("kyuubi", None)).await.expect("submitted");
    let sighting = backend.look_up(&context(), &batchlingua_testkit::sought(&marker())).await.expect("a look");
    assert!(matches!(sighting, batchlingua_core::Sighting::CannotTell), "{sighting:?}");
    let error = backend.get(&context(), &"nightly".into(), Detail::State).await.expect_err("no such id");
    assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))));
    let asked: Vec<_> = origin.asked().into_iter().map(|asked| format!("{} {}", asked.method, asked.target)).collect();
    assert_eq!(asked, ["GET /version", "POST /batches"]);
    assert!(posts(&origin)[0].json().get("name").is_none());
    assert_eq!(batch.id, NativeId::from("0"));
}

#[tokio::test]
async fn a_livy_that_hides_its_version_is_told_by_what_it_says_to_a_name() {
    for (status, body, marking) in [
        (404, r#"{"msg":"Session 'no-such-batch' not found."}"#, Marking::Findable),
        (400, r#""For input string: \"no-such-batch\"""#, Marking::None),
    ] {
        let (_origin, backend) = over(move |asked| match is_version(asked) {
            true => Reply::whole(404, "text/html", ""),
            false => Reply::json(status, body),
        })
        .await;
        assert_eq!(backend.probe(&context()).await.expect("it answers").marking, marking);
    }
}

#[test]
fn ids_names_and_what_is_neither_are_told_apart() {
    let id = |text: &str| Called::Id(text.into());
    for (text, called) in [
        ("5", id("5")),
        ("007", id("7")),
        ("2147483647", id("2147483647")),
        ("2147483648", Called::Nothing),
        ("5~12", Called::Nothing),
        ("5~x", Called::Name("5~x".into())),
        ("nightly", Called::Name("nightly".into())),
        ("-1", Called::Name("-1".into())),
        ("..", Called::Nothing),
        ("", Called::Nothing),
    ] {
        assert_eq!(Called::of(&text.into()), called, "{text}");
    }
}

#[tokio::test]
async fn a_number_that_was_given_up_is_not_asked_for() {
    let (origin, backend) = over(|_| Reply::json(200, object(""))).await;
    for call in ["5~12", "99999999999"] {
        let error = backend.get(&context(), &call.into(), Detail::State).await.expect_err("nothing");
        assert!(matches!(error.kind, ErrorKind::NotFound(Missing::Batch(_))), "{error:?}");
    }
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn what_ended_by_itself_is_not_cancelled_and_not_forgotten() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    let job = world.add(Some("n"), "dead", vec!["stdout: ".into()]);
    let effect = backend.control(&context(), &job.id.to_string().into(), Action::Cancel).await.expect("an effect");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Failed));
    assert!(origin.asked().iter().all(|asked| asked.method == "GET"));
    let effect =
        backend.control(&context(), &job.id.to_string().into(), Action::CancelAndForget).await.expect("an effect");
    assert_eq!(effect, Effect::AlreadyEnded(BatchState::Failed));
    assert!(backend.holds_names() && world.jobs().is_empty(), "its name is free");
}

#[tokio::test]
async fn every_call_says_who_asks_and_a_name_is_escaped() {
    let world = World::new();
    let (origin, backend) = fake::livy(&world).await;
    world.add(Some("a b/ç?#%"), "running", vec!["stdout: ".into(), "\nstderr: ".into()]);
    let ctx = context();
    let batch = backend.get(&ctx, &"a b/ç?#%".into(), Detail::Summary).await.expect("found by its name");
    backend.scan(&ctx, None).await.expect("a page");
    backend.control(&ctx, &batch.id, Action::Cancel).await.expect("ended");
    submit(&*backend, named("kyuubi", Some("n"))).await.expect("submitted");
    let asked = origin.asked();
    assert!(asked.iter().all(|asked| asked.header("x-requested-by") == "batchlingua"), "{asked:?}");
    assert!(asked.iter().any(|asked| asked.target == "/batches/a%20b%2F%C3%A7%3F%23%25"), "{asked:?}");
    assert_eq!(posts(&origin)[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn a_walk_goes_by_pages_and_stops_at_a_short_one() {
    let world = World::new();
    for _ in 0..2_005 {
        world.add(None, "success", Vec::new());
    }
    let (origin, backend) = fake::livy(&world).await;
    let (mut after, mut sizes) = (None, Vec::new());
    loop {
        let page = backend.scan(&context(), after).await.expect("a page");
        assert_eq!(page.total, Some(2_005));
        sizes.push(page.rows.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [1_000, 1_000, 5]);
    let targets: Vec<_> = origin.asked().into_iter().map(|asked| asked.target).collect();
    let wanted = [0, 1_000, 2_000].map(|from| format!("/batches?from={from}&size=1000"));
    assert_eq!(targets, wanted);
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_with_fewer_rows() {
    let world = World::new();
    for _ in 0..300 {
        world.add(None, "running", vec!["x".repeat(1_000)]);
    }
    let answering = world.clone();
    let origin = Origin::start(move |asked| answering.answer(&asked)).await;
    let backend = fake::backend(&origin, json!({"max_answer": "150KiB"}), Arc::new(ManualClock::default()));
    let first = backend.scan(&context(), None).await.expect("a page");
    assert_eq!((first.rows.len(), first.next.clone()), (100, Some(Cursor("100".into()))));
    assert_eq!(backend.scan(&context(), first.next).await.expect("a page").rows.len(), 100);
    let targets: Vec<_> = origin.asked().into_iter().map(|asked| asked.target).collect();
    let wanted = ["from=0&size=1000", "from=0&size=100", "from=100&size=100"].map(|query| format!("/batches?{query}"));
    assert_eq!(targets, wanted);
}

#[test]
fn keys_have_defaults_and_faults_their_places() {
    let default = fake::settings("http://livy:8998/livy", json!({}));
    let seconds = [default.delete_timeout, default.settle, default.ghost_after].map(|span| span.as_secs());
    assert_eq!((seconds, default.adopt_ids), ([300, 300, 30], false));
    let table =
        json!({"url": "livy", "paths": {"/a": 1}, "delete_timeout": "0s", "adopt_id": true, "auth": {"token": "x"}});
    let settings = batchlingua_wire::Settings::new("backend.b", table);
    let faults = crate::settings::BackendSettings::read(settings).expect_err("faults");
    let mut paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "backend.b.adopt_id",
            "backend.b.auth.token",
            "backend.b.delete_timeout",
            "backend.b.paths./a",
            "backend.b.url"
        ]
    );
}
