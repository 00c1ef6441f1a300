//! Settings of a cache.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::class::ClassTable;
use crate::clock::{Clock, SystemClock};
use crate::event::Observer;
use crate::fence::Fence;
use crate::flight::FlightTable;
#[cfg(feature = "redis")]
use crate::l2::{self, L2, RedisTier};
use crate::memory::{Capacity, Memory};
use crate::sweep::{self, Bell};
use crate::tiered::{TieredCache, Tiers};
use crate::warm_up::Heat;

/// Shortest time between two sweeps.
const SHORTEST_SWEEP: Duration = Duration::from_millis(100);

/// Settings of a [`TieredCache`]: 10,000 entries, the system's clock, a sweep every 30 s, nobody listening.
#[must_use = "a builder does nothing until `build`"]
pub struct TieredCacheBuilder {
    capacity: Capacity,
    observer: Option<Arc<dyn Observer>>,
    clock: Arc<dyn Clock>,
    sweep_every: Duration,
    #[cfg(feature = "redis")]
    l2: Option<RedisTier>,
}

impl Default for TieredCacheBuilder {
    fn default() -> Self {
        Self {
            capacity: Capacity::Entries(10_000),
            observer: None,
            clock: Arc::new(SystemClock::new()),
            sweep_every: Duration::from_secs(30),
            #[cfg(feature = "redis")]
            l2: None,
        }
    }
}

impl TieredCacheBuilder {
    /// The most that is held in process memory.
    pub fn capacity(mut self, capacity: Capacity) -> Self {
        self.capacity = capacity;
        self
    }

    /// Who hears of events.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The clock that everything goes by, except the interval of the sweeper.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How often dead entries are removed, in real time; at least 100 ms apart.
    pub fn sweep_every(mut self, interval: Duration) -> Self {
        self.sweep_every = interval.max(SHORTEST_SWEEP);
        self
    }

    /// A tier behind L1 that processes share, for handles with a codec
    /// ([`TieredCache::typed_with_codec`]).
    #[cfg(feature = "redis")]
    pub fn l2(mut self, tier: RedisTier) -> Self {
        self.l2 = Some(tier);
        self
    }

    /// Builds the cache and starts the thread of its sweeper. With an L2 also the task that follows its changes.
    ///
    /// # Panics
    ///
    /// With an L2, when there is no tokio runtime here.
    pub fn build(self) -> TieredCache {
        let bell = Arc::new(Bell::default());
        #[cfg(feature = "redis")]
        let l2 = self.l2.map(|tier| L2::new(tier, Arc::clone(&self.clock), self.observer.clone()));
        let tiers = Arc::new(Tiers {
            memory: Memory::new(self.capacity),
            flights: FlightTable::new(),
            fence: Fence::new(),
            classes: ClassTable::default(),
            heat: Heat::new(),
            clock: self.clock,
            observer: self.observer,
            bell: Arc::clone(&bell),
            #[cfg(feature = "redis")]
            l2,
        });
        #[cfg(feature = "redis")]
        if tiers.l2.is_some() {
            tokio::spawn(l2::follow(Arc::downgrade(&tiers)));
        }
        sweep::start(Arc::downgrade(&tiers), bell, self.sweep_every);
        TieredCache { tiers }
    }
}

impl fmt::Debug for TieredCacheBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCacheBuilder")
            .field("capacity", &self.capacity)
            .field("sweep_every", &self.sweep_every)
            .finish_non_exhaustive()
    }
}
