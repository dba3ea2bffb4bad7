//! What this machine makes of each field of a submit: one table where there is a Spark, another one where there is none.
//!
//! With Spark a field becomes an option of `spark-submit` or a conf key, as Livy does it. Without, there is nothing that sizes, queues or conf
//! could be said to.

use batchlingua_core::{Clients, ConfFate, ConfRule, Field, Line, Mapping, Place};

use crate::spark;

/// That a setting of the backend lets batches have users of their own.
pub(crate) const IMPERSONATION: &str = "`impersonation` is set";
/// That the program is an archive.
pub(crate) const JAVA: &str = "it is a jar";
/// That the program is an archive, and the batch names its main class.
pub(crate) const JAVA_CLASS: &str = "it is a jar and its main class is named";
/// That the program is one of Python's.
pub(crate) const PYTHON: &str = "it is a Python program";

/// Options of `spark-submit`.
pub(crate) const NAME: &str = "--name";
pub(crate) const CLASS: &str = "--class";
pub(crate) const QUEUE: &str = "--queue";
pub(crate) const PROXY_USER: &str = "--proxy-user";

const OWN_USER: Place = Place::NotNeeded("every job runs as the proxy's own user");
const NO_SPARK: &str = "it runs without Spark";

/// The one conf rule that holds with and without Spark.
const DEPLOY_MODE: ConfRule = ConfRule {
    name: "deploy mode",
    keys: &[spark::DEPLOY_MODE],
    from: Clients::Any,
    fate: ConfFate::Only("client"),
    why: "the driver runs on this machine; elsewhere the end of spark-submit would not be the end of the job, nor its log the job's",
};

/// Through `spark-submit`.
pub(crate) const WITH_SPARK: Mapping = Mapping {
    platform: "local with Spark",
    dialect: "",
    lines: &[
        line(
            Field::File,
            Place::Member("file"),
            "the program that `spark-submit` is given; its path is resolved and must lie in `allow_dirs`",
        ),
        line(Field::Args, Place::Member("args"), ""),
        line(
            Field::Jars,
            Place::Conf("spark.jars"),
            "as `file`; so are the lists below, and conf keys that are such lists",
        ),
        line(Field::PyFiles, Place::Conf(spark::PY_FILES), "written as `--py-files`"),
        line(Field::Files, Place::Conf("spark.files"), ""),
        line(
            Field::Archives,
            Place::Conf(spark::ARCHIVES),
            "on another master than YARN `spark.archives` has them too",
        ),
        line(Field::ClassName, Place::Member(CLASS), ""),
        line(Field::DriverMemory, Place::Conf("spark.driver.memory"), ""),
        line(Field::DriverCores, Place::Conf("spark.driver.cores"), ""),
        line(Field::ExecutorMemory, Place::Conf("spark.executor.memory"), ""),
        line(Field::ExecutorCores, Place::Conf("spark.executor.cores"), ""),
        line(Field::Executors, Place::Conf("spark.executor.instances"), ""),
        line(Field::Queue, Place::Member(QUEUE), ""),
        line(Field::Name, Place::Member(NAME), ""),
        line(Field::RunAs, Place::If { when: IMPERSONATION, then: &Place::Member(PROXY_USER), or: &OWN_USER }, ""),
    ],
    conf: &[
        DEPLOY_MODE,
        ConfRule {
            name: "own master",
            keys: &[spark::MASTER],
            from: Clients::Any,
            fate: ConfFate::NotNeeded,
            why: "the backend's own `spark_master` is used",
        },
        said_twice("driver memory said twice", &["spark.driver.memory"], Field::DriverMemory),
        said_twice("driver cores said twice", &["spark.driver.cores"], Field::DriverCores),
        said_twice("executor memory said twice", &["spark.executor.memory"], Field::ExecutorMemory),
        said_twice("executor cores said twice", &["spark.executor.cores"], Field::ExecutorCores),
        said_twice("executors said twice", &["spark.executor.instances"], Field::Executors),
    ],
    other_conf: ConfFate::Keep,
};

/// By Python, by Java, or as it is.
pub(crate) const WITHOUT_SPARK: Mapping = Mapping {
    platform: "local without Spark",
    dialect: "",
    lines: &[
        line(Field::File, Place::Member("file"), "the program; its path is resolved and must lie in `allow_dirs`"),
        line(Field::Args, Place::Member("args"), ""),
        line(
            Field::Jars,
            Place::If {
                when: JAVA_CLASS,
                then: &Place::Member("-cp"),
                or: &Place::If {
                    when: JAVA,
                    then: &Place::Nowhere("java -jar takes no further archives; name the main class"),
                    or: &Place::Nowhere(NO_SPARK),
                },
            },
            "as `file`; so are the lists below",
        ),
        line(
            Field::PyFiles,
            Place::If { when: PYTHON, then: &Place::Member("PYTHONPATH"), or: &Place::Nowhere(NO_SPARK) },
            "",
        ),
        line(Field::Files, Place::Member("files"), "linked into the working directory"),
        line(Field::Archives, Place::Nowhere(NO_SPARK), ""),
        line(
            Field::ClassName,
            Place::If {
                when: JAVA,
                then: &Place::Member("class_name"),
                or: &Place::NotNeeded("only archives have a main class"),
            },
            "",
        ),
        line(Field::DriverMemory, Place::Nowhere(NO_SPARK), ""),
        line(Field::DriverCores, Place::Nowhere(NO_SPARK), ""),
        line(Field::ExecutorMemory, Place::Nowhere(NO_SPARK), ""),
        line(Field::ExecutorCores, Place::Nowhere(NO_SPARK), ""),
        line(Field::Executors, Place::Nowhere(NO_SPARK), ""),
        line(Field::Queue, Place::Nowhere(NO_SPARK), ""),
        line(Field::Name, Place::Made("shown wherever the batch is shown"), ""),
        line(Field::RunAs, Place::If { when: IMPERSONATION, then: &Place::Nowhere(NO_SPARK), or: &OWN_USER }, ""),
    ],
    conf: &[
        DEPLOY_MODE,
        ConfRule { name: "no Spark", keys: &["*"], from: Clients::Any, fate: ConfFate::Lost, why: NO_SPARK },
    ],
    other_conf: ConfFate::Lost,
};

/// The conf key under which each kind of files is uploaded, and the field that means the same.
pub(crate) const UPLOADS: [(&str, Field); 3] =
    [("spark.jars", Field::Jars), (spark::PY_FILES, Field::PyFiles), ("spark.files", Field::Files)];

const fn line(field: Field, place: Place, note: &'static str) -> Line {
    Line { field, place, note }
}

const fn said_twice(name: &'static str, keys: &'static [&'static str], field: Field) -> ConfRule {
    ConfRule::said_twice(name, keys, field, Clients::Any, "the field is the stronger one, as with Livy")
}
