//! A backend's own object on its way to a client of the same dialect: key order, number texts and members that nobody here knows stay as they
//! came, and only what the proxy has its own word for is another.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of a JSON object, each with its value as it came.
#[derive(Debug, Default)]
pub struct NativeObject<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> NativeObject<'a> {
    /// Reads one. `None`: it is no object.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The text of a member; of a doubled one the last.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, text)| *text)
    }

    /// The object without a member.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// The object with other texts for these members, each in its place; a member that was not there is added at the end.
    pub fn with(&self, changes: &[(&str, Cow<'_, str>)]) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(self.0.iter().map(|(name, text)| name.len() + text.len() + 6).sum::<usize>() + 64);
        let mut is_first = true;
        let mut write = |name: &str, text: &str| {
            out.extend_from_slice(if is_first { b"{" } else { b"," });
            is_first = false;
            serde_json::to_writer(&mut out, name).expect("a text can be written into memory");
            out.push(b':');
            out.extend_from_slice(text.as_bytes());
        };
        for (name, text) in &self.0 {
            let change = changes.iter().find(|(changed, _)| changed == name);
            write(name, change.map_or(text, |(_, text)| text));
        }
        let is_new = |name: &str| self.0.iter().all(|(known, _)| known != name);
        changes.iter().filter(|(name, _)| is_new(name)).for_each(|(name, text)| write(name, text));
        out.extend_from_slice(if is_first { b"{}" } else { b"}" });
        out
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for NativeObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de str)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name.0, value.get()));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}

/// A name is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_stays_as_it_came() {
        let came =
            br#"{"id":17,"new\u0020one":{"b":1.50,"a":[1e3]},"state":"running","big":123456789012345678901234567890}"#;
        let object = NativeObject::read(came).expect("an object");
        assert_eq!(object.get("state"), Some("\"running\""));
        let shown = object.with(&[("id", "5".into()), ("proxy", "null".into())]);
        assert_eq!(
            String::from_utf8(shown).expect("text"),
            r#"{"id":5,"new one":{"b":1.50,"a":[1e3]},"state":"running","big":123456789012345678901234567890,"proxy":null}"#
        );
    }

    #[test]
    fn a_member_can_be_left_out() {
        let object = NativeObject::read(br#"{"a":1.0,"b":2,"a":3,"c":"x"}"#).expect("an object");
        assert_eq!(object.without("a").with(&[]), br#"{"b":2,"c":"x"}"#);
        assert_eq!(NativeObject::read(b"{\"a\":1}").expect("an object").without("a").with(&[]), b"{}");
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["[]", "1", "{\"a\":}", "{\"a\":1", ""] {
            assert!(NativeObject::read(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(NativeObject::read(b"{}").expect("an object").with(&[]), b"{}");
    }
}
