//! Between Livy's shapes and the model.
//!
//! A submit is checked in Livy's order, and the first fault is told: lists that are null, the name, forbidden conf
//! keys, the file lists, the file, the counts, what no command line can hold. Which local files a batch may name is
//! its backend's to say, so that check, and whether the name is free, come after these. A path without a scheme is
//! read as Livy reads it: as a URI whose host and query are dropped.

use batchlingua_core::{Batch, BatchId, BatchKind, BatchSpec, Conf, Fault, IdempotencyKey, Result, Size, Submission};
use batchlingua_wire::java::is_all_digits;

use crate::{
    dto::{AppInfo, BatchObject, Count, CreateBatch, JavaClass, Nullable},
    error::{rejected, thrown},
    names, state, uri, window,
};

/// What no batch may set: it would undo how Livy starts it, or whom it runs as.
const FORBIDDEN: [&str; 2] = ["spark.submit.deployMode", "spark.submit.proxyUser.allowCustomClasspathInClusterMode"];

/// Conf keys whose values are lists of files.
const FILE_LISTS: [&str; 10] = [
    "spark.jars",
    "spark.files",
    "spark.yarn.dist.archives",
    "spark.submit.pyFiles",
    "spark.archives",
    "spark.yarn.archive",
    "spark.yarn.dist.files",
    "spark.yarn.dist.jars",
    "spark.yarn.jar",
    "spark.yarn.jars",
];

/// What the request says beside its body.
#[derive(Debug, Default)]
pub(crate) struct Beside<'a> {
    /// Stronger than the body's `proxyUser`, even if empty.
    pub(crate) do_as: Option<&'a str>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) unique_name: bool,
}

/// The batch that a submit asks for. `None`: its body was `null`.
pub(crate) fn submission(request: Option<CreateBatch>, beside: Beside<'_>) -> Result<Submission> {
    let Some(request) = request else {
        let what = "Cannot invoke \"org.apache.livy.server.batch.CreateBatchRequest.name()\" \
                    because \"createRequest\" is null";
        return Err(thrown("body", "the body must be a JSON object, not null", &null_pointer(what)));
    };
    let args = not_null("args", "List", request.args)?;
    let jars = not_null("jars", "List", request.jars)?;
    let py_files = not_null("pyFiles", "List", request.py_files)?;
    let files = not_null("files", "List", request.files)?;
    let archives = not_null("archives", "List", request.archives)?;
    let conf = not_null("conf", "Map", request.conf)?;
    check_name(request.name.as_deref())?;
    check_conf(&conf)?;
    let jars = file_list("jars", jars)?;
    let files = file_list("files", files)?;
    let archives = file_list("archives", archives)?;
    let py_files = file_list("pyFiles", py_files)?;
    check_file_lists(&conf)?;
    let Some(file) = request.file else {
        return Err(rejected("file", Fault::Malformed, "requirement failed: File is required."));
    };
    let driver_cores = integer("driverCores", request.driver_cores)?;
    let executor_cores = integer("executorCores", request.executor_cores)?;
    let executors = integer("numExecutors", request.num_executors)?;
    if file.is_empty() {
        return Err(thrown("file", "'file' must name a file", "java.lang.IndexOutOfBoundsException: 0"));
    }
    let file = resolved("file", &file)?;
    let args = args.into_iter().collect::<Option<Vec<String>>>().ok_or_else(|| {
        let what =
            "Cannot invoke \"String.replace(java.lang.CharSequence, java.lang.CharSequence)\" because \"x$1\" is null";
        thrown("args", "an element of 'args' is null", &null_pointer(what))
    })?;
    let spec = BatchSpec {
        kind: BatchKind::of_file(&file),
        file: Some(file),
        class_name: request.class_name,
        args,
        jars,
        py_files,
        files,
        archives,
        driver: Size { memory: request.driver_memory, cores: driver_cores },
        executor: Size { memory: request.executor_memory, cores: executor_cores },
        executors,
        queue: request.queue,
        name: request.name,
        conf,
        run_as: beside.do_as.map(str::to_owned).or(request.proxy_user),
        extensions: Vec::new(),
    };
    check_command(&spec)?;
    let unique_name = beside.unique_name;
    Ok(Submission { spec, files: Vec::new(), project: None, key: beside.key, unique_name })
}

fn null_pointer(what: &str) -> String {
    format!("java.lang.NullPointerException: {what}")
}

fn not_null<T>(name: &str, class: &str, member: Nullable<T>) -> Result<T> {
    match member {
        Nullable::Of(value) => Ok(value),
        Nullable::Null => {
            let what = format!(
                "Cannot invoke \"scala.collection.immutable.{class}.nonEmpty()\" because the return value of \
                 \"org.apache.livy.server.batch.CreateBatchRequest.{name}()\" is null"
            );
            Err(thrown(name, format!("'{name}' must not be null: leave it out"), &null_pointer(&what)))
        }
    }
}

/// An id could not be told from a name of digits; the empty name is one of those.
pub(crate) fn check_name(name: Option<&str>) -> Result<()> {
    match name {
        Some(name) if is_all_digits(name) => {
            Err(rejected("name", Fault::Malformed, &format!("Invalid session name: {name}")))
        }
        _ => Ok(()),
    }
}

fn check_conf(conf: &Conf) -> Result<()> {
    let found: Vec<&str> = conf.iter().map(|(key, _)| key).filter(|key| FORBIDDEN.contains(key)).collect();
    if found.is_empty() {
        return Ok(());
    }
    let keys = found.join(", ");
    Err(rejected("conf", Fault::NotAllowed, &format!("Blacklisted configuration values in session config: {keys}")))
}

fn file_list(name: &str, list: Vec<Option<String>>) -> Result<Vec<String>> {
    let texts = list.into_iter().collect::<Option<Vec<String>>>().ok_or_else(|| {
        let what = "Cannot invoke \"String.length()\" because \"$this\" is null";
        thrown(name, format!("an element of '{name}' is null"), &null_pointer(what))
    })?;
    texts.iter().filter(|text| !text.is_empty()).map(|text| resolved(name, text)).collect()
}

/// The values stay as they are given: how a backend merges them with its own lists is its business.
fn check_file_lists(conf: &Conf) -> Result<()> {
    for key in FILE_LISTS {
        let files = conf.get(key).unwrap_or_default().split([',', ' ']);
        files.filter(|file| !file.is_empty()).try_for_each(|file| resolved(key, file).map(drop))?;
    }
    Ok(())
}

/// The file that a text names.
fn resolved(field: &str, text: &str) -> Result<String> {
    let uri = uri::parse(text)
        .map_err(|fault| rejected(field, Fault::Malformed, &format!("java.net.URISyntaxException: {fault}")))?;
    if uri.scheme.is_some() {
        return Ok(text.to_owned());
    }
    if !uri.path.starts_with('/') {
        let path = uri.decoded_path();
        let reason = format!("requirement failed: Path '{path}' is not absolute.");
        return Err(rejected(field, Fault::Malformed, &reason));
    }
    Ok(match uri.fragment {
        Some(fragment) => format!("{}#{fragment}", uri.path),
        None => uri.path.to_owned(),
    })
}

fn integer(name: &str, count: Option<Count>) -> Result<Option<i64>> {
    const INTEGER: &str = "java.lang.Integer";
    let cast = match count {
        None => return Ok(None),
        Some(Count::Of(count)) => return Ok(Some(i64::from(count))),
        Some(Count::Other(JavaClass::Base(class))) => format!(
            "class {class} cannot be cast to class {INTEGER} \
             ({class} and {INTEGER} are in module java.base of loader 'bootstrap')"
        ),
        Some(Count::Other(JavaClass::App(class))) => format!(
            "class {class} cannot be cast to class {INTEGER} ({class} is in unnamed module of loader 'app'; \
             {INTEGER} is in module java.base of loader 'bootstrap')"
        ),
    };
    let message = format!("'{name}' must be a 32-bit integer");
    Err(thrown(name, message, &format!("java.lang.ClassCastException: {cast}")))
}

/// A null character ends a C string: no command line can hold one.
fn check_command(spec: &BatchSpec) -> Result<()> {
    let single = [&spec.file, &spec.name, &spec.class_name, &spec.queue, &spec.driver.memory, &spec.executor.memory];
    let lists = [&spec.args, &spec.jars, &spec.py_files, &spec.files, &spec.archives];
    let mut texts = single.into_iter().flatten().chain(lists.into_iter().flatten()).map(String::as_str);
    let in_conf = spec.conf.iter().any(|(key, value)| key.contains('\0') || value.contains('\0'));
    if in_conf || texts.any(|text| text.contains('\0')) {
        let message = "a null character cannot be passed on a command line";
        return Err(thrown("body", message, "java.io.IOException: invalid null character in command"));
    }
    Ok(())
}

/// A batch as clients are shown it, with the end of a log that keeps so many lines (0: all).
pub(crate) fn object(batch: &Batch<BatchId>, log_lines: u32) -> BatchObject<'_> {
    // Who asked without proof is nobody, and neither is who asked for it to run as somebody.
    let owner = batch.owner.as_ref().filter(|owner| owner.verified);
    BatchObject {
        id: batch.id.ordinal,
        name: batch.spec.name.as_deref().filter(|name| !names::is_made(name)),
        owner: owner.map(|owner| &*owner.name),
        proxy_user: owner.and(batch.spec.run_as.as_deref()),
        state: state::word(batch.state),
        app_id: batch.app.id.as_deref(),
        app_info: AppInfo {
            driver_log_url: batch.app.driver_log_url.as_deref(),
            spark_ui_url: batch.app.url.as_deref(),
            executor_log_urls: None,
        },
        log: window::tail(log_lines, &batch.log_tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_character_is_refused_wherever_it_would_reach_a_command_line() {
        let conf = |key: &str, value: &str| BatchSpec {
            conf: [(key.to_owned(), value.to_owned())].into_iter().collect(),
            ..BatchSpec::default()
        };
        let arg = BatchSpec { args: vec!["a\0".to_owned()], ..BatchSpec::default() };
        for spec in [conf("k\0", "v"), conf("k", "v\0"), arg] {
            assert!(check_command(&spec).is_err(), "{spec:?}");
        }
        assert!(check_command(&conf("k", "v")).is_ok());
    }
}
