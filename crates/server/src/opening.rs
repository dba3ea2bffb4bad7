//! Opening the ledger, and waiting for it where waiting helps.
//!
//! A node may boot before its database, or both after a power failure: so a proxy whose database nobody answers for waits, for as long as it takes,
//! alive and not ready. What no waiting mends ends the start at once: a wrong password, a database that is not there, tables of a newer program, a
//! certificate that is not trusted.
//!
//! Meanwhile no client may knock. One whose connection waited in the kernel's queue would have its submit done when the database is back, long
//! after it had given up and sent it to somebody else. A refused connection says that nothing was sent.

use std::{sync::Arc, time::Duration};

use batchlingua_core::Ledger;
use batchlingua_ledger::{LedgerError, Options};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::config::LedgerConfig;

/// How long a ledger may still be in use when it is opened. A process that is killed while it starts a job leaves its locks to that child until
/// the child has become another program, and whoever starts the next proxy at once would find them taken.
const LAST_HOLDER: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long after each other a database that is away is looked for, at first and later; each look may itself take `timeout`.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often the log says that the database is still away.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Opens the ledger. `away` is told why, each time that its database does not answer.
pub(crate) async fn open(
    config: LedgerConfig,
    lease: Duration,
    mut away: impl FnMut(&LedgerError),
) -> Result<Arc<dyn Ledger>, LedgerError> {
    let LedgerConfig { url, first_ordinal, cache_rows, timeout, connections: readers } = config;
    let (cache_entries, list_rows) = (cache_rows, cache_rows);
    let options = Options {
        first_ordinal,
        cache_entries,
        list_rows,
        timeout,
        readers,
        // Who takes a submit over holds it for as long as who sends one.
        claim_lease: lease,
        ..Options::default()
    };
    let (began, mut in_use_is_told) = (Instant::now(), false);
    let (mut pause, mut told) = (FIRST_PAUSE, Told::default());
    loop {
        let (url, options) = (url.clone(), options.clone());
        let open = move || batchlingua_ledger::open(&url, options);
        match tokio::task::spawn_blocking(open).await.expect("opening a ledger does not panic") {
            Err(LedgerError::InUse { .. }) if began.elapsed() < LAST_HOLDER => {
                if !in_use_is_told {
                    info!("the ledger is still in use; waiting");
                    in_use_is_told = true;
                }
                sleep(ASK_AGAIN).await;
            }
            Err(error @ LedgerError::Away { .. }) => {
                away(&error);
                told.tell(&error, began);
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            opened => {
                if opened.is_ok() && told.last.is_some() {
                    info!(waited_ms = began.elapsed().as_millis() as u64, "the ledger's database is there");
                }
                return opened;
            }
        }
    }
}

/// What the log has last said of a database that is away.
#[derive(Default)]
struct Told {
    last: Option<(Instant, String)>,
}

impl Told {
    /// At first, when there is another reason, and now and then.
    fn tell(&mut self, error: &LedgerError, began: Instant) {
        let cause = error.to_string();
        if self.last.as_ref().is_some_and(|(at, said)| *said == cause && at.elapsed() < SAY_AGAIN) {
            return;
        }
        let waited_s = began.elapsed().as_secs();
        warn!(cause, waited_s, "waiting for the ledger's database: not ready, and clients are refused");
        self.last = Some((Instant::now(), cause));
    }
}
