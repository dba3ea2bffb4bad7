//! A dialect for these tests: JSON in, JSON out, every operation of the model, and nothing of any product.

use std::sync::LazyLock;

use batchlingua_core::{
    Action, Batch, BatchId, BatchRef, BatchSpec, BatchState, Conf, Credentials, Detail, DialectName, Effect, Error,
    ErrorKind, Filter, IdempotencyKey, Lines, ListQuery, LogBody, LogQuery, LogSource, Millis, Operation, Outcome,
    Payload, Project, Purpose, Replay, Reply, Result, Selection, Submission, Window,
};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, Miss, Ownership, Part, Relayed, RequestBody, RequestHead, Route,
    basic_credentials,
};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// The dialect.
pub(crate) struct Plain {
    pub(crate) name: DialectName,
    pub(crate) ownership: Ownership,
}

impl Plain {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), ownership: Ownership::Shared }
    }
}

static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let route = |name, method: Method, path, body| Route { name, method, path, body };
    vec![
        route("submit", Method::POST, "/jobs", BodyKind::FormOrBytes),
        route("list", Method::GET, "/jobs", BodyKind::None),
        route("get", Method::GET, "/jobs/{id}", BodyKind::None),
        route("state", Method::GET, "/jobs/{id}/state", BodyKind::None),
        route("steps", Method::GET, "/jobs/{id}/steps", BodyKind::None),
        route("log", Method::GET, "/jobs/{id}/log", BodyKind::None),
        route("control", Method::POST, "/actions/{action}", BodyKind::Bytes),
        route("version", Method::GET, "/version", BodyKind::None),
        route("relay", Method::POST, "/relay", BodyKind::Stream),
    ]
});

impl Dialect for Plain {
    fn name(&self) -> &DialectName {
        &self.name
    }

    fn routes(&self) -> &'static [Route] {
        &ROUTES
    }

    fn claims(&self, head: &RequestHead) -> bool {
        let first = head.target.segments.first().map(String::as_str);
        matches!(first, Some("jobs" | "actions" | "version" | "relay"))
    }

    fn is_relayed(&self, head: &RequestHead) -> bool {
        head.target.segments.first().is_some_and(|first| first == "relay")
    }

    fn relayed(&self, head: &RequestHead, body: Option<RequestBody>) -> Result<Relayed> {
        let user = match body {
            None if head.method == Method::PATCH => return Ok(Relayed::InBody),
            None => head.target.query.get("as").map(str::to_owned),
            Some(body) => json_of(&body)?["user"].as_str().map(str::to_owned),
        };
        Ok(user.map_or(Relayed::Nothing, |user| {
            Relayed::Asks(Box::new(BatchSpec { run_as: Some(user), ..BatchSpec::default() }))
        }))
    }

    fn ownership(&self) -> Ownership {
        self.ownership
    }

    fn credentials(&self, head: &RequestHead, body: &RequestBody) -> Result<Option<Credentials>> {
        // A signature of sorts: over the body alone.
        let Some((access_key, signature)) = head.header("x-signed").and_then(|value| value.split_once(' ')) else {
            return Ok(basic_credentials(&head.headers));
        };
        let signed = match body {
            RequestBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            RequestBody::Empty | RequestBody::Form(_) => String::new(),
        };
        let (access_key, signature) = (access_key.to_owned(), signature.to_owned());
        Ok(Some(Credentials::Signature { access_key, signed, signature, at: Millis(0), security_token: None }))
    }

    fn project(&self, head: &RequestHead) -> Option<Project> {
        head.target.query.get("project").map(Project::from)
    }

    fn unscoped_project(&self) -> Option<&str> {
        Some("none")
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let id = || id_of(head.param(0));
        let query = |name: &str| head.target.query.get(name);
        let number = |name: &str| query(name).and_then(|text| text.parse::<u64>().ok());
        let operation = match head.route_name() {
            "submit" => Operation::Submit(Box::new(submission(head, body)?)),
            "list" => {
                let states = query("state").map(|words| words.split(',').filter_map(BatchState::from_word).collect());
                let window = Window { from: number("from").unwrap_or(0), size: number("size").unwrap_or(100) };
                let filter = Filter { states, ..Filter::default() };
                Operation::List(Box::new(ListQuery {
                    filter,
                    window,
                    tails: query("tails").is_some(),
                    ..ListQuery::default()
                }))
            }
            "get" => Operation::Get(id(), Detail::Summary),
            "state" => Operation::Get(id(), Detail::State),
            "steps" => Operation::Get(id(), Detail::Steps),
            "log" => {
                let size = number("size").unwrap_or(100) as u32;
                let lines = match number("from") {
                    _ if query("all").is_some() => Lines::All,
                    Some(from) => Lines::From(from, size),
                    None => Lines::Tail(size),
                };
                let source = match query("step") {
                    Some(step) => LogSource::Step(step.to_owned()),
                    None => LogSource::Default,
                };
                Operation::Log(id(), LogQuery { lines, source })
            }
            "control" => {
                let asked = json_of(&body)?;
                let ids = asked["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(id_of).collect();
                let project = asked["project"].as_str().map(Project::from);
                let states = |name: &str| {
                    asked[name].as_str().map(|words| words.split(',').filter_map(BatchState::from_word).collect())
                };
                let (states, legal) = (states("states"), states("legal"));
                let skip_unknown = asked["skip_unknown"] == true;
                Operation::Control(Selection { ids, project, states, legal, skip_unknown }, action_of(head.param(0))?)
            }
            "relay" => return Ok(Decoded::Relay(answer(StatusCode::NOT_FOUND, json!({ "relayed": false })))),
            _ => return Ok(Decoded::Answer(answer(StatusCode::OK, json!({ "version": 1 })))),
        };
        Ok(Decoded::Operation(operation))
    }

    fn encode(&self, _: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        match &reply.outcome {
            Outcome::Submitted { batch, replayed } => {
                let mut shown = show(batch);
                shown["replayed"] = json!(replayed);
                answer(StatusCode::CREATED, shown)
            }
            Outcome::Batch(batch) => answer(StatusCode::OK, show(batch)),
            Outcome::Page(page) => {
                let rows: Vec<_> = page.rows.iter().map(|batch| show(batch)).collect();
                answer(StatusCode::OK, json!({ "rows": rows, "total": page.total }))
            }
            Outcome::Log(_, log) => match &log.body {
                LogBody::Lines(lines) => {
                    answer(StatusCode::OK, json!({ "from": log.from, "total": log.total, "lines": lines }))
                }
                LogBody::Stream(_) => Response::new(Body::empty()),
            },
            Outcome::Controlled(all) => {
                let rows: Vec<_> = all
                    .iter()
                    .map(|one| {
                        let result = match &one.result {
                            Ok(effect) => effect_word(*effect),
                            Err(error) => format!("error:{}", error.kind.as_str()),
                        };
                        let after = one.after.as_ref().map(|batch| batch.state.as_str());
                        let (uuid, before) = (one.id.uuid.to_string(), one.before.as_str());
                        json!({ "uuid": uuid, "before": before, "result": result, "after": after })
                    })
                    .collect();
                answer(StatusCode::OK, json!(rows))
            }
        }
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        let field = match &error.kind {
            ErrorKind::InvalidRequest { field, .. } => Some(field.as_str()),
            _ => None,
        };
        answer(status(&error.kind), json!({ "kind": error.kind.as_str(), "message": error.message, "field": field }))
    }

    fn encode_miss(&self, _: &RequestHead, miss: &Miss) -> Response<Body> {
        match miss {
            Miss::Path => answer(StatusCode::NOT_FOUND, json!({ "miss": "path" })),
            Miss::Method(_) => answer(StatusCode::METHOD_NOT_ALLOWED, json!({ "miss": "method" })),
        }
    }

    fn bad_message(&self, status: StatusCode, reason: &str) -> Option<Response<Body>> {
        Some(answer(status, json!({ "bad": reason })))
    }
}

fn id_of(text: &str) -> BatchRef {
    if let Ok(uuid) = text.parse() {
        return BatchRef::Uuid(uuid);
    }
    match text.parse() {
        Ok(ordinal) => BatchRef::Ordinal(ordinal),
        Err(_) => match text.strip_prefix("name:") {
            Some(name) => BatchRef::Name(name.to_owned()),
            None => BatchRef::Text(text.to_owned()),
        },
    }
}

fn action_of(word: &str) -> Result<Action> {
    [Action::Cancel, Action::Pause, Action::Resume, Action::Restart, Action::Forget, Action::CancelAndForget]
        .into_iter()
        .find(|action| action.as_str() == word)
        .ok_or_else(|| Error::invalid("action", "no such action"))
}

fn json_of(body: &RequestBody) -> Result<Value> {
    let bytes = match body {
        RequestBody::Bytes(bytes) => bytes.clone(),
        RequestBody::Form(parts) => match parts.get("job") {
            Some(Part::Small { bytes, .. }) => bytes.clone(),
            _ => return Err(Error::invalid("job", "the form has no part 'job'")),
        },
        RequestBody::Empty => return Err(Error::invalid("body", "there is no body")),
    };
    serde_json::from_slice(&bytes).map_err(|error| Error::invalid("body", error))
}

fn submission(head: &RequestHead, body: RequestBody) -> Result<Submission> {
    let asked = json_of(&body)?;
    let text = |name: &str| asked[name].as_str().map(str::to_owned);
    let mut submission = Submission { unique_name: asked["unique"] == true, ..Submission::default() };
    let spec = &mut submission.spec;
    (spec.file, spec.name, spec.queue, spec.run_as) = (text("file"), text("name"), text("queue"), text("user"));
    spec.jars =
        asked["jars"].as_array().into_iter().flatten().filter_map(|jar| jar.as_str().map(str::to_owned)).collect();
    spec.conf = asked["conf"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect::<Conf>();
    submission.project = text("project").map(Project::from);
    submission.key = match (head.header("idempotency-key"), text("id")) {
        (Some(key), _) => Some(IdempotencyKey { value: key.to_owned(), replay: Replay::FirstAnswer }),
        (None, Some(id)) => Some(IdempotencyKey { value: id, replay: Replay::StoredBatch }),
        (None, None) => None,
    };
    if let RequestBody::Form(parts) = body {
        submission.files = parts
            .into_values()
            .filter_map(|part| match part {
                Part::File(file) => Some(Payload { purpose: Purpose::Application, ..file }),
                Part::Small { .. } => None,
            })
            .collect();
    }
    Ok(submission)
}

fn show(batch: &Batch<BatchId>) -> Value {
    json!({
        "uuid": batch.id.uuid.to_string(),
        "ordinal": batch.id.ordinal,
        "native": batch.id.native.as_ref().map(|id| id.as_str()),
        "state": batch.state.as_str(),
        "attempt": batch.attempt,
        "cancel_asked": batch.cancel_asked,
        "name": batch.spec.name,
        "project": batch.project.as_ref().map(|project| project.as_str()),
        "owner": batch.owner.as_ref().map(|owner| &*owner.name),
        "diagnostic": batch.diagnostic,
        "tail": batch.log_tail,
        "word": batch.native.as_ref().map(|native| &native.word),
    })
}

fn effect_word(effect: Effect) -> String {
    match effect {
        Effect::Accepted => "accepted".into(),
        Effect::Ended(state) => format!("ended:{state}"),
        Effect::AlreadyEnded(state) => format!("already:{state}"),
        Effect::NothingToDo => "nothing".into(),
    }
}

fn status(kind: &ErrorKind) -> StatusCode {
    let status = match kind {
        ErrorKind::InvalidRequest { .. } => 400,
        ErrorKind::Unauthenticated(_) => 401,
        ErrorKind::Forbidden(_) => 403,
        ErrorKind::NotFound(_) => 404,
        ErrorKind::Conflict(_) => 409,
        ErrorKind::IllegalState { .. } => 422,
        ErrorKind::Unsupported { .. } => 501,
        ErrorKind::TooLarge { .. } => 413,
        ErrorKind::Throttled { .. } => 429,
        ErrorKind::BackendRejected => 502,
        ErrorKind::BackendUnavailable { .. } => 503,
        ErrorKind::BackendTimeout => 504,
        ErrorKind::Ambiguous { .. } => 504,
        ErrorKind::Internal => 500,
    };
    StatusCode::from_u16(status).expect("a status")
}

fn answer(status: StatusCode, value: Value) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    *response.status_mut() = status;
    response
}
