//! How a group of writes becomes one transaction of the database, and how this replica's stand back behind those of the others: see
//! [`crate::writer`].
//!
//! Across replicas writing transactions go one after the other: each takes the same advisory lock first, and only then looks at anything. So the
//! rules are as alone here as they are on one file, and none of them has to be tried again; with SERIALIZABLE instead, every two submits would
//! collide at the counter of ordinals. A replica that hangs inside is ended by the database (`idle_in_transaction_session_timeout`), one that is
//! killed at once.
//!
//! A connection that is lost while a COMMIT is on its way leaves the question whether it was done. The transaction's number answers it, on
//! the next connection (`pg_xact_status`). Where there is none in time, the writes are refused, so nothing is sent upstream; and if it
//! comes out that they were done after all, the intents among them are closed as never sent.

use std::{
    io,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicI64, Ordering},
        mpsc::RecvTimeoutError,
    },
    thread,
    time::{Duration, Instant},
};

use batchlingua_core::{Clock, Health, Lease, Millis, Phase, Uuid, Verdict};

use super::{
    connection::{Connection, Fault, Order},
    hot::{Hot, News},
    listen::CHANNEL,
    schema::WRITING,
    slot::Slot,
    tx::{Counters, Tx},
    value::Value,
};
use crate::{
    cache::Changes,
    kept::Moved,
    rules::Rules,
    writer::{self, Condition, Failed, LastWord, Queue, Store, Writer},
};

/// How often an idle writer sees that its database is there, and how often a refused one sees whether it is back.
const IDLE: Duration = Duration::from_secs(2);
const AWAY: Duration = Duration::from_millis(100);

const BEGIN: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    (SELECT value FROM counters WHERE name = 'row'), (SELECT value FROM counters WHERE name = 'ordinal'); SAVEPOINT job";
const NEXT: &str = "RELEASE SAVEPOINT job; SAVEPOINT job";
const TELL: &str = "SELECT pg_notify(?, pg_current_xact_id()::text || ' ' || ?)";
const NUMBER: &str = "SELECT pg_current_xact_id()::text";

/// The database's time, as it was when the last transaction began: the one time that all replicas agree on.
pub(super) struct DatabaseClock {
    own: Arc<dyn Clock>,
    ahead: AtomicI64,
}

impl DatabaseClock {
    pub(super) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, ahead: AtomicI64::new(0) }
    }

    fn is(&self, now: i64) {
        self.ahead.store(now - self.own.now().0, Ordering::Release);
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Millis {
        Millis(self.own.now().0 + self.ahead.load(Ordering::Acquire))
    }
}

/// PostgreSQL, to the writer.
pub(super) struct Postgres;

impl Store for Postgres {
    type Tx<'t> = Tx<'t>;
}

type Job = Box<dyn writer::Job<Postgres>>;

/// What the writer works with.
pub(super) struct Tools {
    pub(super) slot: Slot,
    pub(super) hot: Arc<Hot>,
    pub(super) rules: Arc<Rules>,
    pub(super) clock: Option<Arc<DatabaseClock>>,
    pub(super) group: usize,
    /// How long an unknown commit is asked about while its writers wait.
    pub(super) within: Duration,
}

pub(super) fn start(tools: Tools) -> io::Result<Writer<Postgres>> {
    Writer::start(move |queue, condition| Work { tools, condition, unknown: None }.run(queue))
}

/// Intents whose writer was told that they are not there.
struct Disown {
    rules: Arc<Rules>,
    intents: Vec<Lease>,
}

impl writer::Job<Postgres> for Disown {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), Failed> {
        for lease in &self.intents {
            let why = "the ledger did not say in time that it was written, so nothing was sent";
            match self.rules.settle(tx, lease, &Verdict::Failed(why.to_owned())) {
                Ok(entry) => {
                    tracing::warn!(batch.id = %entry.batch.id.uuid, "a submit that was refused had been written; it is closed as never sent")
                }
                Err(error) if error.is_of_the_store() => return Err(Failed::from(&error)),
                // Somebody has taken it over, or a person has settled it.
                Err(_) => {}
            }
        }
        tx.flush().map_err(|error| Failed::from(&error))
    }

    fn answer(self: Box<Self>, _: Option<Arc<str>>) {}
}

/// A commit of which nobody knows whether it was done.
struct Unknown {
    number: u64,
    intents: Vec<Lease>,
}

/// What a transaction has changed.
struct Done {
    changes: Changes,
    moved: Vec<Moved>,
}

/// What has become of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    NotDone,
    OnItsWay,
}

struct Work {
    tools: Tools,
    condition: Arc<Condition>,
    unknown: Option<Unknown>,
}

impl Work {
    fn run(&mut self, queue: &Queue<Postgres>) {
        loop {
            let pause = if self.condition.is() == Health::Good { IDLE } else { AWAY };
            match queue.recv_timeout(pause) {
                Ok(first) => self.work(writer::group(first, queue, self.tools.group)),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn work(&mut self, mut group: Vec<Job>) {
        let condition = self.condition.clone();
        let _last_word = LastWord(&condition);
        let lost = self.settle_unknown().and_then(|()| self.commit(&mut group)).err().map(|fault| fault.text());
        condition.tell(lost.clone(), true);
        let lost: Option<Arc<str>> = lost.map(Into::into);
        for job in group {
            job.answer(lost.clone());
        }
    }

    /// Nobody asks for anything: is the database there?
    fn look(&mut self) {
        let seen = self.settle_unknown().and_then(|()| {
            let (connection, is_new) = self.tools.slot.get()?;
            if is_new { Ok(()) } else { connection.words("SELECT 1").map(drop) }
        });
        self.condition.tell(seen.err().map(|fault| fault.text()), true);
    }

    /// What was left open is closed before anything else is written.
    fn settle_unknown(&mut self) -> Result<(), Fault> {
        let Some(Unknown { number, .. }) = self.unknown else { return Ok(()) };
        match self.fate(number)? {
            Fate::OnItsWay => return Err(Fault::Lost("an earlier commit is still on its way".to_owned())),
            Fate::NotDone => self.unknown = None,
            Fate::Done => {
                let intents =
                    self.unknown.as_mut().map(|unknown| std::mem::take(&mut unknown.intents)).unwrap_or_default();
                let mut group: [Job; 1] =
                    [Box::new(Disown { rules: self.tools.rules.clone(), intents: intents.clone() })];
                let done = self.commit(&mut group);
                if done.is_err() {
                    // This may be unknown itself by now; it is about the same rows, and to close them twice changes nothing.
                    self.unknown = Some(Unknown { number, intents });
                    return done;
                }
                self.unknown = None;
            }
        }
        // What is in memory may be of before that commit.
        self.tools.hot.clear();
        Ok(())
    }

    fn commit(&mut self, group: &mut [Job]) -> Result<(), Fault> {
        let Tools { slot, hot, clock, .. } = &mut self.tools;
        let (connection, is_new) = slot.get()?;
        if is_new {
            hot.writer.store(Uuid::new_v4().as_u64_pair().0, Ordering::Release);
        }
        let by = hot.writer.load(Ordering::Acquire);
        let prepared = begin(connection, clock.as_deref()).and_then(|counters| run(connection, counters, group, by));
        let (number, Done { changes, moved }) = match prepared {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return connection.words("ROLLBACK").map(drop),
            Err(fault) => {
                // Else all after it would fail too. It may have failed for good.
                let _ = connection.words("ROLLBACK");
                return Err(fault);
            }
        };
        let gate = hot.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match connection.words("COMMIT") {
            Ok(_) => hot.publish(number, changes, Some(moved)),
            Err(fault @ Fault::Lost(_)) => {
                // Who reads meanwhile may see it or not.
                drop(gate);
                self.ask_about(number, &changes, fault)?;
                self.tools.hot.publish(number, changes, None);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Whether a commit was done whose answer was lost; an error if it was not, or if that cannot be told in time.
    fn ask_about(&mut self, number: u64, changes: &Changes, lost: Fault) -> Result<(), Fault> {
        let until = Instant::now() + self.tools.within;
        loop {
            match self.fate(number) {
                Ok(Fate::Done) => return Ok(()),
                Ok(Fate::NotDone) => return Err(lost),
                Ok(Fate::OnItsWay) | Err(_) if Instant::now() < until => thread::sleep(AWAY),
                Ok(Fate::OnItsWay) | Err(_) => break,
            }
        }
        let is_fresh = |phase: Phase| matches!(phase, Phase::Intended | Phase::Sending);
        let intents =
            changes.rows.iter().filter(|row| row.revision == 1 && row.fence == 1 && is_fresh(row.entry.phase));
        let intents = intents.map(|row| Lease { row: row.id(), fence: row.fence, until: Millis::default() }).collect();
        self.unknown = Some(Unknown { number, intents });
        Err(Fault::Lost(format!("the connection was lost during a commit: {}", lost.text())))
    }

    fn fate(&mut self, number: u64) -> Result<Fate, Fault> {
        let (connection, is_new) = self.tools.slot.get()?;
        if is_new {
            // What the lost connection has committed is told as another's.
            self.tools.hot.writer.store(Uuid::new_v4().as_u64_pair().0, Ordering::Release);
        }
        let word = connection.words(&format!("SELECT pg_xact_status('{number}'::xid8)"))?;
        Ok(match word.first().map(String::as_str) {
            Some("committed") => Fate::Done,
            Some("in progress") => Fate::OnItsWay,
            // Too old to be remembered is what no transaction is that was begun a moment ago, on the same server.
            _ => Fate::NotDone,
        })
    }
}

/// Behind all others that write; the counters as they stand then.
pub(super) fn begin(connection: &Connection, clock: Option<&DatabaseClock>) -> Result<Counters, Fault> {
    let cells = connection.words(&format!("BEGIN ISOLATION LEVEL READ COMMITTED; {WRITING}; {BEGIN}"))?;
    let cell = |at: usize| cells.get(at).and_then(|cell| cell.parse::<i64>().ok());
    let (Some(now), Some(row), Some(ordinal)) = (cell(0), cell(1), cell(2)) else {
        return Err(Fault::Strange("the counters are not there".to_owned()));
    };
    if let Some(clock) = clock {
        clock.is(now);
    }
    Ok(Counters { row, ordinal })
}

/// All of the group that went well, ready to be committed: under which number, and what it changed. `None`: nothing was written.
fn run(
    connection: &Connection,
    mut counters: Counters,
    group: &mut [Job],
    by: u64,
) -> Result<Option<(u64, Done)>, Fault> {
    let at_first = counters;
    let (mut changes, mut wrote) = (Changes::default(), false);
    let mut moved = Vec::new();
    // Whether the savepoint is a job's own; else the first that is sent makes one.
    let mut is_first = true;
    for job in group {
        let before = if is_first { Vec::new() } else { vec![Order::Words(NEXT)] };
        let mut tx = Tx::new(connection, counters, before);
        if job.run(&mut tx).is_ok() {
            wrote |= tx.wrote;
            counters = tx.counters;
            changes.rows.append(&mut tx.changes.rows);
            changes.removed.append(&mut tx.changes.removed);
            changes.ids.append(&mut tx.changes.ids);
            moved.append(&mut tx.moved);
            is_first = false;
        } else if tx.sent {
            connection.words("ROLLBACK TO SAVEPOINT job")?;
            // What stands there is its savepoint, for the next one to use.
            is_first = true;
        }
    }
    if !wrote && counters == at_first {
        return Ok(None);
    }
    let number = finish(connection, (at_first, counters), &changes, by)?;
    Ok(Some((number, Done { changes, moved })))
}

/// All but the commit itself: the counters, the news for the others, and under which number it will be.
pub(super) fn finish(
    connection: &Connection,
    (at_first, counters): (Counters, Counters),
    changes: &Changes,
    by: u64,
) -> Result<u64, Fault> {
    let mut orders: Vec<Order> = if counters == at_first { Vec::new() } else { counters.write().into() };
    for news in News::of(by, changes) {
        let text = serde_json::to_string(&news).map_err(|error| Fault::Strange(error.to_string()))?;
        orders.push(Order::Prepared(TELL, vec![CHANNEL.into(), Value::Text(text)]));
    }
    let number = connection.all(&orders, Some((NUMBER, &[])))?;
    let number = number.first().and_then(|row| row.try_get::<_, String>(0).ok()?.parse().ok());
    number.ok_or_else(|| Fault::Strange("no transaction number".to_owned()))
}
