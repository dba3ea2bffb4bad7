//! The body of a submit, from the mapping's table: only members that Livy knows, counts as integers, nothing null and no empty name.

use batchlingua_core::{
    BackendName, BatchKind, Error, ErrorKind, Fate, Field, FieldValue, Intent, Load, Marker, PathMap, Plan, Result,
    Treatment,
};
use batchlingua_wire::NativeObject;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{NAME, mapping::MAPPING, names};

/// What a plan depends on beside its intent.
pub(crate) struct Planner<'a> {
    pub(crate) backend: &'a BackendName,
    pub(crate) paths: &'a PathMap,
    /// Whether batches can be found by their names there.
    pub(crate) has_names: bool,
}

impl Planner<'_> {
    pub(crate) fn plan(&self, mut intent: Intent) -> Result<Plan> {
        self.check(&intent)?;
        let mut load = MAPPING.load(&intent.spec, &intent.dialect, self.paths)?;
        intent.marker.name = if self.has_names { Some(mark(&mut load, &intent)) } else { None };
        let request = body(&load)?;
        Ok(Plan { intent, request, fates: load.fates })
    }

    fn check(&self, intent: &Intent) -> Result<()> {
        let what = match intent.spec.kind {
            BatchKind::Jar | BatchKind::Python | BatchKind::R => None,
            BatchKind::Sql => Some("SQL files"),
            BatchKind::Other => Some("programs that are neither a JAR nor Python nor R"),
        };
        if let Some(what) = what {
            let kind = ErrorKind::Unsupported { backend: self.backend.clone(), what: what.to_owned() };
            return Err(Error::new(kind, format!("backend '{}' is a Livy, which does not run {what}", self.backend)));
        }
        // An uploaded one is refused, or put somewhere, by who knows where to.
        let is_uploaded = !intent.files.is_empty();
        match intent.spec.file.as_deref() {
            None | Some("") if !is_uploaded => Err(Error::invalid("file", "a batch must name the file that it runs")),
            Some(_) | None => Ok(()),
        }
    }
}

/// The name by which it will be found, which is sent as its own.
fn mark(load: &mut Load, intent: &Intent) -> String {
    let given = intent.spec.name.as_deref();
    // What a Livy's own client says is the Livy's to judge.
    let is_kept = |name: &&str| intent.dialect.as_str() == NAME || names::is_addressable(name);
    if let Some(name) = given.filter(is_kept) {
        return name.to_owned();
    }
    let made = names::made(intent.marker.uuid);
    load.members.retain(|(member, _)| *member != "name");
    load.members.push(("name", FieldValue::Text(made.clone())));
    for fate in load.fates.iter_mut().filter(|fate| fate.field == Field::Name) {
        *fate = Fate {
            treatment: Treatment::Computed(format!("Livy takes no such name: it is '{made}' there")),
            ..fate.clone()
        };
    }
    made
}

fn body(load: &Load) -> Result<Bytes> {
    let mut body = Map::new();
    for (name, value) in &load.members {
        let value = match value {
            FieldValue::Text(text) if text.is_empty() && *name == "name" => continue,
            FieldValue::Text(text) => Value::from(text.as_str()),
            FieldValue::List(items) => Value::from(items.as_slice()),
            FieldValue::Integer(count) => Value::from(i32::try_from(*count).map_err(|_| too_large(name, *count))?),
        };
        body.insert((*name).to_owned(), value);
    }
    if !load.conf.is_empty() {
        let conf: Map<String, Value> =
            load.conf.iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
        body.insert("conf".to_owned(), Value::Object(conf));
    }
    let body = serde_json::to_vec(&body).map_err(Error::internal)?;
    if load.extensions.is_empty() {
        return Ok(body.into());
    }
    let own: Vec<_> = load.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str().into())).collect();
    let object = NativeObject::read(&body).ok_or_else(|| Error::internal("a body that is no object"))?;
    Ok(object.with(&own).into())
}

/// Livy answers a larger one with an exception, and keeps a record of the batch.
fn too_large(member: &str, count: i64) -> Error {
    Error::invalid(member, format!("{member} is {count}, and a Livy takes 32-bit integers only"))
}

/// The same submit under the name that is sent where the first one is taken.
pub(crate) fn renamed(request: &Bytes, marker: &Marker) -> Option<Bytes> {
    let name = serde_json::to_string(&marker.second_name()?).ok()?;
    let object = NativeObject::read(request)?;
    Some(object.with(&[("name", name.into())]).into())
}

#[cfg(test)]
mod tests;
