//! Forms that say too little, too much, or something else than a form may say.

use batchlingua_testkit::mutate::{Form, Part};
use serde_json::json;

use super::{PROGRAM, Stage, framed, program, request};

/// The requests that are refused, with the status and what the message says.
pub(super) fn cases(stage: &Stage) -> Vec<(String, Vec<u8>, u16, &'static str)> {
    const BAD: &str = "HTTP 400 Bad Request";
    const NO_REQUEST: &str = "batchRequest is required and please check the content type";
    const REQUIRED: &str = "requirement failed: ";
    let json = || stage.json("refused");
    let of = |parts: Vec<Part>| request(&Form::new(parts));
    let good = Form::new([program("a.py"), json()]);
    let many = |count: usize, part: fn(usize) -> Part| {
        let parts = (0..count).map(part).chain([program("a.py"), json()]);
        of(parts.collect())
    };
    let value = |at: usize| Part::value(&format!("v{at}"), "1");
    let file = |at: usize| Part::file(&format!("f{at}"), format!("canary-{at}"), "1");
    let typed = |kind: &str| Part { head: Part::value("batchRequest", "").with(kind).head, content: json().content };
    let large = |name: &str| Part::file(name, "canary", "x".repeat(70 << 10));
    let mut all: Vec<(String, Vec<u8>, u16, &'static str)> = vec![
        ("no end".into(), framed(&good.content_type(), &good.without_end()), 400, BAD),
        ("no parts".into(), of(vec![]), 400, BAD),
        ("no body".into(), framed(&good.content_type(), b""), 400, BAD),
        ("no boundary".into(), framed(b"multipart/form-data", &good.body()), 400, BAD),
        ("an empty boundary".into(), framed(b"multipart/form-data; boundary=", &good.body()), 400, BAD),
        ("another boundary".into(), framed(b"multipart/form-data; boundary=other", &good.body()), 400, BAD),
        (
            "a boundary in other letters".into(),
            {
                let upper = good.content_type().to_ascii_uppercase();
                framed(&upper, &good.body())
            },
            400,
            BAD,
        ),
        ("noise".into(), framed(&good.content_type(), &[0xff; 5_000]), 400, BAD),
        ("10,000 values".into(), many(10_000, value), 413, "max_parts"),
        ("10,000 files".into(), many(10_000, file), 413, "max_parts"),
        ("99 parts too many".into(), many(198, value), 413, "max_parts"),
        ("no JSON".into(), of(vec![program("a.py")]), 500, NO_REQUEST),
        (
            "JSON of no type".into(),
            of(vec![program("a.py"), Part::value("batchRequest", json().content)]),
            500,
            NO_REQUEST,
        ),
        ("JSON as text".into(), of(vec![program("a.py"), typed("Content-Type: text/plain")]), 500, NO_REQUEST),
        (
            "JSON under another name".into(),
            of(vec![program("a.py"), Part::value("request", json().content)]),
            500,
            NO_REQUEST,
        ),
        (
            "no JSON in it".into(),
            {
                let broken = Part { content: b"{\"batchType\":".to_vec(), ..json() };
                of(vec![program("a.py"), broken])
            },
            400,
            BAD,
        ),
        (
            "deep JSON in it".into(),
            {
                let deep = format!("{{\"args\":{}", "[".repeat(10_000));
                of(vec![program("a.py"), Part { content: deep.into_bytes(), ..json() }])
            },
            400,
            BAD,
        ),
        (
            "JSON in bytes".into(),
            { of(vec![program("a.py"), Part { content: b"{\"name\":\"\xff\"}".to_vec(), ..json() }]) },
            400,
            BAD,
        ),
        ("a list in it".into(), of(vec![program("a.py"), Part { content: b"[]".to_vec(), ..json() }]), 400, BAD),
        (
            "two JSON parts, the first wrong".into(),
            { of(vec![program("a.py"), stage.json_of("refused", |json| json["batchType"] = json!("FLINK")), json()]) },
            500,
            "FLINK is not in the supported list",
        ),
        ("no file".into(), of(vec![json()]), 500, REQUIRED),
        ("no file name".into(), of(vec![Part::value("resourceFile", PROGRAM), json()]), 500, "fileName"),
        (
            "no name of the file's part".into(),
            { of(vec![Part::new("form-data; filename=\"canary\"", PROGRAM), json()]) },
            500,
            REQUIRED,
        ),
        (
            "a file that is not there".into(),
            {
                let named =
                    stage.json_of("refused", |json| json["extraResourcesMap"] = json!({"spark.files": "b.txt"}));
                of(vec![program("a.py"), named])
            },
            500,
            "[b.txt] are not uploaded",
        ),
        (
            "two files of one name".into(),
            {
                let named = stage.json_of("refused", |json| json["extraResourcesMap"] = json!({"spark.files": "b"}));
                of(vec![program("canary.py"), Part::file("b", "canary.py", "other"), named])
            },
            500,
            REQUIRED,
        ),
        ("a name of 4 KiB".into(), of(vec![program("canary".repeat(700)), json()]), 500, "file name"),
        // A header has no nul.
        ("a name with a nul".into(), of(vec![program("canary\0.py"), json()]), 400, BAD),
        ("a large file".into(), of(vec![large("resourceFile"), json()]), 413, "max_upload"),
        ("a large file behind a good one".into(), of(vec![program("a.py"), json(), large("more")]), 413, "max_upload"),
        (
            "large files that are nothing".into(),
            of(vec![program("a.py"), large("resourceFile"), json()]),
            413,
            "max_upload",
        ),
        (
            "a large value".into(),
            of(vec![program("a.py"), json(), Part::value("v", "x".repeat(20 << 10))]),
            413,
            "max_body",
        ),
        (
            "large JSON".into(),
            {
                let padded = [&json().content[..], &b" ".repeat(20 << 10)].concat();
                of(vec![program("a.py"), Part { content: padded, ..json() }])
            },
            413,
            "max_body",
        ),
        ("a type that no form has".into(), framed(b"multipart/mixed; boundary=x", &good.body()), 415, "HTTP 415"),
    ];
    // Cut within each part of it, as if that were all.
    let body = good.body();
    let end = body.len() - good.boundary.len() - 6;
    for at in (1..end).step_by(29) {
        all.push((format!("cut at {at}"), framed(&good.content_type(), &body[..at]), 400, BAD));
    }
    all
}
