//! Lists that follow changes, and what is forgotten.

use batchlingua_core::{
    Batch, BatchSpec, BatchState, Filter, Millis, NativeId, NativeIdentity, NativeIds, RowId, Uuid, Window,
};

use super::{question::BEHIND, *};
use crate::masked::MaskedSpec;

/// Created at its number.
pub(super) fn row(number: i64) -> Arc<Row> {
    let native = NativeId::from(number.to_string());
    let mut batch = Batch::new(native.clone(), BatchState::Running, Arc::default());
    batch.times.created = Millis(number);
    let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique };
    let spec = MaskedSpec::of(&BatchSpec::default());
    let mut row = Row::of_sighting(&"b".into(), &seen, spec, (Uuid::from_u128(1), 1), Millis(1));
    row.entry.row = RowId(number);
    Arc::new(row)
}

pub(super) fn ended(row: &Row, at: i64) -> Arc<Row> {
    let mut row = row.clone();
    row.batch_mut().times.ended = Some(Millis(at));
    Arc::new(row)
}

pub(super) fn scope(ended_from: Option<i64>) -> Scope {
    let (dialect, ended_from) = ("livy".into(), ended_from.map(Millis));
    Scope { dialect, backends: None, projects: None, unscoped: true, ended_from }
}

fn window(from: u64, size: u64) -> ListQuery {
    ListQuery { window: Window { from, size }, ..ListQuery::default() }
}

fn came(row: Arc<Row>) -> Vec<Moved> {
    Moved::of(None, Some(row)).into_iter().collect()
}

fn gone(row: Arc<Row>) -> Vec<Moved> {
    Moved::of(Some(row), None).into_iter().collect()
}

fn numbers(answer: Option<Answer>) -> Option<(Vec<i64>, u64)> {
    answer.map(|answer| (answer.rows.iter().map(|row| row.id().0).collect(), answer.total))
}

fn learned(lists: &Lists, query: &ListQuery, scope: &Scope, rows: &[Arc<Row>], total: u64) {
    let (reading, _) = lists.begin(query, scope);
    let extent = Some(counted(query, scope, rows, total));
    lists.learn(&reading, (query, scope), rows, extent).expect("the total is told");
}

pub(super) fn members(query: &ListQuery, scope: &Scope, rows: &[Arc<Row>]) -> Members {
    Members::new(Floors::of(query, scope), rows.iter().map(|row| Member::of(row)))
}

fn counted(query: &ListQuery, scope: &Scope, rows: &[Arc<Row>], total: u64) -> Extent {
    Extent::Count(Count { total, ..members(query, scope, rows).count() }, None)
}

#[test]
fn a_window_follows_what_it_can_know_and_is_forgotten_else() {
    let lists = Lists::new(100);
    let (first, second, all) = (window(0, 2), window(2, 2), scope(None));
    learned(&lists, &first, &all, &[row(10), row(20)], 4);
    learned(&lists, &second, &all, &[row(30), row(40)], 4);
    lists.publish(came(row(50)));
    assert_eq!(numbers(lists.get(&second, &all)), Some((vec![30, 40], 5)), "it came behind both");
    lists.publish(came(row(35)));
    assert_eq!(numbers(lists.get(&second, &all)), Some((vec![30, 35], 6)));
    lists.publish(came(row(15)));
    assert_eq!(numbers(lists.get(&first, &all)), Some((vec![10, 15], 7)));
    assert!(lists.get(&second, &all).is_none() && lists.counts(&second, &all), "what moves into it is not known");
    lists.publish(gone(row(15)));
    assert!(lists.get(&first, &all).is_none() && lists.counts(&first, &all), "nor what comes from behind");
}

#[test]
fn a_list_that_changed_while_it_was_read_is_answered_as_it_is_now() {
    let lists = Lists::new(100);
    let (query, all) = (window(0, 9), scope(None));
    let (reading, _) = lists.begin(&query, &all);
    lists.publish(came(row(3)));
    lists.publish(gone(row(1)));
    let read = [row(1), row(2)];
    let answer = lists.learn(&reading, (&query, &all), &read, Some(counted(&query, &all, &read, 2)));
    assert_eq!(numbers(answer), Some((vec![2, 3], 2)));
    drop(reading);
    assert!(lists.inner().recent.is_empty(), "nobody reads");
    // More than is remembered: the answer is of its own moment, and not kept.
    let late = Lists::new(100);
    let (reading, _) = late.begin(&query, &all);
    (0..=RECENT as i64).for_each(|number| late.publish(came(row(number + 10))));
    let answer = late.learn(&reading, (&query, &all), &read, Some(counted(&query, &all, &read, 2)));
    assert_eq!(numbers(answer), Some((vec![1, 2], 2)));
    assert!(late.get(&query, &all).is_none() && late.inner().recent.len() <= RECENT);
}

#[test]
fn what_was_read_before_an_unknown_change_is_not_kept() {
    let lists = Lists::new(100);
    let (query, all) = (window(0, 9), scope(None));
    learned(&lists, &query, &all, &[row(1)], 1);
    let (reading, _) = lists.begin(&query, &all);
    lists.forget();
    assert!(lists.get(&query, &all).is_none() && !lists.counts(&query, &all));
    let read = [row(1), row(2)];
    let answer = lists.learn(&reading, (&query, &all), &read, Some(counted(&query, &all, &read, 2)));
    assert_eq!(numbers(answer), Some((vec![1, 2], 2)), "it was so a moment ago");
    assert!(lists.get(&query, &all).is_none());
    learned(&lists, &query, &all, &read, 2);
    assert!(lists.get(&query, &all).is_some(), "what is read after it is kept");
}

#[test]
fn what_leaves_by_its_age_ends_an_answer_in_its_time() {
    let lists = Lists::new(100);
    let query = window(0, 9);
    let rows = [ended(&row(1), 100), row(2)];
    learned(&lists, &query, &scope(Some(50)), &rows, 2);
    for (from, kept) in [(50, true), (100, true), (101, false), (49, false)] {
        assert_eq!(lists.get(&query, &scope(Some(from))).is_some(), kept, "from {from}");
    }
    assert!(lists.get(&query, &scope(None)).is_none());
    let moved = Moved::of(Some(row(2)), Some(ended(&row(2), 70)));
    lists.publish(moved.into_iter().collect());
    assert!(lists.get(&query, &scope(Some(70))).is_some() && lists.get(&query, &scope(Some(71))).is_none());
}

/// A list whose rows are known: what leaves by its age is taken off, and what stands where then is known without a search.
#[test]
fn of_a_list_that_is_not_long_every_window_is_known() {
    let lists = Lists::new(100);
    let query = window(0, 2);
    let ends = [100, 200, 300].map(|at| ended(&row(at / 100), at));
    let (old, rows) = (scope(Some(50)), [&ends[..], &[row(4)]].concat());
    let (reading, known) = lists.begin(&query, &old);
    assert!(known.is_none(), "nobody has asked yet");
    let extent = Some(Extent::Members(members(&query, &old, &rows)));
    let answer = lists.learn(&reading, (&query, &old), &rows[..2], extent);
    assert_eq!(numbers(answer), Some((vec![1, 2], 4)));
    let at = |from: i64| numbers(lists.get(&query, &scope(Some(from))));
    let stands = |from: i64| {
        lists.begin(&query, &scope(Some(from))).1.map(|rows| rows.iter().map(|row| row.0).collect::<Vec<_>>())
    };
    assert_eq!(at(100), Some((vec![1, 2], 4)));
    assert_eq!(at(101), None, "the first has left, so the third has come into the window");
    assert_eq!(stands(101), Some(vec![2, 3]));
    // Two whose questions have overtaken each other are told the same.
    assert_eq!(stands(60), Some(vec![2, 3]));
    assert_eq!(stands(101 - BEHIND - 1), None);
    // What was read before others left is not kept.
    let (reading, _) = lists.begin(&query, &scope(Some(101)));
    assert_eq!(stands(201), Some(vec![3, 4]));
    assert_eq!(numbers(lists.learn(&reading, (&query, &scope(Some(101))), &rows[1..3], None)), Some((vec![2, 3], 2)));
    assert_eq!(at(201), None);
    // What comes and goes is seen in all of it.
    lists.publish(came(row(5)));
    lists.publish(gone(ends[2].clone()));
    lists.publish(came(ended(&row(6), 200)));
    assert_eq!(stands(201), Some(vec![4, 5]));
    assert!(lists.counts(&query, &scope(Some(1_000))) && lists.inner().questions[0].extent.total() == 2);
}

#[test]
fn lists_that_were_not_asked_for_the_longest_give_their_rows_up_first() {
    let lists = Lists::new(2);
    let named =
        |name: &str| ListQuery { filter: Filter { name: Some(name.into()), ..Filter::default() }, ..window(0, 2) };
    let rows: Vec<_> = (0..30).map(row).collect();
    for name in ["a", "b"] {
        let (query, all) = (named(name), scope(None));
        let (reading, _) = lists.begin(&query, &all);
        lists.learn(&reading, (&query, &all), &rows[..2], Some(Extent::Members(members(&query, &all, &rows))));
        lists.publish(came(row(1)));
    }
    let known = |name: &str| lists.begin(&named(name), &scope(None)).1.is_some();
    assert_eq!((known("a"), known("b")), (false, true));
    assert!(lists.counts(&named("a"), &scope(None)));
}

#[test]
fn no_more_is_kept_than_is_allowed_and_asked_for() {
    let lists = Lists::new(40);
    let all = scope(None);
    for from in 0..20 {
        learned(&lists, &window(from, 4), &all, &[row(1), row(2), row(3), row(4)], 4);
        lists.get(&window(0, 4), &all).expect("it is asked for all the time");
    }
    let kept = (0..20).filter(|from| lists.get(&window(*from, 4), &all).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [0, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    let large: Vec<_> = (0..30).map(row).collect();
    learned(&lists, &window(0, 50), &all, &large, 30);
    assert!(lists.get(&window(0, 50), &all).is_none() && lists.get(&window(0, 4), &all).is_some());
    for number in 0..=QUESTIONS as u64 {
        let filter = Filter { name: Some(number.to_string()), ..Filter::default() };
        learned(&lists, &ListQuery { filter, ..window(0, 4) }, &all, &[], 0);
    }
    assert_eq!(lists.inner().questions.len(), QUESTIONS);
    (0..=IDLE as i64 + 1).for_each(|number| lists.publish(came(row(number))));
    assert!(lists.inner().questions.is_empty(), "nobody has asked for long");
}

fn told(number: i64, is: Option<Arc<Row>>) -> Vec<Moved> {
    vec![Moved::told(RowId(number), is)]
}

/// Lists with one question: all, which are these rows; as members, as numbers, or only how many.
fn lists_of(rows: &[Arc<Row>], extent: impl Fn(Members) -> Extent) -> Lists {
    let lists = Lists::shared(100);
    let (query, all) = (window(0, 3), scope(None));
    let (reading, _) = lists.begin(&query, &all);
    let shown = &rows[..rows.len().min(3)];
    lists.learn(&reading, (&query, &all), shown, Some(extent(members(&query, &all, rows)))).expect("the total is told");
    drop(reading);
    lists
}

pub(super) fn numbered(members: Members) -> Extent {
    let mut extent = Extent::Members(members);
    extent.give_up(true);
    extent
}

/// Nobody has seen what the row was before; to be told twice is to be told once.
#[test]
fn what_others_have_changed_is_put_in_its_place() {
    let rows: Vec<_> = [10, 20, 30, 40].map(row).into();
    for extent in [Extent::Members, numbered] {
        let lists = lists_of(&rows, extent);
        let (first, all) = (window(0, 3), scope(None));
        for (number, is, stands) in [
            (15, Some(row(15)), (vec![10, 15, 20], 5)),
            (50, Some(row(50)), (vec![10, 15, 20], 6)),
            (40, None, (vec![10, 15, 20], 5)),
            (99, None, (vec![10, 15, 20], 5)),
            (20, Some(ended(&row(20), 7)), (vec![10, 15, 20], 5)),
        ] {
            for _ in 0..2 {
                lists.publish(told(number, is.clone()));
                assert_eq!(numbers(lists.get(&first, &all)), Some(stands.clone()), "{number}");
            }
        }
        let shown = lists.get(&first, &all).expect("it is kept").rows;
        assert_eq!(shown[2].batch().times.ended, Some(Millis(7)), "as it is now");
        // What comes up from behind is not known; the total is.
        lists.publish(told(10, None));
        assert!(lists.get(&first, &all).is_none() && lists.inner().questions[0].extent.total() == 4);
    }
}

#[test]
fn a_list_of_which_nobody_knows_whether_it_had_a_row_is_forgotten() {
    let rows: Vec<_> = [10, 20, 30, 40].map(row).into();
    let lists = lists_of(&rows, |members| Extent::Count(members.count(), None));
    lists.publish(came(row(15)));
    assert!(lists.counts(&window(0, 3), &scope(None)), "an own change is seen");
    lists.publish(told(15, Some(row(15))));
    assert!(!lists.counts(&window(0, 3), &scope(None)));
}

/// What stands before a later window is not known, so that neither is what a change of another shows in it, unless the window's rows are known.
#[test]
fn a_later_window_stays_if_its_rows_are_known_to_stay() {
    let rows: Vec<_> = [10, 20, 30, 40].map(row).into();
    for (extent, stays) in [(Extent::Members as fn(Members) -> Extent, true), (numbered, false)] {
        let lists = lists_of(&rows, extent);
        let (later, all) = (window(1, 2), scope(None));
        let (reading, _) = lists.begin(&later, &all);
        lists.learn(&reading, (&later, &all), &rows[1..3], None).expect("the total is known");
        lists.publish(told(20, Some(ended(&row(20), 7))));
        assert_eq!(numbers(lists.get(&later, &all)), Some((vec![20, 30], 4)), "it shows the row");
        lists.publish(told(40, Some(ended(&row(40), 7))));
        assert_eq!(lists.get(&later, &all).is_some(), stays, "it is behind");
        lists.publish(told(5, Some(row(5))));
        assert!(lists.get(&later, &all).is_none(), "all have moved on");
    }
}

#[test]
fn a_list_that_is_read_while_another_writes_is_answered_as_it_is_now() {
    let (query, all) = (window(0, 9), scope(None));
    // The snapshot had the change, or had it not.
    for read in [vec![row(1), row(2)], vec![row(2), row(3)]] {
        for extent in [Extent::Members, numbered] {
            let lists = Lists::shared(100);
            let (reading, _) = lists.begin(&query, &all);
            lists.publish(told(3, Some(row(3))));
            lists.publish(told(1, None));
            let extent = extent(members(&query, &all, &read));
            let answer = lists.learn(&reading, (&query, &all), &read, Some(extent));
            assert_eq!(numbers(answer), Some((vec![2, 3], 2)));
            assert_eq!(numbers(lists.get(&query, &all)), Some((vec![2, 3], 2)));
        }
    }
}
