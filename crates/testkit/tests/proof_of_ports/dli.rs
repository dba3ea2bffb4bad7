//! A DLI create that is signed with AK/SK: the signature covers method, path, query, some headers and the raw body.
//!
//! V1, V3 and V7 are the vectors of the dialect's reference: V1 and V3 were computed by Huawei's Python SDK, V7 by golangsdk. The dialect
//! only says what was signed; whether it is right is for whoever knows the key, so the verification is written here as that would do it.

use std::sync::Arc;

use batchlingua_core::{
    Batch, BatchId, BatchKind, BatchRef, BatchSpec, BatchState, Credentials, Detail, DialectName, Error, ErrorKind,
    Extension, Millis, Notes, Operation, Outcome, Principal, Project, Reply, Result, Submission, Unproven, Uuid,
};
use batchlingua_wire::{Body, BodyKind, Decoded, Dialect, RequestBody, RequestHead, Route, Value, encode_reply};
use http::{Method, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{enter, enter_below, json_answer, little_dialect, operation, text};

const PROJECT: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &[u8] = b"linguaSkExample0000000000000000000000001";
const V1: &str = "POST /v2.0/0123456789abcdef0123456789abcdef/batches HTTP/1.1\r\nContent-Type: application/json\r\n\
    User-Agent: batchlingua-test/1\r\nX-Project-Id: 0123456789abcdef0123456789abcdef\r\nX-Sdk-Date: 20260102T030405Z\r\n\
    Host: dli.zz-test-1.example.com\r\nContent-Length: 119\r\nAuthorization: SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, \
    SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, \
    Signature=253e5b2d654f965a6fbb988de5b00676120f9a8f4ab42feb4c32fdadb51440a6\r\n\r\n\
    {\"file\":\"obs://lingua-bucket/jobs/rollup.jar\",\"className\":\"com.example.Rollup\",\"queue\":\"etl_q\",\
    \"name\":\"nightly-rollup\"}";
const V3: &str = "GET /v2.0/0123456789abcdef0123456789abcdef/batches/5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01/state HTTP/1.1\r\n\
    Host: 127.0.0.1:18080\r\nX-Sdk-Date: 20260102T030405Z\r\nAuthorization: SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, \
    SignedHeaders=host;x-sdk-date, Signature=67b17cb7b94ff1e6b47a82b01dc92ae4f2c1168badf533f32bbd32a8f191cb5b\r\n\r\n";
const V7: &str = "GET /v2.0/p%2Fx/batches/a%20b?z=1&a=2&a=1&job_name=n%2Bx+y&empty HTTP/1.1\r\nHost: h\r\n\
    X-Sdk-Date: 20260102T030405Z\r\nAuthorization: SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, SignedHeaders=x-sdk-date, \
    Signature=206a27a2e104e9c8c44a5388b780978f72152203b1a1bda119babc4b474cbb54\r\n\r\n";

struct Dli(DialectName);

static ROUTES: [Route; 3] = [
    Route { name: "create", method: Method::POST, path: "/v2.0/{project_id}/batches", body: BodyKind::Bytes },
    Route { name: "get", method: Method::GET, path: "/v2.0/{project_id}/batches/{batch_id}", body: BodyKind::None },
    Route {
        name: "state",
        method: Method::GET,
        path: "/v2.0/{project_id}/batches/{batch_id}/state",
        body: BodyKind::None,
    },
];

impl Dialect for Dli {
    little_dialect!(ROUTES);

    fn credentials(&self, head: &RequestHead, body: &RequestBody) -> Result<Option<Credentials>> {
        let Some(value) = head.header("authorization") else {
            return Ok(head.header("x-auth-token").map(|token| Credentials::Token(token.to_owned())));
        };
        let refused = || Error::new(ErrorKind::Unauthenticated(Unproven::Unusable), "the signature cannot be read");
        let rest = value.strip_prefix("SDK-HMAC-SHA256 ").ok_or_else(refused)?;
        let part = |name: &str| rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (access_key, names, signature) = part("Access")
            .zip(part("SignedHeaders"))
            .zip(part("Signature"))
            .map(|((a, b), c)| (a, b, c))
            .ok_or_else(refused)?;
        let date = head.header("x-sdk-date").ok_or_else(refused)?;
        let canonical = canonical_request(head, body, names).ok_or_else(refused)?;
        Ok(Some(Credentials::Signature {
            access_key: access_key.to_owned(),
            signed: format!("SDK-HMAC-SHA256\n{date}\n{}", hex(&Sha256::digest(canonical))),
            signature: signature.to_owned(),
            at: instant(date).ok_or_else(refused)?,
            security_token: head.header("x-security-token").map(str::to_owned),
        }))
    }

    fn project(&self, head: &RequestHead) -> Option<Project> {
        Some(head.param(0).into())
    }

    fn decode(&self, head: &RequestHead, body: RequestBody) -> Result<Decoded> {
        let detail = match head.route_name() {
            "create" => {
                return self.create(head, body).map(|submission| Decoded::Operation(Operation::Submit(submission)));
            }
            "state" => Detail::State,
            _ => Detail::Summary,
        };
        let id = Uuid::parse_str(head.param(1)).map_err(|_| Error::invalid("batch_id", "no batch id"))?;
        Ok(Decoded::Operation(Operation::Get(BatchRef::Uuid(id), detail)))
    }

    fn encode(&self, head: &RequestHead, reply: &Reply<BatchId>) -> Response<Body> {
        let Outcome::Submitted { batch, .. } = &reply.outcome else { panic!("a create has one outcome") };
        let size = batch.spec.extensions.iter().find(|extension| extension.name == "sc_type");
        let size = size.map_or(json!("A"), |size| serde_json::from_str(&size.value).expect("JSON text"));
        let body = json!({
            "id": batch.id.uuid.to_string(), "appId": "", "name": batch.spec.name, "owner": batch.owner.as_ref().map(|o| &*o.name),
            "proxyUser": "", "state": "starting", "kind": "spark", "log": [], "sc_type": size,
            "cluster_name": batch.spec.queue, "queue": batch.spec.queue, "create_time": batch.times.created.0,
        });
        let mut answer = json_answer(200, body.to_string());
        answer.headers_mut().insert("X-Request-Id", head.id.as_str().parse().expect("a header value"));
        answer
    }

    fn encode_error(&self, _: &RequestHead, error: &Error) -> Response<Body> {
        json_answer(401, json!({"error_code": "APIGW.0301", "error_msg": error.message}).to_string())
    }
}

impl Dli {
    fn create(&self, head: &RequestHead, body: RequestBody) -> Result<Box<Submission>> {
        let RequestBody::Bytes(bytes) = body else { return Err(Error::invalid("body", "a body is needed")) };
        let text = String::from_utf8_lossy(&bytes);
        let members = Value::parse(&text).and_then(|value| value.members());
        let members = members.map_err(|fault| Error::invalid("body", fault))?;
        let mut spec = BatchSpec { kind: BatchKind::Jar, ..BatchSpec::default() };
        for member in &members.0 {
            let value = || member.value.text().ok().map(std::borrow::Cow::into_owned);
            match member.name.as_ref() {
                "file" => spec.file = value(),
                "className" => spec.class_name = value(),
                "queue" => spec.queue = value(),
                "name" => spec.name = value(),
                other => spec.extensions.push(Extension {
                    dialect: self.0.clone(),
                    name: other.to_owned(),
                    value: member.value.raw().to_owned(),
                }),
            }
        }
        Ok(Box::new(Submission { spec, project: self.project(head), ..Submission::default() }))
    }
}

/// What the client signed, from head and body as they came. `None`: a header that it signed is not there.
fn canonical_request(head: &RequestHead, body: &RequestBody, names: &str) -> Option<String> {
    let decode = |text: &str| percent_decoded(text);
    let mut path = String::new();
    // The listener's prefix is part of what was sent.
    for segment in decode(&(head.face.path_prefix.clone() + &head.target.raw_path)).split('/').skip(1) {
        path = path + "/" + &encoded(segment);
    }
    if !path.ends_with('/') {
        path.push('/');
    }
    let mut query: Vec<_> = head.target.query.iter().collect();
    query.sort_unstable();
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let mut headers = String::new();
    for name in names.split(';') {
        let mut values: Vec<_> =
            head.headers.get_all(name).iter().map(|value| value.to_str().ok()).collect::<Option<_>>()?;
        if values.is_empty() {
            return None;
        }
        values.sort_unstable();
        values.iter().for_each(|value| headers.push_str(&format!("{name}:{}\n", value.trim())));
    }
    let bytes: &[u8] = match body {
        RequestBody::Bytes(bytes) => bytes,
        RequestBody::Empty => b"",
        RequestBody::Form(_) => return None,
    };
    let digest = hex(&Sha256::digest(bytes));
    Some(format!("{}\n{path}\n{}\n{headers}\n{names}\n{digest}", head.method, query.join("&")))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits: String =
            if byte == b'%' { bytes.by_ref().take(2).map(char::from).collect() } else { String::new() };
        out.push(u8::from_str_radix(&digits, 16).unwrap_or(byte));
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20260102T030405Z`.
fn instant(text: &str) -> Option<Millis> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Days since the epoch, with years that begin in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(Millis((days * 86_400 + number(9, 11)? * 3_600 + number(11, 13)? * 60 + number(13, 15)?) * 1_000))
}

/// HMAC-SHA256 with a key of at most one block.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).unwrap_or(&0) ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), message].concat());
    hex(&Sha256::digest([&pad(0x5c)[..], &inner].concat()))
}

async fn credentials_of(request: &str) -> Result<Option<Credentials>> {
    let dli = Dli("dli".into());
    let entered = enter(&dli, request.as_bytes(), "unused".as_ref()).await.expect("a request");
    dli.credentials(&entered.head, &entered.body)
}

/// As whoever knows the key does it.
fn verified(credentials: Option<Credentials>) -> bool {
    let Some(Credentials::Signature { signed, signature, .. }) = credentials else { panic!("a signature") };
    hmac(SECRET, signed.as_bytes()) == signature
}

#[tokio::test]
async fn the_signature_of_a_create_covers_head_and_body() {
    let Some(Credentials::Signature { access_key, signed, signature, at, .. }) =
        credentials_of(V1).await.expect("readable")
    else {
        panic!("a signature")
    };
    assert_eq!(access_key, "LINGUAAKEXAMPLE00001");
    let wanted = "SDK-HMAC-SHA256\n20260102T030405Z\n78cd03c8fd87ecf1ed17d2957905197ec3f9d936fc131c764b9f37705ba08282";
    assert_eq!(signed, wanted);
    assert_eq!(signature, "253e5b2d654f965a6fbb988de5b00676120f9a8f4ab42feb4c32fdadb51440a6");
    assert_eq!(at, Millis(1_767_323_045_000));
    assert_eq!(hmac(SECRET, signed.as_bytes()), signature);

    for (what, with) in [("nightly-rollup", "nightly-rollup".to_uppercase().as_str()), ("batchlingua-test/1", "curl/8")]
    {
        let altered = credentials_of(&V1.replace(what, with)).await.expect("readable");
        assert!(!verified(altered), "{what} is covered");
    }
    let gone = credentials_of(&V1.replace("X-Project-Id", "X-Other")).await.expect_err("a signed header is gone");
    assert_eq!(gone.kind, ErrorKind::Unauthenticated(Unproven::Unusable));
}

#[tokio::test]
async fn ports_escapes_and_prefixes_are_signed_as_they_were_sent() {
    assert!(verified(credentials_of(V3).await.expect("readable")), "the host's port");
    assert!(verified(credentials_of(V7).await.expect("readable")), "escapes and order");
    let (dli, below) = (Dli("dli".into()), V1.replace("POST /v2.0", "POST /gw/v2.0"));
    let entered = enter_below("/gw", &dli, below.as_bytes(), "unused".as_ref()).await.expect("a request");
    let canonical = canonical_request(&entered.head, &entered.body, "host").expect("the header is there");
    let wanted = format!("POST\n/gw/v2.0/{PROJECT}/batches/\n\nhost:dli.zz-test-1.example.com\n\nhost\n");
    assert!(canonical.starts_with(&wanted), "the listener's prefix is part of what was sent: {canonical}");
}

#[tokio::test]
async fn the_same_request_is_the_model_s_submit_and_its_answer_dli_s() {
    let dli = Dli("dli".into());
    let with_size = V1.replace("\"queue\"", "\"sc_type\":\"B\",\"queue\"").replace("119", "133");
    let entered = enter(&dli, with_size.as_bytes(), "unused".as_ref()).await.expect("a request");
    assert_eq!(dli.project(&entered.head), Some(PROJECT.into()));
    let Operation::Submit(submission) = operation(&dli, &entered.head, entered.body).expect("a submit") else {
        panic!("a submit")
    };
    let Submission { spec, files, project, key, unique_name } = *submission;
    let wanted = BatchSpec {
        kind: BatchKind::Jar,
        file: Some("obs://lingua-bucket/jobs/rollup.jar".into()),
        class_name: Some("com.example.Rollup".into()),
        queue: Some("etl_q".into()),
        name: Some("nightly-rollup".into()),
        extensions: vec![Extension { dialect: "dli".into(), name: "sc_type".into(), value: "\"B\"".into() }],
        ..BatchSpec::default()
    };
    assert_eq!((&spec, project, unique_name), (&wanted, Some(PROJECT.into()), false));
    assert!(files.is_empty() && key.is_none());

    let uuid = Uuid::parse_str("5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01").expect("a uuid");
    let mut batch = Batch::new(BatchId { uuid, ordinal: 1, native: None }, BatchState::Queued, Arc::new(spec));
    batch.owner = Some(Principal::unverified("lingua"));
    batch.times.created = Millis(1_767_225_600_123);
    let outcome = Outcome::Submitted { batch: Arc::new(batch), replayed: false };
    let answer = encode_reply(&dli, &entered.head, Reply { outcome, notes: Notes::default() });
    assert_eq!(answer.headers()["X-Request-Id"], "r-1");
    let wanted = r#"{"id":"5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01","appId":"","name":"nightly-rollup","owner":"lingua","proxyUser":"","state":"starting","kind":"spark","log":[],"sc_type":"B","cluster_name":"etl_q","queue":"etl_q","create_time":1767225600123}"#;
    assert_eq!(text(answer).await, (200, wanted.to_owned()));
}

#[tokio::test]
async fn the_project_of_the_path_goes_with_calls_that_name_a_batch() {
    let dli = Dli("dli".into());
    let entered = enter(&dli, V3.as_bytes(), "unused".as_ref()).await.expect("a request");
    assert_eq!(dli.project(&entered.head), Some(PROJECT.into()));
    let got = operation(&dli, &entered.head, entered.body).expect("a get");
    assert!(matches!(got, Operation::Get(BatchRef::Uuid(_), Detail::State)), "{got:?}");
}
