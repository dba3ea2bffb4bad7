//! What Kyuubi makes of each field of a submit.
//!
//! A batch of Kyuubi's has six members; everything else is conf. What a Kyuubi client has written into the conf itself goes through as it is:
//! it has written it for a Kyuubi.

use batchlingua_core::{Clients, ConfFate, ConfRule, Field, Line, Mapping, Place, RUN_AS_CONF};

use crate::NAME;

/// The member that says what runs.
pub(crate) const RESOURCE: &str = "resource";
/// The member that says which class of it.
pub(crate) const CLASS_NAME: &str = "className";
/// The member that has the arguments.
pub(crate) const ARGS: &str = "args";
/// The member that has the name.
pub(crate) const BATCH_NAME: &str = "name";
/// The conf key that names whom a batch is to run as: the one that every version reads.
pub(crate) const PROXY_USER: &str = "hive.server2.proxy.user";
/// The conf key of a batch's id.
pub(crate) const BATCH_ID: &str = "kyuubi.batch.id";
/// The conf key that says where a batch runs.
pub(crate) const MASTER: &str = "spark.master";

/// On what it depends whether the class is sent.
pub(crate) const IS_PYTHON: &str = "it is a Python program";

const AS_FILE: &str = "as `file`";

/// Kyuubi.
pub(crate) const MAPPING: Mapping = Mapping {
    platform: "Kyuubi",
    dialect: NAME,
    lines: &[
        Line {
            field: Field::File,
            place: Place::Member(RESOURCE),
            note: "a path without a scheme is on the Kyuubi's own disk: where it is one of the cluster's file system, `paths` has to say so. \
                   An archive goes with `batchType` SPARK, a Python program with PYSPARK (1.7 and later); there is no type for anything else",
        },
        Line {
            field: Field::ClassName,
            place: Place::If {
                when: IS_PYTHON,
                then: &Place::NotNeeded("a Python program has no class"),
                or: &Place::Member(CLASS_NAME),
            },
            note: "an archive without one is refused, but of a Kyuubi client",
        },
        Line { field: Field::Args, place: Place::Member(ARGS), note: "" },
        Line { field: Field::Jars, place: Place::Conf("spark.jars"), note: AS_FILE },
        Line { field: Field::PyFiles, place: Place::Conf("spark.submit.pyFiles"), note: AS_FILE },
        Line { field: Field::Files, place: Place::Conf("spark.files"), note: AS_FILE },
        Line {
            field: Field::Archives,
            place: Place::Conf("spark.archives"),
            note: "as `file`; Spark knows the key from 3.1 on",
        },
        Line {
            field: Field::RunAs,
            place: Place::Conf(PROXY_USER),
            note: "the Kyuubi has to allow the proxy's user to act for that one",
        },
        Line { field: Field::DriverMemory, place: Place::Conf("spark.driver.memory"), note: "" },
        Line { field: Field::DriverCores, place: Place::Conf("spark.driver.cores"), note: "" },
        Line { field: Field::ExecutorMemory, place: Place::Conf("spark.executor.memory"), note: "" },
        Line { field: Field::ExecutorCores, place: Place::Conf("spark.executor.cores"), note: "" },
        Line { field: Field::Executors, place: Place::Conf("spark.executor.instances"), note: "" },
        Line { field: Field::Queue, place: Place::Conf("spark.yarn.queue"), note: "on Kubernetes it means nothing" },
        Line { field: Field::Name, place: Place::Member(BATCH_NAME), note: "" },
    ],
    conf: &[
        ConfRule {
            name: "the batch's id",
            keys: &[BATCH_ID],
            from: Clients::Any,
            fate: ConfFate::NotNeeded,
            why: "the proxy gives each batch its id, by which the same submit is never two batches",
        },
        ConfRule {
            name: "user to run as",
            keys: &RUN_AS_CONF,
            from: Clients::Except(NAME),
            fate: ConfFate::Lost,
            why: "whom a batch runs as is said in the client's own way, and not past it",
        },
        ConfRule {
            name: "what only a Kyuubi says",
            keys: &[
                "kyuubi.client.ipAddress",
                "kyuubi.server.ipAddress",
                "kyuubi.session.connection.url",
                "kyuubi.session.real.user",
                "kyuubi.batch.resource.uploaded",
            ],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "the Kyuubi writes over it",
        },
        ConfRule {
            name: "Kyuubi's own",
            keys: &["kyuubi.*"],
            from: Clients::Any,
            fate: ConfFate::Keep,
            why: "they are meant for a Kyuubi",
        },
        ConfRule {
            name: "where it runs",
            keys: &[MASTER],
            from: Clients::Except(NAME),
            fate: ConfFate::Keep,
            why: "but refused where it is none that a Kyuubi can watch (`yarn`, `k8s://…`, `local`): such a batch would be shown as \
                  PENDING for ever",
        },
        size("driver memory said twice", &["spark.driver.memory"], Field::DriverMemory),
        size("driver cores said twice", &["spark.driver.cores"], Field::DriverCores),
        size("executor memory said twice", &["spark.executor.memory"], Field::ExecutorMemory),
        size("executor cores said twice", &["spark.executor.cores"], Field::ExecutorCores),
        size("executors said twice", &["spark.executor.instances"], Field::Executors),
        size("queue said twice", &["spark.yarn.queue"], Field::Queue),
        ConfRule {
            name: "name said twice",
            keys: &["spark.app.name"],
            from: Clients::Except(NAME),
            fate: ConfFate::Unless(Field::Name),
            why: "a Kyuubi puts the batch's name in its place",
        },
        ConfRule {
            name: "another server's own",
            keys: &["livy.*", "spark.livy.*", "spark.dli.*", "spark.batchlingua.*"],
            from: Clients::Except(NAME),
            fate: ConfFate::NotNeeded,
            why: "they are read by that server and by no job",
        },
    ],
    other_conf: ConfFate::Keep,
};

const fn size(name: &'static str, keys: &'static [&'static str], field: Field) -> ConfRule {
    ConfRule::said_twice(name, keys, field, Clients::Any, "one of the two has to count")
}
