//! What a platform makes of each field of a submit: one table for each, from which come what is sent, what the client is told, the page
//! `docs/translation.md` and `batchlingua explain`. So none of them can say what another does not do.
//!
//! A [`Mapping`] has a line for every field of [`BatchSpec`] and named rules for conf keys that the platform would read otherwise than they
//! are meant. [`Mapping::load`] applies it to one batch. A value that no line of a table can say is made by the adapter; its line says how.

use std::mem;

use crate::{BatchSpec, Conf, DialectName, Error, ErrorKind, Fate, Fault, Field, Result, Treatment};

/// What a platform makes of each field.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Which platform, as the documentation names it.
    pub platform: &'static str,
    /// The dialect whose own fields it takes as they are; empty: none.
    pub dialect: &'static str,
    /// One line for each field but conf and extensions.
    pub lines: &'static [Line],
    /// Rules for conf keys; the first that fits counts.
    pub conf: &'static [ConfRule],
    /// What becomes of a conf key that no rule names.
    pub other_conf: ConfFate,
}

/// What becomes of one field.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// The field.
    pub field: Field,
    /// Where it goes.
    pub place: Place,
    /// What a reader of the documentation should know beside that; may be empty.
    pub note: &'static str,
}

/// Where a field goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a member of the request with this name.
    Member(&'static str),
    /// Into this conf key. A list is joined with commas, before what the conf has there by itself; another value takes its place.
    Conf(&'static str),
    /// The adapter makes a value from it, in this way.
    Made(&'static str),
    /// Nowhere, for this reason, and nothing is lost.
    NotNeeded(&'static str),
    /// Nowhere, for this reason: it is lost.
    Nowhere(&'static str),
    /// That depends on something that is not in the batch, such as a setting of the backend.
    If {
        /// On what, in words that follow "if".
        when: &'static str,
        /// Where it goes if so.
        then: &'static Place,
        /// Where it goes if not.
        or: &'static Place,
    },
}

/// What becomes of some conf keys, and why.
#[derive(Clone, Copy, Debug)]
pub struct ConfRule {
    /// The rule's name, in the documentation and in what a client is told.
    pub name: &'static str,
    /// The keys; one that ends with `*` stands for all that begin so.
    pub keys: &'static [&'static str],
    /// Of whose submits.
    pub from: Clients,
    /// What becomes of them.
    pub fate: ConfFate,
    /// Why.
    pub why: &'static str,
}

impl ConfRule {
    /// Where the batch has the field as well, of these clients' submits, the conf's is left out.
    pub const fn said_twice(
        name: &'static str,
        keys: &'static [&'static str],
        field: Field,
        from: Clients,
        why: &'static str,
    ) -> Self {
        Self { name, keys, from, fate: ConfFate::Unless(field), why }
    }
}

/// Clients of which dialects a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// All.
    Any,
    /// Of this one.
    Only(&'static str),
    /// Of all but this one.
    Except(&'static str),
}

/// What becomes of a conf key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfFate {
    /// It is sent as it is.
    Keep,
    /// It is sent with this in front of its name.
    Prefix(&'static str),
    /// It is sent under this name.
    Rename(&'static str),
    /// It is not sent where the batch says the same by this field; else as it is.
    Unless(Field),
    /// It is not sent, and nothing is lost by that.
    NotNeeded,
    /// It is not sent: it is lost.
    Lost,
    /// It is sent where it has this value; with any other the batch is refused.
    Only(&'static str),
    /// The batch is refused.
    Refuse,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// One text.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// A whole number.
    Integer(i64),
}

/// A batch as a platform gets it.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Members of the request, in the order of the table.
    pub members: Vec<(&'static str, FieldValue)>,
    /// Its conf.
    pub conf: Conf,
    /// Fields of the platform's own dialect that the model does not know: name and JSON text.
    pub extensions: Vec<(String, String)>,
    /// What becomes of each field that the client gave.
    pub fates: Vec<Fate>,
}

impl Load {
    /// The value of a member.
    pub fn member(&self, name: &str) -> Option<&FieldValue> {
        self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Other beginnings for paths: the same file has another name where another file system is the default one. The longest that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathMap(Vec<(String, String)>);

impl PathMap {
    /// Pairs of what a path begins with and what takes its place.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self(pairs)
    }

    /// The path there; `None`: it is the same.
    pub fn apply(&self, path: &str) -> Option<String> {
        let (from, to) = self.0.iter().find(|(from, _)| path.starts_with(from.as_str()))?;
        let mapped = format!("{to}{}", &path[from.len()..]);
        (mapped != path).then_some(mapped)
    }

    /// The same of each item of a list that is joined with commas.
    pub fn apply_to_list(&self, list: &str) -> Option<String> {
        let items: Vec<_> = list.split(',').map(|item| (item, self.apply(item.trim()))).collect();
        let changed = items.iter().any(|(_, mapped)| mapped.is_some());
        let items = items.into_iter().map(|(item, mapped)| mapped.unwrap_or_else(|| item.to_owned()));
        changed.then(|| items.collect::<Vec<_>>().join(","))
    }
}

/// Conf keys by which a Kyuubi is told to run a batch as somebody else; whatever dialect they came by, a backend may read them.
pub const RUN_AS_CONF: [&str; 2] = ["kyuubi.session.proxy.user", "hive.server2.proxy.user"];

/// Conf keys that hold lists of files.
pub const FILE_LISTS: [&str; 9] = [
    "spark.jars",
    "spark.files",
    "spark.archives",
    "spark.submit.pyFiles",
    "spark.yarn.dist.files",
    "spark.yarn.dist.jars",
    "spark.yarn.dist.archives",
    "spark.yarn.dist.pyFiles",
    "spark.yarn.jars",
];

impl Mapping {
    /// The line of a field; conf and extensions have none.
    pub fn line(&self, field: Field) -> Option<&'static Line> {
        self.lines.iter().find(|line| line.field == field)
    }

    /// The rule for a conf key of a client of this dialect.
    pub fn rule(&self, key: &str, from: &str) -> Option<&'static ConfRule> {
        self.conf.iter().find(|rule| rule.from.is(from) && rule.keys.iter().any(|pattern| fits(pattern, key)))
    }

    /// Where a field goes, when so much as `holds` says is so.
    pub fn place(&self, field: Field, holds: &dyn Fn(&str) -> bool) -> Option<Place> {
        self.line(field).map(|line| line.place.settled(holds))
    }

    /// The batch of a client of this dialect as the platform gets it.
    pub fn load(&self, spec: &BatchSpec, from: &DialectName, paths: &PathMap) -> Result<Load> {
        self.load_where(spec, from, paths, &|_| false)
    }

    /// The same where places depend on more than the batch ([`Place::If`]): whether what stands there is so.
    pub fn load_where(
        &self,
        spec: &BatchSpec,
        from: &DialectName,
        paths: &PathMap,
        holds: &dyn Fn(&str) -> bool,
    ) -> Result<Load> {
        let mut load = Load::default();
        self.load_conf(&mut load, spec, from, paths)?;
        let conf_fates = mem::take(&mut load.fates);
        for line in self.lines {
            let Some(value) = spec.value(line.field) else { continue };
            let (value, is_mapped) = mapped(line.field, value, paths);
            let mut treatment = place(&mut load, line.field, line.place.settled(holds), value);
            if is_mapped && matches!(treatment, Treatment::Carried) {
                treatment = Treatment::Computed("its path is another one there (paths)".to_owned());
            }
            load.fates.push(Fate { field: line.field, part: None, treatment });
        }
        load.fates.extend(conf_fates);
        for extension in &spec.extensions {
            let treatment = if extension.dialect.as_str() == self.dialect {
                load.extensions.push((extension.name.clone(), extension.value.clone()));
                Treatment::Carried
            } else {
                Treatment::NotCarried(format!("it is for {} only", extension.dialect))
            };
            load.fates.push(Fate { field: Field::Extension, part: Some(extension.name.clone()), treatment });
        }
        Ok(load)
    }

    fn load_conf(&self, load: &mut Load, spec: &BatchSpec, from: &DialectName, paths: &PathMap) -> Result<()> {
        let mut conf: Vec<(String, String)> = Vec::new();
        for (key, value) in spec.conf.iter() {
            let rule = self.rule(key, from.as_str());
            let (fate, why) = rule.map_or((self.other_conf, ""), |rule| (rule.fate, rule.why));
            let mapped = if FILE_LISTS.contains(&key) { paths.apply_to_list(value) } else { None };
            let kept = match &mapped {
                Some(_) => Treatment::Computed("its paths are others there (paths)".to_owned()),
                None => Treatment::Carried,
            };
            let value = mapped.unwrap_or_else(|| value.to_owned());
            let (sent, treatment) = match fate {
                ConfFate::Keep => (Some(key.to_owned()), kept),
                ConfFate::Prefix(prefix) => renamed(format!("{prefix}{key}")),
                ConfFate::Rename(name) => renamed(name.to_owned()),
                ConfFate::Unless(field) if spec.value(field).is_some() => {
                    (None, Treatment::Computed("the batch's own field is used".to_owned()))
                }
                ConfFate::Unless(_) => (Some(key.to_owned()), kept),
                ConfFate::NotNeeded => (None, Treatment::Computed(format!("not sent: {why}"))),
                ConfFate::Lost => (None, Treatment::NotCarried(why.to_owned())),
                ConfFate::Only(only) if value == only => (Some(key.to_owned()), kept),
                ConfFate::Only(_) | ConfFate::Refuse => return Err(refused(self, key, why)),
            };
            conf.extend(sent.map(|key| (key, value)));
            load.fates.push(Fate { field: Field::Conf, part: Some(key.to_owned()), treatment });
        }
        load.conf = conf.into_iter().collect();
        Ok(())
    }
}

impl Place {
    /// The place itself, when so much as `holds` says is so.
    fn settled(self, holds: &dyn Fn(&str) -> bool) -> Self {
        match self {
            Self::If { when, then, .. } if holds(when) => then.settled(holds),
            Self::If { or, .. } => or.settled(holds),
            Self::Member(_) | Self::Conf(_) | Self::Made(_) | Self::NotNeeded(_) | Self::Nowhere(_) => self,
        }
    }
}

impl Clients {
    /// Whether a dialect is meant.
    pub fn is(self, dialect: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(name) => name == dialect,
            Self::Except(name) => name != dialect,
        }
    }
}

fn fits(pattern: &str, key: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == key, |start| key.starts_with(start))
}

fn renamed(key: String) -> (Option<String>, Treatment) {
    (Some(key.clone()), Treatment::Renamed(key))
}

fn refused(mapping: &Mapping, key: &str, why: &str) -> Error {
    let kind = ErrorKind::InvalidRequest { field: "conf".to_owned(), fault: Fault::NotAllowed };
    Error::new(kind, format!("conf key '{key}' cannot be sent to {}: {why}; leave it out", mapping.platform))
}

fn mapped(field: Field, value: FieldValue, paths: &PathMap) -> (FieldValue, bool) {
    let is_file = match field {
        Field::File | Field::Jars | Field::PyFiles | Field::Files | Field::Archives => true,
        Field::ClassName | Field::Args | Field::RunAs | Field::Conf | Field::Queue | Field::Name => false,
        Field::DriverMemory | Field::DriverCores | Field::ExecutorMemory | Field::ExecutorCores => false,
        Field::Executors | Field::Extension => false,
    };
    match value {
        FieldValue::Text(text) if is_file => {
            let mapped = paths.apply(&text);
            let is_mapped = mapped.is_some();
            (FieldValue::Text(mapped.unwrap_or(text)), is_mapped)
        }
        FieldValue::List(items) if is_file => {
            let mut is_mapped = false;
            let items = items.into_iter().map(|item| match paths.apply(&item) {
                Some(mapped) => {
                    is_mapped = true;
                    mapped
                }
                None => item,
            });
            let items = items.collect();
            (FieldValue::List(items), is_mapped)
        }
        other => (other, false),
    }
}

fn place(load: &mut Load, field: Field, place: Place, value: FieldValue) -> Treatment {
    match place {
        Place::Member(name) => {
            load.members.push((name, value));
            if is_same_name(name, field.as_str()) { Treatment::Carried } else { Treatment::Renamed(name.to_owned()) }
        }
        Place::Conf(key) => {
            let value = match value {
                FieldValue::Text(text) => text,
                FieldValue::Integer(number) => number.to_string(),
                FieldValue::List(items) => {
                    let kept = load.conf.get(key).filter(|kept| !kept.is_empty()).map(str::to_owned);
                    items.into_iter().chain(kept).collect::<Vec<_>>().join(",")
                }
            };
            load.conf.set(key, value);
            Treatment::IntoConf(key.to_owned())
        }
        Place::Made(how) => Treatment::Computed(how.to_owned()),
        Place::NotNeeded(why) => Treatment::Computed(format!("not sent: {why}")),
        Place::Nowhere(why) => Treatment::NotCarried(why.to_owned()),
        Place::If { .. } => unreachable!("a place is settled before a value is put there"),
    }
}

/// `className` is `class_name`.
fn is_same_name(member: &str, field: &str) -> bool {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    plain(member) == plain(field)
}

impl BatchSpec {
    /// The value of a field, if it is given. Conf and extensions have parts, each with a fate of its own.
    pub fn value(&self, field: Field) -> Option<FieldValue> {
        let text = |text: &Option<String>| text.clone().map(FieldValue::Text);
        let list = |list: &[String]| (!list.is_empty()).then(|| FieldValue::List(list.to_vec()));
        let integer = |number: Option<i64>| number.map(FieldValue::Integer);
        match field {
            Field::File => text(&self.file),
            Field::ClassName => text(&self.class_name),
            Field::Args => list(&self.args),
            Field::Jars => list(&self.jars),
            Field::PyFiles => list(&self.py_files),
            Field::Files => list(&self.files),
            Field::Archives => list(&self.archives),
            Field::RunAs => text(&self.run_as),
            Field::DriverMemory => text(&self.driver.memory),
            Field::DriverCores => integer(self.driver.cores),
            Field::ExecutorMemory => text(&self.executor.memory),
            Field::ExecutorCores => integer(self.executor.cores),
            Field::Executors => integer(self.executors),
            Field::Queue => text(&self.queue),
            Field::Name => text(&self.name),
            Field::Conf | Field::Extension => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extension;

    const MAPPING: Mapping = Mapping {
        platform: "a test",
        dialect: "here",
        lines: &[
            Line { field: Field::File, place: Place::Member("resource"), note: "" },
            Line { field: Field::ClassName, place: Place::Member("className"), note: "" },
            Line { field: Field::Jars, place: Place::Conf("spark.jars"), note: "" },
            Line { field: Field::DriverCores, place: Place::Conf("spark.driver.cores"), note: "" },
            Line { field: Field::Queue, place: Place::Nowhere("it has no queues"), note: "" },
            Line {
                field: Field::RunAs,
                place: Place::If {
                    when: "it may",
                    then: &Place::Member("user"),
                    or: &Place::NotNeeded("it has one user"),
                },
                note: "",
            },
        ],
        conf: &[
            ConfRule {
                name: "own master",
                keys: &["spark.master"],
                from: Clients::Except("here"),
                fate: ConfFate::NotNeeded,
                why: "it has its own",
            },
            ConfRule {
                name: "sizes",
                keys: &["spark.driver.cores"],
                from: Clients::Any,
                fate: ConfFate::Unless(Field::DriverCores),
                why: "",
            },
            ConfRule {
                name: "hadoop",
                keys: &["hadoop.*"],
                from: Clients::Any,
                fate: ConfFate::Prefix("spark.hadoop."),
                why: "",
            },
            ConfRule { name: "no", keys: &["spark.no"], from: Clients::Any, fate: ConfFate::Refuse, why: "no" },
            ConfRule {
                name: "mode",
                keys: &["spark.mode"],
                from: Clients::Any,
                fate: ConfFate::Only("client"),
                why: "it has one only",
            },
        ],
        other_conf: ConfFate::Keep,
    };

    fn spec() -> BatchSpec {
        let mut spec = BatchSpec {
            file: Some("/apps/a.jar".into()),
            class_name: Some("A".into()),
            jars: vec!["/apps/x.jar".into(), "s3://y.jar".into()],
            queue: Some("q".into()),
            ..BatchSpec::default()
        };
        spec.driver.cores = Some(2);
        for (key, value) in [
            ("spark.master", "yarn"),
            ("spark.jars", "/apps/z.jar"),
            ("spark.driver.cores", "9"),
            ("hadoop.a", "1"),
            ("x", "2"),
        ] {
            spec.conf.set(key, value);
        }
        spec
    }

    fn fates(load: &Load) -> Vec<String> {
        load.fates.iter().map(|fate| format!("{fate} {:?}", fate.treatment)).collect()
    }

    #[test]
    fn every_field_goes_where_its_line_says_and_is_told() {
        let paths = PathMap::new([("/apps/".to_owned(), "hdfs:///apps/".to_owned())]);
        let mut spec = spec();
        let extension = |dialect: &str| Extension { dialect: dialect.into(), name: dialect.into(), value: "1".into() };
        spec.extensions = vec![extension("here"), extension("there")];
        let load = MAPPING.load(&spec, &"there".into(), &paths).expect("a load");
        assert_eq!(
            load.members,
            [("resource", FieldValue::Text("hdfs:///apps/a.jar".into())), ("className", FieldValue::Text("A".into()))]
        );
        assert_eq!(
            load.conf.iter().collect::<Vec<_>>(),
            [
                ("spark.jars", "hdfs:///apps/x.jar,s3://y.jar,hdfs:///apps/z.jar"),
                ("spark.hadoop.hadoop.a", "1"),
                ("x", "2"),
                ("spark.driver.cores", "2")
            ]
        );
        assert_eq!(load.extensions, [("here".to_owned(), "1".to_owned())]);
        let lost: Vec<_> = load.fates.iter().filter(|fate| fate.is_lost()).map(ToString::to_string).collect();
        assert_eq!(lost, ["queue", "extension:there"]);
        assert_eq!(load.fates.len(), 12, "{:?}", fates(&load));
    }

    #[test]
    fn a_rule_is_for_the_dialects_that_it_names() {
        let load = MAPPING.load(&spec(), &"here".into(), &PathMap::default()).expect("a load");
        assert_eq!(load.conf.get("spark.master"), Some("yarn"));
        assert!(fates(&load).contains(&"file Renamed(\"resource\")".to_owned()), "{:?}", fates(&load));
    }

    #[test]
    fn a_refused_key_is_named() {
        let mut spec = spec();
        spec.conf.set("spark.no", "1");
        let error = MAPPING.load(&spec, &"there".into(), &PathMap::default()).expect_err("refused");
        assert!(error.message.contains("'spark.no'") && error.message.contains("a test"), "{error}");
    }

    #[test]
    fn a_value_that_is_not_the_only_one_is_refused() {
        let load = |mode: &str| {
            let mut spec = spec();
            spec.conf.set("spark.mode", mode);
            MAPPING.load(&spec, &"there".into(), &PathMap::default())
        };
        assert_eq!(load("client").expect("taken").conf.get("spark.mode"), Some("client"));
        assert!(load("cluster").expect_err("refused").message.contains("'spark.mode'"));
    }

    #[test]
    fn what_depends_on_a_setting_is_settled_first() {
        let spec = BatchSpec { run_as: Some("ana".into()), ..BatchSpec::default() };
        let load = |may: bool| {
            let holds = |when: &str| when == "it may" && may;
            MAPPING.load_where(&spec, &"there".into(), &PathMap::default(), &holds).expect("a load")
        };
        assert_eq!(load(true).member("user"), Some(&FieldValue::Text("ana".into())));
        let without = load(false);
        assert!(without.members.is_empty() && !without.fates[0].is_lost(), "{:?}", fates(&without));
        assert_eq!(MAPPING.place(Field::RunAs, &|_| true), Some(Place::Member("user")));
    }

    #[test]
    fn the_longest_beginning_counts() {
        let pairs = [("/", "hdfs:///"), ("/local/", "file:///local/"), ("hdfs://a/", "obs://b/")];
        let paths = PathMap::new(pairs.map(|(from, to)| (from.to_owned(), to.to_owned())));
        assert_eq!(paths.apply("/x"), Some("hdfs:///x".into()));
        assert_eq!(paths.apply("/local/x"), Some("file:///local/x".into()));
        assert_eq!(paths.apply("s3://x"), None);
        assert_eq!(paths.apply_to_list("s3://x, hdfs://a/y"), Some("s3://x,obs://b/y".into()));
    }
}
