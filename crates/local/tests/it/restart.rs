//! The proxy is killed with -9 and another one takes over.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use batchlingua_core::{Backend, BatchState, Lines, NativeId, SubmitError, SystemClock, Uuid};
use batchlingua_local::{Config, LocalBackend};
use batchlingua_testkit::sought;

use crate::{
    cancel::kill_runner,
    support::{Ground, context, off_thread, shell, stand_in},
};

/// Waits for the end of a job that no proxy watches.
async fn ended_alone(ground: &Ground, id: &NativeId) {
    let (lock, exit) = (ground.job_file(id, "lock"), ground.job_file(id, "exit.json"));
    let wait = move || {
        // Its runner may not have come so far as to hold the lock.
        while !exit.exists() {
            File::open(&lock).and_then(|lock| lock.lock()).expect("locked");
            std::thread::yield_now();
        }
    };
    off_thread(wait).await;
}

#[tokio::test]
async fn running_ended_and_queued_jobs_are_found_as_they_are() {
    let ground = Ground::new().with("concurrency", 2);
    let (gate, other, started) = (ground.gate("gate"), ground.gate("other"), ground.gate("started"));
    let order = ground.path("order");
    let hold = |gate: &std::path::Path, code| {
        format!("echo begun; echo > {}; read x < {}; exit {code}", started.path().display(), gate.display())
    };
    let mut proxy = ground.proxy();
    let running = proxy.submit(&hold(gate.path(), 0));
    started.read().await;
    let ending = proxy.submit(&hold(other.path(), 7));
    started.read().await;
    let queued: Vec<_> = (0..3).map(|n| proxy.submit(&format!("echo {n} >> {}", order.display()))).collect();
    proxy.kill();
    other.open().await;
    ended_alone(&ground, &ending).await;

    let ground = ground.with("concurrency", 1);
    let mut house = ground.open().await;
    let ended = house.get(&ending).await;
    assert_eq!((ended.state, ended.diagnostic.as_deref()), (BatchState::Failed, Some("exit code 7")));
    assert!(ended.times.started.is_some() && ended.times.ended.is_some());
    let found = house.get(&running).await;
    assert_eq!((found.state, found.times.started.is_some()), (BatchState::Running, true));
    assert_eq!(house.state(&queued[0]).await, BatchState::Queued, "the one that runs counts");
    assert_eq!(house.lines(&running, Lines::Tail(1)).await, ["begun"]);
    gate.open().await;
    let done = house.ended(&running).await;
    assert_eq!((done.state, done.times.started), (BatchState::Succeeded, found.times.started), "it began once");
    for id in &queued {
        assert_eq!(house.ended(id).await.state, BatchState::Succeeded);
    }
    assert_eq!(fs::read_to_string(order).expect("written"), "0\n1\n2\n");
    let page = house.backend.scan(&context(), None).await.expect("a page");
    let ids: Vec<_> = page.rows.iter().map(|batch| batch.id.clone()).collect();
    assert_eq!(ids, [vec![running, ending], queued].concat(), "in the order of acceptance");
    assert_eq!(page.rows[1].spec.args[0], "-c", "with what they run");
}

#[tokio::test]
async fn a_folder_has_one_process_at_a_time() {
    let ground = Ground::new();
    let proxy = ground.proxy();
    let config = Config { dir: ground.path("jobs"), ..Config::default() };
    let second = LocalBackend::new("here".into(), config, Arc::new(SystemClock)).await.expect("made");
    let error = second.probe(&context()).await.expect_err("in use");
    assert!(error.message.contains("in use by another process"), "{}", error.detail());
    assert!(error.detail().contains("is locked by process"), "{}", error.detail());
    proxy.kill();
    second.probe(&context()).await.expect("free once the other is dead");
}

/// A reload makes a new backend on the same folder before it lets go of the old one.
#[tokio::test]
async fn a_reload_shares_the_jobs_and_takes_the_new_limits() {
    let ground = Ground::new().with("concurrency", 1);
    let house = ground.open().await;
    let gate = ground.gate("gate");
    let first = house.submit(shell(format!("read x < {}", gate.path().display()))).await;
    let second = house.submit(shell("true")).await;
    assert_eq!(house.state(&second).await, BatchState::Queued);
    let ground = ground.with("concurrency", 2);
    let mut reloaded = ground.open().await;
    assert_eq!(reloaded.ended(&second).await.state, BatchState::Succeeded);
    drop(house);
    gate.open().await;
    assert_eq!(reloaded.ended(&first).await.state, BatchState::Succeeded);
}

/// A runner that nobody asked for, such as one that the dead proxy had just started.
fn run_job(ground: &Ground, id: &NativeId) -> Child {
    let mut command = Command::new(stand_in());
    command.arg("run-job").current_dir(ground.job_file(id, ""));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
}

async fn done(mut runner: Child) {
    assert!(off_thread(move || runner.wait().expect("reaped")).await.success());
}

#[tokio::test]
async fn two_runners_start_a_job_once() {
    let ground = Ground::new().with("concurrency", 1);
    let mut proxy = ground.proxy();
    let (begun, gate, count) = (ground.gate("begun"), ground.gate("gate"), ground.path("count"));
    let first = proxy.submit(&format!("echo > {}; read x < {}", begun.path().display(), gate.path().display()));
    let second = proxy.submit(&format!("echo ran >> {}", count.display()));
    // A proxy that is killed before it has started the first leaves that to the next one, and nobody would come to the gate.
    begun.read().await;
    proxy.kill();
    let runners: Vec<_> = (0..8).map(|_| run_job(&ground, &second)).collect();
    for runner in runners {
        done(runner).await;
    }
    assert_eq!(fs::read_to_string(&count).expect("written"), "ran\n");
    gate.open().await;
    let mut house = ground.open().await;
    assert_eq!(house.ended(&second).await.state, BatchState::Succeeded);
    assert_eq!(house.ended(&first).await.state, BatchState::Succeeded);
    assert_eq!(fs::read_to_string(&count).expect("written"), "ran\n");
}

/// The proxy wrote the cancel down and was killed before it could tell anybody.
#[tokio::test]
async fn a_cancel_is_not_forgotten() {
    let ground = Ground::new().with("concurrency", 1);
    let (gate, never) = (ground.gate("gate"), ground.gate("never"));
    let mut proxy = ground.proxy();
    let running = proxy.submit(&format!("echo > {}; read x < {}", gate.path().display(), never.path().display()));
    let queued = proxy.submit("echo ran");
    let late = proxy.submit("echo ran");
    gate.read().await;
    proxy.kill();
    for id in [&running, &queued, &late] {
        File::create(ground.job_file(id, "cancel")).expect("made");
    }
    // This one's runner comes to it after the cancel.
    done(run_job(&ground, &late)).await;
    let mut house = ground.open().await;
    for id in [&queued, &late] {
        let batch = house.get(id).await;
        assert_eq!((batch.state, batch.cancel_asked), (BatchState::Cancelled, true));
        assert!(house.log(id).await.is_empty());
    }
    assert_eq!(house.ended(&running).await.state, BatchState::Cancelled);
}

/// As after a power cut: nothing of the job lives and nobody wrote an end. It is not run again.
#[tokio::test]
async fn a_job_that_was_begun_is_never_begun_again() {
    let ground = Ground::new();
    let (gate, never) = (ground.gate("gate"), ground.gate("never"));
    let mut proxy = ground.proxy();
    let script = format!("echo begun; echo $$ > {}; read x < {}", gate.path().display(), never.path().display());
    let id = proxy.submit(&script);
    let pid = gate.read().await;
    proxy.kill();
    kill_runner(&ground, &id);
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    done(run_job(&ground, &id)).await;
    let mut house = ground.open().await;
    let batch = house.ended(&id).await;
    assert_eq!(batch.state, BatchState::Unknown);
    assert_eq!(house.log(&id).await, ["begun"]);
    assert!(!ground.job_file(&id, "launch.json").exists());
}

#[tokio::test]
async fn remainders_are_swept_up_and_strangers_left_alone() {
    let ground = Ground::new();
    let half_made = ground.path("jobs/11111111-1111-4111-8111-111111111111");
    let broken = ground.path("jobs/22222222-2222-4222-8222-222222222222");
    let stranger = ground.path("jobs/notes");
    for folder in [&half_made, &broken, &stranger] {
        fs::create_dir_all(folder).expect("made");
        fs::write(folder.join("meta.json"), "{").expect("written");
    }
    fs::write(broken.join("launch.json"), "{").expect("written");
    let house = ground.open().await;
    let page = house.backend.scan(&context(), None).await.expect("a page");
    assert_eq!(page.total, Some(0), "one bad folder does not keep the others out");
    assert!(!half_made.exists() && broken.exists() && stranger.exists());

    // Its job may have run: it is neither absent nor to be made again.
    let mut intent = shell("true");
    intent.marker.uuid = Uuid::from_u128(0x22222222_2222_4222_8222_222222222222);
    assert!(house.backend.look_up(&context(), &sought(&intent.marker)).await.is_err());
    let plan = house.backend.plan(intent).expect("a plan");
    let refused = house.backend.submit(&context(), plan).await;
    assert!(matches!(refused, Err(SubmitError::Unknown(_))), "{refused:?}");
    assert!(broken.exists());
}
