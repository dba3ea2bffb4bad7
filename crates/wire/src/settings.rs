//! One table of the configuration, read key by key.
//!
//! Every fault is collected with the key's full path, so that `check` shows all of them at once and the server can find the line; a key
//! that nobody has asked for is a fault too, and names the nearest one that there is.

use std::{fmt::Display, time::Duration};

use serde_json::{Map, Value};

use crate::client::Secret;

/// A fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// The key's path, such as `backend.here.concurrency`.
    pub path: String,
    /// What is wrong and what to change.
    pub message: String,
}

const LONGEST_SPAN: Duration = Duration::from_secs(86_400);

/// One table of the configuration.
#[derive(Debug)]
pub struct Settings {
    path: String,
    table: Map<String, Value>,
    known: Vec<&'static str>,
    faults: Vec<ConfigError>,
}

impl Settings {
    /// The table at a path; a value that is no table is a fault.
    pub fn new(path: impl Into<String>, value: Value) -> Self {
        let path = path.into();
        match value {
            Value::Object(table) => Self { path, table, known: Vec::new(), faults: Vec::new() },
            other => {
                let fault = ConfigError { path: path.clone(), message: format!("must be a table, not {other}") };
                Self { path, table: Map::new(), known: Vec::new(), faults: vec![fault] }
            }
        }
    }

    /// The table's path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reports a fault of a key.
    pub fn fault(&mut self, key: &str, message: impl Display) {
        let path = if key.is_empty() { self.path.clone() } else { join(&self.path, key) };
        self.faults.push(ConfigError { path, message: message.to_string() });
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            other => {
                self.fault(key, format!("must be a text in quotes, not {other}"));
                None
            }
        }
    }

    /// A secret text; whatever is wrong with it, it is not quoted.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        match self.take(key)? {
            Value::String(text) if !text.is_empty() => Some(Secret::new(text)),
            _ => {
                self.fault(key, "must be a text in quotes, and not an empty one");
                None
            }
        }
    }

    /// A table inside that has secrets, empty if it is not there; what is no table is not quoted.
    pub(crate) fn secret_table(&mut self, key: &'static str) -> Settings {
        if self.table.get(key).is_some_and(|value| !value.is_object()) {
            self.skip(key);
            self.fault(key, "must be a table");
        }
        self.table(key)
    }

    /// Takes a key out of which nothing is made.
    pub(crate) fn skip(&mut self, key: &str) {
        self.table.remove(key);
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.take(key)?;
        let texts = value
            .as_array()
            .and_then(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        if texts.is_none() {
            self.fault(key, format!("must be a list of texts, not {value}"));
        }
        texts
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                self.fault(key, format!("must be true or false, not {other}"));
                default
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, key: &'static str, default: u64, bounds: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(value) = self.take(key) else { return default };
        match value.as_u64() {
            Some(number) if bounds.contains(&number) => number,
            _ => {
                self.fault(
                    key,
                    format!("must be a whole number from {} to {}, not {value}", bounds.start(), bounds.end()),
                );
                default
            }
        }
    }

    /// A span of time such as `"250ms"`, `"10s"`, `"5m"`, `"2h"`, `"30d"`.
    pub fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        let Some(value) = self.take(key) else { return default };
        match value.as_str().and_then(parse_duration) {
            Some(duration) => duration,
            None => {
                self.fault(
                    key,
                    format!("must be a time such as \"250ms\", \"10s\", \"5m\", \"2h\" or \"30d\", not {value}"),
                );
                default
            }
        }
    }

    /// A span of time above nothing, and a day at most.
    pub fn span(&mut self, key: &'static str, default: Duration) -> Duration {
        let span = self.duration(key, default);
        if span.is_zero() || span > LONGEST_SPAN {
            self.fault(key, "must be above 0, and a day at most");
            return default;
        }
        span
    }

    /// An amount of bytes: a whole number, or such as `"64KiB"`, `"8MiB"`, `"1GiB"`.
    pub fn bytes(&mut self, key: &'static str, default: u64) -> u64 {
        let Some(value) = self.take(key) else { return default };
        match value.as_u64().or_else(|| value.as_str().and_then(parse_bytes)) {
            Some(bytes) => bytes,
            None => {
                self.fault(
                    key,
                    format!("must be an amount such as 65536, \"64KiB\", \"8MiB\" or \"1GiB\", not {value}"),
                );
                default
            }
        }
    }

    /// A table inside, empty if it is not there.
    pub fn table(&mut self, key: &'static str) -> Settings {
        let value = self.take(key).unwrap_or_else(|| Value::Object(Map::new()));
        Settings::new(join(&self.path, key), value)
    }

    /// A list of tables inside, empty if it is not there; each is named by its place, counted from 0.
    pub fn tables(&mut self, key: &'static str) -> Vec<Settings> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                let path = join(&self.path, key);
                items.into_iter().enumerate().map(|(at, item)| Settings::new(format!("{path}[{at}]"), item)).collect()
            }
            Some(other) => {
                self.fault(key, format!("must be a list of tables ([[{key}]]), not {other}"));
                Vec::new()
            }
        }
    }

    /// The tables inside by their names, such as the backends; all names are known then.
    pub fn named_tables(&mut self) -> Vec<(String, Settings)> {
        let table = std::mem::take(&mut self.table);
        table.into_iter().map(|(name, value)| (name.clone(), Settings::new(join(&self.path, &name), value))).collect()
    }

    /// All that is left of the table as pairs of texts, such as prefixes and what takes their place; all names are known then.
    pub fn pairs(&mut self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for (name, value) in std::mem::take(&mut self.table) {
            match value {
                Value::String(text) => pairs.push((name, text)),
                other => self.fault(&name, format!("must be a text in quotes, not {other}")),
            }
        }
        pairs
    }

    /// A table of such pairs inside, empty if it is not there.
    pub fn pairs_of(&mut self, key: &'static str) -> Vec<(String, String)> {
        let mut table = self.table(key);
        let pairs = table.pairs();
        self.absorb(table.finish().err().unwrap_or_default());
        pairs
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes over the faults of a table inside.
    pub fn absorb(&mut self, faults: Vec<ConfigError>) {
        self.faults.extend(faults);
    }

    /// All faults, a key that nobody has asked for included.
    pub fn finish(mut self) -> Result<(), Vec<ConfigError>> {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for key in left {
            let near = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, &key), *known))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let message = match near {
                Some((likeness, near)) if likeness > 0.7 => format!("is not known; did you mean `{near}`?"),
                _ => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    format!("is not known; known here: {}", known.join(", "))
                }
            };
            self.fault(&key, message);
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A span of time with its unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match &text[at..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// An amount of bytes with its unit.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().ok()?;
    let shift = match text[at..].trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_fault_is_told_with_its_path() {
        let mut settings =
            Settings::new("backend.here", json!({"concurrency": 0, "timeout": "5 parsecs", "allow_dir": []}));
        assert_eq!(settings.integer("concurrency", 4, 1..=100), 4);
        assert_eq!(settings.duration("timeout", Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(settings.texts("allow_dirs"), None);
        let faults = settings.finish().expect_err("three faults");
        assert_eq!(
            faults.iter().map(|fault| fault.path.as_str()).collect::<Vec<_>>(),
            ["backend.here.concurrency", "backend.here.timeout", "backend.here.allow_dir"]
        );
        assert!(faults[2].message.contains("`allow_dirs`"), "{}", faults[2]);
    }

    #[test]
    fn units_are_read_and_others_are_not() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(
            (parse_duration("10"), parse_duration("s"), parse_duration("99999999999999999999s")),
            (None, None, None)
        );
        assert_eq!((parse_bytes("64KiB"), parse_bytes("7"), parse_bytes("1kb")), (Some(65_536), Some(7), None));
    }
}
