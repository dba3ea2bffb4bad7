//! Values on their way into the database and out of it.
//!
//! PostgreSQL's text has no U+0000, and what clients send may have one. It is written as two characters that begin with U+FFFF, which no text
//! has that means anything; nearly all texts have neither and are written as they are.

use std::borrow::Cow;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Integer(i64),
    Integers(Vec<i64>),
    Text(String),
    Texts(Vec<String>),
    Blob(Vec<u8>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(escaped(text).into_owned())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Flag(flag) => flag.to_sql_checked(ty, out),
            Self::Integer(integer) => integer.to_sql_checked(ty, out),
            Self::Integers(integers) => integers.to_sql_checked(ty, out),
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::Texts(texts) => texts.to_sql_checked(ty, out),
            Self::Blob(bytes) => bytes.to_sql_checked(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Each kind of value says no by itself.
        true
    }

    to_sql_checked!();
}

const MARK: char = '\u{ffff}';

pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', MARK]) {
        Cow::Owned(text.replace(MARK, "\u{ffff}1").replace('\0', "\u{ffff}0"))
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn unescaped(text: String) -> String {
    if text.contains(MARK) { text.replace("\u{ffff}0", "\0").replace("\u{ffff}1", "\u{ffff}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        for text in ["", "a", "\0", "\u{ffff}", "\u{ffff}0", "\0\u{ffff}1\0", "ü\u{ffff}\u{ffff}\0"] {
            let there = escaped(text).into_owned();
            assert!(!there.contains('\0'));
            assert_eq!(unescaped(there), text, "{text:?}");
        }
    }
}
