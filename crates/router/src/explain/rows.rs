//! What becomes of each field: the plan's fates under the names that the client gave its fields.

use std::collections::HashSet;

use batchlingua_core::{BatchSpec, Context, Fate, Field, FieldClass, Plan, Treatment};
use batchlingua_wire::{Dialect, Meaning, Part, RequestBody, RequestHead, Value, decode_text};

use crate::{Gateway, Policies, Policy, routing::class_of, submit};

/// What becomes of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As the client calls it; several names where it is not known which of them was used.
    pub client: String,
    /// As the model does; empty for what only says how the submit is to be taken.
    pub model: String,
    /// What it would mean to lose it; `None`: nothing.
    pub class: Option<FieldClass>,
    /// What becomes of it, in a word.
    pub fate: &'static str,
    /// Its other name, how its value is made, or why it is not sent.
    pub detail: String,
    /// What is done about its loss.
    pub policy: Option<Policy>,
}

/// The names that a request gives its fields, as [`batchlingua_wire::WireField`] has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Given(HashSet<String>);

impl Given {
    pub(super) fn of(head: &RequestHead, body: &RequestBody) -> Self {
        let mut given = Self::default();
        let parameters = head.target.raw_query.split('&').filter_map(|pair| pair.split('=').next());
        given.0.extend(parameters.map(|name| format!("(query) {name}")));
        given.0.extend(head.headers.keys().map(|name| format!("(header) {name}")));
        match body {
            RequestBody::Empty => {}
            RequestBody::Bytes(bytes) => given.members(bytes),
            RequestBody::Form(parts) => {
                for (name, part) in parts {
                    given.0.insert(format!("(form) {name}"));
                    if let Part::Small { bytes, .. } = part {
                        given.members(bytes);
                    }
                }
            }
        }
        given
    }

    /// What is no object has no names.
    fn members(&mut self, bytes: &[u8]) {
        let Ok(text) = decode_text(bytes) else { return };
        let Ok(members) = Value::parse(&text).and_then(|value| value.members()) else { return };
        for member in members.0 {
            if member.name == "conf"
                && let Ok(conf) = member.value.members()
            {
                self.0.extend(conf.0.into_iter().map(|pair| format!("conf: {}", pair.name)));
            }
            self.0.insert(member.name.into_owned());
        }
    }

    fn has(&self, name: &str) -> bool {
        match name.strip_prefix("(header) ") {
            Some(header) => self.0.contains(&format!("(header) {}", header.to_ascii_lowercase())),
            None => self.0.contains(name),
        }
    }
}

/// All rows of a plan, in its order; then what the proxy itself takes, and what only its dialect knows and others say by other fields.
pub(super) fn rows(
    gateway: &Gateway,
    ctx: &Context,
    dialect: &dyn Dialect,
    given: &Given,
    (plan, spec, policies): (&Plan, &BatchSpec, &Policies),
) -> Vec<Row> {
    let row = |fate: &Fate| {
        let class = class_of(fate, |extension| submit::loss_of(gateway, ctx, extension, spec));
        let client = client_name(dialect, given, fate);
        let (word, detail) = match &fate.treatment {
            Treatment::Renamed(name) if *name == client => told(&Treatment::Carried),
            Treatment::IntoConf(key) if client.strip_prefix("conf: ") == Some(key) => told(&Treatment::Carried),
            treatment => told(treatment),
        };
        Row {
            client,
            model: fate.to_string(),
            class,
            fate: word,
            detail,
            policy: class.filter(|_| fate.is_lost()).map(|class| policies.of(class)),
        }
    };
    let mut rows: Vec<Row> = plan.fates.iter().map(row).collect();
    for field in dialect.fields().iter().filter(|field| given.has(field.name)) {
        let fate = match field.meaning {
            Meaning::Proxy => "proxy",
            Meaning::Own(_) if rows.iter().all(|row| row.client != field.name) => "computed",
            Meaning::Own(_) | Meaning::Field(_) => continue,
        };
        let (client, detail) = (field.name.to_owned(), field.note.to_owned());
        rows.push(Row { client, model: String::new(), class: None, fate, detail, policy: None });
    }
    rows
}

fn told(treatment: &Treatment) -> (&'static str, String) {
    match treatment {
        Treatment::Carried => ("carried", String::new()),
        Treatment::Renamed(name) => ("renamed", name.clone()),
        Treatment::IntoConf(key) => ("into conf", key.clone()),
        Treatment::Computed(how) => ("computed", how.clone()),
        Treatment::Staged(address) => ("staged", address.clone()),
        Treatment::NotCarried(why) => ("not carried", why.clone()),
    }
}

/// The client's name for a field. A part is a name itself: a conf key, or a member that only its dialect knows.
fn client_name(dialect: &dyn Dialect, given: &Given, fate: &Fate) -> String {
    if let Some(part) = &fate.part {
        let key = format!("conf: {part}");
        if given.has(&key) {
            return key;
        } else if fate.field == Field::Extension {
            return part.clone();
        }
    }
    let fields = dialect.fields().iter().filter(|field| field.meaning == Meaning::Field(fate.field));
    let names: Vec<&str> = fields.map(|field| field.name).collect();
    let used: Vec<&str> = names.iter().copied().filter(|name| given.has(name)).collect();
    let name = match (used.as_slice(), names.as_slice()) {
        ([], []) => fate.field.as_str().to_owned(),
        ([], names) => names.join(" / "),
        (used, _) => used.join(" / "),
    };
    match &fate.part {
        Some(part) => format!("{name}: {part}"),
        None => name,
    }
}
