//! An answer that was read to its end.

use batchlingua_core::{DialectName, NativeError, redact};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

/// What is looked through for words to a person.
const MAX_LOOKED_AT: usize = 64 * 1024;

/// Members of the products' errors that hold a sentence, the likeliest first.
const SENTENCES: [&str; 4] = ["message", "msg", "error_msg", "error"];

/// A backend's answer, its content coding undone.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// A header, where it is there and is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What it says that its body is.
    pub fn content_type(&self) -> Option<&str> {
        self.header(&header::CONTENT_TYPE)
    }

    /// Whether it is a page for people, as load balancers and servlet containers send.
    pub fn is_html(&self) -> bool {
        let says_so = self.content_type().is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/html") || kind.eq_ignore_ascii_case("application/xhtml+xml")
        });
        let start = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body).trim_ascii_start();
        says_so || [&b"<!doctype html"[..], b"<html"].iter().any(|mark| starts_with(start, mark))
    }

    /// What it says, for a message to a person: one line of at most `max` characters, without secrets and without a stack trace.
    pub fn text_excerpt(&self, max: usize) -> String {
        let looked_at = &self.body[..self.body.len().min(MAX_LOOKED_AT)];
        let text = String::from_utf8_lossy(looked_at);
        let said = if self.is_html() { title(&text) } else { sentence(looked_at).unwrap_or_else(|| text.into_owned()) };
        cut(&redact::line(&one_line(&said)), max)
    }

    /// For clients of its own dialect, as it is.
    pub fn native(&self, dialect: &DialectName) -> NativeError {
        NativeError {
            dialect: dialect.clone(),
            status: self.status.as_u16(),
            content_type: self.content_type().unwrap_or_default().to_owned(),
            body: self.body.clone(),
        }
    }
}

fn starts_with(text: &[u8], mark: &[u8]) -> bool {
    text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark))
}

/// The sentence in a JSON error.
fn sentence(json: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(json).ok()?;
    match value {
        serde_json::Value::String(text) => Some(text),
        value => SENTENCES
            .iter()
            .filter_map(|name| value.get(name)?.as_str())
            .find(|text| !text.trim().is_empty())
            .map(str::to_owned),
    }
}

/// A page's title; of a page without one nothing is worth telling.
fn title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let found = lower.find("<title").and_then(|at| {
        let start = at + lower[at..].find('>')? + 1;
        Some(start..start + lower[start..].find("</title")?)
    });
    found
        .map(|title| page[title].to_owned())
        .filter(|title| !title.trim().is_empty())
        .unwrap_or("an HTML page".to_owned())
}

/// Without control characters, and without the frames of a stack trace.
fn one_line(text: &str) -> String {
    let is_frame = |line: &str| line.starts_with([' ', '\t']) && line.trim_start().starts_with("at ");
    let lines = text.lines().take_while(|line| !is_frame(line));
    let words = lines
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_control()))
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
    }
}
