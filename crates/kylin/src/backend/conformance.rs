//! What every backend must do, over a Kylin that takes no submits: its jobs are made past the proxy.

use std::sync::Arc;

use async_trait::async_trait;
use batchlingua_core::{Backend, Batch, BatchKind, BatchSpec, Detail, NativeId, StateSet};
use batchlingua_testkit::{
    conformance::{self, Job, Rig},
    context,
};
use serde_json::json;

use super::fake::Fake;
use crate::{backend::KylinBackend, settings::Version};

struct KylinRig {
    fake: Fake,
    backend: Arc<KylinBackend>,
}

#[async_trait]
impl Rig for KylinRig {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    /// What a Kylin says of a job's program, which is no file.
    fn spec(&self, _: Job) -> BatchSpec {
        BatchSpec { kind: BatchKind::Other, ..BatchSpec::default() }
    }

    async fn make(&self, _: Job) -> Batch<NativeId> {
        let id = NativeId::from(self.fake.add("retail", "PENDING"));
        self.backend.get(&context(), &id, Detail::State).await.expect("the job is there")
    }

    async fn submitted(&self, id: &NativeId, job: Job) {
        self.fake.set(id.as_str(), "RUNNING");
        match job {
            Job::Runs => {}
            Job::Succeeds => self.fake.set(id.as_str(), "FINISHED"),
            Job::Fails => self.fake.set(id.as_str(), "ERROR"),
            Job::Prints(lines) => {
                self.fake.write(id.as_str(), lines as usize);
                self.fake.set(id.as_str(), "FINISHED");
            }
        }
    }

    async fn finish(&self, id: &NativeId) {
        self.fake.set(id.as_str(), "FINISHED");
    }

    /// Nothing moves there by itself.
    async fn reached(&self, id: &NativeId, wanted: StateSet) -> Batch<NativeId> {
        let batch = self.backend.get(&context(), id, Detail::Summary).await.expect("the job is there");
        assert!(wanted.contains(batch.state), "{id} is {}", batch.state);
        batch
    }
}

#[tokio::test]
async fn every_kylin_does_what_every_backend_must() {
    for version in [Version::Five, Version::Four, Version::Three, Version::Two] {
        let fake = Fake::start(version).await;
        let backend = Arc::new(fake.backend(json!({})));
        conformance::all(&KylinRig { fake, backend }).await;
    }
}
