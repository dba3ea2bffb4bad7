//! From a batch to the exact command and the fate of each of its fields.
//!
//! Everything that can be told to be wrong is told here, before a folder is made: a path outside, a text that no command line can hold,
//! a size over the kernel's limit.

use std::{env, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use batchlingua_core::{
    BackendName, BatchKind, BatchSpec, Error, ErrorKind, Fate, Field, Intent, PathMap, Payload, Place, Plan, Purpose,
    Result, Treatment,
};

use crate::{
    Config,
    direct::{self, By},
    folder::Folder,
    mapping,
    named::{Named, Uploads},
    paths::{AllowDirs, Location},
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
        let (launch, fates) = match &self.tools.spark {
            Some(spark) if !matches!(spec.kind, BatchKind::Other | BatchKind::Sql) => {
                self.with_spark(&intent, &named, spark)?
            }
            _ => self.without_spark(&intent, &named, folder.path())?,
        };
        check_lengths(&launch)?;
        let fates = fates.with_application(uploads.application());
        let request = serde_json::to_vec_pretty(&launch).expect("a launch has text keys only").into();
        Ok(Plan { intent, request, fates })
    }

    fn with_spark(&self, intent: &Intent, named: &Named, spark: &Spark) -> Result<(Launch, Fates)> {
        let (spec, master) = (&*intent.spec, &self.config.spark_master);
        let holds = |when: &str| when == mapping::IMPERSONATION && self.config.impersonation;
        let load = mapping::WITH_SPARK.load_where(spec, &intent.dialect, &PathMap::default(), &holds)?;
        let mut env = spark.env.clone();
        if let Some(property) = spark::archives_property(spec, named, master) {
            let before = env::var("SPARK_SUBMIT_OPTS").map(|before| before + " ").unwrap_or_default();
            env.insert("SPARK_SUBMIT_OPTS".to_owned(), before + &property);
        }
        let args = spark::arguments(spec, &load, named, master);
        let program = spark.submit.to_string_lossy().into_owned();
        let mut fates = Fates(load.fates);
        for (key, location) in &named.uploads {
            fates.uploaded(key, Treatment::Staged(location.uri.clone()));
        }
        Ok((self.launch(program, args, env, Vec::new()), fates))
    }

    fn without_spark(&self, intent: &Intent, named: &Named, job: &Path) -> Result<(Launch, Fates)> {
        let spec = &*intent.spec;
        let by = direct::by(spec, &named.file, self.backend)?;
        let holds = |when: &str| match when {
            mapping::IMPERSONATION => self.config.impersonation,
            mapping::JAVA => by == By::Java,
            mapping::JAVA_CLASS => by == By::Java && spec.class_name.is_some(),
            mapping::PYTHON => by == By::Python,
            _ => false,
        };
        let table = &mapping::WITHOUT_SPARK;
        let load = table.load_where(spec, &intent.dialect, &PathMap::default(), &holds)?;
        let command = direct::command(&load, named, by, self.tools, job)?;
        let mut fates = Fates(load.fates);
        for (key, location) in &named.uploads {
            let field = mapping::UPLOADS.iter().find(|(known, _)| known == key).map(|(_, field)| *field);
            let place = field.and_then(|field| table.place(field, &holds));
            let why = table.rule(key, intent.dialect.as_str()).map_or("", |rule| rule.why);
            fates.uploaded(
                key,
                match place {
                    Some(Place::Member(_)) => Treatment::Staged(location.uri.clone()),
                    Some(Place::Nowhere(why)) => Treatment::NotCarried(why.to_owned()),
                    _ => Treatment::NotCarried(why.to_owned()),
                },
            );
        }
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
}

struct Fates(Vec<Fate>);

impl Fates {
    /// One more file for a conf key that is a list of files.
    fn uploaded(&mut self, key: &str, treatment: Treatment) {
        self.0.push(Fate { field: Field::Conf, part: Some(key.to_owned()), treatment });
    }

    /// The fates, where an uploaded program takes the place of the one that is named.
    fn with_application(mut self, application: Option<Location>) -> Vec<Fate> {
        let Some(application) = application else { return self.0 };
        let treatment = Treatment::Staged(application.uri);
        match self.0.iter_mut().find(|fate| fate.field == Field::File) {
            Some(fate) => fate.treatment = treatment,
            None => self.0.insert(0, Fate { field: Field::File, part: None, treatment }),
        }
        self.0
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
    Ok(())
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
