//! The vectors of the dialect's reference, byte for byte. V1 to V5 were computed by Huawei's Python SDK, V6 and V7 by golangsdk.

use http::HeaderValue;

use super::*;

pub(crate) const ACCESS_KEY: &str = "LINGUAAKEXAMPLE00001";
pub(crate) const SECRET_KEY: &str = "linguaSkExample0000000000000000000000001";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const PROJECT: &str = "0123456789abcdef0123456789abcdef";
const HOST: (&str, &str) = ("host", "dli.zz-test-1.example.com");
const DATED: (&str, &str) = (DATE, "20260102T030405Z");
const JSON: (&str, &str) = ("content-type", "application/json");
const OF_PROJECT: (&str, &str) = ("x-project-id", PROJECT);
const BATCHES: &str = "/v2.0/0123456789abcdef0123456789abcdef/batches";
const V1_BODY: &[u8] = b"{\"file\":\"obs://lingua-bucket/jobs/rollup.jar\",\"className\":\"com.example.Rollup\",\
    \"queue\":\"etl_q\",\"name\":\"nightly-rollup\"}";

struct Vector {
    method: &'static str,
    path: String,
    query: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    signed: &'static str,
    payload: String,
    /// The canonical request's hash, where the reference has it.
    hash: &'static str,
    signature: &'static str,
}

impl Vector {
    fn headers(&self) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header's value"))
        };
        self.headers.iter().map(pair).collect()
    }

    fn check(&self) {
        let headers = self.headers();
        let Self { method, path, query, signed, payload, .. } = self;
        let signable = Signable { method, path, query, headers: &headers, signed_headers: signed, payload };
        let canonical = signable.canonical().expect("all is there");
        if !self.hash.is_empty() {
            assert_eq!(payload_hash(&canonical), self.hash, "{}", String::from_utf8_lossy(&canonical));
        }
        let text = signable.string_to_sign().expect("all is there");
        assert_eq!(text, format!("SDK-HMAC-SHA256\n20260102T030405Z\n{}", payload_hash(&canonical)));
        assert_eq!(sign(SECRET_KEY, &text), self.signature, "{}", String::from_utf8_lossy(&canonical));
        let header = signable.authorization(ACCESS_KEY, SECRET_KEY).expect("all is there");
        let said = Authorization::parse(header.strip_prefix(ALGORITHM).expect("its name")).expect("our own header");
        let wanted = Authorization { access_key: ACCESS_KEY, signed_headers: signed, signature: self.signature };
        assert_eq!(said, wanted);
    }
}

#[test]
fn v1_a_create_with_all_headers() {
    assert_eq!(V1_BODY.len(), 119);
    let signed = "content-type;host;user-agent;x-project-id;x-sdk-date";
    let vector = Vector {
        method: "POST",
        path: BATCHES.to_owned(),
        query: "",
        headers: vec![JSON, HOST, ("user-agent", "batchlingua-test/1"), OF_PROJECT, DATED],
        signed,
        payload: payload_hash(V1_BODY),
        hash: "78cd03c8fd87ecf1ed17d2957905197ec3f9d936fc131c764b9f37705ba08282",
        signature: "253e5b2d654f965a6fbb988de5b00676120f9a8f4ab42feb4c32fdadb51440a6",
    };
    vector.check();
    let wanted = "POST\n/v2.0/0123456789abcdef0123456789abcdef/batches/\n\ncontent-type:application/json\n\
        host:dli.zz-test-1.example.com\nuser-agent:batchlingua-test/1\nx-project-id:0123456789abcdef0123456789abcdef\n\
        x-sdk-date:20260102T030405Z\n\ncontent-type;host;user-agent;x-project-id;x-sdk-date\n\
        22294120a8ac13fb541e7738317e50cefa085fd4ee50077a7078add345d15bfc";
    let headers = vector.headers();
    let signable = Signable {
        method: "POST",
        path: BATCHES,
        query: "",
        headers: &headers,
        signed_headers: signed,
        payload: &vector.payload,
    };
    assert_eq!(String::from_utf8(signable.canonical().expect("all is there")).expect("text"), wanted);
    let wanted = "SDK-HMAC-SHA256 Access=LINGUAAKEXAMPLE00001, \
        SignedHeaders=content-type;host;user-agent;x-project-id;x-sdk-date, \
        Signature=253e5b2d654f965a6fbb988de5b00676120f9a8f4ab42feb4c32fdadb51440a6";
    assert_eq!(signable.authorization(ACCESS_KEY, SECRET_KEY).expect("all is there"), wanted);
}

#[test]
fn v2_a_query_that_needs_escapes() {
    // As a client sends it, which is not in the order of the signature.
    let query = "queue_name=etl_q&size=20&from=0&job_name=nightly+rollup%2Bx/%c3%bc~\
        &job-id=5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01";
    let wanted = "from=0&job-id=5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01&job_name=nightly%20rollup%2Bx%2F%C3%BC~\
        &queue_name=etl_q&size=20";
    assert_eq!(canonical_query(query), wanted);
    assert_eq!(canonical_query(wanted), wanted);
    let vector = Vector {
        method: "GET",
        path: BATCHES.to_owned(),
        query,
        headers: vec![JSON, HOST, OF_PROJECT, DATED],
        signed: "content-type;host;x-project-id;x-sdk-date",
        payload: payload_hash(b""),
        hash: "44da0d5615f632c260f3c70a5401124b97a982453a124b97f225c9f4bb9c8571",
        signature: "9d3ebcbac1cd404ac0ab42a65e419cc1e09e792cffcf0cd1b7f62479a7cbc62a",
    };
    vector.check();
}

#[test]
fn v3_a_host_with_its_port() {
    assert_eq!(payload_hash(b""), EMPTY);
    let vector = Vector {
        method: "GET",
        path: format!("{BATCHES}/5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01/state"),
        query: "",
        headers: vec![("host", "127.0.0.1:18080"), DATED],
        signed: "host;x-sdk-date",
        payload: EMPTY.to_owned(),
        hash: "55b8178dec23aa38109f9b83e66f3fc72971fef70dc9ba24b9cc60668aa897e4",
        signature: "67b17cb7b94ff1e6b47a82b01dc92ae4f2c1168badf533f32bbd32a8f191cb5b",
    };
    vector.check();
}

#[test]
fn v4_a_temporary_key() {
    let vector = Vector {
        method: "DELETE",
        path: format!("{BATCHES}/5f0e7a52-1c3b-4d77-9a10-2b6f4c8d9e01"),
        query: "",
        headers: vec![JSON, HOST, OF_PROJECT, ("x-security-token", "tempTokenExample"), DATED],
        signed: "content-type;host;x-project-id;x-sdk-date;x-security-token",
        payload: EMPTY.to_owned(),
        hash: "0595531da0b988043897a2ac3583a677b89fd48bdddd8431a12a0f783f34dd4f",
        signature: "604748c73dee1480cb02d219a955f3b92972c8d8b34371a526dce69093fd4987",
    };
    vector.check();
}

#[test]
fn v5_blanks_doubled_parameters_and_a_body_that_is_not_signed() {
    let vector = Vector {
        method: "POST",
        path: BATCHES.to_owned(),
        query: "a=2&a=1&B=x&flag=true",
        headers: vec![
            ("content-type", "text/plain"),
            HOST,
            ("x-pad", "  padded  value "),
            (CONTENT_HASH, "UNSIGNED-PAYLOAD"),
            DATED,
        ],
        signed: "content-type;host;x-pad;x-sdk-content-sha256;x-sdk-date",
        payload: "UNSIGNED-PAYLOAD".to_owned(),
        hash: "e24184114e5f596364a179d89cf2322850695e563833bab347406a71ed00a4ca",
        signature: "0dae7ac5fc5b5afe30345e5a1f1b67994fa41d841110c598279798ca13571df2",
    };
    vector.check();
}

#[test]
fn v6_golangsdk_signs_no_host() {
    let body = b"{\"class_name\":\"\",\"file\":\"a.jar\",\"name\":\"n\",\"queue\":\"etl_q\"}\n";
    assert_eq!((body.len(), payload_hash(body)), (60, V6_BODY_HASH.to_owned()));
    let vector = Vector {
        method: "POST",
        path: BATCHES.to_owned(),
        query: "",
        headers: vec![
            ("accept", "application/json"),
            JSON,
            ("user-agent", "terraform-provider-iac golangsdk/2.0.0"),
            DATED,
        ],
        signed: "accept;content-type;user-agent;x-sdk-date",
        payload: payload_hash(body),
        hash: "6bf571b7d89f9481a933d3ee62ea4cba693fba429a596d9151f8faeeddcca6c8",
        signature: "5ebb2cc9c6533ca466f37efde518326054afb749159ebb7bb18230ab2c2eb831",
    };
    vector.check();
}

const V6_BODY_HASH: &str = "5c1332d02e55c0a0412f6179964c345cf7ff2695422e5cb2cda070f850b0c62a";

#[test]
fn v7_an_escaped_slash_is_a_slash() {
    let (path, query) = ("/v2.0/p%2Fx/batches/a%20b", "z=1&a=2&a=1&job_name=n%2Bx+y&empty");
    assert_eq!(canonical_path(path), "/v2.0/p/x/batches/a%20b/");
    assert_eq!(canonical_query(query), "a=1&a=2&empty=&job_name=n%2Bx%20y&z=1");
    let vector = Vector {
        method: "GET",
        path: path.to_owned(),
        query,
        headers: vec![DATED],
        signed: DATE,
        payload: EMPTY.to_owned(),
        hash: "",
        signature: "206a27a2e104e9c8c44a5388b780978f72152203b1a1bda119babc4b474cbb54",
    };
    vector.check();
}

#[test]
fn a_header_that_stands_there_several_times_has_a_line_for_each_in_order() {
    let mut headers = HeaderMap::new();
    for value in ["b", "\u{fc}", "a"] {
        headers.append("x-many", HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    headers.insert(DATE, HeaderValue::from_static("20260102T030405Z"));
    let signable = |signed_headers| Signable {
        method: "GET",
        path: "/",
        query: "",
        headers: &headers,
        signed_headers,
        payload: EMPTY,
    };
    let canonical = signable("x-many;x-sdk-date").canonical().expect("all is there");
    let wanted = "GET\n/\n\nx-many:a\nx-many:b\nx-many:\u{fc}\nx-sdk-date:20260102T030405Z\n\nx-many;x-sdk-date\n";
    assert_eq!(canonical, format!("{wanted}{EMPTY}").into_bytes());
    for (names, fault) in [
        ("x-sdk-date;x-other", Unsignable::Missing("x-other".into())),
        ("X-Sdk-Date", Unsignable::Name("X-Sdk-Date".into())),
        ("x-sdk-date;;x-many", Unsignable::Name(String::new())),
        ("", Unsignable::Name(String::new())),
        ("x-many;x-sdk-date;x-many", Unsignable::Twice("x-many".into())),
        ("x-many", Unsignable::NoDate),
    ] {
        assert_eq!(signable(names).canonical(), Err(fault), "{names}");
    }
}

#[test]
fn bytes_that_are_no_text_are_signed_as_they_are() {
    assert_eq!(canonical_query("a=%FF&a=%fe+"), "a=%FE%20&a=%FF");
    assert_eq!(canonical_path("/%ff/x+y/"), "/%FF/x%2By/");
}

#[test]
fn the_header_is_read_with_any_blanks_and_else_as_a_whole() {
    let hash = "A".repeat(64);
    let (access_key, signed_headers) = ("k", "host;x-sdk-date");
    let wanted = Some(Authorization { access_key, signed_headers, signature: &hash });
    for text in [
        format!(" Access=k, SignedHeaders=host;x-sdk-date, Signature={hash}"),
        format!("  Access=k,SignedHeaders=host;x-sdk-date,Signature={hash} "),
        format!(" Signature = {hash} ,  Access = k , SignedHeaders = host;x-sdk-date"),
    ] {
        assert_eq!(Authorization::parse(&text), wanted, "{text}");
    }
    for text in [
        String::new(),
        "Access=k, SignedHeaders=host".to_owned(),
        format!("Access=, SignedHeaders=host, Signature={hash}"),
        format!("Access=k, SignedHeaders=host, Signature={}", &hash[1..]),
        format!("Access=k, SignedHeaders=host, Signature={}x", &hash[1..]),
        format!("Access=k, Access=k, SignedHeaders=host, Signature={hash}"),
        format!("Access=k, SignedHeaders=host, Signature={hash}, More=1"),
        format!("Access=k, SignedHeaders=host, Signature={hash},"),
        format!("Access=k; SignedHeaders=host; Signature={hash}"),
    ] {
        assert_eq!(Authorization::parse(&text), None, "{text}");
    }
}

#[test]
fn dates_are_moments_and_what_is_no_date_is_none() {
    for (text, at) in [
        ("19700101T000000Z", 0),
        ("20260102T030405Z", 1_767_323_045_000),
        ("20240229T235959Z", 1_709_251_199_000),
        ("20000301T000000Z", 951_868_800_000),
        ("19691231T235959Z", -1_000),
    ] {
        assert_eq!(instant(text), Some(Millis(at)), "{text}");
        assert_eq!(date(Millis(at)), text);
    }
    assert_eq!(date(Millis(1_767_323_045_999)), "20260102T030405Z", "seconds, none too early");
    for text in [
        "",
        "Z",
        "20260102T030405",
        "20260102 030405Z",
        "2026-01-02T03:04:05Z",
        "20230229T000000Z",
        "21000229T000000Z",
        "20261302T030405Z",
        "20260002T030405Z",
        "20260100T030405Z",
        "20260102T240000Z",
        "20260102T036005Z",
        "20260102T030460Z",
        "202601020T30405Z",
        "+0260102T030405Z",
        "２0260102T030405Z",
    ] {
        assert_eq!(instant(text), None, "{text}");
    }
}
