//! A proxy of one's own: the binary as a child process on free ports, with a data folder that the test chooses, so that the test can
//! end it with `kill -9` or a gentle SIGTERM and start it again on what it left.
//!
//! Nothing here waits by the clock. The process writes its ready file when all listeners are bound, which is the event that
//! `start` polls for; an end is waited for through the child itself. Both have a deadline, and what the process said on standard
//! error is part of every failure. Jobs outlive a killed proxy by design: a test that leaves some running cancels them itself.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::Client;

/// Far above what a start or an orderly end takes, even while a whole workspace is being built beside the test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is about to happen.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// What a test may choose about its proxy; `local` gives the rest.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Ledger, jobs and the files of this helper lie here; it outlives the proxy.
    pub(crate) dir: PathBuf,
    /// What its listener speaks.
    pub(crate) dialects: Vec<&'static str>,
    pub(crate) allow_dirs: Vec<PathBuf>,
    pub(crate) spark_home: Option<PathBuf>,
    pub(crate) concurrency: usize,
    /// The port of the listener `main`; 0 takes a free one.
    pub(crate) port: u16,
    /// A platform of this kind at this address, in place of the local backend.
    pub(crate) upstream: Option<(&'static str, SocketAddr)>,
    /// `None` leaves the proxy's own default.
    pub(crate) first_ordinal: Option<u32>,
    pub(crate) log_lines: Option<u32>,
    /// TOML put at the end, for what only one test sets.
    pub(crate) more: String,
    pub(crate) env: Vec<(OsString, OsString)>,
}

impl Config {
    /// The local backend alone, behind Livy's face if the test names no other.
    pub(crate) fn local(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            dialects: vec!["livy"],
            allow_dirs: Vec::new(),
            spark_home: None,
            concurrency: 4,
            port: 0,
            upstream: None,
            first_ordinal: None,
            log_lines: None,
            more: String::new(),
            env: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let ledger = toml::Value::String(format!("sqlite://{}", self.dir.join("ledger.db").display()));
        let allowed: Vec<String> = self.allow_dirs.iter().map(|dir| quoted(dir)).collect();
        let mut text = format!("[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:{}\"\n", self.port);
        let _ = writeln!(text, "dialects = {:?}\n", self.dialects);
        text.push_str("[admin]\naddress = \"127.0.0.1:0\"\n\n");
        let _ = writeln!(text, "[ledger]\nurl = {ledger}");
        if let Some(first) = self.first_ordinal {
            let _ = writeln!(text, "first_ordinal = {first}");
        }
        if let Some(lines) = self.log_lines {
            let _ = writeln!(text, "\n[dialect.livy]\nlog_lines = {lines}");
        }
        if let Some((kind, address)) = self.upstream {
            let _ = writeln!(text, "\n[backend.there]\nkind = {kind:?}\nurl = \"http://{address}\"");
            // What a recording shows next is shown by the next look at it.
            let _ = writeln!(text, "freshness = \"0s\"");
            text.push_str(&self.more);
            return text;
        }
        let _ = writeln!(text, "\n[backend.here]\nkind = \"local\"\ndir = {}", quoted(&self.dir.join("jobs")));
        let _ = writeln!(text, "allow_dirs = [{}]\nconcurrency = {}", allowed.join(", "), self.concurrency);
        let _ = writeln!(text, "spark_master = \"local[1]\"");
        if let Some(home) = &self.spark_home {
            let _ = writeln!(text, "spark_home = {}", quoted(home));
        }
        text.push_str(&self.more);
        text
    }
}

/// A running proxy, or one that the test has ended and may start again.
#[derive(Debug)]
pub(crate) struct Proxy {
    config: Config,
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Proxy {
    /// Returns once all listeners are bound; panics with the process's own words if it does not come to that.
    pub(crate) fn start(config: Config) -> Self {
        fs::create_dir_all(&config.dir).expect("the data folder can be made");
        let (child, [address, admin]) = launch(&config);
        Self { config, child, address, admin }
    }

    /// Where the listener `main` is bound.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of that listener, as it is now.
    pub(crate) fn client(&self) -> Client {
        Client(self.address)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What the process has written to standard error since the first start on this folder.
    pub(crate) fn stderr(&self) -> String {
        said(&self.config)
    }

    /// Where it writes that.
    pub(crate) fn stderr_file(&self) -> PathBuf {
        stderr_of(&self.config)
    }

    /// Kilobytes of memory that the process holds now.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the proxy runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says how much");
        line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes")
    }

    /// The end that nothing in the process can prepare for.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the proxy can be killed");
        self.child.wait().expect("the killed proxy can be waited for");
    }

    /// SIGTERM, and the exit status that the process chose.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("the proxy can be signalled");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the proxy can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the proxy did not end on SIGTERM\n{}", self.stderr());
            thread::sleep(GLANCE);
        }
    }

    /// Starts an ended proxy again on the same data; its ports are new ones, but for one that was given.
    pub(crate) fn start_again(&mut self) {
        let ended = self.child.try_wait().expect("the proxy can be waited for");
        assert!(ended.is_some(), "the proxy has to be ended before it is started again");
        let (child, [address, admin]) = launch(&self.config);
        (self.child, self.address, self.admin) = (child, address, admin);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Both fail if the test has ended it already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(config: &Config) -> (Child, [SocketAddr; 2]) {
    let file = config.dir.join("batchlingua.toml");
    let ready = config.dir.join("ready.json");
    fs::write(&file, config.text()).expect("the configuration can be written");
    // Of an earlier run on the same folder: it would name ports that nobody listens on.
    let _ = fs::remove_file(&ready);
    let stderr = File::options().create(true).append(true).open(stderr_of(config)).expect("a file for standard error");
    let mut child = Command::new(binary())
        .args(["serve".as_ref(), "--config".as_ref(), file.as_os_str(), "--ready-file".as_ref(), ready.as_os_str()])
        .env_remove("SPARK_HOME")
        .envs(config.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .expect("the proxy can be started");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(text) = fs::read_to_string(&ready) {
            return (child, addresses(&text));
        }
        if let Some(status) = child.try_wait().expect("the proxy can be waited for") {
            panic!("the proxy ended with {status} before it was ready\n{}", said(config));
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the proxy was not ready in {PATIENCE:?}\n{}", said(config));
        }
        thread::sleep(GLANCE);
    }
}

/// The file is renamed into place, so what can be read of it is whole.
fn addresses(ready: &str) -> [SocketAddr; 2] {
    let ready: Value = serde_json::from_str(ready).expect("the ready file is JSON");
    let read = |pointer: &str| {
        let text = ready.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("the ready file has {pointer}: {ready}")).parse().expect("an address with a port")
    };
    [read("/listeners/main"), read("/admin")]
}

fn stderr_of(config: &Config) -> PathBuf {
    config.dir.join("stderr.log")
}

fn said(config: &Config) -> String {
    let text = fs::read(stderr_of(config)).unwrap_or_default();
    format!("the proxy's standard error:\n{}", String::from_utf8_lossy(&text))
}

/// `BATCHLINGUA_BIN` if it is set, else what cargo has for this profile. Cargo is asked each time, not only when the file is missing:
/// `cargo test` of this package does not build the binary, and a stale one would be tested in silence.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("BATCHLINGUA_BIN") {
            return PathBuf::from(given);
        }
        // target/<profile>/deps/house-<hash>
        let own = std::env::current_exe().expect("the test knows its own path");
        let profile = own.parent().and_then(Path::parent).expect("the test lies in target/<profile>/deps");
        let binary = profile.join(format!("batchlingua{}", std::env::consts::EXE_SUFFIX));
        if let Some(cargo) = std::env::var_os("CARGO") {
            let name = match profile.file_name().and_then(|name| name.to_str()) {
                Some("debug") | None => "dev",
                Some(name) => name,
            };
            let built = Command::new(cargo)
                .args(["build", "--quiet", "--package", "batchlingua", "--profile", name])
                .env("CARGO_TARGET_DIR", profile.parent().expect("a profile lies in a target folder"))
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(built.is_ok_and(|status| status.success()), "cargo could not build the proxy");
        }
        assert!(binary.exists(), "there is no {}: build it, or name one in BATCHLINGUA_BIN", binary.display());
        binary
    })
}
