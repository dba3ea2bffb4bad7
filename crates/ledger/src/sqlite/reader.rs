//! How a reader's thread reads: by a connection of its own. In WAL mode it neither waits for the writer nor holds it up.

use std::path::Path;

use rusqlite::Connection;

use super::unreadable;
use crate::LedgerError;

/// A count and its rows are of the same moment.
pub(super) fn on_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let snapshot = connection.unchecked_transaction().map_err(unreadable)?;
    let result = read(&snapshot);
    snapshot.commit().map_err(unreadable)?;
    result
}

/// A connection that cannot write.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(super::STATEMENTS);
    Ok(connection)
}
