//! A backend on a folder of its own, and waiting for what happens to its jobs.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use batchlingua_core::{
    Backend, Batch, BatchState, Changes, Detail, Effect, Intent, Lines, LogBody, LogQuery, LogSource, NativeId,
    SystemClock, Uuid,
};
use batchlingua_local::{Config, LocalBackend};
use batchlingua_wire::Settings;
use futures_util::StreamExt;
use serde_json::{Value, json};

pub(crate) use crate::{
    intents::{context, executable, intent},
    path::stand_in,
};

/// Far beyond what anything here takes; a test that waits so long has failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// A folder for jobs and for what they read and write.
pub(crate) struct Ground {
    dir: tempfile::TempDir,
    settings: Value,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = json!({
            "dir": dir.path().join("jobs"),
            "allow_dirs": [dir.path(), "/bin", "/usr/bin"],
            "spark": false,
            "cancel_grace": "20s",
            "runner": [stand_in(), "run-job"],
        });
        Self { dir, settings }
    }

    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings[key] = value.into();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn job_file(&self, id: &NativeId, name: &str) -> PathBuf {
        self.path("jobs").join(id.as_str()).join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// A FIFO: who reads it waits for who writes it.
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let path = self.path(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).expect("a FIFO");
        Gate(path)
    }

    pub(crate) async fn open(&self) -> House {
        let settings = Settings::new("backend.here", self.settings.clone());
        let config = Config::read(settings).expect("settings are right");
        let backend = LocalBackend::new("here".into(), config, Arc::new(SystemClock)).await.expect("a backend");
        let changes = backend.changes().expect("a backend that tells of changes");
        House { backend: Arc::new(backend), changes }
    }

    /// A proxy in a process of its own.
    pub(crate) fn proxy(&self) -> Proxy {
        self.proxy_with(Command::new(stand_in()))
    }

    pub(crate) fn proxy_with(&self, mut command: Command) -> Proxy {
        command.arg("proxy").arg(self.settings.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the stand-in starts");
        let said = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut proxy = Proxy { child, said };
        assert_eq!(proxy.next_line(), "open");
        proxy
    }
}

/// Something that a job waits at.
pub(crate) struct Gate(PathBuf);

impl Gate {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What is written into the gate; waits for it.
    pub(crate) async fn read(&self) -> String {
        let path = self.0.clone();
        off_thread(move || fs::read_to_string(path).expect("read")).await
    }

    /// Lets one reader through; waits for it to come.
    pub(crate) async fn open(&self) {
        let path = self.0.clone();
        off_thread(move || fs::write(path, "go\n").expect("written")).await;
    }
}

/// A shell script.
pub(crate) fn shell(script: impl Into<String>) -> Intent {
    executable(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.into()])
}

/// Waits for what blocks. Not on the runtime's threads: a test that fails must not wait for it for ever.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, waits) = tokio::sync::oneshot::channel();
    // A test that has failed meanwhile does not listen any more.
    std::thread::spawn(move || done.send(work()).map_err(drop));
    within(waits).await.expect("it did not panic")
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it happens in time")
}

/// A backend with its changes.
pub(crate) struct House {
    pub(crate) backend: Arc<LocalBackend>,
    changes: Changes,
}

impl House {
    pub(crate) async fn submit(&self, intent: Intent) -> NativeId {
        let plan = self.backend.plan(intent).expect("a plan");
        self.backend.submit(&context(), plan).await.expect("submitted").id
    }

    pub(crate) async fn get(&self, id: &NativeId) -> Batch<NativeId> {
        self.backend.get(&context(), id, Detail::Summary).await.expect("it is there")
    }

    pub(crate) async fn state(&self, id: &NativeId) -> BatchState {
        self.backend.get(&context(), id, Detail::State).await.expect("it is there").state
    }

    pub(crate) async fn cancel(&self, id: &NativeId) -> Effect {
        self.backend.control(&context(), id, batchlingua_core::Action::Cancel).await.expect("taken")
    }

    /// Waits until the job is as wanted; every look but the first comes from the stream of changes.
    pub(crate) async fn until(&mut self, id: &NativeId, wanted: impl Fn(&Batch<NativeId>) -> bool) -> Batch<NativeId> {
        within(async {
            loop {
                let now = self.get(id).await;
                if wanted(&now) {
                    return now;
                }
                while self.changes.next().await.expect("changes do not end").id != *id {}
            }
        })
        .await
    }

    pub(crate) async fn ended(&mut self, id: &NativeId) -> Batch<NativeId> {
        self.until(id, |batch| batch.state.is_end()).await
    }

    pub(crate) async fn lines(&self, id: &NativeId, lines: Lines) -> Vec<String> {
        let query = LogQuery { lines, source: LogSource::Default };
        match self.backend.log(&context(), id, &query).await.expect("a log").body {
            LogBody::Lines(lines) => lines,
            LogBody::Stream(_) => panic!("a page was asked for"),
        }
    }

    pub(crate) async fn log(&self, id: &NativeId) -> Vec<String> {
        self.lines(id, Lines::From(0, 10_000)).await
    }
}

/// A proxy in a process of its own.
pub(crate) struct Proxy {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Proxy {
    fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the stand-in answers");
        line.trim().to_owned()
    }

    pub(crate) fn submit(&mut self, script: &str) -> NativeId {
        let words = json!(["/bin/sh", "-c", script]);
        writeln!(self.child.stdin.as_mut().expect("stdin is piped"), "{words}").expect("written");
        let id = self.next_line();
        assert!(Uuid::parse_str(&id).is_ok(), "{id}");
        id.into()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
