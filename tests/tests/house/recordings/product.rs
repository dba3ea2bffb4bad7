//! What the engine has to be told of a product to replay its recordings: a description that is the same for all of its runs, and for each
//! run a `Play` that knows how to bring the batches to where the recorded server's were.

use std::net::SocketAddr;

use serde_json::Value;

use super::cases::{Case, Run};
use super::compare::View;
use super::judge::Outcome;
use super::rewrite::{self, Apps, Ids};
use super::rules::Rule;
use crate::proxy::{Config, Proxy};
use crate::wire::{self, Answer, Request};

/// Levels what varies, or what a rule stands for, in one exchange; says whether there was anything of its kind.
pub(super) type Level = fn(&Case, &mut View, &mut View) -> bool;

/// What varies on the recorded server itself: from run to run, or from one look to the next.
pub(super) struct Nature {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    pub(super) level: Level,
}

/// A product whose exchanges were recorded.
pub(super) trait Product: Sync {
    /// Of its dialect and of its folder under `fixtures/recordings`.
    fn name(&self) -> &'static str;
    /// Exchanges in the folder.
    fn total(&self) -> usize;
    /// Where the recorded server's applications lay, and its Spark. The first is as long as `/srv/apps`.
    fn recorded_paths(&self) -> [&'static str; 2];
    /// Where the recorded server listened, and what its requests name as their host.
    fn recorded_server(&self) -> &'static str;
    /// What varies by nature, in the order in which it is asked.
    fn nature(&self) -> &'static [Nature];
    fn rules(&self) -> &'static [Rule];
    /// What is different, beside those, where a proxy stands between the client and such a server.
    fn rules_between(&self) -> &'static [Rule];
    /// What its recorded server was set to, where that is not what a `Config` begins with.
    fn configure(&self, config: &mut Config);
    /// The path of submits and lists.
    fn collection(&self) -> &'static str;
    /// The id of the batch that the answer to a submit names.
    fn submitted(&self, answer: &Answer) -> Option<String>;
    /// A recorded request, with the ids and times in it made ours.
    fn send(&self, request: Vec<u8>, ids: &Ids) -> Vec<u8>;
    /// An answer of ours, with the ids in it made the recorded ones.
    fn receive(&self, view: &mut View, ids: &Ids);
    /// Begins a run.
    fn play<'a>(&'a self, run: &'a Run, config: &Config) -> Box<dyn Play + 'a>;
}

/// One run's side of a product.
pub(super) trait Play {
    /// A batch has been made, by a recorded submit or by a reconstructed one.
    fn made(&mut self, _house: &House<'_>, _recorded: &str, _ours: &str) {}
    /// A batch has been made that the recorded server refused.
    fn made_alone(&mut self, _house: &House<'_>, _ours: &str) {}
    /// Brings every batch that the recorded answer shows to where it has it, as far as that can be.
    fn settle(&mut self, house: &House<'_>, case: &Case);
    /// Waits until a batch has ended, or longer than it may take.
    fn await_end(&mut self, house: &House<'_>, ours: &str);
    /// Looks at what came back, after its place in the flow and before it is judged.
    fn look(&mut self, _house: &mut House<'_>, _case: &Case, _outcome: &Outcome) {}
    /// Lets nothing run on: jobs outlive their proxy.
    fn clean_up(&mut self, house: &House<'_>);
}

/// The proxy of one run, and how its ids and paths are those of the recording.
pub(super) struct House<'a> {
    pub(super) product: &'a dyn Product,
    pub(super) apps: &'a Apps,
    pub(super) proxy: Proxy,
    /// The proxy that is the first one's platform, where there are two.
    pub(super) platform: Option<Proxy>,
    pub(super) ids: Ids,
}

impl House<'_> {
    pub(super) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// A recorded request as it is sent to the proxy.
    pub(super) fn request(&self, case: &Case) -> Vec<u8> {
        rewrite::request(case.request(), self.product, self.apps, &self.ids)
    }

    /// A plain exchange that is not compared, by ids of ours: its status and its JSON.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.product.recorded_server(),
            body.len()
        );
        let request = self.apps.as_ours(request.as_bytes());
        let answers = wire::exchange(self.address(), Request(&request), 1).ok()?;
        let answer = answers.last()?;
        Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// Submits; the id, in our words.
    pub(super) fn submit(&self, body: &Value) -> Result<String, String> {
        let body = body.to_string();
        let answer = self.ask("POST", self.product.collection(), &body);
        let id = answer.as_ref().filter(|(status, _)| status / 100 == 2).and_then(|(_, batch)| text(&batch["id"]));
        id.ok_or_else(|| format!("{body} gave {answer:?}"))
    }

    pub(super) fn batch(&self, ours: &str) -> Option<(u16, Value)> {
        self.ask("GET", &format!("{}/{ours}", self.product.collection()), "")
    }

    pub(super) fn delete(&self, name: &str) -> Option<(u16, Value)> {
        self.ask("DELETE", &format!("{}/{name}", self.product.collection()), "")
    }
}

/// An id as text, whether a product writes a number or a text.
pub(super) fn text(id: &Value) -> Option<String> {
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|number| number.to_string()))
}
