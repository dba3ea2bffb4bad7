//! The line and headers of a request: what is sent, and what `explain` shows of it.
//!
//! Framing, names of places and credentials are the client's alone. What a call brings of them (a relayed request has them all) is dropped, so
//! that neither a smuggled length nor what a client showed to this proxy reaches a backend.

use std::fmt::Write;

use batchlingua_core::{Context, redact};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::Scheme};

use super::{Call, Client, Failure, Outgoing, UpstreamError, auth::Shown, auth::X_AUTH_TOKEN};

const USER_AGENT: &str = concat!("batchlingua/", env!("CARGO_PKG_VERSION"));
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Headers about one connection, which end with it.
const HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What else a call does not decide.
const OWN: [HeaderName; 7] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::AUTHORIZATION,
    X_AUTH_TOKEN,
    header::COOKIE,
    X_REAL_IP,
];

/// What of a head is not about the connection that it came by, in its order.
pub(super) fn beyond_the_hop(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    headers.iter().filter(move |(name, _)| !HOP.contains(name) && !named.contains(name))
}

impl Client {
    /// Request line and headers as they would be sent, credentials masked: for `explain`. What a caller's address, trace and own credentials
    /// would add is not known here.
    pub fn head_of(&self, call: &Call) -> String {
        let mut out = String::new();
        match self.head(None, call) {
            Ok((uri, headers)) => {
                let target = if self.is_relayed() { uri.to_string() } else { target_of(&uri).to_owned() };
                let _ = writeln!(out, "{} {} HTTP/1.1", call.method, redact::line(&target));
                for (name, value) in &headers {
                    let _ = writeln!(out, "{name}: {}", shown(name, value));
                }
            }
            Err(error) => {
                let _ = writeln!(out, "{call:?}: {error}");
            }
        }
        out
    }

    /// The address and all headers of one attempt.
    pub(super) fn head(&self, ctx: Option<&Context>, call: &Call) -> Result<(Uri, HeaderMap), UpstreamError> {
        let config = &self.0.config;
        let uri = config.url.join(&call.target).map_err(|error| unsendable(&error))?;
        let host = HeaderValue::from_str(config.url.authority()).map_err(|error| unsendable(&error))?;
        let mut headers = HeaderMap::with_capacity(call.headers.len() + 8);
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        add_those_of(call, &mut headers);
        if let Some(ctx) = ctx {
            tell_of_client(ctx, &mut headers);
        }
        frame(call, &mut headers);
        if self.is_relayed()
            && let Some(authorization) = config.proxy.as_ref().and_then(|proxy| proxy.authorization.clone())
        {
            headers.insert(header::PROXY_AUTHORIZATION, authorization);
        }
        let caller = ctx.and_then(|ctx| ctx.caller.as_deref());
        match config.auth.shown(caller).ok_or(UpstreamError::NotSent(Failure::Credentials))? {
            Shown::Nothing => {}
            Shown::Header(name, value) => {
                headers.insert(name, value);
            }
            Shown::Signature => self.sign(call, &uri, &mut headers)?,
        }
        Ok((uri, headers))
    }

    fn sign(&self, call: &Call, uri: &Uri, headers: &mut HeaderMap) -> Result<(), UpstreamError> {
        let body: &[u8] = match &call.body {
            Outgoing::Empty => b"",
            Outgoing::Bytes(bytes) => bytes,
            Outgoing::Stream { .. } | Outgoing::Once(_) => {
                return Err(unsendable(&"a body that comes in pieces cannot be signed"));
            }
        };
        let signer = self.0.signer.as_ref().expect("a client with a key is made with a signer");
        signer.sign(&call.method, uri, headers, body);
        Ok(())
    }

    /// Whether requests go to an egress proxy that reads them.
    pub(super) fn is_relayed(&self) -> bool {
        self.0.config.proxy.is_some() && self.0.config.url.scheme == Scheme::HTTP
    }
}

fn unsendable(why: &dyn std::fmt::Display) -> UpstreamError {
    UpstreamError::NotSent(Failure::Request(why.to_string()))
}

fn add_those_of(call: &Call, headers: &mut HeaderMap) {
    let mut last = None;
    for (name, value) in beyond_the_hop(&call.headers).filter(|(name, _)| !OWN.contains(name)) {
        // Values of one name come one after another: the first takes the place of what stood there.
        if last == Some(name) {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
        }
        last = Some(name);
    }
}

fn tell_of_client(ctx: &Context, headers: &mut HeaderMap) {
    if let Some(client) = ctx.client {
        headers.insert(X_REAL_IP, HeaderValue::from_str(&client.to_string()).expect("an address is a header's text"));
    }
    if let Some(trace) = ctx.trace.as_deref().and_then(|trace| HeaderValue::from_str(trace).ok()) {
        headers.insert(TRACEPARENT, trace);
    }
}

/// Says how long the body is, so that hyper has nothing left to decide and what is shown is what is sent.
fn frame(call: &Call, headers: &mut HeaderMap) {
    let length = match &call.body {
        Outgoing::Bytes(bytes) => Some(bytes.len() as u64),
        Outgoing::Stream { length, .. } => *length,
        Outgoing::Once(body) => http_body::Body::size_hint(body).exact(),
        Outgoing::Empty => match call.method {
            Method::POST | Method::PUT | Method::PATCH => Some(0),
            _ => return,
        },
    };
    match length {
        Some(length) => headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
        None => headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    };
}

fn target_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// A header's value for people.
fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let is_credential = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE].contains(name);
    if value.is_sensitive() || is_credential || redact::is_secret_key(name.as_str()) {
        return redact::MASK.to_owned();
    }
    redact::line(&String::from_utf8_lossy(value.as_bytes()))
}
