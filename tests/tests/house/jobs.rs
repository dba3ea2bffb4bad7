//! Jobs without Spark: a shell script that says what it does in a diary, and that ends when the test lets it. (It lies beside this file and
//! is not written by the tests: what another thread's fork still has open for writing cannot be run.)
//!
//! A gate is a named pipe that the test holds open at both ends: a job that reads it waits until the test writes how to end. If the test
//! fails, its end of the pipe is closed and the job reads nothing, so no job outlives its test.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::until;
use crate::proxy::Config;

/// A folder for jobs, and what they have noted there.
pub(crate) struct Jobs {
    folder: TempDir,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for jobs") }
    }

    /// A proxy without Spark that runs these.
    pub(crate) fn config(&self, concurrency: usize) -> Config {
        let mut config = Config::local(&self.folder.path().join("data"));
        config.allow_dirs = vec![script().parent().expect("a file lies in a folder").to_path_buf()];
        config.concurrency = concurrency;
        config.more = "spark = false\n".to_owned();
        config
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A submit of a job that ends at once.
    pub(crate) fn quick(&self, name: &str) -> Value {
        self.body(name, "-")
    }

    /// A submit of a job that ends when it is let through.
    pub(crate) fn gated(&self, name: &str) -> (Value, Gate) {
        let gate = Gate::new(self.folder.path().join(format!("{name}.gate")));
        (self.body(name, &gate.path.display().to_string()), gate)
    }

    fn body(&self, name: &str, gate: &str) -> Value {
        json!({"file": script().display().to_string(), "name": name, "args": [self.path("diary"), name, gate]})
    }

    /// What the jobs have noted, in order.
    fn diary(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("diary")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Which jobs have begun, in order.
    pub(crate) fn begun(&self) -> Vec<String> {
        let name =
            |line: &String| line.split_once(' ').filter(|(_, what)| *what != "told").map(|(name, _)| name.to_owned());
        self.diary().iter().filter_map(name).collect()
    }

    /// How often a job has begun.
    pub(crate) fn runs(&self, name: &str) -> usize {
        self.begun().iter().filter(|begun| *begun == name).count()
    }

    /// Waits until a job has begun; its process.
    pub(crate) fn until_begun(&self, name: &str) -> Process {
        until(&format!("job {name} to begin"), || self.runs(name) > 0);
        let start = format!("{name} ");
        let number = self.diary().iter().find_map(|line| line.strip_prefix(&start)?.parse().ok());
        Process(number.expect("a job notes its number"))
    }

    /// Waits until a job was told to end.
    pub(crate) fn until_told(&self, name: &str) {
        until(&format!("job {name} to be told to end"), || self.diary().contains(&format!("{name} told")));
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/house/job.sh")
}

/// The process of a job. The folder of a process stays until its parent has seen the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn is_there(self) -> bool {
        Path::new(&format!("/proc/{}", self.0)).exists()
    }

    pub(crate) fn until_gone(self) {
        until("a job's process to be gone", || !self.is_there());
    }
}

/// Where a job waits.
#[derive(Debug)]
pub(crate) struct Gate {
    path: PathBuf,
    pipe: File,
}

impl Gate {
    fn new(path: PathBuf) -> Self {
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe can be made");
        // Both ends: neither this open nor the job's then waits for the other.
        let pipe = File::options().read(true).write(true).open(&path).expect("a pipe can be opened");
        Self { path, pipe }
    }

    /// Lets the job end with this code.
    pub(crate) fn open(&mut self, code: u8) {
        writeln!(self.pipe, "{code}").expect("a pipe with room can be written to");
    }
}

impl Drop for Gate {
    /// A job that waits with nobody to let it through goes.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
