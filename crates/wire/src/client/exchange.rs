//! One exchange: a request sent, its answer read to the end, all of it by one deadline.
//!
//! What may be sent again, and why nothing else:
//! - a request that hyper hands back as not begun, because the kept connection that it was meant for had ended: no byte of it was written;
//! - a read (it changes nothing) whose kept connection ended without a byte of an answer, as happens when the other side closes an idle
//!   connection while the request is on its way. Once, and by the same deadline.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use batchlingua_core::Context;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, connect::capture_connection};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Call, Client, Failure, UpstreamError, connect::ConnectError, connect::Memory, connect::cause};
use crate::{BodyError, Coding, decode_body};

/// How often a request that was not begun is given to another connection: as many kept ones may have ended at once.
const UNBEGUN: u32 = 3;

/// When an exchange has to be over, and how long that was from its begin.
#[derive(Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Instant,
    within: Duration,
}

/// What became of one attempt.
enum Attempt {
    Answered(Response<Incoming>),
    /// Nothing of it was written.
    Unbegun(UpstreamError),
    /// It was written to a kept connection that ended without a word.
    Unheard(UpstreamError),
    Failed(UpstreamError),
}

impl Client {
    /// Sends a call and reads its answer to the end.
    pub async fn exchange(&self, ctx: &Context, mut call: Call) -> Result<Answer, UpstreamError> {
        let due = self.due(ctx, &call);
        let (head, body) = self.begin(ctx, &mut call, due).await?.into_parts();
        let max = self.max_answer();
        let body = match timeout_at(due.at, read_whole(body, max)).await {
            Ok(read) => read?,
            Err(_) => return Err(UpstreamError::Lost(Failure::Timeout(due.within))),
        };
        let (headers, body) = unpack(head.headers, body, max)?;
        Ok(Answer { status: head.status, headers, body })
    }

    pub(super) fn due(&self, ctx: &Context, call: &Call) -> Due {
        let now = Instant::now();
        let within = call.within.unwrap_or(self.attempt_timeout());
        let at = now.checked_add(within).map_or(ctx.deadline.into(), |at| at.min(ctx.deadline.into()));
        let left = at.saturating_duration_since(now);
        // For people, who need no nanoseconds.
        Due { at, within: Duration::from_millis(left.as_millis() as u64) }
    }

    /// Sends a call until the head of its answer is there.
    pub(super) async fn begin(
        &self,
        ctx: &Context,
        call: &mut Call,
        due: Due,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let mut unbegun = 0;
        let mut is_repeated = false;
        loop {
            if Instant::now() >= due.at {
                return Err(UpstreamError::NotSent(Failure::Timeout(due.within)));
            }
            let (request, is_last) = self.request(ctx, call)?;
            match self.attempt(request, due).await {
                Attempt::Answered(response) => return self.accept(response),
                Attempt::Unbegun(_) if unbegun < UNBEGUN && !is_last => unbegun += 1,
                Attempt::Unheard(_) if call.is_read && !is_repeated && !is_last => is_repeated = true,
                Attempt::Unbegun(error) | Attempt::Unheard(error) | Attempt::Failed(error) => return Err(error),
            }
        }
    }

    /// The request of one attempt, and whether its body can be sent only once.
    fn request(&self, ctx: &Context, call: &mut Call) -> Result<(Request<crate::Body>, bool), UpstreamError> {
        let (uri, headers) = self.head(Some(ctx), call)?;
        let (body, is_there_another) = call.body.take();
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok((request, !is_there_another))
    }

    /// Interim answers never get here. Nobody asked for another protocol; and what the egress proxy keeps to itself is not the backend's.
    fn accept(&self, response: Response<Incoming>) -> Result<Response<Incoming>, UpstreamError> {
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::Lost(Failure::Unreadable("it changes to another protocol".to_owned())))
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if self.is_relayed() => {
                Err(UpstreamError::NotSent(Failure::Proxy("proxy authorization required".to_owned())))
            }
            _ => Ok(response),
        }
    }

    async fn attempt(&self, mut request: Request<crate::Body>, due: Due) -> Attempt {
        let captured = capture_connection(&mut request);
        let sent = timeout_at(due.at, self.0.http.request(request)).await;
        let memory = Memory::of(&captured);
        match (sent, memory) {
            (Ok(Ok(response)), memory) => {
                memory.iter().for_each(|memory| memory.answered());
                Attempt::Answered(response)
            }
            (Ok(Err(error)), memory) => judge(&error, memory),
            // A request that was given a connection may be written at this very moment, whatever the connection remembers.
            (Err(_), Some(_)) => Attempt::Failed(UpstreamError::Lost(Failure::Timeout(due.within))),
            (Err(_), None) => Attempt::Failed(UpstreamError::NotSent(Failure::Timeout(due.within))),
        }
    }
}

fn judge(error: &legacy::Error, memory: Option<Arc<Memory>>) -> Attempt {
    let Some(memory) = memory else {
        return Attempt::Failed(UpstreamError::NotSent(why_unconnected(error)));
    };
    let hyper = find::<hyper::Error>(error);
    let why = hyper.map_or_else(|| Failure::Closed(root(error)), failure_of);
    if hyper.is_some_and(hyper::Error::is_canceled) {
        return Attempt::Unbegun(UpstreamError::NotSent(why));
    }
    match why {
        why if memory.is_blank() => Attempt::Failed(UpstreamError::NotSent(why)),
        Failure::Closed(_) if memory.is_kept() && memory.is_silent() => Attempt::Unheard(UpstreamError::Lost(why)),
        why => Attempt::Failed(UpstreamError::Lost(why)),
    }
}

fn why_unconnected(error: &legacy::Error) -> Failure {
    find::<ConnectError>(error).map_or_else(|| Failure::Unreachable(root(error)), |ConnectError(why)| why.clone())
}

/// What an error of a connection, or of an answer's body, means.
pub(super) fn failure_of(error: &hyper::Error) -> Failure {
    if let Some(body) = find::<BodyError>(error) {
        return Failure::Body(body.0.clone());
    }
    if error.is_body_write_aborted() {
        return Failure::Body(root(error));
    }
    if error.is_parse_too_large() {
        return Failure::Unreadable("its head is too large".to_owned());
    }
    if error.is_parse() || error.is_parse_status() {
        return Failure::Unreadable(format!("it is no HTTP: {}", root(error)));
    }
    match find::<rustls::Error>(error) {
        // A server that refuses the client's certificate says so when the client has long begun to write.
        Some(error) => Failure::Tls(error.to_string()),
        None => Failure::Closed(root(error)),
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

fn root(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

async fn read_whole(mut body: Incoming, max: usize) -> Result<Bytes, UpstreamError> {
    let too_large = || UpstreamError::TooLarge { max: max as u64 };
    // What is announced is believed only for this: memory is taken for what has come.
    if http_body::Body::size_hint(&body).lower() > max as u64 {
        return Err(too_large());
    }
    // Most answers are one piece, which is the answer as it is.
    let mut whole = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| UpstreamError::Lost(truncation(&error)))?;
        // Trailers tell nothing that any of the products' clients would know.
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + gathered.len() + piece.len() > max {
            return Err(too_large());
        }
        if whole.is_empty() && gathered.is_empty() {
            whole = piece;
        } else {
            gathered.extend_from_slice(&std::mem::take(&mut whole));
            gathered.extend_from_slice(&piece);
        }
    }
    Ok(if gathered.is_empty() { whole } else { gathered.freeze() })
}

/// An answer whose head came and whose end did not.
pub(super) fn truncation(error: &hyper::Error) -> Failure {
    match failure_of(error) {
        Failure::Closed(why) => Failure::Unreadable(format!("it ends before its end: {why}")),
        other => other,
    }
}

/// Undoes the coding that nobody asked for.
fn unpack(mut headers: HeaderMap, body: Bytes, max: usize) -> Result<(HeaderMap, Bytes), UpstreamError> {
    let unreadable = |why: String| UpstreamError::Lost(Failure::Unreadable(why));
    let codings: Vec<&[u8]> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
        .collect();
    let Some(first) = codings.first().filter(|_| !body.is_empty()) else { return Ok((headers, body)) };
    let name = String::from_utf8_lossy(first).into_owned();
    let coding = Coding::of(&name).filter(|_| codings.len() == 1);
    let coding = coding.ok_or_else(|| unreadable(format!("it is in a coding that nobody asked for ({name:.32})")))?;
    let plain = decode_body(coding, &body, max)
        .map_err(|error| unreadable(format!("it does not unpack ({}): {error}", coding.as_str())))?
        .ok_or(UpstreamError::TooLarge { max: max as u64 })?;
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    Ok((headers, plain))
}
