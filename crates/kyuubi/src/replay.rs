//! The backend against the bytes of a real Kyuubi 1.12, and both halves together: what a recorded client asked goes through the front and the
//! backend to a server that answers with the recorded bytes.
//!
//! What is sent must say what the client had said, by the rules of [`as_sent`]. What comes back must be read as the recorded state, and must
//! come out of the front as the same bytes: nothing is added, lost or written anew on the way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use batchlingua_core::{
    Backend, Batch, BatchId, BatchRef, BatchState, Context, DialectName, Effect, Error, ErrorKind, IdempotencyKey,
    Intent, LogQuery, Marker, NativeId, Notes, Operation, Outcome, Page, Purpose, Replay, Reply as Shown, Submission,
    SubmitError, Uuid,
};
use batchlingua_testkit::{Asked, Origin, Reply, context, intent, recorded::recorded_request};
use batchlingua_wire::{RequestBody, decode_text};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    NAME, fake, ids,
    recorded::{Answer, Made, cases, dialect, face, make_in, our_answer},
    state,
};

/// What the client said that a Kyuubi is told in other words, or not at all, since nothing comes of it.
const UNSAID: [&str; 6] = [
    "kyuubi.client.version",
    "kyuubi.client.ipAddress",
    "kyuubi.server.ipAddress",
    "kyuubi.session.connection.url",
    "kyuubi.session.real.user",
    "kyuubi.batch.resource.uploaded",
];

/// A recorded submit as it must be sent: without the `resource` of a form, in whose place a Kyuubi puts the file; texts for scalars, nothing for what is null or empty, one of the two keys for a proxied user, and the
/// batch's id as a Kyuubi writes it.
fn as_sent(body: &Value, id: &str, is_form: bool) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => Value::from(text.clone()),
        other => Value::from(other.to_string()),
    };
    let mut sent: Map<String, Value> = body.as_object().expect("an object").clone();
    sent.retain(|_, value| !value.is_null());
    if is_form {
        sent.remove("resource");
    }
    let batch_type = sent["batchType"].as_str().expect("a type").to_uppercase();
    if batch_type == "PYSPARK" {
        sent.remove("className");
    }
    sent.insert("batchType".into(), batch_type.into());
    for name in ["resource", "className", "name"] {
        if let Some(value) = sent.get_mut(name) {
            *value = text(value);
        }
    }
    if sent.get("name").and_then(Value::as_str).is_some_and(|name| name.trim().is_empty()) {
        sent.remove("name");
    }
    let args = sent.remove("args").and_then(|args| args.as_array().cloned()).unwrap_or_default();
    sent.insert("args".into(), args.iter().map(text).collect());
    let given = sent.remove("conf").and_then(|conf| conf.as_object().cloned()).unwrap_or_default();
    let mut conf: Map<String, Value> =
        given.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), text(value))).collect();
    conf.retain(|key, _| !UNSAID.contains(&key.as_str()));
    let proxied = ["kyuubi.session.proxy.user", "hive.server2.proxy.user"].map(|key| conf.remove(key));
    let proxied = proxied.into_iter().flatten().find(|user| !user.as_str().unwrap_or_default().trim().is_empty());
    conf.extend(proxied.map(|user| ("hive.server2.proxy.user".to_owned(), user)));
    if let Some(session) = conf.remove("kyuubi.session.name") {
        sent.entry("name").or_insert(session);
    }
    conf.insert("kyuubi.batch.id".into(), id.into());
    sent.insert("conf".into(), conf.into());
    let extra = sent.remove("extraResourcesMap").filter(|_| is_form);
    let named = |value: &Value| -> Vec<String> {
        let names = value.as_str().unwrap_or_default().split(',').map(str::trim);
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let extra: Map<String, Value> = extra
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), named(value)))
        .filter(|(key, names)| !key.trim().is_empty() && !names.is_empty())
        .map(|(key, names)| (key, names.join(",").into()))
        .collect();
    if !extra.is_empty() {
        sent.insert("extraResourcesMap".into(), extra.into());
    }
    sent.into()
}

/// Keys in any order: a map has none, and the members are named.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<_, _> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            format!("{map:?}")
        }
        other => other.to_string(),
    }
}

/// The form's first part, which is the JSON, and the contents of the others by their names.
fn parts(asked: &Asked) -> (Value, BTreeMap<String, Vec<u8>>) {
    let body = &asked.body;
    let find = |from: usize, what: &[u8]| body[from..].windows(what.len()).position(|w| w == what).map(|at| from + at);
    let boundary = asked.header("content-type").split("boundary=").nth(1).and_then(|rest| rest.split(';').next());
    let boundary = format!("--{}", boundary.expect("a boundary")).into_bytes();
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some(start) =
        find(at, &boundary).map(|found| found + boundary.len()).filter(|s| body[*s..].starts_with(b"\r\n"))
    {
        let head_end = find(start, b"\r\n\r\n").expect("a head");
        let end = find(head_end, &[b"\r\n", &boundary[..]].concat()).expect("an end");
        let head = String::from_utf8_lossy(&body[start..head_end]).into_owned();
        let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name").to_owned();
        all.push((name, body[head_end + 4..end].to_vec()));
        at = end;
    }
    let (name, json) = all.remove(0);
    assert_eq!(name, "batchRequest");
    (serde_json::from_slice(&json).expect("JSON"), all.into_iter().collect())
}

/// The JSON of a recorded submit.
fn recorded_json(body: &[u8], is_form: bool) -> Value {
    let text = if is_form { String::from_utf8_lossy(body) } else { decode_text(body).expect("a text") };
    let text = text.trim_start_matches('\u{feff}');
    if !is_form {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        return values.next().expect("a value").expect("JSON");
    }
    let at = text.find("name=\"batchRequest\"").expect("a part");
    let start = at + text[at..].find('{').expect("an object");
    let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
    values.next().expect("a value").expect("JSON")
}

fn shown_as(batch: Batch<NativeId>) -> Batch<BatchId> {
    let uuid = ids::parse(batch.id.as_str()).expect("a uuid");
    let id = BatchId { uuid, ordinal: 1, native: Some(batch.id) };
    let mut shown = Batch::new(id, batch.state, batch.spec);
    shown.owner = batch.owner;
    shown.times = batch.times;
    shown.app = batch.app;
    shown.diagnostic = batch.diagnostic;
    shown.native = batch.native;
    shown
}

/// A Kyuubi that answers one recorded call with the recorded bytes, and to whoever looks for a batch that it has none.
async fn server(answer: Vec<u8>) -> Origin {
    let left = Mutex::new(Some(answer));
    Origin::start(move |asked| {
        if asked.target == "/api/v1/version" {
            return Reply::json(200, r#"{"version":"1.12.0"}"#);
        }
        let recorded = left.lock().expect("nobody panics inside").take();
        let id = asked.target.rsplit('/').next().unwrap_or_default().to_owned();
        recorded.map_or_else(
            || Reply::json(404, json!({"message": format!("Invalid batchId: {id}")}).to_string()),
            Reply::raw,
        )
    })
    .await
}

#[derive(Default)]
struct Tally {
    faults: Vec<String>,
    submits: usize,
    gets: usize,
    lists: usize,
    logs: usize,
    sent: usize,
    states: usize,
}

impl Tally {
    fn expect(&mut self, case: &str, what: &str, wanted: &str, got: &str) {
        if wanted != got {
            self.faults.push(format!("{case}: {what}\n  {wanted}\n  {got}"));
        }
    }

    fn state(&mut self, case: &str, recorded: &Value, batch: &Batch<NativeId>) {
        self.states += 1;
        let word = recorded["state"].as_str().unwrap_or_default();
        let is_waiting = word == "INITIALIZED" || (word == "RUNNING" && recorded["appState"] == "PENDING");
        let shown = if is_waiting { "PENDING" } else { word };
        self.expect(case, "state", shown, state::word(batch.state));
        let native = batch.native.as_ref().map(|native| native.word.as_str());
        self.expect(case, "its word", word, native.unwrap_or_default());
    }
}

struct Case<'a> {
    name: &'a str,
    request: &'a [u8],
    /// The answer as it came over the wire.
    wire: Vec<u8>,
    answer: &'a Answer,
    /// Who asks, as far as he said so.
    ctx: Context,
}

impl Case<'_> {
    fn body(&self) -> Bytes {
        recorded_request(self.request).expect("a request").1
    }

    async fn submit(&self, tally: &mut Tally, submission: Submission) -> Result<Outcome<BatchId>, Error> {
        let Submission { spec, files, key, .. } = submission;
        let own = key.filter(|key| key.replay == Replay::StoredBatch).map(|IdempotencyKey { value, .. }| value);
        let answered = self.answer.json()["id"].as_str().map(str::to_owned);
        let id = own.or(answered).unwrap_or_else(|| Uuid::nil().to_string());
        let marker = Marker { uuid: id.parse().expect("a uuid"), name: None };
        let contents: BTreeMap<_, _> = files
            .iter()
            .filter(|file| file.purpose != Purpose::Conf(Vec::new()))
            .map(|file| {
                let part = if file.purpose == Purpose::Application { "resourceFile" } else { &file.file_name };
                (part.to_owned(), std::fs::read(&file.path).expect("spooled"))
            })
            .collect();
        let is_form = !files.is_empty();
        let intent = Intent { dialect: DialectName::from(NAME), files: Arc::new(files), ..intent(marker, spec) };
        let origin = server(self.wire.clone()).await;
        let backend = fake::backend(&origin.url(), json!({"auth": {"caller": true}}));
        let plan = backend.plan(intent)?;
        let result = backend.submit(&self.ctx, plan).await;
        let asked = origin.asked();
        let post = asked.iter().find(|asked| asked.method == "POST").expect("it was sent");
        let (mut sent, sent_files) = if is_form { parts(post) } else { (post.json(), BTreeMap::new()) };
        if is_form {
            let placeholder = sent.as_object_mut().and_then(|sent| sent.remove("resource"));
            assert!(placeholder.is_some_and(|resource| resource.is_string()), "1.10 and later want one");
        }
        if self.is_plain_json() {
            tally.sent += 1;
            let wanted = as_sent(&recorded_json(&self.body(), is_form), &id, is_form);
            tally.expect(self.name, "what is sent", &sorted(&wanted), &sorted(&sent));
        }
        tally.expect(self.name, "files", &format!("{contents:?}"), &format!("{sent_files:?}"));
        match result {
            Ok(batch) => {
                tally.state(self.name, &self.answer.json(), &batch);
                Ok(Outcome::Submitted { batch: Arc::new(shown_as(batch)), replayed: false })
            }
            Err(SubmitError::Refused(error)) => Err(error),
            Err(error) => panic!("{}: {error:?}", self.name),
        }
    }

    /// Bodies of other encodings, or of which there are two, are the front's affair.
    fn is_plain_json(&self) -> bool {
        !self.name.contains("utf-16") && !self.name.contains("twice")
    }

    async fn ask(&self, tally: &mut Tally, operation: Operation<BatchRef>) -> Option<Result<Outcome<BatchId>, Error>> {
        let ctx = &self.ctx;
        let origin = server(self.wire.clone()).await;
        let backend = fake::backend(&origin.url(), json!({}));
        Some(match operation {
            Operation::Submit(submission) => {
                tally.submits += 1;
                self.submit(tally, *submission).await
            }
            Operation::Get(wanted, detail) => {
                tally.gets += 1;
                let id = NativeId::from(wanted.to_string());
                let result = backend.get(ctx, &id, detail).await;
                let asked = origin.asked().remove(0);
                tally.expect(self.name, "target", &format!("/api/v1/batches/{id}"), &asked.target);
                result.map(|batch| {
                    tally.state(self.name, &self.answer.json(), &batch);
                    Outcome::Batch(Arc::new(shown_as(batch)))
                })
            }
            Operation::List(_) => {
                tally.lists += 1;
                let page = backend.scan(ctx, None).await;
                page.map(|page| {
                    for (row, recorded) in page.rows.iter().zip(self.answer.json()["batches"].as_array().expect("rows"))
                    {
                        tally.state(self.name, recorded, row);
                    }
                    let rows = page.rows.into_iter().map(|row| Arc::new(shown_as(row))).collect();
                    Outcome::Page(Page { rows, total: None, next: None })
                })
            }
            Operation::Log(wanted, LogQuery { lines, source }) => {
                tally.logs += 1;
                let id = NativeId::from(wanted.to_string());
                let uuid = ids::parse(id.as_str()).expect("a uuid");
                let log = backend.log(ctx, &id, &LogQuery { lines, source }).await;
                log.map(|log| Outcome::Log(BatchId { uuid, ordinal: 1, native: Some(id) }, log))
            }
            // What a DELETE did is seen by other reads, and told in the front's own words.
            Operation::Control(..) => return None,
        })
    }
}

/// Where what comes out is not what came in, and why; checked to differ.
const EXCEPTIONS: &[(&str, &str)] =
    &[("submit/id-other-user", "an id that is another user's batch is nobody else's to see")];

#[test]
fn recorded_exchanges_pass_through_both_halves() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let front = dialect(json!({}));
    let mut tally = Tally::default();
    let mut same = 0;
    for (name, (request, wire, answer)) in &cases() {
        let spool = tempfile::tempdir().expect("a folder");
        let Made::Asks(head, operation) = make_in(&*front, face(), request, &spool) else { continue };
        // A HEAD is answered without the body that would tell, and once a Kyuubi did not answer at all.
        if head.method == http::Method::HEAD || answer.status == 0 {
            continue;
        }
        let caller =
            front.credentials(&head, &RequestBody::Empty).expect("credentials that the front takes").map(Arc::new);
        let ctx = Context { dialect: DialectName::from(NAME), caller, ..context() };
        let case = Case { name, request, wire: wire.clone(), answer, ctx };
        let Some(outcome) = runtime.block_on(case.ask(&mut tally, operation)) else { continue };
        let ours = our_answer(match outcome {
            Ok(outcome) => front.encode(&head, &Shown { outcome, notes: Notes::default() }),
            Err(error) => front.encode_error(&head, &error),
        });
        let show = |answer: &Answer| {
            let kept = ["content-type", "location", "retry-after", "www-authenticate"]
                .map(|name| answer.header(name).to_owned());
            format!("{} {kept:?} {}", answer.status, String::from_utf8_lossy(&answer.body))
        };
        let faults = tally.faults.len();
        let is_exception = EXCEPTIONS.iter().any(|(case, _)| case == name);
        let is_same = show(answer) == show(&ours);
        assert!(!(is_exception && is_same), "{name} is the same, and no exception");
        if !is_exception {
            tally.expect(name, "what the client is answered", &show(answer), &show(&ours));
        }
        same += usize::from(is_same && tally.faults.len() == faults);
    }
    let Tally { faults, submits, gets, lists, logs, sent, states } = tally;
    println!(
        "{same} of {} recorded exchanges come out as they came in ({submits} submits, {gets} gets, {lists} lists, {logs} logs); \
         {sent} bodies of submits are sent as they were meant, {states} states are read as they were",
        submits + gets + lists + logs
    );
    assert!(submits > 70 && gets > 30 && lists > 40 && logs > 25 && sent > 60 && states > 300);
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// What a recorded DELETE was answered is read, whatever its length and its text; what came of it is seen by the look after it.
#[test]
fn recorded_deletes_are_read() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let front = dialect(json!({}));
    let (mut read, mut refused) = (0, 0);
    for (name, (request, wire, answer)) in &cases() {
        let spool = tempfile::tempdir().expect("a folder");
        let Made::Asks(_, Operation::Control(selection, action)) = make_in(&*front, face(), request, &spool) else {
            continue;
        };
        let id = NativeId::from(selection.ids[0].to_string());
        let (wire, deleted) = (wire.clone(), Mutex::new(false));
        let object = |state: &str| {
            json!({"id": id.as_str(), "user": "anonymous", "state": state, "createTime": 1, "appStartTime": 2, "appId": "3"}).to_string()
        };
        let (live, over) = (object("RUNNING"), object("CANCELED"));
        let effect = runtime.block_on(async {
            let origin = Origin::start(move |asked| {
                let mut deleted = deleted.lock().expect("nobody panics inside");
                match (asked.method.as_str(), *deleted) {
                    ("DELETE", _) => {
                        *deleted = true;
                        Reply::raw(wire.clone())
                    }
                    (_, false) => Reply::json(200, &live),
                    (_, true) => Reply::json(200, &over),
                }
            })
            .await;
            let backend = fake::backend(&origin.url(), json!({}));
            let effect = backend.control(&context(), &id, action).await;
            let sent = origin.asked().into_iter().find(|asked| asked.method == "DELETE").expect("it was sent");
            assert_eq!(sent.target, format!("/api/v1/batches/{id}"), "{name}");
            effect
        });
        match (answer.status, effect) {
            (200, Ok(effect)) => {
                assert_eq!(effect, Effect::Ended(BatchState::Cancelled), "{name}");
                read += 1;
            }
            (404, Err(error)) => {
                assert!(matches!(error.kind, ErrorKind::NotFound(_)), "{name}: {error:?}");
                refused += 1;
            }
            (status, effect) => panic!("{name}: {effect:?} of {status}"),
        }
    }
    println!("{read} recorded DELETEs are read, {refused} are of batches that are not there");
    assert!(read >= 10 && refused >= 2);
}

#[test]
fn an_end_is_never_read_from_what_is_none() {
    for word in ["INITIALIZED", "PENDING", "RUNNING", "COMPILED", "UNKNOWN"] {
        for app in [None, Some("PENDING"), Some("NOT_FOUND"), Some("FINISHED"), Some("KILLED"), Some("UNKNOWN")] {
            assert!(!state::read(word, app).unwrap_or(BatchState::Running).is_end(), "{word} {app:?}");
        }
    }
}
