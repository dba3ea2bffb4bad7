//! The tables themselves: whole, and none says what another one denies.

use std::collections::BTreeSet;

use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{BatchSpec, DialectName, Extension, Field, FieldClass};
use batchlingua_wire::{Meaning, WireField};

use crate::dialects;

/// Members that nobody knows, in a table.
const OTHERS: &str = "(other members)";

#[test]
fn every_platform_has_one_line_for_each_field() {
    for adapter in ADAPTERS {
        assert_eq!(
            adapter.platform.is_some(),
            !adapter.mappings.is_empty(),
            "{}: what does it make of fields?",
            adapter.name
        );
        for mapping in adapter.mappings {
            for field in Field::ALL {
                let lines = mapping.lines.iter().filter(|line| line.field == field).count();
                let wanted = usize::from(!matches!(field, Field::Conf | Field::Extension));
                assert_eq!(lines, wanted, "{}: {}", mapping.platform, field.as_str());
            }
            let names: BTreeSet<_> = mapping.conf.iter().map(|rule| rule.name).collect();
            assert_eq!(names.len(), mapping.conf.len(), "{}: two conf rules of one name", mapping.platform);
            assert!(
                mapping.conf.iter().all(|rule| !rule.keys.is_empty() && !rule.why.is_empty()),
                "{}",
                mapping.platform
            );
            let is_own = mapping.dialect.is_empty() || mapping.dialect == adapter.name;
            assert!(is_own, "{}: it takes the fields of {}", mapping.platform, mapping.dialect);
        }
    }
}

#[test]
fn every_dialect_that_submits_names_its_fields_once() {
    for (adapter, dialect) in dialects() {
        let submits = dialect.routes().iter().any(|route| matches!(route.name, "submit" | "create"));
        let fields = dialect.fields();
        let names: BTreeSet<_> = fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), fields.len(), "{}: a name stands there twice", adapter.name);
        if fields.is_empty() {
            assert!(!submits, "{}: which fields has a submit?", adapter.name);
            continue;
        }
        let files = fields.iter().filter(|field| field.meaning == Meaning::Field(Field::File)).count();
        assert!(files > 0, "{}: no field is the program", adapter.name);
    }
}

/// The table says the class of a field's loss; where other fields say the same nothing is lost, and it never means more.
#[test]
fn a_loss_means_what_the_table_says_or_nothing() {
    for (adapter, dialect) in dialects() {
        let own: Vec<(String, Option<FieldClass>)> = dialect.fields().iter().filter_map(own_field).collect();
        let extension = |name: &str, value: &str| Extension {
            dialect: DialectName::from(adapter.name),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let all = |value: &str| own.iter().map(|(name, _)| extension(name, value)).collect::<Vec<_>>();
        for value in ["true", "\"basic\"", "\"custom\"", "[]", "3"] {
            let alone = own.iter().map(|(name, _)| vec![extension(name, value)]);
            for extensions in [Vec::new(), all(value)].into_iter().chain(alone) {
                let spec = BatchSpec { extensions, ..BatchSpec::default() };
                for (name, class) in &own {
                    let loss = dialect.loss_of(name, &spec);
                    let name = format!("{} {name}", adapter.name);
                    assert!(loss.is_none() || loss == *class, "{name}: {loss:?}, the table says {class:?}");
                }
            }
        }
        let spec = BatchSpec { extensions: all("\"x\""), ..BatchSpec::default() };
        for (name, class) in &own {
            let name_there = format!("{} {name}", adapter.name);
            assert_eq!(
                dialect.loss_of(name, &spec),
                *class,
                "{name_there}: its loss means nothing even where all is given"
            );
        }
    }
}

/// The name and the class of a field that only its dialect knows; of a pattern one that fits it.
fn own_field(field: &WireField) -> Option<(String, Option<FieldClass>)> {
    let name = field.name.strip_prefix("conf: ").unwrap_or(field.name);
    match field.meaning {
        Meaning::Own(class) if field.name == OTHERS => Some(("x-nobody-knows".to_owned(), class)),
        Meaning::Own(class) => Some((name.replace('*', "x-any"), class)),
        Meaning::Field(_) | Meaning::Proxy => None,
    }
}

#[test]
fn what_nobody_knows_is_not_lost_in_silence() {
    for (adapter, dialect) in dialects() {
        let is_told = dialect.fields().iter().any(|field| field.name == OTHERS);
        let loss = dialect.loss_of("x-nobody-knows", &BatchSpec::default());
        assert!(is_told || loss.is_some(), "{}: neither the table nor a header tells of other members", adapter.name);
    }
}
