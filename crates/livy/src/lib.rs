//! The Livy dialect and platform: batches as Apache Livy 0.9 serves them at `/batches`, and as HDInsight has them at
//! `/livy/batches`; and batches on a Livy of 0.5 to 1.0.
//!
//! What Livy says to a request it says here byte by byte, refusals included, since its clients' habits have grown
//! around its texts. It differs where Livy is the worse for it: counts in strings are taken, `gzip;q=0` is heard,
//! methods are not overridden, and nothing that was refused is listed. Interactive sessions are handed on to a Livy
//! behind the proxy, or answered as by a Livy that has none.

mod answer;
mod backend;
mod bind;
mod client;
mod convert;
mod dialect;
mod dto;
mod error;
mod mapping;
mod names;
mod plan;
mod refusal;
mod relay;
mod seen;
mod session;
mod settings;
mod shown;
mod state;
mod submit;
mod uri;
mod window;

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replay;

use std::sync::Arc;

use batchlingua_wire::{Adapter, Client, ConfigError, Dialect, Opener, Platform, Settings};

use crate::{backend::LivyBackend, dialect::LivyDialect, relay::SessionRelay, settings::BackendSettings};

/// Its name.
const NAME: &str = "livy";

/// Livy.
pub const ADAPTER: Adapter = Adapter {
    name: NAME,
    dialect: Some(make_dialect),
    platform: Some(platform),
    mappings: &[&mapping::MAPPING],
    counts_ids: true,
    relays: true,
    example: "url = \"http://127.0.0.1:8998\"",
};

/// `[dialect.livy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FrontSettings {
    /// Lines that a log keeps, as Livy's 200; 0 keeps all.
    log_lines: u32,
    /// What `/version` says. Clients compare its parts as texts, so the minor version has one digit.
    version: String,
    /// Whether a name is taken by the batch that has it.
    unique_names: bool,
    /// How deep a body may be nested.
    json_depth: usize,
    /// Most bytes of a body, unpacked.
    max_body: usize,
}

impl FrontSettings {
    fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let read = Self {
            log_lines: small(settings.integer("log_lines", 0, 0..=u64::from(window::MOST))),
            version: settings.text("version").unwrap_or_else(|| "0.9.0-incubating".to_owned()),
            unique_names: settings.flag("unique_names", true),
            json_depth: small(settings.integer("json_depth", 64, 1..=1_000)),
            max_body: usize::try_from(settings.bytes("max_body", 16 << 20)).unwrap_or(usize::MAX),
        };
        if !is_version(&read.version) {
            settings.fault("version", "must begin with three numbers, such as \"0.9.0-incubating\": clients parse it");
        }
        settings.finish().map(|()| read)
    }
}

fn small<T: TryFrom<u64>>(number: u64) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(number).expect("the bounds of the setting fit")
}

fn is_version(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let number =
        |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    number(parts.next())
        && number(parts.next())
        && parts.next().is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn make_dialect(settings: Settings) -> Result<Arc<dyn Dialect>, Vec<ConfigError>> {
    Ok(Arc::new(LivyDialect::new(FrontSettings::read(settings)?)))
}

fn platform(settings: Settings) -> Result<Opener, Vec<ConfigError>> {
    let settings = BackendSettings::read(settings)?;
    Ok(Box::new(move |open| {
        Box::pin(async move {
            let http = Client::new(open.name, &settings.client, None)?;
            let backend = LivyBackend::new(http, &settings, open.clock);
            let relay = SessionRelay { livy: backend.livy.clone() };
            Ok(Platform { relay: Some(Arc::new(relay)), ..Platform::new(Arc::new(backend)) })
        })
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_have_livys_defaults_and_tell_what_is_wrong() {
        let settings = |value| FrontSettings::read(Settings::new("dialect.livy", value));
        let default = settings(json!({})).expect("all keys have defaults");
        assert_eq!((default.log_lines, default.version.as_str(), default.unique_names), (0, "0.9.0-incubating", true));
        let faults =
            settings(json!({"log_lines": -1, "version": "master", "unique_name": false})).expect_err("three faults");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["dialect.livy.log_lines", "dialect.livy.version", "dialect.livy.unique_name"]);
    }
}
