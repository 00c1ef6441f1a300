//! Observes the events of the cache: durations of lookups, and failures of the shared tier.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_cache::{Event, Observer, Removal};
use tidegate_perfmon::{Kind, OperationHandle, OperationSnapshot, Registry, Totals, Window};

/// Minimum interval between log lines about failures of the shared tier. While Redis is unreachable
/// there are thousands.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Window of the lookup times that are shown.
const SHOWN: Window = Window::Minutes(5);

/// The observer of the cache. Lookup times are operations of the registry, named after the tiers.
#[derive(Debug)]
pub struct CacheWatch {
    l1: Arc<OperationHandle>,
    l2: Option<Arc<OperationHandle>>,
    expiries: AtomicU64,
    failures: LogThrottle,
}

impl CacheWatch {
    /// Makes an observer that records into `registry`. `is_shared` is whether there is a shared
    /// tier.
    pub fn new(registry: &Registry, is_shared: bool) -> Self {
        let tier = |name| registry.operation_handle(Kind::Cache, name);
        Self {
            l1: tier("l1"),
            l2: is_shared.then(|| tier("l2")),
            expiries: AtomicU64::new(0),
            failures: LogThrottle::new(LOG_PERIOD),
        }
    }

    /// Recent durations of lookups in this process, from a sample.
    pub fn lookups(&self) -> OperationSnapshot {
        self.l1.window(SHOWN)
    }

    /// Recent durations of lookups in the shared tier. `None` if there is none.
    pub fn shared_lookups(&self) -> Option<OperationSnapshot> {
        self.l2.as_ref().map(|l2| l2.window(SHOWN))
    }

    /// Durations of lookups of each tier since the start.
    pub(super) fn totals(&self) -> Vec<(&'static str, Totals)> {
        let shared = self.l2.as_ref().map(|l2| ("l2", l2.totals().latency));
        [Some(("l1", self.l1.totals().latency)), shared].into_iter().flatten().collect()
    }

    /// Number of entries that were removed from this process because they had expired, counted when
    /// that was found.
    pub fn expiries(&self) -> u64 {
        self.expiries.load(Ordering::Relaxed)
    }

    fn failed(&self, operation: &str, error: &(dyn Error + 'static)) {
        if let Some(unlogged) = self.failures.count() {
            tracing::warn!(operation, unlogged, %error, "the cache continues without its shared tier");
        }
    }
}

impl Observer for CacheWatch {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::Lookup { tier, latency, .. } => {
                let tier = if *tier == "l1" { Some(&self.l1) } else { self.l2.as_ref() };
                if let (Some(tier), Some(latency)) = (tier, latency) {
                    tier.record(*latency);
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
