//! Acting on jobs: the status call, dropping records, and the older faces' calls on one job.
//!
//! What is wrong with a request by itself is told here, in Kylin's order. That a job does not exist outranks a wrong status or action in
//! Kylin; who makes both mistakes at once is told the other one first here, since only the ledger knows the jobs.

use batchlingua_core::{Action, BatchRef, Operation, Project, Selection, Uuid};
use batchlingua_wire::{JsonFault, Kind, Members, Query, RequestHead, Value, check_depth, decode_text};

use crate::{
    FrontSettings,
    error::{self, BAD_PARAMETER, Code, NOT_IN_LIST, NOTHING_NAMED, PROJECT_BLANK, Refusal},
    list,
    query::Parameters,
    state::{self, ACTIONS, Status},
};

/// The names of a status call.
const NAMES: [&str; 4] = ["action", "project", "job_ids", "statuses"];

/// What a status call says.
#[derive(Debug, Default, PartialEq, Eq)]
struct StatusCall {
    action: Option<String>,
    project: Option<String>,
    job_ids: Vec<String>,
    statuses: Vec<String>,
}

/// A job as a client names it. An id of Kylin's looks like a uuid, and need not be one.
pub(crate) fn job(id: &str) -> BatchRef {
    let uuid = if id.len() == 36 { Uuid::parse_str(id).ok() } else { None };
    uuid.map_or_else(|| BatchRef::Text(id.to_owned()), BatchRef::Uuid)
}

/// `PUT /jobs/status`.
pub(crate) fn status(
    head: &RequestHead,
    body: &[u8],
    settings: &FrontSettings,
) -> Result<Operation<BatchRef>, Refusal> {
    let query = &head.target.query;
    let says_it_there = NAMES.iter().any(|name| query.get(name).is_some());
    let call = if body.is_empty() && says_it_there && !settings.strict {
        of_query(query)
    } else {
        if settings.strict {
            check_content_type(head)?;
        }
        of_body(body, settings.json_depth)?
    };
    act(call)
}

fn act(call: StatusCall) -> Result<Operation<BatchRef>, Refusal> {
    let given = call.action.filter(|action| !action.trim().is_empty());
    let given = given.ok_or_else(|| Refusal::missing(500, "action"))?;
    let read = |name: &String| Status::of_name(name).ok_or_else(|| list::bad_status("statuses", name));
    let statuses: Vec<Status> = call.statuses.iter().map(read).collect::<Result<_, _>>()?;
    let is_looked_at = !(call.job_ids.is_empty() && statuses.is_empty());
    if is_looked_at {
        let (action, word) = action(&given)?;
        // Kylin reads the word twice, and only once without regard to case.
        if word != given {
            let text = format!("'action' must be written in capitals: {word}, not {given}");
            return Err(Refusal::new(400, BAD_PARAMETER, "action", text));
        }
        if let Some(status) = statuses.iter().find(|status| !status.allows(action)) {
            return Err(error::not_legal_for(*status, word));
        }
    }
    let project = call.project.filter(|project| !project.trim().is_empty());
    if project.is_none() && call.job_ids.is_empty() {
        return Err(nothing_named(&given));
    }
    let (action, _) = action(&given)?;
    let legal = if call.job_ids.is_empty() { state::legal_for_all(action) } else { state::legal(action) };
    let selection = Selection {
        ids: call.job_ids.iter().map(|id| job(id)).collect(),
        project: project.map(Project::from),
        states: list::statuses(&call.statuses)?,
        legal: Some(legal),
        skip_unknown: false,
    };
    Ok(Operation::Control(selection, action))
}

fn action(given: &str) -> Result<(Action, &'static str), Refusal> {
    let known = ACTIONS.into_iter().find(|(_, word)| word.eq_ignore_ascii_case(given));
    known.ok_or_else(|| {
        let text = format!("'action' must be one of RESUME, DISCARD, PAUSE, RESTART, not '{given}'");
        Refusal::new(500, NOT_IN_LIST, "action", text)
    })
}

fn nothing_named(action: &str) -> Refusal {
    let text = format!("'project' and 'job_ids' are both empty: name a project or jobs to {action}");
    Refusal::new(500, NOTHING_NAMED, "job_ids", text)
}

/// `DELETE /jobs`.
pub(crate) fn forget(head: &RequestHead) -> Result<Operation<BatchRef>, Refusal> {
    let parameters = Parameters(&head.target.query);
    let ids: Vec<String> = parameters.texts("job_ids").into_iter().filter(|id| !id.is_empty()).collect();
    let project = parameters.given("project");
    match (&project, parameters.text("project")) {
        (None, _) if ids.is_empty() => return Err(nothing_named("delete")),
        (None, Some(_)) => return Err(Refusal::new(500, PROJECT_BLANK, "project", "'project' must not be empty")),
        (None, None) if !head.asker().identity.rights.administrator => {
            return Err(Refusal::denied("only an administrator drops jobs without naming their project"));
        }
        (None, None) | (Some(_), _) => {}
    }
    let selection = Selection {
        ids: ids.iter().map(|id| job(id)).collect(),
        project: project.map(Project::from),
        states: list::statuses(&parameters.texts("statuses"))?,
        legal: None,
        skip_unknown: true,
    };
    Ok(Operation::Control(selection, Action::Forget))
}

/// One job, by the older faces' calls: guarded here, since Kylin itself lets a resume bring back what has gone well.
pub(crate) fn one(route: &str, id: &str) -> Operation<BatchRef> {
    let action = match route {
        "cancel" => Action::Cancel,
        "pause" => Action::Pause,
        "resume" => Action::Resume,
        _ => return Operation::Control(Selection::one(job(id)), Action::Forget),
    };
    // What is discarded already is not discarded again, and that is no mistake there.
    let legal = if action == Action::Cancel { state::legal_for_all(action) } else { state::legal(action) };
    Operation::Control(Selection { legal: Some(legal), ..Selection::one(job(id)) }, action)
}

fn of_query(query: &Query) -> StatusCall {
    let parameters = Parameters(query);
    StatusCall {
        action: parameters.text("action"),
        project: parameters.text("project"),
        job_ids: parameters.texts("job_ids"),
        statuses: parameters.texts("statuses"),
    }
}

fn check_content_type(head: &RequestHead) -> Result<(), Refusal> {
    let given = head.header("content-type").unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json");
    if is_json {
        return Ok(());
    }
    let text = format!("Content-Type '{given}' is not supported: send JSON as application/json");
    Err(Refusal::new(500, Code::None, "Content-Type", text))
}

fn of_body(body: &[u8], depth: usize) -> Result<StatusCall, Refusal> {
    let unreadable =
        |fault: JsonFault| Refusal::new(500, Code::Unreadable, "body", format!("the body is no JSON: {fault}"));
    let text = decode_text(body).map_err(unreadable)?;
    let missing =
        || Refusal::new(500, Code::Unreadable, "body", "a JSON body with 'action' is required and is missing");
    if text.trim().is_empty() {
        return Err(missing());
    }
    check_depth(&text, depth).map_err(unreadable)?;
    let value = Value::parse(&text).map_err(unreadable)?;
    match value.kind() {
        Kind::Object => {}
        Kind::Null => return Err(missing()),
        Kind::Bool | Kind::Integer | Kind::Float | Kind::Text | Kind::Array => {
            return Err(wrong_shape("body", "a JSON object"));
        }
    }
    let members = value.members().map_err(unreadable)?;
    Ok(StatusCall {
        action: text_of(&members, "action")?,
        project: text_of(&members, "project")?,
        job_ids: texts_of(&members, "job_ids")?.ok_or_else(|| wrong_shape("job_ids", "an array, not null"))?,
        statuses: texts_of(&members, "statuses")?.unwrap_or_default(),
    })
}

fn wrong_shape(field: &str, wanted: &str) -> Refusal {
    Refusal::new(500, Code::Unreadable, field, format!("'{field}' must be {wanted}"))
}

fn text_of(members: &Members<'_>, name: &str) -> Result<Option<String>, Refusal> {
    members.get(name).map_or(Ok(None), |value| scalar(name, value))
}

/// A text; numbers and booleans as they are spelled, as Jackson takes them. `None`: null.
fn scalar(name: &str, value: Value<'_>) -> Result<Option<String>, Refusal> {
    match value.kind() {
        Kind::Null => Ok(None),
        Kind::Bool | Kind::Integer | Kind::Float => Ok(Some(value.raw().to_owned())),
        Kind::Text => match value.text() {
            Ok(text) => Ok(Some(text.into_owned())),
            Err(fault) => Err(wrong_shape(name, &format!("a text: {fault}"))),
        },
        Kind::Array | Kind::Object => Err(wrong_shape(name, "a text")),
    }
}

/// An array of texts; empty if it is not there. `None`: null.
fn texts_of(members: &Members<'_>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let Some(value) = members.get(name) else { return Ok(Some(Vec::new())) };
    match value.kind() {
        Kind::Null => return Ok(None),
        Kind::Array => {}
        Kind::Bool | Kind::Integer | Kind::Float | Kind::Text | Kind::Object => {
            return Err(wrong_shape(name, "an array of texts"));
        }
    }
    let items = value.items().map_err(|fault| wrong_shape(name, &format!("an array of texts: {fault}")))?;
    let text = |item: &Value<'_>| scalar(name, *item)?.ok_or_else(|| wrong_shape(name, "an array without null"));
    items.iter().map(text).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(body: &str) -> Result<StatusCall, Refusal> {
        of_body(body.as_bytes(), 64)
    }

    #[test]
    fn bodies_are_read_as_jackson_reads_them() {
        let read =
            call(r#"{"action": "PAUSE", "job_ids": [1, "a", true], "statuses": null, "x": {}, "action": "STOP"} ,"#);
        let wanted = StatusCall {
            action: Some("STOP".into()),
            job_ids: ["1", "a", "true"].map(str::to_owned).into(),
            ..StatusCall::default()
        };
        assert_eq!(read.expect("readable"), wanted);
        let utf16: Vec<u8> = r#"{"action":"é"}"#.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(of_body(&utf16, 64).expect("readable").action.as_deref(), Some("é"));
        for wrong in [
            "",
            " \n",
            "null",
            "[]",
            "\"PAUSE\"",
            "{",
            r#"{"job_ids": null}"#,
            r#"{"job_ids": "a"}"#,
            r#"{"job_ids": [null]}"#,
            r#"{"job_ids": [["a"]]}"#,
            r#"{"action": {}}"#,
            r#"{"statuses": "RUNNING"}"#,
            r#"{"action": "\ud800"}"#,
        ] {
            assert!(call(wrong).is_err(), "{wrong}");
        }
        assert!(of_body(format!("{{\"x\":{}{}}}", "[".repeat(70), "]".repeat(70)).as_bytes(), 64).is_err());
    }

    #[test]
    fn an_action_in_small_letters_is_taken_for_a_whole_project_only() {
        let act = |body: &str| act(call(body).expect("readable"));
        assert!(matches!(act(r#"{"action":"pause","project":"p"}"#), Ok(Operation::Control(_, Action::Pause))));
        assert!(act(r#"{"action":"pause","project":"p","job_ids":["a"]}"#).is_err());
        assert!(act(r#"{"action":"pause","project":"p","statuses":["RUNNING"]}"#).is_err());
        assert!(act(r#"{"action":"STOP","project":"p"}"#).is_err());
    }

    #[test]
    fn only_what_is_written_as_a_uuid_is_one() {
        let id = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1";
        assert!(matches!(job(id), BatchRef::Uuid(_)), "though it has no version");
        for other in ["overview", "", &id.replace('-', ""), &format!("{{{id}}}"), &format!("{id}-{id}")] {
            assert_eq!(job(other), BatchRef::Text(other.to_owned()));
        }
    }
}
