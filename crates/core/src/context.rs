//! Who asks, by which way, and until when.

use std::{
    fmt,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::{DialectName, ListenerName, Millis, Project, RequestId};

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
    /// The project that the request is about; whatever it names is looked for there.
    pub project: Option<Project>,
    /// The caller's own credentials, where a backend is configured to use them.
    pub caller: Option<Arc<Credentials>>,
    /// When the answer is due.
    pub deadline: Instant,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name.
    pub name: Arc<str>,
    /// Whether anybody has checked it. Without authentication a name is taken as the client gives it.
    pub verified: bool,
}

impl Principal {
    /// Whoever gave no name.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into(), verified: false }
    }

    /// A name that nobody has checked.
    pub fn unverified(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), verified: false }
    }
}

/// What a client showed to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
    /// A product's own token, such as DLI's `X-Auth-Token`.
    Token(String),
    /// A signature over the request, body included (DLI's AK/SK).
    Signature {
        /// The access key's id.
        access_key: String,
        /// The text that was signed.
        signed: String,
        /// The signature over it.
        signature: String,
        /// When the client says that it signed.
        at: Millis,
    },
}

/// Shows which kind, never the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Token(_) => "Token(..)",
            Self::Signature { .. } => "Signature(..)",
        })
    }
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
