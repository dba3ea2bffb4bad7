//! Integers as Java reads them: a sign, and digits of any script.
//!
//! Products hand ids and paging parameters to `Integer.parseInt` and `Long.parseLong`, and call a text numeric by `Character.isDigit`. All
//! look at UTF-16 units, so digits outside the basic plane are none.

/// The zeros of the scripts whose digits Java knows; each is followed by its nine others.
const ZEROS: [u32; 37] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
    0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
];

fn digit(c: char) -> Option<u32> {
    let c = u32::from(c);
    ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&c)).map(|zero| c - zero)
}

/// Whether there is nothing but digits; also true of the empty text.
pub fn is_all_digits(text: &str) -> bool {
    text.chars().all(|c| digit(c).is_some())
}

/// A 32-bit integer.
pub fn parse_int(text: &str) -> Option<i32> {
    parse_long(text).and_then(|number| i32::try_from(number).ok())
}

/// A 64-bit integer.
pub fn parse_long(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards: there is one more number below zero than above.
    let below = digits.chars().try_fold(0_i64, |sum, c| sum.checked_mul(10)?.checked_sub(i64::from(digit(c)?)))?;
    if negative { Some(below) } else { below.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_java_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("-0", Some(0)),
            ("٢", Some(2)),
            ("１２", Some(12)),
            ("2147483647", Some(i32::MAX)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("-2147483649", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("+-1", None),
            (" 1", None),
            ("0x10", None),
            ("1.5", None),
            ("\u{1D7D0}", None),
        ] {
            assert_eq!(parse_int(text), number, "{text:?}");
        }
        assert_eq!((parse_long("2147483648"), parse_long("-9223372036854775808")), (Some(1 << 31), Some(i64::MIN)));
        assert_eq!((parse_long("9223372036854775808"), parse_long("-9223372036854775809")), (None, None));
    }

    #[test]
    fn digits_are_digits_in_every_script() {
        assert!(is_all_digits("") && is_all_digits("12") && is_all_digits("１٢") && is_all_digits("๓"));
        assert!(!is_all_digits("-1") && !is_all_digits("1a") && !is_all_digits("½") && !is_all_digits("一"));
    }
}
