//! `POST /api/submits/settle`: a person says what became of an ambiguous submit.
//!
//! The admin listener asks nobody who he is, and what is said here decides whether a client may run its job again. So it is taken from this
//! machine alone, where `batchlingua ledger settle` could write it too, and as JSON by name, which no page can send without being asked first.

use std::net::IpAddr;

use batchlingua_core::{BatchRef, ByHand, Entry, ErrorKind, NativeId, Uuid};
use batchlingua_router::{NotSettled, Peer};
use batchlingua_wire::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde_json::{Map, Value, json};

use super::{Inner, Running, json_answer, message_answer, method_not_allowed, read};

/// Most bytes of what is said, and most characters of each text in it.
const MOST_BYTES: usize = 16 << 10;
const MOST_CHARACTERS: usize = 1024;
const MEMBERS: [&str; 4] = ["id", "as", "native", "by"];

/// What a person says of which submit.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    id: BatchRef,
    outcome: ByHand,
    by: String,
}

impl Inner {
    pub(super) async fn settle<B>(&self, running: &Running, parts: &Parts, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        if parts.method != Method::POST {
            return method_not_allowed("post what became of the submit", "POST");
        }
        if !self.is_here(parts.extensions.get::<Peer>().map(|peer| peer.0)) {
            let message =
                "a submit is settled from the proxy's own machine alone: run `batchlingua ledger settle` there";
            return message_answer(StatusCode::FORBIDDEN, message);
        }
        if !is_json(parts) {
            let message = "the body must be application/json";
            return message_answer(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        }
        let said = match read(body, MOST_BYTES, "16 KiB", running.explaining.within).await {
            Ok(bytes) => parsed(&bytes),
            Err(refusal) => return refusal,
        };
        match said {
            Ok(Said { id, outcome, by }) => answered(running.gateway.settle_by_hand(&id, &outcome, &by).await),
            Err(fault) => message_answer(StatusCode::BAD_REQUEST, &fault),
        }
    }

    fn is_here(&self, peer: Option<IpAddr>) -> bool {
        peer.map(|peer| peer.to_canonical())
            .is_some_and(|peer| peer.is_loopback() || peer == self.address.to_canonical())
    }
}

fn is_json(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn parsed(bytes: &[u8]) -> Result<Said, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| format!("the body is no JSON object: {error}"))?;
    if let Some(unknown) = object.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        return Err(format!("'{unknown}' is not known; there is: {}", MEMBERS.join(", ")));
    }
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.chars().count() <= MOST_CHARACTERS => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(format!("'{name}' must be a text of 1 to {MOST_CHARACTERS} characters")),
    };
    let id = match object.get("id") {
        Some(Value::Number(number)) => number.to_string(),
        _ => text("id")?.ok_or("'id' is missing: the submit's uuid or integer")?,
    };
    let uuid = id.parse::<Uuid>().ok().map(BatchRef::Uuid);
    let id = uuid.or_else(|| id.parse().ok().map(BatchRef::Ordinal)).ok_or("'id' must be a uuid or an integer")?;
    let outcome = match (text("as")?.as_deref(), text("native")?) {
        (Some("accepted"), Some(native)) => ByHand::Accepted(NativeId::new(native)),
        (Some("failed"), None) => ByHand::Failed,
        (Some("accepted"), None) => return Err("'native' is missing: the backend's id of the job".to_owned()),
        (Some("failed"), Some(_)) => return Err("what has failed has no 'native' id".to_owned()),
        (Some(_) | None, _) => return Err("'as' must be accepted or failed".to_owned()),
    };
    Ok(Said { id, outcome, by: text("by")?.unwrap_or_else(|| "somebody".to_owned()) })
}

fn answered(done: Result<Entry, NotSettled>) -> Response<Body> {
    let error = match done {
        Ok(now) => {
            let batch = &now.batch;
            let answer = json!({
                "id": batch.id.uuid.to_string(),
                "phase": now.phase.as_str(),
                "backend": now.backend.as_str(),
                "native": batch.id.native.as_ref().map(|native| native.as_str()),
            });
            return json_answer(StatusCode::OK, &answer);
        }
        Err(error) => error,
    };
    let (status, retry_after) = match &error {
        NotSettled::Unknown => (StatusCode::NOT_FOUND, None),
        NotSettled::NotAmbiguous(_) | NotSettled::Taken(_) => (StatusCode::CONFLICT, None),
        NotSettled::Refused(cause) if cause.kind == ErrorKind::Internal => {
            tracing::error!(cause = cause.detail(), "a submit cannot be settled by hand");
            (StatusCode::INTERNAL_SERVER_ERROR, None)
        }
        NotSettled::Refused(cause) => (StatusCode::SERVICE_UNAVAILABLE, cause.kind.retry_after_seconds()),
    };
    let mut response = message_answer(status, &error.to_string());
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_whole_or_refused() {
        let uuid = Uuid::from_u128(7);
        let accepted = format!(r#"{{"id": "{uuid}", "as": "accepted", "native": "17", "by": "ana"}}"#);
        let outcome = ByHand::Accepted("17".into());
        assert_eq!(parsed(accepted.as_bytes()), Ok(Said { id: BatchRef::Uuid(uuid), outcome, by: "ana".to_owned() }));
        for failed in [r#"{"id": 7, "as": "failed"}"#, r#"{"id": "7", "as": "failed", "native": null}"#] {
            let said = Said { id: BatchRef::Ordinal(7), outcome: ByHand::Failed, by: "somebody".to_owned() };
            assert_eq!(parsed(failed.as_bytes()), Ok(said));
        }
        let long = format!(r#"{{"id": 7, "as": "accepted", "native": "{}"}}"#, "x".repeat(MOST_CHARACTERS + 1));
        for (bad, why) in [
            ("[]", "no JSON object"),
            (r#"{"as": "failed"}"#, "'id' is missing"),
            (r#"{"id": "nightly", "as": "failed"}"#, "uuid or an integer"),
            (r#"{"id": 1.5, "as": "failed"}"#, "uuid or an integer"),
            (r#"{"id": 7, "as": "lost"}"#, "accepted or failed"),
            (r#"{"id": 7, "as": "accepted"}"#, "'native' is missing"),
            (r#"{"id": 7, "as": "accepted", "native": 17}"#, "'native' must be a text"),
            (r#"{"id": 7, "as": "failed", "native": "17"}"#, "has no 'native'"),
            (r#"{"id": 7, "as": "failed", "native_id": "17"}"#, "'native_id' is not known"),
            (&long, "1024 characters"),
        ] {
            let fault = parsed(bad.as_bytes()).expect_err(bad);
            assert!(fault.contains(why), "{bad}: {fault}");
        }
    }
}
