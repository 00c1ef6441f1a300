//! What the cache tells by its events: how long lookups take, and what its shared tier could not do.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_base::Seldom;
use tidegate_cache::{Event, Observer, Removal};
use tidegate_perfmon::{Kind, OperationHandle, OperationSnapshot, Registry, Totals, Window};

/// Failures of the shared tier come by the thousand while Redis is away: the log hears of one in so long.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// How far back the times of lookups are shown.
const SHOWN: Window = Window::Minutes(5);

/// Listens to the cache. The times of lookups are operations of the registry, named as their tiers are.
#[derive(Debug)]
pub struct CacheWatch {
    l1: Arc<OperationHandle>,
    l2: Option<Arc<OperationHandle>>,
    expiries: AtomicU64,
    failures: Seldom,
}

impl CacheWatch {
    /// Records into `registry`; `is_shared` where there is a shared tier too.
    pub fn new(registry: &Registry, is_shared: bool) -> Self {
        let tier = |name| registry.operation_handle(Kind::Cache, name);
        Self {
            l1: tier("l1"),
            l2: is_shared.then(|| tier("l2")),
            expiries: AtomicU64::new(0),
            failures: Seldom::new(LOG_PERIOD),
        }
    }

    /// How long lookups in this process took lately, on a sample of them.
    pub fn lookups(&self) -> OperationSnapshot {
        self.l1.window(SHOWN)
    }

    /// How long lookups in the shared tier took lately; `None` where there is none.
    pub fn shared_lookups(&self) -> Option<OperationSnapshot> {
        self.l2.as_ref().map(|l2| l2.window(SHOWN))
    }

    /// The times of each tier since the start.
    pub(super) fn totals(&self) -> Vec<(&'static str, Totals)> {
        let shared = self.l2.as_ref().map(|l2| ("l2", l2.totals().latency));
        [Some(("l1", self.l1.totals().latency)), shared].into_iter().flatten().collect()
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
