//! Who asks, how he proves it, and what he may do.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use crate::{Millis, Result};

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

/// What a principal may do beyond what anybody may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// May act on everybody's batches.
    pub administrator: bool,
    /// The projects whose batches he sees and may submit to; batches without a project are everybody's.
    pub projects: Allowed,
    /// The queues that he may submit to.
    pub queues: Allowed,
    /// The users beside himself that he may run batches as.
    pub run_as: Allowed,
}

impl Rights {
    /// Of everybody, where nobody is asked who he is.
    pub fn all() -> Self {
        Self { administrator: true, projects: Allowed::Any, queues: Allowed::Any, run_as: Allowed::Any }
    }
}

/// Names that a principal may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Every name.
    Any,
    /// These.
    Only(Vec<String>),
}

impl Allowed {
    /// Whether this name is among them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|known| known == name),
        }
    }
}

/// Who asks, and what he may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub principal: Principal,
    /// What.
    pub rights: Arc<Rights>,
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
    /// A session that this proxy gave out to somebody who had proven who he is (Kylin's cookie).
    Session(String),
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
        /// The token that it shows beside, as the holder of a temporary key does.
        security_token: Option<String>,
    },
}

impl Credentials {
    /// The name that somebody claims by showing this, where it has one outside the secret.
    pub fn claimed(&self) -> Option<&str> {
        match self {
            Self::Basic { user, .. } => Some(user),
            Self::Signature { access_key, .. } => Some(access_key),
            Self::Bearer(_) | Self::Token(_) | Self::Session(_) => None,
        }
    }
}

/// Shows which kind, never the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Token(_) => "Token(..)",
            Self::Session(_) => "Session(..)",
            Self::Signature { .. } => "Signature(..)",
        })
    }
}

/// Knows who is who.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Whether everybody has to prove who he is.
    fn is_required(&self) -> bool;

    /// Who shows this, where that takes no time. Where nobody has to prove anything a Basic name is taken as it is, and who shows nothing is
    /// `nobody`.
    fn recall(&self, shown: Option<&Credentials>, nobody: &str) -> Option<Identity>;

    /// Who shows this, if it has to be looked into: a password's hash takes a processor for a while.
    async fn authenticate(&self, shown: Option<&Credentials>) -> Result<Identity>;

    /// A session that stands for this identity until it has been idle for too long, shown as [`Credentials::Session`]. `None`: what was
    /// shown earns none, or is a session that is still good for a while.
    fn session(&self, identity: &Identity, shown: Option<&Credentials>) -> Option<String>;
}
