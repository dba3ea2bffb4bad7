//! HTTP Basic, as clients really send it.

use base64::{Engine, engine::general_purpose};
use batchlingua_core::Credentials;
use http::{HeaderMap, header};

/// The credentials of a Basic `Authorization` header. The scheme is read without regard to case, padding is optional, and a password may
/// contain colons. `None`: there is no such header, or it cannot be read.
pub fn basic_credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let encoded = encoded.trim().trim_end_matches('=');
    let bytes = general_purpose::STANDARD_NO_PAD.decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':').unwrap_or((&text, ""));
    Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().expect("a header value"));
        basic_credentials(&headers)
    }

    fn basic(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Basic { user: user.into(), password: password.into() })
    }

    #[test]
    fn schemes_of_any_case_and_passwords_with_colons_are_read() {
        assert_eq!(read("Basic YW5hOnNlY3JldA=="), basic("ana", "secret"));
        assert_eq!(read("BASIC YW5hOnNlY3JldA"), basic("ana", "secret"));
        assert_eq!(read("basic YTpiOmM="), basic("a", "b:c"));
        assert_eq!(read("Basic YW5h"), basic("ana", ""));
    }

    #[test]
    fn what_is_no_basic_is_none() {
        for value in ["Bearer x", "Basic", "Basic !!!", "Basic /w=="] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
