//! When two answers are the same: the status, the headers that a client acts on, and the JSON. An answer is first brought into a `View` in
//! which a difference means something: header spelling without a meaning is levelled, the content coding is undone, ids
//! and paths of ours are made the recorded ones. The views are then compared member by member, so that a difference has a place.
//!
//! Some parts vary from run to run on the recorded server itself. They are levelled by the product's table `NATURE`, each entry only after a
//! check that ours lies within what may vary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::product::Product;
use super::rewrite::{Apps, Ids, decode};
use crate::wire::{Answer, Request};

/// Headers that tell a client what to do, apart from those that frame the message: the reader has checked these against the body.
const ACTED_ON: [&str; 6] =
    ["content-type", "location", "allow", "content-encoding", "www-authenticate", "retry-after"];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<&'static str, String>,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Empty,
    Json(Value),
    Text(String),
}

impl Body {
    pub(super) fn json(&self) -> Option<&Value> {
        match self {
            Body::Json(value) => Some(value),
            Body::Empty | Body::Text(_) => None,
        }
    }

    pub(super) fn json_mut(&mut self) -> Option<&mut Value> {
        match self {
            Body::Json(value) => Some(value),
            Body::Empty | Body::Text(_) => None,
        }
    }
}

/// Where two views differ, for a person to read.
#[derive(Debug)]
pub(super) struct Difference {
    place: String,
    recorded: String,
    ours: String,
}

impl Difference {
    /// How much text differs.
    pub(super) fn text(&self) -> usize {
        self.recorded.len() + self.ours.len()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      recorded {}\n      ours     {}", self.place, self.recorded, self.ours)
    }
}

impl View {
    pub(super) fn recorded(answer: &Answer, request: Request<'_>) -> Result<Self, String> {
        Self::new(answer, request, str::to_owned)
    }

    pub(super) fn ours(
        answer: &Answer,
        request: Request<'_>,
        product: &dyn Product,
        apps: &Apps,
        ids: &Ids,
    ) -> Result<Self, String> {
        let mut view = Self::new(answer, request, |text| apps.as_recorded(text))?;
        product.receive(&mut view, ids);
        Ok(view)
    }

    /// In place of an answer that is not there; equal to no answer.
    pub(super) fn missing(why: &str) -> Self {
        Self { status: 0, headers: BTreeMap::new(), body: Body::Text(why.to_owned()) }
    }

    fn new(answer: &Answer, request: Request<'_>, paths: impl Fn(&str) -> String) -> Result<Self, String> {
        let mut headers: BTreeMap<&'static str, String> =
            ACTED_ON.iter().filter_map(|&name| Some((name, level(name, &answer.header(name)?)))).collect();
        // Whether the connection stays is said in several ways, by both versions of HTTP and with or without a field.
        if answer.status >= 200 {
            headers.insert("connection", if answer.persists(&request) { "stays" } else { "closes" }.to_owned());
        }
        if request.method() == b"HEAD"
            && let Some(length) = answer.header("content-length")
        {
            // Here it is about the body of the GET, which no framing checks.
            headers.insert("content-length", length);
        }
        let plain = decode(answer.header("content-encoding").as_deref(), &answer.body)?;
        let text = paths(&String::from_utf8_lossy(&plain));
        let body = match headers.get("content-type") {
            _ if text.is_empty() => Body::Empty,
            Some(kind) if kind.contains("json") => json(&text).map_or(Body::Text(text), Body::Json),
            _ => Body::Text(text),
        };
        Ok(Self { status: answer.status, headers, body })
    }

    /// All differences, `self` being the recorded side.
    pub(super) fn against(&self, ours: &View) -> Vec<Difference> {
        let mut found = Vec::new();
        let mut differ = |place: String, recorded: String, ours: String| {
            if recorded != ours {
                found.push(Difference { place, recorded, ours });
            }
        };
        differ("status".into(), self.status.to_string(), ours.status.to_string());
        let names: BTreeSet<&str> = self.headers.keys().chain(ours.headers.keys()).copied().collect();
        for name in names {
            let shown = |view: &View| view.headers.get(name).cloned().unwrap_or_else(|| "(absent)".into());
            differ(format!("header {name}"), shown(self), shown(ours));
        }
        match (&self.body, &ours.body) {
            (Body::Json(a), Body::Json(b)) => members("body", a, b, &mut differ),
            (a, b) => differ("body".into(), show(a), show(b)),
        }
        found
    }
}

fn members(place: &str, recorded: &Value, ours: &Value, differ: &mut impl FnMut(String, String, String)) {
    match (recorded, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => members(&format!("{place}.{name}"), a, b, differ),
                    (a, b) => differ(format!("{place}.{name}"), shown(a), shown(b)),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                members(&format!("{place}[{index}]"), a, b, differ);
            }
        }
        (a, b) => differ(place.to_owned(), a.to_string(), b.to_string()),
    }
}

fn shown(member: Option<&Value>) -> String {
    member.map_or_else(|| "(absent)".to_owned(), Value::to_string)
}

fn show(body: &Body) -> String {
    match body {
        Body::Empty => "(empty)".to_owned(),
        Body::Json(value) => format!("JSON {value}"),
        Body::Text(text) => format!("text {text:?}"),
    }
}

/// A header without what no client sees: case and blanks in a media type, the order of methods.
fn level(name: &str, value: &str) -> String {
    match name {
        "content-type" => value.to_ascii_lowercase().replace(' ', ""),
        "allow" => {
            let mut methods: Vec<&str> = value.split(',').map(str::trim).collect();
            methods.sort_unstable();
            methods.join(", ")
        }
        _ => value.to_owned(),
    }
}

/// JSON as the products write it: they let a lone half of a surrogate pair through, which becomes its own escape's text here.
fn json(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        let length = escape.len().min(6);
        let high = escape.get(2..length).is_some_and(|hex| hex.to_ascii_uppercase().starts_with("D8"));
        let paired = escape.get(6..8) == Some("\\u");
        spelled.push_str(before);
        spelled.push_str(if high && !paired { "\\\\u" } else { "\\u" });
        rest = &escape[2..];
    }
    spelled.push_str(rest);
    serde_json::from_str(&spelled).ok()
}
