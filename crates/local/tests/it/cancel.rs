//! Ending jobs that somebody wants ended, also those that do not want to.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use batchlingua_core::{Action, Backend, BatchState, Effect, ErrorKind, NativeId};
use rustix::process::{Pid, Signal, getpgid, getsid, kill_process};

use crate::support::{Gate, Ground, context, off_thread, shell};

/// Processes that hold a FIFO open: seen alive by their line, and gone by its end.
struct Holders {
    reader: Option<BufReader<File>>,
}

impl Holders {
    async fn ready(gate: &Gate) -> Self {
        let path = gate.path().to_owned();
        let open = move || {
            let mut reader = BufReader::new(File::open(path).expect("opened"));
            let mut line = String::new();
            reader.read_line(&mut line).expect("read");
            assert_eq!(line, "ready\n");
            Self { reader: Some(reader) }
        };
        off_thread(open).await
    }

    async fn gone(&mut self) {
        let mut reader = self.reader.take().expect("waited for once");
        let wait = move || reader.read_to_end(&mut Vec::new()).expect("read");
        off_thread(wait).await;
    }
}

fn runner_of(folder: &Path) -> Pid {
    let mut runners = fs::read_dir("/proc").expect("/proc").flatten().filter(|entry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm == "job-runner\n")
            && fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    });
    let name = runners.next().expect("a runner").file_name();
    Pid::from_raw(name.to_str().and_then(|name| name.parse().ok()).expect("a number")).expect("not zero")
}

pub(crate) fn kill_runner(ground: &Ground, id: &NativeId) {
    let folder = ground.job_file(id, "").canonicalize().expect("there");
    kill_process(runner_of(&folder), Signal::KILL).expect("killed");
}

/// Blocks on a FIFO that nobody ever opens, whatever it is told.
fn stubborn(gate: &Gate, never: &Gate) -> String {
    let (gate, never) = (gate.path().display(), never.path().display());
    format!("trap '' TERM; sh -c 'exec 3> {gate}; echo ready >&3; read x < {never}' & read x < {never}")
}

#[tokio::test]
async fn what_ignores_term_is_killed_with_all_its_children() {
    let ground = Ground::new().with("cancel_grace", "50ms");
    let mut house = ground.open().await;
    let (gate, never) = (ground.gate("gate"), ground.gate("never"));
    let id = house.submit(shell(stubborn(&gate, &never))).await;
    let mut grandchild = Holders::ready(&gate).await;
    assert_eq!(house.cancel(&id).await, Effect::Accepted);
    let batch = house.ended(&id).await;
    assert_eq!((batch.state, batch.cancel_asked, batch.diagnostic), (BatchState::Cancelled, true, None));
    grandchild.gone().await;
}

/// The leader ends at once, its child tidies up first: the grace is for all of the group.
#[tokio::test]
async fn every_process_has_its_grace() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    // Waits for the signal by name: a handler could miss one that comes between its check and its wait.
    let child = ground.write(
        "child.py",
        "import signal, sys, time\n\
         signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n\
         open(sys.argv[1], 'w').write('ready\\n')\n\
         signal.sigwait([signal.SIGTERM])\n\
         time.sleep(0.3)\n\
         print('tidy')\n",
    );
    let id = house.submit(shell(format!("python3 {child} {} & wait", gate.path().display()))).await;
    Holders::ready(&gate).await;
    house.cancel(&id).await;
    assert_eq!(house.cancel(&id).await, Effect::Accepted, "asked again while it is on its way");
    assert_eq!(house.ended(&id).await.state, BatchState::Cancelled);
    assert_eq!(house.log(&id).await, ["tidy"]);
    assert_eq!(house.cancel(&id).await, Effect::AlreadyEnded(BatchState::Cancelled));
}

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_never_starts() {
    let ground = Ground::new().with("concurrency", 1);
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    let first = house.submit(shell(format!("read x < {}", gate.path().display()))).await;
    let second = house.submit(shell("echo ran")).await;
    assert_eq!(house.cancel(&second).await, Effect::Ended(BatchState::Cancelled));
    let batch = house.get(&second).await;
    assert_eq!((batch.state, batch.times.started), (BatchState::Cancelled, None));
    assert!(!ground.job_file(&second, "launch.json").exists());
    gate.open().await;
    house.ended(&first).await;
    assert!(house.log(&second).await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let id = house.submit(shell("exit 1")).await;
    house.ended(&id).await;
    let act = async |id: &NativeId, action| house.backend.control(&context(), id, action).await;
    assert!(matches!(act(&id, Action::CancelAndForget).await, Ok(Effect::AlreadyEnded(BatchState::Failed))));
    assert!(matches!(act(&id, Action::Forget).await, Ok(Effect::NothingToDo)));
    let paused = act(&id, Action::Pause).await.expect_err("not here");
    assert!(matches!(paused.kind, ErrorKind::Unsupported { .. }));
    for unknown in ["7", "00000000-0000-0000-0000-000000000000", "../jobs"] {
        let error = act(&unknown.into(), Action::Cancel).await.expect_err("unknown");
        assert!(matches!(error.kind, ErrorKind::NotFound(_)), "{unknown}: {error:?}");
    }
}

/// Killing the proxy by its name, or by anything in its command line, does not reach a job.
#[tokio::test]
async fn a_runner_has_a_name_and_a_session_of_its_own() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    let id = house.submit(shell(format!("read x < {}", gate.path().display()))).await;
    house.until(&id, |batch| batch.state == BatchState::Running).await;
    let runner = runner_of(&ground.job_file(&id, "").canonicalize().expect("there"));
    let command = fs::read(format!("/proc/{}/cmdline", runner.as_raw_pid())).expect("a command line");
    assert_eq!(command, b"job-runner\0run-job\0");
    // Of the test's own session nothing is asked: its leader may be outside of this namespace, and has no number then.
    assert_eq!(getsid(Some(runner)), Ok(runner));
    assert_eq!(getpgid(Some(runner)), Ok(runner));
    gate.open().await;
    house.ended(&id).await;
}

#[tokio::test]
async fn a_job_outlives_its_runner_and_its_end_is_not_invented() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let gate = ground.gate("gate");
    let id = house.submit(shell(format!("read x < {}; exit 0", gate.path().display()))).await;
    house.until(&id, |batch| batch.state == BatchState::Running).await;
    kill_runner(&ground, &id);
    noticed(&ground, &id).await;
    assert_eq!(house.state(&id).await, BatchState::Running, "its process lives");
    gate.open().await;
    let batch = house.ended(&id).await;
    assert_eq!(batch.state, BatchState::Unknown);
    assert_eq!(batch.diagnostic.as_deref(), Some("the job's runner was killed; its exit code is not known"));
}

/// The end of the runner has been noticed when somebody waits for the lock that the job's processes hold.
async fn noticed(ground: &Ground, id: &NativeId) {
    let inode = fs::metadata(ground.job_file(id, "alive")).expect("there").ino();
    let look = move || {
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&format!(":{inode} "));
        while !fs::read_to_string("/proc/locks").expect("/proc").lines().any(waits) {
            std::thread::yield_now();
        }
    };
    off_thread(look).await;
}

#[tokio::test]
async fn a_job_without_a_runner_is_cancelled_all_the_same() {
    let ground = Ground::new().with("cancel_grace", "50ms");
    let mut house = ground.open().await;
    let (gate, never) = (ground.gate("gate"), ground.gate("never"));
    let id = house.submit(shell(stubborn(&gate, &never))).await;
    let mut grandchild = Holders::ready(&gate).await;
    kill_runner(&ground, &id);
    noticed(&ground, &id).await;
    assert_eq!(house.cancel(&id).await, Effect::Accepted);
    assert_eq!(house.ended(&id).await.state, BatchState::Cancelled);
    grandchild.gone().await;
}

/// The stdin by which a job's processes are known is empty and its own.
#[tokio::test]
async fn a_job_reads_nothing() {
    let ground = Ground::new();
    let mut house = ground.open().await;
    let id = house.submit(shell("cat; stat -L -c %i /dev/stdin")).await;
    house.ended(&id).await;
    let inode = fs::metadata(ground.job_file(&id, "alive")).expect("there").ino();
    assert_eq!(house.log(&id).await, [inode.to_string()]);
}
