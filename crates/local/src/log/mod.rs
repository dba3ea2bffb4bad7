//! A job's log: pages of it by line number, its end, or all of it.
//!
//! The file is whatever the job wrote, both streams in one. Everything that is shown is bounded: [`MAX_PAGE_LINES`], [`MAX_PAGE_BYTES`],
//! [`lines::MAX_LINE`]; so a log of a gigabyte costs the memory of one page. Bytes that are no UTF-8 are replaced.

mod index;
mod lines;

use std::{collections::VecDeque, fs::File, io, path::Path};

use batchlingua_core::Lines;

use self::{
    index::Index,
    lines::{Line, Scan},
};

/// A page has no more lines.
pub(crate) const MAX_PAGE_LINES: u32 = 10_000;
/// A page has no more bytes of text.
pub(crate) const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

const PIECE: usize = 64 * 1024;

/// Lines of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogPage {
    pub(crate) from: u64,
    pub(crate) total: u64,
    pub(crate) lines: Vec<String>,
    /// What it took.
    pub(crate) bytes_read: u64,
}

/// A log and its index, open.
pub(crate) struct JobLog {
    log: File,
    list: File,
}

impl JobLog {
    /// Fails with `NotFound` where there is no log.
    pub(crate) fn open(log: &Path, list: &Path) -> io::Result<Self> {
        let log = File::open(log)?;
        let list = File::options().read(true).append(true).create(true).open(list)?;
        Ok(Self { log, list })
    }

    /// How many bytes and lines there are now. Brings the index up; only one at a time may do this or ask for a page.
    pub(crate) fn measure(&self) -> io::Result<(u64, u64)> {
        let index = Index::update(&self.log, &self.list)?;
        Ok((index.end, index.total))
    }

    /// The file itself, for a stream of all of it.
    pub(crate) fn into_file(self) -> File {
        self.log
    }

    /// The lines asked for, as far as one page goes.
    pub(crate) fn page(&self, wanted: Lines) -> io::Result<LogPage> {
        let mut index = Index::update(&self.log, &self.list)?;
        match wanted {
            Lines::Tail(count) => self.tail(&mut index, count.min(MAX_PAGE_LINES)),
            Lines::From(from, count) => self.from(&mut index, from, count.min(MAX_PAGE_LINES)),
            Lines::HeadAndTail(count) => self.head_and_tail(&mut index, count.min(MAX_PAGE_LINES / 2)),
            // Not asked of a page: all of a log is a stream.
            Lines::All => self.from(&mut index, 0, MAX_PAGE_LINES),
        }
    }

    fn from(&self, index: &mut Index<'_>, from: u64, count: u32) -> io::Result<LogPage> {
        let from = from.min(index.total);
        let checkpoint = index.before_line(from)?;
        let mut scan = Scan::new(&self.log, checkpoint.start, index.end);
        let mut page = Page::new(count as usize, MAX_PAGE_BYTES);
        let mut number = checkpoint.line;
        while number < from.saturating_add(u64::from(count)) {
            let Some(line) = scan.next_line()? else { break };
            if number >= from && !page.push_while_it_fits(&line) {
                break;
            }
            number += 1;
        }
        Ok(page.done(from, index, scan.bytes_read()))
    }

    /// Begins so far before the end that neither limit can be missed, and lets go of what does not fit from the front.
    fn tail(&self, index: &mut Index<'_>, count: u32) -> io::Result<LogPage> {
        let by_lines = index.before_line(index.total.saturating_sub(u64::from(count)))?;
        let by_bytes = index.near_end(MAX_PAGE_BYTES as u64)?;
        let begin = if by_lines.start > by_bytes.start { by_lines } else { by_bytes };
        let mut scan = Scan::new(&self.log, begin.start, index.end);
        let mut page = Page::new(count as usize, MAX_PAGE_BYTES);
        while let Some(line) = scan.next_line()? {
            page.push_and_drop_the_first(&line);
        }
        let from = index.total - page.lines.len() as u64;
        Ok(page.done(from, index, scan.bytes_read()))
    }

    fn head_and_tail(&self, index: &mut Index<'_>, count: u32) -> io::Result<LogPage> {
        if index.total <= u64::from(count) * 2 {
            return self.from(index, 0, count * 2);
        }
        let mut head = self.from(index, 0, count)?;
        let tail = self.tail(index, count)?;
        head.bytes_read += tail.bytes_read;
        head.lines.extend(tail.lines);
        Ok(head)
    }
}

/// The next bytes of a log that is passed on as it is.
pub(crate) fn piece(file: &File, at: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(PIECE);
    let mut bytes = vec![0; length];
    let got = lines::read_at(file, &mut bytes, at)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// Lines within both limits.
struct Page {
    lines: VecDeque<String>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl Page {
    fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, max_lines, max_bytes }
    }

    fn push_while_it_fits(&mut self, line: &Line<'_>) -> bool {
        let text = String::from_utf8_lossy(line.text);
        let fits = self.lines.len() < self.max_lines && self.bytes + text.len() <= self.max_bytes;
        if fits {
            self.bytes += text.len();
            self.lines.push_back(text.into_owned());
        }
        fits
    }

    fn push_and_drop_the_first(&mut self, line: &Line<'_>) {
        let text = String::from_utf8_lossy(line.text);
        self.bytes += text.len();
        self.lines.push_back(text.into_owned());
        while self.lines.len() > self.max_lines || self.bytes > self.max_bytes {
            let dropped = self.lines.pop_front().expect("a page over its limit has a line");
            self.bytes -= dropped.len();
        }
    }

    fn done(self, from: u64, index: &Index<'_>, bytes_read: u64) -> LogPage {
        LogPage { from, total: index.total, lines: self.lines.into(), bytes_read: bytes_read + index.bytes_read }
    }
}

#[cfg(test)]
mod tests;
