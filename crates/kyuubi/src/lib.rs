//! The Kyuubi dialect: batches as Apache Kyuubi 1.12 serves them under `/api/v1`.
//!
//! What Kyuubi says to a request it says here byte by byte, refusals and their statuses included: most of a client's faults are a 500
//! whose text people and programs search. It differs where Kyuubi is the worse for it: a refused submit leaves nothing behind, an id in
//! capitals is the same id and cancels nobody's batch, a DELETE keeps the log and tells no stored conf, and no credential is echoed.
//! Sessions, operations, administration and the OpenAPI document are not there.
//!
//! And Kyuubi as a platform, from 1.6 to 1.12 (`backend`).

mod answer;
mod backend;
mod bind;
mod client;
mod convert;
mod credentials;
mod cursors;
mod dialect;
mod dto;
mod error;
mod fields;
mod form;
mod ids;
mod instance;
mod lines;
mod mapping;
mod native;
mod plan;
mod refusal;
mod seen;
mod settings;
mod state;
mod upload;
mod version;
mod window;

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod broken;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replay;

use std::sync::Arc;

use batchlingua_wire::{Adapter, ConfigError, Dialect, Opener, Platform, Settings};

use crate::{backend::KyuubiBackend, dialect::KyuubiDialect, settings::BackendSettings, version::Version};

/// Its name.
const NAME: &str = "kyuubi";

/// Kyuubi.
pub const ADAPTER: Adapter = Adapter {
    name: NAME,
    dialect: Some(make_dialect),
    platform: Some(platform),
    mappings: &[&mapping::MAPPING],
    counts_ids: false,
    relays: false,
    example: "url = \"http://127.0.0.1:10099\"",
};

/// `[dialect.kyuubi]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FrontSettings {
    /// What `/version` says. Clients branch on it.
    version: String,
    /// Whether a submit may bring its files.
    upload: bool,
    /// How deep a body may be nested.
    json_depth: usize,
    /// Most bytes of a request's JSON.
    max_body: usize,
}

impl FrontSettings {
    fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let read = Self {
            version: settings.text("version").unwrap_or_else(|| "1.12.0".to_owned()),
            upload: settings.flag("upload", true),
            json_depth: usize::try_from(settings.integer("json_depth", 64, 1..=1_000)).unwrap_or(64),
            max_body: usize::try_from(settings.bytes("max_body", 16 << 20)).unwrap_or(usize::MAX),
        };
        if Version::parse(&read.version).is_none() {
            settings.fault("version", "must begin with three numbers, such as \"1.12.0\": clients parse it");
        }
        settings.finish().map(|()| read)
    }

    /// Whether it is as old as the clients that fail on a member that they do not know.
    fn is_strict(&self) -> bool {
        Version::parse(&self.version).is_some_and(|version| version < Version::IDS)
    }
}

fn make_dialect(settings: Settings) -> Result<Arc<dyn Dialect>, Vec<ConfigError>> {
    Ok(Arc::new(KyuubiDialect::new(FrontSettings::read(settings)?)))
}

fn platform(settings: Settings) -> Result<Opener, Vec<ConfigError>> {
    let settings = BackendSettings::read(settings)?;
    Ok(Box::new(move |open| {
        Box::pin(async move {
            let backend = KyuubiBackend::new(open.name, settings)?;
            Ok(Platform::new(Arc::new(backend)))
        })
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_kyuubis_defaults_and_tell_what_is_wrong() {
        let settings = |value| FrontSettings::read(Settings::new("dialect.kyuubi", value));
        let default = settings(json!({})).expect("all keys have defaults");
        assert_eq!((default.version.as_str(), default.upload, default.json_depth), ("1.12.0", true, 64));
        let faults = settings(json!({"version": "latest", "upload": "no", "uploads": true})).expect_err("three faults");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["dialect.kyuubi.upload", "dialect.kyuubi.version", "dialect.kyuubi.uploads"]);
    }

    #[test]
    fn only_clients_before_1_7_are_strict() {
        let strict = |version: &str| {
            FrontSettings::read(Settings::new("dialect.kyuubi", json!({"version": version})))
                .expect("a version")
                .is_strict()
        };
        assert!(strict("1.6.1-incubating"));
        assert!(!strict("1.7.0") && !strict("1.12.0") && !strict("1.13.0-SNAPSHOT"));
    }
}
