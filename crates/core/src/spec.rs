//! What a batch is to run, and what can become of each of its fields on the way to a backend.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
};

use crate::{DialectName, redact};

/// What kind of program the application file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchKind {
    /// A Java or Scala archive.
    #[default]
    Jar,
    /// A Python program.
    Python,
    /// An R program.
    R,
    /// SQL text.
    Sql,
    /// Anything else, such as an executable.
    Other,
}

impl BatchKind {
    /// What the extension of an application file says; `Jar` where it says nothing, as `spark-submit` takes it.
    pub fn of_file(file: &str) -> Self {
        let path = file.split(['#', '?']).next().unwrap_or(file).to_ascii_lowercase();
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("py") => Self::Python,
            Some("r") => Self::R,
            Some("sql") => Self::Sql,
            _ => Self::Jar,
        }
    }

    /// Its word in what is stored and what is told to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jar => "jar",
            Self::Python => "python",
            Self::R => "r",
            Self::Sql => "sql",
            Self::Other => "other",
        }
    }

    /// The kind of a word that [`as_str`](Self::as_str) gave.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Jar, Self::Python, Self::R, Self::Sql, Self::Other].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Cores and memory of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// As the client wrote it, such as `4g`.
    pub memory: Option<String>,
    /// A number of cores.
    pub cores: Option<i64>,
}

/// Configuration pairs in the client's order, each key once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Conf(Vec<(String, String)>);

impl Conf {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Sets a key; a value that it had is replaced in its place.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some(pair) => pair.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(k, _)| k == key)?;
        Some(self.0.remove(at).1)
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The same keys with other values.
    pub fn map_values(&self, value: impl Fn(&str, &str) -> String) -> Self {
        Self(self.0.iter().map(|(key, was)| (key.clone(), value(key, was))).collect())
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Conf {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        // A client may send very many: looking for each among those before it would take far too long.
        let mut conf: Vec<(String, String)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (key, value) in pairs {
            match places.entry(key) {
                Entry::Occupied(place) => conf[*place.get()].1 = value,
                Entry::Vacant(place) => {
                    conf.push((place.key().clone(), value));
                    place.insert(conf.len() - 1);
                }
            }
        }
        Self(conf)
    }
}

/// Secrets are masked: a conf may come into a log by way of `{:?}`.
impl fmt::Debug for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key, redact::conf_value(key, value)))).finish()
    }
}

/// A field that the model does not know, kept for the same dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Whose field it is.
    pub dialect: DialectName,
    /// Its name on that wire.
    pub name: String,
    /// Its value as JSON text.
    pub value: String,
}

/// What a batch is to run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BatchSpec {
    /// What the application file is.
    pub kind: BatchKind,
    /// The application file: a path or URI.
    pub file: Option<String>,
    /// The main class of a Jar.
    pub class_name: Option<String>,
    /// The application's own arguments.
    pub args: Vec<String>,
    /// Archives for the class path.
    pub jars: Vec<String>,
    /// Files for the Python path.
    pub py_files: Vec<String>,
    /// Files for the working directories.
    pub files: Vec<String>,
    /// Archives unpacked into the working directories.
    pub archives: Vec<String>,
    /// The driver's size.
    pub driver: Size,
    /// One executor's size.
    pub executor: Size,
    /// How many executors.
    pub executors: Option<i64>,
    /// The queue or cluster it is to run in.
    pub queue: Option<String>,
    /// The client's name for it.
    pub name: Option<String>,
    /// Configuration of the platform.
    pub conf: Conf,
    /// The user it is to run as.
    pub run_as: Option<String>,
    /// Fields that only the client's dialect knows.
    pub extensions: Vec<Extension>,
}

impl BatchSpec {
    /// What it runs: the main class, else the application file; empty where the platform does not say.
    pub fn program(&self) -> &str {
        let class_name = self.class_name.as_deref().filter(|class| !class.is_empty());
        class_name.or(self.file.as_deref()).unwrap_or_default()
    }

    /// What people know it by: its name, else the main class, else the application file's own name without its folders.
    pub fn title(&self) -> &str {
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        let class_name = self.class_name.as_deref().filter(|class| !class.is_empty());
        let file = || self.file.as_deref().map(|file| file.rsplit('/').next().unwrap_or(file));
        name.or(class_name).or_else(file).unwrap_or_default()
    }
}

/// Secrets are masked: see [`Conf`].
impl fmt::Debug for BatchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchSpec")
            .field("kind", &self.kind)
            .field("file", &self.file)
            .field("name", &self.name)
            .field("args", &redact::args(&self.args))
            .field("conf", &self.conf)
            .finish_non_exhaustive()
    }
}

/// A field of [`BatchSpec`], as the rules about what translation cannot carry name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The application file.
    File,
    /// The main class.
    ClassName,
    /// The arguments.
    Args,
    /// Class path archives.
    Jars,
    /// Python path files.
    PyFiles,
    /// Working directory files.
    Files,
    /// Unpacked archives.
    Archives,
    /// The user it is to run as.
    RunAs,
    /// Configuration.
    Conf,
    /// Driver memory.
    DriverMemory,
    /// Driver cores.
    DriverCores,
    /// Executor memory.
    ExecutorMemory,
    /// Executor cores.
    ExecutorCores,
    /// Number of executors.
    Executors,
    /// Queue or cluster.
    Queue,
    /// The client's name.
    Name,
    /// A field of the client's dialect only.
    Extension,
}

/// What it means to lose a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldClass {
    /// The job would do something else.
    Essential,
    /// It would run elsewhere or in another size.
    Placement,
    /// It would look different.
    Cosmetic,
}

impl FieldClass {
    /// The class's name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Essential => "essential",
            Self::Placement => "placement",
            Self::Cosmetic => "cosmetic",
        }
    }
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 17] = [
        Self::File,
        Self::ClassName,
        Self::Args,
        Self::Jars,
        Self::PyFiles,
        Self::Files,
        Self::Archives,
        Self::RunAs,
        Self::Conf,
        Self::DriverMemory,
        Self::DriverCores,
        Self::ExecutorMemory,
        Self::ExecutorCores,
        Self::Executors,
        Self::Queue,
        Self::Name,
        Self::Extension,
    ];

    /// The field's name in headers, logs and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::ClassName => "class_name",
            Self::Args => "args",
            Self::Jars => "jars",
            Self::PyFiles => "py_files",
            Self::Files => "files",
            Self::Archives => "archives",
            Self::RunAs => "run_as",
            Self::Conf => "conf",
            Self::DriverMemory => "driver_memory",
            Self::DriverCores => "driver_cores",
            Self::ExecutorMemory => "executor_memory",
            Self::ExecutorCores => "executor_cores",
            Self::Executors => "executors",
            Self::Queue => "queue",
            Self::Name => "name",
            Self::Extension => "extension",
        }
    }

    /// What losing it means.
    pub fn class(self) -> FieldClass {
        match self {
            Self::File | Self::ClassName | Self::Args | Self::Jars | Self::PyFiles | Self::Files | Self::Archives => {
                FieldClass::Essential
            }
            Self::RunAs | Self::Conf => FieldClass::Essential,
            Self::DriverMemory | Self::DriverCores | Self::ExecutorMemory | Self::ExecutorCores | Self::Executors => {
                FieldClass::Placement
            }
            Self::Queue | Self::Extension => FieldClass::Placement,
            Self::Name => FieldClass::Cosmetic,
        }
    }
}

/// What a backend makes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Sent under its own name.
    Carried,
    /// Sent under this other name.
    Renamed(String),
    /// Sent as this conf key.
    IntoConf(String),
    /// Sent as a value made from it, for this reason.
    Computed(String),
    /// Put where the backend can fetch it, at this address.
    Staged(String),
    /// Not sent, for this reason.
    NotCarried(String),
}

/// What becomes of one field of one submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Which field.
    pub field: Field,
    /// Which part of it, such as a conf key.
    pub part: Option<String>,
    /// What becomes of it.
    pub treatment: Treatment,
}

impl Fate {
    /// Whether the field is lost.
    pub fn is_lost(&self) -> bool {
        matches!(self.treatment, Treatment::NotCarried(_))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.as_str())?;
        match &self.part {
            Some(part) => write!(f, ":{part}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conf_key_set_twice_keeps_its_place_and_the_last_value() {
        let conf: Conf =
            [("a", "1"), ("b", "2"), ("a", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
        assert_eq!(conf.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn debug_of_a_spec_shows_no_secret() {
        let mut spec = BatchSpec { args: vec!["--password".into(), "hunter2".into()], ..BatchSpec::default() };
        spec.conf.set("spark.hadoop.fs.s3a.secret.key", "hunter2");
        assert!(!format!("{spec:?}").contains("hunter2"));
    }

    #[test]
    fn a_title_is_never_a_path() {
        let mut spec = BatchSpec { file: Some("hdfs:///apps/etl.jar".into()), ..BatchSpec::default() };
        assert_eq!((spec.title(), spec.program()), ("etl.jar", "hdfs:///apps/etl.jar"));
        spec.class_name = Some("org.example.Etl".into());
        assert_eq!((spec.title(), spec.program()), ("org.example.Etl", "org.example.Etl"));
        spec.name = Some("nightly".into());
        assert_eq!((spec.title(), spec.program()), ("nightly", "org.example.Etl"));
    }

    #[test]
    fn the_kind_follows_the_extension() {
        assert_eq!(BatchKind::of_file("/a/b.PY#x"), BatchKind::Python);
        assert_eq!(BatchKind::of_file("hdfs:///a.R"), BatchKind::R);
        assert_eq!(BatchKind::of_file("/a.py/b.jar"), BatchKind::Jar);
        assert_eq!(BatchKind::of_file("/no/extension"), BatchKind::Jar);
    }

    #[test]
    fn every_kind_is_read_back_by_its_word() {
        use BatchKind::{Jar, Other, Python, R, Sql};
        let words = [(Jar, "jar"), (Python, "python"), (R, "r"), (Sql, "sql"), (Other, "other")];
        for (kind, word) in words {
            assert_eq!((kind.as_str(), BatchKind::of_word(word)), (word, Some(kind)));
        }
        assert_eq!(BatchKind::of_word("Jar"), None);
    }
}
