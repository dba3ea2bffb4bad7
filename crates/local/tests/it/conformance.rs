//! The suite that every backend has to pass, over real processes.

use std::{fs, sync::Arc, thread};

use async_trait::async_trait;
use batchlingua_core::{Backend, BatchKind, BatchSpec, BatchState, NativeId, StateSet};
use batchlingua_local::LocalBackend;
use batchlingua_testkit::conformance::{self, Job, Rig};

use crate::support::{Ground, context, intent, off_thread};

const SLOTS: usize = 3;

struct LocalRig {
    ground: Ground,
    backend: Arc<LocalBackend>,
}

fn shell(script: impl Into<String>) -> BatchSpec {
    let args = vec!["-c".to_owned(), script.into()];
    BatchSpec { kind: BatchKind::Other, file: Some("/bin/sh".to_owned()), args, ..BatchSpec::default() }
}

#[async_trait]
impl Rig for LocalRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn spec(&self, job: Job) -> BatchSpec {
        match job {
            Job::Succeeds => shell("exit 0"),
            Job::Fails => shell("exit 3"),
            Job::Prints(lines) => {
                shell(format!("i=0; while [ $i -lt {lines} ]; do echo \"line $i\"; i=$((i + 1)); done"))
            }
            // In the job's own folder, where `finish` finds it by the job's id.
            Job::Runs => shell("mkfifo gate && read word < gate"),
        }
    }

    async fn finish(&self, id: &NativeId) {
        let gate = self.ground.job_file(id, "work/gate");
        off_thread(move || {
            while !gate.exists() {
                thread::yield_now();
            }
            // Waits until the job reads.
            fs::write(gate, "go\n").expect("written");
        })
        .await;
    }

    async fn fill(&self) -> Vec<NativeId> {
        let mut filling = Vec::new();
        for _ in 0..SLOTS {
            let plan = self.backend.plan(intent(self.spec(Job::Runs))).expect("a plan");
            let id = self.backend.submit(&context(), plan).await.expect("submitted").id;
            self.reached(&id, StateSet::from_iter([BatchState::Running])).await;
            filling.push(id);
        }
        filling
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_backend_conforms() {
    let ground = Ground::new().with("concurrency", SLOTS);
    let backend = ground.open().await.backend;
    conformance::all(&LocalRig { ground, backend }).await;
}
