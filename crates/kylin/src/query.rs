//! Parameters as Spring binds them.
//!
//! | reader | takes |
//! |---|---|
//! | text | the value; several are joined by commas |
//! | int | a 32-bit integer, decimal or hexadecimal, blanks left out; of several the first; an empty one is the default |
//! | flag | true, on, yes, 1, false, off, no, 0 in any case; an empty one is the default |
//! | texts | one value is split at its commas and trimmed; several are taken as they are |

use batchlingua_wire::{Query, java};

use crate::error::{BAD_PARAMETER, Refusal};

/// A query's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a>(pub(crate) &'a Query);

impl Parameters<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.0.all(name).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The text, if there is anything in it.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.trim().is_empty())
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i32>, Refusal> {
        let read = |text| parse_int(text).ok_or_else(|| not_int(name, text));
        self.0.get(name).filter(|text| !text.is_empty()).map(read).transpose()
    }

    pub(crate) fn required_int(&self, name: &str) -> Result<i32, Refusal> {
        self.int(name)?.ok_or_else(|| Refusal::missing(400, name))
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        let text = self.0.get(name).unwrap_or_default().trim().to_ascii_lowercase();
        match text.as_str() {
            "" => Ok(default),
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(Refusal::new(400, BAD_PARAMETER, name, format!("'{name}' must be true or false, not '{text}'"))),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let values: Vec<&str> = self.0.all(name).collect();
        match values.as_slice() {
            [""] => Vec::new(),
            [one] => one.split(',').map(|item| item.trim().to_owned()).collect(),
            several => several.iter().map(|&item| item.to_owned()).collect(),
        }
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Vec<i32>, Refusal> {
        let read = |text: &String| parse_int(text).ok_or_else(|| not_int(name, text));
        self.texts(name).iter().map(read).collect()
    }
}

fn not_int(name: &str, text: &str) -> Refusal {
    Refusal::new(400, BAD_PARAMETER, name, format!("'{name}' must be a 32-bit integer, not '{text}'"))
}

fn parse_int(text: &str) -> Option<i32> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |digits| (-1, digits));
    let hexadecimal = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    match hexadecimal {
        Some(digits) if digits.starts_with(['+', '-']) => None,
        Some(digits) => i32::try_from(sign * i64::from_str_radix(digits, 16).ok()?).ok(),
        None => java::parse_int(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_spring_reads_them() {
        for (text, number) in [
            ("4", Some(4)),
            (" 1 0 ", Some(10)),
            ("+4", Some(4)),
            ("-1", Some(-1)),
            ("0x10", Some(16)),
            ("-#f", Some(-15)),
            ("-0x80000000", Some(i32::MIN)),
            ("0x80000000", None),
            ("0x", None),
            ("0x-1", None),
            ("0xfffffffffffffffff", None),
            ("2147483648", None),
            ("4.0", None),
            ("x", None),
        ] {
            assert_eq!(parse_int(text), number, "{text:?}");
        }
    }

    #[test]
    fn lists_are_split_only_where_there_is_one_value() {
        let texts = |query: &str| Parameters(&Query::parse(query)).texts("s");
        assert_eq!(texts("s=A,%20B"), ["A", "B"]);
        assert_eq!(texts("s=A,"), ["A", ""]);
        assert_eq!(texts("s=A&s=B,C"), ["A", "B,C"]);
        assert_eq!(texts("s="), Vec::<String>::new());
        assert_eq!(texts("x=1"), Vec::<String>::new());
    }

    #[test]
    fn empty_values_are_defaults_and_doubled_ones_are_joined_or_left() {
        let query = Query::parse("n=&f=&t=a&t=b&i=1&i=2");
        let parameters = Parameters(&query);
        assert_eq!(parameters.int("n").expect("none"), None);
        assert_eq!(parameters.int("i").expect("the first"), Some(1));
        assert!(parameters.flag("f", true).expect("the default"));
        assert_eq!(parameters.text("t").as_deref(), Some("a,b"));
        assert!(parameters.required_int("n").is_err());
        for (text, read) in [("ON", Some(true)), ("0", Some(false)), ("2", None)] {
            let query = Query::parse(&format!("f={text}"));
            assert_eq!(Parameters(&query).flag("f", true).ok(), read, "{text}");
        }
    }
}
