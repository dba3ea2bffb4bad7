//! What varies by nature, that is: from run to run on the recorded server itself. An entry levels its part on both sides, and only after a
//! check that ours lies within what may vary; what it leaves has to be equal. Nothing here is a difference between the two products.

use serde_json::Value;

use crate::recordings::cases::Case;
use crate::recordings::compare::View;
use crate::recordings::product::Nature;

pub(super) const NATURE: &[Nature] = &[
    Nature { name: "submit", reason: "the answer to a submit races with the job", level: submit },
    Nature { name: "version", reason: "who built the server, when and from what", level: version },
    Nature { name: "growing", reason: "a log that grows by the clock, read while it does", level: growing },
    Nature { name: "holder", reason: "the id of the batch that holds a name, within a text", level: holder },
];

/// The states that the answer to a submit may show: the job may be over before the answer is written.
const SUBMITTED: [&str; 4] = ["starting", "running", "success", "dead"];

/// The answer to a submit races with the job: its state and the lines it has got so far depend on who is quicker.
fn submit(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    if recorded.status != 201 || ours.status != 201 {
        return false;
    }
    let (Some(a), Some(b)) = (recorded.body.json_mut(), ours.body.json_mut()) else { return false };
    let state = |batch: &Value| batch["state"].as_str().unwrap_or_default().to_owned();
    let over = |state: &str| matches!(state, "success" | "dead");
    let (was, is) = (state(a), state(b));
    if !SUBMITTED.contains(&is.as_str()) || (over(&was) && over(&is) && was != is) || !is_tail(&b["log"]) {
        return false;
    }
    b["state"] = a["state"].clone();
    b["log"] = a["log"].clone();
    true
}

/// The last ten lines at most of a log with its two header lines.
fn is_tail(log: &Value) -> bool {
    let Some(lines) = log.as_array() else { return false };
    let line = |index: usize| lines.get(index).and_then(Value::as_str);
    let ends = lines.len() >= 2 && line(lines.len() - 1) == Some("\nstderr: ");
    ends && lines.iter().all(Value::is_string)
        && (lines.len() == 10 || (lines.len() < 10 && line(0) == Some("stdout: ")))
}

/// Who built the server, when and from what. The version itself is compared: clients read it.
fn version(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    const BUILD: [&str; 5] = ["user", "revision", "branch", "date", "url"];
    // Of a pipelined request the second part may be the one.
    let asked = String::from_utf8_lossy(&case.request).contains("/version");
    if !asked || recorded.status != 200 || ours.status != 200 {
        return false;
    }
    if case.request().method() == b"HEAD" {
        // The length of a body that names another build.
        let there = ours.headers.contains_key("content-length");
        recorded.headers.remove("content-length");
        ours.headers.remove("content-length");
        return there;
    }
    let (Some(a), Some(b)) = (recorded.body.json(), ours.body.json_mut()) else { return false };
    let is_version = a["version"].is_string() && b["version"].is_string();
    for name in BUILD {
        if is_version && b[name].is_string() {
            b[name] = a[name].clone();
        }
    }
    is_version
}

/// A log that grows by the clock, read while it does.
fn growing(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    if !case.name.starts_with("log/growing") {
        return false;
    }
    let (Some(a), Some(b)) = (recorded.body.json(), ours.body.json_mut()) else { return false };
    let lines = |log: &Value| log["log"].as_array().cloned().unwrap_or_default();
    let (was, is) = (lines(a), lines(b));
    // All but the header line at the end: the shorter is how the longer begins.
    let common = was.len().min(is.len()).saturating_sub(1);
    if common == 0 || was[..common] != is[..common] || was.last() != is.last() || b["total"] != is.len() {
        return false;
    }
    *b = a.clone();
    true
}

/// The id of the batch that holds a name, within a text: ids depend on what was asked before.
fn holder(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let stem = |view: &View| {
        let text = view.body.json()?.get("msg")?.as_str()?;
        let (stem, id) = text.rsplit_once(" for session ")?;
        id.parse::<u32>().ok()?;
        stem.starts_with("Rejected, Reason: Duplicate session name: ").then(|| stem.to_owned())
    };
    let same = stem(recorded).is_some() && stem(recorded) == stem(ours);
    if same {
        recorded.body = ours.body.clone();
    }
    same
}
