//! The Kylin dialect: the job API of Apache Kylin 5 at `/kylin/api/jobs`, and that of Kylin 2 to 4 on the same paths.
//!
//! A job is a batch that came by another dialect, since Kylin's API cannot submit one, or a job of a real Kylin (`backend`). Three faces
//! stand on one path (v4, v2 and the legacy one), and `Accept` chooses. It differs from Kylin where Kylin is the worse for it, unless
//! `strict` is set: who names no vendor type is answered by what its parameters are, a status call may say in its query what it does not say
//! in a body, and `GET /jobs/{id}` is there in every face.
//!
//! It differs in either case in four things. Discarding a failed job is answered as done and changes nothing, since a failure stays one
//! for the clients of all dialects; so a job that has failed can be dropped as it is. (A real Kylin's own job is discarded there: to a Kylin
//! a failure is no end.) A call on many jobs does nothing at all if it cannot do all, where Kylin would stop half-way. Projects are named
//! with their capitals, where Kylin finds them by any in a body: here every name may be a project, so two that differ in capitals are two.
//! And a page has at most 10,000 rows.

mod answer;
mod backend;
mod client;
mod control;
mod convert;
mod dialect;
mod door;
mod dto;
mod error;
mod face;
mod lines;
mod list;
mod log;
mod mapping;
mod native;
mod period;
mod projects;
mod query;
mod refusal;
mod row;
mod seen;
mod session;
mod settings;
mod span;
mod state;

#[cfg(test)]
mod anything;
#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod support;

use std::sync::Arc;

use batchlingua_core::SystemClock;
use batchlingua_wire::{Adapter, Client, ConfigError, Dialect, Opener, Platform, Settings};

use crate::{backend::KylinBackend, dialect::KylinDialect, list::LegacyVersion, settings::BackendSettings};

/// Its name.
const NAME: &str = "kylin";

/// Kylin.
pub const ADAPTER: Adapter = Adapter {
    name: NAME,
    dialect: Some(make_dialect),
    platform: Some(platform),
    mappings: &[&mapping::MAPPING],
    counts_ids: false,
    relays: false,
    example: "url = \"http://127.0.0.1:7070\"",
};

/// `[dialect.kylin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FrontSettings {
    /// Whether requests that Kylin 5 refuses for their form are refused here too.
    strict: bool,
    /// What every job shows as its kind that is no Kylin's own.
    job_name: String,
    /// The project of jobs that came without one.
    default_project: String,
    /// What the legacy face's `timeFilter` means.
    legacy_version: LegacyVersion,
    /// How deep a body may be nested.
    json_depth: usize,
    /// Most bytes of a body.
    max_body: usize,
}

impl FrontSettings {
    fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let read = Self {
            strict: settings.flag("strict", false),
            job_name: settings.text("job_name").unwrap_or_else(|| "SPARK_BATCH".to_owned()),
            default_project: settings.text("default_project").unwrap_or_else(|| "default".to_owned()),
            legacy_version: match settings.integer("legacy_version", 3, 2..=4) {
                2 => LegacyVersion::Two,
                _ => LegacyVersion::ThreeOrFour,
            },
            json_depth: usize::try_from(settings.integer("json_depth", 64, 1..=1_000)).unwrap_or(64),
            max_body: usize::try_from(settings.bytes("max_body", 16 << 20)).unwrap_or(usize::MAX),
        };
        for (key, text) in [("job_name", &read.job_name), ("default_project", &read.default_project)] {
            if text.trim().is_empty() || text.contains(',') {
                settings.fault(key, "must be a word without a comma: clients send it back in lists");
            }
        }
        settings.finish().map(|()| read)
    }
}

fn make_dialect(settings: Settings) -> Result<Arc<dyn Dialect>, Vec<ConfigError>> {
    Ok(Arc::new(KylinDialect::new(FrontSettings::read(settings)?, Arc::new(SystemClock))))
}

fn platform(settings: Settings) -> Result<Opener, Vec<ConfigError>> {
    let settings = BackendSettings::read(settings)?;
    Ok(Box::new(move |open| {
        Box::pin(async move {
            let http = Client::new(open.name, &settings.client, None)?;
            Ok(Platform::new(Arc::new(KylinBackend::new(http, &settings, open.clock))))
        })
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_defaults_and_tell_what_is_wrong() {
        let settings = |value| FrontSettings::read(Settings::new("dialect.kylin", value));
        let default = settings(json!({})).expect("all keys have defaults");
        assert_eq!((default.strict, default.job_name.as_str()), (false, "SPARK_BATCH"));
        assert_eq!((default.default_project.as_str(), default.legacy_version), ("default", LegacyVersion::ThreeOrFour));
        let wrong = json!({"strikt": true, "job_name": " ", "default_project": "a,b", "legacy_version": 5});
        let faults = settings(wrong).expect_err("four faults");
        let mut paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        paths.sort_unstable();
        let keys = ["default_project", "job_name", "legacy_version", "strikt"];
        assert_eq!(paths, keys.map(|key| format!("dialect.kylin.{key}")));
        assert!(faults.iter().any(|fault| fault.message.contains("`strict`")), "{faults:?}");
    }
}
