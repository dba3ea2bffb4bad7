//! `[backend.NAME]` of kind `livy`.

use std::time::Duration;

use batchlingua_core::PathMap;
use batchlingua_wire::{AuthScheme, ClientConfig, ConfigError, Settings};

const SCHEMES: [AuthScheme; 3] = [AuthScheme::Basic, AuthScheme::Bearer, AuthScheme::Caller];

/// Livy's DELETE ends when the job has: YARN alone is looked up for two minutes there.
const DELETE_TIMEOUT: Duration = Duration::from_secs(300);
/// Submits stand in a queue there, one behind the other.
const SETTLE: Duration = Duration::from_secs(300);
/// Far more than Livy needs from the record of a batch to its process.
const GHOST_AFTER: Duration = Duration::from_secs(30);

/// How a Livy is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct BackendSettings {
    pub(crate) client: ClientConfig,
    /// What paths begin with there.
    pub(crate) paths: PathMap,
    /// How long the end of a batch may take.
    pub(crate) delete_timeout: Duration,
    /// How long the absence of a submit of unknown outcome is not believed.
    pub(crate) settle: Duration,
    /// How long after its submit an empty record may still be a job in the making.
    pub(crate) ghost_after: Duration,
    /// Whether its integers are ids here too.
    pub(crate) adopt_ids: bool,
}

impl BackendSettings {
    pub(crate) fn read(mut settings: Settings) -> Result<Self, Vec<ConfigError>> {
        let client = ClientConfig::read(&mut settings, &SCHEMES);
        let paths = PathMap::new(settings.pairs_of("paths"));
        let delete_timeout = settings.span("delete_timeout", DELETE_TIMEOUT);
        let settle = settings.span("settle", SETTLE);
        let ghost_after = settings.span("ghost_after", GHOST_AFTER);
        // Said for the only Livy by whoever sees all backends.
        let adopt_ids = settings.flag("adopt_ids", false);
        settings.finish()?;
        // Without a client there was a fault.
        let client = client.ok_or_else(Vec::new)?;
        Ok(Self { client, paths, delete_timeout, settle, ghost_after, adopt_ids })
    }
}
