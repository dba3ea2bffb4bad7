//! `req_body`: the request of a batch once more, as JSON in a text. Clients recover a job's definition from it.
//!
//! It is made from the batch as the ledger keeps it: in the one spelling that DLI echoes, its secrets masked, and the same for a batch that
//! came by another dialect. Lists that are empty are there, as in the service's own; sizes are there where the batch has sizes of its own.

use batchlingua_core::{BatchSpec, Conf};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::{NAME, convert::kept};

/// What is echoed under another name than it is kept by.
const RENAMED: [(&str, &str); 2] = [("auto_recovery", "autoRecovery"), ("max_retry_times", "maxRetryTimes")];
/// What is always there, as a list.
const LISTS: [&str; 4] = ["modelFiles", "resources", "modules", "groups"];

/// The text.
pub(crate) fn text(spec: &BatchSpec) -> String {
    serde_json::to_string(&Echo(spec)).expect("texts and JSON texts make JSON")
}

struct Echo<'a>(&'a BatchSpec);

impl Serialize for Echo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let spec = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", spec.file.as_deref().unwrap_or_default())?;
        map.serialize_entry("className", spec.class_name.as_deref().unwrap_or_default())?;
        let lists = [("args", &spec.args), ("jars", &spec.jars), ("pyFiles", &spec.py_files), ("files", &spec.files)];
        for (name, list) in lists {
            map.serialize_entry(name, list)?;
        }
        for name in LISTS {
            raw(&mut map, name, kept(spec, name).unwrap_or("[]"))?;
        }
        map.serialize_entry("archives", &spec.archives)?;
        let queue = spec.queue.as_deref().unwrap_or_default().to_ascii_lowercase();
        map.serialize_entry("queue", &queue)?;
        map.serialize_entry("name", spec.name.as_deref().unwrap_or_default())?;
        map.serialize_entry("conf", &Pairs(&spec.conf))?;
        // What a letter stands for was not in the request.
        if kept(spec, "sc_type").is_none() {
            sizes(&mut map, spec)?;
        }
        let own = spec.extensions.iter().filter(|extension| extension.dialect.as_str() == NAME);
        for extension in own.filter(|extension| !LISTS.contains(&extension.name.as_str())) {
            let renamed = RENAMED.iter().find(|(name, _)| *name == extension.name);
            raw(&mut map, renamed.map_or(&*extension.name, |(_, echoed)| echoed), &extension.value)?;
        }
        map.end()
    }
}

fn sizes<M: SerializeMap>(map: &mut M, spec: &BatchSpec) -> Result<(), M::Error> {
    for (name, memory) in [("driverMemory", &spec.driver.memory), ("executorMemory", &spec.executor.memory)] {
        if let Some(memory) = memory {
            map.serialize_entry(name, memory)?;
        }
    }
    let counts =
        [("driverCores", spec.driver.cores), ("executorCores", spec.executor.cores), ("numExecutors", spec.executors)];
    for (name, count) in counts {
        if let Some(count) = count {
            map.serialize_entry(name, &count)?;
        }
    }
    Ok(())
}

/// A value as the client wrote it.
fn raw<M: SerializeMap>(map: &mut M, name: &str, json: &str) -> Result<(), M::Error> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(value) => map.serialize_entry(name, value),
        // Kept as JSON text; what masking has made of it need not be any.
        Err(_) => map.serialize_entry(name, json),
    }
}

/// A conf as an object.
pub(crate) struct Pairs<'a>(pub(crate) &'a Conf);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}
