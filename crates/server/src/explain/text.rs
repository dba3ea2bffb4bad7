//! An explanation for people.

use std::fmt::Write;

use batchlingua_core::{BackendName, FieldClass};
use batchlingua_router::{Explanation, Policy, Row, Taken, Told, Upstream, Verdict};
use bytes::Bytes;
use http::Response;

use super::{Explained, json::conditions};

/// The page.
pub fn text(explained: &Explained) -> String {
    let Explanation { listener, dialect, principal, asked, route, upstream, rows, unmapped, verdict } =
        &explained.explanation;
    let mut page = format!("{}\nlistener  {listener}\n", explained.line);
    line(&mut page, "dialect   ", dialect.as_ref().map_or("none of this listener", |dialect| dialect.as_str()));
    if let Some(who) = principal {
        line(
            &mut page,
            "user      ",
            &format!("{}{}", who.name, if who.verified { "" } else { " (nobody has checked that)" }),
        );
    }
    if let Some(asked) = asked {
        line(&mut page, "operation ", asked.name);
        let rows = asked.fields.iter().map(|(name, told)| [(*name).to_owned(), shown(told)]);
        page.push_str(&table(rows.collect(), "  "));
    }
    if let Some(route) = route {
        line(&mut page, "route     ", &taken(route));
    }
    if let Some(upstream) = upstream {
        sent(&mut page, upstream, matches!(verdict, Verdict::Sent(_)));
    }
    if !rows.is_empty() {
        let head = ["client's field", "in the model", "class", "fate", "how or why", "policy"].map(str::to_owned);
        let rows = std::iter::once(head).chain(rows.iter().map(cells));
        let _ = write!(page, "\nfields\n{}", table(rows.collect(), "  "));
    }
    page.push('\n');
    if let Some(unmapped) = unmapped {
        line(&mut page, "Batchlingua-Unmapped: ", unmapped);
    }
    verdict_of(&mut page, verdict);
    page
}

/// What a terminal would take for an order is escaped.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

fn line(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, "{name}{}", plain(text));
}

fn verdict_of(page: &mut String, verdict: &Verdict) {
    match verdict {
        Verdict::Sent(backend) => line(page, "It would be sent to ", &format!("{backend}. Nothing was sent.")),
        Verdict::Refused { why, answer: response } => {
            line(page, "It is refused: ", why);
            answer(page, response);
        }
        Verdict::Answered(response) => {
            line(page, "The proxy answers it by itself", ":");
            answer(page, response);
        }
        Verdict::Relayed(backend) => {
            line(page, "It would be passed on as it is to ", &format!("{backend}. Nothing was sent."));
        }
        Verdict::Asks { backends, strangers } => {
            line(page, "The ledger says which batches are meant; they may be on: ", &names(backends));
            if !strangers.is_empty() {
                line(page, "An id that it does not know is looked for on: ", &names(strangers));
            }
            line(page, "Nobody was asked", ".");
        }
    }
}

fn names(backends: &[BackendName]) -> String {
    backends.iter().map(BackendName::as_str).collect::<Vec<_>>().join(", ")
}

fn answer(page: &mut String, response: &Response<Bytes>) {
    let _ = writeln!(page, "\n  HTTP {}", response.status());
    for (name, value) in response.headers() {
        let _ = writeln!(page, "  {name}: {}", plain(&String::from_utf8_lossy(value.as_bytes())));
    }
    let _ = writeln!(page);
    for text in String::from_utf8_lossy(response.body()).lines() {
        let _ = writeln!(page, "  {}", plain(text));
    }
}

fn taken(taken: &Taken) -> String {
    let conditions = conditions(&taken.rule.matches);
    let conditions = conditions.iter().map(|(name, glob)| format!("{name} = \"{glob}\"")).collect::<Vec<_>>();
    let which = match (taken.is_only_backend && taken.of == 1, conditions.is_empty()) {
        (true, true) => "the only backend".to_owned(),
        (_, true) => format!("[[route]] {} of {}, which takes everything", taken.number, taken.of),
        (_, false) => format!("[[route]] {} of {}, by {}", taken.number, taken.of, conditions.join(", ")),
    };
    format!("{which}: {}", taken.rule.to)
}

fn sent(page: &mut String, upstream: &Upstream, is_sent: bool) {
    let _ = writeln!(page, "\nthe request to the backend{}", if is_sent { "" } else { ", which is not sent" });
    for text in upstream.head.lines().map(str::trim_end).filter(|text| !text.is_empty()) {
        let _ = writeln!(page, "  {text}");
    }
    if !upstream.head.is_empty() {
        page.push('\n');
    }
    for text in upstream.body.lines() {
        let _ = writeln!(page, "  {}", plain(text));
    }
}

fn cells(row: &Row) -> [String; 6] {
    let policy = match row.policy {
        None => "",
        Some(Policy::Reject) => "reject: refused",
        Some(Policy::Report) => "report: the client is told",
        Some(Policy::Drop) => "drop: only logged",
    };
    let class = row.class.map_or("", FieldClass::as_str);
    [&row.client, &row.model, class, row.fate, &row.detail, policy].map(plain)
}

fn shown(told: &Told) -> String {
    match told {
        Told::Text(text) => plain(text),
        Told::Number(number) => number.to_string(),
        Told::List(list) => list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(" "),
        Told::Pairs(pairs) => {
            pairs.iter().map(|(key, value)| plain(&format!("{key}={value}"))).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Columns that stand below each other; a cell's further lines stand below its first one.
fn table<const N: usize>(rows: Vec<[String; N]>, indent: &str) -> String {
    let width = |at: usize| {
        let lines = rows.iter().flat_map(|row| row[at].lines());
        lines.map(|line| line.chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut page = String::new();
    for row in &rows {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default();
        for at in 0..height {
            let mut text = String::from(indent);
            for (cell, width) in row.iter().zip(widths) {
                let cell = cell.lines().nth(at).unwrap_or_default();
                let _ = write!(text, "{cell}{}  ", " ".repeat(width - cell.chars().count()));
            }
            let _ = writeln!(page, "{}", text.trim_end());
        }
    }
    page
}
