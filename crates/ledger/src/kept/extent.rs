//! What is known of a list as a whole: which rows it has, or how many; and up to when that holds.
//!
//! Where other processes write too, nobody here sees what a row was before. Whether a list had it is told by its number then: a list that is too long
//! for its [`Members`] keeps the set of its numbers beside the count. They are given in a row, so that a million of them take some 130 KB.

use batchlingua_core::{Filter, ListQuery, Millis, Order, RowId, Scope, Window};
use roaring::RoaringTreemap;

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

/// The numbers of the rows of a list, and no more of them.
#[derive(Debug)]
pub(crate) struct Numbers(RoaringTreemap);

impl FromIterator<RowId> for Numbers {
    fn from_iter<I: IntoIterator<Item = RowId>>(rows: I) -> Self {
        Self(rows.into_iter().map(|row| row.0.cast_unsigned()).collect())
    }
}

impl Numbers {
    /// Whether it was there.
    fn set(&mut self, row: RowId, is_there: bool) -> bool {
        let number = row.0.cast_unsigned();
        if is_there { !self.0.insert(number) } else { self.0.remove(number) }
    }
}

/// What is known of a list as a whole.
#[derive(Debug)]
pub(crate) enum Extent {
    Members(Members),
    /// With their numbers, where others may change them.
    Count(Count, Option<Numbers>),
}

impl Extent {
    pub(crate) fn total(&self) -> u64 {
        match self {
            Self::Members(members) => members.len() as u64,
            Self::Count(count, _) => count.total,
        }
    }

    /// A row has become another, has come, or has gone. `was`: whether the list had it, where that was seen. Whether it is known how many there
    /// are now.
    pub(super) fn apply(&mut self, row: RowId, was: Option<bool>, is: Option<Member>, floors: Floors) -> bool {
        match self {
            Self::Members(members) => members.set(row, is),
            Self::Count(count, numbers) => {
                let by_number = numbers.as_mut().map(|numbers| numbers.set(row, is.is_some()));
                let Some(was) = by_number.or(was) else { return false };
                count.total = (count.total + u64::from(is.is_some())).saturating_sub(u64::from(was));
                if let Some(is) = is {
                    count.lower(floors, &is);
                }
            }
        }
        true
    }

    /// Only how many they are is to be known from now on.
    pub(super) fn give_up(&mut self, with_numbers: bool) {
        if let Self::Members(members) = self {
            let numbers = with_numbers.then(|| members.rows().collect());
            *self = Self::Count(members.count(), numbers);
        }
    }

    pub(super) fn members(&self) -> usize {
        match self {
            Self::Members(members) => members.len(),
            Self::Count(..) => 0,
        }
    }

    /// The rows of a window, if they are known. What time moves is in no order that is kept.
    pub(crate) fn rows(&mut self, order: Order, window: Window) -> Option<Vec<RowId>> {
        match self {
            Self::Members(members) => members.window(order, window),
            Self::Count(..) => None,
        }
    }
}
