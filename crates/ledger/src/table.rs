//! What the rules need of an engine inside one transaction. An engine knows how rows are kept and found; it decides nothing.

use std::sync::Arc;

use batchlingua_core::{BackendName, DialectName, Holder, KeptLog, Millis, RowId};

use crate::{
    LedgerError,
    row::{Id, Row},
};

/// The rows and ids as they stand within one transaction, alone. Where a rule fails, SQLite undoes what it did; memory has nothing to undo
/// with, so the rules check before they write, and all that a late failure can leave there is a lost ordinal, a freed key, or a number that
/// was rightly given up.
pub(crate) trait Table {
    /// The row of that number.
    fn get(&mut self, row: RowId) -> Result<Option<Arc<Row>>, LedgerError>;

    /// Whose id it is.
    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError>;

    /// The row that a client's key belongs to.
    fn by_key(&mut self, principal: &str, dialect: &DialectName, key: &str) -> Result<Option<Arc<Row>>, LedgerError>;

    /// The newest batch of that name that this principal has submitted, that may still live and whose end nobody has asked for: see
    /// [`crate::view::lives_under`].
    fn live_named(&mut self, name: &str, principal: &str) -> Result<Option<Arc<Row>>, LedgerError>;

    /// Whether the dialect lists a batch of that name: see [`crate::view::holds_name`].
    fn name_held(&mut self, name: &str, dialect: &DialectName, ended_from: Millis) -> Result<bool, LedgerError>;

    /// Whether an open intent for this backend is marked by that name.
    fn marks_open_intent(&mut self, backend: &BackendName, name: &str) -> Result<bool, LedgerError>;

    /// Open intents in their order whose lease is over; or, if `others` is given, whose holder is another one.
    fn claimable(&mut self, now: Millis, others: Option<&Holder>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError>;

    /// Rows of this backend with an integer for native id and neither a name nor an application: nothing tells them from another batch
    /// that has the integer later. See [`Row::is_nondescript`].
    fn nondescript(&mut self, backend: &BackendName) -> Result<Vec<Arc<Row>>, LedgerError>;

    /// The newest row that there was when this backend was last found to count anew; row 0 if it never was.
    fn epoch(&mut self, backend: &BackendName) -> Result<RowId, LedgerError>;

    /// From now on that is the newest row that there is.
    fn begin_epoch(&mut self, backend: &BackendName) -> Result<(), LedgerError>;

    /// Rows that ended before that, those that ended first before others.
    fn ended_before(&mut self, end: Millis, limit: usize) -> Result<Vec<RowId>, LedgerError>;

    /// One more than the greatest ordinal that was ever made here, or greater after a crash; 0 if none was, which may itself be the first.
    fn next_ordinal(&mut self) -> Result<u32, LedgerError>;

    /// Remembers it.
    fn set_next_ordinal(&mut self, ordinal: u32) -> Result<(), LedgerError>;

    /// Gives the row its number, which no row ever had.
    fn insert(&mut self, row: Row) -> Result<Arc<Row>, LedgerError>;

    /// Replaces what may change of the row of that number, and raises its revision.
    fn update(&mut self, row: Row) -> Result<Arc<Row>, LedgerError>;

    /// Gives an id that is nobody's to a row.
    fn put_id(&mut self, id: Id, row: RowId) -> Result<(), LedgerError>;

    /// Makes an id nobody's.
    fn free_id(&mut self, id: &Id) -> Result<(), LedgerError>;

    /// Gives all ids of one row to another.
    fn move_ids(&mut self, from: RowId, to: RowId) -> Result<(), LedgerError>;

    /// Drops the row, its ids and its log.
    fn remove(&mut self, row: RowId) -> Result<(), LedgerError>;

    /// Keeps a log in the place of what was kept.
    fn keep_log(&mut self, row: RowId, log: &KeptLog) -> Result<(), LedgerError>;
}
