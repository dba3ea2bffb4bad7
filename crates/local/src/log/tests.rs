use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new(text: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let fixture = Self { dir };
        fs::write(fixture.path(), text).expect("written");
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn list(&self) -> PathBuf {
        self.dir.path().join("log.index")
    }

    fn append(&self, text: &[u8]) {
        File::options().append(true).open(self.path()).and_then(|mut log| log.write_all(text)).expect("appended");
    }

    fn page(&self, lines: Lines) -> LogPage {
        JobLog::open(&self.path(), &self.list()).and_then(|log| log.page(lines)).expect("a page")
    }
}

fn numbered(count: u64) -> Vec<u8> {
    (0..count).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
}

#[test]
fn pages_tails_and_both_ends() {
    let log = Fixture::new(&numbered(100));
    let page = log.page(Lines::From(10, 3));
    assert_eq!((page.from, page.total), (10, 100));
    assert_eq!(page.lines, ["line 10", "line 11", "line 12"]);
    let page = log.page(Lines::Tail(2));
    assert_eq!((page.from, page.lines), (98, vec!["line 98".to_owned(), "line 99".to_owned()]));
    assert_eq!(log.page(Lines::HeadAndTail(1)).lines, ["line 0", "line 99"]);
    assert_eq!(log.page(Lines::HeadAndTail(50)).lines.len(), 100);
    let beyond = log.page(Lines::From(1_000, 5));
    assert_eq!((beyond.from, beyond.lines.len()), (100, 0));
    assert_eq!(log.page(Lines::Tail(0)).lines.len(), 0);
    assert_eq!(log.page(Lines::Tail(u32::MAX)).lines.len(), 100);
}

#[test]
fn the_index_goes_on_where_it_was_however_the_log_grows() {
    let log = Fixture::new(b"");
    let all = numbered(200_000);
    let mut written = 0;
    for step in [1, 7, 300_000, 65_536, 1_000_000, usize::MAX] {
        let end = all.len().min(usize::saturating_add(written, step));
        log.append(&all[written..end]);
        written = end;
        let lines = all[..written].split_inclusive(|byte| *byte == b'\n').count() as u64;
        assert_eq!(log.page(Lines::Tail(1)).total, lines, "after {written} bytes");
    }
    for wanted in [0, 1, 99_999, 150_000, 199_999] {
        assert_eq!(log.page(Lines::From(wanted, 1)).lines, [format!("line {wanted}")]);
    }
}

#[test]
fn a_damaged_or_stale_index_is_made_again() {
    let log = Fixture::new(&numbered(200_000));
    let whole = log.page(Lines::From(120_000, 2));
    let entries = fs::metadata(log.list()).expect("the index").len();
    assert!(entries > 0);

    let list = || File::options().read(true).write(true).open(log.list()).expect("the index");
    index::damage(&list());
    assert_eq!(log.page(Lines::From(120_000, 2)).lines, whole.lines, "a damaged entry");
    list().set_len(entries - 5).expect("cut");
    assert_eq!(log.page(Lines::From(120_000, 2)).lines, whole.lines, "a torn entry");
    list().write_all(&vec![0; entries as usize]).expect("zeroed");
    assert_eq!(log.page(Lines::From(120_000, 2)).lines, whole.lines, "a hole");
    assert_eq!(log.page(Lines::Tail(1)).total, 200_000);

    fs::write(log.path(), b"cut short\n").expect("written");
    assert_eq!(log.page(Lines::Tail(5)).lines, ["cut short"], "a log that the job itself has cut short");
}

#[test]
fn a_page_is_bounded_in_lines_and_bytes() {
    let long = Fixture::new(&numbered(30_000));
    assert_eq!(long.page(Lines::From(5, u32::MAX)).lines.len(), MAX_PAGE_LINES as usize);
    let tail = long.page(Lines::Tail(u32::MAX));
    assert_eq!((tail.lines.len(), tail.from), (MAX_PAGE_LINES as usize, 20_000));

    let wide = Fixture::new(&[vec![b'x'; 60_000], b"\n".to_vec()].concat().repeat(400));
    for lines in [Lines::From(0, 400), Lines::Tail(400)] {
        let page = wide.page(lines);
        let bytes: usize = page.lines.iter().map(String::len).sum();
        assert!((MAX_PAGE_BYTES - 512 * 1024..=MAX_PAGE_BYTES).contains(&bytes), "{lines:?} gave {bytes}");
    }
    assert_eq!(wide.page(Lines::Tail(400)).from + wide.page(Lines::Tail(400)).lines.len() as u64, 400);

    let no_end = Fixture::new(&vec![b'x'; 1_000_000]);
    assert_eq!(no_end.page(Lines::Tail(1)).total, 1_000_000_u64.div_ceil(65_536));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let log = Fixture::new(b"bad \xff\xfe bytes\ncaf\xc3\xa9\n");
    assert_eq!(log.page(Lines::From(0, 9)).lines, ["bad \u{fffd}\u{fffd} bytes", "café"]);
}

/// The last page, asked for once the index is up, reads a few strides however long the log is.
#[test]
fn the_last_page_of_a_huge_log_is_cheap() {
    const HOLE: u64 = 64 << 20;
    let log = Fixture::new(b"");
    let mut file = File::options().write(true).open(log.path()).expect("the log");
    // A hole reads as one endless line of zeros, which is cut; real lines stand behind it.
    file.seek(SeekFrom::Start(HOLE)).expect("sought");
    file.write_all(&numbered(1_000)).expect("written");
    let before = log.page(Lines::Tail(200));
    let page = log.page(Lines::Tail(200));
    assert!(before.bytes_read >= HOLE, "the first look reads it all: {}", before.bytes_read);
    assert!(page.bytes_read <= 3 * index::STRIDE, "read {}", page.bytes_read);
    assert_eq!((page.lines.len(), page.total), (200, (HOLE >> 16) + 1_000));
    assert_eq!(page.lines.last().map(String::as_str), Some("line 999"));
    let middle = log.page(Lines::From(HOLE >> 17, 10));
    assert!(middle.bytes_read <= 4 * index::STRIDE, "read {}", middle.bytes_read);
}
