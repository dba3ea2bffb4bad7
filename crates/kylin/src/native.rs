//! A Kylin's own objects on their way to its own clients: as they came, but for what the proxy knows better or the face wants otherwise.
//!
//! A Kylin 5's job is shown in both of its faces, an older one's in the older face; from the one to the other a job goes through the model, as
//! a job of any other platform does.

use std::borrow::Cow;

use batchlingua_core::{Batch, BatchId, Native};
use batchlingua_wire::NativeObject;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    NAME,
    convert::{VERSION, shown_id},
    face::Face,
    state,
};

/// Something in the proxy's words, or as it came.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Words<T> {
    Ours(T),
    Native(Box<RawValue>),
}

/// A job, as much of it as is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A row of a list.
    Row,
    /// With its steps.
    Whole,
}

/// A job as its Kylin has it, in this face.
pub(crate) fn job(batch: &Batch<BatchId>, face: Face, extent: Extent) -> Option<Box<RawValue>> {
    let object = object(batch)?;
    let is_five = object.get("id").is_some();
    let id = shown_id(&batch.id);
    let text = match face {
        // Rows have no steps in this face, and a job that was seen with its steps may be shown as a row.
        Face::V4 if is_five && extent == Extent::Row => object.with(&[("id", json(&id)), ("steps", "[]".into())]),
        Face::V4 if is_five => object.with(&[("id", json(&id))]),
        Face::V2 if is_five => second(&object, &id),
        Face::Legacy if !is_five => object.with(&[("uuid", json(&id))]),
        Face::V4 | Face::V2 | Face::Legacy => return None,
    };
    raw(text)
}

/// A job's steps as a Kylin 5 has them.
pub(crate) fn steps(batch: &Batch<BatchId>) -> Option<Box<RawValue>> {
    let object = object(batch).filter(|object| object.get("id").is_some())?;
    // A list of jobs has none of any job.
    let steps = object.get("steps").filter(|_| !batch.steps.is_empty())?;
    RawValue::from_string(steps.to_owned()).ok()
}

/// The short log of a step as its Kylin has it: null where there is none.
pub(crate) fn output(native: Option<&Native>) -> Option<Box<RawValue>> {
    let native = native.filter(|native| native.dialect.as_str() == NAME)?;
    let text = NativeObject::read(&native.object)?.get("cmd_output")?.to_owned();
    RawValue::from_string(text).ok()
}

/// Only where the job stands as its Kylin says: a state that is further on is said in the proxy's words.
fn object(batch: &Batch<BatchId>) -> Option<NativeObject<'_>> {
    let native = batch.native.as_ref().filter(|native| native.dialect.as_str() == NAME)?;
    // A word that nobody knows is a job that lives.
    let is_its_state = state::meant(&native.word).map_or(!batch.state.is_end(), |meant| meant == batch.state);
    NativeObject::read(&native.object).filter(|_| is_its_state)
}

/// As the face for older clients has it: with members more, of which each says once more what another one does.
fn second(object: &NativeObject<'_>, id: &str) -> Vec<u8> {
    let text = |name: &str| Cow::Owned(object.get(name).unwrap_or("null").to_owned());
    let version =
        object.get("version").filter(|version| *version != "null").map_or(json(VERSION), |it| it.to_owned().into());
    let changes = [
        ("id", json(id)),
        ("steps", waiting(object.get("steps").unwrap_or("[]")).into()),
        ("version", version),
        ("project_name", text("project")),
        ("related_cube", text("target_subject")),
        ("display_cube_name", text("target_subject")),
        ("uuid", json(id)),
        ("type", "null".into()),
        ("name", text("job_name")),
        ("exec_interrupt_time", "0".into()),
        ("mr_waiting", text("wait_time")),
    ];
    object.with(&changes)
}

/// Steps that say their time of waiting twice.
fn waiting(steps: &str) -> String {
    let Ok(steps) = serde_json::from_str::<Vec<NativeObject<'_>>>(steps) else { return "[]".to_owned() };
    let each = steps.iter().map(|step| {
        let wait = step.get("wait_time").unwrap_or("0");
        String::from_utf8(step.with(&[("exec_wait_time", wait.into())])).expect("it was text before")
    });
    format!("[{}]", each.collect::<Vec<_>>().join(","))
}

fn json(text: &str) -> Cow<'static, str> {
    to_raw_value(text).expect("a text can be written as JSON").get().to_owned().into()
}

fn raw(bytes: Vec<u8>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(bytes).ok()?).ok()
}
