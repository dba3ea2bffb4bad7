//! Pages of a list that is walked: as large as the platform's answers allow.
//!
//! One large page is one call where small ones are many. But a row may be long (lines of a log, what a cluster says of an end), and a page that is
//! larger than `max_answer` would end every walk: so it is asked for again with a tenth of the rows, and so are all after it.

use std::sync::atomic::{AtomicU32, Ordering};

use batchlingua_core::Context;

use super::{Answer, Call, Client, UpstreamError};

/// A page of so few rows that is too large stays a fault.
const FEWEST: u32 = 10;

/// How many rows are asked for at once.
#[derive(Debug)]
pub struct PageSize(AtomicU32);

impl PageSize {
    /// At most so many.
    pub fn new(most: u32) -> Self {
        Self(AtomicU32::new(most))
    }

    /// Asks for a page with a read that `call` makes for so many rows; for how many it was asked in the end, and the answer.
    pub async fn exchange(
        &self,
        client: &Client,
        ctx: &Context,
        call: impl Fn(u32) -> Call,
    ) -> Result<(u32, Answer), UpstreamError> {
        loop {
            let rows = self.0.load(Ordering::Relaxed);
            match client.exchange(ctx, call(rows)).await {
                Err(UpstreamError::TooLarge { .. }) if rows > FEWEST => {
                    // Another walk may have been told the same meanwhile.
                    self.0.fetch_min((rows / 10).max(FEWEST), Ordering::Relaxed);
                }
                answered => return answered.map(|answer| (rows, answer)),
            }
        }
    }
}
