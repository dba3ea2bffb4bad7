//! What a call for an interactive session must say. It is refused in the end where no Livy is behind the proxy, but a client whose call is wrong
//! is told that first, as by a Livy: it would go on with the wrong thing where there is one.
//!
//! [`CreateSession`] is the other target class of Jackson's: what a batch has but for its file, class and arguments, and four members of its
//! own. Of what Livy looks at after that, here stand the durations and the name; whom it would run as and what would start it need a Livy.

use batchlingua_core::{Conf, Fault, Result};

use crate::{
    convert::check_name,
    dto::{Class, Count, List, Nullable, Slot, Target},
    error::rejected,
};

const MEMBERS: [&str; 17] = [
    "executorCores",
    "conf",
    "driverMemory",
    "name",
    "driverCores",
    "idleTimeout",
    "pyFiles",
    "archives",
    "kind",
    "files",
    "jars",
    "proxyUser",
    "numExecutors",
    "heartbeatTimeoutInSecond",
    "ttl",
    "queue",
    "executorMemory",
];

const KINDS: [&str; 8] = ["spark", "scala", "pyspark", "python", "sparkr", "r", "shared", "sql"];

/// What may follow the digits of a duration.
const SUFFIXES: [&str; 7] = ["us", "ms", "s", "m", "min", "h", "d"];

/// The body of a call for a session. It is read to be checked: nothing is made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CreateSession {
    kind: Option<String>,
    name: Option<String>,
    ttl: Option<String>,
    idle_timeout: Option<String>,
    pub(crate) proxy_user: Option<String>,
    pub(crate) queue: Option<String>,
    text: Option<String>,
    list: List,
    count: Option<Count>,
    pub(crate) conf: Nullable<Conf>,
}

impl Target for CreateSession {
    const CLASS: Class = Class {
        name: "org.apache.livy.server.interactive.CreateInteractiveRequest",
        members: &MEMBERS,
        what: "a session",
    };

    /// Members of which only the shape is looked at share a place.
    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match name {
            "kind" => Slot::Word(&mut self.kind, no_kind),
            "name" => Slot::Text(&mut self.name),
            "ttl" => Slot::Text(&mut self.ttl),
            "idleTimeout" => Slot::Text(&mut self.idle_timeout),
            "proxyUser" => Slot::Text(&mut self.proxy_user),
            "queue" => Slot::Text(&mut self.queue),
            "driverMemory" | "executorMemory" => Slot::Text(&mut self.text),
            "jars" | "pyFiles" | "files" | "archives" => Slot::List(&mut self.list),
            "driverCores" | "executorCores" | "numExecutors" | "heartbeatTimeoutInSecond" => {
                Slot::Count(&mut self.count)
            }
            "conf" => Slot::Pairs(&mut self.conf),
            _ => return None,
        })
    }
}

fn no_kind(word: &str) -> Option<String> {
    (!KINDS.contains(&word)).then(|| format!("Invalid kind: {word}"))
}

/// Looks at what the shapes do not say.
pub(crate) fn check(session: &CreateSession) -> Result<()> {
    check_duration("ttl", session.ttl.as_deref())?;
    check_duration("idleTimeout", session.idle_timeout.as_deref())?;
    check_name(session.name.as_deref())
}

fn check_duration(member: &str, given: Option<&str>) -> Result<()> {
    let Some(given) = given else { return Ok(()) };
    let time = given.to_lowercase();
    let unsigned = time.strip_prefix('-').unwrap_or(&time);
    let suffix = unsigned.trim_start_matches(|c: char| c.is_ascii_digit());
    let reason = match suffix {
        _ if suffix.len() == unsigned.len() || suffix.contains(|c: char| !c.is_ascii_lowercase()) => {
            format!("Invalid time string: {given}")
        }
        "" => return Ok(()),
        suffix if SUFFIXES.contains(&suffix) => return Ok(()),
        suffix => format!("Invalid suffix: \"{suffix}\""),
    };
    Err(rejected(member, Fault::Malformed, &reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind;

    fn refusal(body: &str) -> Option<String> {
        let read = bind::read::<CreateSession>(body.as_bytes(), 64).map(Option::unwrap_or_default);
        let error = read.and_then(|session| check(&session)).err()?;
        let native = error.native.expect("Livy's own words");
        assert_eq!(native.status, 400);
        Some(String::from_utf8_lossy(&native.body).into_owned())
    }

    #[test]
    fn every_listed_member_has_its_place_and_no_other_has() {
        let mut session = CreateSession::default();
        assert!(MEMBERS.iter().all(|name| session.slot(name).is_some()));
        for unknown in ["file", "className", "args", "Kind", ""] {
            assert!(session.slot(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn kinds_and_durations_are_livys() {
        for right in [
            r#"{}"#,
            r#"{"kind": "sql", "ttl": "10", "idleTimeout": "-5MIN", "heartbeatTimeoutInSecond": 60}"#,
            r#"{"kind": null, "ttl": null, "name": "nb", "conf": {"spark.ui.enabled": false}, "jars": []}"#,
        ] {
            assert_eq!(refusal(right), None, "{right}");
        }
        for (wrong, told) in [
            (r#"{"kind": "pyspark3"}"#, r#""Invalid kind: pyspark3 (through reference chain: "#),
            (r#"{"kind": 1}"#, r#""requirement failed: Kind should be a string. (through reference chain: "#),
            (r#"{"ttl": "5x"}"#, r#"{"msg":"Rejected, Reason: Invalid suffix: \"x\""}"#),
            (r#"{"ttl": "1.5h"}"#, r#"{"msg":"Rejected, Reason: Invalid time string: 1.5h"}"#),
            (r#"{"idleTimeout": ""}"#, r#"{"msg":"Rejected, Reason: Invalid time string: "}"#),
            (r#"{"name": "12"}"#, r#"{"msg":"Rejected, Reason: Invalid session name: 12"}"#),
            (r#"{"file": "/a"}"#, r#""Unrecognized field \"file\" (class org.apache.livy.server.interactive."#),
            (r#"{"jars": "/a"}"#, r#""Cannot deserialize value of type `scala.collection.immutable.List<"#),
        ] {
            let said = refusal(wrong).unwrap_or_default();
            assert!(said.starts_with(told), "{wrong} gave {said}");
        }
    }
}
