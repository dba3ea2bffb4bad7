//! Lists that are asked for again and again, kept in memory and current.
//!
//! A list is read once; from then on each committed change is applied to it, as the rules of `view` say: a row comes, goes, or moves to another
//! place, and the total with it. So a poller of a list reaches no database, whether it changes or not. Where a change leaves a window with a
//! place that only the store can fill, the window is forgotten and read anew; the total stays.
//!
//! Exact, by three rules. Changes are published before they are acknowledged, so no acknowledged change is missing. A list that is being read
//! is told its moment in the row of changes (a [`Reading`], begun together with its snapshot while nobody commits), and gets those that came
//! after. And what passes by itself is known: that a list has only batches that ended, were created or were modified at or after a moment is
//! its *floor*, clients move it up with every question, and an answer holds until the floor reaches the first row that it would leave
//! behind. Orders that time itself changes (how long a batch has run) are not kept.

use std::{
    cmp::Ordering,
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{Filter, ListQuery, Millis, Order, Phase, Scope, SortKey, Times, Window};

use crate::{cache::bytes, row::Row, view};

/// Questions whose total is kept; each has a few windows.
const QUESTIONS: usize = 64;
/// Most bytes of what the batches in all windows were to run, as in the cache of rows.
const MAX_BYTES: usize = 16 << 20;
/// A question that nobody has asked for so many changes is forgotten: to keep it current costs each change a little.
const IDLE: u64 = 1_000;
/// Changes that are remembered for lists that are being read. One that is overtaken by more is answered and not kept.
const RECENT: usize = 4_096;

/// A change of a row that lists may have.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    was: Option<Arc<Row>>,
    is: Option<Arc<Row>>,
}

impl Moved {
    /// Nothing, if no list has or had it.
    pub(crate) fn of(was: Option<Arc<Row>>, is: Option<Arc<Row>>) -> Option<Self> {
        let listed = |row: Option<Arc<Row>>| row.filter(|row| row.entry.phase == Phase::Accepted);
        let moved = Self { was: listed(was), is: listed(is) };
        (moved.was.is_some() || moved.is.is_some()).then_some(moved)
    }
}

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

    fn each(self) -> [Option<Millis>; 3] {
        [self.ended, self.created, self.modified]
    }
}

/// What was read of a list.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Arc<Row>>,
    pub(crate) total: u64,
}

/// How many rows there are in all, and the least that any of them has of each time that a floor was asked of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) total: u64,
    pub(crate) least: Floors,
}

impl Count {
    /// Of a list that is shown whole.
    pub(crate) fn of(rows: &[Arc<Row>]) -> Self {
        let least = |time: fn(&Times) -> Option<Millis>| rows.iter().filter_map(|row| time(&row.batch().times)).min();
        let least = Floors {
            ended: least(|times| times.ended),
            created: least(|times| Some(times.created)),
            modified: least(|times| Some(times.modified)),
        };
        Self { total: rows.len() as u64, least }
    }
}

/// The moment of a snapshot in the row of changes.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    lists: &'a Lists,
    since: u64,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.lists.inner();
        inner.readings -= 1;
        if inner.readings == 0 {
            inner.recent.clear();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Lists(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    max_rows: usize,
    /// How many transactions have been published.
    published: u64,
    asked: u64,
    questions: Vec<Question>,
    readings: usize,
    recent: VecDeque<(u64, Moved)>,
}

#[derive(Debug)]
struct Question {
    filter: Filter,
    scope: Scope,
    floors: Floors,
    count: Count,
    /// The last change before it was last asked.
    wanted: u64,
    pages: Vec<Page>,
}

#[derive(Debug)]
struct Page {
    order: Order,
    window: Window,
    rows: Vec<Arc<Row>>,
    /// In the order of all questions.
    asked: u64,
}

impl Lists {
    /// That keeps at most so many rows in all windows together.
    pub(crate) fn new(max_rows: usize) -> Self {
        Self(Mutex::new(Inner { max_rows, ..Inner::default() }))
    }

    /// Each change is whole before the lock is left, but for a panic, which is a bug that has ended the writer as well.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, query: &ListQuery, scope: &Scope) -> Option<Answer> {
        let mut inner = self.inner();
        let at = inner.find(query, scope)?;
        inner.answer(at, query)
    }

    /// The total, if it is known.
    pub(crate) fn counts(&self, query: &ListQuery, scope: &Scope) -> bool {
        self.inner().find(query, scope).is_some()
    }

    /// To be called while nobody commits, with the snapshot.
    pub(crate) fn begin(&self) -> Reading<'_> {
        let mut inner = self.inner();
        inner.readings += 1;
        Reading { lists: self, since: inner.published }
    }

    /// Takes what was read and gives back how it now stands. `None`: the total is not known any more and has to be counted.
    pub(crate) fn learn(
        &self,
        reading: &Reading<'_>,
        (query, scope): (&ListQuery, &Scope),
        rows: &[Arc<Row>],
        count: Option<Count>,
    ) -> Option<Answer> {
        let mut inner = self.inner();
        let page = Page { order: query.order, window: query.window, rows: rows.to_vec(), asked: 0 };
        let since: Option<Vec<Moved>> = inner.since(reading.since);
        let floors = Floors::of(query, scope);
        let found = inner.find(query, scope);
        let Some(since) = since else {
            // Too much has happened meanwhile. It was so a moment ago.
            let total = count.map(|count| count.total).or_else(|| Some(inner.questions[found?].count.total))?;
            return Some(Answer { rows: page.rows, total });
        };
        let at = match (found, count) {
            (Some(at), _) => at,
            (None, None) => return None,
            (None, Some(count)) => {
                let (filter, scope) = (query.filter.clone(), scope.clone());
                let mut question = Question { filter, scope, floors, count, wanted: 0, pages: Vec::new() };
                since.iter().for_each(|moved| question.apply(moved));
                inner.keep(question)
            }
        };
        let is_kept = match query.order.key {
            // Time moves the rows of these.
            SortKey::Duration | SortKey::Lifetime => false,
            SortKey::Created | SortKey::Modified | SortKey::Name | SortKey::Project | SortKey::Queue => true,
            SortKey::Title | SortKey::Id => true,
        };
        let as_read = Answer { rows: page.rows.clone(), total: inner.questions[at].count.total };
        if !is_kept || page.rows.len() > inner.max_rows / 4 || !inner.questions[at].take_in(page, &since) {
            return Some(as_read);
        }
        let answer = inner.answer(at, query);
        inner.make_room();
        answer.or(Some(as_read))
    }

    /// Told by the writer after each commit and before it answers.
    pub(crate) fn publish(&self, moved: Vec<Moved>) {
        if moved.is_empty() {
            return;
        }
        let mut inner = self.inner();
        inner.published += 1;
        let published = inner.published;
        inner.questions.retain(|question| question.wanted + IDLE >= published);
        for question in &mut inner.questions {
            moved.iter().for_each(|moved| question.apply(moved));
        }
        if inner.readings > 0 {
            inner.recent.extend(moved.into_iter().map(|moved| (published, moved)));
            let over = inner.recent.len().saturating_sub(RECENT);
            inner.recent.drain(..over);
        }
    }
}

impl Inner {
    fn find(&self, query: &ListQuery, scope: &Scope) -> Option<usize> {
        self.questions.iter().position(|question| question.is(query, scope))
    }

    fn answer(&mut self, at: usize, query: &ListQuery) -> Option<Answer> {
        self.asked += 1;
        let question = &mut self.questions[at];
        question.wanted = self.published;
        let page = question.pages.iter_mut().find(|page| page.order == query.order && page.window == query.window)?;
        page.asked = self.asked;
        Some(Answer { rows: page.rows.clone(), total: question.count.total })
    }

    /// What was published after that; `None` if not all of it is here.
    fn since(&self, then: u64) -> Option<Vec<Moved>> {
        let all = match self.recent.front() {
            // What was dropped may have been of the oldest that is still here, too.
            Some((oldest, _)) => self.recent.len() < RECENT || *oldest <= then,
            None => true,
        };
        let after = self.recent.iter().filter(|(published, _)| *published > then);
        all.then(|| after.map(|(_, moved)| moved.clone()).collect())
    }

    fn keep(&mut self, question: Question) -> usize {
        // The same with other floors has been overtaken.
        let query = ListQuery { filter: question.filter.clone(), ..ListQuery::default() };
        self.questions.retain(|other| !other.asks(&query, &question.scope));
        if self.questions.len() >= QUESTIONS
            && let Some(oldest) = (0..self.questions.len()).min_by_key(|at| self.questions[*at].wanted)
        {
            self.questions.swap_remove(oldest);
        }
        self.questions.push(Question { wanted: self.published, ..question });
        self.questions.len() - 1
    }

    /// Forgets the windows that were not asked for the longest.
    fn make_room(&mut self) {
        let pages = || self.questions.iter().flat_map(|question| &question.pages);
        let mut rows: usize = pages().map(|page| page.rows.len().max(1)).sum();
        let mut size: usize = pages().map(Page::bytes).sum();
        while rows > self.max_rows || size > MAX_BYTES {
            let all = self.questions.iter().enumerate();
            let pages = all.flat_map(|(at, question)| question.pages.iter().map(move |page| (page.asked, at)));
            let Some((asked, at)) = pages.min() else { break };
            let pages = &mut self.questions[at].pages;
            let Some(gone) = pages.iter().position(|page| page.asked == asked) else { break };
            let gone = pages.swap_remove(gone);
            rows -= gone.rows.len().max(1);
            size -= gone.bytes();
        }
    }
}

impl Question {
    /// Whether what is kept answers this.
    fn is(&self, query: &ListQuery, scope: &Scope) -> bool {
        let floors = Floors::of(query, scope).each();
        let holds = |((was, asked), least): ((Option<Millis>, Option<Millis>), Option<Millis>)| match (was, asked) {
            (None, None) => true,
            (Some(was), Some(asked)) => was <= asked && least.is_none_or(|least| asked <= least),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let mut all = self.floors.each().into_iter().zip(floors).zip(self.count.least.each());
        all.all(holds) && self.asks(query, scope)
    }

    /// Whether it is the same question, whatever its floors.
    fn asks(&self, query: &ListQuery, scope: &Scope) -> bool {
        let Filter {
            states,
            kinds,
            id,
            owner,
            user,
            name,
            program,
            contains,
            queue,
            extension,
            created_from: _,
            created_before,
            modified_from: _,
            ended_to,
        } = &query.filter;
        let Scope { dialect, backends, projects, unscoped, ended_from: _ } = scope;
        let (filter, of) = (&self.filter, &self.scope);
        let same_scope =
            of.dialect == *dialect && of.backends == *backends && of.projects == *projects && of.unscoped == *unscoped;
        let same_texts = filter.id == *id
            && filter.owner == *owner
            && filter.user == *user
            && filter.name == *name
            && filter.program == *program
            && filter.contains == *contains
            && filter.queue == *queue;
        let same_rest = filter.states == *states
            && filter.kinds == *kinds
            && filter.extension == *extension
            && filter.created_before == *created_before
            && filter.ended_to == *ended_to;
        same_scope && same_texts && same_rest
    }

    fn has(&self, row: &Row) -> bool {
        view::lists(&self.scope, row) && view::matches(&self.filter, row.batch())
    }

    fn apply(&mut self, moved: &Moved) {
        let was = moved.was.as_ref().filter(|row| self.has(row));
        let is = moved.is.as_ref().filter(|row| self.has(row));
        if was.is_none() && is.is_none() {
            return;
        }
        self.count.total = (self.count.total + u64::from(is.is_some())).saturating_sub(u64::from(was.is_some()));
        if let Some(is) = is {
            self.lower(is);
        }
        self.pages.retain_mut(|page| page.apply(was, is));
    }

    /// The row is of the list: no floor may pass it unseen.
    fn lower(&mut self, row: &Row) {
        let times = &row.batch().times;
        let least = |floor: Option<Millis>, least: Option<Millis>, has: Option<Millis>| match (floor, has) {
            (Some(_), Some(has)) => Some(least.map_or(has, |least| least.min(has))),
            (None, _) | (_, None) => least,
        };
        let Floors { ended, created, modified } = self.count.least;
        self.count.least = Floors {
            ended: least(self.floors.ended, ended, times.ended),
            created: least(self.floors.created, created, Some(times.created)),
            modified: least(self.floors.modified, modified, Some(times.modified)),
        };
    }

    /// Whether the window could be brought up to date.
    fn take_in(&mut self, mut page: Page, since: &[Moved]) -> bool {
        let of = |row: &Option<Arc<Row>>| row.clone().filter(|row| self.has(row));
        let current = since.iter().all(|moved| match (of(&moved.was), of(&moved.is)) {
            (None, None) => true,
            (was, is) => page.apply(was.as_ref(), is.as_ref()),
        });
        if current {
            self.pages.retain(|other| other.order != page.order || other.window != page.window);
            self.pages.push(page);
        }
        current
    }
}

impl Page {
    fn bytes(&self) -> usize {
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

#[cfg(test)]
mod tests {
    use batchlingua_core::{Batch, BatchSpec, BatchState, NativeId, NativeIdentity, NativeIds, RowId, Uuid};

    use super::*;
    use crate::masked::MaskedSpec;

    /// Created at its number.
    fn row(number: i64) -> Arc<Row> {
        let native = NativeId::from(number.to_string());
        let mut batch = Batch::new(native.clone(), BatchState::Running, Arc::default());
        batch.times.created = Millis(number);
        let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique };
        let spec = MaskedSpec::of(&BatchSpec::default());
        let mut row = Row::of_sighting(&"b".into(), &seen, spec, (Uuid::from_u128(1), 1), Millis(1));
        row.entry.row = RowId(number);
        Arc::new(row)
    }

    fn ended(row: &Row, at: i64) -> Arc<Row> {
        let mut row = row.clone();
        row.batch_mut().times.ended = Some(Millis(at));
        Arc::new(row)
    }

    fn scope(ended_from: Option<i64>) -> Scope {
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
        let count = Count { total, ..Count::of(rows) };
        let reading = lists.begin();
        lists.learn(&reading, (query, scope), rows, Some(count)).expect("the total is told");
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
        let reading = lists.begin();
        lists.publish(came(row(3)));
        lists.publish(gone(row(1)));
        let read = [row(1), row(2)];
        let answer = lists.learn(&reading, (&query, &all), &read, Some(Count::of(&read)));
        assert_eq!(numbers(answer), Some((vec![2, 3], 2)));
        drop(reading);
        assert!(lists.inner().recent.is_empty(), "nobody reads");
        // More than is remembered: the answer is of its own moment, and not kept.
        let late = Lists::new(100);
        let reading = late.begin();
        (0..=RECENT as i64).for_each(|number| late.publish(came(row(number + 10))));
        let answer = late.learn(&reading, (&query, &all), &read, Some(Count::of(&read)));
        assert_eq!(numbers(answer), Some((vec![1, 2], 2)));
        assert!(late.get(&query, &all).is_none() && late.inner().recent.len() <= RECENT);
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
}
