//! Kylin's call on many jobs at once, and the log of one step.

use std::sync::Arc;

use batchlingua_core::{
    Action, Backend, BatchId, BatchRef, BatchSpec, BatchState, Controlled, Credentials, DialectName, Effect, Error,
    ErrorKind, Lines, Log, LogBody, LogQuery, LogSource, Notes, Operation, Outcome, Project, Reply, Result, Revival,
    Selection, Standing, StateSet, Uuid,
};
use batchlingua_testkit::{ManualClock, MemoryBackend, context};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, Members, RequestBody, RequestHead, Route, Value, basic_credentials, encode_reply,
};
use http::{Method, Response};
use serde_json::json;

use crate::{enter, json_answer, little_dialect, operation, text};

/// How many lines of each end `output` shows.
const ENDS: u32 = 100;

struct Kylin(DialectName);

static ROUTES: [Route; 3] = [
    Route { name: "status", method: Method::PUT, path: "/kylin/api/jobs/status[/]", body: BodyKind::Bytes },
    Route {
        name: "output",
        method: Method::GET,
        path: "/kylin/api/jobs/{job}/steps/{step}/output[/]",
        body: BodyKind::None,
    },
    Route { name: "log", method: Method::GET, path: "/kylin/api/jobs/{job}/steps/{step}/log[/]", body: BodyKind::None },
];

impl Dialect for Kylin {
    little_dialect!(ROUTES);

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        Ok(basic_credentials(&head.headers))
    }

    fn project(&self, head: &RequestHead) -> Option<Project> {
        head.target.query.get("project").map(Project::new)
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let lines = match head.route_name() {
            "status" => return control(body).map(Decoded::Operation),
            "output" => Lines::HeadAndTail(ENDS),
            _ => Lines::All,
        };
        let query = LogQuery { lines, source: LogSource::Step(head.param(1).to_owned()) };
        Ok(Decoded::Operation(Operation::Log(job(head.param(0)), query)))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        match &reply.outcome {
            // The first failure is the answer, whatever was done before it.
            Outcome::Controlled(all) => match all.iter().find_map(|one| one.result.as_ref().err()) {
                Some(error) => self.encode_error(head, error),
                None => json_answer(200, json!({"code": "000", "data": "", "msg": ""}).to_string()),
            },
            Outcome::Log(id, Log { total, body: LogBody::Lines(lines), .. }) => {
                let mut shown = lines.clone();
                if total.is_some_and(|total| total > lines.len() as u64) {
                    shown.insert(ENDS as usize, "================".to_owned());
                }
                let job = id.native.as_ref().map_or_else(|| id.uuid.to_string(), ToString::to_string);
                let data = json!({"jobId": job, "stepId": head.param(1), "cmd_output": shown.join("\n")});
                json_answer(200, json!({"code": "000", "data": data, "msg": ""}).to_string())
            }
            Outcome::Log(_, Log { body: LogBody::Stream(_), .. }) => {
                let project = self.project(head).map_or(String::new(), |project| project.to_string());
                let name = format!("attachment; filename=\"{project}_{}.log\"", head.param(1));
                let answer = Response::builder().header("Content-Type", "application/octet-stream");
                answer.header("Content-Disposition", name).body(Body::empty()).expect("a response")
            }
            Outcome::Submitted { .. } | Outcome::Batch(_) | Outcome::Page(_) => panic!("not asked for"),
        }
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        let code = match &error.kind {
            ErrorKind::IllegalState { .. } => "KE-010032217",
            ErrorKind::NotFound(_) => "KE-010032219",
            _ => "KE-000000001",
        };
        let message = format!("{code}: {}", error.message);
        let body = json!({"code": "999", "data": null, "msg": message, "error_code": code});
        json_answer(500, body.to_string())
    }
}

/// A job's id: the first 36 characters look like a uuid, but model jobs have more.
fn job(id: &str) -> BatchRef {
    Uuid::parse_str(id).map_or_else(|_| BatchRef::Text(id.to_owned()), BatchRef::Uuid)
}

fn control(body: RequestBody) -> Result<Operation<BatchRef>> {
    let RequestBody::Bytes(bytes) = body else { return Err(Error::invalid("body", "a body is needed")) };
    let text = String::from_utf8_lossy(&bytes);
    let request = Value::parse(&text).and_then(|value| value.members());
    let request = request.map_err(|fault| Error::invalid("body", fault))?;
    let word = |name: &str| request.get(name).and_then(|value| Some(value.text().ok()?.into_owned()));
    let action = match word("action").as_deref() {
        Some("RESUME") => Action::Resume,
        Some("DISCARD") => Action::Cancel,
        Some("PAUSE") => Action::Pause,
        Some("RESTART") => Action::Restart,
        _ => return Err(Error::invalid("action", "action must be one of RESUME, DISCARD, PAUSE, RESTART")),
    };
    let ids: Vec<_> = words(&request, "job_ids").iter().map(|id| job(id)).collect();
    let mut states = Vec::new();
    for status in words(&request, "statuses") {
        let of_status = of_status(&status).ok_or_else(|| Error::invalid("statuses", "no status of a job"))?;
        // Refused even if no job is in that status.
        if let Some(state) = of_status.iter().copied().find(|state| !legal(*state).contains(&action)) {
            let kind = ErrorKind::IllegalState { state, allowed: legal(state).to_vec() };
            return Err(Error::new(kind, format!("status {status} does not allow this action")));
        }
        states.extend_from_slice(of_status);
    }
    // Where jobs are named the statuses do not narrow them: the server adds the jobs' own statuses to the list.
    let states = (ids.is_empty() && !states.is_empty()).then(|| states.into_iter().collect());
    let project = word("project").map(Project::from);
    Ok(Operation::Control(Selection { ids, project, states, ..Selection::default() }, action))
}

fn words(request: &Members<'_>, name: &str) -> Vec<String> {
    let items = request.get(name).and_then(|value| value.items().ok()).unwrap_or_default();
    items.iter().filter_map(|item| Some(item.text().ok()?.into_owned())).collect()
}

fn of_status(status: &str) -> Option<&'static [BatchState]> {
    use BatchState::{Cancelled, Failed, Paused, Queued, Running, Starting, Succeeded, Unknown};
    match status {
        "PENDING" => Some(&[Queued, Starting]),
        "RUNNING" => Some(&[Running]),
        "STOPPED" => Some(&[Paused]),
        "FINISHED" => Some(&[Succeeded]),
        "ERROR" => Some(&[Failed, Unknown]),
        "DISCARDED" => Some(&[Cancelled]),
        _ => None,
    }
}

fn legal(state: BatchState) -> &'static [Action] {
    use Action::{Cancel, Pause, Restart, Resume};
    match state {
        BatchState::Queued | BatchState::Starting => &[Cancel, Pause],
        BatchState::Running => &[Cancel, Pause, Restart],
        BatchState::Failed | BatchState::Unknown | BatchState::Paused => &[Resume, Cancel, Restart],
        BatchState::Succeeded | BatchState::Cancelled => &[],
    }
}

fn put(body: &str) -> String {
    format!(
        "PUT /kylin/api/jobs/status HTTP/1.1\r\nHost: h\r\nAccept: application/vnd.apache.kylin-v4-public+json\r\n\
         Content-Type: application/json;charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn controlled(body: &str) -> Result<(Selection<BatchRef>, Action)> {
    let kylin = Kylin("kylin".into());
    let entered = enter(&kylin, put(body).as_bytes(), "unused".as_ref()).await?;
    match operation(&kylin, &entered.head, entered.body)? {
        Operation::Control(selection, action) => Ok((selection, action)),
        other => panic!("no control: {other:?}"),
    }
}

#[tokio::test]
async fn all_jobs_of_a_project_in_some_states_are_one_selection() {
    let body = r#"{"action": "DISCARD", "project": "retail", "statuses": ["ERROR", "STOPPED"], "unknown": 1}"#;
    let (selection, action) = controlled(body).await.expect("a control");
    let states: StateSet = [BatchState::Failed, BatchState::Unknown, BatchState::Paused].into_iter().collect();
    let wanted = Selection { project: Some("retail".into()), states: Some(states), ..Selection::default() };
    assert_eq!(selection, wanted);
    assert_eq!(action, Action::Cancel);

    let body = r#"{"action":"RESUME","project":"retail","job_ids":["9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1"],"statuses":["ERROR"]}"#;
    let (selection, action) = controlled(body).await.expect("a control");
    let uuid = Uuid::parse_str("9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1").expect("readable, though it has no version");
    let ids = vec![BatchRef::Uuid(uuid)];
    let wanted = Selection { ids, project: Some("retail".into()), ..Selection::default() };
    assert_eq!((selection, action), (wanted, Action::Resume));

    let error =
        controlled(r#"{"action":"PAUSE","project":"retail","statuses":["FINISHED"]}"#).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::IllegalState { state: BatchState::Succeeded, allowed: vec![] });
}

/// A failed job is not at its end there: it is discarded, and that is seen.
#[tokio::test]
async fn what_became_of_each_job_is_one_answer() {
    let backend =
        MemoryBackend::new("kylin", Arc::new(ManualClock::default())).able(|able| able.revival = Revival::AfterFailure);
    let job = backend.add_foreign(BatchSpec::default());
    backend.advance(&job, BatchState::Failed);
    let failed = Standing { attempt: 1, state: BatchState::Failed };
    let effect = backend.control(&context(), &job, Action::Cancel).await.expect("possible");
    assert_eq!(effect, Effect::Ended(BatchState::Cancelled));
    let seen = failed.advance(BatchState::Cancelled, None, Revival::AfterFailure);
    assert_eq!(seen, Standing { attempt: 1, state: BatchState::Cancelled });

    let kylin = Kylin("kylin".into());
    let head = enter(&kylin, put("{}").as_bytes(), "unused".as_ref()).await.expect("a head").head;
    let id = |ordinal: u32| BatchId { uuid: Uuid::from_u128(ordinal.into()), ordinal, native: None };
    let discarded = || Controlled { id: id(1), before: BatchState::Failed, result: Ok(effect), after: None };
    let answer =
        |all| encode_reply(&kylin, &head, Reply { outcome: Outcome::Controlled(all), notes: Notes::default() });
    for none_or_one in [vec![], vec![discarded()]] {
        let wanted = r#"{"code":"000","data":"","msg":""}"#;
        assert_eq!(text(answer(none_or_one)).await, (200, wanted.to_owned()));
    }
    let kind = ErrorKind::IllegalState { state: BatchState::Succeeded, allowed: vec![] };
    let refused = Controlled {
        id: id(2),
        before: BatchState::Succeeded,
        result: Err(Error::new(kind, "a finished job allows no action")),
        after: None,
    };
    let wanted = r#"{"code":"999","data":null,"msg":"KE-010032217: a finished job allows no action","error_code":"KE-010032217"}"#;
    assert_eq!(text(answer(vec![discarded(), refused])).await, (500, wanted.to_owned()));
}

const MODEL_JOB: &str = "9a1d5c42-7b3e-08f1-64ce-2f90ab35d7e1-c0ffee00-1111-2222-3333-444455556666";

/// A backend with one job, whose second step has written so many lines.
async fn log_of_step(lines: u32, call: &str) -> (Kylin, RequestHead, Response<Body>) {
    let kylin = Kylin("kylin".into());
    let request = format!(
        "GET /kylin/api/jobs/{MODEL_JOB}/steps/{MODEL_JOB}_01/{call}?project=retail HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    let entered = enter(&kylin, request.as_bytes(), "unused".as_ref()).await.expect("a request");
    let Operation::Log(id, query) = operation(&kylin, &entered.head, entered.body).expect("a log") else {
        panic!("a log")
    };
    assert_eq!(id, BatchRef::Text(MODEL_JOB.to_owned()), "73 characters are no uuid");
    assert_eq!(query.source, LogSource::Step(format!("{MODEL_JOB}_01")));
    assert_eq!(kylin.project(&entered.head), Some("retail".into()), "where the job is looked for");

    let backend = MemoryBackend::new("kylin", Arc::new(ManualClock::default()));
    let job = backend.add_foreign(BatchSpec::default());
    backend.write_log_of(&job, &query.source, (0..lines).map(|at| format!("line {at}")));
    let log = backend.log(&context(), &job, &query).await.expect("a log");
    let id = BatchId { uuid: Uuid::from_u128(1), ordinal: 1, native: Some(MODEL_JOB.into()) };
    let reply = Reply { outcome: Outcome::Log(id, log), notes: Notes::default() };
    let answer = encode_reply(&kylin, &entered.head, reply);
    (kylin, entered.head, answer)
}

#[tokio::test]
async fn the_short_log_of_a_step_is_its_two_ends() {
    let (_, _, answer) = log_of_step(1_000, "output").await;
    let (status, body) = text(answer).await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &body["data"]["jobId"], &body["data"]["stepId"]),
        (200, &json!(MODEL_JOB), &json!(format!("{MODEL_JOB}_01")))
    );
    let shown: Vec<_> = body["data"]["cmd_output"].as_str().expect("text").lines().collect();
    assert_eq!((shown.len(), shown[99], shown[100], shown[101]), (201, "line 99", "================", "line 900"));

    let (_, _, answer) = log_of_step(200, "output").await;
    assert!(!text(answer).await.1.contains("===="), "nothing is left out of 200 lines");
}

#[tokio::test]
async fn the_full_log_of_a_step_goes_through_as_a_stream() {
    let (_, _, answer) = log_of_step(3, "log").await;
    assert_eq!(answer.headers()["Content-Type"], "application/octet-stream");
    let name = format!("attachment; filename=\"retail_{MODEL_JOB}_01.log\"");
    assert_eq!(answer.headers()["Content-Disposition"], name.as_str());
    assert_eq!(text(answer).await, (200, "line 0\nline 1\nline 2\n".to_owned()));
}
