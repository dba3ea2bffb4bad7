//! A real PostgreSQL for tests: Debian's own, started by the test program that needs it and gone with it, however that ends.
//!
//! The server refuses to run as root, so there it runs as `postgres`, or as `nobody`. A shell stands between it and the test: it holds the reading end of
//! a pipe whose other end only the test program has, and when that is closed, be it by `kill -9`, it stops the server and takes its files
//! away. It is reached by a socket in a folder of its own, so no port is taken and nobody else can get in; but for the one that is reached over
//! TLS, whose clients need a password.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{origin::Authority, port::lasting_port};

/// Waits for words on its input: what they say is done and answered, and the end of the input is the end of all.
const GUARD: &str = r#"
trap '' INT
down() { "$bin/pg_ctl" -D "$base/data" -m "$1" -w stop >/dev/null 2>&1; }
trap 'down immediate; rm -rf "$base"/* "$base"/.s*' EXIT
trap 'exit 0' TERM HUP
up() { "$bin/pg_ctl" -D "$base/data" -w -t 120 -l "$base/log" -o "-k $base -c listen_addresses= -c max_connections=500 -c fsync=$fsync $more" start >/dev/null 2>&1; }
"$bin/initdb" -D "$base/data" -U test -A trust -E UTF8 --locale=C -N >"$base/log" 2>&1 && up && echo ready || { echo failed; exit 1; }
while read -r word; do
  case "$word" in
    start) up && echo ready || echo failed ;;
    crash) down immediate; echo down ;;
    stop) down fast; echo down ;;
  esac
done
"#;

/// A running server, ended when this is dropped.
pub struct Postgres {
    base: PathBuf,
    port: u16,
    guard: Mutex<Guard>,
    _process: Child,
}

/// Where a server listens that is not told otherwise: a part of its socket's name.
const USUAL_PORT: u16 = 5432;

/// Who comes by the socket is let in; who comes over the network has to come by TLS and say the password.
const HBA: &str = "local all all trust\nhostssl all all samehost scram-sha-256\n";

struct Guard {
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

/// A database of its own; the next test has it when this is dropped, emptied, since to make one costs a second on a slow machine.
pub struct Database {
    server: &'static Postgres,
    name: String,
}

impl Postgres {
    /// The one that all tests of this process share.
    ///
    /// # Panics
    ///
    /// Where there is none and none can be had; with what to install.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(false))
    }

    /// Another one, which its test may stop. `durable`: it waits for the disk, as a measurement wants it.
    ///
    /// # Panics
    ///
    /// As [`Postgres::shared`].
    pub fn start(durable: bool) -> Self {
        Self::start_in(own_folder(), USUAL_PORT, durable, "")
    }

    /// One that is reached at a port of this machine too, by TLS with this authority's certificate for that name, and by the user `test` with this
    /// password.
    ///
    /// # Panics
    ///
    /// As [`Postgres::shared`].
    pub fn start_tls(authority: &Authority, name: &str, password: &str) -> Self {
        let base = own_folder();
        let (certificate, key) = authority.files(&base, name);
        let hba = base.join("hba");
        fs::write(&hba, HBA).expect("its folder can be written");
        for file in [&certificate, &key, &hba] {
            assert!(hand_over(file, 0o600), "{} cannot be given to the server", file.display());
        }
        let [certificate, key, hba] = [certificate, key, hba].map(|file| file.display().to_string());
        let port = lasting_port();
        let more = format!(
            "-c listen_addresses=localhost -c port={port} -c hba_file={hba} -c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key}"
        );
        let server = Self::start_in(base, port, false, &more);
        server.sql("postgres", &format!("ALTER USER test PASSWORD '{password}'"));
        server
    }

    fn start_in(base: PathBuf, port: u16, durable: bool, more: &str) -> Self {
        let bin = programs();
        let mut command = as_its_user();
        let mut process = command
            .args(["sh", "-c", GUARD])
            .envs([("bin", bin.as_os_str()), ("base", base.as_os_str())])
            .envs([("fsync", if durable { "on" } else { "off" }), ("more", more)])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be started");
        let say = process.stdin.take().expect("it is a pipe");
        let hear = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let server = Self { base, port, guard: Mutex::new(Guard { say, hear }), _process: process };
        server.expect("ready");
        server
    }

    /// Ends it as a power failure would, and returns when it is gone.
    pub fn crash(&self) {
        self.tell("crash");
        self.expect("down");
    }

    /// Ends it as an operator does: who is connected is cut off, what was committed is written out. Returns when it is gone.
    pub fn stop(&self) {
        self.tell("stop");
        self.expect("down");
    }

    /// Begins again after [`Postgres::crash`] or [`Postgres::stop`], and returns when it answers.
    pub fn start_again(&self) {
        self.tell("start");
        self.expect("ready");
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.base.join(format!(".s.PGSQL.{}", self.port))
    }

    /// And at which port of this machine, if it was started for TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database in it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=test", self.base.display())
    }

    /// Runs statements with its own `psql` and gives back what they print, without any ornament.
    ///
    /// # Panics
    ///
    /// If they fail.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = Command::new(programs().join("psql"));
        let psql =
            psql.arg("-h").arg(&self.base).args(["-U", "test", "-d", database, "-AXtq", "-v", "ON_ERROR_STOP=1"]);
        let psql = psql.args(["-p", &self.port.to_string()]);
        let done = psql.args(["-c", statements]).env_remove("PGPASSWORD").output().expect("psql can be started");
        assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim_end().to_owned()
    }

    /// An empty database in it; only of the shared one.
    pub fn database(&'static self) -> Database {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let left = left().pop();
        let name = left.unwrap_or_else(|| {
            let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
            self.sql("postgres", &format!("CREATE DATABASE {name}"));
            name
        });
        Database { server: self, name }
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, word: &str) {
        writeln!(self.guard().say, "{word}").expect("the shell reads");
    }

    fn expect(&self, word: &str) {
        let mut said = String::new();
        self.guard().hear.read_line(&mut said).expect("the shell answers");
        let log = || fs::read_to_string(self.base.join("log")).unwrap_or_default();
        assert_eq!(said.trim(), word, "PostgreSQL in {}: {}", self.base.display(), log());
    }
}

impl Database {
    /// Its URL.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`Postgres::sql`].
    pub fn sql(&self, statements: &str) -> String {
        self.server.sql(&self.name, statements)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that has failed is told of that, and not of what is left behind.
        if !std::thread::panicking() {
            self.sql("SET client_min_messages = error; DROP SCHEMA IF EXISTS batchlingua CASCADE");
            left().push(std::mem::take(&mut self.name));
        }
    }
}

/// Databases of the shared server that are nobody's any more.
fn left() -> std::sync::MutexGuard<'static, Vec<String>> {
    static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder of the newest version's programs; installed first where there are none.
fn programs() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        installed().unwrap_or_else(|| {
            install();
            installed().expect("Debian's package has the programs")
        })
    })
}

fn installed() -> Option<PathBuf> {
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let newest = |bin: &PathBuf| bin.parent().and_then(|at| at.file_name()?.to_str()?.parse::<u32>().ok()).unwrap_or(0);
    let whole = |bin: &PathBuf| ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|name| bin.join(name).is_file());
    debian.chain(std::env::split_paths(&path)).filter(whole).max_by_key(newest)
}

/// What `.ci/run` does as well.
fn install() {
    const SAY: &str = "these tests run a real PostgreSQL, and there is none: apt-get install postgresql";
    assert!(is_root(), "{SAY}");
    let apt = |arguments: &[&str]| {
        let done = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
        let done = done.unwrap_or_else(|error| panic!("{SAY}: {error}"));
        assert!(done.status.success(), "{SAY}: {}", String::from_utf8_lossy(&done.stderr));
    };
    // Else the package starts a server of its own.
    if fs::create_dir_all("/etc/postgresql-common").is_ok()
        && !Path::new("/etc/postgresql-common/createcluster.conf").exists()
    {
        let _ = fs::write("/etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n");
    }
    apt(&["update", "-qq"]);
    apt(&["install", "-qq", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", "postgresql"]);
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Of a server that is about to be started.
fn own_folder() -> PathBuf {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    folder(&format!("{}-{number}", std::process::id()))
}

/// In the build's folder, unless the server's user cannot get there or its name is too long for a socket's.
fn folder(name: &str) -> PathBuf {
    const LONGEST: usize = 85;
    let target =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in the workspace").join("target");
    let own = target.join("postgres");
    // Of those that have ended an empty folder is left, which is not theirs to remove.
    fs::read_dir(&own).into_iter().flatten().flatten().for_each(|left| drop(fs::remove_dir(left.path())));
    for parent in [own, std::env::temp_dir()] {
        let base = parent.join(format!("pg-{name}"));
        if base.as_os_str().len() > LONGEST || fs::create_dir_all(&base).is_err() {
            continue;
        }
        let mut reach = as_its_user();
        // Others may look in, since psql is run by the test itself.
        let usable =
            hand_over(&base, 0o755) && reach.args(["test", "-w"]).arg(&base).status().is_ok_and(|done| done.success());
        if usable {
            return base;
        }
        let _ = fs::remove_dir(&base);
    }
    panic!("no folder that PostgreSQL's user can write to; not even {}", std::env::temp_dir().display());
}

/// Gives the folder or file to whom the server will run as.
fn hand_over(path: &Path, mode: u32) -> bool {
    let owned = match server_user() {
        Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)).is_ok(),
        None => true,
    };
    owned && fs::set_permissions(path, fs::Permissions::from_mode(mode)).is_ok()
}

/// Whom root has to become; `None`: nobody else.
fn server_user() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the system has users");
    let of = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(of("postgres").or_else(|| of("nobody")).expect("every system has a user nobody"))
}

fn as_its_user() -> Command {
    match server_user() {
        None => Command::new("env"),
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).args(["--clear-groups", "--"]);
            command
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_keeps_what_was_committed_over_its_own_end() {
        let server = Postgres::start(false);
        server.sql("postgres", "CREATE TABLE t (x int); INSERT INTO t VALUES (7)");
        server.crash();
        assert!(!server.socket().exists() || std::os::unix::net::UnixStream::connect(server.socket()).is_err());
        server.start_again();
        assert_eq!(server.sql("postgres", "SELECT x FROM t"), "7");
        server.stop();
        assert!(std::os::unix::net::UnixStream::connect(server.socket()).is_err());
        server.start_again();
        assert_eq!(server.sql("postgres", "SELECT x FROM t"), "7");
    }
}
