//! Reading a request's body: bounded in length and in time. Files of a form lie in a spool of their own, which goes if the reading is broken
//! off at any point.
//!
//! An upload of a gigabyte takes as long as its line needs, so there is no time for the whole; but a body must keep coming. It may pause for
//! `body_read_timeout`, and all the time that is spent waiting for it, less what its bytes take at `min_body_rate`, may not be more than that
//! either. Time in which nobody waits for the client, since a disk is slow, is not the client's.

use std::{
    fmt::Display,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use batchlingua_core::{Error, ErrorKind, Result};
use batchlingua_wire::{Body, BodyError, BodyKind, RequestBody, read_form};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, header};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyDataStream, BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Limits, spool::Spool};

const FORM: &str = "multipart/form-data";

/// Reads a body as its route asks for it.
pub(crate) async fn read<B>(
    kind: BodyKind,
    headers: &HeaderMap,
    body: B,
    limits: &Limits,
) -> Result<(RequestBody, Spool)>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Display,
{
    let form = match (kind, form_type(headers)) {
        // What comes nevertheless is drained by the connection, within its own bounds.
        (BodyKind::None | BodyKind::Stream, _) => return Ok((RequestBody::Empty, Spool::default())),
        (BodyKind::FormOrBytes, form) => form,
        (BodyKind::Bytes, _) => None,
    };
    let is_slow = Arc::new(AtomicBool::new(false));
    let body = Paced::new(body, Pace::of(limits), is_slow.clone());
    let read = match form {
        Some(content_type) => {
            let (spool, upload) = Spool::new(&limits.upload)?;
            let stream = BodyDataStream::new(body).map_err(|error| BodyError(error.to_string()));
            read_form(content_type, stream, &upload).await.map(|form| (form, spool))
        }
        None => whole(body, limits.max_body).await.map(|bytes| (RequestBody::Bytes(bytes), Spool::default())),
    };
    match read {
        Err(_) if is_slow.load(Ordering::Relaxed) => Err(too_slow(limits)),
        read => read,
    }
}

/// A body that is passed on as it comes, but must keep coming.
pub(crate) fn paced(body: Body, limits: &Limits) -> Body {
    Body::wrap(Paced::new(body, Pace::of(limits), Arc::default()))
}

/// How fast a body must come.
#[derive(Clone, Copy)]
struct Pace {
    pause: Duration,
    rate: u64,
}

impl Pace {
    fn of(limits: &Limits) -> Self {
        Self { pause: limits.body_read_timeout, rate: limits.min_body_rate }
    }

    /// How long may be waited in all for so many bytes and one more.
    fn time_for(&self, bytes: u64) -> Duration {
        let seconds = Duration::from_secs(bytes / self.rate);
        self.pause + seconds + Duration::from_secs(1).mul_f64((bytes % self.rate) as f64 / self.rate as f64)
    }
}

/// A body that fails when it does not keep coming.
struct Paced<B> {
    body: B,
    pace: Pace,
    bytes: u64,
    /// Spent waiting, up to the last piece.
    waited: Duration,
    /// The waiting for the next piece: since when, and until when.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    is_slow: Arc<AtomicBool>,
}

impl<B> Paced<B> {
    fn new(body: B, pace: Pace, is_slow: Arc<AtomicBool>) -> Self {
        Self { body, pace, bytes: 0, waited: Duration::ZERO, waiting: None, is_slow }
    }
}

impl<B> http_body::Body for Paced<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            if let Some((since, _)) = this.waiting.take() {
                this.waited += since.elapsed();
            }
            if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(|frame| frame.data_ref())) {
                this.bytes += data.map_or(0, |data| data.len() as u64);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyError(error.to_string()))));
        }
        let (pace, left) = (this.pace, this.pace.time_for(this.bytes).saturating_sub(this.waited));
        let (_, until) = this.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + left.min(pace.pause))))
        });
        ready!(until.as_mut().poll(cx));
        this.is_slow.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(BodyError("it does not keep coming".into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_slow(limits: &Limits) -> Error {
    let message = format!(
        "the request's body does not keep coming: it may pause for {} s (body_read_timeout) and must bring {} bytes a second on average \
         (min_body_rate)",
        limits.body_read_timeout.as_secs(),
        limits.min_body_rate
    );
    Error::invalid("body", message)
}

/// The content type of a form.
pub(crate) fn form_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.trim_start().get(..FORM.len())?;
    kind.eq_ignore_ascii_case(FORM).then_some(value)
}

async fn whole<B>(body: B, max: usize) -> Result<Bytes>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
{
    // A length that is said beforehand is refused before a byte of it is read.
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(max)),
        Err(error) => Err(Error::invalid("body", "the request's body cannot be read to its end").caused_by(error)),
    }
}

fn too_large(max: usize) -> Error {
    let kind = ErrorKind::TooLarge { limit: "max_body", max: max as u64 };
    Error::new(kind, format!("the request's body is larger than {max} bytes (max_body)"))
}
