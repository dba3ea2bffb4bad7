//! A submit that brings its files: a form whose `batchRequest` is the JSON, whose `resourceFile` is what runs, and whose other parts are named
//! by `extraResourcesMap`.
//!
//! That an extra file is there is asked by the names of the files, and it is taken by the name of its part: so a Kyuubi tells a part under
//! another name in other words than a missing one, and later.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
};

use batchlingua_core::{Error, ErrorKind, Payload, Purpose, Result};
use batchlingua_wire::Part;
use bytes::Bytes;
use http::StatusCode;

use crate::{
    FrontSettings,
    answer::MediaType,
    bind,
    dto::{BatchRequest, Pairs},
    error::{of_status, thrown, unmet},
};

const REQUEST: &str = "batchRequest";
const RESOURCE: &str = "resourceFile";
/// Most keys of `extraResourcesMap`.
const MOST_EXTRAS: usize = 1_000;

/// The files of a form.
#[derive(Debug)]
pub(crate) struct Files {
    parts: BTreeMap<String, Part>,
    extras: Pairs,
}

/// Reads a form.
pub(crate) fn read(mut parts: BTreeMap<String, Part>, settings: &FrontSettings) -> Result<(BatchRequest, Files)> {
    let broken = |message: &str| of_status(REQUEST, message, StatusCode::BAD_REQUEST);
    if parts.is_empty() {
        return Err(broken("the form has no parts"));
    }
    let json = match parts.remove(REQUEST) {
        Some(Part::Small { content_type: Some(said), bytes }) if MediaType::parse(&said) == MediaType::Json => bytes,
        Some(Part::File(file)) => json_file(&file, settings)?,
        Some(Part::Small { .. }) | None => Bytes::new(),
    };
    let request = bind::read(&json, settings.json_depth).map_err(|error| broken(&error.message))?;
    if !settings.upload {
        return Err(unmet(RESOURCE, "Batch resource upload function is disabled."));
    }
    let Some(mut request) = request else {
        let required = "batchRequest is required and please check the content type of batchRequest is application/json";
        return Err(unmet(REQUEST, required));
    };
    let Some(extras) = request.extra_resources.take() else {
        let words = "Cannot invoke \"java.util.Map.values()\" because the return value of \
                     \"org.apache.kyuubi.client.api.v1.dto.BatchRequest.getExtraResourcesMap()\" is null";
        return Err(thrown("extraResourcesMap", "'extraResourcesMap' must not be null: leave it out", words));
    };
    let files = Files { parts, extras };
    files.check_extras()?;
    Ok((request, files))
}

/// The JSON, sent as a file: then it lies beside the others. It is small, and just written.
fn json_file(file: &Payload, settings: &FrontSettings) -> Result<Bytes> {
    let max = settings.max_body as u64;
    if file.bytes > max {
        let kind = ErrorKind::TooLarge { limit: "max_body", max };
        return Err(Error::new(kind, format!("'{REQUEST}' has more than {max} bytes (max_body)")));
    }
    fs::read(&file.path).map(Bytes::from).map_err(|error| Error::internal(format!("upload_dir: {error}")))
}

/// The files that a value of `extraResourcesMap` names.
fn names(value: &Option<String>) -> impl Iterator<Item = &str> {
    value.iter().flat_map(|names| names.split(',')).filter(|name| !name.trim().is_empty())
}

impl Files {
    fn check_extras(&self) -> Result<()> {
        if self.extras.len() > MOST_EXTRAS {
            return Err(unmet("extraResourcesMap", &format!("extraResourcesMap has more than {MOST_EXTRAS} keys")));
        }
        let file_name = |part: &Part| match part {
            Part::File(file) => Some(file.file_name.clone()),
            Part::Small { .. } => None,
        };
        let there: BTreeSet<String> = self.parts.values().filter_map(file_name).collect();
        let wanted = self.extras.iter().flat_map(|(_, value)| names(value));
        let missing: BTreeSet<&str> = wanted.filter(|name| !there.contains(*name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.into_iter().collect::<Vec<_>>().join(",");
        let what = format!("required extra resource files [{missing}] are not uploaded in the multipart form data");
        Err(unmet("extraResourcesMap", &what))
    }

    /// The files with what each is for, what runs first. Parts that nothing names are left.
    pub(crate) fn payloads(mut self, key_of: fn(&str) -> Cow<'_, str>) -> Result<Vec<Payload>> {
        let mut payloads = vec![self.application()?];
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, value) in &self.extras {
            for name in names(value) {
                let at = match places.get(name) {
                    Some(at) => *at,
                    None => {
                        let Some(Part::File(file)) = self.parts.remove(name) else {
                            let words = format!("File part for file {name} not found");
                            return Err(thrown("extraResourcesMap", words.clone(), &words));
                        };
                        payloads.push(Payload { purpose: Purpose::Conf(Vec::new()), ..file });
                        places.insert(name, payloads.len() - 1);
                        payloads.len() - 1
                    }
                };
                // A file for no key comes along and is for nothing.
                if let (Purpose::Conf(keys), false) = (&mut payloads[at].purpose, key.trim().is_empty()) {
                    let key = key_of(key).into_owned();
                    // A value may name a file twice.
                    if keys.last() != Some(&key) {
                        keys.push(key);
                    }
                }
            }
        }
        Ok(payloads)
    }

    fn application(&mut self) -> Result<Payload> {
        match self.parts.remove(RESOURCE) {
            Some(Part::File(file)) => Ok(Payload { purpose: Purpose::Application, ..file }),
            Some(Part::Small { .. }) => {
                let words = "Failed handling uploaded resource file null: \
                             Cannot invoke \"String.lastIndexOf(String)\" because \"fileName\" is null";
                Err(thrown(RESOURCE, "'resourceFile' must be sent with a file name", words))
            }
            None => Err(unmet(RESOURCE, "resourceFile is required: send the file as a part of that name")),
        }
    }
}
