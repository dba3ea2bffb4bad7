//! Who asks, by which way, and until when.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Credentials, DialectName, ListenerName, Millis, Principal, Project, RequestId, Rights};

/// One request's circumstances.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request's id.
    pub request: RequestId,
    /// The client's dialect.
    pub dialect: DialectName,
    /// The listener it came by.
    pub listener: ListenerName,
    /// Who asks.
    pub principal: Principal,
    /// What he may do.
    pub rights: Arc<Rights>,
    /// The project that the request is about; whatever it names is looked for there.
    pub project: Option<Project>,
    /// The caller's own credentials, where a backend is configured to use them.
    pub caller: Option<Arc<Credentials>>,
    /// The client's address, which HTTP backends are told as `X-Real-IP`. Work that no client asked for has none.
    pub client: Option<IpAddr>,
    /// The client's `traceparent`, which is sent on to HTTP backends as it is; who reads it has checked its form.
    pub trace: Option<Arc<str>>,
    /// When the answer is due.
    pub deadline: Instant,
}

/// Ends, leases and ages ask this, so that tests own the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Millis;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
