//! A clock that stands still until a test moves it.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use batchlingua_core::{Clock, Millis};

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Where a clock stands that nobody has set: 2026-01-01T00:00:00Z, so that times are told from durations at a glance.
    pub const START: Millis = Millis(1_767_225_600_000);

    /// A clock that stands there.
    pub fn new(now: Millis) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Sets it, backwards too: a machine's clock may be set back.
    pub fn set(&self, now: Millis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves it on; where it stands then.
    pub fn advance(&self, span: Duration) -> Millis {
        let now = self.now().plus(span);
        self.set(now);
        now
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_told() {
        let clock = ManualClock::default();
        assert_eq!(clock.now(), ManualClock::START);
        assert_eq!(clock.advance(Duration::from_millis(1_500)), Millis(ManualClock::START.0 + 1_500));
        clock.set(Millis(7));
        assert_eq!(clock.now(), Millis(7));
    }
}
