//! Newtypes for every id and name, so that none can stand in for another.

use std::{fmt, sync::Arc};

use uuid::Uuid;

macro_rules! text_newtype {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is; what it may contain is checked where it is read.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    )* };
}

text_newtype! {
    /// A backend as the configuration names it.
    BackendName,
    /// A dialect: `livy`, `kyuubi`, `dli`, `kylin`.
    DialectName,
    /// A listener as the configuration names it.
    ListenerName,
    /// The id of one client request; also answered as a header.
    RequestId,
    /// A project that scopes batches (DLI's `project_id`, Kylin's `project`).
    Project,
    /// A backend's own id of a batch. Never leaves the backend side.
    NativeId,
}

/// What a client wrote to name a batch, before the ledger has been asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BatchRef {
    /// A uuid, however it was spelled.
    Uuid(Uuid),
    /// Livy's integer.
    Ordinal(u32),
    /// A batch's own name, as Livy allows.
    Name(String),
    /// An id of another shape, as legacy Kylin has.
    Text(String),
}

impl fmt::Display for BatchRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Ordinal(ordinal) => ordinal.fmt(f),
            Self::Name(text) | Self::Text(text) => f.write_str(text),
        }
    }
}

/// What the ledger knows a batch by. All of them resolve; `native` is shown where it fits the client's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchId {
    /// Always there: the id of dialects with uuids.
    pub uuid: Uuid,
    /// Always there, below 2^31: Livy's integer.
    pub ordinal: u32,
    /// The backend's own id, once it is known.
    pub native: Option<NativeId>,
}

/// The row of a batch in the ledger; meaningless outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// Where a walk over a backend's batches goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// This instant plus a span.
    pub fn plus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant minus a span.
    pub fn minus(self, span: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}
