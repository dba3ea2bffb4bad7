//! Recorded exchanges, with the backend in the middle: what a client of a Livy sent goes through the front and the backend to a server that
//! answers as that Livy did, and what it answered comes out again.
//!
//! What is sent is compared with what the client had sent, and what came out with what the Livy had answered: status, headers that a client
//! acts on, and the body byte by byte. A batch is asked for as a whole where a client asks for its state alone, and a log too where he asks
//! for a page of it, so in these cases the server is given a whole that has the recorded part in it.

use std::sync::Arc;

use batchlingua_core::{
    Backend, Batch, BatchId, BatchRef, BatchState, Controlled, Error, Intent, LogQuery, LogSource, NativeId, Notes,
    Operation, Outcome, Page, Reply as Answered, SubmitError, Uuid,
};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply, context, intent, marker, recorded::Answer};
use batchlingua_wire::{Dialect, RequestHead, java::to_vec};
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    fake, names,
    recorded::{EXCEPTIONS, Made, cases, dialect, difference, face, make, our_answer},
    state,
};

/// What is sent otherwise than the client had sent it, and why that is the same to a Livy.
const SENT_OTHERWISE: &[(&str, &str)] = &[
    ("submit/file-query", "Livy drops the query itself"),
    ("submit/scheme-double-slash", "Livy reads a host after two slashes, and drops it itself"),
];

struct Case<'a> {
    name: &'a str,
    request: &'a [u8],
    recorded: &'a Answer,
}

fn object(id: &Value, word: &Value) -> Value {
    let info = json!({"driverLogUrl": null, "sparkUiUrl": null, "executorLogUrls": null});
    json!({"id": id, "name": null, "owner": null, "proxyUser": null, "state": word, "appId": null, "appInfo": info,
           "log": ["stdout: ", "\nstderr: "]})
}

/// The answer as it was recorded, its connection apart.
fn as_recorded(recorded: &Answer) -> Reply {
    let mut headers = recorded.headers.clone();
    for name in ["content-length", "transfer-encoding", "connection", "content-encoding", "date"] {
        headers.remove(name);
    }
    Reply::with_headers(recorded.status, &headers, &recorded.body)
}

/// A log that has this page in it.
fn whole_log(page: &Value) -> Value {
    let number = |name: &str| usize::try_from(page[name].as_u64().unwrap_or(0)).expect("a small number");
    let mut all = vec![json!("not served"); number("total")];
    let lines = page["log"].as_array().expect("lines");
    lines.iter().enumerate().for_each(|(at, line)| all[number("from") + at] = line.clone());
    json!({"id": page["id"], "from": 0, "total": all.len(), "log": all})
}

/// What the server says to each call that the backend makes of this one.
fn server(operation: &Operation<BatchRef>, recorded: &Answer) -> impl Fn(&Asked) -> Reply + Send + Sync + use<> {
    let is_success = (200..300).contains(&recorded.status);
    let body = recorded.json();
    let (is_submit, is_log) = (matches!(operation, Operation::Submit(_)), matches!(operation, Operation::Log(..)));
    let read = match operation {
        // In the letters of its kind.
        Operation::Log(..) if is_success => Reply::json(200, to_vec(&whole_log(&body))),
        // The state alone, or only that it was deleted.
        Operation::Get(..) | Operation::Control(..) if is_success && body.get("appInfo").is_none() => {
            let word = body.get("state").cloned().unwrap_or(json!("running"));
            let deleted = match operation {
                Operation::Control(selection, _) => selection.ids[0].to_string().parse().unwrap_or(0),
                _ => 0,
            };
            Reply::json(200, object(body.get("id").unwrap_or(&json!(deleted)), &word).to_string())
        }
        _ => as_recorded(recorded),
    };
    let answer = as_recorded(recorded);
    move |asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("GET", "/version") => Reply::json(200, r#"{"version":"0.9.0-incubating"}"#),
        ("GET", _) if is_submit => Reply::json(404, r#"{"msg":"Session 'x' not found."}"#),
        ("GET", target) if is_log != target.ends_with("/log?size=-1") => Reply::json(500, "not asked for here"),
        ("GET", _) => read.clone(),
        _ => answer.clone(),
    }
}

fn known(batch: Batch<NativeId>) -> Arc<Batch<BatchId>> {
    let ordinal = batch.id.as_str().parse().expect("a number");
    let id = BatchId { uuid: Uuid::nil(), ordinal, native: Some(batch.id.clone()) };
    Arc::new(Batch {
        log_tail: batch.log_tail,
        native: batch.native,
        app: batch.app,
        owner: batch.owner,
        ..Batch::new(id, batch.state, batch.spec)
    })
}

/// What a client wrote for a batch, as a backend's own name of it.
fn native(called: &BatchRef) -> NativeId {
    NativeId::from(called.to_string())
}

fn of_submit(result: Result<Batch<NativeId>, SubmitError>) -> Result<Outcome<BatchId>, Error> {
    match result {
        Ok(batch) => Ok(Outcome::Submitted { batch: known(batch), replayed: false }),
        Err(SubmitError::Refused(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

/// What the router would make of an operation, as far as the backend is asked.
async fn run(
    backend: &dyn Backend,
    operation: Operation<BatchRef>,
    recorded: &Answer,
) -> Result<Outcome<BatchId>, Error> {
    let ctx = context();
    match operation {
        Operation::Submit(submission) => {
            let intent = Intent { dialect: crate::NAME.into(), ..intent(marker(), submission.spec) };
            of_submit(backend.submit(&ctx, backend.plan(intent).expect("a plan")).await)
        }
        Operation::Get(id, detail) => {
            backend.get(&ctx, &native(&id), detail).await.map(|batch| Outcome::Batch(known(batch)))
        }
        Operation::List(_) => {
            let rows = backend.scan(&ctx, None).await?.rows.into_iter().map(known).collect();
            Ok(Outcome::Page(Page { rows, total: recorded.json()["total"].as_u64(), next: None }))
        }
        Operation::Log(id, LogQuery { lines, .. }) => {
            // A name is a number by the time that a log is asked for.
            let number = recorded.json()["id"].as_u64().map_or_else(|| native(&id), |id| id.to_string().into());
            let ordinal = number.as_str().parse().unwrap_or(0);
            let log = backend.log(&ctx, &number, &LogQuery { lines, source: LogSource::Default }).await?;
            Ok(Outcome::Log(BatchId { uuid: Uuid::nil(), ordinal, native: None }, log))
        }
        Operation::Control(selection, action) => {
            let number = native(&selection.ids[0]);
            let number =
                if number.as_str().parse::<u32>().is_ok() || recorded.status != 200 { number } else { "0".into() };
            let before = backend.get(&ctx, &number, batchlingua_core::Detail::State).await?.state;
            let effect = backend.control(&ctx, &number, action).await?;
            let id = BatchId { uuid: Uuid::nil(), ordinal: 0, native: None };
            Ok(Outcome::Controlled(vec![Controlled { id, before, result: Ok(effect), after: None }]))
        }
    }
}

/// A submit as a Livy takes it, whichever way it is written.
fn as_taken(body: &Value) -> Map<String, Value> {
    let text = |value: &Value| match value {
        Value::Number(_) | Value::Bool(_) => json!(value.to_string()),
        Value::Null => json!("null"),
        other => other.clone(),
    };
    let mut taken = Map::new();
    for (name, value) in body.as_object().expect("an object") {
        let value = match value {
            Value::Null => continue,
            Value::Array(items) => {
                // Empty texts in lists of files name nothing.
                let is_kept = |item: &&Value| name == "args" || **item != json!("");
                json!(items.iter().filter(is_kept).map(text).collect::<Vec<_>>())
            }
            Value::Object(pairs) => {
                Value::Object(pairs.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            }
            Value::String(count) if name.ends_with("Cores") || name == "numExecutors" => {
                json!(count.parse::<i32>().expect("a count"))
            }
            Value::Number(_) if name.ends_with("Cores") || name == "numExecutors" => value.clone(),
            scalar => text(scalar),
        };
        let is_nothing = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
        if !is_nothing {
            taken.insert(name.clone(), value);
        }
    }
    taken
}

fn sent_otherwise(case: &Case<'_>, sent: &Asked, submission: &Value) -> Option<String> {
    let (mut was, mut is) = (as_taken(submission), as_taken(&sent.json()));
    if is.get("name").and_then(Value::as_str).is_some_and(names::is_made) {
        is.remove("name");
    }
    // In whichever order they are written.
    let sorted = |map: &mut Map<String, Value>| map.sort_keys();
    sorted(&mut was);
    sorted(&mut is);
    let differs = was != is || sent.header("x-requested-by") != "batchlingua" || sent.target != "/batches";
    differs.then(|| format!("{}: sent\n  {}\n  {}", case.name, json!(was), json!(is)))
}

/// The recorded body as JSON; of what is no JSON only a Livy can say what it is.
fn submitted(request: &[u8]) -> Option<Value> {
    let (parts, body) = batchlingua_testkit::recorded::recorded_request(request)?;
    let body = crate::recorded::undone(&parts.headers, body.to_vec());
    let text = batchlingua_wire::decode_text(&body).ok()?;
    serde_json::Deserializer::from_str(&text).into_iter::<Value>().next()?.ok()
}

#[derive(Default)]
struct Tally {
    replayed: usize,
    submits: usize,
    states: usize,
    faults: Vec<String>,
}

impl Tally {
    async fn replay(
        &mut self,
        dialect: &dyn Dialect,
        case: Case<'_>,
        head: Box<RequestHead>,
        operation: Operation<BatchRef>,
    ) {
        let origin = Origin::start({
            let server = server(&operation, case.recorded);
            move |asked| server(&asked)
        })
        .await;
        let backend = fake::backend(&origin, json!({}), Arc::new(ManualClock::default()));
        let submission = if matches!(operation, Operation::Submit(_)) { submitted(case.request) } else { None };
        let result = run(&backend, operation, case.recorded).await;
        self.replayed += 1;
        if let Some(submission) = submission {
            self.submits += 1;
            let posts: Vec<_> = origin.asked().into_iter().filter(|asked| asked.method == "POST").collect();
            assert_eq!(posts.len(), 1, "{}: one submit is one POST", case.name);
            let is_known = SENT_OTHERWISE.iter().any(|(name, _)| *name == case.name);
            match sent_otherwise(&case, &posts[0], &submission) {
                Some(fault) if !is_known => self.faults.push(fault),
                None if is_known => self.faults.push(format!("{}: is sent as it came", case.name)),
                Some(_) | None => {}
            }
        }
        if let Ok(Outcome::Submitted { batch, .. } | Outcome::Batch(batch)) = &result {
            self.states += 1;
            let word = case.recorded.json()["state"].as_str().and_then(state::of_word);
            assert_eq!(Some(batch.state), word, "{}", case.name);
            assert_ne!(batch.state, BatchState::Unknown, "{}: no end is invented", case.name);
        }
        let ours = our_answer(match result {
            Ok(outcome) => dialect.encode(&head, &Answered { outcome, notes: Notes::default() }),
            Err(error) => dialect.encode_error(&head, &error),
        });
        self.faults.extend(difference(case.name, case.recorded, &ours));
    }
}

#[tokio::test]
async fn recorded_exchanges_come_out_as_they_were_through_a_backend() {
    let dialect = dialect(json!({}));
    let mut tally = Tally::default();
    for (name, (request, recorded)) in &cases() {
        // A HEAD tells nothing; what differs in the front alone differs here too.
        let is_exception =
            EXCEPTIONS.iter().any(|(case, _)| case == name) && name != "log/ghost" && name != "list/after-field-tests";
        match make(&*dialect, face(false), request) {
            Made::Asks(head, operation) if head.method != Method::HEAD && !is_exception => {
                tally.replay(&*dialect, Case { name, request, recorded }, head, operation).await;
            }
            Made::Asks(..) | Made::Answer(_) => {}
        }
    }
    let Tally { replayed, submits, states, faults } = tally;
    println!(
        "{replayed} recorded exchanges went through the backend and came out the same, {submits} submits and {states} states among them"
    );
    assert!(faults.is_empty(), "{} of {replayed}\n{}", faults.len(), faults.join("\n"));
    assert!(replayed > 200, "{replayed} exchanges");
}
