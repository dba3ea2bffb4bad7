//! Each client's submit on each platform, whole explanations held against `fixtures/explain`.

use std::fs;

use serde_json::Value;

use crate::{Ground, backend, has_secret, house, platforms, silent, text};

const REQUESTS: [&str; 4] = ["livy", "kyuubi", "kyuubi-upload", "dli"];

#[tokio::test(flavor = "multi_thread")]
async fn each_submit_is_explained_for_each_platform_and_nothing_is_sent() {
    let origin = silent().await;
    let mut faults = Vec::new();
    for adapter in platforms() {
        let ground = Ground::new(&backend(adapter.name, &origin));
        for request in REQUESTS {
            let file = house(&format!("fixtures/explain/{request}.request.http"));
            let output = ground.explain(&file, &[]);
            let told = steady(&text(&output.stdout), &[&origin.url(), &origin.address().to_string()], &ground);
            let name = format!("{request}-to-{}", adapter.name);
            let refused = told.contains("It is refused: ");
            assert_eq!(output.status.success(), !refused, "{name}: {told}{}", text(&output.stderr));
            assert!(refused || told.contains("Nothing was sent."), "{name}: {told}");
            assert!(!has_secret(&told) && output.stderr.is_empty(), "{name}: {told}{}", text(&output.stderr));
            hold(&name, &told, &mut faults);

            let object = ground.explain(&file, &["--json"]).stdout;
            assert!(!has_secret(&text(&object)), "{name}: {}", text(&object));
            let object: Value = serde_json::from_slice(&object).expect("an object");
            agrees(&name, &object, refused);
        }
        assert!(ground.is_untouched(), "{}", adapter.name);
    }
    assert_eq!(origin.connections(), 0);
    assert!(faults.is_empty(), "BLESS=1 writes them:\n{}", faults.join("\n"));
}

/// What is true of every explanation of a submit.
fn agrees(name: &str, object: &Value, refused: bool) {
    assert_eq!(object["outcome"], if refused { "refused" } else { "sent" }, "{name}");
    assert_eq!(object["operation"]["name"], "submit", "{name}");
    assert_eq!(object["route"]["only_backend"], true, "{name}");
    let rows = object["fates"].as_array().expect("rows");
    if refused {
        let status = object["answer"]["status"].as_u64().expect("a status");
        assert!(status >= 400 && !object["why"].as_str().expect("a reason").is_empty(), "{name}: {object}");
    } else {
        assert!(!object["upstream"]["body"].is_null() && !rows.is_empty(), "{name}: {object}");
    }
    let told: Vec<&str> =
        rows.iter().filter(|row| row["policy"] == "report").filter_map(|row| row["model"].as_str()).collect();
    let unmapped = object["unmapped"].as_str().unwrap_or_default();
    assert!(refused || unmapped == told.join(", "), "{name}: {unmapped} and {told:?}");
    for row in rows.iter().filter(|row| row["fate"] == "not carried") {
        let is_loss = !row["class"].is_null();
        assert_eq!(!row["policy"].is_null(), is_loss, "{name}: {row}");
    }
}

/// The words that are others each time.
fn steady(told: &str, addresses: &[&str], ground: &Ground) -> String {
    let mut told = told.to_owned();
    for address in addresses {
        told = told.replace(address, "<origin>");
    }
    let here = ground.0.path().canonicalize().expect("a folder").display().to_string();
    told = told.replace(&here, "<here>").replace(&ground.0.path().display().to_string(), "<here>");
    without_uuids(&without(&without(&told, "boundary="), "x-sdk-date: "))
}

/// What stands behind a name becomes a word: boundaries of forms, and when a request was signed.
fn without(told: &str, name: &str) -> String {
    let mut pieces = told.split(name);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c == ';' || c.is_whitespace()).unwrap_or(piece.len());
        out.push_str(&format!("{name}<new>{}", &piece[end..]));
    }
    out
}

/// A uuid, with or without dashes, becomes a word.
fn without_uuids(told: &str) -> String {
    let is_id = |word: &str| {
        let bare: String = word.chars().filter(|c| *c != '-').collect();
        bare.len() == 32 && bare != crate::PROJECT && bare.chars().all(|c| c.is_ascii_hexdigit())
    };
    let mut out = String::with_capacity(told.len());
    let mut word = String::new();
    for c in told.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_hexdigit() || (c == '-' && !word.is_empty()) {
            word.push(c);
            continue;
        }
        out.push_str(if is_id(&word) { "<uuid>" } else { &word });
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn hold(name: &str, told: &str, faults: &mut Vec<String>) {
    let file = house(&format!("fixtures/explain/{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, told).expect("written");
    } else if fs::read_to_string(file).unwrap_or_default() != told {
        faults.push(format!("fixtures/explain/{name}.txt is not what is told:\n{told}"));
    }
}
