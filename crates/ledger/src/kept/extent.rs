//! What is known of a list as a whole: which rows it has, or how many; and up to when that holds.

use batchlingua_core::{Filter, ListQuery, Millis, Order, RowId, Scope, Window};

use super::{Member, Members};

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

    fn of_each([ended, created, modified]: [Option<Millis>; 3]) -> Self {
        Self { ended, created, modified }
    }

    /// The higher of each.
    pub(super) fn above(self, other: Self) -> Self {
        let (own, other) = (self.each(), other.each());
        Self::of_each(std::array::from_fn(|at| own[at].max(other[at])))
    }

    /// What a [`Count`] is selected by; `null`: the engine's word for a time that no floor was asked of.
    pub(crate) fn counted(self, null: &str) -> String {
        let columns = ["ended", "created", "modified"].into_iter().zip(self.each());
        let least = columns.map(|(column, floor)| floor.map_or(null.to_owned(), |_| format!("min({column})")));
        format!("count(*), {}", least.collect::<Vec<_>>().join(", "))
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
    pub(super) fn of(members: impl ExactSizeIterator<Item = Member>, floors: Floors) -> Self {
        let mut count = Self { total: members.len() as u64, least: Floors::default() };
        members.for_each(|member| count.lower(floors, &member));
        count
    }

    /// What [`Floors::counted`] has selected.
    pub(crate) fn read<E>(cell: impl Fn(usize) -> Result<Option<i64>, E>) -> Result<Self, E> {
        let time = |at| cell(at).map(|time| time.map(Millis));
        let least = Floors::of_each([time(1)?, time(2)?, time(3)?]);
        Ok(Self { total: cell(0)?.unwrap_or_default().cast_unsigned(), least })
    }

    /// The row is of the list: no floor may pass it unseen.
    pub(super) fn lower(&mut self, floors: Floors, member: &Member) {
        let (floors, least, has) = (floors.each(), self.least.each(), member.times());
        self.least = Floors::of_each(std::array::from_fn(|at| match (floors[at], has[at]) {
            (Some(_), Some(has)) => Some(least[at].map_or(has, |least| least.min(has))),
            (None, _) | (_, None) => least[at],
        }));
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
