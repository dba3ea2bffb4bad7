//! What an operator may say about a local backend.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use batchlingua_wire::{ConfigError, Settings};

use crate::runner::RUN_JOB;

/// The settings of `[backend.<any>]` with `kind = "local"`.
#[derive(Clone, Debug)]
pub struct Config {
    /// `dir`: where jobs have their folders.
    pub dir: PathBuf,
    /// `allow_dirs`: where the files lie that a batch may name.
    pub allow_dirs: Vec<PathBuf>,
    /// `concurrency`: how many jobs run at once.
    pub concurrency: usize,
    /// `max_queued`: how many wait at most; more are refused.
    pub max_queued: usize,
    /// `spark`: whether to use Spark where there is one.
    pub spark: bool,
    /// `spark_home`: which Spark, if not the one that is found.
    pub spark_home: Option<PathBuf>,
    /// `spark_master`: what Spark is told as its master, over anything a batch says.
    pub spark_master: String,
    /// `python`: what runs Python programs.
    pub python: Option<String>,
    /// `java`: what runs archives.
    pub java: Option<String>,
    /// `impersonation`: whether Spark is told the batch's user as `--proxy-user`.
    pub impersonation: bool,
    /// `cancel_grace`: how long a job may take to end by itself once it is told to.
    pub cancel_grace: Duration,
    /// `keep_for`: how long the folder of an ended job is kept.
    pub keep_for: Duration,
    /// `pass_env`: variables of the proxy's environment that jobs get although their names look like secrets'.
    pub pass_env: Vec<String>,
    /// `runner`: the program and arguments that run one job; this binary by default.
    pub runner: Vec<OsString>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: "batchlingua-data/jobs".into(),
            allow_dirs: vec![".".into()],
            concurrency: 4,
            max_queued: 1_000,
            spark: true,
            spark_home: None,
            spark_master: "local[*]".to_owned(),
            python: None,
            java: None,
            impersonation: false,
            cancel_grace: Duration::from_secs(10),
            keep_for: Duration::from_secs(30 * 86_400),
            pass_env: Vec::new(),
            // By its handle and not by its path: an upgrade replaces the file while the old program runs.
            runner: vec!["/proc/self/exe".into(), RUN_JOB.into()],
        }
    }
}

impl Config {
    /// Reads the table; all faults at once.
    pub fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let default = Self::default();
        let paths = |texts: Vec<String>| texts.into_iter().map(PathBuf::from).collect();
        let config = Self {
            dir: settings.text("dir").map_or(default.dir, PathBuf::from),
            allow_dirs: settings.texts("allow_dirs").map_or(default.allow_dirs, paths),
            concurrency: settings.integer("concurrency", 4, 1..=10_000) as usize,
            max_queued: settings.integer("max_queued", 1_000, 0..=1_000_000) as usize,
            spark: settings.flag("spark", default.spark),
            spark_home: settings.text("spark_home").map(PathBuf::from),
            spark_master: settings.text("spark_master").unwrap_or(default.spark_master),
            python: settings.text("python"),
            java: settings.text("java"),
            impersonation: settings.flag("impersonation", default.impersonation),
            cancel_grace: settings.duration("cancel_grace", default.cancel_grace),
            keep_for: settings.duration("keep_for", default.keep_for),
            pass_env: settings.texts("pass_env").unwrap_or_default(),
            runner: match settings.texts("runner") {
                Some(runner) => runner.into_iter().map(OsString::from).collect(),
                None => default.runner,
            },
        };
        if config.runner.is_empty() {
            settings.fault("runner", "must name a program");
        }
        if config.spark_master.is_empty() {
            settings.fault("spark_master", "must not be empty; the default is \"local[*]\"");
        }
        settings.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_table_gives_the_defaults_and_faults_are_collected() {
        let config = Config::read(Settings::new("backend.here", json!({}))).expect("defaults");
        assert_eq!((config.concurrency, config.spark_master.as_str()), (4, "local[*]"));
        let table = json!({"concurrency": 0, "spark_master": "", "runner": [], "alow_dirs": []});
        let faults = Config::read(Settings::new("backend.here", table)).expect_err("faults");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(
            paths,
            ["backend.here.concurrency", "backend.here.runner", "backend.here.spark_master", "backend.here.alow_dirs"]
        );
    }
}
