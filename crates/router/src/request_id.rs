//! Ids of requests: under one of them a client's complaint is found in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use batchlingua_core::{RequestId, Uuid};

/// The header that carries the id, both ways.
pub(crate) const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID: usize = 128;

/// Ids of requests: the client's own where it is fit to be shown, else one of ours.
pub(crate) struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        let (prefix, ..) = Uuid::new_v4().as_fields();
        Self { prefix, next: AtomicU64::new(1) }
    }

    pub(crate) fn of(&self, headers: &http::HeaderMap) -> RequestId {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given
            .filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic()))
        {
            Some(id) => RequestId::from(id),
            None => RequestId::from(format!("{:08x}-{:x}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))),
        }
    }
}
