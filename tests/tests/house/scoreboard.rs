//! `docs/conformance.md`: for each dialect and operation, by what it is shown that we answer as the product does.
//!
//! The page is made, never typed: golden cases are counted in `fixtures`, recorded exchanges come from the replays' own verdicts, and what
//! stock clients call is in `tests/clients/operations.json`, which the client tests hold against the proxy's metrics. `BLESS=1` writes the
//! page; without it every replay compares its verdicts with the page, and a test the rest. A few exchanges of a replay come out one way or
//! the other, depending on the machine; the rules that say so also say for how many, and by so many a figure may be off.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

const HEAD: &str = "# Conformance\n\n\
    For each dialect and operation: golden cases (bytes of the product, its documentation or its source, each with its source beside it), \
    exchanges\nrecorded with a real server and replayed against this proxy over the local backend (the same, or different by a stated \
    rule), and stock clients\nthat make the call in our tests over real Spark.\n\n\
    This page is made by `BLESS=1 cargo test -p batchlingua-tests --test house -- recorded scoreboard` and checked by the same tests \
    without `BLESS`.\nReasons and counts of the rules: `tests/tests/house/recordings/<dialect>/rules.rs`.\n";

/// Those of the page, in its order.
const DIALECTS: [(&str, &str); 4] =
    [("kyuubi", "Kyuubi REST v1"), ("livy", "Livy"), ("dli", "Huawei Cloud DLI v2.0"), ("kylin", "Kylin jobs")];

/// Verdicts of a replay: the same, and different by rule.
pub(crate) type Verdicts = BTreeMap<String, (usize, usize)>;

/// One file, several tests.
static PAGE: Mutex<()> = Mutex::new(());

/// Compares a replay's verdicts with the page, or writes them there; the differences.
pub(crate) fn told(dialect: &str, verdicts: &Verdicts, slack: usize) -> Vec<String> {
    let _page = PAGE.lock().expect("no other test has failed over the page");
    let mut measured = measured();
    if blesses() {
        measured.insert(dialect.to_owned(), verdicts.clone());
        fs::write(page_path(), page(&measured)).expect("the page can be written");
        return Vec::new();
    }
    let known = measured.remove(dialect).unwrap_or_default();
    let names: BTreeSet<&String> = known.keys().chain(verdicts.keys()).collect();
    let of = |table: &Verdicts, name: &String| table.get(name).copied().unwrap_or_default();
    let far = |name: &&String| {
        let (known, now) = (of(&known, name), of(verdicts, name));
        known.0 + known.1 != now.0 + now.1 || known.0.abs_diff(now.0) > slack
    };
    let told = |name: &String| {
        let (known, now) = (of(&known, name), of(verdicts, name));
        format!("docs/conformance.md, {dialect} {name}: {now:?} (same, by rule) were measured, the page says {known:?}")
    };
    names.into_iter().filter(far).map(told).collect()
}

#[test]
fn the_scoreboard_is_up_to_date() {
    let _page = PAGE.lock().expect("no other test has failed over the page");
    let made = page(&measured());
    if blesses() {
        fs::write(page_path(), made).expect("the page can be written");
        return;
    }
    let written = fs::read_to_string(page_path()).unwrap_or_default();
    assert!(made == written, "docs/conformance.md is not what is there now; BLESS=1 writes it:\n{made}");
}

fn blesses() -> bool {
    std::env::var_os("BLESS").is_some()
}

fn house(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn page_path() -> PathBuf {
    house("docs/conformance.md")
}

fn page(measured: &BTreeMap<String, Verdicts>) -> String {
    let clients = clients();
    let mut page = String::from(HEAD);
    for (dialect, title) in DIALECTS {
        let golden = golden(dialect);
        let none = Verdicts::new();
        let verdicts = measured.get(dialect).unwrap_or(&none);
        let calls = clients.get(dialect).cloned().unwrap_or_default();
        page.push_str(&format!("\n## {title}\n\n"));
        page.push_str("| operation | golden cases | recorded, same | recorded, by rule | stock clients |\n|---|---:|---:|---:|---|\n");
        let operations: BTreeSet<&String> = golden.keys().chain(verdicts.keys()).chain(calls.keys()).collect();
        for operation in operations {
            let (same, by_rule) = verdicts.get(operation).copied().unwrap_or_default();
            let cells = [golden.get(operation).copied().unwrap_or_default(), same, by_rule];
            let called_by = calls.get(operation).map(|names| names.join(", ")).unwrap_or_default();
            page.push_str(&row(operation, cells, &called_by));
        }
        let sum = |part: fn(&(usize, usize)) -> usize| verdicts.values().map(part).sum();
        page.push_str(&row("**all**", [golden.values().sum(), sum(|v| v.0), sum(|v| v.1)], ""));
    }
    page
}

fn row(name: &str, cells: [usize; 3], clients: &str) -> String {
    let cell = |number: usize| if number == 0 { "–".to_owned() } else { number.to_string() };
    let [golden, same, by_rule] = cells.map(cell);
    let clients = if clients.is_empty() { "–" } else { clients };
    format!("| {name} | {golden} | {same} | {by_rule} | {clients} |\n")
}

/// What the page says of replays.
fn measured() -> BTreeMap<String, Verdicts> {
    let text = fs::read_to_string(page_path()).unwrap_or_default();
    let mut measured: BTreeMap<String, Verdicts> = BTreeMap::new();
    let mut dialect = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            dialect = DIALECTS.iter().find(|(_, known)| *known == title).map(|(name, _)| (*name).to_owned());
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let ([name, _, same, by_rule, _], Some(dialect)) = (&cells[..], &dialect) else { continue };
        let number = |cell: &str| if cell == "–" { Some(0) } else { cell.parse().ok() };
        let Some(verdict) = number(same).zip(number(by_rule)) else { continue };
        if verdict != (0, 0) && !name.starts_with("**") {
            measured.entry(dialect.clone()).or_default().insert((*name).to_owned(), verdict);
        }
    }
    measured
}

/// How many cases each operation has; a dialect may have further folders, such as one for other settings.
fn golden(dialect: &str) -> BTreeMap<String, usize> {
    let mut golden = BTreeMap::new();
    for folder in fs::read_dir(house("fixtures")).expect("fixtures").flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if name != dialect && !name.starts_with(&format!("{dialect}-")) {
            continue;
        }
        for operation in fs::read_dir(folder.path()).expect("a folder of operations").flatten() {
            let Ok(cases) = fs::read_dir(operation.path()) else { continue };
            let is_case = |name: &str| name.ends_with(".request.http") || name.ends_with(".outcome.txt");
            let stem = |name: String| name.split('.').next().unwrap_or_default().to_owned();
            let names = cases.flatten().map(|case| case.file_name().to_string_lossy().into_owned());
            let cases: BTreeSet<String> = names.filter(|name| is_case(name)).map(stem).collect();
            *golden.entry(operation.file_name().to_string_lossy().into_owned()).or_default() += cases.len();
        }
    }
    golden
}

/// Which stock clients make which call.
fn clients() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    #[derive(serde::Deserialize)]
    struct Operations {
        clients: BTreeMap<String, String>,
        calls: BTreeMap<String, BTreeMap<String, Call>>,
    }
    #[derive(serde::Deserialize)]
    struct Call {
        by: Vec<String>,
    }
    let text = fs::read_to_string(house("tests/clients/operations.json")).expect("tests/clients/operations.json");
    let Operations { clients, calls } = serde_json::from_str(&text).expect("it says who calls what");
    let names = |call: Call| call.by.iter().map(|folder| clients[folder].clone()).collect();
    let rows = |rows: BTreeMap<String, Call>| rows.into_iter().map(|(row, call)| (row, names(call))).collect();
    calls.into_iter().map(|(dialect, calls)| (dialect, rows(calls))).collect()
}
