//! Who is who: passwords, sessions, tokens and signatures.
//!
//! What a poll needs is answered at once by [`Authenticator::recall`]: a proven password is remembered (`proven`), a young session proves
//! itself (`sessions`), tokens and signatures are compared (`keys`). Only a password that is not remembered takes a processor for a while: it
//! is hashed on a thread of its own, few at a time. What a client learns when it is not believed is the same whatever was wrong, and takes as
//! long. `passwords` reads the file that `passwd` writes.
//!
//! Absent on purpose: how anything is said on a wire, which is each dialect's business.

mod keyed;
mod keys;
pub mod passwd;
mod passwords;
mod proven;
mod sessions;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use batchlingua_core::{
    Allowed, Authenticator, Clock, Credentials, Error, ErrorKind, Identity, Millis, Principal, Result, Rights, Unproven,
};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use keyed::Key;
use keys::{AccessKey, AccessKeys, Shown, Tokens};
use proven::Proven;
use sessions::{Age, Sessions};

pub use passwords::{MAX_PASSWORD, PasswordFile};

/// How long a login waits for others to be checked before it is told to come again.
const LOGIN_WAIT: Duration = Duration::from_secs(10);
const LOGIN_RETRY: Duration = Duration::from_secs(5);

/// `[auth]`.
pub struct AuthConfig {
    /// Who has which password; `None`: passwords are not taken.
    pub passwords: Option<PasswordFile>,
    /// How far a signature's time may be from ours.
    pub clock_skew: Duration,
    /// How long after it was first seen a signature is taken again; `None`: as long as its time is near enough.
    pub replay_window: Option<Duration>,
    /// How long a proven password is remembered.
    pub cache_for: Duration,
    /// How long a session may be idle.
    pub session_idle: Duration,
    /// How many passwords are hashed at once.
    pub login_concurrency: usize,
    /// Who may do what.
    pub users: HashMap<String, Rights>,
    /// The tokens.
    pub tokens: Vec<TokenConfig>,
    /// The access keys.
    pub keys: Vec<KeyConfig>,
}

/// `[[auth.token]]`.
pub struct TokenConfig {
    /// The token.
    pub token: String,
    /// Whose it is.
    pub user: String,
    /// The projects that it is for, of those of its user.
    pub projects: Allowed,
    /// Until when.
    pub expires: Option<Millis>,
}

/// `[[auth.key]]`.
pub struct KeyConfig {
    /// Its id, which is shown.
    pub access_key: String,
    /// What is signed with, which is not.
    pub secret_key: Zeroizing<String>,
    /// What is shown beside a temporary key.
    pub security_token: Option<String>,
    /// Whose it is.
    pub user: String,
    /// The projects that it is for, of those of its user.
    pub projects: Allowed,
}

/// Of a user without a table.
pub fn default_rights() -> Rights {
    Rights { administrator: false, projects: Allowed::Any, queues: Allowed::Any, run_as: Allowed::Only(Vec::new()) }
}

/// Why a name cannot be a user's: it stands in a line of the password file, in logs and in headers.
pub fn name_fault(name: &str) -> Option<&'static str> {
    let fits = (1..=128).contains(&name.len())
        && !name.starts_with('#')
        && name.chars().all(|c| c != ':' && !c.is_control() && !c.is_whitespace());
    (!fits).then_some("a name has 1 to 128 bytes, without colons and blanks, and does not begin with '#'")
}

/// Asks everybody who he is.
pub struct Guard {
    clock: Arc<dyn Clock>,
    people: People,
    passwords: Option<Arc<PasswordFile>>,
    proven: Arc<Proven>,
    logins: Arc<Semaphore>,
    sessions: Sessions,
    tokens: Tokens,
    keys: AccessKeys,
}

/// Who may do what.
struct People {
    known: HashMap<String, Arc<Rights>>,
    others: Arc<Rights>,
}

impl People {
    fn identity(&self, name: &str) -> Identity {
        let rights = self.known.get(name).unwrap_or(&self.others).clone();
        Identity { principal: Principal { name: name.into(), verified: true }, rights }
    }

    /// By a token or key that is for some projects only.
    fn within(&self, name: &str, projects: &Allowed) -> Identity {
        let mut identity = self.identity(name);
        let own = &identity.rights.projects;
        let projects = match (own, projects) {
            (_, Allowed::Any) => return identity,
            (Allowed::Any, Allowed::Only(these)) => these.clone(),
            (Allowed::Only(own), Allowed::Only(these)) => {
                these.iter().filter(|name| own.contains(name)).cloned().collect()
            }
        };
        identity.rights = Arc::new(Rights { projects: Allowed::Only(projects), ..Rights::clone(&identity.rights) });
        identity
    }
}

impl Guard {
    /// By what the configuration says.
    pub fn new(config: AuthConfig, clock: Arc<dyn Clock>) -> Self {
        let known = config.users.into_iter().map(|(name, rights)| (name, Arc::new(rights))).collect();
        let people = People { known, others: Arc::new(default_rights()) };
        let tokens = config.tokens.into_iter().map(|token| {
            let identity = people.within(&token.user, &token.projects);
            (token.token, identity, token.expires)
        });
        let tokens = Tokens::new(tokens);
        let keys = config.keys.into_iter().map(|key| {
            let access = AccessKey {
                secret: Key::new(key.secret_key.as_bytes()),
                security_token: key.security_token.map(|token| keyed::digest(&[token.as_bytes()])),
                identity: people.within(&key.user, &key.projects),
            };
            (key.access_key, access)
        });
        let keys = AccessKeys::new(keys.collect(), config.clock_skew, config.replay_window);
        Self {
            clock,
            people,
            passwords: config.passwords.map(Arc::new),
            proven: Arc::new(Proven::new(config.cache_for)),
            logins: Arc::new(Semaphore::new(config.login_concurrency)),
            sessions: Sessions::new(config.session_idle),
            tokens,
            keys,
        }
    }

    /// The user of this name, whoever asks: for questions about what he may do.
    pub fn identity(&self, name: &str) -> Identity {
        self.people.identity(name)
    }

    /// Who shows this password, if it was proven a short while ago.
    fn recall_password(&self, user: &str, password: &str) -> Option<Identity> {
        let generation = self.passwords.as_ref()?.generation();
        // What is longer was never proven, and hashing it is work.
        let mark = (password.len() <= MAX_PASSWORD).then(|| self.proven.mark(user, password))?;
        self.proven.recall(&mark, generation, self.clock.now())
    }

    fn recall_session(&self, text: &str, wanted: Option<Age>) -> Option<Identity> {
        let users = self.passwords.as_ref()?.users();
        let (name, age) = self.sessions.check(&users, text, self.clock.now())?;
        wanted.is_none_or(|wanted| wanted == age).then(|| self.people.identity(&name))
    }

    async fn log_in(&self, user: &str, password: &str) -> Result<Identity> {
        if user.trim().is_empty() || password.trim().is_empty() {
            return Err(unproven(Unproven::Unusable, "the user name or the password is empty"));
        }
        let Some(file) = self.passwords.clone() else {
            return Err(unproven(Unproven::Unusable, "passwords are not taken here; use a token or a key"));
        };
        if password.len() > MAX_PASSWORD || name_fault(user).is_some() {
            return Err(wrong_password());
        }
        let mark = self.proven.mark(user, password);
        let place = tokio::time::timeout(LOGIN_WAIT, self.logins.clone().acquire_owned()).await;
        let place = place.map_err(|_| busy())?.map_err(Error::internal)?;
        // Somebody with the same password may have come first.
        if let Some(identity) = self.recall_password(user, password) {
            return Ok(identity);
        }
        let (proven, clock) = (self.proven.clone(), self.clock.clone());
        let (name, password) = (user.to_owned(), Zeroizing::new(password.to_owned()));
        let identity = self.people.identity(user);
        let check = move || {
            // Held by the work and not by who waits for it: a client that leaves does not stop it.
            let _place = place;
            file.refresh();
            let users = file.users();
            if proven.is_wrong(&mark, users.generation, clock.now()) {
                return false;
            }
            let fits = users.check(&name, password.as_bytes());
            match fits {
                true => proven.remember(mark, identity, users.generation, clock.now()),
                false => proven.remember_wrong(mark, users.generation, clock.now()),
            }
            fits
        };
        match tokio::task::spawn_blocking(check).await.map_err(Error::internal)? {
            true => Ok(self.people.identity(user)),
            false => Err(wrong_password()),
        }
    }

    /// A session of a certain age: whether its user is still there is looked up in the file.
    async fn resume(&self, text: &str) -> Result<Identity> {
        if let Some(file) = self.passwords.clone().filter(|_| self.recall_session(text, None).is_some()) {
            tokio::task::spawn_blocking(move || file.refresh()).await.map_err(Error::internal)?;
        }
        self.recall_session(text, None).ok_or_else(|| unproven(Unproven::Wrong, "the session is over; log in again"))
    }
}

#[async_trait]
impl Authenticator for Guard {
    fn is_required(&self) -> bool {
        true
    }

    fn recall(&self, shown: Option<&Credentials>, _: &str) -> Option<Identity> {
        match shown? {
            Credentials::Basic { user, password } => self.recall_password(user, password),
            Credentials::Session(text) => self.recall_session(text, Some(Age::Young)),
            Credentials::Token(text) => self.tokens.find(text, self.clock.now()),
            Credentials::Signature { access_key, signed, signature, at, security_token } => {
                let security_token = security_token.as_deref();
                self.keys.verify(&Shown { access_key, signed, signature, at: *at, security_token }, self.clock.now())
            }
            Credentials::Bearer(_) => None,
        }
    }

    async fn authenticate(&self, shown: Option<&Credentials>) -> Result<Identity> {
        let Some(shown) = shown else {
            return Err(unproven(Unproven::Nothing, "this proxy has to know who asks; send credentials"));
        };
        match shown {
            Credentials::Basic { user, password } => self.log_in(user, password).await,
            Credentials::Session(text) => self.resume(text).await,
            // What could be good was recalled.
            Credentials::Token(_) => Err(unproven(Unproven::Wrong, "the token is not known, or its time is over")),
            Credentials::Signature { at, .. } if !self.keys.is_timely(*at, self.clock.now()) => {
                Err(unproven(Unproven::Wrong, "the signature's time is too far from this machine's; set the clock"))
            }
            Credentials::Signature { .. } => {
                let message = "the signature does not fit the request, its key is not known, or it was used before";
                Err(unproven(Unproven::Wrong, message))
            }
            Credentials::Bearer(_) => {
                Err(unproven(Unproven::Unusable, "bearer tokens are not taken here; send a user name and a password"))
            }
        }
    }

    fn session(&self, identity: &Identity, shown: Option<&Credentials>) -> Option<String> {
        let now = self.clock.now();
        let is_due = match shown? {
            Credentials::Basic { .. } => true,
            Credentials::Session(text) => self.sessions.age_of(text, now) == Some(Age::Old),
            Credentials::Bearer(_) | Credentials::Token(_) | Credentials::Signature { .. } => false,
        };
        let users = self.passwords.as_ref().filter(|_| is_due)?.users();
        self.sessions.make(&users, &identity.principal.name, now)
    }
}

fn unproven(why: Unproven, message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated(why), message)
}

fn wrong_password() -> Error {
    unproven(Unproven::Wrong, "the user name or the password is wrong")
}

fn busy() -> Error {
    let kind = ErrorKind::Throttled { retry_after: LOGIN_RETRY };
    Error::new(kind, "too many passwords are being checked (login_concurrency); try again soon")
}
