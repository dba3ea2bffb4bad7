//! Between DLI's shapes and the model.
//!
//! What the model knows goes to its own fields, all else to extensions of this dialect, as JSON text: so the request can be shown again, and
//! sent on to a DLI. Whether a file can be read, and whether a main class is needed, is for the backend to say.

use std::borrow::Cow;

use batchlingua_core::{
    Batch, BatchId, BatchKind, BatchSpec, DialectName, Error, Extension, IdempotencyKey, Millis, Project, Result, Size,
    Submission,
};

use crate::{
    NAME,
    dto::{BatchObject, CreateBatch},
    echo, names,
    sizes::{self, CUSTOMIZED, SMALLEST},
    state,
};

pub(crate) const NAME_LENGTH: usize = 128;
/// The lines of a log that a batch's object shows.
const TAIL: usize = 10;

/// What the request says beside its body, and the settings that fill it up.
#[derive(Debug, Default)]
pub(crate) struct Beside<'a> {
    pub(crate) project: Option<Project>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) default_queue: Option<&'a str>,
}

/// The batch that a create asks for.
pub(crate) fn submission(request: CreateBatch, beside: Beside<'_>) -> Result<Submission> {
    let spec = spec(request, beside.default_queue)?;
    Ok(Submission { spec, files: Vec::new(), project: beside.project, key: beside.key, unique_name: false })
}

fn spec(request: CreateBatch, default_queue: Option<&str>) -> Result<BatchSpec> {
    check_image(&request)?;
    let queue = queue(&request)?.or_else(|| default_queue.map(str::to_owned));
    let file =
        request.file.ok_or_else(|| Error::invalid("file", "'file' is missing: it must name the main package"))?;
    let mut spec = BatchSpec {
        kind: BatchKind::of_file(&file),
        file: Some(file),
        class_name: request.class_name,
        args: request.args,
        jars: request.jars,
        py_files: request.py_files,
        files: request.files,
        archives: request.archives,
        driver: Size { memory: memory("driverMemory", request.driver_memory)?, cores: request.driver_cores },
        executor: Size { memory: memory("executorMemory", request.executor_memory)?, cores: request.executor_cores },
        executors: request.num_executors,
        queue,
        name: name(request.name)?,
        conf: request.conf,
        run_as: None,
        extensions: Vec::new(),
    };
    take_size(&mut spec, request.sc_type.as_deref())?;
    spec.extensions.extend(request.kept.into_iter().map(|(name, value)| extension(&name, value)));
    Ok(spec)
}

fn extension(name: &str, value: String) -> Extension {
    Extension { dialect: DialectName::from(NAME), name: name.to_owned(), value }
}

/// Both names mean one queue; `queue` is the stronger one.
fn queue(request: &CreateBatch) -> Result<Option<String>> {
    let given = request.queue.as_deref().map(|queue| ("queue", queue));
    let given = given.or_else(|| request.cluster_name.as_deref().map(|queue| ("cluster_name", queue)));
    let Some((field, given)) = given else { return Ok(None) };
    let read = names::queue(given);
    read.map(Some).ok_or_else(|| Error::invalid(field, format!("'{field}' must be {}", names::QUEUE_RULE)))
}

fn name(name: Option<String>) -> Result<Option<String>> {
    match &name {
        Some(given) if given.chars().count() > NAME_LENGTH => {
            Err(Error::invalid("name", format!("'name' must have at most {NAME_LENGTH} characters")))
        }
        Some(_) | None => Ok(name),
    }
}

fn memory(field: &str, given: Option<String>) -> Result<Option<String>> {
    match &given {
        Some(text) if !sizes::is_memory(text) => {
            let message = format!("'{field}' must be a number with a unit, such as 2G or 2048M");
            Err(Error::invalid(field, message))
        }
        Some(_) | None => Ok(given),
    }
}

fn check_image(request: &CreateBatch) -> Result<()> {
    match (request.feature.as_deref(), &request.image) {
        (None | Some("basic" | "ai"), _) | (Some("custom"), Some(_)) => Ok(()),
        (Some("custom"), None) => Err(Error::invalid("image", "'image' is missing: feature \"custom\" needs one")),
        (Some(_), _) => Err(Error::invalid("feature", "'feature' must be \"basic\", \"ai\" or \"custom\"")),
    }
}

/// See [`sizes`].
fn take_size(spec: &mut BatchSpec, letter: Option<&str>) -> Result<()> {
    let Some(letter) = letter else { return Ok(()) };
    let preset =
        sizes::preset(letter).ok_or_else(|| Error::invalid("sc_type", "'sc_type' must be \"A\", \"B\" or \"C\""))?;
    if !sizes::any(spec) {
        spec.extensions.push(extension("sc_type", format!("{:?}", preset.letter)));
    }
    preset.fill(spec);
    Ok(())
}

/// In which answer a batch is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// A create's.
    Created,
    /// A list's.
    Listed,
    /// Its own.
    Shown,
}

/// A batch as clients are shown it.
pub(crate) fn object(batch: &Batch<BatchId>, view: View) -> BatchObject<'_> {
    let spec = &*batch.spec;
    let text = |name: &str| kept_text(spec, name).unwrap_or_default();
    let queue = spec.queue.as_deref().map_or(Cow::Borrowed(""), in_lower_case);
    let app_id = batch.app.id.as_deref();
    let is_listed = view == View::Listed;
    BatchObject {
        id: batch.id.uuid.to_string(),
        state: state::word(batch.state),
        app_id: if is_listed { app_id } else { app_id.or(Some("")) },
        name: spec.name.as_deref().unwrap_or_default(),
        owner: batch.owner.as_ref().map_or("", |owner| &*owner.name),
        proxy_user: spec.run_as.as_deref().unwrap_or_default(),
        kind: "spark",
        log: &batch.log_tail[batch.log_tail.len().saturating_sub(TAIL)..],
        sc_type: size_word(spec),
        cluster_name: queue.clone(),
        queue,
        image: text("image"),
        create_time: batch.times.created.0,
        update_time: updated(batch).0,
        feature: (view == View::Shown).then(|| text("feature")),
        spark_version: (view == View::Shown).then(|| text("spark_version")),
        req_body: (view != View::Created).then(|| echo::text(spec)),
    }
}

fn in_lower_case(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// `CUSTOMIZED` for a size of its own, else its letter.
fn size_word(spec: &BatchSpec) -> &str {
    match kept(spec, "sc_type").map(|raw| raw.trim_matches('"')) {
        Some(letter) => letter,
        None if sizes::any(spec) => CUSTOMIZED,
        None => SMALLEST,
    }
}

/// The last change; of what has ended, its end.
fn updated(batch: &Batch<BatchId>) -> Millis {
    let ended = batch.times.ended.filter(|_| batch.state.is_end());
    ended.unwrap_or(batch.times.modified).max(batch.times.created)
}

/// How long it ran, or has run: what a list is sorted by.
pub(crate) fn duration(batch: &Batch<BatchId>, now: Millis) -> i64 {
    let Some(started) = batch.times.started else { return 0 };
    batch.times.ended.unwrap_or(now).0.saturating_sub(started.0).max(0)
}

/// The JSON text of a field that only this dialect knows.
pub(crate) fn kept<'a>(spec: &'a BatchSpec, name: &str) -> Option<&'a str> {
    let own = |extension: &&Extension| extension.name == name && extension.dialect.as_str() == NAME;
    spec.extensions.iter().find(own).map(|extension| extension.value.as_str())
}

fn kept_text(spec: &BatchSpec, name: &str) -> Option<String> {
    serde_json::from_str(kept(spec, name)?).ok()
}
