//! Uploaded files for a backend that takes none: they are written to a folder that the platform can read, and the batch names them by its URL.
//!
//! Which address a file will have is known before anything is written, so the plan is exact and `explain` writes nothing. The files are copied
//! after the intent is written and before the first byte goes to the backend; they go when the submit is definitely refused, else when the
//! job has ended. A folder has the uuid of its batch as its name, so that those of a killed proxy are found and removed as well.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use batchlingua_core::{
    BatchRef, BatchSpec, Error, ErrorKind, Fate, Field, Payload, Phase, Purpose, Result, Treatment, Uuid,
};

use crate::{Gateway, stack::Stack, view};

/// How often the folders of ended jobs are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Where uploaded files are put for a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// A folder of this machine, shared with the platform.
    pub dir: PathBuf,
    /// The same folder as the platform names it, without a slash at its end.
    pub url: String,
}

/// A submit whose files will lie on the stage.
pub(crate) struct Staged {
    /// What is to run, with the files' addresses in it.
    pub(crate) spec: BatchSpec,
    dir: PathBuf,
    files: Vec<(Payload, String)>,
}

impl Stage {
    /// The submit as it will be once its files are on the stage.
    pub(crate) fn plan(&self, uuid: Uuid, spec: &BatchSpec, files: &[Payload]) -> Result<Staged> {
        let mut spec = spec.clone();
        let mut staged: Vec<(Payload, String)> = Vec::with_capacity(files.len());
        for file in files {
            let name = safe_name(&file.file_name)?;
            // Two parts may bring files of one name.
            let taken = staged.iter().filter(|(other, _)| other.file_name == file.file_name).count();
            let place = if taken == 0 { name } else { format!("{taken}/{name}") };
            let url = format!("{}/{uuid}/{}", self.url, escaped(&place));
            match &file.purpose {
                Purpose::Application => spec.file = Some(url),
                Purpose::Conf(keys) => keys.iter().for_each(|key| append(&mut spec, key, &url)),
                Purpose::Unsaid => {}
            }
            staged.push((file.clone(), place));
        }
        Ok(Staged { spec, dir: self.dir.join(uuid.to_string()), files: staged })
    }
}

impl Staged {
    /// The fates of the fields that now name staged files.
    pub(crate) fn tell(&self, fates: &mut Vec<Fate>) {
        for (file, _) in &self.files {
            match &file.purpose {
                Purpose::Application => {
                    let address = self.spec.file.clone().unwrap_or_default();
                    retell(fates, Field::File, None, address);
                }
                Purpose::Conf(keys) => {
                    for key in keys {
                        let address = self.spec.conf.get(key).unwrap_or_default().to_owned();
                        retell(fates, Field::Conf, Some(key), address);
                    }
                }
                Purpose::Unsaid => {}
            }
        }
    }

    /// Writes the files. What was written is removed if one cannot be.
    pub(crate) async fn write(&self) -> Result<()> {
        let written = self.copy().await;
        if written.is_err() {
            self.remove().await;
        }
        written.map_err(|error| {
            let kind = ErrorKind::BackendUnavailable { retry_after: Duration::from_secs(30) };
            Error::new(
                kind,
                "the uploaded files cannot be put where the backend would read them (stage); nothing was submitted",
            )
            .caused_by(error)
        })
    }

    async fn copy(&self) -> io::Result<()> {
        for (file, place) in &self.files {
            let to = self.dir.join(place);
            tokio::fs::create_dir_all(to.parent().unwrap_or(&self.dir)).await?;
            let copied = tokio::fs::copy(&file.path, &to).await?;
            if copied != file.bytes {
                return Err(io::Error::other(format!("{copied} of {} bytes were copied", file.bytes)));
            }
            readable(&to).await?;
        }
        Ok(())
    }

    pub(crate) async fn remove(&self) {
        remove(&self.dir).await;
    }
}

/// The spool's files are its owner's alone, and a copy keeps that; the platform runs as somebody else.
async fn readable(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    tokio::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).await?;
    Ok(())
}

async fn remove(dir: &Path) {
    match tokio::fs::remove_dir_all(dir).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, dir = %dir.display(), "staged files cannot be removed"),
    }
}

fn append(spec: &mut BatchSpec, key: &str, url: &str) {
    let list = match spec.conf.get(key) {
        Some(list) if !list.is_empty() => format!("{list},{url}"),
        Some(_) | None => url.to_owned(),
    };
    spec.conf.set(key, list);
}

fn retell(fates: &mut Vec<Fate>, field: Field, part: Option<&String>, address: String) {
    let treatment = Treatment::Staged(address);
    match fates.iter_mut().find(|fate| fate.field == field && fate.part.as_ref() == part) {
        Some(fate) => fate.treatment = treatment,
        None => fates.push(Fate { field, part: part.cloned(), treatment }),
    }
}

/// The spool has cut directories off already; what is left must be a name.
fn safe_name(name: &str) -> Result<String> {
    let is_name = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(Error::invalid("file", "an uploaded file needs a name of its own")),
    }
}

/// A comma would part a list of files, and the others have a meaning in a URL.
fn escaped(place: &str) -> String {
    let mut out = String::with_capacity(place.len());
    for byte in place.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Removes what ended jobs have left on the stages.
pub(crate) async fn sweep(gateway: Arc<Gateway>) {
    while !gateway.stop.is_cancelled() {
        for stack in gateway.stacks.values() {
            if let Some(stage) = stack.stage() {
                sweep_one(&gateway, stack, stage).await;
            }
        }
        gateway.pause(SWEEP_EVERY).await;
    }
}

async fn sweep_one(gateway: &Arc<Gateway>, stack: &Arc<Stack>, stage: &Stage) {
    let Ok(mut folders) = tokio::fs::read_dir(&stage.dir).await else { return };
    while let Ok(Some(folder)) = folders.next_entry().await {
        let Some(uuid) = folder.file_name().to_str().and_then(|name| name.parse::<Uuid>().ok()) else { continue };
        // A folder that this ledger knows nothing of may be another proxy's.
        let known = gateway.ledger.find(&BatchRef::Uuid(uuid), &gateway.own_scope(None)).await;
        let Ok(Some(entry)) = known else { continue };
        let is_over = match entry.phase {
            Phase::Accepted => view::is_over(entry.batch.state, Some(stack)),
            Phase::Refused | Phase::Failed => true,
            Phase::Intended | Phase::Sending | Phase::Ambiguous => false,
        };
        if is_over && entry.backend == *stack.name() {
            remove(&folder.path()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, path: &Path, purpose: Purpose) -> Payload {
        let bytes = std::fs::metadata(path).map_or(3, |file| file.len());
        Payload { part: "p".into(), file_name: name.into(), bytes, path: path.to_owned(), purpose }
    }

    fn stage(dir: &Path) -> Stage {
        Stage { dir: dir.to_owned(), url: "hdfs:///stage".into() }
    }

    #[tokio::test]
    async fn files_lie_where_the_batch_names_them_and_go_as_a_whole() {
        let ground = tempfile::tempdir().expect("a folder");
        let upload = ground.path().join("upload");
        std::fs::write(&upload, "abc").expect("written");
        let files = [
            file("a b.py", &upload, Purpose::Application),
            file("x.jar", &upload, Purpose::Conf(vec!["spark.jars".into()])),
            file("x.jar", &upload, Purpose::Conf(vec!["spark.jars".into()])),
        ];
        let mut spec = BatchSpec { file: Some("ignored".into()), ..BatchSpec::default() };
        spec.conf.set("spark.jars", "s3://own.jar");
        let uuid = Uuid::from_u128(7);
        let staged = stage(&ground.path().join("stage")).plan(uuid, &spec, &files).expect("a plan");
        assert_eq!(staged.spec.file.as_deref(), Some(&*format!("hdfs:///stage/{uuid}/a%20b.py")));
        let jars = format!("s3://own.jar,hdfs:///stage/{uuid}/x.jar,hdfs:///stage/{uuid}/1/x.jar");
        assert_eq!(staged.spec.conf.get("spark.jars"), Some(&*jars));
        staged.write().await.expect("copied");
        let dir = ground.path().join("stage").join(uuid.to_string());
        for place in ["a b.py", "x.jar", "1/x.jar"] {
            assert_eq!(std::fs::read_to_string(dir.join(place)).expect("a file"), "abc");
        }
        let mut fates = vec![Fate { field: Field::File, part: None, treatment: Treatment::Carried }];
        staged.tell(&mut fates);
        assert_eq!(fates[0].treatment, Treatment::Staged(format!("hdfs:///stage/{uuid}/a%20b.py")));
        assert_eq!(fates[1].treatment, Treatment::Staged(jars));
        staged.remove().await;
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_copied_whole_leaves_nothing() {
        let ground = tempfile::tempdir().expect("a folder");
        let upload = ground.path().join("upload");
        std::fs::write(&upload, "abc").expect("written");
        let files = [
            file("a.py", &upload, Purpose::Application),
            file("b.py", &ground.path().join("gone"), Purpose::Conf(vec!["spark.files".into()])),
        ];
        let staged = stage(ground.path()).plan(Uuid::nil(), &BatchSpec::default(), &files).expect("a plan");
        let error = staged.write().await.expect_err("a file is gone");
        assert!(matches!(error.kind, ErrorKind::BackendUnavailable { .. }), "{error}");
        assert!(!ground.path().join(Uuid::nil().to_string()).exists());
    }

    #[test]
    fn a_name_is_no_way_out() {
        for name in ["", ".", "..", "a/b", "..\\x"] {
            let files = [file(name, Path::new("x"), Purpose::Application)];
            assert!(stage(Path::new("/s")).plan(Uuid::nil(), &BatchSpec::default(), &files).is_err(), "{name}");
        }
    }
}
