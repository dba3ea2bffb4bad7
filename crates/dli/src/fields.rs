//! Every field of a create, and what it means in the model.

use batchlingua_core::{BatchSpec, Field, FieldClass};
use batchlingua_wire::{Meaning, WireField};

use crate::convert::kept;

const fn of(name: &'static str, field: Field) -> WireField {
    noted(name, field, "")
}

const fn noted(name: &'static str, field: Field, note: &'static str) -> WireField {
    WireField { name, meaning: Meaning::Field(field), note }
}

const fn own(name: &'static str, loss: Option<FieldClass>, note: &'static str) -> WireField {
    WireField { name, meaning: Meaning::Own(loss), note }
}

const fn proxy(name: &'static str, note: &'static str) -> WireField {
    WireField { name, meaning: Meaning::Proxy, note }
}

const PLACED: Option<FieldClass> = Some(FieldClass::Placement);
const ESSENTIAL: Option<FieldClass> = Some(FieldClass::Essential);
const OLDER: &str = "the older spelling";
const RETRIES: &str = "means something with `auto_recovery` only";

/// What stands for all members that nobody knows.
const OTHERS: &str = "(other members)";

pub(crate) static FIELDS: [WireField; 46] = [
    of("file", Field::File),
    of("className", Field::ClassName),
    noted("class_name", Field::ClassName, OLDER),
    of("queue", Field::Queue),
    noted("cluster_name", Field::Queue, "where there is no `queue`"),
    of("args", Field::Args),
    own("sc_type", None, "the numbers that a letter stands for go along"),
    of("jars", Field::Jars),
    of("pyFiles", Field::PyFiles),
    noted("python_files", Field::PyFiles, OLDER),
    of("files", Field::Files),
    of("archives", Field::Archives),
    of("conf", Field::Conf),
    of("name", Field::Name),
    of("driverMemory", Field::DriverMemory),
    noted("driver_memory", Field::DriverMemory, OLDER),
    of("driverCores", Field::DriverCores),
    noted("driver_cores", Field::DriverCores, OLDER),
    of("executorMemory", Field::ExecutorMemory),
    noted("executor_memory", Field::ExecutorMemory, OLDER),
    of("executorCores", Field::ExecutorCores),
    noted("executor_cores", Field::ExecutorCores, OLDER),
    of("numExecutors", Field::Executors),
    noted("num_executors", Field::Executors, OLDER),
    own(
        "modules",
        PLACED,
        "connectors that a Spark may have, under DLI's names for them: clients send them needed or not",
    ),
    own("resources", ESSENTIAL, "jars, Python files and files by other names"),
    own("groups", ESSENTIAL, "jars, Python files and files by other names"),
    own("modelFiles", ESSENTIAL, ""),
    own("auto_recovery", PLACED, "whether a failed job is begun again"),
    own("autoRecovery", PLACED, "another spelling of `auto_recovery`"),
    own("max_retry_times", PLACED, RETRIES),
    own("maxRetryTimes", PLACED, "another spelling of `max_retry_times`"),
    own("minRecoveryDelayTime", PLACED, RETRIES),
    own("feature", PLACED, "`basic` is lost nowhere"),
    own("spark_version", PLACED, ""),
    own("image", PLACED, ""),
    own("obs_bucket", PLACED, ""),
    own("catalog_name", PLACED, ""),
    own("execution_agency_urn", PLACED, ""),
    own(OTHERS, PLACED, "kept for a DLI that knows them"),
    proxy("(path) project_id", "the batch's project"),
    proxy("(header) X-Project-Id", "the same again"),
    proxy("(header) USER-ID", "read by nobody"),
    proxy("(header) Idempotency-Key", "the same submit again gets the first one's answer"),
    proxy("(header) X-Auth-Token", "who submits"),
    proxy("(header) Authorization", "who submits"),
];

/// What is lost with a field that only this dialect has, where the batch runs on another's platform.
pub(crate) fn loss_of(name: &str, spec: &BatchSpec) -> Option<FieldClass> {
    match name {
        "feature" if kept(spec, "feature") == Some("\"basic\"") => None,
        // How to do again what is done once.
        "max_retry_times" | "minRecoveryDelayTime" if kept(spec, "auto_recovery").is_none() => None,
        _ => {
            let known = FIELDS.iter().find(|field| field.name == name);
            let meaning = known.or_else(|| FIELDS.iter().find(|field| field.name == OTHERS)).map(|field| field.meaning);
            match meaning {
                Some(Meaning::Own(loss)) => loss,
                Some(Meaning::Field(_) | Meaning::Proxy) | None => Some(Field::Extension.class()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::bind;

    #[test]
    fn every_member_that_is_read_is_there_and_no_other() {
        let told: HashSet<_> = FIELDS.iter().map(|field| field.name).collect();
        assert_eq!(told.len(), FIELDS.len(), "none twice");
        let read: HashSet<_> = bind::members().collect();
        let members: HashSet<_> = told.into_iter().filter(|name| !name.starts_with('(')).collect();
        assert_eq!(members, read);
    }
}
