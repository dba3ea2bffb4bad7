//! Which project a job is in: a Kylin 5 wants to hear it in every call about the job, and only its list tells it.
//!
//! A job never leaves its project. Memory only, and bounded: of more jobs than fit, those that were seen longest ago are looked up again.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Batch, NativeId, Project};
use lru::LruCache;

/// Most jobs that are remembered.
const MOST: usize = 20_000;

/// The projects of jobs that were seen.
pub(crate) struct Projects(Mutex<LruCache<NativeId, Project>>);

impl Default for Projects {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(MOST).expect("some are remembered"))))
    }
}

impl Projects {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn known(&self) -> MutexGuard<'_, LruCache<NativeId, Project>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, job: &NativeId) -> Option<Project> {
        self.known().get(job).cloned()
    }

    pub(crate) fn learn<'a>(&self, jobs: impl IntoIterator<Item = &'a Batch<NativeId>>) {
        let mut known = self.known();
        for job in jobs {
            if let Some(project) = &job.project
                && known.get(&job.id) != Some(project)
            {
                known.put(job.id.clone(), project.clone());
            }
        }
    }

    pub(crate) fn forget(&self, job: &NativeId) {
        self.known().pop(job);
    }
}
