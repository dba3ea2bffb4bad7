//! One intent and the client that has it: how it submits, what it does about an answer that is none, how it follows its batch.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use batchlingua_testkit::faults::{Speech, mix, mix_text};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    audit::{Shown, Sight, Told, Verdict},
    door::Door,
    http::{Failed, Reply},
    voice,
};

/// Between two tries, and between two polls.
const PAUSE: Duration = Duration::from_millis(200);
/// Most tries of one client.
const TRIES: u32 = 40;
/// How long a client follows a batch, and how long it looks for one whose outcome it was not told.
const FOLLOWS: Duration = Duration::from_secs(60);
/// Of the clients so many in a thousand end their batch.
const CANCELS: u64 = 120;

/// What a client does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It never sends again after an answer that is none or that says that nobody knows. It looks for the id that it was told.
    Plain,
    /// Airflow's, where a task is tried again: the same unique name, until somebody has it.
    SameName,
    /// The same `Idempotency-Key`, until there is an answer.
    Key,
    /// Its own `kyuubi.batch.id`, until there is an answer.
    OwnId,
    /// The SDK's: again after what says that nothing was done, and never else.
    Sdk,
}

impl Habit {
    fn of(voice: Speech, dice: u64) -> Self {
        match (voice, dice % 3) {
            (_, 0) => Self::Key,
            (Speech::Livy, 1) => Self::SameName,
            (Speech::Kyuubi, 1) => Self::OwnId,
            (Speech::Dli, 1) => Self::Sdk,
            _ => Self::Plain,
        }
    }

    fn sends_again_unknown(self) -> bool {
        match self {
            Self::SameName | Self::Key | Self::OwnId => true,
            Self::Plain | Self::Sdk => false,
        }
    }
}

/// What is counted over all clients.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) unknown: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) found_accepted: AtomicU64,
    pub(crate) found_failed: AtomicU64,
    pub(crate) found_by_retry: AtomicU64,
    pub(crate) still_open: AtomicU64,
    pub(crate) without_end: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A client and its intent.
pub(crate) struct Client<'a> {
    pub(crate) door: &'a Door,
    pub(crate) counts: &'a Counts,
    pub(crate) label: String,
    voice: Speech,
    platform: Speech,
    habit: Habit,
    is_named: bool,
    own_id: Option<String>,
    dice: u64,
    /// Which replica is asked next: one half of the clients goes round, the others stay where they are answered.
    turn: usize,
    goes_round: bool,
    /// Whether a submit was sent of which it does not know what became.
    in_doubt: bool,
    was_unknown: bool,
    pub(crate) history: Vec<(Instant, String)>,
    sights: Vec<Sight>,
    pub(crate) id: Option<String>,
    cancel_asked: bool,
    has_deleted: bool,
}

/// What a client knows when it has done.
pub(crate) struct Done {
    pub(crate) told: Told,
    pub(crate) history: Vec<(Instant, String)>,
    pub(crate) voice: Speech,
    pub(crate) platform: Speech,
    /// The id that has to resolve for ever, if it was told one and has not deleted it.
    pub(crate) id: Option<String>,
}

pub(crate) const SPEECHES: [Speech; 3] = [Speech::Livy, Speech::Kyuubi, Speech::Dli];

/// Where a platform stands among them.
pub(crate) fn place(platform: Speech) -> usize {
    SPEECHES.iter().position(|speech| *speech == platform).expect("one of them")
}

/// What an answer to a poll shows, if it shows anything.
pub(crate) fn sight(voice: Speech, asked: Instant, replica: usize, reply: &Reply) -> Option<Sight> {
    let shown = match reply.status {
        200 => voice::shown(voice, &reply.body)?,
        404 => Shown::Absent,
        _ => return None,
    };
    let stale = reply.header("batchlingua-stale").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let stale = Duration::from_secs(stale);
    Some(Sight { asked, at: Instant::now(), replica, shown, stale, app: voice::app(&reply.body) })
}

impl<'a> Client<'a> {
    pub(crate) fn new(door: &'a Door, counts: &'a Counts, seed: u64, number: u64, same_only: bool) -> Self {
        let label = format!("soak-{number:06}");
        let dice = mix_text(seed, &label);
        let pick = |dice: u64| SPEECHES[usize::try_from(dice % 3).expect("below three")];
        let voice = pick(dice);
        let platform = if same_only { voice } else { pick(dice / 3) };
        let habit = Habit::of(voice, dice / 9);
        let own_id = (habit == Habit::OwnId).then(|| {
            let (high, low) = (mix(dice), mix(dice ^ 1));
            format!("{:08x}-{:04x}-4{:03x}-9000-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xfff, low >> 16)
        });
        let is_named = habit == Habit::SameName || !(dice / 27).is_multiple_of(4);
        Self {
            door,
            counts,
            label,
            voice,
            platform,
            habit,
            is_named,
            own_id,
            dice,
            turn: usize::from(dice & 1 == 1),
            goes_round: dice & 2 == 2,
            in_doubt: false,
            was_unknown: false,
            history: Vec::new(),
            sights: Vec::new(),
            id: None,
            cancel_asked: false,
            has_deleted: false,
        }
    }

    fn note(&mut self, what: String) {
        self.history.push((Instant::now(), what));
    }

    async fn call(
        &mut self,
        line: &str,
        headers: &[(&str, String)],
        body: Option<&Value>,
    ) -> (usize, Result<Reply, Failed>) {
        self.turn += usize::from(self.goes_round);
        let (replica, reply) = self.door.ask(self.turn, place(self.platform), line, headers, body).await;
        self.turn = replica;
        (replica, reply)
    }

    async fn ask(&mut self, line: &str) -> (usize, Result<Reply, Failed>) {
        let (replica, reply) = self.call(line, &[], None).await;
        let said = reply.as_ref().map_or_else(|failed| format!("{failed:?}"), Reply::short);
        let said = format!("{replica}: {said}");
        if self.history.last().is_none_or(|(_, last)| !last.ends_with(&said)) {
            self.note(format!("{line} at {said}"));
        }
        (replica, reply)
    }

    /// All that it does.
    pub(crate) async fn run(mut self) -> Done {
        let verdict = self.submit().await;
        let decided = Instant::now();
        if verdict == Verdict::Accepted {
            self.follow().await;
        }
        let told =
            Told { label: self.label, verdict, decided, cancel_asked: self.cancel_asked, sights: vec![self.sights] };
        let id = self.id.filter(|_| !self.has_deleted && verdict == Verdict::Accepted);
        Done { told, history: self.history, voice: self.voice, platform: self.platform, id }
    }

    async fn submit(&mut self) -> Verdict {
        let (line, body) = voice::submit(self.voice, &self.label, self.is_named, self.own_id.as_deref());
        let mut headers = vec![("X-Soak", format!("{:?}", self.platform).to_lowercase())];
        if self.habit == Habit::Key {
            headers.push(("Idempotency-Key", self.label.clone()));
        }
        for _ in 0..TRIES {
            let (replica, reply) = self.call(&line, &headers, Some(&body)).await;
            match reply {
                Err(Failed::NotConnected) => {}
                Err(Failed::Lost) => {
                    count(&self.counts.unanswered);
                    self.note(format!("submit at {replica}: no answer"));
                    self.in_doubt = true;
                    if !self.habit.sends_again_unknown() {
                        return Verdict::Open;
                    }
                }
                Ok(reply) => {
                    self.note(format!("submit at {replica}: {}", reply.short()));
                    if let Some(verdict) = self.judge(&reply).await {
                        return verdict;
                    }
                }
            }
            sleep(PAUSE).await;
        }
        if self.in_doubt { Verdict::Open } else { Verdict::Refused }
    }

    /// What it makes of an answer; nothing, if it is to be sent again.
    async fn judge(&mut self, reply: &Reply) -> Option<Verdict> {
        if reply.status < 300 {
            self.id = voice::id(&reply.body);
            if self.was_unknown {
                count(&self.counts.found_by_retry);
            }
            // A success that is none is no answer.
            self.in_doubt |= self.id.is_none();
            return Some(if self.id.is_some() { Verdict::Accepted } else { Verdict::Open });
        }
        if reply.header("batchlingua-outcome") == Some("unknown") {
            count(&self.counts.unknown);
            self.in_doubt = true;
            self.was_unknown = true;
            if self.habit.sends_again_unknown() {
                return None;
            }
            let id = reply.header("batchlingua-id").map(str::to_owned);
            return Some(match id {
                Some(id) => self.look_for(id).await,
                None => Verdict::Open,
            });
        }
        if reply.status == 400 && reply.text.contains("Duplicate session name") {
            return self.by_name().await;
        }
        if matches!(reply.status, 409 | 429) {
            return None;
        }
        count(&self.counts.refusals);
        match self.habit {
            Habit::Plain => Some(Verdict::Refused),
            Habit::SameName | Habit::Key | Habit::OwnId | Habit::Sdk => None,
        }
    }

    /// Somebody has its name, and the name is its own: so it is its batch, if it can be seen.
    async fn by_name(&mut self) -> Option<Verdict> {
        let reply = self.ask(&format!("GET /batches/{}", self.label)).await.1.ok()?;
        if reply.status != 200 {
            return None;
        }
        self.id = voice::id(&reply.body);
        self.id.is_some().then_some(Verdict::Accepted)
    }

    /// Under the id that it was given with the unknown outcome.
    async fn look_for(&mut self, id: String) -> Verdict {
        let line = format!("GET {}", voice::path(self.voice, &id));
        let until = Instant::now() + FOLLOWS;
        while Instant::now() < until {
            match self.ask(&line).await.1 {
                Ok(reply) if reply.status == 200 => {
                    count(&self.counts.found_accepted);
                    self.id = Some(id);
                    return Verdict::Accepted;
                }
                Ok(reply) if reply.status == 404 => {
                    count(&self.counts.found_failed);
                    return Verdict::RefusedLater;
                }
                Ok(_) | Err(_) => sleep(PAUSE).await,
            }
        }
        count(&self.counts.still_open);
        Verdict::Open
    }

    /// Until it has ended and was looked at once more.
    async fn follow(&mut self) {
        let Some(id) = self.id.clone() else { return };
        let path = voice::path(self.voice, &id);
        let wants_end = mix(self.dice) % 1_000 < CANCELS;
        let until = Instant::now() + FOLLOWS;
        let mut ended = 0;
        while ended < 2 {
            if Instant::now() > until {
                count(&self.counts.without_end);
                return;
            }
            let (asked, mut is_news) = (Instant::now(), false);
            if let (replica, Ok(reply)) = self.ask(&format!("GET {path}")).await
                && let Some(sight) = sight(self.voice, asked, replica, &reply)
            {
                let shown = sight.shown;
                // The answer to its DELETE was lost, and the DELETE was not: it is gone as it was asked for.
                if shown == Shown::Absent && self.has_deleted {
                    return;
                }
                is_news = self.sights.last().is_none_or(|last| last.shown != shown);
                self.sights.push(sight);
                if shown == Shown::Absent && !self.door.keeps_ids {
                    return;
                }
                ended += u32::from(matches!(shown, Shown::Ended(_) | Shown::Dead | Shown::Unknown));
                if wants_end && !self.cancel_asked && shown == Shown::Running && self.end(&path).await {
                    return;
                }
            }
            // What one replica has just shown first the next one is asked for at once.
            if !(is_news && self.goes_round) {
                sleep(PAUSE).await;
            }
        }
    }

    /// Whether the batch is no more its own.
    async fn end(&mut self, path: &str) -> bool {
        self.cancel_asked = true;
        let (_, reply) = self.ask(&format!("DELETE {path}")).await;
        // A Livy client has it forgotten, whatever the answer to that was.
        self.has_deleted = self.voice == Speech::Livy;
        self.has_deleted && reply.is_ok()
    }
}
