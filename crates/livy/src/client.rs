//! Livy's calls: what is asked, and what a right answer is.
//!
//! `X-Requested-By` goes with every one of them, since a Livy with its CSRF rule on refuses all but reads without it. A batch is always asked
//! for as a whole, even for its state alone: only its name and application tell it from another one that has its number after a restart.

use std::time::Duration;

use batchlingua_core::{Context, NativeId, Result};
use batchlingua_wire::{Answer, Call, Client, PageSize};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    refusal::{About, Reader, Speaker},
    seen::{self, Seen, SeenLog, SeenPage},
};

/// Most batches of one page of a list. A Livy has what has ended within the last ten minutes, beside what lives: mostly it is one page.
pub(crate) const PAGE: u32 = 1_000;

pub(crate) const X_REQUESTED_BY: HeaderName = HeaderName::from_static("x-requested-by");
pub(crate) const REQUESTED_BY: HeaderValue = HeaderValue::from_static("batchlingua");

/// What needs no escape in a path's segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A Livy, as its calls.
#[derive(Clone, Debug)]
pub(crate) struct Livy {
    pub(crate) http: Client,
    pub(crate) takes_callers: bool,
    pub(crate) delete_timeout: Duration,
}

/// What became of the wish to end a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It has ended and is forgotten.
    Done,
    /// It was not there any more.
    Gone,
}

fn asked(call: Call) -> Call {
    call.with_header(X_REQUESTED_BY, REQUESTED_BY)
}

fn list_target(from: u64, size: u64) -> String {
    format!("/batches?from={from}&size={size}")
}

/// The submit of this body. It has as much time as its request has left: submits stand in a queue there.
pub(crate) fn submit_call(body: Bytes) -> Call {
    asked(Call::post_json("/batches", body)).with_limit(Duration::MAX)
}

impl Livy {
    /// Who reads the answers to what is asked in this context.
    pub(crate) fn reader(&self, ctx: &Context) -> Reader<'_> {
        Reader::new(self.http.backend(), self.takes_callers, ctx)
    }

    async fn exchange(&self, ctx: &Context, call: Call) -> Result<Answer> {
        self.http.exchange(ctx, asked(call)).await.map_err(|error| error.into_error(self.http.backend()))
    }

    /// A read whose answer is an object.
    async fn read<T>(
        &self,
        ctx: &Context,
        target: String,
        about: About<'_>,
        read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T> {
        let answer = self.exchange(ctx, Call::get(target)).await?;
        self.told(ctx, &answer, about, read)
    }

    /// What a read's answer tells.
    fn told<T>(
        &self,
        ctx: &Context,
        answer: &Answer,
        about: About<'_>,
        read: impl FnOnce(&[u8]) -> serde_json::Result<T>,
    ) -> Result<T> {
        match answer.status {
            StatusCode::OK => read(&answer.body).map_err(|fault| self.reader(ctx).unreadable(answer, &fault)),
            status if status.is_success() => Err(self.reader(ctx).unreadable(answer, &"no 200")),
            _ => Err(self.reader(ctx).refusal(answer, about)),
        }
    }

    /// A batch by its id or its name.
    pub(crate) async fn get(&self, ctx: &Context, called: &str) -> Result<Seen> {
        let target = format!("/batches/{}", utf8_percent_encode(called, SEGMENT));
        self.read(ctx, target, About::Batch(called), seen::batch).await
    }

    /// Batches, from this place in the list on.
    pub(crate) async fn list(&self, ctx: &Context, from: u64, size: u64) -> Result<SeenPage> {
        self.read(ctx, list_target(from, size), About::Others, seen::page).await
    }

    /// A page of a walk, and how many rows it may have.
    pub(crate) async fn walk(&self, ctx: &Context, page: &PageSize, from: u64) -> Result<(u64, SeenPage)> {
        let call = |size: u32| asked(Call::get(list_target(from, size.into())));
        let exchanged = page.exchange(&self.http, ctx, call).await;
        let (size, answer) = exchanged.map_err(|error| error.into_error(self.http.backend()))?;
        Ok((size.into(), self.told(ctx, &answer, About::Others, seen::page)?))
    }

    /// All lines of a log that the Livy still has.
    pub(crate) async fn log(&self, ctx: &Context, id: &str) -> Result<SeenLog> {
        self.read(ctx, format!("/batches/{id}/log?size=-1"), About::Batch(id), seen::log).await
    }

    /// Ends a batch and has it forgotten; answered when it has ended.
    pub(crate) async fn delete(&self, ctx: &Context, id: &NativeId) -> Result<Deleted> {
        let call = Call::delete(format!("/batches/{id}")).with_limit(self.delete_timeout);
        let answer = self.exchange(ctx, call).await?;
        let reader = self.reader(ctx);
        match answer.status {
            // An end is believed only in Livy's own word: somebody in between may say anything with a 200.
            status if status.is_success() => match Speaker::of(&answer).words() {
                Some("deleted") => Ok(Deleted::Done),
                Some(_) | None => Err(reader.unreadable(&answer, &"not deleted")),
            },
            StatusCode::NOT_FOUND if matches!(Speaker::of(&answer), Speaker::Livy(_)) => Ok(Deleted::Gone),
            _ => Err(reader.refusal(&answer, About::Batch(id.as_str()))),
        }
    }

    /// Whether batches can be asked for by their names: from 0.6 on.
    pub(crate) async fn has_names(&self, ctx: &Context) -> Result<bool> {
        let answer = self.exchange(ctx, Call::get("/version")).await?;
        if let Some(has) = names_of_version(&answer) {
            return Ok(has);
        }
        // A gateway may not let that through, and a build may not know its version. An older one reads a name as a number that is none.
        let answer = self.exchange(ctx, Call::get("/batches/no-such-batch")).await?;
        match (answer.status, Speaker::of(&answer)) {
            (StatusCode::NOT_FOUND, Speaker::Livy(_)) => Ok(true),
            (StatusCode::BAD_REQUEST, Speaker::Livy(_)) => Ok(false),
            // Somebody has called a batch so.
            (StatusCode::OK, _) if seen::batch(&answer.body).is_ok() => Ok(true),
            (StatusCode::OK, _) => Err(self.reader(ctx).unreadable(&answer, &"no batch")),
            _ => Err(self.reader(ctx).refusal(&answer, About::Others)),
        }
    }
}

fn names_of_version(answer: &Answer) -> Option<bool> {
    if answer.status != StatusCode::OK {
        return None;
    }
    let said: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let mut parts = said.get("version")?.as_str()?.split(['.', '-']);
    let mut number = || parts.next()?.parse::<u32>().ok();
    Some((number()?, number()?) >= (0, 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_came_with_0_6() {
        let of = |version: &str| {
            let body = serde_json::json!({ "version": version }).to_string().into();
            names_of_version(&Answer { status: StatusCode::OK, headers: http::HeaderMap::new(), body })
        };
        for (version, has) in [
            ("0.5.0-incubating", Some(false)),
            ("0.6.0-incubating", Some(true)),
            ("0.10.0", Some(true)),
            ("1.0", Some(true)),
            ("<unknown>", None),
            ("0", None),
        ] {
            assert_eq!(of(version), has, "{version}");
        }
    }
}
