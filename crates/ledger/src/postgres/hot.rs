//! What is in memory, and how far it can be trusted beside other replicas.
//!
//! Each commit tells the others by NOTIFY which rows it changed (`listen`), and they read what these are now, if they have them or keep lists. That
//! is read and put in its place behind the gate that an own commit and its publication hold: so it is of after every own change that was published
//! before it, and of before every one that is published after it. Commits of all replicas stand in one row, in the order of their transaction
//! numbers (`writer`), so that an own change that is published late does not hide a later one of another replica.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use batchlingua_core::{ListQuery, Phase, RowId, Scope};
use serde::{Deserialize, Serialize};

use crate::{
    cache::{Cache, Changes},
    kept::{Answer, Lists, Moved},
    row::{Id, Row},
};

/// How far memory can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Every change of another replica is told.
    Full,
    /// Changes may have been missed: the database is asked first.
    None,
    /// There is no database to be asked.
    Alone,
}

pub(super) struct Hot {
    pub(super) cache: Cache,
    /// Current by what the own writer changes, and by what is heard of others.
    pub(super) lists: Lists,
    /// Held from before a commit until it is published, so that who reads a list knows which of the own changes its snapshot has.
    pub(super) gate: Mutex<()>,
    trust: AtomicU8,
    /// The own writer's name on its present connection. Under an earlier one it may have committed without knowing.
    pub(super) writer: AtomicU64,
    /// The last commit that another replica has told.
    told: Mutex<u64>,
}

/// What one commit tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct News {
    pub(super) by: u64,
    pub(super) rows: Vec<i64>,
    /// Native ids that rows have got.
    pub(super) texts: Vec<String>,
    /// Ids have changed hands.
    pub(super) ids: bool,
    /// More than can be told.
    pub(super) all: bool,
    /// All rows are among them that lists may have. A replica of an earlier version left new ones out.
    #[serde(default)]
    pub(super) listed: bool,
}

/// A notification has room for 8000 bytes: so many rows, and ids of so many bytes, are below that however they are written.
const ROWS: usize = 200;
const TEXTS: usize = 400;
const NOTIFICATIONS: usize = 8;

/// Rows in the order in which they were asked for.
type Rows = Vec<Option<Arc<Row>>>;

impl News {
    /// Both of one, and what was told of either.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.rows.append(&mut other.rows);
        self.texts.append(&mut other.texts);
        Self { ids: self.ids || other.ids, all: self.all || other.all, listed: self.listed && other.listed, ..self }
    }

    /// What others may remember otherwise. A row that has just been made is nobody's memory, unless lists have it.
    pub(super) fn of(by: u64, changes: &Changes) -> Vec<Self> {
        let is_news = |row: &&Arc<Row>| row.revision > 1 || row.entry.phase == Phase::Accepted;
        let changed = changes.rows.iter().filter(is_news).map(|row| row.id().0);
        let mut rows: Vec<i64> = changed.chain(changes.removed.iter().map(|row| row.0)).collect();
        rows.sort_unstable();
        rows.dedup();
        let native = |(id, row): &(Id, Option<RowId>)| match id {
            Id::Native(_, native) if row.is_some() => Some(native.to_string()),
            _ => None,
        };
        let mut texts: Vec<String> = changes.ids.iter().filter_map(native).collect();
        let many = texts.iter().map(String::len).sum::<usize>() > TEXTS;
        if many {
            texts.clear();
        }
        let ids = many || changes.ids.iter().any(|(_, row)| row.is_none());
        if rows.len() > ROWS * NOTIFICATIONS {
            return vec![Self { by, all: true, ..Self::default() }];
        }
        let mut news: Vec<Self> =
            rows.chunks(ROWS).map(|rows| Self { by, rows: rows.to_vec(), listed: true, ..Self::default() }).collect();
        if ids || !texts.is_empty() {
            match news.first_mut() {
                Some(first) => (first.texts, first.ids) = (texts, ids),
                None => news.push(Self { by, texts, ids, listed: true, ..Self::default() }),
            }
        }
        news
    }
}

impl Hot {
    pub(super) fn new(entries: usize, list_rows: usize) -> Self {
        let (cache, lists) = (Cache::new(entries), Lists::shared(list_rows));
        let (trust, writer) = (AtomicU8::new(Trust::None as u8), AtomicU64::new(0));
        Self { cache, lists, gate: Mutex::new(()), trust, writer, told: Mutex::new(0) }
    }

    pub(super) fn trust(&self) -> Trust {
        match self.trust.load(Ordering::Acquire) {
            word if word == Trust::Full as u8 => Trust::Full,
            word if word == Trust::Alone as u8 => Trust::Alone,
            _ => Trust::None,
        }
    }

    pub(super) fn is_now(&self, trust: Trust) {
        self.trust.store(trust as u8, Ordering::Release);
    }

    /// A list as it stands, if it is here and nothing of the others can have been missed.
    pub(super) fn kept(&self, query: &ListQuery, scope: &Scope) -> Option<Answer> {
        (self.trust() == Trust::Full).then(|| self.lists.get(query, scope)).flatten()
    }

    fn told(&self) -> MutexGuard<'_, u64> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An own commit, behind the gate; `None`: not behind it, since its answer was lost.
    pub(super) fn publish(&self, number: u64, changes: Changes, moved: Option<Vec<Moved>>) {
        match moved {
            Some(moved) => self.lists.publish(moved),
            None => self.lists.forget(),
        }
        let told = self.told();
        if number > *told {
            return self.cache.publish(changes);
        }
        // Another replica has committed since, perhaps to the same rows.
        let ids = !changes.ids.is_empty();
        let rows = changes.rows.iter().map(|row| row.id()).chain(changes.removed).collect::<Vec<_>>();
        self.cache.forget(&rows, &[], ids);
    }

    /// Commits of other replicas, the last of which is of this number. `read`: rows as they are now. Where that fails nothing of what they were is left.
    pub(super) fn hear<E>(
        &self,
        number: u64,
        news: News,
        read: impl FnOnce(&[RowId]) -> Result<Rows, E>,
    ) -> Result<(), E> {
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = self.told();
        *told = number.max(*told);
        drop(told);
        if news.all || !news.listed {
            self.lists.forget();
        }
        if news.all {
            self.cache.clear();
            return Ok(());
        }
        let mut rows: Vec<RowId> = news.rows.into_iter().map(RowId).collect();
        rows.sort_unstable();
        rows.dedup();
        if rows.is_empty() || (!self.lists.are_any() && !self.cache.has_any(&rows)) {
            self.cache.forget(&rows, &news.texts, news.ids);
            return Ok(());
        }
        match read(&rows) {
            Ok(read) => {
                let read: Vec<_> = rows.into_iter().zip(read).collect();
                self.lists.publish(read.iter().map(|(row, is)| Moved::told(*row, is.clone())).collect());
                self.cache.renew(read, &news.texts, news.ids);
                Ok(())
            }
            Err(fault) => {
                self.lists.forget();
                self.cache.forget(&rows, &news.texts, news.ids);
                Err(fault)
            }
        }
    }

    /// From now on all is heard; what was committed before this number may have been missed.
    pub(super) fn listens(&self, number: u64) {
        let mut told = self.told();
        *told = number.max(*told);
        drop(told);
        self.clear();
        self.is_now(Trust::Full);
    }

    /// Nothing that was read before this is believed.
    pub(super) fn clear(&self) {
        self.lists.forget();
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use batchlingua_core::{Batch, BatchSpec, BatchState, Millis, NativeId, NativeIdentity, NativeIds, Uuid};

    use super::*;
    use crate::masked::MaskedSpec;

    fn row(revision: u64) -> Arc<Row> {
        let native = NativeId::from("17");
        let batch = Batch::new(native.clone(), BatchState::Running, Arc::default());
        let seen = NativeIdentity { native, batch: Arc::new(batch), foreign: true, ids: NativeIds::Unique };
        let mut row =
            Row::of_sighting(&"b".into(), &seen, MaskedSpec::of(&BatchSpec::default()), (Uuid::nil(), 1), Millis(1));
        (row.entry.row, row.revision) = (RowId(1), revision);
        Arc::new(row)
    }

    /// Else an own change could be published in between, and be overtaken by what was read before it.
    #[test]
    fn what_others_have_changed_is_read_and_kept_while_nobody_commits() {
        let hot = Hot::new(9, 9);
        let changes = |row: &Arc<Row>| Changes { rows: vec![row.clone()], ..Changes::default() };
        hot.publish(1, changes(&row(1)), Some(Vec::new()));
        let [news] = <[News; 1]>::try_from(News::of(7, &changes(&row(2)))).expect("one is enough");
        let read = |rows: &[RowId]| {
            assert!(hot.gate.try_lock().is_err());
            assert_eq!(rows, [RowId(1)]);
            Ok::<_, ()>(vec![Some(row(2))])
        };
        hot.hear(2, news.clone(), read).expect("it is read");
        assert_eq!(hot.cache.get(RowId(1)).map(|row| row.revision), Some(2), "it stays hot");
        assert!(hot.gate.try_lock().is_ok());
        hot.hear(3, news.clone(), |_| Err(())).expect_err("it cannot be read");
        assert!(hot.cache.get(RowId(1)).is_none(), "and is not believed");
        hot.hear(4, news, |_| panic!("nobody has it")).unwrap_or_else(|()| unreachable!());
    }

    /// A batch that was seen for the first time is in lists at once.
    #[test]
    fn every_row_that_lists_may_have_is_told() {
        let seen = Changes { rows: vec![row(1)], ..Changes::default() };
        assert_eq!(News::of(7, &seen)[0].rows, [1]);
        let mut intended = Row::clone(&row(1));
        intended.entry.phase = Phase::Intended;
        let intended = Changes { rows: vec![Arc::new(intended)], ..Changes::default() };
        assert_eq!(News::of(7, &intended), []);
    }

    #[test]
    fn no_news_is_longer_than_a_notification() {
        let texts = vec!["\u{1}".repeat(TEXTS)];
        let news = News { by: u64::MAX, rows: vec![i64::MAX; ROWS], texts, ids: true, all: true, listed: true };
        let text = serde_json::to_string(&news).expect("it is JSON");
        assert!(text.len() < 7900, "{}", text.len());
        let removed = (0..=(ROWS * NOTIFICATIONS) as i64).map(RowId).collect();
        let many = News::of(1, &Changes { removed, ..Changes::default() });
        assert_eq!(many, [News { by: 1, all: true, ..News::default() }]);
    }
}
