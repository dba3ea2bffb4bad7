//! Passwords that were proven or refused a short while ago.
//!
//! Clients send their password with every poll, and hashing it takes some 20 ms of a processor: so what was proven is remembered, by a keyed
//! hash that no other process can make. What was refused is remembered too, for a few seconds: a scheduler with an old password polls on and
//! on. The two do not share their room, so that nobody who guesses pushes out who knows.

use std::{num::NonZeroUsize, sync::Mutex, time::Duration};

use batchlingua_core::{Identity, Millis};
use lru::LruCache;

use super::keyed::{Key, Mac};

/// The proven passwords that are remembered at most; those that nobody showed for the longest time go first.
const MOST_PROVEN: usize = 4096;
/// In so many parts, each with a lock of its own.
const PARTS: usize = 16;
/// The same of those that were refused.
const MOST_WRONG: usize = 1024;
const WRONG_FOR: Duration = Duration::from_secs(10);

pub(super) struct Proven {
    key: Key,
    proven: [Mutex<LruCache<Mac, Proof>>; PARTS],
    wrong: Mutex<LruCache<Mac, Wrong>>,
    keep_for: Duration,
}

struct Proof {
    identity: Identity,
    generation: u64,
    until: Millis,
}

struct Wrong {
    generation: u64,
    until: Millis,
}

fn cache<T>(size: usize) -> Mutex<LruCache<Mac, T>> {
    Mutex::new(LruCache::new(NonZeroUsize::new(size).expect("above 0")))
}

impl Proven {
    pub(super) fn new(keep_for: Duration) -> Self {
        let proven = std::array::from_fn(|_| cache(MOST_PROVEN / PARTS));
        Self { key: Key::random(), proven, wrong: cache(MOST_WRONG), keep_for }
    }

    /// What stands for a name with its password here.
    pub(super) fn mark(&self, user: &str, password: &str) -> Mac {
        self.key.of_parts(&[user.as_bytes(), password.as_bytes()])
    }

    fn part(&self, mark: &Mac) -> &Mutex<LruCache<Mac, Proof>> {
        &self.proven[usize::from(mark[0]) % PARTS]
    }

    pub(super) fn recall(&self, mark: &Mac, generation: u64, now: Millis) -> Option<Identity> {
        let mut part = self.part(mark).lock().expect("nothing panics while it holds this lock");
        let proof = part.get(mark)?;
        (proof.generation == generation && now < proof.until).then(|| proof.identity.clone())
    }

    pub(super) fn is_wrong(&self, mark: &Mac, generation: u64, now: Millis) -> bool {
        let mut wrong = self.wrong.lock().expect("nothing panics while it holds this lock");
        wrong.get(mark).is_some_and(|wrong| wrong.generation == generation && now < wrong.until)
    }

    pub(super) fn remember(&self, mark: Mac, identity: Identity, generation: u64, now: Millis) {
        let proof = Proof { identity, generation, until: now.plus(self.keep_for) };
        self.part(&mark).lock().expect("nothing panics while it holds this lock").put(mark, proof);
    }

    pub(super) fn remember_wrong(&self, mark: Mac, generation: u64, now: Millis) {
        let wrong = Wrong { generation, until: now.plus(WRONG_FOR) };
        self.wrong.lock().expect("nothing panics while it holds this lock").put(mark, wrong);
    }
}
