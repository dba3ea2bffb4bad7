//! The tables of `README.md` that say what each platform can do, and each client on it.

use std::{fs, sync::Arc};

use batchlingua::adapters::ADAPTERS;
use batchlingua_core::{Action, Capabilities, Marking, SystemClock};
use batchlingua_wire::{Adapter, BodyKind, OpenContext, Settings};

use crate::{dialects, hold, house, title};

const PLATFORMS: [&str; 2] = ["<!-- made from the code: platforms -->\n", "<!-- end of platforms -->\n"];
const PAIRS: [&str; 2] = ["<!-- made from the code: pairs -->\n", "<!-- end of pairs -->\n"];

#[tokio::test]
async fn the_readme_says_what_platforms_can_do() {
    let platforms = platforms().await;
    let readme = fs::read_to_string(house("README.md")).expect("README.md");
    let readme = replaced(&readme, PLATFORMS, &what_platforms_can(&platforms));
    let readme = replaced(&readme, PAIRS, &pairs(&platforms));
    hold("README.md", &readme);
}

type Platforms = Vec<(&'static Adapter, Arc<Capabilities>)>;

/// Each platform as it is before it was ever asked. Opening one touches nothing.
async fn platforms() -> Platforms {
    let mut platforms = Vec::new();
    for adapter in ADAPTERS {
        let Some(make) = adapter.platform else { continue };
        let table: toml::Table = adapter.example.parse().expect("the example is TOML");
        let table = serde_json::to_value(table).expect("of values that JSON has too");
        let open = make(Settings::new(format!("backend.{}", adapter.name), table));
        let open = open.unwrap_or_else(|faults| panic!("the example of {} is not enough: {faults:?}", adapter.name));
        let context = OpenContext { name: adapter.name.into(), clock: Arc::new(SystemClock) };
        let platform = open(context).await.unwrap_or_else(|error| panic!("{}: {}", adapter.name, error.detail()));
        platforms.push((adapter, platform.backend.capabilities()));
    }
    platforms
}

fn replaced(page: &str, [begin, end]: [&str; 2], table: &str) -> String {
    let (before, rest) = page.split_once(begin).unwrap_or_else(|| panic!("README.md has no line {begin}"));
    let (_, after) = rest.split_once(end).unwrap_or_else(|| panic!("README.md has no line {end}"));
    format!("{before}{begin}\n{table}\n{end}{after}")
}

fn row(name: &str, cells: impl Iterator<Item = String>) -> String {
    format!("| {name} | {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

fn what_platforms_can(platforms: &Platforms) -> String {
    let mut table = row("", platforms.iter().map(|(adapter, _)| title(adapter.name).to_owned()));
    table.push_str(&format!("|---|{}\n", "---|".repeat(platforms.len())));
    type Cell = fn(&Capabilities) -> String;
    let rows: [(&str, Cell); 8] = [
        ("submit", |can| yes(can.submit)),
        ("uploaded files", |can| match (can.submit, can.upload) {
            (false, _) => "–".to_owned(),
            (true, true) => "yes".to_owned(),
            (true, false) => "by `stage`".to_owned(),
        }),
        ("log", |can| yes(can.log)),
        ("steps", |can| yes(can.steps)),
        ("cancel", |can| yes(can.actions.contains(Action::Cancel))),
        ("pause, resume, restart", |can| {
            let actions = [Action::Pause, Action::Resume, Action::Restart];
            let can = actions.into_iter().filter(|action| can.actions.contains(*action)).map(Action::as_str);
            Some(can.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty()).unwrap_or_else(|| "–".to_owned())
        }),
        ("a submit of unknown outcome", |can| match (can.submit, can.marking) {
            (false, _) => "–".to_owned(),
            (true, Marking::Idempotent) => "has our id there".to_owned(),
            (true, Marking::Findable) => "is found by our mark".to_owned(),
            (true, Marking::None) => "stays open until a person looks".to_owned(),
        }),
        ("tells cancelled from failed", |can| yes(can.tells_cancelled)),
    ];
    for (name, cell) in rows {
        table.push_str(&row(name, platforms.iter().map(|(_, can)| cell(can))));
    }
    table
}

fn yes(can: bool) -> String {
    if can { "yes" } else { "–" }.to_owned()
}

fn pairs(platforms: &Platforms) -> String {
    let mut table = row("client \\ platform", platforms.iter().map(|(adapter, _)| title(adapter.name).to_owned()));
    table.push_str(&format!("|---|{}\n", "---|".repeat(platforms.len())));
    for (front, dialect) in dialects() {
        let submits = !dialect.fields().is_empty();
        let uploads = dialect.routes().iter().any(|route| route.body == BodyKind::FormOrBytes);
        let pauses = dialect.routes().iter().any(|route| route.name == "pause");
        let cell = |(back, can): &(&Adapter, Arc<Capabilities>)| {
            let mut words = Vec::new();
            match (submits && can.submit, submits && uploads) {
                (true, true) if can.upload => words.push("submit with files"),
                (true, true) => words.push("submit, files by `stage`"),
                (true, false) => words.push("submit"),
                (false, _) => {}
            }
            words.push("follow");
            words.extend(can.log.then_some("log"));
            words.extend(can.actions.contains(Action::Cancel).then_some("cancel"));
            words.extend((pauses && can.actions.contains(Action::Pause)).then_some("pause, resume, restart"));
            let words = words.join(", ");
            if front.name == back.name { format!("**{words}**") } else { words }
        };
        table.push_str(&row(title(front.name), platforms.iter().map(cell)));
    }
    table.push_str("\nIn **bold**: the same on both sides, so that members, words and errors that only the product knows come through as they are.\n");
    table
}
