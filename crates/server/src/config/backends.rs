//! `[dialect.NAME]` and `[backend.NAME]`: what is common to all is read here, the rest by the adapter that owns it.
//!
//! Both read the same [`Settings`], so that an unknown key is held against the keys of both.

use std::sync::Arc;

use batchlingua_core::{BackendName, DialectName};
use batchlingua_router::{CallLimits, CircuitLimits, Limits, Stage};
use batchlingua_wire::{Adapter, Dialect, Settings, parse_bytes};
use serde_json::{Value, json};

use super::{
    BackendConfig, dialect_names,
    read::{bytes, close, count, name_fault, nearest, time},
};
use crate::adapters::ADAPTERS;

/// Limits that every dialect takes as keys of its own too: what `[limits]` says holds where its table says nothing.
pub(super) fn hand_down(root: &mut Value) {
    for key in ["json_depth", "max_body"] {
        let Some(limit) = root.pointer(&format!("/limits/{key}")).filter(|limit| is_amount(limit)).cloned() else {
            continue;
        };
        let Some(tables) =
            root.as_object_mut().and_then(|root| root.entry("dialect").or_insert(json!({})).as_object_mut())
        else {
            continue;
        };
        for name in dialect_names() {
            if let Some(table) = tables.entry(name).or_insert(json!({})).as_object_mut() {
                table.entry(key).or_insert(limit.clone());
            }
        }
    }
}

/// What is none is a fault of `[limits]`, and told once.
fn is_amount(limit: &Value) -> bool {
    limit.is_u64() || limit.as_str().is_some_and(|text| parse_bytes(text).is_some())
}

/// The dialects, each with its table or an empty one.
pub(super) fn dialects(root: &mut Settings, limits: &mut Limits) -> (Vec<Arc<dyn Dialect>>, Relays) {
    let mut table = root.table("dialect");
    let mut given = table.named_tables();
    close(root, table);
    let (mut dialects, mut relays) = (Vec::new(), Relays::new());
    for adapter in ADAPTERS {
        let Some(make) = adapter.dialect else { continue };
        let mut settings = match given.iter().position(|(name, _)| name == adapter.name) {
            Some(at) => given.swap_remove(at).1,
            None => Settings::new(format!("dialect.{}", adapter.name), json!({})),
        };
        list_for(&mut settings, adapter.name, limits);
        if adapter.relays {
            relays.push((adapter.name, settings.text("relay")));
        }
        match make(settings) {
            Ok(dialect) => dialects.push(dialect),
            Err(faults) => root.absorb(faults),
        }
    }
    for (name, _) in given {
        let message = format!("there is no dialect \"{name}\"; {}", nearest(&name, dialect_names()));
        root.fault(&format!("dialect.{name}"), message);
    }
    (dialects, relays)
}

/// Dialects with calls that are passed on, and the backend that the file names for them.
pub(super) type Relays = Vec<(&'static str, Option<String>)>;

/// Calls that are passed on go to the backend that is named for them, else to the only one of their kind.
pub(super) fn relay(root: &mut Settings, backends: &mut [BackendConfig], relays: Relays, warnings: &mut Vec<String>) {
    for (dialect, named) in relays {
        let mut alike: Vec<&mut BackendConfig> =
            backends.iter_mut().filter(|backend| backend.kind == dialect).collect();
        match (named.as_deref(), alike.as_mut_slice()) {
            (Some(""), _) => {}
            (Some(name), alike) => match alike.iter_mut().find(|backend| backend.name.as_str() == name) {
                Some(backend) => backend.relay = Some(dialect.into()),
                None => {
                    let near = nearest(name, alike.iter().map(|backend| backend.name.as_str()));
                    let message = format!("there is no backend \"{name}\" of kind \"{dialect}\"; {near}");
                    root.fault(&format!("dialect.{dialect}.relay"), message);
                }
            },
            (None, [only]) => only.relay = Some(dialect.into()),
            (None, []) => {}
            (None, [..]) => warnings.push(format!(
                "several backends are of kind {dialect}, and dialect.{dialect}.relay does not say which gets its sessions: none does"
            )),
        }
    }
}

fn list_for(settings: &mut Settings, name: &'static str, limits: &mut Limits) {
    let name = DialectName::from(name);
    // A dialect whose product lists ended batches for ever has no default; the key's own presence says that there is one.
    let default = limits.list_for.get(&name).copied();
    if settings.has("list_for") {
        let span = time(settings, "list_for", default.unwrap_or(super::LONGEST));
        limits.list_for.insert(name, span);
    } else {
        settings.duration("list_for", default.unwrap_or_default());
    }
}

/// The backends, and the names of all that were meant to be one: a route to a backend that has a fault of its own has none itself.
pub(super) fn backends(root: &mut Settings) -> (Vec<BackendConfig>, Vec<BackendName>) {
    let mut table = root.table("backend");
    let given = table.named_tables();
    close(root, table);
    if given.is_empty() {
        root.fault(
            "backend",
            "there is no backend to run batches; add a table such as [backend.here] with kind = \"local\"",
        );
    }
    let (mut backends, mut names) = (Vec::new(), Vec::new());
    for (name, settings) in given {
        names.push(BackendName::from(name.as_str()));
        if let Some(fault) = name_fault(&name) {
            root.fault(&format!("backend.{name}"), fault);
        }
        backends.extend(backend(root, &name, settings));
    }
    (backends, names)
}

/// `stage = { dir = "/mnt/shared/batches", url = "hdfs:///shared/batches" }`.
fn stage(settings: &mut Settings) -> Option<Stage> {
    if !settings.has("stage") {
        let _ = settings.table("stage");
        return None;
    }
    let mut table = settings.table("stage");
    let (dir, url) = (table.text("dir").unwrap_or_default(), table.text("url").unwrap_or_default());
    if !dir.starts_with('/') {
        table.fault("dir", "must be the absolute path of a folder that is shared with the platform");
    }
    // A comma would part the lists of files in which it stands.
    if !url.contains(":/") || url.contains([',', '?', '#', ' ']) {
        table.fault("url", "must be the same folder as the platform names it, such as \"hdfs:///shared/batches\"");
    }
    close(settings, table);
    Some(Stage { dir: dir.into(), url: url.trim_end_matches('/').to_owned() })
}

fn backend(root: &mut Settings, name: &str, mut settings: Settings) -> Option<BackendConfig> {
    let kind = settings.text("kind");
    let defaults = CallLimits::default();
    let limits = CallLimits {
        concurrency: count(&mut settings, "max_calls", defaults.concurrency, 1_000_000),
        timeout: time(&mut settings, "timeout", defaults.timeout),
        freshness: settings.duration("freshness", defaults.freshness),
        max_looks: bytes(&mut settings, "max_looks", defaults.max_looks as u64, 64 << 10..=1 << 40) as usize,
        circuit: CircuitLimits {
            failures: settings.integer("circuit_failures", u64::from(defaults.circuit.failures), 0..=1_000_000) as u32,
            probe: time(&mut settings, "circuit_probe", defaults.circuit.probe),
        },
        retry_budget: settings.integer("retry_budget", u64::from(defaults.retry_budget), 0..=100) as u32,
    };
    let stage = stage(&mut settings);
    let foreign = settings.flag("foreign", true);
    let platforms = || ADAPTERS.iter().filter(|adapter| adapter.platform.is_some());
    let adapter: Option<&'static Adapter> = platforms().find(|adapter| Some(adapter.name) == kind.as_deref());
    let Some(adapter) = adapter else {
        let known = platforms().map(|adapter| adapter.name);
        let message = match kind {
            Some(kind) => format!("there is no kind \"{kind}\"; {}", nearest(&kind, known)),
            None => format!("is missing; {}", nearest("", known)),
        };
        // Without its kind nothing is known of its other keys, so nothing is said of them.
        root.fault(&format!("backend.{name}.kind"), message);
        return None;
    };
    let make = adapter.platform.expect("only platforms were looked through");
    match make(settings) {
        Ok(open) => {
            Some(BackendConfig { name: name.into(), kind: adapter.name, limits, stage, foreign, relay: None, open })
        }
        Err(faults) => {
            root.absorb(faults);
            None
        }
    }
}
