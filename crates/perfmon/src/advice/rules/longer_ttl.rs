//! Many misses, and entries leave because their time is over.

use crate::advice::caches::{Poor, poor};
use crate::advice::kinds::{Advice, Evidence, Limits, confidence, share};
use crate::advice::stretch::Stretch;

/// Fewer expiries than that share of the misses explain nothing.
const OF_MISSES: f64 = 0.1;

/// No action: how old an answer may be is for people to say.
pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let of_age = |cache: &Poor| {
        cache.expiries > cache.evictions && share(cache.expiries, cache.misses).is_some_and(|share| share >= OF_MISSES)
    };
    poor(limits, stretch)
        .into_iter()
        .filter(of_age)
        .map(|cache| Advice {
            id: "longer-ttl",
            text: format!("Let entries of the cache `{}` live longer, or refresh them ahead of their end.", cache.name),
            evidence: vec![
                Evidence::new("hit rate", cache.hit_rate, limits.hit_rate),
                Evidence::new("expiries a miss", share(cache.expiries, cache.misses).unwrap_or_default(), OF_MISSES),
            ],
            confidence: confidence(cache.lookups, limits.samples, cache.beyond(limits)),
            gain: format!("A hit rate of up to {:.0} %.", 100.0 * cache.at_best(cache.expiries)),
            disproved_by: "the hit rate stays as it is with twice the TTL: then what expires is not asked for again",
            action: None,
            target: cache.name,
        })
        .collect()
}
