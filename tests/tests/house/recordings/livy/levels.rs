//! What the rules level. Each function first looks whether the exchange is of its kind and whether ours is what it has to be instead; only then does it touch
//! anything, and nothing beside what it stands for.

use serde_json::Value;

use crate::recordings::cases::Case;
use crate::recordings::compare::{Body, View};
use crate::recordings::rules::accept_as;

/// The type of every answer of Livy's own.
const JSON: &str = "application/json;charset=utf-8";
/// The type of what is answered before any dialect is known.
const NEUTRAL: &str = "application/json";

fn msg(view: &View) -> Option<&str> {
    view.body.json()?.get("msg")?.as_str()
}

fn submitted(view: &View) -> bool {
    view.status == 201 && view.body.json().is_some_and(|batch| batch["id"].is_u64() && batch["state"].is_string())
}

fn refused(view: &View, statuses: &[u16]) -> bool {
    statuses.contains(&view.status)
}

fn accept(recorded: &mut View, ours: &View) -> bool {
    accept_as(JSON, recorded, ours)
}

/// A batch whose submit was refused: never started, and without even the header lines of a log.
fn is_ghost(batch: &Value) -> bool {
    batch["state"] == "starting" && batch["log"].as_array().is_some_and(Vec::is_empty)
}

pub(super) fn ghosts(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    if let Some(list) = recorded.body.json_mut()
        && let Some(sessions) = list.get_mut("sessions").and_then(Value::as_array_mut)
    {
        let all = sessions.len();
        sessions.retain(|batch| !is_ghost(batch));
        let gone = all - sessions.len();
        if let Some(total) = list["total"].as_u64() {
            list["total"] = (total - gone as u64).into();
        }
        return gone > 0;
    }
    let of_ghost = case.name.ends_with("/ghost") && recorded.status == 200;
    if of_ghost && ours.status == 404 && msg(ours).is_some_and(|text| text.ends_with("not found.")) {
        return accept(recorded, ours);
    }
    // The name that only a ghost held is free here.
    let held = case.name == "submit/file-named-resubmit" && recorded.status == 400;
    held && submitted(ours) && accept(recorded, ours)
}

pub(super) fn survives_restart(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let old = |batch: &Value| batch["name"].as_str().is_some_and(|name| name.starts_with("before-"));
    match case.name.as_str() {
        "get/old-running-after-restart" => {
            let runs = ours.body.json().is_some_and(|batch| old(batch) && batch["state"] == "running");
            ours.status == 200 && runs && accept(recorded, ours)
        }
        "get/old-name-after-restart" => {
            let ended = ours.body.json().is_some_and(|batch| old(batch) && batch["state"] == "success");
            ours.status == 200 && ended && accept(recorded, ours)
        }
        "list/after-restart" => {
            let all = ours.body.json().and_then(|list| list["sessions"].as_array());
            let kept = all.is_some_and(|all| all.len() == 3 && all.iter().all(old));
            ours.status == 200 && kept && accept(recorded, ours)
        }
        _ => false,
    }
}

pub(super) fn no_override(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let is_post = ours.status == 405 && ours.headers.get("allow").is_some_and(|allow| allow == "DELETE, GET, HEAD");
    case.name.starts_with("errors/override-") && is_post && accept(recorded, ours)
}

pub(super) fn numeric_strings(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let cast = recorded.body.json().and_then(Value::as_str).is_some_and(|text| {
        text.starts_with(
            "java.lang.ClassCastException: class java.lang.String cannot be cast to class java.lang.Integer",
        )
    });
    recorded.status == 500 && cast && submitted(ours) && accept(recorded, ours)
}

pub(super) fn bad_utf8(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let Some(log) = ours.body.json() else { return false };
    let lines = |log: &Value| log["log"].as_array().cloned().unwrap_or_default();
    let holds = match case.name.as_str() {
        "log/bad-utf8" => lines(log).contains(&"bad \u{fffd}\u{fffd} bytes".into()) && log["total"] == lines(log).len(),
        "get/bad-utf8-stuck" => log["state"] == "success" && lines(log).contains(&"L20000".into()),
        _ => false,
    };
    holds && recorded.status == ours.status && {
        recorded.body = ours.body.clone();
        true
    }
}

/// Whether two lists of spark-submit's arguments, one a line, differ only in the order of their `--conf` pairs.
fn same_arguments(a: &Value, b: &Value) -> bool {
    let lines = |log: &Value| -> Vec<String> {
        log.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let (a, b) = (lines(a), lines(b));
    // The application comes last of what names a file; its own arguments follow.
    let application = |lines: &[String]| lines.iter().rposition(|line| line.starts_with("file:///")).unwrap_or(0);
    let tail = |lines: &[String]| lines[application(lines)..].to_vec();
    let options = |lines: &[String]| {
        let mut pairs: Vec<[String; 2]> = lines[..application(lines)]
            .windows(2)
            .filter(|pair| pair[0].starts_with("--"))
            .map(|pair| [pair[0].clone(), pair[1].clone()])
            .collect();
        pairs.sort_unstable();
        pairs
    };
    // A batch object shows the last ten lines only: in another order they are other pairs.
    let whole = a.first().is_some_and(|line| line == "stdout: ") && b.first() == a.first();
    a.len() == b.len() && tail(&a) == tail(&b) && if whole { options(&a) == options(&b) } else { a.len() == 10 }
}

pub(super) fn conf_order(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let (Some(a), Some(b)) = (recorded.body.json(), ours.body.json_mut()) else { return false };
    let level = |a: &Value, b: &mut Value| {
        let reordered = a["log"] != b["log"] && same_arguments(&a["log"], &b["log"]);
        if reordered {
            b["log"] = a["log"].clone();
        }
        reordered
    };
    match (a["sessions"].as_array(), b.get_mut("sessions").and_then(Value::as_array_mut)) {
        (Some(a), Some(b)) => a.iter().zip(b).map(|(a, b)| level(a, b)).fold(false, |any, one| any | one),
        _ => level(a, b),
    }
}

/// Livy gives the name to spark-submit, whose arguments the stub prints.
pub(super) fn marker_name(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let (Some(recorded), Some(ours)) = (recorded.body.json(), ours.body.json_mut()) else { return false };
    match (recorded["sessions"].as_array(), ours.get_mut("sessions").and_then(Value::as_array_mut)) {
        (Some(a), Some(b)) => a.iter().zip(b).map(|(a, b)| drop_name(a, b)).fold(false, |any, one| any | one),
        _ => drop_name(recorded, ours),
    }
}

fn drop_name(recorded: &Value, ours: &mut Value) -> bool {
    const TAIL: usize = 10;
    let Some(lines) = ours.get_mut("log").and_then(Value::as_array_mut) else { return false };
    let is_made = |line: &Value| line.as_str().is_some_and(|line| line.starts_with("batchlingua-") && line.len() == 48);
    let Some(at) = lines.windows(2).position(|pair| pair[0] == "--name" && is_made(&pair[1])) else { return false };
    let was_cut = lines.len() == TAIL;
    lines.drain(at..at + 2);
    // Two more lines push two others out of a batch's last ten.
    if let Some(all) = recorded["log"].as_array()
        && was_cut
        && all.ends_with(lines)
    {
        lines.clone_from(all);
    }
    if let Some(total) = ours["total"].as_u64() {
        ours["total"] = (total - 2).into();
    }
    true
}

pub(super) fn parser_page(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let page = matches!(&recorded.body, Body::Text(text) if text.starts_with("<h1>Bad Message "));
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    // What the HTTP library has no better word for is a bad request.
    let class = ours.status / 100 == recorded.status / 100 || ours.status == 400;
    page && closed && class && accept(recorded, ours)
}

pub(super) fn gzip_refused(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let refuses = case.request().header("accept-encoding").is_some_and(|value| value.contains("gzip;q=0"));
    refuses && !ours.headers.contains_key("content-encoding") && recorded.headers.remove("content-encoding").is_some()
}

pub(super) fn foreign_host(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let head = String::from_utf8_lossy(case.request().head()).into_owned();
    let foreign =
        ["Host: other", "Host: gateway.example", "http://elsewhere.example"].iter().any(|host| head.contains(host));
    foreign && head.matches("\r\nHost: ").count() == 1 && refused(ours, &[400, 403]) && accept(recorded, ours)
}

pub(super) fn livy_prefix(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let list = ours.status == 200 && ours.body.json().is_some_and(|list| list["sessions"].is_array());
    case.request().line().starts_with(b"GET /livy/") && recorded.status == 404 && list && accept(recorded, ours)
}

pub(super) fn no_ui(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let line = String::from_utf8_lossy(case.request().line()).into_owned();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let ui = path == "/" || path.starts_with("/ui") || path.starts_with("/static") || path.starts_with("/metrics");
    ui && refused(ours, &[200, 404]) && accept(recorded, ours)
}

/// Whether a text names a local file in a way that Livy does not look at.
fn is_unchecked(text: &str) -> bool {
    text.starts_with("local:/") || text.starts_with("FILE:///") || text.contains(",/etc/")
}

pub(super) fn unchecked_files(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    const START: &str = "Rejected, Reason: requirement failed: Local path /";
    const END: &str = " cannot be added to user sessions.";
    let lines = recorded.body.json().and_then(|batch| batch["log"].as_array().cloned()).unwrap_or_default();
    let unchecked = lines.iter().filter_map(Value::as_str).any(is_unchecked);
    let told = msg(ours).unwrap_or_default();
    let holds = match case.request().method() {
        b"POST" => recorded.status == 201 && ours.status == 400 && told.starts_with(START) && told.ends_with(END),
        // What was refused has no log.
        b"GET" => recorded.status == 200 && ours.status == 404 && told.ends_with(" not found."),
        _ => false,
    };
    unchecked && holds && accept(recorded, ours)
}

pub(super) fn check_order(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let told = |view: &View| msg(view)?.strip_prefix("Rejected, Reason: requirement failed: ").map(str::to_owned);
    let local = told(recorded).is_some_and(|text| text.starts_with("Local path "));
    let relative = told(ours).is_some_and(|text| text.starts_with("Path ") && text.ends_with(" is not absolute."));
    local && relative && ours.status == 400 && {
        recorded.body = ours.body.clone();
        true
    }
}

pub(super) fn not_started(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let failed = recorded.body.json().and_then(Value::as_str);
    let too_long = failed.is_some_and(|text| text.ends_with("Argument list too long"));
    let named = msg(ours).is_some_and(|text| text.contains(" over 131071 bytes"));
    too_long && named && ours.status == 400 && accept(recorded, ours)
}

/// Takes out what the shell says when its command is told to end as well.
pub(super) fn whole_group(case: &Case, _: &mut View, ours: &mut View) -> bool {
    if !case.name.ends_with("/while-deleting") {
        return false;
    }
    let Some(body) = ours.body.json_mut() else { return false };
    let level = |batch: &mut Value| {
        let Some(lines) = batch.get_mut("log").and_then(Value::as_array_mut) else { return false };
        let Some(at) = lines.iter().position(|line| line == "Terminated") else { return false };
        lines.remove(at);
        if let Some(total) = batch["total"].as_u64() {
            batch["total"] = (total - 1).into();
        }
        true
    };
    match body.get_mut("sessions").and_then(Value::as_array_mut) {
        Some(batches) => batches.iter_mut().fold(false, |any, batch| level(batch) | any),
        None => level(body),
    }
}

pub(super) fn half_a_pair(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let told = ours.body.json().and_then(Value::as_str);
    let told = told.is_some_and(|text| text.contains(" hex escape") && text.contains("line: 1, column: "));
    let half = String::from_utf8_lossy(case.request().body()).contains("\\ud83d\"");
    half && recorded.status == 201 && ours.status == 400 && told && accept(recorded, ours)
}

pub(super) fn broken_off(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let eof = recorded.body.json().and_then(Value::as_str).is_some_and(|text| text.ends_with("Early EOF"));
    let told = msg(ours).is_some_and(|text| text.contains("body cannot be read"));
    case.name == "submit/body-chunked-bad" && eof && told && ours.status == 400 && accept(recorded, ours)
}

pub(super) fn two_hosts(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let head = String::from_utf8_lossy(case.request().head()).into_owned();
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    let holds = head.matches("\r\nHost: ").count() == 2 && ours.status == 400 && closed;
    if holds {
        recorded.headers.insert("connection", "closes".to_owned());
    }
    holds && accept_as(NEUTRAL, recorded, ours)
}

pub(super) fn equal_lengths(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let page = matches!(&recorded.body, Body::Text(text) if text.contains("Multiple Content-Lengths"));
    let holds = case.name == "submit/body-length-twice-same" && page && submitted(ours);
    if holds {
        recorded.headers.insert("connection", "stays".to_owned());
    }
    holds && accept(recorded, ours)
}
