//! Which rows a list has, in its orders, without the rows themselves: a few numbers for each.
//!
//! With them any window of the list is known without a search, however long the list and however far in the window is; and what leaves by its
//! age is taken off one by one, where a count would have to be made anew. What that takes is bounded: a list of more rows has none.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use batchlingua_core::{Millis, Order, RowId, SortKey, Times, Window};

use super::{Count, Floors};
use crate::row::Row;

/// How many orders of one list are kept.
const ORDERS: usize = 3;
/// Times of rows that have others by now are forgotten when they are so many times the rows.
const STALE: usize = 4;

/// What a list knows of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) row: RowId,
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    pub(crate) ended: Option<Millis>,
}

impl Member {
    /// What [`Member::read`] is selected by.
    pub(crate) const COLUMNS: &str = r#""row", created, modified, ended"#;

    /// Of a row of [`Member::COLUMNS`].
    pub(crate) fn read<E>(cell: impl Fn(usize) -> Result<Option<i64>, E>) -> Result<Self, E> {
        let number = |at| cell(at).map(Option::unwrap_or_default);
        let (row, [created, modified]) = (RowId(number(0)?), [number(1)?, number(2)?].map(Millis));
        Ok(Self { row, created, modified, ended: cell(3)?.map(Millis) })
    }

    pub(crate) fn of(row: &Row) -> Self {
        let Times { created, modified, ended, .. } = row.batch().times;
        Self { row: row.id(), created, modified, ended }
    }

    /// The times that floors are asked of, in their order.
    pub(super) fn times(&self) -> [Option<Millis>; 3] {
        [self.ended, Some(self.created), Some(self.modified)]
    }

    pub(crate) fn is_above(&self, floors: Floors) -> bool {
        let mut each = self.times().into_iter().zip(floors.each());
        each.all(|(has, floor)| has.zip(floor).is_none_or(|(has, floor)| has >= floor))
    }
}

/// The rows of one list.
#[derive(Debug)]
pub(crate) struct Members {
    floors: Floors,
    all: HashMap<RowId, Member>,
    /// Those asked for last come last.
    orders: Vec<Sorted>,
    /// For each floor that is asked, which row passes it next. A row whose time has changed since stands here by its old one as well.
    leaving: [BinaryHeap<Reverse<(Millis, RowId)>>; 3],
}

impl Members {
    pub(crate) fn new(floors: Floors, rows: impl IntoIterator<Item = Member>) -> Self {
        let all = rows.into_iter().map(|member| (member.row, member)).collect();
        let mut members = Self { floors, all, orders: Vec::new(), leaving: Default::default() };
        members.leave_anew();
        members
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// What is known of a list of which only the total is kept.
    pub(crate) fn count(&self) -> Count {
        Count::of(self.all.values().copied(), self.floors)
    }

    /// The rows of a window. `None`: they are not in an order that numbers tell.
    pub(crate) fn window(&mut self, order: Order, window: Window) -> Option<Vec<RowId>> {
        let at = match self.orders.iter().position(|sorted| sorted.is_for(order)) {
            Some(at) => at,
            None => {
                let sorted = Sorted::of(order, self.all.values())?;
                if self.orders.len() == ORDERS {
                    self.orders.remove(0);
                }
                self.orders.push(sorted);
                self.orders.len() - 1
            }
        };
        self.orders[at..].rotate_left(1);
        self.orders.last().map(|sorted| sorted.window(order, window))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = RowId> {
        self.all.keys().copied()
    }

    /// A row has become another, has come, or has gone.
    pub(crate) fn set(&mut self, row: RowId, is: Option<Member>) {
        let is = is.filter(|is| is.is_above(self.floors));
        let was = self.all.remove(&row);
        for sorted in &mut self.orders {
            sorted.apply(was.as_ref(), is.as_ref());
        }
        if let Some(is) = is {
            self.all.insert(is.row, is);
            self.leave(&is, was.as_ref());
        }
    }

    /// Takes off what is below these, which are no lower than those before. How many that were.
    pub(crate) fn raise(&mut self, floors: Floors) -> usize {
        self.floors = floors;
        let before = self.all.len();
        for (at, floor) in floors.each().into_iter().enumerate() {
            let Some(floor) = floor else { continue };
            while let Some(Reverse((time, row))) = self.leaving[at].peek().copied().filter(|next| next.0.0 < floor) {
                self.leaving[at].pop();
                // It may have another time by now.
                let leaves = self.all.get(&row).is_some_and(|member| member.times()[at] == Some(time));
                if leaves && let Some(gone) = self.all.remove(&row) {
                    self.orders.iter_mut().for_each(|sorted| sorted.apply(Some(&gone), None));
                }
            }
        }
        before - self.all.len()
    }

    fn leave(&mut self, is: &Member, was: Option<&Member>) {
        let before = was.map_or([None; 3], Member::times);
        for (at, (is_at, was_at)) in is.times().into_iter().zip(before).enumerate() {
            if let (Some(time), Some(_)) = (is_at, self.floors.each()[at])
                && was_at != Some(time)
            {
                self.leaving[at].push(Reverse((time, is.row)));
            }
        }
        if self.leaving.iter().any(|leaving| leaving.len() > STALE * (self.all.len() + ORDERS)) {
            self.leave_anew();
        }
    }

    fn leave_anew(&mut self) {
        let floors = self.floors.each();
        for (at, leaving) in self.leaving.iter_mut().enumerate() {
            let times = self.all.values().filter_map(|member| Some(Reverse((member.times()[at]?, member.row))));
            *leaving = if floors[at].is_some() { times.collect() } else { BinaryHeap::new() };
        }
    }
}

/// Sorted by this; the number of the row is the second or the third.
type Key = [i64; 3];

/// The rows in one order. Most that change are new, and what leaves is old: either end is near.
#[derive(Debug)]
struct Sorted {
    by: By,
    keys: VecDeque<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Either way.
    Created,
    ModifiedFirst,
    /// To be read backwards.
    ModifiedLast,
}

impl By {
    fn of(order: Order) -> Option<Self> {
        match order.key {
            SortKey::Created => Some(Self::Created),
            SortKey::Modified if order.descending => Some(Self::ModifiedLast),
            SortKey::Modified => Some(Self::ModifiedFirst),
            SortKey::Name | SortKey::Project | SortKey::Queue | SortKey::Title | SortKey::Id => None,
            SortKey::Duration | SortKey::Lifetime => None,
        }
    }

    fn key(self, member: &Member) -> Key {
        let Member { row, created, modified, .. } = member;
        match self {
            Self::Created => [created.0, row.0, 0],
            Self::ModifiedFirst => [modified.0, created.0, row.0],
            // What is equal is in the order of its creation all the same.
            Self::ModifiedLast => [modified.0, -created.0, -row.0],
        }
    }

    fn row(self, key: Key) -> RowId {
        RowId(match self {
            Self::Created => key[1],
            Self::ModifiedFirst => key[2],
            Self::ModifiedLast => -key[2],
        })
    }
}

impl Sorted {
    fn of<'a>(order: Order, members: impl Iterator<Item = &'a Member>) -> Option<Self> {
        let by = By::of(order)?;
        let mut keys: Vec<Key> = members.map(|member| by.key(member)).collect();
        keys.sort_unstable();
        Some(Self { by, keys: keys.into() })
    }

    fn is_for(&self, order: Order) -> bool {
        By::of(order) == Some(self.by)
    }

    fn apply(&mut self, was: Option<&Member>, is: Option<&Member>) {
        let [was, is] = [was, is].map(|member| member.map(|member| self.by.key(member)));
        if was == is {
            return;
        }
        if let Some(at) = was.and_then(|was| self.keys.binary_search(&was).ok()) {
            self.keys.remove(at);
        }
        if let Some(is) = is
            && let Err(at) = self.keys.binary_search(&is)
        {
            self.keys.insert(at, is);
        }
    }

    fn window(&self, order: Order, window: Window) -> Vec<RowId> {
        let [from, size] = [window.from, window.size].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let row = |key: &Key| self.by.row(*key);
        match order.descending {
            true => self.keys.iter().rev().skip(from).take(size).map(row).collect(),
            false => self.keys.iter().skip(from).take(size).map(row).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const KEYS: [SortKey; 2] = [SortKey::Created, SortKey::Modified];

    fn member() -> impl Strategy<Value = Member> {
        let time = || (0..20_i64).prop_map(Millis);
        (1..12_i64, time(), time(), prop::option::of(time())).prop_map(|(row, created, modified, ended)| Member {
            row: RowId(row),
            created,
            modified,
            ended,
        })
    }

    /// What is done to a list: a row becomes this, or goes; or floors rise by so much.
    #[derive(Clone, Debug)]
    enum Deed {
        Is(Member),
        Gone(i64),
        Rise(usize, i64),
    }

    fn deed() -> impl Strategy<Value = Deed> {
        prop_oneof![
            6 => member().prop_map(Deed::Is),
            2 => (1..12_i64).prop_map(Deed::Gone),
            1 => (0..3_usize, 0..4_i64).prop_map(|(at, by)| Deed::Rise(at, by)),
        ]
    }

    /// In the order of a list, as it is asked for.
    fn sorted(members: &HashMap<RowId, Member>, order: Order) -> Vec<RowId> {
        let mut members: Vec<&Member> = members.values().collect();
        members.sort_by(|a, b| {
            let by_creation = (a.created, a.row).cmp(&(b.created, b.row));
            match (order.key, order.descending) {
                (SortKey::Modified, false) => a.modified.cmp(&b.modified).then(by_creation),
                (SortKey::Modified, true) => b.modified.cmp(&a.modified).then(by_creation),
                (_, false) => by_creation,
                (_, true) => by_creation.reverse(),
            }
        });
        members.into_iter().map(|member| member.row).collect()
    }

    proptest! {
        #[test]
        fn a_list_has_the_rows_that_it_should(asked in prop::array::uniform3(prop::option::of(0..5_i64)), deeds in vec(deed(), 1..60)) {
            let [ended, created, modified] = asked.map(|floor| floor.map(Millis));
            let mut floors = Floors { ended, created, modified };
            let mut members = Members::new(floors, []);
            let mut model: HashMap<RowId, Member> = HashMap::new();
            for deed in deeds {
                match deed {
                    Deed::Is(is) => {
                        members.set(is.row, Some(is));
                        model.insert(is.row, is);
                    }
                    Deed::Gone(row) => {
                        model.remove(&RowId(row));
                        members.set(RowId(row), None);
                    }
                    Deed::Rise(at, by) => {
                        let floor = [&mut floors.ended, &mut floors.created, &mut floors.modified];
                        floor.into_iter().nth(at).into_iter().flatten().for_each(|floor| floor.0 += by);
                        members.raise(floors);
                    }
                }
                let shown = model.clone().into_iter().filter(|(_, member)| member.is_above(floors)).collect();
                for (key, descending) in KEYS.into_iter().flat_map(|key| [(key, false), (key, true)]) {
                    let order = Order { key, descending };
                    let expected = sorted(&shown, order);
                    prop_assert_eq!(members.len(), expected.len());
                    let all = members.window(order, Window { from: 0, size: 100 });
                    prop_assert_eq!(all.as_deref(), Some(&*expected), "{:?}", order);
                    let some = members.window(order, Window { from: 2, size: 3 });
                    let cut: Vec<RowId> = expected.into_iter().skip(2).take(3).collect();
                    prop_assert_eq!(some, Some(cut));
                }
            }
        }
    }

    #[test]
    fn what_is_kept_of_rows_that_change_is_bounded() {
        let floors = Floors { modified: Some(Millis(0)), ..Floors::default() };
        let at = |modified| Member { row: RowId(1), created: Millis(0), modified: Millis(modified), ended: None };
        let mut members = Members::new(floors, [at(0)]);
        for now in 1..1_000 {
            members.set(RowId(1), Some(at(now)));
        }
        assert!(members.leaving[2].len() <= STALE * (1 + ORDERS));
        assert_eq!(members.raise(Floors { modified: Some(Millis(999)), ..floors }), 0);
        assert_eq!(members.raise(Floors { modified: Some(Millis(1_000)), ..floors }), 1);
        assert_eq!(members.window(Order { key: SortKey::Name, descending: false }, Window { from: 0, size: 1 }), None);
    }
}
