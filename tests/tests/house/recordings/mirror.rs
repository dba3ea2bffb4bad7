//! The harness held against itself: a server that gives the recorded bytes back must come out as the same in every exchange, and one that changes
//! anything a client acts on must not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::cases::{self, Case};
use super::judge::{Verdict, judge};
use super::rewrite::{self, Apps, Ids};
use crate::wire::{self, Request};

/// One exchange with a server that answers with these bytes.
fn mirrored(case: &Case, answer: &[u8], apps: &Apps) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let ids = Ids::default();
    let request = rewrite::request(case.request(), apps, &ids);
    let length = request.len();
    let outcome = thread::scope(|scope| {
        scope.spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client connects");
            // The head is enough for an interim answer; else all is read, so that closing does not reset.
            let mut seen = vec![0; length];
            if answer.starts_with(b"HTTP/1.1 100") {
                let _ = stream.read(&mut seen);
            } else {
                let _ = stream.read_exact(&mut seen);
            }
            let _ = stream.write_all(answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // Whatever else the client sends is read, up to its end.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        wire::exchange(address, Request(&request), case.recorded.len())
    });
    judge(case, &outcome, apps, &ids)
}

fn answer_of(case: &Case) -> Vec<u8> {
    std::fs::read(cases::folder().join(format!("{}.response.http", case.name))).expect("the recording is there")
}

#[test]
fn a_mirror_is_the_same_everywhere() {
    let apps = Apps::new();
    let mut total = 0;
    for case in cases::flows().iter().flat_map(|flow| &flow.cases) {
        let verdict = mirrored(case, &answer_of(case), &apps);
        assert!(matches!(&verdict, Verdict::Same(by) if by.is_empty()), "{}: {verdict:?}", case.name);
        total += 1;
    }
    assert_eq!(total, 491);
}

#[test]
fn what_a_client_acts_on_is_seen() {
    let apps = Apps::new();
    let flows = cases::flows();
    let cases = || flows.iter().flat_map(|flow| &flow.cases);
    let changes: [(&str, &str, &str); 9] = [
        ("state/success", "200 OK", "202 Accepted"),
        ("state/success", "success", "succeed"),
        ("state/success", "application/json", "text/javascript"),
        ("submit/minimal", "/batches/0", "/batches/1"),
        ("submit/minimal", "\"state\":\"success\"", "\"state\":\"dead123\""),
        ("errors/method-put-item", "Allow: DELETE, GET, HEAD", "Allow: DELETE, GET"),
        ("list/gzip", "Content-Encoding: gzip", "Content-Encoding: none"),
        ("submit/connection-close", "Connection: close", "Connection: ready"),
        ("list/many", "Content-Length: 4759", "Content-Length: 4760"),
    ];
    for (name, from, to) in changes {
        let case = cases().find(|case| case.name == name).unwrap_or_else(|| panic!("no case {name}"));
        let recorded = answer_of(case);
        let at = recorded
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("{name} has {from}"));
        let changed = [&recorded[..at], to.as_bytes(), &recorded[at + from.len()..]].concat();
        let verdict = mirrored(case, &changed, &apps);
        assert!(matches!(verdict, Verdict::Fault(_)), "{name} with {to}: {verdict:?}");
    }
}

#[test]
fn ids_are_exchanged_by_their_batches() {
    let apps = Apps::new();
    let mut ids = Ids::default();
    ids.bind(4, 2);
    let line = |text: &str| {
        let sent = rewrite::request(Request(text.as_bytes()), &apps, &ids);
        String::from_utf8(sent).expect("the request is ASCII")
    };
    assert_eq!(line("GET /batches/4/log HTTP/1.1\r\n\r\n"), "GET /batches/2/log HTTP/1.1\r\n\r\n");
    // Not ours and not recorded to be anything: as it is. Recorded as nobody's, but one of ours: out of reach.
    assert_eq!(line("GET /batches/99 HTTP/1.1\r\n\r\n"), "GET /batches/99 HTTP/1.1\r\n\r\n");
    assert_eq!(line("GET /batches/2 HTTP/1.1\r\n\r\n"), "GET /batches/1000002 HTTP/1.1\r\n\r\n");
    assert_eq!(line("GET /batches/004 HTTP/1.1\r\n\r\n"), "GET /batches/004 HTTP/1.1\r\n\r\n");
    let mut body = serde_json::json!({"sessions": [{"id": 2}], "msg": "Session '1000002' not found."});
    ids.in_body(&mut body);
    assert_eq!(body, serde_json::json!({"sessions": [{"id": 4}], "msg": "Session '2' not found."}));
    assert_eq!(ids.location("/batches/2"), "/batches/4");
}
