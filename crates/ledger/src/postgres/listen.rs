//! Hears what other replicas commit, on a connection of its own.
//!
//! What has come while one change was dealt with is dealt with together. A connection can be dead without a sign, so it is asked for one now and
//! then: that bounds how long a change can stay unheard. Whenever it is lost memory is not trusted, until it is heard again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio_postgres::Notification;

use super::{
    connection::{Connection, Fault},
    hot::{Hot, News, Trust},
    slot::Slot,
    tx::get_all,
};

pub(super) const CHANNEL: &str = "batchlingua";
/// How long a silent connection is believed.
const SILENCE: Duration = Duration::from_secs(1);
/// From so many rows on what else has come waits: nobody commits while they are read.
const TOGETHER: usize = 1_000;
/// How often it is seen that this is to end, and that the database is back.
const TURN: Duration = Duration::from_millis(50);

pub(super) struct Listener {
    is_over: Arc<AtomicBool>,
    wake: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Returns when it listens.
    pub(super) fn start(slot: Slot, hot: Arc<Hot>) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (wake, asleep) = mpsc::channel();
        let (tell, begun) = mpsc::channel();
        let over = is_over.clone();
        let thread = thread::Builder::new().name("ledger-listener".to_owned()).spawn(move || {
            listen(slot, &hot, &over, &asleep, tell);
        })?;
        let _ = begun.recv();
        Ok(Self { is_over, wake: Some(wake), thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's listener had panicked");
        }
    }
}

fn listen(mut slot: Slot, hot: &Hot, over: &AtomicBool, asleep: &mpsc::Receiver<()>, tell: mpsc::Sender<()>) {
    let mut tell = Some(tell);
    while !over.load(Ordering::Acquire) {
        let lost = match slot.get() {
            Ok((connection, _)) => match begin(connection, hot) {
                Ok(()) => {
                    drop(tell.take());
                    let lost = hear(connection, hot, over);
                    hot.is_now(Trust::None);
                    lost
                }
                Err(fault) => Some(fault),
            },
            // Nothing can be asked where this cannot either.
            Err(_) => {
                hot.is_now(Trust::Alone);
                None
            }
        };
        drop(tell.take());
        if let Some(fault) = lost {
            tracing::warn!(
                cause = fault.text(),
                "changes of other replicas are not heard; the database is asked instead of memory"
            );
        }
        // A pause that ends at once when this is to end.
        if asleep.recv_timeout(TURN) == Err(mpsc::RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn begin(connection: &Connection, hot: &Hot) -> Result<(), Fault> {
    connection.words(&format!("LISTEN {CHANNEL}"))?;
    let number = connection.words("SELECT pg_snapshot_xmax(pg_current_snapshot())")?;
    let number = number.first().and_then(|number| number.parse().ok());
    hot.listens(number.ok_or_else(|| Fault::Strange("no transaction number".to_owned()))?);
    Ok(())
}

/// Until the connection is lost.
fn hear(connection: &Connection, hot: &Hot, over: &AtomicBool) -> Option<Fault> {
    let mut silent = Duration::ZERO;
    while !over.load(Ordering::Acquire) {
        match connection.heard(TURN) {
            Ok(Some(notice)) => {
                if let Some((number, news)) = all_heard(&notice, connection, hot)
                    && let Err(error) = hot.hear(number, news, |rows| get_all(connection, rows))
                {
                    return Some(Fault::Lost(error.to_string()));
                }
            }
            Ok(None) => {
                silent += TURN;
                if silent >= SILENCE {
                    silent = Duration::ZERO;
                    if let Err(fault) = connection.words("SELECT 1") {
                        return Some(fault);
                    }
                }
            }
            Err(fault) => return Some(fault),
        }
    }
    None
}

/// With what has come since, as far as that is not too much at once.
fn all_heard(first: &Notification, connection: &Connection, hot: &Hot) -> Option<(u64, News)> {
    let mut heard = news_of(first.payload(), hot);
    while heard.as_ref().is_none_or(|(_, news)| news.rows.len() < TOGETHER)
        && let Some(notice) = connection.has_heard()
    {
        heard = match (heard, news_of(notice.payload(), hot)) {
            (Some((a, first)), Some((b, next))) => Some((a.max(b), first.and(next))),
            (first, next) => first.or(next),
        };
    }
    heard
}

/// What another replica says, and under which number.
fn news_of(payload: &str, hot: &Hot) -> Option<(u64, News)> {
    match parsed(payload) {
        Some((_, news)) if news.by == hot.writer.load(Ordering::Acquire) => None,
        // Of a later version, or nobody's.
        heard => Some(heard.unwrap_or_else(|| (0, News { all: true, ..News::default() }))),
    }
}

fn parsed(payload: &str) -> Option<(u64, News)> {
    let (number, news) = payload.split_once(' ')?;
    Some((number.parse().ok()?, serde_json::from_str(news).ok()?))
}
