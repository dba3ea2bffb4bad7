//! Sizes: the three that have a letter, and the five numbers that each of them stands for.
//!
//! A letter is taken apart here, so that every backend gets what it stands for; a number that the client gives itself replaces the letter's.
//! With one of those the letter has said all that it can say and is left out of the spec: the batch's size is then its own, which DLI calls
//! `CUSTOMIZED`. A submit without either says nothing about sizes, and gets its backend's.

use batchlingua_core::{BatchSpec, Size};

/// A size that has a letter.
pub(crate) struct Preset {
    pub(crate) letter: &'static str,
    driver: (&'static str, i64),
    executor: (&'static str, i64),
    executors: i64,
}

const PRESETS: [Preset; 3] = [
    Preset { letter: "A", driver: ("7G", 2), executor: ("4G", 1), executors: 6 },
    Preset { letter: "B", driver: ("7G", 2), executor: ("8G", 2), executors: 7 },
    Preset { letter: "C", driver: ("15G", 4), executor: ("8G", 2), executors: 14 },
];

/// What is shown of a batch without any size.
pub(crate) const SMALLEST: &str = "A";
/// What is shown of a batch with a size of its own.
pub(crate) const CUSTOMIZED: &str = "CUSTOMIZED";

/// The size of that letter.
pub(crate) fn preset(letter: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.letter == letter)
}

impl Preset {
    /// Gives a spec what it does not have.
    pub(crate) fn fill(&self, spec: &mut BatchSpec) {
        let fill = |size: &mut Size, (memory, cores): (&str, i64)| {
            size.memory.get_or_insert_with(|| memory.to_owned());
            size.cores.get_or_insert(cores);
        };
        fill(&mut spec.driver, self.driver);
        fill(&mut spec.executor, self.executor);
        spec.executors.get_or_insert(self.executors);
    }
}

/// Whether a spec has a size.
pub(crate) fn any(spec: &BatchSpec) -> bool {
    let given = |size: &Size| size.memory.is_some() || size.cores.is_some();
    given(&spec.driver) || given(&spec.executor) || spec.executors.is_some()
}

/// Whether this is an amount of memory with its unit. Without one DLI's jobs do not start.
pub(crate) fn is_memory(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_unit = matches!(unit.to_ascii_lowercase().as_str(), "k" | "kb" | "m" | "mb" | "g" | "gb" | "t" | "tb");
    is_unit && unit.len() < text.len()
}

/// An amount of memory of a client of another dialect as DLI takes it. Without a unit it means MiB, as to Spark. What is no amount stays.
pub(crate) fn with_unit(text: &str) -> String {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" => format!("{digits}M"),
        "k" | "kb" => format!("{digits}K"),
        "g" | "gb" => format!("{digits}G"),
        "t" | "tb" => format!("{digits}T"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_fills_what_is_not_given() {
        let mut spec = BatchSpec { executors: Some(3), ..BatchSpec::default() };
        spec.driver.memory = Some("1G".to_owned());
        preset("C").expect("a size").fill(&mut spec);
        let size = |memory: &str, cores| Size { memory: Some(memory.to_owned()), cores: Some(cores) };
        assert_eq!((spec.driver, spec.executor, spec.executors), (size("1G", 4), size("8G", 2), Some(3)));
        assert!(preset("D").is_none() && preset("a").is_none());
    }

    #[test]
    fn units_are_written_as_dli_takes_them() {
        for (given, sent) in [
            ("2g", "2G"),
            ("512m", "512M"),
            ("2G", "2G"),
            ("2048", "2048M"),
            ("2gb", "2G"),
            ("1 T", "1T"),
            ("900k", "900K"),
            ("2.5g", "2.5g"),
            ("much", "much"),
            ("", ""),
        ] {
            assert_eq!(with_unit(given), sent, "{given}");
        }
    }

    #[test]
    fn memory_needs_a_number_and_a_unit() {
        for good in ["2G", "2048m", "512MB", "1t", "100kb"] {
            assert!(is_memory(good), "{good}");
        }
        for bad in ["2", "G", "", "2 G", "-2G", "2.5G", "2GiB", "2P", "lots"] {
            assert!(!is_memory(bad), "{bad}");
        }
    }
}
