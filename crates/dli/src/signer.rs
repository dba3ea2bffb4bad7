//! Requests to a DLI signed with a key: what [`crate::signature`] makes, over the headers that the reference recommends.
//!
//! `User-Agent` is left out: signing it proves nothing, and whatever stands between may write another.

use std::sync::Arc;

use batchlingua_core::Clock;
use batchlingua_wire::{AccessKey, Secret, Signer};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use crate::signature::{DATE, Signable, date, payload_hash};

/// The project of a request, which has to be that of its path.
pub(crate) const PROJECT: HeaderName = HeaderName::from_static("x-project-id");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-security-token");
/// In the order of the alphabet, as they are signed.
const SIGNED: [&str; 5] = ["content-type", "host", "x-project-id", DATE, "x-security-token"];

/// Signs as the holder of a key.
pub(crate) struct DliSigner {
    key: AccessKey,
    clock: Arc<dyn Clock>,
}

impl DliSigner {
    /// The holder of this key, at the times of this clock.
    pub(crate) fn new(key: AccessKey, clock: Arc<dyn Clock>) -> Self {
        Self { key, clock }
    }
}

impl Signer for DliSigner {
    /// A new date for each attempt. What cannot be signed is sent as it is, and refused.
    fn sign(&self, method: &Method, uri: &Uri, headers: &mut HeaderMap, body: &[u8]) {
        let date = HeaderValue::from_str(&date(self.clock.now())).expect("a date is a header's text");
        headers.insert(HeaderName::from_static(DATE), date);
        if let Some(token) = self.key.security_token.as_ref().and_then(security_token) {
            headers.insert(SECURITY_TOKEN, token);
        }
        let signed: Vec<&str> = SIGNED.into_iter().filter(|name| headers.contains_key(*name)).collect();
        let signable = Signable {
            method: method.as_str(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers,
            signed_headers: &signed.join(";"),
            payload: &payload_hash(body),
        };
        let authorization = signable.authorization(&self.key.ak, self.key.sk.expose()).ok();
        if let Some(mut value) = authorization.and_then(|value| HeaderValue::from_str(&value).ok()) {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
    }
}

fn security_token(token: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(token.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
