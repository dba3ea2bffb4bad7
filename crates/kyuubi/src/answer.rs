//! Answers, and what is agreed on before one: the type of a body and the types that a client takes.
//!
//! Jersey takes no notice of weights: a type that stands in `Accept` at all is one that the client takes. A charset that the client asks
//! for with it is repeated in the answer, whatever is sent.

use batchlingua_wire::{Body, RequestHead, java::to_vec};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

/// What nearly all is.
pub(crate) const JSON: &str = "application/json";
/// What a ping, and Jackson's words, are.
pub(crate) const TEXT: &str = "text/plain";
/// The page for people.
pub(crate) const HTML: &str = "text/html;charset=utf-8";

/// A body's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// None is said.
    Unsaid,
    /// JSON.
    Json,
    /// A form with files.
    Form,
    /// Another one.
    Other,
    /// The header names no type.
    Broken,
}

impl MediaType {
    /// What the request says of its body.
    pub(crate) fn of(head: &RequestHead) -> Self {
        match head.headers.get(header::CONTENT_TYPE) {
            None => Self::Unsaid,
            Some(value) => value.to_str().map_or(Self::Broken, Self::parse),
        }
    }

    /// What a header or a part of a form says.
    pub(crate) fn parse(text: &str) -> Self {
        let name = text.split(';').next().unwrap_or(text).trim();
        match name.split_once('/') {
            Some(("", _) | (_, "")) | None => Self::Broken,
            Some(_) if name.eq_ignore_ascii_case(JSON) => Self::Json,
            Some(_) if name.eq_ignore_ascii_case("multipart/form-data") => Self::Form,
            Some(_) => Self::Other,
        }
    }
}

/// Whether the request says that it brings a form.
pub(crate) fn is_form(head: &RequestHead) -> bool {
    MediaType::of(head) == MediaType::Form
}

/// The entry of `Accept` that fits a type, with what it says of it. `None`: the client does not take the type.
fn accepted<'a>(head: &'a RequestHead, wanted: &str) -> Option<&'a str> {
    let Some(accept) = head.header("accept").filter(|accept| !accept.trim().is_empty()) else { return Some("") };
    let group = wanted.split('/').next().unwrap_or(wanted);
    accept.split(',').find(|entry| {
        let name = entry.split(';').next().unwrap_or(entry).trim();
        let of_group = name.strip_suffix("/*").is_some_and(|of| of.eq_ignore_ascii_case(group));
        name == "*/*" || of_group || name.eq_ignore_ascii_case(wanted)
    })
}

/// Whether the client takes a type.
pub(crate) fn accepts(head: &RequestHead, wanted: &str) -> bool {
    accepted(head, wanted).is_some()
}

/// An answer in JSON.
pub(crate) fn object(head: &RequestHead, status: StatusCode, value: &impl Serialize) -> Response<Body> {
    json(head, status, to_vec(value))
}

/// The same of JSON that is written already.
pub(crate) fn json(head: &RequestHead, status: StatusCode, text: Vec<u8>) -> Response<Body> {
    let mut response = plain(status, JSON, text);
    let charset = accepted(head, JSON).filter(|_| status.is_success()).and_then(charset);
    if let Some(value) = charset.and_then(|charset| HeaderValue::try_from(format!("{JSON};charset={charset}")).ok()) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

fn charset(entry: &str) -> Option<String> {
    let mut parameters = entry.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    parameters
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().to_lowercase())
}

/// An answer as it stands. A Kyuubi of 1.6 has errors of no type.
pub(crate) fn plain(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    if let Some(value) = HeaderValue::from_str(content_type).ok().filter(|value| !value.is_empty()) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// A status with nothing. To a HEAD its length is told, as it is to a GET: the HTTP library would leave it out.
pub(crate) fn empty(head: &RequestHead, status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if head.method == Method::HEAD {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorded::{face, head};

    #[test]
    fn a_body_is_what_its_type_says_exactly() {
        for (text, media_type) in [
            ("application/json", MediaType::Json),
            ("Application/JSON; charset=ISO-8859-1", MediaType::Json),
            ("application/json;odata=verbose", MediaType::Json),
            ("Multipart/Form-Data; boundary=x", MediaType::Form),
            ("text/json", MediaType::Other),
            ("application/*", MediaType::Other),
            ("*/*", MediaType::Other),
            ("multipart/form-data2", MediaType::Other),
            ("json", MediaType::Broken),
            ("", MediaType::Broken),
        ] {
            assert_eq!(MediaType::parse(text), media_type, "{text}");
        }
    }

    #[test]
    fn a_type_is_taken_where_it_is_named_at_all() {
        let takes = |accept: &str| {
            let head = head("GET", "/api/v1/version", &[("accept", accept)], face());
            (accepts(&head, JSON), accepts(&head, TEXT))
        };
        assert_eq!((takes(""), takes("*/*")), ((true, true), (true, true)));
        assert_eq!((takes("application/*"), takes("text/plain")), ((true, false), (false, true)));
        assert_eq!(takes("application/json;q=0"), (true, false));
        assert_eq!(takes("text/html, application/xml;q=0.9, */*;q=0.8"), (true, true));
        assert_eq!(takes("application/vnd.kyuubi+json"), (false, false));
    }
}
