//! Spans of the calendar, counted back from now in UTC: a month is as long as the month is.

use batchlingua_core::Millis;
use jiff::{RoundMode, Span, Timestamp, ToSpan, Unit, Zoned, ZonedRound, tz::TimeZone};

/// How far a list goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Period {
    /// From midnight on.
    Today,
    Day,
    Week,
    Month,
    Year,
    All,
}

impl Period {
    /// What changed before this is not shown. `None`: all is.
    pub(crate) fn since(self, now: Millis) -> Option<Millis> {
        let span = match self {
            Self::All => return None,
            Self::Today => Span::new(),
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Year => 1.year(),
        };
        // A clock beyond the calendar's end shows all.
        let now = Timestamp::from_millisecond(now.0).ok()?.to_zoned(TimeZone::UTC);
        let since = if self == Self::Today { midnight(&now) } else { now.checked_sub(span).ok() }?;
        Some(Millis(since.timestamp().as_millisecond()))
    }
}

fn midnight(now: &Zoned) -> Option<Zoned> {
    now.round(ZonedRound::new().smallest(Unit::Day).mode(RoundMode::Floor)).ok()
}

/// A moment as the framework around Kylin writes it.
pub(crate) fn written(now: Millis) -> String {
    let now = Timestamp::from_millisecond(now.0).unwrap_or_default();
    now.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments are told by `date -u -d`.
    #[test]
    fn months_and_years_are_those_of_the_calendar() {
        // 2024-03-31T12:00:00Z
        let now = Millis(1_711_886_400_000);
        for (period, since) in [
            (Period::Today, Some(1_711_843_200_000)),
            (Period::Day, Some(1_711_800_000_000)),
            (Period::Week, Some(1_711_281_600_000)),
            // 2024-02-29T12:00:00Z: there was no 31st.
            (Period::Month, Some(1_709_208_000_000)),
            // 2023-03-31T12:00:00Z, over a leap day.
            (Period::Year, Some(1_680_264_000_000)),
            (Period::All, None),
        ] {
            assert_eq!(period.since(now), since.map(Millis), "{period:?}");
        }
        assert_eq!(Period::Day.since(Millis(i64::MAX)), None);
    }

    #[test]
    fn a_moment_has_its_milliseconds() {
        assert_eq!(written(Millis(1_711_886_400_007)), "2024-03-31T12:00:00.007+00:00");
        assert_eq!(written(Millis(1_711_886_400_000)), "2024-03-31T12:00:00.000+00:00");
    }
}
