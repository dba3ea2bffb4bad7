//! The backends: one in memory whose jobs a test moves, and this machine with real processes. A job is a file with arguments, which every
//! dialect that submits can say.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, thread};

use async_trait::async_trait;
use batchlingua_core::{Backend, BatchKind, BatchSpec, BatchState, NativeId, SystemClock};
use batchlingua_local::{Config, LocalBackend};
use batchlingua_testkit::{
    MemoryBackend,
    conformance::{Job, Rig},
};
use batchlingua_wire::Settings;
use serde_json::json;

/// What each job is told to do. The gate lies in the job's own folder, where `finish` finds it by the job's id.
const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
  succeeds) exit 0 ;;
  fails) exit 3 ;;
  prints) i=0; while [ $i -lt "$2" ]; do echo "line $i"; i=$((i + 1)); done ;;
  runs) mkfifo gate && read word < gate ;;
esac
"#;

pub(crate) fn args(job: Job) -> Vec<String> {
    match job {
        Job::Succeeds => vec!["succeeds".into()],
        Job::Fails => vec!["fails".into()],
        Job::Prints(lines) => vec!["prints".into(), lines.to_string()],
        Job::Runs => vec!["runs".into()],
    }
}

struct MemoryRig {
    backend: Arc<MemoryBackend>,
    moves: bool,
}

/// A backend whose jobs are moved as soon as they are there.
pub(crate) fn memory() -> Arc<dyn Rig> {
    moving(Arc::new(MemoryBackend::new("here", Arc::new(SystemClock)).telling_changes()))
}

/// The same of one that tells its changes.
pub(crate) fn moving(backend: Arc<MemoryBackend>) -> Arc<dyn Rig> {
    Arc::new(MemoryRig { backend, moves: true })
}

/// One whose jobs the test moves.
pub(crate) fn still(backend: Arc<MemoryBackend>) -> Arc<dyn Rig> {
    Arc::new(MemoryRig { backend, moves: false })
}

#[async_trait]
impl Rig for MemoryRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        BatchSpec { kind: BatchKind::Other, file: Some("/srv/job".into()), args: args(job), ..BatchSpec::default() }
    }

    async fn submitted(&self, id: &NativeId, job: Job) {
        if !self.moves {
            return;
        }
        self.backend.advance(id, BatchState::Running);
        match job {
            Job::Runs => {}
            Job::Succeeds => self.backend.advance(id, BatchState::Succeeded),
            Job::Fails => self.backend.advance(id, BatchState::Failed),
            Job::Prints(lines) => {
                self.backend.write_log(id, (0..lines).map(|at| format!("line {at}")));
                self.backend.advance(id, BatchState::Succeeded);
            }
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.backend.advance(id, BatchState::Succeeded);
    }
}

struct LocalRig {
    dir: tempfile::TempDir,
    backend: Arc<LocalBackend>,
}

/// This machine, on a folder of its own.
pub(crate) async fn local() -> Arc<dyn Rig> {
    let dir = tempfile::tempdir().expect("a folder");
    let script = dir.path().join("job");
    fs::write(&script, SCRIPT).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("it can be run");
    let settings = json!({
        "dir": dir.path().join("jobs"),
        "allow_dirs": [dir.path()],
        "spark": false,
        "runner": [env!("CARGO_BIN_EXE_batchlingua"), "run-job"],
    });
    let config = Config::read(Settings::new("backend.here", settings)).expect("settings are right");
    let backend = LocalBackend::new("here".into(), config, Arc::new(SystemClock)).await.expect("a backend");
    Arc::new(LocalRig { dir, backend: Arc::new(backend) })
}

impl LocalRig {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[async_trait]
impl Rig for LocalRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        let file = Some(self.path("job").display().to_string());
        BatchSpec { kind: BatchKind::Other, file, args: args(job), ..BatchSpec::default() }
    }

    async fn finish(&self, id: &NativeId) {
        let gate = self.path("jobs").join(id.as_str()).join("work/gate");
        let open = move || {
            while !gate.exists() {
                thread::yield_now();
            }
            // Waits until the job reads.
            fs::write(gate, "go\n").expect("written");
        };
        tokio::task::spawn_blocking(open).await.expect("the gate opens");
    }
}
