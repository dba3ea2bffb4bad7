//! Where nobody has to prove who he is: a Basic name is taken as the client gives it, and stands unverified in the ledger and the audit.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use batchlingua_core::{Authenticator, Credentials, Error, Identity, Principal, Result, Rights};

/// Believes everybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anyone;

#[async_trait]
impl Authenticator for Anyone {
    fn is_required(&self) -> bool {
        false
    }

    fn recall(&self, shown: Option<&Credentials>, nobody: &str) -> Option<Identity> {
        static ALL: LazyLock<Arc<Rights>> = LazyLock::new(|| Arc::new(Rights::all()));
        let name = match shown {
            Some(Credentials::Basic { user, .. } | Credentials::Session(user)) if !user.is_empty() => user,
            Some(Credentials::Basic { .. } | Credentials::Session(_) | Credentials::Bearer(_)) => nobody,
            Some(Credentials::Token(_) | Credentials::Signature { .. }) | None => nobody,
        };
        Some(Identity { principal: Principal::unverified(name), rights: ALL.clone() })
    }

    async fn authenticate(&self, _: Option<&Credentials>) -> Result<Identity> {
        Err(Error::internal("everybody is known at once"))
    }

    fn session(&self, identity: &Identity, shown: Option<&Credentials>) -> Option<String> {
        let has_named_himself = matches!(shown, Some(Credentials::Basic { .. }));
        has_named_himself.then(|| identity.principal.name.to_string())
    }
}
