//! A batch's states in Livy's words, out and in.
//!
//! Livy knows eleven; a batch of ours shows seven of them. `recovering` is never among them, since Airflow's hook
//! raises on it.

use batchlingua_core::BatchState;

/// What a client is shown.
pub(crate) fn word(state: BatchState) -> &'static str {
    match state {
        BatchState::Queued | BatchState::Starting => "starting",
        BatchState::Running => "running",
        BatchState::Paused => "idle",
        BatchState::Succeeded => "success",
        BatchState::Failed => "dead",
        BatchState::Cancelled => "killed",
        BatchState::Unknown => "error",
    }
}

/// What Livy says while it has not looked at a batch since its restart: a live one, and no word for clients.
pub(crate) const RECOVERING: &str = "recovering";

/// What a word of a Livy means. `None`: it is none of those that are known.
pub(crate) fn of_word(word: &str) -> Option<BatchState> {
    Some(match word {
        "not_started" => BatchState::Queued,
        "starting" => BatchState::Starting,
        // Alive, whatever else they say of it.
        "running" | "idle" | "busy" | "shutting_down" | RECOVERING => BatchState::Running,
        "success" => BatchState::Succeeded,
        "dead" => BatchState::Failed,
        "killed" => BatchState::Cancelled,
        // No batch of a Livy is ever shown so; one of a proxy is, if its end was not seen.
        "error" => BatchState::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Airflow's hook.
    const LIVE: [&str; 6] = ["not_started", "starting", "running", "idle", "busy", "shutting_down"];
    const ENDS: [&str; 4] = ["success", "dead", "killed", "error"];

    #[test]
    fn every_state_is_one_that_airflow_knows_and_ends_are_ends() {
        for state in BatchState::ALL {
            let known: &[&str] = if state.is_end() { &ENDS } else { &LIVE };
            assert!(known.contains(&word(state)), "{state}");
        }
        assert_eq!(word(BatchState::Succeeded), "success", "the only good end");
    }

    #[test]
    fn a_word_means_what_it_is_shown_for() {
        for state in BatchState::ALL {
            let read = of_word(word(state)).expect("a known word");
            assert_eq!(
                (read.is_end(), word(read) == word(state) || !state.is_end()),
                (state.is_end(), true),
                "{state}"
            );
        }
        for word in LIVE.iter().chain(&ENDS).chain(&[RECOVERING]) {
            let read = of_word(word).expect("one of the eleven");
            assert_eq!(read.is_end(), ENDS.contains(word), "{word}");
        }
        assert_eq!((of_word("RUNNING"), of_word("")), (None, None));
    }
}
