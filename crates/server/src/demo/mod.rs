//! `batchlingua demo`: the whole system at work, on any machine, in one command.
//!
//! A proxy is started as `serve` starts one, with this machine as its backend, in a directory of its own and on free ports. Then a client of
//! each dialect submits a real job, a count of words, and follows it as that dialect's clients do. The demo counts the words itself and
//! compares: it is right if every client was shown the true result and no state that it had to take back.
//!
//! A dialect joins by one entry in `CLIENTS`.

mod dli;
mod follow;
mod kylin;
mod kyuubi;
mod livy;
mod words;

use std::{
    fmt::{self, Write},
    fs,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use batchlingua_core::{SystemClock, Uuid};
use batchlingua_local::LocalBackend;

use crate::{
    adapters::ADAPTERS,
    config::{Config, ProcessVault},
    logging,
    server::Server,
};

/// The job and its data are in the binary: it may be all that there is.
const PROGRAM: &str = include_str!("../../../../examples/demo/wordcount.py");
const TEXT: &str = include_str!("../../../../examples/demo/text.txt");

/// A Spark that starts on a slow machine takes most of a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// A client of one dialect.
struct DemoClient {
    dialect: &'static str,
    run: for<'a> fn(&'a Job<'a>) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Seen, String>> + Send + 'a>>;

const CLIENTS: &[DemoClient] = &[
    DemoClient { dialect: "kyuubi", run: |job| Box::pin(kyuubi::run(job)) },
    DemoClient { dialect: "livy", run: |job| Box::pin(livy::run(job)) },
    DemoClient { dialect: "dli", run: |job| Box::pin(dli::run(job)) },
    DemoClient { dialect: "kylin", run: |job| Box::pin(kylin::run(job)) },
];

/// Most lines of one page.
const PAGE: u64 = 1_000;

/// What a client is to run, and where.
struct Job<'a> {
    server: SocketAddr,
    program: &'a str,
    text: &'a str,
}

impl Job<'_> {
    /// The batch's name, which a person who looks at the backend would want to know it by.
    fn name(&self, dialect: &str) -> String {
        format!("wordcount by {dialect}")
    }

    /// Shows a call and what came of it.
    fn say(&self, dialect: &str, call: &str, what: impl fmt::Display) {
        println!("  {dialect:<7} {call:<34} {what}");
    }
}

/// What a client saw.
struct Seen {
    id: String,
    states: Vec<String>,
    lines: Vec<String>,
    /// Whether the states are those of a batch that went well, in their order.
    well: bool,
}

/// Runs the demo.
pub async fn run() -> ExitCode {
    let dir = match Workshop::make() {
        Ok(dir) => dir,
        Err(error) => return failed(&format!("cannot make a directory: {error}")),
    };
    let shown = tokio::select! {
        shown = show(&dir) => shown,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    eprintln!("demo: {message}");
    ExitCode::FAILURE
}

async fn show(dir: &Workshop) -> Result<(), String> {
    let engine = engine().await?;
    let config = Config::parse("the demo", &dir.config(), &ProcessVault).map_err(|faults| faults.to_string())?;
    logging::init(&config.log);
    let server = Server::start(config).await.map_err(|error| error.to_string())?;
    let [(_, address)] = server.listeners() else { unreachable!("the demo has one listener") };
    println!("Batchlingua {} on {address}, with this machine as its backend.", env!("CARGO_PKG_VERSION"));
    println!("The job counts the words of \"Alice's Adventures in Wonderland\", {engine}.\n");

    let (program, text) = (dir.file("wordcount.py"), dir.file("text.txt"));
    let job = Job { server: *address, program: &program, text: &text };
    let mut results = Vec::new();
    for adapter in ADAPTERS.iter().filter(|adapter| adapter.dialect.is_some()) {
        let Some(client) = CLIENTS.iter().find(|client| client.dialect == adapter.name) else {
            println!("  {:<7} has no client in this demo", adapter.name);
            continue;
        };
        let seen = tokio::time::timeout(PATIENCE, (client.run)(&job)).await;
        results.push((client.dialect, seen.unwrap_or_else(|_| Err("the job did not end in time".into()))));
    }
    server.stop(std::future::pending()).await;
    verdict(&results)
}

/// What runs the job, in words; an error if nothing can.
async fn engine() -> Result<String, String> {
    let local = LocalBackend::new("demo".into(), batchlingua_local::Config::default(), Arc::new(SystemClock)).await;
    if let Some(submit) = local.map_err(|error| error.detail())?.spark_submit() {
        return Ok(format!("as a Spark job ({})", submit.display()));
    }
    let asked = Command::new("python3").arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match asked {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok(format!("by plain {version}: no Spark was found (SPARK_HOME, spark-submit on the PATH, pyspark)"))
        }
        _ => Err("there is neither Spark nor python3 on this machine; install one of them, or set SPARK_HOME".into()),
    }
}

/// Shows side by side what the clients saw; an error unless all is right.
fn verdict(results: &[(&str, Result<Seen, String>)]) -> Result<(), String> {
    let expected = words::most_frequent(TEXT, 10);
    println!("\n{:<9}{:<38}{:<32}result", "dialect", "id", "states seen");
    let mut wrong = Vec::new();
    for (dialect, result) in results {
        match result {
            Ok(seen) => {
                let found = seen.lines.windows(expected.len()).any(|lines| lines == expected);
                let word = if found { "as counted here" } else { "not as counted here" };
                println!("{dialect:<9}{:<38}{:<32}{word}", seen.id, seen.states.join(" > "));
                if !found || !seen.well {
                    wrong.push(format!("{dialect} was shown:\n{}", seen.lines.join("\n")));
                }
            }
            Err(message) => {
                println!("{dialect:<9}{:<38}{:<32}{message}", "-", "-");
                wrong.push(format!("{dialect}: {message}"));
            }
        }
    }
    println!("\n{}", expected.join("\n"));
    match (wrong.is_empty(), results.is_empty()) {
        (true, false) => Ok(()),
        (true, true) => Err("no dialect has a client in this demo".into()),
        (false, _) => Err(wrong.join("\n")),
    }
}

/// A directory of the demo's own, gone with it.
struct Workshop(PathBuf);

impl Workshop {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("batchlingua-demo-{}", Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        let dir = Self(path.canonicalize()?);
        fs::write(dir.0.join("wordcount.py"), PROGRAM)?;
        fs::write(dir.0.join("text.txt"), TEXT)?;
        Ok(dir)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn config(&self) -> String {
        let mut text = String::from("[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n");
        let path = |name: &str| quote(&self.0.join(name));
        let ledger = format!("sqlite://{}", self.file("ledger.db"));
        writeln!(text, "[ledger]\nurl = {}", quote(Path::new(&ledger))).expect("writing to a String does not fail");
        writeln!(text, "[limits]\nupload_dir = {}", path("uploads")).expect("as above");
        writeln!(text, "[log]\nlevel = \"warn\"").expect("as above");
        let dir = quote(&self.0);
        writeln!(text, "[backend.here]\nkind = \"local\"\ndir = {}\nallow_dirs = [{dir}]", path("jobs"))
            .expect("as above");
        text
    }
}

/// A JSON text is a TOML text.
fn quote(path: &Path) -> String {
    serde_json::Value::from(path.display().to_string().replace("${", "$${")).to_string()
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What stays behind is in the system's directory for what is temporary.
        let _ = fs::remove_dir_all(&self.0);
    }
}
