//! Pages that are made from the code: `docs/translation.md` and two tables of `README.md`.
//!
//! `BLESS=1` writes them; without it they are compared with what is there, byte for byte.

mod explained;
mod readme;
mod tables;
mod translation;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use batchlingua::adapters::ADAPTERS;
use batchlingua_wire::{Adapter, Dialect, Settings};

const HOW: &str = "BLESS=1 cargo test -p batchlingua --test documents";

fn house(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Compares a page with what it should be, or writes it.
fn hold(path: &str, made: &str) {
    let file = house(path);
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, made).expect("the page can be written");
        return;
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    let differs = written.lines().zip(made.lines()).position(|(written, made)| written != made);
    let at = differs.unwrap_or_else(|| written.lines().count().min(made.lines().count()));
    assert!(
        written == made,
        "{path} is not what the code says, from line {} on; `{HOW}` writes it:\n{}",
        at + 1,
        made.lines().nth(at).unwrap_or("(nothing more)")
    );
}

/// The dialects that there are, with the settings that they have by themselves.
fn dialects() -> impl Iterator<Item = (&'static Adapter, Arc<dyn Dialect>)> {
    ADAPTERS.iter().filter_map(|adapter| {
        let settings = Settings::new(format!("dialect.{}", adapter.name), serde_json::json!({}));
        Some((adapter, (adapter.dialect?)(settings).expect("every key has a default")))
    })
}

/// What people call it.
fn title(name: &str) -> &str {
    match name {
        "kyuubi" => "Kyuubi",
        "livy" => "Livy",
        "dli" => "DLI",
        "kylin" => "Kylin",
        "local" => "local",
        other => other,
    }
}
