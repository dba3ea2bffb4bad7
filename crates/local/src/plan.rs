//! From a batch to the exact command and the fate of each of its fields.
//!
//! Everything that can be told to be wrong is told here, before a folder is made: a path outside, a text that no command line can hold,
//! a size over the kernel's limit.

use std::{env, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use batchlingua_core::{
    BackendName, BatchKind, BatchSpec, Error, ErrorKind, Fate, Fault, Field, Intent, Payload, Plan, Purpose, Result,
    Treatment,
};

use crate::{
    Config,
    direct::{self, By},
    folder::Folder,
    named::{Named, Uploads},
    paths::AllowDirs,
    records::Launch,
    spark,
    tools::{Spark, Tools},
};

/// The kernel takes no single text of more bytes, its closing zero included.
const MAX_TEXT: usize = 128 * 1024;
/// Less than the kernel takes of arguments and environment together (2 MiB with the usual stack), since Spark's scripts add their own.
const MAX_TEXTS: usize = 3 * 512 * 1024;

/// What a plan is made with.
pub(crate) struct Planner<'a> {
    pub(crate) config: &'a Config,
    pub(crate) tools: &'a Tools,
    pub(crate) dir: &'a Path,
    pub(crate) backend: &'a BackendName,
}

impl Planner<'_> {
    pub(crate) fn plan(&self, intent: Intent) -> Result<Plan> {
        if let Some(fault) = &self.tools.fault {
            let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(60) };
            return Err(Error::new(kind, "the backend's Spark is not there").caused_by(fault.clone()));
        }
        let spec = &*intent.spec;
        check_texts(spec)?;
        check_conf(spec, &intent.files)?;
        let folder = Folder::of(self.dir, intent.marker.uuid);
        let uploads = Uploads::new(folder.path(), &intent.files)?;
        let named = Named::read(spec, &uploads, &AllowDirs::new(&self.config.allow_dirs))?;
        let (launch, mut fates) = match &self.tools.spark {
            Some(spark) if !matches!(spec.kind, BatchKind::Other | BatchKind::Sql) => {
                self.with_spark(spec, &named, spark)
            }
            _ => self.without_spark(spec, &named, folder.path())?,
        };
        check_lengths(&launch)?;
        if let (Some(application), Some(fate)) = (uploads.application(), fates.first_mut()) {
            fate.treatment = Treatment::Staged(application.uri);
        }
        let request = serde_json::to_vec_pretty(&launch).expect("a launch has text keys only").into();
        Ok(Plan { intent, head: String::new(), request, fates })
    }

    fn with_spark(&self, spec: &BatchSpec, named: &Named, spark: &Spark) -> (Launch, Vec<Fate>) {
        let master = &self.config.spark_master;
        let proxy_user = spec.run_as.as_deref().filter(|_| self.config.impersonation);
        let mut env = spark.env.clone();
        if let Some(property) = spark::archives_property(spec, named, master) {
            let before = env::var("SPARK_SUBMIT_OPTS").map(|before| before + " ").unwrap_or_default();
            env.insert("SPARK_SUBMIT_OPTS".to_owned(), before + &property);
        }
        let args = spark::arguments(spec, named, master, proxy_user);
        let program = spark.submit.to_string_lossy().into_owned();
        (self.launch(program, args, env, Vec::new()), self.fates_with_spark(spec, named))
    }

    fn without_spark(&self, spec: &BatchSpec, named: &Named, job: &Path) -> Result<(Launch, Vec<Fate>)> {
        let by = direct::by(spec, &named.file, self.backend)?;
        let command = direct::command(spec, named, by, self.tools, job)?;
        let fates = self.fates_without_spark(spec, named, by);
        Ok((self.launch(command.program, command.args, command.env, command.links), fates))
    }

    fn launch(
        &self,
        program: String,
        args: Vec<String>,
        env: std::collections::BTreeMap<String, String>,
        links: Vec<crate::records::Link>,
    ) -> Launch {
        let cancel_grace_ms = u64::try_from(self.config.cancel_grace.as_millis()).unwrap_or(u64::MAX);
        Launch { program, args, env, links, cancel_grace_ms }
    }

    fn fates_with_spark(&self, spec: &BatchSpec, named: &Named) -> Vec<Fate> {
        let into_conf = |key: &str| Treatment::IntoConf(key.to_owned());
        let mut fates = Fates::of(spec);
        fates.lists(
            spec,
            [
                (Field::Jars, into_conf("spark.jars")),
                (Field::PyFiles, Treatment::Renamed("--py-files".to_owned())),
                (Field::Files, into_conf("spark.files")),
                (Field::Archives, into_conf(spark::ARCHIVES)),
            ],
        );
        fates.add(Field::ClassName, spec.class_name.is_some(), Treatment::Carried);
        for (field, (key, value)) in SIZES.into_iter().zip(spark::sizes(spec)) {
            fates.add(field, value.is_some(), into_conf(key));
        }
        fates.add(Field::Queue, spec.queue.is_some(), Treatment::Carried);
        fates.add(Field::Name, spec.name.is_some(), Treatment::Carried);
        let sizes = spark::sizes(spec);
        for (key, _) in spec.conf.iter() {
            let beaten = sizes.iter().any(|(known, value)| *known == key && value.is_some());
            fates.part(
                Field::Conf,
                key,
                match key {
                    spark::MASTER => Treatment::Computed("the backend's own spark_master is used".to_owned()),
                    _ if beaten => Treatment::Computed("the batch's own field is used".to_owned()),
                    _ => Treatment::Carried,
                },
            );
        }
        for (key, location) in &named.uploads {
            fates.part(Field::Conf, key, Treatment::Staged(location.uri.clone()));
        }
        let run_as = if self.config.impersonation { Treatment::Carried } else { own_user() };
        fates.add(Field::RunAs, spec.run_as.is_some(), run_as);
        fates.0
    }

    fn fates_without_spark(&self, spec: &BatchSpec, named: &Named, by: By) -> Vec<Fate> {
        let lost = |why: &str| Treatment::NotCarried(why.to_owned());
        let no_spark = || lost("it runs without Spark");
        let jars = match (by, &spec.class_name) {
            (By::Java, Some(_)) => Treatment::Carried,
            (By::Java, None) => lost("java -jar takes no further archives; name the main class"),
            (By::Python | By::Itself, _) => no_spark(),
        };
        let py_files = if by == By::Python { Treatment::Renamed("PYTHONPATH".to_owned()) } else { no_spark() };
        let mut fates = Fates::of(spec);
        fates.lists(
            spec,
            [
                (Field::Jars, jars),
                (Field::PyFiles, py_files),
                (Field::Files, Treatment::Carried),
                (Field::Archives, no_spark()),
            ],
        );
        let class = match by {
            By::Java => Treatment::Carried,
            By::Python | By::Itself => Treatment::Computed("ignored: only archives have a main class".to_owned()),
        };
        fates.add(Field::ClassName, spec.class_name.is_some(), class);
        for (field, (_, value)) in SIZES.into_iter().zip(spark::sizes(spec)) {
            fates.add(field, value.is_some(), no_spark());
        }
        fates.add(Field::Queue, spec.queue.is_some(), no_spark());
        fates.add(Field::Name, spec.name.is_some(), Treatment::Carried);
        for (key, _) in spec.conf.iter() {
            fates.part(Field::Conf, key, no_spark());
        }
        for (key, location) in &named.uploads {
            fates.part(
                Field::Conf,
                key,
                match (key.as_str(), by, &spec.class_name) {
                    ("spark.files", ..) | (spark::PY_FILES, By::Python, _) | ("spark.jars", By::Java, Some(_)) => {
                        Treatment::Staged(location.uri.clone())
                    }
                    _ => no_spark(),
                },
            );
        }
        let run_as = if self.config.impersonation { no_spark() } else { own_user() };
        fates.add(Field::RunAs, spec.run_as.is_some(), run_as);
        fates.0
    }
}

const SIZES: [Field; 5] =
    [Field::DriverMemory, Field::DriverCores, Field::ExecutorMemory, Field::ExecutorCores, Field::Executors];

fn own_user() -> Treatment {
    Treatment::Computed("ignored: every job runs as the proxy's own user".to_owned())
}

struct Fates(Vec<Fate>);

impl Fates {
    /// Of what is the same however a batch is run.
    fn of(spec: &BatchSpec) -> Self {
        let mut fates = Self(Vec::new());
        fates.add(Field::File, true, Treatment::Carried);
        fates.add(Field::Args, !spec.args.is_empty(), Treatment::Carried);
        for extension in &spec.extensions {
            let why = format!("it is for {} only", extension.dialect);
            fates.part(Field::Extension, &extension.name, Treatment::NotCarried(why));
        }
        fates
    }

    fn lists(&mut self, spec: &BatchSpec, treatments: [(Field, Treatment); 4]) {
        let lists = [&spec.jars, &spec.py_files, &spec.files, &spec.archives];
        for (list, (field, treatment)) in lists.into_iter().zip(treatments) {
            self.add(field, !list.is_empty(), treatment);
        }
    }

    fn add(&mut self, field: Field, given: bool, treatment: Treatment) {
        if given {
            self.0.push(Fate { field, part: None, treatment });
        }
    }

    fn part(&mut self, field: Field, part: &str, treatment: Treatment) {
        self.0.push(Fate { field, part: Some(part.to_owned()), treatment });
    }
}

/// A zero ends a text for the kernel: what follows would be lost without a word. What is too long for it is so too where no command has it,
/// such as the name of a job without Spark: every list shows it.
fn check_texts(spec: &BatchSpec) -> Result<()> {
    let lists = [
        ("args", &spec.args),
        ("jars", &spec.jars),
        ("py_files", &spec.py_files),
        ("files", &spec.files),
        ("archives", &spec.archives),
    ];
    let ones = [
        ("file", &spec.file),
        ("class_name", &spec.class_name),
        ("name", &spec.name),
        ("queue", &spec.queue),
        ("run_as", &spec.run_as),
        ("driver_memory", &spec.driver.memory),
        ("executor_memory", &spec.executor.memory),
    ];
    let listed = lists.into_iter().flat_map(|(field, texts)| texts.iter().map(move |text| (field, text.as_str())));
    let single = ones.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?)));
    if let Some((field, _)) = single.clone().find(|(_, text)| text.len() >= MAX_TEXT) {
        return Err(Error::invalid(field, format!("{field} has {MAX_TEXT} bytes or more: shorten it")));
    }
    let pairs = spec.conf.iter().flat_map(|(key, value)| [("conf", key), ("conf", value)]);
    match listed.chain(single).chain(pairs).find(|(_, text)| text.contains('\0')) {
        Some((field, _)) => Err(Error::invalid(field, format!("{field} contains a NUL character"))),
        None => Ok(()),
    }
}

/// A key is the client's text also where an uploaded file is to be listed: with a `=` in it, it would be another key with any value.
fn check_conf(spec: &BatchSpec, files: &[Payload]) -> Result<()> {
    let listed = files.iter().flat_map(|file| match &file.purpose {
        Purpose::Conf(keys) => keys.as_slice(),
        Purpose::Unsaid | Purpose::Application => &[],
    });
    let given = spec.conf.iter().map(|(key, _)| key);
    if let Some(key) = given.chain(listed.clone().map(String::as_str)).find(|key| !is_key(key)) {
        let key = key.escape_debug();
        return Err(Error::invalid("conf", format!("conf key '{key}' is empty or contains '=' or a NUL character")));
    }
    if let Some(key) = listed.clone().find(|key| matches!(key.as_str(), spark::MASTER | spark::DEPLOY_MODE)) {
        return Err(Error::invalid(
            "conf",
            format!("an uploaded file cannot be listed in '{key}': it is no list of files"),
        ));
    }
    match spec.conf.get(spark::DEPLOY_MODE) {
        None | Some("client") => Ok(()),
        Some(_) => {
            // The end of spark-submit would not be the end of the job, nor its log the job's.
            let message = format!("{} must be client here: the driver runs on this machine", spark::DEPLOY_MODE);
            let kind = ErrorKind::InvalidRequest { field: "conf".to_owned(), fault: Fault::NotAllowed };
            Err(Error::new(kind, message))
        }
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.contains(['=', '\0'])
}

fn check_lengths(launch: &Launch) -> Result<()> {
    let too_long = |what: &str, max: usize| Err(Error::invalid("args", format!("{what} over {max} bytes: shorten it")));
    let pairs = launch.env.iter().map(|(key, value)| key.len() + value.len() + 2);
    let texts: Vec<usize> = launch.args.iter().map(|arg| arg.len() + 1).chain(pairs).collect();
    if texts.iter().any(|length| *length > MAX_TEXT) {
        return too_long("the command has an argument", MAX_TEXT - 1);
    }
    let inherited = env::vars_os().map(|(key, value)| key.as_bytes().len() + value.as_bytes().len() + 2);
    // Each text also takes a pointer.
    let all: usize = texts.into_iter().chain(inherited).map(|length| length + size_of::<usize>()).sum();
    if all > MAX_TEXTS { too_long("the command with its environment is", MAX_TEXTS) } else { Ok(()) }
}
