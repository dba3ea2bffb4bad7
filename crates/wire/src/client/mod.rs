//! The outbound HTTP client that all backends over HTTP share; one for each backend, with connections of its own.
//!
//! It is built around one question: may the backend have begun to act on this request? [`UpstreamError::was_sent`] answers it, never with a
//! "no" that is not certain, since "one intent, at most one job" rests on it. So nothing is sent again here but what hyper hands back
//! untouched, and a read whose kept connection turned out to be dead ([`exchange`]). Everything is bounded: the time to connect, the time of
//! one exchange, the head and the body of an answer, packed or not.
//!
//! Absent on purpose: redirects (a 3xx is an answer like any), cookies, HTTP/2, proxies taken from the environment, retries of anything
//! that may have run.

mod answer;
mod auth;
mod call;
mod config;
mod connect;
mod error;
mod exchange;
mod head;
mod pages;
mod stream;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use batchlingua_core::{BackendName, Error, Result};
use http::{HeaderMap, Method, Uri};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};

use crate::Body;
use connect::Connector;

pub use answer::Answer;
pub use auth::{AccessKey, AuthScheme, Secret};
pub use call::{Call, Outgoing};
pub use config::{BaseUrl, ClientConfig};
pub use error::{Failure, UpstreamError};
pub use pages::PageSize;

/// How large the head of an answer may be: far above what any of the products sends, and far below what would hurt.
const MAX_HEAD: usize = 64 * 1024;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 100;

/// Signs requests, as DLI wants it. Called for each attempt, since a signature holds only for a while.
pub trait Signer: Send + Sync + 'static {
    /// Adds what proves the request: it has all its other headers by now, `host` included.
    fn sign(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap, body: &[u8]);
}

/// A backend's client. A clone is the same client.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    backend: BackendName,
    config: ClientConfig,
    signer: Option<Arc<dyn Signer>>,
    http: legacy::Client<Connector, Body>,
}

impl Client {
    /// A client as configured, with no connection yet. A signer is what requests are signed by where the configuration has an access key.
    pub fn new(backend: BackendName, config: &ClientConfig, signer: Option<Arc<dyn Signer>>) -> Result<Self> {
        if config.access_key().is_some() && signer.is_none() {
            return Err(Error::internal(format!("backend '{backend}' has a key to sign with, and nothing that signs")));
        }
        let connector = Connector::new(config)
            .map_err(|fault| Error::internal(format!("backend '{backend}' has no client: {fault}")))?;
        let http = legacy::Client::builder(TokioExecutor::new())
            // Without a timer idle connections are kept for ever, whatever the timeout says.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle)
            .pool_max_idle_per_host(config.pool)
            // What is sent again is decided in `exchange`, where it is known what the request does.
            .retry_canceled_requests(false)
            .http1_max_buf_size(MAX_HEAD)
            .http1_max_headers(MAX_HEADERS)
            .set_host(false)
            .build(connector);
        Ok(Self(Arc::new(Inner { backend, config: config.clone(), signer, http })))
    }

    /// The backend that it is of.
    pub fn backend(&self) -> &BackendName {
        &self.0.backend
    }

    /// The backend's address, for links that are absolute.
    pub fn url(&self) -> &BaseUrl {
        &self.0.config.url
    }

    /// How long one exchange may take, where a call does not say it.
    pub fn attempt_timeout(&self) -> Duration {
        self.0.config.attempt_timeout
    }

    /// How large an answer may be.
    pub fn max_answer(&self) -> usize {
        self.0.config.max_answer
    }
}

/// Shows the backend and its address; credentials are in neither.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("backend", &self.0.backend)
            .field("url", &self.0.config.url)
            .finish_non_exhaustive()
    }
}
