//! The configuration: one TOML file, checked as a whole before anything of it is used.
//!
//! Reading has no effect beyond reading: no directory is made, no socket is bound, no backend is asked. So `check` and `serve` run the same
//! code, and what `check` accepts starts. Faults are collected, never thrown one at a time, and each names its place in the file and what to
//! change (`document` knows the places, [`batchlingua_wire::Settings`] the keys). Every key has a default; the reference is
//! `docs/configuration.md`, which a test holds against this code.

mod adopted;
mod auth;
mod backends;
mod document;
mod fault;
mod limits;
mod listeners;
mod read;
mod routes;
mod secrets;

use std::{collections::HashSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use batchlingua_core::{BackendName, DialectName, ListenerName};
use batchlingua_router::{CallLimits, Limits, Routing, Stage};
use batchlingua_wire::{ConfigError, Dialect, Opener, Settings};
use serde_json::Value;
use tracing_subscriber::filter::Targets;

use crate::{adapters::ADAPTERS, auth::AuthConfig};

pub use fault::{Fault, Faults};
pub use limits::HttpLimits;
pub use secrets::{ProcessVault, Vault};

/// What runs where there is no file: this machine's own backend, so that one command shows the whole system working.
const WITHOUT_FILE: &str = "[backend.local]\nkind = \"local\"\nallow_dirs = [\".\"]\n";

/// A checked configuration.
pub struct Config {
    /// Where clients are served.
    pub listeners: Vec<ListenerConfig>,
    /// Where operators and their tools are served.
    pub admin: Option<SocketAddr>,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// Every dialect that there is.
    pub dialects: Vec<Arc<dyn Dialect>>,
    /// The backends.
    pub backends: Vec<BackendConfig>,
    /// Which submit goes where.
    pub routing: Routing,
    /// Who may come in; `None`: nobody has to prove who he is.
    pub auth: Option<AuthConfig>,
    /// The bounds of requests and of the background work, and what there is to be named.
    pub limits: Limits,
    /// The bounds of connections.
    pub http: HttpLimits,
    /// The log.
    pub log: LogConfig,
    /// What is allowed but hardly meant.
    pub warnings: Vec<String>,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Its name.
    pub name: ListenerName,
    /// Where it listens; port 0 for any free one.
    pub address: SocketAddr,
    /// What it serves.
    pub dialects: Vec<DialectName>,
    /// What clients are told, without a slash at its end; `None`: the address.
    pub public_url: Option<String>,
    /// Names under which it may be addressed beside those that are known anyway: lower case, without a port.
    pub hosts: Vec<String>,
    /// Whether Livy's rule about `X-Requested-By` holds.
    pub csrf: bool,
    /// What is cut off in front of paths.
    pub path_prefix: String,
    /// Whether clients have to prove who they are.
    pub auth: bool,
    /// Whether a client's `X-Real-IP` is believed.
    pub trust_real_ip: bool,
}

/// The ledger.
#[derive(Clone)]
pub struct LedgerConfig {
    /// Which one. It may have a password in it.
    pub url: String,
    /// The first integer id that is made.
    pub first_ordinal: u32,
    /// How many rows are kept in memory, and as many once more in lists.
    pub cache_rows: usize,
    /// How long a database server may take for one answer.
    pub timeout: Duration,
    /// How many connections to a database server read side by side.
    pub connections: usize,
}

/// One backend, ready to be opened.
pub struct BackendConfig {
    /// Its name.
    pub name: BackendName,
    /// Which adapter's it is.
    pub kind: &'static str,
    /// The bounds of calls to it.
    pub limits: CallLimits,
    /// Where uploaded files are put for it.
    pub stage: Option<Stage>,
    /// Whether batches that were submitted to it past this proxy are shown.
    pub foreign: bool,
    /// The dialect whose calls are passed on to it.
    pub relay: Option<DialectName>,
    /// Opens it.
    pub open: Opener,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// What is logged.
    pub level: Targets,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Faults::of_file(&file, error))?;
        Self::parse(&file, &text, &ProcessVault)
    }

    /// What holds where there is no file.
    pub fn without_file() -> Result<Self, Faults> {
        Self::parse("the defaults", WITHOUT_FILE, &ProcessVault)
    }

    /// Checks the text of a file.
    pub fn parse(file: &str, text: &str, vault: &dyn Vault) -> Result<Self, Faults> {
        let mut document = document::Document::parse(file, text, vault)?;
        let read = Self::read(document.take_root());
        let (config, found) = match read {
            Ok(config) => (Some(config), Vec::new()),
            Err(found) => (None, found),
        };
        match (document.faults(found), config) {
            (Some(faults), _) => Err(faults),
            (None, Some(config)) => Ok(config),
            (None, None) => unreachable!("a configuration is refused for some fault"),
        }
    }

    fn read(mut root: Value) -> Result<Self, Vec<ConfigError>> {
        routes::spell_out(&mut root);
        backends::hand_down(&mut root);
        adopted::spell_out(&mut root);
        let too_many = adopted::too_many(&root);
        let mut root = Settings::new("", root);
        for name in too_many {
            let message = "ids of another backend are adopted already, and theirs would be the same numbers; set it to false here or there";
            root.fault(&format!("backend.{name}.adopt_ids"), message);
        }
        let insecure = root.flag("insecure", false);
        let (mut limits, http) = limits::limits(&mut root);
        limits.scoping = auth::scope(&mut root);
        let mut warnings = Vec::new();
        let auth = auth::auth(&mut root, &limits.scoping, &mut warnings);
        let admin = listeners::admin(&mut root, insecure);
        let listeners = listeners::listeners(&mut root, insecure, auth.is_some(), admin);
        let ledger = limits::ledger(&mut root, &mut limits);
        let (dialects, relays) = backends::dialects(&mut root, &mut limits);
        let (mut backends, names) = backends::backends(&mut root);
        backends::relay(&mut root, &mut backends, relays, &mut warnings);
        let routing = routes::routing(&mut root, &names, &listeners);
        let log = limits::log(&mut root);
        warnings.extend(routes::unrouted(&routing, &listeners));
        root.finish()?;
        Ok(Self { listeners, admin, ledger, dialects, backends, routing, auth, limits, http, log, warnings })
    }

    /// A few lines that say what was understood.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let dialects: Vec<&str> = listener.dialects.iter().map(DialectName::as_str).collect();
            let open = if listener.auth { "" } else { ", without authentication" };
            lines.push(format!("listener {} on {}: {}{open}", listener.name, listener.address, dialects.join(", ")));
        }
        lines.push(self.admin.map_or("admin off".to_owned(), |address| format!("admin on {address}")));
        lines.push(format!("ledger {}", batchlingua_core::redact::line(&self.ledger.url)));
        lines.extend(self.backends.iter().map(|backend| format!("backend {}: {}", backend.name, backend.kind)));
        lines.push(format!("routes: {}", self.routing.rules.len()));
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }
}

/// The names of all dialects.
fn dialect_names() -> impl Iterator<Item = &'static str> {
    ADAPTERS.iter().filter(|adapter| adapter.dialect.is_some()).map(|adapter| adapter.name)
}

/// Ten years: no time in a configuration means more, and the clock's arithmetic holds below it.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// The same name twice is one mistake in two places; it is told at the second.
fn told_twice<'a>(names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut seen = HashSet::new();
    names.enumerate().filter(|(_, name)| !seen.insert(*name)).map(|(at, _)| at).collect()
}
