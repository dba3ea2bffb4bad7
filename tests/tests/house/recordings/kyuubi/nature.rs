//! What varies by nature, that is: from run to run on the recorded server itself, or from one look to the next. An entry levels its part on both
//! sides, and only after a check that ours lies within what may vary; what it leaves has to be equal.
//!
//! One entry is more than noise and is counted by name for that. `own-lines`: Kyuubi writes lines into a job's log, with times, threads and
//! numbers that are others each time; ours writes none. The stand-in for Spark writes the recorded ones, marked, so that pages of a log
//! are compared line by line all the same.

use serde_json::Value;

use super::{KYUUBIS_OWN, is_own};
use crate::recordings::cases::Case;
use crate::recordings::compare::{Body, View};
use crate::recordings::product::Nature;

pub(super) const NATURE: &[Nature] = &[
    Nature { name: "moment", reason: "the moment at which a live batch is seen", level: moment },
    Nature { name: "unseen", reason: "whether the process of a batch was seen before its end", level: unseen },
    Nature { name: "times", reason: "times, where both sides have one", level: times },
    Nature { name: "process", reason: "the number of the process, or null from one look to the next", level: process },
    Nature {
        name: "own-lines",
        reason: "lines of Kyuubi's own in a job's log, with times, threads and numbers: the stand-in for Spark writes them, marked, line by line as recorded",
        level: own_lines,
    },
    Nature {
        name: "name",
        reason: "the name of a batch that nobody named is a line of the process list, or null",
        level: name,
    },
    Nature {
        name: "length",
        reason: "the length of a body with any of these in it, in the answer to a HEAD",
        level: length,
    },
    Nature { name: "servlet", reason: "the number of the servlet in Jetty's error pages", level: servlet },
];

/// The batches of both answers, one beside the other.
fn each(recorded: &mut View, ours: &mut View, level: impl Fn(&mut Value, &mut Value) -> bool) -> bool {
    let (Some(a), Some(b)) = (recorded.body.json_mut(), ours.body.json_mut()) else { return false };
    if a["state"].is_string() && b["state"].is_string() {
        return level(a, b);
    }
    let rows = |list: &mut Value| list.get_mut("batches").and_then(Value::as_array_mut).map(std::mem::take);
    let (mut all_a, mut all_b) = (rows(a).unwrap_or_default(), rows(b).unwrap_or_default());
    let any = all_a.iter_mut().zip(&mut all_b).fold(false, |any, (a, b)| level(a, b) | any);
    for (list, rows) in [(a, all_a), (b, all_b)] {
        if list["batches"].is_array() {
            list["batches"] = rows.into();
        }
    }
    any
}

/// The moment at which a live batch is seen: not known yet, running, or running with its process just gone. Its process is known from when it runs.
fn moment(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    each(recorded, ours, |a, b| {
        if a["id"] != b["id"] || !is_live_as_it_may_be(a) || !is_live_as_it_may_be(b) {
            return false;
        }
        let differs = a["state"] != b["state"] || a["appState"] != b["appState"];
        for name in ["state", "appState", "appId", "appStartTime"] {
            if differs {
                b[name] = a[name].clone();
            }
        }
        differs
    })
}

/// The pairs of `state` and `appState` under which the recorded server shows a live batch.
fn is_live_as_it_may_be(batch: &Value) -> bool {
    let known = batch["appStartTime"].as_u64() > Some(0);
    match (batch["state"].as_str(), batch["appState"].as_str()) {
        (Some("PENDING"), None) => batch["appId"].is_null() && batch["appStartTime"] == 0,
        (Some("PENDING" | "RUNNING"), Some("RUNNING")) => known,
        (Some("PENDING" | "RUNNING"), Some("NOT_FOUND")) => true,
        _ => false,
    }
}

/// Whether the process of a batch was seen before its end: one that was cancelled at once, or failed at once, may have none.
fn unseen(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    each(recorded, ours, |a, b| {
        let may = matches!(a["state"].as_str(), Some("CANCELED" | "ERROR")) && a["state"] == b["state"];
        let is_unseen = |batch: &Value| batch["appStartTime"] == 0 && batch["appId"].is_null();
        let differs = may && is_unseen(a) != is_unseen(b);
        for name in ["appId", "appStartTime"] {
            if differs {
                b[name] = a[name].clone();
            }
        }
        differs
    })
}

/// Times: what is not yet is 0 on both sides, and nothing ends before it begins.
fn times(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    each(recorded, ours, |a, b| {
        let time = |batch: &Value, name: &str| batch[name].as_u64().unwrap_or_default();
        let created = time(b, "createTime");
        let mut levelled = false;
        for name in ["createTime", "appStartTime", "endTime"] {
            if time(a, name) > 0 && time(b, name) >= created && created > 0 {
                b[name] = a[name].clone();
                levelled = true;
            }
        }
        levelled
    })
}

/// The number of the process. A batch that has run shows it or null, from one look to the next: it is in the store and not in memory.
fn process(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    each(recorded, ours, |a, b| {
        let is = |batch: &Value| batch["appId"].as_str().is_none_or(|id| id.bytes().all(|b| b.is_ascii_digit()));
        let may = a["appStartTime"] != 0 && is(a) && is(b);
        if may {
            b["appId"] = a["appId"].clone();
        }
        may
    })
}

/// Takes the stand-in's mark off, line by line: each has to be the recorded one all the same.
fn own_lines(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let rows = |view: &mut View| view.body.json_mut()?.get_mut("logRowSet")?.as_array().cloned();
    let (Some(recorded), Some(mut rows)) = (rows(recorded), rows(ours)) else { return false };
    let mut any = false;
    for (recorded, row) in recorded.iter().zip(&mut rows) {
        let unmarked = row.as_str().and_then(|line| line.strip_prefix(KYUUBIS_OWN)).map(str::to_owned);
        if let Some(line) = unmarked.filter(|_| recorded.as_str().is_some_and(is_own)) {
            *row = line.into();
            any = true;
        }
    }
    if let Some(body) = ours.body.json_mut() {
        body["logRowSet"] = rows.into();
    }
    any
}

/// The name of a batch that nobody named. It is null until the process list is read, then what that list shows (the command line with its
/// log's number and its id), then null again.
fn name(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    each(recorded, ours, |a, b| {
        let listed = a["name"].as_str().is_some_and(|name| name.starts_with(" org.apache.spark."));
        let may = listed && b["name"].is_null();
        if may {
            b["name"] = a["name"].clone();
        }
        may
    })
}

/// The length of a body with numbers of processes or lines of a log in it, which is all that an answer to HEAD has of it.
fn length(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let varies = case.request().line().starts_with(b"HEAD /api/v1/batches") && recorded.status == 200;
    let number = |view: &View| view.headers.get("content-length").and_then(|length| length.parse::<u64>().ok());
    let may = varies && number(recorded) > Some(0) && number(ours) > Some(0);
    if may {
        ours.headers.insert("content-length", recorded.headers["content-length"].clone());
    }
    may
}

/// The number that stands for the servlet in Jetty's error pages.
fn servlet(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    const SERVLET: &str = "org.glassfish.jersey.servlet.ServletContainer";
    let level = |view: &mut View| {
        let Body::Text(page) = &mut view.body else { return false };
        let Some(at) = page.find(SERVLET).map(|at| at + SERVLET.len()) else { return false };
        let number = page[at..].bytes().take_while(|&b| b == b'-' || b.is_ascii_hexdigit()).count();
        page.replace_range(at..at + number, "");
        true
    };
    level(recorded) && level(ours)
}
