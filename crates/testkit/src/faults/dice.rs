//! Which request meets which fault: a seed decides, by the kind of the request and its number among those of its kind. So the same seed does
//! the same to the same requests, whatever comes between them.

use std::{fmt, time::Duration};

/// What is done to a request, or to whoever sends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is reset with the request unread.
    ResetUnread,
    /// It is reset with the request read and nothing done.
    ResetUnacted,
    /// It is reset with all done and nothing answered.
    ResetActed,
    /// It is reset within the answer.
    ResetWithin,
    /// Nothing is done and nothing answered, for longer than anybody waits.
    StallUnacted,
    /// It is done, and not answered for longer than anybody waits.
    StallActed,
    /// It is done only after everybody has stopped waiting.
    ActsLate,
    /// The answer ends before its end, and the connection with it.
    Truncated,
    /// The answer is a success of bytes that say nothing.
    Garbage,
    /// The answer's `Content-Length` is more than comes.
    LengthAbove,
    /// The answer's `Content-Length` is less than comes.
    LengthBelow,
    /// A success with somebody's page in place of the answer.
    Html,
    /// A status of failure, and nothing done.
    FailsUnacted(u16),
    /// A status of failure, and all done.
    FailsActed(u16),
    /// It is done and answered, and not to be seen for a while.
    Hidden,
    /// It is done, not to be seen for a while, and the connection is reset.
    HiddenActed,
    /// The answer comes drop by drop.
    Drip,
    /// The platform is away: connections are closed and refused for a while.
    Away,
    /// It is away, and comes back without any memory of its batches.
    Amnesia,
}

impl Fault {
    /// What a submit may meet.
    pub const OF_SUBMITS: [Self; 22] = [
        Self::ResetUnacted,
        Self::ResetActed,
        Self::ResetWithin,
        Self::StallUnacted,
        Self::StallActed,
        Self::ActsLate,
        Self::Truncated,
        Self::Garbage,
        Self::LengthAbove,
        Self::LengthBelow,
        Self::Html,
        Self::FailsUnacted(500),
        Self::FailsUnacted(502),
        Self::FailsUnacted(503),
        Self::FailsUnacted(504),
        Self::FailsActed(500),
        Self::FailsActed(502),
        Self::FailsActed(503),
        Self::FailsActed(504),
        Self::Hidden,
        Self::HiddenActed,
        Self::Drip,
    ];
    /// What other requests may meet: there is nothing to be hidden.
    pub const OF_OTHERS: [Self; 20] = {
        let mut others = [Self::Drip; 20];
        let mut at = 0;
        while at < 19 {
            others[at] = Self::OF_SUBMITS[at];
            at += 1;
        }
        others
    };

    /// The word under which it is counted.
    pub fn word(self) -> &'static str {
        match self {
            Self::ResetUnread => "reset, request unread",
            Self::ResetUnacted => "reset, read and not done",
            Self::ResetActed => "reset, done and not answered",
            Self::ResetWithin => "reset within the answer",
            Self::StallUnacted => "stall, never done",
            Self::StallActed => "stall, done",
            Self::ActsLate => "done after a stall",
            Self::Truncated => "answer cut off",
            Self::Garbage => "garbage with a 200",
            Self::LengthAbove => "Content-Length too large",
            Self::LengthBelow => "Content-Length too small",
            Self::Html => "an HTML page with a 200",
            Self::FailsUnacted(_) => "500, 502, 503, 504, not done",
            Self::FailsActed(_) => "500, 502, 503, 504, done",
            Self::Hidden => "done, visible later",
            Self::HiddenActed => "done, visible later, reset",
            Self::Drip => "answer drop by drop",
            Self::Away => "connections refused for a while",
            Self::Amnesia => "connections refused for a while, all batches forgotten",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailsUnacted(status) => write!(f, "{status}, not done"),
            Self::FailsActed(status) => write!(f, "{status}, done"),
            other => f.write_str(other.word()),
        }
    }
}

/// The kinds of requests, each counted by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Any, before it is read.
    Arrival,
    Submit,
    Delete,
    Read,
}

/// How many of a thousand requests meet a fault, by their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of all, before they are read: the connection is reset.
    pub unread: u64,
    /// Of all: the platform goes away.
    pub away: u64,
    /// Of those: it comes back without its memory.
    pub amnesia: u64,
    /// Of submits.
    pub submit: u64,
    /// Of wishes to end a batch.
    pub delete: u64,
    /// Of all others.
    pub read: u64,
}

impl Rates {
    /// No fault at all.
    pub const NONE: Self = Self { unread: 0, away: 0, amnesia: 0, submit: 0, delete: 0, read: 0 };
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A job waits at most so long, and then runs at most so long.
    pub queued: Duration,
    /// See there.
    pub running: Duration,
    /// Longer than whoever asks waits.
    pub stall: Duration,
    /// How long a hidden job is not to be seen.
    pub hidden: Duration,
    /// How long the platform is away.
    pub away: Duration,
    /// How long an answer takes that comes drop by drop.
    pub drip: Duration,
    /// How long the record of an ended job is kept.
    pub retain: Duration,
}

/// Gives a fault, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice {
    pub(super) seed: u64,
    pub(super) rates: Rates,
}

impl Dice {
    /// What the request meets that is the `number`-th of its kind.
    pub(super) fn fault(&self, call: Call, number: u64) -> Option<Fault> {
        let thrown = mix(self.seed ^ mix((call as u64) << 48 | number));
        let (share, which) = (thrown % 1_000, thrown / 1_000);
        let pick = |faults: &[Fault]| faults[usize::try_from(which % faults.len() as u64).expect("a small number")];
        let Rates { unread, away, amnesia, submit, delete, read } = self.rates;
        match call {
            Call::Arrival if share < unread => Some(Fault::ResetUnread),
            Call::Arrival if share < unread + away && which % 1_000 < amnesia => Some(Fault::Amnesia),
            Call::Arrival if share < unread + away => Some(Fault::Away),
            Call::Submit if share < submit => Some(pick(&Fault::OF_SUBMITS)),
            Call::Delete if share < delete => Some(pick(&Fault::OF_OTHERS)),
            Call::Read if share < read => Some(pick(&Fault::OF_OTHERS)),
            Call::Arrival | Call::Submit | Call::Delete | Call::Read => None,
        }
    }
}

/// A number that looks like any other, and is the same for the same one (the last step of splitmix64).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same of a text.
pub fn mix_text(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mix(seed), |sum, byte| mix(sum ^ u64::from(byte)))
}
