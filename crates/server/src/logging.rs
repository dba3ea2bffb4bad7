//! The log: text for people or JSON for machines, on standard error.
//!
//! One line an event, logged where it is handled. Requests are at `debug`, since clients poll; one that failed on our side or was slow is
//! at `warn` with its cause. Every submit and control has a line of its own under the target `audit`, whatever came of it. Never a body, a
//! value of conf or a credential: names are masked as the ledger masks them. Nobody fills a disk by guessing passwords: refused logins have
//! so many lines a second, and a count of the others.

use std::{
    io::{IsTerminal, stderr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use batchlingua_core::{BackendName, BatchState, Phase, Unproven, redact};
use batchlingua_router::{AuditRecord, CallRecord, Observer, RefusedLogin, RequestRecord};
use tracing::{debug, info, warn};
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{LogConfig, LogFormat},
    metrics::Metrics,
};

/// Above this a request is worth a line in any log.
const SLOW: Duration = Duration::from_secs(1);
/// Most bytes of one text in a line.
const LONGEST_TEXT: usize = 2048;
/// Lines about refused logins in one second.
const REFUSED_A_SECOND: u32 = 10;

/// Begins the log of this process. A second call changes nothing.
pub fn init(config: &LogConfig) {
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let layer = match config.format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let begun = tracing_subscriber::registry().with(layer.with_filter(config.level.clone())).try_init();
    if begun.is_err() {
        debug!("the log has begun already");
    }
}

/// Tells metrics, log and audit what happens in the gateway.
pub struct Recorder {
    metrics: Arc<Metrics>,
    logins: LineRate,
}

impl Recorder {
    /// Tells these metrics, and this process's log.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, logins: LineRate::default() }
    }
}

impl Observer for Recorder {
    fn request(&self, record: &RequestRecord<'_>) {
        self.metrics.request(record.dialect, record.operation, record.status, record.duration);
        let RequestRecord { id: request, listener, dialect, operation, status, .. } = *record;
        let duration_ms = millis(record.duration);
        let error = record.error.map(|error| cut(redact::line(&error.detail())));
        let error = error.as_deref();
        if status >= 500 || record.duration > SLOW {
            warn!(target: "request", request, listener, dialect, operation, status, duration_ms, error, "slow or failed");
        } else {
            debug!(target: "request", request, listener, dialect, operation, status, duration_ms, error, "answered");
        }
    }

    fn refused(&self, login: &RefusedLogin<'_>) {
        let why = why_word(login.why);
        self.metrics.refused_login(login.listener, login.dialect.as_str(), why);
        let (request, listener, dialect) = (login.request, login.listener.as_str(), login.dialect.as_str());
        let claimed = login.claimed.map(shown_name);
        let claimed = claimed.as_deref();
        // Many clients come without credentials first, and again with them once they are asked.
        if login.why == Unproven::Nothing {
            debug!(target: "login", request, listener, dialect, why, "refused");
        } else if let Some(unsaid) = self.logins.take() {
            warn!(target: "login", request, listener, dialect, claimed, why, unsaid, "refused");
        }
    }

    fn call(&self, record: &CallRecord<'_>) {
        self.metrics.call(record.backend, record.call, record.outcome, record.duration);
        let CallRecord { backend, call, outcome, .. } = *record;
        debug!(target: "upstream", %backend, call, outcome, duration_ms = millis(record.duration), "called");
    }

    fn audit(&self, record: &AuditRecord<'_>) {
        let AuditRecord { ctx, action, outcome, .. } = *record;
        let name = record.name.map(|name| cut(redact::line(name)));
        let unmapped = (!record.unmapped.is_empty()).then(|| cut(record.unmapped.join(",")));
        info!(
            target: "audit",
            request = ctx.request.as_str(),
            who = &*ctx.principal.name,
            verified = ctx.principal.verified,
            dialect = ctx.dialect.as_str(),
            listener = ctx.listener.as_str(),
            action,
            batch = record.batch.map(tracing::field::display),
            backend = record.backend.map(BackendName::as_str),
            name = name.as_deref(),
            outcome,
            unmapped = unmapped.as_deref(),
            "audit"
        );
    }

    fn phase(&self, backend: &BackendName, phase: Phase) {
        self.metrics.phase(backend, phase);
    }

    fn state(&self, backend: &BackendName, state: BatchState) {
        self.metrics.state(backend, state);
    }
}

/// Lines that may come as often as somebody outside likes: so many a second are written, the others counted.
#[derive(Default)]
struct LineRate(Mutex<Window>);

#[derive(Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    unsaid: u64,
}

impl LineRate {
    /// Whether a line may be written now; with it, how many were not since the last one.
    fn take(&self) -> Option<u64> {
        let mut window = self.0.lock().expect("nothing panics while it holds this lock");
        if window.began.is_none_or(|began| began.elapsed() >= Duration::from_secs(1)) {
            (window.began, window.written) = (Some(Instant::now()), 0);
        }
        if window.written >= REFUSED_A_SECOND {
            window.unsaid += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.unsaid))
    }
}

fn why_word(why: Unproven) -> &'static str {
    match why {
        Unproven::Nothing => "nothing",
        Unproven::Unusable => "unusable",
        Unproven::Wrong => "wrong",
    }
}

/// A text that may have come from a client, and may be as long as a request. What is masked was masked before: half a secret is one too.
fn cut(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.replace_range(end.., &format!("… ({} bytes)", text.len()));
    }
    text
}

/// A name that somebody claims, short and without anything that looks like a secret's value.
fn shown_name(name: &str) -> String {
    redact::line(&name.chars().take(64).collect::<String>())
}

fn millis(duration: Duration) -> f64 {
    // A poll takes less than one; three digits are enough for anything.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use batchlingua_core::{Context, Error, Principal, Rights};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(act: impl FnOnce(&Recorder)) -> Vec<serde_json::Value> {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        let recorder = Recorder::new(Arc::new(Metrics::new(&[])));
        tracing::subscriber::with_default(subscriber, || act(&recorder));
        let bytes = memory.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(bytes).expect("a log is text");
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    }

    #[test]
    fn the_audit_names_who_what_and_where_and_masks_the_name() {
        let ctx = Context {
            request: "r-1".into(),
            dialect: "livy".into(),
            listener: "main".into(),
            principal: Principal::unverified("ana"),
            rights: Arc::new(Rights::all()),
            project: None,
            caller: None,
            client: None,
            trace: None,
            deadline: Instant::now(),
        };
        let lines = lines_of(|recorder| {
            recorder.audit(&AuditRecord {
                ctx: &ctx,
                action: "submit",
                batch: None,
                backend: Some(&"here".into()),
                name: Some("load password=s3cr3t"),
                outcome: "ok",
                unmapped: &["queue".to_owned(), "driver_memory".to_owned()],
            });
        });
        let [line] = lines.as_slice() else { panic!("one line") };
        for (key, value) in [
            ("target", "audit"),
            ("who", "ana"),
            ("action", "submit"),
            ("backend", "here"),
            ("unmapped", "queue,driver_memory"),
        ] {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!(line["verified"], false);
        assert!(!line.to_string().contains("s3cr3t"), "{line}");
    }

    #[test]
    fn refused_logins_are_told_with_the_claimed_name_and_do_not_fill_the_log() {
        let listener = "main".into();
        let dialect = "livy".into();
        let long = "x".repeat(500);
        let login =
            |claimed, why| RefusedLogin { request: "r-1", listener: &listener, dialect: &dialect, claimed, why };
        let lines = lines_of(|recorder| {
            recorder.refused(&login(None, Unproven::Nothing));
            recorder.refused(&login(Some("ana password=s3cr3t"), Unproven::Wrong));
            recorder.refused(&login(Some(&long), Unproven::Unusable));
            (0..100).for_each(|_| recorder.refused(&login(Some("eve"), Unproven::Wrong)));
        });
        let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap_or_default()).collect();
        assert_eq!(levels[..2], ["DEBUG", "WARN"], "whoever shows nothing is usual");
        // A slow machine may begin another second.
        assert!((11..40).contains(&levels.len()), "{levels:?}");
        assert_eq!((lines[1]["target"].as_str(), lines[1]["why"].as_str()), (Some("login"), Some("wrong")));
        assert!(lines[1]["claimed"].as_str().is_some_and(|name| name.starts_with("ana") && !name.contains("s3cr3t")));
        assert_eq!(lines[2]["claimed"].as_str().map(str::len), Some(64));
    }

    #[test]
    fn a_client_cannot_fill_the_log_with_one_text() {
        let error = Error::invalid("batchType", format!("{} is no type; password=s3cr3t", "é".repeat(1_000_000)));
        let record = RequestRecord {
            id: "r-1",
            listener: "main",
            dialect: "kyuubi",
            operation: "submit",
            status: 500,
            duration: Duration::ZERO,
            error: Some(&error),
        };
        let lines = lines_of(|recorder| recorder.request(&record));
        let told = lines[0]["error"].as_str().expect("an error");
        assert!(told.len() < 2 * LONGEST_TEXT && told.ends_with(" bytes)"), "{told}");
        assert_eq!(cut("short".to_owned()), "short");
    }

    #[test]
    fn only_requests_that_went_wrong_are_warned_of() {
        let error = Error::internal("disk full at /dev/sda1");
        let record = |status, error| RequestRecord {
            id: "r-1",
            listener: "main",
            dialect: "livy",
            operation: "get",
            status,
            duration: Duration::from_millis(1),
            error,
        };
        let lines = lines_of(|recorder| {
            recorder.request(&record(404, None));
            recorder.request(&record(500, Some(&error)));
        });
        assert_eq!(lines[0]["level"], "DEBUG");
        assert_eq!(lines[1]["level"], "WARN");
        assert!(
            lines[1]["error"].as_str().is_some_and(|error| error.ends_with("disk full at /dev/sda1")),
            "{}",
            lines[1]
        );
    }
}
