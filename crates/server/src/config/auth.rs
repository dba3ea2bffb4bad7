//! `[auth]` and `[scope]`: who may come in, and what there is to be named.
//!
//! The password file is read here, so that `check` finds what is wrong with it; nothing is hashed. What somebody is allowed by a name that
//! nobody can prove is hardly meant, and warned of.

use std::{collections::HashMap, path::Path, time::Duration};

use batchlingua_core::{Allowed, Millis, Rights};
use batchlingua_router::Scoping;
use batchlingua_wire::Settings;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    read::{close, count, nearest, time},
    told_twice,
};
use crate::auth::{AuthConfig, KeyConfig, PasswordFile, TokenConfig, name_fault};

/// A token or key that is shorter can be guessed.
const SHORTEST_SECRET: usize = 16;
const ANY: &str = "*";

/// `[scope]`.
pub(super) fn scope(root: &mut Settings) -> Scoping {
    let mut table = root.table("scope");
    let mut names = |key: &'static str| {
        let names = table.texts(key)?;
        if names.is_empty() {
            table.fault(key, "names none, so nobody could do anything; leave the key out for any");
        }
        Some(names)
    };
    let (projects, queues) = (names("projects"), names("queues"));
    let show_unscoped = table.flag("show_unscoped", true);
    close(root, table);
    Scoping { projects, queues, show_unscoped }
}

/// `[auth]`; without it nobody has to prove who he is.
pub(super) fn auth(root: &mut Settings, scoping: &Scoping, warnings: &mut Vec<String>) -> Option<AuthConfig> {
    let is_there = root.has("auth");
    let mut table = root.table("auth");
    if !is_there {
        return None;
    }
    let passwords = table.text("password_file").and_then(|path| match PasswordFile::open(Path::new(&path)) {
        Ok(file) => Some(file),
        Err(fault) => {
            table.fault("password_file", format!("{path}: {fault}"));
            None
        }
    });
    let clock_skew = time(&mut table, "clock_skew", Duration::from_secs(15 * 60));
    let has_window = table.has("replay_window");
    let replay_window = table.duration("replay_window", Duration::ZERO);
    if has_window && replay_window > super::LONGEST {
        table.fault("replay_window", "must be at most 3650d");
    }
    let cache_for = table.duration("cache_for", Duration::from_secs(300));
    let session_idle = time(&mut table, "session_idle", Duration::from_secs(600));
    let login_concurrency = count(&mut table, "login_concurrency", 2, 1_000);
    let users = users(&mut table, scoping);
    let tokens = tokens(&mut table, scoping);
    let keys = keys(&mut table, scoping);
    let is_whole = match table.finish() {
        Ok(()) => true,
        Err(faults) => {
            root.absorb(faults);
            false
        }
    };
    if is_whole && passwords.is_none() && tokens.is_empty() && keys.is_empty() {
        root.fault(
            "auth",
            "nobody could prove who he is: add `password_file` (see `batchlingua passwd`), [[auth.token]] or [[auth.key]]",
        );
    }
    let replay_window = has_window.then_some(replay_window);
    let config = AuthConfig {
        passwords,
        clock_skew,
        replay_window,
        cache_for,
        session_idle,
        login_concurrency,
        users,
        tokens,
        keys,
    };
    warnings.extend(unprovable(&config));
    Some(config)
}

/// Users that have rights and no way to show who they are.
fn unprovable(config: &AuthConfig) -> Vec<String> {
    let names = config.passwords.as_ref().map(PasswordFile::names).unwrap_or_default();
    let mut unprovable: Vec<&str> = config.users.keys().map(String::as_str).collect();
    unprovable.retain(|user| {
        let has_token = config.tokens.iter().any(|token| token.user == *user);
        !has_token && !config.keys.iter().any(|key| key.user == *user) && !names.iter().any(|name| name == user)
    });
    unprovable.sort_unstable();
    unprovable.iter().map(|user| format!("user {user} has neither a password nor a token nor a key")).collect()
}

fn users(auth: &mut Settings, scoping: &Scoping) -> HashMap<String, Rights> {
    let mut table = auth.table("user");
    let given = table.named_tables();
    close(auth, table);
    let mut users = HashMap::new();
    for (name, mut table) in given {
        if let Some(fault) = name_fault(&name) {
            table.fault("", fault);
        }
        let administrator = table.flag("administrator", false);
        let others = if administrator { Allowed::Any } else { Allowed::Only(Vec::new()) };
        let rights = Rights {
            administrator,
            projects: allowed(&mut table, "projects", Allowed::Any, scoping.projects.as_deref()),
            queues: allowed(&mut table, "queues", Allowed::Any, scoping.queues.as_deref()),
            run_as: allowed(&mut table, "run_as", others, None),
        };
        close(auth, table);
        users.insert(name, rights);
    }
    users
}

/// Names that somebody may use, `"*"` for any; a name that nobody can use is a mistake.
fn allowed(table: &mut Settings, key: &'static str, default: Allowed, known: Option<&[String]>) -> Allowed {
    let Some(names) = table.texts(key) else { return default };
    if names.iter().any(|name| name == ANY) {
        return Allowed::Any;
    }
    for name in &names {
        if known.is_some_and(|known| !known.contains(name)) {
            let near = nearest(name, known.unwrap_or_default().iter().map(String::as_str));
            table.fault(key, format!("[scope] has no \"{name}\"; {near}"));
        }
    }
    Allowed::Only(names)
}

fn tokens(auth: &mut Settings, scoping: &Scoping) -> Vec<TokenConfig> {
    let mut tokens = Vec::new();
    for mut table in auth.tables("token") {
        let token = secret(&mut table, "token");
        let user = user(&mut table);
        let projects = allowed(&mut table, "projects", Allowed::Any, scoping.projects.as_deref());
        let expires = table.text("expires").and_then(|text| {
            let at = instant(&text);
            if at.is_none() {
                table.fault("expires", "must be a time with its offset such as 2027-01-31T00:00:00Z");
            }
            at
        });
        tokens.push(TokenConfig { token, user, projects, expires });
        close(auth, table);
    }
    for at in told_twice(tokens.iter().map(|token| token.token.as_str()).filter(|token| !token.is_empty())) {
        auth.fault(&format!("token[{at}].token"), "is another entry's token too; give each its own");
    }
    tokens
}

fn keys(auth: &mut Settings, scoping: &Scoping) -> Vec<KeyConfig> {
    let mut keys = Vec::new();
    for mut table in auth.tables("key") {
        let access_key = table.text("access_key").unwrap_or_default();
        if access_key.is_empty() {
            table.fault("access_key", "must be given: the id that clients show");
        }
        keys.push(KeyConfig {
            access_key,
            secret_key: Zeroizing::new(secret(&mut table, "secret_key")),
            security_token: table.text("security_token"),
            user: user(&mut table),
            projects: allowed(&mut table, "projects", Allowed::Any, scoping.projects.as_deref()),
        });
        close(auth, table);
    }
    for at in told_twice(keys.iter().map(|key| key.access_key.as_str()).filter(|id| !id.is_empty())) {
        auth.fault(&format!("key[{at}].access_key"), "is another entry's id too; give each its own");
    }
    keys
}

fn secret(table: &mut Settings, key: &'static str) -> String {
    let secret = table.text(key).unwrap_or_default();
    if secret.len() < SHORTEST_SECRET {
        table.fault(
            key,
            format!("must have at least {SHORTEST_SECRET} characters, such as \"${{ENV:NAME}}\" of a long one"),
        );
    }
    secret
}

fn user(table: &mut Settings) -> String {
    let user = table.text("user").unwrap_or_default();
    if let Some(fault) = name_fault(&user) {
        table.fault("user", format!("must be the user that it stands for: {fault}"));
    }
    user
}

fn instant(text: &str) -> Option<Millis> {
    text.parse().ok().map(|at: Timestamp| Millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_with_its_offset() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
            ("2026-01-02T05:04:05+02:00", 1_767_323_045_000),
            ("2024-02-29T23:59:59Z", 1_709_251_199_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
        ] {
            assert_eq!(instant(text), Some(Millis(millis)), "{text}");
        }
        for text in ["2026-01-02", "2026-01-02T03:04:05", "tomorrow", "2026-02-30T00:00:00Z"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
