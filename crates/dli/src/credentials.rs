//! What a client shows to prove who it is: a signature, or a token.
//!
//! The order is the dialect's: a signature counts before a token, a token before a scheme that is not spoken here. Whether the key is known
//! and the signature its own, and whether the date is near enough, is for whoever knows the secret keys; here only what was signed is told.
//! Where nobody has to prove anything nothing of that is looked at: a client that signs with keys of its own is as welcome as one that shows
//! nothing, and a Basic name is taken as it is.

use batchlingua_core::{Credentials, Error, ErrorKind, Result, Unproven};
use batchlingua_wire::{RequestBody, RequestHead, basic_credentials};

use crate::signature::{ALGORITHM, Authorization, CONTENT_HASH, DATE, Signable, instant, payload_hash};

/// What the body's hash says of a body that was not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// What the client shows.
pub(crate) fn shown(head: &RequestHead, body: &RequestBody) -> Result<Option<Credentials>> {
    if !head.face.authenticated {
        return Ok(basic_credentials(&head.headers));
    }
    let authorization = single(head, "authorization")?;
    let signature = authorization.and_then(|value| value.strip_prefix(ALGORITHM)).filter(|rest| rest.starts_with(' '));
    if let Some(rest) = signature {
        return signed(head, body, rest).map(Some);
    }
    let token = single(head, "x-auth-token")?.filter(|token| !token.is_empty());
    match (token, authorization) {
        (Some(token), _) => Ok(Some(Credentials::Token(token.to_owned()))),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let message = format!("Authorization must be {ALGORITHM} here, or X-Auth-Token must show a token");
            Err(unusable(message))
        }
    }
}

fn signed(head: &RequestHead, body: &RequestBody, rest: &str) -> Result<Credentials> {
    let said = Authorization::parse(rest).ok_or_else(|| {
        let form = "Access=<key>, SignedHeaders=<names>, Signature=<64 hexadecimal digits>";
        unusable(format!("Authorization cannot be read: after {ALGORITHM} it must say {form}"))
    })?;
    let date = single(head, DATE)?.ok_or_else(|| unusable("X-Sdk-Date is missing".to_owned()))?;
    let at = instant(date)
        .ok_or_else(|| unusable("X-Sdk-Date must be a time in UTC such as 20260102T030405Z".to_owned()))?;
    // What the listener cuts off was part of what the client sent.
    let path = format!("{}{}", head.face.path_prefix, head.target.raw_path);
    let signable = Signable {
        method: head.method.as_str(),
        path: &path,
        query: &head.target.raw_query,
        headers: &head.headers,
        signed_headers: said.signed_headers,
        payload: &payload(head, body)?,
    };
    let text =
        signable.string_to_sign().map_err(|fault| unusable(format!("the signature cannot be checked: {fault}")))?;
    Ok(Credentials::Signature {
        access_key: said.access_key.to_owned(),
        signed: text,
        signature: said.signature.to_ascii_lowercase(),
        at,
        security_token: single(head, "x-security-token")?.map(str::to_owned),
    })
}

/// The body's hash as the client signed it. One that it says itself must be true: else any body would do.
fn payload(head: &RequestHead, body: &RequestBody) -> Result<String> {
    let bytes: &[u8] = match body {
        RequestBody::Bytes(bytes) => bytes,
        RequestBody::Empty => b"",
        RequestBody::Form(_) => return Err(unusable("a form cannot be signed".to_owned())),
    };
    let hash = payload_hash(bytes);
    match single(head, CONTENT_HASH)?.map(str::trim_ascii) {
        None => Ok(hash),
        Some(UNSIGNED) => {
            Err(unusable(format!("X-Sdk-Content-Sha256 must not be {UNSIGNED}: the body has to be signed")))
        }
        Some(said) if said.eq_ignore_ascii_case(&hash) => Ok(said.to_owned()),
        Some(_) => Err(unusable("X-Sdk-Content-Sha256 is not the hash of the body".to_owned())),
    }
}

/// A header that proves something may stand there once, and must be text.
fn single<'a>(head: &'a RequestHead, name: &'static str) -> Result<Option<&'a str>> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| unusable(format!("the header {name} has characters that are not ASCII"))),
        (Some(_), Some(_)) => Err(unusable(format!("the header {name} stands there several times"))),
    }
}

fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Unauthenticated(Unproven::Unusable), message)
}

#[cfg(test)]
mod tests;
