//! From the bytes of a submit to its members, refusing as Jackson refuses.
//!
//! Members are bound in the order of the document and the first wrong one is told; a text that is no JSON is asked for its first fault, and
//! what came before that is bound first. Unknown members
//! are kept as they came, and what follows the object is a fault.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, hash_map::Entry},
};

use batchlingua_core::{Error, Result};
use batchlingua_wire::{
    JsonFault, JsonFaultKind, Kind, Value, check_depth, decode_text,
    java::{Path, Place, find_fault, mismatch, mismatched_root, mismatched_text},
};

use crate::{
    dto::{BatchRequest, MAPPER, Pairs},
    error,
};

const TEXT: &str = "java.lang.String";
const LIST: &str = "java.util.ArrayList";
const MAP: &str = "java.util.LinkedHashMap";
const LIST_OF_TEXTS: &str = "java.util.ArrayList<java.lang.String>";
const MAP_OF_TEXTS: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.String>";

/// Most members that are kept although Kyuubi passes over them; more are as good as none.
const MOST_OTHERS: usize = 100;

/// Reads a body, nested `max_depth` deep at most. `None`: it is empty, or says `null`.
pub(crate) fn read(bytes: &[u8], max_depth: usize) -> Result<Option<BatchRequest>> {
    let lead = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let told = |bytes: &[u8], fault: &JsonFault| {
        if fault.kind == JsonFaultKind::Empty {
            return None;
        }
        Some(explain(bytes, lead, max_depth, fault).unwrap_or_else(|| in_own_words(fault)))
    };
    let text = match decode_text(bytes) {
        Ok(text) => text,
        Err(fault) => return told(&bytes[lead..], &fault).map_or(Ok(None), Err),
    };
    if let Err(fault) = check_depth(&text, max_depth)
        && let Some(error) = explain(text.as_bytes(), lead, max_depth, &fault)
    {
        return Err(error);
    }
    let value = match Value::parse(&text) {
        Ok(value) => value,
        Err(fault) => return told(text.as_bytes(), &fault).map_or(Ok(None), Err),
    };
    let document = Document { text: &text, lead };
    let request = document.bind(value)?;
    document.check_end(value, max_depth)?;
    Ok(request)
}

/// The first fault of a text that is no JSON, or of its members if one of those comes before.
fn explain(bytes: &[u8], lead: usize, max_depth: usize, fault: &JsonFault) -> Option<Error> {
    let found = find_fault(bytes, lead, max_depth, &MAPPER)?;
    let earlier = found.heard.and_then(|heard| {
        let value = Value::parse(&heard).ok()?;
        Document { text: &heard, lead }.bind(value).err()
    });
    Some(earlier.unwrap_or_else(|| error::spoken("body", no_json(fault), found.words)))
}

fn in_own_words(fault: &JsonFault) -> Error {
    let place = Place { line: fault.place.line, column: fault.place.column };
    error::spoken("body", no_json(fault), format!("{}{}", fault.message, MAPPER.at(place)))
}

fn no_json(fault: &JsonFault) -> String {
    format!("the body must be a JSON object: {fault}")
}

struct Document<'a> {
    text: &'a str,
    lead: usize,
}

impl<'a> Document<'a> {
    fn bind(&self, value: Value<'a>) -> Result<Option<BatchRequest>> {
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Object => self.object(value).map(Some),
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Text | Kind::Array => {
                Err(match mismatched_root(MAPPER.class, value) {
                    Ok(words) => self.wrong(&words, value, Path::Root),
                    Err(fault) => in_own_words(&fault),
                })
            }
        }
    }

    fn object(&self, value: Value<'a>) -> Result<BatchRequest> {
        let mut request = BatchRequest::default();
        let mut others = BTreeMap::new();
        for member in value.members().map_err(|fault| in_own_words(&fault))?.0 {
            let (name, value) = (member.name.as_ref(), member.value);
            let text = || Ok::<_, Error>(self.text(value, Path::Member(name))?.map(Cow::into_owned));
            match name {
                "batchType" => request.batch_type = text()?,
                "resource" => request.resource = text()?,
                "className" => request.class_name = text()?,
                "name" => request.name = text()?,
                "conf" => request.conf = self.pairs(value, name)?,
                "args" => request.args = self.list(value, name)?,
                "extraResourcesMap" => request.extra_resources = self.pairs(value, name)?,
                _ if others.len() < MOST_OTHERS || others.contains_key(name) => {
                    others.insert(name.to_owned(), value.raw().to_owned());
                }
                _ => {}
            }
        }
        request.others = others.into_iter().collect();
        Ok(request)
    }

    /// Nothing but white space may follow.
    fn check_end(&self, value: Value<'a>, max_depth: usize) -> Result<()> {
        let rest = value.rest().trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Ok(());
        }
        let start = self.text.len() - rest.len();
        // Places are told as if the object were not there.
        let blank = |byte: u8| if matches!(byte, b'\n' | b'\r') { byte } else { b' ' };
        let mut only_rest: Vec<u8> = self.text.as_bytes()[..start].iter().copied().map(blank).collect();
        only_rest.extend(rest.as_bytes());
        let follows = "the body must be one JSON object: something follows it";
        // Of an object or a list no more than its beginning is read.
        let token = match rest.as_bytes()[0] {
            b'{' => "START_OBJECT",
            b'[' => "START_ARRAY",
            first => match find_fault(&only_rest, self.lead, max_depth, &MAPPER) {
                Some(fault) => return Err(error::spoken("body", follows, fault.words)),
                None => match first {
                    b'"' => "VALUE_STRING",
                    b't' => "VALUE_TRUE",
                    b'f' => "VALUE_FALSE",
                    b'n' => "VALUE_NULL",
                    _ => Value::parse(rest).map_or("VALUE_NUMBER_INT", |value| match value.kind() {
                        Kind::Float => "VALUE_NUMBER_FLOAT",
                        _ => "VALUE_NUMBER_INT",
                    }),
                },
            },
        };
        let words = format!(
            "Trailing token (of type {token}) found after value (bound as `{}`): not allowed as per \
             `DeserializationFeature.FAIL_ON_TRAILING_TOKENS`",
            MAPPER.class
        );
        Err(error::spoken("body", follows, format!("{words}{}", MAPPER.at(Place::of(self.text, start, self.lead)))))
    }

    fn text(&self, value: Value<'a>, path: Path<'_>) -> Result<Option<Cow<'a, str>>> {
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Text => value.text().map(Some).map_err(|fault| in_own_words(&fault)),
            Kind::Bool | Kind::Integer | Kind::Float => Ok(Some(Cow::Borrowed(value.raw()))),
            Kind::Array | Kind::Object => Err(self.wrong(&mismatch(TEXT, value), value, path)),
        }
    }

    fn list(&self, value: Value<'a>, name: &str) -> Result<Vec<Option<String>>> {
        match value.kind() {
            Kind::Null => Ok(Vec::new()),
            Kind::Array => {
                let items = value.items().map_err(|fault| in_own_words(&fault))?;
                let texts = items.into_iter().enumerate().map(|(at, item)| {
                    let text = self.text(item, Path::Element(name, at))?;
                    Ok(text.map(Cow::into_owned))
                });
                texts.collect()
            }
            Kind::Text => Err(self.wrong_text(LIST, value, name)),
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Object => {
                Err(self.wrong(&mismatch(LIST_OF_TEXTS, value), value, Path::Member(name)))
            }
        }
    }

    fn pairs(&self, value: Value<'a>, name: &str) -> Result<Option<Pairs>> {
        match value.kind() {
            Kind::Null => Ok(None),
            Kind::Object => {
                let mut pairs = Pairs::new();
                // A client may send very many: looking for each among those before it would take far too long.
                let mut places: HashMap<String, usize> = HashMap::new();
                for pair in value.members().map_err(|fault| in_own_words(&fault))?.0 {
                    let text = self.text(pair.value, Path::Entry(name, &pair.name))?.map(Cow::into_owned);
                    match places.entry(pair.name.into_owned()) {
                        Entry::Occupied(place) => pairs[*place.get()].1 = text,
                        Entry::Vacant(place) => {
                            pairs.push((place.key().clone(), text));
                            place.insert(pairs.len() - 1);
                        }
                    }
                }
                Ok(Some(pairs))
            }
            Kind::Text => Err(self.wrong_text(MAP, value, name)),
            Kind::Bool | Kind::Integer | Kind::Float | Kind::Array => {
                Err(self.wrong(&mismatch(MAP_OF_TEXTS, value), value, Path::Member(name)))
            }
        }
    }

    fn wrong_text(&self, class: &str, value: Value<'a>, name: &str) -> Error {
        match value.text() {
            Ok(text) => {
                let words = mismatched_text(class, &format!("element of `{class}`"), &text);
                self.wrong(&words, value, Path::Member(name))
            }
            Err(fault) => in_own_words(&fault),
        }
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
        error::spoken(field, message, format!("{words}{}{}", MAPPER.at(place), MAPPER.through(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        let native = read(body.as_bytes(), 64).expect_err("a fault").native.expect("Jackson's words");
        assert_eq!((native.status, native.content_type.as_str()), (400, "text/plain"));
        let text = String::from_utf8(native.body.to_vec()).expect("text");
        text.replace(MAPPER.source, "").replace("org.apache.kyuubi.client.api.v1.dto.", "")
    }

    #[test]
    fn what_follows_the_object_is_told_by_its_kind_and_place() {
        for (rest, token) in [
            ("{\"a\":1}", "START_OBJECT"),
            ("[oops", "START_ARRAY"),
            ("\"x\"", "VALUE_STRING"),
            ("null", "VALUE_NULL"),
            ("-1.5", "VALUE_NUMBER_FLOAT"),
            ("7", "VALUE_NUMBER_INT"),
        ] {
            let said = said(&format!("{{}}\n  {rest}"));
            assert!(said.starts_with(&format!("Trailing token (of type {token})")), "{said}");
            assert!(said.ends_with("line: 2, column: 3]"), "{said}");
        }
        assert!(said("{} oops").starts_with("Unrecognized token 'oops'"));
        assert!(said("{}}").starts_with("Unexpected close marker '}'"));
        assert!(read(b"{} \r\n\t ", 64).is_ok());
    }

    #[test]
    fn the_first_wrong_member_is_told_even_if_the_text_breaks_later() {
        assert!(said("{\"conf\":[],\"args\":{}").contains("BatchRequest[\"conf\"])"));
        assert!(said("{\"args\":[1,{}]}").ends_with("BatchRequest[\"args\"]->java.util.ArrayList[1])"));
        assert!(said("{\"x\":1,").starts_with("Unexpected end-of-input within/between Object entries"));
    }

    #[test]
    fn texts_are_coerced_and_the_last_of_a_doubled_key_counts() {
        let body =
            br#"{"batchType":"a","batchType":true,"conf":{"k":1.50,"k":7,"n":null},"args":[1,null,"x"],"no":{}}"#;
        let request = read(body, 64).expect("JSON").expect("an object");
        assert_eq!(request.batch_type.as_deref(), Some("true"));
        assert_eq!(request.conf, Some(vec![("k".to_owned(), Some("7".to_owned())), ("n".to_owned(), None)]));
        assert_eq!(request.args, [Some("1".to_owned()), None, Some("x".to_owned())]);
        assert_eq!(request.extra_resources, Some(Vec::new()));
    }

    #[test]
    fn nothing_is_null_and_too_deep_is_a_fault() {
        for nothing in ["", " \n ", "null", "\u{feff}"] {
            assert_eq!(read(nothing.as_bytes(), 64).expect("nothing"), None, "{nothing:?}");
        }
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(64), "]".repeat(64));
        assert!(said(&deep).contains("nesting depth"), "{}", said(&deep));
    }
}
