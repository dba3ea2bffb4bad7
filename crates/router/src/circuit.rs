//! The circuit of one backend: one that does not answer is left alone until it does.
//!
//! After `circuit_failures` calls in a row without an answer (no connection, silence, a gateway's 502, 503 or 504) the circuit is open: nothing
//! is sent but one probe every `circuit_probe`, and look-ups of submits of unknown outcome, which go at their own slow pace. Polls are then
//! answered at once from what was last seen, submits refused before anything is written, cancels wait in the background. As soon as anything is
//! answered the circuit is half-open: one call at a time at first, one more with every answer, so that all who have waited do not
//! come at once over a platform that has only just got up. With as many calls as any backend takes at once it is closed again.
//!
//! Any answer is an answer, an error status too: a platform that refuses lives. One that has too much to do (429) is not polled for as long as
//! it asks, within bounds. Our own bound on calls says nothing of it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchlingua_core::{BackendName, Error, ErrorKind, Result};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// So many calls at once need no more watching.
const CLOSED_AT: u32 = 32;
/// When to come again to a backend that takes few calls as yet.
const SOON: Duration = Duration::from_secs(1);
/// The longest that a backend is left alone because it says that it has too much to do: what runs there still changes.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// When the circuit opens, and how often an open one is probed.
#[derive(Clone, Copy, Debug)]
pub struct CircuitLimits {
    /// So many calls in a row without an answer open it; 0: it never opens.
    pub failures: u32,
    /// How often an open one is probed.
    pub probe: Duration,
}

impl Default for CircuitLimits {
    fn default() -> Self {
        Self { failures: 5, probe: Duration::from_secs(5) }
    }
}

/// Where a circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// It has answered again and gets few calls at once as yet.
    HalfOpen,
    /// It does not answer, and is only probed.
    Open,
}

impl CircuitState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// Its word in metrics and on the admin listener.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// The circuit of one backend.
pub(crate) struct Circuit {
    backend: BackendName,
    limits: CircuitLimits,
    inner: Mutex<Inner>,
    opened: Notify,
}

struct Inner {
    stands: Stands,
    /// How often it has opened: what a call has not been told that began before says nothing of now.
    openings: u64,
    /// Until then it is not polled: it has said so.
    held: Option<Instant>,
}

#[derive(Clone, Copy)]
enum Stands {
    /// With so many calls in a row that had no answer.
    Closed { failures: u32 },
    /// Since then; the next probe is due at that moment.
    Open { since: Instant, probe: Instant },
    /// So many calls may be under way at once, and so many are.
    HalfOpen { allowed: u32, under_way: u32 },
}

/// What a call tells of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It has answered.
    Answer,
    /// It has not.
    Silence,
    /// Nothing.
    None,
}

impl Sign {
    /// What an error tells.
    pub(crate) fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::BackendUnavailable { .. } | ErrorKind::BackendTimeout => Self::Silence,
            ErrorKind::Throttled { .. } | ErrorKind::BackendRejected | ErrorKind::NotFound(_) => Self::Answer,
            ErrorKind::Unauthenticated(_) | ErrorKind::Forbidden(_) | ErrorKind::Conflict(_) => Self::Answer,
            ErrorKind::IllegalState { .. } | ErrorKind::TooLarge { .. } => Self::Answer,
            // Said without asking it, or by a fault of ours.
            ErrorKind::InvalidRequest { .. } | ErrorKind::Unsupported { .. } => Self::None,
            ErrorKind::Ambiguous { .. } | ErrorKind::Internal => Self::None,
        }
    }
}

/// The leave of one call. One that is given up tells nothing.
pub(crate) struct Leave<'a> {
    circuit: &'a Circuit,
    sign: Sign,
    is_for: For,
    openings: u64,
}

/// What a call is to the circuit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// It was made while it was closed, or is made whatever it says.
    Itself,
    /// It is one of those that a half-open one counts.
    Return,
    /// It is to find out whether there is an answer.
    Probe,
}

impl Leave<'_> {
    pub(crate) fn done(mut self, sign: Sign) {
        self.sign = sign;
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.circuit.over(self.sign, self.is_for, self.openings);
    }
}

impl Circuit {
    pub(crate) fn new(backend: BackendName, limits: CircuitLimits) -> Self {
        let inner = Inner { stands: Stands::Closed { failures: 0 }, openings: 0, held: None };
        Self { backend, limits, inner: Mutex::new(inner), opened: Notify::new() }
    }

    /// Whether a call may be made now; the refusal says when to come again.
    pub(crate) fn enter(&self) -> Result<Leave<'_>> {
        let mut inner = self.inner();
        let is_for = match &mut inner.stands {
            Stands::Closed { .. } => For::Itself,
            Stands::HalfOpen { allowed, under_way } if *under_way < *allowed => {
                *under_way += 1;
                For::Return
            }
            Stands::HalfOpen { .. } => return Err(self.busy()),
            Stands::Open { probe, .. } => return Err(self.silent(*probe)),
        };
        Ok(Leave { circuit: self, sign: Sign::None, is_for, openings: inner.openings })
    }

    /// The same for a poll, which a backend may have asked not to be sent for a while.
    pub(crate) fn enter_poll(&self) -> Result<Leave<'_>> {
        let held = self.inner().held.map(|until| until.saturating_duration_since(Instant::now()));
        match held.filter(|left| !left.is_zero()) {
            Some(left) => {
                let message =
                    format!("backend '{}' has too much to do; nothing was sent, try again later", self.backend);
                Err(Error::new(ErrorKind::Throttled { retry_after: left }, message))
            }
            None => self.enter(),
        }
    }

    /// The backend has said that it has too much to do.
    pub(crate) fn hold(&self, retry_after: Duration) {
        self.inner().held = Some(Instant::now() + retry_after.min(LONGEST_HOLD));
    }

    /// For a probe: it is made whatever the circuit says.
    pub(crate) fn enter_probe(&self) -> Leave<'_> {
        Leave { circuit: self, sign: Sign::None, is_for: For::Probe, openings: self.inner().openings }
    }

    /// For a look-up of what may run: the same, at its own pace.
    pub(crate) fn enter_anyway(&self) -> Leave<'_> {
        Leave { circuit: self, sign: Sign::None, is_for: For::Itself, openings: self.inner().openings }
    }

    /// Refuses what would be refused at its call, before anything is written down for it.
    pub(crate) fn check(&self) -> Result<()> {
        match self.inner().stands {
            Stands::Open { probe, .. } => Err(self.silent(probe)),
            Stands::Closed { .. } | Stands::HalfOpen { .. } => Ok(()),
        }
    }

    /// Where it stands, and for how long it has been open.
    pub(crate) fn state(&self) -> (CircuitState, Option<Duration>) {
        match self.inner().stands {
            Stands::Closed { .. } => (CircuitState::Closed, None),
            Stands::HalfOpen { .. } => (CircuitState::HalfOpen, None),
            Stands::Open { since, .. } => (CircuitState::Open, Some(since.elapsed())),
        }
    }

    /// Until a probe is due: at once or later while it is not closed, else when it opens.
    pub(crate) async fn probe_due(&self) {
        loop {
            let due = match self.inner().stands {
                Stands::Closed { .. } => None,
                Stands::Open { probe, .. } => Some(probe),
                // Nobody may be asking; it is to get up all the same.
                Stands::HalfOpen { .. } => Some(Instant::now() + self.limits.probe),
            };
            match due {
                Some(due) => return sleep_until(due).await,
                None => self.opened.notified().await,
            }
        }
    }

    fn over(&self, sign: Sign, is_for: For, openings: u64) {
        let mut inner = self.inner();
        let is_old = inner.openings != openings;
        if let Stands::HalfOpen { under_way, .. } = &mut inner.stands
            && is_for == For::Return
            && !is_old
        {
            *under_way = under_way.saturating_sub(1);
        }
        inner.stands = match (inner.stands, sign) {
            (Stands::Open { since, .. }, Sign::Silence | Sign::None) if is_for == For::Probe => {
                Stands::Open { since, probe: Instant::now() + self.limits.probe }
            }
            (stands @ Stands::Open { .. }, Sign::Silence | Sign::None) | (stands, Sign::None) => stands,
            (Stands::Open { since, .. }, Sign::Answer) => {
                tracing::info!(backend = %self.backend, away_s = since.elapsed().as_secs(), "the backend answers again; it gets few calls at first");
                Stands::HalfOpen { allowed: 1, under_way: 0 }
            }
            // What was sent before it opened tells nothing of now.
            (stands, _) if is_old => stands,
            (Stands::Closed { .. }, Sign::Answer) => Stands::Closed { failures: 0 },
            (Stands::HalfOpen { allowed, .. }, Sign::Answer) if allowed >= CLOSED_AT => {
                tracing::info!(backend = %self.backend, "the backend is back");
                Stands::Closed { failures: 0 }
            }
            (Stands::HalfOpen { allowed, under_way }, Sign::Answer) => {
                Stands::HalfOpen { allowed: allowed + 1, under_way }
            }
            (Stands::Closed { failures }, Sign::Silence) if self.limits.failures == 0 => Stands::Closed { failures },
            (Stands::Closed { failures }, Sign::Silence) if failures + 1 < self.limits.failures => {
                Stands::Closed { failures: failures + 1 }
            }
            (Stands::Closed { .. } | Stands::HalfOpen { .. }, Sign::Silence) => self.opens(&mut inner.openings),
        };
    }

    fn opens(&self, openings: &mut u64) -> Stands {
        tracing::warn!(backend = %self.backend, probe_s = self.limits.probe.as_secs_f64(), "the backend does not answer; it is only probed until it does");
        *openings += 1;
        self.opened.notify_one();
        let now = Instant::now();
        Stands::Open { since: now, probe: now + self.limits.probe }
    }

    fn silent(&self, probe: Instant) -> Error {
        let retry_after = probe.saturating_duration_since(Instant::now()).max(SOON);
        let message = format!("backend '{}' does not answer; nothing was sent, try again later", self.backend);
        Error::new(ErrorKind::BackendUnavailable { retry_after }, message)
    }

    fn busy(&self) -> Error {
        let message = format!("backend '{}' has only just come back; nothing was sent, try again soon", self.backend);
        Error::new(ErrorKind::BackendUnavailable { retry_after: SOON }, message)
    }

    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit(failures: u32) -> Circuit {
        Circuit::new("here".into(), CircuitLimits { failures, probe: Duration::from_secs(5) })
    }

    fn open(circuit: &Circuit) {
        while circuit.state().0 != CircuitState::Open {
            circuit.enter().expect("a leave").done(Sign::Silence);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_begins_the_count_anew() {
        let circuit = circuit(3);
        for sign in [Sign::Silence, Sign::Silence, Sign::Answer, Sign::Silence, Sign::Silence, Sign::None] {
            circuit.enter().expect("a leave").done(sign);
        }
        assert_eq!(circuit.state().0, CircuitState::Closed);
        circuit.enter().expect("a leave").done(Sign::Silence);
        assert_eq!(circuit.state().0, CircuitState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn while_it_is_open_nothing_is_sent_and_a_probe_is_due_now_and_then() {
        let circuit = circuit(2);
        open(&circuit);
        for _ in 0..3 {
            let refused = circuit.enter().err().expect("a refusal");
            assert_eq!(refused.kind.retry_after(), Some(Duration::from_secs(5)));
            let before = Instant::now();
            circuit.probe_due().await;
            assert_eq!(before.elapsed(), Duration::from_secs(5));
            circuit.enter_probe().done(Sign::Silence);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_before_it_opened_does_not_send_it_away_again() {
        let circuit = circuit(1);
        let old: Vec<_> = (0..3).map(|_| circuit.enter().expect("a leave")).collect();
        open(&circuit);
        circuit.enter_probe().done(Sign::Answer);
        old.into_iter().for_each(|leave| leave.done(Sign::Silence));
        assert_eq!(circuit.state().0, CircuitState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_with_too_much_to_do_is_not_polled_for_as_long_as_it_asks() {
        let circuit = circuit(1);
        circuit.hold(Duration::from_secs(3));
        let refused = circuit.enter_poll().err().expect("a refusal");
        assert_eq!(refused.kind, ErrorKind::Throttled { retry_after: Duration::from_secs(3) });
        assert!(circuit.enter().is_ok(), "what is no poll goes through");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(circuit.enter_poll().is_ok());
        circuit.hold(Duration::from_secs(86_400));
        tokio::time::advance(LONGEST_HOLD).await;
        assert!(circuit.enter_poll().is_ok(), "a day would be too long");
    }

    #[tokio::test(start_paused = true)]
    async fn its_return_is_gentle() {
        let circuit = circuit(1);
        open(&circuit);
        circuit.enter_probe().done(Sign::Answer);
        let mut most = 0;
        while circuit.state().0 == CircuitState::HalfOpen {
            let leaves: Vec<_> = std::iter::from_fn(|| circuit.enter().ok()).take(100).collect();
            assert!(leaves.len() as u32 <= (2 * most).max(1), "{} after {most}", leaves.len());
            most = leaves.len() as u32;
            leaves.into_iter().for_each(|leave| leave.done(Sign::Answer));
        }
        assert_eq!(circuit.state().0, CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_while_it_comes_back_sends_it_away_again() {
        let circuit = circuit(1);
        open(&circuit);
        circuit.enter_probe().done(Sign::Answer);
        circuit.enter().expect("one").done(Sign::Silence);
        assert_eq!(circuit.state().0, CircuitState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_given_up_gives_its_place_back_and_tells_nothing() {
        let circuit = circuit(1);
        open(&circuit);
        circuit.enter_probe().done(Sign::Answer);
        let leave = circuit.enter().expect("one");
        assert!(circuit.enter().is_err());
        drop(leave);
        assert!(circuit.enter().is_ok());
        assert_eq!(circuit.state().0, CircuitState::HalfOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_opens_does_not() {
        let circuit = circuit(0);
        for _ in 0..1_000 {
            circuit.enter().expect("a leave").done(Sign::Silence);
        }
    }
}
