//! What every section needs and [`Settings`] leaves to its reader: bounds, words of a closed set, names.

use std::time::Duration;

use batchlingua_wire::Settings;

use super::LONGEST;

/// Hands a read table's faults to its parent.
pub(super) fn close(parent: &mut Settings, table: Settings) {
    if let Err(faults) = table.finish() {
        parent.absorb(faults);
    }
}

/// A time above zero.
pub(super) fn time(settings: &mut Settings, key: &'static str, default: Duration) -> Duration {
    let time = settings.duration(key, default);
    if time.is_zero() || time > LONGEST {
        settings.fault(key, "must be above 0 and at most 3650d");
        return default;
    }
    time
}

/// A time, which may be none.
pub(super) fn time_or_none(settings: &mut Settings, key: &'static str, default: Duration) -> Duration {
    let time = settings.duration(key, default);
    if time > LONGEST {
        settings.fault(key, "must be at most 3650d");
        return default;
    }
    time
}

/// An amount of bytes within bounds.
pub(super) fn bytes(
    settings: &mut Settings,
    key: &'static str,
    default: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> u64 {
    let bytes = settings.bytes(key, default);
    if !bounds.contains(&bytes) {
        settings.fault(key, format!("must be from {} to {} bytes", bounds.start(), bounds.end()));
        return default;
    }
    bytes
}

/// A number that counts things in memory.
pub(super) fn count(settings: &mut Settings, key: &'static str, default: usize, most: u64) -> usize {
    let number = settings.integer(key, default as u64, 1..=most);
    usize::try_from(number).unwrap_or(default)
}

/// One of a closed set of words.
pub(super) fn word<T: Copy>(settings: &mut Settings, key: &'static str, default: T, words: &[(&str, T)]) -> T {
    let Some(text) = settings.text(key) else { return default };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => *value,
        None => {
            let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            settings.fault(key, format!("must be {}, not \"{text}\"", known.join(" or ")));
            default
        }
    }
}

/// The nearest of some names, for a message about one that is not there.
pub(super) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, given), *name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("did you mean \"{name}\"?"),
        None if known.is_empty() => "there is none".into(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// Why a name cannot be one: it is written into headers, logs and the labels of metrics.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    let fits = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (!fits).then_some("a name has 1 to 64 letters, digits, '-', '_' and '.'")
}
