//! What answers have in common whatever the dialect: the `Batchlingua-…` headers, and what is said outside all dialects.

use std::fmt::Write;

use batchlingua_core::{BatchId, DialectName, Error, ErrorKind, Fate, Log, LogBody, Notes, Outcome};
use batchlingua_wire::Body;
use http::{HeaderValue, Response, StatusCode, header};

/// Clients stop reading a head that is too long; the log has all of it.
const MAX_UNMAPPED: usize = 2048;

/// What a client is told beside the answer.
pub(crate) fn write_notes(response: &mut Response<Body>, notes: &Notes) {
    let headers = response.headers_mut();
    if let Some(Ok(name)) = notes.backend.as_ref().map(|name| HeaderValue::from_str(name.as_str())) {
        headers.insert("batchlingua-backend", name);
    }
    if !notes.unmapped.is_empty() {
        headers.insert("batchlingua-unmapped", unmapped(&notes.unmapped));
    }
    if let Some(seconds) = notes.stale_seconds {
        headers.insert(header::AGE, HeaderValue::from(seconds));
        headers.insert("batchlingua-stale", HeaderValue::from(seconds));
    }
}

/// The fields by name. A conf key may be any text: what no header can hold, or what would part it, is escaped.
pub(crate) fn unmapped(fates: &[Fate]) -> HeaderValue {
    let mut text = String::new();
    for (at, fate) in fates.iter().enumerate() {
        let name = fate.to_string();
        if text.len() + name.len() > MAX_UNMAPPED {
            let _ = write!(text, "{}and {} more", if at == 0 { "" } else { ", " }, fates.len() - at);
            break;
        }
        text.push_str(if at == 0 { "" } else { ", " });
        for byte in name.bytes() {
            match byte {
                b',' | b'%' => _ = write!(text, "%{byte:02X}"),
                byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
                byte => _ = write!(text, "%{byte:02X}"),
            }
        }
    }
    HeaderValue::from_str(&text).expect("only graphic characters and spaces were written")
}

/// What a client can act on beside the words of its dialect.
pub(crate) fn write_error(response: &mut Response<Body>, error: &Error) {
    let headers = response.headers_mut();
    if let Some(seconds) = error.kind.retry_after_seconds() {
        headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    if let ErrorKind::Ambiguous { id } = &error.kind {
        headers.insert("batchlingua-outcome", HeaderValue::from_static("unknown"));
        let id = HeaderValue::from_str(&id.uuid.to_string()).expect("a uuid is a header value");
        headers.entry("batchlingua-id").or_insert(id);
    }
}

/// The page of a listener with several dialects.
pub(crate) fn root_page<'a>(dialects: impl Iterator<Item = &'a DialectName>) -> Response<Body> {
    let names: Vec<_> = dialects.map(|name| format!("<li>{name}</li>")).collect();
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Batchlingua</title></head>\
         <body><h1>Batchlingua</h1><p>Batch jobs in several dialects. This listener serves:</p><ul>{}</ul></body></html>\n",
        names.concat()
    );
    let mut response = Response::new(Body::full(page));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8"));
    response
}

/// An answer outside all dialects.
pub(crate) fn plain(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::full(format!("{{\"message\":\"{message}\"}}")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether the answer's body is still being read from a backend.
pub(crate) fn is_stream(outcome: &Outcome<BatchId>) -> bool {
    matches!(outcome, Outcome::Log(_, Log { body: LogBody::Stream(_), .. }))
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{Field, Treatment};

    use super::*;

    fn lost(key: &str) -> Fate {
        Fate { field: Field::Conf, part: Some(key.to_owned()), treatment: Treatment::NotCarried("no".into()) }
    }

    #[test]
    fn a_conf_key_of_any_text_is_told() {
        assert_eq!(unmapped(&[lost("a,b"), lost("ü\n")]), "conf:a%2Cb, conf:%C3%BC%0A");
    }

    #[test]
    fn many_lost_fields_do_not_make_the_head_too_long() {
        let fates: Vec<_> = (0..1_000).map(|n| lost(&format!("spark.key.{n:04}"))).collect();
        let told = unmapped(&fates);
        let told = told.to_str().expect("text");
        assert!(told.len() < 2 * MAX_UNMAPPED && told.ends_with("more"), "{told}");
    }
}
