//! The DLI dialect and platform: batches as Huawei Cloud's Data Lake Insight serves them at `/v2.0/{project_id}/batches`, and batches on a DLI.
//!
//! Two live generations of clients are served by one face: bodies in camelCase and in snake_case, filters under their old and their new
//! names, tokens and signatures. Where the service's own behaviour is not known, what its stock clients can live with decides.
//!
//! [`signature`] is public: whoever checks a signature, or signs towards a real DLI, needs the same texts.

mod answer;
mod backend;
mod bind;
mod client;
mod convert;
mod credentials;
mod dialect;
mod dto;
mod echo;
mod error;
mod fields;
mod logs;
mod mapping;
mod names;
mod plan;
mod query;
mod row;
mod seen;
mod settings;
mod shown;
pub mod signature;
mod signer;
mod sizes;
mod state;

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod support;

use std::sync::Arc;

use batchlingua_core::SystemClock;
use batchlingua_wire::{Adapter, ConfigError, Dialect, Opener, Settings};

use crate::{dialect::DliDialect, settings::BackendSettings};

/// Its name.
const NAME: &str = "dli";

/// DLI.
pub const ADAPTER: Adapter = Adapter {
    name: NAME,
    dialect: Some(make_dialect),
    platform: Some(platform),
    mappings: &[&mapping::MAPPING],
    counts_ids: false,
    relays: false,
    example: "url = \"https://dli.example.com\"\nproject_id = \"48cc2c48765f481480c7db940d6409d1\"",
};

/// `[dialect.dli]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FrontSettings {
    /// The queue of a batch whose client names none.
    default_queue: Option<String>,
    /// How deep a body may be nested.
    json_depth: usize,
    /// Most bytes of a body, unpacked.
    max_body: usize,
}

impl FrontSettings {
    fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let given = settings.text("default_queue");
        let default_queue = given.as_deref().and_then(names::queue);
        if given.is_some() && default_queue.is_none() {
            settings.fault("default_queue", format!("must be a queue's name: {}", names::QUEUE_RULE));
        }
        let json_depth = settings.integer("json_depth", 64, 1..=1_000);
        let max_body = settings.bytes("max_body", 16 << 20);
        let read = Self {
            default_queue,
            json_depth: usize::try_from(json_depth).unwrap_or(usize::MAX),
            max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
        };
        settings.finish().map(|()| read)
    }
}

fn make_dialect(settings: Settings) -> Result<Arc<dyn Dialect>, Vec<ConfigError>> {
    Ok(Arc::new(DliDialect::new(FrontSettings::read(settings)?, Arc::new(SystemClock))))
}

fn platform(settings: Settings) -> Result<Opener, Vec<ConfigError>> {
    let settings = BackendSettings::read(settings)?;
    Ok(Box::new(move |context| Box::pin(async move { backend::open(context, settings) })))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_defaults_and_tell_what_is_wrong() {
        let settings = |value| FrontSettings::read(Settings::new("dialect.dli", value));
        let default = settings(json!({})).expect("all keys have defaults");
        assert_eq!(default, FrontSettings { default_queue: None, json_depth: 64, max_body: 16 << 20 });
        let queue = settings(json!({"default_queue": "ETL_q"})).expect("a queue").default_queue;
        assert_eq!(queue.as_deref(), Some("etl_q"));
        let faults = settings(json!({"default_queue": "_q", "json_depth": 0, "default_que": "q"})).expect_err("faults");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["dialect.dli.default_queue", "dialect.dli.json_depth", "dialect.dli.default_que"]);
    }
}
