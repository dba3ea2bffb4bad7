//! The command line.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::{
    auth::passwd,
    config::{Config, Faults},
    demo, descriptors,
    explain::{self, ExplainArgs},
    ledger::{self, LedgerArgs, Refusal},
    logging, print,
    server::Server,
};

/// A proxy between batch REST APIs: clients keep the API they know, jobs run where the operator decides.
#[derive(Debug, Parser)]
#[command(name = "batchlingua", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (also what no command does)
    Serve(ServeArgs),
    /// Start a proxy on free ports, run a real job through each dialect, and show what the clients saw
    Demo,
    /// Check a whole configuration file without serving; touches nothing
    Check {
        /// The file
        file: PathBuf,
    },
    /// Say what would become of a request: who asks what, where it would go, and what would be sent; sends nothing
    Explain(ExplainArgs),
    /// Look at the ledger, move it to another engine, tidy it, settle what nobody else can tell
    Ledger(LedgerArgs),
    /// Set a user's password in the password file, or take the user out
    Passwd {
        /// The user
        name: String,
        /// The password file, as `password_file` of [auth] names it
        #[arg(long, value_name = "FILE", default_value = passwd::DEFAULT_FILE)]
        file: PathBuf,
        /// Take the user out
        #[arg(long)]
        delete: bool,
    },
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The configuration file; without one: this machine as the backend, all dialects on 127.0.0.1:8998
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to write the addresses as JSON, once requests are taken
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Check { file } => check(&file),
        Command::Ledger(args) => match ledger::run(args) {
            Ok(code) => code,
            Err(Refusal::Config(faults)) => refuse(&faults),
            Err(Refusal::Other(message)) => fail(format_args!("{message}")),
        },
        Command::Passwd { name, file, delete } => change_password(&file, &name, delete),
        Command::Serve(args) => with_runtime(serve(args)),
        Command::Explain(args) => with_runtime(explain(args)),
        Command::Demo => with_runtime(demo::run()),
    }
}

fn with_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // A poll takes some 50 µs: more threads than this only fight for the same few locks.
        .worker_threads(cores.clamp(2, 4))
        .max_blocking_threads(64)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A blocking call that hangs, such as a read from a dead file system, must not hold the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => fail(format_args!("cannot start threads: {error}")),
    }
}

fn check(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => print::line(&format!("{}: ok\n{}", file.display(), config.summary())),
        Err(faults) => refuse(&faults),
    }
}

async fn explain(args: ExplainArgs) -> ExitCode {
    let config = match args.config().map_or_else(Config::without_file, Config::load) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    match explain::explain(args, config).await {
        Ok(code) => code,
        Err(fault) => fail(format_args!("{fault}")),
    }
}

fn change_password(file: &Path, name: &str, delete: bool) -> ExitCode {
    let changed = match delete {
        true => passwd::delete(file, name),
        false => passwd::ask(name).and_then(|password| passwd::set(file, name, &password)),
    };
    match changed {
        Ok(()) => {
            let done = if delete { "has no password any more" } else { "has a new password" };
            print::line(&format!("{}: '{name}' {done}", file.display()))
        }
        Err(fault) => fail(format_args!("{fault}")),
    }
}

async fn serve(args: ServeArgs) -> ExitCode {
    let began = Instant::now();
    let config = match &args.config {
        Some(file) => Config::load(file),
        None => Config::without_file(),
    };
    let config = match config {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    logging::init(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    descriptors::make_room(config.http.max_connections);
    // Before anything is started: from here on a signal is heard.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return fail(format_args!("cannot listen for signals: {error}")),
    };
    if let Some(path) = &args.ready_file {
        // One that a former process left would be taken for ours.
        let _ = std::fs::remove_file(path);
    }
    let server = tokio::select! {
        started = Server::start(config) => match started {
            Ok(server) => server,
            Err(error) => return fail(format_args!("{error}")),
        },
        () = signals.next() => return ExitCode::SUCCESS,
    };
    if let Some(path) = &args.ready_file
        && let Err(error) = write_ready_file(path, &server)
    {
        return fail(format_args!("{}: {error}", path.display()));
    }
    info!(duration_ms = began.elapsed().as_millis() as u64, "ready");
    signals.next().await;
    if server.stop(signals.next()).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whole or not at all: whoever waits for the file may read it at once.
fn write_ready_file(path: &Path, server: &Server) -> io::Result<()> {
    let listeners: Map<String, Value> =
        server.listeners().iter().map(|(name, address)| (name.to_string(), json!(address.to_string()))).collect();
    let admin = server.admin().map(|address| address.to_string());
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    std::fs::write(&unfinished, json!({ "listeners": listeners, "admin": admin }).to_string())?;
    std::fs::rename(&unfinished, path)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn refuse(faults: &Faults) -> ExitCode {
    eprintln!("{faults}");
    let (count, s) = (faults.faults.len(), if faults.faults.len() == 1 { "" } else { "s" });
    eprintln!("{}: {count} fault{s}; nothing was started", faults.file);
    ExitCode::FAILURE
}

fn fail(message: std::fmt::Arguments<'_>) -> ExitCode {
    eprintln!("batchlingua: {message}");
    ExitCode::FAILURE
}
