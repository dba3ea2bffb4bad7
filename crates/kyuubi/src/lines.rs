//! Lines of a log that is only shown from a line on.
//!
//! A Kyuubi tells how many lines an answer has, never how many there are. So where a log ends is found: by going on from where it ended the
//! last time, in steps that double, and then by halves. What is found is remembered for the batches that were asked of last, so that a log
//! that is followed costs one call a look.
//!
//! A log may become shorter (another instance has taken the batch over), and lines may come in between: Kyuubi's own stand before the
//! driver's. An end that was remembered and is not there any more is looked for anew.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use batchlingua_core::{Context, Lines, Log, LogBody, NativeId, Result};
use bytes::Bytes;
use futures_util::stream;
use lru::LruCache;

use crate::{
    NAME,
    client::{Api, LogFault},
};

/// Most lines that are asked for at once.
const PAGE: u32 = 1_000;
/// Most lines of an answer to a client, and most bytes of them.
const MOST_LINES: u32 = 10_000;
const MOST_BYTES: usize = 8 << 20;
/// How far the first step goes beyond what is known.
const FIRST_STEP: u64 = 4 * PAGE as u64;
/// The last line that can be asked for.
const LAST: u64 = i32::MAX as u64;
/// How often a log that grows while it is looked at is looked at again.
const LOOKS: u32 = 4;
/// Most batches whose ends are remembered.
const MOST_ENDS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not nought");
/// What stands in the place of a line that is too long to be fetched.
const TOO_LONG: &str = "(a line that is longer than the proxy's `max_answer` was left out)";

/// Where logs ended when they were last looked at.
#[derive(Clone, Debug)]
pub(crate) struct Ends(Arc<Mutex<LruCache<NativeId, u64>>>);

impl Ends {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(MOST_ENDS))))
    }

    fn of(&self, id: &NativeId) -> u64 {
        self.lock().get(id).copied().unwrap_or(0)
    }

    fn set(&self, id: &NativeId, end: u64) {
        self.lock().put(id.clone(), end);
    }

    /// A thread that panicked elsewhere has left it whole: a look-up and an insertion are all that happens inside.
    fn lock(&self) -> MutexGuard<'_, LruCache<NativeId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of one batch.
#[derive(Clone)]
pub(crate) struct Reader {
    api: Api,
    ends: Ends,
    id: NativeId,
}

/// One answer.
struct Part {
    lines: Vec<String>,
    /// Whether the log has no more lines than these, for now.
    is_last: bool,
    /// Whether this is all there is, from line 0 on: what a Kyuubi says in place of a log that has not begun, whatever is asked.
    is_all: bool,
}

impl Reader {
    pub(crate) fn new(api: &Api, ends: &Ends, id: &NativeId) -> Self {
        Self { api: api.clone(), ends: ends.clone(), id: id.clone() }
    }

    /// The lines that are wanted.
    pub(crate) async fn read(self, ctx: &Context, wanted: Lines) -> Result<Log> {
        match wanted {
            Lines::Tail(size) => self.tail(ctx, size).await,
            Lines::From(from, size) => self.from(ctx, from, size).await,
            Lines::HeadAndTail(size) => self.head_and_tail(ctx, size).await,
            Lines::All => self.all(ctx).await,
        }
    }

    async fn tail(&self, ctx: &Context, size: u32) -> Result<Log> {
        let size = size.min(MOST_LINES);
        let end = self.find_end(ctx).await?;
        let first = end.saturating_sub(size.into());
        let mut lines = VecDeque::new();
        let mut bytes = 0;
        let mut next = first;
        // What has come since then is not fetched: a page that is as it was at one moment.
        while next < end {
            let part = self.part(ctx, next, u32::try_from(end - next).unwrap_or(PAGE)).await?;
            next += part.lines.len() as u64;
            for line in part.lines {
                bytes += line.len() + 1;
                lines.push_back(line);
            }
            while bytes > MOST_BYTES
                && let Some(line) = lines.pop_front()
            {
                bytes -= line.len() + 1;
            }
            if part.is_last || part.is_all {
                break;
            }
        }
        let end = next.max(first);
        Ok(Log::page(end - lines.len() as u64, end, lines.into()))
    }

    async fn from(&self, ctx: &Context, from: u64, size: u32) -> Result<Log> {
        let (lines, is_last) = self.take(ctx, from, size.min(MOST_LINES)).await?;
        let seen = from.saturating_add(lines.len() as u64);
        let total = match is_last {
            // Of what ends here the end is seen.
            true if !lines.is_empty() || from == 0 || from == self.ends.of(&self.id) => Some(seen),
            // The page is right without its total.
            true => self.find_end(ctx).await.ok(),
            // A Kyuubi client is told no total: a call more for each page would be for nothing.
            false if ctx.dialect.as_str() == NAME => None,
            false => {
                if !lines.is_empty() {
                    self.saw(seen);
                }
                self.find_end(ctx).await.ok()
            }
        };
        if let Some(total) = total {
            self.ends.set(&self.id, total);
        }
        Ok(Log { from, total, body: LogBody::Lines(lines), native: None })
    }

    async fn head_and_tail(&self, ctx: &Context, size: u32) -> Result<Log> {
        // Half each, so that both fit.
        let size = size.min(MOST_LINES / 2);
        let end = self.find_end(ctx).await?;
        if u64::from(size) * 2 >= end {
            let (lines, _) = self.take(ctx, 0, u32::try_from(end).unwrap_or(MOST_LINES)).await?;
            return Ok(Log::page(0, end.max(lines.len() as u64), lines));
        }
        let (mut lines, _) = self.take(ctx, 0, size).await?;
        let (tail, _) = self.take(ctx, end - u64::from(size), size).await?;
        lines.extend(tail);
        Ok(Log::page(0, end, lines))
    }

    /// The first page is fetched at once, so that a log that is not there is told as such.
    async fn all(self, ctx: &Context) -> Result<Log> {
        let first = self.part(ctx, 0, PAGE).await?;
        let following =
            Following { ctx: ctx.clone(), next: first.lines.len() as u64, is_over: first.is_last || first.is_all };
        let start = (self, following, Some(first.lines));
        let pieces = stream::try_unfold(start, |(reader, mut following, ready)| async move {
            let lines = match ready {
                Some(lines) => lines,
                None if following.is_over => return Ok(None),
                None => following.more(&reader).await?,
            };
            let text = lines.into_iter().fold(String::new(), |text, line| text + &line + "\n");
            Ok(Some((Bytes::from(text), (reader, following, None))))
        });
        Ok(Log { from: 0, total: None, body: LogBody::Stream(Box::pin(pieces)), native: None })
    }

    /// So many lines from this one on, or fewer where they are too much, and whether the log ends with them.
    async fn take(&self, ctx: &Context, from: u64, size: u32) -> Result<(Vec<String>, bool)> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < size as usize && bytes < MOST_BYTES {
            let part = self.part(ctx, from + lines.len() as u64, size - lines.len() as u32).await?;
            if part.is_all {
                let rest = part.lines.into_iter().skip(usize::try_from(from).unwrap_or(usize::MAX));
                return Ok((rest.take(size as usize).collect(), true));
            }
            bytes += part.lines.iter().map(|line| line.len() + 1).sum::<usize>();
            lines.extend(part.lines);
            if part.is_last {
                return Ok((lines, true));
            }
        }
        Ok((lines, false))
    }

    /// One answer: at most a page.
    async fn part(&self, ctx: &Context, from: u64, size: u32) -> Result<Part> {
        let nothing = Part { lines: Vec::new(), is_last: true, is_all: false };
        let Some(at) = u32::try_from(from).ok().filter(|_| from <= LAST) else { return Ok(nothing) };
        let mut size = size.clamp(1, PAGE);
        loop {
            match self.api.log(ctx, self.id.as_str(), at, size).await {
                Ok(lines) if self.is_stand_in(&lines) => return Ok(Part { lines, is_last: true, is_all: true }),
                Ok(mut lines) => {
                    let is_last = lines.len() < size as usize;
                    lines.truncate(size as usize);
                    return Ok(Part { lines, is_last, is_all: false });
                }
                Err(LogFault::TooLarge) if size > 1 => size = (size / 8).max(1),
                Err(LogFault::TooLarge) => {
                    return Ok(Part { lines: vec![TOO_LONG.to_owned()], is_last: false, is_all: false });
                }
                Err(LogFault::Other(error)) => return Err(error),
            }
        }
    }

    /// What a Kyuubi says of a batch that nobody has begun to submit: one line, wherever it is asked for.
    fn is_stand_in(&self, lines: &[String]) -> bool {
        let [line] = lines else { return false };
        let rest = line.strip_prefix("Batch ").and_then(|rest| rest.strip_prefix(self.id.as_str()));
        matches!(rest, Some(" is waiting for scheduling" | " is waiting for submitting"))
    }

    /// There are at least so many lines.
    fn saw(&self, lines: u64) {
        if lines > self.ends.of(&self.id) {
            self.ends.set(&self.id, lines);
        }
    }

    /// How many lines there are now.
    async fn find_end(&self, ctx: &Context) -> Result<u64> {
        let mut known = self.ends.of(&self.id);
        for _ in 0..LOOKS {
            // From a line that is known to be there, so that a log that has become shorter is told from one that has not grown.
            let from = known.saturating_sub(1);
            let part = self.part(ctx, from, PAGE).await?;
            let seen = from + part.lines.len() as u64;
            known = match part {
                Part { is_all: true, lines, .. } => return Ok(self.remember(lines.len() as u64)),
                Part { is_last: true, lines, .. } if !lines.is_empty() || from == 0 => return Ok(self.remember(seen)),
                // It has become shorter.
                Part { is_last: true, .. } => self.between(ctx, 0, from).await?,
                Part { .. } => self.beyond(ctx, seen).await?,
            };
        }
        // It grows faster than it is looked at.
        Ok(self.remember(known))
    }

    fn remember(&self, end: u64) -> u64 {
        self.ends.set(&self.id, end);
        end
    }

    /// A line near the end of a log that has at least so many: not more than a page before it.
    async fn beyond(&self, ctx: &Context, known: u64) -> Result<u64> {
        let (mut known, mut step) = (known, FIRST_STEP);
        loop {
            let next = known.saturating_add(step).min(LAST);
            if next <= known || !self.has(ctx, next).await? {
                return self.between(ctx, known, next).await;
            }
            (known, step) = (next + 1, step.saturating_mul(2));
        }
    }

    /// The same, of a log with at least `low` lines and at most `high`.
    async fn between(&self, ctx: &Context, low: u64, high: u64) -> Result<u64> {
        let (mut low, mut high) = (low, high);
        // So near that a page from the line before has the end in it, and is short.
        while high.saturating_sub(low) + 1 >= u64::from(PAGE) {
            let middle = low + (high - low) / 2;
            if self.has(ctx, middle).await? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Whether there is a line of this number.
    async fn has(&self, ctx: &Context, line: u64) -> Result<bool> {
        let part = self.part(ctx, line, 1).await?;
        Ok(!part.is_all && !part.lines.is_empty())
    }
}

/// Where the reading of a whole log stands.
struct Following {
    ctx: Context,
    next: u64,
    is_over: bool,
}

impl Following {
    async fn more(&mut self, reader: &Reader) -> Result<Vec<String>> {
        // Each page has its own time: the whole may take long, as its reader does.
        let deadline = Instant::now() + reader.api.client.attempt_timeout();
        let ctx = Context { deadline, ..self.ctx.clone() };
        let part = reader.part(&ctx, self.next, PAGE).await?;
        self.next += part.lines.len() as u64;
        self.is_over = part.is_last || part.is_all;
        Ok(part.lines)
    }
}

#[cfg(test)]
#[path = "lines/tests.rs"]
mod tests;
