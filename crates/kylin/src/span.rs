//! How long something has waited and run: a number, or the gap where it goes.
//!
//! Of a batch that lives both go on, so a row of a list tells other numbers every time while all else of it stays as it is. Such a row is
//! written once with gaps (`row.rs`), and with each list only what goes into them.

use batchlingua_core::{BatchState, Millis, Times};
use serde::{Serialize, Serializer};

const SECOND: i64 = 1_000;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Of(i64),
    Gap(Gap),
}

/// What goes into a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Wait,
    Run,
    Total,
    WaitSeconds,
    RunSeconds,
}

/// The time before a batch or step began, and since; both together. In ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) wait: Span,
    pub(crate) run: Span,
    pub(crate) total: Span,
}

impl Spans {
    pub(crate) const GAPS: Self =
        Self { wait: Span::Gap(Gap::Wait), run: Span::Gap(Gap::Run), total: Span::Gap(Gap::Total) };

    pub(crate) fn of(times: &Times, state: BatchState, now: Millis) -> Self {
        // An end of which nobody knows when it was is where it last changed.
        let end = times.ended.unwrap_or(if state.is_end() { times.modified } else { now });
        // Seen late it may have begun after the end that its platform tells: lists are ordered by what is up to that.
        let began = times.started.map_or(end, |started| started.min(end));
        let (wait, run) = ((began.0 - times.created.0).max(0), end.0 - began.0);
        Self { wait: Span::Of(wait), run: Span::Of(run), total: Span::Of(wait + run) }
    }

    pub(crate) fn fill(self, gap: Gap) -> Span {
        match gap {
            Gap::Wait => self.wait,
            Gap::Run => self.run,
            Gap::Total => self.total,
            Gap::WaitSeconds => self.wait.seconds(),
            Gap::RunSeconds => self.run.seconds(),
        }
    }
}

impl Span {
    /// In seconds, as the legacy face has it.
    pub(crate) fn seconds(self) -> Self {
        match self {
            Self::Of(ms) => Self::Of(ms / SECOND),
            Self::Gap(Gap::Wait) => Self::Gap(Gap::WaitSeconds),
            Self::Gap(Gap::Run) => Self::Gap(Gap::RunSeconds),
            Self::Gap(gap @ (Gap::Total | Gap::WaitSeconds | Gap::RunSeconds)) => Self::Gap(gap),
        }
    }

    /// A number that no span has, for each gap.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Of(number) => number,
            Self::Gap(gap) => i64::MIN + gap as i64,
        }
    }
}

impl Gap {
    pub(crate) const ALL: [Self; 5] = [Self::Wait, Self::Run, Self::Total, Self::WaitSeconds, Self::RunSeconds];
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_up_to_where_they_end() {
        let times = |started: Option<i64>, ended: Option<i64>| Times {
            created: Millis(100),
            started: started.map(Millis),
            ended: ended.map(Millis),
            modified: Millis(700),
        };
        let span = |state, started, ended| {
            let Spans { wait, run, total } = Spans::of(&times(started, ended), state, Millis(1_000));
            assert_eq!(total.number(), wait.number() + run.number());
            (wait.number(), run.number())
        };
        assert_eq!(span(BatchState::Queued, None, None), (900, 0));
        assert_eq!(span(BatchState::Running, Some(300), None), (200, 700));
        assert_eq!(span(BatchState::Succeeded, Some(300), Some(800)), (200, 500));
        assert_eq!(span(BatchState::Cancelled, None, Some(800)), (700, 0));
        assert_eq!(span(BatchState::Unknown, Some(300), None), (200, 400));
        assert_eq!(span(BatchState::Running, Some(50), None), (0, 950), "clocks differ");
        assert_eq!(span(BatchState::Succeeded, Some(900), Some(800)), (700, 0), "seen running when it was over");
    }
}
