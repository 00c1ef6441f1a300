//! Permits for concurrent loads. A load without a permit waits in line for a while.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::flight::Flight;

/// A number of permits, given out in the order of the requests.
#[derive(Debug)]
pub(crate) struct Places {
    free: Semaphore,
    wait: Duration,
}

/// There was no permit within the maximum waiting time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Places {
    pub(crate) fn new(count: u32, wait: Duration) -> Self {
        let count = usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Semaphore::new(count), wait }
    }

    /// Waits for a permit for the load of this flight. `None` for a load that needs no permit,
    /// because a load with a permit waits for it. Calls `in_line` before it waits.
    pub(crate) async fn enter(
        &self,
        flight: &Flight,
        in_line: impl FnOnce(),
    ) -> Result<Option<SemaphorePermit<'_>>, Full> {
        if flight.is_exempt() {
            return Ok(None);
        }
        if let Ok(place) = self.free.try_acquire() {
            return Ok(Some(place));
        }
        in_line();
        let turn = pin!(timeout(self.wait, self.free.acquire()));
        match select(turn, pin!(flight.exempted())).await {
            // The semaphore is never closed.
            Either::Left((turn, _)) => turn.map_or(Err(Full), |place| Ok(place.ok())),
            Either::Right(((), _)) => Ok(None),
        }
    }
}
