//! The files that a batch names, each found, checked and ready to be passed on.
//!
//! An uploaded file lies in the job's own folder and is told Spark like any other, where its purpose says. Each has a folder of its own
//! there: a program and a module may have the same name.

use std::path::{Path, PathBuf};

use batchlingua_core::{BatchSpec, Error, Payload, Purpose, Result};

use crate::{
    folder::UPLOADS,
    paths::{AllowDirs, Location},
    spark::FILE_LISTS,
};

/// Every file of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) file: Location,
    pub(crate) jars: Vec<Location>,
    pub(crate) py_files: Vec<Location>,
    pub(crate) files: Vec<Location>,
    pub(crate) archives: Vec<Location>,
    /// Of the conf keys that are lists of files.
    pub(crate) conf: Vec<(&'static str, Vec<Location>)>,
    /// Uploaded files, by the conf key that each is to be appended to.
    pub(crate) uploads: Vec<(String, Location)>,
}

/// Where uploaded files will lie.
pub(crate) struct Uploads<'a> {
    folder: PathBuf,
    payloads: &'a [Payload],
}

impl<'a> Uploads<'a> {
    /// In the job's own folder, each under the name that the client gave it.
    pub(crate) fn new(job: &Path, payloads: &'a [Payload]) -> Result<Self> {
        for payload in payloads {
            let name = payload.file_name.as_str();
            if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) || name.len() > 255 {
                return Err(Error::invalid(&payload.part, "an uploaded file needs a plain file name"));
            }
        }
        Ok(Self { folder: job.join(UPLOADS), payloads })
    }

    /// Where each file is to lie below the folder, and where it is spooled.
    pub(crate) fn sources(&self) -> Vec<(PathBuf, &'a Path)> {
        let all = self.payloads.iter().enumerate();
        all.map(|(at, payload)| (place(at, payload), payload.path.as_path())).collect()
    }

    /// The one that is the application file.
    pub(crate) fn application(&self) -> Option<Location> {
        let at = self.payloads.iter().position(|payload| payload.purpose == Purpose::Application)?;
        Some(self.locate(at))
    }

    fn of_conf(&self) -> Vec<(String, Location)> {
        let keys = |payload: &'a Payload| match &payload.purpose {
            Purpose::Conf(keys) => keys.as_slice(),
            Purpose::Unsaid | Purpose::Application => &[],
        };
        let all = self.payloads.iter().enumerate();
        let all = all.flat_map(|(at, payload)| keys(payload).iter().map(move |key| (key, at)));
        all.map(|(key, at)| (key.clone(), self.locate(at))).collect()
    }

    fn locate(&self, at: usize) -> Location {
        Location::own(self.folder.join(place(at, &self.payloads[at])))
    }
}

fn place(at: usize, payload: &Payload) -> PathBuf {
    PathBuf::from(at.to_string()).join(&payload.file_name)
}

impl Named {
    /// Uploaded files for one conf key.
    pub(crate) fn uploaded(&self, key: &str) -> impl Iterator<Item = &Location> {
        self.uploads.iter().filter(move |(of, _)| of == key).map(|(_, location)| location)
    }

    /// Lists first and the application file last, as Livy checks them.
    pub(crate) fn read(spec: &BatchSpec, uploads: &Uploads<'_>, allowed: &AllowDirs) -> Result<Self> {
        let read = Reader { allowed };
        let conf = FILE_LISTS
            .iter()
            .filter_map(|key| Some((*key, spec.conf.get(key)?)))
            .map(|(key, value)| {
                let elements: Vec<_> = value.split([',', ' ']).map(str::to_owned).collect();
                Ok((key, read.list("conf", &elements)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            jars: read.list("jars", &spec.jars)?,
            py_files: read.list("py_files", &spec.py_files)?,
            files: read.list("files", &spec.files)?,
            archives: read.list("archives", &spec.archives)?,
            conf,
            uploads: uploads.of_conf(),
            file: match (uploads.application(), spec.file.as_deref()) {
                (Some(application), _) => application,
                (None, None | Some("")) => return Err(Error::invalid("file", "a file is required")),
                (None, Some(file)) => read.allowed("file", Location::parse_application("file", file)?)?,
            },
        })
    }
}

struct Reader<'a> {
    allowed: &'a AllowDirs,
}

impl Reader<'_> {
    fn one(&self, field: &str, text: &str) -> Result<Location> {
        self.allowed(field, Location::parse(field, text)?)
    }

    fn allowed(&self, field: &str, location: Location) -> Result<Location> {
        self.allowed.check(field, &location)?;
        Ok(location)
    }

    /// Spark takes a list apart at commas, so each part is a file for itself. Livy does not see that, and puts its `file://` before an
    /// element's first path only; a part that reads the same with and without is left as it leaves it.
    fn list(&self, field: &str, elements: &[String]) -> Result<Vec<Location>> {
        let mut locations = Vec::new();
        for element in elements {
            let parts = element.split(',').map(str::trim).filter(|part| !part.is_empty());
            for (at, part) in parts.enumerate() {
                let mut location = self.one(field, part)?;
                if at > 0 && location.uri.strip_prefix("file://") == Some(part) {
                    location.uri = part.to_owned();
                }
                locations.push(location);
            }
        }
        Ok(locations)
    }
}
