//! The password file: who has which password, as `name:$argon2id$…` lines.
//!
//! It is read at the start and again when it has changed, which is looked at when a login is checked and never on the way of a poll. A file
//! that cannot be read any more changes nothing but the log: whoever edits it must not lock everybody out half-way. Each reading has a number,
//! its generation; what was proven by an older one is proven no more.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordVerifier, phc::PasswordHash},
};

use super::{
    keyed::{self, Key},
    name_fault,
};

/// Most bytes of a password: more is not typed, and hashing it would be work for whoever wants to make us work.
pub const MAX_PASSWORD: usize = 1024;
/// Most bytes of the file; a line has some 150.
const MAX_FILE: u64 = 8 << 20;
/// Most memory of one hash, in KiB. A check takes it while it runs.
const MAX_MEMORY: u32 = 1 << 20;
/// The mode that is more than enough: its owner may write, its group may read.
pub(super) const OPEN_TO_OTHERS: u32 = 0o037;

/// Who has which password.
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
    users: RwLock<Arc<Users>>,
    generation: AtomicU64,
    /// What the file looked like when it was last read, well or not.
    seen: Mutex<Option<Stamp>>,
}

/// One reading of the file.
#[derive(Default)]
pub(super) struct Users {
    pub(super) generation: u64,
    by_name: HashMap<String, User>,
}

struct User {
    hash: PasswordHash,
    sessions: Key,
}

/// Never the hashes.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl PasswordFile {
    /// Reads the file; the fault says what to change.
    pub fn open(path: &Path) -> Result<Self, String> {
        let (users, stamp) = read(path, 1)?;
        Ok(Self {
            path: path.to_owned(),
            users: RwLock::new(Arc::new(users)),
            generation: AtomicU64::new(1),
            seen: Mutex::new(Some(stamp)),
        })
    }

    /// The names in it.
    pub fn names(&self) -> Vec<String> {
        self.users().by_name.keys().cloned().collect()
    }

    /// As last read.
    pub(super) fn users(&self) -> Arc<Users> {
        self.users.read().expect("nothing panics while it holds this lock").clone()
    }

    /// Counts the readings.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Reads the file again if it has changed. Takes a disk's time.
    pub(super) fn refresh(&self) {
        // One reader at a time: the others wait for what it reads.
        let mut seen = self.seen.lock().expect("nothing panics while it holds this lock");
        let now = fs::metadata(&self.path).ok().map(|data| Stamp::of(&data));
        if now == *seen {
            return;
        }
        let generation = self.generation() + 1;
        *seen = now;
        match read(&self.path, generation) {
            Ok((users, stamp)) => {
                tracing::info!(file = %self.path.display(), users = users.by_name.len(), "the password file has changed and was read again");
                *seen = Some(stamp);
                *self.users.write().expect("nothing panics while it holds this lock") = Arc::new(users);
                self.generation.store(generation, Ordering::Release);
            }
            Err(fault) => {
                tracing::error!(file = %self.path.display(), fault, "the password file cannot be read; what it said before holds");
            }
        }
    }
}

impl Users {
    /// Whether this is the user's password. A name that nobody has takes as long as a wrong password does. Takes a processor's time.
    pub(super) fn check(&self, name: &str, password: &[u8]) -> bool {
        let user = self.by_name.get(name);
        let Some(asked) = user.or_else(|| self.by_name.values().next()) else { return false };
        let fits = Argon2::default().verify_password(password, &asked.hash).is_ok();
        fits && user.is_some()
    }

    /// The key of a user's sessions: another one after each change of the password, the same in every process that reads the file.
    pub(super) fn session_key(&self, name: &str) -> Option<&Key> {
        self.by_name.get(name).map(|user| &user.sessions)
    }
}

impl Stamp {
    fn of(data: &fs::Metadata) -> Self {
        Self { device: data.dev(), inode: data.ino(), bytes: data.size(), changed: (data.mtime(), data.mtime_nsec()) }
    }
}

fn read(path: &Path, generation: u64) -> Result<(Users, Stamp), String> {
    let advice = "make it with `batchlingua passwd`";
    let data = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no such file; {advice}"),
        _ => error.to_string(),
    })?;
    if !data.is_file() {
        return Err("is no file".into());
    }
    let mode = data.mode() & 0o777;
    if mode & OPEN_TO_OTHERS != 0 {
        return Err(format!("is open to others (mode {mode:o}): `chmod 600` it, or 640 if its group must read it"));
    }
    if data.len() > MAX_FILE {
        return Err(format!("has more than {MAX_FILE} bytes"));
    }
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok((parse(&text, generation)?, Stamp::of(&data)))
}

fn parse(text: &str, generation: u64) -> Result<Users, String> {
    let mut users = Users { generation, by_name: HashMap::new() };
    for (at, line) in text.lines().enumerate() {
        let fault = |what: &str| format!("line {}: {what}", at + 1);
        let Some((name, hash)) = entry(line).map_err(fault)? else { continue };
        let user = user(hash).map_err(fault)?;
        if users.by_name.insert(name.to_owned(), user).is_some() {
            return Err(fault(&format!("'{name}' has a line already")));
        }
    }
    Ok(users)
}

/// Name and hash of a line; `None`: a comment, or nothing.
pub(super) fn entry(line: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, hash) = line.split_once(':').ok_or("must be `name:$argon2id$…`, as `batchlingua passwd` writes it")?;
    match name_fault(name) {
        Some(fault) => Err(fault),
        None => Ok(Some((name, hash))),
    }
}

fn user(text: &str) -> Result<User, &'static str> {
    const NO_HASH: &str = "the hash cannot be read; set the password again with `batchlingua passwd`";
    let hash = PasswordHash::new(text).map_err(|_| NO_HASH)?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("the hash must be argon2id; set the password again with `batchlingua passwd`");
    }
    let params = Params::try_from(&hash).map_err(|_| NO_HASH)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(NO_HASH);
    }
    if params.m_cost() > MAX_MEMORY {
        return Err(
            "the hash takes more than 1 GiB of memory to check; set the password again with `batchlingua passwd`",
        );
    }
    let sessions = Key::new(&keyed::digest(&[b"batchlingua session 1\0", text.as_bytes()]));
    Ok(User { hash, sessions })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of the reference implementation's own vectors: the password `password`.
    const REFERENCE: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_that_another_program_made_is_checked() {
        let users = parse(&format!("# people\n\nana:{REFERENCE}\n"), 1).expect("readable");
        assert!(users.check("ana", b"password"));
        assert!(!users.check("ana", b"Password") && !users.check("bob", b"password"));
        assert!(!Users::default().check("ana", b"password"));
    }

    #[test]
    fn what_is_no_line_of_it_is_told_with_its_number() {
        for (text, says) in [
            ("ana", "line 1: must be"),
            ("\n# c\nana:x", "line 3: the hash cannot be read"),
            ("a b:x", "line 1: a name has"),
            (":x", "line 1: a name has"),
            (
                "ana:$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "must be argon2id",
            ),
            ("ana:$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ", "cannot be read"),
            (
                "ana:$argon2id$v=19$m=2000000,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "more than 1 GiB",
            ),
        ] {
            let fault = parse(text, 1).expect_err(text);
            assert!(fault.contains(says) && !fault.contains("AAAA"), "{text}: {fault}");
        }
        let twice = format!("ana:{REFERENCE}");
        assert!(parse(&format!("{twice}\n{twice}"), 1).expect_err("twice").starts_with("line 2: 'ana' has"));
    }
}
