//! `docs/translation.md`: what becomes of each field of each dialect on each platform.

use std::fmt::Write;

use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{Clients, ConfFate, ConfRule, FILE_LISTS, Field, FieldClass, Mapping, Place};
use batchlingua_router::{Policies, Policy};
use batchlingua_wire::{Adapter, Dialect, Meaning, WireField};

use crate::{HOW, dialects, hold, title};

#[test]
fn the_page_says_what_the_code_does() {
    hold("docs/translation.md", &page());
}

fn page() -> String {
    let mut page = format!(
        "# Translation\n\n\
         What becomes of each field of a submit on each platform. The proxy does what these tables say, since it reads the same ones; \
         `batchlingua explain`\nsays it of one request.\n\n\
         This page is made by `{HOW}` and checked by the same test without `BLESS`.\n\n\
         A field has a **class**, which says what its loss would mean: *essential*, the job would do something else; *placement*, it would run \
         elsewhere or in\nanother size; *cosmetic*, it would look different. On each platform it has a **fate**: *carried* under its own name, sent \
         *as* another member, put\ninto *conf*, made into another value, not sent because nothing is lost by that, or **lost**. What is lost meets the \
         route's [policies](#policies).\n"
    );
    page.push_str("\n## Fields of each dialect\n");
    for (adapter, dialect) in dialects() {
        let _ = write!(page, "\n### Client: {}\n\n", title(adapter.name));
        page.push_str(&fields(adapter, &*dialect));
    }
    page.push_str("\n## What each platform makes of them\n");
    for mapping in all_mappings().map(|(_, mapping)| mapping) {
        let made = match takes_nothing(mapping) {
            Some(why) => format!("It takes no submits: {why}.\n"),
            None => platform(mapping),
        };
        let _ = write!(page, "\n### Platform: {}\n\n{made}", mapping.platform);
    }
    page.push_str(&paths());
    page.push_str(&policies());
    page
}

fn all_mappings() -> impl Iterator<Item = (&'static Adapter, &'static Mapping)> {
    let platforms = ADAPTERS.iter().filter(|adapter| adapter.platform.is_some());
    platforms.flat_map(|adapter| adapter.mappings.iter().map(move |mapping| (adapter, *mapping)))
}

/// Those of platforms that take submits.
fn mappings() -> impl Iterator<Item = (&'static Adapter, &'static Mapping)> {
    all_mappings().filter(|(_, mapping)| takes_nothing(mapping).is_none())
}

/// Why a platform takes no field at all.
fn takes_nothing(mapping: &Mapping) -> Option<&'static str> {
    let mut reasons = mapping.lines.iter().map(|line| match line.place {
        Place::Nowhere(why) => Some(why),
        Place::Member(_) | Place::Conf(_) | Place::Made(_) | Place::NotNeeded(_) | Place::If { .. } => None,
    });
    let first = reasons.next()??;
    reasons.all(|why| why == Some(first)).then_some(first)
}

fn fields(adapter: &Adapter, dialect: &dyn Dialect) -> String {
    if dialect.fields().is_empty() {
        return "Its API has no call that submits a batch.\n".to_owned();
    }
    let heads: Vec<String> = mappings().map(|(_, mapping)| format!("on {}", mapping.platform)).collect();
    let mut table = format!("| field | in the model | class | {} |\n", heads.join(" | "));
    let _ = writeln!(table, "|---|---|---|{}", "---|".repeat(heads.len()));
    for field in dialect.fields() {
        let (model, class) = match field.meaning {
            Meaning::Field(model) => (format!("`{}`", model.as_str()), model.class().as_str()),
            Meaning::Own(class) => ("–".to_owned(), class.map_or("–", FieldClass::as_str)),
            Meaning::Proxy => ("the proxy's own".to_owned(), "–"),
        };
        let fates: Vec<String> = mappings().map(|(_, mapping)| fate(adapter, field, mapping)).collect();
        let note = if field.note.is_empty() { String::new() } else { format!(": {}", field.note) };
        let _ = writeln!(table, "| `{}`{note} | {model} | {class} | {} |", field.name, fates.join(" | "));
    }
    table
}

fn fate(adapter: &Adapter, field: &WireField, mapping: &Mapping) -> String {
    match field.meaning {
        Meaning::Field(Field::Conf) => "by the rules below".to_owned(),
        Meaning::Field(model) => mapping.line(model).map_or(String::new(), |line| place(&line.place, field.name)),
        Meaning::Own(_) if mapping.dialect == adapter.name => "carried".to_owned(),
        Meaning::Own(None) => "not sent, and nothing is lost".to_owned(),
        Meaning::Own(Some(_)) => format!("**lost**: it is for {} only", title(adapter.name)),
        Meaning::Proxy => "–".to_owned(),
    }
}

/// `called`: what the field is called before.
fn place(place: &Place, called: &str) -> String {
    match place {
        Place::Member(name) if is_same(name, called) => "carried".to_owned(),
        Place::Member(name) => format!("as `{name}`"),
        Place::Conf(key) => format!("conf `{key}`"),
        Place::Made(how) => (*how).to_owned(),
        Place::NotNeeded(why) => format!("not sent: {why}"),
        Place::Nowhere(why) => format!("**lost**: {why}"),
        Place::If { when, then, or } => {
            format!("if {when}: {}; else {}", self::place(then, called), self::place(or, called))
        }
    }
}

fn is_same(name: &str, called: &str) -> bool {
    name.replace('_', "").eq_ignore_ascii_case(&called.replace('_', ""))
}

fn platform(mapping: &Mapping) -> String {
    let mut text = String::from("| in the model | fate | |\n|---|---|---|\n");
    for line in mapping.lines {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            line.field.as_str(),
            place(&line.place, line.field.as_str()),
            line.note
        );
    }
    text.push_str(
        "\nConf, by the first rule that fits:\n\n| rule | keys | clients | fate | why |\n|---|---|---|---|---|\n",
    );
    for rule in mapping.conf {
        text.push_str(&conf_rule(rule));
    }
    let _ = writeln!(text, "| all others | `*` | all | {} | |", conf_fate(mapping.other_conf));
    text
}

fn conf_rule(rule: &ConfRule) -> String {
    let keys = rule.keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let clients = match rule.from {
        Clients::Any => "all".to_owned(),
        Clients::Only(name) => title(name).to_owned(),
        Clients::Except(name) => format!("all but {}", title(name)),
    };
    format!("| {} | {keys} | {clients} | {} | {} |\n", rule.name, conf_fate(rule.fate), rule.why)
}

fn conf_fate(fate: ConfFate) -> String {
    match fate {
        ConfFate::Keep => "carried".to_owned(),
        ConfFate::Prefix(prefix) => format!("carried as `{prefix}` and its name"),
        ConfFate::Rename(name) => format!("carried as `{name}`"),
        ConfFate::Unless(field) => format!("not sent where the batch has `{}`, else carried", field.as_str()),
        ConfFate::NotNeeded => "not sent".to_owned(),
        ConfFate::Lost => "**lost**".to_owned(),
        ConfFate::Only(value) => format!("carried if it is `{value}`, else the batch is refused"),
        ConfFate::Refuse => "the batch is refused".to_owned(),
    }
}

fn paths() -> String {
    let keys = FILE_LISTS.map(|key| format!("`{key}`")).join(", ");
    format!(
        "\n## Paths\n\nWhere a platform has another default file system, `paths = {{ \"/apps/\" = \"hdfs:///apps/\" }}` of its backend changes \
         what a path begins with; the\nlongest beginning that fits counts. That holds for `file`, `jars`, `py_files`, `files`, `archives` and for the \
         conf keys {keys}.\n"
    )
}

fn policies() -> String {
    let mut text = String::from(
        "\n## Policies\n\n`unmapped.<class>` of a [[route]] says what is done about a field of that class that is lost:\n\n\
         | policy | what is done |\n|---|---|\n",
    );
    for policy in [Policy::Reject, Policy::Report, Policy::Drop] {
        let done = match policy {
            Policy::Reject => {
                "the submit is refused in the client's words, naming the field, the backend and why; nothing is written or sent"
            }
            Policy::Report => {
                "it is sent without the field; the header `Batchlingua-Unmapped` names it, and so do log and ledger"
            }
            Policy::Drop => "it is sent without the field; the ledger names it",
        };
        let _ = writeln!(text, "| `{}` | {done} |", policy.as_str());
    }
    let Policies { essential, placement, cosmetic } = Policies::default();
    let _ = write!(
        text,
        "\nWithout it: `essential = \"{}\"`, `placement = \"{}\"`, `cosmetic = \"{}\"`. Of conf, a key that begins with `spark.` is placement: it says \
         where and how\nlarge, or tunes; any other key is essential.\n",
        essential.as_str(),
        placement.as_str(),
        cosmetic.as_str()
    );
    text
}
