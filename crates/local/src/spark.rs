//! A batch as a `spark-submit` command line, in the shape and order in which Livy writes it.
//!
//! The order of `--conf` pairs means nothing to Spark. It is Livy's all the same, which is that of a Scala hash map, so that command lines
//! recorded from a Livy can be compared as they are.

use std::{collections::BTreeMap, path::Path};

use batchlingua_core::{BatchSpec, Conf, FieldValue, Load};

use crate::{mapping, named::Named, paths::Location};

/// Conf keys whose values are lists of files.
pub(crate) const FILE_LISTS: &[&str] = &[
    "spark.jars",
    "spark.files",
    "spark.archives",
    "spark.submit.pyFiles",
    "spark.yarn.archive",
    "spark.yarn.dist.archives",
    "spark.yarn.dist.files",
    "spark.yarn.dist.jars",
    "spark.yarn.jar",
    "spark.yarn.jars",
];

pub(crate) const MASTER: &str = "spark.master";
pub(crate) const DEPLOY_MODE: &str = "spark.submit.deployMode";
pub(crate) const PY_FILES: &str = "spark.submit.pyFiles";
pub(crate) const ARCHIVES: &str = "spark.yarn.dist.archives";
const ANY_ARCHIVES: &str = "spark.archives";

/// What `spark-submit` is called with.
pub(crate) fn arguments(spec: &BatchSpec, load: &Load, named: &Named, master: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut option = |name: &str, value: &str| args.extend([name.to_owned(), value.to_owned()]);
    let given = |name: &str| match load.member(name) {
        Some(FieldValue::Text(text)) => Some(text.as_str()),
        Some(FieldValue::List(_) | FieldValue::Integer(_)) | None => None,
    };
    for name in [mapping::NAME, mapping::CLASS] {
        given(name).into_iter().for_each(|value| option(name, value));
    }
    for (key, value) in in_scala_order(&conf(spec, load, named, master)) {
        match key {
            PY_FILES => option("--py-files", value),
            _ => option("--conf", &format!("{key}={value}")),
        }
    }
    for name in [mapping::PROXY_USER, mapping::QUEUE] {
        given(name).into_iter().for_each(|value| option(name, value));
    }
    args.push(named.file.uri.clone());
    args.extend(spec.args.iter().cloned());
    args
}

/// What is sent of the conf, in the client's order, then the fields that became conf keys, in Livy's; files as they are named here. The
/// master is the operator's.
fn conf(spec: &BatchSpec, load: &Load, named: &Named, master: &str) -> Conf {
    let files = [
        (ARCHIVES, &named.archives),
        ("spark.files", &named.files),
        ("spark.jars", &named.jars),
        (PY_FILES, &named.py_files),
    ];
    let kept = spec.conf.iter().filter(|(key, _)| *key == MASTER || load.conf.get(key).is_some());
    let lists = files.iter().filter_map(|(key, _)| Some((*key, load.conf.get(key)?)));
    let pairs = kept.chain(lists).chain([(MASTER, master)]).chain(load.conf.iter());
    let mut conf: Conf = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for (key, locations) in &named.conf {
        conf.set(*key, uris(&[], locations));
    }
    let of_conf = |key: &str| named.conf.iter().find(|(known, _)| *known == key).map(|(_, files)| files.as_slice());
    for (key, files) in files {
        match of_conf(key) {
            // A list of nothing but blanks names no file.
            None if files.is_empty() => _ = conf.remove(key),
            more => conf.set(key, uris(files, more.unwrap_or_default())),
        }
    }
    if !named.archives.is_empty() && !is_yarn(master) && conf.get(ANY_ARCHIVES).is_some() {
        conf.set(ANY_ARCHIVES, uris(&named.archives, of_conf(ANY_ARCHIVES).unwrap_or_default()));
    }
    // A client may send very many files for one key: what it had is looked for once.
    let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, location) in &named.uploads {
        let path = location.path.as_deref().and_then(Path::to_str).filter(|_| !FILE_LISTS.contains(&key.as_str()));
        lists.entry(key).or_default().push(path.unwrap_or(&location.uri));
    }
    for (key, files) in lists {
        let had = conf.get(key).filter(|text| !text.is_empty()).map(str::to_owned);
        conf.set(key, had.as_deref().into_iter().chain(files).collect::<Vec<_>>().join(","));
    }
    conf
}

fn uris(first: &[Location], then: &[Location]) -> String {
    first.iter().chain(then).map(|location| location.uri.as_str()).collect::<Vec<_>>().join(",")
}

fn is_yarn(master: &str) -> bool {
    master.starts_with("yarn")
}

/// Livy's option for archives has a meaning on YARN only. On other masters Spark is told them in this way too, since its command line is to
/// be Livy's: as a system property of the driver, which Spark reads like a `--conf`.
pub(crate) fn archives_property(spec: &BatchSpec, named: &Named, master: &str) -> Option<String> {
    let lost = !named.archives.is_empty() && !is_yarn(master) && spec.conf.get(ANY_ARCHIVES).is_none();
    lost.then(|| format!("-D{ANY_ARCHIVES}={}", uris(&named.archives, &[])))
}

/// The order in which Scala 2.12's mutable hash map walks over keys that were put into it in this order: from the highest bucket down,
/// the latest first within one.
fn in_scala_order(conf: &Conf) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = conf.iter().collect();
    let buckets = (pairs.len() * 4).div_ceil(3).next_power_of_two().max(16) as u32;
    pairs.reverse();
    pairs.sort_by_key(|(key, _)| std::cmp::Reverse(scala_bucket(key, buckets)));
    pairs
}

fn scala_bucket(key: &str, buckets: u32) -> u32 {
    const MULTIPLIER: u32 = 0x9e37_75cd;
    let hash = key.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    let mixed = hash.wrapping_mul(MULTIPLIER).swap_bytes().wrapping_mul(MULTIPLIER);
    mixed.rotate_right((buckets - 1).count_ones()) >> (buckets - 1).leading_zeros()
}
