//! One thread per running job: it waits for the job's end, so that an end is an event and nothing is polled.
//!
//! A runner that this process started is its child and has to be reaped; for one that was found running, and for the processes of one
//! that was killed, the thread waits at the lock that they hold. The thread outlasts the table without harm: it then only tidies up.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use batchlingua_core::{Clock, SystemClock, Uuid, redact};

use crate::{
    folder::{self, Folder, Held, Standing},
    jobs::Jobs,
    procs,
    records::{Exit, How},
    runner::NAME,
};

/// What a watch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Starting the job.
    Start,
    /// Finding it running.
    Adopt,
}

/// Watches a job to its end. Fails where there are no more threads; nothing has begun then.
pub(crate) fn watch(jobs: &Arc<Jobs>, id: Uuid, begin: Begin) -> io::Result<()> {
    let folder = jobs.folder(id);
    let command = (begin == Begin::Start).then(|| jobs.runner(&folder));
    let weak = Arc::downgrade(jobs);
    let thread = thread::Builder::new().name("job-watch".to_owned());
    let watching = thread.spawn(move || {
        let exit = follow(&weak, &folder, command).unwrap_or_else(|error| unseen(&folder, &error));
        if let Some(jobs) = weak.upgrade() {
            jobs.ended(id, &exit);
            jobs.measure(id);
        }
    });
    watching.map(drop)
}

/// The folder cannot be read: nothing can be said of the job but that it is lost.
fn unseen(folder: &Folder, error: &io::Error) -> Exit {
    tracing::error!(batch.id = %folder.id, %error, "a job's folder cannot be read");
    Exit { how: How::Unseen, cancelled: false, started_ms: None, ended_ms: SystemClock.now().0 }
}

fn follow(jobs: &Weak<Jobs>, folder: &Folder, command: Option<Command>) -> io::Result<Exit> {
    let fault = match command {
        Some(mut command) => run(jobs, folder, &mut command).err(),
        None => None,
    };
    let held = folder.lock()?;
    let exit = conclude(folder, &held, fault.as_ref())?;
    held.release()?;
    Ok(exit)
}

/// Runs the runner.
fn run(jobs: &Weak<Jobs>, folder: &Folder, command: &mut Command) -> io::Result<()> {
    let mut runner = command.spawn()?;
    let mut stdout = runner.stdout.take().expect("stdout is piped");
    if stdout.read(&mut [0])? == 1
        && let Some(jobs) = jobs.upgrade()
    {
        jobs.runs(folder.id, folder.started());
    }
    drop(stdout);
    runner.wait().map(drop)
}

/// The end of a job that no runner holds any more, written down. Waits for what lives of it.
pub(crate) fn conclude(folder: &Folder, held: &Held, fault: Option<&io::Error>) -> io::Result<Exit> {
    let mut standing = folder.standing_without_runner(held)?;
    if standing == Standing::Orphaned {
        if folder.cancel_asked() {
            end_orphans(folder);
        }
        folder.wait_for_processes()?;
        standing = folder.standing_without_runner(held)?;
    }
    let how = match standing {
        Standing::Ended(exit) => {
            folder.forget_launch()?;
            return Ok(exit);
        }
        Standing::Queued => How::NotStarted(match fault {
            Some(error) => format!("the job's runner could not be started: {error}"),
            None => "the job's runner could not start; the job's log may say why".to_owned(),
        }),
        Standing::Held | Standing::Orphaned | Standing::Lost => How::Unseen,
    };
    let started_ms = folder.started().map(|started| started.0);
    let exit = Exit { how, cancelled: folder.cancel_asked(), started_ms, ended_ms: SystemClock.now().0 };
    folder.end(&exit)?;
    Ok(exit)
}

/// Ends a job before it begins. `None`: a runner has taken it on.
pub(crate) fn cancel_unstarted(folder: &Folder) -> io::Result<Option<Exit>> {
    let Some(held) = folder.try_lock()? else { return Ok(None) };
    if !folder.start()? {
        held.release()?;
        return Ok(None);
    }
    let how = How::NotStarted("cancelled before it began".to_owned());
    let exit = Exit { how, cancelled: true, started_ms: None, ended_ms: SystemClock.now().0 };
    folder.end(&exit)?;
    held.release()?;
    Ok(Some(exit))
}

/// Ends what lives of a job whose runner was killed. Whom to end is known by the open file that only the job's processes can have.
pub(crate) fn end_orphans(folder: &Folder) {
    let grace = folder.launch().map_or(0, |launch| launch.cancel_grace_ms);
    match procs::groups_on(&folder.file(folder::ALIVE)) {
        Ok(groups) => {
            for group in groups.into_iter().filter_map(rustix::process::Pid::from_raw) {
                procs::end_group(group, Duration::from_millis(grace));
            }
        }
        Err(error) => tracing::warn!(batch.id = %folder.id, %error, "a job's processes cannot be looked for"),
    }
}

/// The runner's command line: nothing of it names this program or its folders, so that killing the proxy by name spares it.
pub(crate) fn runner(program: &[OsString], folder: &Folder, pass_env: &[String]) -> Command {
    let (program, args) = program.split_first().expect("the runner's program is checked when the settings are read");
    let mut command = Command::new(program);
    command.arg0(NAME).args(args).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    match std::fs::File::options().append(true).open(folder.file(folder::LOG)) {
        Ok(log) => command.stderr(log),
        Err(_) => command.stderr(Stdio::null()),
    };
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if redact::is_secret_key(&text) && !pass_env.iter().any(|pass| *pass == text) {
            command.env_remove(&name);
        }
    }
    command
}
