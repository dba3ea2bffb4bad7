//! `batchlingua ledger`: what an operator asks of the ledger, and does to it.
//!
//! What only reads works beside a running proxy. What writes needs the ledger for itself where it is a file; a database has room for it
//! beside the replicas. Nothing here reaches a backend. To settle a submit cannot wait until a proxy may be stopped: where one has the file, it is
//! asked to do it (`beside`).

mod beside;

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use batchlingua_core::{ByHand, Clock, Entry, Retention, SystemClock};
use batchlingua_ledger::{Archive, LedgerError, Options};
use batchlingua_router::Limits;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    config::{Config, Faults},
    print,
};

/// Rows that are dropped in one transaction.
const ROWS_AT_ONCE: usize = 500;

/// `batchlingua ledger`.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    /// The configuration file whose [ledger] it is; without one: what `serve` does without one
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Another ledger than the configuration's; a password is better left to ${ENV:…} there, or to PGPASSWORD
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List the batches, the oldest first
    List {
        /// Only submits whose outcome is not known
        #[arg(long)]
        open: bool,
        /// Only those of this backend
        #[arg(long, value_name = "NAME")]
        backend: Option<String>,
        /// One JSON object a line, as `export` writes it
        #[arg(long)]
        json: bool,
    },
    /// Show all that is kept of one batch
    Show {
        /// Its uuid, its integer, or its backend's own id
        id: String,
    },
    /// Write all of it as JSON Lines, for `import`
    Export {
        /// Where to; standard output without one
        file: Option<PathBuf>,
    },
    /// Take up what `export` wrote; into an empty ledger only
    Import {
        /// Where from; standard input without one
        file: Option<PathBuf>,
    },
    /// Drop what has been kept for long enough (keep_for) or has no room (max_rows), and give the space back
    Compact,
    /// Say what became of a submit that nobody else can tell about
    Settle {
        /// Its uuid or integer
        id: String,
        /// `accepted=ID`, with the backend's id of the job, or `failed`: it never went through
        #[arg(long = "as", value_name = "OUTCOME", value_parser = outcome)]
        settled: ByHand,
    },
}

fn outcome(text: &str) -> Result<ByHand, String> {
    match text.split_once('=') {
        Some(("accepted", native)) if !native.is_empty() => Ok(ByHand::Accepted(native.into())),
        None if text == "failed" => Ok(ByHand::Failed),
        _ => Err("must be accepted=ID, with the backend's id of the job, or failed".to_owned()),
    }
}

/// What ends a command before it has done anything.
pub(crate) enum Refusal {
    Config(Faults),
    Other(String),
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Other(match error {
            LedgerError::InUse { .. } => {
                format!(
                    "{error}. What only reads (list, show, export) works beside a running proxy; this needs it stopped"
                )
            }
            error => error.to_string(),
        })
    }
}

/// Does what the command line asks for.
pub(crate) fn run(args: LedgerArgs) -> Result<ExitCode, Refusal> {
    let config = args.config.as_deref().map_or_else(Config::without_file, Config::load).map_err(Refusal::Config)?;
    let url = args.url.unwrap_or(config.ledger.url);
    let options = Options { timeout: config.ledger.timeout, ..Options::default() };
    let look = || Archive::look(&url, &options);
    let take = || Archive::take(&url, &options);
    Ok(match args.deed {
        Deed::List { open, backend, json } => {
            let wanted = |entry: &Entry| backend.as_ref().is_none_or(|name| name == entry.backend.as_str());
            list(&mut look()?, open, wanted, json)?
        }
        Deed::Show { id } => {
            let mut archive = look()?;
            let entry = found(&mut archive, &id)?;
            let line: serde_json::Value = serde_json::from_str(&archive.line(entry.row)?).map_err(told)?;
            print::line(&format!("{line:#}"))
        }
        Deed::Export { file } => export(&mut look()?, file)?,
        Deed::Import { file } => {
            let count = match file {
                Some(file) => {
                    take()?.import(&mut BufReader::new(File::open(&file).map_err(|error| at(&file, error))?))?
                }
                None => take()?.import(&mut io::stdin().lock())?,
            };
            print::line(&format!("{count} rows imported"))
        }
        Deed::Compact => {
            let Limits { keep_for, max_rows, .. } = config.limits;
            let dropped = take()?.compact(&Retention::at(SystemClock.now(), keep_for, max_rows, ROWS_AT_ONCE))?;
            print::line(&format!("{dropped} rows dropped"))
        }
        Deed::Settle { id, settled } => match take() {
            Ok(mut archive) => settle(&mut archive, &id, &settled)?,
            Err(in_use @ LedgerError::InUse { .. }) => {
                let entry = found(&mut look()?, &id)?;
                beside::settle(config.admin, &entry, &settled, &in_use)?
            }
            Err(error) => return Err(error.into()),
        },
    })
}

fn told(error: impl std::fmt::Display) -> Refusal {
    Refusal::Other(error.to_string())
}

fn at(file: &std::path::Path, error: io::Error) -> Refusal {
    Refusal::Other(format!("{}: {error}", file.display()))
}

fn found(archive: &mut Archive, id: &str) -> Result<Entry, Refusal> {
    archive.find(id)?.ok_or_else(|| Refusal::Other(format!("no batch has the id '{id}'")))
}

fn list(archive: &mut Archive, open: bool, wanted: impl Fn(&Entry) -> bool, json: bool) -> Result<ExitCode, Refusal> {
    // Open submits are few, and found without looking at all rows.
    let each = |archive: &mut Archive, each: &mut dyn FnMut(&Entry) -> bool| match open {
        true => archive.open_intents().map(|found| _ = found.iter().all(each)),
        false => archive.each(each),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        let mut rows = Vec::new();
        each(archive, &mut |entry| {
            rows.extend(wanted(entry).then_some(entry.row));
            true
        })?;
        for row in rows {
            let line = archive.line(row)?;
            if let Err(error) = writeln!(out, "{line}") {
                return Ok(print::ended(Err(error)));
            }
        }
        return Ok(print::ended(out.flush()));
    }
    let mut written = Ok(());
    each(archive, &mut |entry| {
        if wanted(entry) {
            written = writeln!(out, "{}", shown(entry));
        }
        written.is_ok()
    })?;
    Ok(print::ended(written.and_then(|()| out.flush())))
}

/// One line of a list: ids, how far the submit is, the state, where, when, and what it is called.
fn shown(entry: &Entry) -> String {
    let batch = &entry.batch;
    let native = batch.id.native.as_ref().map_or("-", |native| native.as_str());
    let name = batch.spec.name.as_deref().unwrap_or("-");
    let (phase, state) = (entry.phase.as_str(), batch.state.as_str());
    let (uuid, ordinal, created) = (batch.id.uuid, batch.id.ordinal, batch.times.created.0);
    // A name may hold anything.
    format!(
        "{uuid} {ordinal:>7} {phase:<9} {state:<9} {} {} {created} {}",
        entry.backend,
        native.escape_debug(),
        name.escape_debug()
    )
}

fn export(archive: &mut Archive, file: Option<PathBuf>) -> Result<ExitCode, Refusal> {
    let Some(file) = file else {
        let mut out = Piped { out: BufWriter::new(io::stdout().lock()), ended: None };
        let done = archive.export(&mut out);
        return match (out.ended.take(), done) {
            (Some(error), _) => Ok(print::ended(Err(error))),
            (None, done) => Ok(done.map(|_| ExitCode::SUCCESS)?),
        };
    };
    // Who runs what is nobody else's business, and a file that is there is not written over.
    let mut options = File::options();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let made = options.open(&file).map_err(|error| at(&file, error))?;
    let count = archive.export(&mut BufWriter::new(&made))?;
    made.sync_all().map_err(|error| at(&file, error))?;
    Ok(print::line(&format!("{}: {count} rows", file.display())))
}

/// Remembers why writing ended, which may be no fault.
struct Piped<W> {
    out: W,
    ended: Option<io::Error>,
}

impl<W: Write> Write for Piped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| self.ended = Some(error.kind().into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.ended = Some(error.kind().into()))
    }
}

fn settle(archive: &mut Archive, id: &str, settled: &ByHand) -> Result<ExitCode, Refusal> {
    let entry = found(archive, id)?;
    let now = archive.settle(entry.row, settled).map_err(|error| match error {
        LedgerError::TwoRows { native, holder, .. } => match archive.entry(holder) {
            Ok(Some(holder)) => Refusal::Other(format!(
                "{native} on {} belongs to batch {} already: nothing was settled",
                holder.backend, holder.batch.id.uuid
            )),
            Ok(None) => Refusal::Other(format!("{native} on {} belongs to another batch", entry.backend)),
            Err(error) => error.into(),
        },
        error => error.into(),
    })?;
    // Where a log is kept of what a person did to the ledger, as of what clients did.
    let line = json!({
        "audit": "ledger settle", "batch.id": now.batch.id.uuid.to_string(), "backend": now.backend.as_str(),
        "phase": now.phase.as_str(), "native": now.batch.id.native.as_ref().map(|native| native.as_str()), "by": who(),
    });
    eprintln!("{line}");
    Ok(print::line(&format!("{} is {}", now.batch.id.uuid, now.phase.as_str())))
}

/// Who runs this command, as far as anybody can tell.
fn who() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "somebody".to_owned())
}
