//! What is in memory, and how far it can be trusted beside other replicas.
//!
//! Each commit tells the others by NOTIFY which rows it changed (`listen`), and they forget those. Commits of all replicas stand in one row, in the
//! order of their transaction numbers (`writer`), so that an own change that is published late does not hide a later one of another replica.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use batchlingua_core::{ListQuery, RowId, Scope};
use serde::{Deserialize, Serialize};

use crate::{
    cache::{Cache, Changes},
    kept::{Answer, Lists, Moved},
    row::Id,
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
    /// Current by what the own writer changes, forgotten with what another does.
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
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct News {
    pub(super) by: u64,
    pub(super) rows: Vec<i64>,
    /// Native ids that rows have got.
    pub(super) texts: Vec<String>,
    /// Ids have changed hands.
    pub(super) ids: bool,
    /// More than can be told.
    pub(super) all: bool,
}

/// A notification has room for 8000 bytes: so many rows, and ids of so many bytes, are below that however they are written.
const ROWS: usize = 200;
const TEXTS: usize = 400;
const NOTIFICATIONS: usize = 8;

impl News {
    /// What others may remember otherwise. A row that has just been made is nobody's memory; if lists have it, it has a native id, which is told.
    pub(super) fn of(by: u64, changes: &Changes) -> Vec<Self> {
        let changed = changes.rows.iter().filter(|row| row.revision > 1).map(|row| row.id().0);
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
            rows.chunks(ROWS).map(|rows| Self { by, rows: rows.to_vec(), ..Self::default() }).collect();
        if ids || !texts.is_empty() {
            match news.first_mut() {
                Some(first) => (first.texts, first.ids) = (texts, ids),
                None => news.push(Self { by, texts, ids, ..Self::default() }),
            }
        }
        news
    }
}

impl Hot {
    pub(super) fn new(entries: usize, list_rows: usize) -> Self {
        let (cache, lists) = (Cache::new(entries), Lists::new(list_rows));
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

    /// An own commit. `None`: what the changed rows were before is not known.
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

    /// Another replica's.
    pub(super) fn hear(&self, number: u64, news: &News) {
        let mut told = self.told();
        *told = number.max(*told);
        self.lists.forget();
        if news.all {
            return self.cache.clear();
        }
        let rows: Vec<RowId> = news.rows.iter().copied().map(RowId).collect();
        self.cache.forget(&rows, &news.texts, news.ids);
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
    use super::*;

    #[test]
    fn no_news_is_longer_than_a_notification() {
        let texts = vec!["\u{1}".repeat(TEXTS)];
        let news = News { by: u64::MAX, rows: vec![i64::MAX; ROWS], texts, ids: true, all: true };
        let text = serde_json::to_string(&news).expect("it is JSON");
        assert!(text.len() < 7900, "{}", text.len());
        let removed = (0..=(ROWS * NOTIFICATIONS) as i64).map(RowId).collect();
        let many = News::of(1, &Changes { removed, ..Changes::default() });
        assert_eq!(many, [News { by: 1, all: true, ..News::default() }]);
    }
}
