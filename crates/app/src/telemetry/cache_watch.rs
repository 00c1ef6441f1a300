//! What the cache tells by its events: how long lookups take, and what its shared tier could not do.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_cache::{Event, Observer};
use tidegate_perfmon::{Histogram, Snapshot};
use tokio::time::Instant;

/// Failures of the shared tier come by the thousand while Redis is away: the log hears of one in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Listens to the cache.
#[derive(Debug, Default)]
pub struct CacheWatch {
    l1: Histogram,
    l2: Histogram,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    logged_at: Option<Instant>,
    unlogged: u64,
}

impl CacheWatch {
    /// How long lookups in this process took, on a sample of them.
    pub fn lookups(&self) -> Snapshot {
        self.l1.snapshot()
    }

    /// How long lookups in the shared tier took.
    pub fn shared_lookups(&self) -> Snapshot {
        self.l2.snapshot()
    }

    fn failed(&self, operation: &str, error: &(dyn Error + 'static)) {
        if let Some(unlogged) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).count(Instant::now()) {
            tracing::warn!(operation, unlogged, %error, "the cache goes on without its shared tier");
        }
    }
}

impl Failures {
    /// How many were not logged before this one, if this one is to be.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.logged_at.is_some_and(|at| now.duration_since(at) < LOG_PERIOD) {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

impl Observer for CacheWatch {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Lookup { tier, latency: Some(latency), .. } => {
                if *tier == "l1" { &self.l1 } else { &self.l2 }.record(*latency);
            }
            Event::TierFailed { operation, error, .. } => self.failed(operation, *error),
            Event::CodecFailed { error, .. } => self.failed("codec", *error),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_failures_one_a_minute_is_logged_with_their_count() {
        let mut failures = Failures::default();
        assert_eq!(failures.count(Instant::now()), Some(0));
        for _ in 0..1_000 {
            assert_eq!(failures.count(Instant::now()), None);
        }
        tokio::time::advance(LOG_PERIOD).await;
        assert_eq!(failures.count(Instant::now()), Some(1_000));
        assert_eq!(failures.count(Instant::now()), None);
    }
}
