//! `/metrics`: all metrics in the text format of Prometheus.
//!
//! Nothing is counted separately for it: each scrape reads the same counters as the pages.

pub(super) mod facade;
pub(super) mod recorder;
mod sample;

use std::fmt::{self, Write};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tidegate_perfmon::{Snapshot, Totals};

use super::Telemetry;
pub(crate) use sample::Sample;

/// Timeout of the queries of a scrape, which has a short timeout itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Telemetry {
    /// Returns all metrics in the format of Prometheus.
    ///
    /// If a part that requires a query, such as the job store, does not answer, its metrics are
    /// missing, and `tidegate_scrape_errors_total` counts it. The other metrics are still returned,
    /// since they are most needed then.
    pub async fn exposition(&self) -> String {
        let asked = self.board.ask(PATIENCE).await;
        // From here on nothing blocks.
        let begun = self.registry.now();
        let mut registry = Registry::default();
        registry.sub_registry_with_prefix("tidegate").register_collector(Box::new(self.registry.clone()));
        registry.register_collector(Box::new(ScrapeErrors { unanswered: self.board.unanswered() }));
        asked.into_iter().chain(self.board.collect_figures()).for_each(|figures| registry.register_collector(figures));
        let mut text = String::new();
        // Writing to a string fails only if an encoder fails. The text then says so.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.push_str("# a figure could not be written\n");
        }
        self.operations.metrics.record(self.registry.now().saturating_sub(begun));
        text
    }
}

/// Number of failed queries.
#[derive(Debug)]
struct ScrapeErrors {
    /// By part.
    unanswered: Vec<(&'static str, u64)>,
}

impl Collector for ScrapeErrors {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let told = "Scrapes without the figures of a part that could not be asked";
        let mut family = Family::new(&mut encoder, "tidegate_scrape_errors", told, MetricType::Counter)?;
        self.unanswered.iter().try_for_each(|(part, count)| family.counter(&[("part", part)], *count))
    }
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
        if labels.is_empty() {
            return self.0.encode_counter::<NoLabelSet, _, u64>(&value, None);
        }
        self.0.encode_family(&Labels(labels))?.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    pub(crate) fn gauge(&mut self, labels: &[(&str, &str)], value: u64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes the only value of a gauge.
    pub(crate) fn single(mut self, value: u64) -> fmt::Result {
        self.0.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Writes the only value of a counter of seconds.
    pub(super) fn single_seconds(mut self, value: f64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Writes a gauge that is not an integer.
    pub(crate) fn fraction(&mut self, labels: &[(&str, &str)], value: f64) -> fmt::Result {
        self.0.encode_family(&Labels(labels))?.encode_gauge(&value)
    }

    /// Writes a histogram of durations.
    pub(crate) fn snapshot(&mut self, labels: &[(&str, &str)], times: &Snapshot) -> fmt::Result {
        let (count, sum_seconds) = (times.count(), times.sum().as_secs_f64());
        self.histogram(labels, &Totals { buckets: times.cumulative().collect(), count, sum_seconds })
    }

    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], totals: &Totals) -> fmt::Result {
        // The encoder accumulates buckets itself: it needs the count of each bucket alone.
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
    use crate::test_ground::Ground;

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
