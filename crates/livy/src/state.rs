//! A batch's states in Livy's words.
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
}
