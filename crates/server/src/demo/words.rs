//! The demo's job once more, in Rust: a result that only looks right would prove nothing.

use std::{cmp::Reverse, collections::HashMap};

/// The lines that `wordcount.py` prints.
pub(super) fn most_frequent(text: &str, how_many: usize) -> Vec<String> {
    let text = text.to_lowercase();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    for raw in text.split(|c: char| !(c.is_ascii_lowercase() || c == '\'')) {
        let word = raw.trim_matches('\'');
        if !word.is_empty() {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|(word, count)| (Reverse(*count), *word));
    let line = |(rank, (word, count))| format!("{:>3}  {word:<12} {count:>6}", rank + 1);
    counts.into_iter().take(how_many).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_without_quotes_and_ties_are_broken_by_the_word() {
        let lines = most_frequent("'Tis the b's B'S, 'a' THE zoo", 3);
        assert_eq!(lines, ["  1  b's               2", "  2  the               2", "  3  a                 1"]);
    }
}
