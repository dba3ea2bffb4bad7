//! What was written into the configuration: tokens, and keys that requests are signed with.
//!
//! A token is looked up by a keyed hash of it, and a signature is made again and compared in constant time; a key id that nobody has costs
//! the same. The same signature may come more than once: an SDK repeats what got no answer, and Terraform signs twice within a second. How
//! long it is taken again is `replay_window`; without it, as long as its time is near enough to ours.

use std::{collections::HashMap, num::NonZeroUsize, sync::Mutex, time::Duration};

use batchlingua_core::{Identity, Millis};
use lru::LruCache;

use super::keyed::{self, Key, Mac};

/// The signatures that are remembered at most while there is a `replay_window`; of more, the oldest are forgotten.
const MOST_SIGNATURES: usize = 1 << 16;

/// The tokens.
pub(super) struct Tokens {
    key: Key,
    by_mark: HashMap<Mac, Token>,
}

struct Token {
    identity: Identity,
    expires: Option<Millis>,
}

impl Tokens {
    pub(super) fn new(tokens: impl Iterator<Item = (String, Identity, Option<Millis>)>) -> Self {
        let key = Key::random();
        let by_mark =
            tokens.map(|(text, identity, expires)| (key.of(text.as_bytes()), Token { identity, expires })).collect();
        Self { key, by_mark }
    }

    pub(super) fn find(&self, text: &str, now: Millis) -> Option<Identity> {
        let token = self.by_mark.get(&self.key.of(text.as_bytes()))?;
        token.expires.is_none_or(|expires| now < expires).then(|| token.identity.clone())
    }
}

/// An access key.
pub(super) struct AccessKey {
    pub(super) secret: Key,
    pub(super) security_token: Option<Mac>,
    pub(super) identity: Identity,
}

/// A request's signature as its client shows it.
pub(super) struct Shown<'a> {
    pub(super) access_key: &'a str,
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    pub(super) at: Millis,
    pub(super) security_token: Option<&'a str>,
}

/// The access keys, and the signatures that have come.
pub(super) struct AccessKeys {
    by_id: HashMap<String, AccessKey>,
    nobody: Key,
    skew: Duration,
    replays: Option<Replays>,
}

impl AccessKeys {
    pub(super) fn new(by_id: HashMap<String, AccessKey>, skew: Duration, replay_window: Option<Duration>) -> Self {
        Self { by_id, nobody: Key::random(), skew, replays: replay_window.map(Replays::new) }
    }

    /// Whether a request's time is near enough to ours. Nobody's key is needed to say so.
    pub(super) fn is_timely(&self, at: Millis, now: Millis) -> bool {
        now.minus(self.skew) <= at && at <= now.plus(self.skew)
    }

    pub(super) fn verify(&self, shown: &Shown<'_>, now: Millis) -> Option<Identity> {
        let key = self.by_id.get(shown.access_key);
        let expected = key.map_or(&self.nobody, |key| &key.secret).of(shown.signed.as_bytes());
        let fits = keyed::same(&keyed::hex(&expected), shown.signature.as_bytes());
        let key = key.filter(|_| fits && self.is_timely(shown.at, now))?;
        let token = shown.security_token.map(|token| keyed::digest(&[token.as_bytes()]));
        let has_token = match (&key.security_token, token) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(known), Some(token)) => keyed::same(known, &token),
        };
        let is_taken = has_token && self.replays.as_ref().is_none_or(|replays| replays.admit(expected, now));
        is_taken.then(|| key.identity.clone())
    }
}

/// When which signature was first seen. Only good ones are noted, so nobody without a key can push any out.
struct Replays {
    window: Duration,
    first_seen: Mutex<LruCache<Mac, Millis>>,
}

impl Replays {
    fn new(window: Duration) -> Self {
        let size = NonZeroUsize::new(MOST_SIGNATURES).expect("above 0");
        Self { window, first_seen: Mutex::new(LruCache::new(size)) }
    }

    fn admit(&self, signature: Mac, now: Millis) -> bool {
        let mut seen = self.first_seen.lock().expect("nothing panics while it holds this lock");
        // Looked at without being moved to the front: the oldest are those that were first seen the longest ago.
        match seen.peek(&signature) {
            Some(first) => !self.window.is_zero() && now <= first.plus(self.window),
            None => {
                seen.put(signature, now);
                true
            }
        }
    }
}
