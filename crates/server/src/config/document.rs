//! A TOML file as the tree that settings are read from, with the place of every key.
//!
//! Adapters read their settings without knowing of files: they report a fault by the key's path. So the paths are remembered here in the
//! very form in which [`batchlingua_wire::Settings`] writes them.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Fault, Faults,
    secrets::{Secrets, Vault},
};
use batchlingua_wire::ConfigError;

/// A file that is TOML; whether it is a configuration is another question.
pub(super) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Value,
    offsets: HashMap<String, usize>,
    secrets: Secrets<'a>,
    faults: Vec<ConfigError>,
}

impl<'a> Document<'a> {
    /// Reads the text; all its faults of syntax at once.
    pub(super) fn parse(file: &'a str, text: &'a str, vault: &'a dyn Vault) -> Result<Self, Faults> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let fault = |error: toml::de::Error| Fault {
                place: error.span().map(|span| place_of(text, span.start)),
                path: String::new(),
                message: error.message().to_owned(),
            };
            return Err(Faults { file: file.to_owned(), faults: errors.into_iter().map(fault).collect() });
        }
        let secrets = Secrets::new(vault);
        let mut document = Self { file, text, root: Value::Null, offsets: HashMap::new(), secrets, faults: Vec::new() };
        document.root = Value::Object(document.table(table.get_ref(), ""));
        Ok(document)
    }

    /// The tree, to be read once.
    pub(super) fn take_root(&mut self) -> Value {
        self.root.take()
    }

    /// The file's faults with their places, in its order; the values of placeholders are not shown.
    pub(super) fn faults(&self, found: Vec<ConfigError>) -> Option<Faults> {
        // What stands in for a value that could not be read may have a fault of its own, which nobody has made.
        let made = found.iter().filter(|error| self.faults.iter().all(|read| read.path != error.path));
        let mut faults: Vec<Fault> = self
            .faults
            .iter()
            .chain(made)
            .map(|error| Fault {
                place: self.offset(&error.path).map(|offset| place_of(self.text, offset)),
                path: error.path.clone(),
                message: self.secrets.scrub(&error.message),
            })
            .collect();
        faults.sort_by_key(|fault| fault.place);
        (!faults.is_empty()).then(|| Faults { file: self.file.to_owned(), faults })
    }

    /// Where a key stands; of one that is not there, the table that misses it.
    fn offset(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(offset) = self.offsets.get(path) {
                return Some(*offset);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str) -> Map<String, Value> {
        let mut map = Map::new();
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.offsets.insert(path.clone(), key.span().start);
            let value = self.value(value, &path);
            map.insert(name, value);
        }
        map
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Value {
        match value.get_ref() {
            DeValue::String(text) => match self.secrets.resolve(text) {
                Ok(text) => Value::String(text),
                Err(message) => {
                    self.fault(path, message);
                    Value::String(text.to_string())
                }
            },
            DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => {
                    self.fault(path, "does not fit 64 bits");
                    Value::from(0)
                }
            },
            DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => {
                    self.fault(path, "must be a finite number");
                    Value::from(0)
                }
            },
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(time) => Value::String(time.to_string()),
            DeValue::Array(items) => {
                let mut values = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.offsets.insert(path.clone(), item.span().start);
                    values.push(self.value(item, &path));
                }
                Value::Array(values)
            }
            DeValue::Table(table) => Value::Object(self.table(table, path)),
        }
    }

    fn fault(&mut self, path: &str, message: impl Into<String>) {
        self.faults.push(ConfigError { path: path.to_owned(), message: message.into() });
    }
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
