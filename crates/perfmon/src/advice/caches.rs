//! What the last minutes say of each cache: the ground of two rules.

use super::kinds::{Limits, share};
use super::signals::CacheSignals;
use super::stretch::Stretch;

/// A cache that answers less than it should.
pub(super) struct Poor {
    pub(super) name: String,
    pub(super) lookups: u64,
    pub(super) hit_rate: f64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) expiries: u64,
}

/// Returns the caches whose hit rate is below the limit, with enough look-ups.
pub(super) fn poor(limits: &Limits, stretch: Stretch<'_>) -> Vec<Poor> {
    stretch
        .names(|signals| &signals.caches, |cache| &cache.name)
        .into_iter()
        .filter_map(|name| {
            let sum = |figure: fn(&CacheSignals) -> u64| stretch.sum(|signals| signals.cache(name).map(figure));
            let (hits, misses) = (sum(|cache| cache.hits)?, sum(|cache| cache.misses)?);
            let lookups = hits.saturating_add(misses);
            let hit_rate = share(hits, lookups)?;
            (lookups >= limits.samples && hit_rate < limits.hit_rate).then_some(Poor {
                name: name.to_owned(),
                lookups,
                hit_rate,
                misses,
                evictions: sum(|cache| cache.evictions)?,
                expiries: sum(|cache| cache.expiries)?,
            })
        })
        .collect()
}

impl Poor {
    /// By how much the miss rate exceeds what would be allowed.
    pub(super) fn beyond(&self, limits: &Limits) -> f64 {
        (1.0 - self.hit_rate) / (1.0 - limits.hit_rate).max(0.01)
    }

    /// Returns the hit rate if `spared` misses had been hits.
    pub(super) fn at_best(&self, spared: u64) -> f64 {
        self.hit_rate + spared.min(self.misses) as f64 / self.lookups.max(1) as f64
    }
}
