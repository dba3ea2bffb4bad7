//! What a job's folder says, as files of JSON.
//!
//! `launch.json` is the whole of what the runner needs and the only one that may hold secrets: it is removed at the job's end.
//! `meta.json` is what a list needs after a restart, with secrets masked. `exit.json` is the end, written once.

use std::{collections::BTreeMap, path::PathBuf};

use batchlingua_core::{BatchKind, BatchSpec, BatchState, Conf, Millis, Principal, Project, Size, redact};
use serde::{Deserialize, Serialize};

/// The exact command, what it needs around it, and how it is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// A path, or a name to be found on PATH.
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// Set over what the proxy's environment gives.
    pub(crate) env: BTreeMap<String, String>,
    /// Made before the start, relative to the job's folder.
    pub(crate) links: Vec<Link>,
    /// From TERM to KILL.
    pub(crate) cancel_grace_ms: u64,
}

/// A symbolic link in the job's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) name: PathBuf,
    pub(crate) target: PathBuf,
}

/// Where a job stands in the order of acceptance; all that the table keeps of an ended job's `meta.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) created_ms: i64,
}

/// What a list needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    #[serde(flatten)]
    pub(crate) place: Place,
    owner: String,
    owner_verified: bool,
    project: Option<String>,
    kind: String,
    file: Option<String>,
    class_name: Option<String>,
    args: Vec<String>,
    jars: Vec<String>,
    py_files: Vec<String>,
    files: Vec<String>,
    archives: Vec<String>,
    driver_memory: Option<String>,
    driver_cores: Option<i64>,
    executor_memory: Option<String>,
    executor_cores: Option<i64>,
    executors: Option<i64>,
    queue: Option<String>,
    name: Option<String>,
    conf: Vec<(String, String)>,
    run_as: Option<String>,
}

impl Meta {
    /// Masks secrets. Extensions stay out: they are for the client's dialect, which has them from the ledger.
    pub(crate) fn new(place: Place, owner: &Principal, project: Option<&Project>, spec: &BatchSpec) -> Self {
        let paths = |paths: &[String]| paths.iter().map(|path| redact::line(path)).collect();
        Self {
            place,
            owner: owner.name.to_string(),
            owner_verified: owner.verified,
            project: project.map(|project| project.as_str().to_owned()),
            kind: spec.kind.as_str().to_owned(),
            file: spec.file.as_deref().map(redact::line),
            class_name: spec.class_name.clone(),
            args: redact::args(&spec.args),
            jars: paths(&spec.jars),
            py_files: paths(&spec.py_files),
            files: paths(&spec.files),
            archives: paths(&spec.archives),
            driver_memory: spec.driver.memory.clone(),
            driver_cores: spec.driver.cores,
            executor_memory: spec.executor.memory.clone(),
            executor_cores: spec.executor.cores,
            executors: spec.executors,
            queue: spec.queue.clone(),
            name: spec.name.clone(),
            conf: spec.conf.iter().map(|(key, value)| (key.into(), redact::conf_value(key, value).into())).collect(),
            run_as: spec.run_as.clone(),
        }
    }

    pub(crate) fn owner(&self) -> Principal {
        Principal { name: self.owner.as_str().into(), verified: self.owner_verified }
    }

    pub(crate) fn project(&self) -> Option<Project> {
        self.project.as_deref().map(Project::from)
    }

    /// What was submitted, secrets masked.
    pub(crate) fn into_spec(self) -> BatchSpec {
        BatchSpec {
            kind: BatchKind::of_word(&self.kind).unwrap_or(BatchKind::Other),
            file: self.file,
            class_name: self.class_name,
            args: self.args,
            jars: self.jars,
            py_files: self.py_files,
            files: self.files,
            archives: self.archives,
            driver: Size { memory: self.driver_memory, cores: self.driver_cores },
            executor: Size { memory: self.executor_memory, cores: self.executor_cores },
            executors: self.executors,
            queue: self.queue,
            name: self.name,
            conf: self.conf.into_iter().collect::<Conf>(),
            run_as: self.run_as,
            extensions: Vec::new(),
        }
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) how: How,
    /// Somebody had asked for the end before it was seen.
    pub(crate) cancelled: bool,
    pub(crate) started_ms: Option<i64>,
    pub(crate) ended_ms: i64,
}

/// How a job's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It never began.
    NotStarted(String),
    /// Nobody saw.
    Unseen,
}

impl Exit {
    /// The state that it means.
    pub(crate) fn state(&self) -> BatchState {
        match &self.how {
            _ if self.cancelled => BatchState::Cancelled,
            How::Code(0) => BatchState::Succeeded,
            How::Code(_) | How::Signal(_) | How::NotStarted(_) => BatchState::Failed,
            How::Unseen => BatchState::Unknown,
        }
    }

    /// Why, in one line.
    pub(crate) fn diagnostic(&self) -> Option<String> {
        match &self.how {
            _ if self.cancelled => None,
            How::Code(0) => None,
            How::Code(code) => Some(format!("exit code {code}")),
            How::Signal(signal) => Some(format!("killed by signal {signal}")),
            How::NotStarted(why) => Some(why.clone()),
            How::Unseen => Some("the job's runner was killed; its exit code is not known".to_owned()),
        }
    }

    pub(crate) fn ended(&self) -> Millis {
        Millis(self.ended_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_comes_back_from_its_record_with_secrets_masked() {
        let mut spec = BatchSpec {
            kind: BatchKind::Python,
            file: Some("http://u:s3cr3t@h/a.py".into()),
            args: vec!["--token".into(), "s3cr3t".into(), "x".into()],
            driver: Size { memory: Some("1g".into()), cores: Some(-1) },
            ..BatchSpec::default()
        };
        spec.conf.set("spark.my.password", "s3cr3t");
        spec.conf.set("spark.a", "1");
        let place = Place { seq: 7, created_ms: 5 };
        let meta = Meta::new(place, &Principal::unverified("ana"), Some(&Project::from("p")), &spec);
        let text = serde_json::to_string(&meta).expect("JSON");
        assert!(!text.contains("s3cr3t"), "{text}");
        assert_eq!(serde_json::from_str::<Place>(&text).expect("the part of it"), place);
        let back: Meta = serde_json::from_str(&text).expect("a record");
        assert_eq!((back.owner().name.as_ref(), back.project()), ("ana", Some(Project::from("p"))));
        let back = back.into_spec();
        assert_eq!((back.kind, back.args.len(), back.driver), (BatchKind::Python, 3, spec.driver));
        assert_eq!(back.conf.get("spark.a"), Some("1"));
    }

    #[test]
    fn ends_mean_states() {
        let end = |how, cancelled| Exit { how, cancelled, started_ms: None, ended_ms: 1 };
        assert_eq!(end(How::Code(0), false).state(), BatchState::Succeeded);
        assert_eq!(end(How::Code(0), true).state(), BatchState::Cancelled);
        assert_eq!(end(How::Code(3), false).diagnostic().as_deref(), Some("exit code 3"));
        assert_eq!(end(How::Signal(9), false).diagnostic().as_deref(), Some("killed by signal 9"));
        assert_eq!(end(How::Unseen, false).state(), BatchState::Unknown);
        assert_eq!(end(How::Unseen, true).state(), BatchState::Cancelled);
    }
}
