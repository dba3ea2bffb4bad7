//! Model values from lines.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{
    Action, App, Batch, BatchId, BatchKind, BatchSpec, BatchState, Clash, Conf, Denial, Effect, Error, ErrorKind,
    Extension, Fate, Fault, Field, Millis, Missing, Native, NativeError, Notes, Principal, Size, Step, Times,
    Treatment, Unproven, Uuid,
};

use super::lines::Line;

pub(super) fn notes(mut line: Line) -> Result<Notes, String> {
    let backend = line.text("backend").map(Into::into);
    let stale_seconds = line.number("stale")?;
    let unmapped = line.text("unmapped").unwrap_or_default();
    let unmapped: Result<_, String> =
        unmapped.split(',').map(str::trim).filter(|name| !name.is_empty()).map(fate).collect();
    let notes = Notes { unmapped: unmapped?, stale_seconds, backend };
    line.finish().map(|()| notes)
}

fn fate(name: &str) -> Result<Fate, String> {
    let (name, part) = name.split_once(':').map_or((name, None), |(name, part)| (name, Some(part.to_owned())));
    let field =
        FIELDS.into_iter().find(|field| field.as_str() == name).ok_or_else(|| format!("`{name}` is no field"))?;
    Ok(Fate { field, part, treatment: Treatment::NotCarried("not carried".to_owned()) })
}

const FIELDS: [Field; 17] = [
    Field::File,
    Field::ClassName,
    Field::Args,
    Field::Jars,
    Field::PyFiles,
    Field::Files,
    Field::Archives,
    Field::RunAs,
    Field::Conf,
    Field::DriverMemory,
    Field::DriverCores,
    Field::ExecutorMemory,
    Field::ExecutorCores,
    Field::Executors,
    Field::Queue,
    Field::Name,
    Field::Extension,
];

/// One of uuid and ordinal is enough; the other is made from it.
pub(super) fn id(line: &mut Line) -> Result<BatchId, String> {
    let uuid: Option<Uuid> = line.number("uuid")?;
    let ordinal: Option<u32> = line.number("ordinal")?;
    let native = line.text("native").map(Into::into);
    let uuid_of = |ordinal: u32| Uuid::from_u128(u128::from(ordinal));
    match (uuid, ordinal) {
        (None, None) => Err(format!("line {}: `{}` needs ordinal= or uuid=", line.number, line.noun)),
        (uuid, ordinal) => {
            let ordinal = ordinal.unwrap_or(0);
            Ok(BatchId { uuid: uuid.unwrap_or_else(|| uuid_of(ordinal)), ordinal, native })
        }
    }
}

pub(super) fn state(line: &mut Line, key: &str) -> Result<BatchState, String> {
    let word = line.text(key).ok_or_else(|| format!("line {}: `{}` needs {key}=", line.number, line.noun))?;
    BatchState::from_word(&word).ok_or_else(|| line.fault(key, &word))
}

pub(super) fn effect(text: &str) -> Result<Effect, String> {
    let (word, state) = text.split_once(':').unwrap_or((text, ""));
    match (word, BatchState::from_word(state)) {
        ("accepted", None) => Ok(Effect::Accepted),
        ("nothing_to_do", None) => Ok(Effect::NothingToDo),
        ("ended", Some(state)) => Ok(Effect::Ended(state)),
        ("already_ended", Some(state)) => Ok(Effect::AlreadyEnded(state)),
        _ => Err(format!("effect={text} cannot be read")),
    }
}

pub(super) fn batch(mut line: Line, parts: Vec<Line>) -> Result<Batch<BatchId>, String> {
    let id = id(&mut line)?;
    let state = state(&mut line, "state")?;
    let spec = Arc::new(spec(&mut line)?);
    let mut batch = Batch {
        attempt: line.number("attempt")?.unwrap_or(1),
        cancel_asked: line.flag("cancel_asked")?,
        owner: line.text("owner").map(Principal::unverified),
        project: line.text("project").map(Into::into),
        times: times(&mut line)?,
        app: App { id: line.text("app_id"), url: line.text("app_url"), driver_log_url: line.text("driver_log_url") },
        diagnostic: line.text("diagnostic"),
        log_tail: line.texts("tail").iter().flat_map(|tail| tail.split('\n').map(str::to_owned)).collect(),
        ..Batch::new(id, state, spec)
    };
    line.finish()?;
    for part in parts {
        match part.noun.as_str() {
            "step" => batch.steps.push(step(part)?),
            _ => batch.native = Some(native(part)?),
        }
    }
    Ok(batch)
}

fn spec(line: &mut Line) -> Result<BatchSpec, String> {
    let file = line.text("file");
    let kind = match line.text("kind").as_deref() {
        None => file.as_deref().map(BatchKind::of_file).unwrap_or_default(),
        Some("jar") => BatchKind::Jar,
        Some("python") => BatchKind::Python,
        Some("r") => BatchKind::R,
        Some("sql") => BatchKind::Sql,
        Some("other") => BatchKind::Other,
        Some(other) => return Err(line.fault("kind", other)),
    };
    let extension = |(name, value): (String, String)| {
        let (dialect, name) = name.split_once('.').unwrap_or((&name, ""));
        Extension { dialect: dialect.into(), name: name.to_owned(), value }
    };
    Ok(BatchSpec {
        kind,
        file,
        class_name: line.text("class_name"),
        args: line.texts("arg"),
        jars: line.texts("jar"),
        py_files: line.texts("py_file"),
        files: line.texts("with_file"),
        archives: line.texts("archive"),
        driver: Size { memory: line.text("driver_memory"), cores: line.number("driver_cores")? },
        executor: Size { memory: line.text("executor_memory"), cores: line.number("executor_cores")? },
        executors: line.number("executors")?,
        queue: line.text("queue"),
        name: line.text("name"),
        conf: line.with_prefix("conf.").into_iter().collect::<Conf>(),
        run_as: line.text("run_as"),
        extensions: line.with_prefix("ext.").into_iter().map(extension).collect(),
    })
}

fn times(line: &mut Line) -> Result<Times, String> {
    let mut at = |key: &str| line.number(key).map(|at| at.map(Millis));
    let (created, started, ended) = (at("created")?.unwrap_or_default(), at("started")?, at("ended")?);
    let modified = at("modified")?.or(ended).or(started).unwrap_or(created);
    Ok(Times { created, started, ended, modified })
}

fn step(mut line: Line) -> Result<Step, String> {
    let id = line.text("id").unwrap_or_default();
    let name = line.text("name").unwrap_or_default();
    let step = Step { id, name, state: state(&mut line, "state")?, times: times(&mut line)? };
    line.finish().map(|()| step)
}

fn native(mut line: Line) -> Result<Native, String> {
    let dialect = line.text("dialect").ok_or_else(|| format!("line {}: native needs dialect=", line.number))?;
    let word = line.text("word").unwrap_or_default();
    let status = line.number("status")?;
    let object = std::mem::take(&mut line.text).join("\n").into();
    line.finish().map(|()| Native { dialect: dialect.into(), word, object, status })
}

pub(super) fn error(mut line: Line, native: Option<Line>) -> Result<Error, String> {
    let kind = kind(&mut line)?;
    let message = line.text("message").unwrap_or_else(|| kind.as_str().to_owned());
    line.finish()?;
    let native = native.map(|mut line| -> Result<_, String> {
        let dialect = line.text("dialect").unwrap_or_default().into();
        let status = line.number("status")?.unwrap_or(500);
        let content_type = line.text("type").unwrap_or_else(|| "application/json".to_owned());
        let body = std::mem::take(&mut line.text).join("\n").into();
        line.finish()?;
        Ok(Box::new(NativeError { dialect, status, content_type, body }))
    });
    Ok(Error { native: native.transpose()?, ..Error::new(kind, message) })
}

fn kind(line: &mut Line) -> Result<ErrorKind, String> {
    let word = line.text("kind").ok_or_else(|| format!("line {}: error needs kind=", line.number))?;
    let retry_after = |line: &mut Line| line.number("retry_after").map(|at| Duration::from_secs(at.unwrap_or(1)));
    Ok(match word.as_str() {
        "invalid_request" => {
            let field = line.text("field").unwrap_or_default();
            let fault = match (line.text("fault").as_deref(), line.text("path")) {
                (None | Some("malformed"), None) => Fault::Malformed,
                (Some("path_outside"), Some(path)) => Fault::PathOutside(path),
                (Some("not_allowed"), None) => Fault::NotAllowed,
                (fault, _) => return Err(line.fault("fault", fault.unwrap_or(""))),
            };
            ErrorKind::InvalidRequest { field, fault }
        }
        "unauthenticated" => ErrorKind::Unauthenticated(match line.text("unproven").as_deref() {
            None | Some("nothing") => Unproven::Nothing,
            Some("unusable") => Unproven::Unusable,
            Some("wrong") => Unproven::Wrong,
            Some(other) => return Err(line.fault("unproven", other)),
        }),
        "forbidden" => ErrorKind::Forbidden(denial(line)),
        "not_found" => ErrorKind::NotFound(missing(line)?),
        "conflict" => ErrorKind::Conflict(clash(line)?),
        "illegal_state" => {
            let allowed = line.text("allowed").unwrap_or_default();
            let allowed = allowed.split(',').map(str::trim).filter(|word| !word.is_empty());
            let action = |word: &str| ACTIONS.into_iter().find(|action| action.as_str() == word);
            let allowed: Option<_> = allowed.map(action).collect();
            let allowed = allowed.ok_or_else(|| format!("line {}: allowed= names no action", line.number))?;
            ErrorKind::IllegalState { state: state(line, "state")?, allowed }
        }
        "unsupported" => ErrorKind::Unsupported {
            backend: line.text("backend").unwrap_or_default().into(),
            what: line.text("what").unwrap_or_default(),
        },
        "too_large" => {
            // A limit's name lives as long as the program that knows it; a test's as long as the test run.
            let limit = line.text("limit").unwrap_or_default().leak();
            ErrorKind::TooLarge { limit, max: line.number("max")?.unwrap_or(0) }
        }
        "throttled" => ErrorKind::Throttled { retry_after: retry_after(line)? },
        "backend_rejected" => ErrorKind::BackendRejected,
        "backend_unavailable" => ErrorKind::BackendUnavailable { retry_after: retry_after(line)? },
        "backend_timeout" => ErrorKind::BackendTimeout,
        "ambiguous" => ErrorKind::Ambiguous { id: id(line)? },
        "internal" => ErrorKind::Internal,
        other => return Err(line.fault("kind", other)),
    })
}

const ACTIONS: [Action; 6] =
    [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget, Action::CancelAndForget];

/// By what the case names: run_as=, owner=, project=, queue= or origin=true; else the backend's own.
fn denial(line: &mut Line) -> Denial {
    let run_as = line.text("run_as").map(|wanted| Denial::RunAs { wanted });
    let named = run_as.or_else(|| line.text("owner").map(|owner| Denial::Owner { owner }));
    let named = named.or_else(|| line.text("project").map(Denial::Project));
    let named = named.or_else(|| line.text("queue").map(Denial::Queue));
    named.or_else(|| line.text("origin").map(|_| Denial::Origin)).unwrap_or(Denial::Backend)
}

fn missing(line: &mut Line) -> Result<Missing, String> {
    if line.flag("log")? {
        return Ok(Missing::Log);
    }
    let batch = line.text("batch").map(Missing::Batch);
    let named = batch.or_else(|| line.text("step").map(Missing::Step));
    let named = named.or_else(|| line.text("project").map(Missing::Project));
    let named = named.or_else(|| line.text("queue").map(Missing::Queue));
    named.ok_or_else(|| format!("line {}: not_found needs batch=, log=true, step=, project= or queue=", line.number))
}

fn clash(line: &mut Line) -> Result<Clash, String> {
    Ok(match line.text("clash").as_deref() {
        Some("name") => {
            Clash::Name { name: line.text("name").unwrap_or_default(), ordinal: line.number("ordinal")?.unwrap_or(0) }
        }
        Some("key_reused") => Clash::KeyReused,
        Some("key_in_flight") => {
            Clash::KeyInFlight { retry_after: Duration::from_secs(line.number("retry_after")?.unwrap_or(1)) }
        }
        Some("not_yours") => Clash::NotYours,
        other => return Err(line.fault("clash", other.unwrap_or(""))),
    })
}
