//! The logs of one job and the lines of them that a query names.

use std::collections::HashMap;

use batchlingua_core::{Error, ErrorKind, Lines, Log, LogBody, LogQuery, LogSource, Missing, Result};
use bytes::Bytes;
use futures_util::stream;

/// The logs of one job, each grown by the test.
#[derive(Default)]
pub(super) struct Logs {
    default: Vec<String>,
    driver: HashMap<u32, Vec<String>>,
    steps: HashMap<String, Vec<String>>,
}

impl Logs {
    pub(super) fn write(&mut self, source: &LogSource, lines: impl IntoIterator<Item = String>) {
        let log = match source {
            LogSource::Default => &mut self.default,
            LogSource::Driver { attempt } => self.driver.entry(*attempt).or_default(),
            LogSource::Step(step) => self.steps.entry(step.clone()).or_default(),
        };
        log.extend(lines);
    }

    pub(super) fn tail(&self, lines: usize) -> Vec<String> {
        self.default[self.default.len().saturating_sub(lines)..].to_vec()
    }

    pub(super) fn read(&self, query: &LogQuery) -> Result<Log> {
        let lines = match &query.source {
            LogSource::Default => &self.default,
            LogSource::Driver { attempt } => self.driver.get(attempt).ok_or_else(|| missing(Missing::Log))?,
            LogSource::Step(step) => self.steps.get(step).ok_or_else(|| missing(Missing::Step(step.clone())))?,
        };
        let total = lines.len() as u64;
        let page = |from: u64, size: u64| {
            let from = from.min(total);
            let to = from.saturating_add(size).min(total);
            Log::page(from, total, lines[from as usize..to as usize].to_vec())
        };
        Ok(match query.lines {
            Lines::Tail(size) => page(total.saturating_sub(size.into()), size.into()),
            Lines::From(from, size) => page(from, size.into()),
            Lines::HeadAndTail(size) if u64::from(size) * 2 >= total => page(0, total),
            Lines::HeadAndTail(size) => {
                let both = [&lines[..size as usize], &lines[lines.len() - size as usize..]].concat();
                Log::page(0, total, both)
            }
            Lines::All => {
                let pieces: Vec<_> = lines.iter().map(|line| Ok(Bytes::from(format!("{line}\n")))).collect();
                Log { from: 0, total: Some(total), body: LogBody::Stream(Box::pin(stream::iter(pieces))), native: None }
            }
        })
    }
}

fn missing(what: Missing) -> Error {
    Error::new(ErrorKind::NotFound(what), "the batch has no such log")
}
