//! What `Authorization` says, as Kyuubi's filter reads it: the scheme is a prefix in any case, a user is cut at the first `/` or `@`, and
//! what cannot be read is told apart, since each kind is answered differently.

use base64::{Engine, alphabet, engine};
use batchlingua_core::{Credentials, Error, ErrorKind, Result, Unproven};
use batchlingua_wire::RequestHead;

const BASIC: &str = "basic";

/// Java's decoder: padding is optional, but right where it stands.
const JAVA: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No such header.
    Nothing,
    /// Another scheme than Basic, by its name, or none at all.
    Other(String),
    /// Basic, and nothing after it.
    NoData,
    /// Basic, and no base64 after it: why not.
    NotBase64(String),
    /// A name and a password.
    Basic { user: String, password: String },
}

impl Shown {
    pub(crate) fn of(head: &RequestHead) -> Self {
        let Some(value) = head.headers.get("authorization") else { return Self::Nothing };
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = value.trim();
        let Some(data) = value.get(..BASIC.len()).filter(|scheme| scheme.eq_ignore_ascii_case(BASIC)) else {
            // What follows a scheme is a secret, and so may be a text that has none.
            return Self::Other(value.split_once(' ').map_or("", |(scheme, _)| scheme).to_owned());
        };
        match value[data.len()..].trim() {
            "" => Self::NoData,
            data => Self::decode(data),
        }
    }

    fn decode(data: &str) -> Self {
        let Ok(bytes) = JAVA.decode(data) else { return Self::NotBase64(complaint(data)) };
        let text = String::from_utf8_lossy(&bytes);
        let (user, password) = text.split_once(':').unwrap_or((&text, ""));
        Self::Basic { user: short(user).to_owned(), password: password.to_owned() }
    }

    /// Whether it is a name with a password.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Basic { user, password } => !is_blank(user) && !is_blank(password),
            Self::Nothing | Self::Other(_) | Self::NoData | Self::NotBase64(_) => false,
        }
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// A principal without its host and realm.
pub(crate) fn short(user: &str) -> &str {
    user.split(['/', '@']).next().unwrap_or(user)
}

/// Java's words. A character of what was sent is told only if it can be part of no credentials.
fn complaint(data: &str) -> String {
    let foreign = data.bytes().find(|byte| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte));
    match foreign {
        Some(byte) => format!("Illegal base64 character {byte:x}"),
        None => "Input byte array has wrong 4-byte ending unit".to_owned(),
    }
}

/// What is to be checked. Where nobody has to prove anything a name is taken as it is, and what is no Basic is refused all the same.
pub(crate) fn read(head: &RequestHead) -> Result<Option<Credentials>> {
    let unusable = || {
        let kind = ErrorKind::Unauthenticated(Unproven::Unusable);
        Err(Error::new(kind, "the Authorization header must be Basic with a name and a password"))
    };
    let shown = Shown::of(head);
    let must_prove = head.face.authenticated;
    match shown {
        Shown::Nothing => Ok(None),
        Shown::Other(scheme) if scheme.is_empty() && is_empty(head) && !must_prove => Ok(None),
        Shown::Other(_) | Shown::NoData | Shown::NotBase64(_) => unusable(),
        Shown::Basic { .. } if must_prove && !shown.is_whole() => unusable(),
        Shown::Basic { user, .. } if user.is_empty() => Ok(None),
        Shown::Basic { user, password } => Ok(Some(Credentials::Basic { user, password })),
    }
}

fn is_empty(head: &RequestHead) -> bool {
    head.headers.get("authorization").is_none_or(|value| value.as_bytes().trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{face, head};

    fn shown(value: &str) -> Shown {
        Shown::of(&head("GET", "/api/v1/version", &[("authorization", value)], face()))
    }

    fn basic(user: &str, password: &str) -> Shown {
        Shown::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn basic_is_read_in_every_spelling() {
        assert_eq!(shown("BASIC YW5uOnNlY3JldA=="), basic("ann", "secret"));
        assert_eq!(shown("basic YW5uOmE6Yjpj"), basic("ann", "a:b:c"));
        assert_eq!(shown("Basic YW5uOnh4"), basic("ann", "xx"));
        assert_eq!(shown("Basic YW5u"), basic("ann", ""));
        assert_eq!(shown("Basic YW5uL2hvc3RARVhBTVBMRS5PUkc6eA=="), basic("ann", "x"));
        assert_eq!(shown("Basic YW5uQEVYQU1QTEUuT1JHOng="), basic("ann", "x"));
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_and_no_secret_is_kept() {
        assert_eq!(shown("Basic"), Shown::NoData);
        assert_eq!(shown("Basicx YW5uOng="), Shown::NotBase64("Illegal base64 character 20".to_owned()));
        let padding = "Input byte array has wrong 4-byte ending unit".to_owned();
        assert_eq!(shown("Basic YW5uOg=x"), Shown::NotBase64(padding));
        assert_eq!(shown("Bearer abc.def"), Shown::Other("Bearer".to_owned()));
        assert_eq!(shown("ann:x"), Shown::Other(String::new()));
    }

    #[test]
    fn without_authentication_a_name_is_enough_and_another_scheme_is_refused() {
        let read = |value: &str| read(&head("GET", "/api/v1/version", &[("authorization", value)], face()));
        let user = |value: &str| read(value).ok().flatten();
        assert!(matches!(user("Basic YW5u"), Some(Credentials::Basic { user, .. }) if user == "ann"));
        assert_eq!((user("Basic Ong="), user("")), (None, None), "anonymous");
        assert!(read("").is_ok() && read("Basic Ong=").is_ok());
        for refused in ["Bearer x", "Negotiate YII=", "Basic", "Basic !!!", "token"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
