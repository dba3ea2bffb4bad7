//! What DLI makes of each field of a submit.
//!
//! Where a value is not sent as it is given, [`crate::plan`] makes it: the line's note, or the way in which it is made, says how.

use batchlingua_core::{Clients, ConfFate, ConfRule, Field, Line, Mapping, Place, RUN_AS_CONF};

use crate::NAME;

/// The conf key that a batch is marked by.
pub(crate) const MARK: &str = "spark.batchlingua.id";
/// Where Spark looks for archives, which DLI has no member for.
pub(crate) const ARCHIVES: &str = "spark.archives";
/// What a client of YARN says of the queue and of retries.
pub(crate) const YARN_QUEUE: &str = "spark.yarn.queue";
pub(crate) const YARN_ATTEMPTS: &str = "spark.yarn.maxAppAttempts";

const IN_CAPITALS: &str = "its unit in capitals, and `M` where it has none: without a unit DLI's jobs do not start";

/// DLI.
pub(crate) const MAPPING: Mapping = Mapping {
    platform: "DLI",
    dialect: NAME,
    lines: &[
        Line {
            field: Field::File,
            place: Place::Member("file"),
            note: "in OBS, or a package that was uploaded to DLI: other clients' paths have to become that by `paths`",
        },
        Line {
            field: Field::ClassName,
            place: Place::Member("className"),
            note: "an empty text where there is none, as for Python",
        },
        Line { field: Field::Args, place: Place::Member("args"), note: "" },
        Line { field: Field::Jars, place: Place::Member("jars"), note: "as `file`" },
        Line { field: Field::PyFiles, place: Place::Member("pyFiles"), note: "as `file`" },
        Line { field: Field::Files, place: Place::Member("files"), note: "as `file`" },
        Line {
            field: Field::Archives,
            place: Place::Made(
                "conf `spark.archives`, which Spark knows from 3.1 on; of a DLI client the member `archives`",
            ),
            note: "as `file`",
        },
        Line {
            field: Field::RunAs,
            place: Place::Nowhere("DLI runs every job as the user whose credentials the proxy has"),
            note: "",
        },
        Line { field: Field::DriverMemory, place: Place::Member("driverMemory"), note: IN_CAPITALS },
        Line { field: Field::DriverCores, place: Place::Member("driverCores"), note: "" },
        Line { field: Field::ExecutorMemory, place: Place::Member("executorMemory"), note: IN_CAPITALS },
        Line { field: Field::ExecutorCores, place: Place::Member("executorCores"), note: "" },
        Line { field: Field::Executors, place: Place::Member("numExecutors"), note: "" },
        Line {
            field: Field::Queue,
            place: Place::Member("queue"),
            note: "in small letters, another one by `queues`; where there is none, or one that DLI cannot have, the backend's `queue`",
        },
        Line {
            field: Field::Name,
            place: Place::Member("name"),
            note: "cut to 128 characters; with `echo = \"name\"` our id stands at its end",
        },
    ],
    conf: &[
        ConfRule {
            name: "the proxy's mark",
            keys: &[MARK],
            from: Clients::Any,
            fate: ConfFate::NotNeeded,
            why: "the proxy marks each batch by it itself",
        },
        ConfRule {
            name: "DLI's own",
            keys: &["spark.dli.*"],
            from: Clients::Any,
            fate: ConfFate::Keep,
            why: "they are meant for DLI",
        },
        ConfRule {
            name: "where it runs",
            keys: &["spark.master", "spark.submit.deployMode"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "DLI decides where driver and executors run",
        },
        size("driver memory said twice", &["spark.driver.memory"], Field::DriverMemory),
        size("driver cores said twice", &["spark.driver.cores"], Field::DriverCores),
        size("executor memory said twice", &["spark.executor.memory"], Field::ExecutorMemory),
        size("executor cores said twice", &["spark.executor.cores"], Field::ExecutorCores),
        size("executors said twice", &["spark.executor.instances"], Field::Executors),
        ConfRule {
            name: "queue",
            keys: &[YARN_QUEUE],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "the batch's queue goes into `queue`, and this one where it has none",
        },
        ConfRule {
            name: "retries",
            keys: &[YARN_ATTEMPTS],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "DLI counts retries: above 1 it becomes `auto_recovery` and `max_retry_times`",
        },
        ConfRule {
            name: "files of YARN",
            keys: &["spark.yarn.dist.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::Lost,
            why: "DLI does not run on YARN: name them as jars, files, py_files or archives",
        },
        ConfRule {
            name: "YARN",
            keys: &["spark.yarn.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "DLI does not run on YARN",
        },
        ConfRule {
            name: "image of Kubernetes",
            keys: &[
                "spark.kubernetes.container.image",
                "spark.kubernetes.driver.container.image",
                "spark.kubernetes.executor.container.image",
            ],
            from: Clients::Except(NAME),
            fate: ConfFate::Lost,
            why: "DLI takes images of its own registry only: have the operator set `defaults.image`",
        },
        ConfRule {
            name: "Kubernetes",
            keys: &["spark.kubernetes.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "DLI has no Kubernetes that a batch could speak of",
        },
        ConfRule {
            name: "user to run as",
            keys: &RUN_AS_CONF,
            from: Clients::Any,
            fate: ConfFate::Lost,
            why: "DLI runs every job as the user whose credentials the proxy has",
        },
        ConfRule {
            name: "another server's own",
            keys: &["kyuubi.*", "livy.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "they are read by that server and by no job",
        },
    ],
    other_conf: ConfFate::Keep,
};

/// Where a size stands in the conf as well, the batch's own field counts for every dialect but DLI's, whose Spark 3.3 takes the conf's.
const fn size(name: &'static str, keys: &'static [&'static str], field: Field) -> ConfRule {
    ConfRule::said_twice(name, keys, field, Clients::Except(NAME), "one of the two has to count")
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{BatchSpec, PathMap};

    use super::*;

    #[test]
    fn every_field_has_one_line() {
        let fields = [
            Field::File,
            Field::ClassName,
            Field::Args,
            Field::Jars,
            Field::PyFiles,
            Field::Files,
            Field::Archives,
            Field::RunAs,
            Field::DriverMemory,
            Field::DriverCores,
            Field::ExecutorMemory,
            Field::ExecutorCores,
            Field::Executors,
            Field::Queue,
            Field::Name,
        ];
        for field in fields {
            assert_eq!(MAPPING.lines.iter().filter(|line| line.field == field).count(), 1, "{field:?}");
        }
        assert_eq!(MAPPING.lines.len(), fields.len());
        assert!(MAPPING.line(Field::Conf).is_none() && MAPPING.line(Field::Extension).is_none(), "they have parts");
    }

    /// What is sent of a conf key, by clients of another dialect and of DLI.
    #[test]
    fn keys_that_mean_something_else_there_have_their_rules() {
        let sent = |key: &str, from: &str, sized: bool| {
            let mut spec = BatchSpec { executors: sized.then_some(3), ..BatchSpec::default() };
            spec.conf.set(key, "4");
            let load = MAPPING.load(&spec, &from.into(), &PathMap::default()).expect("nothing is refused");
            let lost = load.fates.iter().any(|fate| fate.field == Field::Conf && fate.is_lost());
            (load.conf.get(key).is_some(), lost)
        };
        let (kept, passed_over, lost) = ((true, false), (false, false), (false, true));
        for (key, of_livy, of_dli) in [
            (MARK, passed_over, passed_over),
            ("spark.master", passed_over, kept),
            ("spark.submit.deployMode", passed_over, kept),
            ("spark.yarn.queue", passed_over, kept),
            ("spark.yarn.maxAppAttempts", passed_over, kept),
            ("spark.yarn.am.memory", passed_over, kept),
            ("spark.yarn.dist.files", lost, kept),
            ("spark.kubernetes.container.image", lost, kept),
            ("spark.kubernetes.namespace", passed_over, kept),
            ("kyuubi.engine.type", passed_over, kept),
            ("livy.rsc.jars", passed_over, kept),
            ("hive.server2.proxy.user", lost, lost),
            ("spark.dli.metaAccess.enable", kept, kept),
            ("spark.executor.instances", kept, kept),
            ("spark.sql.shuffle.partitions", kept, kept),
        ] {
            assert_eq!((sent(key, "livy", false), sent(key, "dli", false)), (of_livy, of_dli), "{key}");
        }
        let key = "spark.executor.instances";
        assert_eq!(
            (sent(key, "livy", true), sent(key, "dli", true)),
            (passed_over, kept),
            "the batch's own field counts"
        );
    }
}
