//! A platform that fails in every way that a network and a server can, and knows the truth.
//!
//! It speaks Livy, Kyuubi or DLI over raw TCP, since a server that speaks HTTP well cannot speak it badly. By a seed it resets, stalls, answers
//! garbage, hides what it has made, goes away, and comes back without its memory; meanwhile it keeps every job that it really made, with its true end. What others say
//! happened is held against that. The same seed does the same to the same requests, so that a run that went wrong can be made again.

mod dice;
mod dli;
mod kyuubi;
mod livy;
mod speech;
mod wire;
mod world;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::sleep};

pub use dice::{Fault, Pace, Rates, mix, mix_text};
pub use speech::Speech;
pub use world::{End, Job};

use dice::{Call, Dice};
use world::World;

/// A platform that runs until it is dropped.
pub struct Platform {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    speech: Speech,
    dice: Dice,
    pace: Pace,
    world: Mutex<World>,
    /// How many requests of each kind have come.
    counts: [AtomicU64; 4],
    done: Mutex<BTreeMap<Fault, u64>>,
    goes_away: Notify,
    /// Whether it comes back without its memory.
    forgets: AtomicBool,
    is_calm: AtomicBool,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nothing panics while it is held")
    }

    /// What the next request of this kind meets.
    fn next_fault(&self, call: Call) -> Option<Fault> {
        let number = self.counts[call as usize].fetch_add(1, Ordering::SeqCst);
        let fault = self.dice.fault(call, number).filter(|_| !self.is_calm.load(Ordering::SeqCst))?;
        *self.done.lock().expect("nothing panics while it is held").entry(fault).or_default() += 1;
        Some(fault)
    }
}

impl Platform {
    /// Starts one on a port of its own.
    pub async fn start(speech: Speech, seed: u64, rates: Rates, pace: Pace) -> std::io::Result<Self> {
        // It goes away and comes back at the same address.
        let listener = TcpListener::bind(("127.0.0.1", crate::lasting_port())).await?;
        let address = listener.local_addr()?;
        let seed = mix_text(seed, &format!("{speech:?}"));
        let shared = Arc::new(Shared {
            speech,
            dice: Dice { seed, rates },
            pace,
            world: Mutex::new(World::new(seed, pace, speech == Speech::Livy)),
            counts: Default::default(),
            done: Mutex::default(),
            goes_away: Notify::new(),
            forgets: AtomicBool::new(false),
            is_calm: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, address, shared.clone()));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it does nothing wrong any more.
    pub fn calm_down(&self) {
        self.shared.is_calm.store(true, Ordering::SeqCst);
    }

    /// A batch that somebody submits to it directly.
    pub fn add_foreign(&self) {
        self.shared.speech.add_foreign(&mut self.shared.world());
    }

    /// Every job that it has really made.
    pub fn jobs(&self) -> Vec<Job> {
        self.shared.world().jobs.clone()
    }

    /// What was asked about the job that is known by this, when, and what was done to the request.
    pub fn history(&self, label: &str) -> Vec<(Instant, String)> {
        self.shared.world().history(label)
    }

    /// How often each fault was made.
    pub fn faults(&self) -> BTreeMap<Fault, u64> {
        self.shared.done.lock().expect("nothing panics while it is held").clone()
    }
}

/// Until the platform is dropped. Each time that it goes away, all its connections go with it.
async fn listen(mut listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    loop {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shared.goes_away.notified() => break,
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let _ = stream.set_nodelay(true);
                    let shared = shared.clone();
                    connections.spawn(async move { _ = wire::serve(stream, &shared).await });
                }
                // Those that have ended take no room.
                Some(_) = connections.join_next() => {}
            }
        }
        drop((listener, connections));
        if shared.forgets.swap(false, Ordering::SeqCst) {
            shared.world().forget();
        }
        sleep(shared.pace.away).await;
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                // The port is its own: what stands in the way goes away.
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
    }
}

#[cfg(test)]
mod tests;
