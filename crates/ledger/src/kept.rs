//! Lists that are asked for again and again, kept in memory and current.
//!
//! A list is read once; from then on each committed change is applied to it, as the rules of `view` say: a row comes, goes, or moves to another
//! place, and the total with it. So a poller of a list reaches no database, whether it changes or not. Where a change leaves a window with a
//! place that only the store can fill, the window is forgotten and read anew; the total stays.
//!
//! Of a list that is not too long it is kept which rows it has ([`members`]), so that no window of it has to be searched for and what leaves by
//! its age is taken off; of a longer one the total alone.
//!
//! Exact, by three rules. Changes are published before they are acknowledged, so no acknowledged change is missing. A list that is being read
//! is told its moment in the row of changes (a [`Reading`], begun together with its snapshot while nobody commits), and gets those that came
//! after. And what passes by itself is known: that a list has only batches that ended, were created or were modified at or after a moment is
//! its *floor*, clients move it up with every question, and a total holds until the floor reaches the first row that it would leave
//! behind. Orders that time itself changes (how long a batch has run) are not kept.
//!
//! Where several processes write, each knows what its own changes were. Of those of another it is told which rows they were, and reads what these
//! are now ([`Moved::Told`]); that a list had one is known by its number. It changes nothing to be told of the same row twice.

mod extent;
mod members;
mod moved;
mod page;
mod question;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use batchlingua_core::{ListQuery, RowId, Scope, SortKey};

pub(crate) use self::{
    extent::{Count, Extent, Floors, Numbers},
    members::{Member, Members},
    moved::Moved,
};
use self::{page::Page, question::Question};
use crate::{LedgerError, row::Row};

/// Questions whose total is kept; each has a few windows.
const QUESTIONS: usize = 64;
/// Most bytes of what the batches in all windows were to run, as in the cache of rows.
const MAX_BYTES: usize = 16 << 20;
/// A question that nobody has asked for so many changes is forgotten: to keep it current costs each change a little.
const IDLE: u64 = 1_000;
/// Most rows that lists know without having them, for each that they have: one takes about a hundredth of the room.
const MEMBERS_PER_ROW: usize = 20;
/// Changes that are remembered for lists that are being read. One that is overtaken by more is answered and not kept.
const RECENT: usize = 4_096;

/// What was read of a list.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Arc<Row>>,
    pub(crate) total: u64,
}

/// Where one list is read from.
pub(crate) trait Source {
    /// From here on all that is read is of one snapshot.
    fn begin(&self) -> Result<(), LedgerError>;
    /// The rows of the window.
    fn page(&self) -> Result<Vec<Arc<Row>>, LedgerError>;
    /// The rows with these numbers, in their order.
    fn with_numbers(&self, rows: Vec<RowId>) -> Result<Vec<Arc<Row>>, LedgerError>;
    /// How many rows there are in all.
    fn count(&self) -> Result<Count, LedgerError>;
    /// Which they are, if they are no more than so many, else how many.
    fn extent(&self, most: usize) -> Result<Extent, LedgerError>;
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
    max_members: usize,
    /// Other processes write too.
    is_shared: bool,
    /// How many transactions have been published.
    published: u64,
    /// What was read before this many is of an unknown moment.
    forgotten: u64,
    asked: u64,
    questions: Vec<Question>,
    readings: usize,
    recent: VecDeque<(u64, Moved)>,
}

impl Lists {
    /// That keeps at most so many rows in all windows together.
    pub(crate) fn new(max_rows: usize) -> Self {
        let max_members = max_rows.saturating_mul(MEMBERS_PER_ROW);
        Self(Mutex::new(Inner { max_rows, max_members, ..Inner::default() }))
    }

    /// The same of a store that other processes write too.
    pub(crate) fn shared(max_rows: usize) -> Self {
        let lists = Self::new(max_rows);
        lists.inner().is_shared = true;
        lists
    }

    /// Whether there is any list that a change could be told to. To be asked while nobody commits.
    pub(crate) fn are_any(&self) -> bool {
        let inner = self.inner();
        !inner.questions.is_empty() || inner.readings > 0
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

    /// Whether the total is known.
    fn counts(&self, query: &ListQuery, scope: &Scope) -> bool {
        self.inner().find(query, scope).is_some()
    }

    /// Of how many rows at most a list is worth knowing which they are.
    fn most_members(&self) -> usize {
        self.inner().max_members
    }

    /// To be called while nobody commits, with the snapshot; and which rows the window has in it, if that is known.
    fn begin(&self, query: &ListQuery, scope: &Scope) -> (Reading<'_>, Option<Vec<RowId>>) {
        let mut inner = self.inner();
        inner.readings += 1;
        let reading = Reading { lists: self, since: inner.published };
        let rows = inner.find(query, scope).and_then(|at| inner.questions[at].extent.rows(query.order, query.window));
        (reading, rows)
    }

    /// Takes what was read and gives back how it now stands. `None`: the total is not known any more and has to be counted.
    fn learn(
        &self,
        reading: &Reading<'_>,
        (query, scope): (&ListQuery, &Scope),
        rows: &[Arc<Row>],
        extent: Option<Extent>,
    ) -> Option<Answer> {
        let mut inner = self.inner();
        let page = Page { order: query.order, window: query.window, rows: rows.to_vec(), asked: 0 };
        let since: Option<Vec<Moved>> = inner.since(reading.since);
        let floors = Floors::of(query, scope);
        let found = inner.find(query, scope);
        let Some(since) = since else {
            // Too much has happened meanwhile, or nobody knows what. It was so a moment ago.
            let total = extent.map(|extent| extent.total()).or_else(|| Some(inner.questions[found?].extent.total()))?;
            return Some(Answer { rows: page.rows, total });
        };
        let at = match (found, extent) {
            (Some(at), _) => at,
            (None, None) => return None,
            (None, Some(extent)) => {
                let (filter, scope) = (query.filter.clone(), scope.clone());
                let (total, is_shared) = (extent.total(), inner.is_shared);
                let mut question = Question { filter, scope, floors, extent, wanted: 0, pages: Vec::new(), is_shared };
                if !question.follow(&since) {
                    return Some(Answer { rows: page.rows, total });
                }
                inner.keep(question)
            }
        };
        let is_kept = match query.order.key {
            // Time moves the rows of these.
            SortKey::Duration | SortKey::Lifetime => false,
            SortKey::Created | SortKey::Modified | SortKey::Name | SortKey::Project | SortKey::Queue => true,
            SortKey::Title | SortKey::Id => true,
        };
        let as_read = Answer { rows: page.rows.clone(), total: inner.questions[at].extent.total() };
        if !is_kept || page.rows.len() > inner.max_rows / 4 || !inner.questions[at].take_in(page, &since, floors) {
            return Some(as_read);
        }
        let answer = inner.answer(at, query);
        inner.make_room();
        answer.or(Some(as_read))
    }

    /// A list that is not kept yet, or not any more. Its snapshot is taken behind the `gate` that a commit and its publication hold.
    pub(crate) fn read(
        &self,
        query: &ListQuery,
        scope: &Scope,
        gate: &Mutex<()>,
        source: &impl Source,
    ) -> Result<Answer, LedgerError> {
        let (reading, known) = {
            let _gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
            source.begin()?;
            self.begin(query, scope)
        };
        let mut extent = match self.counts(query, scope) {
            true => None,
            false => Some(source.extent(self.most_members())?),
        };
        let rows = match known.or_else(|| extent.as_mut()?.rows(query.order, query.window)) {
            Some(known) => source.with_numbers(known)?,
            None => source.page()?,
        };
        match self.learn(&reading, (query, scope), &rows, extent) {
            Some(answer) => Ok(answer),
            None => Ok(Answer { total: source.count()?.total, rows }),
        }
    }

    /// Something has changed, and nobody tells what: nothing that was read before this is kept.
    pub(crate) fn forget(&self) {
        let mut inner = self.inner();
        inner.published += 1;
        inner.forgotten = inner.published;
        inner.questions.clear();
        inner.recent.clear();
    }

    /// Told by the writer after each commit and before it answers, and by who hears of the commits of others.
    pub(crate) fn publish(&self, moved: Vec<Moved>) {
        if moved.is_empty() {
            return;
        }
        let mut inner = self.inner();
        inner.published += 1;
        let published = inner.published;
        inner.questions.retain(|question| question.wanted + IDLE >= published);
        inner.questions.retain_mut(|question| question.follow(&moved));
        inner.bound_members();
        if inner.readings > 0 {
            inner.recent.extend(moved.into_iter().map(|moved| (published, moved)));
            let over = inner.recent.len().saturating_sub(RECENT);
            inner.recent.drain(..over);
        }
    }
}

impl Inner {
    fn find(&mut self, query: &ListQuery, scope: &Scope) -> Option<usize> {
        let floors = Floors::of(query, scope);
        self.questions.iter_mut().position(|question| question.asks(query, scope) && question.reaches(floors))
    }

    fn answer(&mut self, at: usize, query: &ListQuery) -> Option<Answer> {
        self.asked += 1;
        let question = &mut self.questions[at];
        question.wanted = self.published;
        let page = question.pages.iter_mut().find(|page| page.order == query.order && page.window == query.window)?;
        page.asked = self.asked;
        Some(Answer { rows: page.rows.clone(), total: question.extent.total() })
    }

    /// What was published after that; `None` if not all of it is here.
    fn since(&self, then: u64) -> Option<Vec<Moved>> {
        let all = match self.recent.front() {
            _ if then < self.forgotten => false,
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
        self.bound_members();
        self.questions.len() - 1
    }

    /// Of the lists that were not asked for the longest, only the total is known from now on.
    fn bound_members(&mut self) {
        let mut members: usize = self.questions.iter().map(|question| question.extent.members()).sum();
        while members > self.max_members {
            let with_members = self.questions.iter_mut().filter(|question| question.extent.members() > 0);
            let Some(question) = with_members.min_by_key(|question| question.wanted) else { break };
            members -= question.extent.members();
            question.extent.give_up(self.is_shared);
        }
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_tests;
