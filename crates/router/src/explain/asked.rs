//! What a client asks, for people: the operation and each of its fields that is given.

use batchlingua_core::{
    Action, BatchRef, BatchSpec, Extension, Filter, Lines, ListQuery, LogSource, Operation, Payload, Purpose, Replay,
    Selection, SortKey, StateSet, Submission, redact,
};

use super::masked;

/// An operation, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub name: &'static str,
    /// What is said of it, in order.
    pub fields: Vec<(&'static str, Told)>,
}

/// A value, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// One text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Several texts.
    List(Vec<String>),
    /// Pairs in order.
    Pairs(Vec<(String, String)>),
}

impl Asked {
    pub(super) fn of(operation: &Operation<BatchRef>) -> Self {
        let mut fields = Fields(Vec::new());
        match operation {
            Operation::Submit(submission) => fields.submission(submission),
            Operation::Get(wanted, _) => fields.text("batch", Some(wanted)),
            Operation::List(query) => fields.query(query),
            Operation::Log(wanted, query) => {
                fields.text("batch", Some(wanted));
                fields.text("lines", Some(lines(query.lines)));
                fields.text("of", source(&query.source));
            }
            Operation::Control(selection, action) => fields.selection(selection, *action),
        }
        Self { name: operation.name(), fields: fields.0 }
    }
}

struct Fields(Vec<(&'static str, Told)>);

impl Fields {
    fn text(&mut self, name: &'static str, text: Option<impl ToString>) {
        self.0.extend(text.map(|text| (name, Told::Text(text.to_string()))));
    }

    fn line(&mut self, name: &'static str, text: Option<&String>) {
        self.text(name, text.map(|text| redact::line(text)));
    }

    fn number(&mut self, name: &'static str, number: Option<i64>) {
        self.0.extend(number.map(|number| (name, Told::Number(number))));
    }

    fn list(&mut self, name: &'static str, list: Vec<String>) {
        if !list.is_empty() {
            self.0.push((name, Told::List(list)));
        }
    }

    fn pairs(&mut self, name: &'static str, pairs: Vec<(String, String)>) {
        if !pairs.is_empty() {
            self.0.push((name, Told::Pairs(pairs)));
        }
    }

    fn submission(&mut self, submission: &Submission) {
        self.spec(&submission.spec);
        self.text("project", submission.project.as_ref());
        self.list("uploads", submission.files.iter().map(upload).collect());
        self.text(
            "key",
            submission.key.as_ref().map(|key| match key.replay {
                Replay::FirstAnswer => format!("{}: a repeated submit is given the first one's answer", key.value),
                Replay::LiveName => {
                    format!("{}: while a batch of this name lives, a repeated submit is shown that one", key.value)
                }
                Replay::StoredBatch => format!("{}: a repeated submit is shown the batch as it is then", key.value),
            }),
        );
        self.text("unique", submission.unique_name.then_some("no batch that is listed may have its name"));
    }

    fn spec(&mut self, spec: &BatchSpec) {
        let lines = |list: &[String]| list.iter().map(|item| redact::line(item)).collect();
        self.text("kind", Some(spec.kind.as_str()));
        self.line("file", spec.file.as_ref());
        self.line("class_name", spec.class_name.as_ref());
        self.list("args", masked::args(&spec.args));
        self.list("jars", lines(&spec.jars));
        self.list("py_files", lines(&spec.py_files));
        self.list("files", lines(&spec.files));
        self.list("archives", lines(&spec.archives));
        self.line("driver_memory", spec.driver.memory.as_ref());
        self.number("driver_cores", spec.driver.cores);
        self.line("executor_memory", spec.executor.memory.as_ref());
        self.number("executor_cores", spec.executor.cores);
        self.number("executors", spec.executors);
        self.line("queue", spec.queue.as_ref());
        self.line("name", spec.name.as_ref());
        self.pairs("conf", spec.conf.iter().map(|(key, value)| (key.to_owned(), masked::value(key, value))).collect());
        self.line("run_as", spec.run_as.as_ref());
        let extension =
            |extension: &Extension| (extension.name.clone(), masked::json(&extension.name, &extension.value));
        self.pairs("extensions", spec.extensions.iter().map(extension).collect());
    }

    fn query(&mut self, query: &ListQuery) {
        let Filter { states, kinds, id, owner, user, name, program, contains, queue, .. } = &query.filter;
        self.list("states", states.map(words).unwrap_or_default());
        self.list("kinds", kinds.iter().flatten().map(|kind| kind.as_str().to_owned()).collect());
        for (field, text) in [
            ("id", id),
            ("owner", owner),
            ("user", user),
            ("name", name),
            ("program", program),
            ("contains", contains),
            ("queue", queue),
        ] {
            self.line(field, text.as_ref());
        }
        let filter = &query.filter;
        if let Some(extension) = &filter.extension {
            self.list(
                "extension",
                extension.values.iter().map(|value| format!("{} {value}", extension.name)).collect(),
            );
        }
        for (field, time) in [
            ("created_from", filter.created_from),
            ("created_before", filter.created_before),
            ("modified_from", filter.modified_from),
            ("ended_to", filter.ended_to),
        ] {
            self.number(field, time.map(|time| time.0));
        }
        let order = if query.order.descending { "greatest first" } else { "least first" };
        self.text("order", Some(format!("{}, {order}", sort_key(query.order.key))));
        self.text("window", Some(format!("{} from {}", query.window.size, query.window.from)));
        self.text("tails", query.tails.then_some("with the last lines of their logs"));
    }

    fn selection(&mut self, selection: &Selection<BatchRef>, action: Action) {
        self.text("action", Some(action.as_str()));
        self.list("batches", selection.ids.iter().map(ToString::to_string).collect());
        self.text("project", selection.project.as_ref());
        self.list("states", selection.states.map(words).unwrap_or_default());
        self.list("legal", selection.legal.map(words).unwrap_or_default());
        self.text("unknown", selection.skip_unknown.then_some("ids that nobody has are left out"));
    }
}

fn upload(file: &Payload) -> String {
    let purpose = match &file.purpose {
        Purpose::Unsaid => "for nothing that the request says".to_owned(),
        Purpose::Application => "the program".to_owned(),
        Purpose::Conf(keys) => format!("appended to {}", keys.join(", ")),
    };
    format!("{} ({} bytes, part '{}'): {purpose}", file.file_name, file.bytes, file.part)
}

fn words(states: StateSet) -> Vec<String> {
    states.iter().map(|state| state.as_str().to_owned()).collect()
}

fn lines(lines: Lines) -> String {
    match lines {
        Lines::Tail(count) => format!("the last {count}"),
        Lines::From(from, count) => format!("{count} from {from}"),
        Lines::HeadAndTail(count) => format!("the first and the last {count}"),
        Lines::All => "all".to_owned(),
    }
}

fn source(source: &LogSource) -> Option<String> {
    match source {
        LogSource::Default => None,
        LogSource::Driver { attempt } => Some(format!("the driver, attempt {attempt}")),
        LogSource::Step(step) => Some(format!("step {step}")),
    }
}

fn sort_key(key: SortKey) -> &'static str {
    match key {
        SortKey::Created => "created",
        SortKey::Modified => "modified",
        SortKey::Name => "name",
        SortKey::Project => "project",
        SortKey::Queue => "queue",
        SortKey::Title => "title",
        SortKey::Id => "id",
        SortKey::Duration => "duration",
        SortKey::Lifetime => "lifetime",
    }
}
