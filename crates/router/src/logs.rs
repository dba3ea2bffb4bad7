//! Logs: the backend's while it has them, else the last page that was kept with the batch's end.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    App, BatchId, BatchRef, Context, Entry, Error, ErrorKind, KeptLog, Lines, Log, LogQuery, LogSource, Missing,
    NativeId, Notes, Observation, Outcome, Phase, Reply, Result, Revival,
};

use crate::{Gateway, stack::Stack, view};

/// Most lines that are kept of a log.
const KEPT_LINES: u32 = 10_000;
/// How long the end of a batch may wait for its log: it counts more.
const KEEPING: Duration = Duration::from_secs(5);

/// Lines of a batch's log.
pub(crate) async fn log(
    gateway: &Arc<Gateway>,
    ctx: &Context,
    wanted: &BatchRef,
    query: &LogQuery,
) -> Result<Reply<BatchId>> {
    let entry = view::known(view::resolve(gateway, ctx, wanted).await?)?;
    let notes = Notes { backend: Some(entry.backend.clone()), ..Notes::default() };
    let id = entry.batch.id.clone();
    let Some(native) = id.native.as_ref().filter(|_| entry.phase == Phase::Accepted) else {
        let nothing = Log::page(0, 0, Vec::new());
        return Ok(Reply { outcome: Outcome::Log(id, nothing), notes });
    };
    let of_batch = LogQuery { source: LogSource::Default, ..*query };
    let (asked, query) = match gateway.stack(&entry.backend) {
        Ok(stack) => match (&query.source, stack.can().steps) {
            // A batch without steps is shown as one, whose log is the batch's.
            (LogSource::Step(step), false) if is_first(step) => (stack.log(ctx, native, &of_batch).await, &of_batch),
            (LogSource::Step(step), false) => (Err(no_step(step)), query),
            _ => match stack.log(ctx, native, query).await {
                Err(error) if matches!(&error.kind, ErrorKind::NotFound(Missing::Step(step)) if is_first(step)) => {
                    (stack.log(ctx, native, &of_batch).await, &of_batch)
                }
                asked => (asked, query),
            },
        },
        Err(error) => (Err(error), query),
    };
    let log = match asked {
        Ok(log) => log,
        // Forgotten there, or out of reach: what was kept is still an answer, but only to who asks for the log that is kept.
        Err(error) => {
            let over = entry.batch.state.is_end() || matches!(error.kind, ErrorKind::NotFound(_));
            let kept = match query.source {
                LogSource::Default if over => gateway.ledger.kept_log(entry.row).await?,
                LogSource::Default | LogSource::Driver { .. } | LogSource::Step(_) => None,
            };
            cut(kept.ok_or(error)?, query.lines)
        }
    };
    Ok(Reply { outcome: Outcome::Log(id, log), notes })
}

/// Whether the number at the end of a step's id is that of the first one.
fn is_first(step: &str) -> bool {
    let number = &step[step.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
    !number.is_empty() && number.bytes().all(|digit| digit == b'0')
}

fn no_step(step: &str) -> Error {
    let kind = ErrorKind::NotFound(Missing::Step(step.to_owned()));
    Error::new(kind, format!("the batch has no step '{step}': it has one, whose number is 0"))
}

/// The last page of a batch's log, to be kept.
pub(crate) async fn last_page(ctx: &Context, stack: &Stack, native: &NativeId) -> Option<KeptLog> {
    if !stack.can().log {
        return None;
    }
    let query = LogQuery { lines: Lines::Tail(KEPT_LINES), source: LogSource::Default };
    match tokio::time::timeout(KEEPING, stack.log(ctx, native, &query)).await {
        Ok(Ok(log)) => KeptLog::of_tail(&log),
        Ok(Err(error)) => {
            tracing::warn!(native = %native, cause = error.detail(), "the log of a batch cannot be kept");
            None
        }
        Err(_) => {
            tracing::warn!(native = %native, "the log of a batch cannot be kept: it does not come in time");
            None
        }
    }
}

/// Keeps the last page of a batch's log as it is now; its state stays what it is.
pub(crate) async fn keep(gateway: &Gateway, ctx: &Context, stack: &Stack, entry: &Entry, native: &NativeId) {
    let Some(log) = last_page(ctx, stack, native).await else { return };
    let observation = Observation {
        row: entry.row,
        state: entry.batch.state,
        attempt: None,
        revival: Revival::Never,
        times: entry.batch.times,
        app: App::default(),
        diagnostic: None,
        log: Some(log),
    };
    if let Err(error) = gateway.ledger.observe(&[observation]).await {
        tracing::warn!(batch.id = %entry.batch.id.uuid, cause = error.detail(), "the log of a batch cannot be kept");
    }
}

/// The asked lines, as far as they were kept.
fn cut(kept: KeptLog, lines: Lines) -> Log {
    let (first, end) = (kept.from, kept.from + kept.lines.len() as u64);
    if let Lines::HeadAndTail(n) = lines
        && first == 0
        && let Some(middle) = kept.lines.len().checked_sub(2 * n as usize).filter(|middle| *middle > 0)
    {
        let mut both = kept.lines;
        both.drain(n as usize..n as usize + middle);
        return Log::page(0, kept.total, both);
    }
    let (from, size) = match lines {
        Lines::Tail(n) => (end.saturating_sub(u64::from(n)), u64::from(n)),
        Lines::From(from, n) => (from, u64::from(n)),
        // The head is gone, or there is no more than the two.
        Lines::HeadAndTail(n) => (end.saturating_sub(2 * u64::from(n)), 2 * u64::from(n)),
        Lines::All => (first, u64::MAX),
    };
    let start = from.clamp(first, end);
    let stop = from.saturating_add(size).clamp(start, end);
    let index = |line: u64| usize::try_from(line - first).expect("kept lines fit in memory");
    let lines = kept.lines[index(start)..index(stop)].to_vec();
    Log::page(if lines.is_empty() { from } else { start }, kept.total, lines)
}

#[cfg(test)]
mod tests {
    use batchlingua_core::LogBody;

    use super::*;

    fn lines(log: Log) -> (u64, Vec<String>) {
        match log.body {
            LogBody::Lines(lines) => (log.from, lines),
            LogBody::Stream(_) => panic!("lines"),
        }
    }

    #[test]
    fn a_kept_page_is_cut_like_the_log_that_it_is_the_end_of() {
        let kept = || KeptLog { from: 5, total: 8, lines: ["l5", "l6", "l7"].map(str::to_owned).into() };
        assert_eq!(lines(cut(kept(), Lines::Tail(2))), (6, vec!["l6".into(), "l7".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(0, 6))), (5, vec!["l5".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(7, 100))), (7, vec!["l7".into()]));
        assert_eq!(lines(cut(kept(), Lines::From(8, 100))), (8, vec![]));
        assert_eq!(lines(cut(kept(), Lines::From(0, 3))), (0, vec![]));
        assert_eq!(lines(cut(kept(), Lines::All)).1.len(), 3);
        assert_eq!(lines(cut(kept(), Lines::HeadAndTail(1))), (6, vec!["l6".into(), "l7".into()]));
    }

    #[test]
    fn both_ends_of_a_log_that_was_kept_as_a_whole_are_its_own() {
        let kept = || KeptLog { from: 0, total: 5, lines: ["l0", "l1", "l2", "l3", "l4"].map(str::to_owned).into() };
        let ends = ["l0", "l1", "l3", "l4"].map(str::to_owned);
        assert_eq!(lines(cut(kept(), Lines::HeadAndTail(2))), (0, ends.into()));
        assert_eq!(lines(cut(kept(), Lines::HeadAndTail(3))).1.len(), 5);
    }
}
