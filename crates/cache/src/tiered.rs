//! The cache as a whole.

use std::fmt;
use std::sync::Arc;

use tidegate_cache_tiers::{CacheStats, tiers::Tiers};

/// A cache of values of all types. [`TypedCache`](crate::TypedCache) reads and fills it.
///
/// Cloning copies a pointer; clones are one cache.
///
/// # Tiers
///
/// L1 is in process. With the feature `redis`, `TieredCacheBuilder::l2` adds a tier that processes
/// share, for handles that have a codec. A miss in both tiers calls the loader, which fills L2 and
/// L1.
///
/// ```
/// # #[cfg(feature = "json")]
/// # mod example {
/// use std::time::Duration;
///
/// use tidegate_cache::{Json, RedisTier, TieredCache, TtlClass, TypedCache};
/// use tidegate_redis::{Client, Keyspace};
///
/// # pub
/// fn schedules(redis: Client, keys: &Keyspace) -> TypedCache<Vec<u64>> {
///     let cache = TieredCache::builder().l2(RedisTier::new(redis, keys)).build();
///     cache.typed_with_codec(TtlClass::COMPUTATION.l2_ttl(Duration::from_mins(10)), Json::new())
/// }
/// # }
/// ```
///
/// A codec defines the form of a value in L2: `Json` (feature `json`), `MessagePack`
/// (`messagepack`), `RawBytes`, or one of your own. `Compressed` (`zstd`) wraps any of them. Every
/// entry names its codec and version. An entry of another codec or above the codec's limit is a
/// miss, and is reported.
///
/// A value past its lifetime, but within the grace of its class, is served as stale while it is
/// reloaded, from L1 or L2. So a process that has just started need not wait for its first loads.
///
/// While Redis is away, L2 is a miss that costs microseconds, and L1 continues to serve. An
/// invalidation that does not reach Redis returns an error ([`Owed`]), is kept, and is sent before
/// this process reads L2 again. If Redis refuses one for good (an account that may not `SCAN`, for
/// a pattern), everything is invalidated instead, and an event reports it.
///
/// # Writing
///
/// - [`Touched`]: write to the store, then invalidate; the store is the truth.
/// - [`TypedCache::expire`]: the same if an old value is better than none. The value is stale at
///   once, everywhere, and is served within its grace.
/// - [`Fill::uncached`]: the callers get the value, no tier keeps it, and an earlier one is
///   removed.
/// - [`TypedCache::write_through`]: write to the store, then cache what it holds.
/// - [`WriteBehind`] and [`Increments`]: a write is done when it is kept, in memory or in Redis.
///   The store gets it a moment later.
///
/// [`Owed`]: crate::Owed
/// [`Touched`]: crate::Touched
/// [`TypedCache::expire`]: crate::TypedCache::expire
/// [`Fill::uncached`]: crate::Fill::uncached
/// [`TypedCache::write_through`]: crate::TypedCache::write_through
/// [`WriteBehind`]: crate::WriteBehind
/// [`Increments`]: crate::Increments
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
        self.tiers.stats()
    }
}

impl fmt::Debug for TieredCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCache").field("entries", &self.tiers.memory.entries()).finish_non_exhaustive()
    }
}
