//! The configuration: every fault with its place, and a reference that says what the code does.

use std::collections::{BTreeMap, BTreeSet};

use batchlingua::config::{Config, Faults, Vault};

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

struct Environment;

impl Vault for Environment {
    fn env(&self, name: &str) -> Option<String> {
        match name {
            "PW" => Some("s3cr3t".to_owned()),
            "ETL_TOKEN" | "ETL_SECRET_KEY" | "ETL_SECURITY_TOKEN" => Some(format!("s3cr3t-{name}-of-some-length")),
            _ => None,
        }
    }
}

fn parse(text: &str) -> Result<Config, Faults> {
    Config::parse("x.toml", text, &Environment)
}

fn faults(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(faults) => faults.to_string(),
    }
}

const BACKEND: &str = "[backend.here]\nkind = \"local\"\n";

#[test]
fn without_a_file_all_is_there() {
    let config = Config::without_file().expect("the defaults hold");
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:8998");
    assert_eq!(config.admin.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:9998"));
    assert_eq!(config.ledger.url, "sqlite://batchlingua-data/ledger.db");
    assert_eq!((config.backends.len(), config.routing.rules.len(), config.warnings.len()), (1, 1, 0));
}

#[test]
fn each_fault_has_its_line_and_says_what_to_change() {
    // What is written before the backend, the line and column of the fault, and words of what is said.
    for (text, place, says) in [
        ("insecur = true\n", "1:1", "did you mean `insecure`?"),
        ("[[listener]]\nadress = \"127.0.0.1:1\"\n", "2:1", "did you mean `address`?"),
        ("[[listener]]\naddress = \"here:1\"\n", "2:1", "an IP address and a port"),
        ("[[listener]]\naddress = \"0.0.0.0:1\"\n", "2:1", "insecure = true"),
        ("[admin]\naddress = \"10.0.0.1:1\"\n", "2:1", "insecure = true"),
        ("insecure = true\n[[listener]]\naddress = \"0.0.0.0:1\"\n", "2:1", "public_url: must be set"),
        ("[[listener]]\nauth = true\n", "2:1", "there is no [auth]"),
        ("[auth]\n", "1:2", "nobody could prove who he is"),
        ("[auth]\npassword_fil = \"x\"\n", "2:1", "did you mean `password_file`?"),
        (
            "[auth]\npassword_file = \"/no/such/file\"\n",
            "2:1",
            "there is no such file; make it with `batchlingua passwd`",
        ),
        ("[[auth.token]]\ntoken = \"short\"\nuser = \"a\"\n", "2:1", "at least 16 characters"),
        ("[[auth.token]]\ntoken = \"0123456789abcdef\"\n", "1:1", "user: must be the user"),
        (
            "[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"a\"\nexpires = 2030-01-01\n",
            "4:1",
            "with its offset",
        ),
        ("[[auth.key]]\nsecret_key = \"0123456789abcdef\"\nuser = \"a\"\n", "1:1", "access_key: must be given"),
        ("[scope]\nprojects = []\n", "2:1", "names none"),
        ("[[listener]]\ndialects = [\"livvy\"]\n", "2:1", "did you mean \"livy\"?"),
        ("[[listener]]\ndialects = []\n", "2:1", "names no dialect"),
        ("[[listener]]\nname = \"a b\"\n", "2:1", "a name has"),
        ("[[listener]]\nname = \"admin\"\n", "2:1", "take another"),
        ("[[listener]]\n[[listener]]\naddress = \"127.0.0.1:1\"\n", "2:1", "another listener has the name \"main\""),
        ("[[listener]]\n[[listener]]\nname = \"b\"\n", "2:1", "127.0.0.1:8998 is taken"),
        ("[admin]\naddress = \"127.0.0.1:8998\"\n", "", "127.0.0.1:8998 is taken"),
        ("[[listener]]\npublic_url = \"batch.example.com\"\n", "2:1", "https://batch.example.com"),
        ("[[listener]]\npath_prefix = \"gw/\"\n", "2:1", "must begin with a slash"),
        ("[[listener]]\nhosts = [\"*.example.com\"]\n", "2:1", "host names"),
        ("[ledger]\nurl = \"mysql://db\"\n", "2:1", "sqlite://PATH"),
        ("[ledger]\nurl = \"postgres://db\"\n", "2:1", "names no database"),
        ("[ledger]\nkeep_for = \"0s\"\n", "2:1", "above 0"),
        ("[dialect.livvy]\n", "1:10", "did you mean \"livy\"?"),
        ("[dialect.livy]\nlog_line = 1\n", "2:1", "did you mean `log_lines`?"),
        ("[[route]]\nto = \"here\"\n[backend.other]\nkind = \"locol\"\n", "4:1", "did you mean \"local\"?"),
        ("[[route]]\nto = \"here\"\n[backend.other]\n", "3:10", "kind: is missing"),
        (
            "[[route]]\nto = \"here\"\n[backend.other]\nkind = \"local\"\nmax_call = 1\n",
            "5:1",
            "did you mean `max_calls`?",
        ),
        ("[backend.other]\nkind = \"local\"\n", "1:2", "no [[route]]"),
        ("[[route]]\nto = \"heer\"\n", "2:1", "there is no backend \"heer\"; did you mean \"here\"?"),
        ("[[route]]\n", "1:1", "to: must name a backend"),
        ("[[route]]\nto = [{ backend = \"here\" }, { backend = \"here\" }]\n", "2:1", "is not there yet"),
        ("[[route]]\nto = [{ backend = \"here\", weight = 1 }]\n", "2:27", "is not there yet"),
        ("[[route]]\nto = \"here\"\nmatch = { listener = \"mian\" }\n", "3:11", "did you mean \"main\"?"),
        (
            "[[route]]\nto = \"here\"\nunmapped = { cosmetic = \"ignore\" }\n",
            "3:14",
            "\"reject\" or \"report\" or \"drop\"",
        ),
        ("[limits]\nmax_header = \"2KiB\"\n", "2:1", "must be from 8192"),
        ("[limits]\nidle_timeout = 75\n", "2:1", "must be a time"),
        ("[limits]\nmax_connections = 0\n", "2:1", "from 1 to"),
        ("[limits]\njson_depth = \"deep\"\n", "2:1", "must be a whole number"),
        ("[log]\nlevel = \"a=b=c\"\n", "2:1", "must be \"error\""),
        ("[log]\nformat = \"xml\"\n", "2:1", "\"text\" or \"json\""),
        ("[log]\nlevel = \"${ENV:NONE}\"\n", "2:1", "no variable NONE"),
        ("[log]\nlevel = \"${HOME}\"\n", "2:1", "is not known"),
        ("[limits]\nmax_parts = 1.5\n", "2:1", "must be a whole number"),
        ("[limits]\nmax_parts = 99999999999999999999\n", "2:1", "64 bits"),
        ("[log]\nlevel = \n", "2:9", ""),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"\n", "3:1", "duplicate key"),
    ] {
        let told = faults(&format!("{text}{BACKEND}"));
        let place = if place.is_empty() { "x.toml:".to_owned() } else { format!("x.toml:{place}:") };
        let fits = told.lines().any(|line| line.starts_with(&place) && line.contains(says));
        assert!(fits, "{text}expected {place} … {says}\n{told}");
        assert_eq!(told.lines().count(), 1, "one mistake is one fault: {text}{told}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let told =
        faults("[log]\nformat = 1\n\n[backend.here]\nkind = \"local\"\nconcurrency = 0\n\n[limits]\nsweep = \"1\"\n");
    let places: Vec<&str> = told.lines().map(|line| line.split(": ").next().unwrap_or("")).collect();
    assert_eq!(places, ["x.toml:2:1", "x.toml:6:1", "x.toml:9:1"], "{told}");
    let broken = faults("a = \nb = 1\nc = [\n");
    assert!(broken.contains("x.toml:1:") && broken.lines().count() >= 2, "{broken}");
}

#[test]
fn no_backend_is_a_fault_of_no_line() {
    assert!(faults("").starts_with("x.toml: backend: there is no backend"), "{}", faults(""));
}

#[test]
fn a_secret_is_used_and_never_told() {
    let config = parse(&format!("[ledger]\nurl = \"sqlite:///x/${{ENV:PW}}.db\"\n{BACKEND}")).expect("good");
    assert_eq!(config.ledger.url, "sqlite:///x/s3cr3t.db");
    for text in
        ["[limits]\nmax_parts = \"${ENV:PW}\"\n", "[log]\nformat = \"${ENV:PW}\"\n", "[[route]]\nto = \"${ENV:PW}\"\n"]
    {
        let told = faults(&format!("{text}{BACKEND}"));
        assert!(told.contains("${ENV:PW}") && !told.contains("s3cr3t"), "{told}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    std::fs::write(&path, "from a file\n").expect("written");
    let text = format!("[ledger]\nurl = \"sqlite://${{FILE:{}}}\"\n{BACKEND}", path.display());
    assert_eq!(parse(&text).expect("good").ledger.url, "sqlite://from a file");
}

#[test]
fn a_route_that_takes_only_some_is_warned_of() {
    let text = "[[route]]\nmatch = { listener = \"other\" }\nto = \"here\"\n[[listener]]\nname = \"other\"\naddress = \"127.0.0.1:1\"\n";
    let config = parse(&format!("{text}[[listener]]\n{BACKEND}")).expect("allowed");
    assert!(config.warnings.iter().any(|warning| warning.contains("listener main")), "{:?}", config.warnings);
    assert!(config.summary().contains("warning: no route takes"), "{}", config.summary());
}

#[test]
fn limits_are_handed_down_to_dialects_that_have_none_of_their_own() {
    parse(&format!("[limits]\njson_depth = 5\nmax_body = \"1MiB\"\n{BACKEND}")).expect("good");
    let told = faults(&format!("[limits]\nmax_body = \"1MiB\"\n[dialect.livy]\nmax_body = \"x\"\n{BACKEND}"));
    assert!(told.starts_with("x.toml:4:1: dialect.livy.max_body"), "{told}");
}

/// A way to come in, so that an `[auth]` is whole.
const TOKEN: &str = "[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"ana\"\n";

#[test]
fn with_authentication_a_listener_may_be_reached_from_elsewhere() {
    let public = "[[listener]]\naddress = \"0.0.0.0:1\"\npublic_url = \"https://batch.example.com\"\n";
    let config = parse(&format!("{TOKEN}{public}{BACKEND}")).expect("allowed");
    assert!(config.listeners[0].auth && config.auth.is_some());
    let told = faults(&format!("{public}{BACKEND}"));
    assert!(told.contains("say in [auth] who may come in, or write `insecure = true`"), "{told}");
    let told = faults(&format!("{TOKEN}{public}auth = false\n{BACKEND}"));
    assert!(told.starts_with("x.toml:5:1: ") && told.contains("leave `auth = false` out"), "{told}");
    let told = faults(&format!("{TOKEN}[admin]\naddress = \"0.0.0.0:1\"\n{BACKEND}"));
    assert!(told.starts_with("x.toml:5:1: ") && told.contains("insecure = true"), "nobody is asked there: {told}");
    let open = parse(&format!("{TOKEN}[[listener]]\nauth = false\n{BACKEND}")).expect("allowed");
    assert!(!open.listeners[0].auth && open.summary().contains(", without authentication"), "{}", open.summary());
}

#[test]
fn rights_that_name_what_is_not_there_are_told() {
    let scope = "[scope]\nprojects = [\"sales\"]\nqueues = [\"nightly\"]\n";
    for (user, says) in [
        ("projects = [\"sale\"]", "[scope] has no \"sale\"; did you mean \"sales\"?"),
        ("queues = [\"x\"]", "[scope] has no \"x\"; there are: nightly"),
        ("run_as = \"etl\"", "must be a list of texts"),
        ("admin = true", "did you mean `administrator`?"),
    ] {
        let told = faults(&format!("{TOKEN}[auth.user.ana]\n{user}\n{scope}{BACKEND}"));
        assert!(told.starts_with("x.toml:5:1: auth.user.ana") && told.contains(says), "{user}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let config = parse(&format!("{TOKEN}[auth.user.eve]\nadministrator = true\n{BACKEND}")).expect("allowed");
    assert_eq!(config.warnings, ["user eve has neither a password nor a token nor a key"]);
    let auth = config.auth.expect("given");
    assert!(auth.users["eve"].run_as.has("anybody"), "an administrator may run as anybody unless it is said");
    let twice = faults(&format!("{TOKEN}{TOKEN}{BACKEND}"));
    assert!(twice.contains("auth.token[1].token: is another") && !twice.contains("0123456789"), "{twice}");
}

#[test]
fn a_password_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("passwords");
    std::fs::write(&file, "# nobody yet\n").expect("written");
    let text = format!("[auth]\npassword_file = \"{}\"\n{BACKEND}", file.display());
    for (mode, says) in
        [(0o600, None), (0o640, None), (0o400, None), (0o644, Some("chmod 600")), (0o660, Some("chmod 600"))]
    {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("changed");
        match says {
            None => assert!(parse(&text).is_ok(), "{mode:o}"),
            Some(says) => assert!(faults(&text).contains(says), "{mode:o}"),
        }
    }
}

/// One table of the reference: its heading, and each key with its default as TOML.
type Tables = BTreeMap<String, BTreeMap<String, Option<String>>>;

fn reference() -> Tables {
    tables(false)
}

/// What backends over HTTP share, or all else. The shared is held against the code by the tests of the client that they share.
fn tables(shared: bool) -> Tables {
    let mut tables = Tables::new();
    let mut heading = String::new();
    let mut is_shared = false;
    for line in REFERENCE.lines() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().replace('`', "");
            is_shared = heading == "HTTP backends" || (is_shared && line.starts_with("####"));
        }
        if is_shared != shared {
            continue;
        }
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [key, _type, default, _meaning] = cells.as_slice()
            && let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'))
        {
            let default = (*default != "–").then(|| default.trim_matches('`').to_owned());
            tables.entry(heading.clone()).or_default().insert(key.to_owned(), default);
        }
    }
    tables
}

/// Where a table of the reference stands in a file: what comes before its keys.
fn opening(heading: &str) -> &'static str {
    match heading {
        "Top level" => "",
        "[[listener]]" => "[[listener]]\n",
        "[admin]" => "[admin]\n",
        "[auth]" => "[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"ana\"\n[auth]\n",
        "[auth.user.NAME]" => "[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"ana\"\n[auth.user.ana]\n",
        "[[auth.token]]" => "[[auth.token]]\ntoken = \"0123456789abcdef\"\nuser = \"ana\"\n",
        "[[auth.key]]" => "[[auth.key]]\naccess_key = \"a\"\nsecret_key = \"0123456789abcdef\"\nuser = \"ana\"\n",
        "[scope]" => "[scope]\n",
        "[ledger]" => "[ledger]\n",
        "[dialect.NAME]" | "[dialect.livy]" => "[dialect.livy]\n",
        "[dialect.kyuubi]" => "[dialect.kyuubi]\n",
        "[dialect.kylin]" => "[dialect.kylin]\n",
        "[dialect.dli]" => "[dialect.dli]\n",
        "[backend.NAME]" | "kind = \"local\"" => "[backend.other]\nkind = \"local\"\n",
        "kind = \"livy\"" => "[backend.other]\nkind = \"livy\"\nurl = \"http://127.0.0.1:1\"\n",
        "kind = \"dli\"" => "[backend.other]\nkind = \"dli\"\nurl = \"http://127.0.0.1:1\"\nproject_id = \"p1\"\n",
        "defaults" => "[backend.other]\nkind = \"dli\"\n[backend.other.defaults]\n",
        "kind = \"kylin\"" => "[backend.other]\nkind = \"kylin\"\nurl = \"http://127.0.0.1:1\"\n",
        "kind = \"kyuubi\"" => "[backend.other]\nkind = \"kyuubi\"\nurl = \"http://127.0.0.1:1\"\n",
        "[[route]]" => "[[route]]\nto = \"here\"\n",
        "stage" => "[backend.other]\nkind = \"local\"\n[backend.other.stage]\n",
        "match" => "[[route]]\nto = \"here\"\n[route.match]\n",
        "to" => "[[route]]\n[[route.to]]\nbackend = \"here\"\n",
        "unmapped" => "[[route]]\nto = \"here\"\n[route.unmapped]\n",
        "[limits]" => "[limits]\n",
        "[log]" => "[log]\n",
        other => panic!("the reference has a table under \"{other}\" that this test does not know"),
    }
}

const CATCH_ALL: &str = "[[route]]\nto = \"here\"\n";

#[test]
fn every_default_of_the_reference_is_accepted() {
    for (heading, keys) in reference() {
        for (key, default) in keys {
            let Some(default) = default else { continue };
            let text = format!("{}{key} = {default}\n{BACKEND}{CATCH_ALL}", opening(&heading));
            if let Err(faults) = parse(&text) {
                panic!("{heading} {key}: {faults}\n{text}");
            }
        }
    }
}

/// The code tells its keys to whoever writes one that resembles none of them.
#[test]
fn the_reference_has_the_keys_of_the_code_and_no_others() {
    let mut documented: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (heading, keys) in reference() {
        documented.entry(opening(&heading)).or_default().extend(keys.into_keys());
    }
    let common = reference().remove("[dialect.NAME]").expect("the keys of all dialects");
    for (_, keys) in documented.iter_mut().filter(|(opening, _)| opening.starts_with("[dialect.")) {
        keys.extend(common.keys().cloned());
    }
    let common = reference().remove("[backend.NAME]").expect("the keys of all backends");
    let http = tables(true).remove("HTTP backends").expect("the keys of all backends over HTTP");
    for (_, keys) in documented.iter_mut().filter(|(opening, _)| opening.contains("url = ")) {
        keys.extend(common.keys().chain(http.keys()).cloned());
    }
    for (opening, mut documented) in documented {
        let told = faults(&format!("{opening}\"%%\" = 1\n{BACKEND}{CATCH_ALL}"));
        let known = told.lines().find_map(|line| line.split_once("is not known; known here: ")).expect("the keys").1;
        let mut known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
        // Weights are known in order to be refused, and the tables at the top are headings of the reference.
        known.remove("weight");
        if opening.ends_with("[auth]\n") {
            documented.extend(["user", "token", "key"].map(str::to_owned));
        }
        if opening.is_empty() {
            documented.extend(
                ["listener", "admin", "auth", "scope", "ledger", "dialect", "backend", "route", "limits", "log"]
                    .map(str::to_owned),
            );
        }
        assert_eq!(known, documented, "{opening}");
    }
}

#[test]
fn the_example_of_the_reference_holds_and_shows_every_key_without_a_default() {
    let example = REFERENCE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    // The file that it names is another machine's.
    let dir = tempfile::tempdir().expect("a directory");
    let passwords = dir.path().join("passwords");
    batchlingua::auth::passwd::set(&passwords, "ana", "right").expect("written");
    let example = example.replace("/etc/batchlingua/passwords", &passwords.display().to_string());
    let example = example.as_str();
    let config = parse(example).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    for (heading, keys) in reference() {
        for (key, _) in keys.iter().filter(|(_, default)| default.is_none()) {
            assert!(example.contains(&format!("{key} = ")), "{heading} {key}");
        }
    }
}
