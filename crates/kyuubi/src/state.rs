//! A batch's states in Kyuubi's words, and back, and the words of a filter.
//!
//! `INITIALIZED`, `TIMEOUT` and `CLOSED` are never shown of other platforms' batches: older clients do not know them. `appState` refines and
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

/// What a Kyuubi's own words mean. `None`: it is a word that is not known here, and so no end.
///
/// `NOT_FOUND` is what the resource manager says of an application that it shows not yet, or no more: no end either.
pub(crate) fn read(word: &str, app_word: Option<&str>) -> Option<BatchState> {
    Some(match (word, app_word) {
        // Stored, and not picked yet.
        ("INITIALIZED", _) => BatchState::Queued,
        ("PENDING", _) => BatchState::Starting,
        // It has an application, which the resource manager lets wait.
        ("RUNNING", Some("PENDING")) => BatchState::Starting,
        ("RUNNING", _) => BatchState::Running,
        ("FINISHED", _) => BatchState::Succeeded,
        ("ERROR", _) => BatchState::Failed,
        ("CANCELED", _) => BatchState::Cancelled,
        _ => return None,
    })
}

/// Whether the resource manager itself says that an application is over.
pub(crate) fn is_app_end(app_word: Option<&str>) -> bool {
    matches!(app_word, Some("FINISHED" | "FAILED" | "KILLED"))
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
    fn words_are_read_by_the_state_and_an_unknown_one_is_no_end() {
        for (word, app_word, state) in [
            ("INITIALIZED", None, BatchState::Queued),
            ("PENDING", None, BatchState::Starting),
            ("PENDING", Some("RUNNING"), BatchState::Starting),
            ("PENDING", Some("NOT_FOUND"), BatchState::Starting),
            ("RUNNING", Some("PENDING"), BatchState::Starting),
            ("RUNNING", Some("NOT_FOUND"), BatchState::Running),
            ("RUNNING", Some("FINISHED"), BatchState::Running),
            ("FINISHED", Some("NOT_FOUND"), BatchState::Succeeded),
            ("ERROR", Some("KILLED"), BatchState::Failed),
            ("ERROR", Some("UNKNOWN"), BatchState::Failed),
            ("CANCELED", Some("RUNNING"), BatchState::Cancelled),
        ] {
            assert_eq!(read(word, app_word), Some(state), "{word} {app_word:?}");
        }
        for unknown in ["TIMEOUT", "CLOSED", "running", "", "RECOVERING"] {
            assert_eq!(read(unknown, Some("FINISHED")), None, "{unknown}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same_state() {
        for state in BatchState::ALL {
            let seen = read(word(state), app_word(state, true)).expect("a known word");
            match state {
                BatchState::Queued | BatchState::Paused => assert_eq!(seen, BatchState::Starting),
                BatchState::Unknown => assert_eq!(seen, BatchState::Failed),
                _ => assert_eq!(seen, state),
            }
        }
    }

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
