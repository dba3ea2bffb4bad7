//! From a batch to the body of a create.
//!
//! The table of [`crate::mapping`] says where each field goes; what is made here is what no table can say: a queue and a name as DLI can have
//! them, units, a letter for a size, what clients of YARN say of retries. A DLI client's create goes on as it came, in the one spelling that
//! the reference has; what it leaves out is DLI's to fill.

use std::borrow::Cow;

use batchlingua_core::{
    BackendName, BatchKind, BatchSpec, Error, ErrorKind, Fate, Fault, Field, FieldValue, Intent, Load, Marker, Result,
    Size, Treatment,
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    NAME,
    convert::{NAME_LENGTH, kept},
    echo::Pairs,
    mapping::{ARCHIVES, MAPPING, MARK, YARN_ATTEMPTS, YARN_QUEUE},
    names,
    settings::{BackendSettings, Echo},
    sizes,
};

/// What stands between a client's name and our id, where the name is what a batch is marked by.
const NAME_MARK: &str = "bl-";
/// The most retries that DLI takes.
const MOST_RETRIES: u32 = 100;

/// A create.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) body: Vec<u8>,
    pub(crate) fates: Vec<Fate>,
}

/// The name that a batch has on the wire.
pub(crate) fn wire_name(name: Option<&str>, marker: &Marker, echo: Echo) -> Option<String> {
    let name = name.filter(|name| !name.is_empty());
    match (echo, name) {
        (Echo::Conf, name) => name.map(|name| cut(name, NAME_LENGTH)),
        (Echo::Name, None) => Some(format!("{NAME_MARK}{}", marker.uuid)),
        (Echo::Name, Some(name)) => {
            let mark = format!("-{NAME_MARK}{}", marker.uuid);
            Some(cut(name, NAME_LENGTH - mark.len()) + &mark)
        }
    }
}

/// The name without our mark, if it has one. Empty: it had no other.
pub(crate) fn own_name(wire: &str) -> Option<&str> {
    let at = wire.len().checked_sub(36).filter(|at| wire.is_char_boundary(*at))?;
    names::batch_id(&wire[at..])?;
    let name = wire[..at].strip_suffix(NAME_MARK)?;
    if name.is_empty() { Some(name) } else { name.strip_suffix('-') }
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// Makes the create of an intent.
pub(crate) fn plan(settings: &BackendSettings, backend: &BackendName, intent: &Intent) -> Result<Made> {
    let maker = Maker { settings, backend, intent, is_own: intent.dialect.as_str() == NAME };
    settings.scope.for_batch(intent.project.as_ref(), backend)?;
    let spec = maker.spec();
    if !maker.is_own {
        maker.check_kind(&spec)?;
        maker.check_files(&spec)?;
    }
    let mut load = MAPPING.load(&spec, &intent.dialect, &settings.paths.map)?;
    let mut body = Body::default();
    maker.members(&mut body, &spec, &mut load)?;
    maker.archives(&mut body, &spec, &mut load);
    load.conf.set(MARK, intent.marker.uuid.to_string());
    body.add("conf", &Pairs(&load.conf));
    if maker.is_own {
        for (name, value) in std::mem::take(&mut load.extensions) {
            body.add_raw(name, value)?;
        }
    } else {
        maker.add_unsaid(&mut body, &spec);
    }
    let body = serde_json::to_vec(&body).expect("texts and JSON texts make JSON");
    Ok(Made { body, fates: load.fates })
}

struct Maker<'a> {
    settings: &'a BackendSettings,
    backend: &'a BackendName,
    intent: &'a Intent,
    /// The client is one of DLI: it has said what it means.
    is_own: bool,
}

impl Maker<'_> {
    /// Of a letter the front has made numbers, for platforms without letters; here the letter goes on.
    fn spec(&self) -> Cow<'_, BatchSpec> {
        let spec = &*self.intent.spec;
        if !self.is_own || kept(spec, "sc_type").is_none() {
            return Cow::Borrowed(spec);
        }
        let (driver, executor) = (Size::default(), Size::default());
        Cow::Owned(BatchSpec { driver, executor, executors: None, ..spec.clone() })
    }

    fn check_kind(&self, spec: &BatchSpec) -> Result<()> {
        let unsupported = |what: &str| {
            let kind = ErrorKind::Unsupported { backend: self.backend.clone(), what: what.to_owned() };
            Err(Error::new(kind, format!("backend '{}' is a DLI, which does not run {what}", self.backend)))
        };
        match spec.kind {
            BatchKind::Jar => Ok(()),
            BatchKind::Python => match &spec.file {
                // It goes by the name alone.
                Some(file) if !file.to_ascii_lowercase().ends_with(".py") => {
                    Err(self.refused("file", "DLI takes a program for one in Python only if its name ends with .py"))
                }
                Some(_) | None => Ok(()),
            },
            BatchKind::R => unsupported("programs in R"),
            BatchKind::Sql => unsupported("SQL as a batch"),
            BatchKind::Other => unsupported("programs that are neither archives nor Python"),
        }
    }

    /// A path that means nothing there would fail the job after minutes.
    fn check_files(&self, spec: &BatchSpec) -> Result<()> {
        if !self.intent.files.is_empty() {
            // It is refused for its uploads, in words that tell what to do about that.
            return Ok(());
        }
        let file = spec.file.as_deref().filter(|file| !file.is_empty());
        let file = file.ok_or_else(|| self.refused("file", "DLI needs an application file"))?;
        let lists =
            [("jars", &spec.jars), ("py_files", &spec.py_files), ("files", &spec.files), ("archives", &spec.archives)];
        let listed = lists.into_iter().flat_map(|(field, list)| list.iter().map(move |path| (field, path.as_str())));
        for (field, path) in [("file", file)].into_iter().chain(listed) {
            if !is_in_reach(&self.settings.paths.apply(path)) && !self.settings.paths.covers(path) {
                let message = format!(
                    "'{field}' must name what DLI can read: obs://… or a package that was uploaded to it; or have the operator say in \
                     `paths` of backend '{}' where such files are in OBS",
                    self.backend
                );
                return Err(self.refused(field, &message));
            }
        }
        Ok(())
    }

    fn refused(&self, field: &str, message: &str) -> Error {
        let kind = ErrorKind::InvalidRequest { field: field.to_owned(), fault: Fault::NotAllowed };
        Error::new(kind, message)
    }

    /// The members that the table names, as DLI takes them.
    fn members(&self, body: &mut Body, spec: &BatchSpec, load: &mut Load) -> Result<()> {
        let (queue, queue_fate) = self.queue(spec)?;
        if let Some(fate) = queue_fate {
            tell(&mut load.fates, Field::Queue, fate);
        }
        let name = wire_name(spec.name.as_deref(), &self.intent.marker, self.settings.echo);
        if let (Some(given), Some(sent)) = (spec.name.as_deref(), &name)
            && given != sent
        {
            let how = match self.settings.echo {
                Echo::Conf => format!("cut to {NAME_LENGTH} characters"),
                Echo::Name => "with the proxy's id at its end, by which the batch is found again".to_owned(),
            };
            tell(&mut load.fates, Field::Name, Treatment::Computed(how));
        }
        let mut has_class = false;
        for (member, value) in std::mem::take(&mut load.members) {
            has_class |= member == "className";
            match value {
                // Both may be there although the client gave none.
                FieldValue::Text(_) if matches!(member, "queue" | "name") => {}
                FieldValue::Text(text) if !self.is_own && matches!(member, "driverMemory" | "executorMemory") => {
                    let sent = sizes::with_unit(&text);
                    if sent != text {
                        let field = if member == "driverMemory" { Field::DriverMemory } else { Field::ExecutorMemory };
                        tell(&mut load.fates, field, Treatment::Computed(format!("sent as {sent}")));
                    }
                    body.add(member, &sent);
                }
                FieldValue::Text(text) => body.add(member, &text),
                FieldValue::List(items) => body.add(member, &items),
                FieldValue::Integer(number) => body.add(member, &number),
            }
        }
        if !has_class {
            // DLI's own clients always send one.
            body.add("className", "");
        }
        queue.iter().for_each(|queue| body.add("queue", queue));
        name.iter().for_each(|name| body.add("name", name));
        Ok(())
    }

    /// The queue, and what became of the one that was asked for if it is another.
    fn queue(&self, spec: &BatchSpec) -> Result<(Option<String>, Option<Treatment>)> {
        let queues = &self.settings.queues;
        let of_yarn = || spec.conf.get(YARN_QUEUE).filter(|_| !self.is_own);
        let given = spec.queue.as_deref().or_else(of_yarn).filter(|queue| !queue.is_empty());
        let Some(given) = given else {
            return match &queues.default {
                // By today's documentation DLI can do without.
                None if !self.is_own => {
                    let message = format!(
                        "DLI runs a batch in one of its queues: name one, or have the operator set `queue` of backend '{}'",
                        self.backend
                    );
                    Err(self.refused("queue", &message))
                }
                default => Ok((default.clone(), None)),
            };
        };
        let mapped = queues.names.get(given).or_else(|| queues.names.get(&given.to_ascii_lowercase()));
        match (mapped, names::queue(given), &queues.default) {
            (Some(mapped), ..) => {
                Ok((Some(mapped.clone()), Some(Treatment::Computed(format!("it is '{mapped}' there (queues)")))))
            }
            (None, Some(same), _) if same == given => Ok((Some(same), None)),
            (None, Some(small), _) => Ok((Some(small), Some(Treatment::Computed("in small letters".to_owned())))),
            (None, None, Some(default)) => {
                let why = format!("DLI can have no queue of this name, so it runs in '{default}'");
                Ok((Some(default.clone()), Some(Treatment::NotCarried(why))))
            }
            (None, None, None) => {
                let message = format!(
                    "DLI can have no queue '{given}': a queue's name has {}; name another, or have the operator say in `queues` of backend \
                     '{}' which one it is",
                    names::QUEUE_RULE,
                    self.backend
                );
                Err(self.refused("queue", &message))
            }
        }
    }

    fn archives(&self, body: &mut Body, spec: &BatchSpec, load: &mut Load) {
        if spec.archives.is_empty() {
            return;
        }
        let archives: Vec<_> = spec.archives.iter().map(|path| self.settings.paths.apply(path)).collect();
        if self.is_own {
            body.add("archives", &archives);
            let treatment = if archives == spec.archives { Treatment::Carried } else { by_paths() };
            return tell(&mut load.fates, Field::Archives, treatment);
        }
        let kept = load.conf.get(ARCHIVES).filter(|kept| !kept.is_empty()).map(str::to_owned);
        load.conf.set(ARCHIVES, archives.into_iter().chain(kept).collect::<Vec<_>>().join(","));
        tell(&mut load.fates, Field::Archives, Treatment::IntoConf(ARCHIVES.to_owned()));
    }

    /// What a client of another dialect has no member for.
    fn add_unsaid(&self, body: &mut Body, spec: &BatchSpec) {
        for (name, value) in &self.settings.defaults {
            if *name != "sc_type" || !sizes::any(spec) {
                body.add(name, value);
            }
        }
        let attempts = spec.conf.get(YARN_ATTEMPTS).and_then(|attempts| attempts.trim().parse::<u32>().ok());
        if let Some(attempts) = attempts.filter(|attempts| *attempts > 1) {
            body.add("auto_recovery", &true);
            body.add("max_retry_times", &(attempts - 1).min(MOST_RETRIES));
        }
    }
}

fn by_paths() -> Treatment {
    Treatment::Computed("its path is another one there (paths)".to_owned())
}

/// In OBS, or a package's name.
fn is_in_reach(path: &str) -> bool {
    let scheme = path.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains('/'));
    match scheme {
        Some(scheme) => scheme.eq_ignore_ascii_case("obs"),
        None => !path.starts_with('/'),
    }
}

fn tell(fates: &mut Vec<Fate>, field: Field, treatment: Treatment) {
    match fates.iter_mut().find(|fate| fate.field == field && fate.part.is_none()) {
        Some(fate) => fate.treatment = treatment,
        None => fates.push(Fate { field, part: None, treatment }),
    }
}

/// The members of a create, in order.
#[derive(Default)]
struct Body(Vec<(Cow<'static, str>, Box<RawValue>)>);

impl Body {
    fn add(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.0.push((name.into(), to_raw_value(value).expect("texts, lists and numbers make JSON")));
    }

    /// A value as a DLI client wrote it.
    fn add_raw(&mut self, name: String, json: String) -> Result<()> {
        let value = RawValue::from_string(json).map_err(|fault| {
            Error::invalid(&name, format!("'{name}' cannot be sent on: it is no JSON")).caused_by(fault)
        })?;
        self.0.push((name.into(), value));
        Ok(())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
