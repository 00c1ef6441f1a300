//! `/metrics`: everything counted, in the text format of Prometheus.
//!
//! Nothing is counted twice for it: each scrape reads the counters that the pages read too.

pub(super) mod facade;
pub(super) mod recorder;

use std::fmt::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tidegate_cache::{CacheStats, ClassStats, TierStats};
use tidegate_perfmon::{EndpointTotals, Snapshot, StatusCounts, Totals};
use tidegate_queue::BrokerError;
use tidegate_ratelimit::LimiterStats;

use super::Telemetry;
use super::pulse::is_alive;
use super::queues::{QueueFigures, QueueReading};
use super::redis_figures::RedisFigures;
use crate::jobs::{QUEUES, is_served_by};

/// How long the job store may take: a scrape has little patience too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Telemetry {
    /// All figures as Prometheus reads them.
    ///
    /// Those of the queues are missing while the job store can't be read, and `tidegate_scrape_errors_total` counts it: what
    /// else there is to tell is wanted most then.
    pub async fn exposition(&self) -> String {
        let queues = tokio::time::timeout(PATIENCE, self.queues()).await.ok().and_then(Result::ok);
        if queues.is_none() {
            self.scrape_errors.fetch_add(1, Ordering::Relaxed);
        }
        let queues = queues.unwrap_or_default();
        // From here on nothing waits.
        let begun = self.registry.now();
        let reading = Reading {
            endpoints: self.registry.totals(),
            body_wait: self.registry.http_body_wait_totals(),
            cache: self.cache.stats(),
            cache_latency: self.cache_watch.totals(),
            limiters: self.limiter_stats(),
            scrape_errors: self.scrape_errors.load(Ordering::Relaxed),
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(reading));
        registry.register_collector(Box::new(QueueFigures { queues, runs: self.job_watch.queues() }));
        if let Some(report) = self.redis() {
            registry.register_collector(Box::new(RedisFigures(report)));
        }
        self.board.collect_figures().into_iter().for_each(|figures| registry.register_collector(figures));
        let mut text = String::new();
        // Writing to a text fails only where an encoder does, which then says so in the text.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.push_str("# a figure could not be written\n");
        }
        self.operations.metrics.record(self.registry.now().saturating_sub(begun));
        text
    }

    async fn queues(&self) -> Result<Vec<QueueReading>, BrokerError> {
        let workers = self.broker.workers().await?;
        let mut queues = Vec::new();
        for &queue in QUEUES {
            let counts = self.broker.counts(queue).await?;
            let serving = workers.iter().filter(|worker| is_alive(worker) && is_served_by(queue, worker)).count();
            queues.push(QueueReading { queue, counts, workers: u64::try_from(serving).unwrap_or(u64::MAX) });
        }
        Ok(queues)
    }
}

/// Everything at one moment.
#[derive(Debug)]
struct Reading {
    endpoints: Vec<EndpointTotals>,
    body_wait: Totals,
    cache: CacheStats,
    /// By tier.
    cache_latency: Vec<(&'static str, Totals)>,
    limiters: Vec<(&'static str, LimiterStats)>,
    scrape_errors: u64,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.http(&mut encoder)?;
        self.cache(&mut encoder)?;
        self.limits(&mut encoder)?;
        let told = "Scrapes without the figures of a part that could not be asked";
        let mut family = Family::new(&mut encoder, "tidegate_scrape_errors", told, MetricType::Counter)?;
        family.counter(&[("part", "queues")], self.scrape_errors)
    }
}

impl Reading {
    fn http(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::new(encoder, "tidegate_http_requests", "Requests answered", MetricType::Counter)?;
        for endpoint in &self.endpoints {
            for (class, count) in classes(&endpoint.classes) {
                if count > 0 {
                    family.counter(
                        &[("method", endpoint.method), ("route", &endpoint.route), ("status", class)],
                        count,
                    )?;
                }
            }
        }
        let mut family = Family::new(
            encoder,
            "tidegate_http_requests_aborted",
            "Requests whose client left before the answer",
            MetricType::Counter,
        )?;
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.aborted > 0) {
            family.counter(&[("method", endpoint.method), ("route", &endpoint.route)], endpoint.aborted)?;
        }
        let mut family = Family::new(
            encoder,
            "tidegate_http_request_duration_seconds",
            "Time from the head of a request to that of its answer, without waits for its body",
            MetricType::Histogram,
        )?;
        for endpoint in &self.endpoints {
            family.histogram(&[("method", endpoint.method), ("route", &endpoint.route)], &endpoint.latency)?;
        }
        let help = "Time that requests waited for what their clients had yet to send; no part of their duration";
        Family::new(encoder, "tidegate_http_body_wait_seconds", help, MetricType::Histogram)?
            .histogram(&[], &self.body_wait)
    }

    fn cache(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // The two names that the service promises carry no prefix.
        self.of_classes(encoder, "cache_hits", "Lookups that the cache answered", |class| {
            class.hits + class.stale_hits
        })?;
        self.of_classes(encoder, "cache_misses", "Lookups that the cache could not answer", |class| class.misses)?;
        self.of_classes(encoder, "tidegate_cache_stale_hits", "Lookups answered within a grace", |class| {
            class.stale_hits
        })?;
        let shared = "Lookups that found in the shared tier what the process did not hold fresh";
        self.of_classes(encoder, "tidegate_cache_shared_hits", shared, |class| class.shared_hits)?;
        self.of_classes(encoder, "tidegate_cache_loads", "Loads started", |class| class.loads)?;
        self.of_classes(encoder, "tidegate_cache_load_failures", "Loads that ended without a value", |class| {
            class.load_failures
        })?;
        self.of_classes(encoder, "tidegate_cache_collapsed", "Misses that waited for the load of another", |class| {
            class.collapsed
        })?;
        self.of_tiers(encoder, "tidegate_cache_tier_hits", "Lookups that found a value in the tier", |tier| {
            Some(tier.hits)
        })?;
        self.of_tiers(encoder, "tidegate_cache_tier_misses", "Lookups that found none in it", |tier| {
            Some(tier.misses)
        })?;
        self.of_tiers(encoder, "tidegate_cache_from_replicas", "Hits that a replica answered", |tier| {
            Some(tier.from_replicas)
        })?;
        self.of_tiers(encoder, "tidegate_cache_evictions", "Entries that had to make room", |tier| tier.evictions)?;
        self.of_tiers(encoder, "tidegate_cache_errors", "Steps that failed or took too long", |tier| {
            Some(tier.errors)
        })?;
        let owed = self.cache.tiers.iter().map(|tier| tier.owed).sum();
        let told = "Invalidations that the shared tier has not been told of yet";
        Family::new(encoder, "tidegate_cache_owed", told, MetricType::Gauge)?.single(owed)?;
        let mut family = Family::new(encoder, "tidegate_cache_entries", "Entries held", MetricType::Gauge)?;
        // How many Redis holds is not counted here.
        for (tier, entries) in self.cache.tiers.iter().filter_map(|tier| Some((tier.tier, tier.entries?))) {
            family.gauge(&[("tier", tier)], entries)?;
        }
        let mut family = Family::new(
            encoder,
            "cache_response_seconds",
            "Time of a lookup, in the process measured on a sample of them",
            MetricType::Histogram,
        )?;
        for (tier, latency) in &self.cache_latency {
            family.histogram(&[("tier", tier)], latency)?;
        }
        Ok(())
    }

    /// One counter for each class.
    fn of_classes(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&ClassStats) -> u64,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, MetricType::Counter)?;
        self.cache.classes.iter().try_for_each(|class| family.counter(&[("class", class.class)], value(class)))
    }

    /// One counter for each tier that knows the figure.
    fn of_tiers(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: fn(&TierStats) -> Option<u64>,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, MetricType::Counter)?;
        let known = self.cache.tiers.iter().filter_map(|tier| Some((tier.tier, value(tier)?)));
        known.into_iter().try_for_each(|(tier, value)| family.counter(&[("tier", tier)], value))
    }

    fn limits(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            Family::new(encoder, "tidegate_ratelimit_decisions", "Checks by their decision", MetricType::Counter)?;
        for (limiter, stats) in &self.limiters {
            family.counter(&[("limiter", limiter), ("decision", "allowed")], stats.allowed)?;
            family.counter(&[("limiter", limiter), ("decision", "denied")], stats.denied)?;
            family.counter(&[("limiter", limiter), ("decision", "failed")], stats.failed)?;
        }
        let alone = "Checks decided by this process alone, since Redis could not be asked in time";
        let evicted_live = "Keys forgotten while they still had usage, for want of room";
        self.of_limiters(encoder, "tidegate_ratelimit_alone", alone, MetricType::Counter, |stats| stats.alone)?;
        self.of_limiters(encoder, "tidegate_ratelimit_evicted_live", evicted_live, MetricType::Counter, |stats| {
            stats.evicted_live
        })?;
        self.of_limiters(encoder, "tidegate_ratelimit_tracked_keys", "Keys held", MetricType::Gauge, |stats| {
            stats.tracked_keys
        })?;
        self.of_limiters(
            encoder,
            "tidegate_ratelimit_blocked_keys",
            "Keys that are blocked",
            MetricType::Gauge,
            |stats| stats.blocked_keys,
        )
    }

    /// One series for each limiter.
    fn of_limiters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: MetricType,
        value: fn(&LimiterStats) -> u64,
    ) -> fmt::Result {
        let mut family = Family::new(encoder, name, help, kind)?;
        for (limiter, stats) in &self.limiters {
            let labels = [("limiter", *limiter)];
            match kind {
                MetricType::Counter => family.counter(&labels, value(stats))?,
                _ => family.gauge(&labels, value(stats))?,
            }
        }
        Ok(())
    }
}

fn classes(counts: &StatusCounts) -> [(&'static str, u64); 5] {
    [
        ("1xx", counts.informational),
        ("2xx", counts.success),
        ("3xx", counts.redirection),
        ("4xx", counts.client_error),
        ("5xx", counts.server_error),
    ]
}

/// One metric with its label sets.
pub(crate) struct Family<'a>(prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    pub(crate) fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'a str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, kind).map(Self)
    }

    pub(crate) fn counter(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(crate) fn gauge(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A gauge that there is only one of.
    pub(crate) fn single(mut self, value: u64) -> fmt::Result {
        self.0.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A counter of seconds that there is only one of.
    pub(super) fn single_seconds(mut self, value: f64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// A gauge that is no whole number.
    pub(crate) fn fraction(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&value)
    }

    /// A histogram of times.
    pub(crate) fn snapshot(&mut self, labels: &[(&str, &str)], times: &Snapshot) -> fmt::Result {
        let (count, sum_seconds) = (times.count(), times.sum().as_secs_f64());
        self.histogram(labels, &Totals { buckets: times.cumulative().collect(), count, sum_seconds })
    }

    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], totals: &Totals) -> fmt::Result {
        // The encoder adds up by itself: it wants what each bucket alone holds.
        let mut below = 0;
        let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(totals.buckets.len() + 1);
        for (bound, cumulative) in &totals.buckets {
            buckets.push((*bound, cumulative - below));
            below = *cumulative;
        }
        buckets.push((f64::INFINITY, totals.count - below));
        self.0.encode_family(&Labels(labels))?.encode_histogram::<NoLabelSet>(
            totals.sum_seconds,
            totals.count,
            &buckets,
            None,
        )
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.0 {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut text = key.encode_label_value()?;
            text.write_str(value)?;
            text.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::test_ground::Ground;

    #[tokio::test]
    async fn a_job_store_that_fails_takes_nothing_but_its_own_figures_with_it() {
        let Ground { telemetry, broker, .. } = &Ground::new().await;
        let good = telemetry.exposition().await;
        assert!(good.contains("tidegate_queue_length{queue=\"import\"} 0\n"), "{good}");
        assert!(good.contains("tidegate_scrape_errors_total{part=\"queues\"} 0\n"), "{good}");
        broker.close().await;
        for scrape in 1..=2 {
            let text = telemetry.exposition().await;
            assert!(!text.contains("tidegate_queue_length{"), "{text}");
            assert!(text.contains(&format!("tidegate_scrape_errors_total{{part=\"queues\"}} {scrape}\n")), "{text}");
            assert!(text.contains("# TYPE tidegate_cache_owed gauge") && text.ends_with("# EOF\n"), "{text}");
        }
    }
}
