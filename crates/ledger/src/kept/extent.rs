//! What is known of a list as a whole: which rows it has, or how many; and up to when that holds.

use std::sync::Arc;

use batchlingua_core::{Filter, ListQuery, Millis, Order, RowId, Scope, Window};

use super::Members;
use crate::row::Row;

/// The least that a row of a list may have of each time; `None` where no such floor was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floors {
    pub(crate) ended: Option<Millis>,
    pub(crate) created: Option<Millis>,
    pub(crate) modified: Option<Millis>,
}

impl Floors {
    pub(crate) fn of(query: &ListQuery, scope: &Scope) -> Self {
        let Filter { created_from, modified_from, .. } = query.filter;
        Self { ended: scope.ended_from, created: created_from, modified: modified_from }
    }

    pub(super) fn each(self) -> [Option<Millis>; 3] {
        [self.ended, self.created, self.modified]
    }

    /// The higher of each.
    pub(super) fn above(self, other: Self) -> Self {
        Self {
            ended: self.ended.max(other.ended),
            created: self.created.max(other.created),
            modified: self.modified.max(other.modified),
        }
    }
}

/// How many rows there are in all, and the least that any of them has of each time that a floor was asked of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) total: u64,
    pub(crate) least: Floors,
}

impl Count {
    /// Of a list of which these are all.
    pub(super) fn of(rows: &[Arc<Row>], floors: Floors) -> Self {
        let mut count = Self { total: rows.len() as u64, least: Floors::default() };
        rows.iter().for_each(|row| count.lower(&floors, row));
        count
    }

    /// The row is of the list: no floor may pass it unseen.
    pub(super) fn lower(&mut self, floors: &Floors, row: &Row) {
        let times = &row.batch().times;
        let least = |floor: Option<Millis>, least: Option<Millis>, has: Option<Millis>| match (floor, has) {
            (Some(_), Some(has)) => Some(least.map_or(has, |least| least.min(has))),
            (None, _) | (_, None) => least,
        };
        let Floors { ended, created, modified } = self.least;
        self.least = Floors {
            ended: least(floors.ended, ended, times.ended),
            created: least(floors.created, created, Some(times.created)),
            modified: least(floors.modified, modified, Some(times.modified)),
        };
    }
}

/// What is known of a list as a whole.
#[derive(Debug)]
pub(crate) enum Extent {
    Members(Members),
    Count(Count),
}

impl Extent {
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Members(members) => members.len() as u64,
            Self::Count(count) => count.total,
        }
    }

    pub(super) fn members(&self) -> usize {
        match self {
            Self::Members(members) => members.len(),
            Self::Count(_) => 0,
        }
    }

    /// The rows of a window, if they are known. What time moves is in no order that is kept.
    pub(crate) fn rows(&mut self, order: Order, window: Window) -> Option<Vec<RowId>> {
        match self {
            Self::Members(members) => members.window(order, window),
            Self::Count(_) => None,
        }
    }
}
