//! The guard as the router asks it, with a clock that the tests move.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use batchlingua_testkit::ManualClock;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-some-length";
const SECRET_KEY: &str = "linguaSkExample0000000000000000000000001";

/// A hash that costs as little as argon2 allows.
fn cheap(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).expect("allowed");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).expect("hashed").to_string()
}

fn write(file: &Path, people: &[(&str, &str)]) {
    let lines: String = people.iter().map(|(name, password)| format!("{name}:{}\n", cheap(password))).collect();
    let new = file.with_extension("new");
    fs::write(&new, lines).expect("written");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("changed");
    fs::rename(new, file).expect("renamed");
}

fn config(passwords: Option<&Path>) -> AuthConfig {
    AuthConfig {
        passwords: passwords.map(|file| PasswordFile::open(file).expect("a password file")),
        clock_skew: 15 * MINUTE,
        replay_window: None,
        cache_for: 5 * MINUTE,
        session_idle: 10 * MINUTE,
        login_concurrency: 2,
        users: HashMap::new(),
        tokens: Vec::new(),
        keys: Vec::new(),
    }
}

struct House {
    _dir: tempfile::TempDir,
    file: PathBuf,
    clock: Arc<ManualClock>,
    guard: Guard,
}

/// Ana has the password `right`, Bob `other`.
fn house() -> House {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("passwords");
    write(&file, &[("ana", "right"), ("bob", "other")]);
    let clock = Arc::new(ManualClock::default());
    let guard = Guard::new(config(Some(&file)), clock.clone());
    House { _dir: dir, file, clock, guard }
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic { user: user.into(), password: password.into() }
}

/// As the router asks.
async fn ask(guard: &Guard, shown: Option<&Credentials>) -> Result<Identity, Unproven> {
    match guard.recall(shown, "nobody") {
        Some(identity) => Ok(identity),
        None => guard.authenticate(shown).await.map_err(|error| match error.kind {
            ErrorKind::Unauthenticated(why) => why,
            other => panic!("{other:?}"),
        }),
    }
}

impl House {
    async fn ask(&self, shown: &Credentials) -> Result<String, Unproven> {
        ask(&self.guard, Some(shown)).await.map(|identity| {
            assert!(identity.principal.verified);
            identity.principal.name.to_string()
        })
    }

    fn is_remembered(&self, shown: &Credentials) -> bool {
        self.guard.recall(Some(shown), "nobody").is_some()
    }

    async fn session(&self, shown: &Credentials) -> Option<Credentials> {
        let identity = ask(&self.guard, Some(shown)).await.expect("proven");
        self.guard.session(&identity, Some(shown)).map(Credentials::Session)
    }
}

#[tokio::test]
async fn a_password_is_proven_once_and_then_remembered_for_a_while() {
    let house = house();
    let right = basic("ana", "right");
    assert!(!house.is_remembered(&right), "nothing is known before it is checked");
    assert_eq!(house.ask(&right).await, Ok("ana".into()));
    house.clock.advance(5 * MINUTE - Duration::from_millis(1));
    assert!(house.is_remembered(&right));
    assert!(!house.is_remembered(&basic("ana", "other")) && !house.is_remembered(&basic("bob", "right")));
    house.clock.advance(Duration::from_millis(1));
    assert!(!house.is_remembered(&right), "cache_for is over");
    assert_eq!(house.ask(&right).await, Ok("ana".into()));
}

#[tokio::test]
async fn whoever_proves_nothing_is_told_what_kind_of_nothing() {
    let house = house();
    assert_eq!(ask(&house.guard, None).await.err(), Some(Unproven::Nothing));
    let long = "x".repeat(MAX_PASSWORD + 1);
    for (shown, why) in [
        (basic("ana", "wrong"), Unproven::Wrong),
        (basic("eve", "right"), Unproven::Wrong),
        (basic("ana", &long), Unproven::Wrong),
        (basic("a\nb", "right"), Unproven::Wrong),
        (basic("", "right"), Unproven::Unusable),
        (basic("ana", ""), Unproven::Unusable),
        (basic("ana", "  "), Unproven::Unusable),
        (Credentials::Bearer("x".into()), Unproven::Unusable),
        (Credentials::Token(TOKEN.into()), Unproven::Wrong),
        (Credentials::Session("ana".into()), Unproven::Wrong),
        (signature(SECRET_KEY, "AK", &house.clock), Unproven::Wrong),
    ] {
        assert_eq!(house.ask(&shown).await, Err(why), "{:?} {shown:?}", shown.claimed());
    }
    let tokens_only = Guard::new(config(None), house.clock.clone());
    assert_eq!(ask(&tokens_only, Some(&basic("ana", "right"))).await.err(), Some(Unproven::Unusable));
}

#[tokio::test]
async fn a_refused_password_is_not_hashed_again_at_once_and_not_refused_for_ever() {
    let house = house();
    assert_eq!(house.ask(&basic("ana", "new")).await, Err(Unproven::Wrong));
    let mark = house.guard.proven.mark("ana", "new");
    assert!(house.guard.proven.is_wrong(&mark, 1, house.clock.now()));
    write(&house.file, &[("ana", "new")]);
    assert_eq!(house.ask(&basic("ana", "new")).await, Ok("ana".into()), "the file has changed since");
}

#[tokio::test]
async fn a_changed_file_holds_from_the_next_login_on() {
    let house = house();
    let (right, other) = (basic("ana", "right"), basic("bob", "other"));
    assert_eq!((house.ask(&right).await, house.ask(&other).await), (Ok("ana".into()), Ok("bob".into())));
    write(&house.file, &[("ana", "new")]);
    assert!(house.is_remembered(&right), "a poll does not look at the file");
    assert_eq!(house.ask(&basic("ana", "new")).await, Ok("ana".into()));
    assert!(
        !house.is_remembered(&right) && !house.is_remembered(&other),
        "what an older file proved is proven no more"
    );
    assert_eq!((house.ask(&right).await, house.ask(&other).await), (Err(Unproven::Wrong), Err(Unproven::Wrong)));

    for broken in ["ana", ""] {
        fs::write(&house.file, broken).expect("written");
        let held = if broken.is_empty() { Err(Unproven::Wrong) } else { Ok("ana".into()) };
        house.clock.advance(6 * MINUTE);
        assert_eq!(house.ask(&basic("ana", "new")).await, held, "{broken:?}");
    }
    write(&house.file, &[("ana", "new")]);
    fs::set_permissions(&house.file, fs::Permissions::from_mode(0o644)).expect("changed");
    house.clock.advance(MINUTE);
    assert_eq!(house.ask(&basic("ana", "new")).await, Err(Unproven::Wrong), "open to others, so what was before holds");
}

#[tokio::test]
async fn a_session_stands_for_a_password_and_is_renewed_while_it_is_used() {
    let house = house();
    let first = house.session(&basic("ana", "right")).await.expect("a session");
    assert_eq!(house.ask(&first).await, Ok("ana".into()));
    house.clock.advance(4 * MINUTE);
    assert!(house.is_remembered(&first) && house.session(&first).await.is_none(), "young");
    house.clock.advance(2 * MINUTE);
    let second = house.session(&first).await.expect("in its second half it is replaced");
    house.clock.advance(4 * MINUTE);
    assert_eq!(house.ask(&first).await, Err(Unproven::Wrong), "session_idle is over");
    assert_eq!(house.ask(&second).await, Ok("ana".into()));

    let Credentials::Session(text) = &second else { panic!("a session") };
    let of_bob = house.session(&basic("bob", "other")).await.expect("a session");
    let Credentials::Session(bobs) = &of_bob else { panic!("a session") };
    let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (own, other) = (parts(text), parts(bobs));
    let forged = |parts: [&str; 4]| Credentials::Session(parts.join("."));
    for shown in [
        forged([&own[0], &other[1], &own[2], &own[3]]),
        forged([&own[0], &own[1], "ffffffffff", &own[3]]),
        forged([&own[0], &own[1], &own[2], &other[3]]),
        forged([&own[0], &own[1], &own[2], ""]),
        forged(["v2", &own[1], &own[2], &own[3]]),
        Credentials::Session(format!("{text}.x")),
        Credentials::Session("v1.".repeat(1_000)),
    ] {
        assert_eq!(house.ask(&shown).await, Err(Unproven::Wrong));
    }
}

#[tokio::test]
async fn sessions_outlive_a_restart_and_end_with_the_password() {
    let house = house();
    let session = house.session(&basic("ana", "right")).await.expect("a session");
    let next = Guard::new(config(Some(&house.file)), house.clock.clone());
    assert!(next.recall(Some(&session), "nobody").is_some(), "another process on the same file takes it");
    write(&house.file, &[("bob", "other")]);
    let gone = Guard::new(config(Some(&house.file)), house.clock.clone());
    assert_eq!(ask(&gone, Some(&session)).await.err(), Some(Unproven::Wrong));
    // Nobody logs in here; but a session is held against the file before it is renewed.
    house.clock.advance(6 * MINUTE);
    assert_eq!(house.ask(&session).await, Err(Unproven::Wrong), "the user is gone");
}

#[tokio::test]
async fn a_token_stands_for_its_user_within_its_projects_and_its_time() {
    let clock = Arc::new(ManualClock::default());
    let only = |names: &[&str]| Allowed::Only(names.iter().map(|name| (*name).to_owned()).collect());
    let token =
        |text: &str, projects, expires| TokenConfig { token: text.into(), user: "etl".into(), projects, expires };
    let guard = Guard::new(
        AuthConfig {
            users: HashMap::from([("etl".to_owned(), Rights { projects: only(&["p", "q"]), ..default_rights() })]),
            tokens: vec![
                token(TOKEN, Allowed::Any, None),
                token("for-some-projects", only(&["q", "r"]), None),
                token("for-some-time-only", Allowed::Any, Some(clock.now().plus(MINUTE))),
            ],
            ..config(None)
        },
        clock.clone(),
    );
    let show = |text: &str| guard.recall(Some(&Credentials::Token(text.into())), "nobody");
    assert_eq!(show(TOKEN).map(|identity| identity.rights.projects.clone()), Some(only(&["p", "q"])));
    assert_eq!(show("for-some-projects").map(|identity| identity.rights.projects.clone()), Some(only(&["q"])));
    assert!(show("for-some-time-only").is_some_and(|identity| &*identity.principal.name == "etl"));
    assert!(show("a-token-of-some-lengtH").is_none() && show("").is_none());
    clock.advance(MINUTE);
    assert!(show("for-some-time-only").is_none() && show(TOKEN).is_some());
}

fn signature(secret: &str, access_key: &str, clock: &ManualClock) -> Credentials {
    let signed = format!("SDK-HMAC-SHA256\nsome date\n{}", clock.now().0);
    let signature = keyed::hex(&Key::new(secret.as_bytes()).of(signed.as_bytes()));
    Credentials::Signature {
        access_key: access_key.into(),
        signed,
        signature: String::from_utf8(signature.to_vec()).expect("digits"),
        at: clock.now(),
        security_token: None,
    }
}

fn keys(clock: &Arc<ManualClock>, replay_window: Option<Duration>, security_token: Option<&str>) -> Guard {
    let key = KeyConfig {
        access_key: "AK".into(),
        secret_key: Zeroizing::new(SECRET_KEY.into()),
        security_token: security_token.map(str::to_owned),
        user: "etl".into(),
        projects: Allowed::Any,
    };
    Guard::new(AuthConfig { keys: vec![key], replay_window, ..config(None) }, clock.clone())
}

#[tokio::test]
async fn a_signature_is_good_while_its_time_is_near() {
    let clock = Arc::new(ManualClock::default());
    let guard = keys(&clock, None, None);
    let good = signature(SECRET_KEY, "AK", &clock);
    for _ in 0..3 {
        assert!(guard.recall(Some(&good), "nobody").is_some(), "the same one may come again");
    }
    let Credentials::Signature { signed, signature: hex, at, .. } = good.clone() else { panic!("a signature") };
    let again = |signed: &str, signature: &str, at| Credentials::Signature {
        access_key: "AK".into(),
        signed: signed.into(),
        signature: signature.into(),
        at,
        security_token: None,
    };
    for bad in [
        signature("another secret", "AK", &clock),
        signature(SECRET_KEY, "KA", &clock),
        again(&format!("{signed} "), &hex, at),
        again(&signed, &hex.to_uppercase(), at),
        again(&signed, "", at),
        again(&signed, &hex[..63], at),
    ] {
        assert_eq!(ask(&guard, Some(&bad)).await.err(), Some(Unproven::Wrong));
    }
    clock.advance(15 * MINUTE);
    assert!(guard.recall(Some(&good), "nobody").is_some());
    clock.advance(Duration::from_millis(1));
    let error = guard.authenticate(Some(&good)).await.expect_err("too old");
    assert!(error.message.contains("set the clock"), "{error}");
    let ahead = again(&signed, &hex, clock.now().plus(16 * MINUTE));
    assert!(guard.recall(Some(&ahead), "nobody").is_none(), "from a clock that is ahead");
}

#[tokio::test]
async fn a_replay_window_bounds_how_long_a_signature_is_taken_again() {
    let clock = Arc::new(ManualClock::default());
    let guard = keys(&clock, Some(Duration::from_secs(30)), None);
    let taken = |shown: &Credentials| guard.recall(Some(shown), "nobody").is_some();
    let first = signature(SECRET_KEY, "AK", &clock);
    assert!(taken(&first) && taken(&first));
    clock.advance(Duration::from_secs(30));
    let second = signature(SECRET_KEY, "AK", &clock);
    assert!(taken(&first) && taken(&second), "retries come seconds later");
    clock.advance(Duration::from_secs(1));
    assert!(!taken(&first) && taken(&second));

    let once = keys(&clock, Some(Duration::ZERO), None);
    assert!(once.recall(Some(&second), "nobody").is_some() && once.recall(Some(&second), "nobody").is_none());
}

#[tokio::test]
async fn a_temporary_key_needs_its_token() {
    let clock = Arc::new(ManualClock::default());
    let guard = keys(&clock, None, Some("its-token"));
    let with = |token: Option<&str>| {
        let mut shown = signature(SECRET_KEY, "AK", &clock);
        let Credentials::Signature { security_token, .. } = &mut shown else { panic!("a signature") };
        *security_token = token.map(str::to_owned);
        guard.recall(Some(&shown), "nobody").is_some()
    };
    assert_eq!([with(Some("its-token")), with(Some("its-tokeN")), with(None)], [true, false, false]);
}

#[tokio::test]
async fn many_logins_wait_for_their_turn_and_one_answer_serves_all_with_the_same_password() {
    let house = Arc::new(house());
    let logins: Vec<_> = (0..50)
        .map(|_| {
            let house = house.clone();
            tokio::spawn(async move { house.ask(&basic("ana", "right")).await })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.expect("answered"), Ok("ana".into()));
    }
    assert_eq!(house.guard.logins.available_permits(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_gets_no_turn_is_told_to_come_again() {
    let house = house();
    let _all = house.guard.logins.clone().acquire_many_owned(2).await.expect("free");
    let error = house.guard.authenticate(Some(&basic("ana", "right"))).await.expect_err("no turn");
    assert!(matches!(error.kind, ErrorKind::Throttled { .. }), "{error:?}");
}
