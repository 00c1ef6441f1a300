//! `/metrics`: all metrics in the text format of Prometheus.
//!
//! Nothing is counted separately for it: each scrape reads the same counters as the pages.

pub(super) mod facade;
mod family;
pub(super) mod recorder;
mod sample;

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Telemetry;
pub(crate) use family::Family;
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
        let asked = self.sources.ask(PATIENCE).await;
        // From here on nothing blocks.
        let begun = self.registry.now();
        let mut registry = Registry::default();
        registry.sub_registry_with_prefix("tidegate").register_collector(Box::new(self.registry.clone()));
        registry.register_collector(Box::new(ScrapeErrors { unanswered: self.sources.unanswered() }));
        asked
            .into_iter()
            .chain(self.sources.collect_figures())
            .for_each(|figures| registry.register_collector(figures));
        let mut text = String::new();
        // Writing to a string fails only if an encoder fails. The text then says so.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.push_str("# a metric could not be written\n");
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
        let told = "Scrapes without the metrics of a part that could not be queried";
        let mut family = Family::new(&mut encoder, "tidegate_scrape_errors", told, MetricType::Counter)?;
        self.unanswered.iter().try_for_each(|(part, count)| family.counter(&[("part", part)], *count))
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
