//! A window of a list, brought up to date with each change of a row as far as it can be known what it shows then.

use std::{cmp::Ordering, sync::Arc};

use batchlingua_core::{Millis, Order, RowId, Window};

use crate::{cache::bytes, row::Row, view};

/// What a change of a row is to one list.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) row: RowId,
    /// Whether the list had it, where that was seen.
    pub(super) had: Option<bool>,
    /// What it was there, where windows can show nothing else of it.
    pub(super) was: Option<Option<&'a Arc<Row>>>,
    pub(super) is: Option<&'a Arc<Row>>,
}

#[derive(Debug)]
pub(super) struct Page {
    pub(super) order: Order,
    pub(super) window: Window,
    pub(super) rows: Vec<Arc<Row>>,
    /// In the order of all questions.
    pub(super) asked: u64,
}

impl Page {
    pub(super) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| bytes(row)).sum()
    }

    fn order(&self, a: &Row, b: &Row) -> Ordering {
        // No kept order depends on the time.
        view::order(self.order, a, b, Millis::default())
    }

    fn size(&self) -> usize {
        usize::try_from(self.window.size).unwrap_or(usize::MAX)
    }

    /// Whether it is known what the window shows after a row has gone, come, or become another. What stands before and behind the window is
    /// not known but for its order.
    fn apply(&mut self, was: Option<&Arc<Row>>, is: Option<&Arc<Row>>) -> bool {
        if self.window.size == 0 {
            return true;
        }
        let full = self.rows.len() >= self.size();
        let at = was.and_then(|was| self.rows.iter().position(|row| row.id() == was.id()));
        match (was, at) {
            (Some(was), Some(at)) => {
                if let Some(is) = is
                    && self.order(was, is) == Ordering::Equal
                {
                    self.rows[at] = is.clone();
                    return true;
                }
                self.rows.remove(at);
                match is {
                    None => !full,
                    Some(is) => match self.place(is) {
                        Place::At(at) if at < self.rows.len() || !full => {
                            self.rows.insert(at, is.clone());
                            true
                        }
                        Place::At(_) | Place::Before => false,
                    },
                }
            }
            (Some(was), None) => match (self.place(was), is.map(|is| self.place(is))) {
                (Place::Before, Some(Place::Before)) => !self.rows.is_empty(),
                (Place::Before, None | Some(Place::At(_))) => false,
                // It would be in the window.
                (Place::At(at), _) if at < self.rows.len() || !full => false,
                (Place::At(_), Some(Place::Before)) => false,
                (Place::At(_), Some(Place::At(at))) => self.insert(at, is),
                (Place::At(_), None) => true,
            },
            (None, _) => match is.map(|is| self.place(is)) {
                Some(Place::At(at)) => self.insert(at, is),
                Some(Place::Before) => false,
                None => true,
            },
        }
    }

    /// Whether it is known what the window shows after these. Where it is not, it shows of its rows what they are all the same.
    pub(super) fn follow(&mut self, changes: &[Change<'_>]) -> bool {
        changes.iter().fold(true, |is_known, change| {
            is_known
                & match change.was {
                    Some(was) => self.apply(was, change.is),
                    None => self.tell(change.row, change.is),
                }
        })
    }

    /// As [`Page::apply`] where nobody has seen what the row was when this was read.
    fn tell(&mut self, row: RowId, is: Option<&Arc<Row>>) -> bool {
        let was = self.rows.iter().find(|other| other.id() == row).cloned();
        // A window that begins with the list and does not show the row has it behind itself or nowhere, which is the same to it. Before any other
        // window it may have stood, or not.
        let is_known = was.is_some() || self.window.from == 0;
        is_known && self.apply(was.as_ref(), is)
    }

    /// Whether these are its rows. They may be where it was not known which they are.
    pub(super) fn has_just(&self, rows: &[RowId]) -> bool {
        self.rows.iter().map(|row| row.id()).eq(rows.iter().copied())
    }

    fn insert(&mut self, at: usize, row: Option<&Arc<Row>>) -> bool {
        if let Some(row) = row.filter(|_| at < self.size()) {
            self.rows.insert(at, row.clone());
            self.rows.truncate(self.size());
        }
        true
    }

    /// Where a row that is not in the window belongs.
    fn place(&self, row: &Row) -> Place {
        match self.rows.partition_point(|other| self.order(other, row) == Ordering::Less) {
            0 if self.window.from > 0 => Place::Before,
            at => Place::At(at),
        }
    }
}

/// Where a row belongs in the order of a list.
enum Place {
    /// Before the window, or between it and what stands before it.
    Before,
    /// Here; behind the last row, it may also be behind the window.
    At(usize),
}
