use batchlingua_core::{Fault, Missing};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;
use crate::backend::fake::{failure, older_failure};

fn judge(
    as_caller: bool,
    status: u16,
    content_type: &'static str,
    body: impl Into<Bytes>,
    about: About<'_>,
) -> Refusal {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let answer = Answer { status: StatusCode::from_u16(status).expect("a status"), headers, body: body.into() };
    Judge { backend: &"k".into(), as_caller }.refusal(&answer, about)
}

fn coded(status: u16, code: &str, about: About<'_>) -> Refusal {
    judge(false, status, "application/json", failure(code, "the words"), about)
}

/// 13.3 of the reference, line by line.
#[test]
fn every_code_of_the_table_means_what_it_says() {
    let job = About::Job("j");
    let action = About::Action("j");
    let kind = |code: &str, about| coded(500, code, about).error.kind;
    let gone = ErrorKind::NotFound(Missing::Batch("j".into()));
    assert_eq!(
        [kind("KE-010032219", job), kind("KE-010032219", action), kind("KE-010001201", job)],
        [gone.clone(), gone.clone(), gone]
    );
    let project = About::Jobs(Some("ghost"));
    assert_eq!(kind("KE-010001201", project), ErrorKind::NotFound(Missing::Project("ghost".into())));
    for code in ["KE-010032211", "KE-010032215", "KE-010032217", "KE-010032220"] {
        assert_eq!(coded(500, code, action).why, Why::State, "{code}");
        assert_eq!(kind(code, job), ErrorKind::BackendRejected, "{code}: nobody wanted to do anything");
    }
    for code in ["KE-010032212", "KE-010043201", "KE-010043207", "KE-010000003"] {
        assert!(matches!(kind(code, action), ErrorKind::InvalidRequest { fault: Fault::NotAllowed, .. }), "{code}");
        assert_eq!(kind(code, job), ErrorKind::BackendRejected, "{code}: it says nothing about the job");
    }
    for code in ["KE-010032206", "KE-010032216"] {
        assert_eq!(kind(code, action), ErrorKind::Throttled { retry_after: BUSY }, "{code}");
    }
    for code in ["KE-040024201", "KE-010021002", "KE-010021003", "KE-010021004"] {
        assert_eq!(kind(code, job), ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER }, "{code}");
    }
    for code in ["KE-010032218", "KE-999999999"] {
        assert_eq!(kind(code, action), ErrorKind::BackendRejected, "{code}");
    }
}

#[test]
fn an_error_behind_a_good_status_is_one() {
    let refusal = coded(200, "KE-010032219", About::Job("j"));
    assert!(matches!(refusal.error.kind, ErrorKind::NotFound(Missing::Batch(_))));
    let by_text = failure("KE-010032219", "x").replace("\"error_code\":\"KE-010032219\"", "\"error_code\":null");
    let refusal = judge(false, 500, "application/json", by_text, About::Job("j"));
    assert!(matches!(refusal.error.kind, ErrorKind::NotFound(Missing::Batch(_))), "the code begins the text");
    let old = judge(false, 500, "application/json", older_failure("the cube is broken"), About::Action("j"));
    assert_eq!((&old.error.kind, old.why), (&ErrorKind::BackendRejected, Why::Word));
    assert!(old.error.message.contains("the cube is broken"), "{}", old.error.message);
}

#[test]
fn kylins_own_words_go_along_without_their_stack_trace() {
    let refusal = coded(500, "KE-010032217", About::Action("j"));
    let native = refusal.error.native.expect("Kylin's own answer");
    assert_eq!(
        (native.dialect.as_str(), native.status, native.content_type.as_str()),
        ("kylin", 500, "application/json")
    );
    let wanted = failure("KE-010032217", "the words").replace(r#""org.example.Secret\n\tat x""#, "null");
    assert_eq!(String::from_utf8_lossy(&native.body), wanted);
    assert!(!refusal.error.message.contains("Secret"), "{}", refusal.error.message);
}

#[test]
fn whose_credentials_were_refused_is_told_apart() {
    let page = "<html><form action=\"/kylin/j_spring_security_check\"><input type=\"password\"></form></html>";
    let html = "text/html;charset=utf-8";
    let job = About::Job("j");
    for (status, content_type, body, blame) in [
        (401, "application/json", failure("KE-010003208", "x"), Blame::Counted),
        (401, "application/json", failure("KE-010003207", "x"), Blame::NotCounted),
        (401, "application/json", failure("KE-010032219", "x"), Blame::Counted),
        (401, "application/json", failure("KE-010003008", "x"), Blame::NotCounted),
        (400, "application/json", failure("KE-010003005", "x"), Blame::Counted),
        (401, "application/json", "{}".to_owned(), Blame::Counted),
        (401, html, "<html>Unauthorized</html>".to_owned(), Blame::Counted),
        (200, html, page.to_owned(), Blame::Counted),
    ] {
        let own = judge(false, status, content_type, body.clone(), job);
        assert_eq!(
            (&own.error.kind, own.why),
            (&ErrorKind::BackendRejected, Why::Credentials(blame)),
            "{status} {body}"
        );
        assert!(
            own.error.message.contains("the proxy's credentials") && own.error.native.is_none(),
            "{}",
            own.error.message
        );
        let callers = judge(true, status, content_type, body, job).error;
        assert_eq!((callers.kind, callers.native.is_none()), (ErrorKind::Unauthenticated(Unproven::Wrong), true));
    }
    let denied = coded(400, "KE-010024001", job).error;
    assert_eq!((denied.kind, denied.native.is_none()), (ErrorKind::BackendRejected, true));
    let callers = judge(true, 400, "application/json", failure("KE-010024001", "x"), job).error;
    assert_eq!(callers.kind, ErrorKind::Forbidden(Denial::Backend));
}

#[test]
fn a_page_to_log_in_by_is_no_place_to_go() {
    let redirect = |location: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(location));
        let answer = Answer { status: StatusCode::FOUND, headers, body: Bytes::new() };
        Judge { backend: &"k".into(), as_caller: false }.refusal(&answer, About::Jobs(None))
    };
    assert_eq!(redirect("https://sso.example.com/Login?to=x").why, Why::Credentials(Blame::Counted));
    let elsewhere = redirect("https://other.example.com/kylin?token=hunter2").error;
    assert_eq!(elsewhere.kind, ErrorKind::BackendRejected);
    assert!(elsewhere.message.contains("other.example.com") && !elsewhere.message.contains("hunter2"), "{elsewhere}");
}

#[test]
fn what_no_kylin_says_is_told_by_its_status() {
    let unavailable = ErrorKind::BackendUnavailable { retry_after: RETRY_AFTER };
    for (status, content_type, body, kind) in [
        (502, "text/html", "<html><title>Bad Gateway</title></html>", unavailable.clone()),
        (200, "text/html", "<!doctype html><title>Welcome</title>", unavailable.clone()),
        (404, "text/html", "<html><title>Not Found</title></html>", ErrorKind::BackendRejected),
        (503, "text/plain", "upstream is down", unavailable.clone()),
        (429, "text/plain", "slowly", ErrorKind::Throttled { retry_after: RETRY_AFTER }),
        (
            404,
            "application/json",
            r#"{"timestamp":"t","status":404,"error":"Not Found","path":"/x"}"#,
            ErrorKind::BackendRejected,
        ),
        (406, "application/json", "", ErrorKind::BackendRejected),
        (500, "application/json", "{\"code\"", ErrorKind::BackendRejected),
        (200, "application/json", "{\"code\":\"999\"}", unavailable.clone()),
        (200, "application/json", "", unavailable),
    ] {
        let refusal = judge(false, status, content_type, body, About::Job("j"));
        assert_eq!((refusal.error.kind, refusal.why), (kind, Why::NoAnswer), "{status} {body}");
        assert!(refusal.error.native.is_none(), "{status} {body}: nobody's words but Kylin's go along");
    }
}
