//! The harness held against itself: a server that gives the recorded bytes back must come out as the same in every exchange, and one that changes
//! anything a client acts on must not.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::cases::{self, Case, Run};
use super::compare::{Body, View};
use super::judge::{Verdict, judge};
use super::kyuubi::Kyuubi;
use super::livy::Livy;
use super::product::Product;
use super::rewrite::{self, Apps, Ids};
use crate::wire::{self, Request};

/// One exchange with a server that answers with these bytes.
fn mirrored(product: &dyn Product, case: &Case, answer: &[u8], apps: &Apps) -> Verdict {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let ids = Ids::default();
    let request = rewrite::request(case.request(), product, apps, &ids);
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
    judge(product, &[product.rules()], case, &outcome, apps, &ids)
}

fn answer_of(product: &dyn Product, case: &Case) -> Vec<u8> {
    std::fs::read(cases::folder(product.name()).join(format!("{}.response.http", case.name)))
        .expect("the recording is there")
}

fn is_the_same_everywhere(product: &dyn Product) {
    let apps = Apps::new(product);
    let mut total = 0;
    for case in cases::runs(product.name()).iter().flat_map(Run::cases) {
        let verdict = mirrored(product, case, &answer_of(product, case), &apps);
        assert!(matches!(&verdict, Verdict::Same(by) if by.is_empty()), "{}: {verdict:?}", case.name);
        total += 1;
    }
    assert_eq!(total, product.total());
}

#[test]
fn a_mirror_is_the_same_everywhere() {
    is_the_same_everywhere(&Livy);
    is_the_same_everywhere(&Kyuubi);
}

/// A case, a text of its recorded answer, and what stands there instead.
type Change = (&'static str, &'static str, &'static str);

fn is_seen(product: &dyn Product, changes: &[Change]) {
    let apps = Apps::new(product);
    let runs = cases::runs(product.name());
    for (name, from, to) in changes {
        let mut cases = runs.iter().flat_map(Run::cases);
        let case = cases.find(|case| case.name == *name).unwrap_or_else(|| panic!("no case {name}"));
        let recorded = answer_of(product, case);
        let at = recorded
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("{name} has {from}"));
        let changed = [&recorded[..at], to.as_bytes(), &recorded[at + from.len()..]].concat();
        let verdict = mirrored(product, case, &changed, &apps);
        assert!(matches!(verdict, Verdict::Fault(_)), "{name} with {to}: {verdict:?}");
    }
}

#[test]
fn what_a_client_acts_on_is_seen() {
    is_seen(
        &Livy,
        &[
            ("state/success", "200 OK", "202 Accepted"),
            ("state/success", "success", "succeed"),
            ("state/success", "application/json", "text/javascript"),
            ("submit/minimal", "/batches/0", "/batches/1"),
            ("submit/minimal", "\"state\":\"success\"", "\"state\":\"dead123\""),
            ("errors/method-put-item", "Allow: DELETE, GET, HEAD", "Allow: DELETE, GET"),
            ("list/gzip", "Content-Encoding: gzip", "Content-Encoding: none"),
            ("submit/connection-close", "Connection: close", "Connection: ready"),
            ("list/many", "Content-Length: 4759", "Content-Length: 4760"),
        ],
    );
    is_seen(
        &Kyuubi,
        &[
            ("get/finished", "200 OK", "202 Accepted"),
            ("get/finished", "application/json", "text/javascript"),
            ("get/finished", "FINISHED", "CANCELED"),
            ("get/finished", "\"endTime\":1795362099738", "\"endTime\":0000000000000"),
            ("get/finished", "\"appState\":\"NOT_FOUND\"", "\"appState\":\"SUCCEEDED\""),
            ("get/running", "\"id\":\"51e4b6b0", "\"id\":\"61e4b6b0"),
            ("get/running", "\"appId\":\"8966\"", "\"appId\":\"none\""),
            ("list/size-1", "\"total\":1", "\"total\":2"),
            ("submit/full", "\"name\":\"hello\"", "\"name\":\"hallo\""),
            ("log/last-line", "\"rowCount\":1", "\"rowCount\":2"),
            ("log/last-line", "ShutdownHookManager", "shutdownHookManager"),
            ("errors/http-1.0-keep-alive", "keep-alive", "keep-aliwe"),
        ],
    );
}

#[test]
fn ids_are_exchanged_by_their_batches() {
    let apps = Apps::new(&Livy);
    let mut ids = Ids::default();
    ids.bind("4", "2");
    let line = |text: &str| {
        let sent = rewrite::request(Request(text.as_bytes()), &Livy, &apps, &ids);
        String::from_utf8(sent).expect("the request is ASCII")
    };
    assert_eq!(line("GET /batches/4/log HTTP/1.1\r\n\r\n"), "GET /batches/2/log HTTP/1.1\r\n\r\n");
    // Not ours and not recorded to be anything: as it is. Recorded as nobody's, but one of ours: out of reach.
    assert_eq!(line("GET /batches/99 HTTP/1.1\r\n\r\n"), "GET /batches/99 HTTP/1.1\r\n\r\n");
    assert_eq!(line("GET /batches/2 HTTP/1.1\r\n\r\n"), "GET /batches/1000002 HTTP/1.1\r\n\r\n");
    assert_eq!(line("GET /batches/004 HTTP/1.1\r\n\r\n"), "GET /batches/004 HTTP/1.1\r\n\r\n");
    let view = received(
        &Livy,
        &ids,
        serde_json::json!({"sessions": [{"id": 2}], "msg": "Session '1000002' not found."}),
        "/batches/2",
    );
    assert_eq!(view.body, Body::Json(serde_json::json!({"sessions": [{"id": 4}], "msg": "Session '2' not found."})));
    assert_eq!(view.headers["location"], "/batches/4");
}

fn received(product: &dyn Product, ids: &Ids, body: serde_json::Value, location: &str) -> View {
    let mut view = View::missing("");
    (view.body, view.status) = (Body::Json(body), 200);
    view.headers.insert("location", location.to_owned());
    product.receive(&mut view, ids);
    view
}

#[test]
fn uuids_and_moments_are_exchanged_wherever_they_stand() {
    const RECORDED: &str = "51e4b6b0-031c-482f-b5f2-270b9190dd86";
    const OURS: &str = "a1b2c3d4-0000-4000-8000-00000000000f";
    let apps = Apps::new(&Kyuubi);
    let mut ids = Ids::default();
    ids.bind(RECORDED, OURS);
    ids.bind_moment(1_795_362_109_481, 1_800_000_000_000);
    let sent = |text: &str| {
        let sent = rewrite::request(Request(text.as_bytes()), &Kyuubi, &apps, &ids);
        String::from_utf8(sent).expect("the request is ASCII")
    };
    let spellings: [fn(&str) -> String; 3] = [str::to_owned, |id| id.to_uppercase(), |id| id.replace('-', "%2D")];
    for spelling in spellings {
        let request = |id| format!("GET /api/v1/batches/{}?from=0 HTTP/1.1\r\n\r\n", spelling(id));
        assert_eq!(sent(&request(RECORDED)), request(OURS));
    }
    let list = |time: &str| format!("GET /api/v1/batches?createTime={time}&size=1 HTTP/1.1\r\n\r\n");
    for (recorded, ours) in
        [("1795362109481", "1800000000000"), ("1795362109482", "1800000000001"), ("1795362109480", "1799999999999")]
    {
        assert_eq!(sent(&list(recorded)), list(ours));
    }
    assert_eq!(sent(&list("1")), list("1"));
    let view = received(&Kyuubi, &ids, serde_json::json!({"message": format!("Invalid batchId: {OURS}")}), "/ui");
    assert_eq!(view.body, Body::Json(serde_json::json!({"message": format!("Invalid batchId: {RECORDED}")})));
}
