//! Whether the proxy may show its own credentials to a Kylin once more.
//!
//! Kylin counts wrong passwords: the third locks the account for a while, the tenth for good, whoever else uses it. Polls and probes go on by
//! themselves, so a password that was refused is shown again only after a pause, and after the third time not at all: somebody has to look at
//! it. Credentials of callers are theirs, and are refused to their faces.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchlingua_core::{Clock, Millis};

/// After what is no word about the password itself, and after the first wrong one.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// After the second.
const SECOND_PAUSE: Duration = Duration::from_secs(600);
/// So many wrong passwords in a row are shown, and no more.
pub(crate) const WRONG_ONES: u32 = 3;

/// Why credentials were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It counts as a wrong password, or the account is locked already.
    Counted,
    /// It does not: nothing was shown, say, because none is configured.
    NotCounted,
}

/// The way to a Kylin for the proxy's own credentials.
pub(crate) struct Door {
    clock: Arc<dyn Clock>,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    counted: u32,
    /// It is closed until then.
    until: Option<Millis>,
}

impl Door {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, refusals: Mutex::default() }
    }

    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether credentials may be shown now.
    pub(crate) fn is_open(&self) -> bool {
        let refusals = self.refusals();
        refusals.counted < WRONG_ONES && refusals.until.is_none_or(|until| self.clock.now() >= until)
    }

    /// They were accepted.
    pub(crate) fn passed(&self) {
        let mut refusals = self.refusals();
        if refusals.until.is_some() {
            *refusals = Refusals::default();
        }
    }

    /// They were refused. Of calls that were on their way together one counts.
    pub(crate) fn refused(&self, blame: Blame) {
        let now = self.clock.now();
        let mut refusals = self.refusals();
        if refusals.until.is_some_and(|until| now < until) {
            return;
        }
        refusals.counted += u32::from(blame == Blame::Counted);
        let pause = if refusals.counted < 2 { FIRST_PAUSE } else { SECOND_PAUSE };
        refusals.until = Some(now.plus(pause));
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_testkit::ManualClock;

    use super::*;

    #[test]
    fn a_wrong_password_is_shown_three_times_and_never_faster() {
        let clock = Arc::new(ManualClock::default());
        let door = Door::new(clock.clone());
        for pause in [FIRST_PAUSE, SECOND_PAUSE] {
            assert!(door.is_open());
            for _together in 0..16 {
                door.refused(Blame::Counted);
            }
            clock.advance(pause - Duration::from_millis(1));
            assert!(!door.is_open());
            clock.advance(Duration::from_millis(1));
        }
        assert!(door.is_open());
        door.refused(Blame::Counted);
        clock.advance(Duration::from_secs(365 * 86_400));
        assert!(!door.is_open(), "the account would be locked for good by and by");
    }

    #[test]
    fn what_is_no_wrong_password_only_pauses_and_success_forgets_all() {
        let clock = Arc::new(ManualClock::default());
        let door = Door::new(clock.clone());
        for _ in 0..20 {
            door.refused(Blame::NotCounted);
            assert!(!door.is_open());
            clock.advance(FIRST_PAUSE);
            assert!(door.is_open());
        }
        for _ in 0..5 {
            door.refused(Blame::Counted);
            clock.advance(FIRST_PAUSE);
            assert!(door.is_open());
            door.passed();
        }
    }
}
