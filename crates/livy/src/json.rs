//! JSON as Jackson writes it: what lies outside the basic plane as two escapes, other non-ASCII as it is, hexadecimal
//! digits in upper case.
//!
//! Clients that compare texts, and the recorded answers, see the difference; every JSON reader sees the same document.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// The JSON text of a value.
pub(crate) fn to_vec(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut out, Jackson)).expect("the shapes have text keys only");
    out
}

struct Jackson;

impl Formatter for Jackson {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| c > '\u{ffff}') {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04X}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04X}"),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_jackson_writes_them() {
        for (text, json) in [
            ("café 日本語 🚀 x", r#""café 日本語 \uD83D\uDE80 x""#),
            ("🚀🚀", r#""\uD83D\uDE80\uD83D\uDE80""#),
            ("tab\t\u{1b}[31m \"q\" back\\slash </script>", r#""tab\t\u001B[31m \"q\" back\\slash </script>""#),
            ("\n\r\u{8}\u{c}\u{0}\u{7f}", "\"\\n\\r\\b\\f\\u0000\u{7f}\""),
        ] {
            assert_eq!(String::from_utf8(to_vec(&text)).expect("UTF-8"), json);
        }
    }
}
