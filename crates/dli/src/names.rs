//! What names look like: projects, queues, batches.

use batchlingua_core::Uuid;

/// What a queue's name has to be, for a message.
pub(crate) const QUEUE_RULE: &str =
    "1 to 128 letters, digits and '_', with more than digits in it and no '_' at its beginning";

/// Whether it is a project's id.
pub(crate) fn is_project(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A queue's name as it is kept: capitals make no difference. `None`: it is no name.
pub(crate) fn queue(text: &str) -> Option<String> {
    let fits = (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !text.starts_with('_')
        && !text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.to_ascii_lowercase())
}

/// A batch's id: 36 characters. Other spellings of a uuid are none of this dialect.
pub(crate) fn batch_id(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

/// Whether it can be a batch's id of a DLI's own: a uuid by its documentation, and in any case nothing that would be another path.
pub(crate) fn is_native_id(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=128).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_bounds() {
        let long = "a".repeat(129);
        for (text, kept) in [
            ("ETL_q", Some("etl_q")),
            ("1a", Some("1a")),
            (&long[1..], Some(&long[1..])),
            ("", None),
            ("_a", None),
            ("42", None),
            ("a-b", None),
            ("a b", None),
            ("ü", None),
            (&long, None),
        ] {
            assert_eq!(queue(text).as_deref(), kept, "{text}");
        }
        assert!(is_project("0123456789abcdefABCDEF") && is_project(&long[..64]));
        for text in ["", "{project_id}", "a-b", "a_b", &long[..65]] {
            assert!(!is_project(text), "{text}");
        }
        assert!(batch_id("5F0E7A52-1c3b-4d77-9a10-2b6f4c8d9e01").is_some());
        for text in [
            "5f0e7a521c3b4d779a102b6f4c8d9e01",
            "urn:uuid:5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01",
            "{5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01}",
            "5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e0g",
            "5f0e7a5-21c3b-4d77-9a10-2b6f4c8d9e01",
            "7",
            "",
        ] {
            assert_eq!(batch_id(text), None, "{text}");
        }
        assert!(is_native_id("5F0E7A52-1c3b-4d77-9a10-2b6f4c8d9e01") && is_native_id("7"));
        for text in ["", "a/b", "..", "a b", "a%2Fb", "a?b", &long] {
            assert!(!is_native_id(text), "{text}");
        }
    }
}
