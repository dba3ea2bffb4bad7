//! How many lines a log has, and where they begin, without reading it again.
//!
//! Beside a log lies a list of checkpoints, one for each [`STRIDE`] bytes of it: the number of a line and where it begins. So a page of a
//! log of any length costs a few hundred kilobytes of reading and nothing that lasts in memory, also after a restart. The list only ever
//! grows, as the log does, and is no truth: an entry that does not check out (torn by a crash, older than a log that was cut short) throws
//! the list away, and it is made again.

use std::{
    fs::File,
    io::{self, Write},
};

use super::lines::{Scan, read_at};

/// How far apart checkpoints are; what a page costs at least.
pub(crate) const STRIDE: u64 = 256 * 1024;

const ENTRY: u64 = 24;

/// A line and where it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) line: u64,
    pub(crate) start: u64,
}

impl Checkpoint {
    fn to_bytes(self) -> [u8; ENTRY as usize] {
        let mut bytes = [0; ENTRY as usize];
        bytes[..8].copy_from_slice(&self.line.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.start.to_le_bytes());
        bytes[16..].copy_from_slice(&self.check().to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; ENTRY as usize]) -> Option<Self> {
        let [line, start, check] =
            [0, 8, 16].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of an entry")));
        let checkpoint = Self { line, start };
        (check == checkpoint.check()).then_some(checkpoint)
    }

    /// Tells an entry from a hole that a crash left (all zeros) and from a torn one; no defence against an enemy.
    fn check(self) -> u64 {
        (!self.line).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.start.rotate_left(32)
    }
}

/// A log's index, brought up to what the log held when it was opened.
pub(crate) struct Index<'f> {
    log: &'f File,
    list: &'f File,
    entries: u64,
    /// How long the log was.
    pub(crate) end: u64,
    /// How many lines it had, one without an end included.
    pub(crate) total: u64,
    /// How much of the log was read for that.
    pub(crate) bytes_read: u64,
}

impl<'f> Index<'f> {
    /// Reads on from the last checkpoint. `list` is open for reading and appending; only one at a time may do this.
    pub(crate) fn update(log: &'f File, list: &'f File) -> io::Result<Self> {
        let end = log.metadata()?.len();
        let mut index = Self { log, list, entries: list.metadata()?.len() / ENTRY, end, total: 0, bytes_read: 0 };
        if list.metadata()?.len() % ENTRY != 0 {
            list.set_len(index.entries * ENTRY)?;
        }
        if index.entries > 0 && index.entry(index.entries - 1)?.is_none_or(|last| last.start > end) {
            index.forget()?;
        }
        index.advance()?;
        Ok(index)
    }

    /// The last checkpoint at or before a line.
    pub(crate) fn before_line(&mut self, line: u64) -> io::Result<Checkpoint> {
        self.last_where(|checkpoint| checkpoint.line <= line)
    }

    /// The first checkpoint that is at most so many bytes from the end.
    pub(crate) fn near_end(&mut self, bytes: u64) -> io::Result<Checkpoint> {
        let from = self.end.saturating_sub(bytes);
        if from == 0 {
            return Ok(Checkpoint::default());
        }
        let before = self.partition(|checkpoint| checkpoint.start < from)?;
        if before == self.entries {
            return self.last_where(|_| true);
        }
        self.trusted(before)
    }

    fn last_where(&mut self, holds: impl Fn(Checkpoint) -> bool) -> io::Result<Checkpoint> {
        match self.partition(holds)? {
            0 => Ok(Checkpoint::default()),
            count => self.trusted(count - 1),
        }
    }

    /// How many checkpoints from the first on hold.
    fn partition(&mut self, holds: impl Fn(Checkpoint) -> bool) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.trusted(middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// An entry, or the log's beginning where it does not check out: right, if slower. The list is made anew by the next call.
    fn trusted(&mut self, number: u64) -> io::Result<Checkpoint> {
        match self.entry(number)? {
            Some(checkpoint) if checkpoint.start <= self.end => Ok(checkpoint),
            _ => {
                self.forget()?;
                Ok(Checkpoint::default())
            }
        }
    }

    fn entry(&self, number: u64) -> io::Result<Option<Checkpoint>> {
        let mut bytes = [0; ENTRY as usize];
        let got = read_at(self.list, &mut bytes, number * ENTRY)?;
        Ok(if got == bytes.len() { Checkpoint::from_bytes(bytes) } else { None })
    }

    fn forget(&mut self) -> io::Result<()> {
        self.entries = 0;
        self.list.set_len(0)
    }

    fn advance(&mut self) -> io::Result<()> {
        let mut last = self.last_where(|_| true)?;
        let mut scan = Scan::new(self.log, last.start, self.end);
        let mut made = Vec::new();
        let mut line = last.line;
        while let Some(found) = scan.next_line()? {
            if found.start >= last.start + STRIDE {
                last = Checkpoint { line, start: found.start };
                made.extend_from_slice(&last.to_bytes());
            }
            line += 1;
        }
        self.total = line;
        self.bytes_read = scan.bytes_read();
        if !made.is_empty() {
            let mut list = self.list;
            list.write_all(&made)?;
            self.entries += made.len() as u64 / ENTRY;
        }
        Ok(())
    }
}

/// Damages every entry but the last, as a crash might.
#[cfg(test)]
pub(crate) fn damage(list: &File) {
    use std::os::unix::fs::FileExt;
    let entries = list.metadata().expect("an index").len() / ENTRY;
    for number in 0..entries - 1 {
        list.write_all_at(&[0x55], number * ENTRY + 8).expect("written");
    }
}
