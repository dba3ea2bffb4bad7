//! An answer that comes as it is made: a log, a relayed session. Its head is there at once, its body is passed on piece by piece, as packed
//! as it comes, for as long as pieces come.

use std::{
    pin::Pin,
    task::{Context as Task, Poll, ready},
    time::Duration,
};

use batchlingua_core::Context;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::{Call, Client, UpstreamError, exchange::truncation, head::beyond_the_hop};
use crate::{Body, BodyError};

impl Client {
    /// Sends a call and gives the head of its answer, without headers about the connection. The body has no limit of length, but each piece
    /// of it has to come within the backend's `attempt_timeout`.
    pub async fn stream(&self, ctx: &Context, mut call: Call) -> Result<Response<Body>, UpstreamError> {
        let due = self.due(ctx, &call);
        let (mut head, body) = self.begin(ctx, &mut call, due).await?.into_parts();
        head.headers = beyond_the_hop(&head.headers).map(|(name, value)| (name.clone(), value.clone())).collect();
        let limit = self.attempt_timeout();
        let body = Paced { body, limit, pause: Box::pin(sleep(limit)), is_paused: false };
        Ok(Response::from_parts(head, Body::wrap(body)))
    }
}

/// A body whose pieces may not take too long.
struct Paced {
    body: Incoming,
    limit: Duration,
    pause: Pin<Box<Sleep>>,
    is_paused: bool,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else { break };
            this.is_paused = false;
            match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) if frame.is_data() => return Poll::Ready(Some(Ok(frame))),
                Some(Ok(_trailers)) => continue,
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyError(truncation(&error).to_string())))),
            }
        }
        // A pause begins when somebody waits: a reader that takes its time is no fault of the backend.
        if !this.is_paused {
            this.is_paused = true;
            this.pause.as_mut().reset(Instant::now() + this.limit);
        }
        ready!(this.pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError(format!("nothing came for {:?}", this.limit)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
