//! What all clients of the demo do alike: ask for the state until it is an end, and judge what was seen.

use std::time::Duration;

use super::{Job, Seen};

/// How often a client asks. Real ones ask every few seconds; a demo is watched by a person.
const POLL: Duration = Duration::from_millis(100);

/// The words of one dialect for a job that goes well, in their order; the last one is the end.
pub(super) struct Words {
    pub(super) dialect: &'static str,
    pub(super) before: &'static [&'static str],
    pub(super) well: &'static str,
}

/// Asks until the batch has left the states before its end; the states seen, each once.
pub(super) async fn states<F>(
    job: &Job<'_>,
    words: &Words,
    call: &str,
    ask: impl Fn() -> F,
) -> Result<Vec<String>, String>
where
    F: Future<Output = Result<String, String>>,
{
    let mut seen: Vec<String> = Vec::new();
    loop {
        let state = ask().await?;
        let goes_on = words.before.contains(&state.as_str());
        if seen.last() != Some(&state) {
            job.say(words.dialect, call, &state);
            seen.push(state);
        }
        if !goes_on {
            return Ok(seen);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What the client saw, judged: what it was shown is never taken back, and the end is the good one.
pub(super) fn judged(words: &Words, id: &str, states: Vec<String>, lines: Vec<String>) -> Seen {
    let well = in_order(words, &states) && states.last().is_some_and(|last| last == words.well);
    Seen { id: id.to_owned(), states, lines, well }
}

fn in_order(words: &Words, states: &[String]) -> bool {
    let known: Vec<&str> = words.before.iter().copied().chain([words.well]).collect();
    let ranks: Option<Vec<usize>> = states.iter().map(|state| known.iter().position(|known| known == state)).collect();
    ranks.is_some_and(|ranks| ranks.is_sorted())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_in_order_or_unknown() {
        let words = Words { dialect: "livy", before: &["starting", "running"], well: "success" };
        let check = |states: &[&str]| in_order(&words, &states.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert!(check(&["starting", "running", "success"]) && check(&["success"]));
        assert!(!check(&["running", "starting"]) && !check(&["starting", "dead"]));
        let judged = |last: &str| judged(&words, "1", vec![last.to_owned()], Vec::new()).well;
        assert!(judged("success") && !judged("running") && !judged("dead"));
    }
}
