//! `batchlingua explain` and `POST /api/explain`: what would become of a request, without sending anything.
//!
//! The router explains (`batchlingua_router::Explanation`); here a request is read from a file or a body (`request`), its listener is chosen,
//! and the explanation is written for people (`text`) or programs (`json`). The command opens the backends of the configuration, none of
//! which touches anything by being opened, over a ledger in memory that stays empty.

mod command;
mod json;
mod request;
mod text;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use batchlingua_core::{
    Authenticator, Credentials, Error, Identity, ListenerName, Principal, Result as CoreResult, Rights,
};
use batchlingua_router::{Explanation, ListenerService};
use batchlingua_wire::{Body, BodyError};
use bytes::Bytes;
use futures_util::Stream;
use http::{Request, header};

use crate::auth::{Guard, name_fault};

pub use command::{ExplainArgs, explain};
pub use json::json;
pub use request::RequestFault;
pub use text::text;

/// A listener that requests are explained for.
pub struct Door {
    /// Its name.
    pub name: ListenerName,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its service.
    pub service: ListenerService,
    /// Who is who there; `None`: nobody has to prove anything.
    pub guard: Option<Arc<Guard>>,
}

/// Explains requests to the listeners of a proxy.
pub struct Explainer {
    doors: Vec<Door>,
    max_head: usize,
}

/// How a request is to be explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// For this listener; otherwise for the one that its `Host` names, or the only one.
    pub listener: Option<String>,
    /// As if this user had sent it, whatever it shows.
    pub user: Option<String>,
}

/// Why nothing is explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainFault {
    /// It is no request.
    #[error("the request {0}")]
    Request(#[from] RequestFault),
    /// It is not clear for whom.
    #[error("{0}")]
    Wanted(String),
}

/// A request with the explanation.
pub struct Explained {
    /// Its first line, without the query: that may have a secret.
    pub line: String,
    /// What would become of it.
    pub explanation: Explanation,
}

impl Explainer {
    /// For these listeners. `max_head`: most bytes of a request's head.
    pub fn new(doors: Vec<Door>, max_head: usize) -> Self {
        Self { doors, max_head }
    }

    /// Explains a request as it lies in a file.
    pub async fn explain<S>(&self, bytes: S, wanted: &Wanted) -> Result<Explained, ExplainFault>
    where
        S: Stream<Item = Result<Bytes, BodyError>> + Send + Unpin + 'static,
    {
        let request = request::read(bytes, self.max_head).await?;
        let door = self.door(&request, wanted.listener.as_deref())?;
        let who = wanted.user.as_deref().map(|name| door.known_as(name)).transpose()?;
        let line = format!("{} {}", request.method(), request.uri().path());
        Ok(Explained { line, explanation: door.service.explain(request, who).await })
    }

    fn door(&self, request: &Request<Body>, named: Option<&str>) -> Result<&Door, ExplainFault> {
        let names = || self.doors.iter().map(|door| door.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some(name) = named {
            let door = self.doors.iter().find(|door| door.name.as_str() == name);
            return door
                .ok_or_else(|| ExplainFault::Wanted(format!("there is no listener '{name}'; there are: {}", names())));
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let port = host.and_then(|host| host.parse::<http::uri::Authority>().ok()?.port_u16());
        match (self.doors.as_slice(), port) {
            ([only], _) => Some(only),
            (doors, Some(port)) => doors.iter().find(|door| door.address.port() == port),
            (_, None) => None,
        }
        .ok_or_else(|| {
            let message = "it is not clear to which listener this goes: name one (--listener, or ?listener=), of";
            ExplainFault::Wanted(format!("{message} {}", names()))
        })
    }
}

impl Door {
    fn known_as(&self, name: &str) -> Result<Arc<dyn Authenticator>, ExplainFault> {
        if let Some(fault) = name_fault(name) {
            return Err(ExplainFault::Wanted(format!("this is no user: {fault}")));
        }
        let identity = match &self.guard {
            Some(guard) => guard.identity(name),
            None => Identity { principal: Principal::unverified(name), rights: Arc::new(Rights::all()) },
        };
        Ok(Arc::new(KnownAs(identity)))
    }
}

/// Takes everybody for one user.
struct KnownAs(Identity);

#[async_trait]
impl Authenticator for KnownAs {
    fn is_required(&self) -> bool {
        false
    }

    fn recall(&self, _: Option<&Credentials>, _: &str) -> Option<Identity> {
        Some(self.0.clone())
    }

    async fn authenticate(&self, _: Option<&Credentials>) -> CoreResult<Identity> {
        Err(Error::internal("who asks is known at once"))
    }

    fn session(&self, _: &Identity, _: Option<&Credentials>) -> Option<String> {
        None
    }
}
