//! Which files of this machine a batch may name.
//!
//! A path without a scheme, `file:` and `local:` (of any case) mean this machine; every other scheme is Spark's business. What a path
//! means is decided once, here, and what is passed on is written so that nobody can read it otherwise: a path without a scheme becomes a
//! `file:` URI made from the very path that was checked, and of a `file:` URI both readings, with and without percent-decoding, are
//! checked. Links and `..` are followed as far as the path exists; a `..` beyond that is refused.
//!
//! This keeps a client from having the proxy's user open arbitrary files by name. It is no sandbox: a program that may run may read.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Component, Path, PathBuf},
};

use batchlingua_core::{Error, ErrorKind, Fault, Result};

/// What stands in a file's place for a class that Spark brings itself, or one of the jars.
const NO_FILE: &str = "spark-internal";

/// A file that a batch names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// As it is passed to Spark.
    pub(crate) uri: String,
    /// Where it lies, if on this machine.
    pub(crate) path: Option<PathBuf>,
    /// The scheme in lower case, where one was given.
    pub(crate) scheme: Option<String>,
    fragment: Option<String>,
    /// Other ways in which `path` may be read.
    readings: Vec<PathBuf>,
}

impl Location {
    /// The file that an element of a field names.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self> {
        match scheme(text) {
            Some(scheme) => Self::of_uri(field, text, &scheme.to_ascii_lowercase()),
            None => Self::of_path(field, text),
        }
    }

    /// What an application is: a file, or Spark's own word for none.
    pub(crate) fn parse_application(field: &str, text: &str) -> Result<Self> {
        match text {
            NO_FILE => {
                Ok(Self { uri: text.to_owned(), path: None, scheme: None, fragment: None, readings: Vec::new() })
            }
            text => Self::parse(field, text),
        }
    }

    /// A file of ours.
    pub(crate) fn own(path: PathBuf) -> Self {
        let uri = format!("file://{}", encode(&path.to_string_lossy()));
        Self { uri, path: Some(path), scheme: None, fragment: None, readings: Vec::new() }
    }

    /// The name under which it is to be found in the working directory.
    pub(crate) fn link_name(&self) -> Option<&str> {
        let own = || self.path.as_deref()?.file_name()?.to_str();
        self.fragment.as_deref().or_else(own).filter(|name| !matches!(*name, "" | "." | ".."))
    }

    fn of_uri(field: &str, text: &str, scheme: &str) -> Result<Self> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"<>\\^`{|}".contains(c)) {
            return Err(Error::invalid(field, format!("'{text}' is no URI: percent-encode what is no part of one")));
        }
        let after = &text[scheme.len() + 1..];
        if after.is_empty() {
            return Err(Error::invalid(field, format!("'{text}' is no URI: nothing follows the scheme")));
        }
        let (body, fragment) = split_fragment(after);
        if !matches!(scheme, "file" | "local") {
            let (scheme, fragment) = (Some(scheme.to_owned()), fragment.map(str::to_owned));
            return Ok(Self { uri: text.to_owned(), path: None, scheme, fragment, readings: Vec::new() });
        }
        // Hadoop takes a `?` or `#` for a part of the name where Java's URI does not: what follows must not be a path.
        if body.contains('?') || fragment.is_some_and(|fragment| fragment.contains('/')) {
            return Err(Error::invalid(field, format!("'{text}' names no file: it has a query, or a '/' after '#'")));
        }
        let raw = match body.strip_prefix("//") {
            Some(with_host) => with_host.find('/').map_or("", |at| &with_host[at..]),
            None => body,
        };
        if !raw.starts_with('/') {
            return Err(not_absolute(field, text));
        }
        let path = decode(raw).ok_or_else(|| Error::invalid(field, format!("'{text}' is no URI: a bad % escape")))?;
        let readings = if raw.contains('%') { vec![PathBuf::from(raw)] } else { Vec::new() };
        let (scheme, fragment) = (Some(scheme.to_owned()), fragment.map(str::to_owned));
        Ok(Self { uri: text.to_owned(), path: Some(path), scheme, fragment, readings })
    }

    /// As Livy reads it: a URI without a scheme, so percent-escapes are decoded and a query is dropped; but what no URI could hold, such
    /// as a space, is taken as it is.
    fn of_path(field: &str, text: &str) -> Result<Self> {
        if !text.starts_with('/') {
            return Err(not_absolute(field, text));
        }
        let (body, fragment) = split_fragment(text);
        let raw = body.split('?').next().unwrap_or(body);
        let raw = format!("/{}", raw.trim_start_matches('/'));
        let path = decode(&raw).unwrap_or_else(|| PathBuf::from(&raw));
        let mut uri = match path.to_str() {
            Some(text) => format!("file://{}", encode(text)),
            None => format!("file://{raw}"),
        };
        if let Some(fragment) = fragment {
            uri.push('#');
            uri.push_str(&encode(fragment));
        }
        Ok(Self { uri, path: Some(path), scheme: None, fragment: fragment.map(str::to_owned), readings: Vec::new() })
    }
}

fn not_absolute(field: &str, text: &str) -> Error {
    Error::invalid(field, format!("path '{text}' is not absolute"))
}

fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let starts = bytes.next().is_some_and(|first| first.is_ascii_alphabetic());
    (starts && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))).then_some(scheme)
}

fn split_fragment(text: &str) -> (&str, Option<&str>) {
    text.split_once('#').map_or((text, None), |(body, fragment)| (body, Some(fragment)))
}

fn decode(text: &str) -> Option<PathBuf> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
            out.push((digit(0)? * 16 + digit(1)?) as u8);
            rest = &after[2..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    (!out.contains(&0)).then(|| PathBuf::from(OsString::from_vec(out)))
}

/// What a URI's path may hold stays, and so does what is no ASCII, as Java's URI has it.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = c.is_ascii_alphanumeric() || "-._~/!$&'()*+,;=:@".contains(c);
        if plain || !(c.is_ascii() || c.is_control() || c.is_whitespace()) {
            out.push(c);
        } else {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        }
    }
    out
}

/// The directories that a batch may name files in.
#[derive(Clone, Debug)]
pub(crate) struct AllowDirs(Vec<PathBuf>);

impl AllowDirs {
    /// Links in the directories' own paths are followed now, that is, anew for each batch.
    pub(crate) fn new(dirs: &[PathBuf]) -> Self {
        Self(dirs.iter().filter_map(|dir| resolve(&std::path::absolute(dir).ok()?)).collect())
    }

    /// Fails if the location is on this machine and outside.
    pub(crate) fn check(&self, field: &str, location: &Location) -> Result<()> {
        let Some(path) = &location.path else { return Ok(()) };
        if std::iter::once(path).chain(&location.readings).all(|path| self.holds(path)) {
            return Ok(());
        }
        let path = path.to_string_lossy().into_owned();
        let message = format!("'{path}' is outside the directories that batches may use here (allow_dirs)");
        let kind = ErrorKind::InvalidRequest { field: field.to_owned(), fault: Fault::PathOutside(path) };
        Err(Error::new(kind, message))
    }

    fn holds(&self, path: &Path) -> bool {
        self.holds_resolved(path) && self.holds_matches(path)
    }

    fn holds_resolved(&self, path: &Path) -> bool {
        resolve(path).is_some_and(|path| self.0.iter().any(|dir| path.starts_with(dir)))
    }

    /// Spark expands patterns, in lists at least. One in the last part is allowed if no link beside it leads outside.
    fn holds_matches(&self, path: &Path) -> bool {
        let is_pattern = |part: &Component<'_>| part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
        let Some(at) = path.components().position(|part| is_pattern(&part)) else { return true };
        if at + 1 != path.components().count() {
            return false;
        }
        let Some(entries) = path.parent().and_then(|parent| fs::read_dir(parent).ok()) else { return true };
        entries.flatten().all(|entry| {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            !is_link || self.holds_resolved(&entry.path())
        })
    }
}

/// The path with links and `..` followed as far as it exists. `None`: where it leads cannot be told.
fn resolve(path: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    for there in (1..=parts.len()).rev() {
        let (head, tail) = parts.split_at(there);
        let head: PathBuf = head.iter().collect();
        match fs::canonicalize(&head) {
            Ok(real) => {
                let plain = tail.iter().all(|part| matches!(part, Component::Normal(_)));
                return plain.then(|| real.join(tail.iter().collect::<PathBuf>()));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                if fs::symlink_metadata(&head).is_ok_and(|entry| entry.is_symlink()) {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn parse(text: &str) -> Location {
        Location::parse("file", text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_spark_gets_is_what_livy_gives_it() {
        for (given, uri) in [
            ("/srv/apps/job.py", "file:///srv/apps/job.py"),
            ("/srv/apps/env.zip#env", "file:///srv/apps/env.zip#env"),
            ("/srv/apps/job.py?x=1", "file:///srv/apps/job.py"),
            ("/srv/apps/*.jar", "file:///srv/apps/*.jar"),
            ("file:/srv/apps/job.py", "file:/srv/apps/job.py"),
            ("file://localhost/srv/apps/job.py", "file://localhost/srv/apps/job.py"),
            ("hdfs:///jobs/etl.jar", "hdfs:///jobs/etl.jar"),
            ("s3a://bucket/key%20with%20space.py", "s3a://bucket/key%20with%20space.py"),
            ("/srv/my job.py", "file:///srv/my%20job.py"),
            ("/srv/my%20job.py", "file:///srv/my%20job.py"),
            ("/srv/100%.py", "file:///srv/100%25.py"),
            ("/srv/日本.py", "file:///srv/日本.py"),
            ("//srv/apps/job.py", "file:///srv/apps/job.py"),
        ] {
            assert_eq!(parse(given).uri, uri, "{given}");
        }
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for text in [
            "job.py",
            " /srv/a.py",
            "::bad",
            "hdfs:",
            "file:job.py",
            "file://host",
            "C:\\jobs\\x.py",
            "s3a://b/a b.py",
            "file:///srv/%zz",
            "file:///srv/a%00b",
            "file:///srv/a?/../../etc/hosts",
            "file:///srv/a#/../../etc/hosts",
            "",
        ] {
            assert!(Location::parse("file", text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_inside_by_where_they_lead() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("in/deep")).expect("made");
        fs::create_dir_all(at("inner-sibling")).expect("made");
        fs::write(at("outside.py"), "").expect("written");
        fs::write(at("in/real.py"), "").expect("written");
        symlink(at("outside.py"), at("in/link.py")).expect("linked");
        symlink(at("gone"), at("in/dangling")).expect("linked");
        symlink(at("in"), at("also-in")).expect("linked");
        let allowed = AllowDirs::new(&[at("in")]);
        let holds = |path: &str| {
            let root = root.path().display();
            allowed.check("file", &parse(&path.replace("{}", &root.to_string()))).is_ok()
        };
        for inside in [
            "{}/in",
            "{}/in/real.py",
            "{}/in/not/there/yet.py",
            "{}/in/deep/../real.py",
            "{}/also-in/real.py",
            "file://{}/in/%72eal.py",
            "local:{}/in/real.py",
            "hdfs:///etc/passwd",
            "{}/in/deep/*.jar",
        ] {
            assert!(holds(inside), "{inside}");
        }
        for outside in [
            "{}/outside.py",
            "{}/in/../outside.py",
            "{}/in/link.py",
            "{}/in/dangling",
            "{}/in/no/../../outside.py",
            "{}/in/%2e%2e/outside.py",
            "file://{}/in/%2e%2e/outside.py",
            "FILE://{}/outside.py",
            "local:{}/outside.py",
            "file://elsewhere{}/outside.py",
            "{}/in2/x.py",
            "{}/inner-sibling/x",
            "{}/in/*.py",
            "{}/in/*/x.py",
            "/etc/hosts",
            "/",
        ] {
            assert!(!holds(outside), "{outside}");
        }
        let error = allowed.check("jars", &parse("/etc/%2e%2e/etc/hosts")).expect_err("outside");
        let kind =
            ErrorKind::InvalidRequest { field: "jars".into(), fault: Fault::PathOutside("/etc/../etc/hosts".into()) };
        assert_eq!(error.kind, kind);
    }
}
