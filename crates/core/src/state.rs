//! The states of a batch and the one rule of their order: what a client has seen is never taken back.
//!
//! The order is (attempt, rank). Within an attempt the rank never falls, and an end stays; only `Unknown` may be left, since it says that
//! the end was not seen, and a failure where its platform does not take it for the end: it may be discarded there, or have been run again
//! to its success between two looks. A new attempt (RESUME, RESTART, or a move back to life that the backend itself shows) starts over.

use std::fmt;

/// Where a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchState {
    /// Accepted, waiting for a slot.
    Queued,
    /// Being started; its application is not running yet.
    Starting,
    /// Its application runs.
    Running,
    /// Held by its platform (Kylin only).
    Paused,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// Gone without an end that anybody saw.
    Unknown,
}

impl BatchState {
    /// All states, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
    ];

    /// Whether the batch is over.
    pub fn is_end(self) -> bool {
        match self {
            Self::Queued | Self::Starting | Self::Running | Self::Paused => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Unknown => true,
        }
    }

    /// The place in the order within one attempt.
    pub fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Starting => 1,
            Self::Running => 2,
            Self::Paused => 3,
            Self::Unknown => 4,
            Self::Succeeded | Self::Failed | Self::Cancelled => 5,
        }
    }

    /// The word of the ledger, the metrics and the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSet(u8);

impl StateSet {
    /// Whether the state is in the set.
    pub fn contains(self, state: BatchState) -> bool {
        self.0 & (1 << state as u8) != 0
    }

    /// The states of the set, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = BatchState> {
        BatchState::ALL.into_iter().filter(move |state| self.contains(*state))
    }
}

impl FromIterator<BatchState> for StateSet {
    fn from_iter<T: IntoIterator<Item = BatchState>>(states: T) -> Self {
        Self(states.into_iter().fold(0, |set, state| set | 1 << state as u8))
    }
}

/// Which ends a backend may take back by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revival {
    /// A failed batch stays failed.
    #[default]
    Never,
    /// A failed batch may run again under the same id (Kylin's RESUME and RESTART by another client).
    AfterFailure,
}

/// A state in its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Counted from 1.
    pub attempt: u32,
    /// The state within it.
    pub state: BatchState,
}

impl Standing {
    /// Where every batch begins.
    pub const NEW: Self = Self { attempt: 1, state: BatchState::Queued };

    /// Where the batch stands after this was seen. `attempt` is what the backend says of it, if it counts attempts.
    #[must_use]
    pub fn advance(self, state: BatchState, attempt: Option<u32>, revival: Revival) -> Self {
        match attempt {
            Some(attempt) if attempt < self.attempt => self,
            Some(attempt) if attempt > self.attempt => Self { attempt, state },
            Some(_) => self.within(state, revival),
            None if self.revived_by(state, revival) => Self { attempt: self.attempt + 1, state },
            None => self.within(state, revival),
        }
    }

    fn revived_by(self, seen: BatchState, revival: Revival) -> bool {
        let from = match self.state {
            BatchState::Paused => true,
            BatchState::Failed => revival == Revival::AfterFailure,
            BatchState::Queued | BatchState::Starting | BatchState::Running => false,
            BatchState::Succeeded | BatchState::Cancelled | BatchState::Unknown => false,
        };
        from && matches!(seen, BatchState::Queued | BatchState::Starting | BatchState::Running)
    }

    fn within(self, seen: BatchState, revival: Revival) -> Self {
        let keep = match self.state {
            BatchState::Unknown => false,
            BatchState::Failed if revival == Revival::AfterFailure => {
                !matches!(seen, BatchState::Succeeded | BatchState::Cancelled)
            }
            current if current.is_end() => true,
            current => seen.rank() < current.rank(),
        };
        if keep { self } else { Self { state: seen, ..self } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Revival = Revival::Never;

    fn at(attempt: u32, state: BatchState) -> Standing {
        Standing { attempt, state }
    }

    #[test]
    fn every_pair_of_states_keeps_the_order() {
        for from in BatchState::ALL {
            for seen in BatchState::ALL {
                let next = at(1, from).advance(seen, Some(1), NEVER);
                assert_eq!(next.attempt, 1);
                if from == BatchState::Unknown {
                    assert_eq!(next.state, seen, "unknown is left for whatever is seen");
                } else {
                    assert!(next.state.rank() >= from.rank(), "{from} then {seen} gave {next:?}");
                    if from.is_end() {
                        assert_eq!(next.state, from, "an end stays");
                    }
                }
            }
        }
    }

    #[test]
    fn a_paused_batch_seen_running_begins_an_attempt() {
        assert_eq!(at(1, BatchState::Paused).advance(BatchState::Running, None, NEVER), at(2, BatchState::Running));
        assert_eq!(at(1, BatchState::Paused).advance(BatchState::Succeeded, None, NEVER), at(1, BatchState::Succeeded));
    }

    #[test]
    fn a_failure_is_revived_only_where_the_backend_may() {
        let failed = at(3, BatchState::Failed);
        assert_eq!(failed.advance(BatchState::Running, None, NEVER), failed);
        assert_eq!(failed.advance(BatchState::Running, None, Revival::AfterFailure), at(4, BatchState::Running));
        assert_eq!(at(3, BatchState::Succeeded).advance(BatchState::Running, None, Revival::AfterFailure).attempt, 3);
    }

    #[test]
    fn a_failure_that_its_platform_does_not_take_for_the_end_may_still_end_otherwise() {
        let failed = at(3, BatchState::Failed);
        for other in [BatchState::Succeeded, BatchState::Cancelled] {
            assert_eq!(failed.advance(other, None, Revival::AfterFailure), at(3, other));
            assert_eq!(failed.advance(other, None, NEVER), failed);
        }
        assert_eq!(failed.advance(BatchState::Unknown, None, Revival::AfterFailure), failed);
        let discarded = at(3, BatchState::Cancelled);
        assert_eq!(discarded.advance(BatchState::Failed, None, Revival::AfterFailure), discarded);
    }

    #[test]
    fn an_older_attempt_changes_nothing_and_a_newer_one_starts_over() {
        let now = at(2, BatchState::Running);
        assert_eq!(now.advance(BatchState::Failed, Some(1), NEVER), now);
        assert_eq!(now.advance(BatchState::Queued, Some(3), NEVER), at(3, BatchState::Queued));
    }

    #[test]
    fn words_are_read_back_and_sets_hold_what_they_got() {
        for state in BatchState::ALL {
            assert_eq!(BatchState::from_word(state.as_str()), Some(state));
            let set: StateSet = [state].into_iter().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), [state]);
        }
        assert_eq!(BatchState::from_word("idle"), None);
    }
}
