//! Interactive sessions, passed on to a Livy as they are.
//!
//! Bodies stream both ways. Headers about one connection end with it, credentials are the backend's own (or the caller's, where that is
//! configured), and a `Location` gets the prefix by which its client asked. A path is passed on byte by byte, so one whose dots or doubled
//! slashes could mean another place there is not taken for a session's at all ([`is_session`]).

use async_trait::async_trait;
use batchlingua_core::{Context, Error, ErrorKind, Result};
use batchlingua_wire::{Body, Call, Outgoing, Relay, RelayRequest, RequestHead};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::client::{Livy, REQUESTED_BY, X_REQUESTED_BY};

/// Passes calls for sessions on.
pub(crate) struct SessionRelay {
    pub(crate) livy: Livy,
}

/// Whether a path is a session's, at the root or under `/livy`, and can be no other's.
pub(crate) fn is_session(head: &RequestHead) -> bool {
    let [sessions, rest @ ..] = below_livy(head) else { return false };
    // A slash at the end is the servlet's to judge.
    let rest = rest.strip_suffix(&[String::new()]).unwrap_or(rest);
    // Escaped slashes and dots are the same there once they are decoded.
    let is_plain = |segment: &String| {
        !segment.is_empty() && segment.split(['/', '\\']).all(|part| !matches!(part, "" | "." | ".."))
    };
    sessions == "sessions" && rest.iter().all(is_plain)
}

/// Whether a call begins a session: whom it runs as is in its body.
pub(crate) fn begins_session(head: &RequestHead) -> bool {
    let below = below_livy(head);
    let is_collection = below.len() == 1 || (below.len() == 2 && below[1].is_empty());
    is_collection && !matches!(head.method, Method::GET | Method::HEAD)
}

fn below_livy(head: &RequestHead) -> &[String] {
    match head.target.segments.as_slice() {
        [livy, rest @ ..] if livy == "livy" => rest,
        segments => segments,
    }
}

/// What is in front of the path of a session, as its client asks for it: the listener's prefix, and HDInsight's.
fn prefix(head: &RequestHead) -> String {
    let own = if below_livy(head).len() < head.target.segments.len() { "/livy" } else { "" };
    format!("{}{own}", head.face.path_prefix)
}

/// Path and query below the Livy's address, byte by byte.
fn target(head: &RequestHead) -> String {
    let raw = head.target.raw_path.as_str();
    // The first slash after the one in front: what is before it may be escaped in any way.
    let below = match below_livy(head).len() < head.target.segments.len() {
        true => raw.get(1..).and_then(|rest| rest.find('/')).map_or(raw, |at| &raw[at + 1..]),
        false => raw,
    };
    match head.target.raw_query.as_str() {
        "" => below.to_owned(),
        query => format!("{below}?{query}"),
    }
}

fn call(head: &RequestHead, body: Body) -> Call {
    let mut call = Call::new(head.method.clone(), target(head));
    call.is_read = matches!(head.method, Method::GET | Method::HEAD);
    call.headers = head.headers.clone();
    // Who can read an answer in pieces can read it packed; the client's own wish goes along.
    call.headers.entry(X_REQUESTED_BY).or_insert(REQUESTED_BY);
    let body = if http_body::Body::is_end_stream(&body) { Outgoing::Empty } else { Outgoing::Once(body) };
    call.with_body(body)
}

#[async_trait]
impl Relay for SessionRelay {
    async fn relay(&self, ctx: &Context, request: RelayRequest) -> Result<Response<Body>> {
        let RelayRequest { head, body } = request;
        let backend = self.livy.http.backend();
        // A session is begun, or ended, while its client waits.
        let call = call(&head, body).with_limit(self.livy.delete_timeout);
        let response = self.livy.http.stream(ctx, call).await.map_err(|error| error.into_error(backend))?;
        let as_caller = self.livy.reader(ctx).as_caller;
        if response.status() == StatusCode::UNAUTHORIZED && !as_caller {
            let message =
                format!("backend '{backend}' refused the proxy's credentials; have its operator look at `auth`");
            return Err(Error::new(ErrorKind::BackendRejected, message));
        }
        let (mut parts, body) = response.into_parts();
        self.own_places(&mut parts.headers, &prefix(&head));
        if !as_caller {
            // It would make whoever has it the proxy's own user there.
            parts.headers.remove(header::SET_COOKIE);
        }
        Ok(Response::from_parts(parts, body))
    }
}

impl SessionRelay {
    /// A place on the Livy is one on the proxy; any other is left as it is.
    fn own_places(&self, headers: &mut HeaderMap, prefix: &str) {
        let Some(place) = headers.get(header::LOCATION).and_then(|place| place.to_str().ok()) else { return };
        let url = self.livy.http.url();
        let path = match place.split_once("://") {
            Some((_, rest)) => rest.strip_prefix(url.authority()).filter(|path| path.starts_with('/')),
            None => Some(place).filter(|path| path.starts_with('/') && !path.starts_with("//")),
        };
        let Some(path) = path else { return };
        let below = path.strip_prefix(url.prefix()).filter(|below| below.starts_with('/')).unwrap_or(path);
        if let Ok(place) = HeaderValue::from_str(&format!("{prefix}{below}")) {
            headers.insert(header::LOCATION, place);
        }
    }
}

#[cfg(test)]
mod tests;
