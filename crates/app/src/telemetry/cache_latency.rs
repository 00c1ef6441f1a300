//! How long lookups take, from the events of the cache.

use tidegate_cache::{Event, Observer};
use tidegate_perfmon::{Histogram, Snapshot};

/// Collects the sampled latencies of lookups.
#[derive(Debug, Default)]
pub struct CacheLatency {
    lookups: Histogram,
}

impl CacheLatency {
    /// What was collected so far.
    pub fn snapshot(&self) -> Snapshot {
        self.lookups.snapshot()
    }
}

impl Observer for CacheLatency {
    fn on(&self, event: &Event<'_>) {
        if let Event::Lookup { latency: Some(latency), .. } = event {
            self.lookups.record(*latency);
        }
    }
}
