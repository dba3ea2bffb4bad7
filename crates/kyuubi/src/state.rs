//! A batch's states in Kyuubi's words, and the words of a filter.
//!
//! `INITIALIZED`, `TIMEOUT` and `CLOSED` are never shown: older clients do not know them. `appState` refines and
//! decides nothing.

use batchlingua_core::{BatchState, StateSet};

/// The words that a filter takes, in the order in which Kyuubi lists them.
pub(crate) const FILTERS: [&str; 5] = ["RUNNING", "ERROR", "PENDING", "CANCELED", "FINISHED"];

/// What a client is shown as `state`.
pub(crate) fn word(state: BatchState) -> &'static str {
    match state {
        BatchState::Queued | BatchState::Starting => "PENDING",
        BatchState::Running | BatchState::Paused => "RUNNING",
        BatchState::Succeeded => "FINISHED",
        BatchState::Failed | BatchState::Unknown => "ERROR",
        BatchState::Cancelled => "CANCELED",
    }
}

/// What a client is shown as `appState`: the application's own state. Where the platform shows no application, as with processes of this
/// machine, an end leaves nothing to be found.
pub(crate) fn app_word(state: BatchState, has_application: bool) -> Option<&'static str> {
    match (state, has_application) {
        (BatchState::Queued | BatchState::Starting, _) => None,
        (BatchState::Running, _) => Some("RUNNING"),
        (BatchState::Paused, _) => Some("PENDING"),
        (BatchState::Succeeded, true) => Some("FINISHED"),
        (BatchState::Failed, true) => Some("FAILED"),
        (BatchState::Cancelled, true) => Some("KILLED"),
        (BatchState::Succeeded | BatchState::Failed | BatchState::Cancelled, false) => Some("NOT_FOUND"),
        (BatchState::Unknown, _) => Some("UNKNOWN"),
    }
}

/// The states that a filter's word names. `None`: it is no such word.
pub(crate) fn named(filter: &str) -> Option<StateSet> {
    let wanted = FILTERS.into_iter().find(|known| known.eq_ignore_ascii_case(filter))?;
    Some(BatchState::ALL.into_iter().filter(|state| word(*state) == wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_the_word_that_it_is_shown_with() {
        for state in BatchState::ALL {
            assert!(named(word(state)).is_some_and(|states| states.contains(state)), "{state}");
            // What every poller in public code stops at.
            assert_eq!(["FINISHED", "ERROR", "CANCELED"].contains(&word(state)), state.is_end(), "{state}");
        }
        assert_eq!(named("canceled").map(|states| states.iter().collect()), Some(vec![BatchState::Cancelled]));
        for unknown in ["", "CANCELLED", "INITIALIZED", " RUNNING "] {
            assert_eq!(named(unknown), None, "{unknown:?}");
        }
    }
}
