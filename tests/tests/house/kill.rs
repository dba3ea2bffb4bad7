//! `kill -9` of the proxy, in each phase of a batch's life: afterwards everything is as if it had not been, but for calls that were cut off.
//!
//! Jobs are real processes. Where a kill has to come at a certain point, the job itself says when that is (it has begun, it was told to end);
//! where it is to come anywhere within a call, the rounds spread it over the time that such a call takes.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, Reply, id_of, until};
use crate::jobs::Jobs;
use crate::proxy::Proxy;

/// Kills during one kind of call.
const ROUNDS: u32 = 8;

fn restart(proxy: &mut Proxy) -> Client {
    proxy.kill();
    proxy.start_again();
    proxy.client()
}

#[test]
fn a_running_job_goes_on_and_its_end_is_the_true_one() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(8));
    let mut running = Vec::new();
    for (name, code, end) in [("well", 0, "success"), ("badly", 3, "dead")] {
        let (body, gate) = jobs.gated(name);
        let id = proxy.client().submit(&body);
        running.push((id, name, jobs.until_begun(name), gate, code, end));
    }
    let client = restart(&mut proxy);
    for (id, name, process, ..) in &running {
        assert_eq!(client.until_state(*id, &["running"]), "running");
        assert!(process.is_there(), "{name} runs on");
    }
    for (id, name, _, mut gate, code, end) in running {
        gate.open(code);
        client.until_state(id, &[end]);
        assert_eq!(jobs.runs(name), 1);
        let by_name = client.ask(&format!("GET /batches/{name}"));
        assert_eq!((by_name.0, &by_name.1["id"], &by_name.1["state"]), (200, &id.into(), &end.into()));
    }
}

#[test]
fn what_ended_while_the_proxy_was_away_is_shown_as_it_ended() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(8));
    let mut running = Vec::new();
    for (name, code, end) in [("well", 0, "success"), ("badly", 7, "dead")] {
        let (body, gate) = jobs.gated(name);
        let id = proxy.client().submit(&body);
        running.push((id, name, jobs.until_begun(name), gate, code, end));
    }
    proxy.kill();
    for (_, _, process, gate, code, _) in &mut running {
        gate.open(*code);
        process.until_gone();
    }
    proxy.start_again();
    let client = proxy.client();
    for (id, name, _, _, _, end) in running {
        client.until_state(id, &[end]);
        let (status, batch) = client.ask(&format!("GET /batches/{id}"));
        assert_eq!((status, &batch["name"]), (200, &name.into()));
        assert_eq!(jobs.runs(name), 1);
    }
}

#[test]
fn queued_jobs_run_in_their_order() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(1));
    let (body, mut gate) = jobs.gated("first");
    let first = proxy.client().submit(&body);
    jobs.until_begun("first");
    let names = ["second", "third", "fourth", "fifth"];
    let queued = names.map(|name| proxy.client().submit(&jobs.quick(name)));
    let client = restart(&mut proxy);
    for id in queued {
        assert_eq!(client.state(id), "starting");
    }
    gate.open(0);
    for id in [first].into_iter().chain(queued) {
        client.until_state(id, &["success"]);
    }
    assert_eq!(jobs.begun(), ["first", "second", "third", "fourth", "fifth"]);
    let ids: Vec<u64> = client.list().iter().filter_map(|batch| batch["id"].as_u64()).collect();
    assert_eq!(ids, [first].into_iter().chain(queued).collect::<Vec<_>>(), "the list is in the order of submits");
}

/// A proxy that is killed while it starts a job leaves its locks to the child for a moment. Here the test holds the ledger's for longer.
#[test]
fn the_next_proxy_waits_for_what_the_killed_one_has_left() {
    let jobs = Jobs::new();
    let config = jobs.config(8);
    let lock = config.dir.join("ledger.db.lock");
    let mut proxy = Proxy::start(config);
    let id = proxy.client().submit(&jobs.quick("before"));
    proxy.kill();
    let lock = File::open(lock).expect("the ledger has a lock");
    lock.lock().expect("the lock of the killed one is free");
    let said = proxy.stderr_file();
    thread::scope(|scope| {
        scope.spawn(move || {
            until("the next one to find the ledger in use", || {
                fs::read_to_string(&said).is_ok_and(|text| text.contains("still in use"))
            });
            drop(lock);
        });
        proxy.start_again();
    });
    proxy.client().until_state(id, &["success"]);
}

/// How long such a call takes, to spread kills over it.
fn duration_of(call: impl FnOnce()) -> Duration {
    let began = Instant::now();
    call();
    began.elapsed()
}

/// Sends the call and kills the proxy so long after; what came of the call.
fn cut_off(
    proxy: &mut Proxy,
    after: Duration,
    call: impl FnOnce(Client) -> Result<Reply, String> + Send,
) -> Option<Reply> {
    let client = proxy.client();
    let reply = thread::scope(|scope| {
        let call = scope.spawn(move || call(client));
        // The moment of the kill is what is varied: there is no event to wait for.
        thread::sleep(after);
        proxy.kill();
        call.join().expect("the client does not panic")
    });
    proxy.start_again();
    reply.ok()
}

fn called<'a>(list: &'a [Value], name: &str) -> Vec<&'a Value> {
    list.iter().filter(|batch| batch["name"] == name).collect()
}

#[test]
fn a_submit_in_flight_is_there_once_or_not_at_all() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(8));
    let send = |client: Client, name: &str| {
        client.try_ask("POST /batches", &[("Idempotency-Key", name)], Some(&jobs.quick(name)))
    };
    let whole = duration_of(|| drop(send(proxy.client(), "measured").expect("an answer")));
    for round in 0..ROUNDS {
        let name = format!("flight-{round}");
        let answered = cut_off(&mut proxy, whole * round / (ROUNDS - 1), |client| send(client, &name));
        let client = proxy.client();
        if let Some(reply) = &answered {
            let id = id_of(reply).unwrap_or_else(|| panic!("{name}: {reply:?}"));
            assert_eq!(client.ask(&format!("GET /batches/{id}")).1["name"], *name, "what was answered is there");
        }
        // The client does not know, so it sends again. It must get the same batch, or the first.
        let mut id = None;
        until("the second submit to be taken", || {
            id = send(client, &name).ok().as_ref().and_then(id_of);
            id.is_some()
        });
        let id = id.expect("an id");
        client.until_state(id, &["success"]);
        assert_eq!(jobs.runs(&name), 1, "round {round}: answered {answered:?}");
        let list = client.list();
        let listed: Vec<_> = called(&list, &name).iter().map(|batch| batch["id"].clone()).collect();
        assert_eq!(listed, [Value::from(id)], "round {round}");
        if let Some(first) = answered.as_ref().and_then(id_of) {
            assert_eq!(first, id, "round {round}");
        }
    }
}

/// Without a key and without a second try: nothing comes of it twice, and what is shown has run or will run.
#[test]
fn a_submit_without_a_key_is_shown_if_it_has_run() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(8));
    let send = |client: Client, name: &str| client.try_ask("POST /batches", &[], Some(&jobs.quick(name)));
    let whole = duration_of(|| drop(send(proxy.client(), "measured").expect("an answer")));
    for round in 0..ROUNDS {
        let name = format!("flight-{round}");
        let answered = cut_off(&mut proxy, whole * round / (ROUNDS - 1), |client| send(client, &name));
        let client = proxy.client();
        let listed = called(&client.list(), &name).len();
        assert!(listed <= 1, "round {round}");
        assert!(listed == 1 || answered.is_none(), "round {round}: what was answered is listed");
    }
    let client = proxy.client();
    for round in 0..ROUNDS {
        let name = format!("flight-{round}");
        until("what was begun to be listed", || {
            let list = client.list();
            let listed = called(&list, &name);
            listed.iter().all(|batch| batch["state"] == "success") && listed.len() == jobs.runs(&name)
        });
        assert!(jobs.runs(&name) <= 1, "round {round}");
    }
}

#[test]
fn ids_and_names_resolve_after_every_restart() {
    let jobs = Jobs::new();
    let mut proxy = Proxy::start(jobs.config(8));
    let mut known: Vec<(u64, String)> = Vec::new();
    for life in 0..4 {
        for number in 0..3 {
            let name = format!("life-{life}-{number}");
            let id = proxy.client().submit(&jobs.quick(&name));
            assert!(known.iter().all(|(earlier, _)| *earlier < id), "ids count up and none is given twice");
            known.push((id, name));
        }
        let client = restart(&mut proxy);
        for (id, name) in &known {
            client.until_state(*id, &["success"]);
            let by_id = client.ask(&format!("GET /batches/{id}"));
            let by_name = client.ask(&format!("GET /batches/{name}"));
            assert_eq!((by_id.0, &by_id.1["name"]), (200, &Value::from(name.as_str())));
            assert_eq!(by_id, by_name);
            assert_eq!(client.ask(&format!("GET /batches/{id}/log?size=0")).0, 200);
        }
    }
    assert_eq!(jobs.begun().len(), known.len());
}

/// The job is told to end and does not; then the proxy is gone. The wish is carried out to its end.
#[test]
fn a_delete_that_was_asked_for_is_carried_out() {
    let jobs = Jobs::new();
    for (name, grace, is_let_through) in [("patient", "60s", true), ("stubborn", "1s", false)] {
        let mut config = jobs.config(8);
        config.dir = config.dir.join(name);
        config.more.push_str(&format!("cancel_grace = \"{grace}\"\n"));
        let mut proxy = Proxy::start(config);
        let (body, mut gate) = jobs.gated(name);
        let id = proxy.client().submit(&body);
        let process = jobs.until_begun(name);
        let client = proxy.client();
        thread::scope(|scope| {
            // Its answer is cut off, or was never to come in time.
            scope.spawn(move || client.try_ask(&format!("DELETE /batches/{id}"), &[], None));
            jobs.until_told(name);
            proxy.kill();
        });
        assert!(process.is_there() || !is_let_through, "the job was told to end and waits");
        proxy.start_again();
        if is_let_through {
            gate.open(0);
        }
        process.until_gone();
        until_over(proxy.client(), id);
        assert_eq!(jobs.runs(name), 1);
    }
}

/// Ended because somebody wished it: shown as killed, or as forgotten if the call came so far.
fn until_over(client: Client, id: u64) {
    until("a batch to be over", || match client.state(id).as_str() {
        "starting" | "running" => false,
        "killed" => true,
        gone => {
            assert!(gone.starts_with("404 "), "{gone}");
            true
        }
    });
    let (status, answer) = client.ask(&format!("DELETE /batches/{id}"));
    assert!(status == 200 || status == 404, "{answer}");
    assert!(client.state(id).starts_with("404 "));
}

#[test]
fn a_delete_in_flight_never_forgets_a_job_that_runs_on() {
    let jobs = Jobs::new();
    let mut config = jobs.config(8);
    // The jobs do not end when they are told to.
    config.more.push_str("cancel_grace = \"100ms\"\n");
    let mut proxy = Proxy::start(config);
    let delete = |client: Client, id: u64| client.try_ask(&format!("DELETE /batches/{id}"), &[], None);
    let start = |proxy: &Proxy, name: &str| {
        let (body, gate) = jobs.gated(name);
        let id = proxy.client().submit(&body);
        (id, jobs.until_begun(name), gate)
    };
    let (id, ..) = start(&proxy, "measured");
    let whole = duration_of(|| drop(delete(proxy.client(), id).expect("an answer")));
    for round in 0..ROUNDS {
        let (id, process, _gate) = start(&proxy, &format!("round-{round}"));
        let answered = cut_off(&mut proxy, whole * round / (ROUNDS - 1), |client| delete(client, id));
        let client = proxy.client();
        if client.state(id).starts_with("404 ") {
            assert!(!process.is_there(), "round {round}: forgotten while it runs, answered {answered:?}");
        }
        assert!(answered.is_none() || !process.is_there(), "round {round}: {answered:?} while it runs");
        // Whether the first was heard or not, the second brings the end.
        let (status, answer) = client.ask(&format!("DELETE /batches/{id}"));
        assert!(status == 200 || status == 404, "round {round}: {answer}");
        process.until_gone();
        assert!(client.state(id).starts_with("404 "), "round {round}");
    }
}
