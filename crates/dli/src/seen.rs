//! A DLI's object of a batch in the terms of the model.
//!
//! What the proxy added to the request so that the batch can be found again (a key in its conf, an end of its name) is taken out again, so that
//! nobody sees it; all else of the object stays as it came. The request itself stands in `req_body`, as JSON in a text: it is read leniently,
//! and where it cannot be read the batch has no more than its name and queue.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use batchlingua_core::{
    App, Batch, BatchSpec, BatchState, DialectName, Error, Millis, Native, NativeId, Principal, Project, Times, Uuid,
};
use batchlingua_wire::{Answer, NativeObject};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    NAME, bind,
    client::{count, text, texts},
    convert::{self, Beside},
    mapping::MARK,
    names,
    plan::own_name,
    settings::{Echo, Scope},
    state,
};

/// A request that DLI gives back is nested no deeper than what it took.
const DEPTH: usize = 64;

/// How objects are read.
pub(crate) struct Reader {
    dialect: DialectName,
    scope: Scope,
    echo: Echo,
    /// A new word for a state is told once.
    is_told: AtomicBool,
}

/// How much of a batch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Where it stands: what it runs is known.
    State,
    /// What it runs, too.
    Whole,
}

/// A batch's object as far as it is read; a member of another type than it should have is as good as none.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Object<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    state: Option<&'a RawValue>,
    #[serde(borrow, rename = "appId")]
    app_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    owner: Option<&'a RawValue>,
    #[serde(borrow)]
    log: Option<&'a RawValue>,
    #[serde(borrow)]
    queue: Option<&'a RawValue>,
    #[serde(borrow)]
    cluster_name: Option<&'a RawValue>,
    #[serde(borrow)]
    create_time: Option<&'a RawValue>,
    #[serde(borrow)]
    update_time: Option<&'a RawValue>,
    #[serde(borrow)]
    duration: Option<&'a RawValue>,
    #[serde(borrow)]
    req_body: Option<&'a RawValue>,
}

impl<'a> Object<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        // A list would be taken for members in order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        serde_json::from_slice(bytes).ok()
    }

    /// Its id: a text that is not empty, and could be sent back.
    pub(crate) fn id(&self) -> Option<Cow<'a, str>> {
        self.id.and_then(text).filter(|id| names::is_native_id(id))
    }

    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        self.name.and_then(text)
    }

    pub(crate) fn created(&self) -> Option<Millis> {
        self.create_time.and_then(millis)
    }

    /// The request as JSON. By the reference it stands in a text.
    fn request(&self) -> Option<Cow<'a, str>> {
        let raw = self.req_body?;
        match raw.get().as_bytes().first() {
            Some(b'{') => Some(Cow::Borrowed(raw.get())),
            _ => text(raw),
        }
    }

    /// The ids by which a submit of ours may be known. `None`: it does not show its conf, so nobody can tell.
    pub(crate) fn marks(&self, echo: Echo) -> Option<Vec<Uuid>> {
        let by_name = || {
            let name = self.name()?;
            own_name(&name)?;
            names::batch_id(&name[name.len() - 36..])
        };
        let by_conf = self.request().and_then(|request| marks_of(&request));
        match (echo, by_conf) {
            (Echo::Conf, marks) => marks,
            (Echo::Name, marks) => Some(marks.unwrap_or_default().into_iter().chain(by_name()).collect()),
        }
    }
}

/// The mark in the conf of a request, which is an object, or by older documentation a list of pairs.
fn marks_of(request: &str) -> Option<Vec<Uuid>> {
    let request: serde_json::Value = serde_json::from_str(request).ok()?;
    let marks: Vec<&str> = match request.get("conf")? {
        serde_json::Value::Object(conf) => conf.get(MARK).and_then(|mark| mark.as_str()).into_iter().collect(),
        serde_json::Value::Array(pairs) => {
            let pairs = pairs.iter().filter_map(|pair| pair.as_str()?.split_once('='));
            pairs.filter(|(key, _)| key.trim() == MARK).map(|(_, mark)| mark.trim()).collect()
        }
        _ => return None,
    };
    Some(marks.into_iter().filter_map(names::batch_id).collect())
}

fn millis(value: &RawValue) -> Option<Millis> {
    count(value).and_then(|at| i64::try_from(at).ok()).map(Millis)
}

impl Reader {
    pub(crate) fn new(scope: Scope, echo: Echo) -> Self {
        Self { dialect: DialectName::from(NAME), scope, echo, is_told: AtomicBool::new(false) }
    }

    /// The backend's id of a batch: in its own project the batch's, in others with the project in front.
    pub(crate) fn native_id(&self, project: &Project, batch: &str) -> NativeId {
        match &self.scope.own {
            Some(own) if own == project => batch.into(),
            Some(_) | None => format!("{project}/{batch}").into(),
        }
    }

    /// The batch of this object; the reason why there is none otherwise.
    pub(crate) fn batch(
        &self,
        project: &Project,
        bytes: &[u8],
        extent: Extent,
    ) -> Result<Batch<NativeId>, &'static str> {
        let object = Object::read(bytes).ok_or("it is not what DLI answers")?;
        let id = object.id().ok_or("it has no `id`")?;
        let word = object.state.and_then(text).ok_or("it has no `state`")?;
        self.made(project, bytes, &object, &id, word, extent)
    }

    /// The batch of a create's answer: by its id alone it is one, whatever else is there. By older documentation its status is 201.
    pub(crate) fn created(&self, project: &Project, answer: &Answer) -> Result<Batch<NativeId>, &'static str> {
        let object = Object::read(&answer.body).ok_or("it is not what DLI answers")?;
        let id = object.id().ok_or("it has no `id`")?;
        let word = object.state.and_then(text).unwrap_or(Cow::Borrowed("starting"));
        let mut batch = self.made(project, &answer.body, &object, &id, word, Extent::State)?;
        batch.native = batch.native.map(|native| Native { status: Some(answer.status.as_u16()), ..native });
        Ok(batch)
    }

    fn made(
        &self,
        project: &Project,
        bytes: &[u8],
        object: &Object<'_>,
        id: &str,
        word: Cow<'_, str>,
        extent: Extent,
    ) -> Result<Batch<NativeId>, &'static str> {
        let state = self.state(&word);
        let spec = Arc::new(self.spec(object, extent));
        let mut batch = Batch::new(self.native_id(project, id), state, spec);
        batch.owner = object.owner.and_then(text).map(|owner| Principal::unverified(&*owner));
        batch.project = self.scope.is_clients.then(|| project.clone());
        batch.times = times(object, state);
        batch.app = App { id: object.app_id.and_then(app_id), ..App::default() };
        batch.log_tail = object.log.and_then(texts).unwrap_or_default();
        batch.mark = match extent {
            Extent::State => None,
            Extent::Whole => object.marks(self.echo).unwrap_or_default().first().copied(),
        };
        batch.native = Some(Native {
            dialect: self.dialect.clone(),
            word: word.into_owned(),
            object: self.unmarked(bytes, object),
            status: None,
        });
        Ok(batch)
    }

    fn state(&self, word: &str) -> BatchState {
        state::meant(word).unwrap_or_else(|| {
            if !self.is_told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    word,
                    "a DLI has a word for a state that is not known here; such a batch is taken to live"
                );
            }
            BatchState::Running
        })
    }

    fn spec(&self, object: &Object<'_>, extent: Extent) -> BatchSpec {
        let request = object.request().filter(|_| extent == Extent::Whole);
        let request = request.and_then(|request| request_spec(&request).ok());
        let mut spec = request.unwrap_or_default();
        spec.conf.remove(MARK);
        let queue = object.queue.and_then(text).or_else(|| object.cluster_name.and_then(text));
        spec.queue = queue.map(|queue| queue.to_ascii_lowercase()).or(spec.queue);
        let name = object.name().map(Cow::into_owned).or(spec.name);
        spec.name =
            name.map(|name| self.shown_name(&name).map(str::to_owned).unwrap_or(name)).filter(|name| !name.is_empty());
        spec
    }

    /// The client's own name, where it is another.
    fn shown_name<'a>(&self, wire: &'a str) -> Option<&'a str> {
        match self.echo {
            Echo::Conf => None,
            Echo::Name => own_name(wire),
        }
    }

    /// The object without what the proxy added to the request.
    fn unmarked(&self, bytes: &[u8], object: &Object<'_>) -> Bytes {
        let request = object.req_body.and_then(|raw| self.unmarked_request(raw));
        let name = object.name().and_then(|name| self.shown_name(&name).map(json));
        if request.is_none() && name.is_none() {
            return Bytes::copy_from_slice(bytes);
        }
        let Some(native) = NativeObject::read(bytes) else { return Bytes::copy_from_slice(bytes) };
        let changes = [("name", name), ("req_body", request)];
        let changes: Vec<_> = changes.into_iter().filter_map(|(member, text)| Some((member, text?.into()))).collect();
        native.with(&changes).into()
    }

    /// `None`: there is nothing of ours in it.
    fn unmarked_request(&self, raw: &RawValue) -> Option<String> {
        if self.echo == Echo::Conf && !raw.get().contains(MARK) {
            return None;
        }
        let is_object = raw.get().starts_with('{');
        let request = if is_object { Cow::Borrowed(raw.get()) } else { text(raw)? };
        let members = NativeObject::read(request.as_bytes())?;
        let mut changes: Vec<(&str, Cow<'_, str>)> = Vec::new();
        let conf = members.get("conf").filter(|conf| conf.contains(MARK));
        if let Some(conf) = conf.and_then(|conf| NativeObject::read(conf.as_bytes())) {
            let conf = conf.without(MARK).with(&[]);
            changes.push(("conf", String::from_utf8(conf).ok()?.into()));
        }
        let name = members.get("name").and_then(|name| serde_json::from_str::<String>(name).ok());
        if let Some(own) = name.as_deref().and_then(|name| self.shown_name(name)) {
            changes.push(("name", json(own).into()));
        }
        if changes.is_empty() {
            return None;
        }
        let request = String::from_utf8(members.with(&changes)).ok()?;
        Some(if is_object { request } else { json(&request) })
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// What a request that DLI gives back asks for.
fn request_spec(request: &str) -> Result<BatchSpec, Error> {
    let read = bind::read(request.as_bytes(), DEPTH)?;
    convert::submission(read, Beside::default()).map(|submission| submission.spec)
}

/// The service's own form is a text; by older documentation it is a list.
fn app_id(value: &RawValue) -> Option<String> {
    text(value).map(Cow::into_owned).or_else(|| texts(value)?.into_iter().next()).filter(|id| !id.is_empty())
}

/// `update_time` of what has ended is its end; how long it ran is told in lists only.
fn times(object: &Object<'_>, state: BatchState) -> Times {
    let created = object.created().unwrap_or_default();
    let modified = object.update_time.and_then(millis).unwrap_or(created);
    let ended = state.is_end().then_some(modified).filter(|ended| ended.0 > 0);
    let ran = object.duration.and_then(count).and_then(|ran| i64::try_from(ran).ok()).filter(|ran| *ran > 0);
    let started = ended.zip(ran).map(|(ended, ran)| Millis(ended.0.saturating_sub(ran)).max(created));
    Times { created, started, ended, modified }
}

#[cfg(test)]
mod tests;
