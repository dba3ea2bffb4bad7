//! What a platform says: requests taken apart, and the three dialects by their tables.

use std::time::Duration;

use serde_json::Value;

use crate::origin::Asked;

use super::{
    dice::Call,
    dli, kyuubi, livy,
    world::{World, label_of},
};

/// Which product a platform speaks as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speech {
    /// Apache Livy 0.9.
    Livy,
    /// Apache Kyuubi 1.12.
    Kyuubi,
    /// Huawei Cloud DLI v2.0.
    Dli,
}

/// An answer before anything is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, body }
    }

    pub(super) fn json(status: u16, body: Value) -> Self {
        Self::new(status, "application/json", body.to_string().into_bytes())
    }
}

/// A request by its parts.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) segments: Vec<&'a str>,
    query: &'a str,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn of(asked: &'a Asked) -> Self {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let segments = path.split('/').filter(|segment| !segment.is_empty()).collect();
        Self { method: &asked.method, segments, query, body: &asked.body }
    }

    pub(super) fn call(&self) -> Call {
        match self.method {
            "POST" => Call::Submit,
            "DELETE" => Call::Delete,
            _ => Call::Read,
        }
    }

    /// The body; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or(Value::Null)
    }

    pub(super) fn query(&self, name: &str) -> Option<&'a str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.query(name)?.parse().ok()
    }

    fn called(&self, speech: Speech) -> Option<&'a str> {
        let at = match speech {
            Speech::Livy => 1,
            Speech::Kyuubi | Speech::Dli => 3,
        };
        self.segments.get(at).copied()
    }
}

impl Speech {
    /// Does what is asked, and says what the product says.
    pub(super) fn answer(self, world: &mut World, asked: &Request<'_>, hidden: Duration) -> Answer {
        match self {
            Self::Livy => livy::answer(world, asked, hidden),
            Self::Kyuubi => kyuubi::answer(world, asked, hidden),
            Self::Dli => dli::answer(world, asked, hidden),
        }
    }

    /// Somebody else's submit.
    pub(super) fn add_foreign(self, world: &mut World) {
        let body = br#"{"name":"foreign","args":["foreign"]}"#;
        let segments = match self {
            Self::Livy => vec!["batches"],
            Self::Kyuubi => vec!["api", "v1", "batches"],
            Self::Dli => vec!["v2.0", "foreign", "batches"],
        };
        let asked = Request { method: "POST", segments, query: "", body };
        self.answer(world, &asked, Duration::ZERO);
    }

    /// A failure: a 500 is the product's own, the others are somebody's in between.
    pub(super) fn failure(self, status: u16) -> Answer {
        if status != 500 {
            let page = format!("<html><head><title>{status}</title></head><body>a gateway's page</body></html>");
            return Answer::new(status, "text/html", page.into_bytes());
        }
        Answer::json(
            500,
            match self {
                Self::Livy => livy::failure(),
                Self::Kyuubi => kyuubi::failure(),
                Self::Dli => dli::failure(),
            },
        )
    }

    /// What the job that is meant is known by.
    pub(super) fn label(self, world: &mut World, asked: &Request<'_>) -> Option<String> {
        if asked.call() == Call::Submit {
            return Some(label_of(&asked.json()).to_owned());
        }
        let called = asked.called(self)?;
        world.find(called).map(|job| job.label.clone())
    }
}
