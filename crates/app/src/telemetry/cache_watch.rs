//! What the cache tells by its events: how long lookups take, and what its shared tier could not do.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_cache::{Event, Observer, Removal};
use tidegate_perfmon::{Histogram, Snapshot};

use super::Seldom;

/// Failures of the shared tier come by the thousand while Redis is away: the log hears of one in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Listens to the cache.
#[derive(Debug)]
pub struct CacheWatch {
    l1: Histogram,
    l2: Histogram,
    expiries: AtomicU64,
    failures: Seldom,
}

impl Default for CacheWatch {
    fn default() -> Self {
        Self {
            l1: Histogram::default(),
            l2: Histogram::default(),
            expiries: AtomicU64::new(0),
            failures: Seldom::new(LOG_PERIOD),
        }
    }
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

    /// Entries that left this process because their time was over, when that was found.
    pub fn expiries(&self) -> u64 {
        self.expiries.load(Ordering::Relaxed)
    }

    fn failed(&self, operation: &str, error: &(dyn Error + 'static)) {
        if let Some(unlogged) = self.failures.count() {
            tracing::warn!(operation, unlogged, %error, "the cache goes on without its shared tier");
        }
    }
}

impl Observer for CacheWatch {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Lookup { tier, latency, .. } => {
                let is_shared = *tier != "l1";
                if let Some(latency) = latency {
                    if is_shared { &self.l2 } else { &self.l1 }.record(*latency);
                }
            }
            Event::Removed { cause: Removal::Expired, .. } => {
                self.expiries.fetch_add(1, Ordering::Relaxed);
            }
            Event::TierFailed { operation, error, .. } => self.failed(operation, *error),
            Event::CodecFailed { error, .. } => self.failed("codec", *error),
            _ => {}
        }
    }
}
