//! Settings of a cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tiered::TieredCache;
#[cfg(feature = "redis")]
use tidegate_cache_tiers::RedisTier;
use tidegate_cache_tiers::{Capacity, Observer, start::Settings};
use tidegate_clock::Clock;

/// Shortest time between two sweeps.
const SHORTEST_SWEEP: Duration = Duration::from_millis(100);

/// Settings of a [`TieredCache`]. Defaults: 10,000 entries, the system's clock, a sweep every 30 s,
/// no observer.
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct TieredCacheBuilder {
    settings: Settings,
}

impl TieredCache {
    /// Starts the settings of a cache.
    pub fn builder() -> TieredCacheBuilder {
        TieredCacheBuilder::default()
    }
}

impl TieredCacheBuilder {
    /// Sets the maximum content in process memory.
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.settings.capacity = capacity;
        self
    }

    /// Sets the observer of events.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.settings.observer = Some(observer);
        self
    }

    /// Sets the clock of the cache, and of the HTTP layers and session stores on it. The sweeper's
    /// interval and the time-outs of loads use real time.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.settings.clock = clock.into();
        self
    }

    /// Sets how often dead entries are removed, in real time; at least 100 ms apart.
    pub fn sweep_every(mut self, interval: Duration) -> Self {
        self.settings.sweep_every = interval.max(SHORTEST_SWEEP);
        self
    }

    /// Makes randomness repeatable, for tests: the spread of lifetimes and early refreshes.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Maximum number of loaders that run at once (at least one), and maximum wait of a load for
    /// its turn. After that wait its callers get [`LoadError::Refused`](crate::LoadError::Refused).
    /// The default is no limit.
    ///
    /// Loads get their turn in the order of their requests, refreshes included.
    /// [`Event::LoadQueued`] reports each load that has to wait. Values from L2 need no turn.
    ///
    /// If a loader waits for another load, that load runs on the permit of the loader. So it never
    /// waits for a permit that its own waiter holds. A loader that waits for a thousand loads at
    /// once has them run at once. This is tracked by task: a loader that waits for a task of its
    /// own, which loads, may wait in vain, but no longer than `wait`.
    ///
    /// The runtimes of the loads need their timers (`enable_time`).
    ///
    /// [`Event::LoadQueued`]: crate::Event::LoadQueued
    pub fn max_loads(mut self, count: u32, wait: Duration) -> Self {
        self.settings.max_loads = Some((count, wait));
        self
    }

    /// A tier behind L1 that processes share, for handles with a codec
    /// ([`TieredCache::typed_with_codec`]).
    #[cfg(feature = "redis")]
    pub fn l2(mut self, tier: RedisTier) -> Self {
        self.settings.l2 = Some(tier);
        self
    }

    /// Builds the cache, starts its sweeper thread and, with an L2, the task that follows changes.
    ///
    /// # Panics
    ///
    /// With an L2, if there is no tokio runtime.
    pub fn build(self) -> TieredCache {
        TieredCache { tiers: self.settings.start() }
    }
}

impl fmt::Debug for TieredCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCacheBuilder")
            .field("capacity", &self.settings.capacity)
            .field("sweep_every", &self.settings.sweep_every)
            .finish_non_exhaustive()
    }
}
