//! A batch's states in DLI's words.
//!
//! There are five. A cancelled batch is `dead`, as a failed one is: the dialect has no other word. `recovering` stands for a batch that its
//! platform holds, since it lives and does not run. No other word may reach a client: Airflow polls on it for ever.

use batchlingua_core::{BatchState, StateSet};

const WORDS: [&str; 5] = ["starting", "running", "recovering", "dead", "success"];

/// What a client is shown.
pub(crate) fn word(state: BatchState) -> &'static str {
    match state {
        BatchState::Queued | BatchState::Starting => "starting",
        BatchState::Running => "running",
        BatchState::Paused => "recovering",
        BatchState::Succeeded => "success",
        BatchState::Failed | BatchState::Cancelled | BatchState::Unknown => "dead",
    }
}

/// The word as the reference has it, whatever its capitals. `None`: it is none of the five.
pub(crate) fn known(given: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(given))
}

/// The states that are shown by this word, whatever its capitals. `None`: it is no word.
pub(crate) fn states(given: &str) -> Option<StateSet> {
    let word_of = known(given)?;
    Some(BatchState::ALL.into_iter().filter(|state| word(*state) == word_of).collect())
}

/// What a DLI means by its word, whatever its capitals. `recovering` is a job that is being restored: it lives, and how far it had come is what
/// was seen before. `dead` is any bad end: DLI has no other word for a cancel. `None`: the word is new here.
pub(crate) fn meant(given: &str) -> Option<BatchState> {
    const MEANINGS: [(&str, BatchState); 5] = [
        ("starting", BatchState::Starting),
        ("running", BatchState::Running),
        ("recovering", BatchState::Running),
        ("dead", BatchState::Failed),
        ("success", BatchState::Succeeded),
    ];
    MEANINGS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(given)).map(|(_, state)| state)
}

/// All words, for a message.
pub(crate) fn words() -> String {
    WORDS.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_meaning_that_is_shown_by_it() {
        for known in WORDS {
            let state = meant(&known.to_uppercase()).expect("a word");
            // Nobody can tell how far a batch had come that is being restored.
            assert_eq!(word(state), if known == "recovering" { "running" } else { known });
        }
        assert_eq!((meant("cancelling"), meant("")), (None, None));
    }

    #[test]
    fn every_state_has_one_of_the_five_words_and_is_found_by_it() {
        for state in BatchState::ALL {
            assert!(WORDS.contains(&word(state)), "{state}");
            assert!(states(&word(state).to_uppercase()).expect("a word").contains(state), "{state}");
            assert_eq!(matches!(word(state), "dead" | "success"), state.is_end(), "{state}");
        }
        assert_eq!(states("dead").expect("a word").iter().count(), 3);
        assert_eq!((states("killed"), states("")), (None, None));
    }
}
