//! What is submitted, shared by the tests and the binary that stands in for the proxy.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{BatchKind, BatchSpec, Context, Intent, Marker, Principal, Rights, Uuid};

/// A call that has time.
pub(crate) fn context() -> Context {
    Context {
        request: "r".into(),
        dialect: "livy".into(),
        listener: "main".into(),
        principal: Principal::anonymous(),
        rights: Arc::new(Rights::all()),
        project: None,
        caller: None,
        client: None,
        trace: None,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// A new intent for a spec.
pub(crate) fn intent(spec: BatchSpec) -> Intent {
    // Unique enough without a source of randomness: which process, and when.
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let nanos = std::time::UNIX_EPOCH.elapsed().expect("after the epoch").as_nanos() as u64;
    let uuid = Uuid::from_u64_pair(nanos, (u64::from(std::process::id()) << 32) + count);
    Intent {
        marker: Marker { uuid, name: None },
        backend: "here".into(),
        spec: Arc::new(spec),
        files: Arc::default(),
        principal: Principal::unverified("ana"),
        dialect: "livy".into(),
        project: None,
    }
}

/// An executable with its arguments.
pub(crate) fn executable(mut words: Vec<String>) -> Intent {
    let file = words.remove(0);
    intent(BatchSpec { kind: BatchKind::Other, file: Some(file), args: words, ..BatchSpec::default() })
}
