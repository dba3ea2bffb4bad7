//! Kyuubi's wire shapes: what a submit may say, and what is answered.
//!
//! [`BatchRequest`] is a target class of Jackson's: seven members by exact name; others mean nothing to it and are kept as they came. What Jackson takes in silence and Kyuubi
//! trips over later (a null in a map, a null map) is kept as such, since it is answered later and in other words than a wrong shape.
//!
//! | shape | takes |
//! |---|---|
//! | text | strings; numbers and booleans as they are spelled; null is absence |
//! | list | arrays of texts, null ones included; null is the empty list |
//! | pairs | an object of texts, null ones included, the last of a doubled key; null is told apart |

use std::borrow::Cow;

use batchlingua_core::Uuid;
use batchlingua_wire::java::Mapper;
use serde::{Serialize, Serializer, ser::SerializeMap};

/// How Kyuubi's Jackson speaks of a submit.
pub(crate) const MAPPER: Mapper = Mapper {
    source: "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)",
    class: "org.apache.kyuubi.client.api.v1.dto.BatchRequest",
    members: &MEMBERS,
    list: "java.util.ArrayList",
    map: "java.util.LinkedHashMap",
    at_character: true,
};

/// Of [`BatchRequest`].
pub(crate) const MEMBERS: [&str; 7] =
    ["batchType", "resource", "className", "name", "conf", "args", "extraResourcesMap"];

/// Of a batch, as long as there were no others: what clients of 1.6 know.
pub(crate) const FIRST_MEMBERS: [&str; 12] = [
    "id",
    "user",
    "batchType",
    "name",
    "appId",
    "appUrl",
    "appState",
    "appDiagnostic",
    "kyuubiInstance",
    "state",
    "createTime",
    "endTime",
];

/// Keys and values in the order of the document, each key once.
pub(crate) type Pairs = Vec<(String, Option<String>)>;

/// The body of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchRequest {
    pub(crate) batch_type: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) class_name: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) conf: Option<Pairs>,
    pub(crate) args: Vec<Option<String>>,
    /// Conf keys, and the names of the uploaded files that each is to list.
    pub(crate) extra_resources: Option<Pairs>,
    /// Members that Kyuubi passes over, with their JSON: a later one may know them.
    pub(crate) others: Vec<(String, String)>,
}

impl Default for BatchRequest {
    fn default() -> Self {
        Self {
            batch_type: None,
            resource: None,
            class_name: None,
            name: None,
            conf: None,
            args: Vec::new(),
            // Left out it is empty; only null is none.
            extra_resources: Some(Vec::new()),
            others: Vec::new(),
        }
    }
}

/// A batch as clients are shown it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchObject<'a> {
    #[serde(serialize_with = "as_text")]
    pub(crate) id: Uuid,
    pub(crate) user: &'a str,
    pub(crate) batch_type: &'static str,
    pub(crate) name: Option<&'a str>,
    /// Not there for clients of 1.6, which fail on members that they do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_start_time: Option<i64>,
    pub(crate) app_id: Option<&'a str>,
    pub(crate) app_url: Option<&'a str>,
    pub(crate) app_state: Option<&'static str>,
    pub(crate) app_diagnostic: Option<&'a str>,
    pub(crate) kyuubi_instance: Option<Cow<'a, str>>,
    pub(crate) state: &'static str,
    pub(crate) create_time: i64,
    pub(crate) end_time: i64,
    /// Not there for clients of 1.6 either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch_info: Option<BatchInfo>,
}

fn as_text<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// What is said of a batch beside its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchInfo {
    Nothing,
    /// The submit's id was known.
    Duplicated,
}

impl Serialize for BatchInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_map(Some(0))?.end(),
            Self::Duplicated => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("kyuubi.batch.duplicated", "true")?;
                map.end()
            }
        }
    }
}

/// Lines of a log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OperationLog<'a> {
    pub(crate) log_row_set: &'a [String],
    pub(crate) row_count: usize,
}

/// What became of a batch that was to be ended.
#[derive(Debug, Serialize)]
pub(crate) struct CloseBatchResponse<'a> {
    pub(crate) success: bool,
    pub(crate) msg: &'a str,
}

/// What is served.
#[derive(Debug, Serialize)]
pub(crate) struct VersionInfo<'a> {
    pub(crate) version: &'a str,
}

/// What the web page is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebUiConfig {
    #[serde(rename = "engineUIProxyEnabled")]
    pub(crate) engine_ui_proxy_enabled: bool,
}

/// Every error but the container's.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) message: &'a str,
}
