//! Metrics of the recorder's limits and overhead. Its recorded metrics come from its own collector.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tidegate_perfmon::{Bridge, Overhead, Registry};

use super::Family;
use crate::sources::Sources;

/// Registers the metrics of the registry, and of what the bridge to other libraries rejected.
pub(crate) fn register(sources: &Sources, registry: &Registry, bridge: &Bridge) {
    let (registry, bridge) = (registry.clone(), bridge.clone());
    sources.figures(move || Box::new(RecorderFigures::of(&registry, &bridge)));
}

#[derive(Debug)]
struct RecorderFigures {
    /// By kind of series that exceeded the limit.
    dropped: [(&'static str, u64); 3],
    /// By source of the values.
    rejected: [(&'static str, u64); 2],
    refused: u64,
    overhead: Overhead,
}

impl RecorderFigures {
    fn of(registry: &Registry, bridge: &Bridge) -> Self {
        Self {
            dropped: [
                ("endpoints", registry.dropped_endpoints()),
                ("operations", registry.dropped_operations()),
                ("metrics", bridge.dropped()),
            ],
            rejected: [("operations", registry.rejected()), ("metrics", bridge.rejected())],
            refused: bridge.refused(),
            overhead: registry.overhead(),
        }
    }
}

impl Collector for RecorderFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let help = "Lookups beyond the maximum number of series: those of `metrics` are not counted, others count in `__other__`";
        let mut family = Family::new(encoder, "tidegate_perfmon_dropped_series", help, MetricType::Counter)?;
        for (what, count) in self.dropped {
            family.counter(&[("what", what)], count)?;
        }
        let help = "Rejected values: not a number, infinite, or negative where that is invalid";
        let mut family = Family::new(encoder, "tidegate_perfmon_rejected", help, MetricType::Counter)?;
        for (what, count) in self.rejected {
            family.counter(&[("what", what)], count)?;
        }
        let help = "Lookups of `metrics` with a name that is reserved, or has another type";
        let mut family = Family::new(encoder, "tidegate_perfmon_refused_names", help, MetricType::Counter)?;
        family.counter(&[], self.refused)?;
        let help = "Time of a tick, which files the records of a second into their windows";
        Family::new(encoder, "tidegate_perfmon_tick_seconds", help, MetricType::Histogram)?
            .snapshot(&[], &self.overhead.tick)?;
        let help = "Time of recording a request; about one in 1,024 is measured";
        Family::new(encoder, "tidegate_perfmon_record_seconds", help, MetricType::Histogram)?
            .snapshot(&[], &self.overhead.record)?;
        let help = "Memory of all endpoints, operations and meters with their windows, and of the requests in progress";
        Family::new(encoder, "tidegate_perfmon_memory_bytes", help, MetricType::Gauge)?
            .single(self.overhead.bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use tidegate_perfmon::Kind;

    use super::*;

    #[test]
    fn dropped_and_rejected_items_are_reported() {
        let registry = Registry::builder().cap(2).build();
        let list = registry.operation_handle(Kind::Database, "schedules.list");
        list.record_secs(f64::NAN);
        for name in ["b", "c", "d"] {
            registry.operation_handle(Kind::Cache, name).record(Duration::ZERO);
        }
        registry.tick(registry.now());

        let mut all = prometheus_client::registry::Registry::default();
        all.register_collector(Box::new(RecorderFigures::of(&registry, &Bridge::new())));
        let mut text = String::new();
        encode(&mut text, &all).unwrap();
        for line in [
            format!("tidegate_perfmon_dropped_series_total{{what=\"operations\"}} {}\n", registry.dropped_operations()),
            "tidegate_perfmon_dropped_series_total{what=\"endpoints\"} 0\n".to_owned(),
            "tidegate_perfmon_rejected_total{what=\"operations\"} 1\n".to_owned(),
            "tidegate_perfmon_tick_seconds_count{} 1\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(registry.dropped_operations() > 0);
    }
}
