//! The command: a configuration, a request in a file, an explanation on standard output.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use batchlingua_core::SystemClock;
use batchlingua_router::{Gateway, GatewayParts, Silent};
use batchlingua_wire::BodyError;
use bytes::{Bytes, BytesMut};
use clap::Args;
use futures_util::{Stream, stream};
use tokio::{fs::File, io::AsyncReadExt};

use super::{Door, Explainer, Wanted, json, text};
use crate::{
    auth::Guard,
    config::Config,
    print,
    server::{StartError, listener_parts, open_backends},
};

/// Read at once.
const PIECE: usize = 64 << 10;

/// `batchlingua explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The configuration file; without one: what `serve` does without one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The request: its first line, its headers, a blank line, its body
    #[arg(value_name = "REQUEST.http")]
    request: PathBuf,
    /// Answer as one JSON object
    #[arg(long)]
    json: bool,
    /// The listener that it goes to; otherwise the one whose port its Host has, or the only one
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Explain it as if this user had sent it, whatever it shows
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl ExplainArgs {
    /// The configuration that counts.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// Explains, and prints the explanation. What went wrong before there was one is the error.
pub async fn explain(args: ExplainArgs, config: Config) -> Result<ExitCode, String> {
    let shown = args.request.display();
    let unreadable = |error: std::io::Error| format!("{shown}: cannot be read: {error}");
    let file = File::open(&args.request).await.map_err(unreadable)?;
    if file.metadata().await.map_err(unreadable)?.is_dir() {
        return Err(format!("{shown}: is a folder, not a request"));
    }
    // Uploads lie here until they are explained, and not where a running proxy has its own.
    let uploads = tempfile::tempdir().map_err(|error| format!("no folder for uploaded files can be made: {error}"))?;
    let explainer = explainer(config, uploads.path()).await.map_err(|error| error.to_string())?;
    let wanted = Wanted { listener: args.listener, user: args.user };
    let explained = explainer.explain(pieces(file), &wanted).await.map_err(|fault| format!("{shown}: {fault}"))?;
    let printed = match args.json {
        true => print::line(&format!("{:#}", json(&explained))),
        false => print::text(&text(&explained)),
    };
    Ok(if explained.explanation.verdict.is_refusal() { ExitCode::FAILURE } else { printed })
}

/// The proxy of a configuration, with neither sockets nor a ledger of its own, and never begun.
async fn explainer(config: Config, uploads: &Path) -> Result<Explainer, StartError> {
    let clock = Arc::new(SystemClock);
    let mut limits = config.limits;
    limits.upload.dir = uploads.to_owned();
    let gateway = Gateway::new(GatewayParts {
        dialects: config.dialects,
        backends: open_backends(config.backends, &clock).await?,
        routing: config.routing,
        ledger: batchlingua_ledger::open("memory:", batchlingua_ledger::Options::default())?,
        clock,
        observer: Arc::new(Silent),
        limits,
    });
    let guard = config.auth.map(|auth| Arc::new(Guard::new(auth, Arc::new(SystemClock))));
    let doors = config.listeners.into_iter().map(|listener| Door {
        name: listener.name.clone(),
        address: listener.address,
        guard: guard.clone().filter(|_| listener.auth),
        service: gateway.listener(listener_parts(listener.clone(), listener.address, guard.as_ref())),
    });
    Ok(Explainer::new(doors.collect(), config.http.max_header))
}

fn pieces(file: File) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + Unpin {
    Box::pin(stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await.map_err(|error| BodyError(error.to_string()))?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    }))
}
