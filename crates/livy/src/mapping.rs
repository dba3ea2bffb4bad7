//! What a Livy makes of each field of a submit.
//!
//! Livy hands nearly everything to `spark-submit` as it is, so most lines are mere names. What it refuses or overwrites by itself is left out
//! for clients of other dialects, who cannot know that; a client of its own dialect hears it from the Livy.

use batchlingua_core::{Clients, ConfFate, ConfRule, Field, Line, Mapping, Place, RUN_AS_CONF};

use crate::NAME;

const FILES: &str = "without a scheme Livy looks for it in the cluster's default file system";

/// Livy.
pub(crate) const MAPPING: Mapping = Mapping {
    platform: "Livy",
    dialect: NAME,
    lines: &[
        Line { field: Field::File, place: Place::Member("file"), note: FILES },
        Line {
            field: Field::RunAs,
            place: Place::Member("proxyUser"),
            note: "where impersonation is off there, Livy takes no notice of it",
        },
        Line { field: Field::ClassName, place: Place::Member("className"), note: "" },
        Line { field: Field::Args, place: Place::Member("args"), note: "" },
        Line { field: Field::Jars, place: Place::Member("jars"), note: FILES },
        Line { field: Field::PyFiles, place: Place::Member("pyFiles"), note: FILES },
        Line { field: Field::Files, place: Place::Member("files"), note: FILES },
        Line { field: Field::DriverMemory, place: Place::Member("driverMemory"), note: "" },
        Line { field: Field::DriverCores, place: Place::Member("driverCores"), note: "" },
        Line { field: Field::ExecutorMemory, place: Place::Member("executorMemory"), note: "" },
        Line { field: Field::ExecutorCores, place: Place::Member("executorCores"), note: "" },
        Line { field: Field::Executors, place: Place::Member("numExecutors"), note: "" },
        Line {
            field: Field::Archives,
            place: Place::Member("archives"),
            note: "Livy makes conf `spark.yarn.dist.archives` of them, so they are unpacked on YARN only",
        },
        Line { field: Field::Queue, place: Place::Member("queue"), note: "YARN's" },
        Line {
            field: Field::Name,
            place: Place::Member("name"),
            note: "From Livy 0.6 on a batch is found by it, so one without a name, or from another dialect with one of digits only, gets \
                   `batchlingua-` and its uuid, which no client is shown but Spark's own pages show. A name of another dialect that is taken \
                   gets a hyphen and the uuid's first eight characters",
        },
    ],
    conf: &[
        ConfRule {
            name: "where it runs",
            keys: &["spark.master", "spark.submit.deployMode"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "Livy's own configuration decides that: it overwrites the one, and refuses a batch that has the other",
        },
        ConfRule {
            name: "class path of the server",
            keys: &["spark.submit.proxyUser.allowCustomClasspathInClusterMode"],
            from: Clients::Except(NAME),
            fate: ConfFate::Lost,
            why: "Livy refuses a batch that has it",
        },
        said_twice("driver memory said twice", &["spark.driver.memory"], Field::DriverMemory),
        said_twice("driver cores said twice", &["spark.driver.cores"], Field::DriverCores),
        said_twice("executor memory said twice", &["spark.executor.memory"], Field::ExecutorMemory),
        said_twice("executor cores said twice", &["spark.executor.cores"], Field::ExecutorCores),
        said_twice("executors said twice", &["spark.executor.instances"], Field::Executors),
        said_twice("queue said twice", &["spark.yarn.queue"], Field::Queue),
        ConfRule {
            name: "user to run as",
            keys: &RUN_AS_CONF,
            from: Clients::Except(NAME),
            fate: ConfFate::Lost,
            why: "Livy runs a batch as the user that `proxyUser` names, and does not read this",
        },
        ConfRule {
            name: "another server's own",
            keys: &["kyuubi.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "a Kyuubi server reads them, and no job",
        },
        ConfRule {
            name: "DLI's own",
            keys: &["spark.dli.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "they are for DLI's own services, which are not there",
        },
        ConfRule {
            name: "Spark's",
            keys: &["spark.*"],
            from: Clients::Only(KYUUBI),
            fate: ConfFate::Keep,
            why: "they are meant for Spark",
        },
        ConfRule {
            name: "Hadoop's without a prefix",
            keys: &["hadoop.*"],
            from: Clients::Only(KYUUBI),
            fate: ConfFate::Prefix("spark.hadoop."),
            why: "so a job of a Kyuubi sees them",
        },
        ConfRule {
            name: "keys without a prefix",
            keys: &["*"],
            from: Clients::Only(KYUUBI),
            fate: ConfFate::Prefix("spark."),
            why: "so a job of a Kyuubi sees them",
        },
    ],
    other_conf: ConfFate::Keep,
};

const KYUUBI: &str = "kyuubi";

/// Livy takes the batch's own field too, but what is not sent cannot be read otherwise.
const fn said_twice(name: &'static str, keys: &'static [&'static str], field: Field) -> ConfRule {
    ConfRule::said_twice(name, keys, field, Clients::Except(NAME), "one of the two has to count")
}
