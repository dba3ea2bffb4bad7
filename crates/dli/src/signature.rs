//! `SDK-HMAC-SHA256`: what a client signs of a request, and the signature over it.
//!
//! Both sides make it: a server from the request that it got, to have it checked by whoever knows the secret key, and a client of DLI before
//! it sends. So everything is taken as it is on the wire: path and query with their escapes, header values as bytes, the body's hash over
//! the bytes that are sent. There is no derived key, and no nonce: clients send the same signature again when they repeat a request.
//!
//! Which headers are signed is the signer's choice. Huawei's Python SDK signs `Host` and `User-Agent`, golangsdk neither `Host` nor
//! `X-Project-Id`.

use std::borrow::Cow;

use batchlingua_core::Millis;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};

#[cfg(test)]
pub(crate) mod tests;

/// The name of the algorithm, with which its `Authorization` begins.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// The header with the time of signing, which every signature covers.
pub const DATE: &str = "x-sdk-date";

/// The header with the body's hash, where a client sends one.
pub const CONTENT_HASH: &str = "x-sdk-content-sha256";

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request as far as a signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// Upper case.
    pub method: &'a str,
    /// The path as it is sent, with its escapes.
    pub path: &'a str,
    /// The query as it is sent, without the question mark.
    pub query: &'a str,
    /// The headers, `Host` and the date among them.
    pub headers: &'a HeaderMap,
    /// The names of the signed ones in lower case, sorted, with semicolons between them.
    pub signed_headers: &'a str,
    /// [`payload_hash`] of the body, or what [`CONTENT_HASH`] says in its place.
    pub payload: &'a str,
}

/// Why there is nothing that could be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// A signed header is not there.
    #[error("the signed header '{0}' is missing")]
    Missing(String),
    /// What should be the name of a header is none, or not in lower case.
    #[error("'{0}' in SignedHeaders is no header name in lower case")]
    Name(String),
    /// A header is named twice.
    #[error("'{0}' stands twice in SignedHeaders")]
    Twice(String),
    /// The date is not signed.
    #[error("SignedHeaders must name x-sdk-date")]
    NoDate,
}

impl Signable<'_> {
    /// The canonical request.
    pub fn canonical(&self) -> Result<Vec<u8>, Unsignable> {
        let mut out = Vec::with_capacity(512);
        for part in [self.method, &canonical_path(self.path), &canonical_query(self.query)] {
            out.extend_from_slice(part.as_bytes());
            out.push(b'\n');
        }
        self.canonical_headers(&mut out)?;
        // Each header has ended its own line, so an empty one follows the last.
        for part in ["", self.signed_headers] {
            out.extend_from_slice(part.as_bytes());
            out.push(b'\n');
        }
        out.extend_from_slice(self.payload.as_bytes());
        Ok(out)
    }

    fn canonical_headers(&self, out: &mut Vec<u8>) -> Result<(), Unsignable> {
        let mut seen: Vec<&str> = Vec::new();
        for name in self.signed_headers.split(';') {
            let known = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| Unsignable::Name(name.to_owned()))?;
            if seen.contains(&name) {
                return Err(Unsignable::Twice(name.to_owned()));
            }
            seen.push(name);
            let mut values: Vec<&[u8]> =
                self.headers.get_all(&known).iter().map(|v| v.as_bytes().trim_ascii()).collect();
            if values.is_empty() {
                return Err(Unsignable::Missing(name.to_owned()));
            }
            values.sort_unstable();
            for value in values {
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                out.extend_from_slice(value);
                out.push(b'\n');
            }
        }
        if seen.contains(&DATE) { Ok(()) } else { Err(Unsignable::NoDate) }
    }

    /// The text over which the signature is made.
    pub fn string_to_sign(&self) -> Result<String, Unsignable> {
        let canonical = self.canonical()?;
        let date = self.headers.get(DATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(format!("{ALGORITHM}\n{date}\n{}", payload_hash(&canonical)))
    }

    /// The whole `Authorization` header of the holder of this key.
    pub fn authorization(&self, access_key: &str, secret_key: &str) -> Result<String, Unsignable> {
        let signature = sign(secret_key, &self.string_to_sign()?);
        let names = self.signed_headers;
        Ok(format!("{ALGORITHM} Access={access_key}, SignedHeaders={names}, Signature={signature}"))
    }
}

/// The signature of a text with a secret key. To be compared in constant time.
pub fn sign(secret_key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).expect("a key may have any length");
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The hash of a body as it is signed.
pub fn payload_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// An escaped slash is a slash, and there is one at the end.
fn canonical_path(path: &str) -> String {
    let decoded: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
    let segments = decoded.split(|byte| *byte == b'/').map(encoded);
    let mut out = segments.collect::<Vec<_>>().join("/");
    if !out.ends_with('/') {
        out.push('/');
    }
    out
}

fn canonical_query(query: &str) -> String {
    let decoded = |text: &str| percent_decode(text.replace('+', " ").as_bytes()).collect::<Vec<u8>>();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (decoded(name), decoded(value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

/// What an `Authorization` header of this algorithm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authorization<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads what follows the algorithm's name; how many blanks there are makes no difference.
    pub(crate) fn parse(rest: &'a str) -> Option<Self> {
        let (mut access_key, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let slot = match name.trim_end() {
                "Access" => &mut access_key,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return None,
            };
            let is_second = slot.replace(value.trim()).is_some();
            if is_second {
                return None;
            }
        }
        let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        Some(Self {
            access_key: access_key.filter(|key| !key.is_empty())?,
            signed_headers: signed_headers?,
            signature: signature.filter(is_hash)?,
        })
    }
}

/// A moment as a date such as `20260102T030405Z`.
pub(crate) fn date(at: Millis) -> String {
    // What lies outside the calendar's years is no time at which anybody signs.
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The moment that a date such as `20260102T030405Z` says.
pub(crate) fn instant(text: &str) -> Option<Millis> {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let is_whole = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    if !is_whole(date, 8) || !is_whole(time, 6) {
        return None;
    }
    let number = |digits: &str| digits.parse::<i64>().ok();
    let (year, month, day) = (number(&date[..4])?, number(&date[4..6])?, number(&date[6..])?);
    let (hour, minute, second) = (number(&time[..2])?, number(&time[2..4])?, number(&time[4..])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = *DAYS.get(usize::try_from(month).ok()?.checked_sub(1)?)? + i64::from(is_leap && month == 2);
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since the epoch, with years that begin in March, so that a leap day is a year's last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    Some(Millis((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000))
}
