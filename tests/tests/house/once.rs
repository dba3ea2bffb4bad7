//! One submit, one job, however often and at once it is sent: a client that does not get an answer sends again, and must not pay twice.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use crate::client::{Reply, id_of, until};
use crate::jobs::Jobs;
use crate::proxy::Proxy;

const CLIENTS: usize = 60;

/// All at the same moment, each with its own key and body; their answers.
fn storm(proxy: &Proxy, submit: impl Fn(usize) -> (String, serde_json::Value) + Sync) -> Vec<Reply> {
    let (client, barrier) = (proxy.client(), Barrier::new(CLIENTS));
    thread::scope(|scope| {
        let (submit, barrier) = (&submit, &barrier);
        let one = move |number: usize| {
            let (key, body) = submit(number);
            barrier.wait();
            client.try_ask("POST /batches", &[("Idempotency-Key", &key)], Some(&body))
        };
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || one(number))).collect();
        clients
            .into_iter()
            .map(|client| {
                client.join().expect("no client panics").unwrap_or_else(|e| panic!("{e}\n{}", proxy.stderr()))
            })
            .collect()
    })
}

fn ids(replies: &[Reply]) -> BTreeSet<u64> {
    replies.iter().map(|reply| id_of(reply).unwrap_or_else(|| panic!("{reply:?}"))).collect()
}

#[test]
fn one_key_runs_once_and_different_keys_run_once_each() {
    let jobs = Jobs::new();
    let proxy = Proxy::start(jobs.config(8));
    let client = proxy.client();

    let replies = storm(&proxy, |_| ("nightly".to_owned(), jobs.quick("same")));
    assert_eq!(ids(&replies).len(), 1, "all are told the same id");
    for id in ids(&replies) {
        client.until_state(id, &["success"]);
    }

    let replies = storm(&proxy, |number| (format!("key-{number}"), jobs.quick(&format!("job-{number}"))));
    assert_eq!(ids(&replies).len(), CLIENTS, "each has an id of its own");
    for id in ids(&replies) {
        client.until_state(id, &["success"]);
    }

    // What has ended has begun, so nothing more can come.
    until("all jobs to be listed", || client.list().len() == CLIENTS + 1);
    let begun = jobs.begun();
    assert_eq!(begun.len(), CLIENTS + 1, "{begun:?}");
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), CLIENTS + 1, "{begun:?}");
    assert_eq!(jobs.runs("same"), 1);

    // The key is known as long as its batch is, with this body only.
    let again =
        |body| client.try_ask("POST /batches", &[("Idempotency-Key", "nightly")], Some(&body)).expect("an answer");
    assert_eq!(again(jobs.quick("same")).0, 201);
    assert_eq!(again(jobs.quick("other")).0, 409);
    assert_eq!((jobs.runs("same"), jobs.runs("other")), (1, 0));
}
