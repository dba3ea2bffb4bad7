//! Where we differ from a product on purpose. A rule has a reason, the number of exchanges that it was needed for when it was last measured,
//! and a function that levels the one difference it stands for. What must still hold is everything else: the function first checks
//! what ours has to be instead and touches nothing more, and whatever is left unequal is a fault. A count that is not met, from
//! above or from below, fails the replay as well; only where chance decides whether there is a difference, it is a bound.

use Count::{AtMost, Exactly};

use super::compare::View;
use super::product::Level;

pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// Exchanges that it is needed for.
    pub(super) count: Count,
    /// Levels the difference it stands for; `false` if this exchange has none of the kind.
    pub(super) level: Level,
}

/// How often a rule is needed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Exactly(usize),
    /// Where it is chance whether there is a difference at all.
    AtMost(usize),
}

impl Count {
    /// How many of them chance decides about.
    pub(super) fn by_chance(self) -> usize {
        match self {
            Exactly(_) => 0,
            AtMost(measured) => measured,
        }
    }

    pub(super) fn is_met(self, count: usize) -> bool {
        match self {
            Exactly(measured) => count == measured,
            AtMost(measured) => count <= measured,
        }
    }
}

/// For another outcome: ours is known to be what it has to be instead, so there is nothing to compare it with. What every
/// answer owes its client whatever the outcome, its type by name and the life of the connection, is still held against it.
pub(super) fn accept_as(json: &str, recorded: &mut View, ours: &View) -> bool {
    let typed = ours.body.json().is_none() || ours.headers.get("content-type").is_some_and(|kind| kind == json);
    if typed {
        (recorded.status, recorded.body) = (ours.status, ours.body.clone());
        for name in ["content-type", "location", "allow"] {
            recorded.headers.remove(name);
            recorded.headers.extend(ours.headers.get_key_value(name).map(|(&name, value)| (name, value.clone())));
        }
    }
    typed
}
