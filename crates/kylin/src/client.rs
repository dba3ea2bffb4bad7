//! A Kylin's calls: what is asked, and what a right answer is.
//!
//! A Kylin 5 has succeeded where it says so twice, by HTTP 200 and by code 000; an older one by 200 alone, without an envelope. Kylin never asks
//! for credentials, so they go with every call; where they were refused, nothing more is asked with them for a while ([`crate::door`]).

use std::sync::Arc;

use batchlingua_core::{BackendName, Batch, Clock, Context, Error, ErrorKind, NativeId, Project, Result};
use batchlingua_wire::{Answer, Body, BodyError, Call, Client, NativeObject};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    door::Door,
    refusal::{self, About, Judge, Refusal, Why},
    seen::{self, Reader},
    settings::Version,
};

/// What a Kylin 5 answers in.
const PUBLIC: HeaderValue = HeaderValue::from_static("application/vnd.apache.kylin-v4-public+json");
/// What an older one does.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Of a list, so many at once.
const PAGE: u64 = 200;
/// The older ones send the steps along, with their commands.
const LEGACY_PAGE: u64 = 50;
/// Of an answer that is no log, so much is read to say what it is.
const NO_LOG: usize = 64 * 1024;

/// What needs no escape in a query.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A Kylin, as its calls.
pub(crate) struct Kylin {
    pub(crate) http: Client,
    pub(crate) version: Version,
    takes_callers: bool,
    is_anonymous: bool,
    door: Door,
    reader: Reader,
}

/// A page of jobs.
pub(crate) struct Listed {
    pub(crate) jobs: Vec<Batch<NativeId>>,
    pub(crate) total: Option<u64>,
    /// Whether there may be another one.
    pub(crate) is_full: bool,
}

/// What a list is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) project: Option<&'a Project>,
    /// Text in the id, or in what the job is about.
    pub(crate) key: Option<&'a str>,
}

/// The short log of a step.
pub(crate) struct Output {
    pub(crate) text: String,
    /// The object as it came.
    pub(crate) object: Bytes,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ListData<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    total_size: Option<u64>,
}

impl Kylin {
    pub(crate) fn new(http: Client, settings: &crate::settings::BackendSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            http,
            version: settings.version,
            takes_callers: settings.client.takes_callers(),
            is_anonymous: settings.client.is_anonymous(),
            door: Door::new(clock),
            reader: Reader::new(),
        }
    }

    /// Rows of a page.
    pub(crate) fn page_size(&self) -> u64 {
        if self.version.is_five() { PAGE } else { LEGACY_PAGE }
    }

    /// Whether the caller's own credentials are shown.
    fn is_caller(&self, ctx: &Context) -> bool {
        self.takes_callers && ctx.caller.is_some()
    }

    fn judge(&self, ctx: &Context) -> Judge<'_> {
        Judge { backend: self.http.backend(), as_caller: self.is_caller(ctx) }
    }

    fn spoken(&self, call: Call) -> Call {
        call.with_header(header::ACCEPT, if self.version.is_five() { PUBLIC } else { JSON })
    }

    /// Whether the credentials that the call would show may be shown.
    fn knock(&self, ctx: &Context) -> Result<(), Refusal> {
        if self.is_caller(ctx) || self.door.is_open() {
            return Ok(());
        }
        let error = refusal::refused_credentials(self.http.backend());
        Err(Refusal::no_answer(error.caused_by("they were refused before, and are not shown again for now")))
    }

    /// What comes of credentials is remembered where they are the proxy's own.
    fn remember<T>(&self, ctx: &Context, result: Result<T, Refusal>) -> Result<T, Refusal> {
        if !self.is_caller(ctx) {
            match &result {
                Ok(_) => self.door.passed(),
                Err(Refusal { why: Why::Credentials(blame), .. }) if !self.is_anonymous => self.door.refused(*blame),
                Err(_) => {}
            }
        }
        result
    }

    async fn ask(&self, ctx: &Context, call: Call, about: About<'_>) -> Result<Answer, Refusal> {
        self.knock(ctx)?;
        let answer = self.http.exchange(ctx, self.spoken(call)).await;
        let answer = answer.map_err(|error| Refusal::no_answer(error.into_error(self.http.backend())))?;
        let judged = if self.is_good(&answer) { Ok(answer) } else { Err(self.judge(ctx).refusal(&answer, about)) };
        self.remember(ctx, judged)
    }

    fn is_good(&self, answer: &Answer) -> bool {
        if answer.status != StatusCode::OK || answer.is_html() {
            return false;
        }
        if self.version.is_five() {
            let envelope: Option<Envelope<'_>> = serde_json::from_slice(&answer.body).ok();
            return envelope.and_then(|envelope| envelope.code).is_some_and(|code| code.get() == "\"000\"");
        }
        !refusal::is_failure(answer)
    }

    /// What is in the envelope, where there is one.
    fn data<'a>(&self, ctx: &Context, answer: &'a Answer) -> Result<&'a str, Refusal> {
        let unreadable = |why: &dyn std::fmt::Display| self.judge(ctx).unreadable(answer, why);
        if !self.version.is_five() {
            return std::str::from_utf8(&answer.body).map_err(|fault| unreadable(&fault));
        }
        let envelope: Envelope<'_> = serde_json::from_slice(&answer.body).map_err(|fault| unreadable(&fault))?;
        Ok(envelope.data.map_or("null", RawValue::get))
    }

    /// Reads what a good answer holds.
    fn read<'a, T>(
        &self,
        ctx: &Context,
        answer: &'a Answer,
        read: impl FnOnce(&'a str) -> Result<T, seen::Fault>,
    ) -> Result<T, Refusal> {
        read(self.data(ctx, answer)?).map_err(|fault| self.judge(ctx).unreadable(answer, &fault))
    }

    /// A page of jobs, the oldest first; of an older Kylin in its own order, the last changed first.
    pub(crate) async fn list(&self, ctx: &Context, asked: Asked<'_>, page: u64, size: u64) -> Result<Listed, Refusal> {
        let about = About::Jobs(asked.project.map(Project::as_str));
        let all = self.version.all_time();
        let mut target = match self.version.is_five() {
            true => format!(
                "/kylin/api/jobs?time_filter={all}&page_offset={page}&page_size={size}&sort_by=create_time&reverse=false"
            ),
            false => {
                let offset = page * size;
                format!("/kylin/api/jobs?timeFilter={all}&offset={offset}&limit={size}&jobSearchMode=ALL")
            }
        };
        let (project, key) = if self.version.is_five() { ("project", "key") } else { ("projectName", "cubeName") };
        for (name, value) in [(project, asked.project.map(Project::as_str)), (key, asked.key)] {
            if let Some(value) = value {
                target.push_str(&format!("&{name}={}", utf8_percent_encode(value, IN_QUERY)));
            }
        }
        let answer = self.ask(ctx, Call::get(target), about).await?;
        self.read(ctx, &answer, |data| self.listed(data, asked.project, size))
    }

    fn listed(&self, data: &str, project: Option<&Project>, size: u64) -> Result<Listed, seen::Fault> {
        let no_list = |fault: serde_json::Error| format!("it is no list of jobs: {fault}");
        let (rows, total): (Vec<&RawValue>, _) = match self.version.is_five() {
            true => {
                let list: ListData<'_> = serde_json::from_str(data).map_err(no_list)?;
                (list.value, list.total_size)
            }
            false => (serde_json::from_str(data).map_err(no_list)?, None),
        };
        let is_full = rows.len() as u64 >= size;
        let read = |raw: &RawValue| {
            let mut job = self.job(raw.get())?;
            job.project = job.project.or(project.cloned());
            Ok::<_, seen::Fault>(job)
        };
        let jobs = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Listed { jobs, total, is_full })
    }

    fn job(&self, raw: &str) -> Result<Batch<NativeId>, seen::Fault> {
        if self.version.is_five() { self.reader.job(raw) } else { self.reader.instance(raw) }
    }

    /// A job with its steps, of an older Kylin.
    pub(crate) async fn instance(&self, ctx: &Context, id: &str) -> Result<Batch<NativeId>, Refusal> {
        let answer = self.ask(ctx, Call::get(format!("/kylin/api/jobs/{id}")), About::Job(id)).await?;
        match self.instance_of(ctx, &answer, id)? {
            Some(job) => Ok(job),
            // It says nothing where there is none.
            None => Err(Refusal { error: Error::no_batch(id), why: Why::Word }),
        }
    }

    fn instance_of(&self, ctx: &Context, answer: &Answer, id: &str) -> Result<Option<Batch<NativeId>>, Refusal> {
        self.read(ctx, answer, |data| match data.trim() {
            "" | "null" => Ok(None),
            data => {
                let job = self.reader.instance(data)?;
                if job.id.as_str() == id {
                    Ok(Some(job))
                } else {
                    Err(format!("it is about job {}, and not {id}", job.id))
                }
            }
        })
    }

    /// A Kylin 5's job together with its steps, which are shown where they are asked for.
    pub(crate) async fn detailed(
        &self,
        ctx: &Context,
        job: &Batch<NativeId>,
        project: &Project,
        is_shown: bool,
    ) -> Result<Batch<NativeId>, Refusal> {
        let target = format!("/kylin/api/jobs/{}/detail?project={}", job.id, in_query(project));
        let answer = self.ask(ctx, Call::get(target), About::Job(job.id.as_str())).await?;
        self.read(ctx, &answer, |data| self.reader.with_steps(job.clone(), data, is_shown))
    }

    /// The short log of a step.
    pub(crate) async fn output(
        &self,
        ctx: &Context,
        id: &NativeId,
        step: &str,
        project: Option<&Project>,
    ) -> Result<Output, Refusal> {
        let call = Call::get(step_target(id, step, "output", project));
        let answer = self.ask(ctx, call, About::Job(id.as_str())).await?;
        self.read(ctx, &answer, |data| {
            let object = NativeObject::read(data.as_bytes()).ok_or("it is no output of a step")?;
            // Null is no output yet; nothing at all is no answer.
            let text = object.get("cmd_output").ok_or("it has no `cmd_output`")?;
            let text: Option<String> = serde_json::from_str(text).map_err(|fault| fault.to_string())?;
            Ok(Output { text: text.unwrap_or_default(), object: Bytes::copy_from_slice(data.as_bytes()) })
        })
    }

    /// All of a step's log as it comes.
    pub(crate) async fn log(
        &self,
        ctx: &Context,
        id: &NativeId,
        step: &str,
        project: &Project,
    ) -> Result<Body, Refusal> {
        self.knock(ctx)?;
        let call = self.spoken(Call::get(step_target(id, step, "log", Some(project))));
        let answer = self.http.stream(ctx, call).await;
        let (head, body) =
            answer.map_err(|error| Refusal::no_answer(error.into_error(self.http.backend())))?.into_parts();
        let is_log = head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"));
        let is_plain = !head.headers.contains_key(header::CONTENT_ENCODING);
        if head.status == StatusCode::OK && is_log && is_plain {
            return self.remember(ctx, Ok(body));
        }
        let body = begin_of(body).await;
        let answer = Answer { status: head.status, headers: head.headers, body };
        self.remember(ctx, Err(self.judge(ctx).refusal(&answer, About::Job(id.as_str()))))
    }

    /// Has a Kylin 5 do something to a job. It says the same where the job is in another project, and does nothing then.
    pub(crate) async fn status(&self, ctx: &Context, id: &str, project: &Project, action: &str) -> Result<(), Refusal> {
        let body = json!({ "action": action, "project": project.as_str(), "job_ids": [id] }).to_string();
        self.ask(ctx, Call::put_json("/kylin/api/jobs/status", body), About::Action(id)).await.map(drop)
    }

    /// Has an older Kylin do something to a job, and gives the job as it is then, where that is told.
    pub(crate) async fn act(&self, ctx: &Context, id: &str, action: &str) -> Result<Option<Batch<NativeId>>, Refusal> {
        let call = Call::new(Method::PUT, format!("/kylin/api/jobs/{id}/{action}"));
        let answer = self.ask(ctx, call, About::Action(id)).await?;
        self.instance_of(ctx, &answer, id)
    }
}

/// A log that broke off.
pub(crate) fn broken_log(backend: &BackendName, fault: BodyError) -> Error {
    let kind = ErrorKind::BackendUnavailable { retry_after: refusal::RETRY_AFTER };
    Error::new(kind, format!("backend '{backend}' did not send the log to its end")).caused_by(fault)
}

fn in_query(project: &Project) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(project.as_str(), IN_QUERY)
}

/// Ids are checked before they get here.
fn step_target(id: &NativeId, step: &str, what: &str, project: Option<&Project>) -> String {
    let project = project.map(|project| format!("?project={}", in_query(project))).unwrap_or_default();
    format!("/kylin/api/jobs/{id}/steps/{step}/{what}{project}")
}

async fn begin_of(mut body: Body) -> Bytes {
    let mut begin = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(piece) = frame.into_data() else { continue };
        begin.extend_from_slice(&piece[..piece.len().min(NO_LOG - begin.len())]);
        if begin.len() >= NO_LOG {
            break;
        }
    }
    begin.freeze()
}
