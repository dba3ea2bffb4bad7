//! `[backend.NAME]` of kind `kyuubi`.

use std::time::Duration;

use batchlingua_core::{Context, Credentials, PathMap};
use batchlingua_wire::{AuthScheme, ClientConfig, ConfigError, Settings};

use crate::{credentials, version::Version};

/// Ways to prove to a Kyuubi who asks.
const SCHEMES: &[AuthScheme] = &[AuthScheme::Basic, AuthScheme::Bearer, AuthScheme::Caller];

/// Whom a Kyuubi takes those for who show nothing.
const NOBODY: &str = "anonymous";

/// What a Kyuubi is spoken to with.
#[derive(Clone, Debug)]
pub(crate) struct BackendSettings {
    /// How it is reached.
    pub(crate) client: ClientConfig,
    /// What becomes of paths.
    pub(crate) paths: PathMap,
    /// How long a DELETE may take: it answers when the application is killed, and an instance that asks another one tries three times.
    pub(crate) delete_timeout: Duration,
    /// How long after a submit of unknown outcome its absence is not yet believed.
    pub(crate) settle: Duration,
    /// What it is taken for until it has told its version.
    pub(crate) version: Version,
}

impl BackendSettings {
    pub(crate) fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let client = ClientConfig::read(&mut settings, SCHEMES);
        let paths = PathMap::new(settings.pairs_of("paths"));
        let delete_timeout = settings.duration("delete_timeout", Duration::from_secs(75));
        let settle = settings.duration("settle", Duration::from_secs(30));
        let told = settings.text("version");
        let version = told.as_deref().map_or(Some(Version::NEWEST), Version::parse);
        if version.is_none() {
            settings.fault("version", "must begin with three numbers, such as \"1.9.1\"");
        }
        settings.finish()?;
        // Without one there was a fault.
        let (Some(client), Some(version)) = (client, version) else { return Err(Vec::new()) };
        Ok(Self { client, paths, delete_timeout, settle, version })
    }

    /// Whom the Kyuubi takes this request to be from. `None`: a token stands for somebody whose name is not known here.
    pub(crate) fn asker<'a>(&'a self, ctx: &'a Context) -> Option<&'a str> {
        let caller = ctx.caller.as_deref().filter(|_| self.client.takes_callers());
        match caller {
            Some(Credentials::Basic { user, .. }) if user.is_empty() => Some(NOBODY),
            Some(Credentials::Basic { user, .. }) => Some(credentials::short(user)),
            Some(_) => None,
            None if self.client.is_anonymous() => Some(NOBODY),
            None => self.client.user().map(credentials::short),
        }
    }

    /// Whether this request is made with its caller's own credentials.
    pub(crate) fn is_callers(&self, ctx: &Context) -> bool {
        self.client.takes_callers() && ctx.caller.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use batchlingua_testkit::context;
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<BackendSettings, Vec<ConfigError>> {
        BackendSettings::read(Settings::new("backend.k", value))
    }

    #[test]
    fn an_address_is_enough_and_every_fault_is_told() {
        let settings = read(json!({"url": "http://127.0.0.1:10099"})).expect("the rest has defaults");
        assert_eq!((settings.settle, settings.version), (Duration::from_secs(30), Version::NEWEST));
        let settings = read(json!({"url": "http://h", "paths": {"/apps/": "hdfs:///apps/"}, "version": "1.6.1"}));
        let settings = settings.expect("settings");
        assert_eq!(settings.paths.apply("/apps/a.jar").as_deref(), Some("hdfs:///apps/a.jar"));
        assert!(!settings.version.takes_ids());
        let faults = read(json!({"version": "new", "auth": {"token": "x"}, "paths": {"/": 1}, "path": {}}));
        let faults = faults.expect_err("five faults");
        let paths: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
        for path in ["url", "version", "auth.token", "paths./", "path"] {
            assert!(paths.contains(&format!("backend.k.{path}").as_str()), "{path}: {paths:?}");
        }
    }

    #[test]
    fn who_asks_is_as_kyuubi_takes_it() {
        let mut ctx = context();
        let named = read(json!({"url": "http://h", "auth": {"basic": {"user": "etl/host@REALM", "password": "p"}}}));
        assert_eq!(named.expect("settings").asker(&ctx), Some("etl"));
        assert_eq!(read(json!({"url": "http://h"})).expect("settings").asker(&ctx), Some("anonymous"));
        let token = read(json!({"url": "http://h", "auth": {"bearer": "t", "caller": true}})).expect("settings");
        assert_eq!((token.asker(&ctx), token.is_callers(&ctx)), (None, false));
        ctx.caller = Some(Arc::new(Credentials::Basic { user: "ann@REALM".into(), password: "x".into() }));
        assert_eq!((token.asker(&ctx), token.is_callers(&ctx)), (Some("ann"), true));
    }
}
