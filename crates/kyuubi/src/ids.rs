//! Ids as Java's `UUID.fromString` reads them: five groups of hexadecimal digits in any case, each of any length, of which the last ones
//! count. Shown and kept are lower case and whole, so every spelling is the same batch.

use batchlingua_core::Uuid;

/// The most that Java takes.
const LONGEST: usize = 36;
/// The bits of each group.
const GROUPS: [u32; 5] = [32, 16, 16, 16, 48];

/// The uuid that a text is.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    if text.len() > LONGEST {
        return None;
    }
    let mut groups = text.split('-');
    let mut bits = 0_u128;
    for width in GROUPS {
        let group = groups.next()?;
        if !group.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        // Java reads each group as a signed long.
        let number = i64::from_str_radix(group, 16).ok()?;
        bits = bits << width | u128::from(number as u64 & (u64::MAX >> (64 - width)));
    }
    groups.next().is_none().then(|| Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_java_takes_is_one_id() {
        for (text, id) in [
            ("7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10", "7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10"),
            ("7B0D5E5C-5A52-4B7E-9E9A-2F6F3F1C9A10", "7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10"),
            ("1-2-3-4-5", "00000001-0002-0003-0004-000000000005"),
            ("123456789-2-3-4-5", "23456789-0002-0003-0004-000000000005"),
        ] {
            assert_eq!(parse(text).map(|id| id.to_string()).as_deref(), Some(id), "{text}");
        }
    }

    #[test]
    fn what_java_refuses_is_no_id() {
        for text in [
            "",
            "nightly",
            "7b0d5e5c5a524b7e9e9a2f6f3f1c9a12",
            "{7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10}",
            " 7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a10",
            "7b0d5e5c-5a52-4b7e-9e9a-2f6f3f1c9a1000",
            "1-2-3-4",
            "1-2-3-4-5-6",
            "1--3-4-5",
            "1-2-3-4-g",
            "ffffffffffffffff-2-3-4-5",
            "１-2-3-4-5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
