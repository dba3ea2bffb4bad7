//! The lines of a step's log, cut from what a Kylin sends of it: both ends in one text, or all of it in pieces.
//!
//! Lines have no numbers there, so to number them is to count them from the first. Only where the two ends are the whole log, or its end alone
//! is asked for, the count is spared; the end of a longer log is then numbered as if nothing were left out, and its length is not told. What is
//! read stays within a page's memory however long the log is.

use std::collections::VecDeque;

use batchlingua_core::{Lines, Log};
use batchlingua_wire::{Body, BodyError};
use http_body_util::BodyExt;

use crate::log::{DIVIDER, ENDS};

/// Most lines of a page, and most bytes of them.
const MOST_LINES: usize = 10_000;
const MOST_BYTES: usize = 8 << 20;
/// Most bytes of one line: a longer one is split.
const MOST_OF_A_LINE: usize = 64 * 1024;

/// The lines that are wanted, taken from all of them in order.
#[derive(Debug)]
pub(crate) struct Collector {
    wanted: Lines,
    total: u64,
    head: Vec<String>,
    tail: VecDeque<String>,
    head_bytes: usize,
    tail_bytes: usize,
    is_full: bool,
}

impl Collector {
    pub(crate) fn new(wanted: Lines) -> Self {
        let (head, tail) = (Vec::new(), VecDeque::new());
        Self { wanted, total: 0, head, tail, head_bytes: 0, tail_bytes: 0, is_full: false }
    }

    fn line(&mut self, line: &[u8]) {
        let number = self.total;
        self.total += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.wanted {
            Lines::From(from, size) if number >= from && self.head.len() < most(size) => self.push(line, MOST_BYTES),
            Lines::From(..) => {}
            Lines::Tail(size) => self.roll(line, most(size), MOST_BYTES),
            Lines::HeadAndTail(size) if self.is_head(line, half(size)) => self.push(line, MOST_BYTES / 2),
            Lines::HeadAndTail(size) => self.roll(line, half(size), MOST_BYTES / 2),
            Lines::All => self.push(line, MOST_BYTES),
        }
    }

    fn is_head(&self, line: &[u8], lines: usize) -> bool {
        self.tail.is_empty() && self.head.len() < lines && self.head_bytes + line.len() <= MOST_BYTES / 2
    }

    /// What is too much ends the page: nothing after it may stand there.
    fn push(&mut self, line: &[u8], most: usize) {
        self.is_full |= self.head_bytes + line.len() > most;
        if !self.is_full {
            self.head_bytes += line.len();
            self.head.push(String::from_utf8_lossy(line).into_owned());
        }
    }

    fn roll(&mut self, line: &[u8], lines: usize, most: usize) {
        self.tail_bytes += line.len();
        self.tail.push_back(String::from_utf8_lossy(line).into_owned());
        while self.tail.len() > lines || self.tail_bytes > most {
            let Some(first) = self.tail.pop_front() else { return };
            self.tail_bytes = self.tail_bytes.saturating_sub(first.len());
        }
    }

    /// The page.
    pub(crate) fn finish(self) -> Log {
        let Self { wanted, total, mut head, tail, .. } = self;
        let from = match wanted {
            Lines::From(from, _) => from.min(total),
            Lines::Tail(_) => total - tail.len() as u64,
            Lines::HeadAndTail(_) | Lines::All => 0,
        };
        head.extend(tail);
        Log::page(from, total, head)
    }
}

fn most(size: u32) -> usize {
    (size as usize).min(MOST_LINES)
}

/// Of two ends.
fn half(size: u32) -> usize {
    (size as usize).min(MOST_LINES / 2)
}

/// All of a log as one text.
pub(crate) fn of_text(text: &str, wanted: Lines) -> Log {
    let mut collector = Collector::new(wanted);
    text.lines().for_each(|line| split(line.as_bytes(), &mut collector));
    collector.finish()
}

/// A log that comes in pieces, read to its end.
pub(crate) async fn of_body(mut body: Body, wanted: Lines) -> Result<Log, BodyError> {
    let mut collector = Collector::new(wanted);
    let mut begun: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        let mut rest = &piece[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if begun.is_empty() {
                split(line, &mut collector);
            } else {
                begun.extend_from_slice(line);
                split(&begun, &mut collector);
                begun.clear();
            }
        }
        begun.extend_from_slice(rest);
        while begun.len() > MOST_OF_A_LINE {
            collector.line(&begun[..MOST_OF_A_LINE]);
            begun.drain(..MOST_OF_A_LINE);
        }
    }
    if !begun.is_empty() {
        split(&begun, &mut collector);
    }
    Ok(collector.finish())
}

fn split(line: &[u8], collector: &mut Collector) {
    if line.len() <= MOST_OF_A_LINE {
        return collector.line(line);
    }
    line.chunks(MOST_OF_A_LINE).for_each(|part| collector.line(part));
}

/// The ends that are wanted, which may not be more than a Kylin shows of both.
pub(crate) fn of_ends(text: &str, wanted: Lines) -> Log {
    let all: Vec<&str> = text.lines().collect();
    let ends = ENDS as usize;
    let Some(tail) = (all.get(ends) == Some(&DIVIDER)).then(|| &all[ends + 1..]) else { return of_text(text, wanted) };
    // Where something is left out, the second end begins with the end of a line.
    let tail = if tail.len() > ends { &tail[tail.len() - ends..] } else { tail };
    if tail.len() < ends {
        let mut collector = Collector::new(wanted);
        all[..ends].iter().chain(tail).for_each(|line| split(line.as_bytes(), &mut collector));
        return collector.finish();
    }
    let of_tail = |size: u32| &tail[tail.len() - (size as usize).min(ends)..];
    let (from, lines) = match wanted {
        Lines::HeadAndTail(size) => (0, [&all[..(size as usize).min(ends)], of_tail(size)].concat()),
        Lines::Tail(size) => (2 * ends - of_tail(size).len(), of_tail(size).to_vec()),
        Lines::From(..) | Lines::All => (0, all),
    };
    Log { total: None, ..Log::page(from as u64, 0, lines.into_iter().map(str::to_owned).collect()) }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::LogBody;
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    fn lines(log: Log) -> (u64, Option<u64>, Vec<String>) {
        let LogBody::Lines(lines) = log.body else { panic!("lines") };
        (log.from, log.total, lines)
    }

    fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|at| format!("line {at}")).collect()
    }

    /// What a Kylin shows of a log of so many lines.
    fn shown(count: usize) -> String {
        let all = numbered(0..count);
        match count {
            0..=100 => all.join("\n"),
            101..=200 => format!("{}\n{DIVIDER}\n{}", all[..100].join("\n"), all[100..].join("\n")),
            _ => format!("{}\n{DIVIDER}\n\n{}", all[..100].join("\n"), all[count - 100..].join("\n")),
        }
    }

    #[test]
    fn two_ends_that_are_all_are_numbered() {
        for count in [0, 1, 99, 100, 101, 150, 199] {
            let text = shown(count);
            for size in [0, 1, 30, 100] {
                let from = count - count.min(size);
                let tail = lines(of_ends(&text, Lines::Tail(size as u32)));
                assert_eq!(tail, (from as u64, Some(count as u64), numbered(from..count)), "{size} of {count}");
                let (_, total, both) = lines(of_ends(&text, Lines::HeadAndTail(size as u32)));
                assert_eq!((both.len(), total), (count.min(2 * size), Some(count as u64)), "{size} of {count}");
            }
        }
    }

    #[test]
    fn the_end_of_a_longer_log_is_its_end_and_its_length_is_not_told() {
        for count in [200, 201, 5_000] {
            let text = shown(count);
            assert_eq!(lines(of_ends(&text, Lines::Tail(3))), (197, None, numbered(count - 3..count)), "{count}");
            let both = [numbered(0..2), numbered(count - 2..count)].concat();
            assert_eq!(lines(of_ends(&text, Lines::HeadAndTail(2))), (0, None, both), "{count}");
        }
    }

    #[tokio::test]
    async fn a_stream_is_cut_as_its_text_is_wherever_its_pieces_end() {
        let text = "one\r\ntwo\n\nf\u{fc}r vier\nlast";
        for size in 1..=text.len() {
            for wanted in
                [Lines::From(1, 3), Lines::From(9, 3), Lines::Tail(2), Lines::HeadAndTail(1), Lines::HeadAndTail(9)]
            {
                let pieces: Vec<_> =
                    text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                let read = of_body(Body::stream(stream::iter(pieces)), wanted).await.expect("read to its end");
                assert_eq!(lines(read), lines(of_text(text, wanted)), "{wanted:?} in pieces of {size}");
            }
        }
        assert_eq!(
            lines(of_text(text, Lines::From(1, 3))),
            (1, Some(5), vec!["two".into(), "".into(), "f\u{fc}r vier".into()])
        );
    }

    #[tokio::test]
    async fn neither_a_long_line_nor_a_long_page_takes_more_than_its_memory() {
        let long = Bytes::from(vec![b'x'; 1 << 20]);
        let pieces: Vec<_> = (0..40).map(|_| Ok(long.clone())).collect();
        let page =
            of_body(Body::stream(stream::iter(pieces)), Lines::From(0, u32::MAX)).await.expect("read to its end");
        let (from, total, page) = lines(page);
        assert_eq!((from, total, page.len() * MOST_OF_A_LINE), (0, Some(640), MOST_BYTES));
        let many = "x\n".repeat(30_000);
        assert_eq!(lines(of_text(&many, Lines::Tail(u32::MAX))).0, 20_000);
        assert_eq!(lines(of_text(&many, Lines::HeadAndTail(u32::MAX))).2.len(), 10_000);
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_no_page() {
        let pieces = vec![Ok(Bytes::from_static(b"one\ntwo")), Err(BodyError("cut".to_owned()))];
        assert!(of_body(Body::stream(stream::iter(pieces)), Lines::Tail(5)).await.is_err());
    }
}
