//! One submit, and every order in which its request, its answer, its client's retry, time, crashes and a second process can meet, up to a
//! length: small enough to try them all, with the real router and the real rules of the ledger.
//!
//! Whatever happens, afterwards: one intent is at most one job; what a client was told holds; the ledger says accepted of what runs and of
//! nothing else; no submit stays open. A process dies by losing its way to the ledger and the backend; what it has sent arrives all the same.
//! That a request arrives later than `settle` after its sender was given up is excluded, as `settle` is defined by it.
//!
//! The same search over a process with a planted bug has to find it.

use std::{sync::Arc, time::Duration};

use batchlingua_core::{Backend, BatchSpec, Entry, Ledger, Phase};
use batchlingua_ledger::Options;
use batchlingua_testkit::{MemoryBackend, Point, SubmitFault};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    house::{Answer, House, VirtualClock, backend},
    mortal::{Mortal, Planted},
};

const KEY: &[(&str, &str)] = &[("idempotency-key", "k")];
/// Longer than a request may be under way: two steps of [`Event::TimePasses`].
const SETTLE: Duration = Duration::from_secs(100);
const STEP: Duration = Duration::from_secs(45);
/// For leases, looks and settling, several times over.
const AFTERWARDS: Duration = Duration::from_secs(500);
const ARRIVALS: [SubmitFault; 5] = [
    SubmitFault::None,
    SubmitFault::Refused,
    SubmitFault::UnknownButCreated,
    SubmitFault::UnknownAndNotCreated,
    SubmitFault::UnknownAndLate,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The request that waits at the backend's door is taken in, and this becomes of it.
    Arrives(SubmitFault),
    /// The answer goes back.
    IsAnswered,
    /// A request that was believed lost arrives.
    ArrivesLate,
    /// That process is killed.
    Dies(usize),
    /// A process begins, beside the one that lives or in the place of the dead.
    Begins,
    /// Its client tries again with its key, at that process.
    Retries(usize),
    /// Most of a lease.
    TimePasses,
}

struct Process {
    house: House,
    way: Arc<Mortal>,
    clients: Vec<JoinHandle<Answer>>,
}

/// What has happened so far.
struct World {
    clock: Arc<VirtualClock>,
    backend: Arc<MemoryBackend>,
    ledger: Arc<dyn Ledger>,
    replicas: bool,
    planted: Planted,
    processes: Vec<Process>,
    told: Vec<Answer>,
    taken_in: u64,
    answered: u64,
    late: bool,
    retries: usize,
    steps: usize,
}

impl World {
    async fn new(replicas: bool, planted: Planted) -> Self {
        let (clock, backend) = backend();
        let backend = Arc::new(backend.able(|can| can.settle = SETTLE));
        backend.add_foreign(BatchSpec { name: Some("another's".into()), ..BatchSpec::default() });
        backend.hold(Point::Submit);
        backend.hold(Point::SubmitAnswer);
        let options = Options { clock: clock.clone(), shared: replicas, ..Options::default() };
        let ledger = batchlingua_ledger::open("memory:", options).expect("a ledger");
        let mut world = Self {
            clock,
            backend,
            ledger,
            replicas,
            planted,
            processes: Vec::new(),
            told: Vec::new(),
            taken_in: 0,
            answered: 0,
            late: false,
            retries: 0,
            steps: 0,
        };
        world.begin().await;
        world.submit(0).await;
        world
    }

    async fn begin(&mut self) {
        let way = Mortal::new(self.backend.clone(), self.planted);
        let backends = vec![("here", way.clone() as Arc<dyn Backend>)];
        let house = House::of(self.clock.clone(), self.backend.clone(), self.ledger.clone(), |plans| {
            plans.backends = backends;
            plans.limits.sweep = Duration::from_secs(600);
        });
        if self.planted == Planted::ForgetsThatItSends {
            house.ledger.forget_sending();
        }
        house.settle_down().await;
        self.processes.push(Process { house, way, clients: Vec::new() });
    }

    async fn submit(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.clients.push(process.house.posting("/jobs", KEY, json!({ "file": "a.py", "name": "a" })));
        process.house.settle_down().await;
    }

    fn alive(&self) -> impl Iterator<Item = usize> {
        (0..self.processes.len()).filter(|at| !self.processes[*at].way.is_dead())
    }

    /// Whether a request is under way that may still become a job.
    fn is_under_way(&self) -> bool {
        self.late || self.backend.calls(Point::Submit) > self.taken_in
    }

    fn possible(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.backend.calls(Point::Submit) > self.taken_in {
            events.extend(ARRIVALS.map(Event::Arrives));
        }
        if self.backend.calls(Point::SubmitAnswer) > self.answered {
            events.push(Event::IsAnswered);
        }
        if self.late {
            events.push(Event::ArrivesLate);
        }
        events.extend(self.alive().map(Event::Dies));
        if self.alive().count() < if self.replicas { 2 } else { 1 } && self.processes.len() < 3 {
            events.push(Event::Begins);
        }
        if self.retries == 0 {
            events.extend(self.alive().map(Event::Retries));
        }
        if self.steps < 2 || !self.is_under_way() {
            events.push(Event::TimePasses);
        }
        events
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(what) => {
                self.backend.next_submits([what]);
                self.taken_in = self.backend.calls(Point::Submit);
                self.late |= what == SubmitFault::UnknownAndLate;
                self.pass(Point::Submit).await;
            }
            Event::IsAnswered => {
                self.answered = self.backend.calls(Point::SubmitAnswer);
                self.pass(Point::SubmitAnswer).await;
            }
            Event::ArrivesLate => {
                self.late = false;
                self.backend.deliver_late();
            }
            Event::Dies(at) => {
                self.listen().await;
                let process = &mut self.processes[at];
                process.clients.drain(..).for_each(|client| client.abort());
                process.house.ledger.die();
                process.way.die();
            }
            Event::Begins => self.begin().await,
            Event::Retries(at) => {
                self.retries += 1;
                self.submit(at).await;
            }
            Event::TimePasses => {
                self.steps += 1;
                tokio::time::sleep(STEP).await;
            }
        }
        self.processes[0].house.settle_down().await;
    }

    async fn pass(&self, point: Point) {
        self.backend.release(point);
        self.processes[0].house.settle_down().await;
        self.backend.hold(point);
    }

    /// Takes what clients have been told.
    async fn listen(&mut self) {
        for process in &mut self.processes {
            for client in process.clients.extract_if(.., |client| client.is_finished()) {
                self.told.push(client.await.expect("no client panics"));
            }
        }
    }

    /// What does not hold when all has come to rest.
    async fn faults(mut self) -> Vec<String> {
        if self.alive().next().is_none() {
            self.begin().await;
        }
        // Whoever has got in gets his answer; who has not is lost on the way.
        self.backend.release(Point::SubmitAnswer);
        tokio::time::sleep(AFTERWARDS).await;
        self.listen().await;
        let mut faults = Vec::new();
        let rows = self.ledger.dump(None, 100).await.expect("rows");
        let ours: Vec<&Entry> = rows.iter().filter(|row| row.dialect.is_some()).collect();
        let jobs = self.backend.jobs_created();
        let accepted = ours.iter().filter(|row| row.phase == Phase::Accepted).count() as u64;
        let phases: Vec<_> = ours.iter().map(|row| row.phase).collect();
        if jobs > 1 {
            faults.push(format!("{jobs} jobs of one intent"));
        }
        if accepted != jobs {
            faults.push(format!("{jobs} jobs, and the ledger says {phases:?}"));
        }
        if phases.iter().any(|phase| phase.is_open()) {
            faults.push(format!("open for ever: {phases:?}"));
        }
        if rows.len() - ours.len() > 1 {
            faults.push("our job was taken for somebody else's".to_owned());
        }
        let is_definite = |answer: &Answer| answer.header("batchlingua-outcome").is_none() && answer.status != 409;
        if jobs > 0 && !self.told.is_empty() && self.told.iter().all(|told| is_definite(told) && told.status != 201) {
            faults.push(format!("it runs, and its client was told {:?}", self.told));
        }
        let at = self.alive().next().expect("one lives");
        for told in self.told.iter().filter(|told| told.status == 201) {
            let shown = self.processes[at].house.get(&format!("/jobs/{}", told.text_of("uuid"))).await;
            if (shown.status.as_u16(), shown.text_of("native")) != (200, told.text_of("native")) {
                faults.push(format!("a client was told {told:?}, and its id shows {shown:?}"));
            }
        }
        if self.processes.iter().map(|process| process.way.sent()).sum::<usize>() > 1 && self.retries == 0 {
            faults.push("it was sent twice".to_owned());
        }
        faults
    }
}

/// Runs one history, in a world of its own; what can happen next, and what does not hold after it.
fn run(history: &[Event], replicas: bool, planted: Planted) -> (Vec<Event>, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(replicas, planted).await;
        for event in history {
            world.happen(*event).await;
        }
        (world.possible(), world.faults().await)
    })
}

/// Tries all histories up to that length, the short ones first; how many there were, and the first that ends badly.
fn search(longest: usize, replicas: bool, planted: Planted) -> (usize, Option<String>) {
    let (mut histories, mut tried) = (vec![Vec::new()], 0);
    for _ in 0..=longest {
        let mut longer = Vec::new();
        for history in histories {
            let (possible, faults) = run(&history, replicas, planted);
            tried += 1;
            if !faults.is_empty() {
                return (tried, Some(format!("after {history:?}: {}", faults.join("; "))));
            }
            longer.extend(possible.into_iter().map(|event| [&history[..], &[event]].concat()));
        }
        histories = longer;
    }
    (tried, None)
}

#[test]
fn a_submit_survives_every_order_of_events_around_one_process_at_a_time() {
    let (tried, bad) = search(4, false, Planted::Nothing);
    assert_eq!(bad, None);
    assert!(tried > 500, "only {tried} histories");
}

#[test]
fn a_submit_survives_every_order_of_events_around_two_processes() {
    let (tried, bad) = search(4, true, Planted::Nothing);
    assert_eq!(bad, None);
    assert!(tried > 1_000, "only {tried} histories");
}

#[test]
fn each_planted_bug_is_found() {
    for planted in
        [Planted::SendsAgain, Planted::TakesUnknownForUnsent, Planted::BelievesAbsence, Planted::ForgetsThatItSends]
    {
        let (tried, bad) = search(4, false, planted);
        assert!(bad.is_some(), "{planted:?} was not found in {tried} histories");
    }
}
