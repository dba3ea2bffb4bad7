//! `[limits]`, `[ledger]` and `[log]`: numbers and words that stand for themselves.

use std::time::Duration;

use batchlingua_router::Limits;
use batchlingua_wire::{FormLimits, Settings};
use tracing_subscriber::filter::Targets;

use super::{
    LedgerConfig, LogConfig, LogFormat,
    read::{bytes, close, count, time, time_or_none, word},
};

/// The bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Most bytes of a request's head.
    pub max_header: usize,
    /// Most connections of all listeners together; more wait to be accepted.
    pub max_connections: usize,
    /// How long a head may take to come, from its first byte; and the first byte of a new connection.
    pub header_read_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_timeout: Duration,
    /// How long connections are still taken after readiness is gone.
    pub drain_delay: Duration,
    /// How long a shutdown then waits for what is in flight.
    pub drain_max: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            // Livy's own server takes as much.
            max_header: 128 << 10,
            max_connections: 1024,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            drain_max: Duration::from_secs(30),
        }
    }
}

const MOST: u64 = 1_000_000;

/// `[limits]`.
pub(super) fn limits(root: &mut Settings) -> (Limits, HttpLimits) {
    let (limits, http) = (Limits::default(), HttpLimits::default());
    let mut table = root.table("limits");
    let s = &mut table;
    // Below 8 KiB hyper has no buffer; above 1 MiB a thousand connections would not fit into memory.
    let max_header = bytes(s, "max_header", http.max_header as u64, 8 << 10..=1 << 20) as usize;
    let http = HttpLimits {
        max_header,
        max_connections: count(s, "max_connections", http.max_connections, MOST),
        header_read_timeout: time(s, "header_read_timeout", http.header_read_timeout),
        idle_timeout: time(s, "idle_timeout", http.idle_timeout),
        write_timeout: time(s, "write_timeout", http.write_timeout),
        drain_delay: time_or_none(s, "drain_delay", http.drain_delay),
        drain_max: time(s, "drain_max", http.drain_max),
    };
    // Handed down to the dialects, which read bodies; read here for its bounds.
    s.integer("json_depth", 64, 1..=1_000);
    let max_body = bytes(s, "max_body", limits.max_body as u64, 1 << 10..=1 << 30) as usize;
    let upload = FormLimits {
        dir: s.text("upload_dir").map_or(limits.upload.dir, Into::into),
        max_parts: count(s, "max_parts", limits.upload.max_parts, MOST),
        max_values: max_body,
        max_files: bytes(s, "max_upload", limits.upload.max_files, 0..=1 << 50),
    };
    let limits = Limits {
        max_body,
        body_read_timeout: time(s, "body_read_timeout", limits.body_read_timeout),
        min_body_rate: bytes(s, "min_body_rate", limits.min_body_rate, 1..=1 << 30),
        request_timeout: time(s, "request_timeout", limits.request_timeout),
        submit_wait: time(s, "submit_wait", limits.submit_wait),
        cancel_wait: time(s, "cancel_wait", limits.cancel_wait),
        lease: time(s, "lease", limits.lease),
        max_in_flight: count(s, "max_in_flight", limits.max_in_flight, MOST),
        stale_for: s.duration("stale_for", limits.stale_for),
        unknown_after: time(s, "unknown_after", limits.unknown_after),
        sweep: time(s, "sweep", limits.sweep),
        list_freshness: s.duration("list_freshness", limits.list_freshness),
        upload,
        ..Limits::default()
    };
    if upload_dir_is_empty(&limits) {
        s.fault("upload_dir", "must be a directory");
    }
    close(root, table);
    (limits, http)
}

fn upload_dir_is_empty(limits: &Limits) -> bool {
    limits.upload.dir.as_os_str().is_empty()
}

/// Ordinals are below 2^31, so there are never more.
const MOST_ROWS: u64 = i32::MAX as u64;

/// `[ledger]`.
pub(super) fn ledger(root: &mut Settings, limits: &mut Limits) -> LedgerConfig {
    let mut table = root.table("ledger");
    let url = table.text("url").unwrap_or_else(|| "sqlite://batchlingua-data/ledger.db".into());
    if let Err(fault) = batchlingua_ledger::check_url(&url) {
        table.fault("url", fault.to_string());
    }
    let timeout = time(&mut table, "timeout", batchlingua_ledger::TIMEOUT);
    let connections = count(&mut table, "connections", batchlingua_ledger::READERS, 100);
    let first_ordinal = table.integer("first_ordinal", 1, 0..=i32::MAX as u64) as u32;
    limits.keep_for = time(&mut table, "keep_for", limits.keep_for);
    // 0: as many as there are.
    let most = table.integer("max_rows", 0, 0..=MOST_ROWS);
    limits.max_rows = (most > 0).then_some(most);
    let usual = batchlingua_ledger::CACHE_ENTRIES as u64;
    let cache_rows = table.integer("cache_rows", usual, 100..=10_000_000) as usize;
    close(root, table);
    LedgerConfig { url, first_ordinal, cache_rows, timeout, connections }
}

/// `[log]`.
pub(super) fn log(root: &mut Settings) -> LogConfig {
    let mut table = root.table("log");
    let format = word(&mut table, "format", LogFormat::Text, &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let level = table.text("level").unwrap_or_else(|| "info".into());
    let level = level.parse::<Targets>().ok().filter(|_| !level.is_empty()).unwrap_or_else(|| {
        table.fault(
            "level",
            format!("must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or such as \"info,audit=off\", not \"{level}\""),
        );
        Targets::default()
    });
    close(root, table);
    LogConfig { format, level }
}
