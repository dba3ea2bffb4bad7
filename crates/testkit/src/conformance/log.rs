//! The algebra of logs: whatever is asked for is cut from one whole.
//!
//! The whole is what a backend shows of an ended job, page by page. It may hold more than the job wrote, such as lines of a launcher; what
//! the job wrote is in it, in one piece and in order.

use batchlingua_core::{ErrorKind, Lines, Log, LogBody, LogQuery, LogSource, NativeId, Result};
use futures_util::TryStreamExt;

use super::{Job, Rig, ended, submit};
use crate::context;

const PRINTED: u32 = 25;

pub(super) async fn all(rig: &dyn Rig) {
    a_log_is_whole_and_in_order(rig).await;
    a_tail_of_a_log_is_its_end(rig).await;
    a_page_of_a_log_is_cut_from_the_whole(rig).await;
    pages_of_a_log_put_together_are_the_whole(rig).await;
    head_and_tail_leave_out_the_middle(rig).await;
    a_stream_of_a_log_is_the_whole(rig).await;
}

/// What the job wrote is there, in one piece; an unknown id has no log.
pub async fn a_log_is_whole_and_in_order(rig: &dyn Rig) {
    let Some((_, whole)) = printed(rig, PRINTED).await else { return };
    let wanted: Vec<_> = (0..PRINTED).map(|at| format!("line {at}")).collect();
    assert!(whole.windows(wanted.len()).any(|part| part == wanted), "what was written is not in {whole:#?}");
    let error = read(rig, &rig.unknown_id(), Lines::Tail(1)).await.expect_err("there is no such job");
    assert!(matches!(error.kind, ErrorKind::NotFound(_)), "{:?}", error.kind);
}

/// However long it is asked to be.
pub async fn a_tail_of_a_log_is_its_end(rig: &dyn Rig) {
    let Some((id, whole)) = printed(rig, PRINTED).await else { return };
    for size in [0, 1, 3, whole.len() - 1, whole.len(), whole.len() + 5] {
        let page = lines(rig, &id, Lines::Tail(size as u32)).await;
        let from = whole.len().saturating_sub(size);
        assert_eq!(page.lines, whole[from..], "the last {size}");
        assert_eq!((page.from, page.total), (from as u64, Some(whole.len() as u64)), "the last {size}");
    }
}

/// Wherever it begins, past the end too.
pub async fn a_page_of_a_log_is_cut_from_the_whole(rig: &dyn Rig) {
    let Some((id, whole)) = printed(rig, PRINTED).await else { return };
    let end = whole.len();
    for (from, size) in [(0, 1), (0, end), (0, end + 5), (3, 4), (end - 2, 10), (end, 3), (end + 7, 3), (2, 0)] {
        let page = lines(rig, &id, Lines::From(from as u64, size as u32)).await;
        let begin = from.min(end);
        assert_eq!(page.lines, whole[begin..(from + size).clamp(begin, end)], "{size} from {from}");
        assert_eq!(page.total, Some(end as u64), "{size} from {from}");
        if !page.lines.is_empty() {
            assert_eq!(page.from, from as u64, "{size} from {from}");
        }
    }
}

/// Nothing twice, nothing lost.
pub async fn pages_of_a_log_put_together_are_the_whole(rig: &dyn Rig) {
    let Some((id, whole)) = printed(rig, PRINTED).await else { return };
    for size in [1, 4, 7] {
        let mut together: Vec<String> = Vec::new();
        loop {
            let page = lines(rig, &id, Lines::From(together.len() as u64, size)).await;
            if page.lines.is_empty() {
                break;
            }
            together.extend(page.lines);
        }
        assert_eq!(together, whole, "in pages of {size}");
    }
}

/// And nothing where the two meet.
pub async fn head_and_tail_leave_out_the_middle(rig: &dyn Rig) {
    let Some((id, whole)) = printed(rig, PRINTED).await else { return };
    for size in [1, 5, whole.len() / 2, whole.len().div_ceil(2), whole.len()] {
        let page = lines(rig, &id, Lines::HeadAndTail(size as u32)).await;
        let wanted = if size * 2 >= whole.len() {
            whole.clone()
        } else {
            [&whole[..size], &whole[whole.len() - size..]].concat()
        };
        assert_eq!(page.lines, wanted, "{size} of each");
        assert_eq!((page.from, page.total), (0, Some(whole.len() as u64)), "{size} of each");
    }
}

/// Each line with its end.
pub async fn a_stream_of_a_log_is_the_whole(rig: &dyn Rig) {
    let Some((id, whole)) = printed(rig, PRINTED).await else { return };
    let log = read(rig, &id, Lines::All).await.expect("a log");
    let LogBody::Stream(stream) = log.body else { panic!("all of a log comes as a stream") };
    let bytes: Vec<u8> = stream.map_ok(|piece| piece.to_vec()).try_concat().await.expect("the stream comes to its end");
    let text = String::from_utf8(bytes).expect("the job wrote UTF-8");
    assert_eq!(text.lines().collect::<Vec<_>>(), whole);
}

#[derive(Debug)]
struct Cut {
    from: u64,
    total: Option<u64>,
    lines: Vec<String>,
}

/// A job that has written so many lines and ended, with its whole log. None: the backend shows no logs.
async fn printed(rig: &dyn Rig, count: u32) -> Option<(NativeId, Vec<String>)> {
    if !rig.backend().capabilities().log {
        return None;
    }
    let job = submit(rig, Job::Prints(count)).await;
    ended(rig, job.id()).await;
    let whole = lines(rig, job.id(), Lines::From(0, 5_000)).await;
    assert_eq!((whole.from, whole.total), (0, Some(whole.lines.len() as u64)), "the whole log is on one page");
    Some((job.id().clone(), whole.lines))
}

async fn lines(rig: &dyn Rig, id: &NativeId, wanted: Lines) -> Cut {
    let log = read(rig, id, wanted).await.unwrap_or_else(|error| panic!("{wanted:?}: {error:?}"));
    let LogBody::Lines(lines) = log.body else { panic!("{wanted:?} comes as lines") };
    Cut { from: log.from, total: log.total, lines }
}

async fn read(rig: &dyn Rig, id: &NativeId, lines: Lines) -> Result<Log> {
    rig.backend().log(&context(), id, &LogQuery { lines, source: LogSource::Default }).await
}
