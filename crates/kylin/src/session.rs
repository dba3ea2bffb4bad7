//! Who has logged in, and the cookie that he may show instead of a password from then on.
//!
//! Kylin's cookie is named by a hash; so is this one, always the same, so that a client keeps it over restarts. Its value is a session's
//! token, written in hexadecimal digits: a token may be any text, and a cookie's value may not.

use std::fmt::Write;

use batchlingua_core::{Credentials, Result, Uuid};
use batchlingua_wire::{Body, RequestHead, basic_credentials};
use http::{Response, header};

use crate::{
    answer,
    convert::VERSION,
    dto::{Authority, UserDetails, UserObject},
    face::{Face, Spoken},
};

/// SHA-256 of `batchlingua`.
const COOKIE: &str = "ee4e243cedec991e04ece904f7d2cc61f3bc0afa34c0f6b017fbf01b84e2299d";

/// What a client shows: a password wins over a session, since who sends both may have become another.
pub(crate) fn credentials(head: &RequestHead) -> Result<Option<Credentials>> {
    Ok(basic_credentials(&head.headers).or_else(|| session(head).map(Credentials::Session)))
}

fn session(head: &RequestHead) -> Option<String> {
    let values = head.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    unwritten(value.trim_matches('"'))
}

/// Gives the client its session, if it is due one.
pub(crate) fn give(head: &RequestHead, response: &mut Response<Body>) {
    if let Some(session) = &head.asker().session {
        let cookie = format!("{COOKIE}={}; {}", written(session), attributes(head));
        answer::put(response.headers_mut(), header::SET_COOKIE, &cookie);
    }
}

/// Logged out: the client drops its session.
pub(crate) fn take_back(head: &RequestHead) -> Response<Body> {
    let mut response = answer::plain(200, None, "");
    let cookie = format!("{COOKIE}=; Max-Age=0; {}", attributes(head));
    answer::put(response.headers_mut(), header::SET_COOKIE, &cookie);
    response
}

fn attributes(head: &RequestHead) -> String {
    let is_https = head.face.public_url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let secure = if is_https { "; Secure" } else { "" };
    format!("Path={}/kylin; HttpOnly; SameSite=Lax{secure}", head.face.path_prefix)
}

fn written(token: &str) -> String {
    token.bytes().fold(String::with_capacity(token.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
        text
    })
}

fn unwritten(text: &str) -> Option<String> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// `user/authentication`.
pub(crate) fn log_in(head: &RequestHead, spoken: Spoken) -> Response<Body> {
    let identity = &head.asker().identity;
    let name = &*identity.principal.name;
    let mut authorities = vec![Authority { authority: "ALL_USERS" }];
    if identity.rights.administrator {
        authorities.insert(0, Authority { authority: "ROLE_ADMIN" });
    }
    let user = UserObject {
        uuid: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string(),
        last_modified: 0,
        create_time: 0,
        version: VERSION,
        mvcc: 0,
        username: name,
        authorities,
        disabled: false,
        default_password: false,
        locked: false,
        locked_time: 0,
        wrong_time: 0,
        first_login_failed_time: 0,
    };
    match spoken.face {
        Face::V4 | Face::V2 => answer::data(head, spoken, &user),
        Face::Legacy => answer::data(head, spoken, &UserDetails { user_details: user }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_cookie_is_named_by_a_hash() {
        let hash: String = Sha256::digest(b"batchlingua").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(COOKIE, hash);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for value in ["", "4", "4g", "+1", "ff", "é1"] {
            assert_eq!(unwritten(value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_token_comes_back(token in ".{1,40}") {
            prop_assert_eq!(unwritten(&written(&token)), Some(token));
        }
    }
}
