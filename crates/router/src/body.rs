//! Reading a request's body: bounded in length and in time, and the time is for the whole of it. Files of a form lie in a spool of their
//! own, which goes if the reading is broken off at any point.

use std::{fmt::Display, time::Duration};

use batchlingua_core::{Error, ErrorKind, Result};
use batchlingua_wire::{BodyError, BodyKind, RequestBody, read_form};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, header};
use http_body_util::{BodyDataStream, BodyExt, LengthLimitError, Limited};

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
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Display,
{
    let body = body.map_err(|error| BodyError(error.to_string()));
    let read = match (kind, form_type(headers)) {
        // What comes nevertheless is drained by the connection, within its own bounds.
        (BodyKind::None | BodyKind::Stream, _) => RequestBody::Empty,
        (BodyKind::FormOrBytes, Some(content_type)) => {
            let (spool, upload) = Spool::new(&limits.upload)?;
            let stream = BodyDataStream::new(body).map_err(|error| BodyError(error.to_string()));
            let form = in_time(limits.body_read_timeout, read_form(content_type, stream, &upload)).await?;
            return Ok((form, spool));
        }
        (BodyKind::Bytes | BodyKind::FormOrBytes, _) => {
            RequestBody::Bytes(in_time(limits.body_read_timeout, whole(body, limits.max_body)).await?)
        }
    };
    Ok((read, Spool::default()))
}

fn form_type(headers: &HeaderMap) -> Option<&str> {
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

async fn in_time<T>(time: Duration, read: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(time, read).await {
        Ok(result) => result,
        Err(_) => Err(Error::invalid(
            "body",
            format!("the request's body did not come within {} s (body_read_timeout)", time.as_secs()),
        )),
    }
}
