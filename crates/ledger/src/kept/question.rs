//! One question as clients ask it again and again, whatever its floors: what is known of its list, and the windows of it that are kept.

use batchlingua_core::{Filter, ListQuery, Scope};

use super::{
    Extent, Floors, Member, Moved,
    page::{Change, Page},
};
use crate::{row::Row, view};

/// A question whose floor for ends is this little behind that of one before is answered as of that: the two have only been overtaken by each other.
pub(super) const BEHIND: i64 = 500;

#[derive(Debug)]
pub(super) struct Question {
    pub(super) filter: Filter,
    pub(super) scope: Scope,
    pub(super) floors: Floors,
    pub(super) extent: Extent,
    /// The last change before it was last asked.
    pub(super) wanted: u64,
    pub(super) pages: Vec<Page>,
    /// Others change rows as well. What a row was before an own change may be what one of theirs made of it that is not heard yet, and not what
    /// stands in the windows.
    pub(super) is_shared: bool,
}

impl Question {
    /// Whether what is kept answers this with these floors, to which it is brought.
    pub(super) fn reaches(&mut self, asked: Floors) -> bool {
        let both = self.floors.each().into_iter().zip(asked.each());
        match &mut self.extent {
            Extent::Count(count, _) => both.zip(count.least.each()).all(|(both, least)| match both {
                (None, None) => true,
                (Some(was), Some(asked)) => was <= asked && least.is_none_or(|least| asked <= least),
                (None, Some(_)) | (Some(_), None) => false,
            }),
            Extent::Members(members) => {
                // Only that of ends is the clock's own: the others may be what a client has chosen.
                let mut behind = [BEHIND, 0, 0].into_iter();
                let is_reached = both.into_iter().all(|both| match (both, behind.next().unwrap_or_default()) {
                    ((None, None), _) => true,
                    ((Some(was), Some(asked)), behind) => was.0 - behind <= asked.0,
                    ((None, Some(_)) | (Some(_), None), _) => false,
                });
                if is_reached && asked != self.floors {
                    self.floors = self.floors.above(asked);
                    if members.raise(self.floors) > 0 {
                        // What stood behind has moved up.
                        self.pages.clear();
                    }
                }
                is_reached
            }
        }
    }

    /// Whether it is the same question, whatever its floors.
    pub(super) fn asks(&self, query: &ListQuery, scope: &Scope) -> bool {
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
        view::lists(&self.scope, row)
            && view::matches(&self.filter, row.batch())
            && Member::of(row).is_above(self.floors)
    }

    /// What a change is to this list; nothing, if it is seen that the list neither has nor had the row.
    fn change<'a>(&self, moved: &'a Moved) -> Option<Change<'a>> {
        let is = moved.is().filter(|row| self.has(row));
        let was = match moved {
            Moved::Seen { was, .. } => Some(was.as_ref().filter(|row| self.has(row))),
            Moved::Told { .. } => None,
        };
        let had = was.map(|was| was.is_some());
        let was = was.filter(|_| !self.is_shared);
        (is.is_some() || !matches!(was, Some(None))).then_some(Change { row: moved.row()?, had, was, is })
    }

    /// Whether it is known what the list is after these.
    pub(super) fn follow(&mut self, moved: &[Moved]) -> bool {
        let changes: Vec<Change<'_>> = moved.iter().filter_map(|moved| self.change(moved)).collect();
        if changes.is_empty() {
            return true;
        }
        let member = |change: &Change<'_>| change.is.map(|is| Member::of(is));
        if !changes.iter().all(|change| self.extent.apply(change.row, change.had, member(change), self.floors)) {
            return false;
        }
        let (extent, is_shared) = (&mut self.extent, self.is_shared);
        self.pages.retain_mut(|page| {
            let is_known = page.follow(&changes);
            // Read later than what is known of the list, it may have its rows in the order of what they were before.
            let numbers = if is_shared { extent.rows(page.order, page.window) } else { None };
            numbers.map_or(is_known, |numbers| page.has_just(&numbers))
        });
        true
    }

    /// Whether the window, read with these floors, could be brought up to date.
    pub(super) fn take_in(&mut self, mut page: Page, since: &[Moved], floors: Floors) -> bool {
        let changes: Vec<Change<'_>> = since.iter().filter_map(|moved| self.change(moved)).collect();
        let is_known = page.follow(&changes);
        // Another question may have raised the floors since it was read.
        let current = match self.extent.rows(page.order, page.window) {
            Some(rows) => page.has_just(&rows),
            None => is_known && self.floors == floors,
        };
        if current {
            self.pages.retain(|other| other.order != page.order || other.window != page.window);
            self.pages.push(page);
        }
        current
    }
}
