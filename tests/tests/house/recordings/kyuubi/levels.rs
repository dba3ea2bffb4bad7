//! What the rules level. Each function first looks whether the exchange is of its kind and whether ours is what it has to be instead; only then does it
//! touch anything, and nothing beside what it stands for.

use serde_json::Value;

use crate::recordings::cases::Case;
use crate::recordings::compare::{Body, View};
use crate::recordings::rules::accept_as;

/// The type of every answer of Kyuubi's own that is JSON.
const JSON: &str = "application/json";

fn accept(recorded: &mut View, ours: &View) -> bool {
    accept_as(JSON, recorded, ours)
}

fn member<'a>(view: &'a View, name: &str) -> Option<&'a str> {
    view.body.json()?.get(name)?.as_str()
}

/// The one shape of an error.
fn refused(view: &View, status: u16) -> bool {
    view.status == status && member(view, "message").is_some()
}

fn is_batch(view: &View) -> bool {
    view.status == 200 && view.body.json().is_some_and(|body| body["id"].is_string() && body["state"].is_string())
}

fn set(view: &mut View, name: &str, to: &Value) {
    if let Some(body) = view.body.json_mut() {
        body[name] = to.clone();
    }
}

/// The texts of a DELETE: what is killed, and what was ended already, by its id.
pub(super) fn told_nothing(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let (Some(was), Some(is)) = (member(recorded, "msg"), member(ours, "msg")) else { return false };
    let killed = was.strip_prefix("Succeeded to terminate: ").is_some_and(|rest| rest.contains("SparkSubmit"))
        && is.starts_with("Succeeded to terminate: ");
    let ended = was.starts_with("The batch[Metadata(")
        && was.ends_with(")] has been terminated.")
        && (is.ends_with("is already terminal so can not kill it.")
            || (is.starts_with("The batch[") && is.ends_with("] has been terminated.")));
    // Which batch it is about stands in both.
    let about = uuids(is).iter().all(|id| was.contains(id)) && is.len() < 100;
    let may = (killed || ended) && about && recorded.status == ours.status;
    if may {
        let is = Value::from(is);
        set(recorded, "msg", &is);
    }
    may
}

fn uuids(text: &str) -> Vec<String> {
    (0..text.len()).filter_map(|at| super::uuid(&text.as_bytes()[at..], "-")).map(|(id, _)| id).collect()
}

pub(super) fn kept_log(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    const GONE: [&str; 3] = ["log/after-delete", "restart/log-finished-after", "ctl/log-after-delete/002"];
    let gone = recorded.status == 404
        && member(recorded, "message").is_some_and(|text| text.starts_with("No local log found for batch: "));
    let page = ours.body.json().filter(|_| ours.status == 200);
    let is_page = page.is_some_and(|page| {
        page["logRowSet"].as_array().map(Vec::len) == page["rowCount"].as_u64().map(|n| n as usize)
    });
    GONE.contains(&case.name.as_str()) && gone && is_page && accept(recorded, ours)
}

/// The batch whose master is `local[2]`: it runs, may be cancelled, and a filter finds it by what it is.
pub(super) fn watched(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let killed = |view: &View| member(view, "msg").is_some_and(|text| text.starts_with("Succeeded to terminate: "));
    match case.name.as_str() {
        "delete/local-star" => {
            let unknown = member(recorded, "msg").is_some_and(|text| text.starts_with("No interface "));
            unknown && ours.status == 200 && killed(ours) && accept(recorded, ours)
        }
        "get/local-star-after-delete" => {
            let cancelled = member(ours, "state") == Some("CANCELED") && member(recorded, "state") == Some("PENDING");
            cancelled && is_batch(ours) && member(recorded, "id") == member(ours, "id") && accept(recorded, ours)
        }
        "list/state-pending" => only(recorded, "PENDING") && is_without_rows(ours) && accept(recorded, ours),
        "list/state-twice" => {
            // Ours is the recorded list with this one in its place, the first.
            let Some(rows) =
                ours.body.json_mut().and_then(|list| list.get_mut("batches")).and_then(Value::as_array_mut)
            else {
                return false;
            };
            let first = rows.first().is_some_and(|batch| batch["name"] == "zombie" && batch["state"] == "RUNNING");
            if !first {
                return false;
            }
            rows.remove(0);
            let total = rows.len();
            set(ours, "total", &total.into());
            true
        }
        _ => false,
    }
}

fn only(list: &View, state: &str) -> bool {
    let rows = list.body.json().and_then(|list| list["batches"].as_array());
    rows.is_some_and(|rows| rows.len() == 1 && rows[0]["state"] == state && rows[0]["name"] == "zombie")
}

fn is_without_rows(list: &View) -> bool {
    list.body.json().is_some_and(|list| list["batches"].as_array().is_some_and(Vec::is_empty) && list["total"] == 0)
}

pub(super) fn spellings(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let runs_on = |view: &View| is_batch(view) && matches!(member(view, "state"), Some("PENDING" | "RUNNING"));
    let was = |state: &str| member(recorded, "state") == Some(state);
    match case.name.as_str() {
        // The same batch, said to be so; Kyuubi cancels it.
        "submit/id-upper-case-of-known" | "submit/id-upper-case-new-again" => {
            let same = ours.body.json().is_some_and(|batch| batch["batchInfo"]["kyuubi.batch.duplicated"] == "true");
            refused(recorded, 500) && runs_on(ours) && same && accept(recorded, ours)
        }
        "get/after-upper-case-duplicate" => was("CANCELED") && runs_on(ours) && accept(recorded, ours),
        "list/upper-case-new" => {
            let rows = ours.body.json().and_then(|list| list["batches"].as_array());
            let live = |batch: &Value| matches!(batch["state"].as_str(), Some("PENDING" | "RUNNING"));
            let runs_on = rows.is_some_and(|rows| rows.len() == 1 && live(&rows[0]));
            ours.status == 200 && runs_on && accept(recorded, ours)
        }
        "delete/with-id" | "delete/upper-case-new" => {
            let killed = member(ours, "msg").is_some_and(|text| text.starts_with("Succeeded to terminate: "));
            ours.status == 200 && killed && accept(recorded, ours)
        }
        "get/upper-case-new-closed" | "get/id-short-groups-closed" => {
            let cancelled = is_batch(ours) && member(ours, "state") == Some("CANCELED");
            refused(recorded, 404) && cancelled && accept(recorded, ours)
        }
        _ => false,
    }
}

pub(super) fn others_id(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    case.name == "submit/id-other-user" && is_batch(recorded) && refused(ours, 409) && accept(recorded, ours)
}

pub(super) fn unchecked_files(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    const NO_FILES: [&str; 3] = ["empty", "number", "bool"];
    const TOLD: [&str; 2] = ["is not absolute", "a file is required"];
    let named = case.name.strip_prefix("submit/resource-").is_some_and(|name| NO_FILES.contains(&name));
    let told = member(ours, "message").is_some_and(|text| TOLD.iter().any(|end| text.ends_with(end)));
    named && is_batch(recorded) && refused(ours, 500) && told && accept(recorded, ours)
}

pub(super) fn no_text(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let told = match (&ours.body, case.name.as_str()) {
        (Body::Text(text), "submit/name-lone-surrogate") => ours.status == 400 && text.contains("hex escape"),
        (Body::Json(body), "submit/name-nul") => ours.status == 500 && body["message"].is_string(),
        _ => false,
    };
    told && is_batch(recorded) && accept(recorded, ours)
}

pub(super) fn answers(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let silent = case.recorded.is_empty() && is_batch(ours);
    if silent {
        recorded.headers.extend(ours.headers.get_key_value("connection").map(|(&name, value)| (name, value.clone())));
    }
    silent && accept(recorded, ours)
}

pub(super) fn out_of_scope(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let path = String::from_utf8_lossy(case.request().line()).into_owned();
    let out = ["/api/v1/sessions", "/api/v1/batches/reassign", "/api/openapi.json"];
    let asked = out.iter().any(|known| path.split(' ').nth(1).is_some_and(|path| path.starts_with(known)));
    asked && ours.status == 404 && member(ours, "message") == Some("HTTP 404 Not Found") && accept(recorded, ours)
}

pub(super) fn parser_page(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let page = matches!(&recorded.body, Body::Text(text) if text.starts_with("<h1>Bad Message "));
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    page && closed && ours.status == 400 && ours.body == Body::Empty && accept(recorded, ours)
}

pub(super) fn longer_heads(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let list = ours.status == 200 && ours.body.json().is_some_and(|list| list["batches"].is_array());
    let may = matches!(recorded.status, 414 | 431) && list;
    if may {
        recorded.headers.insert("connection", "stays".to_owned());
    }
    may && accept(recorded, ours)
}

pub(super) fn no_jetty(_: &Case, recorded: &mut View, _: &mut View) -> bool {
    let Body::Text(page) = &mut recorded.body else { return false };
    let (Some(start), Some(end)) = (page.find("<hr/><a href=\"https://jetty.org/\">"), page.rfind("<hr/>\n")) else {
        return false;
    };
    page.replace_range(start..end + "<hr/>\n".len(), "");
    true
}

pub(super) fn length_and_chunks(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let page = matches!(&recorded.body, Body::Text(text) if text.contains("Transfer-Encoding and Content-Length"));
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    case.name == "submit/length-and-chunked" && page && closed && is_batch(ours) && accept(recorded, ours)
}

pub(super) fn broken_off(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let eof = member(recorded, "message") == Some("Early EOF");
    let told = member(ours, "message").is_some_and(|text| text.contains("body cannot be read"));
    case.name == "submit/bad-chunk" && eof && told && ours.status == 400 && accept(recorded, ours)
}

pub(super) fn two_hosts(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let head = String::from_utf8_lossy(case.request().head()).into_owned();
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    let holds = head.matches("\r\nHost: ").count() == 2 && ours.status == 400 && closed;
    if holds {
        recorded.headers.insert("connection", "closes".to_owned());
    }
    holds && accept(recorded, ours)
}

pub(super) fn foreign_host(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    case.name == "errors/other-host" && recorded.status == 302 && refused(ours, 403) && accept(recorded, ours)
}

pub(super) fn bare_lf(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    case.name == "upload/bare-lf" && is_batch(recorded) && refused(ours, 400) && accept(recorded, ours)
}
