//! Who is let in, and what he may do there.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use batchlingua_core::{
    Allowed, Authenticator, Credentials, Error, ErrorKind, Identity, Principal, Result, Rights, Unproven,
};
use batchlingua_router::Scoping;
use batchlingua_testkit::Point;
use batchlingua_wire::{Body, BodyError, Ownership};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::house::{Answer, House, Plans, request, spec};

/// Knows everybody by the password `right`, and what each may do by his name.
struct Doorman;

fn only(names: &[&str]) -> Allowed {
    Allowed::Only(names.iter().map(|name| (*name).to_owned()).collect())
}

fn rights(name: &str) -> Rights {
    let plain = Rights { administrator: false, projects: Allowed::Any, queues: Allowed::Any, run_as: only(&[]) };
    match name {
        "admin" => Rights { administrator: true, ..plain },
        "narrow" => Rights { projects: only(&["p"]), queues: only(&["q1"]), run_as: only(&["etl"]), ..plain },
        _ => plain,
    }
}

#[async_trait]
impl Authenticator for Doorman {
    fn is_required(&self) -> bool {
        true
    }

    fn recall(&self, shown: Option<&Credentials>, _: &str) -> Option<Identity> {
        let name = match shown? {
            Credentials::Basic { user, password } if password == "right" => user,
            Credentials::Signature { access_key, signed, signature, .. } if *signature == signed.len().to_string() => {
                access_key
            }
            _ => return None,
        };
        let principal = Principal { name: name.as_str().into(), verified: true };
        Some(Identity { principal, rights: Arc::new(rights(name)) })
    }

    async fn authenticate(&self, shown: Option<&Credentials>) -> Result<Identity> {
        let why = if shown.is_some() { Unproven::Wrong } else { Unproven::Nothing };
        Err(Error::new(ErrorKind::Unauthenticated(why), "who are you?"))
    }

    fn session(&self, _: &Identity, _: Option<&Credentials>) -> Option<String> {
        None
    }
}

fn house_with(change: impl FnOnce(&mut Plans)) -> House {
    House::with(|plans| {
        plans.auth = Arc::new(Doorman);
        plans.access.authenticated = true;
        change(plans);
    })
}

fn house() -> House {
    house_with(|_| {})
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A client that has proven who it is.
struct As<'a>(&'a House, &'a str);

impl As<'_> {
    async fn send(&self, method: Method, path: &str, body: Body) -> Answer {
        let proof = basic(self.1, "right");
        self.0.send(request(method, path, &[("authorization", &proof)], body)).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    async fn post(&self, path: &str, json: Value) -> Answer {
        self.send(Method::POST, path, Body::full(json.to_string())).await
    }

    async fn act(&self, action: &str, id: &str) -> String {
        let answer = self.post(&format!("/actions/{action}"), json!({ "ids": [id] })).await;
        answer.json[0]["result"].as_str().map_or(format!("{answer:?}"), str::to_owned)
    }
}

fn said(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.text_of("kind"))
}

#[tokio::test(start_paused = true)]
async fn a_stranger_is_told_nothing_but_that_he_is_one() {
    let house = house();
    for (method, path) in [
        (Method::GET, "/jobs"),
        (Method::GET, "/jobs/1"),
        (Method::GET, "/version"),
        (Method::GET, "/jobs/a/b/c"),
        (Method::PUT, "/jobs"),
        (Method::POST, "/relay"),
    ] {
        let proof = basic("ana", "wrong");
        for headers in [vec![], vec![("authorization", proof.as_str())]] {
            let answer = house.send(request(method.clone(), path, &headers, Body::empty())).await;
            assert_eq!(said(&answer), (401, "unauthenticated".into()), "{method} {path} {headers:?}");
        }
    }
    assert_eq!(house.notebook.lines("refused").len(), 12);
    assert_eq!(house.notebook.lines("refused ana Wrong").len(), 6, "with the name that was claimed");
    assert!(house.notebook.lines("request").contains(&"request plain unmatched 401".to_owned()));
    let ana = As(&house, "ana");
    assert_eq!(ana.get("/jobs/a/b/c").await.json["miss"], "path");
    assert_eq!(ana.send(Method::PUT, "/jobs", Body::full("{}")).await.json["miss"], "method");
    assert_eq!((ana.get("/version").await.status, ana.get("/jobs").await.status.as_u16()), (http::StatusCode::OK, 200));
}

/// A body that begins and does not go on.
fn halting() -> Body {
    Body::stream(stream::iter([Ok::<_, BodyError>(Bytes::from("{"))]).chain(stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn a_strangers_body_is_not_read() {
    let house = house();
    let began = tokio::time::Instant::now();
    assert_eq!(house.send(request(Method::POST, "/jobs", &[], halting())).await.status, 401);
    let form = [("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(house.send(request(Method::POST, "/jobs", &form, halting())).await.status, 401);
    assert_eq!(
        house.send(request(Method::POST, "/nothing/here", &[], halting())).await.status,
        404,
        "no dialect's path"
    );
    assert_eq!(house.send(request(Method::POST, "/jobs/a/b", &[], halting())).await.status, 401);
    assert_eq!((began.elapsed(), house.uploads_left()), (Duration::ZERO, 0));
}

fn signed(signature: &str, path: &str, body: &str) -> Request<Body> {
    request(Method::POST, path, &[("x-signed", signature)], Body::full(body.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_signature_covers_the_body() {
    let house = house();
    let job = r#"{"file":"a.py"}"#;
    assert_eq!(house.send(signed("ana 15", "/jobs", job)).await.text_of("owner"), "ana");
    assert_eq!(house.send(signed("ana 14", "/jobs", job)).await.status, 401);
    assert_eq!(house.send(signed("ana 15", "/jobs/1", job)).await.json["miss"], "method");
    assert_eq!(house.send(signed("ana 15", "/jobs/a/b", job)).await.json["miss"], "path");
    assert_eq!(house.send(signed("ana 14", "/jobs/a/b", job)).await.status, 401);
    let large = "x".repeat((1 << 16) + 1);
    assert_eq!(
        house.send(signed("ana 65537", "/actions/cancel", &large)).await.status,
        413,
        "bounded for strangers too"
    );
    let form = [("x-signed", "ana 3"), ("content-type", "multipart/form-data; boundary=x")];
    assert_eq!(
        house.send(request(Method::POST, "/jobs", &form, Body::full("abc"))).await.status,
        401,
        "no form is signed"
    );
}

#[tokio::test(start_paused = true)]
async fn projects_narrow_what_is_seen_and_where_is_submitted() {
    let house = house();
    let (ana, narrow) = (As(&house, "ana"), As(&house, "narrow"));
    let mut ids = Vec::new();
    for path in ["/jobs?project=p", "/jobs?project=q", "/jobs"] {
        ids.push(ana.post(path, json!({ "file": "a.py" })).await.text_of("uuid"));
    }
    let [in_p, in_q, in_none] = ids.as_slice() else { panic!("three") };
    assert_eq!(narrow.get("/jobs").await.json["total"], 2, "his project's, and those that have none");
    assert_eq!(narrow.get("/jobs?project=p").await.json["total"], 2);
    assert_eq!(said(&narrow.get("/jobs?project=q").await), (403, "forbidden".into()));
    for (id, status) in [(in_p, 200), (in_q, 404), (in_none, 200)] {
        for path in [format!("/jobs/{id}"), format!("/jobs/{id}/state"), format!("/jobs/{id}/log")] {
            assert_eq!(narrow.get(&path).await.status.as_u16(), status, "{path}");
        }
    }
    assert_eq!(said(&narrow.post("/actions/cancel", json!({ "ids": [in_q] })).await), (404, "not_found".into()));
    assert_eq!(said(&narrow.post("/actions/cancel", json!({ "project": "q" })).await), (403, "forbidden".into()));
    let written = house.ledger.calls("intend");
    for (path, body) in [("/jobs?project=q", json!({})), ("/jobs", json!({ "project": "q" }))] {
        assert_eq!(said(&narrow.post(path, body).await), (403, "forbidden".into()), "{path}");
    }
    assert_eq!((house.ledger.calls("intend"), house.backend.calls(Point::Control)), (written, 0));
    assert_eq!(narrow.post("/jobs?project=p", json!({ "file": "a.py" })).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn queues_and_users_are_asked_before_anything_is_written() {
    let house = house();
    let (ana, narrow, admin) = (As(&house, "ana"), As(&house, "narrow"), As(&house, "admin"));
    for (client, job, status) in [
        (&narrow, json!({ "queue": "q1" }), 201),
        (&narrow, json!({ "queue": "q2" }), 403),
        (&narrow, json!({ "conf": { "spark.yarn.queue": "q2" } }), 403),
        (&narrow, json!({ "user": "narrow" }), 201),
        (&narrow, json!({ "user": "etl" }), 201),
        (&narrow, json!({ "user": "root" }), 403),
        (&narrow, json!({ "conf": { "hive.server2.proxy.user": "root" } }), 403),
        (&narrow, json!({ "user": "etl", "conf": { "kyuubi.session.proxy.user": "root" } }), 403),
        (&ana, json!({ "queue": "q2", "user": "ana" }), 201),
        (&ana, json!({ "user": "etl" }), 403),
        // What an administrator may run as is said where his rights are made.
        (&admin, json!({ "user": "etl" }), 403),
    ] {
        let before = house.ledger.calls("intend");
        let answer = client.post("/jobs", job.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{} {job}: {answer:?}", client.1);
        assert_eq!(house.ledger.calls("intend") - before, usize::from(status == 201), "{job}");
    }
    assert_eq!(house.notebook.lines("audit submit forbidden").len(), 7);
}

#[tokio::test(start_paused = true)]
async fn only_a_batchs_own_people_act_on_it_where_the_product_has_it_so() {
    let house = house_with(|plans| plans.ownership = Ownership::ReadOnly);
    let ana = As(&house, "ana");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(ana.post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid"));
    }
    let of_etl = As(&house, "narrow").post("/jobs", json!({ "user": "etl" })).await.text_of("uuid");
    let eve = As(&house, "eve");
    assert_eq!(eve.get(&format!("/jobs/{}", ids[0])).await.status, 200, "seen by all");
    for action in ["cancel", "cancel_and_forget", "pause"] {
        assert_eq!(eve.act(action, &ids[0]).await, "error:forbidden", "{action}");
    }
    let many = eve.post("/actions/cancel", json!({ "ids": [ids[0], of_etl] })).await;
    assert_eq!(many.json.as_array().map(Vec::len), Some(2), "{many:?}");
    assert_eq!((house.ledger.calls("ask_cancel"), house.backend.calls(Point::Control)), (0, 0), "nothing was done");
    assert_eq!(house.notebook.lines("audit cancel forbidden").len(), 3);

    assert_eq!(ana.act("cancel", &ids[0]).await, "ended:cancelled");
    assert_eq!(As(&house, "admin").act("cancel", &ids[1]).await, "ended:cancelled");
    assert_eq!(As(&house, "narrow").act("cancel", &ids[2]).await, "error:forbidden");
    assert_eq!(As(&house, "etl").act("cancel", &of_etl).await, "ended:cancelled", "it runs as this user");

    let shared = house_with(|_| {});
    let id = As(&shared, "ana").post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    assert_eq!(As(&shared, "eve").act("cancel", &id).await, "ended:cancelled");
}

#[tokio::test(start_paused = true)]
async fn who_may_run_as_a_user_may_act_on_what_runs_as_him() {
    let house = house_with(|plans| plans.ownership = Ownership::ReadOnly);
    let id = As(&house, "etl").post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    assert_eq!(As(&house, "narrow").act("cancel", &id).await, "ended:cancelled");
}

#[tokio::test(start_paused = true)]
async fn nobodys_batch_is_the_administrators() {
    let house = house_with(|plans| plans.ownership = Ownership::ReadOnly);
    let native = house.backend.add_foreign(spec("elsewhere"));
    let id = As(&house, "ana").get(&format!("/jobs/{native}")).await.text_of("uuid");
    assert_eq!(As(&house, "ana").act("cancel", &id).await, "error:forbidden");
    assert_eq!(As(&house, "admin").act("cancel", &id).await, "ended:cancelled");
}

#[tokio::test(start_paused = true)]
async fn an_id_of_somebody_else_is_refused_to_administrators_too() {
    let house = house();
    let id = "0b0e4b58-8b5c-4d0e-9c7b-0f5c0f7d5a11";
    let job = json!({ "file": "a.py", "id": id });
    assert_eq!(As(&house, "ana").post("/jobs", job.clone()).await.status, 201);
    assert_eq!(As(&house, "ana").post("/jobs", job.clone()).await.json["replayed"], true);
    for other in ["eve", "admin"] {
        assert_eq!(said(&As(&house, other).post("/jobs", job.clone()).await), (409, "conflict".into()), "{other}");
    }
    assert_eq!(house.backend.jobs_created(), 1);
}

fn scoped(show_unscoped: bool) -> House {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let scoping = Scoping { projects: names(&["p", "r"]), queues: names(&["q1"]), show_unscoped };
    House::with(|plans| plans.limits.scoping = scoping)
}

#[tokio::test(start_paused = true)]
async fn names_that_are_not_configured_are_unknown_to_everybody() {
    let house = scoped(true);
    for (path, job, status) in [
        ("/jobs?project=p", json!({ "queue": "q1" }), 201),
        ("/jobs?project=x", json!({}), 404),
        ("/jobs", json!({ "project": "x" }), 404),
        ("/jobs", json!({ "queue": "q2" }), 404),
        ("/jobs", json!({ "conf": { "spark.yarn.queue": "q2" } }), 404),
        ("/jobs", json!({}), 201),
    ] {
        assert_eq!(house.post(path, job.clone()).await.status.as_u16(), status, "{path} {job}");
    }
    assert_eq!(house.get("/jobs?project=x").await.status, 404);
    assert_eq!(house.post("/actions/cancel", json!({ "project": "x" })).await.status, 404);
    assert_eq!(house.get("/jobs?project=r").await.json["total"], 1, "what has no project");
    assert_eq!(house.get("/jobs").await.json["total"], 2);
    assert_eq!(house.ledger.calls("intend"), 2);
}

#[tokio::test(start_paused = true)]
async fn batches_without_a_project_can_be_kept_from_those_who_name_one() {
    let house = scoped(false);
    let id = house.post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    house.post("/jobs?project=p", json!({ "file": "a.py" })).await;
    assert_eq!(house.get("/jobs?project=p").await.json["total"], 1);
    assert_eq!(house.get(&format!("/jobs/{id}?project=p")).await.status, 404);
    assert_eq!(house.get(&format!("/jobs/{id}")).await.status, 200, "its own client finds it");
    let done = house.post("/actions/cancel", json!({ "project": "p" })).await;
    assert_eq!(done.json.as_array().map(Vec::len), Some(1), "{done:?}");
    assert_eq!(house.state(&id).await, "queued", "a project's batches are its own");

    let narrow = house_with(|plans| plans.limits.scoping.show_unscoped = false);
    let (ana, narrow) = (As(&narrow, "ana"), As(&narrow, "narrow"));
    ana.post("/jobs?project=q", json!({ "file": "a.py" })).await;
    let own = narrow.post("/jobs", json!({ "file": "a.py" })).await.text_of("uuid");
    assert_eq!(narrow.get(&format!("/jobs/{own}")).await.status, 200, "what was acknowledged is found");
    assert_eq!(narrow.get("/jobs").await.json["total"], 1);
}

/// Whoever may not run a batch as another user gets no session of his either.
#[tokio::test(start_paused = true)]
async fn what_is_passed_on_runs_as_nobody_that_its_sender_may_not_be() {
    let house = house_with(|plans| plans.relay = Some(Arc::new(crate::upstream::Mirror)));
    let narrow = As(&house, "narrow");
    assert_eq!(narrow.send(Method::POST, "/relay/1", Body::empty()).await.status, 202);
    assert_eq!(narrow.send(Method::POST, "/relay/1?as=etl", Body::empty()).await.status, 202);
    let refused = narrow.send(Method::POST, "/relay/1?as=root", Body::empty()).await;
    assert_eq!(said(&refused), (403, "forbidden".into()));
    let asked = |user: &str| Body::full(json!({ "user": user }).to_string());
    let passed = narrow.send(Method::PATCH, "/relay", asked("etl")).await;
    assert!(passed.status == 202 && passed.text.ends_with(r#"{"user":"etl"}"#), "{passed:?}");
    assert_eq!(said(&narrow.send(Method::PATCH, "/relay", asked("root")).await), (403, "forbidden".into()));
    let unreadable = narrow.send(Method::PATCH, "/relay", Body::full("no JSON")).await;
    assert_eq!(said(&unreadable), (400, "invalid_request".into()), "what nobody can read asks for nobody knows what");
}
