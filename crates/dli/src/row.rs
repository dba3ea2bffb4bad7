//! A row of a list: a DLI's own object, or one that is made here.
//!
//! Of a batch that runs the row tells for how long, which is another number with every list. All else of it is written once for as long as the
//! batch does not change, with a gap where that number goes: a zero byte, which no JSON has.

use batchlingua_core::{Batch, BatchId, Millis};
use bytes::Bytes;

use crate::{
    convert::{self, View},
    shown,
};

const GAP: u8 = 0;
/// The member in front of which the gap is. Quotes within a text are escaped, so nothing else looks like it.
const BEHIND: &[u8] = b",\"req_body\":";

/// The row but for the time that it has run.
pub(crate) fn encode(batch: &Batch<BatchId>) -> Bytes {
    shown::object(batch).unwrap_or_else(|| with_gap(batch)).into()
}

fn with_gap(batch: &Batch<BatchId>) -> Vec<u8> {
    let object = convert::object(batch, View::Listed);
    let mut text = serde_json::to_vec(&object).expect("the shapes have text keys only");
    let at = text.windows(BEHIND.len()).position(|part| part == BEHIND).expect("a row tells what it runs");
    text.splice(at..at, b",\"duration\":\0".iter().copied());
    text
}

/// The row as it is now.
pub(crate) fn write(out: &mut Vec<u8>, row: &[u8], batch: &Batch<BatchId>, now: Millis) {
    match row.iter().position(|byte| *byte == GAP) {
        Some(at) => {
            out.extend_from_slice(&row[..at]);
            out.extend_from_slice(convert::duration(batch, now).to_string().as_bytes());
            out.extend_from_slice(&row[at + 1..]);
        }
        None => out.extend_from_slice(row),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_core::{BatchSpec, BatchState, Times, Uuid};

    use super::*;

    #[test]
    fn a_row_tells_how_long_it_has_run_by_now() {
        let id = BatchId { uuid: Uuid::from_u128(7), ordinal: 7, native: None };
        let name = Some("\0,\"req_body\":".to_owned());
        let spec = BatchSpec { name: name.clone(), ..BatchSpec::default() };
        let times =
            Times { created: Millis(1_000), started: Some(Millis(2_000)), ended: None, modified: Millis(2_000) };
        let batch = Batch { times, ..Batch::new(id, BatchState::Running, Arc::new(spec)) };
        let row = encode(&batch);
        for now in [2_000, 5_000] {
            let mut text = Vec::new();
            write(&mut text, &row, &batch, Millis(now));
            let row: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(
                (row["duration"].as_i64(), row["name"].as_str()),
                (Some(convert::duration(&batch, Millis(now))), name.as_deref())
            );
            let members: Vec<&str> = [",\"update_time\":", ",\"duration\":", ",\"req_body\":"].into();
            let text = String::from_utf8(text).expect("text");
            assert!(members.iter().map(|member| text.find(member)).is_sorted(), "{text}");
        }
    }
}
