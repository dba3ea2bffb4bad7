//! Names by which batches are found again on a Livy, from 0.6 on: one server has each only once.
//!
//! A batch without a name gets one that is made of its uuid. It is the marker's, and no client's: who is shown a batch is not shown that.
//! A client's own name goes as it is. So whether it is taken is looked at before the submit, and submits of one name go one at a time
//! ([`Turns`]), else two of them would both find it free.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use batchlingua_core::Uuid;
use batchlingua_wire::java::is_all_digits;
use tokio::{sync::OwnedMutexGuard, time::timeout_at};

const MADE: &str = "batchlingua-";

/// The name of a batch that its client gave none, or none that a Livy takes.
pub(crate) fn made(uuid: Uuid) -> String {
    format!("{MADE}{uuid}")
}

/// Whether a name was made, by this proxy or by another.
pub(crate) fn is_made(name: &str) -> bool {
    name.strip_prefix(MADE).is_some_and(|rest| rest.len() == 36 && rest.parse::<Uuid>().is_ok())
}

/// Whether Livy takes it: digits only would be an id.
pub(crate) fn is_name(name: &str) -> bool {
    !is_all_digits(name)
}

/// Whether a batch can be asked for by it. Dots alone are no place below a path, however they are escaped.
pub(crate) fn is_addressable(name: &str) -> bool {
    is_name(name) && !matches!(name, "." | "..")
}

/// Submits of one name, one at a time. There are no more names in it than submits on their way.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>);

/// The right to submit a name. Given back in this order: the place counts who is left.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _guard: OwnedMutexGuard<()>,
    _place: Place<'a>,
}

/// Somebody who has the right to a name, or waits for it.
#[derive(Debug)]
struct Place<'a> {
    turns: &'a Turns,
    name: Arc<str>,
}

impl Turns {
    /// Each change is whole by itself, so a panic elsewhere leaves nothing half-done.
    fn names(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn. `None`: it has not come by then.
    pub(crate) async fn take(&self, name: &str, until: Instant) -> Option<Turn<'_>> {
        let name: Arc<str> = name.into();
        let turn = self.names().entry(name.clone()).or_default().clone();
        let place = Place { turns: self, name };
        let guard = timeout_at(until.into(), turn.lock_owned()).await.ok()?;
        Some(Turn { _guard: guard, _place: place })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut names = self.turns.names();
        // Who waits has the other half; it is counted under the same lock under which it is given out.
        if names.get(&self.name).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            names.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_made_name_is_one() {
        let uuid = Uuid::from_u128(7);
        assert!(is_made(&made(uuid)));
        for name in ["nightly", "batchlingua-", "batchlingua-x", "batchlingua-00000000000000000000000000000007", ""] {
            assert!(!is_made(name), "{name}");
        }
        for (name, livy_takes, can_be_asked) in [
            ("a", true, true),
            ("-1", true, true),
            ("12", false, false),
            ("٠", false, false),
            ("", false, false),
            ("..", true, false),
        ] {
            assert_eq!((is_name(name), is_addressable(name)), (livy_takes, can_be_asked), "{name:?}");
        }
    }

    #[tokio::test]
    async fn one_name_has_one_turn_at_a_time_and_leaves_nothing_behind() {
        let turns = Turns::default();
        let soon = || Instant::now() + Duration::from_secs(60);
        let first = turns.take("a", soon()).await.expect("free");
        assert!(turns.take("a", Instant::now()).await.is_none(), "taken");
        drop(turns.take("b", soon()).await.expect("another name"));
        let (second, ()) = tokio::join!(turns.take("a", soon()), async { drop(first) });
        drop(second.expect("its turn has come"));
        assert!(turns.names().is_empty(), "{turns:?}");
    }
}
