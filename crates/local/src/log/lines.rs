//! Where a job's output is cut into lines.
//!
//! A line ends at `\n`, `\r\n` or a lone `\r`, as Livy's reader has it (a progress bar is many lines, not one endless one), and at
//! [`MAX_LINE`] bytes, so that no page can outgrow its limit. Every cut depends on nothing but the bytes from the line's own start on: so
//! a scan that begins at any known start finds the same lines as one from the beginning, and a log that grows only ever adds lines.
//!
//! The price of that is at the end of a growing log: a `\r` there may yet turn out to be half of a `\r\n`, so the line before it is not
//! complete until one more byte is there. It is shown all the same, as the last line.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Longer lines are cut. A cut does not split a character.
pub(crate) const MAX_LINE: usize = 64 * 1024;

const CHUNK: usize = 256 * 1024;

/// A complete line at the start of some bytes: the length of its text, and with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) text: usize,
    pub(crate) whole: usize,
}

/// The line that `bytes` begin with, unless it takes more bytes to know where it ends.
pub(crate) fn first_line(bytes: &[u8]) -> Option<Cut> {
    let window = &bytes[..bytes.len().min(MAX_LINE + 1)];
    match memchr::memchr2(b'\n', b'\r', window) {
        Some(at) if bytes[at] == b'\n' => Some(Cut { text: at, whole: at + 1 }),
        Some(at) => match bytes.get(at + 1)? {
            b'\n' => Some(Cut { text: at, whole: at + 2 }),
            _ => Some(Cut { text: at, whole: at + 1 }),
        },
        None if bytes.len() > MAX_LINE => {
            let at = between_characters(bytes);
            Some(Cut { text: at, whole: at })
        }
        None => None,
    }
}

/// At most [`MAX_LINE`], and before the character that would be split there. Bytes that are no UTF-8 are cut anywhere.
fn between_characters(bytes: &[u8]) -> usize {
    let continues = |at: usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    (MAX_LINE - 3..=MAX_LINE).rev().find(|&at| !continues(at)).unwrap_or(MAX_LINE)
}

/// A line of the log, in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) text: &'a [u8],
    /// Where it begins in the log.
    pub(crate) start: u64,
    /// False for what the log ends with, unless it ends with a line's end.
    pub(crate) complete: bool,
}

/// The lines of a stretch of the log, one after the other, in constant memory.
pub(crate) struct Scan<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    next: usize,
    /// Where in the log that is.
    start: u64,
    /// How much of the log is in the buffer or behind.
    fetched: u64,
    end: u64,
    bytes_read: u64,
}

impl<'f> Scan<'f> {
    /// From the start of a line to the end of what there is.
    pub(crate) fn new(file: &'f File, start: u64, end: u64) -> Self {
        Self { file, buffer: Vec::new(), next: 0, start, fetched: start, end, bytes_read: 0 }
    }

    /// The next line.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let cut = loop {
            if let Some(cut) = first_line(&self.buffer[self.next..]) {
                break Some(cut);
            }
            if !self.fetch()? {
                break None;
            }
        };
        let start = self.start;
        let from = self.next;
        let rest = self.buffer.len() - from;
        let (cut, complete) = match cut {
            Some(cut) => (cut, true),
            None if rest == 0 => return Ok(None),
            None => {
                let text = rest - usize::from(self.buffer.ends_with(b"\r"));
                (Cut { text, whole: rest }, false)
            }
        };
        self.next += cut.whole;
        self.start += cut.whole as u64;
        Ok(Some(Line { text: &self.buffer[from..from + cut.text], start, complete }))
    }

    /// How much was read so far: what a page costs.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Whether there was more to fetch.
    fn fetch(&mut self) -> io::Result<bool> {
        let want = usize::try_from(self.end - self.fetched).unwrap_or(usize::MAX).min(CHUNK);
        if want == 0 {
            return Ok(false);
        }
        self.buffer.drain(..self.next);
        self.next = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + want, 0);
        let got = read_at(self.file, &mut self.buffer[kept..], self.fetched)?;
        self.buffer.truncate(kept + got);
        self.fetched += got as u64;
        self.bytes_read += got as u64;
        if got < want {
            // The job has cut its own log short: what is left is the end.
            self.end = self.fetched;
        }
        Ok(got > 0)
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(got) => done += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// The rule once more, over the whole text at once.
    fn model(mut rest: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
            if end > MAX_LINE {
                let whole = |cut: &usize| rest[*cut] & 0xC0 != 0x80;
                let cut = (0..4).map(|back| MAX_LINE - back).find(whole).unwrap_or(MAX_LINE);
                lines.push(rest[..cut].to_vec());
                rest = &rest[cut..];
            } else {
                lines.push(rest[..end].to_vec());
                rest = &rest[end..];
                rest = rest.strip_prefix(b"\r\n").or(rest.get(1..)).unwrap_or_default();
            }
        }
        lines
    }

    fn scanned(bytes: &[u8], from: u64) -> Vec<(u64, Vec<u8>)> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        let mut scan = Scan::new(&file, from, bytes.len() as u64);
        let mut lines = Vec::new();
        while let Some(line) = scan.next_line().expect("read") {
            lines.push((line.start, line.text.to_vec()));
        }
        lines
    }

    fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
        scanned(bytes, 0).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ends_are_cut_off_and_a_lone_return_is_one() {
        assert_eq!(
            texts(b"cr\rmiddle\r\n\nno newline at the end"),
            [&b"cr"[..], b"middle", b"", b"no newline at the end"]
        );
        assert_eq!(texts(b""), Vec::<Vec<u8>>::new());
        assert_eq!(texts(b"bar 10%\rbar 20%\r"), [b"bar 10%", b"bar 20%"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let mut text = vec![b'x'; MAX_LINE - 1];
        text.extend("é and the rest\n".as_bytes());
        let lines = texts(&text);
        assert_eq!((lines[0].len(), lines[1].as_slice()), (MAX_LINE - 1, "é and the rest".as_bytes()));
        let exact = [vec![b'x'; MAX_LINE], b"\n".to_vec()].concat();
        assert_eq!(texts(&exact).len(), 1, "a line of the limit's length is whole");
        assert_eq!(texts(&vec![0x80; MAX_LINE + 1])[0].len(), MAX_LINE, "no characters at all: cut at the limit");
    }

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            4 => prop::collection::vec(prop_oneof![Just(b'a'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..40),
            1 => (MAX_LINE - 4..MAX_LINE + 5, prop_oneof![Just(b'x'), Just(0x80u8)]).prop_map(|(n, b)| vec![b; n]),
            1 => (MAX_LINE / 4 - 2..MAX_LINE / 4 + 3).prop_map(|n| "🚀".repeat(n).into_bytes()),
            1 => Just("日本語\r\n".as_bytes().to_vec()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_scan_finds_the_lines_of_the_model_from_every_start(pieces in prop::collection::vec(piece(), 0..14)) {
            let bytes = pieces.concat();
            let lines = scanned(&bytes, 0);
            let found: Vec<_> = lines.iter().map(|(_, text)| text.clone()).collect();
            prop_assert!(found == model(&bytes), "the lines differ");
            for at in [lines.len() / 3, lines.len() / 2] {
                if let Some((start, _)) = lines.get(at) {
                    prop_assert!(scanned(&bytes, *start) == lines[at..], "a start in the middle gives other lines");
                }
            }
        }

        /// What was a complete line stays that line however the log goes on.
        #[test]
        fn growth_only_adds(first in piece(), second in piece()) {
            let whole = [first.clone(), second].concat();
            let mut at = 0;
            while let Some(cut) = first_line(&first[at..]) {
                prop_assert_eq!(first_line(&whole[at..]), Some(cut));
                at += cut.whole;
            }
        }
    }
}
