//! Slower while more look-ups miss: many load what was to be loaded once.

use crate::advice::kinds::{Advice, Evidence, Limits, confidence, share};
use crate::advice::signals::CacheSignals;
use crate::advice::stretch::Stretch;

/// No action: what helps is how the cache is used.
pub(super) fn advise(limits: &Limits, stretch: Stretch<'_>) -> Vec<Advice> {
    let names = stretch.names(|signals| &signals.caches, |cache| &cache.name);
    names.into_iter().filter_map(|name| found(limits, stretch, name)).collect()
}

fn found(limits: &Limits, stretch: Stretch<'_>, name: &str) -> Option<Advice> {
    let lookups = stretch.sum(|signals| signals.cache(name).map(CacheSignals::lookups))?;
    let p99 = stretch.compare(|signals| signals.api?.p99)?;
    let misses = stretch.compare(|signals| signals.cache(name).map(|cache| cache.misses as f64))?;
    let missed = stretch.compare(|signals| {
        let cache = signals.cache(name)?;
        share(cache.misses, cache.lookups())
    })?;
    // More misses of more look-ups are no stampede: their share must be up too.
    if lookups < limits.samples || !p99.is_up() || !misses.is_up() || !missed.is_up() {
        return None;
    }
    Some(Advice {
        id: "stampede",
        target: name.to_owned(),
        text: format!(
            "Many miss in the cache `{name}` at once and wait: load through it (one load a key), serve stale values while it \
             loads, spread lifetimes by jitter, warm it up behind a start."
        ),
        evidence: vec![
            Evidence::seconds("P99", p99.lately, p99.before),
            Evidence::new("misses a minute", misses.lately, misses.before),
            Evidence::new("misses a look-up", missed.lately, missed.before),
        ],
        confidence: confidence(lookups, limits.samples, p99.times().min(misses.times())),
        gain: format!("A P99 of {:.3} s, as it was.", p99.before),
        disproved_by: "misses fall and the P99 stays: then what is loaded has become slow, or something else has",
        action: None,
    })
}
