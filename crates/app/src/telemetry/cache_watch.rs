//! What the cache tells by its events: how long lookups take, and what its shared tier could not do.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_cache::{Event, LookupOutcome, Observer};
use tidegate_perfmon::{Histogram, Snapshot};

use super::Seldom;

/// Failures of the shared tier come by the thousand while Redis is away: the log hears of one in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Listens to the cache.
#[derive(Debug)]
pub struct CacheWatch {
    l1: Histogram,
    l2: Histogram,
    /// By class. A lock that is only taken behind a round trip costs nothing.
    shared_hits: Mutex<BTreeMap<&'static str, u64>>,
    failures: Seldom,
}

impl Default for CacheWatch {
    fn default() -> Self {
        Self {
            l1: Histogram::default(),
            l2: Histogram::default(),
            shared_hits: Mutex::default(),
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

    /// Lookups of the class that found a value in the shared tier, fresh or stale.
    pub fn shared_hits(&self, class: &str) -> u64 {
        self.shared_hits.lock().unwrap_or_else(PoisonError::into_inner).get(class).copied().unwrap_or_default()
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
            Event::Lookup { class, tier, outcome, latency } => {
                let is_shared = *tier != "l1";
                if is_shared && *outcome != LookupOutcome::Miss {
                    *self.shared_hits.lock().unwrap_or_else(PoisonError::into_inner).entry(*class).or_default() += 1;
                }
                if let Some(latency) = latency {
                    if is_shared { &self.l2 } else { &self.l1 }.record(*latency);
                }
            }
            Event::TierFailed { operation, error, .. } => self.failed(operation, *error),
            Event::CodecFailed { error, .. } => self.failed("codec", *error),
            _ => {}
        }
    }
}
