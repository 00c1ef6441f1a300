//! Metrics of the cache, for `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_cache::{CacheStats, ClassStats, TierStats, TieredCache};
use tidegate_perfmon::Totals;

use super::exposition::Family;
use super::{CacheWatch, Sources};

/// Registers the metrics of a cache and of its observer.
pub(super) fn register(sources: &Sources, cache: &TieredCache, watch: &Arc<CacheWatch>) {
    let (cache, watch) = (cache.clone(), Arc::clone(watch));
    sources.figures(move || Box::new(CacheFigures { stats: cache.stats(), latency: watch.totals() }));
}

/// The cache at one moment.
#[derive(Debug)]
struct CacheFigures {
    stats: CacheStats,
    /// Times of lookups by tier.
    latency: Vec<(&'static str, Totals)>,
}

impl Collector for CacheFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        // These two names have no prefix: the service guarantees them.
        self.of_classes(encoder, "cache_hits", "Lookups that the cache answered", |class| {
            class.hits + class.stale_hits
        })?;
        self.of_classes(encoder, "cache_misses", "Lookups that the cache could not answer", |class| class.misses)?;
        self.of_classes(encoder, "tidegate_cache_stale_hits", "Lookups answered with a stale value", |class| {
            class.stale_hits
        })?;
        let shared = "Lookups that missed in the process and hit in the shared tier";
        self.of_classes(encoder, "tidegate_cache_shared_hits", shared, |class| class.shared_hits)?;
        self.of_classes(encoder, "tidegate_cache_loads", "Loads started", |class| class.loads)?;
        self.of_classes(encoder, "tidegate_cache_load_failures", "Loads that ended without a value", |class| {
            class.load_failures
        })?;
        self.of_classes(
            encoder,
            "tidegate_cache_collapsed",
            "Misses that waited for the load of another caller",
            |class| class.collapsed,
        )?;
        self.of_tiers(encoder, "tidegate_cache_tier_hits", "Lookups that found a value in the tier", |tier| {
            Some(tier.hits)
        })?;
        self.of_tiers(encoder, "tidegate_cache_tier_misses", "Lookups that found no value in the tier", |tier| {
            Some(tier.misses)
        })?;
        self.of_tiers(encoder, "tidegate_cache_from_replicas", "Hits that a replica answered", |tier| {
            Some(tier.from_replicas)
        })?;
        self.of_tiers(encoder, "tidegate_cache_evictions", "Entries evicted to make room", |tier| tier.evictions)?;
        self.of_tiers(encoder, "tidegate_cache_errors", "Operations of the tier that failed or timed out", |tier| {
            Some(tier.errors)
        })?;
        let owed = self.stats.tiers.iter().map(|tier| tier.owed).sum();
        let told = "Invalidations that are not yet applied to the shared tier";
        Family::new(encoder, "tidegate_cache_owed", told, MetricType::Gauge)?.single(owed)?;
        let mut family = Family::new(encoder, "tidegate_cache_entries", "Entries held", MetricType::Gauge)?;
        // The number of entries in Redis is unknown here.
        for (tier, entries) in self.stats.tiers.iter().filter_map(|tier| Some((tier.tier, tier.entries?))) {
            family.gauge(&[("tier", tier)], entries)?;
        }
        let mut family = Family::new(
            encoder,
            "cache_response_seconds",
            "Time of a lookup; in the process it is measured on a sample",
            MetricType::Histogram,
        )?;
        for (tier, latency) in &self.latency {
            family.histogram(&[("tier", tier)], latency)?;
        }
        Ok(())
    }
}

impl CacheFigures {
    /// Writes one counter for each class.
    fn of_classes(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&ClassStats) -> u64,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, MetricType::Counter)?;
        self.stats.classes.iter().try_for_each(|class| family.counter(&[("class", class.class)], value(class)))
    }

    /// Writes one counter for each tier that reports the value.
    fn of_tiers(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&TierStats) -> Option<u64>,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, MetricType::Counter)?;
        let known = self.stats.tiers.iter().filter_map(|tier| Some((tier.tier, value(tier)?)));
        known.into_iter().try_for_each(|(tier, value)| family.counter(&[("tier", tier)], value))
    }
}
