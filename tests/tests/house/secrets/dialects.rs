//! The same over every dialect: submits by all that can, views by all, refusals where the secret itself is what is wrong, uploads, queries.

use std::path::PathBuf;

use batchlingua_testkit::mutate::{Form, Part};
use serde_json::{Value, json};

use super::{
    Confidant, MARK, assert_kept, assert_redacted, assert_silent, basic, json_of, telling, telling_dli, telling_kyuubi,
};
use crate::client::until;
use crate::jobs::Jobs;
use crate::proxy::Proxy;

/// A proxy that speaks everything, logs everything, and runs uploaded programs by the shell.
pub(super) fn talkative(jobs: &Jobs, more: &str) -> (Proxy, PathBuf) {
    let mut config = jobs.config(4);
    config.dialects = vec!["livy", "kyuubi", "dli", "kylin"];
    let dir = config.dir.clone();
    let uploads = dir.join("uploads").display().to_string();
    config.more.push_str(&format!(
        "python = \"/bin/sh\"\n[limits]\nupload_dir = {uploads:?}\n[log]\nlevel = \"trace\"\n{more}"
    ));
    (Proxy::start(config), dir)
}

/// An upload with a secret in its JSON, in its program, in a part that nobody asked for and in names.
fn telling_upload(jobs: &Jobs, name: &str) -> Form {
    let program = format!("exit 0 # password={MARK}\n");
    let mut request = telling_kyuubi(jobs, name);
    request["resource"] = json!("placeholder");
    Form::new([
        Part::value("password", MARK),
        Part::file("resourceFile", "a.py", program),
        Part::file("token", "secret.txt", MARK),
        Part::value("batchRequest", request.to_string()).with("Content-Type: application/json"),
    ])
}

pub(super) type Headers = Vec<(String, String)>;

/// What proves whose a request is, by its method and target, its body's type, and its body.
pub(super) type Proof<'a> = &'a dyn Fn(&str, &str, &[u8]) -> Headers;

/// Submits in every dialect that can; the uuids of what was taken.
pub(super) fn submit_all(jobs: &Jobs, to: Confidant, auth: Proof<'_>) -> Vec<String> {
    let mut ids = Vec::new();
    let query = format!("?password={MARK}&token={MARK}&x=:{MARK}@");
    for (line, body) in
        [("POST /api/v1/batches", telling_kyuubi(jobs, "kyuubi")), ("POST /v2.0/p/batches", telling_dli(jobs, "dli"))]
    {
        let line = format!("{line}{query}");
        let bytes = body.to_string().into_bytes();
        let headers = auth(&line, "application/json", &bytes);
        let answer = to.send(&line, &borrowed(&headers), "application/json", &bytes);
        assert_silent(&line, &answer);
        let id = json_of(&answer)["id"].as_str().map(str::to_owned);
        ids.push(id.unwrap_or_else(|| panic!("{line}: {} {}", answer.status, String::from_utf8_lossy(&answer.body))));
    }
    let form = telling_upload(jobs, "upload");
    let content_type = String::from_utf8(form.content_type()).expect("a type is text");
    let line = "POST /api/v1/batches";
    let headers = auth(line, &content_type, &form.body());
    let answer = to.send(line, &borrowed(&headers), &content_type, &form.body());
    assert_silent(line, &answer);
    ids.push(json_of(&answer)["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned());
    ids
}

pub(super) fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Every way to look at a batch, and at all of them.
pub(super) fn views(id: &str) -> Vec<String> {
    let query = format!("password={MARK}");
    vec![
        format!("GET /batches?{query}"),
        format!("GET /api/v1/batches?{query}"),
        format!("GET /api/v1/batches/{id}?{query}"),
        format!("GET /api/v1/batches/{id}/localLog?from=0&{query}"),
        format!("GET /v2.0/p/batches?{query}"),
        format!("GET /v2.0/p/batches/{id}?{query}"),
        format!("GET /v2.0/p/batches/{id}/state?{query}"),
        format!("GET /v2.0/p/batches/{id}/log?{query}"),
        format!("GET /kylin/api/jobs?time_filter=4&{query}"),
        format!("GET /kylin/api/jobs?timeFilter=4&pageSize=20&{query}"),
        format!("GET /kylin/api/jobs?limit=15&offset=0&{query}"),
        format!("GET /kylin/api/jobs/{id}/detail?project=p&{query}"),
        format!("GET /kylin/api/jobs/{id}/steps/{id}_00/output?project=p&{query}"),
        format!("GET /kylin/api/jobs/{id}/steps/{id}_00/log?project=p&{query}"),
    ]
}

/// Waits for the end of these; then looks at them in every way.
pub(super) fn follow(to: Confidant, ids: &[String], auth: Proof<'_>) {
    for id in ids {
        until(&format!("batch {id} to end"), || {
            let line = format!("GET /api/v1/batches/{id}");
            let batch = json_of(&to.ask(&line, &borrowed(&auth(&line, "", b"")), None));
            assert_ne!(batch["state"], "ERROR", "{batch}");
            batch["state"] == "FINISHED"
        });
        for line in views(id) {
            let answer = to.ask(&line, &borrowed(&auth(&line, "", b"")), None);
            assert_eq!(answer.status, 200, "{line}: {}", String::from_utf8_lossy(&answer.body));
        }
    }
}

/// Bodies that are refused because of what stands right where the secret is.
fn refused(jobs: &Jobs) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for (line, body) in [
        ("POST /batches", telling(jobs, "refused")),
        ("POST /api/v1/batches", telling_kyuubi(jobs, "refused")),
        ("POST /v2.0/p/batches", telling_dli(jobs, "refused")),
        ("PUT /kylin/api/jobs/status", json!({"password": MARK, "args": [MARK], "conf": {"token": MARK}})),
    ] {
        let with = |member: &str, value: Value| {
            let mut body = body.clone();
            body[member] = value;
            body.to_string().into_bytes()
        };
        let text = body.to_string();
        let file = if body.get("resource").is_some() { "resource" } else { "file" };
        all.extend([
            (line, with("args", json!({"password": MARK}))),
            (line, with("conf", json!({"password": [MARK]}))),
            (line, with("conf", json!({"password": {"x": MARK}}))),
            (line, with(file, json!(format!("s3a://key:{MARK}@bucket/job.py")))),
            (line, with(file, json!("/etc/hosts"))),
            (line, with("args", json!([{"password": MARK}]))),
            (line, text.as_bytes()[..text.len() - 1].to_vec()),
            (line, text.replacen(&format!("\"{MARK}\""), &format!("\"{MARK}\\x\""), 1).into_bytes()),
        ]);
        // Livy reads the object and leaves the rest.
        if line != "POST /batches" {
            all.push((line, [text.as_bytes(), b"x"].concat()));
        }
    }
    all
}

/// The same, where the product's own words repeat the text that they cannot read: its sender may see that, and nobody else.
fn echoed(jobs: &Jobs) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for (line, body) in [
        ("POST /batches", telling(jobs, "refused")),
        ("POST /api/v1/batches", telling_kyuubi(jobs, "refused")),
        ("POST /v2.0/p/batches", telling_dli(jobs, "refused")),
        ("PUT /kylin/api/jobs/status", json!({"password": MARK, "args": [], "conf": {}})),
    ] {
        let text = body.to_string();
        let mut with_text = body.clone();
        with_text["conf"] = json!(format!("password={MARK}"));
        let mut with_list = body.clone();
        with_list["args"] = json!(format!("--password={MARK}"));
        let bare = text.replacen(&format!("\"{MARK}\""), MARK, 1);
        all.extend([(line, bare.into_bytes()), (line, with_text.to_string().into_bytes())]);
        all.push((line, with_list.to_string().into_bytes()));
    }
    all
}

#[test]
fn a_secret_stays_secret_in_every_dialect() {
    let jobs = Jobs::new();
    let (mut proxy, dir) = talkative(&jobs, "");
    let to = Confidant(proxy.client());
    let nobody = |_: &str, _: &str, _: &[u8]| {
        vec![
            ("Authorization".to_owned(), basic("ana", MARK)),
            ("X-Auth-Token".to_owned(), format!("{MARK}-token")),
            ("X-Security-Token".to_owned(), MARK.to_owned()),
            ("Cookie".to_owned(), format!("JSESSIONID={MARK}; a={MARK}")),
        ]
    };
    let ids = submit_all(&jobs, to, &nobody);
    follow(to, &ids, &nobody);
    for (line, body) in refused(&jobs) {
        let answer = to.send(line, &borrowed(&nobody(line, "", b"")), "application/json", &body);
        assert!(answer.status >= 400, "{line}: {answer:?}");
        assert_silent(&format!("{line} {}", String::from_utf8_lossy(&body)), &answer);
    }
    for (line, body) in echoed(&jobs) {
        let answer = to.send(line, &borrowed(&nobody(line, "", b"")), "application/json", &body);
        assert!(answer.status >= 400, "{line}: {answer:?}");
    }
    // Uploads that come to nothing.
    let form = telling_upload(&jobs, "refused");
    let content_type = String::from_utf8(form.content_type()).expect("a type is text");
    for body in [form.without_end(), form.body()[..200].to_vec()] {
        let answer = to.send("POST /api/v1/batches", &[], &content_type, &body);
        assert_eq!(answer.status, 400);
        assert_silent("an upload", &answer);
    }
    proxy.kill();
    proxy.start_again();
    follow(Confidant(proxy.client()), &ids, &nobody);
    assert_redacted(&dir);
    assert_kept(proxy, &dir, &[]);
}
