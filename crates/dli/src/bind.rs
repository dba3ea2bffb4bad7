//! From the bytes of a create to its members.
//!
//! The document is gone through once; of a doubled member the last counts. What is wrong is told by the name that the client used for it.

use std::{borrow::Cow, collections::HashMap};

use batchlingua_core::{Conf, Error, Result};
use batchlingua_wire::{JsonFault, JsonFaultKind, Kind, Value, check_depth, decode_text};

use crate::dto::CreateBatch;

/// Most of Spark's and DLI's counts; more is a mistake.
const MOST: i64 = i32::MAX as i64;
/// Of retries.
const MOST_RETRIES: i64 = 100;

/// What a member of which only the shape is looked at must be.
#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    List,
    Flag,
    Count(i64),
    Packages,
    Groups,
}

/// Members that the model has no place for: what they are kept as, how else they are spelled, and what they must be.
const KEPT: [(&str, &str, Shape); 13] = [
    ("modules", "modules", Shape::List),
    ("resources", "resources", Shape::Packages),
    ("groups", "groups", Shape::Groups),
    ("modelFiles", "modelFiles", Shape::List),
    ("auto_recovery", "autoRecovery", Shape::Flag),
    ("max_retry_times", "maxRetryTimes", Shape::Count(MOST_RETRIES)),
    ("minRecoveryDelayTime", "minRecoveryDelayTime", Shape::Count(MOST)),
    ("feature", "feature", Shape::Text),
    ("spark_version", "spark_version", Shape::Text),
    ("image", "image", Shape::Text),
    ("obs_bucket", "obs_bucket", Shape::Text),
    ("catalog_name", "catalog_name", Shape::Text),
    ("execution_agency_urn", "execution_agency_urn", Shape::Text),
];

/// Reads a body, nested `max_depth` deep at most.
pub(crate) fn read(bytes: &[u8], max_depth: usize) -> Result<CreateBatch> {
    let text = decode_text(bytes).map_err(|fault| no_json(&fault))?;
    check_depth(&text, max_depth).map_err(|fault| no_json(&fault))?;
    let value = Value::parse(&text).map_err(|fault| no_json(&fault))?;
    if !value.rest().trim().is_empty() {
        return Err(Error::invalid("body", "the body must be one JSON object: something follows it"));
    }
    if value.kind() != Kind::Object {
        return Err(Error::invalid("body", format!("the body must be a JSON object, not {}", what(value))));
    }
    Reader::of(value)?.create()
}

fn no_json(fault: &JsonFault) -> Error {
    match fault.kind {
        JsonFaultKind::Empty => Error::invalid("body", "the body is empty: it must be a JSON object"),
        JsonFaultKind::Syntax | JsonFaultKind::Truncated | JsonFaultKind::TooDeep | JsonFaultKind::Encoding => {
            Error::invalid("body", format!("the body must be a JSON object: {fault}"))
        }
    }
}

/// A member, as the client spelled it.
struct Given<'a> {
    name: &'static str,
    value: Value<'a>,
}

struct Reader<'a> {
    /// With their places.
    members: HashMap<Cow<'a, str>, (usize, Value<'a>)>,
}

impl<'a> Reader<'a> {
    fn of(value: Value<'a>) -> Result<Self> {
        let members = value.members().map_err(|fault| no_json(&fault))?.0;
        let members = members.into_iter().enumerate().map(|(at, member)| (member.name, (at, member.value)));
        Ok(Self { members: members.collect() })
    }

    fn create(mut self) -> Result<CreateBatch> {
        let feature = self.peek_text("feature")?;
        let image = self.peek_text("image")?;
        Ok(CreateBatch {
            file: self.text("file", "file")?,
            class_name: self.text("className", "class_name")?,
            queue: self.text("queue", "queue")?,
            cluster_name: self.text("cluster_name", "cluster_name")?,
            args: self.list("args", "args")?,
            sc_type: self.text("sc_type", "sc_type")?,
            jars: self.list("jars", "jars")?,
            py_files: self.list("pyFiles", "python_files")?,
            files: self.list("files", "files")?,
            archives: self.list("archives", "archives")?,
            conf: self.pairs("conf")?,
            name: self.text("name", "name")?,
            driver_memory: self.text("driverMemory", "driver_memory")?,
            driver_cores: self.size("driverCores", "driver_cores")?,
            executor_memory: self.text("executorMemory", "executor_memory")?,
            executor_cores: self.size("executorCores", "executor_cores")?,
            num_executors: self.size("numExecutors", "num_executors")?,
            feature,
            image,
            kept: self.kept()?,
        })
    }

    /// The member in the one or the other spelling; null is none.
    fn take(&mut self, camel: &'static str, snake: &'static str) -> Option<Given<'a>> {
        #[cfg(test)]
        ASKED.with_borrow_mut(|asked| asked.extend([camel, snake]));
        let mut found = |name: &'static str| {
            let (_, value) = self.members.remove(name)?;
            (value.kind() != Kind::Null).then_some(Given { name, value })
        };
        let (first, second) = (found(camel), found(snake));
        first.or(second)
    }

    fn text(&mut self, camel: &'static str, snake: &'static str) -> Result<Option<String>> {
        let Some(given) = self.take(camel, snake) else { return Ok(None) };
        let text = text(given.name, given.value)?;
        Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
    }

    /// One that is kept as well.
    fn peek_text(&self, name: &'static str) -> Result<Option<String>> {
        match self.members.get(name) {
            Some((_, value)) if value.kind() != Kind::Null => {
                Ok(Some(text(name, *value)?.into_owned()).filter(|text| !text.is_empty()))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn list(&mut self, camel: &'static str, snake: &'static str) -> Result<Vec<String>> {
        let Some(given) = self.take(camel, snake) else { return Ok(Vec::new()) };
        texts(given.name, given.value)
    }

    /// A count of which 0 says as much as its absence.
    fn size(&mut self, camel: &'static str, snake: &'static str) -> Result<Option<i64>> {
        let Some(given) = self.take(camel, snake) else { return Ok(None) };
        Ok(Some(count(given.name, given.value, MOST)?).filter(|count| *count > 0))
    }

    fn pairs(&mut self, name: &'static str) -> Result<Conf> {
        let Some(Given { value, .. }) = self.take(name, name) else { return Ok(Conf::default()) };
        if value.kind() != Kind::Object {
            return Err(wrong(name, "an object of texts", value));
        }
        let pairs = value.members().map_err(|fault| no_json(&fault))?.0.into_iter().map(|pair| {
            let text = match pair.value.kind() {
                Kind::Text => text(&pair.name, pair.value)?.into_owned(),
                Kind::Bool | Kind::Integer | Kind::Float => pair.value.raw().to_owned(),
                Kind::Null | Kind::Array | Kind::Object => {
                    return Err(wrong(&format!("conf.{}", pair.name), "a text", pair.value));
                }
            };
            Ok((pair.name.into_owned(), text))
        });
        pairs.collect()
    }

    /// What the model has no place for: the known ones, then the unknown ones in the client's order. What says nothing is left out.
    fn kept(mut self) -> Result<Vec<(String, String)>> {
        let mut kept = Vec::new();
        for (name, other, shape) in KEPT {
            let Some(given) = self.take(other, name) else { continue };
            check(shape, given.name, given.value)?;
            if !is_nothing(shape, given.value) {
                kept.push((name.to_owned(), given.value.raw().to_owned()));
            }
        }
        let mut unknown: Vec<_> =
            self.members.into_iter().filter(|(_, (_, value))| value.kind() != Kind::Null).collect();
        unknown.sort_unstable_by_key(|(_, (at, _))| *at);
        kept.extend(unknown.into_iter().map(|(name, (_, value))| (name.into_owned(), value.raw().to_owned())));
        Ok(kept)
    }
}

fn check(shape: Shape, name: &str, value: Value<'_>) -> Result<()> {
    match shape {
        Shape::Text => text(name, value).map(drop),
        Shape::List => texts(name, value).map(drop),
        Shape::Flag if value.kind() == Kind::Bool => Ok(()),
        Shape::Flag => Err(wrong(name, "true or false", value)),
        Shape::Count(most) => count(name, value, most).map(drop),
        Shape::Packages => packages(name, value),
        Shape::Groups => objects(name, value, |name, member, value| match member {
            "name" => text(name, value).map(drop),
            "resources" => packages(name, value),
            _ => Ok(()),
        }),
    }
}

fn packages(name: &str, value: Value<'_>) -> Result<()> {
    objects(name, value, |name, member, value| match member {
        "name" | "type" => text(name, value).map(drop),
        _ => Ok(()),
    })
}

/// An array of objects, of each of which the members are checked.
fn objects(name: &str, value: Value<'_>, member: impl Fn(&str, &str, Value<'_>) -> Result<()>) -> Result<()> {
    for (at, item) in items(name, "a list of objects", value)?.into_iter().enumerate() {
        let place = format!("{name}[{at}]");
        if item.kind() != Kind::Object {
            return Err(wrong(&place, "an object", item));
        }
        for found in item.members().map_err(|fault| no_json(&fault))?.0 {
            if found.value.kind() != Kind::Null {
                member(&format!("{place}.{}", found.name), &found.name, found.value)?;
            }
        }
    }
    Ok(())
}

/// Whether a value of the right shape says no more than its absence would.
fn is_nothing(shape: Shape, value: Value<'_>) -> bool {
    match shape {
        Shape::Text => value.raw() == "\"\"",
        Shape::List | Shape::Packages | Shape::Groups => value.items().is_ok_and(|items| items.is_empty()),
        Shape::Flag => value.raw() == "false",
        Shape::Count(_) => false,
    }
}

fn items<'a>(name: &str, wanted: &str, value: Value<'a>) -> Result<Vec<Value<'a>>> {
    if value.kind() != Kind::Array {
        return Err(wrong(name, wanted, value));
    }
    value.items().map_err(|fault| no_json(&fault))
}

fn texts(name: &str, value: Value<'_>) -> Result<Vec<String>> {
    let items = items(name, "a list of texts", value)?.into_iter().enumerate();
    items.map(|(at, item)| text(&format!("{name}[{at}]"), item).map(Cow::into_owned)).collect()
}

fn text<'a>(name: &str, value: Value<'a>) -> Result<Cow<'a, str>> {
    if value.kind() != Kind::Text {
        return Err(wrong(name, "a text", value));
    }
    value.text().map_err(|fault| Error::invalid(name, format!("'{name}' cannot be read: {fault}")))
}

fn count(name: &str, value: Value<'_>, most: i64) -> Result<i64> {
    let read = (value.kind() == Kind::Integer).then(|| value.raw().parse().ok()).flatten();
    let in_bounds = read.filter(|count| (0..=most).contains(count));
    in_bounds.ok_or_else(|| wrong(name, &format!("a whole number from 0 to {most}"), value))
}

fn wrong(name: &str, wanted: &str, value: Value<'_>) -> Error {
    Error::invalid(name, format!("'{name}' must be {wanted}, not {}", what(value)))
}

/// What a value is, for a message. Never a text's content, which may be a secret.
fn what(value: Value<'_>) -> Cow<'static, str> {
    match value.kind() {
        Kind::Null => "null".into(),
        Kind::Bool => value.raw().to_owned().into(),
        Kind::Integer | Kind::Float if value.raw().len() <= 24 => value.raw().to_owned().into(),
        Kind::Integer | Kind::Float => "a number of so many digits".into(),
        Kind::Text => "a text".into(),
        Kind::Array => "a list".into(),
        Kind::Object => "an object".into(),
    }
}

#[cfg(test)]
std::thread_local! {
    /// What a reader has asked for.
    static ASKED: std::cell::RefCell<Vec<&'static str>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Every member that a body is asked for.
#[cfg(test)]
pub(crate) fn members() -> impl Iterator<Item = &'static str> {
    ASKED.take();
    read(b"{}", 1).expect("every member may be missing here");
    ASKED.take().into_iter()
}
