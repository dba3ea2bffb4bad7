//! What an operator does to a ledger beside the proxy: look at it, carry it to another engine, tidy it, settle what no machine can.
//!
//! To look takes no lock, so it works beside a running proxy. To write takes what a proxy would take: SQLite's lock, which a running one holds, or
//! PostgreSQL's place among those that write, so there it works beside running replicas too.
//!
//! An export is JSON Lines: a first line that says what it is and how far the counters are, then a line for each row with all its ids and its log.

mod record;

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    sync::Arc,
};

use batchlingua_core::{ByHand, Entry, KeptLog, Millis, Retention, RowId, Uuid};
use serde::{Deserialize, Serialize};

pub(crate) use self::record::id_of;
use self::record::{Record, Whole};
use crate::{
    LedgerError, Options, is_postgres,
    row::{Id, Row},
    rules::Rules,
    table::Table,
};

const FORMAT: &str = "batchlingua ledger";
const VERSION: u32 = 1;
/// Rows that are read or written at once.
const CHUNK: usize = 500;

/// The first line of an export.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    counters: BTreeMap<String, i64>,
}

/// What an engine offers beside [`batchlingua_core::Ledger`].
pub(crate) trait Shelf {
    fn rows(&mut self, after: Option<RowId>, limit: usize) -> Result<Vec<Arc<Row>>, LedgerError>;
    /// The rows of submits without an outcome, in their order.
    fn open_intents(&mut self) -> Result<Vec<Arc<Row>>, LedgerError>;
    /// The rows that are known by this id on any backend, the newest first.
    fn native(&mut self, id: &str) -> Result<Vec<Arc<Row>>, LedgerError>;
    fn ids(&mut self, row: RowId) -> Result<Vec<Id>, LedgerError>;
    fn whose(&mut self, id: &Id) -> Result<Option<RowId>, LedgerError>;
    fn log(&mut self, row: RowId) -> Result<Option<KeptLog>, LedgerError>;
    /// The next ordinal, the last row, the epochs.
    fn counters(&mut self) -> Result<BTreeMap<String, i64>, LedgerError>;
    /// All of it in one transaction, or none.
    fn change(&mut self, work: &mut dyn FnMut(&mut dyn Loader) -> Result<(), LedgerError>) -> Result<(), LedgerError>;
    /// How many rows there are.
    fn count(&mut self) -> Result<u64, LedgerError>;
    /// Gives space back that rows have left.
    fn compact(&mut self) -> Result<(), LedgerError>;
}

/// One transaction of it.
pub(crate) trait Loader {
    fn table(&mut self) -> &mut dyn Table;
    /// Under the number that it has.
    fn insert(&mut self, row: Row) -> Result<(), LedgerError>;
    fn set_counter(&mut self, name: &str, value: i64) -> Result<(), LedgerError>;
}

/// A ledger as an operator sees it.
pub struct Archive {
    shelf: Box<dyn Shelf>,
    rules: Rules,
}

impl Archive {
    /// To be looked at. Nothing is made where there is none.
    pub fn look(url: &str, options: &Options) -> Result<Self, LedgerError> {
        Self::open(url, options, false)
    }

    /// To be changed; made where there is none.
    pub fn take(url: &str, options: &Options) -> Result<Self, LedgerError> {
        Self::open(url, options, true)
    }

    fn open(url: &str, options: &Options, writes: bool) -> Result<Self, LedgerError> {
        crate::check_url(url)?;
        let shelf: Box<dyn Shelf> = match url.strip_prefix("sqlite://") {
            Some(path) => Box::new(crate::sqlite::Files::open(path.as_ref(), writes)?),
            None if is_postgres(url) => Box::new(crate::postgres::Tables::open(url, options, writes)?),
            None => {
                return Err(LedgerError::UnsupportedUrl {
                    url: "memory:, which nobody else can look into,".to_owned(),
                });
            }
        };
        Ok(Self { shelf, rules: Rules::of_several_processes(options) })
    }

    /// Every row, in order, until `each` says that it is enough.
    pub fn each(&mut self, mut each: impl FnMut(&Entry) -> bool) -> Result<(), LedgerError> {
        let mut after = None;
        loop {
            let rows = self.shelf.rows(after, CHUNK)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id());
            if !rows.iter().all(|row| each(&row.entry)) {
                return Ok(());
            }
        }
    }

    /// The submits without an outcome, in their order. They are few, however many rows there are.
    pub fn open_intents(&mut self) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.shelf.open_intents()?.iter().map(|row| row.entry.clone()).collect())
    }

    /// The row of an id as a client or an operator has it: a uuid, an integer, or a backend's own id, the newest with it.
    pub fn find(&mut self, id: &str) -> Result<Option<Entry>, LedgerError> {
        let known = [id.parse::<Uuid>().ok().map(Id::Uuid), id.parse::<u32>().ok().map(Id::Ordinal)];
        for id in known.into_iter().flatten() {
            if let Some(row) = self.shelf.whose(&id)? {
                return self.entry(row);
            }
        }
        Ok(self.shelf.native(id)?.first().map(|row| row.entry.clone()))
    }

    /// The row of this number.
    pub fn entry(&mut self, row: RowId) -> Result<Option<Entry>, LedgerError> {
        let found = self.shelf.rows(Some(RowId(row.0 - 1)), 1)?;
        Ok(found.first().filter(|found| found.id() == row).map(|found| found.entry.clone()))
    }

    /// A row as its line of an export.
    pub fn line(&mut self, row: RowId) -> Result<String, LedgerError> {
        let found = self.shelf.rows(Some(RowId(row.0 - 1)), 1)?;
        let row = found.into_iter().find(|found| found.id() == row).ok_or(LedgerError::NoRow(row))?;
        self.text(row)
    }

    fn text(&mut self, row: Arc<Row>) -> Result<String, LedgerError> {
        let (ids, log) = (self.shelf.ids(row.id())?, self.shelf.log(row.id())?);
        let record = Record::of(&Whole { row: Arc::unwrap_or_clone(row), ids, log })?;
        serde_json::to_string(&record).map_err(|error| LedgerError::Corrupt(error.to_string()))
    }

    /// Writes all of it; how many rows. The counters come first: who reads while others write has no row that is beyond them and missing.
    pub fn export(&mut self, out: &mut dyn Write) -> Result<u64, LedgerError> {
        let failed = |error: std::io::Error| LedgerError::Unwritable(format!("the export: {error}").into());
        let head = Head { format: FORMAT.to_owned(), version: VERSION, counters: self.shelf.counters()? };
        let head = serde_json::to_string(&head).map_err(|error| LedgerError::Corrupt(error.to_string()))?;
        writeln!(out, "{head}").map_err(failed)?;
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = self.shelf.rows(after, CHUNK)?;
            if rows.is_empty() {
                out.flush().map_err(failed)?;
                return Ok(count);
            }
            for row in rows {
                (after, count) = (Some(row.id()), count + 1);
                let line = self.text(row)?;
                writeln!(out, "{line}").map_err(failed)?;
            }
        }
    }

    /// Takes up all of an export, or nothing; how many rows. Only an empty ledger can: two ledgers have given the same integers to different
    /// batches.
    pub fn import(&mut self, from: &mut dyn BufRead) -> Result<u64, LedgerError> {
        if !self.shelf.rows(None, 1)?.is_empty() {
            return Err(LedgerError::Import(
                "the ledger has rows already, and both have given out the same integers: import into an empty one"
                    .to_owned(),
            ));
        }
        let mut lines = from.lines().enumerate();
        let bad = |n: usize, why: &dyn std::fmt::Display| LedgerError::Import(format!("line {}: {why}", n + 1));
        let first = lines.next().map(|(n, line)| line.map_err(|error| bad(n, &error))).transpose()?.unwrap_or_default();
        let head: Head = serde_json::from_str(&first).map_err(|_| bad(0, &"this is no export of a ledger"))?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(bad(
                0,
                &format!("'{}' of version {}, not '{FORMAT}' of version {VERSION}", head.format, head.version),
            ));
        }
        let mut count = 0;
        self.shelf.change(&mut |loader| {
            let mut greatest = 0;
            for (n, line) in lines.by_ref() {
                let line = line.map_err(|error| bad(n, &error))?;
                let record: Record = serde_json::from_str(&line).map_err(|error| bad(n, &error))?;
                let Whole { row, ids, log } = record.whole()?;
                let number = row.id();
                if number.0 <= greatest {
                    return Err(bad(n, &"its row does not come after the one before"));
                }
                greatest = number.0;
                loader.insert(row)?;
                for id in ids {
                    if loader.table().whose(&id)?.is_some() {
                        return Err(bad(n, &"another row has one of its ids"));
                    }
                    loader.table().put_id(id, number)?;
                }
                if let Some(log) = log {
                    loader.table().keep_log(number, &crate::masked::log(&log))?;
                }
                count += 1;
            }
            for (name, value) in &head.counters {
                // The last row is what was there, or what has come since the counters were read.
                let value = if name == "row" { (*value).max(greatest) } else { *value };
                loader.set_counter(name, value)?;
            }
            Ok(())
        })?;
        Ok(count)
    }

    /// Drops what a proxy keeps no longer, and gives the space back; how many rows.
    pub fn compact(&mut self, keep: &Retention) -> Result<u64, LedgerError> {
        let mut dropped = self.drop_ended(keep.ended_before, u64::MAX, keep.limit)?;
        if let Some(room) = keep.room {
            let too_many = self.shelf.count()?.saturating_sub(room.rows);
            dropped += self.drop_ended(room.ended_before, too_many, keep.limit)?;
        }
        self.shelf.compact()?;
        Ok(dropped)
    }

    /// At most so many that ended before; a transaction for each chunk, since replicas may write in between.
    fn drop_ended(&mut self, before: Millis, most: u64, chunk: usize) -> Result<u64, LedgerError> {
        let mut dropped = 0;
        while dropped < most {
            let limit = usize::try_from(most - dropped).unwrap_or(usize::MAX).min(chunk);
            let (mut some, rules) = (0, &self.rules);
            self.shelf.change(&mut |loader| {
                some = rules.expire(loader.table(), before, limit)?;
                Ok(())
            })?;
            if some == 0 {
                break;
            }
            dropped += some as u64;
        }
        Ok(dropped)
    }

    /// What a person has found out about a submit that nobody could tell about. Whoever may still be at it has lost the right to.
    pub fn settle(&mut self, row: RowId, said: &ByHand) -> Result<Entry, LedgerError> {
        let (mut done, rules) = (None, &self.rules);
        self.shelf.change(&mut |loader| {
            done = Some(rules.overrule(loader.table(), row, said)?);
            Ok(())
        })?;
        done.ok_or(LedgerError::NoRow(row))
    }
}
