//! Where we differ from Livy on purpose. A rule has a reason, the number of exchanges that it was needed for when it was last measured, and a
//! function that levels the one difference it stands for. What must still hold is everything else: the function first checks
//! what ours has to be instead and touches nothing more, and whatever is left unequal is a fault. A count that is not met, from
//! above or from below, fails the replay as well.

use serde_json::Value;

use super::cases::Case;
use super::compare::{Body, View};

pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
    /// Exchanges that it is needed for.
    pub(super) count: usize,
    /// Levels the difference it stands for; `false` if this exchange has none of the kind.
    pub(super) level: fn(&Case, &mut View, &mut View) -> bool,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "no-ghosts",
        reason: "a refused submit leaves nothing behind: no batch without a job in lists and under its id, no name held by it",
        count: 0,
        level: ghosts,
    },
    Rule {
        name: "refused-id",
        reason: "a refused submit uses up no id, so the id in the text of a duplicate name is the one that the next batch gets",
        count: 0,
        level: refused_id,
    },
    Rule {
        name: "survives-restart",
        reason: "batches are in the ledger and their jobs run on: a restart forgets and kills nothing, and no id is used twice",
        count: 0,
        level: survives_restart,
    },
    Rule {
        name: "no-method-override",
        reason: "`_method` and X-HTTP-Method-Override are ignored: what authorizes by method in front of us must be able to rely on it",
        count: 0,
        level: no_override,
    },
    Rule {
        name: "numeric-strings",
        reason: "Airflow sends core and executor counts as strings, which Livy answers with 500: numbers in strings are taken",
        count: 0,
        level: numeric_strings,
    },
    Rule {
        name: "log-survives-bad-utf8",
        reason: "bytes that are no UTF-8 are replaced; Livy loses the log at the first of them and lets the job hang on a full pipe",
        count: 0,
        level: bad_utf8,
    },
    Rule {
        name: "conf-order",
        reason: "Livy gives --conf in the order of a Scala hash map, which means nothing to spark-submit",
        count: 0,
        level: conf_order,
    },
    Rule {
        name: "json-syntax-words",
        reason: "what is no JSON is refused at the same place in our own parser's words",
        count: 0,
        level: syntax_words,
    },
    Rule {
        name: "parser-page",
        reason: "what cannot be read as HTTP is refused by the HTTP library before any dialect is known: same class of status, no page of Jetty's",
        count: 0,
        level: parser_page,
    },
    Rule {
        name: "gzip-refused",
        reason: "gzip;q=0 says that the client cannot read gzip",
        count: 0,
        level: gzip_refused,
    },
    Rule {
        name: "foreign-host",
        reason: "without authentication a Host that is neither a loopback name nor ours is refused: it is how a web page would get in",
        count: 0,
        level: foreign_host,
    },
    Rule {
        name: "livy-prefix",
        reason: "the same API is served under /livy for clients of gateways that add the prefix",
        count: 0,
        level: livy_prefix,
    },
    Rule {
        name: "no-ui",
        reason: "Livy's pages, their files and its metrics servlet are out of scope",
        count: 0,
        level: no_ui,
    },
    Rule {
        name: "no-sessions",
        reason: "interactive sessions need a Livy behind us; without one their creation is refused before its body is looked at",
        count: 0,
        level: no_sessions,
    },
];

/// The type of every answer of Livy's own.
const JSON: &str = "application/json;charset=utf-8";

fn msg(view: &View) -> Option<&str> {
    view.body.json()?.get("msg")?.as_str()
}

fn submitted(view: &View) -> bool {
    view.status == 201 && view.body.json().is_some_and(|batch| batch["id"].is_u64() && batch["state"].is_string())
}

fn refused(view: &View, statuses: &[u16]) -> bool {
    statuses.contains(&view.status)
}

/// For another outcome: ours is known to be what it has to be instead, so there is nothing to compare it with. What every
/// answer owes its client whatever the outcome, its type by name and the life of the connection, is still held against it.
fn accept(recorded: &mut View, ours: &View) -> bool {
    let typed = ours.body.json().is_none() || ours.headers.get("content-type").is_some_and(|kind| kind == JSON);
    if typed {
        (recorded.status, recorded.body) = (ours.status, ours.body.clone());
        for name in ["content-type", "location", "allow"] {
            recorded.headers.remove(name);
            recorded.headers.extend(ours.headers.get_key_value(name).map(|(&name, value)| (name, value.clone())));
        }
    }
    typed
}

/// A batch whose submit was refused: never started, and without even the header lines of a log.
fn is_ghost(batch: &Value) -> bool {
    batch["state"] == "starting" && batch["log"].as_array().is_some_and(Vec::is_empty)
}

fn ghosts(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
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

fn refused_id(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let stem = |view: &View| {
        let (stem, id) = msg(view)?.rsplit_once(" for session ")?;
        id.parse::<u32>().ok()?;
        stem.contains("Duplicate session name").then(|| stem.to_owned())
    };
    let same = stem(recorded).is_some() && stem(recorded) == stem(ours);
    if same {
        recorded.body = ours.body.clone();
    }
    same
}

fn survives_restart(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
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

fn no_override(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let is_post = ours.status == 405 && ours.headers.get("allow").is_some_and(|allow| allow == "DELETE, GET, HEAD");
    case.name.starts_with("errors/override-") && is_post && accept(recorded, ours)
}

fn numeric_strings(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let cast = recorded.body.json().and_then(Value::as_str).is_some_and(|text| {
        text.starts_with(
            "java.lang.ClassCastException: class java.lang.String cannot be cast to class java.lang.Integer",
        )
    });
    recorded.status == 500 && cast && submitted(ours) && accept(recorded, ours)
}

fn bad_utf8(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
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

fn conf_order(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
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

/// `line: 1, column: 6` of a parser's text, the last if it names several.
fn place(view: &View) -> Option<(u32, u32)> {
    let text = view.body.json()?.as_str()?;
    let (line, column) = text[text.rfind("line: ")? + 6..].split_once(", column: ")?;
    let digits = column.find(|c: char| !c.is_ascii_digit()).unwrap_or(column.len());
    Some((line.parse().ok()?, column[..digits].parse().ok()?))
}

fn syntax_words(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    // Texts about fields and types are Livy's to the letter.
    let syntax = recorded.body.json().and_then(Value::as_str).is_some_and(|text| {
        !text.starts_with("Cannot ") && !text.starts_with("Unrecognized field") && !text.starts_with("No content")
    });
    let same = recorded.status == 400 && syntax && place(recorded).is_some() && place(recorded) == place(ours);
    if same {
        recorded.body = ours.body.clone();
    }
    same
}

fn parser_page(_: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let page = matches!(&recorded.body, Body::Text(text) if text.starts_with("<h1>Bad Message "));
    let closed = ours.headers.get("connection").is_some_and(|says| says == "closes");
    page && closed && refused(ours, &[recorded.status, 400]) && accept(recorded, ours)
}

fn gzip_refused(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let refuses = case.request().header("accept-encoding").is_some_and(|value| value.contains("gzip;q=0"));
    refuses && !ours.headers.contains_key("content-encoding") && recorded.headers.remove("content-encoding").is_some()
}

fn foreign_host(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let head = String::from_utf8_lossy(case.request().head()).into_owned();
    let foreign =
        ["Host: other", "Host: gateway.example", "http://elsewhere.example"].iter().any(|host| head.contains(host));
    foreign && refused(ours, &[400, 403]) && accept(recorded, ours)
}

fn livy_prefix(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let list = ours.status == 200 && ours.body.json().is_some_and(|list| list["sessions"].is_array());
    case.request().line().starts_with(b"GET /livy/") && recorded.status == 404 && list && accept(recorded, ours)
}

fn no_ui(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let line = String::from_utf8_lossy(case.request().line()).into_owned();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let ui = path == "/" || path.starts_with("/ui") || path.starts_with("/static") || path.starts_with("/metrics");
    ui && refused(ours, &[200, 404]) && accept(recorded, ours)
}

fn no_sessions(case: &Case, recorded: &mut View, ours: &mut View) -> bool {
    let creates = case.request().line().starts_with(b"POST /sessions ");
    creates && recorded.status == 400 && refused(ours, &[400, 501]) && msg(ours).is_some() && accept(recorded, ours)
}
