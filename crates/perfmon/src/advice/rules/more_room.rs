//! Many misses, and entries leave for want of room.

use crate::advice::caches::{Poor, poor};
use crate::advice::kinds::{Advice, Change, Evidence, Limits, Symptom, confidence, share};
use crate::advice::stretch::Stretch;

/// Fewer evictions than that share of the misses explain nothing.
const OF_MISSES: f64 = 0.1;

pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let of_want = |cache: &Poor| {
        cache.evictions >= cache.expiries
            && share(cache.evictions, cache.misses).is_some_and(|share| share >= OF_MISSES)
    };
    poor(limits, stretch)
        .into_iter()
        .filter(of_want)
        .map(|cache| Advice {
            id: "more-room",
            text: format!("Give the cache `{}` more room: entries leave before they are read again.", cache.name),
            evidence: vec![
                Evidence::new("hit rate", cache.hit_rate, limits.hit_rate),
                Evidence::new("evictions a miss", share(cache.evictions, cache.misses).unwrap_or_default(), OF_MISSES),
            ],
            confidence: confidence(cache.lookups, limits.samples, cache.beyond(limits)),
            gain: format!("A hit rate of up to {:.0} %.", 100.0 * cache.at_best(cache.evictions)),
            disproved_by: "the hit rate stays as it is with a quarter more room: then keys are read once, or far more are in use",
            action: Some(Change {
                actuator: format!("cache:{}", cache.name),
                factor: 1.25,
                symptom: Symptom::Misses(cache.name.clone()),
            }),
            target: cache.name,
        })
        .collect()
}
