//! Bodies. Own newtypes, since a boxed body with a boxed error in a signature breaks async traits.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use batchlingua_core::Payload;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};

/// Why a body could not be read or written to its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub String);

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Full(Full<Bytes>),
    Streamed(UnsyncBoxBody<Bytes, BodyError>),
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// A body that is there as a whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Full(Full::new(bytes.into())))
    }

    /// A body that comes in pieces.
    pub fn stream(pieces: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(Inner::Streamed(StreamBody::new(pieces.map_ok(http_body::Frame::data)).boxed_unsync()))
    }

    /// Wraps another body, such as one with a permit inside.
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self(Inner::Streamed(body.boxed_unsync()))
    }

    /// The whole body, if it is there as a whole.
    pub fn into_full(self) -> Result<Bytes, Self> {
        match self.0 {
            Inner::Full(full) => {
                let mut full = std::pin::pin!(full);
                match http_body::Body::poll_frame(full.as_mut(), &mut Context::from_waker(std::task::Waker::noop())) {
                    Poll::Ready(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
                    _ => Ok(Bytes::new()),
                }
            }
            streamed => Err(Self(streamed)),
        }
    }
}

impl From<Empty<Bytes>> for Body {
    fn from(_: Empty<Bytes>) -> Self {
        Self::empty()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Full(full) => Pin::new(full).poll_frame(cx).map_err(|never: Infallible| match never {}),
            Inner::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(full) => full.is_end_stream(),
            Inner::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Inner::Full(full) => full.size_hint(),
            Inner::Streamed(body) => body.size_hint(),
        }
    }
}

/// The body of a request as its route asked for it.
#[derive(Debug)]
pub enum RequestBody {
    /// None was read.
    Empty,
    /// All of it, within the limit.
    Bytes(Bytes),
    /// A form, with its files spooled to disk: the part that names the job may come last.
    Form(BTreeMap<String, Part>),
}

/// One part of a form.
#[derive(Debug)]
pub enum Part {
    /// A value, within the limit of one.
    Small {
        /// What it says it is: Kyuubi takes its JSON part only if that says so.
        content_type: Option<String>,
        /// The value.
        bytes: Bytes,
    },
    /// A file, spooled.
    File(Payload),
}
