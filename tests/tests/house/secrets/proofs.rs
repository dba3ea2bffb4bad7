//! Where everybody has to prove who he is: what he shows for it, right or wrong, is written nowhere either. Passwords go in by
//! `batchlingua passwd`, tokens and keys by the configuration; sessions and signatures come into being meanwhile.

use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::dialects::{Headers, borrowed, follow, submit_all, talkative, views};
use super::signing::Key;
use super::{Confidant, MARK, assert_kept, assert_redacted, assert_silent, assert_without, basic, json_of};
use crate::jobs::Jobs;
use crate::proxy;

/// `batchlingua passwd` with one line of standard input.
fn set_password(file: &Path, user: &str, password: &str) {
    let mut child = Command::new(proxy::binary())
        .args(["passwd".as_ref(), "--file".as_ref(), file.as_os_str(), user.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("it has a standard input");
    writeln!(stdin, "{password}").expect("it reads");
    drop(stdin);
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    assert_without("what passwd says", &[ended.stdout, ended.stderr].concat());
}

#[test]
fn who_proves_himself_leaves_no_trace_of_how() {
    let jobs = Jobs::new();
    let folder = tempfile::tempdir().expect("a folder for passwords");
    let (file, password) = (folder.path().join("passwords"), format!("{MARK}-password"));
    set_password(&file, "ana", &password);
    assert_without("the password file", &fs::read(&file).expect("it was written"));
    let token = format!("{MARK}-token");
    let key = Key { access_key: "AKEXAMPLE", secret_key: format!("{MARK}-secret-key") };
    let auth = format!(
        "[auth]\npassword_file = {:?}\n[auth.user.ana]\nadministrator = true\n[[auth.token]]\ntoken = {token:?}\nuser = \"ana\"\n\
         [[auth.key]]\naccess_key = {:?}\nsecret_key = {:?}\nuser = \"ana\"\n",
        file.display().to_string(),
        key.access_key,
        key.secret_key,
    );
    let (mut proxy, dir) = talkative(&jobs, &auth);
    let to = Confidant(proxy.client());

    // Each by what its own clients show; DLI once by its token and once by a signature.
    let authorization = basic("ana", &password);
    let by_token = |line: &str, _: &str, _: &[u8]| match line.contains("/v2.0/") {
        true => vec![("X-Auth-Token".to_owned(), token.clone())],
        false => vec![("Authorization".to_owned(), authorization.clone())],
    };
    let signatures = RefCell::new(Vec::new());
    let by_signature = |line: &str, content_type: &str, body: &[u8]| match line.contains("/v2.0/") {
        true => {
            let signed = key.sign(line, content_type, body);
            signatures.borrow_mut().push(signed[1].1.rsplit('=').next().expect("a signature").to_owned());
            signed
        }
        false => vec![("Authorization".to_owned(), authorization.clone())],
    };
    let mut ids = submit_all(&jobs, to, &by_token);
    ids.extend(submit_all(&jobs, to, &by_signature));
    follow(to, &ids, &by_signature);

    // Kylin's cookie.
    let login = to.ask("POST /kylin/api/user/authentication", &[("Authorization", &authorization)], None);
    let cookie = login.header("set-cookie").and_then(|set| set.split(';').next().map(str::to_owned)).expect("a cookie");
    let session = cookie.split_once('=').expect("a name and a value").1.to_owned();
    let list = to.ask("GET /kylin/api/jobs?time_filter=4", &[("Cookie", &cookie)], None);
    assert_eq!(list.status, 200);

    // What is wrong proves nothing, and is nobody's business either.
    let forged = Key { access_key: "AKEXAMPLE", secret_key: format!("{MARK}-another") };
    let forged = forged.sign("GET /v2.0/p/batches", "", b"");
    let wrong: Vec<Headers> = vec![
        vec![("Authorization".into(), basic("ana", MARK))],
        vec![("Authorization".into(), format!("Basic {MARK}"))],
        vec![("Authorization".into(), format!("Bearer {MARK}"))],
        vec![("Authorization".into(), format!("Digest username=\"ana\", response=\"{MARK}\""))],
        vec![(
            "Authorization".into(),
            format!("SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host, Signature={MARK}"),
        )],
        vec![("X-Auth-Token".into(), format!("{MARK}-tokem"))],
        vec![("Cookie".into(), format!("{}x", cookie.replace(&session, MARK)))],
        forged,
    ];
    for line in views("0f6c1b1e-0000-4000-8000-000000000000") {
        // Not all of them get a line in the log; each kind does, since these come first for one view.
        for headers in &wrong {
            let answer = to.0.exchange(&line, &borrowed(headers), None).expect("an answer");
            assert!(matches!(answer.status, 400 | 401 | 403 | 500), "{line} {headers:?}: {}", answer.status);
            let is_login_page = answer.status == 401;
            // A Kyuubi repeats a scheme that it does not know, and a name, to whoever has sent it.
            if !(line.contains("/api/v1/") || is_login_page && line.contains("/batches")) {
                assert_silent(&format!("{line} {headers:?}"), &answer);
            }
        }
    }
    let known: Value = json_of(&to.ask("GET /api/v1/batches", &[("Authorization", &authorization)], None));
    assert_eq!(known["batches"].as_array().map(Vec::len), Some(ids.len()), "{known}");

    proxy.kill();
    proxy.start_again();
    follow(Confidant(proxy.client()), &ids[..1], &by_token);
    let signatures = signatures.into_inner();
    let others: Vec<&str> = signatures.iter().map(String::as_str).chain([session.as_str()]).collect();
    assert_redacted(&dir);
    assert_kept(proxy, &dir, &others);
}
