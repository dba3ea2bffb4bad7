//! Logs of a DLI, page by page.
//!
//! A page has a beginning and a size, and tells how long the whole is; without a beginning it is the end of the log, by the documentation of a
//! hundred lines, whatever size is asked for. So a tail is asked for once, and a second time only where the answer was not the end. Nothing is
//! held but one page: a whole log is asked for page by page as its reader takes it.

use std::{ops::Range, sync::Arc, time::Instant};

use batchlingua_core::{
    Context, DialectName, Error, ErrorKind, Lines, Log, LogBody, LogQuery, LogSource, Missing, Native, Result,
};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use crate::{
    NAME,
    client::{self, DliClient, Place},
};

/// Lines that one page is asked for. How many a DLI gives at most nobody says: of a shorter page the rest is asked for.
const PAGE: u64 = 1_000;

/// Reads the logs of one batch.
#[derive(Clone)]
pub(crate) struct Logs {
    pub(crate) client: Arc<DliClient>,
    pub(crate) ctx: Context,
    pub(crate) place: Place,
    /// The driver's of this retry, counted from 0; else that of the submission.
    pub(crate) retry: Option<u32>,
}

/// Some lines, and how many there are.
struct Part {
    from: u64,
    total: u64,
    lines: Vec<String>,
    /// DLI's own answer, where it has these lines and no others.
    object: Option<Bytes>,
}

impl Part {
    fn end(&self) -> u64 {
        self.from + self.lines.len() as u64
    }

    /// Cuts what was not asked for.
    fn keep(&mut self, lines: Range<u64>) {
        let at =
            |line: u64| usize::try_from(line.saturating_sub(self.from)).unwrap_or(usize::MAX).min(self.lines.len());
        let (begin, end) = (at(lines.start), at(lines.end));
        if (begin, end) != (0, self.lines.len()) {
            self.lines.truncate(end);
            self.lines.drain(..begin);
            self.object = None;
        }
        self.from = lines.start.min(self.total);
    }

    fn into_log(self) -> Log {
        let dialect = || DialectName::from(NAME);
        let native = self.object.map(|object| Native { dialect: dialect(), word: String::new(), object, status: None });
        Log { native, ..Log::page(self.from, self.total, self.lines) }
    }
}

/// Which of the two logs of a DLI is meant.
pub(crate) fn retry(source: &LogSource) -> Result<Option<u32>> {
    match source {
        LogSource::Default => Ok(None),
        LogSource::Driver { attempt } => Ok(Some(attempt.saturating_sub(1))),
        LogSource::Step(step) => {
            let kind = ErrorKind::NotFound(Missing::Step(step.clone()));
            Err(Error::new(kind, format!("a DLI's batch has no step '{step}'")))
        }
    }
}

impl Logs {
    pub(crate) async fn read(self, query: &LogQuery) -> Result<Log> {
        match query.lines {
            Lines::Tail(size) => Ok(self.tail(size.into()).await?.into_log()),
            Lines::From(from, size) => Ok(self.part(from, size.into()).await?.into_log()),
            Lines::HeadAndTail(size) => self.head_and_tail(size.into()).await,
            Lines::All => self.all().await,
        }
    }

    async fn page(&self, from: Option<u64>, size: u64) -> Result<client::Lines> {
        self.client.log(&self.ctx, &self.place, from, size, self.retry).await
    }

    /// At most `size` lines from one on: as many pages as that takes.
    async fn part(&self, from: u64, size: u64) -> Result<Part> {
        // How many there are is told with a line only.
        let mut part = self.one_page(from, size.clamp(1, PAGE)).await?;
        let end = from.saturating_add(size);
        while part.end() < end.min(part.total) && !part.lines.is_empty() {
            let next = self.one_page(part.end(), (end - part.end()).min(PAGE)).await?;
            if next.lines.is_empty() {
                break;
            }
            part.total = next.total;
            part.lines.extend(next.lines);
            part.object = None;
        }
        part.keep(from..end);
        Ok(part)
    }

    async fn one_page(&self, from: u64, size: u64) -> Result<Part> {
        let page = self.page(Some(from), size).await?;
        let is_empty = page.lines.is_empty();
        if !is_empty && page.from.is_some_and(|at| at != from) {
            return Err(self.client.no_answer(b"", "its log does not begin where it was asked to"));
        }
        let total = page.total.unwrap_or_else(|| from.saturating_add(page.lines.len() as u64));
        let mut part = Part { from, total, lines: page.lines, object: Some(page.object) };
        // Of more than was asked for the next page would have some once more; past the end there is nothing, wherever that is said to begin.
        part.keep(from..from.saturating_add(size));
        Ok(part)
    }

    async fn tail(&self, size: u64) -> Result<Part> {
        let page = self.page(None, size.clamp(1, PAGE)).await?;
        let count = page.lines.len() as u64;
        let total = page.total.unwrap_or_else(|| page.from.unwrap_or(0) + count);
        let from = page.from.unwrap_or_else(|| total.saturating_sub(count));
        let wanted = total.saturating_sub(size);
        if from + count != total || from > wanted {
            return self.part(wanted, total - wanted).await;
        }
        let mut part = Part { from, total, lines: page.lines, object: Some(page.object) };
        part.keep(wanted..total);
        Ok(part)
    }

    async fn head_and_tail(&self, size: u64) -> Result<Log> {
        let mut head = self.part(0, size).await?;
        if head.total > head.end() {
            let tail = self.part(head.total.saturating_sub(size).max(head.end()), size).await?;
            head.total = tail.total;
            head.lines.extend(tail.lines);
            head.object = None;
        }
        Ok(head.into_log())
    }

    /// The first page at once, so that a log that cannot be read is no stream that breaks off.
    async fn all(self) -> Result<Log> {
        let first = self.one_page(0, PAGE).await?;
        let total = first.total;
        let pages = stream::try_unfold((Some(first), 0, total), move |(ready, from, total)| {
            let logs = self.clone();
            async move {
                let part = match ready {
                    Some(part) => part,
                    None if from < total => logs.renewed().one_page(from, PAGE).await?,
                    None => return Ok::<_, Error>(None),
                };
                if part.lines.is_empty() {
                    return Ok(None);
                }
                let rest = (None, part.end(), part.total);
                let bytes: String = part.lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect();
                Ok(Some((Bytes::from(bytes), rest)))
            }
        });
        let body = LogBody::Stream(Box::pin(pages.into_stream()));
        Ok(Log { body, ..Log::page(0, total, Vec::new()) })
    }

    /// A stream may be read for longer than its first request had time: each page has the time of a call.
    fn renewed(&self) -> Self {
        let deadline = Instant::now() + self.client.http.attempt_timeout();
        Self { ctx: Context { deadline: self.ctx.deadline.max(deadline), ..self.ctx.clone() }, ..self.clone() }
    }
}
