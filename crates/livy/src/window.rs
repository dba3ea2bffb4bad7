//! Windows of lists and of logs, with Livy's 32-bit arithmetic.
//!
//! A list's `from` is an index, echoed however absurd; what is served is clipped as Scala's `view(from, from + size)`
//! clips, and an end past 2³¹ wraps around to before the beginning, so nothing is served.
//!
//! A log is its lines between two header lines, which count: line 0 is `stdout: ` and the last is `\nstderr: `. The
//! model's lines have no headers, so a window is moved by one on the way in and cut together on the way out. A client
//! that pages must get on: a page is never empty while its `from` is before `total` and its size is not nought, even
//! if the backend has fewer lines than it was asked for.

use std::ops::Range;

use batchlingua_core::{Lines, ListQuery, Result, Window};
use batchlingua_wire::{Query, java::parse_int};

use crate::error;

pub(crate) const HEADER: &str = "stdout: ";
const TRAILER: &str = "\nstderr: ";
/// The lines of a log that a batch's object shows.
const TAIL: usize = 10;
const DEFAULT_SIZE: i32 = 100;
/// Most lines of one page, whatever is asked.
pub(crate) const MOST: u32 = 10_000;

fn int(query: &Query, name: &str) -> Result<Option<i32>> {
    let read = |text| parse_int(text).ok_or_else(|| error::bad_number(name, text));
    query.get(name).map(read).transpose()
}

/// Which batches are asked for, and the `from` to echo.
pub(crate) fn list(query: &Query) -> Result<(i32, ListQuery)> {
    let from = int(query, "from")?.unwrap_or(0);
    let size = int(query, "size")?.unwrap_or(DEFAULT_SIZE);
    let clip = |at: i32| u64::try_from(at).unwrap_or(0);
    let (start, end) = (clip(from), clip(from.wrapping_add(size)));
    let window = Window { from: start, size: end.saturating_sub(start) };
    Ok((from, ListQuery { window, tails: true, ..ListQuery::default() }))
}

/// What a client asks of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogWindow {
    /// None, or a negative one: the end of the log.
    from: Option<u32>,
    /// Negative: all.
    size: i32,
}

/// A page of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogPage<'a> {
    pub(crate) from: u64,
    pub(crate) total: u64,
    pub(crate) lines: Vec<&'a str>,
}

impl LogWindow {
    pub(crate) fn read(query: &Query) -> Result<Self> {
        let from = int(query, "from")?.and_then(|from| u32::try_from(from).ok());
        let size = int(query, "size")?.unwrap_or(DEFAULT_SIZE);
        Ok(Self { from, size })
    }

    /// What to ask of the backend. With a `ring` of so many lines a log is no longer than that, as Livy's is.
    pub(crate) fn lines(self, ring: u32) -> Lines {
        let size = u32::try_from(self.size).ok();
        match (self.from, size) {
            _ if ring > 0 => Lines::Tail(ring),
            (None, None) => Lines::From(0, MOST),
            (None, Some(size)) => Lines::Tail(size.saturating_sub(1).min(MOST)),
            (Some(_), _) if self.wraps() => Lines::Tail(0),
            (Some(from), size) => {
                let size = size.unwrap_or(MOST).min(MOST);
                Lines::From(u64::from(from.saturating_sub(1)), if from == 0 { size.saturating_sub(1) } else { size })
            }
        }
    }

    /// Whether the end of the window is past 2³¹.
    fn wraps(self) -> bool {
        self.size >= 0 && self.from.is_some_and(|from| i64::from(from) + i64::from(self.size) > i64::from(i32::MAX))
    }

    /// What a Livy serves of a log of so many lines, its own among them, and the number that it tells.
    pub(crate) fn of_whole(self, total: usize) -> (u64, Range<usize>) {
        let size = usize::try_from(self.size).unwrap_or(total);
        let from = self.from.map_or(total.saturating_sub(size), |from| usize::try_from(from).unwrap_or(usize::MAX));
        let end = if self.wraps() { 0 } else { total.min(from.saturating_add(size)) };
        (from as u64, if from < end { from..end } else { 0..0 })
    }

    /// The page, from the lines that the backend gave: those from `first` on, of `count`.
    pub(crate) fn cut(self, ring: u32, first: u64, count: u64, lines: &[String]) -> LogPage<'_> {
        let lines = in_ring(ring, lines);
        let given = lines.len() as u64;
        // Past the end a backend may give no lines from there on, and that is no word on how many there are.
        let first = if given == 0 { first.min(count) } else { first };
        let (first, count) = if ring > 0 { (0, given) } else { (first, count.max(first + given)) };
        let total = count + 2;
        let size = u64::try_from(self.size).unwrap_or(total);
        let start = self.from.map_or(total.saturating_sub(size), u64::from);
        let end = if self.wraps() { start } else { total.min(start + size) };
        if start >= end {
            return LogPage { from: start, total, lines: Vec::new() };
        }
        // Lines of the model are counted from 0, with the header from 1. Those that are not there are left out from
        // the front.
        let (held_from, held_to) = (first + 1, first + 1 + lines.len() as u64);
        let is_end = self.from.is_none() && self.size >= 0;
        let start = if start < held_from && (start > 0 || is_end && held_from > 1) { held_from } else { start };
        let mut page = Vec::new();
        if start == 0 {
            page.push(HEADER);
        }
        let mut at = start.max(1);
        if (held_from..held_to).contains(&at) {
            let to = end.min(held_to);
            let held = &lines[(at - held_from) as usize..(to.max(at) - held_from) as usize];
            page.extend(held.iter().map(String::as_str));
            at = at.max(to);
        }
        if page.is_empty() {
            return LogPage { from: total - 1, total, lines: vec![TRAILER] };
        }
        if at == total - 1 && at < end {
            page.push(TRAILER);
        }
        LogPage { from: start, total, lines: page }
    }
}

fn in_ring(ring: u32, lines: &[String]) -> &[String] {
    match usize::try_from(ring) {
        Ok(ring) if ring > 0 => &lines[lines.len().saturating_sub(ring)..],
        _ => lines,
    }
}

/// What a batch's object shows of a log of which these are the last lines.
pub(crate) fn tail(ring: u32, lines: &[String]) -> Vec<&str> {
    let lines = in_ring(ring, lines);
    let shown = &lines[lines.len().saturating_sub(TAIL - 1)..];
    let header = (lines.len() + 2 <= TAIL).then_some(HEADER);
    header.into_iter().chain(shown.iter().map(String::as_str)).chain([TRAILER]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(from: Option<i32>, size: Option<i32>) -> Query {
        let from = from.map(|from| format!("from={from}&")).unwrap_or_default();
        let size = size.map(|size| format!("size={size}")).unwrap_or_default();
        Query::parse(&format!("{from}{size}"))
    }

    /// What Livy serves of a log that it holds as a whole.
    fn livys(all: &[String], from: Option<i32>, size: Option<i32>) -> (i64, i64, Vec<&str>) {
        let total = i32::try_from(all.len()).expect("a short log");
        let size = size.filter(|size| *size >= 0).unwrap_or(if size.is_some() { total } else { 100 });
        let from = from.filter(|from| *from >= 0).unwrap_or_else(|| 0.max(total.saturating_sub(size)));
        let until = from.wrapping_add(size).min(total);
        let served = if from < until { &all[from as usize..until as usize] } else { &[] };
        (from.into(), total.into(), served.iter().map(String::as_str).collect())
    }

    /// What a backend gives of its lines: never more than `most`, from the end of what was asked where that is the
    /// end of the log.
    fn given(lines: &[String], asked: Lines, most: usize) -> (u64, Vec<String>) {
        let (start, end) = match asked {
            Lines::Tail(size) => (lines.len() - lines.len().min((size as usize).min(most)), lines.len()),
            Lines::From(from, size) => {
                let start = lines.len().min(usize::try_from(from).expect("small"));
                (start, lines.len().min(start + (size as usize).min(most)))
            }
            other => panic!("{other:?} is never asked for"),
        };
        (start as u64, lines[start..end].to_vec())
    }

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("L{at}")).collect()
    }

    fn with_headers(lines: &[String]) -> Vec<String> {
        [HEADER.to_owned()].into_iter().chain(lines.iter().cloned()).chain([TRAILER.to_owned()]).collect()
    }

    fn numbers() -> impl Strategy<Value = Option<i32>> {
        let near = prop_oneof![-5..160_i32, Just(i32::MAX), Just(i32::MIN), Just(i32::MAX - 1), any::<i32>()];
        proptest::option::of(near)
    }

    proptest! {
        #[test]
        fn windows_of_a_log_are_livys(
            count in 0..150_usize,
            from in numbers(),
            size in numbers(),
            is_echoed in any::<bool>(),
        ) {
            let lines = lines(count);
            let window = LogWindow::read(&query(from, size)).expect("integers");
            let asked = window.lines(0);
            let (first, held) = given(&lines, asked, usize::MAX);
            // Where it has no lines, a backend tells where it ends or what it was asked for.
            let first = match asked {
                Lines::From(from, _) if is_echoed => from,
                _ => first,
            };
            let page = window.cut(0, first, count as u64, &held);
            let all = with_headers(&lines);
            let livys = livys(&all, from, size);
            prop_assert_eq!((page.from as i64, page.total as i64, page.lines), livys);
        }

        #[test]
        fn windows_of_a_livys_own_log_are_livys(count in 0..150_usize, from in numbers(), size in numbers()) {
            let all = lines(count);
            let (told, served) = LogWindow::read(&query(from, size)).expect("integers").of_whole(count);
            let served: Vec<_> = all[served].iter().map(String::as_str).collect();
            prop_assert_eq!((told as i64, count as i64, served), livys(&all, from, size));
        }

        #[test]
        fn a_ring_is_a_log_of_its_last_lines(
            count in 0..150_usize,
            ring in 1..50_u32,
            from in numbers(),
            size in numbers(),
        ) {
            let lines = lines(count);
            let window = LogWindow::read(&query(from, size)).expect("integers");
            let (first, held) = given(&lines, window.lines(ring), usize::MAX);
            let page = window.cut(ring, first, count as u64, &held);
            let all = with_headers(&lines[count.saturating_sub(ring as usize)..]);
            prop_assert_eq!((page.from as i64, page.total as i64, page.lines), livys(&all, from, size));
        }

        /// A backend that cuts pages, or has lost lines, makes them shorter; a client that pages still comes to the
        /// end.
        #[test]
        fn paging_comes_to_an_end(count in 0..60_usize, lost in 0..60_usize, most in 0..8_usize, size in 1..20_i32) {
            let lines = lines(count);
            let lost = lost.min(count);
            let mut from = 0;
            for _ in 0..200 {
                let window = LogWindow::read(&query(Some(from), Some(size))).expect("integers");
                let (first, mut held) = given(&lines, window.lines(0), most);
                let gone = held.len().min(lost.saturating_sub(usize::try_from(first).expect("small")));
                let first = first + gone as u64;
                held.drain(..gone);
                let page = window.cut(0, first, count as u64, &held);
                let next = page.from + page.lines.len() as u64;
                prop_assert!(next <= page.total, "{page:?}");
                prop_assert!(page.lines.len() <= size as usize, "{page:?}");
                if u64::try_from(from).expect("positive") >= page.total {
                    prop_assert!(page.lines.is_empty());
                    return Ok(());
                }
                prop_assert!(!page.lines.is_empty(), "from {from}: {page:?}");
                from = i32::try_from(next).expect("small");
            }
            prop_assert!(false, "no end");
        }

        #[test]
        fn windows_of_a_list_are_livys(from in numbers(), size in numbers(), count in 0..150_i32) {
            let (echoed, asked) = list(&query(from, size)).expect("integers");
            let (from, size) = (from.unwrap_or(0), size.unwrap_or(100));
            prop_assert_eq!(echoed, from);
            let clip = |at: i32| at.clamp(0, count);
            let (start, end) = (clip(from), clip(from.wrapping_add(size)).max(clip(from)));
            let ours = (asked.window.from.min(count as u64), (asked.window.from + asked.window.size).min(count as u64));
            prop_assert_eq!(ours.1 - ours.0, (end - start) as u64);
            prop_assert!(ours.0 == start as u64 || start == end);
        }
    }

    #[test]
    fn no_page_is_longer_than_what_a_backend_gives() {
        for (from, size, asked) in [
            (None, Some(-1), Lines::From(0, MOST)),
            (None, Some(i32::MAX), Lines::Tail(MOST)),
            (Some(5), Some(-1), Lines::From(4, MOST)),
            (Some(5), Some(1_000_000), Lines::From(4, MOST)),
            (Some(0), Some(100), Lines::From(0, 99)),
            (Some(1), Some(i32::MAX), Lines::Tail(0)),
            (Some(-7), None, Lines::Tail(99)),
        ] {
            assert_eq!(LogWindow::read(&query(from, size)).expect("integers").lines(0), asked, "{from:?} {size:?}");
        }
    }

    #[test]
    fn a_batch_shows_the_last_ten_lines_with_the_headers() {
        assert_eq!(tail(0, &[]), [HEADER, TRAILER]);
        for (ring, count) in [(0, 1), (0, 8), (0, 9), (0, 10), (0, 30), (5, 3), (5, 20), (8, 9), (9, 20), (200, 20)] {
            let lines = lines(count);
            let kept = if ring == 0 { count } else { ring as usize };
            let all = with_headers(&lines[count.saturating_sub(kept)..]);
            let held = &lines[count.saturating_sub(10)..];
            assert_eq!(tail(ring, held), all[all.len().saturating_sub(10)..], "{ring} {count}");
        }
    }
}
