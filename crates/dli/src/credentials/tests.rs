//! What clients show, over whole requests. The signatures are those of the reference's vectors.

use batchlingua_core::Millis;
use batchlingua_wire::Face;
use serde_json::json;

use super::*;
use crate::{
    signature::{sign, tests::SECRET_KEY},
    support::{dialect, enter, face},
};

const V1: &str = "POST /v2.0/0123456789abcdef0123456789abcdef/batches HTTP/1.1\r\nContent-Type: application/json\r\n\
    User-Agent: batchlingua-test/1\r\nX-Project-Id: 0123456789abcdef0123456789abcdef\r\nX-Sdk-Date: 20260102T030405Z\r\n\
    Host: dli.zz-test-1.example.com\r\nContent-Length: 119\r\nAuthorization: SDK-HMAC-SHA256 \
    Access=LINGUAAKEXAMPLE00001, SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, \
    Signature=253e5b2d654f965a6fbb988de5b00676120f9a8f4ab42feb4c32fdadb51440a6\r\n\r\n\
    {\"file\":\"obs://lingua-bucket/jobs/rollup.jar\",\"className\":\"com.example.Rollup\",\"queue\":\"etl_q\",\
    \"name\":\"nightly-rollup\"}";
const V3: &str = "GET /v2.0/0123456789abcdef0123456789abcdef/batches/5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01/state HTTP/1.1\r\n\
    Host: 127.0.0.1:18080\r\nX-Sdk-Date: 20260102T030405Z\r\nAuthorization: SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, \
    SignedHeaders=host;x-sdk-date, Signature=67b17cb7b94ff1e6b47a82b01dc92ae4f2c1168badf533f32bbd32a8f191cb5b\r\n\r\n";
const V4: &str = "DELETE /v2.0/0123456789abcdef0123456789abcdef/batches/5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01 HTTP/1.1\r\n\
    Host: dli.zz-test-1.example.com\r\nContent-Type: application/json\r\nX-Project-Id: 0123456789abcdef0123456789abcdef\r\n\
    X-Sdk-Date: 20260102T030405Z\r\nX-Security-Token: tempTokenExample\r\nAuthorization: SDK-HMAC-SHA256 \
    Access=LINGUAAKEXAMPLE00001, SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token, \
    Signature=604748c73dee1480cb02d219a955f3b92972c8d8b34371a526dce69093fd4987\r\n\r\n";
const V6: &str = "POST /v2.0/0123456789abcdef0123456789abcdef/batches HTTP/1.1\r\nHost: 127.0.0.1:8998\r\n\
    Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: terraform-provider-iac golangsdk/2.0.0\r\n\
    X-Sdk-Date: 20260102T030405Z\r\nX-Project-Id: 0123456789abcdef0123456789abcdef\r\nContent-Length: 60\r\n\
    Authorization: SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, SignedHeaders=accept;content-type;user-agent;x-sdk-date, \
    Signature=5ebb2cc9c6533ca466f37efde518326054afb749159ebb7bb18230ab2c2eb831\r\n\r\n\
    {\"class_name\":\"\",\"file\":\"a.jar\",\"name\":\"n\",\"queue\":\"etl_q\"}\n";
const LIST: &str = "GET /v2.0/p/batches HTTP/1.1\r\nHost: h\r\n";

fn shown_to(face: Face, request: &str) -> Result<Option<Credentials>> {
    let dialect = dialect(json!({}));
    let (head, body) = enter(&dialect, face, request.as_bytes()).expect("a call");
    shown(&head, &body)
}

fn strictly(request: &str) -> Result<Option<Credentials>> {
    shown_to(face(true), request)
}

/// As whoever knows the secret key says it.
fn is_genuine(request: &str) -> bool {
    match strictly(request) {
        Ok(Some(Credentials::Signature { signed, signature, .. })) => sign(SECRET_KEY, &signed) == signature,
        other => panic!("{request}\n{other:?}"),
    }
}

fn refusal(request: &str) -> String {
    let error = strictly(request).expect_err(request);
    assert_eq!(error.kind, ErrorKind::Unauthenticated(Unproven::Unusable), "{request}");
    error.message
}

fn with(headers: &str) -> String {
    format!("{LIST}{headers}\r\n\r\n")
}

#[test]
fn signatures_of_both_sdks_are_genuine_however_often_they_come() {
    for request in [V1, V3, V4, V6] {
        assert!(is_genuine(request), "{request}");
        assert_eq!(strictly(request).expect("readable"), strictly(request).expect("readable"));
    }
    let Ok(Some(Credentials::Signature { access_key, at, security_token, .. })) = strictly(V4) else { panic!() };
    assert_eq!((access_key.as_str(), at), ("LINGUAAKEXAMPLE00001", Millis(1_767_323_045_000)));
    assert_eq!(security_token.as_deref(), Some("tempTokenExample"));
}

#[test]
fn whatever_is_signed_cannot_be_altered() {
    for (request, what, other) in [
        (V1, "batchlingua-test/1", "curl/8"),
        (V1, "nightly-rollup", "nightly-rollUp"),
        (V1, "Host: dli.zz-test-1", "Host: dli.zz-test-2"),
        (V1, "20260102T030405Z", "20260102T030406Z"),
        (V1, "batches HTTP", "batches?a HTTP"),
        (V3, ":18080", ":18081"),
        (V3, "9e01/state", "9e02/state"),
        (V4, "tempToken", "temporaryToken"),
        (V4, "DELETE", "GET"),
        (V6, "golangsdk/2.0.0", "golangsdk/2.0.1"),
        (V6, "\"etl_q\"}\n", "\"etl_q\"} "),
    ] {
        assert!(!is_genuine(&request.replace(what, other)), "{what} for {other}");
    }
    // The host was not signed: a proxy in between may have another.
    assert!(is_genuine(&V6.replace("127.0.0.1:8998", "elsewhere")));
}

#[test]
fn what_the_listener_cuts_off_was_signed_too() {
    let request = V3.replace("GET /v2.0", "GET /gw/v2.0");
    let below = Face { path_prefix: "/gw".to_owned(), ..face(true) };
    let signed_below = match shown_to(below, &request) {
        Ok(Some(Credentials::Signature { signed, .. })) => signed,
        other => panic!("{other:?}"),
    };
    let Ok(Some(Credentials::Signature { signed, .. })) = strictly(V3) else { panic!() };
    assert_ne!(signed_below, signed);
}

#[test]
fn a_signature_that_cannot_be_checked_is_refused_with_the_reason() {
    for (request, what, other, told) in [
        (V1, "X-Sdk-Date: 20260102T030405Z\r\n", "", "X-Sdk-Date is missing"),
        (V1, "20260102T030405Z", "2026-01-02", "X-Sdk-Date must be a time"),
        (V1, "X-Project-Id", "X-Other", "'x-project-id' is missing"),
        (V1, "=content-type;", "=Content-Type;", "'Content-Type' in SignedHeaders"),
        (V1, "=content-type;", "=host;", "'host' stands twice"),
        (V3, "host;x-sdk-date", "host", "must name x-sdk-date"),
        (V3, "Access=", "Acces=", "Authorization cannot be read"),
        (V3, "67b17cb7", "67b17c", "Authorization cannot be read"),
        (V1, "Host:", "X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\nHost:", "must not be UNSIGNED-PAYLOAD"),
        (V1, "Host:", "X-Sdk-Content-Sha256: 0\r\nHost:", "not the hash of the body"),
        (V3, "Host:", "X-Sdk-Date: 20260102T030405Z\r\nHost:", "x-sdk-date stands there several times"),
        (V3, "Host:", "Authorization: x\r\nHost:", "authorization stands there several times"),
    ] {
        let message = refusal(&request.replace(what, other));
        assert!(message.contains(told), "{what} for {other}: {message}");
    }
}

#[test]
fn a_hash_that_the_client_gives_must_be_the_bodys() {
    let hash = "22294120a8ac13fb541e7738317e50cefa085fd4ee50077a7078add345d15bfc";
    assert!(is_genuine(&V1.replace("Host:", &format!("X-Sdk-Content-Sha256: {hash}\r\nHost:"))));
}

#[test]
fn a_signature_counts_before_a_token_and_a_token_before_what_is_not_spoken() {
    let token = Some(Credentials::Token("t0ken".to_owned()));
    assert_eq!(strictly(&with("X-Auth-Token: t0ken")).expect("a token"), token);
    assert_eq!(strictly(&with("X-Auth-Token: t0ken\r\nAuthorization: Basic YTpi")).expect("a token"), token);
    assert!(matches!(
        strictly(&V3.replace("Host:", "X-Auth-Token: t0ken\r\nHost:")),
        Ok(Some(Credentials::Signature { .. }))
    ));
    refusal(&with("X-Auth-Token: t0ken\r\nAuthorization: SDK-HMAC-SHA256 x"));
    assert_eq!(strictly(&with("X-Auth-Token:")).expect("nothing"), None);
    assert_eq!(strictly(&format!("{LIST}\r\n")).expect("nothing"), None);
    for scheme in ["SDK-HMAC-SM3 Access=a", "V11-HMAC-SHA256 x", "SDK-HMAC-SHA256x y", "Basic YTpi", "Bearer x", "x"] {
        let message = refusal(&with(&format!("Authorization: {scheme}")));
        assert!(message.contains("Authorization must be SDK-HMAC-SHA256"), "{scheme}: {message}");
    }
    refusal(&with("X-Auth-Token: a\r\nX-Auth-Token: b"));
    refusal(&with("X-Auth-Token: \u{fc}"));
}

#[test]
fn a_long_token_is_a_token() {
    let long = "x".repeat(65_534);
    assert_eq!(strictly(&with(&format!("X-Auth-Token: {long}"))).expect("a token"), Some(Credentials::Token(long)));
}

#[test]
fn where_nobody_has_to_prove_anything_nothing_is_checked() {
    let shown = |headers: &str| shown_to(face(false), &with(headers)).expect("nothing can be wrong");
    for headers in ["Authorization: SDK-HMAC-SHA256 garbage", "Authorization: x\r\nAuthorization: y", "X-Auth-Token: t"]
    {
        assert_eq!(shown(headers), None, "{headers}");
    }
    let ana = Credentials::Basic { user: "ana".to_owned(), password: String::new() };
    assert_eq!(shown("Authorization: Basic YW5hOg=="), Some(ana));
}
