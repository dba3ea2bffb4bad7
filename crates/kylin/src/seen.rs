//! A Kylin's objects in the terms of the model.
//!
//! A job has no application file: what it runs is its model, which stands where the model of this program has the main class, since that is
//! what Kylin's clients look for by `subject`. Its application is told by its steps, and so is why it failed.
//!
//! Kylin 5 and the older ones have different objects. The older ones' has no time of creation, but says when the job began and how long it
//! had waited until then, in seconds.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use batchlingua_core::{
    App, Batch, BatchKind, BatchSpec, BatchState, DialectName, Extension, Millis, Native, NativeId, Principal, Step,
    Times, redact,
};
use batchlingua_wire::NativeObject;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{NAME, convert::JOB_NAME, state};

/// Most characters of why a job failed: Kylin puts whole stack traces there.
const REASON: usize = 1_000;
const SECOND: i64 = 1_000;
const APP_ID: &str = "yarn_application_id";
const APP_URL: &str = "yarn_application_tracking_url";

/// Why an object is none.
pub(crate) type Fault = String;

/// How objects are read.
pub(crate) struct Reader {
    dialect: DialectName,
    /// A new word for a state is told once.
    is_told: AtomicBool,
}

/// A job's steps.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
    app: App,
    diagnostic: Option<String>,
}

#[derive(Deserialize)]
struct JobObject {
    id: String,
    job_status: String,
    project: Option<String>,
    submitter: Option<String>,
    target_subject: Option<String>,
    target_model: Option<String>,
    job_name: Option<String>,
    create_time: Option<i64>,
    exec_start_time: Option<i64>,
    exec_end_time: Option<i64>,
    last_modified: Option<i64>,
}

/// The older ones'.
#[derive(Deserialize)]
struct InstanceObject<'a> {
    uuid: String,
    job_status: String,
    #[serde(rename = "projectName")]
    project: Option<String>,
    submitter: Option<String>,
    name: Option<String>,
    related_cube: Option<String>,
    display_cube_name: Option<String>,
    last_modified: Option<i64>,
    exec_start_time: Option<i64>,
    exec_end_time: Option<i64>,
    /// In seconds.
    mr_waiting: Option<i64>,
    #[serde(borrow)]
    steps: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StepObject {
    id: String,
    name: Option<String>,
    step_status: Option<String>,
    create_time: Option<i64>,
    exec_start_time: Option<i64>,
    exec_end_time: Option<i64>,
    info: Option<HashMap<String, Value>>,
    failed_msg: Option<String>,
    failed_reason: Option<String>,
    failed_code: Option<String>,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { dialect: DialectName::from(NAME), is_told: AtomicBool::new(false) }
    }

    /// A job of a Kylin 5, as its lists have it.
    pub(crate) fn job(&self, raw: &str) -> Result<Batch<NativeId>, Fault> {
        let job: JobObject = object(raw)?;
        let state = self.state(&job.job_status);
        let spec = BatchSpec {
            kind: BatchKind::Other,
            name: job.target_subject.filter(|name| !name.is_empty()),
            class_name: job.target_model.filter(|model| !model.is_empty()),
            extensions: job.job_name.map(|name| self.kind(&name)).into_iter().collect(),
            ..BatchSpec::default()
        };
        let mut batch = Batch::new(id(job.id)?, state, Arc::new(spec));
        batch.owner = owner(job.submitter);
        batch.project = job.project.filter(|project| !project.is_empty()).map(Into::into);
        batch.times =
            times(state, at(job.create_time), at(job.exec_start_time), at(job.exec_end_time), at(job.last_modified));
        batch.native = Some(self.native(job.job_status, raw.as_bytes()));
        Ok(batch)
    }

    /// The job with its steps, which are another call's answer there.
    pub(crate) fn with_steps(
        &self,
        mut batch: Batch<NativeId>,
        raw: &str,
        is_shown: bool,
    ) -> Result<Batch<NativeId>, Fault> {
        let steps = steps(raw, &batch.id)?;
        if is_shown && let Some(native) = &mut batch.native {
            let job = NativeObject::read(&native.object).ok_or("its job is no object")?;
            native.object = job.with(&[("steps", raw.into())]).into();
        }
        steps.put(&mut batch);
        if !is_shown {
            batch.steps.clear();
        }
        Ok(batch)
    }

    /// A job of an older Kylin, with its steps.
    pub(crate) fn instance(&self, raw: &str) -> Result<Batch<NativeId>, Fault> {
        let job: InstanceObject<'_> = object(raw)?;
        let state = self.state(&job.job_status);
        let given = |name: Option<String>| name.filter(|name| !name.is_empty());
        let spec = BatchSpec {
            kind: BatchKind::Other,
            name: given(job.related_cube).or(given(job.display_cube_name)).or(given(job.name)),
            ..BatchSpec::default()
        };
        let mut batch = Batch::new(id(job.uuid)?, state, Arc::new(spec));
        batch.owner = owner(job.submitter);
        batch.project = given(job.project).map(Into::into);
        let waited = job.mr_waiting.unwrap_or(0).max(0).saturating_mul(SECOND);
        let (started, modified) = (at(job.exec_start_time), at(job.last_modified));
        let created = started.map(|started| Millis(started.0.saturating_sub(waited))).or(modified);
        batch.times = times(state, created, started, at(job.exec_end_time), modified);
        batch.native = Some(self.native(job.job_status, raw.as_bytes()));
        if let Some(raw) = job.steps {
            steps(raw.get(), &batch.id)?.put(&mut batch);
        }
        Ok(batch)
    }

    fn kind(&self, name: &str) -> Extension {
        Extension { dialect: self.dialect.clone(), name: JOB_NAME.to_owned(), value: Value::from(name).to_string() }
    }

    fn native(&self, word: String, object: &[u8]) -> Native {
        // A copy, since a part of a page would hold all of it.
        Native { dialect: self.dialect.clone(), word, object: Bytes::copy_from_slice(object), status: None }
    }

    fn state(&self, word: &str) -> BatchState {
        state::meant(word).unwrap_or_else(|| {
            if !self.is_told.swap(true, Ordering::Relaxed) {
                let word: String = word.chars().take(64).collect();
                tracing::warn!(
                    word,
                    "a Kylin has a word for a state that is not known here; such a job is taken to live"
                );
            }
            BatchState::Running
        })
    }
}

impl Steps {
    fn put(self, batch: &mut Batch<NativeId>) {
        batch.steps = self.steps;
        batch.app = self.app;
        batch.diagnostic = self.diagnostic.filter(|_| batch.state == BatchState::Failed);
    }
}

/// Steps, each under the id that it has in Kylin 5: older ones have a stroke before its number.
pub(crate) fn steps(raw: &str, job: &NativeId) -> Result<Steps, Fault> {
    let objects: Vec<&RawValue> = match raw.trim_start() {
        "null" => Vec::new(),
        raw => serde_json::from_str(raw).map_err(|fault| format!("its steps are no list: {fault}"))?,
    };
    let mut seen = Steps::default();
    for raw in objects {
        let step: StepObject = object(raw.get())?;
        let state = state::meant_of_step(step.step_status.as_deref().unwrap_or("PENDING"));
        let info =
            |key: &str| step.info.as_ref().and_then(|info| info.get(key)?.as_str()).filter(|text| !text.is_empty());
        if seen.app.id.is_none()
            && let Some(id) = info(APP_ID)
        {
            seen.app = App { id: Some(id.to_owned()), url: info(APP_URL).map(str::to_owned), driver_log_url: None };
        }
        if state == BatchState::Failed && seen.diagnostic.is_none() {
            seen.diagnostic = Some(reason(&step));
        }
        let started = at(step.exec_start_time);
        let created = at(step.create_time).or(started);
        let times = times(state, created, started, at(step.exec_end_time), None);
        let (id, name) = (step_id(job.as_str(), &step.id), step.name.unwrap_or_default());
        seen.steps.push(Step { id, name, state, times });
    }
    Ok(seen)
}

fn step_id(job: &str, id: &str) -> String {
    crate::convert::step_id(job, id).unwrap_or_else(|| id.to_owned())
}

/// Why a step failed, in one line.
fn reason(step: &StepObject) -> String {
    let given =
        |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let words = given(&step.failed_msg).or_else(|| given(&step.failed_reason)).or_else(|| given(&step.failed_code));
    let words = words.unwrap_or_else(|| "its log says why".to_owned());
    let line = words.lines().next().unwrap_or_default();
    let line: String = redact::line(line).chars().take(REASON).collect();
    format!("step '{}' failed: {line}", step.name.as_deref().unwrap_or(&step.id))
}

/// An object, and no list: the reader of JSON would take that for members in order.
fn object<'a, T: Deserialize<'a>>(raw: &'a str) -> Result<T, Fault> {
    if !raw.trim_start().starts_with('{') {
        return Err("it is no object".to_owned());
    }
    serde_json::from_str(raw).map_err(|fault| fault.to_string())
}

fn id(id: String) -> Result<NativeId, Fault> {
    if is_id(&id) { Ok(id.into()) } else { Err("it has an id that is none".to_owned()) }
}

/// Whether a text can be an id there, and be sent back as one: it has neither commas nor strokes of a path, and is none of the path's words.
pub(crate) fn is_id(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_long = (8..=200).contains(&id.len());
    is_long && id.bytes().all(is_letter) && id.bytes().any(|byte| byte.is_ascii_digit())
}

fn owner(submitter: Option<String>) -> Option<Principal> {
    submitter.filter(|name| !name.is_empty()).map(Principal::unverified)
}

/// "Not yet" is 0 there.
fn at(millis: Option<i64>) -> Option<Millis> {
    millis.filter(|millis| *millis > 0).map(Millis)
}

fn times(
    state: BatchState,
    created: Option<Millis>,
    started: Option<Millis>,
    ended: Option<Millis>,
    modified: Option<Millis>,
) -> Times {
    let created = created.unwrap_or_default();
    // A job that ended without having run has no end there, and has not changed since.
    let ended = ended.or(modified).filter(|_| state.is_end());
    Times { created, started, ended, modified: modified.or(ended).or(started).unwrap_or(created) }
}

#[cfg(test)]
mod tests;
