//! From the bytes of a submit, or of a call for a session, to its members, refusing as Jackson refuses.
//!
//! Members are bound in the order of the document and the first wrong one is told, so that a client that sends two
//! mistakes hears of the one that Livy would tell it of. Places are where Jackson stands: a wrong shape is told at
//! the value's beginning, an unknown member after as much of its value as was read. A text that is no JSON is asked
//! for its first fault ([`crate::syntax`]), and what came before that is bound first. Text after the first value is
//! left alone.

use std::borrow::Cow;

use batchlingua_core::{Conf, Error, Result};
use batchlingua_wire::{
    JsonFault, Kind, Value, check_depth, decode_text,
    java::{Mapper, Path, Place, find_fault, mismatch, mismatched_root, mismatched_text, parse_int},
};

use crate::{
    dto::{Class, Count, CreateBatch, JavaClass, List, Nullable, Slot, Target},
    error,
};

const TEXT: &str = "java.lang.String";
const LIST: &str = "scala.collection.immutable.List<java.lang.String>";
const MAP: &str = "scala.collection.immutable.Map";
const MAP_OF_TEXTS: &str = "scala.collection.immutable.Map<java.lang.String,java.lang.String>";

/// Reads a body, nested `max_depth` deep at most. `None`: it says `null`.
pub(crate) fn read<T: Target>(bytes: &[u8], max_depth: usize) -> Result<Option<T>> {
    let lead = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let told = |bytes: &[u8], fault: &JsonFault| explain::<T>(bytes, lead, max_depth, fault);
    let text =
        decode_text(bytes).map_err(|fault| told(&bytes[lead..], &fault).unwrap_or_else(|| in_own_words(&fault)))?;
    // Brackets after the first value are nobody's business: what is too deep within it, `explain` finds.
    if let Err(fault) = check_depth(&text, max_depth)
        && let Some(error) = told(text.as_bytes(), &fault)
    {
        return Err(error);
    }
    let value =
        Value::parse(&text).map_err(|fault| told(text.as_bytes(), &fault).unwrap_or_else(|| in_own_words(&fault)))?;
    Document { text: &text, lead, class: T::CLASS }.bind(value)
}

/// The first fault of a text that is no JSON, or of its members if one of those comes before.
fn explain<T: Target>(bytes: &[u8], lead: usize, max_depth: usize, fault: &JsonFault) -> Option<Error> {
    let found = find_fault(bytes, lead, max_depth, &T::CLASS.mapper())?;
    let earlier = found.heard.and_then(|heard| {
        let value = Value::parse(&heard).ok()?;
        Document { text: &heard, lead, class: T::CLASS }.bind::<T>(value).err()
    });
    Some(earlier.unwrap_or_else(|| error::spoken("body", no_json(fault), &found.words)))
}

fn in_own_words(fault: &JsonFault) -> Error {
    let place = Place { line: fault.place.line, column: fault.place.column };
    error::spoken("body", no_json(fault), &format!("{}{}", fault.message, CreateBatch::CLASS.mapper().at(place)))
}

fn no_json(fault: &JsonFault) -> String {
    format!("the body must be a JSON object: {fault}")
}

struct Document<'a> {
    text: &'a str,
    lead: usize,
    class: Class,
}

impl<'a> Document<'a> {
    fn mapper(&self) -> Mapper {
        self.class.mapper()
    }

    fn bind<T: Target>(&self, value: Value<'a>) -> Result<Option<T>> {
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Object => self.object(value).map(Some),
            _ => Err(self.no_object(value)),
        }
    }

    fn object<T: Target>(&self, value: Value<'a>) -> Result<T> {
        let mut request = T::default();
        for member in value.members().map_err(|fault| in_own_words(&fault))?.0 {
            let (name, value) = (member.name.as_ref(), member.value);
            match request.slot(name) {
                None => return Err(self.unknown(name, value)),
                Some(Slot::Text(slot)) => *slot = self.text(value, Path::Member(name))?.map(Cow::into_owned),
                Some(Slot::List(slot)) => *slot = self.list(value, name)?,
                Some(Slot::Count(slot)) => *slot = Self::count(value)?,
                Some(Slot::Pairs(slot)) => *slot = self.pairs(value, name)?,
                Some(Slot::Word(slot, complaint)) => *slot = self.word(value, name, complaint)?,
            }
        }
        Ok(request)
    }

    /// A class that reads its text by itself and throws: told without a place.
    fn word(&self, value: Value<'a>, name: &str, complaint: fn(&str) -> Option<String>) -> Result<Option<String>> {
        let words = match value.kind() {
            Kind::Null => return Ok(None),
            Kind::Text => {
                let text = value.text().map_err(|fault| in_own_words(&fault))?;
                match complaint(&text) {
                    None => return Ok(Some(text.into_owned())),
                    Some(words) => words,
                }
            }
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Array | Kind::Object => {
                let class = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
                format!("requirement failed: {class} should be a string.")
            }
        };
        let message = format!("{name:?} is none of the words that it may be");
        Err(error::spoken(name, message, &format!("{words}{}", self.mapper().through(Path::Member(name)))))
    }

    fn text(&self, value: Value<'a>, path: Path<'_>) -> Result<Option<Cow<'a, str>>> {
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Text => value.text().map(Some).map_err(|fault| in_own_words(&fault)),
            Kind::Bool | Kind::Integer | Kind::Float => Ok(Some(Cow::Borrowed(value.raw()))),
            Kind::Array | Kind::Object => Err(self.mismatch(TEXT, value, path)),
        }
    }

    fn list(&self, value: Value<'a>, name: &str) -> Result<List> {
        match value.kind() {
            Kind::Null => Ok(Nullable::Null),
            Kind::Array => {
                let items = value.items().map_err(|fault| in_own_words(&fault))?;
                let texts = items.into_iter().enumerate().map(|(at, item)| {
                    let text = self.text(item, Path::Element(name, at))?;
                    Ok(text.map(Cow::into_owned))
                });
                texts.collect::<Result<_>>().map(Nullable::Of)
            }
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Text | Kind::Object => {
                Err(self.mismatch(LIST, value, Path::Member(name)))
            }
        }
    }

    fn pairs(&self, value: Value<'a>, name: &str) -> Result<Nullable<Conf>> {
        match value.kind() {
            Kind::Null => Ok(Nullable::Null),
            Kind::Object => {
                let pairs = value.members().map_err(|fault| in_own_words(&fault))?.0.into_iter();
                let pairs = pairs.map(|pair| {
                    let text = self.text(pair.value, Path::Entry(name, &pair.name))?;
                    Ok((pair.name.into_owned(), text.unwrap_or(Cow::Borrowed("null")).into_owned()))
                });
                pairs.collect::<Result<Conf>>().map(Nullable::Of)
            }
            Kind::Text => {
                let text = value.text().map_err(|fault| in_own_words(&fault))?;
                let words = mismatched_text(MAP, &format!("element of `{MAP_OF_TEXTS}`"), &text);
                Err(self.wrong(&words, value, Path::Member(name)))
            }
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Array => {
                Err(self.mismatch(MAP_OF_TEXTS, value, Path::Member(name)))
            }
        }
    }

    fn count(value: Value<'a>) -> Result<Option<Count>> {
        let faulty = |fault: JsonFault| in_own_words(&fault);
        let other = |class: JavaClass| Ok(Some(Count::Other(class)));
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Text => match parse_int(&value.text().map_err(faulty)?) {
                Some(count) => Ok(Some(Count::Of(count))),
                None => other(JavaClass::Base("java.lang.String")),
            },
            Kind::Integer => match (value.raw().parse(), value.raw().parse::<i64>()) {
                (Ok(count), _) => Ok(Some(Count::Of(count))),
                (_, Ok(_)) => other(JavaClass::Base("java.lang.Long")),
                _ => other(JavaClass::Base("java.math.BigInteger")),
            },
            Kind::Float => other(JavaClass::Base("java.lang.Double")),
            Kind::Bool => other(JavaClass::Base("java.lang.Boolean")),
            Kind::Array if value.items().map_err(faulty)?.is_empty() => {
                other(JavaClass::App("scala.collection.immutable.Nil$"))
            }
            Kind::Array => other(JavaClass::App("scala.collection.immutable.$colon$colon")),
            Kind::Object => other(JavaClass::App(match value.members().map_err(faulty)?.0.len() {
                0 => "scala.collection.immutable.Map$EmptyMap$",
                1 => "scala.collection.immutable.Map$Map1",
                2 => "scala.collection.immutable.Map$Map2",
                3 => "scala.collection.immutable.Map$Map3",
                4 => "scala.collection.immutable.Map$Map4",
                _ => "scala.collection.immutable.HashMap$HashTrieMap",
            })),
        }
    }

    fn no_object(&self, value: Value<'a>) -> Error {
        match mismatched_root(self.class.name, value) {
            Ok(words) => self.wrong(&words, value, Path::Root),
            Err(fault) => in_own_words(&fault),
        }
    }

    fn mismatch(&self, wanted: &str, value: Value<'a>, path: Path<'_>) -> Error {
        self.wrong(&mismatch(wanted, value), value, path)
    }

    /// A wrong shape, told at the value's beginning.
    fn wrong(&self, words: &str, value: Value<'a>, path: Path<'_>) -> Error {
        let place = Place::of(self.text, value.offset(), self.lead);
        let (field, message) = match path {
            Path::Root => ("body", "the body must be a JSON object".to_owned()),
            Path::Member(name) => (name, format!("{name:?} has the wrong JSON type")),
            Path::Element(name, at) => (name, format!("element {at} of {name:?} has the wrong JSON type")),
            Path::Entry(name, key) => (name, format!("{key:?} in {name:?} has the wrong JSON type")),
        };
        let through = self.mapper().through(path);
        error::spoken(field, message, &format!("{words}{}{through}", self.mapper().at(place)))
    }

    /// An unknown member, told where its value begins to be of no interest.
    fn unknown(&self, name: &str, value: Value<'a>) -> Error {
        let read = match value.kind() {
            Kind::Text | Kind::Array | Kind::Object => 1,
            Kind::Null | Kind::Bool | Kind::Integer | Kind::Float => value.raw().len(),
        };
        let place = Place::of(self.text, value.offset() + read, self.lead);
        let known: Vec<String> = self.class.members.iter().map(|name| format!("\"{name}\"")).collect();
        let known_texts = known.join(", ");
        let words = format!(
            "Unrecognized field \"{name}\" (class {}), not marked as ignorable ({} known properties: {known_texts}]){}{}",
            self.class.name,
            known.len(),
            self.mapper().at(place),
            self.mapper().through(Path::Member(name)),
        );
        error::spoken(name, format!("{name:?} is no member of {}; known are {known_texts}", self.class.what), &words)
    }
}

#[cfg(test)]
mod tests;
