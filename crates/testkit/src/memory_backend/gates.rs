//! Where calls are counted and can be held: a test that wants a slow backend holds it, and awaits the call's arrival instead of a time.

use tokio::sync::watch;

/// A point that calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A probe begins.
    Probe,
    /// A submit begins; nothing has been made.
    Submit,
    /// A submit has been decided and, if so, the job made; its answer is still to go.
    SubmitAnswer,
    /// A look for a marker begins.
    LookUp,
    /// A get begins.
    Get,
    /// A get has been read; its answer is still to go.
    GetAnswer,
    /// A step of a walk begins.
    Scan,
    /// A step of a walk has been read; its answer is still to go.
    ScanAnswer,
    /// A log call begins.
    Log,
    /// A control begins.
    Control,
}

impl Point {
    /// All points.
    pub const ALL: [Self; 10] = [
        Self::Probe,
        Self::Submit,
        Self::SubmitAnswer,
        Self::LookUp,
        Self::Get,
        Self::GetAnswer,
        Self::Scan,
        Self::ScanAnswer,
        Self::Log,
        Self::Control,
    ];
}

#[derive(Default)]
struct Traffic {
    held: [bool; Point::ALL.len()],
    waiting: [usize; Point::ALL.len()],
    arrived: [u64; Point::ALL.len()],
}

pub(super) struct Gates(watch::Sender<Traffic>);

impl Gates {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Traffic::default()))
    }

    /// Counts a call and holds it for as long as its point is held. A call that is dropped here no longer waits.
    pub(super) async fn pass(&self, point: Point) {
        let at = point as usize;
        self.0.send_modify(|traffic| {
            traffic.arrived[at] += 1;
            traffic.waiting[at] += 1;
        });
        let _leaving = Leaving { gates: self, at };
        self.until(|traffic| !traffic.held[at]).await;
    }

    pub(super) fn hold(&self, point: Point, held: bool) {
        self.0.send_modify(|traffic| traffic.held[point as usize] = held);
    }

    pub(super) fn arrived(&self, point: Point) -> u64 {
        self.0.borrow().arrived[point as usize]
    }

    pub(super) async fn until_waiting(&self, point: Point, calls: usize) {
        self.until(|traffic| traffic.held[point as usize] && traffic.waiting[point as usize] >= calls).await;
    }

    pub(super) async fn until_arrived(&self, point: Point, calls: u64) {
        self.until(|traffic| traffic.arrived[point as usize] >= calls).await;
    }

    async fn until(&self, holds: impl FnMut(&Traffic) -> bool) {
        let mut seen = self.0.subscribe();
        seen.wait_for(holds).await.expect("the sender is ours and outlives this call");
    }
}

struct Leaving<'a> {
    gates: &'a Gates,
    at: usize,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.gates.0.send_modify(|traffic| traffic.waiting[self.at] -= 1);
    }
}
