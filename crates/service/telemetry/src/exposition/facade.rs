//! Metrics that libraries record through the facade `metrics`.

use std::fmt;
use std::sync::LazyLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Bridge, BridgedFigure, BridgedSeries, Totals};

use super::Family;
use crate::sources::Sources;

/// The bridge of the process: the facade is global too.
static BRIDGE: LazyLock<Bridge> = LazyLock::new(Bridge::new);

pub(crate) fn bridge() -> &'static Bridge {
    &BRIDGE
}

/// Records the metrics of libraries from now on. Has no effect if a recorder is already installed.
pub(crate) fn install() {
    if metrics::set_global_recorder(BRIDGE.clone()).is_err() {
        tracing::debug!("the recorder of the metrics facade was installed before");
    }
}

pub(crate) fn register(sources: &Sources, bridge: &Bridge) {
    let bridge = bridge.clone();
    sources.figures(move || Box::new(Bridged(bridge.series())));
}

#[derive(Debug)]
struct Bridged(Vec<BridgedSeries>);

impl Collector for Bridged {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Sorted by name, so that each family is contiguous.
        for family in self.0.chunk_by(|one, other| one.name == other.name) {
            let Some(BridgedSeries { name, help, figure, .. }) = family.first() else { continue };
            let kind = match figure {
                BridgedFigure::Counter(_) => MetricType::Counter,
                BridgedFigure::Gauge(_) => MetricType::Gauge,
                BridgedFigure::Histogram { .. } => MetricType::Histogram,
            };
            let help = if help.is_empty() { "Metric of a library" } else { help };
            let mut encoded = Family::new(&mut encoder, name, help, kind)?;
            for series in family {
                let labels: Vec<_> =
                    series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                match &series.figure {
                    BridgedFigure::Counter(count) => encoded.counter(&labels, *count)?,
                    BridgedFigure::Gauge(value) => encoded.fraction(&labels, *value)?,
                    BridgedFigure::Histogram { buckets, count, sum } => {
                        let totals = Totals { buckets: buckets.clone(), count: *count, sum_seconds: *sum };
                        encoded.histogram(&labels, &totals)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn metrics_of_a_library_are_at_slash_metrics() {
        install();
        install();
        metrics::describe_counter!("mailer.sent_total", "Letters sent");
        metrics::counter!("mailer.sent_total", "host" => "mx1\"\n").increment(3);
        metrics::gauge!("mailer.waiting").set(-1.5);
        metrics::histogram!("mailer.size_bytes").record(300.0);
        metrics::counter!("tidegate_http_requests").increment(1_000);

        let sources = Sources::default();
        register(&sources, bridge());
        let mut registry = Registry::default();
        sources.collect_figures().into_iter().for_each(|figures| registry.register_collector(figures));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# HELP mailer_sent Letters sent\n# TYPE mailer_sent counter\n",
            "mailer_sent_total{host=\"mx1\\\"\\n\"} 3\n",
            "mailer_waiting{} -1.5\n",
            "mailer_size_bytes_bucket{le=\"256.0\"} 0\n",
            "mailer_size_bytes_bucket{le=\"1024.0\"} 1\n",
            "mailer_size_bytes_sum{} 300.0\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("tidegate_"), "{text}");
        assert_eq!(bridge().refused(), 1);
    }
}
