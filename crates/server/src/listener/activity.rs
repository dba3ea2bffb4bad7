//! What a connection is doing, and until when it may.
//!
//! hyper has one timer for heads, and it runs while a connection waits for its next request too: with it, the time that a client gets to
//! send a head and the time that it may keep an idle connection are the same. They should not be (10 s against 75 s by default), so hyper's
//! timer is off and the connection is watched from outside: its bytes tell when a head begins, the service when a request is in work, and
//! the answer's body when it is over. Nothing is armed or cancelled on the way of a request; the connection's one timer looks here when it
//! rings.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::HttpLimits;

/// How long what a refused client still sends is read and thrown away. Closing a socket with unread bytes resets it, and a reset destroys
/// the answer that says why; a client that sends a large body looks for an answer only after some of it.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    New,
    /// A head has begun.
    Head,
    /// A request is in work.
    Busy,
    /// The last answer is over.
    Idle,
    /// It is closed for writing, and what still comes is thrown away.
    Lingering,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    write_stuck: Option<Instant>,
    unread: Unread,
    /// The process is about to end.
    last: bool,
}

/// What of the last request's body was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    /// Nothing.
    None,
    /// So little that it came with the head: hyper skips it and goes on.
    Little,
    /// More, or nobody knows how much: hyper gives the connection up.
    Much,
}

/// As much as comes with a head: hyper's first read.
const LITTLE: u64 = 4 << 10;

/// Why a connection is ended by its timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Head,
    Idle,
    Write,
    Linger,
}

/// What one connection is doing, told by its pieces and asked by its timer.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let state =
            State { phase: Phase::New, since: Instant::now(), write_stuck: None, unread: Unread::None, last: false };
        Arc::new(Self(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }

    /// Bytes came. Those of a body come while the request is in work.
    pub(super) fn received(&self) {
        let mut state = self.state();
        match state.phase {
            Phase::New | Phase::Idle => state.enter(Phase::Head),
            Phase::Head | Phase::Busy | Phase::Lingering => {}
        }
    }

    /// A head is complete; the request is in work until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InWork {
        let mut state = self.state();
        state.enter(Phase::Busy);
        state.unread = Unread::None;
        drop(state);
        InWork(self.clone())
    }

    /// The client does not take what is written, or has taken some.
    pub(super) fn write_stuck(&self, stuck: bool) {
        let mut state = self.state();
        match (stuck, state.write_stuck) {
            (true, None) => state.write_stuck = Some(Instant::now()),
            (false, Some(_)) => state.write_stuck = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// A body was left with so much of it still to come, if it said how much.
    pub(super) fn leave_unread(&self, rest: Option<u64>) {
        self.state().unread = if rest.is_some_and(|rest| rest <= LITTLE) { Unread::Little } else { Unread::Much };
    }

    /// The next answer is the connection's last.
    pub(super) fn leave(&self) {
        self.state().last = true;
    }

    /// Whether the connection cannot go on after the answer.
    pub(super) fn must_close(&self) -> bool {
        let state = self.state();
        state.last || state.unread == Unread::Much
    }

    /// The answer is out and nothing more will be. Whether the client may still be sending.
    pub(super) fn finish(&self) -> bool {
        let mut state = self.state();
        let may_send = state.unread != Unread::None || state.phase == Phase::Head;
        state.enter(Phase::Lingering);
        may_send
    }

    /// The reason to end the connection, or when to ask again: never later than the earliest moment at which there could be one.
    pub(super) fn check(&self, limits: &HttpLimits) -> Result<Instant, Overdue> {
        let now = Instant::now();
        let state = self.state();
        let stuck = state.write_stuck.map(|since| (since + limits.write_timeout, Overdue::Write));
        let phase = match state.phase {
            Phase::New | Phase::Head => Some((state.since + limits.header_read_timeout, Overdue::Head)),
            Phase::Idle => Some((state.since + limits.idle_timeout, Overdue::Idle)),
            Phase::Lingering => Some((state.since + LINGER, Overdue::Linger)),
            // The router bounds the time of a request and of its body.
            Phase::Busy => None,
        };
        let soonest_new =
            now + limits.header_read_timeout.min(limits.idle_timeout).min(limits.write_timeout).min(LINGER);
        let mut ask_again = soonest_new;
        for (deadline, why) in stuck.into_iter().chain(phase) {
            if deadline <= now {
                return Err(why);
            }
            ask_again = ask_again.min(deadline);
        }
        Ok(ask_again)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

/// A request in work.
#[derive(Debug)]
pub(super) struct InWork(Arc<Activity>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.state().enter(Phase::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HttpLimits {
        HttpLimits {
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            ..HttpLimits::default()
        }
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_time() {
        let activity = Activity::new();
        pass(9).await;
        assert!(activity.check(&limits()).is_ok());
        activity.received();
        pass(9).await;
        activity.received();
        pass(1).await;
        assert_eq!(activity.check(&limits()), Err(Overdue::Head), "further bytes give no further time");
        let in_work = activity.begin();
        pass(1_000).await;
        assert!(activity.check(&limits()).is_ok(), "in work");
        drop(in_work);
        pass(74).await;
        assert!(activity.check(&limits()).is_ok(), "idle");
        pass(1).await;
        assert_eq!(activity.check(&limits()), Err(Overdue::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_even_a_request_in_work() {
        let activity = Activity::new();
        let _in_work = activity.begin();
        activity.write_stuck(true);
        pass(20).await;
        activity.write_stuck(true);
        pass(10).await;
        assert_eq!(activity.check(&limits()), Err(Overdue::Write));
        activity.write_stuck(false);
        assert!(activity.check(&limits()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_never_sleeps_past_a_deadline_that_could_begin_now() {
        let activity = Activity::new();
        drop(activity.begin());
        let asked_again = activity.check(&limits()).expect("idle");
        assert!(asked_again <= Instant::now() + LINGER);
    }
}
