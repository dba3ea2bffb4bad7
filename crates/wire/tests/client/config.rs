//! The keys, their defaults, and what is said about those that are wrong.

use std::collections::{BTreeMap, BTreeSet};

use batchlingua_testkit::origin::Authority;
use batchlingua_wire::AuthScheme;
use serde_json::{Value, json};

use crate::support::{ALL, client_at, read};

const URL: &str = "http://10.0.0.5:8998/livy";

#[test]
fn without_further_keys_the_defaults_hold() {
    let config = read(URL, json!({}), &ALL).expect("good");
    let shown = format!("{config:?}");
    for part in ["connect_timeout: 5s", "attempt_timeout: 20s", "pool: 32", "pool_idle: 15s", "max_answer: 16777216"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(config.url().to_string(), URL);
    assert_eq!((config.url().authority(), config.url().prefix()), ("10.0.0.5:8998", "/livy"));
    assert!(config.access_key().is_none());
    let slash = read("https://h/", json!({}), &ALL).expect("good");
    assert_eq!((slash.url().prefix(), slash.url().to_string().as_str()), ("", "https://h"));
    let client = client_at(URL, json!({"attempt_timeout": "3s", "max_answer": "1MiB"}));
    assert_eq!((client.attempt_timeout().as_secs(), client.max_answer()), (3, 1 << 20));
}

#[test]
fn each_fault_names_its_key_and_what_to_change() {
    let with = |keys: Value| (URL, keys);
    for ((url, keys), says) in [
        (("10.0.0.5:8998", json!({})), "backend.x.url: must be an address such as"),
        (("ftp://h", json!({})), "backend.x.url: must be an address such as"),
        (("http://", json!({})), "backend.x.url: must be an address such as"),
        (("http://a:b@h", json!({})), "backend.x.url: must not have a name and a password"),
        (("http://h/x?y", json!({})), "backend.x.url: must end with its path"),
        (("http://h/#x", json!({})), "backend.x.url: must end with its path"),
        (("http://h:99999", json!({})), "backend.x.url: has a port that is none"),
        (("http://h:0", json!({})), "backend.x.url: has a port that is none"),
        (("http://h:", json!({})), "backend.x.url: has a port that is none"),
        (with(json!({"url": 1})), "backend.x.url: must be a text"),
        (with(json!({"connect_timeout": "0s"})), "backend.x.connect_timeout: must be above 0"),
        (with(json!({"attempt_timeout": "2d"})), "backend.x.attempt_timeout: must be above 0, and a day at most"),
        (with(json!({"attempt_timeout": 20})), "backend.x.attempt_timeout: must be a time"),
        (with(json!({"pool": -1})), "backend.x.pool: must be a whole number from 0 to 10000"),
        (with(json!({"pool_idle": "0ms"})), "backend.x.pool_idle: must be above 0"),
        (with(json!({"max_answer": 10})), "backend.x.max_answer: must be from \"1KiB\" to \"1GiB\""),
        (with(json!({"max_anser": 10})), "backend.x.max_anser: is not known; did you mean `max_answer`?"),
        (with(json!({"proxy": "https://p"})), "backend.x.proxy: must be an address such as"),
        (with(json!({"proxy": "http://p/x"})), "backend.x.proxy: must be an address such as"),
        (with(json!({"proxy": "http://p:x"})), "backend.x.proxy: "),
        (with(json!({"tls": {"ca": "/x"}})), "backend.x.tls: says how to speak https"),
        (with(json!({"auth": {}, "proxy": 1})), "backend.x.proxy: must be a text in quotes"),
    ] {
        let told = read(url, keys.clone(), &ALL).expect_err("a fault");
        assert!(told.contains(says), "{url} {keys}: {told}");
    }
    let mut nothing = batchlingua_wire::Settings::new("backend.x", json!({}));
    assert!(batchlingua_wire::ClientConfig::read(&mut nothing, &ALL).is_none());
    assert!(nothing.finish().expect_err("no url")[0].message.starts_with("must be given"));
}

#[test]
fn faults_of_credentials_are_told_without_them() {
    for (auth, says) in [
        (json!("s3cr3t"), "backend.x.auth: must be a table"),
        (json!({"basic": "s3cr3t"}), "backend.x.auth.basic: must be a table"),
        (json!({"basic": {"user": "a"}}), "backend.x.auth.basic.password: must be given"),
        (json!({"basic": {"password": "s3cr3t"}}), "backend.x.auth.basic.user: must be given"),
        (
            json!({"basic": {"user": "a:b", "password": "s3cr3t"}}),
            "backend.x.auth.basic.user: must be given, without a colon",
        ),
        (json!({"basic": {"user": "a", "password": ["s3cr3t"]}}), "backend.x.auth.basic.password: must be a text"),
        (json!({"basic": {"usr": "a", "user": "a", "password": "s3cr3t"}}), "did you mean `user`?"),
        (json!({"bearer": "s3cr3t\n"}), "backend.x.auth.bearer: has a character"),
        (json!({"bearer": ""}), "backend.x.auth.bearer: must be a text in quotes, and not an empty one"),
        (json!({"token": ["s3cr3t"]}), "backend.x.auth.token: must be a text"),
        (json!({"ak_sk": {"ak": "a"}}), "backend.x.auth.ak_sk.sk: must be given"),
        (json!({"ak_sk": {"sk": "s3cr3t"}}), "backend.x.auth.ak_sk.ak: must be given"),
        (json!({"token": "s3cr3t", "bearer": "s3cr3t"}), "backend.x.auth: has more than one way (bearer, token)"),
        (json!({"caller": "s3cr3t-no"}), "backend.x.auth.caller: must be true or false"),
        (json!({"toke": "s3cr3t"}), "backend.x.auth.toke: is not known; did you mean `token`?"),
    ] {
        let told = read(URL, json!({"auth": auth}), &ALL).expect_err("a fault");
        assert!(told.contains(says), "{auth}: {told}");
        assert!(!told.contains("s3cr3t") || auth.get("caller").is_some(), "{told}");
    }
    let told = read(URL, json!({"proxy": "http://me:s3cr3t@p:x"}), &ALL).expect_err("a fault");
    assert!(!told.contains("s3cr3t"), "{told}");
}

#[test]
fn a_scheme_that_the_product_does_not_take_is_told_with_those_that_it_does() {
    let two = [AuthScheme::Basic, AuthScheme::Bearer];
    for (auth, key) in [
        (json!({"token": "x"}), "token"),
        (json!({"ak_sk": {"ak": "a", "sk": "b"}}), "ak_sk"),
        (json!({"caller": true}), "caller"),
    ] {
        let told = read(URL, json!({"auth": auth}), &two).expect_err("a fault");
        assert_eq!(
            told,
            format!("backend.x.auth.{key}: this kind of backend does not take it; it takes `basic`, `bearer`"),
            "one mistake is one fault"
        );
    }
    let key = json!({"auth": {"ak_sk": {"ak": "a", "sk": "b", "region": "r", "security_token": "t"}}});
    let config = read(URL, key, &[AuthScheme::Signature]).expect("good");
    let key = config.access_key().expect("there");
    assert_eq!((key.ak.as_str(), key.sk.expose(), key.region.as_deref()), ("a", "b", Some("r")));
    assert_eq!(key.security_token.as_ref().map(|token| token.expose()), Some("t"));
}

#[test]
fn faults_of_certificates_are_found_before_anything_connects() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new();
    let ca = authority.ca_file(dir.path());
    let (cert, key) = authority.files(dir.path(), "one");
    let (_, other) = authority.files(dir.path(), "two");
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").expect("written");
    for (tls, says) in [
        (json!({"ca": "/no/such/file"}), "backend.x.tls.ca: /no/such/file: No such file"),
        (json!({"ca": empty}), "has no certificate in PEM"),
        (json!({"ca": dir.path()}), "is no file of at most"),
        (json!({"cert": cert}), "backend.x.tls.cert: needs its `key` beside it"),
        (json!({"key": key}), "backend.x.tls.key: needs its `cert` beside it"),
        (json!({"cert": cert, "key": cert}), "backend.x.tls.key: "),
        (json!({"cert": cert, "key": other}), "backend.x.tls.key: does not fit `cert`"),
        (json!({"cert": key, "key": key}), "backend.x.tls.cert: "),
        (json!({"caa": ca}), "backend.x.tls.caa: is not known"),
    ] {
        let told = read("https://h", json!({"tls": tls}), &ALL).expect_err("a fault");
        assert!(told.contains(says) && told.lines().count() == 1, "{tls}: {told}");
    }
    read("https://h", json!({"tls": {"ca": ca, "cert": cert, "key": key}}), &ALL).expect("good");
}

/// The section "HTTP backends" of the reference: each table's keys with their defaults, which are JSON here as well as TOML.
fn reference() -> BTreeMap<String, BTreeMap<String, Option<Value>>> {
    const REFERENCE: &str = include_str!("../../../../docs/configuration.md");
    let section = REFERENCE.split_once("\n### HTTP backends\n").expect("the section").1;
    let section = section.split_once("\n### ").expect("another follows").0;
    let mut tables: BTreeMap<String, BTreeMap<String, Option<Value>>> = BTreeMap::new();
    let mut heading = String::new();
    for line in section.lines() {
        if let Some(title) = line.strip_prefix("#### ") {
            heading = title.trim_matches('`').to_owned();
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [key, _type, default, _meaning] = cells.as_slice()
            && let Some(key) = key.strip_prefix('`')
        {
            let default = default.strip_prefix('`').and_then(|default| default.strip_suffix('`'));
            let default = default.map(|default| serde_json::from_str(default).expect("a value"));
            tables.entry(heading.clone()).or_default().insert(key.trim_matches('`').to_owned(), default);
        }
    }
    tables
}

#[test]
fn the_reference_has_the_keys_of_the_code_their_defaults_and_no_others() {
    let tables = reference();
    assert_eq!(tables.len(), 5, "{:?}", tables.keys());
    for (heading, documented) in &tables {
        let odd = json!({"%%": 1});
        let keys = match heading.as_str() {
            "" => odd,
            "auth" | "tls" => json!({heading: odd}),
            "basic" | "ak_sk" => json!({"auth": {heading: odd}}),
            other => panic!("the reference has a table under \"{other}\" that this test does not know"),
        };
        let told = read("https://h", keys, &ALL).expect_err("a key that nobody knows");
        let known = told.lines().find_map(|line| line.split_once("is not known; known here: ")).expect("the keys").1;
        let known: BTreeSet<&str> = known.split(", ").collect();
        assert_eq!(known, documented.keys().map(String::as_str).collect(), "{heading}");
    }
    let given: serde_json::Map<String, Value> =
        tables[""].iter().filter_map(|(key, default)| Some((key.clone(), default.clone()?))).collect();
    let with_defaults = read(URL, Value::Object(given), &ALL).expect("the defaults are good");
    let without = read(URL, json!({}), &ALL).expect("good");
    assert_eq!(format!("{with_defaults:?}"), format!("{without:?}"), "and they are those of the code");
}
