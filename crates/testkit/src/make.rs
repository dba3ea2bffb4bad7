//! The parts of a request that most tests do not care about.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use batchlingua_core::{
    BatchSpec, Context, Fate, Field, Intent, Marker, Millis, Principal, Rights, Sought, Treatment, Uuid,
};

/// Anybody's request, due in a minute.
pub fn context() -> Context {
    Context {
        request: "test".into(),
        dialect: "test".into(),
        listener: "test".into(),
        principal: Principal::unverified("tester"),
        rights: Arc::new(Rights::all()),
        project: None,
        caller: None,
        client: None,
        trace: None,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// A marker that nobody has used.
pub fn marker() -> Marker {
    Marker { uuid: Uuid::new_v4(), name: None }
}

/// What was sent under this marker, whenever that was.
pub fn sought(marker: &Marker) -> Sought {
    Sought { marker: marker.clone(), since: Millis(0), project: None, spec: Arc::default() }
}

/// An intent to run this under this marker.
pub fn intent(marker: Marker, spec: BatchSpec) -> Intent {
    Intent {
        marker,
        backend: "test".into(),
        spec: Arc::new(spec),
        files: Arc::default(),
        principal: context().principal,
        dialect: context().dialect,
        project: None,
    }
}

/// The fate of every field that a spec gives: carried, but for those that are `lost`.
pub fn fates(spec: &BatchSpec, lost: &[Field]) -> Vec<Fate> {
    let fate = |(field, part): (Field, Option<String>)| {
        let treatment = match lost.contains(&field) {
            true => Treatment::NotCarried("this backend does not take it".to_owned()),
            false => Treatment::Carried,
        };
        Fate { field, part, treatment }
    };
    given(spec).into_iter().map(fate).collect()
}

/// Every field that a spec gives. Taken apart without `..`, so that a new field is thought about here.
fn given(spec: &BatchSpec) -> Vec<(Field, Option<String>)> {
    let BatchSpec {
        kind: _,
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
    let whole = [
        (Field::File, file.is_some()),
        (Field::ClassName, class_name.is_some()),
        (Field::Args, !args.is_empty()),
        (Field::Jars, !jars.is_empty()),
        (Field::PyFiles, !py_files.is_empty()),
        (Field::Files, !files.is_empty()),
        (Field::Archives, !archives.is_empty()),
        (Field::RunAs, run_as.is_some()),
        (Field::DriverMemory, driver.memory.is_some()),
        (Field::DriverCores, driver.cores.is_some()),
        (Field::ExecutorMemory, executor.memory.is_some()),
        (Field::ExecutorCores, executor.cores.is_some()),
        (Field::Executors, executors.is_some()),
        (Field::Queue, queue.is_some()),
        (Field::Name, name.is_some()),
    ];
    let whole = whole.into_iter().filter(|(_, given)| *given).map(|(field, _)| (field, None));
    let conf = conf.iter().map(|(key, _)| (Field::Conf, Some(key.to_owned())));
    let extensions = extensions.iter().map(|extension| (Field::Extension, Some(extension.name.clone())));
    whole.chain(conf).chain(extensions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_has_a_fate() {
        let mut spec = BatchSpec { file: Some("a.py".into()), queue: Some("q".into()), ..BatchSpec::default() };
        spec.conf.set("k", "v");
        let shown: Vec<_> = fates(&spec, &[Field::Queue]).iter().map(|f| (f.to_string(), f.is_lost())).collect();
        assert_eq!(shown, [("file".to_owned(), false), ("queue".to_owned(), true), ("conf:k".to_owned(), false)]);
    }
}
