//! A DLI's six calls, and its answers as far as they can be read.
//!
//! Members of answers are read leniently where the reference knows several forms of them (a count as a number or as its text, a log as a list
//! or as one line), and not at all where it knows none: then the answer is refused, and nothing is made up in its place.

use std::borrow::Cow;

use batchlingua_core::{Context, DialectName, Error, ErrorKind, Project, Result};
use batchlingua_wire::{Answer, Call, Client, UpstreamError};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    NAME,
    error::{self, About, Refusal},
    signer::PROJECT,
};

/// When an answer that is none is worth another try.
pub(crate) const TRY_AGAIN: std::time::Duration = std::time::Duration::from_secs(5);

/// A DLI.
pub(crate) struct DliClient {
    pub(crate) http: Client,
    dialect: DialectName,
    /// Whether callers' own credentials are shown to it: its word on them is for them then.
    callers: bool,
}

/// A batch of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) project: Project,
    /// Its uuid, as DLI writes it.
    pub(crate) batch: String,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    /// The index of its first batch.
    pub(crate) from: u64,
    pub(crate) total: Option<u64>,
    /// The batches' objects.
    pub(crate) sessions: Vec<&'a RawValue>,
}

/// Lines of a log.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) from: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) lines: Vec<String>,
    /// As it came.
    pub(crate) object: Bytes,
}

impl DliClient {
    pub(crate) fn new(http: Client, callers: bool) -> Self {
        Self { http, dialect: DialectName::from(NAME), callers }
    }

    /// The call that creates a batch.
    pub(crate) fn create(&self, project: &Project, body: Bytes) -> Call {
        for_project(Call::post_json(batches(project), body), project)
    }

    pub(crate) async fn send(&self, ctx: &Context, call: Call) -> Result<Answer, UpstreamError> {
        self.http.exchange(ctx, call).await
    }

    /// What a DLI refuses.
    pub(crate) fn refusal(&self, ctx: &Context, answer: &Answer, about: About<'_>) -> Refusal {
        let is_callers = self.callers && ctx.caller.is_some();
        error::refusal(answer, about, self.http.backend(), &self.dialect, is_callers)
    }

    /// A call that is no create: its answer, if it is a good one.
    async fn ask(&self, ctx: &Context, call: Call, about: About<'_>) -> Result<Answer> {
        let answer = self.send(ctx, call).await.map_err(|error| error.into_error(self.http.backend()))?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(ctx, &answer, about).error) }
    }

    pub(crate) async fn get(&self, ctx: &Context, place: &Place) -> Result<Bytes> {
        let call = for_project(Call::get(batch(place)), &place.project);
        Ok(self.ask(ctx, call, About::Batch(&place.batch)).await?.body)
    }

    /// The newest first, where it does what it is told.
    pub(crate) async fn list(&self, ctx: &Context, project: &Project, from: u64, size: u64) -> Result<Bytes> {
        let target = format!("{}?from={from}&order=CREATE_TIME_DESC&size={size}", batches(project));
        Ok(self.ask(ctx, for_project(Call::get(target), project), About::Project).await?.body)
    }

    /// Lines of a log: of that retry's driver, else of the submission.
    pub(crate) async fn log(
        &self,
        ctx: &Context,
        place: &Place,
        from: Option<u64>,
        size: u64,
        retry: Option<u32>,
    ) -> Result<Lines> {
        // In the order of the alphabet, as DLI's own clients send them signed.
        let mut query: Vec<String> = from.map(|from| format!("from={from}")).into_iter().collect();
        query.extend(retry.map(|retry| format!("index={retry}")));
        query.push(format!("size={size}"));
        query.extend(retry.map(|_| "type=driver".to_owned()));
        let target = format!("{}/log?{}", batch(place), query.join("&"));
        let call = for_project(Call::get(target), &place.project);
        let answer = self.ask(ctx, call, About::Log(&place.batch)).await?;
        let read: LogAnswer<'_> = self.read(&answer.body)?;
        let lines = read.log.ok_or_else(|| self.no_answer(&answer.body, "it has no `log`"))?;
        let lines = texts(lines).ok_or_else(|| self.unreadable("its `log` is no list of texts"))?;
        let (from, total) = (read.from.and_then(count), read.total.and_then(count));
        Ok(Lines { from, total, lines, object: answer.body })
    }

    pub(crate) async fn cancel(&self, ctx: &Context, place: &Place) -> Result<()> {
        let call = for_project(Call::delete(batch(place)), &place.project);
        self.ask(ctx, call, About::Batch(&place.batch)).await.map(drop)
    }

    /// A page of a list, taken apart.
    pub(crate) fn listed<'a>(&self, body: &'a Bytes, from: u64) -> Result<Listed<'a>> {
        let read: ListAnswer<'_> = self.read(body)?;
        let told = read.from.and_then(count).unwrap_or(from);
        if told != from {
            return Err(self.unreadable(&format!("it begins at {told}, and {from} was asked for")));
        }
        let total = read.total.and_then(count);
        // Clients take an empty list for what is not there; a page that says neither is none.
        if read.sessions.is_none() && total.is_none() {
            return Err(self.no_answer(body, "it has no `sessions`"));
        }
        Ok(Listed { from, total, sessions: read.sessions.unwrap_or_default() })
    }

    fn read<'a, T: Deserialize<'a>>(&self, body: &'a Bytes) -> Result<T> {
        serde_json::from_slice(body)
            .map_err(|fault| self.no_answer(body, "it is not what DLI answers").caused_by(fault))
    }

    /// A good status with no answer behind it; if that is a failure, it is told.
    pub(crate) fn no_answer(&self, body: &[u8], why: &str) -> Error {
        match error::Told::read(body) {
            Some(told) => self.unreadable(&format!("with a good status it says \"{told}\"")),
            None => self.unreadable(why),
        }
    }

    fn unreadable(&self, why: &str) -> Error {
        let kind = ErrorKind::BackendUnavailable { retry_after: TRY_AGAIN };
        Error::new(kind, format!("backend '{}' sent an answer that cannot be used: {why}", self.http.backend()))
    }
}

fn batches(project: &Project) -> String {
    format!("/v2.0/{project}/batches")
}

fn batch(place: &Place) -> String {
    format!("/v2.0/{}/batches/{}", place.project, place.batch)
}

/// What every call to a DLI has: a type, also where there is no body, as its own clients send it, and the project of its path.
fn for_project(call: Call, project: &Project) -> Call {
    let project = HeaderValue::from_str(project.as_str()).expect("a project's id is letters and digits");
    call.with_header(header::CONTENT_TYPE, HeaderValue::from_static("application/json")).with_header(PROJECT, project)
}

#[derive(Deserialize)]
struct ListAnswer<'a> {
    #[serde(borrow, default)]
    from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sessions: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct LogAnswer<'a> {
    #[serde(borrow, default)]
    from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total: Option<&'a RawValue>,
    #[serde(borrow, default)]
    log: Option<&'a RawValue>,
}

/// A text; one that is empty, or null, is none.
pub(crate) fn text<'a>(value: &'a RawValue) -> Option<Cow<'a, str>> {
    let raw = value.get();
    let plain = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'))?;
    let text = match plain.contains('\\') {
        false => Cow::Borrowed(plain),
        true => Cow::Owned(serde_json::from_str(raw).ok()?),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// A count, also where it is written as a text.
pub(crate) fn count(value: &RawValue) -> Option<u64> {
    value.get().trim_matches('"').parse().ok()
}

/// Several texts; one is a list of itself, null an empty one.
pub(crate) fn texts(value: &RawValue) -> Option<Vec<String>> {
    match value.get().as_bytes().first() {
        Some(b'n') => Some(Vec::new()),
        Some(b'"') => serde_json::from_str(value.get()).ok().map(|line| vec![line]),
        Some(_) => serde_json::from_str(value.get()).ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    #[test]
    fn what_has_several_forms_is_read_in_each() {
        assert_eq!(
            [count(&raw("7")), count(&raw("\"7\"")), count(&raw("null")), count(&raw("-1"))],
            [Some(7), Some(7), None, None]
        );
        assert_eq!(texts(&raw(r#"["a","b"]"#)), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(texts(&raw(r#""a\nb""#)), Some(vec!["a\nb".to_owned()]));
        assert_eq!((texts(&raw("null")), texts(&raw("{}")), texts(&raw("[1]"))), (Some(Vec::new()), None, None));
        assert_eq!(
            (text(&raw(r#""a\"b""#)).as_deref(), text(&raw("\"\"")), text(&raw("7"))),
            (Some("a\"b"), None, None)
        );
    }

    #[test]
    fn every_call_names_its_project_twice() {
        let project = Project::from("p1");
        let call = for_project(Call::new(Method::GET, batches(&project)), &project);
        assert_eq!(call.target, "/v2.0/p1/batches");
        assert_eq!(call.headers[&PROJECT], "p1");
        assert_eq!(call.headers[header::CONTENT_TYPE], "application/json");
    }
}
