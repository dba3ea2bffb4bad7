//! Livy's wire shapes: what a submit may say, and what is answered.
//!
//! [`CreateBatch`] is a target class of Jackson's: sixteen members by exact name, each with a shape that says what it
//! takes. ([`crate::session`] has the other one.) What Jackson takes in silence and trips over later (a list that is null, a count that is no integer) is
//! kept as such, since Livy answers it later and in other words than a wrong shape.
//!
//! | shape | takes |
//! |---|---|
//! | text | strings; numbers and booleans as they are spelled; null is absence |
//! | list | arrays of texts; null, alone or as an element, trips later |
//! | count | 32-bit integers, also as strings (Airflow sends them so); null is absence; anything else trips later |
//! | pairs | an object of texts, null values included as the text `null`; null trips later |
//! | word | one of a few strings; null is absence |

use batchlingua_core::{Conf, Field};
use batchlingua_wire::{Meaning, WireField, java::Mapper};
use bytes::Bytes;
use serde::Serialize;

/// A class that Jackson makes of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// In full, as complaints have it.
    pub(crate) name: &'static str,
    /// In the order in which the complaint about an unknown one lists them.
    pub(crate) members: &'static [&'static str],
    /// What it is, for a person.
    pub(crate) what: &'static str,
}

impl Class {
    /// How Livy's Jackson speaks of it.
    pub(crate) fn mapper(&self) -> Mapper {
        const BUILDERS: [&str; 2] = [
            "com.fasterxml.jackson.module.scala.deser.GenericFactoryDeserializerResolver$BuilderWrapper",
            "com.fasterxml.jackson.module.scala.deser.GenericMapFactoryDeserializerResolver$BuilderWrapper",
        ];
        Mapper {
            source: "(org.eclipse.jetty.server.HttpInputOverHTTP)",
            class: self.name,
            members: self.members,
            list: BUILDERS[0],
            map: BUILDERS[1],
            at_character: false,
        }
    }
}

/// What a body is read into.
pub(crate) trait Target: Default {
    /// Jackson's class.
    const CLASS: Class;

    /// The place of a member; none for one that the class does not have.
    fn slot(&mut self, name: &str) -> Option<Slot<'_>>;
}

/// Of [`CreateBatch`].
pub(crate) const MEMBERS: [&str; 16] = [
    "executorCores",
    "className",
    "conf",
    "driverMemory",
    "name",
    "driverCores",
    "pyFiles",
    "archives",
    "executorMemory",
    "files",
    "jars",
    "proxyUser",
    "numExecutors",
    "file",
    "args",
    "queue",
];

const fn field(name: &'static str, meaning: Field, note: &'static str) -> WireField {
    WireField { name, meaning: Meaning::Field(meaning), note }
}

/// Every field of a submit.
pub(crate) const FIELDS: [WireField; 18] = [
    field("file", Field::File, ""),
    field("proxyUser", Field::RunAs, ""),
    field("className", Field::ClassName, ""),
    field("args", Field::Args, ""),
    field("jars", Field::Jars, ""),
    field("pyFiles", Field::PyFiles, ""),
    field("files", Field::Files, ""),
    field("driverMemory", Field::DriverMemory, ""),
    field("driverCores", Field::DriverCores, "also as a text, as Airflow sends it"),
    field("executorMemory", Field::ExecutorMemory, ""),
    field("executorCores", Field::ExecutorCores, "also as a text"),
    field("numExecutors", Field::Executors, "also as a text"),
    field("archives", Field::Archives, ""),
    field("queue", Field::Queue, ""),
    field("name", Field::Name, ""),
    field("conf", Field::Conf, ""),
    field("(query) doAs", Field::RunAs, "stronger than `proxyUser`"),
    WireField {
        name: "(header) Idempotency-Key",
        meaning: Meaning::Proxy,
        note: "a header that no Livy knows: the same submit again gets the first one's answer",
    },
];

/// A member that trips Livy where it is null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nullable<T> {
    Null,
    Of(T),
}

impl<T: Default> Default for Nullable<T> {
    fn default() -> Self {
        Self::Of(T::default())
    }
}

/// A list of texts, each of which may be null.
pub(crate) type List = Nullable<Vec<Option<String>>>;

/// What stands where an integer belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Of(i32),
    /// Something else, by the class that Jackson makes of it.
    Other(JavaClass),
}

/// A class that is no `java.lang.Integer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JavaClass {
    /// Java's own.
    Base(&'static str),
    /// The Scala library's.
    App(&'static str),
}

/// The body of a submit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreateBatch {
    pub(crate) file: Option<String>,
    pub(crate) proxy_user: Option<String>,
    pub(crate) class_name: Option<String>,
    pub(crate) args: List,
    pub(crate) jars: List,
    pub(crate) py_files: List,
    pub(crate) files: List,
    pub(crate) archives: List,
    pub(crate) driver_memory: Option<String>,
    pub(crate) driver_cores: Option<Count>,
    pub(crate) executor_memory: Option<String>,
    pub(crate) executor_cores: Option<Count>,
    pub(crate) num_executors: Option<Count>,
    pub(crate) queue: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) conf: Nullable<Conf>,
}

/// Where a member goes.
pub(crate) enum Slot<'a> {
    Text(&'a mut Option<String>),
    List(&'a mut List),
    Count(&'a mut Option<Count>),
    Pairs(&'a mut Nullable<Conf>),
    /// With the complaint about a word that is none of those.
    Word(&'a mut Option<String>, fn(&str) -> Option<String>),
}

impl Target for CreateBatch {
    const CLASS: Class =
        Class { name: "org.apache.livy.server.batch.CreateBatchRequest", members: &MEMBERS, what: "a batch" };

    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match name {
            "file" => Slot::Text(&mut self.file),
            "proxyUser" => Slot::Text(&mut self.proxy_user),
            "className" => Slot::Text(&mut self.class_name),
            "args" => Slot::List(&mut self.args),
            "jars" => Slot::List(&mut self.jars),
            "pyFiles" => Slot::List(&mut self.py_files),
            "files" => Slot::List(&mut self.files),
            "archives" => Slot::List(&mut self.archives),
            "driverMemory" => Slot::Text(&mut self.driver_memory),
            "driverCores" => Slot::Count(&mut self.driver_cores),
            "executorMemory" => Slot::Text(&mut self.executor_memory),
            "executorCores" => Slot::Count(&mut self.executor_cores),
            "numExecutors" => Slot::Count(&mut self.num_executors),
            "queue" => Slot::Text(&mut self.queue),
            "name" => Slot::Text(&mut self.name),
            "conf" => Slot::Pairs(&mut self.conf),
            _ => return None,
        })
    }
}

/// A batch; all eight keys are always there, in this order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchObject<'a> {
    pub(crate) id: u32,
    pub(crate) name: Option<&'a str>,
    pub(crate) owner: Option<&'a str>,
    pub(crate) proxy_user: Option<&'a str>,
    pub(crate) state: &'static str,
    pub(crate) app_id: Option<&'a str>,
    pub(crate) app_info: AppInfo<'a>,
    pub(crate) log: Vec<&'a str>,
}

/// A batch's application.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppInfo<'a> {
    pub(crate) driver_log_url: Option<&'a str>,
    pub(crate) spark_ui_url: Option<&'a str>,
    pub(crate) executor_log_urls: Option<&'a str>,
}

/// A page of batches, or of sessions, each as JSON text.
pub(crate) fn session_list(from: i32, total: u64, sessions: &[Bytes]) -> Vec<u8> {
    let mut list = format!("{{\"from\":{from},\"total\":{total},\"sessions\":[").into_bytes();
    for (at, session) in sessions.iter().enumerate() {
        if at > 0 {
            list.push(b',');
        }
        list.extend_from_slice(session);
    }
    list.extend_from_slice(b"]}");
    list
}

/// A batch's state alone.
#[derive(Debug, Serialize)]
pub(crate) struct StateObject<'a> {
    pub(crate) id: u32,
    pub(crate) state: &'a str,
}

/// A page of a log.
#[derive(Debug, Serialize)]
pub(crate) struct LogObject<'a> {
    pub(crate) id: u32,
    pub(crate) from: u64,
    pub(crate) total: u64,
    pub(crate) log: Vec<&'a str>,
}

/// What is served.
#[derive(Debug, Serialize)]
pub(crate) struct VersionObject<'a> {
    pub(crate) url: &'static str,
    pub(crate) branch: &'static str,
    pub(crate) revision: &'static str,
    pub(crate) version: &'a str,
    pub(crate) date: &'static str,
    pub(crate) user: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_member_has_its_place_and_no_other_has() {
        let mut request = CreateBatch::default();
        assert!(MEMBERS.iter().all(|name| request.slot(name).is_some()));
        for unknown in ["ttl", "File", "mainClass", "kind", ""] {
            assert!(request.slot(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn every_member_is_a_field_with_a_meaning() {
        let is_beside = |name: &str| name.starts_with('(');
        let mut members: Vec<_> = FIELDS.iter().map(|field| field.name).filter(|name| !is_beside(name)).collect();
        let mut known = MEMBERS.to_vec();
        members.sort_unstable();
        known.sort_unstable();
        assert_eq!(members, known);
    }
}
