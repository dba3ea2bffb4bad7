//! JSON as Jackson writes it, and how Jackson says where: a place in the text and the way to it through the objects that are being built.
//!
//! Written: what lies outside the basic plane as two escapes, other non-ASCII as it is, hexadecimal digits in upper case. Clients that
//! compare texts, and recorded answers, see the difference; every JSON reader sees the same document.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// A place in a document, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// In bytes.
    pub column: usize,
}

impl Place {
    /// The place of a byte. `lead` bytes stood before the first line.
    pub fn of(text: &str, offset: usize, lead: usize) -> Self {
        let before = &text[..offset];
        let row_start = before.rfind(['\n', '\r']).map_or(0, |at| at + 1);
        // A CR and the LF after it end one line.
        let line = before.matches(['\n', '\r']).count() - before.matches("\r\n").count() + 1;
        let lead = if row_start == 0 { lead } else { 0 };
        Self { line, column: offset - row_start + lead + 1 }
    }
}

/// The way to a value through what is being built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path<'a> {
    /// What is being built.
    Root,
    /// A member of it.
    Member(&'a str),
    /// An element of a member's list.
    Element(&'a str, usize),
    /// A pair of a member's object.
    Entry(&'a str, &'a str),
}

/// How one product's Jackson is set up for one class, as far as its complaints show it.
#[derive(Clone, Copy, Debug)]
pub struct Mapper {
    /// What it calls the source of a text.
    pub source: &'static str,
    /// The class that is made of a text, in full.
    pub class: &'static str,
    /// The class's members.
    pub members: &'static [&'static str],
    /// What a list is called on the way to an element of it.
    pub list: &'static str,
    /// What a map is called on the way to a value in it.
    pub map: &'static str,
    /// Whether a character that is out of place is told at its own place, as since Jackson 2.16, and not at the next one.
    pub at_character: bool,
}

impl Mapper {
    /// Whether the class has a member of that name.
    pub fn knows(&self, member: &str) -> bool {
        self.members.contains(&member)
    }

    /// A place with its source.
    pub fn source(&self, place: Place) -> String {
        format!("[Source: {}; line: {}, column: {}]", self.source, place.line, place.column)
    }

    /// What follows a complaint: where.
    pub fn at(&self, place: Place) -> String {
        format!("\n at {}", self.source(place))
    }

    /// What follows the place: the way to it.
    pub fn through(&self, path: Path<'_>) -> String {
        let member = |name: &str| format!(" (through reference chain: {}[\"{name}\"]", self.class);
        match path {
            Path::Root => String::new(),
            Path::Member(name) => format!("{})", member(name)),
            Path::Element(name, at) => format!("{}->{}[{at}])", member(name), self.list),
            Path::Entry(name, key) => format!("{}->{}[\"{key}\"])", member(name), self.map),
        }
    }
}

/// The JSON text of a value.
pub fn to_vec(value: &impl Serialize) -> Vec<u8> {
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
