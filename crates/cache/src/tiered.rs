//! The cache as a whole.

use std::fmt;
use std::sync::Arc;

use crate::memory;
use crate::stats::{CacheStats, ClassStats, TierStats};
use crate::tiers::Tiers;

/// A cache of values of all types. [`TypedCache`](crate::TypedCache) handles read and fill it. The
/// methods here invalidate.
///
/// Cloning copies a pointer; clones are one cache.
#[derive(Clone)]
pub struct TieredCache {
    pub(crate) tiers: Arc<Tiers>,
}

impl TieredCache {
    /// Changes the capacity of L1, in entries or bytes as it was built. The remainder that the
    /// shards cannot divide is lost.
    ///
    /// If it is smaller, entries are removed at once until it fits, a shard at a time under its
    /// lock. Their number counts as evictions. [`Event::Evicted`](crate::Event::Evicted) and
    /// [`TypedCache::on_removal`](crate::TypedCache::on_removal) do not report them one by one. The
    /// largest value that L1 takes grows and shrinks with it.
    pub fn set_l1_capacity(&self, capacity: u64) {
        self.tiers.memory.set_capacity(capacity);
    }

    /// Frees the space of dead entries now and returns their number. A thread does so at intervals.
    pub fn sweep(&self) -> usize {
        self.tiers.sweep()
    }

    /// Returns the content and the counters of the cache. Costs a lock per shard.
    pub fn stats(&self) -> CacheStats {
        let memory = &self.tiers.memory;
        let classes: Vec<ClassStats> = self.tiers.classes.all().iter().map(|class| ClassStats::of(class)).collect();
        let l1 = TierStats {
            tier: memory::NAME,
            entries: Some(memory.entries()),
            capacity: Some(memory.capacity()),
            weight: Some(memory.weight_held()),
            hits: classes.iter().map(|class| class.hits + class.stale_hits).sum(),
            misses: classes.iter().map(|class| class.misses).sum(),
            from_replicas: 0,
            evictions: Some(memory.evictions()),
            errors: 0,
            codec_errors: 0,
            owed: 0,
            is_followed: true,
            is_available: true,
        };
        let tiers = std::iter::once(l1).chain(self.tiers.l2.as_ref().map(|l2| l2.stats())).collect();
        CacheStats { tiers, classes }
    }
}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache").field("entries", &self.tiers.memory.entries()).finish_non_exhaustive()
    }
}
