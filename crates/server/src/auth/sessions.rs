//! Sessions: what a client that has shown its password may show instead for a while.
//!
//! A session is text that proves itself: name and time, under a key that is made from the user's stored hash. So nothing is kept here, it
//! outlives a restart, any process that reads the same password file takes it, and a new password ends it. It is good for `session_idle`;
//! a client that comes back in the second half of that time gets a new one.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use batchlingua_core::Millis;

use super::{
    keyed::{self, Key, Mac},
    passwords::Users,
};

const VERSION: &str = "v1";
/// A name and a hash have less.
const MAX_TEXT: usize = 1024;
/// How far another process's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(60);

/// How good a session still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Young,
    /// Good, but due to be replaced, and its user to be looked for in the file.
    Old,
}

pub(super) struct Sessions {
    idle: Duration,
    /// Stands in for the key of a name that nobody has, so that asking takes the same time.
    nobody: Key,
}

impl Sessions {
    pub(super) fn new(idle: Duration) -> Self {
        Self { idle, nobody: Key::random() }
    }

    /// A session of a user, from now on.
    pub(super) fn make(&self, users: &Users, name: &str, now: Millis) -> Option<String> {
        let mac = seal(users.session_key(name)?, name, now);
        let coded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Some(format!("{VERSION}.{}.{:x}.{}", coded(name.as_bytes()), now.0, coded(&mac)))
    }

    /// Whose session it is.
    pub(super) fn check(&self, users: &Users, text: &str, now: Millis) -> Option<(String, Age)> {
        let (name, made, mac) = parse(text)?;
        let key = users.session_key(&name);
        let fits = keyed::same(&seal(key.unwrap_or(&self.nobody), &name, made), &mac);
        let age = self.age(made, now)?;
        (fits && key.is_some()).then_some((name, age))
    }

    /// How good a session is that has been checked already.
    pub(super) fn age_of(&self, text: &str, now: Millis) -> Option<Age> {
        self.age(parse(text)?.1, now)
    }

    fn age(&self, made: Millis, now: Millis) -> Option<Age> {
        match now {
            now if now.plus(AHEAD) < made || made.plus(self.idle) <= now => None,
            now if made.plus(self.idle / 2) <= now => Some(Age::Old),
            _ => Some(Age::Young),
        }
    }
}

fn seal(key: &Key, name: &str, made: Millis) -> Mac {
    key.of_parts(&[VERSION.as_bytes(), name.as_bytes(), &made.0.to_le_bytes()])
}

fn parse(text: &str) -> Option<(String, Millis, Vec<u8>)> {
    let mut parts = text.split('.');
    let mut next = || parts.next().filter(|_| text.len() <= MAX_TEXT);
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let (version, name, made, mac) = (next()?, next()?, next()?, next()?);
    let made = Millis(i64::from_str_radix(made, 16).ok()?);
    (version == VERSION && next().is_none()).then_some(())?;
    Some((String::from_utf8(decoded(name)?).ok()?, made, decoded(mac)?))
}
