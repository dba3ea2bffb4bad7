//! A job's status: Kylin's words, their codes, and what each lets a client do.
//!
//! A batch shows six of the words. The others are those of jobs and stages that no batch is: they can be asked for, and find nothing.

use batchlingua_core::{Action, BatchState, StateSet};

/// A status as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    New,
    Pending,
    Running,
    Finished,
    Error,
    Discarded,
    Stopped,
    Suicidal,
    Starting,
    Stopping,
    LaunchingError,
    Skip,
    Warning,
}

/// The actions in the order in which they are listed.
pub(crate) const ACTIONS: [(Action, &str); 4] =
    [(Action::Resume, "RESUME"), (Action::Cancel, "DISCARD"), (Action::Pause, "PAUSE"), (Action::Restart, "RESTART")];

impl Status {
    const ALL: [Self; 13] = [
        Self::New,
        Self::Pending,
        Self::Running,
        Self::Finished,
        Self::Error,
        Self::Discarded,
        Self::Stopped,
        Self::Suicidal,
        Self::Starting,
        Self::Stopping,
        Self::LaunchingError,
        Self::Skip,
        Self::Warning,
    ];

    /// What a batch shows.
    pub(crate) fn of(state: BatchState) -> Self {
        match state {
            BatchState::Queued | BatchState::Starting => Self::Pending,
            BatchState::Running => Self::Running,
            BatchState::Paused => Self::Stopped,
            BatchState::Succeeded => Self::Finished,
            BatchState::Failed | BatchState::Unknown => Self::Error,
            BatchState::Cancelled => Self::Discarded,
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    pub(crate) fn of_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Error => "ERROR",
            Self::Discarded => "DISCARDED",
            Self::Stopped => "STOPPED",
            Self::Suicidal => "SUICIDAL",
            Self::Starting => "STARTING",
            Self::Stopping => "STOPPING",
            Self::LaunchingError => "LAUNCHING_ERROR",
            Self::Skip => "SKIP",
            Self::Warning => "WARNING",
        }
    }

    fn code(self) -> i32 {
        match self {
            Self::New => 0,
            Self::Pending => 1,
            Self::Running => 2,
            Self::Finished => 4,
            Self::Error => 8,
            Self::Discarded => 16,
            Self::Stopped => 32,
            Self::Suicidal => 64,
            Self::Starting => 128,
            Self::Stopping => 256,
            Self::LaunchingError => 512,
            Self::Skip => 1024,
            Self::Warning => 2048,
        }
    }

    /// The batches that have it. `None`: a name that Kylin knows and cannot look for.
    pub(crate) fn states(self) -> Option<&'static [BatchState]> {
        match self {
            Self::Pending => Some(&[BatchState::Queued, BatchState::Starting]),
            Self::Running => Some(&[BatchState::Running]),
            Self::Finished => Some(&[BatchState::Succeeded]),
            Self::Error => Some(&[BatchState::Failed, BatchState::Unknown]),
            Self::Discarded => Some(&[BatchState::Cancelled]),
            Self::Stopped => Some(&[BatchState::Paused]),
            Self::New | Self::Suicidal => Some(&[]),
            Self::Starting | Self::Stopping | Self::LaunchingError | Self::Skip | Self::Warning => None,
        }
    }

    /// Whether Kylin lets a client do this to a job of this status.
    pub(crate) fn allows(self, action: Action) -> bool {
        let legal: &[Action] = match self {
            Self::New => &[Action::Resume, Action::Cancel, Action::Pause, Action::Restart],
            Self::Pending => &[Action::Cancel, Action::Pause],
            Self::Running => &[Action::Cancel, Action::Pause, Action::Restart],
            Self::Error | Self::Stopped | Self::LaunchingError => &[Action::Resume, Action::Cancel, Action::Restart],
            Self::Finished | Self::Discarded | Self::Suicidal => &[],
            Self::Starting | Self::Stopping | Self::Skip | Self::Warning => &[],
        };
        legal.contains(&action)
    }

    /// The actions that it allows, of those that are possible, as they are listed in a refusal.
    pub(crate) fn legal_actions(self, possible: impl Fn(Action) -> bool) -> String {
        let legal = ACTIONS.iter().filter(|(action, _)| self.allows(*action) && possible(*action));
        legal.map(|(_, word)| *word).collect::<Vec<_>>().join(", ")
    }
}

/// The state that a Kylin's word for a job means. `None`: a word that is not known, or that no job has; such a job is taken to live.
pub(crate) fn meant(word: &str) -> Option<BatchState> {
    match Status::of_name(word)? {
        Status::New | Status::Pending => Some(BatchState::Queued),
        Status::Starting => Some(BatchState::Starting),
        Status::Running | Status::Stopping => Some(BatchState::Running),
        Status::Stopped => Some(BatchState::Paused),
        Status::Finished => Some(BatchState::Succeeded),
        Status::Error | Status::LaunchingError => Some(BatchState::Failed),
        Status::Discarded | Status::Suicidal => Some(BatchState::Cancelled),
        Status::Skip | Status::Warning => None,
    }
}

/// The same of a step, which has words of its own.
pub(crate) fn meant_of_step(word: &str) -> BatchState {
    match word {
        "SKIP" | "WARNING" => BatchState::Succeeded,
        "WAITING" => BatchState::Queued,
        "KILLED" => BatchState::Cancelled,
        _ => meant(word).unwrap_or(BatchState::Running),
    }
}

/// The states in which jobs that a client names may be acted on.
pub(crate) fn legal(action: Action) -> StateSet {
    BatchState::ALL.into_iter().filter(|state| Status::of(*state).allows(action)).collect()
}

/// The same for all jobs of a project, where Kylin asks nothing beforehand: a restart also begins what has not begun, and what is discarded
/// already is passed over.
pub(crate) fn legal_for_all(action: Action) -> StateSet {
    let more = |state: &BatchState| match action {
        Action::Restart => Status::of(*state) == Status::Pending,
        Action::Cancel => *state == BatchState::Cancelled,
        Action::Pause | Action::Resume | Action::Forget | Action::CancelAndForget => false,
    };
    legal(action).iter().chain(BatchState::ALL.into_iter().filter(more)).collect()
}

/// The name that Kylin gives the state itself, as some refusals have it.
pub(crate) fn internal(state: BatchState) -> &'static str {
    match state {
        BatchState::Queued | BatchState::Starting => "READY",
        BatchState::Running => "RUNNING",
        BatchState::Paused => "PAUSED",
        BatchState::Succeeded => "SUCCEED",
        BatchState::Failed | BatchState::Unknown => "ERROR",
        BatchState::Cancelled => "DISCARDED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_batch_shows_finds_it_by_name_and_by_code() {
        for state in BatchState::ALL {
            let status = Status::of(state);
            assert!(status.states().is_some_and(|states| states.contains(&state)), "{state}");
            assert_eq!((Status::of_name(status.name()), Status::of_code(status.code())), (Some(status), Some(status)));
        }
        assert_eq!((Status::of_name("running"), Status::of_code(3)), (None, None));
    }

    #[test]
    fn what_a_kylin_says_is_read_as_what_is_shown_for_it() {
        for state in BatchState::ALL {
            let read = meant(Status::of(state).name());
            let wanted = match state {
                BatchState::Starting => BatchState::Queued,
                BatchState::Unknown => BatchState::Failed,
                state => state,
            };
            assert_eq!(read, Some(wanted), "{state}");
        }
        assert_eq!(meant("SUICIDAL"), Some(BatchState::Cancelled), "its target is gone");
        for strange in ["SKIP", "WARNING", "running", "SUSPENDED", ""] {
            assert_eq!(meant(strange), None, "{strange}");
        }
        let steps = ["SKIP", "WARNING", "WAITING", "KILLED", "RUNNING", "SUSPENDED"].map(meant_of_step);
        assert_eq!(
            steps.map(BatchState::as_str),
            ["succeeded", "succeeded", "queued", "cancelled", "running", "running"]
        );
    }

    #[test]
    fn the_legal_actions_are_listed_in_kylins_order() {
        assert_eq!(Status::Running.legal_actions(|_| true), "DISCARD, PAUSE, RESTART");
        assert_eq!(Status::Error.legal_actions(|_| true), "RESUME, DISCARD, RESTART");
        assert_eq!(Status::Running.legal_actions(|action| action == Action::Cancel), "DISCARD");
        assert_eq!(Status::Finished.legal_actions(|_| true), "");
    }

    #[test]
    fn a_whole_project_is_judged_by_the_states_themselves() {
        let words = |states: StateSet| states.iter().map(BatchState::as_str).collect::<Vec<_>>();
        assert_eq!(words(legal(Action::Pause)), ["queued", "starting", "running"]);
        assert_eq!(words(legal(Action::Resume)), ["paused", "failed", "unknown"]);
        assert_eq!(legal_for_all(Action::Pause), legal(Action::Pause));
        assert!(!legal(Action::Restart).contains(BatchState::Queued));
        assert!(legal_for_all(Action::Restart).contains(BatchState::Queued));
        assert!(!legal(Action::Cancel).contains(BatchState::Cancelled));
        assert!(legal_for_all(Action::Cancel).contains(BatchState::Cancelled));
        assert!(!legal_for_all(Action::Cancel).contains(BatchState::Succeeded));
    }
}
