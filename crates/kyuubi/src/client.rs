//! Kyuubi's calls: paths, queries, and answers as what they should be. What is none is an error, whatever its status says.

use std::sync::Arc;

use batchlingua_core::{BackendName, Context, Error, NativeId, Payload, Result};
use batchlingua_wire::{Answer, Call, Client, ClientConfig, PageSize, UpstreamError};
use bytes::Bytes;
use http::{Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{error::Category, value::RawValue};

use crate::{
    form::Form,
    refusal::{Asked, Refusal, unreadable},
    seen::{Object, Seen},
    settings::BackendSettings,
    version::Version,
};

const BATCHES: &str = "/api/v1/batches";
/// What stays as it is in a path and in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A Kyuubi, as its calls go.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) settings: Arc<BackendSettings>,
}

/// Lines of a log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogRows {
    pub(crate) log_row_set: Vec<String>,
}

/// What became of a batch that was to be ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Closed {
    pub(crate) success: bool,
    pub(crate) msg: Option<String>,
}

#[derive(Deserialize)]
struct VersionInfo {
    version: String,
}

#[derive(Deserialize)]
struct Batches<'a> {
    #[serde(borrow)]
    batches: Vec<&'a RawValue>,
}

/// What is asked of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListWindow {
    pub(crate) from: u32,
    pub(crate) size: u32,
    /// Created at or after; 0: whenever.
    pub(crate) created_from: i64,
}

impl ListWindow {
    fn call(self) -> Call {
        let Self { from, size, created_from } = self;
        let since = if created_from > 0 { format!("&createTime={created_from}") } else { String::new() };
        Call::get(format!("{BATCHES}?from={from}&size={size}{since}"))
    }
}

impl Api {
    pub(crate) fn new(backend: BackendName, settings: BackendSettings) -> Result<Self> {
        let config: &ClientConfig = &settings.client;
        Ok(Self { client: Client::new(backend, config, None)?, settings: settings.into() })
    }

    pub(crate) fn backend(&self) -> &BackendName {
        self.client.backend()
    }

    /// For clients, in words that name the backend.
    pub(crate) fn silence(&self, error: UpstreamError) -> Error {
        error.into_error(self.backend())
    }

    /// What an answer that is no success means.
    pub(crate) fn refusal(&self, ctx: &Context, asked: Asked<'_>, answer: &Answer) -> Error {
        Refusal::read(answer).error(asked, self.backend(), self.settings.is_callers(ctx))
    }

    /// An answer that should be a success with such a body.
    fn read<T: DeserializeOwned>(&self, ctx: &Context, asked: Asked<'_>, wanted: &str, answer: &Answer) -> Result<T> {
        self.check(ctx, asked, answer)?;
        serde_json::from_slice(&answer.body).map_err(|error| self.malformed(answer, wanted, &error))
    }

    fn check(&self, ctx: &Context, asked: Asked<'_>, answer: &Answer) -> Result<()> {
        if answer.status.is_success() { Ok(()) } else { Err(self.refusal(ctx, asked, answer)) }
    }

    fn malformed(&self, answer: &Answer, wanted: &str, error: &serde_json::Error) -> Error {
        // Its own words would quote what came.
        let why = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Data => "something in it is missing, or of another type",
            Category::Syntax | Category::Io => "it is no JSON",
        };
        let place = format!("{why} (line {}, column {})", error.line(), error.column());
        unreadable(answer, wanted, self.backend(), &place)
    }

    /// The server's version.
    pub(crate) async fn version(&self, ctx: &Context) -> Result<Version> {
        let wanted = "a version of Kyuubi's";
        let answer = self.client.exchange(ctx, Call::get("/api/v1/version")).await.map_err(|e| self.silence(e))?;
        let info: VersionInfo = self.read(ctx, Asked::Version, wanted, &answer)?;
        Version::parse(&info.version).ok_or_else(|| unreadable(&answer, wanted, self.backend(), "no three numbers"))
    }

    /// The call that a submit is.
    pub(crate) fn submit_call(&self, request: &Bytes, form: Option<(&Form, &[Payload])>) -> Call {
        let Some((form, files)) = form else { return Call::post_json(BATCHES, request.clone()) };
        Call::new(Method::POST, BATCHES)
            .with_header(header::CONTENT_TYPE, form.content_type())
            .with_body(form.outgoing())
            .with_limit(self.client.attempt_timeout() + Payload::time_to_send(files))
    }

    /// The batch that an answer shows.
    pub(crate) fn batch_of(&self, ctx: &Context, asked: Asked<'_>, answer: &Answer) -> Result<Seen> {
        let object: Object = self.read(ctx, asked, "a batch of Kyuubi's", answer)?;
        Ok(Seen { object, bytes: answer.body.clone() })
    }

    /// One batch.
    pub(crate) async fn batch(&self, ctx: &Context, id: &str) -> Result<Seen> {
        let asked = Asked::Batch(id);
        let answer = self.client.exchange(ctx, Call::get(path(id))).await.map_err(|e| self.silence(e))?;
        let seen = self.batch_of(ctx, asked, &answer)?;
        if seen.object.id.eq_ignore_ascii_case(id) {
            return Ok(seen);
        }
        Err(unreadable(&answer, "the batch that was asked for", self.backend(), "it is another one"))
    }

    /// A page of the list: what is stored, in the order of its making.
    pub(crate) async fn list(&self, ctx: &Context, window: ListWindow) -> Result<Vec<Seen>> {
        let answer = self.client.exchange(ctx, window.call()).await.map_err(|e| self.silence(e))?;
        self.rows(ctx, window.size, &answer)
    }

    /// A page of a walk, and how many rows it may have.
    pub(crate) async fn walk(&self, ctx: &Context, page: &PageSize, from: u32) -> Result<(u32, Vec<Seen>)> {
        let call = |size| ListWindow { from, size, created_from: 0 }.call();
        let (size, answer) = page.exchange(&self.client, ctx, call).await.map_err(|e| self.silence(e))?;
        Ok((size, self.rows(ctx, size, &answer)?))
    }

    fn rows(&self, ctx: &Context, size: u32, answer: &Answer) -> Result<Vec<Seen>> {
        self.check(ctx, Asked::List, answer)?;
        let wanted = "a list of Kyuubi's";
        let malformed = |error: serde_json::Error| self.malformed(answer, wanted, &error);
        let page: Batches<'_> = serde_json::from_slice(&answer.body).map_err(malformed)?;
        if page.batches.len() > size as usize {
            return Err(unreadable(answer, wanted, self.backend(), "it has more rows than were asked for"));
        }
        let row = |row: &&RawValue| -> Result<Seen> {
            let object = serde_json::from_str(row.get()).map_err(malformed)?;
            // A copy: a slice would keep the whole page as long as any row of it is remembered.
            Ok(Seen { object, bytes: Bytes::copy_from_slice(row.get().as_bytes()) })
        };
        page.batches.iter().map(row).collect()
    }

    /// Lines of a batch's log. Too large an answer is told apart: fewer lines may be asked for.
    pub(crate) async fn log(&self, ctx: &Context, id: &str, from: u32, size: u32) -> Result<Vec<String>, LogFault> {
        let target = format!("{}/localLog?from={from}&size={size}", path(id));
        let answer = match self.client.exchange(ctx, Call::get(target)).await {
            Ok(answer) => answer,
            Err(UpstreamError::TooLarge { .. }) => return Err(LogFault::TooLarge),
            Err(error) => return Err(LogFault::Other(self.silence(error))),
        };
        let rows: Result<LogRows> = self.read(ctx, Asked::Log(id), "a log of Kyuubi's", &answer);
        rows.map(|rows| rows.log_row_set).map_err(LogFault::Other)
    }

    /// Ends a batch, in the name of this user where one is given.
    pub(crate) async fn delete(&self, ctx: &Context, id: &str, user: Option<&str>) -> Result<Closed> {
        let target = match user {
            Some(user) => format!("{}?hive.server2.proxy.user={}", path(id), utf8_percent_encode(user, PLAIN)),
            None => path(id),
        };
        let call = Call::delete(target).with_limit(self.settings.delete_timeout);
        let answer = self.client.exchange(ctx, call).await.map_err(|e| self.silence(e))?;
        self.read(ctx, Asked::Delete(id), "Kyuubi's word about a batch that was to be ended", &answer)
    }
}

/// Why lines of a log did not come.
#[derive(Debug)]
pub(crate) enum LogFault {
    /// They are more than `max_answer`.
    TooLarge,
    /// Another reason.
    Other(Error),
}

fn path(id: &str) -> String {
    format!("{BATCHES}/{}", utf8_percent_encode(id, PLAIN))
}

/// Whether a text can be a batch's id there: of another one a Kyuubi need not be asked.
pub(crate) fn is_id(id: &NativeId) -> bool {
    crate::ids::parse(id.as_str()).is_some()
}
