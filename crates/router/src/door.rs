//! The door of a listener: who comes in, with which body, and in which circumstances.
//!
//! Nobody's body is read before it is known whose it is, but for one that is covered by its sender's signature. What is served and what is
//! only explained come in by the same door.

use std::{net::IpAddr, sync::Arc};

use batchlingua_core::{Authenticator, Context, Credentials, Error, ErrorKind, Identity, Result};
use batchlingua_wire::{Asker, Body, BodyKind, Dialect, RequestBody, RequestHead};
use tokio::time::timeout;

use crate::{Gateway, RefusedLogin, body, listener::late, spool::Spool};

/// W3C's has 55 characters; later versions may add to it.
const LONGEST_TRACE: usize = 256;

/// A request whose sender is known, with its body.
pub(crate) struct Received {
    pub(crate) caller: Option<Arc<Credentials>>,
    pub(crate) identity: Identity,
    pub(crate) body: RequestBody,
    pub(crate) spool: Spool,
}

/// Asks who sends it and reads the body, in the order that is right for what was shown.
pub(crate) async fn receive(
    door: &Door<'_>,
    shown: Result<Option<Credentials>>,
    kind: BodyKind,
    body: Body,
) -> Result<Received> {
    let Door { gateway, dialect, head, .. } = door;
    let (caller, identity, (body, spool)) = if covers_body(kind, head, &shown) {
        let read = body::read(kind, &head.headers, body, &gateway.limits).await?;
        let shown = dialect.credentials(head, &read.0);
        (gateway.caller(&shown), door.identify(shown).await?, read)
    } else {
        let caller = gateway.caller(&shown);
        let identity = door.identify(shown).await?;
        (caller, identity, body::read(kind, &head.headers, body, &gateway.limits).await?)
    };
    Ok(Received { caller, identity, body, spool })
}

/// What is known of a request's sender beside who he is.
pub(crate) struct Beside {
    pub(crate) caller: Option<Arc<Credentials>>,
    pub(crate) peer: Option<IpAddr>,
}

/// One deadline for all that follows; what must not be cancelled by it runs in a task of its own. The body has had its own time.
pub(crate) fn context(
    gateway: &Gateway,
    dialect: &Arc<dyn Dialect>,
    head: &RequestHead,
    identity: Identity,
    beside: Beside,
) -> Context {
    let Identity { principal, rights } = identity;
    let trace = head.header("traceparent").filter(|trace| trace.len() <= LONGEST_TRACE);
    Context {
        request: head.id.clone(),
        dialect: dialect.name().clone(),
        listener: head.face.listener.clone(),
        principal,
        rights,
        project: dialect.project(head),
        caller: beside.caller,
        client: beside.peer,
        trace: trace.map(Into::into),
        deadline: (tokio::time::Instant::now() + gateway.limits.request_timeout).into_std(),
    }
}

/// Where it is asked who comes.
pub(crate) struct Door<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) auth: &'a dyn Authenticator,
    pub(crate) dialect: &'a dyn Dialect,
    pub(crate) head: &'a RequestHead,
}

impl Door<'_> {
    /// Who asks, for the dialect's answer and for all that follows.
    pub(crate) async fn identify(&self, shown: Result<Option<Credentials>>) -> Result<Identity> {
        let shown = shown.inspect_err(|error| self.refused(None, error))?;
        let shown = shown.as_ref();
        let identity = match self.auth.recall(shown, self.dialect.nobody()) {
            Some(identity) => identity,
            None => self.authenticate(shown).await.inspect_err(|error| self.refused(shown, error))?,
        };
        let session = if self.dialect.has_sessions() { self.auth.session(&identity, shown) } else { None };
        let asker = self.head.asker.get_or_init(|| Asker { identity, session });
        Ok(asker.identity.clone())
    }

    async fn authenticate(&self, shown: Option<&Credentials>) -> Result<Identity> {
        let within = self.gateway.limits.request_timeout;
        timeout(within, self.auth.authenticate(shown)).await.map_err(late)?
    }

    fn refused(&self, shown: Option<&Credentials>, error: &Error) {
        let ErrorKind::Unauthenticated(why) = error.kind else { return };
        self.gateway.observer.refused(&RefusedLogin {
            request: self.head.id.as_str(),
            listener: &self.head.face.listener,
            dialect: self.dialect.name(),
            claimed: shown.and_then(Credentials::claimed),
            why,
        });
    }
}

/// Whether who asks can only be said once the body is there. A form is never signed: its files would have to be spooled for a stranger.
pub(crate) fn covers_body(kind: BodyKind, head: &RequestHead, shown: &Result<Option<Credentials>>) -> bool {
    let is_read = match kind {
        BodyKind::Bytes => true,
        BodyKind::FormOrBytes => body::form_type(&head.headers).is_none(),
        BodyKind::None | BodyKind::Stream => false,
    };
    // What cannot be read without the body may be readable with it.
    is_read && matches!(shown, Ok(Some(Credentials::Signature { .. })) | Err(_))
}
