//! `batchlingua explain` and `POST /api/explain`: what they say, and that nothing is sent, written or let out by saying it.

mod admin;
mod pairs;
mod refused;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use batchlingua::adapters::ADAPTERS;
use batchlingua_testkit::Origin;
use batchlingua_wire::Adapter;
use serde_json::Value;

/// Stands in every request of `fixtures/explain`, and for the backends' own secrets.
const SECRET: &str = "hunter2";
/// The same beside a user's name, as HTTP's headers have it.
const HIDDEN: [&str; 2] = ["YW5hOmh1bnRlcjI", "cHJveHk6aHVudGVyMg"];

fn has_secret(told: &str) -> bool {
    told.contains(SECRET) || HIDDEN.iter().any(|hidden| told.contains(hidden))
}

const PROJECT: &str = "48cc2c48765f481480c7db940d6409d1";

fn house(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn platforms() -> impl Iterator<Item = &'static Adapter> {
    ADAPTERS.iter().filter(|adapter| adapter.platform.is_some())
}

/// An origin that nobody is to ask.
async fn silent() -> Origin {
    Origin::start(|_| panic!("an explanation asks nobody")).await
}

/// A backend of a kind, at an origin.
fn backend(kind: &str, origin: &Origin) -> String {
    let url = origin.url();
    let own = match kind {
        "local" => "allow_dirs = [\"/srv/apps\"]\nspark = false\npython = \"python3\"\njava = \"java\"\n".to_owned(),
        "dli" => {
            let auth = format!("auth = {{ ak_sk = {{ ak = \"AK\", sk = \"{SECRET}\", region = \"north-1\" }} }}");
            let paths = "paths = { \"/srv/apps/\" = \"obs://apps/\" }";
            format!("url = \"{url}\"\nproject_id = \"{PROJECT}\"\n{paths}\n{auth}\n")
        }
        _ => format!("url = \"{url}\"\nauth = {{ basic = {{ user = \"proxy\", password = \"{SECRET}\" }} }}\n"),
    };
    // One of those that take no uploads has a stage, the others refuse them.
    let stage = "stage = { dir = \"/srv/stage\", url = \"hdfs:///stage\" }\n";
    let stage = if kind == "livy" { stage } else { "" };
    format!("[backend.{kind}-1]\nkind = \"{kind}\"\n{own}{stage}")
}

/// A folder with a configuration, in which explanations are asked for.
struct Ground(tempfile::TempDir);

impl Ground {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("x.toml"), config).expect("written");
        Self(dir)
    }

    fn explain(&self, request: &Path, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchlingua"));
        command.current_dir(self.0.path()).stdin(Stdio::null()).env_remove("PYTHONPATH");
        command.args(["explain", "--config", "x.toml"]).arg(request).args(more).output().expect("the binary runs")
    }

    /// Explains a request that stands here; whether it would be done, and the object.
    fn json(&self, request: &str, more: &[&str]) -> (bool, Value) {
        let file = self.0.path().join("asked.http");
        fs::write(&file, request).expect("written");
        let output = self.explain(&file, &[&["--json"], more].concat());
        fs::remove_file(file).expect("it is there");
        let object = serde_json::from_slice(&output.stdout);
        (output.status.success(), object.unwrap_or_else(|_| panic!("{}", text(&output.stderr))))
    }

    /// What went wrong before there was an explanation.
    fn fault(&self, request: &str, more: &[&str]) -> String {
        let file = self.0.path().join("asked.http");
        fs::write(&file, request).expect("written");
        let output = self.explain(&file, more);
        fs::remove_file(file).expect("it is there");
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Neither ledger nor jobs nor uploads.
    fn is_untouched(&self) -> bool {
        let names = fs::read_dir(self.0.path()).expect("a folder").flatten().map(|entry| entry.file_name());
        names.into_iter().all(|name| name == "x.toml")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
