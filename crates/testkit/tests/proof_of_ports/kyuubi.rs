//! A Kyuubi upload: the file comes first, the JSON that says what to do with it last.

use std::{fs, sync::Arc};

use batchlingua_core::{
    Batch, BatchId, BatchKind, BatchSpec, BatchState, Credentials, DialectName, Error, ErrorKind, Millis, NativeError,
    Notes, Operation, Outcome, Payload, Principal, Purpose, Reply, Result, Submission, Uuid,
};
use batchlingua_wire::{
    Body, BodyKind, Decoded, Dialect, Members, Part, RequestBody, RequestHead, Route, Value, basic_credentials,
    encode_reply,
};
use http::{Method, Response};
use serde_json::json;

use crate::{enter, json_answer, little_dialect, operation, text};

const JSON_LAST: &[u8] = include_bytes!("kyuubi-json-last.request.http");
const EXTRA_FILES: &[u8] = include_bytes!("kyuubi-extra-files.request.http");

struct Kyuubi(DialectName);

static ROUTES: [Route; 1] =
    [Route { name: "submit", method: Method::POST, path: "/api/v1/batches", body: BodyKind::FormOrBytes }];

impl Dialect for Kyuubi {
    little_dialect!(ROUTES);

    fn credentials(&self, head: &RequestHead, _: &RequestBody) -> Result<Option<Credentials>> {
        Ok(basic_credentials(&head.headers))
    }

    fn decode(&self, _: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let RequestBody::Form(mut parts) = body else { return Err(Error::invalid("body", "a form is needed")) };
        let json =
            match parts.remove("batchRequest") {
                Some(Part::Small { content_type: Some(kind), bytes }) if kind.starts_with("application/json") => bytes,
                _ => return Err(self.unmet(
                    "batchRequest is required and please check the content type of batchRequest is application/json",
                )),
            };
        let json = String::from_utf8_lossy(&json).into_owned();
        let request = Value::parse(&json).and_then(|value| value.members());
        let request = request.map_err(|fault| Error::invalid("batchRequest", fault))?;
        let mut file = |name: &str| match parts.remove(name) {
            Some(Part::File(file)) if file.part == "resourceFile" || file.file_name == name => Ok(file),
            _ => Err(self
                .unmet(&format!("required extra resource files [{name}] are not uploaded in the multipart form data"))),
        };
        let mut files = vec![Payload { purpose: Purpose::Application, ..file("resourceFile")? }];
        for (key, names) in map(&request, "extraResourcesMap") {
            for name in names.split(',').filter(|name| !name.trim().is_empty()) {
                files.push(Payload { purpose: Purpose::Conf(vec![key.clone()]), ..file(name)? });
            }
        }
        let list = |name: &str| request.get(name).and_then(|value| value.items().ok()).unwrap_or_default();
        let spec = BatchSpec {
            kind: match word(&request, "batchType").as_deref() {
                Some("PYSPARK") => BatchKind::Python,
                _ => BatchKind::Jar,
            },
            file: Some(files[0].file_name.clone()),
            class_name: word(&request, "className"),
            args: list("args").iter().filter_map(|arg| Some(arg.text().ok()?.into_owned())).collect(),
            name: word(&request, "name"),
            conf: map(&request, "conf").into_iter().collect(),
            ..BatchSpec::default()
        };
        Ok(Decoded::Operation(Operation::Submit(Box::new(Submission { spec, files, ..Submission::default() }))))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        let Outcome::Submitted { batch, replayed } = &reply.outcome else { panic!("a submit has one outcome") };
        let info = if *replayed { json!({"kyuubi.batch.duplicated": "true"}) } else { json!({}) };
        let state = match batch.state {
            BatchState::Queued | BatchState::Starting => "PENDING",
            BatchState::Running | BatchState::Paused => "RUNNING",
            BatchState::Succeeded => "FINISHED",
            BatchState::Failed | BatchState::Unknown => "ERROR",
            BatchState::Cancelled => "CANCELED",
        };
        let kind = if batch.spec.kind == BatchKind::Python { "PYSPARK" } else { "SPARK" };
        let body = json!({
            "id": batch.id.uuid.to_string(), "user": batch.owner.as_ref().map(|owner| &*owner.name), "batchType": kind,
            "name": batch.spec.name, "appStartTime": batch.times.started.map_or(0, |at| at.0), "appId": batch.app.id,
            "appUrl": batch.app.url, "appState": null, "appDiagnostic": batch.diagnostic,
            "kyuubiInstance": head.face.public_url.trim_start_matches("http://"), "state": state,
            "createTime": batch.times.created.0, "endTime": batch.times.ended.map_or(0, |at| at.0), "batchInfo": info,
        });
        json_answer(200, body.to_string())
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        match &error.native {
            Some(native) => json_answer(native.status, native.body.clone()),
            None => json_answer(400, json!({"message": error.message}).to_string()),
        }
    }
}

impl Kyuubi {
    /// Kyuubi's own words, with its own status.
    fn unmet(&self, requirement: &str) -> Error {
        let body = json!({"message": format!("requirement failed: {requirement}")}).to_string().into();
        let (dialect, content_type) = (self.0.clone(), "application/json".to_owned());
        let native = NativeError { dialect, status: 500, content_type, body };
        Error { native: Some(Box::new(native)), ..Error::invalid("batchRequest", requirement) }
    }
}

fn word(request: &Members<'_>, name: &str) -> Option<String> {
    Some(request.get(name)?.text().ok()?.into_owned())
}

fn map(request: &Members<'_>, name: &str) -> Vec<(String, String)> {
    let members = request.get(name).and_then(|value| value.members().ok()).unwrap_or_default();
    let pair = |member: &batchlingua_wire::Member<'_>| {
        Some((member.name.clone().into_owned(), member.value.text().ok()?.into_owned()))
    };
    members.0.iter().filter_map(pair).collect()
}

async fn submission(bytes: &[u8], spool: &std::path::Path) -> Result<Submission> {
    let kyuubi = Kyuubi("kyuubi".into());
    let entered = enter(&kyuubi, bytes, spool).await?;
    match operation(&kyuubi, &entered.head, entered.body)? {
        Operation::Submit(submission) => Ok(*submission),
        other => panic!("no submit: {other:?}"),
    }
}

#[tokio::test]
async fn a_file_is_spooled_before_the_json_that_comes_last_is_read() {
    let spool = tempfile::tempdir().expect("a directory");
    let Submission { spec, files, project, key, unique_name } =
        submission(JSON_LAST, spool.path()).await.expect("a submit");
    assert_eq!(
        (spec.kind, spec.file.as_deref(), spec.name.as_deref()),
        (BatchKind::Python, Some("hello.py"), Some("up"))
    );
    assert_eq!((spec.args.as_slice(), spec.conf.get("spark.master")), (&["x".to_owned()][..], Some("local")));
    assert_eq!((project, key, unique_name), (None, None, false));
    let [file] = files.as_slice() else { panic!("one file: {files:?}") };
    let script = "import sys, time\nprint(\"hello from python\", sys.argv[1:], flush=True)\ntime.sleep(3)\nprint(\"bye\", flush=True)\n";
    assert_eq!(fs::read_to_string(&file.path).expect("spooled"), script);
    assert!(file.path.starts_with(spool.path()));
    assert_eq!((file.part.as_str(), file.file_name.as_str()), ("resourceFile", "hello.py"));
    assert_eq!((file.bytes, &file.purpose), (script.len() as u64, &Purpose::Application));
}

#[tokio::test]
async fn every_extra_file_says_which_conf_key_it_is_for() {
    let spool = tempfile::tempdir().expect("a directory");
    let submission = submission(EXTRA_FILES, spool.path()).await.expect("a submit");
    assert_eq!(
        submission.spec.conf.get("spark.files"),
        Some("/srv/jobs/count.py"),
        "the place is appended by the backend"
    );
    let shown: Vec<_> = submission.files.iter().map(|file| (file.file_name.as_str(), file.purpose.clone())).collect();
    let conf = |key: &str| Purpose::Conf(vec![key.to_owned()]);
    assert_eq!(
        shown,
        [
            ("hello.py", Purpose::Application),
            ("util.py", conf("spark.submit.pyFiles")),
            ("a.txt", conf("spark.files")),
            ("b.txt", conf("spark.files")),
        ]
    );
}

#[tokio::test]
async fn a_json_part_of_another_type_is_refused_in_kyuubis_words() {
    let spool = tempfile::tempdir().expect("a directory");
    let text_plain = String::from_utf8_lossy(JSON_LAST).replace("Type: application/json", "Type: text/plain");
    let error = submission(text_plain.as_bytes(), spool.path()).await.expect_err("the wrong type");
    assert!(matches!(error.kind, ErrorKind::InvalidRequest { .. }));
    let kyuubi = Kyuubi("kyuubi".into());
    let head = enter(&kyuubi, JSON_LAST, spool.path()).await.expect("a head").head;
    let wanted = r#"{"message":"requirement failed: batchRequest is required and please check the content type of batchRequest is application/json"}"#;
    assert_eq!(text(kyuubi.encode_error(&head, &error)).await, (500, wanted.to_owned()));
}

#[tokio::test]
async fn the_answer_is_what_kyuubi_gave_to_the_same_bytes() {
    let spool = tempfile::tempdir().expect("a directory");
    let kyuubi = Kyuubi("kyuubi".into());
    let entered = enter(&kyuubi, JSON_LAST, spool.path()).await.expect("a request");
    let Operation::Submit(submission) = operation(&kyuubi, &entered.head, entered.body).expect("a submit") else {
        panic!("a submit")
    };
    let uuid = Uuid::parse_str("fdae3704-ea8a-4279-aeda-7bac5344d51a").expect("a uuid");
    let id = BatchId { uuid, ordinal: 1, native: None };
    let mut batch = Batch::new(id, BatchState::Queued, Arc::new(submission.spec));
    batch.owner = Some(Principal::anonymous());
    batch.times.created = Millis(1_795_362_649_037);
    let outcome = Outcome::Submitted { batch: Arc::new(batch), replayed: false };
    let answer = encode_reply(&kyuubi, &entered.head, Reply { outcome, notes: Notes::default() });
    let wanted = r#"{"id":"fdae3704-ea8a-4279-aeda-7bac5344d51a","user":"anonymous","batchType":"PYSPARK","name":"up","appStartTime":0,"appId":null,"appUrl":null,"appState":null,"appDiagnostic":null,"kyuubiInstance":"127.0.0.1:10099","state":"PENDING","createTime":1795362649037,"endTime":0,"batchInfo":{}}"#;
    assert_eq!(text(answer).await, (200, wanted.to_owned()));
}
