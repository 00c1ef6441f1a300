//! Statistics, as numbers to show.

use std::time::Duration;

use crate::class::{Class, Count};

/// Counters of the cache since it was built.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Per tier, in the order in which they are queried.
    pub tiers: Vec<TierStats>,
    /// Per class, in the order in which they were first used.
    pub classes: Vec<ClassStats>,
}

/// One tier.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Its name: `l1` or `l2`.
    pub tier: &'static str,
    /// Entries held; dead ones count until swept. `None` for L2, which other processes fill too.
    pub entries: Option<u64>,
    /// Maximum weight, in entries or bytes; `None` for L2.
    pub capacity: Option<u64>,
    /// Weight, in entries or bytes; `None` for L2.
    pub weight: Option<u64>,
    /// Lookups that found a value, fresh or stale.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Hits that a replica answered. Zero for L1.
    pub from_replicas: u64,
    /// Entries evicted to make room; `None` for L2.
    pub evictions: Option<u64>,
    /// Steps that failed or took too long. Zero for L1.
    pub errors: u64,
    /// Values that could not be encoded or decoded. Zero for L1.
    pub codec_errors: u64,
    /// Invalidations that the tier has not processed. Until then it is not read. Zero for L1.
    pub owed: u64,
    /// Whether changes by others in the tier are noticed, so that L1 follows. True for L1.
    pub is_followed: bool,
    /// Whether the tier can be reached, as far as known.
    pub is_available: bool,
}

/// One class.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Its name.
    pub class: &'static str,
    /// Its lifetime.
    pub ttl: Duration,
    /// Lookups that found a fresh value.
    pub hits: u64,
    /// Lookups that found a value within its grace.
    pub stale_hits: u64,
    /// Lookups that found nothing to serve.
    pub misses: u64,
    /// Lookups after a miss in L1 that found a value in the tier that processes share, fresh or
    /// stale: the number of loads that were saved, or made behind a stale value. Zero without such
    /// a tier.
    pub shared_hits: u64,
    /// Loads started, refreshes of stale values among them.
    pub loads: u64,
    /// Loads that ended without a value.
    pub load_failures: u64,
    /// Loads that waited for their turn, because too many ran.
    pub queued_loads: u64,
    /// Loads that did not get their turn in time.
    pub refused_loads: u64,
    /// Callers that left at their hard time-out, without a value.
    pub timeouts: u64,
    /// Misses that waited for the load of another caller.
    pub collapsed: u64,
    /// Live entries removed by key or pattern, and invalidations of the whole class. Tags and
    /// `clear` need no walk, so their entries are not counted.
    pub invalidations: u64,
    /// Lookups that found a value of another type; they are misses too.
    pub type_mismatches: u64,
    /// Share of lookups with a value in L1, fresh or stale, from 0 to 1; `None` before the first.
    pub hit_rate: Option<f64>,
}

impl ClassStats {
    pub(crate) fn of(class: &Class) -> Self {
        let count = |count| class.counters.sum(count);
        let (hits, stale_hits, misses) = (count(Count::Hit), count(Count::StaleHit), count(Count::Miss));
        Self {
            class: class.ttl.name(),
            ttl: class.ttl.ttl(),
            hits,
            stale_hits,
            misses,
            shared_hits: count(Count::SharedHit),
            loads: count(Count::Load),
            load_failures: count(Count::LoadFailure),
            queued_loads: count(Count::Queued),
            refused_loads: count(Count::Refused),
            timeouts: count(Count::TimedOut),
            collapsed: count(Count::Collapsed),
            invalidations: count(Count::Invalidation),
            type_mismatches: count(Count::TypeMismatch),
            hit_rate: rate(hits + stale_hits, misses),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn rate(found: u64, missed: u64) -> Option<f64> {
    let asked = found + missed;
    (asked > 0).then(|| found as f64 / asked as f64)
}
