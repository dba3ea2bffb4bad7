//! Everything at once, in many orders: faults of backend and ledger, clients that come, repeat and leave, and processes that are killed
//! between any two steps. What must hold then is what the proxy promises.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use batchlingua_core::{BatchState, Clock, Ledger, Marking, NativeId, Phase};
use batchlingua_router::CallLimits;
use batchlingua_testkit::{Numbering, OnCancel, Point, SubmitFault};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::house::{House, backend};

/// The same numbers for the same seed on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.roll(of.len())].clone()) }
    }
}

/// What clients were told.
#[derive(Default)]
struct Told {
    accepted: HashSet<String>,
    named: Vec<String>,
    /// For whoever asked for that, and for good: also where a key answers its submit again.
    forgotten: HashSet<String>,
    seen: HashMap<String, (u64, u8)>,
}

type Shared = Arc<Mutex<Told>>;

const FAULTS: [SubmitFault; 6] = [
    SubmitFault::None,
    SubmitFault::NotSent,
    SubmitFault::Refused,
    SubmitFault::UnknownButCreated,
    SubmitFault::UnknownAndNotCreated,
    SubmitFault::UnknownAndLate,
];

fn submit(house: &House, told: &Shared, number: usize, key: Option<usize>) -> JoinHandle<()> {
    let (house, told) = (house.clone(), told.clone());
    tokio::spawn(async move {
        let name = key.map_or(format!("n{number}"), |key| format!("k{key}"));
        let key = key.map(|key| format!("key-{key}"));
        let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        let answer = house.post_with("/jobs", &headers, json!({ "file": "a.py", "name": name })).await;
        let mut told = told.lock().expect("unpoisoned");
        match answer.status.as_u16() {
            201 => {
                told.named.push(answer.text_of("uuid"));
                told.accepted.insert(answer.text_of("uuid"));
            }
            504 => told.named.extend(answer.header("batchlingua-id").map(str::to_owned)),
            409 | 502 | 503 => {}
            _ => panic!("{answer:?}"),
        }
    })
}

/// No client sees a state go backwards, nor an end that there was not.
fn poll(house: &House, told: &Shared, id: String) -> JoinHandle<()> {
    let (house, told) = (house.clone(), told.clone());
    tokio::spawn(async move {
        let answer = house.get(&format!("/jobs/{id}/state")).await;
        if answer.status != 200 {
            return;
        }
        let state = BatchState::from_word(&answer.text_of("state")).expect("a state");
        let now = (answer.json["attempt"].as_u64().expect("an attempt"), state.rank());
        if state.is_end() {
            let native = NativeId::from(answer.text_of("native"));
            let job = job_state(&house, &native).await;
            assert_eq!(Some(state), job, "an end was invented for {native}");
        }
        let mut told = told.lock().expect("unpoisoned");
        let before = told.seen.entry(id).or_insert(now);
        assert!(*before <= now, "{before:?} was seen before {now:?}");
        *before = now;
    })
}

async fn job_state(house: &House, native: &NativeId) -> Option<BatchState> {
    let mut state = None;
    if house.backend.ids().contains(native) {
        house.backend.edit(native, |job| state = Some(job.state));
    }
    state
}

fn step(house: &House, told: &Shared, dice: &mut Dice, clients: &mut Vec<JoinHandle<()>>, number: usize) {
    let named = told.lock().expect("unpoisoned").named.clone();
    match dice.roll(16) {
        0..=3 => {
            if dice.roll(2) == 0 {
                house.backend.next_submits(dice.pick(&FAULTS));
            }
            let key = (dice.roll(3) == 0).then(|| dice.roll(4));
            clients.push(submit(house, told, number, key));
        }
        4..=6 => clients.extend(dice.pick(&named).map(|id| poll(house, told, id))),
        7 => {
            if let Some(id) = dice.pick(&named) {
                let action = ["cancel", "cancel_and_forget"][dice.roll(2)];
                if action == "cancel_and_forget" {
                    told.lock().expect("unpoisoned").forgotten.insert(id.clone());
                }
                clients.push({
                    let (house, path) = (house.clone(), format!("/actions/{action}"));
                    tokio::spawn(async move { drop(house.post(&path, json!({ "ids": [id] })).await) })
                });
            }
        }
        8 if !clients.is_empty() => clients.swap_remove(dice.roll(clients.len())).abort(),
        9 => house.backend.set_reachable(dice.roll(3) != 0),
        10 => {
            let call = ["intend", "may_send", "settle", "observe", "bind", "claim", "find", "ask_cancel"][dice.roll(8)];
            house.ledger.fail(call, 1 + dice.roll(3));
        }
        11 => {
            if let Some(native) = dice.pick(&house.backend.ids()) {
                house.backend.edit(&native, |job| {
                    job.state = match job.state {
                        BatchState::Queued => BatchState::Starting,
                        BatchState::Starting => BatchState::Running,
                        BatchState::Running => BatchState::Succeeded,
                        other => other,
                    }
                });
            }
        }
        12 => drop(house.backend.deliver_late()),
        13 => match dice.roll(2) {
            0 => house.backend.hold(Point::ALL[dice.roll(Point::ALL.len())]),
            _ => Point::ALL.into_iter().for_each(|point| house.backend.release(point)),
        },
        14 => house.backend.on_cancel([OnCancel::EndAtOnce, OnCancel::Accept, OnCancel::Lose][dice.roll(3)]),
        _ => clients.push({
            let house = house.clone();
            tokio::spawn(async move { assert_eq!(house.get("/jobs").await.status, 200) })
        }),
    }
}

/// One process, for so many steps; then it is killed.
fn live(house: &mut Option<House>, told: &Shared, dice: &mut Dice, number: &mut usize, steps: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let here = match house.take() {
            None => born(dice),
            Some(old) => {
                old.clock.go_on_here(old.clock.now());
                old.next_life()
            }
        };
        let mut clients = Vec::new();
        for _ in 0..steps {
            *number += 1;
            step(&here, told, dice, &mut clients, *number);
            match dice.roll(4) {
                0 => tokio::time::sleep(Duration::from_millis(dice.roll(60_000) as u64)).await,
                1 => tokio::task::yield_now().await,
                2 => here.settle_down().await,
                _ => {}
            }
        }
        if dice.roll(3) == 0 {
            Point::ALL.into_iter().for_each(|point| here.backend.release(point));
            here.gateway.drain().await;
        }
        for client in clients {
            // Those that are still there are lost with their process; a failed assertion of one is not.
            if client.is_finished()
                && let Err(error) = client.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        // Its wall time outlives the runtime.
        here.clock.go_on_here(here.clock.now());
        *house = Some(here);
    });
}

fn born(dice: &mut Dice) -> House {
    let (clock, backend) = backend();
    let backend = if dice.roll(2) == 0 { backend.telling_changes() } else { backend };
    let backend = if dice.roll(3) == 0 { backend.numbered(Numbering::Integers) } else { backend };
    let (cheap, by_uuid) = (dice.roll(2) == 0, dice.roll(2) == 0);
    let backend = backend.able(|can| {
        can.cheap_reads = cheap;
        can.marking = if by_uuid { Marking::Idempotent } else { Marking::Findable };
    });
    House::over(clock, Arc::new(backend), |plans| {
        plans.calls = CallLimits { timeout: Duration::from_secs(20), ..plans.calls };
    })
}

/// All faults are over, and time passes.
fn heal_and_check(house: House, told: &Shared, seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        house.clock.go_on_here(house.clock.now());
        let house = house.next_life();
        Point::ALL.into_iter().for_each(|point| house.backend.release(point));
        for call in ["intend", "may_send", "settle", "observe", "bind", "claim", "find", "ask_cancel"] {
            house.ledger.fail(call, 0);
        }
        house.backend.set_reachable(true);
        house.backend.on_cancel(OnCancel::EndAtOnce);
        house.backend.deliver_late();
        house.backend.add_foreign(crate::house::spec("other"));
        tokio::time::sleep(Duration::from_secs(7_200)).await;

        let rows = house.ledger.dump(None, 10_000).await.expect("rows");
        let mut natives = HashMap::new();
        let mut names = HashSet::new();
        for row in &rows {
            assert!(!row.phase.is_open(), "seed {seed}: {row:?} is still open");
            if row.phase != Phase::Accepted {
                continue;
            }
            let native = row.batch.id.native.clone().expect("an accepted batch has its id");
            assert!(natives.insert(native.clone(), row).is_none(), "seed {seed}: {native} has two rows");
            let name = row.batch.spec.name.clone().expect("all have names");
            assert!(name.starts_with('k') || names.insert(name), "seed {seed}: {row:?} ran twice");
        }
        for native in house.backend.ids() {
            let row = natives.get(&native).unwrap_or_else(|| panic!("seed {seed}: {native} has no row"));
            assert_eq!(Some(row.batch.state), job_state(&house, &native).await, "seed {seed}: {row:?}");
        }
        let (accepted, forgotten) = {
            let told = told.lock().expect("unpoisoned");
            (told.accepted.clone(), told.forgotten.clone())
        };
        for id in accepted.difference(&forgotten) {
            let shown = house.get(&format!("/jobs/{id}")).await;
            assert_eq!(shown.status, 200, "seed {seed}: {id} is lost, {shown:?}");
            assert_ne!(shown.text_of("state"), "unknown", "seed {seed}");
            assert!(
                !(shown.json["cancel_asked"] == true && shown.text_of("state") == "running"),
                "seed {seed}: a wish was lost"
            );
        }
    });
}

#[test]
fn the_promises_hold_in_any_weather() {
    let seeds: u64 = std::env::var("STORM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30);
    let first: u64 = std::env::var("STORM_FIRST").ok().and_then(|first| first.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let told = Shared::default();
        let (mut house, mut number) = (None, 0);
        for _ in 0..3 {
            let steps = 10 + dice.roll(40);
            live(&mut house, &told, &mut dice, &mut number, steps);
        }
        heal_and_check(house.expect("it lived"), &told, seed);
    }
}
