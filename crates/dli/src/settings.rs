//! `[backend.NAME]` of kind `dli`.

use std::{collections::HashMap, time::Duration};

use batchlingua_core::{BackendName, Error, ErrorKind, Fault, PathMap, Project, Result};
use batchlingua_wire::{AuthScheme, ClientConfig, ConfigError, Settings};

use crate::{names, sizes};

/// Ways to prove to a DLI who asks.
const SCHEMES: &[AuthScheme] = &[AuthScheme::Token, AuthScheme::Signature, AuthScheme::Caller];

/// Members of a create that the configuration may give to submits of clients whose dialects have no word for them.
const DEFAULTS: [&str; 7] =
    ["sc_type", "feature", "spark_version", "image", "obs_bucket", "catalog_name", "execution_agency_urn"];

/// What a DLI is spoken to with.
#[derive(Clone, Debug)]
pub(crate) struct BackendSettings {
    /// How it is reached.
    pub(crate) client: ClientConfig,
    /// Which project a batch runs in.
    pub(crate) scope: Scope,
    /// Which queue.
    pub(crate) queues: Queues,
    /// What becomes of paths.
    pub(crate) paths: Paths,
    /// How a submit is found again.
    pub(crate) echo: Echo,
    /// How long after a submit of unknown outcome its absence is not yet believed.
    pub(crate) settle: Duration,
    /// How far back walks go.
    pub(crate) walk_back: Duration,
    /// What clients of other dialects cannot say: members, and their texts.
    pub(crate) defaults: Vec<(&'static str, String)>,
}

/// The projects of a backend.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Its own.
    pub(crate) own: Option<Project>,
    /// Whether the project in a client's path is the batch's.
    pub(crate) is_clients: bool,
    /// Which are walked beside its own.
    pub(crate) others: Vec<Project>,
}

/// The queues of a backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues {
    /// Where a batch runs that names none.
    pub(crate) default: Option<String>,
    /// What other platforms' queues are here.
    pub(crate) names: HashMap<String, String>,
}

/// Other beginnings for paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths {
    pub(crate) map: PathMap,
    beginnings: Vec<String>,
}

/// Where a DLI gives back what a submit was marked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    /// In the conf of `req_body`.
    Conf,
    /// In the name.
    Name,
}

impl BackendSettings {
    pub(crate) fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let client = ClientConfig::read(&mut settings, SCHEMES);
        let scope = scope(&mut settings);
        let queues = queues(&mut settings);
        let paths = Paths::new(settings.pairs_of("paths"));
        let echo = match settings.text("echo").as_deref() {
            None | Some("conf") => Echo::Conf,
            Some("name") => Echo::Name,
            Some(_) => {
                settings.fault("echo", "must be \"conf\" or \"name\"");
                Echo::Conf
            }
        };
        let settle = settings.duration("settle", Duration::from_secs(30));
        let walk_back = settings.duration("walk_back", Duration::from_secs(30 * 86_400));
        let defaults = defaults(&mut settings);
        settings.finish()?;
        // Without one there was a fault.
        let client = client.ok_or_else(Vec::new)?;
        Ok(Self { client, scope, queues, paths, echo, settle, walk_back, defaults })
    }
}

fn scope(settings: &mut Settings) -> Scope {
    let is_given = settings.has("project_id");
    let own = project(settings, "project_id");
    let is_clients = match settings.text("project").as_deref() {
        None | Some("backend") => false,
        Some("client") => true,
        Some(_) => {
            settings
                .fault("project", "must be \"backend\" (its `project_id`) or \"client\" (of the client's own path)");
            false
        }
    };
    if !is_given && !is_clients {
        settings
            .fault("project_id", "must be the id of the project that batches run in, unless `project = \"client\"`");
    }
    let mut others: Vec<Project> = Vec::new();
    for name in settings.texts("projects").unwrap_or_default() {
        match names::is_project(&name) {
            true if own.as_ref().is_some_and(|own| own.as_str() == name) => {}
            true => others.push(name.into()),
            false => settings.fault("projects", PROJECT_RULE),
        }
    }
    Scope { own, is_clients, others }
}

const PROJECT_RULE: &str = "a project's id has 1 to 64 letters and digits";

fn project(settings: &mut Settings, key: &'static str) -> Option<Project> {
    let given = settings.text(key)?;
    if !names::is_project(&given) {
        settings.fault(key, PROJECT_RULE);
    }
    Some(given.into())
}

fn queues(settings: &mut Settings) -> Queues {
    let rule = format!("must be a queue's name: {}", names::QUEUE_RULE);
    let given = settings.text("queue");
    let default = given.as_deref().and_then(names::queue);
    if given.is_some() && default.is_none() {
        settings.fault("queue", &rule);
    }
    let mut queues = HashMap::new();
    for (from, to) in settings.pairs_of("queues") {
        match names::queue(&to) {
            Some(to) => _ = queues.insert(from, to),
            None => settings.fault("queues", format!("what stands for \"{from}\" {rule}")),
        }
    }
    Queues { default, names: queues }
}

fn defaults(settings: &mut Settings) -> Vec<(&'static str, String)> {
    let mut table = settings.table("defaults");
    let given = DEFAULTS.into_iter().filter_map(|name| Some((name, table.text(name)?)));
    let given: Vec<_> = given.filter(|(_, value)| !value.is_empty()).collect();
    for (name, value) in &given {
        match *name {
            "sc_type" if sizes::preset(value).is_none() => table.fault(name, "must be \"A\", \"B\" or \"C\""),
            "feature" if !matches!(value.as_str(), "basic" | "ai" | "custom") => {
                table.fault(name, "must be \"basic\", \"ai\" or \"custom\"");
            }
            _ => {}
        }
    }
    settings.absorb(table.finish().err().unwrap_or_default());
    given
}

impl Scope {
    /// The project that a batch of a client runs in that names this one.
    pub(crate) fn for_batch(&self, named: Option<&Project>, backend: &BackendName) -> Result<Project> {
        let refused = |message: String| {
            let kind = ErrorKind::InvalidRequest { field: "project".to_owned(), fault: Fault::NotAllowed };
            Err(Error::new(kind, message))
        };
        match (named.filter(|_| self.is_clients), &self.own) {
            (Some(named), _) if names::is_project(named.as_str()) => Ok(named.clone()),
            (Some(named), _) => {
                refused(format!("'{named}' can be no project of DLI: it must be an id of letters and digits"))
            }
            (None, Some(own)) => Ok(own.clone()),
            (None, None) => refused(format!(
                "backend '{backend}' runs a batch in the project that its client names, and none is named: send it by a path that has one, \
                 or have the operator set `project_id`"
            )),
        }
    }

    /// All that are walked.
    pub(crate) fn walked(&self) -> impl Iterator<Item = &Project> {
        self.own.iter().chain(&self.others)
    }
}

impl Paths {
    fn new(pairs: Vec<(String, String)>) -> Self {
        let beginnings = pairs.iter().map(|(from, _)| from.clone()).collect();
        Self { map: PathMap::new(pairs), beginnings }
    }

    /// The path there.
    pub(crate) fn apply(&self, path: &str) -> String {
        self.map.apply(path).unwrap_or_else(|| path.to_owned())
    }

    /// Whether somebody has thought about it, if only to say that it is the same there.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.beginnings.iter().any(|beginning| path.starts_with(beginning.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut table: Value) -> Result<BackendSettings, Vec<String>> {
        table["url"] = json!("https://dli.example.com");
        BackendSettings::read(Settings::new("backend.b", table))
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_project_is_all_that_has_to_be_said() {
        let read = read(json!({"project_id": "p1"})).expect("good");
        assert_eq!((read.scope.own, read.scope.is_clients, read.echo), (Some("p1".into()), false, Echo::Conf));
        assert_eq!((read.settle, read.walk_back), (Duration::from_secs(30), Duration::from_secs(30 * 86_400)));
        assert!(read.defaults.is_empty() && read.queues.default.is_none());
    }

    #[test]
    fn each_fault_is_told_with_its_key() {
        for (table, key, says) in [
            (json!({}), "project_id", "must be the id"),
            (json!({"project_id": "a-b"}), "project_id", "1 to 64 letters and digits"),
            (json!({"project_id": 7}), "project_id", "must be a text"),
            (json!({"project_id": "p", "project": "both"}), "project", "must be"),
            (json!({"project_id": "p", "projects": ["a/b"]}), "projects", "letters and digits"),
            (json!({"project_id": "p", "queue": "a b"}), "queue", "must be a queue's name"),
            (json!({"project_id": "p", "queues": {"root.a": "root.a"}}), "queues", "\"root.a\" must be"),
            (json!({"project_id": "p", "queues": {"a": 1}}), "queues.a", "must be a text"),
            (json!({"project_id": "p", "paths": {"/": 1}}), "paths./", "must be a text"),
            (json!({"project_id": "p", "echo": "tags"}), "echo", "\"conf\" or \"name\""),
            (json!({"project_id": "p", "defaults": {"sc_type": "D"}}), "defaults.sc_type", "\"A\""),
            (json!({"project_id": "p", "defaults": {"feature": "gold"}}), "defaults.feature", "\"basic\""),
            (json!({"project_id": "p", "defaults": {"spark_versoin": "3"}}), "defaults.spark_versoin", "did you mean"),
            (
                json!({"project_id": "p", "auth": {"basic": {"user": "a", "password": "b"}}}),
                "auth.basic",
                "does not take",
            ),
            (json!({"project_id": "p", "settel": "1s"}), "settel", "did you mean `settle`"),
        ] {
            let told = read(table.clone()).expect_err("a fault");
            assert!(told[0].starts_with(&format!("backend.b.{key}: ")) && told[0].contains(says), "{table}: {told:?}");
            assert_eq!(told.len(), 1, "{table}: {told:?}");
        }
        read(json!({"project": "client"})).expect("the clients bring one");
    }

    #[test]
    fn a_project_of_its_own_is_walked_once() {
        let scope = read(json!({"project_id": "p1", "projects": ["p2", "p1"]})).expect("good").scope;
        assert_eq!(scope.walked().map(Project::as_str).collect::<Vec<_>>(), ["p1", "p2"]);
    }
}
