//! JSON as the products read it: in the order of the document, with the place of every value, the last of a doubled key winning.
//!
//! The grammar is serde_json's; values are kept as slices of the document and read when a dialect asks for them, so that a number keeps
//! its text, a fault names its line and column, and a dialect can refuse the first wrong member as a streaming parser would.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A place in a document, both counted from 1; columns are counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// What cannot be read in a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {}, column {}", place.line, place.column)]
pub struct JsonFault {
    /// What kind of fault.
    pub kind: JsonFaultKind,
    /// What is wrong, without the place.
    pub message: String,
    /// Where.
    pub place: Place,
}

/// What kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// There is nothing but white space.
    Empty,
    /// It is no JSON.
    Syntax,
    /// It ends too early.
    Truncated,
    /// It is nested deeper than the limit.
    TooDeep,
    /// Its bytes are no text.
    Encoding,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number without fraction or exponent.
    Integer,
    /// Any other number.
    Float,
    /// A string.
    Text,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    raw: &'a str,
    document: &'a str,
}

/// One member of an object.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

/// The members of an object, in order, doubled ones included.
#[derive(Clone, Debug, Default)]
pub struct Members<'a>(pub Vec<Member<'a>>);

impl<'a> Members<'a> {
    /// A member; of several with one name the last.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().rev().find(|member| member.name == name).map(|member| member.value)
    }
}

/// The text of a document: UTF-8, UTF-16 or UTF-32, told apart by a byte order mark or by where its zero bytes stand (RFC 4627, 3).
pub fn decode_text(bytes: &[u8]) -> Result<Cow<'_, str>, JsonFault> {
    let (unit, big, skip) = match *bytes {
        [0, 0, 0xfe, 0xff, ..] => (4, true, 4),
        [0xff, 0xfe, 0, 0, ..] => (4, false, 4),
        [0xfe, 0xff, ..] => (2, true, 2),
        [0xff, 0xfe, ..] => (2, false, 2),
        [0xef, 0xbb, 0xbf, ..] => (1, true, 3),
        [0, 0, 0, b, ..] if b != 0 => (4, true, 0),
        [b, 0, 0, 0, ..] if b != 0 => (4, false, 0),
        [0, b, ..] if b != 0 => (2, true, 0),
        [b, 0, ..] if b != 0 => (2, false, 0),
        _ => (1, true, 0),
    };
    let bytes = &bytes[skip..];
    let broken = |text_before: &str| JsonFault {
        kind: JsonFaultKind::Encoding,
        message: format!("the bytes are no UTF-{}", unit * 8),
        place: place_of(text_before, text_before.len()),
    };
    match unit {
        1 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
            let good = &bytes[..error.valid_up_to()];
            broken(std::str::from_utf8(good).expect("checked up to here"))
        }),
        2 => {
            let units = bytes.chunks_exact(2).map(|pair| {
                if big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) }
            });
            let text: Result<String, _> = char::decode_utf16(units).collect();
            text.map(Cow::Owned).map_err(|_| broken(""))
        }
        _ => {
            let word = |b: &[u8]| [b[0], b[1], b[2], b[3]];
            let units = bytes
                .chunks_exact(4)
                .map(|four| if big { u32::from_be_bytes(word(four)) } else { u32::from_le_bytes(word(four)) });
            let text: Option<String> = units.map(char::from_u32).collect();
            text.map(Cow::Owned).ok_or_else(|| broken(""))
        }
    }
}

/// Refuses a document that is nested deeper than `max`, before anything is built of it.
pub fn check_depth(text: &str, max: usize) -> Result<(), JsonFault> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    let message = format!("the document is nested deeper than {max}");
                    return Err(JsonFault { kind: JsonFaultKind::TooDeep, message, place: place_of(text, at) });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

impl<'a> Value<'a> {
    /// The first value of a document. What follows it is left alone; [`Value::rest`] tells.
    pub fn parse(document: &'a str) -> Result<Self, JsonFault> {
        let mut reader = serde_json::Deserializer::from_str(document);
        let raw: &RawValue = Deserialize::deserialize(&mut reader).map_err(|error| fault(document, &error))?;
        Ok(Self { raw: raw.get(), document })
    }

    /// What follows the value in its document.
    pub fn rest(&self) -> &'a str {
        &self.document[self.offset() + self.raw.len()..]
    }

    /// The value's own text.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// Where it begins in the document, in bytes.
    pub fn offset(&self) -> usize {
        self.raw.as_ptr() as usize - self.document.as_ptr() as usize
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        place_of(self.document, self.offset())
    }

    /// Where it ends: the place after its last character.
    pub fn end(&self) -> Place {
        place_of(self.document, self.offset() + self.raw.len())
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.raw.as_bytes().first() {
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'"') => Kind::Text,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            _ if self.raw.contains(['.', 'e', 'E']) => Kind::Float,
            _ => Kind::Integer,
        }
    }

    /// A string's text. A half of a surrogate pair cannot be kept and is a fault.
    pub fn text(&self) -> Result<Cow<'a, str>, JsonFault> {
        let inner = self.raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
        match inner {
            Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
            _ => serde_json::from_str::<String>(self.raw).map(Cow::Owned).map_err(|error| self.inner_fault(&error)),
        }
    }

    /// An array's elements.
    pub fn items(&self) -> Result<Vec<Value<'a>>, JsonFault> {
        let items: Items<'a> = serde_json::from_str(self.raw).map_err(|error| self.inner_fault(&error))?;
        Ok(items.0.into_iter().map(|raw| Value { raw: raw.get(), document: self.document }).collect())
    }

    /// An object's members.
    pub fn members(&self) -> Result<Members<'a>, JsonFault> {
        let pairs: Pairs<'a> = serde_json::from_str(self.raw).map_err(|error| self.inner_fault(&error))?;
        let member = |(name, raw): (Cow<'a, str>, &'a RawValue)| Member {
            name,
            value: Value { raw: raw.get(), document: self.document },
        };
        Ok(Members(pairs.0.into_iter().map(member).collect()))
    }

    fn inner_fault(&self, error: &serde_json::Error) -> JsonFault {
        let inner = fault(self.raw, error);
        let offset = self.offset() + byte_of(self.raw, inner.place);
        JsonFault { place: place_of(self.document, offset), ..inner }
    }
}

fn fault(document: &str, error: &serde_json::Error) -> JsonFault {
    let place = Place { line: error.line().max(1), column: error.column().max(1) };
    // serde_json counts columns in bytes.
    let line = document.lines().nth(place.line - 1).unwrap_or("");
    let column = line.char_indices().take_while(|(at, _)| at + 1 < place.column).count() + 1;
    let kind = match () {
        () if document.trim().is_empty() => JsonFaultKind::Empty,
        () if error.is_eof() => JsonFaultKind::Truncated,
        () => JsonFaultKind::Syntax,
    };
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    JsonFault { kind, message, place: Place { column, ..place } }
}

fn place_of(document: &str, offset: usize) -> Place {
    let before = &document[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
}

fn byte_of(text: &str, place: Place) -> usize {
    let line_start = match place.line {
        1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    text[line_start..].char_indices().nth(place.column - 1).map_or(text.len(), |(at, _)| line_start + at)
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    pairs.push((Cow::Owned(name), value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_their_text_and_their_place() {
        let document = "{\"a\": 1.50,\n \"é\": [true, \"x\"], \"a\": null} trailing";
        let value = Value::parse(document).expect("JSON");
        assert_eq!(value.rest(), " trailing");
        let members = value.members().expect("an object");
        let names: Vec<_> = members.0.iter().map(|member| member.name.as_ref()).collect();
        assert_eq!(names, ["a", "é", "a"]);
        assert_eq!((members.0[0].value.raw(), members.0[0].value.kind()), ("1.50", Kind::Float));
        assert_eq!(members.0[1].value.place(), Place { line: 2, column: 7 });
        assert_eq!(members.0[1].value.items().expect("an array")[1].place(), Place { line: 2, column: 14 });
        assert_eq!(members.get("a").expect("the last one").kind(), Kind::Null);
    }

    #[test]
    fn every_unicode_form_is_read() {
        let text = "{\"ü\":1}";
        let utf16: Vec<u16> = text.encode_utf16().collect();
        let forms: [Vec<u8>; 5] = [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            utf16.iter().flat_map(|u| u.to_le_bytes()).collect(),
            [0xfe, 0xff].into_iter().chain(utf16.iter().flat_map(|u| u.to_be_bytes())).collect(),
            text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect(),
        ];
        for form in forms {
            assert_eq!(decode_text(&form).expect("text"), text);
        }
        let broken = decode_text(b"{\"a\":\"caf\xe9\"}").expect_err("Latin-1");
        assert_eq!((broken.kind, broken.place.column), (JsonFaultKind::Encoding, 10));
    }

    #[test]
    fn faults_are_told_apart_and_placed() {
        let kind = |text: &str| Value::parse(text).map(|value| value.members().map(drop)).expect_err("a fault").kind;
        assert_eq!(kind(" \n "), JsonFaultKind::Empty);
        assert_eq!(kind("{\"a\":"), JsonFaultKind::Truncated);
        assert_eq!(kind("{a:1}"), JsonFaultKind::Syntax);
        assert!(Value::parse("{\"a\":01}").is_err());
        assert!(check_depth(&"[".repeat(65), 64).is_err());
        assert!(check_depth("{\"a\":\"[[[[[[\\\"[[[\"}", 1).is_ok());
    }

    #[test]
    fn half_a_surrogate_pair_is_a_fault_and_a_whole_one_is_not() {
        let text = |raw: &'static str| Value::parse(raw).expect("JSON").text();
        assert_eq!(text("\"\\ud83d\\ude80\"").expect("whole"), "🚀");
        assert!(text("\"x\\ud83d\"").is_err());
    }
}
