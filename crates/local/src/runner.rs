//! The process between the proxy and a job: the same binary in a hidden mode, one per running job.
//!
//! It outlives the proxy, so that somebody is there to see how the job ends, to write it down and to pass a cancel on. All that it knows
//! it has from the job's folder, which it is started in. It has a name and a command line of its own, so that killing the proxy by name
//! does not reach it, and it does nothing that could fail once the job runs but wait.
//!
//! The order of steps is what makes a job start at most once and a cancel never be missed: lock, then `started` (with `O_EXCL`, durable),
//! then the ear at `control`, then the look for a `cancel` that came before.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitCode, ExitStatus},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use batchlingua_core::{Clock, Millis, SystemClock};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::{
    folder::{self, Folder},
    procs,
    records::{Exit, How},
};

/// The argument that makes the binary a runner.
pub const RUN_JOB: &str = "run-job";
/// The runner's name among processes.
pub(crate) const NAME: &str = "job-runner";
const PROCESS_NAME: &CStr = c"job-runner";

/// Runs the job whose folder is the working directory. To be called by `main` before anything else when the first argument is
/// [`RUN_JOB`]: there is no runtime, no configuration and no log of the proxy here.
pub fn run_job() -> ExitCode {
    // Fails only for one that leads a group already; it is apart from the proxy's then.
    let _ = rustix::process::setsid();
    // A name is a courtesy to who reads `ps`.
    let _ = rustix::thread::set_name(PROCESS_NAME);
    match run(&Folder::current()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Stderr is the job's log: the one place where somebody will look.
            let _ = writeln!(io::stderr(), "batchlingua: the job's runner failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Folder) -> io::Result<()> {
    let Some(_held) = folder.try_lock()? else { return Ok(()) };
    if folder.exit()?.is_some() || !folder.start()? {
        return Ok(());
    }
    // The very time that is told while it runs, so that it stays after the end.
    let started = folder.started().unwrap_or_else(|| SystemClock.now());
    let control = File::options().read(true).write(true).open(folder.file(folder::CONTROL))?;
    let (how, cancelled) = if folder.cancel_asked() {
        (How::NotStarted("cancelled before it began".to_owned()), true)
    } else {
        match start(folder) {
            Ok((child, grace)) => wait(child, control, grace),
            Err(error) => {
                let _ = writeln!(io::stderr(), "batchlingua: {error}");
                (How::NotStarted(error.to_string()), false)
            }
        }
    };
    folder.end(&Exit { how, cancelled, started_ms: Some(started.0), ended_ms: end_of(started) })
}

/// A clock that was set back must not end a job before it began.
fn end_of(started: Millis) -> i64 {
    SystemClock.now().max(started).0
}

fn start(folder: &Folder) -> io::Result<(std::process::Child, Duration)> {
    let launch = folder.launch()?;
    for link in &launch.links {
        if let Some(parent) = link.name.parent() {
            fs::create_dir_all(parent)?;
        }
        std::os::unix::fs::symlink(&link.target, &link.name)
            .map_err(|error| io::Error::other(format!("cannot link {}: {error}", link.target.display())))?;
    }
    let log = File::options().append(true).open(folder.file(folder::LOG))?;
    let alive = File::open(folder.file(folder::ALIVE))?;
    alive.lock()?;
    let child = Command::new(&launch.program)
        .args(&launch.args)
        .envs(&launch.env)
        .current_dir(folder::WORK)
        .stdin(alive)
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(|error| io::Error::other(format!("cannot start {}: {error}", launch.program)))?;
    tell_the_proxy();
    Ok((child, Duration::from_millis(launch.cancel_grace_ms)))
}

/// One byte on stdout says that the job runs. A proxy that is gone will see it by itself when it is back.
fn tell_the_proxy() {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(b"r").and_then(|()| stdout.flush());
}

#[derive(Default)]
struct Watch {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Running,
    Cancelling,
    GroupGone,
    Ended,
}

impl Watch {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the job and whether it was cancelled. The leader is reaped last, so that its group's number stays its own until then.
fn wait(mut child: std::process::Child, control: File, grace: Duration) -> (How, bool) {
    let leader = Pid::from_child(&child);
    let watch = Arc::new(Watch::default());
    // Kept open to the end: a proxy that finds nobody at the other side takes the runner for dead.
    let control = Arc::new(control);
    let listener = {
        let (watch, control) = (Arc::clone(&watch), Arc::clone(&control));
        thread::Builder::new().spawn(move || listen(&control, leader, grace, &watch))
    };
    if let Err(error) = listener {
        let _ = writeln!(io::stderr(), "batchlingua: the job cannot be cancelled: {error}");
    }
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
    {
    }
    let mut progress = watch.progress();
    while *progress == Progress::Cancelling {
        progress = watch.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
    }
    let cancelled = *progress == Progress::GroupGone;
    *progress = Progress::Ended;
    drop(progress);
    drop(control);
    match child.wait() {
        Ok(status) => (how(status), cancelled),
        Err(_) => (How::Unseen, cancelled),
    }
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Code(code),
        (None, Some(signal)) => How::Signal(signal),
        (None, None) => How::Unseen,
    }
}

fn listen(mut control: &File, group: Pid, grace: Duration, watch: &Watch) {
    if control.read_exact(&mut [0]).is_err() {
        return;
    }
    {
        let mut progress = watch.progress();
        if *progress != Progress::Running {
            return;
        }
        *progress = Progress::Cancelling;
    }
    procs::end_group(group, grace);
    *watch.progress() = Progress::GroupGone;
    watch.changed.notify_all();
}
