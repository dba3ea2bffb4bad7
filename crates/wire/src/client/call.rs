//! One request to a backend, as an adapter words it.

use std::{fmt, sync::Arc, time::Duration};

use batchlingua_core::redact;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::Body;

/// One request to a backend.
pub struct Call {
    /// Its method.
    pub method: Method,
    /// Path and query below the backend's address, percent-encoded.
    pub target: String,
    /// Headers beside those that the client writes itself: host, length, credentials.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Outgoing,
    /// How long the exchange may take, where that is longer or shorter than the backend's `attempt_timeout`.
    pub within: Option<Duration>,
    /// Whether it changes nothing, so that it may be sent again if a kept connection was dead.
    pub is_read: bool,
}

/// The body of a request.
pub enum Outgoing {
    /// None.
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// One that comes in pieces, such as an upload from the spool.
    Stream {
        /// Makes it; asked again if the request has to be handed to another connection.
        make: Arc<dyn Fn() -> Body + Send + Sync>,
        /// How long it is; without that it is sent in chunks.
        length: Option<u64>,
    },
    /// One that can be sent once, such as a client's that is passed on.
    Once(Body),
}

impl Call {
    /// A request without a body that may have an effect.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        let target = target.into();
        Self { method, target, headers: HeaderMap::new(), body: Outgoing::Empty, within: None, is_read: false }
    }

    /// A read.
    pub fn get(target: impl Into<String>) -> Self {
        Self { is_read: true, ..Self::new(Method::GET, target) }
    }

    /// A JSON body to be taken in.
    pub fn post_json(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::json(Method::POST, target, body)
    }

    /// A JSON body to be put in place.
    pub fn put_json(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::json(Method::PUT, target, body)
    }

    /// A removal.
    pub fn delete(target: impl Into<String>) -> Self {
        Self::new(Method::DELETE, target)
    }

    fn json(method: Method, target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self::new(method, target).with_body(Outgoing::Bytes(body.into())).with_header(header::CONTENT_TYPE, json)
    }

    /// With one header more, in place of another of its name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With this body.
    #[must_use]
    pub fn with_body(self, body: Outgoing) -> Self {
        Self { body, ..self }
    }

    /// With a time limit of its own.
    #[must_use]
    pub fn with_limit(self, within: Duration) -> Self {
        Self { within: Some(within), ..self }
    }
}

/// Shows what is asked for, never a header or a body.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, redact::line(&self.target))
    }
}

impl Outgoing {
    /// The body for one attempt, and whether there is one for another.
    pub(super) fn take(&mut self) -> (Body, bool) {
        match self {
            Self::Empty => (Body::empty(), true),
            Self::Bytes(bytes) => (Body::full(bytes.clone()), true),
            Self::Stream { make, .. } => (make(), true),
            Self::Once(body) => (std::mem::replace(body, Body::empty()), false),
        }
    }
}
