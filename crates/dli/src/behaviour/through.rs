//! A DLI client in front of a DLI: what that DLI answers comes out again as it came, ids aside; and what the client sends arrives.
//!
//! The answers are the reference's own examples, with members that nobody knows and numbers that a parser would write otherwise.

use batchlingua_core::{Backend, Context, Error, Intent, Marker, NativeId, Project, SubmitError, Uuid};
use batchlingua_testkit::{Asked, ManualClock, Origin, Reply, context};
use batchlingua_wire::RequestHead;

use super::*;
use crate::fake;

/// The client's id of the batch, and DLI's.
const OURS: &str = "00000000-0000-0000-0000-000000000007";

fn renamed(text: &str) -> String {
    text.replace(ID, OURS)
}

/// As the router joins them: the row's own, with what only the backend's answer has.
fn shown(seen: Batch<NativeId>, spec: &BatchSpec) -> Arc<Batch<BatchId>> {
    let id = BatchId { uuid: OURS.parse().expect("a uuid"), ordinal: 7, native: Some(seen.id) };
    let row = Batch::new(id, seen.state, Arc::new(spec.clone()));
    Arc::new(Batch { log_tail: seen.log_tail, native: seen.native, ..row })
}

struct House {
    front: crate::dialect::DliDialect,
    backend: crate::backend::DliBackend,
    origin: Origin,
}

impl House {
    async fn over(reply: Reply) -> Self {
        let origin = Origin::start(move |_: Asked| reply.clone()).await;
        let more = json!({"project": "client"});
        let backend = fake::backend(&origin.url(), more, Arc::new(ManualClock::default()));
        Self { front: dialect(json!({})), backend, origin }
    }

    fn answer(&self, head: &RequestHead, result: Result<Outcome<BatchId>, Error>) -> Answer {
        Answer::of(match result {
            Ok(outcome) => self.front.encode(head, &batchlingua_core::Reply { outcome, notes: Notes::default() }),
            Err(error) => self.front.encode_error(head, &error),
        })
    }

    /// What the client is answered to this request, the proxy's own part in it left out.
    async fn ask(&self, request: &[u8]) -> Answer {
        let (head, operation) = asks(&self.front, request);
        let ctx = Context { project: Some(Project::from("p1")), ..context() };
        let native = NativeId::from(format!("p1/{ID}"));
        let known = spec(r#"{"file": "a.jar", "name": "nightly-rollup"}"#);
        let result = match operation {
            Operation::Submit(submission) => {
                let marker = Marker { uuid: Uuid::from_u128(7), name: None };
                let spec = submission.spec;
                let intent = Intent {
                    dialect: "dli".into(),
                    project: submission.project,
                    ..batchlingua_testkit::intent(marker, spec.clone())
                };
                let plan = self.backend.plan(intent).expect("a plan");
                match self.backend.submit(&ctx, plan).await {
                    Ok(batch) => Ok(Outcome::Submitted { batch: shown(batch, &spec), replayed: false }),
                    Err(SubmitError::NotSent(error) | SubmitError::Refused(error) | SubmitError::Unknown(error)) => {
                        Err(error)
                    }
                }
            }
            Operation::Get(_, detail) => {
                self.backend.get(&ctx, &native, detail).await.map(|batch| Outcome::Batch(shown(batch, &known)))
            }
            Operation::List(_) => {
                let backend =
                    fake::backend(&self.origin.url(), json!({"project_id": "p1"}), Arc::new(ManualClock::default()));
                let page = backend.scan(&ctx, None).await;
                page.map(|page| {
                    let rows: Vec<_> = page.rows.into_iter().map(|row| shown(row, &known)).collect();
                    Outcome::Page(batchlingua_core::Page { total: Some(rows.len() as u64), rows, next: None })
                })
            }
            Operation::Log(_, query) => self.backend.log(&ctx, &native, &query).await.map(|log| {
                let id = BatchId { uuid: OURS.parse().expect("a uuid"), ordinal: 7, native: None };
                Outcome::Log(id, log)
            }),
            Operation::Control(_, action) => self.backend.control(&ctx, &native, action).await.map(|effect| {
                let batch = batch(BatchState::Running, known.clone());
                let controlled =
                    batchlingua_core::Controlled { id: batch.id, before: batch.state, result: Ok(effect), after: None };
                Outcome::Controlled(vec![controlled])
            }),
        };
        self.answer(&head, result)
    }
}

const CREATED: &str = r#"{"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","appId":"","name":"nightly-rollup","owner":"lingua","proxyUser":"","state":"starting","kind":"spark","log":[],"sc_type":"B","cluster_name":"etl_q","queue":"etl_q","image":"","create_time":1767225600123,"update_time":1767225600123}"#;
const TERSE: &str = r#"{"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","state":"starting","log":[],"statusCode":0,"message":null,"errorInfo":null,"success":false,"is_success":false,"error_code":null,"error_msg":null}"#;
const SHOWN: &str = r#"{"z_new":{"b":1.50,"a":[1e3]},"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","state":"recovering","appId":null,"log":["stdout: ","stderr: "],"sc_type":"CUSTOMIZED","cluster_name":"etl_q","queue":"etl_q","name":"nightly-rollup","owner":"lingua","proxyUser":"","kind":"spark","duration":61000,"create_time":1767225600123,"update_time":1767225661123,"feature":"basic","spark_version":"3.3.1","req_body":"{\"file\":\"obs://lingua-bucket/jobs/rollup.jar\",\"args\":[]}","big":123456789012345678901234567890}"#;
const LOGGED: &str =
    r#"{"total":2,"new":1.50,"log":["stdout: ","a"],"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","from":0}"#;

#[tokio::test]
async fn what_a_dli_answers_comes_out_as_it_came() {
    let listed = format!(r#"{{"from":0,"total":1,"sessions":[{SHOWN}]}}"#);
    let create = create(r#"{"file": "obs://b/a.jar", "name": "nightly-rollup", "queue": "etl_q"}"#);
    let get = |rest: &str| typed(&format!("GET /v2.0/p1/batches/{OURS}{rest}"), &[], b"");
    for (request, status, came) in [
        (create.clone(), 200, CREATED),
        (create.clone(), 201, CREATED),
        (create, 201, TERSE),
        (get(""), 200, SHOWN),
        (typed("GET /v2.0/p1/batches", &[], b""), 200, &listed),
        (get("/log"), 200, LOGGED),
        (get("/log?from=0&size=2"), 200, LOGGED),
        (typed(&format!("DELETE /v2.0/p1/batches/{OURS}"), &[], b""), 200, r#"{"msg":"deleted"}"#),
    ] {
        let house = House::over(Reply::json(status, came)).await;
        let answer = house.ask(&request).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (status, &"application/json".parse().expect("a value"))
        );
        assert_eq!(String::from_utf8_lossy(&answer.body), renamed(came), "{}", String::from_utf8_lossy(&request));
    }
    let house = House::over(Reply::json(200, SHOWN)).await;
    let state = house.ask(&get("/state")).await;
    assert_eq!(state.json(), json!({"id": OURS, "state": "recovering"}));
}

#[tokio::test]
async fn what_a_dli_refuses_is_told_in_its_own_bytes() {
    let create = create(r#"{"file": "obs://b/a.jar", "queue": "etl_q"}"#);
    let get = typed(&format!("GET /v2.0/p1/batches/{OURS}/state"), &[], b"");
    for (status, kind, body) in [
        (
            400,
            "application/json;charset=utf8",
            r#"{"error_msg":"There is no queue named etl_q","error_code":"DLI.0002", "new": 1.50}"#,
        ),
        (400, "application/json", r#"{"error_code":"DLI.0001","error_msg":"file is wrong"}"#),
        (400, "application/json", r#"{"error_code":"DLI.1028","error_msg":"quota"}"#),
        (429, "application/json", r#"{"error_msg":"slow down","error_code":"APIGW.0308","request_id":"abc"}"#),
        (500, "application/json", r#"{"error_code":"DLI.0999","error_msg":"sorry"}"#),
    ] {
        let house = House::over(Reply::whole(status, kind, body)).await;
        let answer = house.ask(&create).await;
        assert_eq!((answer.status, &*answer.body), (status, body.as_bytes()));
        assert_eq!(answer.headers["content-type"], kind);
        assert_eq!(house.origin.asked().len(), 1, "sent once");
    }
    // By another call's code Terraform would wait for ever.
    let house = House::over(Reply::json(404, r#"{"error_code":"DLI.0023","error_msg":"none"}"#)).await;
    assert_eq!(house.ask(&get).await.failure(), (400, "DLI.0002".to_owned()));
    let house = House::over(Reply::json(401, r#"{"error_code":"APIGW.0301","error_msg":"decrypt token fail"}"#)).await;
    let told = house.ask(&get).await;
    assert_eq!(told.failure().0, 502, "the proxy's credentials are not the client's");
}
