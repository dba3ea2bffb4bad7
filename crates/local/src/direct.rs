//! A batch as a plain command, where there is no Spark: Python programs by Python, archives by Java, anything else as it is.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
};

use batchlingua_core::{BackendName, BatchKind, BatchSpec, Error, ErrorKind, FieldValue, Load, Result};

use crate::{folder::WORK, named::Named, paths::Location, records::Link, spark, tools::Tools};

/// Where Python finds what `py_files` names, beside the working directory so that the two do not mix.
const PYTHON_PATH: &str = "python";

/// How the application file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Python,
    Java,
    Itself,
}

/// A command without Spark.
pub(crate) struct Command {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) links: Vec<Link>,
}

/// How a batch is run here, or why it cannot be.
pub(crate) fn by(spec: &BatchSpec, file: &Location, backend: &BackendName) -> Result<By> {
    let unsupported = |what: String| {
        let message = format!("backend '{backend}' cannot run {what}");
        Err(Error::new(ErrorKind::Unsupported { backend: backend.clone(), what }, message))
    };
    if let (None, Some(scheme)) = (&file.path, &file.scheme) {
        return unsupported(format!("files on {scheme} without Spark"));
    }
    let extension = file.path.as_ref().and_then(|path| path.extension()).map(|text| text.to_ascii_lowercase());
    match spec.kind {
        BatchKind::Sql => unsupported("SQL text".to_owned()),
        BatchKind::R => unsupported("R programs without Spark".to_owned()),
        BatchKind::Python => Ok(By::Python),
        BatchKind::Other => Ok(By::Itself),
        BatchKind::Jar if extension.as_deref().is_some_and(|text| text == "jar") => Ok(By::Java),
        BatchKind::Jar if extension.as_deref().is_some_and(|text| text == "py") => Ok(By::Python),
        // What a client does not call anything is called an archive.
        BatchKind::Jar => Ok(By::Itself),
    }
}

/// The command of a batch whose files are all on this machine.
pub(crate) fn command(load: &Load, named: &Named, by: By, tools: &Tools, job: &Path) -> Result<Command> {
    let file = local("file", &named.file)?;
    let mut command = Command { program: file.clone(), args: Vec::new(), env: BTreeMap::new(), links: Vec::new() };
    match by {
        By::Itself => {}
        By::Python => {
            command.program.clone_from(&tools.python);
            // A client that polls the log is to see a line when it is printed.
            command.env.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
            command.args.push(file);
            python_path(&mut command, named, job)?;
        }
        By::Java => {
            command.program.clone_from(&tools.java);
            match load.member("class_name") {
                Some(FieldValue::Text(class)) => {
                    let mut class_path = vec![file];
                    for jar in named.jars.iter().chain(named.uploaded("spark.jars")) {
                        class_path.push(local("jars", jar)?);
                    }
                    command.args.extend(["-cp".to_owned(), class_path.join(":"), class.clone()]);
                }
                Some(FieldValue::List(_) | FieldValue::Integer(_)) | None => {
                    command.args.extend(["-jar".to_owned(), file]);
                }
            }
        }
    }
    if let Some(FieldValue::List(args)) = load.member("args") {
        command.args.extend(args.iter().cloned());
    }
    for location in named.files.iter().chain(named.uploaded("spark.files")) {
        link(&mut command.links, "files", location, WORK)?;
    }
    Ok(command)
}

/// Modules are linked into a folder of their own; what Python can import from is named itself.
fn python_path(command: &mut Command, named: &Named, job: &Path) -> Result<()> {
    let mut path: Vec<PathBuf> = Vec::new();
    for location in named.py_files.iter().chain(named.uploaded(spark::PY_FILES)) {
        let file = local("py_files", location)?;
        if file.ends_with(".py") {
            link(&mut command.links, "py_files", location, PYTHON_PATH)?;
        } else {
            path.push(file.into());
        }
    }
    if !command.links.is_empty() {
        path.insert(0, job.join(PYTHON_PATH));
    }
    if path.is_empty() {
        return Ok(());
    }
    path.extend(env::var_os("PYTHONPATH").iter().flat_map(env::split_paths));
    let joined = env::join_paths(path).ok().and_then(|path| path.into_string().ok());
    let joined =
        joined.ok_or_else(|| Error::invalid("py_files", "a path with ':' in it cannot be searched by Python"))?;
    command.env.insert("PYTHONPATH".to_owned(), joined);
    Ok(())
}

fn link(links: &mut Vec<Link>, field: &str, location: &Location, folder: &str) -> Result<()> {
    let target = PathBuf::from(local(field, location)?);
    let name = location.link_name().filter(|name| !name.contains('/'));
    let name = name.ok_or_else(|| Error::invalid(field, format!("'{}' has no file name", location.uri)))?;
    let name = PathBuf::from(folder).join(name);
    if links.iter().any(|other| other.name == name) {
        return Err(Error::invalid(field, format!("two files are named '{}'", name.display())));
    }
    links.push(Link { name, target });
    Ok(())
}

fn local(field: &str, location: &Location) -> Result<String> {
    let path = location.path.as_ref().and_then(|path| path.to_str());
    path.map(str::to_owned).ok_or_else(|| {
        Error::invalid(field, format!("'{}' is not on this machine, and there is no Spark to fetch it", location.uri))
    })
}
