//! Lists beside another process that writes the same rows.

use std::collections::BTreeMap;

use batchlingua_core::{Millis, Order, RowId, SortKey, Window};
use proptest::{collection::vec, prelude::*};

use super::{
    tests::{ended, members, numbered, row, scope},
    *,
};
use crate::view;

/// Created at its number, modified then, and ended then if it has.
fn version(number: i64, revision: u64, modified: i64, end: Option<i64>) -> Arc<Row> {
    let mut row = end.map_or_else(|| row(number), |end| ended(&row(number), end)).as_ref().clone();
    row.revision = revision;
    row.batch_mut().times.modified = Millis(modified);
    Arc::new(row)
}

#[derive(Clone, Debug)]
enum Deed {
    /// Here, which is published at once.
    Own(i64, Option<(i64, Option<i64>)>),
    /// At the other process, of which is heard later.
    Other(i64, Option<(i64, Option<i64>)>),
    Hear,
    Begin(usize),
    Learn,
}

fn deed() -> impl Strategy<Value = Deed> {
    let is = || prop::option::weighted(0.8, (0..9_i64, prop::option::of(40..60_i64)));
    prop_oneof![
        3 => (0..9_i64, is()).prop_map(|(row, is)| Deed::Own(row, is)),
        4 => (0..9_i64, is()).prop_map(|(row, is)| Deed::Other(row, is)),
        2 => Just(Deed::Hear),
        4 => (0..QUERIES).prop_map(Deed::Begin),
        4 => Just(Deed::Learn),
    ]
}

const QUERIES: usize = 8;
/// Half of what has ended has left.
const FLOOR: i64 = 50;

fn query(at: usize) -> ListQuery {
    let orders =
        [(SortKey::Created, false), (SortKey::Created, true), (SortKey::Modified, true), (SortKey::Title, false)];
    let (key, descending) = orders[at % 4];
    let from = if at < 4 { 0 } else { 2 };
    ListQuery { order: Order { key, descending }, window: Window { from, size: 3 }, ..ListQuery::default() }
}

type Store = BTreeMap<i64, Arc<Row>>;

fn all_of(store: &Store, query: &ListQuery, scope: &Scope) -> Vec<Arc<Row>> {
    let shown = |row: &&Arc<Row>| Member::of(row).is_above(Floors::of(query, scope));
    let mut rows: Vec<_> = store.values().filter(shown).cloned().collect();
    rows.sort_by(|a, b| view::order(query.order, a, b, Millis::default()));
    rows
}

fn versions(rows: &[Arc<Row>], window: Window) -> Vec<(i64, u64)> {
    let rows = rows.iter().skip(window.from as usize).take(window.size as usize);
    rows.map(|row| (row.id().0, row.revision)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever two processes do, and whenever it is read and heard of: when all is heard, what is kept is what is stored.
    #[test]
    fn when_all_is_heard_each_kept_list_is_as_it_is_stored(deeds in vec(deed(), 0..60), are_known in any::<bool>()) {
        let (lists, scope) = (Lists::shared(100), scope(Some(FLOOR)));
        let (mut store, mut unheard, mut readings) = (Store::new(), Vec::new(), Vec::new());
        let mut revision = 1;
        for deed in deeds.into_iter().chain([Deed::Learn, Deed::Learn, Deed::Hear]) {
            match deed {
                Deed::Own(number, is) | Deed::Other(number, is) => {
                    revision += 1;
                    let is = is.map(|(modified, end)| version(number, revision, modified, end));
                    let was = match is.clone() {
                        Some(is) => store.insert(number, is),
                        None => store.remove(&number),
                    };
                    match deed {
                        Deed::Own(..) => lists.publish(Moved::of(was, is).into_iter().collect()),
                        _ => unheard.push(number),
                    }
                }
                Deed::Hear => {
                    let heard = unheard.drain(..).map(|row| Moved::told(RowId(row), store.get(&row).cloned()));
                    lists.publish(heard.collect());
                }
                Deed::Begin(at) => {
                    let (reading, known) = lists.begin(&query(at), &scope);
                    readings.push((at, reading, known, store.clone()));
                }
                Deed::Learn if readings.is_empty() => {}
                Deed::Learn => {
                    let (at, reading, known, then) = readings.remove(0);
                    let query = query(at);
                    let all = all_of(&then, &query, &scope);
                    let rows: Vec<_> = match known {
                        Some(known) => known.iter().filter_map(|row| then.get(&row.0)).cloned().collect(),
                        None => all.iter().skip(query.window.from as usize).take(3).cloned().collect(),
                    };
                    let members = members(&query, &scope, &all);
                    let extent = if are_known { Extent::Members(members) } else { numbered(members) };
                    lists.learn(&reading, (&query, &scope), &rows, Some(extent));
                }
            }
            if unheard.is_empty() {
                for query in (0..QUERIES).map(query) {
                    let Some(answer) = lists.get(&query, &scope) else { continue };
                    let all = all_of(&store, &query, &scope);
                    let whole = Window { from: 0, size: 9 };
                    prop_assert_eq!(versions(&answer.rows, whole), versions(&all, query.window), "{:?}", query.order);
                    prop_assert_eq!(answer.total, all.len() as u64);
                }
            }
        }
    }
}
