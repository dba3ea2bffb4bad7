//! How a reader's thread reads: by a connection of its own. A read that loses it is tried once more on a new one.

use super::{connection::Connection, slot::Slot};
use crate::LedgerError;

/// From now on several statements see one moment, which is now, until they are ended by ROLLBACK.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot()";

pub(super) fn twice<T>(
    slot: &mut Slot,
    read: &impl Fn(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let mut once = || {
        let (connection, is_new) = slot.get().map_err(|fault| fault.unreadable())?;
        Ok((read(connection), is_new || !connection.is_lost()))
    };
    match once()? {
        (Err(_), false) => once()?.0,
        (result, _) => result,
    }
}
