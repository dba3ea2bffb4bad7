//! A connection that is made again when it is lost: at once, then with growing pauses, between which whoever asks is refused at once.

use std::time::{Duration, Instant};

use super::{
    connection::{Connection, Fault},
    url::Place,
};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Slot {
    place: Place,
    within: Duration,
    connection: Option<Connection>,
    pause: Duration,
    not_before: Instant,
    why: String,
}

impl Slot {
    pub(super) fn new(place: Place, within: Duration) -> Self {
        let (pause, why) = (FIRST_PAUSE, String::new());
        Self { place, within, connection: None, pause, not_before: Instant::now(), why }
    }

    /// A connection that is not known to be lost; `true` if it is a new one.
    pub(super) fn get(&mut self) -> Result<(&Connection, bool), Fault> {
        let is_new = self.connection.as_ref().is_none_or(Connection::is_lost);
        if is_new {
            self.connection = None;
            self.open()?;
        }
        self.connection.as_ref().map(|connection| (connection, is_new)).ok_or_else(|| Fault::Lost(self.why.clone()))
    }

    fn open(&mut self) -> Result<(), Fault> {
        if Instant::now() < self.not_before {
            return Err(Fault::Lost(self.why.clone()));
        }
        match Connection::open(&self.place, self.within) {
            Ok(connection) => {
                (self.connection, self.pause) = (Some(connection), FIRST_PAUSE);
                Ok(())
            }
            Err(fault) => {
                self.why = fault.text();
                self.not_before = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Err(Fault::Lost(self.why.clone()))
            }
        }
    }
}
