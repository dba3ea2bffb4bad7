//! From a submit to the request that is sent: pure, so that `explain` shows exactly what goes out.
//!
//! What no mapping can say is decided here: which type a program is, what becomes of an archive without a class, what an older server does
//! not take, and that keys of a Kyuubi client's conf are sent as it wrote them.

use std::collections::BTreeMap;

use batchlingua_core::{
    BackendName, BatchKind, BatchSpec, Conf, Error, ErrorKind, Fate, Fault, Field, FieldValue, Intent, Load, Payload,
    Purpose, Result, Treatment,
};
use batchlingua_wire::java::to_vec;
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{
    NAME, convert,
    form::Upload,
    mapping::{ARGS, BATCH_ID, BATCH_NAME, CLASS_NAME, IS_PYTHON, MAPPING, MASTER, RESOURCE},
    settings::BackendSettings,
    version::Version,
};

/// What is sent of a submit.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The JSON, alone or as the first part of a form.
    pub(crate) request: Bytes,
    /// What becomes of each field.
    pub(crate) fates: Vec<Fate>,
}

/// The body of a submit as Kyuubi's own clients write it: members that are not there are left out, since older servers know fewer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    batch_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(serialize_with = "as_map")]
    conf: &'a Conf,
    args: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_resources_map: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    others: BTreeMap<&'a str, &'a RawValue>,
}

fn as_map<S: Serializer>(conf: &Conf, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    conf.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
    map.end()
}

/// What is sent of an intent to a server of this version.
pub(crate) fn plan(intent: &Intent, version: Version, settings: &BackendSettings) -> Result<Planned> {
    let can = Target { backend: &intent.backend, version, is_own: intent.dialect.as_str() == NAME };
    let spec = &*intent.spec;
    let batch_type = can.batch_type(spec)?;
    check_lists(spec)?;
    can.check_master(spec)?;
    let is_python = batch_type == PYTHON;
    let holds = |when: &str| when == IS_PYTHON && is_python;
    let mut load = MAPPING.load_where(spec, &intent.dialect, &settings.paths, &holds)?;
    let (others, written) = can.take_extensions(&mut load)?;
    if version.takes_ids() {
        load.conf.set(BATCH_ID, intent.marker.uuid.to_string());
    }
    let mut uploads = can.uploads(&intent.files, &mut load.fates)?;
    uploads.iter_mut().flat_map(|upload| &mut upload.keys).for_each(|key| *key = written.of(key).to_owned());
    let resource = text(&load, RESOURCE);
    if resource.is_none() {
        return Err(Error::invalid("file", "a batch needs the file that is to run"));
    }
    let class_name = match text(&load, CLASS_NAME) {
        // It has said `""`: without any its submit would not have got here.
        None if can.is_own && !is_python => Some(""),
        given => given,
    };
    let request = Request {
        batch_type,
        resource,
        class_name,
        name: text(&load, BATCH_NAME),
        conf: &load.conf,
        args: list(&load, ARGS),
        extra_resources_map: extra_resources(&uploads),
        others: others.iter().map(|(name, value)| (name.as_str(), &**value)).collect(),
    };
    Ok(Planned { request: to_vec(&request).into(), fates: load.fates })
}

const ARCHIVE: &str = "SPARK";
const PYTHON: &str = "PYSPARK";

fn text<'a>(load: &'a Load, member: &str) -> Option<&'a str> {
    match load.member(member)? {
        FieldValue::Text(text) => Some(text),
        FieldValue::List(_) | FieldValue::Integer(_) => None,
    }
}

fn list<'a>(load: &'a Load, member: &str) -> &'a [String] {
    match load.member(member) {
        Some(FieldValue::List(items)) => items,
        Some(FieldValue::Text(_) | FieldValue::Integer(_)) | None => &[],
    }
}

/// Lists are joined with commas, so no item can have one.
fn check_lists(spec: &BatchSpec) -> Result<()> {
    let lists =
        [("jars", &spec.jars), ("pyFiles", &spec.py_files), ("files", &spec.files), ("archives", &spec.archives)];
    match lists.iter().find(|(_, items)| items.iter().any(|item| item.contains(','))) {
        Some((name, _)) => {
            Err(Error::invalid(*name, format!("a path in '{name}' has a comma, which a Kyuubi would part it at")))
        }
        None => Ok(()),
    }
}

/// The Kyuubi that a submit is for.
struct Target<'a> {
    backend: &'a BackendName,
    version: Version,
    /// Whether the client speaks its dialect.
    is_own: bool,
}

impl Target<'_> {
    fn unsupported(&self, what: impl Into<String>, why: &str) -> Error {
        let what = what.into();
        let message = format!("backend '{}' does not take {what}: {why}", self.backend);
        Error::new(ErrorKind::Unsupported { backend: self.backend.clone(), what }, message)
    }

    fn too_old(&self, what: &str, first: Version) -> Error {
        self.unsupported(what, &format!("it is a Kyuubi {}, and they came with {first}", self.version))
    }

    fn batch_type(&self, spec: &BatchSpec) -> Result<&'static str> {
        match spec.kind {
            BatchKind::Python if self.version.takes_python() => Ok(PYTHON),
            BatchKind::Python => Err(self.too_old("Python programs", Version::IDS)),
            // Its client says what type it is, and how a Kyuubi takes that.
            BatchKind::Jar | BatchKind::R if self.is_own => Ok(ARCHIVE),
            BatchKind::Jar if spec.class_name.as_deref().is_some_and(|class| !class.is_empty()) => Ok(ARCHIVE),
            BatchKind::Jar => Err(Error::invalid(
                CLASS_NAME,
                "a Kyuubi does not look into an archive for its main class: name it in 'className'",
            )),
            BatchKind::R => Err(self.unsupported("R programs", NO_TYPE)),
            BatchKind::Sql => Err(self.unsupported("SQL texts", NO_TYPE)),
            BatchKind::Other => Err(self.unsupported("executables", NO_TYPE)),
        }
    }

    /// A Kyuubi never sees the end of a batch whose master it cannot watch, and cannot end it. Its own clients know that, or learn it as they
    /// would without us; others are spared it.
    fn check_master(&self, spec: &BatchSpec) -> Result<()> {
        if self.is_own || spec.conf.get(MASTER).is_none_or(is_watched) {
            return Ok(());
        }
        let kind = ErrorKind::InvalidRequest { field: "conf".to_owned(), fault: Fault::NotAllowed };
        let message = format!("a Kyuubi cannot watch a batch on such a {MASTER}: leave it out, or name yarn or k8s");
        Err(Error::new(kind, message))
    }

    /// Fields of Kyuubi clients that the model does not know: keys of Kyuubi's own go back into the conf, keys that the front has put `spark.` in
    /// front of are sent as they were written, and members that no Kyuubi knows yet are sent where it passes over what it does not know.
    fn take_extensions(&self, load: &mut Load) -> Result<(Members, AsWritten)> {
        let (mut members, mut written) = (Members::new(), AsWritten::default());
        let unreadable = |name: &str| Error::internal(format!("the extension '{name}' is not what the front writes"));
        for (name, value) in std::mem::take(&mut load.extensions) {
            if convert::is_own_key(&name) {
                let value: String = serde_json::from_str(&value).map_err(|_| unreadable(&name))?;
                load.conf.set(name, value);
            } else if name == convert::AS_WRITTEN {
                written = AsWritten::read(&value).ok_or_else(|| unreadable(&name))?;
                load.conf =
                    load.conf.iter().map(|(key, value)| (written.of(key).to_owned(), value.to_owned())).collect();
            } else if self.version.is_lenient() {
                let value = RawValue::from_string(value).map_err(|_| unreadable(&name))?;
                members.insert(name, value);
            } else if let Some(fate) = load.fates.iter_mut().find(|fate| is_extension(fate, &name)) {
                let why = format!("a Kyuubi {} refuses what it does not know", self.version);
                fate.treatment = Treatment::Computed(format!("not sent: {why}"));
            }
        }
        Ok((members, written))
    }

    fn uploads(&self, files: &[Payload], fates: &mut Vec<Fate>) -> Result<Vec<Upload>> {
        let uploads = Upload::of(files);
        if uploads.is_empty() {
            return Ok(uploads);
        }
        if !self.version.takes_uploads() {
            return Err(self.too_old("uploaded files", Version::IDS));
        }
        let has_extras = uploads.iter().any(|upload| !upload.keys.is_empty());
        if has_extras && !self.version.takes_extra_files() {
            let what = "uploaded files beside the application's";
            return Err(self.too_old(what, Version::EXTRA_FILES));
        }
        if !uploads.iter().any(|upload| upload.is_application) {
            return Err(self.unsupported("uploaded files", "it takes them only together with the file that is to run"));
        }
        tell_uploads(&uploads, fates);
        Ok(uploads)
    }
}

const NO_TYPE: &str = "a Kyuubi runs archives and Python programs as batches";

/// Whether a Kyuubi sees the end of what runs there.
pub(crate) fn is_watched(master: &str) -> bool {
    master == "local" || master.starts_with("yarn") || master.starts_with("k8s")
}

fn is_extension(fate: &Fate, name: &str) -> bool {
    fate.field == Field::Extension && fate.part.as_deref() == Some(name)
}

/// Members that no Kyuubi knows yet.
type Members = BTreeMap<String, Box<RawValue>>;

/// Keys of the conf that the front has put something in front of, each with what its client wrote.
#[derive(Debug, Default)]
struct AsWritten(BTreeMap<String, String>);

impl AsWritten {
    fn read(value: &str) -> Option<Self> {
        let keys: Vec<String> = serde_json::from_str(value).ok()?;
        Some(Self(keys.into_iter().map(|key| (convert::spark_key(&key).into_owned(), key)).collect()))
    }

    fn of<'a>(&'a self, key: &'a str) -> &'a str {
        self.0.get(key).map_or(key, String::as_str)
    }
}

fn tell_uploads(uploads: &[Upload], fates: &mut Vec<Fate>) {
    for upload in uploads {
        let told = |fates: &mut Vec<Fate>, field, part: Option<&String>, how: &str| {
            let treatment = Treatment::Renamed(how.to_owned());
            match fates.iter_mut().find(|fate| fate.field == field && fate.part.as_ref() == part) {
                Some(fate) => fate.treatment = treatment,
                None => fates.push(Fate { field, part: part.cloned(), treatment }),
            }
        };
        if upload.is_application {
            told(fates, Field::File, None, crate::form::RESOURCE_FILE);
        }
        for key in &upload.keys {
            told(fates, Field::Conf, Some(key), "extraResourcesMap");
        }
    }
}

/// Which conf key's list each file is to be added to, in the order of the files.
fn extra_resources(uploads: &[Upload]) -> Option<BTreeMap<String, String>> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for upload in uploads {
        for key in &upload.keys {
            let list = map.entry(key.clone()).or_default();
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&upload.name);
        }
    }
    (!map.is_empty()).then_some(map)
}

/// What a payload is for, where that matters here.
pub(crate) fn keys_of(purpose: &Purpose) -> &[String] {
    match purpose {
        Purpose::Conf(keys) => keys,
        Purpose::Application | Purpose::Unsaid => &[],
    }
}

#[cfg(test)]
mod tests;
