//! Integers that clients of a platform hold: which backend's are ids here too, and from where on others are made.
//!
//! A proxy that is put in front of a running server keeps the ids that its clients hold, so those of the only backend of such a kind are
//! adopted; of several none is the obvious one, and two cannot both be, since their numbers are the same. Ids that are made begin far above
//! those that such a server gives.

use serde_json::{Map, Value, json};

use crate::adapters::ADAPTERS;

/// The first integer id that is made where a backend counts its own.
const FAR_ABOVE: u32 = 1_000_000;

/// Says in the file's stead what it leaves to us.
pub(super) fn spell_out(root: &mut Value) {
    let Some(backends) = root.get_mut("backend").and_then(Value::as_object_mut) else { return };
    let counting = counting(backends);
    if let [only] = counting.as_slice()
        && let Some(table) = backends.get_mut(only).and_then(Value::as_object_mut)
    {
        table.entry("adopt_ids").or_insert(json!(true));
    }
    let Some(root) = root.as_object_mut().filter(|_| !counting.is_empty()) else { return };
    if let Some(ledger) = root.entry("ledger").or_insert(json!({})).as_object_mut() {
        ledger.entry("first_ordinal").or_insert(json!(FAR_ABOVE));
    }
}

/// The backends that adopt beside the first one that does, to be told as faults.
pub(super) fn too_many(root: &Value) -> Vec<String> {
    let Some(backends) = root.get("backend").and_then(Value::as_object) else { return Vec::new() };
    let adopting = counting(backends).into_iter().filter(|name| backends[name].get("adopt_ids") == Some(&json!(true)));
    adopting.skip(1).collect()
}

fn counting(backends: &Map<String, Value>) -> Vec<String> {
    let counts = |kind: &Value| ADAPTERS.iter().any(|adapter| adapter.counts_ids && kind == adapter.name);
    let counting = backends.iter().filter(|(_, table)| table.get("kind").is_some_and(counts));
    counting.map(|(name, _)| name.clone()).collect()
}
