//! A row of a list: a Kylin's own object, or one that is made here.
//!
//! It is written once for as long as its batch does not change, with a gap for each number that tells how long the batch has waited and run by
//! now: a zero byte, which no JSON has, and a letter for what goes there.

use batchlingua_core::{Batch, BatchId, Millis};
use batchlingua_wire::java;
use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::{
    convert::Shown,
    face::Face,
    native::{self, Extent},
    span::{Gap, Span, Spans},
};

const GAP: u8 = 0;
/// What the numbers of gaps begin with, behind the name of their member.
const NUMBER: &[u8] = b"\":-92233720368547758";

/// The row of a batch without steps of its own, but for what time moves. A Kylin's own row is as it came: its numbers are its own, whatever
/// they look like.
pub(crate) fn encode(shown: Shown<'_>, face: Face) -> Bytes {
    match native::job(shown.batch, face, Extent::Row) {
        Some(native) => Bytes::copy_from_slice(native.get().as_bytes()),
        None => with_gaps(&made(Shown { now: None, ..shown }, face)).into(),
    }
}

/// The row of any batch as it is now.
pub(crate) fn whole(shown: Shown<'_>, face: Face) -> Vec<u8> {
    native::job(shown.batch, face, Extent::Row).map_or_else(|| made(shown, face), |native| native.get().into())
}

fn made(shown: Shown<'_>, face: Face) -> Vec<u8> {
    match face {
        Face::V4 => java::to_vec(&shown.job()),
        Face::V2 => java::to_vec(&shown.job2()),
        Face::Legacy => java::to_vec(&shown.instance()),
    }
}

fn with_gaps(text: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memmem::find_iter(text, NUMBER) {
        // Within a text the quote would be an escaped one.
        let is_member = at > 0 && text[at - 1] != b'\\';
        let number = at + 2;
        let Some((gap, written)) = number_of_gap(&text[number..]).filter(|_| is_member) else { continue };
        row.extend_from_slice(&text[from..number]);
        row.extend([GAP, b'a' + gap as u8]);
        from = number + written;
    }
    row.extend_from_slice(&text[from..]);
    row
}

/// Which gap a number stands for, and how long it is.
fn number_of_gap(text: &[u8]) -> Option<(Gap, usize)> {
    let number = |gap: Gap| Span::Gap(gap).number().to_string();
    let found =
        Gap::ALL.into_iter().map(|gap| (gap, number(gap))).find(|(_, number)| text.starts_with(number.as_bytes()));
    found.map(|(gap, number)| (gap, number.len()))
}

/// The row as it is now.
pub(crate) fn write(out: &mut Vec<u8>, row: &[u8], batch: &Batch<BatchId>, now: Millis) {
    let spans = Spans::of(&batch.times, batch.state, now);
    let mut rest = row;
    while let Some(at) = memchr(GAP, rest) {
        let gap = Gap::ALL[usize::from(rest[at + 1] - b'a')];
        out.extend_from_slice(&rest[..at]);
        serde_json::to_writer(&mut *out, &spans.fill(gap)).expect("a number can be written to memory");
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_core::{BatchSpec, BatchState, Native, Times, Uuid};
    use batchlingua_wire::Settings;
    use serde_json::json;

    use super::*;
    use crate::FrontSettings;

    /// With gaps and filled, a row is what it would be if it were written anew, whatever a batch is called.
    #[test]
    fn a_row_tells_how_long_its_batch_has_waited_and_run_by_now() {
        let settings = FrontSettings::read(Settings::new("dialect.kylin", json!({}))).expect("defaults");
        let number = Span::Gap(Gap::Run).number();
        for (state, started, ended) in [
            (BatchState::Queued, None, None),
            (BatchState::Running, Some(3_500), None),
            (BatchState::Failed, Some(3_500), Some(9_900)),
            (BatchState::Unknown, Some(3_500), None),
        ] {
            let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
            let name = Some(format!("\u{0}a\":{number},\\\":{number}"));
            let spec = BatchSpec { name, file: Some(format!("{number}")), ..BatchSpec::default() };
            let (started, ended) = (started.map(Millis), ended.map(Millis));
            let times = Times { created: Millis(1_000), started, ended, modified: Millis(9_950) };
            let batch = Batch { times, ..Batch::new(id, state, Arc::new(spec)) };
            for face in [Face::V4, Face::V2, Face::Legacy] {
                let shown = |now| Shown { batch: &batch, settings: &settings, now };
                let row = encode(shown(None), face);
                for now in [Millis(10_000), Millis(1_000_000)] {
                    let mut text = Vec::new();
                    write(&mut text, &row, &batch, now);
                    let anew = whole(shown(Some(now)), face);
                    assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&anew), "{face:?} {state:?}");
                }
            }
        }
    }

    /// A number that stands for a gap in what is made here is a number in what a Kylin has made.
    #[test]
    fn a_kylins_own_row_has_no_gaps() {
        let settings = FrontSettings::read(Settings::new("dialect.kylin", json!({}))).expect("defaults");
        let object = format!("{{\"id\":\"a-b\",\"duration\":{},\"job_status\":\"RUNNING\"}}", i64::MIN);
        let native =
            Native { dialect: crate::NAME.into(), word: "RUNNING".into(), object: object.into(), status: None };
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let batch = Batch::new(id, BatchState::Running, Arc::new(BatchSpec::default()));
        let batch = Batch { native: Some(native), ..batch };
        let shown = Shown { batch: &batch, settings: &settings, now: None };
        let mut text = Vec::new();
        write(&mut text, &encode(shown, Face::V4), &batch, Millis(10_000));
        let number = format!("\"duration\":{},", i64::MIN);
        assert!(String::from_utf8_lossy(&text).contains(&number), "{}", String::from_utf8_lossy(&text));
    }
}
