//! An operation as text that stays the same: one field a line, only what is given.
//!
//! Written out here and not by `{:?}`, which masks secrets and leaves fields out. Every struct is taken apart without `..` and every enum
//! without `_`, so that a new field or variant is thought about here.

use std::fmt::{self, Write};

use batchlingua_core::{
    BatchRef, BatchSpec, Credentials, Error, Extension, Filter, IdempotencyKey, ListQuery, LogQuery, Operation, Order,
    Payload, Purpose, Selection, Size, StateSet, Submission, Window,
};

/// The text of an operation, ending with a line feed.
pub fn describe_operation(operation: &Operation<BatchRef>) -> String {
    let mut out = String::new();
    match operation {
        Operation::Submit(submission) => {
            line(&mut out, "submit");
            describe_submission(&mut out, submission);
        }
        Operation::Get(id, detail) => line(&mut out, format_args!("get {id:?} {detail:?}")),
        Operation::List(query) => {
            line(&mut out, "list");
            describe_list(&mut out, query);
        }
        Operation::Log(id, LogQuery { lines, source }) => {
            line(&mut out, format_args!("log {id:?}"));
            field(&mut out, "lines", format_args!("{lines:?}"));
            field(&mut out, "source", format_args!("{source:?}"));
        }
        Operation::Control(Selection { ids, project, states, legal, skip_unknown }, action) => {
            line(&mut out, format_args!("control {action:?}"));
            ids.iter().for_each(|id| field(&mut out, "id", format_args!("{id:?}")));
            given(&mut out, "project", project);
            given(&mut out, "states", &states.map(words));
            given(&mut out, "legal", &legal.map(words));
            if *skip_unknown {
                field(&mut out, "skip_unknown", true);
            }
        }
    }
    out
}

/// The text of a spec, ending with a line feed. Secrets are shown: a golden file holds none.
pub fn describe_spec(spec: &BatchSpec) -> String {
    let BatchSpec {
        kind,
        file,
        class_name,
        args,
        jars,
        py_files,
        files,
        archives,
        driver,
        executor,
        executors,
        queue,
        name,
        conf,
        run_as,
        extensions,
    } = spec;
    let mut out = String::new();
    field(&mut out, "kind", format_args!("{kind:?}"));
    given(&mut out, "file", file);
    given(&mut out, "class_name", class_name);
    for (name, texts) in
        [("args", args), ("jars", jars), ("py_files", py_files), ("files", files), ("archives", archives)]
    {
        if !texts.is_empty() {
            field(&mut out, name, format_args!("{texts:?}"));
        }
    }
    for (whose, Size { memory, cores }) in [("driver", driver), ("executor", executor)] {
        given(&mut out, &format!("{whose}.memory"), memory);
        given(&mut out, &format!("{whose}.cores"), cores);
    }
    given(&mut out, "executors", executors);
    given(&mut out, "queue", queue);
    given(&mut out, "name", name);
    given(&mut out, "run_as", run_as);
    for (key, value) in conf.iter() {
        field(&mut out, &format!("conf.{key}"), format_args!("{value:?}"));
    }
    for Extension { dialect, name, value } in extensions {
        field(&mut out, &format!("ext.{dialect}.{name}"), value);
    }
    out
}

fn describe_submission(out: &mut String, submission: &Submission) {
    let Submission { spec, files, project, key, unique_name } = submission;
    out.push_str(&describe_spec(spec));
    // Where a file was spooled to is another place each time.
    for Payload { part, file_name, bytes, path: _, purpose } in files {
        let purpose = match purpose {
            Purpose::Unsaid => "unsaid".to_owned(),
            Purpose::Application => "the application".to_owned(),
            Purpose::Conf(keys) => format!("conf {keys:?}"),
        };
        field(out, "upload", format_args!("{part:?} {file_name:?} {bytes} bytes, {purpose}"));
    }
    given(out, "project", project);
    if let Some(IdempotencyKey { value, replay }) = key {
        field(out, "key", format_args!("{value:?} {replay:?}"));
    }
    if *unique_name {
        field(out, "unique_name", true);
    }
}

fn describe_list(out: &mut String, query: &ListQuery) {
    let ListQuery { filter, order, window, tails } = query;
    let Filter { states, kinds, id, owner, user, name, program, contains, queue, extension, .. } = filter;
    let Filter { created_from, created_before, modified_from, ended_to, .. } = filter;
    given(out, "states", &states.map(words));
    given(out, "kinds", kinds);
    given(out, "id", id);
    given(out, "owner", owner);
    given(out, "user", user);
    given(out, "name", name);
    given(out, "program", program);
    given(out, "contains", contains);
    given(out, "queue", queue);
    given(out, "extension", extension);
    given(out, "created_from", &created_from.map(|at| at.0));
    given(out, "created_before", &created_before.map(|at| at.0));
    given(out, "modified_from", &modified_from.map(|at| at.0));
    given(out, "ended_to", &ended_to.map(|at| at.0));
    let Order { key, descending } = order;
    field(out, "order", format_args!("{key:?}{}", if *descending { " descending" } else { "" }));
    let Window { from, size } = window;
    field(out, "window", format_args!("{size} from {from}"));
    if *tails {
        field(out, "tails", true);
    }
}

/// Who the client says it is. Never the secret.
pub(super) fn describe_credentials(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Basic { user, password: _ } => format!("credentials Basic {user:?}\n"),
        Credentials::Bearer(_) => "credentials Bearer\n".to_owned(),
        Credentials::Token(_) => "credentials Token\n".to_owned(),
        Credentials::Session(_) => "credentials Session\n".to_owned(),
        Credentials::Signature { access_key, signed, signature: _, at, security_token } => {
            let token = if security_token.is_some() { " with a security token" } else { "" };
            format!("credentials Signature {access_key:?} at {}{token}\n  signed = {signed:?}\n", at.0)
        }
    }
}

/// A request that cannot be decoded.
pub(super) fn describe_error(error: &Error) -> String {
    let mut out = format!("error {:?}\n", error.kind);
    field(&mut out, "message", format_args!("{:?}", error.message));
    if let Some(native) = &error.native {
        field(&mut out, "native", format_args!("{} {}", native.dialect, native.status));
    }
    out
}

fn words(states: StateSet) -> Vec<&'static str> {
    states.iter().map(batchlingua_core::BatchState::as_str).collect()
}

fn given(out: &mut String, name: &str, value: &Option<impl fmt::Debug>) {
    if let Some(value) = value {
        field(out, name, format_args!("{value:?}"));
    }
}

fn field(out: &mut String, name: &str, value: impl fmt::Display) {
    line(out, format_args!("  {name} = {value}"));
}

fn line(out: &mut String, text: impl fmt::Display) {
    writeln!(out, "{text}").expect("writing to memory does not fail");
}
