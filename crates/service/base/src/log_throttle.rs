//! Throttles log lines about frequent events.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one event per period into the log, with the number of events that were left out.
#[derive(Debug)]
pub struct LogThrottle {
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl LogThrottle {
    /// Creates a throttle that lets one event per `period` through.
    pub const fn new(period: Duration) -> Self {
        Self { period, state: Mutex::new(State { logged_at: None, unlogged: 0 }) }
    }

    /// Returns how many events were left out before this one. `None` if this one is left out too.
    pub fn count(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.logged_at.is_some_and(|at| now.duration_since(at) < self.period) {
            state.unlogged += 1;
            return None;
        }
        state.logged_at = Some(now);
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_events_one_a_period_is_logged_with_the_count_of_the_others() {
        let period = Duration::from_secs(60);
        let events = LogThrottle::new(period);
        assert_eq!(events.count(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(events.count(), None);
        }
        tokio::time::advance(period).await;
        assert_eq!(events.count(), Some(1_000));
        assert_eq!(events.count(), None);
    }
}
