//! The values of this process that advice may change.
//!
//! Limits of a tenant's plan are not among them: only operators change those.

use std::ops::RangeInclusive;

use tidegate_cache::TieredCache;
use tidegate_perfmon::action::{Actuator, Refused};
use tidegate_queue::Concurrency;

/// Maximum factor by which a value may differ from the configured one, in either direction.
const REACH: f64 = 2.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Maximum bytes of L1: from half to twice the configured value.
pub struct CacheRoom {
    cache: TieredCache,
    configured: f64,
}

impl CacheRoom {
    /// Makes it for a cache that was built with `configured` bytes.
    #[expect(clippy::cast_precision_loss, reason = "no machine has 2⁵³ bytes of memory")]
    pub fn new(cache: TieredCache, configured: u64) -> Self {
        Self { cache, configured: configured as f64 }
    }
}

impl Actuator for CacheRoom {
    fn name(&self) -> &str {
        "cache:l1"
    }

    #[expect(clippy::cast_precision_loss, reason = "no machine has 2⁵³ bytes of memory")]
    fn now(&self) -> f64 {
        let l1 = self.cache.stats().tiers.into_iter().find_map(|tier| tier.capacity);
        l1.map_or(self.configured, |bytes| bytes as f64)
    }

    fn bounds(&self) -> RangeInclusive<f64> {
        // The configured bytes may be reduced by the remainder of the division among shards.
        self.configured / REACH..=self.configured * REACH
    }

    fn grain(&self) -> f64 {
        MIB
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds, which are positive"
    )]
    fn set(&self, to: f64) -> Result<(), Refused> {
        self.cache.set_l1_capacity(to as u64);
        Ok(())
    }
}

/// Number of concurrent jobs of a queue in this process: from one to twice the configured value.
pub struct JobsAtOnce {
    name: String,
    concurrency: Concurrency,
    configured: usize,
}

impl JobsAtOnce {
    /// Makes it for a queue.
    pub fn new(queue: &str, concurrency: Concurrency) -> Self {
        Self { name: format!("workers:{queue}"), configured: concurrency.get(), concurrency }
    }
}

#[expect(clippy::cast_precision_loss, reason = "jobs that run at once")]
impl Actuator for JobsAtOnce {
    fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> f64 {
        self.concurrency.get() as f64
    }

    fn bounds(&self) -> RangeInclusive<f64> {
        1.0..=self.configured as f64 * REACH
    }

    fn grain(&self) -> f64 {
        1.0
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the bounds, which are positive"
    )]
    fn set(&self, to: f64) -> Result<(), Refused> {
        self.concurrency.set(to as usize);
        Ok(())
    }
}
